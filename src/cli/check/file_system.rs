//! Which kind of file system a path is on, and what that means for events and for a database.

use std::path::Path;

/// What can be expected of a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nature {
    /// On this host: events come, locks and shared memory work.
    Local,
    /// In memory: gone at the next boot.
    Memory,
    /// Other hosts write, and no event tells of it; a database is not safe there.
    Network,
    /// A program of its own; whether events come cannot be told.
    Program,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileSystem {
    pub name: &'static str,
    pub nature: Nature,
}

/// By the numbers of statfs(2).
const KINDS: &[(u32, &str, Nature)] = &[
    (0xEF53, "ext4", Nature::Local),
    (0x5846_5342, "xfs", Nature::Local),
    (0x9123_683E, "btrfs", Nature::Local),
    (0x2FC1_2FC1, "zfs", Nature::Local),
    (0xF2F5_2010, "f2fs", Nature::Local),
    (0xCA45_1A4E, "bcachefs", Nature::Local),
    (0x794C_7630, "overlay", Nature::Local),
    (0x3153_464A, "jfs", Nature::Local),
    (0x5265_4973, "reiserfs", Nature::Local),
    (0x4D44, "vfat", Nature::Local),
    (0x2011_BAB0, "exfat", Nature::Local),
    (0x5346_544E, "ntfs", Nature::Local),
    (0x7366_746E, "ntfs", Nature::Local),
    (0xF15F, "ecryptfs", Nature::Local),
    (0x0102_1994, "tmpfs", Nature::Memory),
    (0x8584_58F6, "ramfs", Nature::Memory),
    (0x6969, "nfs", Nature::Network),
    (0xFF53_4D42, "cifs", Nature::Network),
    (0xFE53_4D42, "smb2", Nature::Network),
    (0x517B, "smb", Nature::Network),
    (0x0102_1997, "9p", Nature::Network),
    (0x00C3_6400, "ceph", Nature::Network),
    (0x5346_414F, "afs", Nature::Network),
    (0x6B41_4653, "afs", Nature::Network),
    (0x564C, "ncp", Nature::Network),
    (0x7375_7245, "coda", Nature::Network),
    (0x0BD0_0BD0, "lustre", Nature::Network),
    (0x0116_1970, "gfs2", Nature::Network),
    (0x7461_636F, "ocfs2", Nature::Network),
    (0x786F_4256, "vboxsf", Nature::Network),
    (0x6573_5546, "fuse", Nature::Program),
];

/// Of an existing path.
pub fn of(path: &Path) -> std::io::Result<FileSystem> {
    let facts = rustix::fs::statfs(path)?;
    // The number has 32 bits, and a sign on some hosts.
    Ok(known(facts.f_type as u32))
}

fn known(number: u32) -> FileSystem {
    match KINDS.iter().find(|(known, ..)| *known == number) {
        Some((_, name, nature)) => FileSystem {
            name,
            nature: *nature,
        },
        None => FileSystem {
            name: "a file system of a kind that is not known",
            nature: Nature::Program,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_told_apart() {
        for (number, name, nature) in [
            (0xEF53, "ext4", Nature::Local),
            (0x0102_1994, "tmpfs", Nature::Memory),
            (0x6969, "nfs", Nature::Network),
            (0xFF53_4D42, "cifs", Nature::Network),
            (0x6573_5546, "fuse", Nature::Program),
        ] {
            assert_eq!(known(number), FileSystem { name, nature });
        }
        assert_eq!(known(1).nature, Nature::Program);
        assert!(of(Path::new("/")).is_ok());
        assert!(of(Path::new("/does/not/exist")).is_err());
    }
}
