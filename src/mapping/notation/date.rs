//! Dates and times: ISO 8601, `d/m/y` and `m/d/y`, English month names, zones.
//!
//! The order of day and month is the column's to decide (TRAPS.md 19); a date that no calendar has,
//! a spreadsheet's day number and a local time that a zone never had are no dates (20 to 22).

use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{AmbiguousOffset, Offset, TimeZone};

use super::Wrong;
use crate::config::DateOrder;
use crate::preset::spec::DateStyle;
use crate::reject::Code;

/// How a column's dates are read.
#[derive(Clone, Debug)]
pub struct DateRule {
    /// `None`: the column does not say, and doubtful cells are rejected.
    pub style: Option<DateStyle>,
    /// A setting says so, and not the column's cells: then it holds between dots, too.
    pub is_set: bool,
    /// A two-digit year is never later than this day's (a birth), else at most 20 years later.
    pub today: Date,
    pub past: bool,
    /// `0000-00-00` is blank (FORMATS-SHOPS.md, R7).
    pub zeros_are_blank: bool,
    /// Of a local time that came twice the earlier (R7); else it is no time.
    pub earlier: bool,
    /// Whole seconds since 1970 are a time.
    pub unix: bool,
}

/// What one cell says of its column's order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hint {
    Neutral,
    Certain(DateOrder),
    /// Both could be the day.
    Doubtful,
}

/// A cell taken apart, before its order is known.
#[derive(Debug)]
struct Parts {
    day: Day,
    time: Option<Time>,
    offset: Option<Offset>,
}

#[derive(Clone, Copy, Debug)]
enum Day {
    /// Year, month, day.
    Iso(i16, i8, i8),
    /// Two numbers in doubtful order, a year, whether dots stand between, the year's digits.
    Doubtful {
        first: i8,
        second: i8,
        year: i16,
        dots: bool,
        digits: usize,
    },
    /// By the month's name.
    Named {
        year: i16,
        month: i8,
        day: i8,
        digits: usize,
    },
}

/// `YYYY-MM-DD` as JSON text. `None`: the cell says that there is none.
pub fn push_date(out: &mut String, text: &str, rule: &DateRule) -> Result<bool, Wrong> {
    if is_iso_day(text) {
        out.push('"');
        out.push_str(text);
        out.push('"');
        return Ok(true);
    }
    let text = text.trim();
    if rule.unix
        && let Some(seconds) = unix_seconds(text)
    {
        let at = Timestamp::from_second(seconds).map_err(|_| impossible())?;
        push_json(out, Offset::UTC.to_datetime(at).date());
        return Ok(true);
    }
    if rule.zeros_are_blank && is_zero(text) {
        return Ok(false);
    }
    let parts = parse(text)?;
    push_json(out, day_of(parts.day, rule)?);
    Ok(true)
}

/// An instant as JSON text, in UTC: `2026-03-29T00:59:00Z`. A day alone is its midnight.
pub fn push_datetime(
    out: &mut String,
    text: &str,
    rule: &DateRule,
    zone: &TimeZone,
) -> Result<bool, Wrong> {
    let text = text.trim();
    if rule.unix
        && let Some(seconds) = unix_seconds(text)
    {
        let at = Timestamp::from_second(seconds).map_err(|_| impossible())?;
        push_json(out, at);
        return Ok(true);
    }
    if rule.zeros_are_blank && is_zero(text) {
        return Ok(false);
    }
    let parts = parse(text)?;
    let day = day_of(parts.day, rule)?;
    let local = DateTime::from_parts(day, parts.time.unwrap_or(Time::midnight()));
    push_json(out, instant(local, parts.offset, zone, rule.earlier)?);
    Ok(true)
}

/// What a cell says of the order of day and month. Text that is no date says nothing.
pub fn hint(text: &str) -> Hint {
    if is_iso_day(text) {
        return Hint::Neutral;
    }
    match parse(text.trim()) {
        Ok(Parts {
            day:
                Day::Doubtful {
                    first,
                    second,
                    dots: false,
                    ..
                },
            ..
        }) => match (first, second) {
            (a, b) if a == b => Hint::Neutral,
            (13..=31, 1..=12) => Hint::Certain(DateOrder::DayFirst),
            (1..=12, 13..=31) => Hint::Certain(DateOrder::MonthFirst),
            (1..=12, 1..=12) => Hint::Doubtful,
            _ => Hint::Neutral,
        },
        _ => Hint::Neutral,
    }
}

/// Whether a cell is read one way or another by its column's order.
pub fn hangs_on_order(text: &str) -> bool {
    if text.is_empty() || is_iso_day(text) {
        return false;
    }
    let parts = parse(text.trim());
    matches!(parts, Ok(Parts { day: Day::Doubtful { first, second, .. }, .. }) if first != second)
}

/// The day that a text names, for comparing with today. `None`: it says that there is none.
pub fn day(text: &str, rule: &DateRule) -> Result<Option<Date>, Wrong> {
    let text = text.trim();
    if rule.unix
        && let Some(seconds) = unix_seconds(text)
    {
        let at = Timestamp::from_second(seconds).map_err(|_| impossible())?;
        return Ok(Some(Offset::UTC.to_datetime(at).date()));
    }
    if rule.zeros_are_blank && is_zero(text) {
        return Ok(None);
    }
    day_of(parse(text)?.day, rule).map(Some)
}

/// The latest day that a text may name, whichever way round it is: what is old by it is old for certain.
/// `None`: it is no date.
pub fn latest_day(text: &str, today: Date) -> Option<Date> {
    let parts = parse(text.trim()).ok()?;
    let by = |order| {
        let rule = DateRule {
            style: Some(DateStyle::Order(order)),
            is_set: false,
            today,
            past: false,
            zeros_are_blank: false,
            earlier: false,
            unix: false,
        };
        day_of(parts.day, &rule).ok()
    };
    by(DateOrder::DayFirst).max(by(DateOrder::MonthFirst))
}

fn push_json(out: &mut String, value: impl std::fmt::Display) {
    use std::fmt::Write;
    write!(out, "\"{value}\"").expect("a string takes all that is written");
}

/// A real day in the one form that needs no second look.
fn is_iso_day(text: &str) -> bool {
    let &[a, b, c, d, b'-', e, f, b'-', g, h] = text.as_bytes() else {
        return false;
    };
    if ![a, b, c, d, e, f, g, h].iter().all(u8::is_ascii_digit) {
        return false;
    }
    let two = |x: u8, y: u8| (x - b'0') * 10 + (y - b'0');
    let (month, day) = (two(e, f), two(g, h));
    if day == 0 || !(1..=12).contains(&month) || (a == b'0' && b == b'0') {
        return false;
    }
    // Only the days that not every month has are looked up.
    day <= 28 || {
        let year = i16::from(two(a, b)) * 100 + i16::from(two(c, d));
        Date::new(year, month as i8, day as i8).is_ok()
    }
}

fn is_zero(text: &str) -> bool {
    text.starts_with("0000-00-00")
        || text.starts_with("00/00/0000")
        || text.starts_with("00.00.0000")
}

/// Seconds since 1970, perhaps with decimals, which are cut.
fn unix_seconds(text: &str) -> Option<i64> {
    let body = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = body.split_once('.').unwrap_or((body, ""));
    let digits = |t: &str| t.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) || whole.len() > 11 {
        return None;
    }
    // Eight digits are a day without dashes rather than a day in 1970.
    if whole.len() == 8 && parse(text).is_ok() {
        return None;
    }
    let seconds: i64 = whole.parse().ok()?;
    Some(if text.starts_with('-') {
        -seconds
    } else {
        seconds
    })
}

fn date_wrong(reason: &str) -> Wrong {
    Wrong::new(Code::Date, reason)
}

fn not_a_date() -> Wrong {
    date_wrong("not a date; write it as YYYY-MM-DD")
}

fn impossible() -> Wrong {
    date_wrong("a day that no calendar has")
}

fn day_of(day: Day, rule: &DateRule) -> Result<Date, Wrong> {
    let (year, month, day, digits) = match day {
        Day::Iso(year, month, day) => (year, month, day, 4),
        Day::Named {
            year,
            month,
            day,
            digits,
        } => (year, month, day, digits),
        Day::Doubtful {
            first,
            second,
            year,
            dots,
            digits,
        } => {
            let order = match rule.style {
                Some(DateStyle::Iso) => return Err(not_a_date()),
                // No one puts the month first between dots (FORMATS-SHOPS.md, R7), whatever the column's
                // other cells have between slashes.
                _ if dots && !rule.is_set => DateOrder::DayFirst,
                Some(DateStyle::Order(order)) => order,
                None if first == second => DateOrder::DayFirst,
                None => {
                    return Err(date_wrong(
                        "day and month could be either way round, and the column does not say which; \
                         set `dates = \"day-first\"` or `dates = \"month-first\"` for the folder",
                    ));
                }
            };
            match order {
                DateOrder::DayFirst => (year, second, first, digits),
                DateOrder::MonthFirst => (year, first, second, digits),
            }
        }
    };
    if digits == 2 {
        return of_short_year(year, month, day, rule);
    }
    if year < 100 {
        return Err(impossible());
    }
    Date::new(year, month, day).map_err(|_| impossible())
}

/// The latest century in which a birth is not in the future, and anything else not more than 20
/// years ahead.
fn of_short_year(short: i16, month: i8, day: i8, rule: &DateRule) -> Result<Date, Wrong> {
    let latest_year = rule.today.year() + if rule.past { 0 } else { 20 };
    let mut year = latest_year - latest_year.rem_euclid(100) + short;
    if year > latest_year {
        year -= 100;
    }
    let date = Date::new(year, month, day).map_err(|_| impossible())?;
    if rule.past && date > rule.today {
        return Date::new(year - 100, month, day).map_err(|_| impossible());
    }
    Ok(date)
}

fn instant(
    local: DateTime,
    offset: Option<Offset>,
    zone: &TimeZone,
    earlier: bool,
) -> Result<Timestamp, Wrong> {
    let offset = match offset {
        Some(offset) => offset,
        None => match zone.to_ambiguous_timestamp(local).offset() {
            AmbiguousOffset::Unambiguous { offset } => offset,
            AmbiguousOffset::Fold { before, .. } if earlier => before,
            AmbiguousOffset::Fold { .. } => {
                return Err(date_wrong(
                    "a local time that came twice, when the clocks went back; \
                     write it with its offset, such as +01:00",
                ));
            }
            AmbiguousOffset::Gap { .. } => {
                return Err(date_wrong(
                    "a local time that never was, since the clocks went forward then; \
                     write it with its offset, such as +01:00",
                ));
            }
        },
    };
    offset.to_timestamp(local).map_err(|_| impossible())
}

/// Takes a text apart.
fn parse(text: &str) -> Result<Parts, Wrong> {
    let mut scan = Scan { rest: text };
    let day = scan.day().ok_or_else(not_a_date)?;
    let mut parts = Parts {
        day,
        time: None,
        offset: None,
    };
    if scan.rest.is_empty() {
        return Ok(parts);
    }
    let after_t = scan.separator().ok_or_else(not_a_date)?;
    parts.time = Some(scan.time(after_t).ok_or_else(not_a_date)?);
    parts.offset = scan.offset().ok_or_else(not_a_date)?;
    if scan.rest.is_empty() {
        Ok(parts)
    } else {
        Err(not_a_date())
    }
}

struct Scan<'a> {
    rest: &'a str,
}

impl Scan<'_> {
    /// A run of digits: its value and length.
    fn number(&mut self) -> Option<(i32, usize)> {
        let len = self.rest.bytes().take_while(u8::is_ascii_digit).count();
        if len == 0 || len > 9 {
            return None;
        }
        let value = self.rest[..len].parse().ok()?;
        self.rest = &self.rest[len..];
        Some((value, len))
    }

    fn word(&mut self) -> Option<String> {
        let len = self
            .rest
            .bytes()
            .take_while(u8::is_ascii_alphabetic)
            .count();
        let word = self.rest[..len].to_ascii_lowercase();
        self.rest = &self.rest[len..];
        (len > 0).then_some(word)
    }

    fn eat(&mut self, sign: char) -> bool {
        match self.rest.strip_prefix(sign) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn blanks(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn day(&mut self) -> Option<Day> {
        if self.rest.starts_with(|c: char| c.is_ascii_alphabetic()) {
            return self.month_day_year();
        }
        let (first, len) = self.number()?;
        if len == 8 {
            let (year, month, day) = (first / 10_000, first / 100 % 100, first % 100);
            return Some(Day::Iso(year as i16, month as i8, day as i8));
        }
        let sign = self.rest.chars().next()?;
        if len == 4 && matches!(sign, '-' | '/' | '.') {
            self.eat(sign);
            let (month, _) = self.short()?;
            self.eat(sign).then_some(())?;
            let (day, _) = self.short()?;
            return Some(Day::Iso(first as i16, month, day));
        }
        if len > 2 {
            return None;
        }
        let first = first as i8;
        if !matches!(sign, '-' | '/' | '.') || self.names_month_next(sign) {
            return self.day_month_year(first);
        }
        self.eat(sign);
        let (second, _) = self.short()?;
        self.eat(sign).then_some(())?;
        let (year, digits) = self.year()?;
        Some(Day::Doubtful {
            first,
            second,
            year,
            dots: sign == '.',
            digits,
        })
    }

    fn short(&mut self) -> Option<(i8, usize)> {
        let (value, len) = self.number()?;
        (len <= 2).then_some((value as i8, len))
    }

    fn year(&mut self) -> Option<(i16, usize)> {
        let (value, len) = self.number()?;
        matches!(len, 2 | 4).then_some((value as i16, len))
    }

    fn names_month_next(&self, sign: char) -> bool {
        self.rest
            .trim_start_matches([sign, ' '])
            .starts_with(|c: char| c.is_ascii_alphabetic())
    }

    /// `15-Dec-1973`, `15. December 1973`
    fn day_month_year(&mut self, day: i8) -> Option<Day> {
        self.rest = self.rest.trim_start_matches(['-', '/', '.', ' ']);
        let month = month_named(&self.word()?)?;
        self.rest = self.rest.trim_start_matches(['-', '/', '.', ',', ' ']);
        let (year, digits) = self.year()?;
        Some(Day::Named {
            year,
            month,
            day,
            digits,
        })
    }

    /// `Dec 15, 1973`
    fn month_day_year(&mut self) -> Option<Day> {
        let month = month_named(&self.word()?)?;
        self.eat('.');
        self.blanks();
        let (day, _) = self.short()?;
        self.eat(',');
        self.blanks();
        let (year, digits) = self.year()?;
        Some(Day::Named {
            year,
            month,
            day,
            digits,
        })
    }

    /// Between day and time; whether it was a `T`.
    fn separator(&mut self) -> Option<bool> {
        if self.eat('T') || self.eat('t') {
            return Some(true);
        }
        let comma = self.eat(',');
        let before = self.rest.len();
        self.blanks();
        (comma || self.rest.len() < before).then_some(false)
    }

    /// `05:23`, `05:23:14.120`, `5:23 PM`; after a `T` also the hour alone (FORMATS.md, Voucherify).
    fn time(&mut self, after_t: bool) -> Option<Time> {
        let (mut hour, _) = self.short()?;
        let (mut minute, mut second, mut nanos) = (0, 0, 0);
        if self.eat(':') {
            minute = self.short()?.0;
            if self.eat(':') {
                second = self.short()?.0;
                if self.eat('.') || self.eat(',') {
                    let (value, len) = self.number()?;
                    nanos = value * 10i32.pow(9 - len as u32);
                }
            }
        } else if !after_t {
            return None;
        }
        let behind = self.rest.trim_start();
        let lower = behind.get(..2).map(str::to_ascii_lowercase);
        if let Some(half @ ("am" | "pm")) = lower.as_deref() {
            if !(1..=12).contains(&hour) {
                return None;
            }
            hour = hour % 12 + if half == "pm" { 12 } else { 0 };
            self.rest = &behind[2..];
        }
        Time::new(hour, minute, second, nanos).ok()
    }

    /// `Z`, `+01:00`, ` -0500`, ` UTC`, or nothing.
    fn offset(&mut self) -> Option<Option<Offset>> {
        self.blanks();
        if self.rest.is_empty() {
            return Some(None);
        }
        if self.rest.starts_with(|c: char| c.is_ascii_alphabetic()) {
            let word = self.word()?;
            return matches!(word.as_str(), "z" | "utc" | "gmt").then_some(Some(Offset::UTC));
        }
        let sign = if self.eat('+') {
            1
        } else if self.eat('-') || self.eat('\u{2212}') {
            -1
        } else {
            return None;
        };
        let (value, len) = self.number()?;
        let (hours, minutes) = match len {
            1 | 2 if self.eat(':') => (value, i32::from(self.short()?.0)),
            1 | 2 => (value, 0),
            4 => (value / 100, value % 100),
            _ => return None,
        };
        if hours > 18 || minutes > 59 {
            return None;
        }
        Offset::from_seconds(sign * (hours * 3600 + minutes * 60))
            .ok()
            .map(Some)
    }
}

fn month_named(word: &str) -> Option<i8> {
    const MONTHS: [&str; 12] = [
        "january",
        "february",
        "march",
        "april",
        "may",
        "june",
        "july",
        "august",
        "september",
        "october",
        "november",
        "december",
    ];
    if word.len() < 3 {
        return None;
    }
    let at = MONTHS
        .iter()
        .position(|month| month.starts_with(word) && (word.len() <= 4 || *month == word))?;
    Some(at as i8 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rule(style: Option<DateStyle>) -> DateRule {
        DateRule {
            style,
            today: jiff::civil::date(2026, 11, 25),
            past: true,
            is_set: style.is_some(),
            zeros_are_blank: false,
            earlier: false,
            unix: false,
        }
    }

    const DAY_FIRST: Option<DateStyle> = Some(DateStyle::Order(DateOrder::DayFirst));
    const MONTH_FIRST: Option<DateStyle> = Some(DateStyle::Order(DateOrder::MonthFirst));

    #[track_caller]
    fn check(text: &str, style: Option<DateStyle>, expected: Option<&str>) {
        let mut out = String::new();
        let got = push_date(&mut out, text, &rule(style))
            .ok()
            .map(|_| out.trim_matches('"'));
        assert_eq!(got, expected, "{text}");
    }

    #[test]
    fn days_in_all_their_notations() {
        check("1992-02-29", None, Some("1992-02-29"));
        check("1984-07-09T00:00:00Z", None, Some("1984-07-09"));
        check("1977-05-25T00:00:00.000Z", None, Some("1977-05-25"));
        check("19840709", None, Some("1984-07-09"));
        check("1984/7/9", None, Some("1984-07-09"));
        check("29.02.1980", None, Some("1980-02-29"));
        check("3.4.59", None, Some("1959-04-03"));
        check("1.2.22", None, Some("2022-02-01"));
        check("31/12/1992", DAY_FIRST, Some("1992-12-31"));
        check("12/31/1992", MONTH_FIRST, Some("1992-12-31"));
        check("02/01/2004", DAY_FIRST, Some("2004-01-02"));
        check("5/5/2005", None, Some("2005-05-05"));
        check("Dec 15, 1973", None, Some("1973-12-15"));
        check("15-Dec-1973", None, Some("1973-12-15"));
        check("15. December 1973", None, Some("1973-12-15"));
        check("7/25/2018 21:06", MONTH_FIRST, Some("2018-07-25"));
    }

    #[test]
    fn what_is_no_day_is_refused() {
        for text in [
            "1990-02-31",
            "1991-02-29",
            "0000-00-00",
            "33239",
            "25569",
            "2026-13-01",
            "13/13/2000",
            "soon",
            "1990",
            "1990-01",
            "30/02/1999",
            "1990-01-01 later",
            "02/01/2004",
            "",
            "1/2/3",
            "0001-01-01x",
            "99/99/9999",
        ] {
            check(text, None, None);
        }
        check("31/12/1992", MONTH_FIRST, None);
        check("12.31.1999", None, None);
        check("01/02/2003", Some(DateStyle::Iso), None);
    }

    #[track_caller]
    fn check_time(text: &str, zone: &str, expected: Option<&str>) {
        let mut out = String::new();
        let zone = zone::named(zone).unwrap();
        let got = push_datetime(&mut out, text, &rule(None), &zone)
            .ok()
            .map(|_| out.trim_matches('"'));
        assert_eq!(got, expected, "{text}");
    }
    use crate::mapping::notation::zone;

    #[test]
    fn times_become_instants() {
        check_time(
            "2026-03-29 01:59:00",
            "Europe/Paris",
            Some("2026-03-29T00:59:00Z"),
        );
        check_time(
            "2026-03-29T02:30:00+01:00",
            "Europe/Paris",
            Some("2026-03-29T01:30:00Z"),
        );
        check_time(
            "2025-12-06 10:37:33 -0500",
            "UTC",
            Some("2025-12-06T15:37:33Z"),
        );
        check_time(
            "2021-05-12 08:00:00 UTC",
            "Europe/Paris",
            Some("2021-05-12T08:00:00Z"),
        );
        check_time("2022-05-18T10", "UTC", Some("2022-05-18T10:00:00Z"));
        check_time(
            "2022-05-18T10:00:00.120Z",
            "UTC",
            Some("2022-05-18T10:00:00.12Z"),
        );
        check_time(
            "Sep 21, 2026 05:23:14 PM",
            "UTC",
            Some("2026-09-21T17:23:14Z"),
        );
        check_time(
            "Sep 9, 2026 12:05:00 AM",
            "UTC",
            Some("2026-09-09T00:05:00Z"),
        );
        check_time("2022-05-18", "Europe/Paris", Some("2022-05-17T22:00:00Z"));
        check_time(
            "2018-07-18 12:59:30",
            "Eastern Time (US & Canada)",
            Some("2018-07-18T16:59:30Z"),
        );
    }

    #[test]
    fn local_times_that_never_were_or_came_twice_are_refused() {
        check_time("2026-03-29 02:30:00", "Europe/Paris", None);
        check_time("2026-10-25 02:30:00", "Europe/Paris", None);
        check_time(
            "2026-10-25 02:30:00 +02:00",
            "Europe/Paris",
            Some("2026-10-25T00:30:00Z"),
        );
        check_time("2026-10-25 25:30:00", "Europe/Paris", None);
        check_time("2026-10-25 10", "Europe/Paris", None);
    }

    #[test]
    fn a_preset_takes_the_earlier_of_two_and_seconds() {
        let lenient = DateRule {
            earlier: true,
            unix: true,
            zeros_are_blank: true,
            ..rule(None)
        };
        let zone = zone::named("Europe/Paris").unwrap();
        let mut out = String::new();
        push_datetime(&mut out, "2026-10-25 02:30:00", &lenient, &zone).unwrap();
        push_date(&mut out, "513648000", &lenient).unwrap();
        push_date(&mut out, "-86400", &lenient).unwrap();
        assert_eq!(push_date(&mut out, "0000-00-00", &lenient), Ok(false));
        assert_eq!(out, r#""2026-10-25T00:30:00Z""1986-04-12""1969-12-31""#);
    }

    proptest! {
        #[test]
        fn any_day_in_any_order_comes_back(year in 1000i16..9999, month in 1i8..=12, day in 1i8..=28) {
            let iso = format!("{year}-{month:02}-{day:02}");
            for (text, style) in [
                (format!("{day}/{month}/{year}"), DAY_FIRST),
                (format!("{month}/{day}/{year}"), MONTH_FIRST),
                (format!("{day:02}.{month:02}.{year}"), None),
                (iso.clone(), None),
            ] {
                let mut out = String::new();
                push_date(&mut out, &text, &rule(style)).unwrap();
                prop_assert_eq!(out.trim_matches('"'), iso.as_str());
            }
        }

        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,20}") {
            let lenient = DateRule { unix: true, ..rule(None) };
            let _ = push_datetime(&mut String::new(), &text, &lenient, &TimeZone::UTC);
            let _ = push_date(&mut String::new(), &text, &lenient);
            let _ = hint(&text);
        }
    }
}
