//! Certificates that are not as they must be, and servers that show them.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use tempfile::TempDir;

use crate::ports::free_port;
use crate::servers::tls_path;

/// A server's certificate and its key, signed by the tests' own authority.
pub(super) struct Issued {
    directory: TempDir,
}

impl Issued {
    /// A certificate for `name`, such as `IP:127.0.0.1`, that ends so many days from now.
    pub(super) fn new(name: &str, days: &str) -> Self {
        let directory = TempDir::new().unwrap();
        let extension = directory.path().join("server.ext");
        std::fs::write(&extension, format!("subjectAltName={name}\n")).unwrap();
        let ask = "req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout server.key \
                   -out server.csr -subj /CN=server";
        let (ca, key) = (tls_path("ca.pem"), tls_path("ca.key"));
        let sign = format!(
            "x509 -req -in server.csr -CA {ca} -CAkey {key} -set_serial 7 -days {days} \
             -extfile server.ext -out server.pem"
        );
        for words in [ask, &sign] {
            let output = Command::new("openssl")
                .args(words.split_whitespace())
                .current_dir(directory.path())
                .output()
                .expect("the openssl command is installed");
            let told = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "openssl {words}: {told}");
        }
        Self { directory }
    }

    /// The path of `server.pem` or `server.key`.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

/// A server that speaks TLS, whatever is spoken in it: it counts who gets through the handshake,
/// keeps what they say, and answers with fixed bytes.
pub(super) struct TlsServer {
    pub(super) address: SocketAddr,
    /// Connections of which the handshake came to its end.
    greeted: Arc<AtomicUsize>,
    heard: Arc<Mutex<Vec<u8>>>,
}

impl TlsServer {
    /// Listens for as long as the test runs.
    pub(super) fn start(issued: &Issued, answer: &'static str) -> Self {
        let certificate = CertificateDer::from_pem_file(issued.path("server.pem")).unwrap();
        let key = PrivateKeyDer::from_pem_file(issued.path("server.key")).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Self {
            address: listener.local_addr().unwrap(),
            greeted: Arc::default(),
            heard: Arc::default(),
        };
        let config = Arc::new(config);
        let (greeted, heard) = (Arc::clone(&server.greeted), Arc::clone(&server.heard));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let session = ServerConnection::new(Arc::clone(&config)).unwrap();
                let stream = StreamOwned::new(session, stream.unwrap());
                let (greeted, heard) = (Arc::clone(&greeted), Arc::clone(&heard));
                thread::spawn(move || converse(stream, answer, &greeted, &heard));
            }
        });
        server
    }

    pub(super) fn greeted(&self) -> usize {
        self.greeted.load(Ordering::Acquire)
    }

    pub(super) fn heard(&self) -> String {
        String::from_utf8_lossy(&self.heard.lock().unwrap()).into_owned()
    }
}

/// Reads once, answers, and ends. Whoever does not trust us breaks off on the way.
fn converse(
    mut stream: StreamOwned<ServerConnection, TcpStream>,
    answer: &str,
    greeted: &AtomicUsize,
    heard: &Mutex<Vec<u8>>,
) {
    let mut bytes = [0; 16 * 1024];
    // The first read ends the handshake, or fails with it.
    let Ok(read) = stream.read(&mut bytes) else {
        return;
    };
    greeted.fetch_add(1, Ordering::Release);
    heard.lock().unwrap().extend_from_slice(&bytes[..read]);
    drop(stream.write_all(answer.as_bytes()));
    stream.conn.send_close_notify();
    drop(stream.flush());
}

/// A server of TLS 1.1 and nothing newer, which OpenSSL still can.
pub(super) struct OldTlsServer {
    pub(super) port: u16,
    process: Child,
    /// Its files are read when it starts.
    _issued: Issued,
}

impl OldTlsServer {
    pub(super) fn start(issued: Issued) -> Self {
        let port = free_port();
        let process = Command::new("openssl")
            .args(["s_server", "-quiet", "-www", "-tls1_1"])
            .args(["-cipher", "ALL:@SECLEVEL=0"])
            .args(["-accept", &format!("127.0.0.1:{port}")])
            .arg("-cert")
            .arg(issued.path("server.pem"))
            .arg("-key")
            .arg(issued.path("server.key"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self {
            port,
            process,
            _issued: issued,
        }
    }

    /// Whether a client of its age gets in: else nothing follows from others that do not.
    pub(super) fn lets_its_peers_in(&self) -> bool {
        // It waits for ever for a server that has not come to listening yet.
        let status = Command::new("timeout")
            .args(["5", "openssl", "s_client"])
            .args(["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"])
            .args(["-connect", &format!("127.0.0.1:{}", self.port)])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        status.unwrap().success()
    }
}

impl Drop for OldTlsServer {
    fn drop(&mut self) {
        // A server that ended by itself has nothing left to end.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
