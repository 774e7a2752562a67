//! A process of the real binary, and what it writes, line by line.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

use crate::patience::PATIENCE;

/// The program that these tests were built with.
pub(crate) const HONGBAOD: &str = env!("CARGO_BIN_EXE_hongbaod");

/// Where a line was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    Stdout,
    Stderr,
}

/// All that a process has written so far.
#[derive(Debug, Default)]
pub(crate) struct Written {
    pub(crate) stdout: Vec<String>,
    pub(crate) stderr: Vec<String>,
    /// Streams that have ended: two, and the process is over.
    ended: u8,
}

impl Written {
    /// Both streams, for a look at everything and for messages.
    pub(crate) fn text(&self) -> String {
        let lines = self.stdout.iter().chain(&self.stderr);
        lines.map(|line| format!("{line}\n")).collect()
    }
}

/// A running process; it is killed with this value.
pub(crate) struct Process {
    child: Child,
    written: watch::Receiver<Written>,
}

impl Process {
    /// Starts `hongbaod` with what `prepare` adds to the command.
    pub(crate) fn start(prepare: impl FnOnce(&mut Command)) -> Self {
        Self::start_program(Path::new(HONGBAOD), prepare)
    }

    /// As [`Process::start`], with `hongbaod` as another version built it.
    pub(crate) fn start_program(program: &Path, prepare: impl FnOnce(&mut Command)) -> Self {
        let mut command = Command::new(program);
        prepare(&mut command);
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, written) = watch::channel(Written::default());
        let sender = Arc::new(sender);
        collect(child.stdout.take().unwrap(), Stream::Stdout, &sender);
        collect(child.stderr.take().unwrap(), Stream::Stderr, &sender);
        Self { child, written }
    }

    /// What it has written so far.
    pub(crate) fn written(&self) -> watch::Ref<'_, Written> {
        self.written.borrow()
    }

    /// Waits until what it has written satisfies `enough`.
    pub(crate) async fn until(&self, what: &str, mut enough: impl FnMut(&Written) -> bool) {
        let mut written = self.written.clone();
        let wait = written.wait_for(|written| enough(written) || written.ended == 2);
        drop(
            timeout(PATIENCE, wait)
                .await
                .unwrap_or_else(|_| panic!("{what} within {PATIENCE:?}")),
        );
        let written = self.written();
        assert!(enough(&written), "no {what}, but:\n{}", written.text());
    }

    /// Waits for the first line on a stream with `words` in it and returns it.
    pub(crate) async fn line(&self, stream: Stream, words: &str) -> String {
        let find = |written: &Written| {
            let lines = match stream {
                Stream::Stdout => &written.stdout,
                Stream::Stderr => &written.stderr,
            };
            lines.iter().find(|line| line.contains(words)).cloned()
        };
        self.until(words, |written| find(written).is_some()).await;
        find(&self.written()).unwrap()
    }

    /// Whether it has ended, by itself or by a signal.
    pub(crate) fn has_ended(&self) -> bool {
        self.written().ended == 2
    }

    /// Sends a signal, such as `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let status = Command::new("kill").args(["-s", name, &pid]).status();
        assert!(status.unwrap().success(), "kill -s {name} {pid}");
    }

    /// Kills it as a crash would, and waits until it is gone.
    pub(crate) async fn crash(&mut self) {
        self.signal("KILL");
        assert_eq!(self.exit_code().await, None, "it was killed");
    }

    /// Asks it to end by SIGTERM and returns its exit code.
    pub(crate) async fn terminate(&mut self) -> Option<i32> {
        self.signal("TERM");
        self.exit_code().await
    }

    /// Waits until it has ended: the exit code, or `None` if a signal ended it.
    pub(crate) async fn exit_code(&mut self) -> Option<i32> {
        self.exit_code_within(PATIENCE).await
    }

    /// As [`Process::exit_code`], but not longer than `limit`.
    pub(crate) async fn exit_code_within(&mut self, limit: Duration) -> Option<i32> {
        let mut written = self.written.clone();
        let ended = written.wait_for(|written| written.ended == 2);
        if timeout(limit, ended).await.is_err() {
            panic!("it still runs after {limit:?}:\n{}", self.written().text());
        }
        self.child.wait().unwrap().code()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // A process that has ended already cannot be killed, and need not be.
        drop(self.child.kill());
        drop(self.child.wait());
        if thread::panicking() {
            let written = self.written();
            let newest = written.stderr.len().saturating_sub(60);
            eprintln!("-- process {}:", self.child.id());
            for line in written
                .stdout
                .iter()
                .take(3)
                .chain(&written.stderr[newest..])
            {
                eprintln!("   {}", line.chars().take(400).collect::<String>());
            }
        }
    }
}

/// Reads a stream to its end on a thread of its own.
fn collect(stream: impl Read + Send + 'static, name: Stream, sender: &Arc<watch::Sender<Written>>) {
    let sender = Arc::clone(sender);
    thread::spawn(move || {
        let mut stream = BufReader::new(stream);
        let mut bytes = Vec::new();
        while stream
            .read_until(b'\n', &mut bytes)
            .is_ok_and(|read| read > 0)
        {
            let line = String::from_utf8_lossy(&bytes).trim_end().to_owned();
            sender.send_modify(|written| match name {
                Stream::Stdout => written.stdout.push(line),
                Stream::Stderr => written.stderr.push(line),
            });
            bytes.clear();
        }
        sender.send_modify(|written| written.ended += 1);
    });
}
