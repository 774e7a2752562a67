//! The promises, checked at every instant and at the end. The oracle sees everything: Alipay's
//! books, the ledger, the queues. It knows nothing of how the worker works.

use std::collections::BTreeMap;
use std::time::Duration;

use hongbaod::domain::entry::Entry;
use hongbaod::domain::job::{Fingerprint, JobKey, MoneyJob};
use hongbaod::domain::outcome::Outcome;
use hongbaod::domain::verdict::{Blockage, Proof as Signature, Verdict};
use serde_json::Value;

use super::bank::BankKey;

/// One job of a producer, by the tag in its labels.
#[derive(Default)]
pub(crate) struct Asked {
    /// Its messages that the broker confirmed.
    pub(crate) confirmed: u32,
    /// The terminal outcome, as it was first told.
    pub(crate) told: Option<String>,
    /// How often its money moved.
    moved: u32,
    /// The ledger has forgotten that it said no, so another copy may be tried again; or the job was
    /// sent unasked in the moment between a loss and its notice.
    excused: bool,
    /// Its last message was purged while nothing else knew of it.
    pub(crate) released: bool,
    /// A message of it was purged.
    pub(crate) purged: bool,
    /// Its messages are gone, and the ledger alone knows of it.
    pub(crate) orphaned: bool,
}

/// One call that may move money.
struct Sent {
    number: u64,
    tag: String,
    begun: Duration,
    content: String,
    fingerprint: Fingerprint,
    /// The caller was told for certain that nothing happened.
    came_to_nothing: bool,
}

#[derive(Default)]
struct Calls {
    sent: Vec<Sent>,
    /// The queries that were answered "not found": when each was asked, and when it was answered.
    absences: Vec<(Duration, Duration)>,
}

/// What makes an absence believable, by the configuration.
#[derive(Clone, Copy, Default)]
pub(crate) struct Proof {
    pub(crate) confirmations: u32,
    /// Less the difference of two wall clocks.
    pub(crate) window: Duration,
}

impl Calls {
    /// Whether enough was found to be absent since `begun`.
    fn is_absent_since(&self, begun: Duration, proof: Proof) -> bool {
        let mut answers = self.absences.iter().filter(|(asked, _)| *asked >= begun);
        let Some((_, first)) = answers.next() else {
            return false;
        };
        let last = answers.clone().next_back().map_or(first, |(_, last)| last);
        let count = answers.count() + 1;
        count >= usize::try_from(proof.confirmations).unwrap() && *last - *first >= proof.window
    }
}

/// How long it takes at most until everybody has noticed a loss.
const NOTICE_MAX: Duration = Duration::from_secs(2);

/// Whether the ledger's lack of an entry is doubted as it should be.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Guard {
    /// Nothing was forgotten, or it is doubted.
    Up,
    /// It was forgotten so lately that not everybody may have noticed when deciding.
    NotYetUp,
    /// It was forgotten, and the doubt is over.
    DownAgain,
}

/// Who sends, and what it can know of lost memory.
pub(crate) struct Sender {
    /// The latest loss that this process has noticed and still doubts for.
    pub(crate) doubts_since: Option<Duration>,
    /// It sends for a new entry although each message of the job that it holds is redelivered.
    pub(crate) is_marked: bool,
}

#[derive(Default)]
pub(crate) struct Oracle {
    asked: BTreeMap<String, Asked>,
    calls: BTreeMap<JobKey, Calls>,
    moves: BTreeMap<BankKey, u32>,
    /// What each event said first, and of which job.
    events: BTreeMap<String, (Value, String)>,
    numbers: u64,
    proof: Proof,
    /// When the ledger last forgot something.
    pub(crate) lost_at: Option<Duration>,
    pub(crate) violation: Option<String>,
    pub(crate) forgotten: u64,
    pub(crate) unguarded: u64,
    pub(crate) exposed: u64,
}

impl Oracle {
    pub(crate) fn new(proof: Proof) -> Self {
        Self {
            proof,
            ..Self::default()
        }
    }

    pub(crate) fn violate(&mut self, what: String) {
        self.violation.get_or_insert(what);
    }

    pub(crate) fn asked(&self) -> &BTreeMap<String, Asked> {
        &self.asked
    }

    fn of(&mut self, tag: &str) -> &mut Asked {
        self.asked.entry(tag.to_owned()).or_default()
    }

    pub(crate) fn confirmed(&mut self, tag: &str) {
        self.of(tag).confirmed += 1;
    }

    /// Whether nothing is owed to the tag's producer any more.
    pub(crate) fn is_quits(&self, tag: &str) -> bool {
        self.asked
            .get(tag)
            .is_some_and(|asked| asked.told.is_some() || asked.released)
    }

    // Money

    /// P1 and P3: money moved.
    pub(crate) fn moved(&mut self, key: BankKey, job: &MoneyJob) {
        let tag = tag_of(job);
        let times = self.moves.entry(key.clone()).or_default();
        *times += 1;
        if *times > 1 {
            self.violate(format!("P1: paid twice: {key:?}"));
        }
        let asked = self.of(&tag);
        asked.moved += 1;
        let no = asked
            .told
            .as_deref()
            .is_some_and(|told| told != "succeeded");
        if no && !asked.excused {
            self.violate(format!(
                "P3: {tag} was told not to be paid, and is paid now"
            ));
        }
    }

    /// P1, P5 and rule 10: what must hold when a call that moves money begins.
    pub(crate) fn send_begins(
        &mut self,
        now: Duration,
        (job, fingerprint): (&MoneyJob, Fingerprint),
        content: &str,
        sender: &Sender,
    ) -> u64 {
        self.numbers += 1;
        let number = self.numbers;
        let lost_at = self.lost_at;
        // In doubt one answer is enough, for nothing but the lack of an entry speaks for a send.
        let proof = if lost_at.is_none() {
            self.proof
        } else {
            Proof::default()
        };
        let mut exposed = Vec::new();
        let key = job.key();
        let calls = self.calls.entry(key.clone()).or_default();
        let mut wrong = None;
        for sent in calls.sent.iter().filter(|sent| !sent.came_to_nothing) {
            // What was sent before a loss that the sender has not noticed, or doubts no more, it
            // cannot know of.
            let forgotten = lost_at.is_some_and(|lost| {
                let unnoticed = sender.doubts_since.is_none_or(|noticed| noticed < lost);
                lost >= sent.begun && unnoticed && !(sender.is_marked && now < lost + NOTICE_MAX)
            });
            if forgotten {
                let unguarded = sender.doubts_since;
                if unguarded.is_none_or(|noticed| Some(noticed) < lost_at) {
                    exposed.push(sent.tag.clone());
                }
                continue;
            }
            if sent.fingerprint != fingerprint && lost_at.is_none() {
                wrong = Some("P5: another job is sent under the number");
            } else if sent.fingerprint == fingerprint && sent.content != content {
                wrong = Some("P1: sent again with other bytes");
            } else if sent.fingerprint == fingerprint && !calls.is_absent_since(sent.begun, proof) {
                wrong = Some("P1: sent again without queries that found nothing");
            }
        }
        calls.sent.push(Sent {
            number,
            tag: tag_of(job),
            begun: now,
            content: content.to_owned(),
            fingerprint,
            came_to_nothing: false,
        });
        if !exposed.is_empty() {
            self.exposed += 1;
            // And another job that had the number before: it is gone to this one.
            exposed.push(tag_of(job));
        }
        for tag in exposed {
            self.of(&tag).excused = true;
        }
        if let Some(wrong) = wrong {
            self.violate(format!("{wrong}: {key}"));
        }
        number
    }

    /// The sender has its answer.
    pub(crate) fn send_ended(&mut self, key: &JobKey, number: u64, verdict: &Verdict) {
        let proves_nothing_happened = match verdict {
            Verdict::NotExecuted(_) => true,
            Verdict::Blocked(Blockage { proof, .. }) => *proof == Signature::Signed,
            Verdict::Succeeded(_)
            | Verdict::Refused(_)
            | Verdict::RefusedUnconfirmed(_)
            | Verdict::InProgress(_)
            | Verdict::Unknown(_)
            | Verdict::AlreadyUsed => false,
        };
        let calls = self.calls.entry(key.clone()).or_default();
        for sent in calls.sent.iter_mut().filter(|sent| sent.number == number) {
            sent.came_to_nothing |= proves_nothing_happened;
        }
    }

    pub(crate) fn found_nothing(&mut self, key: &JobKey, asked_at: Duration, now: Duration) {
        let calls = self.calls.entry(key.clone()).or_default();
        calls.absences.push((asked_at, now));
    }

    /// Alipay has other content under the number: nothing of this job was ever carried out.
    fn came_to_nothing(&mut self, tag: &str) {
        let sent = self.calls.values_mut().flat_map(|calls| &mut calls.sent);
        for sent in sent.filter(|sent| sent.tag == tag) {
            sent.came_to_nothing = true;
        }
    }

    // Memory

    /// The ledger forgets a settled outcome.
    pub(crate) fn forgets(&mut self, outcome: &Outcome) {
        if !outcome.resolution.is_success() {
            let tag = outcome.labels.0.get("job").cloned().unwrap_or_default();
            self.of(&tag).excused = true;
            self.forgotten += 1;
        }
    }

    /// Who was told "rejected" may have been so because of what is forgotten now.
    pub(crate) fn forget_conflicts(&mut self) {
        for asked in self.asked.values_mut() {
            let rejected = asked.told.as_deref() == Some("rejected");
            asked.excused |= rejected;
        }
    }

    /// Nothing knows of the job any more, and nobody could.
    pub(crate) fn release(&mut self, tag: &str) {
        self.of(tag).released = true;
    }

    pub(crate) fn purged(&mut self, tag: &str) {
        self.of(tag).purged = true;
    }

    pub(crate) fn orphan(&mut self, tag: &str, orphaned: bool) {
        if orphaned || self.asked.contains_key(tag) {
            self.of(tag).orphaned = orphaned;
        }
    }

    // Events

    /// P3, P4 and the order of rule 7: an event is published.
    ///
    /// What is decided between a loss and its notice, and a conflict that is declared once nobody
    /// doubts any more, are known limits: they are counted.
    pub(crate) fn told(&mut self, id: &str, body: &Value, entry: Option<&Entry>, guard: Guard) {
        let data = &body["data"];
        let tag = data["labels"]["job"].as_str().unwrap_or("bad").to_owned();
        let result = data["result"].as_str().unwrap_or_default().to_owned();
        let kind = data["kind"].as_str().unwrap_or_default();
        if id.ends_with("/unresolved") && kind != "query" || id.ends_with("/contradicted") {
            return;
        }
        if kind == "query" {
            self.of(&tag).told = Some(result);
            return;
        }
        let is_conflict = id.contains("/conflict/");
        if is_conflict {
            self.came_to_nothing(&tag);
        }
        let paid = self.of(&tag).told.as_deref() == Some("succeeded");
        let excused = match guard {
            Guard::Up => false,
            Guard::NotYetUp => is_conflict || data["reason"] == "expired",
            Guard::DownAgain => is_conflict,
        };
        if paid && excused {
            self.unguarded += 1;
            return;
        }
        self.same_as_before(id, &tag, data);
        let own = !id.contains("/conflict/") && !id.contains("/invalid/");
        if own && self.lost_at.is_none() && !matches!(entry, Some(Entry::Settled(_))) {
            self.violate(format!("rule 7: {id} is told before the ledger has it"));
        }
        let lost = self.lost_at.is_some();
        let asked = self.of(&tag);
        let before = asked.told.replace(result.clone());
        let (moved, forgotten) = (asked.moved, asked.excused);
        // Two kinds of "no" are the exception of P4, once the ledger has forgotten.
        let is_other = |before: String| {
            let both_no = before != "succeeded" && result != "succeeded";
            before != result && !(both_no && lost)
        };
        if before.is_some_and(is_other) && !forgotten {
            self.violate(format!("P4: {tag} is told {result} after another outcome"));
        }
        match (result.as_str(), moved) {
            ("succeeded", 0) => self.violate(format!("{tag} is told to be paid, and is not")),
            ("succeeded", _) | (_, 0) => {}
            _ if forgotten => {}
            _ => self.violate(format!("P3: {tag} is told {result}, and is paid")),
        }
    }

    fn same_as_before(&mut self, id: &str, tag: &str, data: &Value) {
        let first = self.events.entry(id.to_owned());
        let (first, of) = first
            .or_insert_with(|| (data.clone(), tag.to_owned()))
            .clone();
        // What was forgotten after it had been told may come out otherwise, or for another job.
        if first != *data && !self.of(&of).excused {
            let what = format!("P4: two copies of {id} differ: {first} and {data}");
            self.violate(what);
        }
    }
}

/// The tag in a job's labels.
pub(crate) fn tag_of(job: &MoneyJob) -> String {
    job.labels.0.get("job").cloned().unwrap_or_default()
}
