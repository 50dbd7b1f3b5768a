//! No room on the disk, at each page in turn; and how large the WAL gets.

use super::*;

const ANN: &[(&str, &str)] = &[("name", r#""Ann""#), ("description", r#""of some length""#)];

/// What the file does, in some batches; the session ends with the first error.
fn read(t: &Tried, file: i64, rows: &[Row<'_>]) -> Result<Counts> {
    let mut session = t.begin(file)?;
    for (n, rows) in rows.chunks(50).enumerate() {
        session.apply(
            batch(Kind::Customers, rows, n as u64 * 50 + 2),
            vec![],
            "",
            1,
        )?;
    }
    session.finish(end(rows.len() as u64))
}

fn pages(t: &Tried, room: i64) {
    t.store
        .write(move |c| {
            let used: i64 = c.query_row("PRAGMA page_count", [], |row| row.get(0))?;
            let limit = used.saturating_add(room);
            c.query_row(&format!("PRAGMA max_page_count = {limit}"), [], |_| Ok(()))?;
            Ok(())
        })
        .unwrap();
}

#[test]
fn a_full_disk_stops_a_file_anywhere_and_it_is_read_again() {
    let keys: Vec<String> = (0..600).map(|n| format!("key-{n:04}")).collect();
    let old: Vec<_> = keys[..300].iter().map(|key| row(key, ANN)).collect();
    let new: Vec<_> = keys
        .iter()
        .map(|key| {
            row(
                key,
                &[("name", r#""Bo""#), ("email", r#""bo@example.com""#)],
            )
        })
        .collect();
    let mut failed = 0;
    for room in 0.. {
        let mut t = tried();
        t.take_in(&old);
        let file = t.arrive("customers", Kind::Customers);
        pages(&t, room);
        let fits = match read(&t, file, &new) {
            Ok(_) => true,
            Err(Error::Full) => false,
            Err(other) => panic!("room {room}: {other}"),
        };
        if !fits {
            failed += 1;
            pages(&t, 100_000);
            let counts = read(&t, file, &new).unwrap();
            assert_eq!((counts.new, counts.changed), (300, 300), "room {room}");
        }
        let c = t.store.reader().unwrap();
        let counts = counts(&c).unwrap();
        assert_eq!(counts.stored.get(Kind::Customers), 600, "room {room}");
        assert_eq!(counts.pending.get(Kind::Customers), 600, "room {room}");
        let check: String = c
            .query_row("PRAGMA integrity_check", [], |row| row.get(0))
            .unwrap();
        assert_eq!(check, "ok");
        let mut seen = 0;
        changes(&c, &Filter::default(), &mut |_| {
            seen += 1;
            true
        })
        .unwrap();
        assert_eq!(seen, 900, "room {room}");
        if fits {
            break;
        }
    }
    assert!(failed > 3, "the limit was met {failed} times");
}

#[test]
fn a_request_that_finds_no_room_fails_alone_and_later_ones_go_on() {
    let t = tried();
    pages(&t, 0);
    let long = "x".repeat(200_000);
    let full = t.store.set_text("long", &long);
    assert!(matches!(full, Err(Error::Full)), "{full:?}");
    t.store.set_text("short", "x").unwrap();
    pages(&t, 1000);
    t.store.set_text("long", &long).unwrap();
}

#[test]
fn a_large_file_leaves_a_small_wal() {
    let mut t = tried();
    let file = t.arrive("customers", Kind::Customers);
    let mut session = t.begin(file).unwrap();
    let wal = t.dir.path().join("tillsync.db-wal");
    let mut largest = 0;
    let long = format!("\"{}\"", "x".repeat(2500));
    // Commits of a few rows, as on a machine that has other things to do, and then many rows at once.
    for n in 0..10 {
        let rows_max = if n == 8 { 30_000 } else { 500 };
        let batches: Vec<_> = (0..rows_max)
            .step_by(2_000)
            .map(|from| {
                let keys: Vec<String> = (from..rows_max.min(from + 2_000))
                    .map(|i| format!("{n:03}-{i:05}"))
                    .collect();
                let row = |key| row(key, &[("name", &long)]);
                batch(
                    Kind::Customers,
                    &keys.iter().map(|key| row(key)).collect::<Vec<_>>(),
                    2,
                )
            })
            .collect();
        for batch in batches {
            session.apply(batch, vec![], "", 1).unwrap();
        }
        // A request commits what is open.
        t.store.set_text("n", "").unwrap();
        largest = largest.max(std::fs::metadata(&wal).unwrap().len());
    }
    session.finish(end(34_500)).unwrap();
    largest = largest.max(std::fs::metadata(&wal).unwrap().len());
    assert!(largest < 64 << 20, "{largest} bytes");
}

#[test]
fn a_request_commits_the_batches_before_it() {
    let mut t = tried();
    let file = t.arrive("customers", Kind::Customers);
    let mut session = t.begin(file).unwrap();
    session
        .apply(batch(Kind::Customers, &[row("1", ANN)], 2), vec![], "", 1)
        .unwrap();
    let refused: Result<()> = t.store.write(|c| {
        c.execute("DELETE FROM document", [])?;
        Err(Error::Statement("on purpose".into()))
    });
    assert!(refused.is_err());
    // The request failed alone; the batch before it is there for every reader.
    assert!(t.content(Kind::Customers, "1").is_some());
    session.finish(end(1)).unwrap();
}
