//! Which files in `archive/` and `rejects/` are old, and taking them away.
//!
//! Their age is what their name says (`20261125T020312Z-…`, when they were taken in): times of the file
//! itself are its producer's. What has another name was put there by somebody else, and stays.

use std::ffi::{OsStr, OsString};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;

use rustix::fs::AtFlags;
use rustix::io::Errno;

use super::scan::{What, list};
use super::{Result, sync};

/// A stamp from before was given under a clock that had not been set yet: 2020-01-01, UTC milliseconds.
const CLOCK_UNSET_BEFORE: i64 = 1_577_836_800_000;

/// A file that is old, by its name.
pub struct OldFile {
    name: OsString,
    device: u64,
    inode: u64,
}

/// Files from before `before` (UTC milliseconds), by one listing of the folder.
pub fn old(own: impl AsFd, before: i64) -> Result<Vec<OldFile>> {
    let mut old = Vec::new();
    for entry in list(own.as_fd())? {
        let What::File(stat) = entry.what else {
            continue;
        };
        let Some(stamp) = stamped(&entry.name) else {
            continue;
        };
        let since = if stamp < CLOCK_UNSET_BEFORE {
            stamp.max(stat.mtime_ns / 1_000_000)
        } else {
            stamp
        };
        if since < before {
            old.push(OldFile {
                name: entry.name,
                device: stat.device,
                inode: stat.inode,
            });
        }
    }
    Ok(old)
}

/// Removes those whose life is over (`busy` tells of the others, by device and inode); gives back how many.
pub fn remove(own: impl AsFd, files: &[OldFile], busy: &dyn Fn(u64, u64) -> bool) -> Result<usize> {
    let own = own.as_fd();
    let mut gone = 0;
    for file in files.iter().filter(|file| !busy(file.device, file.inode)) {
        match rustix::fs::unlinkat(own, file.name.as_bytes(), AtFlags::empty()) {
            Ok(()) => gone += 1,
            Err(Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
    }
    if gone > 0 {
        sync(own)?;
    }
    Ok(gone)
}

/// When a file of this name was taken in, UTC milliseconds; `None`: the name is none that tillsync gives.
fn stamped(name: &OsStr) -> Option<i64> {
    const FORM: &[u8] = b"00000000T000000Z-";
    let bytes = name.as_bytes().get(..FORM.len())?;
    let fits = |(byte, form): (&u8, &u8)| match form {
        b'0' => byte.is_ascii_digit(),
        other => byte == other,
    };
    if !bytes.iter().zip(FORM).all(fits) {
        return None;
    }
    let text = std::str::from_utf8(&bytes[..FORM.len() - 1]).ok()?;
    let time = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", text).ok()?;
    let time = jiff::tz::TimeZone::UTC.to_timestamp(time).ok()?;
    Some(time.as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::folder::scan::open_folder;

    /// 2026-11-25T00:00:00Z
    const BEFORE: i64 = 1_795_564_800_000;

    #[track_caller]
    fn check(name: &str, goes: bool) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(name), "x").unwrap();
        let (own, _) = open_folder(dir.path()).unwrap();
        let gone = remove(&own, &old(&own, BEFORE).unwrap(), &|_, _| false).unwrap();
        assert_eq!(gone, usize::from(goes), "{name}");
        assert_eq!(dir.path().join(name).exists(), !goes, "{name}");
    }

    #[test]
    fn what_the_name_says_is_old_goes_and_nothing_else() {
        check("20261124T235959Z-customers.csv", true);
        check("20261124T235959Z-customers.csv.reason.txt", true);
        check("20200101T000000Z-a.rejects.csv", true);
        check("20261125T000000Z-customers.csv", false);
        check("20991231T235959Z-customers.csv", false);
        check("customers.csv", false);
        check("20261124-customers.csv", false);
        check("20261124T235959Z", false);
        check("20261324T235959Z-a.csv", false);
        check(".tillsync-17", false);
        // Under a clock that was not set; the file itself is of today.
        check("19700101T000012Z-customers.csv", false);
    }

    #[test]
    fn no_more_go_than_asked_and_none_whose_life_is_not_over() {
        let dir = tempfile::tempdir().unwrap();
        for n in 0..10 {
            std::fs::write(dir.path().join(format!("20250101T00000{n}Z-a.csv")), "x").unwrap();
        }
        let link = dir.path().join("20250101T000000Z-link.csv");
        std::os::unix::fs::symlink("/etc/hostname", &link).unwrap();
        let (own, _) = open_folder(dir.path()).unwrap();
        let files = old(&own, BEFORE).unwrap();
        assert_eq!(files.len(), 10);
        assert_eq!(remove(&own, &files[..4], &|_, _| true).unwrap(), 0);
        assert_eq!(remove(&own, &files[..4], &|_, _| false).unwrap(), 4);
        // What went meanwhile is not missed.
        assert_eq!(remove(&own, &files, &|_, _| false).unwrap(), 6);
        assert_eq!(old(&own, BEFORE).unwrap().len(), 0);
        assert!(link.is_symlink());
    }

    /// A file a day for five years: what stands there in the end is what came in the last thirty days.
    #[test]
    fn five_years_of_files_end_with_thirty_days_of_them() {
        const DAY: i64 = 86_400_000;
        let dir = tempfile::tempdir().unwrap();
        let (own, _) = open_folder(dir.path()).unwrap();
        let mut most = 0;
        for day in 0..1_826 {
            let now = BEFORE + day * DAY;
            let stamp = jiff::Timestamp::from_millisecond(now).unwrap();
            let stamp = stamp.strftime("%Y%m%dT%H%M%SZ").to_string();
            std::fs::write(dir.path().join(format!("{stamp}-a.csv")), "x").unwrap();
            remove(&own, &old(&own, now - 30 * DAY).unwrap(), &|_, _| false).unwrap();
            most = most.max(std::fs::read_dir(dir.path()).unwrap().count());
        }
        assert_eq!(most, 31);
    }
}
