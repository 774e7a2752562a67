//! The console: JSON for programs, the page for people, and the section to paste.

use std::path::Path;

use hongbaod::sandbox::faults::Faults;
use hongbaod::sandbox::{ContentMode, KeyMode, config_section};
use serde_json::{Value, json};

use crate::sandbox::client::{DISBURSE, Lab, disburse};
use crate::tree::text_files;

async fn send(lab: &Lab, request: reqwest::RequestBuilder) -> (u16, Value) {
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let body = response.bytes().await.unwrap();
    assert!(lab.sandbox.books().bank.sum_fen == 0);
    (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
}

#[tokio::test]
async fn operations_and_books_tell_what_happened() {
    let lab = Lab::start(Faults::default()).await;
    lab.call(DISBURSE, &disburse("1", "2.50")).await;
    let operations = lab.get_json("/_sandbox/operations").await;
    assert_eq!(
        operations[1],
        json!({
            "kind": "disburse", "out_order_no": "O1", "out_request_no": "R1",
            "auth_no": "2026112210002001000000000002",
            "operation_id": "20261122000000000002",
            "amount": "2.50", "status": "SUCCESS", "payee": "2088202000000007",
            "packet": "P", "gmt_create": "2026-11-22 10:00:01",
        })
    );
    let books = lab.get_json("/_sandbox/books").await;
    assert_eq!(books["balanced"], true);
    assert_eq!(books["sum_fen"], 0);
    assert_eq!(books["disbursed_fen"], 250);
    assert_eq!(books["movements"], json!({"pay": 1, "disburse": 1}));
    assert_eq!(books["movements_per_number_max"], 1);
    assert_eq!(books["calls"], json!({ DISBURSE: 1 }));
    let calls = lab.get_json("/_sandbox/calls").await;
    // The laboratory's clock stands still but for the operations' own seconds.
    let instants = calls[DISBURSE].as_array().unwrap();
    assert_eq!(instants.len(), 1);
    assert!(instants[0].as_u64().unwrap() > 1_700_000_000_000, "{calls}");
    let accounts = books["accounts"].as_array().unwrap();
    let packet = json!({"account": "packet:P", "fen": 750});
    assert!(accounts.contains(&packet), "{accounts:?}");
}

#[tokio::test]
async fn packets_are_opened_by_json_and_refused_with_a_reason() {
    let lab = Lab::start(Faults::default()).await;
    let url = lab.url("/_sandbox/packets");
    let rows = [
        (json!({"out_order_no": "N", "amount": "1.00"}), 200),
        (json!({"out_order_no": "N", "amount": "1.00"}), 200),
        (
            json!({"out_order_no": "U", "amount": "1.00", "status": "INIT"}),
            200,
        ),
        (json!({"out_order_no": "N", "amount": "2.00"}), 400),
        (json!({"out_order_no": "N N", "amount": "2.00"}), 400),
        (json!({"out_order_no": "M", "amount": 2}), 400),
        (json!({"out_order_no": "M", "amount": "1"}), 400),
        (
            json!({"out_order_no": "M", "amount": "1.00", "status": "?"}),
            400,
        ),
    ];
    for (packet, expected) in rows {
        let (status, answer) = send(&lab, lab.http.post(&url).body(packet.to_string())).await;
        assert_eq!(status, expected, "{packet}: {answer}");
    }
    let packets = lab.get_json("/_sandbox/packets").await;
    assert_eq!(packets[1]["out_order_no"], "N");
    assert_eq!(packets[1]["left_fen"], 100);
    assert_eq!(packets[2]["status"], "INIT");
    let mut unpaid = disburse("1", "1.00");
    unpaid["deduct_out_order_no"] = json!("U");
    let answer = lab.call(DISBURSE, &unpaid).await;
    assert_eq!(answer["sub_code"], "ILLEGAL_STATUS");
}

#[tokio::test]
async fn fault_knobs_are_set_whole_or_not_at_all() {
    let lab = Lab::start(Faults::default()).await;
    let url = lab.url("/_sandbox/faults");
    let put = |body: &'static str| send(&lab, lab.http.put(&url).body(body));
    let (status, knobs) = put(r#"{"limited_permille":1000}"#).await;
    assert_eq!((status, &knobs["limited_permille"]), (200, &json!(1000)));
    let (status, answer) = put(r#"{"limited_permille":1001}"#).await;
    assert_eq!(status, 400);
    assert!(answer["error"].as_str().unwrap().contains("1001"));
    assert_eq!(put(r#"{"limitd_permille":1}"#).await.0, 400);
    // As `curl -d` sends it.
    let called_a_form = lab.http.put(&url).body(r#"{"limited_permille":1000}"#);
    let called_a_form = called_a_form.header("content-type", "application/x-www-form-urlencoded");
    let (status, knobs) = send(&lab, called_a_form).await;
    assert_eq!(
        (status, knobs["limited_permille"].as_u64()),
        (200, Some(1000))
    );
    let knobs = lab.get_json("/_sandbox/faults").await;
    assert_eq!(knobs["limited_permille"], 1000);
    let limited = lab.call(DISBURSE, &disburse("1", "1.00")).await;
    assert_eq!(limited["code"], "40005");
}

#[tokio::test]
async fn the_page_is_for_people_and_its_forms_work() {
    let lab = Lab::start(Faults::default()).await;
    lab.call(DISBURSE, &disburse("1", "2.50")).await;
    let page = lab.http.get(lab.url("/_sandbox/")).send().await.unwrap();
    assert_eq!(page.status(), 200);
    let policy = page.headers()["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("default-src 'none'"));
    let html = String::from_utf8(page.bytes().await.unwrap().to_vec()).unwrap();
    for part in [
        "Alipay sandbox",
        "packet:P",
        "<td>R1",
        "limited_permille",
        "<td>7.50",
    ] {
        assert!(html.contains(part), "{part}");
    }

    let form = |path: &str, body: &'static str, origin: &str| {
        let request = lab.http.post(lab.url(path)).body(body);
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        request.header("origin", origin.to_owned())
    };
    let own = lab.url("");
    let knobs = "limited_permille=7&limit_per_second=&idempotency=already_used";
    let (status, _) = send(&lab, form("/_sandbox/faults", knobs, &own)).await;
    assert_eq!(status, 303);
    let set = lab.get_json("/_sandbox/faults").await;
    assert_eq!(set["limited_permille"], 7);
    assert_eq!(set["limit_per_second"], Value::Null);
    assert_eq!(set["idempotency"], "already_used");
    let packet = "out_order_no=N&amount=1.00";
    let (status, _) = send(&lab, form("/_sandbox/packets", packet, &own)).await;
    assert_eq!(status, 303);
    let foreign = "http://elsewhere.example";
    for path in ["/_sandbox/packets", "/_sandbox/faults"] {
        assert_eq!(send(&lab, form(path, packet, foreign)).await.0, 403);
    }
    assert_eq!(lab.sandbox.packets().len(), 2);
}

#[test]
fn the_config_section_is_toml_that_names_gateway_and_keys() {
    let listen = "127.0.0.1:8089".parse().unwrap();
    let section = config_section(
        listen,
        Path::new("some \"keys\""),
        (KeyMode::PublicKey, ContentMode::Plain),
    );
    let section: toml::Table = section.parse().unwrap();
    let alipay = &section["alipay"];
    assert_eq!(
        alipay["gateway"].as_str(),
        Some("http://127.0.0.1:8089/gateway.do")
    );
    let app = &alipay["apps"]["main"];
    assert_eq!(app["app_id"].as_str(), Some("2021000000000000"));
    assert_eq!(
        app["alipay_public_key_file"].as_str(),
        Some("some \"keys\"/alipay_public_key.pem")
    );
}

#[tokio::test]
async fn the_page_shows_what_is_to_do_and_its_buttons_do_it() {
    let lab = Lab::start(Faults::default()).await;
    let form = |path: &str, body: String, origin: String| {
        let request = lab.http.post(lab.url(path)).body(body);
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        send(&lab, request.header("origin", origin))
    };
    let own = || lab.url("");
    let unpaid = "out_order_no=U&amount=5.00&status=INIT".to_owned();
    assert_eq!(form("/_sandbox/packets", unpaid, own()).await.0, 303);
    let auth_no = lab.sandbox.packets()[1].auth_no.clone();
    let mut params = lab.params(DISBURSE, &disburse("1", "2.50").to_string());
    let address = "http://192.0.2.1/<script>";
    params.push(("notify_url".to_owned(), address.to_owned()));
    lab.post(&lab.sign(params)).await.unwrap();

    let page = lab.http.get(lab.url("/_sandbox/")).send().await.unwrap();
    let html = String::from_utf8(page.bytes().await.unwrap().to_vec()).unwrap();
    for part in [
        &format!("<a href='cashier?auth_no={auth_no}'>Pay</a>"),
        "address_not_allowed",
        "http://192.0.2.1/&lt;script&gt;",
        "2026-11-22 10:00:01",
        "name='notices.copies'",
    ] {
        assert!(html.contains(part), "{part}");
    }
    assert!(!html.contains("<script"));

    let knobs = "notices.copies=3&notices.order=newest_first&answers.whitespace=pretty";
    assert_eq!(
        form("/_sandbox/faults", knobs.to_owned(), own()).await.0,
        303
    );
    let set = lab.get_json("/_sandbox/faults").await;
    assert_eq!(
        (&set["notices"]["copies"], &set["answers"]["whitespace"]),
        (&json!(3), &json!("pretty"))
    );
    let clock = || "advance=1h".to_owned();
    let close = || format!("auth_no={auth_no}");
    let foreign = || "http://elsewhere.example".to_owned();
    for (path, body) in [
        ("/_sandbox/clock", clock()),
        ("/_sandbox/close", close()),
        ("/_sandbox/rotate", String::new()),
    ] {
        assert_eq!(form(path, body, foreign()).await.0, 403, "{path}");
    }
    assert_eq!(form("/_sandbox/close", close(), own()).await.0, 303);
    assert_eq!(lab.sandbox.packets()[1].status.as_str(), "CLOSED");
    assert_eq!(form("/_sandbox/close", close(), own()).await.0, 409);
    assert_eq!(form("/_sandbox/clock", clock(), own()).await.0, 303);
    let clock = lab.get_json("/_sandbox/clock").await;
    assert_eq!(clock["now"], "2026-11-22 11:00:01");
}

#[test]
fn the_page_about_the_sandbox_names_every_knob() {
    let page = &text_files("docs/sandbox.md")[0].text;
    let Value::Object(knobs) = serde_json::to_value(Faults::default()).unwrap() else {
        panic!("an object");
    };
    for (knob, value) in knobs {
        let group = value.as_object().map(|group| {
            let named = group.keys().map(|inner| format!("{knob}.{inner}"));
            named.collect::<Vec<_>>()
        });
        let inner = group.unwrap_or_else(|| vec![knob]);
        for knob in inner {
            assert!(page.contains(&format!("| `{knob}` |")), "{knob}");
        }
    }
}
