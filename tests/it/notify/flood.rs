//! A flood of notifications, valid and forged, from one source: the valid ones become one event
//! each, the forged ones none, and the memory stays where it was.
//!
//! `tests/notify-flood --seconds S --rate R` runs it for longer, against the real binary.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hongbaod::adapters::alipay::keys::PrivateKey;
use hongbaod::adapters::clock::SystemClock;
use hongbaod::ports::clock::Clock;
use tokio::task::JoinSet;

use super::alipay::{Alipay, encoded};
use super::place::Place;
use crate::daemon::broker::Subscriber;
use crate::daemon::world::{World, WorldOptions};
use crate::patience::{eventually, pause};
use crate::servers::{amqp_url, redis_url};

/// How many requests are under way at a time.
const SENDERS: u64 = 64;

/// Of ten requests four are new notices, one repeats an earlier one, five are forged.
const TURNS: u64 = 10;

/// What is sent.
struct Flood {
    url: String,
    alipay: Alipay,
    forger: Alipay,
    requests: u64,
    rate: u64,
    /// Made before it begins: signing is not what is measured.
    bodies: Vec<String>,
    next: AtomicU64,
    tally: Mutex<Tally>,
    http: reqwest::Client,
}

#[derive(Debug, Default)]
struct Tally {
    valid: u64,
    repeated: u64,
    forged: u64,
    forged_accepted: u64,
    /// Valid ones that were not answered `success`, to be sent again as Alipay does.
    unanswered: Vec<u64>,
    statuses: BTreeMap<u16, u64>,
}

/// What a request is.
enum Ask {
    New(u64),
    Repeated(u64),
    Forged(u64),
}

impl Ask {
    fn of(index: u64) -> Self {
        match index % TURNS {
            0 | 2 | 4 | 6 => Self::New(index),
            // Sent a while ago, and answered by now.
            8 if index >= 10 * TURNS => Self::Repeated(index - index % TURNS - 9 * TURNS),
            8 => Self::New(index),
            _ => Self::Forged(index),
        }
    }
}

impl Flood {
    fn new(url: String, alipay: Alipay, app_id: &str, (seconds, rate): (u64, u64)) -> Arc<Self> {
        let mut flood = Self {
            url,
            alipay,
            forger: Alipay::new(PrivateKey::generate().unwrap(), app_id),
            requests: seconds * rate,
            rate,
            bodies: Vec::new(),
            next: AtomicU64::new(0),
            tally: Mutex::default(),
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
        };
        let indices = 0..flood.requests;
        flood.bodies = indices.map(|index| flood.body(&Ask::of(index))).collect();
        Arc::new(flood)
    }

    fn body(&self, ask: &Ask) -> String {
        match ask {
            Ask::New(number) | Ask::Repeated(number) => self.valid(*number),
            Ask::Forged(number) => self.forged(*number),
        }
    }

    fn valid(&self, index: u64) -> String {
        self.alipay.signed(self.alipay.refund(&number(index), &[]))
    }

    fn forged(&self, index: u64) -> String {
        let params = self.forger.refund(&number(index), &[]);
        match index % 5 {
            0 => encoded(&params),
            1 => self.forger.signed(params),
            2 => encoded(&params) + "&sign=AAAA&sign_type=RSA2",
            3 => {
                // A true one's signature under another number.
                let earlier = self.valid(index - index % TURNS);
                earlier.replace(&number(index - index % TURNS), &number(index))
            }
            _ => "x".repeat(500),
        }
    }

    async fn post(&self, body: String) -> u16 {
        let answer = self.http.post(&self.url).body(body).send().await;
        match answer {
            Ok(answer) => {
                let status = answer.status().as_u16();
                let word = answer.text().await.unwrap_or_default();
                if (status == 200) == (word == "success") {
                    status
                } else {
                    0
                }
            }
            Err(_) => 0,
        }
    }

    async fn send(&self, index: u64) {
        let body = self.bodies[usize::try_from(index).unwrap()].clone();
        let status = self.post(body).await;
        let mut tally = self.tally.lock().unwrap();
        *tally.statuses.entry(status).or_default() += 1;
        match Ask::of(index) {
            Ask::New(number) => {
                tally.valid += 1;
                if status != 200 {
                    tally.unanswered.push(number);
                }
            }
            Ask::Repeated(_) => tally.repeated += 1,
            Ask::Forged(_) => {
                tally.forged += 1;
                tally.forged_accepted += u64::from(status == 200);
            }
        }
    }

    /// Sends everything at the rate, as far as the machine goes along; returns how long it took.
    async fn run(self: &Arc<Self>) -> Duration {
        let clock = Arc::new(SystemClock::new());
        let begin = clock.monotonic();
        let mut senders = JoinSet::new();
        for _ in 0..SENDERS {
            let (flood, clock) = (Arc::clone(self), Arc::clone(&clock));
            senders.spawn(async move {
                loop {
                    let index = flood.next.fetch_add(1, Ordering::Relaxed);
                    if index >= flood.requests {
                        return;
                    }
                    let due = Duration::from_micros(index * 1_000_000 / flood.rate);
                    let early = due.saturating_sub(clock.monotonic().since(begin));
                    if !early.is_zero() {
                        pause(early).await;
                    }
                    flood.send(index).await;
                }
            });
        }
        senders.join_all().await;
        clock.monotonic().since(begin)
    }

    /// Repeats what was not answered `success`, as Alipay does, until everything is.
    async fn repeat(&self) -> usize {
        let unanswered = std::mem::take(&mut self.tally.lock().unwrap().unanswered);
        for &index in &unanswered {
            let body = self.valid(index);
            eventually("a success at last", async || {
                self.post(body.clone()).await == 200
            })
            .await;
        }
        unanswered.len()
    }

    /// Compares the events with what was sent.
    async fn check(&self, subscriber: &Subscriber, took: Duration) -> String {
        let repeated = self.repeat().await;
        let (valid, forged_accepted) = {
            let tally = self.tally.lock().unwrap();
            (tally.valid, tally.forged_accepted)
        };
        let expected = usize::try_from(valid).unwrap();
        eventually("every event", async || subscriber.count() >= expected).await;
        let mut told: BTreeMap<String, u64> = BTreeMap::new();
        for event in subscriber.events() {
            let number = event["data"]["out_request_no"].as_str().unwrap().to_owned();
            *told.entry(number).or_default() += 1;
        }
        let twice = told.values().filter(|count| **count > 1).count();
        let tally = self.tally.lock().unwrap();
        let summary = format!(
            "sent {} in {:.1} s ({}/s), answers by status {:?}; valid {valid}, repeated {}, \
             forged {}; valid repeated after a refusal {repeated}; events {}, of distinct \
             notices {}, twice {twice}; forged accepted {forged_accepted}",
            self.requests,
            took.as_secs_f64(),
            u128::from(self.requests) * 1_000 / took.as_millis().max(1),
            tally.statuses,
            tally.repeated,
            tally.forged,
            subscriber.count(),
            told.len(),
        );
        assert_eq!(forged_accepted, 0, "{summary}");
        assert_eq!((told.len(), twice), (expected, 0), "{summary}");
        summary
    }
}

fn number(index: u64) -> String {
    format!("F{index:08}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_valid_notice_of_a_flood_becomes_one_event_and_no_forged_one_any() {
    match order() {
        None => short().await,
        Some(order) => long(order).await,
    }
}

/// Two seconds inside this process, at a rate that a busy machine can do.
async fn short() {
    let place = Place::start("notify-flood", |config| {
        config.notify.rate_per_source = NonZeroU32::new(1_000_000).unwrap();
    })
    .await;
    let url = format!("{}/main", place.url);
    let alipay = Alipay::new(place.key.clone(), "2021000000000001");
    let flood = Flood::new(url, alipay, "2021000000000001", (2, 300));
    let took = flood.run().await;
    flood.check(&place.subscriber, took).await;
    place.close().await;
}

/// What `tests/notify-flood` asks for: seconds and requests a second.
#[expect(
    clippy::disallowed_methods,
    reason = "tests/notify-flood tells the test by these variables how long and how fast"
)]
fn order() -> Option<(u64, u64)> {
    let read = |name: &str| {
        let text = std::env::var(name).ok().filter(|text| !text.is_empty())?;
        let number: u64 = text.parse().unwrap_or_else(|_| panic!("{name}={text}"));
        Some(number)
    };
    let seconds = read("HONGBAOD_FLOOD_SECONDS")?;
    Some((seconds, read("HONGBAOD_FLOOD_RATE").unwrap_or(2_000)))
}

/// Against the real binary, in a process of its own.
#[expect(
    clippy::print_stdout,
    reason = "`tests/notify-flood` shows the last line"
)]
async fn long(order: (u64, u64)) {
    let world = World::start(
        "notify-flood",
        WorldOptions {
            amqp: amqp_url(),
            redis: redis_url(),
            sandbox: &[],
            settings: &[
                ("HONGBAOD__NOTIFY__LISTEN", "127.0.0.1:0"),
                ("HONGBAOD__NOTIFY__RATE_PER_SOURCE", "1000000"),
            ],
        },
    )
    .await;
    let daemon = world.daemon().await;
    let subscriber = world.subscribe().await;
    let key = std::fs::read_to_string(world.path("keys/alipay_private_key.pem")).unwrap();
    let key = PrivateKey::parse(&key).unwrap();
    let app_id = world.config().alipay.apps["main"].app_id.clone();
    let flood = Flood::new(
        daemon.notify_url(),
        Alipay::new(key, &app_id),
        &app_id,
        order,
    );
    // A ledger that is new may as well have forgotten everything: it is doubted for a minute.
    let first = flood.valid(u64::from(u32::MAX));
    eventually_in_doubt(&flood, &first).await;
    let resident = async || daemon.count("process_resident_memory_bytes", "").await / 1024;
    let begin = resident().await;
    let running = {
        let flood = Arc::clone(&flood);
        tokio::spawn(async move { flood.run().await })
    };
    pause(Duration::from_secs(order.0 / 2)).await;
    let middle = resident().await;
    let took = running.await.unwrap();
    let end = resident().await;
    flood.tally.lock().unwrap().valid += 1;
    let summary = flood.check(&subscriber, took).await;
    println!("flood: {summary}; resident KiB at begin {begin}, middle {middle}, end {end}");
    assert!(
        end < middle + 16 * 1024,
        "memory grows: {middle} to {end} KiB"
    );
    world.demolish().await;
}

/// Waits until a new ledger is believed.
async fn eventually_in_doubt(flood: &Flood, body: &str) {
    let doubt = Duration::from_secs(90);
    crate::patience::eventually_within(doubt, "the doubt is over", async || {
        pause(Duration::from_millis(500)).await;
        flood.post(body.to_owned()).await == 200
    })
    .await;
}
