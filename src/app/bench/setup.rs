//! The stage of a benchmark: a directory, a prefix, a sandbox, and the daemon's configuration.

use std::fs;
use std::net::TcpListener;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use async_trait::async_trait;
use futures_util::future::try_join_all;
use futures_util::{StreamExt as _, stream};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::adapters::alipay::AlipayGateway;
use crate::adapters::rabbitmq::{RabbitmqOptions, workbench};
use crate::adapters::random::SystemRandom;
use crate::adapters::redis_ledger::{RedisInspector, RedisLedger};
use crate::app::alipay_setup;
use crate::app::assembly::{rabbitmq_options, redis_options};
use crate::app::bench::process::{Output, Process, Workers, is_of_servers, listener};
use crate::app::bench::{Answers, BenchOptions, jobs};
use crate::app::config::{Config, Servers};
use crate::app::job_body;
use crate::domain::job::Job;
use crate::domain::time::{Monotonic, UnixMillis};
use crate::domain::verdict::Verdict;
use crate::ports::clock::Clock;
use crate::ports::gateway::Gateway as _;

/// How long the daemon may take to be ready.
const READY_MAX: Duration = Duration::from_secs(120);
const READY_LOOK_PERIOD: Duration = Duration::from_millis(20);

/// How old the ledger says it is: a new one is doubted, and each job would be queried first.
const LEDGER_AGE: Duration = Duration::from_secs(3_600);

/// Calls at a time while answers are signed beforehand.
const SIGNING_WINDOW: usize = 32;

/// The sandbox's knobs when its answers are signed beforehand.
const REMEMBERING: &str = r#"{"answers": {"signatures": "remembered"}}"#;

/// What stays while the daemon comes and goes.
pub(super) struct Setup {
    pub(super) dir: PathBuf,
    pub(super) sandbox: Process,
    pub(super) rabbitmq: RabbitmqOptions,
    pub(super) redis: RedisInspector,
    /// RabbitMQ's own process, where it runs on this machine.
    pub(super) broker_process: Option<u32>,
    prefix: String,
    config: Config,
    /// One for each replica.
    seats: Vec<Seat>,
}

/// Where a replica finds what it needs.
struct Seat {
    admin_port: u16,
    config_file: PathBuf,
    log: PathBuf,
}

impl Setup {
    /// Starts the sandbox and writes the configuration; in the servers nothing is changed.
    pub(super) async fn make(
        options: &BenchOptions,
        file: Option<&Path>,
        clock: &Arc<dyn Clock>,
    ) -> anyhow::Result<Self> {
        let own = std::process::id();
        let dir = std::env::temp_dir().join(format!("hongbaod-bench-{own}"));
        fs::create_dir_all(&dir).context("make a directory for the benchmark")?;
        let sandbox = start_sandbox(&dir, options);
        let sandbox = sandbox.with_context(|| format!("see the log in {}", dir.display()))?;
        let made = Self::make_in(&dir, sandbox, (options.replicas, file), clock).await;
        if made.is_err() {
            // Nothing in it tells more than the error.
            drop(fs::remove_dir_all(&dir));
        }
        made
    }

    async fn make_in(
        dir: &Path,
        (sandbox, section): (Process, String),
        (replicas, file): (NonZeroU32, Option<&Path>),
        clock: &Arc<dyn Clock>,
    ) -> anyhow::Result<Self> {
        let prefix = format!("hongbao-bench-{}", std::process::id());
        let seats: Vec<Seat> = (0..replicas.get())
            .map(|number| {
                let admin_port = free_port()?;
                let text = configuration(file, &section, &prefix, admin_port)?;
                let seat = Seat {
                    admin_port,
                    config_file: dir.join(format!("worker-{number}.toml")),
                    log: dir.join(format!("worker-{number}.log")),
                };
                fs::write(&seat.config_file, &text).context("write the daemon's configuration")?;
                Ok(seat)
            })
            .collect::<anyhow::Result<_>>()?;
        let variables = Config::environment().filter(|(name, _)| is_of_servers(name));
        let config_file = seats.first().map(|seat| seat.config_file.as_path());
        let config = Config::load(config_file, variables)?;
        let rabbitmq = rabbitmq_options(&config).context("rabbitmq.urls is \"memory:\"")?;
        let redis_options = redis_options(&config).context("redis.urls is \"memory:\"")?;
        let random = Arc::new(SystemRandom);
        let redis = RedisInspector::connect(redis_options, Arc::clone(clock), random).await?;
        Ok(Self {
            dir: dir.to_owned(),
            sandbox,
            rabbitmq,
            redis,
            broker_process: broker_process(&config),
            prefix,
            config,
            seats,
        })
    }

    /// Puts into the servers what a daemon finds there: a ledger of some age, exchanges and queues.
    /// Whatever comes of it, [`Setup::clear`] removes it.
    pub(super) async fn declare(&self, clock: &Arc<dyn Clock>) -> anyhow::Result<()> {
        if let Some(options) = redis_options(&self.config) {
            let earlier: Arc<dyn Clock> = Arc::new(AnHourAgo(Arc::clone(clock)));
            // Connecting puts a canary there that is as old as its maker's clock says.
            drop(RedisLedger::connect(options, earlier, Arc::new(SystemRandom)).await?);
        }
        // It declares what it needs, and is not yet measured.
        if let Some(seat) = self.seats.first() {
            drop(start_worker(seat, clock).await?);
        }
        Ok(())
    }

    /// Starts every replica of the daemon and waits until all are ready.
    pub(super) async fn start_workers(&self, clock: &Arc<dyn Clock>) -> anyhow::Result<Workers> {
        let starting = self.seats.iter().map(|seat| start_worker(seat, clock));
        Ok(Workers(try_join_all(starting).await?))
    }

    /// Sends each payment once, so that the sandbox has its answers, and their signatures, when
    /// the daemon asks.
    pub(super) async fn sign_answers(
        &self,
        count: usize,
        clock: &Arc<dyn Clock>,
    ) -> anyhow::Result<()> {
        let options = alipay_setup::options(&self.config)?;
        let gateway = AlipayGateway::new(options, Arc::clone(clock))?;
        let app = alipay_setup::default_app(&self.config).context("there is no default app")?;
        let calls = stream::iter(0..count).map(|place| {
            let (gateway, app) = (&gateway, &app);
            async move {
                let body = jobs::body(place);
                let Ok(Job::Money(job)) = job_body::decode(body.as_bytes(), Some(app)) else {
                    return None;
                };
                let prepared = gateway.prepare(&job)?;
                let verdict = gateway.send(app, &prepared).await;
                matches!(verdict, Verdict::Succeeded(_)).then_some(())
            }
        });
        let mut calls = calls.buffer_unordered(SIGNING_WINDOW);
        while let Some(paid) = calls.next().await {
            paid.context("have the answers signed beforehand")?;
        }
        Ok(())
    }

    /// Removes queues, exchanges and keys.
    pub(super) async fn clear(&self) -> anyhow::Result<()> {
        let queues = workbench::clear(&self.rabbitmq).await;
        // Also when RabbitMQ is out of reach.
        self.redis.clear(&self.prefix).await?;
        Ok(queues?)
    }

    /// Removes the directory, when nobody needs to look at it.
    pub(super) fn forget_logs(&self) -> anyhow::Result<()> {
        fs::remove_dir_all(&self.dir).context("remove the directory of the benchmark")
    }
}

/// Starts one replica and waits until it is ready.
async fn start_worker(seat: &Seat, clock: &Arc<dyn Clock>) -> anyhow::Result<Process> {
    let config_file = seat.config_file.display().to_string();
    let arguments = ["--config", &config_file, "run"];
    let mut worker = Process::start(&arguments, &seat.log, Output::Logged)?;
    let until = clock.monotonic().plus(READY_MAX);
    while !is_ready(seat.admin_port).await {
        let is_late = clock.monotonic() >= until;
        if is_late || !worker.is_running() {
            anyhow::bail!("the daemon does not become ready");
        }
        clock.sleep(READY_LOOK_PERIOD).await;
    }
    Ok(worker)
}

/// Starts the sandbox and returns it with the section of the configuration that it prints.
fn start_sandbox(dir: &Path, options: &BenchOptions) -> anyhow::Result<(Process, String)> {
    let keys = dir.join("keys").display().to_string();
    let packet = format!("{}={}", jobs::PACKET, jobs::PACKET_YUAN);
    let delay = format!("{}ms", options.delay.as_millis());
    let mut arguments = vec!["sandbox", "--listen", "127.0.0.1:0", "--keys", &keys];
    arguments.extend(["--packet", &packet, "--delay", &delay]);
    let knobs = dir.join("knobs.json").display().to_string();
    if options.answers == Answers::SignedBefore {
        fs::write(&knobs, REMEMBERING).context("write the sandbox's knobs")?;
        arguments.extend(["--faults", &knobs]);
    }
    let mut sandbox = Process::start(&arguments, &dir.join("sandbox.log"), Output::Read)?;
    let section = sandbox.first_lines("# http://")?;
    Ok((sandbox, section))
}

/// The servers of the user's file, and all else as a benchmark needs it.
fn configuration(
    file: Option<&Path>,
    sandbox_section: &str,
    prefix: &str,
    admin_port: u16,
) -> anyhow::Result<String> {
    let mut users = match file {
        Some(file) => {
            let text = fs::read_to_string(file);
            let text = text.with_context(|| format!("read {}", file.display()))?;
            text.parse::<toml::Table>()?
        }
        None => toml::Table::new(),
    };
    let directory = file
        .and_then(Path::parent)
        .unwrap_or_else(|| Path::new("."));
    let mut table: toml::Table = sandbox_section.parse()?;
    for name in ["rabbitmq", "redis"] {
        let mut server = match users.remove(name) {
            Some(toml::Value::Table(server)) => server,
            Some(_) | None => toml::Table::new(),
        };
        for (key, value) in &mut server {
            // Paths in a file start from where the file is.
            if let (true, toml::Value::String(path)) = (key.ends_with("_file"), value) {
                *path = std::path::absolute(directory.join(&*path))?
                    .display()
                    .to_string();
            }
        }
        if name == "rabbitmq" {
            server.insert("prefix".to_owned(), toml::Value::from(prefix));
        }
        table.insert(name.to_owned(), toml::Value::Table(server));
    }
    let rest = format!(
        "pacing.requests_per_second = 100000\n\
        admin.listen = \"127.0.0.1:{admin_port}\"\n\
        log.level = \"warn\"\n"
    );
    table.extend(rest.parse::<toml::Table>()?);
    Ok(toml::to_string(&table)?)
}

struct AnHourAgo(Arc<dyn Clock>);

#[async_trait]
impl Clock for AnHourAgo {
    fn now(&self) -> UnixMillis {
        let age_ms = u64::try_from(LEDGER_AGE.as_millis()).unwrap_or(u64::MAX);
        UnixMillis(self.0.now().0.saturating_sub(age_ms))
    }

    fn monotonic(&self) -> Monotonic {
        self.0.monotonic()
    }

    async fn sleep(&self, length: Duration) {
        self.0.sleep(length).await;
    }
}

/// The process behind the first address, where it is one of this machine.
fn broker_process(config: &Config) -> Option<u32> {
    let Servers::Urls(urls) = &config.rabbitmq.servers else {
        return None;
    };
    let endpoint = urls.first()?.endpoint();
    let (_, authority) = endpoint.split_once("://")?;
    let (host, port) = authority.rsplit_once(':').unwrap_or((authority, "5672"));
    let is_here = matches!(host, "127.0.0.1" | "localhost" | "[::1]");
    is_here.then(|| listener(port.parse().ok()?)).flatten()
}

fn free_port() -> anyhow::Result<u16> {
    let socket = TcpListener::bind("127.0.0.1:0").context("find a free port")?;
    Ok(socket.local_addr()?.port())
}

async fn is_ready(port: u16) -> bool {
    let asked = async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        let request = b"GET /readyz HTTP/1.0\r\nhost: 127.0.0.1\r\n\r\n";
        stream.write_all(request).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    let answer = asked.await.unwrap_or_default();
    answer.starts_with(b"HTTP/1.0 200") || answer.starts_with(b"HTTP/1.1 200")
}
