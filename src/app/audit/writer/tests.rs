//! What happens when outcomes come faster than they can be written, and at the end.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};

use super::{QUEUE_MAX, Writer};
use crate::adapters::clock::SystemClock;
use crate::app::audit::journal::Journal;
use crate::app::audit::memory::Memory;
use crate::app::metrics::Metrics;
use crate::app::witness::{Settling, Witness as _};
use crate::domain::ident::{AppName, MerchantNo};
use crate::domain::job::{Fingerprint, JobKey, Kind, Labels};
use crate::domain::money::Fen;
use crate::domain::outcome::{Outcome, Rejection, Resolution};
use crate::domain::time::UnixMillis;
use crate::ports::audit::{AuditError, AuditPlace, Work};
use crate::ports::clock::Clock;

/// A place that lets nobody in before the gate is opened, and says when somebody waits.
struct Gated {
    memory: Memory,
    waiting: SyncSender<()>,
    gate: Arc<Mutex<Receiver<()>>>,
}

impl AuditPlace for Gated {
    fn exclusively(&mut self, work: &mut Work<'_>) -> Result<(), AuditError> {
        // Once nobody watches any more, the gate stays open.
        match self.waiting.send(()) {
            Ok(()) | Err(_) => {}
        }
        match self.gate.lock().unwrap().recv() {
            Ok(()) | Err(_) => {}
        }
        self.memory.exclusively(work)
    }
}

fn outcome() -> Outcome {
    Outcome {
        kind: Kind::Disburse,
        fingerprint: Fingerprint([7; 16]),
        out_order_no: None,
        auth_no: None,
        amount: Fen::new(888).unwrap(),
        resolution: Resolution::Rejected(Rejection::Expired),
        attempts: 1,
        settled_at: UnixMillis(1_795_312_801_234),
        labels: Labels::default(),
    }
}

fn settle(writer: &Writer, number: &str) {
    let key = JobKey {
        app: AppName::new("main").unwrap(),
        out_request_no: MerchantNo::new(number).unwrap(),
    };
    let outcome = outcome();
    writer.settled(&Settling {
        key: &key,
        outcome: &outcome,
        took: None,
    });
}

fn has(metrics: &Metrics, sample: &str) -> bool {
    metrics.encode().lines().any(|line| line == sample)
}

#[tokio::test]
async fn what_finds_the_queue_full_is_counted_and_the_log_says_how_much_it_is() {
    let (waiting, waits) = sync_channel(0);
    let (open, gate) = sync_channel(1);
    let memory = Memory::default();
    let place = Gated {
        memory: memory.clone(),
        waiting,
        gate: Arc::new(Mutex::new(gate)),
    };
    let journal = Journal::new(Box::new(place), "pod/1".to_owned(), 1 << 30);
    let metrics = Arc::new(Metrics::new(&[]));
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let writer = Writer::start(journal, clock, Arc::clone(&metrics));
    // The thread stands before the gate with its first line and takes nothing from the queue.
    waits.recv().unwrap();
    for index in 0..QUEUE_MAX + 7 {
        settle(&writer, &format!("R{index}"));
    }
    assert!(has(
        &metrics,
        r#"hongbaod_audit_lines_total{result="lost"} 7"#
    ));
    open.send(()).unwrap();
    drop((open, waits));
    writer.close().await;

    let disk = memory.0.lock().unwrap().clone();
    let report = disk.report();
    assert_eq!((report.faults, report.lost), (0, 7), "{report:?}");
    let words = disk.words();
    let settled = words.iter().filter(|word| *word == "settled").count();
    assert_eq!(settled, QUEUE_MAX);
    assert_eq!(words.first().unwrap(), "opened");
    assert_eq!(words.last().unwrap(), "closed");
    assert_eq!(words.iter().filter(|word| *word == "gap").count(), 1);
}

#[tokio::test]
async fn a_log_that_cannot_be_written_holds_nothing_up_and_is_counted_at_the_end() {
    let memory = Memory::default();
    memory.0.lock().unwrap().room = Some(0);
    let journal = Journal::new(Box::new(memory.clone()), "pod/1".to_owned(), 1 << 30);
    let metrics = Arc::new(Metrics::new(&[]));
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let writer = Writer::start(journal, clock, Arc::clone(&metrics));
    for index in 0..5 {
        settle(&writer, &format!("R{index}"));
    }
    writer.close().await;
    assert!(disk_is_empty(&memory));
    let failing = has(&metrics, "hongbaod_audit_failing 1");
    assert!(failing, "{}", metrics.encode());
    // Five outcomes, and the line that says that the process began.
    let lost = has(&metrics, r#"hongbaod_audit_lines_total{result="lost"} 6"#);
    assert!(lost, "{}", metrics.encode());
}

fn disk_is_empty(memory: &Memory) -> bool {
    memory.0.lock().unwrap().present.is_empty()
}
