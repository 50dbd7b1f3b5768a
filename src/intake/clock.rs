//! The two clocks, at the loop's border: everything inside gets `now` from here.

use rustix::time::{ClockId, clock_gettime};

/// Tells the time. Tests and simulations bring their own.
pub trait Clock: Send + Sync {
    /// Milliseconds since the boot, suspends included; never jumps.
    fn boot_ms(&self) -> i64;
    /// Milliseconds since 1970 in UTC; may jump.
    fn utc_ms(&self) -> i64;
}

/// The system's.
pub struct SystemClock;

impl Clock for SystemClock {
    fn boot_ms(&self) -> i64 {
        ms(ClockId::Boottime)
    }

    fn utc_ms(&self) -> i64 {
        ms(ClockId::Realtime)
    }
}

fn ms(clock: ClockId) -> i64 {
    let time = clock_gettime(clock);
    time.tv_sec * 1000 + time.tv_nsec / 1_000_000
}
