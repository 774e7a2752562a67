//! X.509 as Alipay's certificate mode uses it: serial numbers, the root bundle, chains.
//!
//! Alipay's own word "SN" is not the certificate's serial number but a digest of issuer and
//! serial; here it is [`Certificate::serial_number`]. Source: the function `getCertSN` of
//! Alipay's Java SDK (`AntCertificationUtil`), and its counterparts in PHP and Node.

use std::fmt;

use aws_lc_rs::signature::{
    ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384,
    RSA_PKCS1_2048_8192_SHA512, RsaParameters,
};
use md5::{Digest, Md5};
use x509_parser::prelude::{FromDer, X509Certificate, X509Version};

use crate::adapters::alipay::certificates::name::issuer_text;
use crate::adapters::alipay::certificates::pem::first_block;
use crate::adapters::alipay::keys::{KeyError, PublicKey};

mod bundle;
mod name;
mod pem;

pub use crate::adapters::alipay::certificates::bundle::{
    BundleError, CertificateChain, ChainError, RootBundle,
};

/// Every RSA signature algorithm is below this one. Source: RFC 8017, `pkcs-1`.
const PKCS1_ARC: &str = "1.2.840.113549.1.1.";

/// Why a text is no certificate. Holds no part of the text, which may be a pasted key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// There is nothing but blanks.
    #[error("the certificate is empty")]
    Empty,
    /// A `BEGIN` line without its `END` line.
    #[error("a PEM without its END line")]
    PemUnfinished,
    /// Neither PEM nor base64.
    #[error("neither a PEM certificate nor the base64 of one")]
    NotBase64,
    /// A PEM block of something else, such as a key.
    #[error("{found} where an X.509 certificate belongs")]
    Misplaced {
        /// What the armour or the structure calls itself.
        found: &'static str,
    },
    /// Base64 of something that is no certificate, or of half of one.
    #[error("not an X.509 certificate, or one that is cut short")]
    Malformed,
    /// The certified key cannot be used.
    #[error("the key in the certificate cannot be used")]
    Key(#[source] KeyError),
}

/// One X.509 certificate, read but not yet trusted.
#[derive(Clone, PartialEq, Eq)]
pub struct Certificate {
    der: Vec<u8>,
    serial_number: String,
    not_before: i64,
    not_after: i64,
    issuer: Vec<u8>,
    subject: Vec<u8>,
    organization: Option<String>,
    authority: Authority,
    signature_oid: String,
    spki: Vec<u8>,
}

/// Whether a certificate may sign others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Authority {
    /// It says that it may not, or says nothing.
    None,
    /// It may; with at most so many authorities between itself and the end.
    Limited(u32),
    /// It may.
    Unlimited,
    /// A certificate of the first version cannot say; only a root that was given may be one.
    Unsaid,
}

impl Certificate {
    /// Reads the first certificate of a text: PEM with anything around it, or bare base64.
    ///
    /// The file that Alipay's console offers as its certificate holds the authority's after it;
    /// [`CertificateChain::parse`] reads them all.
    ///
    /// # Errors
    ///
    /// A [`CertificateError`] that names what was found instead.
    pub fn parse(text: &str) -> Result<Self, CertificateError> {
        Self::from_der(&first_block(text)?)
    }

    /// Reads a certificate from its bytes.
    ///
    /// # Errors
    ///
    /// [`CertificateError::Malformed`], also for bytes after the certificate.
    pub fn from_der(der: &[u8]) -> Result<Self, CertificateError> {
        let (rest, certificate) =
            X509Certificate::from_der(der).map_err(|_position| CertificateError::Malformed)?;
        // Java prints a negative serial with its sign; RFC 5280 4.1.2.2 forbids it.
        let is_negative = certificate.raw_serial().first().is_some_and(|&b| b >= 0x80);
        if !rest.is_empty() || is_negative {
            return Err(CertificateError::Malformed);
        }
        let issuer = issuer_text(certificate.issuer()).ok_or(CertificateError::Malformed)?;
        let serial = certificate.serial.to_string();
        let constraints = certificate
            .basic_constraints()
            .map_err(|_twice| CertificateError::Malformed)?;
        // RFC 5280 4.2.1.3: who says what the key is for must say that it signs certificates.
        let signs_certificates = certificate
            .key_usage()
            .map_err(|_twice| CertificateError::Malformed)?
            .is_none_or(|usage| usage.value.key_cert_sign());
        let authority = match constraints.map(|extension| extension.value) {
            Some(constraints) if constraints.ca && signs_certificates => {
                let limit = constraints.path_len_constraint;
                limit.map_or(Authority::Unlimited, Authority::Limited)
            }
            None if certificate.version() == X509Version::V1 => Authority::Unsaid,
            Some(_) | None => Authority::None,
        };
        let organization = certificate.subject().iter_organization().next();
        Ok(Self {
            serial_number: serial_number(&issuer, &serial),
            not_before: certificate.validity().not_before.timestamp(),
            not_after: certificate.validity().not_after.timestamp(),
            issuer: certificate.issuer().as_raw().to_vec(),
            subject: certificate.subject().as_raw().to_vec(),
            organization: organization
                .and_then(|value| value.as_str().ok())
                .map(str::to_owned),
            authority,
            signature_oid: certificate.signature_algorithm.algorithm.to_id_string(),
            spki: certificate.public_key().raw.to_vec(),
            der: der.to_vec(),
        })
    }

    /// Returns Alipay's SN: 32 lower-case hexadecimal digits, the MD5 of the issuer's name, most
    /// specific part first, and the serial number in decimal.
    #[must_use]
    pub fn serial_number(&self) -> &str {
        &self.serial_number
    }

    /// Returns the certified key, if it is one of RSA with 1024 to 4096 bits.
    ///
    /// # Errors
    ///
    /// [`CertificateError::Key`] for any other.
    pub fn public_key(&self) -> Result<PublicKey, CertificateError> {
        PublicKey::from_der(&self.spki).map_err(CertificateError::Key)
    }

    /// Returns the first second of its validity, in Unix seconds.
    #[must_use]
    pub fn not_before(&self) -> i64 {
        self.not_before
    }

    /// Returns the last second of its validity, in Unix seconds.
    #[must_use]
    pub fn not_after(&self) -> i64 {
        self.not_after
    }

    /// Tells whether it is valid at an instant, in Unix seconds.
    #[must_use]
    pub fn is_valid_at(&self, unix_seconds: i64) -> bool {
        (self.not_before..=self.not_after).contains(&unix_seconds)
    }

    /// Tells whether it is signed with RSA, whatever the digest.
    #[must_use]
    pub fn is_signed_with_rsa(&self) -> bool {
        self.signature_oid.starts_with(PKCS1_ARC)
    }

    /// Tells whether both certify the same owner: the same organization, or without one the
    /// same whole name.
    #[must_use]
    pub fn has_owner_of(&self, other: &Self) -> bool {
        match (&self.organization, &other.organization) {
            (Some(ours), Some(theirs)) => ours == theirs,
            (None, None) => self.subject == other.subject,
            (Some(_), None) | (None, Some(_)) => false,
        }
    }

    /// Returns the certificate's bytes.
    #[must_use]
    pub fn as_der(&self) -> &[u8] {
        &self.der
    }

    /// Tells whether `issuer` is named as the issuer and its key made the signature.
    fn is_signed_by(&self, issuer: &Self) -> bool {
        if self.issuer != issuer.subject {
            return false;
        }
        let Some(algorithm) = self.signature_algorithm() else {
            return false;
        };
        let Ok(key) = issuer.public_key().and_then(|key| {
            key.into_pkcs1_der("a certificate", 2048)
                .map_err(CertificateError::Key)
        }) else {
            return false;
        };
        let Ok(key) = ParsedPublicKey::new(algorithm, key) else {
            return false;
        };
        // Read before, so it can be read again.
        let Ok((_, certificate)) = X509Certificate::from_der(&self.der) else {
            return false;
        };
        // RFC 5280 4.1.1.2: what is signed names the same algorithm.
        certificate.signature_algorithm == certificate.tbs_certificate.signature
            && key
                .verify_sig(
                    certificate.tbs_certificate.as_ref(),
                    &certificate.signature_value.data,
                )
                .is_ok()
    }

    /// The algorithms that a chain may have; SHA-1 can be forged. Source: RFC 8017 A.2.4.
    fn signature_algorithm(&self) -> Option<&'static RsaParameters> {
        match self.signature_oid.strip_prefix(PKCS1_ARC)? {
            "11" => Some(&RSA_PKCS1_2048_8192_SHA256),
            "12" => Some(&RSA_PKCS1_2048_8192_SHA384),
            "13" => Some(&RSA_PKCS1_2048_8192_SHA512),
            _ => None,
        }
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Certificate({})", self.serial_number)
    }
}

/// The MD5 of both, as Alipay writes it.
fn serial_number(issuer: &str, serial: &str) -> String {
    let digest = Md5::new()
        .chain_update(issuer.as_bytes())
        .chain_update(serial.as_bytes())
        .finalize();
    let mut text = String::with_capacity(32);
    for byte in digest {
        text.push_str(&format!("{byte:02x}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::serial_number;

    /// Everything else is in `tests/it/certificates.rs`, against openssl.
    ///
    /// Source: issuer, serial number and SN of the certificate in the tests of Alipay's Node SDK.
    #[test]
    fn the_number_of_a_real_certificate_is_the_one_that_alipay_knows() {
        let issuer = "CN=Ant Financial Certification Authority Class 2 R1,\
                      OU=Certification Authority,O=Ant Financial,C=CN";
        assert_eq!(
            serial_number(issuer, "42701552432456004857627230056898180491"),
            "7513daaaa48aa3ba2e4018d84402479c"
        );
    }
}
