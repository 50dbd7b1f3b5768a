//! README's table of troubles is true: each row is brought about with the real binary, and says what
//! the table says that it does. A row without its trial fails.

use std::fs::{self, File};
use std::process::{Command, Output};

use serde_json::Value;

use crate::shop::{Shop, secret_file, wait};

type Trial = (&'static str, fn(&str));

/// The words of a row's first cell that stand in backticks, and the trial that brings them about.
const TRIALS: &[Trial] = &[
    (
        "another tillsync is at work on this state directory (pid N)",
        another_at_work,
    ),
    ("the remote refused the credentials", refused),
    ("The disk is nearly full: N free", nearly_full),
    ("There is not enough room for a file", no_room),
    ("held", held),
    ("unreadable", unreadable),
    ("parked", parked),
    (
        "the database was damaged and is kept as …",
        damaged_and_kept,
    ),
    ("the database is damaged", damaged),
    ("the database was made by a newer tillsync", newer),
];

#[test]
fn every_trouble_of_the_table_can_be_had_and_says_what_the_table_says() {
    let readme = include_str!("../../README.md");
    let table = readme.split("\n## Troubleshooting\n").nth(1).unwrap();
    let table = table.split("\n## ").next().unwrap();
    let rows: Vec<&str> = (table.lines().filter(|line| line.starts_with("| ")))
        .skip(2)
        .map(|line| line.split('`').nth(1).expect("a row has its words"))
        .collect();
    let tried: Vec<&str> = TRIALS.iter().map(|(words, _)| *words).collect();
    assert_eq!(rows, tried, "each row has a trial");
    for (words, trial) in TRIALS {
        trial(words);
    }
}

#[track_caller]
fn says(output: &Output, status: i32, words: &str) {
    let text = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    let text = text.concat();
    assert_eq!(output.status.code(), Some(status), "{text}");
    assert!(text.contains(words), "no {words:?} in {text:?}");
}

fn another_at_work(words: &str) {
    let shop = Shop::new();
    let daemon = shop.daemon();
    shop.wait_running();
    let words = words.replace("pid N", &format!("pid {}", daemon.child.id()));
    for command in ["run", "sync"] {
        says(&shop.run(&[command]), 75, &words);
    }
    assert!(shop.run(&["status"]).status.success(), "others work beside");
}

fn refused(words: &str) {
    let shop = Shop::new();
    secret_file(&shop.path("app-token"), "wrong");
    shop.drop_in("customers", "a.csv", "source_id,name\n1,Ann\n");
    says(&shop.run(&["sync"]), 77, words);
    secret_file(&shop.path("app-token"), crate::shop::TOKEN);
    assert!(shop.run(&["sync"]).status.success());
    assert_eq!(shop.json(&["status"])["stored"]["customers"], 1);
}

fn no_room(words: &str) {
    let shop = Shop::new();
    // As long as no disk has room for thrice, and takes none: it is all hole.
    let large = File::create(shop.path("customers/a.csv")).unwrap();
    large.set_len(5 << 40).unwrap();
    let _daemon = shop.daemon();
    wait_todo(&shop, words);
    fs::remove_file(shop.path("customers/a.csv")).unwrap();
    shop.drop_in("customers", "b.csv", "source_id,name\n1,Ann\n");
    stored_and_delivered(&shop);
}

#[track_caller]
fn stored_and_delivered(shop: &Shop) {
    wait("the file is stored", || {
        (shop.json(&["status"])["stored"]["customers"] == 1).then_some(())
    });
    shop.wait_delivered();
    wait("the to-do is gone", || {
        shop.run(&["todo"]).status.success().then_some(())
    });
}

#[track_caller]
fn wait_todo(shop: &Shop, words: &str) {
    wait(words, || {
        let todo = shop.run(&["todo"]);
        let text = String::from_utf8_lossy(&todo.stdout).into_owned();
        (todo.status.code() == Some(65) && text.contains(words)).then_some(())
    });
}

fn nearly_full(words: &str) {
    let words = words.split("N free").next().unwrap();
    let shop = Shop::new();
    let before = shop.set_min_free("900TB");
    let daemon = shop.daemon();
    shop.wait_running(); // the to-do would be said without it
    shop.drop_in("customers", "a.csv", "source_id,name\n1,Ann\n");
    wait_todo(&shop, words);
    assert_eq!(shop.json(&["status"])["stored"]["customers"], 0);
    assert_eq!(shop.listing(&shop.path("customers"))[0], "a.csv");
    // Room, as the daemon sees it.
    fs::write(shop.config(), before).unwrap();
    daemon.signal("-HUP");
    stored_and_delivered(&shop);
}

fn state_of_last(shop: &Shop) -> Value {
    shop.json(&["files", "--limit", "1"])[0]["state"].clone()
}

fn held(words: &str) {
    let shop = Shop::new();
    shop.drop_in("customers", "a.csv", "source_id,name,phone\n1,Ann,+1\n");
    assert!(shop.run(&["sync"]).status.success());
    shop.drop_in("customers", "b.csv", "source_id,name\n1,Anna\n");
    says(&shop.run(&["sync"]), 65, words);
    assert_eq!(state_of_last(&shop), words);
    says(&shop.run(&["todo"]), 65, "tillsync accept 2");
    assert!(shop.run(&["discard", "--file", "2"]).status.success());
    assert_eq!(state_of_last(&shop), "discarded");
    assert!(shop.run(&["todo"]).status.success(), "the to-do is gone");
}

fn unreadable(words: &str) {
    let shop = Shop::new();
    shop.drop_in("customers", "a.csv", "colour,size\nred,9\n");
    assert_eq!(shop.run(&["sync"]).status.code(), Some(65));
    assert_eq!(state_of_last(&shop), words);
    let beside = shop.listing(&shop.path("customers/rejects"));
    assert!(beside.iter().any(|name| name.ends_with("-a.csv")));
    assert!(
        (beside.iter()).any(|name| name.ends_with("-a.csv.reason.txt")),
        "{beside:?}"
    );
    says(&shop.run(&["todo"]), 65, "could not be read");
}

fn parked(words: &str) {
    let shop = Shop::new();
    let refuse = r#"{"refuse": [{"prefix": "poison-", "status": 400, "key": "invalid_payload"}]}"#;
    shop.standin.post("/_standin/faults", refuse);
    shop.drop_in(
        "customers",
        "a.csv",
        "source_id,name\npoison-1,Ann\n2,Bob\n",
    );
    says(&shop.run(&["sync"]), 65, words);
    assert_eq!(shop.json(&["parked"])[0]["key"], "poison-1");
    says(&shop.run(&["todo"]), 65, "parked");
    shop.standin.post("/_standin/faults", r#"{"refuse": []}"#);
    assert!(shop.run(&["retry", "--all"]).status.success());
    assert!(shop.run(&["sync"]).status.success());
    assert!(shop.run(&["todo"]).status.success(), "the to-do is gone");
}

/// A store that is none any more.
fn spoilt() -> Shop {
    let shop = Shop::new();
    assert!(shop.run(&["sync"]).status.success());
    let noise = b"source_id,name\n1,Ann\n".repeat(5_000);
    fs::write(shop.path("state/tillsync.db"), noise).unwrap();
    shop
}

fn damaged_and_kept(words: &str) {
    let shop = spoilt();
    says(&shop.run(&["run"]), 74, words.trim_end_matches(" …"));
}

fn damaged(words: &str) {
    says(&spoilt().run(&["status"]), 74, words);
}

fn newer(words: &str) {
    let shop = Shop::new();
    assert!(shop.run(&["sync"]).status.success());
    let status = Command::new("sqlite3")
        .arg(shop.path("state/tillsync.db"))
        .arg("PRAGMA journal_mode=DELETE; PRAGMA user_version = 999;")
        .status();
    assert!(status.unwrap().success());
    says(&shop.run(&["run"]), 78, words);
}
