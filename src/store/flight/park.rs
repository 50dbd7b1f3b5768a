//! Parked records and those that wait for their parent; `retry` and `discard`.

use std::collections::HashSet;

use rusqlite::{Connection, OptionalExtension, params};

use super::candidate::{Candidate, broken_off, kind_of, logged_surely, parent, product_of_gone};
use crate::kind::Kind;
use crate::plan::Parent;
use crate::record::{Fingerprint, Op};
use crate::store::Result;
use crate::store::edit::{self, PART_CONSENTS, PART_RECORD, Shapes, Source, Target};
use crate::store::lookup;
use crate::store::skus::{self, By};
use crate::verdict::Refusal;

pub(super) fn product_unknown() -> Refusal {
    Refusal {
        code: "product_unknown".into(),
        message:
            "its product is parked or deleted here; it goes out by itself when the product is there"
                .into(),
        request_id: None,
    }
}

pub(super) fn too_large() -> Refusal {
    Refusal {
        code: "query_too_large".into(),
        message: "the record alone is larger than a request may be".into(),
        request_id: None,
    }
}

pub(super) fn put(
    c: &Connection,
    (kind, part, id): (Kind, i64, i64),
    fingerprint: &Fingerprint,
    refusal: &Refusal,
    now: i64,
) -> Result<()> {
    c.prepare_cached(
        "INSERT OR REPLACE INTO parked (kind, part, id, since, fingerprint, code, message, request_id)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?
    .execute(params![
        kind.code(),
        part,
        id,
        now,
        fingerprint,
        refusal.code,
        refusal.message,
        refusal.request_id
    ])?;
    c.prepare_cached("DELETE FROM pending WHERE kind = ?1 AND part = ?2 AND id = ?3")?
        .execute(params![kind.code(), part, id])?;
    Ok(())
}

/// A record that cannot even be sent.
pub(super) fn before_flight(
    c: &Connection,
    candidate: &Candidate,
    refusal: &Refusal,
    now: i64,
) -> Result<()> {
    let part = if candidate.consents {
        PART_CONSENTS
    } else {
        PART_RECORD
    };
    let place = (candidate.kind, part, candidate.id);
    put(c, place, &candidate.fingerprint, refusal, now)?;
    if candidate.kind == Kind::Skus && refusal.code == product_unknown().code {
        wait_for_product(c, candidate.id)?;
    }
    Ok(())
}

/// A SKU takes up by itself when its product comes.
pub(super) fn wait_for_product(c: &Connection, id: i64) -> Result<()> {
    let content = Shapes::default().content(c, id)?;
    match content.text("product") {
        Some(product) => wait(c, Kind::Products, &product, Kind::Skus, id),
        None => Ok(()),
    }
}

/// An order that goes without its parked customer goes again when the customer is there.
pub(super) fn wait_for_customer(c: &Connection, candidate: &Candidate) -> Result<()> {
    match candidate.content.text("customer.source_id") {
        Some(customer) => wait(c, Kind::Customers, &customer, Kind::Orders, candidate.id),
        None => Ok(()),
    }
}

/// An order that the remote has, as far as was seen, while its customer is parked: it may have gone
/// without it.
pub(in crate::store) fn wait_for_parked_customer(c: &Connection, order: i64) -> Result<()> {
    let content = Shapes::default().content(c, order)?;
    match content.text("customer.source_id") {
        Some(customer) if parent(c, Kind::Customers, &customer)?.0 == Parent::Parked => {
            wait(c, Kind::Customers, &customer, Kind::Orders, order)
        }
        _ => Ok(()),
    }
}

/// Sets free what waits for a parent that is there by now, without a flight having told it.
pub(in crate::store) fn free_of_present(c: &Connection, now: i64) -> Result<()> {
    let mut statement = c.prepare("SELECT parent_kind, parent, kind, id FROM waiting")?;
    let waiting: Vec<(i64, String, i64, i64)> = statement
        .query_map([], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })?
        .collect::<rusqlite::Result<_>>()?;
    for (parent_kind, key, kind, id) in waiting {
        if parent(c, kind_of(parent_kind)?, &key)?.0 == Parent::There {
            set_free(c, (parent_kind, &key), (kind, id), now)?;
        }
    }
    Ok(())
}

/// It goes (again), now that its parent is there.
fn set_free(
    c: &Connection,
    (parent_kind, parent): (i64, &str),
    (kind, id): (i64, i64),
    now: i64,
) -> Result<()> {
    c.prepare_cached(
        "DELETE FROM waiting WHERE parent_kind = ?1 AND parent = ?2 AND kind = ?3 AND id = ?4",
    )?
    .execute(params![parent_kind, parent, kind, id])?;
    match is_gone(c, id)? {
        true => Ok(()),
        false => requeue(c, kind, PART_RECORD, id, now),
    }
}

fn wait(c: &Connection, parent_kind: Kind, parent: &str, kind: Kind, id: i64) -> Result<()> {
    c.prepare_cached(
        "INSERT OR IGNORE INTO waiting (parent_kind, parent, kind, id) VALUES (?1, ?2, ?3, ?4)",
    )?
    .execute(params![parent_kind.code(), parent, kind.code(), id])?;
    Ok(())
}

/// What a flight's items without an outcome, now acknowledged, set free: themselves, if they were
/// parked before, and those that waited for them.
pub(super) fn free(
    c: &Connection,
    flight: i64,
    kind: Kind,
    deletion: bool,
    now: i64,
) -> Result<()> {
    let any =
        |sql: &str| -> Result<bool> { Ok(c.prepare_cached(sql)?.query_row([], |row| row.get(0))?) };
    if any("SELECT EXISTS(SELECT 1 FROM parked)")? {
        c.prepare_cached(
            "DELETE FROM parked WHERE kind = ?2 AND part = 0 AND id IN (
               SELECT i.id FROM flight_item i WHERE i.flight = ?1 AND i.outcome IS NULL)",
        )?
        .execute(params![flight, kind.code()])?;
    }
    if deletion && kind == Kind::Products {
        let mut statement = c.prepare_cached(
            "SELECT d.source_id FROM flight_item i JOIN document d ON d.id = i.id
             WHERE i.flight = ?1 AND i.outcome IS NULL",
        )?;
        let deleted: Vec<String> = statement
            .query_map([flight], |row| row.get(0))?
            .collect::<rusqlite::Result<_>>()?;
        for product in deleted {
            skus_went(c, &product, now)?;
            gone_skus_went(c, &product)?;
        }
    }
    if deletion || !any("SELECT EXISTS(SELECT 1 FROM waiting)")? {
        return Ok(());
    }
    let mut statement = c.prepare_cached(
        "SELECT w.kind, w.id, w.parent FROM flight_item i JOIN document d ON d.id = i.id
           JOIN waiting w ON w.parent_kind = d.kind AND w.parent = d.source_id
         WHERE i.flight = ?1 AND i.outcome IS NULL",
    )?;
    let freed: Vec<(i64, i64, String)> = statement
        .query_map([flight], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect::<rusqlite::Result<_>>()?;
    for (child, id, parent) in freed {
        set_free(c, (kind.code(), &parent), (child, id), now)?;
    }
    Ok(())
}

/// What is deleted here has nothing more to tell once its parent comes.
fn is_gone(c: &Connection, id: i64) -> Result<bool> {
    Ok(c.prepare_cached(
        "SELECT EXISTS(SELECT 1 FROM document d JOIN record r ON r.kind = d.kind AND r.source_id = d.source_id
         WHERE d.id = ?1 AND r.gone)",
    )?
    .query_row([id], |row| row.get(0))?)
}

/// Into the queue, whatever was acknowledged: an order that went without its customer is sent again.
fn requeue(c: &Connection, kind: i64, part: i64, id: i64, now: i64) -> Result<()> {
    c.prepare_cached("DELETE FROM parked WHERE kind = ?1 AND part = ?2 AND id = ?3")?
        .execute(params![kind, part, id])?;
    if part == PART_RECORD {
        c.prepare_cached(
            "UPDATE record SET acked = NULL
             WHERE (kind, source_id) = (SELECT kind, source_id FROM document WHERE id = ?1)",
        )?
        .execute([id])?;
    }
    c.prepare_cached(
        "INSERT OR IGNORE INTO pending (kind, part, id, file, since) VALUES (?1, ?2, ?3, 0, ?4)",
    )?
    .execute(params![kind, part, id, now])?;
    Ok(())
}

/// A product that the store took for acknowledged is not at the remote: it goes again, and after it
/// its SKUs, which went with it.
pub fn product_missing(c: &Connection, key: &str, now: i64) -> Result<()> {
    let Some(product) = edit::stored(c, Kind::Products, key)? else {
        return Ok(());
    };
    requeue(c, Kind::Products.code(), PART_RECORD, product.id, now)?;
    skus_went(c, key, now)
}

/// The SKUs of a product went with it at the remote: those that stand here are to be made again, as
/// soon as the product is there.
pub(super) fn skus_went(c: &Connection, product: &str, now: i64) -> Result<()> {
    let mut shapes = Shapes::default();
    let mut skus = Vec::new();
    for id in lookup::skus_of(c, product)? {
        if let Some((false, seq, acked_seq)) = sku(c, id)?
            && shapes.content(c, id)?.text("product").as_deref() == Some(product)
        {
            skus.push((id, seq, acked_seq));
        }
    }
    for (id, seq, acked_seq) in skus {
        // A deletion of its own was done with the product's.
        if let Some((deleted, _)) = broken_off(c, Kind::Skus, id, seq, acked_seq.unwrap_or(0))?
            && !is_unknown(c, id)?
        {
            c.prepare_cached(
                "UPDATE record SET acked_seq = ?2
                 WHERE (kind, source_id) = (SELECT kind, source_id FROM document WHERE id = ?1)",
            )?
            .execute([id, deleted])?;
        }
        requeue(c, Kind::Skus.code(), PART_RECORD, id, now)?;
    }
    Ok(())
}

/// Of a SKU: whether it is deleted here, its newest change, and the one that the remote acknowledged last.
fn sku(c: &Connection, id: i64) -> Result<Option<(bool, i64, Option<i64>)>> {
    let mut statement = c.prepare_cached(
        "SELECT r.gone, r.seq, r.acked_seq FROM document d
           JOIN record r ON r.kind = d.kind AND r.source_id = d.source_id WHERE d.id = ?1",
    )?;
    let found = statement.query_row([id], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)));
    Ok(found.optional()?)
}

/// Whether an unanswered call may still bring it to the remote.
fn is_unknown(c: &Connection, id: i64) -> Result<bool> {
    Ok(c.prepare_cached(
        "SELECT EXISTS(SELECT 1 FROM flight f JOIN flight_item i ON i.flight = f.id
         WHERE f.state = 'unknown' AND i.id = ?1)",
    )?
    .query_row([id], |row| row.get(0))?)
}

/// The same of those that are deleted here: nothing of them is left to tell. One that an unanswered call
/// may still bring to the remote is told all the same, in time.
fn gone_skus_went(c: &Connection, product: &str) -> Result<()> {
    let mut waits = c.prepare_cached(
        "SELECT EXISTS(SELECT 1 FROM pending
           WHERE kind = ?1 AND part = 0 AND id = ?2 AND flight IS NULL)",
    )?;
    let mut skus = Vec::new();
    for id in lookup::skus_of(c, product)? {
        if let Some((true, seq, acked_seq)) = sku(c, id)?
            && waits.query_row([Kind::Skus.code(), id], |row| row.get(0))?
            && product_of_gone(c, id, seq, acked_seq)?.as_deref() == Some(product)
        {
            skus.push(id);
        }
    }
    for id in skus {
        if is_unknown(c, id)? {
            continue;
        }
        c.prepare_cached(
            "UPDATE record SET acked = fingerprint, acked_seq = seq
             WHERE (kind, source_id) = (SELECT kind, source_id FROM document WHERE id = ?1)",
        )?
        .execute([id])?;
        for statement in [
            "UPDATE document SET remote_id = NULL WHERE id = ?1",
            "DELETE FROM pending WHERE kind = 2 AND part = 0 AND id = ?1",
            "DELETE FROM parked WHERE kind = 2 AND part = 0 AND id = ?1",
        ] {
            c.prepare_cached(statement)?.execute([id])?;
        }
    }
    Ok(())
}

/// Which parked records a command means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    All,
    Kind(Kind),
    Key(Kind, String),
}

/// A parked record's places.
struct Parts {
    kind: Kind,
    part: i64,
    id: i64,
    key: String,
}

fn selected(c: &Connection, selection: &Selection) -> Result<Vec<Parts>> {
    let (kind, key) = match selection {
        Selection::All => (None, None),
        Selection::Kind(kind) => (Some(kind.code()), None),
        Selection::Key(kind, key) => (Some(kind.code()), Some(key)),
    };
    let mut statement = c.prepare_cached(
        "SELECT p.kind, p.part, p.id, d.source_id FROM parked p JOIN document d ON d.id = p.id
         WHERE (?1 IS NULL OR p.kind = ?1) AND (?2 IS NULL OR d.source_id = ?2) ORDER BY p.kind, p.id, p.part",
    )?;
    let mut rows = statement.query(params![kind, key])?;
    let mut parts = Vec::new();
    while let Some(row) = rows.next()? {
        parts.push(Parts {
            kind: super::candidate::kind_of(row.get(0)?)?,
            part: row.get(1)?,
            id: row.get(2)?,
            key: row.get(3)?,
        });
    }
    Ok(parts)
}

/// Puts parked records back in the queue. Returns how many.
pub fn retry(c: &Connection, selection: &Selection, now: i64) -> Result<u64> {
    let parts = selected(c, selection)?;
    for Parts { kind, part, id, .. } in &parts {
        c.prepare_cached("DELETE FROM parked WHERE kind = ?1 AND part = ?2 AND id = ?3")?
            .execute(params![kind.code(), part, id])?;
        c.prepare_cached(
            "INSERT INTO pending (kind, part, id, file, since) VALUES (?1, ?2, ?3, 0, ?4)
             ON CONFLICT DO UPDATE SET next_try = 0, odd = 0",
        )?
        .execute(params![kind.code(), part, id, now])?;
    }
    Ok(parts.len() as u64)
}

/// What `discard` did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Discarded {
    /// Set back to what the remote acknowledged.
    pub set_back: u64,
    /// Deleted here: the remote never acknowledged them, or they are SKUs of such a product.
    pub deleted: u64,
}

/// Sets parked records back to what the remote acknowledged, as changes; one that it never
/// acknowledged is deleted here. With `dry_run` only counted.
pub fn discard(
    c: &Connection,
    selection: &Selection,
    dry_run: bool,
    now: i64,
) -> Result<Discarded> {
    let mut discarded = Discarded::default();
    let mut shapes = Shapes::default();
    let first_seq = edit::next_seq(c)?;
    let (mut products, mut skus) = (HashSet::new(), HashSet::new());
    for parts in selected(c, selection)? {
        if parts.part == PART_CONSENTS {
            discarded.set_back += 1;
            if !dry_run {
                discard_consents(c, &parts)?;
            }
            continue;
        }
        let acked_seq: Option<i64> = c
            .prepare_cached("SELECT acked_seq FROM record WHERE kind = ?1 AND source_id = ?2")?
            .query_row(params![parts.kind.code(), parts.key], |row| row.get(0))
            .optional()?
            .flatten();
        match acked_seq {
            Some(_) => discarded.set_back += 1,
            None => {
                discarded.deleted += 1;
                match parts.kind {
                    Kind::Products => drop(products.insert(parts.key.clone())),
                    Kind::Skus => drop(skus.insert(parts.key.clone())),
                    Kind::Customers | Kind::Orders => {}
                }
            }
        }
        if !dry_run {
            discard_record(c, &mut shapes, &parts, acked_seq, now)?;
        }
    }
    if !products.is_empty() {
        discarded.deleted += match dry_run {
            true => {
                let is_one = &mut |product: &str| products.contains(product);
                let is_counted = &mut |sku: &str| skus.contains(sku);
                skus::count_of(c, is_one, is_counted)?
            }
            false => skus::delete_along(c, By::Command { first_seq }, now)?,
        };
    }
    Ok(discarded)
}

/// What the remote holds of a person's consents is not known field by field: the refused ones are
/// not sent again, and no more is said of them.
fn discard_consents(c: &Connection, parts: &Parts) -> Result<()> {
    c.prepare_cached("UPDATE consent SET acked = fingerprint WHERE id = ?1")?
        .execute([parts.id])?;
    c.prepare_cached("DELETE FROM parked WHERE kind = ?1 AND part = ?2 AND id = ?3")?
        .execute(params![parts.kind.code(), parts.part, parts.id])?;
    Ok(())
}

fn discard_record(
    c: &Connection,
    shapes: &mut Shapes,
    parts: &Parts,
    acked_seq: Option<i64>,
    now: i64,
) -> Result<()> {
    let Some(stored) = edit::stored(c, parts.kind, &parts.key)? else {
        return Ok(());
    };
    let old = shapes.content(c, parts.id)?;
    let mut new = old.clone();
    let mut seq = stored.seq;
    let mut gone = stored.gone;
    while let Some(acked_seq) = acked_seq.filter(|acked| seq > *acked && seq != parts.id) {
        debug_assert!(seq > acked_seq);
        let change = logged_surely(c, seq)?;
        change.patch()?.revert(&mut new);
        match change.op {
            Some(Op::Deleted) => gone = false,
            Some(Op::Created) => gone = true,
            _ => {}
        }
        seq = change.prev;
    }
    let target = Target {
        kind: parts.kind,
        key: &parts.key,
        stored: &stored,
    };
    c.prepare_cached("DELETE FROM parked WHERE kind = ?1 AND part = ?2 AND id = ?3")?
        .execute(params![parts.kind.code(), parts.part, parts.id])?;
    let kept = (acked_seq.is_some() && !gone).then_some(&new);
    if kept == Some(&old) && !stored.gone {
        // It is as the remote acknowledged it; only to be sure it is told once more.
        return requeue(c, parts.kind.code(), PART_RECORD, parts.id, now);
    }
    if kept.is_none() && stored.gone {
        return Ok(());
    }
    let next = edit::next_seq(c)?;
    edit::change(c, shapes, target, &old, kept, Source::command(now), next)?;
    Ok(())
}
