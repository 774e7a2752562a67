//! Every RSA key shape that users hold: PEM or bare base64, PKCS#1, PKCS#8 or SPKI.
//!
//! Alipay's key tool writes bare base64 of PKCS#8, its PHP, Python and Node documents ask for
//! PKCS#1, and people put the wrong armour around either. So the armour is only read for its
//! hints; the DER inside decides what the key is. No error holds any part of a key.

use std::fmt;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use rsa::pkcs1::{
    ALGORITHM_OID, DecodeRsaPrivateKey, DecodeRsaPublicKey, EncodeRsaPrivateKey, EncodeRsaPublicKey,
};
use rsa::pkcs8::{
    EncodePrivateKey, EncodePublicKey, LineEnding, PrivateKeyInfo, SubjectPublicKeyInfoRef,
};
use rsa::traits::PublicKeyParts;
use rsa::{RsaPrivateKey, RsaPublicKey};
use secrecy::zeroize::Zeroizing;

use crate::adapters::alipay::keys::der::Shape;
use crate::adapters::alipay::keys::text::Unwrapped;

mod der;
mod several;
pub(super) mod text;

/// The shortest modulus accepted at all, in bits: what `RSA` (SHA-1) apps of before 2018 have.
const MODULUS_BITS_MIN: usize = 1024;

/// The longest modulus accepted, in bits. Also bounds a signature at 512 bytes.
const MODULUS_BITS_MAX: usize = 4096;

/// Why a text is not the key that was asked for. Never holds any part of the key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// There is nothing but blanks.
    #[error("the key is empty")]
    Empty,
    /// A `BEGIN` line without its `END` line.
    #[error("a PEM without its END line")]
    PemUnfinished,
    /// Several PEM blocks in one text: which one was meant is not ours to guess.
    #[error("more than one PEM block where one key belongs")]
    PemSeveral,
    /// More keys than an exchange of keys needs.
    #[error("more than {keys_max} keys")]
    Several {
        /// How many there may be.
        keys_max: usize,
    },
    /// A character that base64 does not have; `byte` counts from 1 in the text as given.
    #[error("not base64 at byte {byte}")]
    NotBase64 {
        /// Position of the character's first byte in the text, counted from 1.
        byte: usize,
    },
    /// All characters are base64, but their number cannot be right.
    #[error("base64 that is cut short or has extra characters")]
    Base64Cut,
    /// A good text of another kind than the wanted one.
    #[error("{found} where {wanted} belongs")]
    Misplaced {
        /// What the text holds.
        found: Found,
        /// What should be there.
        wanted: Wanted,
    },
    /// Base64 of something that is no key of a known shape, or of half a key.
    #[error("neither PKCS#1, PKCS#8 nor SPKI: another kind of data, or a key that is cut short")]
    Unrecognised,
    /// The shape of a key, but its numbers do not belong together.
    #[error("a damaged RSA key: its numbers do not belong together")]
    Damaged,
    /// A key whose length is not supported for its use.
    #[error("{purpose} needs {bits_min} to {bits_max} bits, this key has {bits}")]
    Length {
        /// What the key was to be used for, for example `RSA2`.
        purpose: &'static str,
        /// Shortest modulus allowed, in bits.
        bits_min: usize,
        /// Longest modulus allowed, in bits.
        bits_max: usize,
        /// Length of this key's modulus, in bits.
        bits: usize,
    },
    /// The cryptographic library could not make a key.
    #[error("the cryptographic library could not make a key")]
    Generate,
}

/// What a text turned out to hold instead of the wanted key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// An RSA private key.
    PrivateKey,
    /// An RSA public key.
    PublicKey,
    /// A private key under a pass phrase.
    Encrypted,
    /// An X.509 certificate: certificate mode has settings of its own.
    Certificate,
    /// A request for a certificate, as Alipay's key tool makes it.
    CertificateRequest,
    /// A key of another algorithm (EC, SM2, Ed25519).
    OtherAlgorithm,
    /// A key in OpenSSH's own format.
    OpenSsh,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PrivateKey => "a private key",
            Self::PublicKey => "a public key",
            Self::Encrypted => "an encrypted private key (take the pass phrase off first)",
            Self::Certificate => "an X.509 certificate",
            Self::CertificateRequest => "a certificate request",
            Self::OtherAlgorithm => "a key of another algorithm than RSA",
            Self::OpenSsh => "a key in OpenSSH format",
        })
    }
}

/// What belongs in the place that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// An RSA private key.
    PrivateKey,
    /// An RSA public key.
    PublicKey,
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PrivateKey => "a private key",
            Self::PublicKey => "a public key",
        })
    }
}

/// An RSA private key of 1024 to 4096 bits, checked. Wiped from memory when dropped.
#[derive(Clone)]
pub struct PrivateKey {
    key: RsaPrivateKey,
}

impl PrivateKey {
    /// Reads a private key: PKCS#1 or PKCS#8, in PEM or as bare base64.
    ///
    /// Blanks, line breaks of any kind, a byte order mark, missing padding, text around the PEM
    /// and line breaks spelt `\n` (as they come out of environment variables) do not matter.
    ///
    /// # Errors
    ///
    /// Returns a [`KeyError`] that names what was found instead; never any of its content.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let Unwrapped { der, hint } = text::unwrap(text)?;
        let wanted = Wanted::PrivateKey;
        if let Some(found) = hint {
            return Err(KeyError::Misplaced { found, wanted });
        }
        let shape = Shape::of(&der).ok_or(KeyError::Unrecognised)?;
        // The `rsa` crate checks while reading that the numbers belong together.
        let parsed = match shape {
            Shape::Pkcs1Private => RsaPrivateKey::from_pkcs1_der(&der),
            Shape::Pkcs8 => {
                let info = PrivateKeyInfo::try_from(der.as_slice())
                    .map_err(|_unrecognised| KeyError::Unrecognised)?;
                if info.algorithm.oid != ALGORITHM_OID {
                    let found = Found::OtherAlgorithm;
                    return Err(KeyError::Misplaced { found, wanted });
                }
                RsaPrivateKey::from_pkcs1_der(info.private_key)
            }
            Shape::Pkcs1Public
            | Shape::Spki
            | Shape::EncryptedPkcs8
            | Shape::Certificate
            | Shape::EcPrivate => {
                let found = shape.found();
                return Err(KeyError::Misplaced { found, wanted });
            }
        };
        let key = parsed.map_err(|_damaged| KeyError::Damaged)?;
        ModulusLength::of(&key).check("RSA", MODULUS_BITS_MIN)?;
        Ok(Self { key })
    }

    /// Makes a new key of 2048 bits.
    ///
    /// # Errors
    ///
    /// Returns [`KeyError::Generate`] when the library has no randomness.
    pub fn generate() -> Result<Self, KeyError> {
        let pair = KeyPair::generate(KeySize::Rsa2048).map_err(|_opaque| KeyError::Generate)?;
        let der: Pkcs8V1Der<'static> = pair.as_der().map_err(|_opaque| KeyError::Generate)?;
        let info = PrivateKeyInfo::try_from(der.as_ref()).map_err(|_opaque| KeyError::Generate)?;
        let key = RsaPrivateKey::from_pkcs1_der(info.private_key)
            .map_err(|_opaque| KeyError::Generate)?;
        Ok(Self { key })
    }

    /// Returns the public half.
    #[must_use]
    pub fn public_key(&self) -> PublicKey {
        let key = self.key.to_public_key();
        PublicKey { key }
    }

    /// Returns the key as PKCS#8 in PEM armour with `\n` line ends, wiped when dropped.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a key that was checked can be encoded")]
    #[expect(clippy::missing_panics_doc, reason = "cannot happen for a checked key")]
    pub fn to_pkcs8_pem(&self) -> Zeroizing<String> {
        self.key
            .to_pkcs8_pem(LineEnding::LF)
            .expect("a checked two-prime key has a PKCS#8 form")
    }

    /// Returns the modulus length in bits, 1024 to 4096.
    #[must_use]
    pub fn bits(&self) -> usize {
        self.key.n().bits()
    }

    /// Loads the key into the fast library, for `RSA2`.
    pub(crate) fn to_key_pair(&self) -> Result<KeyPair, KeyError> {
        ModulusLength::of(&self.key).check("RSA2", 2048)?;
        let der = self
            .key
            .to_pkcs1_der()
            .map_err(|_damaged| KeyError::Damaged)?;
        KeyPair::from_der(der.as_bytes()).map_err(|_damaged| KeyError::Damaged)
    }

    /// Returns the numbers, for the legacy `RSA` signature.
    pub(crate) fn into_numbers(self) -> RsaPrivateKey {
        self.key
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = self.bits();
        write!(f, "PrivateKey({bits} bits, redacted)")
    }
}

/// An RSA public key of 1024 to 4096 bits. Equal when modulus and exponent are.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey {
    key: RsaPublicKey,
}

impl PublicKey {
    /// Reads a public key: SPKI or PKCS#1, in PEM or as bare base64.
    ///
    /// The same liberties are taken as by [`PrivateKey::parse`].
    ///
    /// # Errors
    ///
    /// Returns a [`KeyError`] that names what was found instead, for example an X.509
    /// certificate.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let Unwrapped { der, hint } = text::unwrap(text)?;
        let wanted = Wanted::PublicKey;
        if let Some(found) = hint {
            return Err(KeyError::Misplaced { found, wanted });
        }
        Self::from_der(&der)
    }

    /// Reads a public key from DER: SPKI, as a certificate holds it, or PKCS#1.
    pub(super) fn from_der(der: &[u8]) -> Result<Self, KeyError> {
        let wanted = Wanted::PublicKey;
        let shape = Shape::of(der).ok_or(KeyError::Unrecognised)?;
        let parsed = match shape {
            Shape::Pkcs1Public => RsaPublicKey::from_pkcs1_der(der),
            Shape::Spki => {
                let info = SubjectPublicKeyInfoRef::try_from(der)
                    .map_err(|_unrecognised| KeyError::Unrecognised)?;
                if info.algorithm.oid != ALGORITHM_OID {
                    let found = Found::OtherAlgorithm;
                    return Err(KeyError::Misplaced { found, wanted });
                }
                RsaPublicKey::from_pkcs1_der(info.subject_public_key.raw_bytes())
            }
            Shape::Pkcs1Private
            | Shape::Pkcs8
            | Shape::EncryptedPkcs8
            | Shape::Certificate
            | Shape::EcPrivate => {
                let found = shape.found();
                return Err(KeyError::Misplaced { found, wanted });
            }
        };
        let key = parsed.map_err(|_damaged| KeyError::Damaged)?;
        ModulusLength::of(&key).check("RSA", MODULUS_BITS_MIN)?;
        Ok(Self { key })
    }

    /// Returns the key as SPKI in PEM armour with `\n` line ends.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a key that was checked can be encoded")]
    #[expect(clippy::missing_panics_doc, reason = "cannot happen for a checked key")]
    pub fn to_spki_pem(&self) -> String {
        self.key
            .to_public_key_pem(LineEnding::LF)
            .expect("every RSA public key has an SPKI form")
    }

    /// Returns the modulus length in bits, 1024 to 4096.
    #[must_use]
    pub fn bits(&self) -> usize {
        self.key.n().bits()
    }

    /// Returns the key as PKCS#1 DER, what the fast library loads; refuses a key that is
    /// shorter than `bits_min`.
    pub(crate) fn into_pkcs1_der(
        self,
        purpose: &'static str,
        bits_min: usize,
    ) -> Result<Vec<u8>, KeyError> {
        ModulusLength::of(&self.key).check(purpose, bits_min)?;
        let der = self
            .key
            .to_pkcs1_der()
            .map_err(|_damaged| KeyError::Damaged)?;
        Ok(der.into_vec())
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = self.bits();
        write!(f, "PublicKey({bits} bits)")
    }
}

/// Returns whether `public` is the public half of `private`.
///
/// The most frequent support case with Alipay is the app's own public key where Alipay's
/// belongs: then no answer ever verifies. It can be refused before the first call.
#[must_use]
pub fn is_own_public_key(private: &PrivateKey, public: &PublicKey) -> bool {
    private.public_key() == *public
}

/// The length of a modulus, in bits.
struct ModulusLength(usize);

impl ModulusLength {
    fn of(key: &impl PublicKeyParts) -> Self {
        Self(key.n().bits())
    }

    fn check(&self, purpose: &'static str, bits_min: usize) -> Result<(), KeyError> {
        let bits_max = MODULUS_BITS_MAX;
        let bits = self.0;
        if (bits_min..=bits_max).contains(&bits) {
            return Ok(());
        }
        Err(KeyError::Length {
            purpose,
            bits_min,
            bits_max,
            bits,
        })
    }
}

#[cfg(test)]
pub(crate) mod tests;
