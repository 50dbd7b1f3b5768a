//! Where the credentials of the remote come from, and how they are kept from being seen.
//!
//! The first source that has any of the two is the source of both: a mixture of two projects'
//! credentials would be refused by the remote for reasons that nobody could find.

use std::ffi::OsString;
use std::fmt;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use secrecy::SecretString;

use super::{Api, why};

/// A credential is a UUID; a file above this holds something else.
const BYTES_MAX: u64 = 4096;

/// What the remote knows a project by. Neither is ever shown.
#[derive(Clone)]
pub struct Credentials {
    pub app_id: SecretString,
    pub app_token: SecretString,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials")
    }
}

/// Where they were found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// `$CREDENTIALS_DIRECTORY`, given by systemd.
    Systemd(PathBuf),
    /// TILLSYNC_APP_ID and TILLSYNC_APP_TOKEN.
    Environment,
    /// The two files of the configuration.
    Files,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Origin::Systemd(_) => "systemd credentials",
            Origin::Environment => "TILLSYNC_APP_ID and TILLSYNC_APP_TOKEN",
            Origin::Files => "files",
        })
    }
}

/// Why there are none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Absent {
    #[error("no credentials are set: `tillsync login` asks for them and stores them")]
    None {
        /// Where the two files would be.
        app_id_file: Option<PathBuf>,
        app_token_file: Option<PathBuf>,
    },
    #[error("of the credentials only one is set: {missing} is missing ({origin})")]
    Half { origin: String, missing: String },
    #[error("{}: others can read this file, so it is not used: `chmod 600` it", .0.display())]
    Open(PathBuf),
    #[error("{}: {reason}", .path.display())]
    Unreadable { path: PathBuf, reason: String },
    /// Empty, too long, or with signs that no header can carry.
    #[error(
        "{origin}: what stands there for {name} is not a credential: one line of plain characters"
    )]
    NoCredential { origin: String, name: String },
}

/// The variables of the environment that matter here.
#[derive(Clone, Default)]
pub struct Surroundings {
    /// `$CREDENTIALS_DIRECTORY`
    pub directory: Option<PathBuf>,
    pub app_id: Option<OsString>,
    pub app_token: Option<OsString>,
}

impl Surroundings {
    pub fn of_process() -> Surroundings {
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        Surroundings {
            directory: set("CREDENTIALS_DIRECTORY").map(PathBuf::from),
            app_id: set("TILLSYNC_APP_ID"),
            app_token: set("TILLSYNC_APP_TOKEN"),
        }
    }
}

impl fmt::Debug for Surroundings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Surroundings")
            .field("directory", &self.directory)
            .finish_non_exhaustive()
    }
}

/// Reads them from the first source that has any: systemd's, the environment's, the two files.
pub fn read(api: &Api, surroundings: &Surroundings) -> Result<(Credentials, Origin), Absent> {
    if let Some(directory) = &surroundings.directory {
        let paths = (directory.join("app-id"), directory.join("app-token"));
        // systemd guards its folder, and gives the group of its own to the files in it.
        let pair = (
            from_file(&paths.0, Guard::Systemd)?,
            from_file(&paths.1, Guard::Systemd)?,
        );
        if pair.0.is_some() || pair.1.is_some() {
            return both(
                pair,
                Origin::Systemd(directory.clone()),
                ["app-id", "app-token"],
            );
        }
    }
    let set = (&surroundings.app_id, &surroundings.app_token);
    if set.0.is_some() || set.1.is_some() {
        let pair = (from_variable(set.0), from_variable(set.1));
        return both(
            pair,
            Origin::Environment,
            ["TILLSYNC_APP_ID", "TILLSYNC_APP_TOKEN"],
        );
    }
    let from = |path: &Option<PathBuf>| match path {
        Some(path) => from_file(path, Guard::Ours),
        None => Ok(None),
    };
    let pair = (from(&api.app_id_file)?, from(&api.app_token_file)?);
    if pair.0.is_none() && pair.1.is_none() {
        return Err(Absent::None {
            app_id_file: api.app_id_file.clone(),
            app_token_file: api.app_token_file.clone(),
        });
    }
    let name = |path: &Option<PathBuf>, key: &str| match path {
        Some(path) => path.display().to_string(),
        None => key.to_owned(),
    };
    let names = [
        name(&api.app_id_file, "app_id_file"),
        name(&api.app_token_file, "app_token_file"),
    ];
    both(pair, Origin::Files, [&names[0], &names[1]])
}

/// Whether the file's own rights have to keep others out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Guard {
    Ours,
    Systemd,
}

type Half = Option<String>;

fn both(
    pair: (Half, Half),
    origin: Origin,
    names: [&str; 2],
) -> Result<(Credentials, Origin), Absent> {
    let half = |missing: &str| Absent::Half {
        origin: origin.to_string(),
        missing: missing.to_owned(),
    };
    let app_id = pair.0.ok_or_else(|| half(names[0]))?;
    let app_token = pair.1.ok_or_else(|| half(names[1]))?;
    let secret = |text: &str, name: &str| match plain(text) {
        Some(text) => Ok(SecretString::from(text.to_owned())),
        None => Err(Absent::NoCredential {
            origin: origin.to_string(),
            name: name.to_owned(),
        }),
    };
    let credentials = Credentials {
        app_id: secret(&app_id, names[0])?,
        app_token: secret(&app_token, names[1])?,
    };
    Ok((credentials, origin))
}

/// A credential as typed or stored, without white space around it; `None`: it cannot be one, since no
/// header could carry it.
pub fn plain(text: &str) -> Option<&str> {
    let text = text.trim();
    let fits = !text.is_empty()
        && text.len() as u64 <= BYTES_MAX
        && text.bytes().all(|b| b.is_ascii_graphic());
    fits.then_some(text)
}

fn from_variable(value: &Option<OsString>) -> Half {
    // What is no text is no credential either, and is said to be none by `plain`.
    value
        .as_ref()
        .map(|value| value.to_string_lossy().into_owned())
}

fn from_file(path: &Path, guard: Guard) -> Result<Half, Absent> {
    let unreadable = |error: std::io::Error| Absent::Unreadable {
        path: path.to_owned(),
        reason: why(&error),
    };
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(error)),
    };
    let facts = file.metadata().map_err(unreadable)?;
    if !facts.is_file() {
        return Err(Absent::Unreadable {
            path: path.to_owned(),
            reason: "is not a plain file".to_owned(),
        });
    }
    if guard == Guard::Ours && facts.mode() & 0o077 != 0 {
        return Err(Absent::Open(path.to_owned()));
    }
    let mut bytes = Vec::new();
    file.take(BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use secrecy::ExposeSecret;

    use super::*;
    use crate::config::Config;

    const ID: &str = "c0ffee00-1111-2222-3333-444455556666";
    const TOKEN: &str = "deadbeef-1111-2222-3333-444455556666";

    fn api(dir: &Path) -> Api {
        Api {
            app_id_file: Some(dir.join("app-id")),
            app_token_file: Some(dir.join("app-token")),
            ..Config::with_defaults("s", dir).api
        }
    }

    fn write(dir: &Path, name: &str, text: &str, mode: u32) {
        let path = dir.join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    fn found(result: Result<(Credentials, Origin), Absent>) -> (String, String, Origin) {
        let (credentials, origin) = result.unwrap();
        let id = credentials.app_id.expose_secret().to_owned();
        (id, credentials.app_token.expose_secret().to_owned(), origin)
    }

    #[test]
    fn the_first_source_that_has_any_is_taken() {
        let files = tempfile::tempdir().unwrap();
        let systemd = tempfile::tempdir().unwrap();
        let api = api(files.path());
        let mut around = Surroundings::default();
        assert!(matches!(read(&api, &around), Err(Absent::None { .. })));

        write(files.path(), "app-id", &format!("{ID}\n"), 0o600);
        write(files.path(), "app-token", &format!("{TOKEN}\r\n"), 0o400);
        assert_eq!(
            found(read(&api, &around)),
            (ID.into(), TOKEN.into(), Origin::Files)
        );

        around.app_id = Some("env-id".into());
        around.app_token = Some("env-token".into());
        assert_eq!(found(read(&api, &around)).2, Origin::Environment);

        around.directory = Some(systemd.path().to_owned());
        assert_eq!(found(read(&api, &around)).2, Origin::Environment);
        write(systemd.path(), "app-id", "sys-id", 0o440);
        write(systemd.path(), "app-token", "sys-token", 0o440);
        let (id, token, origin) = found(read(&api, &around));
        assert_eq!((id.as_str(), token.as_str()), ("sys-id", "sys-token"));
        assert_eq!(origin, Origin::Systemd(systemd.path().to_owned()));
    }

    #[test]
    fn a_file_that_others_can_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        for mode in [0o640, 0o604, 0o660, 0o644] {
            write(dir.path(), "app-id", ID, 0o600);
            write(dir.path(), "app-token", TOKEN, mode);
            let refused = read(&api(dir.path()), &Surroundings::default()).unwrap_err();
            assert_eq!(refused, Absent::Open(dir.path().join("app-token")));
            assert!(!refused.to_string().contains(TOKEN));
        }
    }

    #[test]
    fn half_a_pair_is_never_filled_up_from_elsewhere() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "app-id", ID, 0o600);
        let half = read(&api(dir.path()), &Surroundings::default()).unwrap_err();
        assert!(half.to_string().contains("app-token is missing"), "{half}");

        write(dir.path(), "app-token", TOKEN, 0o600);
        let around = Surroundings {
            app_token: Some("x".into()),
            ..Surroundings::default()
        };
        let half = read(&api(dir.path()), &around).unwrap_err();
        assert!(
            half.to_string().contains("TILLSYNC_APP_ID is missing"),
            "{half}"
        );
    }

    #[test]
    fn what_no_header_can_carry_is_no_credential() {
        let dir = tempfile::tempdir().unwrap();
        for text in [
            "",
            "  \n",
            "two words",
            "a\nb",
            "gr\u{fc}n",
            &"x".repeat(5000),
        ] {
            write(dir.path(), "app-id", text, 0o600);
            write(dir.path(), "app-token", TOKEN, 0o600);
            let absent = read(&api(dir.path()), &Surroundings::default()).unwrap_err();
            assert!(
                matches!(absent, Absent::NoCredential { .. }),
                "{text:?}: {absent}"
            );
        }
        std::fs::remove_file(dir.path().join("app-id")).unwrap();
        std::fs::create_dir(dir.path().join("app-id")).unwrap();
        let absent = read(&api(dir.path()), &Surroundings::default()).unwrap_err();
        assert!(matches!(absent, Absent::Unreadable { .. }), "{absent}");
    }

    #[test]
    fn nothing_shows_them() {
        let credentials = Credentials {
            app_id: SecretString::from(ID),
            app_token: SecretString::from(TOKEN),
        };
        let around = Surroundings {
            app_id: Some(ID.into()),
            app_token: Some(TOKEN.into()),
            directory: None,
        };
        for shown in [format!("{credentials:?}"), format!("{around:?}")] {
            assert!(!shown.contains(ID) && !shown.contains(TOKEN), "{shown}");
        }
    }
}
