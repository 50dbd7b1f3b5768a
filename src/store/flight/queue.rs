//! What waits of each kind, as far as the next step depends on it.

use rusqlite::{Connection, params};

use super::Look;
use super::candidate::{Candidate, Step, Walk};
use crate::kind::Kind;
use crate::plan::{Queue, Readiness, SINGLES_MAX};
use crate::store::Result;

/// SKUs that one look counts at most.
const SKUS_SEEN_MAX: usize = 200;

/// Others that one look counts, if more of them are no upserts than it takes.
const SEEN_MAX: usize = 1_000;

/// A queue for each kind, in the order of delivery.
pub fn queues(c: &Connection, look: &Look) -> Result<Vec<Queue>> {
    Kind::ALL
        .into_iter()
        .map(|kind| queue(c, look, kind))
        .collect()
}

/// Nothing is pending, in flight included.
pub fn is_empty(c: &Connection) -> Result<bool> {
    Ok(
        c.prepare_cached("SELECT NOT EXISTS(SELECT 1 FROM pending)")?
            .query_row([], |row| row.get(0))?,
    )
}

fn queue(c: &Connection, look: &Look, kind: Kind) -> Result<Queue> {
    let mut walk = Walk::new(c, look)?;
    let mut queue = Queue {
        kind,
        upserts: 0,
        singles: 0,
        imports: 0,
        csv: 0,
        bodies: bodies(c, look, kind)?,
        bound: walk.unknown.binds(kind),
        jobs_open: jobs_open(c, kind)?,
        held: 0,
        line: false,
        next: None,
    };
    let bound = queue.bound;
    let mut seen = 0;
    walk.each(c, kind, false, None, &mut |candidate| {
        count(&mut queue, &candidate, bound);
        seen += 1;
        // Of SKUs it has to be known, too, whether there are many that go by CSV.
        let enough = match kind {
            Kind::Skus => seen >= SKUS_SEEN_MAX,
            // Deletions before them hide no upserts that would go in a body.
            _ => queue.upserts > SINGLES_MAX || queue.singles > SINGLES_MAX && seen >= SEEN_MAX,
        };
        Ok(if enough { Step::Stop } else { Step::On })
    })?;
    if kind == Kind::Customers && queue.singles <= SINGLES_MAX {
        walk.each(c, kind, true, None, &mut |_| {
            queue.singles += 1;
            Ok(if queue.singles > SINGLES_MAX {
                Step::Stop
            } else {
                Step::On
            })
        })?;
    }
    queue.held = walk.held;
    queue.line = walk.line;
    queue.next = earliest(walk.next, next_try(c, look, kind)?);
    Ok(queue)
}

fn count(queue: &mut Queue, candidate: &Candidate, bound: bool) {
    let settled = matches!(candidate.readiness, Readiness::NoProduct | Readiness::Done)
        || Some(candidate.fingerprint) == candidate.acked;
    if settled || candidate.delete.is_some() {
        queue.singles += 1;
    } else if candidate.body.is_some() {
        // Halves of a refused body are counted by their numbers.
    } else if candidate.history || (bound && candidate.bound && candidate.kind == Kind::Orders) {
        queue.imports += 1;
    } else if candidate.by_csv {
        queue.csv += 1;
    } else {
        queue.upserts += 1;
    }
}

/// Numbers and sizes of the halves that are due, the oldest first.
fn bodies(c: &Connection, look: &Look, kind: Kind) -> Result<Vec<(i64, usize)>> {
    let mut statement = c.prepare_cached(
        "SELECT body, count(*) FROM pending WHERE kind = ?1 AND part = 0 AND body IS NOT NULL
           AND flight IS NULL AND next_try <= ?2 GROUP BY body ORDER BY body",
    )?;
    let rows = statement.query_map(params![kind.code(), look.now], |row| {
        Ok((row.get(0)?, row.get::<_, i64>(1)? as usize))
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn jobs_open(c: &Connection, kind: Kind) -> Result<usize> {
    let open: i64 = c
        .prepare_cached("SELECT count(*) FROM flight WHERE state = 'job' AND kind = ?1")?
        .query_row([kind.code()], |row| row.get(0))?;
    Ok(open as usize)
}

/// When the next of those that wait for a time may go.
fn next_try(c: &Connection, look: &Look, kind: Kind) -> Result<Option<i64>> {
    Ok(c.prepare_cached(
        "SELECT min(next_try) FROM pending WHERE kind = ?1 AND flight IS NULL AND next_try > ?2
           AND file NOT IN (SELECT id FROM file WHERE state = 'reading')",
    )?
    .query_row(params![kind.code(), look.now], |row| row.get(0))?)
}

fn earliest(a: Option<i64>, b: Option<i64>) -> Option<i64> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}
