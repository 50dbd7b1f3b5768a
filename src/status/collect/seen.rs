//! What the loops and commands left in the store's small facts for others to see: link, budget,
//! pause, intake's board. Read leniently: what another version wrote otherwise is as good as not there.

use std::path::Path;

use crate::store::Connection;
use serde::Deserialize;

use crate::config::Config;
use crate::status::facts::*;
use crate::store::status as rows;
use crate::store::{Result, meta};

/// What intake last showed of itself, in meta `intake_board`.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Board {
    folders: Vec<FolderSeen>,
    blocked: Option<Blocked>,
    notices: Vec<NoticeSeen>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct FolderSeen {
    name: String,
    state: String,
    reason: Option<String>,
    since: Option<i64>,
    waiting: u64,
    waits_for: Option<(String, String)>,
    foreign: u64,
    foreign_names: Vec<String>,
}

#[derive(Deserialize)]
struct Blocked {
    since: i64,
    reason: String,
}

#[derive(Deserialize)]
struct NoticeSeen {
    at: i64,
    kind: String,
    folder: String,
    text: String,
}

/// The link in meta `link`.
#[derive(Deserialize, Default)]
#[serde(default)]
struct LinkSeen {
    state: Option<String>,
    since: Option<i64>,
    until: Option<i64>,
    reason: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct BudgetSeen {
    limit: Option<u64>,
    period: Option<String>,
    used: Option<u64>,
    share: Option<u64>,
    remaining: Option<u64>,
}

/// A text, or a text with the time at which it was said.
#[derive(Deserialize)]
struct Said {
    at: i64,
    message: String,
}

fn said(c: &Connection, name: &str) -> Result<Option<Refusal>> {
    let Some(text) = meta::text(c, name)? else {
        return Ok(None);
    };
    Ok(Some(match serde_json::from_str::<Said>(&text) {
        Ok(said) => Refusal {
            at: Some(said.at),
            message: said.message,
        },
        Err(_) => Refusal {
            at: None,
            message: text,
        },
    }))
}

fn json<T: serde::de::DeserializeOwned>(c: &Connection, name: &str) -> Result<Option<T>> {
    Ok(meta::text(c, name)?.and_then(|text| serde_json::from_str(&text).ok()))
}

/// Into `facts`, which hold the folders of the configuration.
pub fn read(c: &Connection, config: &Config, facts: &mut Facts, now: i64) -> Result<()> {
    let link: LinkSeen = json(c, "link")?.unwrap_or_default();
    facts.link = Link {
        state: link.state.as_deref().and_then(LinkState::from_name),
        since: link.since,
        until: link.until,
        reason: link.reason,
    };
    let budget: BudgetSeen = json(c, "budget")?.unwrap_or_default();
    facts.budget = Budget {
        limit: budget.limit,
        period: budget.period,
        used: budget.used,
        share: budget.share,
        remaining: budget.remaining,
    };
    facts.paused = meta::paused(c, None, now)?.map(|pause| Pause {
        since: now,
        until: match pause {
            meta::Pause::Open => None,
            meta::Pause::Until(until) => Some(until),
        },
    });
    if let (Some(pause), Some(since)) = (&mut facts.paused, meta::integer(c, "paused_at")?) {
        pause.since = since;
    }
    facts.reload_refused = said(c, "reload_refused")?;
    facts.rebind = said(c, "rebind")?;
    facts.last_backup = meta::integer(c, "last_backup")?;
    facts.created = meta::integer(c, "created")?;
    let board: Board = json(c, "intake_board")?.unwrap_or_default();
    facts.blocked = board.blocked.map(|blocked| Refusal {
        at: Some(blocked.since),
        message: blocked.reason,
    });
    facts.notices = board.notices.into_iter().map(notice).collect();
    for seen in board.folders {
        if let Some(folder) = facts.folders.iter_mut().find(|f| f.name == seen.name) {
            as_seen(folder, seen);
        }
    }
    for (one, set) in facts.folders.iter_mut().zip(&config.folders) {
        one.known_since = rows::known_since(c, &set.name)?;
        if meta::paused(c, Some(&set.name), now)?.is_some() {
            one.state = FolderState::Paused;
        }
    }
    Ok(())
}

fn notice(seen: NoticeSeen) -> Notice {
    Notice {
        at: seen.at,
        kind: match seen.kind.as_str() {
            "grown" => NoticeKind::Grown,
            "unreadable_by_us" => NoticeKind::Permission,
            "not_moved" => NoticeKind::NotMoved,
            _ => NoticeKind::Other,
        },
        folder: seen.folder,
        text: seen.text,
    }
}

fn as_seen(folder: &mut Folder, seen: FolderSeen) {
    folder.state = match seen.state.as_str() {
        "watched" => FolderState::Watched,
        "polled" => FolderState::Polled,
        "gone" => FolderState::Gone,
        "full" => FolderState::Full,
        "paused" => FolderState::Paused,
        _ => FolderState::Unwatched,
    };
    folder.state_since = seen.since;
    folder.reason = seen.reason;
    folder.waiting = seen.waiting;
    folder.foreign = seen.foreign;
    folder.foreign_names = seen.foreign_names;
    folder.waiting_files = seen
        .waits_for
        .into_iter()
        .map(|(name, why)| WaitingFile {
            since: unchanged_since(&folder.path.join(&name)),
            name,
            why,
        })
        .collect();
}

/// When a file's content, rights or links last changed.
fn unchanged_since(path: &Path) -> Option<i64> {
    use std::os::unix::fs::MetadataExt;
    let facts = path.symlink_metadata().ok()?;
    Some(facts.ctime() * 1000 + facts.ctime_nsec() / 1_000_000)
}
