//! A signed request: what does not change is made once per app and interface.
//!
//! Layout of Alipay's Java SDK: public parameters in the query, `charset` above all (else the
//! gateway reads the body as GBK), the content and the token in the form body.

use secrecy::{ExposeSecret, SecretString};

use crate::adapters::alipay::method::Method;
use crate::adapters::alipay::sign::{SignError, Signer, canonical_string};
use crate::adapters::alipay::wire::{form_encode, timestamp_gmt8};
use crate::domain::time::UnixMillis;

/// The value of the `Content-Type` header.
pub const CONTENT_TYPE: &str = "application/x-www-form-urlencoded;charset=utf-8";

const CHARSET: (&str, &str) = ("charset", "utf-8");
const FORMAT: (&str, &str) = ("format", "json");
const VERSION: (&str, &str) = ("version", "1.0");

/// What the public parameters of an app's requests are.
pub struct PublicParams<'a> {
    /// The gateway's address, without query.
    pub gateway_url: &'a str,
    /// Alipay's id of the app.
    pub app_id: &'a str,
    /// The word for the signature's type.
    pub sign_type: &'static str,
    /// The token of a merchant for whom the app acts.
    pub app_auth_token: Option<&'a SecretString>,
    /// Where Alipay sends its notifications to.
    pub notify_url: Option<&'a str>,
    /// Where the cashier page sends the payer's browser back to.
    pub return_url: Option<&'a str>,
}

/// The constant parts of one app's requests to one interface.
pub struct Template {
    /// The string to sign, up to the value of `biz_content`.
    canonical_head: String,
    /// From after that value up to the value of `timestamp`.
    canonical_middle: String,
    /// From after that value to the end.
    canonical_tail: String,
    /// Address and query, all but `timestamp` and `sign`.
    url: String,
    /// What follows `biz_content` in the body.
    body_tail: String,
}

/// A request that is ready to be sent once; its signature is a secret.
pub struct SignedRequest {
    /// Address and query.
    pub url: String,
    /// The form.
    pub body: String,
}

impl Template {
    /// Makes the constant parts of requests to `method`.
    #[must_use]
    pub fn new(params: &PublicParams<'_>, method: Method) -> Self {
        // A query moves nothing, so there is nothing to notify of.
        let notify_url = match method {
            Method::Query => None,
            Method::Disburse | Method::Refund | Method::Pay | Method::AppPay | Method::PagePay => {
                params.notify_url
            }
        };
        let in_query: Vec<(&str, &str)> = [
            ("app_id", params.app_id),
            CHARSET,
            FORMAT,
            ("method", method.as_str()),
            ("sign_type", params.sign_type),
            VERSION,
        ]
        .into_iter()
        .chain(notify_url.map(|url| ("notify_url", url)))
        .chain(params.return_url.map(|url| ("return_url", url)))
        .collect();
        let token = params
            .app_auth_token
            .map(|token| ("app_auth_token", token.expose_secret()));
        // Sorted by name, what changes cuts the string in three.
        let part = |from: &str, to: &str| {
            let inside = in_query
                .iter()
                .copied()
                .chain(token)
                .filter(|(name, _)| from < *name && *name < to);
            canonical_string(inside)
        };
        let join = |before: &str, part: String, after: &str| {
            if part.is_empty() {
                after.trim_start_matches('&').to_owned()
            } else {
                format!("{before}{part}{after}")
            }
        };
        let body_tail = match token {
            Some(token) => format!("&{}", form_encode([token])),
            None => String::new(),
        };
        Self {
            canonical_head: join("", part("", "biz_content"), "&biz_content="),
            canonical_middle: join("&", part("biz_content", "timestamp"), "&timestamp="),
            canonical_tail: join("&", part("timestamp", "~"), ""),
            url: format!("{}?{}", params.gateway_url, form_encode(in_query)),
            body_tail,
        }
    }

    /// Signs a request with `biz_content` at the instant `now`.
    ///
    /// # Errors
    ///
    /// [`SignError`] when the library fails to sign.
    pub fn sign(
        &self,
        signer: &Signer,
        biz_content: &str,
        now: UnixMillis,
    ) -> Result<SignedRequest, SignError> {
        let timestamp = timestamp_gmt8(now.0);
        let canonical = [
            self.canonical_head.as_str(),
            biz_content,
            &self.canonical_middle,
            &timestamp,
            &self.canonical_tail,
        ]
        .concat();
        let sign = signer.sign(canonical.as_bytes())?;
        let changing = form_encode([("timestamp", timestamp), ("sign", sign)]);
        let mut body = form_encode([("biz_content", biz_content)]);
        body.push_str(&self.body_tail);
        Ok(SignedRequest {
            url: [self.url.as_str(), "&", &changing].concat(),
            body,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{PublicParams, Template};
    use crate::adapters::alipay::keys::PrivateKey;
    use crate::adapters::alipay::method::Method;
    use crate::adapters::alipay::sign::{SignType, Signer, Verifier, canonical_string};
    use crate::adapters::alipay::wire::form_decode;
    use crate::domain::time::UnixMillis;
    use secrecy::SecretString;

    /// All params as the gateway merges them, and whether `sign` covers them.
    fn check(token: Option<&str>, notify_url: Option<&str>, method: Method) -> String {
        let key = PrivateKey::generate().unwrap();
        let verifier = Verifier::new(key.public_key(), SignType::Rsa2).unwrap();
        let signer = Signer::new(key, SignType::Rsa2).unwrap();
        let token = token.map(|token| SecretString::from(token.to_owned()));
        let params = PublicParams {
            gateway_url: "https://gateway.test/gateway.do",
            app_id: "2021",
            sign_type: "RSA2",
            app_auth_token: token.as_ref(),
            notify_url,
            return_url: None,
        };
        let content = r#"{"order_title":"红 包&=+%"}"#;
        let request = Template::new(&params, method)
            .sign(&signer, content, UnixMillis(1_795_312_801_234))
            .unwrap();
        let (address, query) = request.url.split_once('?').unwrap();
        assert_eq!(address, "https://gateway.test/gateway.do");
        let in_query = form_decode(query.as_bytes()).unwrap();
        let in_body = form_decode(request.body.as_bytes()).unwrap();
        let all: Vec<_> = in_query
            .iter()
            .chain(&in_body)
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let sign = all.iter().find(|(name, _)| *name == "sign").unwrap().1;
        let canonical = canonical_string(all.iter().copied());
        verifier.verify(canonical.as_bytes(), sign).unwrap();
        let body_names: Vec<_> = in_body.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(body_names.first(), Some(&"biz_content"));
        assert!(query.contains("charset=utf-8"), "{query}");
        canonical
    }

    #[test]
    fn the_string_that_is_signed_is_the_canonical_one() {
        let content = r#"{"order_title":"红 包&=+%"}"#;
        assert_eq!(
            check(None, None, Method::Disburse),
            format!(
                "app_id=2021&biz_content={content}&charset=utf-8&format=json\
                 &method=alipay.fund.coupon.order.disburse&sign_type=RSA2\
                 &timestamp=2026-11-22 10:00:01&version=1.0"
            )
        );
        assert_eq!(
            check(Some("T+0"), Some("https://me.test/n?a=1&b=2"), Method::Pay),
            format!(
                "app_auth_token=T+0&app_id=2021&biz_content={content}&charset=utf-8&format=json\
                 &method=alipay.fund.coupon.order.agreement.pay&notify_url=https://me.test/n?a=1&b=2\
                 &sign_type=RSA2&timestamp=2026-11-22 10:00:01&version=1.0"
            )
        );
    }

    #[test]
    fn a_query_is_not_notified_of() {
        let canonical = check(None, Some("https://me.test/n"), Method::Query);
        assert!(!canonical.contains("notify_url"), "{canonical}");
    }
}
