//! `backup` and `restore`: a checked copy of the database while the daemon runs; a copy into an empty
//! state directory.

use super::args::{Backup, Restore};
use super::{Failure, Shell, Status, now, open_for_writing};
use crate::daemon::lock;
use crate::status::words;
use crate::store::{self, backup};

pub fn backup(args: &Backup, shell: &mut Shell<'_>) -> Result<Status, Failure> {
    let config = shell.load_config()?;
    let now = now();
    let to = if args.dest.is_dir() {
        let stamp = words::iso(now).replace([':', '-'], "").replace(".000", "");
        args.dest.join(format!(
            "tillsync-{}.db",
            stamp.split('.').next().unwrap_or(&stamp)
        ))
    } else {
        args.dest.clone()
    };
    let database = config.state_dir.join(store::DATABASE);
    if matches!(database.try_exists(), Ok(false)) {
        return Err(Failure::Io(format!(
            "{}: there is no database yet, so nothing to copy\nThe first `tillsync run` or `tillsync sync` makes it.",
            database.display()
        )));
    }
    let bytes = backup::backup(&config.state_dir, &to, now)?;
    open_for_writing(&config)?.set_integer(backup::LAST, now)?;
    shell.say(&format!("{}: {bytes} bytes, checked", to.display()))?;
    Ok(Status::Done)
}

pub fn restore(args: &Restore, shell: &mut Shell<'_>) -> Result<Status, Failure> {
    let config = shell.load_config()?;
    if let Some(holder) = lock::holder(&config.state_dir) {
        return Err(Failure::Busy(format!(
            "the daemon runs on this state directory (pid {})\nStop it first.",
            holder.pid
        )));
    }
    std::fs::create_dir_all(&config.state_dir).map_err(|error| {
        Failure::Io(format!(
            "{}: {}",
            config.state_dir.display(),
            crate::config::why(&error)
        ))
    })?;
    // SQLite says of each failure alike that it was unable to open the file.
    std::fs::File::open(&args.file).map_err(|error| {
        Failure::Io(format!(
            "{}: {}",
            args.file.display(),
            crate::config::why(&error)
        ))
    })?;
    backup::restore(&args.file, &config.state_dir).map_err(|error| match error {
        // Of the file that was named, not of the store.
        store::Error::Damaged(why) => Failure::Io(format!(
            "{}: is no backup that can be used: {why}\nNothing was changed. Take another backup.",
            args.file.display()
        )),
        store::Error::Open { path, .. } if path == config.state_dir.join(store::DATABASE) => {
            Failure::Io(format!(
                "{}: there is a database already; nothing was overwritten\nA backup goes into an empty state directory: move this one to another folder first.",
                path.display()
            ))
        }
        other => other.into(),
    })?;
    shell.say(
        "restored; nothing is sent from it until `tillsync rebind` has compared it with the remote",
    )?;
    Ok(Status::Done)
}
