//! One HTTP exchange with the gateway, and whether anything of it was sent.
//!
//! An error of an HTTP client does not say whether the server may have acted. Only two things
//! are certain: a body that was never asked for was never sent, and everything else may have
//! been. So the body itself keeps the record, and nothing on the way can copy or replay it.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use reqwest::{Client, Response, StatusCode, redirect, retry};

use crate::adapters::alipay::request::SignedRequest;
use crate::domain::causes::with_causes;

/// The longest answer that is read, in bytes; Alipay's have about a thousand.
pub const ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// Idle connections are closed after this time, before the gateway closes them: a request that
/// meets the closing is lost in a way that nobody can tell from one that was executed.
const IDLE_MAX: Duration = Duration::from_secs(25);

/// Why an exchange brought no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Nothing of the body was sent, and nothing of it ever will be.
    NotSent,
    /// No whole answer in time; the request may have been executed.
    TimedOut,
    /// The connection broke; the request may have been executed.
    Broken,
    /// An HTTP status other than 200.
    HttpStatus(u16),
    /// More than [`ANSWER_BYTES_MAX`].
    TooLong,
}

/// How to reach the gateway.
#[derive(Clone, Copy, Debug)]
pub struct TransportOptions {
    /// How long a connection may take to come about; shorter than `timeout`.
    pub connect_timeout: Duration,
    /// How long an exchange may take, from the first attempt to connect to the answer's end.
    pub timeout: Duration,
    /// How many idle connections are kept: as many as there are calls at one time.
    pub connections_max: usize,
    /// Whether the gateway is spoken to under TLS.
    pub scheme: Scheme,
}

/// What the gateway's address begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// TLS, with the certificates that the system trusts.
    Https,
    /// In the clear: a sandbox.
    Http,
}

/// A pool of connections to the gateway.
pub struct Transport {
    client: Client,
    /// Why the last exchange of which nothing was sent could not begin.
    not_begun: Mutex<Option<String>>,
}

impl Transport {
    /// Makes the pool; it connects at the first exchange.
    ///
    /// # Errors
    ///
    /// When TLS cannot be set up, for lack of trusted certificates for example.
    pub fn new(options: &TransportOptions) -> reqwest::Result<Self> {
        let builder = Client::builder()
            .user_agent(concat!("hongbaod/", env!("CARGO_PKG_VERSION")))
            .http1_only()
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            .referer(false)
            .no_proxy()
            .tcp_nodelay(true)
            .connect_timeout(options.connect_timeout)
            .timeout(options.timeout)
            .pool_max_idle_per_host(options.connections_max)
            .pool_idle_timeout(IDLE_MAX);
        let builder = match options.scheme {
            Scheme::Https => builder.https_only(true),
            // A machine without trusted certificates can still talk to a sandbox.
            Scheme::Http => builder.tls_certs_only([]),
        };
        Ok(Self {
            client: builder.build()?,
            not_begun: Mutex::default(),
        })
    }

    /// Sends `request` once and reads the whole answer.
    ///
    /// # Errors
    ///
    /// A [`Failure`]; all but `NotSent` leave open what the gateway did.
    pub async fn post(&self, request: SignedRequest) -> Result<Bytes, Failure> {
        let claim = Claim::default();
        let body = OnceBody {
            bytes: Some(Bytes::from(request.body)),
            claim: claim.clone(),
        };
        let sent = self
            .client
            .post(&request.url)
            .header(
                CONTENT_TYPE,
                HeaderValue::from_static(request.charset.form_content_type()),
            )
            .body(reqwest::Body::wrap(body))
            .send()
            .await;
        match sent {
            Ok(response) => read(response).await,
            Err(error) if claim.take() == Claimed::First => {
                *self.lock() = Some(with_causes(&error.without_url()));
                Err(Failure::NotSent)
            }
            Err(error) => Err(after_sending(&error)),
        }
    }

    /// Why the last exchange that ended with [`Failure::NotSent`] could not begin, for people;
    /// `None` if none has.
    #[must_use]
    pub fn not_begun(&self) -> Option<String> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Option<String>> {
        self.not_begun
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

async fn read(mut response: Response) -> Result<Bytes, Failure> {
    if response.status() != StatusCode::OK {
        return Err(Failure::HttpStatus(response.status().as_u16()));
    }
    let mut next = async || match response.chunk().await {
        Ok(chunk) => Ok(chunk),
        Err(error) => Err(after_sending(&error)),
    };
    let Some(first) = next().await? else {
        return Ok(Bytes::new());
    };
    if first.len() > ANSWER_BYTES_MAX {
        return Err(Failure::TooLong);
    }
    // Nearly every answer is one chunk, which then is not copied.
    let Some(second) = next().await? else {
        return Ok(first);
    };
    let mut whole = BytesMut::from(first);
    let mut more = Some(second);
    while let Some(chunk) = more {
        if whole.len().saturating_add(chunk.len()) > ANSWER_BYTES_MAX {
            return Err(Failure::TooLong);
        }
        whole.extend_from_slice(&chunk);
        more = next().await?;
    }
    Ok(whole.freeze())
}

fn after_sending(error: &reqwest::Error) -> Failure {
    if error.is_timeout() {
        Failure::TimedOut
    } else {
        Failure::Broken
    }
}

/// Says who came first: the connection that takes the body, or the caller who gives up on it.
///
/// A flag that is only read would leave a gap: a connection's task could take the body just
/// after the caller has looked.
#[derive(Clone, Default)]
struct Claim(Arc<AtomicBool>);

#[derive(PartialEq, Eq)]
enum Claimed {
    First,
    TooLate,
}

impl Claim {
    fn take(&self) -> Claimed {
        if self.0.swap(true, Ordering::AcqRel) {
            Claimed::TooLate
        } else {
            Claimed::First
        }
    }
}

/// A body that is handed out once, and never after its caller has given up.
struct OnceBody {
    bytes: Option<Bytes>,
    claim: Claim,
}

/// The caller has given up on a request before its body was asked for.
#[derive(Debug, thiserror::Error)]
#[error("the request was given up before it was sent")]
struct GivenUp;

impl Body for OnceBody {
    type Data = Bytes;
    type Error = GivenUp;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, GivenUp>>> {
        let Some(bytes) = self.bytes.take() else {
            return Poll::Ready(None);
        };
        Poll::Ready(Some(match self.claim.take() {
            Claimed::First => Ok(Frame::data(bytes)),
            Claimed::TooLate => Err(GivenUp),
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        let length = self.bytes.as_ref().map_or(0, Bytes::len);
        SizeHint::with_exact(u64::try_from(length).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::{Claim, Claimed, OnceBody};
    use bytes::Bytes;
    use http_body::Body;
    use std::pin::Pin;
    use std::task::{Context, Poll, Waker};

    fn body(claim: &Claim) -> OnceBody {
        OnceBody {
            bytes: Some(Bytes::from_static(b"biz_content=%7B%7D")),
            claim: claim.clone(),
        }
    }

    #[test]
    fn a_body_that_was_asked_for_counts_as_sent() {
        let claim = Claim::default();
        let mut body = body(&claim);
        let mut context = Context::from_waker(Waker::noop());
        assert_eq!(body.size_hint().exact(), Some(18));
        let frame = Pin::new(&mut body).poll_frame(&mut context);
        assert!(matches!(frame, Poll::Ready(Some(Ok(_)))));
        assert!(claim.take() == Claimed::TooLate);
        assert!(body.is_end_stream());
        let end = Pin::new(&mut body).poll_frame(&mut context);
        assert!(matches!(end, Poll::Ready(None)));
    }

    #[test]
    fn a_body_that_was_given_up_is_never_handed_out() {
        let claim = Claim::default();
        let mut body = body(&claim);
        let mut context = Context::from_waker(Waker::noop());
        assert!(claim.take() == Claimed::First);
        let frame = Pin::new(&mut body).poll_frame(&mut context);
        assert!(matches!(frame, Poll::Ready(Some(Err(_)))));
    }
}
