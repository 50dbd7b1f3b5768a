//! The store's part of an intake beside `sqlite3 .import` of the same rows, in one run:
//! `cargo bench --bench intake_store [-- ROWS]`. The goal is a ratio of 0.6 for the first intake.

use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tillsync::kind::Kind;
use tillsync::record::{Act, Batch, BatchRow, FingerprintHasher, RowHash, Shape, push_json_str};
use tillsync::store::{Arrival, Begin, Finish, Store};

const BATCH_ROWS: usize = 4096;

const FIELDS: [&str; 14] = [
    "address.city",
    "address.country",
    "address.line_1",
    "address.postal_code",
    "birthdate",
    "description",
    "email",
    "metadata.card",
    "metadata.points",
    "metadata.segment",
    "metadata.since",
    "metadata.store",
    "name",
    "phone",
];

fn cells(i: usize, version: usize) -> [String; 14] {
    let x = i.wrapping_mul(2_654_435_761) % 1_000_003;
    [
        format!("Ville-sur-{}", x % 977),
        "France".into(),
        format!("{} rue des Entrepreneurs", x % 311),
        format!("{:05}", x % 95_000),
        format!("19{:02}-{:02}-{:02}", x % 99, 1 + x % 12, 1 + x % 28),
        format!("customer of the year {}", 1990 + x % 35),
        format!("customer.{i}@example.com"),
        format!("{:013}", x * 7919),
        format!("{}", x % 10_000 + version),
        ["gold", "silver", "bronze"][x % 3].into(),
        format!("20{:02}-01-{:02}", x % 25, 1 + x % 28),
        format!("paris-{:02}", x % 40),
        format!("Prénom{} Nom{}", x % 5000, x % 7000),
        format!("+336{:08}", x * 97 % 100_000_000),
    ]
}

fn key(i: usize, random: bool) -> String {
    match random {
        false => format!("C{i:08}"),
        true => format!("{:016x}", (i as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15)),
    }
}

fn row_hash(i: usize, version: usize) -> RowHash {
    ((i as u128) << 64 | version as u128).to_le_bytes()
}

fn batches(rows: usize, version: usize, random: bool) -> Vec<Batch> {
    made(rows, version, random).collect()
}

fn made(rows: usize, version: usize, random: bool) -> impl Iterator<Item = Batch> {
    let shape = Arc::new(Shape::new(FIELDS.map(str::to_owned).to_vec()));
    let mut hasher = FingerprintHasher::default();
    (0..rows).step_by(BATCH_ROWS).map(move |start| {
        let mut batch = Batch::default();
        batch.shapes.push(shape.clone());
        for i in start..rows.min(start + BATCH_ROWS) {
            let begin = batch.text.len();
            batch.text.push_str(&key(i, random));
            let middle = batch.text.len();
            batch.text.push('[');
            for (n, cell) in cells(i, if i % 100 == 0 { version } else { 0 })
                .iter()
                .enumerate()
            {
                if n > 0 {
                    batch.text.push(',');
                }
                let from = batch.text.len();
                push_json_str(&mut batch.text, cell);
                hasher.field(FIELDS[n], &batch.text[from..]);
            }
            batch.text.push(']');
            let fingerprint = hasher.finish();
            batch.rows.push(BatchRow {
                kind: Kind::Customers,
                line: i as u64 + 2,
                key: begin..middle,
                values: middle..batch.text.len(),
                shape: 0,
                fingerprint,
                row_hash: Some(row_hash(i, if i % 100 == 0 { version } else { 0 })),
                act: Act::Upsert,
            });
        }
        batch
    })
}

/// Seconds of processor time: this process's, or its finished children's. What else the machine
/// does counts in wall time alone.
fn cpu(children: bool) -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat
        .rsplit_once(')')
        .unwrap()
        .1
        .split_whitespace()
        .collect();
    let at = if children { 13 } else { 11 };
    let ticks = |n: usize| fields[n].parse::<f64>().unwrap();
    (ticks(at) + ticks(at + 1)) / 100.0
}

#[derive(Clone, Copy)]
struct Took {
    wall: Duration,
    cpu: f64,
}

impl std::fmt::Display for Took {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{:.2} s, processor {:.2} s",
            self.wall.as_secs_f64(),
            self.cpu
        )
    }
}

fn timed<T>(children: bool, work: impl FnOnce() -> T) -> (T, Took) {
    let (begun, before) = (Instant::now(), cpu(children));
    let done = work();
    let took = Took {
        wall: begun.elapsed(),
        cpu: cpu(children) - before,
    };
    (done, took)
}

fn take_in(store: &Store, batches: impl IntoIterator<Item = Batch>, what: &str) -> Took {
    let arrival = Arrival {
        folder: "customers".into(),
        kind: Kind::Customers,
        name: b"customers.csv".to_vec(),
        shown: "customers.csv".into(),
        device: 1,
        inode: 1,
        size: 1,
        mtime_ns: 1,
        by_hand: false,
    };
    let file = store.arrive(&arrival, 1).unwrap();
    let (counts, took) = timed(false, || {
        let mut session = store
            .begin_intake(Begin {
                file,
                preset: "plain".into(),
                reading: "{}".into(),
                now: 1,
            })
            .unwrap();
        for batch in batches {
            session.apply(batch, Vec::new(), "", 1).unwrap();
        }
        session
            .finish(Finish {
                rows: 0,
                skipped: 0,
                unchanged: 0,
                hash: [0; 32],
                notices: Vec::new(),
                after_leave: false,
                delete_missing: false,
                now: 1,
            })
            .unwrap()
    });
    println!(
        "{what}: {took} ({} new, {} changed, {} unchanged)",
        counts.new, counts.changed, counts.unchanged
    );
    took
}

fn sqlite_import(dir: &Path, rows: usize) -> Took {
    let csv = dir.join("customers.csv");
    let mut out = std::io::BufWriter::new(std::fs::File::create(&csv).unwrap());
    writeln!(out, "source_id,{}", FIELDS.join(",")).unwrap();
    for i in 0..rows {
        writeln!(out, "{},{}", key(i, false), cells(i, 0).join(",")).unwrap();
    }
    out.into_inner().unwrap().sync_all().unwrap();
    let (status, took) = timed(true, || {
        Command::new("sqlite3")
            .arg(dir.join("bare.db"))
            .arg(".mode csv")
            .arg(format!(".import {} bare", csv.display()))
            .status()
            .expect("sqlite3 is installed")
    });
    assert!(status.success());
    took
}

fn known(store: &Store, rows: usize) -> Took {
    let keys: Vec<String> = (0..rows).map(|i| key(i, false)).collect();
    let reader = store.reader().unwrap();
    let ((), took) = timed(false, || {
        let mut known = tillsync::store::KnownRows::new(reader, Kind::Customers);
        let mut out = Vec::new();
        let mut asked = Vec::new();
        for start in (0..rows).step_by(BATCH_ROWS) {
            asked.clear();
            asked.extend(
                (start..rows.min(start + BATCH_ROWS)).map(|i| (keys[i].as_str(), row_hash(i, 0))),
            );
            known.unchanged(&asked, &mut out).unwrap();
            assert!(out.iter().all(|&known| known));
        }
    });
    took
}

fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|l| l.starts_with("VmHWM")).unwrap();
    line.split_whitespace()
        .nth(1)
        .unwrap()
        .parse::<u64>()
        .unwrap()
        / 1024
}

fn main() {
    let rows = std::env::args()
        .skip(1)
        .find_map(|a| a.parse().ok())
        .unwrap_or(1_000_000);
    // First, while nothing else was in memory: batches are made on the way, as in an intake.
    for (random, what) in [(false, "in order"), (true, "in no order")] {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let store = Store::open(dir.path()).unwrap();
        take_in(
            &store,
            made(rows / 4, 0, random),
            "a quarter, batches made on the way",
        );
        println!("  peak memory, keys {what}: {} MiB", peak_mib());
    }
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let bare = sqlite_import(dir.path(), rows);
    println!("sqlite3 .import: {bare}");
    let store = Store::open(dir.path()).unwrap();
    let first = take_in(&store, batches(rows, 0, false), "first intake");
    println!(
        "  ratio {:.2}, of processor time {:.2}",
        first.wall.as_secs_f64() / bare.wall.as_secs_f64(),
        first.cpu / bare.cpu
    );
    println!("hashes of unchanged rows: {}", known(&store, rows));
    take_in(
        &store,
        batches(rows, 0, false),
        "the same again, without hashes",
    );
    take_in(&store, batches(rows, 1, false), "one in a hundred changed");
    let size = std::fs::metadata(store.path()).unwrap().len() >> 20;
    println!("database {size} MiB");
    drop(store);

    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let store = Store::open(dir.path()).unwrap();
    take_in(
        &store,
        batches(rows, 0, true),
        "first intake, keys in no order",
    );
}
