//! The frame of the pages for people. Everything that comes from outside is escaped.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

const STYLE: &str = include_str!("html/style.css");

/// A page with this title; `body` is HTML already.
///
/// Forms lead to the sandbox alone and, after payment, on to `form_target`, an origin.
pub(in crate::sandbox) fn page(
    status: StatusCode,
    title: &str,
    body: &str,
    form_target: Option<&str>,
) -> Response {
    let html = format!(
        "<!doctype html><html lang=en><head><meta charset=utf-8>\
        <meta name=viewport content='width=device-width, initial-scale=1'><title>{}</title>\
        <style>{STYLE}</style></head><body>{body}</body></html>",
        escaped(title)
    );
    let policy = format!(
        "default-src 'none'; style-src 'unsafe-inline'; form-action 'self' {}; \
        base-uri 'none'; frame-ancestors 'none'",
        form_target.unwrap_or_default()
    );
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, policy.as_str()),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (status, headers, html).into_response()
}

/// Text for HTML, inside elements and quoted attributes.
pub(in crate::sandbox) fn escaped(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            _ => html.push(c),
        }
    }
    html
}

/// Fen as yuan with two decimals, negative ones too.
pub(in crate::sandbox) fn yuan(fen: i128) -> String {
    let sign = if fen < 0 { "-" } else { "" };
    let fen = fen.unsigned_abs();
    format!("{sign}{}.{:02}", fen / 100, fen % 100)
}

#[cfg(test)]
mod tests {
    use super::{escaped, yuan};

    #[test]
    fn markup_from_outside_is_shown_not_obeyed() {
        assert_eq!(escaped(r#"<script>"&'"#), "&lt;script&gt;&quot;&amp;&#39;");
    }

    #[test]
    fn balances_have_two_decimals_and_a_sign() {
        for (fen, text) in [(0, "0.00"), (5, "0.05"), (-123_456, "-1234.56")] {
            assert_eq!(yuan(fen), text);
        }
    }
}
