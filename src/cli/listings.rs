//! `files`, `rejects`, `changes`, `pending`, `parked`, `requests`, `find`: rows of the store as INTERFACE
//! names their columns, newest first.

use super::args::{Find, Listed, Listing};
use super::render::{Cell, Rows, Screen};
use super::{Failure, Shell, Status, now, open_store, output_failed};
use crate::kind::Kind;
use crate::store;

const FILES: &[&str] = &[
    "id",
    "folder",
    "name",
    "kind",
    "preset",
    "state",
    "reason",
    "size",
    "rows",
    "new",
    "changed",
    "unchanged",
    "deleted",
    "rejected",
    "skipped",
    "seen",
    "stored",
    "archived",
];
const REJECTS: &[&str] = &["file", "name", "member", "line", "column", "code", "reason"];
const CHANGES: &[&str] = &[
    "seq", "kind", "key", "op", "file", "name", "line", "at", "fields",
];
const PENDING: &[&str] = &[
    "kind",
    "key",
    "seq",
    "since",
    "attempts",
    "next_try",
    "last_error",
];
const PARKED: &[&str] = &["kind", "key", "since", "code", "message", "request_id"];
const REQUESTS: &[&str] = &[
    "id",
    "at",
    "method",
    "path",
    "records",
    "status",
    "verdict",
    "duration_ms",
];
const FOUND: &[&str] = &["kind", "key"];

pub fn files(args: Listing, shell: &mut Shell<'_>) -> Result<Status, Failure> {
    list(args, FILES, shell, |c, filter, each| {
        store::files(c, filter, &mut |file| {
            // Of a file that was taken in, what a person may want to know of how.
            let noticed = (!file.notices.is_empty()).then(|| file.notices.join("; "));
            each(&[
                file.id.into(),
                file.folder.into(),
                file.name.into(),
                kind(file.kind),
                file.preset.into(),
                file.state.name().into(),
                file.reason.or(noticed).into(),
                count(file.size),
                count(file.rows),
                count(file.new),
                count(file.changed),
                count(file.unchanged),
                count(file.deleted),
                count(file.rejected),
                count(file.skipped),
                Cell::Time(file.seen),
                time(file.stored),
                time(file.archived),
            ])
        })
    })
}

pub fn rejects(args: Listing, shell: &mut Shell<'_>) -> Result<Status, Failure> {
    list(args, REJECTS, shell, |c, filter, each| {
        store::rejects(c, filter, &mut |reject| {
            each(&[
                reject.file.into(),
                reject.name.into(),
                Some(reject.member)
                    .filter(|member| !member.is_empty())
                    .into(),
                count(reject.line),
                reject.column.into(),
                reject.code.into(),
                reject.reason.into(),
            ])
        })
    })
}

pub fn changes(args: Listing, shell: &mut Shell<'_>) -> Result<Status, Failure> {
    list(args, CHANGES, shell, |c, filter, each| {
        store::changes(c, filter, &mut |change| {
            each(&[
                change.seq.into(),
                kind(change.kind),
                change.key.into(),
                change.op.name().into(),
                change.file.into(),
                change.name.into(),
                change.line.map_or(Cell::Null, count),
                Cell::Time(change.at),
                Cell::Json(change.fields.to_json()),
            ])
        })
    })
}

pub fn pending(args: Listing, shell: &mut Shell<'_>) -> Result<Status, Failure> {
    list(args, PENDING, shell, |c, filter, each| {
        store::pending(c, filter, &mut |row| {
            each(&[
                kind(row.kind),
                row.key.into(),
                row.seq.into(),
                Cell::Time(row.since),
                i64::from(row.attempts).into(),
                time(row.next_try),
                row.last_error.into(),
            ])
        })
    })
}

pub fn parked(args: Listing, shell: &mut Shell<'_>) -> Result<Status, Failure> {
    list(args, PARKED, shell, |c, filter, each| {
        store::parked(c, filter, &mut |row| {
            each(&[
                kind(row.kind),
                row.key.into(),
                Cell::Time(row.since),
                row.code.into(),
                row.message.into(),
                row.request_id.into(),
            ])
        })
    })
}

pub fn requests(args: Listing, shell: &mut Shell<'_>) -> Result<Status, Failure> {
    list(args, REQUESTS, shell, |c, filter, each| {
        store::requests(c, filter, &mut |row| {
            each(&[
                row.id.into(),
                Cell::Time(row.at),
                row.method.into(),
                row.path.into(),
                count(row.records),
                row.status.map(i64::from).into(),
                row.verdict.into(),
                row.duration_ms.map_or(Cell::Null, count),
            ])
        })
    })
}

pub fn find(args: Find, shell: &mut Shell<'_>) -> Result<Status, Failure> {
    let text = shell.key(&args.text)?;
    let limit = args.listed.limit.map(|n| n as u64);
    stream(args.listed, FOUND, shell, |c, each| {
        store::find(c, &text, limit, &mut |key| {
            each(&[kind(Kind::Customers), key.into()])
        })
    })
}

type Each<'e> = &'e mut dyn FnMut(&[Cell]) -> bool;

fn list(
    args: Listing,
    columns: &'static [&'static str],
    shell: &mut Shell<'_>,
    rows: impl FnOnce(&store::Connection, &store::Filter, Each<'_>) -> store::Result<()>,
) -> Result<Status, Failure> {
    let key = args.key.as_deref().map(|key| shell.key(key)).transpose()?;
    let filter = store::Filter {
        kind: args.kind,
        key,
        file: args.file,
        since: args.since.map(|since| since.resolve(now(), &shell.zone)),
        limit: args.listed.limit.map(|n| n as u64),
    };
    stream(args.listed, columns, shell, |c, each| {
        rows(c, &filter, each)
    })
}

/// Writes rows as they come; a reader of our output that has gone ends it.
fn stream(
    args: Listed,
    columns: &'static [&'static str],
    shell: &mut Shell<'_>,
    rows: impl FnOnce(&store::Connection, Each<'_>) -> store::Result<()>,
) -> Result<Status, Failure> {
    let config = shell.load_config()?;
    let connection = open_store(&config)?;
    let format = shell.format(args.format);
    let screen = Screen {
        width: shell.width.filter(|_| shell.out_is_terminal),
        zone: shell.zone.clone(),
    };
    let mut out = Rows::begin(columns, format, &screen, shell.out).map_err(output_failed)?;
    let mut written = Ok(());
    if let Some(connection) = connection {
        rows(&connection, &mut |row| {
            written = out.row(row);
            written.is_ok()
        })?;
    }
    written.and_then(|()| out.finish()).map_err(output_failed)?;
    Ok(Status::Done)
}

fn kind(kind: Kind) -> Cell {
    kind.name().into()
}

fn time(at: Option<i64>) -> Cell {
    at.map_or(Cell::Null, Cell::Time)
}

fn count(n: u64) -> Cell {
    Cell::Integer(i64::try_from(n).unwrap_or(i64::MAX))
}
