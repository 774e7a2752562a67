//! What the parts of a job cost, in one thread and without servers: `cargo bench`.
//!
//! The whole of a job, with servers, is measured by `hongbaod bench`.

#![expect(
    clippy::unwrap_used,
    reason = "a benchmark whose input is wrong measures nothing"
)]

use std::hint::black_box;
use std::time::Duration;

use divan::Bencher;
use hongbaod::adapters::alipay::biz_content::{ExpirySpelling, digest, of_job};
use hongbaod::adapters::alipay::keys::PrivateKey;
use hongbaod::adapters::alipay::sign::{SignType, Signer, Verifier};
use hongbaod::app::digest::fingerprint;
use hongbaod::app::{bench, job_body, outcome_event};
use hongbaod::domain::entry::{Lease, LeaseToken, ReturnAddress};
use hongbaod::domain::ident::AppName;
use hongbaod::domain::job::{Job, MoneyJob};
use hongbaod::domain::outcome::{Announcement, Outcome, Resolution};
use hongbaod::domain::time::UnixMillis;
use hongbaod::lifecycle::retry::RetryPolicy;
use hongbaod::lifecycle::{Arrival, Context, Delivered, Event, Lane, Memory, Policy, step};

fn main() {
    divan::main();
}

fn app() -> AppName {
    AppName::new("main").unwrap()
}

fn job() -> MoneyJob {
    let body = bench::jobs::body(1);
    match job_body::decode(body.as_bytes(), Some(&app())) {
        Ok(Job::Money(job)) => job,
        other => unreachable!("{other:?}"),
    }
}

#[divan::bench]
fn sign(bencher: Bencher<'_, '_>) {
    let signer = Signer::new(PrivateKey::generate().unwrap(), SignType::Rsa2).unwrap();
    let text = [b'x'; 800];
    bencher.bench(|| signer.sign(black_box(&text)));
}

#[divan::bench]
fn verify(bencher: Bencher<'_, '_>) {
    let key = PrivateKey::generate().unwrap();
    let verifier = Verifier::new(key.public_key(), SignType::Rsa2).unwrap();
    let text = [b'x'; 400];
    let signature = Signer::new(key, SignType::Rsa2).unwrap().sign(&text);
    let signature = signature.unwrap();
    bencher.bench(|| verifier.verify(black_box(&text), &signature));
}

/// A job's body to a job.
#[divan::bench]
fn parse(bencher: Bencher<'_, '_>) {
    let (body, app) = (bench::jobs::body(1), app());
    bencher.bench(|| job_body::decode(black_box(body.as_bytes()), Some(&app)));
}

/// A job to the content of its request.
#[divan::bench]
fn content(bencher: Bencher<'_, '_>) {
    let job = job();
    bencher.bench(|| of_job(black_box(&job), ExpirySpelling::MerchantExt));
}

/// An outcome to its event.
#[divan::bench]
fn encode(bencher: Bencher<'_, '_>) {
    let job = job();
    let announcement = Announcement::Settled {
        key: job.key(),
        outcome: Outcome {
            kind: job.kind(),
            amount: job.amount(),
            out_order_no: job.out_order_no().cloned(),
            auth_no: None,
            labels: job.labels.clone(),
            attempts: 1,
            settled_at: UnixMillis(1_795_000_000_000),
            fingerprint: fingerprint(&job),
            resolution: Resolution::Succeeded {
                operation_id: None,
                gmt_trans: Some("2026-11-22 10:00:01".to_owned()),
            },
        },
    };
    bencher.bench(|| outcome_event::encode(black_box(&announcement), None));
}

/// A first delivery to its claim.
#[divan::bench]
fn step_of_a_first_delivery(bencher: Bencher<'_, '_>) {
    let job = job();
    let (_, content) = of_job(&job, ExpirySpelling::MerchantExt);
    let retry = RetryPolicy::new(
        Duration::from_millis(500),
        Duration::from_secs(1_020),
        2_000,
    );
    let policy = Policy {
        retry: retry.unwrap(),
        absence_confirmations: 2,
        absence_window: Duration::from_secs(30),
        unresolved_after: Duration::from_secs(600),
        rescue_after: Duration::from_secs(600),
    };
    let context = Context {
        now: UnixMillis(1_795_000_000_000),
        jitter_permille: 500,
        memory: Memory::Sound,
        policy: &policy,
    };
    let delivered = Delivered {
        job: &job,
        fingerprint: fingerprint(&job),
        return_address: &ReturnAddress::default(),
        ticket: None,
        arrival: Arrival::First,
        lane: Lane::Open,
        lease: Lease {
            token: LeaseToken(7),
            expires_at: UnixMillis(1_795_000_020_000),
        },
        digest: digest(&content),
    };
    bencher.bench(|| step(None, Event::Delivered(black_box(&delivered)), &context));
}
