//! The counts that `status`, the page and the metrics show.

use rusqlite::Connection;

use super::Result;
use crate::kind::Kind;

/// A number for each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PerKind([u64; 4]);

impl PerKind {
    pub fn get(&self, kind: Kind) -> u64 {
        self.0[kind.code() as usize - 1]
    }

    pub fn set(&mut self, kind: Kind, n: u64) {
        self.0[kind.code() as usize - 1] = n;
    }

    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Records that are not deleted here.
    pub stored: PerKind,
    /// Those in flight included.
    pub pending: PerKind,
    pub in_flight: PerKind,
    pub parked: PerKind,
    pub waiting: u64,
    pub reading: u64,
    pub held: u64,
    pub stored_files: u64,
    pub unreadable: u64,
    /// Rows, of all files that are listed.
    pub rejected: u64,
    /// Since when the oldest pending record waits.
    pub oldest_pending: Option<i64>,
    /// When a flight was last acknowledged.
    pub last_delivered: Option<i64>,
    /// The newest request that did not go well: when, its status (`None`: no answer), its verdict.
    pub last_error: Option<(i64, Option<u16>, Option<String>)>,
}

pub fn counts(_c: &Connection) -> Result<Counts> {
    todo!()
}
