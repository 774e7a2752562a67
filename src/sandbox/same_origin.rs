//! Whether a request that changes something comes from the sandbox's own pages.
//!
//! The sandbox has no password; it belongs on a loopback address. Forms of other sites are
//! refused by their `Origin`; programs send none.

use axum::http::{HeaderMap, header};

/// Whether a browser says that the request comes from a page of another host.
pub(in crate::sandbox) fn is_foreign(headers: &HeaderMap) -> bool {
    let origin = header_text(headers, header::ORIGIN);
    let host = header_text(headers, header::HOST);
    !origin.is_empty() && origin.strip_prefix("http://") != Some(host)
}

/// A header's value; empty when there is none, or when it is no text.
pub(in crate::sandbox) fn header_text(headers: &HeaderMap, name: header::HeaderName) -> &str {
    let value = headers.get(name).and_then(|value| value.to_str().ok());
    value.unwrap_or_default()
}
