//! The real binary with a listener for notifications, and the sandbox as its Alipay.

use hongbaod::adapters::alipay::keys::PrivateKey;
use serde_json::Value;

use super::alipay::Alipay;
use crate::daemon::broker::publish;
use crate::daemon::plan::{Fate, body};
use crate::daemon::world::{World, WorldOptions, events};
use crate::patience::eventually;

/// Words that are only in what is posted.
const MARKS: [&str; 2] = ["remark-of-a-forger", "2088777766665555"];

/// A daemon whose jobs would wait for minutes for their query, were there no notice.
async fn world() -> World {
    let world = World::start(
        "notify-daemon",
        WorldOptions {
            settings: &[
                ("HONGBAOD__NOTIFY__LISTEN", "127.0.0.1:0"),
                ("HONGBAOD__RETRY__DELAY_MIN", "5m"),
                ("HONGBAOD__RETRY__DELAY_MAX", "10m"),
                ("HONGBAOD__LOG__LEVEL", "trace"),
            ],
            ..WorldOptions::default()
        },
    )
    .await;
    world
        .set_faults(r#"{"unknown_with_effect_permille": 1000}"#)
        .await;
    world
}

/// Alipay, with the sandbox's key.
fn alipay(world: &World, app_id: &str) -> Alipay {
    let key = std::fs::read_to_string(world.path("keys/alipay_private_key.pem")).unwrap();
    Alipay::new(PrivateKey::parse(&key).unwrap(), app_id)
}

/// The notice of what the bank did under a number.
async fn notice_of(world: &World, alipay: &Alipay, number: &str) -> String {
    let operations = world.sandbox("operations").await;
    let mut operations = operations.as_array().unwrap().iter();
    let paid = operations.find(|operation| operation["out_request_no"] == number);
    let paid = paid.unwrap();
    let text = |name: &str| paid[name].as_str().unwrap();
    let change = [
        ("operation_type", "PAY"),
        ("auth_no", text("auth_no")),
        ("out_order_no", number),
        ("operation_id", text("operation_id")),
        ("amount", "8.88"),
    ];
    alipay.signed(alipay.refund(number, &change))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_notice_settles_a_waiting_job_of_the_real_daemon_and_forgeries_leave_no_trace() {
    let world = world().await;
    let mut daemon = world.daemon().await;
    let subscriber = world.subscribe().await;
    let job = body("N1", "8.88", Fate::Succeeded);
    publish(&world.amqp, &world.prefix, &[job]).await;
    eventually("the job is deferred", async || {
        let deferred = daemon.count("hongbaod_deferrals_total", "reason=\"unknown\"");
        deferred.await == 1
    })
    .await;

    let app_id = world.config().alipay.apps["main"].app_id.clone();
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let post = async |body: String| {
        let answer = http.post(daemon.notify_url()).body(body).send().await;
        let answer = answer.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    let forger = Alipay::new(PrivateKey::generate().unwrap(), &app_id);
    for _ in 0..3 {
        let forged = [("remark", MARKS[0]), ("payer_user_id", MARKS[1])];
        let forged = forger.signed(forger.refund("N1", &forged));
        assert_eq!(post(forged).await, (403, "fail".to_owned()));
    }
    let notice = notice_of(&world, &alipay(&world, &app_id), "N1").await;
    assert_eq!(post(notice).await, (200, "success".to_owned()));
    events(&subscriber, 1).await;
    let event: Value = subscriber.events().remove(0);
    assert_eq!(event["id"], "main/disburse/N1");
    assert_eq!(event["data"]["result"], "succeeded");
    let settled = daemon.count("hongbaod_notifications_total", "result=\"settled\"");
    assert_eq!(settled.await, 1);
    assert_eq!(daemon.process.terminate().await, Some(0));

    let log = daemon.process.written().text();
    let told = log.matches("a notification is not taken").count();
    assert_eq!(told, 1, "{log}");
    for mark in MARKS {
        assert!(!log.contains(mark), "{mark} in the log");
    }
    world.demolish().await;
}
