use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::*;

fn faulty(faults: Vec<Fault>) -> Bench {
    let mut bench = Bench::new();
    bench.remote.set_faults(Faults::of(faults), bench.now_ms);
    bench
}

fn post(bench: &mut Bench, key: &str) -> (u16, Delivery) {
    let answer = bench.send("POST", "/v1/customers", json!({"source_id": key}));
    (answer.reply.status, answer.delivery)
}

#[test]
fn a_fault_meets_the_next_call_once() {
    let mut bench = faulty(vec![
        Fault::status(503),
        Fault::reset_before(),
        Fault::reset_after(),
    ]);
    assert_eq!(post(&mut bench, "C1"), (503, Delivery::Whole));
    assert_eq!(post(&mut bench, "C2").1, Delivery::Reset);
    assert_eq!(post(&mut bench, "C3").1, Delivery::Reset);
    assert_eq!(post(&mut bench, "C4"), (200, Delivery::Whole));
    let held: Vec<_> = bench
        .remote
        .state("customers")
        .unwrap()
        .keys()
        .cloned()
        .collect();
    assert_eq!(held, ["C3", "C4"]);
    let left: Vec<bool> = bench
        .remote
        .arrivals()
        .iter()
        .map(|arrival| arrival.answer_left)
        .collect();
    assert_eq!(left, [true, false, false, true]);
}

#[test]
fn a_fault_meets_the_calls_that_it_matches() {
    let mut bench = faulty(vec![
        Fault::status(500).matching("POST /v1/orders").always(),
        Fault::status(502).matching("/v1/products*").always(),
        Fault::status(400).matching("the body names C2").always(),
    ]);
    assert_eq!(post(&mut bench, "C1").0, 200);
    assert_eq!(post(&mut bench, "C2").0, 400);
    assert_eq!(post(&mut bench, "C22").0, 200);
    assert_eq!(
        bench
            .send("PUT", "/v1/customers/C2", json!({}))
            .reply
            .status,
        400
    );
    assert_eq!(
        bench.send("POST", "/v1/orders", json!({})).reply.status,
        500
    );
    assert_eq!(
        bench.send("GET", "/v1/orders", Value::Null).reply.status,
        200
    );
    assert_eq!(
        bench
            .send("GET", "/v1/products/P1/skus", Value::Null)
            .reply
            .status,
        502
    );
}

#[test]
fn slow_cut_and_trickling_answers_are_the_remotes_own() {
    let mut bench = faulty(vec![
        Fault::default().then(Then::Slow(500)),
        Fault::default().then(Then::Cut(5)),
        Fault::default().then(Then::Trickle(2)),
        Fault::default().then(Then::Hang),
    ]);
    assert_eq!(post(&mut bench, "C1"), (200, Delivery::After(500)));
    assert_eq!(post(&mut bench, "C2"), (200, Delivery::Cut(5)));
    assert_eq!(post(&mut bench, "C3"), (200, Delivery::Trickle(2)));
    assert_eq!(post(&mut bench, "C4").1, Delivery::Hang);
    assert_eq!(bench.remote.count("customers"), 3);
}

#[test]
fn an_answer_arrives_only_to_who_waits_for_it() {
    let answer = |delivery| Answer {
        seq: 1,
        reply: Reply::empty(200),
        delivery,
    };
    assert!(answer(Delivery::Whole).arrives(0).is_some());
    assert!(answer(Delivery::After(500)).arrives(500).is_some());
    for delivery in [
        Delivery::After(501),
        Delivery::Cut(1),
        Delivery::Reset,
        Delivery::Hang,
    ] {
        assert!(answer(delivery).arrives(500).is_none());
    }
}

#[test]
fn a_late_request_is_taken_in_after_newer_ones() {
    let mut bench = faulty(vec![Fault::default().then(Then::Late(20_000))]);
    let old = json!({"source_id": "C1", "name": "Old"});
    assert_eq!(
        bench.send("POST", "/v1/customers", old).delivery,
        Delivery::Hang
    );
    bench.ok(
        "POST",
        "/v1/customers",
        json!({"source_id": "C1", "name": "New"}),
    );
    bench.now_ms += 19_000;
    bench.ok("GET", "/v1/customers/C1", Value::Null);
    assert_eq!(bench.held("customers", "C1")["name"], "New");
    bench.now_ms += 2_000;
    bench.remote.advance(bench.now_ms);
    assert_eq!(bench.held("customers", "C1")["name"], "Old");
}

#[test]
fn an_outage_has_its_window() {
    let mut bench = Bench::new();
    let faults = json!({"faults": [{"for_ms": 10_000, "status": 401}]});
    bench
        .remote
        .set_faults(serde_json::from_value(faults).unwrap(), bench.now_ms);
    assert_eq!(post(&mut bench, "C1").0, 401);
    assert_eq!(post(&mut bench, "C1").0, 401);
    bench.now_ms += 10_000;
    assert_eq!(post(&mut bench, "C1").0, 200);
}

#[test]
fn chance_comes_from_the_seed() {
    let run = |seed| {
        let mut remote = Remote::new(seed, Settings::default());
        remote.set_faults(Faults::of(vec![Fault::reset_before().chance(0.3)]), 0);
        (0..200)
            .map(|now| remote.answer(&Request::json("POST", "/v1/customers", "{}"), now))
            .map(|answer| (answer.delivery == Delivery::Reset, answer.reply.body))
            .collect::<Vec<_>>()
    };
    assert_eq!(run(7), run(7));
    assert_ne!(run(7), run(8));
    let hits = run(7).iter().filter(|(reset, _)| *reset).count();
    assert!((40..80).contains(&hits), "{hits}");
}

#[test]
fn records_are_refused_by_their_key() {
    let mut bench = Bench::new();
    let faults = json!({"refuse": [
        {"kind": "customers", "prefix": "bad-", "status": 409, "key": "duplicate_found"},
        {"source_id": "C1", "times": 2, "status": 423, "key": "resource_locked"},
        {"contains": "poison", "whole": true},
    ]});
    bench
        .remote
        .set_faults(serde_json::from_value(faults).unwrap(), 0);
    bench.refused(
        "POST",
        "/v1/customers",
        json!({"source_id": "bad-1"}),
        409,
        "duplicate_found",
    );
    bench.ok("POST", "/v1/products", json!({"source_id": "bad-1"}));
    for _ in 0..2 {
        bench.refused(
            "POST",
            "/v1/customers",
            json!({"source_id": "C1"}),
            423,
            "resource_locked",
        );
    }
    bench.ok("POST", "/v1/customers", json!({"source_id": "C1"}));
    bench.refused(
        "POST",
        "/v1/customers/bulk/async",
        json!([{"source_id": "C2"}, {"source_id": "a poison"}]),
        400,
        "invalid_payload",
    );
    bench.refused(
        "PUT",
        "/v1/products/bad-1",
        json!([]),
        400,
        "invalid_payload",
    );
}

#[test]
fn a_share_of_all_records_is_always_the_same() {
    let mut bench = Bench::new();
    let faults = json!({"refuse": [{"share": 0.1}]});
    bench
        .remote
        .set_faults(serde_json::from_value(faults).unwrap(), 0);
    let mut refused = || {
        (0..300)
            .filter(|number| post(&mut bench, &format!("C{number}")).0 == 400)
            .collect::<Vec<_>>()
    };
    let first = refused();
    assert_eq!(first, refused());
    assert!((15..45).contains(&first.len()), "{}", first.len());
}

#[test]
fn every_answer_script_can_be_set_as_it_stands() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/samples/traps/api");
    let mut seen = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        let faults: Faults = serde_json::from_str(&text)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert!(!faults.faults.is_empty(), "{}", path.display());
        seen += 1;
    }
    assert_eq!(seen, 10);
}

fn scripted(text: &str) -> Bench {
    let mut bench = Bench::new();
    bench
        .remote
        .set_faults(serde_json::from_str(text).unwrap(), bench.now_ms);
    bench
}

#[test]
fn a_script_can_name_a_time() {
    let mut bench = scripted(include_str!(
        "../../../tests/samples/traps/api/429-http-date.json"
    ));
    let answer = bench.send("POST", "/v1/customers", json!({"source_id": "C1"}));
    assert_eq!(answer.reply.status, 429);
    assert_eq!(
        answer.reply.header("Retry-After"),
        Some("Fri, 15 Jan 2027 08:02:00 GMT")
    );
}

#[test]
fn a_script_answers_in_its_order() {
    let mut bench = scripted(include_str!(
        "../../../tests/samples/traps/api/job-stuck.json"
    ));
    post(&mut bench, "C1");
    let bulk = bench.ok(
        "POST",
        "/v1/customers/bulk/async",
        json!([{"source_id": "C2"}]),
    );
    assert_eq!(bulk["async_action_id"], "aa_stuck");
    for _ in 0..3 {
        assert_eq!(
            bench.ok("GET", "/v1/async-actions/aa_stuck", Value::Null)["progress"],
            40
        );
    }
    let bulk = bench.ok(
        "POST",
        "/v1/customers/bulk/async",
        json!([{"source_id": "C2"}]),
    );
    assert_ne!(bulk["async_action_id"], "aa_stuck");

    let mut bench = scripted(include_str!(
        "../../../tests/samples/traps/api/applied-but-no-answer.json"
    ));
    assert_eq!(post(&mut bench, "C1").1, Delivery::Reset);
    assert_eq!(bench.remote.count("customers"), 1);
    let mut bench = scripted(include_str!("../../../tests/samples/traps/api/hang.json"));
    assert_eq!(post(&mut bench, "C1").1, Delivery::Hang);
    assert_eq!(bench.remote.count("customers"), 0);
    let mut bench = scripted(include_str!(
        "../../../tests/samples/traps/api/200-html.json"
    ));
    let page = bench
        .send("POST", "/v1/customers", json!({"source_id": "C1"}))
        .reply;
    assert_eq!(
        (page.status, page.header("content-type")),
        (200, Some("text/html"))
    );
}

#[test]
fn an_unknown_word_in_faults_is_an_error() {
    for wrong in [
        json!({"faults": [{"then": "explode"}]}),
        json!({"refuse": [{"sourceid": "C1"}]}),
        json!({"jobs": {"hangs": 1.0}}),
    ] {
        assert!(serde_json::from_value::<Faults>(wrong).is_err());
    }
}
