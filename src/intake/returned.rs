//! Rejects files: their columns, what is written into them, and how one that comes back is read:
//! with what was decided for its original, whatever this host would decide today.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek};

use super::read::{Kept, Refusal, each_rows};
use crate::config;
use crate::mapping::notation::spreadsheet;
use crate::mapping::{Decided, Reading};
use crate::reject::{Code, Reject};
use crate::table::{Member, Row};

const SURPLUS: &str = "_surplus";
const FILE: &str = "_file";
const LINE: &str = "_line";
const CODE: &str = "_code";
const REASON: &str = "_reason";

/// What tillsync adds to a file's own columns, in this order (INTERFACE.md, Rejects).
pub const COLUMNS: [&str; 6] = [SURPLUS, FILE, LINE, "_column", CODE, REASON];

/// What stood in the columns of keys, by the columns' headers.
pub type KeyCells = Vec<(String, String)>;

/// Member → line → what stood there.
pub type Keys = HashMap<String, HashMap<u64, KeyCells>>;

/// What is known of the file whose rejects come back.
pub struct Original {
    pub id: i64,
    pub name: String,
    /// All that it said stands in the store.
    pub is_stored: bool,
    pub kept: Vec<Kept>,
    /// The file itself, where it still is where it was moved to.
    pub file: Option<File>,
    /// Empty where the original cannot be read any more.
    pub keys: Keys,
}

/// A rejects file that came back.
pub struct Returned {
    surplus: Option<usize>,
    line: Option<usize>,
    header: Vec<String>,
    /// Columns that are the file's own.
    own: Vec<usize>,
    decided: Option<Decided>,
    /// See `Kept::key`.
    key: Option<String>,
    /// The original itself, and how it was read.
    whole: Option<(File, Kept)>,
    keys: HashMap<u64, KeyCells>,
    /// The original's number and name.
    of: Option<(i64, String)>,
    is_stored: bool,
}

/// What is to be done with a row of it.
pub enum Judged {
    Read,
    /// It stood for what could not be read at all.
    Nothing,
    Rejected(Box<Reject>),
}

/// A rejects file's header without what tillsync added; `None`: it is none.
pub fn own_header(header: &[String]) -> Option<Vec<String>> {
    let has = |name: &str| header.iter().any(|column| column == name);
    if ![FILE, CODE, REASON].into_iter().all(has) {
        return None;
    }
    Some(
        header
            .iter()
            .filter(|column| !is_added(column))
            .cloned()
            .collect(),
    )
}

pub fn is_added(column: &str) -> bool {
    COLUMNS.contains(&column)
}

/// The added columns are no data.
pub fn ignore_own_columns(folder: &mut config::Folder) {
    let ignored = COLUMNS.map(|name| (name.to_owned(), String::new()));
    folder.columns.extend(ignored);
}

/// What stands in `_file`: the file's number, and of a zip its member.
pub fn file_cell(id: i64, member: &str) -> String {
    if member.is_empty() {
        id.to_string()
    } else {
        format!("{id}/{member}")
    }
}

impl Returned {
    /// Finds its original by the first row that names one.
    pub fn find<R: Read + Seek>(
        file: &mut R,
        member: &Member,
        original: &dyn Fn(i64) -> Option<Original>,
    ) -> Result<Returned, Refusal> {
        let column = |name: &str| member.header.iter().position(|column| column == name);
        let mut named: Option<(i64, String)> = None;
        if let Some(of) = column(FILE) {
            each_rows(file, member, |rows| {
                if named.is_none() {
                    named = rows.iter().find_map(|row| parse_file(row.cell(of)));
                }
                Ok::<(), Refusal>(())
            })?;
        }
        let (mut kept, mut keys, mut whole) = (None, HashMap::new(), None);
        let (mut is_stored, mut known_as) = (false, None);
        if let Some((id, of)) = named
            && let Some(mut original) = original(id)
        {
            keys = original.keys.remove(&of).unwrap_or_default();
            kept = (original.kept.into_iter()).find(|kept| kept.member == of);
            whole = original.file;
            is_stored = original.is_stored;
            known_as = Some((original.id, original.name));
        }
        let (decided, key) = match &kept {
            Some(kept) => (Some(kept.decided.clone()), kept.key.clone()),
            None => (None, None),
        };
        Ok(Returned {
            surplus: column(SURPLUS),
            line: column(LINE),
            header: member.header.clone(),
            own: (0..member.header.len())
                .filter(|n| !is_added(&member.header[*n]))
                .collect(),
            decided,
            key,
            whole: whole.zip(kept),
            keys,
            of: known_as,
            is_stored,
        })
    }

    /// What was decided for its original; `None`: it is not known here.
    pub fn decided(&self) -> Option<&Decided> {
        self.decided.as_ref()
    }

    /// The header of its key's column, where only ids told the format.
    pub fn key(&self) -> Option<String> {
        self.key.clone()
    }

    /// The number and the name of its original; `None`: it is not known here.
    pub fn of(&self) -> Option<(i64, &str)> {
        self.of.as_ref().map(|(id, name)| (*id, name.as_str()))
    }

    /// The original, if all that it said stands in the store, with the lines that were rejected of it.
    pub fn stored_whole(&self) -> Option<(&File, &Kept, &HashMap<u64, KeyCells>)> {
        let (file, kept) = self.whole().filter(|_| self.is_stored)?;
        Some((file, kept, &self.keys))
    }

    /// The original itself and how it was read, for what its other rows say.
    pub fn whole(&self) -> Option<(&File, &Kept)> {
        self.whole.as_ref().map(|(file, kept)| (file, kept))
    }

    pub fn judge(&self, row: Row<'_>, reading: &Reading) -> Judged {
        if row.fault().is_some() {
            return Judged::Read;
        }
        if self.own.iter().all(|n| row.cell(*n).trim().is_empty()) {
            return Judged::Nothing;
        }
        let reject = |column: Option<String>, code, reason: &str| {
            Judged::Rejected(Box::new(Reject {
                line: row.line(),
                column,
                code,
                reason: reason.to_owned(),
                cells: row.cells(),
                records: Vec::new(),
            }))
        };
        if self.surplus.is_some_and(|n| !row.cell(n).trim().is_empty()) {
            return reject(
                Some(SURPLUS.to_owned()),
                Code::ColumnCount,
                "there are still cells in `_surplus`; put them where they belong and empty it",
            );
        }
        if let Some((column, cells)) = self.damaged(row, reading) {
            return Judged::Rejected(Box::new(Reject {
                line: row.line(),
                column: Some(column),
                code: Code::BadKey,
                reason: "the key is not the one it was rejected with, but what a spreadsheet makes of \
                         it; it is put back here as it was: drop this file again, and do not open it \
                         in a spreadsheet without making the column text first"
                    .to_owned(),
                cells,
                records: Vec::new(),
            }));
        }
        Judged::Read
    }

    /// The column of a key that a spreadsheet has damaged, and the row with its keys as they were.
    fn damaged(&self, row: Row<'_>, reading: &Reading) -> Option<(String, Vec<String>)> {
        let before = self.keys.get(&self.line_of(row)?)?;
        let mut cells = row.cells();
        let mut first = None;
        for column in reading.key_columns() {
            let (Some(header), Some(cell)) = (self.header.get(column), cells.get_mut(column))
            else {
                continue;
            };
            if let Some((_, was)) = before.iter().find(|(name, _)| name.trim() == header.trim())
                && spreadsheet::damaged(was, cell)
            {
                first.get_or_insert_with(|| header.trim().to_owned());
                cell.clone_from(was);
            }
        }
        first.map(|column| (column, cells))
    }

    /// Where in its original a row of it began.
    pub fn line_of(&self, row: Row<'_>) -> Option<u64> {
        row.cell(self.line?).trim().parse().ok()
    }

    /// Where a row's `_file` and `_line` lead.
    pub fn origin(header: &[String], row: Row<'_>) -> Option<(i64, String, u64)> {
        let cell = |name: &str| {
            let column = header.iter().position(|column| column == name)?;
            Some(row.cell(column))
        };
        let (id, member) = parse_file(cell(FILE)?)?;
        Some((id, member, cell(LINE)?.trim().parse().ok()?))
    }
}

fn parse_file(cell: &str) -> Option<(i64, String)> {
    let (id, member) = cell.trim().split_once('/').unwrap_or((cell.trim(), ""));
    Some((id.parse().ok()?, member.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_header_is_known_by_its_columns() {
        let header = |names: &str| -> Vec<String> { names.split(',').map(str::to_owned).collect() };
        let all = header("id,name,_surplus,_file,_line,_column,_code,_reason");
        assert_eq!(own_header(&all), Some(header("id,name")));
        assert_eq!(own_header(&header("id,_line,name")), None);
    }

    #[test]
    fn its_original_is_named() {
        assert_eq!(parse_file(&file_cell(7, "")), Some((7, String::new())));
        assert_eq!(
            parse_file(&file_cell(7, "a/b.csv")),
            Some((7, "a/b.csv".into()))
        );
        assert_eq!(parse_file("x"), None);
    }
}
