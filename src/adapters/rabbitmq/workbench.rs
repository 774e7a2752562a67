//! What a benchmark needs of the broker: a clean table afterwards.

use crate::adapters::rabbitmq::connection::{ConnectError, Dialer, Purpose};
use crate::adapters::rabbitmq::supervisor::close;
use crate::adapters::rabbitmq::{RabbitmqOptions, topology_of};

/// Deletes every queue and exchange of `options.prefix`, with what is in them.
///
/// # Errors
///
/// [`ConnectError`].
pub async fn clear(options: &RabbitmqOptions) -> Result<(), ConnectError> {
    let topology = topology_of(options)?;
    let connection = Dialer::new(options)?.open(Purpose::Watch).await?;
    let deleted = topology.delete(&connection).await;
    close(&connection).await;
    deleted.map_err(ConnectError::Topology)
}
