//! SKUs go with their product, whatever deleted it.

use super::*;
use crate::record::Op;
use crate::store::flight::{self, Selection};
use crate::store::skus::{By, delete_some};

const TEA: &[(&str, &str)] = &[("name", r#""Tea""#)];

fn sku<'a>(key: &'a str, product: &'a str) -> Row<'a> {
    row(key, &[("product", product), ("sku", r#""x""#)])
}

/// Products P1 and P2 with two SKUs and one, all acknowledged.
fn stocked() -> (Tried, i64) {
    let mut t = tried();
    let (products, _) = products(&mut t, &[row("P1", TEA), row("P2", TEA)]);
    let skus = [
        sku("S1", r#""P1""#),
        sku("S2", r#""P1""#),
        sku("S3", r#""P2""#),
    ];
    t.take_in_of("skus", Kind::Skus, &skus);
    t.acknowledge_all();
    (t, products)
}

fn products(t: &mut Tried, rows: &[Row<'_>]) -> (i64, Counts) {
    t.take_in_of("products", Kind::Products, rows)
}

/// Keys that stand here.
#[track_caller]
fn check(t: &Tried, expected: &str) {
    let c = t.store.reader().unwrap();
    let sql = "SELECT coalesce(group_concat(source_id, ' '), '') FROM record WHERE NOT gone";
    let found: String = c.query_row(sql, [], |row| row.get(0)).unwrap();
    assert_eq!(found, expected);
    let there = found.split_whitespace().count() as u64;
    assert_eq!(counts(&c).unwrap().stored.total(), there);
}

fn delete_p1(t: &mut Tried) -> (i64, Counts) {
    products(t, &[row("P2", TEA), gone("P1")])
}

#[test]
fn a_row_that_deletes_a_product_deletes_its_skus() {
    let (mut t, _) = stocked();
    let (file, counts) = delete_p1(&mut t);
    check(&t, "P2 S3");
    // The file is one of products, and counts those.
    assert_eq!((counts.deleted, counts.unchanged), (1, 1));
    let row = t.store.file(file).unwrap().unwrap();
    assert_eq!(row.notices, ["2 SKUs were deleted with their products"]);
    let trace = trace(&t.store.reader().unwrap(), Kind::Skus, "S1").unwrap();
    let change = trace.unwrap().changes.pop().unwrap();
    assert_eq!(
        (change.op, change.file, change.line),
        (Op::Deleted, Some(file), Some(3))
    );
    // What is gone already takes nothing along.
    t.take_in_of("skus", Kind::Skus, &[sku("S1", r#""P1""#)]);
    delete_p1(&mut t);
    check(&t, "P2 S1 S3");
}

#[test]
fn a_full_list_that_lacks_a_product_deletes_its_skus() {
    let (mut t, _) = stocked();
    let file = t.arrive("products", Kind::Products);
    let mut session = t.begin(file).unwrap();
    session.present(Kind::Products, &["P2"]).unwrap();
    let full = Finish {
        delete_missing: true,
        ..end(1)
    };
    assert_eq!(session.finish(full).unwrap().deleted, 1);
    check(&t, "P2 S3");
    let trace = trace(&t.store.reader().unwrap(), Kind::Skus, "S1").unwrap();
    let change = trace.unwrap().changes.pop().unwrap();
    assert_eq!(
        (change.op, change.file, change.line),
        (Op::Deleted, Some(file), None)
    );
}

/// Rows of products and SKUs from one file.
fn mixed(t: &Tried, file: i64, products: &[Row<'_>], skus: &[Row<'_>]) -> IntakeSession {
    let mut session = t.begin(file).unwrap();
    for (kind, rows, line) in [(Kind::Skus, skus, 2), (Kind::Products, products, 20)] {
        session
            .apply(batch(kind, rows, line), vec![], "", 1)
            .unwrap();
    }
    session
}

#[test]
fn a_file_of_both_kinds_that_is_read_again_after_a_kill_ends_the_same() {
    for killed in [false, true] {
        let (mut t, _) = stocked();
        let file = t.arrive("products", Kind::Products);
        let skus = [row("S1", &[("sku", r#""y""#)]), sku("S4", r#""P1""#)];
        if killed {
            let session = mixed(&t, file, &[gone("P1")], &skus);
            session.settle().unwrap();
            let by = By::File { file, first_seq: 1 };
            let went = t.store.write(move |c| delete_some(c, by, "", 9));
            assert_eq!(went.unwrap().0, 3);
        }
        let session = mixed(&t, file, &[gone("P1")], &skus);
        let counts = session.finish(end(3)).unwrap();
        assert_eq!((counts.new, counts.changed, counts.deleted), (1, 1, 1));
        check(&t, "P2 S3");
        let row = t.store.file(file).unwrap().unwrap();
        assert_eq!(row.notices, ["3 SKUs were deleted with their products"]);
        let reader = t.store.reader().unwrap();
        let changes = trace(&reader, Kind::Skus, "S1").unwrap().unwrap().changes;
        assert_eq!(changes.len(), 3, "killed: {killed}");
    }
}

#[test]
fn a_product_that_stands_at_the_files_end_keeps_its_skus() {
    let (mut t, _) = stocked();
    products(&mut t, &[gone("P1"), row("P1", TEA)]);
    check(&t, "P1 P2 S1 S2 S3");
}

#[test]
fn a_sku_that_moved_in_time_stays() {
    let (mut t, _) = stocked();
    t.take_in_of("skus", Kind::Skus, &[sku("S2", r#""P2""#)]);
    delete_p1(&mut t);
    check(&t, "P2 S2 S3");
}

#[test]
fn skus_that_wait_or_are_parked_go_too() {
    let mut t = tried();
    products(&mut t, &[row("P1", TEA)]);
    let skus = [sku("S1", r#""P1""#), sku("S2", r#""P1""#)];
    t.take_in_of("skus", Kind::Skus, &skus);
    t.acknowledge("P1");
    t.park("S2");
    products(&mut t, &[gone("P1")]);
    check(&t, "");
    // S2 was refused as far as is known, but a flight carried it.
    assert_eq!(t.pending(), ["P1", "S2"]);
    let c = t.store.reader().unwrap();
    assert_eq!(parked_total(&c).unwrap(), 0);
}

#[test]
fn a_file_that_is_taken_back_or_reverted_brings_them_back() {
    let (mut t, _) = stocked();
    let (file, _) = delete_p1(&mut t);
    for dry_run in [true, false] {
        let done = t.store.revert(file, dry_run, 9, |_, _, _| ()).unwrap();
        assert_eq!((done.set_back, done.deleted, done.left), (3, 0, 0));
    }
    check(&t, "P1 P2 S1 S2 S3");
    // Nothing was sent of it.
    assert_eq!(t.pending(), Vec::<String>::new());
    let (file, _) = delete_p1(&mut t);
    let again = FileState::Discarded;
    t.store.take_back(file, again, None, 9).unwrap();
    check(&t, "P1 P2 S1 S2 S3");
    assert_eq!(t.pending(), Vec::<String>::new());
}

#[test]
fn a_revert_that_deletes_products_deletes_their_skus() {
    let (t, file) = stocked();
    for dry_run in [true, false] {
        let done = t.store.revert(file, dry_run, 9, |_, _, _| ()).unwrap();
        assert_eq!((done.set_back, done.deleted, done.left), (0, 5, 0));
    }
    check(&t, "");
}

#[test]
fn a_discarded_product_takes_its_skus_along() {
    let mut t = tried();
    products(&mut t, &[row("P1", TEA), row("P2", TEA)]);
    let skus = [sku("S1", r#""P1""#), sku("S2", r#""P2""#)];
    t.take_in_of("skus", Kind::Skus, &skus);
    t.park("P1");
    t.park("S1");
    for dry_run in [true, false] {
        let discard = move |c: &_| flight::discard(c, &Selection::All, dry_run, 9);
        assert_eq!(t.store.write(discard).unwrap().deleted, 2);
    }
    check(&t, "P2 S2");
    assert_eq!(parked_total(&t.store.reader().unwrap()).unwrap(), 0);
}

#[test]
fn ten_thousand_skus_go_in_steps_and_a_kill_between_them_does_no_harm() {
    let mut t = tried();
    products(&mut t, &[row("P1", TEA), row("P2", TEA)]);
    let keys: Vec<String> = (0..10_000).map(|n| format!("S{n:05}")).collect();
    for (n, keys) in keys.chunks(5_000).enumerate() {
        let product = [r#""P1""#, r#""P2""#][n % 2];
        let rows: Vec<_> = keys.iter().map(|key| sku(key, product)).collect();
        t.take_in_of("skus", Kind::Skus, &rows);
    }
    let file = t.arrive("products", Kind::Products);
    let mut session = t.begin(file).unwrap();
    let rows = batch(Kind::Products, &[gone("P1")], 2);
    session.apply(rows, vec![], "", 1).unwrap();
    session.settle().unwrap();
    // The first step, and no more.
    let by = By::File { file, first_seq: 1 };
    let went = t.store.write(move |c| delete_some(c, by, "", 9));
    assert_eq!(went.unwrap().0, 4_096);
    drop(session);
    let mut session = t.begin(file).unwrap();
    let rows = batch(Kind::Products, &[gone("P1")], 2);
    session.apply(rows, vec![], "", 1).unwrap();
    assert_eq!(session.finish(end(1)).unwrap().deleted, 1);
    let c = t.store.reader().unwrap();
    assert_eq!(counts(&c).unwrap().stored.total(), 5_001);
    let row = t.store.file(file).unwrap().unwrap();
    assert_eq!(row.notices, ["5000 SKUs were deleted with their products"]);
}
