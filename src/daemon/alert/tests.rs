use super::*;

const NOW: i64 = 1_795_612_200_000;
const MINUTE: i64 = 60_000;
const AFTER: Duration = Duration::from_secs(600);

fn todo(kind: &'static str, subject: &str, since: Option<i64>) -> Todo {
    Todo {
        since,
        kind,
        subject: subject.to_owned(),
        text: format!("{kind} {subject}"),
        why: String::new(),
        command: format!("tillsync {kind}"),
        count: 1,
    }
}

fn said(alerts: &[Alert]) -> Vec<String> {
    alerts
        .iter()
        .map(|a| format!("{} {} ×{}: {}", a.event, a.kind, a.count, a.text))
        .collect()
}

/// Notes what it gets, and refuses as long as it is told to.
#[derive(Default)]
struct Ear {
    deaf: bool,
    heard: Vec<String>,
    posted: Vec<String>,
}

impl Outlets for Ear {
    fn run(&mut self, _: &[String], json: &str) -> Result<(), String> {
        if self.deaf {
            return Err("deaf".to_owned());
        }
        let alert: Alert = serde_json::from_str(json).unwrap();
        self.heard.push(said(&[alert]).remove(0));
        Ok(())
    }

    fn post(&mut self, _: &str, json: &str) -> Result<(), String> {
        self.posted.push(json.to_owned());
        Ok(())
    }
}

fn settings(webhook: bool) -> config::Alert {
    config::Alert {
        command: vec!["tell-it".to_owned()],
        webhook: webhook.then(|| "http://127.0.0.1:1/".to_owned()),
        heartbeat: None,
        after: AFTER,
        away_after: Duration::from_secs(4 * 3600),
    }
}

#[test]
fn once_when_it_begins_and_once_when_it_is_over() {
    let mut memory = Memory::default();
    let todos = [todo("held", "17", Some(NOW))];
    let mut at = |todos: &[Todo], now| {
        // Over a restart after each look.
        let mut kept = Memory::from_json(Some(&memory.to_json()));
        let alerts = said(&due(todos, &mut kept, "s", now, AFTER));
        memory = kept;
        alerts
    };
    assert_eq!(at(&todos, NOW), [""; 0]);
    assert_eq!(at(&todos, NOW + 9 * MINUTE), [""; 0]);
    assert_eq!(at(&todos, NOW + 10 * MINUTE), ["begin held ×1: held 17"]);
    assert_eq!(at(&todos, NOW + 11 * MINUTE), [""; 0]);
    assert_eq!(at(&[], NOW + 12 * MINUTE), ["end held ×1: Over: held 17"]);
    assert_eq!(at(&[], NOW + 13 * MINUTE), [""; 0]);
}

#[test]
fn what_does_not_last_is_not_told() {
    let mut memory = Memory::default();
    let disk = [todo("disk", "", None)];
    let mut at = |todos: &[Todo], now| said(&due(todos, &mut memory, "s", now, AFTER));
    assert_eq!(at(&disk, NOW), [""; 0]);
    assert_eq!(at(&[], NOW + 5 * MINUTE), [""; 0]);
    // Again: counted from now on.
    assert_eq!(at(&disk, NOW + 6 * MINUTE), [""; 0]);
    assert_eq!(at(&disk, NOW + 15 * MINUTE), [""; 0]);
    assert_eq!(at(&disk, NOW + 16 * MINUTE), ["begin disk ×1: disk "]);
}

#[test]
fn a_link_that_is_away_has_had_its_patience() {
    let mut memory = Memory::default();
    let away = [todo("away", "", Some(NOW))];
    assert_eq!(said(&due(&away, &mut memory, "s", NOW + 1, AFTER)).len(), 1);
}

#[test]
fn a_hundred_of_a_kind_are_one_alert() {
    let mut memory = Memory::default();
    let todos: Vec<Todo> = (0..100)
        .map(|n| todo("held", &n.to_string(), Some(NOW - n * MINUTE)))
        .collect();
    let alerts = due(&todos, &mut memory, "s", NOW + 10 * MINUTE, AFTER);
    assert_eq!(
        said(&alerts),
        ["begin held ×100: held 99; and 99 more like it"]
    );
    assert_eq!(alerts[0].since, iso(NOW - 99 * MINUTE));
    // One that ends while the others stand is over; one more that comes is told.
    let alerts = due(&todos[1..], &mut memory, "s", NOW + 11 * MINUTE, AFTER);
    assert_eq!(said(&alerts), ["end held ×1: Over: held 0"]);
}

#[test]
fn a_clock_that_jumps_neither_silences_nor_repeats() {
    let mut memory = Memory::default();
    let todos = [todo("held", "1", Some(NOW + 1_000 * MINUTE))];
    assert_eq!(said(&due(&todos, &mut memory, "s", NOW, AFTER)), [""; 0]);
    assert_eq!(
        said(&due(&todos, &mut memory, "s", NOW + 10 * MINUTE, AFTER)).len(),
        1
    );
    assert_eq!(
        said(&due(&todos, &mut memory, "s", NOW - 10 * MINUTE, AFTER)),
        [""; 0]
    );
}

#[test]
fn what_was_not_taken_is_kept_and_summed_up() {
    let mut memory = Memory::default();
    let mut ear = Ear {
        deaf: true,
        ..Ear::default()
    };
    let settings = settings(false);
    let at = |todos: &[Todo], memory: &mut Memory, ear: &mut Ear, now| {
        *memory = Memory::from_json(Some(&memory.to_json()));
        tell(&settings, "s", todos, memory, ear, now);
    };
    let one = todo("held", "1", Some(NOW - 10 * MINUTE));
    let two = todo("held", "2", Some(NOW - 9 * MINUTE));
    let disk = todo("disk", "", Some(NOW - 10 * MINUTE));
    at(&[one.clone(), disk.clone()], &mut memory, &mut ear, NOW);
    at(
        &[one.clone(), two.clone(), disk],
        &mut memory,
        &mut ear,
        NOW + MINUTE,
    );
    at(
        &[one.clone(), two.clone()],
        &mut memory,
        &mut ear,
        NOW + 2 * MINUTE,
    );
    assert_eq!(ear.heard, [""; 0]);
    ear.deaf = false;
    // Not before its next try, two minutes after the second failure.
    at(
        &[one.clone(), two.clone()],
        &mut memory,
        &mut ear,
        NOW + 2 * MINUTE + 1,
    );
    assert_eq!(ear.heard, [""; 0]);
    at(
        &[one.clone(), two.clone()],
        &mut memory,
        &mut ear,
        NOW + 3 * MINUTE,
    );
    assert_eq!(
        ear.heard,
        [
            "end disk ×1: Over: disk ",
            "begin held ×2: held 1; and then: held 2"
        ]
    );
    ear.heard.clear();
    at(&[], &mut memory, &mut ear, NOW + 4 * MINUTE);
    assert_eq!(ear.heard, ["end held ×2: Over: held 1; and 1 more like it"]);
}

#[test]
fn an_outlet_that_fails_for_weeks_keeps_little() {
    let mut memory = Memory::default();
    let mut ear = Ear {
        deaf: true,
        ..Ear::default()
    };
    let settings = settings(false);
    for n in 0..5_000i64 {
        let todos = [
            todo("held", &n.to_string(), Some(NOW)),
            todo("disk", "", None),
        ];
        let todos = if n % 3 == 0 { &todos[..1] } else { &todos[..] };
        tell(
            &settings,
            "s",
            todos,
            &mut memory,
            &mut ear,
            NOW + n * 11 * MINUTE,
        );
    }
    assert!(
        memory.to_json().len() < 20_000,
        "{}",
        memory.to_json().len()
    );
    ear.deaf = false;
    tell(
        &settings,
        "s",
        &[],
        &mut memory,
        &mut ear,
        NOW + 6_000 * 11 * MINUTE,
    );
    assert!(ear.heard.len() <= 2, "{:?}", ear.heard);
}

#[test]
fn each_outlet_gets_its_own() {
    let mut memory = Memory::default();
    let mut ear = Ear {
        deaf: true,
        ..Ear::default()
    };
    let settings = settings(true);
    let todos = [todo("held", "1", Some(NOW - 10 * MINUTE))];
    tell(&settings, "paris-03", &todos, &mut memory, &mut ear, NOW);
    assert_eq!(
        ear.posted,
        [format!(
            r#"{{"store":"paris-03","event":"begin","kind":"held","since":"{}","text":"held 1","command":"tillsync held","count":1}}"#,
            iso(NOW - 10 * MINUTE)
        )]
    );
    ear.deaf = false;
    tell(
        &settings,
        "paris-03",
        &todos,
        &mut memory,
        &mut ear,
        NOW + MINUTE,
    );
    assert_eq!((ear.posted.len(), ear.heard.len()), (1, 1));
}

#[test]
fn a_program_gets_the_object_and_is_not_waited_for_for_ever() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let shell = |script: &str| ["sh", "-c", script].map(String::from).to_vec();
    let to = shell(&format!("cat > {}", out.display()));
    run(&to, r#"{"kind":"test"}"#, WITHIN).unwrap();
    assert_eq!(
        std::fs::read_to_string(&out).unwrap(),
        "{\"kind\":\"test\"}\n"
    );
    assert_eq!(
        run(&shell("exit 3"), "{}", WITHIN),
        Err("sh ended with 3".to_owned())
    );
    assert_eq!(
        run(&shell("exec sleep 600"), "{}", Duration::ZERO),
        Err("sh did not end within 0 s".to_owned())
    );
    assert_eq!(
        run(&["/nonexistent/tell-it".to_owned()], "{}", WITHIN),
        Err("/nonexistent/tell-it: does not exist".to_owned())
    );
}

/// A web server for one request; gives back what it got.
fn once(answer: &'static str) -> (String, std::thread::JoinHandle<String>) {
    use std::io::Read;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hook?secret=1", listener.local_addr().unwrap());
    let thread = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut got = Vec::new();
        let mut buffer = [0; 4096];
        while !got.ends_with(b"}") {
            let n = stream.read(&mut buffer).unwrap();
            got.extend_from_slice(&buffer[..n]);
        }
        stream.write_all(answer.as_bytes()).unwrap();
        String::from_utf8(got).unwrap()
    });
    (url, thread)
}

#[test]
fn a_webhook_is_posted_to_and_its_address_told_to_nobody() {
    let config = Config::with_defaults("s", std::path::Path::new("/nonexistent"));
    let mut outlets = HostOutlets::new(&config);
    let (url, server) = once("HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n");
    outlets.post(&url, r#"{"kind":"test"}"#).unwrap();
    let got = server.join().unwrap();
    assert!(got.starts_with("POST /hook?secret=1 HTTP/1.1\r\n"), "{got}");
    assert!(
        got.to_ascii_lowercase()
            .contains("content-type: application/json"),
        "{got}"
    );
    assert!(got.ends_with(r#"{"kind":"test"}"#), "{got}");
    let (url, server) =
        once("HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:9/\r\nconnection: close\r\n\r\n");
    assert_eq!(outlets.post(&url, "{}"), Err("it answered 302".to_owned()));
    server.join().unwrap();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/secret", closed.local_addr().unwrap());
    drop(closed);
    assert_eq!(outlets.post(&url, "{}"), Err("no connection".to_owned()));
}

#[test]
fn a_test_reaches_every_outlet() {
    let mut config = Config::with_defaults("paris-03", std::path::Path::new("/nonexistent"));
    let mut ear = Ear::default();
    assert!(test(&config, &mut ear, NOW).is_empty(), "none is set");
    config.alert = settings(true);
    config.alert.heartbeat = Some("http://127.0.0.1:1/".to_owned());
    let results = test(&config, &mut ear, NOW);
    let names: Vec<_> = results
        .iter()
        .map(|(name, result)| (*name, result.is_ok()))
        .collect();
    assert_eq!(
        names,
        [("command", true), ("webhook", true), ("heartbeat", true)]
    );
    assert_eq!(ear.heard.len(), 2);
    assert!(ear.posted[2].contains(r#""pending":0"#));
}

#[test]
fn a_heartbeat_says_little() {
    let facts = crate::status::example::away();
    let status = Status::new(facts, NOW, &crate::status::example::paris());
    assert_eq!(
        heartbeat(&status),
        r#"{"store":"paris-03","version":"0.1.0","pending":312,"parked":0,"oldest_pending":"2026-11-25T11:31:00.000Z"}"#
    );
}
