//! Which file comes next, and what is left to do for those before: the turns of the loop.
//!
//! What was seen of folders is in memory and can be found again; where a file stands is the store's.

use std::collections::{HashMap, HashSet, VecDeque};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::sync::{Arc, PoisonError};

use super::away::{self, Archived, put_away, stat_of};
use super::board::{self, Blocked, Board, FolderStatus, Notice, ReadingNow};
use super::take::{self, Taken};
use super::{Control, Error, Result, Site, hold};
use crate::config::{self, After};
use crate::folder::claim::{Claimed, Refused, claim, is_unchanged};
use crate::folder::settle::{Moment, Stat};
use crate::folder::{self, ARCHIVE, Folders, REJECTS, Ready, archive, scan, watch};
use crate::store::meta::{self, Pause};
use crate::store::{Arrival, FileRow, FileState};
use crate::todo;

/// What waits for room, or for a person, is tried again after this.
const AGAIN_MS: Moment = 5_000;
/// After events that brought nothing to take, the next ones may gather for so long: a writer of a
/// large file tells of each piece.
const BREATH_MS: Moment = 10;
/// What `status` reads is not written more often.
const SAVE_MS: i64 = 1_000;
/// While files are taken, what waits is counted not more often.
const SHOW_MS: i64 = 200;
/// An archived file that grows within this time is read again.
const GROWS_MS: Moment = 3_600_000;
/// Archived files that are watched for it.
const WATCHED_MAX: usize = 1_000;
/// How many times its size must be free before a file is begun.
const ROOM_TIMES: u64 = 3;

/// The loop's memory.
pub struct Intake {
    site: Site,
    control: Control,
    folders: Folders,
    /// Files whose life is not over, in the order of arrival.
    open: Vec<FileRow>,
    /// What could not be done for a file is tried again then.
    again: HashMap<i64, Moment>,
    /// No file is begun before this moment.
    blocked: Option<(Blocked, Moment)>,
    /// Files that were moved away within the hour.
    archived: VecDeque<Watched>,
    /// The last thing that was done brought nothing.
    board: Board,
    saved: Option<(Board, i64)>,
    /// When the rows of the store are compared with the folders again.
    check_at: Moment,
    /// After something that may pass by itself, the loop tries again then.
    retry_at: Option<Moment>,
    /// Folders whose intake stands.
    paused: HashMap<String, Pause>,
    woken_by_events: bool,
    taken_in: TakenIn,
    is_daemon: bool,
}

/// What `sync` and `import` say at their end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TakenIn {
    /// Files.
    pub stored: u64,
    pub held: u64,
    pub unreadable: u64,
    /// Rows.
    pub rows: u64,
    pub rejected: u64,
    /// Records.
    pub new: u64,
    pub changed: u64,
    pub deleted: u64,
    pub unchanged: u64,
}

struct Watched {
    folder: String,
    archived: Archived,
    until: Moment,
    /// It grew; it is read once it is unchanged for the folder's `settle`.
    grown: Option<(Stat, Moment)>,
}

impl TakenIn {
    fn add(&mut self, row: &FileRow) {
        match row.state {
            FileState::Stored => self.stored += 1,
            FileState::Held => self.held += 1,
            FileState::Unreadable => self.unreadable += 1,
            _ => return,
        }
        self.rows += row.rows;
        self.rejected += row.rejected;
        self.new += row.new;
        self.changed += row.changed;
        self.deleted += row.deleted;
        self.unchanged += row.unchanged;
    }
}

fn settings_of(config: &config::Config) -> Vec<Arc<config::Folder>> {
    config.folders.iter().cloned().map(Arc::new).collect()
}

impl Intake {
    /// `is_daemon`: it goes on for ever; else (`sync`) what is found waits for `settle` only.
    pub fn new(site: Site, control: Control, is_daemon: bool) -> Intake {
        Intake {
            folders: Folders::new(&settings_of(&site.config), is_daemon),
            site,
            control,
            open: Vec::new(),
            again: HashMap::new(),
            blocked: None,
            archived: VecDeque::new(),
            board: Board::default(),
            saved: None,
            check_at: Moment::MIN,
            retry_at: None,
            paused: HashMap::new(),
            woken_by_events: false,
            taken_in: TakenIn::default(),
            is_daemon,
        }
    }

    pub fn taken_in(&self) -> &TakenIn {
        &self.taken_in
    }

    /// After a start: files whose reading was cut off are counted, and what was left half written
    /// goes. What is left to do for each file the turns find by themselves.
    pub fn recover(&mut self) -> Result<()> {
        self.reload()?;
        let ended_well = self.site.store.text(ENDED_WELL)?.is_some();
        if ended_well {
            self.site.store.clear(ENDED_WELL)?;
        }
        for row in &mut self.open {
            if row.state == FileState::Reading && !row.by_hand && !ended_well {
                row.crashes = self.site.store.crashed(row.id)?;
            }
        }
        self.folders.look(self.site.clock.boot_ms());
        for folder in self.folders.iter() {
            // A folder that cannot be written to is said when something has to be moved there.
            if let Ok(place) = folder.open() {
                for own in [ARCHIVE, REJECTS] {
                    if scan::look(&place, OsStr::new(own)).is_ok_and(|what| what.is_some())
                        && let Ok(own) = archive::own_folder(&place, own)
                    {
                        let _ = archive::sweep(&own);
                    }
                }
            }
        }
        super::import::recover(&self.site, &self.open)?;
        self.reload()
    }

    /// One look and one thing done. `false`: there was nothing to do.
    pub fn turn(&mut self) -> Result<bool> {
        let now = self.now();
        let did = self.look_and_step(now);
        let did = self.settle_errors(did, now)?;
        self.show(did);
        Ok(did)
    }

    fn look_and_step(&mut self, now: Moment) -> Result<bool> {
        // Before the configuration is taken: one that comes in between rings for the next turn.
        let rung = self.control.bell.hush();
        if let Some((config, presets)) = self.control.take_reconfigured() {
            self.folders.reconfigure(&settings_of(&config), now);
            (self.site.config, self.site.presets) = (config, presets);
            self.reload()?;
        }
        if rung {
            self.check_at = Moment::MIN;
            self.again.clear();
        }
        self.folders.look(now);
        if self.check_at <= now {
            self.check_at = now + folder::RESCAN_MS;
            self.reload()?;
            self.drop_vanished()?;
            self.look_at_archived(now)?;
        }
        self.step(now)
    }

    /// When something is due, if nothing happens before.
    pub fn due(&mut self) -> Moment {
        let now = self.now();
        let mut until = self.folders.next_look().min(self.check_at);
        until = self.again.values().copied().fold(until, Moment::min);
        until = until.min(
            self.blocked
                .as_ref()
                .map_or(Moment::MAX, |(_, again)| *again),
        );
        until = until.min(self.retry_at.take().unwrap_or(Moment::MAX));
        until = until.min(self.pause_ends_at(now));
        let grown = self
            .archived
            .iter()
            .filter_map(|watched| watched.grown.map(|(_, at)| at));
        until = grown.fold(until, Moment::min);
        if self
            .saved
            .as_ref()
            .is_none_or(|(saved, _)| saved.differs(&self.board))
        {
            until = until.min(now + SAVE_MS);
        }
        until
    }

    /// Until something happens, or is due.
    pub fn sleep(&mut self) -> Result<()> {
        let now = self.now();
        if self.woken_by_events {
            self.woken_by_events = false;
            let breath = watch::sleep(None, &self.control.bell, BREATH_MS);
            breath.map_err(|error| Error::Internal(error.to_string()))?;
        }
        let until = self.due();
        let before = self.now();
        watch::sleep(self.folders.watch(), &self.control.bell, until - now)
            .map_err(|error| Error::Internal(error.to_string()))?;
        self.woken_by_events = self.now() < until && self.now() - before < until - now;
        Ok(())
    }

    /// Whether `sync` has nothing more to wait for.
    pub fn is_done(&self) -> bool {
        let is_left = |row: &FileRow| {
            !row.by_hand && !matches!(row.state, FileState::Held) && self.may_take(&row.folder)
        };
        self.blocked.is_none()
            && self.next_ready().is_none()
            && !self.folders.iter().any(|f| f.is_settling())
            && !self
                .open
                .iter()
                .any(|row| is_left(row) && !self.again.contains_key(&row.id))
    }

    /// A stop that was asked for is no crash of the file that was being read.
    pub fn end(&mut self) -> Result<()> {
        if self.open.iter().any(|row| row.state == FileState::Reading) {
            self.site.store.set_text(ENDED_WELL, "1")?;
        }
        self.save()
    }

    #[cfg(test)]
    pub fn folders_look(&mut self) {
        self.folders.look(self.site.clock.boot_ms());
    }

    fn now(&self) -> Moment {
        self.site.clock.boot_ms()
    }

    /// The next thing to do, done.
    fn step(&mut self, now: Moment) -> Result<bool> {
        if let Some(row) = self.next_to_put_away(now) {
            return self.put_away(row, None).map(|()| true);
        }
        if self.blocked.as_ref().is_some_and(|(_, again)| *again > now) {
            return Ok(false);
        }
        if let Some(row) = self.next_open(now) {
            return self.take_open(row).map(|()| true);
        }
        match self.next_ready() {
            Some(ready) => self.take_ready(ready).map(|()| true),
            None => {
                self.blocked = None;
                Ok(false)
            }
        }
    }

    /// What the loop lives with is shown and tried again; the rest ends it.
    fn settle_errors(&mut self, did: Result<bool>, now: Moment) -> Result<bool> {
        match did {
            Ok(did) => Ok(did),
            Err(Error::Full(reason)) => {
                let since = match self.blocked.take() {
                    Some((blocked, _)) => blocked.since,
                    None => self.site.clock.utc_ms(),
                };
                self.blocked = Some((Blocked { since, reason }, now + AGAIN_MS));
                self.look_again_soon(now);
                Ok(false)
            }
            Err(Error::Stopped | Error::Waits(_)) => {
                self.look_again_soon(now);
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// The store is asked anew; where even that has to wait, it is tried again.
    fn look_again_soon(&mut self, now: Moment) {
        self.retry_at = Some(now + AGAIN_MS);
        if self.reload().is_err() {
            self.check_at = now + AGAIN_MS;
        }
    }

    /// What the store says of files whose life is not over. Those that stand in a folder are not
    /// offered by it again.
    fn reload(&mut self) -> Result<()> {
        self.open = self.site.store.open_files()?;
        for row in &self.open {
            if let Some(index) = self.folders.position(&row.folder).filter(|_| !row.by_hand) {
                self.folders
                    .get_mut(index)
                    .mark_known(OsStr::from_bytes(&row.raw_name), stat_of(row));
            }
        }
        let open: HashSet<i64> = self.open.iter().map(|row| row.id).collect();
        self.again.retain(|id, _| open.contains(id));
        let reader = self.site.store.reader()?;
        let utc_ms = self.site.clock.utc_ms();
        self.paused.clear();
        for folder in self.folders.iter() {
            let name = &folder.settings.name;
            let pause = meta::paused(&reader, Some(name), utc_ms)?;
            self.paused.extend(pause.map(|pause| (name.clone(), pause)));
        }
        Ok(())
    }

    /// Held and waiting files that somebody took out of their folder, or changed: a changed one
    /// comes as a new file.
    fn drop_vanished(&mut self) -> Result<()> {
        let mut vanished = Vec::new();
        for row in &self.open {
            let is_asked = matches!(
                row.state,
                FileState::Held | FileState::Waiting | FileState::Reading
            );
            if let Some(index) = self.folders.position(&row.folder)
                && is_asked
                && !row.by_hand
                && let Ok(place) = self.folders.get(index).open()
            {
                let there = scan::look(&place, OsStr::from_bytes(&row.raw_name));
                let is_there = match there {
                    Ok(Some(scan::What::File(stat))) => is_unchanged(&stat, &stat_of(row)),
                    Ok(_) => false,
                    Err(_) => true,
                };
                if !is_there {
                    vanished.push((row.id, index, stat_of(row)));
                }
            }
        }
        for (id, index, stat) in vanished {
            take::give_up(
                &self.site,
                id,
                "the file was taken away or changed before it was taken in",
            )?;
            self.folders.get_mut(index).forget_known(stat);
            self.reload()?;
        }
        Ok(())
    }

    fn may_take(&self, folder: &str) -> bool {
        self.folders
            .position(folder)
            .is_some_and(|index| self.may_take_from(index))
    }

    fn may_take_from(&self, index: usize) -> bool {
        let folder = self.folders.get(index);
        folder.is_there() && !self.is_paused(&folder.settings.name)
    }

    fn is_paused(&self, folder: &str) -> bool {
        match self.paused.get(folder) {
            None => false,
            Some(Pause::Open) => true,
            Some(Pause::Until(until)) => *until > self.site.clock.utc_ms(),
        }
    }

    fn pause_ends_at(&self, now: Moment) -> Moment {
        let utc_ms = self.site.clock.utc_ms();
        let ends = |pause: &Pause| match pause {
            Pause::Until(until) if *until > utc_ms => Some(now + (until - utc_ms)),
            _ => None,
        };
        self.paused
            .values()
            .filter_map(ends)
            .min()
            .unwrap_or(Moment::MAX)
    }

    fn next_to_put_away(&self, now: Moment) -> Option<FileRow> {
        let is_decided = |row: &&FileRow| {
            matches!(
                row.state,
                FileState::Stored
                    | FileState::Unreadable
                    | FileState::Discarded
                    | FileState::Reverted
            )
        };
        (self.open.iter().filter(is_decided))
            .find(|row| !row.by_hand && self.is_due(row, now) && self.folder_of(row).is_some())
            .cloned()
    }

    fn next_open(&self, now: Moment) -> Option<FileRow> {
        let is_begun =
            |row: &&FileRow| matches!(row.state, FileState::Waiting | FileState::Reading);
        (self.open.iter().filter(is_begun))
            .find(|row| !row.by_hand && self.is_due(row, now) && self.may_take(&row.folder))
            .cloned()
    }

    fn is_due(&self, row: &FileRow, now: Moment) -> bool {
        self.again.get(&row.id).is_none_or(|again| *again <= now)
    }

    /// The folder that a file is of, if it is configured and there.
    fn folder_of(&self, row: &FileRow) -> Option<usize> {
        let index = self.folders.position(&row.folder)?;
        self.folders.get(index).open().ok().map(|_| index)
    }

    fn next_ready(&self) -> Option<Ready> {
        self.folders.next(|index| self.may_take_from(index))
    }

    fn take_ready(&mut self, ready: Ready) -> Result<()> {
        let now = self.now();
        let settings = self.folders.get(ready.folder).settings.clone();
        let place = self.folders.get(ready.folder).open()?;
        let claimed = match claim(&place, &ready.name) {
            Ok(claimed) if is_unchanged(&claimed.stat, &ready.stat) => claimed,
            Ok(_) | Err(Refused::Gone | Refused::NotPlain | Refused::SecondLink) => {
                self.folders
                    .get_mut(ready.folder)
                    .look_again(&ready.name, now);
                return Ok(());
            }
            Err(refused) => {
                self.put_off(&ready, &refused, now);
                return Ok(());
            }
        };
        if settings.after == After::Leave && self.was_left(&settings, &ready.name, &claimed)? {
            self.folders
                .get_mut(ready.folder)
                .mark_known(&ready.name, claimed.stat);
            return Ok(());
        }
        self.ensure_room(&claimed.stat)?;
        let id = self.site.store.arrive(
            &Arrival {
                folder: settings.name.clone(),
                kind: settings.kind,
                name: ready.name.as_bytes().to_vec(),
                shown: folder::shown(&ready.name),
                device: claimed.stat.device,
                inode: claimed.stat.inode,
                size: claimed.stat.size,
                mtime_ns: claimed.stat.mtime_ns,
                by_hand: false,
            },
            self.site.clock.utc_ms(),
        )?;
        let name = folder::shown(&ready.name);
        self.board
            .settle_notices("unreadable_by_us", &settings.name, &name);
        self.folders
            .get_mut(ready.folder)
            .mark_known(&ready.name, claimed.stat);
        let row = self.row(id)?;
        self.take(&settings, row, claimed)
    }

    /// A file that arrived before, and was not read to its end: after a crash, when there was no
    /// room, or accepted by a person.
    fn take_open(&mut self, row: FileRow) -> Result<()> {
        let index = self
            .folders
            .position(&row.folder)
            .ok_or(folder::Error::Gone)?;
        let settings = self.folders.get(index).settings.clone();
        let place = self.folders.get(index).open()?;
        match claim(&place, OsStr::from_bytes(&row.raw_name)) {
            Ok(claimed) if is_unchanged(&claimed.stat, &stat_of(&row)) => {
                self.ensure_room(&claimed.stat)?;
                self.take(&settings, row, claimed)
            }
            Err(Refused::Denied | Refused::Io(_)) => {
                self.again.insert(row.id, self.now() + AGAIN_MS);
                Ok(())
            }
            Ok(_) | Err(_) => {
                take::give_up_changed(&self.site, &row)?;
                self.folders.get_mut(index).forget_known(stat_of(&row));
                self.reload()
            }
        }
    }

    fn take(&mut self, settings: &config::Folder, row: FileRow, claimed: Claimed) -> Result<()> {
        self.board.reading = Some(ReadingNow {
            file: row.id,
            folder: settings.name.clone(),
            name: row.name.clone(),
            batches: 0,
            since: self.site.clock.utc_ms(),
        });
        self.publish();
        let taken = self.take_in_batches(settings, &row, &claimed);
        self.board.reading = None;
        match taken {
            Ok(taken) => self.settle_taken(settings, row.id, taken, &claimed),
            Err(error) => {
                if let Error::Waits(reason) = &error {
                    self.again.insert(row.id, self.now() + AGAIN_MS);
                    let text = format!(
                        "{}: {} waits: {reason}. It is tried again every {} s",
                        settings.path.display(),
                        row.name,
                        AGAIN_MS / 1000
                    );
                    self.say(&settings.name, "waits", text);
                }
                Err(error)
            }
        }
    }

    /// Between batches events are read, so that what happens meanwhile is seen when it happens.
    fn take_in_batches(
        &mut self,
        settings: &config::Folder,
        row: &FileRow,
        claimed: &Claimed,
    ) -> Result<Taken> {
        let (site, control) = (self.site.clone(), self.control.clone());
        let (folders, board) = (&mut self.folders, &mut self.board);
        let mut between = || {
            if control.is_stopped() {
                return Err(Error::Stopped);
            }
            folders.read_events(site.clock.boot_ms());
            if let Some(reading) = &mut board.reading {
                reading.batches += 1;
            }
            board.turned = site.clock.utc_ms();
            let shown = &mut *control.board.lock().unwrap_or_else(PoisonError::into_inner);
            (shown.reading, shown.turned) = (board.reading.clone(), board.turned);
            Ok(())
        };
        take::take(&site, settings, row, claimed, &mut between)
    }

    fn settle_taken(
        &mut self,
        settings: &config::Folder,
        id: i64,
        taken: Taken,
        claimed: &Claimed,
    ) -> Result<()> {
        let row = self.row(id)?;
        self.board
            .settle_notices("waits", &settings.name, &row.name);
        self.taken_in.add(&row);
        self.control.tell_taken();
        if let Some(index) = self.folders.position(&settings.name) {
            self.folders.get_mut(index).last_file =
                Some((row.name.clone(), self.site.clock.utc_ms()));
        }
        match taken {
            Taken::Stored(_) => {
                if hold::is_full_list(settings) {
                    self.discard_held_before(&row)?;
                }
                self.put_away(row, Some(claimed))
            }
            Taken::Unreadable => self.put_away(row, Some(claimed)),
            Taken::Held => self.reload(),
            Taken::Changed => {
                let now = self.now();
                if let Some(index) = self.folders.position(&settings.name) {
                    let folder = self.folders.get_mut(index);
                    folder.forget_known(claimed.stat);
                    folder.look_again(OsStr::from_bytes(&row.raw_name), now);
                }
                self.reload()
            }
        }
    }

    /// A newer full list was taken: the older one that is held says nothing any more.
    fn discard_held_before(&mut self, row: &FileRow) -> Result<()> {
        let older = |held: &&FileRow| {
            held.state == FileState::Held && held.folder == row.folder && held.id < row.id
        };
        for held in self.open.iter().filter(older) {
            self.site.store.discard_file(held.id)?;
        }
        Ok(())
    }

    fn put_away(&mut self, row: FileRow, claimed: Option<&Claimed>) -> Result<()> {
        let Some(index) = self.folders.position(&row.folder) else {
            return self.reload();
        };
        let settings = self.folders.get(index).settings.clone();
        let name = OsString::from_vec(row.raw_name.clone());
        let done = (self.folders.get(index).open().map_err(Error::from)).and_then(|place| {
            put_away(
                &self.site,
                &settings,
                &place,
                &row,
                claimed.map(|c| &c.file),
            )
        });
        match done {
            Ok(archived) => {
                self.board
                    .settle_notices("not_moved", &settings.name, &row.name);
                if settings.after == After::Leave && row.state == FileState::Stored {
                    self.folders.get_mut(index).mark_known(&name, stat_of(&row));
                } else {
                    self.folders.get_mut(index).forget_known(stat_of(&row));
                }
                self.folders
                    .get_mut(index)
                    .look_again(&name, self.site.clock.boot_ms());
                self.watch_archived(&row, archived);
                self.reload()
            }
            Err(error) => {
                self.again.insert(row.id, self.now() + AGAIN_MS);
                if let Error::Waits(reason) = &error {
                    self.say(&settings.name, "not_moved", format!(
                        "{}: {} was taken in, but cannot be moved away: {reason}. Nothing is lost; it is tried again",
                        settings.path.display(), row.name
                    ));
                }
                self.reload()?;
                Err(error)
            }
        }
    }

    fn row(&self, id: i64) -> Result<FileRow> {
        let gone = || Error::Internal(format!("file {id} is not in the store"));
        self.site.store.file(id)?.ok_or_else(gone)
    }

    /// With `after = "leave"`: the same bytes under the same name were taken in before.
    fn was_left(&self, settings: &config::Folder, name: &OsStr, claimed: &Claimed) -> Result<bool> {
        let shown = folder::shown(name);
        let Some(before) = self.site.store.file_by_name(&settings.name, &shown)? else {
            return Ok(false);
        };
        if before.state != FileState::Stored || !is_unchanged(&stat_of(&before), &claimed.stat) {
            return Ok(false);
        }
        let hash = super::hash::Hashed::new(&claimed.file).finish();
        Ok(before.hash.is_some() && hash.ok() == before.hash)
    }

    /// No file is begun without room for what it may become (INTERFACE.md, `min_free`).
    fn ensure_room(&self, stat: &Stat) -> Result<()> {
        let state_dir = &self.site.config.state_dir;
        let ballast = self.site.store.ballast();
        if ballast.is_spent() {
            // There may be room by now.
            ballast.keep();
        }
        if ballast.is_spent() {
            return Err(Error::Full(format!(
                "{}: the disk was full, and what is free now is kept for what the remote answers; files wait, delivery goes on. Make room; it is looked at again every {} s",
                state_dir.display(),
                AGAIN_MS / 1000
            )));
        }
        let free = scan::open_folder(state_dir)
            .and_then(|(fd, _)| scan::free_bytes(fd))
            .map_err(|error| Error::Waits(format!("state_dir: {}", folder::io_text(&error))))?;
        let needed = self
            .site
            .config
            .retention
            .min_free
            .max(stat.size.saturating_mul(ROOM_TIMES));
        if free < needed {
            return Err(Error::Full(format!(
                "{}: {} MB are free, {} MB are needed before a file is begun (`min_free`, or three times the file); files wait, delivery goes on. Make room; it is looked at again every {} s",
                state_dir.display(),
                free / 1_000_000,
                needed.div_ceil(1_000_000),
                AGAIN_MS / 1000
            )));
        }
        Ok(())
    }

    fn put_off(&mut self, ready: &Ready, refused: &Refused, now: Moment) {
        let name = folder::shown(&ready.name);
        let settings = self.folders.get(ready.folder).settings.clone();
        let text = refused.text();
        self.folders
            .get_mut(ready.folder)
            .put_off(&ready.name, text.clone(), now);
        let text = format!("{}: {name} {text}", settings.path.display());
        self.say(&settings.name, "unreadable_by_us", text);
    }

    fn say(&mut self, folder: &str, kind: &str, text: String) {
        self.board.notice(Notice {
            at: self.site.clock.utc_ms(),
            kind: kind.to_owned(),
            folder: folder.to_owned(),
            text,
        });
    }

    fn watch_archived(&mut self, row: &FileRow, archived: Option<Archived>) {
        let Some(archived) = archived else { return };
        let before = stat_of(row);
        // It grew before it was even moved.
        let grown = (!is_unchanged(&archived.stat, &before)).then(|| (archived.stat, self.now()));
        self.archived.push_back(Watched {
            folder: row.folder.clone(),
            archived,
            until: self.now() + GROWS_MS,
            grown,
        });
        if self.archived.len() > WATCHED_MAX {
            self.archived.pop_front();
        }
    }

    /// A writer that kept its file open writes on into the archive: what it adds is no less dropped.
    fn look_at_archived(&mut self, now: Moment) -> Result<()> {
        self.archived.retain(|watched| watched.until > now);
        for n in 0..self.archived.len() {
            let Some(index) = self.folders.position(&self.archived[n].folder) else {
                continue;
            };
            let settings = self.folders.get(index).settings.clone();
            let Ok(place) = self.folders.get(index).open() else {
                continue;
            };
            let Ok(own) = archive::own_folder(&place, ARCHIVE) else {
                continue;
            };
            let watched = &mut self.archived[n];
            let Ok(Some(stat)) = archive::look_back(&own, &watched.archived.name) else {
                continue;
            };
            if is_unchanged(&stat, &watched.archived.stat) && watched.grown.is_none() {
                continue;
            }
            let settle_ms = Moment::try_from(settings.settle.as_millis()).unwrap_or(Moment::MAX);
            let since = match &watched.grown {
                Some((before, since)) if is_unchanged(before, &stat) => *since,
                _ => now,
            };
            watched.grown = Some((stat, since));
            if now - since >= settle_ms {
                watched.archived.stat = stat;
                watched.grown = None;
                let archived = watched.archived.clone();
                self.take_grown(&settings, &own, &archived)?;
            } else {
                self.check_at = self.check_at.min(since + settle_ms);
            }
        }
        Ok(())
    }

    fn take_grown(
        &mut self,
        settings: &config::Folder,
        own: &std::os::fd::OwnedFd,
        archived: &Archived,
    ) -> Result<()> {
        let Ok(claimed) = claim(own, &archived.name) else {
            return Ok(());
        };
        let shown = folder::shown(&archived.name);
        let id = self.site.store.arrive(
            &Arrival {
                folder: settings.name.clone(),
                kind: settings.kind,
                name: archived.name.as_bytes().to_vec(),
                shown: shown.clone(),
                device: claimed.stat.device,
                inode: claimed.stat.inode,
                size: claimed.stat.size,
                mtime_ns: claimed.stat.mtime_ns,
                by_hand: true,
            },
            self.site.clock.utc_ms(),
        )?;
        self.say(&settings.name, "grown", format!(
            "{}: {shown} was written to after it was taken in, and was read again. Whoever drops files there should close them first, or rename them in when they are complete",
            settings.path.display()
        ));
        let row = self.row(id)?;
        let taken = self.take_in_batches(settings, &row, &claimed)?;
        let row = self.row(id)?;
        self.taken_in.add(&row);
        self.control.tell_taken();
        match taken {
            Taken::Stored(_) | Taken::Unreadable => {
                let place = self
                    .folders
                    .position(&settings.name)
                    .map(|index| self.folders.get(index).open());
                if let Some(place) = place {
                    put_away(&self.site, settings, &place?, &row, None)?;
                }
            }
            Taken::Held | Taken::Changed => {
                away::close(&self.site, id)?;
            }
        }
        self.reload()
    }

    /// Counting what waits takes its time where thousands do: not after each file, but when there is
    /// nothing to do, or now and then.
    fn show(&mut self, is_busy: bool) {
        let utc = self.site.clock.utc_ms();
        if is_busy && (utc - self.board.turned).abs() < SHOW_MS {
            return;
        }
        let before = std::mem::take(&mut self.board.folders);
        self.board.folders = (0..self.folders.iter().count())
            .map(|index| self.status_of(index, &before, utc))
            .collect();
        self.board.blocked = self.blocked.as_ref().map(|(blocked, _)| blocked.clone());
        self.board.overflows = self.folders.overflows;
        self.board.turned = utc;
        self.publish();
        let differs = self
            .saved
            .as_ref()
            .is_none_or(|(saved, _)| saved.differs(&self.board));
        let is_time = self
            .saved
            .as_ref()
            .is_none_or(|(_, at)| (utc - at).abs() >= SAVE_MS);
        if differs && is_time {
            // A full disk must not end the loop that waits for room.
            let _ = self.save();
        }
    }

    fn status_of(&self, index: usize, before: &[FolderStatus], utc: i64) -> FolderStatus {
        let folder = self.folders.get(index);
        let name = &folder.settings.name;
        let (mut state, mut reason) = folder.state();
        if let Some((blocked, _)) = &self.blocked
            && state != "gone"
        {
            (state, reason) = ("full", Some(blocked.reason.clone()));
        }
        if state != "gone" && self.is_paused(name) {
            let resume = todo::resume(Some(name));
            let end = match self.paused.get(name) {
                Some(Pause::Until(until)) => jiff::Timestamp::from_millisecond(until / 1000 * 1000)
                    .map_or(String::new(), |at| format!("{at}, or ")),
                _ => String::new(),
            };
            (state, reason) = ("paused", Some(format!("until {end}`{resume}`")));
        }
        let was = before.iter().find(|other| other.name == *name);
        let (foreign, names) = folder.foreign();
        let of_folder = |row: &&FileRow| row.folder == *name && !row.by_hand;
        let begun = (self.open.iter().filter(of_folder))
            .filter(|row| matches!(row.state, FileState::Waiting | FileState::Reading));
        FolderStatus {
            name: name.clone(),
            since: (state == "gone").then(|| was.and_then(|was| was.since).unwrap_or(utc)),
            state: state.to_owned(),
            reason,
            waiting: (folder.waiting() + begun.count()) as u64,
            waits_for: (folder.why_waiting()).map(|(name, why)| (folder::shown(&name), why)),
            foreign: foreign as u64,
            foreign_names: names.iter().map(|name| folder::shown(name)).collect(),
            last_file: folder.last_file.clone(),
        }
    }

    fn publish(&self) {
        *self
            .control
            .board
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = self.board.clone();
    }

    fn save(&mut self) -> Result<()> {
        if self.is_daemon {
            board::save(&self.site.store, &self.board)?;
        }
        self.saved = Some((self.board.clone(), self.site.clock.utc_ms()));
        Ok(())
    }
}

/// In the store while a file that is `reading` was left so by a stop, and not by a crash.
const ENDED_WELL: &str = "intake_ended_well";
