//! Five years of nightly exports: what a host's disk holds in the end is its records and the part of
//! the log that `[retention]` keeps, not the years.
//!
//! The real intake, delivery and retention, on simulated time. All but the last weeks come in nights
//! that stand for four weeks each: the same rows, all at once, since what they leave behind is
//! what counts.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::time::Duration;

use super::world::{FOLDERS, Place, World};
use crate::config::{Bulk, Config};
use crate::daemon::keep;
use crate::delivery::tests::world::simulated;
use crate::standin::{self, Limit};

const DAY_MS: i64 = 86_400_000;

/// Five years, one of them with a day more.
const DAYS: i64 = 5 * 365 + 1;

/// Nights that come one by one at the end; more than `[retention]` keeps of the log.
const SINGLE: i64 = 41;

/// Before them, so many nights at once.
const STEP: i64 = 28;

/// Kept of the log, and of the archive: a fifth and a third of the defaults, so that fewer nights tell.
const LOG_DAYS: i64 = 36;
const ARCHIVE_DAYS: i64 = 10;

/// Of the nights at the end, what is old goes in every so many.
const PASS_EVERY: i64 = 10;

/// Nights pass so long until all is delivered.
const NIGHT_MS: u64 = 20_000;

const HEADER: &str = "source_id,name,email,birthdate,metadata.points,deleted\n";

/// Customers before the first night; in each night so many come, change, stay as they are, and are written
/// badly.
const FIRST: i64 = 300;
const NEW: i64 = 1;
const CHANGED: i64 = 16;
const SAME: i64 = 8;
const BAD: i64 = 3;

/// A customer goes in every fourth night.
const GOES_EVERY: i64 = 4;
const ORDERS: i64 = 1;

/// What the shop knows: its customers with the night in which each changed last.
#[derive(Clone, Default)]
struct Shop {
    customers: BTreeMap<i64, i64>,
    next: i64,
    orders: i64,
}

/// One night's two files.
struct Export {
    customers: String,
    orders: String,
}

impl Shop {
    fn new() -> Shop {
        Shop {
            customers: (0..FIRST).map(|n| (n, 0)).collect(),
            next: FIRST,
            orders: 0,
        }
    }

    /// What changed in so many nights, some rows that did not, and some that are bad.
    fn night(&mut self, from: i64, nights: i64) -> Export {
        let (mut rows, mut gone) = (BTreeMap::new(), Vec::new());
        for night in from..from + nights {
            for n in self.next..self.next + NEW {
                rows.insert(n, night);
            }
            self.next += NEW;
            self.customers.extend(&rows);
            let oldest = *self.customers.keys().next().expect("some stay");
            // They are numbered without a gap.
            let many = self.next - oldest;
            for n in 0..CHANGED + SAME {
                let key = oldest + (night * CHANGED + n) % many;
                let changed = self.customers.get_mut(&key).expect("one of them");
                if n < CHANGED {
                    *changed = night;
                }
                rows.insert(key, *changed);
            }
            if night % GOES_EVERY == 0 {
                self.customers.remove(&oldest);
                rows.remove(&oldest);
                gone.push(oldest);
            }
        }
        let mut customers = HEADER.to_owned();
        for (n, night) in rows {
            row(&mut customers, n, night, "1990-02-11", "");
        }
        for n in gone {
            row(&mut customers, n, from, "1990-02-11", "yes");
        }
        for n in 0..BAD * nights {
            row(&mut customers, -1 - n, from, "1990-02-31", "");
        }
        Export {
            customers,
            orders: self.sold(ORDERS * nights, from),
        }
    }

    fn sold(&mut self, many: i64, night: i64) -> String {
        let mut orders =
            "source_id,status,amount,customer.source_id,metadata.created_at\n".to_owned();
        for n in self.orders..self.orders + many {
            let customer = self.customers.keys().next_back().expect("some stay");
            writeln!(orders, "o-{n},PAID,{}.50,c-{customer},{night}", n % 90).unwrap();
        }
        self.orders += many;
        orders
    }

    /// What a shop that begins now would drop first: all customers, all orders there ever were.
    fn whole(&self, night: i64) -> Export {
        let mut shop = self.clone();
        shop.orders = 0;
        let mut customers = HEADER.to_owned();
        for (n, changed) in &self.customers {
            row(&mut customers, *n, *changed, "1990-02-11", "");
        }
        Export {
            customers,
            orders: shop.sold(self.orders, night),
        }
    }
}

fn row(csv: &mut String, n: i64, night: i64, birth: &str, deleted: &str) {
    writeln!(
        csv,
        "c-{n},Customer {n} as of night {night},customer{n}@example.com,{birth},{night},{deleted}"
    )
    .unwrap();
}

/// A host, and the night that it is there.
struct Host {
    world: World,
    /// The world's, with this `[retention]`.
    config: Config,
    night: i64,
}

impl Host {
    fn new() -> Host {
        let settings = standin::Settings {
            limit: Limit {
                calls: 1_000_000,
                ..Limit::default()
            },
            job_base_ms: 0,
            ..standin::Settings::default()
        };
        let world = World::new(1, Bulk::Auto, settings).unwrap();
        let mut config = (*world.config).clone();
        config.retention.log = Duration::from_millis((LOG_DAYS * DAY_MS) as u64);
        config.retention.archive = Duration::from_millis((ARCHIVE_DAYS * DAY_MS) as u64);
        Host {
            world,
            config,
            night: 0,
        }
    }

    /// The files come, are taken in and delivered; the day passes, and what is old goes.
    async fn takes(&mut self, export: &Export, nights: i64) {
        let begun = self.world.now();
        for (place, text) in [
            (folder("till"), &export.customers),
            (folder("orders"), &export.orders),
        ] {
            let name = format!("night-{}.csv", self.night);
            self.world.put(place, &name, text.as_bytes(), true);
        }
        loop {
            self.world.pass(NIGHT_MS, &mut |_| Ok(())).await.unwrap();
            if self.count("SELECT count(*) FROM pending") == 0 {
                break;
            }
        }
        let took = self.world.now() - begun;
        self.world.set_clock(nights * DAY_MS - took);
        self.night += nights;
        // A pass every six hours takes a little; one in many nights takes the same in one go.
        if self.night % PASS_EVERY == 0 || nights > 1 {
            self.lets_go();
        }
    }

    /// What is old goes.
    fn lets_go(&self) {
        let now = self.now();
        self.world
            .command(|store| keep::pass(&self.config, store, now, &mut || true))
            .unwrap();
    }

    fn now(&self) -> i64 {
        use crate::delivery::Clock;
        self.world.clock.wall()
    }

    fn count(&self, sql: &str) -> i64 {
        self.world.count(sql)
    }

    fn pages(&self) -> i64 {
        self.count("PRAGMA page_count")
    }

    fn own(&self, place: &str, own: &str) -> std::path::PathBuf {
        self.world.folder(folder(place)).join(own)
    }
}

fn folder(name: &str) -> &'static Place {
    (FOLDERS.iter().find(|place| place.name == name)).expect("one of the folders")
}

fn files(dir: &Path) -> Vec<fs::DirEntry> {
    fs::read_dir(dir).unwrap().map(Result::unwrap).collect()
}

fn bytes(dir: &Path) -> u64 {
    (files(dir).iter())
        .map(|file| file.metadata().unwrap().len())
        .sum()
}

#[test]
fn five_years_of_nightly_exports_end_with_what_records_and_log_need() {
    simulated(async {
        let (mut old, mut shop) = (Host::new(), Shop::new());
        let mut most = 0;
        old.takes(&shop.whole(0), 1).await;
        while old.night < DAYS - SINGLE {
            let nights = STEP.min(DAYS - SINGLE - old.night);
            let export = shop.night(old.night, nights);
            old.takes(&export, nights).await;
            most = most.max(old.pages());
        }
        // A host that begins here, with the same content.
        let mut fresh = Host::new();
        fresh.takes(&shop.whole(old.night), 1).await;
        for _ in 0..SINGLE {
            let export = shop.night(old.night, 1);
            old.takes(&export, 1).await;
            fresh.takes(&export, 1).await;
            most = most.max(old.pages());
        }

        for host in [&old, &fresh] {
            host.lets_go();
        }

        // It did its work all the while.
        let stored = "SELECT sum(stored) FROM tally";
        let all = [
            ("customers", shop.customers.len()),
            ("orders", shop.orders as usize),
        ];
        for host in [&old, &fresh] {
            assert_eq!(
                host.count(stored),
                all.iter().map(|(_, n)| *n as i64).sum::<i64>()
            );
            for (kind, many) in all {
                let remote = host.world.remote.lock().unwrap();
                assert_eq!(remote.count(kind), many, "{kind}");
            }
        }

        // Nothing of the log is older than what is kept, but each record's newest change.
        let before = old.now() - LOG_DAYS * DAY_MS;
        for older in [
            format!(
                "change c JOIN record r ON r.id = c.record WHERE c.at < {before} AND c.seq <> r.seq"
            ),
            format!("flight WHERE started < {before}"),
            "flight_item WHERE flight NOT IN (SELECT id FROM flight)".to_owned(),
            format!("request WHERE at < {before}"),
            format!("reject JOIN file f ON f.id = file WHERE f.stored < {before}"),
        ] {
            assert_eq!(
                old.count(&format!("SELECT count(*) FROM {older}")),
                0,
                "{older}"
            );
        }
        for table in ["change", "flight", "request", "reject"] {
            let rows = old.count(&format!("SELECT count(*) FROM {table}"));
            assert!(rows >= LOG_DAYS, "{table}: {rows}");
        }

        // So it is as large, and was never larger; what is free is given back.
        let (is, needed) = (old.pages(), fresh.pages());
        assert!(is * 2 <= needed * 3, "{is} pages where {needed} would do");
        assert!(
            most <= is + is / 8,
            "{most} pages in between, {is} in the end"
        );
        assert!(old.count("PRAGMA freelist_count") <= 128);
        for (place, own, days) in [
            ("till", "archive", ARCHIVE_DAYS),
            ("till", "rejects", ARCHIVE_DAYS),
            ("orders", "archive", ARCHIVE_DAYS),
        ] {
            let files = files(&old.own(place, own)).len() as i64;
            assert!(
                (days - 1..=days + 1).contains(&files),
                "{place}/{own}: {files}"
            );
        }
        old.world.kill();
        let (bytes, pages) = (bytes(&old.world.config.state_dir), is as u64);
        assert!(
            bytes <= (pages << 14) + (1 << 20),
            "{bytes} bytes, {pages} pages"
        );
    });
}
