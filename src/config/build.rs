//! Values, each right by itself → a `Config` in which they fit together.

use super::folder::Named;
use super::keys::Section;
use super::problem::{Place, Problem, Showing};
use super::read::{Entries, File, Raw};
use super::table::{Places, Table, places};
use super::url::{Scheme, Url};
use super::value::Value;
use super::{Alert, Api, Bulk, Config, Local, Period, Retention};

/// Of a folder's or a store's name: it stands in tables, metrics and file names.
pub const NAME_CHARS_MAX: usize = 64;

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

/// Collects what does not fit.
pub struct Builder<'f> {
    pub files: &'f [File],
    pub problems: Vec<Problem>,
    /// A file is no TOML: what is absent may just not have been read.
    pub broken: bool,
}

impl Builder<'_> {
    pub fn error(
        &mut self,
        place: Option<Place>,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
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
        if open && !table.entries.mentioned.contains_key("password_file") {
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
}

fn retention(table: &Table<'_>) -> Retention {
    Retention {
        archive: table.duration("archive"),
        log: table.duration("log"),
        min_free: table.count("min_free"),
    }
}
