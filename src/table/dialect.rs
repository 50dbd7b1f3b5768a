//! Which character stands between cells, and which line is the header, from a member's first rows.
//!
//! A header that somebody knows decides. Else that character wins which makes the most columns that the
//! rows keep to, cut by the same rules as later (so delimiters inside quotes mislead nobody).

use super::container::no_table_text;
use super::split::{Splitter, Step, Wrong, lines};
use super::{COLUMNS_MAX, Failure, Settings};

/// The first part of a member, decoded.
pub(super) struct Head<'a> {
    pub text: &'a [u8],
    /// Nothing follows it.
    pub complete: bool,
}

#[derive(Debug)]
pub(super) struct Found {
    pub delimiter: u8,
    pub header_line: u64,
    pub header_at: u64,
    pub header: Vec<String>,
    /// Somebody knows this header.
    pub recognised: bool,
}

/// In the order in which they are preferred where nothing else decides.
const DELIMITERS: [u8; 4] = [b',', b';', b'\t', b'|'];
/// Rows that are cut to see whether they keep to a header.
const ROWS_TRIED: usize = 200;
/// Rows among which the header is looked for: titles above it are a few lines.
const HEADER_ROWS_TRIED: usize = 50;

/// What one delimiter makes of a head.
struct Trial {
    delimiter: u8,
    header: Option<HeadRow>,
    recognised: bool,
    score: f64,
}

struct HeadRow {
    line: u64,
    at: usize,
    cells: Vec<String>,
    wrong: Option<Wrong>,
}

impl Head<'_> {
    pub fn find(
        &self,
        settings: &Settings,
        is_header: &dyn Fn(&[String]) -> bool,
    ) -> Result<Found, Failure> {
        if let Some(reason) = no_table_text(&lossy(&self.text[..self.text.len().min(4096)])) {
            return Err(Failure::Unreadable { reason });
        }
        let (instruction, start) = self.sep_line();
        let start_line = if start > 0 { 2 } else { 1 };
        let delimiters = match instruction.or(settings.delimiter) {
            Some(delimiter) => vec![delimiter],
            None => DELIMITERS.to_vec(),
        };
        let mut best: Option<Trial> = None;
        for delimiter in delimiters {
            if !delimiter.is_ascii() || matches!(delimiter, b'"' | b'\n' | b'\r' | 0) {
                return Err(Failure::unreadable(
                    "the character set as `delimiter` cannot stand between cells; use one such as , ; | \
                     or a tab",
                ));
            }
            let trial = self.try_delimiter(delimiter, start, start_line, is_header)?;
            let better =
                |other: &Trial| (trial.recognised, trial.score) > (other.recognised, other.score);
            if best.as_ref().is_none_or(better) {
                best = Some(trial);
            }
        }
        let trial = best.expect("there is a delimiter to try");
        let Some(header) = trial.header else {
            return Err(Failure::unreadable(if self.complete {
                "the file is empty: it has no header. Nothing was changed; if the export went wrong, \
                 run it again"
            } else {
                "the file has no header within its first part; tillsync stored nothing of it"
            }));
        };
        let (header_line, cells) = match &settings.header_if_none {
            Some(cells) if !trial.recognised => (0, cells.clone()),
            _ => (header.line, checked(header.cells, header.wrong)?),
        };
        Ok(Found {
            delimiter: trial.delimiter,
            recognised: trial.recognised,
            header_line,
            header_at: header.at as u64,
            header: cells,
        })
    }

    /// Excel's `sep=;` in the first line, and where the next line begins.
    fn sep_line(&self) -> (Option<u8>, usize) {
        let end = memchr::memchr2(b'\n', b'\r', self.text).unwrap_or(self.text.len());
        let line = match &self.text[..end] {
            [b'"', inner @ .., b'"'] => inner,
            line => line,
        };
        let [s, e, p, b'=', delimiter] = line else {
            return (None, 0);
        };
        if ![*s, *e, *p].eq_ignore_ascii_case(b"sep") {
            return (None, 0);
        }
        let next = match self.text[end..] {
            [b'\r', b'\n', ..] => end + 2,
            [] => end,
            _ => end + 1,
        };
        (Some(*delimiter), next)
    }

    fn try_delimiter(
        &self,
        delimiter: u8,
        start: usize,
        start_line: u64,
        is_header: &dyn Fn(&[String]) -> bool,
    ) -> Result<Trial, Failure> {
        let mut counts = Vec::new();
        let mut header: Option<HeadRow> = None;
        let mut recognised = None;
        self.rows(delimiter, start, start_line, |index, row, count| {
            counts.push(count);
            if recognised.is_none() && index < HEADER_ROWS_TRIED {
                if row.wrong.is_none() && is_header(&row.cells) {
                    recognised = Some(index);
                    header = Some(row);
                } else if header.is_none() && row.cells.iter().any(|cell| !cell.is_empty()) {
                    header = Some(row);
                }
            }
        })?;
        let columns = header.as_ref().map_or(0, |row| row.cells.len());
        let data = &counts[counts.len().min(recognised.unwrap_or(0) + 1)..];
        Ok(Trial {
            delimiter,
            recognised: recognised.is_some(),
            score: score(columns, header.as_ref(), data),
            header,
        })
    }

    /// Calls `each` with index, row and count of cells (up to the last that is not blank; `None` where
    /// the row is wrong) for the first rows.
    fn rows(
        &self,
        delimiter: u8,
        start: usize,
        start_line: u64,
        mut each: impl FnMut(usize, HeadRow, Option<usize>),
    ) -> Result<(), Failure> {
        let splitter = Splitter {
            delimiter,
            columns_min: 2,
            columns_max: usize::MAX,
        };
        let (mut at, mut line, mut index) = (start, start_line, 0);
        let (mut cells, mut undone) = (Vec::new(), Vec::new());
        while index < ROWS_TRIED {
            cells.clear();
            undone.clear();
            let step = splitter.step(self.text, at, self.complete, &mut cells, &mut undone);
            let (next, wrong) = match step {
                Step::Row { next, .. } => (next, None),
                Step::Faulty { next, wrong, .. } => (next, Some(wrong)),
                Step::Blank { next } => {
                    at = next;
                    line += 1;
                    continue;
                }
                Step::TooLong => return Err(too_long(line)),
                Step::More | Step::End => return Ok(()),
            };
            let texts = || cells.iter().map(|cell| cell.of(self.text, &undone));
            let count = texts().rposition(|cell| !cell.trim_ascii().is_empty());
            let row = HeadRow {
                line,
                at,
                cells: if index < HEADER_ROWS_TRIED {
                    texts().map(|cell| clean(&lossy(cell))).collect()
                } else {
                    Vec::new()
                },
                wrong,
            };
            let count = wrong.is_none().then_some(count.map_or(0, |last| last + 1));
            each(index, row, count);
            line += lines(&self.text[at..next]);
            at = next;
            index += 1;
        }
        Ok(())
    }
}

/// Many columns that the rows keep to: the share of rows that fit, squared, times the logarithm of the
/// columns. One column says nothing.
fn score(columns: usize, header: Option<&HeadRow>, data: &[Option<usize>]) -> f64 {
    if columns < 2 || header.is_some_and(|row| row.wrong.is_some()) {
        return 0.0;
    }
    let fitting = data
        .iter()
        .filter(|count| count.is_some_and(|filled| filled <= columns && filled != 1))
        .count();
    let share = if data.is_empty() {
        1.0
    } else {
        (fitting as f64 / data.len() as f64).max(0.01)
    };
    share * share * (columns as f64).ln()
}

fn checked(cells: Vec<String>, wrong: Option<Wrong>) -> Result<Vec<String>, Failure> {
    match wrong {
        None => Ok(cells),
        Some(Wrong::Columns) => Err(Failure::unreadable(format!(
            "the header has more than {COLUMNS_MAX} columns; tillsync stored nothing of the file"
        ))),
        Some(Wrong::Cell { .. }) => Err(Failure::unreadable(
            "a column's name is larger than 1 MiB; tillsync stored nothing of the file",
        )),
        Some(Wrong::OpenQuote { .. } | Wrong::TextAfterQuote { .. }) => Err(Failure::unreadable(
            "a double quote in the header is not closed as it should be, so its columns cannot be told \
             apart; tillsync stored nothing of the file",
        )),
    }
}

pub(super) fn too_long(line: u64) -> Failure {
    Failure::unreadable(format!(
        "the row that begins on line {line} is larger than 4 MiB, as no export's is; tillsync stored \
         nothing of the file"
    ))
}

/// A header as it is compared and shown: outer white space, byte order marks and zero-width characters
/// are gone.
fn clean(name: &str) -> String {
    name.trim_matches(|c: char| {
        c.is_whitespace() || matches!(c, '\u{FEFF}' | '\u{200B}'..='\u{200D}' | '\u{2060}' | '\0')
    })
    .to_owned()
}

/// Text with `?` for what does not decode.
fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace('\u{FFFD}', "?")
}
