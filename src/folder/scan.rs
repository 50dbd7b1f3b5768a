//! One look into a folder: what stands there, never followed through a link.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::settle::Stat;

/// One entry of a listing.
#[derive(Clone, Debug)]
pub struct Entry {
    pub name: OsString,
    pub what: What,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    File(Stat),
    Folder,
    /// A link, a pipe, a socket, a device: never read.
    Other,
}

/// Which folder this is, whatever its path says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    pub device: u64,
    pub inode: u64,
}

/// A folder that is held open, and which one it is.
pub fn open_folder(path: &Path) -> io::Result<(OwnedFd, Identity)> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = rustix::fs::open(path, flags, Mode::empty())?;
    let stat = rustix::fs::fstat(&folder)?;
    let identity = Identity {
        device: stat.st_dev,
        inode: stat.st_ino,
    };
    Ok((folder, identity))
}

/// Which folder stands at this path now; `None`: none.
pub fn identity(path: &Path) -> io::Result<Option<Identity>> {
    match rustix::fs::stat(path) {
        Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => {
            Ok(Some(Identity {
                device: stat.st_dev,
                inode: stat.st_ino,
            }))
        }
        Ok(_) | Err(Errno::NOENT) | Err(Errno::NOTDIR) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// All entries, in no order. One that vanishes meanwhile is none.
pub fn list(folder: impl AsFd) -> io::Result<Vec<Entry>> {
    let folder = folder.as_fd();
    let mut entries = Vec::new();
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name == b"." || name == b".." {
            continue;
        }
        let name = OsString::from_vec(name.to_vec());
        if let Some(what) = look(folder, &name)? {
            entries.push(Entry { name, what });
        }
    }
    Ok(entries)
}

/// What stands under this name; `None`: nothing.
pub fn look(folder: impl AsFd, name: &OsStr) -> io::Result<Option<What>> {
    let stat = match rustix::fs::statat(folder, name.as_bytes(), AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => stat,
        Err(Errno::NOENT) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    Ok(Some(match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => What::File(to_stat(&stat)),
        FileType::Directory => What::Folder,
        _ => What::Other,
    }))
}

// Links are counted in fewer bits on some processors.
#[allow(clippy::useless_conversion)]
pub fn to_stat(stat: &rustix::fs::Stat) -> Stat {
    Stat {
        device: stat.st_dev,
        inode: stat.st_ino,
        size: u64::try_from(stat.st_size).unwrap_or(0),
        mtime_ns: stat
            .st_mtime
            .saturating_mul(1_000_000_000)
            .saturating_add(i64::try_from(stat.st_mtime_nsec).unwrap_or(0)),
        links: stat.st_nlink.into(),
    }
}

/// What `statfs` says of the folder's file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileSystem {
    /// Whether inotify sees what others write there: not on network file systems, where other hosts write.
    pub has_events: bool,
    /// A name for people.
    pub name: &'static str,
}

pub fn file_system(folder: impl AsFd) -> io::Result<FileSystem> {
    let magic = rustix::fs::fstatfs(folder)?.f_type as u32;
    Ok(known_file_system(magic))
}

/// statfs(2) lists the numbers.
fn known_file_system(magic: u32) -> FileSystem {
    let (has_events, name) = match magic {
        0x6969 => (false, "nfs"),
        0x517b => (false, "smb"),
        0xff53_4d42 => (false, "cifs"),
        0xfe53_4d42 => (false, "smb2"),
        0x6573_5546 => (false, "fuse"),
        0x0102_1997 => (false, "9p"),
        0x00c3_6400 => (false, "ceph"),
        0x5346_414f => (false, "afs"),
        0x7375_7245 => (false, "coda"),
        0x786f_4256 => (false, "vboxsf"),
        0x0bd0_0bd0 => (false, "lustre"),
        0x4750_4653 => (false, "gpfs"),
        0x0116_1970 => (false, "gfs2"),
        0x7461_636f => (false, "ocfs2"),
        0xef53 => (true, "ext4"),
        0x5846_5342 => (true, "xfs"),
        0x9123_683e => (true, "btrfs"),
        0x0102_1994 => (true, "tmpfs"),
        0x794c_7630 => (true, "overlay"),
        0xf2f5_2010 => (true, "f2fs"),
        0x2fc1_2fc1 => (true, "zfs"),
        0x4d44 => (true, "vfat"),
        0x2011_bab0 => (true, "exfat"),
        _ => (true, "local"),
    };
    FileSystem { has_events, name }
}

/// Bytes that the service may still write on the file system of `folder`.
pub fn free_bytes(folder: impl AsFd) -> io::Result<u64> {
    let stat = rustix::fs::fstatvfs(folder)?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_listing_follows_no_link() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a.csv"), "abc").unwrap();
        fs::create_dir(dir.path().join("archive")).unwrap();
        symlink(dir.path().join("a.csv"), dir.path().join("l.csv")).unwrap();
        let (folder, _) = open_folder(dir.path()).unwrap();
        let mut entries = list(&folder).unwrap();
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        let told: Vec<_> = (entries.iter())
            .map(|e| match e.what {
                What::File(stat) => format!("{} {}", e.name.display(), stat.size),
                What::Folder => format!("{} folder", e.name.display()),
                What::Other => format!("{} other", e.name.display()),
            })
            .collect();
        assert_eq!(told, ["a.csv 3", "archive folder", "l.csv other"]);
    }

    #[test]
    fn a_folder_made_anew_is_another_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("drop");
        fs::create_dir(&path).unwrap();
        let (held, first) = open_folder(&path).unwrap();
        fs::remove_dir(&path).unwrap();
        assert_eq!(identity(&path).unwrap(), None);
        fs::create_dir(&path).unwrap();
        // The first is still held, so its number cannot come again.
        assert_ne!(identity(&path).unwrap(), Some(first));
        drop(held);
    }

    #[test]
    fn network_file_systems_tell_nothing_of_others_writes() {
        assert!(!known_file_system(0x6969).has_events);
        assert!(!known_file_system(0xff53_4d42).has_events);
        assert!(known_file_system(0xef53).has_events);
    }
}
