//! Files of secrets that others can read: told by the start and by `check`, and never refused.

use std::fs::{Permissions, set_permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use crate::daemon::process::Stream;
use crate::daemon::world::{World, WorldOptions};

async fn world() -> World {
    let options = WorldOptions {
        amqp: "memory:".to_owned(),
        redis: "memory:".to_owned(),
        ..WorldOptions::default()
    };
    World::start("exposure", options).await
}

fn chmod(path: &Path, mode: u32) {
    set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// The rows of `check` that are about what is open, and its exit code.
async fn open_to_others(world: &World) -> (Option<i32>, Vec<String>) {
    let mut check = world.hongbaod(&["check", "--json"]);
    let code = check.exit_code().await;
    let written = check.written();
    let lines = written.stdout.iter();
    let rows = lines.filter(|line| line.contains("\"config\"") && line.contains("chmod"));
    (code, rows.cloned().collect())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_everybody_can_read_is_told_with_its_path_its_mode_and_the_remedy() {
    let mut world = world().await;
    let token = world.path("token");
    std::fs::write(&token, "a-token-that-nobody-guesses\n").unwrap();
    chmod(&token, 0o600);
    world.set("HONGBAOD__ADMIN__TOKEN_FILE", token.to_str().unwrap());
    assert_eq!(open_to_others(&world).await, (Some(0), vec![]));

    let key = world.path("keys/app_private_key.pem");
    chmod(&key, 0o644);
    chmod(&token, 0o660);
    let (code, rows) = open_to_others(&world).await;
    assert_eq!((code, rows.len()), (Some(0), 2), "{rows:?}");
    for (row, parts) in rows.iter().zip([
        ["admin.token_file", "/token", "0660"],
        [
            "alipay.apps.main.private_key_file",
            "app_private_key.pem",
            "0644",
        ],
    ]) {
        for part in parts {
            assert!(row.contains(part), "{part} in {row}");
        }
    }
    let mut daemon = world.daemon().await;
    let line = daemon.process.line(Stream::Stderr, "0644").await;
    for part in [
        "WARN",
        "private_key_file",
        "app_private_key.pem",
        "chmod 0600",
    ] {
        assert!(line.contains(part), "{part} in {line}");
    }
    // The public key is nobody's secret, whatever its mode.
    assert!(!daemon.process.written().text().contains("public_key_file"));
    assert_eq!(daemon.process.terminate().await, Some(0));
}

/// Source: Kubernetes, a Secret's volume: `key` links to `..data/key`, and `..data` to a directory
/// that is exchanged as a whole, in a mount of mode 3777; with `fsGroup` the files are 0440.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_of_kubernetes_is_judged_by_its_file_behind_the_links() {
    let mut world = world().await;
    let mount = world.path("mount");
    let data = mount.join("..2026_11_30");
    std::fs::create_dir_all(&data).unwrap();
    let text = std::fs::read(world.path("keys/app_private_key.pem")).unwrap();
    std::fs::write(data.join("key"), text).unwrap();
    symlink("..2026_11_30", mount.join("..data")).unwrap();
    symlink("..data/key", mount.join("key")).unwrap();
    chmod(&mount, 0o3777);
    let named = mount.join("key");
    let variable = "HONGBAOD__ALIPAY__APPS__MAIN__PRIVATE_KEY_FILE";
    world.set(variable, named.to_str().unwrap());
    chmod(&data.join("key"), 0o440);
    assert_eq!(open_to_others(&world).await, (Some(0), vec![]));
    // Without fsGroup.
    chmod(&data.join("key"), 0o644);
    assert_eq!(open_to_others(&world).await.1.len(), 1);
    // A directory in which everybody can put another key in its place.
    chmod(&data.join("key"), 0o440);
    chmod(&data, 0o777);
    let (_, rows) = open_to_others(&world).await;
    assert!(rows.len() == 1 && rows[0].contains("exchange"), "{rows:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_configuration_with_a_secret_in_it_is_a_file_of_secrets() {
    let world = world().await;
    let config = world.path("hongbaod.toml");
    chmod(&config, 0o644);
    assert_eq!(open_to_others(&world).await.1, [""; 0]);
    let mut text = std::fs::read_to_string(&config).unwrap();
    assert!(!text.contains("[admin]"));
    text.push_str("\n[admin]\ntoken = \"a-token-that-nobody-guesses\"\n");
    std::fs::write(&config, text).unwrap();
    let (code, rows) = open_to_others(&world).await;
    assert_eq!((code, rows.len()), (Some(0), 1), "{rows:?}");
    assert!(rows[0].contains("hongbaod.toml") && rows[0].contains("admin.token"));
    assert!(!rows[0].contains("nobody-guesses"), "{rows:?}");
}
