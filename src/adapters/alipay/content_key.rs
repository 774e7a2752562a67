//! Alipay's content encryption: AES under a key that the app shares with Alipay.
//!
//! Source: Alipay open platform, `encrypt_type=AES`, as its Java, Node and EasySDK clients do it:
//! AES-128 in CBC mode with PKCS#7 padding and an IV of sixteen zero bytes, ciphertext in base64.
//! It hides the content from whoever reads requests on the way; it proves nothing about who wrote
//! it, so only a signature that was verified before makes decrypted content worth reading.

use std::fmt;

use aws_lc_rs::cipher::{
    AES_128, AES_128_KEY_LEN, DecryptionContext, EncryptionContext, PaddedBlockDecryptingKey,
    PaddedBlockEncryptingKey, UnboundCipherKey,
};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use secrecy::zeroize::Zeroizing;

use crate::adapters::alipay::keys::{KeyError, text};

/// The IV that Alipay prescribes.
const ZERO_IV: [u8; 16] = [0; 16];

/// Why a text is no content key. Never holds any part of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ContentKeyError {
    /// The text is not base64.
    #[error(transparent)]
    Text(#[from] KeyError),
    /// Base64 of something else: a key of another algorithm, or of AES-256.
    #[error(
        "an AES key of {AES_128_KEY_LEN} bytes (24 base64 characters) belongs here, this has {bytes} bytes"
    )]
    Length {
        /// How many bytes the text holds.
        bytes: usize,
    },
    /// The cryptographic library refused it.
    #[error("the cryptographic library refused the AES key")]
    Refused,
}

/// The library failed to encrypt. It says nothing about why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the cryptographic library failed to encrypt")]
pub struct EncryptError;

/// A text is not encrypted under this key. Holds nothing of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecryptError {
    /// Not base64 at all.
    #[error("the encrypted content is not base64")]
    NotBase64,
    /// Another key, or damaged.
    #[error("the content was encrypted under another key, or is damaged")]
    OtherKey,
}

/// An AES-128 key that an app shares with Alipay, loaded once.
pub struct ContentKey {
    encrypting: PaddedBlockEncryptingKey,
    decrypting: PaddedBlockDecryptingKey,
}

impl ContentKey {
    /// Reads a key as the open platform shows it: base64 of sixteen bytes. Blanks and line
    /// breaks do not matter.
    ///
    /// # Errors
    ///
    /// A [`ContentKeyError`] that tells what is wrong; never any part of the key.
    pub fn parse(key_base64: &str) -> Result<Self, ContentKeyError> {
        let bytes: Zeroizing<Vec<u8>> = text::decode(key_base64, 0)?;
        if bytes.len() != AES_128_KEY_LEN {
            let bytes = bytes.len();
            return Err(ContentKeyError::Length { bytes });
        }
        let unbound =
            || UnboundCipherKey::new(&AES_128, &bytes).map_err(|_opaque| ContentKeyError::Refused);
        Ok(Self {
            encrypting: PaddedBlockEncryptingKey::cbc_pkcs7(unbound()?)
                .map_err(|_opaque| ContentKeyError::Refused)?,
            decrypting: PaddedBlockDecryptingKey::cbc_pkcs7(unbound()?)
                .map_err(|_opaque| ContentKeyError::Refused)?,
        })
    }

    /// Returns `content` encrypted, in base64: the same text for the same content.
    ///
    /// # Errors
    ///
    /// [`EncryptError`] when the library fails, which a loaded key gives no reason for.
    pub fn encrypt(&self, content: &[u8]) -> Result<String, EncryptError> {
        let mut buffer = content.to_vec();
        let context = EncryptionContext::Iv128(ZERO_IV.into());
        // Less safe, because equal contents show as equal: Alipay's IV is fixed.
        self.encrypting
            .less_safe_encrypt(&mut buffer, context)
            .map_err(|_opaque| EncryptError)?;
        Ok(STANDARD.encode(buffer))
    }

    /// Returns what `encrypted_base64` holds. Verify the signature before: this proves nothing.
    ///
    /// # Errors
    ///
    /// [`DecryptError`], which tells another key from what is no base64, and nothing more.
    pub fn decrypt(&self, encrypted_base64: &str) -> Result<Vec<u8>, DecryptError> {
        let mut buffer = STANDARD
            .decode(encrypted_base64)
            .map_err(|_position| DecryptError::NotBase64)?;
        let context = DecryptionContext::Iv128(ZERO_IV.into());
        let content = self
            .decrypting
            .decrypt(&mut buffer, context)
            .map_err(|_opaque| DecryptError::OtherKey)?;
        Ok(content.to_vec())
    }
}

impl fmt::Debug for ContentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ContentKey(AES-128, redacted)")
    }
}

#[cfg(test)]
mod tests {
    use super::{ContentKey, ContentKeyError, DecryptError};
    use crate::adapters::alipay::keys::KeyError;
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use proptest::prelude::*;

    /// The key and the content of the tests of Alipay's Java SDK and EasySDK.
    const KEY: &str = "aa4BtZ4tspm2wnXLb1ThQA==";
    const CONTENT: &str = "test1234567";
    const ENCRYPTED: &str = "ILpoMowjIQjfYMR847rnFQ==";

    #[test]
    fn alipays_own_vector_agrees_both_ways() {
        for key in [
            KEY,
            " aa4BtZ4tspm2\r\nwnXLb1ThQA==\n",
            "aa4BtZ4tspm2wnXLb1ThQA",
        ] {
            let key = ContentKey::parse(key).unwrap();
            assert_eq!(key.encrypt(CONTENT.as_bytes()).unwrap(), ENCRYPTED);
            assert_eq!(key.decrypt(ENCRYPTED).unwrap(), CONTENT.as_bytes());
        }
    }

    #[test]
    fn what_is_no_content_key_is_named_and_never_quoted() {
        let rows = [
            ("", ContentKeyError::Text(KeyError::Empty)),
            (" \r\n", ContentKeyError::Text(KeyError::Empty)),
            (
                "aa4B?",
                ContentKeyError::Text(KeyError::NotBase64 { byte: 5 }),
            ),
            ("aa4Bt", ContentKeyError::Text(KeyError::Base64Cut)),
            (
                "aa4BtZ4tspm2wnXLb1Th",
                ContentKeyError::Length { bytes: 15 },
            ),
            (
                &STANDARD.encode([7; 32]),
                ContentKeyError::Length { bytes: 32 },
            ),
        ];
        for (text, expected) in rows {
            let error = ContentKey::parse(text).unwrap_err();
            assert_eq!(error, expected, "{text}");
            assert!(!format!("{error} {error:?}").contains("aa4B"));
        }
        let key = ContentKey::parse(KEY).unwrap();
        assert_eq!(format!("{key:?}"), "ContentKey(AES-128, redacted)");
    }

    #[test]
    fn what_was_not_encrypted_under_the_key_is_refused() {
        let key = ContentKey::parse(KEY).unwrap();
        let other = ContentKey::parse("bb4BtZ4tspm2wnXLb1ThQA==").unwrap();
        assert_eq!(other.decrypt(ENCRYPTED), Err(DecryptError::OtherKey));
        for (text, error) in [
            ("", DecryptError::OtherKey),
            ("ILpoMow=", DecryptError::OtherKey),
            ("{\"code\":1}", DecryptError::NotBase64),
            ("ILpoMowjIQjfYMR847rnFQ", DecryptError::NotBase64),
        ] {
            assert_eq!(key.decrypt(text), Err(error), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_content_survives_encryption(content in prop::collection::vec(any::<u8>(), 0..100)) {
            let key = ContentKey::parse(KEY).unwrap();
            let encrypted = key.encrypt(&content).unwrap();
            prop_assert_eq!(key.decrypt(&encrypted).unwrap(), content);
        }
    }
}
