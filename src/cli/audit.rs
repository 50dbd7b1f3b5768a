//! `audit`: what the remote holds, compared with what is stored here; with `--repair` what is missing
//! or differs is queued.

use super::args::Audit;
use super::render::{Cell, Rows, Screen};
use super::{Failure, Shell, Status, open_for_writing, output_failed, wake};
use crate::audit::Counts;
use crate::daemon::audit::{self, Audited, Stopped};
use crate::kind::Kind;

const COLUMNS: &[&str] = &["kind", "key", "drift", "field", "local", "remote"];

pub fn run(args: &Audit, shell: &mut Shell<'_>) -> Result<Status, Failure> {
    let config = shell.load_config()?;
    if args.repair && !args.consent.yes && !shell.input_is_terminal {
        // Said before any call is spent.
        return Err(Failure::Usage(
            "nobody can be asked here whether to queue what is found: nothing was done\nAdd --yes to do it.".to_owned(),
        ));
    }
    let store = open_for_writing(&config)?;
    let kinds = args.kind.map_or(Kind::ALL.to_vec(), |kind| vec![kind]);
    let (audited, unusable) = audit::audit(&config, &store, &kinds).map_err(failure)?;
    list(args, &audited, shell)?;
    for (kind, why) in &unusable {
        let why = why.lines().next().unwrap_or_default();
        shell.note(&format!("{kind}: not compared: {why}"));
    }
    for (kind, counts) in &audited.counts {
        shell.note(&summary(*kind, counts, args.unknown));
    }
    let sum = |of: fn(&Counts) -> u64| audited.counts.iter().map(|(_, c)| of(c)).sum::<u64>();
    let drifted = sum(|c| c.missing + c.differs);
    let queueable = drifted - sum(|c| c.parked);
    let mut queued = 0;
    if args.repair && queueable > 0 {
        let question =
            format!("Queue {queueable} records, to be sent again as they are stored here?");
        if shell.confirm(&question, args.consent)? {
            queued = audit::repair(&store, &audited)?;
            wake(&config);
            shell.note(&format!("{queued} records were queued"));
        }
    }
    Ok(if queued < drifted {
        Status::Attention
    } else {
        Status::Done
    })
}

pub(super) fn failure(stopped: Stopped) -> Failure {
    match stopped {
        Stopped::Away(text) => Failure::Away(text),
        Stopped::Refused(text) => Failure::Refused(text),
        Stopped::Unusable(text) => Failure::Data(text),
        Stopped::Later(text) => Failure::Busy(text),
        Stopped::Other(error) => error.into(),
    }
}

fn list(args: &Audit, audited: &Audited, shell: &mut Shell<'_>) -> Result<(), Failure> {
    let format = shell.format(args.listed.format);
    let screen = Screen {
        width: shell.width.filter(|_| shell.out_is_terminal),
        zone: shell.zone.clone(),
    };
    let mut left = args.listed.limit.unwrap_or(usize::MAX);
    let mut out = Rows::begin(COLUMNS, format, &screen, shell.out).map_err(output_failed)?;
    let mut written = Ok(());
    audited.scratch.each_found(args.unknown, &mut |found| {
        if left == 0 {
            return false;
        }
        left -= 1;
        let finding = found.finding;
        written = out.row(&[
            found.kind.name().into(),
            finding.key.into(),
            finding.drift.name().into(),
            finding.field.into(),
            finding.local.clone().map_or(Cell::Null, local),
            remote(finding.local.as_deref(), finding.remote),
        ]);
        written.is_ok()
    })?;
    written.and_then(|()| out.finish()).map_err(output_failed)
}

/// Texts as they are, beside what the export shows.
fn local(json: String) -> Cell {
    match serde_json::from_str::<String>(&json) {
        Ok(text) => Cell::Text(text),
        Err(_) => Cell::Json(json),
    }
}

/// An export is a CSV: a whole number beside a number is one.
fn remote(local: Option<&str>, cell: Option<String>) -> Cell {
    let is_number = |text: &str| serde_json::from_str::<serde_json::Number>(text).is_ok();
    match cell {
        Some(cell) if local.is_some_and(is_number) && cell.parse::<i64>().is_ok() => {
            Cell::Json(cell)
        }
        cell => cell.into(),
    }
}

fn summary(kind: Kind, counts: &Counts, unknown_listed: bool) -> String {
    let mut said = format!(
        "{kind}: {} equal, {} missing there, {} different",
        counts.equal, counts.missing, counts.differs
    );
    if counts.parked > 0 {
        said += &format!(" ({} of them parked, see `tillsync parked`)", counts.parked);
    }
    if counts.on_their_way > 0 {
        said += &format!(", {} on their way", counts.on_their_way);
    }
    if counts.unknown > 0 {
        said += &format!(", {} unknown here", counts.unknown);
        if !unknown_listed {
            said += " (--unknown lists them)";
        }
    }
    said
}
