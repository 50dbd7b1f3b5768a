//! `audit`: what the remote holds against what is stored, by export; and what `--repair` queues.

use std::process::Output;
use std::sync::{Arc, Mutex};

use serde_json::Value;

use crate::listening::listening;
use crate::shop::Shop;

const CUSTOMERS: &str = "source_id,name,email,birthdate,address.city,metadata.vip,metadata.undefined\n\
    c-1,Ann Roe,ann@example.com,1990-02-28,Paris,gold,x\n\
    c-2,Bob Poe,bob@example.com,,Lyon,,\n\
    c-3,Cleo,,,,,\n";
const PRODUCTS: &str =
    "source_id,name,price,attributes\np-1,Tea,12.99,\"size,colour\"\np-2,Cup,3,\n";
const SKUS: &str = "source_id,product,sku,price,currency\ns-1,p-1,Tea 100 g,12.99,EUR\n";
const ORDERS: &str = "source_id,status,amount,customer.source_id\no-1,PAID,29.98,c-1\n";

/// A shop whose remote holds all that was dropped.
fn synced() -> Shop {
    let shop = Shop::new();
    shop.standin.post(
        "/_standin/settings",
        r#"{"metadata": {"customer": {"properties": {"vip": {"type": "string"}}}}, "export_ms": 100}"#,
    );
    for (kind, text) in [
        ("customers", CUSTOMERS),
        ("products", PRODUCTS),
        ("skus", SKUS),
        ("orders", ORDERS),
    ] {
        shop.drop_in(kind, "export.csv", text);
    }
    ends(&shop.run(&["sync"]), 0);
    shop
}

#[track_caller]
fn ends(output: &Output, status: i32) -> String {
    let said = String::from_utf8_lossy(&output.stderr).into_owned()
        + &String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(status), "{said}");
    said
}

/// Runs an audit that has to end so; its rows as `kind key drift field local remote`.
#[track_caller]
fn audit(shop: &Shop, more: &[&str], status: i32) -> Vec<String> {
    let output = shop.run(&[&["audit", "--format", "json"], more].concat());
    ends(&output, status);
    let rows: Value = serde_json::from_slice(&output.stdout).unwrap();
    let text = |value: &Value| match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let line = |row: &Value| {
        let columns = ["kind", "key", "drift", "field", "local", "remote"];
        columns.map(|column| text(&row[column])).join(" ")
    };
    rows.as_array().unwrap().iter().map(line).collect()
}

#[test]
fn what_is_equal_is_no_drift_and_takes_few_calls() {
    let shop = synced();
    let before = shop.standin.requests().len();
    assert_eq!(audit(&shop, &[], 0), [""; 0]);
    let calls = shop.standin.requests().len() - before;
    assert!(calls <= 4 * 8, "{calls} calls for four kinds");
    let noted = shop.json(&["requests"]);
    let noted = noted.as_array().unwrap().iter();
    let exports = noted.filter(|r| r["path"].as_str().unwrap().starts_with("/v1/exports"));
    assert_eq!(exports.count(), calls, "each call is noted");
}

#[test]
fn titles_and_major_units_are_read_too() {
    let shop = synced();
    shop.standin
        .post("/_standin/settings", r#"{"export_titles": true}"#);
    assert_eq!(audit(&shop, &[], 0), [""; 0]);
}

#[test]
fn drift_is_listed_and_repaired() {
    let shop = synced();
    let post = |path: &str, body: &str| shop.standin.post(path, body);
    post(
        "/v1/customers",
        r#"{"source_id":"c-1","name":"Anne","address":{"city":"Nice"},"metadata":{"vip":"no"}}"#,
    );
    post("/v1/customers", r#"{"source_id":"c-9","name":"Stranger"}"#);
    post("/v1/products", r#"{"source_id":"p-2","price":301}"#);
    shop.standin.delete("/v1/customers/c-2");
    let drift = [
        "products p-2 differs price 300 301",
        "customers c-1 differs address.city Paris Nice",
        "customers c-1 differs metadata.vip gold no",
        "customers c-1 differs name Ann Roe Anne",
        "customers c-2 missing - - -",
    ];
    assert_eq!(audit(&shop, &[], 65), drift);
    assert_eq!(audit(&shop, &["--kind", "products"], 65), drift[..1]);
    assert_eq!(audit(&shop, &["--kind", "orders"], 0), [""; 0]);
    assert_eq!(audit(&shop, &["--limit", "2"], 65), drift[..2]);
    let with_unknown = audit(&shop, &["--kind", "customers", "--unknown"], 65);
    assert_eq!(with_unknown.last().unwrap(), "customers c-9 unknown - - -");

    let calls = shop.standin.requests().len();
    let asked = ends(&shop.run(&["audit", "--repair"]), 2);
    assert!(asked.contains("--yes"), "{asked}");
    assert_eq!(
        shop.standin.requests().len(),
        calls,
        "nothing was sent before"
    );

    assert_eq!(audit(&shop, &["--repair", "--yes"], 0), drift);
    assert_eq!(shop.json(&["pending"]).as_array().unwrap().len(), 3);
    // What is on its way is no drift.
    assert_eq!(audit(&shop, &[], 0), [""; 0]);
    ends(&shop.run(&["sync"]), 0);
    assert_eq!(audit(&shop, &[], 0), [""; 0]);
    assert_eq!(shop.standin.holds("customers")["c-2"]["name"], "Bob Poe");
    assert_eq!(shop.standin.holds("products")["p-2"]["price"], 300);
}

#[test]
fn without_the_remote_or_its_consent_there_is_no_result() {
    let shop = synced();
    crate::shop::secret_file(&shop.path("app-token"), "wrong");
    ends(&shop.run(&["audit"]), 77);
    crate::shop::secret_file(&shop.path("app-token"), crate::shop::TOKEN);
    let text = std::fs::read_to_string(shop.config()).unwrap();
    let nobody = text.replace(&shop.standin.url(), "http://127.0.0.1:9");
    std::fs::write(shop.config(), nobody).unwrap();
    ends(&shop.run(&["audit"]), 69);
}

#[test]
fn an_export_that_fails_or_takes_long_is_said_and_taken_up() {
    let shop = synced();
    let only = ["audit", "--kind", "products"];
    shop.standin
        .post("/_standin/faults", r#"{"jobs": {"export_error": 1.0}}"#);
    let said = ends(&shop.run(&only), 69);
    assert!(said.contains("could not make the export"), "{said}");
    shop.standin
        .post("/_standin/faults", r#"{"jobs": {"export_error": 0.0}}"#);
    // Longer than the questions of one audit take, 0.5 s growing to 12 s.
    shop.standin
        .post("/_standin/settings", r#"{"export_ms": 27000}"#);
    let before = shop.standin.requests().len();
    let said = ends(&shop.run(&only), 69);
    assert!(said.contains("still making"), "{said}");
    assert!(shop.standin.requests().len() - before <= 8);
    ends(&shop.run(&only), 0);
    let orders = shop.standin.requests().into_iter().skip(before);
    let orders = orders.filter(|request| request["method"] == "POST");
    assert_eq!(orders.count(), 1, "it is not ordered twice");
}

#[test]
fn kinds_whose_export_the_remote_refuses_leave_the_others_compared() {
    let shop = synced();
    shop.standin.delete("/v1/customers/c-2");
    let refusal = r#"{"code":400,"key":"invalid_payload","message":"Invalid payload"}"#;
    let refuse = |count: usize| {
        let faults = format!(
            r#"{{"faults":[{{"match":"POST /v1/exports","count":{count},"status":400,"body":{refusal}}}]}}"#
        );
        shop.standin.post("/_standin/faults", &faults);
    };
    // The catalogue's two stand first.
    refuse(2);
    let said = ends(&shop.run(&["audit"]), 65);
    for line in [
        "products: not compared: the remote gave no export of products (400 invalid_payload)",
        "skus: not compared: ",
        "customers: 2 equal, 1 missing there",
        "customers,c-2,missing,,,",
        "orders: ",
    ] {
        assert!(said.contains(line), "{line}: {said}");
    }
    refuse(4);
    let said = ends(&shop.run(&["audit"]), 65);
    assert!(said.contains("gave no export"), "{said}");
    assert!(!said.contains("equal"), "{said}");
}

#[test]
fn each_kind_takes_eight_calls_at_most_however_long_its_export_takes() {
    let shop = synced();
    for kind in ["customers", "products", "skus", "orders"] {
        for ms in [0, 700, 20_000] {
            let made = format!(r#"{{"export_ms": {ms}}}"#);
            shop.standin.post("/_standin/settings", &made);
            let before = shop.standin.requests().len();
            assert_eq!(audit(&shop, &["--kind", kind], 0), [""; 0]);
            let calls = shop.standin.requests().split_off(before);
            assert!(
                (3..=8).contains(&calls.len()),
                "{kind}, {ms} ms: {} calls",
                calls.len()
            );
            if kind != "skus" {
                break;
            }
        }
    }
}

/// The real API's downloads lie on other hosts than its calls.
#[test]
fn an_export_on_another_host_is_fetched_without_credentials() {
    let shop = synced();
    let (port, heads) = without_credentials(&shop.standin.address);
    let url = format!(r#"{{"download_url": "http://localhost:{port}"}}"#);
    shop.standin.post("/_standin/settings", &url);
    assert_eq!(audit(&shop, &["--kind", "products"], 0), [""; 0]);
    let heads = heads.lock().unwrap().clone();
    assert_eq!(heads.len(), 1);
    let head = heads[0].to_ascii_lowercase();
    assert!(head.starts_with("get /v1/exports/"), "{head}");
    assert!(!head.contains("x-app"), "{head}");
    // Anywhere else is not even called.
    let url = r#"{"download_url": "https://files.example"}"#;
    shop.standin.post("/_standin/settings", url);
    let said = ends(&shop.run(&["audit", "--kind", "products"]), 65);
    assert!(said.contains("it was not called"), "{said}");
}

/// A host for downloads: it keeps the heads of what it was asked, and asks the stand-in.
fn without_credentials(standin: &str) -> (u16, Arc<Mutex<Vec<String>>>) {
    let standin = standin.to_owned();
    let (addr, heads) = listening("127.0.0.1:0", move |head| {
        let path = head.split(' ').nth(1).unwrap_or_default();
        let csv = crate::shop::http(&standin, "GET", path, "");
        let length = csv.len();
        format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{csv}"
        )
    });
    (addr.port(), heads)
}
