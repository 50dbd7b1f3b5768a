//! Any bytes as a file: looked over, then read to the end. No panic, no hang, and what is read is the
//! same in batches of one row and of many.
//!
//! `cargo +nightly fuzz run table fuzz/corpus/table tests/samples/traps tests/samples/shops`

#![no_main]

use std::io::Cursor;

use libfuzzer_sys::fuzz_target;
use tillsync::table::{Failure, Member, Reader, Rows, Settings, survey};

fuzz_target!(|bytes: &[u8]| {
    let mut file = Cursor::new(bytes);
    // Something like a preset's opinion, so that titles are met.
    let is_header = |cells: &[String]| cells.iter().any(|cell| cell == "source_id");
    let Ok(members) = survey(&mut file, &Settings::default(), &is_header) else {
        return;
    };
    for member in &members {
        let whole = read(&mut file, member, 4096);
        assert_eq!(whole, read(&mut file, member, 1));
    }
});

/// Number of rows and of faults, a sum over all lines and cells, and how it ended.
fn read(file: &mut Cursor<&[u8]>, member: &Member, rows_max: usize) -> (usize, usize, u64, u64) {
    let mut reader = match Reader::new(file, member) {
        Ok(reader) => reader,
        Err(_) => return (0, 0, 0, 1),
    };
    let mut rows = Rows::default();
    let (mut count, mut faults, mut sum) = (0, 0, 0_u64);
    loop {
        match reader.read(&mut rows, rows_max) {
            Ok(true) => {}
            Ok(false) => return (count, faults, sum, 0),
            Err(Failure::CutOff { line, .. }) => return (count, faults, sum, line),
            Err(_) => return (count, faults, sum, 1),
        }
        for row in rows.iter() {
            count += 1;
            faults += usize::from(row.fault().is_some());
            let cells = row.cells();
            assert_eq!(cells.len(), row.cells_count());
            assert!(row.fault().is_some() || !cells.iter().any(|cell| cell.contains('\u{FFFD}')));
            let bytes: usize = cells.iter().map(String::len).sum();
            sum = sum.wrapping_mul(31).wrapping_add(row.line() + (bytes + row.raw().len()) as u64);
        }
    }
}
