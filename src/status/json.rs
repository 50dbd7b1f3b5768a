//! `status --format json`, to the letter of INTERFACE.md: these names, in this order. Counts are
//! integers, times ISO 8601 in UTC, absent is `null`.

use serde::ser::{Serialize, Serializer};

use super::Status;
use super::facts::{Counts, FileCounts, Folder};
use super::words::iso;
use crate::todo::Todo;

impl Serialize for Status {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Json::from(self).serialize(serializer)
    }
}

#[derive(serde::Serialize)]
struct Json<'a> {
    store: &'a str,
    version: &'a str,
    daemon: DaemonJson,
    link: LinkJson<'a>,
    budget: BudgetJson<'a>,
    folders: Vec<FolderJson<'a>>,
    files: FilesJson,
    stored: CountsJson,
    pending: CountsJson,
    in_flight: CountsJson,
    parked: CountsJson,
    rejected: u64,
    oldest_pending: Option<String>,
    last_delivered: Option<String>,
    paused: Option<String>,
    todo: Vec<TodoJson<'a>>,
    last_error: Option<ErrorJson<'a>>,
}

#[derive(serde::Serialize)]
struct DaemonJson {
    running: bool,
    pid: Option<u32>,
    since: Option<String>,
}

#[derive(serde::Serialize)]
struct LinkJson<'a> {
    state: Option<&'static str>,
    since: Option<String>,
    until: Option<String>,
    reason: Option<&'a str>,
}

#[derive(serde::Serialize)]
struct BudgetJson<'a> {
    limit: Option<u64>,
    period: Option<&'a str>,
    used: Option<u64>,
    share: Option<u64>,
    remaining: Option<u64>,
}

#[derive(serde::Serialize)]
struct FolderJson<'a> {
    name: &'a str,
    path: String,
    kind: &'static str,
    preset: &'a str,
    state: &'static str,
    reason: Option<String>,
    waiting: u64,
    foreign: u64,
    last_file: Option<&'a str>,
}

#[derive(serde::Serialize)]
struct FilesJson {
    waiting: u64,
    reading: u64,
    held: u64,
    stored: u64,
    unreadable: u64,
}

#[derive(serde::Serialize)]
struct CountsJson {
    customers: u64,
    products: u64,
    skus: u64,
    orders: u64,
}

#[derive(serde::Serialize)]
struct TodoJson<'a> {
    since: Option<String>,
    kind: &'static str,
    text: String,
    command: &'a str,
}

#[derive(serde::Serialize)]
struct ErrorJson<'a> {
    at: String,
    code: &'a str,
    message: &'a str,
}

impl<'a> From<&'a Status> for Json<'a> {
    fn from(status: &'a Status) -> Json<'a> {
        let facts = &status.facts;
        Json {
            store: &facts.store,
            version: &facts.version,
            daemon: DaemonJson {
                running: facts.daemon.is_some(),
                // 0 and 0: the lock is held by somebody who has not written who they are yet.
                pid: facts.daemon.map(|d| d.pid).filter(|pid| *pid != 0),
                since: facts.daemon.map(|d| d.since).filter(|at| *at != 0).map(iso),
            },
            link: LinkJson {
                state: facts.link.state.map(|state| state.name()),
                since: facts.link.since.map(iso),
                until: facts.link.until.map(iso),
                reason: facts.link.reason.as_deref(),
            },
            budget: BudgetJson {
                limit: facts.budget.limit,
                period: facts.budget.period.as_deref(),
                used: facts.budget.used,
                share: facts.budget.share,
                remaining: facts.budget.remaining,
            },
            folders: facts.folders.iter().map(folder).collect(),
            files: files(facts.files),
            stored: counts(facts.stored),
            pending: counts(facts.pending),
            in_flight: counts(facts.in_flight),
            parked: counts(facts.parked),
            rejected: facts.rejected,
            oldest_pending: facts.oldest_pending.map(iso),
            last_delivered: facts.last_delivered.map(iso),
            paused: facts.paused.map(|pause| iso(pause.since)),
            todo: status.todo.iter().map(todo).collect(),
            last_error: facts.last_error.as_ref().map(|error| ErrorJson {
                at: iso(error.at),
                code: &error.code,
                message: &error.message,
            }),
        }
    }
}

fn folder(folder: &Folder) -> FolderJson<'_> {
    let used = folder
        .last_file
        .as_ref()
        .and_then(|file| file.preset.as_deref());
    FolderJson {
        name: &folder.name,
        path: folder.path.display().to_string(),
        kind: folder.kind.name(),
        preset: used.unwrap_or(&folder.preset),
        state: folder.state.name(),
        // Of a folder that is well: what a file in it waits for.
        reason: folder.reason.clone().or_else(|| {
            let file = folder.waiting_files.first()?;
            Some(format!("{} {}", file.name, file.why))
        }),
        waiting: folder.waiting,
        foreign: folder.foreign,
        last_file: folder.last_file.as_ref().map(|file| file.name.as_str()),
    }
}

fn todo(todo: &Todo) -> TodoJson<'_> {
    TodoJson {
        since: todo.since.map(iso),
        kind: todo.kind,
        text: format!("{}. {}", todo.text, todo.why),
        command: &todo.command,
    }
}

fn files(files: FileCounts) -> FilesJson {
    FilesJson {
        waiting: files.waiting,
        reading: files.reading,
        held: files.held,
        stored: files.stored,
        unreadable: files.unreadable,
    }
}

fn counts(counts: Counts) -> CountsJson {
    CountsJson {
        customers: counts.customers,
        products: counts.products,
        skus: counts.skus,
        orders: counts.orders,
    }
}
