//! A worker and its listener inside this process, on real servers.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use hongbaod::adapters::alipay::keys::PrivateKey;
use hongbaod::app::assembly::{self, Assembly, rabbitmq_options};
use hongbaod::app::config::Config;
use hongbaod::app::notify_server::{self, NotifyServer, NotifySources};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::alipay::Alipay;
use crate::daemon::broker::{Subscriber, demolish};
use crate::proxy::Proxy;
use crate::servers::{amqp_url, redis_url, unique_prefix};

const APP_ID: &str = "2021000000000001";
const OTHER_APP_ID: &str = "2021000000000002";

/// Everything of one test.
pub(crate) struct Place {
    pub(crate) url: String,
    pub(crate) prefix: String,
    /// Notifies the app `main`.
    pub(crate) alipay: Alipay,
    /// Alipay's own key.
    pub(crate) key: PrivateKey,
    /// Notifies the app `other`, with the same key.
    pub(crate) of_other_app: Alipay,
    /// Has a key of its own.
    pub(crate) forger: Alipay,
    pub(crate) subscriber: Subscriber,
    pub(crate) redis: Proxy,
    pub(crate) amqp: Proxy,
    pub(crate) assembly: Assembly,
    pub(crate) http: reqwest::Client,
    config: Config,
    server: NotifyServer,
    stop: CancellationToken,
    running: JoinHandle<()>,
}

fn config(prefix: &str, (amqp, redis): (&str, &str), alipay: &PrivateKey) -> Config {
    let app = PrivateKey::generate().unwrap();
    let keys = format!(
        "private_key = \"\"\"{}\"\"\"\nalipay_public_key = \"\"\"{}\"\"\"\n",
        app.to_pkcs8_pem().as_str(),
        alipay.public_key().to_spki_pem()
    );
    let text = format!(
        "[rabbitmq]\nurls = [\"{amqp}\"]\nprefix = \"{prefix}\"\n[redis]\nurls = [\"{redis}\"]\n\
         [alipay]\ndefault_app = \"main\"\ngateway = \"http://127.0.0.1:9/gateway.do\"\n\
         [alipay.apps.main]\napp_id = \"{APP_ID}\"\n{keys}\
         [alipay.apps.other]\napp_id = \"{OTHER_APP_ID}\"\n{keys}",
    );
    let mut config = Config::parse(&text, Path::new("test.toml"), std::iter::empty())
        .unwrap_or_else(|problems| panic!("{problems}"));
    // Redis knows nothing of this prefix yet, which may as well be a loss.
    config.ledger.doubt = Duration::ZERO;
    config
}

impl Place {
    pub(crate) async fn start(topic: &str, change: impl FnOnce(&mut Config)) -> Self {
        let prefix = unique_prefix(topic);
        let key = PrivateKey::generate().unwrap();
        let redis = Proxy::before(&redis_url());
        let amqp = Proxy::before(&amqp_url());
        let urls = (amqp.url(&amqp_url()), redis.url(&redis_url()));
        let mut config = config(&prefix, (&urls.0, &urls.1), &key);
        change(&mut config);
        let parts = assembly::prepare(&config).unwrap();
        let assembly = assembly::connect(&config, parts).await.unwrap();
        let subscriber = Subscriber::start(&amqp_url(), &prefix).await;
        let stop = CancellationToken::new();
        let sources = NotifySources {
            notifications: assembly.notifications.clone(),
            worker: assembly.worker.clone(),
            metrics: assembly.metrics.clone(),
            clock: assembly.ports.clock.clone(),
        };
        let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
        let server = notify_server::serve(any_port, &config.notify, sources, stop.clone());
        let server = server.await.unwrap();
        let (worker, stopping) = (assembly.worker.clone(), stop.clone());
        let running = tokio::spawn(async move {
            worker.run(stopping, Duration::from_secs(5)).await;
        });
        Self {
            url: format!("http://{}/alipay/notify", server.address),
            prefix,
            alipay: Alipay::new(key.clone(), APP_ID),
            of_other_app: Alipay::new(key.clone(), OTHER_APP_ID),
            key,
            forger: Alipay::new(PrivateKey::generate().unwrap(), APP_ID),
            subscriber,
            redis,
            amqp,
            assembly,
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
            config,
            server,
            stop,
            running,
        }
    }

    /// Posts a body to `app`, and returns the status and the whole answer.
    pub(crate) async fn post(&self, app: &str, body: impl Into<reqwest::Body>) -> (u16, String) {
        let request = self.http.post(format!("{}/{app}", self.url));
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        let answer = request.body(body).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    /// How many notifications of `app` had this result.
    pub(crate) fn counted(&self, app: &str, result: &str) -> u64 {
        let name = format!("hongbaod_notifications_total{{app=\"{app}\",result=\"{result}\"}} ");
        let text = self.assembly.metrics.encode();
        let count = text.lines().find_map(|line| line.strip_prefix(&name));
        count.unwrap_or_else(|| panic!("{name}")).parse().unwrap()
    }

    /// Stops in good order and leaves nothing in the broker.
    pub(crate) async fn close(self) {
        self.stop.cancel();
        self.server.stopped().await;
        self.running.await.unwrap();
        let mut options = rabbitmq_options(&self.config).unwrap();
        options.urls = vec![amqp_url().into()];
        demolish(&amqp_url(), &options).await;
    }
}
