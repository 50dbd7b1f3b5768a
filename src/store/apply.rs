//! The rows of a batch, laid over what is stored. Runs on the writer's thread, in its transaction.
//!
//! Knows one file's session; not how its batches come here. Insert first and select on conflict where
//! the last row was new, the other way round where it was known: a first intake asks nothing, a
//! second one fails at nothing.

use std::collections::HashMap;
use std::mem;
use std::sync::Arc;

use memchr::memmem::Finder;
use rusqlite::{CachedStatement, Connection, OptionalExtension, ToSql, params};

use super::edit::{self, Shapes, Source, Stored, Target};
use super::files::put_rejects;
use super::intake::Counts;
use super::known::OfFile;
use super::{Result, lookup, tally};
use crate::kind::Kind;
use crate::record::{Act, Batch, BatchRow, CLEARED, Content, GONE, Op, RowHash, Shape};
use crate::reject::Reject;

/// Rows, and bytes of their text, that are kept to be sorted together.
const KEPT_ROWS_MAX: usize = 24_576;
const KEPT_BYTES_MAX: usize = 6 << 20;

/// Lines of a member fit into these bits of a stored line; above them stands the member's number.
const LINE_BITS: u32 = 40;

/// The line as an editor counts it, of one that is stored.
pub(super) fn shown_line(stored: i64) -> i64 {
    stored & ((1 << LINE_BITS) - 1)
}

/// New records that are inserted by one statement: running one for each costs half as much again.
const TOGETHER: usize = 16;

/// A row with what is needed of its batch.
#[derive(Clone, Copy)]
struct Said<'a> {
    batch: &'a Batch,
    row: &'a BatchRow,
    key: &'a str,
    shape: KnownShape,
    now: i64,
}

/// What runs for every row, found once a batch: looking them up in the cache by their text would
/// take a third of the time.
struct Statements<'c> {
    record: CachedStatement<'c>,
    document: CachedStatement<'c>,
    pending: CachedStatement<'c>,
    /// The first of the records that were created and are not in the queue yet.
    unqueued: Option<i64>,
    records: CachedStatement<'c>,
    documents: CachedStatement<'c>,
    stored: CachedStatement<'c>,
    looked_up: lookup::Active,
}

impl<'c> Statements<'c> {
    fn new(c: &'c Connection) -> Result<Statements<'c>> {
        Ok(Statements {
            record: c.prepare_cached(
                "INSERT INTO record (kind, source_id, id, seq, file, folder, fingerprint, row_hash)
                 VALUES (?1, ?2, ?3, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO NOTHING",
            )?,
            document: c.prepare_cached(
                "INSERT INTO document (id, kind, source_id, file, line, at, shape, vals)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            )?,
            // Creations stand side by side in `document`: one statement for many costs half.
            pending: c.prepare_cached(
                "INSERT INTO pending (kind, part, id, file, since)
                 SELECT kind, 0, id, ?2, ?3 FROM document WHERE id >= ?1",
            )?,
            unqueued: None,
            records: c.prepare_cached(&many(
                "INSERT INTO record (kind, source_id, id, seq, file, folder, fingerprint, row_hash)",
                "(?,?,?,?,?,?,?,?)",
            ))?,
            documents: c.prepare_cached(&many(
                "INSERT INTO document (id, kind, source_id, file, line, at, shape, vals)",
                "(?,?,?,?,?,?,?,?)",
            ))?,
            stored: c.prepare_cached(edit::STORED_SQL)?,
            looked_up: lookup::active(c)?,
        })
    }

    fn stored(&mut self, kind: Kind, key: &str) -> Result<Option<Stored>> {
        let found = self
            .stored
            .query_row(params![kind.code(), key], Stored::read);
        Ok(found.optional()?)
    }

    /// Puts the records that were created into the queue: at the end, and before anything that may
    /// be about one of them.
    fn queue_created(&mut self, file: i64, now: i64) -> Result<()> {
        if let Some(first) = self.unqueued.take() {
            self.pending.execute(params![first, file, now])?;
        }
        Ok(())
    }
}

fn many(insert: &str, row: &str) -> String {
    format!("{insert} VALUES {}", vec![row; TOGETHER].join(","))
}

/// The writer's side of a session.
pub(super) struct Applier {
    pub file: i64,
    pub folder: i64,
    pub kind: Kind,
    /// What has this number or a higher one and is of this file was made by it, in this reading or
    /// in one that a crash cut off.
    pub first_seq: i64,
    pub counts: Counts,
    /// Rows of forgotten keys.
    pub skipped: u64,
    /// It may have deleted products, whose SKUs go with them.
    pub deleted_products: bool,
    /// An earlier reading was cut off: of the records that it changed, the rows up to the newest
    /// change's line were applied already, and are passed over. So a key that stands several times
    /// in the file goes through the same changes as in an uncut reading.
    resumed: bool,
    /// Added to the lines of the member that is being read, so that they grow over the whole file.
    line_base: i64,
    members: i64,
    /// Batches that wait for more of them.
    kept: Vec<Batch>,
    /// When the last batch came.
    now: i64,
    clears: Finder<'static>,
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
    pub fn new(of: OfFile, kind: Kind, counts: Counts, resumed: bool) -> Applier {
        let OfFile {
            file,
            folder,
            first_seq,
        } = of;
        Applier {
            resumed,
            line_base: 0,
            members: 0,
            kept: Vec::new(),
            now: 0,
            clears: Finder::new(CLEARED),
            file,
            folder,
            kind,
            first_seq,
            counts,
            skipped: 0,
            deleted_products: resumed && matches!(kind, Kind::Products | Kind::Skus),
            shapes: Shapes::default(),
            known_shapes: HashMap::new(),
            expect_new: true,
            last_unchanged: None,
            last_reject: (String::new(), (0, 0)),
        }
    }

    /// The next batches and rejects are of this member.
    pub fn member(&mut self, c: &Connection, member: &str) -> Result<()> {
        if self.last_reject.0 != member {
            self.flush(c)?;
            self.last_reject = (member.to_owned(), (0, 0));
            self.members += 1;
            self.line_base = self.members << LINE_BITS;
        }
        Ok(())
    }

    pub fn rejects(&mut self, c: &Connection, member: &str, rejects: &[Reject]) -> Result<()> {
        self.counts.rejected +=
            put_rejects(c, self.file, member, rejects, &mut self.last_reject.1)?;
        Ok(())
    }

    /// Applies a batch, or keeps it for a while: rows in no order of keys touch a page each, and the
    /// more of them are sorted together, the fewer pages are written. An empty batch is left behind.
    pub fn batch(&mut self, c: &Connection, batch: &mut Batch, now: i64) -> Result<()> {
        self.now = now;
        if self.kept.is_empty() && in_key_order(batch) {
            self.apply(c, std::slice::from_ref(batch))?;
            batch.clear();
            return Ok(());
        }
        let mut kept = mem::take(batch);
        kept.text.shrink_to_fit();
        kept.rows.shrink_to_fit();
        self.kept.push(kept);
        let rows: usize = self.kept.iter().map(|batch| batch.rows.len()).sum();
        let bytes: usize = self.kept.iter().map(|batch| batch.text.len()).sum();
        if rows >= KEPT_ROWS_MAX || bytes >= KEPT_BYTES_MAX {
            self.flush(c)?;
        }
        Ok(())
    }

    /// Applies what was kept.
    pub fn flush(&mut self, c: &Connection) -> Result<()> {
        if self.kept.is_empty() {
            return Ok(());
        }
        let kept = mem::take(&mut self.kept);
        self.apply(c, &kept)
    }

    fn apply(&mut self, c: &Connection, batches: &[Batch]) -> Result<()> {
        let mut shapes = Vec::with_capacity(batches.len());
        for batch in batches {
            shapes.push(self.batch_shapes(c, batch)?);
        }
        let now = self.now;
        let mut statements = Statements::new(c)?;
        let mut seq = edit::next_seq(c)?;
        let mut created = [0; Kind::ALL.len()];
        let order = key_order(batches);
        let said = |&(nth, index): &(usize, usize)| -> Said<'_> {
            let batch = &batches[nth];
            let row = &batch.rows[index];
            Said {
                batch,
                row,
                key: batch.key(row),
                shape: shapes[nth][row.shape],
                now,
            }
        };
        let are_new = are_new(c, order.first().map(said), order.last().map(said))?;
        let mut together: Vec<Said<'_>> = Vec::with_capacity(TOGETHER);
        let mut before = None;
        for at in &order {
            let said = said(at);
            let this = (said.row.kind, said.key);
            let is_first = before.replace(this) != Some(this);
            if are_new && is_first && self.is_plain(&statements, said) {
                together.push(said);
                created[this.0 as usize] += 1;
                if together.len() == TOGETHER {
                    self.insert_together(&mut statements, &together, &mut seq)?;
                    together.clear();
                }
                continue;
            }
            for said in together.drain(..) {
                self.insert(c, &mut statements, said, seq)?;
                seq += 1;
            }
            let is_new = self.row(c, &mut statements, said, &mut seq)?;
            created[this.0 as usize] += i64::from(is_new);
        }
        for said in together {
            self.insert(c, &mut statements, said, seq)?;
            seq += 1;
        }
        statements.queue_created(self.file, now)?;
        for kind in Kind::ALL {
            tally::changed(c, kind, created[kind as usize])?;
        }
        Ok(())
    }

    /// Whether it created its record for the first time.
    fn row(
        &mut self,
        c: &Connection,
        statements: &mut Statements<'_>,
        said: Said<'_>,
        seq: &mut i64,
    ) -> Result<bool> {
        let Said { row, key, now, .. } = said;
        let is_deletion = row.act == Act::Delete;
        if self.expect_new && !is_deletion && self.insert(c, statements, said, *seq)? {
            *seq += 1;
            return Ok(true);
        }
        let Some(stored) = statements.stored(row.kind, key)? else {
            if is_deletion {
                // Not here, and told by nobody to the remote: there is nothing to delete.
                self.count_unchanged(row.kind, key);
                return Ok(false);
            }
            self.expect_new = true;
            self.insert(c, statements, said, *seq)?;
            *seq += 1;
            return Ok(true);
        };
        if self.was_applied(c, &stored, row)? {
            return Ok(false);
        }
        if statements.unqueued.is_some_and(|first| stored.id >= first) {
            statements.queue_created(self.file, now)?;
        }
        if is_deletion {
            self.delete(c, said, &stored, seq)?;
        } else {
            self.expect_new = false;
            self.merge(c, said, stored, seq)?;
        }
        Ok(false)
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
    fn insert(
        &mut self,
        c: &Connection,
        statements: &mut Statements<'_>,
        said: Said<'_>,
        seq: i64,
    ) -> Result<bool> {
        let Said {
            batch,
            row,
            key,
            shape,
            now,
        } = said;
        let values = batch.values(row);
        // What a row clears was never there, and consents have a fingerprint of their own.
        let clears = self.clears.find(values.as_bytes()).is_some();
        let content = (shape.consents || clears || statements.looked_up.of(row.kind))
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
        let kind = row.kind.code();
        let inserted = statements.record.execute(params![
            kind,
            key,
            seq,
            self.file,
            self.folder_of(row),
            parts.record,
            row_hash(row)
        ])?;
        if inserted == 0 {
            return Ok(false);
        }
        statements.document.execute(params![
            seq,
            kind,
            key,
            self.file,
            self.line(row),
            now,
            shape,
            values
        ])?;
        statements.unqueued.get_or_insert(seq);
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

    /// Whether all that a new record needs is a row in each of the large tables.
    fn is_plain(&self, statements: &Statements<'_>, said: Said<'_>) -> bool {
        said.row.act != Act::Delete
            && !said.shape.consents
            && !statements.looked_up.of(said.row.kind)
            && self
                .clears
                .find(said.batch.values(said.row).as_bytes())
                .is_none()
    }

    /// Stores `TOGETHER` records that are plain, and known to be new.
    fn insert_together(
        &mut self,
        statements: &mut Statements<'_>,
        together: &[Said<'_>],
        seq: &mut i64,
    ) -> Result<()> {
        let (mut record, mut document) = (0, 0);
        statements.unqueued.get_or_insert(*seq);
        for said in together {
            let (row, kind) = (said.row, said.row.kind.code());
            let values = said.batch.values(row);
            bind(
                &mut statements.records,
                &mut record,
                params![
                    kind,
                    said.key,
                    *seq,
                    *seq,
                    self.file,
                    self.folder_of(row),
                    row.fingerprint,
                    row_hash(row)
                ],
            )?;
            bind(
                &mut statements.documents,
                &mut document,
                params![
                    *seq,
                    kind,
                    said.key,
                    self.file,
                    self.line(row),
                    said.now,
                    said.shape.number,
                    values
                ],
            )?;
            self.counts.new += u64::from(self.counts_kind(row.kind));
            *seq += 1;
        }
        statements.records.raw_execute()?;
        statements.documents.raw_execute()?;
        Ok(())
    }

    /// Who merely names a record (an order its customer) does not bring it.
    fn folder_of(&self, row: &BatchRow) -> i64 {
        if row.act == Act::CreateOnly {
            0
        } else {
            self.folder
        }
    }

    /// Lays a row over a record that is known.
    fn merge(
        &mut self,
        c: &Connection,
        said: Said<'_>,
        stored: Stored,
        seq: &mut i64,
    ) -> Result<()> {
        let Said {
            batch,
            row,
            key,
            shape,
            now,
        } = said;
        if row.act == Act::CreateOnly {
            return Ok(());
        }
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
        said: Said<'_>,
        stored: &Stored,
        seq: &mut i64,
    ) -> Result<()> {
        let Said { row, key, now, .. } = said;
        if stored.gone {
            return self.unchanged(c, row, key, stored);
        }
        let source = self.source(row, now);
        self.delete_stored(c, row.kind, key, stored, source, *seq)?;
        *seq += 1;
        Ok(())
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
        self.deleted_products |= kind == Kind::Products;
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
            line: self.line(row),
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

    fn line(&self, row: &BatchRow) -> i64 {
        self.line_base + row.line as i64
    }

    /// Whether the reading that was cut off had come as far as this row with this record.
    fn was_applied(&self, c: &Connection, stored: &Stored, row: &BatchRow) -> Result<bool> {
        Ok(self.resumed && self.ours(stored) && self.line(row) <= edit::newest_line(c, stored)?)
    }

    fn ours(&self, stored: &Stored) -> bool {
        stored.file == self.file && stored.seq >= self.first_seq
    }

    /// Customers that an orders file brings along are no records of it.
    fn counts_kind(&self, kind: Kind) -> bool {
        kind == self.kind || self.kind != Kind::Orders
    }
}

/// Whether nothing is stored from the first of these keys to the last.
fn are_new(c: &Connection, first: Option<Said<'_>>, last: Option<Said<'_>>) -> Result<bool> {
    let (Some(first), Some(last)) = (first, last) else {
        return Ok(false);
    };
    let mut statement = c.prepare_cached(
        "SELECT NOT EXISTS (SELECT 1 FROM record
           WHERE (kind, source_id) >= (?1, ?2) AND (kind, source_id) <= (?3, ?4))",
    )?;
    let bounds = params![
        first.row.kind.code(),
        first.key,
        last.row.kind.code(),
        last.key
    ];
    Ok(statement.query_row(bounds, |row| row.get(0))?)
}

fn row_hash(row: &BatchRow) -> Option<RowHash> {
    row.row_hash.filter(|_| row.act == Act::Upsert)
}

/// Binds the parameters that follow the `bound` first ones.
fn bind(
    statement: &mut CachedStatement<'_>,
    bound: &mut usize,
    values: &[&dyn ToSql],
) -> Result<()> {
    for value in values {
        *bound += 1;
        statement.raw_bind_parameter(*bound, value)?;
    }
    Ok(())
}

pub(super) fn decode(batch: &Batch, row: &BatchRow) -> Result<Content> {
    (batch.content(row))
        .ok_or_else(|| super::Error::Statement("a batch's values do not fit their shape".into()))
}

fn in_key_order(batch: &Batch) -> bool {
    batch
        .rows
        .is_sorted_by_key(|row| (row.kind, batch.key(row)))
}

/// Rows (batch and index) by kind and key, those of one key in the file's order: neighbours stand on
/// one page.
fn key_order(batches: &[Batch]) -> Vec<(usize, usize)> {
    let rows = |(nth, batch): (usize, &Batch)| (0..batch.rows.len()).map(move |index| (nth, index));
    let mut order: Vec<(usize, usize)> = batches.iter().enumerate().flat_map(rows).collect();
    let key = |&(nth, index): &(usize, usize)| {
        let row = &batches[nth].rows[index];
        (row.kind, batches[nth].key(row))
    };
    if !order.is_sorted_by_key(key) {
        // Stable: the later row of a key comes later.
        order.sort_by(|a, b| key(a).cmp(&key(b)));
    }
    order
}
