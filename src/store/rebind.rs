//! A store that comes to another project, or knows only what a backup knew: what the remote was seen
//! to hold as it is stored here counts as acknowledged, and all else is queued.

use rusqlite::{Connection, params};

use super::flight::park;
use super::{Result, Store, backup, meta};
use crate::audit::Equal;
use crate::kind::Kind;
use crate::record::GONE;

/// What `rebind` did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rebound {
    /// Records that wait to be sent.
    pub queued: u64,
    pub acknowledged: u64,
}

impl Store {
    /// Notes `project` under `name`. `moved`: it is another one than before, which knows nothing of
    /// ours; else only what was acknowledged since a backup is unknown. `equals`: records that the
    /// remote holds as they are, page by page, from behind a record's number on.
    ///
    /// The project is noted last: until then nothing is sent, and a process that dies on the way leaves
    /// a store that is to be rebound as before.
    pub fn rebind(
        &self,
        name: &str,
        project: &str,
        moved: bool,
        equals: &mut dyn FnMut(i64) -> Result<Vec<Equal>>,
        now: i64,
    ) -> Result<Rebound> {
        let (name, project) = (name.to_owned(), project.to_owned());
        self.write_alone(move |c| {
            end_flights(c, now)?;
            if moved {
                forget_remote(c)?;
            }
            queue_all(c, now)
        })?;
        let (mut after, mut acknowledged) = (i64::MIN, 0);
        loop {
            let page = equals(after)?;
            let Some(last) = page.last() else { break };
            after = last.id;
            acknowledged += self.write_alone(move |c| acknowledge(c, &page))?;
        }
        self.write(move |c| {
            park::free_of_present(c, now)?;
            meta::set(c, &name, &project)?;
            meta::clear(c, backup::COPIED)?;
            let queued: i64 =
                c.query_row("SELECT count(*) FROM pending WHERE part = 0", [], |row| {
                    row.get(0)
                })?;
            Ok(Rebound {
                queued: queued as u64,
                acknowledged,
            })
        })
    }
}

/// Those that nothing changed since they were compared.
fn acknowledge(c: &Connection, page: &[Equal]) -> Result<u64> {
    let mut acknowledged = 0;
    for Equal { id, seq, remote_id } in page {
        let kind: Option<i64> = {
            let mut update = c.prepare_cached(
                "UPDATE record SET acked = fingerprint, acked_seq = seq
                 WHERE (kind, source_id) = (SELECT kind, source_id FROM document WHERE id = ?1)
                   AND seq = ?2 AND NOT gone RETURNING kind",
            )?;
            let mut rows = update.query(params![id, seq])?;
            let kind = rows.next()?.map(|row| row.get(0)).transpose()?;
            while rows.next()?.is_some() {}
            kind
        };
        let Some(kind) = kind else { continue };
        acknowledged += 1;
        if kind == Kind::Orders.code() {
            park::wait_for_parked_customer(c, *id)?;
        }
        let remote_id = Some(remote_id).filter(|id| !id.is_empty());
        c.prepare_cached("UPDATE document SET remote_id = ?2 WHERE id = ?1")?
            .execute(params![id, remote_id])?;
        for statement in [
            "DELETE FROM pending WHERE kind = ?1 AND part = 0 AND id = ?2",
            "DELETE FROM parked WHERE kind = ?1 AND part = 0 AND id = ?2",
        ] {
            c.prepare_cached(statement)?.execute(params![kind, id])?;
        }
    }
    Ok(acknowledged)
}

/// Their answers are another project's, or were given long ago.
fn end_flights(c: &Connection, now: i64) -> Result<()> {
    c.execute(
        "UPDATE flight_item SET outcome = 'unknown' WHERE outcome IS NULL
           AND flight IN (SELECT id FROM flight WHERE state <> 'done')",
        [],
    )?;
    c.execute("DELETE FROM job", [])?;
    c.execute(
        "UPDATE flight SET state = 'done', ended = ?1 WHERE state <> 'done'",
        [now],
    )?;
    c.execute(
        "UPDATE pending SET flight = NULL, next_try = 0, body = NULL",
        [],
    )?;
    Ok(())
}

fn forget_remote(c: &Connection) -> Result<()> {
    c.execute(
        "UPDATE document SET remote_id = NULL WHERE remote_id IS NOT NULL",
        [],
    )?;
    c.execute("UPDATE record SET acked_seq = NULL WHERE NOT gone", [])?;
    c.execute("UPDATE record SET acked = ?1 WHERE gone", [GONE])?;
    c.execute("DELETE FROM parked", [])?;
    c.execute(
        "DELETE FROM pending WHERE id IN (SELECT id FROM record WHERE gone)",
        [],
    )?;
    meta::clear(c, "metadata_types")?;
    meta::clear(c, "metadata_types_at")
}

fn queue_all(c: &Connection, now: i64) -> Result<()> {
    c.execute("UPDATE record SET acked = NULL WHERE NOT gone", [])?;
    c.execute("UPDATE consent SET acked = NULL", [])?;
    // What is parked stays so: its content was refused.
    c.execute(
        "INSERT OR IGNORE INTO pending (kind, part, id, file, since)
         SELECT r.kind, 0, r.id, r.file, ?1 FROM record r WHERE NOT r.gone AND NOT EXISTS (
           SELECT 1 FROM parked p WHERE p.kind = r.kind AND p.part = 0 AND p.id = r.id)",
        [now],
    )?;
    c.execute(
        "INSERT OR IGNORE INTO pending (kind, part, id, file, since)
         SELECT r.kind, 1, r.id, r.file, ?1 FROM consent n JOIN document d ON d.id = n.id
         JOIN record r ON r.kind = d.kind AND r.source_id = d.source_id
         WHERE r.kind = ?2 AND NOT r.gone AND NOT EXISTS (
           SELECT 1 FROM parked p WHERE p.kind = r.kind AND p.part = 1 AND p.id = r.id)",
        params![now, Kind::Customers.code()],
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::edit;
    use crate::store::tests::{Tried, row, tried};

    /// An order of a customer that is parked, and what a rebind found of both to be there as they are.
    fn rebound(moved: bool, equal: &[(Kind, &str)], went: bool) -> Tried {
        let mut t = tried();
        t.take_in(&[row("C1", &[("name", r#""Ann""#)])]);
        let order = [row("O1", &[("customer.source_id", r#""C1""#)])];
        t.take_in_of("orders", Kind::Orders, &order);
        t.park("C1");
        if went {
            t.acknowledge("O1");
            let wait = |c: &Connection| {
                let order = edit::stored(c, Kind::Orders, "O1")?.unwrap();
                park::wait_for_parked_customer(c, order.id)
            };
            t.store.write(wait).unwrap();
        }
        let reader = t.store.reader().unwrap();
        let equals: Vec<Equal> = (equal.iter())
            .map(|(kind, key)| {
                let stored = edit::stored(&reader, *kind, key).unwrap().unwrap();
                let remote_id = format!("id of {key}");
                Equal {
                    id: stored.id,
                    seq: stored.seq,
                    remote_id,
                }
            })
            .collect();
        let mut pages = vec![equals].into_iter();
        let mut page = |_| Ok(pages.next().unwrap_or_default());
        t.store
            .rebind("project", "two", moved, &mut page, 9)
            .unwrap();
        t
    }

    #[track_caller]
    fn check(t: &Tried, pending: &[&str]) {
        assert_eq!(t.pending(), pending);
    }

    #[test]
    fn an_order_that_had_gone_without_its_customer_goes_again_when_that_is_there() {
        let both = [(Kind::Customers, "C1"), (Kind::Orders, "O1")];
        // Found by the rebind itself.
        for moved in [true, false] {
            check(&rebound(moved, &both, true), &["O1"]);
        }
        // Also what went after the backup that the store comes from.
        for went in [true, false] {
            // Still parked: nothing goes before the customer is mended and acknowledged.
            let mut t = rebound(false, &both[1..], went);
            check(&t, &[]);
            t.take_in(&[row("C1", &[("name", r#""Anne""#)])]);
            deliver(&t, "C1");
            check(&t, &["O1"]);
        }
        // In another project nothing is parked yet.
        let t = rebound(true, &both[1..], true);
        check(&t, &["C1"]);
        deliver(&t, "C1");
        check(&t, &["O1"]);
    }

    /// A flight of one customer, acknowledged.
    fn deliver(t: &Tried, key: &str) {
        use crate::plan::Taken;
        use crate::store::flight::{self, Fate, Look};
        use crate::wire::Endpoint;
        let look = Look {
            now: 20,
            ..Look::default()
        };
        let key = key.to_owned();
        let fly = move |c: &Connection| {
            let way = (Kind::Customers, crate::plan::Channel::Bulk);
            let take = &mut |candidate: &flight::Candidate| {
                assert_eq!(candidate.key, key);
                Taken::Yes
            };
            let endpoint = Endpoint::CustomersBulk;
            let off = flight::commit_body(c, &look, way, (None, None), endpoint, take)?;
            let fate = Fate::Acknowledged { remote_id: None };
            flight::conclude(c, off.unwrap().begun.flight, &fate, 21)
        };
        t.store.write(fly).unwrap();
    }
}
