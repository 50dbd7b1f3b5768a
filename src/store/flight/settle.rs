//! A flight ends: each of its records is acknowledged, parked, goes again, or nobody knows.
//!
//! What falls out of the ordinary is settled record by record; the rest by statements over the whole
//! flight. The latter speak of items without an outcome, so the former go first.

use rusqlite::{Connection, OptionalExtension, params};

use super::candidate::{Candidate, kind_of};
use super::{WORKED_OFF_MS, park};
use crate::kind::Kind;
use crate::record::Fingerprint;
use crate::store::Result;
use crate::store::edit::{PART_CONSENTS, PART_RECORD};
use crate::verdict::Refusal;

/// What became of a record in a flight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    Acknowledged {
        /// The API's own id, where the answer told it.
        remote_id: Option<String>,
    },
    Parked(Refusal),
    /// A SKU whose product is not at the remote: parked, until the product comes.
    ProductUnknown(Refusal),
    /// Not done, as it was said. `odd`: for a reason that nobody knows. `undone`: surely nothing of
    /// it was done, so that what was acknowledged before still holds.
    Again {
        code: String,
        next_try: i64,
        odd: bool,
        undone: bool,
    },
    /// Not done, for a reason that is not the record's; it counts as no attempt.
    Blocked,
    /// The remote no longer has it: it has to be made.
    Missing,
    /// Nobody knows. Other content does not go before `quiet`.
    Unknown {
        code: String,
        next_try: i64,
        quiet: i64,
    },
}

/// The fate of one record among many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ItemFate {
    pub id: i64,
    pub fate: Fate,
}

/// A request that ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    pub request: i64,
    pub status: Option<u16>,
    pub verdict: &'static str,
    pub request_id: Option<String>,
    pub duration_ms: i64,
}

pub fn conclude_request(c: &Connection, ended: &Ended) -> Result<()> {
    c.prepare_cached(
        "UPDATE request SET status = ?2, verdict = ?3, request_id = ?4, duration_ms = ?5 WHERE id = ?1",
    )?
    .execute(params![
        ended.request,
        ended.status,
        ended.verdict,
        ended.request_id,
        ended.duration_ms
    ])?;
    Ok(())
}

/// A flight as it is settled.
struct Flight {
    id: i64,
    kind: Kind,
    part: i64,
    deletes: bool,
}

/// Settles those of a flight's records that are named. The flight itself is concluded after.
pub fn conclude_named(c: &Connection, flight: i64, named: &[ItemFate], now: i64) -> Result<()> {
    let flight = read(c, flight)?;
    for item in named {
        one(c, &flight, item.id, &item.fate, now)?;
    }
    Ok(())
}

/// Concludes a flight: all its records without an outcome get this one.
pub fn conclude(c: &Connection, flight: i64, rest: &Fate, now: i64) -> Result<()> {
    let flight = read(c, flight)?;
    let mut unknown = None;
    match rest {
        Fate::Acknowledged { remote_id } => acknowledge(c, &flight, remote_id.as_deref(), now)?,
        Fate::Again {
            code,
            next_try,
            odd,
            undone,
        } => {
            let how = Back {
                undone: *undone,
                ..Back::again(code, *next_try, *odd)
            };
            back(c, &flight, how)?;
        }
        Fate::Blocked => back(c, &flight, Back::BLOCKED)?,
        Fate::Unknown {
            code,
            next_try,
            quiet,
        } => {
            unknown = Some(*quiet);
            back(c, &flight, Back::unknown(code, *next_try))?;
        }
        Fate::Parked(_) | Fate::ProductUnknown(_) | Fate::Missing => {
            for id in open_items(c, flight.id)? {
                one(c, &flight, id, rest, now)?;
            }
        }
    }
    end(c, flight.id, unknown, now)
}

fn read(c: &Connection, id: i64) -> Result<Flight> {
    let (kind, part, deletes): (i64, i64, bool) = c
        .prepare_cached("SELECT kind, part, channel = 'delete' FROM flight WHERE id = ?1")?
        .query_row([id], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    Ok(Flight {
        id,
        kind: kind_of(kind)?,
        part,
        deletes,
    })
}

fn open_items(c: &Connection, flight: i64) -> Result<Vec<i64>> {
    let mut statement = c.prepare_cached(
        "SELECT id FROM flight_item WHERE flight = ?1 AND outcome IS NULL ORDER BY id",
    )?;
    let ids = statement.query_map([flight], |row| row.get(0))?;
    Ok(ids.collect::<rusqlite::Result<_>>()?)
}

/// `quiet`: some of it is unknown, and other content waits until then.
fn end(c: &Connection, flight: i64, quiet: Option<i64>, now: i64) -> Result<()> {
    let state = if quiet.is_some() { "unknown" } else { "done" };
    c.prepare_cached("UPDATE flight SET state = ?2, quiet = ?3, ended = ?4 WHERE id = ?1")?
        .execute(params![flight, state, quiet.unwrap_or(0), now])?;
    Ok(())
}

/// All items without an outcome are done.
fn acknowledge(c: &Connection, flight: &Flight, remote_id: Option<&str>, now: i64) -> Result<()> {
    let Flight {
        id,
        kind,
        part,
        deletes,
    } = *flight;
    if part == PART_CONSENTS {
        return acknowledge_consents(c, flight);
    }
    // One walk over the records; what is still the newest leaves the queue.
    let mut update = c.prepare_cached(
        "UPDATE record SET acked = f.fingerprint, acked_seq = f.seq
         FROM (SELECT d.kind, d.source_id, i.fingerprint, i.seq FROM flight_item i
               JOIN document d ON d.id = i.id WHERE i.flight = ?1 AND i.outcome IS NULL) f
         WHERE record.kind = f.kind AND record.source_id = f.source_id
         RETURNING id, seq = acked_seq AND fingerprint = acked",
    )?;
    let acknowledged: Vec<(i64, bool)> = update
        .query_map([id], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    let mut leave =
        c.prepare_cached("DELETE FROM pending WHERE kind = ?1 AND part = 0 AND id = ?2")?;
    // What changed since goes on its way at once.
    let mut stay = c.prepare_cached(
        "UPDATE pending SET flight = NULL, attempts = 0, next_try = 0, odd = 0, body = NULL, last_error = NULL
         WHERE kind = ?1 AND part = 0 AND id = ?2",
    )?;
    for (record, newest) in &acknowledged {
        let statement = if *newest { &mut leave } else { &mut stay };
        statement.execute(params![kind.code(), record])?;
    }
    if let Some(remote_id) = remote_id {
        c.prepare_cached(
            "UPDATE document SET remote_id = ?2 WHERE id IN (
               SELECT id FROM flight_item WHERE flight = ?1 AND outcome IS NULL)",
        )?
        .execute(params![id, remote_id])?;
    }
    if deletes {
        c.prepare_cached(
            "UPDATE document SET remote_id = NULL WHERE id IN (
               SELECT id FROM flight_item WHERE flight = ?1 AND outcome IS NULL)",
        )?
        .execute([id])?;
    }
    park::free(c, id, kind, deletes, now)?;
    c.prepare_cached(
        "UPDATE flight_item SET outcome = 'acknowledged' WHERE flight = ?1 AND outcome IS NULL",
    )?
    .execute([id])?;
    Ok(())
}

fn acknowledge_consents(c: &Connection, flight: &Flight) -> Result<()> {
    let statements = [
        "UPDATE consent SET acked = i.fingerprint FROM flight_item i
         WHERE i.flight = ?1 AND i.outcome IS NULL AND consent.id = i.id",
        "DELETE FROM pending WHERE kind = 3 AND part = 1 AND id IN (
           SELECT i.id FROM flight_item i JOIN consent n ON n.id = i.id
           WHERE i.flight = ?1 AND i.outcome IS NULL AND n.fingerprint = i.fingerprint)",
        "UPDATE pending SET flight = NULL, attempts = 0, next_try = 0, odd = 0, last_error = NULL
         WHERE kind = 3 AND part = 1 AND flight = ?1",
        "DELETE FROM parked WHERE kind = 3 AND part = 1 AND id IN (
           SELECT id FROM flight_item WHERE flight = ?1 AND outcome IS NULL)",
        "UPDATE flight_item SET outcome = 'acknowledged' WHERE flight = ?1 AND outcome IS NULL",
    ];
    for statement in statements {
        c.prepare_cached(statement)?.execute([flight.id])?;
    }
    Ok(())
}

/// How records come back into the queue.
struct Back<'a> {
    outcome: &'static str,
    code: Option<&'a str>,
    next_try: i64,
    attempts: i64,
    odd: i64,
    /// Surely nothing was done: what the remote had acknowledged still holds.
    undone: bool,
}

impl<'a> Back<'a> {
    const BLOCKED: Back<'static> = Back {
        outcome: "again",
        code: None,
        next_try: 0,
        attempts: 0,
        odd: 0,
        undone: true,
    };

    fn again(code: &'a str, next_try: i64, odd: bool) -> Back<'a> {
        Back {
            outcome: "again",
            code: Some(code),
            next_try,
            attempts: 1,
            odd: i64::from(odd),
            undone: true,
        }
    }

    fn unknown(code: &'a str, next_try: i64) -> Back<'a> {
        Back {
            outcome: "unknown",
            code: Some(code),
            next_try,
            attempts: 1,
            odd: 0,
            undone: false,
        }
    }
}

/// All items without an outcome go again.
fn back(c: &Connection, flight: &Flight, back: Back<'_>) -> Result<()> {
    if back.undone {
        restore(c, flight)?;
    }
    c.prepare_cached(
        "UPDATE pending SET flight = NULL, attempts = attempts + ?4, next_try = ?5, odd = odd + ?6,
           last_error = coalesce(?7, last_error)
         WHERE kind = ?2 AND part = ?3 AND flight = ?1 AND id IN (
           SELECT id FROM flight_item WHERE flight = ?1 AND outcome IS NULL)",
    )?
    .execute(params![
        flight.id,
        flight.kind.code(),
        flight.part,
        back.attempts,
        back.next_try,
        back.odd,
        back.code
    ])?;
    c.prepare_cached(
        "UPDATE flight_item SET outcome = ?2, code = ?3 WHERE flight = ?1 AND outcome IS NULL",
    )?
    .execute(params![flight.id, back.outcome, back.code])?;
    Ok(())
}

/// Puts back what was acknowledged before the flight.
fn restore(c: &Connection, flight: &Flight) -> Result<()> {
    let statement = match flight.part {
        PART_CONSENTS => {
            "UPDATE consent SET acked = i.acked FROM flight_item i
             WHERE i.flight = ?1 AND i.outcome IS NULL AND i.acked IS NOT NULL
               AND consent.id = i.id AND consent.acked IS NULL"
        }
        _ => {
            "UPDATE record SET acked = f.acked
             FROM (SELECT d.kind, d.source_id, i.acked FROM flight_item i JOIN document d ON d.id = i.id
                   WHERE i.flight = ?1 AND i.outcome IS NULL AND i.acked IS NOT NULL) f
             WHERE record.kind = f.kind AND record.source_id = f.source_id AND record.acked IS NULL"
        }
    };
    c.prepare_cached(statement)?.execute([flight.id])?;
    Ok(())
}

/// One item of a flight.
fn one(c: &Connection, flight: &Flight, id: i64, fate: &Fate, now: i64) -> Result<()> {
    let item: Option<(i64, Fingerprint, Option<Fingerprint>)> = c
        .prepare_cached(
            "SELECT seq, fingerprint, acked FROM flight_item WHERE flight = ?1 AND id = ?2 AND outcome IS NULL",
        )?
        .query_row(params![flight.id, id], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .optional()?;
    let Some((seq, fingerprint, acked)) = item else {
        return Ok(());
    };
    let mut mark = ("again", None);
    match fate {
        Fate::Acknowledged { remote_id } => {
            // A flight of this one item, for the statements over a whole flight: rare among many.
            return one_acknowledged(c, flight, id, remote_id.as_deref(), now);
        }
        Fate::Parked(refusal) | Fate::ProductUnknown(refusal) => {
            restore_one(c, flight, id, acked)?;
            // A refused deletion holds whatever came after it: that goes once this one did.
            let refused = match newest(c, flight, id, seq, &fingerprint)? {
                true => Some(fingerprint),
                false if flight.deletes => standing(c, id)?,
                false => None,
            };
            if let Some(refused) = refused {
                park::put(c, (flight.kind, flight.part, id), &refused, refusal, now)?;
                if matches!(fate, Fate::ProductUnknown(_)) {
                    park::wait_for_product(c, id)?;
                }
            } else {
                free(c, flight, id)?;
            }
            mark = ("parked", Some(refusal.code.as_str()));
        }
        Fate::Missing => {
            c.prepare_cached("UPDATE document SET remote_id = NULL WHERE id = ?1")?
                .execute([id])?;
            free(c, flight, id)?;
        }
        Fate::Blocked => {
            restore_one(c, flight, id, acked)?;
            free(c, flight, id)?;
        }
        Fate::Again {
            code,
            next_try,
            odd,
            undone,
        } => {
            if *undone {
                restore_one(c, flight, id, acked)?;
            }
            later(c, flight, id, code, *next_try, *odd)?;
            mark = ("again", Some(code.as_str()));
        }
        Fate::Unknown { code, next_try, .. } => {
            later(c, flight, id, code, *next_try, false)?;
            mark = ("unknown", Some(code.as_str()));
        }
    }
    c.prepare_cached(
        "UPDATE flight_item SET outcome = ?3, code = ?4 WHERE flight = ?1 AND id = ?2",
    )?
    .execute(params![flight.id, id, mark.0, mark.1])?;
    Ok(())
}

/// The others are hidden behind an outcome while the whole-flight statements run.
fn one_acknowledged(
    c: &Connection,
    flight: &Flight,
    id: i64,
    remote_id: Option<&str>,
    now: i64,
) -> Result<()> {
    c.prepare_cached(
        "UPDATE flight_item SET outcome = 'hidden' WHERE flight = ?1 AND id <> ?2 AND outcome IS NULL",
    )?
    .execute(params![flight.id, id])?;
    acknowledge(c, flight, remote_id, now)?;
    c.prepare_cached(
        "UPDATE flight_item SET outcome = NULL WHERE flight = ?1 AND outcome = 'hidden'",
    )?
    .execute([flight.id])?;
    Ok(())
}

fn restore_one(c: &Connection, flight: &Flight, id: i64, acked: Option<Fingerprint>) -> Result<()> {
    let Some(acked) = acked else { return Ok(()) };
    let statement = match flight.part {
        PART_CONSENTS => "UPDATE consent SET acked = ?2 WHERE id = ?1 AND acked IS NULL",
        _ => {
            "UPDATE record SET acked = ?2 WHERE acked IS NULL
             AND (kind, source_id) = (SELECT kind, source_id FROM document WHERE id = ?1)"
        }
    };
    c.prepare_cached(statement)?.execute(params![id, acked])?;
    Ok(())
}

/// Whether what the flight carried still is the newest.
fn newest(
    c: &Connection,
    flight: &Flight,
    id: i64,
    seq: i64,
    fingerprint: &Fingerprint,
) -> Result<bool> {
    if flight.part == PART_CONSENTS {
        return Ok(c
            .prepare_cached(
                "SELECT EXISTS(SELECT 1 FROM consent WHERE id = ?1 AND fingerprint = ?2)",
            )?
            .query_row(params![id, fingerprint], |row| row.get(0))?);
    }
    Ok(c.prepare_cached(
        "SELECT EXISTS(SELECT 1 FROM document d JOIN record r ON r.kind = d.kind AND r.source_id = d.source_id
         WHERE d.id = ?1 AND r.seq = ?2)",
    )?
    .query_row(params![id, seq], |row| row.get(0))?)
}

/// What the record holds by now.
fn standing(c: &Connection, id: i64) -> Result<Option<Fingerprint>> {
    Ok(c.prepare_cached(
        "SELECT r.fingerprint FROM document d JOIN record r ON r.kind = d.kind AND r.source_id = d.source_id
         WHERE d.id = ?1",
    )?
    .query_row([id], |row| row.get(0))
    .optional()?)
}

/// Back in the queue, at once and with nothing against it.
fn free(c: &Connection, flight: &Flight, id: i64) -> Result<()> {
    c.prepare_cached(
        "UPDATE pending SET flight = NULL, next_try = 0, body = NULL WHERE kind = ?1 AND part = ?2 AND id = ?3",
    )?
    .execute(params![flight.kind.code(), flight.part, id])?;
    Ok(())
}

fn later(
    c: &Connection,
    flight: &Flight,
    id: i64,
    code: &str,
    next_try: i64,
    odd: bool,
) -> Result<()> {
    c.prepare_cached(
        "UPDATE pending SET flight = NULL, attempts = attempts + 1, next_try = ?4, odd = odd + ?5, body = NULL,
           last_error = ?6 WHERE kind = ?1 AND part = ?2 AND id = ?3",
    )?
    .execute(params![
        flight.kind.code(),
        flight.part,
        id,
        next_try,
        odd,
        code
    ])?;
    Ok(())
}

/// Why a body goes again in halves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// It was refused whole: nothing was done.
    Undone,
    /// Its job has ended, and its report proves nothing. `failed`: of any record, which counts as a try.
    Unproven { failed: bool },
    /// No answer came: other content does not go before that time.
    Unknown { quiet: i64 },
}

/// A body was refused, or proved nothing: its records without an outcome go again in two halves.
pub fn split(
    c: &Connection,
    flight: i64,
    code: &str,
    next_try: i64,
    doubt: Doubt,
    now: i64,
) -> Result<()> {
    let flight = read(c, flight)?;
    let ids = open_items(c, flight.id)?;
    let half = ids.len().div_ceil(2);
    for (place, id) in ids.iter().enumerate() {
        // Flights' numbers are never used twice, and so are these.
        let body = flight.id * 2 + i64::from(place >= half);
        c.prepare_cached("UPDATE pending SET body = ?3 WHERE kind = ?1 AND part = 0 AND id = ?2")?
            .execute(params![flight.kind.code(), id, body])?;
    }
    let (how, quiet) = match doubt {
        Doubt::Unknown { quiet } => (Back::unknown(code, next_try), Some(quiet)),
        Doubt::Unproven { .. } | Doubt::Undone => {
            let how = Back {
                attempts: i64::from(doubt == Doubt::Unproven { failed: true }),
                undone: doubt == Doubt::Undone,
                ..Back::again(code, next_try, false)
            };
            (how, None)
        }
    };
    back(c, &flight, how)?;
    end(c, flight.id, quiet, now)
}

/// A job of a kind has ended, so all bodies before it have: the API works them off in order, imports
/// of orders in a line of their own. And
/// single calls whose quiet time has passed can do no harm any more.
pub fn unknown_over(c: &Connection, ended: Option<(Kind, i64)>, now: i64) -> Result<()> {
    if let Some((kind, flight)) = ended {
        c.prepare_cached(
            "UPDATE flight SET state = 'done' WHERE state = 'unknown' AND id < ?2
               AND (kind = ?1 AND channel IN ('bulk', 'import', 'metadata') OR channel = 'csv' AND ?1 <> ?3)",
        )?
        .execute(params![kind.code(), flight, Kind::Orders.code()])?;
    }
    c.prepare_cached(
        "UPDATE flight SET state = 'done' WHERE state = 'unknown'
           AND (quiet <= ?1 AND channel NOT IN ('bulk', 'import', 'metadata') OR quiet + ?2 <= ?1)",
    )?
    .execute(params![now, WORKED_OFF_MS])?;
    Ok(())
}

/// At `asked` no job was open at the remote: bodies whose outcome is unknown, and which could not come
/// any more then, are worked off. `since`: of those alone that left after.
pub fn line_worked_off(c: &Connection, asked: i64, since: i64) -> Result<()> {
    c.execute(
        "UPDATE flight SET state = 'done' WHERE state = 'unknown' AND quiet <= ?1 AND started >= ?2
           AND channel IN ('bulk', 'import', 'metadata')",
        [asked, since],
    )?;
    Ok(())
}

/// A record that needs no call: it is as the remote acknowledged it.
pub(super) fn without_call(c: &Connection, candidate: &Candidate) -> Result<()> {
    let part = if candidate.consents {
        PART_CONSENTS
    } else {
        PART_RECORD
    };
    if !candidate.consents {
        c.prepare_cached(
            "UPDATE record SET acked = ?3, acked_seq = ?4 WHERE kind = ?1 AND source_id = ?2",
        )?
        .execute(params![
            candidate.kind.code(),
            candidate.key,
            candidate.fingerprint,
            candidate.seq
        ])?;
    }
    // Deleted once more, and it stands here again: it has yet to be made.
    if candidate.delete.as_ref().is_some_and(|delete| delete.first) {
        return Ok(());
    }
    for statement in [
        "DELETE FROM pending WHERE kind = ?1 AND part = ?2 AND id = ?3",
        "DELETE FROM parked WHERE kind = ?1 AND part = ?2 AND id = ?3",
    ] {
        c.prepare_cached(statement)?
            .execute(params![candidate.kind.code(), part, candidate.id])?;
    }
    Ok(())
}
