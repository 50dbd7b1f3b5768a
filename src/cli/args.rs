//! What can be typed: every command with its arguments and help. Help, manual page and completions
//! are drawn from here; nothing here touches the disk.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum};

use crate::config::units;
use crate::kind::Kind;

const AFTER_HELP: &str = "\
Exit status:
  0   done
  1   internal error
  2   usage
  65  some rows were rejected, a file was held or could not be read, or records were parked
      (sync, import, plan); something needs a person (todo); drift was found (audit)
  69  the remote could not be reached and something is still pending (sync)
  74  input or output failed
  75  try again later (another tillsync is at work on this state)
  77  the remote refused the credentials
  78  configuration

Files:
  /etc/tillsync/tillsync.toml  the configuration, and conf.d/*.toml beside it
  /var/lib/tillsync            the store

Every problem of a configuration: `tillsync check`. What to do first: `tillsync init`, or
`tillsync demo` for a look without an account.";

/// CSV exports dropped into folders, carried to the Voucherify API, also by hosts that are often offline.
#[derive(Debug, Parser)]
#[command(name = "tillsync", version, after_help = AFTER_HELP, max_term_width = 100)]
#[command(
    propagate_version = true,
    subcommand_required = true,
    arg_required_else_help = true
)]
pub struct Cli {
    /// The configuration [default: $TILLSYNC_CONFIG, else /etc/tillsync/tillsync.toml]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,

    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// The daemon: takes in what is dropped, and delivers it
    #[command(
        after_help = "One per state directory: a second one exits 75 and names the first's process.\n\nExample:\n  tillsync run --config ~/trial/tillsync.toml"
    )]
    Run,

    /// The same work once: takes in all files present, delivers until nothing is pending, and ends
    #[command(
        after_help = "Examples:\n  tillsync sync\n  tillsync sync --no-deliver\n  tillsync sync --timeout 10m"
    )]
    Sync(Sync),

    /// Shows the main job with no account and no configuration
    #[command(after_help = "\
A stand-in of the remote API on loopback, sample exports dropped in, and the status page. Works in a
temporary folder and leaves nothing. Runs until Ctrl-C, or with --once until all is delivered.

Examples:
  tillsync demo
  tillsync demo --once")]
    Demo(Demo),

    /// A stand-in of the remote API alone, in memory, for trying and testing
    #[command(after_help = "Example:\n  tillsync standin --listen 127.0.0.1:9000")]
    Standin(Standin),

    /// Writes a commented configuration and makes the folders; overwrites nothing
    #[command(after_help = "\
Examples:
  sudo tillsync init
  tillsync init --config ~/trial/tillsync.toml --dir ~/trial   a trial without root")]
    Init(Init),

    /// Asks for the credentials, tries them and stores them for the service alone
    #[command(after_help = "\
Examples:
  sudo tillsync login
  printf '%s\\n' \"$APP_ID\" \"$APP_TOKEN\" | tillsync login --stdin   the app id's line first")]
    Login(Login),

    /// Configuration, folders, database, credentials: every problem in one run
    #[command(after_help = "\
Run it as the service's user, since it looks with the eyes of whoever runs it.

Example:
  sudo -u tillsync tillsync check --online")]
    Check(Check),

    /// Dry run: what a file would change, and what delivery would cost
    #[command(after_help = "\
Examples:
  tillsync plan /srv/drop/customers/today.csv
  tillsync plan today.csv --folder customers
  tillsync plan today.csv --kind customers --preset auto --format json")]
    Plan(Plan),

    /// Takes a file in by hand; the file stays where it is
    #[command(after_help = "\
Examples:
  tillsync import today.csv --folder customers
  tillsync import today.csv --kind customers")]
    Import(Import),

    /// Link, folders, files, stored, pending, parked, budget, last error, and what to do
    #[command(
        after_help = "Examples:\n  tillsync status\n  tillsync status --format json | jq .pending"
    )]
    Status(Shown),

    /// What needs a person, one line each; exits 65 if there is any
    #[command(after_help = "Example:\n  tillsync todo || echo somebody is needed")]
    Todo(Listed),

    /// Files that were seen, newest first
    #[command(
        after_help = "Examples:\n  tillsync files --since 2d\n  tillsync files --kind orders --format csv"
    )]
    Files(Listing),

    /// Rows that were rejected, with line, column and reason
    #[command(after_help = "Example:\n  tillsync rejects --file 12 --format csv > rejects.csv")]
    Rejects(Listing),

    /// The change log: what each file did to each record
    #[command(after_help = "Example:\n  tillsync changes --kind customers --key C-1001")]
    Changes(Listing),

    /// Records whose latest change the remote has not yet acknowledged
    #[command(
        after_help = "Examples:\n  tillsync pending --kind orders\n  tillsync pending --limit 20 --format json"
    )]
    Pending(Listing),

    /// Records that the remote refused, and why
    #[command(
        after_help = "Example:\n  tillsync parked --kind skus\n\n`tillsync retry` puts them back in the queue, `tillsync discard` gives them up."
    )]
    Parked(Listing),

    /// The log of requests to the remote
    #[command(
        after_help = "Examples:\n  tillsync requests --limit 20\n  tillsync requests --kind customers --key C-1001"
    )]
    Requests(Listing),

    /// Keys of stored customers by e-mail, phone or name
    #[command(after_help = "Example:\n  tillsync find jane@example.com")]
    Find(Find),

    /// Takes a held file in after all, for the number that was shown and not for more
    #[command(after_help = "Example:\n  tillsync accept 12")]
    Accept(FileId),

    /// Puts parked records back in the queue
    #[command(
        after_help = "Examples:\n  tillsync retry customers C-1001\n  tillsync retry --kind skus\n  tillsync retry --all"
    )]
    Retry(Retry),

    /// Sets parked records back to what the remote acknowledged, or puts a held file away
    #[command(after_help = "\
Examples:
  tillsync discard customers C-1001
  tillsync discard --file 12
  tillsync discard --all --yes")]
    Discard(Discard),

    /// Delivery stands until `resume`, over restarts; intake goes on
    #[command(after_help = "\
Examples:
  tillsync pause
  tillsync pause --for 2h
  tillsync pause --folder customers   that folder's intake instead")]
    Pause(Pause),

    /// Ends a `pause`
    #[command(after_help = "Examples:\n  tillsync resume\n  tillsync resume --folder customers")]
    Resume(Resume),

    /// Tries who is told when something needs a person
    #[command(after_help = "\
Each outlet that `[alert]` sets gets an alert of kind `test` that begins and ends, the heartbeat a beat.

Example:
  tillsync alert test")]
    Alert(Alert),

    /// Takes back what a wrongly dropped file changed, as new changes
    #[command(after_help = "Examples:\n  tillsync revert 12 --dry-run\n  tillsync revert 12 --yes")]
    Revert(Revert),

    /// The life of one record: lines that touched it, requests that carried it
    #[command(
        after_help = "Examples:\n  tillsync trace customers C-1001\n  tillsync trace orders - --remote < key.txt"
    )]
    Trace(Trace),

    /// Compares the remote with the store; exits 65 if something is missing or differs
    #[command(
        after_help = "Examples:\n  tillsync audit\n  tillsync audit --kind customers --repair --yes"
    )]
    Audit(Audit),

    /// Erases a person here, in archived files and at the remote, for good
    #[command(after_help = "\
Examples:
  tillsync forget customers C-1001
  tillsync forget customers --keys keys.txt --yes   one key a line
  tillsync forget customers C-1001 --lift           later files may bring the key again")]
    Forget(Forget),

    /// Says that the store belongs to the project of the present credentials
    #[command(after_help = "\
Needed after credentials of another project were set, or an old backup was restored: nothing is sent
until then. Compares by `audit`: what is equal counts as acknowledged, what differs is queued.

Example:
  tillsync rebind --yes")]
    Rebind(Rebind),

    /// The source formats, one's columns, or which would be taken for a file
    #[command(
        after_help = "Examples:\n  tillsync presets\n  tillsync presets shopify-customers\n  tillsync presets --for export.csv"
    )]
    Presets(Presets),

    /// A consistent, checked copy of the database, also while the daemon runs
    #[command(after_help = "Example:\n  tillsync backup /mnt/usb/tillsync-backup.db")]
    Backup(Backup),

    /// Puts a backup into an empty state directory
    #[command(
        after_help = "Example:\n  tillsync restore /mnt/usb/tillsync-backup.db   then: tillsync rebind"
    )]
    Restore(Restore),

    /// Completions for a shell, to standard output
    #[command(after_help = "\
Examples:
  tillsync completions bash > /usr/share/bash-completion/completions/tillsync
  tillsync completions zsh > /usr/share/zsh/site-functions/_tillsync
  tillsync completions fish > ~/.config/fish/completions/tillsync.fish")]
    Completions(Completions),

    /// The manual page, to standard output
    #[command(after_help = "Example:\n  tillsync man | man -l -")]
    Man,
}

#[derive(Debug, Args)]
pub struct Sync {
    /// Take files in, and send nothing
    #[arg(long)]
    pub no_deliver: bool,
    /// End after this time, with status 69 if something is still pending; without it, once the remote was
    /// away for ten minutes on end
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub timeout: Option<Duration>,
}

#[derive(Debug, Args)]
pub struct Demo {
    /// End when all is delivered: 0 if the stand-in then holds what was dropped
    #[arg(long)]
    pub once: bool,
}

#[derive(Debug, Args)]
pub struct Standin {
    /// Address and port; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    pub listen: std::net::SocketAddr,
}

#[derive(Debug, Args)]
pub struct Init {
    /// Put folders, store and credentials below this folder, for a trial
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct Login {
    /// Read app id and app token from standard input, a line each
    #[arg(long)]
    pub stdin: bool,
}

#[derive(Debug, Args)]
pub struct Check {
    /// Also call the API once
    #[arg(long)]
    pub online: bool,
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("settings").args(["folder", "kind"]))]
pub struct Plan {
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    #[command(flatten)]
    pub settings: Settings,
    #[command(flatten)]
    pub listed: Listed,
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("settings").args(["folder", "kind"]).required(true))]
pub struct Import {
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    #[command(flatten)]
    pub settings: Settings,
}

/// How a file given by hand is read.
#[derive(Debug, Args)]
pub struct Settings {
    /// With the settings of this folder
    #[arg(long, value_name = "NAME")]
    pub folder: Option<String>,
    /// As records of this kind, with the default settings
    #[arg(long, value_parser = kind(), hide_possible_values = false)]
    pub kind: Option<Kind>,
    /// In this source format
    #[arg(long, value_name = "NAME", requires = "kind", default_value = "auto")]
    pub preset: String,
}

/// Of what is shown at all.
#[derive(Clone, Copy, Debug, Args)]
pub struct Shown {
    /// [default: table]; csv has a row a value
    #[arg(long, value_enum)]
    pub format: Option<Format>,
}

/// Of what is shown as rows.
#[derive(Clone, Copy, Debug, Args)]
pub struct Listed {
    /// [default: table on a terminal, else csv]
    #[arg(long, value_enum)]
    pub format: Option<Format>,
    /// At most so many rows
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people: local time
    Table,
    /// One array of objects; times in UTC
    Json,
    /// With a header; times in UTC
    Csv,
}

/// A listing with its filters.
#[derive(Debug, Args)]
pub struct Listing {
    /// Only of this kind
    #[arg(long, value_parser = kind())]
    pub kind: Option<Kind>,
    /// Only of this record; `-` reads the key from standard input
    #[arg(long)]
    pub key: Option<String>,
    /// Only of this file, by its id
    #[arg(long, value_name = "ID")]
    pub file: Option<i64>,
    /// Only what is newer: 2h, 7d, 2026-11-24, 2026-11-24T08:00:00Z
    #[arg(long, value_name = "TIME", value_parser = since)]
    pub since: Option<Since>,
    #[command(flatten)]
    pub listed: Listed,
}

/// A time in the past, as typed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Since {
    Ago(Duration),
    At(jiff::Timestamp),
    /// In the zone in force.
    Local(jiff::civil::DateTime),
}

impl Since {
    /// UTC milliseconds.
    pub fn resolve(self, now_ms: i64, zone: &jiff::tz::TimeZone) -> i64 {
        match self {
            Since::Ago(ago) => {
                now_ms.saturating_sub(i64::try_from(ago.as_millis()).unwrap_or(i64::MAX))
            }
            Since::At(at) => at.as_millisecond(),
            Since::Local(local) => zone
                .to_timestamp(local)
                .map_or(i64::MIN, |at| at.as_millisecond()),
        }
    }
}

#[derive(Debug, Args)]
pub struct Find {
    /// `-` reads it from standard input
    pub text: String,
    #[command(flatten)]
    pub listed: Listed,
}

#[derive(Debug, Args)]
pub struct FileId {
    /// As `tillsync files` lists it
    #[arg(value_name = "FILE-ID")]
    pub id: i64,
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("which").args(["record_kind", "kind", "all"]).required(true))]
pub struct Retry {
    #[arg(value_name = "KIND", requires = "key", value_parser = kind())]
    pub record_kind: Option<Kind>,
    /// The record's source_id; `-` reads it from standard input
    #[arg(value_name = "KEY", requires = "record_kind")]
    pub key: Option<String>,
    /// All parked records of this kind
    #[arg(long, value_parser = kind())]
    pub kind: Option<Kind>,
    /// All parked records
    #[arg(long)]
    pub all: bool,
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("which").args(["record_kind", "kind", "all", "file"]).required(true))]
pub struct Discard {
    #[arg(value_name = "KIND", requires = "key", value_parser = kind())]
    pub record_kind: Option<Kind>,
    /// The record's source_id; `-` reads it from standard input
    #[arg(value_name = "KEY", requires = "record_kind")]
    pub key: Option<String>,
    /// All parked records of this kind
    #[arg(long, value_parser = kind())]
    pub kind: Option<Kind>,
    /// All parked records
    #[arg(long)]
    pub all: bool,
    /// A held file, by its id: it is put away, and changes nothing
    #[arg(long, value_name = "ID")]
    pub file: Option<i64>,
    #[command(flatten)]
    pub consent: Consent,
}

/// For what cannot be undone.
#[derive(Clone, Copy, Debug, Args)]
pub struct Consent {
    /// Do it without asking
    #[arg(long)]
    pub yes: bool,
}

#[derive(Debug, Args)]
pub struct Pause {
    /// Resume by itself after this time
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    pub period: Option<Duration>,
    /// Stop this folder's intake instead of delivery
    #[arg(long, value_name = "NAME")]
    pub folder: Option<String>,
}

#[derive(Debug, Args)]
pub struct Resume {
    /// This folder's intake instead of delivery
    #[arg(long, value_name = "NAME")]
    pub folder: Option<String>,
}

#[derive(Debug, Args)]
pub struct Alert {
    #[command(subcommand)]
    pub what: AlertWhat,
}

#[derive(Debug, clap::Subcommand)]
pub enum AlertWhat {
    /// Sends a test to every outlet that is set, and says what came of it
    Test,
}

#[derive(Debug, Args)]
pub struct Revert {
    /// As `tillsync files` lists it
    #[arg(value_name = "FILE-ID")]
    pub id: i64,
    /// Show what it would do, and do nothing
    #[arg(long)]
    pub dry_run: bool,
    #[command(flatten)]
    pub consent: Consent,
    #[command(flatten)]
    pub listed: Listed,
}

#[derive(Debug, Args)]
pub struct Trace {
    #[arg(value_parser = kind())]
    pub kind: Kind,
    /// The record's source_id; `-` reads it from standard input
    pub key: String,
    /// Also what the remote holds now, and its activity
    #[arg(long)]
    pub remote: bool,
    #[command(flatten)]
    pub listed: Listed,
}

#[derive(Debug, Args)]
pub struct Audit {
    /// Only this kind
    #[arg(long, value_parser = kind())]
    pub kind: Option<Kind>,
    /// Queue what is missing or differs
    #[arg(long)]
    pub repair: bool,
    /// Also list what the remote holds and this store doesn't know
    #[arg(long)]
    pub unknown: bool,
    #[command(flatten)]
    pub consent: Consent,
    #[command(flatten)]
    pub listed: Listed,
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("whom").args(["key", "keys"]).required(true))]
pub struct Forget {
    #[arg(value_parser = kind())]
    pub kind: Kind,
    /// The record's source_id; `-` reads it from standard input
    pub key: Option<String>,
    /// A file of keys, one a line; `-` is standard input
    #[arg(long, value_name = "FILE")]
    pub keys: Option<PathBuf>,
    /// Let later files bring the key again
    #[arg(long)]
    pub lift: bool,
    #[command(flatten)]
    pub consent: Consent,
}

#[derive(Debug, Args)]
pub struct Rebind {
    #[command(flatten)]
    pub consent: Consent,
}

#[derive(Debug, Args)]
pub struct Presets {
    /// Show this one's columns
    pub name: Option<String>,
    /// Say which would be taken for this file, and why not the next
    #[arg(long = "for", value_name = "FILE", conflicts_with = "name")]
    pub file: Option<PathBuf>,
    /// As records of this kind
    #[arg(long, value_parser = kind(), requires = "file")]
    pub kind: Option<Kind>,
    #[command(flatten)]
    pub listed: Listed,
}

#[derive(Debug, Args)]
pub struct Backup {
    /// A file that does not exist yet, or a folder
    #[arg(value_name = "DEST")]
    pub dest: PathBuf,
}

#[derive(Debug, Args)]
pub struct Restore {
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}

#[derive(Debug, Args)]
pub struct Completions {
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}

fn kind() -> impl TypedValueParser<Value = Kind> {
    let names = Kind::ALL.map(Kind::name);
    PossibleValuesParser::new(names)
        .map(|name| Kind::from_name(&name).expect("only kinds' names pass"))
}

fn duration(text: &str) -> Result<Duration, String> {
    units::duration(text).ok_or_else(|| "write it with its unit: 30s, 10m, 2h or 7d".to_owned())
}

fn since(text: &str) -> Result<Since, String> {
    if let Some(ago) = units::duration(text) {
        return Ok(Since::Ago(ago));
    }
    if let Ok(at) = text.parse::<jiff::Timestamp>() {
        return Ok(Since::At(at));
    }
    if let Ok(local) = text.parse::<jiff::civil::DateTime>() {
        return Ok(Since::Local(local));
    }
    Err(
        "write how long ago (2h, 7d), a day (2026-11-24), or a time (2026-11-24T08:00:00Z)"
            .to_owned(),
    )
}

#[cfg(test)]
mod tests;
