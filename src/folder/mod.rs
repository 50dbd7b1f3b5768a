//! The drop folders: what stands in them, what of it is complete, and moving it away afterwards.
//!
//! Knows files and names, nothing of what is in them. A listing is the truth, events are hints; which
//! of the two decides what is `settle`'s, and pure. Who takes the files one after another is `intake`.

pub mod archive;
pub mod claim;
mod drop;
mod names;
pub mod rejects;
pub mod scan;
pub mod settle;
pub mod thin;
pub mod watch;

use std::io;
use std::os::fd::AsFd;

use rustix::io::Errno;

pub use drop::{Folder, Folders, RESCAN_MS, Ready};
pub use names::{ARCHIVE, NAME_BYTES_MAX, OWN_PREFIX, REJECTS, find_shown, moved_name, shown};

/// What a caller branches on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No room, or no inodes: wait, and go on when there is some.
    #[error("no room is left on the disk")]
    Full,
    /// What should be there is not.
    #[error("it is gone")]
    Gone,
    /// Something that waiting may cure, or a person: the reason, to stand after what was tried.
    #[error("{0}")]
    Blocked(String),
    /// The disk did not keep what was written: nothing in memory can be relied on, the process ends (74).
    #[error("the disk fails: {0}")]
    Broken(String),
}

pub type Result<T> = std::result::Result<T, Error>;

impl From<Errno> for Error {
    fn from(errno: Errno) -> Error {
        match errno {
            Errno::NOSPC | Errno::DQUOT => Error::Full,
            Errno::NOENT => Error::Gone,
            other => Error::Blocked(io_text(&other.into())),
        }
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Error {
        match Errno::from_io_error(&error) {
            Some(errno) => errno.into(),
            None => Error::Blocked(io_text(&error)),
        }
    }
}

/// In words, without the system's number.
pub fn io_text(error: &io::Error) -> String {
    let text = match Errno::from_io_error(error) {
        Some(Errno::ACCESS) => "permission denied",
        Some(Errno::PERM) => "not permitted (the folder's sticky bit, or another owner)",
        Some(Errno::ROFS) => "the file system is read-only",
        Some(Errno::IO) => "the disk or network fails (input/output error)",
        Some(Errno::NOSPC) => "no room is left",
        Some(Errno::DQUOT) => "the quota is used up",
        Some(Errno::MFILE | Errno::NFILE) => "too many open files",
        Some(Errno::NAMETOOLONG) => "the name is too long",
        Some(Errno::STALE) => "the network file system has lost it (stale handle)",
        _ => {
            let text = error.to_string();
            return match text.split_once(" (os error") {
                Some((words, _)) => words.to_lowercase(),
                None => text,
            };
        }
    };
    text.to_owned()
}

/// The marker that a folder's settings want beside this file.
pub fn marker_of(
    settings: &crate::config::Folder,
    name: &std::ffi::OsStr,
) -> Option<std::ffi::OsString> {
    names::Rules::new(&[], settings.done.as_deref()).marker_of(name)
}

/// Makes a folder's renames, or a file's bytes, outlast a power cut. An error is told once by the
/// system and never again, so it is never tried twice.
pub fn sync(fd: impl AsFd) -> Result<()> {
    #[cfg(test)]
    crate::plant::point();
    match rustix::fs::fsync(fd) {
        // Some file systems have nothing to sync in a folder.
        Ok(()) | Err(Errno::INVAL | Errno::ROFS) => Ok(()),
        Err(error) => Err(Error::Broken(io_text(&error.into()))),
    }
}
