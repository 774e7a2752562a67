//! A storm: jobs come steadily while workers, RabbitMQ and Redis are killed and frozen, their
//! connections are cut, stalled and closed by halves, queues are deleted, Redis is full or forgets
//! everything, and Alipay answers nonsense. Everything is drawn from a seed. At the end the bank,
//! the events, the dead letters and the ledger are compared job by job.
//!
//! `tests/storm --minutes M --seed S` runs it for longer.

mod comparison;
#[cfg(test)]
mod comparison_tests;
mod field;
mod jobs;
mod producer;
mod replica;
mod schedule;
mod settling;
mod summary;
mod told;

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hongbaod::adapters::clock::SystemClock;
use hongbaod::ports::clock::Clock;

use self::comparison::{Evidence, Findings, compare};
use self::field::{Diary, Field, content};
use self::jobs::{Ask, Jobs, REFUNDS};
use self::producer::Producer;
use self::replica::{Replica, authority, look_for_bugs};
use self::schedule::{Planned, REPLICAS};
use self::settling::{Settled, Settling, whole_ledger};
use self::summary::{Summary, Work};
use self::told::Told;
use crate::daemon::broker::{self, subscribe};
use crate::daemon::plan::Dice;
use crate::daemon::world::{Daemon, World, WorldOptions};
use crate::patience::{eventually, pause};
use crate::rabbitmq_server::RabbitmqServer;

/// How long a storm lasts when nobody says: long enough for most faults to come once.
const LENGTH: Duration = Duration::from_secs(50);

/// The seed when nobody says.
const SEED: u64 = 20_261_122;

/// So many messages are published in each of these periods: 50 a second.
const MESSAGES_PER_PERIOD: usize = 5;
const PERIOD: Duration = Duration::from_millis(100);

/// The least that the configuration allows, so that nobody waits long for what was thrown away.
const SETTINGS: [(&str, &str); 2] = [
    ("HONGBAOD__LEDGER__RESCUE_AFTER", "1m"),
    // `field::PREFETCH`: few enough to be counted when they are gone with their queue.
    ("HONGBAOD__RABBITMQ__PREFETCH__DISBURSE", "16"),
];

/// What `tests/storm` asks for.
#[derive(Clone, Copy, Debug)]
struct Order {
    length: Duration,
    seed: u64,
}

impl Order {
    #[expect(
        clippy::disallowed_methods,
        reason = "tests/storm tells the test by these variables how long and from which seed"
    )]
    fn read() -> Self {
        let read = |name: &str| {
            let text = std::env::var(name).ok().filter(|text| !text.is_empty())?;
            let number: u64 = text.parse().unwrap_or_else(|_| panic!("{name}={text}"));
            Some(number)
        };
        Self {
            length: read("HONGBAOD_STORM_MINUTES")
                .map_or(LENGTH, |minutes| Duration::from_secs(minutes * 60)),
            seed: read("HONGBAOD_STORM_SEED").unwrap_or(SEED),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_job_comes_to_its_one_end_through_a_storm_of_faults() {
    let order = Order::read();
    let repeat = order.repeat();
    eprintln!("storm: {repeat} repeats this one");
    let mut dice = Dice::new(order.seed);
    let lanes = schedule::draw(order.length, &mut dice);
    let (field, jobs) = set_up(order.length, &mut dice).await;
    let asks = jobs.asks;
    let told = Arc::new(Mutex::new(Told::default()));
    let ear = Arc::clone(&told);
    let world = &field.world;
    let listening = subscribe(&world.amqp, &world.prefix, move |body| {
        ear.lock().unwrap().hear(body);
    })
    .await;

    rage(&field, order.length, lanes, &jobs.messages).await;
    let told_in_storm = told.lock().unwrap().ids();

    let daemons = calm(&field).await;
    let diary = field.diary.lock().unwrap().clone();
    let settling = Settling {
        world,
        daemons: &daemons,
        producer: &field.producer,
        asks: &asks,
        told: &told,
        diary: &diary,
    };
    let settled = settling.run().await;
    let mut work = Work::default();
    for replica in &field.replicas {
        work.add(replica.work());
        work.exits += replica.exits.load(Ordering::Relaxed);
    }
    for mut daemon in daemons {
        work.add(Work::of_metrics(&daemon.page("/metrics").await.1));
        assert_eq!(daemon.process.terminate().await, Some(0));
        look_for_bugs(&daemon.process);
    }
    let evidence = gather(world, &asks, &told, (&settled, &diary)).await;
    listening.abort();
    let findings = compare(&asks, &evidence);
    let summary = Summary {
        order: (order.seed, order.length),
        messages: jobs.messages.len(),
        asks: &asks,
        published: field.producer.published(),
        settled: &settled,
        told_in_storm,
        diary: &diary,
        work,
        evidence: &evidence,
        findings: &findings,
    };
    eprintln!("{summary}");
    check(&findings, &repeat);
    let books = world.sandbox("books").await;
    assert_eq!(books["balanced"], true, "{books}");
    assert_eq!(books["movements_per_out_request_no_max"], 1, "{books}");
}

impl Order {
    /// The command that repeats this storm.
    fn repeat(self) -> String {
        let seed = self.seed;
        match self.length.as_secs() / 60 {
            0 => format!("`HONGBAOD_STORM_SEED={seed} tests/run --test it faults::storm`"),
            minutes => format!("`tests/storm --minutes {minutes} --seed {seed}`"),
        }
    }
}

/// Servers, a sandbox, two daemons behind proxies, and a producer that has nothing to do yet.
async fn set_up(length: Duration, dice: &mut Dice) -> (Arc<Field>, Jobs) {
    let node = RabbitmqServer::start().await;
    let redis = node.redis_url().await;
    let refunds = format!("{REFUNDS}=10000000.00");
    let options = WorldOptions {
        amqp: node.url().await,
        redis: redis.clone(),
        sandbox: &["--packet", &refunds],
        settings: &SETTINGS,
    };
    let world = Arc::new(World::start("storm", options).await);
    let gateway = world.config().alipay.gateway;
    let mut replicas = Vec::new();
    for _ in 0..REPLICAS {
        replicas.push(Replica::start(&world, &redis, authority(&gateway)).await);
    }
    for replica in &replicas {
        eventually("a running daemon", async || replica.is_up().await).await;
    }
    let queues = broker::queues(&world.rabbitmq()).await;
    let is_retry = |queue: &String| queue.contains(".retry.");
    let jobs = draw_jobs(&world, length, dice).await;
    let contents = jobs.asks.iter().enumerate();
    let places = contents.map(|(place, ask)| (content(&ask.body), place));
    let field = Field {
        places: places.collect(),
        producer: Producer::start(&world.amqp, &world.prefix, Arc::clone(&jobs.asks)),
        world,
        replicas,
        node,
        redis,
        clock: SystemClock::new(),
        retry_queues: queues.into_iter().filter(is_retry).collect(),
        idempotency: ["replay", "already_used"][dice.below(2)],
        diary: Mutex::new(Diary::default()),
        young_until: Mutex::new(Duration::ZERO),
    };
    field.queues_are_young();
    field.set_manners(0).await;
    (Arc::new(field), jobs)
}

async fn draw_jobs(world: &World, length: Duration, dice: &mut Dice) -> Jobs {
    let periods = length.as_millis() / PERIOD.as_millis();
    let messages = usize::try_from(periods).unwrap() * MESSAGES_PER_PERIOD;
    let packets = world.sandbox("packets").await;
    let packets = packets.as_array().unwrap();
    let refunds = packets.iter().find(|p| p["out_order_no"] == REFUNDS);
    let auth_no = refunds.unwrap()["auth_no"].as_str().unwrap();
    Jobs::draw(messages, auth_no, dice)
}

/// Publishes the jobs, while each victim has its faults.
async fn rage(field: &Arc<Field>, length: Duration, lanes: Vec<Vec<Planned>>, messages: &[usize]) {
    let began = field.clock.monotonic().0;
    let span = (began, began + length);
    let keeping: Vec<_> = field.replicas.iter().map(Replica::keep).collect();
    let lanes = lanes
        .into_iter()
        .map(|lane| Arc::clone(field).run_lane(span, lane));
    let lanes: Vec<_> = lanes.map(tokio::spawn).collect();
    let mut periods = tokio::time::interval(PERIOD);
    for batch in messages.chunks(MESSAGES_PER_PERIOD) {
        periods.tick().await;
        for message in batch {
            field.producer.publish(*message);
        }
    }
    for lane in lanes {
        lane.await.expect("every fault can be inflicted and healed");
    }
    field.heal().await;
    // A daemon that was started while its servers were away ends, and is started again.
    for replica in &field.replicas {
        eventually("a running daemon", async || replica.is_up().await).await;
    }
    for task in keeping {
        assert!(!task.is_finished(), "a daemon has a bug");
        task.abort();
        drop(task.await);
    }
}

/// Waits until all daemons are ready.
async fn calm(field: &Field) -> Vec<Daemon> {
    let mut daemons = Vec::new();
    for replica in &field.replicas {
        daemons.push(replica.daemon().await);
    }
    daemons
}

/// Everything there is to look at.
async fn gather(
    world: &World,
    asks: &[Ask],
    told: &Mutex<Told>,
    (settled, diary): (&Settled, &Diary),
) -> Evidence {
    // The last copies of an event may still be on their way to the subscriber.
    let subscriber = [format!("{}.subscriber", world.prefix)];
    eventually("every event is heard", async || {
        let counts = broker::counts(&world.amqp, &subscriber).await;
        counts.is_ok_and(|counts| counts[0] == 0)
    })
    .await;
    pause(PERIOD).await;
    let mut left = Vec::new();
    for queue in world.job_queues().await {
        for (body, _) in broker::take_all(&world.amqp, &queue).await {
            left.push((queue.clone(), String::from_utf8_lossy(&body).into_owned()));
        }
    }
    let told = told.lock().unwrap().clone();
    Evidence {
        operations: world
            .sandbox("operations")
            .await
            .as_array()
            .unwrap()
            .clone(),
        told,
        dead_letters: settled.dead_letters.clone(),
        ledger: whole_ledger(world, asks).await,
        forgettings: diary.forgettings.clone(),
        left,
    }
}

fn check(findings: &Findings, repeat: &str) {
    let all = findings.all();
    let first: Vec<&String> = all.iter().take(20).collect();
    assert!(
        all.is_empty(),
        "{} findings, first {first:#?}\n{repeat}",
        all.len()
    );
}
