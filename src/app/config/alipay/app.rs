//! The table `[alipay.apps.NAME]`: who an app is, and all its keys.

use std::path::PathBuf;

use secrecy::{ExposeSecret, SecretString};

use crate::app::config::document::RawValue;
use crate::app::config::reader::{GivenSource, Lookup, Reader};
use crate::app::config::values::{self, Fault};

/// `[alipay.apps.NAME]`: one Alipay application.
#[derive(Debug, Clone)]
pub struct AlipayAppConfig {
    /// The application's id, 16 to 32 digits.
    pub app_id: String,
    /// How its requests are signed.
    pub sign_type: SignType,
    /// What its requests are written in.
    pub charset: Charset,
    /// The application's private key, as it was given: parsed by whoever signs.
    pub private_key: SecretString,
    /// Alipay's public keys for this application, as they were given: one, or several while
    /// Alipay's key is exchanged. Empty in certificate mode.
    pub alipay_public_key: SecretString,
    /// Certificate mode, in place of Alipay's public key.
    pub certificates: Option<AlipayCertificates>,
    /// The key of content encryption.
    pub aes_key: Option<SecretString>,
    /// The token by which a merchant lets this application act for it.
    pub app_auth_token: Option<SecretString>,
    /// Where Alipay sends its notifications.
    pub notify_url: Option<String>,
    /// Which of the values above were read from files.
    pub files: Vec<KeyFile>,
}

/// The three certificates of certificate mode, as they were given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlipayCertificates {
    /// The application's own.
    pub app_cert: String,
    /// Alipay's for the application.
    pub alipay_cert: String,
    /// Alipay's roots.
    pub alipay_root_cert: String,
}

/// A value that was read from a file of its own, which may change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyFile {
    /// Which value.
    pub field: KeyField,
    /// Where it was read.
    pub path: PathBuf,
}

/// How requests are signed. Source: Alipay, `sign_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignType {
    /// RSA with SHA-256, keys of 2,048 bits.
    Rsa2,
    /// RSA with SHA-1: for old applications.
    Rsa,
}

/// What requests are written in. Source: Alipay, `charset`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Charset {
    /// UTF-8.
    Utf8,
    /// GBK.
    Gbk,
}

/// A value that may stand in a file of its own, which is read again when it changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyField {
    /// [`AlipayAppConfig::private_key`].
    PrivateKey,
    /// [`AlipayAppConfig::alipay_public_key`].
    AlipayPublicKey,
    /// [`AlipayCertificates::app_cert`].
    AppCert,
    /// [`AlipayCertificates::alipay_cert`].
    AlipayCert,
    /// [`AlipayCertificates::alipay_root_cert`].
    AlipayRootCert,
    /// [`AlipayAppConfig::aes_key`].
    AesKey,
    /// [`AlipayAppConfig::app_auth_token`].
    AppAuthToken,
}

impl KeyField {
    /// Every one.
    pub const ALL: [Self; 7] = [
        Self::PrivateKey,
        Self::AlipayPublicKey,
        Self::AppCert,
        Self::AlipayCert,
        Self::AlipayRootCert,
        Self::AesKey,
        Self::AppAuthToken,
    ];

    /// The plain name of its key: with `_file` after it, that of its file.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PrivateKey => "private_key",
            Self::AlipayPublicKey => "alipay_public_key",
            Self::AppCert => "app_cert",
            Self::AlipayCert => "alipay_cert",
            Self::AlipayRootCert => "alipay_root_cert",
            Self::AesKey => "aes_key",
            Self::AppAuthToken => "app_auth_token",
        }
    }
}

impl AlipayAppConfig {
    /// Returns a value as it was given; empty if it was not.
    #[must_use]
    pub fn value(&self, field: KeyField) -> &str {
        let certificates = self.certificates.as_ref();
        match field {
            KeyField::PrivateKey => self.private_key.expose_secret(),
            KeyField::AlipayPublicKey => self.alipay_public_key.expose_secret(),
            KeyField::AppCert => certificates.map_or("", |given| &given.app_cert),
            KeyField::AlipayCert => certificates.map_or("", |given| &given.alipay_cert),
            KeyField::AlipayRootCert => certificates.map_or("", |given| &given.alipay_root_cert),
            KeyField::AesKey => self
                .aes_key
                .as_ref()
                .map_or("", ExposeSecret::expose_secret),
            KeyField::AppAuthToken => {
                let token = self.app_auth_token.as_ref();
                token.map_or("", ExposeSecret::expose_secret)
            }
        }
    }

    /// Puts another value in the place of one that was given.
    pub fn set_value(&mut self, field: KeyField, value: &SecretString) {
        let mut certificate = |pick: fn(&mut AlipayCertificates) -> &mut String| {
            if let Some(certificates) = &mut self.certificates {
                value.expose_secret().clone_into(pick(certificates));
            }
        };
        match field {
            KeyField::PrivateKey => self.private_key = value.clone(),
            KeyField::AlipayPublicKey => self.alipay_public_key = value.clone(),
            KeyField::AppCert => certificate(|given| &mut given.app_cert),
            KeyField::AlipayCert => certificate(|given| &mut given.alipay_cert),
            KeyField::AlipayRootCert => certificate(|given| &mut given.alipay_root_cert),
            KeyField::AesKey => self.aes_key = Some(value.clone()),
            KeyField::AppAuthToken => self.app_auth_token = Some(value.clone()),
        }
    }
}

impl AlipayAppConfig {
    pub(super) fn read(reader: &mut Reader, name: &str) -> Self {
        let key = |key: &str| format!("alipay.apps.{name}.{key}");
        let app_id_key = key("app_id");
        let app_id = reader.value(&app_id_key, app_id);
        if app_id.is_none() && !reader.is_faulty(&app_id_key) {
            let remedy = "write the id that Alipay's console shows, in double quotes";
            reader.missing(&app_id_key, remedy.to_owned());
        }
        let sign_types = [("RSA2", SignType::Rsa2), ("RSA", SignType::Rsa)];
        let sign_type = reader.word(&key("sign_type"), SignType::Rsa2, &sign_types);
        let charsets = [("utf-8", Charset::Utf8), ("gbk", Charset::Gbk)];
        let charset = reader.word(&key("charset"), Charset::Utf8, &charsets);
        let private_key =
            reader.required_secret(&key("private_key"), "the application's private key");
        let (alipay_public_key, certificates) = read_trust(reader, name);
        Self {
            app_id: app_id.unwrap_or_default(),
            sign_type,
            charset,
            private_key: private_key.unwrap_or_default(),
            alipay_public_key: alipay_public_key.unwrap_or_default(),
            certificates,
            aes_key: reader.secret(&key("aes_key")),
            app_auth_token: reader.secret(&key("app_auth_token")),
            notify_url: reader.value(&key("notify_url"), values::web_url),
            files: KeyField::ALL
                .into_iter()
                .filter_map(|field| {
                    let path = reader.file_of(&key(field.as_str()))?;
                    Some(KeyFile { field, path })
                })
                .collect(),
        }
    }
}

/// Reads Alipay's keys or the three certificates: one of the two, and the whole of it.
fn read_trust(
    reader: &mut Reader,
    name: &str,
) -> (Option<SecretString>, Option<AlipayCertificates>) {
    let key = |key: &str| format!("alipay.apps.{name}.{key}");
    let public_key = read_public_keys(reader, &key("alipay_public_key"));
    let fields = ["app_cert", "alipay_cert", "alipay_root_cert"];
    let mut is_given = |field: &str| {
        let names = [key(field), format!("{}_file", key(field))];
        names.iter().any(|name| reader.is_given(name))
    };
    let given = fields.map(&mut is_given);
    let has_public_key = is_given("alipay_public_key");
    let mut text = |field| reader.text_or_file(&key(field)).unwrap_or_default();
    let certificates = fields.map(&mut text);
    if !given.contains(&true) {
        if !has_public_key {
            let what = "Alipay's public key for this application (not the application's own)";
            let remedy = format!("give {what} as alipay_public_key_file, or in place");
            reader.missing(&key("alipay_public_key"), remedy);
        }
        return (public_key, None);
    }
    for (field, is_given) in fields.into_iter().zip(given) {
        if !is_given {
            let remedy = format!(
                "certificate mode needs app_cert_file, alipay_cert_file and alipay_root_cert_file: \
                 give {field}_file, or in place"
            );
            reader.missing(&key(field), remedy);
        }
    }
    if has_public_key {
        let fault = "is given, and certificates of certificate mode too";
        let remedy = "take alipay_public_key out for certificate mode, or all three certificates";
        let key = key("alipay_public_key");
        let file_key = format!("{key}_file");
        let given = if reader.is_given(&key) { key } else { file_key };
        reader.add(&given, Fault::new(fault, remedy));
    }
    let [app_cert, alipay_cert, alipay_root_cert] = certificates;
    let certificates = AlipayCertificates {
        app_cert,
        alipay_cert,
        alipay_root_cert,
    };
    (public_key, Some(certificates))
}

/// Reads one key, or a list of them; a file holds them one after the other.
fn read_public_keys(reader: &mut Reader, key: &str) -> Option<SecretString> {
    let given = match reader.in_place_or_file(key) {
        Lookup::Absent | Lookup::Faulty => return None,
        Lookup::Given(given) => given,
    };
    let keys = match (&given.value, given.source) {
        (RawValue::List(_), GivenSource::InPlace) => {
            // The empty line keeps keys of several lines apart.
            values::list(&given.value).map(|keys| keys.join("\n\n"))
        }
        (value, _) => values::text(value).map(|text| text.trim().to_owned()),
    };
    match keys {
        Ok(keys) => Some(SecretString::from(keys)),
        Err(fault) => {
            reader.add(&given.key, fault);
            None
        }
    }
}

/// No fault quotes the value: a key may have been pasted here.
fn app_id(raw: &RawValue) -> Result<String, Fault> {
    let text = values::text(raw)?;
    let is_id = (16..=32).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    if is_id {
        return Ok(text.to_owned());
    }
    let remedy = "write the 16 to 32 digits that Alipay's console shows";
    Err(Fault::new("is not an application id", remedy))
}
