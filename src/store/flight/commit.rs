//! A flight is committed, with what it carries, before its first byte leaves.

use rusqlite::{Connection, params};

use super::candidate::{Candidate, Step, Walk};
use super::{Look, channel as channels, park, settle, shared};
use crate::kind::Kind;
use crate::plan::{Channel, Readiness, Taken};
use crate::record::{Fingerprint, GONE};
use crate::store::Result;
use crate::store::edit::{PART_CONSENTS, PART_RECORD};
use crate::verdict::Refusal;
use crate::wire::Endpoint;

/// A request that is about to leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewRequest {
    pub flight: Option<i64>,
    pub endpoint: Endpoint,
    pub records: u64,
    pub at: i64,
}

/// Notes a request, and so spends it. Returns its number.
pub fn begin_request(c: &Connection, request: NewRequest) -> Result<i64> {
    let (method, template, purse) = request.endpoint.describe();
    c.prepare_cached(
        "INSERT INTO request (flight, at, method, path, budget, records) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?
    .execute(params![
        request.flight,
        request.at,
        method.name(),
        template,
        purse.name(),
        request.records as i64
    ])?;
    Ok(c.last_insert_rowid())
}

/// What becomes of a candidate for a single call.
pub enum Choice<T> {
    Launch(Launch<T>),
    Park(Refusal),
    Skip,
}

pub struct Launch<T> {
    pub endpoint: Endpoint,
    pub call: T,
}

/// A single call that may leave now.
pub struct Single<T> {
    pub flight: i64,
    pub request: i64,
    pub candidate: Candidate,
    pub endpoint: Endpoint,
    pub call: T,
}

/// What came of a look for single calls.
pub struct Committed<T> {
    pub singles: Vec<Single<T>>,
    /// Those, and records that were settled or parked without a call.
    pub acts: usize,
}

/// A call that took off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Begun {
    pub flight: i64,
    pub request: i64,
}

/// A body of many that may leave now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TookOff {
    pub begun: Begun,
    pub records: usize,
    /// The most attempts that one of its records has behind it.
    pub attempts: u32,
}

enum Act<T> {
    Launch(Candidate, Launch<T>),
    Settle(Candidate),
    Park(Candidate, Refusal),
}

/// Commits up to `most` single flights for records of a kind, and settles on the way what needs no
/// call. `upserts`: whether made and changed records go, or only deletions and consents; `spare`: those
/// that a CSV can carry do not.
pub fn commit_singles<T>(
    c: &Connection,
    look: &Look,
    kind: Kind,
    most: usize,
    (upserts, spare): (bool, bool),
    choose: &mut dyn FnMut(&Candidate) -> Choice<T>,
) -> Result<Committed<T>> {
    // Gathered first: a table is not written while it is walked.
    let mut acts: Vec<Act<T>> = Vec::new();
    let mut launches = 0;
    let mut walk = Walk::new(c, look)?;
    let mut each = |candidate: Candidate| {
        if settled(&candidate) {
            acts.push(Act::Settle(candidate));
        } else if candidate.readiness == Readiness::NoProduct {
            let refusal = park::product_unknown();
            acts.push(Act::Park(candidate, refusal));
        } else if candidate.delete.is_some()
            || candidate.consents
            || (upserts && goes_singly(&candidate) && !(spare && candidate.by_csv))
        {
            match choose(&candidate) {
                Choice::Launch(launch) => {
                    launches += 1;
                    acts.push(Act::Launch(candidate, launch));
                }
                Choice::Park(refusal) => acts.push(Act::Park(candidate, refusal)),
                Choice::Skip => {}
            }
        }
        let enough = launches == most || acts.len() >= ACTS_MAX;
        Ok(if enough { Step::Stop } else { Step::On })
    };
    walk.each(c, kind, false, None, &mut each)?;
    if kind == Kind::Customers && launches < most {
        let mut each = |candidate: Candidate| {
            if settled(&candidate) {
                acts.push(Act::Settle(candidate));
            } else if let Choice::Launch(launch) = choose(&candidate) {
                launches += 1;
                acts.push(Act::Launch(candidate, launch));
            }
            let enough = launches == most || acts.len() >= ACTS_MAX;
            Ok(if enough { Step::Stop } else { Step::On })
        };
        walk.each(c, kind, true, None, &mut each)?;
    }
    let mut committed = Committed {
        acts: acts.len(),
        singles: Vec::new(),
    };
    for act in acts {
        match act {
            Act::Settle(candidate) => settle::without_call(c, &candidate)?,
            Act::Park(candidate, refusal) => {
                park::before_flight(c, &candidate, &refusal, look.now)?
            }
            Act::Launch(candidate, launch) => {
                let single = launch_single(c, candidate, launch, look.now)?;
                committed.singles.push(single);
            }
        }
    }
    Ok(committed)
}

/// Records that one transaction settles or parks without a call.
const ACTS_MAX: usize = 1_000;

/// What equals the acknowledged content needs no call.
fn settled(candidate: &Candidate) -> bool {
    candidate.readiness == Readiness::Done || candidate.acked == Some(candidate.fingerprint)
}

/// Whether a body of many can carry it.
pub(super) fn goes_whole(candidate: &Candidate) -> bool {
    candidate.delete.is_none() && candidate.readiness != Readiness::NoProduct && !settled(candidate)
}

fn goes_singly(candidate: &Candidate) -> bool {
    candidate.body.is_none() && !candidate.bound && !candidate.history
}

fn launch_single<T>(
    c: &Connection,
    candidate: Candidate,
    launch: Launch<T>,
    now: i64,
) -> Result<Single<T>> {
    let (part, channel) = match (&candidate.delete, candidate.consents) {
        (Some(_), _) => (PART_RECORD, channels::DELETE),
        (None, true) => (PART_CONSENTS, channels::CONSENT),
        (None, false) => (PART_RECORD, channels::SINGLE),
    };
    let flight = open(c, candidate.kind, part, channel, now)?;
    put_item(c, flight, part, &Item::of(&candidate))?;
    if let Readiness::WithoutCustomer { again: true } = candidate.readiness {
        park::wait_for_customer(c, &candidate)?;
    }
    let request = begin_request(
        c,
        NewRequest {
            flight: Some(flight),
            endpoint: launch.endpoint,
            records: 1,
            at: now,
        },
    )?;
    Ok(Single {
        flight,
        request,
        candidate,
        endpoint: launch.endpoint,
        call: launch.call,
    })
}

/// What a flight notes of a record.
struct Item {
    kind: Kind,
    id: i64,
    seq: i64,
    fingerprint: Fingerprint,
    acked: Option<Fingerprint>,
}

impl Item {
    fn of(candidate: &Candidate) -> Item {
        Item {
            kind: candidate.kind,
            id: candidate.id,
            seq: candidate.seq,
            fingerprint: candidate.fingerprint,
            acked: candidate.acked,
        }
    }
}

fn open(c: &Connection, kind: Kind, part: i64, channel: &str, now: i64) -> Result<i64> {
    c.prepare_cached(
        "INSERT INTO flight (kind, part, channel, state, started) VALUES (?1, ?2, ?3, 'open', ?4)",
    )?
    .execute(params![kind.code(), part, channel, now])?;
    Ok(c.last_insert_rowid())
}

/// The record is in this flight, and nothing is known of the remote's content until it ends.
fn put_item(c: &Connection, flight: i64, part: i64, item: &Item) -> Result<()> {
    c.prepare_cached(
        "INSERT INTO flight_item (flight, id, seq, fingerprint, acked) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?
    .execute(params![
        flight,
        item.id,
        item.seq,
        item.fingerprint,
        item.acked
    ])?;
    c.prepare_cached("UPDATE pending SET flight = ?4 WHERE kind = ?1 AND part = ?2 AND id = ?3")?
        .execute(params![item.kind.code(), part, item.id, flight])?;
    #[cfg(test)]
    if crate::plant::is(crate::plant::Plant::EqualSkipped) {
        return Ok(());
    }
    if item.acked.is_none() {
        return Ok(());
    }
    let forget = match part {
        PART_CONSENTS => "UPDATE consent SET acked = NULL WHERE id = ?1",
        _ => {
            "UPDATE record SET acked = NULL
             WHERE (kind, source_id) = (SELECT kind, source_id FROM document WHERE id = ?1)"
        }
    };
    c.prepare_cached(forget)?.execute([item.id])?;
    Ok(())
}

/// As `put_item`, for the many of a body.
fn put_items(c: &Connection, flight: i64, kind: Kind, items: &[Item]) -> Result<()> {
    let mut insert = c.prepare_cached(
        "INSERT INTO flight_item (flight, id, seq, fingerprint, acked) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    for item in items {
        debug_assert_ne!(item.fingerprint, GONE);
        insert.execute(params![
            flight,
            item.id,
            item.seq,
            item.fingerprint,
            item.acked
        ])?;
    }
    c.prepare_cached(
        "UPDATE pending SET flight = ?1 WHERE kind = ?2 AND part = 0
           AND id IN (SELECT id FROM flight_item WHERE flight = ?1)",
    )?
    .execute(params![flight, kind.code()])?;
    #[cfg(test)]
    if crate::plant::is(crate::plant::Plant::EqualSkipped) {
        return Ok(());
    }
    if items.iter().all(|item| item.acked.is_none()) {
        return Ok(());
    }
    c.prepare_cached(
        "UPDATE record SET acked = NULL WHERE (kind, source_id) IN (
           SELECT d.kind, d.source_id FROM flight_item i JOIN document d ON d.id = i.id
           WHERE i.flight = ?1 AND i.acked IS NOT NULL)",
    )?
    .execute([flight])?;
    Ok(())
}

/// Commits one flight of many: `take` is offered the records that are due, one after another, until
/// it is full. `body`: of one half of a refused body alone; `change`: of those alone that differ by this
/// change of metadata. `None`: nothing was taken.
pub fn commit_body(
    c: &Connection,
    look: &Look,
    (kind, channel): (Kind, Channel),
    (body, change): (Option<i64>, Option<&str>),
    endpoint: Endpoint,
    take: &mut dyn FnMut(&Candidate) -> Taken,
) -> Result<Option<TookOff>> {
    let mut items: Vec<Item> = Vec::new();
    let mut too_large: Vec<Candidate> = Vec::new();
    let mut without_customer: Vec<Candidate> = Vec::new();
    let mut attempts = 0;
    let mut walk = Walk::new(c, look)?;
    walk.each(c, kind, false, body, &mut |candidate| {
        let fits = candidate.body == body
            && goes_whole(&candidate)
            && (channel == Channel::Import) == candidate.history
            && (channel == Channel::Csv) == candidate.by_csv
            && match change {
                Some(_) => shared::metadata_change_of(c, &candidate)?.as_deref() == change,
                None => true,
            };
        if !fits {
            return Ok(Step::On);
        }
        match take(&candidate) {
            Taken::Full => return Ok(Step::Stop),
            Taken::TooLarge => too_large.push(candidate),
            Taken::Yes => {
                attempts = attempts.max(candidate.attempts);
                items.push(Item::of(&candidate));
                if let Readiness::WithoutCustomer { again: true } = candidate.readiness {
                    without_customer.push(candidate);
                }
            }
        }
        Ok(Step::On)
    })?;
    for candidate in &too_large {
        park::before_flight(c, candidate, &park::too_large(), look.now)?;
    }
    if items.is_empty() {
        // A half of which nothing is left that goes so: its records are as any other.
        c.prepare_cached(
            "UPDATE pending SET body = NULL WHERE kind = ?1 AND part = 0 AND body = ?2",
        )?
        .execute(params![kind.code(), body])?;
        return Ok(None);
    }
    let name = match channel {
        Channel::Import => channels::IMPORT,
        Channel::Csv => channels::CSV,
        Channel::Metadata => channels::METADATA,
        Channel::Bulk | Channel::Single => channels::BULK,
    };
    let flight = open(c, kind, PART_RECORD, name, look.now)?;
    put_items(c, flight, kind, &items)?;
    for candidate in &without_customer {
        park::wait_for_customer(c, candidate)?;
    }
    let request = begin_request(
        c,
        NewRequest {
            flight: Some(flight),
            endpoint,
            records: items.len() as u64,
            at: look.now,
        },
    )?;
    Ok(Some(TookOff {
        begun: Begun { flight, request },
        records: items.len(),
        attempts,
    }))
}
