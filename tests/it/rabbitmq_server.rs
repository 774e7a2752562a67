//! A RabbitMQ of one test's own, to be killed, frozen, starved and started again.

use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;
use std::time::SystemTime;

use tempfile::TempDir;
use tokio::sync::{Mutex, MutexGuard, Semaphore, SemaphorePermit};

use crate::patience::eventually;

/// So many tests have nodes of their own at a time: mostly these wait for something.
const TESTS_MAX: u16 = 2;
static PLACES: LazyLock<Semaphore> = LazyLock::new(|| Semaphore::new(usize::from(TESTS_MAX)));

/// Nodes that start together on two cores are slow enough to fail other tests.
static ONE_STARTS: Mutex<()> = Mutex::const_new(());

/// The right to have nodes; it ends with this value.
pub(crate) struct Turn {
    _places: SemaphorePermit<'static>,
}

/// Waits until there is room for one node more.
pub(crate) async fn turn() -> Turn {
    turn_of(1).await
}

/// Waits until no other test has nodes of its own.
pub(crate) async fn whole_turn() -> Turn {
    turn_of(TESTS_MAX).await
}

async fn turn_of(places: u16) -> Turn {
    let places = PLACES.acquire_many(places.into()).await;
    Turn {
        _places: places.expect("never closed"),
    }
}

/// Waits until no other test starts a node; the start ends with the guard.
async fn start() -> MutexGuard<'static, ()> {
    ONE_STARTS.lock().await
}

/// A RabbitMQ that a test may break; it ends with this value.
pub(crate) struct RabbitmqServer {
    directory: TempDir,
    _turn: Turn,
}

impl Drop for RabbitmqServer {
    fn drop(&mut self) {
        // A node that the test left frozen or dead cannot fail the test any more.
        let stopped = servers(self.directory.path(), &["stop"]);
        drop(stopped);
    }
}

/// Runs `tests/servers COMMAND DIRECTORY ARGS…` and returns what it printed.
pub(crate) fn servers(directory: &Path, words: &[&str]) -> Result<String, String> {
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

impl RabbitmqServer {
    /// Starts a node with nothing in it.
    pub(crate) async fn start() -> Self {
        let node = Self {
            _turn: turn().await,
            directory: TempDir::new().unwrap(),
        };
        let starting = start().await;
        node.run(&["start"]).await;
        drop(starting);
        node
    }

    /// Runs a command of `tests/servers` on this node, such as `kill9-rabbitmq`, and returns what
    /// it printed.
    pub(crate) async fn run(&self, words: &'static [&'static str]) -> String {
        let ran = self.try_run(words).await;
        ran.unwrap_or_else(|error| panic!("{words:?}: {error}"))
    }

    /// As [`RabbitmqServer::run`], or what the command said when it failed.
    pub(crate) async fn try_run(&self, words: &'static [&'static str]) -> Result<String, String> {
        let directory = self.directory.path().to_owned();
        tokio::task::spawn_blocking(move || servers(&directory, words))
            .await
            .unwrap()
    }

    /// The node's URL.
    pub(crate) async fn url(&self) -> String {
        self.address("amqp://").await
    }

    /// The URL of the Redis that `tests/servers` starts beside it; it writes an append-only file,
    /// and syncs it once a second.
    pub(crate) async fn redis_url(&self) -> String {
        self.address("redis://").await
    }

    async fn address(&self, scheme: &str) -> String {
        let variables = self.run(&["env"]).await;
        let url = variables.split('\'').find(|word| word.starts_with(scheme));
        url.expect("the address among the variables").to_owned()
    }

    /// Waits until this node has written the votes on the young queues; see [`votes_written`].
    pub(crate) async fn votes_written(&self) {
        let directory = self.directory.path();
        votes_written(directory, "hongbaod@localhost", mark(directory)).await;
    }
}

/// This instant by the file system's clock.
pub(crate) fn mark(directory: &Path) -> SystemTime {
    let mark = directory.join("mark");
    std::fs::write(&mark, "").unwrap();
    written_at(&mark).unwrap()
}

/// Waits until a node has written the votes on queues that were declared just before `declared_at`.
///
/// RabbitMQ 3.10 saves them about 5 s after the election; a node killed earlier comes back with
/// queues that never elect a leader, which is no fault of ours.
pub(crate) async fn votes_written(directory: &Path, node: &str, declared_at: SystemTime) {
    let votes = format!("rabbitmq/mnesia/{node}/quorum/{node}/meta.dets");
    let votes = directory.join(votes);
    eventually("the votes are written", async || {
        written_at(&votes).is_none_or(|written_at| written_at > declared_at)
    })
    .await;
}

fn written_at(path: &Path) -> Option<SystemTime> {
    path.metadata().ok()?.modified().ok()
}
