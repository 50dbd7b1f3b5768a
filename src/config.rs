//! The configuration: TOML with spans → a checked `Config`; all problems at once, each with file,
//! line, column and nearest key; where credentials come from.
//!
//! Knows nothing of the store, and of files' contents only the configuration's own.
//! A value of a key that looks like a secret is never in a message.

use std::path::PathBuf;
use std::time::Duration;

use crate::kind::Kind;

#[derive(Clone, Debug)]
pub struct Config {
    /// The main file; `None` where there is none (`demo`).
    pub file: Option<PathBuf>,
    /// This host's name: page, alerts, metrics, `{store}` in constants.
    pub store: String,
    pub state_dir: PathBuf,
    pub presets_dir: PathBuf,
    pub api: Api,
    pub folders: Vec<Folder>,
    pub local: Local,
    pub retention: Retention,
    pub alert: Alert,
}

#[derive(Clone, Debug)]
pub struct Api {
    /// Without a slash at the end.
    pub url: String,
    pub app_id_file: Option<PathBuf>,
    pub app_token_file: Option<PathBuf>,
    /// Of the project's rate limit, 0 < share ≤ 1.
    pub share: f64,
    /// Hosts that run tillsync on this project, ≥ 1.
    pub stores: u32,
    pub period: Period,
    pub cycle_calls: Option<u64>,
    /// 1 to 31.
    pub cycle_day: u8,
    pub bulk: Bulk,
    pub timeout: Duration,
    pub proxy: Option<String>,
    pub ca_file: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Period {
    Auto,
    Minute,
    Hour,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bulk {
    Auto,
    Never,
    Always,
}

#[derive(Clone, Debug)]
pub struct Folder {
    pub name: String,
    pub path: PathBuf,
    pub kind: Kind,
    /// `auto` or a preset's name.
    pub preset: String,
    /// Patterns with `*` and `?`, matched without regard to case.
    pub files: Vec<String>,
    pub settle: Duration,
    /// `{name}` stands for the file's name.
    pub done: Option<String>,
    pub blank: Blank,
    pub others: Others,
    pub missing: Missing,
    /// 0 to 100.
    pub max_delete_percent: f64,
    /// 0 to 100.
    pub max_change_percent: f64,
    /// `None`: what the preset says.
    pub money: Option<MoneyUnit>,
    pub history: bool,
    pub live: Duration,
    pub key_prefix: String,
    pub customer_prefix: String,
    pub product_prefix: String,
    /// Orders: what names the customer; `None`: its id, else its e-mail.
    pub customer_key: Option<CustomerKey>,
    pub after: After,
    pub expect: Option<Expect>,
    pub note: Option<String>,
    /// A WHATWG label such as `windows-1252`.
    pub encoding: Option<String>,
    pub delimiter: Option<u8>,
    pub decimal: Option<DecimalSign>,
    pub dates: Option<DateOrder>,
    /// An IANA name; `None`: the host's.
    pub timezone: Option<String>,
    /// Header → target (`email`, `metadata.points:number`, `deleted`, `consent.x`, "" for ignored), in the file's order.
    pub columns: Vec<(String, String)>,
    /// Target → value, `{store}` already put in.
    pub constants: Vec<(String, String)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blank {
    Keep,
    Clear,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Others {
    Auto,
    Metadata,
    Ignore,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    Keep,
    Delete,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MoneyUnit {
    Units,
    Cents,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CustomerKey {
    Id,
    Email,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    Archive,
    Delete,
    Leave,
}

/// Of a number: `12.99` or `12,99`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecimalSign {
    Point,
    Comma,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DateOrder {
    DayFirst,
    MonthFirst,
}

/// When a file with a row is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expect {
    /// `26h`: never longer than this without one.
    Every(Duration),
    /// `Mon-Sat 06:30`: on these days (Monday is 0) one has come by this local time.
    By {
        days: [bool; 7],
        hour: i8,
        minute: i8,
    },
}

#[derive(Clone, Debug)]
pub struct Local {
    /// `None`: no page.
    pub listen: Option<std::net::SocketAddr>,
    pub password_file: Option<PathBuf>,
    pub hosts: Vec<String>,
}

#[derive(Clone, Debug)]
pub struct Retention {
    pub archive: Duration,
    pub log: Duration,
    /// Bytes.
    pub min_free: u64,
}

#[derive(Clone, Debug)]
pub struct Alert {
    pub command: Vec<String>,
    pub webhook: Option<String>,
    pub heartbeat: Option<String>,
    pub after: Duration,
    pub away_after: Duration,
}
