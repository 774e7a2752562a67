//! The program as its users meet it: arguments in, text and an exit code out.

mod bench;
mod checks;
mod dead;
mod help;
mod jobs;
mod lost_connection;
mod pause;
mod refusals;
mod resolve;
mod unsettled;

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};

/// How a process ended, and all that it said.
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// The program, to be run in `directory` and without any of our own variables.
fn program(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hongbaod"));
    command
        .current_dir(directory)
        .env_remove("HONGBAOD_CONFIG")
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Runs the program to its end.
pub(crate) fn run(directory: &Path, arguments: &[&str]) -> Ended {
    run_with_input(directory, arguments, b"")
}

/// Runs the program to its end, with something on its standard input.
fn run_with_input(directory: &Path, arguments: &[&str], input: &[u8]) -> Ended {
    let mut command = program(directory, arguments);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    // A program that does not read to the end closes the pipe: that is its right.
    let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    Ended {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A program that runs beside the test; it is killed with this value.
struct Running {
    child: Child,
    stdout: BufReader<ChildStdout>,
    stderr: BufReader<ChildStderr>,
}

impl Running {
    fn start(directory: &Path, arguments: &[&str]) -> Self {
        let mut child = program(directory, arguments).spawn().unwrap();
        Self {
            stdout: BufReader::new(child.stdout.take().unwrap()),
            stderr: BufReader::new(child.stderr.take().unwrap()),
            child,
        }
    }

    /// Waits for a line of the standard error that holds `words`.
    fn await_stderr(&mut self, words: &str) {
        let mut seen = String::new();
        loop {
            let start = seen.len();
            let length = self.stderr.read_line(&mut seen).unwrap();
            assert_ne!(length, 0, "it ended without {words:?}:\n{seen}");
            if seen[start..].contains(words) {
                return;
            }
        }
    }

    /// The lines of the standard output up to and with the first one that holds `words`.
    fn stdout_until(&mut self, words: &str) -> String {
        let mut seen = String::new();
        loop {
            let start = seen.len();
            let length = self.stdout.read_line(&mut seen).unwrap();
            assert_ne!(length, 0, "it ended without {words:?}:\n{seen}");
            if seen[start..].contains(words) {
                return seen;
            }
        }
    }

    /// Sends SIGTERM and returns the exit code.
    fn terminate(mut self) -> Option<i32> {
        let pid = self.child.id().to_string();
        let status = Command::new("kill").args(["-TERM", &pid]).status().unwrap();
        assert!(status.success());
        self.child.wait().unwrap().code()
    }

    /// Waits for the end and returns the exit code.
    fn wait(mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A disburse job with one change.
fn disburse(
    number: usize,
    change: impl FnOnce(&mut serde_json::Map<String, serde_json::Value>),
) -> String {
    let mut job = serde_json::json!({
        "kind": "disburse", "out_request_no": format!("R{number}"),
        "out_order_no": format!("O{number}"), "deduct_out_order_no": "P1",
        "order_title": "t", "amount": "0.01", "payee_user_id": "2088102146225135",
    });
    change(job.as_object_mut().unwrap());
    job.to_string()
}
