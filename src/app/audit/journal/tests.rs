//! The end of the log, however it is found.

use std::collections::VecDeque;

use serde_json::json;

use super::Journal;
use crate::app::audit::line::{Parsed, Record, What};
use crate::app::audit::memory::{Disk, Memory};
use crate::domain::time::UnixMillis;
use crate::ports::audit::AuditError;

const NOW: UnixMillis = UnixMillis(1_795_312_801_234);

fn journal(memory: &Memory) -> Journal {
    Journal::new(Box::new(memory.clone()), "pod/1".to_owned(), 2_000)
}

fn records(count: usize) -> VecDeque<Record> {
    let record = |index| Record::new(NOW, What::Settled, &json!({"out_request_no": index}));
    (0..count).map(record).collect()
}

fn append(journal: &mut Journal, count: usize) {
    journal.append(NOW, &mut records(count)).unwrap();
}

fn disk(memory: &Memory) -> Disk {
    memory.0.lock().unwrap().clone()
}

#[test]
fn two_writers_in_turn_make_one_chain() {
    let memory = Memory::default();
    let (mut one, mut other) = (journal(&memory), journal(&memory));
    append(&mut one, 2);
    append(&mut other, 1);
    append(&mut one, 1);
    let report = disk(&memory).report();
    assert_eq!((report.faults, report.lines), (0, 4), "{report:?}");
}

#[test]
fn a_torn_line_is_closed_by_a_line_that_says_so_wherever_it_broke() {
    let memory = Memory::default();
    append(&mut journal(&memory), 2);
    let whole = disk(&memory);
    let first_end = whole
        .present
        .iter()
        .position(|byte| *byte == b'\n')
        .unwrap();
    for length in first_end + 2..whole.present.len() - 1 {
        let memory = Memory::default();
        memory.0.lock().unwrap().present = whole.present[..length].to_vec();
        append(&mut journal(&memory), 1);
        let disk = disk(&memory);
        assert!(
            disk.present.starts_with(&whole.present[..length]),
            "{length}"
        );
        let report = disk.report();
        assert_eq!((report.faults, report.torn), (0, 1), "{length}: {report:?}");
        assert_eq!(disk.words(), ["settled", "torn", "settled"], "{length}");
    }
}

#[test]
fn the_first_line_of_all_may_be_torn_too() {
    for length in 1..20 {
        let memory = Memory::default();
        append(&mut journal(&memory), 1);
        memory.0.lock().unwrap().present.truncate(length);
        append(&mut journal(&memory), 1);
        let report = disk(&memory).report();
        assert_eq!((report.faults, report.torn), (0, 1), "{length}: {report:?}");
    }
}

#[test]
fn a_line_that_lacks_only_its_line_feed_gets_it() {
    let memory = Memory::default();
    append(&mut journal(&memory), 2);
    memory.0.lock().unwrap().present.pop();
    append(&mut journal(&memory), 1);
    let report = disk(&memory).report();
    assert_eq!((report.faults, report.torn, report.lines), (0, 0, 3));
}

#[test]
fn a_full_file_is_put_aside_and_the_next_begins_by_naming_it() {
    let memory = Memory::default();
    let mut journal = journal(&memory);
    for _ in 0..20 {
        append(&mut journal, 1);
    }
    let disk = disk(&memory);
    assert!(disk.rotated.len() > 1);
    assert!(disk.rotated.iter().all(|file| file.len() < 3_000));
    assert_eq!(disk.words()[0], "rotated");
    let report = disk.report();
    assert_eq!(report.faults, 0, "{report:?}");
    assert_eq!(
        report.lines,
        20 + u64::try_from(disk.rotated.len()).unwrap()
    );
}

#[test]
fn a_crash_between_putting_aside_and_beginning_anew_loses_no_chain() {
    let memory = Memory::default();
    append(&mut journal(&memory), 3);
    {
        let mut disk = memory.0.lock().unwrap();
        let present = std::mem::take(&mut disk.present);
        disk.rotated.push(present);
    }
    append(&mut journal(&memory), 1);
    let disk = disk(&memory);
    assert_eq!(disk.words(), ["rotated", "settled"]);
    assert_eq!(disk.report().faults, 0);
}

#[test]
fn a_full_disk_leaves_what_is_not_written_and_nothing_is_written_twice() {
    let memory = Memory::default();
    let mut journal = journal(&memory);
    append(&mut journal, 1);
    let line = disk(&memory).present.len();
    for room in [0, 5, line, line + 7, 2 * line + 1] {
        memory.0.lock().unwrap().room = Some(room);
        let before = disk(&memory).report().lines;
        let mut records = records(4);
        let error = journal.append(NOW, &mut records).unwrap_err();
        assert!(matches!(error, AuditError::Write { .. }), "{error}");
        assert!(!records.is_empty());
        memory.0.lock().unwrap().room = None;
        journal.append(NOW, &mut records).unwrap();
        assert!(records.is_empty());
        let disk = disk(&memory);
        let report = disk.report();
        assert_eq!(report.faults, 0, "{room}: {report:?}");
        // Four lines, and beside them what a torn one leaves: itself and the line about it.
        assert!(
            (4..=7).contains(&(report.lines - before)),
            "{room}: {report:?}"
        );
    }
    let disk = disk(&memory);
    let files = disk.rotated.iter().chain([&disk.present]);
    let lines = files.flat_map(|file| file.split(|byte| *byte == b'\n'));
    let settled = lines.filter_map(Parsed::read).filter(|line| {
        line.content()
            .is_some_and(|content| content.what == "settled")
    });
    assert_eq!(settled.count(), 1 + 5 * 4);
}

#[test]
fn a_tail_that_was_cut_while_the_process_ran_is_told() {
    let memory = Memory::default();
    let mut journal = journal(&memory);
    append(&mut journal, 3);
    let two = {
        let mut disk = memory.0.lock().unwrap();
        let ends = disk
            .present
            .iter()
            .enumerate()
            .filter(|(_, byte)| **byte == b'\n');
        let second = ends.map(|(place, _)| place + 1).nth(1).unwrap();
        disk.present.truncate(second);
        second
    };
    append(&mut journal, 1);
    let report = disk(&memory).report();
    assert_eq!((report.faults, report.lost), (1, 1), "{report:?}");
    assert_eq!(report.findings[0].line, 3);
    assert!(disk(&memory).present.len() > two);
}

#[test]
fn a_changed_last_line_is_not_taken_for_a_torn_one() {
    let memory = Memory::default();
    append(&mut journal(&memory), 2);
    {
        let mut disk = memory.0.lock().unwrap();
        let changed = String::from_utf8(disk.present.clone()).unwrap();
        disk.present = changed
            .replace("\"out_request_no\":1", "\"out_request_no\":7")
            .into_bytes();
    }
    append(&mut journal(&memory), 1);
    let report = disk(&memory).report();
    assert_eq!((report.faults, report.torn), (1, 0), "{report:?}");
    assert!(report.findings[0].fault.starts_with("was changed"));
}

#[test]
fn a_file_that_is_something_else_is_left_alone() {
    for content in ["root:x:0:0\n", "{\"level\":\"info\"}\n{\"a\":1}\n", "x"] {
        let memory = Memory::default();
        memory.0.lock().unwrap().present = content.as_bytes().to_vec();
        let error = journal(&memory).append(NOW, &mut records(1)).unwrap_err();
        assert!(matches!(error, AuditError::Strange { .. }), "{error}");
        let error = journal(&memory).look().unwrap_err();
        assert!(matches!(error, AuditError::Strange { .. }), "{error}");
        assert_eq!(disk(&memory).present, content.as_bytes());
    }
}
