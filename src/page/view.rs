//! The status page as HTML: the verdict first, then what needs a person, then how everything stands.
//!
//! Pure: a `Status` and the picture's points in, markup out. No script, and no style but the one
//! sheet, so that the policy can forbid all else: no note or file name becomes either.

use jiff::tz::TimeZone;
use maud::{DOCTYPE, Markup, html};

use super::{Trouble, chart};
use crate::kind::Kind;
use crate::status::facts::{Counts, Facts, Folder, FolderState, LastFile, LinkState, Sample};
use crate::status::words::{ago, bytes, count, full, head, iso, list, moment, number, plain, span};
use crate::status::{Status, Tone, outcome};
use crate::todo::{Todo, next_due};

/// The page asks for itself again after so many seconds.
pub const REFRESH_S: u32 = 30;

pub const STYLE: &str = include_str!("style.css");

/// Named by its content, so that a browser may keep it.
pub fn style_path() -> String {
    let hash = blake3::hash(STYLE.as_bytes()).to_hex();
    format!("/style-{}.css", &hash[..16])
}

/// To-dos and rejects files that are shown at most; the rest is counted.
const SHOWN_MAX: usize = 10;

/// Whether contents may be fetched from here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Downloads {
    /// There is a password, and it was given.
    Open,
    Closed,
}

pub fn page(status: &Status, samples: &[Sample], downloads: Downloads, tz: &TimeZone) -> Markup {
    let facts = &status.facts;
    let tone = class(status.headline.tone);
    let clock = html! {
        time datetime=(iso(status.now)) title=(full(status.now, tz)) { (head(status.now, tz)) }
    };
    let main = html! {
        section.verdict.(tone) aria-label="How it stands" {
            h1 { (words(&status.headline.text)) }
            @if !status.headline.detail.is_empty() { p { (words(&status.headline.detail)) } }
        }
        (todos(status, tz))
        (numbers(status))
        section aria-labelledby="folders" {
            h2 #folders { "Folders" }
            (folders(status, tz))
        }
        section aria-labelledby="two-days" {
            h2 #two-days { "The last two days" }
            (chart::picture(samples, status.now, tz))
        }
        (remote(status, tz))
        (rejects(status, downloads, tz))
    };
    let foot = html! { footer { (foot(status, tz)) } };
    let frame = Frame {
        headline: &status.headline.text,
        tone,
        store: &facts.store,
    };
    frame.around(&clock, &main, &foot)
}

/// The page of a daemon that cannot work: what is wrong, and what to do.
pub fn trouble(trouble: &Trouble, store: &str) -> Markup {
    let tone = class(Tone::Needs);
    let main = html! {
        section.verdict.(tone) aria-label="How it stands" {
            h1 { (trouble.headline) }
            p { (plain(&trouble.text)) "." }
            p { (words(&plain(&trouble.remedy))) }
            p { "Until then nothing is taken in or sent; files wait in their folders, and nothing is lost. It is tried again every minute." }
        }
    };
    let frame = Frame {
        headline: &trouble.headline,
        tone,
        store,
    };
    let nothing = html! {};
    frame.around(&nothing, &main, &nothing)
}

/// What every page has around it.
struct Frame<'a> {
    headline: &'a str,
    tone: &'a str,
    store: &'a str,
}

impl Frame<'_> {
    fn around(&self, clock: &Markup, main: &Markup, foot: &Markup) -> Markup {
        html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    meta name="robots" content="noindex";
                    meta http-equiv="refresh" content=(REFRESH_S);
                    title { (self.headline) " · " (plain(self.store)) }
                    link rel="icon" type="image/svg+xml" href=(format!("/icon-{}.svg", self.tone));
                    link rel="stylesheet" href=(style_path());
                }
                body {
                    header {
                        span { "tillsync · " strong { (plain(self.store)) } }
                        (clock)
                    }
                    main { (main) }
                    (foot)
                }
            }
        }
    }
}

/// A coloured dot, so that the tab of a browser tells.
pub fn icon(tone: Tone) -> String {
    let colour = match tone {
        Tone::Well => "#2c9a62",
        Tone::Waiting => "#4a7fd6",
        Tone::Needs => "#e0a030",
    };
    format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><circle cx="8" cy="8" r="6.5" fill="{colour}"/></svg>"#
    )
}

pub fn class(tone: Tone) -> &'static str {
    match tone {
        Tone::Well => "well",
        Tone::Waiting => "waiting",
        Tone::Needs => "needs",
    }
}

/// Text with `code` in backticks.
fn words(text: &str) -> Markup {
    html! {
        @for (n, part) in text.split('`').enumerate() {
            @if n % 2 == 1 { code { (part) } } @else { (part) }
        }
    }
}

fn when(at: i64, now: i64, tz: &TimeZone) -> Markup {
    html! { time datetime=(iso(at)) title=(full(at, tz)) { (moment(at, now, tz)) } }
}

fn todos(status: &Status, tz: &TimeZone) -> Markup {
    if status.todo.is_empty() {
        return html! {};
    }
    let left = status.todo.len().saturating_sub(SHOWN_MAX);
    html! {
        section aria-label="What needs you" {
            ol.todos {
                @for todo in status.todo.iter().take(SHOWN_MAX) { (one_todo(todo, status.now, tz)) }
                @if left > 0 {
                    li {
                        h3 { "And " (number(left as u64)) " more" }
                        code.command { "tillsync todo" }
                    }
                }
            }
        }
    }
}

fn one_todo(todo: &Todo, now: i64, tz: &TimeZone) -> Markup {
    html! {
        li {
            h3 {
                (todo.text)
                @if let Some(at) = todo.since { " " time datetime=(iso(at)) title=(full(at, tz)) { "since " (moment(at, now, tz)) } }
            }
            p { (words(&todo.why)) }
            code.command { (todo.command) }
        }
    }
}

const ORDER: [Kind; 4] = [Kind::Customers, Kind::Products, Kind::Skus, Kind::Orders];

fn numbers(status: &Status) -> Markup {
    let facts = &status.facts;
    let tile = |name: &str, n: u64, more: String, flag: bool| {
        html! {
            div.flag[flag] { dt { (name) } dd { (number(n)) small { (more) } } }
        }
    };
    let oldest = facts
        .oldest_pending
        .map(|at| format!("oldest for {}", span(status.now - at)));
    let delivered = facts.last_delivered.map(|at| ago(at, status.now));
    let kinds: Vec<Kind> = ORDER
        .into_iter()
        .filter(|kind| is_known(facts, *kind))
        .collect();
    html! {
        section aria-labelledby="records" {
            h2.hidden #records { "Records" }
            dl.tiles {
                (tile("Stored", facts.stored.total(), files(facts), false))
                (tile("Confirmed", facts.confirmed.total(), delivered.unwrap_or_default(), false))
                (tile("Waiting", facts.pending.total(), oldest.unwrap_or_default(), false))
                (tile("Parked", facts.parked.total(), String::new(), facts.parked.total() > 0))
            }
            @if kinds.len() > 1 && facts.stored.total() > 0 { (by_kind(facts, &kinds)) }
        }
    }
}

fn is_known(facts: &Facts, kind: Kind) -> bool {
    let some = |counts: Counts| counts.of(kind) > 0;
    some(facts.stored)
        || some(facts.pending)
        || some(facts.parked)
        || facts.folders.iter().any(|f| f.kind == kind)
}

fn files(facts: &Facts) -> String {
    let files = facts.files;
    let mut parts = vec![format!("from {}", count(files.stored, "file", "files"))];
    for (n, what) in [(files.reading, "being read"), (files.waiting, "waiting")] {
        if n > 0 {
            parts.push(format!("{} {what}", number(n)));
        }
    }
    parts.join(", ")
}

fn by_kind(facts: &Facts, kinds: &[Kind]) -> Markup {
    let cell = |n: u64| html! { td.num.zero[n == 0] { (number(n)) } };
    html! {
        div.card.below {
            table.counts {
                thead { tr {
                    th scope="col" { span.hidden { "Kind" } }
                    th.num scope="col" { "stored" }
                    th.num scope="col" { "confirmed" }
                    th.num scope="col" { "waiting" }
                    th.num.wide scope="col" { "in flight" }
                    th.num scope="col" { "parked" }
                } }
                tbody {
                    @for kind in kinds {
                        tr {
                            th scope="row" { (named(*kind)) }
                            (cell(facts.stored.of(*kind)))
                            (cell(facts.confirmed.of(*kind)))
                            (cell(facts.pending.of(*kind)))
                            td.num.wide.zero[facts.in_flight.of(*kind) == 0] { (number(facts.in_flight.of(*kind))) }
                            (cell(facts.parked.of(*kind)))
                        }
                    }
                }
            }
            @if !facts.parked_groups.is_empty() {
                p.small.dim.after-table {
                    "Parked: "
                    @for (n, group) in facts.parked_groups.iter().enumerate() {
                        @if n > 0 { ", " }
                        (number(group.count)) " " (named(group.kind)) " " code { (plain(&group.code)) }
                    }
                    "."
                }
            }
        }
    }
}

fn named(kind: Kind) -> &'static str {
    match kind {
        Kind::Skus => "SKUs",
        other => other.name(),
    }
}

fn folders(status: &Status, tz: &TimeZone) -> Markup {
    if status.facts.folders.is_empty() {
        return html! { p.card.dim { "No folder is configured. " code { "tillsync init" } " writes one." } };
    }
    let expects = status.facts.folders.iter().any(|f| f.expect.is_some());
    html! {
        div.card {
            table.folders role="table" {
                thead role="rowgroup" { tr role="row" {
                    th scope="col" role="columnheader" { "Folder" }
                    th scope="col" role="columnheader" { "Last file" }
                    @if expects { th scope="col" role="columnheader" { "Next" } }
                } }
                tbody role="rowgroup" {
                    @for one in &status.facts.folders { (folder(status, one, expects, tz)) }
                }
            }
        }
    }
}

fn folder(status: &Status, folder: &Folder, expects: bool, tz: &TimeZone) -> Markup {
    let now = status.now;
    let names: Vec<String> = folder.foreign_names.iter().map(|n| plain(n)).collect();
    html! {
        tr role="row" {
            th scope="row" role="rowheader" {
                (plain(&folder.name))
                @match folder.state {
                    FolderState::Gone => span.tag { "not usable" },
                    FolderState::Full => span.tag { "waits for room" },
                    FolderState::Unreadable => span.tag { "no access" },
                    FolderState::Paused => span.tag.calm { "paused" },
                    FolderState::Polled => span.tag.calm { "looked at every minute" },
                    FolderState::Watched | FolderState::Unwatched => {}
                }
                @if let Some(note) = &folder.note { p { (plain(note)) } }
                p.dim { (plain(&folder.path.display().to_string())) }
                @if folder.foreign > 0 {
                    p.dim {
                        (count(folder.foreign, "file matches", "files match")) " nothing: "
                        (list(&names, 3, folder.foreign))
                    }
                }
            }
            td role="cell" data-label="Last file" {
                @match &folder.last_file {
                    Some(file) => (last_file(file, now, tz)),
                    None => span.dim { "none so far" },
                }
                @for line in waiting(folder, now) { p.small.dim { (line) } }
            }
            @if expects {
                td role="cell" data-label="Next" {
                    @if let Some(due) = next_due(&status.facts, folder, now, tz) {
                        @if due.overdue { span.flag { "overdue since " (when(due.at, now, tz)) } }
                        @else { "by " (when(due.at, now, tz)) }
                    }
                }
            }
        }
    }
}

fn last_file(file: &LastFile, now: i64, tz: &TimeZone) -> Markup {
    let flag = matches!(file.state.as_str(), "held" | "unreadable") || file.rejected > 0;
    html! {
        (plain(&file.name))
        p.small {
            span.flag[flag].dim[!flag] { (outcome(file)) }
            span.dim { " · " (when(file.at, now, tz)) }
            @if let Some(preset) = &file.preset { span.dim { " · " (plain(preset)) } }
        }
    }
}

/// What still lies in the folder, and what it waits for.
fn waiting(folder: &Folder, now: i64) -> Vec<String> {
    let mut lines: Vec<String> = folder
        .waiting_files
        .iter()
        .take(3)
        .map(|file| {
            let since = file.since.map(|at| format!(" ({})", span(now - at)));
            format!(
                "{} {}{}",
                plain(&file.name),
                plain(&file.why),
                since.unwrap_or_default()
            )
        })
        .collect();
    let left = folder.waiting.saturating_sub(lines.len() as u64);
    if left > 0 {
        let more = if lines.is_empty() { "" } else { " more" };
        lines.push(format!("{}{more} waiting", count(left, "file", "files")));
    }
    lines
}

fn remote(status: &Status, tz: &TimeZone) -> Markup {
    html! {
        section aria-labelledby="remote" {
            h2 #remote { "The remote" }
            div.two {
                div.card { (link(status, tz)) }
                div.card { (budget(status, tz)) }
            }
        }
    }
}

fn link(status: &Status, tz: &TimeZone) -> Markup {
    let facts = &status.facts;
    let link = &facts.link;
    let state = match link.state {
        None => "not tried yet",
        Some(LinkState::Up) => "up",
        Some(LinkState::Limited) => "waits for the rate limit",
        Some(LinkState::Away) => "away",
        Some(LinkState::Refused) if facts.rebind.is_some() => "refused until `tillsync rebind`",
        Some(LinkState::Refused) => "refuses the credentials",
        Some(LinkState::Exhausted) => "the plan's calls are used up",
    };
    html! {
        dl.facts {
            dt { "Link" }
            dd {
                (state)
                @if let Some(at) = link.since { span.dim { " since " (when(at, status.now, tz)) } }
                @if let Some(reason) = &link.reason { p.small.dim { (words(&plain(reason))) } }
            }
            @if let Some(at) = link.until.filter(|at| *at > status.now) {
                dt { @if link.is(LinkState::Away) || link.is(LinkState::Refused) { "Next try" } @else { "Until" } }
                dd { (when(at, status.now, tz)) }
            }
            @if let Some(pause) = facts.paused {
                dt { "Paused" }
                dd {
                    "since " (when(pause.since, status.now, tz))
                    @if let Some(at) = pause.until { ", until " (when(at, status.now, tz)) }
                    @else { ", until " code { "tillsync resume" } }
                }
            }
            @if !facts.jobs.is_empty() {
                dt { "Jobs" }
                dd {
                    (count(facts.jobs.len() as u64, "job runs", "jobs run")) " there, with "
                    (count(facts.jobs.iter().map(|j| j.records).sum(), "record", "records"))
                }
            }
            dt { "Last error" }
            dd {
                @match &facts.last_error {
                    Some(error) => {
                        (plain(&error.message)) p.small.dim { (when(error.at, status.now, tz)) " · " (plain(&error.code)) }
                    }
                    None => span.dim { "none" },
                }
            }
        }
    }
}

fn budget(status: &Status, tz: &TimeZone) -> Markup {
    let facts = &status.facts;
    let budget = &facts.budget;
    let period = budget.period.as_deref().unwrap_or("minute");
    html! {
        @if let Some(share) = budget.share {
            @let used = budget.used.unwrap_or(0);
            div.meter {
                (number(used)) " of " (number(share)) " calls in the last " (period)
                (bar(used, share, None))
                p.small.dim {
                    @if let Some(limit) = budget.limit { "The project's limit is " (number(limit)) "; the rest is the tills'. " }
                    @if let Some(remaining) = budget.remaining { (number(remaining)) " of it left." }
                }
            }
        } @else {
            p.dim { "The remote has told no limit yet." }
        }
        @if let Some(cycle) = &facts.cycle {
            @let forecast = cycle.forecast(status.now);
            div.meter {
                (number(cycle.used)) " of the plan's " (number(cycle.calls)) " calls"
                (bar(cycle.used, cycle.calls, forecast))
                p.small.dim {
                    "Since " (when(cycle.begun, status.now, tz))
                    @if let Some(at_end) = forecast {
                        "; at this pace about "
                        span.flag[at_end > cycle.calls] { (number(at_end)) }
                        " by " (when(cycle.ends, status.now, tz))
                    }
                    "."
                }
            }
        }
    }
}

/// `used` of `all`, and how far it will go.
fn bar(used: u64, all: u64, forecast: Option<u64>) -> Markup {
    let part = |n: u64| (n as f64 / all.max(1) as f64).min(1.0) * 100.0;
    let class = if used > all { "over" } else { "part" };
    html! {
        svg.bar viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true" {
            rect.all width="100" height="4" {}
            @if let Some(forecast) = forecast { rect class=(if forecast > all { "over" } else { "part" }) opacity=".3" width=(part(forecast)) height="4" {} }
            rect class=(class) width=(part(used)) height="4" {}
        }
    }
}

fn rejects(status: &Status, downloads: Downloads, tz: &TimeZone) -> Markup {
    let files = &status.facts.rejecting;
    if files.is_empty() {
        return html! {};
    }
    let left = files.len().saturating_sub(SHOWN_MAX);
    html! {
        section aria-labelledby="rejects" {
            h2 #rejects { "Rows to mend" }
            div.card {
                table {
                    thead { tr {
                        th scope="col" { "File" }
                        th.num scope="col" { "Rows" }
                        th scope="col" { "Why" }
                        th scope="col" { "Rejects file" }
                    } }
                    tbody {
                        @for file in files.iter().take(SHOWN_MAX) {
                            tr {
                                td { (plain(&file.name)) p.small.dim { (plain(&file.folder)) " · " (when(file.since, status.now, tz)) } }
                                td.num { (number(file.rejected)) }
                                td {
                                    @for (n, (code, rows)) in file.codes.iter().enumerate() {
                                        @if n > 0 { ", " } (number(*rows)) " " (plain(code))
                                    }
                                }
                                td.small {
                                    @for (n, name) in file.rejects_names.iter().enumerate() {
                                        @if downloads == Downloads::Open {
                                            a href=(format!("/rejects/{}/{n}", file.id)) download { (plain(name)) }
                                        } @else {
                                            (plain(name))
                                        }
                                        @if n + 1 < file.rejects_names.len() { br; }
                                    }
                                }
                            }
                        }
                    }
                }
                @if left > 0 { p.small.dim.after-table { "And " (number(left as u64)) " more: " code { "tillsync rejects" } } }
            }
        }
    }
}

fn foot(status: &Status, tz: &TimeZone) -> Markup {
    let facts = &status.facts;
    html! {
        @if let Some(disk) = facts.disk { span { "Disk " (bytes(disk.free)) " of " (bytes(disk.size)) " free" } }
        span { "Store " (bytes(facts.database_bytes)) }
        span {
            @match facts.last_backup {
                Some(at) => { "Last backup " (when(at, status.now, tz)) }
                None => "No backup yet",
            }
        }
        @if let Some(daemon) = facts.daemon { span { "Runs since " (when(daemon.since, status.now, tz)) } }
        span { "Version " (facts.version) }
        @if facts.nobody_alerted {
            span { "Nobody would be told of what needs a person: set " code { "[alert]" } }
        }
        span { "This page looks again every " (REFRESH_S) " seconds" }
    }
}
