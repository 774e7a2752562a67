//! Every interface in every form that merchants use: sign type, charset, keys or certificates, plain or
//! encrypted contents, each by our gateway against `hongbaod sandbox` in a process of its own.

use std::sync::Arc;

use hongbaod::adapters::alipay::AlipayGateway;
use hongbaod::adapters::clock::SystemClock;
use hongbaod::app::alipay_setup;
use hongbaod::app::config::Config;
use hongbaod::app::job_body::decode;
use hongbaod::domain::ident::AppName;
use hongbaod::domain::job::{Job, MoneyJob, OperationRef, OrderRef, QueryTarget};
use hongbaod::domain::verdict::{Finding, Operation, OperationStatus, Receipt, Verdict};
use hongbaod::ports::gateway::Gateway as _;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::daemon::process::{Process, Stream};

/// One sandbox and one way to speak to it.
struct Form {
    sign_type: &'static str,
    charset: &'static str,
    options: &'static [&'static str],
}

const KEYS: [&[&str]; 4] = [
    &[],
    &["--certificates"],
    &["--contents", "encrypted"],
    &["--certificates", "--contents", "encrypted"],
];

struct Shop {
    _directory: TempDir,
    _sandbox: Process,
    origin: String,
    gateway: AlipayGateway,
    http: reqwest::Client,
}

fn app() -> AppName {
    AppName::new("main").unwrap()
}

impl Shop {
    async fn open(form: &Form) -> Self {
        let directory = TempDir::new().unwrap();
        let sandbox = Process::start(|command| {
            command.args(["sandbox", "--listen", "127.0.0.1:0"]);
            command.arg("--keys").arg(directory.path().join("keys"));
            command.args(form.options);
        });
        sandbox.line(Stream::Stdout, "/_sandbox/phone").await;
        let section = sandbox.written().stdout.join("\n");
        let file = directory.path().join("hongbaod.toml");
        std::fs::write(&file, &section).unwrap();
        let variables = [
            ("HONGBAOD__ALIPAY__APPS__MAIN__SIGN_TYPE", form.sign_type),
            ("HONGBAOD__ALIPAY__APPS__MAIN__CHARSET", form.charset),
        ];
        let variables = variables.map(|(name, value)| (name.into(), value.into()));
        let config = Config::load(Some(&file), variables.into_iter()).unwrap();
        let options = alipay_setup::options(&config).unwrap();
        let gateway = AlipayGateway::new(options, Arc::new(SystemClock::new())).unwrap();
        let origin = config.alipay.gateway.strip_suffix("/gateway.do").unwrap();
        Self {
            _directory: directory,
            _sandbox: sandbox,
            origin: origin.to_owned(),
            gateway,
            http: reqwest::Client::new(),
        }
    }

    async fn sent(&self, body: Value) -> Receipt {
        let job = job(&body);
        let prepared = self.gateway.prepare(&job).unwrap();
        let verdict = self.gateway.send(&app(), &prepared).await;
        let Verdict::Succeeded(receipt) = verdict else {
            panic!("{body}: {verdict:?}")
        };
        receipt
    }

    async fn found(&self, target: &QueryTarget) -> Operation {
        let finding = self.gateway.query(&app(), target).await;
        let Finding::Found(operation) = finding else {
            panic!("{target}: {finding:?}")
        };
        assert_eq!(operation.status, OperationStatus::Success);
        *operation
    }

    /// Signs an order, and lets a person pay it.
    async fn pay_order(&self, body: Value) -> Operation {
        let job = job(&body);
        let prepared = self.gateway.prepare(&job).unwrap();
        let order = self.gateway.sign_order(&job, &prepared).unwrap().0;
        if body["kind"] == "app_pay" {
            let phone = format!("{}/_sandbox/phone", self.origin);
            let said = self.http.post(phone).body(order).send().await.unwrap();
            let said = said.text().await.unwrap();
            assert!(said.contains("9000"), "{said}");
        } else {
            let page = self.http.get(order).send().await.unwrap();
            let cashier = page.url().clone();
            let page = page.text().await.unwrap();
            assert!(
                cashier.path().ends_with("/_sandbox/cashier"),
                "{cashier} {page}"
            );
            let order = cashier.query_pairs().next().unwrap();
            let form = format!("{}={}&payer=2088101000000001&do=pay", order.0, order.1);
            let paid = self.http.post(format!("{}/_sandbox/cashier", self.origin));
            let kind = "application/x-www-form-urlencoded";
            let paid = paid
                .header("content-type", kind)
                .body(form)
                .send()
                .await
                .unwrap();
            assert!(paid.status().is_success(), "{}", paid.text().await.unwrap());
        }
        self.found(&job.query_target()).await
    }
}

fn job(body: &Value) -> MoneyJob {
    match decode(body.to_string().as_bytes(), Some(&app())) {
        Ok(Job::Money(job)) => job,
        other => panic!("{body}: {other:?}"),
    }
}

async fn every_interface(form: &Form) {
    let shop = Shop::open(form).await;
    let title = "恭喜发财 & \"co\"";
    let pay = json!({"kind": "pay", "out_request_no": "P1", "out_order_no": "P1", "order_title": title,
        "amount": "10.00", "payer_user_id": "2088101117955611", "order_expired_time": "1d"});
    let paid = shop.sent(pay).await;
    let packet = paid.auth_no.unwrap();
    let disburse = json!({"kind": "disburse", "out_request_no": "R1", "out_order_no": "R1",
        "deduct_auth_no": packet.as_str(), "order_title": title, "amount": "8.88",
        "payee_logon_id": "13800000000"});
    let disbursed = shop.sent(disburse).await;
    let refund = json!({"kind": "refund", "out_request_no": "F1", "auth_no": packet.as_str(),
        "amount": "1.12", "remark": "退回 & 谢谢"});
    shop.sent(refund).await;
    let numbers = QueryTarget {
        order: OrderRef::AuthNo(disbursed.auth_no.unwrap()),
        operation: OperationRef::OperationId(disbursed.operation_id.unwrap()),
    };
    assert_eq!(
        shop.found(&numbers).await.order_title.as_deref(),
        Some(title)
    );
    for kind in ["app_pay", "page_pay"] {
        let order = json!({"kind": kind, "out_request_no": kind, "out_order_no": kind,
            "order_title": title, "amount": "6.60"});
        let operation = shop.pay_order(order).await;
        assert_eq!(operation.order_title.as_deref(), Some(title));
    }
    eprintln!(
        "forms: {} {} {:?}: pay, disburse, refund, query, app.pay, page.pay",
        form.sign_type, form.charset, form.options
    );
}

#[tokio::test]
async fn every_interface_works_in_every_form() {
    for sign_type in ["RSA2", "RSA"] {
        for charset in ["utf-8", "gbk"] {
            for options in KEYS {
                let form = Form {
                    sign_type,
                    charset,
                    options,
                };
                every_interface(&form).await;
            }
        }
    }
}
