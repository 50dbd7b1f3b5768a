//! Texts: guards taken off, keys made comparable, shapes of keys.

use std::borrow::Cow;

use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

use crate::preset::header::{is_invisible, is_zero_width};
use crate::preset::spec::Apostrophe;

/// Nothing but what shows nothing.
pub fn is_blank(text: &str) -> bool {
    text.is_empty() || text.chars().all(is_invisible)
}

/// A key as it is compared: outer white space and zero-width characters are gone, and it is in NFC
/// (INTERFACE.md, Keys and parents).
pub fn key(text: &str) -> Cow<'_, str> {
    let bytes = text.as_bytes();
    let plain = |b: u8| (0x21..0x7F).contains(&b);
    if let (Some(&first), Some(&last)) = (bytes.first(), bytes.last())
        && plain(first)
        && plain(last)
        && text.is_ascii()
    {
        return Cow::Borrowed(text);
    }
    let text = text.trim_matches(is_invisible);
    if text.chars().any(is_zero_width) || is_nfc_quick(text.chars()) != IsNormalized::Yes {
        let text: String = text.chars().filter(|&c| !is_zero_width(c)).nfc().collect();
        return Cow::Owned(text.trim_matches(is_invisible).to_owned());
    }
    Cow::Borrowed(text)
}

/// One leading apostrophe is a spreadsheet's guard before what it guards (FORMATS-SHOPS.md, R11;
/// FORMATS.md, rule 7). Elsewhere it belongs to the text.
pub fn without_apostrophe(text: &str, rule: Apostrophe) -> &str {
    let Some(rest) = text.strip_prefix('\'') else {
        return text;
    };
    let guarded = match rule {
        Apostrophe::Kept => false,
        Apostrophe::BeforeFormula => rest.starts_with(['=', '+', '-', '@']),
        Apostrophe::BeforeDigit => {
            rest.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '=' | '+' | '-' | '@'))
        }
    };
    if guarded { rest } else { text }
}

/// Salesforce's 15 characters, completed to 18 by a checksum of their capitals. Other texts stay.
pub fn salesforce_id(id: &str) -> Cow<'_, str> {
    if id.len() != 15 || !id.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return Cow::Borrowed(id);
    }
    const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ012345";
    let mut out = id.to_owned();
    for part in id.as_bytes().chunks(5) {
        let capitals = part
            .iter()
            .enumerate()
            .filter(|(_, b)| b.is_ascii_uppercase())
            .fold(0usize, |bits, (i, _)| bits | 1 << i);
        out.push(char::from(ALPHABET[capitals]));
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn keys_lose_what_shows_nothing_and_nothing_else() {
        for (text, expected) in [
            (" C1 ", "C1"),
            ("C1\u{A0}", "C1"),
            ("\u{200B}C1", "C1"),
            ("C\u{200D}1", "C1"),
            ("C 2", "C 2"),
            ("CAFE\u{301}-1", "CAFÉ-1"),
            ("007", "007"),
            ("1E5", "1E5"),
            ("abc", "abc"),
            (" \u{FEFF}\t", ""),
        ] {
            assert_eq!(key(text), expected);
        }
    }

    #[test]
    fn an_id_of_15_characters_gets_its_other_three() {
        assert_eq!(salesforce_id("0031U00000Jajao"), "0031U00000JajaoQAB");
        assert_eq!(salesforce_id("0031U00000JajaoQAB"), "0031U00000JajaoQAB");
    }

    #[test]
    fn an_apostrophe_is_taken_off_where_it_guards() {
        use Apostrophe::{BeforeDigit, BeforeFormula, Kept};
        for (text, rule, expected) in [
            ("'+1617", BeforeDigit, "+1617"),
            ("'02108", BeforeDigit, "02108"),
            ("'02108", BeforeFormula, "'02108"),
            ("'=HYPERLINK(1)", BeforeFormula, "=HYPERLINK(1)"),
            ("'n Abend", BeforeDigit, "'n Abend"),
            ("'+1", Kept, "'+1"),
        ] {
            assert_eq!(without_apostrophe(text, rule), expected);
        }
    }

    proptest! {
        #[test]
        fn a_key_of_a_key_is_itself(text in "\\PC{0,12}") {
            let once = key(&text).into_owned();
            prop_assert_eq!(key(&once), once.as_str());
        }
    }
}
