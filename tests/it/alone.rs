//! Tests that measure the whole process, and therefore need one of their own.

use std::fs;
use std::process::Command;
use std::time::Duration;

use tokio::runtime::Handle;

use crate::patience::pause;

const ALONE: &str = "HONGBAOD_TEST_ALONE";

/// Runs the test `name` in a process of its own, and returns whether this is that process. The
/// test measures if it is, and is over if it is not.
#[expect(
    clippy::disallowed_methods,
    reason = "the parent tells the child by a variable that it is one"
)]
pub(crate) async fn is_alone(name: &'static str) -> bool {
    if std::env::var(ALONE).is_ok() {
        return true;
    }
    let program = std::env::current_exe().unwrap();
    let mut command = Command::new(program);
    command.args(["--exact", name, "--nocapture"]);
    command.env(ALONE, "yes");
    let output = tokio::task::spawn_blocking(move || command.output().unwrap())
        .await
        .unwrap();
    let written = String::from_utf8_lossy(&output.stderr);
    let summary = String::from_utf8_lossy(&output.stdout);
    eprintln!("{written}");
    assert!(output.status.success(), "{name}: {summary}\n{written}");
    assert!(summary.contains("1 passed"), "{name}: {summary}");
    false
}

/// What this process holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Holdings {
    /// Tasks of this runtime.
    pub(crate) tasks: usize,
    pub(crate) threads: usize,
    /// Open files and sockets.
    pub(crate) files: usize,
    pub(crate) memory_kib: usize,
}

impl Holdings {
    pub(crate) fn now() -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let number = |name: &str| -> usize {
            let rest = status.split_once(&format!("{name}:")).unwrap().1;
            let word = rest.split_whitespace().next().unwrap();
            word.parse().unwrap()
        };
        Self {
            tasks: Handle::current().metrics().num_alive_tasks(),
            threads: number("Threads"),
            files: fs::read_dir("/proc/self/fd").unwrap().count(),
            memory_kib: number("VmRSS"),
        }
    }

    /// Waits until no more is held than `before`, but for what moves by itself: tasks that begin or
    /// end with a connection, a worker thread of the runtime, a file being looked at, memory that
    /// the allocator keeps. One task more for each of a thousand reconnects would be sixty times
    /// that, and would stay.
    pub(crate) async fn become_no_more_than(before: &Self) {
        let mut now = Self::now();
        // On a busy machine what belongs to the last connections takes its time to end.
        for _look in 0..200 {
            if now.is_no_more_than(before) {
                return;
            }
            pause(Duration::from_millis(100)).await;
            now = Self::now();
        }
        panic!("{before:?} {now:?}");
    }

    fn is_no_more_than(&self, before: &Self) -> bool {
        let grown = |now: usize, then: usize| now.saturating_sub(then);
        grown(self.tasks, before.tasks) <= 16
            && grown(self.threads, before.threads) <= 4
            && grown(self.files, before.files) <= 6
            && grown(self.memory_kib, before.memory_kib) <= 16 * 1_024
    }
}
