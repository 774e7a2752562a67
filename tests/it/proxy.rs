//! A TCP proxy before a server: it can cut, mute and refuse connections, and counts them.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime;
use tokio::sync::{oneshot, watch};

use crate::patience::eventually;

/// What becomes of connections and bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Pass,
    /// What the server says waits here.
    Mute,
    /// New connections are accepted and closed at once.
    Refuse,
}

#[derive(Default)]
struct Counts {
    accepted: AtomicU64,
    closed: AtomicU64,
}

/// A proxy on a thread and a runtime of its own, so that a test can count its own tasks.
pub(crate) struct Proxy {
    address: SocketAddr,
    mode: watch::Sender<Mode>,
    cuts: watch::Sender<u64>,
    counts: Arc<Counts>,
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Proxy {
    /// Starts a proxy before the server that `url` names.
    pub(crate) fn before(url: &str) -> Self {
        Self::listening_on(Ipv4Addr::LOCALHOST, url)
    }

    /// As [`Proxy::before`], on another address of this machine.
    pub(crate) fn listening_on(address: Ipv4Addr, url: &str) -> Self {
        let target: SocketAddr = authority(url).parse().expect("an address in numbers");
        let (mode, mode_seen) = watch::channel(Mode::Pass);
        let (cuts, cuts_seen) = watch::channel(0);
        let counts = Arc::<Counts>::default();
        let (end, ended) = oneshot::channel();
        let (tell, told) = std::sync::mpsc::channel();
        let way = Way {
            target,
            mode: mode_seen,
            cuts: cuts_seen,
            counts: Arc::clone(&counts),
        };
        let thread = thread::spawn(move || {
            let runtime = runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async move {
                let listener = TcpListener::bind((address, 0)).await.unwrap();
                tell.send(listener.local_addr().unwrap()).unwrap();
                tokio::select! {
                    () = accept(listener, way) => {}
                    _ = ended => {}
                }
            });
        });
        Self {
            address: told.recv().unwrap(),
            mode,
            cuts,
            counts,
            end: Some(end),
            thread: Some(thread),
        }
    }

    /// `url`, but by way of this proxy.
    pub(crate) fn url(&self, url: &str) -> String {
        url.replace(authority(url), &self.address.to_string())
    }

    pub(crate) fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }

    /// Closes every connection that stands, and waits until they are closed.
    pub(crate) async fn cut(&self) {
        let accepted = self.accepted();
        self.cuts.send_modify(|cuts| *cuts += 1);
        eventually("the connections are cut", async || {
            self.closed() >= accepted
        })
        .await;
    }

    /// Connections that were made so far.
    pub(crate) fn accepted(&self) -> u64 {
        self.counts.accepted.load(Ordering::SeqCst)
    }

    /// Connections that stand.
    pub(crate) fn open(&self) -> u64 {
        self.accepted().saturating_sub(self.closed())
    }

    fn closed(&self) -> u64 {
        self.counts.closed.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        drop(self.end.take());
        drop(self.thread.take().map(JoinHandle::join));
    }
}

/// Host and port in a URL.
fn authority(url: &str) -> &str {
    let authority = url.split('/').nth(2).expect("a URL has an authority");
    authority.rsplit('@').next().unwrap()
}

#[derive(Clone)]
struct Way {
    target: SocketAddr,
    mode: watch::Receiver<Mode>,
    cuts: watch::Receiver<u64>,
    counts: Arc<Counts>,
}

async fn accept(listener: TcpListener, way: Way) {
    loop {
        let (client, _) = listener.accept().await.unwrap();
        let mut way = way.clone();
        // Before it is counted: a cut from now on is one of this connection too.
        way.cuts.mark_unchanged();
        way.counts.accepted.fetch_add(1, Ordering::SeqCst);
        tokio::spawn(async move {
            if *way.mode.borrow() != Mode::Refuse {
                pass(client, &mut way).await;
            }
            way.counts.closed.fetch_add(1, Ordering::SeqCst);
        });
    }
}

/// Passes bytes on until one side ends or the connection is cut.
async fn pass(client: TcpStream, way: &mut Way) {
    let Ok(server) = TcpStream::connect(way.target).await else {
        return;
    };
    for stream in [&client, &server] {
        stream.set_nodelay(true).unwrap();
    }
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let mut mode = way.mode.clone();
    let back = async {
        let mut bytes = vec![0; 64 * 1024];
        loop {
            match from_server.read(&mut bytes).await {
                Ok(0) | Err(_) => return,
                Ok(read) => {
                    let audible = mode.wait_for(|mode| *mode != Mode::Mute).await.is_ok();
                    if !audible || to_client.write_all(&bytes[..read]).await.is_err() {
                        return;
                    }
                }
            }
        }
    };
    tokio::select! {
        _ = tokio::io::copy(&mut from_client, &mut to_server) => {}
        () = back => {}
        _ = way.cuts.changed() => {}
    }
}
