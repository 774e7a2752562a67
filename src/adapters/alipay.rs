//! Alipay's open-platform gateway: its keys, its signatures, its codes, and the calls to it.
//!
//! [`AlipayGateway`] is the port's implementation. A call is signed ([`request`]), exchanged
//! ([`transport`]) and judged ([`answer`]), once; who calls again, and when, is not decided here.

pub mod answer;
pub mod biz_content;
pub mod certificates;
pub mod codes;
pub mod content_key;
mod credentials;
mod download;
mod helpers;
pub mod keys;
pub mod message;
pub mod method;
pub mod notification;
pub mod options;
pub mod order;
pub mod request;
pub mod sign;
pub mod transport;
mod trust;
mod unlisted;
pub mod wire;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tracing::warn;

use crate::adapters::alipay::answer::{CodeLabels, Judge, NO_CODES};
use crate::adapters::alipay::biz_content::ExpirySpelling;
use crate::adapters::alipay::codes::Codes;
use crate::adapters::alipay::credentials::{App, Credentials};
use crate::adapters::alipay::helpers::Helpers;
use crate::adapters::alipay::method::Method;
use crate::adapters::alipay::notification::Addressee;
use crate::adapters::alipay::request::SignedRequest;
use crate::adapters::alipay::sign::Verifier;
use crate::adapters::alipay::transport::{Failure, Transport};
use crate::adapters::alipay::trust::Trust;
use crate::adapters::alipay::unlisted::LoggedCodes;
use crate::domain::draft::FieldError;
use crate::domain::ident::{AppName, ReturnUrl};
use crate::domain::job::{Cashier, MoneyJob, MoneyRequest, QueryTarget};
use crate::domain::notice::Notice;
use crate::domain::outcome::SignedOrder;
use crate::domain::time::Monotonic;
use crate::domain::verdict::{Doubt, Finding, NotExecuted, Verdict};
use crate::ports::clock::Clock;
use crate::ports::gateway::{BizContent, CallObserver, CallReport, Expected, Gateway, Prepared};
use crate::ports::notifications::{NotificationError, Notifications};

pub use crate::adapters::alipay::options::{
    AlipayError, AlipayOptions, AppOptions, CertificateOptions, TrustOptions,
};

/// The port [`Gateway`] over HTTP.
pub struct AlipayGateway {
    apps: BTreeMap<AppName, App>,
    gateway_url: String,
    timeout: Duration,
    transport: Transport,
    codes: Codes,
    logged_codes: LoggedCodes,
    spelling: ExpirySpelling,
    clock: Arc<dyn Clock>,
    observer: Option<Arc<dyn CallObserver>>,
    helpers: Helpers,
}

impl AlipayGateway {
    /// Loads the keys and makes the connection pool; connects to nothing yet.
    ///
    /// # Errors
    ///
    /// [`AlipayError`] with the first thing that cannot work.
    pub fn new(options: AlipayOptions, clock: Arc<dyn Clock>) -> Result<Self, AlipayError> {
        let transport = options.transport()?;
        let codes = Codes::new(&options.extra_codes).map_err(AlipayError::ExtraCodes)?;
        let mut apps = BTreeMap::new();
        for app_options in options.apps {
            let name = app_options.name.clone();
            let app = Credentials::new(app_options, &options.gateway_url)?;
            if apps.insert(name.clone(), App::new(app)).is_some() {
                return Err(AlipayError::AppTwice { app: name });
            }
        }
        if apps.is_empty() {
            return Err(AlipayError::NoApp);
        }
        Ok(Self {
            apps,
            gateway_url: options.gateway_url,
            timeout: options.timeout,
            transport,
            codes,
            logged_codes: LoggedCodes::default(),
            spelling: options.order_expired_time_spelling,
            clock,
            observer: options.observer,
            helpers: Helpers::new(options.signing_threads),
        })
    }

    /// Why the last call that was certainly not sent was not, for people: the name, the network, the
    /// gateway's certificate. `None` if all were.
    #[must_use]
    pub fn not_sent(&self) -> Option<String> {
        self.transport.not_begun()
    }

    /// Exchanges keys, certificates and token of one app; calls that are under way end with
    /// those that they began with.
    ///
    /// # Errors
    ///
    /// [`AlipayError`], and nothing is exchanged.
    pub fn exchange(&self, options: AppOptions) -> Result<(), AlipayError> {
        let name = options.name.clone();
        let app = self.apps.get(&name);
        let app = app.ok_or(AlipayError::UnknownApp { app: name })?;
        app.exchange(Credentials::new(options, &self.gateway_url)?);
        Ok(())
    }

    /// Returns the keys by which a message of Alipay to `app` is verified now: any of them may
    /// have signed it. In certificate mode that of the certificate with the given number, or of
    /// the configured one without a number; none while it is not known, or for an unknown app.
    #[must_use]
    pub fn verifiers(&self, app: &AppName, alipay_cert_sn: Option<&str>) -> Vec<Arc<Verifier>> {
        let Some(app) = self.apps.get(app) else {
            return Vec::new();
        };
        match &app.credentials().trust {
            Trust::Keys(verifiers) => verifiers.clone(),
            Trust::Certificates(certificates) => {
                certificates.verifier(alipay_cert_sn).into_iter().collect()
            }
        }
    }

    /// Returns when the certificates of each app end.
    #[must_use]
    pub fn certificate_expiries(&self) -> Vec<CertificateExpiry> {
        let of = |(name, app): (&AppName, &App)| {
            let expiries = app.credentials().expiries();
            let name = name.clone();
            expiries
                .into_iter()
                .map(move |(which, not_after)| CertificateExpiry {
                    app: name.clone(),
                    which,
                    not_after,
                })
        };
        self.apps.iter().flat_map(of).collect()
    }

    /// Signs the order that `job` makes, or `None` if it makes none.
    fn signed_order<'a>(
        &self,
        job: &'a MoneyJob,
        content: &str,
    ) -> Option<(&'a Cashier, SignedRequest)> {
        let MoneyRequest::Order { cashier, .. } = &job.request else {
            return None;
        };
        let (method, return_url) = match cashier {
            Cashier::App => (Method::AppPay, None),
            Cashier::Page { return_url } => (Method::PagePay, return_url.as_ref()),
        };
        let app = self.apps.get(&job.app)?.credentials();
        let request = app
            .template_of_order(method, return_url.map(ReturnUrl::as_str))
            .sign(app.seal(), content, self.clock.now())
            .ok()?;
        Some((cashier, request))
    }

    /// Returns a page that submits the order which `job` makes to the cashier by itself, or `None`
    /// if `job` is no order to be paid on a page, or its app is not configured.
    #[must_use]
    pub fn order_form(&self, job: &MoneyJob) -> Option<String> {
        let (_, content) = biz_content::of_job(job, self.spelling);
        match self.signed_order(job, &content)? {
            (Cashier::Page { .. }, request) => order::page_form(&request).ok(),
            (Cashier::App, _) => None,
        }
    }

    async fn call(
        &self,
        app: &Arc<Credentials>,
        method: Method,
        content: &str,
    ) -> Result<Bytes, Failure> {
        let (signing, clock) = (Arc::clone(app), Arc::clone(&self.clock));
        let content = content.to_owned();
        let sign = move || {
            let template = signing.template(method);
            template.sign(signing.seal(), &content, clock.now())
        };
        match self.helpers.run(sign).await {
            Some(Ok(request)) => self.transport.post(request).await,
            // What cannot be signed was not sent either.
            Some(Err(_)) | None => Err(Failure::NotSent),
        }
    }

    /// Judges an answer by the keys that may have signed it.
    async fn judged<T>(
        &self,
        app: &Credentials,
        started: &Started<'_>,
        body: &[u8],
        judge: impl FnOnce(&Judge<'_>) -> T,
    ) -> T {
        let by = |verifiers: &[Arc<Verifier>]| {
            judge(&Judge {
                method: started.method,
                verifiers,
                charset: app.charset,
                content_key: app.content_key(),
                codes: &self.codes,
            })
        };
        match &app.trust {
            Trust::Keys(verifiers) => by(verifiers),
            Trust::Certificates(certificates) => {
                let verifier = self.verifier(app, certificates, started, body).await;
                by(verifier.as_slice())
            }
        }
    }

    /// Logs a code that no list has, once; what a flood of made-up codes brings is counted only.
    fn note_unlisted(&self, started: &Started<'_>, doubt: &Doubt, labels: CodeLabels) {
        let Doubt::Answered { code, sub_code } = doubt else {
            return;
        };
        let (code_label, sub_label) = labels;
        if code_label != codes::OTHER && sub_label != codes::OTHER {
            return;
        }
        let sub_code = sub_code.as_deref().unwrap_or("none");
        if !self.logged_codes.is_first(code, sub_code) {
            return;
        }
        let (app, method) = (started.app, started.method.as_str());
        warn!(%app, gateway.method = method, gateway.code = code, gateway.sub_code = sub_code, "alipay answered with a code that is not listed: it counts as unknown, and a query will tell");
    }

    fn started<'a>(&self, app: &'a AppName, method: Method) -> Started<'a> {
        Started {
            app,
            method,
            at: self.clock.monotonic(),
        }
    }

    fn report(&self, call: &Started<'_>, verdict: &'static str, labels: CodeLabels) {
        if let Some(observer) = &self.observer {
            let (code, sub_code) = labels;
            observer.called(&CallReport {
                app: call.app,
                method: call.method.as_str(),
                verdict,
                code,
                sub_code,
                duration: self.clock.monotonic().since(call.at),
            });
        }
    }
}

/// When a certificate ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateExpiry {
    /// Whose.
    pub app: AppName,
    /// `app`, `alipay`, `alipay_root` (the root that ends last) or `alipay_downloaded` (the
    /// newest that was downloaded).
    pub which: &'static str,
    /// The last second of its validity, in Unix seconds.
    pub not_after: i64,
}

/// A call that is under way.
struct Started<'a> {
    app: &'a AppName,
    method: Method,
    at: Monotonic,
}

#[async_trait]
impl Gateway for AlipayGateway {
    fn apps(&self) -> Vec<AppName> {
        self.apps.keys().cloned().collect()
    }

    fn unwritable(&self, job: &MoneyJob) -> Vec<FieldError> {
        let app = self.apps.get(&job.app);
        app.map(|app| biz_content::unwritable(job, app.credentials().charset))
            .unwrap_or_default()
    }

    fn prepare(&self, job: &MoneyJob) -> Option<Prepared> {
        if !self.apps.contains_key(&job.app) {
            return None;
        }
        let (method, content) = biz_content::of_job(job, self.spelling);
        Some(Prepared {
            method: method.as_str(),
            digest: biz_content::digest(&content),
            biz_content: BizContent(content),
            expected: Expected {
                out_request_no: job.out_request_no.clone(),
                amount: job.amount(),
            },
        })
    }

    fn sign_order(&self, job: &MoneyJob, prepared: &Prepared) -> Option<SignedOrder> {
        let (cashier, request) = self.signed_order(job, &prepared.biz_content.0)?;
        Some(SignedOrder(match cashier {
            Cashier::App => order::order_string(&request),
            Cashier::Page { .. } => order::page_url(&request),
        }))
    }

    async fn send(&self, app: &AppName, prepared: &Prepared) -> Verdict {
        let method = Method::parse(prepared.method).filter(|method| !method.is_for_a_person());
        // Without the app's keys, or for a method that is not ours to call, nothing can be sent.
        let (Some(lane), Some(method)) = (self.apps.get(app), method) else {
            return Verdict::NotExecuted(NotExecuted::NotSent);
        };
        let started = self.started(app, method);
        let lane = lane.credentials();
        let (verdict, labels) = match self.call(&lane, method, &prepared.biz_content.0).await {
            Ok(body) => {
                let judge = |judge: &Judge<'_>| judge.verdict(&body, &prepared.expected);
                self.judged(&lane, &started, &body, judge).await
            }
            Err(failure) => {
                let verdict = match doubt(failure) {
                    Some(doubt) => Verdict::Unknown(doubt),
                    None => Verdict::NotExecuted(NotExecuted::NotSent),
                };
                (verdict, NO_CODES)
            }
        };
        if let Verdict::Unknown(doubt) = &verdict {
            self.note_unlisted(&started, doubt, labels);
        }
        self.report(&started, verdict.as_str(), labels);
        verdict
    }

    async fn query(&self, app: &AppName, target: &QueryTarget) -> Finding {
        let Some(lane) = self.apps.get(app) else {
            return Finding::NotExecuted(NotExecuted::NotSent);
        };
        let method = Method::Query;
        let started = self.started(app, method);
        let content = biz_content::of_query(target);
        let lane = lane.credentials();
        let (finding, labels) = match self.call(&lane, method, &content).await {
            Ok(body) => {
                let judge = |judge: &Judge<'_>| judge.finding(&body, target);
                self.judged(&lane, &started, &body, judge).await
            }
            Err(failure) => {
                let finding = match doubt(failure) {
                    Some(doubt) => Finding::Unknown(doubt),
                    None => Finding::NotExecuted(NotExecuted::NotSent),
                };
                (finding, NO_CODES)
            }
        };
        if let Finding::Unknown(doubt) = &finding {
            self.note_unlisted(&started, doubt, labels);
        }
        self.report(&started, finding.as_str(), labels);
        finding
    }
}

impl Notifications for AlipayGateway {
    fn knows(&self, app: &AppName) -> bool {
        self.apps.contains_key(app)
    }

    fn read(&self, app: &AppName, body: &[u8]) -> Result<Notice, NotificationError> {
        let ours = self.apps.get(app).ok_or(NotificationError::UnknownApp)?;
        let ours = ours.credentials();
        let app_id = ours.app_id();
        let keys = |serial_number: Option<&str>| self.verifiers(app, serial_number);
        notification::read(body, Addressee { app, app_id }, keys)
    }
}

/// The doubt that a failed exchange leaves; `None` if it leaves none, for nothing was sent.
fn doubt(failure: Failure) -> Option<Doubt> {
    match failure {
        Failure::NotSent => None,
        Failure::TimedOut => Some(Doubt::TimedOut),
        Failure::Broken => Some(Doubt::Broken),
        Failure::HttpStatus(status) => Some(Doubt::HttpStatus(status)),
        Failure::TooLong => Some(Doubt::Unreadable),
    }
}
