//! `docs/lanes.md`: the table that producers choose a shard by is what `hongbaod submit` does.

use std::num::NonZeroU8;

use hongbaod::domain::job::Kind;
use hongbaod::domain::lane::{Lane, Shards};

use super::{code, rows};

const PAGE: &str = include_str!("../../../docs/lanes.md");

#[test]
fn the_shards_of_the_table_are_those_of_the_code() {
    let rows = rows(PAGE, "out_request_no");
    assert_eq!(rows.len(), 5);
    for row in &rows {
        for (cell, number) in row[2..].iter().zip([2, 4, 64]) {
            let shards = Shards {
                disburse: NonZeroU8::new(number).unwrap(),
                ..Shards::default()
            };
            let lane = Lane::of_number(Kind::Disburse, code(row[0]), shards);
            assert_eq!(lane.to_string(), code(cell), "{} of {number}", row[0]);
        }
    }
}
