//! Bytes → header and rows with line numbers: gzip and zip, encoding, dialect, ragged rows, limits.
//!
//! Knows nothing of what columns mean; whoever asks passes a closure that recognises a header.
//! Pure: it reads from what it is given (`Read + Seek`), and opens nothing itself.

use std::io::{Read, Seek};
use std::ops::Range;

use crate::reject::Code;

/// Bytes that one cell may have at most; above, its row is rejected (INTERFACE.md, Limits).
pub const CELL_BYTES_MAX: usize = 1 << 20;
/// Columns that a table may have at most.
pub const COLUMNS_MAX: usize = 4096;
/// Bytes that one row may have at most; above, the file is unreadable.
pub const ROW_BYTES_MAX: usize = 4 << 20;
/// Bytes that a file may unpack to at most.
pub const UNPACKED_BYTES_MAX: u64 = 4 << 30;
/// How much larger than its packed bytes a file may unpack, beyond the first `UNPACKED_FREE_BYTES`.
pub const UNPACKED_RATIO_MAX: u64 = 200;
pub const UNPACKED_FREE_BYTES: u64 = 16 << 20;

/// What the folder's settings fix of the dialect; the rest is found out.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// A WHATWG label.
    pub encoding: Option<String>,
    pub delimiter: Option<u8>,
}

/// What was found out of a table, and all that is needed to read it again the same way
/// (`file.reading` in the store keeps it as JSON for the rejects round trip).
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Dialect {
    /// A WHATWG name: `UTF-8`, `UTF-16LE`, `windows-1252`, …
    pub encoding: String,
    pub delimiter: u8,
    /// Line of the header, as an editor counts; more than 1 after `sep=;` or titles.
    pub header_line: u64,
    // The implementer adds what reading needs (offset of the header, BOM, …).
}

/// A file that is no table, or over a limit. `reason` is for the store's IT person and names no content.
#[derive(Debug)]
pub enum Failure {
    Unreadable {
        reason: String,
    },
    /// The table could be read up to this line, then no further (a broken gzip's tail): one reject
    /// says from which line on.
    CutOff {
        line: u64,
        reason: String,
    },
    Io(std::io::Error),
}

/// One table of a file: the file itself, what is in its gzip, or one CSV member of a zip.
#[derive(Clone, Debug)]
pub struct Member {
    /// `""` but for a zip's members.
    pub name: String,
    pub dialect: Dialect,
    /// Decoded, as spelled; outer white space and a BOM are gone.
    pub header: Vec<String>,
}

/// Looks a whole file over once: what it is packed in, its members, and of each the encoding (by
/// evidence over the whole member), delimiter and header. `is_header` is asked of the first lines
/// whether a preset knows them, so that titles above a header are skipped.
pub fn survey<R: Read + Seek>(
    _file: &mut R,
    _settings: &Settings,
    _is_header: &dyn Fn(&[String]) -> bool,
) -> Result<Vec<Member>, Failure> {
    todo!()
}

/// Reads the rows of one member, in batches.
pub struct Reader<'a> {
    _source: Box<dyn Read + 'a>,
}

impl<'a> Reader<'a> {
    /// From the file's start.
    pub fn new<R: Read + Seek>(_file: &'a mut R, _member: &Member) -> Result<Reader<'a>, Failure> {
        todo!()
    }

    /// Fills `rows` with the next rows, at most `rows_max` or about 1 MiB. `false`: there were none left.
    pub fn read(&mut self, _rows: &mut Rows, _rows_max: usize) -> Result<bool, Failure> {
        todo!()
    }
}

/// Some rows of a table, in one arena that is filled again and again.
#[derive(Debug, Default)]
pub struct Rows {
    bytes: Vec<u8>,
    rows: Vec<RowSpan>,
}

#[derive(Debug)]
struct RowSpan {
    #[allow(dead_code)]
    line: u64,
    #[allow(dead_code)]
    bytes: Range<usize>,
}

/// One row: as many cells as the header has, or a fault.
#[derive(Clone, Copy)]
pub struct Row<'a> {
    rows: &'a Rows,
    index: usize,
}

/// What keeps a row from being read.
#[derive(Clone, Debug)]
pub struct Fault {
    pub code: Code,
    /// Index of the column, where one is at fault.
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
}

impl<'a> Row<'a> {
    /// Where it begins, as an editor counts.
    pub fn line(self) -> u64 {
        todo!()
    }

    /// Its bytes as they stand in the (decoded) file, without the line end: what a row hash is made of.
    pub fn raw(self) -> &'a [u8] {
        &self.rows.bytes[self.rows.rows[self.index].bytes.clone()]
    }

    /// `None` for a row that can be mapped.
    pub fn fault(self) -> Option<&'a Fault> {
        todo!()
    }

    /// The text of a cell, quotes undone. Empty beyond the row's end.
    pub fn cell(self, _column: usize) -> &'a str {
        todo!()
    }

    /// All its cells for a rejects file, surplus ones too; what does not decode is replaced by `?`.
    pub fn cells(self) -> Vec<String> {
        todo!()
    }
}
