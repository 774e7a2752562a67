//! RabbitMQ by TLS: with certificates it is the same broker, without the right ones it is none.

use hongbaod::adapters::rabbitmq::{ConnectError, RabbitmqOptions, check_topology};

use super::{facts_hold_at, rabbitmq};
use crate::servers::{amqps_url, tls_file};

fn with_certificates(options: &mut RabbitmqOptions) {
    options.tls.ca = Some(tls_file("ca.pem"));
    options.tls.identity = Some((tls_file("client.pem"), tls_file("client.key").into()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_facts_hold_over_tls() {
    facts_hold_at(&[amqps_url()], with_certificates).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_by_tls_that_is_not_trusted_or_does_not_trust_us_is_out_of_reach() {
    let url = amqps_url();
    let elsewhere = url.replace("127.0.0.1", "127.0.0.2");
    for (url, ca, with_identity) in [
        (&url, None, true),
        (&url, Some("client.pem"), true),
        (&url, Some("ca.pem"), false),
        // The certificate is for another address.
        (&elsewhere, Some("ca.pem"), true),
    ] {
        let mut options = rabbitmq::options(url, "tls");
        with_certificates(&mut options);
        options.tls.ca = ca.map(tls_file);
        if !with_identity {
            options.tls.identity = None;
        }
        let error = check_topology(&options).await.unwrap_err();
        assert!(
            matches!(error, ConnectError::Unreachable { .. }),
            "{url} {ca:?} {with_identity}: {error:?}"
        );
    }
}
