//! What intake shows of itself: to the page and the alerts of the same process as a value, to
//! `status` of another one through the store.

use crate::store::Store;

/// Under this name the store keeps it, as JSON.
const NAME: &str = "intake_board";

/// Notices that are kept at most; the oldest go.
const NOTICES_MAX: usize = 50;

/// What the loop shows. Times are UTC milliseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Board {
    pub folders: Vec<FolderStatus>,
    /// Why no file is begun at all, and since when: no room.
    pub blocked: Option<Blocked>,
    /// The file that is being read.
    pub reading: Option<ReadingNow>,
    /// What a person should know, oldest first.
    pub notices: Vec<Notice>,
    /// Times that the kernel's queue of events ran over.
    pub overflows: u64,
    /// When the loop last took a turn: whether it lives.
    pub turned: i64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct FolderStatus {
    pub name: String,
    /// `watched`, `polled`, `gone`, `paused`, `full`.
    pub state: String,
    pub reason: Option<String>,
    /// Since when it is `gone`; for alerts.
    pub since: Option<i64>,
    /// Files that stand there and will be taken.
    pub waiting: u64,
    /// The first of them that waits for something but time: its name, and why.
    pub waits_for: Option<(String, String)>,
    /// Files that match no pattern.
    pub foreign: u64,
    pub foreign_names: Vec<String>,
    /// The file that was taken last, as it is shown, and when.
    pub last_file: Option<(String, i64)>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Blocked {
    pub since: i64,
    pub reason: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ReadingNow {
    pub file: i64,
    pub folder: String,
    pub name: String,
    /// Batches that were read so far.
    pub batches: u64,
    pub since: i64,
}

/// Something that a person should know, and that no row of `files` says.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Notice {
    pub at: i64,
    /// A word for code: `grown`, `unreadable_by_us`, `not_moved`, `replaced`.
    pub kind: String,
    pub folder: String,
    /// Ready to be shown.
    pub text: String,
}

impl Board {
    /// A notice of the same words replaces the older one, and keeps its time.
    pub fn notice(&mut self, notice: Notice) {
        let same = |other: &Notice| other.kind == notice.kind && other.text == notice.text;
        if self.notices.iter().any(same) {
            return;
        }
        self.notices.push(notice);
        let too_many = self.notices.len().saturating_sub(NOTICES_MAX);
        self.notices.drain(..too_many);
    }

    /// What caused them is over.
    pub fn settle_notices(&mut self, kind: &str, folder: &str, part: &str) {
        self.notices
            .retain(|n| !(n.kind == kind && n.folder == folder && n.text.contains(part)));
    }

    /// Without what changes each turn: whether it is worth writing.
    fn content(&self) -> Board {
        Board {
            turned: 0,
            reading: self.reading.clone().map(|reading| ReadingNow {
                batches: 0,
                ..reading
            }),
            ..self.clone()
        }
    }

    pub fn differs(&self, other: &Board) -> bool {
        self.content() != other.content()
    }
}

/// What a daemon's loop showed last; `None`: there was none yet.
pub fn load(c: &crate::store::Connection) -> crate::store::Result<Option<Board>> {
    let json = crate::store::meta::text(c, NAME)?;
    Ok(json.and_then(|json| serde_json::from_str(&json).ok()))
}

pub fn save(store: &Store, board: &Board) -> crate::store::Result<()> {
    let json = serde_json::to_string(board).expect("texts and numbers are always JSON");
    store.set_text(NAME, &json)
}
