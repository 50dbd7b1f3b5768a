//! `status` on a terminal: the verdict first, then what there is in a few aligned lines, then what to do.

use std::fmt::Write;

use jiff::tz::TimeZone;

use super::facts::{Counts, Facts, Folder, FolderState, LastFile, LinkState};
use super::words::{ago, bytes, count, head, list, moment, number, plain, span};
use super::{Status, Tone};
use crate::kind::Kind;
use crate::todo::{Todo, next_due};

/// Columns of a line of running text; wider lines are harder to read, whatever the terminal.
const WIDTH: usize = 84;

/// Where values begin, after their name.
const NAMES: usize = 12;

/// `colour`: with ANSI escapes for a terminal.
pub fn render_text(status: &Status, tz: &TimeZone, colour: bool) -> String {
    let paint = Paint { colour };
    let facts = &status.facts;
    let mut out = String::new();
    let headline = &status.headline;
    let text = paint.tone(headline.tone, &headline.text);
    let now = head(status.now, tz);
    let at = format!("{}, {now}", plain(&facts.store));
    let _ = writeln!(out, "{text}  {}", paint.dim(&at));
    if !headline.detail.is_empty() {
        let _ = writeln!(out, "{}", wrap(&headline.detail, ""));
    }
    out.push('\n');
    line(&mut out, &paint, "link", &link(status, tz));
    if let Some(text) = budget(facts) {
        line(&mut out, &paint, "budget", &text);
    }
    if let Some(text) = cycle(status, tz) {
        line(&mut out, &paint, "plan", &text);
    }
    line(&mut out, &paint, "files", &files(facts));
    if let Some(at) = facts.oldest_pending {
        let text = format!("waits for {}", span(status.now - at));
        line(&mut out, &paint, "oldest", &text);
    }
    if let Some(at) = facts.last_delivered {
        line(
            &mut out,
            &paint,
            "delivered",
            &format!("last {}", ago(at, status.now)),
        );
    }
    if let Some(error) = &facts.last_error {
        let text = format!(
            "{}, {}: {}",
            moment(error.at, status.now, tz),
            plain(&error.code),
            plain(&error.message)
        );
        line(&mut out, &paint, "last error", &text);
    }
    line(&mut out, &paint, "disk", &disk(status, tz));
    line(&mut out, &paint, "daemon", &daemon(status, tz));
    out.push('\n');
    records(&mut out, &paint, facts);
    if !facts.folders.is_empty() {
        out.push('\n');
    }
    for one in &facts.folders {
        folder(&mut out, &paint, status, one, tz);
    }
    if facts.nobody_alerted {
        let text = "note: nobody would be told of what needs a person; set `command` or `webhook` in [alert]";
        let _ = write!(out, "\n{}\n", paint.dim(text));
    }
    if !status.todo.is_empty() {
        out.push('\n');
        out.push_str(&render_todo(status, tz, colour));
    }
    out
}

/// What needs a person, each with its reason and its command.
pub fn render_todo(status: &Status, tz: &TimeZone, colour: bool) -> String {
    let paint = Paint { colour };
    let mut out = String::new();
    for todo in &status.todo {
        one_todo(&mut out, &paint, todo, status.now, tz);
    }
    out
}

fn one_todo(out: &mut String, paint: &Paint, todo: &Todo, now: i64, tz: &TimeZone) {
    let since = match todo.since {
        Some(at) => paint.dim(&format!("  since {}", moment(at, now, tz))),
        None => String::new(),
    };
    let _ = writeln!(out, "{} {}{since}", paint.mark("•"), paint.bold(&todo.text));
    let _ = writeln!(out, "{}", wrap(&todo.why, "  "));
    let _ = writeln!(out, "    {}", paint.command(&todo.command));
}

fn line(out: &mut String, paint: &Paint, name: &str, text: &str) {
    let _ = writeln!(out, "{}{text}", paint.dim(&format!("{name:NAMES$}")));
}

fn link(status: &Status, tz: &TimeZone) -> String {
    let link = &status.facts.link;
    let Some(state) = link.state else {
        return "not tried yet".to_owned();
    };
    let mut text = state.name().to_owned();
    if let Some(at) = link.since {
        let _ = write!(text, " since {}", moment(at, status.now, tz));
    }
    if let Some(at) = link.until.filter(|at| *at > status.now) {
        let _ = match state {
            LinkState::Away => write!(text, ", next try {}", moment(at, status.now, tz)),
            _ => write!(text, ", until {}", moment(at, status.now, tz)),
        };
    }
    if let Some(reason) = &link.reason {
        let _ = write!(text, ": {}", plain(reason));
    }
    text
}

fn budget(facts: &Facts) -> Option<String> {
    let budget = &facts.budget;
    let period = budget.period.as_deref().unwrap_or("minute");
    let share = budget.share?;
    let mut text = format!(
        "{} of {} calls used in the last {period}",
        number(budget.used.unwrap_or(0)),
        number(share)
    );
    if let Some(limit) = budget.limit {
        let _ = write!(text, "; the project's limit is {}", number(limit));
    }
    if let Some(remaining) = budget.remaining {
        let _ = write!(text, ", {} of it left", number(remaining));
    }
    Some(text)
}

fn cycle(status: &Status, tz: &TimeZone) -> Option<String> {
    let cycle = status.facts.cycle?;
    let mut text = format!(
        "{} of {} calls since {}",
        number(cycle.used),
        number(cycle.calls),
        moment(cycle.begun, status.now, tz)
    );
    if let Some(at_end) = cycle.forecast(status.now) {
        let _ = write!(
            text,
            "; about {} by {} at this pace",
            number(at_end),
            moment(cycle.ends, status.now, tz)
        );
    }
    Some(text)
}

fn files(facts: &Facts) -> String {
    let files = facts.files;
    let mut parts = vec![format!("{} stored", number(files.stored))];
    for (n, what) in [
        (files.waiting, "waiting"),
        (files.reading, "being read"),
        (files.held, "held"),
        (files.unreadable, "unreadable"),
    ] {
        if n > 0 {
            parts.push(format!("{} {what}", number(n)));
        }
    }
    if facts.rejected > 0 {
        parts.push(count(facts.rejected, "row rejected", "rows rejected"));
    }
    parts.join(", ")
}

fn disk(status: &Status, tz: &TimeZone) -> String {
    let facts = &status.facts;
    let mut text = String::new();
    if let Some(disk) = facts.disk {
        let _ = write!(text, "{} free, ", bytes(disk.free));
    }
    let _ = write!(text, "store {}", bytes(facts.database_bytes));
    match facts.last_backup {
        Some(at) => {
            let _ = write!(text, ", last backup {}", moment(at, status.now, tz));
        }
        None => text.push_str(", no backup yet"),
    }
    text
}

fn daemon(status: &Status, tz: &TimeZone) -> String {
    let version = &status.facts.version;
    match status.facts.daemon {
        Some(daemon) if daemon.pid != 0 => format!(
            "runs since {} (pid {}), version {version}",
            moment(daemon.since, status.now, tz),
            daemon.pid
        ),
        Some(_) => format!("runs, version {version}"),
        None => format!("does not run, version {version}"),
    }
}

fn records(out: &mut String, paint: &Paint, facts: &Facts) {
    let rows: [(&str, Counts); 4] = [
        ("stored", facts.stored),
        ("pending", facts.pending),
        ("in flight", facts.in_flight),
        ("parked", facts.parked),
    ];
    const ORDER: [Kind; 4] = [Kind::Customers, Kind::Products, Kind::Skus, Kind::Orders];
    let _ = write!(out, "{:NAMES$}", "");
    for kind in ORDER {
        let name = if kind == Kind::Skus {
            "SKUs"
        } else {
            kind.name()
        };
        let _ = write!(out, "{}", paint.dim(&format!("{name:>12}")));
    }
    out.push('\n');
    for (name, counts) in rows {
        let _ = write!(out, "{}", paint.dim(&format!("{name:NAMES$}")));
        for kind in ORDER {
            let n = counts.of(kind);
            let cell = format!("{:>12}", number(n));
            let _ = match (name, n) {
                (_, 0) => write!(out, "{}", paint.dim(&cell)),
                ("parked", _) => write!(out, "{}", paint.warn(&cell)),
                _ => write!(out, "{cell}"),
            };
        }
        out.push('\n');
    }
}

fn folder(out: &mut String, paint: &Paint, status: &Status, folder: &Folder, tz: &TimeZone) {
    let state = match folder.state {
        FolderState::Watched | FolderState::Polled | FolderState::Unwatched => {
            paint.dim(folder.state.name())
        }
        _ => paint.warn(folder.state.name()),
    };
    let path = folder.path.display().to_string();
    let _ = writeln!(
        out,
        "{}  {}  {state}",
        paint.bold(&plain(&folder.name)),
        paint.dim(&plain(&path))
    );
    if let Some(note) = &folder.note {
        let _ = writeln!(out, "  {}", plain(note));
    }
    match &folder.last_file {
        Some(file) => {
            let _ = writeln!(
                out,
                "  last file {}: {}, {}",
                moment(file.at, status.now, tz),
                plain(&file.name),
                outcome(file)
            );
        }
        None => out.push_str("  no file so far\n"),
    }
    let mut more = Vec::new();
    if let Some(due) = next_due(&status.facts, folder, status.now, tz) {
        let word = if due.overdue {
            "overdue since"
        } else {
            "next by"
        };
        more.push(format!("{word} {}", moment(due.at, status.now, tz)));
    }
    if folder.waiting > 0 {
        more.push(count(folder.waiting, "file waits", "files wait"));
    }
    if folder.foreign > 0 {
        let names: Vec<String> = folder.foreign_names.iter().map(|n| plain(n)).collect();
        let named = list(&names, 3, folder.foreign);
        let n = count(
            folder.foreign,
            "file matches nothing",
            "files match nothing",
        );
        more.push(format!("{n} ({named})"));
    }
    if !more.is_empty() {
        let _ = writeln!(out, "  {}", more.join(", "));
    }
    for file in &folder.waiting_files {
        let _ = writeln!(out, "  {} {}", plain(&file.name), plain(&file.why));
    }
}

/// How a file went: `812 rows, 12 new, 3 changed`.
pub fn outcome(file: &LastFile) -> String {
    match file.state.as_str() {
        "waiting" => return "complete, waits for its turn".to_owned(),
        "reading" => return "being read".to_owned(),
        "held" => return "held".to_owned(),
        "unreadable" => return "could not be read".to_owned(),
        "discarded" => return "put away".to_owned(),
        _ => {}
    }
    let mut parts = vec![count(file.rows, "row", "rows")];
    for (n, what) in [
        (file.new, "new"),
        (file.changed, "changed"),
        (file.deleted, "deleted"),
        (file.rejected, "rejected"),
        (file.skipped, "skipped"),
    ] {
        if n > 0 {
            parts.push(format!("{} {what}", number(n)));
        }
    }
    if file.rows > 0 && file.new + file.changed + file.deleted + file.rejected == 0 {
        parts.push("nothing new".to_owned());
    }
    if file.state == "reverted" {
        parts.push("taken back".to_owned());
    }
    parts.join(", ")
}

/// Words broken into lines of `WIDTH`, each begun with `indent`.
fn wrap(text: &str, indent: &str) -> String {
    let mut out = String::from(indent);
    let mut column = indent.len();
    for word in text.split_whitespace() {
        let length = word.chars().count();
        if column > indent.len() {
            if column + 1 + length > WIDTH {
                out.push('\n');
                out.push_str(indent);
                column = indent.len();
            } else {
                out.push(' ');
                column += 1;
            }
        }
        out.push_str(word);
        column += length;
    }
    out
}

struct Paint {
    colour: bool,
}

impl Paint {
    fn with(&self, code: &str, text: &str) -> String {
        if self.colour && !text.is_empty() {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    fn bold(&self, text: &str) -> String {
        self.with("1", text)
    }

    fn dim(&self, text: &str) -> String {
        self.with("2", text)
    }

    fn warn(&self, text: &str) -> String {
        self.with("33", text)
    }

    fn mark(&self, text: &str) -> String {
        self.with("33;1", text)
    }

    fn command(&self, text: &str) -> String {
        self.with("36", text)
    }

    fn tone(&self, tone: Tone, text: &str) -> String {
        match tone {
            Tone::Well => self.with("32;1", text),
            Tone::Waiting => self.with("34;1", text),
            Tone::Needs => self.with("33;1", text),
        }
    }
}
