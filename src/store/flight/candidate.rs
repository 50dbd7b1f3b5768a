//! One record that may go: what is stored of it, and of the parents that it names.

use std::collections::HashSet;

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::Look;
use crate::kind::Kind;
use crate::plan::{Parent, Parents, Readiness, readiness};
use crate::record::{Content, Fingerprint, GONE, Item, Op, Patch};
use crate::store::edit::{self, PART_CONSENTS, PART_RECORD, Shapes};
use crate::store::files::damaged;
use crate::store::{Result, files};
use crate::wire::sku_row;

/// A record that is due, as it is now.
#[derive(Clone, Debug)]
pub struct Candidate {
    pub kind: Kind,
    /// Its consents alone.
    pub consents: bool,
    pub id: i64,
    pub key: String,
    /// The change that a flight would carry, and the fingerprint that it would acknowledge.
    pub seq: i64,
    pub fingerprint: Fingerprint,
    pub acked: Option<Fingerprint>,
    pub acked_seq: Option<i64>,
    pub content: Content,
    /// The API's own id.
    pub remote_id: Option<String>,
    pub readiness: Readiness,
    /// A SKU's product, where it stands now.
    pub product: Option<Named>,
    /// It has to be deleted at the remote: for good, or before it is made again.
    pub delete: Option<Delete>,
    /// An order of a history folder.
    pub history: bool,
    pub attempts: u32,
    pub odd: u32,
    /// Bytes of the file's row lie in a body's half with this number.
    pub body: Option<i64>,
    /// An earlier bulk body that carried it has an unknown outcome.
    pub bound: bool,
    /// A new SKU that the columns of a CSV carry whole, that no attempt carried, and that the remote
    /// does not have as far as is known.
    pub by_csv: bool,
}

/// A deletion at the remote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delete {
    /// A SKU's product, where the remote has it.
    pub product: Option<Named>,
    /// It stands here, and is made again afterwards.
    pub first: bool,
}

/// A record that is named, with the API's own id where it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    pub key: String,
    pub remote_id: Option<String>,
    /// As far as the store knows, the remote has it.
    pub there: bool,
}

/// Flights whose outcome is unknown.
pub(super) struct Unknown {
    flights: Vec<UnknownFlight>,
}

struct UnknownFlight {
    id: i64,
    kind: i64,
    part: i64,
    quiet: i64,
    of_many: bool,
}

impl Unknown {
    pub fn read(c: &Connection) -> Result<Unknown> {
        let mut statement = c.prepare_cached(
            "SELECT id, kind, part, quiet, channel FROM flight WHERE state = 'unknown'",
        )?;
        let flights = statement
            .query_map([], |row| {
                let channel: String = row.get(4)?;
                Ok(UnknownFlight {
                    id: row.get(0)?,
                    kind: row.get(1)?,
                    part: row.get(2)?,
                    quiet: row.get(3)?,
                    of_many: [
                        super::channel::BULK,
                        super::channel::IMPORT,
                        super::channel::METADATA,
                    ]
                    .contains(&channel.as_str()),
                })
            })?
            .collect::<rusqlite::Result<_>>()?;
        Ok(Unknown { flights })
    }

    /// Whether a bulk body of the kind may still be worked off.
    pub fn binds(&self, kind: Kind) -> bool {
        let code = kind.code();
        self.flights.iter().any(|f| f.of_many && f.kind == code)
    }

    /// Until when other content of a record has to wait, whether it is bound to bulk, and whether it
    /// waits for the remote's line of jobs: a deletion has no call that stands in that line, so behind a
    /// body whose outcome is unknown it goes only when the line is known to be worked off.
    fn of(
        &self,
        c: &Connection,
        part: i64,
        candidate: &Candidate,
        now: i64,
    ) -> Result<(Option<i64>, bool, bool)> {
        let Candidate { kind, id, .. } = *candidate;
        let (mut until, mut bound, mut line) = (None, false, false);
        for flight in &self.flights {
            if flight.kind != kind.code() || flight.part != part {
                continue;
            }
            let carried: Option<Fingerprint> = c
                .prepare_cached(
                    "SELECT fingerprint FROM flight_item WHERE flight = ?1 AND id = ?2",
                )?
                .query_row(params![flight.id, id], |row| row.get(0))
                .optional()?;
            let Some(carried) = carried else { continue };
            bound |= flight.of_many;
            if carried != candidate.fingerprint && flight.quiet > now {
                until = until.max(Some(flight.quiet));
            }
            line |= flight.of_many && candidate.delete.is_some();
        }
        Ok((until, bound, line && until.is_none()))
    }
}

/// What is looked at, and goes on.
pub(super) struct Walk<'a> {
    pub look: &'a Look,
    pub unknown: Unknown,
    history: HashSet<i64>,
    shapes: Shapes,
    /// The parents that records in flight name, once somebody asked for them.
    named_in_flight: Option<HashSet<String>>,
    /// When the next of those that were passed over may go.
    pub next: Option<i64>,
    /// One of them waits for the remote's line of jobs.
    pub line: bool,
    /// So many of those that are to be made or changed wait for a parent.
    pub held: usize,
}

pub(super) enum Step {
    On,
    Stop,
}

const DUE: &str = "
    SELECT p.id, p.attempts, p.odd, p.body, d.source_id, d.shape, d.vals, d.remote_id,
           r.seq, r.folder, r.gone, r.fingerprint, r.acked, r.acked_seq
    FROM pending p CROSS JOIN document d ON d.id = p.id
      CROSS JOIN record r ON r.kind = p.kind AND r.source_id = d.source_id
    WHERE p.kind = ?1 AND p.part = ?2 AND p.flight IS NULL AND p.next_try <= ?3
      AND (?4 IS NULL OR p.body = ?4)
      AND p.file NOT IN (SELECT id FROM file WHERE state = 'reading')
    ORDER BY p.id";

/// With records that a job carries.
#[cfg(test)]
fn planted(due: &str) -> String {
    match crate::plant::is(crate::plant::Plant::SingleOvertakes) {
        true => due.replace(
            "p.flight IS NULL",
            "(p.flight IS NULL OR EXISTS (SELECT 1 FROM flight f JOIN flight_item i ON i.flight = f.id
               WHERE f.id = p.flight AND i.id = p.id AND f.state = 'job' AND i.fingerprint <> r.fingerprint))",
        ),
        false => due.to_owned(),
    }
}

impl<'a> Walk<'a> {
    pub fn new(c: &Connection, look: &'a Look) -> Result<Walk<'a>> {
        let mut statement = c.prepare_cached("SELECT id, name FROM folder")?;
        let mut rows = statement.query([])?;
        let mut history = HashSet::new();
        while let Some(row) = rows.next()? {
            if look.history.contains(&row.get::<_, String>(1)?) {
                history.insert(row.get(0)?);
            }
        }
        Ok(Walk {
            look,
            unknown: Unknown::read(c)?,
            history,
            shapes: Shapes::default(),
            named_in_flight: None,
            next: None,
            line: false,
            held: 0,
        })
    }

    /// Calls `each` for the records that are due, in the order of their arrival; those that wait for
    /// a parent or for a quiet time are passed over. `body`: of one half alone.
    pub fn each(
        &mut self,
        c: &Connection,
        kind: Kind,
        consents: bool,
        body: Option<i64>,
        each: &mut dyn FnMut(Candidate) -> Result<Step>,
    ) -> Result<()> {
        let part = if consents { PART_CONSENTS } else { PART_RECORD };
        #[cfg(not(test))]
        let due = DUE;
        #[cfg(test)]
        let due = &planted(DUE);
        let mut statement = c.prepare_cached(due)?;
        let mut rows = statement.query(params![kind.code(), part, self.look.now, body])?;
        while let Some(row) = rows.next()? {
            let Some(candidate) = self.candidate(c, kind, consents, row)? else {
                continue;
            };
            if let Step::Stop = each(candidate)? {
                break;
            }
        }
        Ok(())
    }

    fn candidate(
        &mut self,
        c: &Connection,
        kind: Kind,
        consents: bool,
        row: &Row<'_>,
    ) -> Result<Option<Candidate>> {
        let content = self.shapes.content_of(c, row, 5)?;
        let folder: i64 = row.get(9)?;
        let gone: bool = row.get(10)?;
        let mut candidate = Candidate {
            kind,
            consents,
            id: row.get(0)?,
            attempts: row.get(1)?,
            odd: row.get(2)?,
            body: row.get(3)?,
            key: row.get(4)?,
            remote_id: row.get(7)?,
            seq: row.get(8)?,
            fingerprint: row.get(11)?,
            acked: row.get(12)?,
            acked_seq: row.get(13)?,
            content,
            readiness: Readiness::Go,
            product: None,
            delete: None,
            history: kind == Kind::Orders && self.history.contains(&folder),
            bound: false,
            by_csv: false,
        };
        #[cfg(test)]
        if crate::plant::is(crate::plant::Plant::OlderBody) && candidate.attempts > 0 {
            older(c, &mut candidate)?;
        }
        if consents {
            if !self.consents(c, &mut candidate)? {
                return Ok(None);
            }
        } else {
            self.parents(c, &mut candidate, gone)?;
            self.deletion(c, &mut candidate, gone)?;
        }
        let part = if consents { PART_CONSENTS } else { PART_RECORD };
        let (quiet, bound, line) = self.unknown.of(c, part, &candidate, self.look.now)?;
        candidate.bound = bound;
        candidate.by_csv =
            kind == Kind::Skus && candidate.acked_seq.is_none() && self.by_csv(c, &candidate)?;
        if let Some(quiet) = quiet {
            self.next = Some(self.next.map_or(quiet, |next| next.min(quiet)));
            return Ok(None);
        }
        if line {
            self.line = true;
            return Ok(None);
        }
        if candidate.readiness == Readiness::Wait {
            self.held += usize::from(candidate.delete.is_none());
            return Ok(None);
        }
        Ok(Some(candidate))
    }

    fn by_csv(&self, c: &Connection, candidate: &Candidate) -> Result<bool> {
        let is_new = candidate.delete.is_none()
            && candidate.readiness == Readiness::Go
            && candidate.attempts == 0
            && candidate.body.is_none()
            && candidate.remote_id.is_none();
        let there = self.look.skus.as_ref();
        Ok(is_new
            && there.is_none_or(|keys| !keys.contains(&candidate.key))
            && sku_row(&candidate.key, &candidate.content).is_some()
            && !edit::ever_sent(c, candidate.id)?)
    }

    /// Consents go after their customer is there. `false`: not now.
    fn consents(&self, c: &Connection, candidate: &mut Candidate) -> Result<bool> {
        let known: Option<(Fingerprint, Option<Fingerprint>)> = c
            .prepare_cached("SELECT fingerprint, acked FROM consent WHERE id = ?1")?
            .query_row([candidate.id], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let Some((fingerprint, acked)) = known else {
            candidate.readiness = Readiness::Done;
            return Ok(true);
        };
        candidate.fingerprint = fingerprint;
        candidate.acked = acked;
        Ok(parent(c, candidate.kind, &candidate.key)?.0 == Parent::There)
    }

    fn parents(&self, c: &Connection, candidate: &mut Candidate, gone: bool) -> Result<()> {
        let mut parents = Parents::default();
        match candidate.kind {
            Kind::Products | Kind::Customers => return Ok(()),
            Kind::Skus => {
                let key = match gone {
                    true => product_of_gone(c, candidate.id, candidate.seq, candidate.acked_seq)?,
                    false => candidate.content.text("product"),
                };
                if let Some(key) = key {
                    let (mut state, remote_id) = parent(c, Kind::Products, &key)?;
                    if gone && state == Parent::Gone && !took_its_skus(c, &key)? {
                        state = Parent::Unknown;
                    }
                    parents.product = Some(state);
                    candidate.product = Some(Named {
                        key,
                        remote_id,
                        there: state == Parent::There,
                    });
                }
            }
            Kind::Orders if gone => {}
            Kind::Orders => {
                if let Some(key) = candidate.content.text("customer.source_id") {
                    parents.customer = Some(parent(c, Kind::Customers, &key)?.0);
                }
                parents.item_on_its_way = item_on_its_way(c, &candidate.content)?;
            }
        }
        candidate.readiness = readiness(candidate.kind, gone, parents);
        Ok(())
    }

    /// Whether the remote has to delete it, for good or before it is made again.
    fn deletion(&mut self, c: &Connection, candidate: &mut Candidate, gone: bool) -> Result<()> {
        if gone {
            candidate.delete = Some(Delete {
                product: candidate.product.clone(),
                first: false,
            });
            if self.child_in_flight(c, candidate.kind, &candidate.key)? {
                candidate.readiness = Readiness::Wait;
            }
            return Ok(());
        }
        // An order cannot be deleted at the remote; a new record was never deleted.
        if candidate.kind == Kind::Orders || candidate.seq == candidate.id {
            return Ok(());
        }
        let acked_seq = candidate.acked_seq;
        let (id, newest) = (candidate.id, candidate.seq);
        let ended = broken_off(c, candidate.kind, id, newest, acked_seq.unwrap_or(0))?;
        let Some((seq, product)) = ended else {
            return Ok(());
        };
        // What was never there before its deletion is just made.
        if acked_seq.is_none() && !edit::sent_before(c, candidate.id, seq)? {
            return Ok(());
        }
        let product = match product {
            Some(key) => {
                let (state, remote_id) = parent(c, Kind::Products, &key)?;
                // The old product took it along, or is about to.
                if state == Parent::Gone && took_its_skus(c, &key)? {
                    return Ok(());
                }
                if state == Parent::OnItsWay && is_gone(c, Kind::Products, &key)? {
                    candidate.readiness = Readiness::Wait;
                    return Ok(());
                }
                Some(Named {
                    key,
                    remote_id,
                    there: state == Parent::There,
                })
            }
            None => None,
        };
        candidate.seq = seq;
        candidate.fingerprint = GONE;
        candidate.delete = Some(Delete {
            product,
            first: true,
        });
        candidate.readiness = match self.child_in_flight(c, candidate.kind, &candidate.key)? {
            true => Readiness::Wait,
            false => Readiness::Go,
        };
        Ok(())
    }

    /// Whether a record is in flight that names this one: the remote may work off the two in any order,
    /// and a call that names what was just deleted makes it anew, or is lost with it. All are read at the
    /// first question: thousands of deletions ask.
    fn child_in_flight(&mut self, c: &Connection, kind: Kind, key: &str) -> Result<bool> {
        let (child, field) = match kind {
            Kind::Products => (Kind::Skus, "product"),
            Kind::Customers => (Kind::Orders, "customer.source_id"),
            Kind::Skus | Kind::Orders => return Ok(false),
        };
        let named = match self.named_in_flight.take() {
            Some(named) => named,
            None => named_in_flight(c, &mut self.shapes, child, field)?,
        };
        let is_named = named.contains(key);
        self.named_in_flight = Some(named);
        Ok(is_named)
    }
}

/// What the records of a kind that are in flight name in this field.
fn named_in_flight(
    c: &Connection,
    shapes: &mut Shapes,
    kind: Kind,
    field: &str,
) -> Result<HashSet<String>> {
    let mut statement = c.prepare_cached(
        "SELECT d.id, d.shape, d.vals, r.gone, r.seq, r.acked_seq
         FROM pending p CROSS JOIN document d ON d.id = p.id
           CROSS JOIN record r ON r.kind = p.kind AND r.source_id = d.source_id
         WHERE p.kind = ?1 AND p.part = 0 AND p.flight IS NOT NULL",
    )?;
    let mut rows = statement.query([kind.code()])?;
    let mut named = HashSet::new();
    while let Some(row) = rows.next()? {
        // What was deleted while it flies names nothing any more.
        let name = match (kind, row.get(3)?) {
            (Kind::Skus, true) => product_of_gone(c, row.get(0)?, row.get(4)?, row.get(5)?)?,
            _ => shapes.content_of(c, row, 1)?.text(field),
        };
        named.extend(name);
    }
    Ok(named)
}

/// As it was before its newest change, if that only changed fields.
#[cfg(test)]
fn older(c: &Connection, candidate: &mut Candidate) -> Result<()> {
    if let Some(newest) = logged(c, candidate.seq)?
        && newest.op == Some(Op::Updated)
    {
        newest.patch()?.revert(&mut candidate.content);
    }
    Ok(())
}

/// A change after the creation, as the log has it.
pub(super) struct Logged {
    /// The record's change before this one; its id: the creation.
    pub prev: i64,
    pub op: Option<Op>,
    patch: String,
}

impl Logged {
    pub fn patch(&self) -> Result<Patch> {
        Patch::from_json(&self.patch).ok_or_else(|| damaged("a change's patch"))
    }
}

/// `None`: it is a creation, or the log reaches no further back.
pub(super) fn logged(c: &Connection, seq: i64) -> Result<Option<Logged>> {
    let mut statement = c.prepare_cached("SELECT prev, op, patch FROM change WHERE seq = ?1")?;
    let found = statement.query_row([seq], |row| {
        Ok(Logged {
            prev: row.get(0)?,
            op: Op::from_code(row.get(1)?),
            patch: row.get(2)?,
        })
    });
    Ok(found.optional()?)
}

/// The same of one that has to be there.
pub(super) fn logged_surely(c: &Connection, seq: i64) -> Result<Logged> {
    Ok(logged(c, seq)?.ok_or(rusqlite::Error::QueryReturnedNoRows)?)
}

/// The product where the remote has a SKU that is deleted here, wherever it moved to before. `seq`: its
/// newest change.
pub(in crate::store) fn product_of_gone(
    c: &Connection,
    id: i64,
    seq: i64,
    acked_seq: Option<i64>,
) -> Result<Option<String>> {
    if let Some(acked) = acked_seq
        && let Some((_, Some(product))) = broken_off(c, Kind::Skus, id, seq, acked)?
    {
        return Ok(Some(product));
    }
    last_value(c, id, seq, "product")
}

/// Whether the remote has deleted a product that is deleted here, and its SKUs with it: one that was never
/// sent from here may stand there all the same.
fn took_its_skus(c: &Connection, product: &str) -> Result<bool> {
    let stored = edit::stored(c, Kind::Products, product)?;
    Ok(stored.is_some_and(|product| product.acked == Some(GONE)))
}

fn is_gone(c: &Connection, kind: Kind, key: &str) -> Result<bool> {
    Ok(edit::stored(c, kind, key)?.is_some_and(|stored| stored.gone))
}

/// The newest change since `acked_seq` that ended what the remote has: a deletion, or a SKU's move to
/// another product; with the product where the remote has it.
pub(in crate::store) fn broken_off(
    c: &Connection,
    kind: Kind,
    id: i64,
    mut seq: i64,
    acked_seq: i64,
) -> Result<Option<(i64, Option<String>)>> {
    let mut found = None;
    while seq > acked_seq && seq != id {
        // What was acknowledged before `rebind` may have been thinned.
        let Some(change) = logged(c, seq)? else {
            break;
        };
        let op = change.op.ok_or_else(|| damaged("a change"))?;
        if op == Op::Deleted || kind == Kind::Skus {
            let product = change
                .patch()?
                .fields
                .get("product")
                .and_then(|(from, _)| from.as_deref())
                .and_then(unquote);
            if op == Op::Deleted || (op == Op::Updated && product.is_some()) {
                // The oldest names the product that the remote has; the newest ends the series.
                let (newest, later) = found.unwrap_or((seq, None));
                found = Some((newest, product.or(later)));
            }
        }
        seq = change.prev;
    }
    Ok(found)
}

/// What a field was before the record was deleted.
fn last_value(c: &Connection, id: i64, mut seq: i64, field: &str) -> Result<Option<String>> {
    while seq != id {
        let change = logged_surely(c, seq)?;
        if let Some((Some(from), _)) = change.patch()?.fields.get(field) {
            return Ok(unquote(from));
        }
        seq = change.prev;
    }
    Ok(None)
}

fn unquote(json: &str) -> Option<String> {
    serde_json::from_str(json).ok()
}

/// What is known of a record that another one names, and the API's own id for it.
pub(in crate::store) fn parent(
    c: &Connection,
    kind: Kind,
    key: &str,
) -> Result<(Parent, Option<String>)> {
    let Some(stored) = edit::stored(c, kind, key)? else {
        return Ok((Parent::Unknown, None));
    };
    let waits = |sql: &str| -> Result<bool> {
        Ok(c.prepare_cached(sql)?
            .query_row(params![kind.code(), stored.id], |row| row.get(0))?)
    };
    let state = if waits(
        "SELECT EXISTS(SELECT 1 FROM pending WHERE kind = ?1 AND part = 0 AND id = ?2)",
    )? {
        Parent::OnItsWay
    } else if waits("SELECT EXISTS(SELECT 1 FROM parked WHERE kind = ?1 AND part = 0 AND id = ?2)")?
    {
        // Its deletion, too, may have been refused: then it still is at the remote.
        Parent::Parked
    } else if stored.gone {
        Parent::Gone
    } else {
        Parent::There
    };
    let remote_id = c
        .prepare_cached("SELECT remote_id FROM document WHERE id = ?1")?
        .query_row([stored.id], |row| row.get(0))?;
    Ok((state, remote_id))
}

fn item_on_its_way(c: &Connection, content: &Content) -> Result<bool> {
    let items: Vec<Item> = content
        .get("items")
        .and_then(|items| serde_json::from_str(items).ok())
        .unwrap_or_default();
    for item in items {
        let Some(key) = item.source_id else { continue };
        let kind = match item.kind.as_deref() {
            Some("sku") => Kind::Skus,
            _ => Kind::Products,
        };
        if parent(c, kind, &key)?.0 == Parent::OnItsWay {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A kind by its code.
pub(super) fn kind_of(code: i64) -> Result<Kind> {
    files::kind(code)
}
