//! All SQL: the schema and its migrations, one writing connection on its own thread, readers beside it.
//!
//! Knows nothing of CSV, of the API's JSON, or of HTTP. Whoever wants something written hands a
//! typed request over; requests that wait together are committed together.

mod apply;
pub mod audit;
pub mod backup;
pub mod ballast;
mod checkpoint;
mod compare;
mod counts;
pub(crate) mod edit;
mod files;
pub mod flight;
mod forget;
mod history;
mod intake;
pub mod integrity;
mod known;
mod listing;
mod lookup;
pub mod meta;
mod present;
mod rebind;
mod scratch;
mod skus;
pub mod status;
mod tally;
pub mod thin;
mod trace;
mod undo;
mod writer;

use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::OpenFlags;
use rusqlite::config::DbConfig;

pub use ballast::Ballast;
/// One that reads beside the writer, for this module's functions.
pub use rusqlite::Connection;

pub use compare::{Compared, Comparer, Freed, Outcome, brought};
pub use counts::{Counts as StoreCounts, PerKind, counts, held_total, parked_total, pending_total};
pub use files::{Arrival, FileRow, FileState, HOW_TO_ACCEPT, StoredReject};
pub use files::{each_reject, file, folder_columns};
pub use forget::{Begun as Forgetting, Person};
pub use history::changes;
pub use intake::{Begin, Counts, Finish, IntakeSession, Missing};
pub use known::KnownRows;
pub use listing::{ChangeRow, Filter, ParkedRow, PendingRow, RejectRow, RequestRow};
pub use listing::{files, find, parked, pending, rejects, requests};
pub use lookup::StoreLookup;
pub use present::Present;
pub use trace::{Trace, TracedFlight, trace};
pub use undo::{Left, Reverted};
pub use writer::Writer;

/// The number of the newest migration; `PRAGMA user_version` of a store that is up to date.
pub const SCHEMA_VERSION: i64 = 2;

/// The database's name in the state directory.
pub const DATABASE: &str = "tillsync.db";

const SCHEMA: &str = include_str!("../../schema.sql");

/// How long a connection waits for another process's short transaction.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Bytes of the WAL that are kept after a checkpoint.
const WAL_BYTES_MAX: i64 = 64 << 20;

/// What a caller branches on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No room on the disk: roll back, wait, go on.
    #[error("the disk is full")]
    Full,
    /// Another process holds the database for longer than `BUSY_TIMEOUT`.
    #[error("the database is busy")]
    Busy,
    /// Made by a newer tillsync; untouched.
    #[error(
        "the database was made by a newer tillsync (schema {found}, this one knows {known}); install that version or a newer one"
    )]
    Newer { found: i64, known: i64 },
    /// Its bytes are none that SQLite writes: the process ends (74), and the next one looks at all of it.
    #[error("the database is damaged: {0}")]
    Damaged(String),
    /// A damaged one was kept aside, and nothing stands in its place.
    #[error(
        "the database was damaged and is kept as {aside}; nothing is stored or sent, and files wait in their folders\nPut a backup in its place: `tillsync restore FILE`, then `tillsync rebind`. Without a backup, move {aside} to another folder: tillsync then begins with an empty store.",
        aside = aside.display()
    )]
    Aside { aside: PathBuf },
    /// The disk fails: the process ends (74), and what is in memory is worth nothing.
    #[error("the database cannot be read or written: {0}")]
    Broken(String),
    /// Not there, or not ours to open.
    #[error("{path}: {reason}", path = path.display())]
    Open { path: PathBuf, reason: String },
    /// The same, if the disk does not say that it has no room: a quota's end looks like this to SQLite
    /// (`settled` asks).
    #[error("the database cannot be written: {0}")]
    Unwritten(String),
    /// A statement that should have worked: our own fault.
    #[error("the database refused a statement: {0}")]
    Statement(String),
}

pub type Result<T> = std::result::Result<T, Error>;

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Error {
        use rusqlite::ErrorCode::*;
        let Some(code) = error.sqlite_error_code() else {
            return Error::Statement(error.to_string());
        };
        if let rusqlite::Error::SqliteFailure(failure, _) = &error {
            match failure.extended_code {
                // No room for the WAL's index: the disk is full, not failing.
                rusqlite::ffi::SQLITE_IOERR_SHMSIZE => return Error::Full,
                rusqlite::ffi::SQLITE_IOERR_WRITE | rusqlite::ffi::SQLITE_IOERR_TRUNCATE => {
                    return Error::Unwritten(error.to_string());
                }
                _ => {}
            }
        }
        match code {
            DiskFull => Error::Full,
            DatabaseBusy | DatabaseLocked => Error::Busy,
            DatabaseCorrupt | NotADatabase => Error::Damaged(error.to_string()),
            SystemIoFailure | CannotOpen | PermissionDenied | ReadOnly | OutOfMemory => {
                Error::Broken(error.to_string())
            }
            _ => Error::Statement(error.to_string()),
        }
    }
}

impl Error {
    /// What a write that failed means: asks the disk of this directory whether it has room.
    fn settled(self, dir: &Path) -> Error {
        match self {
            Error::Unwritten(_) if ballast::is_full(dir) => Error::Full,
            Error::Unwritten(reason) => Error::Broken(reason),
            other => other,
        }
    }
}

/// The store of one state directory. Cheap to clone; the last clone's end stops the writer.
#[derive(Clone)]
pub struct Store {
    path: PathBuf,
    writer: Arc<Writer>,
}

impl Store {
    /// Opens, creates or migrates the database in `state_dir`.
    pub fn open(state_dir: &Path) -> Result<Store> {
        let path = state_dir.join(DATABASE);
        if !path.exists() {
            integrity::refuse_beside_aside(state_dir)?;
            integrity::create(state_dir, |new| {
                let mut connection = open(new)?;
                // It counts from when it has its name, and is on the disk then.
                connection.pragma_update(None, "synchronous", "OFF")?;
                lay_out(&connection)?;
                migrate(&mut connection)
            })?;
        }
        refuse_unusable_file(&path)?;
        let mut connection = open(&path)?;
        refuse_newer(&connection)?;
        configure(&connection, true)?;
        migrate(&mut connection)?;
        let writer = Arc::new(Writer::start(connection, &path));
        Ok(Store { path, writer })
    }

    /// For commands that only look: a reader without a writer; `None` if there is no database yet.
    pub fn look(state_dir: &Path) -> Result<Option<Connection>> {
        let path = state_dir.join(DATABASE);
        if !path.exists() {
            integrity::refuse_beside_aside(state_dir)?;
            return Ok(None);
        }
        let reader = open_reader(&path)?;
        // A daemon that starts for the first time is making it just now.
        let version: i64 = reader.query_row("PRAGMA user_version", [], |row| row.get(0))?;
        Ok((version > 0).then_some(reader))
    }

    /// A connection that reads beside the writer. Keep its transactions short: an open one keeps the
    /// WAL from being checkpointed.
    pub fn reader(&self) -> Result<Connection> {
        open_reader(&self.path)
    }

    /// Runs `work` on the writer's thread in a transaction of its own or shared with requests that
    /// wait beside it, and returns once that is committed (`synchronous = FULL`).
    pub fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.writer.call(false, work)
    }

    /// The same for what may change any number of records: in a transaction of its own, since one that it
    /// shares with others costs memory for each page that it changes.
    pub fn write_alone<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.writer.call(true, work)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What is kept for a full disk.
    pub fn ballast(&self) -> &Ballast {
        self.writer.ballast()
    }

    fn state_dir(&self) -> &Path {
        dir_of(&self.path)
    }
}

/// The state directory of a database.
fn dir_of(database: &Path) -> &Path {
    database.parent().expect("the database lies in a directory")
}

fn open(path: &Path) -> Result<Connection> {
    Connection::open(path).map_err(|error| not_opened(path, &error))
}

/// SQLite says of each reason alike that it was unable to open the file: the system is asked.
fn not_opened(path: &Path, error: &rusqlite::Error) -> Error {
    let dir = dir_of(path);
    let failed = |path: &Path, error: &std::io::Error| Error::Open {
        path: path.to_owned(),
        reason: backup::io_reason(error),
    };
    match std::fs::metadata(dir) {
        Err(error) => return failed(dir, &error),
        Ok(dir) if dir.is_dir() => {}
        Ok(_) => return failed(dir, &std::io::ErrorKind::NotADirectory.into()),
    }
    if path.exists() {
        if let Err(error) = std::fs::File::open(path) {
            return failed(path, &error);
        }
    } else if let Err(error) = tempfile::tempfile_in(dir) {
        return failed(dir, &error);
    }
    Error::Open {
        path: path.to_owned(),
        reason: error.to_string(),
    }
}

fn open_reader(path: &Path) -> Result<Connection> {
    refuse_unusable_file(path)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags);
    let connection = connection.map_err(|error| not_opened(path, &error))?;
    refuse_newer(&connection)?;
    configure(&connection, false)?;
    Ok(connection)
}

/// Before SQLite opens the file, which makes others beside it: a newer database stays as it is. What
/// its WAL holds is seen by `refuse_newer` alone. An empty file SQLite would take for a new database;
/// ours gets its name when it is whole.
fn refuse_unusable_file(path: &Path) -> Result<()> {
    // The header of sqlite.org/fileformat.html: its magic, and `user_version`, four bytes, big endian.
    const MAGIC: &[u8] = b"SQLite format 3\0";
    const VERSION_AT: usize = 60;
    let Ok(file) = std::fs::File::open(path) else {
        // SQLite says what is to be said.
        return Ok(());
    };
    let mut header = [0; 100];
    match file.read_exact_at(&mut header, 0) {
        Ok(()) if header.starts_with(MAGIC) => {
            let version = header[VERSION_AT..VERSION_AT + 4].try_into();
            let version = version.expect("four bytes of a header");
            refuse_version(i64::from(i32::from_be_bytes(version)))
        }
        Ok(()) => Err(Error::Damaged("the file is no database".to_owned())),
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            Err(Error::Damaged("the file is empty, or cut off".to_owned()))
        }
        // A disk that fails is told where more is read.
        Err(_) => Ok(()),
    }
}

fn refuse_newer(connection: &Connection) -> Result<()> {
    refuse_version(connection.query_row("PRAGMA user_version", [], |row| row.get(0))?)
}

fn refuse_version(found: i64) -> Result<()> {
    if found > SCHEMA_VERSION {
        return Err(Error::Newer {
            found,
            known: SCHEMA_VERSION,
        });
    }
    Ok(())
}

/// Of a new database, before its first page.
fn lay_out(connection: &Connection) -> Result<()> {
    connection.pragma_update(None, "page_size", 16384)?;
    // What `thin` frees can be given back in small steps.
    connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    Ok(())
}

fn configure(connection: &Connection, writes: bool) -> Result<()> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(64);
    // Else a statement whose parameters SQLite looked at when it planned is planned anew for each value.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    if writes {
        connection.pragma_update(None, "journal_mode", "WAL")?;
        // NORMAL forgets acknowledged work at a power cut, and costs 2 % less.
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "journal_size_limit", WAL_BYTES_MAX)?;
        // `writer` sees to it.
        connection.pragma_update(None, "wal_autocheckpoint", 0)?;
        connection.pragma_update(None, "secure_delete", "ON")?;
    }
    connection.pragma_update(None, "mmap_size", 0)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.pragma_update(None, "trusted_schema", "OFF")?;
    connection.pragma_update(None, "cell_size_check", "ON")?;
    Ok(())
}

fn migrate(connection: &mut Connection) -> Result<()> {
    let transaction =
        connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    let version: i64 = transaction.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if version == 0 {
        transaction.execute_batch(SCHEMA)?;
        meta::make_secret(&transaction)?;
    }
    if version == 1 {
        transaction.execute_batch("ALTER TABLE reject ADD COLUMN keys BLOB")?;
    }
    if version < SCHEMA_VERSION {
        transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
    }
    transaction.commit()?;
    Ok(())
}

#[cfg(test)]
mod tests;
