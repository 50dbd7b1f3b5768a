//! `retry` and `discard`: parked records go back into the queue, or are set back to what the remote
//! acknowledged; a held file is put away.

use super::args::{Discard, Retry};
use super::{Failure, Shell, Status, now, open_for_writing, wake};
use crate::kind::Kind;
use crate::status::words;
use crate::store::Store;
use crate::store::flight::{self, Selection};

pub fn retry(args: &Retry, shell: &mut Shell<'_>) -> Result<Status, Failure> {
    let selection = selection(args.record_kind, args.key.as_deref(), args.kind, shell)?;
    let config = shell.load_config()?;
    let store = open_for_writing(&config)?;
    let now = now();
    let count = store.write_alone(move |c| flight::retry(c, &selection, now))?;
    wake(&config);
    if count == 0 {
        shell.say("nothing of that is parked")?;
    } else {
        let what = words::count(count, "parked record goes", "parked records go");
        shell.say(&format!("{what} out again"))?;
    }
    Ok(Status::Done)
}

pub fn discard(args: &Discard, shell: &mut Shell<'_>) -> Result<Status, Failure> {
    let config = shell.load_config()?;
    if let Some(id) = args.file {
        let store = open_for_writing(&config)?;
        if !store.discard_file(id)? {
            return Err(Failure::Data(format!(
                "file {id} is not held: nothing was done\n`tillsync files` lists the files with their state."
            )));
        }
        super::import::forget(&store, id)?;
        wake(&config);
        shell.say(&format!("file {id} is put away; it changed nothing"))?;
        return Ok(Status::Done);
    }
    let chosen = selection(args.record_kind, args.key.as_deref(), args.kind, shell)?;
    let store = open_for_writing(&config)?;
    // What one command names by its key can be dropped in again; all of them cannot be seen over.
    if args.all {
        let would = discarded(&store, chosen.clone(), true)?;
        let back = words::count(would.set_back, "parked record", "parked records");
        shell.say(&format!("{back} would be set back to what the remote acknowledged, {} that it never had would be deleted here", would.deleted))?;
        if !shell.confirm("Discard what they said?", args.consent)? {
            return Ok(Status::Done);
        }
    }
    let did = discarded(&store, chosen, false)?;
    wake(&config);
    if did.set_back == 0 && did.deleted == 0 {
        shell.say("nothing of that is parked")?;
        return Ok(Status::Done);
    }
    shell.say(&format!(
        "{} set back to what the remote acknowledged, {} deleted here",
        did.set_back, did.deleted
    ))?;
    Ok(Status::Done)
}

fn discarded(
    store: &Store,
    selection: Selection,
    dry_run: bool,
) -> Result<flight::Discarded, Failure> {
    let now = now();
    Ok(store.write_alone(move |c| flight::discard(c, &selection, dry_run, now))?)
}

fn selection(
    record: Option<Kind>,
    key: Option<&str>,
    kind: Option<Kind>,
    shell: &mut Shell<'_>,
) -> Result<Selection, Failure> {
    Ok(match (record, key, kind) {
        (Some(kind), Some(key), _) => Selection::Key(kind, shell.key(key)?),
        (_, _, Some(kind)) => Selection::Kind(kind),
        _ => Selection::All,
    })
}
