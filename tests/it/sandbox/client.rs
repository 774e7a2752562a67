//! A sandbox on a clock of the test's, and a client that signs as Alipay's SDKs do.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use hongbaod::adapters::alipay::sign::{
    SignType, Signer, Verifier, canonical_bytes, canonical_string,
};
use hongbaod::adapters::alipay::wire::{
    Envelope, decode_node, form_decode_bytes, form_encode, node_name, timestamp_gmt8, verify_node,
};
use hongbaod::domain::ident::MerchantNo;
use hongbaod::domain::money::Fen;
use hongbaod::domain::time::UnixMillis;
use hongbaod::sandbox::faults::Faults;
use hongbaod::sandbox::keys::SandboxKeys;
use hongbaod::sandbox::{APP_ID, NotifyTargets, RunningSandbox, Sandbox, SandboxOptions};
use serde_json::{Value, json};

pub(crate) const DISBURSE: &str = "alipay.fund.coupon.order.disburse";
pub(crate) const REFUND: &str = "alipay.fund.coupon.order.refund";
pub(crate) const PAY: &str = "alipay.fund.coupon.order.agreement.pay";
pub(crate) const APP_PAY: &str = "alipay.fund.coupon.order.app.pay";
pub(crate) const PAGE_PAY: &str = "alipay.fund.coupon.order.page.pay";
pub(crate) const QUERY: &str = "alipay.fund.coupon.operation.query";

/// 2026-11-22 10:00:01 in GMT+8.
pub(crate) const START_MS: u64 = 1_795_312_801_000;

pub(crate) type Params = Vec<(String, String)>;

/// How an answer is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signature {
    Good,
    Bad,
    None,
}

/// A sandbox with the paid packet `P` of 10 yuan, and its client.
pub(crate) struct Lab {
    pub(crate) sandbox: RunningSandbox,
    pub(crate) http: reqwest::Client,
    now_ms: Arc<AtomicU64>,
    pub(crate) signer: Signer,
    pub(crate) verifier: Verifier,
}

pub(crate) fn keys() -> &'static SandboxKeys {
    static KEYS: OnceLock<SandboxKeys> = OnceLock::new();
    KEYS.get_or_init(|| SandboxKeys::generate().unwrap())
}

impl Lab {
    pub(crate) async fn start(faults: Faults) -> Self {
        Self::start_signing(faults, SignType::Rsa2).await
    }

    pub(crate) async fn start_signing(faults: Faults, sign_type: SignType) -> Self {
        Self::start_with(keys(), faults, sign_type).await
    }

    pub(crate) async fn start_with(
        keys: &SandboxKeys,
        faults: Faults,
        sign_type: SignType,
    ) -> Self {
        let now_ms = Arc::new(AtomicU64::new(START_MS));
        let clock = Arc::clone(&now_ms);
        let options = SandboxOptions {
            listen: "127.0.0.1:0".parse().unwrap(),
            keys: keys.clone(),
            app_id: APP_ID.to_owned(),
            packets: vec![(MerchantNo::new("P").unwrap(), Fen::new(1_000).unwrap())],
            faults,
            seed: 1,
            delay: Duration::ZERO,
            clock: Arc::new(move || UnixMillis(clock.load(Ordering::SeqCst))),
            time_scale: NonZeroU32::MIN,
            notify_targets: NotifyTargets::Loopback,
        };
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .timeout(Duration::from_secs(20));
        Self {
            sandbox: Sandbox::start(options).await.unwrap(),
            http: http.build().unwrap(),
            now_ms,
            signer: Signer::new(keys.app_private_key().clone(), sign_type).unwrap(),
            verifier: Verifier::new(keys.alipay_public_key(), sign_type).unwrap(),
        }
    }

    pub(crate) fn advance_ms(&self, length_ms: u64) {
        self.now_ms.fetch_add(length_ms, Ordering::SeqCst);
    }

    /// Puts the sandbox's own clock forward; the wall clock stays.
    pub(crate) async fn put_forward(&self, length: &str) {
        let step = json!({ "advance": length }).to_string();
        let url = self.url("/_sandbox/clock");
        let response = self.http.put(url).body(step).send().await.unwrap();
        assert_eq!(response.status(), 200);
    }

    /// The signed params as one string: an order string, or a page's query string.
    pub(crate) fn signed_string(&self, params: Params) -> String {
        form_encode(self.sign(params).iter().map(|(k, v)| (k, v)))
    }

    /// Hands an order string to the phone.
    pub(crate) async fn phone(&self, order_string: &str, how: &str) -> Value {
        let url = self.url(&format!("/_sandbox/phone?{how}"));
        let request = self.http.post(url).body(order_string.to_owned());
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        serde_json::from_slice(&response.bytes().await.unwrap()).unwrap()
    }

    /// Every param of a good call but its signature.
    pub(crate) fn params(&self, method: &str, biz_content: &str) -> Params {
        let now_ms = self.now_ms.load(Ordering::SeqCst);
        let timestamp = timestamp_gmt8(now_ms);
        let params = [
            ("app_id", APP_ID),
            ("method", method),
            ("format", "JSON"),
            ("charset", "utf-8"),
            ("sign_type", self.signer.sign_type().as_str()),
            ("timestamp", &timestamp),
            ("version", "1.0"),
            ("biz_content", biz_content),
        ];
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        params.into_iter().map(owned).collect()
    }

    pub(crate) fn sign(&self, mut params: Params) -> Params {
        let borrowed = params.iter().map(|(k, v)| (k.as_str(), v.as_str()));
        let text = canonical_string(borrowed);
        let sign = self.signer.sign(text.as_bytes()).unwrap();
        params.push(("sign".to_owned(), sign));
        params
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.sandbox.address())
    }

    /// Sends signed params: `biz_content` in the body, the rest in the query string.
    pub(crate) async fn post(&self, params: &Params) -> reqwest::Result<reqwest::Response> {
        let in_body = |name: &str| name == "biz_content";
        let (body, query): (Params, Params) =
            params.iter().cloned().partition(|(name, _)| in_body(name));
        self.post_parts(&query, &body).await
    }

    pub(crate) async fn post_parts(
        &self,
        query: &Params,
        body: &Params,
    ) -> reqwest::Result<reqwest::Response> {
        let form = |params: &Params| form_encode(params.iter().map(|(k, v)| (k, v)));
        let url = self.url(&format!("/gateway.do?{}", form(query)));
        let request = self.http.post(url).body(form(body));
        let content_type = "application/x-www-form-urlencoded;charset=utf-8";
        request.header("content-type", content_type).send().await
    }

    /// Makes a good call and takes its answer apart.
    pub(crate) async fn call(&self, method: &str, biz_content: &Value) -> Value {
        let params = self.sign(self.params(method, &biz_content.to_string()));
        let response = self.post(&params).await.unwrap();
        assert_eq!(response.status(), 200);
        let body = response.bytes().await.unwrap();
        let (node, signature) = self.read(&body, method);
        assert_eq!(signature, Signature::Good, "{node}");
        node
    }

    pub(crate) fn read(&self, body: &[u8], method: &str) -> (Value, Signature) {
        let envelope = Envelope::parse(body, &node_name(method)).unwrap();
        let signature = match verify_node(&self.verifier, &envelope) {
            Ok(()) => Signature::Good,
            Err(_) if envelope.sign.is_none() => Signature::None,
            Err(_) => Signature::Bad,
        };
        (
            serde_json::from_str(&decode_node(&envelope)).unwrap(),
            signature,
        )
    }

    pub(crate) async fn get_json(&self, path: &str) -> Value {
        let response = self.http.get(self.url(path)).send().await.unwrap();
        assert_eq!(response.status(), 200, "{path}");
        serde_json::from_slice(&response.bytes().await.unwrap()).unwrap()
    }

    /// How often money left the packets.
    pub(crate) fn movements(&self) -> usize {
        let books = self.sandbox.books().bank;
        assert_eq!(books.sum_fen, 0);
        assert!(books.movements_per_number_max <= 1);
        let done = self.sandbox.operations();
        let done = done.iter().filter(|op| op.status.as_str() == "SUCCESS");
        done.count() - 1
    }

    pub(crate) fn packet_auth_no(&self) -> String {
        self.sandbox.packets()[0].auth_no.clone()
    }
}

pub(crate) fn disburse(number: &str, amount: &str) -> Value {
    json!({
        "out_order_no": format!("O{number}"),
        "out_request_no": format!("R{number}"),
        "deduct_out_order_no": "P",
        "order_title": "恭喜发财 & \"more\"",
        "amount": amount,
        "payee_user_id": "2088202000000007",
    })
}

pub(crate) fn query(out_order_no: &str, out_request_no: &str) -> Value {
    json!({ "out_order_no": out_order_no, "out_request_no": out_request_no })
}

pub(crate) fn pay(number: &str, amount: &str) -> Value {
    json!({
        "out_order_no": number,
        "out_request_no": number,
        "order_title": "新年 <red> packet",
        "amount": amount,
    })
}

/// Verifies signed params as the V1 rule has it, and returns them decoded.
pub(crate) fn verified_form(verifier: &Verifier, form: &[u8]) -> Vec<(String, String)> {
    let params = form_decode_bytes(form).unwrap();
    let get = |wanted: &[u8]| {
        let found = params.iter().find(|(name, _)| name == wanted);
        found.map(|(_, value)| value.clone())
    };
    let sign = String::from_utf8(get(b"sign").unwrap()).unwrap();
    let signed = params.iter().filter(|(name, _)| name != b"sign_type");
    let message = canonical_bytes(signed.map(|(name, value)| (&**name, &**value)));
    verifier.verify(&message, &sign).unwrap();
    let gbk = get(b"charset").is_none_or(|charset| charset.eq_ignore_ascii_case(b"gbk"));
    let text = |bytes: &[u8]| {
        if gbk {
            encoding_rs::GBK.decode(bytes).0.into_owned()
        } else {
            String::from_utf8(bytes.to_vec()).unwrap()
        }
    };
    let decoded = params.iter().map(|(k, v)| (text(k), text(v)));
    decoded.collect()
}
