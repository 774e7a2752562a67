//! The string to sign, signing and verifying. Pure: the same input gives the same signature.
//!
//! Source of the rules: Alipay open platform, "signature" (common/057k53).

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use aws_lc_rs::rsa::KeyPair;
use aws_lc_rs::signature::{
    ParsedPublicKey, RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_SHA256,
};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rsa::rand_core::{CryptoRng, Error as RandomError, RngCore};
use rsa::{Pkcs1v15Sign, RsaPrivateKey};

use crate::adapters::alipay::keys::{KeyError, PrivateKey, PublicKey};

/// Room for the longest signature, that of a 4096-bit key, in bytes.
const SIGNATURE_BYTES_MAX: usize = 512;

/// The DER prefix of a SHA-1 digest. Source: RFC 8017 9.2, note 1.
const SHA1_PREFIX: [u8; 15] = [
    0x30, 0x21, 0x30, 0x09, 0x06, 0x05, 0x2b, 0x0e, 0x03, 0x02, 0x1a, 0x05, 0x00, 0x04, 0x14,
];

/// Alipay's `sign_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SignType {
    /// SHA-256 with RSA, PKCS#1 v1.5; needs 2048 bits at least. The only one for new apps.
    Rsa2,
    /// SHA-1 with RSA, PKCS#1 v1.5; for apps made before 2018.
    Rsa,
}

impl SignType {
    /// Returns the word that Alipay uses: `RSA2` or `RSA`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rsa2 => "RSA2",
            Self::Rsa => "RSA",
        }
    }

    /// Returns the shortest modulus allowed, in bits.
    fn modulus_bits_min(self) -> usize {
        match self {
            Self::Rsa2 => 2048,
            Self::Rsa => 1024,
        }
    }
}

impl fmt::Display for SignType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A `sign_type` that is neither `RSA2` nor `RSA`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("sign_type is neither RSA2 nor RSA")]
pub struct ParseSignTypeError;

impl FromStr for SignType {
    type Err = ParseSignTypeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "RSA2" => Ok(Self::Rsa2),
            "RSA" => Ok(Self::Rsa),
            _ => Err(ParseSignTypeError),
        }
    }
}

/// The library failed to sign. It says nothing about why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the cryptographic library failed to sign")]
pub struct SignError;

/// Why a message does not count as signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// There is no signature at all.
    #[error("there is no signature")]
    Missing,
    /// The signature is not base64 of a plausible length.
    #[error("the signature is not base64 of a signature")]
    Malformed,
    /// The signature belongs to another message or to another key.
    #[error("the signature does not match the message and the configured public key")]
    Mismatch,
}

/// Returns the string to sign for `params`: without `sign`, without empty values, sorted by
/// key in byte order, `k=v` joined with `&`, values raw.
///
/// A notification is signed without `sign_type` too: leave it out before. Never send empty
/// or all-blank values: Alipay's own SDKs disagree on whether they are signed.
#[must_use]
pub fn canonical_string<'a>(params: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let params = sorted(params);
    let length = params.iter().map(|(k, v)| k.len() + v.len() + 2).sum();
    let mut text = String::with_capacity(length);
    for (key, value) in params {
        if !text.is_empty() {
            text.push('&');
        }
        text.push_str(key);
        text.push('=');
        text.push_str(value);
    }
    text
}

/// Returns the same as [`canonical_string`] for values in another charset, such as GBK.
#[must_use]
pub fn canonical_bytes<'a>(params: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Vec<u8> {
    let params = sorted(params);
    let length = params.iter().map(|(k, v)| k.len() + v.len() + 2).sum();
    let mut bytes = Vec::with_capacity(length);
    for (key, value) in params {
        if !bytes.is_empty() {
            bytes.push(b'&');
        }
        bytes.extend_from_slice(key);
        bytes.push(b'=');
        bytes.extend_from_slice(value);
    }
    bytes
}

/// Returns the signed params in order. Values break ties, so that a duplicate key, which the
/// caller should have refused, still gives one definite string.
fn sorted<'a, T: AsRef<[u8]> + Ord + ?Sized>(
    params: impl Iterator<Item = (&'a T, &'a T)>,
) -> Vec<(&'a T, &'a T)> {
    let mut params: Vec<_> = params
        .filter(|(key, value)| key.as_ref() != b"sign" && !value.as_ref().is_empty())
        .collect();
    params.sort_unstable();
    params
}

/// Signs with one private key, loaded once. Cheap to share, not to make.
pub struct Signer(Signing);

enum Signing {
    /// The hot path, five times as fast as the other.
    Sha256(KeyPair),
    /// The fast library does not sign SHA-1.
    Sha1(Box<RsaPrivateKey>),
}

impl Signer {
    /// Loads `key` for `sign_type`.
    ///
    /// # Errors
    ///
    /// Returns [`KeyError::Length`] for `RSA2` with fewer than 2048 bits, and
    /// [`KeyError::Damaged`] if the library refuses the numbers.
    pub fn new(key: PrivateKey, sign_type: SignType) -> Result<Self, KeyError> {
        match sign_type {
            SignType::Rsa2 => Ok(Self(Signing::Sha256(key.to_key_pair()?))),
            SignType::Rsa => Ok(Self(Signing::Sha1(Box::new(key.into_numbers())))),
        }
    }

    /// Returns the sign type that this signer was made for.
    #[must_use]
    pub fn sign_type(&self) -> SignType {
        match self.0 {
            Signing::Sha256(_) => SignType::Rsa2,
            Signing::Sha1(_) => SignType::Rsa,
        }
    }

    /// Returns the signature over `message` in base64 with padding: 344 characters for 2048
    /// bits. Takes about 0.2 ms of processor time with `RSA2`.
    ///
    /// # Errors
    ///
    /// Returns [`SignError`] when the library fails, which a loaded key gives no reason for.
    pub fn sign(&self, message: &[u8]) -> Result<String, SignError> {
        match &self.0 {
            Signing::Sha256(pair) => {
                let mut buffer = [0; SIGNATURE_BYTES_MAX];
                let signature = buffer
                    .get_mut(..pair.public_modulus_len())
                    .ok_or(SignError)?;
                pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, signature)
                    .map_err(|_opaque| SignError)?;
                Ok(STANDARD.encode(signature))
            }
            Signing::Sha1(key) => {
                let scheme = Pkcs1v15Sign {
                    hash_len: Some(20),
                    prefix: SHA1_PREFIX.into(),
                };
                let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, message);
                let signature = key
                    .sign_with_rng(&mut Blinding, scheme, hash.as_ref())
                    .map_err(|_opaque| SignError)?;
                Ok(STANDARD.encode(signature))
            }
        }
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign_type = self.sign_type();
        write!(f, "Signer({sign_type}, redacted)")
    }
}

/// Randomness that hides the private key's timing while `rsa` signs (RUSTSEC-2023-0071); the
/// signature itself does not depend on it.
struct Blinding;

impl RngCore for Blinding {
    fn next_u32(&mut self) -> u32 {
        let mut bytes = [0; 4];
        self.fill_bytes(&mut bytes);
        u32::from_le_bytes(bytes)
    }

    fn next_u64(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.fill_bytes(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    #[expect(
        clippy::expect_used,
        reason = "without randomness a signature would leak the key; the trait has no error"
    )]
    fn fill_bytes(&mut self, dest: &mut [u8]) {
        self.try_fill_bytes(dest)
            .expect("the operating system gives randomness");
    }

    fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), RandomError> {
        SystemRandom::new().fill(dest).map_err(RandomError::new)
    }
}

impl CryptoRng for Blinding {}

/// Verifies with one public key, loaded once.
pub struct Verifier {
    key: ParsedPublicKey,
    sign_type: SignType,
}

impl Verifier {
    /// Loads `key` for `sign_type`: that of the request, whatever an answer may claim.
    ///
    /// # Errors
    ///
    /// Returns [`KeyError::Length`] for `RSA2` with fewer than 2048 bits, and
    /// [`KeyError::Damaged`] if the library refuses the numbers.
    pub fn new(key: PublicKey, sign_type: SignType) -> Result<Self, KeyError> {
        let der = key.into_pkcs1_der(sign_type.as_str(), sign_type.modulus_bits_min())?;
        let algorithm = match sign_type {
            SignType::Rsa2 => &RSA_PKCS1_2048_8192_SHA256,
            SignType::Rsa => &RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY,
        };
        let key = ParsedPublicKey::new(algorithm, der).map_err(|_opaque| KeyError::Damaged)?;
        Ok(Self { key, sign_type })
    }

    /// Returns the sign type that this verifier was made for.
    #[must_use]
    pub fn sign_type(&self) -> SignType {
        self.sign_type
    }

    /// Checks that `signature_base64` was made over exactly `message`. Allocates nothing.
    ///
    /// # Errors
    ///
    /// Returns [`VerifyError::Malformed`] if the text is no base64 of up to 512 bytes, and
    /// [`VerifyError::Mismatch`] if the signature is not one of this message by this key.
    pub fn verify(&self, message: &[u8], signature_base64: &str) -> Result<(), VerifyError> {
        let mut buffer = [0; SIGNATURE_BYTES_MAX + 2];
        let length = STANDARD
            .decode_slice(signature_base64, &mut buffer)
            .map_err(|_position| VerifyError::Malformed)?;
        self.key
            .verify_sig(message, &buffer[..length])
            .map_err(|_opaque| VerifyError::Mismatch)
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign_type = self.sign_type;
        write!(f, "Verifier({sign_type})")
    }
}

#[cfg(test)]
mod tests;
