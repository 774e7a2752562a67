//! The least rights, as `docs/security.md` has them: with these everything works, nothing is refused,
//! and none of them is there for nothing.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use hongbaod::adapters::clock::SystemClock;
use hongbaod::adapters::random::SystemRandom;
use hongbaod::adapters::redis_ledger::{RedisInspector, RedisLedgerOptions};
use hongbaod::domain::causes::with_causes;
use lapin::options::{
    BasicConsumeOptions, BasicPublishOptions, ConfirmSelectOptions, QueueBindOptions,
    QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Confirmation};
use redis::aio::MultiplexedConnection;

use crate::daemon::agreement::FAULTS;
use crate::daemon::broker::{Line, counts};
use crate::daemon::plan::{Dice, Plan, Shape};
use crate::daemon::process::Stream;
use crate::daemon::world::{World, WorldOptions};
use crate::patience::eventually;
use crate::redis_server::RedisServer;
use crate::servers::{amqp_url, management_url, unique_prefix};

const PAGE: &str = include_str!("../../../docs/security.md");

const PASSWORD: &str = "pa55word";

/// What only some installations need; and what the rescue asks, which begins after minutes.
const NOT_HERE: [&str; 6] = [
    "zrange",
    "wait",
    "asking",
    "cluster|info",
    "cluster|slots",
    "select",
];

/// What is not asked for inside MULTI: what only some installations need, and MULTI itself.
const NOT_LOOKED_AT: [&str; 6] = [
    "wait",
    "asking",
    "cluster|info",
    "cluster|slots",
    "select",
    "multi",
];

/// The words of the page's only line that begins so, without quotes.
fn line_of(start: &str) -> Vec<String> {
    let mut lines = PAGE.lines().filter(|line| line.starts_with(start));
    let line = lines.next().unwrap_or_else(|| panic!("no line {start}"));
    assert_eq!(lines.next(), None, "{start}");
    let words = line.split_whitespace();
    words
        .map(|word| word.trim_matches('\'').to_owned())
        .collect()
}

/// Makes the user of the page, on everything that has this prefix; returns the commands it may use.
async fn redis_user(admin: &mut MultiplexedConnection, prefix: &str) -> BTreeSet<String> {
    let words = line_of("redis-cli ACL SETUSER hongbaod-worker");
    let mut command = redis::cmd("ACL");
    for word in &words[2..] {
        let word = word.replace("~hongbao:", &format!("~{prefix}:"));
        command.arg(word.replace("PASSWORD", PASSWORD));
    }
    command.exec_async(admin).await.unwrap();
    let granted = words.iter().filter_map(|word| word.strip_prefix('+'));
    granted.map(str::to_owned).collect()
}

/// Makes a user of the page in RabbitMQ, for everything that has this prefix, and returns its URL.
async fn rabbitmq_user(name: &str, prefix: &str) -> String {
    let words = line_of(&format!("rabbitmqctl set_permissions -p payments {name} "));
    let rights = [5, 6, 7].map(|place| words[place].replace("hongbao", prefix));
    let rights = rights.map(|right| right.replace("shop", &format!("{prefix}-shop")));
    user_with(name, prefix, &rights).await
}

/// Makes a user with the rights to configure, write and read.
async fn user_with(name: &str, prefix: &str, rights: &[String; 3]) -> String {
    let [configure, write, read] = rights.each_ref().map(|right| right.replace('\\', "\\\\"));
    let user = format!("{name}-{prefix}");
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    for (path, body) in [
        (
            format!("users/{user}"),
            format!(r#"{{"password":"{PASSWORD}","tags":""}}"#),
        ),
        (
            format!("permissions/%2f/{user}"),
            format!(r#"{{"configure":"{configure}","write":"{write}","read":"{read}"}}"#),
        ),
    ] {
        let request = http.put(format!("{}/api/{path}", management_url()));
        let request = request.basic_auth("guest", Some("guest")).body(body);
        let request = request.header("content-type", "application/json");
        let answer = request.send().await.unwrap();
        assert!(answer.status().is_success(), "{path}: {answer:?}");
    }
    amqp_url().replace("guest:guest", &format!("{user}:{PASSWORD}"))
}

async fn forget_users(prefix: &str) {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    for name in ["hongbaod-worker", "shop-producer", "shop-subscriber"] {
        let url = format!("{}/api/users/{name}-{prefix}", management_url());
        let request = http.delete(url).basic_auth("guest", Some("guest"));
        request.send().await.unwrap();
    }
}

/// What INFO says was called, or refused, with a number above 0 in `field`.
async fn commands(admin: &mut MultiplexedConnection, field: &str) -> BTreeSet<String> {
    let mut info = redis::cmd("INFO");
    let info: String = info.arg("commandstats").query_async(admin).await.unwrap();
    let of_line = |line: &str| {
        let (name, fields) = line.strip_prefix("cmdstat_")?.split_once(':')?;
        let mut fields = fields.trim().split(',');
        let count = fields.find_map(|pair| pair.strip_prefix(field)?.strip_prefix('='))?;
        (count != "0").then(|| name.to_owned())
    };
    info.lines().filter_map(of_line).collect()
}

/// Every command that a person uses, on a daemon that has work.
async fn as_operators_do(world: &World) {
    for words in [
        &["check"][..],
        &["show", "NOT-THERE"],
        &["list", "--unsettled"],
        &["list", "--unsettled", "--scan"],
        &["pause", "main", "refund", "--reason", "a test"],
        &["resume", "main", "refund"],
        &["dead", "list"],
        &["check"],
    ] {
        let mut process = world.hongbaod(words);
        let code = process.exit_code().await;
        let told = process.written().text();
        let denied = ["NOPERM", "ACCESS_REFUSED", "NoPerm"];
        let denied = denied.iter().any(|word| told.contains(word));
        assert!(
            code.is_some_and(|code| code <= 1) && !denied,
            "{words:?}: {told}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_the_least_rights_everything_works_and_each_of_them_is_used() {
    let server = RedisServer::start(&[]);
    let mut admin = server.connection().await;
    let options = WorldOptions {
        redis: server.url(),
        settings: &[
            // A warning, and nothing that is put off for it.
            ("HONGBAOD__BUDGET__PER_APP__DAY", "10000.00"),
            ("HONGBAOD__BUDGET__WARN_PERCENT", "1"),
            ("HONGBAOD__BUDGET__PER_PAYEE__DAY", "10000.00"),
        ],
        ..WorldOptions::default()
    };
    let mut world = World::start("rights", options).await;
    world.set_faults(FAULTS).await;
    let granted = redis_user(&mut admin, &world.prefix).await;
    let worker = rabbitmq_user("hongbaod-worker", &world.prefix).await;
    let producer = rabbitmq_user("shop-producer", &world.prefix).await;
    let redis = format!(
        "redis://hongbaod-worker:{PASSWORD}@127.0.0.1:{}/0",
        server.port()
    );
    world.set("HONGBAOD__REDIS__URLS", &redis);
    world.set("HONGBAOD__RABBITMQ__URLS", &worker);
    let mut daemon = world.daemon().await;
    let subscriber = world.subscribe().await;
    as_operators_do(&world).await;
    let shape = Shape {
        jobs: 60,
        duplicates: 6,
        conflicts: 2,
    };
    let plan = Plan::draw(shape, &mut Dice::new(23));
    world.set("HONGBAOD__RABBITMQ__URLS", &producer);
    world.submit_plan(&plan).await;
    world.set("HONGBAOD__RABBITMQ__URLS", &worker);
    world.finished(&plan, &subscriber, &daemon).await;
    as_operators_do(&world).await;
    let log = daemon.process.written().text();
    for word in ["NOPERM", "ACCESS_REFUSED"] {
        assert!(!log.contains(word), "{word}: {log}");
    }
    assert_eq!(daemon.process.terminate().await, Some(0));
    let books = world.sandbox("books").await;
    assert_eq!(books["movements_per_out_request_no_max"], 1, "{books}");
    let warned = subscriber.events().into_iter();
    let warned = warned.filter(|event| event["type"] == "hongbao.budget.warned.v1");
    assert!(warned.count() > 0, "the spend guard counts");

    let refused: Vec<redis::Value> = redis::cmd("ACL")
        .arg("LOG")
        .query_async(&mut admin)
        .await
        .unwrap();
    assert_eq!(refused, [], "what Redis refused");
    let called = commands(&mut admin, "calls").await;
    let unused: Vec<&String> = granted
        .iter()
        .filter(|command| !called.contains(*command))
        .filter(|command| !NOT_HERE.contains(&command.as_str()))
        .collect();
    assert_eq!(
        unused, [""; 0],
        "granted for nothing; called were {called:?}"
    );
    world.set("HONGBAOD__RABBITMQ__URLS", &amqp_url());
    forget_users(&world.prefix).await;
    world.demolish().await;
}

/// What `hongbaod check` is told of the server at `url`.
async fn looked_at(url: &str, prefix: &str) -> Result<(), String> {
    let mut options = RedisLedgerOptions::new(url.into());
    options.prefix = prefix.to_owned();
    let (clock, random) = (Arc::new(SystemClock::new()), Arc::new(SystemRandom));
    let inspector = RedisInspector::connect(options, clock, random).await;
    let looked = inspector
        .map_err(|error| with_causes(&error))?
        .masters()
        .await;
    looked.map(drop).map_err(|error| with_causes(&error))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_right_that_is_missing_is_named_before_any_job_and_nothing_is_done_to_find_out() {
    let server = RedisServer::start(&[]);
    let mut admin = server.connection().await;
    let prefix = unique_prefix("rights-missing");
    let granted = redis_user(&mut admin, &prefix).await;
    let url = server
        .url()
        .replace("redis://", &format!("redis://hongbaod-worker:{PASSWORD}@"));
    let mut change = async |sign: &str, command: &str| {
        let mut user = redis::cmd("ACL");
        user.arg(&["SETUSER", "hongbaod-worker"])
            .arg(format!("{sign}{command}"));
        user.exec_async(&mut admin).await.unwrap();
    };
    assert_eq!(looked_at(&url, &prefix).await, Ok(()));
    let asked_for = |command: &&String| !NOT_LOOKED_AT.contains(&command.as_str());
    for command in granted.iter().filter(asked_for) {
        change("-", command).await;
        let name = command.to_uppercase().replace('|', " ");
        let told = looked_at(&url, &prefix).await.unwrap_err();
        assert!(
            told.contains(&format!("for {name}: NoPerm")),
            "without {command}: {told}"
        );
        change("+", command).await;
    }
    // Then nobody can look, and whoever has all others works.
    change("-", "multi").await;
    assert_eq!(looked_at(&url, &prefix).await, Ok(()));
    let keys: u64 = redis::cmd("DBSIZE").query_async(&mut admin).await.unwrap();
    assert_eq!(keys, 0);
}

/// Whether `publish` to an exchange is taken, on a channel of its own.
async fn may_publish(line: &Line, exchange: &str, routing_key: &str) -> bool {
    let channel = line.another().await.unwrap();
    let confirms = ConfirmSelectOptions::default();
    channel.confirm_select(confirms).await.unwrap();
    let properties = BasicProperties::default();
    let options = BasicPublishOptions::default();
    let sent = channel.basic_publish(
        exchange.into(),
        routing_key.into(),
        options,
        b"{}",
        properties,
    );
    match sent.await {
        Ok(confirm) => matches!(confirm.await, Ok(Confirmation::Ack(_))),
        Err(_) => false,
    }
}

/// Whether a queue like those of the examples is declared, with one for its dead letters.
async fn may_declare(line: &Line, queue: &str) -> bool {
    let channel = line.another().await.unwrap();
    let text = |text: &str| AMQPValue::LongString(text.into());
    let dead = format!("{queue}.dead");
    let mut quorum = FieldTable::default();
    quorum.insert("x-queue-type".into(), text("quorum"));
    let mut dead_letters = quorum.clone();
    dead_letters.insert("x-dead-letter-exchange".into(), text(""));
    dead_letters.insert("x-dead-letter-routing-key".into(), text(&dead));
    let declare = async |name: &str, arguments: FieldTable| {
        let durable = QueueDeclareOptions::durable();
        channel.queue_declare(name.into(), durable, arguments).await
    };
    declare(&dead, quorum).await.is_ok() && declare(queue, dead_letters).await.is_ok()
}

async fn may_consume(line: &Line, queue: &str) -> bool {
    let channel = line.another().await.unwrap();
    let (options, arguments) = (BasicConsumeOptions::default(), FieldTable::default());
    let consumer = channel.basic_consume(queue.into(), "".into(), options, arguments);
    consumer.await.is_ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_producer_can_only_order_and_a_subscriber_can_only_listen() {
    let world = World::start("rights-of-others", WorldOptions::default()).await;
    let mut daemon = world.daemon().await;
    let prefix = world.prefix.clone();
    let name = |rest: &str| format!("{prefix}.{rest}");
    let producer = rabbitmq_user("shop-producer", &prefix).await;
    let producer = Line::open(&producer).await.unwrap();
    assert!(may_publish(&producer, &name("jobs"), "disburse").await);
    // An event forged, a job past its queue, a dead letter forged, and a queue by its name.
    for (exchange, key) in [
        (name("outcomes"), "disburse.succeeded".to_owned()),
        (name("retry.1s"), "disburse".to_owned()),
        (name("dead"), "disburse".to_owned()),
        (String::new(), name("jobs.disburse")),
    ] {
        assert!(!may_publish(&producer, &exchange, &key).await, "{exchange}");
    }
    for queue in ["jobs.disburse", "dead", "outcomes.unrouted"] {
        assert!(!may_consume(&producer, &name(queue)).await, "{queue}");
    }
    producer.close().await;

    let subscriber = rabbitmq_user("shop-subscriber", &prefix).await;
    let subscriber = Line::open(&subscriber).await.unwrap();
    let queue = format!("{prefix}-shop.outcomes");
    // Only an administrator can make it; then it is as if the subscriber had.
    let administrator = Line::open(&world.amqp).await.unwrap();
    assert!(!may_declare(&subscriber, &queue).await);
    assert!(may_declare(&administrator, &queue).await);
    assert!(may_declare(&subscriber, &queue).await);
    administrator.close().await;
    let (channel, arguments) = (&subscriber.channel, FieldTable::default());
    let bound = channel.queue_bind(
        queue.as_str().into(),
        name("outcomes").into(),
        "#".into(),
        QueueBindOptions::default(),
        arguments,
    );
    bound.await.unwrap();
    assert!(may_consume(&subscriber, &queue).await);
    for exchange in ["jobs", "outcomes", "dead", "retry.1s"] {
        assert!(
            !may_publish(&subscriber, &name(exchange), "disburse").await,
            "{exchange}"
        );
    }
    assert!(!may_publish(&subscriber, "", &name("jobs.disburse")).await);
    for queue in ["jobs.disburse", "dead", "outcomes.unrouted"] {
        assert!(!may_consume(&subscriber, &name(queue)).await, "{queue}");
    }
    subscriber.close().await;

    let line = Line::open(&world.amqp).await.unwrap();
    for queue in [format!("{queue}.dead"), queue] {
        let deleted = line.channel.queue_delete(queue.into(), Default::default());
        deleted.await.unwrap();
    }
    line.close().await;
    assert_eq!(daemon.process.terminate().await, Some(0));
    let _subscribed = world.subscribe().await;
    forget_users(&prefix).await;
    world.demolish().await;
}

async fn ask_for_replies(line: &Line, prefix: &str, queue: &str, numbers: Range<u32>) {
    for number in numbers {
        let body = format!(
            r#"{{"kind":"disburse","out_request_no":"N{number}","out_order_no":"N{number}","deduct_out_order_no":"PACKET-1","order_title":"t","amount":"1.00","payee_user_id":"2088101000000002"}}"#
        );
        let properties = BasicProperties::default().with_delivery_mode(2);
        let sent = line.channel.basic_publish(
            format!("{prefix}.jobs").into(),
            "disburse".into(),
            BasicPublishOptions::default(),
            body.as_bytes(),
            properties.with_reply_to(queue.into()),
        );
        drop(sent.await.unwrap());
    }
}

/// One right less than the page has: replies need the default exchange, which is every queue's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_right_to_reply_no_job_waits_for_its_reply() {
    let mut world = World::start("rights-no-replies", WorldOptions::default()).await;
    let ours = format!("^{}\\.", world.prefix);
    let rights = [ours.clone(), ours.clone(), ours];
    let worker = user_with("hongbaod-worker", &world.prefix, &rights).await;
    world.set("HONGBAOD__RABBITMQ__URLS", &worker);
    let mut daemon = world.daemon().await;
    let subscriber = world.subscribe().await;
    let line = Line::open(&world.amqp).await.unwrap();
    let queue = format!("{}-replies", world.prefix);
    let (durable, arguments) = (QueueDeclareOptions::durable(), FieldTable::default());
    let declared = line
        .channel
        .queue_declare(queue.as_str().into(), durable, arguments);
    declared.await.unwrap();
    let queues = world.job_queues().await;
    // Acknowledged, and not told again and again for the sake of a reply.
    let done = async |count: usize| {
        eventually("every outcome, and empty queues", async || {
            let events = subscriber.events();
            let told: BTreeSet<_> = events.iter().map(|event| event["id"].to_string()).collect();
            let counts = counts(&world.amqp, &queues).await.unwrap();
            let idle = counts.iter().all(|count| *count == 0) && daemon.in_flight().await == 0;
            told.len() == count && idle
        })
        .await;
    };
    ask_for_replies(&line, &world.prefix, &queue, 0..20).await;
    done(20).await;
    let words = "RabbitMQ lets us write into no reply queue";
    daemon.process.line(Stream::Stderr, words).await;
    let lost = || {
        let log = daemon.process.written().text();
        log.matches("lost the connection to RabbitMQ").count()
    };
    // The first refusals may have cost the connection; nobody tries again.
    let before = lost();
    ask_for_replies(&line, &world.prefix, &queue, 20..60).await;
    done(60).await;
    assert_eq!(lost(), before);
    let deleted = line.channel.queue_delete(queue.into(), Default::default());
    deleted.await.unwrap();
    line.close().await;
    assert_eq!(daemon.process.terminate().await, Some(0));
    world.set("HONGBAOD__RABBITMQ__URLS", &amqp_url());
    forget_users(&world.prefix).await;
    world.demolish().await;
}
