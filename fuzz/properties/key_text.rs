//! Texts where a key belongs: a key that works, or a reason that holds no part of it.

use hongbaod::adapters::alipay::keys::{KeyError, PrivateKey, PublicKey, is_own_public_key};
use hongbaod::adapters::alipay::sign::{SignType, Signer, Verifier, VerifyError};

/// The longest word of our own in a reason has thirteen letters.
const WORD_BYTES_MAX: usize = 13;

/// Checks a text as a private and as a public key.
pub fn check(text: &str) {
    let (private, public) = (PrivateKey::parse(text), PublicKey::parse(text));
    assert!(
        private.is_err() || public.is_err(),
        "both kinds of key at once"
    );
    match private {
        Ok(key) => private_key(&key),
        Err(error) => refused(&error),
    }
    match public {
        Ok(key) => public_key(&key),
        Err(error) => refused(&error),
    }
}

fn private_key(key: &PrivateKey) {
    assert!((1024..=4096).contains(&key.bits()));
    let again = PrivateKey::parse(&key.to_pkcs8_pem()).expect("what is written is a key");
    let public = key.public_key();
    assert_eq!(again.public_key(), public);
    assert!(is_own_public_key(key, &public));
    public_key(&public);
    for sign_type in [SignType::Rsa2, SignType::Rsa] {
        let long_enough = key.bits() >= 2048 || sign_type == SignType::Rsa;
        let signer = Signer::new(key.clone(), sign_type);
        let verifier = Verifier::new(public.clone(), sign_type);
        assert!(signer.is_err() || long_enough, "a short key signs");
        let (Ok(signer), Ok(verifier)) = (signer, verifier) else {
            continue;
        };
        // The library may refuse to sign with strange numbers; it must not sign wrongly.
        if let Ok(sign) = signer.sign(b"message") {
            assert_eq!(verifier.verify(b"message", &sign), Ok(()));
            assert_eq!(
                verifier.verify(b"massage", &sign),
                Err(VerifyError::Mismatch)
            );
        }
    }
}

fn public_key(key: &PublicKey) {
    assert!((1024..=4096).contains(&key.bits()));
    let again = PublicKey::parse(&key.to_spki_pem());
    assert_eq!(again.as_ref(), Ok(key), "what is written is another key");
    for sign_type in [SignType::Rsa2, SignType::Rsa] {
        if let Ok(verifier) = Verifier::new(key.clone(), sign_type) {
            assert!(key.bits() >= 2048 || sign_type == SignType::Rsa);
            assert!(verifier.verify(b"message", "AAAA").is_err());
        }
    }
}

fn refused(error: &KeyError) {
    let told = format!("{error} {error:?}");
    assert!(told.len() < 300, "{told}");
    let key_like = |c: char| c.is_ascii_alphanumeric() || c == '+' || c == '/';
    let display = error.to_string();
    let longest = display
        .split(|c| !key_like(c))
        .filter(|word| !word.starts_with("PKCS"))
        .map(str::len)
        .max();
    assert!(
        longest <= Some(WORD_BYTES_MAX),
        "a part of a key: {display}"
    );
}
