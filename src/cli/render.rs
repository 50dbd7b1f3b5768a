//! Rows → a table for people, JSON or CSV for machines.
//!
//! Knows nothing of what the rows mean. Whatever the format, no character leaves here that a terminal
//! would obey, and no CSV cell that a spreadsheet would run.

use std::io::{self, Write};

use comfy_table::{ContentArrangement, Table, presets};
use jiff::tz::TimeZone;

use super::args::Format;
use crate::config::problem::visible;
use crate::status::words::{full, iso};

/// A longer listing is written as several tables, so that it need not be held as a whole.
const TABLE_ROWS_MAX: usize = 500;

/// One cell, by what it means.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    Text(String),
    Integer(i64),
    /// UTC milliseconds.
    Time(i64),
    /// JSON as it stands.
    Json(String),
    Null,
}

impl From<&str> for Cell {
    fn from(text: &str) -> Cell {
        Cell::Text(text.to_owned())
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Cell {
        Cell::Text(text)
    }
}

impl From<i64> for Cell {
    fn from(number: i64) -> Cell {
        Cell::Integer(number)
    }
}

impl<T: Into<Cell>> From<Option<T>> for Cell {
    fn from(cell: Option<T>) -> Cell {
        cell.map_or(Cell::Null, Into::into)
    }
}

/// What tables are fitted to.
#[derive(Clone, Debug)]
pub struct Screen {
    /// Columns; `None`: no line is broken.
    pub width: Option<u16>,
    pub zone: TimeZone,
}

/// Rows that are all at hand. For long listings: `Rows`.
#[derive(Clone, Debug)]
pub struct Listing {
    columns: &'static [&'static str],
    rows: Vec<Vec<Cell>>,
}

impl Listing {
    pub fn new(columns: &'static [&'static str]) -> Listing {
        Listing {
            columns,
            rows: Vec::new(),
        }
    }

    pub fn push(&mut self, row: Vec<Cell>) {
        debug_assert_eq!(row.len(), self.columns.len());
        self.rows.push(row);
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub fn len(&self) -> usize {
        self.rows.len()
    }

    pub fn write(&self, format: Format, screen: &Screen, out: &mut dyn Write) -> io::Result<()> {
        let mut rows = Rows::begin(self.columns, format, screen, out)?;
        for row in &self.rows {
            rows.row(row)?;
        }
        rows.finish()
    }
}

/// Rows that come one after the other.
pub struct Rows<'o> {
    columns: &'static [&'static str],
    screen: Screen,
    state: State<'o>,
}

enum State<'o> {
    Table {
        out: &'o mut dyn Write,
        waiting: Vec<Vec<Cell>>,
    },
    Json {
        out: &'o mut dyn Write,
        count: u64,
    },
    Csv(Box<csv::Writer<&'o mut dyn Write>>),
}

impl<'o> Rows<'o> {
    pub fn begin(
        columns: &'static [&'static str],
        format: Format,
        screen: &Screen,
        out: &'o mut dyn Write,
    ) -> io::Result<Rows<'o>> {
        let state = match format {
            Format::Table => State::Table {
                out,
                waiting: Vec::new(),
            },
            Format::Json => {
                out.write_all(b"[")?;
                State::Json { out, count: 0 }
            }
            Format::Csv => {
                let mut writer = csv::Writer::from_writer(out);
                writer.write_record(columns).map_err(csv_failed)?;
                State::Csv(Box::new(writer))
            }
        };
        Ok(Rows {
            columns,
            screen: screen.clone(),
            state,
        })
    }

    pub fn row(&mut self, row: &[Cell]) -> io::Result<()> {
        match &mut self.state {
            State::Table { out, waiting } => {
                waiting.push(row.to_vec());
                if waiting.len() == TABLE_ROWS_MAX {
                    write_table(self.columns, waiting, &self.screen, *out)?;
                    waiting.clear();
                    out.write_all(b"\n")?;
                }
                Ok(())
            }
            State::Json { out, count } => {
                out.write_all(if *count == 0 { b"\n" } else { b",\n" })?;
                *count += 1;
                out.write_all(object(self.columns, row).as_bytes())
            }
            State::Csv(writer) => writer
                .write_record(row.iter().map(csv_cell))
                .map_err(csv_failed),
        }
    }

    pub fn finish(self) -> io::Result<()> {
        match self.state {
            State::Table { waiting, .. } if waiting.is_empty() => Ok(()),
            State::Table { out, waiting } => write_table(self.columns, &waiting, &self.screen, out),
            State::Json { out, count } => out.write_all(if count == 0 { b"]\n" } else { b"\n]\n" }),
            State::Csv(mut writer) => writer.flush(),
        }
    }
}

/// Columns of the terminal that standard output is; `None` if it is none.
pub fn terminal_width() -> Option<u16> {
    Table::new().width()
}

fn write_table(
    columns: &[&str],
    rows: &[Vec<Cell>],
    screen: &Screen,
    out: &mut dyn Write,
) -> io::Result<()> {
    if screen
        .width
        .is_some_and(|width| !fits(columns, rows, width, &screen.zone))
    {
        return write_blocks(columns, rows, &screen.zone, out);
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(columns);
    match screen.width {
        Some(width) => table
            .set_content_arrangement(ContentArrangement::Dynamic)
            .set_width(width),
        None => table.set_content_arrangement(ContentArrangement::Disabled),
    };
    for row in rows {
        table.add_row(row.iter().map(|cell| table_cell(cell, &screen.zone)));
    }
    for line in table.lines() {
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

/// A column that gets at least so many characters (or what its longest cell takes) can still be read.
const COLUMN_CHARS_MIN: usize = 20;

/// Whether the screen is wide enough for a table that can be read.
fn fits(columns: &[&str], rows: &[Vec<Cell>], width: u16, zone: &TimeZone) -> bool {
    let needed = |(index, name): (usize, &&str)| {
        let cells = rows.iter().map(|row| text(&row[index], zone));
        let longest = cells.map(|cell| cell.chars().count()).max().unwrap_or(0);
        longest.min(COLUMN_CHARS_MIN).max(name.len()) + 2
    };
    columns.iter().enumerate().map(needed).sum::<usize>() <= usize::from(width)
}

/// A row as lines of names and values, an empty line after it; empty values are left out.
fn write_blocks(
    columns: &[&str],
    rows: &[Vec<Cell>],
    zone: &TimeZone,
    out: &mut dyn Write,
) -> io::Result<()> {
    let widest = columns.iter().map(|name| name.len()).max().unwrap_or(0);
    for (index, row) in rows.iter().enumerate() {
        if index > 0 {
            writeln!(out)?;
        }
        for (name, cell) in columns.iter().zip(row) {
            let text = text(cell, zone);
            if !text.is_empty() {
                writeln!(out, "{name:widest$}  {text}")?;
            }
        }
    }
    Ok(())
}

fn text(cell: &Cell, zone: &TimeZone) -> String {
    match cell {
        Cell::Text(text) | Cell::Json(text) => visible(text),
        Cell::Integer(number) => number.to_string(),
        Cell::Time(ms) => full(*ms, zone),
        Cell::Null => String::new(),
    }
}

fn table_cell(cell: &Cell, zone: &TimeZone) -> comfy_table::Cell {
    let shown = comfy_table::Cell::new(text(cell, zone));
    match cell {
        Cell::Integer(_) => shown.set_alignment(comfy_table::CellAlignment::Right),
        _ => shown,
    }
}

fn object(columns: &[&str], row: &[Cell]) -> String {
    let mut out = String::from("{");
    for (column, cell) in columns.iter().zip(row) {
        if out.len() > 1 {
            out.push(',');
        }
        out.push_str(&json_text(column));
        out.push(':');
        match cell {
            Cell::Text(text) => out.push_str(&json_text(text)),
            Cell::Integer(number) => out.push_str(&number.to_string()),
            Cell::Time(ms) => out.push_str(&json_text(&iso(*ms))),
            Cell::Json(json) => out.push_str(&escaped(json)),
            Cell::Null => out.push_str("null"),
        }
    }
    out.push('}');
    out
}

fn json_text(text: &str) -> String {
    escaped(&serde_json::Value::from(text).to_string())
}

/// JSON allows some characters within texts that a terminal obeys.
fn escaped(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '\u{7f}'..='\u{9f}' => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            _ => out.push(c),
        }
    }
    out
}

fn csv_cell(cell: &Cell) -> String {
    match cell {
        Cell::Text(text) | Cell::Json(text) => csv_text(text),
        Cell::Integer(number) => number.to_string(),
        Cell::Time(ms) => iso(*ms),
        Cell::Null => String::new(),
    }
}

/// Control characters as escapes, but line breaks and tabs, which quotes hold; and a `'` before what a
/// spreadsheet would run (CWE-1236). Plain numbers stay as they are.
fn csv_text(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 1);
    let runs = text.starts_with([
        '=', '+', '-', '@', '\t', '\r', '\0', '\'', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}',
    ]);
    if runs && !is_number(text) {
        out.push('\'');
    }
    for c in text.chars() {
        if c.is_control() && !matches!(c, '\n' | '\r' | '\t') {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    digits.starts_with(|c: char| c.is_ascii_digit())
        && digits.matches('.').count() <= 1
        && digits.bytes().all(|b| b.is_ascii_digit() || b == b'.')
}

fn csv_failed(error: csv::Error) -> io::Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        _ => io::Error::other("a row of another length"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: &[&str] = &["id", "key", "at", "fields"];

    fn row(key: &str) -> Vec<Cell> {
        vec![
            Cell::Integer(7),
            Cell::from(key),
            Cell::Time(1_795_507_200_500),
            Cell::Json(r#"{"name":[null,"Ann"]}"#.to_owned()),
        ]
    }

    #[track_caller]
    fn shown(format: Format, rows: &[Vec<Cell>]) -> String {
        let mut listing = Listing::new(COLUMNS);
        for row in rows {
            listing.push(row.clone());
        }
        let screen = Screen {
            width: None,
            zone: TimeZone::get("Europe/Paris").unwrap(),
        };
        let mut out = Vec::new();
        listing.write(format, &screen, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn tables_are_for_people() {
        insta::assert_snapshot!(shown(Format::Table, &[row("C1"), row("C-1001")]), @r#"
        id  key     at                       fields
         7  C1      2026-11-24 09:00:00 CET  {"name":[null,"Ann"]}
         7  C-1001  2026-11-24 09:00:00 CET  {"name":[null,"Ann"]}
        "#);
    }

    #[test]
    fn json_is_one_array_of_objects_and_integers_stay_integers() {
        insta::assert_snapshot!(shown(Format::Json, &[row("C1"), vec![Cell::Integer(8), Cell::Null, Cell::Null, Cell::Null]]), @r#"
        [
        {"id":7,"key":"C1","at":"2026-11-24T08:00:00.500Z","fields":{"name":[null,"Ann"]}},
        {"id":8,"key":null,"at":null,"fields":null}
        ]
        "#);
        assert_eq!(shown(Format::Json, &[]), "[]\n");
        let parsed: serde_json::Value =
            serde_json::from_str(&shown(Format::Json, &[row("a\u{9b}\"b")])).unwrap();
        assert_eq!(parsed[0]["key"], "a\u{9b}\"b");
    }

    #[test]
    fn csv_has_a_header_even_without_rows() {
        assert_eq!(shown(Format::Csv, &[]), "id,key,at,fields\n");
        insta::assert_snapshot!(shown(Format::Csv, &[row("a,b")]), @r#"
        id,key,at,fields
        7,"a,b",2026-11-24T08:00:00.500Z,"{""name"":[null,""Ann""]}"
        "#);
    }

    #[test]
    fn nothing_that_a_terminal_obeys_gets_out() {
        let hostile = "a\u{1b}[31mb\u{9b}2Jc\u{7}d\u{202e}";
        for format in [Format::Table, Format::Json, Format::Csv] {
            let text = shown(format, &[row(hostile)]);
            assert!(!text.contains(['\u{1b}', '\u{9b}', '\u{7}']), "{text:?}");
        }
        let text = shown(Format::Table, &[row("a\nb\r")]);
        assert_eq!(text.lines().count(), 2, "{text:?}");
    }

    #[test]
    fn nothing_that_a_spreadsheet_runs_gets_out() {
        for (text, written) in [
            ("=1+1", "'=1+1"),
            ("@x", "'@x"),
            ("'x", "''x"),
            ("+33 1", "'+33 1"),
            ("-5", "-5"),
            ("+3312", "+3312"),
            ("-5-5", "'-5-5"),
            ("a=b", "a=b"),
            ("\u{ff1d}x", "'\u{ff1d}x"),
        ] {
            assert_eq!(csv_text(text), written);
        }
    }

    #[test]
    fn a_long_listing_is_several_tables() {
        let rows: Vec<Vec<Cell>> = (0..TABLE_ROWS_MAX + 1).map(|_| row("C1")).collect();
        let text = shown(Format::Table, &rows);
        assert_eq!(text.matches("fields").count(), 2);
        assert_eq!(text.matches("C1").count(), TABLE_ROWS_MAX + 1);
    }

    #[test]
    fn a_screen_too_narrow_for_a_table_gets_a_line_a_value() {
        let screen = |width| Screen {
            width: Some(width),
            zone: TimeZone::UTC,
        };
        let shown = |width| {
            let mut listing = Listing::new(COLUMNS);
            listing.push(row("C-1"));
            listing.push(vec![8.into(), Cell::Null, Cell::Time(0), Cell::Null]);
            let mut out = Vec::new();
            listing
                .write(Format::Table, &screen(width), &mut out)
                .unwrap();
            String::from_utf8(out).unwrap()
        };
        assert!(shown(80).starts_with(" id "), "{}", shown(80));
        let lines = "id      7\nkey     C-1\nat      2026-11-24 08:00:00 UTC\nfields  {\"name\":[null,\"Ann\"]}\n";
        let next = "\nid      8\nat      1970-01-01 00:00:00 UTC\n";
        assert_eq!(shown(40), format!("{lines}{next}"));
    }
}
