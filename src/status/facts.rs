//! Everything that is known of this host at one moment, as plain values: what `status`, `todo`, the
//! page, metrics and alerts are made from.
//!
//! Nothing here reads a clock, a file or the store; `collect` fills it, tests and the page's
//! fixtures make it up. Times are UTC milliseconds.

use std::path::PathBuf;
use std::time::Duration;

use crate::config::Expect;
use crate::kind::Kind;

#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// This host's name.
    pub store: String,
    pub version: String,
    pub state_dir: PathBuf,
    /// `None`: no daemon runs on this state directory.
    pub daemon: Option<Daemon>,
    /// When the store was made; what is expected is expected from then on.
    pub created: Option<i64>,
    pub link: Link,
    pub budget: Budget,
    /// `None`: the plan's calls are not watched (`cycle_calls` is absent).
    pub cycle: Option<Cycle>,
    pub folders: Vec<Folder>,
    pub files: FileCounts,
    pub stored: Counts,
    /// Of these: the remote has acknowledged what is stored.
    pub confirmed: Counts,
    pub pending: Counts,
    pub in_flight: Counts,
    pub parked: Counts,
    /// Rejected rows of all files that are known.
    pub rejected: u64,
    pub oldest_pending: Option<i64>,
    /// The oldest pending record whose own wait is over; `None`: nothing is due.
    pub oldest_due: Option<i64>,
    pub last_delivered: Option<i64>,
    /// Since when the oldest file that is complete waits for its turn.
    pub claimed_since: Option<i64>,
    /// The newest request, answered or not.
    pub last_request: Option<i64>,
    pub paused: Option<Pause>,
    pub last_error: Option<LastError>,
    pub held: Vec<FileFact>,
    /// Files moved to `rejects/` whole, of folders that have not taken in a later one since.
    pub unreadable: Vec<FileFact>,
    /// The newest files of which rows were rejected and whose rejects still stand in `rejects/`.
    pub rejecting: Vec<FileFact>,
    pub notices: Vec<Notice>,
    pub reading: Vec<FileFact>,
    pub parked_groups: Vec<ParkedGroup>,
    /// Jobs of the remote that are open.
    pub jobs: Vec<Job>,
    pub disk: Option<Disk>,
    /// Why no file is begun: no room, here or where a folder lies.
    pub blocked: Option<Refusal>,
    /// The configuration was to be read again, and was refused.
    pub reload_refused: Option<Refusal>,
    /// The credentials belong to another project than the store, or an old backup was restored.
    pub rebind: Option<Refusal>,
    /// The clock is before this program was built: TLS and every time that is shown are wrong.
    pub clock_wrong: bool,
    pub database_bytes: u64,
    /// The write-ahead log beside it.
    pub wal_bytes: u64,
    pub last_backup: Option<i64>,
    /// Nobody would be told: no command and no webhook in `[alert]`.
    pub nobody_alerted: bool,
    /// How long a link may be away before that is a to-do.
    pub away_after: Duration,
    /// Numbers that only grow, for metrics: requests, files, changes.
    pub ever: Ever,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Daemon {
    /// 0: it has not written who it is yet.
    pub pid: u32,
    pub since: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkState {
    Up,
    Limited,
    Away,
    Refused,
    Exhausted,
}

impl LinkState {
    pub const ALL: [LinkState; 5] = [
        LinkState::Up,
        LinkState::Limited,
        LinkState::Away,
        LinkState::Refused,
        LinkState::Exhausted,
    ];

    /// The word of commands and JSON.
    pub fn name(self) -> &'static str {
        match self {
            LinkState::Up => "up",
            LinkState::Limited => "limited",
            LinkState::Away => "away",
            LinkState::Refused => "refused",
            LinkState::Exhausted => "exhausted",
        }
    }

    pub fn from_name(name: &str) -> Option<LinkState> {
        LinkState::ALL.into_iter().find(|s| s.name() == name)
    }
}

#[derive(Clone, Debug, Default)]
pub struct Link {
    /// `None`: not tried yet.
    pub state: Option<LinkState>,
    pub since: Option<i64>,
    pub until: Option<i64>,
    pub reason: Option<String>,
}

impl Link {
    pub fn is(&self, state: LinkState) -> bool {
        self.state == Some(state)
    }
}

/// Calls of the present period.
#[derive(Clone, Debug, Default)]
pub struct Budget {
    /// Of the whole project.
    pub limit: Option<u64>,
    /// `minute` or `hour`.
    pub period: Option<String>,
    pub used: Option<u64>,
    /// What this host may take of the limit.
    pub share: Option<u64>,
    /// Of the whole project, as the remote last said.
    pub remaining: Option<u64>,
}

/// Calls of the plan's billing cycle.
#[derive(Clone, Copy, Debug)]
pub struct Cycle {
    pub calls: u64,
    /// This host's own.
    pub used: u64,
    pub begun: i64,
    pub ends: i64,
}

impl Cycle {
    /// Calls at the cycle's end if it goes on as so far; `None`: too early to say.
    pub fn forecast(&self, now: i64) -> Option<u64> {
        let (gone, whole) = (now - self.begun, self.ends - self.begun);
        // The first days after a migration say nothing of the rest of a month.
        if gone < whole / 20 || whole <= 0 {
            return None;
        }
        Some((self.used as f64 * whole as f64 / gone as f64).round() as u64)
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub customers: u64,
    pub products: u64,
    pub skus: u64,
    pub orders: u64,
}

impl Counts {
    pub fn total(self) -> u64 {
        self.customers + self.products + self.skus + self.orders
    }

    pub fn of(self, kind: Kind) -> u64 {
        match kind {
            Kind::Customers => self.customers,
            Kind::Products => self.products,
            Kind::Skus => self.skus,
            Kind::Orders => self.orders,
        }
    }

    pub fn of_mut(&mut self, kind: Kind) -> &mut u64 {
        match kind {
            Kind::Customers => &mut self.customers,
            Kind::Products => &mut self.products,
            Kind::Skus => &mut self.skus,
            Kind::Orders => &mut self.orders,
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileCounts {
    pub waiting: u64,
    pub reading: u64,
    pub held: u64,
    pub stored: u64,
    pub unreadable: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FolderState {
    /// Its files are taken in as they come.
    Watched,
    /// The same, found by listing it every minute: its file system tells of nothing.
    Polled,
    /// Its intake stands until `resume`.
    Paused,
    /// No file is begun for want of room.
    Full,
    /// Not there, or not the folder that it was.
    Gone,
    /// There, but this user may not read or write it.
    Unreadable,
    /// No daemon looks at it now; it is there.
    #[default]
    Unwatched,
}

impl FolderState {
    pub fn name(self) -> &'static str {
        match self {
            FolderState::Watched => "watched",
            FolderState::Polled => "polled",
            FolderState::Paused => "paused",
            FolderState::Full => "full",
            FolderState::Gone => "gone",
            FolderState::Unreadable => "unreadable",
            FolderState::Unwatched => "unwatched",
        }
    }
}

#[derive(Clone, Debug)]
pub struct Folder {
    pub name: String,
    pub path: PathBuf,
    pub kind: Kind,
    /// As configured: `auto` or a name.
    pub preset: String,
    pub note: Option<String>,
    pub expect: Option<Expect>,
    /// An IANA name; `None`: the host's zone.
    pub timezone: Option<String>,
    pub state: FolderState,
    pub state_since: Option<i64>,
    /// What is wrong with it, in words.
    pub reason: Option<String>,
    /// Files in it that are not taken in yet.
    pub waiting: u64,
    /// Some of these, with what each waits for.
    pub waiting_files: Vec<WaitingFile>,
    /// Files in it that no pattern matches.
    pub foreign: u64,
    /// Some of their names.
    pub foreign_names: Vec<String>,
    pub last_file: Option<LastFile>,
    /// When the last file with a row came.
    pub came: Option<i64>,
    /// When this folder was first known; what is expected counts from then.
    pub known_since: Option<i64>,
}

/// A folder's newest file, and how it went.
#[derive(Clone, Debug)]
pub struct LastFile {
    pub id: i64,
    pub name: String,
    /// As in `files`: waiting reading held stored unreadable discarded reverted.
    pub state: String,
    pub reason: Option<String>,
    pub preset: Option<String>,
    pub at: i64,
    pub rows: u64,
    pub new: u64,
    pub changed: u64,
    pub unchanged: u64,
    pub deleted: u64,
    pub rejected: u64,
    pub skipped: u64,
}

/// A file in a drop folder that is not taken in yet.
#[derive(Clone, Debug)]
pub struct WaitingFile {
    pub name: String,
    /// Since when it is as it is; `None`: not known.
    pub since: Option<i64>,
    /// What it waits for, to stand after its name.
    pub why: String,
}

/// What intake noticed and no file's row says.
#[derive(Clone, Debug)]
pub struct Notice {
    pub at: i64,
    pub kind: NoticeKind,
    pub folder: String,
    /// Whole sentences.
    pub text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoticeKind {
    /// A file was written to after it was taken in, and was read again.
    Grown,
    /// A file that this user may not read waits.
    Permission,
    /// A file was taken in and cannot be moved away.
    NotMoved,
    Other,
}

#[derive(Clone, Debug)]
pub struct FileFact {
    pub id: i64,
    pub folder: String,
    pub name: String,
    pub reason: Option<String>,
    pub since: i64,
    pub rows: u64,
    pub rejected: u64,
    /// Codes of its rejects with their number, most first.
    pub codes: Vec<(String, u64)>,
    /// Names of its rejects files in the folder's `rejects/`.
    pub rejects_names: Vec<String>,
}

#[derive(Clone, Debug)]
pub struct ParkedGroup {
    pub kind: Kind,
    pub code: String,
    pub count: u64,
    pub since: i64,
}

#[derive(Clone, Debug)]
pub struct Job {
    pub remote_id: String,
    pub kind: Kind,
    pub since: i64,
    pub records: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disk {
    /// Bytes that this user may still write where the store lies.
    pub free: u64,
    pub size: u64,
    /// Below this no file is begun.
    pub min_free: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pause {
    pub since: i64,
    /// `None`: until `resume`.
    pub until: Option<i64>,
}

#[derive(Clone, Debug)]
pub struct LastError {
    pub at: i64,
    pub code: String,
    pub message: String,
}

#[derive(Clone, Debug)]
pub struct Refusal {
    /// `None`: not known.
    pub at: Option<i64>,
    pub message: String,
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Ever {
    pub requests: u64,
    pub files: u64,
    pub changes: u64,
}

/// A point of the page's picture: what the store held at `at`, and what was done since the point before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    pub at: i64,
    pub stored: u64,
    pub pending: u64,
    pub parked: u64,
    pub delivered: u64,
    pub calls: u64,
}
