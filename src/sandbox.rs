//! The simulated Alipay: the other side of the wire.

pub mod bank;
