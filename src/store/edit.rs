//! Changing one stored record: its document, its change log, what is to be sent because of it.
//!
//! The only place that writes `change`, and that decides whether a change makes a record pending.
//! Knows nothing of rows and files beyond a change's source.

use std::collections::HashMap;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::files::damaged;
use super::{Result, lookup, tally};
use crate::kind::{Clearing, Kind};
use crate::record::{CLEARED, Content, Fingerprint, FingerprintHasher, GONE, Op, RowHash, Shape};

/// A record and its consents go by themselves.
pub const PART_RECORD: i64 = 0;
pub const PART_CONSENTS: i64 = 1;

/// The family of fields that is a part of its own.
const CONSENT: &str = "consent.";

/// The next free number for a creation or a change. One counter serves both.
pub(crate) fn next_seq(c: &Connection) -> Result<i64> {
    Ok(c.prepare_cached(
        "SELECT 1 + max(coalesce((SELECT max(id) FROM document), 0), coalesce((SELECT max(seq) FROM change), 0))",
    )?
    .query_row([], |row| row.get(0))?)
}

/// A record as it is compared.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub id: i64,
    pub seq: i64,
    pub file: i64,
    pub folder: i64,
    pub gone: bool,
    pub fingerprint: Fingerprint,
    pub acked: Option<Fingerprint>,
    pub row_hash: Option<RowHash>,
}

impl Stored {
    pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Stored> {
        Ok(Stored {
            id: row.get(0)?,
            seq: row.get(1)?,
            file: row.get(2)?,
            folder: row.get(3)?,
            gone: row.get(4)?,
            fingerprint: row.get(5)?,
            acked: row.get(6)?,
            row_hash: row.get(7)?,
        })
    }
}

pub(super) const STORED_SQL: &str =
    "SELECT id, seq, file, folder, gone, fingerprint, acked, row_hash
 FROM record WHERE kind = ?1 AND source_id = ?2";

pub(crate) fn stored(c: &Connection, kind: Kind, key: &str) -> Result<Option<Stored>> {
    Ok(c.prepare_cached(STORED_SQL)?
        .query_row(params![kind.code(), key], Stored::read)
        .optional()?)
}

/// Where in its file the newest change of a record stands.
pub(super) fn newest_line(c: &Connection, stored: &Stored) -> Result<i64> {
    let sql = if stored.seq == stored.id {
        "SELECT line FROM document WHERE id = ?1"
    } else {
        "SELECT line FROM change WHERE seq = ?1"
    };
    Ok(c.prepare_cached(sql)?
        .query_row([stored.seq], |row| row.get(0))?)
}

/// Kind and key of a record.
pub(crate) fn identity(c: &Connection, id: i64) -> Result<Option<(Kind, String)>> {
    let found: Option<(i64, String)> = c
        .prepare_cached("SELECT kind, source_id FROM document WHERE id = ?1")?
        .query_row([id], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    found
        .map(|(kind, key)| Ok((super::files::kind(kind)?, key)))
        .transpose()
}

/// Lists of fields by number, read once. Not to be kept over a transaction that was rolled back.
#[derive(Default)]
pub(crate) struct Shapes {
    fields: HashMap<i64, Arc<Vec<String>>>,
    numbers: HashMap<Vec<String>, i64>,
}

impl Shapes {
    pub fn fields(&mut self, c: &Connection, shape: i64) -> Result<Arc<Vec<String>>> {
        if let Some(fields) = self.fields.get(&shape) {
            return Ok(fields.clone());
        }
        let json: String = c
            .prepare_cached("SELECT fields FROM shape WHERE id = ?1")?
            .query_row([shape], |row| row.get(0))?;
        let fields: Vec<String> =
            serde_json::from_str(&json).map_err(|_| damaged("a list of fields"))?;
        let fields = Arc::new(fields);
        self.fields.insert(shape, fields.clone());
        Ok(fields)
    }

    /// Its number, given at the first use.
    pub fn number(&mut self, c: &Connection, shape: &Shape) -> Result<i64> {
        if let Some(&number) = self.numbers.get(shape.fields()) {
            return Ok(number);
        }
        let json = super::files::to_json(shape.fields());
        let known = c
            .prepare_cached("SELECT id FROM shape WHERE fields = ?1")?
            .query_row([&json], |row| row.get(0))
            .optional()?;
        let number = match known {
            Some(number) => number,
            None => {
                c.prepare_cached("INSERT INTO shape (fields) VALUES (?1)")?
                    .execute([&json])?;
                c.last_insert_rowid()
            }
        };
        self.numbers.insert(shape.fields().to_vec(), number);
        Ok(number)
    }

    /// What is stored of a record now.
    pub fn content(&mut self, c: &Connection, id: i64) -> Result<Content> {
        let mut statement = c.prepare_cached("SELECT shape, vals FROM document WHERE id = ?1")?;
        let mut rows = statement.query([id])?;
        let row = rows
            .next()?
            .ok_or_else(|| damaged("a record without a document"))?;
        self.content_of(c, row, 0)
    }

    /// The same of a document's row, with its `shape` in this column and its `vals` in the next.
    pub fn content_of(&mut self, c: &Connection, row: &Row<'_>, column: usize) -> Result<Content> {
        let fields = self.fields(c, row.get(column)?)?;
        let vals = row
            .get_ref(column + 1)?
            .as_str()
            .map_err(rusqlite::Error::from)?;
        Content::decode(&fields, vals).ok_or_else(|| damaged("a document"))
    }
}

/// Fingerprints of a record's two parts; the consents' is none where it has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Parts {
    pub record: Fingerprint,
    pub consents: Option<Fingerprint>,
}

pub(crate) fn parts(content: &Content) -> Parts {
    let mut record = FingerprintHasher::default();
    let mut consents = FingerprintHasher::default();
    let mut any = false;
    for (field, json) in content.iter() {
        if is_consent(field) {
            any = true;
            consents.field(field, json);
        } else {
            record.field(field, json);
        }
    }
    Parts {
        record: record.finish(),
        consents: any.then(|| consents.finish()),
    }
}

pub(crate) fn is_consent(field: &str) -> bool {
    field.starts_with(CONSENT)
}

/// A row's content as a record begins: what it clears was never there.
pub(super) fn without_markers(row: Content) -> Content {
    let mut content = Content::default();
    for (field, json) in row.iter().filter(|(_, json)| *json != CLEARED) {
        content.set(field, json.to_owned());
    }
    content
}

/// Whose word a change is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source {
    /// 0: a command's or the delivery's.
    pub file: i64,
    pub line: i64,
    /// Whose files bring the record from now on; `None`: as before.
    pub folder: Option<i64>,
    /// Of the row, if it says all that the record now is.
    pub row_hash: Option<RowHash>,
    pub now: i64,
}

impl Source {
    /// A change that no file made. Its row hash is gone: what the last file said is no longer so.
    pub fn command(now: i64) -> Source {
        Source {
            file: 0,
            line: 0,
            folder: None,
            row_hash: None,
            now,
        }
    }
}

/// Which record is changed.
#[derive(Clone, Copy)]
pub(crate) struct Target<'a> {
    pub kind: Kind,
    pub key: &'a str,
    pub stored: &'a Stored,
}

/// What a change that no row made takes out of a record stays at the remote unless it is told: such a
/// field becomes a marker, and one that the API cannot clear stays (API.md, Basics). `None`: nothing is
/// lost, or the remote never had it.
fn with_lost(
    c: &Connection,
    Target { kind, stored, .. }: Target<'_>,
    old: &Content,
    new: &Content,
) -> Result<Option<Content>> {
    let lost: Vec<_> = (old.iter())
        .filter(|(field, _)| new.get(field).is_none())
        .collect();
    if lost.is_empty()
        || stored.gone
        || stored.acked == Some(parts(new).record)
        || !ever_sent(c, stored.id)?
    {
        return Ok(None);
    }
    let mut kept = new.clone();
    for (field, json) in lost {
        let json = match kind.field(field) {
            None | Some((_, Clearing::Never)) => json,
            Some(_) => CLEARED,
        };
        kept.set(field, json.to_owned());
    }
    Ok(Some(kept))
}

/// Makes `new` of a record (`None`: deleted here), logs the change under `seq`, and puts its parts
/// into the queue or takes them out.
pub(crate) fn change(
    c: &Connection,
    shapes: &mut Shapes,
    target: Target<'_>,
    old: &Content,
    new: Option<&Content>,
    source: Source,
    seq: i64,
) -> Result<Op> {
    let Target { kind, key, stored } = target;
    let empty = Content::default();
    let kept = match new {
        Some(new) => with_lost(c, target, old, new)?,
        None => None,
    };
    let new = kept.as_ref().or(new);
    let op = match new {
        None => Op::Deleted,
        Some(_) if stored.gone => Op::Created,
        Some(_) => Op::Updated,
    };
    let content = new.unwrap_or(&empty);
    put_content(c, shapes, kind, stored.id, old, content)?;
    let fingerprint = new.map_or(GONE, |content| parts(content).record);
    #[cfg(test)]
    let source = match crate::plant::is(crate::plant::Plant::RowHashKept) {
        true => Source {
            row_hash: source.row_hash.or(stored.row_hash),
            ..source
        },
        false => source,
    };
    c.prepare_cached(
        "UPDATE record SET seq = ?3, file = ?4, folder = coalesce(?5, folder), gone = ?6,
           fingerprint = ?7, row_hash = ?8 WHERE kind = ?1 AND source_id = ?2",
    )?
    .execute(params![
        kind.code(),
        key,
        seq,
        source.file,
        source.folder,
        new.is_none(),
        fingerprint,
        source.row_hash
    ])?;
    c.prepare_cached(
        "INSERT INTO change (seq, record, prev, op, file, line, at, patch) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?
    .execute(params![
        seq,
        stored.id,
        stored.seq,
        op.code(),
        source.file,
        source.line,
        source.now,
        old.diff(content).to_json()
    ])?;
    tally::changed(c, kind, i64::from(new.is_some()) - i64::from(!stored.gone))?;
    if fingerprint != stored.fingerprint {
        requeue(c, kind, stored.id, fingerprint, stored.acked, source)?;
    }
    if op == Op::Created && stored.acked.is_none_or(|acked| acked == GONE) {
        // The remote forgot the consents with their customer.
        c.prepare_cached("UPDATE consent SET acked = NULL WHERE id = ?1")?
            .execute([stored.id])?;
    }
    set_consents(
        c,
        kind,
        stored.id,
        new.and_then(|n| parts(n).consents),
        source,
    )?;
    Ok(op)
}

/// Writes a document, and what is looked up by it.
pub(super) fn put_content(
    c: &Connection,
    shapes: &mut Shapes,
    kind: Kind,
    id: i64,
    old: &Content,
    new: &Content,
) -> Result<()> {
    let (shape, vals) = new.encode();
    let shape = shapes.number(c, &shape)?;
    c.prepare_cached("UPDATE document SET shape = ?2, vals = ?3 WHERE id = ?1")?
        .execute(params![id, shape, vals])?;
    lookup::changed(c, kind, id, old, new)
}

/// Whether the record has to be told to the remote, now that this is its content.
pub(super) fn requeue(
    c: &Connection,
    kind: Kind,
    id: i64,
    fingerprint: Fingerprint,
    acked: Option<Fingerprint>,
    source: Source,
) -> Result<()> {
    let settled = match acked {
        Some(acked) => acked == fingerprint,
        None => fingerprint == GONE && !ever_sent(c, id)?,
    };
    requeue_part(c, kind, PART_RECORD, id, fingerprint, settled, source)
}

/// `consents`: their fingerprint; `None`: there are none, and nothing is to be said of them.
pub(super) fn set_consents(
    c: &Connection,
    kind: Kind,
    id: i64,
    consents: Option<Fingerprint>,
    source: Source,
) -> Result<()> {
    if kind != Kind::Customers {
        return Ok(());
    }
    let known: Option<(Fingerprint, Option<Fingerprint>)> = c
        .prepare_cached("SELECT fingerprint, acked FROM consent WHERE id = ?1")?
        .query_row([id], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some(fingerprint) = consents else {
        if known.is_some() {
            requeue_part(c, kind, PART_CONSENTS, id, GONE, true, source)?;
            // What was acknowledged is remembered, what is no longer said is not.
            c.prepare_cached("DELETE FROM consent WHERE id = ?1 AND acked IS NULL")?
                .execute([id])?;
            c.prepare_cached("UPDATE consent SET fingerprint = acked WHERE id = ?1")?
                .execute([id])?;
        }
        return Ok(());
    };
    let acked = known.and_then(|(_, acked)| acked);
    let waits = known.is_some_and(|(old, _)| old == fingerprint)
        && (acked == Some(fingerprint) || is_queued(c, kind, PART_CONSENTS, id)?);
    if waits {
        return Ok(());
    }
    c.prepare_cached(
        "INSERT INTO consent (id, fingerprint) VALUES (?1, ?2)
         ON CONFLICT DO UPDATE SET fingerprint = excluded.fingerprint",
    )?
    .execute(params![id, fingerprint])?;
    let settled = acked == Some(fingerprint);
    requeue_part(c, kind, PART_CONSENTS, id, fingerprint, settled, source)
}

fn is_queued(c: &Connection, kind: Kind, part: i64, id: i64) -> Result<bool> {
    Ok(c.prepare_cached(
        "SELECT EXISTS(SELECT 1 FROM pending WHERE kind = ?1 AND part = ?2 AND id = ?3)
             OR EXISTS(SELECT 1 FROM parked WHERE kind = ?1 AND part = ?2 AND id = ?3)",
    )?
    .query_row(params![kind.code(), part, id], |row| row.get(0))?)
}

/// A parked part stays parked if this is the content that was refused. Its row in `parked` is left
/// for other content, too, and is beside the point while one in `pending` stands: it goes when the
/// file is stored (`settle_parked`), and is what counts again when the file is taken back.
fn requeue_part(
    c: &Connection,
    kind: Kind,
    part: i64,
    id: i64,
    fingerprint: Fingerprint,
    settled: bool,
    source: Source,
) -> Result<()> {
    if settled || is_refused(c, kind, part, id, fingerprint)? {
        c.prepare_cached(
            "DELETE FROM pending WHERE kind = ?1 AND part = ?2 AND id = ?3 AND flight IS NULL",
        )?
        .execute(params![kind.code(), part, id])?;
        c.prepare_cached("UPDATE pending SET file = ?4 WHERE kind = ?1 AND part = ?2 AND id = ?3")?
            .execute(params![kind.code(), part, id, source.file])?;
        if settled && source.file == 0 {
            c.prepare_cached("DELETE FROM parked WHERE kind = ?1 AND part = ?2 AND id = ?3")?
                .execute(params![kind.code(), part, id])?;
        }
        return Ok(());
    }
    c.prepare_cached(
        "INSERT INTO pending (kind, part, id, file, since) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT DO UPDATE SET file = excluded.file, next_try = 0",
    )?
    .execute(params![kind.code(), part, id, source.file, source.now])?;
    if source.file == 0 {
        c.prepare_cached("DELETE FROM parked WHERE kind = ?1 AND part = ?2 AND id = ?3")?
            .execute(params![kind.code(), part, id])?;
    }
    Ok(())
}

fn is_refused(
    c: &Connection,
    kind: Kind,
    part: i64,
    id: i64,
    fingerprint: Fingerprint,
) -> Result<bool> {
    let refused: Option<Option<Vec<u8>>> = c
        .prepare_cached("SELECT fingerprint FROM parked WHERE kind = ?1 AND part = ?2 AND id = ?3")?
        .query_row(params![kind.code(), part, id], |row| row.get(0))
        .optional()?;
    Ok(refused
        .flatten()
        .is_some_and(|refused| refused == fingerprint))
}

/// Whether the remote may have it: whether any flight carried it that was not refused, or may have,
/// of those that are not remembered any more.
pub(super) fn ever_sent(c: &Connection, id: i64) -> Result<bool> {
    sent_before(c, id, i64::MAX)
}

/// The same of flights that carried a change before this one. What was never there needs no deletion
/// at the remote, and one that follows a newer body would be older than that.
pub(super) fn sent_before(c: &Connection, id: i64, seq: i64) -> Result<bool> {
    Ok(c.prepare_cached(
        "SELECT EXISTS(SELECT 1 FROM flight_item WHERE id = ?1 AND seq < ?2 AND outcome IS NOT 'parked')
           OR EXISTS(SELECT 1 FROM document d JOIN meta m ON m.name = ?3 WHERE d.id = ?1 AND d.at < m.value)",
    )?
    .query_row(params![id, seq, super::thin::FLIGHTS_BEFORE], |row| row.get(0))?)
}

/// A file is stored to its end: what it changed of parked records is parked no longer, but for the
/// same content again.
pub(super) fn settle_parked(c: &Connection, file: i64, first_seq: i64) -> Result<()> {
    c.execute(
        "DELETE FROM parked WHERE EXISTS (
           SELECT 1 FROM document d JOIN record r ON r.kind = d.kind AND r.source_id = d.source_id
           WHERE d.id = parked.id AND r.file = ?1 AND r.seq >= ?2
             AND (parked.part = 0 AND r.fingerprint IS NOT parked.fingerprint
               OR parked.part = 1 AND (r.gone OR NOT EXISTS (
                 SELECT 1 FROM consent c WHERE c.id = parked.id AND c.fingerprint IS parked.fingerprint))))",
        params![file, first_seq],
    )?;
    Ok(())
}
