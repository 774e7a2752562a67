//! What is done with any delivery: read it, and hand it to its kind's driver.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt as _;
use tracing::{Instrument as _, debug, error, info, warn};

use crate::app::digest::digest;
use crate::app::job_body::{self, BadBody, Readable};
use crate::app::trace;
use crate::domain::causes::with_causes;
use crate::domain::draft::FieldError;
use crate::domain::ident::AppName;
use crate::domain::job::{Job, MoneyJob};
use crate::domain::outcome::{Announcement, Invalid};
use crate::domain::time::Monotonic;
use crate::lifecycle::Memory;
use crate::pacing::{Admission, Applicant};
use crate::ports::broker::{Delivery, Epitaph, JobCopy, PublishError, Settlement};

use super::Worker;
use super::case::Halt;

/// How long a delivery whose work came to nothing by itself waits before it is handed back.
pub(super) const HAND_BACK_PAUSE: Duration = Duration::from_secs(1);

/// How often a delivery in the line for a permit looks whether it is still ours.
const LINE_LOOK_PERIOD: Duration = Duration::from_secs(1);

impl Worker {
    /// Works a delivery to its end: acknowledged, or left to come again.
    pub(super) async fn deliver(&self, delivery: Delivery) {
        let received_at = self.ports.clock.monotonic();
        let _in_flight = self.metrics.in_flight(delivery.kind);
        // A panic must not leave a delivery unacknowledged for as long as the channel lives.
        let span = trace::of_delivery(&delivery);
        let work = AssertUnwindSafe(self.work(&delivery, received_at)).catch_unwind();
        let worked = work.instrument(span.clone()).await;
        // What is said about its end belongs to it as well.
        self.end(&delivery, worked).instrument(span).await;
    }

    /// What is done once the work on a delivery has ended, however it did.
    async fn end(&self, delivery: &Delivery, worked: std::thread::Result<Result<(), Halt>>) {
        match worked {
            Ok(Ok(())) => {}
            Ok(Err(Halt::HandBack)) => self.hand_back(delivery).await,
            Ok(Err(Halt::Unreadable(reason))) => {
                warn!(
                    message.id = delivery.return_address.message_id,
                    reason,
                    "this version cannot read what the ledger holds; the delivery waits for one that can"
                );
                if self.park_unread(delivery).await.is_err() {
                    self.hand_back(delivery).await;
                }
            }
            Err(_) => {
                error!(
                    message.id = delivery.return_address.message_id,
                    "work on a delivery panicked; it is handed back"
                );
                // The same message may panic again at once, and not every broker counts that.
                match self.wait_or_halt(delivery, HAND_BACK_PAUSE).await {
                    Ok(()) | Err(Halt::HandBack | Halt::Unreadable(_)) => {}
                }
                self.hand_back(delivery).await;
            }
        }
    }

    async fn work(&self, delivery: &Delivery, received_at: Monotonic) -> Result<(), Halt> {
        let job = self.read_job(delivery);
        if let Ok(job) = &job {
            self.count_received(job, delivery);
        }
        match job {
            Ok(Job::Money(job)) => {
                let errors = self.ports.gateway.unwritable(&job);
                if errors.is_empty() {
                    return self.work_money(delivery, job, received_at).await;
                }
                match self.unwritable(delivery, &job, errors).await? {
                    Some(bad) => self.refuse(delivery, bad).await,
                    None => self.work_money(delivery, job, received_at).await,
                }
            }
            Ok(Job::Query(job)) => self.work_query(delivery, job, received_at).await,
            Err(bad) => self.refuse(delivery, bad).await,
        }
    }

    fn count_received(&self, job: &Job, delivery: &Delivery) {
        self.metrics.received(job.app(), job.kind());
        if let Some(published_at) = delivery.published_at {
            let age = self.ports.clock.now().since(published_at);
            self.metrics.aged(job.kind(), age);
        }
    }

    fn read_job(&self, delivery: &Delivery) -> Result<Job, BadBody> {
        let job = job_body::decode(&delivery.body, self.options.default_app.as_ref())?;
        let apps = self.ports.gateway.apps();
        if apps.contains(job.app()) {
            return Ok(job);
        }
        let names: Vec<&str> = apps.iter().map(|app| app.as_str()).collect();
        let fault = format!("is not configured here; configured: {}", names.join(", "));
        let readable = match &job {
            Job::Money(job) => Some(Readable {
                app: job.app.clone(),
                kind: job.kind(),
                out_request_no: job.out_request_no.clone(),
            }),
            Job::Query(_) => None,
        };
        Err(BadBody {
            errors: vec![FieldError::new("app", fault)],
            readable,
        })
    }

    /// A job that its app's charset cannot spell is invalid, unless it may have been sent already,
    /// under another charset: `None` if the ledger knows it, and then queries tell the rest. One
    /// that the ledger may have forgotten is buried without a word of what became of it.
    async fn unwritable(
        &self,
        delivery: &Delivery,
        job: &MoneyJob,
        errors: Vec<FieldError>,
    ) -> Result<Option<BadBody>, Halt> {
        if self.read(delivery, &job.key()).await?.is_some() {
            return Ok(None);
        }
        let is_new = !delivery.redelivered && delivery.ticket.is_none();
        let is_sure = is_new && self.context().memory == Memory::Sound;
        let readable = is_sure.then(|| Readable {
            app: job.app.clone(),
            kind: job.kind(),
            out_request_no: job.out_request_no.clone(),
        });
        Ok(Some(BadBody { errors, readable }))
    }

    /// Tells the producer where possible, buries the message with its reason, acknowledges.
    async fn refuse(&self, delivery: &Delivery, bad: BadBody) -> Result<(), Halt> {
        let summary = bad.summary();
        info!(job.kind = %delivery.kind, message.id = delivery.return_address.message_id, reason = %summary, "a job is refused as invalid");
        if let Some(Readable {
            app,
            kind,
            out_request_no,
        }) = bad.readable
        {
            let announcement = Announcement::Invalid(Box::new(Invalid {
                app,
                kind,
                out_request_no,
                body_digest: digest(&delivery.body),
                errors: bad.errors,
                at: self.ports.clock.now(),
            }));
            self.announce(delivery, &announcement).await?;
        }
        self.bury(delivery, "invalid", summary).await
    }

    /// Puts the delivery into the dead letters, then acknowledges it.
    async fn bury(
        &self,
        delivery: &Delivery,
        reason: &'static str,
        detail: String,
    ) -> Result<(), Halt> {
        let epitaph = Epitaph {
            reason,
            detail,
            at: self.ports.clock.now(),
        };
        let copy = copy_of(delivery);
        let broker = &self.ports.broker;
        self.until_published(delivery, || broker.bury(&copy, &epitaph))
            .await?;
        self.metrics.buried(reason);
        self.acknowledge(delivery).await;
        Ok(())
    }

    /// Publishes until it is confirmed.
    ///
    /// An error means "maybe published": publishing again repeats a message that is safe to repeat.
    /// It is given up only when the delivery comes again anyway.
    pub(super) async fn until_published<F, P>(
        &self,
        delivery: &Delivery,
        publish: F,
    ) -> Result<(), Halt>
    where
        F: Fn() -> P,
        P: Future<Output = Result<(), PublishError>>,
    {
        let mut pause = Duration::from_millis(100);
        loop {
            let Err(error) = publish().await else {
                return Ok(());
            };
            match error {
                // The broker's supervisors tell of a lost connection once; each delivery need not.
                PublishError::Unavailable(_) => {
                    debug!(error = %with_causes(&error), "not confirmed")
                }
                PublishError::Refused | PublishError::Unroutable { .. } => {
                    warn!(error = %with_causes(&error), "publishing is refused; it is tried again");
                }
            }
            self.wait_or_halt(delivery, pause).await?;
            pause = (pause * 2).min(Duration::from_secs(5));
        }
    }

    /// Waits, unless the delivery is lost to us or the worker drains.
    pub(super) async fn wait_or_halt(
        &self,
        delivery: &Delivery,
        length: Duration,
    ) -> Result<(), Halt> {
        if !self.ports.broker.holds(&delivery.tag) {
            return Err(Halt::HandBack);
        }
        tokio::select! {
            biased;
            () = self.draining.cancelled() => Err(Halt::HandBack),
            () = self.ports.clock.sleep(length) => Ok(()),
        }
    }

    /// Waits for a permit, unless the delivery is lost to us or the worker drains: deliveries of
    /// channels long gone must not pile up in the line.
    pub(super) async fn admission(
        &self,
        delivery: &Delivery,
        app: &AppName,
        who: Applicant,
    ) -> Result<Admission, Halt> {
        let mut permit = std::pin::pin!(self.pacing.permit(app, who));
        loop {
            tokio::select! {
                biased;
                admission = &mut permit => return Ok(admission),
                waited = self.wait_or_halt(delivery, LINE_LOOK_PERIOD) => waited?,
            }
        }
    }

    /// The last step of every delivery.
    pub(super) async fn acknowledge(&self, delivery: &Delivery) {
        match self.ports.broker.ack(&delivery.tag).await {
            Settlement::Sent => {}
            // The broker gives it to somebody again, who finds the job settled or deferred.
            Settlement::Lost => debug!(
                message.id = delivery.return_address.message_id,
                "the acknowledgement was not sent"
            ),
        }
    }

    async fn hand_back(&self, delivery: &Delivery) {
        match self.ports.broker.hand_back(&delivery.tag).await {
            Settlement::Sent | Settlement::Lost => {}
        }
    }
}

/// The delivery's message as a copy, ticket and all.
pub(super) fn copy_of(delivery: &Delivery) -> JobCopy {
    JobCopy {
        kind: delivery.kind,
        tier: delivery.tier,
        body: delivery.body.clone(),
        ticket: delivery.ticket,
        return_address: delivery.return_address.clone(),
        published_at: delivery.published_at,
        attempts: delivery.attempts,
    }
}
