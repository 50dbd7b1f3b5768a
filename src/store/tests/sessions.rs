//! A file's session: what it stores, counts, queues, and what is left when it is undone.

use super::*;
use crate::record::{CLEARED, Op};
use crate::reject::{Code, Reject};

const ANN: &[(&str, &str)] = &[("name", r#""Ann""#), ("email", r#""a@b""#)];

#[test]
fn a_row_creates_merges_and_says_nothing_new() {
    let mut t = tried();
    let (_, counts) = t.take_in(&[row("1", ANN), row("2", ANN)]);
    assert_eq!((counts.new, counts.changed), (2, 0));
    assert_eq!(t.pending(), ["1", "2"]);
    t.acknowledge_all();
    let (_, counts) = t.take_in(&[row("1", &[("name", r#""Anne""#)]), row("2", ANN)]);
    assert_eq!((counts.new, counts.changed, counts.unchanged), (0, 1, 1));
    assert_eq!(
        t.content(Kind::Customers, "1"),
        Some(content(&[("name", r#""Anne""#), ("email", r#""a@b""#)]))
    );
    assert_eq!(t.pending(), ["1"]);
}

#[test]
fn what_goes_back_to_the_acknowledged_content_is_not_sent() {
    let mut t = tried();
    t.take_in(&[row("1", ANN)]);
    t.acknowledge_all();
    let (_, counts) = t.take_in(&[row("1", &[("name", r#""Bo""#)]), row("1", ANN)]);
    assert_eq!(counts.changed, 1);
    assert_eq!(t.pending(), [""; 0]);
}

#[test]
fn a_key_again_in_one_batch_is_created_then_updated() {
    let mut t = tried();
    let (file, counts) = t.take_in(&[
        row("2", ANN),
        row("1", ANN),
        row("2", &[("name", r#""Bo""#)]),
    ]);
    assert_eq!((counts.new, counts.changed, counts.unchanged), (2, 0, 0));
    let trace = trace(&t.store.reader().unwrap(), Kind::Customers, "2")
        .unwrap()
        .unwrap();
    let log: Vec<_> = trace
        .changes
        .iter()
        .map(|ch| (ch.op, ch.file, ch.line))
        .collect();
    assert_eq!(
        log,
        [
            (Op::Created, Some(file), Some(2)),
            (Op::Updated, Some(file), Some(4))
        ]
    );
    assert!(trace.changes[0].seq < trace.changes[1].seq);
}

#[test]
fn deleting_an_unknown_record_and_then_bringing_it_leaves_it_there() {
    let mut t = tried();
    let (_, counts) = t.take_in(&[gone("1"), row("1", ANN)]);
    assert_eq!((counts.new, counts.deleted), (1, 0));
    assert!(t.content(Kind::Customers, "1").is_some());
}

#[test]
fn a_deletion_is_sent_only_of_what_was_sent() {
    let mut t = tried();
    t.take_in(&[row("sent", ANN), row("never", ANN)]);
    t.acknowledge("sent");
    let (_, counts) = t.take_in(&[gone("sent"), gone("never"), gone("unknown")]);
    assert_eq!((counts.deleted, counts.unchanged), (2, 1));
    assert_eq!(t.pending(), ["sent"]);
    // And again: a new creation, which begins with nothing of the old.
    let (_, counts) = t.take_in(&[row("sent", &[("phone", r#""1""#)])]);
    assert_eq!(counts.new, 1);
    assert_eq!(
        t.content(Kind::Customers, "sent"),
        Some(content(&[("phone", r#""1""#)]))
    );
}

#[test]
fn a_cleared_field_is_a_marker_only_where_it_was_set() {
    let mut t = tried();
    t.take_in(&[row("1", &[("name", r#""Ann""#), ("email", CLEARED)])]);
    assert_eq!(
        t.content(Kind::Customers, "1"),
        Some(content(&[("name", r#""Ann""#)]))
    );
    let (_, counts) = t.take_in(&[row("1", &[("name", r#""Ann""#), ("email", CLEARED)])]);
    assert_eq!(counts.unchanged, 1);
    let (_, counts) = t.take_in(&[row("1", &[("name", CLEARED)])]);
    assert_eq!(counts.changed, 1);
    assert_eq!(
        t.content(Kind::Customers, "1"),
        Some(content(&[("name", CLEARED)]))
    );
}

#[test]
fn consents_are_a_part_with_their_own_queue() {
    let mut t = tried();
    t.take_in(&[row("1", &[("name", r#""Ann""#), ("consent.news", "true")])]);
    assert_eq!(t.pending(), ["1", "1+"]);
    t.acknowledge_all();
    t.take_in(&[row("1", &[("consent.news", "false")])]);
    assert_eq!(t.pending(), ["1+"]);
    t.take_in(&[row("1", &[("consent.news", "true")])]);
    assert_eq!(t.pending(), [""; 0]);
    t.take_in(&[row("1", &[("name", r#""Anne""#), ("consent.news", "true")])]);
    assert_eq!(t.pending(), ["1"]);
}

#[test]
fn an_orders_word_on_a_customer_creates_but_never_overwrites() {
    let mut t = tried();
    t.take_in(&[row("1", ANN)]);
    let file = t.arrive("orders", Kind::Orders);
    let mut session = t.begin(file).unwrap();
    let created: Vec<_> = ["1", "2"]
        .map(|key| Row {
            act: Act::CreateOnly,
            ..row(key, &[("name", r#""Bo""#)])
        })
        .to_vec();
    session
        .apply(batch(Kind::Customers, &created, 2), vec![], "", 1)
        .unwrap();
    let order = [row("o1", &[("status", r#""PAID""#)])];
    session
        .apply(batch(Kind::Orders, &order, 2), vec![], "", 1)
        .unwrap();
    let counts = session.finish(end(1)).unwrap();
    assert_eq!((counts.new, counts.unchanged), (1, 0));
    assert_eq!(t.content(Kind::Customers, "1"), Some(content(ANN)));
    assert!(t.content(Kind::Customers, "2").is_some());
}

#[test]
fn the_same_content_again_stays_parked_and_other_content_goes_into_the_queue() {
    let mut t = tried();
    t.take_in(&[row("1", ANN)]);
    t.park("1");
    t.take_in(&[row("1", ANN)]);
    t.take_in(&[row("1", &[("name", r#""Bo""#)]), row("1", ANN)]);
    assert_eq!(t.pending(), [""; 0]);
    assert_eq!(
        counts(&t.store.reader().unwrap()).unwrap().parked.total(),
        1
    );
    t.take_in(&[row("1", &[("name", r#""Bo""#)])]);
    assert_eq!(t.pending(), ["1"]);
    let left: i64 = t
        .store
        .write(|c| Ok(c.query_row("SELECT count(*) FROM parked", [], |r| r.get(0))?))
        .unwrap();
    assert_eq!(left, 0);
}

#[test]
fn a_file_taken_back_leaves_no_trace() {
    let mut t = tried();
    t.take_in(&[row("acked", ANN), row("parked", ANN), row("waits", ANN)]);
    t.acknowledge("acked");
    t.park("parked");
    let before = picture(&t);
    let file = t.arrive("customers", Kind::Customers);
    let mut session = t.begin(file).unwrap();
    let rows = [
        row("acked", &[("name", r#""Bo""#)]),
        gone("acked"),
        row("acked", &[("name", r#""Cy""#)]),
        row("new", ANN),
        row("new", &[("name", r#""Bo""#)]),
        row("parked", &[("name", r#""Bo""#)]),
        gone("waits"),
    ];
    for (n, row) in rows.iter().enumerate() {
        let one = std::slice::from_ref(row);
        session
            .apply(batch(Kind::Customers, one, n as u64 + 2), vec![], "", 1)
            .unwrap();
    }
    session
        .take_back(FileState::Unreadable, Some("no table".into()), 9)
        .unwrap();
    assert_eq!(picture(&t), before);
    let file = t.store.file(file).unwrap().unwrap();
    assert_eq!((file.state, file.new), (FileState::Unreadable, 0));
}

/// All that a file may change, but for when and by whom it is queued.
fn picture(t: &Tried) -> Vec<String> {
    let c = t.store.reader().unwrap();
    let mut lines = Vec::new();
    for sql in [
        "SELECT json_array(kind, source_id, id, seq, gone, hex(fingerprint), hex(acked)) FROM record",
        "SELECT json_array(d.id, f.value, v.value) FROM document d JOIN shape s ON s.id = d.shape,
           json_each(s.fields) f, json_each(d.vals) v WHERE f.key = v.key AND v.value IS NOT NULL",
        "SELECT json_array(seq, record, patch) FROM change",
        "SELECT json_array(kind, part, id) FROM pending",
        "SELECT json_array(kind, part, id, hex(fingerprint)) FROM parked",
        "SELECT json_array(kind, stored) FROM tally",
    ] {
        let mut statement = c.prepare(sql).unwrap();
        let rows = statement
            .query_map([], |row| row.get::<_, String>(0))
            .unwrap();
        lines.extend(rows.map(|row| row.unwrap()));
    }
    lines
}

#[test]
fn a_file_read_again_after_a_crash_reports_what_it_did_in_all() {
    let mut t = tried();
    t.take_in(&[row("old", ANN), row("gone", ANN), row("same", ANN)]);
    t.acknowledge_all();
    let file = t.arrive("customers", Kind::Customers);
    let rows = [
        row("old", &[("name", r#""Bo""#)]),
        gone("gone"),
        row("new", ANN),
        row("same", ANN),
    ];
    let mut session = t.begin(file).unwrap();
    let reject = Reject {
        line: 9,
        column: None,
        code: Code::Number,
        reason: "no number".into(),
        cells: vec!["x".into()],
        records: Vec::new(),
    };
    session
        .apply(
            batch(Kind::Customers, &rows, 2),
            vec![reject.clone()],
            "",
            1,
        )
        .unwrap();
    session.settle().unwrap();
    drop(session);
    // The process died; the next one begins it again.
    assert_eq!(t.store.crashed(file).unwrap(), 1);
    let mut session = t.begin(file).unwrap();
    let mut known = session.known_rows(Kind::Customers).unwrap();
    let hashes: Vec<_> = rows.iter().map(|row| (row.key, hash_of(row))).collect();
    let mut out = Vec::new();
    known.unchanged(&hashes, &mut out).unwrap();
    assert_eq!(out, [true, true, true, true]);
    session
        .apply(batch(Kind::Customers, &[], 2), vec![reject], "", 1)
        .unwrap();
    let mut finish = end(5);
    finish.unchanged = known.spared();
    let counts = session.finish(finish).unwrap();
    let expected = Counts {
        new: 1,
        changed: 1,
        unchanged: 1,
        deleted: 1,
        rejected: 1,
    };
    assert_eq!(counts, expected);
}

#[test]
fn a_full_list_deletes_what_its_folder_brought_and_it_does_not_name() {
    let mut t = tried();
    t.take_in(&[row("1", ANN), row("2", ANN), row("3", ANN)]);
    t.take_in_of("elsewhere", Kind::Customers, &[row("4", ANN)]);
    t.acknowledge_all();
    let file = t.arrive("customers", Kind::Customers);
    let mut session = t.begin(file).unwrap();
    session.present(Kind::Customers, &["3", "1", "5"]).unwrap();
    let missing = session.missing_count().unwrap();
    assert_eq!((missing.missing, missing.brought), (1, 3));
    let mut finish = end(3);
    finish.delete_missing = true;
    session
        .apply(batch(Kind::Customers, &[row("5", ANN)], 2), vec![], "", 1)
        .unwrap();
    let counts = session.finish(finish).unwrap();
    assert_eq!((counts.deleted, counts.new), (1, 1));
    assert!(t.content(Kind::Customers, "2").is_none());
    assert!(t.content(Kind::Customers, "4").is_some());
    assert_eq!(t.pending(), ["2", "5"]);
}

#[test]
fn reverting_sets_back_deletes_and_leaves_what_changed_since() {
    let mut t = tried();
    t.take_in(&[row("old", ANN), row("touched", ANN)]);
    t.acknowledge_all();
    let (file, _) = t.take_in(&[
        row("old", &[("name", r#""Bo""#)]),
        row("old", &[("name", r#""Cy""#)]),
        row("touched", &[("name", r#""Bo""#)]),
        row("new", ANN),
        row("never", ANN),
    ]);
    t.acknowledge("new");
    t.take_in(&[row("touched", &[("phone", r#""1""#)])]);
    for dry_run in [true, false, false] {
        let mut left = Vec::new();
        let done = t
            .store
            .revert(file, dry_run, 9, |_, key, why| left.push((key, why)))
            .unwrap();
        assert_eq!(left, [("touched".to_owned(), Left::ChangedSince)]);
        let again = t.store.file(file).unwrap().unwrap().state == FileState::Reverted;
        if !again || dry_run {
            assert_eq!((done.set_back, done.deleted, done.left), (1, 2, 1));
        }
    }
    assert_eq!(t.content(Kind::Customers, "old"), Some(content(ANN)));
    assert_eq!(t.content(Kind::Customers, "new"), None);
    assert_eq!(t.pending(), ["new", "touched"]);
}

#[test]
fn a_row_hash_does_not_outlive_a_change_that_its_row_did_not_make() {
    let mut t = tried();
    let rows = [row("1", ANN)];
    t.take_in(&rows);
    let asked = [("1", hash_of(&rows[0]))];
    assert!(is_known(&t, &asked));
    let (other, _) = t.take_in(&[row("1", &[("name", r#""Bo""#)])]);
    assert!(!is_known(&t, &asked));
    t.store.revert(other, false, 9, |_, _, _| ()).unwrap();
    assert!(!is_known(&t, &asked));
    assert_eq!(t.content(Kind::Customers, "1"), Some(content(ANN)));
}

fn is_known(t: &Tried, asked: &[(&str, RowHash)]) -> bool {
    let mut known = KnownRows::new(t.store.reader().unwrap(), Kind::Customers);
    let mut out = Vec::new();
    known.unchanged(asked, &mut out).unwrap();
    out[0]
}

#[test]
fn known_rows_are_found_in_any_order_and_density() {
    let mut t = tried();
    let keys: Vec<String> = (0..3000).map(|n| format!("k{n:05}")).collect();
    let rows: Vec<_> = keys.iter().map(|key| row(key, ANN)).collect();
    t.take_in(&rows);
    let hash = |n: usize| hash_of(&rows[n]);
    let mut known = KnownRows::new(t.store.reader().unwrap(), Kind::Customers);
    let mut out = Vec::new();
    let mut check = |asked: &[(&str, RowHash)], expected: &[bool]| {
        known.unchanged(asked, &mut out).unwrap();
        assert_eq!(out, expected);
    };
    let all: Vec<_> = (0..3000).map(|n| (rows[n].key, hash(n))).collect();
    check(&all, &[true; 3000]);
    let backwards: Vec<_> = all.iter().rev().copied().collect();
    check(&backwards, &[true; 3000]);
    let ends = [all[2999], ("k00000x", hash(0)), all[0], (all[1].0, hash(2))];
    check(&ends, &[true, false, true, false]);
    check(&[all[7], all[7], (all[7].0, hash(8))], &[true, true, false]);
    check(&[("a", hash(0)), ("z", hash(0))], &[false, false]);
}

#[test]
fn look_ups_follow_every_change() {
    let mut t = tried();
    let found = |t: &Tried, email: &str| {
        use crate::mapping::Lookup;
        StoreLookup::new(t.store.reader().unwrap()).customers_by_email(email)
    };
    t.take_in(&[row("1", &[("email", r#""Ann@B.de""#)])]);
    assert_eq!(found(&t, "ann@b.DE"), ["1"]);
    t.store.prepare_lookup(Kind::Customers).unwrap();
    assert_eq!(found(&t, "ann@b.DE"), ["1"]);
    t.take_in(&[
        row("1", &[("email", r#""new@b""#)]),
        row("2", &[("email", r#""NEW@b""#)]),
    ]);
    assert_eq!(found(&t, "ann@b.de"), [""; 0]);
    assert_eq!(found(&t, "new@b"), ["1", "2"]);
    t.take_in(&[gone("1")]);
    assert_eq!(found(&t, "new@b"), ["2"]);
}

#[test]
fn many_look_ups_can_see_one_state_of_the_store() {
    use crate::mapping::Lookup;
    let mut t = tried();
    t.store.prepare_lookup(Kind::Customers).unwrap();
    let lookup = StoreLookup::new(t.store.reader().unwrap());
    let snapshot = lookup.snapshot();
    assert_eq!(lookup.customers_by_email("ann@b.de"), [""; 0]);
    t.take_in(&[row("1", &[("email", r#""ann@b.de""#)])]);
    assert_eq!(lookup.customers_by_email("ann@b.de"), [""; 0]);
    drop(snapshot);
    assert_eq!(lookup.customers_by_email("ann@b.de"), ["1"]);
    t.take_in(&[gone("1")]);
    assert_eq!(lookup.customers_by_email("ann@b.de"), [""; 0]);
    assert!(lookup.take_error().is_none());
}

#[test]
fn a_comparison_says_what_the_intake_then_does() {
    let mut t = tried();
    t.take_in(&[row("1", ANN), row("2", ANN)]);
    let rows = [
        row("1", ANN),
        row("2", &[("name", r#""Bo""#)]),
        row("2", ANN),
        row("3", ANN),
        row("3", ANN),
        gone("1"),
        gone("9"),
    ];
    let mut comparer = Comparer::new(t.store.reader().unwrap(), t.dir.path()).unwrap();
    let compared = comparer.compare(&batch(Kind::Customers, &rows, 2)).unwrap();
    let kinds: Vec<_> = compared
        .iter()
        .map(|c| match &c.outcome {
            Outcome::New => 'n',
            Outcome::Unchanged => '=',
            Outcome::Changed(_) => 'c',
            Outcome::Deleted => 'd',
        })
        .collect();
    assert_eq!(kinds, ['=', 'c', 'c', 'n', '=', 'd', '=']);
    let counted = |kind: char| {
        let both = kinds.iter().zip(&compared);
        both.filter(|(k, c)| **k == kind && c.counts).count() as u64
    };
    let (_, counts) = t.take_in(&rows);
    assert_eq!(
        (counts.new, counts.changed, counts.deleted),
        (counted('n'), counted('c'), counted('d'))
    );
}

#[test]
fn a_newer_database_is_refused_and_stays_byte_for_byte() {
    let t = tried();
    let dir = t.dir;
    t.store
        .write(|c| Ok(c.pragma_update(None, "user_version", SCHEMA_VERSION + 1)?))
        .unwrap();
    drop(t.store);
    let path = dir.path().join(DATABASE);
    let before = std::fs::read(&path).unwrap();
    for error in [
        Store::open(dir.path()).err().unwrap(),
        Store::look(dir.path()).err().unwrap(),
    ] {
        assert!(matches!(error, Error::Newer { .. }), "{error}");
    }
    assert_eq!(std::fs::read(&path).unwrap(), before);
    assert!(!dir.path().join("tillsync.db-wal").exists());
}

#[test]
fn batches_and_requests_that_wait_in_one_queue_are_all_done_in_their_order() {
    let mut t = tried();
    let file = t.arrive("customers", Kind::Customers);
    let mut session = t.begin(file).unwrap();
    let (begun, has_begun) = std::sync::mpsc::channel();
    let (go, may_go) = std::sync::mpsc::channel::<()>();
    let (first, alone) = (t.store.clone(), t.store.clone());
    let first = std::thread::spawn(move || {
        first.write(move |_| {
            begun.send(()).unwrap();
            may_go.recv().unwrap();
            Ok(())
        })
    });
    has_begun.recv().unwrap();
    // Behind that request: a batch, and, before the file's end or after it, what wants to be alone.
    let one = batch(Kind::Customers, &[row("1", ANN), row("2", ANN)], 2);
    session.apply(one, Vec::new(), "", 1).unwrap();
    let alone = std::thread::spawn(move || {
        // There is no savepoint in a transaction of its own.
        alone.write_alone(|c| Ok(c.execute_batch("RELEASE request").is_err()))
    });
    go.send(()).unwrap();
    assert_eq!(session.finish(end(9)).unwrap().new, 2);
    first.join().unwrap().unwrap();
    assert!(alone.join().unwrap().unwrap());
}

#[test]
fn a_request_that_fails_leaves_nothing_behind_first_or_not() {
    let t = tried();
    let write = |c: &rusqlite::Connection| {
        meta::set(c, "tried", &1)?;
        Err::<(), _>(Error::Statement("no".into()))
    };
    for alone in [false, true] {
        let error = match alone {
            true => t.store.write_alone(write),
            false => t.store.write(write),
        };
        assert!(matches!(error, Err(Error::Statement(_))), "{error:?}");
        assert_eq!(t.store.integer("tried").unwrap(), None);
    }
    t.store.set_integer("tried", 2).unwrap();
    assert_eq!(t.store.integer("tried").unwrap(), Some(2));
}

#[test]
fn a_database_of_the_version_before_is_migrated() {
    let t = tried();
    let dir = t.dir;
    t.store
        .write(|c| {
            c.execute_batch("ALTER TABLE reject DROP COLUMN keys; PRAGMA user_version = 1")?;
            Ok(())
        })
        .unwrap();
    drop(t.store);
    let store = Store::open(dir.path()).unwrap();
    let version = |c: &rusqlite::Connection| c.query_row("PRAGMA user_version", [], |r| r.get(0));
    let found: i64 = version(&store.reader().unwrap()).unwrap();
    assert_eq!(found, SCHEMA_VERSION);
    // Made anew, it has the same columns.
    let columns = |store: &Store| {
        let sql = "SELECT group_concat(name) FROM pragma_table_info('reject')";
        let reader = store.reader().unwrap();
        reader
            .query_row(sql, [], |r| r.get::<_, String>(0))
            .unwrap()
    };
    assert_eq!(columns(&store), columns(&tried().store));
}

#[test]
fn keys_in_no_order_keep_the_files_order_of_their_rows() {
    let mut t = tried();
    const KEYS: u64 = 20_000;
    let key = |n: u64| format!("{:016x}", n.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let keys: Vec<String> = (0..2 * KEYS).map(|n| key(n % KEYS)).collect();
    let values: Vec<String> = (0..2 * KEYS).map(|n| n.to_string()).collect();
    let rows: Vec<_> = (0..keys.len())
        .map(|n| row(&keys[n], &[("phone", values[n].as_str())]))
        .collect();
    let file = t.arrive("customers", Kind::Customers);
    let mut session = t.begin(file).unwrap();
    for (n, rows) in rows.chunks(3000).enumerate() {
        let lines = n as u64 * 3000 + 2;
        session
            .apply(batch(Kind::Customers, rows, lines), vec![], "", 1)
            .unwrap();
    }
    let counts = session.finish(end(2 * KEYS)).unwrap();
    assert_eq!((counts.new, counts.changed), (KEYS, 0));
    for n in (0..KEYS).step_by(997) {
        let newest = (n + KEYS).to_string();
        let expected = content(&[("phone", newest.as_str())]);
        assert_eq!(t.content(Kind::Customers, &key(n)), Some(expected));
    }
    let c = t.store.reader().unwrap();
    let counted = super::super::counts(&c).unwrap();
    assert_eq!(
        (counted.stored.total(), counted.pending.total()),
        (KEYS, KEYS)
    );
}
