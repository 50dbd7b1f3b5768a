use super::example::{self, NOW, paris};
use super::*;

fn status(facts: Facts) -> Status {
    Status::new(facts, NOW, &paris())
}

#[test]
fn one_line_says_how_it_stands() {
    let expected = [
        (
            "fresh",
            Tone::Well,
            "All is well",
            "No file has come yet. Drop one into a folder below.",
        ),
        (
            "well",
            Tone::Well,
            "All is well",
            "Everything is delivered, last 3 min ago.",
        ),
        (
            "busy",
            Tone::Waiting,
            "Taking in kunden-2026-11-25-neu.csv",
            "18,485 changes wait; nothing to do.",
        ),
        (
            "away",
            Tone::Waiting,
            "Offline since 12:30 CET",
            "312 changes wait; nothing to do.",
        ),
        (
            "away-long",
            Tone::Needs,
            "1 thing needs you",
            "Offline since 05:10 CET; 312 changes wait.",
        ),
        (
            "refused",
            Tone::Needs,
            "1 thing needs you",
            "Nothing is sent since 12:30 CET; 312 changes wait; files are taken in as before.",
        ),
        (
            "limited",
            Tone::Waiting,
            "Waiting for the rate limit until 14:10 CET",
            "312 changes wait; nothing to do.",
        ),
        (
            "paused",
            Tone::Waiting,
            "Delivery is paused until 15:10 CET",
            "312 changes wait; files are taken in as before.",
        ),
        (
            "parked",
            Tone::Needs,
            "3 things need you",
            "Everything else is done.",
        ),
        (
            "held",
            Tone::Needs,
            "3 things need you",
            "Everything else is done.",
        ),
        (
            "disk-low",
            Tone::Needs,
            "1 thing needs you",
            "Everything else is done.",
        ),
        (
            "thousands",
            Tone::Needs,
            "1,980 things need you",
            "Everything else is done.",
        ),
        (
            "stopped",
            Tone::Waiting,
            "Not running",
            "312 changes wait; nothing is taken in or sent. `systemctl start tillsync` starts it.",
        ),
    ];
    let all = example::all();
    assert_eq!(all.len(), expected.len());
    for ((name, facts), (expected_name, tone, text, detail)) in all.into_iter().zip(expected) {
        assert_eq!(name, expected_name);
        let headline = status(facts).headline;
        assert_eq!(
            (
                headline.tone,
                headline.text.as_str(),
                headline.detail.as_str()
            ),
            (tone, text, detail),
            "{name}"
        );
    }
}

#[test]
fn json_is_what_the_contract_says() {
    let json = serde_json::to_value(status(example::held())).unwrap();
    let names = |value: &serde_json::Value| -> Vec<String> {
        value.as_object().unwrap().keys().cloned().collect()
    };
    assert_eq!(
        names(&json),
        [
            "store",
            "version",
            "daemon",
            "link",
            "budget",
            "folders",
            "files",
            "stored",
            "pending",
            "in_flight",
            "parked",
            "rejected",
            "oldest_pending",
            "last_delivered",
            "paused",
            "todo",
            "last_error"
        ]
    );
    assert_eq!(names(&json["daemon"]), ["running", "pid", "since"]);
    assert_eq!(names(&json["link"]), ["state", "since", "until", "reason"]);
    assert_eq!(
        names(&json["budget"]),
        ["limit", "period", "used", "share", "remaining"]
    );
    assert_eq!(
        names(&json["folders"][0]),
        [
            "name",
            "path",
            "kind",
            "preset",
            "state",
            "reason",
            "waiting",
            "foreign",
            "last_file"
        ]
    );
    assert_eq!(
        names(&json["files"]),
        ["waiting", "reading", "held", "stored", "unreadable"]
    );
    for counts in ["stored", "pending", "in_flight", "parked"] {
        assert_eq!(
            names(&json[counts]),
            ["customers", "products", "skus", "orders"]
        );
    }
    assert_eq!(
        names(&json["todo"][0]),
        ["since", "kind", "text", "command"]
    );
    assert_eq!(json["last_delivered"], "2026-11-25T13:07:00.000Z");
    assert_eq!(json["paused"], serde_json::Value::Null);
    assert_eq!(json["stored"]["customers"], 812_301);
    let empty = serde_json::to_value(status(Facts::default())).unwrap();
    assert_eq!(
        empty["daemon"],
        serde_json::json!({"running": false, "pid": null, "since": null})
    );
    assert_eq!(empty["link"]["state"], serde_json::Value::Null);
}

#[test]
fn text_is_plain_without_colour_and_obeys_no_name() {
    for (name, facts) in example::all() {
        let status = status(facts);
        let text = render_text(&status, &paris(), false);
        assert!(!text.contains('\x1b'), "{name}");
        assert!(text.starts_with(&status.headline.text), "{name}");
        let first = text.lines().next().unwrap_or_default();
        assert!(first.ends_with("CET"), "times have a zone: {name}: {first}");
        assert!(
            text.lines().all(|line| !line.ends_with(' ')),
            "{name}: {text}"
        );
        if let Some(dir) = std::env::var_os("TILLSYNC_PICTURES") {
            std::fs::create_dir_all(&dir).unwrap();
            let path = std::path::Path::new(&dir).join(format!("{name}.txt"));
            std::fs::write(path, render_text(&status, &paris(), true)).unwrap();
        }
    }
}
