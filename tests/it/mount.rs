//! Disks of a test's own: small, or with a power that can be cut. Gone with the test.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::shop::Running;

/// A tmpfs of some size, gone with the test. `None` where this user may not mount.
pub struct Mount<'a>(&'a Path);

impl<'a> Mount<'a> {
    pub fn small(path: &'a Path, size: &str) -> Option<Mount<'a>> {
        fs::create_dir_all(path).unwrap();
        let mounted = Command::new("mount")
            .args([
                "-t",
                "tmpfs",
                "-o",
                &format!("size={size},mode=0700"),
                "tmpfs",
            ])
            .arg(path)
            .output();
        match mounted {
            Ok(output) if output.status.success() => Some(Mount(path)),
            _ => {
                eprintln!("passed over: this user may not mount a tmpfs");
                None
            }
        }
    }

    pub fn again(&self, options: &str) {
        let status = Command::new("mount")
            .args(["-o", &format!("remount,{options}")])
            .arg(self.0)
            .status();
        assert!(status.unwrap().success());
    }
}

impl Drop for Mount<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}

/// A disk of its own, an ext4 in a file, whose power can be cut. `None` where this user may not mount.
pub struct Disk {
    dir: tempfile::TempDir,
}

impl Disk {
    pub fn new() -> Option<Disk> {
        let disk = Disk {
            dir: tempfile::tempdir().unwrap(),
        };
        fs::create_dir(disk.mounted()).unwrap();
        let image = fs::File::create(disk.dir.path().join("image")).unwrap();
        image.set_len(512 << 20).unwrap(); // a hole, but for what is used
        let made = Command::new("mkfs.ext4")
            .args(["-q", "-F"])
            .arg(disk.dir.path().join("image"))
            .status();
        if made.is_ok_and(|status| status.success()) && disk.mount() {
            return Some(disk);
        }
        eprintln!("passed over: this user may not mount an ext4 in a file");
        None
    }

    pub fn mounted(&self) -> PathBuf {
        self.dir.path().join("disk")
    }

    fn mount(&self) -> bool {
        let status = Command::new("mount")
            .args(["-o", "loop"])
            .arg(self.dir.path().join("image"))
            .arg(self.mounted())
            .status();
        status.is_ok_and(|status| status.success())
    }

    /// What was not told to reach the disk is gone; the log of the file system is not written out.
    pub fn cut(&self, daemon: Running) {
        // EXT4_IOC_SHUTDOWN with EXT4_GOING_FLAGS_NOLOGFLUSH.
        let shutdown = "import fcntl, os, struct, sys
fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x8004587D, struct.pack('I', 2))";
        let status = Command::new("python3")
            .args(["-c", shutdown])
            .arg(self.mounted())
            .status();
        assert!(status.unwrap().success(), "the power can be cut");
        daemon.kill();
        let status = Command::new("umount").arg(self.mounted()).status();
        assert!(status.unwrap().success());
        assert!(self.mount(), "the disk is there again");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount")
            .arg("-l")
            .arg(self.mounted())
            .status();
    }
}
