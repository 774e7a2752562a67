//! Alipay's side: notifications, true ones and others.

use hongbaod::adapters::alipay::keys::PrivateKey;
use hongbaod::adapters::alipay::sign::{SignType, Signer, canonical_bytes};
use hongbaod::adapters::alipay::wire::form_encode_bytes;

/// Params of a notice, in any charset.
pub(crate) type Params = Vec<(String, Vec<u8>)>;

/// Whoever holds a private key of Alipay's, or another.
pub(crate) struct Alipay {
    app_id: String,
    signer: Signer,
}

impl Alipay {
    pub(crate) fn new(key: PrivateKey, app_id: &str) -> Self {
        Self {
            app_id: app_id.to_owned(),
            signer: Signer::new(key, SignType::Rsa2).unwrap(),
        }
    }

    /// The notice of an automatic refund, or whatever `change` makes of it.
    pub(crate) fn refund(&self, number: &str, change: &[(&str, &str)]) -> Params {
        let operation_id = format!("2026112200{number:0>10}");
        let operation_id: String = operation_id
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '0' })
            .collect();
        let params = [
            ("notify_type", "fund_stdtrustee_refund.success"),
            ("notify_id", "2026112200222100001050"),
            ("notify_time", "2026-11-22 10:00:02"),
            ("charset", "utf-8"),
            ("version", "1.0"),
            ("app_id", self.app_id.as_str()),
            ("auth_app_id", self.app_id.as_str()),
            ("auth_no", "2026112210002001000000000001"),
            ("out_order_no", "P1"),
            ("operation_id", operation_id.as_str()),
            ("out_request_no", number),
            ("operation_type", "REFUND"),
            ("amount", "1.12"),
            ("status", "SUCCESS"),
            ("gmt_create", "2026-11-22 10:00:00"),
            ("gmt_trans", "2026-11-22 10:00:01"),
            ("payer_user_id", "2088102146225135"),
            ("payer_logon_id", "138****0000"),
            ("payee_user_id", "null"),
        ];
        let mut params: Params = params
            .map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()))
            .into();
        for (name, value) in change {
            params.retain(|(other, _)| other != name);
            params.push(((*name).to_owned(), value.as_bytes().to_vec()));
        }
        params
    }

    /// The body that is posted, signed as Alipay signs notices.
    pub(crate) fn signed(&self, mut params: Params) -> String {
        let pairs = params.iter().map(|(n, v)| (n.as_bytes(), v.as_slice()));
        let sign = self.signer.sign(&canonical_bytes(pairs)).unwrap();
        params.push(("sign_type".to_owned(), b"RSA2".to_vec()));
        params.push(("sign".to_owned(), sign.into_bytes()));
        encoded(&params)
    }
}

/// The body as it is, signed or not.
pub(crate) fn encoded(params: &Params) -> String {
    form_encode_bytes(params.iter().map(|(n, v)| (n.as_bytes(), v.as_slice())))
}
