//! `trace`: the life of one record — each file and line that touched it, what changed from what to what,
//! each request that carried it and what was answered.

use jiff::Timestamp;
use serde_json::Value;

use super::args::{Format, Trace};
use super::render::{Cell, Listing};
use super::{Failure, Shell, Status, open_store};
use crate::config::problem::visible;
use crate::daemon::look::{self, Asked, Found};
use crate::record::{CLEARED, Patch};
use crate::status::words;
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
    let found = match args.remote {
        true => Some(look::look(&config, args.kind, &trace.key)?),
        false => None,
    };
    match shell.format(args.listed.format) {
        Format::Table => tell(&trace, found.as_ref(), shell)?,
        format => {
            let listing = listing(&trace, found.as_ref(), args.listed.limit);
            shell.show(&listing, Some(format))?;
        }
    }
    match found {
        None | Some(Found::There { .. } | Found::NotThere { .. }) => Ok(Status::Done),
        Some(Found::Later { reason }) => Err(Failure::Away(format!(
            "what the remote holds could not be asked: {reason}\nTry again later."
        ))),
        Some(Found::Refused { reason }) => Err(Failure::Refused(format!(
            "{reason}\nGive new credentials with `tillsync login`."
        ))),
    }
}

/// For machines: changes, requests and the remote's own events in one list, oldest first; last what the
/// remote holds. `fields` is then its object, as the API shows it. `limit`: so many, the newest.
fn listing(trace: &store::Trace, found: Option<&Found>, limit: Option<usize>) -> Listing {
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
    if let Some(Found::There { activity, .. }) = found {
        for event in activity {
            let at = happened(event);
            let mut row = vec![at.map_or(Cell::Null, Cell::Time), "activity".into()];
            row.resize(5, Cell::Null);
            row.push(Cell::Json(event.to_string()));
            row.resize(COLUMNS.len(), Cell::Null);
            rows.push((at.unwrap_or(i64::MIN), row));
        }
    }
    rows.sort_by_key(|(at, _)| *at);
    if let Some((asked, object)) = found.and_then(held) {
        let (method, path, _) = asked.endpoint.describe();
        let mut row = vec![Cell::Time(asked.at), "remote".into()];
        row.resize(5, Cell::Null);
        row.push(object.map_or(Cell::Null, |object| Cell::Json(object.to_string())));
        row.extend([method.name().into(), path.into()]);
        row.push(i64::from(asked.status).into());
        row.resize(COLUMNS.len(), Cell::Null);
        rows.push((asked.at, row));
    }
    let left_out = rows.len().saturating_sub(limit.unwrap_or(usize::MAX));
    let mut listing = Listing::new(COLUMNS);
    for (_, row) in rows.into_iter().skip(left_out) {
        listing.push(row);
    }
    listing
}

/// The call that was answered, and the object if there is one.
fn held(found: &Found) -> Option<(&Asked, Option<&Value>)> {
    match found {
        Found::There { asked, object, .. } => Some((asked, Some(object))),
        Found::NotThere { asked } => Some((asked, None)),
        Found::Later { .. } | Found::Refused { .. } => None,
    }
}

/// When an event of the remote's happened, UTC milliseconds.
fn happened(event: &Value) -> Option<i64> {
    let at = event.get("created_at")?.as_str()?.parse::<Timestamp>();
    at.ok().map(Timestamp::as_millisecond)
}

/// What the remote holds, a line a field; what is empty there is left out.
fn held_lines(found: &Found) -> Vec<String> {
    match held(found) {
        None => Vec::new(),
        Some((_, None)) => vec!["the remote holds no such record".to_owned()],
        Some((_, Some(object))) => {
            let mut lines = vec!["the remote holds".to_owned()];
            fields("", object, &mut lines);
            lines
        }
    }
}

fn fields(path: &str, value: &Value, lines: &mut Vec<String>) {
    match value {
        Value::Null => {}
        Value::Object(inner) => {
            for (name, value) in inner {
                let path = match path {
                    "" => name.clone(),
                    path => format!("{path}.{name}"),
                };
                fields(&path, value, lines);
            }
        }
        other => lines.push(format!(
            "  {} = {}",
            visible(path),
            visible(&other.to_string())
        )),
    }
}

fn tell(trace: &store::Trace, found: Option<&Found>, shell: &mut Shell<'_>) -> Result<(), Failure> {
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
    if let Some(found) = found {
        shell.say("")?;
        for line in held_lines(found) {
            shell.say(&line)?;
        }
    }
    let mut events: Vec<(i64, Vec<String>)> = Vec::new();
    if let Some(Found::There { activity, .. }) = found {
        for event in activity {
            let what = event.get("type").and_then(Value::as_str).unwrap_or("event");
            let line = format!("{} at the remote", visible(what));
            events.extend(happened(event).map(|at| (at, vec![line])));
        }
    }
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
                words::full(at, &zone)
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
