//! What an attacker can do and what not: `docs/security.md` says it, and these try it on the real
//! program and real servers.

mod certificates;
mod exposure;
mod forged_jobs;
mod forged_ledger;
mod gateway_tls;
mod rights;
mod server_tls;
