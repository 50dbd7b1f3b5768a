//! `sync`: the daemon's work once, with an end — takes in all files that are there, and delivers until
//! nothing is pending.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use super::events::{self, Event};
use super::parts::{carrier, intake_failed, site};
use super::{Error, Part, io_error, keep, take_state, whole};
use crate::config::Config;
use crate::delivery::{self, Outcome, Reason, Wake};
use crate::intake::{self, TakenIn};
use crate::store::{self, Store};

/// Once the credentials are refused, what is being taken in has so long to get there: a refusal may come
/// before the first file is opened.
const AFTER_REFUSAL: Duration = Duration::from_secs(2);

/// Between two looks at how far it is.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Between two counts of what is pending: of a million it costs some tens of milliseconds.
const COUNT_EVERY: Duration = Duration::from_secs(2);

/// What `sync` did.
#[derive(Clone, Debug)]
pub struct Synced {
    pub taken: TakenIn,
    /// `None`: nothing was to be delivered (`--no-deliver`).
    pub delivered: Option<Outcome>,
    /// Records, at its end.
    pub pending: u64,
    pub parked: u64,
}

/// How far it is.
#[derive(Clone, Debug)]
pub struct Standing {
    pub board: intake::Board,
    /// Intake has ended.
    pub all_taken: bool,
    /// Records.
    pub pending: u64,
    pub acknowledged: u64,
}

/// `deliver`: false for `--no-deliver`. `tell` hears now and then how far it is.
pub fn sync(
    config: Config,
    deliver: bool,
    within: Option<Duration>,
    tell: &mut dyn FnMut(&Standing),
) -> Result<Synced, Error> {
    let config = Arc::new(config);
    let _lock = take_state(&config.state_dir)?;
    let (store, clean) = whole::open(&config.state_dir)?;
    if !clean {
        whole::look(&config.state_dir, &store)?;
    }
    let control = intake::Control::new().map_err(io_error)?;
    let wake = Arc::new(Wake::new());
    let (events, received) = mpsc::channel();
    events::listen_to_signals(events.clone()).map_err(io_error)?;
    let intake = {
        let (site, control, wake) = (site(&config, &store)?, control.clone(), wake.clone());
        let (stored, over) = (wake.clone(), events.clone());
        control.on_taken(Box::new(move || stored.wake(Reason::Stored)));
        named("intake", move || {
            let taken = intake::sync_once(site, &control).map_err(intake_failed);
            // What intake left half taken keeps its kind from being sent: nothing to wait for.
            wake.wake(match taken {
                Ok(_) => Reason::AllTaken,
                Err(_) => Reason::Stop,
            });
            let _ = over.send(Event::Ended(Part::Intake, Ok(())));
            taken
        })?
    };
    let refused = Arc::new(AtomicBool::new(false));
    let delivery = match deliver {
        true => {
            let end = (within, refused.clone(), events);
            Some(start_delivery(&config, &store, &wake, end)?)
        }
        false => None,
    };
    let reader = store.reader()?;
    let (mut intake_over, mut delivery_over) = (false, delivery.is_none());
    let (mut pending, mut counted) = (0, Instant::now());
    let mut ended_at = None;
    while !(intake_over && delivery_over) {
        match received.recv_timeout(LOOK_EVERY) {
            Ok(Event::Stop) => {
                control.stop();
                wake.wake(Reason::Stop);
            }
            Ok(Event::Ended(Part::Intake, _)) => intake_over = true,
            Ok(Event::Ended(Part::Delivery, _)) => delivery_over = true,
            Ok(_) | Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
        }
        // A thread that panicked says nothing any more.
        intake_over |= intake.is_finished();
        delivery_over |= (delivery.as_ref()).is_some_and(thread::JoinHandle::is_finished);
        // Refused or over the time: what is still to be taken in waits for the next time.
        if delivery.is_some() && delivery_over {
            let ended: Instant = *ended_at.get_or_insert_with(Instant::now);
            if !refused.load(Ordering::Relaxed) || ended.elapsed() > AFTER_REFUSAL {
                control.stop();
            }
        }
        if deliver && counted.elapsed() > COUNT_EVERY {
            (pending, counted) = (store::pending_total(&reader)?, Instant::now());
        }
        tell(&Standing {
            board: control.look(),
            all_taken: intake_over,
            pending,
            acknowledged: wake.pulse.acknowledged.load(Ordering::Relaxed),
        });
    }
    let panicked = |_| Err(Error::Internal("a thread panicked".to_owned()));
    let mut taken = intake.join().unwrap_or_else(panicked)?;
    // Also those of an earlier run: they lie there, and a person has to see them.
    taken.held = store::held_total(&reader)?;
    let delivered = match delivery {
        Some(thread) => Some(
            thread
                .join()
                .unwrap_or_else(|_| Err(Error::Internal("a thread panicked".to_owned())))?,
        ),
        None => None,
    };
    // Where nothing but `sync` runs, nobody else lets go of what is old.
    keep::once(&config, &store, KEEP_WITHIN);
    store.end_work()?;
    Ok(Synced {
        taken,
        delivered,
        pending: store::pending_total(&reader)?,
        parked: store::parked_total(&reader)?,
    })
}

/// How long letting go of old entries may take at the end; the next time goes on.
const KEEP_WITHIN: Duration = Duration::from_secs(2);

fn start_delivery(
    config: &Arc<Config>,
    store: &Store,
    wake: &Arc<Wake>,
    (within, refused, over): (Option<Duration>, Arc<AtomicBool>, mpsc::Sender<Event>),
) -> Result<thread::JoinHandle<Result<Outcome, Error>>, Error> {
    let carrier = carrier(config)?;
    let settings = delivery::Settings::new(&config.api, &config.folders);
    let (store, wake) = (store.clone(), wake.clone());
    let end = delivery::End::WhenDelivered { timeout: within };
    named("delivery", move || {
        let clock = Arc::new(delivery::SystemClock);
        let outcome = delivery::run(store, settings, carrier, clock, wake, end);
        let is_refusal = matches!(outcome, Ok(Outcome::Refused { .. }));
        refused.store(is_refusal, Ordering::Relaxed);
        let _ = over.send(Event::Ended(Part::Delivery, Ok(())));
        outcome.map_err(Error::Store)
    })
}

fn named<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<thread::JoinHandle<T>, Error> {
    let thread = thread::Builder::new().name(name.to_owned()).spawn(work);
    thread.map_err(io_error)
}
