//! Whether the database is whole, and what becomes of one that is not.
//!
//! A damaged database is kept aside under a name that says so, and never replaced by itself: as long as
//! it stands there and none stands in its place, the store does not open. Who looks and when is the
//! daemon's.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use rusqlite::Connection;
use rustix::fs::{CWD, RenameFlags};
use rustix::io::Errno;

use super::{DATABASE, Error, Result, Store, meta};

/// Follows the database's name, and stands before the time.
const ASIDE: &str = ".damaged-";

/// What a database is called until it is whole: this, the number of the process that makes it, and which
/// of its databases it is.
const NEW: &str = ".tillsync.db.new-";

/// A process that makes one is done with it by then; one of the same number is another.
const MADE_WITHIN: std::time::Duration = std::time::Duration::from_secs(86_400);

/// Under this name the store keeps that somebody works on it: whoever finds it was not stopped cleanly.
const AT_WORK: &str = "at_work";

impl Store {
    /// At the start of a daemon. Whether the last one came to a clean end.
    pub fn begin_work(&self) -> Result<bool> {
        self.write(|c| {
            let clean = meta::integer(c, AT_WORK)?.is_none();
            meta::set(c, AT_WORK, &1)?;
            Ok(clean)
        })
    }

    /// At its clean end.
    pub fn end_work(&self) -> Result<()> {
        self.clear(AT_WORK)
    }
}

/// How thoroughly the database is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// That its pages are whole.
    Pages,
    /// Also that each index names what its table holds: some times as long.
    Indexes,
}

/// Reads all of the database and says what is damaged; `None`: nothing. One table after another: while
/// it is read, the log of writes cannot begin anew.
pub fn fault(c: &Connection, depth: Depth) -> Result<Option<String>> {
    let check = match depth {
        Depth::Pages => "quick_check",
        Depth::Indexes => "integrity_check",
    };
    let tables: Vec<String> = c
        .prepare(
            "SELECT name FROM sqlite_schema WHERE type = 'table' UNION ALL SELECT 'sqlite_schema'",
        )
        .and_then(|mut statement| {
            let names = statement.query_map([], |row| row.get(0))?;
            names.collect()
        })?;
    for table in tables {
        let found: rusqlite::Result<String> =
            c.query_row(&format!("PRAGMA {check}({table})"), [], |row| row.get(0));
        match found.map_err(Error::from) {
            Ok(found) if found == "ok" => {}
            // Its first line names the tree, the others pages: never a cell.
            Ok(found) => return Ok(Some(format!("{table}: {}", one_line(&found)))),
            Err(Error::Damaged(why)) => return Ok(Some(format!("{table}: {why}"))),
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Moves the database out of the way, with what stands beside it: `tillsync.db.damaged-<stamp>`. Gives
/// back the error that says so.
pub fn put_aside(state_dir: &Path, stamp: &str) -> Error {
    let from = state_dir.join(DATABASE);
    let mut to = state_dir.join(format!("{DATABASE}{ASIDE}{stamp}"));
    for n in 1.. {
        match rename_new(&from, &to) {
            Err(Errno::EXIST) => {
                to = state_dir.join(format!("{DATABASE}{ASIDE}{stamp}-{n}"));
            }
            Err(error) => return failed(&from, error),
            Ok(()) => break,
        }
    }
    match move_log(state_dir, &to).and_then(|()| sync_dir(state_dir)) {
        Ok(()) => Error::Aside { aside: to },
        Err(error) => error,
    }
}

/// The log of writes that stood beside a database belongs to it alone, and goes where it went.
fn move_log(state_dir: &Path, aside: &Path) -> Result<()> {
    let log = state_dir.join(format!("{DATABASE}-wal"));
    let mut to = aside.as_os_str().to_owned();
    to.push("-wal");
    match rename_new(&log, Path::new(&to)) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(error) => return Err(failed(&log, error)),
    }
    let index = state_dir.join(format!("{DATABASE}-shm"));
    match std::fs::remove_file(&index) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::Open {
            path: index,
            reason: error.to_string(),
        }),
        _ => Ok(()),
    }
}

/// The newest database that was kept aside.
pub fn aside(state_dir: &Path) -> Option<PathBuf> {
    let prefix = format!("{DATABASE}{ASIDE}");
    let names = std::fs::read_dir(state_dir).ok()?.filter_map(|entry| {
        let name = entry.ok()?.file_name().into_string().ok()?;
        (name.starts_with(&prefix) && !name.ends_with("-wal")).then_some(name)
    });
    names.max().map(|name| state_dir.join(name))
}

/// Where there is no database: whether one may be made.
pub(super) fn refuse_beside_aside(state_dir: &Path) -> Result<()> {
    match aside(state_dir) {
        Some(aside) => Err(Error::Aside { aside }),
        None => Ok(()),
    }
}

/// Makes the database under a name of its own with `fill`, and gives it its name when it is whole and on
/// the disk: an empty one, or a part of one, is damage and nothing else. `Ok(false)`: another process was
/// faster.
pub(super) fn create(state_dir: &Path, fill: impl FnOnce(&Path) -> Result<()>) -> Result<bool> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let new = state_dir.join(format!("{NEW}{}-{number}", std::process::id()));
    let path = state_dir.join(DATABASE);
    let made = fill(&new).and_then(|()| {
        let synced = std::fs::File::open(&new).and_then(|file| file.sync_all());
        synced.map_err(|error| Error::Broken(error.to_string()))?;
        if let Some(aside) = aside(state_dir) {
            // Begun and cut off: else it would be taken for the new one's.
            move_log(state_dir, &aside)?;
        }
        match rename_new(&new, &path) {
            Ok(()) => Ok(true),
            Err(Errno::EXIST) => Ok(false),
            Err(error) => Err(failed(&path, error)),
        }
    });
    if !matches!(made, Ok(true)) {
        let _ = std::fs::remove_file(&new);
    }
    if made.as_ref().is_ok_and(|made| *made) {
        sync_dir(state_dir)?;
    }
    made
}

/// Takes away what a process left that was killed while it made a database, or restored one, with what
/// SQLite put beside it. To be called by who holds the state's lock, before it opens the store.
pub fn sweep(state_dir: &Path) {
    let Ok(entries) = std::fs::read_dir(state_dir) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let maker = name.to_str().and_then(|name| name.strip_prefix(NEW));
        let Some((maker, _)) = maker.and_then(|rest| rest.split_once('-')) else {
            continue;
        };
        let old = entry.metadata().and_then(|file| file.modified());
        let old = old.is_ok_and(|at| at.elapsed().is_ok_and(|age| age > MADE_WITHIN));
        if old || !is_at_work(maker) {
            // What cannot be taken away is in nobody's way.
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// Whether another process of this number lives.
fn is_at_work(pid: &str) -> bool {
    let pid = pid.parse().ok().and_then(rustix::process::Pid::from_raw);
    pid.is_some_and(|pid| {
        pid != rustix::process::getpid()
            && rustix::process::test_kill_process(pid) != Err(Errno::SRCH)
    })
}

pub(super) fn rename_new(from: &Path, to: &Path) -> std::result::Result<(), Errno> {
    match rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // Not every file system can do it in one step; the state directory is ours alone.
        Err(Errno::INVAL | Errno::NOSYS) if !to.exists() => rustix::fs::rename(from, to),
        Err(Errno::INVAL | Errno::NOSYS) => Err(Errno::EXIST),
        other => other,
    }
}

pub(super) fn sync_dir(dir: &Path) -> Result<()> {
    let synced = std::fs::File::open(dir).and_then(|dir| dir.sync_all());
    synced.map_err(|error| Error::Broken(format!("{}: {error}", dir.display())))
}

fn failed(path: &Path, error: Errno) -> Error {
    match error {
        Errno::NOSPC | Errno::DQUOT => Error::Full,
        error => Error::Open {
            path: path.to_owned(),
            reason: std::io::Error::from(error).to_string(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A closed store with some hundred pages.
    fn filled() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        store
            .write(|c| {
                Ok(c.execute_batch(
                    "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 4000)
                     INSERT INTO request (at, method, path, budget) SELECT n, 'GET', hex(randomblob(500)), 'api' FROM n",
                )?)
            })
            .unwrap();
        drop(store);
        dir
    }

    /// What opening and reading all of a database says whose bytes were changed so.
    #[track_caller]
    fn check(damage: impl FnOnce(&mut Vec<u8>), is_found: bool) {
        let dir = filled();
        let path = dir.path().join(DATABASE);
        let mut bytes = std::fs::read(&path).unwrap();
        damage(&mut bytes);
        std::fs::write(&path, &bytes).unwrap();
        let fault = match Store::open(dir.path()) {
            Ok(store) => fault(&store.reader().unwrap(), Depth::Pages).unwrap(),
            Err(Error::Damaged(why)) => Some(why),
            Err(other) => panic!("{other}"),
        };
        assert_eq!(fault.is_some(), is_found, "{fault:?}");
        if is_found {
            assert_eq!(std::fs::read(&path).unwrap().len(), bytes.len());
        }
    }

    #[test]
    fn every_damage_is_found() {
        check(|_| {}, false);
        check(|bytes| bytes.clear(), true);
        check(|bytes| bytes.truncate(1000), true);
        check(|bytes| bytes.truncate(20 * 16_384), true);
        check(|bytes| bytes.truncate(20 * 16_384 + 77), true);
        check(|bytes| bytes[..100].fill(b'x'), true);
        check(|bytes| *bytes = b"id;name\n1;Anna\n".repeat(9_000), true);
        check(
            |bytes| {
                let middle = bytes.len() / 2 / 16_384 * 16_384;
                bytes[middle..middle + 16_384].fill(0xA5);
            },
            true,
        );
        check(
            |bytes| {
                let middle = bytes.len() / 2 / 16_384 * 16_384;
                bytes[middle..middle + 3 * 16_384].fill(0);
            },
            true,
        );
    }

    #[test]
    fn a_damaged_one_is_kept_aside_and_nothing_takes_its_place_by_itself() {
        let dir = filled();
        let path = dir.path().join(DATABASE);
        let copy = dir.path().join("copy");
        crate::store::backup::backup(dir.path(), &copy, 7).unwrap();
        std::fs::write(&path, b"damaged").unwrap();
        std::fs::write(dir.path().join("tillsync.db-wal"), b"its log").unwrap();
        let said = put_aside(dir.path(), "20261125T020312Z");
        let aside = dir.path().join("tillsync.db.damaged-20261125T020312Z");
        assert!(matches!(&said, Error::Aside { aside: at } if *at == aside));
        assert!(said.to_string().contains("tillsync restore"), "{said}");
        assert_eq!(std::fs::read(&aside).unwrap(), b"damaged");
        for _ in 0..2 {
            assert!(matches!(Store::open(dir.path()), Err(Error::Aside { .. })));
            assert!(matches!(Store::look(dir.path()), Err(Error::Aside { .. })));
            assert!(!path.exists());
        }
        let log = dir.path().join("tillsync.db.damaged-20261125T020312Z-wal");
        assert_eq!(std::fs::read(log).unwrap(), b"its log");
        crate::store::backup::restore(&copy, dir.path()).unwrap();
        drop(Store::open(dir.path()).unwrap());
        // Kept to be looked at, as long as nobody takes it away.
        assert!(aside.exists());
    }

    #[test]
    fn without_the_one_kept_aside_a_new_one_begins() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(DATABASE), b"").unwrap();
        assert!(matches!(Store::open(dir.path()), Err(Error::Damaged(_))));
        let Error::Aside { aside } = put_aside(dir.path(), "20261125T020312Z") else {
            panic!();
        };
        std::fs::remove_file(aside).unwrap();
        drop(Store::open(dir.path()).unwrap());
    }

    #[test]
    fn an_end_without_its_mark_is_known_at_the_next_start() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        assert!(store.begin_work().unwrap());
        assert!(!store.begin_work().unwrap());
        store.end_work().unwrap();
        assert!(store.begin_work().unwrap());
    }
}
