//! The intake loop: takes one file at a time from the drop folders into the store, in the order in
//! which they were complete.
//!
//! Knows the order of a file's steps, and nothing of delivery. What has to outlive the process stands
//! in the store; each turn of the loop looks, does one thing, and looks again.

mod away;
pub mod board;
mod clock;
pub mod forget;
mod hash;
mod hold;
pub mod import;
mod known;
mod later;
mod original;
pub mod plan;
mod queue;
mod read;
mod returned;
mod take;
#[cfg(test)]
mod tests;

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use jiff::civil::Date;
use jiff::tz::TimeZone;

pub use board::{Board, FolderStatus, Notice};
pub use clock::{Clock, SystemClock};
pub use queue::{Intake, TakenIn};

use crate::config::{self, Config};
use crate::folder::watch::Bell;
use crate::mapping::MetadataTypes;
use crate::preset::Presets;
use crate::store::{self, Store};

/// What ends a file's intake, or the loop.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No room: nothing is begun until there is some. What is full, in words.
    #[error("{0}")]
    Full(String),
    /// It may pass by itself, or a person may lift it: why.
    #[error("{0}")]
    Waits(String),
    /// The file is no table that can be read: why.
    #[error("{0}")]
    Unreadable(String),
    /// The loop was told to end.
    #[error("intake was stopped")]
    Stopped,
    /// The disk or the database fails: nothing in memory is worth anything, the process ends (74).
    #[error("{0}")]
    Broken(String),
    /// Our own fault (1).
    #[error("{0}")]
    Internal(String),
}

pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    fn waits_for_file(error: &io::Error) -> Error {
        Error::Waits(format!(
            "the file cannot be read: {}",
            crate::folder::io_text(error)
        ))
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Error {
        crate::folder::Error::from(error).into()
    }
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Error {
        match error {
            store::Error::Full => {
                Error::Full("no room is left on the disk of the database (`state_dir`)".into())
            }
            store::Error::Busy | store::Error::Open { .. } => Error::Waits(error.to_string()),
            store::Error::Broken(_)
            | store::Error::Unwritten(_)
            | store::Error::Damaged(_)
            | store::Error::Aside { .. }
            | store::Error::Newer { .. } => Error::Broken(error.to_string()),
            other => Error::Internal(other.to_string()),
        }
    }
}

/// All that intake works with.
#[derive(Clone)]
pub struct Site {
    pub config: Arc<Config>,
    pub presets: Arc<Presets>,
    pub store: Store,
    pub clock: Arc<dyn Clock>,
    /// The host's IANA zone.
    pub host_zone: String,
    secret: store::meta::Secret,
}

impl Site {
    pub fn new(
        config: Arc<Config>,
        presets: Arc<Presets>,
        store: Store,
        clock: Arc<dyn Clock>,
        host_zone: &str,
    ) -> Result<Site> {
        Ok(Site {
            secret: store.secret()?,
            config,
            presets,
            store,
            clock,
            host_zone: host_zone.to_owned(),
        })
    }

    fn metadata_types(&self) -> Result<MetadataTypes> {
        let types = store::meta::metadata_types(&self.store.reader()?)?;
        Ok(types.map(|(types, _)| types).unwrap_or_default())
    }

    fn circumstances<'a>(
        &'a self,
        folder: &'a config::Folder,
        types: &'a MetadataTypes,
    ) -> read::Circumstances<'a> {
        read::Circumstances {
            folder,
            presets: &self.presets,
            types,
            host_zone: &self.host_zone,
            today: day(self.clock.utc_ms(), &self.host_zone),
        }
    }
}

/// The calendar day of a moment.
fn day(utc_ms: i64, zone: &str) -> Date {
    let moment = jiff::Timestamp::from_millisecond(utc_ms).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    let zone = TimeZone::get(zone).unwrap_or(TimeZone::UTC);
    moment.to_zoned_datetime(zone).date()
}

/// How other threads speak to the loop, and see what it does. Wake-ups only; what is to be done
/// stands in the store.
#[derive(Clone)]
pub struct Control {
    bell: Bell,
    stop: Arc<AtomicBool>,
    next: Arc<Mutex<Option<Reconfigured>>>,
    taken: Arc<OnceLock<Box<dyn Fn() + Send + Sync>>>,
    pub board: Arc<Mutex<Board>>,
}

type Reconfigured = (Arc<Config>, Arc<Presets>);

impl Control {
    pub fn new() -> io::Result<Control> {
        Ok(Control {
            bell: Bell::new()?,
            stop: Arc::default(),
            next: Arc::default(),
            taken: Arc::default(),
            board: Arc::default(),
        })
    }

    /// Who hears that a file was taken in, whatever became of it; the first to ask is told.
    pub fn on_taken(&self, tell: Box<dyn Fn() + Send + Sync>) {
        let _ = self.taken.set(tell);
    }

    fn tell_taken(&self) {
        if let Some(tell) = self.taken.get() {
            tell();
        }
    }

    /// Something changed in the store: accepted, discarded, paused, resumed.
    pub fn wake(&self) {
        self.bell.ring();
    }

    /// Ends the loop after the batch that is being read.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
        self.bell.ring();
    }

    /// From the next turn of the loop on. A file that is being read is finished as it was begun.
    pub fn reconfigure(&self, config: Arc<Config>, presets: Arc<Presets>) {
        *self.next.lock().unwrap_or_else(PoisonError::into_inner) = Some((config, presets));
        self.bell.ring();
    }

    /// What the loop shows now.
    pub fn look(&self) -> Board {
        self.board
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn take_reconfigured(&self) -> Option<Reconfigured> {
        self.next
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }
}

/// Takes files in until `control` stops it; meant for a thread of its own. An error ends the process.
pub fn run(site: Site, control: &Control) -> Result<()> {
    let mut intake = Intake::new(site, control.clone(), true);
    intake.recover()?;
    while !control.is_stopped() {
        if !intake.turn()? {
            intake.sleep()?;
        }
    }
    intake.end()
}

/// Takes in all files that are there, waiting for those that are not complete, and gives what became
/// of them. `control.stop` ends it before.
pub fn sync_once(site: Site, control: &Control) -> Result<TakenIn> {
    let mut intake = Intake::new(site, control.clone(), false);
    intake.recover()?;
    while !control.is_stopped() {
        if !intake.turn()? {
            if intake.is_done() {
                break;
            }
            intake.sleep()?;
        }
    }
    intake.end()?;
    Ok(*intake.taken_in())
}
