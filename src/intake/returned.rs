//! Rejects files: their columns, what is written into them, and how one that comes back is read:
//! with what was decided for its original, whatever this host would decide today.

use std::collections::HashMap;
use std::io::{Read, Seek};

use super::read::{Kept, Refusal, each_rows};
use crate::config;
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

/// What is known of the file whose rejects come back.
pub struct Original {
    pub kept: Vec<Kept>,
    /// Member → line → the key that stood there; empty where the original cannot be read any more.
    pub keys: HashMap<String, HashMap<u64, String>>,
}

/// A rejects file that came back.
pub struct Returned {
    surplus: Option<usize>,
    line: Option<usize>,
    /// Columns that are the file's own.
    own: Vec<usize>,
    decided: Option<Decided>,
    /// See `Kept::key`.
    key: Option<String>,
    keys: HashMap<u64, String>,
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
        let (mut kept, mut keys) = (None, HashMap::new());
        if let Some((id, of)) = named
            && let Some(mut original) = original(id)
        {
            keys = original.keys.remove(&of).unwrap_or_default();
            kept = (original.kept.into_iter()).find(|kept| kept.member == of);
        }
        let (decided, key) = match kept {
            Some(kept) => (Some(kept.decided), kept.key),
            None => (None, None),
        };
        Ok(Returned {
            surplus: column(SURPLUS),
            line: column(LINE),
            own: (0..member.header.len())
                .filter(|n| !is_added(&member.header[*n]))
                .collect(),
            decided,
            key,
            keys,
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
                record: None,
            }))
        };
        if self.surplus.is_some_and(|n| !row.cell(n).trim().is_empty()) {
            return reject(
                Some(SURPLUS.to_owned()),
                Code::ColumnCount,
                "there are still cells in `_surplus`; put them where they belong and empty it",
            );
        }
        if self.has_damaged_key(row, reading) {
            return reject(
                None,
                Code::BadKey,
                "the key is not the one it was rejected with, but what a spreadsheet makes of it; write it as it was, as text",
            );
        }
        Judged::Read
    }

    fn has_damaged_key(&self, row: Row<'_>, reading: &Reading) -> bool {
        let line = self
            .line
            .and_then(|n| row.cell(n).trim().parse::<u64>().ok());
        let before = line.and_then(|line| self.keys.get(&line));
        match (before, reading.key(&row)) {
            (Some(before), Some(now)) => is_damaged(before, &now),
            _ => false,
        }
    }
}

fn parse_file(cell: &str) -> Option<(i64, String)> {
    let (id, member) = cell.trim().split_once('/').unwrap_or((cell.trim(), ""));
    Some((id.parse().ok()?, member.to_owned()))
}

/// Whether `now` is what a spreadsheet makes of `before`: the same number, written otherwise or with
/// fewer digits.
fn is_damaged(before: &str, now: &str) -> bool {
    if before == now {
        return false;
    }
    let digits = |text: &str| text.bytes().filter(u8::is_ascii_digit).count();
    let number = |text: &str| -> Option<f64> {
        let text = text.trim().replace(',', ".");
        let looks = text
            .bytes()
            .all(|b| b.is_ascii_digit() || b".eE+-".contains(&b));
        (looks && digits(&text) > 0).then(|| text.parse().ok())?
    };
    let (Some(a), Some(b)) = (number(before), number(now)) else {
        return false;
    };
    let mantissa = now.split(['e', 'E']).next().unwrap_or(now);
    // Of more than fifteen digits a spreadsheet keeps fifteen; with an exponent, those that it shows.
    let kept = digits(mantissa).clamp(1, 15) as i32;
    let is_short = now.len() != mantissa.len() || digits(now) > 15;
    let last_digit = 10f64.powi(b.abs().max(1.0).log10().floor() as i32 + 1 - kept);
    a == b || is_short && (a - b).abs() <= last_digit * 0.501
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(before: &str, now: &str, damaged: bool) {
        assert_eq!(is_damaged(before, now), damaged, "{before} → {now}");
    }

    #[test]
    fn what_a_spreadsheet_makes_of_keys() {
        check("0042", "42", true);
        check("4200000000123", "4.2E+12", true);
        check("4006381333931", "4,00638E+12", true);
        check("1234567890123456789", "1234567890123460000", true);
        check("219E01", "2190", true);
        check("0042", "0042", false);
        check("0042", "0043", false);
        check("A42", "42", false);
        check("42", "43", false);
        check("4200000000123", "4.3E+12", false);
        check("C-1", "C-2", false);
    }

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
