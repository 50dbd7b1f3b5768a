//! `check`: everything that can be wrong before the daemon starts, in one run: configuration, time zone,
//! store, folders, credentials, share, page, alerts.
//!
//! Looks with the eyes of whoever runs it, and changes nothing.

mod eyes;
mod file_system;
mod folder;

use std::path::{Path, PathBuf};
use std::{io, iter};

use rustix::fs::Access;

use super::args::Check;
use super::{Failure, Shell, Status};
use crate::budget::Part;
use crate::config::credentials::{self, Absent, Origin, Surroundings};
use crate::config::keys::Section;
use crate::config::problem::{nearest, visible};
use crate::config::{self, Config, Missing, Places, Problem, Severity, Survey, why};
use crate::daemon;
use crate::daemon::online::{self, Reach};
use crate::daemon::parts;
use crate::kind::Kind;
use crate::status::words::count;
use crate::store::{self, Store};
use eyes::Eyes;
use file_system::Nature;

/// Calls a minute of the largest plan that is sold (API.md, Limits).
const LARGEST_LIMIT: u64 = 2_000;

/// What a look at one thing finds.
#[derive(Clone, Debug)]
pub enum Finding {
    /// In order: what, and how it is.
    Ok(String),
    Problem(Problem),
}

impl Finding {
    fn error(message: impl Into<String>, advice: impl Into<String>) -> Finding {
        Finding::Problem(Problem::error(None, message).advice(advice))
    }

    fn warning(message: impl Into<String>, advice: impl Into<String>) -> Finding {
        Finding::Problem(Problem::warning(None, message).advice(advice))
    }
}

pub fn run(args: &Check, shell: &mut Shell<'_>) -> Result<Status, Failure> {
    let survey = config::survey(shell.config.as_deref(), &shell.environment);
    let around = Surroundings::of_process();
    let mut findings = configuration(&survey);
    if !survey.files.is_empty() {
        findings.extend(surroundings(&survey, &around, &Eyes::of_process()));
    }
    let mut status = Status::Done;
    if args.online {
        let (found, reached) = online(&survey);
        findings.extend(found);
        status = reached;
    }
    let (mut errors, mut warnings) = (0, 0);
    for finding in &findings {
        match finding {
            Finding::Ok(line) => shell.say(&format!("ok  {line}"))?,
            Finding::Problem(problem) => {
                match problem.severity {
                    Severity::Error => errors += 1,
                    Severity::Warning => warnings += 1,
                }
                shell.problem(problem)?;
            }
        }
    }
    // A refusal is an error of its own, with a status of its own.
    if errors > usize::from(status == Status::Refused) {
        status = Status::Misconfigured;
    }
    let counted = |count: usize, what: &str| match count {
        0 => None,
        1 => Some(format!("1 {what}")),
        _ => Some(format!("{count} {what}s")),
    };
    let summary: Vec<String> = [counted(errors, "error"), counted(warnings, "warning")]
        .into_iter()
        .flatten()
        .collect();
    if !summary.is_empty() {
        shell.note(&summary.join(", "));
    }
    Ok(status)
}

/// One call of the API, with the settings as they are.
fn online(survey: &Survey) -> (Vec<Finding>, Status) {
    if survey
        .problems
        .0
        .iter()
        .any(|problem| problem.severity == Severity::Error)
    {
        let finding = Finding::warning(
            "the API was not called: the configuration has errors",
            "Correct them first.",
        );
        return (vec![finding], Status::Done);
    }
    let probed = match online::probe(&survey.config, None) {
        Ok(probed) => probed,
        Err(error) => {
            let problem = Problem::error(None, format!("the API was not called: {error}"));
            return (vec![Finding::Problem(problem)], Status::Done);
        }
    };
    let told = probed.limit;
    let (finding, status) = match &probed.reach {
        Reach::Reached => {
            let limit = probed.limit.map_or_else(
                || "it told no rate limit".to_owned(),
                |limit| format!("{limit} calls a {}", probed.period),
            );
            let left = probed
                .remaining
                .map_or_else(String::new, |left| format!(", {left} left"));
            let line = format!("online: the API takes the credentials; {limit}{left}");
            (Finding::Ok(line), Status::Done)
        }
        Reach::Refused { reason } => (
            Finding::error(
                format!("online: {reason}"),
                "Store the right credentials with `tillsync login`. Files are taken in meanwhile, and wait.",
            ),
            Status::Refused,
        ),
        Reach::Away { reason } => (
            Finding::warning(
                format!("online: the API could not be reached: {reason}"),
                "Nothing to do if this host is offline now and then: delivery takes up by itself.",
            ),
            Status::Away,
        ),
        Reach::Limited { reason } => (
            Finding::warning(
                format!("online: the credentials could not be tried: {reason}"),
                "Try again later.",
            ),
            Status::Done,
        ),
    };
    let before = stored_limit(&survey.config.state_dir);
    let news = told.filter(|told| before != Some(*told));
    let part = news.map(|limit| share(&survey.config, Some(limit)));
    (iter::once(finding).chain(part.flatten()).collect(), status)
}

fn configuration(survey: &Survey) -> Vec<Finding> {
    let problems = survey.problems.0.iter().cloned().map(Finding::Problem);
    let mut findings: Vec<Finding> = problems.collect();
    if findings.is_empty() {
        let folders = match survey.config.folders.len() {
            1 => "1 folder".to_owned(),
            count => format!("{count} folders"),
        };
        findings.push(Finding::Ok(format!(
            "configuration ({}): {folders}",
            survey.files.join(", ")
        )));
        if survey.config.folders.is_empty() {
            findings.push(Finding::warning(
                "no folder is configured: nothing would be taken in",
                "Add a `[[folder]]` with `path` and `kind`.",
            ));
        }
    }
    findings
}

/// All that lies outside the configuration's own text.
fn surroundings(survey: &Survey, around: &Surroundings, eyes: &Eyes) -> Vec<Finding> {
    let Survey { config, places, .. } = survey;
    let mut findings = vec![user(eyes), zone()];
    if !places.is_faulty(Section::Top, "state_dir") {
        findings.extend(state(config, places, eyes));
    }
    match known_presets(config) {
        Ok(known) => findings.extend(presets(config, places, &known)),
        Err(faults) => findings.extend(faults),
    }
    for (index, folder) in config.folders.iter().enumerate() {
        findings.extend(folder::look(folder, places.folder(index, "path"), eyes));
    }
    let api = ["app_id_file", "app_token_file"];
    if !api.iter().any(|name| places.is_faulty(Section::Api, name)) {
        findings.push(credentials(config, around, eyes));
    }
    findings.extend(share(config, stored_limit(&config.state_dir)));
    findings.extend(files_named(config, places));
    findings.extend(page(config, places));
    findings.extend(alerts(config));
    findings
}

/// Whose eyes these are.
fn user(eyes: &Eyes) -> Finding {
    match eyes {
        Eyes::Own(name) => Finding::Ok(format!("user: {name}")),
        Eyes::Lent(user, _) => Finding::Ok(format!(
            "user: `{}`, looked at by root",
            visible(&user.name)
        )),
        Eyes::Root => Finding::warning(
            "looked at as root, who may read and write everything",
            "Run it as the user that runs tillsync, to see what that user may do.",
        ),
    }
}

/// A source format that can be named.
#[derive(Clone, Debug)]
struct KnownPreset {
    name: String,
    /// That it brings.
    kinds: Vec<Kind>,
    /// Its files are parts of an export, never a full list.
    is_split: bool,
}

/// Folders that name a source format which is not there, or brings something else.
fn presets(config: &Config, places: &Places, known: &[KnownPreset]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, folder) in config.folders.iter().enumerate() {
        if folder.preset == "auto" {
            continue;
        }
        let place = places.folder(index, "preset").cloned();
        let found = known.iter().find(|preset| preset.name == folder.preset);
        let problem = match found {
            Some(preset) if preset.kinds.contains(&folder.kind) => {
                if !preset.is_split || folder.missing == Missing::Keep {
                    continue;
                }
                let place = places.folder(index, "missing").cloned();
                Problem::error(
                    place,
                    "`folder.missing` is \"delete\", and the source format comes in parts: each part would delete the records of the others",
                )
                .hint("write \"keep\"")
            }
            Some(preset) => {
                let kinds: Vec<&str> = preset.kinds.iter().map(|kind| kind.name()).collect();
                Problem::error(
                    place,
                    format!(
                        "`folder.preset` brings {}, and this folder {}",
                        kinds.join(" and "),
                        folder.kind
                    ),
                )
                .hint("correct one of them, or write \"auto\"")
            }
            None => {
                let names = known.iter().map(|preset| preset.name.as_str());
                let hint = match nearest(&folder.preset, names) {
                    Some(near) => format!("did you mean \"{near}\"?"),
                    None => "`tillsync presets` lists them".to_owned(),
                };
                Problem::error(place, "`folder.preset` names no known source format").hint(hint)
            }
        };
        findings.push(Finding::Problem(problem));
    }
    findings
}

fn zone() -> Finding {
    match jiff::tz::TimeZone::try_system() {
        Ok(zone) => match zone.iana_name() {
            Some(name) => Finding::Ok(format!(
                "time zone: {name}, for times in files that say none"
            )),
            None => Finding::Ok(
                "time zone: the host's own, without a name, for times in files that say none"
                    .to_owned(),
            ),
        },
        Err(_) => Finding::warning(
            "the host's time zone cannot be told; UTC is in force",
            "Set it with `timedatectl set-timezone`, or set `timezone` for each folder.",
        ),
    }
}

/// The folder of the store: there or to be made, ours to write, and safe for a database.
fn state(config: &Config, places: &Places, eyes: &Eyes) -> Vec<Finding> {
    let user = eyes.user();
    let place = places.key(Section::Top, "state_dir").cloned();
    let path = &config.state_dir;
    let shown = format!("store ({})", visible(&path.to_string_lossy()));
    let error = |message: String, advice: String| {
        vec![Finding::Problem(
            Problem::error(place.clone(), message).advice(advice),
        )]
    };
    let (standing, exists) = match standing(path) {
        Ok(standing) => {
            let exists = standing == *path;
            (standing, exists)
        }
        Err(problem) => {
            return error(
                format!("{shown}: cannot be looked at ({})", why(&problem)),
                format!("Give {user} the right to enter the folders above it."),
            );
        }
    };
    if !standing.is_dir() {
        let file = visible(&standing.to_string_lossy());
        return error(
            format!("{shown}: {file} is not a folder"),
            "Name a folder as `state_dir`.".to_owned(),
        );
    }
    let all = Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK;
    if let Err(problem) = eyes.access(&standing, all) {
        let verb = if exists { "written to" } else { "made" };
        return error(
            format!("{shown}: cannot be {verb} ({})", why(&problem)),
            format!("Give it to {user}: nothing can be stored without it."),
        );
    }
    let file_system = match file_system::of(&standing) {
        Ok(file_system) => file_system,
        Err(problem) => {
            return error(
                format!(
                    "{shown}: its file system cannot be told ({})",
                    why(&problem)
                ),
                "Put it on a disk of this host.".to_owned(),
            );
        }
    };
    let mut findings = Vec::new();
    match file_system.nature {
        Nature::Network => {
            return error(
                format!("{shown}: is on {}, a network file system", file_system.name),
                "A database is not safe there, and `run` refuses it. Put `state_dir` on a disk of this host.".to_owned(),
            );
        }
        Nature::Memory => findings.push(Finding::Problem(
            Problem::warning(
                place.clone(),
                format!(
                    "{shown}: is on {}, and gone at the next boot",
                    file_system.name
                ),
            )
            .advice("Put `state_dir` on a disk."),
        )),
        Nature::Local | Nature::Program => {}
    }
    let how = if exists { "writable" } else { "will be made" };
    findings.push(Finding::Ok(format!("{shown}: {how}, {}", file_system.name)));
    if exists {
        findings.extend(check_database(path));
    }
    findings
}

/// The path itself, or the nearest folder above it that exists.
fn standing(path: &Path) -> io::Result<PathBuf> {
    let mut at = path;
    loop {
        match std::fs::metadata(at) {
            Ok(_) => return Ok(at.to_owned()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => match at.parent() {
                Some(parent) => at = parent,
                None => return Err(error),
            },
            Err(error) => return Err(error),
        }
    }
}

/// Whether the database in this folder can be opened, and is of this version or an older one.
fn check_database(state_dir: &Path) -> Vec<Finding> {
    let advice = |error: &store::Error| match error {
        store::Error::Newer { .. } => "Install that version; the database was left as it is.",
        store::Error::Damaged(_) => {
            "Start (or restart) tillsync: it keeps the damaged file aside. Then put a backup in its place with `tillsync restore`."
        }
        store::Error::Aside { .. } => {
            "Put a backup in its place with `tillsync restore`, or move the damaged file to another folder."
        }
        store::Error::Broken(_) => "Look at the disk: the system's log says more.",
        _ => "Give the database to the user that runs tillsync.",
    };
    match Store::look(state_dir) {
        Ok(None) => Vec::new(),
        Ok(Some(_)) => vec![Finding::Ok("database: opens".to_owned())],
        Err(error) => vec![Finding::error(format!("database: {error}"), advice(&error))],
    }
}

/// The rate limit that the remote last told, in calls a period.
fn stored_limit(state_dir: &Path) -> Option<u64> {
    // A database that cannot be read is said above.
    let reader = Store::look(state_dir).ok().flatten()?;
    online::last_limit(&reader).ok().flatten()
}

/// The source formats that can be named; the user's own with a fault are a finding of their own.
fn known_presets(config: &Config) -> Result<Vec<KnownPreset>, Vec<Finding>> {
    match parts::presets(config) {
        Ok(presets) => Ok(presets
            .iter()
            .map(|preset| KnownPreset {
                name: preset.name.clone(),
                kinds: preset.kinds.clone(),
                is_split: preset.is_split(),
            })
            .collect()),
        Err(daemon::Error::Configuration(problems)) => {
            Err(problems.0.into_iter().map(Finding::Problem).collect())
        }
        Err(error) => Err(vec![Finding::Problem(Problem::error(
            None,
            error.to_string(),
        ))]),
    }
}

fn credentials(config: &Config, around: &Surroundings, eyes: &Eyes) -> Finding {
    match credentials::read(&config.api, around) {
        Ok((_, Origin::Files)) => credential_files(config, eyes),
        Ok((_, origin)) => Finding::Ok(format!("credentials: {origin}")),
        Err(absent) => {
            let advice = match &absent {
                Absent::None { .. } => "Files would be taken in, and wait.",
                Absent::Half { .. } => "Set both in the same place: `tillsync login` does.",
                Absent::Open(_) => {
                    "Make it the service's own: `chown` it to its user, `chmod 600` it."
                }
                Absent::Unreadable { .. } => {
                    "Give the service's user the right to read it, and nobody else."
                }
                Absent::NoCredential { .. } => "Store them anew with `tillsync login`.",
            };
            Finding::error(absent.to_string(), advice)
        }
    }
}

/// Ours to read, also where root has read them.
fn credential_files(config: &Config, eyes: &Eyes) -> Finding {
    let files = [&config.api.app_id_file, &config.api.app_token_file];
    for path in files.into_iter().flatten() {
        if let Err(error) = eyes.access(path, Access::READ_OK) {
            return Finding::error(
                format!(
                    "{}: cannot be read ({})",
                    visible(&path.to_string_lossy()),
                    why(&error)
                ),
                format!("Give it to {}: `chown` it, `chmod 600` it.", eyes.user()),
            );
        }
    }
    Finding::Ok(format!("credentials: {}", Origin::Files))
}

/// A share that is less than one call in a period would never send anything. `limit`: as told; before
/// that, what would be no call of the largest plan's is none of any.
fn share(config: &Config, limit: Option<u64>) -> Option<Finding> {
    let calls = Part::of(&config.api).of_limit(limit.unwrap_or(LARGEST_LIMIT));
    match (calls, limit) {
        (0, _) => Some(Finding::error(
            format!(
                "`api.share` of {} for {} allows no call at all of the plan's {}",
                config.api.share,
                count(config.api.stores.into(), "store", "stores"),
                limit.map_or_else(
                    || format!("limit: the largest is {LARGEST_LIMIT} calls a minute"),
                    |limit| format!("{limit}")
                ),
            ),
            "Nothing would ever be sent. Raise `share`, or let fewer hosts run tillsync.",
        )),
        (calls, Some(limit)) => Some(Finding::Ok(format!(
            "share: {calls} of the plan's {limit} calls"
        ))),
        (_, None) => None,
    }
}

/// Files that the configuration names and that are read later.
fn files_named(config: &Config, places: &Places) -> Vec<Finding> {
    let mut findings = Vec::new();
    let named = [
        (Section::Api, "ca_file", &config.api.ca_file),
        (Section::Local, "password_file", &config.local.password_file),
    ];
    for (section, name, path) in named {
        let Some(path) = path else {
            continue;
        };
        let place = places.key(section, name).cloned();
        let shown = visible(&path.to_string_lossy());
        let facts = match std::fs::File::open(path).and_then(|file| file.metadata()) {
            Ok(facts) => facts,
            Err(error) => {
                let message = format!("{shown}: {}", why(&error));
                let advice = format!(
                    "`{name}` names it. Put it there, readable by the service's user, or take the setting out."
                );
                findings.push(Finding::Problem(
                    Problem::error(place, message).advice(advice),
                ));
                continue;
            }
        };
        let open = std::os::unix::fs::MetadataExt::mode(&facts) & 0o077 != 0;
        if name == "password_file" && open {
            let message = format!("{shown}: others can read this file");
            findings.push(Finding::Problem(Problem::error(place, message).advice(
                "Make it the service's own: `chown` it to its user, `chmod 600` it.",
            )));
        }
    }
    findings
}

fn page(config: &Config, places: &Places) -> Option<Finding> {
    let listen = config.local.listen?;
    if listen.ip().is_loopback() {
        return Some(Finding::Ok(format!("page: http://{listen}/")));
    }
    let place = places.key(Section::Local, "listen").cloned();
    Some(Finding::Problem(
        Problem::warning(
            place,
            "the page can be seen from other hosts, unencrypted, and has no login of its own for what it shows openly",
        )
        .advice("Let a firewall or a reverse proxy with TLS stand before it, or listen on 127.0.0.1."),
    ))
}

fn alerts(config: &Config) -> Vec<Finding> {
    let alert = &config.alert;
    let mut findings = Vec::new();
    if alert.command.is_empty() && alert.webhook.is_none() {
        findings.push(Finding::warning(
            "nobody would be alerted when something needs a person",
            "Set `command` or `webhook` under `[alert]`, or look at `tillsync todo` now and then.",
        ));
    }
    if let Some(program) = alert.command.first() {
        let path = Path::new(program);
        let usable = !path.is_absolute() || rustix::fs::access(path, Access::EXEC_OK).is_ok();
        if !usable {
            findings.push(Finding::error(
                format!("{}: cannot be run", visible(program)),
                "`alert.command` names it. Put the program there, with the right to run it.",
            ));
        }
    }
    findings
}

#[cfg(test)]
mod tests;
