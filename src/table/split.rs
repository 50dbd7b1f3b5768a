//! Decoded text → the next row and its cells: line ends, delimiters, quotes.
//!
//! The rules are those that spreadsheets and exports live by. A quote opens only as a cell's first
//! character (blanks before it are forgiven within a line: mParticle writes `a, "b"`); elsewhere it is
//! text, such as an inch mark. A closing quote is followed by a delimiter or a line end. An open quote
//! costs its line alone: what follows is read as if it had not been there.
//!
//! No step looks further than one row may be long, and each decision depends on the row alone, never
//! on how much of the text happens to be there: a row that cannot be decided yet is [`Step::More`].

use memchr::{memchr, memchr_iter, memchr2, memchr2_iter, memchr3};

use super::rows::Span;
use super::{CELL_BYTES_MAX, COLUMNS_MAX, ROW_BYTES_MAX};

/// What stands at a row's start.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// A row up to `end`; the next begins at `next`, so many lines further down.
    Row { end: usize, next: usize, lines: u64 },
    /// A line with nothing on it.
    Blank { next: usize },
    /// A row that is wrong in itself.
    Faulty {
        end: usize,
        next: usize,
        lines: u64,
        wrong: Wrong,
    },
    /// The row's end is not in the text yet.
    More,
    /// A row of more than `ROW_BYTES_MAX`.
    TooLong,
    /// No row is left.
    End,
}

/// What can be wrong with a row by itself, without the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wrong {
    /// A quote was opened in this column, and no quote closes it.
    OpenQuote { column: usize },
    /// In this column, text follows the quote that should close it.
    TextAfterQuote { column: usize },
    /// This cell is larger than `CELL_BYTES_MAX`.
    Cell { column: usize },
    /// More than `COLUMNS_MAX` cells; the last one that was kept holds the rest of the row.
    Columns,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Splitter {
    pub delimiter: u8,
    /// How many cells rows have, for telling an open quote from a cell that is too long.
    pub columns_min: usize,
    pub columns_max: usize,
}

/// Why a cell could not be read.
enum Trouble {
    /// Its end, or what follows it, is not in the text.
    More,
    /// No quote closes it in the text.
    Unclosed,
    TextAfterQuote,
}

/// The part of the text in which a row has to end.
#[derive(Clone, Copy)]
struct Window<'a> {
    text: &'a [u8],
    /// Nothing follows it.
    last: bool,
    /// It is as long as a row may be.
    full: bool,
}

impl Splitter {
    /// Reads the row that begins at `start` and appends its cells. `last`: nothing follows the text.
    pub fn step(
        &self,
        text: &[u8],
        start: usize,
        last: bool,
        cells: &mut Vec<Span>,
        undone: &mut Vec<u8>,
    ) -> Step {
        if start == text.len() {
            return if last { Step::End } else { Step::More };
        }
        // Two bytes more than a row may have: those of its line end.
        let seen = text.len().min(start + ROW_BYTES_MAX + 2);
        let window = Window {
            text: &text[..seen],
            last: last && seen == text.len(),
            full: seen - start == ROW_BYTES_MAX + 2,
        };
        let (cells_before, undone_before) = (cells.len(), undone.len());
        let step = match memchr3(b'\n', b'\r', b'"', &window.text[start..]) {
            Some(hit) if text[start + hit] == b'"' => self.quoted_row(window, start, cells, undone),
            Some(hit) => self.plain_row(window, start, start + hit, cells),
            None if window.last => self.plain_row(window, start, seen, cells),
            None => Step::More,
        };
        match step {
            Step::More => {
                cells.truncate(cells_before);
                undone.truncate(undone_before);
                if window.full {
                    Step::TooLong
                } else {
                    Step::More
                }
            }
            Step::Row { end, .. } | Step::Faulty { end, .. } if end - start > ROW_BYTES_MAX => {
                Step::TooLong
            }
            Step::Row { end, next, lines } if end - start > CELL_BYTES_MAX => {
                match cells[cells_before..]
                    .iter()
                    .position(|cell| cell.len() > CELL_BYTES_MAX)
                {
                    Some(column) => Step::Faulty {
                        end,
                        next,
                        lines,
                        wrong: Wrong::Cell { column },
                    },
                    None => step,
                }
            }
            _ => step,
        }
    }

    /// A row without a quote, which is nearly all of them.
    fn plain_row(
        &self,
        window: Window<'_>,
        start: usize,
        end: usize,
        cells: &mut Vec<Span>,
    ) -> Step {
        let Some(next) = after_line_end(window, end) else {
            return Step::More;
        };
        let line = &window.text[start..end];
        if line.iter().all(|byte| self.is_blank(*byte)) {
            return Step::Blank { next };
        }
        if self.split(window.text, start, end, COLUMNS_MAX, cells) {
            Step::Row {
                end,
                next,
                lines: 1,
            }
        } else {
            Step::Faulty {
                end,
                next,
                lines: 1,
                wrong: Wrong::Columns,
            }
        }
    }

    /// Cuts at every delimiter, whatever quotes there are, into at most `cells_max` cells and one that
    /// holds the rest. `false`: that one was needed.
    ///
    /// Eight bytes at a time: cells are so short that a call of memchr for each costs twice as much.
    fn split(
        &self,
        text: &[u8],
        start: usize,
        end: usize,
        cells_max: usize,
        cells: &mut Vec<Span>,
    ) -> bool {
        let mut from = start;
        let mut left = cells_max;
        let mut base = start;
        let (words, tail) = text[start..end].as_chunks::<8>();
        let mut last = [!self.delimiter; 8];
        last[..tail.len()].copy_from_slice(tail);
        for word in words.iter().chain(std::iter::once(&last)) {
            let mut hits = bytes_equal(*word, self.delimiter);
            while hits != 0 {
                if left == 0 {
                    cells.push(Span::text(from, end));
                    return false;
                }
                let at = base + (hits.trailing_zeros() / 8) as usize;
                cells.push(Span::text(from, at));
                from = at + 1;
                left -= 1;
                hits &= hits - 1;
            }
            base += 8;
        }
        cells.push(Span::text(from, end));
        left > 0
    }

    fn quoted_row(
        &self,
        window: Window<'_>,
        start: usize,
        cells: &mut Vec<Span>,
        undone: &mut Vec<u8>,
    ) -> Step {
        let first = cells.len();
        let mut at = start;
        let mut line_end = None;
        let mut rest = None;
        loop {
            let column = cells.len() - first;
            let (cell, end) = match self.cell(window, at, &mut line_end, undone) {
                Ok(found) => found,
                Err(Trouble::More) => return Step::More,
                Err(Trouble::Unclosed) => {
                    return self.open_quote(window, start, at, column, cells);
                }
                Err(Trouble::TextAfterQuote) => {
                    let wrong = Wrong::TextAfterQuote { column };
                    return self.give_up(window, start, at, wrong, cells);
                }
            };
            if column < COLUMNS_MAX {
                cells.push(cell);
            } else {
                rest.get_or_insert(at);
            }
            if window.text.get(end) == Some(&self.delimiter) {
                at = end + 1;
                continue;
            }
            let Some(next) = after_line_end(window, end) else {
                return Step::More;
            };
            let lines = lines(&window.text[start..next]);
            return match rest {
                None => Step::Row { end, next, lines },
                Some(from) => {
                    cells.push(Span::text(from, end));
                    Step::Faulty {
                        end,
                        next,
                        lines,
                        wrong: Wrong::Columns,
                    }
                }
            };
        }
    }

    /// The cell that begins at `at`, and where it ends: at a delimiter, a line end or the text's end.
    /// `line_end` keeps what was found of the line, or many cells would look for it again and again.
    fn cell(
        &self,
        window: Window<'_>,
        at: usize,
        line_end: &mut Option<usize>,
        undone: &mut Vec<u8>,
    ) -> Result<(Span, usize), Trouble> {
        let text = window.text;
        if text.get(at) == Some(&b'"') {
            return self.quoted(text, window.last, at, undone);
        }
        let open = at + self.blanks(&text[at..]);
        if open == text.len() && !window.last {
            return Err(Trouble::More);
        }
        if text.get(open) == Some(&b'"') {
            let end = match *line_end {
                Some(end) if end >= open => end,
                _ => match memchr2(b'\n', b'\r', &text[open..]) {
                    Some(hit) => open + hit,
                    None if window.last => text.len(),
                    None => return Err(Trouble::More),
                },
            };
            *line_end = Some(end);
            if let Ok(found) = self.quoted(&text[..end], true, open, undone) {
                return Ok(found);
            }
        }
        match memchr3(self.delimiter, b'\n', b'\r', &text[at..]) {
            Some(hit) => Ok((Span::text(at, at + hit), at + hit)),
            None if window.last => Ok((Span::text(at, text.len()), text.len())),
            None => Err(Trouble::More),
        }
    }

    /// A cell whose quote opens at `open`.
    fn quoted(
        &self,
        text: &[u8],
        last: bool,
        open: usize,
        undone: &mut Vec<u8>,
    ) -> Result<(Span, usize), Trouble> {
        let mut from = open + 1;
        let mut doubled = false;
        let close = loop {
            let Some(quote) = find_quote(text, from) else {
                return Err(Trouble::Unclosed);
            };
            match text.get(quote + 1) {
                Some(b'"') => {
                    doubled = true;
                    from = quote + 2;
                }
                None if !last => return Err(Trouble::Unclosed),
                _ => break quote,
            }
        };
        let end = close + 1 + self.blanks(&text[close + 1..]);
        match text.get(end) {
            None if !last => return Err(Trouble::Unclosed),
            Some(byte) if !matches!(byte, b'\n' | b'\r') && *byte != self.delimiter => {
                return Err(Trouble::TextAfterQuote);
            }
            _ => {}
        }
        let span = if doubled {
            undo_doubled(&text[open + 1..close], undone)
        } else {
            Span::text(open + 1, close)
        };
        Ok((span, end))
    }

    /// No quote closes the one that opens the cell at `at`, as far as the window goes.
    fn open_quote(
        &self,
        window: Window<'_>,
        start: usize,
        at: usize,
        column: usize,
        cells: &mut Vec<Span>,
    ) -> Step {
        if !window.last && !window.full {
            return Step::More;
        }
        let step = self.give_up(window, start, at, Wrong::OpenQuote { column }, cells);
        match step {
            Step::Faulty { next, .. } if window.full && !self.rows_follow(&window.text[next..]) => {
                Step::TooLong
            }
            _ => step,
        }
    }

    /// The line on which the cell at `at` begins ends the row, and its rest is cut at the delimiters,
    /// so that what a person mends has its columns in their places.
    fn give_up(
        &self,
        window: Window<'_>,
        start: usize,
        at: usize,
        wrong: Wrong,
        cells: &mut Vec<Span>,
    ) -> Step {
        let end = match memchr2(b'\n', b'\r', &window.text[at..]) {
            Some(hit) => at + hit,
            None if window.last => window.text.len(),
            None => return Step::More,
        };
        let Some(next) = after_line_end(window, end) else {
            return Step::More;
        };
        self.split(window.text, at, end, COLUMNS_MAX, cells);
        Step::Faulty {
            end,
            next,
            lines: lines(&window.text[start..next]),
            wrong,
        }
    }

    /// Whether most lines look like rows of this table, rather than like the inside of a long cell.
    fn rows_follow(&self, text: &[u8]) -> bool {
        let lines = || {
            text.split(|byte| matches!(byte, b'\n' | b'\r'))
                .filter(|line| !line.is_empty())
                .take(LINES_TRIED)
        };
        let fitting = lines().filter(|line| {
            let cells = 1 + memchr_iter(self.delimiter, line).count();
            (self.columns_min..=self.columns_max).contains(&cells)
        });
        fitting.count() * 2 >= lines().count()
    }

    fn blanks(&self, text: &[u8]) -> usize {
        text.iter()
            .position(|byte| !self.is_blank(*byte))
            .unwrap_or(text.len())
    }

    fn is_blank(&self, byte: u8) -> bool {
        matches!(byte, b' ' | b'\t') && byte != self.delimiter
    }
}

/// Lines that are looked at to tell an open quote from a cell that is too long.
const LINES_TRIED: usize = 200;

/// Where the line after the line end at `end` begins; `None`: the text has to go on to say.
fn after_line_end(window: Window<'_>, end: usize) -> Option<usize> {
    match (window.text.get(end), window.text.get(end + 1)) {
        (None, _) => Some(end),
        (Some(b'\r'), Some(b'\n')) => Some(end + 2),
        (Some(b'\r'), None) if !window.last => None,
        _ => Some(end + 1),
    }
}

/// The high bit of each byte of `word` that is `byte`.
fn bytes_equal(word: [u8; 8], byte: u8) -> u64 {
    const LOW: u64 = 0x7F7F_7F7F_7F7F_7F7F;
    let differs = u64::from_le_bytes(word) ^ (u64::from(byte) * 0x0101_0101_0101_0101);
    !(((differs & LOW) + LOW) | differs | LOW)
}

/// Where the next quote is: mostly a few bytes further on, else memchr finds it faster.
fn find_quote(text: &[u8], from: usize) -> Option<usize> {
    let rest = &text[from..];
    let (words, _) = rest.as_chunks::<8>();
    for (index, word) in words.iter().take(4).enumerate() {
        let hits = bytes_equal(*word, b'"');
        if hits != 0 {
            return Some(from + index * 8 + (hits.trailing_zeros() / 8) as usize);
        }
    }
    let tried = words.len().min(4) * 8;
    memchr(b'"', &rest[tried..]).map(|hit| from + tried + hit)
}

/// Lines that `text` holds, each ended by CR, LF or CRLF.
pub(super) fn lines(text: &[u8]) -> u64 {
    memchr2_iter(b'\n', b'\r', text)
        .filter(|hit| !(text[*hit] == b'\r' && text.get(hit + 1) == Some(&b'\n')))
        .count() as u64
}

fn undo_doubled(cell: &[u8], undone: &mut Vec<u8>) -> Span {
    let start = undone.len();
    let mut rest = cell;
    while let Some(hit) = memchr(b'"', rest) {
        undone.extend_from_slice(&rest[..=hit]);
        rest = &rest[hit + 2..];
    }
    undone.extend_from_slice(rest);
    Span::undone(start, undone.len())
}
