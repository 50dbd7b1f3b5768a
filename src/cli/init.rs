//! `init`: a commented configuration, the folders, and what comes next. Overwrites nothing.

use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use super::args::Init;
use super::{Failure, Shell, Status};
use crate::config::problem::visible;
use crate::config::template::{self, Start};
use crate::config::{self, Config, DEFAULT_FILE, why};

/// The service's user, whom the package makes.
pub const SERVICE_USER: &str = "tillsync";

/// Who may drop files; the package makes it.
const DROP_GROUP: &str = "tillsync-drop";

/// Who drops and the service share the folder through its group; new files inherit it.
const FOLDER_MODE: u32 = 0o2770;

pub fn run(args: &Init, shell: &mut Shell<'_>) -> Result<Status, Failure> {
    let layout = Layout::of(args, shell)?;
    let owner = Owner::of_process();
    let written = write_configuration(&layout)?;
    let file = visible(&layout.file.to_string_lossy());
    if written {
        shell.say(&format!("wrote    {file}"))?;
    } else {
        shell.say(&format!("kept     {file} (it was there)"))?;
    }
    // What stands there counts, also where an earlier run or a person wrote it.
    let config = config::load(Some(&layout.file), &shell.environment)?;
    make_state(&config, owner.as_ref(), shell)?;
    for folder in &config.folders {
        make_folder(&folder.path, owner.as_ref(), shell)?;
    }
    say_next(&layout, &config, owner.as_ref(), shell)?;
    Ok(Status::Done)
}

/// Where everything goes.
struct Layout {
    file: PathBuf,
    state_dir: PathBuf,
    presets_dir: PathBuf,
    app_id_file: PathBuf,
    app_token_file: PathBuf,
    drop_dir: PathBuf,
}

impl Layout {
    fn of(args: &Init, shell: &Shell<'_>) -> Result<Layout, Failure> {
        let absolute = |path: &Path| {
            std::path::absolute(path)
                .map_err(|error| Failure::Io(format!("{}: {}", path.display(), why(&error))))
        };
        let asked = config::file_meant(shell.config.as_deref(), &shell.environment);
        let Some(dir) = &args.dir else {
            let file = absolute(&asked)?;
            let beside = file.parent().unwrap_or(Path::new("/")).to_owned();
            return Ok(Layout {
                state_dir: PathBuf::from("/var/lib/tillsync"),
                presets_dir: beside.join("presets"),
                app_id_file: beside.join("app-id"),
                app_token_file: beside.join("app-token"),
                drop_dir: PathBuf::from("/srv/drop"),
                file,
            });
        };
        let dir = absolute(dir)?;
        // A trial of its own, whatever $TILLSYNC_CONFIG says.
        let file = if shell.config.is_none() || asked == Path::new(DEFAULT_FILE) {
            dir.join("tillsync.toml")
        } else {
            absolute(&asked)?
        };
        Ok(Layout {
            file,
            state_dir: dir.join("state"),
            presets_dir: dir.join("presets"),
            app_id_file: dir.join("app-id"),
            app_token_file: dir.join("app-token"),
            drop_dir: dir.join("drop"),
        })
    }
}

/// Whether it was written: not, if something stands there.
fn write_configuration(layout: &Layout) -> Result<bool, Failure> {
    let failed = |error: io::Error| failure(&layout.file, &error);
    if layout.file.symlink_metadata().is_ok() {
        return Ok(false);
    }
    if let Some(parent) = layout.file.parent() {
        make_all(parent, 0o755).map_err(|error| failure(parent, &error))?;
    }
    let text = template::commented(&Start {
        state_dir: &layout.state_dir,
        presets_dir: &layout.presets_dir,
        app_id_file: &layout.app_id_file,
        app_token_file: &layout.app_token_file,
        drop_dir: &layout.drop_dir,
    });
    // It holds no secret; a person's editor and the service have to read it.
    let mut file = match OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o644)
        .open(&layout.file)
    {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
        Err(error) => return Err(failed(error)),
    };
    file.write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(failed)?;
    Ok(true)
}

fn make_state(
    config: &Config,
    owner: Option<&Owner>,
    shell: &mut Shell<'_>,
) -> Result<(), Failure> {
    let path = &config.state_dir;
    let made = make(path, 0o700, owner)?;
    say_made(path, made, shell)
}

fn make_folder(path: &Path, owner: Option<&Owner>, shell: &mut Shell<'_>) -> Result<(), Failure> {
    if let Some(parent) = path.parent() {
        make_all(parent, 0o755).map_err(|error| failure(parent, &error))?;
    }
    let made = make(path, FOLDER_MODE, owner)?;
    say_made(path, made, shell)?;
    for name in ["archive", "rejects"] {
        let own = path.join(name);
        if make(&own, FOLDER_MODE, owner)? && !made {
            say_made(&own, true, shell)?;
        }
    }
    Ok(())
}

fn say_made(path: &Path, made: bool, shell: &mut Shell<'_>) -> Result<(), Failure> {
    let path = visible(&path.to_string_lossy());
    if made {
        shell.say(&format!("made     {path}"))
    } else {
        shell.say(&format!("kept     {path} (it was there)"))
    }
}

/// A folder with exactly this mode, whatever the umask; `false`: it was there, and stays as it is.
fn make(path: &Path, mode: u32, owner: Option<&Owner>) -> Result<bool, Failure> {
    let failed = |error: io::Error| failure(path, &error);
    if path.is_dir() {
        return Ok(false);
    }
    make_all(path, 0o755).map_err(failed)?;
    if let Some(owner) = owner {
        let (uid, gid) = owner.ids(mode);
        chown(path, Some(uid), Some(gid)).map_err(failed)?;
    }
    // After chown, which takes the set-group bit away.
    fs::set_permissions(path, Permissions::from_mode(mode)).map_err(failed)?;
    Ok(true)
}

fn make_all(path: &Path, mode: u32) -> io::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(path)
}

fn failure(path: &Path, error: &io::Error) -> Failure {
    let advice = match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "\nRun it as root (`sudo tillsync init`), or try it in a folder of your own: `tillsync init --dir ~/trial`."
        }
        _ => "",
    };
    Failure::Io(format!(
        "{}: {}{advice}",
        visible(&path.to_string_lossy()),
        why(error)
    ))
}

/// A line of /etc/passwd.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    pub name: String,
    pub uid: u32,
    pub gid: u32,
}

/// The first user that this is true of, by name and number.
pub fn user_named(passwd: &str, matches: impl Fn(&str, u32) -> bool) -> Option<User> {
    passwd.lines().find_map(|line| {
        let mut parts = line.split(':');
        let name = parts.next()?;
        let uid = parts.nth(1)?.parse().ok()?;
        let gid = parts.next()?.parse().ok()?;
        matches(name, uid).then(|| User {
            name: name.to_owned(),
            uid,
            gid,
        })
    })
}

/// The first group of this name.
fn group_named(groups: &str, name: &str) -> Option<u32> {
    groups.lines().find_map(|line| {
        let mut parts = line.split(':');
        (parts.next()? == name).then(|| parts.nth(1)?.parse().ok())?
    })
}

/// Whom new folders are given to: the service's user, if root asks and there is one.
struct Owner {
    user: User,
    drop_gid: u32,
}

impl Owner {
    fn of_process() -> Option<Owner> {
        if !rustix::process::geteuid().is_root() {
            return None;
        }
        let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
        let user = user_named(&users, |name, _| name == SERVICE_USER)?;
        let groups = fs::read_to_string("/etc/group").unwrap_or_default();
        let drop_gid = group_named(&groups, DROP_GROUP).unwrap_or(user.gid);
        Some(Owner { user, drop_gid })
    }

    /// User and group of a folder with this mode.
    fn ids(&self, mode: u32) -> (u32, u32) {
        match mode {
            FOLDER_MODE => (self.user.uid, self.drop_gid),
            _ => (self.user.uid, self.user.gid),
        }
    }
}

fn say_next(
    layout: &Layout,
    config: &Config,
    owner: Option<&Owner>,
    shell: &mut Shell<'_>,
) -> Result<(), Failure> {
    let file = visible(&layout.file.to_string_lossy());
    let with = if layout.file == Path::new(DEFAULT_FILE) {
        String::new()
    } else {
        format!(" --config {file}")
    };
    let mut lines = vec![
        String::new(),
        format!("Fill in {file}:"),
        "  store    this host's name, if the host's own is not telling".to_owned(),
        "  [api]    url, if the project is on another cluster; share and stores, if tills call the API, too".to_owned(),
        "  [alert]  command or webhook: who is told when something needs a person".to_owned(),
        String::new(),
        "Then:".to_owned(),
        format!("  tillsync login{with}    stores the project's credentials"),
        format!("  tillsync check{with}    tells all that is still wrong"),
        format!("  tillsync run{with}      the daemon; as a service: systemctl enable --now tillsync"),
    ];
    if rustix::process::geteuid().is_root() && owner.is_none() {
        lines.push(String::new());
        lines.push(format!(
            "There is no user `{SERVICE_USER}` on this host: what was made belongs to root. The package makes the user, and the group `{DROP_GROUP}`."
        ));
    }
    if let Some(folder) = config.folders.first() {
        let share = folder.path.parent().unwrap_or(&folder.path);
        lines.push(String::new());
        lines.push("To let Windows hosts drop files, in /etc/samba/smb.conf:".to_owned());
        lines.push(String::new());
        lines.extend(samba(share).lines().map(|line| format!("  {line}")));
        lines.push(String::new());
        lines.push(format!(
            "Who drops files has to be in the group `{DROP_GROUP}`: usermod -aG {DROP_GROUP} <user>"
        ));
    }
    for line in lines {
        shell.say(&line)?;
    }
    Ok(())
}

/// Files dropped through it can be read and moved by the service.
fn samba(share: &Path) -> String {
    format!(
        "[drop]\n   path = {}\n   read only = no\n   valid users = @{DROP_GROUP}\n   force group = {DROP_GROUP}\n   \
         create mask = 0660\n   force create mode = 0660\n   directory mask = 2770\n   force directory mode = 2770",
        visible(&share.to_string_lossy())
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_and_groups_are_found_by_name() {
        let users = "root:x:0:0:root:/root:/bin/sh\nbroken\ntillsync:x:990:980::/var/lib/tillsync:/bin/false\n";
        let user = user_named(users, |name, _| name == SERVICE_USER).unwrap();
        assert_eq!((user.uid, user.gid), (990, 980));
        assert_eq!(user_named(users, |_, uid| uid == 5), None);
        let groups = "root:x:0:\ntillsync-drop:x:979:ann\n";
        assert_eq!(group_named(groups, DROP_GROUP), Some(979));
        assert_eq!(group_named(groups, "drop"), None);
    }
}
