//! `login`: asks for the credentials, tries them, and stores them for the service alone.
//!
//! Refused ones are not stored; where the API cannot be reached they are, and it is said that nobody
//! tried them. They stand in no argument, no message and no file but the two that the configuration names.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};

use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios};
use secrecy::{ExposeSecret, SecretString};

use super::args::Login;
use super::init::{SERVICE_USER, user_named};
use super::{Failure, Shell, Status, wake};
use crate::config::credentials::{self, Credentials, Surroundings};
use crate::config::problem::visible;
use crate::config::{Config, Problem, why};
use crate::daemon::online::{self, Probed, Reach};

/// Longer than any credential.
const LINE_BYTES_MAX: usize = 8 << 10;

/// What Ctrl-C writes while it is read as a character.
const CTRL_C: u8 = 3;

pub fn run(args: &Login, shell: &mut Shell<'_>) -> Result<Status, Failure> {
    let config = shell.load_config()?;
    let files = files(&config)?;
    let typed = ask(args, shell)?;
    let probed = online::probe(&config, Some(&typed))?;
    if let Reach::Refused { reason } = &probed.reach {
        return Err(Failure::Refused(format!(
            "{reason}: nothing was stored\nCopy app id and app token from the project's settings (Application keys), and check that `url` is the project's cluster."
        )));
    }
    let owner = owner(&config);
    for (path, secret) in files.iter().zip([&typed.app_id, &typed.app_token]) {
        write(path, secret, owner)
            .map_err(|error| Failure::Io(format!("{}: {}", shown(path), why(&error))))?;
    }
    let at = files.map(|path| shown(path)).join(" and ");
    shell.say(&format!("stored in {at}"))?;
    if config.state_dir.is_dir() {
        wake(&config);
    }
    let around = Surroundings::of_process();
    if around.directory.is_some() || around.app_id.is_some() || around.app_token.is_some() {
        shell.note("Others are set in the environment, and are taken before these.");
    }
    tell(&config, &probed, shell)
}

/// Where they belong.
fn files(config: &Config) -> Result<[&PathBuf; 2], Failure> {
    let named = |path: &'_ Option<PathBuf>, key: &str| match path {
        Some(_) => Ok(()),
        None => Err(Failure::configuration(
            Problem::error(
                None,
                format!("`api.{key}` is not set: there is no place for the credentials"),
            )
            .advice(
                "Set `app_id_file` and `app_token_file` under `[api]`, each to a file of its own.",
            ),
        )),
    };
    named(&config.api.app_id_file, "app_id_file")?;
    named(&config.api.app_token_file, "app_token_file")?;
    match (&config.api.app_id_file, &config.api.app_token_file) {
        (Some(id), Some(token)) => Ok([id, token]),
        _ => Err(Failure::Internal("a path was lost".to_owned())),
    }
}

fn ask(args: &Login, shell: &mut Shell<'_>) -> Result<Credentials, Failure> {
    if !args.stdin && !shell.input_is_terminal {
        return Err(Failure::Usage(
            "nobody can be asked here: nothing was done\nPipe app id and app token, a line each, into `tillsync login --stdin`.".to_owned(),
        ));
    }
    let mut secret = |name: &str| -> Result<SecretString, Failure> {
        let line = if args.stdin {
            read_line(shell.input)
        } else {
            write!(shell.err, "{name}: ")
                .and_then(|()| shell.err.flush())
                .map_err(super::output_failed)?;
            let line = unseen(shell.input);
            shell.note("");
            line
        };
        let line = line.map_err(|error| Failure::Io(format!("standard input: {}", why(&error))))?;
        let Some(line) = line else {
            return Err(Failure::Usage("nothing was stored".to_owned()));
        };
        match credentials::plain(line.expose_secret()) {
            Some(text) => Ok(SecretString::from(text.to_owned())),
            None => Err(Failure::Usage(format!(
                "what was given as {name} is not a credential: nothing was stored\nIt is one line of plain characters, without blanks in it."
            ))),
        }
    };
    Ok(Credentials {
        app_id: secret("app id")?,
        app_token: secret("app token")?,
    })
}

/// A line; `None`: it was broken off by Ctrl-C.
fn read_line(input: &mut dyn BufRead) -> io::Result<Option<SecretString>> {
    let mut line = Vec::new();
    loop {
        let bytes = input.fill_buf()?;
        let end = bytes.iter().position(|b| matches!(*b, b'\n' | CTRL_C));
        let ended_by = end.map(|at| bytes[at]);
        line.extend_from_slice(&bytes[..end.unwrap_or(bytes.len())]);
        let used = end.map_or(bytes.len(), |at| at + 1);
        input.consume(used);
        match ended_by {
            Some(CTRL_C) => return Ok(None),
            Some(_) => break,
            None if used == 0 || line.len() > LINE_BYTES_MAX => break,
            None => {}
        }
    }
    let text = String::from_utf8_lossy(&line).into_owned();
    Ok(Some(SecretString::from(text)))
}

/// The terminal shows what is typed again, however the reading ends.
struct Restore(Termios);

impl Drop for Restore {
    fn drop(&mut self) {
        let _ = rustix::termios::tcsetattr(io::stdin(), OptionalActions::Flush, &self.0);
    }
}

/// A line that the terminal does not show. Ctrl-C ends it as a character: as a signal it would leave
/// the terminal mute.
fn unseen(input: &mut dyn BufRead) -> io::Result<Option<SecretString>> {
    let before = rustix::termios::tcgetattr(io::stdin())?;
    let mut mute = before.clone();
    mute.local_modes.remove(LocalModes::ECHO | LocalModes::ISIG);
    mute.special_codes[SpecialCodeIndex::VEOL] = CTRL_C;
    let restore = Restore(before);
    rustix::termios::tcsetattr(io::stdin(), OptionalActions::Flush, &mute)?;
    let line = read_line(input);
    drop(restore);
    line
}

/// Whose the files are to be: the service's, where root writes them.
fn owner(config: &Config) -> Option<(u32, u32)> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    if let Ok(facts) = std::fs::metadata(&config.state_dir) {
        return Some((facts.uid(), facts.gid()));
    }
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    user_named(&users, |name, _| name == SERVICE_USER).map(|user| (user.uid, user.gid))
}

/// Written beside it and renamed: whoever reads finds the old one or the new one, whole.
fn write(path: &Path, secret: &SecretString, owner: Option<(u32, u32)>) -> io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut name = path
        .file_name()
        .ok_or_else(|| io::Error::other("is not a file's name"))?
        .to_owned();
    name.push(".new");
    let beside = folder.join(name);
    let written = (|| {
        match std::fs::remove_file(&beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&beside)?;
        if let Some((uid, gid)) = owner {
            fchown(&file, Some(uid), Some(gid))?;
        }
        file.write_all(secret.expose_secret().as_bytes())?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        std::fs::rename(&beside, path)?;
        File::open(folder)?.sync_all()
    })();
    if written.is_err() {
        let _ = std::fs::remove_file(&beside);
    }
    written
}

/// What the try told.
fn tell(config: &Config, probed: &Probed, shell: &mut Shell<'_>) -> Result<Status, Failure> {
    match &probed.reach {
        Reach::Reached => {
            shell.say("the API takes them")?;
            shell.say(&limit(config, probed))?;
            Ok(Status::Done)
        }
        Reach::Limited { reason } => {
            shell.note(&format!(
                "They were not tried: {reason}. `tillsync check --online` tries them."
            ));
            Ok(Status::Done)
        }
        Reach::Away { reason } => {
            shell.note(&format!(
                "They were not tried, since the API could not be reached: {reason}. `tillsync check --online` tries them."
            ));
            Ok(Status::Away)
        }
        Reach::Refused { reason } => Err(Failure::Refused(reason.clone())),
    }
}

fn limit(config: &Config, probed: &Probed) -> String {
    let (Some(limit), Some(ours)) = (probed.limit, probed.ours) else {
        return "it told no rate limit: at most 8 calls at once are made".to_owned();
    };
    let stores = match config.api.stores {
        1 => String::new(),
        stores => format!(" ÷ {stores} stores"),
    };
    format!(
        "the project's limit is {limit} calls a {}; this host takes at most {ours} of them (share {}{stores})",
        probed.period, config.api.share
    )
}

fn shown(path: &Path) -> String {
    visible(&path.to_string_lossy())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_credential_is_replaced_whole_and_is_nobody_elses() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("app-id");
        std::fs::write(&path, "old").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        write(&path, &SecretString::from("new"), None).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "new\n");
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        let nowhere = dir.path().join("none/app-id");
        assert!(write(&nowhere, &SecretString::from("new"), None).is_err());
    }

    #[test]
    fn a_line_ends_at_its_end_and_ctrl_c_is_no_answer() {
        let read = |text: &str| {
            let line = read_line(&mut text.as_bytes()).unwrap();
            line.map(|line| line.expose_secret().to_owned())
        };
        assert_eq!(read("one\ntwo\n").as_deref(), Some("one"));
        assert_eq!(read("one").as_deref(), Some("one"));
        assert_eq!(read("").as_deref(), Some(""));
        assert_eq!(read("on\u{3}e\n"), None);
    }
}
