//! Rows of the listings, newest first, one after another: nothing is gathered in memory.

use rusqlite::Connection;

use super::Result;
use super::files::FileRow;
use crate::kind::Kind;
use crate::record::{Op, Patch};

/// What a listing is narrowed to. All that is named has to fit.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    pub kind: Option<Kind>,
    pub key: Option<String>,
    /// A file's id.
    pub file: Option<i64>,
    /// UTC milliseconds.
    pub since: Option<i64>,
    /// Rows at most.
    pub limit: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectRow {
    pub file: i64,
    pub name: String,
    pub kind: Kind,
    pub member: String,
    pub line: u64,
    pub column: Option<String>,
    pub code: String,
    pub reason: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangeRow {
    pub seq: i64,
    pub kind: Kind,
    pub key: String,
    pub op: Op,
    /// `None`: made by a command.
    pub file: Option<i64>,
    pub name: Option<String>,
    pub line: Option<u64>,
    pub at: i64,
    pub fields: Patch,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingRow {
    pub kind: Kind,
    pub key: String,
    /// Of its newest change.
    pub seq: i64,
    /// Its consents alone.
    pub consents: bool,
    pub since: i64,
    pub attempts: u32,
    /// `None`: as soon as the link allows.
    pub next_try: Option<i64>,
    pub last_error: Option<String>,
    pub in_flight: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParkedRow {
    pub kind: Kind,
    pub key: String,
    pub consents: bool,
    pub since: i64,
    pub code: String,
    pub message: Option<String>,
    pub request_id: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestRow {
    pub id: i64,
    pub at: i64,
    pub method: String,
    pub path: String,
    pub records: u64,
    pub status: Option<u16>,
    pub verdict: Option<String>,
    pub request_id: Option<String>,
    pub duration_ms: Option<u64>,
}

/// Calls `each` for a row after another until it says `false`.
pub fn files(
    _c: &Connection,
    _filter: &Filter,
    _each: &mut dyn FnMut(FileRow) -> bool,
) -> Result<()> {
    todo!()
}

pub fn rejects(
    _c: &Connection,
    _filter: &Filter,
    _each: &mut dyn FnMut(RejectRow) -> bool,
) -> Result<()> {
    todo!()
}

pub fn changes(
    _c: &Connection,
    _filter: &Filter,
    _each: &mut dyn FnMut(ChangeRow) -> bool,
) -> Result<()> {
    todo!()
}

pub fn pending(
    _c: &Connection,
    _filter: &Filter,
    _each: &mut dyn FnMut(PendingRow) -> bool,
) -> Result<()> {
    todo!()
}

pub fn parked(
    _c: &Connection,
    _filter: &Filter,
    _each: &mut dyn FnMut(ParkedRow) -> bool,
) -> Result<()> {
    todo!()
}

pub fn requests(
    _c: &Connection,
    _filter: &Filter,
    _each: &mut dyn FnMut(RequestRow) -> bool,
) -> Result<()> {
    todo!()
}

/// Keys of stored customers whose e-mail, phone or name holds `text`, without regard to case.
pub fn find(
    _c: &Connection,
    _text: &str,
    _limit: Option<u64>,
    _each: &mut dyn FnMut(&str) -> bool,
) -> Result<()> {
    todo!()
}
