//! /metrics: the text format of Prometheus, version 0.0.4, names and units by its conventions. Pure.
//!
//! Labels come from bounded sets: kinds, states, folder names of the configuration. No key, no file
//! name, no message (INTERFACE.md, promise 7).

use std::fmt::{Display, Write};

use jiff::tz::TimeZone;

use crate::health::Health;
use crate::kind::Kind;
use crate::status::Status;
use crate::status::facts::{Counts, FolderState, LinkState};
use crate::todo::{KINDS, next_due};

pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Of the process itself; `None`: could not be told.
#[derive(Clone, Copy, Debug, Default)]
pub struct Process {
    pub resident_bytes: Option<u64>,
    pub open_fds: Option<u64>,
}

pub fn render(status: &Status, health: &Health, process: Process, tz: &TimeZone) -> String {
    let mut out = Exposition(String::with_capacity(8192));
    host(&mut out, status, health, process);
    link(&mut out, status);
    records(&mut out, status);
    folders(&mut out, status, tz);
    todos(&mut out, status);
    meters(&mut out, status, health);
    out.0
}

fn host(out: &mut Exposition, status: &Status, health: &Health, process: Process) {
    let facts = &status.facts;
    out.gauge(
        "tillsync_build_info",
        "The version that runs, and the store's name.",
    );
    out.value(
        "tillsync_build_info",
        &[("version", &facts.version), ("store", &facts.store)],
        1,
    );
    if let Some(daemon) = facts.daemon {
        out.gauge(
            "tillsync_process_start_time_seconds",
            "Start time of the process since the Unix epoch in seconds.",
        );
        out.value(
            "tillsync_process_start_time_seconds",
            &[],
            seconds(daemon.since),
        );
    }
    if let Some(bytes) = process.resident_bytes {
        out.gauge(
            "tillsync_process_resident_memory_bytes",
            "Resident memory size in bytes.",
        );
        out.value("tillsync_process_resident_memory_bytes", &[], bytes);
    }
    if let Some(open) = process.open_fds {
        out.gauge(
            "tillsync_process_open_fds",
            "Number of open file descriptors.",
        );
        out.value("tillsync_process_open_fds", &[], open);
    }
    out.gauge(
        "tillsync_healthy",
        "1 while the loops take steps or rest, 0 once one stands still, as /healthz says.",
    );
    out.value(
        "tillsync_healthy",
        &[],
        u8::from(super::health_faults(status, health).is_empty()),
    );
    out.gauge("tillsync_database_size_bytes", "Size of the database.");
    out.value("tillsync_database_size_bytes", &[], facts.database_bytes);
    out.gauge(
        "tillsync_database_wal_size_bytes",
        "Size of the database's write-ahead log.",
    );
    out.value("tillsync_database_wal_size_bytes", &[], facts.wal_bytes);
    if let Some(disk) = facts.disk {
        out.gauge(
            "tillsync_disk_free_bytes",
            "Room on the disk of the state directory.",
        );
        out.value("tillsync_disk_free_bytes", &[], disk.free);
        out.gauge(
            "tillsync_disk_size_bytes",
            "Size of the disk of the state directory.",
        );
        out.value("tillsync_disk_size_bytes", &[], disk.size);
        out.gauge(
            "tillsync_disk_min_free_bytes",
            "Below this room no file is begun.",
        );
        out.value("tillsync_disk_min_free_bytes", &[], disk.min_free);
    }
    out.moment(
        "tillsync_last_backup_timestamp_seconds",
        "When the store was last backed up.",
        facts.last_backup,
    );
}

fn link(out: &mut Exposition, status: &Status) {
    let facts = &status.facts;
    out.gauge(
        "tillsync_link_state",
        "1 for the state in which the link to the remote is.",
    );
    for state in LinkState::ALL {
        out.value(
            "tillsync_link_state",
            &[("state", state.name())],
            u8::from(facts.link.is(state)),
        );
    }
    out.moment(
        "tillsync_link_since_timestamp_seconds",
        "Since when the link is in its state.",
        facts.link.since,
    );
    out.gauge(
        "tillsync_paused",
        "1 while delivery is paused by `tillsync pause`.",
    );
    out.value("tillsync_paused", &[], u8::from(facts.paused.is_some()));
    let budget = &facts.budget;
    for (name, help, value) in [
        (
            "tillsync_budget_limit_calls",
            "Calls that the project may make in a period.",
            budget.limit,
        ),
        (
            "tillsync_budget_share_calls",
            "Calls of these that this host may make.",
            budget.share,
        ),
        (
            "tillsync_budget_used_calls",
            "Calls that this host made in the last period.",
            budget.used,
        ),
        (
            "tillsync_budget_remaining_calls",
            "Calls that the project has left, as the remote last said.",
            budget.remaining,
        ),
        (
            "tillsync_cycle_limit_calls",
            "Calls of the plan in a billing cycle.",
            facts.cycle.map(|c| c.calls),
        ),
        (
            "tillsync_cycle_used_calls",
            "Calls that this host made in this billing cycle.",
            facts.cycle.map(|c| c.used),
        ),
    ] {
        if let Some(value) = value {
            out.gauge(name, help);
            out.value(name, &[], value);
        }
    }
    out.moment(
        "tillsync_last_delivery_timestamp_seconds",
        "When the remote last acknowledged a record.",
        facts.last_delivered,
    );
    out.moment(
        "tillsync_last_error_timestamp_seconds",
        "When a request last went wrong.",
        facts.last_error.as_ref().map(|e| e.at),
    );
}

fn records(out: &mut Exposition, status: &Status) {
    let facts = &status.facts;
    for (name, help, counts) in [
        (
            "tillsync_records_stored",
            "Records that are stored here.",
            facts.stored,
        ),
        (
            "tillsync_records_confirmed",
            "Stored records that the remote has acknowledged as they are.",
            facts.confirmed,
        ),
        (
            "tillsync_records_pending",
            "Records whose latest change is not acknowledged.",
            facts.pending,
        ),
        (
            "tillsync_records_in_flight",
            "Pending records that a request or job carries now.",
            facts.in_flight,
        ),
        (
            "tillsync_records_parked",
            "Records that the remote refused, and that wait for a person.",
            facts.parked,
        ),
    ] {
        per_kind(out, name, help, counts);
    }
    out.moment(
        "tillsync_oldest_pending_timestamp_seconds",
        "Since when the oldest pending record waits.",
        facts.oldest_pending,
    );
    out.gauge(
        "tillsync_jobs_open",
        "Jobs at the remote that have not ended.",
    );
    out.value("tillsync_jobs_open", &[], facts.jobs.len());
    out.gauge("tillsync_files", "Files by their state.");
    let files = facts.files;
    for (state, n) in [
        ("waiting", files.waiting),
        ("reading", files.reading),
        ("held", files.held),
        ("stored", files.stored),
        ("unreadable", files.unreadable),
    ] {
        out.value("tillsync_files", &[("state", state)], n);
    }
}

fn per_kind(out: &mut Exposition, name: &str, help: &str, counts: Counts) {
    out.gauge(name, help);
    for kind in Kind::ALL {
        out.value(name, &[("kind", kind.name())], counts.of(kind));
    }
}

fn folders(out: &mut Exposition, status: &Status, tz: &TimeZone) {
    let folders = &status.facts.folders;
    if folders.is_empty() {
        return;
    }
    out.gauge(
        "tillsync_folder_up",
        "1 while the drop folder is there and can be read and written.",
    );
    for folder in folders {
        let up = !matches!(folder.state, FolderState::Gone | FolderState::Unreadable);
        out.value(
            "tillsync_folder_up",
            &[("folder", &folder.name)],
            u8::from(up),
        );
    }
    out.gauge(
        "tillsync_folder_waiting_files",
        "Files in the drop folder that are not taken in yet.",
    );
    for folder in folders {
        out.value(
            "tillsync_folder_waiting_files",
            &[("folder", &folder.name)],
            folder.waiting,
        );
    }
    out.gauge(
        "tillsync_folder_foreign_files",
        "Files in the drop folder that match nothing.",
    );
    for folder in folders {
        out.value(
            "tillsync_folder_foreign_files",
            &[("folder", &folder.name)],
            folder.foreign,
        );
    }
    let came = folders.iter().map(|f| (f.name.as_str(), f.came));
    out.moments(
        "tillsync_folder_last_file_timestamp_seconds",
        "When the last file with a row came.",
        came,
    );
    let due = folders.iter().map(|f| {
        let due = next_due(&status.facts, f, status.now, tz);
        (f.name.as_str(), due.map(|due| due.at))
    });
    out.moments(
        "tillsync_folder_due_timestamp_seconds",
        "When the next file is due, or the overdue one was.",
        due,
    );
    let files = folders
        .iter()
        .filter_map(|f| f.last_file.as_ref().map(|l| (&f.name, l)));
    let files: Vec<_> = files.collect();
    if !files.is_empty() {
        out.gauge(
            "tillsync_folder_last_file_rows",
            "Rows of the drop folder's newest file by what became of them or their records.",
        );
        for (name, file) in files {
            for (outcome, n) in [
                ("new", file.new),
                ("changed", file.changed),
                ("unchanged", file.unchanged),
                ("deleted", file.deleted),
                ("rejected", file.rejected),
                ("skipped", file.skipped),
            ] {
                out.value(
                    "tillsync_folder_last_file_rows",
                    &[("folder", name), ("outcome", outcome)],
                    n,
                );
            }
        }
    }
}

fn todos(out: &mut Exposition, status: &Status) {
    out.gauge(
        "tillsync_todos",
        "Things that need a person, by kind; `tillsync todo` names them.",
    );
    for kind in KINDS {
        let n = status.todo.iter().filter(|todo| todo.kind == *kind).count();
        out.value("tillsync_todos", &[("kind", kind)], n);
    }
}

fn meters(out: &mut Exposition, status: &Status, health: &Health) {
    let ever = status.facts.ever;
    let meters = health.meters();
    for (name, help, value) in [
        (
            "tillsync_requests_total",
            "Requests to the remote, over restarts.",
            ever.requests,
        ),
        (
            "tillsync_files_seen_total",
            "Files that were found, over restarts.",
            ever.files,
        ),
        (
            "tillsync_changes_total",
            "Changes of records, over restarts.",
            ever.changes,
        ),
        (
            "tillsync_calls_total",
            "Requests to the remote since the start.",
            meters.calls,
        ),
        (
            "tillsync_records_delivered_total",
            "Records that the remote acknowledged since the start.",
            meters.delivered,
        ),
        (
            "tillsync_records_refused_total",
            "Records that the remote refused since the start.",
            meters.parked,
        ),
        (
            "tillsync_watch_overflows_total",
            "Times since the start that the system forgot events of folders.",
            meters.watch_overflows,
        ),
    ] {
        out.head(name, help, "counter");
        out.value(name, &[], value);
    }
}

fn seconds(ms: i64) -> f64 {
    ms as f64 / 1000.0
}

struct Exposition(String);

impl Exposition {
    fn head(&mut self, name: &str, help: &str, kind: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn gauge(&mut self, name: &str, help: &str) {
        self.head(name, help, "gauge");
    }

    fn value(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.0.push_str(name);
        for (n, (label, text)) in labels.iter().enumerate() {
            let _ = write!(self.0, "{}{label}=\"", if n == 0 { '{' } else { ',' });
            for c in text.chars() {
                match c {
                    '\\' => self.0.push_str("\\\\"),
                    '"' => self.0.push_str("\\\""),
                    '\n' => self.0.push_str("\\n"),
                    c => self.0.push(c),
                }
            }
            self.0.push('"');
        }
        if !labels.is_empty() {
            self.0.push('}');
        }
        let _ = writeln!(self.0, " {value}");
    }

    /// Absent as long as it has not happened.
    fn moment(&mut self, name: &str, help: &str, at: Option<i64>) {
        if let Some(at) = at {
            self.gauge(name, help);
            self.value(name, &[], seconds(at));
        }
    }

    fn moments<'a>(
        &mut self,
        name: &str,
        help: &str,
        all: impl Iterator<Item = (&'a str, Option<i64>)>,
    ) {
        let mut all = all
            .filter_map(|(folder, at)| Some((folder, at?)))
            .peekable();
        if all.peek().is_some() {
            self.gauge(name, help);
        }
        for (folder, at) in all {
            self.value(name, &[("folder", folder)], seconds(at));
        }
    }
}
