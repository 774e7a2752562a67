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
async fn copies_at_the_same_time_become_one_event() {
    let place = Place::start("notify-copies", |_| {}).await;
    let body = place.alipay.signed(place.alipay.refund("T1", &[]));
    let posts = (0..32).map(|_| place.post("main", body.clone()));
    for answer in futures_util::future::join_all(posts).await {
        assert_eq!(answer, success());
    }
    let last = place.alipay.signed(place.alipay.refund("T2", &[]));
    assert_eq!(place.post("main", last).await, success());
    // Events come in the order in which they were confirmed, so none of the copies is to come.
    eventually("the last event", async || {
        let events = place.subscriber.events();
        events
            .iter()
            .any(|event| event["data"]["out_request_no"] == "T2")
    })
    .await;
    assert_eq!(place.subscriber.count(), 2);
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

pub(super) async fn connect(place: &Place) -> TcpStream {
    let authority = place.url.split('/').nth(2).unwrap();
    TcpStream::connect(authority).await.unwrap()
}

/// Name, body, and how it is refused.
type Row = (&'static str, Vec<u8>, Refusal);

/// Status, and the word that counts it.
type Refusal = (u16, &'static str);

const NO_FORM: Refusal = (400, "not_a_form");
const AMBIGUOUS: Refusal = (400, "ambiguous");
const DUPLICATE: Refusal = (400, "duplicate");
const CHARSET: Refusal = (400, "charset");
const UNREADABLE: Refusal = (400, "unreadable");
const UNSIGNED: Refusal = (403, "unsigned");
const FORGED: Refusal = (403, "forged");
const FOREIGN: Refusal = (403, "foreign");
const TOO_LARGE: Refusal = (413, "too_large");

/// The first bytes of a form, about as many as `length`: half a percent sequence is another fault, and
/// where a signature has one is up to its key.
fn cut(form: &str, length: usize) -> String {
    let sequence = form[length - 2..length].find('%');
    form[..length - sequence.map_or(0, |at| 2 - at)].to_owned()
}

/// What Alipay never signed, or not so.
fn forged(place: &Place) -> Vec<Row> {
    let refund = place.alipay.refund("T9", &[]);
    let good = place.alipay.signed(refund.clone());
    let signature = good.rfind("sign=").unwrap();
    let rows = [
        ("nothing", String::new(), NO_FORM),
        ("half a percent sequence", format!("{good}%2"), NO_FORM),
        ("not a form", "{\"a\":1}".to_owned(), AMBIGUOUS),
        ("no signature", encoded(&refund), UNSIGNED),
        ("cut", cut(&good, good.len() / 3), UNSIGNED),
        (
            "cut within the signature",
            cut(&good, signature + 40),
            FORGED,
        ),
        ("another amount", good.replace("1.12", "9.12"), FORGED),
        ("another key", place.forger.signed(refund), FORGED),
        ("one param more", format!("{good}&a=1"), FORGED),
        ("a param twice", format!("{good}&amount=1.12"), DUPLICATE),
    ];
    let mut rows: Vec<Row> = rows
        .into_iter()
        .map(|(name, body, refusal)| (name, body.into_bytes(), refusal))
        .collect();
    rows.push(("bytes", vec![0xff; 100], AMBIGUOUS));
    rows
}

/// What Alipay's key signed, and nothing can be done with.
fn useless(place: &Place) -> Vec<Row> {
    let gbk = GBK.encode("红包").0.into_owned();
    let more = [
        ("another charset", ("remark", gbk), CHARSET),
        ("a param twice", ("amount", b"0.01".to_vec()), DUPLICATE),
    ];
    let changes = [
        (
            "another app of ours",
            ("app_id", "2021000000000002"),
            FOREIGN,
        ),
        (
            "somebody else's app",
            ("app_id", "2021999999999999"),
            FOREIGN,
        ),
        ("a strange charset", ("charset", "latin1"), CHARSET),
        ("no amount", ("amount", "null"), UNREADABLE),
        ("a strange status", ("status", "DONE"), UNREADABLE),
    ];
    let mut rows: Vec<Row> = Vec::new();
    for (name, (param, value), refusal) in more {
        let mut params: Params = place.alipay.refund("T9", &[]);
        params.push((param.to_owned(), value));
        rows.push((name, place.alipay.signed(params).into_bytes(), refusal));
    }
    for (name, change, refusal) in changes {
        let params = place.alipay.refund("T9", &[change]);
        rows.push((name, place.alipay.signed(params).into_bytes(), refusal));
    }
    let other = place.of_other_app.refund("T9", &[]);
    rows.push((
        "to another app",
        place.of_other_app.signed(other).into_bytes(),
        FOREIGN,
    ));
    rows
}

/// By its length in the head, before the first byte of it; and without one, at its first byte too
/// many. Nothing is sent after that: a server that closes with unread bytes resets the connection,
/// and the answer may be lost with it.
async fn a_body_over_the_limit_is_refused(place: &Place) {
    let head = "POST /alipay/notify/main HTTP/1.1\r\nhost: a\r\n";
    let (status, word) = TOO_LARGE;
    let long = BODY_BYTES_MAX + 1;
    for request in [
        format!("{head}content-length: {long}\r\n\r\n"),
        format!(
            "{head}transfer-encoding: chunked\r\n\r\n{long:x}\r\n{}",
            "x".repeat(long)
        ),
    ] {
        let before = place.counted("main", word);
        let mut stream = connect(place).await;
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(answer, *format!("HTTP/1.1 {status}").as_bytes());
        assert_eq!(place.counted("main", word), before + 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_a_true_notice_changes_nothing() {
    let place = Place::start("notify-bad", |_| {}).await;
    let bad = [forged(&place), useless(&place)].concat();
    for (name, body, (status, word)) in bad {
        let before = place.counted("main", word);
        assert_eq!(place.post("main", body).await, fail(status), "{name}");
        assert_eq!(place.counted("main", word), before + 1, "{name}: {word}");
    }
    // Other paths and methods.
    let good = place.alipay.signed(place.alipay.refund("T9", &[]));
    for app in ["stranger", "Main", "main%20", "main%FF"] {
        assert_eq!(place.post(app, good.clone()).await, fail(404), "{app}");
    }
    assert_eq!(place.counted("(none)", "unknown_app"), 4);
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
    a_body_over_the_limit_is_refused(&place).await;

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
async fn without_rabbitmq_a_notice_is_not_answered_success_and_its_repetition_is() {
    let place = Place::start("notify-amqp", |_| {}).await;
    let body = place.alipay.signed(place.alipay.refund("T1", &[]));
    place.amqp.set(Mode::Refuse);
    place.amqp.cut().await;
    assert_eq!(place.post("main", body.clone()).await, fail(503));
    assert_eq!(
        keys(&place.prefix).await,
        [""; 0],
        "nothing is marked as told"
    );
    assert_eq!(place.subscriber.count(), 0);
    place.amqp.set(Mode::Pass);
    let success = async || place.post("main", body.clone()).await == success();
    eventually("a success", success).await;
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
    for _ in 0..200 {
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
