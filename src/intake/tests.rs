//! From a file in a folder to records in a store, with a clock that stands until it is told to go on.

mod came_back;
mod round_trip;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use super::*;
use crate::config::{After, Missing};
use crate::kind::Kind;
use crate::store::{FileRow, FileState, Filter};

const SETTLE_MS: i64 = 1_000;
/// 2026-11-25T02:03:12Z
const START_MS: i64 = 1_795_572_192_000;

struct Stopped(AtomicI64);

impl Clock for Stopped {
    fn boot_ms(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }

    fn utc_ms(&self) -> i64 {
        START_MS + self.boot_ms()
    }
}

struct Stage {
    dir: tempfile::TempDir,
    site: Site,
    clock: Arc<Stopped>,
    control: Control,
    intake: Intake,
}

impl Stage {
    fn new(change: impl FnOnce(&mut config::Folder)) -> Stage {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("drop")).unwrap();
        fs::create_dir_all(dir.path().join("state")).unwrap();
        let mut folder =
            config::Folder::with_defaults("drop", &dir.path().join("drop"), Kind::Customers);
        folder.settle = Duration::from_millis(SETTLE_MS as u64);
        change(&mut folder);
        let mut config = Config::with_defaults("till", &dir.path().join("state"));
        config.folders = vec![folder];
        config.retention.min_free = 0;
        let clock = Arc::new(Stopped(AtomicI64::new(1_000_000)));
        let control = Control::new().unwrap();
        let site = Site::new(
            Arc::new(config),
            Arc::new(Presets::load(&[]).unwrap()),
            Store::open(&dir.path().join("state")).unwrap(),
            clock.clone(),
            "Europe/Paris",
        )
        .unwrap();
        let mut intake = Intake::new(site.clone(), control.clone(), true);
        intake.recover().unwrap();
        Stage {
            dir,
            site,
            clock,
            control,
            intake,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join("drop").join(name)
    }

    /// A complete file, renamed in.
    fn drop(&self, name: &str, content: impl AsRef<[u8]>) {
        let there = self.dir.path().join("elsewhere");
        fs::write(&there, content).unwrap();
        fs::rename(there, self.path(name)).unwrap();
    }

    fn pass(&mut self, ms: i64) {
        self.clock.0.fetch_add(ms, Ordering::Relaxed);
        self.work();
    }

    /// Until there is nothing to do at this moment.
    fn work(&mut self) {
        while self.intake.turn().unwrap() {}
    }

    /// As after a crash: what is in memory is gone.
    fn restart(&mut self) {
        self.control = Control::new().unwrap();
        self.intake = Intake::new(self.site.clone(), self.control.clone(), true);
        self.intake.recover().unwrap();
    }

    fn take(&mut self, name: &str, content: impl AsRef<[u8]>) -> FileRow {
        self.drop(name, content);
        self.work();
        self.newest()
    }

    fn newest(&self) -> FileRow {
        let filter = Filter {
            limit: Some(1),
            ..Filter::default()
        };
        let reader = self.site.store.reader().unwrap();
        let mut newest = None;
        crate::store::files(&reader, &filter, &mut |row| {
            newest = Some(row);
            false
        })
        .unwrap();
        newest.unwrap()
    }

    fn row(&self, id: i64) -> FileRow {
        self.site.store.file(id).unwrap().unwrap()
    }

    /// `kind key name` of each stored record.
    #[track_caller]
    fn check_records(&self, expected: &[&str]) {
        assert_eq!(records(&self.site.store), expected);
    }

    /// Names in the drop folder and its own folders.
    #[track_caller]
    fn check_files(&self, expected: &[&str]) {
        let mut found = Vec::new();
        for place in ["", "archive", "rejects"] {
            let Ok(entries) = fs::read_dir(self.path(place)) else {
                continue;
            };
            for entry in entries {
                let path = entry.unwrap().path();
                if path.is_file() {
                    let name = path.strip_prefix(self.path("")).unwrap().to_owned();
                    found.push(name.display().to_string());
                }
            }
        }
        found.sort();
        assert_eq!(found, expected);
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }
}

fn records(store: &Store) -> Vec<String> {
    let reader = store.reader().unwrap();
    let mut statement = reader
        .prepare(
            "SELECT r.source_id, d.vals FROM record r JOIN document d ON d.id = r.id
             WHERE r.gone = 0 ORDER BY r.kind, r.source_id",
        )
        .unwrap();
    let rows = statement
        .query_map([], |row| {
            Ok(format!(
                "{} {}",
                row.get::<_, String>(0)?,
                row.get::<_, String>(1)?
            ))
        })
        .unwrap();
    rows.map(|row| row.unwrap()).collect()
}

fn counts(row: &FileRow) -> String {
    format!(
        "{} rows {} new {} changed {} unchanged {} deleted {} rejected {} skipped {}",
        row.state.name(),
        row.rows,
        row.new,
        row.changed,
        row.unchanged,
        row.deleted,
        row.rejected,
        row.skipped
    )
}

#[test]
fn a_dropped_file_is_stored_and_archived() {
    let mut stage = Stage::new(|_| {});
    let row = stage.take("a.csv", "source_id,name\n1,Ann\n2,Bob\n");
    assert_eq!(
        counts(&row),
        "stored rows 2 new 2 changed 0 unchanged 0 deleted 0 rejected 0 skipped 0"
    );
    stage.check_records(&[r#"1 ["Ann"]"#, r#"2 ["Bob"]"#]);
    stage.check_files(&["archive/20261125T021952Z-a.csv"]);
    assert_eq!(row.archive_name.as_deref(), Some("20261125T021952Z-a.csv"));
    assert_eq!(
        row.hash,
        Some(*blake3::hash(b"source_id,name\n1,Ann\n2,Bob\n").as_bytes())
    );
}

#[test]
fn the_same_rows_again_change_nothing_and_the_last_file_wins() {
    let mut stage = Stage::new(|_| {});
    let (a, b) = (
        "source_id,name\n1,Ann\n2,Bob\n",
        "source_id,name\n1,Anne\n2,Bob\n",
    );
    stage.take("a.csv", a);
    let again = stage.take("a.csv", a);
    assert_eq!(
        counts(&again),
        "stored rows 2 new 0 changed 0 unchanged 2 deleted 0 rejected 0 skipped 0"
    );
    let other = stage.take("a.csv", b);
    assert_eq!(
        counts(&other),
        "stored rows 2 new 0 changed 1 unchanged 1 deleted 0 rejected 0 skipped 0"
    );
    let back = stage.take("a.csv", a);
    assert_eq!(
        counts(&back),
        "stored rows 2 new 0 changed 1 unchanged 1 deleted 0 rejected 0 skipped 0"
    );
    stage.check_records(&[r#"1 ["Ann"]"#, r#"2 ["Bob"]"#]);
    stage.check_files(&[
        "archive/20261125T021952Z-a-1.csv",
        "archive/20261125T021952Z-a-2.csv",
        "archive/20261125T021952Z-a-3.csv",
        "archive/20261125T021952Z-a.csv",
    ]);
}

#[test]
fn a_key_that_comes_back_to_what_it_was_is_not_taken_for_unchanged() {
    let mut stage = Stage::new(|_| {});
    stage.take("a.csv", "source_id,name\n1,Ann\n");
    let row = stage.take("b.csv", "source_id,name\n1,Zoe\n1,Ann\n");
    stage.check_records(&[r#"1 ["Ann"]"#]);
    assert_eq!(row.state, FileState::Stored);
    let mut many = String::from("source_id,name\n1,Zoe\n");
    for n in 2..9_000 {
        many.push_str(&format!("{n},x\n"));
    }
    many.push_str("1,Ann\n");
    stage.take("c.csv", many);
    assert_eq!(records(&stage.site.store)[0], r#"1 ["Ann"]"#);
}

#[test]
fn days_that_a_later_row_explains_are_read_by_it_wherever_they_stand() {
    let mut stage = Stage::new(|_| {});
    let mut content = String::from("source_id,name,birthdate\n");
    for n in 10_000..20_000 {
        content.push_str(&format!("{n},{},1990-02-03\n", "x".repeat(400)));
    }
    content.push_str("20000,Ann,03/04/1990\n20001,Bob,1990-05-06\n20002,Cy,12/25/1990\n");
    let row = stage.take("a.csv", &content);
    assert_eq!(row.new, 10_003);
    assert_eq!(row.rejected, 0);
    let stored = records(&stage.site.store);
    assert_eq!(
        stored[10_000..],
        [
            r#"20000 ["1990-03-04","Ann"]"#,
            r#"20001 ["1990-05-06","Bob"]"#,
            r#"20002 ["1990-12-25","Cy"]"#
        ]
    );
    let reading = row.reading.unwrap();
    assert!(reading.contains(r#""day_first":false"#), "{reading}");
    let again = stage.take("a.csv", &content);
    assert_eq!(again.unchanged, 10_003);
}

#[test]
fn rows_of_a_record_may_stand_apart_as_far_as_memory_allows() {
    let mut stage = Stage::new(|_| {});
    // Sorted by type: each profile's second row stands after the first rows of all.
    let sorted_by_type = |profiles: usize| {
        let mut content = String::from("mpid,scanned_timestamp_ms,identity_value,identity_type\n");
        for (suffix, of_type) in [("", "customer_id"), ("@example.com", "email")] {
            for n in 0..profiles {
                content.push_str(&format!("{n:06},1538596779,c{n:06}{suffix},{of_type}\n"));
            }
        }
        content
    };
    let row = stage.take("some.csv", sorted_by_type(10_000));
    assert_eq!((row.new, row.rejected), (10_000, 0));
    let row = stage.take("many.csv", sorted_by_type(200_000));
    assert_eq!(row.state, FileState::Unreadable);
    let reason = row.reason.unwrap();
    assert!(reason.contains("sort the file"), "{reason}");
    assert_eq!(records(&stage.site.store).len(), 10_000);
}

#[test]
fn rejected_rows_come_back_mended() {
    let mut stage = Stage::new(|_| {});
    let row = stage.take(
        "a.csv",
        "source_id;name;birthdate\n1;Ann;1990-02-31\n2;=Bob;1990-02-03\n3;=Eve;x;y\n",
    );
    assert_eq!(
        counts(&row),
        "stored rows 3 new 1 changed 0 unchanged 0 deleted 0 rejected 2 skipped 0"
    );
    let name = "rejects/20261125T021952Z-a.csv.rejects.csv";
    stage.check_files(&["archive/20261125T021952Z-a.csv", name]);
    let text = stage.read(name);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines[0],
        "\u{feff}source_id;name;birthdate;_surplus;_file;_line;_column;_code;_reason"
    );
    assert!(
        lines[1].starts_with("1;Ann;1990-02-31;;1;2;birthdate;date;"),
        "{}",
        lines[1]
    );
    assert!(lines[2].starts_with("3;'=Eve;x;y;1;4;"), "{}", lines[2]);
    assert_eq!(row.rejects_names, ["20261125T021952Z-a.csv.rejects.csv"]);

    let mended = text.replace("1990-02-31", "1990-02-28");
    let row = stage.take("back.csv", mended);
    assert_eq!(
        counts(&row),
        "stored rows 2 new 1 changed 0 unchanged 0 deleted 0 rejected 1 skipped 0"
    );
    let second = fs::read_dir(stage.path("rejects")).unwrap().count();
    assert_eq!(second, 2);
    let text = stage.read("rejects/20261125T021952Z-back.csv.rejects.csv");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines[0],
        "\u{feff}source_id;name;birthdate;_surplus;_file;_line;_column;_code;_reason"
    );
    let mended = text.replace("x;y;", "1990-01-01;;");
    let row = stage.take("back.csv", mended);
    assert_eq!(stage.site.store.rejects_of(row.id).unwrap(), []);
    assert_eq!(
        counts(&row),
        "stored rows 1 new 1 changed 0 unchanged 0 deleted 0 rejected 0 skipped 0"
    );
    stage.check_records(&[
        r#"1 ["1990-02-28","Ann"]"#,
        r#"2 ["1990-02-03","=Bob"]"#,
        r#"3 ["1990-01-01","=Eve"]"#,
    ]);
}

#[test]
fn a_mended_row_is_read_by_what_its_file_decided() {
    let mut stage = Stage::new(|_| {});
    // The second row says that days come first; the mended one alone would not.
    let row = stage.take(
        "a.csv",
        "source_id,birthdate\n1,02/01/2004x\n2,31/12/1992\n",
    );
    let text = stage.read(&format!("rejects/{}", row.rejects_names[0]));
    let row = stage.take("b.csv", text.replace("2004x", "2004"));
    assert_eq!((row.new, row.rejected), (1, 0));
    stage.check_records(&[r#"1 ["2004-01-02"]"#, r#"2 ["1992-12-31"]"#]);
}

#[test]
fn a_key_that_a_person_filled_up_is_taken() {
    let mut stage = Stage::new(|_| {});
    let row = stage.take("a.csv", "source_id,birthdate\n42,x\n");
    let text = stage.read(&format!("rejects/{}", row.rejects_names[0]));
    let row = stage.take("b.csv", text.replace("42,x", "0042,1990-01-01"));
    assert_eq!((row.new, row.rejected), (1, 0));
}

#[test]
fn a_mended_variation_is_a_sku_by_the_row_that_was_stored() {
    let mut stage = Stage::new(|folder| folder.kind = Kind::Products);
    let row = stage.take(
        "a.csv",
        "sku,store_view_code,attribute_set_code,product_type,name,price,configurable_variations\n\
         T,,Default,configurable,Tee,,\"sku=T-S,size=S\"\nT-S,,Default,simple,Tee S,x,\n",
    );
    assert_eq!((row.new, row.rejected), (1, 1));
    let text = stage.read(&format!("rejects/{}", row.rejects_names[0]));
    let row = stage.take("b.csv", text.replace("Tee S,x,", "Tee S,9,"));
    assert_eq!((row.new, row.rejected), (1, 0));
    stage.check_records(&[
        r#"T ["configurable","Tee"]"#,
        r#"T-S ["S","Tee S",900,"T","T-S"]"#,
    ]);
}

#[test]
fn a_variation_finds_the_product_of_an_earlier_file() {
    let mut stage = Stage::new(|folder| {
        folder.kind = Kind::Products;
        folder.key_prefix = "w-".into();
    });
    stage.take(
        "a.csv",
        "ID,Type,SKU,Regular price,Parent\n1,variable,TEE,,\n",
    );
    let row = stage.take(
        "b.csv",
        "ID,Type,SKU,Regular price,Parent\n2,variation,TEE-S,9,TEE\n",
    );
    assert_eq!((row.new, row.rejected), (1, 0));
    // The product's code changes, and with it what is found.
    stage.take(
        "c.csv",
        "ID,Type,SKU,Regular price,Parent\n1,variable,SHIRT,,\n",
    );
    let row = stage.take(
        "d.csv",
        "ID,Type,SKU,Regular price,Parent\n3,variation,x,9,TEE\n4,variation,y,9,SHIRT\n",
    );
    assert_eq!((row.new, row.rejected), (1, 1));
    stage.check_records(&[
        r#"w-1 ["SHIRT"]"#,
        r#"w-2 [900,"w-1","TEE-S"]"#,
        r#"w-4 [900,"w-1","y"]"#,
    ]);
}

const JAPANESE: &str = "担当者ID,データID,メール,更新日時\n\
    zcrm_1,zcrm_48768760211,a@example.com,2026-01-01\nzcrm_1,4.87688E+18,b@example.com,2026-01-02\n\
    zcrm_1,zcrm_48768760213,c@example.com,2026-01-03\n";

#[test]
fn a_header_in_another_language_is_known_by_its_ids() {
    let mut stage = Stage::new(|_| {});
    let row = stage.take("a.csv", JAPANESE);
    assert_eq!(row.preset.as_deref(), Some("zoho"));
    assert_eq!((row.new, row.rejected), (2, 1));
    stage.check_records(&["48768760211 []", "48768760213 []"]);
    assert!(
        row.notices[0].ends_with("`担当者ID`, `メール`, `更新日時`"),
        "{:?}",
        row.notices
    );
    // The rejected row alone has no id that could tell anything.
    let name = &row.rejects_names[0];
    let text = stage.read(&format!("rejects/{name}"));
    let row = stage.take("b.csv", text.replace("4.87688E+18", "zcrm_48768760212"));
    assert_eq!((row.new, row.rejected), (1, 0));
}

#[test]
fn columns_in_another_language_are_mapped_by_the_folder_and_the_ids_stay_ids() {
    for columns in [
        &[("データID", "source_id"), ("メール", "email")][..],
        &[("メール", "email")],
    ] {
        for preset in ["auto", "zoho"] {
            let mut stage = Stage::new(|folder| {
                folder.preset = preset.into();
                folder.columns = (columns.iter())
                    .map(|(name, target)| ((*name).to_owned(), (*target).to_owned()))
                    .collect();
            });
            let row = stage.take("a.csv", JAPANESE);
            assert_eq!((row.new, row.rejected), (2, 1), "{columns:?} {preset}");
            stage.check_records(&[
                r#"48768760211 ["a@example.com"]"#,
                r#"48768760213 ["c@example.com"]"#,
            ]);
        }
    }
}

#[test]
fn ids_tell_a_header_that_lacks_what_the_format_is_known_by() {
    let mut stage = Stage::new(|_| {});
    let row = stage.take(
        "a.csv",
        "Last Name,Record Id,Email,Modified Time\nRoe,zcrm_11,a@example.com,2026-01-01\n",
    );
    assert_eq!(row.preset.as_deref(), Some("zoho"));
    stage.check_records(&[r#"11 ["a@example.com","Roe"]"#]);
    // A key of one's own making stays the plain format's.
    let row = stage.take("b.csv", "source_id,name\nzcrm_12,Poe\n");
    assert_eq!(row.preset.as_deref(), Some("plain"));
}

#[test]
fn a_key_that_a_spreadsheet_damaged_is_rejected() {
    let mut stage = Stage::new(|_| {});
    stage.take("a.csv", "source_id,birthdate\n0042,x\n");
    let text = stage.read("rejects/20261125T021952Z-a.csv.rejects.csv");
    let row = stage.take("b.csv", text.replace("0042,x", "42,1990-01-01"));
    assert_eq!(
        counts(&row),
        "stored rows 1 new 0 changed 0 unchanged 0 deleted 0 rejected 1 skipped 0"
    );
    let rejects = stage.site.store.rejects_of(row.id).unwrap();
    assert_eq!(rejects[0].code, "bad_key");
    let row = stage.take("c.csv", text.replace("0042,x", "0042,1990-01-01"));
    assert_eq!(
        counts(&row),
        "stored rows 1 new 1 changed 0 unchanged 0 deleted 0 rejected 0 skipped 0"
    );
}

#[test]
fn a_key_that_a_spreadsheet_damaged_is_put_back_and_known_however_often_it_comes() {
    let mut stage = Stage::new(|_| {});
    let row = stage.take("a.csv", "source_id,birthdate\n4006381333931,x\n");
    let mut name = row.rejects_names[0].clone();
    for n in 0..3 {
        let text = stage.read(&format!("rejects/{name}"));
        assert!(text.contains("\n4006381333931,"), "{n}: {text}");
        let text = text.replace("4006381333931,x", "4006381333931,1990-01-01");
        let damaged = text.replace("\n4006381333931,", "\n\"4,00638E+12\",");
        let row = stage.take(&format!("b{n}.csv"), damaged);
        assert_eq!((row.new, row.rejected), (0, 1), "{n}");
        assert_eq!(
            stage.site.store.rejects_of(row.id).unwrap()[0].code,
            "bad_key"
        );
        name = row.rejects_names[0].clone();
    }
    let text = stage.read(&format!("rejects/{name}"));
    let row = stage.take("c.csv", text);
    assert_eq!((row.new, row.rejected), (1, 0));
    stage.check_records(&[r#"4006381333931 ["1990-01-01"]"#]);
}

#[test]
fn damaged_keys_of_orders_and_of_skus_are_known_too() {
    let mut stage = Stage::new(|folder| folder.kind = Kind::Orders);
    let row = stage.take(
        "a.csv",
        "source_id,item.source_id,item.quantity,item.price\n007,A,1,x\n007,B,1,2\n",
    );
    let text = stage.read(&format!("rejects/{}", row.rejects_names[0]));
    let damaged = text.replace("A,1,x", "A,1,5").replace("007,", "7,");
    let row = stage.take("b.csv", damaged);
    assert_eq!((row.new, row.rejected), (0, 2));
    let text = stage.read(&format!("rejects/{}", row.rejects_names[0]));
    let row = stage.take("c.csv", text);
    assert_eq!((row.new, row.rejected), (1, 0));

    let mut stage = Stage::new(|folder| {
        folder.kind = Kind::Products;
        folder.after = After::Leave;
    });
    let row = stage.take(
        "a.csv",
        "Handle,Title,Option1 Name,Option1 Value,Variant SKU,Variant Price\na,A,Size,S,0042,x\n",
    );
    let text = stage.read(&format!("rejects/{}", row.rejects_names[0]));
    let row = stage.take("b.csv", text.replace("0042,x", "42,5"));
    assert_eq!((row.new, row.rejected), (0, 1));
    let rejects = stage.site.store.rejects_of(row.id).unwrap();
    assert_eq!(rejects[0].column.as_deref(), Some("Variant SKU"));
}

#[test]
fn what_is_no_table_goes_to_rejects_whole() {
    let mut stage = Stage::new(|_| {});
    let row = stage.take("a.csv", "name,phone\nAnn,1\n");
    assert_eq!(row.state, FileState::Unreadable);
    let moved = "rejects/20261125T021952Z-a.csv";
    stage.check_files(&[moved, "rejects/20261125T021952Z-a.csv.reason.txt"]);
    assert!(
        stage
            .read("rejects/20261125T021952Z-a.csv.reason.txt")
            .contains(row.reason.as_ref().unwrap())
    );
    stage.check_records(&[]);
}

#[test]
fn a_full_list_that_lacks_too_much_is_held_and_accepted_by_number() {
    let mut stage = Stage::new(|f| {
        f.missing = Missing::Delete;
        f.max_delete_percent = 5.0;
    });
    let list = |from: u32| {
        (from..=40).fold(String::from("source_id,name\n"), |list, n| {
            list + &format!("{n:02},x\n")
        })
    };
    stage.take("a.csv", list(1));
    // Two of forty are five in a hundred.
    let row = stage.take("b.csv", list(3));
    assert_eq!(
        counts(&row),
        "stored rows 38 new 0 changed 0 unchanged 38 deleted 2 rejected 0 skipped 0"
    );
    let held = stage.take("c.csv", list(6));
    assert_eq!(held.state, FileState::Held);
    assert_eq!(
        (held.held_code.as_deref(), held.held_number),
        (Some("deletes"), Some(3))
    );
    assert_eq!(records(&stage.site.store).len(), 38);
    assert!(stage.path("c.csv").exists());
    stage.pass(600_000);
    assert_eq!(stage.row(held.id).state, FileState::Held);
    assert!(stage.site.store.accept(held.id).unwrap());
    stage.control.wake();
    stage.work();
    assert_eq!(stage.row(held.id).state, FileState::Stored);
    assert_eq!(records(&stage.site.store).len(), 35);
}

#[test]
fn a_full_list_without_rows_is_held_and_a_later_one_discards_it() {
    let mut stage = Stage::new(|f| f.missing = Missing::Delete);
    stage.take("a.csv", "source_id,name\n1,Ann\n2,Bob\n");
    let held = stage.take("b.csv", "source_id,name\n");
    assert_eq!(
        (held.state, held.held_code.as_deref()),
        (FileState::Held, Some("empty"))
    );
    stage.take("c.csv", "source_id,name\n1,Ann\n2,Bob\n");
    assert_eq!(stage.row(held.id).state, FileState::Discarded);
    stage.check_files(&[
        "archive/20261125T021952Z-a.csv",
        "archive/20261125T021952Z-b.csv",
        "archive/20261125T021952Z-c.csv",
    ]);
    stage.check_records(&[r#"1 ["Ann"]"#, r#"2 ["Bob"]"#]);
}

#[test]
fn a_rejected_row_counts_as_present_in_a_full_list() {
    let mut stage = Stage::new(|f| f.missing = Missing::Delete);
    stage.take("a.csv", "source_id,birthdate\n1,1990-01-01\n2,1990-01-01\n");
    let row = stage.take("b.csv", "source_id,birthdate\n1,1990-01-01\n2,x\n");
    assert_eq!(
        counts(&row),
        "stored rows 2 new 0 changed 0 unchanged 1 deleted 0 rejected 1 skipped 0"
    );
    assert_eq!(records(&stage.site.store).len(), 2);
}

#[test]
fn skus_of_a_rejected_row_count_as_present_too() {
    let mut stage = Stage::new(|f| {
        f.kind = Kind::Products;
        f.missing = Missing::Delete;
        f.max_delete_percent = 100.0;
    });
    let header = "Handle,Title,Option1 Name,Option1 Value,Variant SKU,Variant Price\n";
    let list = |tee: &str| format!("{header}tee,Tee,Size,S,T-S,1\ntee,,,M,T-M,{tee}\n");
    stage.take("a.csv", format!("{}mug,Mug,Size,S,M-S,1\n", list("1")));
    let row = stage.take("b.csv", list("abc"));
    assert_eq!(
        counts(&row),
        "stored rows 2 new 0 changed 0 unchanged 0 deleted 2 rejected 2 skipped 0"
    );
    assert_eq!(records(&stage.site.store).len(), 3);
}

#[test]
fn a_column_that_is_missing_holds_the_file_until_its_header_is_known() {
    let mut stage = Stage::new(|_| {});
    let (wide, narrow) = (
        "source_id,name,phone\n1,Ann,1\n",
        "source_id,name\n1,Anne\n",
    );
    stage.take("a.csv", wide);
    let held = stage.take("b.csv", narrow);
    assert_eq!(
        (held.state, held.held_code.as_deref()),
        (FileState::Held, Some("columns"))
    );
    assert!(held.reason.as_ref().unwrap().contains("phone"));
    stage.site.store.accept(held.id).unwrap();
    stage.control.wake();
    stage.work();
    assert_eq!(stage.row(held.id).state, FileState::Stored);
    assert_eq!(stage.take("c.csv", wide).state, FileState::Stored);
    assert_eq!(stage.take("d.csv", narrow).state, FileState::Stored);
}

#[test]
fn a_file_that_changes_too_much_is_held() {
    let mut stage = Stage::new(|f| f.max_change_percent = 10.0);
    let list = |changed: u32| {
        (0..200).fold(String::from("source_id,name\n"), |list, n| {
            list + &format!("{n},{}\n", if n < changed { "new" } else { "old" })
        })
    };
    stage.take("a.csv", list(0));
    assert_eq!(stage.take("b.csv", list(20)).state, FileState::Stored);
    let held = stage.take("c.csv", list(60));
    assert_eq!(
        (held.held_code.as_deref(), held.held_number),
        (Some("changes"), Some(40))
    );
}

#[test]
fn a_held_file_that_is_taken_away_is_over() {
    let mut stage = Stage::new(|f| f.missing = Missing::Delete);
    stage.take("a.csv", "source_id,name\n1,Ann\n2,Bob\n");
    let held = stage.take("b.csv", "source_id,name\n");
    fs::remove_file(stage.path("b.csv")).unwrap();
    stage.pass(61_000);
    assert_eq!(stage.row(held.id).state, FileState::Discarded);
}

#[test]
fn orders_too_old_for_a_live_folder_are_held() {
    let old = "source_id,amount,metadata.created_at\n1,5.00,2020-01-01T10:00:00Z\n";
    let mut stage = Stage::new(|f| f.kind = Kind::Orders);
    let held = stage.take("a.csv", old);
    assert_eq!(
        (held.state, held.held_code.as_deref()),
        (FileState::Held, Some("orders"))
    );
    let mut stage = Stage::new(|f| {
        f.kind = Kind::Orders;
        f.history = true;
    });
    assert_eq!(stage.take("a.csv", old).state, FileState::Stored);
}

#[test]
fn the_age_of_an_order_is_read_in_any_notation() {
    for (date, state) in [
        ("2020-01-01", FileState::Held),
        ("01.02.2020 10:00", FileState::Held),
        ("01/31/2020 10:00", FileState::Held),
        ("1/2/2020", FileState::Held),
        ("Jan 31, 2020", FileState::Held),
        ("24.11.2026 10:00", FileState::Stored),
        // The eleventh of December, or the twelfth of November: not old for certain.
        ("11/12/2026", FileState::Stored),
        ("last week", FileState::Stored),
    ] {
        let mut stage = Stage::new(|f| f.kind = Kind::Orders);
        let row = stage.take(
            "a.csv",
            format!("source_id,amount,date\n1,5.00,\"{date}\"\n"),
        );
        assert_eq!(row.state, state, "{date}");
    }
}

#[test]
fn only_orders_that_would_be_stored_are_too_old() {
    let customers = "source_id,email\nC1,ann@b.de\nC2,ann@b.de\n";
    let file = |dates: [&str; 3]| {
        format!(
            "source_id,amount,customer.email,metadata.created_at\n1,5.00,ann@b.de,{}\n2,x,,{}\n3,5.00,,{}\n",
            dates[0], dates[1], dates[2]
        )
    };
    let (old, young) = ("2020-01-01T10:00:00Z", "2026-11-25T01:00:00Z");
    let check = |dates: [&str; 3], expected: Option<&str>| {
        let mut stage = Stage::new(|f| f.kind = Kind::Orders);
        let other = config::Folder {
            name: "customers".into(),
            path: stage.dir.path().join("customers"),
            kind: Kind::Customers,
            ..stage.site.config.folders[0].clone()
        };
        fs::create_dir_all(&other.path).unwrap();
        fs::write(other.path.join("c.csv"), customers).unwrap();
        Arc::make_mut(&mut stage.site.config).folders.push(other);
        stage.restart();
        stage.pass(600_000);
        let row = stage.take("a.csv", file(dates));
        let reason = row.reason.unwrap_or_default();
        match expected {
            Some(said) => assert!(reason.contains(said), "{reason}"),
            None => assert_eq!(
                (row.state, row.new, row.rejected),
                (FileState::Stored, 1, 2)
            ),
        }
    };
    check([young, young, young], None);
    // Rejected: the customer's e-mail is two customers', the amount is none.
    check([old, old, young], None);
    check([old, old, old], Some("1 of its orders is older"));
}

/// `source_id`, customer's id, e-mail of each order.
fn orders_of(rows: &[(&str, &str, &str)]) -> String {
    rows.iter().fold(
        String::from("source_id,amount,customer.source_id,customer.email\n"),
        |csv, (order, id, email)| csv + &format!("{order},1.00,{id},{email}\n"),
    )
}

/// `order → customer` of the stored ones.
fn customers_of_orders(stage: &Stage) -> Vec<String> {
    let lookup = store::StoreLookup::new(stage.site.store.reader().unwrap());
    let of = |order: &str| crate::mapping::Lookup::customer_of_order(&lookup, order);
    (1..9)
        .filter_map(|n| Some(format!("{n} {}", of(&n.to_string())?)))
        .collect()
}

#[test]
fn an_order_finds_the_customer_that_an_earlier_order_of_its_file_makes() {
    let mut stage = Stage::new(|f| f.kind = Kind::Orders);
    let orders = orders_of(&[
        ("1", "C5", "Ann@b.de"),
        ("2", "", "ann@B.de"),
        ("3", "", "ann@b.de"),
        ("4", "", "bo@b.de"),
    ]);
    let row = stage.take("a.csv", &orders);
    assert_eq!((row.new, row.rejected), (4, 0));
    let expected = ["1 C5", "2 C5", "3 C5", "4 bo@b.de"];
    assert_eq!(customers_of_orders(&stage), expected);
    let row = stage.take("b.csv", &orders);
    assert_eq!((row.unchanged, row.changed, row.rejected), (4, 0, 0));
    // What is stored of a customer stands over what an order says.
    let row = stage.take(
        "c.csv",
        orders_of(&[("5", "C5", "new@b.de"), ("6", "", "new@b.de")]),
    );
    assert_eq!((row.new, row.rejected), (2, 0));
    assert_eq!(customers_of_orders(&stage)[4..], ["5 C5", "6 new@b.de"]);
}

#[test]
fn the_same_orders_again_change_nothing_though_their_e_mail_is_two_customers_now() {
    let mut stage = Stage::new(|f| f.kind = Kind::Orders);
    let orders = orders_of(&[("1", "", "ann@b.de"), ("2", "C5", "ann@b.de")]);
    stage.take("a.csv", &orders);
    assert_eq!(customers_of_orders(&stage), ["1 ann@b.de", "2 C5"]);
    let row = stage.take("b.csv", &orders);
    assert_eq!((row.unchanged, row.changed, row.rejected), (2, 0, 0));
    let row = stage.take("c.csv", orders_of(&[("3", "", "ann@b.de")]));
    assert_eq!((row.new, row.rejected), (0, 1));
    assert_eq!(
        stage.site.store.rejects_of(row.id).unwrap()[0].code,
        "conflict"
    );
}

#[test]
fn nobody_reads_the_store_while_a_batch_is_handed_over() {
    struct Checkpoints<'a>(&'a Store, u32);
    impl read::Sink for Checkpoints<'_> {
        type Error = Error;

        fn take(
            &mut self,
            _: &str,
            batch: &mut crate::record::Batch,
            _: &mut Vec<crate::reject::Reject>,
        ) -> Result<()> {
            batch.clear();
            let n = self.1;
            self.0.set_text("batches", &n.to_string())?;
            let writer = store::Connection::open(self.0.path()).map_err(store::Error::from)?;
            let (busy, pages, written_back): (i64, i64, i64) = writer
                .query_row("PRAGMA wal_checkpoint(FULL)", [], |row| {
                    Ok((row.get(0)?, row.get(1)?, row.get(2)?))
                })
                .map_err(store::Error::from)?;
            assert_eq!((busy, written_back), (0, pages));
            self.1 += 1;
            Ok(())
        }
    }
    let stage = Stage::new(|f| f.kind = Kind::Orders);
    stage.site.store.prepare_lookup(Kind::Customers).unwrap();
    let mut text = String::from("source_id,amount,customer.email\n");
    for n in 0..3 * read::BATCH_ROWS_MAX {
        text.push_str(&format!("{n},1.00,p{n}@b.de\n"));
    }
    let path = stage.path("a.csv");
    fs::write(&path, text).unwrap();
    let mut file = fs::File::open(&path).unwrap();
    let again = fs::File::open(&path).unwrap();
    let types = Default::default();
    let of = stage
        .site
        .circumstances(&stage.site.config.folders[0], &types);
    let mut tables = read::prepare(&mut file, &of, &|_| None, read::LookOver::Later).unwrap();
    let lookup = store::StoreLookup::new(stage.site.store.reader().unwrap());
    let mut sink = Checkpoints(&stage.site.store, 0);
    let mut tally = read::Tally::default();
    read::read_table(
        &mut file,
        &again,
        &mut tables[0],
        &lookup,
        None,
        &mut sink,
        &mut tally,
    )
    .unwrap();
    assert!(lookup.take_error().is_none());
    assert!(sink.1 >= 3, "{}", sink.1);
}

#[test]
fn what_is_done_afterwards_is_set() {
    let mut stage = Stage::new(|f| f.after = After::Delete);
    stage.take("a.csv", "source_id,name\n1,Ann\n");
    stage.check_files(&[]);
    let mut stage = Stage::new(|f| f.after = After::Leave);
    let row = stage.take("a.csv", "source_id,name\n1,Ann\n");
    stage.check_files(&["a.csv"]);
    stage.pass(600_000);
    stage.restart();
    stage.pass(600_000);
    assert_eq!(stage.newest().id, row.id);
    let other = stage.take("a.csv", "source_id,name\n1,Anne\n");
    assert_ne!(other.id, row.id);
}

#[test]
fn a_marker_goes_with_its_file() {
    let mut stage = Stage::new(|f| f.done = Some("{name}.ok".into()));
    stage.drop("a.csv", "source_id,name\n1,Ann\n");
    stage.drop("a.csv.ok", "");
    stage.work();
    stage.check_files(&[
        "archive/20261125T021952Z-a.csv",
        "archive/20261125T021952Z-a.csv.ok",
    ]);
}

#[test]
fn a_broken_gzip_stores_what_is_whole_and_says_where_it_ends() {
    let mut text = String::from("source_id,name\n");
    for n in 0..20_000 {
        text.push_str(&format!(
            "{n},{}\n",
            blake3::hash(format!("{n}").as_bytes()).to_hex()
        ));
    }
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(text.as_bytes()).unwrap();
    let packed = packed.finish().unwrap();
    let mut stage = Stage::new(|_| {});
    let row = stage.take("a.csv.gz", &packed[..packed.len() / 2]);
    assert_eq!(row.state, FileState::Stored);
    assert_eq!(
        (row.rejected, row.new > 5_000),
        (1, true),
        "{}",
        counts(&row)
    );
    assert_eq!(row.new, row.rows);
}

#[test]
fn a_name_that_is_no_utf8_is_taken_and_archived_under_its_own_bytes() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let mut stage = Stage::new(|_| {});
    let there = stage.dir.path().join("elsewhere");
    fs::write(&there, "source_id,name\n1,Ann\n").unwrap();
    fs::rename(there, stage.path("").join(OsStr::from_bytes(b"a\xffz.csv"))).unwrap();
    stage.work();
    assert_eq!(stage.newest().name, "a\\xffz.csv");
    let archived = stage
        .path("archive")
        .join(OsStr::from_bytes(b"20261125T021952Z-a\xffz.csv"));
    assert!(archived.exists());
}

#[test]
fn a_file_that_grows_in_the_archive_is_read_again_and_said() {
    let mut stage = Stage::new(|_| {});
    stage.take("a.csv", "source_id,name\n1,Ann\n");
    let archived = stage.path("archive/20261125T021952Z-a.csv");
    let mut file = fs::File::options().append(true).open(archived).unwrap();
    file.write_all(b"2,Bob\n").unwrap();
    drop(file);
    stage.pass(61_000);
    stage.pass(SETTLE_MS);
    stage.check_records(&[r#"1 ["Ann"]"#, r#"2 ["Bob"]"#]);
    stage.check_files(&["archive/20261125T021952Z-a.csv"]);
    assert_eq!(stage.control.look().notices[0].kind, "grown");
}

#[test]
fn a_file_that_may_not_be_read_waits_and_is_said() {
    if rustix::process::geteuid().is_root() {
        return;
    }
    use std::os::unix::fs::PermissionsExt;
    let mut stage = Stage::new(|_| {});
    stage.drop("a.csv", "source_id,name\n1,Ann\n");
    fs::set_permissions(stage.path("a.csv"), fs::Permissions::from_mode(0o000)).unwrap();
    stage.work();
    assert_eq!(stage.control.look().notices[0].kind, "unreadable_by_us");
    fs::set_permissions(stage.path("a.csv"), fs::Permissions::from_mode(0o600)).unwrap();
    stage.pass(10_000);
    stage.check_records(&[r#"1 ["Ann"]"#]);
    assert!(stage.control.look().notices.is_empty());
}

#[test]
fn without_room_no_file_is_begun_and_it_goes_on_by_itself() {
    let mut stage = Stage::new(|_| {});
    let mut config = (*stage.site.config).clone();
    config.retention.min_free = u64::MAX;
    let full = Arc::new(config.clone());
    stage.control.reconfigure(full, stage.site.presets.clone());
    stage.drop("a.csv", "source_id,name\n1,Ann\n");
    stage.work();
    stage.check_files(&["a.csv"]);
    let board = stage.control.look();
    assert_eq!(board.folders[0].state, "full");
    assert!(board.blocked.unwrap().reason.contains("min_free"));
    config.retention.min_free = 0;
    stage
        .control
        .reconfigure(Arc::new(config), stage.site.presets.clone());
    stage.pass(60_000);
    stage.check_records(&[r#"1 ["Ann"]"#]);
    assert_eq!(stage.control.look().folders[0].state, "watched");
}

#[test]
fn a_paused_folder_takes_nothing_until_it_is_resumed() {
    let mut stage = Stage::new(|_| {});
    stage
        .site
        .store
        .pause(Some("drop"), store::meta::Pause::Open)
        .unwrap();
    stage.drop("a.csv", "source_id,name\n1,Ann\n");
    stage.work();
    stage.check_records(&[]);
    let paused = |stage: &Stage| {
        let folder = stage.control.look().folders.remove(0);
        (folder.state, folder.reason.unwrap_or_default())
    };
    let resume = "`tillsync resume --folder drop`";
    assert_eq!(
        paused(&stage),
        ("paused".to_owned(), format!("until {resume}"))
    );
    // With an end, the end is said.
    let end = "2100-01-01T00:00:00Z".parse::<jiff::Timestamp>().unwrap();
    let pause = store::meta::Pause::Until(end.as_millisecond());
    stage.site.store.pause(Some("drop"), pause).unwrap();
    stage.control.wake();
    stage.work();
    let said = format!("until 2100-01-01T00:00:00Z, or {resume}");
    assert_eq!(paused(&stage), ("paused".to_owned(), said));
    stage.site.store.resume(Some("drop")).unwrap();
    stage.control.wake();
    stage.work();
    stage.check_records(&[r#"1 ["Ann"]"#]);
}

#[test]
fn what_happens_while_a_file_is_read_is_taken_back_and_read_again() {
    let mut stage = Stage::new(|_| {});
    let before = "source_id,name\n".to_owned() + &"1,Ann\n".repeat(3) + "2,Bob\n";
    stage.drop("a.csv", &before);
    stage.intake.folders_look();
    // The first look found it complete; now it is written over, before and while it is read.
    let site = stage.site.clone();
    let path = stage.path("a.csv");
    let id = site.store.arrive(&arrival(&path), 0).unwrap();
    let row = site.store.file(id).unwrap().unwrap();
    let (place, _) = crate::folder::scan::open_folder(path.parent().unwrap()).unwrap();
    let claimed = crate::folder::claim::claim(&place, std::ffi::OsStr::new("a.csv")).unwrap();
    let mut wrote = false;
    let mut between = || {
        if !std::mem::replace(&mut wrote, true) {
            // As long as before, and not the same.
            fs::write(&path, before.replace("Ann", "Eve")).unwrap();
        }
        Ok(())
    };
    let settings = site.config.folders[0].clone();
    let taken = take::take(&site, &settings, &row, &claimed, &mut between).unwrap();
    assert_eq!(taken, take::Taken::Changed);
    stage.check_records(&[]);
    stage.pass(SETTLE_MS);
    stage.pass(SETTLE_MS);
    stage.check_records(&[r#"1 ["Eve"]"#, r#"2 ["Bob"]"#]);
}

fn arrival(path: &Path) -> crate::store::Arrival {
    let stat = rustix::fs::stat(path).unwrap();
    let stat = crate::folder::scan::to_stat(&stat);
    crate::store::Arrival {
        folder: "drop".into(),
        kind: Kind::Customers,
        name: b"a.csv".to_vec(),
        shown: "a.csv".into(),
        device: stat.device,
        inode: stat.inode,
        size: stat.size,
        mtime_ns: stat.mtime_ns,
        by_hand: false,
    }
}

#[test]
fn rights_that_change_while_a_file_is_read_do_not_matter() {
    use std::os::unix::fs::PermissionsExt;
    let stage = Stage::new(|_| {});
    stage.drop("a.csv", "source_id,name\n1,Ann\n");
    let path = stage.path("a.csv");
    let id = stage.site.store.arrive(&arrival(&path), 0).unwrap();
    let row = stage.row(id);
    let (place, _) = crate::folder::scan::open_folder(path.parent().unwrap()).unwrap();
    let claimed = crate::folder::claim::claim(&place, std::ffi::OsStr::new("a.csv")).unwrap();
    let mut between = || {
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        Ok(())
    };
    let settings = stage.site.config.folders[0].clone();
    let taken = take::take(&stage.site, &settings, &row, &claimed, &mut between).unwrap();
    assert!(matches!(taken, take::Taken::Stored(_)));
}

/// Reads a file of many batches, and dies at the n-th.
fn die_at(stage: &mut Stage, batch: usize) -> bool {
    let path = stage.path("a.csv");
    let row = match stage.site.store.open_files().unwrap().pop() {
        Some(row) => row,
        None => {
            let id = stage.site.store.arrive(&arrival(&path), 0).unwrap();
            stage.row(id)
        }
    };
    let (place, _) = crate::folder::scan::open_folder(path.parent().unwrap()).unwrap();
    let claimed = crate::folder::claim::claim(&place, std::ffi::OsStr::new("a.csv")).unwrap();
    let mut n = 0;
    let mut between = || {
        n += 1;
        if n > batch {
            Err(Error::Stopped)
        } else {
            Ok(())
        }
    };
    let settings = stage.site.config.folders[0].clone();
    take::take(&stage.site, &settings, &row, &claimed, &mut between).is_err()
}

#[test]
fn killed_at_any_batch_the_end_is_the_same() {
    let mut text = String::from("source_id,name,birthdate\n");
    for n in 0..13_000 {
        let day = if n % 1_000 == 7 { "x" } else { "1990-01-01" };
        text.push_str(&format!("{:05},n{n},{day}\n", (n * 7_919) % 12_500));
    }
    let mut whole = Stage::new(|_| {});
    let expected = counts(&whole.take("a.csv", &text));
    let records_expected = records(&whole.site.store);
    let rejects_expected = whole.read("rejects/20261125T021952Z-a.csv.rejects.csv");
    for batch in 0..4 {
        let mut stage = Stage::new(|_| {});
        stage.drop("a.csv", &text);
        assert!(die_at(&mut stage, batch));
        stage.restart();
        stage.work();
        let row = stage.newest();
        assert_eq!(counts(&row), expected, "killed at batch {batch}");
        assert_eq!(row.crashes, 1);
        assert_eq!(records(&stage.site.store), records_expected);
        assert_eq!(
            stage.read("rejects/20261125T021952Z-a.csv.rejects.csv"),
            rejects_expected
        );
        stage.check_files(&[
            "archive/20261125T021952Z-a.csv",
            "rejects/20261125T021952Z-a.csv.rejects.csv",
        ]);
    }
}

#[test]
fn a_key_that_stands_twice_counts_once_after_a_kill_too() {
    let mut text = String::from("source_id,name\n00000,first\n");
    for n in 0..9_000 {
        text.push_str(&format!("{n:05},n{n}\n"));
    }
    let mut stage = Stage::new(|_| {});
    stage.drop("a.csv", &text);
    assert!(die_at(&mut stage, 1));
    stage.restart();
    stage.work();
    let row = stage.newest();
    assert_eq!((row.new, row.unchanged), (9_000, 0));
}

#[test]
fn a_file_that_kills_the_process_three_times_is_set_aside() {
    let mut text = String::from("source_id,name\n");
    for n in 0..9_000 {
        text.push_str(&format!("{n:05},x\n"));
    }
    let mut stage = Stage::new(|_| {});
    stage.drop("a.csv", &text);
    for _ in 0..take::CRASHES_MAX {
        assert!(die_at(&mut stage, 1));
        stage.restart();
    }
    stage.work();
    assert_eq!(stage.newest().state, FileState::Unreadable);
    stage.check_records(&[]);
    stage.check_files(&[
        "rejects/20261125T021952Z-a.csv",
        "rejects/20261125T021952Z-a.csv.reason.txt",
    ]);
    assert_eq!(
        stage.take("b.csv", "source_id,name\n1,Ann\n").state,
        FileState::Stored
    );
}

#[test]
fn a_stop_that_was_asked_for_is_no_crash() {
    let mut text = String::from("source_id,name\n");
    for n in 0..9_000 {
        text.push_str(&format!("{n:05},x\n"));
    }
    let mut stage = Stage::new(|_| {});
    stage.drop("a.csv", &text);
    for _ in 0..5 {
        stage.control.stop();
        while stage.intake.turn().unwrap() {}
        stage.intake.end().unwrap();
        stage.restart();
    }
    stage.work();
    assert_eq!(
        counts(&stage.newest()),
        "stored rows 9000 new 9000 changed 0 unchanged 0 deleted 0 rejected 0 skipped 0"
    );
}

#[test]
fn after_each_step_of_moving_away_a_restart_finds_the_rest() {
    for step in 0..4 {
        let mut stage = Stage::new(|_| {});
        stage.drop("a.csv", "source_id,birthdate\n1,x\n2,1990-01-01\n");
        // Stored, and nothing more.
        let path = stage.path("a.csv");
        let id = stage
            .site
            .store
            .arrive(&arrival(&path), stage.site.clock.utc_ms())
            .unwrap();
        let (place, _) = crate::folder::scan::open_folder(path.parent().unwrap()).unwrap();
        let claimed = crate::folder::claim::claim(&place, std::ffi::OsStr::new("a.csv")).unwrap();
        let settings = stage.site.config.folders[0].clone();
        take::take(
            &stage.site,
            &settings,
            &stage.row(id),
            &claimed,
            &mut || Ok(()),
        )
        .unwrap();
        let (archive, rejects) = (stage.path("archive"), stage.path("rejects"));
        match step {
            // A rejects file is half written.
            1 => {
                fs::create_dir(&rejects).unwrap();
                fs::write(rejects.join(".tillsync-write-1"), "half").unwrap();
            }
            // The rejects file stands, and is not noted.
            2 => {
                let row = stage.row(id);
                fs::create_dir(&rejects).unwrap();
                away::write_rejects(&stage.site, &row, || {
                    Ok(crate::folder::archive::own_folder(&place, "rejects")?)
                })
                .unwrap();
            }
            // The file is on its way.
            3 => {
                fs::create_dir(&archive).unwrap();
                fs::rename(&path, archive.join(".tillsync-1")).unwrap();
            }
            _ => {}
        }
        stage.restart();
        stage.work();
        stage.check_files(&[
            "archive/20261125T021952Z-a.csv",
            "rejects/20261125T021952Z-a.csv.rejects.csv",
        ]);
        assert!(stage.row(id).archived.is_some(), "step {step}");
        assert_eq!(stage.newest().id, id);
    }
}

#[test]
fn a_file_whose_place_another_took_is_not_mixed_up() {
    let mut stage = Stage::new(|_| {});
    stage.drop("a.csv", "source_id,name\n1,Ann\n");
    let path = stage.path("a.csv");
    let id = stage.site.store.arrive(&arrival(&path), 0).unwrap();
    fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", &path).unwrap();
    stage.restart();
    stage.work();
    assert_eq!(stage.row(id).state, FileState::Discarded);
    assert_eq!(stage.newest().id, id);
    assert!(path.exists());
}

#[test]
fn sync_takes_in_all_that_is_there_and_ends() {
    let mut stage = Stage::new(|f| f.settle = Duration::ZERO);
    fs::write(stage.path("b.csv"), "source_id,name\n2,Bob\n").unwrap();
    fs::write(stage.path("a.csv"), "source_id,name\n1,Ann\n3,x\n").unwrap();
    let taken = sync_once(stage.site.clone(), &Control::new().unwrap()).unwrap();
    assert_eq!((taken.stored, taken.new, taken.rejected), (2, 3, 0));
    stage.work();
    stage.check_records(&[r#"1 ["Ann"]"#, r#"2 ["Bob"]"#, r#"3 ["x"]"#]);
}

#[test]
fn an_imported_file_stays_where_it_is() {
    let stage = Stage::new(|_| {});
    let path = stage.dir.path().join("hand.csv");
    fs::write(&path, "source_id,birthdate\n1,x\n2,1990-01-01\n").unwrap();
    let settings = stage.site.config.folders[0].clone();
    let row = import::import(&stage.site, &settings, &path, &stage.control).unwrap();
    assert_eq!(
        counts(&row),
        "stored rows 2 new 1 changed 0 unchanged 0 deleted 0 rejected 1 skipped 0"
    );
    assert!(path.exists());
    stage.check_files(&["rejects/20261125T021952Z-hand.csv.rejects.csv"]);
    assert!(stage.site.store.open_files().unwrap().is_empty());
}

#[test]
fn a_dry_run_says_what_would_be_and_changes_nothing() {
    let mut stage = Stage::new(|_| {});
    stage.take("a.csv", "source_id,name\n1,Ann\n2,Bob\n");
    let path = stage.dir.path().join("plan.csv");
    fs::write(
        &path,
        "source_id,name,birthdate\n1,Anne,\n2,Bob,\n3,Eve,\n4,Kim,x\n",
    )
    .unwrap();
    let settings = stage.site.config.folders[0].clone();
    let of = |_: &config::Folder| plan::CircumstancesOf {
        presets: stage.site.presets.clone(),
        types: MetadataTypes::default(),
        host_zone: "UTC".into(),
        today: jiff::civil::date(2026, 11, 25),
    };
    let state_dir = &stage.site.config.state_dir;
    let look = || Store::look(state_dir);
    let files = [
        (path.clone(), settings.clone()),
        (path.clone(), settings.clone()),
    ];
    let planned = plan::dry_run(&files, &of, &look, state_dir, &|_, _| None).unwrap();
    let told = |p: &plan::PlannedFile| (p.rows, p.new, p.changed, p.unchanged, p.rejected);
    assert_eq!(told(&planned[0]), (4, 1, 1, 1, 1));
    // As if they were dropped in this order.
    assert_eq!(told(&planned[1]), (4, 0, 0, 3, 1));
    assert_eq!(planned[0].changes[0].to.as_deref(), Some("\"Anne\""));
    assert_eq!(records(&stage.site.store).len(), 2);
    // Without a store all is new.
    let planned = plan::dry_run(&files[..1], &of, &|| Ok(None), state_dir, &|_, _| None).unwrap();
    assert_eq!(told(&planned[0]), (4, 3, 0, 0, 1));
}
