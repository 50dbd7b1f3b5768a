//! Values, each right by itself → a `Config` in which they fit together.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use super::keys::{Key, Section, Worth};
use super::problem::{Place, Problem, Showing, visible};
use super::read::{Entries, File, Found, Raw, showing};
use super::url::{Scheme, Url};
use super::value::{self, Pair, Value};
use super::{
    After, Alert, Api, Blank, Bulk, Config, CustomerKey, DateOrder, DecimalSign, Expect, Folder,
    Local, Missing, MoneyUnit, Others, Period, Retention, target,
};
use crate::kind::Kind;

/// Of a folder's or a store's name: it stands in tables, metrics and file names.
const NAME_CHARS_MAX: usize = 64;

/// Where each setting that a file makes stands, for problems that are found later.
#[derive(Clone, Debug, Default)]
pub struct Places {
    keys: BTreeMap<(Section, &'static str), Place>,
    folders: Vec<FolderPlaces>,
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

    /// Of a folder by its index in `Config::folders`; its header, where the key isn't set.
    pub fn folder(&self, index: usize, name: &str) -> Option<&Place> {
        let folder = self.folders.get(index)?;
        folder.keys.get(name).or(folder.header.as_ref())
    }
}

/// The configuration, and what does not fit. The first is of use only if there is no error.
pub fn build(files: &[File], raw: &Raw, host: &str) -> (Config, Places, Vec<Problem>) {
    let mut builder = Builder {
        files,
        problems: Vec::new(),
        broken: raw.broken,
    };
    let none = Entries::default();
    let table = |section| Table {
        section,
        entries: raw.sections.get(&section).unwrap_or(&none),
        files,
    };
    let top = table(Section::Top);
    let store = builder.store(&top, host);
    let mut config = Config {
        file: None,
        state_dir: top.path("state_dir"),
        presets_dir: top.path("presets_dir"),
        api: builder.api(&table(Section::Api)),
        folders: Vec::new(),
        local: builder.local(&table(Section::Local)),
        retention: retention(&table(Section::Retention)),
        alert: builder.alert(&table(Section::Alert)),
        store,
    };
    let mut known = Vec::new();
    let mut named = Vec::new();
    for entries in &raw.folders {
        let table = Table {
            section: Section::Folder,
            entries,
            files,
        };
        named.extend(
            builder
                .name_and_path(&table)
                .map(|(name, path)| Named { name, path, table }),
        );
        if let Some(folder) = builder.folder(&table, &config.store) {
            config.folders.push(folder);
            known.push(table);
        }
    }
    builder.folders_together(&config.state_dir, &named);
    let places = places(raw, &known, files);
    (config, places, builder.problems)
}

/// One folder as if a file had said only where it is and what it brings.
pub fn folder_with_defaults(name: &str, path: &Path, kind: Kind) -> Folder {
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

fn places(raw: &Raw, folders: &[Table<'_>], files: &[File]) -> Places {
    let mut places = Places::default();
    for (section, entries) in &raw.sections {
        for (name, found) in &entries.found {
            let key = section.key(name).expect("only known keys are found");
            let place = files[found.file].place(found.value_span.clone(), showing(key));
            places.keys.insert((*section, key.name), place);
        }
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

/// A folder as far as others may get in its way; its kind may still be wrong.
struct Named<'r> {
    name: String,
    path: PathBuf,
    table: Table<'r>,
}

/// One table of the files, with the defaults of what it doesn't set.
#[derive(Clone, Copy)]
struct Table<'r> {
    section: Section,
    entries: &'r Entries,
    files: &'r [File],
}

impl Table<'_> {
    fn known(&self, name: &str) -> &'static Key {
        self.section
            .key(name)
            .expect("the table of keys has each that is asked for")
    }

    fn found(&self, name: &str) -> Option<&Found> {
        self.entries.found.get(self.known(name).name)
    }

    /// What is set, else the default.
    fn get(&self, name: &str) -> Option<Value> {
        if let Some(found) = self.found(name) {
            return Some(found.value.clone());
        }
        let key = self.known(name);
        match key.worth {
            Worth::Default(literal) => Some(default_of(key, literal)),
            Worth::Absent(_) | Worth::Required(_) => None,
        }
    }

    fn optional_text(&self, name: &str) -> Option<String> {
        match self.get(name)? {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    fn text(&self, name: &str) -> String {
        self.optional_text(name).unwrap_or_default()
    }

    fn texts(&self, name: &str) -> Vec<String> {
        match self.get(name) {
            Some(Value::Texts(texts)) => texts,
            _ => Vec::new(),
        }
    }

    fn optional_path(&self, name: &str) -> Option<PathBuf> {
        let path = PathBuf::from(self.optional_text(name)?);
        Some(match self.found(name) {
            Some(found) => tidy(&self.files[found.file].folder.join(path)),
            None => path,
        })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.optional_path(name).unwrap_or_default()
    }

    fn number(&self, name: &str) -> f64 {
        match self.get(name) {
            Some(Value::Number(number)) => number,
            _ => 0.0,
        }
    }

    fn optional_count(&self, name: &str) -> Option<u64> {
        match self.get(name)? {
            Value::Count(count) => Some(count),
            _ => None,
        }
    }

    fn count(&self, name: &str) -> u64 {
        self.optional_count(name).unwrap_or_default()
    }

    fn flag(&self, name: &str) -> bool {
        matches!(self.get(name), Some(Value::Flag(true)))
    }

    fn duration(&self, name: &str) -> Duration {
        match self.get(name) {
            Some(Value::Duration(duration)) => duration,
            _ => Duration::ZERO,
        }
    }

    fn pairs(&self, name: &str) -> Vec<Pair> {
        match self.get(name) {
            Some(Value::Pairs(pairs)) => pairs,
            _ => Vec::new(),
        }
    }

    fn header(&self) -> Option<Place> {
        let (file, span) = self.entries.header.clone()?;
        Some(self.files[file].place(span, Showing::Plain))
    }

    /// Of the value that is set.
    fn place(&self, name: &str) -> Option<Place> {
        let found = self.found(name)?;
        let showing = showing(self.known(name));
        Some(self.files[found.file].place(found.value_span.clone(), showing))
    }

    /// Of the setting as a whole, by its name.
    fn key_place(&self, name: &str) -> Option<Place> {
        let found = self.found(name)?;
        let showing = showing(self.known(name));
        Some(self.files[found.file].place(found.key_span.clone(), showing))
    }

    /// Of a part of a value, such as one side of a pair.
    fn part_place(&self, name: &str, span: Range<usize>) -> Option<Place> {
        Some(self.files[self.found(name)?.file].place(span, Showing::Plain))
    }
}

/// A default of the table of keys, read as if a file had said it.
fn default_of(key: &Key, literal: &str) -> Value {
    let parsed = toml::de::DeValue::parse(literal).expect("defaults are TOML");
    let (value, _) = value::read(key.ty, &parsed);
    value.expect("defaults are of their key's type")
}

struct Builder<'f> {
    files: &'f [File],
    problems: Vec<Problem>,
    broken: bool,
}

impl Builder<'_> {
    fn error(&mut self, place: Option<Place>, message: impl Into<String>, hint: impl Into<String>) {
        self.problems
            .push(Problem::error(place, message).hint(hint));
    }

    fn store(&mut self, top: &Table<'_>, host: &str) -> String {
        let store = top
            .optional_text("store")
            .unwrap_or_else(|| host.to_owned());
        if store.trim().is_empty() || store.chars().count() > NAME_CHARS_MAX {
            let hint = format!("write 1 to {NAME_CHARS_MAX} characters such as \"paris-03\"");
            self.error(top.place("store"), "`store` is not a name", hint);
        }
        store
    }

    fn api(&mut self, table: &Table<'_>) -> Api {
        let url = table.text("url");
        match Url::parse(&url) {
            Ok(parsed) if parsed.has_user || parsed.has_query => self.error(
                // Whatever stands before an `@` or after a `?` may be a secret.
                table.found("url").map(|found| {
                    self.files[found.file].place(found.value_span.clone(), Showing::Masked)
                }),
                "`api.url` is more than an address",
                "write scheme and host alone: \"https://api.voucherify.io\"",
            ),
            Ok(parsed) if parsed.scheme == Scheme::Http && !parsed.is_loopback() => self.error(
                table.place("url"),
                "`api.url` would send the credentials unencrypted",
                "write `https://`; `http://` is for loopback addresses",
            ),
            Ok(_) | Err(_) => {}
        }
        Api {
            url: url.trim_end_matches('/').to_owned(),
            app_id_file: table.optional_path("app_id_file"),
            app_token_file: table.optional_path("app_token_file"),
            share: table.number("share"),
            stores: u32::try_from(table.count("stores")).unwrap_or(u32::MAX),
            period: match table.text("period").as_str() {
                "minute" => Period::Minute,
                "hour" => Period::Hour,
                _ => Period::Auto,
            },
            cycle_calls: table.optional_count("cycle_calls"),
            cycle_day: u8::try_from(table.count("cycle_day")).unwrap_or(1),
            bulk: match table.text("bulk").as_str() {
                "never" => Bulk::Never,
                "always" => Bulk::Always,
                _ => Bulk::Auto,
            },
            timeout: table.duration("timeout"),
            proxy: table.optional_text("proxy"),
            ca_file: table.optional_path("ca_file"),
        }
    }

    fn local(&mut self, table: &Table<'_>) -> Local {
        let local = Local {
            listen: match table.get("listen") {
                Some(Value::Listen(listen)) => listen,
                _ => None,
            },
            password_file: table.optional_path("password_file"),
            hosts: table.texts("hosts"),
        };
        let open = local
            .listen
            .is_some_and(|address| !address.ip().is_loopback());
        if open && !table.entries.mentioned.contains("password_file") {
            self.error(
                table.place("listen"),
                "`local.listen` lets other hosts see the page, and no `password_file` is set",
                "set `password_file`, or listen on 127.0.0.1",
            );
        }
        let name = |host: &String| {
            !host.is_empty()
                && host
                    .chars()
                    .all(|c| c.is_alphanumeric() || "-._".contains(c))
        };
        if !local.hosts.iter().all(name) {
            self.error(
                table.place("hosts"),
                "`local.hosts` has an entry that is not a host's name",
                "write names alone, without `http://` and port: [\"till-03.lan\"]",
            );
        }
        local
    }

    fn alert(&mut self, table: &Table<'_>) -> Alert {
        let command = table.texts("command");
        if command
            .first()
            .is_some_and(|program| program.trim().is_empty())
        {
            self.error(
                table.place("command"),
                "`alert.command` names no program",
                "write the program first: [\"/usr/local/bin/tell-it\"]",
            );
        }
        Alert {
            command,
            webhook: table.optional_text("webhook"),
            heartbeat: table.optional_text("heartbeat"),
            after: table.duration("after"),
            away_after: table.duration("away_after"),
        }
    }

    /// `None`: the path is missing or wrong.
    fn name_and_path(&mut self, table: &Table<'_>) -> Option<(String, PathBuf)> {
        for name in ["path", "kind"] {
            if !table.entries.mentioned.contains(name) && !self.broken {
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
    fn folder(&mut self, table: &Table<'_>, store: &str) -> Option<Folder> {
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
    fn folders_together(&mut self, state_dir: &Path, folders: &[Named<'_>]) {
        for (index, folder) in folders.iter().enumerate() {
            let earlier = || folders[..index].iter();
            if let Some(first) = earlier().find(|other| other.name == folder.name) {
                let hint = format!(
                    "give each its own `name`{}",
                    seen(first.name_place().as_ref())
                );
                self.error(folder.name_place(), "two folders have this name", hint);
            }
            let place = || folder.table.place("path");
            if let Some(first) = earlier().find(|other| other.path == folder.path) {
                let hint = format!(
                    "one folder, one entry{}",
                    seen(first.table.place("path").as_ref())
                );
                self.error(place(), "two folders have this path", hint);
            }
            if let Some(first) = earlier()
                .find(|other| nested(&other.path, &folder.path) && other.path != folder.path)
            {
                let hint = format!(
                    "put them side by side{}",
                    seen(first.table.place("path").as_ref())
                );
                self.error(place(), "one folder lies within another", hint);
            }
            if nested(&folder.path, state_dir) {
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

fn retention(table: &Table<'_>) -> Retention {
    Retention {
        archive: table.duration("archive"),
        log: table.duration("log"),
        min_free: table.count("min_free"),
    }
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
