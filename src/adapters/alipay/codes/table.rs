//! The table itself. Rows are read from the top: the first that matches is meant.

use crate::adapters::alipay::codes::{CodeClass, CodeRow};

/// Alipay open platform, common error codes.
const COMMON: &str = "open platform, common error codes";
/// The product's own quick start guide, its table of result codes.
const GUIDE: &str = "cash red packet quick start";
/// Answers of this product's live interfaces that people have published.
const RECORDED: &str = "recorded answers of fund.coupon";
/// Error lists of alipay.fund.auth, which runs on the same back end.
const SIBLING: &str = "fund.auth error codes";
/// Error lists of alipay.fund.trans.uni, the product's successor.
const SUCCESSOR: &str = "fund.trans.uni error codes";

macro_rules! code_table {
    ($($code:literal from $source:ident {
        $($sub_code:literal send $send:ident query $query:ident, $meaning:literal;)+
    })+) => {
        /// Every code that is known, in the order in which it is looked up.
        pub(super) const TABLE: &[CodeRow] = &[$($(CodeRow {
            code: $code,
            sub_code: $sub_code,
            send: CodeClass::$send,
            query: CodeClass::$query,
            meaning: $meaning,
            source: $source,
        },)+)+];
    };
}

code_table! {
    "10000" from GUIDE {
        "*" send Success query Success, "accepted; `status` says how far it is";
    }
    "10003" from GUIDE {
        "*" send Processing query Unknown, "being processed; it may or may not come to something";
    }
    "20000" from GUIDE {
        "isp.unknow-error" send Unknown query Unknown, "service not available";
        "aop.unknow-error" send Unknown query Unknown, "service not available";
        "*" send Unknown query Unknown, "nobody knows what happened";
    }
    "20001" from COMMON {
        "aop.invalid-auth-token" send Blocked query Blocked, "auth_token is not valid";
        "aop.auth-token-time-out" send Blocked query Blocked, "auth_token has run out";
        "aop.invalid-app-auth-token" send Blocked query Blocked, "app_auth_token is not valid";
        "aop.invalid-app-auth-token-no-api" send Blocked query Blocked, "app_auth_token does not cover this interface";
        "aop.app-auth-token-time-out" send Blocked query Blocked, "app_auth_token has run out";
        "aop.no-product-reg-by-partner" send Blocked query Blocked, "the merchant has not signed for the product";
        "*" send Blocked query Blocked, "the token gives no permission";
    }
    "40001" from COMMON {
        "isv.missing-method" send Blocked query Blocked, "method is missing";
        "isv.missing-signature" send Blocked query Blocked, "sign is missing";
        "isv.missing-signature-type" send Blocked query Blocked, "sign_type is missing";
        "isv.missing-signature-key" send Blocked query Blocked, "the app has no public key at Alipay";
        "isv.missing-app-id" send Blocked query Blocked, "app_id is missing";
        "isv.missing-timestamp" send Blocked query Blocked, "timestamp is missing";
        "isv.missing-version" send Blocked query Blocked, "version is missing";
        "isv.missing-app-cert-sn" send Blocked query Blocked, "certificate mode without app_cert_sn";
        "isv.missing-alipay-root-cert-sn" send Blocked query Blocked, "certificate mode without alipay_root_cert_sn";
        "isv.decryption-error-missing-encrypt-type" send Blocked query Blocked, "encrypt_type is missing";
        "*" send Blocked query Blocked, "a public parameter is missing";
    }
    "40002" from COMMON {
        "isv.invalid-parameter" send Final query Unknown, "a field of this very request is not valid";
        "isv.invalid-method" send Blocked query Blocked, "method is not known";
        "isv.invalid-format" send Blocked query Blocked, "format is not JSON";
        "isv.invalid-signature-type" send Blocked query Blocked, "sign_type is not allowed for this app";
        "isv.invalid-signature" send Blocked query Blocked, "sign does not match the app's public key at Alipay";
        "isv.invalid-encrypt-type" send Blocked query Blocked, "encrypt_type is not known";
        "isv.invalid-encrypt" send Blocked query Blocked, "the content cannot be decrypted";
        "isv.invalid-app-id" send Blocked query Blocked, "app_id is not known, or the app is not online";
        "isv.invalid-timestamp" send Blocked query Blocked, "timestamp is outside the window: look at the clock";
        "isv.invalid-charset" send Blocked query Blocked, "charset is not known";
        "isv.invalid-digest" send Blocked query Blocked, "the digest does not match";
        "isv.decryption-error-not-valid-encrypt-type" send Blocked query Blocked, "encrypt_type is not valid";
        "isv.decryption-error-not-valid-encrypt-key" send Blocked query Blocked, "the AES key is not valid";
        "isv.decryption-error-unknown" send Blocked query Blocked, "the content cannot be decrypted";
        "isv.not-support-app-auth" send Blocked query Blocked, "the interface knows no app_auth_token";
        "isv.suspected-attack" send Final query Unknown, "one job's own value holds words that the gateway takes for an attack";
        "isv.forbidden-api" send Blocked query Blocked, "the interface is not allowed for this app";
        "isv.illegal-json" send Final query Unknown, "one job's own biz_content is not JSON";
        "isv.not-online-app" send Blocked query Blocked, "the app is not online";
        "isv.app-cert-expired" send Blocked query Blocked, "the app's certificate has run out";
        "isv.app-cert-not-exist" send Blocked query Blocked, "the app's certificate is not known";
        "*" send Blocked query Blocked, "a public parameter is not valid";
    }
    "40003" from COMMON {
        "isv.missing-signature-config" send Blocked query Blocked, "the app has no signature settings at Alipay";
        "isv.invalid-auth-relations" send Blocked query Blocked, "app and merchant do not belong together";
        "*" send Blocked query Blocked, "a condition is not met";
    }
    "40004" from RECORDED {
        "UNIQUE_VIOLATION" send AlreadyUsed query Unknown, "the request number is used, with equal or other content";
        "MONEY_NOT_ENOUGH" send FinalUnlessDone query Unknown, "more than the payer has, or than remains";
    }
    "40004" from SIBLING {
        "SYSTEM_ERROR" send Unknown query Unknown, "trouble at Alipay";
        "BIZ_ERROR" send Unknown query Unknown, "trouble without a name";
        "ILLEGAL_STATUS" send FinalUnlessDone query Unknown, "the order's state does not allow it";
        "ORDER_ALREADY_CLOSED" send FinalUnlessDone query Unknown, "the order is closed";
        "ORDER_ALREADY_FINISH" send FinalUnlessDone query Unknown, "nothing is left of the order";
        "REQUEST_AMOUNT_EXCEED" send FinalUnlessDone query Unknown, "more than remains, or than is allowed";
        "AUTH_ORDER_NOT_EXIST" send FinalUnlessDone query NotFound, "no such order; on a send: no such packet";
        "ORDER_NOT_EXIST" send FinalUnlessDone query NotFound, "no such order; on a send: no such packet";
        "AUTH_OPERATION_NOT_EXIST" send Unknown query NotFound, "no such operation";
        "ILLEGAL_ARGUMENT" send Final query Unknown, "a parameter is not valid";
        "ACCESS_FORBIDDEN" send Final query Unknown, "not signed for the product, or not the owner of the order";
        "HAS_NO_PRIVILEGE" send Final query Unknown, "not signed for the product, or not the owner of the order";
        "EXIST_FORBIDDEN_WORD" send Final query Unknown, "a forbidden word in title or remark";
        "PAYEE_NOT_EXIST" send Final query Unknown, "no such payee";
        "PAYEE_USER_STATUS_LIMIT" send Final query Unknown, "the payee's account is restricted";
        "PAYER_NOT_EXIST" send Final query Unknown, "no such payer";
        "PAYER_USER_STATUS_LIMIT" send Final query Unknown, "the payer's account is restricted";
        "PAYER_PAYEE_EQUAL" send Final query Unknown, "payer and payee are the same account";
        "ERROR_BALANCE_PAYMENT_DISABLE" send Final query Unknown, "payment from the balance is switched off";
        "NO_PAYMENT_INSTRUMENTS_AVAILABLE" send Final query Unknown, "the payer has no means of payment";
        "UNSUPPORT_ORDER_AMOUNT" send Final query Unknown, "the amount is not supported";
        "ILLEGAL_PAYEE_USER_ID" send Final query Unknown, "payee_user_id is not valid";
    }
    "40004" from SUCCESSOR {
        "REQUEST_PROCESSING" send Processing query Unknown, "being processed";
        "RESOURCE_LIMIT_EXCEED" send Unknown query Unknown, "too many requests at once; not said to be without effect";
        "MAX_VISIT_LIMIT" send Unknown query Unknown, "too many requests; not said to be without effect";
        "PAYER_BALANCE_NOT_ENOUGH" send FinalUnlessDone query Unknown, "more than the payer has";
        "REFUND_MONEY_NOT_ENOUGH" send FinalUnlessDone query Unknown, "more than can be refunded";
        "ALREADY_WITHDRAW_STD_RED_PACKET" send FinalUnlessDone query Unknown, "the packet has been taken";
        "PAYEE_ACC_OCUPIED" send Final query Unknown, "the logon id belongs to more than one account";
        "PAYER_PAYEE_CANNOT_SAME" send Final query Unknown, "payer and payee are the same account";
        "EXCEED_LIMIT_*" send Final query Unknown, "above a limit of the product or of an account";
        "PERMIT_*" send Final query Unknown, "an account is not permitted to pay or to receive";
    }
    "40004" from GUIDE {
        "*" send Unknown query Unknown, "not listed: ask before calling it failed";
    }
    "40005" from COMMON {
        "isv.app-call-limited" send Limited query Limited, "too many calls of this app";
        "isv.method-call-limited" send Limited query Limited, "too many calls of this interface";
        "*" send Limited query Limited, "too many calls";
    }
    "40006" from COMMON {
        "isv.insufficient-isv-permissions" send Blocked query Blocked, "the product is not enabled for the app";
        "isv.insufficient-user-permissions" send Blocked query Blocked, "the user has not given permission";
        "isv.self-invoke-forbidden" send Blocked query Blocked, "the app may not call for itself";
        "*" send Blocked query Blocked, "permission is missing";
    }
}
