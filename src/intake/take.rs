//! One file from its first byte to its last: looked over, held or read, stored.
//!
//! Moving it away afterwards is `away`'s. Killed anywhere, the file stays `reading` and is read again
//! from its start; what was stored is unchanged then.

use std::fs::File;

use super::hash::Hashed;
use super::hold::{self, Hold};
use super::known::Known;
use super::original::Originals;
use super::read::{self, Circumstances, Refusal, Sink, Table, Tally};
use super::{Error, Result, Site};
use crate::config;
use crate::folder::claim::{Claimed, is_unchanged};
use crate::kind::Kind;
use crate::record::Batch;
use crate::reject::Reject;
use crate::store::{Begin, Counts, FileRow, FileState, Finish, IntakeSession, StoreLookup};

/// What became of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taken {
    Stored(Counts),
    /// A person should see it first; nothing was changed.
    Held,
    /// It goes to `rejects/` whole.
    Unreadable,
    /// It is not what it was when it was opened: what it changed is taken back, and it is read anew
    /// once it is settled.
    Changed,
}

/// How often the process may die while it reads one file, before that file is set aside.
pub const CRASHES_MAX: u32 = 3;

/// Takes in a file that has its number. `between` is called after each batch, and ends the work by
/// an error.
pub fn take(
    site: &Site,
    folder: &config::Folder,
    row: &FileRow,
    claimed: &Claimed,
    between: &mut dyn FnMut() -> Result<()>,
) -> Result<Taken> {
    if row.state == FileState::Reading && row.crashes >= CRASHES_MAX {
        let reason = format!(
            "tillsync ended unexpectedly {} times in a row while it read this file; look into the log, and report it",
            row.crashes
        );
        return set_aside(site, row, reason);
    }
    let types = site.metadata_types()?;
    let circumstances = site.circumstances(folder, &types);
    let tables = match prepare(site, claimed, &circumstances) {
        Ok(tables) => tables,
        Err(Refusal::Io(error)) => return Err(Error::waits_for_file(&error)),
        Err(Refusal::Unreadable(_)) if !is_as_it_was(claimed, None)? => {
            return give_up_changed(site, row);
        }
        Err(Refusal::Unreadable(reason)) => return set_aside(site, row, reason),
    };
    if folder.kind == Kind::Orders {
        // What orders ask for: their customer by e-mail, their items by the SKU's code.
        site.store.prepare_lookup(Kind::Customers)?;
        site.store.prepare_lookup(Kind::Skus)?;
    }
    if tables.iter().any(|table| table.reading.asks_for_products()) {
        site.store.prepare_lookup(Kind::Products)?;
    }
    let mut session = site.store.begin_intake(Begin {
        file: row.id,
        preset: tables[0].preset.clone(),
        reading: read::kept(&tables),
        now: site.clock.utc_ms(),
    })?;
    let look_over = hold::LookOver {
        reader: &|| Ok(site.store.reader()?),
        scratch_dir: &site.config.state_dir,
        file: &claimed.file,
        mtime_ns: claimed.stat.mtime_ns,
        circumstances: &circumstances,
    };
    let concerns = match look_over.look(&tables, &mut session, between) {
        Err(Error::Unreadable(reason)) => {
            session.take_back(FileState::Unreadable, Some(reason), site.clock.utc_ms())?;
            return Ok(Taken::Unreadable);
        }
        other => other?,
    };
    match hold::decide(&concerns, row) {
        Hold::Pass => {}
        Hold::Held {
            code,
            reason,
            number,
        } => {
            session.take_back(FileState::Held, Some(reason.clone()), site.clock.utc_ms())?;
            site.store.hold(row.id, &code, &reason, number)?;
            return Ok(Taken::Held);
        }
    }
    read_all(site, folder, row, claimed, tables, session, between)
}

/// The state that a file ends in that cannot be read; what an earlier reading stored of it goes.
fn set_aside(site: &Site, row: &FileRow, reason: String) -> Result<Taken> {
    let now = site.clock.utc_ms();
    if row.state == FileState::Reading {
        site.store
            .take_back(row.id, FileState::Unreadable, Some(reason), now)?;
    } else {
        site.store.unreadable(row.id, &reason, now)?;
    }
    Ok(Taken::Unreadable)
}

/// The row of a file that is another one by now: its life is over, and a new file begins.
pub fn give_up_changed(site: &Site, row: &FileRow) -> Result<Taken> {
    let reason =
        "it changed while it was read; it is read again, as a new file, once it stays as it is";
    give_up(site, row.id, reason)?;
    Ok(Taken::Changed)
}

/// Takes back what a file changed, and ends its life: nothing of it is left to move.
pub fn give_up(site: &Site, id: i64, reason: &str) -> Result<()> {
    let now = site.clock.utc_ms();
    (site.store).take_back(id, FileState::Discarded, Some(reason.to_owned()), now)?;
    site.store.archived(id, None, &[], now)?;
    Ok(())
}

fn prepare(
    site: &Site,
    claimed: &Claimed,
    circumstances: &Circumstances<'_>,
) -> std::result::Result<Vec<Table>, Refusal> {
    let mut file = &claimed.file;
    let reader = site.store.reader().ok();
    let original = |id| {
        let originals = Originals {
            reader: reader.as_ref()?,
            settings: &|name| site.config.folder(name),
            circumstances,
        };
        originals.find(id)
    };
    read::prepare(&mut file, circumstances, &original, read::LookOver::Later)
}

fn read_all(
    site: &Site,
    folder: &config::Folder,
    row: &FileRow,
    claimed: &Claimed,
    mut tables: Vec<Table>,
    session: IntakeSession,
    between: &mut dyn FnMut() -> Result<()>,
) -> Result<Taken> {
    let mut hashed = Hashed::new(&claimed.file);
    let mut into = IntoStore {
        site,
        session,
        between,
    };
    let mut tally = Tally::default();
    for table in &mut tables {
        match read_one(
            site,
            folder,
            claimed,
            table,
            &mut hashed,
            &mut into,
            &mut tally,
        ) {
            Ok(()) => {}
            Err(Error::Unreadable(reason)) => {
                let now = site.clock.utc_ms();
                into.session
                    .take_back(FileState::Unreadable, Some(reason), now)?;
                return Ok(Taken::Unreadable);
            }
            Err(error) => return Err(error),
        }
    }
    let IntoStore { mut session, .. } = into;
    session.decided(read::kept(&tables));
    let hash = hashed
        .finish()
        .map_err(|error| Error::waits_for_file(&error))?;
    let now = site.clock.utc_ms();
    if !is_as_it_was(claimed, Some(&hash))? {
        let reason =
            "it changed while it was read; it is read again, as a new file, once it stays as it is";
        session.take_back(FileState::Discarded, Some(reason.into()), now)?;
        site.store.archived(row.id, None, &[], now)?;
        return Ok(Taken::Changed);
    }
    let is_returned = tables.iter().any(|table| table.returned.is_some());
    let counts = session.finish(Finish {
        rows: tally.rows,
        skipped: tally.skipped,
        unchanged: tally.spared,
        hash,
        notices: notices(&tables),
        after_leave: folder.after == config::After::Leave && !row.by_hand,
        delete_missing: hold::is_full(folder, &tables),
        now,
    })?;
    if !is_returned {
        hold::remember_columns(site, folder, &tables)?;
    }
    Ok(Taken::Stored(counts))
}

fn read_one(
    site: &Site,
    folder: &config::Folder,
    claimed: &Claimed,
    table: &mut Table,
    hashed: &mut Hashed<'_>,
    into: &mut IntoStore<'_>,
    tally: &mut Tally,
) -> Result<()> {
    let mut known = match table.reading.row_hash_seed() {
        Some(seed) => Some(Known::new(
            into.session.known_rows(folder.kind)?,
            &site.secret,
            &seed,
            &table.member,
        )),
        None => None,
    };
    let lookup = StoreLookup::new(site.store.reader()?);
    read::read_table(
        hashed,
        &claimed.file,
        table,
        &lookup,
        known.as_mut(),
        into,
        tally,
    )?;
    // What was read by a wrong answer is read again: the file is not over.
    lookup
        .take_error()
        .map_or(Ok(()), |error| Err(error.into()))
}

fn notices(tables: &[Table]) -> Vec<String> {
    let mut notices: Vec<String> = Vec::new();
    for table in tables {
        for notice in table.reading.notices() {
            let notice = match table.member.name.as_str() {
                "" => notice,
                name => format!("{}: {notice}", crate::folder::shown(name.as_ref())),
            };
            if !notices.contains(&notice) {
                notices.push(notice);
            }
        }
    }
    notices
}

/// Size and time of modification are as they were; where only the inode's own time moved (rights, a
/// name, or a time that was set back), the bytes are compared by their hash.
fn is_as_it_was(claimed: &Claimed, hash: Option<&[u8; 32]>) -> Result<bool> {
    let now = claimed
        .look()
        .map_err(|error| Error::waits_for_file(&error))?;
    if !is_unchanged(&claimed.stat, &now) {
        return Ok(false);
    }
    let moved = claimed
        .has_ctime_moved()
        .map_err(|error| Error::waits_for_file(&error))?;
    match hash {
        Some(hash) if moved => Ok(hash_of(&claimed.file)? == *hash),
        _ => Ok(true),
    }
}

fn hash_of(file: &File) -> Result<[u8; 32]> {
    Hashed::new(file)
        .finish()
        .map_err(|error| Error::waits_for_file(&error))
}

/// Batches go to the session.
struct IntoStore<'a> {
    site: &'a Site,
    session: IntakeSession,
    between: &'a mut dyn FnMut() -> Result<()>,
}

impl Sink for IntoStore<'_> {
    type Error = Error;

    fn take(&mut self, member: &str, batch: &mut Batch, rejects: &mut Vec<Reject>) -> Result<()> {
        (self.between)()?;
        if batch.rows.is_empty() && rejects.is_empty() {
            return Ok(());
        }
        let (full, rejects) = (std::mem::take(batch), std::mem::take(rejects));
        *batch = self
            .session
            .apply(full, rejects, member, self.site.clock.utc_ms())?;
        Ok(())
    }
}
