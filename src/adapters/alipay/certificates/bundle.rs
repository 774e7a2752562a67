//! Alipay's root certificates, and whether somebody's certificate goes back to one of them.

use crate::adapters::alipay::certificates::pem::blocks;
use crate::adapters::alipay::certificates::{Authority, Certificate, CertificateError};

/// How many authorities may stand between a certificate and its root.
const INTERMEDIATES_MAX: usize = 4;

/// The most certificates that are read of one text; Alipay's bundle has four.
const CERTIFICATES_MAX: usize = 64;

/// Why a text is no bundle of roots.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// Not one certificate in it can be used.
    #[error("no certificate signed with RSA among the {certificates} in the file")]
    NoRoot {
        /// How many certificates were looked at.
        certificates: usize,
        /// What is wrong with the first of them.
        #[source]
        first: Option<CertificateError>,
    },
    /// So many that it must be another file.
    #[error("more than {CERTIFICATES_MAX} certificates: this is not Alipay's root file")]
    TooMany,
}

/// Why a certificate is not trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// A certificate of the chain is not valid yet, or not any more.
    #[error("a certificate of the chain is not valid at this time")]
    NotValid,
    /// No chain of good signatures leads to a root of the bundle.
    #[error("no chain of signatures leads to a root certificate")]
    NoRoot,
}

/// Alipay's root certificates: whom to trust, and the SN of them all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootBundle {
    roots: Vec<Certificate>,
    serial_number: String,
    other_algorithms: usize,
    broken: usize,
}

impl RootBundle {
    /// Reads the bundle that Alipay offers as `alipayRootCert.crt`.
    ///
    /// Certificates of other algorithms than RSA are passed over, as are those that cannot be
    /// read: one of Alipay's has an encoding that strict readers refuse.
    ///
    /// # Errors
    ///
    /// [`BundleError`] when nothing is left.
    pub fn parse(text: &str) -> Result<Self, BundleError> {
        let blocks = blocks(text);
        let certificates = blocks.len();
        if certificates > CERTIFICATES_MAX {
            return Err(BundleError::TooMany);
        }
        let mut roots = Vec::new();
        let mut first = None;
        let (mut other_algorithms, mut broken) = (0, 0);
        for block in blocks {
            match block.and_then(|der| Certificate::from_der(&der)) {
                Ok(certificate) if certificate.is_signed_with_rsa() => roots.push(certificate),
                Ok(_) => other_algorithms += 1,
                Err(error) => {
                    broken += 1;
                    first.get_or_insert(error);
                }
            }
        }
        if roots.is_empty() {
            return Err(BundleError::NoRoot {
                certificates,
                first,
            });
        }
        let numbers: Vec<&str> = roots.iter().map(Certificate::serial_number).collect();
        Ok(Self {
            serial_number: numbers.join("_"),
            roots,
            other_algorithms,
            broken,
        })
    }

    /// Returns the value of `alipay_root_cert_sn`: the SN of each root that is signed with RSA,
    /// in the bundle's order, joined by `_`.
    #[must_use]
    pub fn serial_number(&self) -> &str {
        &self.serial_number
    }

    /// Returns the certificates that are signed with RSA, in the bundle's order.
    #[must_use]
    pub fn roots(&self) -> &[Certificate] {
        &self.roots
    }

    /// Returns how many certificates of other algorithms were passed over.
    #[must_use]
    pub fn other_algorithms(&self) -> usize {
        self.other_algorithms
    }

    /// Returns how many blocks could not be read.
    #[must_use]
    pub fn broken(&self) -> usize {
        self.broken
    }

    /// Checks that `chain` leads to a root of this bundle at an instant, in Unix seconds.
    ///
    /// Every signature is RSA with SHA-256 or better, every certificate is valid at the instant,
    /// and every one above the first may sign certificates.
    ///
    /// # Errors
    ///
    /// [`ChainError`]; a chain that is broken in two ways is told by one of them.
    pub fn verify(&self, chain: &CertificateChain, unix_seconds: i64) -> Result<(), ChainError> {
        let mut expired = false;
        let mut last = &chain.leaf;
        for below in 0..=INTERMEDIATES_MAX {
            if !last.is_valid_at(unix_seconds) {
                return Err(ChainError::NotValid);
            }
            for root in self.roots.iter().filter(|root| last.is_signed_by(root)) {
                if root.may_sign_above(below) || root.authority == Authority::Unsaid {
                    if root.is_valid_at(unix_seconds) {
                        return Ok(());
                    }
                    expired = true;
                }
            }
            let next = chain.others.iter().find(|other| {
                other.may_sign_above(below) && *other != last && last.is_signed_by(other)
            });
            match next {
                Some(next) => last = next,
                None => break,
            }
        }
        Err(if expired {
            ChainError::NotValid
        } else {
            ChainError::NoRoot
        })
    }
}

impl Certificate {
    /// Tells whether it may sign one that has `below` authorities below itself.
    fn may_sign_above(&self, below: usize) -> bool {
        match self.authority {
            Authority::Unlimited => true,
            Authority::Limited(limit) => usize::try_from(limit).is_ok_and(|limit| below <= limit),
            Authority::None | Authority::Unsaid => false,
        }
    }
}

/// A certificate, and those that were handed out with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateChain {
    leaf: Certificate,
    others: Vec<Certificate>,
}

impl CertificateChain {
    /// Reads a certificate and whatever follows it: PEM blocks, or bare base64 of one.
    ///
    /// # Errors
    ///
    /// [`CertificateError`] for the first certificate; those after it may be unreadable.
    pub fn parse(text: &str) -> Result<Self, CertificateError> {
        let leaf = Certificate::parse(text)?;
        let others = blocks(text)
            .into_iter()
            .take(CERTIFICATES_MAX)
            .flatten()
            .filter_map(|der| Certificate::from_der(&der).ok())
            .filter(|other| *other != leaf)
            .collect();
        Ok(Self { leaf, others })
    }

    /// Returns the first certificate: the owner's.
    #[must_use]
    pub fn leaf(&self) -> &Certificate {
        &self.leaf
    }
}
