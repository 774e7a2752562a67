//! What the listener answers, and that nothing changes by what it refuses.

use std::num::NonZeroU32;
use std::time::Duration;

use encoding_rs::GBK;
use hongbaod::app::config::Network;
use hongbaod::app::notify_server::BODY_BYTES_MAX;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::alipay::{Params, encoded};
use super::place::Place;
use crate::patience::eventually;
use crate::proxy::Mode;
use crate::redis_server::connection;
use crate::servers::redis_url;

fn success() -> (u16, String) {
    (200, "success".to_owned())
}

fn fail(status: u16) -> (u16, String) {
    (status, "fail".to_owned())
}

/// Everything that Redis holds of a prefix, but for the canary.
async fn keys(prefix: &str) -> Vec<String> {
    let mut redis = connection(&redis_url()).await;
    let mut command = redis::cmd("KEYS");
    let keys: Vec<String> = command
        .arg(format!("{prefix}:*"))
        .query_async(&mut redis)
        .await
        .unwrap();
    let canary = format!("{prefix}:canary");
    keys.into_iter().filter(|key| *key != canary).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_true_notice_is_answered_success_once_its_event_is_confirmed() {
    let place = Place::start("notify", |_| {}).await;
    let body = place.alipay.signed(place.alipay.refund("T1", &[]));
    assert_eq!(place.post("main", body.clone()).await, success());
    eventually("the event", async || place.subscriber.count() == 1).await;
    let event = place.subscriber.events().remove(0);
    assert_eq!(event["type"], "hongbao.refund.succeeded.v1");
    assert_eq!(event["data"]["origin"], "notification");
    assert_eq!(event["data"]["amount"], "1.12");
    // Alipay did not hear us, and repeats it.
    for _ in 0..3 {
        assert_eq!(place.post("main", body.clone()).await, success());
    }
    assert_eq!(
        (
            place.counted("main", "told"),
            place.counted("main", "known")
        ),
        (1, 3)
    );
    let keys = keys(&place.prefix).await;
    assert_eq!(keys.len(), 1, "{keys:?}");
    let mut redis = connection(&redis_url()).await;
    let left: i64 = redis::cmd("PTTL")
        .arg(&keys[0])
        .query_async(&mut redis)
        .await
        .unwrap();
    assert!((1..=7 * 24 * 3_600_000).contains(&left), "{left}");
    assert_eq!(place.subscriber.count(), 1);
    place.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_notice_in_gbk_is_verified_over_its_own_bytes() {
    let place = Place::start("notify-gbk", |_| {}).await;
    let mut params = place.alipay.refund("T1", &[("charset", "GBK")]);
    let remark = GBK.encode("恭喜发财，大吉大利").0.into_owned();
    params.push(("remark".to_owned(), remark));
    assert_eq!(
        place.post("main", place.alipay.signed(params)).await,
        success()
    );
    place.close().await;
}

async fn connect(place: &Place) -> TcpStream {
    let authority = place.url.split('/').nth(2).unwrap();
    TcpStream::connect(authority).await.unwrap()
}

/// Name, body, status, and the word that counts it.
type Row = (&'static str, Vec<u8>, u16, &'static str);

/// What is refused by its body.
fn bad_bodies(place: &Place) -> Vec<Row> {
    let refund = |change: &[(&str, &str)]| place.alipay.refund("T9", change);
    let good = place.alipay.signed(refund(&[]));
    let twice = |name: &str| {
        let mut params = refund(&[]);
        params.push((name.to_owned(), b"0.01".to_vec()));
        place.alipay.signed(params)
    };
    let gbk: Params = {
        let mut params = refund(&[]);
        params.push(("remark".to_owned(), GBK.encode("红包").0.into_owned()));
        params
    };
    let cut = good[..good.rfind("sign=").unwrap() + 40].to_owned();
    let rows = [
        ("nothing", String::new(), 400, "not_a_form"),
        ("not a form", "{\"a\":1}".to_owned(), 400, "ambiguous"),
        (
            "half a percent sequence",
            format!("{good}%2"),
            400,
            "not_a_form",
        ),
        (
            "without a signature",
            encoded(&refund(&[])),
            403,
            "unsigned",
        ),
        ("cut within the signature", cut, 403, "forged"),
        (
            "cut before it",
            good[..good.len() / 3].to_owned(),
            403,
            "unsigned",
        ),
        (
            "another amount",
            good.replace("1.12", "9.12"),
            403,
            "forged",
        ),
        (
            "another key",
            place.forger.signed(refund(&[])),
            403,
            "forged",
        ),
        ("one param more", format!("{good}&a=1"), 403, "forged"),
        ("a signed param twice", twice("amount"), 400, "duplicate"),
        (
            "a param twice",
            format!("{good}&amount=1.12"),
            400,
            "duplicate",
        ),
        (
            "another app of ours",
            place
                .of_other_app
                .signed(refund(&[("app_id", "2021000000000002")])),
            403,
            "foreign",
        ),
        (
            "somebody else's app",
            place
                .alipay
                .signed(refund(&[("app_id", "2021999999999999")])),
            403,
            "foreign",
        ),
        ("another charset", place.alipay.signed(gbk), 400, "charset"),
        (
            "a strange charset",
            place.alipay.signed(refund(&[("charset", "latin1")])),
            400,
            "charset",
        ),
        (
            "no amount",
            place.alipay.signed(refund(&[("amount", "null")])),
            400,
            "unreadable",
        ),
        (
            "a strange status",
            place.alipay.signed(refund(&[("status", "DONE")])),
            400,
            "unreadable",
        ),
    ];
    let mut rows: Vec<Row> = rows
        .into_iter()
        .map(|(name, body, status, word)| (name, body.into_bytes(), status, word))
        .collect();
    let mut long = good.into_bytes();
    long.extend(std::iter::repeat_n(b'x', BODY_BYTES_MAX));
    rows.push(("65 KiB", long, 413, "too_large"));
    rows.push(("bytes", vec![0xff; 100], 400, "ambiguous"));
    rows
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_a_true_notice_changes_nothing() {
    let place = Place::start("notify-bad", |_| {}).await;
    for (name, body, status, word) in bad_bodies(&place) {
        let before = place.counted("main", word);
        assert_eq!(place.post("main", body).await, fail(status), "{name}");
        assert_eq!(place.counted("main", word), before + 1, "{name}: {word}");
    }
    // Other paths and methods.
    let good = place.alipay.signed(place.alipay.refund("T9", &[]));
    for app in ["stranger", "Main", "main%20"] {
        assert_eq!(place.post(app, good.clone()).await, fail(404), "{app}");
    }
    assert_eq!(place.counted("(none)", "unknown_app"), 3);
    assert!(!place.assembly.metrics.encode().contains("stranger"));
    assert_eq!(place.post("main/", good.clone()).await.0, 404);
    assert_eq!(place.post("../../metrics", good.clone()).await.0, 404);
    let get = place
        .http
        .get(format!("{}/main", place.url))
        .send()
        .await
        .unwrap();
    assert_eq!(
        (
            get.status().as_u16(),
            get.headers()["allow"].to_str().unwrap()
        ),
        (405, "POST")
    );
    // One body of unknown length, over the limit.
    let mut stream = connect(&place).await;
    let head = "POST /alipay/notify/main HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";
    let chunk = format!("{head}11000\r\n{}\r\n0\r\n\r\n", "x".repeat(0x11000));
    // It may close the connection while there is more to come.
    drop(stream.write_all(chunk.as_bytes()).await);
    let mut status = [0; 12];
    stream.read_exact(&mut status).await.unwrap();
    assert_eq!(&status, b"HTTP/1.1 413");

    assert_eq!(keys(&place.prefix).await, [""; 0]);
    assert_eq!(place.subscriber.count(), 0);
    // The true one, once for all.
    assert_eq!(place.post("main", good).await, success());
    place.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_redis_a_notice_is_not_answered_success_and_its_repetition_is() {
    let place = Place::start("notify-redis", |config| {
        config.redis.response_timeout = Duration::from_millis(200);
    })
    .await;
    let body = place.alipay.signed(place.alipay.refund("T1", &[]));
    place.redis.set(Mode::Refuse);
    place.redis.cut().await;
    assert_eq!(place.post("main", body.clone()).await, fail(503));
    assert_eq!(place.subscriber.count(), 0);
    place.redis.set(Mode::Pass);
    eventually("a success", async || {
        place.post("main", body.clone()).await == success()
    })
    .await;
    eventually("the event", async || place.subscriber.count() == 1).await;
    place.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_that_sends_too_many_is_put_off_and_others_are_not() {
    let place = Place::start("notify-rate", |config| {
        config.notify.rate_per_source = NonZeroU32::new(5).unwrap();
        config.notify.trusted_proxies = vec![Network::parse("127.0.0.1").unwrap()];
    })
    .await;
    let post = async |source: &str| {
        let request = place.http.post(format!("{}/main", place.url)).body("a=1");
        let answer = request
            .header("x-forwarded-for", source.to_owned())
            .send()
            .await;
        answer.unwrap().status().as_u16()
    };
    let mut statuses = Vec::new();
    for _ in 0..40 {
        statuses.push(post("192.0.2.1").await);
    }
    assert_eq!(statuses[..5], [403; 5]);
    assert!(statuses.contains(&429), "{statuses:?}");
    assert_eq!(post("192.0.2.2").await, 403);
    place.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_sends_slowly_is_left_and_holds_up_nobody() {
    let place = Place::start("notify-slow", |_| {}).await;
    let mut slow = Vec::new();
    for head in [
        &b"POST /alipay/notify/main HTTP/1.1\r\nhost: a\r\n"[..],
        b"POST /alipay/notify/main HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nab",
    ] {
        let mut stream = connect(&place).await;
        stream.write_all(head).await.unwrap();
        slow.push(stream);
    }
    let body = place.alipay.signed(place.alipay.refund("T1", &[]));
    assert_eq!(place.post("main", body).await, success());
    let mut answer = String::new();
    slow[1].read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    // A head that never ends: the connection ends instead.
    let mut nothing = Vec::new();
    let ended = slow[0].read_to_end(&mut nothing).await;
    assert!(ended.is_err() || nothing.is_empty(), "{nothing:?}");
    place.close().await;
}
