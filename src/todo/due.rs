//! When a folder's next file is due, and since when it is overdue (INTERFACE.md, `expect`).
//!
//! Pure: the moment and the zone are arguments. Times are UTC milliseconds.

use std::time::Duration;

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

use crate::config::Expect;

/// A file that came so long before its time counts for it, even the evening before: exports run at
/// night. A longer reach would take yesterday's late file for today's.
const EARLY: Duration = Duration::from_secs(12 * 3600);

/// What is known of a folder's files.
#[derive(Clone, Copy, Debug)]
pub struct Came {
    /// When the last file with a row came; `None`: none has.
    pub last: Option<i64>,
    /// When the folder was first looked at: nothing is overdue from before that.
    pub known_since: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// When the next file is due, or the one that is overdue was.
    pub at: i64,
    pub overdue: bool,
}

/// `None`: on no day at all.
pub fn due(expect: &Expect, came: Came, now: i64, tz: &TimeZone) -> Option<Due> {
    match expect {
        Expect::Every(longest) => {
            let from = came.last.unwrap_or(came.known_since);
            let longest = i64::try_from(longest.as_millis()).unwrap_or(i64::MAX);
            let at = from.saturating_add(longest);
            Some(Due {
                at,
                overdue: now > at,
            })
        }
        Expect::By { days, hour, minute } => by(days, (*hour, *minute), came, now, tz),
    }
}

fn by(
    days: &[bool; 7],
    (hour, minute): (i8, i8),
    came: Came,
    now: i64,
    tz: &TimeZone,
) -> Option<Due> {
    let today = Timestamp::from_millisecond(now)
        .ok()?
        .to_zoned_datetime(tz.clone())
        .date();
    let deadline = |date: Date| -> Option<i64> {
        let named = days[usize::from(date.weekday().to_monday_zero_offset() as u8)];
        named.then(|| instant(date.at(hour, minute, 0, 0), tz))?
    };
    // Eight days each way hold every weekday once before and once after this moment.
    let past = (0..=8).filter_map(|n| deadline(today.checked_sub(n.days()).ok()?));
    if let Some(last) = past.filter(|at| *at <= now).max() {
        let from = counts_from(last, tz)?;
        let met = came.last.is_some_and(|came| came >= from);
        if !met && came.known_since < last {
            return Some(Due {
                at: last,
                overdue: true,
            });
        }
    }
    // What came already for the next one needs no other.
    let future = (0..=15).filter_map(|n| deadline(today.checked_add(n.days()).ok()?));
    let mut future = future.filter(|at| *at > now);
    let next = future.next()?;
    let met = came
        .last
        .is_some_and(|came| counts_from(next, tz).is_some_and(|from| came >= from));
    Some(Due {
        at: if met { future.next()? } else { next },
        overdue: false,
    })
}

/// From when on a file counts for a deadline: the local day's begin, or `EARLY` before it.
fn counts_from(deadline: i64, tz: &TimeZone) -> Option<i64> {
    let local = Timestamp::from_millisecond(deadline)
        .ok()?
        .to_zoned_datetime(tz.clone());
    let midnight = instant(local.date().at(0, 0, 0, 0), tz)?;
    Some(midnight.min(deadline - EARLY.as_millis() as i64))
}

/// A local time that a clock change skips is the same distance after it; one that comes twice, the first.
fn instant(at: DateTime, tz: &TimeZone) -> Option<i64> {
    let zoned = at.to_zoned_datetime(tz.clone()).ok()?;
    Some(zoned.timestamp().as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().as_millisecond()
    }

    fn weekdays(text: &str) -> [bool; 7] {
        std::array::from_fn(|i| text.as_bytes()[i] == b'x')
    }

    /// In Paris; `last` empty: none came; the folder has been known for a year.
    #[track_caller]
    fn check(expect: &Expect, last: &str, now: &str, expected: (&str, bool)) {
        let came = Came {
            last: (!last.is_empty()).then(|| ms(last)),
            known_since: ms(now) - 365 * 24 * 3_600_000,
        };
        let tz = TimeZone::get("Europe/Paris").unwrap();
        let found = due(expect, came, ms(now), &tz).unwrap();
        let at = Timestamp::from_millisecond(found.at).unwrap().to_string();
        assert_eq!((at.as_str(), found.overdue), expected);
    }

    #[test]
    fn at_least_every_so_often() {
        let expect = Expect::Every(Duration::from_secs(26 * 3600));
        let last = "2026-11-24T02:00:00Z";
        check(
            &expect,
            last,
            "2026-11-25T03:59:00Z",
            ("2026-11-25T04:00:00Z", false),
        );
        check(
            &expect,
            last,
            "2026-11-25T04:01:00Z",
            ("2026-11-25T04:00:00Z", true),
        );
    }

    #[test]
    fn by_a_time_on_some_days() {
        let expect = Expect::By {
            days: weekdays("xxxxxx."),
            hour: 6,
            minute: 30,
        };
        // Wednesday, 06:30 in Paris is 05:30 UTC.
        check(
            &expect,
            "2026-11-24T05:00:00Z",
            "2026-11-25T05:29:00Z",
            ("2026-11-25T05:30:00Z", false),
        );
        check(
            &expect,
            "2026-11-24T05:00:00Z",
            "2026-11-25T05:31:00Z",
            ("2026-11-25T05:30:00Z", true),
        );
        // It comes late: over.
        check(
            &expect,
            "2026-11-25T08:00:00Z",
            "2026-11-25T08:01:00Z",
            ("2026-11-26T05:30:00Z", false),
        );
        // Yesterday's late file is not today's.
        check(
            &expect,
            "2026-11-24T08:00:00Z",
            "2026-11-25T05:31:00Z",
            ("2026-11-25T05:30:00Z", true),
        );
        // The evening before is.
        check(
            &expect,
            "2026-11-24T21:00:00Z",
            "2026-11-25T05:31:00Z",
            ("2026-11-26T05:30:00Z", false),
        );
        check(
            &expect,
            "2026-11-24T21:00:00Z",
            "2026-11-25T05:00:00Z",
            ("2026-11-26T05:30:00Z", false),
        );
        // Nothing on a Sunday; Saturday's is met.
        check(
            &expect,
            "2026-11-28T05:00:00Z",
            "2026-11-29T12:00:00Z",
            ("2026-11-30T05:30:00Z", false),
        );
        // Nothing ever.
        check(
            &expect,
            "",
            "2026-11-29T12:00:00Z",
            ("2026-11-28T05:30:00Z", true),
        );
    }

    #[test]
    fn an_evening_deadline_counts_the_whole_day() {
        let expect = Expect::By {
            days: weekdays("xxxxxxx"),
            hour: 20,
            minute: 0,
        };
        check(
            &expect,
            "2026-11-25T05:00:00Z",
            "2026-11-25T19:30:00Z",
            ("2026-11-26T19:00:00Z", false),
        );
        check(
            &expect,
            "2026-11-24T20:00:00Z",
            "2026-11-25T19:30:00Z",
            ("2026-11-25T19:00:00Z", true),
        );
    }

    #[test]
    fn local_time_follows_the_clock_change() {
        let expect = Expect::By {
            days: weekdays("xxxxxxx"),
            hour: 2,
            minute: 30,
        };
        // 29 March 2026: 02:30 does not exist in Paris; it is 03:30 summer time, 01:30 UTC.
        check(
            &expect,
            "2026-03-28T01:00:00Z",
            "2026-03-29T01:29:00Z",
            ("2026-03-29T01:30:00Z", false),
        );
        check(
            &expect,
            "2026-03-28T01:00:00Z",
            "2026-03-29T01:31:00Z",
            ("2026-03-29T01:30:00Z", true),
        );
        // 25 October 2026: 02:30 comes twice; the first, 00:30 UTC.
        check(
            &expect,
            "2026-10-24T00:00:00Z",
            "2026-10-25T00:31:00Z",
            ("2026-10-25T00:30:00Z", true),
        );
    }

    #[test]
    fn a_new_folder_owes_nothing_from_before() {
        let expect = Expect::By {
            days: weekdays("xxxxxxx"),
            hour: 6,
            minute: 30,
        };
        let now = ms("2026-11-25T12:00:00Z");
        let came = Came {
            last: None,
            known_since: now - 60_000,
        };
        let tz = TimeZone::UTC;
        let found = due(&expect, came, now, &tz).unwrap();
        assert_eq!(found.at, ms("2026-11-26T06:30:00Z"));
        assert!(!found.overdue);
        let never = Expect::By {
            days: [false; 7],
            hour: 6,
            minute: 30,
        };
        assert_eq!(due(&never, came, now, &tz), None);
    }
}
