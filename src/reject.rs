//! Why a row could not be stored: the codes that INTERFACE.md names, and one reject.
//!
//! Knows neither files nor columns' meaning; `table` and `mapping` make rejects, the store keeps them.

use crate::kind::Kind;

/// `_code` of a rejects file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Code {
    /// No key, its own or its parent's.
    MissingKey,
    /// A key that has not the shape that the preset's keys have.
    BadKey,
    UnknownParent,
    /// Fewer or more cells than the header has columns.
    ColumnCount,
    /// Text that does not decode, or holds a NUL.
    Encoding,
    /// A quote that is opened and never closed.
    Quote,
    Number,
    Date,
    Boolean,
    Status,
    /// Over a limit: cell, columns, items.
    TooLong,
    /// Two columns or rows say different things of one record.
    Conflict,
    /// Another row of the same record was rejected.
    Group,
}

impl Code {
    pub fn name(self) -> &'static str {
        match self {
            Code::MissingKey => "missing_key",
            Code::BadKey => "bad_key",
            Code::UnknownParent => "unknown_parent",
            Code::ColumnCount => "column_count",
            Code::Encoding => "encoding",
            Code::Quote => "quote",
            Code::Number => "number",
            Code::Date => "date",
            Code::Boolean => "boolean",
            Code::Status => "status",
            Code::TooLong => "too_long",
            Code::Conflict => "conflict",
            Code::Group => "group",
        }
    }
}

/// A row that was not stored. `reason` is for the store's IT person: what is wrong and what to do,
/// without the cell's content (INTERFACE.md, promise 7).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reject {
    /// Where the row begins, as an editor counts; the header of a plain file is line 1.
    pub line: u64,
    /// The file's own header of the column; `None` if it concerns the row as a whole.
    pub column: Option<String>,
    pub code: Code,
    pub reason: String,
    /// The row's cells as they stood, decoded where they could be, for the rejects file.
    pub cells: Vec<String>,
    /// The records that the row is about, where their keys can be read: they count as present in a
    /// full list (INTERFACE.md, Keys and parents). A row of an export may be a product's and its SKU's.
    pub records: Vec<(Kind, String)>,
}

impl Reject {
    /// Bytes of what it keeps of its row.
    pub fn bytes(&self) -> usize {
        self.reason.len() + self.cells.iter().map(String::len).sum::<usize>()
    }
}
