//! All that can wake the daemon, as one closed list, and where it comes from: signals, a command that
//! changed the store, and parts that ended.

use std::path::Path;
use std::sync::mpsc::Sender;
use std::thread;

use notify::{RecursiveMode, Watcher};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::{Error, Part, WAKE};

pub enum Event {
    /// SIGTERM, SIGINT, or the demo's end.
    Stop,
    /// SIGHUP.
    Reload,
    /// A command changed something in the store.
    Command,
    Ended(Part, Result<(), Error>),
    /// The database is found damaged.
    Damaged(String),
}

/// Signals that are events, for as long as the process lives.
pub struct Signals(signal_hook::iterator::Handle);

impl Signals {
    /// From now on SIGHUP is an event. SIGTERM and SIGINT end the process as they end any other:
    /// what looks through a whole database for minutes hears no event.
    pub fn of_reload(events: Sender<Event>) -> std::io::Result<Signals> {
        let mut signals = signal_hook::iterator::Signals::new([SIGHUP])?;
        let handle = signals.handle();
        thread::Builder::new()
            .name("signals".into())
            .spawn(move || {
                for signal in &mut signals {
                    let event = match signal {
                        SIGHUP => Event::Reload,
                        _ => Event::Stop,
                    };
                    if events.send(event).is_err() {
                        return;
                    }
                }
            })?;
        Ok(Signals(handle))
    }

    /// From now on those that end the process are events too.
    pub fn and_of_the_end(&self) -> std::io::Result<()> {
        self.0.add_signal(SIGTERM)?;
        self.0.add_signal(SIGINT)
    }
}

/// From now on all of them are events.
pub fn listen_to_signals(events: Sender<Event>) -> std::io::Result<()> {
    Signals::of_reload(events)?.and_of_the_end()
}

/// Commands touch a file in the state directory when they changed something; whoever holds this hears
/// of it. `None` where nothing can be watched: then the loops' own rescans find what changed.
pub fn listen_to_commands(state_dir: &Path, events: Sender<Event>) -> Option<impl Sized + use<>> {
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        let touched = event.is_ok_and(|event| {
            !event.kind.is_access()
                && event
                    .paths
                    .iter()
                    .any(|path| path.file_name().is_some_and(|name| name == WAKE))
        });
        if touched {
            // The daemon that is gone needs no waking.
            let _ = events.send(Event::Command);
        }
    })
    .ok()?;
    let wake = state_dir.join(WAKE);
    if !wake.exists() {
        std::fs::write(&wake, b"").ok()?;
    }
    // The file alone: the database beside it changes with every write.
    watcher.watch(&wake, RecursiveMode::NonRecursive).ok()?;
    Some(watcher)
}
