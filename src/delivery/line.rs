//! Whether the remote's line of jobs is worked off: what a deletion waits for that stands behind a body
//! whose outcome nobody knows. That body, worked off after it, would make the record anew.
//!
//! The list of jobs says it: a body that came at all stands there. Other clients' jobs stand there, too,
//! and are waited for with the rest.

use super::{Cargo, Loop};
use crate::store::Result;
use crate::store::flight;
use crate::verdict::{LinkNews, of_probe};
use crate::wire::{Answer, Call, Endpoint, ListedJob};

/// Jobs that one answer lists at most.
const JOBS_MAX: usize = 100;

/// The first wait between two questions; then it doubles.
const WAIT_MS: i64 = 5_000;
const WAIT_MS_MAX: i64 = 300_000;

/// How far our clock and the remote's may be apart where the list does not reach back for ever.
const CLOCKS_MS: i64 = 600_000;

#[derive(Default)]
pub(super) struct Line {
    in_air: bool,
    /// Not before then.
    next: i64,
    asked: u32,
}

impl Line {
    /// When to ask next; `None`: that is in the air. A clock that was set back freezes nothing.
    pub fn due(&self, now: i64) -> Option<i64> {
        (!self.in_air).then_some(self.next.min(now + WAIT_MS_MAX))
    }
}

/// From when on the list shows that all was worked off; `None`: it does not show it.
fn worked_off_since(jobs: &[ListedJob]) -> Option<i64> {
    if jobs.iter().any(|job| job.open) {
        return None;
    }
    if jobs.len() < JOBS_MAX {
        return Some(i64::MIN);
    }
    // The newest come first, or it is not known what is left out.
    let (newest, oldest) = (jobs.first()?.made?, jobs.last()?.made?);
    (newest >= oldest).then_some(oldest.saturating_add(CLOCKS_MS))
}

impl Loop {
    pub(super) fn ask_line(&mut self, now: i64) -> Result<bool> {
        let request = self.note(None, Endpoint::Jobs, now)?;
        self.line.in_air = true;
        let call = Call::new(Endpoint::Jobs, &[], None).query(&format!("limit={JOBS_MAX}"));
        self.fly(call, (request, now), Cargo::Line);
        Ok(true)
    }

    pub(super) fn line_told(&mut self, (request, left): (i64, i64), answer: &Answer) -> Result<()> {
        let response = match answer {
            Answer::Got(response) => Some(response),
            Answer::None(_) | Answer::NoCredentials(_) => None,
        };
        let jobs = response.and_then(|response| response.jobs());
        let missing = response.is_some_and(|r| r.status == 404 && r.fault().is_some());
        let link = match jobs.is_some() || missing {
            true => LinkNews::Fine,
            false => of_probe(answer, self.now()),
        };
        let since = jobs.as_deref().and_then(worked_off_since);
        let word = match (&jobs, since) {
            (Some(_), Some(_)) => "ended",
            (Some(_), None) => "open",
            (None, _) => "unknown",
        };
        let after = self.after(request, left, answer, word, &link, None);
        let now = after.now;
        let wait_ms = (WAIT_MS << self.line.asked.min(16)).min(WAIT_MS_MAX);
        self.line = Line {
            in_air: false,
            next: now + wait_ms,
            asked: since.map_or(self.line.asked + 1, |_| 0),
        };
        self.store.write(move |c| {
            after.store(c)?;
            match since {
                Some(since) => flight::line_worked_off(c, left, since),
                None => Ok(()),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(jobs: &[(bool, i64)], expected: Option<i64>) {
        let jobs: Vec<ListedJob> = (jobs.iter())
            .map(|&(open, made)| ListedJob {
                open,
                made: Some(made),
            })
            .collect();
        assert_eq!(worked_off_since(&jobs), expected);
    }

    #[test]
    fn a_list_shows_as_much_as_it_reaches_back() {
        check(&[], Some(i64::MIN));
        check(&[(false, 9), (true, 8)], None);
        check(&[(false, 9), (false, 8)], Some(i64::MIN));
        let mut full: Vec<_> = (0..100).map(|n| (false, 1_000_000 - n)).collect();
        check(&full, Some(1_000_000 - 99 + CLOCKS_MS));
        full.reverse();
        check(&full, None);
    }
}
