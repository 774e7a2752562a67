//! What happens by itself when a time is up.

use hongbaod::sandbox::faults::{Fault, Faults};
use serde_json::json;

use crate::sandbox::client::{APP_PAY, DISBURSE, Lab, PAY, QUERY, REFUND, disburse, pay, query};

#[tokio::test]
async fn an_order_that_nobody_pays_closes_when_its_pay_timeout_is_over() {
    let lab = Lab::start(Faults::default()).await;
    let mut content = pay("A", "5.00");
    content["pay_timeout"] = json!("10m");
    let string = lab.signed_string(lab.params(APP_PAY, &content.to_string()));
    assert_eq!(
        lab.phone(&string, "do=cancel").await["resultStatus"],
        "6001"
    );
    lab.put_forward("599s").await;
    assert_eq!(lab.call(QUERY, &query("A", "A")).await["status"], "INIT");
    lab.put_forward("1s").await;
    assert_eq!(lab.call(QUERY, &query("A", "A")).await["status"], "CLOSED");
    assert_eq!(lab.phone(&string, "").await["resultStatus"], "4000");
    let mut share = disburse("1", "1.00");
    share["deduct_out_order_no"] = json!("A");
    let answer = lab.call(DISBURSE, &share).await;
    assert_eq!(answer["sub_code"], "ORDER_ALREADY_CLOSED");

    // Without one it is an hour.
    let string = lab.signed_string(lab.params(APP_PAY, &pay("B", "5.00").to_string()));
    lab.phone(&string, "do=cancel").await;
    lab.put_forward("3599s").await;
    assert_eq!(lab.call(QUERY, &query("B", "B")).await["status"], "INIT");
    lab.put_forward("1s").await;
    assert_eq!(lab.call(QUERY, &query("B", "B")).await["status"], "CLOSED");
    assert_eq!(lab.sandbox.books().bank.paid_fen, 1_000);
}

#[tokio::test]
async fn what_is_left_goes_back_at_its_time_in_both_spellings_and_for_agreement_pay_alone() {
    let rows = [
        (json!(null), "48h"),
        (json!(r#"{"orderExpiredTime":"30m"}"#), "30m"),
        (json!(r#"{"merchantExt":"orderExpiredTime=30m"}"#), "30m"),
        (json!(r#"{"orderExpiredTime":"whenever"}"#), "48h"),
    ];
    for (extra_param, after) in rows {
        let lab = Lab::start(Faults::default()).await;
        let mut content = pay("N", "5.00");
        content["payer_user_id"] = json!("2088101000000009");
        content["extra_param"] = extra_param.clone();
        assert_eq!(lab.call(PAY, &content).await["status"], "SUCCESS");
        let mut share = disburse("1", "2.00");
        share["deduct_out_order_no"] = json!("N");
        lab.call(DISBURSE, &share).await;
        lab.put_forward(after).await;
        let packet = &lab.sandbox.packets()[1];
        assert_eq!(
            (packet.left_fen, packet.refunded_fen),
            (0, 300),
            "{extra_param}"
        );
        let refund = lab.sandbox.operations().pop().unwrap();
        let found = json!({"auth_no": packet.auth_no, "operation_id": refund.operation_id});
        let found = lab.call(QUERY, &found).await;
        assert_eq!(
            (&found["operation_type"], &found["amount"]),
            (&json!("REFUND"), &json!("3.00"))
        );
        assert_eq!(found["total_pay_refund_amount"], "3.00");
        // A disburse or a refund that comes now is too late.
        let mut late = disburse("2", "1.00");
        late["deduct_out_order_no"] = json!("N");
        let late = lab.call(DISBURSE, &late).await;
        assert_eq!(late["sub_code"], "ORDER_ALREADY_FINISH");
        let back = json!({"auth_no": packet.auth_no, "out_request_no": "F", "amount": "1.00",
            "remark": "late"});
        let back = lab.call(REFUND, &back).await;
        assert_eq!(back["sub_code"], "ORDER_ALREADY_FINISH");
        assert_eq!(lab.sandbox.books().bank.sum_fen, 0);
    }

    let lab = Lab::start(Faults::default()).await;
    let mut content = pay("A", "5.00");
    content["extra_param"] = json!(r#"{"orderExpiredTime":"30m"}"#);
    let string = lab.signed_string(lab.params(APP_PAY, &content.to_string()));
    assert_eq!(lab.phone(&string, "").await["resultStatus"], "9000");
    lab.put_forward("47h").await;
    assert_eq!(lab.sandbox.packets()[1].left_fen, 500);
    lab.put_forward("1h").await;
    assert_eq!(lab.sandbox.packets()[1].left_fen, 0);
    let books = lab.sandbox.books().bank;
    assert_eq!((books.sum_fen, books.refunded_fen), (0, 1_500));
}

#[tokio::test]
async fn a_disburse_and_the_automatic_refund_race_and_one_of_them_gets_the_money() {
    // The packet `P` is refunded 48 h after the start.
    for (delay_ms, disbursed_fen) in [(59_999, 400), (60_000, 400), (60_001, 0)] {
        let faults = Faults {
            effect_delay_ms: delay_ms,
            in_progress_done_permille: 1000,
            ..Faults::default()
        };
        let lab = Lab::start(faults).await;
        lab.put_forward("2879m").await;
        let answer = lab.call(DISBURSE, &disburse("1", "4.00")).await;
        assert_eq!(answer["code"], "10003");
        lab.put_forward("2m").await;
        let injected = lab.sandbox.books().faults_injected;
        assert_eq!(injected.get(Fault::InProgressDone.as_str()), Some(&1));
        let status = if disbursed_fen > 0 {
            "SUCCESS"
        } else {
            "CLOSED"
        };
        let found = lab.call(QUERY, &query("O1", "R1")).await;
        assert_eq!(found["status"], status, "{delay_ms}");
        let books = lab.sandbox.books().bank;
        assert_eq!(books.disbursed_fen, disbursed_fen);
        assert_eq!(books.refunded_fen, 1_000 - disbursed_fen);
        assert_eq!(books.sum_fen, 0);
    }
}

#[tokio::test]
async fn the_clock_is_shown_and_calls_are_still_held_against_the_wall_clock() {
    let lab = Lab::start(Faults::default()).await;
    lab.put_forward("30d").await;
    let clock = lab.get_json("/_sandbox/clock").await;
    assert_eq!(
        clock,
        json!({"now": "2026-12-22 10:00:01", "wall_clock": "2026-11-22 10:00:01", "time_scale": 1})
    );
    let answer = lab.call(PAY, &pay("N", "1.00")).await;
    assert_eq!(answer["gmt_trans"], "2026-12-22 10:00:01");
    let url = lab.url("/_sandbox/clock");
    let wrong = lab
        .http
        .put(&url)
        .body(r#"{"advance":"soon"}"#)
        .send()
        .await;
    assert_eq!(wrong.unwrap().status(), 400);
    let foreign = lab
        .http
        .put(&url)
        .header("origin", "http://elsewhere.example");
    let foreign = foreign.body(r#"{"advance":"1d"}"#).send().await;
    assert_eq!(foreign.unwrap().status(), 403);
}
