//! An error as one line for people: itself and why.

/// An error and all its causes on one line. A cause that the text before it ends with already is not
/// said twice: some libraries put it into their own message.
#[must_use]
pub fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let words = error.to_string();
        if !text.ends_with(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::with_causes;

    #[derive(Debug, thiserror::Error)]
    #[error("wake {name}")]
    struct Unwoken {
        name: &'static str,
        #[source]
        source: Option<Box<Self>>,
    }

    #[test]
    fn every_cause_is_named_once_and_in_order() {
        let [first, second] = ["the cook", "the bell"].map(|name| Unwoken { name, source: None });
        assert_eq!(with_causes(&first), "wake the cook");
        let source = Some(Box::new(Unwoken {
            source: Some(Box::new(second)),
            ..first
        }));
        let error = Unwoken {
            name: "everybody",
            source,
        };
        assert_eq!(
            with_causes(&error),
            "wake everybody: wake the cook: wake the bell"
        );
    }

    #[test]
    fn a_cause_that_was_said_is_not_said_again() {
        #[derive(Debug, thiserror::Error)]
        #[error("talk: {0}")]
        struct Talkative(#[source] Unwoken);
        let name = "the cook";
        let error = Talkative(Unwoken { name, source: None });
        assert_eq!(with_causes(&error), "talk: wake the cook");
    }
}
