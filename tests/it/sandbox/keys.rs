//! Encrypted contents, certificate mode, and Alipay's change of keys.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hongbaod::adapters::alipay::certificates::{Certificate, CertificateChain, RootBundle};
use hongbaod::adapters::alipay::content_key::ContentKey;
use hongbaod::adapters::alipay::keys::PublicKey;
use hongbaod::adapters::alipay::sign::{SignType, Verifier};
use hongbaod::adapters::alipay::wire::{Envelope, NodeKind, node_name, verify_node};
use hongbaod::domain::time::UnixMillis;
use hongbaod::sandbox::faults::Faults;
use hongbaod::sandbox::keys::SandboxKeys;
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use crate::sandbox::client::{DISBURSE, Lab, Params, START_MS, Signature, disburse, keys};

const DOWNLOAD: &str = "alipay.open.app.alipaycert.download";

fn content_key() -> ContentKey {
    ContentKey::parse(keys().content_key().expose_secret()).unwrap()
}

fn with(mut params: Params, name: &str, value: &str) -> Params {
    params.push((name.to_owned(), value.to_owned()));
    params
}

async fn body(lab: &Lab, params: Params) -> Vec<u8> {
    let response = lab.post(&lab.sign(params)).await.unwrap();
    response.bytes().await.unwrap().to_vec()
}

#[tokio::test]
async fn an_encrypted_call_is_answered_by_an_encrypted_node_signed_with_its_quotes() {
    let lab = Lab::start(Faults::default()).await;
    let key = content_key();
    for (amount, code) in [("1.00", "10000"), ("99.00", "40004"), ("", "40004")] {
        let content = disburse(&format!("N{}", amount.len()), amount).to_string();
        let content = key.encrypt(content.as_bytes()).unwrap();
        let params = with(lab.params(DISBURSE, &content), "encrypt_type", "AES");
        let body = body(&lab, params).await;
        let envelope = Envelope::parse(&body, &node_name(DISBURSE)).unwrap();
        assert_eq!(envelope.node_kind, NodeKind::Encrypted);
        assert_eq!(verify_node(&lab.verifier, &envelope), Ok(()));
        let raw = std::str::from_utf8(envelope.raw_node).unwrap();
        let plain = key.decrypt(raw.trim_matches('"')).unwrap();
        let node: Value = serde_json::from_slice(&plain).unwrap();
        assert_eq!(node["code"], code);
    }
    assert_eq!(lab.movements(), 1);
}

#[tokio::test]
async fn what_cannot_be_decrypted_is_told_in_plain_text() {
    let lab = Lab::start(Faults::default()).await;
    let content = disburse("1", "1.00").to_string();
    let encrypted = content_key().encrypt(content.as_bytes()).unwrap();
    let other = ContentKey::parse("aa4BtZ4tspm2wnXLb1ThQA==").unwrap();
    let other = other.encrypt(content.as_bytes()).unwrap();
    let aes = |content: &str| with(lab.params(DISBURSE, content), "encrypt_type", "AES");
    let rows = [
        (aes(&content), "40002", "isv.decryption-error-unknown"),
        (aes(&other), "40002", "isv.decryption-error-unknown"),
        (
            lab.params(DISBURSE, &encrypted),
            "40001",
            "isv.decryption-error-missing-encrypt-type",
        ),
        (
            with(lab.params(DISBURSE, &encrypted), "encrypt_type", "DES"),
            "40002",
            "isv.invalid-encrypt-type",
        ),
    ];
    for (params, code, sub_code) in rows {
        let body = body(&lab, params).await;
        let (node, signature) = lab.read(&body, DISBURSE);
        assert_eq!(
            (&node["code"], &node["sub_code"]),
            (&json!(code), &json!(sub_code))
        );
        assert_eq!(signature, Signature::Good);
    }
    assert_eq!(lab.movements(), 0);
}

/// A sandbox in certificate mode, its root, and the numbers of the app's certificate and of it.
async fn certified() -> (Lab, RootBundle, [String; 2]) {
    let keys: SandboxKeys = keys().clone().certified(UnixMillis(START_MS)).unwrap();
    let [root, _, app] = keys.certificate_pems().unwrap();
    let roots = RootBundle::parse(root).unwrap();
    let app = Certificate::parse(app).unwrap().serial_number().to_owned();
    let numbers = [app, roots.serial_number().to_owned()];
    let lab = Lab::start_with(&keys, Faults::default(), SignType::Rsa2).await;
    (lab, roots, numbers)
}

fn numbered(params: Params, [app, root]: &[String; 2]) -> Params {
    let params = with(params, "app_cert_sn", app);
    with(params, "alipay_root_cert_sn", root)
}

fn cert_sn(body: &[u8]) -> Option<String> {
    let envelope = Envelope::parse(body, &node_name(DISBURSE)).unwrap();
    envelope.alipay_cert_sn.map(|number| number.to_string())
}

#[tokio::test]
async fn in_certificate_mode_calls_name_their_certificate_and_answers_alipays() {
    let (lab, _, numbers) = certified().await;
    let content = disburse("1", "1.00").to_string();
    let params = || lab.params(DISBURSE, &content);
    let wrong = "0".repeat(32);
    let [app, root] = &numbers;
    let rows = [
        (params(), "isv.missing-app-cert-sn"),
        (
            with(params(), "app_cert_sn", app),
            "isv.missing-alipay-root-cert-sn",
        ),
        (
            numbered(params(), &[wrong.clone(), root.clone()]),
            "isv.app-cert-not-exist",
        ),
        (
            numbered(params(), &[app.clone(), wrong.clone()]),
            "isv.invalid-parameter",
        ),
    ];
    for (params, sub_code) in rows {
        let body = body(&lab, params).await;
        let (node, signature) = lab.read(&body, DISBURSE);
        assert_eq!(
            (&node["sub_code"], signature),
            (&json!(sub_code), Signature::Good)
        );
    }
    let done = body(&lab, numbered(params(), &numbers)).await;
    assert_eq!(lab.read(&done, DISBURSE).0["code"], "10000");
    let text = String::from_utf8(done.clone()).unwrap();
    let at = |part: &str| text.find(part).unwrap();
    assert!(at("_response") < at("alipay_cert_sn") && at("alipay_cert_sn") < at("\"sign\""));
    assert_eq!(cert_sn(&done).unwrap().len(), 32);
    // The app's certificate ends after five years of the sandbox's clock.
    lab.put_forward("1000d").await;
    lab.put_forward("1000d").await;
    let late = body(&lab, numbered(params(), &numbers)).await;
    let late = lab.read(&late, DISBURSE).0;
    assert_eq!(late["sub_code"], "isv.app-cert-expired");
}

#[tokio::test]
async fn alipay_changes_its_certificate_and_hands_out_the_new_one() {
    let (lab, roots, numbers) = certified().await;
    let call = |number: &str| {
        let content = disburse(number, "1.00").to_string();
        body(&lab, numbered(lab.params(DISBURSE, &content), &numbers))
    };
    let before = cert_sn(&call("1").await).unwrap();
    let request = lab.http.post(lab.url("/_sandbox/rotate"));
    let foreign = request.try_clone().unwrap();
    let foreign = foreign.header("origin", "http://elsewhere.example");
    assert_eq!(foreign.send().await.unwrap().status(), 403);
    let rotated = request.send().await.unwrap().bytes().await.unwrap();
    let rotated: Value = serde_json::from_slice(&rotated).unwrap();

    let answer = call("2").await;
    let after = cert_sn(&answer).unwrap();
    assert_ne!(after, before);
    assert_eq!(rotated["alipay_cert_sn"], json!(after));
    assert_eq!(lab.read(&answer, DISBURSE).1, Signature::Bad);
    for number in [&before, &after] {
        let content = json!({ "alipay_cert_sn": number }).to_string();
        let body = body(&lab, numbered(lab.params(DOWNLOAD, &content), &numbers)).await;
        let node = lab.read(&body, DOWNLOAD).0;
        let pem = STANDARD
            .decode(node["alipay_cert_content"].as_str().unwrap())
            .unwrap();
        let pem = String::from_utf8(pem).unwrap();
        let chain = CertificateChain::parse(&pem).unwrap();
        assert_eq!(chain.leaf().serial_number(), number);
        let now = i64::try_from(START_MS / 1000).unwrap();
        assert_eq!(roots.verify(&chain, now), Ok(()));
        if number == &after {
            let key = chain.leaf().public_key().unwrap();
            let verifier = Verifier::new(key, SignType::Rsa2).unwrap();
            let envelope = Envelope::parse(&answer, &node_name(DISBURSE)).unwrap();
            assert_eq!(verify_node(&verifier, &envelope), Ok(()));
        }
    }
    let content = json!({ "alipay_cert_sn": "0".repeat(32) }).to_string();
    let unknown = body(&lab, numbered(lab.params(DOWNLOAD, &content), &numbers)).await;
    assert_eq!(lab.read(&unknown, DOWNLOAD).0["code"], "40002");
}

#[tokio::test]
async fn alipay_changes_its_public_key_outside_certificate_mode_too() {
    let lab = Lab::start(Faults::default()).await;
    let request = lab.http.post(lab.url("/_sandbox/rotate"));
    let rotated = request.send().await.unwrap().bytes().await.unwrap();
    let rotated: Value = serde_json::from_slice(&rotated).unwrap();
    assert_eq!(rotated["alipay_cert_sn"], Value::Null);
    let key = PublicKey::parse(rotated["alipay_public_key"].as_str().unwrap()).unwrap();
    let verifier = Verifier::new(key, SignType::Rsa2).unwrap();
    let params = lab.params(DISBURSE, &disburse("1", "1.00").to_string());
    let body = body(&lab, params).await;
    assert_eq!(lab.read(&body, DISBURSE).1, Signature::Bad);
    let envelope = Envelope::parse(&body, &node_name(DISBURSE)).unwrap();
    assert_eq!(verify_node(&verifier, &envelope), Ok(()));
}
