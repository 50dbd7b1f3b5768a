//! `[retention]`: what is old is let go, in small steps beside the daemon's work. Once a week all of the
//! database is looked at.
//!
//! On a thread of its own that sleeps between its passes. What may go is the store's and the folders'
//! rule; here stand when, and whether the clock can be believed. A pass that fails (a full disk, a busy
//! store) is taken up by the next one.

use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

use super::beside::Beside;
use super::{current, now};
use crate::config::{After, Config};
use crate::folder::archive::own_folder_there;
use crate::folder::{self, ARCHIVE, REJECTS, scan, thin};
use crate::store::integrity::{self, Depth};
use crate::store::thin::{Old, Pass};
use crate::store::{self, Store};

/// After the start: that comes first.
const FIRST_AFTER: Duration = Duration::from_secs(10);

/// Between two passes, where nothing is kept for so short a time that it matters; never more often than
/// folders are listed again.
const EVERY: Duration = Duration::from_secs(6 * 3_600);
const EVERY_MIN: Duration = Duration::from_secs(60);

/// Between two steps, so that the work beside it has most of the disk.
const PAUSE: Duration = Duration::from_millis(25);

/// While a file is read, steps wait so long for its end: each would cut its transactions short.
const PATIENCE: Duration = Duration::from_secs(600);
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Files of one folder that are removed in one step.
const FILES_AT_ONCE: usize = 100;

/// The budget looks back so far: an hour, or the plan's month.
const REQUESTS_MS: i64 = 2 * 3_600_000;
const REQUESTS_CYCLE_MS: i64 = 32 * 86_400_000;

/// Under this name the store keeps when the last pass began, and since when the clock is doubted.
const LAST: &str = "retention_last";
const DOUBTED: &str = "retention_doubted";

/// Under this name the store keeps when all of it was looked at.
const LOOKED: &str = "integrity_last";
const LOOK_EVERY_MS: i64 = 7 * 86_400_000;

/// A clock that says that so much time has passed since the last pass is believed after a day.
const LEAP_MS: i64 = 400 * 86_400_000;
const BELIEVED_AFTER_MS: i64 = 86_400_000;

/// What it works on.
pub struct Sources {
    pub config: Arc<RwLock<Arc<Config>>>,
    pub store: Store,
    /// Whether a file is being read.
    pub busy: Box<dyn Fn() -> bool + Send>,
    /// Told what is damaged.
    pub damaged: Box<dyn Fn(String) + Send>,
}

pub fn start(sources: Sources) -> std::io::Result<Beside> {
    Beside::start("keep", move |rest| {
        let mut wait = FIRST_AFTER;
        while rest.sleeps(wait) {
            let config = current(&sources.config);
            let mut pause = || {
                let begun = Instant::now();
                while (sources.busy)() && begun.elapsed() < PATIENCE {
                    if !rest.sleeps(LOOK_AGAIN) {
                        return false;
                    }
                }
                rest.sleeps(PAUSE)
            };
            if let Err(error) = pass(&config, &sources.store, now(), &mut pause) {
                tracing::debug!(%error, "old entries stay until the next pass");
            }
            if !(sources.busy)() {
                look(&sources.store, now(), &sources.damaged);
            }
            wait = every(&config);
        }
    })
}

fn every(config: &Config) -> Duration {
    let retention = &config.retention;
    (retention.archive.min(retention.log) / 2).clamp(EVERY_MIN, EVERY)
}

/// Looks at all of the database if that was not done for a week: a disk can spoil what nobody reads. The
/// first time is a week after the first start.
fn look(store: &Store, now: i64, damaged: &dyn Fn(String)) {
    let looked = (|| {
        // A time ahead of us is of a clock that was wrong.
        let last = store.integer(LOOKED)?.map(|last| last.min(now));
        if last.is_none_or(|last| now - last >= LOOK_EVERY_MS) {
            store.set_integer(LOOKED, now)?;
        }
        match last {
            Some(last) if now - last >= LOOK_EVERY_MS => {
                integrity::fault(&store.reader()?, Depth::Indexes)
            }
            _ => Ok(None),
        }
    })();
    match looked {
        Ok(None) => {}
        Ok(Some(why)) | Err(store::Error::Damaged(why)) => damaged(why),
        Err(error) => tracing::debug!(%error, "the database was not looked at as a whole"),
    }
}

/// One pass without a daemon, as far as it comes in this time.
pub fn once(config: &Config, store: &Store, within: Duration) {
    let begun = Instant::now();
    let mut pause = || begun.elapsed() < within;
    if let Err(error) = pass(config, store, now(), &mut pause) {
        tracing::debug!(%error, "old entries stay until the next pass");
    }
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum Failed {
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error(transparent)]
    Folder(#[from] folder::Error),
}

/// Takes step after step until nothing old is left, or `pause` says `false`.
pub(crate) fn pass(
    config: &Config,
    store: &Store,
    now: i64,
    pause: &mut dyn FnMut() -> bool,
) -> Result<(), Failed> {
    if !believes(store, now)? {
        return Ok(());
    }
    let files = thin_folders(config, store, now, pause)?;
    let mut pass = Pass::new(old(config, now));
    while pause() {
        if !pass.step(store)? {
            break;
        }
    }
    if files > 0 || pass.gone > 0 {
        tracing::debug!(
            files,
            rows = pass.gone,
            "what is older than [retention] says is gone"
        );
    }
    Ok(())
}

fn old(config: &Config, now: i64) -> Old {
    let log = now - milliseconds(config.retention.log);
    let counted = match config.api.cycle_calls {
        Some(_) => REQUESTS_CYCLE_MS,
        None => REQUESTS_MS,
    };
    let leaves = |folder: &&crate::config::Folder| folder.after == After::Leave;
    Old {
        log,
        requests: log.min(now - counted),
        left: (config.folders.iter().filter(leaves))
            .map(|folder| folder.name.clone())
            .collect(),
    }
}

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 2)
}

/// A clock that leapt years ahead would have everything thrown away that it calls old.
fn believes(store: &Store, now: i64) -> store::Result<bool> {
    let last = store.integer(LAST)?;
    let leapt = last.is_some_and(|last| now - last > LEAP_MS || now < last);
    let believed = !leapt || {
        match store.integer(DOUBTED)? {
            Some(since) if (0..LEAP_MS).contains(&(now - since)) => {
                now - since >= BELIEVED_AFTER_MS
            }
            _ => {
                store.set_integer(DOUBTED, now)?;
                false
            }
        }
    };
    if believed {
        store.write(move |c| {
            store::meta::set(c, LAST, &now)?;
            store::meta::clear(c, DOUBTED)
        })?;
    }
    Ok(believed)
}

/// Gives back how many files went.
fn thin_folders(
    config: &Config,
    store: &Store,
    now: i64,
    pause: &mut dyn FnMut() -> bool,
) -> Result<usize, Failed> {
    let before = now - milliseconds(config.retention.archive);
    let mut files = 0;
    for folder in &config.folders {
        // One that is not there now is thinned when it is.
        let Ok((place, _)) = scan::open_folder(&folder.path) else {
            continue;
        };
        for name in [ARCHIVE, REJECTS] {
            let Ok(Some(own)) = own_folder_there(&place, name) else {
                continue;
            };
            let old = match thin::old(&own, before) {
                Ok(old) => old,
                Err(error) => {
                    tracing::debug!(folder = %folder.name, %error, "old files stay in {name}/");
                    continue;
                }
            };
            for some in old.chunks(FILES_AT_ONCE) {
                if !pause() {
                    return Ok(files);
                }
                let open = store.open_files()?;
                let busy = |device, inode| {
                    open.iter()
                        .any(|row| (row.device, row.inode) == (device, inode))
                };
                match thin::remove(&own, some, &busy) {
                    Ok(gone) => files += gone,
                    Err(error) => {
                        tracing::debug!(folder = %folder.name, %error, "old files stay in {name}/");
                        break;
                    }
                }
            }
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Environment;

    const DAY: i64 = 86_400_000;

    struct Stage {
        dir: tempfile::TempDir,
        config: Config,
        store: Store,
    }

    fn stage() -> Stage {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path().display();
        let text = format!(
            "store = \"s\"\nstate_dir = \"{at}/state\"\n[[folder]]\nname = \"customers\"\npath = \"{at}/drop\"\nkind = \"customers\"\n"
        );
        let path = dir.path().join("tillsync.toml");
        std::fs::write(&path, text).unwrap();
        for own in ["state", "drop/archive", "drop/rejects"] {
            std::fs::create_dir_all(dir.path().join(own)).unwrap();
        }
        let config = crate::config::load(Some(&path), &Environment::default()).unwrap();
        let store = Store::open(&config.state_dir).unwrap();
        Stage { dir, config, store }
    }

    impl Stage {
        fn put(&self, own: &str, age_days: i64, now: i64) {
            let at = jiff::Timestamp::from_millisecond(now - age_days * DAY).unwrap();
            let name = format!("{}-{age_days}.csv", at.strftime("%Y%m%dT%H%M%SZ"));
            std::fs::write(self.dir.path().join("drop").join(own).join(name), "x").unwrap();
        }

        fn files(&self, own: &str) -> usize {
            std::fs::read_dir(self.dir.path().join("drop").join(own))
                .unwrap()
                .count()
        }

        fn pass(&self, now: i64) {
            pass(&self.config, &self.store, now, &mut || true).unwrap();
        }
    }

    #[test]
    fn archive_and_rejects_are_thinned_after_a_restart_too() {
        let mut stage = stage();
        let now = 1_795_564_800_000;
        for own in ["archive", "rejects"] {
            for age in [0, 29, 31, 400] {
                stage.put(own, age, now);
            }
        }
        stage.pass(now);
        assert_eq!((stage.files("archive"), stage.files("rejects")), (2, 2));
        stage.store = Store::open(&stage.config.state_dir).unwrap();
        stage.pass(now + 2 * DAY);
        assert_eq!((stage.files("archive"), stage.files("rejects")), (1, 1));
    }

    #[test]
    fn once_a_week_a_damaged_index_is_found() {
        let stage = stage();
        let found = std::cell::RefCell::new(Vec::new());
        let look = |now| {
            look(&stage.store, now, &|why| found.borrow_mut().push(why));
            found.borrow().len()
        };
        let now = 1_795_564_800_000;
        assert_eq!(look(now), 0);
        // An index that lacks a row: each page is whole, and only the thorough look sees it.
        let spoil = |c: &store::Connection| {
            c.execute_batch(
                "CREATE TABLE t (a, b); CREATE INDEX i ON t (a); INSERT INTO t VALUES (1, 2);
                 PRAGMA writable_schema = ON;
                 UPDATE sqlite_schema SET sql = 'CREATE INDEX i ON t (b)' WHERE name = 'i';
                 PRAGMA writable_schema = RESET;",
            )
        };
        let c = store::Connection::open(stage.store.path()).unwrap();
        spoil(&c).unwrap();
        assert_eq!(integrity::fault(&c, Depth::Pages).unwrap(), None);
        assert_eq!(look(now + 6 * DAY), 0);
        assert_eq!(look(now + 7 * DAY), 1);
        assert_eq!(look(now + 8 * DAY), 1);
        assert_eq!(look(now + 14 * DAY), 2);
    }

    #[test]
    fn a_clock_that_leaps_years_ahead_throws_nothing_away_for_a_day() {
        let stage = stage();
        let now = 1_795_564_800_000;
        stage.pass(now);
        stage.put("archive", 0, now);
        let leapt = now + 3_650 * DAY;
        stage.pass(leapt);
        stage.pass(leapt + 3_600_000);
        assert_eq!(stage.files("archive"), 1);
        // Set right again, nothing was lost; back before the last pass nothing is old.
        stage.pass(now + DAY);
        assert_eq!(stage.files("archive"), 1);
        stage.pass(leapt);
        stage.pass(leapt + DAY);
        assert_eq!(stage.files("archive"), 0);
    }

    #[test]
    fn requests_that_the_budget_counts_stay_whatever_is_asked() {
        let mut stage = stage();
        stage.config.retention.log = Duration::ZERO;
        let now = 1_795_564_800_000;
        assert_eq!(old(&stage.config, now).requests, now - REQUESTS_MS);
        stage.config.api.cycle_calls = Some(1);
        assert_eq!(old(&stage.config, now).requests, now - REQUESTS_CYCLE_MS);
        assert_eq!(old(&stage.config, now).log, now);
        assert_eq!(every(&stage.config), EVERY_MIN);
    }
}
