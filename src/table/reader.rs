//! The rows of one member, in batches: the splitter's steps, line numbers, and faults by the header.

use std::io::{Read, Seek};

use encoding_rs::{Encoding, UTF_8};
use memchr::{memchr_iter, memmem};

use super::container::Packed;
use super::decode::{Filled, Source};
use super::dialect::too_long;
use super::rows::{Fault, RowSpan, Rows, Span};
use super::split::{Splitter, Step, Wrong, lines};
use super::{COLUMNS_MAX, Container, Failure, Member, ROW_BYTES_MAX};
use crate::reject::Code;

/// Text of a batch, about; a batch holds at least one row.
const BATCH_BYTES: usize = 1 << 20;
/// Read at once: what is split is still in the processor's cache.
const PIECE_BYTES: usize = 128 << 10;

const NUL: &str = "the cell holds a NUL byte, which no text has; take it out";
const LOST_BEFORE: &str = "the cell holds the sign for a character that an earlier program could not \
                           read (U+FFFD); write the character anew";

/// Reads the rows of one member, in batches.
pub struct Reader<'a> {
    source: Source<'a>,
    splitter: Splitter,
    guarded: bool,
    encoding: &'static Encoding,
    /// Text that was read and belongs to the next batches, from `carry_at` on.
    carry: Vec<u8>,
    carry_at: usize,
    /// Empty; kept for its memory.
    spare: String,
    /// Line on which the next row begins.
    line: u64,
    after_blank_line: bool,
    /// The source has no more.
    ended: bool,
    /// What the next call has to say, after the rows before it were given out.
    failure: Option<Failure>,
    piece_bytes: usize,
}

impl<'a> Reader<'a> {
    /// From the file's start. The member can be made of a stored `Dialect`; its header says how many
    /// cells a row has.
    pub fn new<R: Read + Seek>(file: &'a mut R, member: &Member) -> Result<Reader<'a>, Failure> {
        Reader::with_piece(file, member, PIECE_BYTES)
    }

    /// Text is read in pieces of this size; no row's reading depends on it.
    pub(super) fn with_piece<R: Read + Seek>(
        file: &'a mut R,
        member: &Member,
        piece_bytes: usize,
    ) -> Result<Reader<'a>, Failure> {
        let dialect = &member.dialect;
        let packed = Packed::inspect(file)?;
        let place = packed
            .members
            .iter()
            .find(|place| place.name == member.name || packed.container != Container::Zip)
            .ok_or_else(|| Failure::unreadable("the zip has changed: a file is no longer in it"))?;
        let raw = packed.open(file, place, 0)?;
        let encoding = Encoding::for_label(dialect.encoding.as_bytes())
            .ok_or_else(|| Failure::unreadable("the encoding of the file is unknown"))?;
        let named = member.header.iter().rposition(|name| !name.is_empty());
        let mut reader = Reader {
            source: Source::new(Box::new(raw), encoding),
            splitter: Splitter {
                delimiter: dialect.delimiter,
                columns_min: named.map_or(1, |last| last + 1),
                columns_max: member.header.len().max(1),
            },
            guarded: dialect.guarded,
            encoding,
            carry: Vec::new(),
            carry_at: 0,
            spare: String::new(),
            line: 1,
            after_blank_line: false,
            ended: false,
            failure: None,
            piece_bytes,
        };
        reader.skip(dialect.header_at)?;
        if dialect.header_line > 0 {
            reader.skip_header()?;
        }
        Ok(reader)
    }

    /// Skips what stands above the header, or above the first row.
    fn skip(&mut self, header_at: u64) -> Result<(), Failure> {
        while (self.carry.len() as u64) < header_at && !self.ended {
            self.fill_carry()?;
        }
        let header_at = self.carry.len().min(header_at as usize);
        self.line += lines(&self.carry[..header_at]);
        self.carry.drain(..header_at);
        Ok(())
    }

    fn skip_header(&mut self) -> Result<(), Failure> {
        let (mut cells, mut undone) = (Vec::new(), Vec::new());
        loop {
            let step = self
                .splitter
                .step(&self.carry, 0, self.ended, &mut cells, &mut undone);
            match step {
                Step::Row { next, .. } | Step::Faulty { next, .. } | Step::Blank { next } => {
                    self.line += lines(&self.carry[..next]);
                    self.carry.drain(..next);
                    return Ok(());
                }
                Step::More => self.fill_carry()?,
                Step::TooLong => return Err(too_long(self.line)),
                Step::End => return Ok(()),
            }
        }
    }

    /// Before the first batch.
    fn fill_carry(&mut self) -> Result<(), Failure> {
        let mut carry = std::mem::take(&mut self.carry);
        let filled = self.fill_from_source(&mut carry, self.piece_bytes);
        self.carry = carry;
        filled
    }

    /// Reads on behind the row at `at`, at least as much as is there of it: a long row is not split again
    /// and again for every piece of it. But no more than it takes to know that a row is too long.
    fn fill(&mut self, text: &mut Vec<u8>, at: usize) -> Result<(), Failure> {
        let row = text.len() - at;
        let wanted = row.min((ROW_BYTES_MAX + 2).saturating_sub(row));
        let wanted = wanted.max(self.piece_bytes);
        let carried = &self.carry[self.carry_at..];
        if carried.is_empty() {
            return self.fill_from_source(text, wanted);
        }
        let some = &carried[..wanted.min(carried.len())];
        text.extend_from_slice(some);
        self.carry_at += some.len();
        Ok(())
    }

    fn fill_from_source(&mut self, text: &mut Vec<u8>, wanted: usize) -> Result<(), Failure> {
        match self.source.fill(text, wanted)? {
            Filled::More => {}
            Filled::End => self.ended = true,
            Filled::Cut(reason) => {
                self.ended = true;
                // The line is that of the row that is cut; it is known once those before it are read.
                self.failure = Some(Failure::CutOff { line: 0, reason });
            }
        }
        Ok(())
    }

    /// All that the source had is in the batch.
    fn has_ended(&self) -> bool {
        self.ended && self.carry_at == self.carry.len()
    }

    /// Keeps the text from `at` on for the next batch, and gives back memory that a long row took.
    fn carry_over(&mut self, text: &mut Vec<u8>, at: usize) {
        if self.carry_at < self.carry.len() {
            // All of the text came from there.
            self.carry_at -= text.len() - at;
        } else {
            self.carry.clear();
            self.carry_at = 0;
            self.carry.extend_from_slice(&text[at..]);
            self.carry.shrink_to(BATCH_BYTES);
        }
        text.truncate(at);
        if text.capacity() > 3 * BATCH_BYTES {
            text.shrink_to(2 * BATCH_BYTES);
        }
    }

    /// Fills `rows` with the next rows, at most `rows_max` or about 1 MiB. `false`: there were none left.
    ///
    /// An error comes after all rows that stand before it were given out.
    pub fn read(&mut self, rows: &mut Rows, rows_max: usize) -> Result<bool, Failure> {
        rows.clear();
        let mut text = std::mem::take(&mut rows.text).into_bytes();
        let mut undone = std::mem::take(&mut rows.undone).into_bytes();
        let rows_max = rows_max.max(1);
        let mut at = 0;
        loop {
            let starved = self.split(&text, &mut at, rows, &mut undone, rows_max);
            if !rows.is_empty() && !starved {
                break;
            }
            if rows.is_empty() {
                // Nothing but blank lines: however many there are, they take no memory.
                text.drain(..at);
                at = 0;
            }
            if starved {
                if self.has_ended() || self.is_unreadable() {
                    break;
                }
                if let Err(failure) = self.fill(&mut text, at) {
                    self.failure = Some(failure);
                }
            }
        }
        self.carry_over(&mut text, at);
        self.settle(rows, text, undone);
        if !rows.is_empty() {
            return Ok(true);
        }
        match self.failure.take() {
            Some(Failure::CutOff { reason, .. }) => {
                self.forget_carry();
                Err(Failure::CutOff {
                    line: self.line,
                    reason,
                })
            }
            Some(failure) => {
                self.ended = true;
                self.forget_carry();
                Err(failure)
            }
            None => Ok(false),
        }
    }

    fn forget_carry(&mut self) {
        self.carry.clear();
        self.carry_at = 0;
    }

    /// Nothing more can be read, beyond a tail that is cut off.
    fn is_unreadable(&self) -> bool {
        matches!(
            self.failure,
            Some(Failure::Unreadable { .. } | Failure::Io(_))
        )
    }

    /// Takes the complete rows from `at` on, which is moved past them. `true`: no complete row is left;
    /// `false`: the batch is full.
    fn split(
        &mut self,
        text: &[u8],
        at: &mut usize,
        rows: &mut Rows,
        undone: &mut Vec<u8>,
        rows_max: usize,
    ) -> bool {
        if self.is_unreadable() {
            return true;
        }
        // The tail of a file that is cut off is no row: half a number is a wrong number.
        let last = self.has_ended() && self.failure.is_none();
        while rows.rows.len() < rows_max && *at < BATCH_BYTES {
            let first = rows.cells.len();
            let step = self.splitter.step(text, *at, last, &mut rows.cells, undone);
            let (end, next, lines, wrong) = match step {
                Step::Row { end, next, lines } => (end, next, lines, None),
                Step::Faulty {
                    end,
                    next,
                    lines,
                    wrong,
                } => (end, next, lines, Some(wrong)),
                Step::Blank { next } => {
                    *at = next;
                    self.line += 1;
                    self.after_blank_line = true;
                    continue;
                }
                Step::TooLong => {
                    self.failure = Some(too_long(self.line));
                    return true;
                }
                Step::More | Step::End => return true,
            };
            if self.guarded {
                unguard(&mut rows.cells[first..], text, undone);
            }
            let cells_count = rows.cells.len() - first;
            let fault = match wrong {
                Some(wrong) => Some(self.fault(wrong)),
                None if cells_count < self.splitter.columns_min => {
                    Some(self.count_fault(cells_count))
                }
                None if cells_count > self.splitter.columns_max => self
                    .has_surplus(rows, first, text, undone)
                    .then(|| self.count_fault(cells_count)),
                None => None,
            };
            rows.rows.push(RowSpan {
                line: self.line,
                start: *at as u32,
                end: end as u32,
                cells: first as u32,
                cells_count: cells_count as u32,
                fault: 0,
                after_blank_line: self.after_blank_line,
            });
            if let Some(fault) = fault {
                rows.set_fault(rows.rows.len() - 1, fault);
            }
            self.after_blank_line = false;
            self.line += lines;
            *at = next;
        }
        false
    }

    /// Cells beyond the header's columns that hold something.
    fn has_surplus(&self, rows: &Rows, first: usize, text: &[u8], undone: &[u8]) -> bool {
        rows.cells[first + self.splitter.columns_max..]
            .iter()
            .any(|cell| !cell.of(text, undone).trim_ascii().is_empty())
    }

    fn count_fault(&self, cells_count: usize) -> Fault {
        let columns = self.splitter.columns_max;
        let reason = if cells_count > columns {
            format!(
                "the row has {cells_count} cells, and the header {columns} columns; a cell that holds \
                 the character between cells has to stand in double quotes"
            )
        } else {
            format!(
                "the row has {cells_count} cells, and the header {columns} columns; a part of it is \
                 missing"
            )
        };
        Fault {
            code: Code::ColumnCount,
            column: None,
            reason,
        }
    }

    fn fault(&self, wrong: Wrong) -> Fault {
        let (code, column, reason) = match wrong {
            Wrong::OpenQuote { column } => (
                Code::Quote,
                Some(column),
                "the cell begins with a double quote, and no other one ends it; add it, or take the \
                 first one away"
                    .to_owned(),
            ),
            Wrong::TextAfterQuote { column } => (
                Code::Quote,
                Some(column),
                "text follows the double quote that ends the cell; a double quote inside a cell has \
                 to be written twice"
                    .to_owned(),
            ),
            Wrong::Cell { column } => (
                Code::TooLong,
                Some(column),
                "the cell is larger than 1 MiB".to_owned(),
            ),
            Wrong::Columns => (
                Code::TooLong,
                None,
                format!("the row has more than {COLUMNS_MAX} cells"),
            ),
        };
        Fault {
            code,
            column,
            reason,
        }
    }

    /// Makes text of the batch's bytes, and blames the rows that hold what is none.
    fn settle(&mut self, rows: &mut Rows, text: Vec<u8>, undone: Vec<u8>) {
        for at in memchr_iter(0, &text) {
            blame(rows, &text, &undone, at, || NUL.to_owned());
        }
        for at in memmem::find_iter(&text, "\u{FFFD}") {
            blame(rows, &text, &undone, at, || LOST_BEFORE.to_owned());
        }
        match self.checked_text(text) {
            Ok(text) => {
                rows.text = text;
                rows.undone = String::from_utf8(undone).expect("parts of text are text");
            }
            Err(text) => {
                let mut at = 0;
                while let Err(error) = std::str::from_utf8(&text[at..]) {
                    at += error.valid_up_to();
                    blame(rows, &text, &undone, at, || self.encoding_reason());
                    at += error.error_len().unwrap_or(1);
                }
                rows.text = replace_undecodable(text);
                rows.undone = replace_undecodable(undone);
            }
        }
    }

    /// The same bytes as text, or back if they are none. Beyond ASCII, encoding_rs checks text so much
    /// faster than the standard library that the copy it takes is well spent.
    fn checked_text(&mut self, bytes: Vec<u8>) -> Result<String, Vec<u8>> {
        if bytes.is_ascii() {
            return Ok(String::from_utf8(bytes).expect("ASCII is text"));
        }
        let Some(text) = UTF_8.decode_without_bom_handling_and_without_replacement(&bytes) else {
            return Err(bytes);
        };
        let mut checked = std::mem::take(&mut self.spare);
        checked.push_str(&text);
        let mut spare = bytes;
        spare.clear();
        self.spare = String::from_utf8(spare).expect("nothing is text");
        Ok(checked)
    }

    fn encoding_reason(&self) -> String {
        format!(
            "a character of the cell is not in the encoding of the rest of the file ({}); write it \
             anew. If many rows are so, set `encoding` in the folder's configuration",
            self.encoding.name()
        )
    }
}

/// The row that has this byte cannot be stored, if it has no other fault yet.
fn blame(rows: &mut Rows, text: &[u8], undone: &[u8], at: usize, reason: impl Fn() -> String) {
    let after = rows.rows.partition_point(|row| row.start as usize <= at);
    let Some(index) = after.checked_sub(1) else {
        return;
    };
    let row = rows.rows[index];
    if row.fault != 0 || at >= row.end as usize {
        return;
    }
    let cells = &rows.cells[row.cells as usize..][..row.cells_count as usize];
    let column = cells.iter().position(|cell| match cell.in_text() {
        Some(range) => range.contains(&at),
        None => !is_text(cell.of(text, undone)),
    });
    rows.set_fault(
        index,
        Fault {
            code: Code::Encoding,
            column,
            reason: reason(),
        },
    );
}

fn is_text(cell: &[u8]) -> bool {
    std::str::from_utf8(cell).is_ok_and(|cell| !cell.contains(['\0', '\u{FFFD}']))
}

/// Text with `?` for each byte that does not decode, so that everything stays in its place.
fn replace_undecodable(mut bytes: Vec<u8>) -> String {
    let mut at = 0;
    while let Err(error) = std::str::from_utf8(&bytes[at..]) {
        let from = at + error.valid_up_to();
        at = error.error_len().map_or(bytes.len(), |len| from + len);
        bytes[from..at].fill(b'?');
    }
    String::from_utf8(bytes).expect("what did not decode was replaced")
}

/// Takes the apostrophe off that a rejects file was given against formulas.
fn unguard(cells: &mut [Span], text: &[u8], undone: &[u8]) {
    for cell in cells {
        if cell.of(text, undone).first() == Some(&b'\'') {
            *cell = cell.without_first_byte();
        }
    }
}
