//! A consistent copy of the database while the daemon runs, and a copy put into an empty state directory.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};

use super::{DATABASE, Error, Result, integrity, meta, refuse_newer};

/// Pages that are copied before writers get a turn.
const PAGES_AT_ONCE: i32 = 1024;

/// Under this name a copy says when it was made: a store that is restored from it has an old memory of
/// what the remote holds.
pub const COPIED: &str = "backup_copied_at";

/// Under this name a store remembers its last good backup, for `status`.
pub const LAST: &str = "last_backup";

/// Copies the database of `state_dir` to `to`, which must not exist, and checks the copy as a whole;
/// only then it gets its name. Gives its size in bytes. A copy that fails is taken away again.
pub fn backup(state_dir: &Path, to: &Path, now: i64) -> Result<u64> {
    let source = open(&state_dir.join(DATABASE), OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    refuse_newer(&source)?;
    let failed = |error: std::io::Error| Error::Open {
        path: to.to_owned(),
        reason: io_reason(&error),
    };
    if to.symlink_metadata().is_ok() {
        return Err(failed(std::io::ErrorKind::AlreadyExists.into()));
    }
    let part = part(to);
    // By us alone: the copy holds what the store holds. One that was cut off is begun anew.
    let made = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&part);
    let made = made.map_err(failed)?;
    if matches!(made.try_lock(), Err(TryLockError::WouldBlock)) {
        return Err(Error::Open {
            path: to.to_owned(),
            reason: "another backup is being written there".to_owned(),
        });
    }
    // What SQLite put beside one that was cut off is not of this one.
    for suffix in ["-journal", "-wal", "-shm"] {
        let mut beside = part.clone().into_os_string();
        beside.push(suffix);
        let _ = std::fs::remove_file(beside);
    }
    let copied = (made.set_len(0).map_err(failed))
        .and_then(|()| copy(&source, &part))
        .and_then(|()| mark_and_check(&part, now))
        .and_then(|bytes| {
            integrity::rename_new(&part, to).map_err(|error| failed(error.into()))?;
            integrity::sync_dir(folder(to))?;
            Ok(bytes)
        });
    if copied.is_err() {
        let _ = std::fs::remove_file(part);
    }
    copied
}

/// What a copy is called until it is whole, checked and on the disk: hidden, beside its place.
fn part(to: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(to.file_name().unwrap_or_default());
    name.push(".part");
    folder(to).join(name)
}

fn folder(to: &Path) -> &Path {
    match to.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

/// Puts a copy into a state directory that has no database yet, after checking it. Nothing is sent from
/// it until `rebind`.
pub fn restore(from: &Path, state_dir: &Path) -> Result<()> {
    let to = state_dir.join(DATABASE);
    let there = || Error::Open {
        path: to.clone(),
        reason: io_reason(&std::io::ErrorKind::AlreadyExists.into()),
    };
    if to.symlink_metadata().is_ok() {
        return Err(there());
    }
    let source = open(from, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    refuse_newer(&source)?;
    check(&source)?;
    let made = integrity::create(state_dir, |new| {
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(new);
        file.map_err(|error| Error::Open {
            path: to.clone(),
            reason: io_reason(&error),
        })?;
        copy(&source, new)
    })?;
    match made {
        true => Ok(()),
        false => Err(there()),
    }
}

fn open(path: &Path, flags: OpenFlags) -> Result<Connection> {
    let flags = flags | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let opened = Connection::open_with_flags(path, flags);
    let connection = opened.map_err(|error| Error::Open {
        path: path.to_owned(),
        reason: error.to_string(),
    })?;
    connection.busy_timeout(super::BUSY_TIMEOUT)?;
    Ok(connection)
}

fn copy(source: &Connection, to: &Path) -> Result<()> {
    let mut target = open(to, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let backup = Backup::new(source, &mut target)?;
    loop {
        match backup.step(PAGES_AT_ONCE)? {
            StepResult::Done => return Ok(()),
            // Another process's short transaction; the copy goes on where it stood.
            _ => std::thread::yield_now(),
        }
    }
}

fn mark_and_check(to: &Path, now: i64) -> Result<u64> {
    let copy = open(to, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    // One file, with nothing beside it that could be left behind.
    copy.pragma_update(None, "journal_mode", "DELETE")?;
    meta::set(&copy, COPIED, &now)?;
    check(&copy)?;
    drop(copy);
    sync(to)?;
    let size = std::fs::metadata(to).map_err(|error| Error::Open {
        path: to.to_owned(),
        reason: io_reason(&error),
    })?;
    Ok(size.len())
}

fn check(connection: &Connection) -> Result<()> {
    let found: String = connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    match found.as_str() {
        "ok" => Ok(()),
        fault => Err(Error::Broken(format!(
            "the copy is damaged: {}",
            fault.trim()
        ))),
    }
}

fn sync(path: &Path) -> Result<()> {
    let synced = File::open(path).and_then(|file| file.sync_all());
    synced.map_err(|error| Error::Broken(format!("{}: {}", path.display(), io_reason(&error))))
}

pub(super) fn io_reason(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::AlreadyExists => {
            "there is a file of this name already; nothing was overwritten".to_owned()
        }
        std::io::ErrorKind::NotFound => "no such folder".to_owned(),
        std::io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        std::io::ErrorKind::NotADirectory => "is not in a folder".to_owned(),
        _ => {
            // Without the system's number.
            let text = error.to_string();
            text.split(" (os error").next().unwrap_or(&text).to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;

    #[test]
    fn a_copy_holds_what_the_store_held_and_never_overwrites() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        store.set_text("fact", "kept").unwrap();
        let copy = dir.path().join("copy.db");
        assert!(backup(dir.path(), &copy, 7).unwrap() > 0);
        assert!(matches!(
            backup(dir.path(), &copy, 8),
            Err(Error::Open { .. })
        ));
        let empty = tempfile::tempdir().unwrap();
        restore(&copy, empty.path()).unwrap();
        assert!(matches!(
            restore(&copy, empty.path()),
            Err(Error::Open { .. })
        ));
        let restored = Store::open(empty.path()).unwrap();
        assert_eq!(restored.text("fact").unwrap().as_deref(), Some("kept"));
        assert_eq!(restored.integer(COPIED).unwrap(), Some(7));
    }

    #[test]
    fn a_damaged_copy_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        drop(Store::open(dir.path()).unwrap());
        let copy = dir.path().join("copy.db");
        backup(dir.path(), &copy, 7).unwrap();
        let mut bytes = std::fs::read(&copy).unwrap();
        let len = bytes.len();
        bytes[len / 2..].fill(0xA5);
        std::fs::write(&copy, bytes).unwrap();
        let empty = tempfile::tempdir().unwrap();
        assert!(restore(&copy, empty.path()).is_err());
        assert!(!empty.path().join(DATABASE).exists());
    }
}
