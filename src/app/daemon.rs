//! The daemon: everything from the configuration to the last acknowledgement.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::app::admin_server::{
    self, AdminSources, Condition, ConditionState, Heartbeat, Lookup, Standing,
};
use crate::app::assembly::{self, Assembly};
use crate::app::build_info;
use crate::app::config::Config;
use crate::app::exposure::warn_of_exposures;
use crate::app::key_watch::KeyWatch;
use crate::app::notify_server::{self, NotifyServer, NotifyServerError, NotifySources};
use crate::app::reconcile::drift::DriftPorts;
use crate::app::shutdown;
use crate::app::situation::{AppSituation, Situation};
use crate::domain::ident::AppName;
use crate::domain::job::Kind;
use crate::domain::switch::SwitchKey;
use crate::domain::time::format_duration;
use crate::pacing::{PacedCall, Pacing};
use crate::ports::ledger::Connection;

/// How often the main loop shows that it lives.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(5);

/// How long the last answers to notifications may take once the worker has stopped.
const LAST_ANSWERS_MAX: Duration = Duration::from_secs(1);

/// Runs until SIGTERM or SIGINT, then drains; a second signal ends the process at once.
///
/// # Errors
///
/// [`assembly::StartError`] or [`admin_server::AdminServerError`] or
/// [`NotifyServerError`] inside, when it
/// cannot start.
pub async fn run(config: Config) -> anyhow::Result<()> {
    let stop = shutdown::on_signal()?;
    serve(config, stop).await
}

/// Runs until `stop` is cancelled.
///
/// # Errors
///
/// As [`run`].
pub async fn serve(config: Config, stop: CancellationToken) -> anyhow::Result<()> {
    // Listened for from the first moment: unheard, the signal ends a process.
    let hang_up = shutdown::hang_up()?;
    let parts = assembly::prepare(&config)?;
    warn_of_exposures(&config);
    let assembly = assembly::connect(&config, parts).await?;
    let servers = CancellationToken::new();
    let heartbeat = Arc::new(Heartbeat::new(assembly.ports.clock.monotonic()));
    let admin = admin_server::serve(
        config.admin.listen,
        sources(&config, &assembly, &heartbeat),
        servers.clone(),
    )
    .await;
    let admin = match admin {
        Ok(admin) => admin,
        Err(error) => {
            // What was delivered ahead goes back.
            assembly.ports.broker.stop().await;
            assembly.ports.broker.close().await;
            return Err(error).context("start the admin server");
        }
    };
    let notify = match notify(&config, &assembly, stop.clone()).await {
        Ok(notify) => notify,
        Err(error) => {
            servers.cancel();
            assembly.ports.broker.stop().await;
            assembly.ports.broker.close().await;
            return Err(error).context("start the listener for notifications");
        }
    };
    info!(
        version = build_info::VERSION,
        commit = build_info::COMMIT,
        admin = %admin.address,
        notify = notify.as_ref().map(|notify| tracing::field::display(notify.address)),
        grace = format_duration(config.shutdown.grace),
        "hongbaod takes jobs"
    );
    let watching = KeyWatch::new(
        config.clone(),
        Arc::clone(&assembly.alipay),
        Arc::clone(&assembly.metrics),
        Arc::clone(&assembly.ports.clock),
    );
    let watching = tokio::spawn(watching.run(hang_up));
    let checking = checking(&assembly);
    let beating = tokio::spawn(beat(Arc::clone(&assembly.ports.clock), heartbeat));
    assembly.worker.run(stop, config.shutdown.grace).await;
    beating.abort();
    watching.abort();
    checking.abort();
    if let Some(audit) = &assembly.audit {
        audit.close().await;
    }
    servers.cancel();
    admin.stopped().await;
    if let Some(notify) = notify {
        // Without the broker nothing more can be done for whoever is still sending.
        tokio::select! {
            () = notify.stopped() => {}
            () = assembly.ports.clock.sleep(LAST_ANSWERS_MAX) => {}
        }
    }
    info!("hongbaod has stopped");
    Ok(())
}

/// Opens the listener for notifications, where one is configured. It stops taking any at once when
/// the daemon stops: Alipay repeats what it was not told `success` for.
async fn notify(
    config: &Config,
    assembly: &Assembly,
    stop: CancellationToken,
) -> Result<Option<NotifyServer>, NotifyServerError> {
    let Some(listen) = config.notify.listen else {
        return Ok(None);
    };
    let sources = NotifySources {
        notifications: Arc::clone(&assembly.notifications),
        worker: Arc::clone(&assembly.worker),
        metrics: Arc::clone(&assembly.metrics),
        clock: Arc::clone(&assembly.ports.clock),
    };
    let server = notify_server::serve(listen, &config.notify, sources, stop);
    server.await.map(Some)
}

/// Asks Alipay about a little of what is settled, where that is configured.
fn checking(assembly: &Assembly) -> JoinHandle<()> {
    let ports = DriftPorts {
        gateway: Arc::clone(&assembly.ports.gateway),
        pacing: Arc::clone(&assembly.pacing),
        clock: Arc::clone(&assembly.ports.clock),
        metrics: Arc::clone(&assembly.metrics),
    };
    let drift = assembly.drift.clone();
    tokio::spawn(async move {
        if let Some(drift) = drift {
            drift.run(ports).await;
        }
    })
}

async fn beat(clock: Arc<dyn crate::ports::clock::Clock>, heartbeat: Arc<Heartbeat>) {
    loop {
        heartbeat.beat(clock.monotonic());
        clock.sleep(HEARTBEAT_INTERVAL).await;
    }
}

/// What the admin pages show of a running assembly.
pub fn sources(config: &Config, assembly: &Assembly, heartbeat: &Arc<Heartbeat>) -> AdminSources {
    let (worker, ports) = (Arc::clone(&assembly.worker), assembly.ports.clone());
    let pacing = Arc::clone(&assembly.pacing);
    let readiness = move || {
        let mut conditions = vec![
            connection("rabbitmq", ports.broker.connection()),
            connection("redis", ports.ledger.health().connection),
        ];
        for app in pacing.apps() {
            let reason = pacing.blocked_reason(app);
            conditions.push(Condition {
                name: format!("app {app}"),
                state: if reason.is_none() {
                    ConditionState::Met
                } else {
                    ConditionState::Unmet
                },
                detail: reason.map_or_else(
                    || calls_made(&pacing, app),
                    |reason| format!("no calls: {reason:?}"),
                ),
            });
        }
        let draining = worker.is_draining();
        conditions.push(Condition {
            name: "taking jobs".to_owned(),
            state: if draining {
                ConditionState::Unmet
            } else {
                ConditionState::Met
            },
            detail: if draining { "draining" } else { "yes" }.to_owned(),
        });
        conditions
    };
    let (metrics, ports) = (Arc::clone(&assembly.metrics), assembly.ports.clone());
    let pacing = Arc::clone(&assembly.pacing);
    let refresh = move || {
        metrics.set_pacing(&pacing);
        metrics.set_broker(ports.broker.connection());
        metrics.set_ledger(&ports.ledger.health());
        metrics.refresh_budget(ports.clock.now());
    };
    AdminSources {
        metrics: Arc::clone(&assembly.metrics),
        refresh: Arc::new(refresh),
        readiness: Arc::new(readiness),
        heartbeat: Arc::clone(heartbeat),
        clock: Arc::clone(&assembly.ports.clock),
        situation: standing(config, assembly),
        recent: Arc::clone(&assembly.recent),
        lookup: Lookup::new(
            Arc::clone(&assembly.ports.ledger),
            Arc::clone(&assembly.history),
            assembly.default_app.clone(),
        ),
        token: config.admin.token.clone(),
    }
}

/// How a running assembly stands, whenever it is asked.
fn standing(config: &Config, assembly: &Assembly) -> Standing {
    let (doubt, unresolved_after) = (config.ledger.doubt, config.retry.unresolved_after);
    let (worker, ports) = (Arc::clone(&assembly.worker), assembly.ports.clone());
    let (pacing, metrics) = (Arc::clone(&assembly.pacing), Arc::clone(&assembly.metrics));
    Arc::new(move || Situation {
        at: ports.clock.now(),
        broker: ports.broker.connection(),
        ledger: ports.ledger.health(),
        doubt,
        unresolved_after,
        draining: worker.is_draining(),
        apps: pacing
            .apps()
            .map(|app| app_situation(&pacing, app))
            .collect(),
        alarms: metrics.alarms(),
    })
}

fn app_situation(pacing: &Pacing, app: &AppName) -> AppSituation {
    AppSituation {
        name: app.clone(),
        open: pacing.blocked_reason(app),
        paused: paused_kinds(pacing, app),
        rate_failing: pacing.rate_failing(app),
        limit: pacing.limit(app),
        in_flight: pacing.in_flight(app),
        waiting: pacing.waiting(app),
        requests_per_second: pacing.requests_per_second(app),
    }
}

/// The words of the kinds that an operator has paused.
fn paused_kinds(pacing: &Pacing, app: &AppName) -> Vec<&'static str> {
    let is_paused = |kind: &Kind| pacing.is_paused(app, PacedCall::from(*kind));
    let kinds = SwitchKey::KINDS.iter().filter(|kind| is_paused(kind));
    kinds.map(|kind| kind.as_str()).collect()
}

/// A pause is wanted, so the replica is ready all the same.
fn calls_made(pacing: &Pacing, app: &AppName) -> String {
    let paused = paused_kinds(pacing, app);
    if paused.is_empty() {
        return "calls are made".to_owned();
    }
    format!(
        "calls are made; an operator has paused {}",
        paused.join(", ")
    )
}

fn connection(name: &str, connection: Connection) -> Condition {
    let (state, detail) = match connection {
        Connection::Up => (ConditionState::Met, "connected"),
        Connection::Down => (
            ConditionState::Unmet,
            "not connected, or it refuses to work; it is being tried again",
        ),
    };
    Condition {
        name: name.to_owned(),
        state,
        detail: detail.to_owned(),
    }
}
