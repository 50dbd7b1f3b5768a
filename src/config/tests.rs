//! What people see when a configuration is wrong, and what it becomes when it is right.

use std::fs;

use super::*;

/// A folder that is right, for cases about something else; three lines.
const FOLDER: &str = "[[folder]]\npath = \"/srv/drop/a\"\nkind = \"customers\"\n";

/// Each problem as `line:column message | hint`.
fn problems(text: &str) -> Vec<String> {
    let Err(problems) = parse("t.toml", text, "till-03") else {
        return Vec::new();
    };
    let one = |problem: &Problem| {
        let place = problem.place.as_ref().unwrap();
        let hint = problem.hint.as_deref().unwrap_or("-");
        format!(
            "{}:{} {} | {hint}",
            place.line, place.column, problem.message
        )
    };
    problems.0.iter().map(one).collect()
}

#[track_caller]
fn check(text: &str, expected: &[&str]) {
    assert_eq!(problems(text), expected, "{text}");
}

/// A line within a folder of this kind, at line 4.
#[track_caller]
fn check_folder(kind: &str, line: &str, expected: &[&str]) {
    check(
        &format!("[[folder]]\npath = \"/srv/drop/a\"\nkind = \"{kind}\"\n{line}\n"),
        expected,
    );
}

#[track_caller]
fn right(text: &str) -> Config {
    parse("t.toml", text, "till-03").unwrap_or_else(|problems| panic!("{problems}"))
}

#[test]
fn an_empty_file_is_all_defaults() {
    let config = right("");
    assert_eq!(config.store, "till-03");
    assert_eq!(config.state_dir, Path::new("/var/lib/tillsync"));
    assert_eq!(config.presets_dir, Path::new("/etc/tillsync/presets"));
    assert_eq!(config.api.url, "https://api.voucherify.io");
    assert_eq!(
        config.api.app_id_file.as_deref(),
        Some(Path::new("/etc/tillsync/app-id"))
    );
    assert_eq!((config.api.share, config.api.stores), (0.5, 1));
    assert_eq!(
        (config.api.period, config.api.bulk),
        (Period::Auto, Bulk::Auto)
    );
    assert_eq!((config.api.cycle_calls, config.api.cycle_day), (None, 1));
    assert_eq!(config.api.timeout, Duration::from_secs(30));
    assert_eq!((config.api.proxy, config.api.ca_file), (None, None));
    assert_eq!(config.local.listen, Some("127.0.0.1:8787".parse().unwrap()));
    assert_eq!(config.retention.archive, Duration::from_secs(30 * 86_400));
    assert_eq!(config.retention.min_free, 200_000_000);
    assert_eq!(config.alert.away_after, Duration::from_secs(4 * 3600));
    assert!(config.folders.is_empty());
}

#[test]
fn every_setting_reaches_the_configuration() {
    let config = right(
        r#"
store = "paris-03"
state_dir = "/s"
[api]
url = "http://localhost:9000/"
share = 1
stores = 3
period = "hour"
cycle_calls = 100_000
cycle_day = 31
bulk = "never"
timeout = "1m"
proxy = "http://u:p@proxy.lan:3128"
ca_file = "/ca.pem"
[[folder]]
name = "kunden"
path = "/srv/drop/../drop/customers/"
kind = "orders"
preset = "x"
files = ["*.dat"]
settle = "0s"
done = "{name}.ok"
blank = "clear"
others = "ignore"
max_delete = "0.5%"
max_change = "20%"
money = "cents"
live = "2d"
key_prefix = "woo-"
customer_prefix = "c-"
product_prefix = "p-"
customer_key = "email"
after = "leave"
expect = "Mon-Sat 06:30"
note = "job 17"
encoding = "Windows-1252"
delimiter = "\t"
decimal = ","
dates = "month-first"
timezone = "Europe/Paris"
[folder.columns]
"Z" = "status"
"A" = "metadata.a:number[]"
"N" = ""
[folder.constants]
"metadata.store" = "{store}!"
"metadata.n" = 5
[[folder]]
path = "/srv/drop/orders"
kind = "orders"
history = true
[[folder]]
path = "/srv/drop/p"
kind = "products"
missing = "delete"
[local]
listen = ""
password_file = "/pw"
hosts = ["till-03.lan"]
[retention]
archive = "1d"
log = "2d"
min_free = "1GB"
[alert]
command = ["/bin/tell", "x"]
webhook = "https://hooks.example.com/x"
heartbeat = "https://beat.example.com/y"
after = "0s"
away_after = "1h"
"#,
    );
    assert_eq!(config.store, "paris-03");
    assert_eq!(config.api.url, "http://localhost:9000");
    assert_eq!(
        (config.api.share, config.api.stores, config.api.cycle_day),
        (1.0, 3, 31)
    );
    assert_eq!(
        (config.api.period, config.api.bulk),
        (Period::Hour, Bulk::Never)
    );
    assert_eq!(config.api.cycle_calls, Some(100_000));
    assert_eq!(
        config.api.proxy.as_deref(),
        Some("http://u:p@proxy.lan:3128")
    );
    let folder = config.folder("kunden").unwrap();
    assert_eq!(folder.path, Path::new("/srv/drop/customers"));
    assert_eq!(folder.settle, Duration::ZERO);
    assert_eq!(
        (folder.blank, folder.others, folder.after),
        (Blank::Clear, Others::Ignore, After::Leave)
    );
    assert_eq!(
        (folder.max_delete_percent, folder.max_change_percent),
        (0.5, 20.0)
    );
    assert_eq!(
        (folder.money, folder.customer_key),
        (Some(MoneyUnit::Cents), Some(CustomerKey::Email))
    );
    assert_eq!(
        (folder.delimiter, folder.decimal),
        (Some(b'\t'), Some(DecimalSign::Comma))
    );
    assert_eq!(folder.dates, Some(DateOrder::MonthFirst));
    assert_eq!(folder.timezone.as_deref(), Some("Europe/Paris"));
    assert!(matches!(
        folder.expect,
        Some(Expect::By {
            hour: 6,
            minute: 30,
            ..
        })
    ));
    let pair = |left: &str, right: &str| (left.to_owned(), right.to_owned());
    assert_eq!(
        folder.columns,
        [
            pair("Z", "status"),
            pair("A", "metadata.a:number[]"),
            pair("N", "")
        ]
    );
    assert_eq!(
        folder.constants,
        [pair("metadata.store", "paris-03!"), pair("metadata.n", "5")]
    );
    assert!(config.folders[1].history);
    assert_eq!(config.folders[1].name, "orders");
    assert_eq!(config.folders[2].missing, Missing::Delete);
    assert_eq!(config.local.listen, None);
    assert_eq!(config.alert.command, ["/bin/tell", "x"]);
}

#[test]
fn an_unknown_key_gets_the_nearest() {
    check(
        "stat_dir = \"/x\"\n",
        &["1:1 unknown key `stat_dir` | did you mean `state_dir`?"],
    );
    check(
        "[api]\nshares = 0.5\n",
        &["2:1 unknown key `shares` | did you mean `share`?"],
    );
    check(
        "[apo]\nurl = \"x\"\n",
        &["1:2 unknown key `apo` | did you mean `api`?"],
    );
    check(
        "[api]\nwebhok = 1\n",
        &["2:1 unknown key `webhok` | did you mean `webhook`, under `[alert]`?"],
    );
    check(
        "[api]\nstate_dir = \"/x\"\n",
        &["2:1 unknown key `state_dir` | it stands at the top, before the first table"],
    );
    check(
        "share = 0.5\n",
        &["1:1 unknown key `share` | it belongs under `[api]`"],
    );
    check(
        "[local]\nsettle = \"1s\"\n",
        &["2:1 unknown key `settle` | it belongs to a `[[folder]]`"],
    );
    check("zzz = 1\n", &["1:1 unknown key `zzz` | -"]);
}

#[test]
fn the_drawing_points_at_the_key() {
    let problems = parse("tillsync.toml", &format!("{FOLDER}setle = \"2s\"\n"), "h").unwrap_err();
    insta::assert_snapshot!(problems.to_string(), @r#"
    error: tillsync.toml:4:1: unknown key `setle`
      |
    4 | setle = "2s"
      | ^^^^^ did you mean `settle`?
    "#);
    assert!(problems.render(true).contains('\u{1b}'));
}

#[test]
fn what_is_no_toml_is_said_with_its_place() {
    check(
        "[api]\nurl = https://x\n",
        &[
            "2:7 not valid TOML: string values must be quoted, expected literal string | put the value in quotes: \"…\"",
        ],
    );
    check(
        "store = \"a\"\nstore = \"b\"\n",
        &["2:1 not valid TOML: duplicate key | it is set a second time here"],
    );
    // What else is wrong is told all the same; what is missing may just not have been read.
    check(
        "[[folder]]\npath = /srv\nsetle = \"1s\"\n",
        &[
            "2:8 not valid TOML: string values must be quoted, expected literal string | put the value in quotes: \"…\"",
            "3:1 unknown key `setle` | did you mean `settle`?",
        ],
    );
}

#[test]
fn files_from_other_systems_are_read_as_they_are() {
    assert_eq!(
        right("\u{feff}store = \"a\"\r\n[api]\r\nshare = 0.1\r\n").store,
        "a"
    );
    check(
        "\u{feff}[api]\r\nshares = 1\r\n",
        &["2:1 unknown key `shares` | did you mean `share`?"],
    );
}

#[test]
fn tables_have_to_be_tables() {
    check(
        "api = 5\n",
        &["1:1 `api` has to be a table | write `[api]`, and its keys below"],
    );
    check(
        "[folder]\npath = \"/x\"\n",
        &["1:2 `folder` has to be a list of tables | write `[[folder]]`, with two brackets"],
    );
    check(
        "folder = [1]\n",
        &["1:1 `folder` has to be a list of tables | write `[[folder]]`, with two brackets"],
    );
}

#[test]
fn values_of_another_type_say_what_to_write() {
    check(
        "store = 5\n",
        &["1:9 `store` cannot be a whole number | write text in quotes"],
    );
    check(
        "[api]\nshare = \"half\"\n",
        &["2:9 `api.share` cannot be text | write a number without quotes: 0.5"],
    );
    check(
        "[api]\nstores = 1.5\n",
        &["2:10 `api.stores` cannot be a number | write a whole number without quotes"],
    );
    check(
        "[api]\ntimeout = 30\n",
        &[
            "2:11 `api.timeout` cannot be a whole number | write a duration in quotes, with its unit: \"10s\", \"5m\", \"26h\" or \"7d\"",
        ],
    );
    check(
        "[local]\nlisten = 8787\n",
        &[
            "2:10 `local.listen` cannot be a whole number | write address and port in quotes: \"127.0.0.1:8787\", or \"\" for none",
        ],
    );
    check(
        "[local]\nhosts = \"a\"\n",
        &["2:9 `local.hosts` cannot be text | write a list: [\"…\", \"…\"]"],
    );
    check(
        "[alert]\ncommand = [\"a\", 1]\n",
        &["2:17 `alert.command` cannot be a whole number | write text in quotes"],
    );
    check_folder(
        "orders",
        "history = \"yes\"",
        &["4:11 `folder.history` cannot be text | write true or false, without quotes"],
    );
    check_folder(
        "customers",
        "columns = \"x\"",
        &["4:11 `folder.columns` cannot be text | write a table: \"E-Mail\" = \"email\""],
    );
    check_folder(
        "customers",
        "expect = 2026-11-24",
        &[
            "4:10 `folder.expect` cannot be a date or time | write a time in quotes: \"26h\" or \"Mon-Sat 06:30\"",
        ],
    );
}

#[test]
fn values_that_mean_nothing_say_what_to_write() {
    let duration = "write a duration in quotes, with its unit: \"10s\", \"5m\", \"26h\" or \"7d\"";
    check_folder(
        "customers",
        "settle = \"10\"",
        &[&format!(
            "4:10 `folder.settle` is not a duration | {duration}"
        )],
    );
    check(
        "[api]\ntimeout = \"0s\"\n",
        &["2:11 `api.timeout` cannot be zero | write something longer"],
    );
    check(
        "[retention]\nmin_free = \"200\"\n",
        &[
            "2:12 `retention.min_free` is not a size | write a size in quotes, with its unit: \"200MB\" or \"1GB\"",
        ],
    );
    check_folder(
        "customers",
        "max_delete = \"101%\"",
        &["4:14 `folder.max_delete` is not a percentage | write \"0%\" to \"100%\""],
    );
    check_folder(
        "customers",
        "kind2 = 1",
        &["4:1 unknown key `kind2` | did you mean `kind`?"],
    );
    check_folder(
        "customers",
        "blank = \"kep\"",
        &["4:9 `folder.blank` has a value that is not known | did you mean \"keep\"?"],
    );
    check_folder(
        "customers",
        "after = \"zip\"",
        &[
            "4:9 `folder.after` has a value that is not known | write one of \"archive\", \"delete\", \"leave\"",
        ],
    );
    check_folder(
        "customers",
        "files = []",
        &["4:9 `folder.files` would take in no file at all | write a pattern such as [\"*.csv\"]"],
    );
    check_folder(
        "customers",
        "files = [\"a/*.csv\"]",
        &[
            "4:10 `folder.files` is not a pattern for file names | write it like \"*.csv\", without `/`",
        ],
    );
    check_folder(
        "customers",
        "done = \"ok\"",
        &[
            "4:8 `folder.done` does not say `{name}`, the file's own name | write it like \"{name}.ok\"",
        ],
    );
    check_folder(
        "customers",
        "done = \"{name}\"",
        &[
            "4:8 `folder.done` names the file itself, not a marker beside it | write it like \"{name}.ok\"",
        ],
    );
    check_folder(
        "customers",
        "done = \"x/{name}\"",
        &["4:8 `folder.done` is not a file name | write it like \"{name}.ok\""],
    );
    check_folder(
        "customers",
        "encoding = \"latin-99\"",
        &[
            "4:12 `folder.encoding` is not a known encoding | write one such as \"utf-8\", \"windows-1252\", \"iso-8859-15\" or \"utf-16le\"",
        ],
    );
    check_folder(
        "customers",
        "delimiter = \"ab\"",
        &[
            "4:13 `folder.delimiter` is not a delimiter | write one sign such as \",\", \";\" or \"|\", or \"tab\"",
        ],
    );
    check_folder(
        "customers",
        "timezone = \"Europe/Pariss\"",
        &["4:12 `folder.timezone` is not a known time zone | did you mean \"Europe/Paris\"?"],
    );
    check_folder(
        "customers",
        "expect = \"soon\"",
        &[
            "4:10 `folder.expect` says no time at which files are due | write a time in quotes: \"26h\" or \"Mon-Sat 06:30\"",
        ],
    );
    check(
        "[local]\nlisten = \":8787\"\n",
        &[
            "2:10 `local.listen` is not an address to listen on | write address and port in quotes: \"127.0.0.1:8787\", or \"\" for none",
        ],
    );
    check(
        "state_dir = \"\"\n",
        &["1:13 `state_dir` is empty | write a path such as \"/srv/drop/customers\""],
    );
    check(
        "store = \"\"\n",
        &["1:9 `store` is not a name | write 1 to 64 characters such as \"paris-03\""],
    );
    check(
        "store = \"a\\u0007b\"\n",
        &["1:9 `store` holds a control character | take it out"],
    );
}

#[test]
fn numbers_out_of_range_say_the_range() {
    for share in ["0", "0.0", "1.01", "-0.5", "2", "nan", "inf"] {
        check(
            &format!("[api]\nshare = {share}\n"),
            &["2:9 `api.share` is out of range | write a number above 0, up to 1"],
        );
    }
    check(
        "[api]\nstores = 0\n",
        &["2:10 `api.stores` is out of range | write a whole number from 1 to 100000"],
    );
    check(
        "[api]\ncycle_day = 32\n",
        &["2:13 `api.cycle_day` is out of range | write a whole number from 1 to 31"],
    );
    check(
        "[api]\ncycle_calls = -1\n",
        &["2:15 `api.cycle_calls` is out of range | write a whole number of 1 or more"],
    );
}

#[test]
fn credentials_are_sent_encrypted_or_to_this_host() {
    let unencrypted = "2:7 `api.url` would send the credentials unencrypted | write `https://`; `http://` is for loopback addresses";
    check(
        "[api]\nurl = \"http://api.voucherify.io\"\n",
        &[unencrypted],
    );
    check(
        "[api]\nurl = \"http://127.0.0.1.evil.example\"\n",
        &[unencrypted],
    );
    check(
        "[api]\nurl = \"http://127.0.0.1:80@evil.example\"\n",
        &[
            "2:7 `api.url` is more than an address | write scheme and host alone: \"https://api.voucherify.io\"",
        ],
    );
    check(
        "[api]\nurl = \"api.voucherify.io\"\n",
        &["2:7 `api.url` is not an address | begin it with `https://`"],
    );
    for url in [
        "http://127.0.0.1:1",
        "http://[::1]:1/",
        "http://localhost:1",
        "https://eu1.api.example/base",
    ] {
        right(&format!("[api]\nurl = \"{url}\"\n"));
    }
}

#[test]
fn a_page_that_others_reach_has_a_password() {
    let open = "2:10 `local.listen` lets other hosts see the page, and no `password_file` is set | set `password_file`, or listen on 127.0.0.1";
    check("[local]\nlisten = \"0.0.0.0:8787\"\n", &[open]);
    check("[local]\nlisten = \"[::]:8787\"\n", &[open]);
    right("[local]\nlisten = \"192.168.1.5:80\"\npassword_file = \"/pw\"\n");
    right("[local]\nlisten = \"[::1]:8787\"\n");
    assert!(
        right("[local]\nlisten = \"localhost:80\"\n")
            .local
            .listen
            .unwrap()
            .ip()
            .is_loopback()
    );
    check(
        "[local]\nhosts = [\"http://x\"]\n",
        &[
            "2:9 `local.hosts` has an entry that is not a host's name | write names alone, without `http://` and port: [\"till-03.lan\"]",
        ],
    );
    check(
        "[alert]\ncommand = [\"\"]\n",
        &[
            "2:11 `alert.command` names no program | write the program first: [\"/usr/local/bin/tell-it\"]",
        ],
    );
}

#[test]
fn a_folder_says_where_it_is_and_what_it_brings() {
    check(
        "[[folder]]\n",
        &[
            "1:1 this folder has no `path` | add `path = \"/srv/drop/customers\"`",
            "1:1 this folder has no `kind` | add `kind = \"customers\"`",
        ],
    );
    check(
        "[[folder]]\npath = \"/a\"\nkind = \"customer\"\n",
        &["3:8 `folder.kind` has a value that is not known | did you mean \"customers\"?"],
    );
    check(
        "[[folder]]\npath = \"/\"\nkind = \"skus\"\n",
        &[
            "2:8 `folder.name` is not a name to type | give it a `name` of 1 to 64 characters, without `/`, not beginning with `-`",
            "2:8 this folder and `state_dir` lie within each other | put them side by side",
        ],
    );
    check_folder(
        "customers",
        "name = \"-x\"",
        &[
            "4:8 `folder.name` is not a name to type | give it a `name` of 1 to 64 characters, without `/`, not beginning with `-`",
        ],
    );
}

#[test]
fn settings_of_orders_are_for_orders() {
    check_folder(
        "customers",
        "history = true",
        &[
            "4:1 `folder.history` is for orders only, and this folder brings customers | take it out",
        ],
    );
    check_folder(
        "products",
        "live = \"2d\"",
        &["4:1 `folder.live` is for orders only, and this folder brings products | take it out"],
    );
    check_folder(
        "customers",
        "customer_key = \"id\"",
        &[
            "4:1 `folder.customer_key` is for orders only, and this folder brings customers | take it out",
        ],
    );
    check_folder(
        "skus",
        "customer_prefix = \"c-\"",
        &[
            "4:1 `folder.customer_prefix` is for orders only, and this folder brings skus | take it out",
        ],
    );
    check_folder(
        "products",
        "product_prefix = \"p-\"",
        &[
            "4:1 `folder.product_prefix` is for SKUs and orders, and this folder brings products | take it out; `key_prefix` goes before a record's own key",
        ],
    );
    check_folder(
        "orders",
        "missing = \"delete\"",
        &[
            "4:11 `folder.missing` cannot be \"delete\" for orders: they cannot be deleted at the remote | write \"keep\"",
        ],
    );
    check_folder(
        "orders",
        "history = true\nlive = \"2d\"",
        &["5:1 `folder.live` means nothing where `history` is true | take out one of them"],
    );
    check_folder("skus", "product_prefix = \"p-\"\nmissing = \"delete\"", &[]);
}

#[test]
fn folders_do_not_get_in_each_others_way() {
    let two = |first: &str, second: &str| {
        format!(
            "[[folder]]\npath = \"{first}\"\nkind = \"skus\"\n[[folder]]\npath = \"{second}\"\nkind = \"skus\"\n"
        )
    };
    check(
        &two("/srv/a", "/var/a"),
        &["5:8 two folders have this name | give each its own `name`; the other is t.toml:2"],
    );
    check(
        &two("/srv/a", "/srv/a/"),
        &[
            "5:8 two folders have this name | give each its own `name`; the other is t.toml:2",
            "5:8 two folders have this path | one folder, one entry; the other is t.toml:2",
        ],
    );
    check(
        &two("/srv/a", "/srv/x/../a/b"),
        &["5:8 one folder lies within another | put them side by side; the other is t.toml:2"],
    );
    check(
        &two("/srv/a/b", "/srv/a"),
        &["5:8 one folder lies within another | put them side by side; the other is t.toml:2"],
    );
    check(&two("/srv/a", "/srv/ab"), &[]);
    let dir = tempfile::tempdir().unwrap();
    let (real, link) = (dir.path().join("a"), dir.path().join("b"));
    std::fs::create_dir(&real).unwrap();
    std::os::unix::fs::symlink(&real, &link).unwrap();
    check(
        &two(&real.display().to_string(), &link.display().to_string()),
        &["5:8 two folders have this path | one folder, one entry; the other is t.toml:2"],
    );
    check(
        &two("/var/lib/tillsync/in", "/srv/a"),
        &["2:8 this folder and `state_dir` lie within each other | put them side by side"],
    );
    check(
        &two("/var/lib", "/srv/a"),
        &["2:8 this folder and `state_dir` lie within each other | put them side by side"],
    );
    // A kind that is wrong hides nothing of this.
    let text = two("/srv/a", "/srv/a/b").replacen("\"skus\"", "\"sku\"", 1);
    assert_eq!(problems(&text).len(), 2, "{:?}", problems(&text));
}

#[test]
fn columns_become_something_of_the_kind() {
    let columns = |line: &str| format!("[folder.columns]\n{line}");
    check_folder(
        "customers",
        &columns("\"E-Mail\" = \"emial\""),
        &["5:12 `folder.columns`: this is no field of customers | did you mean `email`?"],
    );
    check_folder(
        "customers",
        &columns("\"x\" = \"metadata.p:nubmer\""),
        &["5:7 `folder.columns`: this has a type that is not known | did you mean `:number`?"],
    );
    check_folder(
        "customers",
        &columns("\"E\" = \"email\"\n\" e \" = \"name\""),
        &[
            "6:1 `folder.columns` names this header twice | case and outer spaces do not count; take out one of them",
        ],
    );
    check_folder(
        "customers",
        &columns("\" \" = \"name\""),
        &["5:1 `folder.columns` names an empty header | write the column's header"],
    );
    check_folder(
        "customers",
        &columns("E.mail = \"name\"\nx = \"nam\""),
        &[
            "5:1 `folder.columns` is read as a table here, because of the dot in it | put the whole left side in quotes: \"metadata.store\" = …",
            "6:5 `folder.columns`: this is no field of customers | did you mean `name`?",
        ],
    );
    check_folder(
        "customers",
        "[folder.constants]\nsource_id = \"x\"",
        &[
            "5:1 `folder.constants`: this would give every record the same key | `key_prefix` goes before the key that the file has",
        ],
    );
    check_folder("orders", "[folder.constants]\n\"item.kind\" = \"sku\"", &[]);
}

#[test]
fn no_secret_is_shown_whatever_is_wrong_with_it() {
    for text in [
        "[api]\napp_token = \"CANARY\"\n",
        "[api]\napp_token_file = \"CANARY\"\n",
        "[api]\napp_token_file = \"CANARY\n",
        "[api]\napp_token_file = CANARY\n",
        "[api]\napp_id_file = [\"CANARY\"]\n",
        "[api]\napp-id = CANARY\n",
        "[api]\n\"App Token\" = \"CANARY\"\n",
        "[api]\napi_key = \"CANARY\"\n",
        "[api]\nkey = \"CANARY\"\n",
        "[api]\nproxy = \"ftp://user:CANARY@proxy\"\n",
        "[api]\nurl = \"https://user:CANARY@api.voucherify.io\"\n",
        "[api]\nurl = \"https://api.voucherify.io?token=CANARY\"\n",
        "[alert]\nwebhook = \"hooks.example/CANARY\"\n",
        "[alert]\nwebhok = { token = \"CANARY\" }\n",
        "[local]\npassword = \"CANARY\"\n",
        "[local]\npassword_file = \"CANARY\"\n",
        "[local]\npassword_file = 5 # CANARY\n",
        "secret = \"\"\"\nfirst\nCANARY\n",
        "token = [\n  \"a\",\n  CANARY\n]\n",
        "app_token = \"CANARY\" setle = 1\n",
        "x = { secret = \"CANARY\", setle = }\n",
        "[[folder]]\npath = \"/a\"\nkind = \"customers\"\n[folder.columns]\n\"Password\" = \"CANARY\"\n",
    ] {
        let problems = parse("t.toml", text, "h").expect_err(text);
        for shown in [
            problems.to_string(),
            problems.render(true),
            format!("{problems:?}"),
        ] {
            assert!(!shown.contains("CANARY"), "{text}\n{shown}");
        }
    }
}

#[test]
fn a_setting_whose_name_only_sounds_secret_is_shown() {
    let problems = parse("t.toml", &format!("{FOLDER}customer_key = \"mail\"\n"), "h").unwrap_err();
    assert!(problems.to_string().contains("\"mail\""), "{problems}");
}

#[test]
fn nothing_that_a_terminal_obeys_is_shown() {
    let text = "x\u{1b}[2J = \u{1b}]0;hi\u{7}\n\"\\u001b[31m\" = 1\n";
    let problems = parse("a\u{1b}b.toml", text, "h").unwrap_err().to_string();
    assert!(!problems.contains(['\u{1b}', '\u{7}']), "{problems:?}");
}

#[test]
fn a_very_long_line_is_cut_around_what_is_meant() {
    let text = format!(
        "[alert]\ncommand = [\"{}\", 5, \"{}\"]\n",
        "é".repeat(5000),
        "y".repeat(5000)
    );
    let shown = parse("t.toml", &text, "h").unwrap_err().to_string();
    assert!(
        shown.lines().all(|line| line.chars().count() < 300),
        "{shown}"
    );
    assert!(shown.contains(", 5, "), "{shown}");
}

/// A folder with a main file and files of `conf.d`.
fn written(main: &str, more: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("tillsync.toml"), main).unwrap();
    fs::create_dir(dir.path().join("conf.d")).unwrap();
    for (name, text) in more {
        fs::write(dir.path().join("conf.d").join(name), text).unwrap();
    }
    dir
}

fn loaded(dir: &tempfile::TempDir) -> Result<Config, String> {
    let environment = Environment {
        config: None,
        host: "h".to_owned(),
    };
    let shown = |problems: Problems| {
        problems
            .to_string()
            .replace(&dir.path().display().to_string(), "HERE")
    };
    load(Some(&dir.path().join("tillsync.toml")), &environment).map_err(shown)
}

#[test]
fn files_of_conf_d_add_up_in_order() {
    let folder = |name: &str| format!("[[folder]]\npath = \"{name}\"\nkind = \"skus\"\n");
    let dir = written(
        &format!("store = \"s\"\n{}", folder("/srv/a")),
        &[
            ("20-c.toml", &folder("/srv/c")),
            ("10-b.toml", &format!("{}[api]\nshare = 0.1\n", folder("b"))),
            ("30-d.toml", "[api]\nstores = 2\n"),
            ("ignored.txt", "no toml"),
            (".hidden.toml", "no toml"),
        ],
    );
    let config = loaded(&dir).unwrap();
    let names: Vec<&str> = config
        .folders
        .iter()
        .map(|folder| folder.name.as_str())
        .collect();
    assert_eq!(names, ["a", "b", "c"]);
    // Relative to the file that says it.
    assert_eq!(config.folders[1].path, dir.path().join("conf.d/b"));
    assert_eq!((config.api.share, config.api.stores), (0.1, 2));
    assert_eq!(config.file, Some(dir.path().join("tillsync.toml")));
}

#[test]
fn a_key_set_twice_names_both_places() {
    let dir = written(
        "[api]\nshare = 0.5\n",
        &[
            ("a.toml", "\n[api]\nshare = 0.5\n"),
            ("b.toml", "stor = 1\n"),
        ],
    );
    insta::assert_snapshot!(loaded(&dir).unwrap_err(), @r#"
    error: HERE/conf.d/a.toml:3:1: `api.share` is set twice
      |
    3 | share = 0.5
      | ^^^^^ first in HERE/tillsync.toml:2

    error: HERE/conf.d/b.toml:1:1: unknown key `stor`
      |
    1 | stor = 1
      | ^^^^ did you mean `store`?
    "#);
}

#[test]
fn a_second_value_is_said_also_where_the_first_is_bad() {
    let dir = written(
        "store = \"\"\nstate_dir = 7\n",
        &[("a.toml", "state_dir = \"/b\"\n")],
    );
    let said = loaded(&dir).unwrap_err();
    assert!(
        said.contains("a.toml:1:1: `state_dir` is set twice")
            && said.contains("first in HERE/tillsync.toml:2"),
        "{said}"
    );
}

#[test]
fn files_that_cannot_be_read_are_said() {
    let dir = written("", &[]);
    fs::write(dir.path().join("tillsync.toml"), b"store = \"a\"\n# \xff\n").unwrap();
    assert_eq!(
        loaded(&dir).unwrap_err(),
        "error: HERE/tillsync.toml: line 2 is not UTF-8\n  Save the file as UTF-8.\n"
    );

    fs::remove_file(dir.path().join("tillsync.toml")).unwrap();
    assert!(
        loaded(&dir)
            .unwrap_err()
            .starts_with("error: HERE/tillsync.toml: does not exist\n")
    );

    fs::create_dir(dir.path().join("tillsync.toml")).unwrap();
    assert!(
        loaded(&dir)
            .unwrap_err()
            .starts_with("error: HERE/tillsync.toml: is a folder, not a file\n")
    );
}

#[test]
fn the_file_meant_is_the_one_asked_for_else_the_environments() {
    let mut environment = Environment::default();
    assert_eq!(file_meant(None, &environment), Path::new(DEFAULT_FILE));
    environment.config = Some("/e.toml".into());
    assert_eq!(file_meant(None, &environment), Path::new("/e.toml"));
    assert_eq!(
        file_meant(Some(Path::new("/a.toml")), &environment),
        Path::new("/a.toml")
    );
}

#[test]
fn defaults_without_a_file_are_the_same() {
    let config = Config::with_defaults("s", Path::new("/tmp/s"));
    assert_eq!(
        (config.store.as_str(), config.state_dir.as_path()),
        ("s", Path::new("/tmp/s"))
    );
    let folder = Folder::with_defaults("by-hand", Path::new("/tmp/x"), Kind::Orders);
    assert_eq!(
        (folder.name.as_str(), folder.kind),
        ("by-hand", Kind::Orders)
    );
    assert_eq!(folder.settle, Duration::from_secs(10));
    assert_eq!(folder.preset, "auto");
}
