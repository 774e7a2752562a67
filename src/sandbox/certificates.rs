//! Certificate mode: a root of the sandbox's own, Alipay's certificate and the app's.

use std::time::Duration;

use rsa::pkcs1v15::{Signature, SigningKey};
use rsa::sha2::{Digest, Sha256};
use x509_cert::builder::{Builder, CertificateBuilder, Profile};
use x509_cert::der::asn1::UtcTime;
use x509_cert::der::pem::LineEnding;
use x509_cert::der::{self, EncodePem};
use x509_cert::name::Name;
use x509_cert::serial_number::SerialNumber;
use x509_cert::spki::SubjectPublicKeyInfoOwned;
use x509_cert::time::{Time, Validity};

use crate::adapters::alipay::certificates::{Certificate, CertificateError};
use crate::adapters::alipay::keys::{PrivateKey, PublicKey};
use crate::domain::time::UnixMillis;

const ROOT_NAME: &str = "CN=Sandbox Root R1,OU=Certification Authority,O=Sandbox,C=CN";
const ALIPAY_NAME: &str = "CN=支付宝(中国)网络技术有限公司-2088000000000001,OU=Alipay,O=支付宝(中国)网络技术有限公司,C=CN";
const APP_NAME: &str = "CN=2088101000000009-2021000000000000,OU=App,O=Sandbox Merchant,C=CN";

/// How long the root is valid. Source of all three: as Alipay's own are, about.
const ROOT_YEARS: u64 = 20;

/// How long a certificate of Alipay's or of the app's is valid.
const LEAF_YEARS: u64 = 5;

const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Why a certificate cannot be made or read.
#[derive(Debug, thiserror::Error)]
pub enum MakeCertificateError {
    /// Encoding failed.
    #[error("encode a certificate")]
    Encode(#[from] der::Error),
    /// Signing failed.
    #[error("sign a certificate")]
    Build(#[from] x509_cert::builder::Error),
    /// The library has no form for the key.
    #[error("certify a key")]
    Key(#[from] x509_cert::spki::Error),
    /// What was made or found is no certificate that Alipay's clients could use.
    #[error("read a certificate")]
    Read(#[from] CertificateError),
}

/// One certificate as text, and what it says.
#[derive(Clone)]
pub(in crate::sandbox) struct Issued {
    pub(in crate::sandbox) pem: String,
    pub(in crate::sandbox) certificate: Certificate,
}

impl Issued {
    pub(in crate::sandbox) fn read(pem: &str) -> Result<Self, MakeCertificateError> {
        Ok(Self {
            pem: pem.to_owned(),
            certificate: Certificate::parse(pem)?,
        })
    }

    /// Whether it certifies this key.
    pub(in crate::sandbox) fn certifies(&self, key: &PublicKey) -> bool {
        self.certificate
            .public_key()
            .is_ok_and(|found| found == *key)
    }
}

/// Whom a certificate is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sandbox) enum Subject {
    Alipay,
    App,
}

/// The sandbox's certification authority.
#[derive(Clone)]
pub(in crate::sandbox) struct Authority {
    key: PrivateKey,
    pub(in crate::sandbox) root: Issued,
}

impl Authority {
    /// An authority with a root that is there already.
    pub(in crate::sandbox) fn with_root(key: PrivateKey, root: Issued) -> Self {
        Self { key, root }
    }

    /// Makes the root of `key`.
    pub(in crate::sandbox) fn new(
        key: PrivateKey,
        now: UnixMillis,
    ) -> Result<Self, MakeCertificateError> {
        let name: Name = ROOT_NAME.parse()?;
        let made = Made {
            profile: Profile::Root,
            name,
            years: ROOT_YEARS,
            key: &key,
        };
        let root = made.signed_by(&key, now)?;
        Ok(Self { key, root })
    }

    /// Certifies a key.
    pub(in crate::sandbox) fn issue(
        &self,
        subject: Subject,
        key: &PrivateKey,
        now: UnixMillis,
    ) -> Result<Issued, MakeCertificateError> {
        let name = match subject {
            Subject::Alipay => ALIPAY_NAME,
            Subject::App => APP_NAME,
        };
        let profile = Profile::Leaf {
            issuer: ROOT_NAME.parse()?,
            enable_key_agreement: false,
            enable_key_encipherment: false,
        };
        let made = Made {
            profile,
            name: name.parse()?,
            years: LEAF_YEARS,
            key,
        };
        made.signed_by(&self.key, now)
    }
}

/// A certificate to be signed.
struct Made<'a> {
    profile: Profile,
    name: Name,
    years: u64,
    key: &'a PrivateKey,
}

impl Made<'_> {
    fn signed_by(
        self,
        issuer: &PrivateKey,
        now: UnixMillis,
    ) -> Result<Issued, MakeCertificateError> {
        let signing: SigningKey<Sha256> = SigningKey::new(issuer.clone().into_numbers());
        let public = self.key.clone().into_numbers().to_public_key();
        let at = Duration::from_millis(now.0);
        // A client's clock may be a little behind.
        let not_before = at.saturating_sub(Duration::from_secs(24 * 60 * 60));
        let years = u32::try_from(self.years).unwrap_or(1);
        let not_after = at.saturating_add(YEAR.saturating_mul(years));
        let instant = |at: Duration| UtcTime::from_unix_duration(Duration::from_secs(at.as_secs()));
        let validity = Validity {
            not_before: Time::UtcTime(instant(not_before)?),
            not_after: Time::UtcTime(instant(not_after)?),
        };
        let serial_number = self.serial_number(now)?;
        let builder = CertificateBuilder::new(
            self.profile,
            serial_number,
            validity,
            self.name,
            SubjectPublicKeyInfoOwned::from_key(public)?,
            &signing,
        )?;
        let certificate = builder.build::<Signature>()?;
        Issued::read(&certificate.to_pem(LineEnding::LF)?)
    }

    /// Of sixteen bytes, and another one for each owner, key and instant.
    fn serial_number(&self, now: UnixMillis) -> Result<SerialNumber, MakeCertificateError> {
        let mut digest = Sha256::new();
        digest.update(self.name.to_string());
        digest.update(self.key.public_key().to_spki_pem());
        digest.update(now.0.to_be_bytes());
        let mut bytes = digest.finalize().to_vec();
        bytes.truncate(16);
        // Positive, and no shorter than it is.
        if let Some(first) = bytes.first_mut() {
            *first = *first & 0x3f | 0x40;
        }
        Ok(SerialNumber::new(&bytes)?)
    }
}

#[cfg(test)]
mod tests {
    use super::{Authority, Subject};
    use crate::adapters::alipay::certificates::{CertificateChain, RootBundle};
    use crate::adapters::alipay::keys::PrivateKey;
    use crate::domain::time::UnixMillis;

    const NOW: UnixMillis = UnixMillis(1_795_312_801_234);

    #[test]
    fn what_the_authority_issues_leads_to_its_root_and_has_numbers_of_its_own() {
        let key = PrivateKey::generate().unwrap();
        let authority = Authority::new(PrivateKey::generate().unwrap(), NOW).unwrap();
        let alipay = authority.issue(Subject::Alipay, &key, NOW).unwrap();
        let app = authority.issue(Subject::App, &key, NOW).unwrap();
        let next = authority
            .issue(Subject::Alipay, &key, UnixMillis(NOW.0 + 1))
            .unwrap();
        assert!(alipay.certifies(&key.public_key()));
        assert!(next.certificate.has_owner_of(&alipay.certificate));
        assert!(!app.certificate.has_owner_of(&alipay.certificate));
        let all = [&authority.root, &alipay, &app, &next];
        for (index, one) in all.iter().enumerate() {
            for other in &all[..index] {
                assert_ne!(
                    one.certificate.serial_number(),
                    other.certificate.serial_number()
                );
            }
        }
        let roots = RootBundle::parse(&authority.root.pem).unwrap();
        let chain = CertificateChain::parse(&alipay.pem).unwrap();
        let seconds = |years: i64| 1_795_312_801 + years * 365 * 86_400;
        assert_eq!(roots.verify(&chain, seconds(0)), Ok(()));
        assert!(roots.verify(&chain, seconds(6)).is_err());
    }
}
