use std::sync::LazyLock;

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use proptest::prelude::*;

use super::*;

static KEY: LazyLock<PrivateKey> = LazyLock::new(|| PrivateKey::generate().unwrap());

/// The DER of the test key: PKCS#1, PKCS#8, public PKCS#1, SPKI.
fn ders() -> [Vec<u8>; 4] {
    let public = KEY.key.to_public_key();
    [
        KEY.key.to_pkcs1_der().unwrap().as_bytes().to_vec(),
        KEY.key.to_pkcs8_der().unwrap().as_bytes().to_vec(),
        public.to_pkcs1_der().unwrap().into_vec(),
        public.to_public_key_der().unwrap().into_vec(),
    ]
}

fn pem(label: &str, der: &[u8]) -> String {
    let base64 = STANDARD.encode(der);
    let lines: Vec<_> = base64
        .as_bytes()
        .chunks(64)
        .map(|line| std::str::from_utf8(line).unwrap())
        .collect();
    let body = lines.join("\n");
    format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n")
}

/// Every way in which users hold `der`, by name.
fn spellings(label: &str, other_label: &str, der: &[u8]) -> Vec<(&'static str, String)> {
    let armoured = pem(label, der);
    let bare = STANDARD.encode(der);
    let wrapped: String = armoured
        .lines()
        .filter(|line| !line.starts_with('-'))
        .map(|line| format!("  {line} \t\r\n"))
        .collect();
    vec![
        ("PEM", armoured.clone()),
        ("PEM with CRLF", armoured.replace('\n', "\r\n")),
        ("PEM with CR", armoured.replace('\n', "\r")),
        ("PEM with a byte order mark", format!("\u{feff}{armoured}")),
        ("PEM in one line", armoured.replace('\n', " ")),
        ("PEM with spelt line breaks", armoured.replace('\n', "\\n")),
        (
            "PEM after other text",
            format!("Bag Attributes\n  x: 1\n{armoured}\nend"),
        ),
        ("PEM with the other armour", pem(other_label, der)),
        ("bare", bare.clone()),
        (
            "bare with a byte order mark and a line end",
            format!("\u{feff}{bare}\r\n"),
        ),
        ("bare in lines", wrapped),
        ("bare without padding", STANDARD_NO_PAD.encode(der)),
        ("bare with wide blanks", format!("\u{3000}{bare}\u{a0}")),
    ]
}

#[test]
fn every_shape_of_a_private_key_is_read() {
    let [pkcs1, pkcs8, ..] = ders();
    let shapes = [
        ("RSA PRIVATE KEY", "PRIVATE KEY", pkcs1),
        ("PRIVATE KEY", "RSA PRIVATE KEY", pkcs8),
    ];
    for (label, other_label, der) in shapes {
        for (name, text) in spellings(label, other_label, &der) {
            let key = PrivateKey::parse(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(key.key, KEY.key, "{label}, {name}");
        }
    }
}

#[test]
fn every_shape_of_a_public_key_is_read() {
    let [.., pkcs1, spki] = ders();
    let shapes = [
        ("RSA PUBLIC KEY", "PUBLIC KEY", pkcs1),
        ("PUBLIC KEY", "RSA PUBLIC KEY", spki),
    ];
    for (label, other_label, der) in shapes {
        for (name, text) in spellings(label, other_label, &der) {
            let key = PublicKey::parse(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(key, KEY.public_key(), "{label}, {name}");
        }
    }
}

#[test]
fn what_is_written_can_be_read() {
    let pem = KEY.to_pkcs8_pem();
    assert!(pem.starts_with("-----BEGIN PRIVATE KEY-----\n"));
    assert_eq!(PrivateKey::parse(&pem).unwrap().key, KEY.key);
    assert_eq!(KEY.bits(), 2048);

    let pem = KEY.public_key().to_spki_pem();
    assert!(pem.starts_with("-----BEGIN PUBLIC KEY-----\n"));
    assert_eq!(PublicKey::parse(&pem), Ok(KEY.public_key()));
}

#[test]
fn the_apps_own_public_key_is_recognised() {
    let [.., pkcs1, _] = ders();
    let pasted = PublicKey::parse(&STANDARD.encode(pkcs1)).unwrap();
    let alipays = PrivateKey::generate().unwrap().public_key();
    assert!(is_own_public_key(&KEY, &pasted));
    assert!(!is_own_public_key(&KEY, &alipays));
}

#[test]
fn a_key_in_the_wrong_place_is_called_what_it_is() {
    let [private_pkcs1, private_pkcs8, public_pkcs1, spki] = ders();
    let ec = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &SystemRandom::new());
    let ec = ec.unwrap();
    let proc_type = "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nAAAA";
    let legacy =
        format!("-----BEGIN RSA PRIVATE KEY-----\n{proc_type}\n-----END RSA PRIVATE KEY-----");
    let certificates = pem("CERTIFICATE", b"x").repeat(2);
    let rows = [
        (STANDARD.encode(public_pkcs1), "a public key"),
        (STANDARD.encode(&spki), "a public key"),
        (pem("PRIVATE KEY", &spki), "a public key"),
        (
            STANDARD.encode(ec.as_ref()),
            "a key of another algorithm than RSA",
        ),
        (
            pem("EC PRIVATE KEY", b"x"),
            "a key of another algorithm than RSA",
        ),
        (
            pem("ENCRYPTED PRIVATE KEY", b"x"),
            "an encrypted private key (take the pass phrase off first)",
        ),
        (
            legacy,
            "an encrypted private key (take the pass phrase off first)",
        ),
        (pem("OPENSSH PRIVATE KEY", b"x"), "a key in OpenSSH format"),
        (certificates, "an X.509 certificate"),
    ];
    for (text, found) in rows {
        let error = PrivateKey::parse(&text).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("{found} where a private key belongs")
        );
    }

    let rows = [
        (STANDARD.encode(private_pkcs1), "a private key"),
        (STANDARD.encode(&private_pkcs8), "a private key"),
        (pem("PUBLIC KEY", &private_pkcs8), "a private key"),
        (pem("CERTIFICATE", b"x"), "an X.509 certificate"),
        (pem("CERTIFICATE REQUEST", b"x"), "a certificate request"),
    ];
    for (text, found) in rows {
        let error = PublicKey::parse(&text).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("{found} where a public key belongs")
        );
    }
}

#[test]
fn a_broken_text_is_told_from_a_wrong_one() {
    let [_, pkcs8, ..] = ders();
    let base64 = STANDARD.encode(&pkcs8);
    let armoured = pem("PRIVATE KEY", &pkcs8);
    let byte = "-----BEGIN PRIVATE KEY-----\nMII".len() + 1;
    let marked = armoured.replacen("-----\nMII", "-----\nMII*", 1);
    let unfinished = armoured.split("-----END").next().unwrap();
    let half_der = STANDARD.encode(&pkcs8[..600]);
    let rows = [
        ("", KeyError::Empty),
        (" \r\n\u{feff}", KeyError::Empty),
        ("-----BEGIN X-----\n-----END X-----", KeyError::Empty),
        ("keys/app.pem", KeyError::NotBase64 { byte: 9 }),
        ("\u{feff}MII,", KeyError::NotBase64 { byte: 7 }),
        ("MII\\x", KeyError::NotBase64 { byte: 4 }),
        (&marked, KeyError::NotBase64 { byte }),
        (&base64[..base64.len() / 4 * 4 - 3], KeyError::Base64Cut),
        ("MI=I", KeyError::Base64Cut),
        (&half_der, KeyError::Unrecognised),
        ("aGVsbG8gd29ybGQ=", KeyError::Unrecognised),
        ("MAA=", KeyError::Unrecognised),
        (unfinished, KeyError::PemUnfinished),
        ("-----BEGIN X", KeyError::PemUnfinished),
        (&armoured.repeat(2), KeyError::PemSeveral),
    ];
    for (text, error) in rows {
        assert_eq!(PrivateKey::parse(text).unwrap_err(), error);
        assert_eq!(PublicKey::parse(text).unwrap_err(), error);
    }
    assert_eq!(
        KeyError::NotBase64 { byte: 9 }.to_string(),
        "not base64 at byte 9"
    );
}

#[test]
fn numbers_that_do_not_belong_together_are_refused() {
    let [mut pkcs1, ..] = ders();
    // The last byte belongs to the coefficient, which is computed anew; the private exponent
    // lies before the two primes and their three companions.
    let at = pkcs1.len() - 5 * 132 - 40;
    pkcs1[at] ^= 1;
    let damaged = PrivateKey::parse(&STANDARD.encode(pkcs1));
    assert_eq!(damaged.unwrap_err(), KeyError::Damaged);
}

#[test]
fn a_key_too_short_for_its_use_is_refused_with_its_length() {
    let key = short_key(1024);
    assert_eq!(
        key.to_key_pair().unwrap_err().to_string(),
        "RSA2 needs 2048 to 4096 bits, this key has 1024"
    );
    assert!(key.public_key().into_pkcs1_der("RSA2", 2048).is_err());
    assert!(key.public_key().into_pkcs1_der("RSA", 1024).is_ok());

    let pem = short_key(512).to_pkcs8_pem();
    assert_eq!(
        PrivateKey::parse(&pem).unwrap_err().to_string(),
        "RSA needs 1024 to 4096 bits, this key has 512"
    );
}

#[test]
fn debug_shows_no_part_of_a_key() {
    assert_eq!(format!("{:?}", *KEY), "PrivateKey(2048 bits, redacted)");
    assert_eq!(format!("{:?}", KEY.public_key()), "PublicKey(2048 bits)");
}

proptest! {
    #[test]
    fn no_text_makes_the_parsers_panic(text in any::<String>(), der in any::<Vec<u8>>()) {
        for text in [text, STANDARD.encode(&der), pem("PRIVATE KEY", &der)] {
            prop_assert!(PrivateKey::parse(&text).is_err());
            prop_assert!(PublicKey::parse(&text).is_err());
        }
    }

    #[test]
    fn a_cut_or_changed_key_never_panics(cut in 1_usize..1000, at in 0_usize..1000, to: u8) {
        for mut der in ders() {
            let index = at % der.len();
            der[index] = to;
            let changed = STANDARD.encode(&der);
            // A changed public key may still be one; the point is that nothing panics.
            let parsed = (PrivateKey::parse(&changed), PublicKey::parse(&changed));
            prop_assert!(parsed.0.is_err() || parsed.1.is_err());
            der.truncate(der.len().saturating_sub(cut));
            prop_assert!(PrivateKey::parse(&STANDARD.encode(&der)).is_err());
        }
    }
}

/// Makes a key of a length that the fast library refuses to make.
pub(crate) fn short_key(bits: usize) -> PrivateKey {
    struct Random;

    impl rsa::rand_core::RngCore for Random {
        fn next_u32(&mut self) -> u32 {
            rsa::rand_core::impls::next_u32_via_fill(self)
        }

        fn next_u64(&mut self) -> u64 {
            rsa::rand_core::impls::next_u64_via_fill(self)
        }

        fn fill_bytes(&mut self, dest: &mut [u8]) {
            SystemRandom::new().fill(dest).unwrap();
        }

        fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), rsa::rand_core::Error> {
            self.fill_bytes(dest);
            Ok(())
        }
    }

    impl rsa::rand_core::CryptoRng for Random {}

    let key = RsaPrivateKey::new(&mut Random, bits).unwrap();
    PrivateKey { key }
}
