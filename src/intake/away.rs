//! After a file's fate is decided: its rejects are written, and it is moved away. Each step can be
//! repeated from wherever a crash cut it off; the store says which are done.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;

use super::read::Kept;
use super::returned::{self, COLUMNS};
use super::{Error, Result, Site};
use crate::config::{self, After};
use crate::folder::archive::{Moving, look_back, move_in, own_folder, remove};
use crate::folder::rejects::Written;
use crate::folder::settle::Stat;
use crate::folder::{self, ARCHIVE, REJECTS, moved_name, scan};
use crate::store::{FileRow, FileState, StoredReject};
use crate::table::write_row;

/// Bytes that are gathered before they are written.
const WRITE_BYTES: usize = 256 << 10;

/// Where a file went, for the watch on files that grow afterwards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Archived {
    pub name: OsString,
    pub stat: Stat,
}

/// Does what is left to do for a file that is stored, unreadable or put away. `held` is the file
/// while it is open. `None`: it does not stand in the archive.
pub fn put_away(
    site: &Site,
    settings: &config::Folder,
    place: &OwnedFd,
    row: &FileRow,
    held: Option<&File>,
) -> Result<Option<Archived>> {
    let now = site.clock.utc_ms();
    match row.state {
        FileState::Stored | FileState::Reverted => {
            let rejects_names = write_rejects(site, row, || Ok(own_folder(place, REJECTS)?))?;
            let archived = match settings.after {
                _ if row.by_hand => None,
                After::Archive => move_away(place, ARCHIVE, row, held)?,
                After::Delete => {
                    remove(place, moving(row, held, &stamp(row)))?;
                    None
                }
                After::Leave => None,
            };
            if !row.by_hand {
                move_marker(settings, place, row)?;
            }
            let name = archived
                .as_ref()
                .map(|archived| folder::shown(&archived.name));
            site.store
                .archived(row.id, name.as_deref(), &rejects_names, now)?;
            Ok(archived)
        }
        FileState::Discarded => {
            let archived = match row.by_hand {
                true => None,
                false => move_away(place, ARCHIVE, row, held)?,
            };
            let name = archived
                .as_ref()
                .map(|archived| folder::shown(&archived.name));
            site.store.archived(row.id, name.as_deref(), &[], now)?;
            Ok(archived)
        }
        FileState::Unreadable => {
            let moved = match row.by_hand {
                true => None,
                false => move_away(place, REJECTS, row, held)?,
            };
            if let Some(moved) = &moved {
                write_reason(place, row, &moved.name)?;
                move_marker(settings, place, row)?;
            }
            let name = moved.map(|moved| folder::shown(&moved.name));
            site.store.archived(row.id, name.as_deref(), &[], now)?;
            Ok(None)
        }
        FileState::Waiting | FileState::Reading | FileState::Held => Ok(None),
    }
}

/// Ends the life of a file that is left where it is.
pub fn close(site: &Site, id: i64) -> Result<()> {
    site.store.archived(id, None, &[], site.clock.utc_ms())?;
    Ok(())
}

/// `20261125T020312Z`, the same at every try.
pub fn stamp(row: &FileRow) -> String {
    let at = jiff::Timestamp::from_millisecond(row.stored.unwrap_or(row.seen));
    at.unwrap_or(jiff::Timestamp::UNIX_EPOCH)
        .strftime("%Y%m%dT%H%M%SZ")
        .to_string()
}

/// The file that a row is of.
pub fn stat_of(row: &FileRow) -> Stat {
    Stat {
        device: row.device,
        inode: row.inode,
        size: row.size,
        mtime_ns: row.mtime_ns,
        links: 1,
    }
}

fn moving<'a>(row: &'a FileRow, held: Option<&'a File>, stamp: &'a str) -> Moving<'a> {
    Moving {
        id: row.id,
        name: OsStr::from_bytes(&row.raw_name),
        stat: stat_of(row),
        stamp,
        held,
    }
}

fn move_away(
    place: &OwnedFd,
    to: &str,
    row: &FileRow,
    held: Option<&File>,
) -> Result<Option<Archived>> {
    let own = own_folder(place, to)?;
    let Some(name) = move_in(place, &own, moving(row, held, &stamp(row)))? else {
        return Ok(None);
    };
    let stat = look_back(&own, &name)?.unwrap_or(stat_of(row));
    Ok(Some(Archived { name, stat }))
}

/// The marker that made the file complete goes with it.
fn move_marker(settings: &config::Folder, place: &OwnedFd, row: &FileRow) -> Result<()> {
    let name = OsStr::from_bytes(&row.raw_name);
    let Some(marker) = folder::marker_of(settings, name) else {
        return Ok(());
    };
    if settings.after == After::Leave && row.state != FileState::Unreadable {
        return Ok(());
    }
    let Some(scan::What::File(stat)) = scan::look(place, &marker)? else {
        return Ok(());
    };
    let stamp = stamp(row);
    let moving = Moving {
        id: row.id,
        name: &marker,
        stat,
        stamp: &stamp,
        held: None,
    };
    match (settings.after, row.state) {
        (_, FileState::Unreadable) => drop(move_in(place, own_folder(place, REJECTS)?, moving)?),
        (After::Delete, _) => remove(place, moving)?,
        _ => drop(move_in(place, own_folder(place, ARCHIVE)?, moving)?),
    }
    Ok(())
}

fn write_reason(place: &OwnedFd, row: &FileRow, moved: &OsStr) -> Result<()> {
    let own = own_folder(place, REJECTS)?;
    let mut written = Written::begin(&own, &row.id.to_string())?;
    let reason = row.reason.as_deref().unwrap_or("it cannot be read");
    writeln!(
        written,
        "{}\n\ntillsync could not read this file: {reason}.\n\nNothing of it was stored. Mend it, and drop it again.",
        row.name
    )
    .map_err(folder::Error::from)?;
    let moved = moved.to_owned();
    written.finish(|n| {
        let mut name = moved.clone();
        if n > 0 {
            name.push(format!("-{n}"));
        }
        name.push(".reason.txt");
        name
    })?;
    Ok(())
}

/// Writes the rejects that are not written yet, one file a member, and gives all names.
pub fn write_rejects(
    site: &Site,
    row: &FileRow,
    own: impl FnOnce() -> Result<OwnedFd>,
) -> Result<Vec<String>> {
    if row.rejected == 0 {
        return Ok(Vec::new());
    }
    if !row.rejects_names.is_empty() {
        // It may have been cut off after they were written.
        site.store.drop_reject_cells(row.id)?;
        return Ok(row.rejects_names.clone());
    }
    let own = own()?;
    let kept: Vec<Kept> = (row.reading.as_deref())
        .and_then(|reading| serde_json::from_str(reading).ok())
        .unwrap_or_default();
    let mut writing = Writing {
        row,
        own,
        kept,
        open: None,
        names: Vec::new(),
    };
    let mut failed = None;
    site.store.each_reject(row.id, |reject| {
        if failed.is_none() {
            failed = writing.add(reject).err();
        }
    })?;
    if let Some(error) = failed {
        return Err(error);
    }
    writing.close()?;
    site.store.rejects_written(row.id, &writing.names)?;
    Ok(writing.names)
}

/// The rejects of one file on their way to disk.
struct Writing<'a> {
    row: &'a FileRow,
    own: OwnedFd,
    kept: Vec<Kept>,
    open: Option<OpenRejects>,
    names: Vec<String>,
}

/// The rejects file of one member.
struct OpenRejects {
    member: String,
    written: Written,
    bytes: Vec<u8>,
    delimiter: u8,
    /// The file's columns, by their place in a row; without those that an earlier rejects file added.
    own: Vec<usize>,
    /// Of a rejects file that came back: its column `_surplus`.
    surplus: Option<usize>,
    /// Cells of a row that has as many as the header.
    columns: usize,
    /// Several rejects of one line are one row.
    last: Option<StoredReject>,
}

impl Writing<'_> {
    fn add(&mut self, reject: StoredReject) -> Result<()> {
        if self
            .open
            .as_ref()
            .is_none_or(|open| open.member != reject.member)
        {
            self.close()?;
            self.open = Some(self.begin(&reject.member)?);
        }
        let open = self.open.as_mut().expect("it was just opened");
        match &mut open.last {
            Some(last) if last.line == reject.line => {
                last.reason.push_str("; ");
                last.reason.push_str(&reject.reason);
                if last.cells.is_empty() {
                    last.cells = reject.cells;
                }
            }
            _ => {
                open.flush(self.row.id)?;
                open.last = Some(reject);
            }
        }
        Ok(())
    }

    fn begin(&self, member: &str) -> Result<OpenRejects> {
        let kept = self.kept.iter().find(|kept| kept.member == member);
        let header = kept.map_or(&[][..], |kept| &kept.header[..]);
        let own: Vec<usize> = (0..header.len())
            .filter(|n| !returned::is_added(&header[*n]))
            .collect();
        let delimiter = kept.map_or(b',', |kept| kept.dialect.delimiter);
        let mut bytes = b"\xEF\xBB\xBF".to_vec();
        let cells = own.iter().map(|n| header[*n].as_str()).chain(COLUMNS);
        write_row(&mut bytes, cells, delimiter);
        Ok(OpenRejects {
            member: member.to_owned(),
            written: Written::begin(&self.own, &self.row.id.to_string())?,
            bytes,
            delimiter,
            columns: header.len(),
            surplus: header.iter().position(|name| name == COLUMNS[0]),
            own,
            last: None,
        })
    }

    fn close(&mut self) -> Result<()> {
        let Some(mut open) = self.open.take() else {
            return Ok(());
        };
        open.flush(self.row.id)?;
        open.written
            .write_all(&open.bytes)
            .map_err(folder::Error::from)?;
        let mut name = OsString::from(OsStr::from_bytes(&self.row.raw_name));
        if !open.member.is_empty() {
            // No member's name may lead elsewhere.
            name.push("-");
            name.push(open.member.replace(['/', '\\', '\0'], "_"));
        }
        let stamp = stamp(self.row);
        let name = (open.written).finish(|n| moved_name(&stamp, &name, ".rejects.csv", n))?;
        self.names.push(folder::shown(&name));
        Ok(())
    }
}

impl OpenRejects {
    fn flush(&mut self, file: i64) -> Result<()> {
        let Some(reject) = self.last.take() else {
            return Ok(());
        };
        let cell = |n: &usize| reject.cells.get(*n).map_or("", String::as_str);
        // What an earlier rejects file had there is still to be put in its place.
        let before = self
            .surplus
            .map(|n| cell(&n))
            .filter(|cell| !cell.is_empty());
        let beyond = reject.cells.get(self.columns..).unwrap_or_default();
        let surplus: Vec<&str> = before
            .into_iter()
            .chain(beyond.iter().map(String::as_str))
            .collect();
        let surplus = surplus.join(&(self.delimiter as char).to_string());
        let (file, line) = (
            returned::file_cell(file, &self.member),
            reject.line.to_string(),
        );
        let column = reject.column.as_deref().unwrap_or("");
        let added = [&surplus, &file, &line, column, &reject.code, &reject.reason];
        write_row(
            &mut self.bytes,
            self.own.iter().map(cell).chain(added),
            self.delimiter,
        );
        if self.bytes.len() >= WRITE_BYTES {
            self.written
                .write_all(&self.bytes)
                .map_err(folder::Error::from)?;
            self.bytes.clear();
        }
        Ok(())
    }
}

impl From<folder::Error> for Error {
    fn from(error: folder::Error) -> Error {
        match error {
            folder::Error::Full => {
                Error::Full("no room is left on the disk of the drop folder".into())
            }
            folder::Error::Gone => Error::Waits("the folder, or a file in it, is gone".into()),
            folder::Error::Blocked(reason) => Error::Waits(reason),
            folder::Error::Broken(reason) => Error::Broken(reason),
        }
    }
}
