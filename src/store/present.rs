//! A full list's keys, and which records of its folder it does not name.
//!
//! Keys stand in scratch space; both sides are walked in the order of keys, so memory is that of two
//! rows.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension, Rows, params};

use super::intake::Missing;
use super::{Result, files, scratch};
use crate::kind::Kind;

/// Used by an intake session, and by a dry run on its own.
pub struct Present {
    scratch: Connection,
}

impl Present {
    pub fn new(dir: &Path) -> Result<Present> {
        let scratch = scratch::open(dir)?;
        scratch.execute_batch(
            "CREATE TABLE present (kind INTEGER NOT NULL, key TEXT NOT NULL, PRIMARY KEY (kind, key))
               STRICT, WITHOUT ROWID;
             CREATE TABLE missing (kind INTEGER NOT NULL, key TEXT NOT NULL, PRIMARY KEY (kind, key))
               STRICT, WITHOUT ROWID;
             BEGIN",
        )?;
        Ok(Present { scratch })
    }

    pub fn add(&mut self, kind: Kind, keys: &[&str]) -> Result<()> {
        let mut insert = self
            .scratch
            .prepare_cached("INSERT OR IGNORE INTO present (kind, key) VALUES (?1, ?2)")?;
        if keys.is_sorted() {
            for key in keys {
                insert.execute(params![kind.code(), key])?;
            }
        } else {
            let mut sorted = keys.to_vec();
            sorted.sort_unstable();
            for key in sorted {
                insert.execute(params![kind.code(), key])?;
            }
        }
        Ok(())
    }

    /// Finds what the folder's files brought and the list does not name, and keeps it for `each_missing`.
    pub fn compare(&mut self, reader: &Connection, folder: i64) -> Result<Missing> {
        self.scratch.execute("DELETE FROM missing", [])?;
        let mut found = Missing::default();
        let mut note = self
            .scratch
            .prepare("INSERT INTO missing (kind, key) VALUES (?1, ?2)")?;
        let mut present = self
            .scratch
            .prepare("SELECT kind, key FROM present ORDER BY kind, key")?;
        let mut present = present.query([])?;
        let mut brought = reader.prepare(
            "SELECT kind, source_id FROM record WHERE folder = ?1 AND gone = 0 AND kind <> ?2
             ORDER BY kind, source_id",
        )?;
        let mut brought = brought.query(params![folder, Kind::Orders.code()])?;
        let mut named = step(&mut present)?;
        while let Some(record) = step(&mut brought)? {
            found.brought += 1;
            while named.as_ref().is_some_and(|named| *named < record) {
                named = step(&mut present)?;
            }
            if named.as_ref() != Some(&record) {
                found.missing += 1;
                note.execute(params![record.0, record.1])?;
            }
        }
        Ok(found)
    }

    /// `compare` for a folder by its name; nothing is missing of one that never brought a file.
    pub fn compare_folder(&mut self, reader: &Connection, folder: &str) -> Result<Missing> {
        match known_folder(reader, folder)? {
            Some(folder) => self.compare(reader, folder),
            None => Ok(Missing::default()),
        }
    }

    pub fn each_missing(&self, mut each: impl FnMut(Kind, &str) -> Result<()>) -> Result<()> {
        let mut missing = self
            .scratch
            .prepare("SELECT kind, key FROM missing ORDER BY kind, key")?;
        let mut missing = missing.query([])?;
        while let Some((kind, key)) = step(&mut missing)? {
            each(files::kind(kind)?, &key)?;
        }
        Ok(())
    }
}

fn known_folder(c: &Connection, folder: &str) -> Result<Option<i64>> {
    Ok(
        c.query_row("SELECT id FROM folder WHERE name = ?1", [folder], |row| {
            row.get(0)
        })
        .optional()?,
    )
}

fn step(rows: &mut Rows<'_>) -> Result<Option<(i64, String)>> {
    Ok(match rows.next()? {
        Some(row) => Some((row.get(0)?, row.get(1)?)),
        None => None,
    })
}
