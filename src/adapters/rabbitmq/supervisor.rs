//! Keeping the two connections: whichever breaks is opened again, for as long as it takes.

use std::sync::Arc;
use std::time::Duration;

use lapin::Connection;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::adapters::rabbitmq::connection::{
    ANSWER_TIMEOUT, ConnectError, Dialer, NoAnswer, Purpose, report,
};
use crate::adapters::rabbitmq::consumer::{Lane, Surroundings};
use crate::adapters::rabbitmq::publisher::{Link, Publisher};
use crate::adapters::rabbitmq::topology::Topology;
use crate::domain::time::millis;
use crate::ports::clock::{Clock, Random};

/// The first wait between two attempts to connect.
const RECONNECT_DELAY_MIN: Duration = Duration::from_millis(200);

/// The longest wait between two attempts to connect.
const RECONNECT_DELAY_MAX: Duration = Duration::from_secs(10);

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
        lanes: Vec<Arc<Lane>>,
        around: Arc<Surroundings>,
        first: Connection,
    ) {
        let mut connection = Arc::new(first);
        loop {
            let mut serving = JoinSet::new();
            for lane in &lanes {
                serving.spawn(Arc::clone(lane).serve(Arc::clone(&connection), Arc::clone(&around)));
            }
            let ended = self
                .end
                .run_until_cancelled(async { while serving.join_next().await.is_some() {} })
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
            match self.reconnect(Purpose::Consume).await {
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
        loop {
            publisher.set(Some(Arc::clone(&link)));
            let ended = self.end.run_until_cancelled(link.closed()).await.is_none();
            publisher.set(None);
            if ended {
                close(link.connection()).await;
                return;
            }
            match self.reconnect(Purpose::Publish).await {
                Some(next) => link = Arc::new(Link::new(next)),
                None => return,
            }
        }
    }

    /// Connects again; `None` at the end.
    async fn reconnect(&self, purpose: Purpose) -> Option<Connection> {
        tracing::warn!(
            purpose = purpose.as_str(),
            "lost the connection to RabbitMQ"
        );
        let attempts = async {
            let mut delay = RECONNECT_DELAY_MIN;
            loop {
                self.clock.sleep(self.spread(delay)).await;
                match self.connect(purpose).await {
                    Ok(connection) => break connection,
                    Err(error) => {
                        tracing::warn!(
                            purpose = purpose.as_str(),
                            error = %report(&error),
                            "cannot connect to RabbitMQ yet"
                        );
                    }
                }
                delay = delay.saturating_mul(2).min(RECONNECT_DELAY_MAX);
            }
        };
        let connection = self.end.run_until_cancelled(attempts).await?;
        tracing::info!(purpose = purpose.as_str(), "connected to RabbitMQ again");
        Some(connection)
    }

    /// Between half of `delay` and all of it, so that the replicas of a broker that comes back do
    /// not come all at once.
    fn spread(&self, delay: Duration) -> Duration {
        let half_ms = (millis(delay) / 2).max(1);
        Duration::from_millis(half_ms.saturating_add(self.random.next_u64() % half_ms))
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
