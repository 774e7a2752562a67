//! The gateway over real connections: what is sent, and what each kind of trouble is taken for.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failed step of the set-up is a failed test"
)]

use std::sync::Arc;
use std::time::Duration;

use encoding_rs::GBK;
use hongbaod::adapters::alipay::sign::canonical_string;
use hongbaod::adapters::alipay::wire::form_decode;
use hongbaod::adapters::alipay::{AlipayGateway, AlipayOptions, TrustOptions};
use hongbaod::domain::ident::AppName;
use hongbaod::domain::job::{MoneyJob, QueryTarget};
use hongbaod::domain::verdict::{Blockage, Doubt, Finding, NotExecuted, Proof, Verdict};
use hongbaod::ports::gateway::{CallObserver, Gateway};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use server::{Door, Reply, Seen, Server, http, http_of_length};
use world::{
    Reports, app, app_options, app_verifier, disburse, gateway, gateway_of, hasty_gateway, options,
    own_public_key, pay, refund, refused, signed,
};

mod modes;
mod orders;
mod server;
mod world;

const DISBURSE: &str = "alipay.fund.coupon.order.disburse";
const REFUND: &str = "alipay.fund.coupon.order.refund";
const PAY: &str = "alipay.fund.coupon.order.agreement.pay";
const QUERY: &str = "alipay.fund.coupon.operation.query";

const SUCCESS: &str = r#"{"code":"10000","msg":"Success","amount":"8.88","operation_id":"20261122312616259502","out_request_no":"R1","status":"SUCCESS"}"#;

fn target() -> QueryTarget {
    disburse().query_target()
}

async fn send(url: &str) -> Verdict {
    send_by(&gateway(url)).await
}

async fn send_by(gateway: &AlipayGateway) -> Verdict {
    let prepared = gateway.prepare(&disburse()).unwrap();
    gateway.send(&app(), &prepared).await
}

async fn query(url: &str) -> Finding {
    gateway(url).query(&app(), &target()).await
}

fn ok(body: &[u8]) -> Reply {
    Reply::Bytes(http("200 OK", body))
}

/// Every param of a request by name. Only the charset is in the address: whatever logs addresses
/// on the way learns no signature and no token.
fn params(seen: &Seen) -> Vec<(String, String)> {
    let query = seen.target().strip_prefix("/gateway.do?").unwrap();
    assert_eq!(query, "charset=utf-8");
    let mut params = form_decode(query.as_bytes()).unwrap();
    params.extend(form_decode(&seen.body).unwrap());
    params
}

/// Checks everything about a request but its own `biz_content`, which is returned.
fn check_request(seen: &Seen, method: &str, notify_url: Option<&str>) -> String {
    assert!(seen.head.starts_with("POST "), "{}", seen.head);
    assert_eq!(
        seen.header("content-type"),
        Some("application/x-www-form-urlencoded;charset=utf-8")
    );
    let agent = concat!("hongbaod/", env!("CARGO_PKG_VERSION"));
    assert_eq!(seen.header("user-agent"), Some(agent));

    let params = params(seen);
    let value = |name: &str| {
        let mut values = params.iter().filter(|(found, _)| found == name);
        let value = values.next().map(|(_, value)| value.as_str());
        assert!(values.next().is_none(), "{name} comes twice");
        value
    };
    for (name, expected) in [
        ("app_id", Some("2021000000000001")),
        (
            "app_auth_token",
            Some("201509BBeff9351ad1874306903e96b91d248A36"),
        ),
        ("charset", Some("utf-8")),
        ("format", Some("json")),
        ("method", Some(method)),
        ("notify_url", notify_url),
        ("sign_type", Some("RSA2")),
        ("timestamp", Some("2026-11-22 10:00:01")),
        ("version", Some("1.0")),
    ] {
        assert_eq!(value(name), expected, "{name}");
    }
    let all = params
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()));
    let canonical = canonical_string(all);
    app_verifier()
        .verify(canonical.as_bytes(), value("sign").unwrap())
        .unwrap();
    value("biz_content").unwrap().to_owned()
}

#[tokio::test]
async fn every_kind_of_job_is_sent_as_it_was_prepared_and_signed() {
    for (job, method) in [(disburse(), DISBURSE), (refund(), REFUND), (pay(), PAY)] {
        let server = Server::replying(ok(signed(method, SUCCESS).as_bytes())).await;
        let gateway = gateway(&server.url);
        let prepared = gateway.prepare(&job).unwrap();
        assert_eq!(prepared.method, method);
        for _resend in 0..2 {
            let verdict = gateway.send(&app(), &prepared).await;
            assert!(matches!(verdict, Verdict::Succeeded(_)), "{verdict:?}");
        }
        let seen = server.seen();
        assert_eq!(seen.len(), 2);
        for request in &seen {
            let notify_url = Some("https://shop.test/alipay/notify/main?x=1&y=2");
            let content = check_request(request, method, notify_url);
            assert_eq!(content, prepared.biz_content.0);
        }
    }
}

#[tokio::test]
async fn a_query_is_sent_without_notify_url() {
    let found = SUCCESS.replace("\"msg\"", r#""operation_type":"PAY","msg""#);
    let server = Server::replying(ok(signed(QUERY, &found).as_bytes())).await;
    let finding = query(&server.url).await;
    assert!(matches!(finding, Finding::Found(_)), "{finding:?}");
    let content = check_request(&server.seen()[0], QUERY, None);
    assert_eq!(content, r#"{"out_order_no":"O1","out_request_no":"R1"}"#);
}

#[tokio::test]
async fn a_signed_not_found_is_not_found_and_an_unsigned_one_is_not() {
    let node = r#"{"code":"40004","msg":"Business Failed","sub_code":"AUTH_ORDER_NOT_EXIST"}"#;
    let body = signed(QUERY, node);
    let server = Server::replying(ok(body.as_bytes())).await;
    assert_eq!(query(&server.url).await, Finding::NotFound);

    let server = Server::replying(ok(without_sign(&body).as_bytes())).await;
    let unverified = Finding::Unknown(Doubt::Unverified);
    assert_eq!(query(&server.url).await, unverified);
}

fn without_sign(body: &str) -> String {
    let (node, _) = body.split_once(",\"sign\":").unwrap();
    format!("{node}}}")
}

/// An address where nobody listens.
async fn dead_url() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    format!("http://{address}/gateway.do")
}

#[tokio::test]
async fn a_refused_connection_is_not_executed() {
    let url = dead_url().await;
    let not_sent = NotExecuted::NotSent;
    assert_eq!(send(&url).await, Verdict::NotExecuted(not_sent));
    assert_eq!(query(&url).await, Finding::NotExecuted(not_sent));
}

#[tokio::test]
async fn a_connection_that_does_not_come_about_in_time_is_not_executed() {
    // Nobody accepts, and the queue for those who wait is full.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut waiting = Vec::new();
    while let Ok(stream) =
        tokio::time::timeout(Duration::from_millis(100), TcpStream::connect(address)).await
    {
        waiting.push(stream.unwrap());
    }
    let gateway = hasty_gateway(&format!("http://{address}/gateway.do"));
    let verdict = send_by(&gateway).await;
    assert_eq!(verdict, Verdict::NotExecuted(NotExecuted::NotSent));
}

#[tokio::test]
async fn a_connection_that_is_closed_at_once_proves_nothing_about_a_body_that_was_taken() {
    let server = Server::start(Door::Shut).await;
    for _attempt in 0..20 {
        let verdict = send(&server.url).await;
        let honest = matches!(
            verdict,
            Verdict::NotExecuted(NotExecuted::NotSent) | Verdict::Unknown(Doubt::Broken)
        );
        assert!(honest, "{verdict:?}");
    }
}

#[tokio::test]
async fn trouble_after_the_request_was_read_leaves_it_unknown() {
    let body = signed(DISBURSE, SUCCESS).into_bytes();
    let half = &body[..body.len() / 2];
    let html = b"<html><body>Bad Gateway</body></html>";
    let long = vec![b' '; 1024 * 1024 + 1];
    let chunked = [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n200000\r\n".as_slice(),
        &vec![b' '; 0x20_0000],
    ]
    .concat();
    let gone = Reply::Bytes(
        b"HTTP/1.1 302 Found\r\nLocation: /gateway.do\r\nContent-Length: 0\r\n\r\n".to_vec(),
    );
    for (what, reply, doubt) in [
        ("hangs", Reply::BytesThenHang(Vec::new()), Doubt::TimedOut),
        ("closes", Reply::BytesThenClose(Vec::new()), Doubt::Broken),
        ("resets", Reply::Reset, Doubt::Broken),
        (
            "truncates",
            Reply::BytesThenClose(http_of_length("200 OK", half, body.len())),
            Doubt::Broken,
        ),
        (
            "stalls in the body",
            Reply::BytesThenHang(http_of_length("200 OK", half, body.len())),
            Doubt::TimedOut,
        ),
        (
            "stalls in the head",
            Reply::BytesThenHang(b"HTTP/1.1 200 OK\r\nContent-Le".to_vec()),
            Doubt::TimedOut,
        ),
        (
            "speaks no HTTP",
            Reply::BytesThenClose(b"SSH-2.0-OpenSSH_9.2\r\n".to_vec()),
            Doubt::Broken,
        ),
        ("redirects", gone, Doubt::HttpStatus(302)),
        (
            "is a proxy's 502",
            Reply::Bytes(http("502 Bad Gateway", html)),
            Doubt::HttpStatus(502),
        ),
        (
            "is a signed 500",
            Reply::Bytes(http("500 Oops", &body)),
            Doubt::HttpStatus(500),
        ),
        ("answers HTML", ok(html), Doubt::Unreadable),
        ("answers nothing", ok(b""), Doubt::Unreadable),
        ("answers half", ok(half), Doubt::Unreadable),
        ("answers too much", ok(&long), Doubt::Unreadable),
        (
            "answers too much in chunks",
            Reply::BytesThenHang(chunked),
            Doubt::Unreadable,
        ),
    ] {
        let server = Server::replying(reply).await;
        let gateway = if doubt == Doubt::TimedOut {
            hasty_gateway(&server.url)
        } else {
            gateway(&server.url)
        };
        let verdict = send_by(&gateway).await;
        assert_eq!(verdict, Verdict::Unknown(doubt.clone()), "{what}");
        assert_eq!(server.seen().len(), 1, "{what}: sent once, and once only");
        let finding = gateway.query(&app(), &target()).await;
        assert_eq!(finding, Finding::Unknown(doubt), "{what}");
    }
}

#[tokio::test]
async fn a_kept_connection_that_closes_under_a_request_is_not_tried_again() {
    let body = signed(DISBURSE, SUCCESS);
    let server = Server::replying(Reply::BytesOnce(http("200 OK", body.as_bytes()))).await;
    let gateway = gateway(&server.url);
    let prepared = gateway.prepare(&disburse()).unwrap();
    let first = gateway.send(&app(), &prepared).await;
    assert!(matches!(first, Verdict::Succeeded(_)), "{first:?}");
    let second = gateway.send(&app(), &prepared).await;
    assert_eq!(second, Verdict::Unknown(Doubt::Broken));
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn what_is_not_signed_by_alipay_is_not_believed() {
    let body = signed(DISBURSE, SUCCESS);
    let refusal = r#"{"code":"40004","sub_code":"PAYEE_NOT_EXIST"}"#;
    let refusal = signed(DISBURSE, refusal);
    let forged = body.replace("20261122312616259502", "20261122312616259503");
    let double = body.replace(
        ",\"sign\":",
        ",\"alipay_fund_coupon_order_disburse_response\":{},\"sign\":",
    );
    for (what, body, doubt) in [
        ("no sign", without_sign(&body), Doubt::Unverified),
        (
            "a refusal without sign",
            without_sign(&refusal),
            Doubt::Unverified,
        ),
        ("a changed node", forged, Doubt::Unverified),
        ("two nodes", double, Doubt::Unreadable),
        (
            "another method's node",
            signed(REFUND, SUCCESS),
            Doubt::Unreadable,
        ),
        (
            "another job's success",
            signed(DISBURSE, &SUCCESS.replace("\"R1\"", "\"R2\"")),
            Doubt::Foreign,
        ),
        (
            "another amount",
            signed(DISBURSE, &SUCCESS.replace("8.88", "88.88")),
            Doubt::Foreign,
        ),
    ] {
        let server = Server::replying(ok(body.as_bytes())).await;
        let verdict = send(&server.url).await;
        assert_eq!(verdict, Verdict::Unknown(doubt), "{what}");
    }
}

#[tokio::test]
async fn an_unsigned_gbk_error_about_the_app_blocks_without_proof() {
    let body = r#"{"error_response":{"code":"40002","sub_code":"isv.invalid-app-id","sub_msg":"无效的应用标识"}}"#;
    let (gbk, _, _) = GBK.encode(body);
    let server = Server::replying(ok(&gbk)).await;
    let blocked = Verdict::Blocked(Blockage {
        code: "40002".to_owned(),
        sub_code: Some("isv.invalid-app-id".to_owned()),
        proof: Proof::Unsigned,
    });
    assert_eq!(send(&server.url).await, blocked);
}

#[tokio::test]
async fn each_call_is_reported_with_known_codes_only() {
    let node = r#"{"code":"40004","sub_code":"SOMEBODY_S_NAME"}"#;
    let server = Server::replying(ok(signed(DISBURSE, node).as_bytes())).await;
    let reports = Arc::new(Reports::default());
    let observer: Arc<dyn CallObserver> = reports.clone();
    let gateway = gateway_of(AlipayOptions {
        observer: Some(observer),
        ..options(&server.url)
    });
    let prepared = gateway.prepare(&disburse()).unwrap();
    gateway.send(&app(), &prepared).await;
    gateway.query(&app(), &target()).await;
    assert_eq!(
        reports.lines(),
        [
            format!("main {DISBURSE} unknown 40004 other 1ms"),
            format!("main {QUERY} unknown none none 1ms"),
        ]
    );
}

#[tokio::test]
async fn an_app_that_is_not_configured_is_never_called_for() {
    let server = Server::replying(Reply::Reset).await;
    let gateway = gateway(&server.url);
    let other = AppName::new("other").unwrap();
    assert_eq!(gateway.apps(), [app()]);
    let job = MoneyJob {
        app: other.clone(),
        ..disburse()
    };
    assert_eq!(gateway.prepare(&job), None);
    let prepared = gateway.prepare(&disburse()).unwrap();
    let not_sent = NotExecuted::NotSent;
    let verdict = gateway.send(&other, &prepared).await;
    assert_eq!(verdict, Verdict::NotExecuted(not_sent));
    let finding = gateway.query(&other, &target()).await;
    assert_eq!(finding, Finding::NotExecuted(not_sent));
    assert!(server.seen().is_empty());
}

#[test]
fn options_that_cannot_work_are_refused() {
    let with = |change: &dyn Fn(&mut AlipayOptions)| {
        let mut options = options("https://gateway.test/gateway.do");
        change(&mut options);
        refused(options)
    };
    for (error, expected) in [
        (with(&|o| o.apps.clear()), "no app"),
        (with(&|o| o.apps.push(app_options())), "twice"),
        (
            with(&|o| o.gateway_url = "gateway.do".to_owned()),
            "address",
        ),
        (with(&|o| o.gateway_url.push_str("?a=1")), "address"),
        (
            with(&|o| o.gateway_url = "ftp://a.test/".to_owned()),
            "address",
        ),
        (with(&|o| o.connect_timeout = o.timeout), "timeout"),
        (with(&|o| o.connect_timeout = Duration::ZERO), "timeout"),
        (with(&|o| o.apps[0].app_id = "20 21".to_owned()), "app_id"),
        (with(&|o| o.apps[0].app_id.clear()), "app_id"),
        (
            with(&|o| o.apps[0].app_auth_token = Some(" ".to_owned().into())),
            "app_auth_token",
        ),
        (
            with(&|o| o.apps[0].notify_url = Some("shop.test".to_owned())),
            "notify_url",
        ),
        (
            with(&|o| o.apps[0].trust = TrustOptions::Keys(vec![own_public_key()])),
            "app's own public key",
        ),
        (
            with(&|o| o.extra_codes.final_.push("SYSTEM_ERROR".to_owned())),
            "code",
        ),
    ] {
        assert!(error.contains(expected), "{error}");
    }
}
