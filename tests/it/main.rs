//! Everything that is tested across a boundary, in one binary.

mod lifecycle_search;
mod lifecycle_table;
mod openssl;
