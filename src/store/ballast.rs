//! Room that is kept for a full disk: a file of 16 MiB beside the database, which is let go when the
//! disk is full, so that what the remote answered can still be recorded; and made again when there is
//! room (README, Years on a small disk).
//!
//! Requests of the writer may use what it leaves, files that are read may not: they wait until it is
//! there again. On a disk that never had room for it there is none, and nothing waits for it. Knows how
//! much is free, and nothing of what is written.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use rustix::fs::FallocateFlags;
use rustix::io::Errno;

/// Its name in the state directory.
pub const BALLAST: &str = "ballast";

/// What some thousand answers take, with the WAL that they stand in.
const BYTES: u64 = 16 << 20;

/// With less than this the disk is as good as full: one transaction has to fit into it.
const LOW: u64 = 4 << 20;

/// It is made where so much is free: what it takes must not be what makes the disk full.
const ROOM: u64 = 3 * BYTES;

/// What is written to find out whether anything can be.
const PROBE: usize = 64 << 10;

/// The ballast of one state directory.
#[derive(Debug)]
pub struct Ballast {
    dir: PathBuf,
    /// It was there in this process's life.
    had: AtomicBool,
}

impl Ballast {
    /// Makes nothing yet.
    pub fn of(dir: &Path) -> Ballast {
        let ballast = Ballast {
            dir: dir.to_owned(),
            had: AtomicBool::new(false),
        };
        ballast.is_there();
        ballast
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    fn path(&self) -> PathBuf {
        self.dir.join(BALLAST)
    }

    fn is_there(&self) -> bool {
        let there = fs::symlink_metadata(self.path()).is_ok_and(|file| file.len() == BYTES);
        if there {
            self.had.store(true, Relaxed);
        }
        there
    }

    /// It was let go, and there was no room for it since: no file is read meanwhile.
    pub fn is_spent(&self) -> bool {
        !self.is_there() && self.had.load(Relaxed)
    }

    /// Makes it where it is not and there is room. Called now and then by the daemon alone.
    pub fn keep(&self) {
        if self.is_there() || self.free().is_none_or(|free| free < ROOM) {
            return;
        }
        match self.make() {
            Ok(()) => self.had.store(true, Relaxed),
            // No room after all (a quota): it is tried again. A part of it would help nobody.
            Err(error) => {
                tracing::debug!(%error, "no room is kept for a full disk");
                let _ = fs::remove_file(self.path());
            }
        }
    }

    fn make(&self) -> std::io::Result<()> {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits() as i32)
            .open(self.path())?;
        match rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, BYTES) {
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => fill(&mut file),
            other => Ok(other?),
        }
    }

    /// Before a transaction of a request: lets it go if the disk is as good as full.
    pub fn make_room(&self) {
        if self.is_there() && self.is_low() {
            self.let_go();
        }
    }

    /// Whether a file that is being read has to stop for it.
    pub fn is_reached(&self) -> bool {
        self.had.load(Relaxed) && (!self.is_there() || self.is_low())
    }

    /// Nothing could be written, whatever the disk says of itself (a quota).
    pub fn let_go(&self) {
        if fs::remove_file(self.path()).is_ok() {
            tracing::warn!(
                "the disk is full: what was kept for this is used up for what the remote answers; files wait until there is room"
            );
        }
    }

    fn is_low(&self) -> bool {
        self.free().is_some_and(|free| free < LOW)
    }

    /// Bytes that this process may still take; `None`: nobody knows.
    fn free(&self) -> Option<u64> {
        let stat = rustix::fs::statvfs(&self.dir).ok()?;
        Some(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}

fn fill(file: &mut File) -> std::io::Result<()> {
    let some = vec![0; PROBE];
    for _ in 0..BYTES / PROBE as u64 {
        file.write_all(&some)?;
    }
    file.sync_data()
}

/// Whether a write fails here for want of room; a quota that is used up says so to nobody who asks.
pub fn is_full(dir: &Path) -> bool {
    let tried = tempfile::tempfile_in(dir).and_then(|mut file| file.write_all(&[0xA5; PROBE]));
    let full = |error: &std::io::Error| {
        matches!(
            Errno::from_io_error(error),
            Some(Errno::NOSPC | Errno::DQUOT)
        )
    };
    tried.as_ref().is_err_and(full)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_takes_its_room_and_gives_it_back() {
        let dir = tempfile::tempdir().unwrap();
        let ballast = Ballast::of(dir.path());
        assert!(!ballast.is_spent() && !ballast.is_reached());
        ballast.keep();
        let made = fs::metadata(ballast.path()).unwrap();
        use std::os::unix::fs::MetadataExt;
        assert_eq!((made.len(), made.mode() & 0o777), (BYTES, 0o600));
        assert!(made.blocks() * 512 >= BYTES);
        assert!(!ballast.is_spent());
        ballast.let_go();
        assert!(ballast.is_spent() && ballast.is_reached());
        ballast.keep();
        assert!(!ballast.is_spent() && !ballast.is_reached());
        // Another process finds it.
        let other = Ballast::of(dir.path());
        other.let_go();
        assert!(other.is_spent() && ballast.is_spent());
    }

    #[test]
    fn a_part_of_one_is_made_whole_and_a_link_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let ballast = Ballast::of(dir.path());
        fs::write(ballast.path(), b"part").unwrap();
        ballast.keep();
        assert_eq!(fs::metadata(ballast.path()).unwrap().len(), BYTES);
        ballast.let_go();
        let elsewhere = dir.path().join("elsewhere");
        fs::write(&elsewhere, b"mine").unwrap();
        std::os::unix::fs::symlink(&elsewhere, ballast.path()).unwrap();
        ballast.keep();
        assert_eq!(fs::read(&elsewhere).unwrap(), b"mine");
    }
}
