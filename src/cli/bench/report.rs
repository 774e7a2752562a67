//! The figures of a benchmark, for people and for programs.

use comfy_table::{CellAlignment, Table, presets};
use serde_json::{Value, json};

use crate::app::bench::process::CpuTime;
use crate::app::bench::{Answers, BenchOptions, Feed, Figures};

/// What was asked for, and what came of it.
pub(super) struct Report<'a> {
    pub(super) options: BenchOptions,
    pub(super) figures: &'a Figures,
}

/// What is measured, the figure, and what there is to say about it.
type Row = [String; 3];

fn row(name: &str, figure: String, note: impl Into<String>) -> Row {
    [name.to_owned(), figure, note.into()]
}

impl Report<'_> {
    /// A table.
    pub(super) fn table(&self) -> String {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        for row in [self.speed(), self.cost_of_worker(), self.cost_of_servers()].concat() {
            table.add_row(row);
        }
        if let Some(column) = table.column_mut(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        // Cells are filled up to the widest; nobody needs the blanks at the end.
        let table = table.to_string();
        let lines: Vec<&str> = table.lines().map(str::trim_end).collect();
        lines.join("\n")
    }

    fn speed(&self) -> Vec<Row> {
        let (figures, latency) = (self.figures, &self.figures.latency);
        let (feed, note) = match self.options.feed {
            Feed::PerSecond(rate) => (
                format!("{rate} jobs a second"),
                "from publishing to the event",
            ),
            Feed::Queued(queued) => {
                let queued = queued.max(self.options.jobs);
                (
                    format!("{} queued before", grouped(count(queued))),
                    "from publishing to the event, the wait in the queue included",
                )
            }
        };
        let repeated = format!("{} / {}", figures.repeated, figures.unpaid);
        vec![
            row("jobs measured", grouped(figures.jobs), feed),
            row("settled jobs/s", grouped(figures.jobs_per_second()), ""),
            row("told twice / not paid", repeated, ""),
            row("latency p50", millis(latency.p50_us), note),
            row("latency p95", millis(latency.p95_us), ""),
            row("latency p99", millis(latency.p99_us), ""),
            row("latency max", millis(latency.max_us), ""),
        ]
    }

    fn cost_of_worker(&self) -> Vec<Row> {
        let (options, figures) = (&self.options, self.figures);
        let pair = &figures.pair;
        let (now, peak) = figures.resident_kib;
        let with = |crowded: String, paced: Option<String>| match paced {
            Some(paced) => format!("{crowded} with every core at it, {paced} at the jobs' rate"),
            None => format!("{crowded} with every core at it"),
        };
        let micros = |ns: u64| format!("{} µs", thousandths(ns, 1));
        let times = |permille: u64| format!("{} ×", thousandths(permille, 2));
        let others = with(micros(pair.crowded_ns), pair.paced_ns.map(micros));
        let in_others = with(
            times(figures.crowded_pairs_permille()),
            figures.paced_pairs_permille().map(times),
        );
        vec![
            row(
                "worker CPU per job",
                self.per_job(figures.worker.total_us()),
                self.split(figures.worker),
            ),
            row("RSA-2048 sign + verify", micros(pair.alone_ns), others),
            row(
                "worker CPU in such pairs",
                times(figures.pairs_permille()),
                in_others,
            ),
            row(
                "worker memory, peak",
                mebibytes(peak),
                match options.replicas.get() {
                    1 => format!("{} at the end", mebibytes(now)),
                    many => format!("the largest of {many} replicas"),
                },
            ),
        ]
    }

    fn cost_of_servers(&self) -> Vec<Row> {
        let figures = self.figures;
        let redis = &figures.redis;
        let commands = redis.commands.saturating_mul(1_000) / figures.jobs.max(1);
        let (rabbitmq, note) = match figures.rabbitmq {
            Some(cpu) => (self.per_job(cpu.total_us()), self.split(cpu)),
            None => ("–".to_owned(), "it is not of this machine".to_owned()),
        };
        vec![
            row(
                "Redis memory per job",
                format!("{} B", redis.memory_bytes),
                "",
            ),
            row("Redis commands per job", thousandths(commands, 2), ""),
            row("Redis CPU per job", self.per_job(redis.cpu_us), ""),
            row("RabbitMQ CPU per job", rabbitmq, note),
            row(
                "sandbox CPU per job",
                self.per_job(figures.sandbox.total_us()),
                self.split(figures.sandbox),
            ),
        ]
    }

    fn per_job(&self, spent_us: u64) -> String {
        let spent_ns = spent_us.saturating_mul(1_000) / self.figures.jobs.max(1);
        format!("{} µs", thousandths(spent_ns, 1))
    }

    fn split(&self, cpu: CpuTime) -> String {
        let [user, system] = [cpu.user_us, cpu.system_us].map(|spent| self.per_job(spent));
        format!("{user} user, {system} system")
    }

    /// One object; times in microseconds where the name does not say otherwise.
    pub(super) fn json(&self) -> Value {
        let (options, figures) = (&self.options, self.figures);
        let cpu = |cpu: &CpuTime| json!({"user_us": cpu.user_us, "system_us": cpu.system_us});
        let latency = &figures.latency;
        let (queued, rate) = match options.feed {
            Feed::Queued(queued) => (Some(queued.max(options.jobs)), None),
            Feed::PerSecond(rate) => (None, Some(rate)),
        };
        json!({
            "jobs": figures.jobs,
            "queued": queued,
            "rate": rate,
            "delay_ms": u64::try_from(options.delay.as_millis()).unwrap_or(u64::MAX),
            "replicas": options.replicas,
            "answers_signed_before": options.answers == Answers::SignedBefore,
            "elapsed_us": figures.elapsed_us,
            "jobs_per_second": figures.jobs_per_second(),
            "repeated": figures.repeated,
            "unpaid": figures.unpaid,
            "latency_us": {
                "p50": latency.p50_us, "p95": latency.p95_us, "p99": latency.p99_us,
                "max": latency.max_us,
            },
            "worker_cpu": cpu(&figures.worker),
            "pair_ns": {"alone": figures.pair.alone_ns, "crowded": figures.pair.crowded_ns, "paced": figures.pair.paced_ns},
            "pairs_permille": {
                "alone": figures.pairs_permille(), "crowded": figures.crowded_pairs_permille(),
                "paced": figures.paced_pairs_permille(),
            },
            "worker_resident_kib": {"end": figures.resident_kib.0, "peak": figures.resident_kib.1},
            "redis": {
                "bytes_per_job": figures.redis.memory_bytes,
                "commands": figures.redis.commands, "cpu_us": figures.redis.cpu_us,
            },
            "rabbitmq_cpu": figures.rabbitmq.as_ref().map(cpu),
            "sandbox_cpu": cpu(&figures.sandbox),
        })
    }
}

fn count(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// `1234567` thousandths are `1,234.6` with one place.
fn thousandths(value: u64, places: u32) -> String {
    let step = 10_u64.pow(3_u32.saturating_sub(places));
    let rounded = value.saturating_add(step / 2) / step;
    let unit = 10_u64.pow(places);
    let width = usize::try_from(places).unwrap_or_default();
    format!("{}.{:0width$}", grouped(rounded / unit), rounded % unit)
}

fn millis(micros: u64) -> String {
    format!("{} ms", thousandths(micros, 2))
}

fn mebibytes(kib: u64) -> String {
    format!("{} MiB", thousandths(kib.saturating_mul(1_000) / 1_024, 1))
}

fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::with_capacity(digits.len().saturating_mul(2));
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{grouped, mebibytes, millis, thousandths};

    #[test]
    fn figures_are_rounded_and_grouped() {
        assert_eq!(thousandths(1_234_567, 1), "1,234.6");
        assert_eq!(thousandths(1_604, 2), "1.60");
        assert_eq!(thousandths(1_999, 2), "2.00");
        assert_eq!(millis(1_234), "1.23 ms");
        assert_eq!(mebibytes(49_152), "48.0 MiB");
        assert_eq!(
            [grouped(1), grouped(1_000), grouped(1_000_000)],
            ["1", "1,000", "1,000,000"]
        );
    }
}
