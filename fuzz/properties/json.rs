//! A scanner of JSON text as RFC 8259 draws it, which knows nothing of any library: where members
//! begin and end, and no more. It takes for granted that somebody else says whether it is JSON.

/// A member as it is spelled: the name with its quotes, the value without blanks around it.
pub type Member<'a> = (&'a str, &'a str);

/// Returns the members of the object that `text` is, in their order, repeated ones included.
/// `None` if it is no object, or something follows.
pub fn members(text: &str) -> Option<Vec<Member<'_>>> {
    let mut members = Vec::new();
    let mut at = expect(text, 0, b'{')?;
    if let Some(end) = expect(text, at, b'}') {
        return (blanks(text, end) == text.len()).then_some(members);
    }
    loop {
        let name_starts_at = blanks(text, at);
        let name_ends_at = string_end(text, name_starts_at)?;
        let value_starts_at = blanks(text, expect(text, name_ends_at, b':')?);
        let value_ends_at = value_end(text, value_starts_at)?;
        members.push((
            text.get(name_starts_at..name_ends_at)?,
            text.get(value_starts_at..value_ends_at)?,
        ));
        match expect(text, value_ends_at, b',') {
            Some(next) => at = next,
            None => {
                let end = expect(text, value_ends_at, b'}')?;
                return (blanks(text, end) == text.len()).then_some(members);
            }
        }
    }
}

/// Returns the text of a JSON string, `None` if `raw` is none.
pub fn unescaped(raw: &str) -> Option<String> {
    serde_json::from_str(raw).ok()
}

/// Returns every text and every name of `value`, at any depth.
pub fn texts(value: &serde_json::Value) -> (Vec<&str>, Vec<&str>) {
    let (mut texts, mut names) = (Vec::new(), Vec::new());
    let mut open = vec![value];
    while let Some(value) = open.pop() {
        match value {
            serde_json::Value::String(text) => texts.push(text.as_str()),
            serde_json::Value::Array(items) => open.extend(items),
            serde_json::Value::Object(members) => {
                names.extend(members.keys().map(String::as_str));
                open.extend(members.values());
            }
            serde_json::Value::Null | serde_json::Value::Bool(_) | serde_json::Value::Number(_) => {
            }
        }
    }
    (texts, names)
}

fn byte(text: &str, at: usize) -> Option<u8> {
    text.as_bytes().get(at).copied()
}

/// Returns where the blanks from `at` on end.
fn blanks(text: &str, at: usize) -> usize {
    let rest = text.bytes().skip(at);
    at + rest.take_while(|byte| b" \t\r\n".contains(byte)).count()
}

/// Returns the place after `wanted`, which may have blanks before it.
fn expect(text: &str, at: usize, wanted: u8) -> Option<usize> {
    let at = blanks(text, at);
    (byte(text, at)? == wanted).then_some(at + 1)
}

fn string_end(text: &str, at: usize) -> Option<usize> {
    let mut at = expect(text, at, b'"')?;
    loop {
        at += match byte(text, at)? {
            b'"' => return Some(at + 1),
            b'\\' => 2,
            _ => 1,
        };
    }
}

fn value_end(text: &str, start: usize) -> Option<usize> {
    let mut depth = 0_usize;
    let mut at = start;
    loop {
        match byte(text, at) {
            Some(b'"') => {
                at = string_end(text, at)?;
                if depth == 0 {
                    return Some(at);
                }
                continue;
            }
            Some(b'{' | b'[') => depth += 1,
            Some(b'}' | b']') if depth == 0 => return (at > start).then_some(at),
            Some(b'}' | b']') => {
                depth -= 1;
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            Some(b',' | b' ' | b'\t' | b'\r' | b'\n') if depth == 0 => {
                return (at > start).then_some(at);
            }
            Some(_) => {}
            None => return (depth == 0 && at > start).then_some(at),
        }
        at += 1;
    }
}
