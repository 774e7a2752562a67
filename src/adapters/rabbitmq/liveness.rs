//! Whether a consumer still is one, by what the broker says of its queue. Pure: nothing here asks.
//!
//! A consumer can be lost without a word: the client still waits, and the broker knows nothing of
//! it. AMQP has no question for one consumer, only for a queue: how many messages are ready, and
//! how many consumers there are. The latter may be other replicas'.

/// So many looks in a row that may speak against a consumer do: one alone may be a moment's picture.
pub(crate) const SUSPICIONS_MAX: u32 = 3;

/// What one look at the queue showed, and how the lane stood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Look {
    /// Messages that nobody has.
    pub(crate) ready: u32,
    /// Consumers of the queue, ours and others'.
    pub(crate) consumers: u32,
    /// Deliveries to our consumer so far.
    pub(crate) delivered: u64,
    pub(crate) room: Room,
}

/// Whether the broker may deliver more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    Some,
    /// The prefetch is used up.
    None,
}

/// What is wrong with a consumer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ailment {
    /// The broker knows no consumer of the queue.
    Forgotten,
    /// Messages wait, there is room for them, and none comes.
    PassedOver,
}

/// The looks at one consumer, put together.
#[derive(Debug, Default)]
pub(crate) struct Liveness {
    delivered: u64,
    suspicions: u32,
}

impl Liveness {
    /// Judges by one more look; `Some` when the consumer is to be replaced.
    pub(crate) fn judge(&mut self, look: Look) -> Option<Ailment> {
        let was_served = look.delivered != self.delivered;
        self.delivered = look.delivered;
        let suspicion = match (look.consumers, look.ready) {
            _ if was_served => None,
            // RabbitMQ says 0 and 0 of a queue whose leader does not answer at once, too.
            // Source: rabbit_quorum_queue:stat/2.
            (0, 0) => Some(Ailment::Forgotten),
            (0, _) => return Some(Ailment::Forgotten),
            (_, 0) => None,
            // Consumers are served in turn, so another replica's cannot take all.
            (_, _) if look.room == Room::Some => Some(Ailment::PassedOver),
            (_, _) => None,
        };
        self.suspicions = match suspicion {
            Some(_) => self.suspicions.saturating_add(1),
            None => 0,
        };
        suspicion.filter(|_| self.suspicions >= SUSPICIONS_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ready messages, consumers, deliveries since the look before.
    type Seen = (u32, u32, u64, Room);

    fn judge(looks: &[Seen]) -> Vec<Option<Ailment>> {
        let mut liveness = Liveness::default();
        let mut delivered = 0;
        let judged = looks.iter().map(|(ready, consumers, more, room)| {
            delivered += more;
            liveness.judge(Look {
                ready: *ready,
                consumers: *consumers,
                delivered,
                room: *room,
            })
        });
        judged.collect()
    }

    #[test]
    fn a_consumer_is_replaced_when_looks_in_a_row_speak_against_it() {
        let (forgotten, passed_over) = (Some(Ailment::Forgotten), Some(Ailment::PassedOver));
        let table: [(&str, &[Seen], Option<Ailment>); 9] = [
            ("idle", &[(0, 1, 0, Room::Some); 9], None),
            ("at work", &[(7, 1, 3, Room::Some); 9], None),
            ("full", &[(7, 1, 0, Room::None); 9], None),
            (
                "nobody takes what waits",
                &[(1, 0, 0, Room::Some)],
                forgotten,
            ),
            ("perhaps a slow leader", &[(0, 0, 0, Room::Some); 2], None),
            ("not for so long", &[(0, 0, 0, Room::Some); 3], forgotten),
            ("just published", &[(1, 2, 0, Room::Some); 2], None),
            (
                "others are served",
                &[(1, 2, 0, Room::Some); 3],
                passed_over,
            ),
            (
                "never three in a row",
                &[
                    (1, 1, 0, Room::Some),
                    (0, 0, 0, Room::Some),
                    (5, 1, 1, Room::Some),
                    (1, 1, 0, Room::Some),
                    (5, 1, 0, Room::None),
                    (0, 0, 0, Room::Some),
                    (1, 2, 0, Room::Some),
                    (0, 1, 0, Room::Some),
                ],
                None,
            ),
        ];
        for (what, looks, expected) in table {
            let judged = judge(looks);
            let (last, before) = judged.split_last().unwrap();
            assert_eq!(*last, expected, "{what}");
            assert!(before.iter().all(Option::is_none), "{what}: {judged:?}");
        }
    }
}
