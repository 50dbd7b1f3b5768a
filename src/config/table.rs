//! One table of the configuration with its defaults, and the places of all that it sets.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use super::keys::{Key, Section, Worth};
use super::problem::{Place, Showing};
use super::read::{Entries, File, Found, Raw, showing};
use super::value::{self, Pair, Value};

/// Where each setting that a file makes stands, for problems that are found later.
#[derive(Clone, Debug, Default)]
pub struct Places {
    keys: BTreeMap<(Section, &'static str), Place>,
    folders: Vec<FolderPlaces>,
    /// Set to something wrong: a default stands in for it.
    faulty: BTreeSet<(Section, &'static str)>,
}

#[derive(Clone, Debug, Default)]
struct FolderPlaces {
    header: Option<Place>,
    keys: BTreeMap<&'static str, Place>,
}

impl Places {
    /// `None`: the default is in force.
    pub fn key(&self, section: Section, name: &str) -> Option<&Place> {
        self.keys
            .iter()
            .find(|((at, key), _)| *at == section && *key == name)
            .map(|(_, place)| place)
    }

    /// Whether this setting, outside folders, was set to something that is no value for it.
    pub fn is_faulty(&self, section: Section, name: &str) -> bool {
        self.faulty
            .iter()
            .any(|(at, key)| *at == section && *key == name)
    }

    /// Of a folder by its index in `Config::folders`; its header, where the key isn't set.
    pub fn folder(&self, index: usize, name: &str) -> Option<&Place> {
        let folder = self.folders.get(index)?;
        folder.keys.get(name).or(folder.header.as_ref())
    }
}

/// Of all settings of the files; `folders` as in `Config::folders`.
pub fn places(raw: &Raw, folders: &[Table<'_>], files: &[File]) -> Places {
    let mut places = Places::default();
    for (section, entries) in &raw.sections {
        for (name, found) in &entries.found {
            let key = section.key(name).expect("only known keys are found");
            let place = files[found.file].place(found.value_span.clone(), showing(key));
            places.keys.insert((*section, key.name), place);
        }
        let faulty = entries
            .mentioned
            .keys()
            .filter(|name| !entries.found.contains_key(*name));
        places.faulty.extend(faulty.map(|name| (*section, *name)));
    }
    for table in folders {
        let keys = table.entries.found.iter().map(|(name, found)| {
            let key = table.known(name);
            let place = files[found.file].place(found.value_span.clone(), showing(key));
            (key.name, place)
        });
        places.folders.push(FolderPlaces {
            keys: keys.collect(),
            header: table.header(),
        });
    }
    places
}

/// One table of the files, with the defaults of what it doesn't set.
#[derive(Clone, Copy)]
pub struct Table<'r> {
    pub section: Section,
    pub entries: &'r Entries,
    pub files: &'r [File],
}

impl Table<'_> {
    pub fn known(&self, name: &str) -> &'static Key {
        self.section
            .key(name)
            .expect("the table of keys has each that is asked for")
    }

    pub fn found(&self, name: &str) -> Option<&Found> {
        self.entries.found.get(self.known(name).name)
    }

    /// What is set, else the default.
    pub fn get(&self, name: &str) -> Option<Value> {
        if let Some(found) = self.found(name) {
            return Some(found.value.clone());
        }
        let key = self.known(name);
        match key.worth {
            Worth::Default(literal) => Some(default_of(key, literal)),
            Worth::Absent(_) | Worth::Required(_) => None,
        }
    }

    pub fn optional_text(&self, name: &str) -> Option<String> {
        match self.get(name)? {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    pub fn text(&self, name: &str) -> String {
        self.optional_text(name).unwrap_or_default()
    }

    pub fn texts(&self, name: &str) -> Vec<String> {
        match self.get(name) {
            Some(Value::Texts(texts)) => texts,
            _ => Vec::new(),
        }
    }

    pub fn optional_path(&self, name: &str) -> Option<PathBuf> {
        let path = PathBuf::from(self.optional_text(name)?);
        Some(match self.found(name) {
            Some(found) => tidy(&self.files[found.file].folder.join(path)),
            None => path,
        })
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.optional_path(name).unwrap_or_default()
    }

    pub fn number(&self, name: &str) -> f64 {
        match self.get(name) {
            Some(Value::Number(number)) => number,
            _ => 0.0,
        }
    }

    pub fn optional_count(&self, name: &str) -> Option<u64> {
        match self.get(name)? {
            Value::Count(count) => Some(count),
            _ => None,
        }
    }

    pub fn count(&self, name: &str) -> u64 {
        self.optional_count(name).unwrap_or_default()
    }

    pub fn flag(&self, name: &str) -> bool {
        matches!(self.get(name), Some(Value::Flag(true)))
    }

    pub fn duration(&self, name: &str) -> Duration {
        match self.get(name) {
            Some(Value::Duration(duration)) => duration,
            _ => Duration::ZERO,
        }
    }

    pub fn pairs(&self, name: &str) -> Vec<Pair> {
        match self.get(name) {
            Some(Value::Pairs(pairs)) => pairs,
            _ => Vec::new(),
        }
    }

    pub fn header(&self) -> Option<Place> {
        let (file, span) = self.entries.header.clone()?;
        Some(self.files[file].place(span, Showing::Plain))
    }

    /// Of the value that is set.
    pub fn place(&self, name: &str) -> Option<Place> {
        let found = self.found(name)?;
        let showing = showing(self.known(name));
        Some(self.files[found.file].place(found.value_span.clone(), showing))
    }

    /// Of the setting as a whole, by its name.
    pub fn key_place(&self, name: &str) -> Option<Place> {
        let found = self.found(name)?;
        let showing = showing(self.known(name));
        Some(self.files[found.file].place(found.key_span.clone(), showing))
    }

    /// Of a part of a value, such as one side of a pair.
    pub fn part_place(&self, name: &str, span: Range<usize>) -> Option<Place> {
        Some(self.files[self.found(name)?.file].place(span, Showing::Plain))
    }
}

/// A default of the table of keys, read as if a file had said it.
fn default_of(key: &Key, literal: &str) -> Value {
    let parsed = toml::de::DeValue::parse(literal).expect("defaults are TOML");
    let (value, _) = value::read(key.ty, &parsed);
    value.expect("defaults are of their key's type")
}

/// Without `.`, `..` and doubled slashes, by its letters alone: the path need not exist.
fn tidy(path: &Path) -> PathBuf {
    let mut tidy = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                tidy.pop();
            }
            other => tidy.push(other),
        }
    }
    tidy
}
