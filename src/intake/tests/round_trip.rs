//! Rejects come back: whatever row of whatever format was spoilt, mended in its rejects file as a
//! person's spreadsheet saves it and dropped again, it leaves the store as if the file had been right.

use std::collections::BTreeMap;
use std::io::Cursor;

use super::*;
use crate::table::{self, Rows, Settings};

/// A table: header and rows, each with whether a blank line stands before it. Rows of a footer have
/// fewer cells.
struct Sheet {
    header: Vec<String>,
    rows: Vec<(bool, Vec<String>)>,
}

impl Sheet {
    fn of(bytes: &[u8], kind: Kind) -> Option<Sheet> {
        let presets = Presets::load(&[]).unwrap();
        let known = |cells: &[String]| presets.is_header(kind, cells, &[]);
        let mut file = Cursor::new(bytes);
        let members = table::survey(&mut file, &Settings::default(), &known).ok()?;
        let [member] = &members[..] else { return None };
        let mut sheet = Sheet {
            header: member.header.clone(),
            rows: Vec::new(),
        };
        let mut reader = table::Reader::new(&mut file, member).ok()?;
        let mut rows = Rows::default();
        while reader.read(&mut rows, 100).ok()? {
            for row in rows.iter() {
                sheet.rows.push((row.after_blank_line(), row.cells()));
            }
        }
        Some(sheet)
    }

    /// As CSV, and on which line each row begins.
    fn written(&self) -> (String, Vec<u64>) {
        let mut text = csv_row(&self.header, ',', false);
        let mut lines = Vec::new();
        for (after_blank, cells) in &self.rows {
            if *after_blank {
                text.push_str("\r\n");
            }
            lines.push(text.matches('\n').count() as u64 + 1);
            text.push_str(&csv_row(cells, ',', false));
        }
        (text, lines)
    }
}

fn csv_row(cells: &[String], delimiter: char, quote_all: bool) -> String {
    let cell = |cell: &String| {
        let quoted = quote_all
            || cell.contains([delimiter, '"', '\n', '\r'])
            || cell.trim() != cell
            || cells.len() == 1;
        match quoted {
            true => format!("\"{}\"", cell.replace('"', "\"\"")),
            false => cell.clone(),
        }
    };
    let row: Vec<String> = cells.iter().map(cell).collect();
    row.join(&delimiter.to_string()) + "\r\n"
}

/// What a program makes of a table when it saves it.
type Save = fn(&[Vec<String>]) -> Vec<u8>;

/// What a person's program makes of a mended one.
const SAVED_AS: [Save; 6] = [
    |rows| ("\u{FEFF}".to_owned() + &whole(rows, ',', false)).into_bytes(),
    |rows| ("\u{FEFF}".to_owned() + &whole(rows, ';', true)).into_bytes(),
    |rows| whole(rows, ';', false).replace("\r\n", "\n").into_bytes(),
    |rows| {
        // Excel's "CSV", where the letters allow it.
        let text = whole(rows, ';', false);
        let (bytes, _, lost) = encoding_rs::WINDOWS_1252.encode(&text);
        match lost {
            true => text.clone().into_bytes(),
            false => bytes.into_owned(),
        }
    },
    |rows| {
        // Excel's "Unicode text".
        let text = "\u{FEFF}".to_owned() + &whole(rows, '\t', false);
        text.encode_utf16().flat_map(u16::to_le_bytes).collect()
    },
    |rows| ("sep=;\r\n".to_owned() + &whole(rows, ';', false)).into_bytes(),
];

fn whole(rows: &[Vec<String>], delimiter: char, quote_all: bool) -> String {
    rows.iter()
        .map(|row| csv_row(row, delimiter, quote_all))
        .collect()
}

/// The rejects file's rows, with what stood right in each put back.
fn mended(rejects: &str, right: &BTreeMap<u64, Vec<String>>) -> Vec<Vec<String>> {
    let text = rejects.trim_start_matches('\u{FEFF}');
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .from_reader(text.as_bytes());
    let mut rows: Vec<Vec<String>> = (reader.records())
        .map(|record| record.unwrap().iter().map(str::to_owned).collect())
        .collect();
    let own = rows[0].len() - crate::intake::returned::COLUMNS.len();
    for row in &mut rows[1..] {
        let line: u64 = row[own + 2].parse().unwrap();
        for (n, cell) in row[..own].iter_mut().enumerate() {
            *cell = right[&line].get(n).cloned().unwrap_or_default();
        }
        row[own].clear();
    }
    rows
}

fn stage_of(kind: Kind) -> Stage {
    Stage::new(|folder| {
        folder.kind = kind;
        // The samples' orders are of any age.
        folder.live = Duration::from_secs(100 * 366 * 86_400);
    })
}

/// Drops the spoilt file, mends its rejects and drops them. `None`: nothing of it was rejected, or
/// rows were stored with what they were spoilt by; where one row alone is spoilt, others may be stored.
fn stored_after_mending(
    kind: Kind,
    skipped: u64,
    right: &Sheet,
    spoilt: &Sheet,
    saved_as: usize,
    one: bool,
    expected: &[String],
) -> Option<Vec<String>> {
    let mut stage = stage_of(kind);
    let (text, lines) = spoilt.written();
    let row = stage.take("a.csv", text);
    // Of a profile without a key one row is rejected, and the others are passed over.
    let all_there = row.skipped <= skipped && (one || records(&stage.site.store).is_empty());
    if row.state != FileState::Stored || row.rejected == 0 || !all_there {
        return None;
    }
    // Of a key that stands twice the later row wins, and the mended one is later than both.
    if one && kind != Kind::Orders && records(&stage.site.store).len() == expected.len() {
        return None;
    }
    let cells = right.rows.iter().map(|(_, cells)| cells.clone());
    let right: BTreeMap<u64, Vec<String>> = lines.into_iter().zip(cells).collect();
    let rejects = stage.read(&format!("rejects/{}", row.rejects_names[0]));
    let bytes = SAVED_AS[saved_as % SAVED_AS.len()](&mended(&rejects, &right));
    let row = stage.take("b.csv", bytes);
    assert_eq!(row.state, FileState::Stored, "{:?}", row.reason);
    Some(records(&stage.site.store))
}

fn samples() -> Vec<(String, Kind, Vec<u8>)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/samples");
    let read = |path: PathBuf| fs::read_to_string(path).unwrap();
    let mut kinds: BTreeMap<String, String> = BTreeMap::new();
    let shops: serde_json::Value =
        serde_json::from_str(&read(dir.join("shops/expected.json"))).unwrap();
    for (file, expected) in shops.as_object().unwrap() {
        let kind = expected["kind"].as_str().unwrap().to_owned();
        kinds.insert(format!("shops/{file}"), kind);
    }
    for entry in fs::read_dir(dir.join("connectors/expected")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "json") {
            let expected: serde_json::Value = serde_json::from_str(&read(path)).unwrap();
            let file = expected["file"].as_str().unwrap();
            let kind = expected["kind"].as_str().unwrap().to_owned();
            kinds.insert(format!("connectors/{file}"), kind);
        }
    }
    assert!(kinds.len() > 50, "{}", kinds.len());
    (kinds.into_iter())
        .map(|(file, kind)| {
            let bytes = fs::read(dir.join(&file)).unwrap();
            (file, Kind::from_name(&kind).unwrap(), bytes)
        })
        .collect()
}

#[test]
fn every_row_of_every_sample_comes_back_mended_however_it_is_saved() {
    let mut problems = Vec::new();
    let mut tried = 0;
    for (n, (file, kind, bytes)) in samples().into_iter().enumerate() {
        let Some(right) = Sheet::of(&bytes, kind) else {
            panic!("{file} is no sound table")
        };
        let mut stage = stage_of(kind);
        let skipped = stage.take("a.csv", right.written().0).skipped;
        let expected = records(&stage.site.store);
        assert!(!expected.is_empty(), "{file}");
        let mut try_one = |what: &str, spoilt: &Sheet, saved_as: usize, one: bool| {
            let Some(got) =
                stored_after_mending(kind, skipped, &right, spoilt, saved_as, one, &expected)
            else {
                return false;
            };
            tried += 1;
            if got != expected {
                problems.push(format!(
                    "{file}, {what}, saved as {}:\n  {}\nand not\n  {}",
                    saved_as % SAVED_AS.len(),
                    got.join("\n  "),
                    expected.join("\n  ")
                ));
            }
            true
        };
        // A character that is none, in another column of each row.
        let width = right.header.len();
        let spoil = |by: &dyn Fn(usize, &mut Vec<String>)| Sheet {
            header: right.header.clone(),
            rows: (right.rows.iter().enumerate())
                .map(|(row, (blank, cells))| {
                    let mut cells = cells.clone();
                    let filled = cells.iter().filter(|cell| !cell.trim().is_empty());
                    if filled.count() > 1 && cells.len() >= width {
                        by(row, &mut cells);
                    }
                    (*blank, cells)
                })
                .collect(),
        };
        let nul = spoil(&|row, cells| cells[(row * 7 + n) % width].push('\0'));
        assert!(
            try_one("a NUL", &nul, n, false),
            "{file}: no row was rejected"
        );
        let surplus = spoil(&|_, cells| cells.push("surplus, \"too\"".into()));
        assert!(
            try_one("a cell too many", &surplus, n + 1, false),
            "{file}: surplus"
        );
        // One row alone; of several with one key the later wins, so the last ones.
        let full = (0..right.rows.len()).filter(|&row| {
            let cells = &right.rows[row].1;
            cells.len() >= width && cells.iter().filter(|cell| !cell.trim().is_empty()).count() > 1
        });
        for row in full.rev().take(2) {
            let one = spoil(&|at, cells| {
                if at == row {
                    cells[(row * 3 + n) % width].push('\0');
                }
            });
            try_one("a NUL in one row", &one, n + row, true);
        }
        // What no number, date, word or id is, in one column.
        let junk = (0..width).map(|k| (k * 5 + n) % width).take(6);
        let rejecting = junk.filter(|&column| {
            let spoilt = spoil(&|_, cells| cells[column] = "32.13.2026x".into());
            try_one(&right.header[column], &spoilt, n + 2 + column, false)
        });
        let _ = rejecting.take(1).count();
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    assert!(tried > 120, "{tried}");
}
