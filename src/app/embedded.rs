//! A whole daemon inside this process, fed without a server: what `demo` runs.
//!
//! The worker, the lifecycle and the Alipay adapter are those of `run`; the broker and the ledger
//! are the embedded ones, which pass the same contract suites as RabbitMQ and Redis.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::adapters::memory_broker::{Mailbox, MemoryBroker};
use crate::app::admin_server::{self, AdminServer, Heartbeat};
use crate::app::assembly::{self, Assembly, StartError};
use crate::app::config::Config;
use crate::app::daemon;
use crate::domain::entry::ReturnAddress;
use crate::domain::job::Kind;
use crate::domain::lane::Tier;
use crate::domain::time::Monotonic;
use crate::ports::broker::{Broker as _, EventMessage, JobCopy};
use crate::ports::clock::Clock;

/// A running daemon and the producer's side of its broker.
pub struct Embedded {
    broker: Arc<MemoryBroker>,
    events: Arc<Mailbox<EventMessage>>,
    clock: Arc<dyn Clock>,
    admin: AdminServer,
    heartbeat: Arc<Heartbeat>,
    stop: CancellationToken,
    servers: CancellationToken,
    running: JoinHandle<()>,
}

impl Embedded {
    /// Starts a daemon of `config`, whose servers must both be `memory:`.
    ///
    /// # Errors
    ///
    /// [`StartError`], or [`admin_server::AdminServerError`] when the admin port is taken.
    pub async fn start(config: &Config) -> anyhow::Result<Self> {
        let parts = assembly::prepare(config)?;
        let assembly: Assembly = assembly::connect(config, parts).await?;
        let broker = assembly
            .embedded
            .clone()
            .ok_or_else(|| StartError::Server {
                server: "the embedded broker",
                source: "rabbitmq.urls is not \"memory:\"".into(),
            })?;
        let events = broker.subscribe();
        let clock = Arc::clone(&assembly.ports.clock);
        let heartbeat = Arc::new(Heartbeat::new(clock.monotonic()));
        let servers = CancellationToken::new();
        let sources = daemon::sources(config, &assembly, &heartbeat);
        let admin = admin_server::serve(config.admin.listen, sources, servers.clone()).await?;
        let stop = CancellationToken::new();
        let (worker, stopping, grace) = (assembly.worker, stop.clone(), config.shutdown.grace);
        let running = tokio::spawn(async move { worker.run(stopping, grace).await });
        Ok(Self {
            broker,
            events,
            clock,
            admin,
            heartbeat,
            stop,
            servers,
            running,
        })
    }

    /// Publishes a job, as a producer does.
    pub async fn submit(&self, kind: Kind, body: Bytes, message_id: String) {
        let return_address = ReturnAddress {
            message_id: Some(message_id),
            ..ReturnAddress::default()
        };
        let published_at = Some(self.clock.now());
        let copy = JobCopy {
            kind,
            tier: Tier::default(),
            body,
            ticket: None,
            return_address,
            published_at,
            attempts: 0,
        };
        if let Err(error) = self.broker.publish_job(&copy).await {
            tracing::error!(error = %error, "the embedded broker did not take a job");
        }
    }

    /// The next outcome event.
    pub async fn next_event(&self) -> EventMessage {
        self.events.next().await
    }

    /// How many messages wait in the queues of jobs.
    pub async fn waiting(&self) -> u64 {
        let mut waiting = 0;
        for kind in Kind::ALL {
            waiting += self.broker.waiting(kind).await.unwrap_or(0);
        }
        waiting
    }

    /// How many messages were buried.
    #[must_use]
    pub fn buried(&self) -> usize {
        self.broker.dead_letters().len()
    }

    /// The monotonic clock, for measuring.
    #[must_use]
    pub fn monotonic(&self) -> Monotonic {
        self.clock.monotonic()
    }

    /// Waits.
    pub async fn sleep(&self, length: Duration) {
        self.clock.sleep(length).await;
        self.heartbeat.beat(self.clock.monotonic());
    }

    /// Where metrics and health are served.
    #[must_use]
    pub fn admin_url(&self) -> String {
        format!("http://{}/", self.admin.address)
    }

    /// Drains and stops.
    pub async fn stop(self) {
        self.stop.cancel();
        // The worker's own panic was logged by its hook; there is nothing left to stop then.
        drop(self.running.await);
        self.servers.cancel();
        self.admin.stopped().await;
    }
}
