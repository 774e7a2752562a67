//! Requests that two servers could take apart differently, and heads without end: this listener
//! stands behind a proxy, and what the proxy takes for one request must not be two here.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::listener::connect;
use super::place::Place;

const HEAD: &str = "POST /alipay/notify/main HTTP/1.1\r\nhost: a\r\n";

/// Everything that is answered to these bytes.
async fn answers(place: &Place, request: &str) -> String {
    let mut stream = connect(place).await;
    let mut answer = Vec::new();
    // The server may have ended the connection by then, which the answer tells.
    drop(stream.write_all(request.as_bytes()).await);
    drop(stream.read_to_end(&mut answer).await);
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_whose_end_is_not_certain_is_refused_or_ends_its_connection() {
    let place = Place::start("notify-framing", |_| {}).await;
    let chunked = "transfer-encoding: chunked\r\n";
    let second = "POST /alipay/notify/stranger HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n";
    let many: String = (0..120).map(|number| format!("h{number}: 1\r\n")).collect();
    for (what, rest, status) in [
        (
            "two lengths",
            "content-length: 3\r\ncontent-length: 5\r\n\r\na=1bb".to_owned(),
            "400",
        ),
        (
            "a list of lengths",
            "content-length: 3, 3\r\n\r\na=1".to_owned(),
            "400",
        ),
        (
            "a signed length",
            "content-length: +3\r\n\r\na=1".to_owned(),
            "400",
        ),
        (
            "a strange coding",
            "transfer-encoding: xchunked\r\n\r\n3\r\na=1\r\n0\r\n\r\n".to_owned(),
            "400",
        ),
        (
            "two codings",
            format!("{chunked}transfer-encoding: identity\r\n\r\n3\r\na=1\r\n0\r\n\r\n"),
            "400",
        ),
        (
            "a folded header",
            "x: a\r\n b\r\ncontent-length: 3\r\n\r\na=1".to_owned(),
            "400",
        ),
        (
            "a blank before the colon",
            "content-length : 3\r\n\r\na=1".to_owned(),
            "400",
        ),
        (
            "more than 100 headers",
            format!("{many}content-length: 3\r\n\r\na=1"),
            "431",
        ),
        // RFC 9112, 6.1: taken by its chunks, and the connection ends.
        (
            "both",
            format!("content-length: 99\r\n{chunked}\r\n3\r\na=1\r\n0\r\n\r\n"),
            "403",
        ),
    ] {
        let answer = answers(&place, &format!("{HEAD}{rest}{second}")).await;
        let expected = format!("HTTP/1.1 {status}");
        assert!(answer.starts_with(&expected), "{what}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{what}: {answer}");
    }
    // The second request of the same connection is one, where the first has a certain end.
    let good = format!("{HEAD}content-length: 3\r\n\r\na=1{second}");
    let good = good.replace(
        "content-length: 0",
        "content-length: 0\r\nconnection: close",
    );
    let answer = answers(&place, &good).await;
    assert!(
        answer.contains("HTTP/1.1 403") && answer.contains("HTTP/1.1 404"),
        "{answer}"
    );
    place.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_that_is_too_long_is_not_answered_success() {
    let place = Place::start("notify-heads", |_| {}).await;
    let long_path = format!("POST /{} HTTP/1.1\r\nhost: a\r\n\r\n", "a".repeat(70_000));
    let answer = answers(&place, &long_path).await;
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 414"),
        "{answer}"
    );
    let endless = format!("{HEAD}x: {}", "a".repeat(200_000));
    assert_eq!(answers(&place, &endless).await, "");
    place.close().await;
}
