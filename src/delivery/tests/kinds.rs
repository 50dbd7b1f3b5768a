//! Products, SKUs and orders; parents and deletions; bodies that end oddly.

use serde_json::Value;

use super::world::{World, text};
use super::*;
use crate::config::Bulk;
use crate::kind::Kind;
use crate::record::Act;

pub(super) fn product(world: &mut World, key: &str, name: &str) {
    world.drop_file(Kind::Products, &[(key, vec![("name", text(name))])]);
}

pub(super) fn sku(world: &mut World, key: &str, product: &str, code: &str) {
    let fields = vec![("product", text(product)), ("sku", text(code))];
    world.drop_file(Kind::Skus, &[(key, fields)]);
}

fn order(world: &mut World, key: &str, status: &str, customer: &str) {
    let items = r#"[{"source_id":"P1","kind":"product","quantity":1,"price":100}]"#;
    let fields = vec![
        ("status", text(status)),
        ("amount", "100".into()),
        ("items", items.into()),
        ("customer.source_id", text(customer)),
    ];
    world.drop_file(Kind::Orders, &[(key, fields)]);
}

#[tokio::test(start_paused = true)]
async fn all_four_kinds_arrive_in_order() {
    let mut world = World::new();
    order(&mut world, "O1", "PAID", "C1");
    sku(&mut world, "S1", "P1", "Tea 100 g");
    world.customers(1, "Ann");
    product(&mut world, "P1", "Tea");
    assert_eq!(world.sync(60).await, Outcome::Delivered);
    let writes = world.writes();
    let place = |call: &str| writes.iter().position(|c| c == call).unwrap();
    assert!(place("POST /v1/products") < place("POST /v1/products/P1/skus"));
    assert!(place("POST /v1/customers") < place("POST /v1/orders"));
    assert!(place("POST /v1/products") < place("POST /v1/orders"));
    assert_eq!(writes.len(), 4);
    let order = world.object("orders", "O1");
    assert_eq!(order["status"], "PAID");
    assert_eq!(order["customer_id"], world.object("customers", "C1")["id"]);
    world.judge();
}

#[tokio::test(start_paused = true)]
async fn a_known_order_is_changed_by_put() {
    let mut world = World::new();
    world.customers(1, "Ann");
    order(&mut world, "O/1 x", "CREATED", "C1");
    world.sync(60).await;
    order(&mut world, "O/1 x", "PAID", "C1");
    assert_eq!(world.sync(60).await, Outcome::Delivered);
    assert_eq!(world.writes().last().unwrap(), "PUT /v1/orders/O%2F1%20x");
    assert_eq!(world.object("orders", "O/1 x")["status"], "PAID");
    world.judge();
}

#[tokio::test(start_paused = true)]
async fn keys_of_dots_go_without_an_address() {
    let mut world = World::new();
    world.drop_file(
        Kind::Customers,
        &[("..", vec![("name", text("A"))]), (".", vec![])],
    );
    order(&mut world, "..", "CREATED", "..");
    world.sync(60).await;
    order(&mut world, "..", "PAID", "..");
    world.sync(60).await;
    assert_eq!(world.object("orders", "..")["status"], "PAID");
    world.delete(Kind::Customers, &[".."]);
    assert_eq!(world.sync(60).await, Outcome::Delivered);
    assert_eq!(world.object("customers", ".."), Value::Null);
    assert_eq!(world.parked(), vec![]);
    world.judge();
}

#[tokio::test(start_paused = true)]
async fn a_sku_of_an_unknown_product_waits_for_it_and_takes_up_by_itself() {
    let mut world = World::new();
    sku(&mut world, "S1", "P1", "Tea 100 g");
    assert_eq!(world.sync(60).await, Outcome::Delivered);
    assert_eq!(
        world.parked(),
        [("S1".to_owned(), "product_unknown".to_owned())]
    );
    product(&mut world, "P1", "Tea");
    assert_eq!(world.sync(60).await, Outcome::Delivered);
    assert_eq!(world.parked(), vec![]);
    assert_eq!(world.object("skus", "S1")["sku"], "Tea 100 g");
}

#[tokio::test(start_paused = true)]
async fn a_sku_of_a_parked_product_causes_no_call() {
    let mut world = World::new();
    world.faults(r#"{"refuse":[{"source_id":"P1"}]}"#);
    product(&mut world, "P1", "Tea");
    sku(&mut world, "S1", "P1", "Tea 100 g");
    assert_eq!(world.sync(60).await, Outcome::Delivered);
    assert_eq!(world.writes(), ["POST /v1/products"]);
    assert_eq!(world.parked().len(), 2);
    world.faults("{}");
    let again = flight::Selection::Key(Kind::Products, "P1".into());
    world
        .store
        .write(move |c| flight::retry(c, &again, 1))
        .unwrap();
    assert_eq!(world.sync(60).await, Outcome::Delivered);
    assert_eq!(world.parked(), vec![]);
    assert_eq!(world.object("skus", "S1")["sku"], "Tea 100 g");
}

#[tokio::test(start_paused = true)]
async fn a_product_that_vanished_at_the_remote_comes_back_with_its_skus() {
    let mut world = World::new();
    product(&mut world, "P1", "Tea");
    sku(&mut world, "S1", "P1", "One");
    sku(&mut world, "S2", "P1", "Two");
    world.sync(60).await;
    let now = world.clock.steady();
    let gone = crate::standin::Request::json("DELETE", "/v1/products/P1", "");
    world.remote.lock().unwrap().answer(&gone, now);
    sku(&mut world, "S1", "P1", "One, anew");
    assert_eq!(world.sync(60).await, Outcome::Delivered);
    assert_eq!(world.object("products", "P1")["name"], "Tea");
    assert_eq!(world.object("skus", "S1")["sku"], "One, anew");
    assert_eq!(world.object("skus", "S2")["sku"], "Two");
    assert_eq!(world.parked(), vec![]);
}

#[tokio::test(start_paused = true)]
async fn a_remote_that_never_knows_a_skus_product_is_not_asked_without_end() {
    let mut world = World::new();
    let unknown = r#"{"code":404,"key":"not_found","message":"Resource not found"}"#;
    world.faults(&format!(
        r#"{{"faults":[{{"match":"POST /v1/products/P1/skus","always":true,"status":404,"body":{unknown}}}]}}"#
    ));
    product(&mut world, "P1", "Tea");
    sku(&mut world, "S1", "P1", "One");
    assert_eq!(world.sync(600).await, Outcome::Delivered);
    assert_eq!(
        world.parked(),
        [("S1".to_owned(), "product_unknown".to_owned())]
    );
    // Each time the product goes before it.
    assert_eq!(world.writes().len(), 8, "{:?}", world.writes());
    world.faults("{}");
    product(&mut world, "P1", "Tea, anew");
    assert_eq!(world.sync(600).await, Outcome::Delivered);
    assert_eq!(world.object("skus", "S1")["sku"], "One");
}

#[tokio::test(start_paused = true)]
async fn an_order_of_a_parked_customer_goes_without_it_and_again_when_it_is_there() {
    let mut world = World::new();
    world.faults(r#"{"refuse":[{"source_id":"C1"}]}"#);
    world.customers(1, "Ann");
    order(&mut world, "O1", "PAID", "C1");
    assert_eq!(world.sync(60).await, Outcome::Delivered);
    assert_eq!(world.parked().len(), 1);
    assert_eq!(world.object("orders", "O1")["customer_id"], Value::Null);
    world.faults("{}");
    world
        .store
        .write(|c| flight::retry(c, &flight::Selection::All, 1))
        .unwrap();
    assert_eq!(world.sync(60).await, Outcome::Delivered);
    assert_eq!(
        world.object("orders", "O1")["customer_id"],
        world.object("customers", "C1")["id"]
    );
    world.judge();
}

#[tokio::test(start_paused = true)]
async fn an_order_of_a_deleted_customer_names_it_once_it_is_made_again() {
    let mut world = World::new();
    world.customers(1, "Ann");
    world.sync(60).await;
    world.delete(Kind::Customers, &["C1"]);
    order(&mut world, "O1", "PAID", "C1");
    assert_eq!(world.sync(60).await, Outcome::Delivered);
    assert_eq!(world.object("customers", "C1"), Value::Null);
    assert_eq!(world.object("orders", "O1")["status"], "PAID");
    let posts = world.arrivals();
    let body = posts
        .iter()
        .find(|a| a.path() == "/v1/orders")
        .unwrap()
        .json()
        .unwrap();
    assert!(body.get("customer").is_none());
    world.customers(1, "Ann");
    assert_eq!(world.sync(60).await, Outcome::Delivered);
    assert_eq!(
        world.object("orders", "O1")["customer_id"],
        world.object("customers", "C1")["id"]
    );
    world.judge();
}

#[tokio::test(start_paused = true)]
async fn deletions_are_done_once_and_what_is_gone_already_is_done() {
    let mut world = World::new();
    world.customers(2, "Ann");
    product(&mut world, "P1", "Tea");
    sku(&mut world, "S1", "P1", "One");
    world.sync(60).await;
    let now = world.clock.steady();
    let gone = crate::standin::Request::json("DELETE", "/v1/customers/C2", "");
    world.remote.lock().unwrap().answer(&gone, now);
    world.delete(Kind::Customers, &["C1", "C2"]);
    world.delete(Kind::Skus, &["S1"]);
    assert_eq!(world.sync(60).await, Outcome::Delivered);
    for (kind, key) in [("customers", "C1"), ("customers", "C2"), ("skus", "S1")] {
        assert_eq!(world.object(kind, key), Value::Null);
    }
    let before = world.calls().len();
    assert_eq!(world.sync(60).await, Outcome::Delivered);
    assert_eq!(world.calls().len(), before);
    world.judge();
}

#[tokio::test(start_paused = true)]
async fn deleted_and_made_again_is_a_delete_first() {
    let mut world = World::new();
    let fields = vec![("name", text("Old")), ("phone", text("1"))];
    world.drop_file(Kind::Customers, &[("C1", fields)]);
    world.sync(60).await;
    world.delete(Kind::Customers, &["C1"]);
    world.drop_file(Kind::Customers, &[("C1", vec![("name", text("New"))])]);
    assert_eq!(world.sync(60).await, Outcome::Delivered);
    assert_eq!(
        world.writes()[1..],
        ["DELETE /v1/customers/C1", "POST /v1/customers"]
    );
    let customer = world.object("customers", "C1");
    assert_eq!(
        (&customer["name"], &customer["phone"]),
        (&"New".into(), &Value::Null)
    );
}

#[tokio::test(start_paused = true)]
async fn a_record_that_never_left_is_deleted_without_a_call() {
    let mut world = World::new();
    world.customers(1, "Ann");
    world.delete(Kind::Customers, &["C1"]);
    assert_eq!(world.sync(60).await, Outcome::Delivered);
    assert_eq!(world.writes(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_sku_that_moves_is_deleted_and_made_again() {
    let mut world = World::new();
    product(&mut world, "P1", "Tea");
    product(&mut world, "P2", "Coffee");
    sku(&mut world, "S1", "P1", "One");
    world.sync(60).await;
    sku(&mut world, "S1", "P2", "One");
    assert_eq!(world.sync(60).await, Outcome::Delivered);
    let writes = world.writes();
    assert_eq!(
        writes[writes.len() - 2..],
        [
            "DELETE /v1/products/P1/skus/S1",
            "POST /v1/products/P2/skus"
        ]
    );
    assert_eq!(
        world.object("skus", "S1")["product_id"],
        world.object("products", "P2")["id"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_sent_order_cannot_be_deleted() {
    let mut world = World::new();
    world.customers(1, "Ann");
    order(&mut world, "O1", "PAID", "C1");
    world.sync(60).await;
    world.delete(Kind::Orders, &["O1"]);
    assert_eq!(world.sync(60).await, Outcome::Delivered);
    assert_eq!(
        world.parked(),
        [("O1".to_owned(), "not_deletable".to_owned())]
    );
}

fn orders_of_history(world: &mut World, count: usize) {
    let keys: Vec<String> = (0..count).map(|i| format!("O{i}")).collect();
    let records: Vec<_> = keys
        .iter()
        .map(|key| (key.as_str(), vec![("status", text("FULFILLED"))]))
        .collect();
    world.drop_into("history", Kind::Orders, &records, Act::Upsert);
}

#[tokio::test(start_paused = true)]
async fn history_goes_by_import_two_thousand_a_call_and_one_at_a_time() {
    let mut world = World::new();
    orders_of_history(&mut world, 4_500);
    assert_eq!(world.sync(3_600).await, Outcome::Delivered);
    assert_eq!(world.writes(), ["POST /v1/orders/import"; 3]);
    assert_eq!(world.remote.lock().unwrap().count("orders"), 4_500);
    world.judge();
}

#[tokio::test(start_paused = true)]
async fn the_one_of_an_import_that_no_report_names_is_found_and_parked_within_minutes() {
    let mut world = World::new();
    world.faults(r#"{"jobs":{"null_ids":true},"refuse":[{"source_id":"O777"}]}"#);
    orders_of_history(&mut world, 2_000);
    let begun = world.clock.steady();
    assert_eq!(world.sync(3_600).await, Outcome::Delivered);
    let parked = world.parked();
    assert_eq!(parked.len(), 1);
    assert_eq!(parked[0].0, "O777");
    assert_eq!(world.remote.lock().unwrap().count("orders"), 1_999);
    // Eleven times a body is halved, without a wait; then three more tries with growing ones.
    let took_s = (world.clock.steady() - begun) / 1_000;
    assert!(took_s < 150, "{took_s} s");
    world.judge();
}

#[tokio::test(start_paused = true)]
async fn a_job_that_is_not_known_everywhere_yet_is_asked_for_again() {
    let mut world = World::new();
    let unknown = r#"{"code":404,"key":"not_found","message":"Resource not found"}"#;
    world.faults(&format!(
        r#"{{"faults":[{{"match":"GET /v1/async-actions/*","count":3,"status":404,"body":{unknown}}}]}}"#
    ));
    world.customers(50, "Ann");
    assert_eq!(world.sync(60).await, Outcome::Delivered);
    assert_eq!(world.writes(), ["POST /v1/customers/bulk/async"]);
    // One that stays unknown is lost: its records go again.
    world.faults(r#"{"jobs":{"forget":1}}"#);
    world.customers(50, "Bob");
    world.sync(120).await;
    assert!(world.writes().len() > 2, "{:?}", world.writes());
}

#[tokio::test(start_paused = true)]
async fn consents_follow_their_customer_and_are_parked_alone() {
    let mut world = World::new();
    let fields = vec![("name", text("Ann")), ("consent.news", "true".to_owned())];
    world.drop_file(Kind::Customers, &[("C 1", fields.clone())]);
    assert_eq!(world.sync(60).await, Outcome::Delivered);
    assert_eq!(
        world.writes(),
        ["POST /v1/customers", "PUT /v1/customers/C%201/consents"]
    );
    let before = world.calls().len();
    world.drop_file(Kind::Customers, &[("C 1", fields)]);
    assert_eq!(world.sync(60).await, Outcome::Delivered);
    assert_eq!(world.calls().len(), before);

    world.remote.lock().unwrap().settings_mut().consents = false;
    let fields = vec![("name", text("Anne")), ("consent.news", "false".to_owned())];
    world.drop_file(Kind::Customers, &[("C 1", fields)]);
    assert_eq!(world.sync(60).await, Outcome::Delivered);
    assert_eq!(world.parked().len(), 1);
    assert_eq!(world.object("customers", "C 1")["name"], "Anne");
    assert_eq!(world.count("SELECT count(*) FROM parked WHERE part = 1"), 1);
    world.judge();
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_too_large_is_halved_and_a_giant_is_parked_alone() {
    let mut world = World::new();
    world.faults(
        r#"{"faults":[{"match":"POST /v1/customers/bulk/async","count":3,"status":413,
        "body":{"statusCode":413,"error":"query_too_large","message":"big"}}]}"#,
    );
    world.customers(40, "Ann");
    assert_eq!(world.sync(600).await, Outcome::Delivered);
    assert_eq!(world.remote.lock().unwrap().count("customers"), 40);
    assert_eq!(world.parked(), vec![]);

    let mut world = World::new();
    let giant = text(&"x".repeat(11_000_000));
    let mut records = vec![("G", vec![("description", giant)])];
    let keys: Vec<String> = (0..20).map(|i| format!("K{i}")).collect();
    records.extend(
        keys.iter()
            .map(|key| (key.as_str(), vec![("name", text("Ann"))])),
    );
    world.drop_file(Kind::Customers, &records);
    assert_eq!(world.sync(600).await, Outcome::Delivered);
    assert_eq!(
        world.parked(),
        [("G".to_owned(), "query_too_large".to_owned())]
    );
    assert_eq!(world.remote.lock().unwrap().count("customers"), 20);
}

#[tokio::test(start_paused = true)]
async fn a_failed_job_is_split_until_the_blame_is_found() {
    let mut world = World::new();
    world.faults(r#"{"jobs":{"fail":1.0}}"#);
    world.customers(20, "Ann");
    world.daemon(5).await;
    world.faults("{}");
    assert_eq!(world.sync(3_600).await, Outcome::Delivered);
    assert_eq!(world.remote.lock().unwrap().count("customers"), 20);
    assert_eq!(world.parked(), vec![]);
}

#[tokio::test(start_paused = true)]
async fn items_that_fail_for_the_remotes_own_reasons_go_again() {
    let mut world = World::new();
    world.settings.api.bulk = Bulk::Always;
    world.faults(r#"{"jobs":{"partial":0.3,"keys":["internal_error","resource_locked"]}}"#);
    world.customers(200, "Ann");
    world.daemon(20).await;
    world.faults("{}");
    assert_eq!(world.sync(3_600).await, Outcome::Delivered);
    assert_eq!(world.remote.lock().unwrap().count("customers"), 200);
    assert_eq!(world.parked(), vec![]);
}

#[tokio::test(start_paused = true)]
async fn a_key_that_nobody_knows_gets_three_more_tries() {
    let mut world = World::new();
    world.settings.api.bulk = Bulk::Always;
    world.faults(r#"{"jobs":{"partial":1.0,"keys":["martian"]}}"#);
    world.customers(1, "Ann");
    world.daemon(3_600).await;
    assert_eq!(world.parked(), [("C1".to_owned(), "martian".to_owned())]);
    assert_eq!(world.writes().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_body_whose_acceptance_was_lost_goes_again_by_bulk() {
    let mut world = World::new();
    world.faults(
        r#"{"faults":[{"match":"POST /v1/customers/bulk/async","apply":true,"then":"reset"}]}"#,
    );
    world.customers(30, "Old");
    world.killed_after(50).await;
    // Fewer than go by bulk by themselves; but a single call could overtake the job.
    world.customers(3, "New");
    assert_eq!(world.sync(600).await, Outcome::Delivered);
    assert_eq!(world.writes()[..2], ["POST /v1/customers/bulk/async"; 2]);
    assert_eq!(world.object("customers", "C3")["name"], "New");
    assert_eq!(world.object("customers", "C30")["name"], "Old");
    assert_eq!(
        world.count("SELECT count(*) FROM flight WHERE state <> 'done'"),
        0
    );
    // From then on singles are safe again.
    world.customers(1, "Newer");
    world.sync(600).await;
    assert_eq!(world.writes().last().unwrap(), "POST /v1/customers");
}

#[tokio::test(start_paused = true)]
async fn a_deletion_never_overtakes_a_lost_job_however_long_its_line() {
    let mut world = World::new();
    world.settings.api.bulk = Bulk::Always;
    let line_ms = 3 * 3_600_000;
    world.remote.lock().unwrap().settings_mut().job_base_ms = line_ms;
    world.faults(
        r#"{"faults":[{"match":"POST /v1/customers/bulk/async","count":1,"apply":true,"then":"reset"}]}"#,
    );
    world.customers(1, "Ann");
    let begun = world.clock.steady();
    world.killed_after(20).await;
    world.delete(Kind::Customers, &["C1"]);
    world.daemon(2 * 3_600).await;
    let deletions = |world: &World| {
        let arrivals = world.arrivals();
        let at = arrivals.iter().filter(|a| a.method == "DELETE");
        at.map(|a| a.at_ms - begun).collect::<Vec<_>>()
    };
    assert_eq!(deletions(&world), [0; 0]);
    let asked = world.calls();
    let asked = asked
        .iter()
        .filter(|c| *c == "GET /v1/async-actions")
        .count();
    assert!((5..40).contains(&asked), "{asked} questions");
    world.daemon(2 * 3_600).await;
    let at = deletions(&world);
    assert_eq!(at.len(), 1);
    assert!(at[0] >= line_ms, "{at:?}");
    assert_eq!(world.object("customers", "C1"), Value::Null);
    assert_eq!(world.pending(), 0);
    world.judge();
}

#[tokio::test(start_paused = true)]
async fn jobs_outlive_a_restart() {
    let mut world = World::new();
    world.remote.lock().unwrap().settings_mut().job_base_ms = 20_000;
    world.customers(100, "Ann");
    world.killed_after(3_000).await;
    assert_eq!(
        world.count("SELECT count(*) FROM flight WHERE state = 'job'"),
        1
    );
    assert_eq!(world.sync(600).await, Outcome::Delivered);
    assert_eq!(world.writes().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_change_during_a_job_follows_it_and_never_overtakes_it() {
    let mut world = World::new();
    world.remote.lock().unwrap().settings_mut().job_base_ms = 60_000;
    world.customers(100, "Old");
    world.killed_after(3_000).await;
    world.customers(1, "New");
    assert_eq!(world.sync(600).await, Outcome::Delivered);
    assert_eq!(
        world.writes(),
        ["POST /v1/customers/bulk/async", "POST /v1/customers"]
    );
    assert_eq!(world.object("customers", "C1")["name"], "New");
}

#[tokio::test(start_paused = true)]
async fn discard_sets_back_to_what_was_acknowledged() {
    let mut world = World::new();
    world.customers(1, "Good");
    world.sync(60).await;
    world.faults(r#"{"refuse":[{"contains":"C"}]}"#);
    world.customers(2, "Bad");
    world.sync(60).await;
    assert_eq!(world.parked().len(), 2);
    world.faults("{}");
    let discarded = world
        .store
        .write(|c| flight::discard(c, &flight::Selection::All, false, 1))
        .unwrap();
    assert_eq!((discarded.set_back, discarded.deleted), (1, 1));
    assert_eq!(world.sync(60).await, Outcome::Delivered);
    let reader = world.store.reader().unwrap();
    let trace = crate::store::trace(&reader, Kind::Customers, "C1")
        .unwrap()
        .unwrap();
    assert_eq!(trace.content.get("name"), Some("\"Good\""));
    assert_eq!(world.object("customers", "C1")["name"], "Good");
    assert_eq!(world.object("customers", "C2"), Value::Null);
    assert_eq!(world.parked(), vec![]);
}

#[tokio::test(start_paused = true)]
async fn cleared_fields_are_cleared_at_the_remote() {
    let mut world = World::new();
    let fields = vec![
        ("name", text("Ann")),
        ("address.city", text("Paris")),
        ("metadata.vip", "3".to_owned()),
    ];
    world.drop_file(Kind::Customers, &[("C1", fields)]);
    world.sync(60).await;
    let cleared = ["name", "address.city", "metadata.vip"].map(|f| (f, "CLEARED".to_owned()));
    world.drop_file(Kind::Customers, &[("C1", cleared.to_vec())]);
    assert_eq!(world.sync(60).await, Outcome::Delivered);
    let customer = world.object("customers", "C1");
    assert!(customer["name"].as_str().is_none_or(str::is_empty));
    assert!(customer["metadata"].get("vip").is_none_or(Value::is_null));
    world.judge();
}

/// SKUs `S1` to `Sn`, ten for each of the products `P1`, `P2`, …
fn many_skus(world: &mut World, n: usize) {
    let products: Vec<_> = (1..=n.div_ceil(10)).map(|i| format!("P{i}")).collect();
    let records: Vec<_> = products
        .iter()
        .map(|key| {
            let fields = vec![("name", text(key)), ("attributes", r#"["size"]"#.into())];
            (key.as_str(), fields)
        })
        .collect();
    world.drop_file(Kind::Products, &records);
    many_skus_alone(world, n, 1250);
}

fn many_skus_alone(world: &mut World, n: usize, price: usize) {
    let keys: Vec<_> = (1..=n).map(|i| format!("S{i}")).collect();
    let records: Vec<_> = keys
        .iter()
        .enumerate()
        .map(|(i, key)| {
            let fields = vec![
                ("product", text(&format!("P{}", i / 10 + 1))),
                ("sku", text(&format!("Tea, {i} g"))),
                ("price", price.to_string()),
                ("attributes.size", text("L")),
                ("image_url", text("https://shop.example/s.png")),
            ];
            (key.as_str(), fields)
        })
        .collect();
    world.drop_file(Kind::Skus, &records);
}

fn singly_sent_skus(world: &World) -> usize {
    let writes = world.writes();
    writes.iter().filter(|call| call.ends_with("/skus")).count()
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_new_skus_with_a_thousand_new_products_take_ten_calls_that_write_at_most() {
    let mut world = World::new();
    many_skus(&mut world, 10_000);
    assert_eq!(world.sync(3_600).await, Outcome::Delivered);
    assert_eq!(
        world.writes(),
        [
            "POST /v1/products/bulk/async",
            "POST /v1/exports",
            "POST /v1/skus/importCSV"
        ]
    );
    assert!(world.calls().len() <= 20, "{}", world.calls().len());
    assert_eq!((world.pending(), world.parked()), (0, vec![]));
    assert_eq!(world.remote.lock().unwrap().count("skus"), 10_000);
    let sku = world.object("skus", "S10000");
    assert_eq!(sku["product_id"], world.object("products", "P1000")["id"]);
    assert_eq!(sku["sku"], "Tea, 9999 g");
    assert_eq!(sku["price"], 1250);
    assert_eq!(sku["attributes"]["size"], "L");
    assert_eq!(sku["image_url"], "https://shop.example/s.png");
    world.judge();
    // What is acknowledged needs no call; what changes goes singly, since a CSV would not carry it.
    many_skus_alone(&mut world, 60, 1250);
    let before = world.calls().len();
    assert_eq!(world.sync(600).await, Outcome::Delivered);
    assert_eq!(world.calls().len(), before);
    many_skus_alone(&mut world, 60, 1300);
    assert_eq!(world.sync(600).await, Outcome::Delivered);
    assert_eq!(singly_sent_skus(&world), 60);
    assert_eq!(world.object("skus", "S60")["price"], 1300);
}

#[tokio::test(start_paused = true)]
async fn many_skus_of_few_products_go_by_csv() {
    for (products, skus, known) in [
        (1, 500, false),
        (2, 500, true),
        (5, 500, false),
        (2, 21, true),
    ] {
        let mut world = World::new();
        let keys: Vec<_> = (0..skus).map(|i| format!("S{i}")).collect();
        let skus_of: Vec<_> = (keys.iter().enumerate())
            .map(|(i, key)| {
                let product = text(&format!("P{}", i % products));
                (key.as_str(), vec![("product", product), ("sku", text(key))])
            })
            .collect();
        for i in 0..products {
            product(&mut world, &format!("P{i}"), "Tea");
        }
        if known {
            world.sync(600).await;
        }
        world.drop_file(Kind::Skus, &skus_of);
        assert_eq!(world.sync(3_600).await, Outcome::Delivered);
        assert_eq!(world.writes().len(), products + 2, "{:?}", world.writes());
        assert!(world.calls().len() <= products + 10, "{:?}", world.calls());
        assert_eq!(world.remote.lock().unwrap().count("skus"), skus);
    }
}

#[tokio::test(start_paused = true)]
async fn skus_that_the_remote_has_go_singly() {
    let mut world = World::new();
    many_skus(&mut world, 100);
    world.sync(600).await;
    // Another store, which knows nothing of what is there.
    let mut other = World::new();
    other.remote = world.remote.clone();
    other.clock = world.clock.clone();
    let before = singly_sent_skus(&other);
    many_skus(&mut other, 170);
    assert_eq!(other.sync(600).await, Outcome::Delivered);
    assert_eq!(singly_sent_skus(&other) - before, 100);
    assert_eq!(other.remote.lock().unwrap().count("skus"), 170);
}

#[tokio::test(start_paused = true)]
async fn skus_that_the_columns_do_not_carry_go_singly() {
    let mut world = World::new();
    product(&mut world, "P1", "Tea");
    let keys: Vec<_> = (0..60).map(|i| format!("S{i}")).collect();
    let records: Vec<_> = keys
        .iter()
        .map(|key| {
            let fields = vec![("product", text("P1")), ("currency", text("EUR"))];
            (key.as_str(), fields)
        })
        .collect();
    world.drop_file(Kind::Skus, &records);
    assert_eq!(world.sync(600).await, Outcome::Delivered);
    assert_eq!(singly_sent_skus(&world), 60);
    assert_eq!(world.object("skus", "S59")["currency"], "EUR");
}

#[tokio::test(start_paused = true)]
async fn an_attribute_is_named_in_the_product_before_a_sku_uses_it() {
    let mut world = World::new();
    product(&mut world, "P1", "Tea");
    world.sync(60).await;
    let fields = vec![("product", text("P1")), ("attributes.size", text("L"))];
    world.drop_file(Kind::Skus, &[("S1", fields)]);
    let fields = vec![("name", text("Tea")), ("attributes", r#"["size"]"#.into())];
    world.drop_file(Kind::Products, &[("P1", fields)]);
    assert_eq!(world.sync(60).await, Outcome::Delivered);
    assert_eq!(world.parked(), vec![]);
    assert_eq!(world.object("skus", "S1")["attributes"]["size"], "L");
}

#[tokio::test(start_paused = true)]
async fn rows_that_fail_go_singly_and_get_their_own_verdict() {
    let mut world = World::new();
    world.faults(r#"{"refuse":[{"source_id":"S7"}],"jobs":{"partial":0.1,"keys":["odd_key"]}}"#);
    many_skus(&mut world, 100);
    assert_eq!(world.sync(3_600).await, Outcome::Delivered);
    assert_eq!(world.parked().len(), 1, "{:?}", world.parked());
    assert_eq!(world.parked()[0].0, "S7");
    assert_eq!(world.remote.lock().unwrap().count("skus"), 99);
    let singly = singly_sent_skus(&world);
    assert!((1..60).contains(&singly), "{singly}");
}

#[tokio::test(start_paused = true)]
async fn an_upload_or_export_that_fails_costs_calls_and_no_sku() {
    for faults in [
        r#"{"jobs":{"export_error":1}}"#,
        r#"{"jobs":{"fail":1}}"#,
        r#"{"faults":[{"match":"POST /v1/skus/importCSV","then":"reset"}]}"#,
        r#"{"faults":[{"match":"POST /v1/skus/importCSV","apply":true,"then":"reset"}]}"#,
        r#"{"faults":[{"match":"POST /v1/skus/importCSV","status":400}]}"#,
        r#"{"faults":[{"match":"POST /v1/exports","then":"reset"}]}"#,
        r#"{"faults":[{"match":"GET /v1/exports*","status":404}]}"#,
    ] {
        let mut world = World::new();
        let records: Vec<_> = (1..=8)
            .map(|i| {
                (
                    format!("P{i}"),
                    vec![("name", text("Tea")), ("attributes", r#"["size"]"#.into())],
                )
            })
            .collect();
        let records: Vec<_> = records
            .iter()
            .map(|(k, f)| (k.as_str(), f.clone()))
            .collect();
        world.drop_file(Kind::Products, &records);
        world.sync(60).await;
        world.faults(faults);
        many_skus_alone(&mut world, 80, 100);
        assert_eq!(world.sync(3_600).await, Outcome::Delivered, "{faults}");
        assert_eq!(world.remote.lock().unwrap().count("skus"), 80, "{faults}");
        assert_eq!(world.parked(), vec![]);
    }
}

/// Customers or products `K0` to `K999` whose documents fill more than two bodies, in a tier; every
/// hundredth with another name, too, where `names` says so.
fn in_tier(world: &mut World, kind: Kind, tier: &str, names: &str) {
    let long = "x".repeat(25_000);
    let keys: Vec<_> = (0..1_000).map(|i| format!("K{i}")).collect();
    let records: Vec<_> = keys
        .iter()
        .enumerate()
        .map(|(i, key)| {
            let name = if i % 80 == 0 { names } else { "Ann" };
            let fields = vec![
                ("name", text(name)),
                ("metadata.note", text(&long)),
                ("metadata.tier", tier.to_owned()),
                ("metadata.points", i.to_string()),
            ];
            (key.as_str(), fields)
        })
        .collect();
    world.drop_file(kind, &records);
}

#[tokio::test(start_paused = true)]
async fn one_change_of_metadata_that_many_share_is_told_once() {
    for kind in [Kind::Customers, Kind::Products] {
        let mut world = World::new();
        in_tier(&mut world, kind, "\"silver\"", "Ann");
        assert_eq!(world.sync(600).await, Outcome::Delivered);
        let bulk = format!("POST /v1/{}/bulk/async", kind.name());
        let shared = format!("POST /v1/{}/metadata/async", kind.name());
        assert_eq!(world.writes(), [bulk.as_str(); 3]);
        // All of them, then most of them, then cleared.
        in_tier(&mut world, kind, "\"gold\"", "Ann");
        assert_eq!(world.sync(600).await, Outcome::Delivered);
        assert_eq!(world.writes()[3..], [shared.as_str()]);
        in_tier(&mut world, kind, "\"none\"", "Bea");
        assert_eq!(world.sync(600).await, Outcome::Delivered);
        assert_eq!(world.writes()[4..], [shared.as_str(), bulk.as_str()]);
        in_tier(&mut world, kind, "CLEARED", "Bea");
        assert_eq!(world.sync(600).await, Outcome::Delivered);
        assert_eq!(world.writes()[6..], [shared.as_str()]);
        assert_eq!(world.pending(), 0);
        for i in 0..1_000 {
            let held = world.object(kind.name(), &format!("K{i}"));
            assert_eq!(held["name"], if i % 80 == 0 { "Bea" } else { "Ann" });
            assert_eq!(held["metadata"]["points"], i);
            assert!(held["metadata"]["tier"].is_null());
            assert_eq!(held["metadata"]["note"].as_str().unwrap().len(), 25_000);
        }
        world.judge();
    }
}

#[tokio::test(start_paused = true)]
async fn a_shared_change_whose_outcome_is_unknown_goes_again_whole() {
    let mut world = World::new();
    in_tier(&mut world, Kind::Customers, "\"silver\"", "Ann");
    world.sync(600).await;
    world.faults(
        r#"{"faults":[{"match":"POST /v1/customers/metadata/async","apply":true,"then":"reset"}]}"#,
    );
    in_tier(&mut world, Kind::Customers, "\"gold\"", "Ann");
    assert_eq!(world.sync(3_600).await, Outcome::Delivered);
    let after = world.writes().split_off(4);
    assert!(!after.is_empty());
    assert!(after.iter().all(|call| call.ends_with("/bulk/async")));
    assert_eq!(world.object("customers", "K9")["metadata"]["tier"], "gold");
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_orders_of_history_take_five_calls_that_write() {
    let mut world = World::new();
    orders_of_history(&mut world, 10_000);
    assert_eq!(world.sync(3_600).await, Outcome::Delivered);
    assert_eq!(world.writes(), ["POST /v1/orders/import"; 5]);
    assert_eq!(world.remote.lock().unwrap().count("orders"), 10_000);
}

#[tokio::test(start_paused = true)]
async fn an_upload_whose_fate_is_unknown_is_not_followed_by_other_content() {
    let mut world = World::new();
    many_skus(&mut world, 110);
    world.faults(r#"{"faults":[{"match":"POST /v1/skus/importCSV","then":"reset"}]}"#);
    world.daemon(120).await;
    // The same went singly; what is newer waits until the upload is surely worked off.
    assert_eq!((singly_sent_skus(&world), world.pending()), (110, 0));
    many_skus_alone(&mut world, 1, 9_900);
    world.daemon(600).await;
    assert_eq!(
        world.pending(),
        1,
        "{} {:?} {:?}",
        world.story("S1"),
        world.parked(),
        world.writes()
    );
    world.daemon(90_000).await;
    assert_eq!(world.pending(), 0);
    assert_eq!(world.object("skus", "S1")["price"], 9_900);
}

#[tokio::test(start_paused = true)]
async fn a_refused_deletion_before_a_new_record_parks_it_and_costs_one_call() {
    let mut world = World::new();
    world.customers(1, "Ann");
    assert_eq!(world.sync(60).await, Outcome::Delivered);
    world.delete(Kind::Customers, &["C1"]);
    world.customers(1, "Bob");
    world.faults(r#"{"refuse":[{"kind":"customers","source_id":"C1"}]}"#);
    let before = world.calls().len();
    world.daemon(3_600).await;
    assert_eq!(world.calls().len(), before + 1);
    assert_eq!((world.pending(), world.parked().len()), (0, 1));
    // Mended at the remote, a change makes it go again: the deletion, then the new record.
    world.faults("{}");
    world.customers(1, "Cid");
    world.daemon(60).await;
    assert_eq!((world.pending(), world.parked().len()), (0, 0));
    assert_eq!(world.calls().len(), before + 3);
}
