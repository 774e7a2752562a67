//! Connections that must earn their keep: so many at a time, and an answer each so many seconds.
//!
//! Both HTTP listeners accept through this, each with limits of its own: the one for notifications
//! faces everybody, and the admin listener must stay there for probes whoever else holds on to it.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Sleep, sleep};

/// How long the listener rests when the system gives it no connection, as without free files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// What connections may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// How many connections there are at a time; others wait in the system's queue.
    pub(super) connections_max: usize,
    /// How many of them one address may have; further ones are closed at once. `None`: all, as
    /// behind a proxy everybody has the proxy's address.
    pub(super) per_source_max: Option<usize>,
    /// How long a connection may last without an answer since it was opened, or since the first byte
    /// after an answer: whoever sends a byte now and then does not hold it for longer.
    pub(super) unanswered_max: Duration,
    /// How long a connection may be silent after an answer; with its next byte, the time of
    /// `unanswered_max` begins. Longer than a peer keeps it: a request that meets a connection just
    /// closed is lost, so the peer should be the one that closes.
    pub(super) idle_max: Duration,
    /// How much may come between two answers, in bytes: heads and bodies.
    pub(super) unanswered_bytes_max: usize,
}

/// Who is at the other end of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer(pub(super) SocketAddr);

/// Accepts connections within the limits.
pub(super) struct Connections {
    listener: TcpListener,
    limits: Limits,
    places: Arc<Semaphore>,
    sources: Arc<Sources>,
}

/// How many connections each address has. Bounded by the number of connections.
#[derive(Debug, Default)]
struct Sources(Mutex<HashMap<IpAddr, usize>>);

/// One connection of an address, for as long as it lasts.
#[derive(Debug)]
struct Counted {
    sources: Arc<Sources>,
    address: IpAddr,
}

impl Sources {
    /// Counts one more connection of `address`, unless it has `most` already.
    fn count(self: &Arc<Self>, address: IpAddr, most: usize) -> Option<Counted> {
        // No code panics while it holds the lock, so a poisoned map is whole.
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(address).or_insert(0);
        if *count >= most {
            return None;
        }
        *count = count.saturating_add(1);
        let sources = Arc::clone(self);
        Some(Counted { sources, address })
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let counts = self.sources.0.lock();
        let mut counts = counts.unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.address) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                counts.remove(&self.address);
            }
        }
    }
}

/// A connection within its limits.
pub(super) struct Connection {
    stream: TcpStream,
    limits: Limits,
    deadline: Pin<Box<Sleep>>,
    /// Nothing has come since the last answer.
    idle: bool,
    /// Bytes that came since the last answer.
    unanswered: usize,
    _place: Option<OwnedSemaphorePermit>,
    _counted: Option<Counted>,
}

impl Connections {
    pub(super) fn new(listener: TcpListener, limits: Limits) -> Self {
        Self {
            listener,
            limits,
            places: Arc::new(Semaphore::new(limits.connections_max)),
            sources: Arc::default(),
        }
    }

    /// The count of a new connection; `Err` if its address has enough.
    fn counted(&self, address: IpAddr) -> Result<Option<Counted>, ()> {
        let Some(most) = self.limits.per_source_max else {
            return Ok(None);
        };
        let counted = self.sources.count(address.to_canonical(), most);
        counted.map(Some).ok_or(())
    }
}

impl Listener for Connections {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        // Never closed, so there always is one some time.
        let place = Arc::clone(&self.places).acquire_owned().await.ok();
        loop {
            match self.listener.accept().await {
                Ok((stream, address)) => {
                    let Ok(counted) = self.counted(address.ip()) else {
                        tracing::debug!("an address has enough connections; another is closed");
                        continue;
                    };
                    // A single small answer is not to wait for more; without it, it just may.
                    drop(stream.set_nodelay(true));
                    let connection = Connection {
                        stream,
                        limits: self.limits,
                        deadline: Box::pin(sleep(self.limits.unanswered_max)),
                        idle: false,
                        unanswered: 0,
                        _place: place,
                        _counted: counted,
                    };
                    return (connection, address);
                }
                Err(error) => {
                    tracing::warn!(error = %error, "a connection was not accepted");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

impl Connected<IncomingStream<'_, Connections>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Connections>) -> Self {
        Self(*stream.remote_addr())
    }
}

impl Connection {
    /// Fails once the connection has gone without an answer for too long.
    fn in_time(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        match self.deadline.as_mut().poll(context) {
            Poll::Ready(()) => Err(io::ErrorKind::TimedOut.into()),
            Poll::Pending => Ok(()),
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let connection = self.get_mut();
        connection.in_time(context)?;
        if connection.unanswered > connection.limits.unanswered_bytes_max {
            return Poll::Ready(Err(io::ErrorKind::FileTooLarge.into()));
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut connection.stream).poll_read(context, buffer);
        let new = buffer.filled().len().saturating_sub(before);
        connection.unanswered = connection.unanswered.saturating_add(new);
        if connection.idle && new > 0 {
            connection.idle = false;
            let end = sleep(connection.limits.unanswered_max);
            connection.deadline.as_mut().set(end);
        }
        read
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let connection = self.get_mut();
        connection.in_time(context)?;
        let written = Pin::new(&mut connection.stream).poll_write(context, bytes);
        if matches!(written, Poll::Ready(Ok(_))) {
            connection.idle = true;
            let end = sleep(connection.limits.idle_max);
            connection.deadline.as_mut().set(end);
            connection.unanswered = 0;
        }
        written
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::time::Duration;

    use axum::serve::Listener as _;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};

    use super::{Connection, Connections, Limits};

    const LIMITS: Limits = Limits {
        connections_max: 8,
        per_source_max: None,
        unanswered_max: Duration::from_secs(20),
        idle_max: Duration::from_secs(75),
        unanswered_bytes_max: 4_096,
    };

    async fn listen(limits: Limits) -> Connections {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Connections::new(listener, limits)
    }

    async fn pair(connections: &mut Connections) -> (TcpStream, Connection) {
        let address = connections.local_addr().unwrap();
        let client = TcpStream::connect(address).await.unwrap();
        (client, connections.accept().await.0)
    }

    #[tokio::test]
    async fn a_connection_takes_so_much_between_two_answers_and_no_more() {
        let mut connections = listen(LIMITS).await;
        let (mut client, mut connection) = pair(&mut connections).await;
        let writing = tokio::spawn(async move {
            let bytes = vec![b'x'; 4 * LIMITS.unanswered_bytes_max];
            // Ends when the other side does.
            drop(client.write_all(&bytes).await);
            client
        });
        let mut room = vec![0; LIMITS.unanswered_bytes_max];
        connection.read_exact(&mut room).await.unwrap();
        connection.write_all(b"an answer").await.unwrap();
        connection.read_exact(&mut room).await.unwrap();
        let over = connection.read_to_end(&mut Vec::new()).await;
        assert_eq!(over.unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        drop(connection);
        drop(writing.await.unwrap());
    }

    #[tokio::test]
    async fn an_address_with_enough_connections_gets_no_more_until_one_ends() {
        let mut connections = listen(Limits {
            per_source_max: Some(2),
            ..LIMITS
        })
        .await;
        let first = pair(&mut connections).await;
        let second = pair(&mut connections).await;
        let address = connections.local_addr().unwrap();
        let mut third = TcpStream::connect(address).await.unwrap();
        // Whoever is told to go away is not handed out: the next one that is, is another's.
        let elsewhere = async {
            let mut end = Vec::new();
            drop(third.read_to_end(&mut end).await);
            assert!(end.is_empty(), "{end:?}");
            drop(first);
            TcpStream::connect(address).await.unwrap()
        };
        let (fourth, (accepted, from)) = tokio::join!(elsewhere, connections.accept());
        assert_eq!(fourth.local_addr().unwrap(), from);
        drop((second, accepted));
        assert!(connections.sources.0.lock().unwrap().is_empty());
    }

    /// How long it takes on a clock that jumps until `connection` ends for want of an answer, in
    /// seconds, rounded: the clock stood still a moment after the connection began.
    #[expect(
        clippy::disallowed_methods,
        reason = "the clock that jumps is what is measured"
    )]
    async fn lasts(connection: &mut Connection) -> u64 {
        let begin = tokio::time::Instant::now();
        let ended = connection.read_to_end(&mut Vec::new()).await;
        assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::TimedOut);
        (begin.elapsed() + Duration::from_millis(500)).as_secs()
    }

    #[tokio::test]
    async fn silence_and_half_a_request_each_have_their_time() {
        let mut connections = listen(LIMITS).await;
        let (_silent, mut fresh) = pair(&mut connections).await;
        let (_idle, mut answered) = pair(&mut connections).await;
        answered.write_all(b"an answer").await.unwrap();
        let (mut slow, mut asked) = pair(&mut connections).await;
        asked.write_all(b"an answer").await.unwrap();
        slow.write_all(b"G").await.unwrap();
        let mut byte = [0];
        asked.read_exact(&mut byte).await.unwrap();
        tokio::time::pause();
        assert_eq!(lasts(&mut fresh).await, 20);
        // At the same time as the first one.
        assert_eq!(lasts(&mut asked).await, 0);
        assert_eq!(lasts(&mut answered).await, 75 - 20);
    }
}
