//! Everything that is tested across a boundary, in one binary.

mod admin_server;
mod metrics_doc;
mod openssl;
