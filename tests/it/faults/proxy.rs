//! A TCP proxy that cuts connections, stalls them in one direction or both, closes them by halves
//! and lets nobody in.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// One direction of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    ToServer,
    ToClient,
}

/// Which directions a fault is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Directions {
    One(Direction),
    Both,
}

impl Directions {
    fn include(self, direction: Direction) -> bool {
        match self {
            Self::One(one) => one == direction,
            Self::Both => true,
        }
    }
}

/// What all connections of a proxy keep to.
#[derive(Clone, Copy, Debug, Default)]
struct Rules {
    /// Who connects is disconnected at once.
    refuses: bool,
    stalled: Option<Directions>,
    /// How often everything was cut; who began before the newest cut ends.
    cuts: u64,
    /// How often the way to the server was closed.
    closes_to_server: u64,
    /// How often the way to the client was closed.
    closes_to_client: u64,
}

impl Rules {
    /// Changes for whoever is to end in this direction.
    fn age(&self, direction: Direction) -> u64 {
        let closes = match direction {
            Direction::ToServer => self.closes_to_server,
            Direction::ToClient => self.closes_to_client,
        };
        self.cuts + closes
    }

    fn lets_through(&self, direction: Direction) -> bool {
        !self.stalled.is_some_and(|stall| stall.include(direction))
    }
}

/// A proxy in front of one server; it ends with this value.
pub(crate) struct Proxy {
    address: SocketAddr,
    rules: Arc<watch::Sender<Rules>>,
    accepting: JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.cut();
    }
}

impl Proxy {
    /// Listens on a free port of the loopback and forwards to `server`, such as `127.0.0.1:5672`.
    pub(crate) async fn start(server: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let rules = Arc::new(watch::Sender::new(Rules::default()));
        let accepting = tokio::spawn(accept(listener, server.to_owned(), Arc::clone(&rules)));
        Self {
            address,
            rules,
            accepting,
        }
    }

    /// The address to connect to, such as `127.0.0.1:40001`.
    pub(crate) fn address(&self) -> String {
        self.address.to_string()
    }

    /// Cuts every connection, both ways at once.
    pub(crate) fn cut(&self) {
        self.rules.send_modify(|rules| rules.cuts += 1);
    }

    /// Disconnects whoever connects from now on.
    pub(crate) fn refuse(&self) {
        self.rules.send_modify(|rules| rules.refuses = true);
    }

    /// Holds everything back, of connections that are there and that come: nothing is lost, and
    /// nobody is told.
    pub(crate) fn stall(&self, directions: Directions) {
        self.rules
            .send_modify(|rules| rules.stalled = Some(directions));
    }

    /// Ends [`Proxy::stall`] and [`Proxy::refuse`].
    pub(crate) fn heal(&self) {
        self.rules.send_modify(|rules| {
            rules.refuses = false;
            rules.stalled = None;
        });
    }

    /// Closes one direction of every connection, as whoever has sent all that it had; the other
    /// one goes on.
    pub(crate) fn half_close(&self, direction: Direction) {
        self.rules.send_modify(|rules| match direction {
            Direction::ToServer => rules.closes_to_server += 1,
            Direction::ToClient => rules.closes_to_client += 1,
        });
    }
}

async fn accept(listener: TcpListener, server: String, rules: Arc<watch::Sender<Rules>>) {
    loop {
        let Ok((client, _)) = listener.accept().await else {
            continue;
        };
        let began = *rules.borrow();
        if began.refuses {
            continue;
        }
        // Whatever the rules become from here on is for this connection too.
        let rules = rules.subscribe();
        let server = server.clone();
        tokio::spawn(async move {
            // Nobody there: the client sees that the connection ends.
            if let Ok(server) = TcpStream::connect(server).await {
                forward(client, server, &rules, began);
            }
        });
    }
}

fn forward(client: TcpStream, server: TcpStream, rules: &watch::Receiver<Rules>, began: Rules) {
    // Small messages go as they come, or the proxy would be slower than the network it stands for.
    for stream in [&client, &server] {
        drop(stream.set_nodelay(true));
    }
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    for (from, to, direction) in [
        (from_client, to_server, Direction::ToServer),
        (from_server, to_client, Direction::ToClient),
    ] {
        let age = began.age(direction);
        tokio::spawn(pump((from, to), direction, age, rules.clone()));
    }
}

/// Forwards until the end of the stream, or until it is closed by the rules; dropping the writer
/// tells the other side.
async fn pump(
    (mut from, mut to): (OwnedReadHalf, OwnedWriteHalf),
    direction: Direction,
    age: u64,
    mut rules: watch::Receiver<Rules>,
) {
    let mut gate = rules.clone();
    let forwarding = async {
        let mut buffer = vec![0; 16 * 1024];
        loop {
            let Ok(read @ 1..) = from.read(&mut buffer).await else {
                return;
            };
            if gate.wait_for(|r| r.lets_through(direction)).await.is_err() {
                return;
            }
            if to.write_all(&buffer[..read]).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = forwarding => {}
        _ = rules.wait_for(|rules| rules.age(direction) != age) => {}
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::time::timeout;

    use super::{Direction, Directions, Proxy};
    use crate::patience::PATIENCE;

    /// How long a byte that must not come is waited for.
    const MOMENT: Duration = Duration::from_millis(300);

    /// A proxy, a client that came through it, and its server.
    async fn pair() -> (Proxy, TcpStream, TcpStream, TcpListener) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let proxy = Proxy::start(&address).await;
        let client = TcpStream::connect(proxy.address()).await.unwrap();
        let (server, _) = listener.accept().await.unwrap();
        (proxy, client, server, listener)
    }

    async fn passes(from: &mut TcpStream, to: &mut TcpStream) -> bool {
        passes_within(PATIENCE, from, to).await
    }

    async fn is_held_back(from: &mut TcpStream, to: &mut TcpStream) -> bool {
        !passes_within(MOMENT, from, to).await
    }

    async fn passes_within(limit: Duration, from: &mut TcpStream, to: &mut TcpStream) -> bool {
        from.write_all(b"x").await.unwrap();
        let mut byte = [0];
        timeout(limit, to.read_exact(&mut byte)).await.is_ok()
    }

    /// Whether the stream has come to its end.
    async fn is_over(stream: &mut TcpStream) -> bool {
        let mut byte = [0];
        matches!(
            timeout(PATIENCE, stream.read(&mut byte)).await,
            Ok(Ok(0) | Err(_))
        )
    }

    #[tokio::test]
    async fn what_is_sent_arrives_and_an_end_is_passed_on() {
        let (_proxy, mut client, mut server, _listener) = pair().await;
        assert!(passes(&mut client, &mut server).await);
        assert!(passes(&mut server, &mut client).await);
        drop(client);
        assert!(is_over(&mut server).await);
    }

    #[tokio::test]
    async fn a_stall_holds_one_direction_back_and_loses_nothing() {
        let (proxy, mut client, mut server, _listener) = pair().await;
        proxy.stall(Directions::One(Direction::ToClient));
        assert!(passes(&mut client, &mut server).await);
        assert!(is_held_back(&mut server, &mut client).await);
        proxy.heal();
        let mut byte = [0];
        client.read_exact(&mut byte).await.unwrap();
        assert_eq!(byte, *b"x");
        proxy.stall(Directions::Both);
        assert!(is_held_back(&mut client, &mut server).await);
    }

    #[tokio::test]
    async fn a_half_close_ends_one_direction_and_the_other_goes_on() {
        for direction in [Direction::ToServer, Direction::ToClient] {
            let (proxy, mut client, mut server, _listener) = pair().await;
            proxy.half_close(direction);
            let (ended, going) = match direction {
                Direction::ToServer => (&mut server, &mut client),
                Direction::ToClient => (&mut client, &mut server),
            };
            assert!(is_over(ended).await, "{direction:?}");
            assert!(passes(ended, going).await, "{direction:?}");
        }
    }

    #[tokio::test]
    async fn a_cut_ends_both_directions_and_a_refusal_whoever_comes() {
        let (proxy, mut client, mut server, listener) = pair().await;
        proxy.refuse();
        proxy.cut();
        assert!(is_over(&mut client).await && is_over(&mut server).await);
        let mut refused = TcpStream::connect(proxy.address()).await.unwrap();
        assert!(is_over(&mut refused).await);
        proxy.heal();
        let mut client = TcpStream::connect(proxy.address()).await.unwrap();
        let (mut server, _) = listener.accept().await.unwrap();
        assert!(passes(&mut client, &mut server).await);
    }
}
