//! What a spreadsheet makes of a cell by itself: keys that come back as numbers, dates and words.

use super::number;

/// Whether a text came back changed as a spreadsheet changes it by itself: `0042` → `42`, a long
/// number → `4.2E+12` or zeros at its end, `10.00` → `10`, `+48…` → `48…`, `3-4` → `03-Apr`,
/// `true` → `TRUE`. A person's change of a key is another one.
pub fn damaged(original: &str, now: &str) -> bool {
    let (original, now) = (original.trim(), now.trim());
    if original == now || original.is_empty() || now.is_empty() {
        return false;
    }
    let same_word =
        |word: &str| original.eq_ignore_ascii_case(word) && now.eq_ignore_ascii_case(word);
    if same_word("true") || same_word("false") {
        return true;
    }
    if became_date(original, now) {
        return true;
    }
    let Some(was) = Decimal::of(original) else {
        return false;
    };
    if number::is_scientific(now) {
        return Decimal::of(now).is_some_and(|rounded| was.rounds_to(&rounded));
    }
    let digits_only = |text: &str| {
        text.bytes()
            .all(|b| b.is_ascii_digit() || matches!(b, b'.' | b',' | b'-'))
    };
    // A spreadsheet takes zeros and signs away; who puts some there is a person.
    digits_only(now)
        && is_shortest(now)
        && Decimal::of(now).is_some_and(|is| was == is || was.cut_to(&is))
}

/// A number as a spreadsheet shows it: no zeros before it or at its decimals' end, unless a format of
/// the column shows nothing but zeros there (`42.00`).
fn is_shortest(text: &str) -> bool {
    let body = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = body.split_once(['.', ',']).unwrap_or((body, "1"));
    let only_zeros = fraction.bytes().all(|b| b == b'0');
    (whole == "0" || !whole.starts_with('0'))
        && !fraction.is_empty()
        && (only_zeros || !fraction.ends_with('0'))
}

/// Two or three short numbers, or a number and a month, that came back as a date.
fn became_date(original: &str, now: &str) -> bool {
    let parts: Vec<&str> = original.split(['-', '/', '.', ' ']).collect();
    let short = |part: &&str| {
        let digits = part.bytes().all(|b| b.is_ascii_digit());
        !part.is_empty() && (part.len() <= 4 && digits || part.len() <= 9 && is_month(part))
    };
    if !(2..=3).contains(&parts.len()) || !parts.iter().all(short) {
        return false;
    }
    let back: Vec<&str> = now.split(['-', '/', '.', ' ']).collect();
    let number_of = |part: &&str| part.parse::<u32>().ok();
    (2..=3).contains(&back.len())
        && back.iter().all(short)
        && (back.iter().any(|part| is_month(part)) || back.len() == 3)
        && parts
            .iter()
            .filter_map(number_of)
            .filter(|n| *n <= 31)
            .any(|n| back.iter().filter_map(number_of).any(|m| m == n))
}

fn is_month(part: &str) -> bool {
    const MONTHS: [&str; 16] = [
        "jan", "feb", "mar", "mär", "apr", "may", "mai", "jun", "jul", "aug", "sep", "oct", "okt",
        "nov", "dec", "dez",
    ];
    let lower = part.to_lowercase();
    MONTHS.iter().any(|month| lower.starts_with(month))
}

/// A number's significant digits, and where its decimal sign stands behind them.
#[derive(Debug, PartialEq, Eq)]
struct Decimal {
    negative: bool,
    digits: String,
    exponent: i64,
}

impl Decimal {
    fn of(text: &str) -> Option<Decimal> {
        let text = text.trim();
        let (negative, body) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (mantissa, exponent) = match body.split_once(['E', 'e']) {
            Some((mantissa, power)) => {
                let power = power.strip_prefix('+').unwrap_or(power);
                (mantissa, power.parse::<i64>().ok()?)
            }
            None => (body, 0),
        };
        let (whole, fraction) = mantissa.split_once(['.', ',']).unwrap_or((mantissa, ""));
        let all = |t: &str| t.bytes().all(|b| b.is_ascii_digit());
        if whole.is_empty() || !all(whole) || !all(fraction) || exponent.abs() > 400 {
            return None;
        }
        let joined = format!("{whole}{fraction}");
        let leading = joined.len() - joined.trim_start_matches('0').len();
        let digits = joined
            .trim_start_matches('0')
            .trim_end_matches('0')
            .to_owned();
        if digits.is_empty() {
            return Some(Decimal {
                negative: false,
                digits,
                exponent: 0,
            });
        }
        let exponent = exponent + whole.len() as i64 - leading as i64;
        Some(Decimal {
            negative,
            digits,
            exponent,
        })
    }

    /// Rounded to as many digits as the other one shows.
    fn rounds_to(&self, other: &Decimal) -> bool {
        if self.negative != other.negative {
            return false;
        }
        let shown = other.digits.len();
        if self.digits.len() <= shown {
            return self == other;
        }
        let mut digits: Vec<u8> = self.digits.bytes().take(shown).collect();
        let mut exponent = self.exponent;
        if self.digits.as_bytes()[shown] >= b'5' {
            let mut at = shown;
            loop {
                if at == 0 {
                    digits.insert(0, b'1');
                    exponent += 1;
                    break;
                }
                at -= 1;
                if digits[at] < b'9' {
                    digits[at] += 1;
                    break;
                }
                digits[at] = b'0';
            }
        }
        let last = digits.iter().rposition(|digit| *digit != b'0');
        digits.truncate(last.map_or(0, |last| last + 1));
        digits == other.digits.as_bytes() && exponent == other.exponent
    }

    /// A spreadsheet keeps fifteen digits and makes the rest zeros.
    fn cut_to(&self, other: &Decimal) -> bool {
        const KEPT: usize = 15;
        self.digits.len() > KEPT
            && self.exponent == other.exponent
            && self.negative == other.negative
            && (self.digits[..KEPT].trim_end_matches('0') == other.digits || self.rounds_to(other))
            && other.digits.len() <= KEPT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(original: &str, now: &str, expected: bool) {
        assert_eq!(damaged(original, now), expected, "{original} → {now}");
    }

    #[test]
    fn what_a_spreadsheet_does_to_a_key_is_known() {
        check("0042", "42", true);
        check("4200638331393", "4.2E+12", true);
        check("4006381333931", "4,00638E+12", true);
        check("1111111111111111112", "1111111111111110000", true);
        check("10.00", "10", true);
        check("1E5", "100000", true);
        check("1E5", "1.00E+05", true);
        check("+48225550102", "48225550102", true);
        check("3-4", "03-Apr", true);
        check("2-1", "2026-01-02", true);
        check("true", "TRUE", true);
        check("9999999", "1E+07", true);
        check("1234567890123456789", "1234567890123460000", true);
        check("219E01", "2190", true);
        check("0042", "42.00", true);
        check("0042", "42,00", true);
    }

    #[test]
    fn what_a_person_mends_is_taken() {
        check("0042", "0043", false);
        check("0042", "C42", false);
        check("", "42", false);
        check("C1", "C1 ", false);
        check("4.2E+12", "4200638331393", false);
        check("abc", "ABC", false);
        check("42", "0042", false);
        check("1-2-3", "ABC-1", false);
        check("0042", "0042", false);
        check("A42", "42", false);
        check("42", "43", false);
        check("4200000000123", "4.3E+12", false);
        check("C-1", "C-2", false);
    }
}
