//! What a person does beside the daemon's work: `login`, `check --online`, `forget`, `rebind`.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::{Output, Stdio};

use crate::shop::{APP_ID, Shop, TOKEN, secret_file};

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
