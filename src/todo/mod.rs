//! What needs a person: since when, what, why, and the command to type. Pure.
//!
//! Words are for whoever looks after the store's computer: what is wrong, what tillsync did, what to
//! do. A to-do is there as long as its cause is; nobody ticks it off.

pub mod due;

use std::path::Path;

use jiff::tz::TimeZone;

use crate::status::facts::{Facts, FileFact, Folder, FolderState, LinkState, NoticeKind};
use crate::status::words::{self, bytes, count, list, moment, number, plain, span};

/// Delivery or intake that has work and does nothing for so long stands. Longer than any request
/// with its retries, and than the longest wait between probes (5 minutes).
pub const STANDS_MS: i64 = 10 * MINUTE;

/// A file that waits in its folder for so long is not merely being written.
pub const WAITS_LONG_MS: i64 = HOUR;

/// A job of the remote that is open for so long is stuck (RELIABILITY.md, 5).
pub const JOB_STUCK_MS: i64 = 24 * HOUR;

/// From so many hundredths of the plan's calls on a person is told.
pub const CYCLE_PERCENT: u64 = 80;

/// A pause without an end was forgotten after so long.
pub const PAUSE_FORGOTTEN_MS: i64 = 24 * HOUR;

/// A file that grew after it was read is spoken of so long; nothing else ends it.
pub const GREW_MS: i64 = 24 * HOUR;

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Todo {
    /// `None`: found at this look.
    pub since: Option<i64>,
    /// One of `KINDS`.
    pub kind: &'static str,
    /// Which one of its kind: a folder, a file's number, a code. Kind and subject together stay the
    /// same from look to look.
    pub subject: String,
    /// What is wrong, in half a line, without a full stop.
    pub text: String,
    /// Why, what tillsync did, and what else can be done; whole sentences.
    pub why: String,
    /// To be typed as it stands.
    pub command: String,
    /// How many things of this kind it stands for.
    pub count: u64,
}

/// Every kind of to-do, the most pressing first: the order of every list.
pub const KINDS: &[&str] = &[
    "refused",
    "rebind",
    "share",
    "clock",
    "disk",
    "folder",
    "delivery",
    "intake",
    "exhausted",
    "held",
    "unreadable",
    "permission",
    "not_moved",
    "parked",
    "expect",
    "away",
    "config",
    "cycle",
    "waiting",
    "job",
    "rejects",
    "grew",
    "notice",
    "paused",
];

impl Todo {
    /// Kind and subject, by which it is known again.
    pub fn key(&self) -> String {
        format!("{}:{}", self.kind, self.subject)
    }
}

/// All of them, the most pressing kind first, then the oldest.
pub fn todo(facts: &Facts, now: i64, tz: &TimeZone) -> Vec<Todo> {
    let mut all = Vec::new();
    link(facts, now, tz, &mut all);
    host(facts, now, tz, &mut all);
    loops(facts, now, tz, &mut all);
    for folder in &facts.folders {
        place(facts, folder, &mut all);
        waiting(folder, now, &mut all);
        expected(facts, folder, now, tz, &mut all);
    }
    notices(facts, now, &mut all);
    files(facts, &mut all);
    parked(facts, &mut all);
    jobs(facts, now, &mut all);
    cycle(facts, now, tz, &mut all);
    let rank = |todo: &Todo| KINDS.iter().position(|kind| *kind == todo.kind);
    all.sort_by_key(|todo| (rank(todo), todo.since.unwrap_or(now)));
    all
}

fn link(facts: &Facts, now: i64, tz: &TimeZone, all: &mut Vec<Todo>) {
    let link = &facts.link;
    let waiting = facts.pending.total();
    let reason = link.reason.as_deref().map(plain);
    let base = |kind, text: String, why: String, command: &str| Todo {
        since: link.since,
        kind,
        subject: String::new(),
        text,
        why,
        command: command.to_owned(),
        count: 1,
    };
    if let Some(refusal) = &facts.rebind {
        let why = format!(
            "{} Nothing is sent before that is settled; files are taken in as before. `tillsync rebind` compares first, and then says what it will do.",
            sentence(&plain(&refusal.message))
        );
        all.push(Todo {
            since: refusal.at,
            ..base(
                "rebind",
                "This store does not belong to the project of its credentials".into(),
                why,
                "tillsync rebind",
            )
        });
        return;
    }
    if let (Some(limit), Some(0)) = (facts.budget.limit, facts.budget.share) {
        let why = format!(
            "The project's limit is {} calls, and this host's part of them is less than one. Nothing is sent; files are taken in as before, and {} there. Raise `share` in [api], or let fewer hosts run tillsync (`stores`).",
            number(limit),
            wait(waiting),
        );
        all.push(Todo {
            since: None,
            ..base(
                "share",
                "The share of the rate limit allows no call at all".into(),
                why,
                "tillsync check",
            )
        });
    }
    match link.state {
        Some(LinkState::Refused) => {
            let none = reason.as_deref().is_some_and(|r| r.contains("none set"));
            let text = if none {
                "No credentials are set".to_owned()
            } else {
                "The remote refuses the credentials".to_owned()
            };
            let said = reason.filter(|_| !none).map(|r| sentence(&r) + " ");
            let why = format!(
                "{}Nothing is sent; files are taken in as before, and {} there. `tillsync login` asks for them and tries them.",
                said.unwrap_or_default(),
                wait(waiting),
            );
            all.push(base("refused", text, why, "tillsync login"));
        }
        Some(LinkState::Exhausted) => {
            let until = link
                .until
                .map(|at| format!(" until {}", moment(at, now, tz)));
            let why = format!(
                "Nothing is sent{}; then it goes on by itself. Until then {} there. A larger plan ends it sooner.",
                until.unwrap_or_default(),
                wait(waiting),
            );
            all.push(base(
                "exhausted",
                "The plan's calls are used up".into(),
                why,
                "tillsync requests",
            ));
        }
        Some(LinkState::Away) => {
            let Some(since) = link.since else { return };
            if now - since < facts.away_after.as_millis() as i64 {
                return;
            }
            let said = reason.map(|r| format!("Last answer: {} ", sentence(&r)));
            let why = format!(
                "{}Files are taken in as before, and {} there. It is tried again at least every five minutes, and delivery takes up by itself.",
                said.unwrap_or_default(),
                wait(waiting),
            );
            let text = format!("The remote has been out of reach for {}", span(now - since));
            all.push(base("away", text, why, "tillsync check --online"));
        }
        _ => {}
    }
}

/// `312 changes wait`, for the middle of a sentence.
fn wait(changes: u64) -> String {
    match changes {
        0 => "nothing waits".to_owned(),
        1 => "1 change waits".to_owned(),
        n => format!("{} changes wait", number(n)),
    }
}

fn host(facts: &Facts, now: i64, tz: &TimeZone, all: &mut Vec<Todo>) {
    let mut push = |since, kind, text: String, why: String, command: String| {
        all.push(Todo {
            since,
            kind,
            subject: String::new(),
            text,
            why,
            command,
            count: 1,
        });
    };
    if facts.clock_wrong {
        push(
            None,
            "clock",
            "The computer's clock is wrong".into(),
            format!(
                "It says {}, which is before this program was made. Connections fail until it is right; files are taken in as before.",
                words::full(now, tz)
            ),
            "timedatectl".into(),
        );
    }
    let low = facts.disk.filter(|disk| disk.free < disk.min_free);
    if low.is_some() || facts.blocked.is_some() {
        let text = match low {
            Some(disk) => format!("The disk is nearly full: {} free", bytes(disk.free)),
            None => "There is not enough room for a file".to_owned(),
        };
        let said = facts
            .blocked
            .as_ref()
            .map(|blocked| sentence(&plain(&blocked.message)));
        let why = match (said, low) {
            (Some(said), _) => said,
            (None, Some(disk)) => format!(
                "Below {} no file is begun: files wait in their folders, and delivery goes on. It takes up by itself once there is room.",
                bytes(disk.min_free)
            ),
            (None, None) => String::new(),
        };
        let since = facts.blocked.as_ref().and_then(|blocked| blocked.at);
        push(
            since,
            "disk",
            text,
            why,
            format!("df -h {}", quoted(&facts.state_dir)),
        );
    }
    if let Some(refusal) = &facts.reload_refused {
        push(
            refusal.at,
            "config",
            "The changed configuration was refused".into(),
            format!(
                "{} The one before stays in force. `tillsync check` shows every fault with its line; then `systemctl reload tillsync`.",
                sentence(&plain(&refusal.message))
            ),
            "tillsync check".into(),
        );
    }
    if let Some(pause) = facts.paused
        && pause.until.is_none()
        && now - pause.since >= PAUSE_FORGOTTEN_MS
        && facts.pending.total() > 0
    {
        push(
            Some(pause.since),
            "paused",
            format!("Delivery has been paused for {}", span(now - pause.since)),
            format!(
                "Somebody typed `tillsync pause`, and {} for `tillsync resume`.",
                wait(facts.pending.total())
            ),
            "tillsync resume".into(),
        );
    }
}

/// Loops that have work and do none.
fn loops(facts: &Facts, now: i64, tz: &TimeZone, all: &mut Vec<Todo>) {
    let Some(daemon) = facts.daemon else { return };
    if let Some(since) = delivery_stands_since(facts, daemon.since)
        && now - since >= STANDS_MS
    {
        let due = facts.pending.total() - facts.in_flight.total().min(facts.pending.total());
        all.push(Todo {
            since: Some(since),
            kind: "delivery",
            subject: String::new(),
            text: "Delivery stands still".into(),
            why: format!(
                "The link is up, {}, and nothing has been sent since {}. Nothing is lost. A restart (`systemctl restart tillsync`) may help; please report it.",
                wait(due),
                moment(since, now, tz)
            ),
            command: "tillsync requests --limit 20".into(),
            count: 1,
        });
    }
    let room = facts.blocked.is_none() && facts.disk.is_none_or(|d| d.free >= d.min_free);
    if let Some(since) = facts.claimed_since
        && room
        && facts.files.reading == 0
        && now - since.max(daemon.since) >= STANDS_MS
    {
        all.push(Todo {
            since: Some(since),
            kind: "intake",
            subject: String::new(),
            text: "Intake stands still".into(),
            why: "A file is complete and is not taken in. It stays where it is, and nothing is lost. A restart (`systemctl restart tillsync`) may help; please report it.".into(),
            command: "tillsync files --limit 20".into(),
            count: 1,
        });
    }
}

/// Since when delivery could have sent something and has not.
fn delivery_stands_since(facts: &Facts, daemon_since: i64) -> Option<i64> {
    let may_send = facts.link.is(LinkState::Up) && facts.paused.is_none() && facts.rebind.is_none();
    let spent = facts
        .budget
        .share
        .zip(facts.budget.used)
        .is_some_and(|(share, used)| used >= share);
    if !may_send || spent {
        return None;
    }
    let due = facts.oldest_due?;
    let last = facts.last_request.unwrap_or(i64::MIN);
    let link = facts.link.since.unwrap_or(i64::MIN);
    Some(due.max(last).max(link).max(daemon_since))
}

fn place(facts: &Facts, folder: &Folder, all: &mut Vec<Todo>) {
    let path = folder.path.display().to_string();
    let reason = folder.reason.as_deref().map(|r| sentence(&plain(r)) + " ");
    let reason = reason.unwrap_or_default();
    let (text, why) = match folder.state {
        FolderState::Gone => (
            format!("The folder of {} cannot be used", folder.name),
            format!(
                "{reason}{} is looked for every minute; files are taken in once it is back.",
                plain(&path)
            ),
        ),
        FolderState::Unreadable => (
            format!("The folder of {} cannot be read or written", folder.name),
            format!(
                "{reason}Files that are dropped into {} wait. Give the user `tillsync` read and write access; it is tried again every minute.",
                plain(&path)
            ),
        ),
        _ => return,
    };
    let since = folder.state_since.or(facts.daemon.map(|d| d.since));
    all.push(Todo {
        since,
        kind: "folder",
        subject: folder.name.clone(),
        text,
        why,
        command: "tillsync check".into(),
        count: 1,
    });
}

fn waiting(folder: &Folder, now: i64, all: &mut Vec<Todo>) {
    for file in &folder.waiting_files {
        let Some(since) = file.since.filter(|since| now - since >= WAITS_LONG_MS) else {
            continue;
        };
        let name = plain(&file.name);
        // Who has a file open is what a person asks first.
        let program = match file.why.contains("open") {
            true => "fuser -v",
            false => "ls -l --full-time",
        };
        all.push(Todo {
            since: Some(since),
            kind: "waiting",
            subject: format!("{}/{}", folder.name, file.name),
            text: format!(
                "{name} in {} has been waiting for {}",
                folder.name,
                span(now - since)
            ),
            why: sentence(&format!("It {}", plain(&file.why))),
            command: about(program, &folder.path, &file.name),
            count: 1,
        });
    }
}

fn notices(facts: &Facts, now: i64, all: &mut Vec<Todo>) {
    for notice in &facts.notices {
        let (kind, text) = match notice.kind {
            NoticeKind::Grown if now - notice.at >= GREW_MS => continue,
            NoticeKind::Grown => (
                "grew",
                "A file was still being written after it was taken in",
            ),
            NoticeKind::Permission => ("permission", "A file cannot be read"),
            NoticeKind::NotMoved => ("not_moved", "A file cannot be moved away"),
            NoticeKind::Other => ("notice", "Something was noticed"),
        };
        let folder = facts.folders.iter().find(|f| f.name == notice.folder);
        let command = folder.map(|f| format!("ls -la {}", quoted(&f.path)));
        all.push(Todo {
            since: Some(notice.at),
            kind,
            subject: format!("{}/{}", notice.folder, notice.text),
            text: format!("{text}, in {}", notice.folder),
            why: sentence(&plain(&notice.text)),
            command: command.unwrap_or_else(|| "tillsync check".to_owned()),
            count: 1,
        });
    }
}

fn expected(facts: &Facts, folder: &Folder, now: i64, tz: &TimeZone, all: &mut Vec<Todo>) {
    let Some(due) = next_due(facts, folder, now, tz).filter(|due| due.overdue) else {
        return;
    };
    let tz = zone(folder, tz);
    let last = match folder.came {
        Some(at) => format!("The last one with a row came {}", moment(at, now, &tz)),
        None => "None has come so far".to_owned(),
    };
    let note = folder
        .note
        .as_deref()
        .map(|note| format!(" ({})", plain(note)));
    let foreign = match folder.foreign {
        0 => String::new(),
        n => format!(
            " {} in it match nothing: {}.",
            count(n, "file", "files"),
            list(
                &folder
                    .foreign_names
                    .iter()
                    .map(|n| plain(n))
                    .collect::<Vec<_>>(),
                3,
                n
            )
        ),
    };
    all.push(Todo {
        since: Some(due.at),
        kind: "expect",
        subject: folder.name.clone(),
        text: format!(
            "No file for {} since it was due, {}",
            folder.name,
            moment(due.at, now, &tz)
        ),
        why: format!(
            "{last}. See whether the export ran{}.{foreign}",
            note.unwrap_or_default()
        ),
        command: format!("ls -la {}", quoted(&folder.path)),
        count: 1,
    });
}

/// When the folder's next file is due; `None`: nothing is expected of it now.
pub fn next_due(facts: &Facts, folder: &Folder, now: i64, tz: &TimeZone) -> Option<due::Due> {
    let known = folder.known_since.or(facts.created)?;
    if folder.state == FolderState::Paused {
        return None;
    }
    let came = due::Came {
        last: folder.came,
        known_since: known,
    };
    due::due(folder.expect.as_ref()?, came, now, &zone(folder, tz))
}

fn zone(folder: &Folder, host: &TimeZone) -> TimeZone {
    let named = folder
        .timezone
        .as_deref()
        .and_then(|name| TimeZone::get(name).ok());
    named.unwrap_or_else(|| host.clone())
}

fn files(facts: &Facts, all: &mut Vec<Todo>) {
    let one = |file: &FileFact, kind, text: String, why: String, command: String| Todo {
        since: Some(file.since),
        kind,
        subject: file.id.to_string(),
        text,
        why,
        command,
        count: 1,
    };
    let because = |file: &FileFact| {
        let reason = file.reason.as_deref().map(|r| sentence(&plain(r)) + " ");
        reason.unwrap_or_default()
    };
    for file in &facts.held {
        let why = format!(
            "{}Nothing waits for it; `tillsync discard --file {}` puts it away.",
            because(file),
            file.id
        );
        let text = format!("{} in {} is held", plain(&file.name), file.folder);
        all.push(one(
            file,
            "held",
            text,
            why,
            format!("tillsync accept {}", file.id),
        ));
    }
    more(facts.files.held, &facts.held, "held", "are held", all);
    for file in &facts.unreadable {
        let why = format!(
            "{}It was moved to the folder's `rejects/` with the reason beside it; nothing of it was stored. Export it anew and drop it again, or delete it there.",
            because(file)
        );
        let text = format!("{} in {} could not be read", plain(&file.name), file.folder);
        all.push(one(
            file,
            "unreadable",
            text,
            why,
            format!("tillsync files --file {}", file.id),
        ));
    }
    for file in &facts.rejecting {
        let codes: Vec<String> = file
            .codes
            .iter()
            .map(|(code, n)| format!("{} × {code}", number(*n)))
            .collect();
        let codes = match codes.join(", ") {
            codes if codes.is_empty() => String::new(),
            codes => format!(" ({codes})"),
        };
        let why = format!(
            "The others are stored. Mend them in {} and drop {} back as it is, or delete it there.",
            match file.rejects_names.as_slice() {
                [] => "the folder's `rejects/`".to_owned(),
                [name] => format!("`rejects/{}`", plain(name)),
                // One a member of a zip.
                [name, others @ ..] => format!(
                    "`rejects/{}` and {} beside it",
                    plain(name),
                    count(others.len() as u64, "other", "others")
                ),
            },
            if file.rejects_names.len() > 1 {
                "each"
            } else {
                "that file"
            }
        );
        let text = format!(
            "{} of {} in {} could not be stored{codes}",
            count(file.rejected, "row", "rows"),
            plain(&file.name),
            file.folder
        );
        all.push(Todo {
            count: file.rejected,
            ..one(
                file,
                "rejects",
                text,
                why,
                format!("tillsync rejects --file {}", file.id),
            )
        });
    }
}

/// Of thousands of files the first ones are named, and the rest counted.
fn more(total: u64, named: &[FileFact], kind: &'static str, what: &str, all: &mut Vec<Todo>) {
    let left = total.saturating_sub(named.len() as u64);
    if left == 0 {
        return;
    }
    all.push(Todo {
        since: named.last().map(|file| file.since),
        kind,
        subject: "more".into(),
        text: format!("{} {what}", count(left, "more file", "more files")),
        why: "Only the first ones are shown here.".into(),
        command: "tillsync files".into(),
        count: left,
    });
}

fn parked(facts: &Facts, all: &mut Vec<Todo>) {
    for group in &facts.parked_groups {
        let named = match group.count {
            1 => format!("1 {} is parked", group.kind.singular()),
            n => format!("{} {} are parked", number(n), of_many(group.kind)),
        };
        let (why, command) = parked_because(&group.code, group.kind.name());
        all.push(Todo {
            since: Some(group.since),
            kind: "parked",
            subject: format!("{}:{}", group.kind.name(), group.code),
            text: format!("{named}: {}", plain(&group.code)),
            why,
            command,
            count: group.count,
        });
    }
}

fn of_many(kind: crate::kind::Kind) -> &'static str {
    match kind {
        crate::kind::Kind::Skus => "SKUs",
        other => other.name(),
    }
}

fn parked_because(code: &str, kind: &str) -> (String, String) {
    let show = format!("tillsync parked --kind {kind}");
    let why = match code {
        "product_unknown" => {
            "Neither this store nor the remote knows their product. They go by themselves once it comes: drop a products file that has it."
        }
        "not_deletable" => {
            "They were deleted here, and the remote cannot delete orders. `tillsync discard` sets them back."
        }
        "duplicate_found" | "duplicate_resource_key" | "duplicate_source_id" => {
            "The remote has another object with the same identifier. Mend one of the two and drop the file again, or `tillsync retry`."
        }
        _ => {
            "The remote refused them, and saying it again would not help; nothing else waits for them. Mend them at their source and drop the file again. `tillsync retry` tries them as they are, `tillsync discard` gives the change up."
        }
    };
    (why.to_owned(), show)
}

fn jobs(facts: &Facts, now: i64, all: &mut Vec<Todo>) {
    for job in facts
        .jobs
        .iter()
        .filter(|job| now - job.since >= JOB_STUCK_MS)
    {
        all.push(Todo {
            since: Some(job.since),
            kind: "job",
            subject: job.remote_id.clone(),
            text: format!(
                "A job at the remote has not ended for {}: {} {}",
                span(now - job.since),
                number(job.records),
                of_many(job.kind)
            ),
            why: format!(
                "Its records wait for it; all others go on. It is asked for again and again, more rarely. If it stays so, give the remote's support the job's id, {}.",
                plain(&job.remote_id)
            ),
            command: "tillsync requests --limit 20".into(),
            count: job.records,
        });
    }
}

/// Calls of the plan's cycle: said early enough to do something about it.
fn cycle(facts: &Facts, now: i64, tz: &TimeZone, all: &mut Vec<Todo>) {
    let Some(cycle) = facts.cycle else { return };
    let (used, calls) = (cycle.used, cycle.calls);
    if used.saturating_mul(100) < calls.saturating_mul(CYCLE_PERCENT) {
        return;
    }
    let ends = moment(cycle.ends, now, tz);
    let goes_on = match cycle.forecast(now) {
        Some(at_end) if at_end > calls => format!(
            "If it goes on like this they are used up before {ends}, when the cycle ends; the remote then takes no more calls, the tills' included."
        ),
        _ => format!("The cycle ends {ends}."),
    };
    all.push(Todo {
        since: None,
        kind: "cycle",
        subject: String::new(),
        text: format!(
            "{} of the plan's {} calls of this billing cycle are used",
            number(used),
            number(calls)
        ),
        why: format!(
            "{goes_on} Counted are this host's own calls. Delivery goes on as before; a larger plan, or fewer files until then, helps."
        ),
        command: "tillsync status".into(),
        count: 1,
    });
}

/// With a capital and a full stop.
fn sentence(text: &str) -> String {
    let text = text.trim();
    let mut chars = text.chars();
    let Some(first) = chars.next() else {
        return String::new();
    };
    // A path or a number is not a word to begin with a capital.
    let word = text.split_whitespace().next().unwrap_or_default();
    let mut out: String = match word.chars().all(char::is_alphabetic) {
        true => first.to_uppercase().chain(chars).collect(),
        false => text.to_owned(),
    };
    if !out.ends_with(['.', '!', '?']) {
        out.push('.');
    }
    out
}

/// The command that ends a pause: of this folder's intake, or of delivery.
pub fn resume(folder: Option<&str>) -> String {
    folder.map_or("tillsync resume".to_owned(), |name| {
        format!("tillsync resume --folder {}", quoted(Path::new(name)))
    })
}

/// A path as an argument of a shell.
fn quoted(path: &Path) -> String {
    let text = path.to_string_lossy();
    let safe = |c: char| c.is_ascii_alphanumeric() || "/._-+,:@%".contains(c);
    if !text.is_empty() && text.chars().all(safe) {
        return text.into_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// A command about a file. A name that would do something to a terminal is not typed: its folder's
/// listing is asked for instead.
fn about(program: &str, folder: &Path, name: &str) -> String {
    if plain(name) != name || name.contains('\u{fffd}') {
        return format!("ls -lb {}", quoted(folder));
    }
    format!("{program} {}", quoted(&folder.join(name)))
}

#[cfg(test)]
mod tests;
