//! The loop against the stand-in, in one process, on simulated time.

mod chance;
mod deleted;
mod kinds;
mod limits;
pub(crate) mod world;

use world::{World, text};

use super::*;
use crate::config::Bulk;
use crate::kind::Kind;

#[tokio::test(start_paused = true)]
async fn few_customers_go_by_single_calls_and_are_acknowledged() {
    let mut world = World::new();
    world.customers(3, "Ann");
    assert_eq!(world.sync(60).await, Outcome::Delivered);
    assert_eq!(world.writes(), ["POST /v1/customers"; 3]);
    assert_eq!(world.object("customers", "C2")["name"], "Ann");
    assert_eq!((world.pending(), world.parked()), (0, vec![]));
    world.judge();
}

#[tokio::test(start_paused = true)]
async fn the_same_rows_again_cause_no_call() {
    let mut world = World::new();
    world.customers(3, "Ann");
    world.sync(60).await;
    let before = world.calls().len();
    world.customers(3, "Ann");
    assert_eq!(world.sync(60).await, Outcome::Delivered);
    assert_eq!(world.calls().len(), before);
}

#[tokio::test(start_paused = true)]
async fn content_that_went_there_and_back_causes_no_call() {
    let mut world = World::new();
    world.customers(1, "Ann");
    world.sync(60).await;
    let before = world.calls().len();
    world.customers(1, "Bea");
    world.customers(1, "Ann");
    assert_eq!(world.sync(60).await, Outcome::Delivered);
    assert_eq!(world.calls().len(), before);
}

#[tokio::test(start_paused = true)]
async fn a_thousand_changed_records_take_three_calls_that_write_at_most() {
    for kind in [Kind::Customers, Kind::Products] {
        let mut world = World::new();
        let keys: Vec<String> = (0..1_000).map(|i| format!("K{i}")).collect();
        for name in ["One", "Two"] {
            let before = world.writes().len();
            let records: Vec<_> = keys
                .iter()
                .map(|key| (key.as_str(), vec![("name", text(name))]))
                .collect();
            world.drop_file(kind, &records);
            assert_eq!(world.sync(600).await, Outcome::Delivered);
            assert!(world.writes().len() - before <= 3);
            assert!(world.calls().len() <= 10);
        }
        assert_eq!(world.object(kind.name(), "K999")["name"], "Two");
        world.judge();
    }
}

#[tokio::test(start_paused = true)]
async fn poison_is_parked_and_holds_up_nobody() {
    let mut world = World::new();
    world.faults(include_str!(
        "../../../tests/samples/traps/api/poison-400.json"
    ));
    world.customers(3, "Ann");
    assert_eq!(world.sync(600).await, Outcome::Delivered);
    assert_eq!(
        world.parked(),
        [("C2".to_owned(), "invalid_customer".to_owned())]
    );
    assert_eq!(world.writes().len(), 3);
    let before = world.writes().len();
    world.daemon(86_400).await;
    assert_eq!(world.writes().len(), before);
    // The same content leaves it parked; other content, or `retry`, puts it back.
    world.customers(3, "Ann");
    world.sync(60).await;
    assert_eq!(world.writes().len(), before);
    world.faults("{}");
    world
        .store
        .write(|c| flight::retry(c, &flight::Selection::All, 1))
        .unwrap();
    assert_eq!(world.sync(60).await, Outcome::Delivered);
    assert_eq!((world.parked(), world.writes().len()), (vec![], before + 1));
}

#[tokio::test(start_paused = true)]
async fn one_503_is_tried_again_by_itself() {
    let mut world = World::new();
    world.faults(include_str!(
        "../../../tests/samples/traps/api/one-503-then-fine.json"
    ));
    world.customers(1, "Ann");
    world.daemon(5).await;
    assert_eq!(world.pending(), 0);
    assert_eq!(world.object("customers", "C1")["name"], "Ann");
}

#[tokio::test(start_paused = true)]
async fn after_an_unknown_outcome_newer_content_waits_its_time_and_older_never_follows() {
    let mut world = World::new();
    world.faults(include_str!(
        "../../../tests/samples/traps/api/applied-but-no-answer.json"
    ));
    world.customers(1, "Old");
    world.killed_after(200).await;
    world.customers(1, "New");
    let begun = world.clock.steady();
    assert_eq!(world.sync(600).await, Outcome::Delivered);
    let bodies: Vec<_> = world
        .arrivals()
        .iter()
        .filter(|a| a.method == "POST")
        .map(|a| (a.at_ms, a.json().unwrap()["name"].clone()))
        .collect();
    assert_eq!(bodies.first().unwrap().1, "Old");
    let newer = bodies.iter().position(|(_, name)| name == "New").unwrap();
    assert!(bodies[newer..].iter().all(|(_, name)| name == "New"));
    assert!(
        bodies[newer].0 - begun >= 30_000,
        "counted anew after the restart"
    );
    assert_eq!(world.object("customers", "C1")["name"], "New");
}

#[tokio::test(start_paused = true)]
async fn a_portal_acknowledges_nothing() {
    let mut world = World::new();
    world.faults(include_str!(
        "../../../tests/samples/traps/api/200-html.json"
    ));
    world.customers(2, "Ann");
    world.killed_after(20).await;
    let link = flight::standing(&world.store.reader().unwrap(), 0)
        .unwrap()
        .link;
    assert_eq!(link.state(), State::Away);
    assert!(
        link.reason()
            .unwrap()
            .contains("HTML came where JSON was due")
    );
    assert_eq!((world.pending(), world.parked()), (2, vec![]));
    world.daemon(60).await;
    assert_eq!(world.pending(), 0);
    assert_eq!(world.object("customers", "C2")["name"], "Ann");
}

#[tokio::test(start_paused = true)]
async fn a_429_with_a_date_is_obeyed() {
    let mut world = World::new();
    let script = include_str!("../../../tests/samples/traps/api/429-http-date.json");
    let date = jiff::Timestamp::from_millisecond(world.clock.steady() + 120_000).unwrap();
    let date = date.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    let marked = regexless_replace(script, &date);
    world.faults(&marked);
    world.customers(1, "Ann");
    let begun = world.clock.steady();
    world.daemon(600).await;
    let at: Vec<i64> = world.arrivals().iter().map(|a| a.at_ms - begun).collect();
    assert_eq!(at.len(), 2);
    assert!(at[1] >= 120_000 && at[1] < 125_000, "{at:?}");
    assert_eq!(world.pending(), 0);
}

/// Puts the date in the place that the script describes in words.
fn regexless_replace(script: &str, date: &str) -> String {
    let start = script.find("{now").unwrap();
    let end = start + script[start..].find('}').unwrap() + 1;
    format!("{}{}{}", &script[..start], date, &script[end..])
}

#[tokio::test(start_paused = true)]
async fn a_redirect_is_not_followed() {
    let mut world = World::new();
    world.faults(include_str!(
        "../../../tests/samples/traps/api/302-elsewhere.json"
    ));
    world.customers(1, "Ann");
    world.killed_after(15).await;
    let link = flight::standing(&world.store.reader().unwrap(), 0)
        .unwrap()
        .link;
    assert!(link.reason().unwrap().contains("redirect"));
    world.daemon(60).await;
    assert_eq!(world.object("customers", "C1")["name"], "Ann");
    let last = world.arrivals().pop().unwrap();
    assert_eq!((last.method.as_str(), last.body_bytes > 0), ("POST", true));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_hangs_is_given_up_and_goes_again() {
    let mut world = World::new();
    world.faults(include_str!("../../../tests/samples/traps/api/hang.json"));
    world.customers(1, "Ann");
    world.daemon(60).await;
    assert_eq!(world.pending(), 0);
    let at: Vec<i64> = world.arrivals().iter().map(|a| a.at_ms).collect();
    assert!(at[1] - at[0] >= 30_000);
}

#[tokio::test(start_paused = true)]
async fn a_stop_during_a_hang_ends_in_four_seconds() {
    let mut world = World::new();
    world.faults(include_str!("../../../tests/samples/traps/api/hang.json"));
    world.customers(1, "Ann");
    let begun = world.clock.steady();
    world.daemon(1).await;
    assert!(world.clock.steady() - begun <= 5_000);
    assert_eq!(world.pending(), 1);
    world.daemon(60).await;
    assert_eq!(world.pending(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_job_that_never_ends_is_asked_for_ever_more_rarely() {
    let mut world = World::new();
    world.faults(include_str!(
        "../../../tests/samples/traps/api/job-stuck.json"
    ));
    world.customers(500, "Ann");
    world.daemon(3_600).await;
    world.customers(502, "Ann");
    world.drop_file(Kind::Products, &[("P1", vec![("name", text("Tea"))])]);
    world.daemon(82_800).await;
    // A question a minute at most: 1,440 a day, and the first few.
    let polls = world
        .calls()
        .iter()
        .filter(|c| c.contains("async-actions"))
        .count();
    assert!((1_300..=1_460).contains(&polls), "{polls}");
    assert_eq!(world.pending(), 500);
    assert_eq!(world.object("products", "P1")["name"], "Tea");
    assert_eq!(world.object("customers", "C501")["name"], "Ann");
    let singles = world
        .writes()
        .iter()
        .filter(|c| *c == "POST /v1/customers")
        .count();
    assert_eq!(singles, 2, "those in the job were not sent beside it");
}

#[tokio::test(start_paused = true)]
async fn each_item_of_a_job_has_its_own_verdict() {
    let mut world = World::new();
    world.settings.api.bulk = Bulk::Always;
    world.faults(include_str!(
        "../../../tests/samples/traps/api/job-done-with-failures.json"
    ));
    world.customers(3, "Ann");
    assert_eq!(world.sync(60).await, Outcome::Delivered);
    assert_eq!(
        world.parked(),
        [("C2".to_owned(), "invalid_payload".to_owned())]
    );
    assert_eq!(
        world.count("SELECT count(*) FROM record WHERE acked IS NOT NULL"),
        2
    );
    let reader = world.store.reader().unwrap();
    let trace = crate::store::trace(&reader, Kind::Customers, "C2")
        .unwrap()
        .unwrap();
    assert_eq!(trace.flights[0].code.as_deref(), Some("invalid_payload"));
}

#[tokio::test(start_paused = true)]
async fn refused_credentials_park_nothing_and_mended_ones_are_taken() {
    let mut world = World::new();
    world.faults(include_str!(
        "../../../tests/samples/traps/api/401-then-fixed.json"
    ));
    world.customers(1, "Ann");
    let Outcome::Refused { reason } = world.sync(60).await else {
        panic!("not refused");
    };
    assert!(!reason.contains("tok-SECRET"));
    assert_eq!((world.pending(), world.parked()), (1, vec![]));
    world.daemon(600).await;
    assert_eq!(world.pending(), 0);
    assert_eq!(world.count("SELECT count(*) FROM parked"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_wrong_token_is_refused_until_it_is_mended() {
    let mut world = World::new();
    *world.token.lock().unwrap() = "wrong".into();
    world.customers(1, "Ann");
    world.daemon(3_600).await;
    // Probes grow to five minutes; nothing else is sent.
    let calls = world.calls();
    assert!(calls.len() < 40, "{}", calls.len());
    assert_eq!(world.writes().len(), 1);
    *world.token.lock().unwrap() = "app-token".into();
    world.daemon(310).await;
    assert_eq!(world.pending(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_poison_record_among_ten_thousand_costs_few_calls_and_delays_nobody() {
    let mut world = World::new();
    world.faults(r#"{"refuse":[{"source_id":"C7777","whole":true}]}"#);
    world.customers(10_000, "Ann");
    assert_eq!(world.sync(3_600).await, Outcome::Delivered);
    assert_eq!(world.parked().len(), 1);
    assert_eq!(world.remote.lock().unwrap().count("customers"), 9_999);
    let extra = world.writes().len() - 1;
    assert!(extra <= 2 * 14 + 1, "{extra} extra calls");
    // No half that went through is sent again.
    let mut seen = std::collections::HashSet::new();
    for arrival in world.arrivals().iter().filter(|a| a.status == 202) {
        for record in arrival.json().unwrap().as_array().unwrap() {
            assert!(seen.insert(record["source_id"].to_string()), "sent twice");
        }
    }
    world.judge();
}

#[tokio::test(start_paused = true)]
async fn days_without_the_remote_and_then_all_by_itself() {
    let mut world = World::new();
    world.faults(r#"{"faults":[{"for_ms":172800000,"then":"reset"}]}"#);
    for day in 0..2 {
        world.customers(50, &format!("Day {day}"));
        world.daemon(86_400).await;
    }
    assert_eq!(world.object("customers", "C1"), serde_json::Value::Null);
    world.daemon(310).await;
    assert_eq!(world.pending(), 0);
    assert_eq!(world.object("customers", "C50")["name"], "Day 1");
    let calls = world.calls().len();
    assert!(calls < 2 * 24 * 60, "{calls} calls");
}
