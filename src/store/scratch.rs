//! Space for what is too large for memory and worth nothing after a crash: a database in an unlinked
//! file of the state directory.

use std::path::Path;

use rusqlite::Connection;

use super::{Error, Result};

/// The file is gone from the directory before this returns, and its space with the connection.
pub(super) fn open(dir: &Path) -> Result<Connection> {
    let refused = |e: &dyn std::fmt::Display| Error::Open {
        path: dir.to_owned(),
        reason: e.to_string(),
    };
    let file = tempfile::Builder::new()
        .prefix(".scratch-")
        .tempfile_in(dir)
        .map_err(|e| refused(&e))?;
    let c = Connection::open(file.path()).map_err(|e| refused(&e))?;
    c.pragma_update(None, "page_size", 16384)?;
    c.pragma_update(None, "journal_mode", "OFF")?;
    c.pragma_update(None, "synchronous", "OFF")?;
    c.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    c.pragma_update(None, "temp_store", "MEMORY")?;
    c.set_prepared_statement_cache_capacity(16);
    // SQLite opens the file at the first statement that needs it, and must not be late.
    c.execute_batch("CREATE TABLE opened (x); DROP TABLE opened")?;
    Ok(c)
}
