//! The files that were put aside: `<name>.000001` and so on.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Returns what was put aside of the log at `path`, the oldest first, with its number.
pub(super) fn list(path: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
        return Err(io::ErrorKind::InvalidFilename.into());
    };
    let mut found = Vec::new();
    for entry in fs::read_dir(folder(path))? {
        let entry = entry?;
        let other = entry.file_name();
        let number = other.to_str().and_then(|other| number(other, name));
        if let Some(number) = number {
            found.push((number, entry.path()));
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// Puts the present file aside under the next number, and deletes the oldest beyond `keep`, where
/// that is not 0.
pub(super) fn rotate(path: &Path, keep: u32) -> io::Result<()> {
    let mut files = list(path)?;
    let next = files
        .last()
        .map_or(1, |(number, _)| number.saturating_add(1));
    let mut aside = path.to_owned().into_os_string();
    aside.push(format!(".{next:06}"));
    let aside = PathBuf::from(aside);
    // Nobody else has this number: whoever rotates holds the lock.
    fs::rename(path, &aside)?;
    files.push((next, aside));
    let keep = usize::try_from(keep).unwrap_or(usize::MAX);
    if keep > 0 {
        let surplus = files.len().saturating_sub(keep);
        for (_, old) in files.iter().take(surplus) {
            fs::remove_file(old)?;
        }
    }
    Ok(())
}

/// The directory that the log is in.
pub(super) fn folder(path: &Path) -> &Path {
    let folder = path.parent().filter(|folder| *folder != Path::new(""));
    folder.unwrap_or_else(|| Path::new("."))
}

fn number(other: &str, name: &str) -> Option<u64> {
    let digits = other.strip_prefix(name)?.strip_prefix('.')?;
    let is_number = digits.len() >= 6 && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn only_a_number_of_six_digits_makes_a_file_one_that_was_put_aside() {
        for (other, expected) in [
            ("audit.jsonl.000001", Some(1)),
            ("audit.jsonl.1000000", Some(1_000_000)),
            ("audit.jsonl", None),
            ("audit.jsonl.lock", None),
            ("audit.jsonl.1", None),
            ("audit.jsonl.000001.gz", None),
            ("other.jsonl.000001", None),
        ] {
            assert_eq!(number(other, "audit.jsonl"), expected, "{other}");
        }
    }
}
