//! Alipay as one replica reaches it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use hongbaod::app::digest::{digest, fingerprint};
use hongbaod::domain::entry::RequestDigest;
use hongbaod::domain::ident::AppName;
use hongbaod::domain::job::{MoneyJob, QueryTarget};
use hongbaod::domain::outcome::SignedOrder;
use hongbaod::domain::verdict::{Doubt, Finding, Verdict};
use hongbaod::ports::gateway::{BizContent, Expected, Gateway, Prepared};

use crate::sim::bank::{Moment, Request};
use crate::sim::oracle::tag_of;
use crate::sim::process::{Fate, Process, Words};
use crate::sim::scenario::app;

const GATEWAY: Words = Words {
    error: "gateway: slow",
    refused: "gateway: slow",
    late: "gateway: slow",
    reply_lost: "gateway: slow",
    slow: "gateway: slow",
    slow_reply: "gateway: slow answer",
    crash_before: "crash before a gateway call",
    crash_after: "crash after a gateway call",
    freeze_after: "freeze after a gateway call",
};

/// Alipay as a replica reaches it.
pub(crate) struct SimGateway(pub(crate) Arc<Process>);

impl SimGateway {
    /// On the way there.
    async fn travel(&self) -> Fate {
        let process = &self.0;
        let (rate, way) = process.town.with(|state| {
            let rate = (state.weather.ledger + state.weather.broker) / 2;
            (rate, state.dice.millis(1, 300))
        });
        let fate = process.enter(rate, &GATEWAY).await.unwrap_or(Fate::Fine);
        tokio::time::sleep(way).await;
        process.alive().await;
        fate
    }

    /// On the way back: whether the answer comes in time.
    async fn come_back(&self, begun: Duration, fate: Fate) -> bool {
        let process = &self.0;
        let limit = process.town.scenario.options.call_timeout;
        let fate = match fate {
            Fate::Late(length) | Fate::SlowReply(length) => {
                let left = (begun + limit).saturating_sub(process.town.now());
                tokio::time::sleep(length.min(left)).await;
                Fate::Fine
            }
            Fate::ReplyLost => {
                let left = (begun + limit).saturating_sub(process.town.now());
                tokio::time::sleep(left).await;
                Fate::Fine
            }
            Fate::Fine | Fate::CrashAfter | Fate::FreezeAfter(_) => fate,
        };
        let _ended = process.leave(fate).await;
        process.town.now() < begun + limit
    }
}

#[async_trait]
impl Gateway for SimGateway {
    fn apps(&self) -> Vec<AppName> {
        vec![app()]
    }

    fn prepare(&self, job: &MoneyJob) -> Option<Prepared> {
        let mut content = format!("version={}\n", self.0.version);
        for (field, value) in job.fields() {
            content.push_str(&format!("{}={value}\n", field.as_str()));
        }
        content.push_str(&tag_of(job));
        self.0
            .town
            .with(|state| state.contents.insert(content.clone(), job.clone()));
        Some(Prepared {
            method: "alipay.fund.coupon.order.disburse",
            digest: RequestDigest(digest(content.as_bytes()).0),
            biz_content: BizContent(content),
            expected: Expected {
                out_request_no: job.out_request_no.clone(),
                amount: job.amount(),
            },
        })
    }

    fn sign_order(&self, _: &MoneyJob, _: &Prepared) -> Option<SignedOrder> {
        None
    }

    async fn send(&self, _app: &AppName, prepared: &Prepared) -> Verdict {
        let process = &self.0;
        let town = &process.town;
        let begun = town.now();
        let mut sender = process.sender();
        let content = prepared.biz_content.0.clone();
        let (job, number) = town.with(|state| {
            // What a planted bug has put behind the mark is no part of the job.
            let told = content.split('#').next().unwrap_or_default();
            let job = state.contents.get(told).cloned().unwrap();
            sender.is_marked = state.is_first_of_marked(process.channel(), &job);
            let whose = (&job, fingerprint(&job));
            let number = state.oracle.send_begins(begun, whose, &content, &sender);
            (job, number)
        });
        let key = job.key();
        town.note(&process.name, &format_args!("sends {key}"));
        let fate = self.travel().await;
        let request = Request {
            job,
            content,
            begun,
        };
        let overdue = town.now() > begun + town.scenario.options.call_timeout;
        let (verdict, word) = town.with(|state| {
            let mut moment = Moment {
                now: town.now(),
                trouble: state.weather.gateway,
                dice: &mut state.dice,
                overdue,
            };
            state.bank.send(&request, &mut moment)
        });
        if !word.is_empty() {
            town.fault("alipay", word);
        }
        let verdict = if self.come_back(begun, fate).await {
            verdict
        } else {
            Verdict::Unknown(Doubt::TimedOut)
        };
        town.note(&process.name, &format_args!("is told {verdict:?} of {key}"));
        town.with(|state| state.oracle.send_ended(&key, number, &verdict));
        verdict
    }

    async fn query(&self, _app: &AppName, target: &QueryTarget) -> Finding {
        let process = &self.0;
        let town = &process.town;
        let begun = town.now();
        let fate = self.travel().await;
        let (finding, word) = town.with(|state| {
            let mut moment = Moment {
                now: town.now(),
                trouble: state.weather.gateway,
                dice: &mut state.dice,
                overdue: false,
            };
            state.bank.query(target, &mut moment)
        });
        if !word.is_empty() {
            town.fault("alipay", word);
        }
        let finding = if self.come_back(begun, fate).await {
            finding
        } else {
            Finding::Unknown(Doubt::TimedOut)
        };
        town.note(
            &process.name,
            &format_args!("asks for {target}: {}", finding.as_str()),
        );
        if finding == Finding::NotFound {
            let now = town.now();
            town.with(|state| state.found_nothing(target, begun, now));
        }
        finding
    }
}
