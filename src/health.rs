//! Whether the parts of the daemon that have work take steps, and the counts that they keep of
//! themselves. Whoever asks (page, watchdog, heartbeat) may ask at any moment, and seldom.
//!
//! Knows neither what the parts do nor who asks: each is a name and a question.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A part that is at work and takes no step for so long stands still. Longer than a fsync of 30 s
/// behind a request with all its time-outs.
pub const STILL_AFTER: Duration = Duration::from_secs(180);

/// What a part says when it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pulse {
    /// There is nothing to do, or nothing may be done: away, paused, over the limit.
    Rests,
    /// It is at work, and this many steps have been taken: batches, requests, turns. Never fewer than before.
    Works(u64),
}

/// Numbers since the start that only grow, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Meters {
    pub calls: u64,
    /// Records that the remote acknowledged, and refused.
    pub delivered: u64,
    pub parked: u64,
    /// Times that the system forgot events, and folders were listed again.
    pub watch_overflows: u64,
}

#[derive(Default)]
pub struct Health {
    watched: Mutex<Vec<Watched>>,
    meters: Mutex<Option<Box<dyn Fn() -> Meters + Send>>>,
    /// The database is open, and all folders that are there are watched.
    ready: AtomicBool,
}

struct Watched {
    name: &'static str,
    ask: Box<dyn Fn() -> Pulse + Send>,
    /// The steps that it had taken, and when it was first found with so many.
    last: Option<(u64, Instant)>,
}

impl Health {
    pub fn new() -> Health {
        Health::default()
    }

    /// Asks this part from now on.
    pub fn watch(&self, name: &'static str, ask: impl Fn() -> Pulse + Send + 'static) {
        lock(&self.watched).push(Watched {
            name,
            ask: Box::new(ask),
            last: None,
        });
    }

    pub fn count_by(&self, meters: impl Fn() -> Meters + Send + 'static) {
        *lock(&self.meters) = Some(Box::new(meters));
    }

    pub fn meters(&self) -> Meters {
        lock(&self.meters)
            .as_ref()
            .map(|ask| ask())
            .unwrap_or_default()
    }

    pub fn is_ready(&self) -> bool {
        self.ready.load(Relaxed)
    }

    pub fn set_ready(&self, ready: bool) {
        self.ready.store(ready, Relaxed);
    }

    /// Names the parts that are at work and have taken no step for `STILL_AFTER`.
    pub fn still(&self) -> Vec<&'static str> {
        self.still_at(Instant::now())
    }

    fn still_at(&self, now: Instant) -> Vec<&'static str> {
        let mut watched = lock(&self.watched);
        let still = watched
            .iter_mut()
            .filter_map(|part| part.is_still(now).then_some(part.name));
        still.collect()
    }
}

impl Watched {
    fn is_still(&mut self, now: Instant) -> bool {
        let Pulse::Works(steps) = (self.ask)() else {
            self.last = None;
            return false;
        };
        match self.last {
            Some((before, since)) if before == steps => now.duration_since(since) > STILL_AFTER,
            _ => {
                self.last = Some((steps, now));
                false
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn a_part_at_work_has_to_take_steps_and_one_at_rest_has_not() {
        let health = Health::new();
        let says = Arc::new(Mutex::new(Pulse::Rests));
        let heard = says.clone();
        health.watch("intake", move || *lock(&heard));
        health.watch("delivery", || Pulse::Rests);
        let begun = Instant::now();
        let at = |pulse, seconds| {
            *lock(&says) = pulse;
            health.still_at(begun + Duration::from_secs(seconds))
        };
        assert_eq!(at(Pulse::Rests, 10_000), [""; 0]);
        assert_eq!(at(Pulse::Works(7), 10_100), [""; 0]);
        assert_eq!(at(Pulse::Works(7), 10_280), [""; 0]);
        assert_eq!(at(Pulse::Works(7), 10_281), ["intake"]);
        assert_eq!(at(Pulse::Works(8), 10_282), [""; 0]);
        assert_eq!(at(Pulse::Works(8), 10_463), ["intake"]);
        assert_eq!(at(Pulse::Rests, 10_464), [""; 0]);
        // It is asked seldom: the same steps after a rest count anew.
        assert_eq!(at(Pulse::Works(8), 20_000), [""; 0]);
    }

    #[test]
    fn meters_are_asked_for_when_they_are_needed() {
        let health = Health::new();
        assert_eq!(health.meters(), Meters::default());
        health.count_by(|| Meters {
            calls: 5,
            ..Meters::default()
        });
        assert_eq!(health.meters().calls, 5);
    }
}
