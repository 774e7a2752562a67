//! The settled part of a value: what was decided, packed.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::Offset;

use crate::adapters::redis_ledger::value::Malformed;
use crate::adapters::redis_ledger::value::bytes::{
    Reader, put_packed, put_signed, put_text, put_varint,
};
use crate::domain::ident::{AlipayNo, MerchantNo};
use crate::domain::job::{Fingerprint, JobKey, Kind, Labels};
use crate::domain::money::Fen;
use crate::domain::outcome::{Failure, Outcome, Rejection, Resolution, SignedOrder};
use crate::domain::time::UnixMillis;
use crate::domain::verdict::Refusal;

// The marks byte: kind (2 bits), resolution (2), out_order_no (2), auth_no, labels. Kinds that do
// not fit say so, and have a byte of their own after it.
const OTHER_KIND: u8 = 3;
const APP_PAY: u8 = 0;
const PAGE_PAY: u8 = 1;
/// In a kind's own byte, with one of [`OVER_BUDGET_KINDS`]: the rejection is one as over budget. The
/// two bits of resolutions were full; a version that does not know this byte refuses the value as
/// unreadable.
const OVER_BUDGET: u8 = 0x10;
const OVER_BUDGET_KINDS: [(u8, Kind); 5] = [
    (0, Kind::Disburse),
    (1, Kind::Refund),
    (2, Kind::Pay),
    (3, Kind::AppPay),
    (4, Kind::PagePay),
];
const RESOLUTION_SHIFT: u32 = 2;
const ORDER_SHIFT: u32 = 4;
const ORDER_NONE: u8 = 0;
const ORDER_AS_REQUEST: u8 = 1;
const ORDER_OWN: u8 = 2;
const HAS_AUTH_NO: u8 = 0x40;
const HAS_LABELS: u8 = 0x80;

/// Of the kinds that call nothing: signed.
const SUCCEEDED: u8 = 0;
const REFUSED: u8 = 1;
const CLOSED: u8 = 2;
/// As expired, unless the kind's byte says why else.
const REJECTED: u8 = 3;

// The marks of a success.
const HAS_OPERATION_ID: u8 = 0x01;
const HAS_GMT_TRANS_SECONDS: u8 = 0x02;
const HAS_GMT_TRANS_TEXT: u8 = 0x04;

// The marks of a refusal.
const HAS_SUB_CODE: u8 = 0x01;
const HAS_DISPLAY_MESSAGE: u8 = 0x02;

/// How Alipay spells an instant. Source: Alipay fund.coupon, `gmt_trans`, always GMT+8.
const GMT_TRANS_FORMAT: &str = "%Y-%m-%d %H:%M:%S";

pub(super) fn put(out: &mut Vec<u8>, key: &JobKey, outcome: &Outcome) {
    let Outcome {
        kind,
        fingerprint,
        out_order_no,
        auth_no,
        amount,
        resolution,
        attempts,
        settled_at,
        labels,
    } = outcome;
    let order = match out_order_no {
        None => ORDER_NONE,
        Some(number) if *number == key.out_request_no => ORDER_AS_REQUEST,
        Some(_) => ORDER_OWN,
    };
    let (kind_mark, kind_byte) = kind_marks(*kind, resolution);
    let mut marks =
        kind_mark | (resolution_mark(resolution) << RESOLUTION_SHIFT) | (order << ORDER_SHIFT);
    if auth_no.is_some() {
        marks |= HAS_AUTH_NO;
    }
    if !labels.0.is_empty() {
        marks |= HAS_LABELS;
    }
    out.push(marks);
    out.extend(kind_byte);
    out.extend_from_slice(&fingerprint.0);
    put_varint(out, amount.get());
    put_varint(out, u64::from(*attempts));
    put_varint(out, settled_at.0);
    if let (ORDER_OWN, Some(number)) = (order, out_order_no) {
        put_packed(out, number.as_str());
    }
    if let Some(number) = auth_no {
        put_packed(out, number.as_str());
    }
    put_resolution(out, resolution, *settled_at);
    if !labels.0.is_empty() {
        put_varint(out, u64::try_from(labels.0.len()).unwrap_or(u64::MAX));
        for (key, value) in &labels.0 {
            put_text(out, key);
            put_text(out, value);
        }
    }
}

pub(super) fn read(reader: &mut Reader<'_>, key: &JobKey) -> Result<Outcome, Malformed> {
    let marks = reader.byte()?;
    let (kind, rejection) = read_kind(reader, marks & OTHER_KIND)?;
    let fingerprint = Fingerprint(reader.array()?);
    let amount = Fen::new(reader.varint()?).ok_or(Malformed::Field("an amount"))?;
    let attempts = reader.number()?;
    let settled_at = UnixMillis(reader.varint()?);
    let out_order_no = match (marks >> ORDER_SHIFT) & 0x03 {
        ORDER_NONE => None,
        ORDER_AS_REQUEST => Some(key.out_request_no.clone()),
        ORDER_OWN => Some(
            MerchantNo::new(&reader.packed()?)
                .map_err(|_invalid| Malformed::Field("an out_order_no"))?,
        ),
        _ => return Err(Malformed::Field("an order mark")),
    };
    let auth_no = if marks & HAS_AUTH_NO == 0 {
        None
    } else {
        Some(alipay_no(reader)?)
    };
    let mark = (marks >> RESOLUTION_SHIFT) & 0x03;
    let resolution = match (kind, mark) {
        (_, mark) if mark != REJECTED && rejection == Rejection::OverBudget => {
            return Err(Malformed::Field("a kind and a resolution"));
        }
        (_, REJECTED) => Resolution::Rejected(rejection),
        (Kind::AppPay | Kind::PagePay, SUCCEEDED) => {
            Resolution::Signed(SignedOrder(reader.text()?.to_owned()))
        }
        _ => read_resolution(reader, mark, settled_at)?,
    };
    let labels = if marks & HAS_LABELS == 0 {
        Labels::default()
    } else {
        read_labels(reader)?
    };
    Ok(Outcome {
        kind,
        fingerprint,
        out_order_no,
        auth_no,
        amount,
        resolution,
        attempts,
        settled_at,
        labels,
    })
}

/// The kind's two bits, and its own byte where it has one.
fn kind_marks(kind: Kind, resolution: &Resolution) -> (u8, Option<u8>) {
    if *resolution == Resolution::Rejected(Rejection::OverBudget) {
        let byte = OVER_BUDGET_KINDS.iter().find(|(_, known)| *known == kind);
        return (OTHER_KIND, byte.map(|(byte, _)| OVER_BUDGET | byte));
    }
    match kind {
        Kind::Disburse => (0, None),
        Kind::Refund => (1, None),
        Kind::Pay => (2, None),
        Kind::AppPay => (OTHER_KIND, Some(APP_PAY)),
        Kind::PagePay => (OTHER_KIND, Some(PAGE_PAY)),
        // A query never has an outcome here.
        Kind::Query => (OTHER_KIND, None),
    }
}

/// The kind, and why it is rejected if it is.
fn read_kind(reader: &mut Reader<'_>, mark: u8) -> Result<(Kind, Rejection), Malformed> {
    let kind = match mark {
        0 => Kind::Disburse,
        1 => Kind::Refund,
        2 => Kind::Pay,
        _ => match reader.byte()? {
            APP_PAY => Kind::AppPay,
            PAGE_PAY => Kind::PagePay,
            byte => {
                let known = OVER_BUDGET_KINDS
                    .iter()
                    .find(|(known, _)| OVER_BUDGET | known == byte);
                let (_, kind) = known.ok_or(Malformed::Field("a kind"))?;
                return Ok((*kind, Rejection::OverBudget));
            }
        },
    };
    Ok((kind, Rejection::Expired))
}

const fn resolution_mark(resolution: &Resolution) -> u8 {
    match resolution {
        Resolution::Succeeded { .. } | Resolution::Signed(_) => SUCCEEDED,
        Resolution::Failed(Failure::Refused(_)) => REFUSED,
        Resolution::Failed(Failure::Closed) => CLOSED,
        Resolution::Rejected(Rejection::Expired | Rejection::OverBudget) => REJECTED,
    }
}

fn put_resolution(out: &mut Vec<u8>, resolution: &Resolution, settled_at: UnixMillis) {
    match resolution {
        Resolution::Succeeded {
            operation_id,
            gmt_trans,
        } => {
            let seconds = gmt_trans
                .as_deref()
                .and_then(|text| seconds_after(text, settled_at));
            let mut marks = 0;
            if operation_id.is_some() {
                marks |= HAS_OPERATION_ID;
            }
            if seconds.is_some() {
                marks |= HAS_GMT_TRANS_SECONDS;
            } else if gmt_trans.is_some() {
                marks |= HAS_GMT_TRANS_TEXT;
            }
            out.push(marks);
            if let Some(number) = operation_id {
                put_packed(out, number.as_str());
            }
            match (seconds, gmt_trans) {
                (Some(seconds), _) => put_signed(out, seconds),
                (None, Some(text)) => put_text(out, text),
                (None, None) => {}
            }
        }
        Resolution::Failed(Failure::Refused(refusal)) => put_refusal(out, refusal),
        Resolution::Signed(SignedOrder(order)) => put_text(out, order),
        Resolution::Failed(Failure::Closed)
        | Resolution::Rejected(Rejection::Expired | Rejection::OverBudget) => {}
    }
}

fn read_resolution(
    reader: &mut Reader<'_>,
    mark: u8,
    settled_at: UnixMillis,
) -> Result<Resolution, Malformed> {
    Ok(match mark {
        SUCCEEDED => {
            let marks = reader.byte()?;
            let operation_id = if marks & HAS_OPERATION_ID == 0 {
                None
            } else {
                Some(alipay_no(reader)?)
            };
            let gmt_trans = match marks & !HAS_OPERATION_ID {
                0 => None,
                HAS_GMT_TRANS_SECONDS => Some(spelled(reader.signed()?, settled_at)?),
                HAS_GMT_TRANS_TEXT => Some(reader.text()?.to_owned()),
                _ => return Err(Malformed::Field("a mark of a success")),
            };
            Resolution::Succeeded {
                operation_id,
                gmt_trans,
            }
        }
        REFUSED => Resolution::Failed(Failure::Refused(read_refusal(reader)?)),
        CLOSED => Resolution::Failed(Failure::Closed),
        _ => return Err(Malformed::Field("a resolution")),
    })
}

/// Writes a refusal; an unsettled value holds them too.
pub(super) fn put_refusal(out: &mut Vec<u8>, refusal: &Refusal) {
    let Refusal {
        code,
        sub_code,
        display_message,
    } = refusal;
    let mut marks = 0;
    if sub_code.is_some() {
        marks |= HAS_SUB_CODE;
    }
    if display_message.is_some() {
        marks |= HAS_DISPLAY_MESSAGE;
    }
    out.push(marks);
    put_text(out, code);
    for text in [sub_code, display_message].into_iter().flatten() {
        put_text(out, text);
    }
}

/// Reads what [`put_refusal`] wrote.
pub(super) fn read_refusal(reader: &mut Reader<'_>) -> Result<Refusal, Malformed> {
    let marks = reader.byte()?;
    if marks & !(HAS_SUB_CODE | HAS_DISPLAY_MESSAGE) != 0 {
        return Err(Malformed::Field("a mark of a refusal"));
    }
    let code = reader.text()?.to_owned();
    let mut text = |mark| {
        if marks & mark == 0 {
            Ok(None)
        } else {
            reader.text().map(|text| Some(text.to_owned()))
        }
    };
    Ok(Refusal {
        code,
        sub_code: text(HAS_SUB_CODE)?,
        display_message: text(HAS_DISPLAY_MESSAGE)?,
    })
}

fn read_labels(reader: &mut Reader<'_>) -> Result<Labels, Malformed> {
    let count = reader.varint()?;
    let mut labels = BTreeMap::new();
    for _ in 0..count {
        let key = reader.text()?.to_owned();
        let value = reader.text()?.to_owned();
        labels.insert(key, value);
    }
    Ok(Labels(labels))
}

/// Reads a number of Alipay's; an unsettled value holds them too.
pub(super) fn alipay_no(reader: &mut Reader<'_>) -> Result<AlipayNo, Malformed> {
    AlipayNo::new(&reader.packed()?).map_err(|_invalid| Malformed::Field("a number of Alipay's"))
}

/// How many seconds after the settling `text` is, if it is spelled so that [`spelled`] writes it
/// again, letter by letter.
fn seconds_after(text: &str, settled_at: UnixMillis) -> Option<i64> {
    let civil = DateTime::strptime(GMT_TRANS_FORMAT, text).ok()?;
    let instant = gmt8().to_timestamp(civil).ok()?;
    let seconds = instant.as_second().checked_sub(whole_seconds(settled_at))?;
    let again = spelled(seconds, settled_at).ok()?;
    (again == text).then_some(seconds)
}

fn spelled(seconds_after: i64, settled_at: UnixMillis) -> Result<String, Malformed> {
    let impossible = Malformed::Field("an instant");
    let seconds = whole_seconds(settled_at)
        .checked_add(seconds_after)
        .ok_or(impossible)?;
    let instant = Timestamp::from_second(seconds).map_err(|_out_of_range| impossible)?;
    let civil = gmt8().to_datetime(instant);
    Ok(civil.strftime(GMT_TRANS_FORMAT).to_string())
}

fn gmt8() -> Offset {
    Offset::constant(8)
}

fn whole_seconds(instant: UnixMillis) -> i64 {
    i64::try_from(instant.0 / 1_000).unwrap_or(i64::MAX)
}
