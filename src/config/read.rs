//! The files' TOML → the values that they set, each checked by its key's type, with its place.
//!
//! Walks every file to its end whatever is wrong in it, so that all faults are told in one run. What
//! values mean together is `build`'s.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::PathBuf;

use serde_spanned::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::keys::{self, Key, Section};
use super::problem::{Place, Problem, Showing, Source, looks_secret, nearest};
use super::value::{self, Value};

type Span = Range<usize>;

/// One file of the configuration.
#[derive(Clone, Debug)]
pub struct File {
    /// As shown.
    pub name: String,
    /// What relative paths in it start from.
    pub folder: PathBuf,
    pub text: String,
}

impl File {
    pub fn place(&self, span: Span, showing: Showing) -> Place {
        let source = Source {
            name: &self.name,
            text: &self.text,
        };
        Place::new(source, span, showing)
    }
}

/// A value that a file sets.
#[derive(Clone, Debug)]
pub struct Found {
    pub value: Value,
    /// Index of the file.
    pub file: usize,
    pub key_span: Span,
    pub value_span: Span,
}

/// What one table sets: `[api]`, or one `[[folder]]`.
#[derive(Clone, Debug, Default)]
pub struct Entries {
    pub found: BTreeMap<&'static str, Found>,
    /// Also those whose value was wrong: in which file, and where.
    pub mentioned: BTreeMap<&'static str, (usize, Span)>,
    /// File and place of a folder's header.
    pub header: Option<(usize, Span)>,
}

/// All that the files set.
#[derive(Clone, Debug, Default)]
pub struct Raw {
    pub sections: BTreeMap<Section, Entries>,
    pub folders: Vec<Entries>,
    /// A file is no TOML: what is absent may just not have been read.
    pub broken: bool,
}

/// Values and faults of all files, in their order.
pub fn read(files: &[File]) -> (Raw, Vec<Problem>) {
    let mut reader = Reader {
        files,
        raw: Raw::default(),
        problems: Vec::new(),
    };
    for file in 0..files.len() {
        reader.file(file);
    }
    (reader.raw, reader.problems)
}

struct Reader<'f> {
    files: &'f [File],
    raw: Raw,
    problems: Vec<Problem>,
}

/// Where a fault stands, and what it may show.
struct At {
    file: usize,
    showing: Showing,
}

impl Reader<'_> {
    fn file(&mut self, file: usize) {
        let (table, errors) = DeTable::parse_recoverable(&self.files[file].text);
        let before = self.problems.len();
        let mut broken_lines = BTreeSet::new();
        for error in errors {
            let span = error.span().unwrap_or(0..0);
            let place = self.files[file].place(span, Showing::Plain);
            // What follows from a fault on the same line says nothing new.
            if broken_lines.insert(place.line) {
                self.problems.push(syntax(place, error.message()));
            }
        }
        let syntax_end = self.problems.len();
        self.top(file, table.get_ref());
        if syntax_end > before {
            self.raw.broken = true;
            let walked = self.problems.split_off(syntax_end);
            self.problems.extend(walked.into_iter().filter(|p| {
                p.place
                    .as_ref()
                    .is_none_or(|place| !broken_lines.contains(&place.line))
            }));
        }
    }

    fn top(&mut self, file: usize, table: &DeTable<'_>) {
        let mut own = Vec::new();
        for (key, value) in in_order(table) {
            let section = Section::ALL
                .into_iter()
                .find(|section| *section != Section::Top && section.name() == key.get_ref());
            match (section, value.get_ref()) {
                (None, _) => own.push((key, value)),
                (Some(Section::Folder), DeValue::Array(list)) => {
                    for folder in list.iter() {
                        self.folder(file, key, folder);
                    }
                }
                (Some(Section::Folder), _) => {
                    let place = self.files[file].place(key.span(), Showing::Plain);
                    self.problems.push(
                        Problem::error(Some(place), "`folder` has to be a list of tables")
                            .hint("write `[[folder]]`, with two brackets"),
                    );
                }
                (Some(section), DeValue::Table(table)) => {
                    let mut entries = self.raw.sections.remove(&section).unwrap_or_default();
                    self.entries(file, section, &in_order(table), &mut entries);
                    self.raw.sections.insert(section, entries);
                }
                (Some(section), _) => {
                    let place = self.files[file].place(key.span(), Showing::Plain);
                    let name = section.name();
                    self.problems.push(
                        Problem::error(Some(place), format!("`{name}` has to be a table"))
                            .hint(format!("write `[{name}]`, and its keys below")),
                    );
                }
            }
        }
        let mut entries = self.raw.sections.remove(&Section::Top).unwrap_or_default();
        self.entries(file, Section::Top, &own, &mut entries);
        self.raw.sections.insert(Section::Top, entries);
    }

    fn folder(&mut self, file: usize, key: &Spanned<DeString<'_>>, folder: &Spanned<DeValue<'_>>) {
        let DeValue::Table(table) = folder.get_ref() else {
            let place = self.files[file].place(key.span(), Showing::Plain);
            self.problems.push(
                Problem::error(Some(place), "`folder` has to be a list of tables")
                    .hint("write `[[folder]]`, with two brackets"),
            );
            return;
        };
        let mut entries = Entries {
            header: Some((file, folder.span())),
            ..Entries::default()
        };
        self.entries(file, Section::Folder, &in_order(table), &mut entries);
        self.raw.folders.push(entries);
    }

    fn entries(
        &mut self,
        file: usize,
        section: Section,
        table: &[Entry<'_, '_>],
        entries: &mut Entries,
    ) {
        for (key, value) in table {
            let name: &str = key.get_ref();
            let Some(known) = section.key(name) else {
                self.unknown(file, section, name, key.span());
                continue;
            };
            let at = At {
                file,
                showing: showing(known),
            };
            if let Some((first, span)) = entries.mentioned.get(known.name) {
                let first = self.files[*first].place(span.clone(), Showing::Masked);
                self.fault(
                    &at,
                    key.span(),
                    format!("`{}` is set twice", known.path()),
                    format!("first in {}:{}", first.file, first.line),
                );
                continue;
            }
            entries.mentioned.insert(known.name, (file, key.span()));
            let (read, faults) = value::read(known.ty, value);
            for fault in faults {
                let message = format!("`{}` {}", known.path(), fault.message);
                self.fault(&at, fault.span, message, fault.hint);
            }
            if let Some(value_read) = read {
                let found = Found {
                    value: value_read,
                    file,
                    key_span: key.span(),
                    value_span: value.span(),
                };
                entries.found.insert(known.name, found);
            }
        }
    }

    fn fault(&mut self, at: &At, span: Span, message: String, hint: String) {
        let place = self.files[at.file].place(span, at.showing);
        self.problems
            .push(Problem::error(Some(place), message).hint(hint));
    }

    fn unknown(&mut self, file: usize, section: Section, name: &str, span: Span) {
        let showing = if keys::is_secret(name) {
            Showing::Masked
        } else {
            Showing::Plain
        };
        let place = self.files[file].place(span, showing);
        let mut problem = Problem::error(Some(place), format!("unknown key `{name}`"));
        if let Some(hint) = meant(section, name) {
            problem = problem.hint(hint);
        }
        if looks_secret(name) && !keys::is_plain(name) {
            problem = problem.advice(
                "A secret itself does not belong in this file. Credentials are stored by `tillsync login`; \
                 other secrets stand in files that this one names.",
            );
        }
        self.problems.push(problem);
    }
}

type Entry<'t, 'i> = (&'t Spanned<DeString<'i>>, &'t Spanned<DeValue<'i>>);

/// As they stand in the file.
fn in_order<'t, 'i>(table: &'t DeTable<'i>) -> Vec<Entry<'t, 'i>> {
    let mut entries: Vec<Entry<'t, 'i>> = table.iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    entries
}

pub fn showing(key: &Key) -> Showing {
    if keys::is_secret(key.name) {
        Showing::Masked
    } else {
        Showing::Plain
    }
}

/// What an unknown key was meant to be, or where it belongs.
fn meant(section: Section, name: &str) -> Option<String> {
    let elsewhere = Section::ALL
        .into_iter()
        .find(|other| other.key(name).is_some());
    match elsewhere {
        Some(Section::Top) => {
            return Some("it stands at the top, before the first table".to_owned());
        }
        Some(Section::Folder) => return Some("it belongs to a `[[folder]]`".to_owned()),
        Some(other) => return Some(format!("it belongs under `[{}]`", other.name())),
        None => {}
    }
    let mut known: Vec<&str> = section.keys().map(|key| key.name).collect();
    if section == Section::Top {
        known.extend(
            Section::ALL
                .map(Section::name)
                .into_iter()
                .filter(|name| !name.is_empty()),
        );
    }
    if let Some(near) = nearest(name, known) {
        return Some(format!("did you mean `{near}`?"));
    }
    let near = nearest(name, keys::KEYS.iter().map(|key| key.name))?;
    let home = keys::KEYS.iter().find(|key| key.name == near)?.section;
    Some(match home {
        Section::Top => format!("did you mean `{near}`, at the top?"),
        Section::Folder => format!("did you mean `{near}`, in a `[[folder]]`?"),
        other => format!("did you mean `{near}`, under `[{}]`?", other.name()),
    })
}

/// The library's words speak of grammar; the commonest cases get ours.
fn syntax(place: Place, message: &str) -> Problem {
    let problem = Problem::error(Some(place), format!("not valid TOML: {message}"));
    if message.contains("string values must be quoted") {
        problem.hint("put the value in quotes: \"…\"")
    } else if message.contains("duplicate key") {
        problem.hint("it is set a second time here")
    } else {
        problem
    }
}
