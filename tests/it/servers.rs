//! Where the real servers are, and names in them that no other test uses.
//!
//! A test that needs a server and has none fails; it is never skipped, so a green run has seen
//! the servers.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Returns the address of the tests' RabbitMQ, for example `amqp://guest:guest@127.0.0.1:20001/%2f`.
pub(crate) fn amqp_url() -> String {
    address("HONGBAOD_TEST_AMQP")
}

/// Returns the address of that RabbitMQ's management API, for example `http://127.0.0.1:20003`.
pub(crate) fn management_url() -> String {
    address("HONGBAOD_TEST_AMQP_MANAGEMENT")
}

/// Returns the address of the tests' Redis, for example `redis://127.0.0.1:20005/0`.
pub(crate) fn redis_url() -> String {
    address("HONGBAOD_TEST_REDIS")
}

/// Returns the address of that RabbitMQ by TLS, for clients with a certificate alone.
pub(crate) fn amqps_url() -> String {
    address("HONGBAOD_TEST_AMQPS")
}

/// Returns the address of that Redis by TLS.
pub(crate) fn rediss_url() -> String {
    address("HONGBAOD_TEST_REDISS")
}

/// Returns the path of a file beside the servers' certificates: `ca.pem`, `client.pem`, `client.key`,
/// `server.pem` or `server.key`.
pub(crate) fn tls_path(name: &str) -> String {
    format!("{}/{name}", address("HONGBAOD_TEST_TLS"))
}

/// Returns what is in such a file.
pub(crate) fn tls_file(name: &str) -> String {
    std::fs::read_to_string(tls_path(name)).unwrap()
}

#[expect(
    clippy::disallowed_methods,
    reason = "tests/run tells the tests by these variables where the servers are"
)]
fn address(variable: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| {
        panic!(
            "{variable} is not set: this test needs a real server; `tests/run NAME_OF_THE_TEST` \
             starts private ones, `tests/servers --help` says how to do it by hand"
        )
    })
}

/// Returns a name such as `ledger-4711-3` that no other call returns while these servers run.
///
/// It is made of `topic`, the process and a counter, for queues and keys of one test alone.
pub(crate) fn unique_prefix(topic: &str) -> String {
    static CALLS: AtomicU64 = AtomicU64::new(0);
    let call = CALLS.fetch_add(1, Ordering::Relaxed);
    format!("{topic}-{}-{call}", process::id())
}

/// Sends `request` to the host and port in `url` and returns the first seven bytes of the answer.
fn first_bytes(url: &str, request: &[u8]) -> [u8; 7] {
    let authority = url.split('/').nth(2).expect("a URL has an authority");
    let host = authority.rsplit('@').next().unwrap();
    let mut stream = TcpStream::connect(host).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    stream.write_all(request).unwrap();
    let mut answer = [0; 7];
    stream.read_exact(&mut answer).unwrap();
    answer
}

#[test]
fn rabbitmq_greets_with_a_method_on_channel_0() {
    // AMQP 0-9-1, 4.2.2 and 2.3.5: the protocol header is answered by connection.start.
    let answer = first_bytes(&amqp_url(), b"AMQP\x00\x00\x09\x01");
    assert_eq!(&answer[..3], [1, 0, 0], "{answer:?}");
}

#[test]
fn the_management_api_speaks_http() {
    let request = b"GET /api/overview HTTP/1.0\r\nHost: localhost\r\n\r\n";
    assert_eq!(&first_bytes(&management_url(), request), b"HTTP/1.");
}

#[test]
fn redis_answers_ping() {
    assert_eq!(&first_bytes(&redis_url(), b"PING\r\n"), b"+PONG\r\n");
}

#[test]
fn two_prefixes_are_never_the_same() {
    assert_ne!(unique_prefix("a"), unique_prefix("a"));
}
