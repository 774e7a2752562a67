//! Where requests come from, and how many each source may send.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::http::HeaderMap;

use crate::app::config::Network;
use crate::domain::time::Monotonic;

/// How many sources are told apart at a time; what comes from further ones counts as one source.
const SOURCES_MAX: usize = 4_096;

/// A second's worth at once: Alipay sends in bursts.
const BURST: Duration = Duration::from_secs(1);

/// The header in which proxies say for whom they ask. Source: RFC 7239 names it as the de-facto one.
const FORWARDED_FOR: &str = "x-forwarded-for";

/// Counts requests by source, in bounded memory.
#[derive(Debug)]
pub(super) struct Sources {
    interval: Duration,
    trusted_proxies: Vec<Network>,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    /// By source, until when its allowance is spent.
    spent_until: HashMap<IpAddr, Monotonic>,
    /// Of all sources that the table had no room for.
    others_spent_until: Option<Monotonic>,
}

impl Sources {
    pub(super) fn new(rate_per_source: NonZeroU32, trusted_proxies: Vec<Network>) -> Self {
        let interval = 1_000_000_000_u64.div_ceil(u64::from(rate_per_source.get()));
        Self {
            interval: Duration::from_nanos(interval),
            trusted_proxies,
            table: Mutex::default(),
        }
    }

    /// Whether the source of a request may send another one at `now`; if so, it is counted.
    pub(super) fn admits(&self, peer: IpAddr, headers: &HeaderMap, now: Monotonic) -> bool {
        let source = network_of(self.origin(peer, headers));
        // No code panics while it holds the lock, so a poisoned table is whole.
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        if table.spent_until.len() >= SOURCES_MAX && !table.spent_until.contains_key(&source) {
            // Whose allowance is whole again needs no place.
            table
                .spent_until
                .retain(|_, spent_until| *spent_until > now);
        }
        let has_place = table.spent_until.len() < SOURCES_MAX;
        let spent_until = if has_place || table.spent_until.contains_key(&source) {
            table.spent_until.entry(source).or_insert(now)
        } else {
            table.others_spent_until.get_or_insert(now)
        };
        let begin = (*spent_until).max(now);
        if begin.since(now) >= BURST {
            return false;
        }
        *spent_until = begin.plus(self.interval);
        true
    }

    /// Who sent the request: the peer, or whoever the nearest trusted proxies say it was.
    fn origin(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let is_trusted = |address: IpAddr| self.trusted_proxies.iter().any(|n| n.contains(address));
        let mut origin = peer.to_canonical();
        let lines = headers.get_all(FORWARDED_FOR).iter();
        let texts: Vec<&str> = lines.filter_map(|line| line.to_str().ok()).collect();
        // Each proxy adds whom it heard at the end: what is left of a stranger's is hearsay.
        let mut heard = texts.iter().rev().flat_map(|line| line.rsplit(','));
        while is_trusted(origin) {
            match heard.next().map(|text| text.trim().parse::<IpAddr>()) {
                Some(Ok(address)) => origin = address.to_canonical(),
                Some(Err(_)) | None => break,
            }
        }
        origin
    }
}

/// What counts as one source: an IPv4 address, or the /64 that one customer gets of IPv6.
fn network_of(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};
    use std::num::NonZeroU32;
    use std::time::Duration;

    use axum::http::{HeaderMap, HeaderValue};

    use super::{SOURCES_MAX, Sources};
    use crate::app::config::Network;
    use crate::domain::time::Monotonic;

    fn sources(rate: u32, proxies: &[&str]) -> Sources {
        let proxies = proxies.iter().map(|text| Network::parse(text).unwrap());
        Sources::new(NonZeroU32::new(rate).unwrap(), proxies.collect())
    }

    fn at(millis: u64) -> Monotonic {
        Monotonic(Duration::from_millis(millis))
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn admitted(sources: &Sources, peer: &str, requests: usize, now: Monotonic) -> usize {
        let headers = HeaderMap::new();
        (0..requests)
            .filter(|_| sources.admits(address(peer), &headers, now))
            .count()
    }

    #[test]
    fn each_source_has_a_second_at_once_and_then_its_rate() {
        let sources = sources(10, &[]);
        assert_eq!(admitted(&sources, "192.0.2.1", 100, at(5_000)), 10);
        assert_eq!(admitted(&sources, "192.0.2.2", 100, at(5_000)), 10);
        assert_eq!(admitted(&sources, "192.0.2.1", 100, at(5_200)), 2);
        assert_eq!(admitted(&sources, "192.0.2.1", 100, at(60_000)), 10);
    }

    #[test]
    fn a_customers_whole_ipv6_network_is_one_source() {
        let sources = sources(10, &[]);
        assert_eq!(admitted(&sources, "2001:db8::1", 6, at(0)), 6);
        assert_eq!(admitted(&sources, "2001:db8::ffff:2", 100, at(0)), 4);
        assert_eq!(admitted(&sources, "2001:db8:0:1::1", 100, at(0)), 10);
        // The same host, however it came.
        assert_eq!(admitted(&sources, "192.0.2.1", 10, at(0)), 10);
        assert_eq!(admitted(&sources, "::ffff:192.0.2.1", 1, at(0)), 0);
    }

    #[test]
    fn strangers_beyond_the_table_share_one_allowance_and_known_ones_keep_theirs() {
        let sources = sources(2, &[]);
        let many = u32::try_from(SOURCES_MAX).unwrap();
        let stranger = |number: u32| Ipv4Addr::from(0x0a00_0000 + number).to_string();
        for number in 0..many {
            assert_eq!(admitted(&sources, &stranger(number), 1, at(0)), 1);
        }
        assert_eq!(admitted(&sources, "192.0.2.1", 5, at(0)), 2);
        assert_eq!(admitted(&sources, "192.0.2.2", 5, at(0)), 0);
        assert_eq!(admitted(&sources, &stranger(7), 5, at(0)), 1);
        // A second later everybody's allowance is whole, and there is room again.
        assert_eq!(admitted(&sources, "192.0.2.2", 5, at(3_000)), 2);
        assert_eq!(admitted(&sources, "192.0.2.3", 5, at(3_000)), 2);
    }

    #[test]
    fn only_a_trusted_proxy_is_believed_about_who_asks() {
        for (proxies, peer, header, origin) in [
            (&[][..], "10.0.0.1", "192.0.2.9", "10.0.0.1"),
            (&["10.0.0.0/8"], "10.0.0.1", "192.0.2.9", "192.0.2.9"),
            (&["10.0.0.0/8"], "203.0.113.5", "192.0.2.9", "203.0.113.5"),
            // What the client itself wrote stands left of what the proxy heard.
            (
                &["10.0.0.0/8"],
                "10.0.0.1",
                "192.0.2.1, 192.0.2.9",
                "192.0.2.9",
            ),
            (
                &["10.0.0.0/8"],
                "10.0.0.1",
                "192.0.2.9, 10.0.0.2",
                "192.0.2.9",
            ),
            (&["10.0.0.0/8"], "10.0.0.1", "nonsense", "10.0.0.1"),
            (&["10.0.0.0/8"], "10.0.0.1", "", "10.0.0.1"),
            (&["10.0.0.0/8"], "::ffff:10.0.0.1", "192.0.2.9", "192.0.2.9"),
        ] {
            let mut headers = HeaderMap::new();
            headers.append("x-forwarded-for", HeaderValue::from_static(header));
            let found = sources(1, proxies).origin(address(peer), &headers);
            assert_eq!(found, address(origin), "{proxies:?} {peer} {header}");
        }
    }
}
