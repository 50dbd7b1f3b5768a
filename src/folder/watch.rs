//! What inotify tells of the drop folders, in one queue, and the wake-ups of the loop that reads it.
//!
//! Hints only: a listing is the truth. The kernel's own queue is the buffer, bounded and in order,
//! and the loop that decides reads it itself; a crate with a thread and a channel of its own between
//! would add an unbounded copy of that queue, and hide when a file system is unmounted.

use std::collections::HashMap;
use std::ffi::OsString;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::Path;
use std::sync::Arc;

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::Errno;

use super::settle::Event;

/// Bytes of events that are read at once: some hundred of them.
const BUFFER_BYTES: usize = 32 << 10;

/// One event, in the words of the loop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// `cookie` ties a rename's two halves together; 0 for others.
    Name {
        folder: usize,
        name: OsString,
        event: Event,
        cookie: u32,
    },
    MovedFrom {
        folder: usize,
        name: OsString,
        cookie: u32,
    },
    Removed {
        folder: usize,
        name: OsString,
    },
    /// The folder itself was removed, moved or unmounted.
    FolderGone {
        folder: usize,
    },
    /// Events were lost: of any folder, any name.
    Overflow,
}

/// One inotify instance for all folders, so that the order of events is one.
pub struct Watch {
    inotify: OwnedFd,
    folders: HashMap<i32, usize>,
}

impl Watch {
    pub fn new() -> io::Result<Watch> {
        Ok(Watch {
            inotify: inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?,
            folders: HashMap::new(),
        })
    }

    /// From now on events of `path` are of `folder`; an older watch of the same number is dropped.
    pub fn add(&mut self, folder: usize, path: &Path) -> io::Result<()> {
        self.remove(folder);
        let flags = WatchFlags::CREATE
            | WatchFlags::OPEN
            | WatchFlags::MODIFY
            | WatchFlags::ATTRIB
            | WatchFlags::CLOSE_WRITE
            | WatchFlags::MOVED_FROM
            | WatchFlags::MOVED_TO
            | WatchFlags::DELETE
            | WatchFlags::DELETE_SELF
            | WatchFlags::MOVE_SELF
            | WatchFlags::ONLYDIR
            | WatchFlags::EXCL_UNLINK;
        let descriptor = inotify::add_watch(&self.inotify, path, flags)?;
        self.folders.insert(descriptor, folder);
        Ok(())
    }

    pub fn remove(&mut self, folder: usize) {
        let of_it: Vec<i32> = (self.folders.iter())
            .filter(|(_, f)| **f == folder)
            .map(|(descriptor, _)| *descriptor)
            .collect();
        for descriptor in of_it {
            self.folders.remove(&descriptor);
            // The kernel has removed it already if its folder is gone.
            let _ = inotify::remove_watch(&self.inotify, descriptor);
        }
    }

    /// Folders have other numbers now; `None`: it is no longer one of them.
    pub fn renumber(&mut self, new: impl Fn(usize) -> Option<usize>) {
        let old = std::mem::take(&mut self.folders);
        for (descriptor, folder) in old {
            match new(folder) {
                Some(folder) => drop(self.folders.insert(descriptor, folder)),
                None => drop(inotify::remove_watch(&self.inotify, descriptor)),
            }
        }
    }

    /// All that waits in the queue, in order.
    pub fn read(&mut self) -> io::Result<Vec<Note>> {
        let mut notes = Vec::new();
        let mut buffer = [MaybeUninit::uninit(); BUFFER_BYTES];
        let mut reader = inotify::Reader::new(&self.inotify, &mut buffer);
        loop {
            match reader.next() {
                Ok(event) => {
                    let name = event
                        .file_name()
                        .map(|name| OsString::from_vec(name.to_bytes().to_vec()));
                    let folder = self.folders.get(&event.wd()).copied();
                    if event.events().contains(ReadFlags::QUEUE_OVERFLOW) {
                        notes.push(Note::Overflow);
                    } else if let Some(folder) = folder {
                        translate(folder, name, event.events(), event.cookie(), &mut notes);
                    }
                }
                Err(Errno::AGAIN) => return Ok(notes),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

fn translate(
    folder: usize,
    name: Option<OsString>,
    flags: ReadFlags,
    cookie: u32,
    notes: &mut Vec<Note>,
) {
    let Some(name) = name else {
        let gone =
            ReadFlags::DELETE_SELF | ReadFlags::MOVE_SELF | ReadFlags::UNMOUNT | ReadFlags::IGNORED;
        if flags.intersects(gone) {
            notes.push(Note::FolderGone { folder });
        }
        return;
    };
    if flags.contains(ReadFlags::ISDIR) {
        return;
    }
    if flags.contains(ReadFlags::MOVED_FROM) {
        notes.push(Note::MovedFrom {
            folder,
            name,
            cookie,
        });
        return;
    }
    if flags.contains(ReadFlags::DELETE) {
        notes.push(Note::Removed { folder, name });
        return;
    }
    let event = [
        (ReadFlags::CREATE, Event::Created),
        (ReadFlags::MOVED_TO, Event::RenamedTo),
        (ReadFlags::OPEN, Event::Opened),
        (ReadFlags::MODIFY, Event::Modified),
        (ReadFlags::CLOSE_WRITE, Event::ClosedAfterWriting),
        (ReadFlags::ATTRIB, Event::Attributes),
    ]
    .into_iter()
    .find(|(flag, _)| flags.contains(*flag));
    if let Some((_, event)) = event {
        notes.push(Note::Name {
            folder,
            name,
            event,
            cookie,
        });
    }
}

/// Wakes the loop from any thread. Wake-ups merge; none is lost.
#[derive(Clone)]
pub struct Bell(Arc<OwnedFd>);

impl Bell {
    pub fn new() -> io::Result<Bell> {
        let fd = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Bell(Arc::new(fd)))
    }

    pub fn ring(&self) {
        // The one error is a counter that is full: it rings already.
        let _ = rustix::io::write(&*self.0, &1u64.to_ne_bytes());
    }

    /// Takes back what has rung; whether it had.
    pub fn hush(&self) -> bool {
        let mut counter = [0u8; 8];
        rustix::io::read(&*self.0, &mut counter).is_ok()
    }
}

/// Sleeps until an event waits in `watch`, the bell rings, or `for_ms` has passed.
pub fn sleep(watch: Option<&Watch>, bell: &Bell, for_ms: i64) -> io::Result<()> {
    let for_ms = for_ms.max(0);
    let timeout = Timespec {
        tv_sec: for_ms / 1000,
        tv_nsec: (for_ms % 1000) * 1_000_000,
    };
    let mut waited = vec![PollFd::from_borrowed_fd(bell.0.as_fd(), PollFlags::IN)];
    if let Some(watch) = watch {
        waited.push(PollFd::from_borrowed_fd(
            watch.inotify.as_fd(),
            PollFlags::IN,
        ));
    }
    match poll(&mut waited, Some(&timeout)) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::io::Write;

    /// What inotify tells of `work` in a fresh folder, in DESIGN.md's letters.
    #[track_caller]
    fn check(work: impl FnOnce(&Path), expected: &str) {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("old.csv"), "a\n").unwrap();
        let mut watch = Watch::new().unwrap();
        watch.add(0, folder.path()).unwrap();
        work(folder.path());
        let told: Vec<String> = watch.read().unwrap().iter().map(letter).collect();
        assert_eq!(told.join(" "), expected);
    }

    fn letter(note: &Note) -> String {
        match note {
            Note::Name { event, .. } => match event {
                Event::Created => "C",
                Event::Opened => "O",
                Event::Modified => "M",
                Event::Attributes => "A",
                Event::ClosedAfterWriting => "W",
                Event::RenamedTo => "T",
            },
            Note::MovedFrom { .. } => "F",
            Note::Removed { .. } => "D",
            Note::FolderGone { .. } => "gone",
            Note::Overflow => "overflow",
        }
        .to_owned()
    }

    #[test]
    fn a_file_that_is_written() {
        check(
            |dir| fs::write(dir.join("a.csv"), "a\n").unwrap(),
            "C O M W",
        );
    }

    #[test]
    fn a_file_that_is_written_over() {
        check(
            |dir| fs::write(dir.join("old.csv"), "b\n").unwrap(),
            "O M W",
        );
    }

    #[test]
    fn a_file_that_is_read_tells_of_no_writing() {
        check(|dir| drop(fs::read(dir.join("old.csv")).unwrap()), "O");
    }

    #[test]
    fn a_file_that_is_renamed_while_it_is_written() {
        check(
            |dir| {
                let mut file = fs::File::create(dir.join("a.part")).unwrap();
                file.write_all(b"a\n").unwrap();
                fs::rename(dir.join("a.part"), dir.join("a.csv")).unwrap();
                file.write_all(b"b\n").unwrap();
            },
            "C O M F T M W",
        );
    }

    #[test]
    fn a_folder_that_is_removed() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("drop");
        fs::create_dir(&folder).unwrap();
        let mut watch = Watch::new().unwrap();
        watch.add(3, &folder).unwrap();
        fs::remove_dir(&folder).unwrap();
        let notes = watch.read().unwrap();
        assert_eq!(notes.first(), Some(&Note::FolderGone { folder: 3 }));
    }

    #[test]
    fn a_bell_that_rang_before_wakes_at_once_and_once() {
        let bell = Bell::new().unwrap();
        bell.ring();
        bell.ring();
        sleep(None, &bell, 60_000).unwrap();
        assert!(bell.hush());
        assert!(!bell.hush());
    }
}
