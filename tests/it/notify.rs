//! Notifications over real HTTP, with real RabbitMQ and real Redis behind them.

mod alipay;
mod daemon;
mod flood;
mod framing;
mod listener;
mod place;
