//! Whatever is done to a log is found.

use proptest::prelude::*;
use serde_json::json;

use super::{Report, Verifier};
use crate::app::audit::line::{Hash, Link, Record, What, render};
use crate::domain::time::UnixMillis;

const LINES: usize = 12;

/// A log of some lines, with a torn one among them, and the hash of its last line.
fn log() -> (Vec<Vec<u8>>, Hash) {
    let at = UnixMillis(1_795_312_801_234);
    let mut link = Link::ORIGIN;
    let mut lines = Vec::new();
    for index in 0..LINES {
        let record = if index == 6 {
            let fragment = b"{\"seq\":7,\"ti\n".to_vec();
            let data = json!({"bytes": fragment.len(), "sha256": Hash::of(&fragment).to_string()});
            lines.push(fragment);
            Record::new(at, What::Torn, &data)
        } else {
            Record::new(
                at,
                What::Settled,
                &json!({"out_request_no": format!("R{index}")}),
            )
        };
        let (line, next) = render(&link, "pod/1", &record);
        lines.push(line);
        link = next;
    }
    (lines, link.hash)
}

fn verified(bytes: &[u8], last: Option<Hash>) -> Report {
    let mut verifier = Verifier::new(None);
    verifier.begin("log");
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        verifier.line(line);
    }
    verifier.finish(last)
}

#[test]
fn a_log_that_nobody_touched_has_no_fault() {
    let (lines, last) = log();
    let report = verified(&lines.concat(), Some(last));
    assert_eq!(report.findings, []);
    assert_eq!((report.torn, report.first), (1, Some(1)));
    assert_eq!(report.last, Some((12, last.to_string())));
}

proptest! {
    #[test]
    fn any_changed_byte_is_found(place in any::<prop::sample::Index>(), change in 1_u8..) {
        let mut bytes = log().0.concat();
        let place = place.index(bytes.len());
        bytes[place] ^= change;
        prop_assert!(verified(&bytes, None).faults > 0);
    }

    #[test]
    fn any_byte_that_is_put_in_or_taken_out_is_found(
        place in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let bytes = log().0.concat();
        let place = place.index(bytes.len());
        let mut longer = bytes.clone();
        longer.insert(place, byte);
        // The same byte beside itself is the same text.
        prop_assert!(longer == bytes || verified(&longer, None).faults > 0);
        let mut shorter = bytes.clone();
        shorter.remove(place);
        prop_assert!(verified(&shorter, None).faults > 0);
    }

    #[test]
    fn any_removed_line_is_found(place in any::<prop::sample::Index>()) {
        let (mut lines, last) = log();
        let place = place.index(lines.len());
        lines.remove(place);
        prop_assert!(verified(&lines.concat(), Some(last)).faults > 0);
        // Only a cut at the end needs to be known from elsewhere.
        let is_last = place == lines.len();
        prop_assert!(is_last || verified(&lines.concat(), None).faults > 0);
    }

    #[test]
    fn any_two_swapped_lines_are_found(
        one in any::<prop::sample::Index>(),
        other in any::<prop::sample::Index>(),
    ) {
        let (mut lines, _) = log();
        let (one, other) = (one.index(lines.len()), other.index(lines.len()));
        prop_assume!(one != other);
        lines.swap(one, other);
        prop_assert!(verified(&lines.concat(), None).faults > 0);
    }

    #[test]
    fn any_repeated_line_is_found(
        one in any::<prop::sample::Index>(),
        place in any::<prop::sample::Index>(),
    ) {
        let (mut lines, _) = log();
        let again = lines[one.index(lines.len())].clone();
        lines.insert(place.index(lines.len() + 1), again);
        prop_assert!(verified(&lines.concat(), None).faults > 0);
    }

    #[test]
    fn a_line_that_was_written_anew_with_its_hash_is_found_by_the_next(
        place in 0..LINES - 1,
    ) {
        let (mut lines, _) = log();
        let index = lines.iter().position(|line| {
            line.starts_with(format!("{{\"seq\":{},\"time", place + 1).as_bytes())
        }).unwrap();
        let parsed = super::Parsed::read(lines[index].strip_suffix(b"\n").unwrap()).unwrap();
        let before = Link { seq: parsed.link.seq - 1, hash: parsed.prev };
        let record = Record::new(UnixMillis(0), What::Settled, &json!({"amount": "0.01"}));
        lines[index] = render(&before, "pod/1", &record).0;
        prop_assert!(verified(&lines.concat(), None).faults > 0);
    }
}

#[test]
fn a_fault_names_its_file_and_its_line() {
    let (mut lines, _) = log();
    lines[3] = String::from_utf8(lines[3].clone())
        .unwrap()
        .replace("R3", "R4")
        .into_bytes();
    lines.remove(10);
    let report = verified(&lines.concat(), None);
    let found: Vec<String> = report
        .findings
        .iter()
        .map(|finding| format!("{}:{}: {}", finding.file, finding.line, finding.fault))
        .collect();
    assert_eq!(
        found,
        [
            "log:4: was changed: its hash is not that of its bytes",
            "log:11: is number 11 after number 9: 1 missing or elsewhere",
        ]
    );
}

#[test]
fn a_hash_that_was_noted_finds_a_cut_tail() {
    let (mut lines, last) = log();
    lines.truncate(9);
    let mut verifier = Verifier::new(Some(last));
    verifier.begin("log");
    lines.iter().for_each(|line| verifier.line(line));
    let report = verifier.finish(None);
    assert_eq!(report.faults, 1);
    assert!(report.findings[0].fault.starts_with("no line has the hash"));
}

#[test]
fn an_unclosed_tail_and_a_foreign_line_are_faults() {
    let (lines, _) = log();
    let mut bytes = lines.concat();
    bytes.truncate(bytes.len() - 1);
    let fault = &verified(&bytes, None).findings[0].fault;
    assert!(fault.starts_with("is no whole line"), "{fault}");
    let mut strange = lines;
    strange.insert(2, b"hello\n".to_vec());
    let report = verified(&strange.concat(), None);
    assert_eq!(report.findings[0].line, 3);
    assert_eq!(report.findings[0].fault, "is no line of an audit log");
}
