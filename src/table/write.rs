//! Rows of the CSV files that tillsync writes: rejects.

use super::formula::guard_formula;

/// Appends one row, ended by CRLF. Cells are guarded against spreadsheets that would run them
/// ([`guard_formula`]), and quoted where reading them would else give something different.
pub fn write_row<S: AsRef<str>>(
    out: &mut Vec<u8>,
    cells: impl IntoIterator<Item = S>,
    delimiter: u8,
) {
    let mut cells = cells.into_iter().peekable();
    let mut first = true;
    while let Some(cell) = cells.next() {
        let cell = guard_formula(cell.as_ref());
        // A row of one blank cell would be read as a blank line, which is no row.
        let alone = first && cells.peek().is_none();
        if needs_quotes(&cell, delimiter) || (alone && cell.trim().is_empty()) {
            write_quoted(out, cell.as_bytes());
        } else {
            out.extend_from_slice(cell.as_bytes());
        }
        if cells.peek().is_some() {
            out.push(delimiter);
        }
        first = false;
    }
    out.extend_from_slice(b"\r\n");
}

fn needs_quotes(cell: &str, delimiter: u8) -> bool {
    let outer = |c: char| c.is_whitespace() || c == '\u{FEFF}';
    cell.starts_with(outer)
        || cell.ends_with(outer)
        || cell
            .bytes()
            .any(|byte| matches!(byte, b'"' | b'\n' | b'\r') || byte == delimiter)
}

fn write_quoted(out: &mut Vec<u8>, cell: &[u8]) {
    out.push(b'"');
    let mut rest = cell;
    while let Some(at) = memchr::memchr(b'"', rest) {
        out.extend_from_slice(&rest[..=at]);
        out.push(b'"');
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}
