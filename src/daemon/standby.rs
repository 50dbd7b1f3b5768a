//! After a start that failed, or an end soon after it, under systemd: the daemon stands by for a minute
//! and says what is wrong, by page, STATUS line and alert; then it ends, and systemd starts it again.
//!
//! A damaged database or a failing disk stays so until a person comes. Ending at once would mean a start
//! every two seconds, and nobody at the page's address. The lock is not held meanwhile: `restore` works,
//! and what it puts in place ends the waiting. Knows neither store nor loops.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

use jiff::tz::TimeZone;

use super::alert::{self, HostOutlets, Memory, Outlets};
use super::beside::Beside;
use super::events::{self, Event};
use super::{Error, now, systemd};
use crate::config::Config;
use crate::health::Health;
use crate::page;
use crate::status::facts;
use crate::store::{self, DATABASE, Store, integrity};
use crate::todo::Todo;

/// From one start to the next at least, and between two looks at whether an alert is due.
const FOR: Duration = Duration::from_secs(60);

/// Between two looks at whether a person has mended it.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Both; shorter in tests.
#[derive(Clone, Copy)]
struct Pace {
    stays: Duration,
    looks: Duration,
}

const PACE: Pace = Pace {
    stays: FOR,
    looks: LOOK_EVERY,
};

/// In the state directory: what was told of a store that cannot be opened, until one can.
const TOLD: &str = "standby.json";

/// Whether to stand by rather than end: what systemd itself started would be started again at once.
pub fn wanted(error: &Error, lived: Duration) -> bool {
    let lasts = match error {
        Error::Store(store::Error::Newer { .. }) | Error::Configuration(_) | Error::Held(_) => {
            false
        }
        Error::Store(_) | Error::Io(_) | Error::Internal(_) => true,
    };
    let by_systemd =
        std::env::var("SYSTEMD_EXEC_PID").is_ok_and(|pid| pid.parse() == Ok(std::process::id()));
    lasts && by_systemd && lived < FOR
}

/// Says what is wrong until a minute is over and the alerts are remembered, a signal ends it, or it was
/// mended. `true`: by a signal.
pub fn stand_by(config: &Config, error: &Error) -> bool {
    let trouble = trouble(error);
    tracing::error!(what = %trouble.text, "nothing is taken in or sent; it is tried again within a minute");
    systemd::status(&format!("{}. {}", trouble.headline, trouble.text));
    let (events, received) = mpsc::channel();
    // Without them a signal ends the process as it ends any other.
    let _ = events::listen_to_signals(events);
    let _page = show(config, &trouble);
    let teller = Teller::start(config, &trouble, PACE);
    let pace = Pace {
        looks: systemd::beat_interval().map_or(LOOK_EVERY, |beat| beat.min(LOOK_EVERY)),
        ..PACE
    };
    stays(&received, &teller, pace, || {
        mended(error, &config.state_dir)
    })
}

fn stays(
    received: &Receiver<Event>,
    teller: &Teller,
    pace: Pace,
    mended: impl Fn() -> bool,
) -> bool {
    let begun = Instant::now();
    while begun.elapsed() < pace.stays || !teller.remembers() {
        match received.recv_timeout(pace.looks) {
            Ok(Event::Stop) => return true,
            // A configuration that was read again may name another state directory.
            Ok(Event::Reload) => return false,
            Ok(_) => {}
            Err(RecvTimeoutError::Disconnected) => std::thread::sleep(pace.looks),
            Err(RecvTimeoutError::Timeout) => {}
        }
        // It may never have been ready.
        systemd::starts_within(FOR);
        systemd::beat();
        if mended() {
            return false;
        }
    }
    false
}

fn trouble(error: &Error) -> page::Trouble {
    use store::Error::{Aside, Damaged};
    let text = error.to_string();
    let (text, remedy) = text.split_once('\n').unwrap_or((&text, ""));
    let (headline, remedy) = match error {
        Error::Store(Aside { .. } | Damaged(_)) => ("The database is damaged", remedy),
        Error::Internal(_) => ("tillsync has a fault", "See `journalctl -u tillsync`."),
        _ => (
            "tillsync cannot use its disk",
            "Look at the disk and its rights: `tillsync check`.",
        ),
    };
    page::Trouble {
        headline: headline.to_owned(),
        text: text.to_owned(),
        remedy: remedy.to_owned(),
    }
}

/// A backup was put in its place, or the damaged one was taken away.
fn mended(error: &Error, state_dir: &Path) -> bool {
    match error {
        Error::Store(store::Error::Aside { .. }) => {
            state_dir.join(DATABASE).exists() || integrity::aside(state_dir).is_none()
        }
        _ => false,
    }
}

fn show(config: &Config, trouble: &page::Trouble) -> Option<page::Page> {
    let sources = page::Sources {
        config: Arc::new(RwLock::new(Arc::new(config.clone()))),
        health: Arc::new(Health::new()),
        daemon: facts::Daemon {
            pid: std::process::id(),
            since: now(),
        },
        tz: TimeZone::system(),
    };
    // The log and systemd have been told all the same.
    page::start_in_trouble(sources, trouble.clone())
        .ok()
        .flatten()
}

/// Tells the alerts, on a thread of its own: an outlet may not answer.
struct Teller {
    remembered: Arc<AtomicBool>,
    /// `None`: there is no thread for it, and nothing to remember.
    beside: Option<Beside>,
}

impl Teller {
    fn start(config: &Config, trouble: &page::Trouble, pace: Pace) -> Teller {
        let (config, todo) = (config.clone(), todo(trouble));
        let mut outlets = HostOutlets::new(&config);
        let remembered = Arc::new(AtomicBool::new(false));
        let noted = remembered.clone();
        let work = move |rest: &super::beside::Rest| {
            let path = told(&config.state_dir);
            let mut memory = remembered_in(&path);
            let mut written = false;
            let mut looked: Option<Instant> = None;
            loop {
                if looked.is_none_or(|at| at.elapsed() >= pace.stays) {
                    looked = Some(Instant::now());
                    let before = memory.clone();
                    tell(&config, &todo, &mut memory, &mut outlets);
                    written = written && before == memory;
                }
                written = written || remember(&path, &memory).is_ok();
                noted.store(written, Relaxed);
                if !rest.sleeps(pace.looks) {
                    return;
                }
            }
        };
        Teller {
            remembered,
            beside: Beside::start("tell", work).ok(),
        }
    }

    /// Whether the next process will know what was told.
    fn remembers(&self) -> bool {
        self.beside.is_none() || self.remembered.load(Relaxed)
    }
}

fn todo(trouble: &page::Trouble) -> Todo {
    Todo {
        since: None,
        kind: "disk",
        subject: "standby".to_owned(),
        text: format!("{}: {}", trouble.headline, trouble.text),
        why: trouble.remedy.clone(),
        command: "tillsync status".to_owned(),
        count: 1,
    }
}

fn tell(config: &Config, todo: &Todo, memory: &mut Memory, outlets: &mut impl Outlets) {
    let todos = std::slice::from_ref(todo);
    alert::tell(&config.alert, &config.store, todos, memory, outlets, now());
}

fn remembered_in(path: &Path) -> Memory {
    Memory::from_json(std::fs::read_to_string(path).ok().as_deref())
}

/// Whole or not at all: on a full disk a half would be as good as none.
fn remember(path: &Path, memory: &Memory) -> std::io::Result<()> {
    let new = path.with_extension("json.new");
    let written = std::fs::write(&new, memory.to_json()).and_then(|()| std::fs::rename(&new, path));
    if written.is_err() {
        // It may not be there.
        let _ = std::fs::remove_file(&new);
    }
    written
}

fn told(state_dir: &Path) -> PathBuf {
    state_dir.join(TOLD)
}

/// At a good start: what was told of the bad ones is handed to the store, and over with its next look.
pub fn over(state_dir: &Path, store: &Store) -> store::Result<()> {
    let path = told(state_dir);
    let Ok(text) = std::fs::read_to_string(&path) else {
        return Ok(());
    };
    let mut memory = Memory::from_json(store.text(alert::MEMORY)?.as_deref());
    memory.take_over(Memory::from_json(Some(&text)));
    store.set_text(alert::MEMORY, &memory.to_json())?;
    // Left there, it would be told to be over once more.
    let _ = std::fs::remove_file(path);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAST: Pace = Pace {
        stays: Duration::from_millis(30),
        looks: Duration::from_millis(3),
    };

    fn waits_for(what: &str, is: impl Fn() -> bool) {
        let begun = Instant::now();
        while !is() {
            assert!(begun.elapsed() < Duration::from_secs(30), "not: {what}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn where_nothing_can_be_written_an_alert_is_told_once_all_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let (state, heard) = (dir.path().join("state"), dir.path().join("heard"));
        // No place for a file, also for root.
        std::fs::write(&state, b"").unwrap();
        let mut config = Config::with_defaults("s", &state);
        config.alert.after = Duration::ZERO;
        let hears = format!("cat >>'{}'", heard.display());
        config.alert.command = ["sh", "-c", &hears].map(str::to_owned).to_vec();
        let told = || {
            let text = std::fs::read_to_string(&heard).unwrap_or_default();
            text.matches("\"event\":\"begin\"").count()
        };
        let trouble = trouble(&Error::Io("it is read-only".to_owned()));
        let stands_by = || {
            let (_events, received) = mpsc::channel();
            let teller = Teller::start(&config, &trouble, FAST);
            stays(&received, &teller, FAST, || {
                // Many times as long as it stays else.
                told() > 0 && !state.is_dir() && {
                    std::thread::sleep(FAST.stays * 5);
                    assert!(!teller.remembers());
                    std::fs::remove_file(&state).unwrap();
                    std::fs::create_dir(&state).unwrap();
                    false
                }
            })
        };
        assert!(!stands_by());
        assert!(state.is_dir(), "it stays until something can be written");
        assert_eq!(told(), 1);
        // The next process knows, and so does a good start after it.
        assert!(!stands_by());
        assert_eq!(told(), 1);
        let store = Store::open(&state).unwrap();
        over(&state, &store).unwrap();
        let memory = store.text(alert::MEMORY).unwrap().unwrap();
        assert!(memory.contains("\"said\":true"), "{memory}");
        waits_for("nothing is left beside", || !super::told(&state).exists());
    }
}
