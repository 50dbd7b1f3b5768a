//! What the loops and commands left in the store's small facts for others to see: link, budget,
//! pause, intake's board. Read leniently: what another version wrote otherwise is as good as not there.

use std::path::Path;

use crate::store::Connection;
use serde::Deserialize;

use crate::budget::{Budget, Part};
use crate::config::Config;
use crate::plan;
use crate::status::facts::{
    self, Facts, Folder, FolderState, Link, LinkState, Notice, NoticeKind, Pause, Refusal,
    WaitingFile,
};
use crate::store::status as rows;
use crate::store::{Result, flight, meta};
use crate::wire::Purse;

const HOUR_MS: i64 = 3_600_000;

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
    let standing = flight::standing(c, now)?;
    let never = standing.link.since() == 0 && !standing.budget.answered;
    // What was spent is counted below, for the present period alone.
    let budget = Budget::new(Part::of(&config.api), standing.budget, &[], now);
    if !never {
        facts.link = link(&standing.link, budget.limited_until(Purse::Api, now));
    }
    let period_ms = budget.period_ms(Purse::Api);
    facts.budget = facts::Budget {
        limit: budget.account(Purse::Api).limit,
        period: Some(
            if period_ms >= HOUR_MS {
                "hour"
            } else {
                "minute"
            }
            .to_owned(),
        ),
        used: Some(rows::calls_since(c, Purse::Api.name(), now - period_ms)?),
        share: budget.allowed(Purse::Api),
        remaining: budget.account(Purse::Api).remaining,
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
    if let Some(refusal) = &facts.rebind {
        // Another project's credentials: the way to the remote may be fine, and is not ours to take.
        facts.link = Link {
            state: Some(LinkState::Refused),
            since: refusal.at,
            until: None,
            reason: Some(refusal.message.clone()),
        };
    }
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

/// A 429 is the budget's to know, and a state of the link to people.
fn link(kept: &plan::Link, limited_until: Option<i64>) -> Link {
    let state = match kept.state() {
        plan::State::Up if limited_until.is_some() => LinkState::Limited,
        plan::State::Up => LinkState::Up,
        plan::State::Away => LinkState::Away,
        plan::State::Refused => LinkState::Refused,
        plan::State::Exhausted => LinkState::Exhausted,
    };
    Link {
        state: Some(state),
        since: Some(kept.since()).filter(|since| *since > 0),
        until: match state {
            LinkState::Limited => limited_until,
            _ => kept.next_probe(),
        },
        reason: kept.reason().map(str::to_owned),
    }
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
