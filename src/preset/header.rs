//! A header's names, and finding a column by the name that a preset gives it.
//!
//! Knows spelling only; what a column means is the preset's to say.

use unicode_normalization::UnicodeNormalization;

/// Numbered columns (`Option1 Name`, `line_item_3`) are looked for up to this number.
pub const NUMBERED_MAX: usize = 100;

/// How strictly names are compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Likeness {
    /// Outer white space, runs of blanks and case don't count (FORMATS-SHOPS.md, R1).
    #[default]
    Spelled,
    /// Only letters and digits count (FORMATS.md, rule 1).
    Folded,
}

impl Likeness {
    /// What two names have in common that are one.
    pub fn form(self, name: &str) -> String {
        match self {
            Likeness::Spelled => spelled(name),
            Likeness::Folded => folded(name),
        }
    }
}

/// The names of a table's columns.
#[derive(Clone, Debug)]
pub struct Header {
    /// As they stand.
    names: Vec<String>,
    spelled: Vec<String>,
    folded: Vec<String>,
}

impl Header {
    pub fn new(names: &[String]) -> Header {
        Header {
            names: names.to_vec(),
            spelled: names.iter().map(|name| spelled(name)).collect(),
            folded: names.iter().map(|name| folded(name)).collect(),
        }
    }

    /// The same, with a time zone in brackets taken off each name: `Last seen (AEDT)`
    /// (FORMATS.md, rule 1).
    pub fn without_zones(names: &[String]) -> Header {
        let bare: Vec<String> = names
            .iter()
            .map(|name| without_zone(name).to_owned())
            .collect();
        Header {
            names: bare.clone(),
            ..Header::new(&bare)
        }
    }

    pub fn names(&self) -> &[String] {
        &self.names
    }

    pub fn len(&self) -> usize {
        self.names.len()
    }

    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    pub fn spelled(&self, column: usize) -> &str {
        &self.spelled[column]
    }

    pub fn folded(&self, column: usize) -> &str {
        &self.folded[column]
    }

    /// Every column of this name, the one spelled exactly so first. A name `X (2)` is the second
    /// column of the name `X`, if no column is really called that (FORMATS-SHOPS.md, R1).
    pub fn find(&self, name: &str, likeness: Likeness) -> Vec<usize> {
        let (forms, wanted) = match likeness {
            Likeness::Spelled => (&self.spelled, spelled(name)),
            Likeness::Folded => (&self.folded, folded(name)),
        };
        let mut found: Vec<usize> = (0..forms.len()).filter(|&i| forms[i] == wanted).collect();
        if wanted.is_empty() {
            return Vec::new();
        }
        if found.is_empty()
            && let Some((base, nth)) = nth_of(name)
        {
            let of_base = self.find(base, likeness);
            let mut in_order = of_base;
            in_order.sort_unstable();
            return in_order.get(nth - 1).copied().into_iter().collect();
        }
        // Of two that fold to one name, the one spelled as the preset has it is meant (rule 1).
        if let Some(exact) = found.iter().position(|&i| self.names[i].trim() == name) {
            let exact = found.remove(exact);
            found.insert(0, exact);
        }
        found
    }

    /// Whether a column has this name, given in the form that `Likeness::form` makes.
    pub fn has_form(&self, form: &str, likeness: Likeness) -> bool {
        let forms = match likeness {
            Likeness::Spelled => &self.spelled,
            Likeness::Folded => &self.folded,
        };
        forms.iter().any(|known| known == form)
    }

    /// Of several spellings the first that stands in the header.
    pub fn find_any(&self, names: &[String], likeness: Likeness) -> Vec<usize> {
        names
            .iter()
            .map(|name| self.find(name, likeness))
            .find(|found| !found.is_empty())
            .unwrap_or_default()
    }

    pub fn has_any(&self, names: &[String], likeness: Likeness) -> bool {
        !self.find_any(names, likeness).is_empty()
    }

    /// Whether a column has this name, or one that fits it where it holds a `*`.
    pub fn has(&self, name: &str, likeness: Likeness) -> bool {
        match name.contains('*') {
            true => !self.matching(name).is_empty(),
            false => !self.find(name, likeness).is_empty(),
        }
    }

    /// The columns whose name fits a pattern with one `*`, and what the star stands for.
    pub fn matching(&self, pattern: &str) -> Vec<(usize, String)> {
        let (before, after) = pattern.split_once('*').unwrap_or((pattern, ""));
        (0..self.len())
            .filter_map(|i| {
                let name = self.names[i].trim();
                let rest = strip_prefix_ignoring_case(name, before)?;
                let rest = strip_suffix_ignoring_case(rest, after)?.trim();
                (!rest.is_empty()).then(|| (i, rest.to_owned()))
            })
            .collect()
    }
}

fn nth_of(name: &str) -> Option<(&str, usize)> {
    let (base, number) = name.trim().strip_suffix(')')?.rsplit_once('(')?;
    let nth: usize = number.parse().ok()?;
    (nth >= 2).then(|| (base.trim_end(), nth))
}

fn strip_prefix_ignoring_case<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let head = text.get(..prefix.len())?;
    head.eq_ignore_ascii_case(prefix)
        .then(|| &text[prefix.len()..])
}

fn strip_suffix_ignoring_case<'a>(text: &'a str, suffix: &str) -> Option<&'a str> {
    let at = text.len().checked_sub(suffix.len())?;
    let tail = text.get(at..)?;
    tail.eq_ignore_ascii_case(suffix).then(|| &text[..at])
}

/// White space, and what shows nothing though it is none.
pub fn is_invisible(c: char) -> bool {
    c.is_whitespace() || is_zero_width(c)
}

pub fn is_zero_width(c: char) -> bool {
    matches!(
        c,
        '\u{200B}'..='\u{200D}' | '\u{2060}' | '\u{FEFF}' | '\u{180E}'
    )
}

/// Trimmed, lower case, NFC, each run of white space one blank.
pub fn spelled(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for word in name.split(char::is_whitespace) {
        let word = word.trim_matches(is_invisible);
        if word.is_empty() {
            continue;
        }
        if !out.is_empty() {
            out.push(' ');
        }
        out.extend(word.nfc().flat_map(char::to_lowercase));
    }
    out
}

/// Lower case, each run of other than letters and digits one `_`, none outside.
pub fn folded(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for c in name.nfc().flat_map(char::to_lowercase) {
        if c.is_alphanumeric() {
            out.push(c);
        } else if !out.is_empty() && !out.ends_with('_') {
            out.push('_');
        }
    }
    if out.ends_with('_') {
        out.pop();
    }
    out
}

/// `First Seen (AEDT)` → `First Seen`.
pub fn without_zone(name: &str) -> &str {
    zone_suffix(name).map_or(name, |(bare, _)| bare)
}

/// A name's time zone in brackets, and the name without.
pub fn zone_suffix(name: &str) -> Option<(&str, &str)> {
    let (bare, zone) = name.trim_end().strip_suffix(')')?.rsplit_once('(')?;
    let upper = zone.len() >= 3 && zone.len() <= 5 && zone.bytes().all(|b| b.is_ascii_uppercase());
    upper.then(|| (bare.trim_end(), zone))
}

/// The metadata key that a header becomes by itself: runs of white space as `_` (Voucherify
/// refuses white space in names of metadata), else as spelled.
pub fn metadata_key(name: &str) -> String {
    let name = name.trim_matches(is_invisible);
    let name = strip_prefix_ignoring_case(name, "metadata.").unwrap_or(name);
    let mut out = String::with_capacity(name.len());
    for word in name.split_whitespace() {
        if !out.is_empty() {
            out.push('_');
        }
        out.push_str(word);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(names: &[&str]) -> Header {
        Header::new(&names.iter().map(|&n| n.to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn names_are_found_whatever_their_case_and_blanks() {
        let h = header(&["\u{A0} Source_ID ", "NAME\u{A0}", " Email\t"]);
        assert_eq!(h.find("source_id", Likeness::Spelled), [0]);
        assert_eq!(h.find("name", Likeness::Spelled), [1]);
        assert!(h.find("E-mail", Likeness::Spelled).is_empty());
        assert_eq!(h.find("email", Likeness::Folded), [2]);
    }

    #[test]
    fn of_two_that_fold_to_one_the_exact_spelling_comes_first() {
        let h = header(&["email", "Email"]);
        assert_eq!(h.find("Email", Likeness::Folded), [1, 0]);
    }

    #[test]
    fn the_second_of_a_name_can_be_asked_for() {
        let h = header(&["City", "Zip", "City"]);
        assert_eq!(h.find("City (2)", Likeness::Spelled), [2]);
        assert!(h.find("City (3)", Likeness::Spelled).is_empty());
    }

    #[test]
    fn a_header_becomes_a_key_without_white_space() {
        assert_eq!(metadata_key("  VIP  level "), "VIP_level");
        assert_eq!(metadata_key("Metadata.tier"), "tier");
        assert_eq!(without_zone("signup_date_at (AEDT)"), "signup_date_at");
        assert_eq!(without_zone("Created (UTC)"), "Created");
        assert_eq!(without_zone("Weight (kg)"), "Weight (kg)");
    }
}
