//! `hongbaod sandbox`: an Alipay that runs here.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};
use tokio::signal::unix::{SignalKind, signal};

use crate::app::wall_clock;
use crate::cli::exit_code::ExitCode;
use crate::cli::failure::{Failure, with_causes};
use crate::domain::ident::MerchantNo;
use crate::domain::money::Fen;
use crate::domain::time::parse_duration;
use crate::sandbox::faults::{Faults, IdempotencyKnob};
use crate::sandbox::keys::SandboxKeys;
use crate::sandbox::{
    APP_ID, ContentMode, KeyMode, NotifyTargets, RunningSandbox, Sandbox, SandboxOptions,
    config_section,
};

pub(crate) const EXAMPLES: &str = "\
Examples:
  hongbaod sandbox --keys sandbox-keys --packet P1=10000.00
  hongbaod sandbox --keys sandbox-keys --delay 50ms --idempotency already-used
  hongbaod sandbox --keys sandbox-keys --faults faults.json --seed 7
  hongbaod sandbox --keys sandbox-keys --certificates --contents encrypted --time-scale 60
  curl -X PUT 127.0.0.1:8089/_sandbox/clock -d '{\"advance\": \"48h\"}'
  curl -X PUT 127.0.0.1:8089/_sandbox/faults -d '{\"unknown_with_effect_permille\": 100}'

It prints the section of the configuration that lets the daemon use it. The keys are made if they
are not there; no money is real.";

/// Longest `--delay`.
const DELAY_MAX: Duration = Duration::from_secs(3_600);

/// The arguments of `sandbox`.
#[derive(Debug, Args)]
pub(crate) struct SandboxArgs {
    /// Where to listen; port 0 picks a free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8089")]
    listen: SocketAddr,

    /// The directory of the two key pairs, which are made there if they are missing.
    #[arg(long, value_name = "DIR")]
    keys: PathBuf,

    /// A packet that is paid from the start, by its `out_order_no`; can be repeated.
    #[arg(long = "packet", value_name = "OUT_ORDER_NO=AMOUNT", value_parser = packet)]
    packets: Vec<(MerchantNo, Fen)>,

    /// Hold each answer back for so long, such as 50ms or 2s.
    #[arg(long, value_name = "TIME", default_value = "0ms", value_parser = delay)]
    delay: Duration,

    /// What a number that was used before answers [default: replay, or what the fault file says].
    #[arg(long, value_enum)]
    idempotency: Option<Idempotency>,

    /// A JSON object of fault knobs; GET /_sandbox/faults shows them all.
    #[arg(long, value_name = "FILE.json")]
    faults: Option<PathBuf>,

    /// How many seconds pass inside in one second: deadlines come and notifications are
    /// repeated so much sooner. Timestamps of calls are still held against the wall clock.
    #[arg(long, value_name = "N", default_value_t = NonZeroU32::MIN)]
    time_scale: NonZeroU32,

    /// Certificate mode: make a root, Alipay's certificate and the app's among the keys, ask for
    /// their numbers in calls, and name Alipay's in answers.
    #[arg(long)]
    certificates: bool,

    /// Whether the printed section encrypts contents, with the AES key among the keys.
    #[arg(long, value_enum, default_value_t = Contents::Plain)]
    contents: Contents,

    /// Where notifications may go to, whatever address a call names.
    #[arg(long, value_enum, default_value_t = NotifyTo::Loopback)]
    notify_to: NotifyTo,

    /// What the faults are drawn from.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
}

impl SandboxArgs {
    fn modes(&self) -> (KeyMode, ContentMode) {
        let key_mode = if self.certificates {
            KeyMode::Certificates
        } else {
            KeyMode::PublicKey
        };
        let content_mode = match self.contents {
            Contents::Plain => ContentMode::Plain,
            Contents::Encrypted => ContentMode::Encrypted,
        };
        (key_mode, content_mode)
    }
}

/// Whether contents are encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Contents {
    /// They are not.
    Plain,
    /// They are.
    Encrypted,
}

/// Where notifications may go to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum NotifyTo {
    /// This machine alone.
    Loopback,
    /// Every address that a call names.
    Anywhere,
}

impl From<NotifyTo> for NotifyTargets {
    fn from(notify_to: NotifyTo) -> Self {
        match notify_to {
            NotifyTo::Loopback => Self::Loopback,
            NotifyTo::Anywhere => Self::Anywhere,
        }
    }
}

/// What a number that was used before answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Idempotency {
    /// The same content again gets the same result again.
    Replay,
    /// Every use but the first is refused as a unique violation.
    AlreadyUsed,
}

impl From<Idempotency> for IdempotencyKnob {
    fn from(idempotency: Idempotency) -> Self {
        match idempotency {
            Idempotency::Replay => Self::Replay,
            Idempotency::AlreadyUsed => Self::AlreadyUsed,
        }
    }
}

pub(crate) async fn execute(args: SandboxArgs) -> Result<ExitCode, Failure> {
    let faults = faults(&args)?;
    let modes = args.modes();
    let keys = match modes.0 {
        KeyMode::PublicKey => SandboxKeys::load_or_create(&args.keys),
        KeyMode::Certificates => {
            SandboxKeys::load_or_create_certified(&args.keys, wall_clock::now())
        }
    };
    let keys = keys.map_err(|error| Failure::failed(with_causes(&error)))?;
    // Listened to from the start, so that a signal that comes early is not missed.
    let mut terminate = signal(SignalKind::terminate())
        .map_err(|error| Failure::failed(format!("listen to signals: {error}")))?;
    let options = SandboxOptions {
        listen: args.listen,
        keys,
        app_id: APP_ID.to_owned(),
        packets: args.packets,
        faults,
        seed: args.seed,
        delay: args.delay,
        clock: Arc::new(wall_clock::now),
        time_scale: args.time_scale,
        notify_targets: args.notify_to.into(),
    };
    let sandbox = Sandbox::start(options)
        .await
        .map_err(|error| Failure::failed(with_causes(&error)))?;
    introduce(&sandbox, &args.keys, modes)?;
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
    sandbox.stop().await;
    Ok(ExitCode::Done)
}

fn introduce(
    sandbox: &RunningSandbox,
    keys: &Path,
    modes: (KeyMode, ContentMode),
) -> io::Result<()> {
    let address = sandbox.address();
    // The daemon may start somewhere else.
    let keys = std::path::absolute(keys)?;
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "# A simulated Alipay; put this into hongbaod.toml:")?;
    writeln!(stdout, "{}", config_section(address, &keys, modes))?;
    writeln!(
        stdout,
        "# http://{address}/_sandbox/            a page for people"
    )?;
    writeln!(
        stdout,
        "# http://{address}/_sandbox/operations  every operation, as JSON"
    )?;
    writeln!(
        stdout,
        "# http://{address}/_sandbox/faults      the fault knobs, GET and PUT"
    )?;
    writeln!(
        stdout,
        "# http://{address}/_sandbox/clock       its clock, GET and PUT"
    )?;
    writeln!(
        stdout,
        "# http://{address}/_sandbox/phone       pays the order string that is posted"
    )?;
    stdout.flush()?;
    // On the standard error, so that the section can go into a file by itself.
    eprintln!("listening on {address}; Ctrl-C ends");
    Ok(())
}

fn faults(args: &SandboxArgs) -> Result<Faults, Failure> {
    let mut faults = match &args.faults {
        None => Faults::default(),
        Some(path) => {
            let json = std::fs::read(path)
                .map_err(|error| Failure::failed(format!("read {}: {error}", path.display())))?;
            Faults::from_json(&json).map_err(|error| {
                Failure::usage(format!("{}: {}", path.display(), with_causes(&error)))
            })?
        }
    };
    if let Some(idempotency) = args.idempotency {
        faults.idempotency = idempotency.into();
    }
    Ok(faults)
}

fn packet(text: &str) -> Result<(MerchantNo, Fen), String> {
    let (number, amount) = text
        .split_once('=')
        .ok_or_else(|| "write OUT_ORDER_NO=AMOUNT, such as P1=100.00".to_owned())?;
    let number = MerchantNo::new(number).map_err(|error| error.to_string())?;
    let amount = Fen::parse_yuan(amount).map_err(|error| format!("the amount {error}"))?;
    Ok((number, amount))
}

fn delay(text: &str) -> Result<Duration, String> {
    parse_duration(text)
        .filter(|delay| *delay <= DELAY_MAX)
        .ok_or_else(|| {
            "write a whole number and ms, s, m or h, at most 1h, such as 50ms".to_owned()
        })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{delay, packet};

    #[test]
    fn a_delay_is_at_most_an_hour() {
        for (text, expected_ms) in [
            ("0ms", Some(0)),
            ("50ms", Some(50)),
            ("60m", Some(3_600_000)),
            ("1h", Some(3_600_000)),
            ("3600001ms", None),
            ("50", None),
        ] {
            let expected = expected_ms.map(Duration::from_millis);
            assert_eq!(delay(text).ok(), expected, "{text}");
        }
    }

    #[test]
    fn a_packet_is_a_number_and_an_amount() {
        let (number, amount) = packet("P1=8.88").unwrap();
        assert_eq!((number.as_str(), amount.get()), ("P1", 888));
        for wrong in ["P1", "P1=", "=1.00", "P1=1", "P 1=1.00", "P1=0.00"] {
            assert!(packet(wrong).is_err(), "{wrong}");
        }
    }
}
