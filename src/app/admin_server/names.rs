//! The names by which a browser may ask for what no token guards.
//!
//! A page from elsewhere can give its own name the address of this listener once it is loaded, and
//! its script then reads whatever the listener answers, as of its own origin. The name is in the
//! request all the same, and a name that nobody outside can own is no such page's.

use std::net::{IpAddr, Ipv6Addr};

use axum::extract::{Request, State};
use axum::http::header::HOST;
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use crate::app::admin_server::{AdminSources, NO_STORE};

/// Ends of names that the public name service never has. Source: RFC 6761 (`localhost`, `test`), RFC
/// 6762 (`local`), RFC 8375 (`home.arpa`), ICANN's resolution of 2024-07-29 (`internal`); `svc` is
/// how Kubernetes shortens `svc.cluster.local`, and no such domain exists.
const PRIVATE_ENDS: [&str; 6] = ["localhost", "test", "local", "home.arpa", "internal", "svc"];

/// Lets a request through that shows a token, which is looked at elsewhere, or asks by a name of the
/// inside.
pub(super) async fn guard(
    State(sources): State<AdminSources>,
    request: Request,
    next: Next,
) -> Response {
    if sources.token.is_some() || are_private(request.headers()) {
        return next.run(request).await;
    }
    let body = "without admin.token, only an address, localhost, or a name of the inside (without a \
                dot, or under .svc, .local, .internal) is answered: ask by one of them, or set \
                admin.token\n";
    (StatusCode::MISDIRECTED_REQUEST, [NO_STORE], body).into_response()
}

/// Every name that a request gives; programs of HTTP/1.0 give none.
fn are_private(headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(HOST).iter();
    hosts.all(|host| host.to_str().is_ok_and(is_private))
}

fn is_private(host: &str) -> bool {
    if let Some(rest) = host.strip_prefix('[') {
        let address = rest.split_once(']').map(|(address, _port)| address);
        return address.is_some_and(|address| address.parse::<Ipv6Addr>().is_ok());
    }
    let name = host.rsplit_once(':').map_or(host, |(name, _port)| name);
    if name.parse::<IpAddr>().is_ok() {
        return true;
    }
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    let ends_so = |end: &str| {
        let before = name.strip_suffix(end);
        before.is_some_and(|before| before.ends_with('.'))
    };
    !name.contains('.') || PRIVATE_ENDS.iter().any(|end| ends_so(end))
}

#[cfg(test)]
mod tests {
    use super::{are_private, is_private};
    use axum::http::{HeaderMap, HeaderValue};

    #[test]
    fn only_a_name_that_nobody_outside_can_own_is_private() {
        for (host, expected) in [
            ("127.0.0.1:9464", true),
            ("10.1.2.3", true),
            ("[::1]:9464", true),
            ("[fd00::1]", true),
            ("localhost:9464", true),
            ("LOCALHOST", true),
            ("hongbaod:9464", true),
            ("hongbaod.payments.svc:9464", true),
            ("hongbaod.payments.svc.cluster.local.:9464", true),
            ("pay-1.eu.internal", true),
            ("", true),
            ("evil.example", false),
            ("evil.example:9464", false),
            ("localhost.evil.example", false),
            ("127.0.0.1.evil.example", false),
            ("127.0.0.1.nip.io:9464", false),
            ("evillocal.com", false),
            ("evil.notlocal", false),
            ("[::1.evil.example]", false),
            ("[evil.example", false),
        ] {
            assert_eq!(is_private(host), expected, "{host}");
        }
    }

    #[test]
    fn of_several_names_each_must_be_private() {
        let mut headers = HeaderMap::new();
        assert!(are_private(&headers), "HTTP/1.0");
        headers.append("host", HeaderValue::from_static("localhost"));
        assert!(are_private(&headers));
        headers.append("host", HeaderValue::from_static("evil.example"));
        assert!(!are_private(&headers));
        headers.insert("host", HeaderValue::from_bytes(&[0xff]).unwrap());
        assert!(!are_private(&headers));
    }
}
