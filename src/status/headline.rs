//! The one line at the top of `status` and page: is all well, is something going on, or is a person needed?

use jiff::tz::TimeZone;

use super::facts::{Facts, LinkState};
use super::words::{self, count, moment, number};
use crate::todo::Todo;

/// How it is to be taken, in three steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// Nothing to do, nothing waits.
    Well,
    /// Nothing to do for a person, but not everything is done: offline, paused, busy.
    Waiting,
    /// A person is needed.
    Needs,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Headline {
    pub tone: Tone,
    /// `All is well`, `Offline since 14:02`, `2 things need you`.
    pub text: String,
    /// What else there is to say, in one sentence or two; may be empty.
    pub detail: String,
}

const NOTHING_TO_DO: &str = "; nothing to do.";

pub fn of(facts: &Facts, todo: &[Todo], now: i64, tz: &TimeZone) -> Headline {
    let present = at_present(facts, now, tz);
    if todo.is_empty() {
        return present;
    }
    // The rest of a long list is one to-do that stands for many.
    let things = |todo: &Todo| {
        if todo.subject == "more" {
            todo.count
        } else {
            1
        }
    };
    let n: u64 = todo.iter().map(things).sum();
    let text = match n {
        1 => "1 thing needs you".to_owned(),
        n => format!("{} things need you", number(n)),
    };
    let detail = match present.tone {
        Tone::Well => "Everything else is done.".to_owned(),
        _ => sentence(&present),
    };
    Headline {
        tone: Tone::Needs,
        text,
        detail,
    }
}

/// In one sentence, behind what needs a person.
fn sentence(present: &Headline) -> String {
    match present.detail.trim_end_matches(NOTHING_TO_DO) {
        "" => format!("{}.", present.text),
        detail => {
            let (first, rest) = detail.split_at(1);
            let rest = rest.trim_end_matches('.');
            format!("{}; {}{rest}.", present.text, first.to_lowercase())
        }
    }
}

/// Leaving aside what needs a person.
fn at_present(facts: &Facts, now: i64, tz: &TimeZone) -> Headline {
    let pending = facts.pending.total();
    let waiting = |text: String, detail: String| Headline {
        tone: Tone::Waiting,
        text,
        detail,
    };
    let changes = match pending {
        0 => "nothing waits".to_owned(),
        1 => "1 change waits".to_owned(),
        n => format!("{} changes wait", number(n)),
    };
    if facts.daemon.is_none() {
        return waiting(
            "Not running".into(),
            format!(
                "{}; nothing is taken in or sent. `systemctl start tillsync` starts it.",
                capital(&changes)
            ),
        );
    }
    if let Some(pause) = facts.paused {
        let until = match pause.until {
            Some(at) => format!("until {}", moment(at, now, tz)),
            None => "until `tillsync resume`".to_owned(),
        };
        return waiting(
            format!("Delivery is paused {until}"),
            format!("{}; files are taken in as before.", capital(&changes)),
        );
    }
    let since = facts
        .link
        .since
        .map(|at| format!(" since {}", moment(at, now, tz)));
    let since = since.unwrap_or_default();
    let until = facts
        .link
        .until
        .map(|at| format!(" until {}", moment(at, now, tz)));
    let until = until.unwrap_or_default();
    match facts.link.state {
        Some(LinkState::Away) => {
            return waiting(
                format!("Offline{since}"),
                format!("{}{NOTHING_TO_DO}", capital(&changes)),
            );
        }
        Some(LinkState::Limited) if pending > 0 => {
            return waiting(
                format!("Waiting for the rate limit{until}"),
                format!("{}{NOTHING_TO_DO}", capital(&changes)),
            );
        }
        Some(LinkState::Refused) => {
            return waiting(
                format!("Nothing is sent{since}"),
                format!("{}; files are taken in as before.", capital(&changes)),
            );
        }
        Some(LinkState::Exhausted) => {
            return waiting(
                format!("Nothing is sent{until}"),
                format!("{}; files are taken in as before.", capital(&changes)),
            );
        }
        _ => {}
    }
    if let Some(file) = facts.reading.first() {
        return waiting(
            format!("Taking in {}", words::plain(&file.name)),
            format!("{}{NOTHING_TO_DO}", capital(&changes)),
        );
    }
    if pending > 0 {
        return waiting(
            format!("Delivering {}", count(pending, "change", "changes")),
            "Nothing to do.".into(),
        );
    }
    let stored = facts.stored.total();
    let detail = match (stored, facts.last_delivered) {
        (0, _) => "No file has come yet. Drop one into a folder below.".to_owned(),
        (_, Some(at)) => format!("Everything is delivered, last {}.", words::ago(at, now)),
        (_, None) => "Nothing waits.".to_owned(),
    };
    Headline {
        tone: Tone::Well,
        text: "All is well".into(),
        detail,
    }
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    match chars.next() {
        Some(first) => first.to_uppercase().chain(chars).collect(),
        None => String::new(),
    }
}
