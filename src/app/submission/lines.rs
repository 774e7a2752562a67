//! Newline-delimited JSON, read line by line, with a bound on what a line may hold in memory.

use std::io::{self, BufRead};

use crate::app::job_body::BODY_BYTES_MAX;

/// What an editor may put before the first line. Source: Unicode, byte order mark in UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// One line that is not blank.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// Counted from 1, blank lines included.
    pub(super) number: u64,
    /// The line without its end; of a line over [`BODY_BYTES_MAX`] only a beginning longer than
    /// that.
    pub(super) bytes: Vec<u8>,
    /// How long the whole line is.
    pub(super) length: usize,
    /// Bytes of the input up to the end of this line.
    pub(super) bytes_read: u64,
}

/// The lines of an input.
pub(super) struct Lines<R> {
    input: R,
    number: u64,
    bytes_read: u64,
}

impl<R: BufRead> Lines<R> {
    pub(super) fn new(input: R) -> Self {
        Self {
            input,
            number: 0,
            bytes_read: 0,
        }
    }

    /// Returns the next line that is not blank, or `None` at the end.
    ///
    /// # Errors
    ///
    /// Returns whatever reading the input does.
    pub(super) fn next(&mut self) -> io::Result<Option<Line>> {
        loop {
            let Some((mut bytes, mut length)) = self.read()? else {
                return Ok(None);
            };
            self.number = self.number.saturating_add(1);
            if self.number == 1 && bytes.starts_with(BYTE_ORDER_MARK) {
                bytes.drain(..BYTE_ORDER_MARK.len());
                length = length.saturating_sub(BYTE_ORDER_MARK.len());
            }
            if length == bytes.len() && bytes.last() == Some(&b'\r') {
                bytes.pop();
                length = length.saturating_sub(1);
            }
            if bytes.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            return Ok(Some(Line {
                number: self.number,
                bytes,
                length,
                bytes_read: self.bytes_read,
            }));
        }
    }

    /// Reads up to the next line feed and keeps of it a little more than a body may have.
    fn read(&mut self) -> io::Result<Option<(Vec<u8>, usize)>> {
        let mut bytes = Vec::new();
        let mut length: usize = 0;
        loop {
            let available = match self.input.fill_buf() {
                Ok(available) => available,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if available.is_empty() {
                return Ok((length > 0).then_some((bytes, length)));
            }
            let end = available.iter().position(|byte| *byte == b'\n');
            let part = end.map_or(available, |end| &available[..end]);
            length = length.saturating_add(part.len());
            // Room for the byte order mark and a carriage return, so that cutting them off does
            // not make a line that is too long look like one that fits.
            let room = BODY_BYTES_MAX
                .saturating_add(8)
                .saturating_sub(bytes.len())
                .min(part.len());
            bytes.extend_from_slice(&part[..room]);
            let consumed = part.len().saturating_add(usize::from(end.is_some()));
            self.input.consume(consumed);
            let consumed = u64::try_from(consumed).unwrap_or(u64::MAX);
            self.bytes_read = self.bytes_read.saturating_add(consumed);
            if end.is_some() {
                return Ok(Some((bytes, length)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{BODY_BYTES_MAX, Lines};

    fn read(input: &[u8]) -> Vec<(u64, Vec<u8>, usize)> {
        // A small buffer, so that lines are put together from several reads.
        let mut lines = Lines::new(std::io::BufReader::with_capacity(7, input));
        let mut read = Vec::new();
        while let Some(line) = lines.next().unwrap() {
            read.push((line.number, line.bytes, line.length));
        }
        read
    }

    #[test]
    fn blank_lines_are_counted_but_not_read() {
        let lines = read(b"\xef\xbb\xbfone\r\n\n  \t\r\ntwo is long\nlast");
        let expected: [(u64, &[u8]); 3] = [(1, b"one"), (4, b"two is long"), (5, b"last")];
        let lines: Vec<(u64, &[u8])> = lines
            .iter()
            .map(|(number, bytes, length)| {
                assert_eq!(bytes.len(), *length);
                (*number, bytes.as_slice())
            })
            .collect();
        assert_eq!(lines, expected);
        assert_eq!(read(b""), []);
        assert_eq!(read(b"\n\n"), []);
    }

    #[test]
    fn a_line_without_end_does_not_fill_the_memory() {
        let long = vec![b'x'; 10 * BODY_BYTES_MAX];
        let mut input = long.clone();
        input.extend_from_slice(b"\nnext\n");
        let lines = read(&input);
        assert_eq!(lines[0].2, long.len());
        assert!(lines[0].1.len() > BODY_BYTES_MAX);
        assert!(lines[0].1.len() < BODY_BYTES_MAX + 16);
        assert_eq!(lines[1], (2, b"next".to_vec(), 4));
    }
}
