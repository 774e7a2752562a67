//! Keys that change under a running daemon.

use std::fs;

use super::process::Stream;
use super::world::{World, WorldOptions};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_read_again_on_sighup_and_a_broken_one_changes_nothing() {
    let world = World::start("rotation", WorldOptions::default()).await;
    let mut daemon = world.daemon().await;
    let file = world.path("keys").join("alipay_public_key.pem");
    let good = fs::read_to_string(&file).unwrap();

    fs::write(&file, "no key").unwrap();
    daemon.process.signal("HUP");
    daemon.process.line(Stream::Stderr, "SIGHUP").await;
    let told = daemon.process.line(Stream::Stderr, "stay in use").await;
    assert!(told.contains("alipay_public_key_file"), "{told}");
    assert_eq!(
        daemon.count("hongbaod_key_reloads_total", "refused").await,
        1
    );

    // The old key beside itself: enough to be another content.
    fs::write(&file, format!("{good}{good}")).unwrap();
    daemon.process.signal("HUP");
    daemon.process.line(Stream::Stderr, "are in use").await;
    assert_eq!(
        daemon.count("hongbaod_key_reloads_total", "reloaded").await,
        1
    );
    daemon.ready().await;
    assert_eq!(daemon.process.terminate().await, Some(0));
    world.demolish().await;
}
