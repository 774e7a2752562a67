use std::sync::LazyLock;

use proptest::prelude::*;
use rsa::RsaPublicKey;
use rsa::pkcs8::{DecodePrivateKey, DecodePublicKey};
use rsa::sha2::{Digest, Sha256};

use super::*;
use crate::adapters::alipay::keys::tests::short_key;

static KEY: LazyLock<PrivateKey> = LazyLock::new(|| PrivateKey::generate().unwrap());

fn pair(sign_type: SignType) -> (Signer, Verifier) {
    let signer = Signer::new(KEY.clone(), sign_type).unwrap();
    let verifier = Verifier::new(KEY.public_key(), sign_type).unwrap();
    (signer, verifier)
}

#[test]
fn the_canonical_string_is_sorted_and_leaves_sign_and_empty_values_out() {
    let rows: [(&[(&str, &str)], &str); 7] = [
        (&[], ""),
        (&[("sign", "x"), ("a", "")], ""),
        (
            &[
                ("method", "m"),
                ("sign_type", "RSA2"),
                ("sign", "x"),
                ("app_id", "1"),
            ],
            "app_id=1&method=m&sign_type=RSA2",
        ),
        // Values are raw, capitals come before the underscore, that before small letters.
        (
            &[("ab", "&=%+ "), ("a_", "红包"), ("aB", "0")],
            "aB=0&a_=红包&ab=&=%+ ",
        ),
        (&[("b", " "), ("a", "@x")], "a=@x&b= "),
        (&[("a1", "1"), ("a", "2")], "a=2&a1=1"),
        (&[("a", "2"), ("a", "1")], "a=1&a=2"),
    ];
    for (params, text) in rows {
        assert_eq!(canonical_string(params.iter().copied()), text);
        let params = params.iter().map(|(k, v)| (k.as_bytes(), v.as_bytes()));
        assert_eq!(canonical_bytes(params), text.as_bytes());
    }
}

#[test]
fn signatures_are_those_of_an_independent_implementation() {
    let message = "app_id=1&biz_content={\"remark\":\"红包\"}".as_bytes();
    let numbers = RsaPrivateKey::from_pkcs8_pem(&KEY.to_pkcs8_pem()).unwrap();

    let scheme = Pkcs1v15Sign::new::<Sha256>();
    let expected = numbers.sign(scheme, &Sha256::digest(message)).unwrap();
    let (signer, _) = pair(SignType::Rsa2);
    let sign = signer.sign(message).unwrap();
    assert_eq!(sign, STANDARD.encode(expected));
    assert_eq!(sign.len(), 344);
}

#[test]
fn a_signature_verifies_only_over_its_message_with_its_key_and_type() {
    let message =
        br#"{"code":"10000","msg":"Success","file_id":"CAxAToWB1JsAAAAAAAAAAAAADgSLAQBr"}"#;
    let other_key = PrivateKey::generate().unwrap().public_key();
    for (sign_type, other_type) in [
        (SignType::Rsa2, SignType::Rsa),
        (SignType::Rsa, SignType::Rsa2),
    ] {
        let (signer, verifier) = pair(sign_type);
        let sign = signer.sign(message).unwrap();
        assert_eq!(
            sign,
            signer.sign(message).unwrap(),
            "deterministic, blinded or not"
        );
        assert_eq!(verifier.verify(message, &sign), Ok(()));

        let mut changed = message.to_vec();
        for at in [0, 40, message.len() - 1] {
            changed[at] ^= 1;
            assert_eq!(verifier.verify(&changed, &sign), Err(VerifyError::Mismatch));
            changed[at] ^= 1;
        }
        let (_, of_other_type) = pair(other_type);
        assert_eq!(
            of_other_type.verify(message, &sign),
            Err(VerifyError::Mismatch)
        );
        let of_other_key = Verifier::new(other_key.clone(), sign_type).unwrap();
        assert_eq!(
            of_other_key.verify(message, &sign),
            Err(VerifyError::Mismatch)
        );
    }
}

#[test]
fn what_is_no_signature_is_malformed_and_a_wrong_one_a_mismatch() {
    let (signer, verifier) = pair(SignType::Rsa2);
    let sign = signer.sign(b"m").unwrap();
    let long = STANDARD.encode([0; 600]);
    let rows = [
        ("", VerifyError::Mismatch),
        ("AAAA", VerifyError::Mismatch),
        (&STANDARD.encode([0; 512]), VerifyError::Mismatch),
        (&STANDARD.encode([0; 256]), VerifyError::Mismatch),
        (&STANDARD.encode([0; 255]), VerifyError::Mismatch),
        (&long, VerifyError::Malformed),
        ("not base64", VerifyError::Malformed),
        ("红包", VerifyError::Malformed),
        (&sign.replace('=', ""), VerifyError::Malformed),
        (&sign[..343], VerifyError::Malformed),
        (&format!("{sign}\n"), VerifyError::Malformed),
    ];
    for (sign, error) in rows {
        assert_eq!(verifier.verify(b"m", sign), Err(error), "{sign}");
    }
}

#[test]
fn the_legacy_type_takes_short_keys_and_rsa2_does_not() {
    let key = short_key(1024);
    let signer = Signer::new(key.clone(), SignType::Rsa).unwrap();
    let verifier = Verifier::new(key.public_key(), SignType::Rsa).unwrap();
    let sign = signer.sign(b"m").unwrap();
    assert_eq!(sign.len(), 172);
    assert_eq!(verifier.verify(b"m", &sign), Ok(()));

    let message = "RSA2 needs 2048 to 4096 bits, this key has 1024";
    let error = Verifier::new(key.public_key(), SignType::Rsa2).unwrap_err();
    assert_eq!(error.to_string(), message);
    let error = Signer::new(key, SignType::Rsa2).unwrap_err();
    assert_eq!(error.to_string(), message);
}

#[test]
fn legacy_signatures_are_made_with_the_prefix_of_sha1() {
    let (signer, _) = pair(SignType::Rsa);
    let sign = STANDARD.decode(signer.sign(b"m").unwrap()).unwrap();
    let public = RsaPublicKey::from_public_key_pem(&KEY.public_key().to_spki_pem()).unwrap();
    let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, b"m");
    let scheme = Pkcs1v15Sign {
        hash_len: Some(20),
        prefix: SHA1_PREFIX.into(),
    };
    assert_eq!(public.verify(scheme, hash.as_ref(), &sign), Ok(()));
}

#[test]
fn sign_types_are_spelt_as_alipay_spells_them() {
    for sign_type in [SignType::Rsa2, SignType::Rsa] {
        assert_eq!(sign_type.to_string().parse(), Ok(sign_type));
    }
    for text in ["", "rsa2", "RSA256", "SM2"] {
        assert_eq!(text.parse::<SignType>(), Err(ParseSignTypeError));
    }
}

#[test]
fn debug_shows_no_key() {
    let (signer, verifier) = pair(SignType::Rsa2);
    assert_eq!(
        format!("{signer:?} {verifier:?}"),
        "Signer(RSA2, redacted) Verifier(RSA2)"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_message_verifies_and_no_text_panics(
        message in any::<Vec<u8>>(),
        text in any::<String>(),
    ) {
        static PAIR: LazyLock<(Signer, Verifier)> = LazyLock::new(|| pair(SignType::Rsa2));
        let (signer, verifier) = &*PAIR;
        let sign = signer.sign(&message).unwrap();
        prop_assert_eq!(verifier.verify(&message, &sign), Ok(()));
        prop_assert!(verifier.verify(&message, &text).is_err());
    }

    #[test]
    fn the_order_of_the_params_does_not_matter(
        params in prop::collection::btree_map("[a-z_]{1,6}", "[ -~]{0,8}", 0..8)
    ) {
        let pairs = || params.iter().map(|(k, v)| (k.as_str(), v.as_str()));
        prop_assert_eq!(canonical_string(pairs()), canonical_string(pairs().rev()));
    }
}
