//! The sandbox's two key pairs: the app's and Alipay's.

use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::adapters::alipay::keys::{KeyError, PrivateKey, PublicKey};

const APP_PRIVATE: &str = "app_private_key.pem";
const APP_PUBLIC: &str = "app_public_key.pem";
const ALIPAY_PRIVATE: &str = "alipay_private_key.pem";
const ALIPAY_PUBLIC: &str = "alipay_public_key.pem";

/// Both key pairs. A client is given the app's private and Alipay's public key.
#[derive(Clone)]
pub struct SandboxKeys {
    app: PrivateKey,
    alipay: PrivateKey,
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
        Ok(Self { app, alipay })
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

fn load_or_create_private(path: &Path) -> Result<PrivateKey, SandboxKeysError> {
    match fs::read_to_string(path) {
        Ok(text) => PrivateKey::parse(&text).map_err(|source| SandboxKeysError::Key {
            path: path.to_owned(),
            source,
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let key = PrivateKey::generate().map_err(SandboxKeysError::Generate)?;
            let mut options = fs::OpenOptions::new();
            let file = options.write(true).create_new(true).mode(0o600).open(path);
            let mut file = file.map_err(file_error(path))?;
            file.write_all(key.to_pkcs8_pem().as_bytes())
                .map_err(file_error(path))?;
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

    use super::{SandboxKeys, SandboxKeysError};

    #[test]
    fn keys_are_made_once_and_private_ones_are_the_owners_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys");
        let made = SandboxKeys::load_or_create(&path).unwrap();
        let loaded = SandboxKeys::load_or_create(&path).unwrap();
        assert!(made.alipay_public_key() == loaded.alipay_public_key());
        assert!(made.app_public_key() == loaded.app_public_key());
        assert!(made.app_public_key() != made.alipay_public_key());
        for name in ["app_private_key.pem", "alipay_private_key.pem"] {
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
