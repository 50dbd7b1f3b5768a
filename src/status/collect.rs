//! Reads the facts from store, configuration and host. The one file of `status` with an outside world.

mod seen;

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::store::Connection;
use jiff::ToSpan;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::Status;
use super::facts::*;
use super::words;
use crate::config::{self, Config};
use crate::folder::{REJECTS, find_shown};
use crate::kind::Kind;
use crate::store::status::{self as rows, NamedFile};
use crate::store::{self, Result};

/// One look. `reader`: `None`, there is no database yet. `daemon`: who holds the state directory's
/// lock. `now` in UTC milliseconds; `tz` is the host's zone.
pub fn collect(
    config: &Config,
    reader: Option<&Connection>,
    daemon: Option<Daemon>,
    now: i64,
    tz: &TimeZone,
) -> Result<Status> {
    let cycle_begun = cycle_begun(config, now, tz);
    let look = reader
        .map(|c| rows::look(c, now, cycle_begun))
        .transpose()?;
    let facts = facts(config, reader, look.unwrap_or_default(), daemon, now, tz)?;
    Ok(Status::new(facts, now, tz))
}

/// From when on the plan's calls count; `None`: they are not watched.
pub fn cycle_begun(config: &Config, now: i64, tz: &TimeZone) -> Option<i64> {
    config.api.cycle_calls?;
    cycle_around(now, config.api.cycle_day, tz).map(|(begun, _)| begun)
}

/// The same with what was looked up before: for the page, whose views are to be cheap.
pub fn facts(
    config: &Config,
    reader: Option<&Connection>,
    look: rows::Look,
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
    counts(&mut facts, &look.tally);
    if let Some(c) = reader {
        seen::read(c, config, &mut facts, now)?;
    }
    from_rows(config, &mut facts, look, now, tz);
    for one in &mut facts.folders {
        look_at(one, facts.daemon.is_some());
    }
    Ok(facts)
}

/// 2026-11-01: this program did not exist before.
const BUILT_AFTER_MS: i64 = 1_793_491_200_000;

fn counts(facts: &mut Facts, tally: &rows::Tally) {
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

fn from_rows(config: &Config, facts: &mut Facts, look: rows::Look, now: i64, tz: &TimeZone) {
    let lying: u64 = facts.folders.iter().map(|f| f.waiting).sum();
    facts.files = FileCounts {
        // Those in folders include what was claimed and what is being read.
        waiting: lying
            .saturating_sub(look.files.reading)
            .max(look.files.waiting),
        reading: look.files.reading,
        held: look.files.held,
        stored: look.files.stored,
        unreadable: look.files.unreadable,
    };
    facts.claimed_since = look.files.oldest_waiting;
    facts.rejected = look.files.rejected_rows;
    facts.held = look.held.into_iter().map(fact).collect();
    facts.reading = look.reading.into_iter().map(fact).collect();
    let lies = |file: &NamedFile, name: &str| {
        let folder = config.folders.iter().find(|f| f.name == file.folder);
        folder.is_some_and(|f| find_shown(&f.path.join(REJECTS), name).is_some())
    };
    // Whoever deletes or mends the file in `rejects/` has dealt with it.
    let stands = |file: &NamedFile| {
        file.archive_name
            .as_deref()
            .is_none_or(|name| lies(file, name))
    };
    facts.unreadable = look
        .unreadable
        .into_iter()
        .filter(stands)
        .map(fact)
        .collect();
    let stand = |file: &NamedFile| file.rejects_names.iter().any(|name| lies(file, name));
    let rejecting = look.rejecting.into_iter().filter(|(file, _)| stand(file));
    facts.rejecting = rejecting
        .map(|(file, codes)| FileFact {
            codes,
            ..fact(file)
        })
        .collect();
    for file in look.newest {
        if let Some(folder) = facts.folders.iter_mut().find(|f| f.name == file.folder) {
            folder.last_file = Some(last_file(file));
        }
    }
    for (name, at) in look.came {
        if let Some(folder) = facts.folders.iter_mut().find(|f| f.name == name) {
            folder.came = Some(at);
        }
    }
    facts.parked_groups = look.parked.into_iter().map(parked_group).collect();
    facts.jobs = look.jobs.into_iter().map(job).collect();
    facts.last_delivered = look.last_delivered;
    facts.last_request = look.last_request;
    facts.last_error = look.last_failed.map(last_error);
    let (requests, files, changes) = look.ever;
    facts.ever = Ever {
        requests,
        files,
        changes,
    };
    let around = cycle_around(now, config.api.cycle_day, tz);
    facts.cycle = config
        .api
        .cycle_calls
        .zip(around)
        .map(|(calls, (begun, ends))| Cycle {
            calls,
            used: look.cycle_used,
            begun,
            ends,
        });
}

fn parked_group(group: rows::ParkedGroup) -> ParkedGroup {
    ParkedGroup {
        kind: group.kind,
        code: group.code,
        count: group.count,
        since: group.since,
    }
}

fn job(job: rows::OpenJob) -> Job {
    Job {
        remote_id: job.remote_id,
        kind: job.kind,
        since: job.since,
        records: job.records,
    }
}

fn last_error(failed: rows::FailedRequest) -> LastError {
    let call = format!("{} {}", failed.method, failed.path);
    let status = failed.status.map(|status| status.to_string());
    LastError {
        at: failed.at,
        message: match (&status, failed.request_id) {
            (Some(status), Some(id)) => format!("{call} was answered {status} (request {id})"),
            (Some(status), None) => format!("{call} was answered {status}"),
            (None, _) => format!("{call} had no answer"),
        },
        code: failed
            .verdict
            .or(status)
            .unwrap_or_else(|| "no answer".to_owned()),
    }
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
    fn what_intake_and_commands_left_is_read() {
        use crate::store::Store;
        use crate::store::meta::Pause as Paused;
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let mut config = Config::with_defaults("s", dir.path());
        for name in ["here", "gone", "stopped"] {
            let path = dir.path().join(name);
            if name != "gone" {
                std::fs::create_dir(&path).unwrap();
            }
            config
                .folders
                .push(config::Folder::with_defaults(name, &path, Kind::Orders));
        }
        std::fs::write(dir.path().join("here/a.csv"), "").unwrap();
        store
            .set_text(
                "intake_board",
                r#"{"folders":[{"name":"here","state":"polled","reason":"looked through every 5 s","waiting":3,
                    "waits_for":["a.csv","is still open"],"foreign":2,"foreign_names":["x.doc"],"later":1}],
                    "blocked":{"since":5,"reason":"no room"},
                    "notices":[{"at":6,"kind":"grown","folder":"here","text":"a.csv grew"},{"at":7,"kind":"new","folder":"here","text":"?"}]}"#,
            )
            .unwrap();
        let mut link = crate::plan::Link::default();
        let away = crate::verdict::LinkNews::Away {
            reason: "no answer".to_owned(),
        };
        link.learn(&away, true, 0.5, 9_000);
        let kept = crate::budget::Kept::default();
        store
            .write(move |c| crate::store::flight::save(c, &link, &kept))
            .unwrap();
        store.set_text("reload_refused", "2 problems").unwrap();
        store.set_integer("last_backup", 8).unwrap();
        store.pause(Some("stopped"), Paused::Open).unwrap();
        let reader = store.reader().unwrap();
        let daemon = Some(Daemon { pid: 1, since: 1 });
        let status = collect(&config, Some(&reader), daemon, 1_000_000, &TimeZone::UTC).unwrap();
        let facts = &status.facts;
        assert_eq!(facts.folders[0].state, FolderState::Polled);
        assert_eq!(facts.folders[1].state, FolderState::Gone);
        assert_eq!(facts.folders[2].state, FolderState::Paused);
        assert_eq!((facts.files.waiting, facts.folders[0].foreign), (3, 2));
        let waits = &facts.folders[0].waiting_files[0];
        assert_eq!(
            (waits.name.as_str(), waits.why.as_str()),
            ("a.csv", "is still open")
        );
        assert!(waits.since.is_some());
        assert_eq!(facts.blocked.as_ref().unwrap().at, Some(5));
        let kinds: Vec<_> = facts.notices.iter().map(|n| n.kind).collect();
        assert_eq!(kinds, [NoticeKind::Grown, NoticeKind::Other]);
        assert!(facts.link.is(LinkState::Away));
        assert_eq!(facts.link.since, Some(9_000));
        assert!(facts.link.until.is_some());
        assert_eq!(facts.reload_refused.as_ref().unwrap().message, "2 problems");
        assert_eq!(facts.last_backup, Some(8));
        // Credentials of another project: no way to the remote, whatever the last call said.
        store
            .set_text("rebind", r#"{"at":9,"message":"another project"}"#)
            .unwrap();
        let status = collect(&config, Some(&reader), daemon, 1_000_000, &TimeZone::UTC).unwrap();
        let facts = &status.facts;
        assert_eq!(facts.rebind.as_ref().unwrap().at, Some(9));
        assert!(facts.link.is(LinkState::Refused));
        assert_eq!(facts.link.reason.as_deref(), Some("another project"));
        store.clear("rebind").unwrap();
        // Without a daemon the board is old: what is there is looked at now.
        let status = collect(&config, Some(&reader), None, 1_000_000, &TimeZone::UTC).unwrap();
        assert_eq!(status.facts.folders[0].state, FolderState::Unwatched);
        // What another version wrote is as good as nothing.
        store.set_text("intake_board", "[]").unwrap();
        store.set_text("link", "up").unwrap();
        let status = collect(&config, Some(&reader), daemon, 1_000_000, &TimeZone::UTC).unwrap();
        assert_eq!(status.facts.link.state, None);
    }

    #[test]
    fn what_a_person_dealt_with_is_no_to_do_any_more() {
        let dir = tempfile::tempdir().unwrap();
        let mut config = Config::with_defaults("s", dir.path());
        config
            .folders
            .push(config::Folder::with_defaults("f", dir.path(), Kind::Orders));
        let rejects = dir.path().join("rejects");
        std::fs::create_dir(&rejects).unwrap();
        for name in ["a.rejects.csv", "b.csv"] {
            std::fs::write(rejects.join(name), "").unwrap();
        }
        let file = |id, archive_name: Option<&str>, rejects_names: &[&str]| NamedFile {
            id,
            folder: "f".into(),
            archive_name: archive_name.map(String::from),
            rejects_names: rejects_names.iter().map(|n| (*n).to_owned()).collect(),
            ..NamedFile::default()
        };
        let look = rows::Look {
            unreadable: vec![file(1, Some("b.csv"), &[])],
            rejecting: vec![(file(2, None, &["a.rejects.csv"]), vec![("date".into(), 1)])],
            ..rows::Look::default()
        };
        let ids = || {
            let facts = facts(&config, None, look.clone(), None, 5, &TimeZone::UTC).unwrap();
            (facts.unreadable.iter().chain(&facts.rejecting))
                .map(|f| f.id)
                .collect::<Vec<_>>()
        };
        assert_eq!(ids(), [1, 2]);
        std::fs::rename(
            rejects.join("a.rejects.csv"),
            dir.path().join("a.rejects.csv"),
        )
        .unwrap();
        assert_eq!(ids(), [1]);
        std::fs::remove_file(rejects.join("b.csv")).unwrap();
        assert_eq!(ids(), [0; 0]);
    }

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
