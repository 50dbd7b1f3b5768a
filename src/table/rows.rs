//! Some rows of a table in one arena that is filled again and again: no allocation a row or a cell.

use crate::reject::Code;

/// Some rows of a table, in one arena that is filled again and again.
#[derive(Debug, Default)]
pub struct Rows {
    /// The batch as it stands in the decoded file, line ends included.
    pub(super) text: String,
    /// Cells whose doubled quotes were undone.
    pub(super) undone: String,
    pub(super) rows: Vec<RowSpan>,
    pub(super) cells: Vec<Span>,
    pub(super) faults: Vec<Fault>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct RowSpan {
    pub line: u64,
    pub start: u32,
    pub end: u32,
    /// Index of the row's first cell in `Rows::cells`.
    pub cells: u32,
    pub cells_count: u32,
    /// One more than the index in `Rows::faults`; 0: none.
    pub fault: u32,
    pub after_blank_line: bool,
}

/// A cell: bytes of `Rows::text`, or, with the highest bit of `start`, of `Rows::undone`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    start: u32,
    end: u32,
}

const UNDONE: u32 = 1 << 31;

impl Span {
    pub fn text(start: usize, end: usize) -> Span {
        Span {
            start: start as u32,
            end: end as u32,
        }
    }

    pub fn undone(start: usize, end: usize) -> Span {
        Span {
            start: start as u32 | UNDONE,
            end: end as u32,
        }
    }

    pub fn len(self) -> usize {
        (self.end - (self.start & !UNDONE)) as usize
    }

    pub fn of<'a, T>(self, text: &'a T, undone: &'a T) -> &'a T
    where
        T: ?Sized + std::ops::Index<std::ops::Range<usize>, Output = T>,
    {
        let range = (self.start & !UNDONE) as usize..self.end as usize;
        if self.start & UNDONE == 0 {
            &text[range]
        } else {
            &undone[range]
        }
    }

    /// Where it lies in `Rows::text`, for a cell that was not undone.
    pub fn in_text(self) -> Option<std::ops::Range<usize>> {
        (self.start & UNDONE == 0).then_some(self.start as usize..self.end as usize)
    }

    pub fn without_first_byte(self) -> Span {
        Span {
            start: self.start + 1,
            end: self.end,
        }
    }
}

/// One row: as many cells as the header has, or a fault.
#[derive(Clone, Copy)]
pub struct Row<'a> {
    rows: &'a Rows,
    index: usize,
}

/// What keeps a row from being read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// `ColumnCount`, `Encoding`, `Quote` or `TooLong`.
    pub code: Code,
    /// Index of the column, where one is at fault. It can lie beyond the header's columns.
    pub column: Option<usize>,
    pub reason: String,
}

impl Rows {
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = Row<'_>> {
        (0..self.rows.len()).map(|index| Row { rows: self, index })
    }

    pub fn get(&self, index: usize) -> Row<'_> {
        Row { rows: self, index }
    }

    pub(super) fn clear(&mut self) {
        self.text.clear();
        self.undone.clear();
        self.rows.clear();
        self.cells.clear();
        self.faults.clear();
    }

    pub(super) fn set_fault(&mut self, row: usize, fault: Fault) {
        self.faults.push(fault);
        self.rows[row].fault = self.faults.len() as u32;
    }
}

impl<'a> Row<'a> {
    fn span(self) -> &'a RowSpan {
        &self.rows.rows[self.index]
    }

    fn spans(self) -> &'a [Span] {
        let span = self.span();
        &self.rows.cells[span.cells as usize..][..span.cells_count as usize]
    }

    /// Where it begins, as an editor counts.
    pub fn line(self) -> u64 {
        self.span().line
    }

    /// Its bytes as they stand in the (decoded) file, without the line end: what a row hash is made of.
    /// Where a row with the fault `Encoding` does not decode, `?` stands for each byte.
    pub fn raw(self) -> &'a [u8] {
        let span = self.span();
        &self.rows.text.as_bytes()[span.start as usize..span.end as usize]
    }

    /// `None` for a row that can be mapped.
    pub fn fault(self) -> Option<&'a Fault> {
        match self.span().fault {
            0 => None,
            one_more => Some(&self.rows.faults[one_more as usize - 1]),
        }
    }

    /// The text of a cell, quotes undone; outer white space is left. Empty beyond the row's end.
    /// Also of a faulty row, as far as its cells could be told apart.
    pub fn cell(self, column: usize) -> &'a str {
        match self.spans().get(column) {
            Some(span) => span.of(self.rows.text.as_str(), self.rows.undone.as_str()),
            None => "",
        }
    }

    /// How many cells it has as it stands, surplus ones too.
    pub fn cells_count(self) -> usize {
        self.span().cells_count as usize
    }

    /// Nothing but white space in any cell.
    pub fn is_blank(self) -> bool {
        (0..self.cells_count()).all(|column| self.cell(column).trim_ascii().is_empty())
    }

    /// Whether at least one blank line stands between it and the row (or header) before it.
    pub fn after_blank_line(self) -> bool {
        self.span().after_blank_line
    }

    /// All its cells for a rejects file, surplus ones too; what does not decode is replaced by `?`.
    pub fn cells(self) -> Vec<String> {
        (0..self.cells_count())
            .map(|column| self.cell(column).replace(['\0', '\u{FFFD}'], "?"))
            .collect()
    }
}
