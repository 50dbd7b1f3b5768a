//! How fast bytes become rows, beside a plain copy of the same bytes.
//!
//! `cargo bench --bench table [rows]`: each line is the best of some runs, since everything else only
//! adds time.

use std::fmt::Write as _;
use std::hint::black_box;
use std::io::{Cursor, Write as _};
use std::time::{Duration, Instant};

use tillsync::table::{Reader, Rows, Settings, survey};

const RUNS: usize = 7;

fn main() {
    let rows_count = std::env::args()
        .skip(1)
        .find_map(|arg| arg.parse().ok())
        .unwrap_or(300_000);
    let plain = customers(rows_count, false, "");
    let quoted = customers(rows_count, true, "");
    let accents = customers(rows_count, false, "é");
    let copy = best(|| {
        black_box(black_box(plain.as_bytes()).to_vec());
    });
    println!(
        "{rows_count} rows, {:.1} MB; MB are of unpacked, decoded text",
        plain.len() as f64 / 1e6
    );
    report("memcpy", plain.len(), copy, copy);
    let measure = |name: &str, bytes: &[u8], text_bytes: usize| {
        let surveyed = best(|| {
            black_box(survey(&mut Cursor::new(bytes), &Settings::default(), &|_| true).unwrap());
        });
        report(&format!("{name}: survey"), text_bytes, surveyed, copy);
        let read = best(|| {
            black_box(read_all(bytes));
        });
        report(&format!("{name}: rows and cells"), text_bytes, read, copy);
    };
    measure("UTF-8", plain.as_bytes(), plain.len());
    measure("UTF-8, accents", accents.as_bytes(), accents.len());
    measure("UTF-8, all quoted", quoted.as_bytes(), quoted.len());
    let crlf = plain.replace('\n', "\r\n");
    measure("UTF-8, CRLF", crlf.as_bytes(), crlf.len());
    let utf16: Vec<u8> = format!("\u{FEFF}{plain}")
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    measure("UTF-16LE", &utf16, plain.len());
    let single: Vec<u8> = accents.chars().map(|c| c as u8).collect();
    measure("windows-1252", &single, accents.len());
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(plain.as_bytes()).unwrap();
    measure("gzip", &gzip.finish().unwrap(), plain.len());
}

fn read_all(bytes: &[u8]) -> usize {
    let mut file = Cursor::new(bytes);
    let head = bytes.len().min(64 << 10);
    // A dialect that is known already, as for the second pass over a file.
    let member = match bytes.starts_with(&[0x1F, 0x8B]) {
        true => survey(&mut file, &Settings::default(), &|_| true),
        false => survey(
            &mut Cursor::new(&bytes[..head]),
            &Settings::default(),
            &|_| true,
        ),
    }
    .unwrap()
    .remove(0);
    let start = Instant::now();
    let mut reader = Reader::new(&mut file, &member).unwrap();
    let mut rows = Rows::default();
    let mut sum = 0;
    while reader.read(&mut rows, 4096).unwrap() {
        for row in rows.iter() {
            sum += row.raw().len() + row.cell(0).len() + usize::from(row.fault().is_some());
        }
    }
    READ.with(|read| read.set(start.elapsed()));
    sum
}

thread_local! {
    /// Time of the last `read_all` without finding out its dialect.
    static READ: std::cell::Cell<Duration> = const { std::cell::Cell::new(Duration::ZERO) };
}

fn best(mut run: impl FnMut()) -> Duration {
    (0..RUNS)
        .map(|_| {
            READ.with(|read| read.set(Duration::ZERO));
            let start = Instant::now();
            run();
            let whole = start.elapsed();
            match READ.with(|read| read.get()) {
                Duration::ZERO => whole,
                read => read,
            }
        })
        .min()
        .expect("there is a run")
}

fn report(name: &str, bytes: usize, time: Duration, copy: Duration) {
    println!(
        "{name:32} {:8.0} MB/s {:6.1} times the copy",
        bytes as f64 / 1e6 / time.as_secs_f64(),
        time.as_secs_f64() / copy.as_secs_f64()
    );
}

/// Customers of 15 columns, about 170 bytes a row.
fn customers(rows: usize, quoted: bool, accent: &str) -> String {
    let quote = if quoted { "\"" } else { "" };
    let header = "source_id,name,email,phone,birthdate,address.line_1,address.line_2,address.city,\
                  address.state,address.postal_code,address.country,metadata.tier,metadata.points,\
                  metadata.store,metadata.note\n";
    let mut text = header.to_owned();
    for row in 0..rows {
        let cells = [
            format!("C{row:07}"),
            format!("Jane{accent} Roe-{}", row % 977),
            format!("jane.roe.{row}@example.com"),
            format!("+4860010{:05}", row % 99_999),
            format!("19{:02}-0{}-1{}", row % 90 + 10, row % 9 + 1, row % 9),
            format!("{} Long Market Street", row % 311),
            String::new(),
            "Springfield".to_owned(),
            "Illinois".to_owned(),
            format!("{:05}", row % 99_991),
            "United States".to_owned(),
            "gold".to_owned(),
            format!("{}", row % 5000),
            format!("paris-{:02}", row % 40),
            "prefers mail".to_owned(),
        ];
        for (index, cell) in cells.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            write!(text, "{comma}{quote}{cell}{quote}").expect("a string takes all");
        }
        text.push('\n');
    }
    text
}
