use super::*;
use crate::wire::{Limits, NoAnswer};

fn got(status: u16, body: &str) -> Answer {
    Answer::Got(Response {
        status,
        body: body.as_bytes().to_vec(),
        media: if body.starts_with('<') {
            "text/html"
        } else {
            "application/json"
        }
        .into(),
        ..Response::default()
    })
}

fn fault(status: u16, key: &str) -> Answer {
    got(
        status,
        &format!(r#"{{"code":{status},"key":"{key}","message":"M","request_id":"v-1"}}"#),
    )
}

fn upsert(kind: Kind, update: bool) -> Wanted {
    Wanted::Upsert {
        kind,
        key: "K".into(),
        update,
    }
}

/// Outcome and link in a word each.
#[track_caller]
fn check(wanted: &Wanted, answer: &Answer, outcome: &str, link: &str) {
    let verdict = of(wanted, answer, 0);
    let found = match &verdict.outcome {
        Outcome::Acknowledged { id: Some(_) } => "acknowledged+id",
        Outcome::Acknowledged { id: None } => "acknowledged",
        Outcome::Accepted { .. } => "accepted",
        Outcome::Refused(refusal) => &refusal.code,
        Outcome::TooLarge(_) => "too large",
        Outcome::Again { .. } => "again",
        Outcome::Unknown { .. } => "unknown",
        Outcome::Blocked => "blocked",
        Outcome::Missing => "missing",
        Outcome::ProductMissing(_) => "product missing",
    };
    assert_eq!((found, word(&verdict.link)), (outcome, link));
}

fn word(link: &LinkNews) -> &'static str {
    match link {
        LinkNews::Fine => "fine",
        LinkNews::Limited { .. } => "limited",
        LinkNews::Away { .. } => "away",
        LinkNews::Refused { .. } => "refused",
        LinkNews::Exhausted { .. } => "exhausted",
    }
}

const MADE: &str = r#"{"object":"customer","id":"cust_1","source_id":"K"}"#;

#[test]
fn success_is_the_expected_object_with_our_key() {
    let customer = upsert(Kind::Customers, false);
    check(&customer, &got(200, MADE), "acknowledged+id", "fine");
    check(&customer, &got(201, MADE), "acknowledged+id", "fine");
    check(
        &customer,
        &got(200, &MADE.replace("\"K\"", "\"X\"")),
        "unknown",
        "away",
    );
    check(
        &customer,
        &got(200, "<html>welcome</html>"),
        "unknown",
        "away",
    );
    check(&customer, &got(200, ""), "unknown", "away");
    check(&customer, &got(200, "{}"), "unknown", "away");
    check(
        &upsert(Kind::Orders, false),
        &got(200, MADE),
        "unknown",
        "away",
    );
    check(
        &Wanted::Job,
        &got(202, r#"{"async_action_id":"a"}"#),
        "accepted",
        "fine",
    );
    check(
        &Wanted::Job,
        &got(200, r#"{"async_action_id":"a"}"#),
        "accepted",
        "fine",
    );
    check(&Wanted::Job, &got(202, "{}"), "unknown", "away");
    check(&Wanted::Delete, &got(204, ""), "acknowledged", "fine");
    check(&Wanted::Delete, &got(200, "<p>"), "unknown", "away");
    check(&Wanted::Consents, &got(204, ""), "acknowledged", "fine");
}

#[test]
fn the_table_of_errors() {
    let customer = upsert(Kind::Customers, false);
    check(
        &customer,
        &fault(400, "invalid_customer"),
        "invalid_customer",
        "fine",
    );
    check(
        &customer,
        &fault(409, "duplicate_found"),
        "duplicate_found",
        "fine",
    );
    check(&customer, &fault(422, "odd"), "odd", "fine");
    check(
        &customer,
        &got(400, "<html>bad request</html>"),
        "blocked",
        "away",
    );
    check(&customer, &fault(401, "unauthorized"), "blocked", "refused");
    check(&customer, &fault(403, "forbidden"), "blocked", "refused");
    check(&customer, &got(403, "<html>"), "again", "refused");
    check(&customer, &fault(402, "x"), "blocked", "exhausted");
    check(&customer, &fault(404, "not_found"), "blocked", "away");
    check(&customer, &fault(405, "x"), "blocked", "away");
    check(&customer, &fault(406, "x"), "blocked", "away");
    check(&customer, &fault(415, "x"), "blocked", "away");
    check(&customer, &got(407, ""), "blocked", "away");
    check(&customer, &got(302, ""), "blocked", "away");
    check(
        &customer,
        &got(413, r#"{"statusCode":413,"error":"e","message":"m"}"#),
        "too large",
        "fine",
    );
    check(&customer, &got(413, "<html>"), "too large", "fine");
    check(&customer, &fault(423, "resource_locked"), "again", "fine");
    check(&customer, &got(408, ""), "unknown", "away");
    check(&customer, &got(503, "<html>"), "unknown", "away");
    check(&customer, &fault(500, "internal_error"), "unknown", "away");
    check(
        &customer,
        &fault(429, "too_many_requests"),
        "blocked",
        "limited",
    );
}

#[test]
fn what_is_not_there() {
    check(
        &Wanted::Delete,
        &fault(404, "not_found"),
        "acknowledged",
        "fine",
    );
    check(&Wanted::Delete, &got(404, "<html>"), "blocked", "away");
    check(
        &upsert(Kind::Orders, true),
        &fault(404, "not_found"),
        "missing",
        "fine",
    );
    check(
        &upsert(Kind::Orders, false),
        &fault(404, "resource_not_found"),
        "resource_not_found",
        "fine",
    );
    check(
        &upsert(Kind::Skus, false),
        &fault(404, "not_found"),
        "product missing",
        "fine",
    );
    check(
        &Wanted::Consents,
        &fault(404, "not_found"),
        "not_found",
        "fine",
    );
    check(
        &Wanted::Consents,
        &fault(405, "method_not_allowed"),
        "method_not_allowed",
        "fine",
    );
}

#[test]
fn no_answer_is_unknown_only_if_a_byte_left() {
    let none = |left| {
        Answer::None(NoAnswer {
            left,
            why: "reset".into(),
        })
    };
    check(&Wanted::Job, &none(true), "unknown", "away");
    check(&Wanted::Job, &none(false), "blocked", "away");
}

#[test]
fn a_429_names_its_budget() {
    let of_kind = |kind: Option<&str>| {
        let answer = Answer::Got(Response {
            status: 429,
            limits: Limits {
                kind: kind.map(str::to_owned),
                retry_after: Some("7".into()),
                ..Limits::default()
            },
            ..Response::default()
        });
        of(&Wanted::Job, &answer, 0).link
    };
    let limited = |purse| LinkNews::Limited {
        purse,
        wait_ms: Some(7000),
    };
    assert_eq!(of_kind(None), limited(None));
    assert_eq!(of_kind(Some("api_calls")), limited(Some(Purse::Api)));
    assert_eq!(of_kind(Some("bulk_api_calls")), limited(Some(Purse::Bulk)));
    assert_eq!(of_kind(Some("webhook_calls")), limited(None));
    assert_eq!(word(&of_kind(Some("api_calls_cycle"))), "exhausted");
}

#[test]
fn reasons_hold_nothing_of_the_answer() {
    let verdict = of(
        &upsert(Kind::Customers, false),
        &got(200, "<html>SECRET</html>"),
        0,
    );
    assert!(!format!("{:?}", verdict.link).contains("SECRET"));
    assert!(format!("{:?}", verdict.link).contains("HTML came where JSON was due"));
}

#[track_caller]
fn report(result: &str, sent: &[&str], named: &[(&str, &str)], rest: &str) {
    let answer = got(200, &format!(r#"{{"id":"a","type":"T",{result}}}"#));
    let (JobNews::Ended(job), _) = of_job(&answer, 0) else {
        panic!("not ended");
    };
    let report = of_report(&job, |key| sent.contains(&key), sent.len());
    let word = |outcome: &ItemOutcome| match outcome {
        ItemOutcome::Acknowledged => "acknowledged",
        ItemOutcome::Refused(_) => "refused",
        ItemOutcome::Again { .. } => "again",
        ItemOutcome::Odd(_) => "odd",
        ItemOutcome::Unproven => "unproven",
    };
    let mut found: Vec<_> = report
        .named
        .iter()
        .map(|(k, o)| (k.as_str(), word(o)))
        .collect();
    found.sort();
    assert_eq!((found.as_slice(), word(&report.rest)), (named, rest));
}

#[test]
fn each_item_of_a_job_has_its_own_verdict() {
    let done = |counts: &str| {
        format!(r#""status":"DONE","operation_status":"SUCCESS","result":{{{counts}}}"#)
    };
    let all = ["C1", "C2", "C3"];
    report(
        &done(r#""done_count":3,"failed_count":0"#),
        &all,
        &[],
        "acknowledged",
    );
    report(
        &done(
            r#""done_count":2,"failed_count":1,"errors":[{"source_id":"C2","key":"invalid_payload"}]"#,
        ),
        &all,
        &[("C2", "refused")],
        "acknowledged",
    );
    report(
        &done(
            r#""done_count":1,"failed_count":2,"errors":[{"source_id":"C2","key":"resource_locked"},{"source_id":"C3","key":"martian"}]"#,
        ),
        &all,
        &[("C2", "again"), ("C3", "odd")],
        "acknowledged",
    );
    // Another integration's key proves nothing of ours.
    report(
        &done(
            r#""done_count":2,"failed_count":1,"errors":[{"source_id":"X","key":"invalid_payload"}]"#,
        ),
        &all,
        &[],
        "unproven",
    );
}

#[test]
fn a_job_that_tells_too_little_acknowledges_nothing() {
    let all = ["C1", "C2"];
    report(
        r#""status":"DONE","result":{"done_count":1,"failed_count":0}"#,
        &all,
        &[],
        "unproven",
    );
    report(
        r#""status":"DONE","result":{"done_count":1,"failed_count":1}"#,
        &all,
        &[],
        "unproven",
    );
    report(
        r#""status":"DONE","result":{"failed_count":1,"failed":[{"source_id":null,"reason":"x"}]}"#,
        &all,
        &[],
        "unproven",
    );
    report(r#""status":"DONE","result":null"#, &all, &[], "unproven");
    report(
        r#""status":"DONE","operation_status":"SUCCESS""#,
        &all,
        &[],
        "acknowledged",
    );
    report(
        r#""status":"DONE","operation_status":"FAILED","result":{"done_count":2}"#,
        &all,
        &[],
        "unproven",
    );
    report(r#""status":"FAILED","result":{}"#, &all, &[], "unproven");
    report(
        r#""status":"DONE","result":{"failed_count":0}"#,
        &all,
        &[],
        "acknowledged",
    );
    // Alone, the blame is the record's.
    report(r#""status":"FAILED","result":{}"#, &["C1"], &[], "odd");
    report(
        r#""status":"DONE","result":{"done_count":0,"failed_count":1,"failed":[{"source_id":null,"reason":"x"}]}"#,
        &["C1"],
        &[],
        "odd",
    );
}

#[test]
fn a_job_that_nobody_knows_is_lost() {
    assert_eq!(of_job(&fault(404, "not_found"), 0).0, JobNews::Lost);
    assert_eq!(of_job(&got(404, "<html>"), 0).0, JobNews::Silent);
    assert_eq!(of_job(&got(200, "<html>"), 0).0, JobNews::Silent);
    assert_eq!(of_job(&fault(500, "x"), 0).0, JobNews::Silent);
}

#[test]
fn a_probe_wants_the_api_itself() {
    assert_eq!(
        word(&of_probe(
            &got(200, r#"{"object":"list","customers":[]}"#),
            0
        )),
        "fine"
    );
    assert_eq!(word(&of_probe(&got(200, "<html>"), 0)), "away");
    assert_eq!(word(&of_probe(&fault(401, "unauthorized"), 0)), "refused");
    assert_eq!(word(&of_probe(&got(302, ""), 0)), "away");
}
