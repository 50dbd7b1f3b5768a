//! Secrets and personal data appear in no log, no error and no process list (INTERFACE.md, promise 7).

use std::fs;
use std::io::Write;

use crate::shop::{Shop, secret_file, wait};

/// Stands in every cell, in a header, and in the token.
const MARK: &str = "ZZmarkedZZ";

/// Every bad path at once, with the mark in all that must not be told.
fn bad_files(shop: &Shop) {
    let m = MARK;
    shop.drop_in(
        "customers",
        "dates.csv",
        &format!("source_id,name,birthdate,{m}-column\n{m}-1,{m},{m}-31-02,{m}\n,{m},,{m}\n"),
    );
    shop.drop_in(
        "customers",
        "ragged.csv",
        &format!("source_id,name,email\n{m}-2,{m}\n{m}-3,{m},{m}@x,{m},{m}\n"),
    );
    shop.drop_in(
        "customers",
        "quote.csv",
        &format!("source_id,name\n{m}-4,\"{m}\n{m}-5,{m}\n"),
    );
    shop.drop_in(
        "customers",
        "twice.csv",
        &format!("source_id,name,name\n{m}-6,{m}a,{m}b\n"),
    );
    shop.drop_in(
        "customers",
        "no-key.csv",
        &format!("{m}-a,{m}-b\n{m},{m}\n"),
    );
    shop.drop_in(
        "products",
        "price.csv",
        &format!("source_id,name,price\n{m}-7,{m},{m}\n"),
    );
    shop.drop_in(
        "skus",
        "orphan.csv",
        &format!("source_id,product,sku,price\n{m}-8,{m}-none,{m},1\n{m}-9,,{m},1\n"),
    );
    shop.drop_in(
        "orders",
        "status.csv",
        &format!("source_id,status,customer.source_id\n{m}-10,{m},{m}\n{m}-11,PAID,{m}-12\n"),
    );
    shop.drop_in(
        "customers",
        "fine.csv",
        &format!("source_id,name,email\n{m}-13,{m},{m}@example.com\nrefuse-{m},{m},{m}\n"),
    );
    let broken = shop.path("customers").join("broken.csv.gz");
    fs::File::create(broken)
        .unwrap()
        .write_all(&[0x1f, 0x8b, 8, 0, 1, 2, 3])
        .unwrap();
}

#[track_caller]
fn unmarked(what: &str, bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Some(line) = text.lines().find(|line| line.contains(MARK)) {
        panic!("{what} tells what it must not: {line}");
    }
}

#[test]
fn no_secret_key_or_cell_is_in_any_log_or_error() {
    let shop = Shop::new();
    secret_file(&shop.path("app-token"), &format!("tok-{MARK}"));
    shop.standin
        .post("/_standin/faults", r#"{"refuse": [{"prefix": "refuse-", "status": 400, "key": "invalid_customer", "message": "ZZmarkedZZ"}]}"#);
    bad_files(&shop);
    // First with a token that the remote refuses, then with the right one, at the highest log level.
    let refused = shop
        .command(&["sync", "--timeout", "20s"])
        .env("TILLSYNC_LOG", "trace")
        .output()
        .unwrap();
    assert_eq!(
        refused.status.code(),
        Some(77),
        "{}",
        String::from_utf8_lossy(&refused.stderr)
    );
    unmarked("sync (stderr)", &refused.stderr);
    unmarked("sync (stdout)", &refused.stdout);
    secret_file(&shop.path("app-token"), crate::shop::TOKEN);
    let daemon = shop.daemon();
    shop.wait_delivered();
    let command_line = fs::read(format!("/proc/{}/cmdline", daemon.child.id())).unwrap();
    unmarked("the process list", &command_line);
    bad_files(&shop);
    wait(
        "each file is taken in, or held for its missing columns",
        || {
            let files = shop.json(&["files"]);
            let is_held = |name: &String| {
                files
                    .as_array()
                    .unwrap()
                    .iter()
                    .any(|f| f["name"] == **name && f["state"] == "held")
            };
            let names = shop.listing(&shop.path("customers"));
            names
                .iter()
                .filter(|n| n.contains(".csv"))
                .all(is_held)
                .then_some(())
        },
    );
    shop.wait_delivered();
    for command in [
        &["check"][..],
        &["check", "--online"],
        &["status"],
        &["todo"],
    ] {
        unmarked(command[0], &shop.run(command).stderr);
    }
    daemon.signal("-TERM");
    assert_eq!(daemon.ended(), Some(0));
    unmarked(
        "the daemon's log",
        &fs::read(shop.path("daemon.log")).unwrap(),
    );
}
