//! Alipay's open-platform gateway: its keys, its signatures and the way it spells things.

pub mod keys;
pub mod sign;
pub mod wire;
