//! `rebind`: says that the store belongs to the project of the present credentials.

use super::args::Rebind;
use super::{Failure, Shell, Status, now, open_for_writing, wake};
use crate::daemon::project::{self, Strange};
use crate::store;

pub fn run(args: &Rebind, shell: &mut Shell<'_>) -> Result<Status, Failure> {
    let config = shell.load_config()?;
    let project = project::present(&config).map_err(Failure::Refused)?;
    let store = open_for_writing(&config)?;
    let Some(strange) = project::strange(&store, &project)? else {
        shell.say("nothing to do: the store belongs to this project")?;
        return Ok(Status::Done);
    };
    let moved = match store.text(project::PROJECT)? {
        Some(bound) => bound != project,
        None => false,
    };
    let why = match strange {
        Strange::OtherProject => "the credentials are of another project than before",
        Strange::Restored => "the store was restored from a backup",
    };
    let counts = store::counts(&store.reader()?)?;
    shell.say(&format!(
        "{why}: all {} stored records are queued, and sent to this project",
        counts.stored.total()
    ))?;
    if !shell.confirm(
        "Does the store belong to the project of the present credentials?",
        args.consent,
    )? {
        shell.say("nothing was done")?;
        return Ok(Status::Done);
    }
    let rebound = store.rebind(project::PROJECT, &project, moved, now())?;
    store.clear(project::REBIND)?;
    wake(&config);
    shell.say(&format!("{} more records are queued", rebound.queued))?;
    Ok(Status::Done)
}
