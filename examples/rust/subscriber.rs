//! Works each outcome of hongbaod once, however often it comes; the rules are in docs/clients.md.
//!
//! Prints what it did as NDJSON, and its counts at the end (SIGTERM or SIGINT).
//! Exit codes: 0 stopped, 64 usage, 74 the store cannot be written.
#![expect(
    clippy::print_stdout,
    reason = "a program of its own, to be copied: its output is its work"
)]

use std::collections::HashSet;
use std::error::Error;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use futures_util::StreamExt;
use lapin::message::Delivery;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicQosOptions, BasicRejectOptions, QueueBindOptions,
    QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::uri::AMQPUri;
use lapin::{Channel, Connection, ConnectionProperties};
use serde::{Deserialize, Serialize};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{sleep, timeout};

/// Events that are sent ahead of their acknowledgement: bounds memory and what comes again.
const PREFETCH: u16 = 50;
/// All about jobs' money. A queue gets what its bindings name, and nothing else.
const BINDINGS: &str = "succeeded,failed,rejected,signed,unresolved,contradicted";
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

type AnyError = Box<dyn Error + Send + Sync>;

/// Work each outcome of hongbaod once.
#[derive(Parser)]
struct Options {
    #[arg(long, default_value = "amqp://guest:guest@localhost:5672/%2f")]
    amqp: String,
    /// The daemon's `rabbitmq.prefix`.
    #[arg(long, default_value = "hongbao")]
    prefix: String,
    /// A name of your service's own.
    #[arg(long, default_value = "orders.outcomes")]
    queue: String,
    /// Results.
    #[arg(long, default_value = BINDINGS, value_delimiter = ',')]
    bind: Vec<String>,
    /// A file.
    #[arg(long)]
    store: String,
}

/// The parts that are needed. Fields that are not known here are none of our business.
#[derive(Deserialize)]
struct Event {
    specversion: String,
    id: String,
    r#type: String,
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    out_request_no: String,
    reason: Option<String>,
    amount: Option<String>,
}

impl Event {
    /// Fails on what will never be understood, however often it is delivered.
    fn read(body: &[u8]) -> Result<Self, AnyError> {
        let event: Self = serde_json::from_slice(body)?;
        // Another version means that old readers could misread it: not for guessing.
        if event.specversion != "1.0" || event.kind_and_result().is_none() {
            return Err(format!("version {}, type {}", event.specversion, event.r#type).into());
        }
        Ok(event)
    }

    /// From `hongbao.<kind>.<result>.v1`.
    fn kind_and_result(&self) -> Option<(&str, &str)> {
        let inner = self.r#type.strip_prefix("hongbao.")?.strip_suffix(".v1")?;
        inner.split_once('.')
    }

    /// What the event means for the order. `None`: nothing to us.
    fn meaning(&self) -> Option<&'static str> {
        let (_kind, result) = self.kind_and_result()?;
        match result {
            "succeeded" => Some("done"),
            "failed" => Some("not done"),
            // Nothing was sent, and the number is settled. Any other reason (conflict, invalid) is
            // about a message that was refused: the number itself may well be paid. So are words to
            // come.
            "rejected" => match self.data.reason.as_deref() {
                Some("expired" | "over_budget") => Some("not done"),
                _ => Some("look"),
            },
            "signed" => Some("to be paid"),
            // Not terminal. Nobody knows yet: the money may have moved. Neither pay by other means
            // nor give it back; the last word follows.
            "unresolved" => Some("wait"),
            // Not terminal, either: the outcome that was told stands, and a person has to look.
            "contradicted" => Some("look"),
            _ => None,
        }
    }
}

#[derive(Deserialize, Serialize)]
struct Row {
    id: String,
    what: String,
    kind: String,
    number: String,
    amount: Option<String>,
}

/// Ends the program; an error of the connection does not.
#[derive(Debug, thiserror::Error)]
#[error("the store: {0}")]
struct StoreError(#[from] io::Error);

/// Which events were worked, and what came of them.
///
/// One line of its file is both, so neither exists without the other. In production it is the
/// database that holds the orders, and one transaction: INSERT the id (a primary key; if it is there
/// already, the event is a copy), UPDATE the order, COMMIT. Keep ids for longer than the daemon's
/// `ledger.retention`.
struct Store {
    file: File,
    ids: HashSet<String>,
}

impl Store {
    fn open(path: &str) -> Result<Self, StoreError> {
        let mut options = OpenOptions::new();
        let mut file = options.read(true).append(true).create(true).open(path)?;
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        let whole = text.rfind('\n').map_or(0, |at| at + 1);
        // A crash may leave half a line: that event was not worked.
        file.set_len(u64::try_from(whole).map_err(io::Error::other)?)?;
        let rows = text.lines().take(text.matches('\n').count());
        let ids = rows.map(|line| serde_json::from_str(line).map(|row: Row| row.id));
        let ids = ids.collect::<Result<_, _>>().map_err(io::Error::other)?;
        Ok(Self { file, ids })
    }

    /// `false` if the event was worked before. It blocks; a database's client would not.
    fn work(&mut self, row: &Row) -> Result<bool, StoreError> {
        if self.ids.contains(&row.id) {
            return Ok(false);
        }
        let line = serde_json::to_string(row).map_err(io::Error::other)?;
        self.file.write_all(format!("{line}\n").as_bytes())?;
        self.file.sync_data()?;
        self.ids.insert(row.id.clone());
        Ok(true)
    }
}

struct Subscriber {
    options: Options,
    store: Store,
    terminate: Signal,
    interrupt: Signal,
    failures: u32,
    worked: u64,
    copies: u64,
    ignored: u64,
    poison: u64,
}

impl Subscriber {
    async fn run(&mut self) -> Result<(), StoreError> {
        while let Err(error) = self.live().await {
            let error = match error.downcast::<StoreError>() {
                Ok(broken) => return Err(*broken),
                Err(error) => error,
            };
            eprintln!("connection: {error}");
            // Full jitter: a hundred services that lost one broker do not come back at once.
            let ceiling_ms = (100_u64 << self.failures).min(5_000);
            self.failures = (self.failures + 1).min(10);
            let wait = Duration::from_millis(rand::random_range(0..ceiling_ms));
            tokio::select! {
                () = sleep(wait) => {}
                _ = self.terminate.recv() => break,
                _ = self.interrupt.recv() => break,
            }
        }
        Ok(())
    }

    /// One connection, from its opening to its end. `Ok`: we were asked to stop.
    async fn live(&mut self) -> Result<(), AnyError> {
        let mut uri: AMQPUri = self.options.amqp.parse()?;
        uri.query.heartbeat = Some(10);
        // No recovery by the client: a consumer that it does not get back hangs silently.
        let connecting = Connection::connect_uri(uri, ConnectionProperties::default());
        let connection = timeout(CONNECT_TIMEOUT, connecting).await??;
        let result = self.consume(&connection).await;
        // What was not acknowledged comes again.
        let goodbye = connection.close(200, "goodbye".into());
        timeout(Duration::from_secs(1), goodbye).await.ok();
        result
    }

    async fn consume(&mut self, connection: &Connection) -> Result<(), AnyError> {
        let channel = connection.create_channel().await?;
        self.declare(&channel).await?;
        channel
            .basic_qos(PREFETCH, BasicQosOptions::default())
            .await?;
        let queue = self.options.queue.as_str().into();
        let (tag, options) = (ShortString::default(), BasicConsumeOptions::default());
        let consuming = channel.basic_consume(queue, tag, options, FieldTable::default());
        let mut deliveries = consuming.await?;
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return Ok(()),
                _ = self.interrupt.recv() => return Ok(()),
                delivery = deliveries.next() => {
                    // The end: the queue was deleted, or moved.
                    let delivery = delivery.ok_or("the consumer ended")??;
                    self.handle(&delivery).await?;
                    self.failures = 0;
                }
            }
        }
    }

    /// A queue of our own that keeps the events while we are away, and one for poison.
    ///
    /// The exchange is the daemon's to declare. Until it has, the binding fails, and we try again.
    async fn declare(&self, channel: &Channel) -> Result<(), AnyError> {
        let queue: ShortString = self.options.queue.as_str().into();
        let dead = format!("{queue}.dead");
        let text = |text: &str| AMQPValue::LongString(text.into());
        let mut arguments = FieldTable::default();
        arguments.insert("x-queue-type".into(), text("quorum"));
        let durable = QueueDeclareOptions::durable;
        let declaring = channel.queue_declare(dead.as_str().into(), durable(), arguments.clone());
        declaring.await?;
        arguments.insert("x-dead-letter-exchange".into(), text(""));
        arguments.insert("x-dead-letter-routing-key".into(), text(&dead));
        // Moved with confirms, which asks for this overflow; the queue has no limit, so it never
        // refuses anything.
        arguments.insert("x-dead-letter-strategy".into(), text("at-least-once"));
        arguments.insert("x-overflow".into(), text("reject-publish"));
        // An event that kills us each time does not do it for ever.
        arguments.insert("x-delivery-limit".into(), AMQPValue::LongInt(20));
        channel
            .queue_declare(queue.clone(), durable(), arguments)
            .await?;
        for result in &self.options.bind {
            let exchange = format!("{}.outcomes", self.options.prefix).into();
            let (pattern, options) = (format!("*.{result}").into(), QueueBindOptions::default());
            let none = FieldTable::default();
            channel
                .queue_bind(queue.clone(), exchange, pattern, options, none)
                .await?;
        }
        Ok(())
    }

    async fn handle(&mut self, delivery: &Delivery) -> Result<(), AnyError> {
        match Event::read(&delivery.data) {
            Ok(event) => self.work(event)?, // no acknowledgement if it fails, and it comes again
            Err(error) => {
                self.poison += 1;
                eprintln!("set aside: {error}");
                // To the dead letters, where a person looks. Requeued, it would come at once, for ever.
                delivery
                    .reject(BasicRejectOptions { requeue: false })
                    .await?;
                return Ok(());
            }
        }
        // Last. Acknowledged first, an event would be lost by a crash in between.
        delivery.ack(BasicAckOptions::default()).await?;
        Ok(())
    }

    fn work(&mut self, event: Event) -> Result<(), StoreError> {
        let kind = event
            .kind_and_result()
            .map_or("", |(kind, _)| kind)
            .to_owned();
        let Some(what) = event.meaning() else {
            self.ignored += 1;
            eprintln!("ignored: {}", event.r#type);
            return Ok(());
        };
        let row = Row {
            what: what.to_owned(),
            kind,
            id: event.id,
            number: event.data.out_request_no,
            amount: event.data.amount,
        };
        if self.store.work(&row)? {
            self.worked += 1;
            println!("{}", serde_json::to_string(&row).map_err(io::Error::other)?);
        } else {
            self.copies += 1;
        }
        Ok(())
    }
}

async fn run(options: Options) -> Result<(), StoreError> {
    let mut subscriber = Subscriber {
        store: Store::open(&options.store)?,
        options,
        terminate: signal(SignalKind::terminate())?,
        interrupt: signal(SignalKind::interrupt())?,
        failures: 0,
        worked: 0,
        copies: 0,
        ignored: 0,
        poison: 0,
    };
    subscriber.run().await?;
    let Subscriber {
        worked,
        copies,
        ignored,
        poison,
        ..
    } = subscriber;
    eprintln!("worked {worked}, copies {copies}, ignored {ignored}, poison {poison}");
    Ok(())
}

#[tokio::main]
async fn main() -> ExitCode {
    let options = match Options::try_parse() {
        Ok(options) => options,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(if error.use_stderr() { 64 } else { 0 });
        }
    };
    match run(options).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(74)
        }
    }
}
