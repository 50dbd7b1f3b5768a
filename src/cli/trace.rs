//! `trace`: the life of one record — each file and line that touched it, what changed from what to what,
//! each request that carried it and what was answered.

use super::args::{Format, Trace};
use super::render::{Cell, Listing, local};
use super::{Failure, Shell, Status, open_store};
use crate::config::problem::visible;
use crate::record::{CLEARED, Patch};
use crate::store::{self, ChangeRow, TracedFlight};

const COLUMNS: &[&str] = &[
    "at",
    "event",
    "file",
    "name",
    "line",
    "fields",
    "method",
    "path",
    "status",
    "verdict",
    "request_id",
];

pub fn run(args: Trace, shell: &mut Shell<'_>) -> Result<Status, Failure> {
    let key = shell.key(&args.key)?;
    let config = shell.load_config()?;
    let found = match open_store(&config)? {
        Some(connection) => store::trace(&connection, args.kind, &key)?,
        None => None,
    };
    let Some(trace) = found else {
        let singular = args.kind.singular();
        return Err(Failure::Data(format!(
            "no {singular} with this key is or was stored\n`tillsync find` looks for customers by e-mail, phone or name."
        )));
    };
    match shell.format(args.listed.format) {
        Format::Table => tell(&trace, shell)?,
        format => shell.show(&listing(&trace), Some(format))?,
    }
    Ok(Status::Done)
}

/// For machines: changes and requests in one list, oldest first.
fn listing(trace: &store::Trace) -> Listing {
    let mut rows: Vec<(i64, Vec<Cell>)> = Vec::new();
    for change in &trace.changes {
        let line = change
            .line
            .map(|line| i64::try_from(line).unwrap_or(i64::MAX));
        let mut row = vec![
            Cell::Time(change.at),
            change.op.name().into(),
            change.file.into(),
        ];
        row.extend([
            change.name.clone().into(),
            line.into(),
            Cell::Json(change.fields.to_json()),
        ]);
        row.resize(COLUMNS.len(), Cell::Null);
        rows.push((change.at, row));
    }
    for flight in &trace.flights {
        for request in &flight.requests {
            let mut row = vec![Cell::Time(request.at), "request".into()];
            row.resize(6, Cell::Null);
            row.extend([request.method.clone().into(), request.path.clone().into()]);
            row.extend([
                request.status.map(i64::from).into(),
                outcome(flight).into(),
                request.request_id.clone().into(),
            ]);
            rows.push((request.at, row));
        }
    }
    rows.sort_by_key(|(at, _)| *at);
    let mut listing = Listing::new(COLUMNS);
    rows.into_iter().for_each(|(_, row)| listing.push(row));
    listing
}

fn tell(trace: &store::Trace, shell: &mut Shell<'_>) -> Result<(), Failure> {
    let state = match (trace.gone, trace.parked, trace.pending) {
        (true, _, true) => "deleted here; the remote does not know yet",
        (true, ..) => "deleted",
        (_, true, _) => "parked: the remote refused it (see `tillsync parked`)",
        (_, _, true) => "waiting to be sent",
        _ => "the remote holds what is stored",
    };
    shell.say(&format!(
        "{} {}: {state}",
        trace.kind.singular(),
        visible(&trace.key)
    ))?;
    for (field, value) in trace.content.iter() {
        shell.say(&format!("  {} = {}", visible(field), shown(Some(value))))?;
    }
    let mut events: Vec<(i64, Vec<String>)> = Vec::new();
    events.extend(
        trace
            .changes
            .iter()
            .map(|change| (change.at, change_lines(change))),
    );
    for flight in &trace.flights {
        events.extend(
            flight
                .requests
                .iter()
                .map(|request| (request.at, request_lines(flight, request))),
        );
    }
    events.sort_by_key(|(at, _)| *at);
    for (at, lines) in events {
        let zone = shell.zone.clone();
        shell.say("")?;
        for (n, line) in lines.iter().enumerate() {
            let start = if n == 0 {
                local(at, &zone)
            } else {
                " ".repeat(4)
            };
            shell.say(&format!("{start}  {line}"))?;
        }
    }
    Ok(())
}

fn change_lines(change: &ChangeRow) -> Vec<String> {
    let by = match (&change.name, change.line) {
        (Some(name), Some(line)) => format!("{} line {line}", visible(name)),
        (Some(name), None) => visible(name).to_string(),
        _ => "a command".to_owned(),
    };
    let mut lines = vec![format!("{} by {by}", change.op.name())];
    lines.extend(patch_lines(&change.fields));
    lines
}

fn patch_lines(patch: &Patch) -> impl Iterator<Item = String> {
    patch.fields.iter().map(|(field, (from, to))| {
        format!(
            "{}: {} → {}",
            visible(field),
            shown(from.as_deref()),
            shown(to.as_deref())
        )
    })
}

fn request_lines(flight: &TracedFlight, request: &store::RequestRow) -> Vec<String> {
    let answer = request
        .status
        .map_or("no answer".to_owned(), |status| status.to_string());
    let mut line = format!(
        "{} {} → {answer}, {}",
        request.method,
        request.path,
        outcome(flight)
    );
    if let Some(id) = &request.request_id {
        line += &format!(" (request {})", visible(id));
    }
    vec![line]
}

fn outcome(flight: &TracedFlight) -> String {
    let outcome = flight.outcome.as_deref().unwrap_or("open");
    match &flight.code {
        Some(code) => format!("{outcome} {code}"),
        None => outcome.to_owned(),
    }
}

fn shown(value: Option<&str>) -> String {
    match value {
        None => "nothing".to_owned(),
        Some(CLEARED) => "cleared".to_owned(),
        Some(json) => visible(json).to_string(),
    }
}
