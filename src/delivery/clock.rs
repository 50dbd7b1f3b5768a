//! Two clocks: the wall's, which may be set, and a steady one, which counts suspended time too.

use std::hash::{BuildHasher, RandomState};

/// Where the time comes from: the system, or a simulation.
pub trait Clock: Send + Sync {
    /// UTC milliseconds; may jump.
    fn wall(&self) -> i64;
    /// Milliseconds since some instant of this boot; never jumps, never stands still.
    fn steady(&self) -> i64;
    /// Names the boot; empty where it cannot be told.
    fn boot(&self) -> String;
    /// Chance for waits alone: two hosts that lost the same remote shall not come back in step. A
    /// simulation brings its own.
    fn chance(&self) -> u64 {
        RandomState::new().hash_one(self.steady())
    }
}

pub struct SystemClock;

impl Clock for SystemClock {
    fn wall(&self) -> i64 {
        read(rustix::time::ClockId::Realtime)
    }

    fn steady(&self) -> i64 {
        read(rustix::time::ClockId::Boottime)
    }

    fn boot(&self) -> String {
        std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default()
    }
}

fn read(clock: rustix::time::ClockId) -> i64 {
    let time = rustix::time::clock_gettime(clock);
    time.tv_sec
        .saturating_mul(1000)
        .saturating_add(time.tv_nsec / 1_000_000)
}

/// A difference between the clocks that is more than their drift.
const JUMP_MS: i64 = 2_000;

/// The difference of the clocks, as the store's times were written by it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Mark {
    boot: String,
    /// Wall time minus steady time, in milliseconds.
    offset: i64,
}

/// Wall time that runs steadily, and tells when the wall clock was set.
pub(super) struct Time {
    /// Wall time minus steady time.
    offset: i64,
}

impl Time {
    pub fn new(clock: &dyn Clock) -> Time {
        Time {
            offset: clock.wall() - clock.steady(),
        }
    }

    /// UTC milliseconds.
    pub fn now(&self, clock: &dyn Clock) -> i64 {
        self.wall(clock.steady())
    }

    /// What outlasts the wall clock being set, of a time of it.
    pub fn steady(&self, wall: i64) -> i64 {
        wall - self.offset
    }

    /// The time of the wall clock, as it goes now.
    pub fn wall(&self, steady: i64) -> i64 {
        self.offset + steady
    }

    /// What the next process needs to tell whether the wall clock was set meanwhile.
    pub fn mark(&self, clock: &dyn Clock) -> Mark {
        Mark {
            boot: clock.boot(),
            offset: self.offset,
        }
    }

    /// By how much the wall clock was set since another process of this boot left its mark.
    pub fn set_since(&self, mark: &Mark, clock: &dyn Clock) -> Option<i64> {
        let ms = self.offset - mark.offset;
        let same_boot = !mark.boot.is_empty() && mark.boot == clock.boot();
        (same_boot && ms.abs() >= JUMP_MS).then_some(ms)
    }

    /// By how much the wall clock was set since the last question; from then on the new time holds.
    pub fn jump(&mut self, clock: &dyn Clock) -> Option<i64> {
        let ms = clock.wall() - self.now(clock);
        if ms.abs() < JUMP_MS {
            return None;
        }
        self.offset += ms;
        Some(ms)
    }
}
