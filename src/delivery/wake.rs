//! What wakes the loop from outside, and what it tells in return.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::Settings;

/// How soon a stop is seen by one that `rests`.
const REST_STEP: Duration = Duration::from_millis(100);

/// Why the loop is woken. A lost wake-up costs a moment, never a record: the store is the truth.
#[derive(Clone, Debug)]
pub enum Reason {
    /// Intake stored a file.
    Stored,
    /// A command changed something.
    Command,
    /// The network may be there (again): the link is tried at once.
    Network,
    /// The configuration was read anew.
    Reload(Box<Settings>),
    /// Intake will bring nothing more (`sync`).
    AllTaken,
    /// End: no new call, a few seconds for open answers.
    Stop,
}

/// The handle that others hold.
#[derive(Default)]
pub struct Wake {
    notify: Notify,
    signals: Mutex<Signals>,
    stopped: AtomicBool,
    pub pulse: Pulse,
}

/// What came since the loop looked last.
#[derive(Default)]
pub(super) struct Signals {
    pub probe: bool,
    pub command: bool,
    pub settings: Option<Box<Settings>>,
    pub all_taken: bool,
}

/// Counters that others read; nothing in the loop depends on them.
#[derive(Debug, Default)]
pub struct Pulse {
    /// Turns of the loop.
    pub turns: AtomicU64,
    /// When the last one began, UTC milliseconds.
    pub last_turn: AtomicI64,
    /// Until when it sleeps at most; 0: it works, `i64::MAX`: until something happens.
    pub sleeps_until: AtomicI64,
    pub calls: AtomicU64,
    /// Records acknowledged and parked.
    pub acknowledged: AtomicU64,
    pub parked: AtomicU64,
}

impl Wake {
    pub fn new() -> Wake {
        Wake::default()
    }

    pub fn wake(&self, reason: Reason) {
        {
            let mut signals = self.signals.lock().unwrap_or_else(PoisonError::into_inner);
            match reason {
                Reason::Stored => {}
                // A command can have mended what keeps the link down.
                Reason::Command => {
                    signals.command = true;
                    signals.probe = true;
                }
                Reason::Network => signals.probe = true,
                Reason::Reload(settings) => {
                    signals.settings = Some(settings);
                    signals.probe = true;
                }
                Reason::AllTaken => signals.all_taken = true,
                Reason::Stop => self.stopped.store(true, Ordering::Release),
            }
        }
        self.notify.notify_one();
    }

    /// Beside the loop, on its thread: nothing is done for so long. `false`: it was stopped.
    pub fn rests(&self, wait: Duration) -> bool {
        self.pulse.sleeps_until.store(i64::MAX, Ordering::Relaxed);
        let begun = Instant::now();
        while !self.stopped.load(Ordering::Acquire) && begun.elapsed() < wait {
            std::thread::sleep(REST_STEP.min(wait));
        }
        !self.stopped.load(Ordering::Acquire)
    }

    pub(super) fn take(&self) -> Signals {
        std::mem::take(&mut *self.signals.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    pub(super) async fn notified(&self) {
        self.notify.notified().await;
    }
}
