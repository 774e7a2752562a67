//! The dead letters under an operator's hands: looked at as often as one likes, published again
//! before they go, and never lost in between.

use std::time::Duration;

use futures_util::future::join_all;
use hongbaod::adapters::rabbitmq::RabbitmqOptions;
use hongbaod::adapters::rabbitmq::dead_letters::{DeadLetter, LetterError, Reader, Replayer};
use hongbaod::domain::entry::{ReturnAddress, Ticket};
use hongbaod::domain::job::Kind;
use hongbaod::domain::lane::Lane;
use hongbaod::domain::time::UnixMillis;
use hongbaod::ports::broker::{Broker, Epitaph, JobCopy, PublishError};
use lapin::message::BasicGetMessage;
use lapin::options::BasicGetOptions;

use super::rabbitmq::{Bystander, connect, options};
use super::world::job;
use crate::patience::eventually;
use crate::servers::{amqp_url, unique_prefix};

/// More than two consumers hold, so that a third one has to go on.
const LETTERS: usize = 600;

/// A place with so many dead letters, whose bodies are their numbers, and nobody who takes jobs.
async fn buried(topic: &str, count: usize) -> (RabbitmqOptions, Bystander) {
    let options = options(&amqp_url(), &unique_prefix(topic));
    let broker = connect(options.clone()).await;
    let epitaph = Epitaph {
        reason: "invalid",
        detail: "no reason".to_owned(),
        at: UnixMillis(5_000),
    };
    for start in (0..count).step_by(100) {
        let numbers = start..(start + 100).min(count);
        let copies: Vec<JobCopy> = numbers.map(|number| copy(&number.to_string())).collect();
        let buried = join_all(copies.iter().map(|copy| broker.bury(copy, &epitaph))).await;
        assert!(buried.iter().all(Result::is_ok));
    }
    broker.close().await;
    (options, Bystander::connect(&amqp_url()).await)
}

fn copy(body: &str) -> JobCopy {
    JobCopy {
        ticket: Some(Ticket(7)),
        return_address: ReturnAddress {
            reply_to: Some("answers".to_owned()),
            correlation_id: Some("c-1".to_owned()),
            message_id: Some("m-1".to_owned()),
            traceparent: None,
        },
        ..job(Kind::Disburse, body)
    }
}

fn number(letter: &DeadLetter) -> usize {
    std::str::from_utf8(&letter.body).unwrap().parse().unwrap()
}

/// Looks at everything and lets it go back.
async fn look(options: &RabbitmqOptions) -> Vec<usize> {
    let mut reader = Reader::open(options).await.unwrap();
    let mut seen = Vec::new();
    while let Some(letter) = reader.next().await.unwrap() {
        seen.push(number(&letter));
        reader.keep(&letter).await.unwrap();
    }
    reader.close().await;
    seen
}

async fn first(reader: &mut Reader) -> DeadLetter {
    reader.next().await.unwrap().unwrap()
}

/// The next job in the disburse queue.
async fn next_job(options: &RabbitmqOptions, bystander: &Bystander) -> Option<BasicGetMessage> {
    let channel = bystander.channel().await;
    let queue = format!("{}.jobs.disburse", options.prefix);
    let options = BasicGetOptions { no_ack: true };
    channel.basic_get(queue.into(), options).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thirty_looks_leave_every_letter_in_its_place() {
    let (options, bystander) = buried("looks", LETTERS).await;
    let whole: Vec<usize> = look(&options).await;
    let mut sorted = whole.clone();
    sorted.sort_unstable();
    assert!(sorted.iter().copied().eq(0..LETTERS), "each once");
    for time in 2..=30 {
        assert_eq!(look(&options).await, whole, "look {time}");
    }
    bystander.demolish(&options).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_look_that_is_cut_off_gives_everything_back() {
    let (options, bystander) = buried("cut", LETTERS).await;
    // Each takes as many as it can hold, so every letter is taken more than twenty times.
    for _ in 0..80 {
        let mut reader = Reader::open(&options).await.unwrap();
        first(&mut reader).await;
        // No goodbye: the connection ends with the value.
        drop(reader);
    }
    eventually("all of them are back", async || {
        look(&options).await.len() == LETTERS
    })
    .await;
    bystander.demolish(&options).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_queue_has_no_letters() {
    let (options, bystander) = buried("empty", 0).await;
    assert_eq!(look(&options).await, Vec::<usize>::new());
    bystander.demolish(&options).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_letter_is_published_again_as_it_was_and_marked() {
    let (options, bystander) = buried("replay", 2).await;
    let replayer = Replayer::connect(&options).await.unwrap();
    let mut reader = Reader::open(&options).await.unwrap();
    assert_eq!(reader.count(), 2);
    let letter = first(&mut reader).await;
    assert_eq!(letter.cause.reason.as_deref(), Some("invalid"));
    assert_eq!(letter.cause.detail.as_deref(), Some("no reason"));
    assert_eq!(letter.cause.at, Some(UnixMillis(5_000)));
    let by = Some(options.connection_name.as_str());
    assert_eq!(letter.cause.by.as_deref(), by);
    let lane = Lane::from(Kind::Disburse);
    replayer.replay(&letter, lane).await.unwrap();
    reader.close().await;

    let job = next_job(&options, &bystander).await.unwrap().delivery;
    assert_eq!(job.data, letter.body);
    let text = |text: &Option<lapin::types::ShortString>| text.as_ref().unwrap().to_string();
    assert_eq!(text(job.properties.message_id()), "m-1");
    assert_eq!(text(job.properties.correlation_id()), "c-1");
    assert_eq!(text(job.properties.reply_to()), "answers");
    let headers = job.properties.headers().clone().unwrap();
    let mut names: Vec<String> = headers.inner().keys().map(ToString::to_string).collect();
    names.retain(|name| name != "x-delivery-count");
    names.sort_unstable();
    assert_eq!(names, ["x-hongbao-replayed", "x-hongbao-ticket"]);
    assert_eq!(look(&options).await.len(), 1);
    replayer.close().await;
    bystander.demolish(&options).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_letter_that_finds_no_queue_stays() {
    let (options, bystander) = buried("unroutable", 3).await;
    bystander
        .delete_queue(&format!("{}.jobs.disburse", options.prefix))
        .await;
    let replayer = Replayer::connect(&options).await.unwrap();
    let mut reader = Reader::open(&options).await.unwrap();
    let letter = first(&mut reader).await;
    let refused = replayer.replay(&letter, Lane::from(Kind::Disburse)).await;
    assert!(
        matches!(
            refused,
            Err(LetterError::Publish(PublishError::Unroutable { .. }))
        ),
        "{refused:?}"
    );
    // Another one's queue is there all the while.
    let letter = first(&mut reader).await;
    replayer
        .replay(&letter, Lane::from(Kind::Refund))
        .await
        .unwrap();
    reader.close().await;
    assert_eq!(look(&options).await.len(), 2);
    replayer.close().await;
    bystander.demolish(&options).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_letter_whose_confirm_does_not_come_stays() {
    let (mut options, bystander) = buried("unconfirmed", 1).await;
    options.confirm_timeout = Duration::ZERO;
    let replayer = Replayer::connect(&options).await.unwrap();
    let mut reader = Reader::open(&options).await.unwrap();
    let letter = first(&mut reader).await;
    let unknown = replayer.replay(&letter, Lane::from(Kind::Disburse)).await;
    assert!(
        matches!(
            unknown,
            Err(LetterError::Publish(PublishError::Unavailable(_)))
        ),
        "{unknown:?}"
    );
    reader.close().await;
    assert_eq!(look(&options).await.len(), 1);
    replayer.close().await;
    bystander.demolish(&options).await;
}

/// What a crash between the two steps leaves: the letter has gone back, and its job is published
/// already. In the other order nothing would be left.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_letter_that_is_lost_before_its_acknowledgement_leaves_two_copies_and_never_none() {
    let (options, bystander) = buried("crash", 1).await;
    let replayer = Replayer::connect(&options).await.unwrap();
    let mut reader = Reader::open(&options).await.unwrap();
    let letter = first(&mut reader).await;
    reader.close().await;
    let lost = replayer.replay(&letter, Lane::from(Kind::Disburse)).await;
    assert!(matches!(lost, Err(LetterError::Acknowledge(_))), "{lost:?}");
    assert!(next_job(&options, &bystander).await.is_some());
    assert_eq!(look(&options).await, [0]);
    replayer.close().await;
    bystander.demolish(&options).await;
}
