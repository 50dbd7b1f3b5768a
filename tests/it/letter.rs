//! What INTERFACE promises of commands, to the letter: what stands on which stream, in which form, and
//! how it ends.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Output;

use crate::shop::Shop;

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[track_caller]
fn ends(output: &Output, code: i32) {
    assert_eq!(
        output.status.code(),
        Some(code),
        "{}{}",
        out(output),
        err(output)
    );
}

const BAD_ROW: &str = "source_id,name,birthdate\n1,Ann,\n2,Bob,yesterday\n";

#[test]
fn sync_counts_as_people_do_and_names_a_folder_that_is_not_there() {
    let shop = Shop::new();
    shop.drop_in("customers", "a.csv", BAD_ROW);
    fs::remove_dir(shop.path("orders")).unwrap();
    let synced = shop.run(&["sync", "--no-deliver"]);
    ends(&synced, 65);
    for said in [
        "taken in   1 file, 2 rows: 1 new,",
        " 1 row was rejected: `tillsync rejects` says why",
        "delivery   left out; 1 record is pending",
    ] {
        assert!(out(&synced).contains(said), "{}", out(&synced));
    }
    let said = format!(
        "folder orders ({}) is not there",
        shop.path("orders").display()
    );
    assert!(err(&synced).contains(&said), "{}", err(&synced));
}

#[test]
fn a_limit_hides_to_dos_and_not_that_there_are_any() {
    let shop = Shop::new();
    shop.drop_in("customers", "a.csv", BAD_ROW);
    shop.run(&["sync"]);
    let todo = shop.run(&["todo", "--limit", "0", "--format", "json"]);
    ends(&todo, 65);
    assert_eq!(out(&todo).trim(), "[]");
}

#[test]
fn a_dry_revert_is_a_listing_also_when_nothing_is_left() {
    let shop = Shop::new();
    shop.drop_in("customers", "a.csv", "source_id,name\n1,Ann\n");
    ends(&shop.run(&["sync"]), 0);
    let dry = shop.run(&["revert", "1", "--dry-run", "--format", "json"]);
    ends(&dry, 0);
    assert_eq!(out(&dry).trim(), "[]");
    let dry = shop.run(&["revert", "1", "--dry-run", "--format", "csv"]);
    assert_eq!(out(&dry), "kind,key,why\n");
}

#[test]
fn status_as_csv_has_a_row_a_value() {
    let shop = Shop::new();
    let status = shop.run(&["status", "--format", "csv"]);
    ends(&status, 0);
    let text = out(&status);
    assert!(text.starts_with("name,value\nstore,test-shop\n"), "{text}");
    for row in [
        "daemon.running,false",
        "daemon.pid,",
        "folders.0.name,customers",
        "stored.skus,0",
    ] {
        assert!(text.lines().any(|line| line == row), "{row}: {text}");
    }
}

#[test]
fn a_pause_says_what_ends_it() {
    let shop = Shop::new();
    let said = |args: &[&str]| out(&shop.run(args));
    assert_eq!(
        said(&["pause"]),
        "delivery stands until `tillsync resume`\n"
    );
    assert_eq!(
        said(&["pause", "--folder", "skus"]),
        "the intake of folder skus stands until `tillsync resume --folder skus`\n"
    );
}

#[test]
fn a_folder_that_a_link_makes_another_one_is_an_error_of_check() {
    let shop = Shop::new();
    fs::remove_dir(shop.path("orders")).unwrap();
    symlink(shop.path("skus"), shop.path("orders")).unwrap();
    let check = shop.run(&["check"]);
    ends(&check, 78);
    assert!(
        err(&check).contains("and so does folder skus"),
        "{}",
        err(&check)
    );
    fs::remove_file(shop.path("orders")).unwrap();
    symlink(shop.path("state"), shop.path("orders")).unwrap();
    let check = shop.run(&["check"]);
    ends(&check, 78);
    assert!(
        err(&check).contains("and so does `state_dir`"),
        "{}",
        err(&check)
    );
}

#[test]
fn a_backup_that_is_not_there_is_said_so() {
    let shop = Shop::new();
    let restored = shop.run(&["restore", "/nowhere/b.db"]);
    ends(&restored, 74);
    assert!(
        err(&restored).contains("/nowhere/b.db: no such file or directory"),
        "{}",
        err(&restored)
    );
}
