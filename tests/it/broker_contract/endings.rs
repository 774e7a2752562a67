//! What the port promises of a broker that is paused, stopped or closed.

use std::sync::Arc;

use hongbaod::domain::job::Kind;
use hongbaod::ports::broker::{PublishError, Settlement};
use hongbaod::ports::ledger::Connection;
use tokio::time::timeout;

use super::world::{PATIENCE, PREFETCH, World, arrival, body, event, job, nothing_arrives};

pub(super) async fn a_paused_replica_leaves_the_jobs_to_others(world: &dyn World) {
    let (paused, other) = (world.replica().await, world.replica().await);
    paused.publish_job(&job(Kind::Pay, "held")).await.unwrap();
    // Whoever got it keeps it while the other one is paused.
    let (paused, other, held) = tokio::select! {
        held = arrival(&*paused, Kind::Pay) => (Arc::clone(&paused), other, held),
        held = arrival(&*other, Kind::Pay) => (Arc::clone(&other), paused, held),
    };
    paused.pause().await;
    for number in 0..3 {
        let sent = job(Kind::Pay, &number.to_string());
        other.publish_job(&sent).await.unwrap();
    }
    for _ in 0..3 {
        let delivery = arrival(&*other, Kind::Pay).await;
        assert_eq!(other.ack(&delivery.tag).await, Settlement::Sent);
    }
    nothing_arrives(&*paused, Kind::Pay).await;
    assert!(paused.holds(&held.tag), "what was delivered stays ours");
    assert_eq!(paused.connection(), Connection::Up);
    assert_eq!(paused.ack(&held.tag).await, Settlement::Sent);

    paused.resume().await;
    other.pause().await;
    other.publish_job(&job(Kind::Pay, "after")).await.unwrap();
    assert_eq!(body(&arrival(&*paused, Kind::Pay).await), "after");
}

pub(super) async fn a_paused_replica_gives_back_what_it_had_not_handed_out(world: &dyn World) {
    let (first, second) = (world.replica().await, world.replica().await);
    second.pause().await;
    for number in 0..3 {
        let sent = job(Kind::Pay, &number.to_string());
        first.publish_job(&sent).await.unwrap();
    }
    let held = arrival(&*first, Kind::Pay).await;
    first.pause().await;
    second.resume().await;
    for _ in 0..2 {
        let delivery = arrival(&*second, Kind::Pay).await;
        assert_ne!(body(&delivery), body(&held));
        assert_eq!(second.ack(&delivery.tag).await, Settlement::Sent);
    }
    assert_eq!(first.ack(&held.tag).await, Settlement::Sent);
}

pub(super) async fn a_pause_does_not_raise_the_prefetch(world: &dyn World) {
    let broker = world.replica().await;
    let mut held = Vec::new();
    for number in 0..PREFETCH * 2 {
        let sent = job(Kind::Pay, &number.to_string());
        broker.publish_job(&sent).await.unwrap();
    }
    for _ in 0..PREFETCH {
        held.push(arrival(&*broker, Kind::Pay).await);
    }
    broker.pause().await;
    broker.resume().await;
    nothing_arrives(&*broker, Kind::Pay).await;
    for delivery in held {
        assert_eq!(broker.ack(&delivery.tag).await, Settlement::Sent);
        arrival(&*broker, Kind::Pay).await;
    }
}

pub(super) async fn stopping_ends_next_but_keeps_what_is_held(world: &dyn World) {
    let broker = world.replica().await;
    for number in 0..3 {
        let sent = job(Kind::Disburse, &number.to_string());
        broker.publish_job(&sent).await.unwrap();
    }
    let held = arrival(&*broker, Kind::Disburse).await;
    let waiting = {
        let broker = Arc::clone(&broker);
        tokio::spawn(async move { broker.next(Kind::Refund.into()).await })
    };
    broker.stop().await;
    assert!(timeout(PATIENCE, waiting).await.unwrap().unwrap().is_none());
    assert!(
        timeout(PATIENCE, broker.next(Kind::Disburse.into()))
            .await
            .unwrap()
            .is_none()
    );
    broker.resume().await;
    assert!(
        timeout(PATIENCE, broker.next(Kind::Query.into()))
            .await
            .unwrap()
            .is_none()
    );
    assert!(broker.holds(&held.tag));
    broker.publish_event(&event("e-1")).await.unwrap();
    assert_eq!(broker.ack(&held.tag).await, Settlement::Sent);
    broker.close().await;
    let other = world.replica().await;
    for _ in 0..2 {
        assert_ne!(body(&arrival(&*other, Kind::Disburse).await), body(&held));
    }
    nothing_arrives(&*other, Kind::Disburse).await;
}

pub(super) async fn a_closed_broker_publishes_nothing(world: &dyn World) {
    let broker = world.replica().await;
    broker.close().await;
    assert_eq!(broker.connection(), Connection::Down);
    let refused = broker.publish_job(&job(Kind::Pay, "late")).await;
    assert!(
        matches!(refused, Err(PublishError::Unavailable(_))),
        "{refused:?}"
    );
    assert!(
        timeout(PATIENCE, broker.next(Kind::Pay.into()))
            .await
            .unwrap()
            .is_none()
    );
}
