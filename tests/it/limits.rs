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
    let path = shop.path(name);
    let mut file = BufWriter::new(File::create(&path).unwrap());
    file.write_all(head.as_bytes()).unwrap();
    for _ in 0..bytes / part.len() {
        file.write_all(part.as_bytes()).unwrap();
    }
    file.into_inner().unwrap();
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
    assert_eq!(output.status.code(), Some(65), "{name}: {said}");
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
