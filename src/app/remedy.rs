//! What to do about an error at start: the last words of its message. The adapters say what is wrong
//! and where; which key of the configuration that is, only this layer knows.

use std::error::Error;
use std::io;
use std::sync::Arc;

use rustls::{AlertDescription, CertificateError};

use crate::adapters::rabbitmq::{ConnectError as RabbitmqError, TopologyError};
use crate::adapters::redis_ledger::ConnectError as RedisError;
use crate::app::admin_server::AdminServerError;
use crate::app::client::ClientError;
use crate::app::notify_server::NotifyServerError;
use crate::app::show::ShowError;
use crate::domain::causes::with_causes;

/// A server as the configuration names it.
struct Server {
    name: &'static str,
    /// Its table in the configuration.
    table: &'static str,
    /// The schemes of its URLs, without and with TLS.
    schemes: [&'static str; 2],
    /// Its usual ports, without and with TLS.
    ports: [u16; 2],
}

const RABBITMQ: Server = Server {
    name: "RabbitMQ",
    table: "rabbitmq",
    schemes: ["amqp", "amqps"],
    ports: [5672, 5671],
};

const REDIS: Server = Server {
    name: "Redis",
    table: "redis",
    schemes: ["redis", "rediss"],
    ports: [6379, 6379],
};

/// An error with all its causes and, where it is known, what to do about it, on one line.
#[must_use]
pub fn told(error: &(dyn Error + 'static)) -> String {
    let mut text = with_causes(error);
    if let Some(remedy) = of(error) {
        text.push_str("; ");
        text.push_str(&remedy);
    }
    text
}

/// What to do about an error of a start or of a command; `None` where its own text says it.
#[must_use]
pub fn of(error: &(dyn Error + 'static)) -> Option<String> {
    if let Some(error) = error.downcast_ref::<ClientError>() {
        return match error {
            ClientError::Connect(error) => of_rabbitmq(error),
            ClientError::Embedded { .. } | ClientError::NotDeclared { .. } => None,
        };
    }
    if let Some(error) = error.downcast_ref::<ShowError>() {
        return match error {
            ShowError::Connect(error) => of_redis(error),
            ShowError::Embedded | ShowError::Read(_) | ShowError::History(_) => None,
        };
    }
    let rabbitmq = error.downcast_ref::<RabbitmqError>();
    let redis = error.downcast_ref::<RedisError>();
    rabbitmq
        .and_then(of_rabbitmq)
        .or_else(|| redis.and_then(of_redis))
        .or_else(|| of_listener(error))
}

fn of_rabbitmq(error: &RabbitmqError) -> Option<String> {
    let remedy = match error {
        RabbitmqError::NoAddress => "name one in rabbitmq.urls",
        RabbitmqError::Address { .. } => {
            "correct it in rabbitmq.urls, with @ : / percent-encoded in user and password"
        }
        RabbitmqError::Name { .. } => "choose a shorter rabbitmq.prefix",
        RabbitmqError::Unreachable { source, .. } => {
            return Some(reach(&RABBITMQ, source.as_ref()));
        }
        RabbitmqError::Login { .. } => {
            "correct them in rabbitmq.urls; the user guest is let in from the broker's own machine alone"
        }
        RabbitmqError::VirtualHost { .. } => {
            "correct the end of the URL in rabbitmq.urls (/%2f is the default one), or make it and let the \
             user in: rabbitmqctl add_vhost, rabbitmqctl set_permissions"
        }
        RabbitmqError::Topology(TopologyError::Mismatch { .. }) => {
            "put the configuration back, or delete it when it is empty"
        }
        RabbitmqError::Topology(TopologyError::Declare { .. } | TopologyError::Channel(_)) => {
            error.forbidden_object()?;
            "give the user the permissions configure, write and read on all names that begin with \
             rabbitmq.prefix (for `watch`: on ^amq\\.gen too): rabbitmqctl set_permissions"
        }
    };
    Some(remedy.to_owned())
}

fn of_redis(error: &RedisError) -> Option<String> {
    let remedy = match error {
        RedisError::NoAddress => "name one in redis.urls",
        RedisError::Url(_) => {
            "write redis://user:password@host:port/0 into redis.urls, with @ : / percent-encoded"
        }
        RedisError::Certificates(_) => {
            "give PEM files in redis.tls_ca_file, tls_cert_file and tls_key_file"
        }
        RedisError::Unreachable { source, .. } => return Some(reach(&REDIS, source.as_ref())),
        RedisError::NotRedis { .. } => "correct host and port in redis.urls",
        RedisError::LogIn { .. } => {
            "correct user and password in redis.urls: redis://user:password@host:port/0, or \
             redis://:password@host:port/0 for a server without users"
        }
        RedisError::Ask { .. } => match error.answered_code() {
            Some("NOPERM") => "give the user the rights that docs/security.md lists",
            Some("WRONGTYPE") => {
                "another program uses our keys: choose another database in redis.urls, or another \
                 rabbitmq.prefix"
            }
            Some(_) | None => "see whether this is Redis 7.0 or newer, or correct redis.urls",
        },
        RedisError::Info { .. } => "see whether this is Redis or Valkey, or correct redis.urls",
        // Both say it themselves.
        RedisError::Mode { .. } | RedisError::Eviction { .. } => return None,
        RedisError::UnknownMaster { .. } => {
            "correct redis.sentinel_master: redis-cli -p 26379 sentinel masters"
        }
        RedisError::ClusterDown => "repair it: redis-cli --cluster check host:port",
        RedisError::Version { .. } => "upgrade it, or name another server in redis.urls",
        RedisError::Replica { .. } => {
            "name the master in redis.urls, or the sentinels with redis.mode = \"sentinel\""
        }
        RedisError::OtherServer { .. } => {
            "name one server in redis.urls, not a balancer before several"
        }
    };
    Some(remedy.to_owned())
}

fn of_listener(error: &(dyn Error + 'static)) -> Option<String> {
    let admin = error.downcast_ref::<AdminServerError>();
    let notify = error.downcast_ref::<NotifyServerError>();
    let is_listen = matches!(admin, Some(AdminServerError::Listen { .. }))
        || matches!(notify, Some(NotifyServerError::Listen { .. }));
    is_listen.then(|| {
        "name an address of this machine (0.0.0.0 is all of them), and a port that this user may open"
            .to_owned()
    })
}

/// What to do when no connection comes about.
fn reach(server: &Server, why: &(dyn Error + 'static)) -> String {
    let Server {
        name,
        table,
        schemes: [plain, tls],
        ports: [plain_port, tls_port],
    } = server;
    if let Some(fault) = find::<rustls::Error>(why) {
        return of_tls(server, fault);
    }
    // The client of RabbitMQ reads them whatever `tls_ca` is, and has no kind of error for it.
    if with_causes(why).contains("native certificates") {
        return "install the system's authorities (ca-certificates), or name a file of them in the variable \
                SSL_CERT_FILE"
            .to_owned();
    }
    match find::<io::Error>(why).map(io::Error::kind) {
        Some(io::ErrorKind::ConnectionRefused) => {
            format!("start {name} there, or correct host and port in {table}.urls")
        }
        Some(_) | None => format!(
            "see whether {name} runs there, on this port ({plain}:// {plain_port}, {tls}:// {tls_port}), \
             and whether the port wants TLS or a certificate of ours; or correct {table}.urls"
        ),
    }
}

fn of_tls(server: &Server, fault: &rustls::Error) -> String {
    let Server {
        name,
        table,
        schemes: [plain, tls],
        ..
    } = server;
    if let rustls::Error::InvalidCertificate(fault) = fault {
        return of_certificate(server, fault);
    }
    if let rustls::Error::AlertReceived(alert) = fault
        && matches!(
            alert,
            AlertDescription::CertificateRequired
                | AlertDescription::BadCertificate
                | AlertDescription::UnknownCA
                | AlertDescription::HandshakeFailure
        )
    {
        return format!(
            "{name} asks who we are: give {table}.tls_cert_file and {table}.tls_key_file of an authority \
             that it trusts"
        );
    }
    format!("see whether this port speaks TLS; without it, write {plain}:// instead of {tls}://")
}

fn of_certificate(server: &Server, fault: &CertificateError) -> String {
    let Server { name, table, .. } = server;
    if *fault == CertificateError::UnknownIssuer {
        return format!(
            "give the certificate of the authority that signed the server's in {table}.tls_ca_file"
        );
    }
    let is_other_name = matches!(
        fault,
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }
    );
    if is_other_name {
        return format!(
            "write a host that is in the server's certificate into {table}.urls, or have this one put \
             into the certificate"
        );
    }
    format!("have {name}'s certificate put right")
}

/// The first error of type `T` among an error and its causes, also inside of what only wraps it.
fn find<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<T>() {
            return Some(found);
        }
        let io = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref);
        let shared = error.downcast_ref::<Arc<dyn Error + Send + Sync>>();
        next = match (io, shared) {
            (Some(inner), _) => Some(inner),
            (None, Some(inner)) => Some(inner.as_ref()),
            (None, None) => error.source(),
        };
    }
    None
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Arc;

    use rustls::AlertDescription;

    use super::{REDIS, find, of, reach};
    use crate::app::admin_server::AdminServerError;

    #[test]
    fn a_cause_is_found_inside_of_what_wraps_it() {
        let inner = rustls::Error::NoCertificatesPresented;
        let outer = io::Error::new(io::ErrorKind::InvalidData, inner.clone());
        assert_eq!(find::<rustls::Error>(&outer), Some(&inner));
        let shared: Arc<dyn std::error::Error + Send + Sync> = Arc::new(outer);
        assert_eq!(find::<rustls::Error>(&shared), Some(&inner));
        assert!(find::<io::Error>(&shared).is_some());
        assert!(find::<rustls::Error>(&io::Error::other("x")).is_none());
    }

    #[test]
    fn a_refused_connection_asks_for_another_repair_than_a_silent_server() {
        let refused = reach(&REDIS, &io::Error::from(io::ErrorKind::ConnectionRefused));
        assert!(refused.starts_with("start Redis there"), "{refused}");
        let silent = reach(&REDIS, &io::Error::from(io::ErrorKind::UnexpectedEof));
        assert!(silent.contains("rediss:// 6379"), "{silent}");
    }

    /// Whether the alert arrives before the end of the connection is up to the network, so no test
    /// with a real server can ask for it.
    #[test]
    fn a_server_that_wants_a_certificate_of_ours_is_given_one() {
        let fault = rustls::Error::AlertReceived(AlertDescription::CertificateRequired);
        let told = reach(&REDIS, &io::Error::new(io::ErrorKind::InvalidData, fault));
        assert!(told.contains("give redis.tls_cert_file"), "{told}");
    }

    #[test]
    fn only_what_its_text_leaves_open_has_a_remedy() {
        let listen = "127.0.0.1:9464".parse().unwrap();
        assert_eq!(of(&AdminServerError::PortInUse { listen }), None);
        let source = io::Error::from(io::ErrorKind::PermissionDenied);
        assert!(of(&AdminServerError::Listen { listen, source }).is_some());
    }
}
