//! Connections that must earn their keep: so many at a time, and an answer each so many seconds.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Sleep, sleep};

/// How many connections there are at a time; others wait in the system's queue.
const CONNECTIONS_MAX: usize = 256;

/// How long a connection may last since it was opened, or since the last answer on it, without an
/// answer: whoever sends a byte now and then does not hold it for longer. More than a body and a
/// notification may take together.
const UNANSWERED_MAX: Duration = Duration::from_secs(20);

/// How much may come between two answers, in bytes: the longest body and a long head.
const UNANSWERED_BYTES_MAX: usize = 96 * 1024;

/// How long the listener rests when the system gives it no connection, as without free files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Who is at the other end of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer(pub(super) SocketAddr);

/// Accepts connections within the limits.
pub(super) struct Connections {
    listener: TcpListener,
    places: Arc<Semaphore>,
}

/// A connection within its limits.
pub(super) struct Connection {
    stream: TcpStream,
    deadline: Pin<Box<Sleep>>,
    /// Bytes that came since the last answer.
    unanswered: usize,
    _place: Option<OwnedSemaphorePermit>,
}

impl Connections {
    pub(super) fn new(listener: TcpListener) -> Self {
        Self {
            listener,
            places: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
        }
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
                    // A single small answer is not to wait for more; without it, it just may.
                    drop(stream.set_nodelay(true));
                    let connection = Connection {
                        stream,
                        deadline: Box::pin(sleep(UNANSWERED_MAX)),
                        unanswered: 0,
                        _place: place,
                    };
                    return (connection, address);
                }
                Err(error) => {
                    tracing::warn!(error = %error, "a connection for a notification was not accepted");
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
        if connection.unanswered > UNANSWERED_BYTES_MAX {
            return Poll::Ready(Err(io::ErrorKind::FileTooLarge.into()));
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut connection.stream).poll_read(context, buffer);
        let new = buffer.filled().len().saturating_sub(before);
        connection.unanswered = connection.unanswered.saturating_add(new);
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
            connection.deadline.as_mut().set(sleep(UNANSWERED_MAX));
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

    use axum::serve::Listener as _;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};

    use super::{Connections, UNANSWERED_BYTES_MAX};

    #[tokio::test]
    async fn a_connection_takes_so_much_between_two_answers_and_no_more() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut connections = Connections::new(listener);
        let address = connections.local_addr().unwrap();
        let mut client = TcpStream::connect(address).await.unwrap();
        let (mut connection, _) = connections.accept().await;
        let writing = tokio::spawn(async move {
            let bytes = vec![b'x'; 4 * UNANSWERED_BYTES_MAX];
            // Ends when the other side does.
            drop(client.write_all(&bytes).await);
            client
        });
        let mut room = vec![0; UNANSWERED_BYTES_MAX];
        connection.read_exact(&mut room).await.unwrap();
        connection.write_all(b"an answer").await.unwrap();
        connection.read_exact(&mut room).await.unwrap();
        let over = connection.read_to_end(&mut Vec::new()).await;
        assert_eq!(over.unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        drop(connection);
        drop(writing.await.unwrap());
    }
}
