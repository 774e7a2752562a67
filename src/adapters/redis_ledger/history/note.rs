//! One call of a job's history as compact bytes: about 30, and 20 more where Alipay gave codes.
//!
//! ```text
//! 0x01 0SCQ-vvvv  number, instant, duration, code if C, sub_code if S, replica
//! ```
//!
//! The second byte says the verdict (its place in [`PastVerdict::ALL`]), whether it was a query
//! (`0x10`), and which codes follow (`0x20`, `0x40`).

use crate::adapters::redis_ledger::value::bytes::{Reader, put_packed, put_varint};
use crate::domain::time::UnixMillis;
use crate::ports::history::{CODE_CHARS_MAX, CallKind, PastCall, PastVerdict, REPLICA_CHARS_MAX};

const VERSION: u8 = 0x01;
const VERDICT: u8 = 0x0f;
const QUERY: u8 = 0x10;
const CODE: u8 = 0x20;
const SUB_CODE: u8 = 0x40;

/// Writes a call; what is longer than it may be is cut.
pub(super) fn write(call: &PastCall) -> Vec<u8> {
    let place = PastVerdict::ALL
        .iter()
        .position(|verdict| *verdict == call.verdict);
    let mut head = place
        .and_then(|place| u8::try_from(place).ok())
        .unwrap_or(VERDICT);
    head |= match call.call {
        CallKind::Send => 0,
        CallKind::Query => QUERY,
    };
    if call.code.is_some() {
        head |= CODE;
    }
    if call.sub_code.is_some() {
        head |= SUB_CODE;
    }
    let mut out = Vec::with_capacity(64);
    out.extend_from_slice(&[VERSION, head]);
    put_varint(&mut out, u64::from(call.number));
    put_varint(&mut out, call.at.0);
    put_varint(&mut out, call.duration_ms);
    for code in [&call.code, &call.sub_code].into_iter().flatten() {
        let cut: String = code.chars().take(CODE_CHARS_MAX).collect();
        put_packed(&mut out, &cut);
    }
    let length = call.replica.chars().count();
    let skipped = length.saturating_sub(REPLICA_CHARS_MAX);
    let end: String = call.replica.chars().skip(skipped).collect();
    put_packed(&mut out, &end);
    out
}

/// Reads a call; `None` for what this version does not know.
pub(super) fn read(bytes: &[u8]) -> Option<PastCall> {
    let mut reader = Reader::new(bytes);
    if reader.byte().ok()? != VERSION {
        return None;
    }
    let head = reader.byte().ok()?;
    let verdict = PastVerdict::ALL.get(usize::from(head & VERDICT)).copied()?;
    let number = reader.number().ok()?;
    let at = UnixMillis(reader.varint().ok()?);
    let duration_ms = reader.varint().ok()?;
    let mut code_if = |flag| {
        if head & flag == 0 {
            Some(None)
        } else {
            reader.packed().ok().map(Some)
        }
    };
    let code = code_if(CODE)?;
    let sub_code = code_if(SUB_CODE)?;
    let replica = reader.packed().ok()?;
    reader.end().ok()?;
    Some(PastCall {
        number,
        call: if head & QUERY == 0 {
            CallKind::Send
        } else {
            CallKind::Query
        },
        verdict,
        code,
        sub_code,
        at,
        duration_ms,
        replica,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};

    use super::{read, write};
    use crate::domain::time::UnixMillis;
    use crate::ports::history::{CallKind, PastCall, PastVerdict};

    fn call(code: Option<&str>, sub_code: Option<&str>) -> PastCall {
        PastCall {
            number: 3,
            call: CallKind::Query,
            verdict: PastVerdict::Blocked,
            code: code.map(str::to_owned),
            sub_code: sub_code.map(str::to_owned),
            at: UnixMillis(1_795_312_801_234),
            duration_ms: 20_000,
            replica: "hongbaod-6d4f9c7b8d-x2x4p".to_owned(),
        }
    }

    #[test]
    fn a_call_takes_about_thirty_bytes_and_its_codes_about_twenty() {
        for (call, length) in [
            (call(None, None), 32),
            (call(Some("40004"), Some("MONEY_NOT_ENOUGH")), 49),
            (call(Some("40002"), Some("isv.invalid-signature")), 59),
        ] {
            let bytes = write(&call);
            assert_eq!(bytes.len(), length, "{call:?}");
            assert_eq!(read(&bytes), Some(call));
        }
    }

    #[test]
    fn of_a_long_name_the_end_is_kept_and_of_a_long_code_the_beginning() {
        let mut long = call(Some("40004"), Some(&"A".repeat(99)));
        long.replica = format!("{}-x2x4p", "b".repeat(60));
        let read = read(&write(&long)).unwrap();
        assert_eq!(read.sub_code, Some("A".repeat(64)));
        assert_eq!(read.replica, format!("{}-x2x4p", "b".repeat(26)));
    }

    #[test]
    fn what_another_version_wrote_is_no_call() {
        let mut bytes = write(&call(None, None));
        bytes[0] = 2;
        assert_eq!(read(&bytes), None);
        assert_eq!(read(b""), None);
        // A verdict that this version does not know.
        let mut bytes = write(&call(None, None));
        bytes[1] |= 0x0f;
        assert_eq!(read(&bytes), None);
        // Something behind its end.
        let mut bytes = write(&call(None, None));
        bytes.push(0);
        assert_eq!(read(&bytes), None);
    }

    proptest! {
        #[test]
        fn any_call_reads_back_and_any_bytes_are_read_or_not(
            number in any::<u32>(),
            is_query in any::<bool>(),
            place in 0_usize..8,
            code in proptest::option::of("[0-9]{1,5}"),
            sub_code in proptest::option::of(".{0,40}"),
            at in any::<u64>(),
            duration_ms in any::<u64>(),
            replica in ".{0,32}",
            bytes in proptest::collection::vec(any::<u8>(), 0..64),
        ) {
            let verdict = PastVerdict::ALL[place];
            let call = if is_query { CallKind::Query } else { CallKind::Send };
            let at = UnixMillis(at);
            let call = PastCall { number, call, verdict, code, sub_code, at, duration_ms, replica };
            assert_eq!(read(&write(&call)), Some(call));
            // It is read or not, without a panic.
            let _ = read(&bytes);
        }
    }
}
