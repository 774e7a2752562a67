//! Which connection a key takes.

use std::sync::Arc;

use crate::adapters::redis_ledger::connection::Link;
use crate::adapters::redis_ledger::shard::Shard;
use crate::adapters::redis_ledger::slots::{SLOTS, Share, slot_of};

/// The connections by slot; they are looked up for every command.
#[derive(Debug, Default)]
pub(super) enum Routes {
    /// There is none.
    #[default]
    Nowhere,
    /// One server has everything.
    One(Arc<Link>),
    /// Each master of a cluster has some slots.
    BySlot {
        links: Vec<Arc<Link>>,
        /// For each slot, the index of its link, or one that no link has.
        index: Box<[u16]>,
    },
}

impl Routes {
    /// The present connections of these masters; keys of a master without one have no route.
    pub(super) fn of(shards: &[Arc<Shard>]) -> Self {
        if let [shard] = shards
            && shard.share == Share::Everything
        {
            return shard.link().map_or(Self::Nowhere, Self::One);
        }
        let mut links = Vec::with_capacity(shards.len());
        let mut index = vec![u16::MAX; usize::from(SLOTS)].into_boxed_slice();
        for shard in shards {
            let Some(link) = shard.link() else {
                continue;
            };
            let place = u16::try_from(links.len()).unwrap_or(u16::MAX);
            for (first, last) in shard.share.ranges() {
                if let Some(slots) = index.get_mut(usize::from(*first)..=usize::from(*last)) {
                    slots.fill(place);
                }
            }
            links.push(link);
        }
        Self::BySlot { links, index }
    }

    /// The connection to the master of `key`.
    pub(super) fn link(&self, key: &str) -> Option<&Arc<Link>> {
        match self {
            Self::Nowhere => None,
            Self::One(link) => Some(link),
            Self::BySlot { links, index } => {
                let place = index.get(usize::from(slot_of(key.as_bytes())))?;
                links.get(usize::from(*place))
            }
        }
    }

    /// The connection to the master at this address.
    pub(super) fn link_at(&self, address: &str) -> Option<&Arc<Link>> {
        match self {
            Self::Nowhere | Self::One(_) => None,
            Self::BySlot { links, .. } => links
                .iter()
                .find(|link| link.address.to_string() == address),
        }
    }
}
