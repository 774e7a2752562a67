//! JSON in all the spellings that mean the same: escapes, surrogate pairs, blanks.

use proptest::collection::vec;
use proptest::prelude::{BoxedStrategy, Strategy, any};

/// A string of choices that spells one text in one of its ways.
pub(super) type Choices = Vec<u8>;

/// Any choices.
pub(super) fn choices() -> BoxedStrategy<Choices> {
    vec(any::<u8>(), 1..24).boxed()
}

/// Spells `text` as a JSON string; each character takes one of the choices, over and over.
pub(super) fn string(text: &str, choices: &[u8]) -> String {
    let mut spelled = String::from("\"");
    for (character, choice) in text.chars().zip(choices.iter().cycle()) {
        match (choice % 4, character) {
            (0, '/') => spelled.push_str("\\/"),
            (0, _) => {
                let mut units = [0; 2];
                for unit in character.encode_utf16(&mut units) {
                    spelled.push_str(&format!("\\u{unit:04x}"));
                }
            }
            (_, '"' | '\\') => spelled.extend(['\\', character]),
            (_, '\n') => spelled.push_str("\\n"),
            (_, control) if control < ' ' => {
                spelled.push_str(&format!("\\u{:04X}", u32::from(control)));
            }
            (_, other) => spelled.push(other),
        }
    }
    spelled.push('"');
    spelled
}

/// Spells an object of members whose names are texts and whose values are JSON already.
pub(super) fn object(members: &[(String, String)], choices: &[u8]) -> String {
    let blanks = ["", " ", "\n", "\t\r\n", "  "];
    let mut next = choices.iter().cycle().copied();
    let mut blank = || blanks[usize::from(next.next().unwrap_or_default()) % blanks.len()];
    let spelled: Vec<String> = members
        .iter()
        .map(|(name, value)| {
            let name = string(name, choices);
            format!("{}{name}{}:{}{value}{}", blank(), blank(), blank(), blank())
        })
        .collect();
    format!("{{{}}}", spelled.join(","))
}
