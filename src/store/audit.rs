//! An audit's scratch space: the remote's export and what was found, in an unlinked file; and the
//! stored records in the order of their keys.
//!
//! Both sides are read some rows at a time, each time in a transaction of its own, so that the WAL can
//! be written back in between. Nothing here decides what differs.

use std::collections::VecDeque;
use std::path::Path;

use rusqlite::{Connection, params};

use super::edit::{PART_CONSENTS, PART_RECORD, Shapes};
use super::files::damaged;
use super::{Result, Store, files, scratch};
use crate::audit::{Drift, Equal, Finding, Local, Remote, Standing};
use crate::kind::Kind;

/// Rows that are read at a time.
const PAGE: usize = 1_000;

/// Kibibytes of cache, as SQLite wants them: an export comes in any order of keys.
const CACHE_KIB: i64 = -65_536;

pub struct Scratch {
    c: Connection,
}

/// A line of the listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub kind: Kind,
    pub finding: Finding,
}

impl Scratch {
    pub fn new(dir: &Path) -> Result<Scratch> {
        let c = scratch::open(dir)?;
        c.pragma_update(None, "cache_size", CACHE_KIB)?;
        c.execute_batch(
            "CREATE TABLE remote (key TEXT NOT NULL, n INTEGER NOT NULL, id TEXT NOT NULL, cells TEXT NOT NULL,
               PRIMARY KEY (key, n)) STRICT, WITHOUT ROWID;
             CREATE TABLE found (n INTEGER PRIMARY KEY, kind INTEGER NOT NULL, drift INTEGER NOT NULL, id INTEGER,
               key TEXT NOT NULL, field TEXT, local TEXT, remote TEXT, parked INTEGER NOT NULL) STRICT;
             CREATE TABLE equal (id INTEGER PRIMARY KEY, seq INTEGER NOT NULL, remote_id TEXT NOT NULL) STRICT;
             BEGIN",
        )?;
        Ok(Scratch { c })
    }

    /// Before the next kind's export.
    pub fn forget_remote(&self) -> Result<()> {
        self.c.execute("DELETE FROM remote", [])?;
        Ok(())
    }

    /// The `n`th row of the export.
    pub fn put(&self, n: u64, key: &str, id: &str, cells: &[&str]) -> Result<()> {
        let cells = serde_json::to_string(cells).expect("texts are always JSON");
        self.c
            .prepare_cached("INSERT INTO remote (key, n, id, cells) VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![key, n as i64, id, cells])?;
        Ok(())
    }

    /// The export's rows in the order of their keys, then of the export.
    pub fn remotes(&self) -> impl Iterator<Item = Result<Remote>> + '_ {
        let mut after = (String::new(), -1);
        paged(move || self.remotes_after(&mut after))
    }

    fn remotes_after(&self, after: &mut (String, i64)) -> Result<VecDeque<Remote>> {
        let mut statement = self.c.prepare_cached(
            "SELECT key, n, id, cells FROM remote WHERE (key, n) > (?1, ?2) ORDER BY key, n LIMIT ?3",
        )?;
        let mut rows = statement.query(params![after.0, after.1, PAGE as i64])?;
        let mut page = VecDeque::new();
        while let Some(row) = rows.next()? {
            let cells = row.get_ref(3)?.as_str().map_err(rusqlite::Error::from)?;
            let remote = Remote {
                key: row.get(0)?,
                id: row.get(2)?,
                cells: serde_json::from_str(cells)
                    .map_err(|_| damaged("a row of scratch space"))?,
            };
            *after = (remote.key.clone(), row.get(1)?);
            page.push_back(remote);
        }
        Ok(page)
    }

    pub fn note(&self, kind: Kind, finding: &Finding) -> Result<()> {
        self.c
            .prepare_cached(
                "INSERT INTO found (kind, drift, id, key, field, local, remote, parked)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            )?
            .execute(params![
                kind.code(),
                finding.drift as i64,
                finding.id,
                finding.key,
                finding.field,
                finding.local,
                finding.remote,
                finding.parked
            ])?;
        Ok(())
    }

    pub fn note_equal(&self, equal: &Equal) -> Result<()> {
        self.c
            .prepare_cached(
                "INSERT OR REPLACE INTO equal (id, seq, remote_id) VALUES (?1, ?2, ?3)",
            )?
            .execute(params![equal.id, equal.seq, equal.remote_id])?;
        Ok(())
    }

    /// Some of what was noted as equal, from behind that record's number on; empty: no more.
    pub fn equals(&self, after: i64) -> Result<Vec<Equal>> {
        let mut statement = self.c.prepare_cached(
            "SELECT id, seq, remote_id FROM equal WHERE id > ?1 ORDER BY id LIMIT ?2",
        )?;
        let rows = statement.query_map(params![after, PAGE as i64], |row| {
            Ok(Equal {
                id: row.get(0)?,
                seq: row.get(1)?,
                remote_id: row.get(2)?,
            })
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// What was noted, in that order, until `each` says `false`.
    pub fn each_found(
        &self,
        with_unknown: bool,
        each: &mut dyn FnMut(Found) -> bool,
    ) -> Result<()> {
        let mut statement = self.c.prepare(
            "SELECT kind, drift, id, key, field, local, remote, parked FROM found
             WHERE ?1 OR drift <> ?2 ORDER BY n",
        )?;
        let mut rows = statement.query(params![with_unknown, Drift::Unknown as i64])?;
        while let Some(row) = rows.next()? {
            let drift: i64 = row.get(1)?;
            let drift = Drift::ALL.into_iter().find(|d| *d as i64 == drift);
            let found = Found {
                kind: files::kind(row.get(0)?)?,
                finding: Finding {
                    drift: drift.ok_or_else(|| damaged("a row of scratch space"))?,
                    id: row.get(2)?,
                    key: row.get(3)?,
                    field: row.get(4)?,
                    local: row.get(5)?,
                    remote: row.get(6)?,
                    parked: row.get(7)?,
                },
            };
            if !each(found) {
                break;
            }
        }
        Ok(())
    }

    /// Puts what is missing or differs into the queue, but for what is parked. Returns how many records.
    pub fn queue(&self, store: &Store, now: i64) -> Result<u64> {
        let mut queued = 0;
        let mut after = i64::MIN;
        loop {
            let page = self.queueable(after)?;
            let Some((_, last, _)) = page.last() else {
                return Ok(queued);
            };
            after = *last;
            queued += store.write_alone(move |c| queue_all(c, &page, now))?;
        }
    }

    /// Kind, id and whether it is missing, each record once.
    fn queueable(&self, after: i64) -> Result<Vec<(i64, i64, bool)>> {
        let mut statement = self.c.prepare_cached(
            "SELECT kind, id, drift = ?1 FROM found WHERE drift IN (?1, ?2) AND NOT parked AND id > ?3
             GROUP BY id ORDER BY id LIMIT ?4",
        )?;
        let rows = statement.query_map(
            params![
                Drift::Missing as i64,
                Drift::Differs as i64,
                after,
                PAGE as i64
            ],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
        )?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }
}

/// Nothing is known any more of what the remote holds of them. What was deleted or sent meanwhile is
/// left: its own way settles it.
fn queue_all(c: &Connection, page: &[(i64, i64, bool)], now: i64) -> Result<u64> {
    let mut queued = 0;
    for &(kind, id, missing) in page {
        let changed = c
            .prepare_cached(
                "UPDATE record SET acked = NULL WHERE gone = 0
                   AND (kind, source_id) = (SELECT kind, source_id FROM document WHERE id = ?1)",
            )?
            .execute([id])?;
        if changed == 0 {
            continue;
        }
        queued += 1;
        let mut insert = c.prepare_cached(
            "INSERT OR IGNORE INTO pending (kind, part, id, file, since) VALUES (?1, ?2, ?3, 0, ?4)",
        )?;
        insert.execute(params![kind, PART_RECORD, id, now])?;
        if missing {
            // The remote forgot its consents with it.
            let any = c
                .prepare_cached("UPDATE consent SET acked = NULL WHERE id = ?1")?
                .execute([id])?;
            if any > 0 {
                insert.execute(params![kind, PART_CONSENTS, id, now])?;
            }
        }
    }
    Ok(queued)
}

/// Stored records of a kind in the order of their keys. `since`: when the export was ordered; what was
/// told to the remote after that may not be in it. `None`: nothing is on its way, since all waits for
/// what the comparison shows.
pub fn locals(
    reader: &Connection,
    kind: Kind,
    since: Option<i64>,
) -> impl Iterator<Item = Result<Local>> + '_ {
    let mut after = String::new();
    let mut shapes = Shapes::default();
    paged(move || locals_after(reader, &mut shapes, kind, since, &mut after))
}

fn locals_after(
    c: &Connection,
    shapes: &mut Shapes,
    kind: Kind,
    since: Option<i64>,
    after: &mut String,
) -> Result<VecDeque<Local>> {
    let mut statement = c.prepare_cached(
        "SELECT r.source_id, r.id, r.gone, d.shape, d.vals,
           ?3 IS NOT NULL AND (EXISTS(SELECT 1 FROM pending p WHERE p.kind = ?1 AND p.part = 0 AND p.id = r.id)
             OR EXISTS(SELECT 1 FROM flight_item i JOIN flight f ON f.id = i.flight
                 WHERE i.id = r.id AND f.part = 0 AND (f.ended IS NULL OR f.ended >= ?3))),
           EXISTS(SELECT 1 FROM parked p WHERE p.kind = ?1 AND p.part = 0 AND p.id = r.id), r.seq
         FROM record r JOIN document d ON d.id = r.id
         WHERE r.kind = ?1 AND r.source_id > ?2 ORDER BY r.source_id LIMIT ?4",
    )?;
    let mut rows = statement.query(params![kind.code(), *after, since, PAGE as i64])?;
    let mut page = VecDeque::new();
    while let Some(row) = rows.next()? {
        let (gone, moving, parked): (bool, bool, bool) = (row.get(2)?, row.get(5)?, row.get(6)?);
        page.push_back(Local {
            key: row.get(0)?,
            id: row.get(1)?,
            seq: row.get(7)?,
            standing: match (moving, parked, gone) {
                (true, ..) => Standing::OnItsWay,
                (_, _, true) => Standing::Gone,
                (_, true, _) => Standing::Parked,
                _ => Standing::Told,
            },
            content: shapes.content_of(c, row, 3)?,
        });
    }
    if let Some(last) = page.back() {
        after.clone_from(&last.key);
    }
    Ok(page)
}

/// One page after another, until one is empty or fails.
fn paged<T>(mut next: impl FnMut() -> Result<VecDeque<T>>) -> impl Iterator<Item = Result<T>> {
    let mut page: VecDeque<T> = VecDeque::new();
    let mut ended = false;
    std::iter::from_fn(move || {
        if page.is_empty() && !ended {
            match next() {
                Ok(more) => page = more,
                Err(error) => {
                    ended = true;
                    return Some(Err(error));
                }
            }
            ended = page.is_empty();
        }
        page.pop_front().map(Ok)
    })
}
