//! What no export is, is refused or rejected in words, in little memory: the real binary's own peak.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::process::Stdio;
use std::time::Duration;

use crate::shop::{Shop, wait_for};

/// Of a refused file (a taken one has less); the debug binary's own text is a part of it.
const PEAK_KIB_MAX: u64 = 64 << 10;

/// A file of `head` and then `part` over and over, about `bytes` long, is taken in by hand: what is said,
/// and the highest that memory ever was, in KiB, which is returned.
#[track_caller]
fn check(name: &str, head: &str, part: &str, bytes: usize, says: &str) -> u64 {
    let shop = Shop::new();
    let mut file = BufWriter::new(File::create(shop.path(name)).unwrap());
    file.write_all(head.as_bytes()).unwrap();
    for _ in 0..bytes / part.len() {
        file.write_all(part.as_bytes()).unwrap();
    }
    file.into_inner().unwrap();
    peak(&shop, name, 65, says)
}

/// The same of a file that is there, and that ends so.
#[track_caller]
fn peak(shop: &Shop, name: &str, status: i32, says: &str) -> u64 {
    let path = shop.path(name);
    let mut child = shop
        .command(&["import", path.to_str().unwrap(), "--folder", "customers"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let of_process = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    wait_for(Duration::from_secs(120), "its end", || {
        let status = fs::read_to_string(&of_process).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
        peak = peak.max(kib.map_or(0, |kib| kib.parse().unwrap()));
        child.try_wait().unwrap()
    });
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(status), "{name}: {said}");
    assert!(said.contains(says), "{name}: {said}");
    assert!(0 < peak && peak < PEAK_KIB_MAX, "{name}: {peak} KiB");
    peak
}

#[test]
fn a_line_a_cell_and_a_row_without_end_take_little_memory() {
    const LONG: usize = 128 << 20;
    let refused = "is larger than 4 MiB";
    check("line.csv", "source_id,name\nC1,", "abcdefgh", LONG, refused);
    check("cell.csv", "source_id,name\nC1,\"", "abcd\n", LONG, refused);
    check("columns.csv", "source_id", ",name", LONG, refused);
}

#[test]
fn many_rejected_rows_of_megabytes_take_little_memory() {
    let row = format!("C1{}\n", ",x".repeat(950_000));
    let says = "30 rows rejected";
    check("rows.csv", "source_id,name\n", &row, 30 * row.len(), says);
}

#[test]
fn a_quote_that_is_never_closed_takes_no_more_memory_than_what_is_looked_through_for_its_end() {
    const LONG: usize = 32 << 20;
    let (part, says) = ("C1,A name of a customer\n", "1 row rejected");
    let plain = check(
        "plain.csv",
        "source_id,name\nA,Joe,\"x\"\n",
        part,
        LONG,
        says,
    );
    let open = check("open.csv", "source_id,name\nA,\"Joe\n", part, LONG, says);
    // A row can have 4 MiB, in each of the two readings of the file.
    assert!(open < plain + (9 << 10), "{plain} and {open} KiB");
}

#[test]
fn rows_in_no_order_take_no_more_memory_than_rows_in_the_order_of_their_keys() {
    const ROWS: u64 = 400_009; // a prime: each number comes once
    let peak_of = |step: u64| {
        let shop = Shop::new();
        let mut file = BufWriter::new(File::create(shop.path("a.csv")).unwrap());
        writeln!(file, "source_id,name").unwrap();
        for i in 0..ROWS {
            let n = i * step % ROWS;
            writeln!(file, "C{n:07},A customer with the number {n}").unwrap();
        }
        file.into_inner().unwrap();
        peak(&shop, "a.csv", 0, "400009 new")
    };
    let (ordered, shuffled) = (peak_of(1), peak_of(104_729));
    // What waits to be sorted.
    assert!(
        shuffled < ordered + (10 << 10),
        "{ordered} and {shuffled} KiB"
    );
}
