//! After a start, and after the clock was set.

use rusqlite::{Connection, params};

use super::WORKED_OFF_MS;
use crate::store::Result;
use crate::wire::Purse;

/// How far back calls may count against a limit.
const HOUR_MS: i64 = 3_600_000;

/// Attempts that the last process left open have an unknown outcome: a quiet time begins anew for
/// them and for those that were unknown already. Jobs are asked for as before. No wait lasts longer
/// than `wait_ms_max` from now.
pub fn recover(c: &Connection, now: i64, quiet_ms: i64, wait_ms_max: i64) -> Result<()> {
    let quiet = now.saturating_add(quiet_ms);
    c.execute(
        "UPDATE request SET verdict = 'unknown' WHERE status IS NULL AND verdict IS NULL AND flight IN (
           SELECT id FROM flight WHERE state = 'open')",
        [],
    )?;
    #[cfg(test)]
    if crate::plant::is(crate::plant::Plant::FlightForgotten) {
        c.execute("UPDATE pending SET flight = NULL WHERE flight IN (SELECT id FROM flight WHERE state = 'open')", [])?;
        c.execute(
            "UPDATE flight SET state = 'done' WHERE state IN ('open', 'unknown')",
            [],
        )?;
    }
    c.execute(
        "UPDATE flight_item SET outcome = 'unknown', code = 'interrupted' WHERE outcome IS NULL AND flight IN (
           SELECT id FROM flight WHERE state = 'open')",
        [],
    )?;
    c.execute(
        "UPDATE pending SET flight = NULL WHERE flight IN (SELECT id FROM flight WHERE state = 'open')",
        [],
    )?;
    c.execute(
        "UPDATE flight SET state = 'unknown', ended = coalesce(ended, ?2), quiet = CASE
             WHEN channel <> 'csv' THEN ?1
             WHEN state = 'unknown' THEN min(quiet, ?2 + ?3)
             ELSE ?2 + ?3 END
         WHERE state IN ('open', 'unknown')",
        params![quiet, now, WORKED_OFF_MS],
    )?;
    let latest = now.saturating_add(wait_ms_max);
    c.execute(
        "UPDATE pending SET next_try = ?1 WHERE next_try > ?1",
        [latest],
    )?;
    c.execute(
        "UPDATE job SET next_poll = ?1 WHERE next_poll > ?1 AND flight IN (
           SELECT id FROM flight WHERE state = 'job')",
        [latest],
    )?;
    Ok(())
}

/// The wall clock was set by `ms`, and `now` is the new time: waits move with it, and so do the calls
/// that may still count against a limit.
pub fn shift(c: &Connection, ms: i64, now: i64) -> Result<()> {
    c.execute(
        "UPDATE request SET at = at + ?1 WHERE at > ?2 - ?1 - ?3 AND at <= ?2 - ?1",
        params![ms, now, HOUR_MS],
    )?;
    for statement in [
        "UPDATE pending SET next_try = next_try + ?1 WHERE next_try > 0",
        "UPDATE flight SET quiet = quiet + ?1 WHERE state = 'unknown'",
        "UPDATE job SET next_poll = next_poll + ?1 WHERE flight IN (SELECT id FROM flight WHERE state = 'job')",
    ] {
        c.execute(statement, [ms])?;
    }
    Ok(())
}

/// Number, budget and time of the calls that may still count: when their answer came, else when the
/// process ended at the latest. Those in the future were made before the clock was set back.
pub fn spent(c: &Connection, now: i64) -> Result<Vec<(i64, Purse, i64)>> {
    let mut statement = c.prepare_cached(
        "SELECT id, budget, at, duration_ms FROM request WHERE at > ?1 - ?2 ORDER BY id",
    )?;
    let mut rows = statement.query(params![now, HOUR_MS])?;
    let mut calls = Vec::new();
    while let Some(row) = rows.next()? {
        let budget: String = row.get(1)?;
        let at: i64 = row.get(2)?;
        let duration: Option<i64> = row.get(3)?;
        let answered = duration.map_or(now, |ms| at.saturating_add(ms));
        calls.push((
            row.get(0)?,
            Purse::from_name(&budget).unwrap_or(Purse::Api),
            answered,
        ));
    }
    Ok(calls)
}
