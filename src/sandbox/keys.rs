//! The sandbox's keys: the app's and Alipay's pairs, the key for contents, and certificates.

use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret, SecretString};

use crate::adapters::alipay::keys::{KeyError, PrivateKey, PublicKey};
use crate::domain::time::UnixMillis;
use crate::sandbox::certificates::{Authority, Issued, MakeCertificateError, Subject};

const APP_PRIVATE: &str = "app_private_key.pem";
const APP_PUBLIC: &str = "app_public_key.pem";
const ALIPAY_PRIVATE: &str = "alipay_private_key.pem";
const ALIPAY_PUBLIC: &str = "alipay_public_key.pem";

const CONTENT_KEY: &str = "aes_key";
const ROOT_PRIVATE: &str = "alipay_root_private_key.pem";

/// The file of the root certificate, as Alipay's console names it.
pub(in crate::sandbox) const ROOT_CERTIFICATE: &str = "alipayRootCert.crt";
/// The file of Alipay's certificate.
pub(in crate::sandbox) const ALIPAY_CERTIFICATE: &str = "alipayCertPublicKey_RSA2.crt";
/// The file of the app's certificate.
pub(in crate::sandbox) const APP_CERTIFICATE: &str = "appCertPublicKey.crt";

/// Both key pairs, and what goes with them. A client is given the app's private key, Alipay's
/// public key or the three certificates, and the key for contents.
#[derive(Clone)]
pub struct SandboxKeys {
    app: PrivateKey,
    alipay: PrivateKey,
    content_key: SecretString,
    certificates: Option<Certificates>,
}

/// What certificate mode needs.
#[derive(Clone)]
pub(in crate::sandbox) struct Certificates {
    pub(in crate::sandbox) authority: Authority,
    pub(in crate::sandbox) app: Issued,
    pub(in crate::sandbox) alipay: Issued,
}

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
pub enum SandboxKeysError {
    /// A file cannot be read or written.
    #[error("read or write {path}")]
    File {
        /// The file, or the directory.
        path: PathBuf,
        /// What the operating system says.
        #[source]
        source: io::Error,
    },
    /// A file holds no RSA private key.
    #[error("the key in {path}")]
    Key {
        /// The file.
        path: PathBuf,
        /// What it holds instead.
        #[source]
        source: KeyError,
    },
    /// A key cannot be made.
    #[error("make a key")]
    Generate(#[source] KeyError),
    /// A certificate cannot be made or read.
    #[error("make or read a certificate")]
    Certificate(#[source] MakeCertificateError),
}

impl SandboxKeys {
    /// Makes two new pairs of 2048 bits, in memory.
    ///
    /// # Errors
    ///
    /// Returns [`SandboxKeysError::Generate`] when the library has no randomness.
    pub fn generate() -> Result<Self, SandboxKeysError> {
        let generate = || PrivateKey::generate().map_err(SandboxKeysError::Generate);
        Ok(Self {
            app: generate()?,
            alipay: generate()?,
            content_key: random_content_key()?,
            certificates: None,
        })
    }

    /// Makes a root and certificates for both pairs too, valid from `now` on, in memory.
    ///
    /// # Errors
    ///
    /// Returns [`SandboxKeysError::Certificate`] when one cannot be made.
    pub fn certified(self, now: UnixMillis) -> Result<Self, SandboxKeysError> {
        let root = PrivateKey::generate().map_err(SandboxKeysError::Generate)?;
        let authority = Authority::new(root, now).map_err(SandboxKeysError::Certificate)?;
        let issue = |subject, key| {
            let issued = authority.issue(subject, key, now);
            issued.map_err(SandboxKeysError::Certificate)
        };
        let certificates = Certificates {
            app: issue(Subject::App, &self.app)?,
            alipay: issue(Subject::Alipay, &self.alipay)?,
            authority,
        };
        Ok(Self {
            certificates: Some(certificates),
            ..self
        })
    }

    /// Reads the certificates in `dir` too, and makes what is not there or belongs to another
    /// key: a root with its key, Alipay's certificate and the app's.
    ///
    /// # Errors
    ///
    /// Those of [`SandboxKeys::load_or_create`], and [`SandboxKeysError::Certificate`].
    pub fn load_or_create_certified(dir: &Path, now: UnixMillis) -> Result<Self, SandboxKeysError> {
        let keys = Self::load_or_create(dir)?;
        let root_key = load_or_create_private(&dir.join(ROOT_PRIVATE))?;
        let root = load_or_issue(&dir.join(ROOT_CERTIFICATE), &root_key, || {
            Authority::new(root_key.clone(), now).map(|authority| authority.root)
        })?;
        let authority = Authority::with_root(root_key, root);
        let issue = |name: &str, subject, key| {
            load_or_issue(&dir.join(name), key, || authority.issue(subject, key, now))
        };
        let certificates = Certificates {
            app: issue(APP_CERTIFICATE, Subject::App, &keys.app)?,
            alipay: issue(ALIPAY_CERTIFICATE, Subject::Alipay, &keys.alipay)?,
            authority,
        };
        Ok(Self {
            certificates: Some(certificates),
            ..keys
        })
    }

    /// Reads the pairs in `dir`, and makes what is not there: the directory, private keys
    /// (readable by the owner alone) and the public keys that belong to them.
    ///
    /// # Errors
    ///
    /// Returns [`SandboxKeysError`] when a file cannot be read or written, or holds no key. A
    /// private key that is there is never overwritten.
    pub fn load_or_create(dir: &Path) -> Result<Self, SandboxKeysError> {
        fs::create_dir_all(dir).map_err(file_error(dir))?;
        let app = load_or_create_private(&dir.join(APP_PRIVATE))?;
        let alipay = load_or_create_private(&dir.join(ALIPAY_PRIVATE))?;
        for (name, key) in [(APP_PUBLIC, &app), (ALIPAY_PUBLIC, &alipay)] {
            let path = dir.join(name);
            let pem = key.public_key().to_spki_pem();
            // A client that starts now must not find the file empty for a moment.
            if fs::read_to_string(&path).is_ok_and(|found| found == pem) {
                continue;
            }
            fs::write(&path, pem).map_err(file_error(&path))?;
        }
        let content_key = load_or_create_content_key(&dir.join(CONTENT_KEY))?;
        Ok(Self {
            app,
            alipay,
            content_key,
            certificates: None,
        })
    }

    /// The AES key that contents may be encrypted with: base64 of sixteen bytes.
    #[must_use]
    pub fn content_key(&self) -> &SecretString {
        &self.content_key
    }

    /// PEM texts of the root, Alipay's and the app's certificate, in certificate mode.
    #[must_use]
    pub fn certificate_pems(&self) -> Option<[&str; 3]> {
        let certificates = self.certificates.as_ref()?;
        Some([
            &certificates.authority.root.pem,
            &certificates.alipay.pem,
            &certificates.app.pem,
        ])
    }

    pub(in crate::sandbox) fn certificates(&self) -> Option<&Certificates> {
        self.certificates.as_ref()
    }

    /// The app's private key, which a client signs with.
    #[must_use]
    pub fn app_private_key(&self) -> &PrivateKey {
        &self.app
    }

    /// Alipay's public key, which a client verifies with.
    #[must_use]
    pub fn alipay_public_key(&self) -> PublicKey {
        self.alipay.public_key()
    }

    pub(crate) fn app_public_key(&self) -> PublicKey {
        self.app.public_key()
    }

    pub(crate) fn alipay_private_key(&self) -> &PrivateKey {
        &self.alipay
    }
}

impl fmt::Debug for SandboxKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SandboxKeys(redacted)")
    }
}

fn load_or_issue(
    path: &Path,
    key: &PrivateKey,
    issue: impl FnOnce() -> Result<Issued, MakeCertificateError>,
) -> Result<Issued, SandboxKeysError> {
    if let Ok(pem) = fs::read_to_string(path) {
        let found = Issued::read(&pem).map_err(SandboxKeysError::Certificate)?;
        if found.certifies(&key.public_key()) {
            return Ok(found);
        }
    }
    let issued = issue().map_err(SandboxKeysError::Certificate)?;
    fs::write(path, &issued.pem).map_err(file_error(path))?;
    Ok(issued)
}

fn random_content_key() -> Result<SecretString, SandboxKeysError> {
    let mut bytes = [0; 16];
    let filled = SystemRandom::new().fill(&mut bytes);
    filled.map_err(|_opaque| SandboxKeysError::Generate(KeyError::Generate))?;
    Ok(STANDARD.encode(bytes).into())
}

fn load_or_create_content_key(path: &Path) -> Result<SecretString, SandboxKeysError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(text.trim().to_owned().into()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let key = random_content_key()?;
            let text = format!("{}\n", key.expose_secret());
            write_private(path, text.as_bytes())?;
            Ok(key)
        }
        Err(error) => Err(file_error(path)(error)),
    }
}

/// Writes a file that was not there and that its owner alone may read.
fn write_private(path: &Path, bytes: &[u8]) -> Result<(), SandboxKeysError> {
    let mut options = fs::OpenOptions::new();
    let file = options.write(true).create_new(true).mode(0o600).open(path);
    let mut file = file.map_err(file_error(path))?;
    file.write_all(bytes).map_err(file_error(path))
}

fn load_or_create_private(path: &Path) -> Result<PrivateKey, SandboxKeysError> {
    match fs::read_to_string(path) {
        Ok(text) => PrivateKey::parse(&text).map_err(|source| SandboxKeysError::Key {
            path: path.to_owned(),
            source,
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let key = PrivateKey::generate().map_err(SandboxKeysError::Generate)?;
            write_private(path, key.to_pkcs8_pem().as_bytes())?;
            Ok(key)
        }
        Err(error) => Err(file_error(path)(error)),
    }
}

fn file_error(path: &Path) -> impl Fn(io::Error) -> SandboxKeysError + '_ {
    |source| SandboxKeysError::File {
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use secrecy::ExposeSecret;

    use super::{SandboxKeys, SandboxKeysError};
    use crate::domain::time::UnixMillis;

    #[test]
    fn certificates_are_made_once_and_anew_for_another_key() {
        let dir = tempfile::tempdir().unwrap();
        let load = || {
            let keys = SandboxKeys::load_or_create_certified(dir.path(), UnixMillis(1));
            keys.unwrap().certificate_pems().unwrap().map(str::to_owned)
        };
        let [root, alipay, app] = load();
        assert_eq!(load(), [root.clone(), alipay.clone(), app.clone()]);
        fs::remove_file(dir.path().join("app_private_key.pem")).unwrap();
        let [same_root, same_alipay, other_app] = load();
        assert_eq!([same_root, same_alipay], [root, alipay]);
        assert_ne!(other_app, app);
    }

    #[test]
    fn keys_are_made_once_and_private_ones_are_the_owners_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys");
        let made = SandboxKeys::load_or_create(&path).unwrap();
        let loaded = SandboxKeys::load_or_create(&path).unwrap();
        assert!(made.alipay_public_key() == loaded.alipay_public_key());
        assert!(made.app_public_key() == loaded.app_public_key());
        assert!(made.app_public_key() != made.alipay_public_key());
        let exposed = |keys: &SandboxKeys| keys.content_key().expose_secret().to_owned();
        assert_eq!(exposed(&made), exposed(&loaded));
        for name in ["app_private_key.pem", "alipay_private_key.pem", "aes_key"] {
            let mode = fs::metadata(path.join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
        for name in ["app_public_key.pem", "alipay_public_key.pem"] {
            let pem = fs::read_to_string(path.join(name)).unwrap();
            assert!(pem.starts_with("-----BEGIN PUBLIC KEY-----"), "{name}");
        }
    }

    #[test]
    fn a_file_that_holds_no_key_is_named_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("app_private_key.pem");
        fs::write(&path, "not a key").unwrap();
        let error = SandboxKeys::load_or_create(dir.path()).unwrap_err();
        assert!(matches!(error, SandboxKeysError::Key { path: found, .. } if found == path));
        assert_eq!(fs::read_to_string(&path).unwrap(), "not a key");
    }
}
