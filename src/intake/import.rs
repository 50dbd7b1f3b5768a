//! `tillsync import`: a file that a person names is taken in by the same path as the loop's, in the
//! process of the command, beside a running daemon or without one. The file stays where it is.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

use super::away::{stat_of, write_rejects};
use super::take::{self, Taken};
use super::{Control, Error, Result, Site};
use crate::config;
use crate::folder::archive::own_folder;
use crate::folder::claim::{Claimed, is_unchanged};
use crate::folder::{self, REJECTS, scan};
use crate::store::{Arrival, FileRow, FileState};

/// Held while a command takes a file in: files `by_hand` that are open without it were cut off.
const LOCK: &str = "import.lock";

/// Takes one file in, and gives its row: `stored`, `held`, `unreadable`, or `discarded` if it changed
/// while it was read. `settings` are a folder's, or made of `--kind` and `--preset`; rejects go into
/// that folder's `rejects/`, and without a folder beside the file.
pub fn import(
    site: &Site,
    settings: &config::Folder,
    path: &Path,
    control: &Control,
) -> Result<FileRow> {
    let _lock = lock(site, FlockOperation::LockExclusive)?;
    let claimed = Claimed::by_hand(path).map_err(|error| cannot(path, &error))?;
    let row = arrive(site, settings, path, &claimed)?;
    let mut between = || match control.is_stopped() {
        true => Err(Error::Stopped),
        false => Ok(()),
    };
    let taken = take::take(site, settings, &row, &claimed, &mut between)?;
    let row = site.store.file(row.id)?.unwrap_or(row);
    let now = site.clock.utc_ms();
    match taken {
        Taken::Stored(_) => {
            let names = write_rejects(site, &row, || rejects_folder(settings, path))?;
            site.store.archived(row.id, None, &names, now)?;
        }
        Taken::Unreadable => site.store.archived(row.id, None, &[], now)?,
        // It is taken in when the same file is imported again after `accept`.
        Taken::Held | Taken::Changed => {}
    }
    Ok(site.store.file(row.id)?.unwrap_or(row))
}

/// At a start: what a command that is no longer there left open is closed.
pub fn recover(site: &Site, open: &[FileRow]) -> Result<()> {
    let mut cut_off = open
        .iter()
        .filter(|row| row.by_hand && row.state != FileState::Held)
        .peekable();
    if cut_off.peek().is_none() {
        return Ok(());
    }
    let Ok(_lock) = lock(site, FlockOperation::NonBlockingLockExclusive) else {
        return Ok(());
    };
    for row in cut_off {
        match row.state {
            FileState::Reading => {
                take::give_up(
                    site,
                    row.id,
                    "the import was cut off; import the file again",
                )?;
            }
            // Accepted: it waits for the same file to be imported again.
            FileState::Waiting if row.accepted.is_some() => {}
            FileState::Waiting => {
                take::give_up(
                    site,
                    row.id,
                    "the import was cut off; import the file again",
                )?;
            }
            _ => site
                .store
                .archived(row.id, None, &[], site.clock.utc_ms())?,
        }
    }
    Ok(())
}

fn lock(site: &Site, how: FlockOperation) -> Result<File> {
    let path = site.config.state_dir.join(LOCK);
    let locked = (File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path))
    .and_then(|file| flock(&file, how).map(|()| file).map_err(Into::into));
    locked.map_err(|error| cannot(&path, &error))
}

fn cannot(path: &Path, error: &std::io::Error) -> Error {
    Error::Waits(format!("{}: {}", path.display(), folder::io_text(error)))
}

/// A number for it; the one that it has if it was accepted.
fn arrive(
    site: &Site,
    settings: &config::Folder,
    path: &Path,
    claimed: &Claimed,
) -> Result<FileRow> {
    let name = path.file_name().unwrap_or(path.as_os_str());
    for row in site.store.open_files()? {
        let is_it = row.by_hand
            && row.folder == settings.name
            && row.raw_name == name.as_bytes()
            && is_unchanged(&stat_of(&row), &claimed.stat);
        match row.state {
            FileState::Waiting if is_it && row.accepted.is_some() => return Ok(row),
            FileState::Held if is_it => {
                take::give_up(site, row.id, "it was imported again")?;
            }
            _ => {}
        }
    }
    let id = site.store.arrive(
        &Arrival {
            folder: settings.name.clone(),
            kind: settings.kind,
            name: name.as_bytes().to_vec(),
            shown: folder::shown(name),
            device: claimed.stat.device,
            inode: claimed.stat.inode,
            size: claimed.stat.size,
            mtime_ns: claimed.stat.mtime_ns,
            by_hand: true,
        },
        site.clock.utc_ms(),
    )?;
    let gone = || Error::Internal(format!("file {id} is not in the store"));
    site.store.file(id)?.ok_or_else(gone)
}

fn rejects_folder(settings: &config::Folder, path: &Path) -> Result<OwnedFd> {
    if let Ok((place, _)) = scan::open_folder(&settings.path)
        && settings.path != *path
    {
        return Ok(own_folder(&place, REJECTS)?);
    }
    let beside = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    let beside = beside.unwrap_or(Path::new("."));
    let (place, _) = scan::open_folder(beside).map_err(|error| cannot(beside, &error))?;
    Ok(place)
}
