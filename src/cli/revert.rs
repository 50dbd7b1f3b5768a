//! `revert`: takes back what a wrongly dropped file changed, as new changes.

use super::args::Revert;
use super::render::Listing;
use super::{Failure, Shell, Status, now, open_for_writing, wake};
use crate::status::words::count;
use crate::store::{FileState, Left};

const COLUMNS: &[&str] = &["kind", "key", "why"];

pub fn run(args: &Revert, shell: &mut Shell<'_>) -> Result<Status, Failure> {
    let config = shell.load_config()?;
    let store = open_for_writing(&config)?;
    let brought = match store.file(args.id)? {
        Some(file) if file.state == FileState::Stored => file.new + file.changed + file.deleted,
        Some(file) => {
            return Err(Failure::Data(format!(
                "file {} is {}: only what a stored file changed can be taken back",
                args.id,
                file.state.name()
            )));
        }
        None => {
            return Err(Failure::Data(format!(
                "there is no file {}, or the log knows it no more ([retention] log)\n`tillsync files` lists the files.",
                args.id
            )));
        }
    };
    let limit = args.listed.limit.unwrap_or(usize::MAX);
    let mut left = Listing::new(COLUMNS);
    let would = store.revert(args.id, true, now(), |kind, key, why| {
        let why = match why {
            Left::ChangedSince => "something changed it since",
            Left::NotDeletable => "an order cannot be deleted at the remote",
        };
        if left.len() < limit {
            left.push(vec![kind.name().into(), key.into(), why.into()]);
        }
    })?;
    shell.note(&format!(
        "file {}: {} would be set back, {} deleted (also at the remote), {} left as they are",
        args.id,
        count(would.set_back, "record", "records"),
        would.deleted,
        would.left
    ));
    let known = would.set_back + would.deleted + would.left;
    if let Some(gone) = brought.checked_sub(known).filter(|gone| *gone > 0) {
        shell.note(&format!(
            "{} of this file's stand in the log no more ([retention] log): what they were before is not known, and they stay as they are",
            count(gone, "change", "changes")
        ));
    }
    // Also when nothing is left: a script that asked for JSON gets an array.
    shell.show(&left, args.listed.format)?;
    if args.dry_run || !shell.confirm("Take back what this file changed?", args.consent)? {
        return Ok(Status::Done);
    }
    let did = store.revert(args.id, false, now(), |_, _, _| {})?;
    wake(&config);
    shell.note(&format!(
        "{} set back, {} deleted; the changes go out like any others",
        count(did.set_back, "record", "records"),
        did.deleted
    ));
    Ok(Status::Done)
}
