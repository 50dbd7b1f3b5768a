//! Moving a file away, so that each step can be repeated after a crash and nobody else's file is taken
//! for ours: RELIABILITY.md's order of writes. A name proves nothing; inode and device do.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, RenameFlags, Timespec, Timestamps};
use rustix::io::Errno;

use super::claim::is_unchanged;
use super::names::{OWN_PREFIX, moved_name};
use super::scan::{What, list, look, to_stat};
use super::settle::Stat;
use super::{Error, Result, sync};

/// Names with one stamp that are tried before it is given up: far more than a second can bring.
const COLLISIONS_MAX: u32 = 10_000;

/// The rights of files that tillsync writes beside the drop folder: who may drop may read and mend.
pub const FILE_MODE: Mode = Mode::from_raw_mode(0o660);

/// Opens the daemon's own folder `name` in a drop folder, and makes it where it is missing, with the
/// drop folder's group and rights.
pub fn own_folder(folder: impl AsFd, name: &str) -> Result<OwnedFd> {
    let folder = folder.as_fd();
    match open_own(folder, name) {
        Err(Error::Gone) => make_own(folder, name),
        other => other,
    }
}

/// The same, where it stands already.
pub fn own_folder_there(folder: impl AsFd, name: &str) -> Result<Option<OwnedFd>> {
    match open_own(folder.as_fd(), name) {
        Err(Error::Gone) => Ok(None),
        other => other.map(Some),
    }
}

fn make_own(folder: BorrowedFd<'_>, name: &str) -> Result<OwnedFd> {
    match rustix::fs::mkdirat(folder, name, Mode::RWXU) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(error) => return Err(error.into()),
    }
    let own = open_own(folder, name)?;
    let like = rustix::fs::fstat(folder)?;
    let made = rustix::fs::fstat(&own)?;
    if made.st_gid != like.st_gid {
        // Not our group to give: the rights still say what they can.
        let _ = rustix::fs::fchown(&own, None, Some(Gid::from_raw(like.st_gid)));
    }
    let rights = Mode::from_raw_mode(like.st_mode) | Mode::RWXU;
    match rustix::fs::fchmod(&own, rights) {
        // A hardened service may not set the setgid bit; its own group is the folder's then.
        Err(Errno::PERM) => rustix::fs::fchmod(&own, rights & Mode::from_raw_mode(0o1777))?,
        done => done?,
    }
    sync(folder)?;
    Ok(own)
}

/// A link is followed only where root or the service's own user made it: whoever may drop files here
/// could else have us write elsewhere.
fn open_own(folder: BorrowedFd<'_>, name: &str) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    match rustix::fs::openat(folder, name, flags | OFlags::NOFOLLOW, Mode::empty()) {
        Ok(own) => return Ok(own),
        Err(Errno::NOTDIR | Errno::LOOP) => {}
        Err(error) => return Err(error.into()),
    }
    let stat = rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
    let ours = [0, rustix::process::geteuid().as_raw()];
    let is_link = FileType::from_raw_mode(stat.st_mode) == FileType::Symlink;
    if is_link && ours.contains(&stat.st_uid) {
        return Ok(rustix::fs::openat(folder, name, flags, Mode::empty())?);
    }
    Err(Error::Blocked(format!(
        "{name}/ is a link, or no folder; files cannot be moved there: remove it, and tillsync makes the folder anew"
    )))
}

/// What has to be known to move one file away again and again until it is done.
#[derive(Clone, Copy)]
pub struct Moving<'a> {
    /// The file's number: its hidden name on the way.
    pub id: i64,
    pub name: &'a OsStr,
    /// Which file it is.
    pub stat: Stat,
    /// Begins its name afterwards: `20261125T020312Z`. The same at every try.
    pub stamp: &'a str,
    /// Where the file is still held open: its bytes, should the name be gone.
    pub held: Option<&'a File>,
}

impl Moving<'_> {
    fn hidden(&self) -> OsString {
        format!("{OWN_PREFIX}{}", self.id).into()
    }
}

/// Moves the file into `own` and gives its name there; `None`: it is neither here nor there, and
/// nobody holds it open.
pub fn move_in(folder: impl AsFd, own: impl AsFd, moving: Moving<'_>) -> Result<Option<OsString>> {
    let (folder, own) = (folder.as_fd(), own.as_fd());
    let hidden = moving.hidden();
    if !is_there(own, &hidden, &moving.stat)? {
        match take_out(folder, own, &moving, &hidden)? {
            TakenOut::Hidden => {}
            TakenOut::OtherFileSystem => return copy_over(folder, own, moving).map(Some),
            TakenOut::Nothing => return settle_gone(own, moving),
        }
    }
    let name = rename_free(own, &hidden, own, &moving)?;
    sync(own)?;
    sync(folder)?;
    Ok(Some(name))
}

/// Removes the file, and no other that has its name by now.
pub fn remove(folder: impl AsFd, moving: Moving<'_>) -> Result<()> {
    let folder = folder.as_fd();
    let hidden = moving.hidden();
    if is_there(folder, &hidden, &moving.stat)?
        || take_out(folder, folder, &moving, &hidden)? == TakenOut::Hidden
    {
        rustix::fs::unlinkat(folder, hidden.as_bytes(), AtFlags::empty())?;
        sync(folder)?;
    }
    Ok(())
}

/// A file's new name without replacing another; `Errno::EXIST` as an error of its own.
pub fn rename_new(
    from: impl AsFd,
    name: &OsStr,
    to: impl AsFd,
    new: &OsStr,
) -> std::result::Result<(), Errno> {
    let (from, to) = (from.as_fd(), to.as_fd());
    let (name, new) = (name.as_bytes(), new.as_bytes());
    match rustix::fs::renameat_with(from, name, to, new, RenameFlags::NOREPLACE) {
        // Some file systems (NFS, FUSE) cannot do it in one step; the folder it goes to is ours.
        Err(Errno::INVAL | Errno::NOSYS) => {
            match rustix::fs::statat(to, new, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(_) => Err(Errno::EXIST),
                Err(Errno::NOENT) => rustix::fs::renameat(from, name, to, new),
                Err(error) => Err(error),
            }
        }
        other => other,
    }
}

#[derive(PartialEq, Eq)]
enum TakenOut {
    /// It stands in the other folder under its hidden name.
    Hidden,
    OtherFileSystem,
    /// Its name is gone, or is another file's, which was put back.
    Nothing,
}

fn take_out(
    folder: BorrowedFd<'_>,
    own: BorrowedFd<'_>,
    moving: &Moving<'_>,
    hidden: &OsStr,
) -> Result<TakenOut> {
    if !is_there(folder, moving.name, &moving.stat)? {
        return Ok(TakenOut::Nothing);
    }
    match rename_new(folder, moving.name, own, hidden) {
        Ok(()) => {}
        Err(Errno::XDEV) => return Ok(TakenOut::OtherFileSystem),
        Err(Errno::NOENT) => return Ok(TakenOut::Nothing),
        Err(error) => return Err(error.into()),
    }
    if is_there(own, hidden, &moving.stat)? {
        return Ok(TakenOut::Hidden);
    }
    // Another file was put under the name between look and rename: it is somebody's, and goes back.
    match rename_new(own, hidden, folder, moving.name) {
        Ok(()) => {}
        Err(Errno::EXIST) => {
            for n in 1..COLLISIONS_MAX {
                let name = moved_name("again", moving.name, "", n);
                if rename_new(own, hidden, folder, &name).is_ok() {
                    break;
                }
            }
        }
        Err(error) => return Err(error.into()),
    }
    Ok(TakenOut::Nothing)
}

/// Its name is gone from the folder: it was moved before a crash, or somebody took it away.
fn settle_gone(own: BorrowedFd<'_>, moving: Moving<'_>) -> Result<Option<OsString>> {
    for entry in list(own)? {
        if let What::File(stat) = entry.what
            && is_unchanged(&stat, &moving.stat)
        {
            sync(own)?;
            return Ok(Some(entry.name));
        }
    }
    match moving.held {
        Some(held) => write_copy(own, held, &moving).map(Some),
        None => Ok(None),
    }
}

/// Across file systems: copy, sync, rename, and only then remove.
fn copy_over(folder: BorrowedFd<'_>, own: BorrowedFd<'_>, moving: Moving<'_>) -> Result<OsString> {
    let source = super::claim::claim(folder, moving.name).map_err(|refused| match refused {
        super::claim::Refused::Io(error) => Error::from(error),
        other => Error::Blocked(format!("the file {}", other.text())),
    })?;
    if (source.stat.device, source.stat.inode) != (moving.stat.device, moving.stat.inode) {
        return Err(Error::Gone);
    }
    let name = match earlier_copy(own, &source.file, &moving)? {
        Some(name) => name,
        None => write_copy(own, &source.file, &moving)?,
    };
    remove(folder, moving)?;
    Ok(name)
}

/// The copy that a try before a crash has finished: same name, same bytes.
fn earlier_copy(
    own: BorrowedFd<'_>,
    source: &File,
    moving: &Moving<'_>,
) -> Result<Option<OsString>> {
    let name = moved_name(moving.stamp, moving.name, "", 0);
    let Ok(copy) = super::claim::claim(own, &name) else {
        return Ok(None);
    };
    if copy.stat.size != moving.stat.size || copy.stat.mtime_ns != moving.stat.mtime_ns {
        return Ok(None);
    }
    Ok((hash(&copy.file)? == hash(source)?).then_some(name))
}

fn hash(mut file: &File) -> Result<blake3::Hash> {
    io::Seek::seek(&mut file, io::SeekFrom::Start(0))?;
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(file)?;
    Ok(hasher.finalize())
}

fn write_copy(own: BorrowedFd<'_>, mut source: &File, moving: &Moving<'_>) -> Result<OsString> {
    let hidden: OsString = format!("{OWN_PREFIX}copy-{}", moving.id).into();
    let mut copy = create_own(own, &hidden)?;
    io::Seek::seek(&mut source, io::SeekFrom::Start(0))?;
    io::copy(&mut source, &mut copy)?;
    keep_rights(source, &copy)?;
    sync(&copy)?;
    let name = rename_free(own, &hidden, own, moving)?;
    sync(own)?;
    Ok(name)
}

/// A copy keeps its original's rights and times as far as we may give them.
fn keep_rights(source: &File, copy: &File) -> Result<()> {
    let stat = rustix::fs::fstat(source)?;
    let _ = rustix::fs::fchown(copy, None, Some(Gid::from_raw(stat.st_gid)));
    rustix::fs::fchmod(copy, Mode::from_raw_mode(stat.st_mode))?;
    let time = Timespec {
        tv_sec: stat.st_mtime,
        tv_nsec: stat.st_mtime_nsec as _,
    };
    let times = Timestamps {
        last_access: time,
        last_modification: time,
    };
    Ok(rustix::fs::futimens(copy, &times)?)
}

/// A new file under a hidden name in a folder of ours; what an earlier try left there is replaced.
pub fn create_own(own: impl AsFd, hidden: &OsStr) -> Result<File> {
    let own = own.as_fd();
    match rustix::fs::unlinkat(own, hidden.as_bytes(), AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(error) => return Err(error.into()),
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file: File = rustix::fs::openat(own, hidden.as_bytes(), flags, FILE_MODE)?.into();
    // Whatever the service's umask says: who may drop may mend.
    let group = rustix::fs::fstat(own)?.st_gid;
    let _ = rustix::fs::fchown(&file, None, Some(Gid::from_raw(group)));
    rustix::fs::fchmod(&file, FILE_MODE)?;
    Ok(file)
}

fn rename_free(
    from: BorrowedFd<'_>,
    hidden: &OsStr,
    own: BorrowedFd<'_>,
    moving: &Moving<'_>,
) -> Result<OsString> {
    rename_to_free(from, hidden, own, |n| {
        moved_name(moving.stamp, moving.name, "", n)
    })
}

/// Tries one name after another until one is free.
pub fn rename_to_free(
    from: impl AsFd,
    hidden: &OsStr,
    own: impl AsFd,
    name_of: impl Fn(u32) -> OsString,
) -> Result<OsString> {
    for n in 0..COLLISIONS_MAX {
        let name = name_of(n);
        match rename_new(&from, hidden, &own, &name) {
            Ok(()) => return Ok(name),
            Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Error::Blocked(
        "too many files of one name in one second".into(),
    ))
}

fn is_there(folder: BorrowedFd<'_>, name: &OsStr, stat: &Stat) -> Result<bool> {
    Ok(match look(folder, name)? {
        Some(What::File(found)) => (found.device, found.inode) == (stat.device, stat.inode),
        _ => false,
    })
}

/// Whether a file that was moved into `own` still looks as it did; `None`: it is no longer there.
pub fn look_back(own: impl AsFd, name: &OsStr) -> Result<Option<Stat>> {
    match rustix::fs::statat(own, name.as_bytes(), AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(to_stat(&stat))),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Removes what a crash left half written. A file that was on its way under its number stays: its
/// row in the store finds it.
pub fn sweep(own: impl AsFd) -> Result<()> {
    let own = own.as_fd();
    for entry in list(own)? {
        let name = entry.name.as_bytes();
        let is_ours = name.strip_prefix(OWN_PREFIX.as_bytes());
        if is_ours.is_some_and(|rest| !rest.iter().all(u8::is_ascii_digit)) {
            rustix::fs::unlinkat(own, name, AtFlags::empty())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::folder::claim::claim;
    use crate::folder::scan::open_folder;
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
    use std::path::{Path, PathBuf};

    const STAMP: &str = "20261125T020312Z";

    struct Drop {
        dir: tempfile::TempDir,
        folder: OwnedFd,
    }

    impl Drop {
        fn new() -> Drop {
            let dir = tempfile::tempdir().unwrap();
            let (folder, _) = open_folder(dir.path()).unwrap();
            Drop { dir, folder }
        }

        fn put(&self, name: &str, text: &str) -> Stat {
            fs::write(self.path(name), text).unwrap();
            claim(&self.folder, OsStr::new(name)).unwrap().stat
        }

        fn path(&self, name: &str) -> PathBuf {
            self.dir.path().join(name)
        }

        fn archive(&self, id: i64, stat: Stat) -> Result<Option<OsString>> {
            let own = own_folder(&self.folder, "archive")?;
            move_in(&self.folder, &own, moving(id, stat))
        }

        #[track_caller]
        fn check(&self, expected: &[(&str, &str)]) {
            let mut found = Vec::new();
            for place in ["", "archive"] {
                let Ok(entries) = fs::read_dir(self.path(place)) else {
                    continue;
                };
                for entry in entries {
                    let path = entry.unwrap().path();
                    if path.is_file() {
                        let name = path.strip_prefix(self.dir.path()).unwrap().to_owned();
                        found.push((
                            name.display().to_string(),
                            fs::read_to_string(path).unwrap(),
                        ));
                    }
                }
            }
            found.sort();
            let found: Vec<_> = found
                .iter()
                .map(|(a, b)| (a.as_str(), b.as_str()))
                .collect();
            assert_eq!(found, expected);
        }
    }

    fn moving(id: i64, stat: Stat) -> Moving<'static> {
        Moving {
            id,
            name: OsStr::new("a.csv"),
            stat,
            stamp: STAMP,
            held: None,
        }
    }

    #[test]
    fn files_of_one_name_in_one_second_all_stand_in_the_archive() {
        let drop = Drop::new();
        for (id, text) in [(1, "one"), (2, "two"), (3, "three")] {
            let stat = drop.put("a.csv", text);
            drop.archive(id, stat).unwrap().unwrap();
        }
        drop.check(&[
            ("archive/20261125T020312Z-a-1.csv", "two"),
            ("archive/20261125T020312Z-a-2.csv", "three"),
            ("archive/20261125T020312Z-a.csv", "one"),
        ]);
    }

    #[test]
    fn a_move_is_repeated_from_wherever_it_was_cut_off() {
        let drop = Drop::new();
        let stat = drop.put("a.csv", "one");
        let own = own_folder(&drop.folder, "archive").unwrap();
        // After the first rename.
        fs::rename(drop.path("a.csv"), drop.path("archive/.tillsync-1")).unwrap();
        sweep(&own).unwrap();
        let name = drop.archive(1, stat).unwrap().unwrap();
        drop.check(&[("archive/20261125T020312Z-a.csv", "one")]);
        // After the second.
        assert_eq!(drop.archive(1, stat).unwrap(), Some(name));
        drop.check(&[("archive/20261125T020312Z-a.csv", "one")]);
        // The rename was lost by a power cut: moved again.
        fs::rename(
            drop.path("archive/20261125T020312Z-a.csv"),
            drop.path("a.csv"),
        )
        .unwrap();
        drop.archive(1, stat).unwrap().unwrap();
        drop.check(&[("archive/20261125T020312Z-a.csv", "one")]);
    }

    #[test]
    fn a_file_that_was_put_in_its_place_stays_where_it_is() {
        let drop = Drop::new();
        let stat = drop.put("a.csv", "one");
        let held = claim(&drop.folder, OsStr::new("a.csv")).unwrap();
        fs::rename(drop.path("a.csv"), drop.path("gone")).unwrap();
        fs::write(drop.path("a.csv"), "two").unwrap();
        fs::remove_file(drop.path("gone")).unwrap();
        assert_eq!(drop.archive(1, stat).unwrap(), None);
        drop.check(&[("a.csv", "two")]);
        // Its bytes are still ours to keep while it is held open.
        let own = own_folder(&drop.folder, "archive").unwrap();
        let moving = Moving {
            held: Some(&held.file),
            ..moving(1, stat)
        };
        move_in(&drop.folder, &own, moving).unwrap().unwrap();
        drop.check(&[("a.csv", "two"), ("archive/20261125T020312Z-a.csv", "one")]);
    }

    #[test]
    fn removing_takes_no_other_file() {
        let drop = Drop::new();
        let stat = drop.put("a.csv", "one");
        fs::rename(drop.path("a.csv"), drop.path("b.csv")).unwrap();
        fs::write(drop.path("a.csv"), "two").unwrap();
        remove(&drop.folder, moving(1, stat)).unwrap();
        drop.check(&[("a.csv", "two"), ("b.csv", "one")]);
        let stat = claim(&drop.folder, OsStr::new("a.csv")).unwrap().stat;
        remove(&drop.folder, moving(2, stat)).unwrap();
        drop.check(&[("b.csv", "one")]);
    }

    #[test]
    fn across_file_systems_it_is_copied_whole_and_once() {
        let elsewhere = Path::new("/dev/shm");
        let drop = Drop::new();
        let there = fs::metadata(elsewhere).map(|m| m.dev());
        if there
            .ok()
            .is_none_or(|dev| dev == fs::metadata(drop.dir.path()).unwrap().dev())
        {
            return;
        }
        let other = tempfile::tempdir_in(elsewhere).unwrap();
        symlink(other.path(), drop.path("archive")).unwrap();
        let stat = drop.put("a.csv", "one");
        fs::set_permissions(drop.path("a.csv"), fs::Permissions::from_mode(0o604)).unwrap();
        let name = drop.archive(1, stat).unwrap().unwrap();
        let copy = fs::metadata(drop.path("archive").join(&name)).unwrap();
        assert_eq!(copy.mode() & 0o777, 0o604);
        assert_eq!(copy.mtime(), stat.mtime_ns / 1_000_000_000);
        drop.check(&[("archive/20261125T020312Z-a.csv", "one")]);
    }

    #[test]
    fn own_folders_take_the_group_and_rights_of_the_drop_folder() {
        let drop = Drop::new();
        fs::set_permissions(drop.dir.path(), fs::Permissions::from_mode(0o2770)).unwrap();
        let own = own_folder(&drop.folder, "archive").unwrap();
        let made = fs::metadata(drop.path("archive")).unwrap();
        assert_eq!(made.mode() & 0o7777, 0o2770);
        assert_eq!(made.gid(), fs::metadata(drop.dir.path()).unwrap().gid());
        create_own(&own, OsStr::new(".tillsync-x")).unwrap();
        let written = fs::metadata(drop.path("archive/.tillsync-x")).unwrap();
        assert_eq!(written.mode() & 0o7777, 0o660);
        sweep(&own).unwrap();
        assert!(!drop.path("archive/.tillsync-x").exists());
    }

    #[test]
    fn a_file_in_the_place_of_an_own_folder_is_said() {
        let drop = Drop::new();
        fs::write(drop.path("archive"), "").unwrap();
        assert!(matches!(
            own_folder(&drop.folder, "archive"),
            Err(Error::Blocked(_))
        ));
    }
}
