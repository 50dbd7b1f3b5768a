//! Link and budget between two starts, and for `status`.

use rusqlite::Connection;

use super::candidate::kind_of;
use crate::budget::Kept;
use crate::kind::Kind;
use crate::plan::Link;
use crate::store::Result;
use crate::store::meta::{self, Pause};

const LINK: &str = "link";
const BUDGET: &str = "budget";
const CLOCK: &str = "clock";
const PROJECT: &str = "project";
const REBIND: &str = "rebind";

/// Where delivery stands.
#[derive(Clone, Debug, Default)]
pub struct Standing {
    pub link: Link,
    pub budget: Kept,
    /// Delivery is paused until then; `i64::MAX`: until `resume`.
    pub paused_until: Option<i64>,
    /// Nothing may be sent before `rebind`: why.
    pub rebind: Option<Rebind>,
}

/// What cannot be read counts as nothing known: it is found out again by the next call.
pub fn standing(c: &Connection, now: i64) -> Result<Standing> {
    let json = |name| meta::text(c, name);
    Ok(Standing {
        link: json(LINK)?
            .and_then(|json| serde_json::from_str(&json).ok())
            .unwrap_or_default(),
        budget: json(BUDGET)?
            .and_then(|json| serde_json::from_str(&json).ok())
            .unwrap_or_default(),
        paused_until: meta::paused(c, None, now)?.map(|pause| match pause {
            Pause::Open => i64::MAX,
            Pause::Until(until) => until,
        }),
        rebind: json(REBIND)?.map(|json| {
            // Words alone, from whoever else demanded it.
            serde_json::from_str(&json).unwrap_or(Rebind {
                at: now,
                message: json,
                of_project: false,
            })
        }),
    })
}

/// Why nothing may be sent.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Rebind {
    pub at: i64,
    pub message: String,
    /// The credentials are to blame: with the former ones it is over.
    #[serde(default)]
    pub of_project: bool,
}

/// The project that the records were acknowledged by; `None`: none yet.
pub fn project(c: &Connection) -> Result<Option<String>> {
    meta::text(c, PROJECT)
}

pub fn set_project(c: &Connection, project: &str) -> Result<()> {
    meta::set(c, PROJECT, &project)?;
    meta::clear(c, REBIND)
}

/// Nothing is sent any more before `rebind`.
pub fn demand_rebind(c: &Connection, rebind: &Rebind) -> Result<()> {
    meta::set(c, REBIND, &json(rebind))
}

/// A record by which the project can be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Witness {
    pub kind: Kind,
    pub key: String,
    pub remote_id: String,
}

/// Up to two acknowledged records with the API's own ids, and whether anything was acknowledged at all.
pub fn witnesses(c: &Connection) -> Result<(Vec<Witness>, bool)> {
    let mut statement = c.prepare_cached(
        "SELECT d.kind, d.source_id, d.remote_id FROM document d
           JOIN record r ON r.kind = d.kind AND r.source_id = d.source_id
         WHERE d.remote_id IS NOT NULL AND d.kind <> 2 AND r.gone = 0 AND r.acked IS NOT NULL
         ORDER BY d.id DESC LIMIT 2",
    )?;
    let mut rows = statement.query([])?;
    let mut witnesses = Vec::new();
    while let Some(row) = rows.next()? {
        witnesses.push(Witness {
            kind: kind_of(row.get(0)?)?,
            key: row.get(1)?,
            remote_id: row.get(2)?,
        });
    }
    let any = c
        .prepare_cached("SELECT EXISTS(SELECT 1 FROM record WHERE acked_seq IS NOT NULL)")?
        .query_row([], |row| row.get(0))?;
    Ok((witnesses, any))
}

pub fn save(c: &Connection, link: &Link, budget: &Kept) -> Result<()> {
    meta::set(c, LINK, &json(link))?;
    meta::set(c, BUDGET, &json(budget))
}

/// The clock that the times in the store were written by, as whoever wrote them marked it.
pub fn clock<M: serde::de::DeserializeOwned>(c: &Connection) -> Result<Option<M>> {
    Ok(meta::text(c, CLOCK)?.and_then(|json| serde_json::from_str(&json).ok()))
}

pub fn set_clock(c: &Connection, mark: &impl serde::Serialize) -> Result<()> {
    meta::set(c, CLOCK, &json(mark))
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("plain data is always JSON")
}
