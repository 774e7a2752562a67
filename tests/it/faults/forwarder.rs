//! An address behind which the server can be changed, as a failover does it.

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Takes connections on a port of its own and passes them on; it ends with this value.
pub(super) struct Forwarder {
    port: u16,
    /// The port behind it; `None` while nobody is there.
    target: watch::Sender<Option<u16>>,
    task: JoinHandle<()>,
}

impl Forwarder {
    /// Passes connections on to `target`, a port on loopback.
    pub(super) async fn start(target: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let target = watch::Sender::new(Some(target));
        let seen = target.subscribe();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(pass_on(stream, seen.clone()));
            }
        });
        Self { port, target, task }
    }

    /// The port that it listens on.
    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// The URL of the Redis behind it.
    pub(super) fn redis_url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    /// Cuts all connections; new ones go to `target`.
    pub(super) fn point_at(&self, target: u16) {
        self.target.send_replace(Some(target));
    }

    /// Cuts all connections; new ones end at once.
    pub(super) fn point_nowhere(&self) {
        self.target.send_replace(None);
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        // The connections end with the sender of the target.
        self.task.abort();
    }
}

async fn pass_on(mut stream: TcpStream, mut target: watch::Receiver<Option<u16>>) {
    let Some(port) = *target.borrow_and_update() else {
        return;
    };
    let Ok(mut server) = TcpStream::connect(("127.0.0.1", port)).await else {
        return;
    };
    tokio::select! {
        _ended = copy_bidirectional(&mut stream, &mut server) => {}
        _changed = target.changed() => {}
    }
}
