//! Taking one file in: its batches go to the writer while the next one is parsed.

use super::files::FileState;
use super::{KnownRows, Result, Store};
use crate::kind::Kind;
use crate::record::Batch;
use crate::reject::Reject;

/// A file whose reading begins.
#[derive(Clone, Debug)]
pub struct Begin {
    pub file: i64,
    pub preset: String,
    /// JSON: what was decided for it; its rejects are read by it later.
    pub reading: String,
    pub now: i64,
}

/// A file that was read to its end.
#[derive(Clone, Debug)]
pub struct Finish {
    /// Rows of its tables, without headers.
    pub rows: u64,
    /// Rows that the preset knows to be no records.
    pub skipped: u64,
    /// Rows that `KnownRows` spared, and that were not handed to `apply` (`KnownRows::spared`).
    pub unchanged: u64,
    /// blake3 of its bytes.
    pub hash: [u8; 32],
    pub notices: Vec<String>,
    /// `after = "leave"`: nothing is moved, its life ends here.
    pub after_leave: bool,
    /// The folder's full list: what it did not name (`present`) is deleted.
    pub delete_missing: bool,
    pub now: i64,
}

/// What a file did; the first four count records, `rejected` rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub new: u64,
    pub changed: u64,
    pub unchanged: u64,
    pub deleted: u64,
    pub rejected: u64,
}

/// How a full list compares with what its folder's files brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Missing {
    /// Records that it does not name.
    pub missing: u64,
    /// Records that the folder's files brought, and that are not deleted.
    pub brought: u64,
}

/// A file that is being read. Dropped without an end it stays `reading`: what was committed is found
/// unchanged when it is read again.
pub struct IntakeSession {}

impl Store {
    /// The file's state becomes `reading`, and its old rejects go (it may be read anew after a crash).
    pub fn begin_intake(&self, _begin: Begin) -> Result<IntakeSession> {
        todo!()
    }
}

impl IntakeSession {
    /// For the row-hash short cut of this file.
    pub fn known_rows(&self, _kind: Kind) -> Result<KnownRows> {
        todo!()
    }

    /// Hands a batch to the writer and gives an empty one back, while the writer works; at most
    /// `AHEAD_MAX` wait. An error of an earlier batch surfaces here: the session is over then, what
    /// was not committed is not there, and the file is to be begun again.
    pub fn apply(
        &mut self,
        _batch: Batch,
        _rejects: Vec<Reject>,
        _member: &str,
        _now: i64,
    ) -> Result<Batch> {
        todo!()
    }

    /// For a full list: keys that stand in the file, those of unchanged and rejected rows included.
    pub fn present(&mut self, _kind: Kind, _keys: &[&str]) -> Result<()> {
        todo!()
    }

    /// Of what the folder's files brought, how much `present` did not name. Orders are never missed.
    pub fn missing_count(&mut self) -> Result<Missing> {
        todo!()
    }

    /// One transaction: state `stored`, counts, hash, deletions of a full list.
    pub fn finish(self, _finish: Finish) -> Result<Counts> {
        todo!()
    }

    /// Undoes what the file changed, and gives it this state. Records that it created and that no
    /// flight carried leave no trace.
    pub fn take_back(self, _state: FileState, _reason: Option<String>, _now: i64) -> Result<()> {
        todo!()
    }
}
