//! The walkthroughs, run as they stand: every block of commands in one shell, every output as shown.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::ports::free_port;
use crate::servers::{amqp_url, redis_url, unique_prefix};

const PAGE: &str = include_str!("../../../docs/walkthrough.md");

/// The fenced blocks of one language, one after the other.
fn blocks(language: &str) -> String {
    let fence = format!("```{language}\n");
    let blocks = PAGE.split(&fence).skip(1);
    blocks
        .map(|rest| rest.split_once("```").expect("the block ends").0)
        .collect()
}

#[test]
fn the_walkthroughs_print_what_they_show() {
    let directory = tempfile::TempDir::new().unwrap();
    let mut script = blocks("sh");
    for port in ["8089", "8090", "9464"] {
        let free = format!("127.0.0.1:{}", free_port());
        script = script.replace(&format!("127.0.0.1:{port}"), &free);
        if port == "8089" {
            let listen = format!("sandbox --listen {free} --keys");
            script = script.replace("sandbox --keys", &listen);
        }
        if port == "9464" {
            script = format!("export HONGBAOD__ADMIN__LISTEN={free}\n{script}");
        }
    }
    let binary = Path::new(env!("CARGO_BIN_EXE_hongbaod"));
    let path = format!(
        "{}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        binary.parent().unwrap().display()
    );
    let output = Command::new("bash")
        .args(["-e", "-u", "-o", "pipefail", "-c", &script])
        .current_dir(directory.path())
        .env("PATH", path)
        .env("HONGBAOD__RABBITMQ__URLS", amqp_url())
        .env("HONGBAOD__REDIS__URLS", redis_url())
        .env("HONGBAOD__RABBITMQ__PREFIX", unique_prefix("walk"))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert_eq!(printed, blocks("text"), "\n{complaints}");
    assert!(output.status.success(), "{complaints}");
}
