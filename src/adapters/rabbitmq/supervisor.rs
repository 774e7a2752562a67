//! Keeping the two connections: whichever breaks is opened again, for as long as it takes.

use std::sync::Arc;
use std::time::Duration;

use lapin::Connection;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::adapters::rabbitmq::connection::{
    ANSWER_TIMEOUT, ConnectError, Dialer, NoAnswer, Purpose,
};
use crate::adapters::rabbitmq::consumer::{Consumption, Surroundings};
use crate::adapters::rabbitmq::publisher::{Link, Publisher};
use crate::adapters::rabbitmq::topology::Topology;
use crate::domain::backoff::Backoff;
use crate::domain::causes::with_causes;
use crate::ports::clock::{Clock, Random};

/// The first wait between two attempts to connect.
const RECONNECT_DELAY_MIN: Duration = Duration::from_millis(200);

/// The longest wait between two attempts to connect.
const RECONNECT_DELAY_MAX: Duration = Duration::from_secs(10);

/// How often it is looked whether all exchanges and queues are still there. Nobody tells of a
/// deletion: producers' jobs and the broker's own dead letters would find no way until we do.
const LOOK_PERIOD: Duration = Duration::from_secs(5);

/// How long after a declaration the next one may follow.
const MEND_PERIOD: Duration = Duration::from_secs(2);

/// How long a connection may take to say goodbye.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// What the supervision of both connections needs.
pub(crate) struct Supervisor {
    pub(crate) dialer: Dialer,
    pub(crate) topology: Arc<Topology>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: Arc<dyn Random>,
    pub(crate) end: CancellationToken,
}

impl Supervisor {
    /// Opens a connection with everything declared.
    ///
    /// # Errors
    ///
    /// [`ConnectError`].
    pub(crate) async fn connect(&self, purpose: Purpose) -> Result<Connection, ConnectError> {
        let connection = self.dialer.open(purpose).await?;
        match timeout(ANSWER_TIMEOUT, self.topology.declare(&connection)).await {
            Ok(Ok(())) => Ok(connection),
            Ok(Err(error)) => Err(ConnectError::Topology(error)),
            Err(_elapsed) => Err(ConnectError::Unreachable {
                endpoint: "the open connection".to_owned(),
                source: Box::new(NoAnswer(ANSWER_TIMEOUT)),
            }),
        }
    }

    /// Keeps the consuming connection until the end.
    pub(crate) async fn keep_consuming(
        self: Arc<Self>,
        lanes: Vec<Arc<Consumption>>,
        around: Arc<Surroundings>,
        first: Connection,
    ) {
        let mut connection = Arc::new(first);
        let mut backoff = Backoff::new(RECONNECT_DELAY_MIN, RECONNECT_DELAY_MAX);
        loop {
            let connected_at = self.clock.monotonic();
            let mut serving = JoinSet::new();
            for lane in &lanes {
                serving.spawn(Arc::clone(lane).serve(Arc::clone(&connection), Arc::clone(&around)));
            }
            let ended = self
                .end
                .run_until_cancelled(one_ended(&mut serving))
                .await
                .is_none();
            serving.shutdown().await;
            for lane in &lanes {
                lane.lose_channel();
            }
            if ended {
                close(&connection).await;
                return;
            }
            if connection.status().connected() {
                // What is held on it must come again.
                close(&connection).await;
            }
            backoff.lasted(self.clock.monotonic().since(connected_at));
            match self.reconnect(Purpose::Consume, &mut backoff).await {
                Some(next) => connection = Arc::new(next),
                None => return,
            }
        }
    }

    /// Keeps the publishing connection until the end.
    pub(crate) async fn keep_publishing(
        self: Arc<Self>,
        publisher: Arc<Publisher>,
        first: Connection,
    ) {
        let mut link = Arc::new(Link::new(first));
        let mut backoff = Backoff::new(RECONNECT_DELAY_MIN, RECONNECT_DELAY_MAX);
        loop {
            let connected_at = self.clock.monotonic();
            publisher.set(Some(Arc::clone(&link)));
            let broken = async {
                tokio::select! {
                    () = link.closed() => {}
                    () = self.mend_topology(&link) => {}
                }
            };
            let ended = self.end.run_until_cancelled(broken).await.is_none();
            publisher.set(None);
            if ended {
                close(link.connection()).await;
                return;
            }
            backoff.lasted(self.clock.monotonic().since(connected_at));
            match self.reconnect(Purpose::Publish, &mut backoff).await {
                Some(next) => link = Arc::new(Link::new(next)),
                None => return,
            }
        }
    }

    /// Declares again what somebody deleted, for as long as it is polled.
    async fn mend_topology(&self, link: &Link) {
        loop {
            tokio::select! {
                () = link.missed() => {}
                () = self.clock.sleep(LOOK_PERIOD) => {
                    // A broker that blocks publishing reads no questions either.
                    if !link.is_open() || self.is_topology_there(link).await {
                        continue;
                    }
                }
            }
            tracing::warn!("an exchange or a queue is missing; all are declared again");
            let declared = timeout(ANSWER_TIMEOUT, self.topology.declare(link.connection())).await;
            match declared {
                Ok(Ok(())) => tracing::info!("all exchanges and queues are declared"),
                Ok(Err(error)) => {
                    tracing::error!(error = %with_causes(&error), "cannot declare exchanges and queues again");
                }
                Err(_elapsed) => tracing::warn!("RabbitMQ did not answer to a declaration"),
            }
            self.clock.sleep(MEND_PERIOD).await;
        }
    }

    /// Whether nothing is known to be missing.
    async fn is_topology_there(&self, link: &Link) -> bool {
        match timeout(ANSWER_TIMEOUT, self.topology.is_there(link.connection())).await {
            Ok(Ok(is_there)) => is_there,
            Ok(Err(error)) => {
                tracing::debug!(error = %with_causes(&error), "could not look at exchanges and queues");
                true
            }
            Err(_elapsed) => true,
        }
    }

    /// Connects again; `None` at the end.
    async fn reconnect(&self, purpose: Purpose, backoff: &mut Backoff) -> Option<Connection> {
        tracing::warn!(
            purpose = purpose.as_str(),
            "lost the connection to RabbitMQ"
        );
        let attempts = async {
            loop {
                self.clock.sleep(backoff.wait(self.random.next_u64())).await;
                match self.connect(purpose).await {
                    Ok(connection) => break connection,
                    Err(error) => {
                        tracing::warn!(
                            purpose = purpose.as_str(),
                            error = %with_causes(&error),
                            "cannot connect to RabbitMQ yet"
                        );
                    }
                }
            }
        };
        let connection = self.end.run_until_cancelled(attempts).await?;
        tracing::info!(purpose = purpose.as_str(), "connected to RabbitMQ again");
        Some(connection)
    }
}

/// Waits until the first lane gives up: then the connection is no good for the others either. A
/// lane that panicked must not leave its kind to nobody.
async fn one_ended(serving: &mut JoinSet<()>) {
    if matches!(serving.join_next().await, Some(Err(_))) {
        tracing::error!("a consumer's task panicked; all begin again on a new connection");
    }
}

/// Says goodbye; a broker that does not answer will notice by itself.
pub(crate) async fn close(connection: &Connection) {
    let goodbye = connection.close(200, "OK".into());
    match timeout(CLOSE_TIMEOUT, goodbye).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "the connection to RabbitMQ was closed already"),
        Err(_elapsed) => tracing::debug!("RabbitMQ did not answer the goodbye"),
    }
}
