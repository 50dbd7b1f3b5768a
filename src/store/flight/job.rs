//! Jobs of the remote's: their ids are kept over restarts.

use std::collections::HashMap;

use rusqlite::{Connection, params};

use super::candidate::kind_of;
use crate::kind::Kind;
use crate::store::Result;

/// A job whose end is awaited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobRow {
    pub flight: i64,
    pub kind: Kind,
    /// The `async_action_id`.
    pub remote_id: String,
    pub polls: u32,
    pub since: i64,
    pub next_poll: i64,
    pub records: u64,
}

/// A body was accepted: its flight waits for the job.
pub fn accepted(
    c: &Connection,
    flight: i64,
    remote_id: &str,
    next_poll: i64,
    now: i64,
) -> Result<()> {
    c.prepare_cached(
        "INSERT INTO job (flight, remote_id, status, since, next_poll) VALUES (?1, ?2, 'ENQUEUED', ?3, ?4)",
    )?
    .execute(params![flight, remote_id, now, next_poll])?;
    c.prepare_cached("UPDATE flight SET state = 'job' WHERE id = ?1")?
        .execute([flight])?;
    Ok(())
}

/// The oldest first.
pub fn open_jobs(c: &Connection) -> Result<Vec<JobRow>> {
    let mut statement = c.prepare_cached(
        "SELECT f.id, f.kind, j.remote_id, j.polls, j.since, j.next_poll,
           (SELECT count(*) FROM flight_item i WHERE i.flight = f.id)
         FROM flight f JOIN job j ON j.flight = f.id WHERE f.state = 'job' ORDER BY f.id",
    )?;
    let mut rows = statement.query([])?;
    let mut jobs = Vec::new();
    while let Some(row) = rows.next()? {
        jobs.push(JobRow {
            flight: row.get(0)?,
            kind: kind_of(row.get(1)?)?,
            remote_id: row.get(2)?,
            polls: row.get(3)?,
            since: row.get(4)?,
            next_poll: row.get(5)?,
            records: row.get::<_, i64>(6)? as u64,
        });
    }
    Ok(jobs)
}

/// It was asked for and has not ended. `status`: where it was told.
pub fn ask_again(c: &Connection, flight: i64, status: Option<&str>, next_poll: i64) -> Result<()> {
    c.prepare_cached(
        "UPDATE job SET polls = polls + 1, status = coalesce(?2, status), next_poll = ?3 WHERE flight = ?1",
    )?
    .execute(params![flight, status, next_poll])?;
    Ok(())
}

/// A record that a job carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Carried {
    pub id: i64,
    pub attempts: u32,
    pub odd: u32,
}

/// Records of a flight by their keys.
pub fn items(c: &Connection, flight: i64) -> Result<HashMap<String, Carried>> {
    let mut statement = c.prepare_cached(
        "SELECT d.source_id, d.id, coalesce(p.attempts, 0), coalesce(p.odd, 0)
         FROM flight_item i JOIN document d ON d.id = i.id JOIN flight f ON f.id = i.flight
           LEFT JOIN pending p ON p.kind = f.kind AND p.part = f.part AND p.id = i.id
         WHERE i.flight = ?1",
    )?;
    let rows = statement.query_map([flight], |row| {
        let carried = Carried {
            id: row.get(1)?,
            attempts: row.get(2)?,
            odd: row.get(3)?,
        };
        Ok((row.get(0)?, carried))
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// The most attempts that one of a flight's records has behind it.
pub fn attempts(c: &Connection, flight: i64) -> Result<u32> {
    Ok(c.prepare_cached(
        "SELECT coalesce(max(p.attempts), 0) FROM flight f JOIN flight_item i ON i.flight = f.id
           JOIN pending p ON p.kind = f.kind AND p.part = f.part AND p.id = i.id WHERE f.id = ?1",
    )?
    .query_row([flight], |row| row.get(0))?)
}
