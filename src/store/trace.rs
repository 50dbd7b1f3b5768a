//! The life of one record.

use rusqlite::Connection;

use super::Result;
use super::listing::{ChangeRow, RequestRow};
use crate::kind::Kind;
use crate::record::Content;

pub struct Trace {
    pub kind: Kind,
    pub key: String,
    /// What is stored now; empty if it is deleted.
    pub content: Content,
    pub gone: bool,
    pub pending: bool,
    pub parked: bool,
    pub remote_id: Option<String>,
    /// Oldest first; as far back as the log is kept.
    pub changes: Vec<TracedChange>,
    pub flights: Vec<TracedFlight>,
}

pub type TracedChange = ChangeRow;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TracedFlight {
    pub id: i64,
    pub channel: String,
    pub state: String,
    /// Of the record, in this flight; `None`: open.
    pub outcome: Option<String>,
    pub code: Option<String>,
    /// The change that it carried.
    pub seq: i64,
    pub started: i64,
    pub ended: Option<i64>,
    pub requests: Vec<RequestRow>,
}

/// `None`: no such record.
pub fn trace(_c: &Connection, _kind: Kind, _key: &str) -> Result<Option<Trace>> {
    todo!()
}
