//! An operation is asked for by Alipay's own numbers once an answer gave them, and by the job's when
//! those lead elsewhere.

use hongbaod::domain::ident::{AlipayNo, MerchantNo};
use hongbaod::domain::verdict::{AlipayNumbers, Finding, Operation, OperationStatus, Verdict};

use super::fakes::Scripted;
use super::world::World;
use super::{JOB, found, not_found};

fn in_progress() -> Scripted {
    let numbers = AlipayNumbers {
        auth_no: AlipayNo::new("A1").unwrap(),
        operation_id: AlipayNo::new("B1").unwrap(),
    };
    Scripted::Sent(Verdict::InProgress(Some(Box::new(numbers))))
}

/// The job's operation after `change`.
fn found_but(change: impl FnOnce(&mut Operation)) -> Scripted {
    let Scripted::Queried(Finding::Found(mut operation)) = found(OperationStatus::Success) else {
        panic!("it is found")
    };
    change(&mut operation);
    Scripted::Queried(Finding::Found(operation))
}

async fn asked(script: Vec<Scripted>) -> (String, Vec<String>) {
    let world = World::start(script);
    world.submit(JOB).await;
    let (key, _) = world.event().await;
    world.until("ack", 2).await;
    let asked = world.gateway.asked.lock().unwrap().clone();
    let journal = world.stop().await;
    assert_eq!(journal.count("send"), 1);
    (key, asked)
}

#[tokio::test(start_paused = true)]
async fn what_is_in_progress_is_asked_for_by_alipays_own_numbers() {
    let (key, asked) = asked(vec![in_progress(), found(OperationStatus::Success)]).await;
    assert_eq!(
        (key.as_str(), asked),
        ("disburse.succeeded", vec!["A1:B1".to_owned()])
    );
}

#[tokio::test(start_paused = true)]
async fn numbers_that_lead_to_nothing_or_to_another_operation_prove_nothing() {
    let astray = [
        not_found(),
        found_but(|operation| operation.out_request_no = MerchantNo::new("R2").ok()),
        found_but(|operation| operation.out_request_no = None),
        found_but(|operation| operation.out_order_no = MerchantNo::new("O2").ok()),
    ];
    for astray in astray {
        let (key, asked) =
            asked(vec![in_progress(), astray, found(OperationStatus::Success)]).await;
        assert_eq!(key, "disburse.succeeded");
        assert_eq!(asked, ["A1:B1", "O1:R1"]);
    }
}
