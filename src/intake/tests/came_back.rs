//! Rejects that come back where something else stands beside them: later rows of the same key, a file
//! that was held, a dry run.

use super::*;
use crate::intake::plan::{CircumstancesOf, dry_run};

impl Stage {
    /// The file's only rejects file.
    fn rejects(&self, row: &FileRow) -> String {
        let [name] = &row.rejects_names[..] else {
            panic!("{:?}", row.rejects_names)
        };
        self.read(&format!("rejects/{name}"))
    }

    /// Takes the rejects of a file back, with this mended in them.
    fn take_mended(&mut self, row: &FileRow, from: &str, to: &str) -> FileRow {
        let text = self.rejects(row);
        assert!(text.contains(from), "{text}");
        self.take("mended.csv", text.replace(from, to))
    }
}

const HEADER: &str = "source_id,name,phone,birthdate\n";

/// A file whose first row is mended after its other rows were stored.
#[track_caller]
fn check(rows: &str, mend: (&str, &str), counted: (u64, u64, u64), expected: &[&str]) {
    let mut stage = Stage::new(|_| {});
    let row = stage.take("a.csv", format!("{HEADER}{rows}"));
    let row = stage.take_mended(&row, mend.0, mend.1);
    assert_eq!((row.changed, row.new, row.skipped), counted, "{rows}");
    assert_eq!(row.rejected, 0, "{rows}");
    stage.check_records(expected);
}

#[test]
fn a_mended_row_does_not_win_over_a_later_row_of_its_file() {
    let mend = ("1,Old,5,x", "1,Old,5,1980-01-01");
    let all = "1,Old,5,x\n1,New,6,1990-01-01\n";
    check(all, mend, (0, 0, 1), &[r#"1 ["1990-01-01","New","6"]"#]);
    // What the later row left blank is what the earlier one said.
    let blank = "1,Old,5,x\n1,New,,\n";
    check(blank, mend, (1, 0, 0), &[r#"1 ["1980-01-01","New","5"]"#]);
    let twice = "1,Old,5,x\n1,New,,\n1,,6,\n";
    check(twice, mend, (1, 0, 0), &[r#"1 ["1980-01-01","New","6"]"#]);
    // An earlier row does not stand over it, nor one that was rejected itself.
    let earlier = "1,New,6,1990-01-01\n1,Old,5,x\n";
    check(earlier, mend, (1, 0, 0), &[r#"1 ["1980-01-01","Old","5"]"#]);
    let rejected = "1,Old,5,x\n2,Bo,,\n";
    let two = &[r#"1 ["1980-01-01","Old","5"]"#, r#"2 [null,"Bo",null]"#];
    check(rejected, mend, (0, 1, 0), two);
}

#[test]
fn a_mended_key_is_compared_as_it_is_mended() {
    check(
        ",Old,5,\n1,New,6,1990-01-01\n",
        ("\n,Old,5,", "\n1,Old,5,"),
        (0, 0, 1),
        &[r#"1 ["1990-01-01","New","6"]"#],
    );
}

#[test]
fn a_mended_row_does_not_bring_back_what_was_deleted_after_it() {
    let mut stage = Stage::new(|_| {});
    let rows = "source_id,name,birthdate,deleted\n1,Ann,,\n1,Ann,x,\n1,,,yes\n2,Bo,x,\n2,Bob,,\n";
    let row = stage.take("a.csv", rows);
    stage.take("b.csv", "source_id,name,birthdate,deleted\n2,,,yes\n");
    let mended = stage.rejects(&row).replace(",x,", ",1990-01-01,");
    let row = stage.take("mended.csv", mended);
    assert_eq!((row.new, row.changed, row.skipped), (0, 0, 2));
    assert!(
        row.notices.iter().any(|n| n.starts_with("2 mended rows")),
        "{:?}",
        row.notices
    );
    stage.check_records(&[]);
}

#[test]
fn rejects_of_rejects_give_way_to_the_first_file_too() {
    let mut stage = Stage::new(|_| {});
    let row = stage.take("a.csv", format!("{HEADER}1,Old,5,x\n1,New,6,1990-01-01\n"));
    let row = stage.take_mended(&row, "5,x", "5,y");
    assert_eq!(row.rejected, 1);
    let row = stage.take_mended(&row, "5,y", "5,1980-01-01");
    assert_eq!((row.changed, row.skipped, row.rejected), (0, 1, 0));
    stage.check_records(&[r#"1 ["1990-01-01","New","6"]"#]);
}

#[test]
fn rejects_of_a_file_that_was_taken_back_stand_for_themselves() {
    let mut stage = Stage::new(|_| {});
    let row = stage.take("a.csv", format!("{HEADER}1,Old,5,x\n1,New,6,1990-01-01\n"));
    stage
        .site
        .store
        .revert(row.id, false, START_MS, |_, _, _| {})
        .unwrap();
    let row = stage.take_mended(&row, "5,x", "5,1980-01-01");
    assert_eq!((row.new, row.skipped), (1, 0));
    stage.check_records(&[r#"1 ["1980-01-01","Old","5"]"#]);
}

/// Twenty records, then a full list that lacks half of them and has a bad row.
fn held_with_a_bad_row() -> (Stage, FileRow) {
    let mut stage = Stage::new(|f| f.missing = Missing::Delete);
    let list = |range: std::ops::Range<u32>, day: &str| {
        range.fold(String::from("source_id,birthdate\n"), |list, n| {
            let day = if n == 3 { day } else { "1990-01-01" };
            list + &format!("{n:02},{day}\n")
        })
    };
    stage.take("a.csv", list(0..20, "1990-01-01"));
    let held = stage.take("b.csv", list(0..10, "x"));
    assert_eq!((held.state, held.held_number), (FileState::Held, Some(10)));
    (stage, held)
}

#[test]
fn rejects_of_a_file_that_was_held_and_accepted_come_back() {
    let (mut stage, held) = held_with_a_bad_row();
    assert!(held.rejects_names.is_empty());
    assert!(stage.site.store.accept(held.id).unwrap());
    stage.control.wake();
    stage.work();
    let row = stage.row(held.id);
    assert_eq!(
        counts(&row),
        "stored rows 10 new 0 changed 0 unchanged 9 deleted 10 rejected 1 skipped 0"
    );
    let row = stage.take_mended(&row, ",x,", ",1991-02-03,");
    // One row, and no full list: nothing is deleted, nor held.
    assert_eq!(
        counts(&row),
        "stored rows 1 new 0 changed 1 unchanged 0 deleted 0 rejected 0 skipped 0"
    );
    assert_eq!(records(&stage.site.store).len(), 10);
    assert!(records(&stage.site.store).contains(&r#"03 ["1991-02-03"]"#.to_owned()));
}

#[test]
fn a_held_file_that_is_discarded_leaves_no_rejects() {
    let (mut stage, held) = held_with_a_bad_row();
    assert!(stage.site.store.discard_file(held.id).unwrap());
    stage.control.wake();
    stage.work();
    let row = stage.row(held.id);
    assert_eq!(row.state, FileState::Discarded);
    assert_eq!((row.rejects_names.len(), row.rejected), (0, 0));
    assert_eq!(stage.site.store.rejects_of(held.id).unwrap(), []);
    let rejects = fs::read_dir(stage.path("rejects"));
    assert_eq!(rejects.map_or(0, Iterator::count), 0);
    assert!(!stage.path("b.csv").exists());
    assert_eq!(records(&stage.site.store).len(), 20);
}

#[test]
fn a_dry_run_of_rejects_names_their_file_and_does_as_intake_will() {
    let mut stage = Stage::new(|_| {});
    let rows = "0042,Old,5,x\n7,Old,5,x\n7,New,6,1990-01-01\n8,,,x\n";
    let row = stage.take("a.csv", format!("{HEADER}{rows}"));
    let mended = (stage.rejects(&row))
        .replace(",x,", ",1980-01-01,")
        .replace("\n0042,", "\n42,");
    let there = stage.dir.path().join("mended.csv");
    let plan = |stage: &Stage, text: &str| {
        fs::write(&there, text).unwrap();
        let circumstances = |_: &config::Folder| CircumstancesOf {
            presets: stage.site.presets.clone(),
            types: Default::default(),
            host_zone: "Europe/Paris".into(),
            today: jiff::civil::date(2026, 11, 25),
        };
        let folder = stage.site.config.folders[0].clone();
        let state = &stage.site.config.state_dir;
        dry_run(
            &[(there.clone(), folder)],
            &circumstances,
            &|| Store::look(state),
            state,
            &|_, _| None,
        )
        .unwrap()
        .remove(0)
    };
    let planned = plan(&stage, &mended);
    let notice = &planned.notices[0];
    assert!(
        notice.contains("rejected rows of file 1 (`a.csv`)"),
        "{notice}"
    );
    let taken = stage.take("mended.csv", &mended);
    assert_eq!((taken.new, taken.rejected, taken.skipped), (1, 1, 1));
    assert_eq!(
        (
            planned.new,
            planned.changed,
            planned.rejected,
            planned.skipped
        ),
        (taken.new, taken.changed, taken.rejected, taken.skipped)
    );
    let foreign = plan(
        &stage,
        &mended
            .replace(",1,2,birthdate", ",77,2,birthdate")
            .replace(",1,3,", ",77,3,")
            .replace(",1,5,", ",77,5,"),
    );
    assert!(
        foreign.notices[0].contains("not known here"),
        "{:?}",
        foreign.notices
    );
}
