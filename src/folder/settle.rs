//! Is this file complete, or until when to wait, and why: INTERFACE.md, "A drop folder".
//!
//! Pure: it is told what inotify said of a name and what `stat` shows, with `now` as an argument on
//! the boot-time clock. What inotify told of opening and closing decides, where it told anything:
//! a preallocated file has its final size, and an arbitrary time, long before its content.

/// Milliseconds of the boot-time clock, which counts suspends and never jumps.
pub type Moment = i64;

/// How much longer than `settle` a file has to stay as it is when nothing was told of its writer,
/// or when it is empty (INTERFACE.md, "A drop folder").
pub const PATIENCE: i64 = 12;

/// No event tells that a file's other hard link went away: it is looked at again after this.
const LINK_AGAIN_MS: Moment = 1_000;

/// A name that was made and that nobody has opened is a link, or was made this very moment.
const MADE_MS: Moment = 1_000;

/// What one event said of a name. Equal ones in a row may stand for several: opens cannot be counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A name came into being: made, or linked.
    Created,
    /// By a reader, a writer, or whoever made it.
    Opened,
    Modified,
    /// Times or rights.
    Attributes,
    /// One handle that could write is closed.
    ClosedAfterWriting,
    /// It has this name now, and had another before.
    RenamedTo,
}

/// What `stat` shows of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Stat {
    pub device: u64,
    pub inode: u64,
    /// Bytes.
    pub size: u64,
    pub mtime_ns: i64,
    pub links: u64,
}

/// What the folder's settings and its file system make of waiting.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    pub settle_ms: Moment,
    /// For a file of whose writing nothing was told: `PATIENCE` times `settle_ms`; `settle_ms` in
    /// `sync`, and where there are no events.
    pub untold_ms: Moment,
}

impl Rules {
    pub fn new(settle_ms: Moment, patient: bool) -> Rules {
        Rules {
            settle_ms,
            untold_ms: if patient {
                settle_ms.saturating_mul(PATIENCE)
            } else {
                settle_ms
            },
        }
    }
}

/// The marker that a folder with `done = "…"` wants beside each file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Marker {
    /// The folder wants none.
    NotWanted,
    Missing,
    Seen {
        since: Moment,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Since this moment; `after` is the number of the event that made it so (0: none), which puts
    /// files in order that were complete at the same moment.
    Complete { since: Moment, after: u64 },
    /// `until: None`: for an event, or the next rescan.
    Wait { until: Option<Moment>, why: Why },
}

/// Why a file waits, for `status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Closed; it has to stay as it is for `settle`.
    Settling,
    /// Its writer has not closed it.
    Open,
    Empty,
    /// Nothing is known of its writer.
    Untold,
    SecondLink,
    Marker,
}

impl Why {
    /// To stand after the file's name.
    pub fn text(self) -> &'static str {
        match self {
            Why::Settling => "was just written; it is taken when it stays as it is for `settle`",
            Why::Open => {
                "is still open: whoever writes it has not closed it; it is taken after that"
            }
            Why::Empty => "is empty; it is taken when it stays so for 12 times `settle`",
            Why::Untold => {
                "was found here, and nothing is known of who writes it; it is taken when it stays as it is for a while"
            }
            Why::SecondLink => {
                "has a second hard link, so another name can change it; remove the other link, or drop a copy"
            }
            Why::Marker => "has no `done` marker beside it yet",
        }
    }
}

/// How far a file's life is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    /// Found; nothing was told of its writing.
    Untold,
    /// Its name was made, nobody opened it yet: a hard link, or the first moment of a copy.
    Made,
    /// Writing was seen to begin, and not to end.
    Open,
    /// A handle that could write was closed, and nothing written since.
    Closed,
    /// Renamed in, and nothing unfinished is known of it.
    Whole,
}

/// All that is known of one name in a folder.
#[derive(Clone, Debug)]
pub struct Story {
    life: Life,
    /// When it last changed, as far as events and looks tell.
    changed: Moment,
    /// Number of the last event that changed `life` or `changed`; 0: none.
    after: u64,
    stat: Option<Stat>,
}

impl Story {
    /// Of a name that a listing shows and no event has told of.
    pub fn found(now: Moment) -> Story {
        Story {
            life: Life::Untold,
            changed: now,
            after: 0,
            stat: None,
        }
    }

    /// Of a name that an event speaks of for the first time. `number` counts events.
    pub fn begun_by(event: Event, now: Moment, number: u64) -> Story {
        let mut story = Story::found(now);
        story.tell(event, now, number);
        story
    }

    pub fn stat(&self) -> Option<Stat> {
        self.stat
    }

    /// Whether its writing was seen to begin and not to end.
    pub fn is_open(&self) -> bool {
        self.life == Life::Open
    }

    pub fn tell(&mut self, event: Event, now: Moment, number: u64) {
        let life = match (event, self.life) {
            (Event::Created, _) => {
                self.stat = None;
                Life::Made
            }
            // Whoever opens a name that was just made, made it, and is going to write.
            (Event::Opened, Life::Made) => Life::Open,
            // Else it may be a reader.
            (Event::Opened, _) | (Event::Attributes, _) => return,
            (Event::Modified, _) => Life::Open,
            (Event::ClosedAfterWriting, _) => Life::Closed,
            // smbd renames open files: `C O A M F T … A M A W`.
            (Event::RenamedTo, Life::Open) => Life::Open,
            (Event::RenamedTo, _) => Life::Whole,
        };
        self.life = life;
        self.changed = now;
        self.after = number;
    }

    /// Events were lost: nothing that was told can be relied on.
    pub fn forget(&mut self, now: Moment) {
        self.life = Life::Untold;
        self.changed = now;
        self.after = 0;
    }

    /// What a look shows. A change that no event told of makes it wait anew.
    pub fn look(&mut self, stat: Stat, now: Moment) {
        let Some(before) = self.stat.replace(stat) else {
            return;
        };
        if (before.device, before.inode) != (stat.device, stat.inode) {
            // Another file under the same name; events told of it, or a look has to do.
            if self.life == Life::Untold {
                self.changed = now;
            }
            return;
        }
        if (before.size, before.mtime_ns) != (stat.size, stat.mtime_ns) {
            self.changed = now;
            if self.life == Life::Whole {
                self.life = Life::Closed;
            }
        }
    }

    /// `stat` must have been looked at before; a name without one waits.
    pub fn decide(&self, rules: &Rules, marker: Marker, now: Moment) -> Decision {
        let wait = |until: Option<Moment>, why| Decision::Wait { until, why };
        let Some(stat) = self.stat else {
            return wait(None, Why::Untold);
        };
        if stat.links > 1 {
            return wait(
                Some(now + rules.settle_ms.max(LINK_AGAIN_MS)),
                Why::SecondLink,
            );
        }
        match marker {
            Marker::Missing => return wait(None, Why::Marker),
            Marker::Seen { since } => {
                return Decision::Complete {
                    since: since.max(self.changed),
                    after: self.after,
                };
            }
            Marker::NotWanted => {}
        }
        let (patience, why) = match self.life {
            Life::Open => return wait(None, Why::Open),
            Life::Made => {
                let patience = if stat.size == 0 { PATIENCE } else { 1 };
                let settle_ms = rules.settle_ms.saturating_mul(patience);
                (settle_ms.max(MADE_MS), Why::Settling)
            }
            _ if stat.size == 0 => (rules.settle_ms.saturating_mul(PATIENCE), Why::Empty),
            Life::Whole => (0, Why::Settling),
            Life::Closed => (rules.settle_ms, Why::Settling),
            Life::Untold => (rules.untold_ms, Why::Untold),
        };
        let since = self.changed.saturating_add(patience);
        if since <= now {
            Decision::Complete {
                since,
                after: self.after,
            }
        } else {
            wait(Some(since), why)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTLE: Moment = 10_000;

    /// Plays a script and says when the file is complete, or why it waits at the end.
    ///
    /// Letters as in DESIGN.md: `C` created, `O` opened, `M` modified, `A` attributes, `W` closed
    /// after writing, `T` renamed to; `F` renamed from says nothing new of the file itself.
    /// `…` passes 60 s, `.` one second. `=` looks (size 100), `0` looks and finds it empty, `+`
    /// looks and finds it grown, `2` finds a second link, `1` finds it gone again, `!` events were
    /// lost. A decision is asked for after each step; the first moment of completion is told.
    #[track_caller]
    fn check(script: &str, expected: &str) {
        check_with(
            script,
            Rules::new(SETTLE, true),
            Marker::NotWanted,
            expected,
        );
    }

    #[track_caller]
    fn check_with(script: &str, rules: Rules, marker: Marker, expected: &str) {
        let mut now = 1_000_000;
        let start = now;
        let mut number = 0;
        let mut story: Option<Story> = None;
        let mut size = 100;
        for step in script.chars().filter(|c| *c != ' ') {
            let event = match step {
                'C' => Some(Event::Created),
                'O' => Some(Event::Opened),
                'M' => Some(Event::Modified),
                'A' => Some(Event::Attributes),
                'W' => Some(Event::ClosedAfterWriting),
                'T' => Some(Event::RenamedTo),
                _ => None,
            };
            if let Some(event) = event {
                number += 1;
                match &mut story {
                    Some(story) => story.tell(event, now, number),
                    None => story = Some(Story::begun_by(event, now, number)),
                }
            }
            let mut links = 1;
            match step {
                '…' => now += 60_000,
                '.' => now += 1_000,
                '0' => size = 0,
                '+' => size += 1,
                '2' => links = 2,
                '!' => story.as_mut().unwrap().forget(now),
                _ => {}
            }
            let story = story.get_or_insert_with(|| Story::found(now));
            let stat = Stat {
                device: 1,
                inode: 1,
                size,
                mtime_ns: 0,
                links,
            };
            story.look(stat, now);
            if let Decision::Complete { since, .. } = story.decide(&rules, marker, now) {
                assert_eq!(
                    format!("complete after {} s", (since - start) / 1000),
                    expected,
                    "{script}"
                );
                return;
            }
        }
        let told = match story.unwrap().decide(&rules, marker, now) {
            Decision::Complete { .. } => unreachable!(),
            Decision::Wait { until, why } => match until {
                Some(until) => format!("{why:?} until {} s", (until - start) / 1000),
                None => format!("{why:?}"),
            },
        };
        assert_eq!(told, expected, "{script}");
    }

    #[test]
    fn a_file_put_by_smbd_is_taken_settle_after_it_is_closed() {
        check("C O A M A W", "Settling until 10 s");
        check("C O A M A W …", "complete after 10 s");
        check("C O A M . . A W …", "complete after 12 s");
    }

    #[test]
    fn a_slow_writer_is_waited_for_however_long_it_pauses() {
        check("C O A M … A …", "Open");
        check("C O A M … … … A + … M A W", "Settling until 250 s");
        check("C O A M … A … M A W …", "complete after 130 s");
    }

    #[test]
    fn a_preallocated_file_is_not_taken_by_its_final_size() {
        check("C O A M A … … …", "Open");
        check("C O A M A … M A W …", "complete after 70 s");
    }

    #[test]
    fn a_file_that_is_overwritten_waits_for_its_writer() {
        check("= O M A … M A", "Open");
        check("= O M A … M A W …", "complete after 70 s");
    }

    #[test]
    fn a_reader_makes_no_file_wait() {
        check("= O … …", "complete after 120 s");
        check("C O M W O …", "complete after 10 s");
    }

    #[test]
    fn a_file_renamed_in_is_taken_at_once() {
        check("T", "complete after 0 s");
        check("C O A M A W . F T A", "complete after 1 s");
        check("= F T A", "complete after 0 s");
    }

    #[test]
    fn a_file_renamed_while_it_is_open_waits_for_its_writer() {
        check("C O A M F T … A A M", "Open");
        check("C O A M F T … A A M A W …", "complete after 70 s");
    }

    #[test]
    fn a_linked_name_has_no_writer_to_wait_for() {
        check("C …", "complete after 10 s");
    }

    #[test]
    fn writing_that_begins_after_all_counts() {
        check("C O M W . . M", "Open");
        check("C O M W . . M W", "Settling until 12 s");
    }

    #[test]
    fn a_growth_that_no_event_told_of_starts_the_wait_anew() {
        check("C O M W . . . +", "Settling until 13 s");
        check("= . . . . . +", "Untold until 125 s");
    }

    #[test]
    fn an_empty_file_waits_twelve_times_as_long() {
        check("C O W 0 …", "Empty until 120 s");
        check("0 C O W 0 … …", "complete after 120 s");
        check("0 T", "Empty until 120 s");
        check("0 C O … … …", "Open");
    }

    #[test]
    fn a_file_found_waits_twelve_times_as_long() {
        check("= …", "Untold until 120 s");
        check("= … …", "complete after 120 s");
        check("= … W", "Settling until 70 s");
    }

    #[test]
    fn what_was_told_is_worth_nothing_once_events_were_lost() {
        check("C O M !", "Untold until 120 s");
        check("C O M W ! …", "Untold until 120 s");
    }

    #[test]
    fn sync_and_folders_without_events_wait_for_settle() {
        let rules = Rules::new(SETTLE, false);
        check_with("= .", rules, Marker::NotWanted, "Untold until 10 s");
        check_with("= …", rules, Marker::NotWanted, "complete after 10 s");
        check_with("= M …", rules, Marker::NotWanted, "Open");
    }

    #[test]
    fn a_second_link_makes_it_wait_until_it_is_gone() {
        check("2", "SecondLink until 10 s");
        check("T", "complete after 0 s");
        check_with(
            "2",
            Rules::new(0, true),
            Marker::NotWanted,
            "SecondLink until 1 s",
        );
    }

    #[test]
    fn a_marker_decides_alone() {
        let rules = Rules::new(SETTLE, true);
        check_with("C O M W … …", rules, Marker::Missing, "Marker");
        let seen = Marker::Seen { since: 1_005_000 };
        check_with("= .", rules, seen, "complete after 5 s");
        check_with("2", rules, seen, "SecondLink until 10 s");
    }

    #[test]
    fn without_settle_a_closed_file_is_taken_at_once() {
        let rules = Rules::new(0, true);
        check_with("C O M", rules, Marker::NotWanted, "Open");
        check_with("C O M W", rules, Marker::NotWanted, "complete after 0 s");
        check_with("=", rules, Marker::NotWanted, "complete after 0 s");
    }

    #[test]
    fn another_file_under_the_same_name_is_waited_for_anew() {
        let rules = Rules::new(SETTLE, true);
        let stat = |inode| Stat {
            device: 1,
            inode,
            size: 5,
            mtime_ns: 7,
            links: 1,
        };
        let mut story = Story::found(0);
        story.look(stat(1), 0);
        story.look(stat(2), 100_000);
        let wait = Decision::Wait {
            until: Some(220_000),
            why: Why::Untold,
        };
        assert_eq!(story.decide(&rules, Marker::NotWanted, 150_000), wait);
    }
}
