//! Any bytes as a file in a folder of any kind: looked over, recognised, mapped. No panic, no hang; what
//! the rows become hangs neither on the borders of batches nor on when the look-over is done.
//!
//! `fuzz/seed.sh && cargo +nightly fuzz run reading` (the first byte of an input chooses the kind).

#![no_main]

use std::io::Cursor;
use std::path::Path;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use tillsync::config::Folder;
use tillsync::kind::Kind;
use tillsync::mapping::{Lookup, MetadataTypes, Place, Reading};
use tillsync::preset::{Presets, Recognised};
use tillsync::record::Batch;
use tillsync::reject::Reject;
use tillsync::table::{Member, Reader, Rows, Settings, survey};

static PRESETS: LazyLock<Presets> =
    LazyLock::new(|| Presets::load(&[]).expect("the embedded presets are sound"));

/// Nothing is stored.
struct Nothing;

impl Lookup for Nothing {
    fn customers_by_email(&self, _: &str) -> Vec<String> {
        Vec::new()
    }

    fn skus_by_code(&self, _: &str) -> Vec<String> {
        Vec::new()
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Some((choice, bytes)) = bytes.split_first() else {
        return;
    };
    let kind = Kind::ALL[*choice as usize % Kind::ALL.len()];
    let folder = Folder::with_defaults("drop", Path::new("/drop"), kind);
    let whole = read(bytes, &folder, 4096, false);
    assert_eq!(whole, read(bytes, &folder, 1, false));
    assert_eq!(whole, read(bytes, &folder, 2, true));
});

/// Records and rejects, each as text. How the two lie among each other is the batches' affair.
fn read(bytes: &[u8], folder: &Folder, rows_max: usize, later: bool) -> [Vec<String>; 2] {
    let mut file = Cursor::new(bytes);
    let known = |cells: &[String]| PRESETS.is_header(folder.kind, cells, &[]);
    let mut out = [Vec::new(), Vec::new()];
    for member in survey(&mut file, &Settings::default(), &known).unwrap_or_default() {
        let Recognised::Taken { preset, .. } =
            PRESETS.recognise("auto", folder.kind, &member.header, &[])
        else {
            continue;
        };
        let place = Place { host_zone: "Europe/Paris", today: jiff::civil::date(2026, 11, 25) };
        let types = MetadataTypes::default();
        let Ok(mut reading) = Reading::compile(&member.header, preset, folder, &types, &place)
        else {
            continue;
        };
        let mut undecided = later && reading.can_look_later();
        if !undecided {
            look_over(&mut file, &member, &mut reading);
        }
        let (mut batch, mut rejects) = (Batch::default(), Vec::new());
        let mut again = Cursor::new(bytes);
        each(&mut file, &member, rows_max, |rows| {
            if undecided && rows.iter().any(|row| reading.is_in_doubt(row)) {
                undecided = false;
                look_over(&mut again, &member, &mut reading);
            }
            for row in rows.iter() {
                reading.map(row, &Nothing, &mut batch, &mut rejects);
            }
            drain(&mut batch, &mut rejects, &mut out);
        });
        while reading.finish(&Nothing, &mut batch, &mut rejects).is_some() {}
        drain(&mut batch, &mut rejects, &mut out);
    }
    out
}

fn look_over(file: &mut Cursor<&[u8]>, member: &Member, reading: &mut Reading) {
    let Some(mut evidence) = reading.evidence() else {
        return;
    };
    each(file, member, 4096, |rows| rows.iter().for_each(|row| evidence.observe(row)));
    reading.decide(evidence);
}

fn each(file: &mut Cursor<&[u8]>, member: &Member, rows_max: usize, mut each: impl FnMut(&Rows)) {
    let Ok(mut reader) = Reader::new(file, member) else {
        return;
    };
    let mut rows = Rows::default();
    while let Ok(true) = reader.read(&mut rows, rows_max) {
        each(&rows);
    }
}

fn drain(batch: &mut Batch, rejects: &mut Vec<Reject>, [records, rejected]: &mut [Vec<String>; 2]) {
    for row in &batch.rows {
        let fields = batch.shapes[row.shape].fields();
        records.push(format!("{:?} {} {fields:?} {}", row.kind, batch.key(row), batch.values(row)));
    }
    rejected.extend(rejects.drain(..).map(|reject| format!("{reject:?}")));
    batch.clear();
}
