//! What a store that runs for years lets go: the log's old part, and the pages that it stood on.
//!
//! In small steps, each looked for by a reader and done in a short transaction of the writer, so that
//! intake and delivery wait for none of it. A change stays while it is its record's newest, or newer than
//! what the remote acknowledged; a flight while it is open; a file while anything that is kept names it.
//! Knows nothing of the archive, nor when the steps are taken.

use rusqlite::{Connection, OptionalExtension, params};

use super::{Result, Store, meta};

/// Rows that one step looks at.
const LOOK_MAX: i64 = 2_000;

/// Rows that one step takes away. Most lie on pages of their own in some index (16 KiB each), which the
/// transaction writes: some tens of milliseconds on a slow disk.
const TAKE_MAX: i64 = 256;

/// Pages that one step gives back to the disk: 1 MiB.
const PAGES_MAX: i64 = 64;

/// Free pages that stay for the next day's work.
const PAGES_SPARE: i64 = 128;

/// Under this name the store keeps before which time flights may have been thinned: a record that is
/// older may have been sent though no flight tells.
pub(super) const FLIGHTS_BEFORE: &str = "thinned_flights_before";

/// What is let go. Times are UTC milliseconds.
#[derive(Clone, Debug)]
pub struct Old {
    /// Changes, flights, files and rejects from before may go.
    pub log: i64,
    /// Requests from before may go: the budget counts the newer ones.
    pub requests: i64,
    /// Folders whose files stay where they are: that they were taken in is remembered.
    pub left: Vec<String>,
}

/// How far a pass over the store is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Changes above this number are still to be looked at.
    Changes(i64),
    Flights,
    Requests,
    /// Files above this number.
    Files(i64),
    Pages,
    Over,
}

/// One pass over the store.
#[derive(Debug)]
pub struct Pass {
    old: Old,
    stage: Stage,
    /// Rows that were taken away so far.
    pub gone: u64,
}

impl Pass {
    pub fn new(old: Old) -> Pass {
        Pass {
            old,
            stage: Stage::Changes(0),
            gone: 0,
        }
    }

    /// `false`: nothing is left to do. After an error the step can be taken again.
    pub fn step(&mut self, store: &Store) -> Result<bool> {
        let reader = store.reader()?;
        let next = match self.stage {
            Stage::Changes(after) => self.changes(store, &reader, after)?,
            Stage::Flights => self.flights(store, &reader)?,
            Stage::Requests => self.requests(store, &reader)?,
            Stage::Files(after) => self.files(store, &reader, after)?,
            Stage::Pages => {
                if free_pages(&reader)? <= PAGES_SPARE || !gives_pages_back(&reader)? {
                    Stage::Over
                } else {
                    drop(reader);
                    store.write(|c| {
                        Ok(c.execute_batch(&format!("PRAGMA incremental_vacuum({PAGES_MAX})"))?)
                    })?;
                    Stage::Pages
                }
            }
            Stage::Over => Stage::Over,
        };
        self.stage = next;
        Ok(next != Stage::Over)
    }

    fn changes(&mut self, store: &Store, reader: &Connection, after: i64) -> Result<Stage> {
        let (to, looked, any_old): (Option<i64>, i64, bool) = reader.query_row(
            "SELECT max(seq), count(*), coalesce(max(at < ?2 OR at > ?4), 0) FROM
               (SELECT seq, at FROM change WHERE seq > ?1 ORDER BY seq LIMIT ?3)",
            params![after, self.old.log, LOOK_MAX, newest(reader)?],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
        )?;
        let Some(to) = to.filter(|_| any_old) else {
            // All that follow are newer still.
            return Ok(Stage::Flights);
        };
        let found = ids(
            reader,
            &format!("{OLD_CHANGES} LIMIT ?4"),
            params![after, to, self.old.log, TAKE_MAX],
        )?;
        let full = found.len() as i64 == TAKE_MAX;
        let last = found.last().copied();
        if !found.is_empty() {
            let old = self.old.log;
            // Looked for again where nobody else writes: an answer may have come, or a revert.
            self.gone += store.write(move |c| {
                let sql = format!("DELETE FROM change WHERE seq IN ({OLD_CHANGES} LIMIT ?4)");
                Ok(c.execute(&sql, params![after, to, old, TAKE_MAX])? as u64)
            })?;
        }
        Ok(match last {
            Some(last) if full => Stage::Changes(last),
            _ if looked < LOOK_MAX => Stage::Flights,
            _ => Stage::Changes(to),
        })
    }

    fn flights(&mut self, store: &Store, reader: &Connection) -> Result<Stage> {
        let found = ids(reader, OLD_FLIGHTS, params![self.old.log, 1])?;
        if found.is_empty() {
            return Ok(Stage::Requests);
        }
        let old = self.old.log;
        self.gone += store.write(move |c| {
            let before = meta::integer(c, FLIGHTS_BEFORE)?.unwrap_or(0);
            if before < old {
                meta::set(c, FLIGHTS_BEFORE, &old)?;
            }
            let mut left = TAKE_MAX;
            for flight in ids(c, OLD_FLIGHTS, params![old, TAKE_MAX])? {
                let items = c.execute(
                    "DELETE FROM flight_item WHERE flight = ?1 AND id IN
                       (SELECT id FROM flight_item WHERE flight = ?1 LIMIT ?2)",
                    params![flight, left],
                )? as i64;
                left -= items;
                if left == 0 {
                    break;
                }
                c.execute("DELETE FROM job WHERE flight = ?1", [flight])?;
                c.execute("DELETE FROM flight WHERE id = ?1", [flight])?;
                left -= 1;
                if left == 0 {
                    break;
                }
            }
            Ok((TAKE_MAX - left) as u64)
        })?;
        Ok(Stage::Flights)
    }

    fn requests(&mut self, store: &Store, reader: &Connection) -> Result<Stage> {
        if ids(reader, OLD_REQUESTS, params![self.old.requests, 1])?.is_empty() {
            return Ok(Stage::Files(0));
        }
        let old = self.old.requests;
        self.gone += store.write(move |c| {
            let sql = format!("DELETE FROM request WHERE id IN ({OLD_REQUESTS})");
            Ok(c.execute(&sql, params![old, TAKE_MAX])? as u64)
        })?;
        Ok(Stage::Requests)
    }

    fn files(&mut self, store: &Store, reader: &Connection, after: i64) -> Result<Stage> {
        let to: Option<i64> = reader.query_row(
            &format!("SELECT max(id) FROM ({OLD_FILES} ORDER BY id LIMIT ?3)"),
            params![after, self.old.log, LOOK_MAX],
            |row| row.get(0),
        )?;
        let Some(to) = to else {
            return Ok(Stage::Pages);
        };
        let left = super::files::to_json(&self.old.left);
        let lose = params![after, self.old.log, to, left];
        let lose: Option<(i64, bool)> = reader
            .query_row(
                &format!(
                    "SELECT id, EXISTS(SELECT 1 FROM reject WHERE file = id)
                 FROM ({OLD_FILES} AND id <= ?3) AS old
                 WHERE EXISTS(SELECT 1 FROM reject WHERE file = old.id) OR NOT {}
                 ORDER BY id LIMIT 1",
                    file_stays("old.id", "?4")
                ),
                lose,
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
            .optional()?;
        let Some((file, has_rejects)) = lose else {
            return Ok(Stage::Files(to));
        };
        self.gone += store.write(move |c| {
            if has_rejects {
                return Ok(c.execute(
                    "DELETE FROM reject WHERE (file, member, line, n) IN
                       (SELECT file, member, line, n FROM reject WHERE file = ?1 LIMIT ?2)",
                    params![file, TAKE_MAX],
                )? as u64);
            }
            let sql = format!(
                "DELETE FROM file WHERE id = ?1 AND NOT {}",
                file_stays("?1", "?2")
            );
            Ok(c.execute(&sql, params![file, left])? as u64)
        })?;
        // Until none of its rejects is left, and then itself.
        Ok(Stage::Files(file - 1))
    }
}

/// From ?1 to ?2: older than ?3, not its record's newest, acknowledged, and its file is read to its end.
const OLD_CHANGES: &str = "SELECT ch.seq FROM change ch
   CROSS JOIN document d ON d.id = ch.record
   CROSS JOIN record r ON r.kind = d.kind AND r.source_id = d.source_id
 WHERE ch.seq > ?1 AND ch.seq <= ?2 AND ch.at < ?3 AND ch.seq < r.seq AND ch.seq <= r.acked_seq
   AND ch.file NOT IN (SELECT id FROM file WHERE state = 'reading')
 ORDER BY ch.seq";

/// Flights are numbered as they leave: the oldest ones stand first. What still waits behind an open
/// one goes with the next pass.
const OLD_FLIGHTS: &str = "SELECT id FROM flight WHERE state = 'done' AND started < ?1
   AND coalesce(ended, started) < ?1
   AND NOT EXISTS (SELECT 1 FROM flight_item i WHERE i.flight = flight.id AND i.outcome IS NULL)
   AND NOT EXISTS (SELECT 1 FROM pending p WHERE p.flight = flight.id)
 ORDER BY id LIMIT ?2";

const OLD_REQUESTS: &str = "SELECT id FROM request WHERE at < ?1
   AND (flight IS NULL OR NOT EXISTS
     (SELECT 1 FROM flight f WHERE f.id = request.flight AND f.state <> 'done'))
 ORDER BY at LIMIT ?2";

/// Above ?1: their life ended before ?2.
const OLD_FILES: &str =
    "SELECT id FROM file WHERE id > ?1 AND archived IS NOT NULL AND archived < ?2
   AND state IN ('stored', 'unreadable', 'discarded', 'reverted')";

/// Whether something that is kept names the file `id`, or it is the newest of its folder (the newest with
/// a row, too: from it on the next is expected), or its folder (of the list `left`) leaves files in place.
fn file_stays(id: &str, left: &str) -> String {
    format!(
        "EXISTS (SELECT 1 FROM file f WHERE f.id = {id} AND (
     EXISTS (SELECT 1 FROM document d WHERE d.id BETWEEN f.first_seq AND coalesce(f.last_seq, d.id) AND d.file = f.id)
     OR EXISTS (SELECT 1 FROM change c WHERE c.seq BETWEEN f.first_seq AND coalesce(f.last_seq, c.seq) AND c.file = f.id)
     OR NOT EXISTS (SELECT 1 FROM file o WHERE o.folder = f.folder AND o.id > f.id)
     OR (f.rows > 0 AND NOT EXISTS (SELECT 1 FROM file o WHERE o.folder = f.folder AND o.id > f.id AND o.rows > 0))
     OR (f.state = 'stored' AND f.archive_name IS NULL AND NOT f.by_hand AND EXISTS (
       SELECT 1 FROM folder d JOIN json_each({left}) l ON l.value = d.name WHERE d.id = f.folder))))"
    )
}

fn ids(c: &Connection, sql: &str, params: &[&dyn rusqlite::ToSql]) -> Result<Vec<i64>> {
    let mut statement = c.prepare_cached(sql)?;
    let rows = statement.query_map(params, |row| row.get(0))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// The time of the newest change; later ones were written under a clock that was wrong.
fn newest(c: &Connection) -> Result<i64> {
    Ok(c.query_row(
        "SELECT coalesce((SELECT at FROM change ORDER BY seq DESC LIMIT 1), 0)",
        [],
        |row| row.get(0),
    )?)
}

fn free_pages(c: &Connection) -> Result<i64> {
    Ok(c.query_row("PRAGMA freelist_count", [], |row| row.get(0))?)
}

/// A store that was made before pages could be given back keeps them for new rows.
fn gives_pages_back(c: &Connection) -> Result<bool> {
    let mode: i64 = c.query_row("PRAGMA auto_vacuum", [], |row| row.get(0))?;
    Ok(mode == 2)
}

#[cfg(test)]
mod tests;
