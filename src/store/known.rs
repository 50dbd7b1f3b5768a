//! Which rows of a file are known already, by their hash alone.
//!
//! Walks the stored records in the order of keys beside the file's rows, as long as both lie close
//! together; else asks for one key after another. Each call is a read transaction of its own, so that
//! the WAL can be written back in between.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::Result;
use crate::kind::Kind;
use crate::record::RowHash;

/// Stored records that are walked for one row of the file before single look-ups are cheaper.
const WALKED_PER_ROW: usize = 4;
/// Walked in any case.
const WALKED_MIN: usize = 256;
/// Calls that ask key by key after a walk that was in vain.
const WALK_AGAIN: u32 = 15;

pub struct KnownRows {
    reader: Connection,
    kind: Kind,
    /// Whose file is read: what it changed itself, and what other folders brought, is read the long
    /// way. `None`: hashes alone decide.
    file: Option<OfFile>,
    spared: u64,
    /// Of the rows of the last call: what this file itself made, so that it is not in `spared`.
    ours: Vec<bool>,
    /// Calls for which walking is not tried.
    ask: u32,
}

#[derive(Clone, Copy)]
pub(super) struct OfFile {
    pub file: i64,
    pub folder: i64,
    pub first_seq: i64,
}

impl KnownRows {
    /// Of no file in particular (`plan`).
    pub fn new(reader: Connection, kind: Kind) -> KnownRows {
        KnownRows {
            reader,
            kind,
            file: None,
            spared: 0,
            ours: Vec::new(),
            ask: 0,
        }
    }

    pub(super) fn of_file(reader: Connection, kind: Kind, file: OfFile) -> KnownRows {
        KnownRows {
            file: Some(file),
            ..KnownRows::new(reader, kind)
        }
    }

    /// For each row, whether its record's last full row had this hash, so that reading it would
    /// change nothing. `out` is cleared first. The rows of a key that the same file already changed
    /// must not be asked for: what stands there may not be committed yet.
    pub fn unchanged(&mut self, rows: &[(&str, RowHash)], out: &mut Vec<bool>) -> Result<()> {
        out.clear();
        out.resize(rows.len(), false);
        self.ours.clear();
        self.ours.resize(rows.len(), false);
        if rows.is_empty() {
            return Ok(());
        }
        self.reader.execute_batch("BEGIN")?;
        let result = self.look(rows, out);
        self.reader.execute_batch("COMMIT")?;
        result
    }

    /// Records that were told unchanged so far, each once if its rows are neighbours, and without
    /// those that an earlier reading of this file had changed: `Finish::unchanged`.
    pub fn spared(&self) -> u64 {
        self.spared
    }

    /// Whether the n-th row of the last call is of a record that an earlier reading of this file had made
    /// what it is.
    pub fn is_ours(&self, n: usize) -> bool {
        self.ours[n]
    }

    fn look(&mut self, rows: &[(&str, RowHash)], out: &mut [bool]) -> Result<()> {
        let order = key_order(rows);
        let at = |n: usize| order.as_ref().map_or(n, |order| order[n]);
        let done = match self.ask {
            0 => self.walk(rows, &at, out)?,
            _ => 0,
        };
        if done < rows.len() {
            self.ask = match self.ask {
                0 => WALK_AGAIN,
                left => left - 1,
            };
            self.ask_each(rows, &at, done, out)?;
        }
        Ok(())
    }

    /// How many rows of the order it got through.
    fn walk(
        &mut self,
        rows: &[(&str, RowHash)],
        at: &dyn Fn(usize) -> usize,
        out: &mut [bool],
    ) -> Result<usize> {
        let mut statement = self.reader.prepare_cached(
            "SELECT row_hash, folder, file, seq, source_id FROM record
             WHERE kind = ?1 AND source_id >= ?2 ORDER BY source_id",
        )?;
        let mut stored = statement.query(params![self.kind.code(), rows[at(0)].0])?;
        let mut walked_max = WALKED_MIN + WALKED_PER_ROW * rows.len();
        let mut n = 0;
        let mut spared = 0;
        while let Some(row) = stored.next()? {
            let key = row.get_ref(4)?.as_str().map_err(rusqlite::Error::from)?;
            while n < rows.len() && rows[at(n)].0 < key {
                n += 1;
            }
            let mut first = true;
            while n < rows.len() && rows[at(n)].0 == key {
                let ours = judge(row, self.file, &rows[at(n)].1, &mut out[at(n)])?;
                self.ours[at(n)] = ours;
                spared += u64::from(out[at(n)] && first && !ours);
                first &= !out[at(n)];
                n += 1;
            }
            walked_max -= 1;
            if walked_max == 0 || n == rows.len() {
                break;
            }
        }
        self.spared += spared;
        // Walked to the end: what is left has no record.
        Ok(if walked_max == 0 { n } else { rows.len() })
    }

    fn ask_each(
        &mut self,
        rows: &[(&str, RowHash)],
        at: &dyn Fn(usize) -> usize,
        from: usize,
        out: &mut [bool],
    ) -> Result<()> {
        let mut statement = self.reader.prepare_cached(
            "SELECT row_hash, folder, file, seq FROM record WHERE kind = ?1 AND source_id = ?2",
        )?;
        let mut before = None;
        for n in from..rows.len() {
            let (key, hash) = &rows[at(n)];
            let known = &mut out[at(n)];
            let ours = statement
                .query_row(params![self.kind.code(), key], |row| {
                    judge(row, self.file, hash, known)
                })
                .optional()?
                .unwrap_or(false);
            self.ours[at(n)] = ours;
            self.spared += u64::from(*known && !ours && before != Some(*key));
            if *known {
                before = Some(*key);
            }
        }
        Ok(())
    }
}

/// Sets `known`, and tells whether the file itself made the record what it is.
fn judge(
    row: &Row<'_>,
    file: Option<OfFile>,
    hash: &RowHash,
    known: &mut bool,
) -> rusqlite::Result<bool> {
    let stored = row.get_ref(0)?.as_blob_or_null()?;
    *known = stored == Some(hash.as_slice());
    let Some(of) = file.filter(|_| *known) else {
        return Ok(false);
    };
    *known = row.get::<_, i64>(1)? == of.folder;
    Ok(row.get::<_, i64>(2)? == of.file && row.get::<_, i64>(3)? >= of.first_seq)
}

/// `None`: they stand in it.
fn key_order(rows: &[(&str, RowHash)]) -> Option<Vec<usize>> {
    if rows.is_sorted_by_key(|row| row.0) {
        return None;
    }
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.sort_by_key(|&n| rows[n].0);
    Some(order)
}
