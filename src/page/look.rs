//! What the page shows, looked up as cheaply as it can be.
//!
//! Records are counted one by one, which takes 0.3 s for a million. So a look that was dear is kept
//! while nothing was committed, and for a while even then: the view gets the one at hand, and a new
//! one is taken beside it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::store::Connection;
use jiff::tz::TimeZone;

use crate::config::Config;
use crate::status::collect::{self, wall_clock};
use crate::status::facts::{Daemon, Sample};
use crate::status::{Facts, Status};
use crate::store::status::{self as rows, Look};
use crate::store::{Result, Store};

/// A look this cheap is taken anew for each view.
const CHEAP: Duration = Duration::from_millis(2);

/// A dear one takes at most this part of the time.
const PART: u32 = 20;

/// However dear, it is taken anew after this if something was committed.
const OLD: Duration = Duration::from_secs(60);

/// The state directory's store, as the page sees it. One connection, without a transaction between views.
pub struct Looker {
    state_dir: PathBuf,
    reader: Option<Connection>,
    kept: Arc<Mutex<Kept>>,
}

#[derive(Default)]
struct Kept {
    look: Option<Look>,
    at: Option<Instant>,
    cost: Duration,
    /// `PRAGMA data_version` of the looker's connection before the look was begun.
    version: i64,
    looking: bool,
}

impl Looker {
    pub fn new(state_dir: &Path) -> Looker {
        Looker {
            state_dir: state_dir.to_owned(),
            reader: None,
            kept: Arc::default(),
        }
    }

    pub fn status(
        &mut self,
        config: &Config,
        daemon: Option<Daemon>,
        tz: &TimeZone,
    ) -> Result<Status> {
        let now = wall_clock();
        let facts = self.facts(config, daemon, now, tz);
        if facts.is_err() {
            // A connection that failed once is not asked again.
            self.reader = None;
        }
        Ok(Status::new(facts?, now, tz))
    }

    pub fn samples(&mut self, from: i64) -> Result<Vec<Sample>> {
        let Some(reader) = self.open()? else {
            return Ok(Vec::new());
        };
        let found = rows::samples(reader, from)?.into_iter();
        Ok(found
            .map(|s| Sample {
                at: s.at,
                stored: s.stored,
                pending: s.pending,
                parked: s.parked,
                delivered: s.delivered,
                calls: s.calls,
            })
            .collect())
    }

    pub fn file(&mut self, id: i64) -> Result<Option<rows::NamedFile>> {
        match self.open()? {
            Some(reader) => rows::file(reader, id),
            None => Ok(None),
        }
    }

    fn open(&mut self) -> Result<Option<&Connection>> {
        if self.reader.is_none() {
            self.reader = Store::look(&self.state_dir)?;
            if let Some(reader) = &self.reader {
                // Views are small; what they read stands in the system's cache.
                reader.pragma_update(None, "cache_size", -512)?;
            }
        }
        Ok(self.reader.as_ref())
    }

    fn facts(
        &mut self,
        config: &Config,
        daemon: Option<Daemon>,
        now: i64,
        tz: &TimeZone,
    ) -> Result<Facts> {
        let (kept, dir) = (self.kept.clone(), self.state_dir.clone());
        let Some(reader) = self.open()? else {
            return collect::facts(config, None, Look::default(), daemon, now, tz);
        };
        let moment = (now, collect::cycle_begun(config, now, tz));
        let look = look(reader, &kept, &dir, moment)?;
        collect::facts(config, Some(reader), look, daemon, now, tz)
    }
}

/// Now, and when the plan's cycle began.
type Moment = (i64, Option<i64>);

fn look(reader: &Connection, kept: &Arc<Mutex<Kept>>, dir: &Path, moment: Moment) -> Result<Look> {
    let version = rows::data_version(reader)?;
    let mut held = lock(kept);
    if let (Some(look), Some(at)) = (&held.look, held.at)
        && held.cost > CHEAP
    {
        let look = look.clone();
        let stale = held.version != version && at.elapsed() > (held.cost * PART).min(OLD);
        if stale && !held.looking {
            held.looking = true;
            drop(held);
            look_beside(kept.clone(), dir.to_owned(), version, moment);
        }
        return Ok(look);
    }
    let begun = Instant::now();
    let look = rows::look(reader, moment.0, moment.1)?;
    held.keep(look.clone(), begun, version);
    Ok(look)
}

impl Kept {
    fn keep(&mut self, look: Look, begun: Instant, version: i64) {
        self.look = Some(look);
        self.at = Some(Instant::now());
        self.cost = begun.elapsed();
        self.version = version;
    }
}

fn look_beside(kept: Arc<Mutex<Kept>>, dir: PathBuf, version: i64, moment: Moment) {
    let again = kept.clone();
    let work = move || {
        let begun = Instant::now();
        let looked = Store::look(&dir).and_then(|reader| {
            reader
                .map(|c| rows::look(&c, moment.0, moment.1))
                .transpose()
        });
        let mut held = lock(&kept);
        held.looking = false;
        // One that failed leaves the old one; the next view tries again.
        if let Ok(Some(look)) = looked {
            held.keep(look, begun, version);
        }
    };
    if std::thread::Builder::new()
        .name("page-look".into())
        .spawn(work)
        .is_err()
    {
        lock(&again).looking = false;
    }
}

fn lock(kept: &Mutex<Kept>) -> std::sync::MutexGuard<'_, Kept> {
    kept.lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}
