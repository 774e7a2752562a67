//! Connections that are lost again and again: no storm of attempts, and nothing left behind.

use std::sync::Arc;
use std::time::Duration;

use hongbaod::adapters::rabbitmq::RabbitmqOptions;
use hongbaod::domain::job::Kind;
use hongbaod::ports::broker::{Broker, Settlement};
use hongbaod::ports::ledger::Connection;
use tokio::time::timeout;

use super::rabbitmq::{Bystander, options, up};
use super::rabbitmq_lifetimes::connect_by;
use super::world::{arrival, event, job};
use crate::alone::{Holdings, is_alone};
use crate::clocks::{HastyClock, ScaledClock, elapsed};
use crate::patience::{eventually, pause};
use crate::proxy::{Mode, Proxy};
use crate::servers::{amqp_url, unique_prefix};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_is_away_or_flaps_meets_no_storm_of_connections() {
    let bystander = Bystander::connect(&amqp_url()).await;
    let proxy = Proxy::before(&amqp_url());
    let options = options(&proxy.url(&amqp_url()), &unique_prefix("storm"));
    let broker = connect_by(ScaledClock::new(1_000), options.clone()).await;
    assert_eq!(proxy.accepted(), 2);

    // Waits of 0.1, 0.2, 0.4, 0.8 and 1.6 s are the shortest that can be drawn.
    let window = Duration::from_secs(3);
    proxy.set(Mode::Refuse);
    proxy.cut().await;
    pause(window).await;
    let attempts = proxy.accepted() - 2;
    assert!((4..=10).contains(&attempts), "{attempts} while away");
    proxy.set(Mode::Pass);
    up(&broker).await;

    // Each connection comes to stand, and is cut at once.
    let before = proxy.accepted();
    let flapping = async {
        loop {
            eventually("a connection", async || proxy.open() > 0).await;
            pause(Duration::from_millis(300)).await;
            proxy.cut().await;
        }
    };
    assert!(timeout(window * 2, flapping).await.is_err());
    let attempts = proxy.accepted() - before;
    assert!(attempts <= 8, "{attempts} while it flaps");
    up(&broker).await;
    broker.close().await;
    bystander.demolish(&options).await;
}

const HOUR: Duration = Duration::from_secs(60 * 60);

/// Each breaks both connections.
const CUTS: usize = 500;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_reconnects_to_rabbitmq_leave_nothing_behind() {
    const NAME: &str = "broker_contract::rabbitmq_reconnects::a_thousand_reconnects_to_rabbitmq_leave_nothing_behind";
    if !is_alone(NAME).await {
        return;
    }
    let bystander = Bystander::connect(&amqp_url()).await;
    let proxy = Proxy::before(&amqp_url());
    // A short ladder: everything is declared a thousand times.
    let options = RabbitmqOptions {
        delay_min: HOUR,
        delay_max: HOUR,
        ..options(&proxy.url(&amqp_url()), &unique_prefix("thousand"))
    };
    let clock = Arc::new(HastyClock::default());
    let broker = connect_by(clock, options.clone()).await;
    let mut early = None;
    let took = elapsed(async {
        for cut in 1..=CUTS {
            broker.publish_job(&job(Kind::Pay, "x")).await.unwrap();
            broker.publish_event(&event("e-1")).await.unwrap();
            let delivery = arrival(&*broker, Kind::Pay).await;
            // Every other delivery comes again after the cut, and is stale.
            if cut % 2 == 0 {
                assert_eq!(broker.ack(&delivery.tag).await, Settlement::Sent);
            }
            proxy.cut().await;
            eventually("the loss", async || !broker.holds(&delivery.tag)).await;
            eventually("both connections", async || {
                broker.connection() == Connection::Up && proxy.open() == 2
            })
            .await;
            if cut % 2 == 1 {
                let again = arrival(&*broker, Kind::Pay).await;
                assert_eq!(broker.ack(&again.tag).await, Settlement::Sent);
            }
            if cut == CUTS / 5 {
                early = Some(Holdings::now());
            }
        }
    })
    .await;
    let (early, late) = (early.unwrap(), Holdings::now());
    let connections = proxy.accepted();
    eprintln!("{connections} connections in {took:?}: {early:?}, then {late:?}");
    assert!(connections >= 1_000, "{connections}");
    Holdings::become_no_more_than(&early).await;
    assert_eq!(proxy.open(), 2);
    broker.close().await;
    eventually("no connection", async || proxy.open() == 0).await;
    bystander.demolish(&options).await;
}
