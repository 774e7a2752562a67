//! Names, arguments, and what the broker says of a mismatch.

use super::*;

#[test]
fn every_dead_lettering_queue_is_at_least_once() {
    let topology = Topology::new(&RabbitmqOptions::new("t")).unwrap();
    let argument = |queue: &QueueSpec, name: &str| queue.arguments.inner().get(name).cloned();
    let mut dead_lettering = 0;
    for queue in &topology.queues {
        assert_eq!(argument(queue, "x-queue-type"), Some(text("quorum")));
        if argument(queue, "x-dead-letter-exchange").is_some() {
            dead_lettering += 1;
            assert_eq!(
                argument(queue, "x-dead-letter-strategy"),
                Some(text("at-least-once")),
                "{queue:?}"
            );
            assert_eq!(argument(queue, "x-overflow"), Some(text("reject-publish")));
        }
    }
    assert_eq!(
        dead_lettering,
        Lane::all(Shards::default()).len() + topology.ladder.rungs().len()
    );
}

#[test]
fn what_people_look_into_is_not_thrown_away_for_it() {
    let topology = Topology::new(&RabbitmqOptions::new("hongbao")).unwrap();
    for name in ["hongbao.dead", "hongbao.outcomes.unrouted"] {
        let queue = topology
            .queues
            .iter()
            .find(|queue| queue.name.as_str() == name);
        let limit = queue.unwrap().arguments.inner().get("x-delivery-limit");
        assert_eq!(limit, Some(&number(1_000_000)), "{name}");
    }
}

#[test]
fn the_outline_says_everything_that_is_declared() {
    let topology = Topology::new(&RabbitmqOptions::new("hongbao")).unwrap();
    let outline = topology.outline();
    let counts = |queue: &QueueSpec| queue.arguments.inner().len();
    let declared: Vec<_> = topology.queues.iter().map(counts).collect();
    let told = outline.queues.iter().map(|queue| queue.arguments.len());
    assert_eq!(told.collect::<Vec<_>>(), declared);
    assert_eq!(outline.exchanges.len(), topology.exchanges.len());
    for (lane, name) in &outline.lanes {
        let queue = outline.queues.iter().find(|queue| queue.name == *name);
        let bound = (&queue.unwrap().exchange, &queue.unwrap().routing_key);
        assert_eq!(bound, (&outline.jobs, &lane.to_string()));
    }
}

#[test]
fn names_are_made_of_prefix_and_purpose() {
    let topology = Topology::new(&RabbitmqOptions::new("hongbao")).unwrap();
    let names: Vec<_> = topology
        .queues
        .iter()
        .map(|queue| queue.name.as_str())
        .collect();
    for name in [
        "hongbao.jobs.disburse",
        "hongbao.retry.500ms",
        "hongbao.retry.17m",
        "hongbao.outcomes.unrouted",
        "hongbao.dead",
    ] {
        assert!(names.contains(&name), "{name} in {names:?}");
    }
}

#[test]
fn a_prefix_that_is_too_long_is_refused() {
    assert!(Topology::new(&RabbitmqOptions::new(&"p".repeat(250))).is_err());
}

#[test]
fn the_argument_is_read_out_of_the_brokers_sentence() {
    let sentence = "PRECONDITION_FAILED - inequivalent arg 'x-message-ttl' for queue 'q'";
    assert_eq!(argument_of(sentence), "x-message-ttl");
    assert_eq!(argument_of("something else"), "argument");
}
