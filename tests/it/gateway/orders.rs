//! Orders that people pay: the string and the page that they pay by, and what its signature covers.

use hongbaod::adapters::alipay::sign::canonical_string;
use hongbaod::adapters::alipay::wire::form_decode;
use hongbaod::domain::ident::ReturnUrl;
use hongbaod::domain::job::{Cashier, MoneyJob};
use hongbaod::domain::verdict::{NotExecuted, Verdict};
use hongbaod::ports::gateway::Gateway as _;

use super::server::{Reply, Server, http};
use super::world::{app, app_verifier, gateway, order};

fn page() -> Cashier {
    let return_url = ReturnUrl::new("https://shop.test/back?a=1&b=2").unwrap();
    Cashier::Page {
        return_url: Some(return_url),
    }
}

/// The params of a signed order; its signature is checked.
fn params(order: &str) -> Vec<(String, String)> {
    let params = form_decode(order.as_bytes()).unwrap();
    let names: Vec<_> = params.iter().map(|(name, _)| name.as_str()).collect();
    let mut sorted = names.clone();
    sorted.sort_unstable();
    sorted.dedup();
    assert_eq!(names, sorted, "sorted, and each once");
    let all = params
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()));
    let sign = params.iter().find(|(name, _)| name == "sign").unwrap();
    let canonical = canonical_string(all);
    app_verifier()
        .verify(canonical.as_bytes(), &sign.1)
        .unwrap();
    params
}

fn signed(job: &MoneyJob) -> String {
    let gateway = gateway("https://gateway.test/gateway.do");
    let prepared = gateway.prepare(job).unwrap();
    gateway.sign_order(job, &prepared).unwrap().0
}

fn expected(method: &str, return_url: Option<&str>) -> Vec<(String, String)> {
    let pairs = [
        (
            "app_auth_token",
            Some("201509BBeff9351ad1874306903e96b91d248A36"),
        ),
        ("app_id", Some("2021000000000001")),
        (
            "biz_content",
            Some(
                r#"{"out_order_no":"P1","out_request_no":"P1","order_title":"红包 & \"co\"","amount":"66.00","pay_timeout":"15m"}"#,
            ),
        ),
        ("charset", Some("utf-8")),
        ("format", Some("json")),
        ("method", Some(method)),
        (
            "notify_url",
            Some("https://shop.test/alipay/notify/main?x=1&y=2"),
        ),
        ("return_url", return_url),
        ("sign_type", Some("RSA2")),
        ("timestamp", Some("2026-11-22 10:00:01")),
        ("version", Some("1.0")),
    ];
    let pairs = pairs
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)));
    pairs
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

fn without_sign(mut params: Vec<(String, String)>) -> Vec<(String, String)> {
    params.retain(|(name, _)| name != "sign");
    params
}

#[test]
fn an_order_string_holds_every_param_sorted_and_its_signature_covers_them() {
    let method = "alipay.fund.coupon.order.app.pay";
    let params = params(&signed(&order(Cashier::App)));
    assert_eq!(without_sign(params), expected(method, None));
}

#[test]
fn a_page_is_the_gateways_address_with_the_order_and_its_signed_return_url() {
    let method = "alipay.fund.coupon.order.page.pay";
    let url = signed(&order(page()));
    let order = url
        .strip_prefix("https://gateway.test/gateway.do?")
        .unwrap();
    let back = "https://shop.test/back?a=1&b=2";
    assert_eq!(without_sign(params(order)), expected(method, Some(back)));
}

#[test]
fn the_form_carries_the_same_order_as_the_page() {
    let gateway = gateway("https://gateway.test/gateway.do");
    let form = gateway.order_form(&order(page())).unwrap();
    let attribute = |after: &str| {
        let rest = form.split_once(after).unwrap().1;
        let value = rest.split_once('"').unwrap().0;
        value
            .replace("&quot;", "\"")
            .replace("&#39;", "'")
            .replace("&lt;", "<")
            .replace("&gt;", ">")
            .replace("&amp;", "&")
    };
    let action = attribute("action=\"");
    let (address, query) = action.split_once('?').unwrap();
    assert_eq!(address, "https://gateway.test/gateway.do");
    let mut all = form_decode(query.as_bytes()).unwrap();
    assert_eq!(query, "charset=utf-8");
    for field in form.split("<input type=\"hidden\" name=\"").skip(1) {
        let name = field.split('"').next().unwrap();
        let value = attribute(&format!("name=\"{name}\" value=\""));
        all.push((name.to_owned(), value));
    }
    all.sort();
    let method = "alipay.fund.coupon.order.page.pay";
    assert_eq!(
        without_sign(all.clone()),
        expected(method, Some("https://shop.test/back?a=1&b=2"))
    );
    let pairs = all
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()));
    let sign = &all.iter().find(|(name, _)| name == "sign").unwrap().1;
    app_verifier()
        .verify(canonical_string(pairs).as_bytes(), sign)
        .unwrap();
    assert_eq!(gateway.order_form(&order(Cashier::App)), None);
}

#[tokio::test]
async fn an_order_is_never_sent_from_here() {
    let server = Server::replying(Reply::Bytes(http("200 OK", b"{}"))).await;
    let gateway = gateway(&server.url);
    let prepared = gateway.prepare(&order(Cashier::App)).unwrap();
    let verdict = gateway.send(&app(), &prepared).await;
    assert!(matches!(
        verdict,
        Verdict::NotExecuted(NotExecuted::NotSent)
    ));
    assert!(server.seen().is_empty());
}
