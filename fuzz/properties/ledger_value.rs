//! Ledger values: what is read is written back as the same entry, and can be worked with.

use hongbaod::adapters::redis_ledger::value::{Indexed, decode, encode, indexed, is_settled};
use hongbaod::app::outcome_event;
use hongbaod::domain::entry::Entry;
use hongbaod::domain::ident::{AppName, MerchantNo};
use hongbaod::domain::job::JobKey;
use hongbaod::domain::outcome::Announcement;
use hongbaod::domain::time::UnixMillis;
use serde_json::Value;

use super::job_body;

/// The last instant that RFC 3339 can spell in GMT+8 and a job body is read with.
const INSTANT_MAX: UnixMillis = UnixMillis(253_402_207_200_000);

/// The key under which the bytes are looked at.
pub fn key() -> JobKey {
    JobKey {
        app: AppName::new("main").unwrap(),
        out_request_no: MerchantNo::new("R202611220000001").unwrap(),
    }
}

/// Checks any bytes under [`key`].
pub fn check(bytes: &[u8]) {
    let key = key();
    match decode(&key, bytes) {
        Ok(entry) => accepted(&key, bytes, &entry),
        Err(malformed) => {
            let told = malformed.to_string();
            assert!((1..=120).contains(&told.len()), "{told}");
        }
    }
}

fn accepted(key: &JobKey, bytes: &[u8], entry: &Entry) {
    let mark = indexed(bytes);
    let again = encode(key, entry, mark);
    assert_eq!(
        decode(key, &again).as_ref(),
        Ok(entry),
        "written as another entry"
    );
    assert_eq!(bytes.first(), again.first(), "a head that is never written");
    let settled = matches!(entry, Entry::Settled(_));
    assert_eq!(bytes.first().is_some_and(|head| is_settled(*head)), settled);
    match entry {
        Entry::InFlight(_) => {}
        Entry::Deferred(_) => assert_eq!(mark, Indexed::Maybe),
        Entry::Settled(outcome) => {
            assert_eq!(mark, Indexed::No);
            event(&Announcement::Settled {
                key: key.clone(),
                outcome: outcome.clone(),
            });
        }
    }
    if let Some(pending) = entry.pending() {
        let job = &pending.job;
        assert_eq!(job.key(), *key, "the job of another number");
        if job.not_after.is_none_or(|instant| instant <= INSTANT_MAX) {
            job_body::money_job(job);
        }
        event(&Announcement::Unresolved {
            job: Box::new(job.clone()),
            attempts: pending.attempts,
            at: pending.first_seen_at,
        });
    }
}

/// Checks that an event can be made, and that every copy of it is the same.
fn event(announcement: &Announcement) {
    let event = outcome_event::encode(announcement, None);
    let again = outcome_event::encode(announcement, None);
    assert_eq!((&again.id, &again.body), (&event.id, &event.body));
    let value: Value = serde_json::from_slice(&event.body).expect("an event is JSON");
    assert_eq!(value["id"], event.id.as_str());
    assert!(event.id.starts_with("main/"), "{}", event.id);
    assert_eq!(value["data"]["out_request_no"], "R202611220000001");
    assert_eq!(value["data"]["app"], "main");
}
