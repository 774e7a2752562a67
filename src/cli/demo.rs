//! `hongbaod demo`: everything in one process, with faults, and the books compared at the end.

mod books;
mod plan;
mod report;
mod tally;

use std::io::{self, IsTerminal as _, Write as _};
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use secrecy::SecretString;

use crate::app::config::{AlipayAppConfig, Charset, Config, Servers, SignType};
use crate::app::embedded::Embedded;
use crate::app::wall_clock;
use crate::cli::exit_code::ExitCode;
use crate::cli::failure::{Failure, with_causes};
use crate::sandbox::faults::{Faults, IdempotencyKnob};
use crate::sandbox::keys::SandboxKeys;
use crate::sandbox::{APP_ID, NotifyTargets, RunningSandbox, Sandbox, SandboxOptions};

use plan::{Plan, PlannedJob};
use tally::Tally;

pub(crate) const EXAMPLES: &str = "\
Examples:
  hongbaod demo
  hongbaod demo --jobs 20000 --seed 7
  hongbaod demo --no-faults
  hongbaod demo --hold          stay up: look at the metrics, then press Ctrl-C

It needs no server and moves no money. Waiting times are shortened: a call may take 0.75 s where the
daemon gives it 15 s, and an absence is believed after 1 s where the daemon takes 30 s.
Exit code 1 says that a promise was broken.";

/// How long nothing may happen before the demo says what is missing.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// The arguments of `demo`.
#[derive(Debug, Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "two switches of the command line"
)]
pub(crate) struct DemoArgs {
    /// How many disbursements are opened in the burst.
    #[arg(long, value_name = "N", default_value_t = 2000, value_parser = clap::value_parser!(u32).range(20..=1_000_000))]
    jobs: u32,

    /// What amounts, duplicates and faults are drawn from.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,

    /// An Alipay that never misbehaves.
    #[arg(long)]
    no_faults: bool,

    /// Stay up at the end, until Ctrl-C.
    #[arg(long)]
    hold: bool,

    /// Where metrics and health are served; port 0 picks a free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
}

pub(crate) async fn execute(args: DemoArgs) -> Result<ExitCode, Failure> {
    let plan = Plan::draw(args.jobs, args.seed);
    let keys = SandboxKeys::generate().map_err(|error| Failure::failed(with_causes(&error)))?;
    let mut config = config(&args, &keys);
    let sandbox = start_sandbox(&args, keys, &plan).await?;
    config.alipay.gateway = sandbox.gateway_url();
    let daemon = Embedded::start(&config)
        .await
        .map_err(|error| Failure::failed(format!("{error:#}")))?;
    introduce(&args, &plan, &daemon)?;

    let mut tally = Tally::new(progress(&plan));
    let started = daemon.monotonic();
    play(&daemon, plan.burst(), &mut tally).await;
    let burst_took = daemon.monotonic().since(started);
    let mut rest = plan.refunds(&sandbox.packets(), &tally);
    rest.extend(plan.queries());
    play(&daemon, &rest, &mut tally).await;
    tally.progress.finish_and_clear();

    let verdict = books::compare(&tally, &sandbox, daemon.waiting().await, daemon.buried());
    let mut stdout = io::stdout().lock();
    write!(stdout, "{}", report::render(&tally, &verdict, burst_took))?;
    stdout.flush()?;
    drop(stdout);
    if args.hold {
        hold(&daemon).await?;
    }
    daemon.stop().await;
    sandbox.stop().await;
    Ok(if verdict.is_kept() {
        ExitCode::Done
    } else {
        ExitCode::Failed
    })
}

/// Submits jobs and takes events until each job has its terminal one.
async fn play(daemon: &Embedded, jobs: &[PlannedJob], tally: &mut Tally) {
    for job in jobs {
        tally.submitted(job, daemon.monotonic());
        daemon
            .submit(
                job.kind,
                Bytes::from(job.body.clone()),
                job.message_id.clone(),
            )
            .await;
    }
    while tally.open() > 0 || daemon.waiting().await > 0 {
        tokio::select! {
            event = daemon.next_event() => tally.took(&event.id, &event.body, daemon.monotonic()),
            () = daemon.sleep(Duration::from_millis(50)) => {}
        }
        if daemon.monotonic().since(tally.last_event_at) > SILENCE_MAX {
            return;
        }
    }
}

async fn start_sandbox(
    args: &DemoArgs,
    keys: SandboxKeys,
    plan: &Plan,
) -> Result<RunningSandbox, Failure> {
    let options = SandboxOptions {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        keys,
        app_id: APP_ID.to_owned(),
        packets: plan.packets().to_vec(),
        faults: if args.no_faults {
            Faults::default()
        } else {
            faults(args.seed)
        },
        seed: args.seed,
        delay: Duration::ZERO,
        clock: Arc::new(wall_clock::now),
        time_scale: NonZeroU32::MIN,
        notify_targets: NotifyTargets::Loopback,
    };
    Sandbox::start(options)
        .await
        .map_err(|error| Failure::failed(with_causes(&error)))
}

/// About every sixth call misbehaves.
fn faults(seed: u64) -> Faults {
    Faults {
        in_progress_done_permille: 20,
        in_progress_never_permille: 10,
        unknown_with_effect_permille: 20,
        unknown_without_effect_permille: 10,
        hang_after_effect_permille: 5,
        hang_before_effect_permille: 5,
        reset_after_effect_permille: 10,
        reset_before_effect_permille: 10,
        html_error_page_permille: 10,
        truncated_answer_permille: 10,
        forged_signature_permille: 10,
        missing_signature_permille: 10,
        duplicate_node_permille: 5,
        limited_permille: 20,
        query_unknown_permille: 50,
        effect_delay_ms: 250,
        hang_ms: 1000,
        query_lag_ms: 150,
        // Both behaviours are reported of Alipay, so a seed decides.
        idempotency: if seed.is_multiple_of(2) {
            IdempotencyKnob::AlreadyUsed
        } else {
            IdempotencyKnob::Replay
        },
        faults_per_number_max: 2,
        ..Faults::default()
    }
}

/// The daemon's configuration with shortened waiting times, as the help says.
fn config(args: &DemoArgs, keys: &SandboxKeys) -> Config {
    let mut config = Config::default();
    config.rabbitmq.servers = Servers::Embedded;
    config.redis.servers = Servers::Embedded;
    config.alipay.timeout = Duration::from_millis(750);
    config.alipay.connect_timeout = Duration::from_millis(500);
    config.ledger.lease = Duration::from_secs(1);
    config.retry.absence_window = Duration::from_secs(1);
    config.retry.delay_min = Duration::from_millis(50);
    config.retry.delay_max = Duration::from_millis(400);
    config.pacing.requests_per_second = NonZeroU32::new(100_000).unwrap_or(NonZeroU32::MIN);
    config.pacing.concurrency_min = NonZeroU32::new(32).unwrap_or(NonZeroU32::MIN);
    config.admin.listen = args.listen;
    config.shutdown.grace = Duration::from_secs(5);
    let app = AlipayAppConfig {
        app_id: APP_ID.to_owned(),
        sign_type: SignType::Rsa2,
        charset: Charset::Utf8,
        private_key: SecretString::from(keys.app_private_key().to_pkcs8_pem().as_str()),
        alipay_public_key: SecretString::from(keys.alipay_public_key().to_spki_pem()),
        certificates: None,
        aes_key: None,
        app_auth_token: None,
        notify_url: None,
        files: Vec::new(),
    };
    config.alipay.apps.insert(plan::APP.to_owned(), app);
    plan::APP.clone_into(&mut config.alipay.default_app);
    config
}

fn introduce(args: &DemoArgs, plan: &Plan, daemon: &Embedded) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    let faults = if args.no_faults {
        "no faults"
    } else {
        "faults of every kind"
    };
    writeln!(
        stdout,
        "A burst of {} disbursements from {} packets, with duplicates, conflicts, bad jobs and {faults}; \
         then refunds and queries.\nWaiting times are shortened. Seed {}. Metrics and health: {}",
        args.jobs,
        plan.packets().len(),
        args.seed,
        daemon.admin_url(),
    )?;
    Ok(())
}

fn progress(plan: &Plan) -> ProgressBar {
    let total = u64::try_from(plan.burst().len()).unwrap_or(u64::MAX);
    let target = if io::stderr().is_terminal() {
        ProgressDrawTarget::stderr()
    } else {
        ProgressDrawTarget::hidden()
    };
    let bar = ProgressBar::with_draw_target(Some(total), target);
    if let Ok(style) =
        ProgressStyle::with_template("{elapsed_precise} [{bar:40}] {pos}/{len} told  {msg}")
    {
        bar.set_style(style);
    }
    bar
}

async fn hold(daemon: &Embedded) -> Result<(), Failure> {
    writeln!(
        io::stdout().lock(),
        "\nHolding: {} shows health and metrics; Ctrl-C ends.",
        daemon.admin_url()
    )?;
    loop {
        tokio::select! {
            pressed = tokio::signal::ctrl_c() => return pressed.map_err(|error| Failure::failed(error.to_string())),
            // The sleep shows the daemon's heart beating.
            () = daemon.sleep(Duration::from_secs(5)) => {}
        }
    }
}
