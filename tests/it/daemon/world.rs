//! One sandbox, one configuration, and the daemons and clients that are started with them.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use hongbaod::adapters::rabbitmq::RabbitmqOptions;
use hongbaod::app::assembly::rabbitmq_options;
use hongbaod::app::config::Config;
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::timeout;

use super::books::{Evidence, disagreements};
use super::broker::{self, Subscriber};
use super::plan::{PACKET, Plan};
use super::process::{Process, Stream};
use crate::patience::{eventually, eventually_within, pause};
use crate::servers::{amqp_url, redis_url, unique_prefix};

/// Longer than a job waits that was parked behind another one, over a minute at last, and than
/// RabbitMQ takes to move what a dead leader was moving.
const SETTLED_WITHIN: Duration = Duration::from_secs(180);

/// The daemon's numbers in these tests: as small as the configuration allows, few calls at a time.
const SETTINGS: [(&str, &str); 13] = [
    ("HONGBAOD__ALIPAY__CONNECT_TIMEOUT", "500ms"),
    ("HONGBAOD__ALIPAY__TIMEOUT", "1s"),
    ("HONGBAOD__LEDGER__LEASE", "1500ms"),
    ("HONGBAOD__LEDGER__DOUBT", "1m"),
    ("HONGBAOD__RETRY__ABSENCE_WINDOW", "1500ms"),
    ("HONGBAOD__RETRY__DELAY_MIN", "250ms"),
    ("HONGBAOD__RETRY__DELAY_MAX", "1s"),
    ("HONGBAOD__PACING__REQUESTS_PER_SECOND", "10000"),
    ("HONGBAOD__PACING__CONCURRENCY_MIN", "8"),
    ("HONGBAOD__PACING__CONCURRENCY_MAX", "8"),
    ("HONGBAOD__ADMIN__LISTEN", "127.0.0.1:0"),
    ("HONGBAOD__SHUTDOWN__GRACE", "5s"),
    ("HONGBAOD__RABBITMQ__HEARTBEAT", "2s"),
];

/// What a world is made of.
pub(crate) struct WorldOptions<'a> {
    pub(crate) amqp: String,
    pub(crate) redis: String,
    /// Arguments of `hongbaod sandbox`, such as `--delay 20ms`.
    pub(crate) sandbox: &'a [&'a str],
    /// Over [`SETTINGS`].
    pub(crate) settings: &'a [(&'static str, &'static str)],
}

/// The servers that the tests share, and nothing out of the ordinary.
impl Default for WorldOptions<'_> {
    fn default() -> Self {
        Self {
            amqp: amqp_url(),
            redis: redis_url(),
            sandbox: &[],
            settings: &[],
        }
    }
}

/// A sandbox and a configuration.
pub(crate) struct World {
    directory: TempDir,
    sandbox: Process,
    /// Where the sandbox's console is: `http://127.0.0.1:PORT/_sandbox`.
    console: String,
    environment: Vec<(String, String)>,
    pub(crate) amqp: String,
    pub(crate) prefix: String,
    http: reqwest::Client,
}

impl World {
    /// Starts a sandbox with the packet, and writes the section that it prints into a file.
    pub(crate) async fn start(topic: &str, options: WorldOptions<'_>) -> Self {
        let directory = TempDir::new().unwrap();
        let keys = directory.path().join("keys");
        let sandbox = Process::start(|command| {
            command.args(["sandbox", "--listen", "127.0.0.1:0", "--packet", PACKET]);
            command.arg("--keys").arg(&keys).args(options.sandbox);
        });
        sandbox.line(Stream::Stdout, "/_sandbox/faults").await;
        let section = sandbox.written().stdout.join("\n");
        let config = directory.path().join("hongbaod.toml");
        std::fs::write(&config, &section).unwrap();
        let console = section
            .split_whitespace()
            .find_map(|word| word.strip_suffix("/operations"));
        let prefix = unique_prefix(topic);
        let given = [
            ("HONGBAOD__RABBITMQ__URLS", options.amqp.as_str()),
            ("HONGBAOD__REDIS__URLS", options.redis.as_str()),
            ("HONGBAOD__RABBITMQ__PREFIX", prefix.as_str()),
        ];
        let mut environment: Vec<(String, String)> = Vec::new();
        for (name, value) in SETTINGS.iter().chain(options.settings).chain(&given) {
            environment.retain(|(before, _)| before != name);
            environment.push(((*name).to_owned(), (*value).to_owned()));
        }
        // It lets go of a connection before the daemon ends it: a request that meets the end is lost.
        let http = reqwest::Client::builder().pool_idle_timeout(Duration::from_secs(30));
        let http = http.build().unwrap();
        Self {
            console: console.expect("the console's address").to_owned(),
            directory,
            sandbox,
            environment,
            amqp: options.amqp,
            prefix,
            http,
        }
    }

    /// Changes one variable for what is started from now on.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.environment.retain(|(before, _)| before != name);
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// Takes one variable out for what is started from now on.
    pub(crate) fn unset(&mut self, name: &str) {
        self.environment.retain(|(before, _)| before != name);
    }

    /// A file of this world's own.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Starts `hongbaod` with `words` and this world's configuration.
    pub(crate) fn hongbaod(&self, words: &[&str]) -> Process {
        self.hongbaod_with(words, &[])
    }

    /// As [`World::hongbaod`], with `settings` over this world's.
    pub(crate) fn hongbaod_with(&self, words: &[&str], settings: &[(&str, String)]) -> Process {
        Process::start(|command| {
            self.prepare(command, words);
            command.envs(settings.iter().map(|(name, value)| (name, value)));
        })
    }

    fn prepare(&self, command: &mut Command, words: &[&str]) {
        command.arg("--config").arg(self.path("hongbaod.toml"));
        command.args(words).envs(self.environment.iter().cloned());
    }

    /// Starts the daemon and waits until it is ready.
    pub(crate) async fn daemon(&self) -> Daemon {
        self.daemon_of(self.hongbaod(&["run"])).await
    }

    /// Starts the daemon as another version built it, and waits until it is ready.
    pub(crate) async fn daemon_by(&self, program: &Path) -> Daemon {
        let prepare = |command: &mut Command| self.prepare(command, &["run"]);
        self.daemon_of(Process::start_program(program, prepare))
            .await
    }

    /// Waits until `hongbaod run` is ready.
    pub(crate) async fn daemon_of(&self, process: Process) -> Daemon {
        let line = process.line(Stream::Stderr, "hongbaod takes jobs").await;
        let line: Value = serde_json::from_str(&line).unwrap();
        let admin = format!("http://{}", line["admin"].as_str().unwrap());
        let notify = line["notify"].as_str().map(str::to_owned);
        let daemon = Daemon {
            process,
            admin,
            notify,
            http: self.http.clone(),
        };
        daemon.ready().await;
        daemon
    }

    /// A subscriber of every event.
    pub(crate) async fn subscribe(&self) -> Subscriber {
        Subscriber::start(&self.amqp, &self.prefix).await
    }

    /// Submits bodies as the lines of a file, and returns the exit code and the lines printed.
    pub(crate) async fn submit(&self, bodies: &[Vec<u8>]) -> (Option<i32>, Vec<Value>) {
        let file = self.path("jobs.ndjson");
        std::fs::write(&file, bodies.join(&b'\n')).unwrap();
        let file = file.display().to_string();
        let mut process = self.hongbaod(&["submit", "--json", "--file", &file]);
        let code = process.exit_code().await;
        let parse = |line: &String| serde_json::from_str(line).unwrap();
        let lines = process.written().stdout.iter().map(parse).collect();
        (code, lines)
    }

    /// Submits the good jobs of a plan by the program, and the bad ones as others would.
    pub(crate) async fn submit_plan(&self, plan: &Plan) {
        let (code, lines) = self.submit(&plan.bodies).await;
        assert_eq!(code, Some(0), "{lines:?}");
        self.publish_bad(plan).await;
    }

    /// Publishes the bad jobs of a plan past the program, which would refuse them.
    pub(crate) async fn publish_bad(&self, plan: &Plan) {
        let bodies: Vec<Vec<u8>> = plan.bad.iter().map(|bad| bad.body.clone()).collect();
        broker::publish(&self.amqp, &self.prefix, &bodies).await;
    }

    /// A page of the sandbox's console, such as `operations`.
    pub(crate) async fn sandbox(&self, page: &str) -> Value {
        let answer = self.http.get(format!("{}/{page}", self.console)).send();
        serde_json::from_str(&answer.await.unwrap().text().await.unwrap()).unwrap()
    }

    /// Sets the sandbox's fault knobs.
    pub(crate) async fn set_faults(&self, knobs: &str) {
        let faults = format!("{}/faults", self.console);
        let answer = self.http.put(faults).body(knobs.to_owned()).send().await;
        assert!(answer.unwrap().status().is_success(), "{knobs}");
    }

    /// This world's configuration.
    pub(crate) fn config(&self) -> Config {
        let path = self.path("hongbaod.toml");
        let environment = self.environment.iter().cloned();
        Config::load(Some(&path), environment).unwrap()
    }

    /// The broker's part of it.
    pub(crate) fn rabbitmq(&self) -> RabbitmqOptions {
        rabbitmq_options(&self.config()).unwrap()
    }

    /// The queues in which jobs and their copies wait.
    pub(crate) async fn job_queues(&self) -> Vec<String> {
        let mut queues = broker::queues(&self.rabbitmq()).await;
        queues.retain(|queue| queue.contains(".jobs.") || queue.contains(".retry."));
        assert!(queues.len() > 8, "{queues:?}");
        queues
    }

    /// Waits until all of a plan is told and buried, nothing waits and nothing is in flight.
    pub(crate) async fn finished(&self, plan: &Plan, subscriber: &Subscriber, daemon: &Daemon) {
        let told = eventually_within(SETTLED_WITHIN * 2, "every outcome", async || {
            missing(plan, subscriber).is_empty()
        });
        if timeout(SETTLED_WITHIN, told).await.is_err() {
            self.tell_missing(&missing(plan, subscriber)).await;
        }
        let dead = [format!("{}.dead", self.prefix)];
        eventually("every dead letter", async || {
            let counts = broker::counts(&self.amqp, &dead).await.unwrap();
            usize::try_from(counts[0]).unwrap() >= plan.bad.len()
        })
        .await;
        let queues = self.job_queues().await;
        // A copy may be on its way from one queue to another just when both are looked at.
        let quiet_looks = Cell::new(0);
        eventually("empty queues", async || {
            let counts = broker::counts(&self.amqp, &queues).await.unwrap();
            let quiet = counts.iter().all(|count| *count == 0) && daemon.in_flight().await == 0;
            quiet_looks.set(if quiet { quiet_looks.get() + 1 } else { 0 });
            quiet_looks.get() == 3
        })
        .await;
    }

    /// Fails with what the ledger knows of jobs that have no outcome.
    async fn tell_missing(&self, missing: &[String]) {
        for id in missing.iter().take(3) {
            let number = id.split('/').nth(2).unwrap_or_default();
            let mut show = self.hongbaod(&["show", number, "--json"]);
            show.exit_code().await;
            eprintln!("{}", show.written().text());
        }
        panic!("{} outcomes are missing: {missing:?}", missing.len());
    }

    /// Ends the daemon and compares everything, job by job.
    pub(crate) async fn agrees(&self, plan: &Plan, subscriber: &Subscriber, daemon: Daemon) {
        let evidence = self.evidence(plan, subscriber, daemon).await;
        assert_eq!(disagreements(plan, &evidence), [""; 0]);
        let books = self.sandbox("books").await;
        assert_eq!(books["balanced"], true, "{books}");
        assert_eq!(books["movements_per_out_request_no_max"], 1, "{books}");
    }

    /// Waits until all is done, ends the daemon, and returns what there is to compare.
    pub(crate) async fn evidence(
        &self,
        plan: &Plan,
        subscriber: &Subscriber,
        mut daemon: Daemon,
    ) -> Evidence {
        self.finished(plan, subscriber, &daemon).await;
        assert_eq!(daemon.process.terminate().await, Some(0));
        let mut left = Vec::new();
        for queue in self.job_queues().await {
            for (body, _) in broker::take_all(&self.amqp, &queue).await {
                left.push((queue.clone(), String::from_utf8_lossy(&body).into_owned()));
            }
        }
        Evidence {
            operations: self.sandbox("operations").await.as_array().unwrap().clone(),
            events: subscriber.events(),
            dead_letters: broker::dead_letters(&self.amqp, &self.prefix).await,
            left,
        }
    }

    /// Deletes everything of this world from the broker, and ends the sandbox in good order.
    pub(crate) async fn demolish(mut self) {
        broker::demolish(&self.amqp, &self.rabbitmq()).await;
        assert_eq!(self.sandbox.terminate().await, Some(0));
    }
}

/// A running daemon.
pub(crate) struct Daemon {
    pub(crate) process: Process,
    admin: String,
    /// Where it takes notifications.
    notify: Option<String>,
    http: reqwest::Client,
}

impl Daemon {
    /// Where Alipay would notify the app `main`.
    pub(crate) fn notify_url(&self) -> String {
        let address = self.notify.as_ref().expect("notify.listen is configured");
        format!("http://{address}/alipay/notify/main")
    }

    /// A page of the admin listener, with its status.
    pub(crate) async fn page(&self, path: &str) -> (u16, String) {
        let answer = self.http.get(format!("{}{path}", self.admin)).send().await;
        let answer = answer.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    /// Waits until `/readyz` says yes.
    pub(crate) async fn ready(&self) {
        eventually("ready", async || self.page("/readyz").await.0 == 200).await;
    }

    /// Waits until `/readyz` says no, and says that it is because of `condition`.
    pub(crate) async fn unready(&self, condition: &str) {
        eventually("unready", async || {
            let (status, body) = self.page("/readyz").await;
            let body: Value = serde_json::from_str(&body).unwrap();
            let conditions = body["conditions"].as_array().unwrap();
            let named = conditions.iter().find(|c| c["name"] == condition).unwrap();
            assert_eq!(status == 200, body["ready"] == true, "{body}");
            status == 503 && named["met"] == false
        })
        .await;
        assert_eq!(self.page("/healthz").await.0, 200, "it lives on");
    }

    /// Deliveries that are being worked on.
    pub(crate) async fn in_flight(&self) -> u64 {
        self.count("hongbaod_in_flight", "").await
    }

    /// The sum of a metric's series that have `label` in them; the metric must be there.
    pub(crate) async fn count(&self, metric: &str, label: &str) -> u64 {
        let (_, metrics) = self.page("/metrics").await;
        let series: Vec<&str> = metrics
            .lines()
            .filter_map(|line| line.strip_prefix(metric))
            .filter(|rest| rest.starts_with(['{', ' ']))
            .collect();
        assert!(!series.is_empty(), "no {metric} in\n{metrics}");
        let counts = series.iter().filter(|rest| rest.contains(label));
        let counts = counts.map(|rest| rest.rsplit(' ').next().unwrap().parse::<u64>());
        counts.map(Result::unwrap).sum()
    }
}

/// The ids, or what they begin with, of events that a plan needs and nobody has seen.
fn missing(plan: &Plan, subscriber: &Subscriber) -> Vec<String> {
    let events = subscriber.events();
    let ids: BTreeSet<&str> = events.iter().filter_map(|e| e["id"].as_str()).collect();
    let seen = |start: &str| ids.iter().filter(|id| id.starts_with(start)).count();
    let mut missing: Vec<String> = Vec::new();
    for (number, job) in &plan.jobs {
        let id = format!("main/disburse/{number}");
        let conflicts = format!("{id}/conflict/");
        if seen(&conflicts) + 1 < job.amounts.len() {
            missing.push(conflicts);
        }
        if !ids.contains(id.as_str()) {
            missing.push(id);
        }
    }
    let bad = plan.bad.iter().filter_map(|bad| bad.event.clone());
    missing.extend(bad.filter(|start| seen(start) == 0));
    missing
}

/// Waits until a subscriber has seen `count` events.
pub(crate) async fn events(subscriber: &Subscriber, count: usize) {
    eventually("some events", async || {
        pause(Duration::from_millis(1)).await;
        subscriber.count() >= count
    })
    .await;
}
