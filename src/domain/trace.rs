//! W3C trace context: which trace a job's message belongs to.

/// The `traceparent` of a message, taken apart.
///
/// Source: W3C Trace Context, 3.2 "traceparent header".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext<'a> {
    /// The trace, 32 lower-case hexadecimal digits.
    pub trace_id: &'a str,
    /// The span that published the message, 16 of them.
    pub parent_id: &'a str,
    /// Whether the publisher records this trace.
    pub sampling: Sampling,
}

/// Whether whoever came before records the trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sampling {
    /// It does.
    Recorded,
    /// It does not, or does not know.
    NotRecorded,
}

impl<'a> TraceContext<'a> {
    /// Reads a `traceparent`; `None` for anything that is none: a receiver goes on as if there were
    /// no trace then. Of versions to come the part that all versions have is read.
    #[must_use]
    pub fn parse(traceparent: &'a str) -> Option<Self> {
        let mut parts = traceparent.split('-');
        let mut part = |digits| parts.next().filter(|part| is_hex(part, digits));
        let (version, trace_id, parent_id) = (part(2)?, part(32)?, part(16)?);
        let flags = u8::from_str_radix(part(2)?, 16).ok()?;
        let ends = parts.next().is_none();
        let is_known = version == "00";
        if version == "ff" || (is_known && !ends) || is_zero(trace_id) || is_zero(parent_id) {
            return None;
        }
        Some(Self {
            trace_id,
            parent_id,
            sampling: if flags & 1 == 1 {
                Sampling::Recorded
            } else {
                Sampling::NotRecorded
            },
        })
    }
}

fn is_hex(part: &str, digits: usize) -> bool {
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    part.len() == digits && part.bytes().all(is_digit)
}

fn is_zero(part: &str) -> bool {
    part.bytes().all(|byte| byte == b'0')
}

#[cfg(test)]
mod tests {
    use super::{Sampling, TraceContext};

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const PARENT: &str = "00f067aa0ba902b7";

    #[test]
    fn trace_parent_and_flag_are_read() {
        for (flags, sampling) in [
            ("01", Sampling::Recorded),
            ("00", Sampling::NotRecorded),
            ("03", Sampling::Recorded),
        ] {
            let text = format!("00-{TRACE}-{PARENT}-{flags}");
            let expected = TraceContext {
                trace_id: TRACE,
                parent_id: PARENT,
                sampling,
            };
            assert_eq!(TraceContext::parse(&text), Some(expected));
        }
        let later = format!("01-{TRACE}-{PARENT}-01-more");
        assert!(TraceContext::parse(&later).is_some());
    }

    #[test]
    fn what_is_no_traceparent_is_none() {
        let upper = TRACE.to_uppercase();
        let zeros = "0".repeat(32);
        for text in [
            String::new(),
            TRACE.to_owned(),
            format!("00-{TRACE}-{PARENT}"),
            format!("00-{TRACE}-{PARENT}-1"),
            format!("00-{TRACE}-{PARENT}-01-more"),
            format!("00-{TRACE}-{PARENT}-01-"),
            format!("ff-{TRACE}-{PARENT}-01"),
            format!("00-{upper}-{PARENT}-01"),
            format!("00-{zeros}-{PARENT}-01"),
            format!("00-{TRACE}-0000000000000000-01"),
            format!("00-{TRACE}x-{PARENT}-01"),
            format!("00-{TRACE}-红包-01"),
        ] {
            assert_eq!(TraceContext::parse(&text), None, "{text}");
        }
    }
}
