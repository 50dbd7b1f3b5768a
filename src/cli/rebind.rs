//! `rebind`: says that the store belongs to the project of the present credentials.

use super::args::Rebind;
use super::{Failure, Shell, Status, now, open_for_writing, wake};
use crate::audit::Counts;
use crate::daemon::audit;
use crate::daemon::project::{self, Strange};
use crate::kind::Kind;
use crate::status::words;

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
    if !args.consent.yes && !shell.input_is_terminal {
        // Said before any call is spent.
        return Err(Failure::Usage(
            "nobody can be asked here whether the store belongs to this project: nothing was done\nAdd --yes to do it.".to_owned(),
        ));
    }
    shell.say(&format!(
        "{why}: the store is compared with what this project holds"
    ))?;
    let (audited, unusable) = audit::for_rebind(&config, &store).map_err(super::audit::failure)?;
    for (kind, counts) in &audited.counts {
        shell.say(&told(*kind, counts))?;
    }
    for (kind, why) in &unusable {
        let why = why.lines().next().unwrap_or_default();
        shell.say(&format!("{kind}: not compared, all are to be sent: {why}"))?;
    }
    if !shell.confirm(
        "Does the store belong to the project of the present credentials?",
        args.consent,
    )? {
        shell.say("nothing was done")?;
        return Ok(Status::Done);
    }
    let mut equals = |after| audited.scratch.equals(after);
    let rebound = store.rebind(project::PROJECT, &project, moved, &mut equals, now())?;
    store.clear(project::REBIND)?;
    wake(&config);
    shell.say(&format!(
        "{}; {} queued",
        words::count(
            rebound.acknowledged,
            "record is there as it is stored, and counts as acknowledged",
            "records are there as they are stored, and count as acknowledged"
        ),
        words::count(rebound.queued, "record is", "records are"),
    ))?;
    Ok(Status::Done)
}

fn told(kind: Kind, counts: &Counts) -> String {
    let mut said = format!(
        "{kind}: {} there as they are stored; to be sent: {} missing there, {} different",
        counts.equal, counts.missing, counts.differs
    );
    if counts.unknown > 0 {
        said += &format!(
            "; {} there that are not stored here, and stay as they are",
            counts.unknown
        );
    }
    said
}
