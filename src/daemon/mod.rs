//! Clock, wake-ups, signals, systemd: starts the two loops and the page, and ends them in time.
//!
//! Knows none of the loops' rules. `sync` is the same work with an end.

pub mod alert;
pub mod audit;
mod beside;
mod events;
pub(crate) mod keep;
pub mod lock;
pub mod logging;
pub mod look;
pub mod online;
pub mod parts;
pub mod project;
mod standby;
mod sync;
pub mod systemd;
pub mod tell;
mod whole;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Condvar, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::config::Config;
use crate::status::words::count;
use crate::store::{self, Store};

use events::{Event, Signals};
use lock::{Holder, Lock, Refused};
pub use parts::Part;
use parts::Parts;
pub use sync::{Standing, Synced, sync};

/// In the state directory: commands touch it when they changed something.
pub const WAKE: &str = "wake";

/// Parts have this long to end after a stop; INTERFACE.md's SIGTERM ends within 5 s in any state.
const STOP_WITHIN: Duration = Duration::from_millis(4500);

/// What ends or prevents the daemon.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another one is at work on this state directory.
    #[error("{}", held(.0))]
    Held(Option<Holder>),
    #[error(transparent)]
    Store(#[from] store::Error),
    /// A disk that fails: the process ends, and what is in memory is worth nothing.
    #[error("{0}")]
    Io(String),
    /// A defect of ours.
    #[error("{0}")]
    Internal(String),
    #[error("{0}")]
    Configuration(crate::config::Problems),
}

impl From<crate::config::Problems> for Error {
    fn from(problems: crate::config::Problems) -> Error {
        Error::Configuration(problems)
    }
}

fn io_error(error: std::io::Error) -> Error {
    Error::Io(error.to_string())
}

/// The configuration that is in force: a reload puts another one there.
fn current(config: &RwLock<Arc<Config>>) -> Arc<Config> {
    config
        .read()
        .unwrap_or_else(PoisonError::into_inner)
        .clone()
}

fn held(holder: &Option<Holder>) -> String {
    match holder {
        Some(Holder { pid, .. }) if *pid > 0 => {
            format!("another tillsync is at work on this state directory (pid {pid})")
        }
        _ => "another tillsync is at work on this state directory".to_owned(),
    }
}

/// UTC milliseconds.
fn now() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

/// Makes the state directory ours alone, and takes its lock.
fn take_state(state_dir: &Path) -> Result<Lock, Error> {
    // What this process makes is its own; what others shall read says so where it is made.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    make_state(state_dir).map_err(Error::Io)?;
    Lock::take(state_dir, now()).map_err(|refused| match refused {
        Refused::Held(holder) => Error::Held(holder),
        Refused::Io(error) => Error::Io(format!(
            "{}: {}",
            state_dir.display(),
            crate::config::why(&error)
        )),
    })
}

/// Makes the state directory where there is none, for the service alone.
///
/// # Errors
/// Why it cannot be made, with its path.
pub fn make_state(state_dir: &Path) -> Result<(), String> {
    use std::os::unix::fs::DirBuilderExt;
    if !state_dir.is_dir() {
        let made = std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(state_dir);
        made.map_err(|error| format!("{}: {}", state_dir.display(), crate::config::why(&error)))?;
    }
    Ok(())
}

/// A daemon on a thread of its own, for `demo`. Dropped, it is stopped.
pub struct Running {
    events: Sender<Event>,
    thread: Option<JoinHandle<Result<(), Error>>>,
    ended: Arc<(Mutex<bool>, Condvar)>,
    page: Option<SocketAddr>,
}

impl Running {
    pub fn page(&self) -> Option<SocketAddr> {
        self.page
    }

    /// Waits at most so long; whether it has ended.
    pub fn ended_within(&self, patience: Duration) -> bool {
        let (ended, told) = &*self.ended;
        let ended = ended.lock().unwrap_or_else(PoisonError::into_inner);
        let (ended, _) = told
            .wait_timeout_while(ended, patience, |ended| !*ended)
            .unwrap_or_else(PoisonError::into_inner);
        *ended
    }

    pub fn stop(mut self) -> Result<(), Error> {
        self.end()
    }

    fn end(&mut self) -> Result<(), Error> {
        // An error means that it has ended already.
        let _ = self.events.send(Event::Stop);
        match self.thread.take() {
            Some(thread) => thread.join().unwrap_or_else(|_| {
                Err(Error::Internal("the daemon's thread panicked".to_owned()))
            }),
            None => Ok(()),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.end();
    }
}

/// Starts a daemon on a thread of its own. SIGINT and SIGTERM end it.
pub fn start(config: Config) -> Result<Running, Error> {
    let (events, received) = mpsc::channel();
    let daemon = Daemon::start(config, events.clone(), received)?;
    let page = daemon.parts.page();
    let ended = Arc::new((Mutex::new(false), Condvar::new()));
    let told = ended.clone();
    let thread = std::thread::Builder::new()
        .name("daemon".into())
        .spawn(move || {
            let result = daemon.run(&|| None);
            *told.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
            told.1.notify_all();
            result
        });
    let thread = thread.map_err(io_error)?;
    Ok(Running {
        events,
        thread: Some(thread),
        ended,
        page,
    })
}

/// A configuration read again, or why the old one stays.
pub type Reloaded = Option<Result<Config, crate::config::Problems>>;

/// The daemon: until a signal ends it. `reload` reads the configuration again at SIGHUP.
pub fn run(config: Config, reload: &dyn Fn() -> Reloaded) -> Result<(), Error> {
    let begun = Instant::now();
    let (events, received) = mpsc::channel();
    let started = Daemon::start(config.clone(), events, received);
    match started.and_then(|daemon| daemon.run(reload)) {
        Err(error) if standby::wanted(&error, begun.elapsed()) => {
            match standby::stand_by(&config, &error) {
                true => Ok(()),
                false => Err(error),
            }
        }
        result => result,
    }
}

struct Daemon {
    config: Arc<Config>,
    store: Store,
    parts: Parts,
    events: Sender<Event>,
    received: Receiver<Event>,
    /// Held until the end, like the watch on what commands touch.
    _lock: Lock,
    _commands: Option<Box<dyn Send>>,
}

impl Daemon {
    fn start(
        config: Config,
        events: Sender<Event>,
        received: Receiver<Event>,
    ) -> Result<Daemon, Error> {
        // A reload that is asked for this early would end the process.
        let signals = Signals::of_reload(events.clone()).map_err(io_error)?;
        let lock = take_state(&config.state_dir)?;
        let (store, clean) = whole::open(&config.state_dir)?;
        standby::over(&config.state_dir, &store)?;
        store.ballast().keep();
        let config = Arc::new(config);
        signals.and_of_the_end().map_err(io_error)?;
        let commands = events::listen_to_commands(&config.state_dir, events.clone());
        let parts = Parts::start(&config, &store, &events)?;
        for folder in config.folders.iter().filter(|folder| !folder.path.is_dir()) {
            tracing::warn!(folder = %folder.name, path = %folder.path.display(), "the folder is not there; it is looked for again every minute");
        }
        tracing::info!(store = %config.store, folders = config.folders.len(), version = env!("CARGO_PKG_VERSION"), "started");
        systemd::ready();
        if !clean {
            whole::look_beside(&store, &events).map_err(io_error)?;
        }
        Ok(Daemon {
            config,
            store,
            parts,
            events,
            received,
            _lock: lock,
            _commands: commands.map(|watcher| Box::new(watcher) as Box<dyn Send>),
        })
    }

    /// One event after another until one ends it.
    fn run(mut self, reload: &dyn Fn() -> Reloaded) -> Result<(), Error> {
        let beat = systemd::beat_interval();
        let result = loop {
            let event = match beat {
                Some(interval) => self.received.recv_timeout(interval),
                None => self
                    .received
                    .recv()
                    .map_err(|_| RecvTimeoutError::Disconnected),
            };
            match event {
                Err(RecvTimeoutError::Timeout) => self.parts.beat(),
                Err(RecvTimeoutError::Disconnected) | Ok(Event::Stop) => break Ok(()),
                Ok(Event::Command) => self.parts.wake(),
                Ok(Event::Reload) => self.reload(reload)?,
                Ok(Event::Damaged(why)) => {
                    tracing::error!(%why, "the database is damaged");
                    break Err(store::Error::Damaged(why).into());
                }
                Ok(Event::Ended(part, result)) => {
                    tracing::error!(part = part.name(), "a part of the daemon has ended");
                    break result.and(Err(Error::Internal(format!(
                        "{} has ended by itself",
                        part.name()
                    ))));
                }
            }
        };
        if result.is_ok() {
            systemd::stopping();
        }
        self.parts.stop();
        self.drain();
        let result = match result {
            // Marked as ended well: the next start need not look at all of the database.
            Ok(()) => self.store.end_work().map_err(Error::from),
            Err(Error::Store(store::Error::Damaged(_))) => {
                Err(whole::put_aside(&self.config.state_dir))
            }
            other => other,
        };
        tracing::info!("stopped");
        result
    }

    /// Waits for the parts to end, but not for ever: what they leave is found again at the next start.
    fn drain(&self) {
        let begun = Instant::now();
        let mut open = self.parts.count();
        while open > 0 {
            let Some(left) = STOP_WITHIN.checked_sub(begun.elapsed()) else {
                return;
            };
            match self.received.recv_timeout(left) {
                Ok(Event::Ended(..)) => open -= 1,
                Ok(_) => {}
                Err(_) => return,
            }
        }
    }

    fn reload(&mut self, reload: &dyn Fn() -> Reloaded) -> Result<(), Error> {
        systemd::reloading();
        match reload() {
            Some(Ok(config)) if config.state_dir != self.config.state_dir => {
                tracing::warn!(
                    "the configuration was not taken: `state_dir` can be changed by a restart only"
                );
                self.store.set_text(
                    RELOAD_REFUSED,
                    "`state_dir` can be changed by a restart only",
                )?;
            }
            Some(Ok(config)) => {
                self.config = Arc::new(config);
                self.parts.reconfigure(&self.config, &self.events)?;
                self.store.clear(RELOAD_REFUSED)?;
                tracing::info!(
                    folders = self.config.folders.len(),
                    "the configuration was read again"
                );
            }
            Some(Err(problems)) => {
                tracing::warn!(
                    problems = problems.0.len(),
                    "the configuration was not taken, the old one stays in force; `tillsync check` shows why"
                );
                self.store.set_text(
                    RELOAD_REFUSED,
                    &format!(
                        "{}; `tillsync check` shows them",
                        count(problems.0.len() as u64, "problem", "problems")
                    ),
                )?;
            }
            None => {}
        }
        systemd::ready();
        Ok(())
    }
}

/// Under this name the store keeps why a configuration read again was not taken.
pub const RELOAD_REFUSED: &str = "reload_refused";
