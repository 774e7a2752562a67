//! Certificate mode: are the three files what they should be, do they belong together, and for how
//! long still.

use std::error::Error;
use std::time::Duration;

use crate::adapters::alipay::certificates::{Certificate, CertificateChain, RootBundle};
use crate::adapters::alipay::keys::is_own_public_key;
use crate::adapters::alipay::sign::Verifier;
use crate::app::alipay_setup::sign_type;
use crate::app::check::keys::AppKeys;
use crate::app::check::{Row, State};
use crate::app::config::AlipayCertificates;
use crate::app::wall_clock::date;
use crate::domain::causes::with_causes;
use crate::domain::time::UnixMillis;

/// From how long before its end a certificate is spoken of.
pub const WARNED_BEFORE: Duration = Duration::from_secs(30 * 86_400);

/// Returns a row per certificate.
pub(super) fn check(keys: &AppKeys<'_>, given: &AlipayCertificates, now: UnixMillis) -> Vec<Row> {
    let roots = RootBundle::parse(&given.alipay_root_cert);
    vec![
        app(keys, given, now),
        alipay(keys, given, roots.as_ref().ok(), now),
        root(keys, &roots, now),
    ]
}

fn app(keys: &AppKeys<'_>, given: &AlipayCertificates, now: UnixMillis) -> Row {
    let what = ("app certificate", "app_cert");
    let remedy =
        "give appCertPublicKey_<app id>.crt of the open platform, made for this private key";
    let certificate = match Certificate::parse(&given.app_cert) {
        Ok(certificate) => certificate,
        Err(error) => return mistake(keys, what, sentence(&error), remedy),
    };
    let key = match certificate.public_key() {
        Ok(key) => key,
        Err(error) => return mistake(keys, what, sentence(&error), remedy),
    };
    if keys
        .private
        .is_some_and(|own| !is_own_public_key(own, &key))
    {
        let fault = "is the certificate of another key than private_key".to_owned();
        return mistake(keys, what, fault, remedy);
    }
    dated(keys, what, (&certificate, String::new()), now)
}

fn alipay(
    keys: &AppKeys<'_>,
    given: &AlipayCertificates,
    roots: Option<&RootBundle>,
    now: UnixMillis,
) -> Row {
    let what = ("Alipay's certificate", "alipay_cert");
    let remedy = "give alipayCertPublicKey_RSA2.crt of the open platform";
    let chain = match CertificateChain::parse(&given.alipay_cert) {
        Ok(chain) => chain,
        Err(error) => return mistake(keys, what, sentence(&error), remedy),
    };
    let key = match chain.leaf().public_key() {
        Ok(key) => key,
        Err(error) => return mistake(keys, what, sentence(&error), remedy),
    };
    if keys.private.is_some_and(|own| is_own_public_key(own, &key)) {
        let fault = "is the application's own certificate, so no answer would ever verify";
        return mistake(keys, what, fault.to_owned(), remedy);
    }
    if let Err(error) = Verifier::new(key, sign_type(keys.app)) {
        return mistake(keys, what, sentence(&error), remedy);
    }
    // Given by hand, it counts without a chain; a file without the authority has none.
    let seconds = i64::try_from(now.0 / 1000).unwrap_or(i64::MAX);
    let chained = roots.is_some_and(|roots| roots.verify(&chain, seconds).is_ok());
    let note = if chained {
        ", leads to a root"
    } else {
        ", leads to no root of alipay_root_cert"
    };
    dated(keys, what, (chain.leaf(), note.to_owned()), now)
}

fn root<E: Error>(keys: &AppKeys<'_>, roots: &Result<RootBundle, E>, now: UnixMillis) -> Row {
    let what = ("Alipay's root certificates", "alipay_root_cert");
    match roots {
        Ok(bundle) => {
            let detail = format!(
                ", {} with RSA, {} of other algorithms, {} unreadable",
                bundle.roots().len(),
                bundle.other_algorithms(),
                bundle.broken()
            );
            let last = bundle.roots().iter().max_by_key(|root| root.not_after());
            match last {
                Some(last) => dated(keys, what, (last, detail), now),
                None => mistake(keys, what, "holds no root".to_owned(), ""),
            }
        }
        Err(error) => {
            let remedy = "give alipayRootCert.crt of the open platform";
            mistake(keys, what, sentence(error), remedy)
        }
    }
}

fn mistake(keys: &AppKeys<'_>, (what, field): (&str, &str), fault: String, remedy: &str) -> Row {
    let key = format!("alipay.apps.{}.{field}", keys.name);
    let problem = keys.config.problem(&key, fault, remedy.to_owned());
    let subject = format!("app {}: {what}", keys.name);
    Row::new("keys", subject, State::Mistake, problem.to_string())
}

/// A row about a certificate that is the right one; whether it still is valid.
fn dated(
    keys: &AppKeys<'_>,
    what: (&str, &str),
    (certificate, note): (&Certificate, String),
    now: UnixMillis,
) -> Row {
    let seconds = i64::try_from(now.0 / 1000).unwrap_or(i64::MAX);
    let soon = i64::try_from(now.plus(WARNED_BEFORE).0 / 1000).unwrap_or(i64::MAX);
    let [begin, end] = [certificate.not_before(), certificate.not_after()].map(date);
    let remedy = "exchange it for the new one of the open platform";
    if certificate.not_after() < seconds {
        return mistake(keys, what, format!("has expired on {end}"), remedy);
    }
    if certificate.not_before() > seconds {
        let remedy = "see whether this machine's clock is right";
        return mistake(keys, what, format!("is not valid before {begin}"), remedy);
    }
    let subject = format!("app {}: {}", keys.name, what.0);
    if certificate.not_after() < soon {
        let detail = format!("expires soon, on {end}: {remedy}{note}");
        return Row::new("keys", subject, State::Note, detail);
    }
    Row::new(
        "keys",
        subject,
        State::Ok,
        format!("valid until {end}{note}"),
    )
}

fn sentence(error: &dyn Error) -> String {
    format!("cannot be used: {}", with_causes(error))
}
