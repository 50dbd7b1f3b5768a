//! One daemon a state directory: a lock that the system drops with the process, and who holds it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

const LOCK: &str = "tillsync.lock";

/// Held as long as it lives.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// What another process says of itself in the lock file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder {
    pub pid: u32,
    /// When it took the lock, UTC milliseconds.
    pub since: i64,
}

#[derive(Debug)]
pub enum Refused {
    /// Somebody holds it; `None` if they have not written who they are yet.
    Held(Option<Holder>),
    Io(std::io::Error),
}

impl Lock {
    pub fn take(state_dir: &Path, now: i64) -> Result<Lock, Refused> {
        let path = state_dir.join(LOCK);
        let open = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path);
        let mut file = open.map_err(Refused::Io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Refused::Held(read_holder(&mut file))),
            Err(TryLockError::Error(error)) => return Err(Refused::Io(error)),
        }
        let said = format!("{} {now}\n", std::process::id());
        let written = file
            .set_len(0)
            .and_then(|()| file.seek(SeekFrom::Start(0)))
            .and_then(|_| file.write_all(said.as_bytes()));
        // A full disk must not keep the daemon from starting: the lock counts, not what it says.
        drop(written);
        Ok(Lock { _file: file })
    }
}

/// Whoever holds the lock now; `None`: nobody.
pub fn holder(state_dir: &Path) -> Option<Holder> {
    let mut file = File::open(state_dir.join(LOCK)).ok()?;
    match file.try_lock_shared() {
        Err(TryLockError::WouldBlock) => {
            read_holder(&mut file).or(Some(Holder { pid: 0, since: 0 }))
        }
        _ => None,
    }
}

fn read_holder(file: &mut File) -> Option<Holder> {
    let mut text = String::new();
    file.seek(SeekFrom::Start(0)).ok()?;
    file.take(100).read_to_string(&mut text).ok()?;
    let (pid, since) = text.trim().split_once(' ')?;
    Some(Holder {
        pid: pid.parse().ok()?,
        since: since.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_one_is_told_who_the_first_is() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(holder(dir.path()), None);
        let lock = Lock::take(dir.path(), 7).unwrap();
        let me = Holder {
            pid: std::process::id(),
            since: 7,
        };
        assert!(matches!(Lock::take(dir.path(), 8), Err(Refused::Held(Some(h))) if h == me));
        assert_eq!(holder(dir.path()), Some(me));
        drop(lock);
        assert_eq!(holder(dir.path()), None);
        Lock::take(dir.path(), 9).unwrap();
    }
}
