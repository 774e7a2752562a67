//! The translations between the ports and the outside world. Lists the adapters; nothing else.

pub mod alipay;
