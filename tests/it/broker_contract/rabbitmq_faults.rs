//! Faults of a real RabbitMQ: killed, cut, frozen, short of memory. Each on a node of its own.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use hongbaod::adapters::rabbitmq::{RabbitmqBroker, RabbitmqOptions};
use hongbaod::domain::job::Kind;
use hongbaod::ports::broker::{Broker, PublishError, Settlement};
use hongbaod::ports::ledger::Connection;
use tempfile::TempDir;
use tokio::sync::{Mutex, MutexGuard};

use super::clock::elapsed;
use super::rabbitmq::{connect, options, up};
use super::world::{arrival, body, event, eventually, job, nothing_arrives};

/// Jobs that wait while the broker fails.
const JOBS: usize = 20;

/// How long a confirm may take in these tests.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(1);

/// Nodes that start together on two cores are slow enough to fail other tests.
static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

/// A RabbitMQ that a test may break.
struct Node {
    directory: TempDir,
    _turn: MutexGuard<'static, ()>,
}

impl Drop for Node {
    fn drop(&mut self) {
        // A node that the test left frozen or dead cannot fail the test any more.
        let stopped = servers(self.directory.path(), &["stop"]);
        drop(stopped);
    }
}

/// Runs `tests/servers COMMAND DIRECTORY ARGS…` and returns what it printed.
fn servers(directory: &Path, words: &[&str]) -> Result<String, String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/servers");
    let output = Command::new(script)
        .arg(words[0])
        .arg(directory)
        .args(&words[1..])
        .output()
        .map_err(|error| error.to_string())?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

impl Node {
    async fn start() -> Self {
        let turn = ONE_AT_A_TIME.lock().await;
        let node = Self {
            directory: TempDir::new().unwrap(),
            _turn: turn,
        };
        node.run(&["start"]).await;
        node
    }

    async fn run(&self, words: &'static [&'static str]) -> String {
        let directory = self.directory.path().to_owned();
        tokio::task::spawn_blocking(move || servers(&directory, words))
            .await
            .unwrap()
            .unwrap_or_else(|error| panic!("{words:?}: {error}"))
    }

    async fn options(&self) -> RabbitmqOptions {
        let variables = self.run(&["env"]).await;
        let url = variables
            .split('\'')
            .find(|word| word.starts_with("amqp://"))
            .expect("the address among the variables");
        RabbitmqOptions {
            confirm_timeout: CONFIRM_TIMEOUT,
            ..options(url, "faults")
        }
    }

    /// Waits until the broker has written the young queues' votes to disk.
    ///
    /// RabbitMQ 3.10 saves them about 5 s after the election; a node killed earlier comes back with
    /// queues that never elect a leader, which is no fault of ours.
    async fn votes_written(&self) {
        let votes: PathBuf = self
            .directory
            .path()
            .join("rabbitmq/mnesia/hongbaod@localhost/quorum/hongbaod@localhost/meta.dets");
        let declared_at = self.mark();
        eventually("the votes are written", async || {
            written_at(&votes).is_none_or(|written_at| written_at > declared_at)
        })
        .await;
    }

    /// This instant by the file system's clock.
    fn mark(&self) -> SystemTime {
        let mark = self.directory.path().join("mark");
        std::fs::write(&mark, "").unwrap();
        written_at(&mark).unwrap()
    }
}

fn written_at(path: &Path) -> Option<SystemTime> {
    path.metadata().ok()?.modified().ok()
}

async fn down(broker: &RabbitmqBroker) {
    eventually("the broker is down", async || {
        broker.connection() == Connection::Down
    })
    .await;
}

async fn publish_jobs(broker: &RabbitmqBroker) {
    for number in 0..JOBS {
        broker
            .publish_job(&job(Kind::Pay, &number.to_string()))
            .await
            .unwrap();
    }
}

/// Takes every job that waits and acknowledges it.
async fn take_jobs(broker: &RabbitmqBroker) {
    let mut numbers = Vec::new();
    for _ in 0..JOBS {
        let delivery = arrival(broker, Kind::Pay).await;
        numbers.push(body(&delivery).parse::<usize>().unwrap());
        assert_eq!(broker.ack(&delivery.tag).await, Settlement::Sent);
    }
    numbers.sort_unstable();
    assert!(numbers.iter().copied().eq(0..JOBS), "{numbers:?}");
}

async fn expect_unavailable(broker: &RabbitmqBroker) {
    let refused = broker.publish_event(&event("e-1")).await;
    assert!(
        matches!(refused, Err(PublishError::Unavailable(_))),
        "{refused:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_broker_comes_back_with_every_confirmed_job() {
    let node = Node::start().await;
    let broker = connect(node.options().await).await;
    publish_jobs(&broker).await;
    broker
        .publish_job(&job(Kind::Refund, "held"))
        .await
        .unwrap();
    let held = arrival(&*broker, Kind::Refund).await;
    node.votes_written().await;

    node.run(&["kill9-rabbitmq"]).await;
    down(&broker).await;
    assert!(!broker.holds(&held.tag));
    assert_eq!(broker.ack(&held.tag).await, Settlement::Lost);
    assert_eq!(broker.hand_back(&held.tag).await, Settlement::Lost);
    // At once, not after the confirm's timeout.
    assert!(elapsed(expect_unavailable(&broker)).await < CONFIRM_TIMEOUT / 2);
    assert_eq!(broker.waiting(Kind::Pay).await, None);

    node.run(&["restart-rabbitmq"]).await;
    up(&broker).await;
    let again = arrival(&*broker, Kind::Refund).await;
    assert!(again.redelivered && again.tag.channel > held.tag.channel);
    assert_eq!(broker.ack(&again.tag).await, Settlement::Sent);
    take_jobs(&broker).await;
    broker.publish_event(&event("e-2")).await.unwrap();
    nothing_arrives(&*broker, Kind::Pay).await;
    broker.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cut_connections_are_opened_again() {
    let node = Node::start().await;
    let broker = connect(node.options().await).await;
    for _ in 0..3 {
        publish_jobs(&broker).await;
        let held = arrival(&*broker, Kind::Pay).await;
        node.run(&["ctl", "close_all_connections", "for a test"])
            .await;
        eventually("the tag is stale", async || !broker.holds(&held.tag)).await;
        assert_eq!(broker.ack(&held.tag).await, Settlement::Lost);
        up(&broker).await;
        take_jobs(&broker).await;
        broker.publish_event(&event("e-1")).await.unwrap();
    }
    broker.pause().await;
    node.run(&["ctl", "close_all_connections", "for a test"])
        .await;
    down(&broker).await;
    up(&broker).await;
    broker.publish_job(&job(Kind::Pay, "paused")).await.unwrap();
    nothing_arrives(&*broker, Kind::Pay).await;
    broker.resume().await;
    assert_eq!(body(&arrival(&*broker, Kind::Pay).await), "paused");
    broker.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_short_of_memory_takes_no_messages_but_still_acknowledgements() {
    let node = Node::start().await;
    let broker = connect(node.options().await).await;
    publish_jobs(&broker).await;
    node.run(&["ctl", "set_vm_memory_high_watermark", "0.00001"])
        .await;
    let waited = elapsed(expect_unavailable(&broker)).await;
    assert!(
        waited >= CONFIRM_TIMEOUT && waited < CONFIRM_TIMEOUT * 3,
        "{waited:?}"
    );
    expect_unavailable(&broker).await;
    assert_eq!(broker.connection(), Connection::Down);
    // More than the prefetch: only an acknowledgement that arrived makes room for the next.
    take_jobs(&broker).await;

    node.run(&["ctl", "set_vm_memory_high_watermark", "absolute", "1GB"])
        .await;
    up(&broker).await;
    broker.publish_event(&event("e-2")).await.unwrap();
    nothing_arrives(&*broker, Kind::Pay).await;
    broker.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_broker_is_noticed_by_its_silence() {
    let node = Node::start().await;
    let broker: Arc<RabbitmqBroker> = connect(node.options().await).await;
    publish_jobs(&broker).await;
    let held = arrival(&*broker, Kind::Pay).await;
    node.run(&["stall-rabbitmq"]).await;
    expect_unavailable(&broker).await;
    down(&broker).await;
    eventually("the tag is stale", async || !broker.holds(&held.tag)).await;
    node.run(&["resume-rabbitmq"]).await;
    up(&broker).await;
    take_jobs(&broker).await;
    broker.publish_event(&event("e-2")).await.unwrap();
    broker.close().await;
}
