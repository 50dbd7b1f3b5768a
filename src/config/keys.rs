//! The one table of settings: section, name, what a value looks like, the default, and a line for
//! people. Reading, nearest keys and the configuration that `init` writes are drawn from it.

/// Where a key stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Section {
    Top,
    Api,
    Folder,
    Local,
    Retention,
    Alert,
}

impl Section {
    /// In the order in which `init` writes them.
    pub const ALL: [Section; 6] = [
        Section::Top,
        Section::Api,
        Section::Folder,
        Section::Local,
        Section::Retention,
        Section::Alert,
    ];

    /// The table's name; empty for what stands in none.
    pub fn name(self) -> &'static str {
        match self {
            Section::Top => "",
            Section::Api => "api",
            Section::Folder => "folder",
            Section::Local => "local",
            Section::Retention => "retention",
            Section::Alert => "alert",
        }
    }

    pub fn keys(self) -> impl Iterator<Item = &'static Key> {
        KEYS.iter().filter(move |key| key.section == self)
    }

    pub fn key(self, name: &str) -> Option<&'static Key> {
        self.keys().find(|key| key.name == name)
    }
}

/// What a value has to look like.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Type {
    Text,
    /// Absolute, or relative to the file that says it.
    Path,
    /// Of a file that holds a secret: absolute, so that the secret itself is not taken for a name.
    SecretFile,
    Url,
    Flag,
    Duration {
        zero: Zero,
    },
    Size,
    Percent,
    /// 0 < n ≤ 1.
    Share,
    Count {
        min: u64,
        max: u64,
    },
    Choice(&'static [&'static str]),
    /// At least one pattern for file names.
    Patterns,
    Words,
    /// An IP address and port, or "".
    Listen,
    Marker,
    Encoding,
    Delimiter,
    Zone,
    Expect,
    /// Header or target → target or value.
    Pairs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Zero {
    Allowed,
    Refused,
}

/// A value as TOML writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Worth {
    Default(&'static str),
    /// Absent by default; an example.
    Absent(&'static str),
    /// Has to be said; an example.
    Required(&'static str),
}

#[derive(Clone, Copy, Debug)]
pub struct Key {
    pub section: Section,
    pub name: &'static str,
    pub ty: Type,
    pub worth: Worth,
    pub doc: &'static str,
}

impl Key {
    /// `api.share`
    pub fn path(&self) -> String {
        match self.section {
            Section::Top => self.name.to_owned(),
            section => format!("{}.{}", section.name(), self.name),
        }
    }
}

const fn key(
    section: Section,
    name: &'static str,
    ty: Type,
    worth: Worth,
    doc: &'static str,
) -> Key {
    Key {
        section,
        name,
        ty,
        worth,
        doc,
    }
}

/// Settings whose names look like secrets' and whose values are none.
const PLAIN: [&str; 2] = ["customer_key", "key_prefix"];

/// Whether this word, found in a configuration, is a setting whose value may be shown.
pub fn is_plain(word: &str) -> bool {
    PLAIN.contains(&word)
}

/// Whether the value of a key must never be shown. Addresses often carry a secret: in a hook's path, or
/// before an `@`.
pub fn is_secret(name: &str) -> bool {
    const ADDRESSES: [&str; 3] = ["webhook", "heartbeat", "proxy"];
    ADDRESSES.contains(&name) || (!is_plain(name) && super::problem::looks_secret(name))
}

use Section::{Alert, Api, Folder, Local, Retention, Top};
use Type::{
    Choice, Count, Delimiter, Duration, Encoding, Expect, Flag, Listen, Marker, Pairs, Path,
    Patterns, Percent, SecretFile, Share, Size, Text, Url, Words, Zone,
};
use Worth::{Absent, Default, Required};

const WAIT: Type = Duration {
    zero: Zero::Allowed,
};
const WAIT_SOME: Type = Duration {
    zero: Zero::Refused,
};

/// In the order in which `init` writes them.
// One setting reads as two lines; rustfmt would make seven of them.
#[rustfmt::skip]
pub const KEYS: &[Key] = &[
    key(Top, "store", Text, Absent(r#""paris-03""#),
        "this host's name: page, alerts, metrics, `{store}` in constants; absent: the host's"),
    key(Top, "state_dir", Path, Default(r#""/var/lib/tillsync""#),
        "tillsync.db lives here"),
    key(Top, "presets_dir", Path, Default(r#""/etc/tillsync/presets""#),
        "your own source formats, one TOML file each"),

    key(Api, "url", Url, Default(r#""https://api.voucherify.io""#),
        "the project's cluster; http only for loopback addresses"),
    key(Api, "app_id_file", SecretFile, Default(r#""/etc/tillsync/app-id""#),
        "readable by the service alone; `tillsync login` writes both"),
    key(Api, "app_token_file", SecretFile, Default(r#""/etc/tillsync/app-token""#),
        "before them: systemd credentials, TILLSYNC_APP_ID and TILLSYNC_APP_TOKEN"),
    key(Api, "share", Share, Default("0.5"),
        "of the project's rate limit that sync may take; the rest is the tills'"),
    key(Api, "stores", Count { min: 1, max: 100_000 }, Default("1"),
        "how many hosts run tillsync on this project: each takes share / stores"),
    key(Api, "period", Choice(&["auto", "minute", "hour"]), Default(r#""auto""#),
        "of the limit: minute | hour; auto: a minute, unless what remains does not come back"),
    key(Api, "cycle_calls", Count { min: 1, max: i64::MAX as u64 }, Absent("100000"),
        "of the plan, in a month; absent: not watched"),
    key(Api, "cycle_day", Count { min: 1, max: 31 }, Default("1"),
        "the day on which it starts anew"),
    key(Api, "bulk", Choice(&["auto", "never", "always"]), Default(r#""auto""#),
        "auto | never | always: whether many records go in one call"),
    key(Api, "timeout", WAIT_SOME, Default(r#""30s""#),
        "of one call"),
    key(Api, "proxy", Url, Absent(r#""http://proxy.lan:3128""#),
        "absent: none, whatever the environment says"),
    key(Api, "ca_file", Path, Absent(r#""/etc/tillsync/ca.pem""#),
        "beside the system's"),

    key(Folder, "name", Text, Absent(r#""customers""#),
        "in every command, alert and metric; absent: the path's last part"),
    key(Folder, "path", Path, Required(r#""/srv/drop/customers""#),
        "where exports are dropped"),
    key(Folder, "kind", Choice(&["customers", "products", "skus", "orders"]), Required(r#""customers""#),
        "customers | products | skus | orders"),
    key(Folder, "preset", Text, Default(r#""auto""#),
        "auto, or a name that `tillsync presets` lists"),
    key(Folder, "files", Patterns, Default(r#"["*.csv", "*.csv.gz", "*.tsv", "*.txt", "*.zip"]"#),
        "without regard to case; other files are counted and named in `status`"),
    key(Folder, "settle", WAIT, Default(r#""10s""#),
        "how long a closed file has to be unchanged"),
    key(Folder, "done", Marker, Absent(r#""{name}.ok""#),
        "a file is complete when this marker stands beside it; absent: none"),
    key(Folder, "blank", Choice(&["keep", "clear"]), Default(r#""keep""#),
        "an empty cell: keep what is stored | clear it"),
    key(Folder, "others", Choice(&["auto", "metadata", "ignore"]), Default(r#""auto""#),
        "columns that nothing maps: metadata | ignore; auto: as the preset says"),
    key(Folder, "missing", Choice(&["keep", "delete"]), Default(r#""keep""#),
        "a record that the file lacks: keep it | delete it (the file is the full list; not for orders)"),
    key(Folder, "max_delete", Percent, Default(r#""5%""#),
        "hold a file that would delete more than this part of what the folder brought"),
    key(Folder, "max_change", Percent, Default(r#""100%""#),
        "hold a file that would update more than this part of it"),
    key(Folder, "money", Choice(&["units", "cents"]), Absent(r#""units""#),
        "units: 12.99 | cents: 1299; absent: as the preset says"),
    key(Folder, "history", Flag, Default("false"),
        "orders only: import as history (no events, no distributions)"),
    key(Folder, "live", WAIT, Default(r#""7d""#),
        "orders only: hold a file with orders this much older than the file itself"),
    key(Folder, "key_prefix", Text, Default(r#""""#),
        "before each `source_id` of this folder"),
    key(Folder, "customer_prefix", Text, Default(r#""""#),
        "before its references to customers"),
    key(Folder, "product_prefix", Text, Default(r#""""#),
        "before its references to products"),
    key(Folder, "customer_key", Choice(&["id", "email"]), Absent(r#""id""#),
        "orders only: what names the customer: id | email; absent: id, else e-mail"),
    key(Folder, "after", Choice(&["archive", "delete", "leave"]), Default(r#""archive""#),
        "what becomes of a file that was taken in: archive | delete | leave"),
    key(Folder, "expect", Expect, Absent(r#""26h""#),
        "a to-do when no file with a row came for so long, or by \"Mon-Sat 06:30\"; absent: none"),
    key(Folder, "note", Text, Absent(r#""nightly job 17 of the ERP""#),
        "shown on page and in alerts"),
    key(Folder, "encoding", Encoding, Absent(r#""windows-1252""#),
        "absent: found out from the whole file"),
    key(Folder, "delimiter", Delimiter, Absent(r#"";""#),
        "one character, or \"tab\"; absent: found out"),
    key(Folder, "decimal", Choice(&[".", ","]), Absent(r#"",""#),
        "of numbers: \".\" | \",\"; absent: found out"),
    key(Folder, "dates", Choice(&["day-first", "month-first"]), Absent(r#""day-first""#),
        "of dates such as 03/04/2026: day-first | month-first; absent: found out"),
    key(Folder, "timezone", Zone, Absent(r#""Europe/Paris""#),
        "of times that say none; absent: the host's"),
    key(Folder, "columns", Pairs, Absent(r#"{ "E-Mail" = "email" }"#),
        "over the preset: the file's header = field, metadata.<key>, metadata.<key>:<type>, deleted, or \"\" to ignore it"),
    key(Folder, "constants", Pairs, Absent(r#"{ "metadata.store" = "{store}" }"#),
        "what each record gets"),

    key(Local, "listen", Listen, Default(r#""127.0.0.1:8787""#),
        "status page, /metrics, /healthz, /readyz; \"\" for none"),
    key(Local, "password_file", SecretFile, Absent(r#""/etc/tillsync/page""#),
        "needed where listen is not loopback"),
    key(Local, "hosts", Words, Default("[]"),
        "names that the page answers to"),

    key(Retention, "archive", WAIT, Default(r#""30d""#),
        "files in archive/ and rejects/"),
    key(Retention, "log", WAIT, Default(r#""180d""#),
        "change log and requests; what is not yet acknowledged and the newest of each record stay"),
    key(Retention, "min_free", Size, Default(r#""200MB""#),
        "below it, or below three times the file, no file is begun; delivery goes on"),

    key(Alert, "command", Words, Default("[]"),
        "gets one JSON object on standard input, when something begins and when it ends"),
    key(Alert, "webhook", Url, Absent(r#""https://hooks.example.com/x""#),
        "the same by POST"),
    key(Alert, "heartbeat", Url, Absent(r#""https://beat.example.com/y""#),
        "POST every minute while all works"),
    key(Alert, "after", WAIT, Default(r#""10m""#),
        "how long it must last"),
    key(Alert, "away_after", WAIT, Default(r#""4h""#),
        "the same for a link that is away: offline is normal"),
];
