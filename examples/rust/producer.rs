//! Publishes jobs for hongbaod, each until the broker confirms it; the rules are in docs/clients.md.
//!
//! A job comes from flags, or many from NDJSON (`--file`, `-` is the standard input). With `--wait`,
//! the outcomes come back to a queue of this program's own and are printed.
//! Exit codes: 0 all confirmed (and answered), 1 something is not, 64 usage, 69 no broker.
#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a program of its own, to be copied: it has its own clock and its own output"
)]

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::error::Error;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use clap::Parser;
use futures_util::StreamExt;
use futures_util::future::{BoxFuture, pending};
use futures_util::stream::FuturesUnordered;
use lapin::message::Delivery;
use lapin::options::{
    BasicConsumeOptions, BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::uri::AMQPUri;
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, Consumer};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::{Instant, interval, sleep, timeout};

/// Jobs on their way at a time. It bounds memory, and what has to be published again after a break.
const WINDOW: usize = 256;
/// A confirm that takes longer is not waited for: the connection counts as broken.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(30);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const TERMINAL: [&str; 6] = [
    "succeeded",
    "failed",
    "rejected",
    "signed",
    "found",
    "not_found",
];

type AnyError = Box<dyn Error + Send + Sync>;

/// Publish jobs for hongbaod.
#[derive(Parser)]
struct Options {
    #[arg(long, default_value = "amqp://guest:guest@localhost:5672/%2f")]
    amqp: String,
    /// The daemon's `rabbitmq.prefix`.
    #[arg(long, default_value = "hongbao")]
    prefix: String,
    /// The daemon's `rabbitmq.shards`.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    shards: u32,
    /// Overtake the others of the kind.
    #[arg(long)]
    urgent: bool,
    /// Seconds without an outcome that may pass; 0: do not wait for outcomes.
    #[arg(long, default_value_t = 0)]
    wait: u64,
    /// Seconds without a confirm that may pass.
    #[arg(long, default_value_t = 60)]
    patience: u64,
    /// NDJSON, one job a line; - is the standard input.
    #[arg(long, required_unless_present_all = ["out_request_no", "packet", "payee", "fen"])]
    file: Option<String>,
    #[arg(long)]
    out_request_no: Option<String>,
    /// The `out_order_no` of the packet that pays.
    #[arg(long)]
    packet: Option<String>,
    #[arg(long)]
    payee: Option<String>,
    #[arg(long)]
    fen: Option<u64>,
    /// In a service: of the span in which the job arises.
    #[arg(long, env = "TRACEPARENT", hide = true)]
    traceparent: Option<String>,
}

/// One message. It stays as it is however often it is published: same body, same numbers.
struct Job {
    number: String,
    routing_key: String,
    body: Vec<u8>,
    /// For a query it is part of the event's id, so each has its own, and a repetition the same one.
    message_id: String,
    created_ms: u64,
    traceparent: String,
}

impl Job {
    /// Reads only what is needed to send it: the daemon checks the rest, and says what is wrong.
    fn read(text: &str, options: &Options) -> Result<Self, AnyError> {
        let job: Value = serde_json::from_str(text)?;
        let job = job.as_object().ok_or("no JSON object")?;
        let text_of = |key: &str| job.get(key).and_then(Value::as_str).unwrap_or_default();
        let number = text_of("out_request_no");
        let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
        let given = options.traceparent.clone();
        Ok(Self {
            number: number.to_owned(),
            routing_key: routing_key(text_of("kind"), number, options),
            body: text.as_bytes().to_vec(),
            message_id: random_hex(16),
            created_ms: u64::try_from(since_1970.as_millis())?,
            traceparent: given
                .unwrap_or_else(|| format!("00-{}-{}-01", random_hex(16), random_hex(8))),
        })
    }

    fn properties(&self, reply_to: Option<&ShortString>) -> BasicProperties {
        let mut headers = FieldTable::default();
        let traceparent = AMQPValue::LongString(self.traceparent.as_str().into());
        headers.insert("traceparent".into(), traceparent);
        // AMQP's timestamp knows whole seconds only.
        let created_ms = i64::try_from(self.created_ms).unwrap_or_default();
        let created_ms = AMQPValue::LongLongInt(created_ms);
        headers.insert("x-hongbao-published-ms".into(), created_ms);
        let properties = BasicProperties::default()
            .with_content_type("application/json".into())
            .with_delivery_mode(2) // persistent
            .with_message_id(self.message_id.as_str().into())
            .with_correlation_id(self.message_id.as_str().into())
            .with_timestamp(self.created_ms / 1000)
            .with_headers(headers);
        match reply_to {
            Some(queue) => properties.with_reply_to(queue.clone()),
            None => properties,
        }
    }
}

fn random_hex(bytes: usize) -> String {
    let draw = |_| format!("{:02x}", rand::random_range(0..=u8::MAX));
    (0..bytes).map(draw).collect()
}

/// Money is an integer of fen until it becomes a text. It is never a float.
fn yuan(fen: u64) -> String {
    format!("{}.{:02}", fen / 100, fen % 100)
}

fn disburse(options: &Options) -> String {
    let job = json!({
        "kind": "disburse",
        // Equal numbers: then not even a lost ledger lets a job be paid twice.
        "out_request_no": options.out_request_no,
        "out_order_no": options.out_request_no,
        "deduct_out_order_no": options.packet,
        "order_title": "Lucky money",
        "amount": options.fen.map(yuan),
        "payee_user_id": options.payee,
    });
    job.to_string()
}

/// The kind, or the lane for urgent jobs, or one of the shards of the normal lane.
fn routing_key(kind: &str, number: &str, options: &Options) -> String {
    if options.urgent && ["disburse", "pay"].contains(&kind) {
        return format!("{kind}.urgent");
    }
    // A number goes to the same shard each time. Any other shard would be right, too.
    let shard = crc32(number.as_bytes()) % options.shards;
    if shard > 0 && ["disburse", "refund", "pay"].contains(&kind) {
        return format!("{kind}.{shard}");
    }
    kind.to_owned()
}

/// CRC-32 as of zlib; the crate `crc32fast` has it too.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _bit| {
            (crc >> 1) ^ (0xedb8_8320 * (crc & 1))
        })
    })
}

/// Runs on a thread of its own, and waits while the channel is full. It ends with the channel.
fn read_jobs(options: &Options, jobs: &mpsc::Sender<Result<Job, String>>) -> io::Result<()> {
    let source: Box<dyn BufRead> = match options.file.as_deref() {
        None => Box::new(io::Cursor::new(disburse(options))),
        Some("-") => Box::new(BufReader::new(io::stdin())),
        Some(path) => Box::new(BufReader::new(File::open(path)?)),
    };
    for line in source.lines() {
        let job = Job::read(&line?, options).map_err(|error| format!("{error}: not sent"));
        if jobs.blocking_send(job).is_err() {
            break;
        }
    }
    Ok(())
}

#[derive(Default)]
struct Counts {
    confirmed: u64,
    returned: u64,
    unreadable: u64,
    answered: u64,
    repetitions: u64,
}

/// What a published message is waited for with.
type Confirm = BoxFuture<'static, (u64, Result<Confirmation, AnyError>)>;

struct Producer {
    options: Arc<Options>,
    input: mpsc::Receiver<Result<Job, String>>,
    input_ended: bool,
    /// To be published again, the oldest first.
    again: VecDeque<Arc<Job>>,
    /// In the order of publishing, on this connection.
    unconfirmed: BTreeMap<u64, Arc<Job>>,
    /// By correlation id, with `--wait`.
    unanswered: HashMap<String, Arc<Job>>,
    published: u64,
    counts: Counts,
    failures: u32,
    progress: Instant,
}

impl Producer {
    async fn run(mut self) -> u8 {
        while !self.is_finished() {
            let Err(error) = self.live().await else { break };
            eprintln!("connection: {error}");
            self.publish_again();
            if self.is_out_of_patience() {
                break;
            }
            // Full jitter: a thousand producers that lost one broker do not come back at once.
            let ceiling_ms = (100_u64 << self.failures).min(5_000);
            self.failures = (self.failures + 1).min(10);
            sleep(Duration::from_millis(rand::random_range(0..ceiling_ms))).await;
        }
        self.report()
    }

    fn is_finished(&self) -> bool {
        self.is_all_confirmed() && self.unanswered.is_empty()
    }

    fn waits_for_answers(&self) -> bool {
        self.is_all_confirmed() && !self.unanswered.is_empty()
    }

    fn is_all_confirmed(&self) -> bool {
        self.input_ended && self.again.is_empty() && self.unconfirmed.is_empty()
    }

    fn is_out_of_patience(&self) -> bool {
        let seconds = if self.waits_for_answers() {
            self.options.wait
        } else {
            self.options.patience
        };
        self.progress.elapsed() > Duration::from_secs(seconds)
    }

    /// Nobody knows what became of the unconfirmed ones, so they are published again: the same number
    /// with the same content is the same job. The unanswered ones, too: their answers would go to a
    /// queue that ended with the connection, and a job that was settled is told again to whoever asks.
    fn publish_again(&mut self) {
        let mut open: VecDeque<_> = std::mem::take(&mut self.unconfirmed)
            .into_values()
            .collect();
        for job in &open {
            self.unanswered.remove(&job.message_id);
        }
        open.extend(self.unanswered.drain().map(|(_, job)| job));
        open.append(&mut self.again);
        self.again = open;
    }

    /// One connection, from its opening to its end. `Ok`: nothing is left to wait for.
    async fn live(&mut self) -> Result<(), AnyError> {
        let mut uri: AMQPUri = self.options.amqp.parse()?;
        uri.query.heartbeat = Some(10);
        // No recovery by the client: it could not know which jobs are to be published again.
        let properties = ConnectionProperties::default();
        let connecting = Connection::connect_uri(uri, properties);
        let connection = timeout(CONNECT_TIMEOUT, connecting).await??;
        let result = self.publish_all(&connection).await;
        let goodbye = connection.close(200, "goodbye".into());
        timeout(Duration::from_secs(1), goodbye).await.ok();
        result
    }

    async fn publish_all(&mut self, connection: &Connection) -> Result<(), AnyError> {
        let channel = connection.create_channel().await?;
        channel
            .confirm_select(ConfirmSelectOptions::default())
            .await?;
        let mut answers = match self.options.wait {
            0 => None,
            _ => Some(listen(&channel).await?),
        };
        let reply_to = answers.as_ref().map(Consumer::queue);
        let mut confirms = FuturesUnordered::new();
        let mut ticks = interval(Duration::from_millis(100));
        while !self.is_finished() {
            let has_room = match reply_to {
                Some(_) => self.unanswered.len().max(self.unconfirmed.len()) < WINDOW,
                None => self.unconfirmed.len() < WINDOW,
            };
            if has_room && let Some(job) = self.again.pop_front() {
                self.counts.repetitions += 1;
                confirms.push(self.publish(&channel, job, reply_to.as_ref()).await?);
                continue;
            }
            tokio::select! {
                next = self.input.recv(), if has_room && !self.input_ended => match next {
                    Some(Ok(job)) => {
                        confirms.push(self.publish(&channel, Arc::new(job), reply_to.as_ref()).await?);
                    }
                    Some(Err(message)) => {
                        self.counts.unreadable += 1;
                        eprintln!("{message}");
                    }
                    None => self.input_ended = true,
                },
                Some((number, confirmation)) = confirms.next() => {
                    self.on_confirm(number, confirmation?)?;
                }
                answer = next_of(&mut answers) => self.on_answer(&answer.ok_or("no consumer")??),
                _ = ticks.tick() => {
                    if self.waits_for_answers() && self.is_out_of_patience() {
                        return Ok(());
                    }
                    if !connection.status().connected() {
                        return Err("closed".into());
                    }
                    if self.unconfirmed.is_empty() && self.unanswered.is_empty() {
                        self.progress = Instant::now(); // waiting for input is no lack of progress
                    }
                }
            }
        }
        Ok(())
    }

    /// Hands the job to the client; the future that comes back ends with the broker's confirm.
    async fn publish(
        &mut self,
        channel: &Channel,
        job: Arc<Job>,
        reply_to: Option<&ShortString>,
    ) -> Result<Confirm, AnyError> {
        self.published += 1;
        let number = self.published;
        self.unconfirmed.insert(number, Arc::clone(&job));
        // Before it is published: an answer may be faster than the confirm.
        if reply_to.is_some() {
            self.unanswered
                .insert(job.message_id.clone(), Arc::clone(&job));
        }
        let options = BasicPublishOptions {
            mandatory: true,
            ..BasicPublishOptions::default()
        };
        let confirm = channel
            .basic_publish(
                format!("{}.jobs", self.options.prefix).into(),
                job.routing_key.as_str().into(),
                options,
                &job.body,
                job.properties(reply_to),
            )
            .await?;
        Ok(Box::pin(async move {
            let confirmation = match timeout(CONFIRM_TIMEOUT, confirm).await {
                Ok(confirmation) => confirmation.map_err(AnyError::from),
                Err(late) => Err(late.into()),
            };
            (number, confirmation)
        }))
    }

    fn on_confirm(&mut self, number: u64, confirmation: Confirmation) -> Result<(), AnyError> {
        let returned = match confirmation {
            Confirmation::Ack(returned) => returned,
            // The broker could not keep it. It stays unconfirmed, and goes again after a wait.
            Confirmation::Nack(_) | Confirmation::NotRequested => return Err("nack".into()),
        };
        self.failures = 0;
        self.progress = Instant::now();
        let Some(job) = self.unconfirmed.remove(&number) else {
            return Ok(());
        };
        // No queue took it. The return comes *before* the ack, so an ack alone proves nothing; this
        // client puts the two together.
        let Some(returned) = returned else {
            self.counts.confirmed += 1;
            return Ok(());
        };
        self.counts.returned += 1;
        self.unanswered.remove(&job.message_id);
        let (code, text) = (returned.reply_code, returned.reply_text.as_str());
        eprintln!(
            "{}: returned, {}: {code} {text}",
            job.number, job.routing_key
        );
        Ok(())
    }

    fn on_answer(&mut self, answer: &Delivery) {
        let event: Value = serde_json::from_slice(&answer.data).unwrap_or_default();
        let text_of = |key: &str| event["data"][key].as_str().unwrap_or_default();
        let (kind, result) = (text_of("kind"), text_of("result"));
        // Anything else, `unresolved` above all, is not the last word. But a query has no other.
        if !TERMINAL.contains(&result) && kind != "query" {
            return;
        }
        let correlation_id = answer.properties.correlation_id().as_ref();
        let job = correlation_id.and_then(|id| self.unanswered.remove(id.as_str()));
        if let Some(job) = job {
            self.counts.answered += 1;
            self.progress = Instant::now();
            println!("{}", json!({"number": job.number, "result": result}));
        }
    }

    fn report(mut self) -> u8 {
        let (waits, is_finished) = (self.waits_for_answers(), self.is_finished());
        self.publish_again();
        let left = self.again.len();
        let Counts {
            confirmed,
            returned,
            unreadable,
            answered,
            repetitions,
        } = self.counts;
        eprintln!(
            "confirmed {confirmed}, returned {returned}, unreadable {unreadable}, \
             answered {answered}, published again {repetitions}, left {left}"
        );
        if waits {
            // No answer says nothing about the money. Ask again with the same job, or read the
            // outcome where all outcomes are: in a subscriber's queue.
            return 1;
        }
        if !is_finished {
            if !self.input_ended {
                eprintln!("the input was not read to its end");
            }
            return 69;
        }
        u8::from(returned + unreadable > 0)
    }
}

/// A queue for the answers. It is exclusive: it ends with this connection.
async fn listen(channel: &Channel) -> lapin::Result<Consumer> {
    let (options, none) = (QueueDeclareOptions::exclusive(), FieldTable::default);
    let queue = channel
        .queue_declare(ShortString::default(), options, none())
        .await?;
    let options = BasicConsumeOptions {
        no_ack: true,
        ..BasicConsumeOptions::default()
    };
    let (name, tag) = (queue.name().clone(), ShortString::default());
    channel.basic_consume(name, tag, options, none()).await
}

/// The next answer; never, if none are expected.
async fn next_of(answers: &mut Option<Consumer>) -> Option<lapin::Result<Delivery>> {
    match answers {
        Some(consumer) => consumer.next().await,
        None => pending().await,
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let options = match Options::try_parse() {
        Ok(options) => Arc::new(options),
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(if error.use_stderr() { 64 } else { 0 });
        }
    };
    let (jobs, input) = mpsc::channel(WINDOW);
    let reader_options = Arc::clone(&options);
    std::thread::spawn(move || {
        if let Err(error) = read_jobs(&reader_options, &jobs) {
            let message = format!("{error}: the input was not read to its end");
            jobs.blocking_send(Err(message)).ok();
        }
    });
    let producer = Producer {
        options,
        input,
        input_ended: false,
        again: VecDeque::new(),
        unconfirmed: BTreeMap::new(),
        unanswered: HashMap::new(),
        published: 0,
        counts: Counts::default(),
        failures: 0,
        progress: Instant::now(),
    };
    ExitCode::from(producer.run().await)
}
