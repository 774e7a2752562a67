//! Asks a running daemon how it is, by the address of its own configuration.
//!
//! It asks what an orchestrator would ask, over the same listener, so it needs no secret and no
//! server but the daemon.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long the daemon may take to answer. It answers from memory, within a millisecond.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// How much of an answer is read, in bytes; `/readyz` has some 60 for each app.
const ANSWER_BYTES_MAX: u64 = 64 * 1024;

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// Whether the process works, or has to be restarted: `/healthz`.
    Healthy,
    /// Whether it can pay at this moment: `/readyz`.
    Ready,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// Yes.
    Good,
    /// No, and why.
    Bad(String),
    /// There is nobody, or nobody who answers; why.
    Unreachable(String),
}

impl Question {
    /// What is asked for.
    #[must_use]
    pub const fn path(self) -> &'static str {
        match self {
            Self::Healthy => "/healthz",
            Self::Ready => "/readyz",
        }
    }

    /// The word for yes.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Ready => "ready",
        }
    }
}

/// Where to ask a daemon that listens on `listen`: one that listens everywhere is asked on loopback.
#[must_use]
pub fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip @ (IpAddr::V4(_) | IpAddr::V6(_)) => ip,
    };
    SocketAddr::new(ip, listen.port())
}

/// Asks the daemon at `address`, within [`ANSWER_TIMEOUT`].
pub async fn ask(address: SocketAddr, question: Question) -> Health {
    match timeout(ANSWER_TIMEOUT, exchange(address, question)).await {
        Err(_) => Health::Unreachable(format!("no answer within {} s", ANSWER_TIMEOUT.as_secs())),
        Ok(Err(error)) => Health::Unreachable(error.to_string()),
        Ok(Ok(answer)) => judge(&String::from_utf8_lossy(&answer)),
    }
}

/// One question in HTTP/1.0, whose answer is whole when the connection ends.
async fn exchange(address: SocketAddr, question: Question) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!(
        "GET {} HTTP/1.0\r\nhost: localhost\r\n\r\n",
        question.path()
    );
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream
        .take(ANSWER_BYTES_MAX)
        .read_to_end(&mut answer)
        .await?;
    Ok(answer)
}

/// What an answer says. One that is neither yes nor no is another program's.
fn judge(answer: &str) -> Health {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((answer, ""));
    let mut words = head.split_ascii_whitespace();
    let protocol = words.next().unwrap_or_default();
    let status = words.next().unwrap_or_default();
    match status {
        _ if !protocol.starts_with("HTTP/") => {
            Health::Unreachable("the answer is not HTTP; another program listens there".to_owned())
        }
        "200" => Health::Good,
        "503" => Health::Bad(reason(body)),
        other => Health::Bad(format!("status {other}; another program listens there")),
    }
}

/// The body of `/readyz`.
#[derive(Deserialize)]
struct Conditions {
    conditions: Vec<Condition>,
}

#[derive(Deserialize)]
struct Condition {
    name: String,
    met: bool,
    detail: String,
}

/// On one line: the conditions that are not met, or what the body says.
fn reason(body: &str) -> String {
    let text = match serde_json::from_str::<Conditions>(body) {
        Err(_) => body.to_owned(),
        Ok(body) => {
            let unmet = body
                .conditions
                .into_iter()
                .filter(|condition| !condition.met);
            let unmet = unmet.map(|condition| format!("{}: {}", condition.name, condition.detail));
            unmet.collect::<Vec<_>>().join("; ")
        }
    };
    text.split_ascii_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::{Health, judge, reachable};

    #[test]
    fn a_daemon_that_listens_everywhere_is_asked_on_loopback() {
        for (listen, expected) in [
            ("0.0.0.0:9464", "127.0.0.1:9464"),
            ("[::]:9464", "[::1]:9464"),
            ("10.1.2.3:80", "10.1.2.3:80"),
            ("127.0.0.1:9464", "127.0.0.1:9464"),
        ] {
            let expected = expected.parse().unwrap();
            assert_eq!(reachable(listen.parse().unwrap()), expected, "{listen}");
        }
    }

    #[test]
    fn only_200_is_good_and_a_refusal_says_why() {
        let bad = |detail: &str| Health::Bad(detail.to_owned());
        let conditions = r#"{"ready": false, "conditions": [
            {"name": "rabbitmq", "met": true, "detail": "connected"},
            {"name": "redis", "met": false, "detail": "not connected"},
            {"name": "app main", "met": false, "detail": "blocked:\n keys"}]}"#;
        for (answer, expected) in [
            ("HTTP/1.0 200 OK\r\n\r\nok\n".to_owned(), Health::Good),
            (
                "HTTP/1.0 503 Service Unavailable\r\na: b\r\n\r\nthe main loop\n".to_owned(),
                bad("the main loop"),
            ),
            (
                format!("HTTP/1.0 503 Service Unavailable\r\n\r\n{conditions}"),
                bad("redis: not connected; app main: blocked: keys"),
            ),
            (
                "HTTP/1.1 404 Not Found\r\n\r\n200".to_owned(),
                bad("status 404; another program listens there"),
            ),
        ] {
            assert_eq!(judge(&answer), expected, "{answer}");
        }
        for answer in ["", "SSH-2.0-x 200", "200 OK"] {
            assert!(matches!(judge(answer), Health::Unreachable(_)), "{answer}");
        }
    }
}
