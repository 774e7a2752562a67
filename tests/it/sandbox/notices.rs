//! Notifications as a merchant's server receives them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use hongbaod::sandbox::faults::{Faults, Moment, NoticeCharset, NoticeKnobs, NoticeOrder, Nulls};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::sandbox::client::{
    APP_PAY, DISBURSE, Lab, PAY, Params, QUERY, REFUND, disburse, pay, query, verified_form,
};

/// One delivery.
#[derive(Debug)]
struct Received {
    path: String,
    content_type: String,
    body: Vec<u8>,
}

/// A merchant's server, which answers as it is told; `success` when it is told nothing.
struct Merchant {
    url: String,
    received: mpsc::UnboundedReceiver<Received>,
    answers: Answers,
}

type Answers = Arc<Mutex<Vec<(u16, &'static str)>>>;

impl Merchant {
    async fn start() -> Self {
        let (sender, received) = mpsc::unbounded_channel();
        let answers = Answers::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let routes = Router::new()
            .fallback(receive)
            .with_state((sender, Arc::clone(&answers)));
        tokio::spawn(axum::serve(listener, routes).into_future());
        Self {
            url,
            received,
            answers,
        }
    }

    /// Waits for the next delivery.
    async fn next(&mut self) -> Received {
        let patience = Duration::from_secs(20);
        let received = tokio::time::timeout(patience, self.received.recv()).await;
        received.unwrap().unwrap()
    }

    fn will_answer(&self, answers: &[(u16, &'static str)]) {
        let mut told = self.answers.lock().unwrap();
        told.extend(answers.iter().rev());
    }
}

async fn receive(
    State((sender, answers)): State<(mpsc::UnboundedSender<Received>, Answers)>,
    uri: Uri,
    headers: HeaderMap,
    body: axum::body::Bytes,
) -> Response {
    let content_type = headers["content-type"].to_str().unwrap().to_owned();
    let received = Received {
        path: uri.path().to_owned(),
        content_type,
        body: body.to_vec(),
    };
    sender.send(received).unwrap();
    let told = answers.lock().unwrap().pop();
    let (status, text) = told.unwrap_or((200, "success"));
    let status = StatusCode::from_u16(status).unwrap();
    (status, [("location", "/elsewhere")], text).into_response()
}

fn field<'a>(fields: &'a [(String, String)], wanted: &str) -> Option<&'a str> {
    let found = fields.iter().find(|(name, _)| name == wanted);
    found.map(|(_, value)| value.as_str())
}

fn notified(lab: &Lab, method: &str, content: &Value, url: &str) -> Params {
    let mut params = lab.params(method, &content.to_string());
    params.push(("notify_url".to_owned(), url.to_owned()));
    lab.sign(params)
}

async fn call(lab: &Lab, method: &str, content: &Value, url: &str) -> Value {
    let response = lab
        .post(&notified(lab, method, content, url))
        .await
        .unwrap();
    let body = response.bytes().await.unwrap();
    lab.read(&body, method).0
}

fn knobs(notices: NoticeKnobs) -> Faults {
    Faults {
        notices,
        ..Faults::default()
    }
}

#[tokio::test]
async fn each_operation_is_told_to_the_address_of_its_own_call_and_signed_by_the_rule() {
    let lab = Lab::start(Faults::default()).await;
    let mut merchant = Merchant::start().await;
    let to = |path: &str| format!("{}{path}", merchant.url);
    let [paid, shared, back] = [to("/pay"), to("/share"), to("/back")];

    let mut params = lab.params(APP_PAY, &pay("A", "5.00").to_string());
    params.push(("notify_url".to_owned(), paid));
    let order = lab.signed_string(params);
    lab.phone(&order, "").await;
    let told = merchant.next().await;
    assert_eq!(told.path, "/pay");
    assert_eq!(
        told.content_type,
        "application/x-www-form-urlencoded; charset=utf-8"
    );
    let fields = verified_form(&lab.verifier, &told.body);
    for (name, value) in [
        ("out_order_no", "A"),
        ("operation_type", "PAY"),
        ("amount", "5.00"),
        ("status", "SUCCESS"),
        ("app_id", "2021000000000000"),
        ("auth_app_id", "2021000000000000"),
        ("payer_user_id", "2088101000000001"),
        ("notify_time", "2026-11-22 10:00:01"),
        ("order_title", "新年 <red> packet"),
    ] {
        assert_eq!(field(&fields, name), Some(value), "{name}");
    }
    assert_eq!(field(&fields, "notify_id").unwrap().len(), 34);
    assert_eq!(field(&fields, "payee_user_id"), None);
    let auth_no = field(&fields, "auth_no").unwrap().to_owned();

    let mut share = disburse("1", "2.00");
    share["deduct_auth_no"] = json!(auth_no);
    call(&lab, DISBURSE, &share, &shared).await;
    let told = merchant.next().await;
    let fields = verified_form(&lab.verifier, &told.body);
    assert_eq!(told.path, "/share");
    assert_eq!(field(&fields, "payee_user_id"), Some("2088202000000007"));
    assert_eq!(field(&fields, "payer_user_id"), None);

    let refund = json!({"auth_no": auth_no, "out_request_no": "F", "amount": "1.00",
        "remark": "back"});
    call(&lab, REFUND, &refund, &back).await;
    let told = merchant.next().await;
    let fields = verified_form(&lab.verifier, &told.body);
    assert_eq!(told.path, "/back");
    assert_eq!(
        field(&fields, "notify_type"),
        Some("fund_stdtrustee_refund.success")
    );
    assert_eq!(field(&fields, "operation_type"), Some("REFUND"));

    // A query and a call without an address are told to nobody, and a merchant's app is named.
    call(&lab, QUERY, &query("O1", "R1"), &shared).await;
    lab.call(DISBURSE, &disburse("2", "1.00")).await;
    let mut params = lab.params(PAY, &pay("N", "1.00").to_string());
    params.push(("notify_url".to_owned(), back));
    params.push(("app_auth_token".to_owned(), "a-good-token".to_owned()));
    lab.post(&lab.sign(params)).await.unwrap();
    let fields = verified_form(&lab.verifier, &merchant.next().await.body);
    assert_eq!(field(&fields, "out_order_no"), Some("N"));
    assert_eq!(field(&fields, "auth_app_id"), Some("2021000000000099"));
    assert_eq!(
        lab.get_json("/_sandbox/notifications")
            .await
            .as_array()
            .unwrap()
            .len(),
        4
    );
}

#[tokio::test]
async fn what_is_left_goes_back_by_itself_and_the_address_of_the_pay_is_told() {
    let lab = Lab::start(Faults::default()).await;
    let mut merchant = Merchant::start().await;
    let [paid, shared] = ["/pay", "/share"].map(|path| format!("{}{path}", merchant.url));
    let mut content = pay("N", "5.00");
    content["extra_param"] = json!(r#"{"orderExpiredTime":"30m"}"#);
    call(&lab, PAY, &content, &paid).await;
    let mut share = disburse("1", "2.00");
    share["deduct_out_order_no"] = json!("N");
    call(&lab, DISBURSE, &share, &shared).await;
    let mut first = [merchant.next().await.path, merchant.next().await.path];
    first.sort_unstable();
    assert_eq!(first, ["/pay", "/share"]);
    lab.put_forward("30m").await;
    let told = merchant.next().await;
    let fields = verified_form(&lab.verifier, &told.body);
    assert_eq!(told.path, "/pay");
    assert_eq!(
        field(&fields, "notify_type"),
        Some("fund_stdtrustee_refund.success")
    );
    assert_eq!(field(&fields, "amount"), Some("3.00"));
    assert_eq!(field(&fields, "gmt_trans"), Some("2026-11-22 10:30:01"));
}

/// The only notification, once its stage is no longer that of a delivery under way.
async fn settled(lab: &Lab) -> Value {
    loop {
        let notices = lab.get_json("/_sandbox/notifications").await;
        if notices[0]["stage"] != "under_way" {
            return notices[0].clone();
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn only_the_exact_word_ends_the_deliveries_which_follow_the_schedule() {
    let lab = Lab::start(Faults::default()).await;
    let mut merchant = Merchant::start().await;
    merchant.will_answer(&[
        (500, "success"),
        (200, "SUCCESS"),
        (200, "success\n"),
        (302, "success"),
        (200, ""),
        (200, "\"success\""),
        (204, ""),
        (200, "fail"),
    ]);
    let url = format!("{}/n", merchant.url);
    call(&lab, DISBURSE, &disburse("1", "2.00"), &url).await;
    let first = verified_form(&lab.verifier, &merchant.next().await.body);
    // What the clock reads at each further delivery, and how far it is put forward for it.
    let schedule = [
        ("4m", "2026-11-22 10:04:01"),
        ("10m", "2026-11-22 10:14:01"),
        ("10m", "2026-11-22 10:24:01"),
        ("1h", "2026-11-22 11:24:01"),
        ("2h", "2026-11-22 13:24:01"),
        ("6h", "2026-11-22 19:24:01"),
        ("15h", "2026-11-23 10:24:01"),
    ];
    for (pause, instant) in schedule {
        let notice = settled(&lab).await;
        assert_eq!(
            (&notice["stage"], &notice["next"]),
            (&json!("waiting"), &json!(instant))
        );
        lab.put_forward(pause).await;
        let again = verified_form(&lab.verifier, &merchant.next().await.body);
        assert_eq!(field(&again, "notify_id"), field(&first, "notify_id"));
        assert_eq!(field(&again, "notify_time"), Some(instant));
    }
    let notice = settled(&lab).await;
    assert_eq!(notice["stage"], "given_up");
    assert_eq!(notice["deliveries"].as_array().unwrap().len(), 8);

    let lab = Lab::start(Faults::default()).await;
    merchant.will_answer(&[(500, ""), (200, "success")]);
    call(&lab, DISBURSE, &disburse("1", "2.00"), &url).await;
    merchant.next().await;
    settled(&lab).await;
    lab.put_forward("4m").await;
    merchant.next().await;
    let notice = settled(&lab).await;
    assert_eq!(
        (&notice["stage"], &notice["next"]),
        (&json!("acknowledged"), &json!(null))
    );
    assert_eq!(notice["deliveries"][0]["answer"], "not HTTP 200");
    assert_eq!(notice["deliveries"][1]["answer"], "success");
}

#[tokio::test]
async fn a_call_may_be_answered_after_its_notification() {
    let lab = Lab::start(knobs(NoticeKnobs {
        moment: Moment::BeforeAnswer,
        ..NoticeKnobs::default()
    }))
    .await;
    let mut merchant = Merchant::start().await;
    let url = merchant.url.clone();
    for number in ["1", "2", "3"] {
        let answer = call(&lab, DISBURSE, &disburse(number, "1.00"), &url).await;
        assert_eq!(answer["code"], "10000");
        assert!(merchant.received.try_recv().is_ok());
    }
}

#[tokio::test]
async fn deliveries_may_be_doubled_and_come_in_the_wrong_order() {
    let lab = Lab::start(knobs(NoticeKnobs {
        copies: 3,
        delay_ms: 1_000,
        order: NoticeOrder::NewestFirst,
        ..NoticeKnobs::default()
    }))
    .await;
    let mut merchant = Merchant::start().await;
    let url = merchant.url.clone();
    for number in ["1", "2"] {
        call(&lab, DISBURSE, &disburse(number, "1.00"), &url).await;
    }
    lab.put_forward("1s").await;
    let mut told = Vec::new();
    for _ in 0..6 {
        let fields = verified_form(&lab.verifier, &merchant.next().await.body);
        let get = |name| field(&fields, name).unwrap().to_owned();
        told.push((get("out_request_no"), get("notify_id")));
    }
    let numbers: Vec<_> = told.iter().map(|(number, _)| number.as_str()).collect();
    assert_eq!(numbers, ["R2", "R2", "R2", "R1", "R1", "R1"]);
    assert_eq!(told[0].1, told[2].1);
    assert_ne!(told[0].1, told[3].1);
}

#[tokio::test]
async fn notifications_may_be_in_gbk_and_have_members_of_the_text_null() {
    for (charset, said) in [
        (NoticeCharset::Gbk, Some("GBK")),
        (NoticeCharset::GbkUnsaid, None),
    ] {
        let lab = Lab::start(knobs(NoticeKnobs {
            charset,
            nulls: Nulls::Literal,
            ..NoticeKnobs::default()
        }))
        .await;
        let mut merchant = Merchant::start().await;
        let url = merchant.url.clone();
        call(&lab, DISBURSE, &disburse("1", "1.00"), &url).await;
        let told = merchant.next().await;
        assert_eq!(
            told.content_type,
            "application/x-www-form-urlencoded; charset=GBK"
        );
        let fields = verified_form(&lab.verifier, &told.body);
        assert_eq!(field(&fields, "charset"), said);
        assert_eq!(field(&fields, "order_title"), Some("恭喜发财 & \"more\""));
        assert_eq!(field(&fields, "remark"), Some("null"));
        assert_eq!(field(&fields, "payer_user_id"), Some("null"));
    }
}

#[tokio::test]
async fn other_machines_are_not_notified_and_the_call_is_executed_all_the_same() {
    let lab = Lab::start(Faults::default()).await;
    let url = "http://192.0.2.1/alipay/notify";
    let answer = call(&lab, DISBURSE, &disburse("1", "1.00"), url).await;
    assert_eq!(answer["code"], "10000");
    let notice = settled(&lab).await;
    assert_eq!(notice["stage"], "address_not_allowed");
    assert_eq!(notice["deliveries"], json!([]));
}
