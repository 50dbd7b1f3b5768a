//! The header of a rejects file that comes back (INTERFACE.md, Rejects): the file's own columns,
//! then `_surplus,_file,_line,_column,_code,_reason`.
//!
//! Knows which columns these are; that they are no data, `mapping` sees to.

/// Behind the file's own columns, in this order.
pub const TRAILING: [&str; 6] = ["_surplus", "_file", "_line", "_column", "_code", "_reason"];

/// Where the columns of a rejects file stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RejectsColumns {
    /// How many columns are the original's: the first ones.
    pub original: usize,
    pub surplus: usize,
    /// The id of the file whose row it was.
    pub file: usize,
    pub line: usize,
}

/// `None`: not the header of a rejects file. Blank columns that a spreadsheet left behind don't count.
pub fn rejects_columns(header: &[String]) -> Option<RejectsColumns> {
    let filled = header.iter().rposition(|name| !name.trim().is_empty())? + 1;
    let original = filled.checked_sub(TRAILING.len())?;
    let fits = header[original..filled]
        .iter()
        .zip(TRAILING)
        .all(|(name, wanted)| name.trim().eq_ignore_ascii_case(wanted));
    (fits && original > 0).then_some(RejectsColumns {
        original,
        surplus: original,
        file: original + 1,
        line: original + 2,
    })
}

/// Surplus cells as the one cell `_surplus`: between commas, quoted where they would else be split.
pub fn join_surplus(cells: &[String]) -> String {
    let mut out = String::new();
    for (i, cell) in cells.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        if cell.contains(['"', ',', '\n', '\r']) || (cell.is_empty() && cells.len() == 1) {
            out.push('"');
            out.push_str(&cell.replace('"', "\"\""));
            out.push('"');
        } else {
            out.push_str(cell);
        }
    }
    out
}

/// What `join_surplus` was given.
pub fn split_surplus(cell: &str) -> Vec<String> {
    if cell.is_empty() {
        return Vec::new();
    }
    let mut cells = Vec::new();
    let mut rest = cell;
    loop {
        let (cell, behind) = match rest.strip_prefix('"') {
            Some(quoted) => unquoted(quoted),
            None => match rest.split_once(',') {
                Some((cell, behind)) => (cell.to_owned(), Some(behind)),
                None => (rest.to_owned(), None),
            },
        };
        cells.push(cell);
        match behind {
            Some(behind) => rest = behind,
            None => return cells,
        }
    }
}

/// A quoted cell's text, and what stands behind its comma.
fn unquoted(quoted: &str) -> (String, Option<&str>) {
    let mut text = String::new();
    let mut rest = quoted;
    while let Some((before, behind)) = rest.split_once('"') {
        text.push_str(before);
        match behind.strip_prefix('"') {
            Some(behind) => {
                text.push('"');
                rest = behind;
            }
            None => return (text, behind.strip_prefix(',')),
        }
    }
    text.push_str(rest);
    (text, None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn header(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn the_header_of_a_rejects_file_is_known() {
        let own = ["source_id", "name"];
        let names: Vec<&str> = own.into_iter().chain(TRAILING).chain(["", " "]).collect();
        let columns = rejects_columns(&header(&names)).unwrap();
        assert_eq!((columns.original, columns.file), (2, 3));
        assert_eq!(rejects_columns(&header(&own)), None);
        assert_eq!(rejects_columns(&header(&TRAILING)), None);
    }

    proptest! {
        #[test]
        fn surplus_cells_come_back(cells in prop::collection::vec("[a,\"\n ]{0,4}", 0..4)) {
            prop_assert_eq!(split_surplus(&join_surplus(&cells)), cells);
        }
    }
}
