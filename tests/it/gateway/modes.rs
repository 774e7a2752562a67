//! The gateway in the other forms that apps have: GBK, encrypted content, several keys,
//! certificates, keys that change; over real connections.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hongbaod::adapters::alipay::certificates::{Certificate, RootBundle};
use hongbaod::adapters::alipay::content_key::ContentKey;
use hongbaod::adapters::alipay::keys::PrivateKey;
use hongbaod::adapters::alipay::sign::{SignType, Signer, canonical_bytes};
use hongbaod::adapters::alipay::wire::{Charset, RawParam, form_decode_bytes};
use hongbaod::adapters::alipay::{
    AlipayGateway, AlipayOptions, AppOptions, CertificateOptions, TrustOptions,
};
use hongbaod::adapters::clock::SystemClock;
use hongbaod::domain::verdict::{Doubt, Finding, Verdict};
use hongbaod::ports::gateway::Gateway as _;

use super::server::{Reply, Seen, Server, http};
use super::world::{
    ALIPAY_KEY, APP_KEY, app, app_options, app_verifier, disburse, gateway_of, options,
};
use super::{DISBURSE, QUERY, SUCCESS, ok, target};
use crate::certificates::{ALIPAY, Made, World};

const DOWNLOAD: &str = "alipay.open.app.alipaycert.download";
const AES_KEY: &str = "aa4BtZ4tspm2wnXLb1ThQA==";

fn gateway(url: &str, change: impl FnOnce(&mut AppOptions)) -> AlipayGateway {
    let mut app = app_options();
    change(&mut app);
    gateway_of(AlipayOptions {
        apps: vec![app],
        ..options(url)
    })
}

async fn send(gateway: &AlipayGateway) -> Verdict {
    let prepared = gateway.prepare(&disburse()).unwrap();
    gateway.send(&app(), &prepared).await
}

fn is_success(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Succeeded(_))
}

/// The params of a request as bytes, and whether the app's signature covers them.
fn checked_params(seen: &Seen) -> Vec<RawParam> {
    let (_, query) = seen.target().split_once('?').unwrap();
    let mut params = form_decode_bytes(query.as_bytes()).unwrap();
    params.extend(form_decode_bytes(&seen.body).unwrap());
    let all = || params.iter().map(|(name, value)| (&**name, &**value));
    let sign = all().find(|(name, _)| *name == b"sign").unwrap().1;
    let sign = std::str::from_utf8(sign).unwrap();
    app_verifier()
        .verify(&canonical_bytes(all()), sign)
        .unwrap();
    params
}

fn param<'a>(params: &'a [RawParam], name: &str) -> &'a [u8] {
    let mut found = params.iter().filter(|(other, _)| other == name.as_bytes());
    let value = &found.next().unwrap_or_else(|| panic!("no {name}")).1;
    assert!(found.next().is_none(), "{name} comes twice");
    value
}

/// An answer over these very bytes, by a key of Alipay's.
fn answer(key: &PrivateKey, method: &str, node: &[u8], more: &str) -> Vec<u8> {
    let sign = Signer::new(key.clone(), SignType::Rsa2)
        .unwrap()
        .sign(node)
        .unwrap();
    let name = method.replace('.', "_");
    [
        format!("{{\"{name}_response\":").as_bytes(),
        node,
        format!("{more},\"sign\":\"{sign}\"}}").as_bytes(),
    ]
    .concat()
}

#[tokio::test]
async fn an_app_in_gbk_asks_and_is_answered_in_gbk() {
    // "通" in GBK is well-formed UTF-8 of another meaning; the signature covers the raw bytes.
    let node = SUCCESS.replace("Success", "通");
    let node = Charset::Gbk.encode(&node).unwrap();
    let server = Server::replying(ok(&answer(&ALIPAY_KEY, DISBURSE, &node, ""))).await;
    let gateway = gateway(&server.url, |app| app.charset = Charset::Gbk);
    assert!(is_success(&send(&gateway).await));

    let seen = &server.seen()[0];
    assert_eq!(
        seen.header("content-type"),
        Some("application/x-www-form-urlencoded;charset=gbk")
    );
    let params = checked_params(seen);
    assert_eq!(param(&params, "charset"), b"gbk");
    let content = Charset::Gbk.decode(param(&params, "biz_content")).unwrap();
    assert!(content.contains("新年 快乐 & 100% + more"), "{content}");
    assert_eq!(gateway.unwritable(&disburse()), []);
}

#[tokio::test]
async fn content_is_encrypted_both_ways_and_errors_come_plain() {
    for charset in [Charset::Utf8, Charset::Gbk] {
        let key = ContentKey::parse(AES_KEY).unwrap();
        let plain = SUCCESS.replace("Success", "成功");
        let encrypted = key.encrypt(&charset.encode(&plain).unwrap()).unwrap();
        let node = format!("\"{encrypted}\"");
        let escaped = node.replace('/', "\\/");
        let refusal = r#"{"code":"40004","sub_code":"PAYEE_NOT_EXIST"}"#;
        for (node, expected) in [
            (node.as_str(), "succeeded"),
            (&escaped, "succeeded"),
            (refusal, "refused"),
            // Signed, and encrypted under another key.
            ("\"ILpoMowjIQjfYMR847rnFQ==\"", "unknown"),
        ] {
            let body = answer(&ALIPAY_KEY, DISBURSE, node.as_bytes(), "");
            let server = Server::replying(ok(&body)).await;
            let gateway = gateway(&server.url, |app| {
                app.charset = charset;
                app.content_key = Some(ContentKey::parse(AES_KEY).unwrap());
            });
            assert_eq!(send(&gateway).await.as_str(), expected, "{node}");
            let params = checked_params(&server.seen()[0]);
            assert_eq!(param(&params, "encrypt_type"), b"AES");
            let sent = std::str::from_utf8(param(&params, "biz_content")).unwrap();
            let sent = key.decrypt(sent).unwrap();
            let prepared = gateway.prepare(&disburse()).unwrap();
            assert_eq!(charset.decode(&sent).unwrap(), prepared.biz_content.0);
        }
    }
}

#[tokio::test]
async fn encrypted_content_without_a_good_signature_or_a_key_is_no_answer() {
    let key = ContentKey::parse(AES_KEY).unwrap();
    let node = format!("\"{}\"", key.encrypt(SUCCESS.as_bytes()).unwrap());
    let forger = PrivateKey::generate().unwrap();
    let unsigned = format!(r#"{{"{}_response":{node}}}"#, DISBURSE.replace('.', "_"));
    let forged = answer(&forger, DISBURSE, node.as_bytes(), "");
    let genuine = answer(&ALIPAY_KEY, DISBURSE, node.as_bytes(), "");
    for (body, with_key, doubt) in [
        (unsigned.as_bytes(), true, Doubt::Unreadable),
        (&forged, true, Doubt::Unverified),
        (&genuine, false, Doubt::Unreadable),
    ] {
        let server = Server::replying(ok(body)).await;
        let gateway = gateway(&server.url, |app| {
            app.content_key = with_key.then(|| ContentKey::parse(AES_KEY).unwrap());
        });
        assert_eq!(send(&gateway).await, Verdict::Unknown(doubt));
    }
}

#[tokio::test]
async fn the_old_and_the_new_key_verify_side_by_side() {
    let new = PrivateKey::generate().unwrap();
    let other = PrivateKey::generate().unwrap();
    let keys = vec![ALIPAY_KEY.public_key(), new.public_key()];
    for (key, expected) in [
        (&*ALIPAY_KEY, "succeeded"),
        (&new, "succeeded"),
        (&other, "unknown"),
    ] {
        let body = answer(key, DISBURSE, SUCCESS.as_bytes(), "");
        let server = Server::replying(ok(&body)).await;
        let gateway = gateway(&server.url, |app| {
            app.trust = TrustOptions::Keys(keys.clone());
        });
        assert_eq!(send(&gateway).await.as_str(), expected);
    }
}

#[tokio::test]
async fn exchanged_keys_count_from_the_next_call_on_and_bad_ones_never() {
    let new = PrivateKey::generate().unwrap();
    let body = answer(&new, DISBURSE, SUCCESS.as_bytes(), "");
    let server = Server::replying(ok(&body)).await;
    let gateway = gateway(&server.url, |_| {});
    assert_eq!(
        send(&gateway).await,
        Verdict::Unknown(Doubt::Unverified),
        "the new key is not known yet"
    );
    let with = |key: &PrivateKey, token: &str| AppOptions {
        trust: TrustOptions::Keys(vec![key.public_key()]),
        app_auth_token: Some(token.to_owned().into()),
        ..app_options()
    };
    // The app's own key where Alipay's belongs: nothing is exchanged.
    assert!(gateway.exchange(with(&APP_KEY, "T1")).is_err());
    gateway.exchange(with(&new, "T2")).unwrap();
    assert!(is_success(&send(&gateway).await));
    let seen = server.seen();
    assert_eq!(param(&checked_params(&seen[1]), "app_auth_token"), b"T2");
}

/// An app in certificate mode; Alipay's certificate is `alipay.crt` of the world.
struct Certified {
    world: World,
    /// What Alipay signs with.
    alipay: PrivateKey,
}

impl Certified {
    fn new() -> Self {
        let world = World::new();
        let alipay = PrivateKey::parse(&world.read("alipay.key")).unwrap();
        let app = Made {
            name: "other",
            subject: "/C=CN/O=Shop/CN=2021000000000001",
            issuer: "middle",
            extensions: "basicConstraints=CA:FALSE",
            options: &[],
        };
        world.make(&app);
        Self { world, alipay }
    }

    fn certificate(&self, file: &str) -> Certificate {
        Certificate::parse(&self.world.read(file)).unwrap()
    }

    /// Alipay's next certificate, for a key and an owner; its text has the authority's after it.
    fn next(&self, key: &PrivateKey, subject: &str, issuer: &str) -> (String, String) {
        let directory = self.world.path().join("next.key");
        std::fs::write(directory, &*key.to_pkcs8_pem()).unwrap();
        self.world.make(&Made {
            name: "next",
            subject,
            issuer,
            extensions: "basicConstraints=CA:FALSE",
            options: &[],
        });
        let number = self.certificate("next.crt").serial_number().to_owned();
        let text = format!(
            "{}{}",
            self.world.read("next.crt"),
            self.world.read("middle.crt")
        );
        (number, text)
    }

    /// A gateway under the real clock, for the certificates are made today.
    fn gateway(&self, url: &str) -> AlipayGateway {
        let mut app = app_options();
        app.private_key = PrivateKey::parse(&self.world.read("other.key")).unwrap();
        app.trust = TrustOptions::Certificates(Box::new(CertificateOptions {
            app: self.certificate("other.crt"),
            alipay: self.certificate("alipay.crt"),
            roots: RootBundle::parse(&self.world.read("root.crt")).unwrap(),
        }));
        let options = AlipayOptions {
            apps: vec![app],
            timeout: Duration::from_secs(20),
            connect_timeout: Duration::from_secs(10),
            ..options(url)
        };
        AlipayGateway::new(options, Arc::new(SystemClock::new())).unwrap()
    }
}

fn named(number: &str) -> String {
    format!(r#","alipay_cert_sn":"{number}""#)
}

/// Answers a disburse by `paid`, and the download by `downloaded`.
async fn serving(paid: Vec<u8>, downloaded: Vec<u8>) -> Server {
    Server::replying(Reply::By(Arc::new(move |seen: &Seen| {
        let body = if is_download(seen) {
            &downloaded
        } else {
            &paid
        };
        http("200 OK", body)
    })))
    .await
}

fn is_download(seen: &Seen) -> bool {
    let params = form_decode_bytes(&seen.body).unwrap();
    param(&params, "method") == DOWNLOAD.as_bytes()
}

fn downloads(server: &Server) -> usize {
    let seen = server.seen();
    seen.iter().filter(|seen| is_download(seen)).count()
}

fn download_node(text: &str) -> String {
    let content = STANDARD.encode(text);
    format!(r#"{{"code":"10000","msg":"Success","alipay_cert_content":"{content}"}}"#)
}

#[tokio::test]
async fn certificate_mode_names_both_numbers_and_takes_the_configured_certificate() {
    let certified = Certified::new();
    let number = certified
        .certificate("alipay.crt")
        .serial_number()
        .to_owned();
    for more in [named(&number), String::new()] {
        let body = answer(&certified.alipay, DISBURSE, SUCCESS.as_bytes(), &more);
        let server = serving(body, Vec::new()).await;
        let gateway = certified.gateway(&server.url);
        assert!(is_success(&send(&gateway).await));
        assert_eq!(server.seen().len(), 1, "nothing had to be downloaded");
        let params = form_decode_bytes(&server.seen()[0].body).unwrap();
        for (name, file) in [
            ("app_cert_sn", "other.crt"),
            ("alipay_root_cert_sn", "root.crt"),
        ] {
            let number = certified.certificate(file).serial_number().to_owned();
            assert_eq!(param(&params, name), number.as_bytes(), "{name}");
        }
        let expiries = gateway.certificate_expiries();
        let which: Vec<_> = expiries.iter().map(|expiry| expiry.which).collect();
        assert_eq!(which, ["app", "alipay", "alipay_root"]);
    }
    // Another key under the configured number.
    let body = answer(&ALIPAY_KEY, DISBURSE, SUCCESS.as_bytes(), &named(&number));
    let server = serving(body, Vec::new()).await;
    let verdict = send(&certified.gateway(&server.url)).await;
    assert_eq!(verdict, Verdict::Unknown(Doubt::Unverified));
}

#[tokio::test]
async fn an_unknown_certificate_is_downloaded_once_and_its_answers_are_verified() {
    let certified = Certified::new();
    let key = PrivateKey::generate().unwrap();
    let (number, text) = certified.next(&key, ALIPAY, "middle");
    let paid = answer(&key, DISBURSE, SUCCESS.as_bytes(), &named(&number));
    let node = download_node(&text);
    let downloaded = answer(&key, DOWNLOAD, node.as_bytes(), &named(&number));
    let server = serving(paid, downloaded).await;
    let gateway = certified.gateway(&server.url);
    let (one, two) = tokio::join!(send(&gateway), send(&gateway));
    assert!(is_success(&one) && is_success(&two));
    assert!(is_success(&send(&gateway).await));
    assert_eq!(downloads(&server), 1);
    let seen = server.seen();
    let asked = seen.iter().find(|seen| is_download(seen));
    let asked = String::from_utf8(asked.unwrap().body.clone()).unwrap();
    assert!(asked.contains(&number), "{asked}");
    let expiries = gateway.certificate_expiries();
    assert_eq!(expiries[3].which, "alipay_downloaded");
    assert_eq!(gateway.verifiers(&app(), Some(&number)).len(), 1);
}

#[tokio::test]
async fn a_certificate_that_is_not_alipays_verifies_nothing() {
    let certified = Certified::new();
    let key = PrivateKey::generate().unwrap();
    let (merchants, merchants_text) = certified.next(&key, "/C=CN/O=Rival/CN=2088", "middle");
    let (selfmade, selfmade_text) = certified.next(&key, ALIPAY, "next");
    let (good, good_text) = certified.next(&key, ALIPAY, "middle");
    let by = |key: &PrivateKey, number: &str, text: &str| {
        let node = download_node(text);
        answer(key, DOWNLOAD, node.as_bytes(), &named(number))
    };
    let other = PrivateKey::generate().unwrap();
    let error = br#"{"code":"40004","sub_code":"ISV_ERROR"}"#;
    for (number, downloaded) in [
        (&merchants, by(&key, &merchants, &merchants_text)),
        (&selfmade, by(&key, &selfmade, &selfmade_text)),
        // Another certificate than the one that was asked for.
        (&good, by(&key, &good, &merchants_text)),
        // The right one, in an answer that its key has not signed.
        (&good, by(&other, &good, &good_text)),
        (&good, by(&key, &good, "no certificate")),
        (&good, answer(&key, DOWNLOAD, error, "")),
        (&good, b"<html>".to_vec()),
    ] {
        let paid = answer(&key, DISBURSE, SUCCESS.as_bytes(), &named(number));
        let server = serving(paid, downloaded).await;
        let gateway = certified.gateway(&server.url);
        for _ in 0..3 {
            let verdict = send(&gateway).await;
            assert_eq!(verdict, Verdict::Unknown(Doubt::Unverified));
        }
        assert_eq!(downloads(&server), 1, "the next one waits");
        assert_eq!(gateway.verifiers(&app(), Some(number)).len(), 0);
    }
    // What is no number at all is not asked for.
    let paid = answer(
        &key,
        QUERY,
        b"{\"code\":\"10000\"}",
        &named("../etc\\u0022"),
    );
    let server = serving(paid, Vec::new()).await;
    let finding = certified
        .gateway(&server.url)
        .query(&app(), &target())
        .await;
    assert_eq!(finding, Finding::Unknown(Doubt::Unverified));
    assert_eq!(downloads(&server), 0);
}
