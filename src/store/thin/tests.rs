use super::*;
use crate::kind::Kind;
use crate::store::tests::{Row, batch, end, row};
use crate::store::{Arrival, Begin, Finish};

const DAY: i64 = 86_400_000;

/// A store whose days pass: each is a file of customers, delivered or not, and a pass over the store.
struct Years {
    _dir: tempfile::TempDir,
    store: Store,
    now: i64,
    files: i64,
}

impl Years {
    fn new() -> Years {
        // In memory where the system has a place for it: hundreds of commits.
        let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
        let dir = dir.unwrap();
        let store = Store::open(dir.path()).unwrap();
        Years {
            _dir: dir,
            store,
            now: 1_700_000_000_000,
            files: 0,
        }
    }

    fn sql(&self, statements: &'static str) {
        let done = self.store.write(|c| Ok(c.execute_batch(statements)?));
        done.unwrap();
    }

    fn file(&mut self, rows: &[Row<'_>]) -> i64 {
        self.files += 1;
        let name = format!("{}.csv", self.files);
        let arrival = Arrival {
            folder: "customers".into(),
            kind: Kind::Customers,
            name: name.clone().into_bytes(),
            shown: name.clone(),
            device: 1,
            inode: self.files as u64,
            size: 10,
            mtime_ns: 1,
            by_hand: false,
        };
        let file = self.store.arrive(&arrival, self.now).unwrap();
        let begin = Begin {
            file,
            preset: "plain".into(),
            reading: "{}".into(),
            now: self.now,
        };
        let mut session = self.store.begin_intake(begin).unwrap();
        session
            .apply(batch(Kind::Customers, rows, 2), vec![], "", self.now)
            .unwrap();
        let finish = Finish {
            now: self.now,
            ..end(rows.len() as u64)
        };
        session.finish(finish).unwrap();
        self.store
            .archived(file, Some(&name), &[], self.now)
            .unwrap();
        file
    }

    /// All that waits leaves in one flight with its request, and is acknowledged.
    fn deliver(&self) {
        let now = self.now;
        self.store
            .write(move |c| {
                c.execute(
                    "INSERT INTO flight (kind, channel, state, started, ended) VALUES (1, 'bulk', 'done', ?1, ?1)",
                    [now],
                )?;
                c.execute_batch(
                    "INSERT INTO flight_item (flight, id, seq, fingerprint, outcome)
                       SELECT (SELECT max(id) FROM flight), p.id, r.seq, r.fingerprint, 'acknowledged'
                       FROM pending p JOIN document d ON d.id = p.id
                       JOIN record r ON r.kind = d.kind AND r.source_id = d.source_id;
                     UPDATE record SET acked = fingerprint, acked_seq = seq
                       WHERE (kind, source_id) IN (SELECT d.kind, d.source_id FROM pending p JOIN document d ON d.id = p.id);
                     DELETE FROM pending",
                )?;
                c.execute(
                    "INSERT INTO request (flight, at, method, path, budget, status)
                     VALUES ((SELECT max(id) FROM flight), ?1, 'POST', '/v1/customers/bulk/async', 'bulk', 202)",
                    [now],
                )?;
                Ok(())
            })
            .unwrap();
    }

    fn old(&self, days: i64) -> Old {
        Old {
            log: self.now - days * DAY,
            requests: self.now - days * DAY,
            left: vec![],
        }
    }

    fn thin(&self, days: i64) -> u64 {
        let mut pass = Pass::new(self.old(days));
        while pass.step(&self.store).unwrap() {}
        pass.gone
    }

    fn count(&self, sql: &str) -> i64 {
        let c = self.store.reader().unwrap();
        c.query_row(sql, [], |row| row.get(0)).unwrap()
    }

    #[track_caller]
    fn check(&self, table: &str, expected: i64) {
        assert_eq!(
            self.count(&format!("SELECT count(*) FROM {table}")),
            expected,
            "{table}"
        );
    }
}

fn named(name: &str) -> Row<'static> {
    let json: &'static str = Box::leak(format!("{name:?}").into_boxed_str());
    row("a", &[("name", json)])
}

/// Ten days, each with another name for the same customer.
fn ten_days(delivered: bool) -> Years {
    let mut years = Years::new();
    for day in 0..10 {
        years.file(&[named(&format!("n{day}"))]);
        if delivered {
            years.deliver();
        }
        years.now += DAY;
    }
    years
}

#[test]
fn what_is_old_goes_and_the_newest_of_a_record_stays() {
    let years = ten_days(true);
    years.check("change", 9);
    years.thin(3);
    // Days 7 to 9 are younger than three days.
    years.check("change", 3);
    years.check("flight", 3);
    years.check("flight_item", 3);
    years.check("request", 3);
    years.thin(-1);
    years.check("change", 1);
    years.check("flight", 0);
    years.check("request", 0);
    // That of the creation, and that of the newest change, which is the newest of the folder, too.
    years.check("file", 2);
    let reader = years.store.reader().unwrap();
    let trace = crate::store::trace(&reader, Kind::Customers, "a")
        .unwrap()
        .unwrap();
    assert_eq!(trace.content.get("name"), Some("\"n9\""));
    assert_eq!(years.thin(-1), 0);
}

#[test]
fn what_the_remote_has_not_acknowledged_stays() {
    let years = ten_days(false);
    years.thin(-1);
    years.check("change", 9);
    years.check("pending", 1);
    years.check("file", 10);
}

#[test]
fn what_came_after_the_last_acknowledgement_stays() {
    let mut years = ten_days(true);
    for name in ["later", "latest"] {
        years.file(&[named(name)]);
    }
    years.thin(-1);
    // The one that was acknowledged goes, too: `discard` undoes those after it.
    years.check("change", 2);
}

#[test]
fn a_flight_that_is_open_stays_with_its_request() {
    let years = ten_days(true);
    years.sql("UPDATE flight SET state = 'unknown', ended = NULL WHERE id = 2");
    years.thin(-1);
    years.check("flight WHERE id = 2", 1);
    years.check("flight", 1);
    years.check("flight_item", 1);
    years.check("request", 1);
}

#[test]
fn a_file_that_is_being_read_keeps_what_takes_it_back() {
    let mut years = ten_days(true);
    years.sql("UPDATE file SET state = 'reading', archived = NULL, last_seq = NULL WHERE id = 5");
    years.now += DAY;
    years.thin(-1);
    years.check("change WHERE file = 5", 1);
    years.check("file WHERE id = 5", 1);
}

#[test]
fn a_record_whose_flights_were_thinned_is_still_deleted_at_the_remote() {
    let mut years = ten_days(true);
    years.now += 30 * DAY;
    years.thin(1);
    years.check("flight_item", 0);
    // `rebind` forgets what was acknowledged; the remote may have it all the same.
    years
        .store
        .rebind("project", "x", false, &mut |_| Ok(Vec::new()), years.now)
        .map(drop)
        .unwrap();
    years.file(&[crate::store::tests::gone("a")]);
    years.check("pending", 1);
}

#[test]
fn a_folder_that_leaves_its_files_remembers_them() {
    let years = ten_days(true);
    years.sql("UPDATE file SET archive_name = NULL, hash = randomblob(32)");
    let mut pass = Pass::new(Old {
        left: vec!["customers".into()],
        ..years.old(-1)
    });
    while pass.step(&years.store).unwrap() {}
    years.check("file", 10);
    years.thin(-1);
    years.check("file", 2);
}

#[test]
fn rejects_go_with_their_age() {
    let years = ten_days(true);
    years.sql(
        "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 1000)
                 INSERT INTO reject (file, line, n, code, reason) SELECT 3, n, 0, 'date', '' FROM n;
                 INSERT INTO reject (file, line, n, code, reason) VALUES (10, 1, 0, 'date', '')",
    );
    years.thin(2);
    years.check("reject", 1);
}

#[test]
fn freed_pages_are_given_back_in_small_steps() {
    let years = ten_days(true);
    years.sql("WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 12000)
                 INSERT INTO request (at, method, path, budget) SELECT 1, 'GET', hex(randomblob(500)), 'api' FROM n");
    let before = years.count("PRAGMA page_count");
    let mut pass = Pass::new(years.old(400));
    let mut steps = 0;
    while pass.step(&years.store).unwrap() {
        steps += 1;
    }
    assert!(steps > 50, "{steps}");
    let after = years.count("PRAGMA page_count");
    assert!(before > 700 && after < 200, "{before} -> {after}");
    assert!(years.count("PRAGMA freelist_count") <= PAGES_SPARE);
}

/// A clock that was years ahead for a day holds up nothing that comes after.
#[test]
fn a_change_from_the_future_holds_up_no_other() {
    let years = ten_days(true);
    years.sql("UPDATE change SET at = at + 300000000000 WHERE seq <= 4");
    years.thin(3);
    years.check("change WHERE seq > 4", 3);
}
