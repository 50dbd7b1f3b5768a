//! What a person does beside the daemon's work: `login`, `check --online`, `forget`, `rebind`.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::{Output, Stdio};

use crate::shop::{APP_ID, Shop, TOKEN, secret_file, wait};

fn text(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    format!(
        "{}{}",
        String::from_utf8_lossy(out),
        String::from_utf8_lossy(err)
    )
}

#[track_caller]
fn ends(output: &Output, code: i32, says: &str) {
    let text = text(output);
    assert_eq!(output.status.code(), Some(code), "{text}");
    assert!(text.contains(says), "no {says:?} in: {text}");
}

fn fed(shop: &Shop, args: &[&str], input: &str) -> Output {
    let mut command = shop.command(args);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that needs no input may have ended.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

#[test]
fn login_stores_what_the_api_takes_and_nothing_else() {
    let shop = Shop::new();
    let stored = |name: &str| fs::read_to_string(shop.path(name)).unwrap_or_default();
    for name in ["app-id", "app-token"] {
        fs::remove_file(shop.path(name)).unwrap();
    }
    let refused = fed(&shop, &["login", "--stdin"], "app-id\nwrong-token\n");
    ends(&refused, 77, "nothing was stored");
    assert!(!text(&refused).contains("wrong-token"));
    assert!(!shop.path("app-id").exists() && !shop.path("app-token").exists());

    let taken = fed(
        &shop,
        &["login", "--stdin"],
        &format!("{APP_ID}\r\n{TOKEN}\n"),
    );
    ends(&taken, 0, "this host takes at most");
    assert_eq!(
        (stored("app-id").trim(), stored("app-token").trim()),
        (APP_ID, TOKEN)
    );
    let mode = fs::metadata(shop.path("app-token"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);

    ends(&shop.run(&["login"]), 2, "--stdin");
    ends(
        &fed(&shop, &["login", "--stdin"], "one two\n\n"),
        2,
        "not a credential",
    );
    assert_eq!(stored("app-id").trim(), APP_ID);
}

#[test]
fn login_without_a_network_stores_and_says_that_nobody_tried() {
    let shop = Shop::new();
    let config = fs::read_to_string(shop.config()).unwrap();
    let nowhere = config.replace(&shop.standin.url(), "http://127.0.0.1:9");
    fs::write(shop.config(), nowhere).unwrap();
    let stored = fed(&shop, &["login", "--stdin"], "other-id\nother-token\n");
    ends(&stored, 69, "not tried");
    assert_eq!(
        fs::read_to_string(shop.path("app-id")).unwrap(),
        "other-id\n"
    );
    ends(
        &shop.run(&["check", "--online"]),
        69,
        "could not be reached",
    );
}

#[test]
fn check_online_calls_once_and_tells_a_refusal() {
    let shop = Shop::new();
    ends(
        &shop.run(&["check", "--online"]),
        0,
        "the API takes the credentials",
    );
    assert_eq!(shop.standin.requests().len(), 1);
    secret_file(&shop.path("app-token"), "wrong");
    ends(&shop.run(&["check", "--online"]), 77, "tillsync login");
}

fn files_with(shop: &Shop, mark: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![shop.path("")];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if memchr::memmem::find(&fs::read(&path).unwrap(), mark.as_bytes()).is_some() {
                found.push(path.display().to_string());
            }
        }
    }
    found
}

const CUSTOMERS: &str = "source_id,name,email,birthdate\nC-goner,Goner Person,goner@example.com,\nC-stays,Stays,stays@example.com,\n";

#[test]
fn a_forgotten_person_is_in_no_byte_and_does_not_come_back() {
    let shop = Shop::new();
    shop.drop_in("customers", "a.csv", CUSTOMERS);
    shop.drop_in(
        "customers",
        "bad.csv",
        "source_id,name,email,birthdate\nC-goner,Goner Person,,no-date\nC-other,Other,,no-date\n",
    );
    ends(&shop.run(&["sync"]), 65, "");
    shop.drop_in(
        "orders",
        "o.csv",
        "source_id,status,amount,customer.source_id\nO-1,PAID,12,C-goner\nO-2,PAID,13,C-stays\n",
    );
    ends(&shop.run(&["sync"]), 0, "");
    assert!(shop.standin.holds("customers").contains_key("C-goner"));
    assert!(!files_with(&shop, "oner").is_empty());

    ends(&shop.run(&["forget", "customers", "C-goner"]), 2, "--yes");
    assert!(shop.standin.holds("customers").contains_key("C-goner"));
    ends(
        &shop.run(&["forget", "customers", "C-goner", "--yes"]),
        0,
        "1 record erased",
    );
    assert!(!shop.standin.holds("customers").contains_key("C-goner"));
    assert_eq!(
        files_with(&shop, "oner"),
        [""; 0],
        "the person is still there"
    );
    let archive = shop.path("customers/archive");
    let kept: Vec<String> = shop.listing(&archive);
    let kept = kept
        .iter()
        .map(|name| fs::read_to_string(archive.join(name)).unwrap());
    assert!(
        kept.collect::<String>()
            .contains("C-stays,Stays,stays@example.com,\n")
    );

    shop.drop_in("customers", "again.csv", CUSTOMERS);
    shop.drop_in(
        "orders",
        "o2.csv",
        "source_id,status,amount,customer.source_id\nO-1,PAID,14,C-goner\n",
    );
    ends(&shop.run(&["sync"]), 0, "");
    let holds = shop.standin.holds("customers");
    assert!(!holds.contains_key("C-goner") && holds.contains_key("C-stays"));
    let files = shop.json(&["files"]);
    let again = files
        .as_array()
        .unwrap()
        .iter()
        .find(|f| f["name"] == "again.csv");
    assert_eq!(again.unwrap()["skipped"], 1);

    ends(
        &shop.run(&["forget", "customers", "C-goner", "--lift"]),
        0,
        "1 key",
    );
    shop.drop_in("customers", "lifted.csv", CUSTOMERS);
    ends(&shop.run(&["sync"]), 0, "");
    assert!(shop.standin.holds("customers").contains_key("C-goner"));
}

#[test]
fn nothing_is_sent_to_another_project_before_rebind() {
    let mut shop = Shop::new();
    shop.drop_in("customers", "a.csv", CUSTOMERS);
    ends(&shop.run(&["sync"]), 0, "");
    ends(&shop.run(&["rebind"]), 0, "nothing to do");

    let _old = std::mem::replace(&mut shop.standin, crate::shop::Standin::start());
    shop.configure("", "");
    shop.drop_in(
        "customers",
        "b.csv",
        "source_id,name,email,birthdate\nC-new,New,,\n",
    );
    ends(&shop.run(&["sync"]), 77, "tillsync rebind");
    // It may be asked whether it holds our records: then it is the same project under another name.
    let asked = shop.standin.requests();
    assert!(asked.iter().all(|r| r["method"] == "GET"), "{asked:?}");
    ends(&shop.run(&["rebind"]), 2, "--yes");
    assert_eq!(
        shop.standin.requests().len(),
        asked.len(),
        "nothing was sent"
    );
    let said = shop.run(&["rebind", "--yes"]);
    ends(&said, 0, "3 records are queued");
    ends(&said, 0, "3 missing there");
    ends(&shop.run(&["sync"]), 0, "");
    assert_eq!(shop.standin.holds("customers").len(), 3);
    let before = shop.standin.requests().len();
    ends(&shop.run(&["sync"]), 0, "");
    let sent = shop.standin.requests();
    assert!(
        sent[before..].iter().all(|r| r["method"] == "GET"),
        "{sent:?}"
    );
}

#[test]
fn a_restored_backup_sends_nothing_before_rebind() {
    let shop = Shop::new();
    shop.drop_in("customers", "a.csv", CUSTOMERS);
    ends(&shop.run(&["sync"]), 0, "");
    let copy = shop.path("copy.db");
    let copy = copy.to_str().unwrap();
    ends(&shop.run(&["backup", copy]), 0, "");
    fs::remove_dir_all(shop.path("state")).unwrap();
    fs::create_dir(shop.path("state")).unwrap();
    ends(&shop.run(&["restore", copy]), 0, "rebind");
    let before = shop.standin.requests().len();
    let refused = shop.run(&["sync"]);
    assert_eq!(shop.standin.requests().len(), before, "{}", text(&refused));
    let said = shop.run(&["rebind", "--yes"]);
    ends(&said, 0, "2 records are there as they are stored");
    ends(&said, 0, "0 records are queued");
    let before = writes(&shop);
    ends(&shop.run(&["sync"]), 0, "");
    assert_eq!(writes(&shop), before, "nothing differed");
    assert_eq!(shop.standin.holds("customers").len(), 2);
    ends(&shop.run(&["rebind"]), 0, "nothing to do");
}

/// Calls that change something.
fn writes(shop: &Shop) -> usize {
    let writes = |r: &&serde_json::Value| r["method"] != "GET" && r["path"] != "/v1/exports";
    shop.standin.requests().iter().filter(writes).count()
}

#[test]
fn after_an_old_backup_only_what_differs_is_sent() {
    let shop = Shop::new();
    let (orders, more) = (
        "source_id,status,amount\nO-1,CREATED,1\nO-2,PAID,2\n",
        "source_id,status,amount\nO-1,PAID,1\n",
    );
    shop.drop_in("customers", "a.csv", CUSTOMERS);
    shop.drop_in("orders", "a.csv", orders);
    ends(&shop.run(&["sync", "--no-deliver"]), 0, "");
    let copy = shop.path("copy.db");
    let copy = copy.to_str().unwrap();
    ends(&shop.run(&["backup", copy]), 0, "");
    // All was pending then; since, all arrived, one order changed, and a customer came.
    shop.drop_in("orders", "b.csv", more);
    shop.drop_in(
        "customers",
        "b.csv",
        "source_id,name,email,birthdate\nC-late,Late,,\n",
    );
    ends(&shop.run(&["sync"]), 0, "");
    fs::remove_dir_all(shop.path("state")).unwrap();
    fs::create_dir(shop.path("state")).unwrap();
    ends(&shop.run(&["restore", copy]), 0, "rebind");
    let said = shop.run(&["rebind", "--yes"]);
    ends(
        &said,
        0,
        "customers: 2 there as they are stored; to be sent: 0 missing there, 0 different; 1 there that are not stored",
    );
    ends(
        &said,
        0,
        "orders: 1 there as they are stored; to be sent: 0 missing there, 1 different",
    );
    ends(
        &said,
        0,
        "3 records are there as they are stored, and count as acknowledged; 1 record is queued",
    );
    let before = writes(&shop);
    ends(&shop.run(&["sync"]), 0, "");
    assert_eq!(writes(&shop), before + 1);
    assert_eq!(shop.standin.holds("orders")["O-1"]["status"], "CREATED");
    // An order that was seen there is known from then on.
    shop.drop_in(
        "orders",
        "c.csv",
        "source_id,status,amount\nO-2,CANCELED,2\n",
    );
    ends(&shop.run(&["sync"]), 0, "");
    let last = shop.standin.requests();
    let last = last.iter().rfind(|r| r["method"] != "GET").unwrap();
    assert_eq!(last["method"], "PUT", "{last}");
}

#[test]
fn with_the_remote_away_a_person_is_sent_no_more_and_forgotten_later() {
    let shop = Shop::new();
    shop.drop_in("customers", "a.csv", CUSTOMERS);
    ends(&shop.run(&["sync"]), 0, "");
    let config = fs::read_to_string(shop.config()).unwrap();
    // The same project by another way: the port is that of the proxy, which nobody serves.
    let away = config.replace("[api]\n", "[api]\nproxy = \"http://127.0.0.1:9\"\n");
    fs::write(shop.config(), away).unwrap();
    let forget = ["forget", "customers", "C-goner", "--yes"];
    ends(&shop.run(&forget), 69, "run the same command again");
    fs::write(shop.config(), config).unwrap();
    let daemon = shop.daemon();
    ends(&shop.run(&forget), 0, "1 record erased");
    assert!(!shop.standin.holds("customers").contains_key("C-goner"));
    daemon.signal("-TERM");
    assert_eq!(daemon.ended(), Some(0));
    assert_eq!(
        files_with(&shop, "oner"),
        [""; 0],
        "the person is still there"
    );
}

#[test]
fn forget_awaits_the_end_of_a_request_that_carries_them() {
    let shop = Shop::new();
    // The answer to the first question for the job comes late.
    shop.standin.post(
        "/_standin/faults",
        r#"{"faults":[{"match":"GET /v1/async-actions/*","then":"slow 2000"}]}"#,
    );
    let running = shop.daemon();
    let rows: String = (0..30).map(|n| format!("C{n},Ann\n")).collect();
    shop.drop_in("customers", "a.csv", &format!("source_id,name\n{rows}"));
    wait("a job is open", || {
        let flying = &shop.json(&["status"])["in_flight"]["customers"];
        (flying.as_u64() > Some(0)).then_some(())
    });
    let forgotten = shop.run(&["forget", "customers", "C1", "--yes"]);
    ends(&forgotten, 0, "1 record erased");
    ends(&forgotten, 0, "its end is awaited");
    shop.wait_delivered();
    let there = shop.standin.holds("customers");
    assert!(there.contains_key("C2") && !there.contains_key("C1"));
    drop(running);
}
