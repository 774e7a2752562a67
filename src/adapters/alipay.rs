//! Alipay's open-platform gateway: its keys, its signatures, its codes, and the calls to it.
//!
//! [`AlipayGateway`] is the port's implementation. A call is signed ([`request`]), exchanged
//! ([`transport`]) and judged ([`answer`]), once; who calls again, and when, is not decided here.

pub mod answer;
pub mod biz_content;
pub mod certificates;
pub mod codes;
pub mod content_key;
pub mod keys;
pub mod message;
pub mod method;
pub mod options;
pub mod request;
pub mod sign;
pub mod transport;
pub mod wire;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use crate::adapters::alipay::answer::{CodeLabels, Judge, NO_CODES};
use crate::adapters::alipay::biz_content::ExpirySpelling;
use crate::adapters::alipay::codes::Codes;
use crate::adapters::alipay::method::Method;
use crate::adapters::alipay::options::App;
use crate::adapters::alipay::transport::{Failure, Transport};
use crate::domain::ident::AppName;
use crate::domain::job::{MoneyJob, QueryTarget};
use crate::domain::time::Monotonic;
use crate::domain::verdict::{Doubt, Finding, NotExecuted, Verdict};
use crate::ports::clock::Clock;
use crate::ports::gateway::{BizContent, CallObserver, CallReport, Expected, Gateway, Prepared};

pub use crate::adapters::alipay::options::{AlipayError, AlipayOptions, AppOptions};

/// The port [`Gateway`] over HTTP.
pub struct AlipayGateway {
    apps: BTreeMap<AppName, App>,
    transport: Transport,
    codes: Codes,
    spelling: ExpirySpelling,
    clock: Arc<dyn Clock>,
    observer: Option<Arc<dyn CallObserver>>,
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
            let app = App::new(app_options, &options.gateway_url)?;
            if apps.insert(name.clone(), app).is_some() {
                return Err(AlipayError::AppTwice { app: name });
            }
        }
        if apps.is_empty() {
            return Err(AlipayError::NoApp);
        }
        Ok(Self {
            apps,
            transport,
            codes,
            spelling: options.order_expired_time_spelling,
            clock,
            observer: options.observer,
        })
    }

    async fn call(&self, app: &App, method: Method, content: &str) -> Result<Bytes, Failure> {
        let signed = app
            .template(method)
            .sign(&app.signer, content, self.clock.now());
        match signed {
            Ok(request) => self.transport.post(request).await,
            // What cannot be signed was not sent either.
            Err(_) => Err(Failure::NotSent),
        }
    }

    fn judge<'a>(&'a self, app: &'a App, method: Method) -> Judge<'a> {
        Judge {
            method,
            verifier: &app.verifier,
            codes: &self.codes,
        }
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

    async fn send(&self, app: &AppName, prepared: &Prepared) -> Verdict {
        // Without the app's keys, or for a method that is not ours, nothing can be sent.
        let (Some(lane), Some(method)) = (self.apps.get(app), Method::parse(prepared.method))
        else {
            return Verdict::NotExecuted(NotExecuted::NotSent);
        };
        let started = self.started(app, method);
        let (verdict, labels) = match self.call(lane, method, &prepared.biz_content.0).await {
            Ok(body) => self.judge(lane, method).verdict(&body, &prepared.expected),
            Err(failure) => {
                let verdict = match doubt(failure) {
                    Some(doubt) => Verdict::Unknown(doubt),
                    None => Verdict::NotExecuted(NotExecuted::NotSent),
                };
                (verdict, NO_CODES)
            }
        };
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
        let (finding, labels) = match self.call(lane, method, &content).await {
            Ok(body) => self.judge(lane, method).finding(&body, target),
            Err(failure) => {
                let finding = match doubt(failure) {
                    Some(doubt) => Finding::Unknown(doubt),
                    None => Finding::NotExecuted(NotExecuted::NotSent),
                };
                (finding, NO_CODES)
            }
        };
        self.report(&started, finding.as_str(), labels);
        finding
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
