//! The table `[notify]`: where Alipay's notifications come in.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;

use crate::app::config::document::RawValue;
use crate::app::config::reader::Reader;
use crate::app::config::values::{self, Fault};

/// `[notify]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotifyConfig {
    /// Where notifications are taken; `None`: nowhere.
    pub listen: Option<SocketAddr>,
    /// Requests a second of one source, 1 to 1,000,000.
    pub rate_per_source: NonZeroU32,
    /// Whose word is believed about where a request came from.
    pub trusted_proxies: Vec<Network>,
}

/// Addresses that begin alike: `10.0.0.0/8`, or one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    /// How many leading bits count.
    bits: u8,
}

impl Network {
    /// Reads `address` or `address/bits`; `None` if it is neither.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            Some(bits) if bits.bytes().all(|byte| byte.is_ascii_digit()) => bits.parse().ok()?,
            Some(_) => return None,
            None => most,
        };
        (bits <= most).then_some(Self { address, bits })
    }

    /// Whether `address` is one of them.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(ours), IpAddr::V4(other)) => {
                let differing = u32::from(ours) ^ u32::from(other);
                differing.leading_zeros() >= u32::from(self.bits)
            }
            (IpAddr::V6(ours), IpAddr::V6(other)) => {
                let differing = u128::from(ours) ^ u128::from(other);
                differing.leading_zeros() >= u32::from(self.bits)
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

impl Default for NotifyConfig {
    fn default() -> Self {
        Self {
            listen: None,
            rate_per_source: NonZeroU32::MIN.saturating_add(999),
            trusted_proxies: Vec::new(),
        }
    }
}

impl NotifyConfig {
    pub(super) fn read(reader: &mut Reader) -> Self {
        let default = Self::default();
        Self {
            listen: reader.value("notify.listen", values::address),
            rate_per_source: reader.count(
                "notify.rate_per_source",
                default.rate_per_source,
                1_000_000,
            ),
            trusted_proxies: reader
                .value("notify.trusted_proxies", networks)
                .unwrap_or(default.trusted_proxies),
        }
    }
}

fn networks(raw: &RawValue) -> Result<Vec<Network>, Fault> {
    let network = |text: &String| {
        Network::parse(text).ok_or_else(|| {
            let fault = format!("{} is no network", values::quote(text));
            Fault::new(fault, "write for example [\"10.0.0.0/8\", \"192.0.2.7\"]")
        })
    };
    values::list(raw)?.iter().map(network).collect()
}

#[cfg(test)]
mod tests {
    use super::Network;

    #[test]
    fn a_network_holds_the_addresses_that_begin_alike() {
        for (network, address, within) in [
            ("10.0.0.0/8", "10.200.1.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("192.0.2.7", "192.0.2.7", true),
            ("192.0.2.7", "192.0.2.6", false),
            ("0.0.0.0/0", "203.0.113.9", true),
            ("0.0.0.0/0", "::1", false),
            ("fd00::/8", "fd12::1", true),
            ("fd00::/8", "fe80::1", false),
            ("::1", "::1", true),
        ] {
            let network = Network::parse(network).unwrap();
            assert_eq!(
                network.contains(address.parse().unwrap()),
                within,
                "{network} {address}"
            );
        }
    }

    #[test]
    fn what_is_no_network_is_none() {
        for text in [
            "",
            "10.0.0.0/33",
            "::/129",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "10.0.0/8",
            "a",
            "10.0.0.0/8/8",
        ] {
            assert_eq!(Network::parse(text), None, "{text}");
        }
    }
}
