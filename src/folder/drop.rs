//! All drop folders together: reads events, looks, and says which file is complete and comes next.
//!
//! Everything in memory here can be found again by a listing; what was taken is the store's to know.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use super::names::{self, Use};
use super::scan::{self, FileSystem, Identity, What};
use super::settle::{self, Decision, Event, Marker, Moment, Stat, Story};
use super::watch::{Note, Watch};
use crate::config;

/// A listing is looked through so often, whatever events say.
pub const RESCAN_MS: Moment = 60_000;
/// A folder that is gone is looked for so often.
const GONE_AGAIN_MS: Moment = 2_000;
/// Where there are no events, a folder is looked through not more often than this.
const POLL_MS_MIN: Moment = 1_000;
/// A file that could not be opened is tried again after this.
const REFUSED_AGAIN_MS: Moment = 10_000;
/// Foreign names that `status` shows at most.
const FOREIGN_SHOWN_MAX: usize = 20;

/// All drop folders of a configuration.
pub struct Folders {
    list: Vec<Folder>,
    watch: Option<Watch>,
    /// Counts events, to put in order what is complete at one moment.
    number: u64,
    /// The first half of a rename, until its second half comes.
    leaving: Option<(u32, Story)>,
    /// Events that were lost, since the start: for `/metrics`.
    pub overflows: u64,
}

/// One drop folder.
pub struct Folder {
    pub settings: Arc<config::Folder>,
    names: names::Rules,
    /// In `sync`: what is found is waited for by `settle` only.
    is_patient: bool,
    place: Option<Place>,
    /// Why there is no place.
    gone: Option<String>,
    /// Why it is polled though its file system could tell.
    unwatched: Option<String>,
    files: HashMap<OsString, Seen>,
    /// When a file is to be looked at again.
    due: BTreeSet<(Moment, OsString)>,
    ready: BTreeSet<(Moment, u64, i64, OsString)>,
    /// Files that stand here and are not to be taken (again) as long as they are as they were.
    known: HashSet<Stat>,
    next_scan: Moment,
    /// The file that was taken last, as it is shown, and when (UTC milliseconds).
    pub last_file: Option<(String, i64)>,
}

/// The folder while it is there. It is not held open: the kernel tells of a folder's removal only
/// when nobody holds it.
struct Place {
    identity: Identity,
    file_system: FileSystem,
    has_events: bool,
    /// Whether it is where a file system is mounted.
    is_mount: bool,
    /// It was a mount, and is none now: an alarm, not an empty folder.
    is_unmounted: bool,
}

struct Seen {
    story: Story,
    what: Use,
    /// Of a marker: since when.
    since: Moment,
    /// Where it stands in `due` and `ready`.
    due: Option<Moment>,
    ready: Option<(Moment, u64, i64)>,
    /// Why it waits, for `status`.
    why: Option<String>,
    /// Time, or its writer, completes it by itself.
    is_settling: bool,
}

/// A file that is complete.
#[derive(Clone, Debug)]
pub struct Ready {
    /// Index of its folder.
    pub folder: usize,
    pub name: OsString,
    pub stat: Stat,
    since: Moment,
    after: u64,
}

impl Folders {
    /// `is_patient`: what is found, and was not seen to be written, is waited for 12 times as long;
    /// not so in `sync`.
    pub fn new(settings: &[Arc<config::Folder>], is_patient: bool) -> Folders {
        Folders {
            list: (settings.iter())
                .map(|settings| Folder::new(settings.clone(), is_patient))
                .collect(),
            watch: Watch::new().ok(),
            number: 0,
            leaving: None,
            overflows: 0,
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = &Folder> {
        self.list.iter()
    }

    pub fn get(&self, index: usize) -> &Folder {
        &self.list[index]
    }

    pub fn get_mut(&mut self, index: usize) -> &mut Folder {
        &mut self.list[index]
    }

    pub fn position(&self, name: &str) -> Option<usize> {
        self.list.iter().position(|f| f.settings.name == name)
    }

    pub fn watch(&self) -> Option<&Watch> {
        self.watch.as_ref()
    }

    /// Another configuration: folders whose path stayed keep what was seen there.
    pub fn reconfigure(&mut self, settings: &[Arc<config::Folder>], now: Moment) {
        self.read_events(now);
        let is_patient = self.list.first().is_none_or(|f| f.is_patient);
        let mut old: Vec<Option<Folder>> = self.list.drain(..).map(Some).collect();
        let mut moved: HashMap<usize, usize> = HashMap::new();
        for (index, settings) in settings.iter().enumerate() {
            let mut folder = Folder::new(settings.clone(), is_patient);
            let same = |before: &Option<Folder>| {
                before
                    .as_ref()
                    .is_some_and(|before| before.settings.path == settings.path)
            };
            let position = old.iter().position(same);
            if let Some(before) = position.and_then(|position| old[position].take()) {
                moved.extend(position.map(|position| (position, index)));
                folder.take_over(before);
            }
            self.list.push(folder);
        }
        if let Some(watch) = &mut self.watch {
            watch.renumber(|folder| moved.get(&folder).copied());
        }
    }

    /// Reads what events tell, and looks where it is time: nothing here waits.
    pub fn look(&mut self, now: Moment) {
        self.read_events(now);
        for index in 0..self.list.len() {
            if self.list[index].next_scan <= now {
                self.rescan(index, now);
            }
            self.list[index].look_at_due(now);
        }
    }

    /// All folders are looked through at the next `look`.
    pub fn rescan_all(&mut self) {
        for folder in &mut self.list {
            folder.next_scan = Moment::MIN;
        }
    }

    /// The complete file that comes first, of the folders that `may` be taken from: in the order in
    /// which they were complete; of several at once by time of modification, then name.
    pub fn next(&self, may: impl Fn(usize) -> bool) -> Option<Ready> {
        let firsts = (self.list.iter().enumerate()).filter(|(folder, _)| may(*folder));
        let (since, after, _, name, folder) = firsts
            .filter_map(|(folder, list)| {
                let (since, after, mtime, name) = list.ready.first()?;
                Some((*since, *after, *mtime, name, folder))
            })
            .min()?;
        Some(Ready {
            folder,
            name: name.clone(),
            stat: self.list[folder].files[name].story.stat()?,
            since,
            after,
        })
    }

    /// When something has to be looked at again, if no event comes before.
    pub fn next_look(&self) -> Moment {
        let next = |f: &Folder| f.due.first().map_or(f.next_scan, |d| f.next_scan.min(d.0));
        self.list.iter().map(next).min().unwrap_or(Moment::MAX)
    }

    /// What waits in the kernel's queue; nothing is looked through.
    pub fn read_events(&mut self, now: Moment) {
        let Some(watch) = &mut self.watch else { return };
        let notes = match watch.read() {
            Ok(notes) => notes,
            Err(_) => vec![Note::Overflow],
        };
        for note in notes {
            self.number += 1;
            self.apply(note, now);
        }
    }

    fn apply(&mut self, note: Note, now: Moment) {
        let number = self.number;
        match note {
            Note::Name {
                folder,
                name,
                event,
                cookie,
            } => {
                let story = match event {
                    Event::RenamedTo => Some(self.arriving(cookie, now)),
                    _ => None,
                };
                self.list[folder].tell(name, event, story, now, number);
            }
            Note::MovedFrom {
                folder,
                name,
                cookie,
            } => {
                if let Some(seen) = self.list[folder].drop_name(&name, now) {
                    self.leaving = Some((cookie, seen.story));
                }
            }
            Note::Removed { folder, name } => {
                self.list[folder].drop_name(&name, now);
            }
            Note::FolderGone { folder } => self.list[folder].next_scan = Moment::MIN,
            Note::Overflow => {
                self.overflows += 1;
                for folder in &mut self.list {
                    folder.lose_events(now);
                }
            }
        }
    }

    /// What is known of a file that now gets another name.
    fn arriving(&mut self, cookie: u32, now: Moment) -> Story {
        match self.leaving.take() {
            Some((of, story)) if of == cookie => story,
            _ => Story::found(now),
        }
    }

    fn rescan(&mut self, index: usize, now: Moment) {
        let folder = &mut self.list[index];
        folder.next_scan = now + RESCAN_MS;
        let there = scan::identity(&folder.settings.path).ok().flatten();
        if folder.place.as_ref().map(|p| p.identity) != there || there.is_none() {
            self.find_place(index, now);
        }
        if self.list[index].unwatched.is_some() {
            self.rewatch(index);
        }
        let folder = &mut self.list[index];
        let Some(place) = &folder.place else {
            folder.next_scan = now + GONE_AGAIN_MS;
            return;
        };
        if !place.has_events {
            folder.next_scan = now + folder.poll_ms();
        }
        let listed = scan::open_folder(&folder.settings.path).and_then(|(fd, _)| scan::list(fd));
        match listed {
            Ok(entries) => {
                folder.gone = None;
                folder.compare(entries, now);
            }
            Err(error) => {
                folder.gone = Some(format!("cannot be listed: {}", super::io_text(&error)))
            }
        }
    }

    /// The folder was not there, or is another one by now.
    fn find_place(&mut self, index: usize, now: Moment) {
        let folder = &mut self.list[index];
        let was_mount = folder
            .place
            .take()
            .is_some_and(|p| p.is_mount || p.is_unmounted);
        folder.clear();
        if let Some(watch) = &mut self.watch {
            watch.remove(index);
        }
        match Place::open(&folder.settings.path, was_mount) {
            Ok(place) => {
                folder.gone = None;
                folder.place = Some(place);
                self.rewatch(index);
            }
            Err(error) => folder.gone = Some(gone_text(&error)),
        }
        let folder = &mut self.list[index];
        folder.next_scan = now + RESCAN_MS;
    }

    /// Watched before it is listed, so that nothing falls between.
    fn rewatch(&mut self, index: usize) {
        let folder = &mut self.list[index];
        let Some(place) = &mut folder.place else {
            return;
        };
        folder.unwatched = None;
        if self.watch.is_none() {
            self.watch = Watch::new().ok();
        }
        let added = match &mut self.watch {
            Some(watch) => watch.add(index, &folder.settings.path),
            None => Err(std::io::Error::from(rustix::io::Errno::MFILE)),
        };
        if let Err(error) = &added {
            let text = match rustix::io::Errno::from_io_error(error) {
                Some(rustix::io::Errno::NOSPC) => {
                    "no inotify watches are left (raise fs.inotify.max_user_watches)".into()
                }
                Some(rustix::io::Errno::MFILE) => {
                    "no inotify instances are left (raise fs.inotify.max_user_instances)".into()
                }
                _ => super::io_text(error),
            };
            folder.unwatched = Some(text);
        }
        place.has_events = added.is_ok() && place.file_system.has_events;
    }
}

impl Place {
    fn open(path: &std::path::Path, was_mount: bool) -> std::io::Result<Place> {
        let (fd, identity) = scan::open_folder(path)?;
        let file_system = scan::file_system(&fd)?;
        let above = scan::identity(&path.join(".."))?;
        let is_mount = above.is_some_and(|above| above.device != identity.device);
        Ok(Place {
            identity,
            file_system,
            has_events: file_system.has_events,
            is_mount,
            is_unmounted: was_mount && !is_mount,
        })
    }
}

fn gone_text(error: &std::io::Error) -> String {
    match rustix::io::Errno::from_io_error(error) {
        Some(rustix::io::Errno::NOENT) => {
            "the folder is not there; make it, or mount what it is on, and it is taken up by itself"
                .into()
        }
        _ => format!("the folder cannot be opened: {}", super::io_text(error)),
    }
}

impl Folder {
    fn new(settings: Arc<config::Folder>, is_patient: bool) -> Folder {
        Folder {
            names: names::Rules::new(&settings.files, settings.done.as_deref()),
            settings,
            is_patient,
            place: None,
            gone: None,
            unwatched: None,
            files: HashMap::new(),
            due: BTreeSet::new(),
            ready: BTreeSet::new(),
            known: HashSet::new(),
            next_scan: Moment::MIN,
            last_file: None,
        }
    }

    /// Whether the folder that is watched still stands at its path. By a look at the path alone: opening a
    /// watched folder is an event itself, and a loop that opens it each turn wakes itself for ever.
    pub fn is_there(&self) -> bool {
        let there = scan::identity(&self.settings.path).ok().flatten();
        there.is_some() && there == self.place.as_ref().map(|place| place.identity)
    }

    /// The folder itself, to work in for a moment; `Gone` while it is not there, or is another one.
    pub fn open(&self) -> super::Result<OwnedFd> {
        let place = self.place.as_ref().ok_or(super::Error::Gone)?;
        let (fd, identity) = scan::open_folder(&self.settings.path)?;
        if identity == place.identity {
            Ok(fd)
        } else {
            Err(super::Error::Gone)
        }
    }

    /// This file, as it is, was taken or is held: it is not offered again unless it changes.
    pub fn mark_known(&mut self, name: &OsStr, stat: Stat) {
        self.known.insert(one_link(stat));
        let seen = self.files.get(name).and_then(|seen| seen.story.stat());
        if seen.map(one_link) == Some(one_link(stat)) {
            self.set(name, None, None, None);
        }
    }

    /// It may be offered again.
    pub fn forget_known(&mut self, stat: Stat) {
        self.known.remove(&one_link(stat));
        self.next_scan = Moment::MIN;
    }

    /// It could not be taken now, for this reason; it is looked at again after a while.
    pub fn put_off(&mut self, name: &OsStr, why: String, now: Moment) {
        self.set(name, Some(now + REFUSED_AGAIN_MS), None, Some(why));
    }

    /// It is not what it was: it has to settle anew.
    pub fn look_again(&mut self, name: &OsStr, now: Moment) {
        self.settle(name, now);
    }

    /// The marker that stands beside a file.
    pub fn marker(&self, name: &OsStr) -> Option<OsString> {
        self.names.marker_of(name)
    }

    /// `watched`, `polled` or `gone`, and why or how.
    pub fn state(&self) -> (&'static str, Option<String>) {
        match &self.place {
            None => ("gone", self.gone.clone()),
            Some(place) if place.is_unmounted && self.waiting() == 0 => (
                "gone",
                Some("what was mounted here is not; mount it, and it is taken up by itself".into()),
            ),
            Some(_) if self.gone.is_some() => ("gone", self.gone.clone()),
            Some(place) if place.has_events => ("watched", None),
            Some(place) => {
                let why = match &self.unwatched {
                    Some(why) => why.clone(),
                    None => format!(
                        "{} tells of no writing by other hosts",
                        place.file_system.name
                    ),
                };
                let every = self.poll_ms() / 1000;
                (
                    "polled",
                    Some(format!("looked through every {every} s: {why}")),
                )
            }
        }
    }

    /// Files that stand here and will be taken.
    pub fn waiting(&self) -> usize {
        self.files.values().filter(|f| f.is_waiting()).count()
    }

    /// Whether a file here will be complete by itself: `sync` waits for it.
    pub fn is_settling(&self) -> bool {
        self.files
            .values()
            .any(|seen| seen.what == Use::Take && seen.is_settling)
    }

    /// The first of those that wait for something but time, and why.
    pub fn why_waiting(&self) -> Option<(OsString, String)> {
        let waiting = self.files.iter().filter(|(_, seen)| seen.why.is_some());
        let (name, seen) = waiting.min_by(|a, b| a.0.cmp(b.0))?;
        Some((name.clone(), seen.why.clone()?))
    }

    /// Files that no pattern matches: how many, and some of their names.
    pub fn foreign(&self) -> (usize, Vec<OsString>) {
        let mut names: Vec<OsString> = (self.files.iter())
            .filter(|(_, seen)| seen.what == Use::Foreign)
            .map(|(name, _)| name.clone())
            .collect();
        names.sort();
        let count = names.len();
        names.truncate(FOREIGN_SHOWN_MAX);
        (count, names)
    }

    fn poll_ms(&self) -> Moment {
        (self.settle_ms() / 2).clamp(POLL_MS_MIN, RESCAN_MS)
    }

    fn settle_ms(&self) -> Moment {
        Moment::try_from(self.settings.settle.as_millis()).unwrap_or(Moment::MAX)
    }

    fn tell(
        &mut self,
        name: OsString,
        event: Event,
        arriving: Option<Story>,
        now: Moment,
        number: u64,
    ) {
        match arriving {
            Some(mut story) => {
                story.tell(event, now, number);
                self.drop_name(&name, now);
                self.see(&name, story, now);
            }
            None => match self.files.get_mut(&name) {
                Some(seen) => seen.story.tell(event, now, number),
                None => self.see(&name, Story::begun_by(event, now, number), now),
            },
        }
        self.settle(&name, now);
    }

    fn see(&mut self, name: &OsStr, story: Story, now: Moment) {
        let seen = Seen {
            story,
            what: self.names.of(name),
            since: now,
            due: None,
            ready: None,
            why: None,
            is_settling: false,
        };
        self.files.insert(name.to_owned(), seen);
    }

    fn drop_name(&mut self, name: &OsStr, now: Moment) -> Option<Seen> {
        if !self.files.contains_key(name) {
            return None;
        }
        self.set(name, None, None, None);
        let seen = self.files.remove(name)?;
        if let Some(stat) = seen.story.stat() {
            self.known.remove(&one_link(stat));
        }
        if seen.what == Use::Marker
            && let Some(file) = self.names.file_of_marker(name)
        {
            self.settle(&file, now);
        }
        Some(seen)
    }

    /// What a listing shows against what was seen before.
    fn compare(&mut self, entries: Vec<scan::Entry>, now: Moment) {
        let mut listed = HashSet::with_capacity(entries.len());
        for entry in entries {
            if entry.what == What::Folder {
                continue;
            }
            let is_new = !self.files.contains_key(&entry.name);
            let is_never = is_new && names::is_never_read(&entry.name);
            if is_new && !is_never {
                self.see(&entry.name, Story::found(now), now);
            }
            if !is_never {
                self.settle_as(&entry.name, Some(entry.what), now);
            }
            listed.insert(entry.name);
        }
        let gone: Vec<OsString> = (self.files.keys())
            .filter(|name| !listed.contains(*name))
            .cloned()
            .collect();
        for name in gone {
            self.drop_name(&name, now);
        }
    }

    fn look_at_due(&mut self, now: Moment) {
        while self.due.first().is_some_and(|(moment, _)| *moment <= now) {
            let Some((_, name)) = self.due.pop_first() else {
                return;
            };
            if let Some(seen) = self.files.get_mut(&name) {
                seen.due = None;
            }
            self.settle(&name, now);
        }
    }

    fn settle(&mut self, name: &OsStr, now: Moment) {
        let interesting = (self.files.get(name)).is_some_and(|seen| seen.what != Use::Never);
        if !interesting || self.place.is_none() {
            return;
        }
        match scan::open_folder(&self.settings.path).and_then(|(fd, _)| scan::look(fd, name)) {
            Ok(what) => self.settle_as(name, what, now),
            Err(error) => self.put_off(
                name,
                format!("cannot be looked at: {}", super::io_text(&error)),
                now,
            ),
        }
    }

    fn settle_as(&mut self, name: &OsStr, what: Option<What>, now: Moment) {
        let Some(seen) = self.files.get_mut(name) else {
            return;
        };
        let stat = match what {
            Some(What::File(stat)) => stat,
            Some(What::Other) if seen.what == Use::Take => {
                // A link or a device under a name that would be read: named like a foreign one.
                seen.what = Use::Foreign;
                return self.set(name, None, None, None);
            }
            Some(_) => return,
            None => {
                self.drop_name(name, now);
                return;
            }
        };
        seen.story.look(stat, now);
        match seen.what {
            Use::Take => self.decide(name, stat, now),
            Use::Marker => {
                if let Some(file) = self.names.file_of_marker(name) {
                    self.settle(&file, now);
                }
            }
            // What was a link is a file now.
            Use::Foreign if self.names.of(name) == Use::Take => {
                seen.what = Use::Take;
                self.decide(name, stat, now);
            }
            Use::Foreign | Use::Never => {}
        }
    }

    fn decide(&mut self, name: &OsStr, stat: Stat, now: Moment) {
        if self.known.contains(&one_link(stat)) {
            return self.set(name, None, None, None);
        }
        let has_events = self.place.as_ref().is_some_and(|p| p.has_events);
        let rules = settle::Rules::new(self.settle_ms(), self.is_patient && has_events);
        let marker = self.marker_for(name);
        match self.files[name].story.decide(&rules, marker, now) {
            Decision::Complete { since, after } => {
                self.set(name, None, Some((since, after, stat.mtime_ns)), None);
            }
            Decision::Wait { until, why } => {
                self.set(name, until, None, Some(why.text().to_owned()));
                if let Some(seen) = self.files.get_mut(name) {
                    seen.is_settling = why != settle::Why::SecondLink && why != settle::Why::Marker;
                }
            }
        }
    }

    fn marker_for(&self, name: &OsStr) -> Marker {
        if !self.names.wants_marker() {
            return Marker::NotWanted;
        }
        let marker = self.names.marker_of(name).and_then(|m| self.files.get(&m));
        match marker {
            Some(seen) if seen.what == Use::Marker => Marker::Seen { since: seen.since },
            _ => Marker::Missing,
        }
    }

    /// The one place that changes where a file stands.
    fn set(
        &mut self,
        name: &OsStr,
        due: Option<Moment>,
        ready: Option<(Moment, u64, i64)>,
        why: Option<String>,
    ) {
        let Some(seen) = self.files.get_mut(name) else {
            return;
        };
        (seen.why, seen.is_settling) = (why, false);
        if seen.due != due {
            if let Some(before) = seen.due.take() {
                self.due.remove(&(before, name.to_owned()));
            }
            self.due.extend(due.map(|moment| (moment, name.to_owned())));
            seen.due = due;
        }
        // Once complete it keeps its place in the order, unless something changes it.
        if seen.ready != ready {
            if let Some((since, after, mtime)) = seen.ready.take() {
                self.ready.remove(&(since, after, mtime, name.to_owned()));
            }
            self.ready
                .extend(ready.map(|(since, after, mtime)| (since, after, mtime, name.to_owned())));
            seen.ready = ready;
        }
    }

    fn lose_events(&mut self, now: Moment) {
        self.next_scan = Moment::MIN;
        let unsure: Vec<OsString> = (self.files.iter_mut())
            .filter(|(_, seen)| seen.ready.is_none())
            .map(|(name, seen)| {
                seen.story.forget(now);
                name.clone()
            })
            .collect();
        for name in unsure {
            self.settle(&name, now);
        }
    }

    fn clear(&mut self) {
        self.files.clear();
        self.due.clear();
        self.ready.clear();
    }

    /// After new settings: names mean something else, perhaps, and waits are longer or shorter.
    fn take_over(&mut self, before: Folder) {
        self.files = before.files;
        self.known = before.known;
        self.place = before.place;
        self.gone = before.gone;
        self.unwatched = before.unwatched;
        self.last_file = before.last_file;
        for (name, seen) in &mut self.files {
            seen.what = self.names.of(name);
            (seen.due, seen.ready) = (None, None);
        }
    }
}

impl Seen {
    fn is_waiting(&self) -> bool {
        self.what == Use::Take && (self.ready.is_some() || self.why.is_some())
    }
}

impl Ready {
    /// Whether it was complete before the other.
    pub fn is_before(&self, other: &Ready) -> bool {
        (self.since, self.after, self.stat.mtime_ns, &self.name)
            < (other.since, other.after, other.stat.mtime_ns, &other.name)
    }
}

/// Which file it is, whatever its number of links.
fn one_link(stat: Stat) -> Stat {
    Stat { links: 1, ..stat }
}

#[cfg(test)]
mod tests;
