use super::*;
use crate::store::Store;

const NOW: i64 = 1_795_612_200_000;

/// A store into which rows were put as the loops would.
fn filled() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    store
        .write(|c| {
            Ok(c.execute_batch(&format!(
                "INSERT INTO folder (id, name) VALUES (1, 'customers'), (2, 'orders');
                 INSERT INTO file (id, folder, name, raw_name, device, inode, size, mtime, state, reason, kind, rows, rejected, seen, archived, rejects_names, held_code) VALUES
                  (1, 1, 'a.csv', x'00', 1, 1, 1, 1, 'stored', NULL, 3, 10, 0, {NOW} - 9000, 1, NULL, NULL),
                  (2, 1, 'b.csv', x'00', 1, 1, 1, 1, 'unreadable', 'why', 3, 0, 0, {NOW} - 8000, 1, NULL, NULL),
                  (3, 2, 'c.csv', x'00', 1, 1, 1, 1, 'stored', NULL, 4, 10, 3, {NOW} - 7000, 1, '[\"c.rejects.csv\"]', NULL),
                  (4, 2, 'd.csv', x'00', 1, 1, 1, 1, 'unreadable', 'why', 4, 0, 0, {NOW} - 6500, 1, NULL, NULL),
                  (5, 2, 'e.csv', x'00', 1, 1, 1, 1, 'stored', NULL, 4, 1, 0, {NOW} - 6000, 1, NULL, NULL),
                  (6, 1, 'f.csv', x'00', 1, 1, 1, 1, 'held', 'too many', 3, 0, 0, {NOW} - 5000, NULL, NULL, 'empty'),
                  (7, 1, 'g.csv', x'00', 1, 1, 1, 1, 'reading', NULL, 3, 0, 0, {NOW} - 4000, NULL, NULL, NULL),
                  (8, 1, 'h.csv', x'00', 1, 1, 1, 1, 'waiting', NULL, 3, 0, 0, {NOW} - 3000, NULL, NULL, NULL);
                 INSERT INTO reject (file, line, n, code, reason) VALUES (3, 2, 0, 'number', ''), (3, 3, 0, 'number', ''), (3, 4, 0, 'date', '');
                 INSERT INTO record (kind, source_id, id, seq, file, folder, gone, fingerprint, acked) VALUES
                  (3, 'a', 1, 1, 1, 1, 0, x'01', x'01'), (3, 'b', 2, 2, 1, 1, 0, x'01', x'02'),
                  (3, 'c', 3, 3, 1, 1, 1, x'01', NULL), (4, 'd', 4, 4, 3, 2, 0, x'01', NULL);
                 INSERT INTO pending (kind, part, id, file, since, flight, next_try) VALUES
                  (3, 0, 2, 1, {NOW} - 500, 1, 0), (3, 1, 2, 1, {NOW} - 400, NULL, 0), (3, 1, 1, 1, {NOW} - 300, NULL, {NOW} + 5),
                  (3, 0, 3, 7, {NOW} - 900, NULL, 0), (4, 0, 4, 3, {NOW} - 200, NULL, {NOW} - 100);
                 INSERT INTO parked (kind, part, id, since, code) VALUES (3, 0, 1, 5, 'x'), (3, 0, 9, 4, 'x'), (4, 0, 8, 6, 'y'), (3, 0, 2, 1, 'z');
                 INSERT INTO flight (id, kind, channel, state, started, ended) VALUES
                  (1, 3, 'bulk', 'job', {NOW} - 600, NULL), (2, 3, 'single', 'done', {NOW} - 700, {NOW} - 650), (3, 3, 'single', 'done', {NOW} - 500, {NOW} - 450);
                 INSERT INTO flight_item (flight, id, seq, fingerprint, outcome) VALUES (1, 2, 2, x'01', NULL), (2, 1, 1, x'01', 'acknowledged'), (3, 1, 1, x'01', 'parked');
                 INSERT INTO job (flight, remote_id, since, next_poll) VALUES (1, 'aa_7', {NOW} - 600, 0);
                 INSERT INTO request (id, flight, at, method, path, budget, status, verdict, duration_ms) VALUES
                  (1, 2, {NOW} - 700, 'POST', '/v1/customers', 'api', 200, NULL, 5),
                  (2, 3, {NOW} - 500, 'POST', '/v1/customers', 'api', 400, 'parked', 5),
                  (3, 1, {NOW} - 100, 'GET', '/v1/async-actions/{{id}}', 'api', NULL, NULL, NULL);"
            ))?)
        })
        .unwrap();
    (dir, store)
}

/// A million customers as a first file leaves them: a part acknowledged, the rest pending; years of
/// files and a cycle of requests.
pub(crate) fn a_million(dir: &std::path::Path) -> Store {
    let store = Store::open(dir).unwrap();
    let fill = |c: &Connection| {
        c.execute_batch(&format!(
            "INSERT INTO folder (id, name) VALUES (1, 'customers');
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 1000000)
             INSERT INTO record (kind, source_id, id, seq, file, folder, gone, fingerprint, acked, row_hash)
               SELECT 3, printf('customer-%09d', i), i, i, 1, 1, 0, zeroblob(32), iif(i % 2, zeroblob(32), NULL), zeroblob(16) FROM n;
             WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 2 FROM n LIMIT 500000)
             INSERT INTO pending (kind, part, id, file, since) SELECT 3, 0, i, 1, {NOW} FROM n;
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 20000)
             INSERT INTO file (folder, name, raw_name, device, inode, size, mtime, state, reading, kind, rows, seen, archived)
               SELECT 1, 'export.csv', x'00', 1, 1, 1, 1, 'stored', printf('%400s', ' '), 3, 10, {NOW} - i, 1 FROM n;
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 100000)
             INSERT INTO request (at, method, path, budget, status, duration_ms)
               SELECT {NOW} - 100000 + i, 'POST', '/v1/customers', 'api', 200, 90 FROM n;
             WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n LIMIT 576)
             INSERT INTO sample SELECT {NOW} - i * 300000, 1000000, 500000, 0, 100, 10 FROM n;"
        ))?;
        Ok(())
    };
    store.write(fill).unwrap();
    store
}

#[test]
fn records_are_counted_once_and_by_their_kind() {
    let (_dir, store) = filled();
    let tally = tally(&store.reader().unwrap(), NOW).unwrap();
    let of = |kind| tally.kinds[Kind::ALL.iter().position(|k| *k == kind).unwrap()];
    let customers = KindCounts {
        stored: 2,
        confirmed: 1,
        pending: 3,
        in_flight: 1,
        parked: 2,
    };
    assert_eq!(of(Kind::Customers), customers);
    let orders = KindCounts {
        stored: 1,
        confirmed: 0,
        pending: 1,
        in_flight: 0,
        parked: 1,
    };
    assert_eq!(of(Kind::Orders), orders);
    assert_eq!(of(Kind::Products), KindCounts::default());
    assert_eq!(tally.oldest_pending, Some(NOW - 900));
    // What waits for a file that is being read, for its own time, or is under way, is not due.
    assert_eq!(tally.oldest_due, Some(NOW - 400));
}

#[test]
fn files_by_what_they_need() {
    let (_dir, store) = filled();
    let c = store.reader().unwrap();
    let expected = FileTally {
        waiting: 1,
        reading: 1,
        held: 1,
        stored: 3,
        unreadable: 2,
        rejected_rows: 3,
        oldest_waiting: Some(NOW - 3000),
    };
    assert_eq!(files(&c).unwrap(), expected);
    let ids = |files: Vec<NamedFile>| files.into_iter().map(|f| f.id).collect::<Vec<_>>();
    assert_eq!(ids(held(&c).unwrap()), [6]);
    assert_eq!(ids(reading(&c).unwrap()), [7]);
    // The orders' one is over: a later file was taken.
    assert_eq!(ids(unreadable(&c, NOW).unwrap()), [2]);
    assert_eq!(ids(unreadable(&c, NOW + SPOKEN_OF_MS).unwrap()), [0; 0]);
    assert_eq!(ids(rejecting(&c, NOW).unwrap()), [3]);
    assert_eq!(ids(newest(&c).unwrap()), [5, 8]);
    assert_eq!(
        file(&c, 3).unwrap().unwrap().rejects_names,
        ["c.rejects.csv"]
    );
    assert_eq!(
        reject_codes(&c, 3).unwrap(),
        [("number".to_owned(), 2), ("date".to_owned(), 1)]
    );
    // The held one was empty, the unreadable one had no row.
    assert_eq!(
        came(&c).unwrap(),
        [
            ("customers".to_owned(), NOW - 9000),
            ("orders".to_owned(), NOW - 6000)
        ]
    );
}

#[test]
fn what_the_remote_said() {
    let (_dir, store) = filled();
    let c = store.reader().unwrap();
    let groups: Vec<_> = parked(&c)
        .unwrap()
        .into_iter()
        .map(|g| (g.kind, g.code, g.count, g.since))
        .collect();
    assert_eq!(
        groups,
        [
            (Kind::Customers, "x".to_owned(), 2, 4),
            (Kind::Orders, "y".to_owned(), 1, 6)
        ]
    );
    let open = jobs(&c).unwrap();
    assert_eq!(
        (open.len(), open[0].remote_id.as_str(), open[0].records),
        (1, "aa_7", 1)
    );
    assert_eq!(last_delivered(&c).unwrap(), Some(NOW - 650));
    assert_eq!(last_failed(&c).unwrap().unwrap().status, Some(400));
    assert_eq!(last_request(&c).unwrap(), Some(NOW - 100));
    assert_eq!(requests_since(&c, NOW - 500).unwrap(), 2);
    assert_eq!(ever(&c).unwrap(), (3, 8, 0));
}

#[test]
fn a_sample_every_five_minutes_whatever_the_clock_does() {
    let (_dir, store) = filled();
    let take = |now| store.write(move |c| take_sample(c, now)).unwrap();
    assert!(take(NOW));
    assert!(!take(NOW + SAMPLE_EVERY_MS - 1));
    assert!(take(NOW + SAMPLE_EVERY_MS));
    let found = samples(&store.reader().unwrap(), 0).unwrap();
    let first = Sample {
        at: NOW,
        stored: 3,
        pending: 4,
        parked: 3,
        delivered: 1,
        calls: 3,
    };
    let second = Sample {
        at: NOW + SAMPLE_EVERY_MS,
        delivered: 0,
        calls: 0,
        ..first
    };
    assert_eq!(found, [first, second]);
    // Set back by a day: what lies in the future goes, and it begins anew.
    assert!(take(NOW - 86_400_000));
    let found = samples(&store.reader().unwrap(), 0).unwrap();
    assert_eq!(
        found.iter().map(|s| s.at).collect::<Vec<_>>(),
        [NOW - 86_400_000]
    );
}

#[test]
fn a_folder_is_known_from_its_first_look_on() {
    let (_dir, store) = filled();
    let know = |now| {
        store
            .write(move |c| know_folders(c, &["a".into(), "b".into()], now))
            .unwrap()
    };
    know(5);
    know(9);
    assert_eq!(known_since(&store.reader().unwrap(), "a").unwrap(), Some(5));
    assert_eq!(known_since(&store.reader().unwrap(), "c").unwrap(), None);
}

#[test]
fn an_empty_store_has_nothing_to_show() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let c = store.reader().unwrap();
    assert_eq!(tally(&c, NOW).unwrap(), Tally::default());
    assert_eq!(files(&c).unwrap(), FileTally::default());
    assert_eq!(last_delivered(&c).unwrap(), None);
    assert_eq!(last_request(&c).unwrap(), None);
    assert_eq!(ever(&c).unwrap(), (0, 0, 0));
}
