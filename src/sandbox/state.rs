//! What the gateway and the console share.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use secrecy::ExposeSecret;
use tokio::sync::Notify;

use crate::adapters::alipay::content_key::ContentKey;
use crate::adapters::alipay::keys::KeyError;
use crate::adapters::alipay::sign::{SignType, Verifier};
use crate::domain::time::{UnixMillis, millis};
use crate::sandbox::bank::{Bank, BankBooks};
use crate::sandbox::faults::{FaultDice, Faults, Moment};
use crate::sandbox::identity::Identities;
use crate::sandbox::keys::SandboxKeys;
use crate::sandbox::notices::{Answered, Board, Notice, Poster};

/// How long a call waits at most for the first delivery of its notification.
const FIRST_DELIVERIES_MAX: Duration = Duration::from_secs(5);

/// Of so many calls it is remembered when they came.
const NEWEST_CALLS_MAX: usize = 100_000;

/// The wall clock, as an argument: milliseconds since 1970.
pub type WallClock = Arc<dyn Fn() -> UnixMillis + Send + Sync>;

/// The sandbox's clock: the wall clock, hurried and put forward.
///
/// It runs the bank, its deadlines and the notifications. The timestamps of calls are held
/// against the wall clock itself, for the clients live by that.
pub(crate) struct SandboxClock {
    wall: WallClock,
    started_at: UnixMillis,
    /// How many seconds pass in one.
    scale: NonZeroU32,
    put_forward_ms: AtomicU64,
}

impl SandboxClock {
    pub(crate) fn new(wall: WallClock, scale: NonZeroU32) -> Self {
        Self {
            started_at: wall(),
            wall,
            scale,
            put_forward_ms: AtomicU64::new(0),
        }
    }

    pub(crate) fn now(&self) -> UnixMillis {
        let passed = (self.wall)().since(self.started_at);
        let passed = passed.saturating_mul(self.scale.get());
        let put_forward = Duration::from_millis(self.put_forward_ms.load(Ordering::SeqCst));
        self.started_at.plus(passed).plus(put_forward)
    }

    pub(crate) fn wall_now(&self) -> UnixMillis {
        (self.wall)()
    }

    pub(crate) fn scale(&self) -> NonZeroU32 {
        self.scale
    }

    pub(crate) fn put_forward(&self, length: Duration) {
        let length_ms = millis(length);
        self.put_forward_ms.fetch_add(length_ms, Ordering::SeqCst);
    }
}

/// The books of the bank, and what was done to its clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Books {
    /// The bank's books.
    pub bank: BankBooks,
    /// How often each fault was injected, by its word.
    pub faults_injected: BTreeMap<&'static str, u64>,
    /// How many calls passed the signature check, by method.
    pub calls: BTreeMap<&'static str, u64>,
}

pub(crate) struct State {
    pub(crate) app_id: String,
    /// Held back before each answer, on top of the knob.
    pub(crate) delay: Duration,
    pub(crate) clock: SandboxClock,
    bank: Mutex<Bank>,
    dice: Mutex<FaultDice>,
    traffic: Mutex<Traffic>,
    notices: Mutex<Board>,
    poster: Poster,
    /// There may be something to deliver.
    woken: Notify,
    /// A delivery has ended.
    delivered: Notify,
    pub(in crate::sandbox) identities: Identities,
    /// `None`: the key in the file is none, and encrypted calls are turned away.
    pub(in crate::sandbox) content_key: Option<ContentKey>,
    /// What requests are verified with.
    rsa2: Verifier,
    rsa: Verifier,
}

#[derive(Default)]
struct Traffic {
    calls: BTreeMap<&'static str, u64>,
    /// The second of the clock that is being counted, and its calls.
    windows: HashMap<&'static str, (u64, u32)>,
    /// When the newest calls came, by the wall clock, the oldest first.
    newest: VecDeque<(&'static str, UnixMillis)>,
}

impl State {
    pub(crate) fn new(
        app_id: String,
        keys: &SandboxKeys,
        clock: SandboxClock,
        (bank, dice): (Bank, FaultDice),
        poster: Poster,
    ) -> Result<Self, KeyError> {
        Ok(Self {
            app_id,
            delay: Duration::ZERO,
            clock,
            bank: Mutex::new(bank),
            dice: Mutex::new(dice),
            traffic: Mutex::new(Traffic::default()),
            notices: Mutex::new(Board::default()),
            poster,
            woken: Notify::new(),
            delivered: Notify::new(),
            identities: Identities::new(keys)?,
            content_key: ContentKey::parse(keys.content_key().expose_secret()).ok(),
            rsa2: Verifier::new(keys.app_public_key(), SignType::Rsa2)?,
            rsa: Verifier::new(keys.app_public_key(), SignType::Rsa)?,
        })
    }

    pub(crate) fn now(&self) -> UnixMillis {
        self.clock.now()
    }

    pub(crate) fn wall_now(&self) -> UnixMillis {
        self.clock.wall_now()
    }

    /// Puts the sandbox's clock forward, and lets happen what is due by then.
    pub(crate) fn put_forward(&self, length: Duration) {
        self.clock.put_forward(length);
        self.with_bank(Bank::advance);
    }

    /// What the app's calls are verified with.
    pub(crate) fn verifier(&self, sign_type: SignType) -> &Verifier {
        match sign_type {
            SignType::Rsa2 => &self.rsa2,
            SignType::Rsa => &self.rsa,
        }
    }

    /// Does something with the bank; what happens by it is noted to be told.
    pub(crate) fn with_bank<T>(&self, act: impl FnOnce(&mut Bank, UnixMillis) -> T) -> T {
        let now = self.now();
        let (result, happened) = {
            let mut bank = held(&self.bank);
            let result = act(&mut bank, now);
            (result, bank.take_happened())
        };
        if !happened.is_empty() {
            let delay = self.faults().notices.delay();
            let mut notices = held(&self.notices);
            for happening in happened {
                notices.add(happening, |url| self.poster.allows(url), delay, now);
            }
            self.woken.notify_one();
        }
        result
    }

    pub(in crate::sandbox) fn poster(&self) -> &Poster {
        &self.poster
    }

    /// Waits until there may be something to deliver.
    pub(in crate::sandbox) async fn notices_woken(&self) {
        self.woken.notified().await;
    }

    pub(in crate::sandbox) fn take_due_notices(&self, max: usize) -> Vec<(u64, Notice)> {
        held(&self.notices).take_due(max, self.now())
    }

    pub(in crate::sandbox) fn record_delivery(
        &self,
        number: u64,
        sent_at: UnixMillis,
        answered: Answered,
    ) {
        held(&self.notices).record(number, sent_at, answered);
        self.delivered.notify_waiters();
    }

    /// The newest `newest` notifications, oldest first.
    pub(in crate::sandbox) fn notices(&self, newest: usize) -> Vec<Notice> {
        held(&self.notices).newest(newest)
    }

    /// Waits for what has to happen before a call is answered: the first deliveries, if the
    /// knob wants them to.
    pub(crate) async fn before_answering(&self) {
        if self.faults().notices.moment == Moment::Anytime {
            return;
        }
        let end = held(&self.notices).end();
        let all_ended = async {
            loop {
                // Listened to before the look, so that no end is missed.
                let mut delivered = std::pin::pin!(self.delivered.notified());
                delivered.as_mut().enable();
                if !held(&self.notices).owes_first(end, self.now()) {
                    return;
                }
                delivered.await;
            }
        };
        // A merchant that does not answer holds up no call for longer than this.
        let ended = tokio::time::timeout(FIRST_DELIVERIES_MAX, all_ended).await;
        if ended.is_err() {
            tracing::debug!("a notification takes longer than its call can wait");
        }
    }

    pub(crate) fn dice(&self) -> MutexGuard<'_, FaultDice> {
        held(&self.dice)
    }

    pub(crate) fn faults(&self) -> Faults {
        self.dice().faults().clone()
    }

    /// Counts a call; `false` when it is over `limit_per_second`.
    pub(crate) fn admit(&self, method: &'static str, limit_per_second: Option<u32>) -> bool {
        let now = self.wall_now();
        let second = now.0 / 1000;
        let mut traffic = held(&self.traffic);
        if traffic.newest.len() >= NEWEST_CALLS_MAX {
            traffic.newest.pop_front();
        }
        traffic.newest.push_back((method, now));
        *traffic.calls.entry(method).or_default() += 1;
        let Some(limit) = limit_per_second else {
            return true;
        };
        let window = traffic.windows.entry(method).or_default();
        if window.0 != second {
            *window = (second, 0);
        }
        window.1 = window.1.saturating_add(1);
        window.1 <= limit
    }

    /// When each of the newest [`NEWEST_CALLS_MAX`] calls came, by method, the oldest first.
    pub(crate) fn newest_calls(&self) -> BTreeMap<&'static str, Vec<u64>> {
        let mut calls: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (method, at) in &held(&self.traffic).newest {
            calls.entry(*method).or_default().push(at.0);
        }
        calls
    }

    pub(crate) fn books(&self) -> Books {
        let bank = self.with_bank(|bank, now| bank.books(now));
        let dice = self.dice();
        let injected = dice.injected().iter();
        Books {
            bank,
            faults_injected: injected
                .map(|(fault, count)| (fault.as_str(), *count))
                .collect(),
            calls: held(&self.traffic).calls.clone(),
        }
    }
}

#[expect(
    clippy::expect_used,
    reason = "a holder panics only when an invariant of the bank is broken; nothing after that counts"
)]
fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no invariant of the sandbox is broken")
}
