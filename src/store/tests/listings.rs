//! What the listings, counts and traces show.

use super::*;
use crate::record::Op;
use crate::reject::{Code, Reject};

const ANN: &[(&str, &str)] = &[("name", r#""Ann""#), ("email", r#""ann@b""#)];

fn all_changes(t: &Tried, filter: &Filter) -> Vec<(String, Op, String)> {
    let mut rows = Vec::new();
    changes(&t.store.reader().unwrap(), filter, &mut |row| {
        rows.push((row.key, row.op, row.fields.to_json()));
        true
    })
    .unwrap();
    rows
}

#[test]
fn files_of_a_key_are_those_that_brought_or_changed_it() {
    let mut t = tried();
    let (first, _) = t.take_in(&[row("1", ANN), row("2", ANN)]);
    let (second, _) = t.take_in(&[row("1", ANN), row("2", &[("name", r#""Bo""#)])]);
    let of = |key: &str| {
        let filter = Filter {
            key: Some(key.to_owned()),
            ..Filter::default()
        };
        let mut found = Vec::new();
        files(&t.store.reader().unwrap(), &filter, &mut |row| {
            found.push(row.id);
            true
        })
        .unwrap();
        found
    };
    assert_eq!(of("1"), [first]);
    assert_eq!(of("2"), [second, first]);
    assert_eq!(of("3"), [0_i64; 0]);
}

#[test]
fn changes_come_newest_first_and_creations_show_what_was_created() {
    let mut t = tried();
    t.take_in(&[row("1", ANN), row("2", &[("name", r#""Bo""#)])]);
    let (second, _) = t.take_in(&[row("1", &[("name", r#""Anne""#)]), row("3", ANN)]);
    let found = all_changes(&t, &Filter::default());
    let keys: Vec<_> = found
        .iter()
        .map(|(key, op, _)| (key.as_str(), *op))
        .collect();
    assert_eq!(
        keys,
        [
            ("3", Op::Created),
            ("1", Op::Updated),
            ("2", Op::Created),
            ("1", Op::Created)
        ]
    );
    assert_eq!(found[1].2, r#"{"name":["Ann","Anne"]}"#);
    assert_eq!(
        found[3].2,
        r#"{"email":[null,"ann@b"],"name":[null,"Ann"]}"#
    );

    let of = |filter: Filter| all_changes(&t, &filter).len();
    let any = Filter::default;
    assert_eq!(
        of(Filter {
            key: Some("1".into()),
            ..any()
        }),
        2
    );
    assert_eq!(
        of(Filter {
            file: Some(second),
            ..any()
        }),
        2
    );
    assert_eq!(
        of(Filter {
            limit: Some(3),
            ..any()
        }),
        3
    );
    assert_eq!(
        of(Filter {
            kind: Some(Kind::Orders),
            ..any()
        }),
        0
    );
    assert_eq!(
        of(Filter {
            since: Some(2),
            ..any()
        }),
        0
    );
    assert_eq!(
        of(Filter {
            key: Some("1".into()),
            limit: Some(1),
            ..any()
        }),
        1
    );
}

#[test]
fn rejects_stand_with_their_file_and_lose_their_cells_once_written() {
    let mut t = tried();
    let file = t.arrive("customers", Kind::Customers);
    let mut session = t.begin(file).unwrap();
    let reject = |line, column: &str| Reject {
        line,
        column: Some(column.into()),
        code: Code::Date,
        reason: "no date".into(),
        cells: vec!["a".into(), "b".into()],
        records: Vec::new(),
    };
    let rejects = vec![reject(3, "x"), reject(3, "y"), reject(5, "x")];
    session
        .apply(batch(Kind::Customers, &[], 2), rejects, "m.csv", 1)
        .unwrap();
    assert_eq!(session.finish(end(9)).unwrap().rejected, 2);
    let mut lines = Vec::new();
    rejects_of(&t, &mut lines);
    assert_eq!(
        lines,
        [(3, "x"), (3, "y"), (5, "x")].map(|(l, c)| (l, c.to_owned()))
    );
    assert_eq!(t.store.rejects_of(file).unwrap()[0].cells, ["a", "b"]);
    t.store
        .rejects_written(file, &["r.rejects.csv".into()])
        .unwrap();
    assert!(t.store.rejects_of(file).unwrap()[0].cells.is_empty());
    let found = t.store.file_by_rejects_name("r.rejects.csv").unwrap();
    assert_eq!(found.unwrap().id, file);
}

fn rejects_of(t: &Tried, lines: &mut Vec<(u64, String)>) {
    rejects(&t.store.reader().unwrap(), &Filter::default(), &mut |row| {
        lines.push((row.line, row.column.unwrap()));
        true
    })
    .unwrap();
}

#[test]
fn a_files_life_shows_in_its_row() {
    let mut t = tried();
    let file = t.arrive("customers", Kind::Customers);
    let state = |t: &Tried| t.store.file(file).unwrap().unwrap().state;
    assert_eq!(state(&t), FileState::Waiting);
    t.store.hold(file, "deletes", "would delete 7", 7).unwrap();
    assert_eq!(state(&t), FileState::Held);
    assert!(t.store.accept(file).unwrap());
    assert!(!t.store.accept(file).unwrap());
    assert_eq!(t.store.file(file).unwrap().unwrap().accepted, Some(7));
    let session = t.begin(file).unwrap();
    assert_eq!(state(&t), FileState::Reading);
    session.finish(end(0)).unwrap();
    assert_eq!(t.store.open_files().unwrap().len(), 1);
    t.store.archived(file, Some("x-f1.csv"), &[], 8).unwrap();
    assert!(t.store.open_files().unwrap().is_empty());
    let row = t.store.file(file).unwrap().unwrap();
    assert_eq!((row.state, row.archived), (FileState::Stored, Some(8)));
    assert_eq!(
        t.store.taken_before("customers", &[7; 32]).unwrap(),
        Some(file)
    );
}

#[test]
fn counts_and_find_follow_the_records() {
    let mut t = tried();
    t.take_in(&[row("1", ANN), row("2", &[("phone", r#""+33 1""#)])]);
    t.acknowledge("1");
    t.take_in(&[gone("2")]);
    let c = t.store.reader().unwrap();
    let counted = counts(&c).unwrap();
    assert_eq!(counted.stored.get(Kind::Customers), 1);
    assert_eq!((counted.pending.total(), counted.stored_files), (0, 2));
    assert_eq!(counted.last_delivered, Some(2));
    let mut found = Vec::new();
    find(&c, "ANN@", None, &mut |key| {
        found.push(key.to_owned());
        true
    })
    .unwrap();
    assert_eq!(found, ["1"]);
}

#[test]
fn small_facts_are_kept() {
    let t = tried();
    t.store.set_text("a", "b").unwrap();
    assert_eq!(t.store.text("a").unwrap().as_deref(), Some("b"));
    assert_eq!(t.store.raise_generation().unwrap(), 1);
    assert_eq!(t.store.raise_generation().unwrap(), 2);
    assert_ne!(t.store.secret().unwrap(), [0; 32]);
    t.store
        .pause(Some("customers"), meta::Pause::Until(10))
        .unwrap();
    let c = t.store.reader().unwrap();
    let paused = |now| meta::paused(&c, Some("customers"), now).unwrap();
    assert_eq!(paused(9), Some(meta::Pause::Until(10)));
    assert_eq!(paused(10), None);
    assert_eq!(meta::paused(&c, None, 0).unwrap(), None);
}
