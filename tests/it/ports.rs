//! Ports for servers that have to be told one.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU16, Ordering};

/// The first of the ports. They end where those of `tests/servers` begin, and both lie below the range from
/// which the system lends ports to clients: one from there may be gone before the server has it.
const FIRST: u16 = 10_000;

/// How many there are.
const COUNT: u16 = 10_000;

/// Where this process goes on; others that run now begin elsewhere.
static NEXT: LazyLock<AtomicU16> = LazyLock::new(|| {
    let place = std::process::id().wrapping_mul(37) % u32::from(COUNT);
    AtomicU16::new(place.try_into().unwrap())
});

/// A port of this machine where nobody listens, and that nobody else here is given soon.
pub(crate) fn free_port() -> u16 {
    let ports = std::iter::repeat_with(|| FIRST + NEXT.fetch_add(1, Ordering::Relaxed) % COUNT);
    let mut ports = ports.take(COUNT.into());
    ports
        .find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        .expect("a free port")
}
