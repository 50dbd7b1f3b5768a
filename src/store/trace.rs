//! The life of one record: what touched it, and what carried it.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension, params};

use super::edit::{self, Shapes};
use super::listing::{ChangeRow, RequestRow, request_row};
use super::{Result, history};
use crate::kind::Kind;
use crate::record::Content;

#[derive(Clone, Debug)]
pub struct Trace {
    pub kind: Kind,
    pub key: String,
    /// What is stored now; empty if it is deleted.
    pub content: Content,
    pub gone: bool,
    pub pending: bool,
    pub parked: bool,
    pub remote_id: Option<String>,
    /// Oldest first; as far back as the log is kept.
    pub changes: Vec<ChangeRow>,
    /// Oldest first.
    pub flights: Vec<TracedFlight>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TracedFlight {
    pub id: i64,
    pub channel: String,
    pub state: String,
    /// Of the record, in this flight; `None`: open.
    pub outcome: Option<String>,
    pub code: Option<String>,
    /// The change that it carried.
    pub seq: i64,
    pub started: i64,
    pub ended: Option<i64>,
    pub requests: Vec<RequestRow>,
}

/// `None`: no such record.
pub fn trace(c: &Connection, kind: Kind, key: &str) -> Result<Option<Trace>> {
    let Some(stored) = edit::stored(c, kind, key)? else {
        return Ok(None);
    };
    let id = stored.id;
    let mut changes = history::life(c, kind, key, &stored)?;
    changes.reverse();
    let pending = waits(
        c,
        "SELECT EXISTS(SELECT 1 FROM pending WHERE kind = ?1 AND part IN (0, 1) AND id = ?2)",
        kind,
        id,
    )?;
    let parked = waits(
        c,
        "SELECT EXISTS(SELECT 1 FROM parked p WHERE kind = ?1 AND part IN (0, 1) AND id = ?2 AND NOT EXISTS (
           SELECT 1 FROM pending o WHERE o.kind = p.kind AND o.part = p.part AND o.id = p.id))",
        kind,
        id,
    )?;
    let remote_id = c
        .query_row(
            "SELECT remote_id FROM document WHERE id = ?1",
            [id],
            |row| row.get(0),
        )
        .optional()?
        .flatten();
    Ok(Some(Trace {
        kind,
        key: key.to_owned(),
        content: Shapes::default().content(c, id)?,
        gone: stored.gone,
        pending,
        parked,
        remote_id,
        changes,
        flights: flights(c, id)?,
    }))
}

fn waits(c: &Connection, sql: &str, kind: Kind, id: i64) -> Result<bool> {
    Ok(c.query_row(sql, params![kind.code(), id], |row| row.get(0))?)
}

fn flights(c: &Connection, id: i64) -> Result<Vec<TracedFlight>> {
    let mut statement = c.prepare(
        "SELECT f.id, f.channel, f.state, i.outcome, i.code, i.seq, f.started, f.ended
         FROM flight_item i JOIN flight f ON f.id = i.flight WHERE i.id = ?1 ORDER BY f.id",
    )?;
    let mut rows = statement.query([id])?;
    let mut flights = Vec::new();
    while let Some(row) = rows.next()? {
        flights.push(TracedFlight {
            id: row.get(0)?,
            channel: row.get(1)?,
            state: row.get(2)?,
            outcome: row.get(3)?,
            code: row.get(4)?,
            seq: row.get(5)?,
            started: row.get(6)?,
            ended: row.get(7)?,
            requests: Vec::new(),
        });
    }
    put_requests(c, &mut flights)?;
    Ok(flights)
}

/// One walk through the log from the first flight on: no index by flight is kept for this alone.
fn put_requests(c: &Connection, flights: &mut [TracedFlight]) -> Result<()> {
    let places: HashMap<i64, usize> = flights.iter().map(|f| f.id).zip(0..).collect();
    let Some(first) = flights.iter().map(|f| f.id).min() else {
        return Ok(());
    };
    let mut statement = c.prepare(
        "SELECT id, at, method, path, records, status, verdict, request_id, duration_ms, flight
         FROM request WHERE flight >= ?1 ORDER BY id",
    )?;
    let mut rows = statement.query([first])?;
    while let Some(row) = rows.next()? {
        if let Some(&place) = places.get(&row.get::<_, i64>(9)?) {
            flights[place].requests.push(request_row(row)?);
        }
    }
    Ok(())
}
