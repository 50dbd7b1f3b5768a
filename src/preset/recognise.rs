//! Which preset a header is of: signatures against headers, and the words for it.

use super::header::{Header, Likeness, zone_suffix};
use super::plain::{self, PLAIN};
use super::spec::Spec;
use super::{Preset, Presets, Recognised};
use crate::kind::Kind;

/// How a header fits a signature.
enum Fit {
    /// So many of the signature's columns are there; what tells.
    Yes(usize, String),
    /// What is missing, or there though it must not be.
    No(String),
}

impl Presets {
    /// Whether any preset (or the plain format) of this kind knows these cells as its header.
    pub fn is_header(&self, kind: Kind, cells: &[String], columns: &[(String, String)]) -> bool {
        // Asked of many lines: so without the words that `recognise` finds.
        let header = Header::new(cells);
        let mapped = |(column, target): &(String, String)| {
            target == "source_id" && !header.find(column, Likeness::Spelled).is_empty()
        };
        let of_kind_first = |preset: &&Preset| !preset.kinds.contains(&kind);
        let mut presets: Vec<&Preset> = self.iter().collect();
        presets.sort_by_key(of_kind_first);
        header.has_form("source_id", Likeness::Folded)
            || columns.iter().any(mapped)
            || presets
                .into_iter()
                .any(|preset| preset.may_fit(&header) && preset.fits(&header))
    }

    /// `name`: a preset's, or `auto`. `columns` are the folder's own.
    pub fn recognise(
        &self,
        name: &str,
        kind: Kind,
        header: &[String],
        columns: &[(String, String)],
    ) -> Recognised<'_> {
        let header = Header::new(header);
        if name != "auto" {
            return self.named(name, kind);
        }
        let mapped = columns.iter().any(|(column, target)| {
            target == "source_id" && !header.find(column, Likeness::Spelled).is_empty()
        });
        let (fitting, unfitting) = self.candidates(kind, &header);
        if let Some((preset, why)) = fitting.first() {
            let next = fitting
                .get(1)
                .map(|(next, _)| format!("`{}` fits too, with fewer columns of its own", next.name))
                .or_else(|| {
                    unfitting
                        .first()
                        .map(|(next, no)| format!("not `{}`: {no}", next.name))
                });
            return Recognised::Taken {
                preset,
                why: why.clone(),
                why_not_next: next,
            };
        }
        if !mapped && let Some(other) = self.of_other_kind(kind, &header) {
            return other;
        }
        let Some(plain) = self.get(PLAIN) else {
            return Recognised::Unknown {
                reason: "no format fits this header".to_owned(),
            };
        };
        let why_not_next = unfitting
            .first()
            .map(|(next, no)| format!("not `{}`: {no}", next.name));
        if mapped {
            return Recognised::Taken {
                preset: plain,
                why: "the folder's `columns` name the key".to_owned(),
                why_not_next,
            };
        }
        if !header.find("source_id", Likeness::Folded).is_empty() {
            return Recognised::Taken {
                preset: plain,
                why: "it has the column `source_id`, and fits no other format".to_owned(),
                why_not_next,
            };
        }
        let nearest = if kind == Kind::Customers && header.len() == 1 {
            // The older download of Segment's: one id of each user, hashed.
            " (the file has one column alone; an audience file of hashes, as Segment's single-column \
             download is, names nobody: export it with a column for each id)"
                .to_owned()
        } else {
            why_not_next.map_or(String::new(), |next| format!(" ({next})"))
        };
        Recognised::Unknown {
            reason: format!(
                "no column `source_id`, and no known format of {kind} fits{nearest}; name the key's \
                 column in the folder's `columns`, or set its `preset`"
            ),
        }
    }

    fn named(&self, name: &str, kind: Kind) -> Recognised<'_> {
        match self.get(name) {
            Some(preset) if preset.kinds.contains(&kind) => Recognised::Taken {
                preset,
                why: "the folder's `preset` says so".to_owned(),
                why_not_next: None,
            },
            Some(preset) => Recognised::OtherKind {
                preset,
                reason: format!(
                    "the preset `{name}` is of {}, the folder of {kind}",
                    preset.kinds[0]
                ),
            },
            None => Recognised::Unknown {
                reason: format!("there is no preset `{name}`; `tillsync presets` lists them"),
            },
        }
    }

    /// Presets of a kind that fit, the best first; and those that don't, the nearest first.
    #[allow(clippy::type_complexity)] // Two lists of the same two things.
    fn candidates(
        &self,
        kind: Kind,
        header: &Header,
    ) -> (Vec<(&Preset, String)>, Vec<(&Preset, String)>) {
        let mut fitting: Vec<(usize, &Preset, String)> = Vec::new();
        let mut unfitting: Vec<(usize, &Preset, String)> = Vec::new();
        for preset in self.iter().filter(|p| p.kinds.contains(&kind)) {
            let Some(spec) = &preset.spec else { continue };
            if !preset.forms.is_empty() && !preset.may_begin(header) {
                continue;
            }
            match fit(spec, header) {
                Fit::Yes(columns, why) => fitting.push((columns, preset, why)),
                Fit::No(no) => {
                    let there = present(spec, header);
                    if there > 0 {
                        unfitting.push((there, preset, no));
                    }
                }
            }
        }
        // Stable: of equals, the order of the list.
        fitting.sort_by_key(|(columns, ..)| std::cmp::Reverse(*columns));
        unfitting.sort_by_key(|(there, ..)| std::cmp::Reverse(*there));
        (pairs(fitting), pairs(unfitting))
    }

    fn of_other_kind(&self, kind: Kind, header: &Header) -> Option<Recognised<'_>> {
        for other in Kind::ALL.into_iter().filter(|other| *other != kind) {
            if let Some((preset, _)) = self.candidates(other, header).0.first() {
                return Some(Recognised::OtherKind {
                    preset,
                    reason: format!(
                        "the header is that of `{}`, which is of {other}; this folder is of {kind}",
                        preset.name
                    ),
                });
            }
        }
        let other = plain::only_of_other_kind(kind, header)?;
        Some(Recognised::OtherKind {
            preset: self.get(PLAIN)?,
            reason: format!(
                "the header is that of the plain format of {other}; this folder is of {kind}"
            ),
        })
    }
}

impl Preset {
    fn fits(&self, header: &Header) -> bool {
        let spec = self.spec.as_deref();
        spec.is_some_and(|spec| matches!(fit(spec, header), Fit::Yes(..)))
    }

    /// Whether any of the signature's columns is there.
    fn may_begin(&self, header: &Header) -> bool {
        let Some(spec) = &self.spec else { return false };
        let mut forms = self.forms.iter().flatten();
        forms.any(|form| header.has_form(form, spec.likeness))
    }

    /// Without a copy of a name: whether all the signature's columns are there.
    fn may_fit(&self, header: &Header) -> bool {
        let Some(spec) = &self.spec else { return false };
        self.forms.iter().all(|forms| {
            forms
                .iter()
                .any(|form| header.has_form(form, spec.likeness))
        })
    }
}

fn pairs(list: Vec<(usize, &Preset, String)>) -> Vec<(&Preset, String)> {
    list.into_iter()
        .map(|(_, preset, text)| (preset, text))
        .collect()
}

fn fit(spec: &Spec, header: &Header) -> Fit {
    let signature = &spec.signature;
    let has = |name: &str| header.has(name, spec.likeness);
    if signature.all.is_empty() && signature.starts.is_none() {
        return Fit::No("it is taken only by name".to_owned());
    }
    let mut found = Vec::new();
    for names in &signature.all {
        match names.iter().find(|name| has(name)) {
            Some(name) => found.push(name.as_str()),
            None => return Fit::No(format!("no column `{}`", names.first().map_or("", |n| n))),
        }
    }
    if !signature.any.is_empty() {
        let some: Vec<&str> = signature
            .any
            .iter()
            .map(String::as_str)
            .filter(|n| has(n))
            .collect();
        if some.is_empty() {
            return Fit::No(format!(
                "none of the columns `{}`",
                signature.any.join("`, `")
            ));
        }
        found.extend(some);
    }
    if let Some(start) = &signature.starts {
        let begins = |name: &String| {
            let head = name.trim().get(..start.len());
            head.is_some_and(|head| head.eq_ignore_ascii_case(start))
        };
        match header.names().iter().find(|name| begins(name)) {
            Some(name) => found.push(name.trim()),
            None => return Fit::No(format!("no column that begins with `{start}`")),
        }
    }
    for names in &signature.none {
        if names.iter().all(|name| has(name)) {
            return Fit::No(format!("it has the column `{}`", names.join("`, `")));
        }
    }
    if let Some(no) = shape_says_no(spec, header) {
        return Fit::No(no);
    }
    Fit::Yes(
        found.len(),
        format!("it has the columns `{}`", found.join("`, `")),
    )
}

/// What a signature says beyond names of columns.
fn shape_says_no(spec: &Spec, header: &Header) -> Option<String> {
    let signature = &spec.signature;
    if signature.no_dotted && header.names().iter().any(|name| plain::is_dotted(name)) {
        return Some("it has a dotted column of the plain format".to_owned());
    }
    if let Some(first) = &signature.first
        && header.find(first, spec.likeness).first() != Some(&0)
    {
        return Some(format!("`{first}` is not the first column"));
    }
    // A delimiter at the header's end makes no column.
    let named = header.names().iter().filter(|name| !name.trim().is_empty());
    let named = named.count();
    if signature.columns_max.is_some_and(|max| named > max) {
        return Some("it has more columns".to_owned());
    }
    if signature.zones {
        let zones: Vec<&str> = header
            .names()
            .iter()
            .filter_map(|name| zone_suffix(name).map(|(_, zone)| zone))
            .collect();
        if zones.len() < 2 || zones.iter().any(|zone| *zone != zones[0]) {
            return Some("no two columns with one time zone in brackets".to_owned());
        }
    }
    None
}

/// Columns of the signature that are there.
fn present(spec: &Spec, header: &Header) -> usize {
    let signature = &spec.signature;
    let has = |name: &String| header.has(name, spec.likeness);
    signature
        .all
        .iter()
        .filter(|names| names.iter().any(has))
        .count()
        + signature.any.iter().filter(|name| has(name)).count()
}
