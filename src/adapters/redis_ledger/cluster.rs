//! What a node of a Redis Cluster says of the whole: who holds which slots.

use std::collections::BTreeMap;

use redis::Value;

use crate::adapters::redis_ledger::connection::Address;
use crate::adapters::redis_ledger::locator::Place;
use crate::adapters::redis_ledger::slots::{SLOTS, Share};

/// One node's view of its cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct View {
    /// The greatest epoch it has heard of; each failover has a new one.
    pub(super) epoch: u64,
    /// Whether it takes the cluster to be up.
    is_up: bool,
    masters: BTreeMap<Address, Vec<(u16, u16)>>,
}

impl View {
    /// Reads the answers to `CLUSTER INFO` and `CLUSTER SLOTS` of `node`. What cannot be read is left
    /// out: then the slots are not whole.
    pub(super) fn read(info: &str, slots: &Value, node: &Address) -> Self {
        let field = |name: &str| {
            let mut lines = info.lines();
            lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
        };
        let mut masters: BTreeMap<Address, Vec<(u16, u16)>> = BTreeMap::new();
        for range in items(slots) {
            if let Some((address, range)) = read_range(range, node) {
                masters.entry(address).or_default().push(range);
            }
        }
        Self {
            epoch: field("cluster_current_epoch")
                .and_then(|epoch| epoch.trim().parse().ok())
                .unwrap_or(0),
            is_up: field("cluster_state").is_some_and(|state| state.trim() == "ok"),
            masters,
        }
    }

    /// The masters in the order of their slots; `None` unless the cluster is up and each slot has one.
    pub(super) fn places(self) -> Option<Vec<Place>> {
        let places = self.masters.into_iter().map(|(address, ranges)| Place {
            address,
            share: Share::of(ranges),
        });
        let mut places: Vec<Place> = places.collect();
        places.sort_unstable_by(|one, two| one.share.cmp(&two.share));
        let slots = places.iter().map(|place| place.share.len());
        let is_whole = slots.fold(0, u16::saturating_add) == SLOTS;
        (self.is_up && is_whole).then_some(places)
    }
}

/// Reads one element of `CLUSTER SLOTS`: first slot, last slot, master, replicas.
///
/// A node is a preferred endpoint, a port, an id and more. An endpoint of null means the address that
/// was asked, as an empty one does. Source: Redis, CLUSTER SLOTS.
fn read_range(range: &Value, asked: &Address) -> Option<(Address, (u16, u16))> {
    let [Value::Int(first), Value::Int(last), master, ..] = items(range) else {
        return None;
    };
    let [endpoint, Value::Int(port), ..] = items(master) else {
        return None;
    };
    let host = if let Value::BulkString(bytes) = endpoint {
        String::from_utf8(bytes.clone()).ok()?
    } else if *endpoint == Value::Nil {
        String::new()
    } else {
        return None;
    };
    let slot = |slot: &i64| u16::try_from(*slot).ok().filter(|slot| *slot < SLOTS);
    let address = Address {
        host: if host.is_empty() {
            asked.host.clone()
        } else {
            host
        },
        port: u16::try_from(*port).ok()?,
    };
    Some((address, (slot(first)?, slot(last)?)))
}

/// The elements of a list; none of anything else.
fn items(value: &Value) -> &[Value] {
    if let Value::Array(items) = value {
        items
    } else {
        &[]
    }
}

#[cfg(test)]
mod tests {
    use redis::Value;

    use super::View;
    use crate::adapters::redis_ledger::connection::Address;

    const INFO: &str = "cluster_state:ok\r\ncluster_slots_assigned:16384\r\n\
        cluster_current_epoch:6\r\ncluster_my_epoch:1\r\n";

    fn range(first: i64, last: i64, host: Value, port: i64) -> Value {
        let id = Value::BulkString(b"07c37df".to_vec());
        let node = Value::Array(vec![host, Value::Int(port), id, Value::Array(vec![])]);
        let replica = node.clone();
        Value::Array(vec![Value::Int(first), Value::Int(last), node, replica])
    }

    fn host(name: &str) -> Value {
        Value::BulkString(name.as_bytes().to_vec())
    }

    fn asked() -> Address {
        let host = "asked".to_owned();
        Address { host, port: 1 }
    }

    #[test]
    fn the_masters_are_in_the_order_of_their_slots() {
        let slots = Value::Array(vec![
            range(8_000, 16_383, host("b"), 2),
            range(0, 99, host("c"), 3),
            range(100, 7_999, Value::Nil, 9),
        ]);
        let view = View::read(INFO, &slots, &asked());
        assert_eq!(view.epoch, 6);
        let places = view.places().unwrap();
        let told: Vec<String> = places
            .iter()
            .map(|place| format!("{} {}", place.address, place.share.to_text()))
            .collect();
        assert_eq!(told, ["c:3 0-99", "asked:9 100-7999", "b:2 8000-16383"]);
    }

    #[test]
    fn a_cluster_that_is_down_or_not_whole_has_no_masters() {
        let whole = Value::Array(vec![range(0, 16_383, host("a"), 1)]);
        assert!(View::read(INFO, &whole, &asked()).places().is_some());
        let down = INFO.replace("state:ok", "state:fail");
        assert_eq!(View::read(&down, &whole, &asked()).places(), None);
        for broken in [
            Value::Array(vec![range(0, 16_382, host("a"), 1)]),
            Value::Array(vec![range(0, 16_383, Value::Int(1), 1)]),
            Value::Array(vec![range(0, 99_999, host("a"), 1)]),
            Value::Array(vec![range(0, 16_383, host("a"), 99_999)]),
            Value::Array(vec![Value::Nil]),
            Value::Nil,
        ] {
            assert_eq!(
                View::read(INFO, &broken, &asked()).places(),
                None,
                "{broken:?}"
            );
        }
    }
}
