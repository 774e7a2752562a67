//! Reads Alipay's bill: a CSV file as it is downloaded, in GBK or UTF-8.
//!
//! Our reading, for no document fixes it: lines that begin with `#` are comments; the first other
//! line names the columns; a value may be in double quotes and have blanks or a tab around it; no
//! value holds a line feed. The columns are found by their headings, of which several spellings
//! are known and others can be given.

mod columns;

use std::io::{self, BufRead, BufReader, Read};

use encoding_rs::GBK;

use crate::app::reconcile::bill::columns::Places;
use crate::app::reconcile::books::BillRow;
use crate::app::reconcile::window::alipay_time;
use crate::domain::money::Fen;

pub use crate::app::reconcile::bill::columns::{Column, Columns};

/// Longest line of a bill, in bytes.
const LINE_BYTES_MAX: u64 = 65_536;

/// Why a bill cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum BillError {
    /// The file cannot be read.
    #[error("read the bill")]
    Read(#[from] io::Error),
    /// A line is too long to be one of a bill.
    #[error("line {line} of the bill is longer than {LINE_BYTES_MAX} bytes")]
    TooLong {
        /// The line, counted from 1.
        line: u64,
    },
    /// A column that is needed is not there.
    #[error(
        "the bill has no column for {column}: name it with --bill-column {column}=HEADING; it has {headings}"
    )]
    Column {
        /// What it is for.
        column: &'static str,
        /// The headings that are there.
        headings: String,
    },
    /// A value is not what its column should hold.
    #[error("line {line} of the bill: {column} is not {expected}")]
    Value {
        /// The line, counted from 1.
        line: u64,
        /// What the column is for.
        column: &'static str,
        /// What it should be.
        expected: &'static str,
    },
}

/// How a file is spelled; decided by the first line that is not plain ASCII.
#[derive(Clone, Copy)]
enum Charset {
    Open,
    Utf8,
    Gbk,
}

/// Hands over each line of the bill that moves money, in the order of the file. Holds one line at
/// a time.
///
/// # Errors
///
/// [`BillError`]; lines before it were handed over.
pub fn read(
    bill: impl Read,
    columns: &Columns,
    mut each: impl FnMut(BillRow),
) -> Result<(), BillError> {
    let mut bill = BufReader::new(bill);
    let mut charset = Charset::Open;
    let mut places: Option<Places> = None;
    let mut bytes = Vec::new();
    let mut line: u64 = 0;
    loop {
        bytes.clear();
        let limit = LINE_BYTES_MAX.saturating_add(1);
        let length = bill.by_ref().take(limit).read_until(b'\n', &mut bytes)?;
        if length == 0 {
            break;
        }
        line = line.saturating_add(1);
        if u64::try_from(length).is_ok_and(|length| length > LINE_BYTES_MAX) {
            return Err(BillError::TooLong { line });
        }
        let text = decode(&bytes, &mut charset);
        let text = text.trim_start_matches('\u{feff}').trim_end();
        if text.trim().is_empty() || text.starts_with('#') {
            continue;
        }
        let values = split(text);
        let Some(places) = &places else {
            places = Some(Places::find(&values, columns)?);
            continue;
        };
        if !places.is_wanted(&values, columns) {
            continue;
        }
        if let Some(row) = row(&values, places, line)? {
            each(row);
        }
    }
    match places {
        Some(_) => Ok(()),
        None => Err(BillError::Column {
            column: Column::Time.as_str(),
            headings: "no line that is no comment".to_owned(),
        }),
    }
}

fn decode(bytes: &[u8], charset: &mut Charset) -> String {
    if bytes.is_ascii() {
        return String::from_utf8_lossy(bytes).into_owned();
    }
    if let Charset::Open = charset {
        *charset = match std::str::from_utf8(bytes) {
            Ok(_) => Charset::Utf8,
            Err(_) => Charset::Gbk,
        };
    }
    match charset {
        Charset::Open | Charset::Utf8 => String::from_utf8_lossy(bytes).into_owned(),
        Charset::Gbk => GBK.decode_without_bom_handling(bytes).0.into_owned(),
    }
}

/// Takes a line apart. A double quote inside quotes is written twice (RFC 4180).
fn split(text: &str) -> Vec<String> {
    let mut values = Vec::new();
    let mut value = String::new();
    let mut quoted = Quoted::No;
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match (character, quoted) {
            ('"', Quoted::Yes) if characters.peek() == Some(&'"') => {
                characters.next();
                value.push('"');
            }
            ('"', Quoted::Yes) => quoted = Quoted::No,
            ('"', Quoted::No) if value.trim().is_empty() => quoted = Quoted::Yes,
            (',', Quoted::No) => values.push(std::mem::take(&mut value)),
            (character, Quoted::No | Quoted::Yes) => value.push(character),
        }
    }
    values.push(value);
    for value in &mut values {
        *value = value.trim().to_owned();
    }
    values
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Quoted {
    Yes,
    No,
}

/// One line; `None` for one that moves nothing.
fn row(values: &[String], places: &Places, line: u64) -> Result<Option<BillRow>, BillError> {
    let Some(amount) = amount(values, places, line)? else {
        return Ok(None);
    };
    let time = places.value(values, Column::Time).unwrap_or_default();
    let at = alipay_time(time).ok_or(BillError::Value {
        line,
        column: Column::Time.as_str(),
        expected: "a time such as 2026-11-22 10:00:01",
    })?;
    let text = |column| places.value(values, column).map(str::to_owned);
    Ok(Some(BillRow {
        number: text(Column::Number),
        operation: text(Column::Operation),
        amount,
        at,
        line,
    }))
}

/// The one of the amounts that is not zero, without its sign.
fn amount(values: &[String], places: &Places, line: u64) -> Result<Option<Fen>, BillError> {
    for column in [Column::Amount, Column::Income, Column::Expense] {
        let Some(text) = places.value(values, column) else {
            continue;
        };
        let digits = text.trim_start_matches(['+', '-']);
        if digits.bytes().all(|byte| matches!(byte, b'0' | b'.')) {
            continue;
        }
        let amount = Fen::parse_answer(digits).map_err(|_reason| BillError::Value {
            line,
            column: column.as_str(),
            expected: "an amount in yuan",
        })?;
        return Ok(Some(amount));
    }
    Ok(None)
}

#[cfg(test)]
mod tests;
