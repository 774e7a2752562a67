//! All unsettled jobs, for operators: by the index, and by a walk over every key. Nothing is cleared
//! on the way, unlike when the daemon looks.

use redis::{Cmd, FromRedisValue};

use crate::adapters::redis_ledger::connection::{Link, NoAnswer};
use crate::adapters::redis_ledger::inspector::RedisInspector;
use crate::adapters::redis_ledger::keys::job_of_member;
use crate::adapters::redis_ledger::value::is_settled;
use crate::adapters::redis_ledger::versioned;
use crate::domain::entry::Entry;
use crate::domain::job::JobKey;
use crate::ports::ledger::{LedgerError, ScanCursor};

/// How many keys one step asks for.
const STEP_COUNT: usize = 500;

/// What was found under the key of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Looked {
    /// Nothing, any more.
    Absent,
    /// An entry, settled or not.
    Entry(Box<Entry>),
    /// A value that this version cannot read, and why.
    Unreadable(String),
}

impl RedisInspector {
    /// One step through the advisory index: jobs, and the cursor to go on with. It begins with 0 and
    /// is over when 0 comes back. What is in the index all the while is met at least once, in no
    /// order. Source: Redis, SCAN guarantees, which hold for ZSCAN.
    ///
    /// # Errors
    ///
    /// [`LedgerError`].
    pub async fn indexed(&self, cursor: u64) -> Result<(Vec<JobKey>, u64), LedgerError> {
        let index = self.supervisor.keys.unsettled();
        let (_, link) = self.master_of(&index)?;
        let mut scan = redis::cmd("ZSCAN");
        scan.arg(&index).arg(cursor).arg("COUNT").arg(STEP_COUNT);
        let limit = self.supervisor.options.response_timeout;
        let (next, pairs): (u64, Vec<(String, String)>) = link.call(&scan, limit).await?;
        let jobs = pairs.iter().filter_map(|(member, _)| job_of_member(member));
        Ok((jobs.collect(), next))
    }

    /// One step through every key of the ledger: those jobs among them that are not settled, and
    /// where to go on. It begins with [`ScanCursor::START`] and is over when that comes back.
    ///
    /// # Errors
    ///
    /// [`LedgerError`].
    pub async fn walked(
        &self,
        cursor: ScanCursor,
    ) -> Result<(Vec<JobKey>, ScanCursor), LedgerError> {
        let (jobs, next) = self.step(cursor).await?;
        let heads: Vec<Vec<u8>> = self.ask_each(&jobs, first_byte).await?;
        let unsettled = jobs
            .into_iter()
            .zip(heads)
            .filter(|(_, head)| head.first().is_some_and(|head| !is_settled(*head)))
            .map(|(job, _)| job)
            .collect();
        Ok((unsettled, next))
    }

    /// As [`RedisInspector::walked`], with every entry, settled or not; what expired between the two
    /// looks is left out, and what is written meanwhile may be met or not.
    ///
    /// # Errors
    ///
    /// [`LedgerError`].
    pub async fn scan(
        &self,
        cursor: ScanCursor,
    ) -> Result<(Vec<(JobKey, Entry)>, ScanCursor), LedgerError> {
        let (jobs, next) = self.step(cursor).await?;
        let looked = self.read_all(&jobs).await?;
        let mut entries = Vec::with_capacity(jobs.len());
        for (key, looked) in jobs.into_iter().zip(looked) {
            match looked {
                Looked::Absent => {}
                Looked::Entry(entry) => entries.push((key, *entry)),
                Looked::Unreadable(reason) => return Err(LedgerError::Unreadable { key, reason }),
            }
        }
        Ok((entries, next))
    }

    /// The jobs whose keys one step met, and where to go on.
    async fn step(&self, cursor: ScanCursor) -> Result<(Vec<JobKey>, ScanCursor), LedgerError> {
        let Some((_, link)) = self.links.get(usize::from(cursor.server)) else {
            return Err(LedgerError::Unavailable(Box::new(NoAnswer::NotConnected)));
        };
        let mut scan = redis::cmd("SCAN");
        scan.arg(cursor.position)
            .arg("MATCH")
            .arg(self.supervisor.keys.entries_pattern())
            .arg("COUNT")
            .arg(STEP_COUNT);
        let limit = self.supervisor.options.response_timeout;
        let (position, names): (u64, Vec<Vec<u8>>) = link.call(&scan, limit).await?;
        let jobs: Vec<JobKey> = names
            .iter()
            .filter_map(|name| self.supervisor.keys.job_of_entry(name))
            .collect();
        Ok((jobs, self.after(cursor, position)))
    }

    /// Reads the entries of many jobs, in their order, in one exchange with each master.
    ///
    /// # Errors
    ///
    /// [`LedgerError`], but for [`LedgerError::Unreadable`].
    pub async fn read_all(&self, jobs: &[JobKey]) -> Result<Vec<Looked>, LedgerError> {
        let values: Vec<Option<Vec<u8>>> = self.ask_each(jobs, value).await?;
        let looked = |(job, value): (&JobKey, Option<Vec<u8>>)| match value {
            None => Looked::Absent,
            Some(bytes) => match versioned(job, bytes) {
                Ok(versioned) => Looked::Entry(Box::new(versioned.entry)),
                Err(error) => Looked::Unreadable(error.to_string()),
            },
        };
        Ok(jobs.iter().zip(values).map(looked).collect())
    }

    fn after(&self, cursor: ScanCursor, position: u64) -> ScanCursor {
        if position != 0 {
            return ScanCursor { position, ..cursor };
        }
        let server = cursor.server.saturating_add(1);
        if usize::from(server) < self.links.len() {
            ScanCursor {
                server,
                position: 0,
            }
        } else {
            ScanCursor::START
        }
    }

    /// The answers to one command for each job, in the jobs' order.
    async fn ask_each<T: FromRedisValue + Default + Clone>(
        &self,
        jobs: &[JobKey],
        command: fn(&str) -> Cmd,
    ) -> Result<Vec<T>, LedgerError> {
        let mut groups: Vec<(&Link, Vec<usize>, redis::Pipeline)> = Vec::new();
        let mut numbers: Vec<usize> = Vec::new();
        for (index, job) in jobs.iter().enumerate() {
            let name = self.supervisor.keys.entry(job);
            let (number, link) = self.master_of(&name)?;
            let known = numbers.iter().position(|known| *known == number);
            let group = known.unwrap_or_else(|| {
                numbers.push(number);
                groups.push((link, Vec::new(), redis::pipe()));
                groups.len().saturating_sub(1)
            });
            if let Some((_, indexes, pipeline)) = groups.get_mut(group) {
                indexes.push(index);
                pipeline.add_command(command(&name));
            }
        }
        let mut answers = vec![T::default(); jobs.len()];
        for (link, indexes, pipeline) in groups {
            let mut connection = link.connection.clone();
            let exchange = pipeline.query_async(&mut connection);
            let limit = self.supervisor.options.response_timeout;
            let found: Vec<T> = link.exchange(limit, exchange).await?;
            for (index, found) in indexes.into_iter().zip(found) {
                if let Some(answer) = answers.get_mut(index) {
                    *answer = found;
                }
            }
        }
        Ok(answers)
    }
}

fn first_byte(name: &str) -> Cmd {
    let mut range = redis::cmd("GETRANGE");
    range.arg(name).arg(0).arg(0);
    range
}

fn value(name: &str) -> Cmd {
    let mut get = redis::cmd("GET");
    get.arg(name);
    get
}
