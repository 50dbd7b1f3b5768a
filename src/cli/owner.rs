//! Root at the prompt: a command on another user's state works as that user, or gives back what it made.
//!
//! A file of root's in the state directory would keep the service out. So a command that reads nothing of
//! root's alone becomes the state's owner once its configuration is read; the others stay root, and what
//! they made in the state directory goes to its owner at their end.

use std::fs::{File, Metadata, OpenOptions};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::Path;

use rustix::process::{Gid, Uid};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};

use super::Failure;
use super::args::Command;
use crate::config::{Config, why};

/// Whose the state directory is, where root works on another user's.
fn owner(state_dir: &Path) -> Option<Metadata> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let state = std::fs::metadata(state_dir).ok()?;
    (state.is_dir() && state.uid() != 0).then_some(state)
}

/// Whether the command reads or writes files that may be root's alone.
pub fn needs_root(command: &Command) -> bool {
    matches!(
        command,
        Command::Init(_)
            | Command::Login(_)
            | Command::Check(_)
            | Command::Import(_)
            | Command::Plan(_)
            | Command::Presets(_)
            | Command::Backup(_)
            | Command::Restore(_)
            | Command::Forget(_)
            | Command::Demo(_)
            | Command::Standin(_)
            | Command::Completions(_)
            | Command::Man
    )
}

/// From here on this process is the state's owner. To be called while it has one thread: what the
/// system keeps of a user, it keeps by thread, and new threads take theirs over.
pub fn become_owner(config: &Config) -> Result<(), Failure> {
    let Some(state) = owner(&config.state_dir) else {
        return Ok(());
    };
    let groups = groups(state.uid(), state.gid());
    let credentials = [&config.api.app_id_file, &config.api.app_token_file];
    let readable = |path: &Path| match std::fs::metadata(path) {
        Ok(file) => {
            file.uid() == state.uid() && file.mode() & 0o400 != 0
                || groups.contains(&file.gid()) && file.mode() & 0o040 != 0
                || file.mode() & 0o004 != 0
        }
        Err(_) => true,
    };
    if !credentials.into_iter().flatten().all(|path| readable(path)) {
        // systemd hands them to the service; here only root can read them.
        return Ok(());
    }
    let (uid, gid) = (Uid::from_raw(state.uid()), Gid::from_raw(state.gid()));
    let groups: Vec<Gid> = groups.into_iter().map(Gid::from_raw).collect();
    let became = set_thread_groups(&groups)
        .and_then(|()| set_thread_res_gid(gid, gid, gid))
        .and_then(|()| set_thread_res_uid(uid, uid, uid));
    became.map_err(|error| {
        Failure::Io(format!(
            "{}: root cannot become its owner: {}\nRun the command as the user that runs tillsync.",
            config.state_dir.display(),
            why(&error.into())
        ))
    })
}

/// The groups of a user, as the system's own files name them.
fn groups(uid: u32, gid: u32) -> Vec<u32> {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let passwd = read("/etc/passwd");
    let name = passwd.lines().find_map(|line| {
        let mut parts = line.split(':');
        let name = parts.next()?;
        (parts.nth(1)?.parse() == Ok(uid)).then_some(name)
    });
    let mut groups = vec![gid];
    if let Some(name) = name {
        groups.extend(read("/etc/group").lines().filter_map(|line| {
            let mut parts = line.split(':').skip(2);
            let id: u32 = parts.next()?.parse().ok()?;
            (parts.next()?.split(',').any(|member| member == name) && id != gid).then_some(id)
        }));
    }
    groups
}

/// At the end of a command that stayed root: what it made becomes the owner's. A file that stands under
/// another name, too, may be somebody else's, and is left.
pub fn give_back(state_dir: &Path) {
    let Some(state) = owner(state_dir) else {
        return;
    };
    let Ok(entries) = std::fs::read_dir(state_dir) else {
        return;
    };
    for entry in entries.flatten() {
        // No link is followed, and no pipe waited for.
        let flags = (rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK).bits() as i32;
        let opened = OpenOptions::new()
            .read(true)
            .custom_flags(flags)
            .open(entry.path());
        // One that cannot be given back is the same as before.
        let _ = opened.and_then(|file: File| {
            let made = file.metadata()?;
            if made.is_file() && made.uid() == 0 && made.nlink() == 1 {
                fchown(&file, Some(state.uid()), Some(state.gid()))?;
            }
            Ok(())
        });
    }
}
