//! A payment worker for Alipay cash red packets.
//!
//! domain holds the nouns, lifecycle the decisions, ports the needs, adapters the translations,
//! app the wiring, cli the words for operators; the sandbox is the other side of the wire.
//!
//! The two things to read first are [`lifecycle`], the whole state machine, and
//! `app::worker`, the loop that drives it. Neither talks to a server by itself.

pub mod domain;
pub mod lifecycle;
pub mod ports;

pub mod adapters;
pub mod pacing;

pub mod app;
pub mod sandbox;

pub mod cli;
