//! Words for yes and no.

use super::Wrong;
use crate::reject::Code;

/// Which words beside `true 1 yes` and `false 0 no` a format has, in lower case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Words {
    pub yes: Vec<String>,
    pub no: Vec<String>,
}

/// Known words only, without regard to case; any other text is no answer (TRAPS.md 23).
pub fn boolean(text: &str, words: &Words) -> Result<bool, Wrong> {
    let text = text.trim();
    let is = |word: &str| text.eq_ignore_ascii_case(word);
    if ["true", "1", "yes"].into_iter().any(is) {
        return Ok(true);
    }
    if ["false", "0", "no"].into_iter().any(is) {
        return Ok(false);
    }
    let lower = text.to_lowercase();
    if words.yes.contains(&lower) {
        return Ok(true);
    }
    if words.no.contains(&lower) {
        return Ok(false);
    }
    Err(Wrong::new(
        Code::Boolean,
        "neither yes (true, 1, yes) nor no (false, 0, no)",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_words_are_answers() {
        let words = Words {
            yes: vec!["ja".into()],
            no: vec!["nein".into()],
        };
        for (text, expected) in [
            ("TRUE", Some(true)),
            ("1", Some(true)),
            (" Yes ", Some(true)),
            ("FALSE", Some(false)),
            ("0", Some(false)),
            ("No", Some(false)),
            ("JA", Some(true)),
            ("nein", Some(false)),
            ("maybe", None),
            ("2", None),
            ("", None),
        ] {
            assert_eq!(boolean(text, &words).ok(), expected, "{text}");
        }
    }
}
