//! A server that answers every request in one and the same way, byte for byte as told.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// From a request to the bytes that answer it.
pub(super) type Answering = Arc<dyn Fn(&Seen) -> Vec<u8> + Send + Sync>;

/// What the server does once it has read a request.
#[derive(Clone)]
pub(super) enum Reply {
    /// Writes these bytes and waits for the next request.
    Bytes(Vec<u8>),
    /// Writes these bytes and closes the connection.
    BytesThenClose(Vec<u8>),
    /// Writes these bytes, then nothing more.
    BytesThenHang(Vec<u8>),
    /// Resets the connection.
    Reset,
    /// Answers the first request of a connection, and closes at the second.
    BytesOnce(Vec<u8>),
    /// Answers each request by what it asks.
    By(Answering),
}

/// What is done with connections.
#[derive(Clone)]
pub(super) enum Door {
    /// Closed as soon as they are accepted.
    Shut,
    /// Served.
    Open(Reply),
}

/// A request as it arrived.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    /// Method, path with query, version; then the headers, names in lower case.
    pub(super) head: String,
    /// The form.
    pub(super) body: Vec<u8>,
}

impl Seen {
    /// The path with its query.
    pub(super) fn target(&self) -> &str {
        self.head.split(' ').nth(1).unwrap()
    }

    /// The value of a header.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (found, value) = line.split_once(':')?;
            (found == name).then(|| value.trim())
        })
    }
}

/// A running server; it ends when it is dropped.
pub(super) struct Server {
    /// The address of its gateway.
    pub(super) url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    task: JoinHandle<()>,
}

impl Server {
    pub(super) async fn start(door: Door) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let record = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            // Connections end with the test's runtime.
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                match &door {
                    Door::Shut => drop(stream),
                    Door::Open(reply) => {
                        let serving = serve(stream, reply.clone(), Arc::clone(&record));
                        drop(tokio::spawn(serving));
                    }
                }
            }
        });
        Self {
            url: format!("http://{address}/gateway.do"),
            seen,
            task,
        }
    }

    /// A server that replies to every request.
    pub(super) async fn replying(reply: Reply) -> Self {
        Self::start(Door::Open(reply)).await
    }

    /// The requests that have been read whole, in order.
    pub(super) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut stream: TcpStream, reply: Reply, record: Arc<Mutex<Vec<Seen>>>) {
    for served in 0.. {
        let Some(seen) = read_request(&mut stream).await else {
            return;
        };
        let made = if let Reply::By(answer) = &reply {
            answer(&seen)
        } else {
            Vec::new()
        };
        record.lock().unwrap().push(seen);
        let (bytes, after) = match &reply {
            Reply::By(_) => (made.as_slice(), After::Next),
            Reply::Bytes(bytes) => (bytes.as_slice(), After::Next),
            Reply::BytesThenClose(bytes) => (bytes.as_slice(), After::Close),
            Reply::BytesThenHang(bytes) => (bytes.as_slice(), After::Hang),
            Reply::BytesOnce(bytes) if served == 0 => (bytes.as_slice(), After::Next),
            Reply::BytesOnce(_) => (&[][..], After::Close),
            Reply::Reset => {
                stream.set_zero_linger().unwrap();
                return;
            }
        };
        // A client that has seen enough hangs up, which is its right.
        if stream.write_all(bytes).await.is_err() {
            return;
        }
        match after {
            After::Next => {}
            After::Close => return,
            After::Hang => std::future::pending().await,
        }
    }
}

enum After {
    Next,
    Close,
    Hang,
}

async fn read_request(stream: &mut TcpStream) -> Option<Seen> {
    let mut bytes = Vec::new();
    let head_end = loop {
        if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break at;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let mut seen = Seen {
        head: String::from_utf8(bytes[..head_end].to_vec()).unwrap(),
        body: bytes[head_end + 4..].to_vec(),
    };
    let length: usize = seen.header("content-length").unwrap().parse().unwrap();
    while seen.body.len() < length {
        if stream.read_buf(&mut seen.body).await.ok()? == 0 {
            return None;
        }
    }
    Some(seen)
}

/// An HTTP answer of `status` (code and reason) with `body`.
pub(super) fn http(status: &str, body: &[u8]) -> Vec<u8> {
    http_of_length(status, body, body.len())
}

/// An HTTP answer that claims to be `length` bytes long.
pub(super) fn http_of_length(status: &str, body: &[u8], length: usize) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/html;charset=utf-8\r\nContent-Length: {length}\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}
