//! Reads the facts from store, configuration and host. The one file of `status` with an outside world.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use jiff::ToSpan;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use rusqlite::Connection;
use serde::Deserialize;

use super::Status;
use super::facts::*;
use super::words;
use crate::config::{self, Config};
use crate::kind::Kind;
use crate::store::status::{self as rows, NamedFile};
use crate::store::{self, Result, meta};

/// One look. `reader`: `None`, there is no database yet. `daemon`: who holds the state directory's
/// lock. `now` in UTC milliseconds; `tz` is the host's zone.
pub fn collect(
    config: &Config,
    reader: Option<&Connection>,
    daemon: Option<Daemon>,
    now: i64,
    tz: &TimeZone,
) -> Result<Status> {
    let tally = reader.map(|c| rows::tally(c, now)).transpose()?;
    facts(config, reader, tally.unwrap_or_default(), daemon, now, tz)
        .map(|f| Status::new(f, now, tz))
}

/// The same with records that were counted before: for the page, whose views are to be cheap.
pub fn facts(
    config: &Config,
    reader: Option<&Connection>,
    tally: rows::Tally,
    daemon: Option<Daemon>,
    now: i64,
    tz: &TimeZone,
) -> Result<Facts> {
    let mut facts = Facts {
        store: config.store.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        state_dir: config.state_dir.clone(),
        daemon,
        away_after: config.alert.away_after,
        nobody_alerted: config.alert.command.is_empty() && config.alert.webhook.is_none(),
        disk: disk(&config.state_dir, config.retention.min_free),
        clock_wrong: now < BUILT_AFTER_MS,
        database_bytes: size(&config.state_dir.join(store::DATABASE)),
        wal_bytes: size(&config.state_dir.join(format!("{}-wal", store::DATABASE))),
        folders: config.folders.iter().map(folder).collect(),
        ..Facts::default()
    };
    counts(&mut facts, tally);
    if let Some(c) = reader {
        from_meta(c, config, &mut facts, now)?;
        from_rows(c, config, &mut facts, now, tz)?;
    }
    for one in &mut facts.folders {
        look_at(one, facts.daemon.is_some());
    }
    Ok(facts)
}

/// 2026-11-01: this program did not exist before.
const BUILT_AFTER_MS: i64 = 1_793_491_200_000;

fn counts(facts: &mut Facts, tally: rows::Tally) {
    for (kind, counts) in Kind::ALL.into_iter().zip(tally.kinds) {
        *facts.stored.of_mut(kind) = counts.stored;
        *facts.confirmed.of_mut(kind) = counts.confirmed;
        *facts.pending.of_mut(kind) = counts.pending;
        *facts.in_flight.of_mut(kind) = counts.in_flight;
        *facts.parked.of_mut(kind) = counts.parked;
    }
    facts.oldest_pending = tally.oldest_pending;
    facts.oldest_due = tally.oldest_due;
}

fn folder(folder: &config::Folder) -> Folder {
    Folder {
        name: folder.name.clone(),
        path: folder.path.clone(),
        kind: folder.kind,
        preset: folder.preset.clone(),
        note: folder.note.clone(),
        expect: folder.expect.clone(),
        timezone: folder.timezone.clone(),
        state: FolderState::Unwatched,
        state_since: None,
        reason: None,
        waiting: 0,
        waiting_files: Vec::new(),
        foreign: 0,
        foreign_names: Vec::new(),
        last_file: None,
        came: None,
        known_since: None,
    }
}

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
    // What another version wrote otherwise is as good as not there.
    Ok(meta::text(c, name)?.and_then(|text| serde_json::from_str(&text).ok()))
}

fn from_meta(c: &Connection, config: &Config, facts: &mut Facts, now: i64) -> Result<()> {
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

/// What nobody watches is looked at now: it may be gone, or back.
fn look_at(folder: &mut Folder, watched: bool) {
    if (watched && folder.state != FolderState::Unwatched) || folder.state == FolderState::Paused {
        return;
    }
    folder.state_since = None;
    match std::fs::read_dir(&folder.path) {
        Ok(_) => {
            folder.state = FolderState::Unwatched;
            folder.reason = None;
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            folder.state = FolderState::Gone;
            folder.reason = Some("there is no such folder".to_owned());
        }
        Err(error) => {
            folder.state = FolderState::Unreadable;
            folder.reason = Some(match error.kind() {
                std::io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
                std::io::ErrorKind::NotADirectory => "that is not a folder".to_owned(),
                _ => error.to_string(),
            });
        }
    }
}

fn from_rows(
    c: &Connection,
    config: &Config,
    facts: &mut Facts,
    now: i64,
    tz: &TimeZone,
) -> Result<()> {
    let files = rows::files(c)?;
    let lying: u64 = facts.folders.iter().map(|f| f.waiting).sum();
    facts.files = FileCounts {
        // Those in folders include what was claimed and what is being read.
        waiting: lying.saturating_sub(files.reading).max(files.waiting),
        reading: files.reading,
        held: files.held,
        stored: files.stored,
        unreadable: files.unreadable,
    };
    facts.claimed_since = files.oldest_waiting;
    facts.rejected = files.rejected_rows;
    facts.held = rows::held(c)?.into_iter().map(fact).collect();
    facts.reading = rows::reading(c)?.into_iter().map(fact).collect();
    let lies = |file: &NamedFile, name: &str| {
        let folder = config.folders.iter().find(|f| f.name == file.folder);
        folder.is_some_and(|f| f.path.join("rejects").join(name).symlink_metadata().is_ok())
    };
    // Whoever deletes or mends the file in `rejects/` has dealt with it.
    let unreadable = rows::unreadable(c, now)?.into_iter();
    facts.unreadable = unreadable
        .filter(|file| {
            file.archive_name
                .as_deref()
                .is_none_or(|name| lies(file, name))
        })
        .map(fact)
        .collect();
    let rejecting = rows::rejecting(c, now)?.into_iter();
    facts.rejecting = rejecting
        .filter(|file| file.rejects_names.iter().any(|name| lies(file, name)))
        .map(fact)
        .collect();
    for file in &mut facts.rejecting {
        file.codes = rows::reject_codes(c, file.id)?;
    }
    for file in rows::newest(c)? {
        if let Some(folder) = facts.folders.iter_mut().find(|f| f.name == file.folder) {
            folder.last_file = Some(last_file(file));
        }
    }
    for (name, at) in rows::came(c)? {
        if let Some(folder) = facts.folders.iter_mut().find(|f| f.name == name) {
            folder.came = Some(at);
        }
    }
    facts.parked_groups = rows::parked(c)?
        .into_iter()
        .map(|group| ParkedGroup {
            kind: group.kind,
            code: group.code,
            count: group.count,
            since: group.since,
        })
        .collect();
    facts.jobs = rows::jobs(c)?
        .into_iter()
        .map(|job| Job {
            remote_id: job.remote_id,
            kind: job.kind,
            since: job.since,
            records: job.records,
        })
        .collect();
    facts.last_delivered = rows::last_delivered(c)?;
    facts.last_request = rows::last_request(c)?;
    facts.last_error = rows::last_failed(c)?.map(|failed| LastError {
        at: failed.at,
        code: failed
            .verdict
            .or(failed.status.map(|status| status.to_string()))
            .unwrap_or_else(|| "no answer".to_owned()),
        message: match (failed.status, failed.request_id) {
            (Some(status), Some(id)) => {
                format!(
                    "{} {} was answered {status} (request {id})",
                    failed.method, failed.path
                )
            }
            (Some(status), None) => {
                format!("{} {} was answered {status}", failed.method, failed.path)
            }
            (None, _) => format!("{} {} had no answer", failed.method, failed.path),
        },
    });
    let (requests, files, changes) = rows::ever(c)?;
    facts.ever = Ever {
        requests,
        files,
        changes,
    };
    facts.cycle = cycle(c, &config.api, now, tz)?;
    Ok(())
}

fn fact(file: NamedFile) -> FileFact {
    FileFact {
        id: file.id,
        folder: file.folder,
        name: file.name,
        reason: file.reason,
        since: file.seen,
        rows: file.rows,
        rejected: file.rejected,
        codes: Vec::new(),
        rejects_names: file.rejects_names,
    }
}

fn last_file(file: NamedFile) -> LastFile {
    LastFile {
        id: file.id,
        name: file.name,
        state: file.state,
        reason: file.reason,
        preset: file.preset,
        at: file.stored.unwrap_or(file.seen),
        rows: file.rows,
        new: file.new,
        changed: file.changed,
        unchanged: file.unchanged,
        deleted: file.deleted,
        rejected: file.rejected,
        skipped: file.skipped,
    }
}

fn cycle(c: &Connection, api: &config::Api, now: i64, tz: &TimeZone) -> Result<Option<Cycle>> {
    let Some(calls) = api.cycle_calls else {
        return Ok(None);
    };
    let Some((begun, ends)) = cycle_around(now, api.cycle_day, tz) else {
        return Ok(None);
    };
    Ok(Some(Cycle {
        calls,
        used: rows::requests_since(c, begun)?,
        begun,
        ends,
    }))
}

/// The billing cycle around a moment, from the day on which it starts anew; a day that a month lacks
/// is its last one.
fn cycle_around(now: i64, day: u8, tz: &TimeZone) -> Option<(i64, i64)> {
    let today = words::zoned(now, tz).date();
    let start = |month: Date| -> Option<Date> {
        let last = month.last_of_month().day();
        Date::new(month.year(), month.month(), (day.max(1) as i8).min(last)).ok()
    };
    let this = start(today.first_of_month())?;
    let (from, to) = if this <= today {
        (
            this,
            start(today.first_of_month().checked_add(1.month()).ok()?)?,
        )
    } else {
        (
            start(today.first_of_month().checked_sub(1.month()).ok()?)?,
            this,
        )
    };
    let at = |date: Date| {
        Some(
            date.to_zoned_datetime(tz.clone())
                .ok()?
                .timestamp()
                .as_millisecond(),
        )
    };
    Some((at(from)?, at(to)?))
}

fn disk(state_dir: &Path, min_free: u64) -> Option<Disk> {
    let stat = rustix::fs::statvfs(state_dir).ok()?;
    Some(Disk {
        free: stat.f_bavail.saturating_mul(stat.f_frsize),
        size: stat.f_blocks.saturating_mul(stat.f_frsize),
        min_free,
    })
}

fn size(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |meta| meta.len())
}

/// UTC milliseconds by the wall clock.
pub fn wall_clock() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| {
            i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;

    #[test]
    fn a_cycle_begins_on_its_day_or_the_months_last() {
        let tz = TimeZone::get("Europe/Paris").unwrap();
        let ms = |text: &str| text.parse::<Timestamp>().unwrap().as_millisecond();
        for (now, day, from, to) in [
            (
                "2026-11-25T12:00:00Z",
                1,
                "2026-10-31T23:00:00Z",
                "2026-11-30T23:00:00Z",
            ),
            (
                "2026-11-25T12:00:00Z",
                26,
                "2026-10-25T23:00:00Z",
                "2026-11-25T23:00:00Z",
            ),
            (
                "2026-02-28T12:00:00Z",
                31,
                "2026-02-27T23:00:00Z",
                "2026-03-30T22:00:00Z",
            ),
            (
                "2026-01-10T12:00:00Z",
                15,
                "2025-12-14T23:00:00Z",
                "2026-01-14T23:00:00Z",
            ),
        ] {
            assert_eq!(cycle_around(ms(now), day, &tz), Some((ms(from), ms(to))));
        }
    }
}
