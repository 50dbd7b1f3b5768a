//! API.md's table of errors, row by row, over real sockets: what becomes of the record, and of the link.

use serde_json::{Value, json};

use crate::shop::Shop;

/// What a record and the link come to.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    /// It arrives by itself, once the remote answers as usual again within the same run.
    Arrives,
    /// It is parked under this code; nothing is pending, and the link is up.
    Parked(&'static str),
    /// It stays pending; the link is in this state, `sync` ends so, and with the fault gone it arrives.
    Waits(&'static str, i32),
}
use Fate::*;

const CUSTOMER: &str = "source_id,name\nC-1,Ann\n";

fn shop(bulk: &str) -> Shop {
    let shop = Shop::new();
    shop.configure(&format!("bulk = \"{bulk}\"\ntimeout = \"1s\""), "");
    shop
}

fn faults(shop: &Shop, faults: &Value) {
    shop.standin.post("/_standin/faults", &faults.to_string());
}

/// What `parked` says: key, code.
fn parked(shop: &Shop) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let rows = shop.json(&["parked"]);
    let rows = rows.as_array().unwrap().iter();
    rows.map(|row| (text(&row["key"]), text(&row["code"])))
        .collect()
}

#[track_caller]
fn judge(shop: &Shop, what: &str, expected: &Fate) {
    let exit = shop.run(&["sync", "--timeout", "4s"]).status.code();
    let status = shop.json(&["status"]);
    let pending = status["pending"]["customers"].as_u64().unwrap();
    let link = status["link"]["state"].as_str().unwrap();
    let arrived = || shop.standin.holds("customers").contains_key("C-1");
    match expected {
        Arrives => {
            assert_eq!((exit, pending, link), (Some(0), 0, "up"), "{what}");
            assert!(arrived(), "{what}");
        }
        Parked(code) => {
            assert_eq!((exit, pending, link), (Some(65), 0, "up"), "{what}");
            let expected = [("C-1".to_owned(), (*code).to_owned())];
            assert_eq!(parked(shop), expected, "{what}");
            // It costs no further call.
            let calls = shop.standin.requests().len();
            shop.run(&["sync"]);
            assert_eq!(shop.standin.requests().len(), calls, "{what}");
        }
        Waits(state, ends) => {
            assert_eq!((exit, pending, link), (Some(*ends), 1, *state), "{what}");
            assert!(parked(shop).is_empty(), "{what}");
            faults(shop, &json!({}));
            let exit = shop.run(&["sync", "--timeout", "30s"]).status.code();
            assert_eq!(exit, Some(0), "{what}: once it is over");
            assert!(arrived(), "{what}");
        }
    }
}

/// A single call is answered so: once where it then arrives, else always.
#[track_caller]
fn single(answer: Value, expected: Fate) {
    let shop = shop("never");
    let what = answer.to_string();
    let mut fault = answer;
    if expected == Arrives {
        fault["match"] = "POST /v1/customers".into();
        fault["count"] = 1.into();
    } else {
        fault["always"] = true.into();
        if matches!(expected, Parked(_)) {
            fault["match"] = "POST /v1/customers".into();
        }
    }
    faults(&shop, &json!({"faults": [fault]}));
    shop.drop_in("customers", "a.csv", CUSTOMER);
    judge(&shop, &what, &expected);
}

fn said(status: u16, key: &str) -> Value {
    let body = json!({"code": status, "key": key, "message": "No", "request_id": "v-1"});
    json!({"status": status, "body": body})
}

#[test]
fn records_that_are_refused_are_parked() {
    single(said(400, "invalid_customer"), Parked("invalid_customer"));
    single(said(400, "invalid_payload"), Parked("invalid_payload"));
    single(said(400, "missing_payload"), Parked("missing_payload"));
    single(said(409, "duplicate_found"), Parked("duplicate_found"));
    single(
        said(409, "duplicate_resource_key"),
        Parked("duplicate_resource_key"),
    );
    let too_large = json!({"statusCode": 413, "error": "Payload Too Large", "message": "x"});
    single(
        json!({"status": 413, "body": too_large}),
        Parked("query_too_large"),
    );
}

#[test]
fn what_the_link_is_to_blame_for_parks_nothing() {
    single(said(401, "unauthorized"), Waits("refused", 77));
    single(said(403, "forbidden"), Waits("refused", 77));
    single(
        json!({"status": 403, "body": "<html>no</html>"}),
        Waits("refused", 77),
    );
    single(said(402, "payment_required"), Waits("exhausted", 69));
    single(said(405, "method_not_allowed"), Waits("away", 69));
    single(said(406, "not_acceptable"), Waits("away", 69));
    single(said(415, "unsupported_media_type"), Waits("away", 69));
}

#[test]
fn what_is_over_by_itself_is_tried_again_by_itself() {
    single(said(423, "resource_locked"), Arrives);
    let mut limited = said(429, "too_many_requests");
    limited["headers"] = json!({"Retry-After": "1", "X-Rate-Limit-Type": "api_calls"});
    single(limited, Arrives);
    single(said(408, "timeout"), Arrives);
    single(said(500, "internal_error"), Arrives);
    single(
        json!({"status": 502, "body": "<html>bad gateway</html>"}),
        Arrives,
    );
    single(json!({"status": 503, "body": ""}), Arrives);
    single(json!({"then": "reset"}), Arrives);
    single(json!({"apply": true, "then": "reset"}), Arrives);
    single(json!({"then": "hang"}), Arrives);
}

#[test]
fn a_used_up_cycle_is_waited_for() {
    let shop = shop("never");
    let mut answer = said(429, "too_many_requests");
    answer["headers"] = json!({"Retry-After": "86400", "X-Rate-Limit-Type": "api_calls_cycle"});
    answer["always"] = true.into();
    faults(&shop, &json!({"faults": [answer]}));
    shop.drop_in("customers", "a.csv", CUSTOMER);
    let output = shop.run(&["sync", "--timeout", "4s"]);
    assert_eq!(output.status.code(), Some(69));
    assert_eq!(shop.json(&["status"])["link"]["state"], "exhausted");
    assert_eq!(shop.standin.requests().len(), 1, "no call before its time");
}

#[test]
fn what_is_gone_there_is_deleted_or_made_again() {
    let shop = shop("never");
    let order = |status: &str| format!("source_id,status\nO-1,{status}\n");
    shop.drop_in("customers", "a.csv", CUSTOMER);
    shop.drop_in("orders", "a.csv", &order("CREATED"));
    assert!(shop.run(&["sync"]).status.success());
    let gone = |call: &str| {
        let mut answer = said(404, "not_found");
        answer["match"] = call.into();
        answer["count"] = 1.into();
        faults(&shop, &json!({"faults": [answer]}));
    };
    gone("PUT /v1/orders*");
    shop.drop_in("orders", "b.csv", &order("PAID"));
    assert!(shop.run(&["sync"]).status.success());
    assert_eq!(shop.standin.holds("orders")["O-1"]["status"], "PAID");
    gone("DELETE /v1/customers*");
    shop.drop_in("customers", "b.csv", "source_id,name,deleted\nC-1,,yes\n");
    assert!(shop.run(&["sync"]).status.success());
    let status = shop.json(&["status"]);
    assert_eq!(status["pending"]["customers"], 0);
    assert_eq!(parked(&shop), []);
}

/// A job's item ends with this key, once.
#[track_caller]
fn item(key: &str, expected: Fate) {
    let shop = shop("always");
    let failed = json!({"source_id": "C-1", "key": key, "message": "No", "details": "x"});
    let result = json!({"done_count": 0, "failed_count": 1, "errors": [failed]});
    let job =
        json!({"id": "aa_1", "type": "CUSTOMERS.BULK_UPDATE", "status": "DONE", "result": result});
    let accepted = json!({"async_action_id": "aa_1"});
    faults(
        &shop,
        &json!({"faults": [
            {"match": "POST /v1/customers/bulk/async", "count": 1, "status": 202, "body": accepted},
            {"match": "GET /v1/async-actions/aa_1", "count": 1, "status": 200, "body": job},
        ]}),
    );
    shop.drop_in("customers", "a.csv", CUSTOMER);
    judge(&shop, key, &expected);
}

#[test]
fn items_of_a_job_have_each_the_fate_of_their_key() {
    for key in [
        "internal_error",
        "service_unavailable",
        "timeout",
        "resource_locked",
        "too_many_requests",
    ] {
        item(key, Arrives);
    }
    for key in ["invalid_customer", "invalid_payload", "duplicate_found"] {
        item(key, Parked(key));
    }
}

#[test]
fn a_body_that_is_refused_whole_gives_up_the_culprit_alone() {
    let shop = shop("always");
    faults(
        &shop,
        &json!({"refuse": [{"source_id": "C-3", "whole": true}]}),
    );
    let rows: String = (1..=6).map(|n| format!("C-{n},Ann\n")).collect();
    shop.drop_in("customers", "a.csv", &format!("source_id,name\n{rows}"));
    let exit = shop.run(&["sync", "--timeout", "30s"]).status.code();
    assert_eq!(exit, Some(65));
    assert_eq!(shop.standin.holds("customers").len(), 5);
    let keys: Vec<String> = parked(&shop).into_iter().map(|(key, _)| key).collect();
    assert_eq!(keys, ["C-3"]);
}
