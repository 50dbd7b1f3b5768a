//! Bytes → header and rows with line numbers: gzip and zip, encoding, dialect, ragged rows, limits.
//!
//! Knows nothing of what columns mean; whoever asks passes a closure that recognises a header.
//! Pure: it reads from what it is given (`Read + Seek`), and opens nothing itself.
//!
//! A file is gone through twice. [`survey`] looks all of it over: what it is packed in, how it is
//! encoded, where the header is. [`Reader`] then reads rows in batches, from the start again.
//! What is wrong with one row is a [`Fault`] of that row; what is wrong with the file is a [`Failure`].

mod container;
mod decode;
mod dialect;
mod encoding;
mod formula;
mod reader;
mod rows;
mod split;
mod survey;
mod write;

#[cfg(test)]
mod tests;

pub use formula::{guard_formula, unguard_formula};
pub use reader::Reader;
pub use rows::{Fault, Row, Rows};
pub use survey::survey;
pub use write::write_row;

use std::fmt;

/// Bytes that one cell may have at most; above, its row is rejected (INTERFACE.md, Limits).
pub const CELL_BYTES_MAX: usize = 1 << 20;
/// Columns that a table may have at most; a row with more cells is rejected.
pub const COLUMNS_MAX: usize = 4096;
/// Bytes that one row may have at most, decoded; above, the file is unreadable.
pub const ROW_BYTES_MAX: usize = 4 << 20;
/// Bytes that a file may unpack to at most, all its members together.
pub const UNPACKED_BYTES_MAX: u64 = 4 << 30;
/// How many times its packed bytes a file may unpack to, once it is beyond `UNPACKED_FREE_BYTES`.
pub const UNPACKED_RATIO_MAX: u64 = 200;
pub const UNPACKED_FREE_BYTES: u64 = 16 << 20;
/// Entries that a zip may list at most; its directory is held in memory.
pub const ZIP_ENTRIES_MAX: u64 = 10_000;

/// What the folder's settings fix of the dialect; the rest is found out.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// A WHATWG label. A byte order mark in the file wins over it, so that a rejects file, which is
    /// UTF-8 with a mark, can come back into any folder.
    pub encoding: Option<String>,
    /// An ASCII character. A first line `sep=;` wins over it.
    pub delimiter: Option<u8>,
    /// The header of a format whose files may come without one: it is taken where no line is
    /// recognised as a header, and the first line is a row then.
    pub header_if_none: Option<Vec<String>>,
}

/// What was found out of a table, and all that is needed to read it again the same way
/// (`file.reading` in the store keeps it as JSON for the rejects round trip).
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Dialect {
    /// A WHATWG name: `UTF-8`, `UTF-16LE`, `windows-1252`, …
    pub encoding: String,
    pub delimiter: u8,
    /// Line of the header, as an editor counts; more than 1 after `sep=;` or titles; 0 where the file
    /// has none and `Settings::header_if_none` was taken.
    pub header_line: u64,
    /// Where the header begins (or the first row, if there is none), in bytes of the decoded text
    /// after its byte order mark.
    pub header_at: u64,
    pub container: Container,
    /// Cells begin with an apostrophe that a rejects file was given against formulas, and are read
    /// without it ([`guard_formula`]). Never found out: whoever knows that this is a rejects file sets it.
    #[serde(default)]
    pub guarded: bool,
}

/// What a table is packed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Container {
    Plain,
    Gzip,
    Zip,
}

/// In words, for `plan`: `UTF-8, semicolon, header on line 3, gzip`.
impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, ", self.encoding)?;
        match self.delimiter {
            b',' => f.write_str("comma")?,
            b';' => f.write_str("semicolon")?,
            b'\t' => f.write_str("tab")?,
            b'|' => f.write_str("vertical bar")?,
            b' ' => f.write_str("blank")?,
            other => write!(f, "{} between cells", (other as char).escape_default())?,
        }
        match self.header_line {
            0 => f.write_str(", no header")?,
            1 => {}
            line => write!(f, ", header on line {line}")?,
        }
        match self.container {
            Container::Plain => Ok(()),
            Container::Gzip => f.write_str(", gzip"),
            Container::Zip => f.write_str(", zip"),
        }
    }
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

impl Failure {
    fn unreadable(reason: impl Into<String>) -> Failure {
        Failure::Unreadable {
            reason: reason.into(),
        }
    }
}

/// One table of a file: the file itself, what is in its gzip, or one CSV member of a zip.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// `""` but for a zip's members.
    pub name: String,
    pub dialect: Dialect,
    /// Decoded, as spelled; outer white space and a BOM are gone.
    pub header: Vec<String>,
}
