//! Requests and answers as the gateway spells them, down to the exact signed bytes.
//!
//! An answer is `{"<method>_response":{...},"sign":"..."}`. The signature covers the node's
//! bytes as they were received, so nothing here writes JSON again before verifying. Both
//! directions are here: the gateway client reads, the sandbox writes.

mod charset;
mod envelope;
mod form;
mod node;
mod timestamp;

pub use crate::adapters::alipay::wire::charset::{Charset, NoSuchCharacter};
pub use crate::adapters::alipay::wire::envelope::{Envelope, EnvelopeError, NodeKind};
pub use crate::adapters::alipay::wire::form::{
    FormError, RawParam, form_decode, form_decode_bytes, form_encode, form_encode_bytes,
};
pub use crate::adapters::alipay::wire::node::{
    ERROR_NODE_NAME, decode_node, node_name, sign_envelope, verify_node,
};
pub use crate::adapters::alipay::wire::timestamp::{
    TimestampError, parse_timestamp_gmt8, timestamp_gmt8,
};
