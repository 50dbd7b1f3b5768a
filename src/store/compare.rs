//! What batches would do, without doing it: for `plan FILE` and the look-over of `max_change`.
//!
//! The same rules as `apply`, on a reader; what the batches would have made so far stands in scratch
//! space, so that a key that stands twice in a file is compared with its first row.

use std::collections::HashSet;
use std::path::Path;

use rusqlite::{Connection, OptionalExtension, params};

use super::apply::decode;
use super::edit::{self, Shapes, Stored};
use super::files::damaged;
use super::{Result, flight, scratch, skus};
use crate::kind::Kind;
use crate::plan::Parent;
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
    /// What would be stored of it then; `None`: it is unchanged, or would be deleted.
    pub content: Option<Content>,
    /// A SKU whose product is deleted here or parked: nothing of it goes before the product comes.
    pub waits: bool,
}

/// What the remote may hold of a record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AtRemote {
    /// It may have it: some flight carried it.
    pub sent: bool,
    /// The API's own id is known, so that an order can be changed by it.
    pub id: bool,
    /// It acknowledged what is stored.
    pub acked: bool,
}

/// A record that goes with another one.
#[derive(Clone, Debug)]
pub struct Freed {
    pub kind: Kind,
    pub key: String,
    pub content: Content,
    /// The API's own id is known.
    pub id: bool,
}

/// Compares batches with what is stored, and with what earlier batches would have made of it.
pub struct Comparer {
    reader: Connection,
    scratch: Connection,
    shapes: Shapes,
    /// Nothing stands in scratch space: no need to ask.
    nothing_made: bool,
    /// Products that the present file would delete.
    deleted_products: HashSet<String>,
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
            deleted_products: HashSet::new(),
        })
    }

    /// One outcome for each row of the batch, in its order.
    pub fn compare(&mut self, batch: &Batch) -> Result<Vec<Compared>> {
        self.reader.execute_batch("BEGIN")?;
        let result = batch.rows.iter().map(|row| self.row(batch, row)).collect();
        self.reader.execute_batch("COMMIT")?;
        result
    }

    /// Records that wait for this one, and go once it was sent: SKUs of a product, orders of a customer.
    pub fn freed(&mut self, kind: Kind, key: &str) -> Result<Vec<Freed>> {
        let mut freed = Vec::new();
        let mut statement = self.reader.prepare_cached(
            "SELECT r.kind, r.source_id, r.id, d.remote_id IS NOT NULL FROM waiting w
               JOIN document d ON d.id = w.id
               JOIN record r ON r.kind = d.kind AND r.source_id = d.source_id
             WHERE w.parent_kind = ?1 AND w.parent = ?2 AND NOT r.gone",
        )?;
        let mut rows = statement.query(params![kind.code(), key])?;
        while let Some(row) = rows.next()? {
            freed.push(Freed {
                kind: super::files::kind(row.get(0)?)?,
                key: row.get(1)?,
                content: self.shapes.content(&self.reader, row.get(2)?)?,
                id: row.get(3)?,
            });
        }
        Ok(freed)
    }

    /// A full list lacks it. Before the list's rows are compared.
    pub fn missed(&mut self, kind: Kind, key: &str) -> Result<AtRemote> {
        self.make(kind, key, None)?;
        match edit::stored(&self.reader, kind, key)? {
            Some(stored) => self.at_remote(&stored),
            None => Ok(AtRemote::default()),
        }
    }

    /// A file is over: SKUs of the products that it would delete go with them. Returns how many.
    pub fn end_file(&mut self) -> Result<u64> {
        let mut deleted = HashSet::new();
        for product in std::mem::take(&mut self.deleted_products) {
            if matches!(self.made(Kind::Products, &product)?, Some(Made::Gone)) {
                deleted.insert(product);
            }
        }
        if deleted.is_empty() {
            return Ok(0);
        }
        let mut going: Vec<String> = Vec::new();
        skus::each_of(
            &self.reader,
            &mut |product| deleted.contains(product),
            &mut |sku| going.push(sku),
        )?;
        {
            let mut statement = self
                .scratch
                .prepare("SELECT key FROM made WHERE kind = ?1 AND content IS NOT NULL")?;
            let mut rows = statement.query([Kind::Skus.code()])?;
            while let Some(row) = rows.next()? {
                going.push(row.get(0)?);
            }
        }
        going.sort();
        going.dedup();
        let mut count = 0;
        for sku in going {
            // What a file made of it counts, else what is stored.
            let goes = match self.made(Kind::Skus, &sku)? {
                None => true,
                Some(Made::Gone) => false,
                Some(Made::There(content)) => content
                    .text("product")
                    .is_some_and(|product| deleted.contains(&product)),
            };
            if goes {
                self.make(Kind::Skus, &sku, None)?;
                count += 1;
            }
        }
        Ok(count)
    }

    /// Whether a SKU would wait for this product.
    fn waits_for(&self, product: &str) -> Result<bool> {
        match self.made(Kind::Products, product)? {
            Some(Made::Gone) => return Ok(true),
            Some(Made::There(_)) => return Ok(false),
            None => {}
        }
        let (state, _) = flight::parent(&self.reader, Kind::Products, product)?;
        Ok(match state {
            Parent::Gone | Parent::Parked => true,
            Parent::OnItsWay => {
                edit::stored(&self.reader, Kind::Products, product)?.is_some_and(|p| p.gone)
            }
            Parent::Unknown | Parent::There => false,
        })
    }

    fn row(&mut self, batch: &Batch, row: &BatchRow) -> Result<Compared> {
        let key = batch.key(row);
        let made = self.made(row.kind, key)?;
        let first = made.is_none();
        let mut known = match &made {
            Some(_) => edit::stored(&self.reader, row.kind, key)?,
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
                let old = match stored.as_ref().filter(|stored| !stored.gone) {
                    Some(stored) => Some(self.shapes.content(&self.reader, stored.id)?),
                    None => None,
                };
                known = stored;
                old
            }
        };
        let (outcome, content) = self.outcome(batch, row, old)?;
        let counts = first && (row.act != Act::CreateOnly || outcome != Outcome::Unchanged);
        let remote = match known {
            Some(stored) if outcome != Outcome::Unchanged => self.at_remote(&stored)?,
            _ => AtRemote::default(),
        };
        let product = (content.as_ref())
            .filter(|_| row.kind == Kind::Skus)
            .and_then(|content| content.text("product"));
        let waits = match product {
            Some(product) => self.waits_for(&product)?,
            None => false,
        };
        Ok(Compared {
            outcome,
            counts,
            remote,
            content,
            waits,
        })
    }

    fn at_remote(&self, stored: &Stored) -> Result<AtRemote> {
        let id = self
            .reader
            .prepare_cached("SELECT remote_id IS NOT NULL FROM document WHERE id = ?1")?
            .query_row([stored.id], |row| row.get(0))?;
        Ok(AtRemote {
            sent: id || edit::ever_sent(&self.reader, stored.id)?,
            id,
            acked: !stored.gone && stored.acked == Some(stored.fingerprint),
        })
    }

    fn outcome(
        &mut self,
        batch: &Batch,
        row: &BatchRow,
        old: Option<Content>,
    ) -> Result<(Outcome, Option<Content>)> {
        let key = batch.key(row);
        if row.act == Act::Delete {
            if old.is_none() {
                return Ok((Outcome::Unchanged, None));
            }
            self.make(row.kind, key, None)?;
            return Ok((Outcome::Deleted, None));
        }
        let said = decode(batch, row)?;
        let Some(old) = old else {
            let new = edit::without_markers(said);
            self.make(row.kind, key, Some(&new))?;
            return Ok((Outcome::New, Some(new)));
        };
        if row.act == Act::CreateOnly {
            return Ok((Outcome::Unchanged, None));
        }
        let mut new = old.clone();
        new.merge(&said);
        if new == old {
            return Ok((Outcome::Unchanged, None));
        }
        self.make(row.kind, key, Some(&new))?;
        Ok((Outcome::Changed(old.diff(&new)), Some(new)))
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
        if kind == Kind::Products && content.is_none() {
            self.deleted_products.insert(key.to_owned());
        }
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
        content: None,
        waits: false,
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
