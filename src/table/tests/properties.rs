//! What holds for any table: written in any dialect and encoding and read, it is what it was; no
//! reading depends on how the bytes come in pieces; no bytes at all bring the reader down.

use proptest::collection::vec;
use proptest::prelude::*;

use super::samples::samples;
use super::*;

/// How a table is written.
#[derive(Clone, Debug)]
struct Written {
    delimiter: u8,
    end: &'static str,
    last_end: bool,
    quote_all: bool,
    encoding: &'static str,
    mark: bool,
    gzip: bool,
}

fn dialects() -> impl Strategy<Value = Written> {
    (
        prop::sample::select(vec![b',', b';', b'\t', b'|']),
        prop::sample::select(vec!["\n", "\r\n", "\r"]),
        any::<bool>(),
        any::<bool>(),
        prop::sample::select(vec![
            "utf-8",
            "utf-16le",
            "utf-16be",
            "windows-1252",
            "windows-1250",
        ]),
        any::<bool>(),
        any::<bool>(),
    )
        .prop_map(
            |(delimiter, end, last_end, quote_all, encoding, mark, gzip)| Written {
                delimiter,
                end,
                last_end,
                quote_all,
                encoding,
                mark,
                gzip,
            },
        )
}

/// Cells with all that can lead a reader astray, in letters that both 8-bit encodings have.
fn cells() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => "[a-z0-9]{0,6}",
        3 => "[a-c\",;|\t\r\n 'äöüß=@-]{0,8}",
    ]
}

fn tables() -> impl Strategy<Value = Vec<Vec<String>>> {
    (2..5_usize).prop_flat_map(|columns| vec(vec(cells(), columns), 0..12))
}

fn write(header: &[String], rows: &[Vec<String>], written: &Written) -> Vec<u8> {
    let mut text = String::new();
    if written.mark {
        text.push('\u{FEFF}');
    }
    let delimiter = char::from(written.delimiter);
    for (index, row) in std::iter::once(header)
        .chain(rows.iter().map(Vec::as_slice))
        .enumerate()
    {
        if index > 0 {
            text += written.end;
        }
        for (index, cell) in row.iter().enumerate() {
            if index > 0 {
                text.push(delimiter);
            }
            let special = cell.contains(['"', '\n', '\r', delimiter]);
            if written.quote_all || special || cell.starts_with([' ', '\t']) {
                text += &format!("\"{}\"", cell.replace('"', "\"\""));
            } else {
                text += cell;
            }
        }
    }
    if written.last_end {
        text += written.end;
    }
    let bytes = match written.encoding {
        "utf-16le" => text.encode_utf16().flat_map(u16::to_le_bytes).collect(),
        "utf-16be" => text.encode_utf16().flat_map(u16::to_be_bytes).collect(),
        label => {
            let encoding = encoding_rs::Encoding::for_label(label.as_bytes()).unwrap();
            encoding
                .encode(text.trim_start_matches('\u{FEFF}'))
                .0
                .into_owned()
        }
    };
    match written.gzip {
        true => containers::gzip(&bytes),
        false => bytes,
    }
}

fn read_cells(bytes: &[u8], settings: &Settings) -> (Vec<String>, Vec<Vec<String>>) {
    let mut file = Cursor::new(bytes);
    let known = |cells: &[String]| cells.first().is_some_and(|cell| cell == "source_id");
    let member = survey(&mut file, settings, &known).unwrap().remove(0);
    let mut reader = Reader::new(&mut file, &member).unwrap();
    let mut rows = Rows::default();
    let mut read = Vec::new();
    while reader.read(&mut rows, 5).unwrap() {
        for row in rows.iter() {
            assert!(row.fault().is_none(), "{:?}", row.fault());
            read.push(row.cells());
        }
    }
    (member.header, read)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_table_written_in_any_dialect_is_read_as_it_was(rows in tables(), written in dialects()) {
        let columns = rows.first().map_or(3, Vec::len);
        let mut header = vec!["source_id".to_owned()];
        header.extend((1..columns).map(|column| format!("c{column}")));
        let bytes = write(&header, &rows, &written);
        // Cells of a few letters are no evidence for an 8-bit encoding: that has its own tests.
        let settings = Settings {
            encoding: written.encoding.starts_with("windows").then(|| written.encoding.to_owned()),
            ..Settings::default()
        };
        let (found, read) = read_cells(&bytes, &settings);
        prop_assert_eq!(found, header);
        prop_assert_eq!(read, rows);
    }

    #[test]
    fn what_is_written_for_rejects_comes_back(
        rows in vec(vec("\\PC{0,5}|[=+@'\t\r\n\",;-]{0,4}[0-9.]{0,3}", 1..4), 1..8),
        delimiter in prop::sample::select(vec![b',', b';', b'\t', b'|']),
    ) {
        let columns = rows.iter().map(Vec::len).max().unwrap();
        let mut bytes = "\u{FEFF}".as_bytes().to_vec();
        let header = std::iter::once("source_id".to_owned()).chain((1..columns).map(|c| format!("c{c}")));
        write_row(&mut bytes, header, delimiter);
        for row in &rows {
            write_row(&mut bytes, row.iter().chain(vec![&String::new(); columns - row.len()]), delimiter);
        }
        let mut file = Cursor::new(bytes.as_slice());
        let settings = Settings { delimiter: Some(delimiter), ..Settings::default() };
        let mut member = survey(&mut file, &settings, &|_| false).unwrap().remove(0);
        member.dialect.guarded = true;
        let mut reader = Reader::new(&mut file, &member).unwrap();
        let mut batch = Rows::default();
        let mut read = Vec::new();
        while reader.read(&mut batch, 3).unwrap() {
            for row in batch.iter() {
                read.push((0..columns).map(|c| row.cell(c).to_owned()).collect::<Vec<_>>());
            }
        }
        for (row, read) in rows.iter().zip(&read) {
            prop_assert_eq!(row, &read[..row.len()]);
        }
        prop_assert_eq!(rows.len(), read.len());
    }

    #[test]
    fn a_guard_comes_off_again(cell in "[=+@'\t\r\0＝－-]?\\PC{0,6}") {
        let guarded = guard_formula(&cell);
        prop_assert_eq!(unguard_formula(&guarded), cell.as_str());
        let runs = guarded.starts_with(['=', '+', '@', '\t', '\r', '\0', '＝', '＋', '－', '＠']);
        prop_assert!(!runs);
    }

    #[test]
    fn no_reading_depends_on_pieces_or_batches(
        bytes in vec(prop_oneof![
            5 => prop::sample::select(b"ab,;\"\n\r \t".to_vec()),
            1 => any::<u8>(),
        ], 0..200),
        rows_max in 1..4_usize,
        piece_bytes in 1..40_usize,
    ) {
        same_in_pieces(&bytes, rows_max, piece_bytes);
    }
}

/// Reads it in one piece and in many: nothing may differ.
fn same_in_pieces(bytes: &[u8], rows_max: usize, piece_bytes: usize) {
    let mut file = Cursor::new(bytes);
    let Ok(members) = survey(&mut file, &Settings::default(), &|_| false) else {
        return;
    };
    for member in members {
        let whole = read_rows(&mut file, &member, usize::MAX, 1 << 20);
        let pieces = read_rows(&mut file, &member, rows_max, piece_bytes);
        assert_eq!(format!("{whole:?}"), format!("{pieces:?}"));
    }
}

#[test]
fn samples_read_the_same_in_any_pieces() {
    for (_, bytes) in samples() {
        for (rows_max, piece_bytes) in [(1, 1), (2, 7), (100, 64)] {
            same_in_pieces(&bytes, rows_max, piece_bytes);
        }
    }
}

/// A small generator with a seed (xorshift), so that what fails can be run again.
struct Seeded(u64);

impl Seeded {
    fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % below.max(1) as u64) as usize
    }
}

#[test]
fn no_damage_to_a_sample_brings_the_reader_down() {
    let mut seeded = Seeded(0x2545_F491_4F6C_DD1D);
    let mut files: Vec<Vec<u8>> = samples().into_iter().map(|(_, bytes)| bytes).collect();
    let gzipped = containers::gzip(&files[3]);
    let zipped = containers::zip(&[("a.csv", &files[4]), ("b.csv", &files[5])]);
    files.extend([gzipped.clone(), gzipped, zipped.clone(), zipped]);
    for round in 0..600 {
        let mut bytes = files[seeded.next(files.len())].clone();
        for _ in 0..=seeded.next(6) {
            damage(&mut bytes, &mut seeded);
        }
        let seed = seeded.0;
        let run = std::panic::catch_unwind(|| same_in_pieces(&bytes, 3, 1 + (seed % 90) as usize));
        assert!(run.is_ok(), "round {round}, seed before it ends {seed:#x}");
    }
}

fn damage(bytes: &mut Vec<u8>, seeded: &mut Seeded) {
    const NASTY: &[u8] = b"\"\n\r,;\t\0\xFF\xC3'= |";
    let at = seeded.next(bytes.len());
    match seeded.next(5) {
        0 => bytes.truncate(at),
        1 => bytes.insert(at.min(bytes.len()), NASTY[seeded.next(NASTY.len())]),
        2 if !bytes.is_empty() => bytes[at] = NASTY[seeded.next(NASTY.len())],
        3 if !bytes.is_empty() => bytes[at] ^= 1 << seeded.next(8),
        4 if !bytes.is_empty() => {
            let end = (at + seeded.next(40)).min(bytes.len());
            bytes.drain(at..end);
        }
        _ => {}
    }
}
