//! The change log: all of it newest first, or one record's.
//!
//! A creation stands in `document`, later changes in `change`, both by one counter; what was created
//! is what is stored, with the patches since undone.

use rusqlite::{Connection, OptionalExtension, Row, Rows, Statement, params};

use super::Result;
use super::apply::shown_line;
use super::edit::{self, Shapes, Stored};
use super::files::{self, damaged};
use super::listing::{ChangeRow, Filter};
use crate::kind::Kind;
use crate::record::{Content, Op, Patch};

/// A change or creation without its fields' origin being clear yet.
struct Entry {
    seq: i64,
    record: i64,
    kind: Kind,
    key: String,
    op: Op,
    file: i64,
    line: i64,
    at: i64,
    /// `None`: a creation.
    patch: Option<Patch>,
}

const CHANGES_SQL: &str =
    "SELECT ch.seq, ch.record, d.kind, d.source_id, ch.op, ch.file, ch.line, ch.at, ch.patch
 FROM change ch CROSS JOIN document d ON d.id = ch.record
 WHERE ch.seq BETWEEN ?1 AND ?2 AND (?3 IS NULL OR ch.file = ?3) AND (?4 IS NULL OR d.kind = ?4)
   AND (?5 IS NULL OR ch.at >= ?5)
 ORDER BY ch.seq DESC";

const CREATIONS_SQL: &str = "SELECT d.id, d.id, d.kind, d.source_id, 1, d.file, d.line, d.at, NULL
 FROM document d
 WHERE d.id BETWEEN ?1 AND ?2 AND (?3 IS NULL OR d.file = ?3) AND (?4 IS NULL OR d.kind = ?4)
   AND (?5 IS NULL OR d.at >= ?5)
 ORDER BY d.id DESC";

/// Changes, newest first, until `each` says `false`.
pub fn changes(
    c: &Connection,
    filter: &Filter,
    each: &mut dyn FnMut(ChangeRow) -> bool,
) -> Result<()> {
    if let (Some(key), false) = (&filter.key, filter.limit == Some(0)) {
        return changes_of_key(c, filter, key, each);
    }
    let mut left = filter.limit.unwrap_or(u64::MAX);
    let mut shapes = Shapes::default();
    let (from, to) = span(c, filter.file)?;
    let mut names = Names::default();
    let mut changes = c.prepare_cached(CHANGES_SQL)?;
    let mut creations = c.prepare_cached(CREATIONS_SQL)?;
    let kind = filter.kind.map(Kind::code);
    let narrowed = params![from, to, filter.file, kind, filter.since];
    let mut changes = Stream::open(&mut changes, narrowed)?;
    let mut creations = Stream::open(&mut creations, narrowed)?;
    while left > 0 {
        let newer = match (&changes.next, &creations.next) {
            (None, None) => break,
            (Some(change), Some(creation)) => change.seq > creation.seq,
            (change, _) => change.is_some(),
        };
        let entry = if newer {
            changes.take()?
        } else {
            creations.take()?
        };
        let Some(entry) = entry else { break };
        left -= 1;
        let row = finished(c, &mut shapes, &mut names, entry)?;
        if !each(row) {
            break;
        }
    }
    Ok(())
}

/// Of a file only the span of its own numbers is looked at.
fn span(c: &Connection, file: Option<i64>) -> Result<(i64, i64)> {
    let Some(file) = file else {
        return Ok((0, i64::MAX));
    };
    let span: Option<(Option<i64>, Option<i64>)> = c
        .prepare_cached("SELECT first_seq, last_seq FROM file WHERE id = ?1")?
        .query_row([file], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    Ok(match span {
        Some((Some(first), last)) => (first, last.unwrap_or(i64::MAX)),
        _ => (i64::MAX, i64::MAX),
    })
}

fn changes_of_key(
    c: &Connection,
    filter: &Filter,
    key: &str,
    each: &mut dyn FnMut(ChangeRow) -> bool,
) -> Result<()> {
    let mut found = Vec::new();
    for kind in Kind::ALL {
        if filter.kind.is_none_or(|wanted| wanted == kind)
            && let Some(stored) = edit::stored(c, kind, key)?
        {
            found.extend(life(c, kind, key, &stored)?);
        }
    }
    found.retain(|row: &ChangeRow| {
        filter.file.is_none_or(|file| row.file == Some(file))
            && filter.since.is_none_or(|since| row.at >= since)
    });
    found.sort_by_key(|row| std::cmp::Reverse(row.seq));
    let limit = filter.limit.unwrap_or(u64::MAX);
    for row in found
        .into_iter()
        .take(usize::try_from(limit).unwrap_or(usize::MAX))
    {
        if !each(row) {
            break;
        }
    }
    Ok(())
}

/// All changes of one record that the log holds, newest first.
pub(super) fn life(
    c: &Connection,
    kind: Kind,
    key: &str,
    stored: &Stored,
) -> Result<Vec<ChangeRow>> {
    let mut shapes = Shapes::default();
    let mut names = Names::default();
    let mut content = shapes.content(c, stored.id)?;
    let mut rows = Vec::new();
    let mut seq = stored.seq;
    while seq != stored.id {
        let Some((entry, prev)) = change_at(c, kind, key, seq)? else {
            break;
        };
        if let Some(patch) = &entry.patch {
            patch.revert(&mut content);
        }
        let fields = entry.patch.clone().unwrap_or_default();
        rows.push(row(c, &mut names, entry, fields)?);
        seq = prev;
    }
    let creation = c
        .prepare_cached("SELECT file, line, at FROM document WHERE id = ?1")?
        .query_row([stored.id], |row| {
            Ok(Entry {
                seq: stored.id,
                record: stored.id,
                kind,
                key: key.to_owned(),
                op: Op::Created,
                file: row.get(0)?,
                line: row.get(1)?,
                at: row.get(2)?,
                patch: None,
            })
        })?;
    rows.push(row(
        c,
        &mut names,
        creation,
        Content::default().diff(&content),
    )?);
    Ok(rows)
}

fn change_at(c: &Connection, kind: Kind, key: &str, seq: i64) -> Result<Option<(Entry, i64)>> {
    let mut statement = c.prepare_cached(
        "SELECT seq, record, ?2, ?3, op, file, line, at, patch, prev FROM change WHERE seq = ?1",
    )?;
    let mut rows = statement.query(params![seq, kind.code(), key])?;
    match rows.next()? {
        Some(row) => Ok(Some((entry(row)?, row.get(9)?))),
        None => Ok(None),
    }
}

fn finished(
    c: &Connection,
    shapes: &mut Shapes,
    names: &mut Names,
    mut entry: Entry,
) -> Result<ChangeRow> {
    let fields = match entry.patch.take() {
        Some(patch) => patch,
        None => {
            let content = created_as(c, shapes, entry.record, entry.kind, &entry.key)?;
            Content::default().diff(&content)
        }
    };
    row(c, names, entry, fields)
}

/// What a record was at its creation, as far as the log tells.
fn created_as(
    c: &Connection,
    shapes: &mut Shapes,
    id: i64,
    kind: Kind,
    key: &str,
) -> Result<Content> {
    let mut content = shapes.content(c, id)?;
    let mut seq = edit::stored(c, kind, key)?.map_or(id, |stored| stored.seq);
    while seq != id {
        let Some((entry, prev)) = change_at(c, kind, key, seq)? else {
            break;
        };
        if let Some(patch) = entry.patch {
            patch.revert(&mut content);
        }
        seq = prev;
    }
    Ok(content)
}

fn row(c: &Connection, names: &mut Names, entry: Entry, fields: Patch) -> Result<ChangeRow> {
    let by_file = entry.file != 0;
    Ok(ChangeRow {
        seq: entry.seq,
        kind: entry.kind,
        key: entry.key,
        op: entry.op,
        file: by_file.then_some(entry.file),
        name: names.of(c, entry.file)?,
        // Line 0: by the file as a whole (a full list's deletions).
        line: (by_file && shown_line(entry.line) > 0).then_some(shown_line(entry.line) as u64),
        at: entry.at,
        fields,
    })
}

fn entry(row: &Row<'_>) -> Result<Entry> {
    let patch: Option<String> = row.get(8)?;
    let patch = patch
        .map(|json| Patch::from_json(&json).ok_or_else(|| damaged("a change's patch")))
        .transpose()?;
    Ok(Entry {
        seq: row.get(0)?,
        record: row.get(1)?,
        kind: files::kind(row.get(2)?)?,
        key: row.get(3)?,
        op: Op::from_code(row.get(4)?).ok_or_else(|| damaged("a change"))?,
        file: row.get(5)?,
        line: row.get(6)?,
        at: row.get(7)?,
        patch,
    })
}

/// One of the two streams, with its next entry in hand.
struct Stream<'a> {
    rows: Rows<'a>,
    next: Option<Entry>,
}

impl<'a> Stream<'a> {
    fn open(
        statement: &'a mut Statement<'_>,
        narrowed: &[&dyn rusqlite::ToSql],
    ) -> Result<Stream<'a>> {
        let mut stream = Stream {
            rows: statement.query(narrowed)?,
            next: None,
        };
        stream.take()?;
        Ok(stream)
    }

    /// The entry in hand, and reaches for the next.
    fn take(&mut self) -> Result<Option<Entry>> {
        let next = self.rows.next()?.map(entry).transpose()?;
        Ok(std::mem::replace(&mut self.next, next))
    }
}

/// The name of the file that was asked for last: neighbours in the log are of one file.
#[derive(Default)]
struct Names {
    last: Option<(i64, Option<String>)>,
}

impl Names {
    fn of(&mut self, c: &Connection, file: i64) -> Result<Option<String>> {
        if file == 0 {
            return Ok(None);
        }
        if let Some((id, name)) = &self.last
            && *id == file
        {
            return Ok(name.clone());
        }
        let name: Option<String> = c
            .prepare_cached("SELECT name FROM file WHERE id = ?1")?
            .query_row([file], |row| row.get(0))
            .optional()?;
        self.last = Some((file, name.clone()));
        Ok(name)
    }
}
