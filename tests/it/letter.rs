//! What INTERFACE promises of commands, to the letter: what stands on which stream, in which form, and
//! how it ends.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::fs::symlink;
use std::process::Output;

use crate::shop::{Shop, tillsync, wait};

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
fn a_revert_says_what_the_log_knows_no_more() {
    let shop = Shop::new();
    for (n, name) in ["Ann", "Anna", "Anne"].iter().enumerate() {
        shop.drop_in(
            "customers",
            &format!("{n}.csv"),
            &format!("source_id,name\n1,{name}\n"),
        );
        ends(&shop.run(&["sync"]), 0);
    }
    let dry = || shop.run(&["revert", "2", "--dry-run"]);
    assert!(!err(&dry()).contains("no more"), "{}", err(&dry()));
    let config = fs::read_to_string(shop.config()).unwrap();
    fs::write(shop.config(), config + "[retention]\nlog = \"1s\"\n").unwrap();
    wait("the log is thinned", || {
        shop.run(&["sync"]);
        let changes = shop.json(&["changes"]);
        (changes.as_array()?.len() == 2).then_some(())
    });
    let said = err(&dry());
    assert!(
        said.contains("1 change of this file's stand in the log no more")
            || said.contains("there is no file 2, or the log knows it no more"),
        "{said}"
    );
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
        err(&check).contains("two folders have this path"),
        "{}",
        err(&check)
    );
    fs::remove_file(shop.path("orders")).unwrap();
    symlink(shop.path("state"), shop.path("orders")).unwrap();
    let check = shop.run(&["check"]);
    ends(&check, 78);
    assert!(
        err(&check).contains("this folder and `state_dir` lie within each other"),
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
        err(&restored).contains("/nowhere/b.db: does not exist"),
        "{}",
        err(&restored)
    );
}

#[test]
fn rejects_of_any_name_are_a_to_do_and_a_zip_names_how_many_files() {
    let shop = Shop::new();
    shop.drop_in("customers", "a\n b\u{202e}.csv", BAD_ROW);
    ends(&shop.run(&["sync"]), 65);
    let todo = shop.run(&["todo", "--format", "csv"]);
    ends(&todo, 65);
    assert!(out(&todo).contains("1 row of a"), "{}", out(&todo));
    // Whoever takes the file away has dealt with it.
    for name in shop.listing(&shop.path("customers/rejects")) {
        fs::remove_file(shop.path("customers/rejects").join(name)).unwrap();
    }
    ends(&shop.run(&["todo"]), 0);
}

#[test]
fn sync_ends_with_65_as_long_as_a_file_is_held() {
    let shop = Shop::new();
    shop.configure("", "missing = \"keep\"\nmax_change = \"0%\"\n");
    shop.drop_in(
        "customers",
        "a.csv",
        "source_id,name,email\n1,Ann,a@example.com\n",
    );
    ends(&shop.run(&["sync"]), 0);
    shop.drop_in("customers", "b.csv", "source_id,name\n1,Eve\n");
    ends(&shop.run(&["sync"]), 65);
    let again = shop.run(&["sync"]);
    ends(&again, 65);
    assert!(out(&again).contains("1 file is held"), "{}", out(&again));
    ends(&shop.run(&["discard", "--file", "2"]), 0);
    let reason = shop.json(&["files"])[0]["reason"].to_string();
    assert!(
        reason.contains("nothing was changed") && !reason.contains("accept"),
        "{reason}"
    );
    ends(&shop.run(&["sync"]), 0);
}

#[test]
fn trace_remote_adds_what_the_remote_holds_and_its_activity() {
    let shop = Shop::new();
    shop.drop_in(
        "customers",
        "c.csv",
        "source_id,name,metadata.vip\nA/1,Ann,yes\n",
    );
    shop.drop_in("products", "p.csv", "source_id,name\nP1,Shirt\n");
    shop.drop_in("skus", "s.csv", "source_id,product,sku\nS1,P1,Red\n");
    shop.drop_in("orders", "o.csv", "source_id,status,amount\nO1,PAID,5\n");
    ends(&shop.run(&["sync"]), 0);

    let rows = shop.json(&["trace", "customers", "A/1", "--remote"]);
    let rows = rows.as_array().unwrap();
    let last = rows.last().unwrap();
    assert_eq!(last["event"], "remote");
    assert_eq!(last["fields"]["name"], "Ann");
    assert_eq!(last["fields"]["metadata"]["vip"], "yes");
    assert_eq!(
        (&last["method"], &last["status"]),
        (&"GET".into(), &200.into())
    );
    let activity: Vec<_> = rows
        .iter()
        .filter(|row| row["event"] == "activity")
        .collect();
    assert_eq!(activity[0]["fields"]["type"], "customer.created");
    for (kind, key) in [("products", "P1"), ("skus", "S1"), ("orders", "O1")] {
        let rows = shop.json(&["trace", kind, key, "--remote"]);
        let last = rows.as_array().unwrap().last().unwrap();
        assert_eq!(last["fields"]["source_id"], key, "{last}");
    }

    let table = shop.run(&["trace", "customers", "A/1", "--remote", "--format", "table"]);
    ends(&table, 0);
    for line in [
        "the remote holds\n",
        "  metadata.vip = \"yes\"\n",
        "customer.created at the remote\n",
    ] {
        assert!(out(&table).contains(line), "{line}: {}", out(&table));
    }
    // Without it nothing is asked.
    let asked = shop.standin.requests().len();
    ends(&shop.run(&["trace", "customers", "A/1"]), 0);
    assert_eq!(shop.standin.requests().len(), asked);

    shop.standin.delete("/v1/customers/A%2F1");
    let table = shop.run(&["trace", "customers", "A/1", "--remote", "--format", "table"]);
    ends(&table, 0);
    assert!(
        out(&table).contains("the remote holds no such record"),
        "{}",
        out(&table)
    );

    let shop_config = fs::read_to_string(shop.config()).unwrap();
    let away = shop_config.replace(&shop.standin.address, "127.0.0.1:1");
    fs::write(shop.config(), away).unwrap();
    let away = shop.run(&["trace", "customers", "A/1", "--remote", "--format", "json"]);
    ends(&away, 69);
    assert!(serde_json::from_slice::<serde_json::Value>(&away.stdout).is_ok());
}

#[test]
fn every_command_shows_an_example() {
    let help = out(&tillsync().arg("--help").output().unwrap());
    let commands = help.split("Commands:").nth(1).unwrap();
    let commands = commands.split("Options:").next().unwrap();
    let mut known = 0;
    for line in commands
        .lines()
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
    {
        let command = line.split_whitespace().next().unwrap();
        if command == "help" {
            continue;
        }
        let help = tillsync().args([command, "--help"]).output().unwrap();
        ends(&help, 0);
        assert!(out(&help).contains("Example"), "{command}");
        known += 1;
    }
    assert!(known > 25, "{known}");
}

#[test]
fn refused_credentials_are_said_once_and_named_so() {
    let shop = Shop::new();
    crate::shop::secret_file(&shop.path("app-token"), "wrong");
    shop.drop_in("customers", "a.csv", "source_id,name\n1,Ann\n");
    let synced = shop.run(&["sync"]);
    ends(&synced, 77);
    assert!(
        out(&synced)
            .contains("delivery   the remote refused the credentials (401); 1 record is pending"),
        "{}",
        out(&synced)
    );
    let again = shop.run(&["sync"]);
    ends(&again, 77);
    let requests = shop.json(&["requests", "--limit", "1"]);
    assert_eq!(requests[0]["status"], 401, "{requests}");
    assert_ne!(requests[0]["verdict"], "away", "{requests}");
}

#[test]
fn a_trial_stands_in_its_folder_whatever_the_environment_says() {
    let shop = Shop::new();
    let trial = shop.path("trial");
    let made = tillsync()
        .env("TILLSYNC_CONFIG", shop.config())
        .args(["init", "--dir"])
        .arg(&trial)
        .output()
        .unwrap();
    ends(&made, 0);
    assert!(trial.join("tillsync.toml").exists(), "{}", out(&made));
}

#[test]
fn a_source_format_that_there_is_not_is_a_mistake_of_the_command() {
    let shop = Shop::new();
    fs::write(shop.path("a.csv"), "source_id,name\n1,Ann\n").unwrap();
    let file = shop.path("a.csv");
    for command in ["import", "plan"] {
        let args = [
            command,
            file.to_str().unwrap(),
            "--kind",
            "customers",
            "--preset",
            "klavio",
        ];
        let run = shop.run(&args);
        ends(&run, 2);
        assert!(
            err(&run).contains("Did you mean `klaviyo`?"),
            "{}",
            err(&run)
        );
    }
    assert_eq!(shop.json(&["files"]), serde_json::json!([]));
}

#[test]
fn status_says_why_a_file_waits() {
    let shop = Shop::new();
    fs::write(shop.path("other"), "source_id,name\n1,Ann\n").unwrap();
    fs::hard_link(shop.path("other"), shop.path("customers/a.csv")).unwrap();
    let _daemon = shop.daemon();
    wait("status says so", || {
        let folders = shop.json(&["status"])["folders"].take();
        let reason = folders[0]["reason"].as_str()?.to_owned();
        reason
            .starts_with("a.csv has a second hard link")
            .then_some(())
    });
    let status = shop.run(&["status", "--format", "table"]);
    assert!(
        out(&status).contains("  a.csv has a second hard link"),
        "{}",
        out(&status)
    );
}

#[test]
fn what_is_not_parked_is_said_so() {
    let shop = Shop::new();
    for command in ["retry", "discard"] {
        let run = shop.run(&[command, "skus", "S1"]);
        ends(&run, 0);
        assert_eq!(out(&run), "nothing of that is parked\n");
    }
}

#[test]
fn what_is_taken_in_by_kind_is_no_folders_business() {
    let shop = Shop::new();
    shop.configure("", "");
    let config = fs::read_to_string(shop.config()).unwrap();
    let kind = "kind = \"customers\"\n";
    let full = format!("{kind}missing = \"delete\"\nmax_delete = \"100%\"\n");
    fs::write(shop.config(), config.replace(kind, &full)).unwrap();
    shop.drop_in("customers", "full.csv", "source_id,name\n1,Ann\n");
    ends(&shop.run(&["sync"]), 0);

    let file = shop.path("more.csv");
    fs::write(&file, "source_id,email,phone\n2,b@example.com,+491\n").unwrap();
    let file = file.to_str().unwrap();
    let plan = shop.run(&["plan", file, "--kind", "customers", "--format", "table"]);
    ends(&plan, 0);
    assert!(out(&plan).contains("1 row: 1 new"), "{}", out(&plan));
    assert!(
        out(&plan).contains("Delivery would take 1 call, about"),
        "{}",
        out(&plan)
    );
    ends(&shop.run(&["import", file, "--kind", "customers"]), 0);

    // Neither held for columns that the folder never had, nor speaking of what it never brought.
    shop.drop_in("customers", "again.csv", "source_id,name\n1,Ann\n");
    ends(&shop.run(&["sync"]), 0);
    assert_eq!(shop.standin.holds("customers").len(), 2);
    let files = shop.json(&["files"]);
    assert_eq!(
        (&files[1]["folder"], &files[1]["state"]),
        (&"(by hand)".into(), &"stored".into())
    );
}

#[test]
fn a_file_can_be_taken_in_by_hand_before_anything_else_was_done() {
    let shop = Shop::new();
    shop.configure("", "");
    fs::remove_dir_all(shop.path("state")).unwrap();
    let file = shop.path("first.csv");
    fs::write(&file, "source_id,name\n1,Ann\n").unwrap();
    let file = file.to_str().unwrap();
    ends(&shop.run(&["import", file, "--kind", "customers"]), 0);
    assert_eq!(shop.json(&["files"])[0]["new"], 1);
    let mode = fs::metadata(shop.path("state")).unwrap().permissions();
    assert_eq!(mode.mode() & 0o777, 0o700);
}

#[test]
fn a_plan_by_hand_ends_with_the_folder_to_write() {
    let shop = Shop::new();
    let file = shop.path("woo.csv");
    let rows = "ID,Type,SKU,Name,Regular price,Attribute 1 name,Attribute 1 value(s),Tax class\n\
                1,simple,L-1,Lamp,12.99,Color,Red,std\n2,simple,L-2,Lamp,none,,,\n";
    fs::write(&file, rows).unwrap();
    let file = file.to_str().unwrap();
    let planned = shop.run(&["plan", file, "--kind", "products", "--format", "table"]);
    ends(&planned, 65);
    for said in [
        "format   woo-products: it has the columns",
        "Type                  → ignored  (tells what its row is)",
        "Regular price         → price, metadata.regular_price\n",
        "Attribute 1 name      → attributes\n",
        "Tax class             → ignored\n",
        "2 rows: 1 new,",
        "record 1 of this file: product 1",
        "line 3, column `Regular price`: not a number (number)",
        "  kind   = \"products\"\n  preset = \"woo-products\"\n  others = \"metadata\"",
    ] {
        assert!(out(&planned).contains(said), "{said}: {}", out(&planned));
    }
    let wrong = shop.run(&["plan", file, "--kind", "customers", "--format", "table"]);
    ends(&wrong, 65);
    let said = out(&wrong);
    assert!(
        said.contains("the header is that of `woo-products`"),
        "{said}"
    );
    assert!(said.contains("next: `tillsync presets --for "), "{said}");
}

#[test]
fn what_was_noticed_of_a_file_stands_in_its_listing() {
    let shop = Shop::new();
    shop.drop_in(
        "customers",
        "a.csv",
        "source_id,name,emial\n1,Ann,a@example.org\n",
    );
    ends(&shop.run(&["sync"]), 0);
    let files = shop.run(&["files", "--format", "json"]);
    let files: serde_json::Value = serde_json::from_str(&out(&files)).unwrap();
    let reason = files[0]["reason"].as_str().unwrap();
    for said in ["`emial`", "metadata.emial", "`email`"] {
        assert!(reason.contains(said), "{reason}");
    }
    let plain = shop.path("b.csv");
    fs::write(&plain, "source_id,name,emial\n1,Ann,b@example.org\n").unwrap();
    let import = shop.run(&["import", plain.to_str().unwrap(), "--folder", "customers"]);
    ends(&import, 0);
    assert!(out(&import).contains("note: "), "{}", out(&import));
}

#[test]
fn sync_says_what_to_type_where_credentials_are_missing() {
    let shop = Shop::new();
    shop.drop_in("customers", "a.csv", "source_id,name\n1,Ann\n");
    for name in ["app-id", "app-token"] {
        fs::remove_file(shop.path(name)).unwrap();
    }
    let synced = shop.run(&["sync"]);
    ends(&synced, 77);
    let said = "delivery   no credentials are set: `tillsync login` asks for them and stores them; 1 record is pending\n";
    assert!(out(&synced).contains(said), "{}", out(&synced));
    assert!(
        !out(&synced).contains("stores new ones"),
        "{}",
        out(&synced)
    );
}

#[test]
fn a_refusal_leaves_what_is_being_taken_in_the_time_to_get_there() {
    let shop = Shop::new();
    crate::shop::secret_file(&shop.path("app-token"), "wrong");
    // It takes longer than the remote's refusal, and less than that time.
    let rows: String = (0..3_000).map(|n| format!("{n},Ann\n")).collect();
    shop.drop_in("customers", "a.csv", &format!("source_id,name\n{rows}"));
    let synced = shop.run(&["sync"]);
    ends(&synced, 77);
    assert!(
        out(&synced).contains("3,000 records are pending"),
        "{}",
        out(&synced)
    );
}

#[test]
fn an_import_that_was_held_is_taken_in_by_accept() {
    let shop = Shop::new();
    shop.drop_in(
        "customers",
        "a.csv",
        "source_id,name,email\n1,Ann,a@example.org\n",
    );
    ends(&shop.run(&["sync"]), 0);
    let file = shop.path("b.csv");
    fs::write(&file, "source_id,name\n2,Bob\n").unwrap();
    let import = || {
        let path = file.to_str().unwrap();
        shop.run(&["import", path, "--folder", "customers"])
    };
    let held = import();
    ends(&held, 65);
    assert!(out(&held).contains("held as file 2"), "{}", out(&held));
    let accepted = shop.run(&["accept", "2"]);
    ends(&accepted, 0);
    let said = "b.csv: stored as file 2: 1 new, 0 changed, 0 unchanged";
    assert!(out(&accepted).contains(said), "{}", out(&accepted));
    assert!(file.exists());
    // What is not there any more cannot be taken in.
    fs::write(&file, "source_id,email\n3,c@example.org\n").unwrap();
    ends(&import(), 65);
    fs::remove_file(&file).unwrap();
    ends(&shop.run(&["accept", "3"]), 74);
}
