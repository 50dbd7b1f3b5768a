//! One drop folder as the user who runs this sees it: there, readable, writable, watchable, and able to
//! give its files away.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use notify::Watcher;
use rustix::fs::Access;

use super::Finding;
use super::eyes::Eyes;
use super::file_system::{self, FileSystem, Nature};
use crate::config::problem::visible;
use crate::config::{Folder, Place, Problem, why};

/// Of files that are looked at one by one; a folder of millions need not be.
const FILES_LOOKED_AT_MAX: usize = 1_000;

/// `place`: where the configuration names it.
pub fn look(folder: &Folder, place: Option<&Place>, eyes: &Eyes) -> Vec<Finding> {
    let user = eyes.user();
    let error = |message: String, advice: &str| {
        Finding::Problem(Problem::error(place.cloned(), message).advice(advice))
    };
    let shown = format!(
        "folder {} ({})",
        visible(&folder.name),
        visible(&folder.path.to_string_lossy())
    );
    let facts = match fs::metadata(&folder.path) {
        Ok(facts) if facts.is_dir() => facts,
        Ok(_) => {
            return vec![error(
                format!("{shown}: is not a folder"),
                "Name a folder as `path`.",
            )];
        }
        Err(problem) if problem.kind() == io::ErrorKind::NotFound => {
            return vec![error(
                format!("{shown}: does not exist"),
                "Make it (`tillsync init` makes the folders of its configuration), or mount it, or correct `path`. \
                 Until then `run` waits for it; under systemd, restart the service once it is there.",
            )];
        }
        Err(problem) => {
            return vec![error(
                format!("{shown}: cannot be looked at ({})", why(&problem)),
                &format!("Give {user} the right to enter the folders above it."),
            )];
        }
    };
    let denied = |access: Access| eyes.access(&folder.path, access | Access::EXEC_OK).err();
    let (read, write) = (denied(Access::READ_OK), denied(Access::WRITE_OK));
    let verb = match (&read, &write) {
        (Some(_), Some(_)) => "read and written to",
        (Some(_), None) => "read",
        (None, _) => "written to",
    };
    if let Some(problem) = read.or(write) {
        return vec![error(
            format!("{shown}: cannot be {verb} ({})", why(&problem)),
            &format!("Files dropped there would wait. Give {user} read and write access."),
        )];
    }
    let mut found = Vec::new();
    found.extend(sticky(&facts, &shown, place, eyes));
    found.extend(unreadable_files(folder, &shown, place, eyes));
    for name in ["archive", "rejects"] {
        found.extend(own_folder(folder, name, &facts, place, eyes));
    }
    found.extend(home(folder, &shown, place));
    found.push(watching(&folder.path, &shown, place));
    found
}

/// Under a sticky bit only a file's owner may move it: archiving fails, with no right missing.
fn sticky(folder: &Metadata, shown: &str, place: Option<&Place>, eyes: &Eyes) -> Option<Finding> {
    let ours = eyes.uid() == 0 || folder.uid() == eyes.uid();
    let sticky = folder.mode() & 0o1000 != 0;
    (sticky && !ours).then(|| {
        let message = format!(
            "{shown}: has the sticky bit, so that files of others cannot be moved out of it"
        );
        let advice = "Files could be taken in, but not archived. Take the bit away: `chmod -t`.";
        Finding::Problem(Problem::error(place.cloned(), message).advice(advice))
    })
}

fn unreadable_files(
    folder: &Folder,
    shown: &str,
    place: Option<&Place>,
    eyes: &Eyes,
) -> Option<Finding> {
    let entries = fs::read_dir(&folder.path).ok()?;
    let files = entries
        .take(FILES_LOOKED_AT_MAX)
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()))
        .filter(|entry| !entry.file_name().as_encoded_bytes().starts_with(b"."));
    let closed = files
        .filter(|entry| eyes.access(&entry.path(), Access::READ_OK).is_err())
        .count();
    (closed > 0).then(|| {
        let files = if closed == 1 { "1 file" } else { &format!("{closed} files") };
        let message = format!("{shown}: {files} in it cannot be read (permission denied)");
        let advice = "They wait. Let whoever drops them give the folder's group the right to read (mode 0660).";
        Finding::Problem(Problem::warning(place.cloned(), message).advice(advice))
    })
}

/// `archive` or `rejects`, which may not be there yet.
fn own_folder(
    folder: &Folder,
    name: &str,
    parent: &Metadata,
    place: Option<&Place>,
    eyes: &Eyes,
) -> Option<Finding> {
    let user = eyes.user();
    let path = folder.path.join(name);
    let shown = visible(&path.to_string_lossy());
    let problem = |message: String, advice: String| {
        Some(Finding::Problem(
            Problem::error(place.cloned(), message).advice(advice),
        ))
    };
    let facts = match fs::symlink_metadata(&path) {
        Ok(facts) => facts,
        // Made when it is first needed.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => {
            return problem(
                format!("{shown}: cannot be looked at ({})", why(&error)),
                format!("Give {user} read and write access."),
            );
        }
    };
    if !facts.is_dir() {
        return problem(
            format!("{shown}: is not a folder"),
            format!(
                "tillsync needs a folder of this name for its own files. Rename what stands there; {name}/ is then made."
            ),
        );
    }
    if let Err(error) = eyes.access(&path, Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK) {
        return problem(
            format!("{shown}: cannot be written to ({})", why(&error)),
            format!(
                "Files that were taken in could not be moved there. Give {user} read and write access."
            ),
        );
    }
    if facts.gid() != parent.gid() {
        let message = format!("{shown}: belongs to another group than the folder above it");
        let advice =
            "Who may drop files may not read what became of them. `chgrp` it, and `chmod 2770`.";
        return Some(Finding::Problem(
            Problem::warning(place.cloned(), message).advice(advice),
        ));
    }
    None
}

/// The packaged service doesn't see people's homes.
fn home(folder: &Folder, shown: &str, place: Option<&Place>) -> Option<Finding> {
    let within = ["/home", "/root", "/run/user"]
        .iter()
        .any(|home| folder.path.starts_with(home));
    within.then(|| {
        let message = format!("{shown}: the packaged service cannot see this place (ProtectHome)");
        let advice = "Put the folder under /srv, or add a drop-in with `systemctl edit tillsync`: ProtectHome=tmpfs, \
                      and BindPaths= with this folder.";
        Finding::Problem(Problem::warning(place.cloned(), message).advice(advice))
    })
}

/// By which way new files are noticed.
fn watching(path: &Path, shown: &str, place: Option<&Place>) -> Finding {
    let file_system = match file_system::of(path) {
        Ok(file_system) => file_system,
        Err(error) => {
            let message = format!("{shown}: its file system cannot be told ({})", why(&error));
            return Finding::Problem(Problem::warning(place.cloned(), message));
        }
    };
    let FileSystem { name, nature } = file_system;
    let ok = |how: &str| Finding::Ok(format!("{shown}: {how}, {name}"));
    match nature {
        Nature::Network => return ok("polled, since no events come from other hosts"),
        Nature::Program => return ok("polled, besides events if there are any"),
        Nature::Local | Nature::Memory => {}
    }
    match watchable(path) {
        Ok(()) => ok("watched by events"),
        Err(reason) => {
            let message = format!("{shown}: polled, since it cannot be watched ({reason}), {name}");
            let advice = "New files are found within a minute. Raise fs.inotify.max_user_watches and \
                          fs.inotify.max_user_instances with `sysctl` if they are used up.";
            Finding::Problem(Problem::warning(place.cloned(), message).advice(advice))
        }
    }
}

fn watchable(path: &Path) -> Result<(), String> {
    let reason = |error: notify::Error| match error.kind {
        notify::ErrorKind::MaxFilesWatch => "no watches are left".to_owned(),
        notify::ErrorKind::Io(error) => why(&error),
        _ => "the kernel refuses".to_owned(),
    };
    let mut watcher = notify::recommended_watcher(|_| {}).map_err(reason)?;
    watcher
        .watch(path, notify::RecursiveMode::NonRecursive)
        .map_err(reason)
}
