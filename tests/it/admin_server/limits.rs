//! What the admin listener takes, by whom it is asked, and that nobody keeps others out.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use super::{TOKEN, World};
use crate::patience::eventually;

/// Everything that is answered to these bytes until the connection ends.
async fn answers(mut stream: TcpStream, request: &str) -> String {
    let mut answer = Vec::new();
    // The server may have ended the connection by then, which the answer tells.
    drop(stream.write_all(request.as_bytes()).await);
    drop(stream.read_to_end(&mut answer).await);
    String::from_utf8_lossy(&answer).into_owned()
}

async fn connect(world: &World) -> TcpStream {
    TcpStream::connect(world.server.address).await.unwrap()
}

/// Connects from another address of this machine.
async fn connect_from_elsewhere(world: &World) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    let from = SocketAddr::from((Ipv4Addr::new(127, 0, 0, 2), 0));
    socket.bind(from).unwrap();
    socket.connect(world.server.address).await.unwrap()
}

fn get(path: &str, host: &str, more: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n{more}\r\n")
}

async fn status(world: &World, request: &str) -> String {
    let answer = answers(connect(world).await, request).await;
    let status = answer.split(' ').nth(1);
    status.unwrap_or_else(|| panic!("{answer:?}")).to_owned()
}

/// A page from elsewhere whose name leads here asks by that name.
#[tokio::test]
async fn without_a_token_what_is_shown_is_not_for_a_name_that_strangers_can_own() {
    let open = World::start().await;
    let evil = "evil.example:9464";
    for path in ["/", "/api/status", "/api/jobs/R1", "/metrics"] {
        assert_eq!(status(&open, &get(path, evil, "")).await, "421", "{path}");
        for host in [
            "127.0.0.1:9464",
            "localhost",
            "[::1]:9464",
            "hongbaod.payments.svc",
        ] {
            assert_eq!(
                status(&open, &get(path, host, "")).await,
                "200",
                "{path} {host}"
            );
        }
    }
    for path in ["/healthz", "/readyz"] {
        assert_eq!(status(&open, &get(path, evil, "")).await, "200", "{path}");
    }
    // The token is no page's from elsewhere, so with it any name will do.
    let guarded = World::start_with(Some(TOKEN)).await;
    let shown = format!("authorization: Bearer {TOKEN}\r\n");
    assert_eq!(
        status(&guarded, &get("/metrics", evil, &shown)).await,
        "200"
    );
    assert_eq!(status(&guarded, &get("/metrics", evil, "")).await, "401");
}

#[tokio::test]
async fn no_answer_can_be_framed_embedded_or_taken_for_something_else() {
    let world = World::start().await;
    for path in [
        "/",
        "/app.js",
        "/api/status",
        "/metrics",
        "/readyz",
        "/healthz",
        "/nothing",
    ] {
        let answer = answers(connect(&world).await, &get(path, "localhost", "")).await;
        for header in [
            "x-content-type-options: nosniff",
            "x-frame-options: DENY",
            "cross-origin-resource-policy: same-origin",
        ] {
            assert!(answer.contains(header), "{path}: {header}\n{answer}");
        }
        assert!(!answer.contains("access-control-allow"), "{path}\n{answer}");
    }
}

#[tokio::test]
async fn a_head_is_limited_in_bytes_and_in_number_and_only_reading_is_a_method() {
    let world = World::start().await;
    let long = format!("x: {}\r\n", "a".repeat(20_000));
    let answer = answers(connect(&world).await, &get("/healthz", "a", &long)).await;
    assert_eq!(answer, "", "it ends without an answer");
    let many: String = (0..120).map(|number| format!("h{number}: 1\r\n")).collect();
    assert_eq!(status(&world, &get("/healthz", "a", &many)).await, "431");
    // A little less of both.
    let long = format!("x: {}\r\n", "a".repeat(10_000));
    assert_eq!(status(&world, &get("/healthz", "a", &long)).await, "200");
    for method in ["POST", "PUT", "DELETE", "PATCH", "TRACE", "OPTIONS"] {
        let request = get("/api/status", "a", "").replacen("GET", method, 1);
        assert_eq!(status(&world, &request).await, "405", "{method}");
    }
    let connect_elsewhere = "CONNECT 192.0.2.1:80 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    assert_eq!(status(&world, connect_elsewhere).await, "404");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_holds_every_connection_of_an_address_keeps_no_other_address_out() {
    let world = World::start().await;
    let health = "GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n";
    let mut held = Vec::new();
    for _ in 0..32 {
        let mut stream = connect(&world).await;
        stream.write_all(health.as_bytes()).await.unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200");
        held.push(stream);
    }
    assert_eq!(
        answers(connect(&world).await, health).await,
        "",
        "one too many"
    );
    let closing = get("/healthz", "a", "");
    let prober = connect_from_elsewhere(&world).await;
    let answer = answers(prober, &closing).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    drop(held);
    eventually("room again", async || {
        answers(connect(&world).await, &closing)
            .await
            .starts_with("HTTP/1.1 200")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_that_comes_slowly_is_left() {
    let world = World::start().await;
    let half = "GET /healthz HTTP/1.1\r\nhost: a\r\nx: ";
    let mut slow = Vec::new();
    for _ in 0..4 {
        let mut stream = connect(&world).await;
        stream.write_all(half.as_bytes()).await.unwrap();
        slow.push(stream);
    }
    assert_eq!(status(&world, &get("/healthz", "a", "")).await, "200");
    for stream in slow {
        assert_eq!(answers(stream, "a").await, "");
    }
}
