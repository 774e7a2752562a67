//! Bills as they are downloaded.

use encoding_rs::GBK;

use super::{BillError, BillRow, Column, Columns, read, split};
use crate::domain::money::Fen;
use crate::domain::time::UnixMillis;

const BILL: &str = "#支付宝账务明细查询\r\n\
#账号：[20881021462251350156]\r\n\
账务流水号,业务流水号,商户订单号,商品名称,发生时间,对方账号,收入金额（+元）,支出金额（-元）,业务类型\r\n\
1\t,20261122000000000001\t,R1\t,\"红包, 大\",2026-11-22 10:00:01\t,x@y,,-8.88,红包\r\n\
2\t,20261122000000000002\t,R2\t,退回,2026-11-22 10:00:02\t,x@y,1.50,0.00,红包退回\r\n\
3\t,3\t,,手续费,2026-11-22 10:00:03\t,,0.00,0.00,收费\r\n\
#-----账务明细列表结束-----\r\n\
#导出时间：[2026年11月23日]\r\n";

fn rows(bytes: &[u8], columns: &Columns) -> Result<Vec<BillRow>, BillError> {
    let mut rows = Vec::new();
    read(bytes, columns, |row| rows.push(row))?;
    Ok(rows)
}

fn expected() -> Vec<BillRow> {
    let row = |line, operation: &str, number: &str, fen, second: u64| BillRow {
        number: Some(number.to_owned()),
        operation: Some(operation.to_owned()),
        amount: Fen::new(fen).unwrap(),
        at: UnixMillis(1_795_312_800_000 + second * 1_000),
        line,
    };
    vec![
        row(4, "20261122000000000001", "R1", 888, 1),
        row(5, "20261122000000000002", "R2", 150, 2),
    ]
}

#[test]
fn a_bill_is_read_in_gbk_and_in_utf_8_with_and_without_a_byte_order_mark() {
    let gbk = GBK.encode(BILL).0.into_owned();
    let marked = format!("\u{feff}{BILL}");
    for bytes in [BILL.as_bytes(), &gbk, marked.as_bytes()] {
        assert_eq!(rows(bytes, &Columns::default()).unwrap(), expected());
    }
}

#[test]
fn columns_can_be_named_and_lines_chosen() {
    let text = BILL
        .replace("商户订单号", "我的号")
        .replace("发生时间", "时刻");
    let error = rows(text.as_bytes(), &Columns::default()).unwrap_err();
    assert!(error.to_string().contains("time=HEADING"), "{error}");
    let mut columns = Columns::default();
    columns.named.insert(Column::Number, "我的号".to_owned());
    columns.named.insert(Column::Time, "时刻".to_owned());
    assert_eq!(rows(text.as_bytes(), &columns).unwrap(), expected());
    columns.only = Some(("业务类型".to_owned(), "退回".to_owned()));
    assert_eq!(rows(text.as_bytes(), &columns).unwrap(), expected()[1..]);
    columns.named.insert(Column::Amount, "nothing".to_owned());
    let error = rows(text.as_bytes(), &columns).unwrap_err();
    assert!(error.to_string().contains("amount"), "{error}");
}

#[test]
fn a_value_that_cannot_be_read_is_told_with_its_line() {
    for (from, to, told) in [
        (
            "-8.88",
            "-8.8.8",
            "line 4 of the bill: expense is not an amount in yuan",
        ),
        (
            "-8.88",
            "1e3",
            "line 4 of the bill: expense is not an amount in yuan",
        ),
        (
            "2026-11-22 10:00:02",
            "22.11.2026",
            "line 5 of the bill: time is not",
        ),
    ] {
        let error = rows(BILL.replace(from, to).as_bytes(), &Columns::default()).unwrap_err();
        assert!(error.to_string().starts_with(told), "{error}");
    }
    let empty = rows(b"#nothing\n", &Columns::default()).unwrap_err();
    assert!(matches!(empty, BillError::Column { .. }), "{empty}");
    let long = vec![b'x'; 70_000];
    let long = rows(&long, &Columns::default()).unwrap_err();
    assert!(matches!(long, BillError::TooLong { line: 1 }), "{long}");
}

#[test]
fn values_are_taken_apart_at_commas_outside_of_quotes() {
    for (text, expected) in [
        ("a,b", vec!["a", "b"]),
        ("a\t, \"b,c\" ,", vec!["a", "b,c", ""]),
        ("\"a\"\"b\",c\"d", vec!["a\"b", "c\"d"]),
        ("", vec![""]),
    ] {
        assert_eq!(split(text), expected, "{text}");
    }
}
