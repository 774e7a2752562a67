//! Alipay as the jobs meet it: its books, and what it says, which need not be the same.

mod papers;

use std::collections::BTreeMap;
use std::time::Duration;

use hongbaod::domain::job::{MoneyJob, MoneyRequest, OperationRef, OrderRef, Payee, QueryTarget};
use hongbaod::domain::verdict::{Doubt, Finding, NotExecuted, OperationStatus, Proof, Verdict};

use self::papers::{blockage, numbers, operation, receipt, refusal};
use super::dice::Dice;
use super::orders::{NOBODY, PACKETS};
use super::scenario::{Idempotency, Manners};

/// What Alipay knows an operation by: the order's number and the operation's.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct BankKey {
    order: String,
    number: String,
}

impl BankKey {
    fn of(target: &QueryTarget) -> Self {
        let order = match &target.order {
            OrderRef::AuthNo(number) => number.as_str(),
            OrderRef::OutOrderNo(number) => number.as_str(),
        };
        let number = match &target.operation {
            OperationRef::OperationId(number) => number.as_str(),
            OperationRef::OutRequestNo(number) => number.as_str(),
        };
        Self {
            order: order.to_owned(),
            number: number.to_owned(),
        }
    }
}

/// A request as it was asked.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) job: MoneyJob,
    pub(crate) content: String,
    /// When the holder began to send.
    pub(crate) begun: Duration,
}

impl Request {
    pub(crate) fn key(&self) -> BankKey {
        BankKey::of(&self.job.query_target())
    }
}

#[derive(Clone, Debug)]
struct Record {
    job: MoneyJob,
    content: String,
    visible_at: Duration,
    status: OperationStatus,
    /// While INIT: when it comes to what.
    becomes: Option<(Duration, OperationStatus)>,
    number: u64,
}

/// Alipay's books.
pub(crate) struct Bank {
    manners: Manners,
    records: BTreeMap<BankKey, Vec<Record>>,
    late: Vec<(Duration, Request)>,
    /// What was refused: any request that was begun by this instant is refused too, should it arrive.
    refused: BTreeMap<BankKey, Duration>,
    funds: BTreeMap<&'static str, u64>,
    operations: u64,
    /// Until when the keys are refused.
    pub(crate) blocked_until: Duration,
    /// Jobs whose money has moved since somebody last looked.
    pub(crate) moved: Vec<(BankKey, MoneyJob)>,
}

impl Bank {
    pub(crate) fn new(manners: Manners, funds: u64) -> Self {
        Self {
            manners,
            records: BTreeMap::new(),
            late: Vec::new(),
            refused: BTreeMap::new(),
            funds: PACKETS.iter().map(|(name, _)| (*name, funds)).collect(),
            operations: 0,
            blocked_until: Duration::ZERO,
            moved: Vec::new(),
        }
    }

    /// Whether nothing is under way any more.
    pub(crate) fn is_still(&self) -> bool {
        let open = |record: &Record| record.becomes.is_some();
        self.late.is_empty() && !self.records.values().flatten().any(open)
    }

    /// Lets happen what is due.
    pub(crate) fn advance(&mut self, now: Duration) {
        let late = std::mem::take(&mut self.late);
        let (due, later): (Vec<_>, Vec<_>) = late.into_iter().partition(|(at, _)| *at <= now);
        self.late = later;
        for (at, request) in due {
            // What was refused meanwhile stays refused, and a number that is known is known.
            if self.admit(&request) == Known::No {
                self.execute(&request, at, at);
            }
        }
        let mut paid = Vec::new();
        for (key, records) in &mut self.records {
            for record in records {
                let Some((at, status)) = record.becomes else {
                    continue;
                };
                if at <= now {
                    record.becomes = None;
                    record.status = status;
                    if status == OperationStatus::Success {
                        paid.push((key.clone(), record.job.clone()));
                    }
                }
            }
        }
        self.moved.extend(paid);
    }

    fn admit(&self, request: &Request) -> Known {
        let key = request.key();
        let records = self.records.get(&key).map_or(&[][..], Vec::as_slice);
        let Some(first) = records.first() else {
            let refused = self
                .refused
                .get(&key)
                .is_some_and(|until| request.begun <= *until);
            return if refused || is_nobody(&request.job) {
                Known::Refused
            } else {
                Known::No
            };
        };
        let equal = first.job.fields() == request.job.fields();
        let same_bytes = records
            .iter()
            .any(|record| record.content == request.content);
        match self.manners.idempotency {
            Idempotency::Nothing => Known::No,
            Idempotency::Bytes if same_bytes => Known::Replay(first.status, first.number),
            Idempotency::Bytes => Known::No,
            Idempotency::Replay if equal => Known::Replay(first.status, first.number),
            Idempotency::Replay | Idempotency::Used => Known::Used,
        }
    }

    /// Moves the money, if the packet holds it.
    fn execute(&mut self, request: &Request, now: Duration, visible_at: Duration) -> Option<u64> {
        if !self.draw_from_packet(&request.job) {
            return None;
        }
        let number = self.record(request, visible_at, OperationStatus::Success, None);
        self.moved.push((request.key(), request.job.clone()));
        debug_assert!(now <= visible_at);
        Some(number)
    }

    fn draw_from_packet(&mut self, job: &MoneyJob) -> bool {
        let named = match &job.request {
            MoneyRequest::Disburse {
                deduct: OrderRef::OutOrderNo(number),
                ..
            } => number.as_str(),
            MoneyRequest::Disburse {
                deduct: OrderRef::AuthNo(number),
                ..
            } => number.as_str(),
            MoneyRequest::Refund { auth_no, .. } => auth_no.as_str(),
            MoneyRequest::Pay { .. } | MoneyRequest::Order { .. } => return true,
        };
        let packet = PACKETS
            .iter()
            .find(|(name, auth_no)| [*name, *auth_no].contains(&named));
        let funds = packet.and_then(|(name, _)| self.funds.get_mut(name));
        let Some(funds) = funds else { return false };
        let left = funds.checked_sub(job.amount().get());
        *funds = left.unwrap_or(*funds);
        left.is_some()
    }

    fn record(
        &mut self,
        request: &Request,
        visible_at: Duration,
        status: OperationStatus,
        becomes: Option<(Duration, OperationStatus)>,
    ) -> u64 {
        self.operations += 1;
        let number = self.operations;
        let record = Record {
            job: request.job.clone(),
            content: request.content.clone(),
            visible_at,
            status,
            becomes,
            number,
        };
        self.records.entry(request.key()).or_default().push(record);
        number
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Known {
    No,
    Refused,
    Replay(OperationStatus, u64),
    Used,
}

fn is_nobody(job: &MoneyJob) -> bool {
    match &job.request {
        MoneyRequest::Disburse {
            payee: Payee::UserId(user),
            ..
        } => user.as_str() == NOBODY,
        MoneyRequest::Disburse {
            payee: Payee::LogonId(_),
            ..
        }
        | MoneyRequest::Refund { .. }
        | MoneyRequest::Order { .. } => false,
        MoneyRequest::Pay { payer_user_id, .. } => payer_user_id.as_str() == NOBODY,
    }
}

/// An answer from which nobody can tell what happened.
fn doubt(dice: &mut Dice) -> Verdict {
    Verdict::Unknown(match dice.below(7) {
        0 => Doubt::TimedOut,
        1 => Doubt::Broken,
        2 => Doubt::HttpStatus(502),
        3 => Doubt::Unreadable,
        4 => Doubt::Unverified,
        5 => Doubt::Foreign,
        _ => Doubt::Answered {
            code: "20000".to_owned(),
            sub_code: Some("SYSTEM_ERROR".to_owned()),
        },
    })
}

/// The circumstances of a call as Alipay sees them.
pub(crate) struct Moment<'a> {
    pub(crate) now: Duration,
    pub(crate) dice: &'a mut Dice,
    /// How often something goes wrong, in a thousand.
    pub(crate) trouble: u64,
    /// Whether the request is on the way for longer than anybody waits for an answer.
    pub(crate) overdue: bool,
}

impl Bank {
    /// Takes a request that arrives now.
    pub(crate) fn send(
        &mut self,
        request: &Request,
        moment: &mut Moment<'_>,
    ) -> (Verdict, &'static str) {
        let now = moment.now;
        self.advance(now);
        if now < self.blocked_until {
            let proof = moment
                .dice
                .pick(&[Proof::Signed, Proof::Signed, Proof::Unsigned]);
            return (Verdict::Blocked(blockage(proof)), "alipay: app blocked");
        }
        if self.manners.idempotency == Idempotency::Nothing && moment.overdue {
            return (doubt(moment.dice), "alipay: request never arrives");
        }
        let trouble = moment.dice.happens(moment.trouble);
        if trouble && self.is_under_way(request, now) {
            let refusal = refusal("MONEY_NOT_ENOUGH");
            return (
                Verdict::RefusedUnconfirmed(refusal),
                "alipay: refused, the first is under way",
            );
        }
        match self.admit(request) {
            Known::Refused => {
                self.refused.insert(request.key(), Duration::MAX);
                let verdict = Verdict::Refused(refusal("PAYEE_NOT_EXIST"));
                Self::unless(trouble, verdict, moment.dice)
            }
            Known::Used if trouble => (doubt(moment.dice), "alipay: answer lost"),
            Known::Used => (Verdict::AlreadyUsed, "alipay: number used"),
            Known::Replay(status, number) => {
                let success = status == OperationStatus::Success;
                if success && moment.dice.happens(self.manners.refuses_after_effect) {
                    let refusal = refusal("MONEY_NOT_ENOUGH");
                    return (
                        Verdict::RefusedUnconfirmed(refusal),
                        "alipay: refused after the effect",
                    );
                }
                let verdict = match status {
                    OperationStatus::Success => Verdict::Succeeded(receipt(&request.job, number)),
                    OperationStatus::Init => Verdict::InProgress(numbers(&request.job, number)),
                    OperationStatus::Closed => Verdict::Unknown(Doubt::Unreadable),
                };
                Self::unless(trouble, verdict, moment.dice)
            }
            Known::No if trouble => self.troubled(request, moment),
            Known::No => self.plain(request, moment),
        }
    }

    /// Whether an earlier request has the money already; then its effect is not far.
    fn is_under_way(&mut self, request: &Request, now: Duration) -> bool {
        let soon = now + self.manners.window * 8 / 10;
        let key = request.key();
        let mut found = false;
        for (at, _) in self.late.iter_mut().filter(|(_, late)| late.key() == key) {
            *at = soon.min(*at);
            found = true;
        }
        found
    }

    /// The answer, unless trouble loses it.
    fn unless(trouble: bool, verdict: Verdict, dice: &mut Dice) -> (Verdict, &'static str) {
        if trouble {
            (doubt(dice), "alipay: answer lost")
        } else {
            (verdict, "")
        }
    }

    fn visible_at(&self, request: &Request, moment: &mut Moment<'_>) -> Duration {
        let lag = u64::try_from(self.manners.lag_max.as_millis()).unwrap();
        let visible_at = moment.now + moment.dice.millis(0, lag);
        if self.manners.idempotency == Idempotency::Nothing {
            visible_at.min(self.last_instant(request)).max(moment.now)
        } else {
            visible_at
        }
    }

    /// Within the window of the confirmed absence, counted from before the first byte.
    fn last_instant(&self, request: &Request) -> Duration {
        request.begun + self.manners.window * 9 / 10
    }

    fn plain(&mut self, request: &Request, moment: &mut Moment<'_>) -> (Verdict, &'static str) {
        let visible_at = self.visible_at(request, moment);
        match self.execute(request, moment.now, visible_at) {
            Some(number) => (Verdict::Succeeded(receipt(&request.job, number)), ""),
            None => {
                self.refused.insert(request.key(), Duration::MAX);
                (
                    Verdict::RefusedUnconfirmed(refusal("MONEY_NOT_ENOUGH")),
                    "alipay: packet is empty",
                )
            }
        }
    }

    /// A request that would move money meets trouble.
    fn troubled(&mut self, request: &Request, moment: &mut Moment<'_>) -> (Verdict, &'static str) {
        match moment.dice.below(12) {
            0 | 1 => {
                let visible_at = self.visible_at(request, moment);
                self.execute(request, moment.now, visible_at);
                (doubt(moment.dice), "alipay: effect, answer lost")
            }
            2 => {
                let at = self.late_instant(request, moment);
                self.late.push((at, request.clone()));
                let verdict = moment
                    .dice
                    .happens(300)
                    .then_some(Verdict::InProgress(None));
                (
                    verdict.unwrap_or_else(|| doubt(moment.dice)),
                    "alipay: effect later",
                )
            }
            3 => (doubt(moment.dice), "alipay: no effect, no answer"),
            4 => self.begin(request, moment),
            5 => {
                self.refused.insert(request.key(), Duration::MAX);
                (
                    Verdict::Refused(refusal("PAYEE_ACCOUNT_STATUS_ERROR")),
                    "alipay: refused",
                )
            }
            6 => (
                Verdict::NotExecuted(NotExecuted::Limited),
                "alipay: call limited",
            ),
            7 => (
                Verdict::NotExecuted(NotExecuted::NotSent),
                "alipay: not reached",
            ),
            _ => {
                let proof = moment.dice.pick(&[Proof::Signed, Proof::Unsigned]);
                if proof == Proof::Unsigned {
                    let visible_at = self.visible_at(request, moment);
                    self.execute(request, moment.now, visible_at);
                }
                (Verdict::Blocked(blockage(proof)), "alipay: app blocked")
            }
        }
    }

    /// Minutes later, where Alipay knows the number again; else within the window.
    fn late_instant(&self, request: &Request, moment: &mut Moment<'_>) -> Duration {
        let knows = self.manners.idempotency != Idempotency::Nothing;
        let most = if knows && moment.dice.happens(300) {
            600_000
        } else {
            20_000
        };
        let at = moment.now + moment.dice.millis(100, most);
        if knows {
            at
        } else {
            at.min(self.last_instant(request)).max(moment.now)
        }
    }

    /// The operation is on its way, as a query sees too.
    fn begin(&mut self, request: &Request, moment: &mut Moment<'_>) -> (Verdict, &'static str) {
        if !self.draw_from_packet(&request.job) {
            self.refused.insert(request.key(), Duration::MAX);
            return (
                Verdict::RefusedUnconfirmed(refusal("MONEY_NOT_ENOUGH")),
                "alipay: packet is empty",
            );
        }
        let most = self
            .manners
            .in_progress_until
            .max(moment.now + Duration::from_secs(5));
        let at = moment.now
            + moment.dice.millis(
                1_000,
                u64::try_from((most - moment.now).as_millis()).unwrap(),
            );
        let status = moment.dice.pick(&[
            OperationStatus::Success,
            OperationStatus::Success,
            OperationStatus::Closed,
        ]);
        let number = self.record(
            request,
            moment.now,
            OperationStatus::Init,
            Some((at, status)),
        );
        let numbers = numbers(&request.job, number);
        (Verdict::InProgress(numbers), "alipay: in progress")
    }

    /// Reads what became of an operation.
    pub(crate) fn query(
        &mut self,
        target: &QueryTarget,
        moment: &mut Moment<'_>,
    ) -> (Finding, &'static str) {
        self.advance(moment.now);
        if moment.now < self.blocked_until {
            return (
                Finding::Blocked(blockage(Proof::Signed)),
                "alipay: app blocked",
            );
        }
        if moment.dice.happens(moment.trouble / 2) {
            return match moment.dice.below(4) {
                0 => (
                    Finding::NotExecuted(NotExecuted::Limited),
                    "alipay: call limited",
                ),
                1 => (
                    Finding::NotExecuted(NotExecuted::NotSent),
                    "alipay: not reached",
                ),
                _ => {
                    let Verdict::Unknown(doubt) = doubt(moment.dice) else {
                        return (Finding::NotFound, "");
                    };
                    (Finding::Unknown(doubt), "alipay: query without answer")
                }
            };
        }
        let records = self.records_of(target);
        let visible = records
            .iter()
            .find(|record| record.visible_at <= moment.now);
        match visible {
            None => (
                Finding::NotFound,
                if records.is_empty() {
                    ""
                } else {
                    "alipay: query lags"
                },
            ),
            Some(record) => (Finding::Found(Box::new(operation(record))), ""),
        }
    }

    /// What is known under the merchant's numbers, or under Alipay's own.
    fn records_of(&self, target: &QueryTarget) -> &[Record] {
        if let OperationRef::OperationId(number) = &target.operation {
            let is_asked = |record: &&Record| {
                receipt(&record.job, record.number).operation_id.as_ref() == Some(number)
            };
            let found = self.records.values().flatten().find(is_asked);
            return found.map_or(&[][..], std::slice::from_ref);
        }
        let records = self.records.get(&BankKey::of(target));
        records.map_or(&[][..], Vec::as_slice)
    }
}
