//! A store that comes to another project, or knows only what a backup knew: all that the remote
//! acknowledged is unknown again, and queued.

use rusqlite::{Connection, params};

use super::{Result, Store, backup, meta};
use crate::kind::Kind;
use crate::record::GONE;

/// What `rebind` queued.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rebound {
    pub queued: u64,
}

impl Store {
    /// Notes `project` under `name`. `moved`: it is another one than before, which knows nothing of
    /// ours; else only what was acknowledged since a backup is unknown.
    pub fn rebind(&self, name: &str, project: &str, moved: bool, now: i64) -> Result<Rebound> {
        let (name, project) = (name.to_owned(), project.to_owned());
        self.write(move |c| {
            end_flights(c, now)?;
            if moved {
                forget_remote(c)?;
            }
            let queued = queue_all(c, now)?;
            meta::set(c, &name, &project)?;
            meta::clear(c, backup::COPIED)?;
            Ok(Rebound { queued })
        })
    }
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

fn queue_all(c: &Connection, now: i64) -> Result<u64> {
    c.execute("UPDATE record SET acked = NULL WHERE NOT gone", [])?;
    c.execute("UPDATE consent SET acked = NULL", [])?;
    // What is parked stays so: its content was refused.
    let records = c.execute(
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
    Ok(records as u64)
}
