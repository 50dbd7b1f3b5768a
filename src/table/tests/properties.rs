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
    encoding: &'static str,
    mark: bool,
    packed: Packed,
    /// What stands above the header.
    above: Above,
    /// Of each cell, in turn: whether it stands in quotes though it need not.
    quoted: Vec<bool>,
    /// Of each row, in turn: blank lines before it, and delimiters behind its last cell.
    loose: Vec<(usize, usize)>,
    last_ends: usize,
}

#[derive(Clone, Debug)]
enum Packed {
    Not,
    Zip,
    /// The members' lengths, in hundredths of what is left.
    Gzip(Vec<usize>),
}

#[derive(Clone, Copy, Debug)]
enum Above {
    Nothing,
    Sep,
    Title,
}

fn dialects() -> impl Strategy<Value = Written> {
    let encodings = [
        "utf-8",
        "utf-16le",
        "utf-16be",
        "windows-1252",
        "windows-1250",
    ];
    let packed = prop_oneof![
        2 => Just(Packed::Not),
        1 => Just(Packed::Zip),
        1 => vec(0..100_usize, 0..4).prop_map(Packed::Gzip),
    ];
    let above =
        prop_oneof![4 => Just(Above::Nothing), 1 => Just(Above::Sep), 1 => Just(Above::Title)];
    (
        prop::sample::select(vec![b',', b';', b'\t', b'|']),
        prop::sample::select(vec!["\n", "\r\n", "\r"]),
        prop::sample::select(encodings.to_vec()),
        any::<bool>(),
        packed,
        above,
        prop_oneof![
            Just(vec![false]),
            Just(vec![true]),
            vec(any::<bool>(), 1..7)
        ],
        prop_oneof![
            2 => Just(vec![(0, 0)]),
            1 => vec((0..3_usize, 0..3_usize), 1..5),
        ],
        0..3_usize,
    )
        .prop_map(
            |(delimiter, end, encoding, mark, packed, above, quoted, loose, last_ends)| Written {
                delimiter,
                end,
                encoding,
                mark,
                packed,
                above,
                quoted,
                loose,
                last_ends,
            },
        )
}

/// Cells with all that can lead a reader astray; `write` leaves out what an encoding lacks.
fn cells() -> impl Strategy<Value = String> {
    prop_oneof![
        60 => "[a-z0-9]{0,6}",
        60 => "[a-c\",;|\t\r\n 'äöüß=@#\\\\-]{0,8}",
        20 => "[\u{a0}\u{feff}\u{200b}漢字🍏Ωё\"\n]{0,4}",
        10 => Just(String::new()),
        1 => "[a-c\"\n🍏]{1,3}".prop_map(|cell| cell.repeat(25_000)),
    ]
}

fn tables() -> impl Strategy<Value = Vec<Vec<String>>> {
    (2..6_usize).prop_flat_map(|columns| vec(vec(cells(), columns), 0..12))
}

impl Written {
    /// What the encoding can say of these cells.
    fn sayable(&self, rows: Vec<Vec<String>>) -> Vec<Vec<String>> {
        let Some(encoding) = self.eight_bits() else {
            return rows;
        };
        let kept = |cell: String| -> String {
            let sayable = |c: &char| !encoding.encode(c.encode_utf8(&mut [0; 4])).2;
            cell.chars().filter(sayable).collect()
        };
        let kept = |row: Vec<String>| row.into_iter().map(kept).collect();
        rows.into_iter().map(kept).collect()
    }

    fn eight_bits(&self) -> Option<&'static encoding_rs::Encoding> {
        let of_windows = self.encoding.starts_with("windows");
        of_windows
            .then(|| encoding_rs::Encoding::for_label(self.encoding.as_bytes()))
            .flatten()
    }
}

fn write(header: &[String], rows: &[Vec<String>], written: &Written) -> Vec<u8> {
    let delimiter = char::from(written.delimiter);
    let mut text = String::new();
    match written.above {
        Above::Nothing => {}
        Above::Sep => text += &format!("sep={delimiter}{}", written.end),
        Above::Title => text += &format!("Customers of today{}", written.end),
    }
    let mut quoted = written.quoted.iter().cycle();
    let mut loose = written.loose.iter().cycle();
    for (index, row) in std::iter::once(header)
        .chain(rows.iter().map(Vec::as_slice))
        .enumerate()
    {
        let (blank_lines, surplus) = match index {
            0 => (0, 0),
            _ => *loose.next().expect("it goes round"),
        };
        if index > 0 {
            text += &written.end.repeat(1 + blank_lines);
        }
        for (index, cell) in row.iter().enumerate() {
            if index > 0 {
                text.push(delimiter);
            }
            let special = cell.contains(['"', '\n', '\r', delimiter])
                || cell.starts_with([' ', '\t'])
                || cell.starts_with('\u{feff}');
            if *quoted.next().expect("it goes round") || special {
                text += &format!("\"{}\"", cell.replace('"', "\"\""));
            } else {
                text += cell;
            }
        }
        text.extend(std::iter::repeat_n(delimiter, surplus));
    }
    text += &written.end.repeat(written.last_ends);
    pack(&encode(&text, written), &written.packed)
}

fn encode(text: &str, written: &Written) -> Vec<u8> {
    if let Some(encoding) = written.eight_bits() {
        return encoding.encode(text).0.into_owned();
    }
    let mark = if written.mark { "\u{FEFF}" } else { "" };
    let text = format!("{mark}{text}");
    match written.encoding {
        "utf-16le" => text.encode_utf16().flat_map(u16::to_le_bytes).collect(),
        "utf-16be" => text.encode_utf16().flat_map(u16::to_be_bytes).collect(),
        _ => text.into_bytes(),
    }
}

fn pack(bytes: &[u8], packed: &Packed) -> Vec<u8> {
    match packed {
        Packed::Not => bytes.to_vec(),
        Packed::Zip => containers::zip(&[("a.csv", bytes)]),
        Packed::Gzip(cuts) => {
            let (mut out, mut rest) = (Vec::new(), bytes);
            for cut in cuts {
                let (member, behind) = rest.split_at(rest.len() * cut / 100);
                out.extend(containers::gzip(member));
                rest = behind;
            }
            out.extend(containers::gzip(rest));
            out
        }
    }
}

fn read_cells(
    bytes: &[u8],
    settings: &Settings,
    rows_max: usize,
) -> (Vec<String>, Vec<Vec<String>>) {
    let mut file = Cursor::new(bytes);
    let known = |cells: &[String]| cells.first().is_some_and(|cell| cell == "source_id");
    let member = survey(&mut file, settings, &known).unwrap().remove(0);
    let mut reader = Reader::new(&mut file, &member).unwrap();
    let mut rows = Rows::default();
    let mut read = Vec::new();
    let columns = member.header.len();
    while reader.read(&mut rows, rows_max).unwrap() {
        for row in rows.iter() {
            assert!(row.fault().is_none(), "{:?}", row.fault());
            let mut cells = row.cells();
            let surplus = cells.split_off(columns.min(cells.len()));
            assert!(surplus.iter().all(String::is_empty), "{surplus:?}");
            read.push(cells);
        }
    }
    (member.header, read)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_table_written_in_any_dialect_is_read_as_it_was(
        rows in tables(),
        written in dialects(),
        rows_max in 1..7_usize,
    ) {
        let rows = written.sayable(rows);
        let columns = rows.first().map_or(3, Vec::len);
        let mut header = vec!["source_id".to_owned()];
        header.extend((1..columns).map(|column| format!("c{column}")));
        let bytes = write(&header, &rows, &written);
        // Cells of a few letters are no evidence for an 8-bit encoding: that has its own tests.
        let settings = Settings {
            encoding: written.encoding.starts_with("windows").then(|| written.encoding.to_owned()),
            ..Settings::default()
        };
        let (found, read) = read_cells(&bytes, &settings, rows_max);
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
