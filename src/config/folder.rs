//! A `[[folder]]` → a `Folder` whose settings fit its kind, and folders that do not get in each
//! other's way.

use std::path::{Path, PathBuf};

use super::build::{Builder, NAME_CHARS_MAX};
use super::keys::{Section, Worth};
use super::problem::{Place, visible};
use super::read::{Entries, File, Found};
use super::table::Table;
use super::value::Value;
use super::{
    After, Blank, CustomerKey, DateOrder, DecimalSign, Expect, Folder, Missing, MoneyUnit, Others,
    target,
};
use crate::kind::Kind;

/// One folder as if a file had said only where it is and what it brings.
pub fn with_defaults(name: &str, path: &Path, kind: Kind) -> Folder {
    let mut entries = Entries::default();
    for (key, text) in [
        ("name", name.to_owned()),
        ("path", path.to_string_lossy().into_owned()),
        ("kind", kind.name().to_owned()),
    ] {
        let found = Found {
            value: Value::Text(text),
            file: 0,
            key_span: 0..0,
            value_span: 0..0,
        };
        entries.found.insert(key, found);
    }
    let file = File {
        name: String::new(),
        folder: PathBuf::from("/"),
        text: String::new(),
    };
    let files = [file];
    let table = Table {
        section: Section::Folder,
        entries: &entries,
        files: &files,
    };
    let mut builder = Builder {
        files: &files,
        problems: Vec::new(),
        broken: false,
    };
    let mut folder = builder.folder(&table, "").expect("path and kind are said");
    // As it is, also where it is no text.
    folder.path = path.to_owned();
    folder
}

/// A folder as far as others may get in its way; its kind may still be wrong.
pub struct Named<'r> {
    pub name: String,
    pub path: PathBuf,
    pub table: Table<'r>,
}

impl Builder<'_> {
    /// `None`: the path is missing or wrong.
    pub fn name_and_path(&mut self, table: &Table<'_>) -> Option<(String, PathBuf)> {
        for name in ["path", "kind"] {
            if !table.entries.mentioned.contains_key(name) && !self.broken {
                let Worth::Required(example) = table.known(name).worth else {
                    continue;
                };
                self.error(
                    table.header(),
                    format!("this folder has no `{name}`"),
                    format!("add `{name} = {example}`"),
                );
            }
        }
        let path = table.optional_path("path")?;
        let (name, fits) = folder_name(table, &path);
        if !fits {
            let place = table.place("name").or_else(|| table.place("path"));
            let hint = format!(
                "give it a `name` of 1 to {NAME_CHARS_MAX} characters, without `/`, not beginning with `-`"
            );
            self.error(place, "`folder.name` is not a name to type", hint);
        }
        Some((name, path))
    }

    /// `None`: without path or kind there is none.
    pub fn folder(&mut self, table: &Table<'_>, store: &str) -> Option<Folder> {
        let path = table.optional_path("path")?;
        let kind = Kind::from_name(&table.optional_text("kind")?)?;
        self.folder_fits_kind(table, kind);
        let folder = Folder {
            name: folder_name(table, &path).0,
            path,
            kind,
            preset: table.text("preset"),
            files: table.texts("files"),
            settle: table.duration("settle"),
            done: table.optional_text("done"),
            blank: match table.text("blank").as_str() {
                "clear" => Blank::Clear,
                _ => Blank::Keep,
            },
            others: match table.text("others").as_str() {
                "metadata" => Others::Metadata,
                "ignore" => Others::Ignore,
                _ => Others::Auto,
            },
            missing: match table.text("missing").as_str() {
                "delete" => Missing::Delete,
                _ => Missing::Keep,
            },
            max_delete_percent: table.number("max_delete"),
            max_change_percent: table.number("max_change"),
            money: table
                .optional_text("money")
                .map(|money| match money.as_str() {
                    "cents" => MoneyUnit::Cents,
                    _ => MoneyUnit::Units,
                }),
            history: table.flag("history"),
            live: table.duration("live"),
            key_prefix: table.text("key_prefix"),
            customer_prefix: table.text("customer_prefix"),
            product_prefix: table.text("product_prefix"),
            customer_key: table
                .optional_text("customer_key")
                .map(|key| match key.as_str() {
                    "email" => CustomerKey::Email,
                    _ => CustomerKey::Id,
                }),
            after: match table.text("after").as_str() {
                "delete" => After::Delete,
                "leave" => After::Leave,
                _ => After::Archive,
            },
            expect: match table.get("expect") {
                Some(Value::Expect(expect)) => Some(expect),
                _ => None::<Expect>,
            },
            note: table.optional_text("note"),
            encoding: table.optional_text("encoding"),
            delimiter: match table.get("delimiter") {
                Some(Value::Byte(byte)) => Some(byte),
                _ => None,
            },
            decimal: table
                .optional_text("decimal")
                .map(|sign| match sign.as_str() {
                    "," => DecimalSign::Comma,
                    _ => DecimalSign::Point,
                }),
            dates: table
                .optional_text("dates")
                .map(|order| match order.as_str() {
                    "month-first" => DateOrder::MonthFirst,
                    _ => DateOrder::DayFirst,
                }),
            timezone: table.optional_text("timezone"),
            columns: self.columns(table, kind),
            constants: self.constants(table, kind, store),
        };
        Some(folder)
    }

    /// Settings that only some kinds have.
    fn folder_fits_kind(&mut self, table: &Table<'_>, kind: Kind) {
        let orders_only = ["history", "live", "customer_key", "customer_prefix"];
        for name in orders_only {
            if kind != Kind::Orders && table.found(name).is_some() {
                self.error(
                    table.key_place(name),
                    format!("`folder.{name}` is for orders only, and this folder brings {kind}"),
                    "take it out",
                );
            }
        }
        if matches!(kind, Kind::Customers | Kind::Products)
            && table.found("product_prefix").is_some()
        {
            self.error(
                table.key_place("product_prefix"),
                format!(
                    "`folder.product_prefix` is for SKUs and orders, and this folder brings {kind}"
                ),
                "take it out; `key_prefix` goes before a record's own key",
            );
        }
        if kind == Kind::Orders && table.text("missing") == "delete" {
            self.error(
                table.place("missing"),
                "`folder.missing` cannot be \"delete\" for orders: they cannot be deleted at the remote",
                "write \"keep\"",
            );
        }
        if table.flag("history") && table.found("live").is_some() {
            self.error(
                table.key_place("live"),
                "`folder.live` means nothing where `history` is true",
                "take out one of them",
            );
        }
    }

    fn columns(&mut self, table: &Table<'_>, kind: Kind) -> Vec<(String, String)> {
        let mut columns: Vec<(String, String)> = Vec::new();
        for pair in table.pairs("columns") {
            let twin = |(left, _): &(String, String)| fold(left) == fold(&pair.left);
            if columns.iter().any(twin) {
                self.error(
                    table.part_place("columns", pair.left_span),
                    "`folder.columns` names this header twice",
                    "case and outer spaces do not count; take out one of them",
                );
                continue;
            }
            if fold(&pair.left).is_empty() {
                self.error(
                    table.part_place("columns", pair.left_span),
                    "`folder.columns` names an empty header",
                    "write the column's header",
                );
                continue;
            }
            if let Err(wrong) = target::check_column(kind, &pair.right) {
                self.error(
                    table.part_place("columns", pair.right_span),
                    format!("`folder.columns`: this {}", wrong.message),
                    wrong.hint,
                );
            }
            columns.push((pair.left, pair.right));
        }
        columns
    }

    fn constants(&mut self, table: &Table<'_>, kind: Kind, store: &str) -> Vec<(String, String)> {
        let mut constants = Vec::new();
        for pair in table.pairs("constants") {
            if let Err(wrong) = target::check_constant(kind, &pair.left) {
                self.error(
                    table.part_place("constants", pair.left_span),
                    format!("`folder.constants`: this {}", wrong.message),
                    wrong.hint,
                );
            }
            constants.push((pair.left, pair.right.replace("{store}", store)));
        }
        constants
    }

    /// Names and paths that get in each other's way.
    pub fn folders_together(&mut self, state_dir: &Path, folders: &[Named<'_>]) {
        // Where links lead; a folder that is not there yet is what it says.
        let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let state_dir = real(state_dir);
        let folders: Vec<_> = (folders.iter()).map(|f| (f, real(&f.path))).collect();
        for (index, (folder, path)) in folders.iter().enumerate() {
            let earlier = || folders[..index].iter();
            if let Some((first, _)) = earlier().find(|(other, _)| other.name == folder.name) {
                let hint = format!(
                    "give each its own `name`{}",
                    seen(first.name_place().as_ref())
                );
                self.error(folder.name_place(), "two folders have this name", hint);
            }
            let place = || folder.table.place("path");
            if let Some((first, _)) = earlier().find(|(_, other)| other == path) {
                let hint = format!(
                    "one folder, one entry{}",
                    seen(first.table.place("path").as_ref())
                );
                self.error(place(), "two folders have this path", hint);
            }
            if let Some((first, _)) =
                earlier().find(|(_, other)| nested(other, path) && other != path)
            {
                let hint = format!(
                    "put them side by side{}",
                    seen(first.table.place("path").as_ref())
                );
                self.error(place(), "one folder lies within another", hint);
            }
            if nested(path, &state_dir) {
                self.error(
                    place(),
                    "this folder and `state_dir` lie within each other",
                    "put them side by side",
                );
            }
        }
    }
}

impl Named<'_> {
    fn name_place(&self) -> Option<Place> {
        self.table
            .place("name")
            .or_else(|| self.table.place("path"))
    }
}

fn nested(one: &Path, other: &Path) -> bool {
    one.starts_with(other) || other.starts_with(one)
}

/// The name that is set, else the path's last part; and whether it can be typed and shown.
fn folder_name(table: &Table<'_>, path: &Path) -> (String, bool) {
    let last = path
        .file_name()
        .map(|name| visible(&name.to_string_lossy()));
    let name = table.optional_text("name").or(last).unwrap_or_default();
    let fits = !name.trim().is_empty()
        && name == name.trim()
        && name.chars().count() <= NAME_CHARS_MAX
        && !name.contains('/')
        && !name.starts_with('-');
    (name, fits)
}

/// `; the other is tillsync.toml:12`
fn seen(place: Option<&Place>) -> String {
    place.map_or(String::new(), |place| {
        format!("; the other is {}:{}", place.file, place.line)
    })
}

/// As headers are compared.
fn fold(header: &str) -> String {
    header.trim().to_lowercase()
}
