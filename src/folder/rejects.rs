//! Files that tillsync writes into `rejects/`: under a hidden name, synced, then given their name.
//!
//! Knows nothing of what stands in them.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::AtFlags;
use rustix::io::Errno;

use super::archive::{create_own, rename_to_free};
use super::claim::{Claimed, claim};
use super::names::OWN_PREFIX;
use super::{Error, Result, io_text, sync};

/// A file on its way into one of our own folders. Dropped without `finish` it stays hidden, and is
/// swept away at the next start.
pub struct Written {
    own: OwnedFd,
    hidden: OsString,
    out: BufWriter<File>,
}

impl Written {
    /// `key` tells it apart from others that are written at the same time.
    pub fn begin(own: impl AsFd, key: &str) -> Result<Written> {
        let own = own.as_fd().try_clone_to_owned()?;
        let hidden: OsString = format!("{OWN_PREFIX}write-{key}").into();
        let out = BufWriter::new(create_own(&own, &hidden)?);
        Ok(Written { own, hidden, out })
    }

    /// Syncs it and gives it the first free name. `names` gives the n-th to try, the same at every
    /// try; one that stands there with the very same bytes is the one that a try before a crash has
    /// finished.
    pub fn finish(self, names: impl Fn(u32) -> OsString) -> Result<OsString> {
        let Written { own, hidden, out } = self;
        let file = out.into_inner().map_err(|e| Error::from(e.into_error()))?;
        sync_file(&file)?;
        drop(file);
        let ours = open(&own, &hidden)?;
        for n in 0.. {
            let name = names(n);
            match claim(&own, &name) {
                Ok(there) if is_equal(&there, &ours)? => {
                    rustix::fs::unlinkat(&own, hidden.as_bytes(), AtFlags::empty())?;
                    sync(&own)?;
                    return Ok(name);
                }
                Ok(_) => {}
                Err(_) => break,
            }
        }
        let name = rename_to_free(&own, &hidden, &own, names)?;
        sync(&own)?;
        Ok(name)
    }
}

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.out.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.out.flush()
    }
}

/// A file has no room for its bytes only now on file systems that write late: it is written anew
/// from its start, so nothing of the failed sync is relied on.
fn sync_file(file: &File) -> Result<()> {
    match rustix::fs::fsync(file) {
        Ok(()) => Ok(()),
        Err(Errno::NOSPC | Errno::DQUOT) => Err(Error::Full),
        Err(error) => Err(Error::Broken(io_text(&error.into()))),
    }
}

fn open(own: &OwnedFd, name: &OsStr) -> Result<Claimed> {
    claim(own, name)
        .map_err(|refused| Error::Blocked(format!("the rejects file {}", refused.text())))
}

fn is_equal(there: &Claimed, ours: &Claimed) -> Result<bool> {
    if there.stat.size != ours.stat.size {
        return Ok(false);
    }
    let (mut a, mut b) = (vec![0; 64 << 10], vec![0; 64 << 10]);
    let (mut left, mut right) = (
        std::io::BufReader::new(&there.file),
        std::io::BufReader::new(rewound(&ours.file)?),
    );
    loop {
        let n = left.read(&mut a)?;
        if n == 0 {
            return Ok(true);
        }
        if right.read_exact(&mut b[..n]).is_err() || a[..n] != b[..n] {
            return Ok(false);
        }
    }
}

fn rewound(mut file: &File) -> Result<&File> {
    std::io::Seek::seek(&mut file, std::io::SeekFrom::Start(0))?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::folder::scan::open_folder;
    use std::fs;

    fn write(own: &OwnedFd, text: &str) -> String {
        let mut written = Written::begin(own, "7").unwrap();
        written.write_all(text.as_bytes()).unwrap();
        let name = written.finish(|n| format!("a-{n}.csv").into()).unwrap();
        name.to_str().unwrap().to_owned()
    }

    #[test]
    fn nothing_is_written_over_and_nothing_twice() {
        let dir = tempfile::tempdir().unwrap();
        let (own, _) = open_folder(dir.path()).unwrap();
        assert_eq!(write(&own, "one"), "a-0.csv");
        // A crash came before its name was noted: the same again.
        assert_eq!(write(&own, "one"), "a-0.csv");
        assert_eq!(write(&own, "two"), "a-1.csv");
        assert_eq!(write(&own, "two"), "a-1.csv");
        let mut names: Vec<_> = (fs::read_dir(dir.path()).unwrap())
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, ["a-0.csv", "a-1.csv"]);
    }

    #[test]
    fn a_file_that_is_not_finished_is_hidden() {
        let dir = tempfile::tempdir().unwrap();
        let (own, _) = open_folder(dir.path()).unwrap();
        let mut written = Written::begin(&own, "7").unwrap();
        written.write_all(b"half").unwrap();
        drop(written);
        assert!(dir.path().join(".tillsync-write-7").exists());
        crate::folder::archive::sweep(&own).unwrap();
        assert!(!dir.path().join(".tillsync-write-7").exists());
    }
}
