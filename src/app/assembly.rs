//! Puts the parts together as the configuration says: ports, pacing, metrics, worker.

use std::error::Error;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;

use crate::adapters::alipay::{AlipayError, AlipayGateway, AlipayOptions};
use crate::adapters::clock::SystemClock;
use crate::adapters::memory_broker::MemoryBroker;
use crate::adapters::memory_budget::MemoryBudget;
use crate::adapters::memory_history::MemoryHistory;
use crate::adapters::memory_ledger::MemoryLedger;
use crate::adapters::rabbitmq::{Prefetch, RabbitmqBroker, RabbitmqOptions, RabbitmqTls};
use crate::adapters::random::SystemRandom;
use crate::adapters::redis_ledger::{RedisLedger, RedisLedgerOptions, RedisTls};
use crate::app::alipay_setup;
use crate::app::audit;
use crate::app::budget::SpendGuard;
use crate::app::config::{Config, ConfigProblem, Problems, ServerUrl, Servers, replica_name};
use crate::app::history::HistoryWriter;
use crate::app::metrics::Metrics;
use crate::app::recent::Recent;
use crate::app::reconcile::drift::Drift;
use crate::app::witness::{Witness, Witnesses};
use crate::app::worker::{FairnessOptions, Ports, Worker, WorkerOptions};
use crate::domain::ident::AppName;
use crate::lifecycle::Policy;
use crate::lifecycle::admission::PARK_DELAY_MAX;
use crate::lifecycle::retry::RetryPolicy;
use crate::pacing::{Pacing, PacingOptions};
use crate::ports::broker::Broker;
use crate::ports::budget::Budget;
use crate::ports::clock::{Clock, Random};
use crate::ports::gateway::{CallObserver, Gateway as _};
use crate::ports::history::History;
use crate::ports::ledger::Ledger;
use crate::ports::notifications::Notifications;
use crate::ports::rate::SharedRate;
use crate::ports::switches::Switches;

/// Why the daemon cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration has mistakes, all of them told.
    #[error("{0}")]
    Config(Problems),
    /// A server is away, or cannot be used as it is.
    #[error("use {server}")]
    Server {
        /// Which.
        server: &'static str,
        /// Why.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
}

/// All parts, made and connected; nothing is taken yet but what the broker delivers ahead.
pub struct Assembly {
    /// The worker.
    pub worker: Arc<Worker>,
    /// What it works with.
    pub ports: Ports,
    /// Its permits.
    pub pacing: Arc<Pacing>,
    /// Its metrics.
    pub metrics: Arc<Metrics>,
    /// Alipay itself, whose keys can be exchanged; the same as in `ports`.
    pub alipay: Arc<AlipayGateway>,
    /// What tells true notifications from others.
    pub notifications: Arc<dyn Notifications>,
    /// The audit log, where one is configured: to be closed once the worker has ended.
    pub audit: Option<Arc<audit::writer::Writer>>,
    /// A sample of what is settled, where Alipay is asked about it.
    pub drift: Option<Arc<Drift>>,
    /// The calls of jobs that needed more than one.
    pub history: Arc<dyn History>,
    /// What happened lately, for the page.
    pub recent: Arc<Recent>,
    /// For jobs that name no app.
    pub default_app: Option<AppName>,
    /// The embedded broker, where there is one: `demo` feeds it.
    pub embedded: Option<Arc<MemoryBroker>>,
}

/// What is made before anything is connected, so that health can be asked from the first moment.
pub struct Parts {
    /// Both clocks.
    pub clock: Arc<dyn Clock>,
    /// The metrics of the configured apps.
    pub metrics: Arc<Metrics>,
    apps: Vec<AppName>,
    gateway: Arc<AlipayGateway>,
}

/// Checks the configuration to the last key, and makes what needs no server.
///
/// # Errors
///
/// [`StartError::Config`].
pub fn prepare(config: &Config) -> Result<Parts, StartError> {
    refuse_a_mixed_pair(config)?;
    let mut options = alipay_setup::options(config).map_err(StartError::Config)?;
    let apps: Vec<AppName> = options.apps.iter().map(|app| app.name.clone()).collect();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let metrics = Arc::new(Metrics::new(&apps));
    let observer: Arc<dyn CallObserver> = Arc::<Metrics>::clone(&metrics);
    options.observer = Some(observer);
    options.signing_threads = signing_threads();
    let gateway = gateway(config, options, Arc::clone(&clock)).map_err(StartError::Config)?;
    Ok(Parts {
        clock,
        metrics,
        apps,
        gateway: Arc::new(gateway),
    })
}

/// One thread for each core but that of the I/O.
fn signing_threads() -> usize {
    std::thread::available_parallelism().map_or(0, |cores| cores.get().saturating_sub(1))
}

/// A ledger that forgets at every restart must not stand behind a broker that does not.
fn refuse_a_mixed_pair(config: &Config) -> Result<(), StartError> {
    let servers = (&config.rabbitmq.servers, &config.redis.servers);
    if !matches!(servers, (Servers::Urls(_), Servers::Embedded)) {
        return Ok(());
    }
    let problem = config.problem(
        "redis.urls",
        "is \"memory:\", which forgets at every restart what RabbitMQ will deliver again"
            .to_owned(),
        "name a real Redis, or set rabbitmq.urls to \"memory:\" as well".to_owned(),
    );
    Err(StartError::Config(Problems::new(vec![problem])))
}

/// Connects to the servers and makes the worker.
///
/// # Errors
///
/// [`StartError`]; a server that is away at start is told, not waited for.
pub async fn connect(config: &Config, parts: Parts) -> Result<Assembly, StartError> {
    let Parts {
        clock,
        metrics,
        apps,
        gateway,
    } = parts;
    let random: Arc<dyn Random> = Arc::new(SystemRandom);
    let Memory {
        ledger,
        history,
        rate,
        switches,
        budget,
    } = memory(config, &clock, &random).await?;
    let (options, paced) = (pacing_options(config), Arc::clone(&clock));
    let pacing = match rate {
        Some(rate) => Pacing::shared(options, &apps, paced, rate),
        // The embedded servers are of this process alone.
        None => Pacing::new(options, &apps, paced),
    };
    let (broker, embedded) = broker(config, &clock, &random).await?;
    let default_app = alipay_setup::default_app(config).filter(|app| gateway.apps().contains(app));
    let alipay = Arc::clone(&gateway);
    let notifications: Arc<dyn Notifications> = Arc::<AlipayGateway>::clone(&gateway);
    let ports = Ports {
        ledger,
        gateway,
        broker,
        clock,
        random,
        switches: Some(switches),
    };
    let mut options = worker_options(config, default_app.clone())?;
    options.budget = spend_guard(config, budget, &metrics);
    let recent = Recent::new(ports.clock.now(), replica_name());
    let mut witnesses = witnesses(config, &history, &recent, &metrics);
    let audit = audit(config, &ports.clock, &metrics)?;
    let told = audit.clone().map(|audit| -> Arc<dyn Witness> { audit });
    witnesses.0.extend(told);
    let rate = NonZeroU32::new(config.reconcile.rate_per_minute);
    let drift = rate.map(|rate| Arc::new(Drift::new(rate, Arc::clone(&ports.random))));
    let told = drift.clone().map(|drift| -> Arc<dyn Witness> { drift });
    witnesses.0.extend(told);
    let worker = Worker::witnessed(
        ports.clone(),
        options,
        Arc::clone(&pacing),
        (Arc::clone(&metrics), witnesses),
    );
    Ok(Assembly {
        worker,
        ports,
        pacing,
        metrics,
        alipay,
        notifications,
        audit,
        drift,
        history,
        recent,
        default_app,
        embedded,
    })
}

/// Last of all: the log shall not tell of processes that never came to work.
fn audit(
    config: &Config,
    clock: &Arc<dyn Clock>,
    metrics: &Arc<Metrics>,
) -> Result<Option<Arc<audit::writer::Writer>>, StartError> {
    audit::start(config, clock, metrics).map_err(|error| {
        let remedy = "name a file that this user may append to, in a directory that is there";
        let problem = config.problem("audit.file", error.with_cause(), remedy.to_owned());
        StartError::Config(Problems::new(vec![problem]))
    })
}

/// Whoever is told what the worker does, beside the metrics.
fn witnesses(
    config: &Config,
    history: &Arc<dyn History>,
    recent: &Arc<Recent>,
    metrics: &Arc<Metrics>,
) -> Witnesses {
    let writer: Arc<dyn Witness> = HistoryWriter::start(
        Arc::clone(history),
        Arc::clone(metrics),
        recent.replica.clone(),
        config.ledger.retention,
    );
    Witnesses(vec![writer, Arc::<Recent>::clone(recent)])
}

fn gateway(
    config: &Config,
    options: AlipayOptions,
    clock: Arc<dyn Clock>,
) -> Result<AlipayGateway, Problems> {
    AlipayGateway::new(options, clock).map_err(|error| {
        let key = match &error {
            AlipayError::GatewayUrl => "alipay.gateway",
            AlipayError::Timeouts => "alipay.connect_timeout",
            AlipayError::ExtraCodes(_) => "alipay.codes",
            AlipayError::NoApp
            | AlipayError::AppTwice { .. }
            | AlipayError::Parameter { .. }
            | AlipayError::Key { .. }
            | AlipayError::OwnPublicKey { .. }
            | AlipayError::Certificate { .. }
            | AlipayError::OtherCertificate { .. }
            | AlipayError::NoKey { .. }
            | AlipayError::UnknownApp { .. }
            | AlipayError::Http(_) => "alipay.apps",
        };
        let mut fault = error.to_string();
        if let Some(cause) = error.source() {
            fault = format!("{fault}: {cause}");
        }
        let problem: ConfigProblem =
            config.problem(key, fault, "see config.example.toml".to_owned());
        Problems::new(vec![problem])
    })
}

fn pacing_options(config: &Config) -> PacingOptions {
    PacingOptions {
        requests_per_second: config.pacing.requests_per_second,
        concurrency_min: config.pacing.concurrency_min,
        concurrency_max: config.pacing.concurrency_max,
    }
}

/// The lifecycle's numbers.
///
/// # Errors
///
/// [`Problems`] with numbers that make no sense together.
pub(crate) fn policy(config: &Config) -> Result<Policy, Problems> {
    let retry = RetryPolicy::new(
        config.retry.delay_min,
        config.retry.delay_max,
        config.retry.multiplier_permille,
    );
    let retry = retry.map_err(|fault| {
        let remedy = "give delay_min below delay_max, and a multiplier above 1".to_owned();
        Problems::new(vec![config.problem(
            "retry.multiplier",
            fault.to_string(),
            remedy,
        )])
    })?;
    Ok(Policy {
        retry,
        absence_confirmations: config.retry.absence_confirmations.get(),
        absence_window: config.retry.absence_window,
        unresolved_after: config.retry.unresolved_after,
        rescue_after: config.ledger.rescue_after,
    })
}

fn worker_options(
    config: &Config,
    default_app: Option<AppName>,
) -> Result<WorkerOptions, StartError> {
    Ok(WorkerOptions {
        policy: policy(config).map_err(StartError::Config)?,
        lease: config.ledger.lease,
        call_timeout: config.alipay.timeout,
        doubt: config.ledger.doubt,
        replicas_min: config.ledger.replicas_min,
        query_attempts: config.retry.query_attempts,
        default_app,
        fairness: config.fairness.label.clone().map(|label| FairnessOptions {
            label,
            disburse_places: config.rabbitmq.prefetch.disburse,
            pay_places: config.rabbitmq.prefetch.pay,
        }),
        // Counted by the same servers that remember the jobs.
        budget: None,
        rescue_interval: (config.ledger.rescue_after / 20)
            .clamp(Duration::from_secs(1), Duration::from_secs(60)),
    })
}

/// The guard, if the configuration has a cap.
fn spend_guard(
    config: &Config,
    counters: Arc<dyn Budget>,
    metrics: &Metrics,
) -> Option<SpendGuard> {
    if !config.budget.is_on() {
        return None;
    }
    let mut options = config.budget.options.clone();
    options.salt.clone_from(&config.rabbitmq.prefix);
    for (scope, window, cap) in options.all() {
        metrics.budget_capped(scope, window, cap);
    }
    Some(SpendGuard { counters, options })
}

/// What remembers: one connection to Redis, which all replicas share, or this process.
struct Memory {
    ledger: Arc<dyn Ledger>,
    history: Arc<dyn History>,
    rate: Option<Arc<dyn SharedRate>>,
    switches: Arc<dyn Switches>,
    budget: Arc<dyn Budget>,
}

async fn memory(
    config: &Config,
    clock: &Arc<dyn Clock>,
    random: &Arc<dyn Random>,
) -> Result<Memory, StartError> {
    let Some(options) = redis_options(config) else {
        let ledger = Arc::new(MemoryLedger::new());
        return Ok(Memory {
            switches: Arc::<MemoryLedger>::clone(&ledger),
            ledger,
            history: Arc::new(MemoryHistory::new()),
            rate: None,
            budget: Arc::new(MemoryBudget::new()),
        });
    };
    match RedisLedger::connect(options, Arc::clone(clock), Arc::clone(random)).await {
        Ok(ledger) => {
            let ledger = Arc::new(ledger);
            Ok(Memory {
                history: Arc::<RedisLedger>::clone(&ledger),
                rate: Some(Arc::<RedisLedger>::clone(&ledger)),
                switches: Arc::<RedisLedger>::clone(&ledger),
                budget: Arc::<RedisLedger>::clone(&ledger),
                ledger,
            })
        }
        Err(error) => Err(StartError::Server {
            server: "Redis",
            source: Box::new(error),
        }),
    }
}

/// What a connection to Redis is made with; `None` for the embedded ledger.
#[must_use]
pub fn redis_options(config: &Config) -> Option<RedisLedgerOptions> {
    let Servers::Urls(urls) = &config.redis.servers else {
        return None;
    };
    let tls = config.redis.tls.clone();
    Some(RedisLedgerOptions {
        mode: config.redis.mode.clone(),
        urls: urls.iter().map(secret).collect(),
        tls: RedisTls {
            ca: tls.ca,
            identity: tls.identity,
        },
        // One word names everything of one installation, in both servers.
        prefix: config.rabbitmq.prefix.clone(),
        connect_timeout: config.redis.connect_timeout,
        response_timeout: config.redis.response_timeout,
        retention: config.ledger.retention,
        ..RedisLedgerOptions::new(SecretString::default())
    })
}

fn secret(url: &ServerUrl) -> SecretString {
    SecretString::from(url.expose())
}

type BrokerAndEmbedded = (Arc<dyn Broker>, Option<Arc<MemoryBroker>>);

async fn broker(
    config: &Config,
    clock: &Arc<dyn Clock>,
    random: &Arc<dyn Random>,
) -> Result<BrokerAndEmbedded, StartError> {
    let Some(options) = rabbitmq_options(config) else {
        let prefetch = config.rabbitmq.prefetch.disburse.get();
        let embedded = Arc::new(MemoryBroker::new(Arc::clone(clock), prefetch));
        let broker: Arc<dyn Broker> = Arc::<MemoryBroker>::clone(&embedded);
        return Ok((broker, Some(embedded)));
    };
    match RabbitmqBroker::connect(options, Arc::clone(clock), Arc::clone(random)).await {
        Ok(broker) => Ok((Arc::new(broker), None)),
        Err(error) => Err(StartError::Server {
            server: "RabbitMQ",
            source: Box::new(error),
        }),
    }
}

/// How far the rungs of the retry ladder grow: to the longest wait that is counted in seconds or
/// minutes. A wait above them would take the next rung, which is an hour.
fn ladder_top(config: &Config) -> Duration {
    config
        .retry
        .delay_max
        .max(config.retry.absence_window)
        .max(RetryPolicy::UNSENT_MAX)
        .max(PARK_DELAY_MAX)
}

/// What a connection to RabbitMQ is made with; `None` for the embedded broker.
#[must_use]
pub fn rabbitmq_options(config: &Config) -> Option<RabbitmqOptions> {
    let Servers::Urls(urls) = &config.rabbitmq.servers else {
        return None;
    };
    let rabbitmq = &config.rabbitmq;
    Some(RabbitmqOptions {
        urls: urls.iter().map(secret).collect(),
        tls: RabbitmqTls {
            ca: rabbitmq.tls.ca.clone(),
            identity: rabbitmq.tls.identity.clone(),
        },
        prefix: rabbitmq.prefix.clone(),
        prefetch: Prefetch {
            disburse: rabbitmq.prefetch.disburse,
            refund: rabbitmq.prefetch.refund,
            query: rabbitmq.prefetch.query,
            pay: rabbitmq.prefetch.pay,
        },
        shards: rabbitmq.shards,
        heartbeat: rabbitmq.heartbeat,
        delivery_limit: rabbitmq.delivery_limit,
        confirm_timeout: rabbitmq.confirm_timeout,
        delay_min: config.retry.delay_min,
        delay_max: ladder_top(config),
        multiplier_permille: config.retry.multiplier_permille,
        unrouted_max: rabbitmq.unrouted_max,
        connection_name: format!("hongbaod {}", replica_name()),
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{StartError, prepare, rabbitmq_options};
    use crate::app::config::{Config, ServerUrl, Servers, replica_name};

    #[test]
    fn a_forgetful_ledger_behind_a_real_broker_is_refused() {
        let mut config = Config::default();
        config.rabbitmq.servers =
            Servers::Urls(vec![ServerUrl::new("amqp://127.0.0.1".to_owned())]);
        config.redis.servers = Servers::Embedded;
        let Err(StartError::Config(problems)) = prepare(&config) else {
            panic!("it must be refused");
        };
        assert!(problems.to_string().contains("redis.urls"), "{problems}");
    }

    #[test]
    fn connections_and_buried_messages_name_the_replica() {
        let options = rabbitmq_options(&Config::default()).unwrap();
        let expected = format!("hongbaod {}", replica_name());
        assert_eq!(options.connection_name, expected);
    }

    #[test]
    fn no_wait_of_seconds_takes_the_rung_of_an_hour() {
        let seconds = Duration::from_secs;
        for (delay_max, absence_window, expected) in [(1, 2, 64), (1, 90, 90), (1020, 30, 1020)] {
            let mut config = Config::default();
            config.retry.delay_max = seconds(delay_max);
            config.retry.absence_window = seconds(absence_window);
            let options = rabbitmq_options(&config).unwrap();
            assert_eq!(options.delay_max, seconds(expected));
        }
    }
}
