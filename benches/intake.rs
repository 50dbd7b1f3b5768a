//! A whole intake, from a file in a drop folder to its place in the archive, beside `sqlite3 .import`
//! of the same text in the same minutes: `benches/intake.sh [ROWS]` prints the ratios.
//!
//! Goals, for a million customers of 15 columns on two cores: first intake 0.7 of the import, the
//! same file again 0.08; 40 MiB at the peak.

use std::fs;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tillsync::config::{Config, Folder};
use tillsync::intake::{Control, Site, SystemClock, sync_once};
use tillsync::kind::Kind;
use tillsync::preset::Presets;
use tillsync::store::Store;

const HEADER: &str = "source_id,name,email,phone,birthdate,description,address.line_1,address.city,\
                      address.postal_code,address.country,metadata.card,metadata.points,\
                      metadata.segment,metadata.since,metadata.store";

fn row(i: usize, out: &mut impl Write, changed: bool) {
    let x = i.wrapping_mul(2_654_435_761) % 1_000_003;
    writeln!(
        out,
        "C{i:08},Prénom{} Nom{},customer.{i}@example.com,+336{:08},19{:02}-{:02}-{:02},\
         customer of the year {},{} rue des Entrepreneurs,Ville-sur-{},{:05},France,{:013},{},{},20{:02}-01-{:02},paris-{:02}",
        x % 5000,
        x % 7000,
        x * 97 % 100_000_000,
        x % 99,
        1 + x % 12,
        1 + x % 28,
        1990 + x % 35,
        x % 311,
        x % 977,
        x % 95_000,
        x * 7919,
        x % 10_000 + usize::from(changed),
        ["gold", "silver", "bronze"][x % 3],
        x % 25,
        1 + x % 28,
        x % 40,
    )
    .expect("a file takes all that is written");
}

/// `changed_every`: 0 for none.
fn write(path: &Path, rows: usize, changed_every: usize) {
    let mut out = BufWriter::new(fs::File::create(path).expect("the folder is there"));
    writeln!(out, "{HEADER}").expect("a file takes all that is written");
    for i in 0..rows {
        row(i, &mut out, changed_every > 0 && i % changed_every == 0);
    }
    out.into_inner()
        .expect("a file takes all that is written")
        .sync_all()
        .expect("it is synced");
}

/// In a process of its own, so that its peak is its own.
fn take_in(dir: &Path) {
    let (site, control) = open(dir);
    let begun = Instant::now();
    let taken = sync_once(site, &control).expect("the files are taken in");
    let seconds = begun.elapsed().as_secs_f64();
    println!(
        "{seconds:.3} {} new={} changed={} unchanged={} rejected={}",
        peak_kib(),
        taken.new,
        taken.changed,
        taken.unchanged,
        taken.rejected
    );
}

/// How long a complete file of a hundred rows takes from its rename to being stored.
fn latency(dir: &Path) {
    let (site, control) = open(dir);
    let store = site.store.clone();
    let stop = control.clone();
    let daemon = std::thread::spawn(move || tillsync::intake::run(site, &control));
    let mut waits: Vec<Duration> = Vec::new();
    for n in 0..20 {
        let there = dir.join("there.csv");
        let name = format!("latency-{n}.csv");
        let mut out = BufWriter::new(fs::File::create(&there).expect("the folder is there"));
        writeln!(out, "{HEADER}").expect("a file takes all that is written");
        (0..100).for_each(|i| row(10_000_000 + n * 100 + i, &mut out, false));
        drop(out);
        let begun = Instant::now();
        fs::rename(&there, dir.join("drop").join(&name)).expect("it is renamed in");
        let is_stored = || {
            let row = store.file_by_name("drop", &name).ok().flatten();
            row.is_some_and(|row| row.stored.is_some())
        };
        while !is_stored() && begun.elapsed() < Duration::from_secs(10) {
            std::thread::sleep(Duration::from_millis(1));
        }
        waits.push(begun.elapsed());
    }
    stop.stop();
    let _ = daemon.join();
    waits.sort();
    println!(
        "a file of 100 rows, from its rename to stored: median {} ms, slowest {} ms (goal 50)",
        waits[waits.len() / 2].as_millis(),
        waits[waits.len() - 1].as_millis()
    );
}

fn open(dir: &Path) -> (Site, Control) {
    let mut folder = Folder::with_defaults("drop", &dir.join("drop"), Kind::Customers);
    folder.settle = Duration::ZERO;
    let mut config = Config::with_defaults("bench", &dir.join("state"));
    config.folders = vec![folder];
    let store = Store::open(&dir.join("state")).expect("the store opens");
    let presets = Presets::load(&[]).expect("the embedded presets are sound");
    let control = Control::new().expect("the system gives descriptors");
    let site = Site::new(
        Arc::new(config),
        Arc::new(presets),
        store,
        Arc::new(SystemClock),
        "Europe/Paris",
    )
    .expect("the store is there");
    (site, control)
}

fn peak_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    line.and_then(|line| line.split_whitespace().nth(1))
        .and_then(|kib| kib.parse().ok())
        .unwrap_or(0)
}

fn run(dir: &Path, what: &str, import_seconds: Option<f64>) {
    let own = std::env::current_exe().expect("a process knows its own path");
    let output = Command::new(own)
        .arg("take-in")
        .arg(dir)
        .output()
        .expect("it runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut parts = text.trim().splitn(3, ' ');
    let seconds: f64 = parts
        .next()
        .and_then(|s| s.parse().ok())
        .unwrap_or(f64::NAN);
    let peak: f64 = parts
        .next()
        .and_then(|s| s.parse().ok())
        .unwrap_or(f64::NAN);
    let ratio = import_seconds.map_or(String::from("-"), |import| {
        format!("{:.3}", seconds / import)
    });
    println!(
        "{what:<28} {seconds:>8.3} s   ratio {ratio}   peak {:.1} MiB   {}",
        peak / 1024.0,
        parts.next().unwrap_or("(failed)")
    );
    if !output.status.success() {
        println!("{}", String::from_utf8_lossy(&output.stderr));
    }
}

fn import(dir: &Path, text: &Path) -> Option<f64> {
    let database = dir.join("import.db");
    let begun = Instant::now();
    let status = Command::new("sqlite3")
        .arg(&database)
        .arg(format!(".import --csv {} customers", text.display()))
        .status()
        .ok()?;
    let seconds = begun.elapsed().as_secs_f64();
    let _ = fs::remove_file(&database);
    status.success().then_some(seconds)
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if arguments.get(1).is_some_and(|first| first == "take-in") {
        take_in(Path::new(&arguments[2]));
        return;
    }
    let rows = arguments
        .iter()
        .find_map(|a| a.parse().ok())
        .unwrap_or(100_000);
    let dir = tempfile::tempdir().expect("there is room for temporary files");
    for folder in ["drop", "state"] {
        fs::create_dir(dir.path().join(folder)).expect("the folder is new");
    }
    let text = dir.path().join("text.csv");
    write(&text, rows, 0);
    let bytes = fs::metadata(&text).map_or(0, |m| m.len());
    println!("{rows} customers, {:.0} MB", bytes as f64 / 1e6);
    let drop_in = |changed_every: usize| {
        let there = dir.path().join("there.csv");
        write(&there, rows, changed_every);
        fs::rename(&there, dir.path().join("drop/customers.csv")).expect("it is renamed in");
    };
    // The import is measured before and after, and counts by the faster of the two.
    let before = import(dir.path(), &text);
    drop_in(0);
    run(dir.path(), "first", before);
    let after = import(dir.path(), &text);
    let import = match (before, after) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    };
    println!(
        "{:<28} {:>8.3} s",
        "sqlite3 .import",
        import.unwrap_or(f64::NAN)
    );
    drop_in(0);
    run(dir.path(), "the same again", import);
    drop_in(100);
    run(dir.path(), "one in a hundred changed", import);
    drop_in(1);
    run(dir.path(), "all changed", import);
    latency(dir.path());
}
