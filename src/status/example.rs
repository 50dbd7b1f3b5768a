//! A made-up host in every state that people will see, for tests and for pictures of the page.

use std::path::PathBuf;
use std::time::Duration;

use jiff::tz::TimeZone;

use super::facts::*;
use crate::config::Expect;
use crate::kind::Kind;

/// Wednesday, 25 November 2026, 14:10 in Paris.
pub const NOW: i64 = 1_795_612_200_000;

pub const MINUTE: i64 = 60_000;
pub const HOUR: i64 = 60 * MINUTE;
pub const DAY: i64 = 24 * HOUR;

pub fn paris() -> TimeZone {
    TimeZone::get("Europe/Paris").expect("the zone's data is built in")
}

fn folder(name: &str, kind: Kind) -> Folder {
    Folder {
        name: name.to_owned(),
        path: PathBuf::from(format!("/srv/drop/{name}")),
        kind,
        preset: "auto".to_owned(),
        note: None,
        expect: None,
        timezone: None,
        state: FolderState::Watched,
        state_since: Some(NOW - 3 * DAY),
        reason: None,
        waiting: 0,
        waiting_files: Vec::new(),
        foreign: 0,
        foreign_names: Vec::new(),
        last_file: None,
        came: None,
        known_since: Some(NOW - 40 * DAY),
    }
}

pub fn file(id: i64, folder: &str, name: &str) -> FileFact {
    FileFact {
        id,
        folder: folder.to_owned(),
        name: name.to_owned(),
        reason: None,
        since: NOW - 2 * HOUR,
        rows: 0,
        rejected: 0,
        codes: Vec::new(),
        rejects_names: Vec::new(),
    }
}

fn stored(
    id: i64,
    name: &str,
    preset: &str,
    at: i64,
    rows: u64,
    new: u64,
    changed: u64,
) -> LastFile {
    LastFile {
        id,
        name: name.to_owned(),
        state: "stored".to_owned(),
        reason: None,
        preset: Some(preset.to_owned()),
        at,
        rows,
        new,
        changed,
        unchanged: rows - new - changed,
        deleted: 0,
        rejected: 0,
        skipped: 0,
    }
}

/// Just installed: credentials are set, no file has come.
pub fn fresh() -> Facts {
    Facts {
        store: "paris-03".to_owned(),
        version: "0.1.0".to_owned(),
        state_dir: PathBuf::from("/var/lib/tillsync"),
        daemon: Some(Daemon {
            pid: 4711,
            since: NOW - 2 * MINUTE,
        }),
        created: Some(NOW - 2 * MINUTE),
        link: Link {
            state: Some(LinkState::Up),
            since: Some(NOW - 2 * MINUTE),
            until: None,
            reason: None,
        },
        budget: Budget {
            limit: Some(100),
            period: Some("minute".to_owned()),
            used: Some(1),
            share: Some(50),
            remaining: Some(98),
        },
        folders: ["customers", "products", "orders"]
            .into_iter()
            .zip([Kind::Customers, Kind::Products, Kind::Orders])
            .map(|(name, kind)| Folder {
                known_since: Some(NOW - 2 * MINUTE),
                state_since: Some(NOW - 2 * MINUTE),
                ..folder(name, kind)
            })
            .collect(),
        disk: Some(Disk {
            free: 41_300_000_000,
            size: 64_000_000_000,
            min_free: 200_000_000,
        }),
        database_bytes: 180_000,
        nobody_alerted: true,
        away_after: Duration::from_secs(4 * 3600),
        ..Facts::default()
    }
}

/// Everything runs, nothing waits.
pub fn well() -> Facts {
    let mut facts = fresh();
    facts.daemon = Some(Daemon {
        pid: 4711,
        since: NOW - 3 * DAY,
    });
    facts.created = Some(NOW - 40 * DAY);
    facts.link.since = Some(NOW - 2 * DAY);
    facts.budget.used = Some(12);
    facts.budget.remaining = Some(71);
    facts.cycle = Some(Cycle {
        calls: 100_000,
        used: 31_210,
        begun: NOW - 24 * DAY - 14 * HOUR,
        ends: NOW + 5 * DAY + 10 * HOUR,
    });
    facts.stored = Counts {
        customers: 812_301,
        products: 4_210,
        skus: 19_877,
        orders: 160_442,
    };
    facts.confirmed = facts.stored;
    facts.files.stored = 412;
    facts.rejected = 3;
    facts.last_delivered = Some(NOW - 3 * MINUTE);
    facts.last_request = Some(NOW - 3 * MINUTE);
    facts.database_bytes = 512_000_000;
    facts.wal_bytes = 4_100_000;
    facts.last_backup = Some(NOW - 10 * HOUR);
    facts.nobody_alerted = false;
    facts.ever = Ever {
        requests: 91_233,
        files: 421,
        changes: 1_204_551,
    };
    facts.folders[0].note = Some("nightly job 17 of the ERP".to_owned());
    facts.folders[0].expect = Some(Expect::By {
        days: [true, true, true, true, true, true, false],
        hour: 6,
        minute: 30,
    });
    facts.folders[0].last_file = Some(stored(
        419,
        "kunden-2026-11-25.csv",
        "woo-customers",
        NOW - 12 * HOUR,
        812_340,
        39,
        212,
    ));
    facts.folders[0].came = Some(NOW - 12 * HOUR);
    facts.folders[1].last_file = Some(stored(
        407,
        "catalogue.csv",
        "plain",
        NOW - 4 * DAY,
        4_210,
        0,
        0,
    ));
    facts.folders[1].came = Some(NOW - 4 * DAY);
    facts.folders[1].foreign = 2;
    facts.folders[1].foreign_names = vec!["readme.docx".to_owned(), "old prices.xlsx".to_owned()];
    facts.folders[2].expect = Some(Expect::Every(Duration::from_secs(3600)));
    facts.folders[2].last_file = Some(stored(
        421,
        "orders-1400.csv",
        "woo-orders",
        NOW - 9 * MINUTE,
        37,
        37,
        0,
    ));
    facts.folders[2].came = Some(NOW - 9 * MINUTE);
    for folder in &mut facts.folders {
        folder.known_since = Some(NOW - 40 * DAY);
    }
    facts
}

/// A file is being read, and thousands of changes are on their way.
pub fn busy() -> Facts {
    let mut facts = well();
    facts.files.reading = 1;
    facts.files.waiting = 2;
    facts.folders[0].waiting = 2;
    facts.folders[0].waiting_files = vec![
        WaitingFile {
            name: "kunden-nachtrag.csv".to_owned(),
            since: Some(NOW - 20_000),
            why: "was just written".to_owned(),
        },
        WaitingFile {
            name: "kunden-gross.csv".to_owned(),
            since: Some(NOW - 3 * MINUTE),
            why: "is still open".to_owned(),
        },
    ];
    facts.reading = vec![FileFact {
        since: NOW - 40_000,
        ..file(422, "customers", "kunden-2026-11-25-neu.csv")
    }];
    facts.pending = Counts {
        customers: 18_420,
        products: 0,
        skus: 61,
        orders: 4,
    };
    facts.in_flight = Counts {
        customers: 5_000,
        ..Counts::default()
    };
    facts.confirmed.customers -= 18_420;
    facts.confirmed.skus -= 61;
    facts.confirmed.orders -= 4;
    facts.oldest_pending = Some(NOW - 6 * MINUTE);
    facts.oldest_due = Some(NOW - 6 * MINUTE);
    facts.last_request = Some(NOW - 2_000);
    facts.last_delivered = Some(NOW - 2_000);
    facts.budget.used = Some(44);
    facts.budget.remaining = Some(39);
    facts
}

pub fn away() -> Facts {
    let mut facts = well();
    facts.link = Link {
        state: Some(LinkState::Away),
        since: Some(NOW - 100 * MINUTE),
        until: Some(NOW + 3 * MINUTE),
        reason: Some("no answer within 10 s".to_owned()),
    };
    facts.pending = Counts {
        customers: 251,
        products: 0,
        skus: 0,
        orders: 61,
    };
    facts.confirmed.customers -= 251;
    facts.confirmed.orders -= 61;
    facts.oldest_pending = Some(NOW - 99 * MINUTE);
    facts.oldest_due = Some(NOW - 99 * MINUTE);
    facts.last_delivered = Some(NOW - 101 * MINUTE);
    facts.last_error = Some(LastError {
        at: NOW - 2 * MINUTE,
        code: "no answer".to_owned(),
        message: "GET /v1/customers had no answer".to_owned(),
    });
    facts
}

/// So long that somebody should look.
pub fn away_long() -> Facts {
    let mut facts = away();
    facts.link.since = Some(NOW - 9 * HOUR);
    facts
}

pub fn refused() -> Facts {
    let mut facts = away();
    facts.link = Link {
        state: Some(LinkState::Refused),
        since: Some(NOW - 100 * MINUTE),
        until: None,
        reason: Some("401 on GET /v1/customers".to_owned()),
    };
    facts
}

pub fn limited() -> Facts {
    let mut facts = away();
    facts.link = Link {
        state: Some(LinkState::Limited),
        since: Some(NOW - 20_000),
        until: Some(NOW + 40_000),
        reason: Some("429: the project's limit of 100 calls a minute".to_owned()),
    };
    facts
}

pub fn paused() -> Facts {
    let mut facts = away();
    facts.link = well().link;
    facts.paused = Some(Pause {
        since: NOW - HOUR,
        until: Some(NOW + HOUR),
    });
    facts
}

pub fn parked() -> Facts {
    let mut facts = well();
    facts.parked = Counts {
        customers: 14,
        products: 0,
        skus: 3,
        orders: 0,
    };
    facts.confirmed.customers -= 14;
    facts.confirmed.skus -= 3;
    facts.parked_groups = vec![
        ParkedGroup {
            kind: Kind::Customers,
            code: "invalid_customer".to_owned(),
            count: 12,
            since: NOW - 26 * HOUR,
        },
        ParkedGroup {
            kind: Kind::Skus,
            code: "product_unknown".to_owned(),
            count: 3,
            since: NOW - 3 * HOUR,
        },
        ParkedGroup {
            kind: Kind::Customers,
            code: "duplicate_found".to_owned(),
            count: 2,
            since: NOW - 2 * HOUR,
        },
    ];
    facts
}

/// A full list that would delete too much, a spreadsheet, and rows that could not be stored.
pub fn held() -> Facts {
    let mut facts = well();
    facts.files.held = 1;
    facts.files.unreadable = 1;
    facts.rejected = 15;
    facts.held = vec![FileFact {
        reason: Some("it would delete 48,112 of the 812,301 customers that this folder brought; 5% (40,616) may go without being asked; nothing was changed. If that is right: tillsync accept 422".to_owned()),
        ..file(422, "customers", "kunden-2026-11-25-neu.csv")
    }];
    facts.unreadable = vec![FileFact {
        reason: Some("it is a spreadsheet (xlsx), not a CSV file".to_owned()),
        ..file(423, "products", "prices.csv")
    }];
    facts.rejecting = vec![FileFact {
        rows: 400,
        rejected: 12,
        codes: vec![("number".to_owned(), 9), ("date".to_owned(), 3)],
        rejects_names: vec!["20261125T110203Z-orders-1200.csv.rejects.csv".to_owned()],
        ..file(420, "orders", "orders-1200.csv")
    }];
    facts.folders[0].last_file = Some(LastFile {
        state: "held".to_owned(),
        ..stored(
            422,
            "kunden-2026-11-25-neu.csv",
            "woo-customers",
            NOW - 2 * HOUR,
            0,
            0,
            0,
        )
    });
    facts.folders[1].last_file = Some(LastFile {
        state: "unreadable".to_owned(),
        ..stored(423, "prices.csv", "plain", NOW - 2 * HOUR, 0, 0, 0)
    });
    facts
}

pub fn disk_low() -> Facts {
    let mut facts = well();
    facts.disk = Some(Disk {
        free: 143_000_000,
        size: 64_000_000_000,
        min_free: 200_000_000,
    });
    for folder in &mut facts.folders {
        folder.state = FolderState::Full;
    }
    facts.folders[2].waiting = 1;
    facts.files.waiting = 1;
    facts.folders[2].waiting_files = vec![WaitingFile {
        name: "orders-1410.csv".to_owned(),
        since: Some(NOW - MINUTE),
        why: "waits for room on the disk".to_owned(),
    }];
    facts
}

/// Names that try to be markup, to turn the terminal, or to go on for ever; and thousands of files.
pub fn thousands() -> Facts {
    let mut facts = well();
    facts.files.stored = 48_211;
    facts.files.held = 1_980;
    facts.files.unreadable = 312;
    facts.held = (0..50)
        .map(|n| FileFact {
            since: NOW - 9 * DAY + n * HOUR,
            reason: Some("the column `email` is missing that earlier files had".to_owned()),
            ..file(1000 + n, "customers", &format!("export-{n:04}.csv"))
        })
        .collect();
    facts.held[0].name = "<img src=x onerror=alert(1)>.csv".to_owned();
    facts.held[1].name = format!("{}.csv", "long-".repeat(40));
    facts.folders[0].note = Some("</p><script>alert('note')</script>".to_owned());
    facts.folders[0].waiting = 3_211;
    facts.folders[0].foreign = 4_005;
    facts.folders[0].foreign_names = vec![
        "a\x1b[31m\nb.bin".to_owned(),
        "\"><svg onload=alert(2)>".to_owned(),
    ];
    for n in 0..30 {
        facts.folders.push(Folder {
            last_file: Some(stored(
                2000 + n,
                "list.csv",
                "plain",
                NOW - n * HOUR,
                100,
                1,
                2,
            )),
            came: Some(NOW - n * HOUR),
            ..folder(&format!("branch-{n:02}"), Kind::Skus)
        });
    }
    facts
}

/// No daemon.
pub fn stopped() -> Facts {
    let mut facts = away();
    facts.daemon = None;
    facts.link = Link::default();
    for folder in &mut facts.folders {
        folder.state = FolderState::Unwatched;
    }
    facts
}

/// Two days of points, with a night without the daemon and an hour offline.
pub fn samples() -> Vec<Sample> {
    let mut out = Vec::new();
    let mut pending = 0u64;
    for n in 0..576u64 {
        let at = NOW - 2 * DAY + n as i64 * 5 * MINUTE;
        let hour = (n / 12) % 24;
        if (300..330).contains(&n) {
            continue;
        }
        let offline = (420..470).contains(&n);
        let came = match hour {
            12 if n.is_multiple_of(12) => 5_200,
            3..=11 => 3,
            _ => 40 + (n * 7919 % 60),
        };
        pending += came;
        let delivered = if offline { 0 } else { pending.min(1_400) };
        pending -= delivered;
        out.push(Sample {
            at,
            stored: 990_000 + n * 10,
            pending,
            parked: 2,
            delivered,
            calls: if offline { 3 } else { delivered / 40 + 4 },
        });
    }
    out
}

/// Every state with its name.
pub fn all() -> Vec<(&'static str, Facts)> {
    vec![
        ("fresh", fresh()),
        ("well", well()),
        ("busy", busy()),
        ("away", away()),
        ("away-long", away_long()),
        ("refused", refused()),
        ("limited", limited()),
        ("paused", paused()),
        ("parked", parked()),
        ("held", held()),
        ("disk-low", disk_low()),
        ("thousands", thousands()),
        ("stopped", stopped()),
    ]
}
