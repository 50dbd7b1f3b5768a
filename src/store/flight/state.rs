//! Link and budget between two starts, and for `status`.

use rusqlite::Connection;

use crate::budget::Kept;
use crate::plan::Link;
use crate::store::Result;
use crate::store::meta::{self, Pause};

const LINK: &str = "link";
const BUDGET: &str = "budget";

/// Where delivery stands.
#[derive(Clone, Debug, Default)]
pub struct Standing {
    pub link: Link,
    pub budget: Kept,
    /// Delivery is paused until then; `i64::MAX`: until `resume`.
    pub paused_until: Option<i64>,
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
    })
}

pub fn save(c: &Connection, link: &Link, budget: &Kept) -> Result<()> {
    let json = |value: serde_json::Result<String>| value.expect("plain data is always JSON");
    meta::set(c, LINK, &json(serde_json::to_string(link)))?;
    meta::set(c, BUDGET, &json(serde_json::to_string(budget)))
}
