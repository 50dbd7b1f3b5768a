//! The small notations of settings: `10s`, `200MB`, `5%`, `Mon-Sat 06:30`.
//!
//! Each function says `None` for what is none; what to write instead is said by whoever asks.

use std::time::Duration;

use super::Expect;

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// Longer waits are typing errors, and would overflow times that are computed from them.
const DURATION_MAX: Duration = Duration::from_secs(100 * 366 * 86_400);

/// `10s`, `5m`, `26h`, `7d`, `2w`, `500ms`, and several of them in a row: `1h30m`.
pub fn duration(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    let mut total = Duration::ZERO;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let amount: u64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let letters = rest
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(rest.len());
        let ms: u64 = match &rest[..letters] {
            "ms" => 1,
            "s" => 1_000,
            "m" | "min" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "w" => 7 * 86_400_000,
            _ => return None,
        };
        rest = rest[letters..].trim_start();
        total = total.checked_add(Duration::from_millis(amount.checked_mul(ms)?))?;
    }
    (total <= DURATION_MAX).then_some(total)
}

/// The shortest way to write it: `10s`, `90m`, `7d`.
pub fn duration_text(duration: Duration) -> String {
    let ms = duration.as_millis();
    for (unit_ms, unit) in [
        (86_400_000, "d"),
        (3_600_000, "h"),
        (60_000, "m"),
        (1_000, "s"),
    ] {
        if ms >= unit_ms && ms.is_multiple_of(unit_ms) {
            return format!("{}{unit}", ms / unit_ms);
        }
    }
    if ms == 0 {
        return "0s".to_owned();
    }
    format!("{ms}ms")
}

/// Bytes: `200MB`, `1GB`, `512KiB`, `100B`; kB, MB and GB are powers of 1000.
pub fn size(text: &str) -> Option<u64> {
    let text = text.trim();
    if text == "0" {
        return Some(0);
    }
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let amount: u64 = text[..digits].parse().ok()?;
    let unit: u64 = match text[digits..].trim_start().to_ascii_lowercase().as_str() {
        "b" => 1,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        "tib" => 1 << 40,
        _ => return None,
    };
    // The store keeps sizes as signed numbers of 64 bits.
    amount
        .checked_mul(unit)
        .filter(|bytes| i64::try_from(*bytes).is_ok())
}

/// `5%`, `0.5%`; 0 to 100.
pub fn percent(text: &str) -> Option<f64> {
    let number = text.trim().strip_suffix('%')?.trim_end();
    if !number.chars().all(|c| c.is_ascii_digit() || c == '.') {
        return None;
    }
    let percent: f64 = number.parse().ok()?;
    (0.0..=100.0).contains(&percent).then_some(percent)
}

/// `26h`; or `06:30`, `Mon-Sat 06:30`, `Mon,Wed,Fri 06:30`, `Sat-Mon 6:30`.
pub fn expect(text: &str) -> Option<Expect> {
    if let Some(longest) = duration(text) {
        return (!longest.is_zero()).then_some(Expect::Every(longest));
    }
    let text = text.trim();
    let text = text.strip_prefix("by ").unwrap_or(text).trim();
    let (days, time) = match text.rsplit_once(char::is_whitespace) {
        Some((days, time)) => (weekdays(days)?, time),
        None => ([true; 7], text),
    };
    let (hour, minute) = time.split_once(':')?;
    let (hour, minute) = (clock_part(hour, 1, 23)?, clock_part(minute, 2, 59)?);
    Some(Expect::By { days, hour, minute })
}

fn clock_part(text: &str, digits_min: usize, max: i8) -> Option<i8> {
    let shape = (digits_min..=2).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|n| shape && *n <= max)
}

fn weekdays(text: &str) -> Option<[bool; 7]> {
    let mut days = [false; 7];
    for part in text.split(',').map(str::trim) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (mut day, last) = (weekday(first)?, weekday(last)?);
        days[day] = true;
        while day != last {
            day = (day + 1) % 7;
            days[day] = true;
        }
    }
    Some(days)
}

/// By its first three letters or in full, without regard to case.
fn weekday(text: &str) -> Option<usize> {
    const FULL: [&str; 7] = [
        "monday",
        "tuesday",
        "wednesday",
        "thursday",
        "friday",
        "saturday",
        "sunday",
    ];
    let text = text.trim().to_ascii_lowercase();
    (0..7).find(|day| text == DAYS[*day] || text == FULL[*day])
}

/// One ASCII character, or the word `tab`.
pub fn delimiter(text: &str) -> Option<u8> {
    match text.as_bytes() {
        b"tab" | b"\\t" => Some(b'\t'),
        [b'\t'] => Some(b'\t'),
        [one] if one.is_ascii_punctuation() && !b"\"'".contains(one) => Some(*one),
        [b' '] => Some(b' '),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit_and_an_end() {
        for (text, seconds) in [
            ("0s", 0),
            ("10s", 10),
            ("5m", 300),
            ("26h", 93_600),
            ("7d", 604_800),
            ("2w", 1_209_600),
            ("1h30m", 5_400),
            (" 1h 30m ", 5_400),
        ] {
            assert_eq!(duration(text), Some(Duration::from_secs(seconds)), "{text}");
        }
        assert_eq!(duration("500ms"), Some(Duration::from_millis(500)));
        for text in [
            "",
            "10",
            "s",
            "-1s",
            "1.5h",
            "10 minutes",
            "1y",
            "99999999999999999999s",
            "4000000000000d",
            "1s,",
        ] {
            assert_eq!(duration(text), None, "{text}");
        }
    }

    #[test]
    fn durations_are_written_as_people_do() {
        for text in ["0s", "10s", "90m", "26h", "7d", "500ms"] {
            assert_eq!(duration_text(duration(text).unwrap()), text);
        }
    }

    #[test]
    fn sizes_have_a_unit() {
        assert_eq!(size("200MB"), Some(200_000_000));
        assert_eq!(size("1 GiB"), Some(1 << 30));
        assert_eq!(size("0B"), Some(0));
        for text in [
            "",
            "200",
            "MB",
            "-1MB",
            "1.5GB",
            "99999999999TB",
            "18446744073709551615b",
        ] {
            assert_eq!(size(text), None, "{text}");
        }
    }

    #[test]
    fn percentages_stay_within_the_whole() {
        assert_eq!(percent("5%"), Some(5.0));
        assert_eq!(percent("0.5 %"), Some(0.5));
        assert_eq!(percent("100%"), Some(100.0));
        for text in ["", "%", "5", "101%", "-1%", "NaN%", "inf%", "1e1%", "+5%"] {
            assert_eq!(percent(text), None, "{text}");
        }
    }

    #[test]
    fn a_file_is_expected_in_time_or_by_a_time() {
        assert_eq!(
            expect("26h"),
            Some(Expect::Every(Duration::from_secs(93_600)))
        );
        let by = |days: &str, hour, minute| {
            let days: Vec<bool> = days.chars().map(|c| c == 'x').collect();
            let days = days.try_into().unwrap();
            Some(Expect::By { days, hour, minute })
        };
        assert_eq!(expect("Mon-Sat 06:30"), by("xxxxxx-", 6, 30));
        assert_eq!(expect("by Mon-Sat 06:30"), by("xxxxxx-", 6, 30));
        assert_eq!(expect("mon, wednesday,fri 6:05"), by("x-x-x--", 6, 5));
        assert_eq!(expect("Sat-Mon 23:59"), by("x----xx", 23, 59));
        assert_eq!(expect("06:30"), by("xxxxxxx", 6, 30));
        for text in [
            "",
            "0h",
            "Mon-Sat",
            "Mon 24:00",
            "Mon 6:5",
            "Mon 06:60",
            "Foo 06:30",
            "Mon- 06:30",
            "6",
            "Mon -6:30",
        ] {
            assert_eq!(expect(text), None, "{text}");
        }
    }

    #[test]
    fn a_delimiter_is_one_sign() {
        for (text, byte) in [
            (",", b','),
            (";", b';'),
            ("|", b'|'),
            ("tab", b'\t'),
            ("\t", b'\t'),
            ("\\t", b'\t'),
        ] {
            assert_eq!(delimiter(text), Some(byte), "{text}");
        }
        for text in ["", "\"", "'", "a", "1", ",,", "é", "\n"] {
            assert_eq!(delimiter(text), None, "{text}");
        }
    }
}
