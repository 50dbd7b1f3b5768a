//! What batches would do, without doing it: for `plan FILE` and the look-over of `max_change`.
//!
//! The same rules as `apply`, on a reader; what the batches would have made so far stands in scratch
//! space, so that a key that stands twice in a file is compared with its first row.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension, params};

use super::apply::decode;
use super::edit::{self, Shapes, Stored};
use super::files::damaged;
use super::{Result, scratch};
use crate::kind::Kind;
use crate::record::{Act, Batch, BatchRow, Content, Patch};

/// What a row would do with its record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Unknown or deleted so far.
    New,
    Unchanged,
    Changed(Patch),
    Deleted,
}

/// What one row would do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compared {
    pub outcome: Outcome,
    /// Whether it counts in `new`, `changed`, `unchanged`, `deleted`: a record counts once a file, by
    /// the first that the file does to it.
    pub counts: bool,
    /// What the remote may hold of it, where something is to be told; else nothing.
    pub remote: AtRemote,
}

/// What the remote may hold of a record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AtRemote {
    /// It may have it: some flight carried it.
    pub sent: bool,
    /// The API's own id is known, so that an order can be changed by it.
    pub id: bool,
}

/// Compares batches with what is stored, and with what earlier batches would have made of it.
pub struct Comparer {
    reader: Connection,
    scratch: Connection,
    shapes: Shapes,
    /// Nothing stands in scratch space: no need to ask.
    nothing_made: bool,
}

/// A record as the batches would have made it.
enum Made {
    Gone,
    There(Content),
}

impl Comparer {
    /// `scratch_dir`: where an unlinked file holds what the batches would have made. Keep the
    /// comparison short beside a running daemon: each batch is a read transaction of its own.
    pub fn new(reader: Connection, scratch_dir: &Path) -> Result<Comparer> {
        let scratch = scratch::open(scratch_dir)?;
        scratch.execute_batch(
            "CREATE TABLE made (
               kind INTEGER NOT NULL, key TEXT NOT NULL,
               content TEXT,  -- as a patch from nothing; NULL: gone
               PRIMARY KEY (kind, key)
             ) STRICT, WITHOUT ROWID;
             BEGIN",
        )?;
        Ok(Comparer {
            reader,
            scratch,
            shapes: Shapes::default(),
            nothing_made: true,
        })
    }

    /// One outcome for each row of the batch, in its order.
    pub fn compare(&mut self, batch: &Batch) -> Result<Vec<Compared>> {
        self.reader.execute_batch("BEGIN")?;
        let result = batch.rows.iter().map(|row| self.row(batch, row)).collect();
        self.reader.execute_batch("COMMIT")?;
        result
    }

    fn row(&mut self, batch: &Batch, row: &BatchRow) -> Result<Compared> {
        let key = batch.key(row);
        let made = self.made(row.kind, key)?;
        let first = made.is_none();
        let mut id = match &made {
            Some(_) => edit::stored(&self.reader, row.kind, key)?.map(|stored| stored.id),
            None => None,
        };
        let old = match made {
            Some(Made::There(content)) => Some(content),
            Some(Made::Gone) => None,
            None => {
                let stored = edit::stored(&self.reader, row.kind, key)?;
                if let Some(stored) = &stored
                    && surely_unchanged(batch, row, stored)
                {
                    return Ok(unchanged(row.act != Act::CreateOnly));
                }
                id = stored.as_ref().map(|stored| stored.id);
                match stored.filter(|stored| !stored.gone) {
                    Some(stored) => Some(self.shapes.content(&self.reader, stored.id)?),
                    None => None,
                }
            }
        };
        let outcome = self.outcome(batch, row, old)?;
        let counts = first && (row.act != Act::CreateOnly || outcome != Outcome::Unchanged);
        let remote = match id {
            Some(id) if outcome != Outcome::Unchanged => self.at_remote(id)?,
            _ => AtRemote::default(),
        };
        Ok(Compared {
            outcome,
            counts,
            remote,
        })
    }

    fn at_remote(&self, id: i64) -> Result<AtRemote> {
        let known = self
            .reader
            .prepare_cached("SELECT remote_id IS NOT NULL FROM document WHERE id = ?1")?
            .query_row([id], |row| row.get(0))?;
        Ok(AtRemote {
            sent: known || edit::ever_sent(&self.reader, id)?,
            id: known,
        })
    }

    fn outcome(&mut self, batch: &Batch, row: &BatchRow, old: Option<Content>) -> Result<Outcome> {
        let key = batch.key(row);
        if row.act == Act::Delete {
            if old.is_none() {
                return Ok(Outcome::Unchanged);
            }
            self.make(row.kind, key, None)?;
            return Ok(Outcome::Deleted);
        }
        let said = decode(batch, row)?;
        let Some(old) = old else {
            self.make(row.kind, key, Some(&edit::without_markers(said)))?;
            return Ok(Outcome::New);
        };
        if row.act == Act::CreateOnly {
            return Ok(Outcome::Unchanged);
        }
        let mut new = old.clone();
        new.merge(&said);
        if new == old {
            return Ok(Outcome::Unchanged);
        }
        self.make(row.kind, key, Some(&new))?;
        Ok(Outcome::Changed(old.diff(&new)))
    }

    fn made(&self, kind: Kind, key: &str) -> Result<Option<Made>> {
        if self.nothing_made {
            return Ok(None);
        }
        let found: Option<Option<String>> = self
            .scratch
            .prepare_cached("SELECT content FROM made WHERE kind = ?1 AND key = ?2")?
            .query_row(params![kind.code(), key], |row| row.get(0))
            .optional()?;
        Ok(match found {
            None => None,
            Some(None) => Some(Made::Gone),
            Some(Some(json)) => {
                let patch = Patch::from_json(&json).ok_or_else(|| damaged("scratch space"))?;
                let mut content = Content::default();
                patch.apply(&mut content);
                Some(Made::There(content))
            }
        })
    }

    fn make(&mut self, kind: Kind, key: &str, content: Option<&Content>) -> Result<()> {
        self.nothing_made = false;
        let json = content.map(|content| Content::default().diff(content).to_json());
        self.scratch
            .prepare_cached("INSERT OR REPLACE INTO made (kind, key, content) VALUES (?1, ?2, ?3)")?
            .execute(params![kind.code(), key, json])?;
        Ok(())
    }
}

/// Told without reading the document.
fn surely_unchanged(batch: &Batch, row: &BatchRow, stored: &Stored) -> bool {
    match row.act {
        // Known is known, deleted or not.
        Act::CreateOnly => true,
        Act::Delete => stored.gone,
        Act::Upsert => {
            let fields = batch.shapes[row.shape].fields();
            !stored.gone
                && stored.fingerprint == row.fingerprint
                && !fields.iter().any(|field| edit::is_consent(field))
        }
    }
}

fn unchanged(counts: bool) -> Compared {
    Compared {
        outcome: Outcome::Unchanged,
        counts,
        remote: AtRemote::default(),
    }
}

/// Records that this folder's files brought and that are not deleted: what `max_delete` and
/// `max_change` are parts of. Orders included.
pub fn brought(c: &Connection, folder: &str) -> Result<u64> {
    let n: i64 = c.query_row(
        "SELECT count(*) FROM record
         WHERE folder = (SELECT id FROM folder WHERE name = ?1) AND gone = 0",
        [folder],
        |row| row.get(0),
    )?;
    Ok(n as u64)
}
