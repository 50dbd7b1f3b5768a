//! The file whose rejected rows come back: how it was read, where it lies now, what its keys were.

use std::collections::HashMap;
use std::fs::File;
use std::os::fd::OwnedFd;

use super::away::stat_of;
use super::read::{Circumstances, Kept, Refusal, each_rows, reading_as_before};
use super::returned::{self, Keys, Original, Returned};
use crate::config;
use crate::folder::archive::own_folder_there;
use crate::folder::claim::{Claimed, claim};
use crate::folder::{ARCHIVE, scan};
use crate::store::{self, Connection, FileRow, FileState};

/// Keys of rejected rows that are kept, at most.
const KEYS_MAX: usize = 100_000;

/// Rejects files of rejects files that are followed back to the first original, at most.
pub const STEPS_MAX: usize = 16;

/// Finds originals by their files' numbers.
pub struct Originals<'a> {
    pub reader: &'a Connection,
    /// A folder's settings by its name.
    pub settings: &'a dyn Fn(&str) -> Option<&'a config::Folder>,
    /// Of the file that came back.
    pub circumstances: &'a Circumstances<'a>,
}

impl Originals<'_> {
    /// `None`: it is not known here.
    pub fn find(&self, id: i64) -> Option<Original> {
        let row = store::file(self.reader, id).ok().flatten()?;
        let kept = serde_json::from_str(row.reading.as_deref()?).ok()?;
        Some(Original {
            kept,
            id,
            file: self.file_of(&row),
            keys: self.keys(&row, STEPS_MAX).unwrap_or_default(),
            is_stored: row.state == FileState::Stored,
            name: row.name,
        })
    }

    /// What stood in the keys' columns of a file's rejected rows, from the archived file; none where it
    /// cannot be read any more.
    fn keys(&self, row: &FileRow, steps: usize) -> Option<Keys> {
        let mut lines = Keys::new();
        let mut count = 0;
        store::each_reject(self.reader, row.id, |reject| {
            count += 1;
            if count <= KEYS_MAX {
                let of_member = lines.entry(reject.member).or_default();
                of_member.insert(reject.line, Vec::new());
            }
        })
        .ok()?;
        let original = self.file_of(row)?;
        let kept: Vec<Kept> = serde_json::from_str(row.reading.as_deref()?).ok()?;
        let circumstances = Circumstances {
            folder: (self.settings)(&row.folder)?,
            ..*self.circumstances
        };
        let mut earlier: HashMap<i64, Keys> = HashMap::new();
        for kept in kept {
            let Some(lines) = lines.get_mut(&kept.member) else {
                continue;
            };
            let reading = reading_as_before(&kept, &circumstances).ok()?;
            let columns = reading.key_columns();
            let is_returned = returned::own_header(&kept.header).is_some();
            let member = kept.table();
            let mut file = &original;
            each_rows(&mut file, &member, |rows| {
                for row in rows.iter() {
                    let Some(cells) = lines.get_mut(&row.line()) else {
                        continue;
                    };
                    // Of a rejects file the keys may be damaged already: its own original knows better.
                    let origin = match is_returned {
                        true => Returned::origin(&member.header, row),
                        false => None,
                    };
                    if let Some((id, of, line)) = origin {
                        let known = earlier
                            .entry(id)
                            .or_insert_with(|| self.earlier_keys(id, steps));
                        let known = known.get(&of).and_then(|lines| lines.get(&line));
                        if let Some(known) = known {
                            cells.clone_from(known);
                            continue;
                        }
                    }
                    let cell = |&n: &usize| (member.header[n].clone(), row.cell(n).to_owned());
                    cells.extend(columns.iter().map(cell));
                }
                Ok::<(), Refusal>(())
            })
            .ok()?;
            lines.retain(|_, cells| !cells.is_empty());
        }
        Some(lines)
    }

    fn earlier_keys(&self, id: i64, steps: usize) -> Keys {
        let file = store::file(self.reader, id).ok().flatten();
        file.filter(|_| steps > 0)
            .and_then(|file| self.keys(&file, steps - 1))
            .unwrap_or_default()
    }

    /// The file of a row, where it was moved or left, if it is still the same.
    fn file_of(&self, row: &FileRow) -> Option<File> {
        let settings = (self.settings)(&row.folder)?;
        let (place, _) = scan::open_folder(&settings.path).ok()?;
        let archive = own_folder_there(&place, ARCHIVE).ok().flatten();
        let claimed = (archive.and_then(|archive| still_there(&archive, row)))
            .or_else(|| still_there(&place, row))?;
        Some(claimed.file)
    }
}

/// The very file of this row in one folder.
fn still_there(place: &OwnedFd, row: &FileRow) -> Option<Claimed> {
    let name = (scan::list(place).ok()?.into_iter())
        .find(|entry| matches!(entry.what, scan::What::File(stat) if stat == stat_of(row)))?
        .name;
    claim(place, &name).ok()
}
