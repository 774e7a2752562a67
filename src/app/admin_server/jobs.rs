//! `/api/jobs/NUMBER`: the life of one job, read from the ledger and its history. Changes nothing.

use std::fmt::Display;

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::app::admin_server::{AdminSources, json_answer};
use crate::app::job_facts::{facts, history};
use crate::domain::causes::with_causes;
use crate::domain::ident::{AppName, MerchantNo};
use crate::domain::job::JobKey;

/// So many searches ask Redis at a time; people do not need more, and payments come first.
pub(super) const SEARCHES_MAX: usize = 4;

/// Which app's job.
#[derive(Debug, Deserialize)]
pub(super) struct Whose {
    app: Option<String>,
}

pub(super) async fn job(
    State(sources): State<AdminSources>,
    Path(number): Path<String>,
    Query(whose): Query<Whose>,
) -> Response {
    let number = match MerchantNo::new(&number) {
        Ok(number) => number,
        Err(error) => return refused(StatusCode::BAD_REQUEST, "the number", &error),
    };
    let app = match whose.app.filter(|app| !app.is_empty()) {
        Some(app) => match AppName::new(&app) {
            Ok(app) => app,
            Err(error) => return refused(StatusCode::BAD_REQUEST, "the app", &error),
        },
        None => match &sources.lookup.default_app {
            Some(app) => app.clone(),
            None => return refused(StatusCode::BAD_REQUEST, "the app", &"name one of them"),
        },
    };
    let Ok(_turn) = sources.lookup.turns.try_acquire() else {
        let error = "others search; ask again";
        return refused(StatusCode::TOO_MANY_REQUESTS, "the search", &error);
    };
    let key = JobKey {
        app,
        out_request_no: number,
    };
    match life_of(&sources, &key).await {
        Ok(life) => json_answer(StatusCode::OK, &life),
        Err(error) => refused(StatusCode::SERVICE_UNAVAILABLE, "the ledger", &error),
    }
}

/// What is known of a job. Nothing is an answer, too, not an error.
async fn life_of(sources: &AdminSources, key: &JobKey) -> Result<Value, String> {
    let entry = sources.lookup.ledger.read(key).await;
    let entry = entry.map_err(|error| with_causes(&error))?;
    let Some(found) = entry else {
        return Ok(json!({"found": false, "app": key.app.as_str()}));
    };
    let calls = sources.lookup.history.calls(key).await;
    let calls = calls.map_err(|error| with_causes(&error))?;
    let facts = facts(key, &found.entry, sources.clock.now());
    let facts: Vec<Value> = facts
        .into_iter()
        .map(|(name, value)| json!([name, value]))
        .collect();
    Ok(json!({"found": true, "facts": facts, "history": history(&calls)}))
}

fn refused(status: StatusCode, what: &str, why: &dyn Display) -> Response {
    json_answer(status, &json!({"error": format!("{what}: {why}")}))
}
