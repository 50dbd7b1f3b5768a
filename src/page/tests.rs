use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::{Arc, RwLock};

use super::view::{Downloads, STYLE, page, style_path};
use super::*;
use crate::kind::Kind;
use crate::status::example::{self, NOW, paris};
use crate::status::facts::Sample;
use crate::store::Store;

fn draw(name: &str, facts: crate::status::Facts) -> String {
    let samples = if name == "fresh" {
        Vec::new()
    } else {
        example::samples()
    };
    let status = Status::new(facts, NOW, &paris());
    page(&status, &samples, Downloads::Closed, &paris()).into_string()
}

/// With `TILLSYNC_PICTURES=<dir>` each state's page is written there, for a browser to look at.
#[test]
fn every_state_has_its_page() {
    for (name, facts) in example::all() {
        let html = draw(name, facts);
        assert!(html.contains("<h1>"), "{name}");
        for never in [
            "<script",
            "style=",
            "onload=",
            "onerror=",
            "http://",
            "https://",
            "javascript:",
        ] {
            let found = html
                .match_indices(never)
                .find(|(at, _)| !in_text(&html, *at));
            assert_eq!(found, None, "{name}");
        }
        if let Some(dir) = std::env::var_os("TILLSYNC_PICTURES") {
            let dir = Path::new(&dir);
            std::fs::create_dir_all(dir).unwrap();
            std::fs::write(dir.join("style.css"), STYLE).unwrap();
            let html = html.replace(&style_path(), "style.css");
            std::fs::write(dir.join(format!("{name}.html")), html).unwrap();
        }
    }
}

/// Outside of any tag.
fn in_text(html: &str, at: usize) -> bool {
    html[..at].rfind('<') < html[..at].rfind('>')
}

#[test]
fn names_are_text_whatever_they_hold() {
    let html = draw("thousands", example::thousands());
    assert!(html.contains("&lt;img src=x onerror=alert(1)&gt;.csv"));
    assert!(html.contains("&lt;/p&gt;&lt;script&gt;alert('note')"));
    assert!(!html.contains("<img") && !html.contains("<script") && !html.contains("<svg onload"));
    assert!(!html.contains('\x1b'));
    assert!(html.contains("And 41 more"), "to-dos are limited");
    assert!(html.len() < 200_000, "{}", html.len());
}

#[test]
fn what_a_reader_by_ear_needs_is_there() {
    let html = draw("held", example::held());
    for part in [
        "<html lang=\"en\">",
        "<header>",
        "<main>",
        "<footer>",
        "scope=\"col\"",
        "scope=\"row\"",
        "role=\"img\"",
        "name=\"viewport\"",
        "http-equiv=\"refresh\"",
    ] {
        assert!(html.contains(part), "{part}");
    }
    assert_eq!(html.matches("<h1>").count(), 1);
    let ids: Vec<&str> = html
        .split(" id=\"")
        .skip(1)
        .map(|rest| rest.split('"').next().unwrap())
        .collect();
    for reference in html.split("aria-labelledby=\"").skip(1) {
        let id = reference.split('"').next().unwrap();
        assert!(ids.contains(&id), "{id}");
    }
}

#[test]
fn a_picture_of_any_history_can_be_drawn() {
    let point = |minutes: i64, pending| Sample {
        at: NOW + minutes * 60_000,
        pending,
        delivered: pending,
        ..Sample::default()
    };
    let histories: [&[Sample]; 6] = [
        &[],
        &[point(0, 0)],
        &[point(-10, 0), point(-5, 0)],
        &[point(-2880, u64::MAX >> 12), point(0, 1)],
        &[point(-9000, 5), point(9000, 5)],
        &[point(-5, 1), point(-10, 2)],
    ];
    for samples in histories {
        let drawn = chart::picture(samples, NOW, &paris()).into_string();
        assert!(!drawn.contains("NaN") && !drawn.contains("inf"), "{drawn}");
        assert!(!drawn.contains("width=\"-"), "{drawn}");
    }
}

#[test]
fn metrics_hold_what_is_known_and_nothing_personal() {
    let health = Health::new();
    let tz = paris();
    for (name, facts) in example::all() {
        let status = Status::new(facts, NOW, &tz);
        let text = metrics::render(&status, &health, server::process(), &tz);
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (_, value) = line.rsplit_once(' ').unwrap();
            assert!(value.parse::<f64>().is_ok(), "{name}: {line}");
        }
        assert!(!text.contains(".csv"), "{name}: file names are no labels");
        judged_by_promtool(&text);
    }
    let text = metrics::render(
        &Status::new(example::busy(), NOW, &tz),
        &health,
        Default::default(),
        &tz,
    );
    for line in [
        "tillsync_records_pending{kind=\"customers\"} 18420",
        "tillsync_link_state{state=\"up\"} 1",
        "tillsync_folder_waiting_files{folder=\"customers\"} 2",
        "tillsync_last_delivery_timestamp_seconds 1795612198",
        "tillsync_todos{kind=\"held\"} 0",
        "# TYPE tillsync_requests_total counter",
    ] {
        assert!(text.lines().any(|l| l == line), "{line}\n{text}");
    }
}

#[test]
fn rules_and_dashboard_name_metrics_that_there_are() {
    let text = {
        let mut facts = example::busy();
        facts.last_error = example::away().last_error;
        let status = Status::new(facts, NOW, &paris());
        metrics::render(&status, &Health::new(), server::process(), &paris())
    };
    let of = |text: &str| -> std::collections::BTreeSet<String> {
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let ours = words.filter(|w| w.starts_with("tillsync_") || w.starts_with("process_"));
        ours.map(String::from).collect()
    };
    let there = of(&text);
    for (name, text) in [
        (
            "rules",
            include_str!("../../packaging/prometheus-rules.yml"),
        ),
        (
            "dashboard",
            include_str!("../../packaging/grafana-dashboard.json"),
        ),
    ] {
        let missing: Vec<_> = of(text).difference(&there).cloned().collect();
        assert_eq!(missing, [""; 0], "{name}");
    }
}

/// Where promtool is installed, its opinion counts.
#[track_caller]
fn judged_by_promtool(text: &str) {
    use std::process::{Command, Stdio};
    let promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut promtool) = promtool else { return };
    promtool
        .stdin
        .take()
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    let out = promtool.wait_with_output().unwrap();
    assert!(
        out.status.success() && out.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
}

/// A running page over a store of its own.
struct Running {
    page: Page,
    health: Arc<Health>,
    config: Arc<RwLock<Arc<Config>>>,
    store: Store,
    dir: tempfile::TempDir,
}

fn running(change: impl FnOnce(&mut Config, &Path)) -> Running {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let mut config = Config::with_defaults("paris-03", dir.path());
    let drop_folder = dir.path().join("drop");
    std::fs::create_dir(&drop_folder).unwrap();
    config.folders = vec![crate::config::Folder::with_defaults(
        "customers",
        &drop_folder,
        Kind::Customers,
    )];
    config.local.listen = Some("127.0.0.1:0".parse().unwrap());
    change(&mut config, dir.path());
    let config = Arc::new(RwLock::new(Arc::new(config)));
    let health = Arc::new(Health::new());
    let page = start(Sources {
        config: config.clone(),
        health: health.clone(),
        daemon: Daemon {
            pid: 7,
            since: crate::status::collect::wall_clock() - 60_000,
        },
        tz: paris(),
    });
    Running {
        page: page.unwrap().unwrap(),
        health,
        config,
        store,
        dir,
    }
}

impl Running {
    fn ask(&self, head: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.page.address()).unwrap();
        write!(stream, "{head}\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let status = answer.split(' ').nth(1).and_then(|s| s.parse().ok());
        (status.unwrap_or(0), answer)
    }

    fn get(&self, path: &str) -> (u16, String) {
        self.ask(&format!("GET {path} HTTP/1.1\r\nHost: localhost"))
    }
}

#[test]
fn a_browser_gets_a_page_that_trusts_nobody() {
    let running = running(|_, _| {});
    let (status, answer) = running.get("/");
    assert_eq!(status, 200, "{answer}");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let head = head.to_ascii_lowercase();
    for header in [
        "content-security-policy: default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        "x-content-type-options: nosniff",
        "x-frame-options: deny",
        "referrer-policy: no-referrer",
        "cache-control: no-store",
        "content-type: text/html; charset=utf-8",
    ] {
        assert!(head.contains(header), "{header}\n{head}");
    }
    assert!(body.contains("All is well"), "{body}");
    let (status, style) = running.get(&style_path());
    assert_eq!(status, 200);
    assert!(style.contains("immutable") && style.ends_with(STYLE));
    for icon in ["well", "waiting", "needs"] {
        assert_eq!(running.get(&format!("/icon-{icon}.svg")).0, 200);
    }
    assert_eq!(running.get("/nothing").0, 404);
    assert_eq!(
        running.get("/rejects/1/0").0,
        403,
        "no contents without a password"
    );
}

#[test]
fn only_reading_and_only_under_its_own_name() {
    let running = running(|_, _| {});
    assert_eq!(running.ask("GET / HTTP/1.1\r\nHost: evil.example").0, 421);
    assert_eq!(
        running.ask("GET /metrics HTTP/1.1\r\nHost: evil.example").0,
        421
    );
    assert_eq!(running.ask("GET / HTTP/1.0").0, 421);
    assert_eq!(
        running
            .ask("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0")
            .0,
        405
    );
    let (status, answer) = running.ask("HEAD / HTTP/1.1\r\nHost: localhost");
    assert_eq!(status, 200);
    assert!(answer.ends_with("\r\n\r\n"), "no body");
    let long = format!(
        "GET / HTTP/1.1\r\nHost: localhost\r\nX: {}",
        "x".repeat(100_000)
    );
    let mut stream = TcpStream::connect(running.page.address()).unwrap();
    let _ = stream.write_all(long.as_bytes());
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP/1.1 200"), "a head without end");
}

/// As many as are served together, each with a head that never ends, a byte at a time.
#[test]
fn clients_that_never_end_their_request_lose_their_places() {
    let running = running(|_, _| {});
    let slow: Vec<TcpStream> = (0..server::CONNECTIONS_MAX)
        .map(|_| {
            let mut stream = TcpStream::connect(running.page.address()).unwrap();
            stream.write_all(b"GET / HTTP/1.1\r\nX: ").unwrap();
            stream
        })
        .collect();
    let over = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(std::sync::atomic::Ordering::Relaxed) {
                for mut stream in &slow {
                    // One that was sent away is what we want.
                    let _ = stream.write_all(b"x");
                }
                std::thread::sleep(std::time::Duration::from_millis(200));
            }
        });
        let begun = std::time::Instant::now();
        let status = running.get("/healthz").0;
        over.store(true, std::sync::atomic::Ordering::Relaxed);
        assert_eq!(status, 200);
        assert!(
            begun.elapsed() >= server::HEAD_WITHIN / 2,
            "their places were taken: {:?}",
            begun.elapsed()
        );
        assert!(begun.elapsed() < server::HEAD_WITHIN * 2);
    });
}

#[test]
fn a_monitor_learns_whether_it_works() {
    let running = running(|_, _| {});
    assert_eq!(running.get("/readyz").0, 503);
    running.health.set_ready(true);
    assert_eq!(running.get("/readyz").0, 200);
    assert_eq!(running.get("/healthz").0, 200);
    let (status, metrics) = running.get("/metrics");
    assert_eq!(status, 200);
    let body = metrics.split_once("\r\n\r\n").unwrap().1;
    assert!(
        body.contains("tillsync_folder_up{folder=\"customers\"} 1"),
        "{body}"
    );
    judged_by_promtool(body);
}

#[test]
fn a_new_configuration_is_shown_at_once() {
    let running = running(|_, _| {});
    assert!(running.get("/").1.contains("paris-03"));
    let mut config = Config::clone(&running.config.read().unwrap());
    config.store = "lyon-01".to_owned();
    *running.config.write().unwrap() = Arc::new(config);
    assert!(running.get("/").1.contains("lyon-01"));
}

#[test]
fn rejects_files_go_out_behind_the_password_alone() {
    let running = running(|config, dir| {
        use std::os::unix::fs::PermissionsExt;
        let path = dir.join("password");
        std::fs::write(&path, "sesame\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        config.local.password_file = Some(path);
    });
    let rejects = running.dir.path().join("drop/rejects");
    std::fs::create_dir(&rejects).unwrap();
    std::fs::write(rejects.join("a.rejects.csv"), "id,_line\n7,2\n").unwrap();
    std::fs::write(running.dir.path().join("drop/secret.csv"), "secret").unwrap();
    std::os::unix::fs::symlink("../secret.csv", rejects.join("b.rejects.csv")).unwrap();
    let now = crate::status::collect::wall_clock();
    let arrival = crate::store::Arrival {
        folder: "customers".into(),
        kind: Kind::Customers,
        name: b"a.csv".to_vec(),
        shown: "a.csv".into(),
        device: 1,
        inode: 1,
        size: 9,
        mtime_ns: 0,
        by_hand: false,
    };
    let id = running.store.arrive(&arrival, now).unwrap();
    let names = ["a.rejects.csv", "b.rejects.csv", "../secret.csv"].map(String::from);
    running.store.rejects_written(id, &names).unwrap();
    // base64 of `x:sesame`
    let ask = |path: &str, password: &str| {
        running.ask(&format!("GET {path} HTTP/1.1\r\nHost: localhost{password}"))
    };
    let right = "\r\nAuthorization: Basic eDpzZXNhbWU=";
    let path = format!("/rejects/{id}/0");
    let (status, answer) = ask(&path, "");
    assert_eq!(status, 401);
    assert!(
        answer
            .to_ascii_lowercase()
            .contains("www-authenticate: basic realm=\"tillsync\"")
    );
    let (status, answer) = ask(&path, right);
    assert_eq!(status, 200);
    assert!(
        answer.ends_with("id,_line\n7,2\n") && answer.contains("attachment"),
        "{answer}"
    );
    for other in [
        format!("/rejects/{id}/1"),
        format!("/rejects/{id}/2"),
        format!("/rejects/{id}/3"),
        "/rejects/999/0".into(),
        "/rejects/x".into(),
        "/rejects/../../etc/passwd".into(),
    ] {
        assert_eq!(ask(&other, right).0, 404, "{other}");
    }
    assert_eq!(ask("/", right).0, 200);
}

#[test]
fn other_hosts_see_it_behind_a_password_or_not_at_all() {
    let sources = |listen: &str| {
        let mut config = Config::with_defaults("s", Path::new("/nonexistent"));
        config.local.listen = Some(listen.parse().unwrap());
        Sources {
            config: Arc::new(RwLock::new(Arc::new(config))),
            health: Arc::default(),
            daemon: Daemon::default(),
            tz: TimeZone::UTC,
        }
    };
    let refused = start(sources("0.0.0.0:0")).err().unwrap().to_string();
    assert!(refused.contains("password_file"), "{refused}");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let refused = start(sources(&address)).err().unwrap().to_string();
    assert!(
        refused.contains("another program listens there"),
        "{refused}"
    );
}

#[test]
fn without_a_database_it_says_so_little_as_there_is() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config::with_defaults("s", dir.path());
    let mut looker = Looker::new(dir.path());
    let status = looker.status(&config, None, &TimeZone::UTC).unwrap();
    assert_eq!(status.facts.stored.total(), 0);
    assert!(looker.samples(0).unwrap().is_empty());
}

/// By hand, with `--release`: `cargo test --release --lib -- --ignored --nocapture a_million`.
#[test]
#[ignore = "takes a while; measures"]
fn a_million_records_are_shown_within_5_ms() {
    let dir = tempfile::tempdir().unwrap();
    let store = crate::store::status::tests::a_million(dir.path());
    let mut config = Config::with_defaults("s", dir.path());
    config.api.cycle_calls = Some(100_000);
    config.folders = vec![crate::config::Folder::with_defaults(
        "customers",
        dir.path(),
        Kind::Customers,
    )];
    let mut looker = Looker::new(dir.path());
    let mut view = |what: &str| {
        let begun = std::time::Instant::now();
        let status = looker
            .status(&config, Some(Daemon::default()), &paris())
            .unwrap();
        let looked = begun.elapsed();
        let samples = looker.samples(status.now - chart::SPAN_MS).unwrap();
        let html = page(&status, &samples, Downloads::Closed, &paris()).into_string();
        println!(
            "{what}: {:?} ({looked:?} to look, {} bytes)",
            begun.elapsed(),
            html.len()
        );
        begun.elapsed()
    };
    view("first");
    let mut times: Vec<_> = (0..50)
        .map(|n| {
            store.set_integer("anything", n).unwrap();
            view("view")
        })
        .collect();
    times.sort();
    assert!(
        times[25] < std::time::Duration::from_millis(5),
        "{:?}",
        times[25]
    );
}
