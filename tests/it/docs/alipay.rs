//! `docs/alipay.md` holds the very table of codes that the code has.

use hongbaod::adapters::alipay::codes::{CodeClass, rows as table};

use super::{code, rows};

const PAGE: &str = include_str!("../../../docs/alipay.md");

#[test]
fn the_table_of_codes_is_the_one_that_counts() {
    let expected: Vec<[&str; 6]> = table()
        .map(|row| {
            [
                row.code,
                row.sub_code,
                row.send.as_str(),
                row.query.as_str(),
                row.meaning,
                row.source,
            ]
        })
        .collect();
    let documented: Vec<[&str; 6]> = rows(PAGE, "code")
        .into_iter()
        .map(|cells| {
            let [number, sub_code, payment, query, meaning, source] =
                <[&str; 6]>::try_from(cells).unwrap();
            [
                code(number),
                code(sub_code),
                payment,
                query,
                meaning,
                source,
            ]
        })
        .collect();
    assert_eq!(documented, expected);
}

#[test]
fn every_class_is_explained() {
    let documented: Vec<_> = rows(PAGE, "class").iter().map(|cells| cells[0]).collect();
    let classes = [
        CodeClass::Success,
        CodeClass::Final,
        CodeClass::FinalUnlessDone,
        CodeClass::Processing,
        CodeClass::Unknown,
        CodeClass::AlreadyUsed,
        CodeClass::Limited,
        CodeClass::Blocked,
        CodeClass::NotFound,
    ];
    assert_eq!(documented, classes.map(CodeClass::as_str));
}
