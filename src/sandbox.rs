//! The simulated Alipay: the other side of the wire.
//!
//! It speaks the gateway's real HTTP protocol, keeps a double-entry bank inside, and goes wrong
//! in every way that is asked of it. It knows nothing of the worker: only Alipay's keys,
//! signatures and wire format are shared with it.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::adapters::alipay::keys::KeyError;
use crate::domain::ident::MerchantNo;
use crate::domain::money::Fen;
use crate::sandbox::bank::{Bank, OpenError, Opening, OperationView, PacketView};
use crate::sandbox::faults::{FaultDice, Faults, FaultsError};
use crate::sandbox::keys::SandboxKeys;
use crate::sandbox::notices::{Poster, send_all};
use crate::sandbox::state::{SandboxClock, State};

pub mod bank;
pub mod faults;
pub mod keys;

mod cashier;
mod certificates;
mod console;
mod gateway;
mod html;
mod identity;
mod notices;
mod same_origin;
mod server;
mod signed_form;
mod state;

pub use crate::sandbox::certificates::MakeCertificateError;
pub use crate::sandbox::notices::{NotifyClientError, NotifyTargets};
pub use crate::sandbox::state::{Books, WallClock};

/// The app id that the sandbox's config section and its examples use.
pub const APP_ID: &str = "2021000000000000";

/// What the merchant owns at the start, in fen: a billion yuan, for `agreement.pay`.
const MERCHANT_FEN: u64 = 100_000_000_000;

/// How long `stop` waits for connections to end, before it lets go of them.
const STOP_GRACE: Duration = Duration::from_secs(2);

/// What a sandbox is started with.
pub struct SandboxOptions {
    /// Where to listen; port 0 picks a free one.
    pub listen: SocketAddr,
    /// The two key pairs.
    pub keys: SandboxKeys,
    /// The only app id that is known; [`APP_ID`] as a rule.
    pub app_id: String,
    /// Packets that are paid from the start.
    pub packets: Vec<(MerchantNo, Fen)>,
    /// The fault knobs.
    pub faults: Faults,
    /// What the faults are drawn from.
    pub seed: u64,
    /// Held back before each answer, on top of the knob `delay_ms`.
    pub delay: Duration,
    /// The wall clock.
    pub clock: WallClock,
    /// How many seconds pass inside in one second of the wall clock; 1 as a rule.
    pub time_scale: NonZeroU32,
    /// Where notifications may go to.
    pub notify_targets: NotifyTargets,
}

/// Why a sandbox did not start.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The address cannot be listened on.
    #[error("listen on {listen}")]
    Listen {
        /// The address.
        listen: SocketAddr,
        /// What the operating system says.
        #[source]
        source: io::Error,
    },
    /// A key is not good for signing.
    #[error("load the sandbox's keys")]
    Keys(#[source] KeyError),
    /// There is no client for notifications.
    #[error("set up the sending of notifications")]
    Notify(#[source] NotifyClientError),
    /// The fault knobs contradict each other.
    #[error("set the fault knobs")]
    Faults(#[source] FaultsError),
    /// Two packets have one number.
    #[error("open packet {out_order_no}")]
    Packet {
        /// The number.
        out_order_no: MerchantNo,
        /// Why not.
        #[source]
        source: OpenError,
    },
}

/// The simulated Alipay.
#[derive(Debug)]
pub struct Sandbox;

impl Sandbox {
    /// Starts a sandbox on the current Tokio runtime. It listens when this returns.
    ///
    /// # Errors
    ///
    /// Returns [`SandboxError`] when the address is taken or an option makes no sense.
    pub async fn start(options: SandboxOptions) -> Result<RunningSandbox, SandboxError> {
        options.faults.check().map_err(SandboxError::Faults)?;
        let mut bank = Bank::new(MERCHANT_FEN);
        let clock = SandboxClock::new(options.clock, options.time_scale);
        let now = clock.now();
        for (out_order_no, amount) in options.packets {
            bank.open_packet(out_order_no.as_str(), amount, Opening::Paid, now)
                .map_err(|source| SandboxError::Packet {
                    out_order_no,
                    source,
                })?;
        }
        let dice = FaultDice::new(options.seed, options.faults);
        let poster = Poster::new(options.notify_targets).map_err(SandboxError::Notify)?;
        let mut state = State::new(options.app_id, &options.keys, clock, (bank, dice), poster)
            .map_err(SandboxError::Keys)?;
        state.delay = options.delay;
        let state = Arc::new(state);

        let listen = options.listen;
        let listen_error = |source| SandboxError::Listen { listen, source };
        let listener = TcpListener::bind(listen).await.map_err(listen_error)?;
        let address = listener.local_addr().map_err(listen_error)?;
        let stop = CancellationToken::new();
        tokio::spawn(send_all(Arc::clone(&state), stop.clone()));
        let server = server::serve(listener, Arc::clone(&state), stop.clone());
        Ok(RunningSandbox {
            address,
            state,
            stop,
            server: tokio::spawn(server),
        })
    }
}

/// A sandbox that serves. Dropping it stops it without waiting.
pub struct RunningSandbox {
    address: SocketAddr,
    state: Arc<State>,
    stop: CancellationToken,
    server: JoinHandle<io::Result<()>>,
}

impl RunningSandbox {
    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The gateway's URL, as `alipay.gateway` wants it.
    #[must_use]
    pub fn gateway_url(&self) -> String {
        gateway_url(self.address)
    }

    /// The books at this instant.
    #[must_use]
    pub fn books(&self) -> Books {
        self.state.books()
    }

    /// Every operation, oldest first.
    #[must_use]
    pub fn operations(&self) -> Vec<OperationView> {
        self.state
            .with_bank(|bank, now| bank.operations(usize::MAX, now))
    }

    /// Every packet, oldest first.
    #[must_use]
    pub fn packets(&self) -> Vec<PacketView> {
        self.state.with_bank(|bank, now| bank.packets(now))
    }

    /// Opens a packet, as the console does.
    ///
    /// # Errors
    ///
    /// Returns [`OpenError`] when the number is taken by something else.
    pub fn open_packet(
        &self,
        out_order_no: &MerchantNo,
        amount: Fen,
        opening: Opening,
    ) -> Result<(), OpenError> {
        let number = out_order_no.as_str();
        self.state
            .with_bank(|bank, now| bank.open_packet(number, amount, opening, now))
    }

    /// Sets the fault knobs, as the console does.
    ///
    /// # Errors
    ///
    /// Returns [`FaultsError`] when they contradict each other; then nothing changes.
    pub fn set_faults(&self, faults: Faults) -> Result<(), FaultsError> {
        faults.check()?;
        self.state.dice().set(faults);
        Ok(())
    }

    /// Stops serving: calls that are held back are reset, idle connections closed. Connections
    /// that do not end within two seconds are left to the runtime.
    pub async fn stop(mut self) {
        self.stop.cancel();
        let ended = tokio::time::timeout(STOP_GRACE, &mut self.server).await;
        if ended.is_err() {
            self.server.abort();
        }
    }
}

impl Drop for RunningSandbox {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl fmt::Debug for RunningSandbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RunningSandbox({})", self.address)
    }
}

fn gateway_url(address: SocketAddr) -> String {
    format!("http://{address}/gateway.do")
}

/// How the clients of a sandbox know Alipay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyMode {
    /// By its public key.
    PublicKey,
    /// By certificates.
    Certificates,
}

/// Whether the clients of a sandbox encrypt their contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentMode {
    /// They do not.
    Plain,
    /// They do, with the sandbox's AES key.
    Encrypted,
}

/// The TOML section of a configuration whose Alipay is a sandbox at `listen` with the keys in
/// `keys_dir`, ready to paste.
#[must_use]
pub fn config_section(
    listen: SocketAddr,
    keys_dir: &std::path::Path,
    (key_mode, content_mode): (KeyMode, ContentMode),
) -> String {
    let gateway = gateway_url(listen);
    let file = |key: &str, name: &str| {
        let path = keys_dir.join(name).display().to_string();
        format!("{key}_file = {}\n", toml::Value::String(path))
    };
    let mut files = file("private_key", "app_private_key.pem");
    match key_mode {
        KeyMode::PublicKey => {
            files.push_str(&file("alipay_public_key", "alipay_public_key.pem"));
        }
        KeyMode::Certificates => {
            files.push_str(&file("app_cert", keys::APP_CERTIFICATE));
            files.push_str(&file("alipay_cert", keys::ALIPAY_CERTIFICATE));
            files.push_str(&file("alipay_root_cert", keys::ROOT_CERTIFICATE));
        }
    }
    if content_mode == ContentMode::Encrypted {
        files.push_str(&file("aes_key", "aes_key"));
    }
    format!(
        "[alipay]\n\
        gateway = \"{gateway}\"\n\
        default_app = \"main\"\n\
        \n\
        [alipay.apps.main]\n\
        app_id = \"{APP_ID}\"\n\
        {files}"
    )
}
