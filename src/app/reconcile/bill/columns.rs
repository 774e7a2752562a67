//! Which column of a bill is which.

use std::collections::BTreeMap;

use crate::app::reconcile::bill::BillError;

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Column {
    /// The merchant's number.
    Number,
    /// Alipay's number of the operation.
    Operation,
    /// An amount with a sign.
    Amount,
    /// What came in.
    Income,
    /// What went out.
    Expense,
    /// When.
    Time,
}

impl Column {
    /// Every column.
    pub const ALL: [Self; 6] = [
        Self::Number,
        Self::Operation,
        Self::Amount,
        Self::Income,
        Self::Expense,
        Self::Time,
    ];

    /// Its word in arguments and messages.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Number => "number",
            Self::Operation => "operation",
            Self::Amount => "amount",
            Self::Income => "income",
            Self::Expense => "expense",
            Self::Time => "time",
        }
    }

    /// The headings that are known. Our reading of bills that merchants show.
    const fn headings(self) -> &'static [&'static str] {
        match self {
            Self::Number => &["商户订单号", "商家订单号", "out_request_no"],
            Self::Operation => &["业务流水号", "支付宝交易号", "支付宝流水号", "operation_id"],
            Self::Amount => &["金额(元)", "订单金额(元)", "amount"],
            Self::Income => &["收入金额(+元)", "收入(+元)", "收入金额", "收入"],
            Self::Expense => &["支出金额(-元)", "支出(-元)", "支出金额", "支出"],
            Self::Time => &["发生时间", "入账时间", "完成时间", "time"],
        }
    }
}

/// The columns that a user names, over those that are known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Columns {
    /// The heading of a column.
    pub named: BTreeMap<Column, String>,
    /// Only lines in which the column of this heading holds this text count.
    pub only: Option<(String, String)>,
}

/// Where the columns of one bill are.
#[derive(Clone, Debug)]
pub(super) struct Places {
    found: BTreeMap<Column, usize>,
    only: Option<usize>,
}

impl Places {
    pub(super) fn find(headings: &[String], columns: &Columns) -> Result<Self, BillError> {
        let normal: Vec<String> = headings.iter().map(|heading| normalized(heading)).collect();
        let place = |heading: &str| {
            let heading = normalized(heading);
            normal.iter().position(|other| *other == heading)
        };
        let missing = |column: &'static str| BillError::Column {
            column,
            headings: headings.join(", "),
        };
        let mut found = BTreeMap::new();
        for column in Column::ALL {
            let at = match columns.named.get(&column) {
                // What was named must be there.
                Some(heading) => Some(place(heading).ok_or_else(|| missing(column.as_str()))?),
                None => column.headings().iter().find_map(|heading| place(heading)),
            };
            if let Some(at) = at {
                found.insert(column, at);
            }
        }
        let needed = |any: &[Column]| any.iter().any(|column| found.contains_key(column));
        if !needed(&[Column::Number, Column::Operation]) {
            return Err(missing(Column::Number.as_str()));
        }
        if !needed(&[Column::Amount, Column::Income, Column::Expense]) {
            return Err(missing(Column::Amount.as_str()));
        }
        if !needed(&[Column::Time]) {
            return Err(missing(Column::Time.as_str()));
        }
        let only = match &columns.only {
            Some((heading, _)) => Some(place(heading).ok_or_else(|| missing("--bill-only"))?),
            None => None,
        };
        Ok(Self { found, only })
    }

    /// The value of a column, where the bill has the column and the line a value.
    pub(super) fn value<'a>(&self, values: &'a [String], column: Column) -> Option<&'a str> {
        let value = values.get(*self.found.get(&column)?)?;
        Some(value.as_str()).filter(|value| !value.is_empty())
    }

    /// Whether the line counts.
    pub(super) fn is_wanted(&self, values: &[String], columns: &Columns) -> bool {
        match (self.only, &columns.only) {
            (Some(place), Some((_, text))) => {
                values.get(place).is_some_and(|value| value.contains(text))
            }
            (None | Some(_), None) | (None, Some(_)) => true,
        }
    }
}

/// A heading without blanks, its brackets and signs as ASCII has them.
fn normalized(heading: &str) -> String {
    heading
        .chars()
        .filter(|c| !c.is_whitespace())
        .map(|c| match c {
            '（' => '(',
            '）' => ')',
            '＋' => '+',
            '－' | '—' | '−' => '-',
            c => c,
        })
        .collect()
}
