//! Whom to trust and who we are, for the two servers: `tls_ca`, `tls_cert` and `tls_key`.

use std::fmt;

use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use secrecy::{ExposeSecret, SecretString};

use crate::app::config::reader::Reader;
use crate::app::config::servers::{Servers, given_key};
use crate::app::config::values::Fault;

/// Certificates for TLS, as PEM; without them the system's authorities are trusted, and the server
/// is not told who we are.
#[derive(Clone, Default)]
pub struct TlsConfig {
    /// The authorities that sign the server's certificate.
    pub ca: Option<String>,
    /// Our certificate and its private key.
    pub identity: Option<(String, SecretString)>,
}

impl fmt::Debug for TlsConfig {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("TlsConfig")
            .field("ca", &self.ca.is_some())
            .field("identity", &self.identity.is_some())
            .finish()
    }
}

impl TlsConfig {
    /// What people are told of it.
    #[must_use]
    pub fn describe(&self) -> String {
        let trust = match self.ca {
            Some(_) => "TLS, trusting tls_ca",
            None => "TLS, trusting the system's authorities",
        };
        match self.identity {
            Some(_) => format!("{trust}, with our certificate"),
            None => trust.to_owned(),
        }
    }

    /// Reads the keys of `table`, which must not be there without TLS.
    pub(super) fn read(reader: &mut Reader, table: &str, servers: &Servers) -> Self {
        let [ca_key, cert_key, key_key] =
            ["tls_ca", "tls_cert", "tls_key"].map(|name| format!("{table}.{name}"));
        let ca = reader.text_or_file(&ca_key);
        let cert = reader.text_or_file(&cert_key);
        let key = reader.secret(&key_key);
        let given: Vec<String> = [&ca_key, &cert_key, &key_key]
            .into_iter()
            .map(|key| given_key(reader, key))
            .filter(|key| reader.is_given(key))
            .collect();
        if !given.is_empty() && !servers.are_tls() && !reader.is_faulty(&format!("{table}.urls")) {
            let fault = format!("is for TLS, and {table}.urls are without");
            let scheme = if table == "redis" { "rediss" } else { "amqps" };
            for key in given {
                let remedy = format!("write {scheme}:// URLs, or take the key out");
                reader.add(&key, Fault::new(fault.as_str(), remedy));
            }
            return Self::default();
        }
        if let Some(Err(fault)) = ca.as_deref().map(check_authorities) {
            let key = given_key(reader, &ca_key);
            reader.add(&key, fault);
        }
        let identity = match (cert, key) {
            (Some(cert), Some(key)) => {
                if let Err((name, fault)) = check_identity(&cert, &key) {
                    let key = given_key(reader, &format!("{table}.{name}"));
                    reader.add(&key, fault);
                }
                Some((cert, key))
            }
            (Some(_), None) => {
                alone(reader, (&cert_key, &key_key));
                None
            }
            (None, Some(_)) => {
                alone(reader, (&key_key, &cert_key));
                None
            }
            (None, None) => None,
        };
        Self { ca, identity }
    }
}

/// Notes that one of a pair was given without the other.
fn alone(reader: &mut Reader, (there, absent): (&str, &str)) {
    let absent_file = format!("{absent}_file");
    // A file that cannot be read was noted already.
    if reader.is_faulty(absent) || reader.is_faulty(&absent_file) {
        return;
    }
    let key = given_key(reader, there);
    let name = absent_file.rsplit('.').next().unwrap_or_default();
    let fault = format!("is given without {name}");
    let remedy = "a certificate and its private key go together: give both, or none";
    reader.add(&key, Fault::new(fault, remedy));
}

fn check_authorities(pem: &str) -> Result<(), Fault> {
    let remedy = "give the authority's certificate, or several, as PEM";
    let mut store = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let added = certificate
            .map_err(|error| error.to_string())
            .and_then(|certificate| store.add(certificate).map_err(|error| error.to_string()));
        if let Err(error) = added {
            return Err(Fault::new(
                format!("is no authority's certificate: {error}"),
                remedy,
            ));
        }
    }
    if store.is_empty() {
        return Err(Fault::new("holds no certificate", remedy));
    }
    Ok(())
}

/// Returns the name of the key that is wrong, and the fault, which shows nothing of the key.
fn check_identity(cert: &str, key: &SecretString) -> Result<(), (&'static str, Fault)> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(cert.as_bytes()).collect();
    let remedy = "give our certificate, and those between it and its authority, as PEM";
    let certificates = certificates.map_err(|error| {
        let fault = format!("cannot be read: {error}");
        ("tls_cert", Fault::new(fault, remedy))
    })?;
    if certificates.is_empty() {
        return Err(("tls_cert", Fault::new("holds no certificate", remedy)));
    }
    let bad_key = |fault: &str| {
        let remedy = "give the private key of tls_cert as PEM, not encrypted";
        ("tls_key", Fault::new(fault, remedy))
    };
    let key = PrivateKeyDer::from_pem_slice(key.expose_secret().as_bytes());
    let Ok(key) = key else {
        return Err(bad_key("holds no private key"));
    };
    match CertifiedKey::from_der(certificates, key, &aws_lc_rs::default_provider()) {
        Ok(_) => Ok(()),
        Err(rustls::Error::InconsistentKeys(_)) => Err(bad_key("does not belong to tls_cert")),
        Err(_) => Err(bad_key("cannot be used with tls_cert")),
    }
}
