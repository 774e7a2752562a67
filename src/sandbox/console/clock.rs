//! The sandbox's clock, which a person may put forward.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::State as Extracted;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;
use serde_json::json;

use crate::adapters::alipay::wire::{form_decode, timestamp_gmt8};
use crate::domain::time::parse_duration;
use crate::sandbox::console::{is_form, json_answer, refused};
use crate::sandbox::same_origin::is_foreign;
use crate::sandbox::server::Shared;

/// The longest single step: longer than any deadline that a packet can have.
const STEP_MAX: Duration = Duration::from_secs(3 * 366 * 24 * 60 * 60);

/// How far to put the clock forward.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    advance: String,
}

pub(super) async fn show(Extracted(shared): Extracted<Shared>) -> Response {
    let state = &shared.state;
    let clock = json!({
        "now": timestamp_gmt8(state.now().0),
        "wall_clock": timestamp_gmt8(state.wall_now().0),
        "time_scale": state.clock.scale(),
    });
    json_answer(StatusCode::OK, &clock)
}

/// `PUT` with `{"advance":"48h"}`, or `POST` with the page's form.
pub(super) async fn put_forward(
    Extracted(shared): Extracted<Shared>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if is_foreign(&headers) {
        return refused(StatusCode::FORBIDDEN, "another site's form");
    }
    let form = is_form(&headers, &body);
    let step = if form {
        step_of_form(&body)
    } else {
        serde_json::from_slice(&body).map_err(|error| error.to_string())
    };
    let length = step.and_then(|step| {
        span(&step.advance)
            .ok_or_else(|| "advance is a whole number and ms, s, m, h or d: \"48h\"".to_owned())
    });
    match length {
        Err(message) => refused(StatusCode::BAD_REQUEST, &message),
        Ok(length) => {
            shared.state.put_forward(length);
            if form {
                Redirect::to("/_sandbox/").into_response()
            } else {
                show(Extracted(shared)).await
            }
        }
    }
}

fn step_of_form(body: &[u8]) -> Result<Step, String> {
    let params = form_decode(body).map_err(|error| error.to_string())?;
    let found = params.into_iter().find(|(name, _)| name == "advance");
    let (_, advance) = found.ok_or_else(|| "advance is missing".to_owned())?;
    Ok(Step { advance })
}

fn span(text: &str) -> Option<Duration> {
    parse_duration(text).filter(|length| *length <= STEP_MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::span;

    #[test]
    fn a_step_has_a_unit_and_an_end() {
        for (text, seconds) in [
            ("48h", Some(172_800)),
            ("1098d", Some(94_867_200)),
            ("1099d", None),
            ("1", None),
        ] {
            assert_eq!(span(text), seconds.map(Duration::from_secs), "{text}");
        }
    }
}
