//! What the loops tell of themselves while they work: when each last took a step, and counts that no
//! table keeps. Atomics alone; whoever asks (page, watchdog, heartbeat) reads them at any moment.
//!
//! Knows neither what the loops do nor who asks. Time is that since the start, by the monotonic clock.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// A loop that is at work and takes no step for so long stands still. Longer than a fsync of 30 s
/// behind a request with all its time-outs.
pub const STILL_AFTER: Duration = Duration::from_secs(180);

/// Resting; any other value is the time of its last step.
const RESTS: i64 = -1;

#[derive(Debug)]
pub struct Health {
    begun: Instant,
    pub intake: Pulse,
    pub delivery: Pulse,
    /// The thread that writes the store.
    pub writer: Pulse,
    /// The database is open, and all folders that are there are watched.
    ready: AtomicBool,
    pub meters: Meters,
}

/// One loop's.
#[derive(Debug)]
pub struct Pulse {
    begun: Instant,
    last: AtomicI64,
}

/// Numbers since the start that only grow, for metrics.
#[derive(Debug, Default)]
pub struct Meters {
    /// Rows read from files, whatever became of them.
    pub rows: AtomicU64,
    pub rejected_rows: AtomicU64,
    /// Records that the remote acknowledged.
    pub delivered: AtomicU64,
    /// Answers by their status: 1xx or none, 2xx, 3xx, 4xx, 5xx.
    pub answers: [AtomicU64; 5],
    /// Times that the system forgot events, and folders were listed again.
    pub watch_overflows: AtomicU64,
}

impl Default for Health {
    fn default() -> Health {
        Health::new()
    }
}

impl Health {
    pub fn new() -> Health {
        let begun = Instant::now();
        let pulse = || Pulse {
            begun,
            last: AtomicI64::new(RESTS),
        };
        Health {
            begun,
            intake: pulse(),
            delivery: pulse(),
            writer: pulse(),
            ready: AtomicBool::new(false),
            meters: Meters::default(),
        }
    }

    pub fn is_ready(&self) -> bool {
        self.ready.load(Relaxed)
    }

    pub fn set_ready(&self, ready: bool) {
        self.ready.store(ready, Relaxed);
    }

    /// Names the loops that are at work and take no step.
    pub fn still(&self) -> Vec<&'static str> {
        self.still_at(self.begun.elapsed())
    }

    fn still_at(&self, now: Duration) -> Vec<&'static str> {
        let pulses = [
            ("intake", &self.intake),
            ("delivery", &self.delivery),
            ("store", &self.writer),
        ];
        let still = pulses.into_iter().filter(|(_, pulse)| pulse.is_still(now));
        still.map(|(name, _)| name).collect()
    }
}

impl Pulse {
    /// At each step while there is work: a batch, a request, a turn of the loop.
    pub fn beat(&self) {
        self.beat_at(self.begun.elapsed());
    }

    /// There is nothing to do, or nothing may be done: away, paused, over the limit.
    pub fn rest(&self) {
        self.last.store(RESTS, Relaxed);
    }

    fn beat_at(&self, now: Duration) {
        self.last.store(ms(now), Relaxed);
    }

    fn is_still(&self, now: Duration) -> bool {
        let last = self.last.load(Relaxed);
        last != RESTS && ms(now) - last > ms(STILL_AFTER)
    }
}

impl Meters {
    /// `status`: `None`, there was no answer.
    pub fn answered(&self, status: Option<u16>) {
        let class = status.map_or(0, |status| {
            usize::from(status / 100).saturating_sub(1).min(4)
        });
        self.answers[class].fetch_add(1, Relaxed);
    }
}

fn ms(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_at_work_has_to_take_steps_and_one_at_rest_has_not() {
        let health = Health::new();
        let at = |s| Duration::from_secs(s);
        assert_eq!(health.still_at(at(10_000)), [""; 0]);
        health.intake.beat_at(at(100));
        assert_eq!(health.still_at(at(280)), [""; 0]);
        assert_eq!(health.still_at(at(281)), ["intake"]);
        health.delivery.beat_at(at(100));
        assert_eq!(health.still_at(at(281)), ["intake", "delivery"]);
        health.intake.beat_at(at(281));
        health.delivery.rest();
        assert_eq!(health.still_at(at(400)), [""; 0]);
    }

    #[test]
    fn answers_are_counted_by_class() {
        let meters = Meters::default();
        for status in [
            None,
            Some(200),
            Some(204),
            Some(302),
            Some(404),
            Some(429),
            Some(503),
            Some(999),
        ] {
            meters.answered(status);
        }
        let counts: Vec<u64> = meters.answers.iter().map(|n| n.load(Relaxed)).collect();
        assert_eq!(counts, [1, 2, 1, 2, 2]);
    }
}
