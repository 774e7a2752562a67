//! An error as one line for people: itself and why.

/// An error and all its causes on one line.
#[must_use]
pub fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
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
}
