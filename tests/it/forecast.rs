//! What `plan` foretells of a file is what delivery then takes, call by call.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::shop::Shop;

/// Drops a file after it was planned, delivers it, and compares the calls that write.
#[track_caller]
fn foretold(shop: &Shop, kind: &str, name: &str, text: &str) -> BTreeMap<String, u64> {
    let file = shop.path(name);
    std::fs::write(&file, text).unwrap();
    let planned = shop.json(&["plan", file.to_str().unwrap(), "--folder", kind]);
    let calls = &planned[0]["calls"];
    let by: BTreeMap<String, u64> = serde_json::from_value(calls["by"].clone()).unwrap();
    assert_eq!(calls["total"], by.values().sum::<u64>());
    let before = shop.standin.requests().len();
    shop.drop_in(kind, name, text);
    let output = shop.run(&["sync"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    let mut taken = BTreeMap::new();
    for request in &shop.standin.requests()[before..] {
        if let Some(call) = written(request) {
            *taken.entry(call).or_insert(0) += 1;
        }
    }
    assert_eq!(by, taken, "{kind} {name}");
    taken
}

/// A call that writes, as `plan` names it.
fn written(request: &Value) -> Option<String> {
    let method = request["method"].as_str().unwrap();
    let path = request["path"].as_str().unwrap();
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let path = match parts[..] {
        ["v1", kind, _, "skus", _] => format!("/v1/{kind}/{{id}}/skus/{{id}}"),
        ["v1", kind, _, what @ ("skus" | "consents")] => format!("/v1/{kind}/{{id}}/{what}"),
        ["v1", kind, _] if method != "POST" => format!("/v1/{kind}/{{id}}"),
        _ => path.to_owned(),
    };
    (method != "GET").then(|| format!("{method} {path}"))
}

#[track_caller]
fn check(shop: &Shop, kind: &str, name: &str, text: &str, expected: &[(&str, u64)]) {
    let taken = foretold(shop, kind, name, text);
    let taken: Vec<(&str, u64)> = taken.iter().map(|(call, n)| (call.as_str(), *n)).collect();
    assert_eq!(taken, expected, "{kind} {name}");
}

fn shop() -> Shop {
    let shop = Shop::new();
    let text = std::fs::read_to_string(shop.config()).unwrap();
    let history = shop.path("history");
    std::fs::create_dir_all(&history).unwrap();
    let text = text.replace(
        "[local]\n",
        &format!(
            "[[folder]]\nname = \"history\"\npath = \"{}\"\nkind = \"orders\"\nsettle = \"0s\"\nhistory = true\n[local]\n",
            history.display()
        ),
    );
    let text = text.replacen(
        "kind = \"customers\"\nsettle = \"0s\"\n",
        "kind = \"customers\"\nsettle = \"0s\"\n[folder.columns]\n\"News\" = \"consent.news\"\n",
        1,
    );
    std::fs::write(shop.config(), text).unwrap();
    shop
}

#[test]
fn orders_go_by_the_call_that_the_remote_knows_them_by() {
    let shop = shop();
    let order = |key: &str, status: &str| format!("source_id,status\n{key},{status}\n");
    let (post, put) = ("POST /v1/orders", "PUT /v1/orders/{id}");
    check(
        &shop,
        "orders",
        "a.csv",
        &order("O-1", "CREATED"),
        &[(post, 1)],
    );
    check(&shop, "orders", "b.csv", &order("O-1", "PAID"), &[(put, 1)]);
    check(&shop, "orders", "c.csv", &order("O-1", "PAID"), &[]);
    let import = ("POST /v1/orders/import", 1);
    check(
        &shop,
        "history",
        "d.csv",
        &order("O-2", "CREATED"),
        &[import],
    );
    // An import tells no ids.
    check(
        &shop,
        "orders",
        "e.csv",
        &order("O-2", "PAID"),
        &[(post, 1)],
    );
    check(
        &shop,
        "orders",
        "f.csv",
        &order("..", "CREATED"),
        &[(post, 1)],
    );
    check(&shop, "orders", "g.csv", &order("..", "PAID"), &[(post, 1)]);
}

#[test]
fn a_record_that_stands_several_times_in_a_file_goes_once() {
    let shop = shop();
    let twice = "source_id,name,deleted\nC-1,A,\nC-1,B,\nC-2,A,\nC-2,,yes\n";
    check(
        &shop,
        "customers",
        "a.csv",
        twice,
        &[("POST /v1/customers", 1)],
    );
    let gone = "source_id,name,deleted\nC-1,,yes\nC-3,A,\n";
    check(
        &shop,
        "customers",
        "b.csv",
        gone,
        &[("DELETE /v1/customers/{id}", 1), ("POST /v1/customers", 1)],
    );
}

#[test]
fn consents_are_calls_of_their_own() {
    let shop = shop();
    let row = |name: &str, news: &str| format!("source_id,name,News\nC-1,{name},{news}\n");
    let (post, put) = ("POST /v1/customers", "PUT /v1/customers/{id}/consents");
    check(
        &shop,
        "customers",
        "a.csv",
        &row("A", "yes"),
        &[(post, 1), (put, 1)],
    );
    check(&shop, "customers", "b.csv", &row("A", "no"), &[(put, 1)]);
    check(&shop, "customers", "c.csv", &row("B", "no"), &[(post, 1)]);
    check(&shop, "customers", "d.csv", &row("B", ""), &[]);
}

#[test]
fn a_sku_that_moves_takes_two_calls() {
    let shop = shop();
    let products = "source_id,name\nP-1,Tea\nP-2,Cup\n";
    check(
        &shop,
        "products",
        "a.csv",
        products,
        &[("POST /v1/products", 2)],
    );
    let sku = |product: &str| format!("source_id,product,sku\nS-1,{product},Small\n");
    let made = ("POST /v1/products/{id}/skus", 1);
    check(&shop, "skus", "b.csv", &sku("P-1"), &[made]);
    check(
        &shop,
        "skus",
        "c.csv",
        &sku("P-2"),
        &[("DELETE /v1/products/{id}/skus/{id}", 1), made],
    );
}
