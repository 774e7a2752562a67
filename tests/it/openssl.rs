//! Keys and signatures against an independent implementation, the `openssl` command.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed step of the set-up is a failed test"
)]

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hongbaod::adapters::alipay::answer::Judge;
use hongbaod::adapters::alipay::codes::Codes;
use hongbaod::adapters::alipay::keys::{PrivateKey, PublicKey, is_own_public_key};
use hongbaod::adapters::alipay::method::Method;
use hongbaod::adapters::alipay::request::{Encryption, PublicParams, Seal, Template};
use hongbaod::adapters::alipay::sign::{SignType, Signer, Verifier, VerifyError};
use hongbaod::adapters::alipay::wire::{Charset, form_decode_bytes};
use hongbaod::domain::ident::MerchantNo;
use hongbaod::domain::money::Fen;
use hongbaod::domain::time::UnixMillis;
use hongbaod::domain::verdict::{Refusal, Verdict};
use hongbaod::ports::gateway::Expected;
use tempfile::TempDir;

/// Runs `openssl` in `dir`, arguments separated by blanks.
pub(crate) fn openssl(dir: &Path, arguments: &str) {
    let output = Command::new("openssl")
        .args(arguments.split(' '))
        .current_dir(dir)
        .output()
        .expect("the openssl command is installed");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "openssl {arguments}: {stderr}");
}

/// Runs `openssl` and returns what it wrote to the file `out`.
fn made(dir: &Path, arguments: &str) -> Vec<u8> {
    openssl(dir, &format!("{arguments} -out out"));
    fs::read(dir.join("out")).unwrap()
}

fn made_pem(dir: &Path, arguments: &str) -> String {
    String::from_utf8(made(dir, arguments)).unwrap()
}

fn made_base64(dir: &Path, arguments: &str) -> String {
    STANDARD.encode(made(dir, &format!("{arguments} -outform DER")))
}

/// A directory with the RSA key `key.pem` of 2048 bits.
fn dir_with_key() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    openssl(dir.path(), "genrsa -out key.pem 2048");
    dir
}

#[test]
fn every_shape_that_openssl_writes_is_the_same_key() {
    let dir = dir_with_key();
    let dir = dir.path();
    let privates = [
        fs::read_to_string(dir.join("key.pem")).unwrap(),
        made_pem(dir, "rsa -in key.pem -traditional"),
        made_pem(dir, "pkcs8 -topk8 -nocrypt -in key.pem"),
        made_base64(dir, "rsa -in key.pem -traditional"),
        made_base64(dir, "pkcs8 -topk8 -nocrypt -in key.pem"),
    ];
    let publics = [
        made_pem(dir, "rsa -in key.pem -pubout"),
        made_pem(dir, "rsa -in key.pem -RSAPublicKey_out"),
        made_base64(dir, "rsa -in key.pem -pubout"),
        made_base64(dir, "rsa -in key.pem -RSAPublicKey_out"),
    ];
    for private in &privates {
        let private = PrivateKey::parse(private).unwrap();
        for public in &publics {
            let public = PublicKey::parse(public).unwrap();
            assert!(is_own_public_key(&private, &public));
        }
    }
}

#[test]
fn what_is_no_key_for_its_place_is_named() {
    let dir = dir_with_key();
    let dir = dir.path();
    openssl(dir, "ecparam -name prime256v1 -genkey -noout -out ec.pem");
    let certificate = "req -x509 -new -key key.pem -subj /CN=x -days 1";
    let request = "req -new -key key.pem -subj /CN=x";
    let encrypted = "an encrypted private key (take the pass phrase off first)";
    let an_x509_certificate = "an X.509 certificate";
    let other_algorithm = "a key of another algorithm than RSA";

    let rows = [
        (
            made_pem(dir, "rsa -aes256 -passout pass:x -in key.pem"),
            encrypted,
        ),
        (
            made_pem(dir, "rsa -traditional -aes256 -passout pass:x -in key.pem"),
            encrypted,
        ),
        (
            made_base64(dir, "pkcs8 -topk8 -passout pass:x -in key.pem"),
            encrypted,
        ),
        (made_pem(dir, "genpkey -algorithm ed25519"), other_algorithm),
        (made_pem(dir, "ec -in ec.pem"), other_algorithm),
        (made_base64(dir, "ec -in ec.pem"), other_algorithm),
        (made_pem(dir, "rsa -in key.pem -pubout"), "a public key"),
    ];
    for (text, found) in rows {
        let error = PrivateKey::parse(&text).unwrap_err().to_string();
        assert_eq!(error, format!("{found} where a private key belongs"));
    }

    let rows = [
        (made_pem(dir, certificate), an_x509_certificate),
        (made_base64(dir, certificate), an_x509_certificate),
        (made_pem(dir, request), "a certificate request"),
        (made_base64(dir, request), an_x509_certificate),
        (made_pem(dir, "ec -in ec.pem -pubout"), other_algorithm),
        (made_base64(dir, "rsa -in key.pem"), "a private key"),
    ];
    for (text, found) in rows {
        let error = PublicKey::parse(&text).unwrap_err().to_string();
        assert_eq!(error, format!("{found} where a public key belongs"));
    }
}

#[test]
fn signatures_agree_both_ways() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let key = PrivateKey::generate().unwrap();
    fs::write(dir.join("key.pem"), &*key.to_pkcs8_pem()).unwrap();
    fs::write(dir.join("public.pem"), key.public_key().to_spki_pem()).unwrap();
    openssl(dir, "rsa -in key.pem -check -noout");
    let message = "app_id=1&biz_content={\"remark\":\"红包\"}&sign_type=RSA2".as_bytes();
    fs::write(dir.join("message"), message).unwrap();

    for (sign_type, hash) in [(SignType::Rsa2, "sha256"), (SignType::Rsa, "sha1")] {
        let signer = Signer::new(key.clone(), sign_type).unwrap();
        let verifier = Verifier::new(key.public_key(), sign_type).unwrap();

        let ours = signer.sign(message).unwrap();
        fs::write(dir.join("ours"), STANDARD.decode(&ours).unwrap()).unwrap();
        openssl(
            dir,
            &format!("dgst -{hash} -verify public.pem -signature ours message"),
        );

        openssl(
            dir,
            &format!("dgst -{hash} -sign key.pem -out theirs message"),
        );
        let theirs = STANDARD.encode(fs::read(dir.join("theirs")).unwrap());
        assert_eq!(verifier.verify(message, &theirs), Ok(()));
        assert_eq!(
            verifier.verify(b"other", &theirs),
            Err(VerifyError::Mismatch)
        );
        assert_eq!(ours, theirs);
    }
}

/// Lets openssl check a request as the gateway reads it.
fn check_request(dir: &Path, hash: &str, signer: &Signer, charset: Charset) {
    let params = PublicParams {
        gateway_url: "http://gateway.test/gateway.do",
        app_id: "2021000000000000",
        sign_type: signer.sign_type().as_str(),
        charset,
        certificate_numbers: None,
        encryption: Encryption::None,
        app_auth_token: None,
        notify_url: None,
        return_url: None,
    };
    let seal = Seal {
        signer,
        content_key: None,
    };
    let content = r#"{"order_title":"红包 & 100%"}"#;
    let request = Template::new(&params, Method::Disburse)
        .sign(seal, content, UnixMillis(1_795_312_801_234))
        .unwrap();
    let (_, query) = request.url.split_once('?').unwrap();
    let mut sent = form_decode_bytes(query.as_bytes()).unwrap();
    sent.extend(form_decode_bytes(request.body.as_bytes()).unwrap());
    let place = sent.iter().position(|(name, _)| name == b"sign").unwrap();
    let (_, sign) = sent.remove(place);
    // Put together here a second time, from the gateway's own description.
    sent.sort();
    let lines: Vec<Vec<u8>> = sent
        .iter()
        .map(|(name, value)| [name.as_slice(), b"=", value].concat())
        .collect();
    fs::write(dir.join("message"), lines.join(&b'&')).unwrap();
    fs::write(dir.join("ours"), STANDARD.decode(sign).unwrap()).unwrap();
    openssl(
        dir,
        &format!("dgst -{hash} -verify public.pem -signature ours message"),
    );
}

/// Judges an answer that openssl has signed.
fn check_answer(dir: &Path, hash: &str, verifiers: &[Arc<Verifier>], charset: Charset) {
    let node = r#"{"code":"40004","sub_code":"PAYEE_NOT_EXIST","sub_msg":"收款用户不存在"}"#;
    let bytes = charset.encode(node).unwrap();
    fs::write(dir.join("message"), &bytes).unwrap();
    openssl(
        dir,
        &format!("dgst -{hash} -sign key.pem -out theirs message"),
    );
    let sign = STANDARD.encode(fs::read(dir.join("theirs")).unwrap());
    let body = [
        b"{\"alipay_fund_coupon_order_disburse_response\":",
        &*bytes,
        format!(",\"sign\":\"{sign}\"}}").as_bytes(),
    ]
    .concat();
    let judge = Judge {
        method: Method::Disburse,
        verifiers,
        charset,
        content_key: None,
        codes: &Codes::default(),
    };
    let expected = Expected {
        out_request_no: MerchantNo::new("R1").unwrap(),
        amount: Fen::new(1).unwrap(),
    };
    let refused = Verdict::Refused(Refusal {
        code: "40004".to_owned(),
        sub_code: Some("PAYEE_NOT_EXIST".to_owned()),
        display_message: Some("收款用户不存在".to_owned()),
    });
    assert_eq!(judge.verdict(&body, &expected).0, refused, "{charset:?}");
}

/// What is signed are the bytes of the charset, so each side checks the other's.
#[test]
fn requests_and_answers_agree_in_both_sign_types_and_charsets() {
    let dir = dir_with_key();
    let dir = dir.path();
    openssl(dir, "rsa -in key.pem -pubout -out public.pem");
    let key = PrivateKey::parse(&fs::read_to_string(dir.join("key.pem")).unwrap()).unwrap();
    for (sign_type, hash) in [(SignType::Rsa2, "sha256"), (SignType::Rsa, "sha1")] {
        let signer = Signer::new(key.clone(), sign_type).unwrap();
        let verifier = Verifier::new(key.public_key(), sign_type).unwrap();
        let verifiers = [Arc::new(verifier)];
        for charset in [Charset::Utf8, Charset::Gbk] {
            check_request(dir, hash, &signer, charset);
            check_answer(dir, hash, &verifiers, charset);
        }
    }
}

#[test]
fn a_short_key_signs_with_the_legacy_type_alone() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    openssl(dir, "genrsa -out key.pem 1024");
    fs::write(dir.join("message"), "m").unwrap();
    openssl(dir, "dgst -sha1 -sign key.pem -out theirs message");
    let theirs = STANDARD.encode(fs::read(dir.join("theirs")).unwrap());

    let key = PrivateKey::parse(&fs::read_to_string(dir.join("key.pem")).unwrap()).unwrap();
    let signer = Signer::new(key.clone(), SignType::Rsa).unwrap();
    assert_eq!(signer.sign(b"m").unwrap(), theirs);
    let error = Signer::new(key, SignType::Rsa2).unwrap_err();
    assert_eq!(
        error.to_string(),
        "RSA2 needs 2048 to 4096 bits, this key has 1024"
    );
}
