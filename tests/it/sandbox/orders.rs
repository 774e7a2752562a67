//! Orders that a person pays: on the phone (app.pay) and at the cashier (page.pay).

use hongbaod::adapters::alipay::wire::{Envelope, form_encode, node_name, verify_node};
use hongbaod::sandbox::faults::Faults;
use serde_json::{Value, json};

use crate::sandbox::client::{
    APP_PAY, DISBURSE, Lab, PAGE_PAY, Params, QUERY, disburse, pay, query, verified_form,
};

/// A page of the sandbox's: status, text, and where it sends the browser.
async fn page(request: reqwest::RequestBuilder) -> (u16, String, Option<String>) {
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let location = response.headers().get("location");
    let location = location.map(|location| location.to_str().unwrap().to_owned());
    let gbk = response.headers().get("content-type");
    let gbk = gbk.is_some_and(|name| name.to_str().unwrap().ends_with("GBK"));
    let body = response.bytes().await.unwrap();
    let text = if gbk {
        encoding_rs::GBK.decode(&body).0.into_owned()
    } else {
        String::from_utf8(body.to_vec()).unwrap()
    };
    (status, text, location)
}

fn with(mut params: Params, name: &str, value: &str) -> Params {
    params.push((name.to_owned(), value.to_owned()));
    params
}

/// Opens an order with the browser and returns its `auth_no`.
async fn opened(lab: &Lab, params: Params) -> String {
    let url = lab.url(&format!("/gateway.do?{}", lab.signed_string(params)));
    let (status, _, location) = page(lab.http.get(url)).await;
    assert_eq!(status, 302);
    let location = location.unwrap();
    let auth_no = location.strip_prefix("/_sandbox/cashier?auth_no=");
    auth_no.unwrap().to_owned()
}

fn decision(lab: &Lab, auth_no: &str, action: &str, payer: &str) -> reqwest::RequestBuilder {
    pressed(lab, auth_no, action, payer).header("origin", lab.url(""))
}

fn pressed(lab: &Lab, auth_no: &str, action: &str, payer: &str) -> reqwest::RequestBuilder {
    let form = form_encode([("auth_no", auth_no), ("do", action), ("payer", payer)]);
    lab.http.post(lab.url("/_sandbox/cashier")).body(form)
}

const RICH: &str = "2088101000000001";
const POOR: &str = "2088101000000003";

#[tokio::test]
async fn an_order_string_is_paid_on_the_phone_and_its_result_verifies() {
    let lab = Lab::start(Faults::default()).await;
    let string = lab.signed_string(lab.params(APP_PAY, &pay("A", "8.88").to_string()));
    let result = lab.phone(&string, "").await;
    assert_eq!(result["resultStatus"], "9000");
    let text = result["result"].as_str().unwrap();
    let parsed: Value = serde_json::from_str(text).unwrap();
    assert_eq!(parsed["sign_type"], "RSA2");
    let node = &parsed[node_name(APP_PAY)];
    assert_eq!(
        (&node["status"], &node["amount"]),
        (&json!("SUCCESS"), &json!("8.88"))
    );
    let envelope = Envelope::parse(text.as_bytes(), &node_name(APP_PAY)).unwrap();
    assert_eq!(verify_node(&lab.verifier, &envelope), Ok(()));

    let found = lab.call(QUERY, &query("A", "A")).await;
    assert_eq!(found["payer_user_id"], RICH);
    assert_eq!(found["payer_logon_id"], "138******0001");
    let mut share = disburse("1", "8.88");
    share["deduct_out_order_no"] = json!("A");
    assert_eq!(lab.call(DISBURSE, &share).await["code"], "10000");
}

#[tokio::test]
async fn the_phone_answers_as_its_owner_behaves() {
    let faults = Faults {
        effect_delay_ms: 5_000,
        ..Faults::default()
    };
    let lab = Lab::start(faults).await;
    let string = |number: &str| {
        let content = pay(number, "2.00").to_string();
        lab.signed_string(lab.params(APP_PAY, &content))
    };
    let status = |number: &'static str| {
        let lab = &lab;
        async move { lab.call(QUERY, &query(number, number)).await }
    };
    // What the owner does, what the app is told, and what the query tells after.
    let rows = [
        ("A", "do=offline", "6002", "AUTH_ORDER_NOT_EXIST"),
        ("A", "do=cancel", "6001", "INIT"),
        ("A", "payer=2088101000000003", "4000", "INIT"),
        ("A", "payer=2088000000000000", "4000", "INIT"),
        ("A", "", "9000", "SUCCESS"),
        ("A", "", "5000", "SUCCESS"),
        ("B", "do=pay_unseen", "6004", "SUCCESS"),
        ("C", "do=pay_later", "8000", "INIT"),
        ("C", "", "5000", "INIT"),
    ];
    for (number, how, told, after) in rows {
        let result = lab.phone(&string(number), how).await;
        assert_eq!(result["resultStatus"], told, "{number} {how}");
        let found = status(number).await;
        let seen = found.get("status").unwrap_or_else(|| &found["sub_code"]);
        assert_eq!(seen, after, "{number} {how}");
    }
    lab.put_forward("5s").await;
    assert_eq!(status("C").await["status"], "SUCCESS");
    let url = lab.url("/_sandbox/phone?do=dance");
    assert_eq!(lab.http.post(url).send().await.unwrap().status(), 400);
}

#[tokio::test]
async fn the_phone_refuses_what_the_gateway_would() {
    let lab = Lab::start(Faults::default()).await;
    let good = pay("A", "2.00").to_string();
    let cases = [
        (
            lab.signed_string(lab.params(APP_PAY, &good))
                .replace("2.00", "3.00"),
            "isv.invalid-signature",
        ),
        (
            lab.signed_string(lab.params(PAGE_PAY, &good)),
            "isv.invalid-method",
        ),
        (
            lab.signed_string(with(
                lab.params(APP_PAY, &good),
                "app_auth_token",
                "expired1",
            )),
            "aop.app-auth-token-time-out",
        ),
        ("%".to_owned(), "isv.invalid-parameter"),
    ];
    for (string, memo) in cases {
        let result = lab.phone(&string, "").await;
        assert_eq!(
            result,
            json!({"resultStatus": "4000", "result": "", "memo": memo})
        );
    }
    // What concerns the order itself comes as a signed answer.
    lab.phone(&lab.signed_string(lab.params(APP_PAY, &good)), "")
        .await;
    let other = lab.signed_string(lab.params(APP_PAY, &pay("A", "9.00").to_string()));
    let result = lab.phone(&other, "").await;
    assert_eq!(result["resultStatus"], "4000");
    let text = result["result"].as_str().unwrap();
    assert!(text.contains("UNIQUE_VIOLATION"), "{text}");
    let bad = lab.signed_string(lab.params(APP_PAY, r#"{"out_order_no":"Z"}"#));
    let result = lab.phone(&bad, "").await;
    assert!(
        result["result"]
            .as_str()
            .unwrap()
            .contains("ILLEGAL_ARGUMENT")
    );
    assert_eq!(lab.sandbox.packets().len(), 2);
}

#[tokio::test]
async fn app_pay_as_a_call_fails_and_opens_nothing() {
    let lab = Lab::start(Faults::default()).await;
    let answer = lab.call(APP_PAY, &pay("A", "1.00")).await;
    assert_eq!(
        (&answer["code"], &answer["sub_code"]),
        (&json!("20000"), &json!("isp.unknow-error"))
    );
    assert_eq!(lab.sandbox.packets().len(), 1);
}

#[tokio::test]
async fn a_page_order_is_opened_by_get_and_by_post_and_shown_escaped() {
    let lab = Lab::start(Faults::default()).await;
    let params = lab.params(PAGE_PAY, &pay("G", "8.88").to_string());
    let auth_no = opened(&lab, params.clone()).await;
    // Again, as a browser reloads; and by a form, as merchants' pages send it.
    assert_eq!(opened(&lab, params.clone()).await, auth_no);
    let form = lab.http.post(lab.url("/gateway.do?charset=utf-8"));
    let (status, _, location) = page(form.body(lab.signed_string(params))).await;
    assert_eq!(status, 302);
    assert!(location.unwrap().ends_with(&auth_no));

    let url = lab.url(&format!("/_sandbox/cashier?auth_no={auth_no}"));
    let response = lab.http.get(&url).send().await.unwrap();
    let policy = response.headers()["content-security-policy"]
        .to_str()
        .unwrap();
    assert!(policy.starts_with("default-src 'none'"), "{policy}");
    let (status, html, _) = page(lab.http.get(&url)).await;
    assert_eq!(status, 200);
    for part in [
        "8.88",
        "新年 &lt;red&gt; packet",
        "INIT",
        "value=pay",
        &auth_no,
    ] {
        assert!(html.contains(part), "{part}");
    }
    assert!(!html.contains("<red>") && !html.contains("<script"));
    assert_eq!(lab.sandbox.packets()[1].left_fen, 0);
}

#[tokio::test]
async fn a_person_leaves_or_pays_at_the_cashier_and_is_sent_back_with_signed_params() {
    let lab = Lab::start(Faults::default()).await;
    let params = lab.params(PAGE_PAY, &pay("G", "8.88").to_string());
    let back = "https://shop.example/done?room=42";
    let auth_no = opened(&lab, with(params, "return_url", back)).await;

    let (status, html, _) = page(decision(&lab, &auth_no, "cancel", RICH)).await;
    assert_eq!((status, html.contains("left without paying")), (200, true));
    let (status, html, _) = page(decision(&lab, &auth_no, "pay", POOR)).await;
    assert_eq!((status, html.contains("balance is too low")), (409, true));
    let foreign = pressed(&lab, &auth_no, "pay", RICH);
    let foreign = foreign.header("origin", "http://elsewhere.example");
    assert_eq!(page(foreign).await.0, 403);
    assert_eq!(lab.sandbox.packets()[1].left_fen, 0);

    let (status, _, location) = page(decision(&lab, &auth_no, "pay", RICH)).await;
    assert_eq!(status, 303);
    let location = location.unwrap();
    let signed = location
        .strip_prefix("https://shop.example/done?room=42&")
        .unwrap();
    let fields = verified_form(&lab.verifier, signed.as_bytes());
    for (name, value) in [
        ("out_order_no", "G"),
        ("auth_no", &*auth_no),
        ("amount", "8.88"),
    ] {
        assert!(
            fields.contains(&(name.to_owned(), value.to_owned())),
            "{name}"
        );
    }
    assert_eq!(lab.sandbox.packets()[1].left_fen, 888);
    let (status, html, _) = page(decision(&lab, &auth_no, "pay", RICH)).await;
    assert_eq!((status, html.contains("paid already")), (409, true));
    assert_eq!(lab.sandbox.packets()[1].left_fen, 888);
}

#[tokio::test]
async fn a_return_url_that_is_no_web_address_is_not_followed() {
    let lab = Lab::start(Faults::default()).await;
    for (number, back) in [
        ("J", "javascript:alert(1)"),
        ("F", "file:///etc/passwd"),
        ("R", "/relative"),
        ("P1", "http://a.example;script-src 'unsafe-inline'/"),
        ("U", "http://user@a.example/"),
    ] {
        let params = lab.params(PAGE_PAY, &pay(number, "1.00").to_string());
        let auth_no = opened(&lab, with(params, "return_url", back)).await;
        let url = lab.url(&format!("/_sandbox/cashier?auth_no={auth_no}"));
        let response = lab.http.get(&url).send().await.unwrap();
        let policy = response.headers()["content-security-policy"]
            .to_str()
            .unwrap();
        assert!(!policy.contains("script-src"), "{policy}");
        let (status, html, location) = page(decision(&lab, &auth_no, "pay", RICH)).await;
        assert_eq!((status, location), (200, None), "{back}");
        assert!(html.contains("This order is paid."));
    }
}

#[tokio::test]
async fn a_browser_is_shown_errors_as_a_page_in_gbk() {
    let lab = Lab::start(Faults::default()).await;
    let params = || lab.params(PAGE_PAY, &pay("G", "8.88").to_string());
    let without_app: Params = params()
        .into_iter()
        .filter(|(k, _)| k != "app_id")
        .collect();
    let cases = [
        (
            lab.signed_string(params()).replace("8.88", "9.99"),
            "isv.invalid-signature",
        ),
        (
            lab.signed_string(with(without_app, "app_id", "2021<b>")),
            "isv.invalid-app-id",
        ),
        (
            lab.signed_string(lab.params(PAGE_PAY, "[")),
            "isv.illegal-json",
        ),
        (
            lab.signed_string(lab.params(PAGE_PAY, "{}")),
            "ILLEGAL_ARGUMENT",
        ),
    ];
    for (query, sub_code) in cases {
        let request = lab.http.get(lab.url(&format!("/gateway.do?{query}")));
        let (status, html, location) = page(request).await;
        assert_eq!((status, location), (200, None));
        assert!(html.contains("调试错误"), "{html}");
        assert!(html.contains(sub_code), "{html}");
    }
    assert_eq!(lab.sandbox.packets().len(), 1);
    let (status, html, _) = page(lab.http.get(lab.url("/_sandbox/cashier?auth_no=1"))).await;
    assert_eq!((status, html.contains("no such order")), (404, true));
}
