//! Reads outcome events from a file that `hongbaod watch --json` wrote.

use std::io::{self, BufRead, BufReader, Read};

use serde_json::Value;

use crate::app::reconcile::books::{SeenEvent, data_digest};
use crate::app::reconcile::window::{alipay_time, parse_instant};
use crate::domain::ident::{AppName, MerchantNo};
use crate::domain::job::{JobKey, Kind};
use crate::domain::money::Fen;
use crate::domain::time::UnixMillis;

/// Longest line, in bytes: an event with a signed order is a few thousand.
const LINE_BYTES_MAX: u64 = 262_144;

/// Why a file of events cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum EventsError {
    /// The file cannot be read.
    #[error("read the events")]
    Read(#[from] io::Error),
    /// A line is no event.
    #[error("line {line} of the events is no outcome event")]
    Line {
        /// The line, counted from 1.
        line: u64,
    },
}

/// Hands over each terminal event of a job that the ledger has settled; the others are passed by.
/// Holds one line at a time.
///
/// # Errors
///
/// [`EventsError`]; lines before it were handed over.
pub fn read(events: impl Read, mut each: impl FnMut(SeenEvent)) -> Result<(), EventsError> {
    let mut events = BufReader::new(events);
    let mut bytes = Vec::new();
    let mut line: u64 = 0;
    loop {
        bytes.clear();
        let length = events
            .by_ref()
            .take(LINE_BYTES_MAX)
            .read_until(b'\n', &mut bytes)?;
        if length == 0 {
            return Ok(());
        }
        line = line.saturating_add(1);
        if bytes.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let event: Value =
            serde_json::from_slice(&bytes).map_err(|_reason| EventsError::Line { line })?;
        if event.get("id").is_none() || event.get("data").is_none() {
            return Err(EventsError::Line { line });
        }
        if let Some(seen) = settled(&event) {
            each(seen);
        }
    }
}

/// The event as the outcome of a settled job; `None` for any other, which its id tells.
fn settled(event: &Value) -> Option<SeenEvent> {
    let data = event.get("data")?;
    let text = |name: &str| data.get(name).and_then(Value::as_str);
    let key = JobKey {
        app: AppName::new(text("app")?).ok()?,
        out_request_no: MerchantNo::new(text("out_request_no")?).ok()?,
    };
    let kind = Kind::parse(text("kind")?)?;
    let id = format!("{}/{kind}/{}", key.app, key.out_request_no);
    if event.get("id")?.as_str()? != id {
        return None;
    }
    let amount = text("amount");
    let result = text("result").unwrap_or("?");
    let time = event.get("time").and_then(Value::as_str);
    let at = text("gmt_trans").and_then(alipay_time).or_else(|| {
        let now = UnixMillis(0);
        time.and_then(|time| parse_instant(time, now))
    });
    Some(SeenEvent {
        digest: data_digest(data),
        says: format!("{result} {} in the event", amount.unwrap_or("?")),
        amount: amount.and_then(|amount| Fen::parse_yuan(amount).ok()),
        at: at?,
        key,
        kind,
    })
}

#[cfg(test)]
mod tests {
    use super::{EventsError, read};

    #[test]
    fn only_terminal_events_of_settled_jobs_count() {
        let event = |id: &str| {
            format!(
                "{{\"id\":\"{id}\",\"time\":\"2026-11-22T10:00:01.234+08:00\",\"data\":{{\"kind\":\
                 \"disburse\",\"result\":\"succeeded\",\"app\":\"main\",\"out_request_no\":\"R1\",\
                 \"amount\":\"8.88\"}}}}\n"
            )
        };
        let ids = [
            "main/disburse/R1",
            "main/disburse/R1/unresolved",
            "main/disburse/R1/conflict/00",
            "main/query/R1:R1/m/found",
            "main/disburse/R1",
        ];
        let text: String = ids.iter().map(|id| event(id)).collect();
        let mut seen = Vec::new();
        read(format!("\n{text}").as_bytes(), |event| seen.push(event)).unwrap();
        assert_eq!(seen.len(), 2);
        assert_eq!(seen[0], seen[1]);
        assert_eq!(seen[0].says, "succeeded 8.88 in the event");
        assert_eq!(seen[0].at.0, 1_795_312_801_234);
    }

    #[test]
    fn a_line_that_is_no_event_is_named() {
        for text in ["{}\n", "{\"id\":1}\n", "nonsense\n"] {
            let error = read(format!("\n{text}").as_bytes(), |_| ()).unwrap_err();
            assert!(matches!(error, EventsError::Line { line: 2 }), "{error}");
        }
    }
}
