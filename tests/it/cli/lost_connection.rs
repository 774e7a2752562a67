//! `submit` when the connection to RabbitMQ breaks in the middle.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};

use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Connection, ConnectionProperties, ExchangeKind};
use serde_json::Value;
use tempfile::TempDir;

use crate::cli::{disburse, run};
use crate::servers::{amqp_url, unique_prefix};

/// More than fits into the bytes that the proxy lets through.
const JOBS: usize = 3_000;

/// What the client may send before the proxy cuts the connection: about a third of the jobs.
const CLIENT_BYTES_MAX: usize = 400_000;

#[tokio::test]
async fn a_lost_connection_sends_no_job_twice_and_names_those_in_doubt() {
    let prefix = unique_prefix("lost");
    let (_connection, channel) = declare(&prefix).await;
    let directory = TempDir::new().unwrap();
    let port = cutting_proxy();
    let text = format!(
        "[rabbitmq]\nurls = [\"amqp://guest:guest@127.0.0.1:{port}/%2f\"]\nprefix = \"{prefix}\"\n"
    );
    fs::write(directory.path().join("hongbaod.toml"), text).unwrap();
    let jobs: Vec<String> = (1..=JOBS).map(|number| disburse(number, |_| {})).collect();
    fs::write(directory.path().join("jobs.ndjson"), jobs.join("\n")).unwrap();

    let directory = directory.path();
    let ended = run(directory, &["submit", "--file", "jobs.ndjson", "--json"]);
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    let mut told: Vec<Value> = ended
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let summary = told.pop().unwrap()["summary"].clone();
    let number = |name: &str| usize::try_from(summary[name].as_u64().unwrap()).unwrap();
    let (submitted, unconfirmed) = (number("submitted"), number("unconfirmed"));
    assert!(submitted > 0 && unconfirmed > 0, "{summary}");
    assert_eq!(told.len(), unconfirmed);
    assert!(told.iter().all(|told| told["state"] == "unconfirmed"));
    // Every line is in exactly one of the three parts.
    assert_eq!(number("unsent_from_line"), submitted + unconfirmed + 1);

    let options = QueueDeclareOptions::durable().passive();
    let queue = format!("{prefix}.jobs.disburse");
    let queue = channel
        .queue_declare(queue.into(), options, FieldTable::default())
        .await
        .unwrap();
    let arrived = usize::try_from(queue.message_count()).unwrap();
    assert!(
        (submitted..=submitted + unconfirmed).contains(&arrived),
        "{arrived} of {summary}"
    );
}

/// Declares what a producer needs, and nobody who takes the jobs.
async fn declare(prefix: &str) -> (Connection, Channel) {
    let properties = ConnectionProperties::default();
    let connection = Connection::connect(&amqp_url(), properties).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    let (exchange, queue) = (format!("{prefix}.jobs"), format!("{prefix}.jobs.disburse"));
    let options = ExchangeDeclareOptions {
        durable: true,
        ..ExchangeDeclareOptions::default()
    };
    let none = FieldTable::default;
    channel
        .exchange_declare(
            exchange.as_str().into(),
            ExchangeKind::Direct,
            options,
            none(),
        )
        .await
        .unwrap();
    channel
        .queue_declare(
            queue.as_str().into(),
            QueueDeclareOptions::durable(),
            none(),
        )
        .await
        .unwrap();
    let key = "disburse".into();
    channel
        .queue_bind(
            queue.into(),
            exchange.into(),
            key,
            QueueBindOptions::default(),
            none(),
        )
        .await
        .unwrap();
    (connection, channel)
}

/// Passes one connection on to RabbitMQ until the client has sent [`CLIENT_BYTES_MAX`].
fn cutting_proxy() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let url = amqp_url();
    let authority = url.split('/').nth(2).unwrap();
    let broker = authority.rsplit('@').next().unwrap().to_owned();
    std::thread::spawn(move || {
        let (client, _) = listener.accept().unwrap();
        let server = TcpStream::connect(broker).unwrap();
        let (from_server, to_client) = (server.try_clone().unwrap(), client.try_clone().unwrap());
        let answers = std::thread::spawn(move || pass(from_server, to_client, usize::MAX));
        pass(client, server, CLIENT_BYTES_MAX);
        answers.join().unwrap();
    });
    port
}

/// Copies at most `limit` bytes, then ends both connections.
fn pass(mut from: TcpStream, mut to: TcpStream, limit: usize) {
    let mut left = limit;
    let mut buffer = [0; 8192];
    while left > 0 {
        let length = from.read(&mut buffer).unwrap_or(0).min(left);
        if length == 0 || to.write_all(&buffer[..length]).is_err() {
            break;
        }
        left -= length;
    }
    for stream in [from, to] {
        // The other direction may have ended it before.
        drop(stream.shutdown(Shutdown::Both));
    }
}
