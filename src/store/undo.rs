//! Undoing what a file did to records: without a trace while nothing of it was sent (`take_back`), or
//! as new changes once it was stored (`revert`).
//!
//! Both go in steps of some thousand records, each a transaction, and can be taken up after a crash
//! at any of them: `take_back` removes from the log what it undid, `revert` marks its own changes.

use std::collections::HashSet;

use rusqlite::{Connection, OptionalExtension, params};

use super::edit::{self, PART_RECORD, Shapes, Source, Stored, Target};
use super::files::{FileRow, FileState, damaged};
use super::skus::{self, By};
use super::{Error, Result, Store, files, lookup, tally};
use crate::kind::Kind;
use crate::record::{Content, Op, Patch};

/// Changes or creations that one transaction undoes.
const STEP: usize = 4096;

/// Above every number that a change can have.
const ABOVE_ALL: i64 = i64::MAX;

/// What `revert` did, or would do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reverted {
    pub set_back: u64,
    /// SKUs of deleted products included.
    pub deleted: u64,
    /// Something changed them since, or they are orders, which cannot be deleted at the remote.
    pub left: u64,
}

/// Why `revert` leaves a record as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    ChangedSince,
    /// An order that was sent.
    NotDeletable,
}

/// Where an undoing stands: it walks downwards, through the changes first.
#[derive(Clone, Copy)]
struct Cursor {
    changes_below: i64,
    created_below: i64,
}

impl Store {
    /// Undoes what a file changed that is not stored to its end, and gives it this state. Records that
    /// it created and that no flight carried leave no trace, its other changes leave the log; what was
    /// acknowledged before is not pending after. What something else changed since stays.
    pub fn take_back(
        &self,
        file: i64,
        state: FileState,
        reason: Option<String>,
        now: i64,
    ) -> Result<()> {
        let mut cursor = Some(Cursor {
            changes_below: ABOVE_ALL,
            created_below: ABOVE_ALL,
        });
        while let Some(at) = cursor {
            cursor = self.write_alone(move |c| take_back_some(c, file, at, now))?;
        }
        self.write_alone(move |c| {
            c.execute("DELETE FROM reject WHERE file = ?1", [file])?;
            c.execute(
                "UPDATE file SET state = ?2, reason = ?3, new = 0, changed = 0, unchanged = 0, deleted = 0,
                   rejected = 0, first_seq = NULL, last_seq = NULL, stored = CASE WHEN ?2 = 'unreadable' THEN ?4 END
                 WHERE id = ?1",
                params![file, state.name(), reason, now],
            )?;
            Ok(())
        })
    }

    /// Takes back what a stored file changed, as new changes. `each` gets every record that is left as
    /// it is. With `dry_run` nothing is written.
    pub fn revert(
        &self,
        file: i64,
        dry_run: bool,
        now: i64,
        mut each: impl FnMut(Kind, String, Left),
    ) -> Result<Reverted> {
        let mut cursor = Some(Cursor {
            changes_below: ABOVE_ALL,
            created_below: ABOVE_ALL,
        });
        let mut sum = Reverted::default();
        // Of the products that would go, by their hashes.
        let mut products = HashSet::new();
        while let Some(at) = cursor {
            let step = if dry_run {
                revert_some(&self.reader()?, file, at, None)?
            } else {
                self.write_alone(move |c| revert_some(c, file, at, Some(now)))?
            };
            sum.set_back += step.done.set_back;
            sum.deleted += step.done.deleted;
            sum.left += step.left.len() as u64;
            products.extend(step.products.iter().map(|product| hash(product)));
            for (kind, key, why) in step.left {
                each(kind, key, why);
            }
            cursor = step.next;
        }
        if dry_run {
            if !products.is_empty() {
                let is_one = &mut |product: &str| products.contains(&hash(product));
                sum.deleted += skus::count_of(&self.reader()?, is_one, &mut |_| false)?;
            }
            return Ok(sum);
        }
        let of_products = |row: FileRow| matches!(row.kind, Kind::Products | Kind::Skus);
        if self.file(file)?.is_some_and(of_products) {
            sum.deleted += self.delete_skus_along(By::Revert { file }, now)?;
        }
        self.write_alone(move |c| {
            c.execute("UPDATE file SET state = 'reverted' WHERE id = ?1", [file])?;
            Ok(())
        })?;
        Ok(sum)
    }
}

fn hash(product: &str) -> u64 {
    xxhash_rust::xxh3::xxh3_64(product.as_bytes())
}

/// From and to which number the changes of a file stand; `None`: it changed nothing.
fn span(c: &Connection, file: i64) -> Result<Option<(i64, i64)>> {
    let span: (Option<i64>, Option<i64>) = c
        .query_row(
            "SELECT first_seq, last_seq FROM file WHERE id = ?1",
            [file],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .optional()?
        .ok_or_else(|| Error::Statement(format!("there is no file {file}")))?;
    Ok(span.0.map(|first| (first, span.1.unwrap_or(ABOVE_ALL))))
}

struct Logged {
    seq: i64,
    record: i64,
    prev: i64,
    op: Op,
    patch: Patch,
}

/// The next changes of a file, newest first.
fn changes_of(c: &Connection, file: i64, first: i64, below: i64) -> Result<Vec<Logged>> {
    let mut statement = c.prepare_cached(
        "SELECT seq, record, prev, op, patch FROM change WHERE seq >= ?2 AND seq < ?3 AND file = ?1
         ORDER BY seq DESC LIMIT ?4",
    )?;
    let mut rows = statement.query(params![file, first, below, STEP as i64])?;
    let mut changes = Vec::new();
    while let Some(row) = rows.next()? {
        let patch = row.get_ref(4)?.as_str().map_err(rusqlite::Error::from)?;
        changes.push(Logged {
            seq: row.get(0)?,
            record: row.get(1)?,
            prev: row.get(2)?,
            op: Op::from_code(row.get(3)?).ok_or_else(|| damaged("a change"))?,
            patch: Patch::from_json(patch).ok_or_else(|| damaged("a change's patch"))?,
        });
    }
    Ok(changes)
}

/// The next records that a file created, newest first.
fn created_by(
    c: &Connection,
    file: i64,
    first: i64,
    below: i64,
) -> Result<Vec<(i64, Kind, String)>> {
    let mut statement = c.prepare_cached(
        "SELECT id, kind, source_id FROM document WHERE id >= ?2 AND id < ?3 AND file = ?1
         ORDER BY id DESC LIMIT ?4",
    )?;
    let mut rows = statement.query(params![file, first, below, STEP as i64])?;
    let mut created = Vec::new();
    while let Some(row) = rows.next()? {
        created.push((row.get(0)?, files::kind(row.get(1)?)?, row.get(2)?));
    }
    Ok(created)
}

fn take_back_some(c: &Connection, file: i64, at: Cursor, now: i64) -> Result<Option<Cursor>> {
    let Some((first, last)) = span(c, file)? else {
        return Ok(None);
    };
    let mut shapes = Shapes::default();
    let changes = changes_of(c, file, first, at.changes_below.min(last.saturating_add(1)))?;
    if let Some(oldest) = changes.last() {
        let changes_below = oldest.seq;
        for logged in &changes {
            unlog(c, &mut shapes, logged, now)?;
        }
        return Ok(Some(Cursor {
            changes_below,
            ..at
        }));
    }
    let created = created_by(c, file, first, at.created_below.min(last.saturating_add(1)))?;
    let Some(&(created_below, ..)) = created.last() else {
        return Ok(None);
    };
    for (id, kind, key) in &created {
        uncreate(c, &mut shapes, *id, *kind, key, now)?;
    }
    Ok(Some(Cursor {
        created_below,
        ..at
    }))
}

/// Makes a record what it was before its newest change, and takes that out of the log.
fn unlog(c: &Connection, shapes: &mut Shapes, logged: &Logged, now: i64) -> Result<()> {
    let Some((kind, key)) = edit::identity(c, logged.record)? else {
        return Ok(());
    };
    let stored =
        edit::stored(c, kind, &key)?.ok_or_else(|| damaged("a change without a record"))?;
    if stored.seq != logged.seq {
        return Ok(());
    }
    let new = shapes.content(c, stored.id)?;
    let mut old = new.clone();
    logged.patch.revert(&mut old);
    let gone = match logged.op {
        Op::Created => true,
        Op::Updated | Op::Deleted | Op::Erased => false,
    };
    let before = file_of(c, &stored, logged.prev)?;
    let parts = edit::parts(&old);
    let fingerprint = if gone {
        crate::record::GONE
    } else {
        parts.record
    };
    edit::put_content(c, shapes, kind, stored.id, &new, &old)?;
    tally::changed(c, kind, i64::from(!gone) - i64::from(!stored.gone))?;
    c.prepare_cached(
        "UPDATE record SET seq = ?3, file = ?4, gone = ?5, fingerprint = ?6, row_hash = NULL,
           folder = coalesce((SELECT folder FROM file WHERE id = ?4), folder)
         WHERE kind = ?1 AND source_id = ?2",
    )?
    .execute(params![
        kind.code(),
        key,
        logged.prev,
        before,
        gone,
        fingerprint
    ])?;
    c.prepare_cached("DELETE FROM change WHERE seq = ?1")?
        .execute([logged.seq])?;
    let source = Source {
        file: before,
        ..Source::command(now)
    };
    if fingerprint != stored.fingerprint {
        edit::requeue(c, kind, stored.id, fingerprint, stored.acked, source)?;
    }
    let consents = parts.consents.filter(|_| !gone);
    edit::set_consents(c, kind, stored.id, consents, source)
}

/// Which file made this change of a record; 0: none, or the log no longer tells.
fn file_of(c: &Connection, stored: &Stored, seq: i64) -> Result<i64> {
    let sql = if seq == stored.id {
        "SELECT file FROM document WHERE id = ?1"
    } else {
        "SELECT file FROM change WHERE seq = ?1"
    };
    let file = c
        .prepare_cached(sql)?
        .query_row([seq], |row| row.get(0))
        .optional()?;
    Ok(file.unwrap_or(0))
}

/// Removes a record that nothing changed since its creation; one that was sent is deleted instead.
fn uncreate(
    c: &Connection,
    shapes: &mut Shapes,
    id: i64,
    kind: Kind,
    key: &str,
    now: i64,
) -> Result<()> {
    let stored =
        edit::stored(c, kind, key)?.ok_or_else(|| damaged("a document without a record"))?;
    if stored.seq != id {
        return Ok(());
    }
    let old = shapes.content(c, id)?;
    if stored.acked.is_some() || edit::ever_sent(c, id)? {
        let target = Target {
            kind,
            key,
            stored: &stored,
        };
        let seq = edit::next_seq(c)?;
        edit::change(c, shapes, target, &old, None, Source::command(now), seq)?;
        return Ok(());
    }
    lookup::changed(c, kind, id, &old, &Content::default())?;
    tally::changed(c, kind, -1)?;
    c.prepare_cached("DELETE FROM record WHERE kind = ?1 AND source_id = ?2")?
        .execute(params![kind.code(), key])?;
    for sql in [
        "DELETE FROM document WHERE id = ?1",
        "DELETE FROM consent WHERE id = ?1",
    ] {
        c.prepare_cached(sql)?.execute([id])?;
    }
    for sql in [
        "DELETE FROM pending WHERE kind = ?1 AND part >= ?2 AND id = ?3",
        "DELETE FROM parked WHERE kind = ?1 AND part >= ?2 AND id = ?3",
    ] {
        // One after the other: the key begins with kind and part.
        for part in [PART_RECORD, edit::PART_CONSENTS] {
            c.prepare_cached(sql)?
                .execute(params![kind.code(), part, id])?;
        }
    }
    Ok(())
}

struct RevertStep {
    next: Option<Cursor>,
    done: Reverted,
    /// That were deleted.
    products: Vec<String>,
    left: Vec<(Kind, String, Left)>,
}

/// `now` = None: nothing is written.
fn revert_some(c: &Connection, file: i64, at: Cursor, now: Option<i64>) -> Result<RevertStep> {
    let mut step = RevertStep {
        next: None,
        done: Reverted::default(),
        products: Vec::new(),
        left: Vec::new(),
    };
    let Some((first, last)) = span(c, file)? else {
        return Ok(step);
    };
    let mut shapes = Shapes::default();
    let of = RevertedFile { file, first, now };
    let changes = changes_of(c, file, first, at.changes_below.min(last.saturating_add(1)))?;
    if let Some(oldest) = changes.last() {
        for logged in &changes {
            if let Some((kind, key)) = edit::identity(c, logged.record)? {
                of.revert(c, &mut shapes, kind, key, logged.seq, &mut step)?;
            }
        }
        step.next = Some(Cursor {
            changes_below: oldest.seq,
            ..at
        });
        return Ok(step);
    }
    let created = created_by(c, file, first, at.created_below.min(last.saturating_add(1)))?;
    step.next = created.last().map(|&(created_below, ..)| Cursor {
        created_below,
        ..at
    });
    for (id, kind, key) in created {
        of.revert(c, &mut shapes, kind, key, id, &mut step)?;
    }
    Ok(step)
}

struct RevertedFile {
    file: i64,
    first: i64,
    now: Option<i64>,
}

impl RevertedFile {
    /// `seq`: a change or creation by the file. Only at its newest one the record is looked at.
    fn revert(
        &self,
        c: &Connection,
        shapes: &mut Shapes,
        kind: Kind,
        key: String,
        seq: i64,
        step: &mut RevertStep,
    ) -> Result<()> {
        let Some(stored) = edit::stored(c, kind, &key)? else {
            return Ok(());
        };
        if stored.seq != seq {
            if self.is_newest_of_file(c, &stored, seq)? {
                step.left.push((kind, key, Left::ChangedSince));
            }
            return Ok(());
        }
        let old = shapes.content(c, stored.id)?;
        let before = self.before(c, &stored, &old)?;
        if before.is_none() && kind == Kind::Orders && edit::ever_sent(c, stored.id)? {
            step.left.push((kind, key, Left::NotDeletable));
            return Ok(());
        }
        match (&before, stored.gone) {
            (None, true) => return Ok(()),
            (None, false) => {
                step.done.deleted += 1;
                step.products
                    .extend((kind == Kind::Products).then(|| key.clone()));
            }
            (Some(_), _) => step.done.set_back += 1,
        }
        let Some(now) = self.now else { return Ok(()) };
        let target = Target {
            kind,
            key: &key,
            stored: &stored,
        };
        let source = Source {
            // Its mark: with no file, no line is shown.
            line: -self.file,
            ..Source::command(now)
        };
        let seq = edit::next_seq(c)?;
        edit::change(c, shapes, target, &old, before.as_ref(), source, seq)?;
        Ok(())
    }

    /// What the record was before the file's first change of it; `None`: it was not there.
    fn before(&self, c: &Connection, stored: &Stored, now: &Content) -> Result<Option<Content>> {
        let mut content = now.clone();
        let mut there = !stored.gone;
        let mut seq = stored.seq;
        while seq != stored.id {
            let Some(logged) = change_at(c, seq)?.filter(|(_, file, _)| *file == self.file) else {
                return Ok(there.then_some(content));
            };
            let (logged, _, _) = logged;
            logged.patch.revert(&mut content);
            there = match logged.op {
                Op::Created => false,
                Op::Updated | Op::Deleted | Op::Erased => true,
            };
            seq = logged.prev;
        }
        let created_here = stored.id >= self.first && file_of(c, stored, stored.id)? == self.file;
        Ok(if created_here {
            None
        } else {
            there.then_some(content)
        })
    }

    /// Whether no later change of the record is the file's, or undid the file's.
    fn is_newest_of_file(&self, c: &Connection, stored: &Stored, seq: i64) -> Result<bool> {
        let mut at = stored.seq;
        while at > seq && at != stored.id {
            match change_at(c, at)? {
                Some((_, file, line)) if file == self.file || (file, line) == (0, -self.file) => {
                    return Ok(false);
                }
                Some((logged, _, _)) => at = logged.prev,
                None => return Ok(true),
            }
        }
        Ok(true)
    }
}

/// A change with its file and line; `None`: the log no longer holds it.
fn change_at(c: &Connection, seq: i64) -> Result<Option<(Logged, i64, i64)>> {
    let mut statement =
        c.prepare_cached("SELECT record, prev, op, patch, file, line FROM change WHERE seq = ?1")?;
    let mut rows = statement.query([seq])?;
    let Some(row) = rows.next()? else {
        return Ok(None);
    };
    let patch = row.get_ref(3)?.as_str().map_err(rusqlite::Error::from)?;
    let logged = Logged {
        seq,
        record: row.get(0)?,
        prev: row.get(1)?,
        op: Op::from_code(row.get(2)?).ok_or_else(|| damaged("a change"))?,
        patch: Patch::from_json(patch).ok_or_else(|| damaged("a change's patch"))?,
    };
    Ok(Some((logged, row.get(4)?, row.get(5)?)))
}
