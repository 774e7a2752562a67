//! The token that opens everything but health.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use secrecy::{ExposeSecret as _, SecretString};

use crate::app::admin_server::{AdminSources, NO_STORE};
use crate::app::digest::digest;

/// Lets a request through that shows the token, and every one where none is configured.
pub(super) async fn guard(
    State(sources): State<AdminSources>,
    request: Request,
    next: Next,
) -> Response {
    if is_allowed(sources.token.as_ref(), request.headers()) {
        return next.run(request).await;
    }
    let headers = [(WWW_AUTHENTICATE, "Bearer realm=\"hongbaod\""), NO_STORE];
    let body = "show the token of admin.token as Authorization: Bearer ...\n";
    (StatusCode::UNAUTHORIZED, headers, body).into_response()
}

fn is_allowed(token: Option<&SecretString>, headers: &HeaderMap) -> bool {
    let Some(token) = token else {
        return true;
    };
    let shown = headers.get(AUTHORIZATION);
    let shown = shown.and_then(|value| value.as_bytes().split_first_chunk::<7>());
    let Some((scheme, shown)) = shown else {
        return false;
    };
    // Of digests, so that the time tells neither how much of it was right nor how long it is.
    let (ours, theirs) = (digest(token.expose_secret().as_bytes()), digest(shown));
    scheme.eq_ignore_ascii_case(b"bearer ") && verify_slices_are_equal(&ours.0, &theirs.0).is_ok()
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderMap;
    use axum::http::header::AUTHORIZATION;
    use secrecy::SecretString;

    use super::is_allowed;

    #[test]
    fn only_the_whole_token_opens() {
        let token = SecretString::from("0123456789abcdef");
        for (shown, expected) in [
            ("Bearer 0123456789abcdef", true),
            ("bearer 0123456789abcdef", true),
            ("Bearer 0123456789abcde", false),
            ("Bearer 0123456789abcdef0", false),
            ("Bearer 0123456789abcdeF", false),
            ("Bearer ", false),
            ("Basic 0123456789abcdef", false),
            ("0123456789abcdef", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, shown.parse().unwrap());
            assert_eq!(is_allowed(Some(&token), &headers), expected, "{shown}");
        }
        assert!(!is_allowed(Some(&token), &HeaderMap::new()));
        assert!(is_allowed(None, &HeaderMap::new()));
    }
}
