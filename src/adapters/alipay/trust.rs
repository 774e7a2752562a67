//! Whose signature under an answer counts: that of one of several keys, or, in certificate mode,
//! of a certificate that goes back to Alipay's roots.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::adapters::alipay::certificates::{
    Certificate, CertificateChain, CertificateError, ChainError, RootBundle,
};
use crate::adapters::alipay::keys::{KeyError, PublicKey};
use crate::adapters::alipay::sign::{SignType, Verifier};
use crate::domain::time::Monotonic;

/// How many downloaded certificates an app keeps; Alipay exchanges one in years.
const DOWNLOADED_MAX: usize = 4;

/// How long after a download that brought nothing the next one waits. Whoever makes up numbers
/// of certificates causes one call in that time, and no more.
const DOWNLOAD_PAUSE: Duration = Duration::from_secs(10);

/// Keys by which answers are verified.
pub(super) enum Trust {
    /// Alipay's public keys: an answer that any of them verifies is verified.
    Keys(Vec<Arc<Verifier>>),
    /// Certificate mode.
    Certificates(Box<CertificateTrust>),
}

/// Certificate mode: the certificate that was given, the roots, and what was downloaded since.
pub(super) struct CertificateTrust {
    given: Certificate,
    verifier: Arc<Verifier>,
    roots: RootBundle,
    sign_type: SignType,
    downloaded: Mutex<Vec<Downloaded>>,
    /// Held by whoever downloads; the instant before which nobody tries again.
    pub(super) downloading: tokio::sync::Mutex<Option<Monotonic>>,
}

/// A certificate that was downloaded and is trusted.
pub(super) struct Downloaded {
    serial_number: String,
    verifier: Arc<Verifier>,
    not_after: i64,
}

impl Downloaded {
    /// Its key.
    pub(super) fn verifier(&self) -> &Verifier {
        &self.verifier
    }
}

/// Why a downloaded certificate is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum DistrustError {
    /// It cannot be read.
    #[error("read the downloaded certificate")]
    Certificate(#[source] CertificateError),
    /// Its key cannot be used.
    #[error("use the downloaded certificate's key")]
    Key(#[source] KeyError),
    /// It is another one.
    #[error("the downloaded certificate has another number than the answer named")]
    Other,
    /// Somebody else's.
    #[error("the downloaded certificate is for another owner than the configured one")]
    Owner,
    /// No chain to a root.
    #[error("trust the downloaded certificate")]
    Chain(#[source] ChainError),
}

impl CertificateTrust {
    /// Loads the key of the certificate that was given.
    pub(super) fn new(
        given: Certificate,
        roots: RootBundle,
        sign_type: SignType,
    ) -> Result<Self, DistrustError> {
        let verifier = verifier(&given, sign_type)?;
        Ok(Self {
            given,
            verifier,
            roots,
            sign_type,
            downloaded: Mutex::new(Vec::new()),
            downloading: tokio::sync::Mutex::new(None),
        })
    }

    /// The verifier of the certificate with this number; without one, that of the given
    /// certificate. `None` for a number that is not known yet.
    pub(super) fn verifier(&self, serial_number: Option<&str>) -> Option<Arc<Verifier>> {
        let Some(serial_number) = serial_number else {
            return Some(Arc::clone(&self.verifier));
        };
        if serial_number == self.given.serial_number() {
            return Some(Arc::clone(&self.verifier));
        }
        let downloaded = self
            .downloaded
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let known = downloaded
            .iter()
            .find(|known| known.serial_number == serial_number);
        known.map(|known| Arc::clone(&known.verifier))
    }

    /// Reads a downloaded certificate that leads to a root, belongs to the owner of the given
    /// one, and has the number that an answer named.
    pub(super) fn trusted(
        &self,
        text: &str,
        serial_number: &str,
        unix_seconds: i64,
    ) -> Result<Downloaded, DistrustError> {
        let chain = CertificateChain::parse(text).map_err(DistrustError::Certificate)?;
        let leaf = chain.leaf();
        if leaf.serial_number() != serial_number {
            return Err(DistrustError::Other);
        }
        // Alipay's authority certifies the keys of other merchants as well.
        if !leaf.has_owner_of(&self.given) {
            return Err(DistrustError::Owner);
        }
        self.roots
            .verify(&chain, unix_seconds)
            .map_err(DistrustError::Chain)?;
        Ok(Downloaded {
            serial_number: serial_number.to_owned(),
            verifier: verifier(leaf, self.sign_type)?,
            not_after: leaf.not_after(),
        })
    }

    /// Keeps a certificate for the answers to come.
    pub(super) fn keep(&self, certificate: Downloaded) -> Arc<Verifier> {
        let verifier = Arc::clone(&certificate.verifier);
        let mut downloaded = self
            .downloaded
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if downloaded.len() >= DOWNLOADED_MAX {
            downloaded.remove(0);
        }
        downloaded.push(certificate);
        verifier
    }

    /// When the next download may be tried, after one at `now` that brought nothing.
    pub(super) fn pause_after(now: Monotonic) -> Monotonic {
        now.plus(DOWNLOAD_PAUSE)
    }

    /// The last second of the given certificate, of the root that ends last, and of the newest
    /// downloaded certificate, in Unix seconds.
    pub(super) fn not_after(&self) -> (i64, Option<i64>, Option<i64>) {
        let downloaded = self
            .downloaded
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        (
            self.given.not_after(),
            self.roots.roots().iter().map(Certificate::not_after).max(),
            downloaded.last().map(|newest| newest.not_after),
        )
    }
}

fn verifier(
    certificate: &Certificate,
    sign_type: SignType,
) -> Result<Arc<Verifier>, DistrustError> {
    let key: PublicKey = certificate
        .public_key()
        .map_err(DistrustError::Certificate)?;
    let verifier = Verifier::new(key, sign_type).map_err(DistrustError::Key)?;
    Ok(Arc::new(verifier))
}

impl fmt::Debug for CertificateTrust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CertificateTrust({})", self.given.serial_number())
    }
}
