//! After a start that failed, or an end soon after it, under systemd: the daemon stands by for a minute
//! and says what is wrong, by page, STATUS line and alert; then it ends, and systemd starts it again.
//!
//! A damaged database or a failing disk stays so until a person comes. Ending at once would mean a start
//! every two seconds, and nobody at the page's address. The lock is not held meanwhile: `restore` works,
//! and what it puts in place ends the waiting. Knows neither store nor loops.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

use jiff::tz::TimeZone;

use super::alert::{self, HostOutlets, Memory};
use super::beside::Beside;
use super::events::{self, Event};
use super::{Error, now, systemd};
use crate::config::Config;
use crate::health::Health;
use crate::page;
use crate::status::facts;
use crate::store::{self, DATABASE, Store, integrity};
use crate::todo::Todo;

/// From one start to the next at least.
const FOR: Duration = Duration::from_secs(60);

/// Between two looks at whether a person has mended it.
const LOOK_EVERY: Duration = Duration::from_secs(5);

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

/// Says what is wrong until a minute is over, a signal ends it, or it was mended. `true`: by a signal.
pub fn stand_by(config: &Config, error: &Error) -> bool {
    let trouble = trouble(error);
    tracing::error!(what = %trouble.text, "nothing is taken in or sent; it is tried again within a minute");
    systemd::status(&format!("{}. {}", trouble.headline, trouble.text));
    let (events, received) = mpsc::channel();
    // Without them a signal ends the process as it ends any other.
    let _ = events::listen_to_signals(events);
    let _page = show(config, &trouble);
    let _teller = tell(config, &trouble);
    let beat = systemd::beat_interval().unwrap_or(LOOK_EVERY);
    let begun = Instant::now();
    while let Some(left) = FOR.checked_sub(begun.elapsed()) {
        match received.recv_timeout(left.min(beat).min(LOOK_EVERY)) {
            Ok(Event::Stop) => return true,
            // A configuration that was read again may name another state directory.
            Ok(Event::Reload) => return false,
            Ok(_) => {}
            Err(RecvTimeoutError::Disconnected) => std::thread::sleep(left.min(LOOK_EVERY)),
            Err(RecvTimeoutError::Timeout) => {}
        }
        systemd::beat();
        if mended(error, &config.state_dir) {
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

/// On a thread of its own: an outlet may not answer.
fn tell(config: &Config, trouble: &page::Trouble) -> Option<Beside> {
    let (config, trouble) = (config.clone(), trouble.clone());
    let work = move |_: &super::beside::Rest| {
        let path = told(&config.state_dir);
        let before = std::fs::read_to_string(&path).ok();
        let mut memory = Memory::from_json(before.as_deref());
        // Where nothing can be remembered, the same would be told every minute.
        if before.is_none() && std::fs::write(&path, memory.to_json()).is_err() {
            return;
        }
        let todo = Todo {
            since: None,
            kind: "disk",
            subject: "standby".to_owned(),
            text: format!("{}: {}", trouble.headline, trouble.text),
            why: trouble.remedy,
            command: "tillsync status".to_owned(),
            count: 1,
        };
        let mut outlets = HostOutlets::new(&config);
        alert::tell(
            &config.alert,
            &config.store,
            &[todo],
            &mut memory,
            &mut outlets,
            now(),
        );
        // Not remembered, it is told once more.
        let _ = std::fs::write(&path, memory.to_json());
    };
    Beside::start("tell", work).ok()
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
