//! How many records of each kind are stored and not deleted, kept as they come and go: counting a
//! million of them at each look at `status` costs more than the page may.

use rusqlite::{Connection, params};

use super::counts::PerKind;
use super::{Result, files};
use crate::kind::Kind;

pub(super) fn changed(c: &Connection, kind: Kind, by: i64) -> Result<()> {
    if by != 0 {
        c.prepare_cached(
            "INSERT INTO tally (kind, stored) VALUES (?1, ?2)
             ON CONFLICT DO UPDATE SET stored = stored + excluded.stored",
        )?
        .execute(params![kind.code(), by])?;
    }
    Ok(())
}

pub(super) fn stored(c: &Connection) -> Result<PerKind> {
    let mut counts = PerKind::default();
    let mut statement = c.prepare_cached("SELECT kind, stored FROM tally")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        counts.set(files::kind(row.get(0)?)?, row.get::<_, i64>(1)? as u64);
    }
    Ok(counts)
}
