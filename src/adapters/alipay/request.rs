//! A signed request: what does not change is made once per app and interface.
//!
//! Only `charset` is in the query: without it there the gateway reads the body as GBK. All else is
//! in the form body, as from Alipay's PHP SDK for pages. The gateway merges both, so the layout is
//! ours to choose: a signature and a token in an address would stand in the logs of whatever is on
//! the way, and a long address costs the HTTP client as much as a tenth of a signature.
//!
//! Values are signed, encrypted and percent-encoded as bytes of the app's charset. With a content
//! key the content is encrypted first, and what is signed is the ciphertext.

use std::borrow::Cow;

use secrecy::{ExposeSecret, SecretString};

use crate::adapters::alipay::content_key::{ContentKey, EncryptError};
use crate::adapters::alipay::method::Method;
use crate::adapters::alipay::sign::{SignError, Signer, canonical_string};
use crate::adapters::alipay::wire::{
    Charset, NoSuchCharacter, form_encode, form_encode_bytes, timestamp_gmt8,
};
use crate::domain::time::UnixMillis;

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
    /// What the request's texts are written in.
    pub charset: Charset,
    /// The numbers of the app's own and of Alipay's root certificates, in certificate mode.
    pub certificate_numbers: Option<CertificateNumbers<'a>>,
    /// Whether the content is encrypted.
    pub encryption: Encryption,
    /// The token of a merchant for whom the app acts.
    pub app_auth_token: Option<&'a SecretString>,
    /// Where Alipay sends its notifications to.
    pub notify_url: Option<&'a str>,
    /// Where the cashier page sends the payer's browser back to.
    pub return_url: Option<&'a str>,
}

/// What certificate mode adds to every request. Source: Alipay open platform, `app_cert_sn` and
/// `alipay_root_cert_sn`.
#[derive(Clone, Copy)]
pub struct CertificateNumbers<'a> {
    /// The SN of the app's own certificate.
    pub app: &'a str,
    /// The SN of the bundle of Alipay's roots.
    pub root: &'a str,
}

/// Whether the content of requests is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encryption {
    /// It goes as it is, under TLS.
    None,
    /// `encrypt_type=AES`.
    Aes,
}

/// Why a request cannot be made; nothing of it was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// The content has a character that the app's charset has not.
    #[error("write the content in the app's charset")]
    Charset(#[source] NoSuchCharacter),
    /// The library failed.
    #[error("encrypt the content")]
    Encrypt(#[source] EncryptError),
    /// The library failed.
    #[error("sign the request")]
    Sign(#[source] SignError),
}

/// What makes a request the app's own.
#[derive(Clone, Copy)]
pub struct Seal<'a> {
    /// Signs it.
    pub signer: &'a Signer,
    /// Encrypts the content, where the template says so.
    pub content_key: Option<&'a ContentKey>,
}

/// The constant parts of one app's requests to one interface.
pub struct Template {
    /// The string to sign, up to the value of `biz_content`.
    canonical_head: String,
    /// From after that value up to the value of `timestamp`.
    canonical_middle: String,
    /// From after that value to the end.
    canonical_tail: String,
    /// Address and query.
    url: String,
    /// What follows `biz_content` in the body, all but `timestamp` and `sign`.
    body_tail: String,
    charset: Charset,
}

/// A request that is ready to be sent once; its signature is a secret.
pub struct SignedRequest {
    /// Address and query.
    pub url: String,
    /// The form.
    pub body: String,
    /// What query and body are written in.
    pub charset: Charset,
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
        Self::named(params, method.as_str(), notify_url)
    }

    /// Makes the constant parts of requests to an interface of another product, by its name.
    #[must_use]
    pub(super) fn named(params: &PublicParams<'_>, method: &str, notify_url: Option<&str>) -> Self {
        let encrypt_type = match params.encryption {
            Encryption::None => None,
            Encryption::Aes => Some(("encrypt_type", "AES")),
        };
        let numbers = params.certificate_numbers.map(|numbers| {
            [
                ("app_cert_sn", numbers.app),
                ("alipay_root_cert_sn", numbers.root),
            ]
        });
        let charset = ("charset", params.charset.as_str());
        let token = params
            .app_auth_token
            .map(|token| ("app_auth_token", token.expose_secret()));
        let in_body: Vec<(&str, &str)> = [
            ("app_id", params.app_id),
            FORMAT,
            ("method", method),
            ("sign_type", params.sign_type),
            VERSION,
        ]
        .into_iter()
        .chain(notify_url.map(|url| ("notify_url", url)))
        .chain(numbers.into_iter().flatten())
        .chain(encrypt_type)
        .chain(params.return_url.map(|url| ("return_url", url)))
        .chain(token)
        .collect();
        // Sorted by name, what changes cuts the string in three.
        let part = |from: &str, to: &str| {
            let inside = in_body
                .iter()
                .copied()
                .chain([charset])
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
        Self {
            canonical_head: join("", part("", "biz_content"), "&biz_content="),
            canonical_middle: join("&", part("biz_content", "timestamp"), "&timestamp="),
            canonical_tail: join("&", part("timestamp", "~"), ""),
            url: format!("{}?{}", params.gateway_url, form_encode([charset])),
            body_tail: form_encode(in_body),
            charset: params.charset,
        }
    }

    /// Signs a request with `biz_content` at the instant `now`.
    ///
    /// # Errors
    ///
    /// [`RequestError`], which leaves nothing sent.
    pub fn sign(
        &self,
        seal: Seal<'_>,
        biz_content: &str,
        now: UnixMillis,
    ) -> Result<SignedRequest, RequestError> {
        let content = self
            .charset
            .encode(biz_content)
            .map_err(RequestError::Charset)?;
        let content: Cow<'_, [u8]> = match seal.content_key {
            None => content,
            Some(key) => {
                let encrypted = key.encrypt(&content).map_err(RequestError::Encrypt)?;
                Cow::Owned(encrypted.into_bytes())
            }
        };
        let timestamp = timestamp_gmt8(now.0);
        let canonical = [
            self.canonical_head.as_bytes(),
            &content,
            self.canonical_middle.as_bytes(),
            timestamp.as_bytes(),
            self.canonical_tail.as_bytes(),
        ]
        .concat();
        let sign = seal.signer.sign(&canonical).map_err(RequestError::Sign)?;
        let changing = form_encode([("timestamp", timestamp), ("sign", sign)]);
        let content = form_encode_bytes([("biz_content", content)]);
        Ok(SignedRequest {
            url: self.url.clone(),
            body: [content.as_str(), "&", &self.body_tail, "&", &changing].concat(),
            charset: self.charset,
        })
    }
}

#[cfg(test)]
mod tests;
