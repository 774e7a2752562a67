//! A daemon behind proxies of its own, started again whenever it ends, as an orchestrator would.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::{Mutex, MutexGuard};
use tokio::task::JoinHandle;

use super::schedule::Link;
use super::summary::Work;
use crate::daemon::process::Process;
use crate::daemon::world::{Daemon, World};
use crate::faults::proxy::Proxy;
use crate::patience::pause;

/// How often it is looked whether the process has ended by itself; an orchestrator waits too.
const LOOK_PERIOD: Duration = Duration::from_secs(1);

/// What the daemon says when it has reached its servers.
const UP: &str = "hongbaod takes jobs";

/// How long a daemon may take to show its metrics.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(500);

/// One replica.
pub(crate) struct Replica {
    world: Arc<World>,
    links: [Proxy; Link::ALL.len()],
    settings: Vec<(&'static str, String)>,
    process: Mutex<Option<Process>>,
    http: reqwest::Client,
    work: std::sync::Mutex<Work>,
    /// How often the process ended without having been asked to.
    pub(crate) exits: AtomicU64,
}

impl Replica {
    /// Makes the proxies and starts the daemon; `gateway` is Alipay's `host:port`.
    pub(crate) async fn start(world: &Arc<World>, redis: &str, gateway: &str) -> Arc<Self> {
        let amqp_authority = authority(&world.amqp);
        let links = [
            Proxy::start(amqp_authority).await,
            Proxy::start(authority(redis)).await,
            Proxy::start(gateway).await,
        ];
        let settings = vec![
            (
                "HONGBAOD__RABBITMQ__URLS",
                world.amqp.replace(amqp_authority, &links[0].address()),
            ),
            (
                "HONGBAOD__REDIS__URLS",
                redis.replace(authority(redis), &links[1].address()),
            ),
            (
                "HONGBAOD__ALIPAY__GATEWAY",
                format!("http://{}/gateway.do", links[2].address()),
            ),
        ];
        let replica = Arc::new(Self {
            world: Arc::clone(world),
            links,
            settings,
            process: Mutex::new(None),
            http: reqwest::Client::new(),
            work: std::sync::Mutex::default(),
            exits: AtomicU64::new(0),
        });
        *replica.process.lock().await = Some(replica.launch());
        replica
    }

    fn launch(&self) -> Process {
        self.world.hongbaod_with(&["run"], &self.settings)
    }

    pub(crate) fn link(&self, link: Link) -> &Proxy {
        match link {
            Link::Amqp => &self.links[0],
            Link::Redis => &self.links[1],
            Link::Gateway => &self.links[2],
        }
    }

    /// Starts the daemon again whenever it ends by itself, until the task is aborted.
    pub(crate) fn keep(self: &Arc<Self>) -> JoinHandle<()> {
        let replica = Arc::clone(self);
        tokio::spawn(async move {
            loop {
                pause(LOOK_PERIOD).await;
                let mut process = replica.process.lock().await;
                if process.as_ref().is_some_and(Process::has_ended) {
                    replica.exits.fetch_add(1, Ordering::Relaxed);
                    if let Some(ended) = process.as_ref() {
                        let written = ended.written();
                        eprintln!("storm: a daemon ended: {:?}", written.stderr.last());
                    }
                    replica.bury(&mut process).await;
                    *process = Some(replica.launch());
                }
            }
        })
    }

    /// Takes an ended process away; a daemon may end when a server is away at its start, but never
    /// by a panic.
    async fn bury(&self, process: &mut MutexGuard<'_, Option<Process>>) {
        if let Some(mut ended) = process.take() {
            ended.exit_code().await;
            look_for_bugs(&ended);
        }
    }

    /// What the processes that were ended on purpose had counted.
    pub(crate) fn work(&self) -> Work {
        *self.work.lock().unwrap()
    }

    /// Ends the process by `signal`, and starts another one after `down`.
    pub(crate) async fn restart(&self, signal: &str, down: Duration) {
        let mut process = self.process.lock().await;
        if let Some(process) = process.as_ref() {
            self.count(process).await;
            process.signal(signal);
        }
        self.bury(&mut process).await;
        pause(down).await;
        *process = Some(self.launch());
    }

    /// Adds up what a process has counted, if it can be asked.
    async fn count(&self, process: &Process) {
        let Some(admin) = admin(process) else { return };
        let metrics = self.http.get(format!("http://{admin}/metrics"));
        let Ok(answer) = metrics.timeout(ANSWER_TIMEOUT).send().await else {
            return;
        };
        let text = answer.text().await.unwrap_or_default();
        self.work.lock().unwrap().add(Work::of_metrics(&text));
    }

    /// Freezes the process for `length`.
    pub(crate) async fn freeze(&self, length: Duration) {
        let process = self.process.lock().await;
        if let Some(process) = process.as_ref() {
            process.signal("STOP");
            pause(length).await;
            process.signal("CONT");
        }
    }

    /// Whether the daemon runs and has reached its servers.
    pub(crate) async fn is_up(&self) -> bool {
        let process = self.process.lock().await;
        let process = process.as_ref().filter(|process| !process.has_ended());
        process.is_some_and(|process| admin(process).is_some())
    }

    /// Waits until the daemon is ready, and hands it over.
    pub(crate) async fn daemon(&self) -> Daemon {
        let process = self.process.lock().await.take();
        let process = process.expect("a running daemon");
        self.world.daemon_of(process).await
    }
}

/// The address of a process's metrics, once it has reached its servers.
fn admin(process: &Process) -> Option<String> {
    let written = process.written();
    let line = written.stderr.iter().find(|line| line.contains(UP))?;
    let line: Value = serde_json::from_str(line).ok()?;
    Some(line["admin"].as_str()?.to_owned())
}

/// `host:port` of a URL.
pub(crate) fn authority(url: &str) -> &str {
    let authority = url.split('/').nth(2).expect("a URL has an authority");
    authority.rsplit('@').next().expect("a host")
}

/// Fails if the process wrote that it has a bug.
pub(crate) fn look_for_bugs(process: &Process) {
    let written = process.written();
    for line in &written.stderr {
        let is_bug = line.contains("panicked") || line.contains("does not belong to the event");
        assert!(!is_bug, "{line}");
    }
}
