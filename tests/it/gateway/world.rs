//! Two key pairs, a clock that stands still, and gateways made of them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use hongbaod::adapters::alipay::biz_content::ExpirySpelling;
use hongbaod::adapters::alipay::codes::ExtraCodes;
use hongbaod::adapters::alipay::keys::PrivateKey;
use hongbaod::adapters::alipay::sign::{SignType, Signer, Verifier};
use hongbaod::adapters::alipay::wire::Charset;
use hongbaod::adapters::alipay::wire::sign_envelope;
use hongbaod::adapters::alipay::{AlipayGateway, AlipayOptions, AppOptions, TrustOptions};
use hongbaod::domain::draft::{Field, JobDraft};
use hongbaod::domain::ident::{AppName, Caption, MerchantNo, PayTimeout};
use hongbaod::domain::job::{Cashier, Extras, Job, Labels, MoneyJob, MoneyRequest};
use hongbaod::domain::money::Fen;
use hongbaod::domain::time::{Monotonic, UnixMillis};
use hongbaod::ports::clock::Clock;
use hongbaod::ports::gateway::{CallObserver, CallReport};

/// 2026-11-22 10:00:01 in GMT+8.
pub(super) const NOW: UnixMillis = UnixMillis(1_795_312_801_234);

pub(super) static APP_KEY: LazyLock<PrivateKey> = LazyLock::new(|| PrivateKey::generate().unwrap());
pub(super) static ALIPAY_KEY: LazyLock<PrivateKey> =
    LazyLock::new(|| PrivateKey::generate().unwrap());

/// A wall clock that stands still and a monotonic one that goes 1 ms per look.
#[derive(Default)]
struct StillClock(AtomicU64);

#[async_trait]
impl Clock for StillClock {
    fn now(&self) -> UnixMillis {
        NOW
    }

    fn monotonic(&self) -> Monotonic {
        Monotonic(Duration::from_millis(
            self.0.fetch_add(1, Ordering::Relaxed),
        ))
    }

    async fn sleep(&self, _length: Duration) {}
}

/// Writes every report down.
#[derive(Default)]
pub(super) struct Reports(Mutex<Vec<String>>);

impl CallObserver for Reports {
    fn called(&self, report: &CallReport<'_>) {
        let CallReport {
            app,
            method,
            verdict,
            code,
            sub_code,
            duration,
        } = report;
        let line = format!("{app} {method} {verdict} {code} {sub_code} {duration:?}");
        self.0.lock().unwrap().push(line);
    }
}

impl Reports {
    pub(super) fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

/// The name of the app that is configured.
pub(super) fn app() -> AppName {
    AppName::new("main").unwrap()
}

/// Timeouts that a test should never reach, on however busy a machine.
pub(super) fn options(gateway_url: &str) -> AlipayOptions {
    AlipayOptions {
        gateway_url: gateway_url.to_owned(),
        connect_timeout: Duration::from_secs(20),
        timeout: Duration::from_secs(30),
        connections_max: 8,
        apps: vec![app_options()],
        extra_codes: ExtraCodes::default(),
        order_expired_time_spelling: ExpirySpelling::default(),
        signing_threads: 1,
        observer: None,
    }
}

pub(super) fn app_options() -> AppOptions {
    AppOptions {
        name: app(),
        app_id: "2021000000000001".to_owned(),
        sign_type: SignType::Rsa2,
        private_key: APP_KEY.clone(),
        charset: Charset::Utf8,
        trust: TrustOptions::Keys(vec![ALIPAY_KEY.public_key()]),
        content_key: None,
        app_auth_token: Some("201509BBeff9351ad1874306903e96b91d248A36".to_owned().into()),
        notify_url: Some("https://shop.test/alipay/notify/main?x=1&y=2".to_owned()),
    }
}

/// The app's own public key, which may not stand in for Alipay's.
pub(super) fn own_public_key() -> hongbaod::adapters::alipay::keys::PublicKey {
    APP_KEY.public_key()
}

pub(super) fn gateway_of(options: AlipayOptions) -> AlipayGateway {
    AlipayGateway::new(options, Arc::new(StillClock::default())).unwrap()
}

pub(super) fn gateway(url: &str) -> AlipayGateway {
    gateway_of(options(url))
}

/// A gateway whose timeouts a test does reach.
pub(super) fn hasty_gateway(url: &str) -> AlipayGateway {
    gateway_of(AlipayOptions {
        connect_timeout: Duration::from_millis(150),
        timeout: Duration::from_millis(300),
        ..options(url)
    })
}

pub(super) fn refused(options: AlipayOptions) -> String {
    match AlipayGateway::new(options, Arc::new(StillClock::default())) {
        Ok(_) => panic!("the options are accepted"),
        Err(error) => error.to_string(),
    }
}

/// Checks what the app has signed.
pub(super) fn app_verifier() -> Verifier {
    Verifier::new(APP_KEY.public_key(), SignType::Rsa2).unwrap()
}

/// An answer to `method` as Alipay signs it.
pub(super) fn signed(method: &str, node: &str) -> String {
    let signer = Signer::new(ALIPAY_KEY.clone(), SignType::Rsa2).unwrap();
    let name = format!("{}_response", method.replace('.', "_"));
    sign_envelope(&signer, &name, node).unwrap()
}

pub(super) fn job(fields: &[(Field, &str)]) -> MoneyJob {
    let values = fields
        .iter()
        .map(|&(field, value)| (field, value.to_owned()))
        .collect();
    let draft = JobDraft {
        values,
        ..JobDraft::default()
    };
    match draft.build(Some(&app())) {
        Ok(Job::Money(job)) => job,
        other => panic!("not a money job: {other:?}"),
    }
}

pub(super) fn disburse() -> MoneyJob {
    job(&[
        (Field::Kind, "disburse"),
        (Field::OutRequestNo, "R1"),
        (Field::OutOrderNo, "O1"),
        (Field::DeductOutOrderNo, "P1"),
        (Field::OrderTitle, "新年 快乐 & 100% + more"),
        (Field::Amount, "8.88"),
        (Field::PayeeLogonId, "someone@example.com"),
    ])
}

pub(super) fn refund() -> MoneyJob {
    job(&[
        (Field::Kind, "refund"),
        (Field::OutRequestNo, "R1"),
        (Field::AuthNo, "2026112210002001950287006752"),
        (Field::Amount, "8.88"),
        (Field::Remark, "没有领完"),
    ])
}

/// An order for a person to pay.
pub(super) fn order(cashier: Cashier) -> MoneyJob {
    MoneyJob {
        app: app(),
        out_request_no: MerchantNo::new("P1").unwrap(),
        request: MoneyRequest::Order {
            cashier,
            out_order_no: MerchantNo::new("P1").unwrap(),
            order_title: Caption::new("红包 & \"co\"").unwrap(),
            amount: Fen::new(6600).unwrap(),
            extras: Extras {
                pay_timeout: Some(PayTimeout::new("15m").unwrap()),
                ..Extras::default()
            },
        },
        labels: Labels::default(),
        not_after: None,
    }
}

pub(super) fn pay() -> MoneyJob {
    job(&[
        (Field::Kind, "pay"),
        (Field::OutRequestNo, "R1"),
        (Field::OutOrderNo, "O1"),
        (Field::OrderTitle, "红包"),
        (Field::Amount, "8.88"),
        (Field::PayerUserId, "2088102146225135"),
        (Field::OrderExpiredTime, "1m"),
    ])
}
