//! Numbers, sizes, times and lists as people read them, the same on a terminal, on the page and in alerts.

use jiff::tz::TimeZone;
use jiff::{Timestamp, ZonedDateTime};

const SECOND: i64 = 1000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
pub const DAY: i64 = 24 * HOUR;

/// `1,234,567`.
pub fn number(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `1 change`, `312 changes`.
pub fn count(n: u64, one: &str, many: &str) -> String {
    format!("{} {}", number(n), if n == 1 { one } else { many })
}

/// `640 MB`: powers of ten, as disks are sold and `min_free` is written.
pub fn bytes(n: u64) -> String {
    const UNITS: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];
    let mut value = n as f64;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    match unit {
        0 => format!("{n} B"),
        _ if value < 9.95 => format!("{value:.1} {}", UNITS[unit]),
        _ => format!("{value:.0} {}", UNITS[unit]),
    }
}

/// A length of time in its one or two largest units: `40 s`, `3 min`, `2 h 5 min`, `3 days`.
pub fn span(ms: i64) -> String {
    let ms = ms.max(0);
    match ms {
        _ if ms < MINUTE => format!("{} s", ms / SECOND),
        _ if ms < HOUR => format!("{} min", ms / MINUTE),
        _ if ms < 10 * HOUR && ms % HOUR >= MINUTE => {
            format!("{} h {} min", ms / HOUR, ms % HOUR / MINUTE)
        }
        _ if ms < 2 * DAY => format!("{} h", ms / HOUR),
        _ => count((ms / DAY) as u64, "day", "days"),
    }
}

/// `just now`, `3 min ago`.
pub fn ago(then: i64, now: i64) -> String {
    if now - then < 5 * SECOND {
        "just now".to_owned()
    } else {
        format!("{} ago", span(now - then))
    }
}

pub fn zoned(ms: i64, tz: &TimeZone) -> ZonedDateTime {
    let timestamp = Timestamp::from_millisecond(ms).unwrap_or(Timestamp::UNIX_EPOCH);
    timestamp.to_zoned_datetime(tz.clone())
}

/// As short as it is clear beside `now`, with its zone: `14:02 CET`, `yesterday 14:02 CET`,
/// `Mon 14:02 CET`, `3 Nov 14:02 CET`, `3 Nov 2025`. An alert is read far from the host that sent it.
pub fn moment(ms: i64, now: i64, tz: &TimeZone) -> String {
    let text = tick(ms, now, tz);
    // A day has none.
    match text.contains(':') {
        true => format!("{text} {}", zone(&zoned(ms, tz))),
        false => text,
    }
}

/// The zone that a clock there shows: `CET`, or `UTC-03` where it has no name.
fn zone(at: &ZonedDateTime) -> String {
    let name = at.strftime("%Z").to_string();
    match name.starts_with(['+', '-']) {
        true => format!("UTC{name}"),
        false => name,
    }
}

/// `moment` without the zone, for the scale of a picture.
pub fn tick(ms: i64, now: i64, tz: &TimeZone) -> String {
    let (then, today) = (zoned(ms, tz), zoned(now, tz));
    let days = today
        .date()
        .since((jiff::Unit::Day, then.date()))
        .map_or(i64::MAX, |span| i64::from(span.get_days()));
    let format = match days {
        0 => "%H:%M",
        1 => "yesterday %H:%M",
        -1 => "tomorrow %H:%M",
        -6..=6 => "%a %H:%M",
        _ if then.year() == today.year() => "%-d %b %H:%M",
        _ => "%-d %b %Y",
    };
    then.strftime(format).to_string()
}

/// Whole, with its zone: `2026-11-25 14:02:03 CET`.
pub fn full(ms: i64, tz: &TimeZone) -> String {
    let at = zoned(ms, tz);
    format!("{} {}", at.strftime("%Y-%m-%d %H:%M:%S"), zone(&at))
}

/// A day and its clock, at the head of a page: `Wed 25 Nov, 14:02 CET`.
pub fn head(ms: i64, tz: &TimeZone) -> String {
    let at = zoned(ms, tz);
    format!("{}, {}", at.strftime("%a %-d %b"), moment(ms, ms, tz))
}

/// ISO 8601 in UTC, for machines: always as long, so that texts sort as times do.
pub fn iso(ms: i64) -> String {
    Timestamp::from_millisecond(ms)
        .unwrap_or(Timestamp::UNIX_EPOCH)
        .strftime("%Y-%m-%dT%H:%M:%S%.3fZ")
        .to_string()
}

/// `a`, `a and b`, `a, b and c`; of more than `most` the rest is counted: `a, b and 7 more`.
pub fn list(names: &[String], most: usize, total: u64) -> String {
    let mut parts: Vec<String> = names.iter().take(most).cloned().collect();
    let left = total.saturating_sub(parts.len() as u64);
    if left > 0 {
        parts.push(format!("{} more", number(left)));
    }
    match parts.split_last() {
        None => String::new(),
        Some((only, [])) => only.clone(),
        Some((last, first)) => format!("{} and {last}", first.join(", ")),
    }
}

/// What came from outside (a file's name, a remote's message), so that a terminal or a log shows it
/// on one line and obeys none of it.
pub fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        // Bidirectional overrides can make a name read as another one.
        let turns = matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}');
        if c.is_control() || turns || c == '\u{2028}' || c == '\u{2029}' {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_sizes_read_well() {
        assert_eq!(number(0), "0");
        assert_eq!(number(999), "999");
        assert_eq!(number(1000), "1,000");
        assert_eq!(number(1234567), "1,234,567");
        assert_eq!(count(1, "change", "changes"), "1 change");
        assert_eq!(bytes(999), "999 B");
        assert_eq!(bytes(1000), "1.0 kB");
        assert_eq!(bytes(200_000_000), "200 MB");
        assert_eq!(bytes(999_999_999), "1.0 GB");
        assert_eq!(bytes(u64::MAX), "18446744 TB");
    }

    #[test]
    fn spans_say_no_more_than_needed() {
        for (ms, words) in [
            (-5, "0 s"),
            (59_999, "59 s"),
            (60_000, "1 min"),
            (HOUR, "1 h"),
            (HOUR + 5 * MINUTE, "1 h 5 min"),
            (30 * HOUR, "30 h"),
            (2 * DAY, "2 days"),
            (40 * DAY, "40 days"),
        ] {
            assert_eq!(span(ms), words);
        }
    }

    #[test]
    fn a_moment_is_named_as_near_as_it_is() {
        let tz = TimeZone::get("Europe/Paris").unwrap();
        let now = "2026-11-25T14:00:00Z"
            .parse::<Timestamp>()
            .unwrap()
            .as_millisecond();
        assert_eq!(moment(now, now, &tz), "15:00 CET");
        assert_eq!(moment(now - DAY, now, &tz), "yesterday 15:00 CET");
        assert_eq!(moment(now + DAY, now, &tz), "tomorrow 15:00 CET");
        assert_eq!(moment(now - 3 * DAY, now, &tz), "Sun 15:00 CET");
        assert_eq!(moment(now - 30 * DAY, now, &tz), "26 Oct 15:00 CET");
        assert_eq!(moment(now - 400 * DAY, now, &tz), "21 Oct 2025");
        assert_eq!(full(now, &tz), "2026-11-25 15:00:00 CET");
        assert_eq!(head(now, &tz), "Wed 25 Nov, 15:00 CET");
        let nameless = TimeZone::get("America/Sao_Paulo").unwrap();
        assert_eq!(moment(now, now, &nameless), "11:00 UTC-03");
        assert_eq!(full(now, &nameless), "2026-11-25 11:00:00 UTC-03");
        // As it was on that day.
        assert_eq!(moment(now - 60 * DAY, now, &tz), "26 Sep 16:00 CEST");
        assert_eq!(iso(now), "2026-11-25T14:00:00.000Z");
    }

    #[test]
    fn what_comes_from_outside_moves_no_cursor() {
        assert_eq!(
            plain("a\x1b[31mb\nc\u{202e}"),
            "a\\u{1b}[31mb\\u{a}c\\u{202e}"
        );
        assert_eq!(plain("Ünï.csv"), "Ünï.csv");
    }

    #[test]
    fn lists_end_with_and() {
        let names: Vec<String> = ["a", "b", "c"].map(String::from).to_vec();
        assert_eq!(list(&names[..1], 3, 1), "a");
        assert_eq!(list(&names, 3, 3), "a, b and c");
        assert_eq!(list(&names, 2, 9), "a, b and 7 more");
        assert_eq!(list(&[], 2, 0), "");
    }
}
