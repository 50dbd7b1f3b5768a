use std::time::Duration;

use super::*;
use crate::config::Expect;
use crate::kind::Kind;
use crate::status::example::{self, DAY, HOUR, MINUTE, NOW, file, paris, well};
use crate::status::facts::*;

fn kinds(facts: &Facts, now: i64) -> Vec<&'static str> {
    todo(facts, now, &paris()).iter().map(|t| t.kind).collect()
}

/// `come` makes exactly one to-do of that kind out of a host that has none, `go` ends it; what it
/// says has to hold `words`, and its command is `command`.
#[track_caller]
fn check(
    kind: &str,
    come: impl Fn(&mut Facts),
    go: impl Fn(&mut Facts),
    words: &[&str],
    command: &str,
) {
    let mut facts = well();
    assert_eq!(kinds(&facts, NOW), [""; 0], "nothing to do at first");
    come(&mut facts);
    let found = todo(&facts, NOW, &paris());
    assert_eq!(found.len(), 1, "{found:#?}");
    let one = &found[0];
    assert_eq!(one.kind, kind);
    assert!(KINDS.contains(&one.kind));
    let said = format!("{}. {}", one.text, one.why);
    for word in words {
        assert!(said.contains(word), "{word:?} in {said:?}");
    }
    assert!(!said.contains("..") && !said.contains("  "), "{said:?}");
    assert_eq!(one.command, command);
    go(&mut facts);
    assert_eq!(kinds(&facts, NOW), [""; 0], "over");
}

fn link(facts: &mut Facts, state: LinkState, since: i64, reason: &str) {
    facts.link.state = Some(state);
    facts.link.since = Some(since);
    facts.link.reason = Some(reason.to_owned());
}

fn up(facts: &mut Facts) {
    facts.link = well().link;
}

#[test]
fn credentials_that_are_refused() {
    check(
        "refused",
        |f| {
            link(
                f,
                LinkState::Refused,
                NOW - HOUR,
                "401 on GET /v1/customers",
            );
            f.pending.orders = 1;
        },
        |f| {
            up(f);
            f.pending.orders = 0;
        },
        &[
            "refuses the credentials",
            "401 on GET",
            "1 change waits there",
        ],
        "tillsync login",
    );
}

#[test]
fn no_credentials_at_all() {
    check(
        "refused",
        |f| link(f, LinkState::Refused, NOW - HOUR, "none set"),
        up,
        &["No credentials are set", "nothing waits there"],
        "tillsync login",
    );
}

#[test]
fn a_share_that_allows_no_call() {
    check(
        "share",
        |f| {
            f.budget.limit = Some(1_999);
            f.budget.share = Some(0);
            f.pending.orders = 2;
        },
        |f| {
            f.budget.share = Some(1);
            f.pending.orders = 0;
        },
        &["allows no call", "1,999 calls", "2 changes wait there"],
        "tillsync check",
    );
}

#[test]
fn another_project() {
    check(
        "rebind",
        |f| {
            f.rebind = Some(Refusal {
                at: Some(NOW - HOUR),
                message: "the credentials are of another project".into(),
            });
        },
        |f| f.rebind = None,
        &["The credentials are of another project."],
        "tillsync rebind",
    );
}

#[test]
fn a_plan_that_is_used_up() {
    check(
        "exhausted",
        |f| {
            link(f, LinkState::Exhausted, NOW - HOUR, "402");
            f.link.until = Some(NOW + 6 * DAY);
        },
        up,
        &["used up", "until Tue 14:10 CET"],
        "tillsync requests",
    );
}

#[test]
fn offline_is_normal_until_it_lasts_long() {
    check(
        "away",
        |f| link(f, LinkState::Away, NOW - 4 * HOUR, "no answer within 10 s"),
        up,
        &["4 h", "No answer within 10 s."],
        "tillsync check --online",
    );
    let mut facts = example::away();
    facts.link.since = Some(NOW - 4 * HOUR + MINUTE);
    assert_eq!(kinds(&facts, NOW), [""; 0]);
    assert_eq!(kinds(&facts, NOW + MINUTE), ["away"]);
}

#[test]
fn delivery_that_stands_with_the_link_up() {
    let stands = |f: &mut Facts| {
        f.pending.orders = 7;
        f.oldest_due = Some(NOW - 11 * MINUTE);
        f.last_request = Some(NOW - 10 * MINUTE);
    };
    check(
        "delivery",
        stands,
        |f| f.last_request = Some(NOW - MINUTE),
        &["stands still", "7 changes wait"],
        "tillsync requests --limit 20",
    );
    // Each of these is a good reason to send nothing.
    let reasons: [fn(&mut Facts); 6] = [
        |f| f.budget.used = f.budget.share,
        |f| {
            f.paused = Some(Pause {
                since: NOW,
                until: None,
            })
        },
        |f| f.oldest_due = None,
        |f| f.daemon = None,
        |f| f.daemon.as_mut().unwrap().since = NOW - MINUTE,
        |f| f.link.since = Some(NOW - MINUTE),
    ];
    for reason in reasons {
        let mut facts = well();
        stands(&mut facts);
        reason(&mut facts);
        assert_eq!(kinds(&facts, NOW), [""; 0]);
    }
}

#[test]
fn intake_that_stands() {
    check(
        "intake",
        |f| {
            f.files.waiting = 1;
            f.claimed_since = Some(NOW - 10 * MINUTE);
        },
        |f| f.files.reading = 1,
        &["Intake stands still"],
        "tillsync files --limit 20",
    );
}

#[test]
fn a_disk_that_is_nearly_full() {
    check(
        "disk",
        |f| f.disk = example::disk_low().disk,
        |f| f.disk.as_mut().unwrap().free = 200_000_000,
        &["143 MB free", "Below 200 MB"],
        "df -h /var/lib/tillsync",
    );
    check(
        "disk",
        |f| {
            f.blocked = Some(Refusal {
                at: Some(NOW - HOUR),
                message: "/srv/drop: 143 MB are free; files wait, delivery goes on".into(),
            });
        },
        |f| f.blocked = None,
        &[
            "not enough room",
            "/srv/drop: 143 MB are free; files wait, delivery goes on.",
        ],
        "df -h /var/lib/tillsync",
    );
}

#[test]
fn a_clock_from_the_past() {
    check(
        "clock",
        |f| f.clock_wrong = true,
        |f| f.clock_wrong = false,
        &["before this program"],
        "timedatectl",
    );
}

#[test]
fn a_folder_that_is_gone_or_closed_to_us() {
    check(
        "folder",
        |f| f.folders[1].state = FolderState::Gone,
        |f| f.folders[1].state = FolderState::Watched,
        &["products cannot be used", "/srv/drop/products"],
        "tillsync check",
    );
    check(
        "folder",
        |f| {
            f.folders[1].state = FolderState::Unreadable;
            f.folders[1].reason = Some("permission denied".into());
        },
        |f| f.folders[1].state = FolderState::Polled,
        &["cannot be read or written", "Permission denied."],
        "tillsync check",
    );
}

#[test]
fn a_held_file() {
    check(
        "held",
        |f| {
            f.files.held = 1;
            f.held = vec![FileFact {
                reason: Some("it would delete 512 of 800 customers".into()),
                ..file(17, "customers", "kunden.csv")
            }];
        },
        |f| {
            f.files.held = 0;
            f.held.clear();
        },
        &[
            "kunden.csv in customers is held",
            "It would delete 512",
            "discard --file 17",
        ],
        "tillsync accept 17",
    );
}

#[test]
fn of_thousands_of_held_files_the_rest_is_counted() {
    let found = todo(&example::thousands(), NOW, &paris());
    let held: Vec<_> = found.iter().filter(|t| t.kind == "held").collect();
    assert_eq!(held.len(), 51);
    assert_eq!(held.iter().map(|t| t.count).sum::<u64>(), 1_980);
    assert!(held.iter().any(|t| t.text == "1,930 more files are held"));
}

#[test]
fn an_unreadable_file() {
    check(
        "unreadable",
        |f| f.unreadable = vec![file(18, "products", "prices.csv")],
        |f| f.unreadable.clear(),
        &[
            "prices.csv in products could not be read",
            "nothing of it was stored",
        ],
        "tillsync files --file 18",
    );
}

#[test]
fn rows_that_were_rejected() {
    check(
        "rejects",
        |f| f.rejecting = example::held().rejecting,
        |f| f.rejecting.clear(),
        &[
            "12 rows of orders-1200.csv in orders could not be stored (9 × number, 3 × date)",
            "`rejects/20261125T110203Z-orders-1200.csv.rejects.csv`",
        ],
        "tillsync rejects --file 420",
    );
}

fn notice(kind: NoticeKind, text: &str) -> Notice {
    Notice {
        at: NOW - HOUR,
        kind,
        folder: "orders".into(),
        text: text.into(),
    }
}

#[test]
fn what_intake_noticed() {
    for (notice_kind, kind, words) in [
        (
            NoticeKind::Permission,
            "permission",
            "A file cannot be read, in orders",
        ),
        (
            NoticeKind::NotMoved,
            "not_moved",
            "A file cannot be moved away, in orders",
        ),
        (
            NoticeKind::Other,
            "notice",
            "Something was noticed, in orders",
        ),
    ] {
        check(
            kind,
            |f| f.notices = vec![notice(notice_kind, "/srv/drop/orders: o.csv stays")],
            |f| f.notices.clear(),
            &[words, "/srv/drop/orders: o.csv stays."],
            "ls -la /srv/drop/orders",
        );
    }
    check(
        "grew",
        |f| {
            f.notices = vec![notice(
                NoticeKind::Grown,
                "o.csv was written to. It was read again",
            )]
        },
        |f| f.notices[0].at = NOW - DAY,
        &["still being written", "It was read again."],
        "ls -la /srv/drop/orders",
    );
}

#[test]
fn parked_records_by_their_reason() {
    let facts = example::parked();
    let found = todo(&facts, NOW, &paris());
    let said: Vec<_> = found
        .iter()
        .map(|t| (t.text.as_str(), t.command.as_str()))
        .collect();
    assert_eq!(
        said,
        [
            (
                "12 customers are parked: invalid_customer",
                "tillsync parked --kind customers"
            ),
            (
                "3 SKUs are parked: product_unknown",
                "tillsync parked --kind skus"
            ),
            (
                "2 customers are parked: duplicate_found",
                "tillsync parked --kind customers"
            ),
        ]
    );
    check(
        "parked",
        |f| {
            f.parked_groups = vec![ParkedGroup {
                count: 1,
                ..example::parked().parked_groups[0].clone()
            }]
        },
        |f| f.parked_groups.clear(),
        &["1 customer is parked: invalid_customer", "tillsync retry"],
        "tillsync parked --kind customers",
    );
}

#[test]
fn a_file_that_waits_too_long() {
    for (name, why, command) in [
        (
            "x.csv",
            "is still open",
            "fuser -v /srv/drop/customers/x.csv",
        ),
        (
            "a b'c.csv",
            "has a second hard link",
            r"ls -l --full-time '/srv/drop/customers/a b'\''c.csv'",
        ),
        (
            "a\x1b[2J;.csv",
            "has no `done` marker",
            "ls -lb /srv/drop/customers",
        ),
    ] {
        check(
            "waiting",
            |f| {
                f.folders[0].waiting_files = vec![WaitingFile {
                    name: name.into(),
                    since: Some(NOW - HOUR),
                    why: why.into(),
                }];
            },
            |f| f.folders[0].waiting_files[0].since = Some(NOW - HOUR + 1),
            &["has been waiting for 1 h", why],
            command,
        );
    }
}

#[test]
fn a_file_that_was_expected() {
    check(
        "expect",
        |f| f.folders[2].came = Some(NOW - 61 * MINUTE),
        |f| f.folders[2].came = Some(NOW - MINUTE),
        &[
            "No file for orders since it was due, 14:09 CET",
            "came 13:09 CET",
        ],
        "ls -la /srv/drop/orders",
    );
    check(
        "expect",
        |f| f.folders[0].came = Some(NOW - 40 * HOUR),
        |f| f.folders[0].came = Some(NOW - MINUTE),
        &["due, 06:30 CET", "nightly job 17 of the ERP"],
        "ls -la /srv/drop/customers",
    );
    check(
        "expect",
        |f| {
            f.folders[1].expect = Some(Expect::Every(Duration::from_secs(86_400)));
        },
        |f| f.folders[1].state = FolderState::Paused,
        &["2 files in it match nothing: readme.docx and old prices.xlsx."],
        "ls -la /srv/drop/products",
    );
}

#[test]
fn a_folders_own_zone_says_when() {
    let mut facts = well();
    facts.folders[0].came = Some(NOW - 40 * HOUR);
    facts.folders[0].timezone = Some("America/New_York".into());
    let found = todo(&facts, NOW, &paris());
    // 08:10 there: 06:30 has passed; its evening before began at 00:30 in Paris, after what came.
    assert_eq!(
        found[0].text,
        "No file for customers since it was due, 06:30 EST"
    );
    assert_eq!(found[0].since, Some(NOW - 100 * MINUTE));
}

#[test]
fn a_job_that_does_not_end() {
    check(
        "job",
        |f| {
            f.jobs = vec![Job {
                remote_id: "aa_1".into(),
                kind: Kind::Customers,
                since: NOW - 25 * HOUR,
                records: 5_000,
            }];
        },
        |f| f.jobs[0].since = NOW - 23 * HOUR,
        &["25 h: 5,000 customers", "aa_1"],
        "tillsync requests --limit 20",
    );
}

#[test]
fn a_configuration_that_was_refused() {
    check(
        "config",
        |f| {
            f.reload_refused = Some(Refusal {
                at: Some(NOW - HOUR),
                message: "tillsync.toml:14:1: unknown key `setle`".into(),
            });
        },
        |f| f.reload_refused = None,
        &["tillsync.toml:14:1", "stays in force"],
        "tillsync check",
    );
}

#[test]
fn a_pause_that_was_forgotten() {
    check(
        "paused",
        |f| {
            f.pending.orders = 2;
            f.paused = Some(Pause {
                since: NOW - 25 * HOUR,
                until: None,
            });
        },
        |f| f.paused.as_mut().unwrap().until = Some(NOW + HOUR),
        &["25 h", "2 changes wait"],
        "tillsync resume",
    );
}

#[test]
fn every_kind_is_ranked_and_the_most_pressing_comes_first() {
    let mut facts = example::held();
    link(&mut facts, LinkState::Refused, NOW - HOUR, "401");
    facts.parked_groups = example::parked().parked_groups;
    let kinds = kinds(&facts, NOW);
    assert_eq!(
        kinds,
        [
            "refused",
            "held",
            "unreadable",
            "parked",
            "parked",
            "parked",
            "rejects"
        ]
    );
}

/// Each kind is a case of `check`, which makes it come and go.
#[test]
fn every_kind_comes_and_goes_by_test() {
    let cases = include_str!("tests.rs");
    for kind in KINDS {
        let case = format!("\n        \"{kind}\",\n");
        let listed = format!("\n            \"{kind}\",\n");
        assert!(
            cases.contains(&case) || cases.contains(&listed),
            "{kind} has no case"
        );
    }
}

#[test]
fn four_fifths_of_the_plans_calls() {
    let cycle = |used, begun| Cycle {
        calls: 100_000,
        used,
        begun,
        ends: begun + 30 * DAY,
    };
    check(
        "cycle",
        |f| f.cycle = Some(cycle(80_000, NOW - 10 * DAY)),
        // A new cycle has begun.
        |f| f.cycle = Some(cycle(12, NOW - HOUR)),
        &["80,000 of the plan's 100,000 calls", "used up before"],
        "tillsync status",
    );
    check(
        "cycle",
        |f| f.cycle = Some(cycle(85_000, NOW - 29 * DAY)),
        |f| f.cycle = Some(cycle(79_999, NOW - 29 * DAY)),
        &["The cycle ends"],
        "tillsync status",
    );
}
