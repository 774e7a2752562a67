//! A Redis server of one test's own, to be stopped, killed, emptied and started again.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};

use tempfile::TempDir;

use crate::ports::free_port;

/// A running `redis-server` on a port and in a directory of its own; it ends with this value.
pub(crate) struct RedisServer {
    directory: TempDir,
    port: u16,
    arguments: Vec<String>,
    process: Child,
    /// Kept open: the server writes its log there.
    _log: BufReader<ChildStdout>,
}

impl RedisServer {
    /// Starts an empty server without persistence; `arguments` come last and may change that.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let directory = TempDir::new().unwrap();
        let port = free_port();
        let arguments: Vec<String> = arguments.iter().map(|word| (*word).to_owned()).collect();
        let (process, log) = launch(&directory, port, &arguments);
        Self {
            directory,
            port,
            arguments,
            process,
            _log: log,
        }
    }

    /// The server's URL.
    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    /// The server's port.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// A plain connection, to look behind the ledger's back.
    pub(crate) async fn connection(&self) -> redis::aio::MultiplexedConnection {
        connection(&self.url()).await
    }

    /// Kills the server without a word of farewell.
    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Ends the server in good order, but without writing down what it holds.
    pub(crate) async fn shut_down(&mut self) {
        let mut redis = self.connection().await;
        let mut shutdown = redis::cmd("SHUTDOWN");
        // The answer is the end of the connection.
        drop(shutdown.arg("NOSAVE").exec_async(&mut redis).await);
        self.process.wait().unwrap();
    }

    /// Starts a killed server again, on the same port and with what it had written to its files.
    pub(crate) fn start_again(&mut self) {
        let (process, log) = launch(&self.directory, self.port, &self.arguments);
        self.process = process;
        self._log = log;
    }

    /// Lets the server hang: connections stay open, nothing is answered.
    pub(crate) fn freeze(&self) {
        self.signal("-STOP");
    }

    /// Ends [`RedisServer::freeze`].
    pub(crate) fn thaw(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let pid = self.process.id().to_string();
        let status = Command::new("kill").args([signal, &pid]).status().unwrap();
        assert!(status.success(), "kill {signal} {pid}");
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        // A test that killed it already has nothing left to end.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// A plain connection to the server at `url`.
pub(crate) async fn connection(url: &str) -> redis::aio::MultiplexedConnection {
    let client = redis::Client::open(url).unwrap();
    client.get_multiplexed_async_connection().await.unwrap()
}

/// Starts the server and waits until its log says that it takes connections.
fn launch(directory: &TempDir, port: u16, arguments: &[String]) -> (Child, BufReader<ChildStdout>) {
    let mut process = Command::new("redis-server")
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
        .args(["--save", "", "--appendonly", "no", "--daemonize", "no"])
        .arg("--dir")
        .arg(directory.path())
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("redis-server is installed: tests/run does it");
    let mut log = BufReader::new(process.stdout.take().unwrap());
    let mut seen = String::new();
    // The log ends when the server does, so this loop always does.
    while !seen.contains("Ready to accept connections") {
        if log.read_line(&mut seen).unwrap() == 0 {
            drop(process.wait());
            panic!("redis-server did not start: {seen}");
        }
    }
    (process, log)
}
