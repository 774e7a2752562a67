//! The unsettled part of a value: everything that is needed to go on with the job.

use crate::adapters::redis_ledger::value::Malformed;
use crate::adapters::redis_ledger::value::bytes::{Reader, put_packed, put_text, put_varint};
use crate::adapters::redis_ledger::value::outcome::{alipay_no, put_refusal, read_refusal};
use crate::domain::entry::{Absence, Pending, RequestDigest, ReturnAddress};
use crate::domain::job::{Fingerprint, JobKey, MoneyJob};
use crate::domain::time::UnixMillis;
use crate::domain::verdict::AlipayNumbers;

const MAYBE_SENT: u16 = 0x0001;
const NUMBER_USED: u16 = 0x0002;
const UNRESOLVED_ANNOUNCED: u16 = 0x0004;
const HAS_DIGEST: u16 = 0x0008;
const HAS_REFUSAL: u16 = 0x0010;
const HAS_ABSENCE_SINCE: u16 = 0x0020;
const HAS_NOT_AFTER: u16 = 0x0040;
const HAS_REPLY_TO: u16 = 0x0080;
const HAS_CORRELATION_ID: u16 = 0x0100;
const HAS_MESSAGE_ID: u16 = 0x0200;
const HAS_TRACEPARENT: u16 = 0x0400;
const HAS_NUMBERS: u16 = 0x0800;
const ALL: u16 = 0x0fff;

pub(super) fn put(out: &mut Vec<u8>, pending: &Pending) {
    let Pending {
        job,
        fingerprint,
        return_address,
        maybe_sent: _,
        digest,
        absence,
        refusal,
        number_used: _,
        numbers,
        attempts,
        inconclusive,
        rescues,
        first_seen_at,
        unresolved_announced: _,
    } = pending;
    out.extend_from_slice(&marks(pending).to_be_bytes());
    out.extend_from_slice(&fingerprint.0);
    put_text(out, &job.canonical());
    for number in [*attempts, *inconclusive, *rescues, absence.count] {
        put_varint(out, u64::from(number));
    }
    put_varint(out, first_seen_at.0);
    if let Some(digest) = digest {
        out.extend_from_slice(&digest.0);
    }
    if let Some(refusal) = refusal {
        put_refusal(out, refusal);
    }
    if let Some(numbers) = numbers {
        put_packed(out, numbers.auth_no.as_str());
        put_packed(out, numbers.operation_id.as_str());
    }
    for instant in [absence.since, job.not_after].into_iter().flatten() {
        put_varint(out, instant.0);
    }
    let ReturnAddress {
        reply_to,
        correlation_id,
        message_id,
        traceparent,
    } = return_address;
    for text in [reply_to, correlation_id, message_id, traceparent]
        .into_iter()
        .flatten()
    {
        put_text(out, text);
    }
}

pub(super) fn read(reader: &mut Reader<'_>, key: &JobKey) -> Result<Pending, Malformed> {
    let marks = u16::from_be_bytes(reader.array()?);
    if marks & !ALL != 0 {
        return Err(Malformed::Field("a mark"));
    }
    let has = |mark: u16| marks & mark != 0;
    let fingerprint = Fingerprint(reader.array()?);
    let canonical = reader.text()?;
    let attempts = reader.number()?;
    let inconclusive = reader.number()?;
    let rescues = reader.number()?;
    let absence_count = reader.number()?;
    let first_seen_at = UnixMillis(reader.varint()?);
    let digest = has(HAS_DIGEST)
        .then(|| reader.array().map(RequestDigest))
        .transpose()?;
    let refusal = has(HAS_REFUSAL).then(|| read_refusal(reader)).transpose()?;
    let numbers = has(HAS_NUMBERS).then(|| read_numbers(reader)).transpose()?;
    let mut instant = |mark| {
        has(mark)
            .then(|| reader.varint().map(UnixMillis))
            .transpose()
    };
    let absence_since = instant(HAS_ABSENCE_SINCE)?;
    let not_after = instant(HAS_NOT_AFTER)?;
    let mut text = |mark| {
        has(mark)
            .then(|| reader.text().map(str::to_owned))
            .transpose()
    };
    let return_address = ReturnAddress {
        reply_to: text(HAS_REPLY_TO)?,
        correlation_id: text(HAS_CORRELATION_ID)?,
        message_id: text(HAS_MESSAGE_ID)?,
        traceparent: text(HAS_TRACEPARENT)?,
    };
    let job = MoneyJob::from_canonical(canonical, not_after)
        .filter(|job| job.app == key.app && job.out_request_no == key.out_request_no)
        .ok_or(Malformed::Field("a job"))?;
    Ok(Pending {
        job,
        fingerprint,
        return_address,
        maybe_sent: has(MAYBE_SENT),
        digest,
        absence: Absence {
            count: absence_count,
            since: absence_since,
        },
        refusal,
        number_used: has(NUMBER_USED),
        numbers,
        attempts,
        inconclusive,
        rescues,
        first_seen_at,
        unresolved_announced: has(UNRESOLVED_ANNOUNCED),
    })
}

fn read_numbers(reader: &mut Reader<'_>) -> Result<AlipayNumbers, Malformed> {
    Ok(AlipayNumbers {
        auth_no: alipay_no(reader)?,
        operation_id: alipay_no(reader)?,
    })
}

fn marks(pending: &Pending) -> u16 {
    let address = &pending.return_address;
    [
        (MAYBE_SENT, pending.maybe_sent),
        (NUMBER_USED, pending.number_used),
        (UNRESOLVED_ANNOUNCED, pending.unresolved_announced),
        (HAS_DIGEST, pending.digest.is_some()),
        (HAS_REFUSAL, pending.refusal.is_some()),
        (HAS_NUMBERS, pending.numbers.is_some()),
        (HAS_ABSENCE_SINCE, pending.absence.since.is_some()),
        (HAS_NOT_AFTER, pending.job.not_after.is_some()),
        (HAS_REPLY_TO, address.reply_to.is_some()),
        (HAS_CORRELATION_ID, address.correlation_id.is_some()),
        (HAS_MESSAGE_ID, address.message_id.is_some()),
        (HAS_TRACEPARENT, address.traceparent.is_some()),
    ]
    .into_iter()
    .filter(|(_, present)| *present)
    .fold(0, |marks, (mark, _)| marks | mark)
}
