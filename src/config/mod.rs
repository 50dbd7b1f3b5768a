//! The configuration: TOML with spans → a checked `Config`; all problems at once, each with file,
//! line, column and nearest key; where credentials come from.
//!
//! Knows nothing of the store, and of files' contents only the configuration's own.
//! A value of a key that looks like a secret is never in a message.

mod build;
pub mod credentials;
mod folder;
pub mod keys;
pub mod problem;
mod read;
mod table;
mod target;
pub mod template;
pub mod units;
pub mod url;
mod value;

#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::kind::Kind;

pub use problem::{Place, Problem, Problems, Severity};
pub use table::Places;

/// Where the configuration is, if nobody says otherwise.
pub const DEFAULT_FILE: &str = "/etc/tillsync/tillsync.toml";

/// A file above this is no configuration.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// What the process's surroundings say, as arguments.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// `$TILLSYNC_CONFIG`
    pub config: Option<OsString>,
    /// This host's name: the default of `store`.
    pub host: String,
}

impl Environment {
    pub fn of_process() -> Environment {
        let host = rustix::system::uname();
        Environment {
            config: std::env::var_os("TILLSYNC_CONFIG").filter(|path| !path.is_empty()),
            host: host.nodename().to_string_lossy().into_owned(),
        }
    }
}

/// Which file is meant: the one that was asked for, else `$TILLSYNC_CONFIG`, else the default.
pub fn file_meant(asked: Option<&Path>, environment: &Environment) -> PathBuf {
    match (asked, &environment.config) {
        (Some(path), _) => path.to_owned(),
        (None, Some(path)) => PathBuf::from(path),
        (None, None) => PathBuf::from(DEFAULT_FILE),
    }
}

/// Reads the configuration and checks it; all its problems in one run.
pub fn load(asked: Option<&Path>, environment: &Environment) -> Result<Config, Problems> {
    let survey = survey(asked, environment);
    match survey.problems.0.is_empty() {
        true => Ok(survey.config),
        false => Err(survey.problems),
    }
}

/// What `check` looks at: the configuration as far as it can be read, whatever is wrong with it.
#[derive(Clone, Debug)]
pub struct Survey {
    /// With defaults in the place of what is wrong: `places` tells which.
    pub config: Config,
    pub places: Places,
    /// Names of the files that were read, the main one first.
    pub files: Vec<String>,
    pub problems: Problems,
}

/// Reads the configuration for looking at it; `load` is for working with it.
pub fn survey(asked: Option<&Path>, environment: &Environment) -> Survey {
    let main = file_meant(asked, environment);
    let (files, mut problems) = gather(&main);
    let (mut config, places, found) = check(&files, &environment.host);
    if !files.is_empty() {
        problems.extend(found);
    }
    config.file = Some(main);
    Survey {
        config,
        places,
        files: files.into_iter().map(|file| file.name).collect(),
        problems: Problems(problems),
    }
}

/// The configuration that a text makes, as if it stood in a file of this name.
pub fn parse(name: &str, text: &str, host: &str) -> Result<Config, Problems> {
    let file = read::File {
        name: name.to_owned(),
        folder: PathBuf::from("/"),
        text: text.to_owned(),
    };
    let (config, _, problems) = check(&[file], host);
    match problems.is_empty() {
        true => Ok(config),
        false => Err(Problems(problems)),
    }
}

/// What the files say, and all problems in the order of their places.
fn check(files: &[read::File], host: &str) -> (Config, Places, Vec<Problem>) {
    let (raw, mut problems) = read::read(files);
    let (config, places, unfit) = build::build(files, &raw, host);
    problems.extend(unfit);
    problems.sort_by_key(|problem| {
        problem.place.as_ref().map(|place| {
            let file = files.iter().position(|file| file.name == place.file);
            (file, place.line, place.column)
        })
    });
    (config, places, problems)
}

/// The main file, and what stands in `conf.d` beside it, in the order of the names.
fn gather(main: &Path) -> (Vec<read::File>, Vec<Problem>) {
    let mut problems = Vec::new();
    let mut files: Vec<read::File> = open(main, &mut problems).into_iter().collect();
    let beside = main.parent().unwrap_or(Path::new("")).join("conf.d");
    let mut names = Vec::new();
    match std::fs::read_dir(&beside) {
        Ok(entries) => {
            for entry in entries.flatten() {
                let path = entry.path();
                let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
                if !hidden && path.extension().is_some_and(|ending| ending == "toml") {
                    names.push(path);
                }
            }
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => problems.push(unreadable(&beside, &error)),
    }
    names.sort();
    files.extend(names.iter().filter_map(|path| open(path, &mut problems)));
    (files, problems)
}

fn open(path: &Path, problems: &mut Vec<Problem>) -> Option<read::File> {
    let name = problem::visible(&path.to_string_lossy());
    let bytes = match read_bytes(path) {
        Ok(bytes) => bytes,
        Err(error) => {
            problems.push(unreadable(path, &error));
            return None;
        }
    };
    let text = match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let line = error.as_bytes()[..error.utf8_error().valid_up_to()]
                .iter()
                .filter(|byte| **byte == b'\n')
                .count();
            problems.push(
                Problem::error(None, format!("{name}: line {} is not UTF-8", line + 1))
                    .advice("Save the file as UTF-8."),
            );
            return None;
        }
    };
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    Some(read::File {
        name,
        folder: absolute.parent().unwrap_or(Path::new("/")).to_owned(),
        text,
    })
}

fn read_bytes(path: &Path) -> std::io::Result<Vec<u8>> {
    use std::io::Read;
    let file = std::fs::File::open(path)?;
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(std::io::ErrorKind::FileTooLarge.into());
    }
    Ok(bytes)
}

fn unreadable(path: &Path, error: &std::io::Error) -> Problem {
    let name = problem::visible(&path.to_string_lossy());
    let message = format!("{name}: {}", why(error));
    let advice = match error.kind() {
        std::io::ErrorKind::NotFound => {
            "`tillsync init` writes a configuration; `--config FILE` or TILLSYNC_CONFIG names another."
        }
        std::io::ErrorKind::PermissionDenied => {
            "Give the user that runs tillsync the right to read it, or run the command as that user."
        }
        _ => "Put a readable file there.",
    };
    Problem::error(None, message).advice(advice)
}

/// Name and text of each file of the user's own source formats. A folder that is not there holds none.
pub fn user_presets(dir: &Path) -> Result<Vec<(String, String)>, Problems> {
    let fault = |path: &Path, error: &std::io::Error| {
        Problems(vec![Problem::error(
            None,
            format!("{}: {}", path.display(), why(error)),
        )])
    };
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(fault(dir, &error)),
    };
    let mut paths: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    paths.retain(|path| {
        path.extension()
            .is_some_and(|extension| extension == "toml")
    });
    paths.sort();
    let read = |path: PathBuf| match std::fs::read_to_string(&path) {
        Ok(text) => Ok((path.display().to_string(), text)),
        Err(error) => Err(fault(&path, &error)),
    };
    paths.into_iter().map(read).collect()
}

/// An error of the file system in words.
pub fn why(error: &std::io::Error) -> String {
    use std::io::ErrorKind::{
        FileTooLarge, IsADirectory, NotADirectory, NotFound, PermissionDenied, ReadOnlyFilesystem,
        StorageFull,
    };
    match error.kind() {
        NotFound => "does not exist".to_owned(),
        PermissionDenied => "permission denied".to_owned(),
        IsADirectory => "is a folder, not a file".to_owned(),
        NotADirectory => "is not a folder".to_owned(),
        FileTooLarge => "is too large".to_owned(),
        ReadOnlyFilesystem => "the file system is read-only".to_owned(),
        StorageFull => "the disk is full".to_owned(),
        _ => {
            let text = error.to_string();
            let plain = text.split(" (os error").next().unwrap_or(&text);
            plain.to_lowercase()
        }
    }
}

impl Config {
    /// All defaults, without a file and without folders.
    pub fn with_defaults(store: &str, state_dir: &Path) -> Config {
        let (mut config, _, _) = build::build(&[], &read::Raw::default(), store);
        config.state_dir = state_dir.to_owned();
        config
    }

    pub fn folder(&self, name: &str) -> Option<&Folder> {
        self.folders.iter().find(|folder| folder.name == name)
    }
}

/// The name of no folder: under it stands what was taken in with `--kind`. No full list of a folder
/// speaks of its records, and no header of it is measured by another's.
pub const BY_HAND: &str = "(by hand)";

impl Folder {
    /// All defaults: for files that are taken in by hand, `--kind K --preset P`.
    pub fn with_defaults(name: &str, path: &Path, kind: Kind) -> Folder {
        folder::with_defaults(name, path, kind)
    }
}

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
