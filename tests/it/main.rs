//! Everything that is tested across a boundary, in one binary.

mod openssl;
