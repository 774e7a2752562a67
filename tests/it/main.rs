//! The tests that cross a boundary: servers, files, processes, and the shape of the source itself.
//!
//! One binary, one module per topic. Those that need a server take its address from [`servers`].
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "clippy lets tests panic, but not the functions that tests share"
)]

mod admin_server;
mod alone;
mod audit;
mod broker_contract;
mod budget;
mod certificates;
mod cli;
mod clocks;
mod contract;
mod daemon;
mod demo;
mod docs;
mod faults;
mod forms;
mod gateway;
mod history;
mod house;
mod lanes;
mod layers;
mod ledger_contract;
mod ledger_entries;
mod lifecycle_search;
mod lifecycle_table;
mod metrics_doc;
mod notify;
mod openssl;
mod patience;
mod ports;
mod properties;
mod proxy;
mod rabbitmq_cluster;
mod rabbitmq_server;
mod rate;
mod redis_cluster;
mod redis_fleet;
mod redis_health;
mod redis_ledger;
mod redis_sentinels;
mod redis_server;
mod sandbox;
mod scale;
mod security;
mod servers;
mod sim;
mod switches;
mod trace;
mod tree;
mod worker;
