//! At home on the host: a damaged database, and root at the prompt.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use crate::shop::{Running, Shop, http, wait};

const HEADER: &str = "source_id,name,email,metadata.note\n";

/// A shop whose store holds some thousand customers, and is closed.
fn filled(shop: &Shop) {
    shop.configure("", "");
    let mut rows = HEADER.to_owned();
    for n in 0..3_000 {
        rows += &format!("c-{n},Customer {n},c{n}@example.com,{}\n", "x".repeat(200));
    }
    shop.drop_in("customers", "all.csv", &rows);
    let output = shop.run(&["sync", "--no-deliver"]);
    assert!(output.status.success(), "{}", said(&output));
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout)
}

fn aside(shop: &Shop) -> Option<PathBuf> {
    let names = fs::read_dir(shop.path("state")).unwrap();
    let mut names = names.map(|entry| entry.unwrap().path());
    names.find(|path| {
        let name = path.file_name().unwrap().to_string_lossy();
        name.starts_with("tillsync.db.damaged-") && !name.ends_with("-wal")
    })
}

/// What `run` and the other commands say of a database that was damaged so while nothing ran.
#[track_caller]
fn check(damage: impl Fn(&mut Vec<u8>)) {
    let shop = Shop::new();
    filled(&shop);
    let copy = shop.path("copy.db");
    let backup = shop.run(&["backup", copy.to_str().unwrap()]);
    assert!(backup.status.success(), "{}", said(&backup));
    let database = shop.path("state/tillsync.db");
    let mut bytes = fs::read(&database).unwrap();
    damage(&mut bytes);
    fs::write(&database, &bytes).unwrap();
    shop.drop_in("customers", "next.csv", &format!("{HEADER}c-1,Other,,\n"));
    for _ in 0..2 {
        let output = shop.run(&["run"]);
        assert_eq!(output.status.code(), Some(74), "{}", said(&output));
        for word in [
            "the database was damaged and is kept as",
            "tillsync restore",
        ] {
            assert!(said(&output).contains(word), "{}", said(&output));
        }
        assert!(!database.exists());
    }
    // Kept as it was found, and nothing of the folder was touched.
    let aside = aside(&shop).expect("it is kept");
    assert!(fs::read(aside).unwrap() == bytes);
    assert!(shop.path("customers/next.csv").exists());
    let status = shop.run(&["status"]);
    assert_eq!(status.status.code(), Some(74), "{}", said(&status));
    assert!(said(&status).contains("tillsync restore"));
    let restored = shop.run(&["restore", copy.to_str().unwrap()]);
    assert!(restored.status.success(), "{}", said(&restored));
    let output = shop.run(&["sync", "--no-deliver"]);
    assert!(output.status.success(), "{}", said(&output));
    let status = shop.json(&["status"]);
    assert_eq!(status["stored"]["customers"], 3_000);
}

#[test]
fn an_empty_database_is_kept_aside() {
    check(|bytes| bytes.clear());
}

#[test]
fn a_cut_off_database_is_kept_aside() {
    check(|bytes| bytes.truncate(bytes.len() / 2));
}

#[test]
fn what_is_no_database_is_kept_aside() {
    check(|bytes| *bytes = b"source_id,name\n1,Anna\n".repeat(5_000));
}

#[test]
fn after_an_unclean_stop_damage_in_the_middle_is_found_and_the_daemon_ends() {
    let shop = Shop::new();
    filled(&shop);
    let ready = || {
        let log = fs::read_to_string(shop.path("daemon.log")).unwrap_or_default();
        (log.matches("started").count() > 0).then_some(())
    };
    let daemon = shop.daemon();
    wait("the daemon is ready", ready);
    daemon.kill();
    let database = shop.path("state/tillsync.db");
    // What the last one left in its log belongs to the damaged one, too.
    let mut bytes = fs::read(&database).unwrap();
    let middle = bytes.len() / 2 / 16_384 * 16_384;
    bytes[middle..middle + 16_384 * 3].fill(0xA5);
    fs::write(&database, &bytes).unwrap();
    assert_eq!(shop.daemon().ended(), Some(74));
    let log = fs::read_to_string(shop.path("daemon.log")).unwrap();
    assert!(log.contains("is kept as"), "{log}");
    assert!(aside(&shop).is_some());
    assert!(!database.exists());
}

/// What stands in a folder under a hidden name.
fn hidden(shop: &Shop, folder: &str) -> Vec<String> {
    let mut names = shop.listing(&shop.path(folder));
    names.retain(|name| name.starts_with('.'));
    names
}

#[test]
fn what_a_killed_restore_or_backup_leaves_is_no_database_and_goes() {
    let shop = Shop::new();
    filled(&shop);
    let copy = shop.path("copy.db");
    let copy = copy.to_str().unwrap();
    assert!(shop.run(&["backup", copy]).status.success());
    // Killed as soon as its unfinished file is seen, until one is left.
    let killed = |args: &[&str], folder: &str, made: &str| {
        wait("a command is killed in its middle", || {
            let _ = fs::remove_file(made);
            let mut command = shop.command(args);
            let mut child = command
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .spawn()
                .unwrap();
            while child.try_wait().unwrap().is_none() && hidden(&shop, folder).is_empty() {}
            let _ = child.kill();
            (!child.wait().unwrap().success() && !hidden(&shop, folder).is_empty()).then_some(())
        });
    };
    fs::create_dir(shop.path("stick")).unwrap();
    let second = shop.path("stick/second.db");
    let second = second.to_str().unwrap();
    killed(&["backup", second], "stick", second);
    assert!(!fs::exists(second).unwrap(), "a part of a copy has no name");
    assert!(shop.run(&["backup", second]).status.success());
    assert_eq!(hidden(&shop, "stick"), [""; 0]);

    fs::remove_dir_all(shop.path("state")).unwrap();
    fs::create_dir(shop.path("state")).unwrap();
    let database = shop.path("state/tillsync.db");
    killed(&["restore", copy], "state", database.to_str().unwrap());
    assert!(!database.exists());
    // One that is being made now is not ours to take away.
    let alive = format!(".tillsync.db.new-{}-0", std::process::id());
    fs::write(shop.path("state").join(&alive), b"").unwrap();
    assert!(shop.run(&["restore", second]).status.success());
    assert!(shop.run(&["sync", "--no-deliver"]).status.success());
    assert_eq!(hidden(&shop, "state"), [alive]);
    assert_eq!(shop.json(&["status"])["stored"]["customers"], 3_000);
}

/// The daemon as systemd starts it: the very process that it made.
fn by_systemd(shop: &Shop) -> Running {
    let log = fs::File::create(shop.path("daemon.log")).unwrap();
    let child = Command::new("sh")
        .args(["-c", "SYSTEMD_EXEC_PID=$$ exec \"$0\" run --config \"$1\""])
        .arg(env!("CARGO_BIN_EXE_tillsync"))
        .arg(shop.config())
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn();
    Running {
        child: child.unwrap(),
    }
}

#[test]
fn under_systemd_a_damaged_store_is_said_by_page_and_alert_until_it_is_mended() {
    let shop = Shop::new();
    filled(&shop);
    let copy = shop.path("copy.db");
    assert!(
        shop.run(&["backup", copy.to_str().unwrap()])
            .status
            .success()
    );
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap().to_string();
    drop(free);
    let told = shop.path("told");
    let script = shop.path("tell");
    fs::write(&script, format!("#!/bin/sh\ncat >>'{}'\n", told.display())).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let config = fs::read_to_string(shop.config()).unwrap();
    let config = config.replace("listen = \"\"", &format!("listen = \"{address}\""));
    let alert = format!(
        "[alert]\ncommand = [\"{}\"]\nafter = \"0s\"\n",
        script.display()
    );
    fs::write(shop.config(), config + &alert).unwrap();
    let told = |event: &str| {
        let text = fs::read_to_string(&told).unwrap_or_default();
        text.matches(&format!("\"event\":\"{event}\",\"kind\":\"disk\""))
            .count()
    };
    let page = || match std::net::TcpStream::connect(&address) {
        Ok(_) => http(&address, "GET", "/", ""),
        Err(_) => String::new(),
    };
    fs::write(shop.path("state/tillsync.db"), b"no database").unwrap();
    for _ in 0..2 {
        let daemon = by_systemd(&shop);
        wait("the page says what is wrong", || {
            let page = page();
            (page.contains("The database is damaged")
                && page.contains("<code>tillsync restore FILE</code>"))
            .then_some(())
        });
        assert!(http(&address, "GET", "/healthz", "").contains("damaged"));
        wait("it is told", || (told("begin") == 1).then_some(()));
        daemon.signal("-TERM");
        assert_eq!(daemon.ended(), Some(0));
    }
    // Mended while it stands by: systemd starts the next one at once.
    let daemon = by_systemd(&shop);
    wait("the page is there", || (!page().is_empty()).then_some(()));
    let restored = shop.run(&["restore", copy.to_str().unwrap()]);
    assert!(restored.status.success(), "{}", said(&restored));
    assert_eq!(daemon.ended(), Some(74));
    let daemon = by_systemd(&shop);
    wait("that it is over is told", || {
        (told("end") == 1).then_some(())
    });
    assert_eq!(told("begin"), 1);
    assert!(page().contains("Folders"));
    daemon.signal("-TERM");
    assert_eq!(daemon.ended(), Some(0));
    assert!(!shop.path("state/standby.json").exists());
}

#[test]
fn after_a_clean_stop_the_mark_is_gone() {
    let shop = Shop::new();
    filled(&shop);
    let daemon = shop.daemon();
    wait("the daemon is ready", || {
        let log = fs::read_to_string(shop.path("daemon.log")).unwrap_or_default();
        log.contains("started").then_some(())
    });
    daemon.signal("-TERM");
    assert_eq!(daemon.ended(), Some(0));
    let c = rusqlite::Connection::open(shop.path("state/tillsync.db")).unwrap();
    let marks: i64 = c
        .query_row(
            "SELECT count(*) FROM meta WHERE name = 'at_work'",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(marks, 0);
}

const SERVICE: u32 = 65_534;

#[test]
fn root_leaves_nothing_of_its_own_in_the_state() {
    if !rustix::process::geteuid().is_root() {
        return eprintln!("passed over: only root can be root");
    }
    let shop = Shop::new();
    shop.configure("", "");
    fs::set_permissions(shop.dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(shop.path("state"), fs::Permissions::from_mode(0o700)).unwrap();
    for name in [
        "state",
        "customers",
        "products",
        "skus",
        "orders",
        "app-id",
        "app-token",
    ] {
        chown(shop.path(name), Some(SERVICE), Some(SERVICE)).unwrap();
    }
    let strangers = || {
        let entries = fs::read_dir(shop.path("state")).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap())
            .filter(|entry| entry.metadata().unwrap().uid() != SERVICE)
            .map(|entry| entry.file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    // A file that root alone can read.
    let file = shop.path("by-hand.csv");
    fs::write(&file, format!("{HEADER}c-1,Anna,,\n")).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let file = file.to_str().unwrap();
    let copy = shop.path("copy.db");
    for command in [
        &["import", file, "--folder", "customers"][..],
        &["status"],
        &["pause"],
        &["resume"],
        &["files"],
        &["sync", "--no-deliver"],
        &["sync"],
        &["retry", "--all"],
        &["backup", copy.to_str().unwrap()],
        &["todo"],
    ] {
        let output = shop.run(command);
        let code = output.status.code();
        assert!(
            code == Some(0) || command[0] == "todo",
            "{command:?}: {}",
            said(&output)
        );
        assert_eq!(strangers(), [""; 0], "{command:?}");
    }
    assert!(shop.path("state/tillsync.db").exists());
    assert_eq!(shop.standin.holds("customers").len(), 1);
    // Cut off without a chance to give anything back.
    let daemon = shop.daemon();
    wait("the daemon is ready", || {
        let log = fs::read_to_string(shop.path("daemon.log")).unwrap_or_default();
        log.contains("started").then_some(())
    });
    daemon.kill();
    assert_eq!(strangers(), [""; 0]);
}

#[test]
fn a_reload_asked_for_while_it_starts_is_done_and_not_its_end() {
    let shop = Shop::new();
    let before = shop.set_min_free("900TB");
    shop.drop_in("customers", "a.csv", "source_id,name\n1,Ann\n");
    let daemon = shop.daemon();
    // As soon as it can be seen at all, while it makes its database.
    wait("it takes the state directory", || {
        shop.path("state/tillsync.lock").exists().then_some(())
    });
    fs::write(shop.config(), before).unwrap();
    daemon.signal("-HUP");
    wait("the file is stored", || {
        (shop.json(&["status"])["stored"]["customers"] == 1).then_some(())
    });
    daemon.signal("-TERM");
    assert_eq!(daemon.ended(), Some(0));
}

#[test]
fn alert_test_tries_each_outlet_and_says_what_came_of_it() {
    let shop = Shop::new();
    let none = shop.run(&["alert", "test"]);
    assert_eq!(none.status.code(), Some(78));
    assert!(said(&none).contains("nobody is told"), "{}", said(&none));
    let told = shop.path("told");
    let plain = fs::read_to_string(shop.config()).unwrap();
    let with = |alert: &str| {
        fs::write(shop.config(), format!("{plain}[alert]\n{alert}")).unwrap();
        shop.run(&["alert", "test"])
    };
    let hears = format!(
        "command = [\"sh\", \"-c\", \"cat >>'{}'\"]\n",
        told.display()
    );
    let taken = with(&hears);
    assert_eq!(taken.status.code(), Some(0), "{}", said(&taken));
    assert_eq!(said(&taken), "command: taken\n");
    let lines = fs::read_to_string(&told).unwrap();
    let alerts: Vec<serde_json::Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let events: Vec<_> = alerts.iter().map(|a| (&a["event"], &a["kind"])).collect();
    assert_eq!(
        events,
        [
            (&"begin".into(), &"test".into()),
            (&"end".into(), &"test".into())
        ]
    );
    // Nobody listens there.
    let failed = with(&format!("{hears}webhook = \"http://127.0.0.1:9/secret\"\n"));
    assert_eq!(failed.status.code(), Some(74));
    let text = said(&failed);
    assert!(
        text.contains("command: taken") && text.contains("webhook: no connection"),
        "{text}"
    );
    assert!(!text.contains("secret"), "{text}");
}

#[test]
fn a_restore_of_what_is_no_backup_or_over_a_store_says_so() {
    let shop = Shop::new();
    filled(&shop);
    let copy = shop.path("copy.db");
    let copy = copy.to_str().unwrap();
    assert!(shop.run(&["backup", copy]).status.success());
    let over = shop.run(&["restore", copy]);
    assert_eq!(over.status.code(), Some(74));
    let text = said(&over);
    assert!(text.contains("nothing was overwritten"), "{text}");
    fs::remove_dir_all(shop.path("state")).unwrap();
    fs::create_dir(shop.path("state")).unwrap();
    let wrong = shop.run(&["restore", shop.config().to_str().unwrap()]);
    assert_eq!(wrong.status.code(), Some(74));
    let text = said(&wrong);
    assert!(
        text.contains("tillsync.toml: is no backup") && !text.contains("Start (or restart)"),
        "{text}"
    );
    assert!(shop.run(&["restore", copy]).status.success());
}
