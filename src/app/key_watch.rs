//! Keys, certificates and tokens that change while the daemon runs: their files are read again
//! every few seconds, and at once on SIGHUP.
//!
//! The content is compared, not the time of change: Kubernetes swaps a whole directory by one
//! symbolic link, and tools that copy may keep times. A set of files that does not work together
//! leaves the old keys in use, so it does not matter in which order several files are written.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use tokio::signal::unix::Signal;
use tracing::{error, info, warn};

use crate::adapters::alipay::AlipayGateway;
use crate::app::alipay_setup::app_options;
use crate::app::check::certificates::WARNED_BEFORE;
use crate::app::config::{AlipayAppConfig, Config, KeyFile, read_again};
use crate::app::metrics::Metrics;
use crate::app::wall_clock::date;
use crate::domain::causes::with_causes;
use crate::domain::time::UnixMillis;
use crate::ports::clock::Clock;

/// How often the files are read.
const PERIOD: Duration = Duration::from_secs(5);

/// How often a certificate that ends soon is spoken of.
const WARNING_PERIOD: Duration = Duration::from_secs(86_400);

/// Watches the key files of every app.
pub struct KeyWatch {
    config: Config,
    gateway: Arc<AlipayGateway>,
    metrics: Arc<Metrics>,
    clock: Arc<dyn Clock>,
    /// What each app's files held when they were last looked at, right or wrong.
    seen: BTreeMap<String, Vec<Content>>,
    warned_at: Option<UnixMillis>,
}

/// What a file held, or why it cannot be read.
type Content = Result<SecretString, String>;

impl KeyWatch {
    /// Makes a watch over the files that `config` was read from.
    #[must_use]
    pub fn new(
        config: Config,
        gateway: Arc<AlipayGateway>,
        metrics: Arc<Metrics>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let in_use = |(name, app): (&String, &AlipayAppConfig)| {
            let contents = app
                .files
                .iter()
                .map(|file| Ok(SecretString::from(app.value(file.field))));
            (name.clone(), contents.collect())
        };
        Self {
            seen: config.alipay.apps.iter().map(in_use).collect(),
            config,
            gateway,
            metrics,
            clock,
            warned_at: None,
        }
    }

    /// Watches for ever.
    pub async fn run(mut self, mut hang_up: Signal) {
        loop {
            self.note_expiries();
            tokio::select! {
                biased;
                signal = hang_up.recv() => {
                    info!("SIGHUP: keys, certificates and tokens are read again; the rest of the configuration is not");
                    if signal.is_none() {
                        return;
                    }
                }
                () = self.clock.sleep(PERIOD) => {}
            }
            self.look().await;
        }
    }

    /// Reads every file, and exchanges the keys of those apps whose files changed.
    pub async fn look(&mut self) {
        let names: Vec<String> = self.seen.keys().cloned().collect();
        for name in names {
            let Some(app) = self.config.alipay.apps.get(&name) else {
                continue;
            };
            let files = app.files.clone();
            // A network file system may be slow, and nothing else should wait for it.
            let read = tokio::task::spawn_blocking(move || {
                files.iter().map(|file| read_again(&file.path)).collect()
            });
            let Ok(contents): Result<Vec<Content>, _> = read.await else {
                continue;
            };
            if self
                .seen
                .get(&name)
                .is_some_and(|seen| same(seen, &contents))
            {
                continue;
            }
            match self.exchange(&name, &contents) {
                Ok(changed) => {
                    self.metrics.keys_reloaded();
                    info!(app = name, files = changed, "changed key files are in use");
                }
                Err(faults) => {
                    self.metrics.keys_refused();
                    for fault in faults {
                        error!(
                            app = name,
                            fault,
                            "changed key files cannot be used; the keys from before stay in use"
                        );
                    }
                }
            }
            self.seen.insert(name, contents);
        }
    }

    /// Puts new contents into use; returns the names of the values that were read.
    fn exchange(&self, name: &str, contents: &[Content]) -> Result<String, Vec<String>> {
        let config = self.config.alipay.apps.get(name).ok_or_else(Vec::new)?;
        let mut app = config.clone();
        let mut faults = Vec::new();
        let mut fields = Vec::new();
        for (file, content) in config.files.iter().zip(contents) {
            match content {
                Ok(text) => {
                    app.set_value(file.field, text);
                    fields.push(file.field.as_str());
                }
                Err(fault) => faults.push(at_file(file, fault)),
            }
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        let mut problems = Vec::new();
        let options = app_options(&self.config, name, &app, &mut problems);
        let Some(options) = options else {
            return Err(problems.iter().map(ToString::to_string).collect());
        };
        self.gateway
            .exchange(options)
            .map_err(|error| vec![with_causes(&error)])?;
        Ok(fields.join(", "))
    }

    /// Sets the metric, and says once a day which certificates end soon or have ended.
    fn note_expiries(&mut self) {
        let now = self.clock.now();
        let is_due = self
            .warned_at
            .is_none_or(|warned_at| now.since(warned_at) >= WARNING_PERIOD);
        let seconds = |at: UnixMillis| i64::try_from(at.0 / 1000).unwrap_or(i64::MAX);
        for expiry in self.gateway.certificate_expiries() {
            let (app, which, end) = (&expiry.app, expiry.which, expiry.not_after);
            self.metrics.set_certificate_expiry(app, which, end);
            if !is_due {
                continue;
            }
            let day = date(end);
            if end < seconds(now) {
                error!(%app, which, day, "a certificate has expired: exchange it");
            } else if end < seconds(now.plus(WARNED_BEFORE)) {
                warn!(%app, which, day, "a certificate expires soon: exchange it");
            }
        }
        if is_due {
            self.warned_at = Some(now);
        }
    }
}

/// Says which file has the fault: its path is no secret once it was read as one.
fn at_file(file: &KeyFile, fault: &str) -> String {
    let (field, path) = (file.field.as_str(), file.path.display());
    format!("{field}_file {path}: {fault}")
}

fn same(one: &[Content], other: &[Content]) -> bool {
    let text = |content: &Content| {
        let text = content.as_ref().map(|text| text.expose_secret().to_owned());
        text.map_err(Clone::clone)
    };
    one.len() == other.len() && one.iter().zip(other).all(|(a, b)| text(a) == text(b))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::sync::Arc;

    use tempfile::TempDir;

    use super::KeyWatch;
    use crate::adapters::alipay::AlipayGateway;
    use crate::adapters::alipay::keys::PrivateKey;
    use crate::adapters::alipay::sign::{SignType, Signer};
    use crate::adapters::clock::SystemClock;
    use crate::app::alipay_setup;
    use crate::app::config::Config;
    use crate::app::metrics::Metrics;
    use crate::domain::ident::AppName;

    const CONFIG: &str = "[alipay.apps.main]\napp_id = \"2021000000000000\"\n\
        private_key_file = \"keys/app\"\nalipay_public_key_file = \"keys/alipay\"\n";

    /// A directory of keys behind a symbolic link, as Kubernetes lays secrets out.
    struct Secrets(TempDir);

    impl Secrets {
        /// Writes a new directory and swaps the link to it.
        fn put(&self, name: &str, app: &str, alipay: &str) {
            let directory = self.0.path().join(name);
            fs::create_dir(&directory).unwrap();
            fs::write(directory.join("app"), app).unwrap();
            fs::write(directory.join("alipay"), alipay).unwrap();
            let (fresh, link) = (self.0.path().join("fresh"), self.0.path().join("keys"));
            std::os::unix::fs::symlink(Path::new(name), &fresh).unwrap();
            fs::rename(fresh, link).unwrap();
        }
    }

    fn knows(gateway: &AlipayGateway, key: &PrivateKey) -> bool {
        let signed = Signer::new(key.clone(), SignType::Rsa2)
            .unwrap()
            .sign(b"m")
            .unwrap();
        let app = AppName::new("main").unwrap();
        let verifiers = gateway.verifiers(&app, None);
        verifiers
            .iter()
            .any(|key| key.verify(b"m", &signed).is_ok())
    }

    fn counts(metrics: &Metrics) -> (bool, bool) {
        let text = metrics.encode();
        let has = |result: &str, count: u32| {
            text.contains(&format!(
                "key_reloads_total{{result=\"{result}\"}} {count}\n"
            ))
        };
        (has("reloaded", 1), has("refused", 2))
    }

    #[tokio::test]
    async fn changed_files_are_used_and_broken_ones_leave_the_old_keys() {
        let [own, old, new] = [(); 3].map(|()| PrivateKey::generate().unwrap());
        let own_pem = own.to_pkcs8_pem();
        let public = |key: &PrivateKey| key.public_key().to_spki_pem();
        let secrets = Secrets(tempfile::tempdir().unwrap());
        secrets.put("1", &own_pem, &public(&old));
        let file = secrets.0.path().join("hongbaod.toml");
        let config = Config::parse(CONFIG, &file, std::iter::empty()).unwrap();
        let options = alipay_setup::options(&config).unwrap();
        let clock = Arc::new(SystemClock::new());
        let gateway = Arc::new(AlipayGateway::new(options, clock.clone()).unwrap());
        let metrics = Arc::new(Metrics::new(&[AppName::new("main").unwrap()]));
        let mut watch = KeyWatch::new(config, Arc::clone(&gateway), Arc::clone(&metrics), clock);
        watch.look().await;
        assert!(knows(&gateway, &old) && !knows(&gateway, &new));

        // The app's own public key, then no key at all: each is told once, and nothing changes.
        secrets.put("2", &own_pem, &public(&own));
        watch.look().await;
        watch.look().await;
        secrets.put("3", &own_pem, "");
        watch.look().await;
        assert!(knows(&gateway, &old));
        assert_eq!(counts(&metrics), (false, true));

        secrets.put("4", &own_pem, &format!("{}{}", public(&old), public(&new)));
        watch.look().await;
        watch.look().await;
        assert!(knows(&gateway, &old) && knows(&gateway, &new));
        assert_eq!(counts(&metrics), (true, true));
    }
}
