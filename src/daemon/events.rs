//! All that can wake the daemon, as one closed list, and where it comes from: signals, a command that
//! changed the store, and parts that ended.

use std::path::Path;
use std::sync::mpsc::Sender;
use std::thread;

use notify::{RecursiveMode, Watcher};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

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

/// From now on signals are events, for as long as the process lives.
pub fn listen_to_signals(events: Sender<Event>) -> std::io::Result<()> {
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP])?;
    thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            for signal in &mut signals {
                let event = if signal == SIGHUP {
                    Event::Reload
                } else {
                    Event::Stop
                };
                if events.send(event).is_err() {
                    return;
                }
            }
        })?;
    Ok(())
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
