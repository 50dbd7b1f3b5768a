//! The straight line: what is dropped is stored, what changed reaches the remote, and nothing else does.

use std::fs;

use serde_json::{Value, json};

use crate::shop::{Shop, wait};

const CUSTOMERS: &str = "source_id,name,email,phone,birthdate,address.city,metadata.vip\n\
    c-1,Ann Roe,ann@example.com,+15550100,1990-02-28,Paris,gold\n\
    c-2,Bob Poe,bob@example.com,,,Lyon,\n";
const PRODUCTS: &str =
    "source_id,name,price,attributes\np-1,Tea,12.99,\"size,colour\"\np-2,Cup,3,\n";
const SKUS: &str =
    "source_id,product,sku,price,currency,attributes.size\ns-1,p-1,Tea 100 g,12.99,EUR,100 g\n";
const ORDERS: &str = "source_id,status,amount,customer.source_id,item.source_id,item.kind,item.quantity,item.price\n\
    o-1,PAID,29.98,c-1,p-1,product,2,12.99\n\
    o-1,PAID,29.98,c-1,s-1,sku,1,4\n\
    o-2,CREATED,3,c-9,p-2,product,1,3\n";

fn drop_all(shop: &Shop) {
    for (kind, text) in [
        ("orders", ORDERS),
        ("skus", SKUS),
        ("customers", CUSTOMERS),
        ("products", PRODUCTS),
    ] {
        shop.drop_in(kind, "export.csv", text);
    }
}

fn writes(shop: &Shop) -> usize {
    shop.standin
        .requests()
        .iter()
        .filter(|r| r["method"] != "GET")
        .count()
}

fn assert_all_there(shop: &Shop) {
    let customers = shop.standin.holds("customers");
    assert_eq!(customers["c-1"]["name"], "Ann Roe");
    assert_eq!(customers["c-1"]["address"]["city"], "Paris");
    assert_eq!(customers["c-1"]["birthdate"], "1990-02-28");
    assert_eq!(customers["c-1"]["metadata"]["vip"], "gold");
    assert_eq!(customers["c-2"]["phone"], Value::Null);
    assert!(
        customers.contains_key("c-9"),
        "an order's unknown customer is made"
    );
    let products = shop.standin.holds("products");
    assert_eq!(products["p-1"]["price"], 1299);
    assert_eq!(products["p-1"]["attributes"], json!(["size", "colour"]));
    assert_eq!(
        shop.standin.holds("skus")["s-1"]["attributes"]["size"],
        "100 g"
    );
    let orders = shop.standin.holds("orders");
    assert_eq!(orders["o-1"]["status"], "PAID");
    assert_eq!(orders["o-1"]["items"].as_array().map(Vec::len), Some(2));
    assert_eq!(orders["o-2"]["amount"], 300);
}

#[test]
fn a_dropped_file_of_each_kind_reaches_the_remote() {
    let shop = Shop::new();
    let daemon = shop.daemon();
    drop_all(&shop);
    wait("four files are archived", || {
        let there = |kind: &&str| shop.listing(&shop.path(kind).join("archive")).len() == 1;
        ["customers", "products", "skus", "orders"]
            .iter()
            .all(there)
            .then_some(())
    });
    shop.wait_delivered();
    assert_all_there(&shop);
    let status = shop.json(&["status"]);
    assert_eq!(
        status["stored"],
        json!({"customers": 3, "products": 2, "skus": 1, "orders": 2})
    );
    assert_eq!(status["link"]["state"], "up");
    daemon.signal("-TERM");
    assert_eq!(daemon.ended(), Some(0));
}

#[test]
fn sync_does_the_same_once_and_the_same_files_again_send_nothing() {
    let shop = Shop::new();
    drop_all(&shop);
    let output = shop.run(&["sync"]);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert_all_there(&shop);
    let before = writes(&shop);
    drop_all(&shop);
    assert!(shop.run(&["sync"]).status.success());
    assert_eq!(writes(&shop), before, "unchanged rows cause no request");
    assert_eq!(shop.listing(&shop.path("customers/archive")).len(), 2);
}

#[test]
fn a_thousand_customers_take_few_calls() {
    let shop = Shop::new();
    let rows: String = (0..1000)
        .map(|n| format!("c-{n},Name {n},n{n}@example.com\n"))
        .collect();
    shop.drop_in(
        "customers",
        "many.csv",
        &format!("source_id,name,email\n{rows}"),
    );
    assert!(shop.run(&["sync"]).status.success());
    assert_eq!(shop.standin.holds("customers").len(), 1000);
    let calls = writes(&shop);
    assert!(calls <= 5, "{calls} calls");
}

#[test]
fn a_rejected_row_is_written_out_and_comes_back_mended() {
    let shop = Shop::new();
    shop.drop_in(
        "customers",
        "export.csv",
        "source_id,name,birthdate\nc-1,Ann,1990-02-28\nc-2,=Bob,1990-02-31\n,No Key,\n",
    );
    let output = shop.run(&["sync"]);
    assert_eq!(
        output.status.code(),
        Some(65),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(shop.standin.holds("customers").len(), 1);
    let of_key = |key: &str| {
        shop.json(&["rejects", "--key", key])
            .as_array()
            .unwrap()
            .len()
    };
    assert_eq!((of_key("c-2"), of_key("c-1")), (1, 0));
    let rejects = shop.json(&["rejects"]);
    let codes: Vec<&str> = rejects
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|r| r["code"].as_str())
        .collect();
    assert!(
        codes.contains(&"date") && codes.contains(&"missing_key"),
        "{rejects}"
    );
    let names = shop.listing(&shop.path("customers/rejects"));
    assert_eq!(names.len(), 1, "{names:?}");
    let text = fs::read_to_string(shop.path("customers/rejects").join(&names[0])).unwrap();
    assert!(text.starts_with('\u{feff}'), "a BOM, for spreadsheets");
    assert!(text.contains("'=Bob"), "no formula is run: {text}");
    let mended = text
        .replace("1990-02-31", "1990-02-27")
        .replace(",No Key", "c-3,No Key");
    shop.drop_in("customers", &names[0], &mended);
    let output = shop.run(&["sync"]);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let customers = shop.standin.holds("customers");
    assert_eq!(customers["c-2"]["name"], "=Bob");
    assert_eq!(customers["c-2"]["birthdate"], "1990-02-27");
    assert_eq!(customers["c-3"]["name"], "No Key");
}

#[test]
fn a_second_daemon_names_the_first_and_ends_with_75() {
    let shop = Shop::new();
    let daemon = shop.daemon();
    shop.wait_running();
    let second = shop.run(&["run"]);
    assert_eq!(second.status.code(), Some(75));
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(said.contains(&daemon.child.id().to_string()), "{said}");
    assert_eq!(shop.run(&["sync"]).status.code(), Some(75));
}

/// Times that the process's threads went to sleep of their own accord.
fn sleeps(pid: u32) -> u64 {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let status = tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("status")).ok());
    let count = |text: String| {
        text.lines().find_map(|line| {
            line.strip_prefix("voluntary_ctxt_switches:")?
                .trim()
                .parse::<u64>()
                .ok()
        })
    };
    status.filter_map(count).sum()
}

#[test]
fn an_idle_daemon_sleeps() {
    let shop = Shop::new();
    let daemon = shop.daemon();
    shop.drop_in("customers", "one.csv", CUSTOMERS);
    wait("the file is delivered", || {
        (shop.standin.holds("customers").len() == 2).then_some(())
    });
    // What a file leaves to be tidied up is over when two looks, two seconds apart, see the same.
    wait("it comes to rest", || {
        let before = sleeps(daemon.child.id());
        std::thread::sleep(std::time::Duration::from_secs(2));
        (sleeps(daemon.child.id()) - before <= 2).then_some(())
    });
}
