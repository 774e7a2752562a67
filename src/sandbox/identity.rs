//! Who Alipay is to its clients: the key that signs its answers, and its certificate. Both may
//! be changed while the sandbox runs, as Alipay's are.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};

use sha2::{Digest as _, Sha256};

use crate::adapters::alipay::keys::{KeyError, PrivateKey};
use crate::adapters::alipay::sign::{SignType, Signer};
use crate::domain::time::UnixMillis;
use crate::sandbox::certificates::{Authority, Issued, MakeCertificateError, Subject};
use crate::sandbox::faults::Signatures;
use crate::sandbox::keys::{Certificates, SandboxKeys};

/// What answers are signed with at one time.
pub(in crate::sandbox) struct Identity {
    rsa2: Signer,
    rsa: Signer,
    pub(in crate::sandbox) public_key_pem: String,
    pub(in crate::sandbox) certificate: Option<Issued>,
    /// Signatures by the digest of what they sign, where the knob wants them remembered.
    remembered: Mutex<HashMap<[u8; 32], String>>,
}

/// How many signatures are remembered; more of them are made each time.
const REMEMBERED_MAX: usize = 1_000_000;

impl Identity {
    fn new(key: &PrivateKey, certificate: Option<Issued>) -> Result<Self, KeyError> {
        Ok(Self {
            rsa2: Signer::new(key.clone(), SignType::Rsa2)?,
            rsa: Signer::new(key.clone(), SignType::Rsa)?,
            public_key_pem: key.public_key().to_spki_pem(),
            certificate,
            remembered: Mutex::default(),
        })
    }

    /// Signs; `None` in the unheard-of case that the library fails to.
    pub(in crate::sandbox) fn sign(
        &self,
        sign_type: SignType,
        signatures: Signatures,
        bytes: &[u8],
    ) -> Option<String> {
        let fresh = || self.signer(sign_type).sign(bytes).ok();
        if signatures == Signatures::Fresh {
            return fresh();
        }
        let mut digest = Sha256::new_with_prefix(sign_type.as_str());
        digest.update(bytes);
        let digest = digest.finalize().into();
        if let Some(known) = held(&self.remembered).get(&digest) {
            return Some(known.clone());
        }
        let signature = fresh()?;
        let mut remembered = held(&self.remembered);
        if remembered.len() < REMEMBERED_MAX {
            remembered.insert(digest, signature.clone());
        }
        Some(signature)
    }

    pub(in crate::sandbox) fn signer(&self, sign_type: SignType) -> &Signer {
        match sign_type {
            SignType::Rsa2 => &self.rsa2,
            SignType::Rsa => &self.rsa,
        }
    }

    /// `alipay_cert_sn`, in certificate mode.
    pub(in crate::sandbox) fn cert_sn(&self) -> Option<&str> {
        let certificate = self.certificate.as_ref();
        certificate.map(|issued| issued.certificate.serial_number())
    }
}

/// Why Alipay's key was not changed.
#[derive(Debug, thiserror::Error)]
pub(in crate::sandbox) enum RotateError {
    #[error("make a key")]
    Key(#[from] KeyError),
    #[error("make a certificate")]
    Certificate(#[from] MakeCertificateError),
}

/// The present identity, the certificates of all there were, and what is asked of the app.
pub(in crate::sandbox) struct Identities {
    present: Mutex<Arc<Identity>>,
    /// PEM texts by `alipay_cert_sn`.
    issued: Mutex<BTreeMap<String, String>>,
    certified: Option<Certified>,
}

/// What certificate mode asks of the app's calls.
pub(in crate::sandbox) struct Certified {
    authority: Authority,
    pub(in crate::sandbox) app: Issued,
}

impl Certified {
    pub(in crate::sandbox) fn root_cert_sn(&self) -> &str {
        self.authority.root.certificate.serial_number()
    }
}

impl Identities {
    pub(in crate::sandbox) fn new(keys: &SandboxKeys) -> Result<Self, KeyError> {
        let certificates = keys.certificates();
        let alipay = certificates.map(|certificates| certificates.alipay.clone());
        let identity = Identity::new(keys.alipay_private_key(), alipay)?;
        let identities = Self {
            present: Mutex::new(Arc::new(identity)),
            issued: Mutex::new(BTreeMap::new()),
            certified: certificates.map(|Certificates { authority, app, .. }| Certified {
                authority: authority.clone(),
                app: app.clone(),
            }),
        };
        identities.note(&identities.present());
        Ok(identities)
    }

    pub(in crate::sandbox) fn present(&self) -> Arc<Identity> {
        Arc::clone(&held(&self.present))
    }

    /// `None` without certificate mode.
    pub(in crate::sandbox) fn certified(&self) -> Option<&Certified> {
        self.certified.as_ref()
    }

    /// The PEM text of the certificate of this `alipay_cert_sn`.
    pub(in crate::sandbox) fn certificate_of(&self, cert_sn: &str) -> Option<String> {
        held(&self.issued).get(cert_sn).cloned()
    }

    /// Gives Alipay a new key and, in certificate mode, a certificate for it. The sandbox's files
    /// stay as they are: after a restart it has its first key again.
    pub(in crate::sandbox) fn rotate(&self, now: UnixMillis) -> Result<Arc<Identity>, RotateError> {
        let key = PrivateKey::generate()?;
        let certified = self.certified.as_ref();
        let certificate = certified
            .map(|certified| certified.authority.issue(Subject::Alipay, &key, now))
            .transpose()?;
        let identity = Arc::new(Identity::new(&key, certificate)?);
        self.note(&identity);
        *held(&self.present) = Arc::clone(&identity);
        Ok(identity)
    }

    fn note(&self, identity: &Identity) {
        if let (Some(cert_sn), Some(issued)) = (identity.cert_sn(), &identity.certificate) {
            held(&self.issued).insert(cert_sn.to_owned(), issued.pem.clone());
        }
    }
}

#[expect(clippy::expect_used, reason = "nothing that holds it can panic")]
fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("a holder does not panic")
}
