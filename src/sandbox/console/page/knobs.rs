//! The form of the knobs.

use serde_json::Value;

use crate::sandbox::faults::Faults;
use crate::sandbox::html::escaped;

/// The words that a knob can be set to; the other knobs are numbers.
const WORDS: [(&str, &[&str]); 11] = [
    ("idempotency", &["replay", "already_used"]),
    ("permission", &["granted", "refused"]),
    (
        "answers.slashes",
        &["plain", "escaped", "escaped_after_signing"],
    ),
    ("answers.whitespace", &["compact", "pretty"]),
    ("answers.inner_sign", &["absent", "present"]),
    ("answers.errors", &["as_requested", "gbk"]),
    ("answers.signatures", &["fresh", "remembered"]),
    ("notices.order", &["together", "newest_first"]),
    ("notices.charset", &["as_requested", "gbk", "gbk_unsaid"]),
    ("notices.nulls", &["absent", "literal"]),
    ("notices.moment", &["anytime", "before_answer"]),
];

/// One input for each knob, made from the knobs' own JSON so that none is forgotten.
pub(super) fn knobs(faults: &Faults) -> String {
    let mut html =
        "<h2 id=faults>Faults</h2><p class=lead>Shares are in thousandths of the calls.</p>\
        <form class=knobs method=post action=faults>"
            .to_owned();
    if let Ok(Value::Object(knobs)) = serde_json::to_value(faults) {
        for (knob, value) in &knobs {
            match value.as_object() {
                Some(group) => {
                    for (inner, value) in group {
                        html.push_str(&input(&format!("{knob}.{inner}"), value));
                    }
                }
                None => html.push_str(&input(knob, value)),
            }
        }
    }
    html.push_str("<button>Set</button></form>");
    html
}

fn input(knob: &str, value: &Value) -> String {
    let knob_html = escaped(knob);
    let Some((_, words)) = WORDS.iter().find(|(known, _)| *known == knob) else {
        let number = value.as_u64().map(|number| number.to_string());
        return format!(
            "<label>{knob_html} <input type=number min=0 name='{knob_html}' value='{}'></label>",
            number.unwrap_or_default()
        );
    };
    let mut html = format!("<label>{knob_html} <select name='{knob_html}'>");
    for word in *words {
        let selected = if value == word { " selected" } else { "" };
        html.push_str(&format!("<option{selected}>{word}"));
    }
    html.push_str("</select></label>");
    html
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::WORDS;
    use crate::sandbox::faults::Faults;

    /// Every knob by its name in the form.
    fn knobs() -> Vec<(String, Value)> {
        let Value::Object(knobs) = serde_json::to_value(Faults::default()).unwrap() else {
            panic!("an object");
        };
        let flat = knobs.into_iter().flat_map(|(knob, value)| {
            let named =
                |(inner, value): (&String, &Value)| (format!("{knob}.{inner}"), value.clone());
            let group = value
                .as_object()
                .map(|group| group.iter().map(named).collect());
            group.unwrap_or_else(|| vec![(knob.clone(), value.clone())])
        });
        flat.collect()
    }

    #[test]
    fn every_knob_of_words_offers_its_words_and_no_others() {
        let of_words: Vec<_> = knobs().into_iter().filter(|(_, v)| v.is_string()).collect();
        assert_eq!(of_words.len(), WORDS.len());
        for (knob, default) in of_words {
            let (_, words) = WORDS.iter().find(|(known, _)| *known == knob).unwrap();
            assert_eq!(default, words[0], "{knob}");
            for word in *words {
                let json = match knob.split_once('.') {
                    None => json!({ knob.as_str(): word }),
                    Some((group, inner)) => json!({ group: { inner: word } }),
                };
                assert!(
                    Faults::from_json(json.to_string().as_bytes()).is_ok(),
                    "{json}"
                );
            }
        }
    }
}
