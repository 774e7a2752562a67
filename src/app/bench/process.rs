//! The processes of a benchmark, and what they cost. Source of the figures: Linux, proc(5).

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use anyhow::Context as _;

use crate::app::config::Config;

/// A tick of the kernel's accounting, in microseconds. Source: proc(5), `sysconf(_SC_CLK_TCK)` is
/// 100 on every Linux that Rust runs on.
const TICK_US: u64 = 10_000;

/// The variables that a benchmark takes over from the environment.
const SERVER_VARIABLES: [&str; 2] = ["HONGBAOD__RABBITMQ__", "HONGBAOD__REDIS__"];

/// The one among them that a benchmark has a value of its own for.
const PREFIX_VARIABLE: &str = "HONGBAOD__RABBITMQ__PREFIX";

/// CPU time of a process since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuTime {
    /// In its own code, in microseconds.
    pub user_us: u64,
    /// In the kernel for it, in microseconds.
    pub system_us: u64,
}

impl CpuTime {
    /// What was spent since `earlier`.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self {
            user_us: self.user_us.saturating_sub(earlier.user_us),
            system_us: self.system_us.saturating_sub(earlier.system_us),
        }
    }

    /// Both together.
    #[must_use]
    pub fn total_us(self) -> u64 {
        self.user_us.saturating_add(self.system_us)
    }
}

/// A child that ends with its owner.
pub struct Process {
    child: Child,
    /// Kept open: who writes to a closed one is ended by it.
    output: Option<BufReader<ChildStdout>>,
}

impl Process {
    /// Starts this very program with `arguments`. Its standard output goes to `log` too, unless it
    /// is read by [`Process::first_lines`].
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn start(arguments: &[&str], log: &Path, output: Output) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("find this program's own file")?;
        let log = File::options().create(true).append(true).open(log);
        let log = log.context("open the log of a benchmark's process")?;
        let stdout = match output {
            Output::Logged => Stdio::from(log.try_clone()?),
            Output::Read => Stdio::piped(),
        };
        let mut command = Command::new(program);
        // All else is as the benchmark's own file says.
        for (name, _) in Config::environment().filter(|(name, _)| !is_of_servers(name)) {
            command.env_remove(name);
        }
        let mut child = command
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(Stdio::from(log))
            .spawn()
            .context("start a process of the benchmark")?;
        let output = child.stdout.take().map(BufReader::new);
        Ok(Self { child, output })
    }

    /// Reads the standard output up to the first line that begins with `last`, that line excluded.
    ///
    /// # Errors
    ///
    /// When the output ends before.
    pub fn first_lines(&mut self, last: &str) -> anyhow::Result<String> {
        let output = self.output.as_mut().context("the output is not read")?;
        let (mut text, mut line) = (String::new(), String::new());
        while output.read_line(&mut line)? > 0 {
            if line.starts_with(last) {
                return Ok(text);
            }
            text.push_str(&line);
            line.clear();
        }
        anyhow::bail!("a process of the benchmark ended early; see its log")
    }

    /// Its number.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }
}

/// The daemon's replicas.
pub struct Workers(pub Vec<Process>);

impl Workers {
    /// What all of them have spent; `None` when one cannot be seen.
    pub fn cpu_time(&self) -> Option<CpuTime> {
        let mut total = CpuTime::default();
        for worker in &self.0 {
            let spent = cpu_time(worker.id())?;
            total.user_us = total.user_us.saturating_add(spent.user_us);
            total.system_us = total.system_us.saturating_add(spent.system_us);
        }
        Some(total)
    }

    /// As [`resident_kib`], of the one that ever had the most.
    pub fn resident_kib(&self) -> Option<(u64, u64)> {
        let all: Option<Vec<(u64, u64)>> = self
            .0
            .iter()
            .map(|worker| resident_kib(worker.id()))
            .collect();
        all?.into_iter().max_by_key(|(_, peak)| *peak)
    }
}

/// Whether this variable says where the servers are: those are the user's.
pub fn is_of_servers(name: &str) -> bool {
    SERVER_VARIABLES.iter().any(|known| name.starts_with(known)) && name != PREFIX_VARIABLE
}

/// What becomes of a process's standard output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// It goes to the log.
    Logged,
    /// It is read.
    Read,
}

impl Drop for Process {
    fn drop(&mut self) {
        // All that it knows is thrown away with its queues and keys, so it needs no goodbye.
        if self.child.kill().is_ok() {
            drop(self.child.wait());
        }
    }
}

/// The CPU time of a process of this machine; `None` when it cannot be seen.
pub fn cpu_time(id: u32) -> Option<CpuTime> {
    cpu_time_of(&fs::read_to_string(format!("/proc/{id}/stat")).ok()?)
}

fn cpu_time_of(stat: &str) -> Option<CpuTime> {
    // The name in parentheses may hold spaces.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    Some(CpuTime {
        user_us: ticks()?.saturating_mul(TICK_US),
        system_us: ticks()?.saturating_mul(TICK_US),
    })
}

/// Resident memory in KiB: now, and the most there ever was.
pub fn resident_kib(id: u32) -> Option<(u64, u64)> {
    let status = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name))?;
        line.split_ascii_whitespace().nth(1)?.parse().ok()
    };
    Some((field("VmRSS:")?, field("VmHWM:")?))
}

/// The process of this machine that listens on `port`; `None` when there is none, or it is
/// somebody else's.
pub fn listener(port: u16) -> Option<u32> {
    let inode = ["/proc/net/tcp", "/proc/net/tcp6"]
        .into_iter()
        .find_map(|table| inode_of(&fs::read_to_string(table).ok()?, port))?;
    let wanted = format!("socket:[{inode}]");
    fs::read_dir("/proc").ok()?.flatten().find_map(|entry| {
        let id: u32 = entry.file_name().to_str()?.parse().ok()?;
        let files = fs::read_dir(entry.path().join("fd")).ok()?;
        let has_it = files.flatten().any(|file| {
            fs::read_link(file.path()).is_ok_and(|target| target.as_os_str() == wanted.as_str())
        });
        has_it.then_some(id)
    })
}

/// The socket that listens on `port`. Source: proc(5), `0A` is LISTEN.
fn inode_of(table: &str, port: u16) -> Option<u64> {
    let address_end = format!(":{port:04X}");
    table.lines().skip(1).find_map(|line| {
        let mut fields = line.split_ascii_whitespace();
        let local = fields.nth(1)?;
        let state = fields.nth(1)?;
        let inode = fields.nth(5)?;
        (local.ends_with(&address_end) && state == "0A")
            .then(|| inode.parse().ok())
            .flatten()
    })
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::{CpuTime, cpu_time, cpu_time_of, is_of_servers, listener, resident_kib};

    #[test]
    fn a_name_with_spaces_and_parentheses_does_not_move_the_fields() {
        let stat = "7 (a b) c) S 1 7 7 0 -1 4194560 1 0 0 0 25 3 0 0 20 0 1 0 9 1 1";
        let expected = CpuTime {
            user_us: 250_000,
            system_us: 30_000,
        };
        assert_eq!(cpu_time_of(stat), Some(expected));
        assert_eq!(cpu_time_of("7"), None);
    }

    #[test]
    fn a_benchmark_takes_the_servers_from_the_environment_and_nothing_else() {
        assert!(is_of_servers("HONGBAOD__REDIS__URLS"));
        assert!(is_of_servers("HONGBAOD__RABBITMQ__PREFETCH__DISBURSE"));
        assert!(!is_of_servers("HONGBAOD__RABBITMQ__PREFIX"));
        assert!(!is_of_servers("HONGBAOD__ALIPAY__GATEWAY"));
    }

    #[test]
    fn this_process_has_a_memory_and_listens_where_it_listens() {
        let own = std::process::id();
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        assert_eq!(listener(socket.local_addr().unwrap().port()), Some(own));
        let (now, peak) = resident_kib(own).unwrap();
        assert!(now > 0 && peak >= now);
        assert!(cpu_time(own).is_some());
    }
}
