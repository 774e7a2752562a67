//! The jobs of a benchmark: equal but for their number, and a number tells its place.

use bytes::Bytes;
use serde_json::json;

use crate::domain::entry::ReturnAddress;
use crate::domain::job::Kind;
use crate::domain::lane::Tier;
use crate::domain::time::UnixMillis;
use crate::ports::broker::JobCopy;

/// The packet that every job is paid from.
pub const PACKET: &str = "P-BENCH";

/// What the packet must hold for the greatest number of jobs, in yuan.
pub const PACKET_YUAN: &str = "90000000.00";

/// The number of the job at `place`.
pub fn number(place: usize) -> String {
    format!("R20261122{place:010}")
}

/// The place of the job with this number; `None` for a number of somebody else.
pub fn place(number: &str) -> Option<usize> {
    number.strip_prefix("R20261122")?.parse().ok()
}

/// The job's body, with all that a real one has.
pub fn body(place: usize) -> String {
    let number = number(place);
    json!({
        "kind": "disburse", "out_request_no": number, "out_order_no": number,
        "deduct_out_order_no": PACKET, "order_title": "恭喜发财", "amount": "1.88",
        "payee_user_id": format!("2088102{:09}", place % 1_000_000_000),
        "labels": {"room": format!("{}", place % 97)},
    })
    .to_string()
}

/// The job as a message.
pub fn message(place: usize, now: UnixMillis) -> JobCopy {
    JobCopy {
        kind: Kind::Disburse,
        tier: Tier::default(),
        body: Bytes::from(body(place)),
        ticket: None,
        return_address: ReturnAddress {
            message_id: Some(number(place)),
            ..ReturnAddress::default()
        },
        published_at: Some(now),
        attempts: 0,
    }
}

/// The place of the job that an event is about, and whether it was paid.
pub fn settled(event: &[u8]) -> Option<(usize, Settled)> {
    // Parsed whole, it would cost the observer more than the worker's event costs the worker.
    let text = std::str::from_utf8(event).ok()?;
    let (_, rest) = text.split_once("\"subject\":\"")?;
    let (number, _) = rest.split_once('"')?;
    let paid = text.contains("\"result\":\"succeeded\"");
    Some((
        place(number)?,
        if paid {
            Settled::Paid
        } else {
            Settled::Otherwise
        },
    ))
}

/// What an event says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// The job was paid.
    Paid,
    /// Anything else, which a benchmark without faults must never see.
    Otherwise,
}

#[cfg(test)]
mod tests {
    use super::{Settled, body, number, place, settled};
    use crate::app::job_body;
    use crate::domain::ident::AppName;

    #[test]
    fn each_body_is_a_job_that_the_daemon_takes() {
        let app = AppName::new("main").unwrap();
        for place in [0, 1, 999_999, 5_000_000] {
            let job = job_body::decode(body(place).as_bytes(), Some(&app));
            assert!(job.is_ok(), "{job:?}");
        }
    }

    #[test]
    fn a_number_tells_its_place() {
        assert_eq!(place(&number(1_234_567)), Some(1_234_567));
        assert_eq!(place("R1"), None);
    }

    #[test]
    fn an_event_tells_its_job_and_whether_it_was_paid() {
        let event = |result| {
            format!(
                r#"{{"id":"x","subject":"{}","data":{{"result":"{result}"}}}}"#,
                number(7)
            )
        };
        let paid = settled(event("succeeded").as_bytes());
        assert_eq!(paid, Some((7, Settled::Paid)));
        let failed = settled(event("failed").as_bytes());
        assert_eq!(failed, Some((7, Settled::Otherwise)));
        assert_eq!(settled(b"{}"), None);
    }
}
