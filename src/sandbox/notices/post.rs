//! One delivery over HTTP. The only place where the sandbox is a client.

use std::net::IpAddr;
use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, StatusCode, Url, redirect, retry};

use crate::adapters::alipay::wire::Charset;
use crate::sandbox::notices::{Answered, NotifyTargets};

/// How long a merchant may take to answer. Our reading: Alipay names no figure.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The most that is read of an answer, in bytes; the right one has seven.
const ANSWER_BYTES_MAX: usize = 1024;

/// There is no client for notifications: TLS cannot be set up, for lack of trusted certificates
/// for example.
#[derive(Debug, thiserror::Error)]
#[error("set up TLS for notifications")]
pub struct NotifyClientError(#[source] reqwest::Error);

/// Sends notifications.
pub(in crate::sandbox) struct Poster {
    client: Client,
    targets: NotifyTargets,
}

impl Poster {
    /// Connects to nothing yet.
    ///
    /// # Errors
    ///
    /// [`NotifyClientError`].
    pub(in crate::sandbox) fn new(targets: NotifyTargets) -> Result<Self, NotifyClientError> {
        let builder = Client::builder()
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            // A connection that has waited for the next notification may be closed by then, and one
            // delivery would be wasted on finding that out.
            .pool_max_idle_per_host(0)
            .referer(false)
            .no_proxy()
            .timeout(TIMEOUT);
        let builder = match targets {
            // A machine without trusted certificates can still be notified itself.
            NotifyTargets::Loopback => builder.tls_certs_only([]),
            NotifyTargets::Anywhere => builder,
        };
        Ok(Self {
            client: builder.build().map_err(NotifyClientError)?,
            targets,
        })
    }

    /// Whether notifications may go to `address`.
    pub(in crate::sandbox) fn allows(&self, address: &str) -> bool {
        let Ok(url) = Url::parse(address) else {
            return false;
        };
        let is_web = matches!(url.scheme(), "http" | "https");
        let host = url.host_str().unwrap_or_default();
        is_web
            && match self.targets {
                NotifyTargets::Anywhere => true,
                NotifyTargets::Loopback => is_loopback(host),
            }
    }

    /// Sends `form` once.
    pub(super) async fn post(&self, address: &str, form: String, charset: Charset) -> Answered {
        let content_type = match charset {
            Charset::Utf8 => "application/x-www-form-urlencoded; charset=utf-8",
            Charset::Gbk => "application/x-www-form-urlencoded; charset=GBK",
        };
        let request = self.client.post(address).body(form);
        let request = request.header(CONTENT_TYPE, content_type);
        let mut response = match request.send().await {
            Ok(response) => response,
            Err(error) if error.is_timeout() => return Answered::Otherwise("no answer in time"),
            Err(error) if error.is_connect() => return Answered::Otherwise("not connected"),
            Err(_broken) => return Answered::Otherwise("no answer"),
        };
        if response.status() != StatusCode::OK {
            return Answered::Otherwise("not HTTP 200");
        }
        let mut body = Vec::new();
        while body.len() < ANSWER_BYTES_MAX {
            match response.chunk().await {
                Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                Ok(None) => break,
                Err(_broken) => return Answered::Otherwise("no whole answer"),
            }
        }
        // Source: exactly these seven bytes; anything else is repeated.
        if body == b"success" {
            Answered::Success
        } else {
            Answered::Otherwise("not exactly success")
        }
    }
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let address: Result<IpAddr, _> = bare.parse();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::Poster;
    use crate::sandbox::notices::NotifyTargets;

    #[test]
    fn only_this_machine_is_notified_unless_every_address_is_allowed() {
        let loopback = Poster::new(NotifyTargets::Loopback).unwrap();
        for (address, here) in [
            ("http://127.0.0.1:8080/alipay/notify/main", true),
            ("http://127.1.2.3/", true),
            ("http://127.1/", true),
            ("http://[::1]:80/x", true),
            ("http://localhost:1/", true),
            ("http://LOCALHOST:1/", true),
            ("http://127.0.0.1.example.com/", false),
            ("http://127.0.0.1@example.com/", false),
            ("http://localhost.example.com/", false),
            ("http://10.0.0.1/", false),
            ("http://169.254.169.254/latest", false),
            ("http://[::ffff:10.0.0.1]/", false),
            ("ftp://127.0.0.1/", false),
            ("127.0.0.1:80", false),
            ("", false),
        ] {
            assert_eq!(loopback.allows(address), here, "{address}");
        }
        assert!(loopback.allows("http:\\\\127.0.0.1\\x"));
        assert!(!loopback.allows("http:\\\\example.com\\@127.0.0.1"));
    }

    #[test]
    fn anywhere_is_every_web_address_and_nothing_else() {
        // Without trusted certificates on the machine there is no such client.
        let Ok(anywhere) = Poster::new(NotifyTargets::Anywhere) else {
            return;
        };
        assert!(anywhere.allows("https://shop.example/notify"));
        assert!(!anywhere.allows("file:///etc/passwd"));
    }
}
