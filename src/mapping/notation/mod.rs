//! How a cell's text becomes a value's JSON text: numbers, money, dates, booleans, lists.
//!
//! Knows one cell at a time, and what was decided of its column; nothing of rows or fields.

pub mod boolean;
pub mod date;
pub mod list;
pub mod number;
pub mod spreadsheet;
pub mod text;
pub mod zone;

use crate::reject::Code;

/// Why a cell is not what its column holds. The reason names no content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    pub code: Code,
    pub reason: String,
    /// The column at fault, where it is not the one whose text was read: a zone's, a day's.
    pub column: Option<usize>,
}

impl Wrong {
    pub fn new(code: Code, reason: impl Into<String>) -> Wrong {
        Wrong {
            code,
            reason: reason.into(),
            column: None,
        }
    }

    /// The same, of another column.
    pub fn at(self, column: usize) -> Wrong {
        Wrong {
            column: Some(column),
            ..self
        }
    }
}
