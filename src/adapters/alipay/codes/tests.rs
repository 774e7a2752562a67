use super::*;

use CodeClass::{
    AlreadyUsed, Blocked, Final, FinalUnlessDone, Limited, NotFound, Processing, Success, Unknown,
};

/// A sub code that a row stands for.
fn example(row: &CodeRow) -> String {
    row.sub_code.replace('*', "SOMETHING_NEW")
}

#[test]
fn every_row_is_reachable_and_means_what_it_says() {
    for row in rows() {
        let sub_code = example(row);
        let found = super::row(row.code, &sub_code);
        assert_eq!(found, Some(row), "{} {}", row.code, row.sub_code);
        for method in [Method::Disburse, Method::Refund, Method::Pay] {
            assert_eq!(classify(row.code, Some(&sub_code), method), row.send);
        }
        assert_eq!(
            classify(row.code, Some(&sub_code), Method::Query),
            row.query
        );
    }
}

#[test]
fn every_code_has_an_answer_for_sub_codes_that_are_not_listed() {
    for row in rows() {
        let last = rows().filter(|other| other.code == row.code).last();
        assert_eq!(last.map(|row| row.sub_code), Some("*"), "{}", row.code);
    }
}

#[test]
fn codes_mean_what_the_documents_say() {
    let rows = [
        ("10000", None, Success, Success),
        ("10003", None, Processing, Unknown),
        ("20000", Some("isp.unknow-error"), Unknown, Unknown),
        ("20000", Some("ACQ.SYSTEM_ERROR"), Unknown, Unknown),
        (
            "20001",
            Some("aop.app-auth-token-time-out"),
            Blocked,
            Blocked,
        ),
        ("20001", Some("aop.something-new"), Blocked, Blocked),
        ("40001", None, Blocked, Blocked),
        ("40002", Some("isv.invalid-signature"), Blocked, Blocked),
        ("40002", Some("isv.something-new"), Blocked, Blocked),
        ("40002", Some("isv.invalid-parameter"), Final, Unknown),
        (
            "40003",
            Some("isv.invalid-auth-relations"),
            Blocked,
            Blocked,
        ),
        ("40004", Some("PAYEE_NOT_EXIST"), Final, Unknown),
        ("40004", Some("ACQ.PAYEE_NOT_EXIST"), Final, Unknown),
        ("40004", Some("MONEY_NOT_ENOUGH"), FinalUnlessDone, Unknown),
        ("40004", Some("ILLEGAL_STATUS"), FinalUnlessDone, Unknown),
        ("40004", Some("UNIQUE_VIOLATION"), AlreadyUsed, Unknown),
        ("40004", Some("SYSTEM_ERROR"), Unknown, Unknown),
        ("40004", Some("ACQ.SYSTEM_ERROR"), Unknown, Unknown),
        ("40004", Some("A.B.SYSTEM_ERROR"), Unknown, Unknown),
        ("40004", Some("REQUEST_PROCESSING"), Processing, Unknown),
        (
            "40004",
            Some("AUTH_ORDER_NOT_EXIST"),
            FinalUnlessDone,
            NotFound,
        ),
        ("40004", Some("ORDER_NOT_EXIST"), FinalUnlessDone, NotFound),
        ("40004", Some("AUTH_OPERATION_NOT_EXIST"), Unknown, NotFound),
        ("40004", Some("EXCEED_LIMIT_DM_AMOUNT"), Final, Unknown),
        ("40004", Some("PERMIT_PAYER_FORBIDDEN"), Final, Unknown),
        ("40004", Some("SOMETHING_NEW"), Unknown, Unknown),
        ("40004", Some("payee_not_exist"), Unknown, Unknown),
        ("40004", Some(""), Unknown, Unknown),
        ("40004", None, Unknown, Unknown),
        ("40005", Some("isv.app-call-limited"), Limited, Limited),
        (
            "40006",
            Some("isv.insufficient-isv-permissions"),
            Blocked,
            Blocked,
        ),
        // Trouble at Alipay is trouble under whatever code it comes.
        ("40006", Some("ACQ.SYSTEM_ERROR"), Unknown, Unknown),
        ("40007", Some("PAYEE_NOT_EXIST"), Unknown, Unknown),
        ("", None, Unknown, Unknown),
    ];
    for (code, sub_code, send, query) in rows {
        assert_eq!(
            classify(code, sub_code, Method::Disburse),
            send,
            "{code} {sub_code:?}"
        );
        assert_eq!(
            classify(code, sub_code, Method::Query),
            query,
            "{code} {sub_code:?}"
        );
    }
}

#[test]
fn labels_never_hold_a_code_from_outside() {
    for (code, sub_code, label) in [
        ("10000", None, ("10000", "none")),
        (
            "40004",
            Some("PAYEE_NOT_EXIST"),
            ("40004", "PAYEE_NOT_EXIST"),
        ),
        ("40004", Some("ACQ.SYSTEM_ERROR"), ("40004", "SYSTEM_ERROR")),
        ("40004", Some("PERMIT_X"), ("40004", "PERMIT_*")),
        ("40004", Some("Mr Wang"), ("40004", "other")),
        ("99999", Some("Mr Wang"), ("other", "other")),
        ("", None, ("other", "other")),
    ] {
        assert_eq!(known_label(code, sub_code), label);
    }
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

#[test]
fn a_configuration_adds_codes_to_classes() {
    let codes = Codes::new(&ExtraCodes {
        final_: words(&["isv.suspected-attack", "BIZ_ERROR"]),
        confirm: words(&["PACKET_EMPTY"]),
        unknown: words(&["PAYEE_NOT_EXIST"]),
        processing: words(&["WAIT_A_BIT"]),
        already_used: words(&["ACQ.NUMBER_TAKEN"]),
        limited: words(&["SLOW_DOWN"]),
        blocked: words(&["CONTRACT_ENDED"]),
    })
    .unwrap();
    for (code, sub_code, send, query) in [
        ("40002", "isv.suspected-attack", Final, Unknown),
        ("40004", "BIZ_ERROR", Final, Unknown),
        ("40004", "PACKET_EMPTY", FinalUnlessDone, Unknown),
        ("40004", "PAYEE_NOT_EXIST", Unknown, Unknown),
        ("40004", "WAIT_A_BIT", Processing, Unknown),
        ("40004", "NUMBER_TAKEN", AlreadyUsed, Unknown),
        ("40004", "ACQ.NUMBER_TAKEN", AlreadyUsed, Unknown),
        ("40004", "SLOW_DOWN", Limited, Limited),
        ("40004", "CONTRACT_ENDED", Blocked, Blocked),
        // These three mean what they mean.
        ("10000", "BIZ_ERROR", Success, Success),
        ("10003", "BIZ_ERROR", Processing, Unknown),
        ("20000", "BIZ_ERROR", Unknown, Unknown),
    ] {
        assert_eq!(
            codes.classify(code, Some(sub_code), Method::Refund),
            send,
            "{sub_code}"
        );
        assert_eq!(
            codes.classify(code, Some(sub_code), Method::Query),
            query,
            "{sub_code}"
        );
    }
}

#[test]
fn no_configuration_makes_a_proof_of_what_proves_nothing() {
    for code in [
        "SYSTEM_ERROR",
        "ACQ.SYSTEM_ERROR",
        "UNIQUE_VIOLATION",
        "REQUEST_PROCESSING",
        "isp.unknow-error",
        "AUTH_OPERATION_NOT_EXIST",
    ] {
        for class in ["final", "confirm", "limited", "blocked"] {
            let list = words(&[code]);
            let mut extra = ExtraCodes::default();
            match class {
                "final" => extra.final_ = list,
                "confirm" => extra.confirm = list,
                "limited" => extra.limited = list,
                _ => extra.blocked = list,
            }
            let code = code.to_owned();
            let refused = Codes::new(&extra).map(|_codes| ());
            assert_eq!(refused, Err(ExtraCodeError::Protected { code, class }));
        }
    }
}

#[test]
fn codes_that_are_misspelt_or_given_twice_are_refused() {
    for code in ["", "A B", "码", &"X".repeat(65)] {
        let extra = ExtraCodes {
            unknown: words(&[code]),
            ..ExtraCodes::default()
        };
        let code = code.to_owned();
        assert_eq!(
            Codes::new(&extra).map(|_codes| ()),
            Err(ExtraCodeError::Format { code })
        );
    }
    let extra = ExtraCodes {
        final_: words(&["NEW_CODE"]),
        unknown: words(&["ACQ.NEW_CODE"]),
        ..ExtraCodes::default()
    };
    assert_eq!(
        Codes::new(&extra).map(|_codes| ()),
        Err(ExtraCodeError::Twice {
            code: "ACQ.NEW_CODE".to_owned(),
            first: "final",
            second: "unknown",
        })
    );
}
