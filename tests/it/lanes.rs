//! Lanes on real RabbitMQ and Redis with the real binary: who overtakes whom, what is set aside, and
//! shards that grow and shrink under way.

mod aside;
mod latency;
mod shards;
mod traffic;
mod urgent;
