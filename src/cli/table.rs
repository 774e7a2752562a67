//! Tables for people, and what is written into their cells.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use comfy_table::{ContentArrangement, Table, presets};

/// A table without lines, as wide as the terminal.
pub(crate) fn table() -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    // A pipe has no width: whoever reads it wants one line for each row.
    table.set_content_arrangement(if io::stdout().is_terminal() {
        ContentArrangement::Dynamic
    } else {
        ContentArrangement::Disabled
    });
    table
}

/// Prints a table.
///
/// # Errors
///
/// The standard output's.
pub(crate) fn print(table: &Table) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    for line in table.to_string().lines() {
        writeln!(stdout, "{}", line.trim_end())?;
    }
    Ok(())
}

/// A length of time in one unit, cut off: what is 119 minutes is `119m`, and two hours are `2h`.
pub(crate) fn coarse(length: Duration) -> String {
    let seconds = length.as_secs();
    for (unit, unit_seconds) in [("d", 86_400), ("h", 3_600), ("m", 60)] {
        let count = seconds.div_euclid(unit_seconds);
        if count >= 2 {
            return format!("{count}{unit}");
        }
    }
    format!("{seconds}s")
}

/// A text of somebody else's, which must not steer the terminal.
pub(crate) fn tame(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '?' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{coarse, tame};

    #[test]
    fn lengths_are_told_in_the_longest_unit_that_says_enough() {
        for (seconds, expected) in [
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (7_199, "119m"),
            (7_200, "2h"),
            (172_799, "47h"),
            (172_800, "2d"),
        ] {
            assert_eq!(coarse(Duration::from_secs(seconds)), expected);
        }
    }

    #[test]
    fn a_text_cannot_steer_the_terminal() {
        assert_eq!(tame("a\u{1b}[31m红\n"), "a?[31m红?");
    }
}
