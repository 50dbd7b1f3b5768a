//! Bad input and bad places: each a clear message that says what to do, nothing lost, no panic, no
//! endless restart.

use std::fs;
use std::process::{Command, Output};

use crate::mount::Mount;
use crate::shop::{Shop, wait};

#[track_caller]
fn says(output: &Output, status: i32, words: &[&str]) {
    let said = String::from_utf8_lossy(&output.stderr).into_owned()
        + &String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(status), "{said}");
    for word in words {
        assert!(said.contains(word), "`{word}` is not in: {said}");
    }
    assert!(
        !said.contains("panicked") && !said.contains("fault in tillsync"),
        "{said}"
    );
}

#[test]
fn every_mistake_of_the_configuration_is_shown_in_one_run() {
    let shop = Shop::new();
    let text = fs::read_to_string(shop.config()).unwrap();
    fs::write(
        shop.config(),
        text.replacen("settle = \"0s\"", "setle = \"0s\"", 1)
            .replacen("kind = \"orders\"", "kind = \"ordres\"", 1),
    )
    .unwrap();
    for command in ["run", "sync", "check", "status"] {
        says(
            &shop.run(&[command]),
            78,
            &[
                "tillsync.toml:",
                "setle",
                "did you mean `settle`?",
                "ordres",
            ],
        );
    }
}

#[test]
fn a_missing_folder_is_an_error_of_check_and_run_waits_for_it() {
    let shop = Shop::new();
    fs::remove_dir(shop.path("customers")).unwrap();
    says(&shop.run(&["check"]), 78, &["customers"]);
    let daemon = shop.daemon();
    let state = || {
        shop.json(&["status"])["folders"][0]["state"]
            .as_str()
            .map(str::to_owned)
    };
    wait("status says that the folder is not there", || {
        state().filter(|s| s == "gone")
    });
    fs::create_dir(shop.path("customers")).unwrap();
    shop.drop_in("customers", "a.csv", "source_id,name\nc-1,Ann\n");
    // It is found by the rescan, once a minute, at the latest.
    crate::shop::wait_for(
        std::time::Duration::from_secs(90),
        "the file is taken in",
        || (shop.standin.holds("customers").len() == 1).then_some(()),
    );
    daemon.signal("-TERM");
    assert_eq!(daemon.ended(), Some(0));
}

#[test]
fn a_newer_database_is_refused_and_untouched() {
    let shop = Shop::new();
    assert!(shop.run(&["sync"]).status.success());
    let database = shop.path("state/tillsync.db");
    let status = Command::new("sqlite3")
        .arg(&database)
        .arg("PRAGMA journal_mode=DELETE; PRAGMA user_version = 999;")
        .output();
    assert!(status.unwrap().status.success());
    let before = fs::read(&database).unwrap();
    for command in ["run", "sync", "status"] {
        says(&shop.run(&[command]), 78, &["newer"]);
    }
    assert_eq!(fs::read(&database).unwrap(), before);
}

#[test]
fn a_disk_without_room_for_the_store_loses_nothing_and_goes_on_when_there_is_room() {
    let shop = Shop::new();
    let state = shop.path("state");
    let Some(mount) = Mount::small(&state, "1m") else {
        return;
    };
    let rows: String = (0..20_000)
        .map(|n| format!("c-{n},Name {n},{n}@example.com\n"))
        .collect();
    let text = format!("source_id,name,email\n{rows}");
    shop.set_min_free("0");
    let mut daemon = shop.daemon();
    shop.drop_in("customers", "many.csv", &text);
    wait("status says that the disk is full", || {
        let status = shop.run(&["status", "--format", "json"]);
        let said = String::from_utf8_lossy(&status.stdout).to_lowercase();
        (said.contains("full")
            || said.contains("disk")
            || said.contains("space")
            || said.contains("room"))
        .then_some(())
    });
    assert!(
        daemon.child.try_wait().unwrap().is_none(),
        "the daemon stays"
    );
    assert_eq!(
        shop.listing(&shop.path("customers"))
            .iter()
            .filter(|n| n.ends_with(".csv"))
            .count(),
        1,
        "the file waits"
    );
    mount.again("size=200m");
    crate::shop::wait_for(
        std::time::Duration::from_secs(120),
        "all is delivered once there is room",
        || (shop.standin.holds("customers").len() == 20_000).then_some(()),
    );
    drop(daemon);
    drop(mount);
}

/// Without a mount: a limit of this process takes no further byte of a file, as a disk that fails.
#[test]
fn a_disk_that_fails_ends_the_daemon_and_the_next_one_takes_up_without_a_loss() {
    let shop = Shop::new();
    assert!(shop.run(&["sync"]).status.success());
    shop.drop_in("customers", "many.csv", &many(20_000));
    let limited = "trap '' XFSZ; ulimit -f 1024; exec \"$0\" run --config \"$1\"";
    let output = Command::new("sh")
        .args(["-c", limited, env!("CARGO_BIN_EXE_tillsync")])
        .arg(shop.config())
        .output()
        .unwrap();
    says(&output, 74, &["cannot be read or written"]);
    assert!(shop.path("customers/many.csv").exists());
    let daemon = shop.daemon();
    wait("all is delivered", || {
        (shop.standin.holds("customers").len() == 20_000).then_some(())
    });
    shop.wait_delivered();
    let files = shop.json(&["files"]);
    assert_eq!(
        (&files[0]["state"], &files[0]["new"]),
        (&"stored".into(), &20_000.into())
    );
    daemon.signal("-TERM");
    assert_eq!(daemon.ended(), Some(0));
}

#[test]
fn a_log_that_takes_no_line_stops_nothing() {
    let shop = Shop::new();
    let full = || {
        fs::OpenOptions::new()
            .write(true)
            .open("/dev/full")
            .unwrap()
    };
    let child = shop.command(&["run"]).stdout(full()).stderr(full()).spawn();
    let daemon = crate::shop::Running {
        child: child.unwrap(),
    };
    shop.drop_in("customers", "a.csv", &many(2));
    wait("it is delivered", || {
        (shop.standin.holds("customers").len() == 2).then_some(())
    });
    daemon.signal("-TERM");
    assert_eq!(daemon.ended(), Some(0));
}

#[test]
fn a_drop_folder_without_room_for_rejects_is_said_and_they_are_written_when_there_is() {
    let shop = Shop::new();
    let folder = shop.path("customers");
    let Some(mount) = Mount::small(&folder, "256k") else {
        return;
    };
    shop.set_min_free("0");
    let daemon = shop.daemon();
    shop.wait_running();
    // Rejects have all columns of their rows, and more: there is room for the file, and not for them.
    let bad: String = (0..2_000)
        .map(|n| format!("c-{n},Name {n},yesterday\n"))
        .collect();
    fs::write(
        shop.path("bad.csv"),
        format!("source_id,name,birthdate\n{bad}"),
    )
    .unwrap();
    let size = fs::metadata(shop.path("bad.csv")).unwrap().len();
    fs::write(
        folder.join(".filler"),
        vec![b'x'; (200 << 10) - size as usize],
    )
    .unwrap();
    fs::copy(shop.path("bad.csv"), folder.join(".bad")).unwrap();
    fs::rename(folder.join(".bad"), folder.join("bad.csv")).unwrap();
    wait("it is said", || {
        let todo = String::from_utf8_lossy(&shop.run(&["todo"]).stdout).to_lowercase();
        (todo.contains("room") || todo.contains("full")).then_some(())
    });
    // Under a hidden name at most: nobody takes a part of them for the whole.
    let shown = |name: &String| !name.starts_with('.');
    assert!(!shop.listing(&folder.join("rejects")).iter().any(shown));
    mount.again("size=50m");
    crate::shop::wait_for(
        std::time::Duration::from_secs(120),
        "rejects are written",
        || {
            let names = shop.listing(&folder.join("rejects"));
            names
                .iter()
                .any(|name| name.ends_with("-bad.csv.rejects.csv"))
                .then_some(())
        },
    );
    wait("it is archived", || {
        shop.listing(&folder.join("archive"))
            .iter()
            .any(|n| n.ends_with("-bad.csv"))
            .then_some(())
    });
    assert_eq!(shop.json(&["files"])[0]["rejected"], 2_000);
    drop(daemon);
    drop(mount);
}

fn many(rows: usize) -> String {
    let rows = (0..rows).map(|n| format!("c-{n},Name {n},{n}@example.com\n"));
    format!("source_id,name,email\n{}", rows.collect::<String>())
}

#[test]
fn a_read_only_disk_is_said_and_ends_without_a_panic() {
    let shop = Shop::new();
    let state = shop.path("state");
    let Some(mount) = Mount::small(&state, "20m") else {
        return;
    };
    mount.again("ro");
    let output = shop.run(&["sync"]);
    says(&output, 74, &["read-only"]);
    drop(mount);
}

#[test]
fn a_folder_that_the_service_may_not_read_is_said_and_waited_for() {
    if !rustix::process::geteuid().is_root() {
        return eprintln!("passed over: only root can become another user");
    }
    use std::os::unix::fs::PermissionsExt;
    let shop = Shop::new();
    fs::set_permissions(shop.dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    for part in ["state", "app-id", "app-token", "products", "skus", "orders"] {
        let status = Command::new("chown")
            .args(["-R", "65534:65534"])
            .arg(shop.path(part))
            .status();
        assert!(status.unwrap().success());
    }
    fs::set_permissions(shop.path("customers"), fs::Permissions::from_mode(0o700)).unwrap();
    let output = Command::new("setpriv")
        .args([
            "--reuid",
            "65534",
            "--regid",
            "65534",
            "--clear-groups",
            env!("CARGO_BIN_EXE_tillsync"),
            "check",
            "--config",
        ])
        .arg(shop.config())
        .output()
        .unwrap();
    says(&output, 78, &["customers", "permission"]);
}

#[test]
fn a_state_that_cannot_be_there_is_named_and_no_file_of_ours_within() {
    let shop = Shop::new();
    let text = fs::read_to_string(shop.config()).unwrap();
    let state = shop.path("app-id/state");
    let wrong = text.replacen(
        &format!("state_dir = \"{}\"", shop.path("state").display()),
        &format!("state_dir = \"{}\"", state.display()),
        1,
    );
    fs::write(shop.config(), wrong).unwrap();
    for command in [
        &["run"][..],
        &["sync"],
        &["pause"],
        &["retry", "--all"],
        &["accept", "1"],
    ] {
        let output = shop.run(command);
        says(&output, 74, &["app-id/state: "]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            !said.contains(".new-") && !said.contains("os error"),
            "{command:?}: {said}"
        );
    }
    fs::write(shop.config(), text).unwrap();
    fs::remove_dir_all(shop.path("state")).unwrap();
    let copy = shop.path("copy.db");
    let backup = shop.run(&["backup", copy.to_str().unwrap()]);
    says(&backup, 74, &["there is no database yet"]);
    assert!(!copy.exists());
    fs::remove_dir_all(shop.path("state")).ok();
    says(&shop.run(&["pause"]), 74, &["/state: no such folder"]);
}

#[test]
fn wrong_words_on_the_command_line_end_with_2() {
    let shop = Shop::new();
    says(&shop.run(&["rum"]), 2, &["rum"]);
    says(&shop.run(&["retry"]), 2, &[]);
}
