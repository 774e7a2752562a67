//! Alipay's open-platform gateway: its keys, its signatures and the way it spells things.

pub mod answer;
pub mod biz_content;
pub mod codes;
pub mod keys;
pub mod message;
pub mod method;
pub mod sign;
pub mod wire;
