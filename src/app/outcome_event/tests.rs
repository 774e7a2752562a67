use super::encode;
use crate::app::digest::{digest, fingerprint};
use crate::app::job_body::decode;
use crate::domain::draft::FieldError;
use crate::domain::ident::{AlipayNo, AppName};
use crate::domain::job::{Job, Kind, MoneyJob};
use crate::domain::outcome::{
    Announcement, Failure, Invalid, Outcome, QueryAnswer, Rejection, Resolution,
};
use crate::domain::time::UnixMillis;
use crate::domain::verdict::Refusal;

const AT: UnixMillis = UnixMillis(1_795_312_801_234);

fn job() -> MoneyJob {
    let body = br#"{"kind":"disburse","out_request_no":"R1","out_order_no":"O1","deduct_out_order_no":"P1",
        "order_title":"t","amount":"8.88","payee_user_id":"2088000000000001","labels":{"room":"42"}}"#;
    let Ok(Job::Money(job)) = decode(body, Some(&AppName::new("main").unwrap())) else {
        panic!("a money job")
    };
    job
}

fn outcome(resolution: Resolution) -> Outcome {
    let job = job();
    Outcome {
        kind: Kind::Disburse,
        fingerprint: fingerprint(&job),
        out_order_no: job.out_order_no().cloned(),
        auth_no: AlipayNo::new("2026112210002001950287006752").ok(),
        amount: job.amount(),
        resolution,
        attempts: 1,
        settled_at: AT,
        labels: job.labels,
    }
}

fn settled(resolution: Resolution) -> Announcement {
    Announcement::Settled {
        key: job().key(),
        outcome: outcome(resolution),
    }
}

/// A trace that is recorded.
const TRACEPARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

#[test]
fn a_success_reads_word_by_word_as_documented() {
    let resolution = Resolution::Succeeded {
        operation_id: AlipayNo::new("20261122312616259502").ok(),
        gmt_trans: Some("2026-11-22 10:00:01".to_owned()),
    };
    let event = encode(&settled(resolution), Some(TRACEPARENT));
    assert_eq!(event.routing_key, "disburse.succeeded");
    assert_eq!(event.id, "main/disburse/R1");
    assert_eq!(
        String::from_utf8(event.body.to_vec()).unwrap(),
        concat!(
            r#"{"specversion":"1.0","id":"main/disburse/R1","source":"/hongbaod/main","#,
            r#""type":"hongbao.disburse.succeeded.v1","subject":"R1","time":"2026-11-22T10:00:01.234+08:00","#,
            r#""datacontenttype":"application/json","attempts":1,"#,
            r#""traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01","#,
            r#""data":{"kind":"disburse","result":"succeeded","app":"main","out_request_no":"R1","#,
            r#""out_order_no":"O1","auth_no":"2026112210002001950287006752","#,
            r#""operation_id":"20261122312616259502","amount":"8.88","status":"SUCCESS","#,
            r#""gmt_trans":"2026-11-22 10:00:01","code":"10000","sub_code":null,"display_message":null,"#,
            r#""reason":null,"detail":null,"labels":{"room":"42"}}}"#,
        )
    );
}

#[test]
#[expect(
    clippy::too_many_lines,
    reason = "a table of announcements and their ids"
)]
fn every_announcement_has_an_id_of_its_own_kind() {
    let refused = Refusal {
        code: "40004".to_owned(),
        sub_code: None,
        display_message: None,
    };
    let failed = Resolution::Failed(Failure::Refused(refused));
    let body_digest = digest(b"body");
    let job = job();
    let print = fingerprint(&job);
    let Ok(Job::Query(query)) = decode(
        br#"{"kind":"query","out_order_no":"O1","out_request_no":"R1"}"#,
        Some(&job.app),
    ) else {
        panic!("a query")
    };
    let invalid = Invalid {
        app: job.app.clone(),
        kind: Kind::Disburse,
        out_request_no: job.out_request_no.clone(),
        body_digest,
        errors: vec![FieldError::new("amount", "is missing")],
        at: AT,
    };
    let answered = |message_id: Option<&str>, answer| Announcement::Answered {
        job: Box::new(query.clone()),
        message_id: message_id.map(str::to_owned),
        answer,
        attempts: 1,
        at: AT,
    };
    for (announcement, id, routing_key) in [
        (
            settled(failed.clone()),
            "main/disburse/R1".to_owned(),
            "disburse.failed",
        ),
        (
            settled(Resolution::Rejected(Rejection::Expired)),
            "main/disburse/R1".to_owned(),
            "disburse.rejected",
        ),
        (
            Announcement::Contradicted {
                key: job.key(),
                outcome: outcome(failed),
                evidence: "x",
                at: AT,
            },
            "main/disburse/R1/contradicted".to_owned(),
            "disburse.contradicted",
        ),
        (
            Announcement::Conflict {
                job: Box::new(job.clone()),
                fingerprint: print,
                at: AT,
            },
            format!("main/disburse/R1/conflict/{print}"),
            "disburse.rejected",
        ),
        (
            Announcement::Unresolved {
                job: Box::new(job.clone()),
                attempts: 3,
                at: AT,
            },
            "main/disburse/R1/unresolved".to_owned(),
            "disburse.unresolved",
        ),
        (
            Announcement::Invalid(Box::new(invalid)),
            format!("main/disburse/R1/invalid/{body_digest}"),
            "disburse.rejected",
        ),
        (
            answered(Some("m1"), QueryAnswer::NotFound),
            "main/query/O1:R1/m1/not_found".to_owned(),
            "query.not_found",
        ),
        (
            answered(None, QueryAnswer::Expired),
            "main/query/O1:R1/none/rejected".to_owned(),
            "query.rejected",
        ),
    ] {
        let event = encode(&announcement, None);
        assert_eq!((event.id, event.routing_key.as_str()), (id, routing_key));
    }
}
