use serde_json::{Value, json};

use super::*;

fn bench(limit: Value) -> Bench {
    Bench::with(serde_json::from_value(json!({"limit": limit})).unwrap())
}

#[track_caller]
fn headers(answer: &Answer, expected: [&str; 4]) {
    let names = [
        "X-Rate-Limit-Limit",
        "X-Rate-Limit-Remaining",
        "Retry-After",
        "X-Rate-Limit-Type",
    ];
    assert_eq!(
        names.map(|name| answer.reply.header(name).unwrap_or("-")),
        expected
    );
}

#[test]
fn each_answer_says_what_is_left() {
    let mut bench = bench(json!({"calls": 3}));
    headers(
        &bench.send("GET", "/v1/customers", Value::Null),
        ["3", "2", "-", "-"],
    );
    headers(
        &bench.send("GET", "/v1/customers/no", Value::Null),
        ["3", "1", "-", "-"],
    );
    headers(
        &bench.send("GET", "/v1/customers", Value::Null),
        ["3", "0", "-", "-"],
    );
    let over = bench.send("GET", "/v1/customers", Value::Null);
    assert_eq!(over.reply.status, 429);
    headers(&over, ["3", "0", "60", "api_calls"]);
    assert_eq!(over.reply.header("X-Rate-Limit-Retry"), Some("1800000060"));
    bench.now_ms += 60_000;
    headers(
        &bench.send("GET", "/v1/customers", Value::Null),
        ["3", "2", "-", "-"],
    );
}

#[test]
fn the_tills_draw_on_the_same_calls() {
    let mut bench = bench(json!({"calls": 10}));
    assert_eq!(bench.remote.consume(6, bench.now_ms), 0);
    headers(
        &bench.send("GET", "/v1/customers", Value::Null),
        ["10", "3", "-", "-"],
    );
    assert_eq!(bench.remote.consume(5, bench.now_ms), 2);
    assert_eq!(
        bench.send("GET", "/v1/customers", Value::Null).reply.status,
        429
    );
}

#[test]
fn bulk_calls_have_a_budget_of_their_own() {
    let mut bench = bench(json!({"calls": 5, "bulk_calls": 1}));
    let body = json!([{"source_id": "C1"}]);
    headers(
        &bench.send("POST", "/v1/customers/bulk/async", body.clone()),
        ["1", "0", "-", "-"],
    );
    let over = bench.send("POST", "/v1/customers/bulk/async", body);
    assert_eq!(over.reply.status, 429);
    headers(&over, ["1", "0", "60", "bulk_api_calls"]);
    headers(
        &bench.send("GET", "/v1/customers", Value::Null),
        ["5", "4", "-", "-"],
    );
}

#[test]
fn a_sandbox_counts_by_the_hour() {
    let mut bench = bench(json!({"calls": 1, "period": "hour"}));
    bench.ok("GET", "/v1/customers", Value::Null);
    bench.now_ms += 60_000;
    headers(
        &bench.send("GET", "/v1/customers", Value::Null),
        ["1", "0", "3540", "api_calls"],
    );
}

#[test]
fn a_cycle_can_be_over_for_days() {
    let ends = 1_800_000_000_000_i64 + 3 * 86_400_000;
    let mut bench = bench(json!({"cycle_calls": 2, "cycle_ends_ms": ends}));
    bench.ok("GET", "/v1/customers", Value::Null);
    bench.ok("POST", "/v1/customers/bulk/async", json!([]));
    let over = bench.send("GET", "/v1/customers", Value::Null);
    headers(&over, ["2000", "1999", "259200", "api_calls_cycle"]);
    bench.now_ms = ends;
    bench.ok("GET", "/v1/customers", Value::Null);
}

#[test]
fn headers_can_lack_or_lie() {
    let mut bench = bench(json!({"calls": 0}));
    bench.remote.settings_mut().headers = Headers::None;
    let bare = bench.send("GET", "/v1/customers", Value::Null);
    assert_eq!(bare.reply.status, 429);
    headers(&bare, ["-", "-", "-", "-"]);
    bench.remote.settings_mut().headers = Headers::Absurd;
    bench.remote.settings_mut().retry_after_as_date = true;
    let absurd = bench.send("GET", "/v1/customers", Value::Null);
    headers(
        &absurd,
        [
            "-1",
            "99999999999999999999",
            "Fri, 15 Jan 2027 08:01:00 GMT",
            "api_calls",
        ],
    );
}
