//! The counts that `status`, the page and the metrics show.

use rusqlite::{Connection, OptionalExtension};

use super::files::{self, FileState};
use super::{Result, tally};
use crate::kind::Kind;

/// A number for each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PerKind([u64; 4]);

impl PerKind {
    pub fn get(&self, kind: Kind) -> u64 {
        self.0[kind.code() as usize - 1]
    }

    pub fn set(&mut self, kind: Kind, n: u64) {
        self.0[kind.code() as usize - 1] = n;
    }

    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Records that are not deleted here.
    pub stored: PerKind,
    /// Those in flight included. A record whose consents alone wait counts, too.
    pub pending: PerKind,
    pub in_flight: PerKind,
    pub parked: PerKind,
    pub waiting: u64,
    pub reading: u64,
    pub held: u64,
    pub stored_files: u64,
    pub unreadable: u64,
    /// Rows, of all files that are listed.
    pub rejected: u64,
    /// Since when the oldest pending record waits.
    pub oldest_pending: Option<i64>,
    /// When a flight was last acknowledged.
    pub last_delivered: Option<i64>,
    /// The newest request that did not go well: when, its status (`None`: no answer), its verdict.
    pub last_error: Option<(i64, Option<u16>, Option<String>)>,
}

pub fn counts(c: &Connection) -> Result<Counts> {
    let mut counts = Counts {
        stored: tally::stored(c)?,
        ..Counts::default()
    };
    queue(c, &mut counts)?;
    count_files(c, &mut counts)?;
    counts.last_delivered = c
        .prepare_cached(
            "SELECT max(f.ended) FROM (SELECT id, ended FROM flight ORDER BY id DESC LIMIT 256) f
             WHERE EXISTS (SELECT 1 FROM flight_item i WHERE i.flight = f.id AND i.outcome = 'acknowledged')",
        )?
        .query_row([], |row| row.get(0))?;
    counts.last_error = c
        .prepare_cached(
            "SELECT at, status, verdict FROM request
             WHERE status >= 400 OR status IS NULL AND duration_ms IS NOT NULL ORDER BY id DESC LIMIT 1",
        )?
        .query_row([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    Ok(counts)
}

/// How many records are pending, without a look at each: SQLite counts the rows of a whole table page
/// by page, and few have consents that wait.
pub fn pending_total(c: &Connection) -> Result<u64> {
    let mut statement = c.prepare_cached(
        "SELECT (SELECT count(*) FROM pending) - (
           SELECT count(*) FROM pending p CROSS JOIN pending o
           WHERE p.kind IN (1, 2, 3, 4) AND p.part = 1
             AND o.kind = p.kind AND o.part = 0 AND o.id = p.id)",
    )?;
    Ok(statement.query_row([], |row| row.get::<_, i64>(0))? as u64)
}

/// Files that wait for a person.
pub fn held_total(c: &Connection) -> Result<u64> {
    let mut statement = c.prepare_cached("SELECT count(*) FROM file WHERE state = 'held'")?;
    Ok(statement.query_row([], |row| row.get::<_, i64>(0))? as u64)
}

pub fn parked_total(c: &Connection) -> Result<u64> {
    let mut counts = Counts::default();
    parked(c, &mut counts)?;
    Ok(counts.parked.total())
}

fn queue(c: &Connection, counts: &mut Counts) -> Result<()> {
    let mut statement = c.prepare_cached(
        "SELECT kind, count(*), count(flight), min(since) FROM pending p
         WHERE part = 0 OR NOT EXISTS (
           SELECT 1 FROM pending o WHERE o.kind = p.kind AND o.part = 0 AND o.id = p.id)
         GROUP BY kind",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let kind = files::kind(row.get(0)?)?;
        counts.pending.set(kind, row.get::<_, i64>(1)? as u64);
        counts.in_flight.set(kind, row.get::<_, i64>(2)? as u64);
        let since: i64 = row.get(3)?;
        counts.oldest_pending = Some(counts.oldest_pending.map_or(since, |o| o.min(since)));
    }
    parked(c, counts)
}

fn parked(c: &Connection, counts: &mut Counts) -> Result<()> {
    let mut statement = c.prepare_cached(
        // Other content of it is in the queue already: then it is parked no longer.
        "SELECT kind, count(DISTINCT id) FROM parked p WHERE NOT EXISTS (
           SELECT 1 FROM pending o WHERE o.kind = p.kind AND o.part = p.part AND o.id = p.id)
         GROUP BY kind",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let kind = files::kind(row.get(0)?)?;
        counts.parked.set(kind, row.get::<_, i64>(1)? as u64);
    }
    Ok(())
}

fn count_files(c: &Connection, counts: &mut Counts) -> Result<()> {
    let mut statement =
        c.prepare_cached("SELECT state, count(*), sum(rejected) FROM file GROUP BY state")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let state: String = row.get(0)?;
        let files = row.get::<_, i64>(1)? as u64;
        counts.rejected += row.get::<_, i64>(2)? as u64;
        match FileState::from_name(&state) {
            Some(FileState::Waiting) => counts.waiting = files,
            Some(FileState::Reading) => counts.reading = files,
            Some(FileState::Held) => counts.held = files,
            Some(FileState::Stored) => counts.stored_files = files,
            Some(FileState::Unreadable) => counts.unreadable = files,
            Some(FileState::Discarded | FileState::Reverted) | None => {}
        }
    }
    Ok(())
}
