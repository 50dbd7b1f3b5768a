//! The way to the remote: up, away, refused or exhausted, and when it is tried again.
//!
//! A state machine without a clock. Limits (429) stand in `budget`; anything but up stops sending,
//! never intake.

use crate::budget::Wait;
use crate::verdict::LinkNews;

/// The longest wait between two probes (INTERFACE, promise 6).
pub const PROBE_MS_MAX: i64 = 300_000;

/// The first step of the growing waits.
const FIRST_MS: i64 = 1_000;

/// Doublings until the longest wait is reached.
const STEPS_MAX: u32 = 9;

/// The wait of an exhausted plan that names no time; then it is probed like any other.
const EXHAUSTED_MS: i64 = PROBE_MS_MAX;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    #[default]
    Up,
    Away,
    Refused,
    Exhausted,
}

impl State {
    pub fn name(self) -> &'static str {
        match self {
            State::Up => "up",
            State::Away => "away",
            State::Refused => "refused",
            State::Exhausted => "exhausted",
        }
    }
}

/// Kept in the store.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Link {
    state: State,
    since: i64,
    /// The next probe, if it is not up.
    wait: Option<Wait>,
    /// Failures in a row; only a call that carried something ends the row, not a probe.
    strikes: u32,
    /// In our own words; nothing of an answer.
    reason: Option<String>,
    /// A 429 named the wait: nothing shortens it.
    #[serde(default)]
    limited: bool,
}

impl Link {
    pub fn state(&self) -> State {
        self.state
    }

    /// Since when it is in this state.
    pub fn since(&self) -> i64 {
        self.since
    }

    pub fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }

    pub fn strikes(&self) -> u32 {
        self.strikes
    }

    /// When to probe; `None`: it is up.
    pub fn next_probe(&self) -> Option<i64> {
        match self.state {
            State::Up => None,
            _ => Some(self.wait.map_or(0, Wait::until)),
        }
    }

    /// As it is believed after a start: a wait that began in the future begins anew.
    pub fn clamped(mut self, now: i64) -> Link {
        self.wait = self.wait.map(|wait| wait.clamped(now));
        self.since = match self.since {
            // Nothing was kept: it counts from the first start.
            0 => now,
            since => since.min(now),
        };
        self
    }

    /// The wall clock was set while the process ran.
    pub fn shift(&mut self, ms: i64) {
        self.since = self.since.saturating_add(ms);
        if let Some(wait) = &mut self.wait {
            wait.from = wait.from.saturating_add(ms);
        }
    }

    /// A probe is due at once: the network changed, `sync` was begun, credentials were mended. Not
    /// before the time that a 429 named.
    pub fn probe_now(&mut self, now: i64) {
        if self.state != State::Up && !self.limited {
            self.wait = Some(Wait { from: now, ms: 0 });
        }
    }

    /// What a call told. `carried`: it was more than a probe. `random` in [0, 1).
    pub fn learn(&mut self, news: &LinkNews, carried: bool, random: f64, now: i64) {
        match news {
            LinkNews::Fine => {
                if carried {
                    self.strikes = 0;
                }
                self.turn(State::Up, None, now);
                self.wait = None;
            }
            // The remote is there, and answers.
            LinkNews::Limited { .. } => {
                self.turn(State::Up, None, now);
                self.wait = None;
            }
            LinkNews::Away { reason } => self.fail(State::Away, reason, None, random, now),
            LinkNews::Refused { reason } => self.fail(State::Refused, reason, None, random, now),
            LinkNews::Exhausted {
                reason,
                wait_ms,
                limited,
            } => {
                let ms = Some(wait_ms.unwrap_or(EXHAUSTED_MS).max(FIRST_MS));
                self.fail(State::Exhausted, reason, ms, random, now);
                self.limited = *limited;
            }
        }
    }

    fn fail(&mut self, state: State, reason: &str, ms: Option<i64>, random: f64, now: i64) {
        let ms = ms.unwrap_or_else(|| backoff_ms(self.strikes, random));
        self.strikes = self.strikes.saturating_add(1);
        self.turn(state, Some(reason), now);
        self.wait = Some(Wait { from: now, ms });
    }

    fn turn(&mut self, state: State, reason: Option<&str>, now: i64) {
        if self.state != state {
            self.state = state;
            self.since = now;
        }
        self.reason = reason.map(str::to_owned);
        self.limited = false;
    }
}

/// Full jitter: anything up to a bound that doubles from one second to five minutes. `tries` before
/// this one; `random` in [0, 1).
pub fn backoff_ms(tries: u32, random: f64) -> i64 {
    let bound = (FIRST_MS << tries.min(STEPS_MAX)).min(PROBE_MS_MAX);
    // Never nothing: a loop that fails at once must not spin.
    ((bound as f64 * random) as i64).clamp(bound / 10, bound)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn away() -> LinkNews {
        LinkNews::Away {
            reason: "no answer".into(),
        }
    }

    #[test]
    fn waits_grow_to_five_minutes_and_no_further() {
        let mut link = Link::default();
        let mut now = 0;
        for expected in [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300] {
            link.learn(&away(), false, 0.999_999, now);
            let wait = link.next_probe().unwrap() - now;
            assert!((wait - expected * 1000).abs() <= 1, "{wait}");
            now += wait;
        }
        assert_eq!((link.state(), link.since()), (State::Away, 0));
    }

    #[test]
    fn a_probe_that_goes_well_does_not_forget_that_calls_fail() {
        let mut link = Link::default();
        link.learn(&away(), true, 0.5, 0);
        link.learn(&LinkNews::Fine, false, 0.5, 10);
        assert_eq!((link.state(), link.strikes()), (State::Up, 1));
        link.learn(&LinkNews::Fine, true, 0.5, 20);
        assert_eq!(link.strikes(), 0);
    }

    #[test]
    fn a_clock_that_was_set_back_does_not_freeze_it() {
        let mut link = Link::default();
        let then = 1_000_000_000_000;
        link.learn(&away(), true, 0.9, then);
        let link = link.clamped(then - 14 * 86_400_000);
        assert!(link.next_probe().unwrap() <= then - 14 * 86_400_000 + 1_000);
    }

    #[test]
    fn an_exhausted_plan_waits_as_long_as_it_says() {
        let mut link = Link::default();
        let news = |limited| LinkNews::Exhausted {
            reason: "plan".into(),
            wait_ms: Some(86_400_000),
            limited,
        };
        link.learn(&news(true), true, 0.5, 0);
        assert_eq!(link.next_probe(), Some(86_400_000));
        link.probe_now(10);
        assert_eq!(link.next_probe(), Some(86_400_000));
        // Only a 429 forbids.
        link.learn(&news(false), true, 0.5, 0);
        assert_eq!(link.next_probe(), Some(86_400_000));
        link.probe_now(10);
        assert_eq!(link.next_probe(), Some(10));
    }
}
