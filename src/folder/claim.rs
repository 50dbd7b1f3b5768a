//! Opening one file of a folder so that nobody can put another one in its place.
//!
//! Names are single components of a listing, and are opened relative to the folder's descriptor
//! without following a link: with no slash in it, nothing lies beneath or above that could be swapped.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;

use super::scan::to_stat;
use super::settle::Stat;

/// A plain file with one name, held open; all reading is from this descriptor.
#[derive(Debug)]
pub struct Claimed {
    pub file: File,
    /// As it was when it was opened.
    pub stat: Stat,
    /// When its inode last changed then.
    ctime: (i64, u64),
}

/// Why a name cannot be taken now.
#[derive(Debug)]
pub enum Refused {
    /// Nothing stands there any more.
    Gone,
    /// A link, a pipe, a folder.
    NotPlain,
    SecondLink,
    /// The service's user may not read it.
    Denied,
    Io(io::Error),
}

impl Refused {
    /// To stand after the file's name.
    pub fn text(&self) -> String {
        match self {
            Refused::Gone => "is gone".into(),
            Refused::NotPlain => "is a link or no plain file; such are never read".into(),
            Refused::SecondLink => super::settle::Why::SecondLink.text().into(),
            Refused::Denied => {
                "cannot be read by the service's user (permission denied); it waits: give that user the right to read it".into()
            }
            Refused::Io(error) => format!("cannot be opened: {}", super::io_text(error)),
        }
    }
}

pub fn claim(folder: impl AsFd, name: &OsStr) -> Result<Claimed, Refused> {
    debug_assert!(!name.as_bytes().contains(&b'/'));
    // Non-blocking: a pipe under this name must not hold up the loop.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file: OwnedFd =
        rustix::fs::openat(folder, name.as_bytes(), flags, Mode::empty()).map_err(refused)?;
    let stat = rustix::fs::fstat(&file).map_err(refused)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(Refused::NotPlain);
    }
    let ctime = ctime(&stat);
    let stat = to_stat(&stat);
    match stat.links {
        0 => Err(Refused::Gone),
        1 => Ok(Claimed {
            file: file.into(),
            stat,
            ctime,
        }),
        _ => Err(Refused::SecondLink),
    }
}

impl Claimed {
    /// As it is now.
    pub fn look(&self) -> io::Result<Stat> {
        Ok(to_stat(&rustix::fs::fstat(&self.file)?))
    }

    /// Whether its inode changed: its content could have, with its time set back, or only its rights.
    pub fn has_ctime_moved(&self) -> io::Result<bool> {
        Ok(ctime(&rustix::fs::fstat(&self.file)?) != self.ctime)
    }

    /// A file that is named on the command line: links are followed, for the person who typed it may.
    pub fn by_hand(path: &std::path::Path) -> io::Result<Claimed> {
        let file = File::open(path)?;
        let stat = rustix::fs::fstat(&file)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(io::Error::other("it is no plain file"));
        }
        Ok(Claimed {
            file,
            stat: to_stat(&stat),
            ctime: ctime(&stat),
        })
    }
}

fn ctime(stat: &rustix::fs::Stat) -> (i64, u64) {
    (stat.st_ctime, stat.st_ctime_nsec)
}

/// Same file, same size, same time of modification. The time of its inode's change says nothing:
/// rights and links are no content.
pub fn is_unchanged(before: &Stat, now: &Stat) -> bool {
    let key = |s: &Stat| (s.device, s.inode, s.size, s.mtime_ns);
    key(before) == key(now)
}

fn refused(errno: Errno) -> Refused {
    match errno {
        Errno::NOENT => Refused::Gone,
        // A link, with NOFOLLOW; a socket, or a device that is not there.
        Errno::LOOP | Errno::NXIO | Errno::NODEV => Refused::NotPlain,
        Errno::ACCESS | Errno::PERM => Refused::Denied,
        other => Refused::Io(other.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::folder::scan::open_folder;
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    #[track_caller]
    fn check(make: impl FnOnce(&Path), expected: &str) {
        let dir = tempfile::tempdir().unwrap();
        make(dir.path());
        let (folder, _) = open_folder(dir.path()).unwrap();
        let told = match claim(&folder, OsStr::new("a.csv")) {
            Ok(claimed) => format!("{} bytes", claimed.stat.size),
            Err(Refused::Io(error)) => panic!("{error}"),
            Err(refused) => format!("{refused:?}"),
        };
        assert_eq!(told, expected);
    }

    #[test]
    fn only_a_plain_file_with_one_name_is_taken() {
        check(
            |dir| fs::write(dir.join("a.csv"), "abc").unwrap(),
            "3 bytes",
        );
        check(|_| {}, "Gone");
        check(|dir| fs::create_dir(dir.join("a.csv")).unwrap(), "NotPlain");
        check(
            |dir| symlink("/etc/passwd", dir.join("a.csv")).unwrap(),
            "NotPlain",
        );
        check(
            |dir| {
                fs::write(dir.join("b.csv"), "abc").unwrap();
                fs::hard_link(dir.join("b.csv"), dir.join("a.csv")).unwrap();
            },
            "SecondLink",
        );
        check(
            |dir| {
                let mode = rustix::fs::Mode::from_raw_mode(0o600);
                rustix::fs::mknodat(rustix::fs::CWD, dir.join("a.csv"), FileType::Fifo, mode, 0)
                    .unwrap();
            },
            "NotPlain",
        );
    }

    #[test]
    fn what_is_put_in_its_place_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let name = dir.path().join("a.csv");
        fs::write(&name, "ours").unwrap();
        let (folder, _) = open_folder(dir.path()).unwrap();
        let claimed = claim(&folder, OsStr::new("a.csv")).unwrap();
        fs::remove_file(&name).unwrap();
        symlink("/etc/passwd", &name).unwrap();
        let mut text = String::new();
        io::Read::read_to_string(&mut &claimed.file, &mut text).unwrap();
        assert_eq!(text, "ours");
        assert!(matches!(
            claim(&folder, OsStr::new("a.csv")),
            Err(Refused::NotPlain)
        ));
    }
}
