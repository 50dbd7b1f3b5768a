//! The rows of a batch, laid over what is stored. Runs on the writer's thread, in its transaction.
//!
//! Knows one file's session; not how its batches come here. Insert first and select on conflict where
//! the last row was new, the other way round where it was known: a first intake asks nothing, a
//! second one fails at nothing.

use std::collections::HashMap;
use std::sync::Arc;

use rusqlite::{Connection, params};

use super::edit::{self, Shapes, Source, Stored, Target};
use super::files::put_rejects;
use super::intake::Counts;
use super::{Result, lookup, tally};
use crate::kind::Kind;
use crate::record::{Act, Batch, BatchRow, CLEARED, Content, GONE, Op, Shape};
use crate::reject::Reject;

/// The writer's side of a session.
pub(super) struct Applier {
    pub file: i64,
    pub folder: i64,
    pub kind: Kind,
    /// What has this number or a higher one and is of this file was made by it, in this reading or
    /// in one that a crash cut off.
    pub first_seq: i64,
    pub counts: Counts,
    shapes: Shapes,
    known_shapes: HashMap<Arc<Shape>, KnownShape>,
    /// The last row's record was new.
    expect_new: bool,
    /// The last record that counted as unchanged: its key again counts no second time.
    last_unchanged: Option<(Kind, String)>,
    /// Member, line and number of the last reject.
    last_reject: (String, (u64, i64)),
}

#[derive(Clone, Copy)]
struct KnownShape {
    number: i64,
    consents: bool,
}

impl Applier {
    pub fn new(file: i64, folder: i64, kind: Kind, first_seq: i64, counts: Counts) -> Applier {
        Applier {
            file,
            folder,
            kind,
            first_seq,
            counts,
            shapes: Shapes::default(),
            known_shapes: HashMap::new(),
            expect_new: true,
            last_unchanged: None,
            last_reject: (String::new(), (0, 0)),
        }
    }

    pub fn rejects(&mut self, c: &Connection, member: &str, rejects: &[Reject]) -> Result<()> {
        if self.last_reject.0 != member {
            self.last_reject = (member.to_owned(), (0, 0));
        }
        self.counts.rejected +=
            put_rejects(c, self.file, member, rejects, &mut self.last_reject.1)?;
        Ok(())
    }

    pub fn batch(&mut self, c: &Connection, batch: &Batch, now: i64) -> Result<()> {
        let shapes = self.batch_shapes(c, batch)?;
        let looked_up = lookup::active(c)?;
        let mut seq = edit::next_seq(c)?;
        let mut created = [0; Kind::ALL.len()];
        for index in in_key_order(batch) {
            let row = &batch.rows[index];
            let key = batch.key(row);
            let shape = shapes[row.shape];
            if row.act == Act::Delete {
                self.delete(c, row, key, now, &mut seq)?;
                continue;
            }
            if self.expect_new && self.insert(c, batch, row, shape, looked_up, now, seq)? {
                created[row.kind as usize] += 1;
                seq += 1;
                continue;
            }
            match edit::stored(c, row.kind, key)? {
                Some(stored) => {
                    self.expect_new = false;
                    self.merge(c, batch, row, shape, stored, now, &mut seq)?;
                }
                None => {
                    self.expect_new = true;
                    self.insert(c, batch, row, shape, looked_up, now, seq)?;
                    created[row.kind as usize] += 1;
                    seq += 1;
                }
            }
        }
        for kind in Kind::ALL {
            tally::changed(c, kind, created[kind as usize])?;
        }
        Ok(())
    }

    fn batch_shapes(&mut self, c: &Connection, batch: &Batch) -> Result<Vec<KnownShape>> {
        let mut shapes = Vec::with_capacity(batch.shapes.len());
        for shape in &batch.shapes {
            if let Some(&known) = self.known_shapes.get(shape) {
                shapes.push(known);
                continue;
            }
            let known = KnownShape {
                number: self.shapes.number(c, shape)?,
                consents: shape.fields().iter().any(|f| edit::is_consent(f)),
            };
            self.known_shapes.insert(shape.clone(), known);
            shapes.push(known);
        }
        Ok(shapes)
    }

    /// Stores a record that is new. `false`: it is known, and nothing is written.
    #[allow(clippy::too_many_arguments)]
    fn insert(
        &mut self,
        c: &Connection,
        batch: &Batch,
        row: &BatchRow,
        shape: KnownShape,
        looked_up: lookup::Active,
        now: i64,
        seq: i64,
    ) -> Result<bool> {
        let values = batch.values(row);
        let key = batch.key(row);
        // What a row clears was never there, and consents have a fingerprint of their own.
        let content = (shape.consents || values.contains(CLEARED) || looked_up.of(row.kind))
            .then(|| decode(batch, row).map(edit::without_markers))
            .transpose()?;
        let (shape, values, parts) = match &content {
            Some(content) => {
                let (shape, values) = content.encode();
                let number = self.shapes.number(c, &shape)?;
                (number, values.into(), edit::parts(content))
            }
            None => {
                let parts = edit::Parts {
                    record: row.fingerprint,
                    consents: None,
                };
                (shape.number, std::borrow::Cow::Borrowed(values), parts)
            }
        };
        let folder = if row.act == Act::CreateOnly {
            0
        } else {
            self.folder
        };
        let row_hash = row.row_hash.filter(|_| row.act == Act::Upsert);
        let inserted = c
            .prepare_cached(
                "INSERT INTO record (kind, source_id, id, seq, file, folder, fingerprint, row_hash)
                 VALUES (?1, ?2, ?3, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO NOTHING",
            )?
            .execute(params![
                row.kind.code(),
                key,
                seq,
                self.file,
                folder,
                parts.record,
                row_hash
            ])?;
        if inserted == 0 {
            return Ok(false);
        }
        c.prepare_cached(
            "INSERT INTO document (id, kind, source_id, file, line, at, shape, vals)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?
        .execute(params![
            seq,
            row.kind.code(),
            key,
            self.file,
            row.line as i64,
            now,
            shape,
            values
        ])?;
        c.prepare_cached(
            "INSERT INTO pending (kind, part, id, file, since) VALUES (?1, 0, ?2, ?3, ?4)",
        )?
        .execute(params![row.kind.code(), seq, self.file, now])?;
        if let Some(content) = &content {
            lookup::changed(c, row.kind, seq, &Content::default(), content)?;
            let source = self.source(row, now);
            edit::set_consents(c, row.kind, seq, parts.consents, source)?;
        }
        if self.counts_kind(row.kind) {
            self.counts.new += 1;
        }
        Ok(true)
    }

    /// Lays a row over a record that is known.
    #[allow(clippy::too_many_arguments)]
    fn merge(
        &mut self,
        c: &Connection,
        batch: &Batch,
        row: &BatchRow,
        shape: KnownShape,
        stored: Stored,
        now: i64,
        seq: &mut i64,
    ) -> Result<()> {
        if row.act == Act::CreateOnly {
            return Ok(());
        }
        let key = batch.key(row);
        let same = !stored.gone && !shape.consents && stored.fingerprint == row.fingerprint;
        if same {
            return self.unchanged(c, row, key, &stored);
        }
        let old = self.shapes.content(c, stored.id)?;
        let mut new = old.clone();
        new.merge(&decode(batch, row)?);
        if !stored.gone && new == old {
            return self.unchanged(c, row, key, &stored);
        }
        let target = Target {
            kind: row.kind,
            key,
            stored: &stored,
        };
        let source = self.source(row, now);
        let op = edit::change(c, &mut self.shapes, target, &old, Some(&new), source, *seq)?;
        *seq += 1;
        self.count(row.kind, op, &stored);
        Ok(())
    }

    fn delete(
        &mut self,
        c: &Connection,
        row: &BatchRow,
        key: &str,
        now: i64,
        seq: &mut i64,
    ) -> Result<()> {
        match edit::stored(c, row.kind, key)? {
            // Not here, and told by nobody to the remote: there is nothing to delete.
            None => {
                self.count_unchanged(row.kind, key);
                Ok(())
            }
            Some(stored) if stored.gone => self.unchanged(c, row, key, &stored),
            Some(stored) => {
                let source = self.source(row, now);
                self.delete_stored(c, row.kind, key, &stored, source, *seq)?;
                *seq += 1;
                Ok(())
            }
        }
    }

    /// Deletes a record that is there, and counts it.
    pub fn delete_stored(
        &mut self,
        c: &Connection,
        kind: Kind,
        key: &str,
        stored: &Stored,
        source: Source,
        seq: i64,
    ) -> Result<()> {
        debug_assert_ne!(stored.fingerprint, GONE);
        let old = self.shapes.content(c, stored.id)?;
        let target = Target { kind, key, stored };
        let op = edit::change(c, &mut self.shapes, target, &old, None, source, seq)?;
        self.count(kind, op, stored);
        Ok(())
    }

    fn unchanged(
        &mut self,
        c: &Connection,
        row: &BatchRow,
        key: &str,
        stored: &Stored,
    ) -> Result<()> {
        let row_hash = row.row_hash.or(stored.row_hash);
        if row_hash != stored.row_hash || self.folder != stored.folder {
            c.prepare_cached(
                "UPDATE record SET row_hash = ?3, folder = ?4 WHERE kind = ?1 AND source_id = ?2",
            )?
            .execute(params![row.kind.code(), key, row_hash, self.folder])?;
        }
        if !self.ours(stored) {
            self.count_unchanged(row.kind, key);
        }
        Ok(())
    }

    fn source(&self, row: &BatchRow, now: i64) -> Source {
        Source {
            file: self.file,
            line: row.line as i64,
            folder: Some(self.folder),
            row_hash: row.row_hash,
            now,
        }
    }

    /// A record counts once a file, by the first that the file did to it.
    fn count(&mut self, kind: Kind, op: Op, before: &Stored) {
        if self.ours(before) || !self.counts_kind(kind) {
            return;
        }
        match op {
            Op::Created => self.counts.new += 1,
            Op::Updated => self.counts.changed += 1,
            Op::Deleted | Op::Erased => self.counts.deleted += 1,
        }
    }

    fn count_unchanged(&mut self, kind: Kind, key: &str) {
        if !self.counts_kind(kind) {
            return;
        }
        let again = matches!(&self.last_unchanged, Some((k, last)) if *k == kind && last == key);
        if !again {
            self.counts.unchanged += 1;
            let last = self.last_unchanged.get_or_insert((kind, String::new()));
            last.0 = kind;
            last.1.clear();
            last.1.push_str(key);
        }
    }

    fn ours(&self, stored: &Stored) -> bool {
        stored.file == self.file && stored.seq >= self.first_seq
    }

    /// Customers that an orders file brings along are no records of it.
    fn counts_kind(&self, kind: Kind) -> bool {
        kind == self.kind || self.kind != Kind::Orders
    }
}

pub(super) fn decode(batch: &Batch, row: &BatchRow) -> Result<Content> {
    let fields = batch.shapes[row.shape].fields();
    Content::decode(fields, batch.values(row))
        .ok_or_else(|| super::Error::Statement("a batch's values do not fit their shape".into()))
}

/// Rows by kind and key, those of one key in the file's order: neighbours stand on one page.
fn in_key_order(batch: &Batch) -> Vec<usize> {
    let mut order: Vec<usize> = (0..batch.rows.len()).collect();
    let key = |i: &usize| {
        let row = &batch.rows[*i];
        (row.kind, batch.key(row))
    };
    if !order.is_sorted_by_key(key) {
        // Stable: the later row of a key comes later.
        order.sort_by(|a, b| key(a).cmp(&key(b)));
    }
    order
}
