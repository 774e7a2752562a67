//! Certificate mode: an answer that names a certificate we have not is verified by that very
//! certificate, once Alipay has handed it out and it leads to a root.
//!
//! Source: Alipay open platform, `alipay.open.app.alipaycert.download`: `alipay_cert_sn` in,
//! `alipay_cert_content` out, a PEM text in base64. Whose certificate it is follows from its
//! chain; the signature of the answer that brings it can often be checked by that key alone.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use tracing::{info, warn};

use crate::adapters::alipay::credentials::{Credentials, DOWNLOAD_METHOD};
use crate::adapters::alipay::sign::Verifier;
use crate::adapters::alipay::trust::{CertificateTrust, DistrustError};
use crate::adapters::alipay::wire::{
    Charset, Envelope, NodeKind, decode_node, node_name, verify_node,
};
use crate::adapters::alipay::{AlipayGateway, Started};
use crate::domain::causes::with_causes;
use crate::domain::ident::AppName;
use crate::domain::time::Monotonic;

/// Why a download brought no certificate that counts.
#[derive(Debug, thiserror::Error)]
enum DownloadError {
    /// No answer.
    #[error("alipay gave no answer")]
    NoAnswer,
    /// An answer without a certificate.
    #[error("alipay's answer holds no certificate")]
    NoCertificate,
    /// An answer that somebody else signed.
    #[error("the signature of alipay's answer is not the downloaded certificate's")]
    Signature,
    /// A certificate that is not trusted.
    #[error("the certificate is not trusted")]
    Distrusted(#[source] DistrustError),
}

/// What the answer holds that matters.
#[derive(Deserialize)]
struct Node {
    alipay_cert_content: Option<String>,
}

impl AlipayGateway {
    /// The key that the answer's certificate number stands for; `None` while nobody knows it,
    /// and then nothing that is signed verifies.
    pub(super) async fn verifier(
        &self,
        app: &Credentials,
        trust: &CertificateTrust,
        started: &Started<'_>,
        body: &[u8],
    ) -> Option<Arc<Verifier>> {
        let envelope = Envelope::parse_in(body, started.method.node_name(), app.charset).ok()?;
        let serial_number = envelope.alipay_cert_sn.as_deref();
        if let Some(known) = trust.verifier(serial_number) {
            return Some(known);
        }
        let serial_number = serial_number.filter(|number| is_serial_number(number))?;
        // The job's lease was taken for one call: the download has what is left of its time.
        let spent = self.clock.monotonic().since(started.at);
        let left = self.timeout.checked_sub(spent)?;
        let downloaded = self.downloaded(app, trust, started.app, serial_number);
        tokio::time::timeout(left, downloaded).await.ok().flatten()
    }

    /// Downloads, unless somebody has meanwhile, or has just failed to.
    async fn downloaded(
        &self,
        app: &Credentials,
        trust: &CertificateTrust,
        name: &AppName,
        serial_number: &str,
    ) -> Option<Arc<Verifier>> {
        let mut not_before = trust.downloading.lock().await;
        if let Some(known) = trust.verifier(Some(serial_number)) {
            return Some(known);
        }
        let is_too_soon = |at: Monotonic| self.clock.monotonic() < at;
        if not_before.is_some_and(is_too_soon) {
            return None;
        }
        // Also in place if this call is given up halfway.
        *not_before = Some(CertificateTrust::pause_after(self.clock.monotonic()));
        match self.download(app, trust, serial_number).await {
            Ok(verifier) => {
                *not_before = None;
                info!(app = %name, alipay_cert_sn = serial_number, "alipay signs with a new certificate, which was downloaded and leads to a root");
                Some(verifier)
            }
            Err(error) => {
                let error = with_causes(&error);
                warn!(app = %name, alipay_cert_sn = serial_number, error, "alipay signs with a certificate that is not known: its answers count as unknown");
                None
            }
        }
    }

    async fn download(
        &self,
        app: &Credentials,
        trust: &CertificateTrust,
        serial_number: &str,
    ) -> Result<Arc<Verifier>, DownloadError> {
        let (template, seal) = app.download();
        let content = format!(r#"{{"alipay_cert_sn":"{serial_number}"}}"#);
        let now = self.clock.now();
        let request = template
            .sign(seal, &content, now)
            .map_err(|_unsigned| DownloadError::NoAnswer)?;
        let body = self
            .transport
            .post(request)
            .await
            .map_err(|_failure| DownloadError::NoAnswer)?;
        let envelope = Envelope::parse_in(&body, &node_name(DOWNLOAD_METHOD), app.charset)
            .map_err(|_unreadable| DownloadError::NoCertificate)?;
        let text = certificate_text(&envelope).ok_or(DownloadError::NoCertificate)?;
        let unix_seconds = i64::try_from(now.0 / 1000).unwrap_or(i64::MAX);
        let signed_by_itself = |verifier: &Verifier| {
            envelope.sign.is_none()
                || envelope.alipay_cert_sn.as_deref() != Some(serial_number)
                || verify_node(verifier, &envelope).is_ok()
        };
        let verifier = trust
            .trusted(&text, serial_number, unix_seconds)
            .map_err(DownloadError::Distrusted)?;
        if !signed_by_itself(verifier.verifier()) {
            return Err(DownloadError::Signature);
        }
        Ok(trust.keep(verifier))
    }
}

/// The PEM text inside an answer.
fn certificate_text(envelope: &Envelope<'_>) -> Option<String> {
    if envelope.node_kind != NodeKind::Object || envelope.is_error_node {
        return None;
    }
    let node: Node = serde_json::from_str(&decode_node(envelope)).ok()?;
    let base64: String = node.alipay_cert_content?.split_whitespace().collect();
    let bytes = STANDARD.decode(base64).ok()?;
    Charset::Utf8.decode(&bytes).map(|text| text.into_owned())
}

/// Alipay's number of a certificate: 32 hexadecimal digits. Nothing else is asked for by it.
fn is_serial_number(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}
