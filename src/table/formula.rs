//! Cells that a spreadsheet would run as formulas (CWE-1236): written so that they are not run, and
//! read back as they were.

use std::borrow::Cow;

/// Puts `'` before a cell that a spreadsheet would take for a formula, and before one that begins with
/// `'` itself: so `unguard_formula` gives every text back, whatever it is.
///
/// Plain negative numbers are left alone, or every price column with a refund in it would become text.
/// A number with a plus is guarded: as a number it would lose the plus, and it is a phone.
pub fn guard_formula(cell: &str) -> Cow<'_, str> {
    let guarded = match cell.chars().next() {
        Some('-') => !is_plain_number(&cell[1..]),
        Some(
            '=' | '+' | '@' | '\t' | '\r' | '\n' | '\0' | '\'' | '\u{FF1D}' | '\u{FF0B}'
            | '\u{FF0D}' | '\u{FF20}',
        ) => true,
        _ => false,
    };
    if guarded {
        Cow::Owned(format!("'{cell}"))
    } else {
        Cow::Borrowed(cell)
    }
}

/// What `guard_formula` was given.
pub fn unguard_formula(cell: &str) -> &str {
    cell.strip_prefix('\'').unwrap_or(cell)
}

/// Digits with at most one decimal sign between them.
fn is_plain_number(text: &str) -> bool {
    let (whole, fraction) = text.split_once(['.', ',']).unwrap_or((text, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    digits(whole) && digits(fraction)
}
