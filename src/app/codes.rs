//! Alipay's codes, explained to an operator: what each means, what the daemon does about it, and
//! what is left to do. The table itself is [`crate::adapters::alipay::codes`].

use crate::adapters::alipay::codes::{self, CodeClass, Codes, ExtraCodeError};
use crate::adapters::alipay::method::Method;
use crate::app::alipay_setup::extra_codes;
use crate::app::config::AlipayCodes;

/// Where a code is known from that only the configuration has.
const CONFIGURED: &str = "alipay.codes of the configuration";

/// One code, explained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explained {
    /// The gateway code.
    pub code: String,
    /// The business code; `*` for every other one of its code.
    pub sub_code: String,
    /// What Alipay means by it.
    pub meaning: &'static str,
    /// Where that is known from.
    pub source: &'static str,
    /// As the answer to a call that may move money.
    pub payment: Reading,
    /// As the answer to a query.
    pub query: Reading,
    /// What a person does about it.
    pub advice: &'static str,
}

/// What a code is taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The class's word, as `alipay.codes` spells it.
    pub class: &'static str,
    /// What the daemon does.
    pub action: &'static str,
}

/// Every code of the table and of the configuration, in the table's order.
///
/// # Errors
///
/// [`ExtraCodeError`] for a code of the configuration that is not accepted.
pub fn all(configured: &AlipayCodes) -> Result<Vec<Explained>, ExtraCodeError> {
    let codes = Codes::new(&extra_codes(configured))?;
    let mut explained: Vec<Explained> = codes::rows().map(|row| of_row(row, &codes)).collect();
    for (sub_code, _) in codes.added() {
        if codes::find(sub_code).is_empty() {
            explained.push(of_unlisted(sub_code, CONFIGURED, &codes));
        }
    }
    Ok(explained)
}

/// The rows that `text`, a gateway code or a `sub_code`, is about. One that is not listed is
/// explained as such.
///
/// # Errors
///
/// [`ExtraCodeError`] for a code of the configuration that is not accepted.
pub fn find(text: &str, configured: &AlipayCodes) -> Result<Vec<Explained>, ExtraCodeError> {
    let codes = Codes::new(&extra_codes(configured))?;
    let rows = codes::find(text);
    if !rows.is_empty() {
        return Ok(rows.into_iter().map(|row| of_row(row, &codes)).collect());
    }
    let is_added = codes.added().any(|(sub_code, _)| sub_code == text);
    let source = if is_added { CONFIGURED } else { "not listed" };
    Ok(vec![of_unlisted(text, source, &codes)])
}

fn of_row(row: &codes::CodeRow, codes: &Codes) -> Explained {
    // A pattern stands for codes that only a configuration could name one by one.
    let class = |method| codes.classify(row.code, Some(row.sub_code), method);
    let (payment, query) = (class(Method::Disburse), class(Method::Query));
    Explained {
        code: row.code.to_owned(),
        sub_code: row.sub_code.to_owned(),
        meaning: row.meaning,
        source: row.source,
        payment: of_payment(payment),
        query: of_query(query),
        advice: advice(payment),
    }
}

fn of_unlisted(sub_code: &str, source: &'static str, codes: &Codes) -> Explained {
    let class = |method| codes.classify("40004", Some(sub_code), method);
    let (payment, query) = (class(Method::Disburse), class(Method::Query));
    Explained {
        code: "40004".to_owned(),
        sub_code: sub_code.to_owned(),
        meaning: "not in the built-in table",
        source,
        payment: of_payment(payment),
        query: of_query(query),
        advice: advice(payment),
    }
}

fn of_payment(class: CodeClass) -> Reading {
    let action = match class {
        CodeClass::Success => {
            "with status SUCCESS the job has succeeded; with INIT or CLOSED it is queried"
        }
        CodeClass::Final => {
            "the job has failed, unless an earlier attempt may have reached Alipay: then a query confirms it first"
        }
        CodeClass::FinalUnlessDone => {
            "a query looks whether this very operation has succeeded; if it has not, the job has failed"
        }
        CodeClass::Processing => "the job waits and is queried until Alipay knows",
        CodeClass::Unknown => "the job waits and is queried; it never counts as failed by this",
        CodeClass::AlreadyUsed => {
            "the job is queried: its own result counts, another content is a conflict, and nothing is sent again"
        }
        CodeClass::Limited => "nothing was executed: the same request is sent again, more slowly",
        CodeClass::Blocked => {
            "nothing was executed: the app's calls stop, and one probe at a time tries again; no job fails"
        }
        CodeClass::NotFound => "the job waits and is queried",
    };
    Reading {
        class: class.as_str(),
        action,
    }
}

fn of_query(class: CodeClass) -> Reading {
    let action = match class {
        CodeClass::Success => "the operation's status counts",
        CodeClass::NotFound => {
            "no proof of absence: asked again over a while before the same request is sent again"
        }
        CodeClass::Limited => "asked again, more slowly",
        CodeClass::Blocked => "the app's calls stop, and one probe at a time tries again",
        CodeClass::Final
        | CodeClass::FinalUnlessDone
        | CodeClass::Processing
        | CodeClass::Unknown
        | CodeClass::AlreadyUsed => "says nothing about the job: asked again later",
    };
    Reading {
        class: class.as_str(),
        action,
    }
}

fn advice(payment: CodeClass) -> &'static str {
    match payment {
        CodeClass::Success => "nothing",
        CodeClass::Final => {
            "tell the producer; whatever is corrected is a new job under a new number"
        }
        CodeClass::FinalUnlessDone => {
            "look at the packet or the payer's balance; afterwards a new job under a new number may work"
        }
        CodeClass::Processing | CodeClass::NotFound => {
            "nothing, unless an `unresolved` event comes"
        }
        CodeClass::Unknown => {
            "nothing, unless an `unresolved` event comes; then ask Alipay's support with the number. A code whose meaning is certain can join a class in alipay.codes"
        }
        CodeClass::AlreadyUsed => {
            "nothing, unless the job is rejected as a conflict: then a producer uses numbers twice"
        }
        CodeClass::Limited => "lower pacing.requests_per_second if it goes on",
        CodeClass::Blocked => {
            "put keys, token, contract or permission right at the open platform; the jobs then go on by themselves"
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{all, find};
    use crate::app::config::AlipayCodes;

    fn configured(final_: &str) -> AlipayCodes {
        AlipayCodes {
            final_: BTreeSet::from([final_.to_owned()]),
            ..AlipayCodes::default()
        }
    }

    fn classes(text: &str, configured: &AlipayCodes) -> Vec<(String, &'static str, &'static str)> {
        let found = find(text, configured).unwrap();
        found
            .into_iter()
            .map(|row| (row.sub_code, row.payment.class, row.query.class))
            .collect()
    }

    #[test]
    fn a_code_is_found_by_its_name_its_prefix_and_its_gateway_code() {
        let none = AlipayCodes::default();
        let one = |sub_code: &str, payment, query| vec![(sub_code.to_owned(), payment, query)];
        for (text, expected) in [
            (
                "PAYEE_NOT_EXIST",
                one("PAYEE_NOT_EXIST", "final", "unknown"),
            ),
            (
                "ACQ.SYSTEM_ERROR",
                one("SYSTEM_ERROR", "unknown", "unknown"),
            ),
            ("EXCEED_LIMIT_DM", one("EXCEED_LIMIT_*", "final", "unknown")),
            ("SOMETHING_NEW", one("SOMETHING_NEW", "unknown", "unknown")),
            ("10003", one("*", "processing", "unknown")),
        ] {
            assert_eq!(classes(text, &none), expected, "{text}");
        }
        assert_eq!(classes("40005", &none).len(), 3);
    }

    #[test]
    fn the_configuration_moves_and_adds_codes() {
        let added = configured("SOMETHING_NEW");
        let found = find("SOMETHING_NEW", &added).unwrap();
        assert_eq!(found[0].payment.class, "final");
        assert_eq!(found[0].source, "alipay.codes of the configuration");
        let (more, usual) = (all(&added).unwrap(), all(&AlipayCodes::default()).unwrap());
        assert_eq!(more.len(), usual.len() + 1);

        let moved = configured("BIZ_ERROR");
        assert_eq!(find("BIZ_ERROR", &moved).unwrap()[0].payment.class, "final");
        assert_eq!(all(&moved).unwrap().len(), usual.len());
        let error = all(&configured("SYSTEM_ERROR")).unwrap_err();
        assert!(error.to_string().contains("SYSTEM_ERROR"));
    }
}
