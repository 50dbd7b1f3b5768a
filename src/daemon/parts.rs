//! The daemon's parts: two loops and the page, each on a thread of its own, and how they are woken,
//! given another configuration, and ended.

use std::net::SocketAddr;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::Sender;
use std::sync::{Arc, PoisonError, RwLock};
use std::thread;
use std::time::Duration;

use jiff::tz::TimeZone;

use super::beside::Beside;
use super::events::Event;
use super::{Error, current, io_error, now, systemd};
use super::{keep, tell};
use crate::config::credentials::{self, Absent, Surroundings};
use crate::config::{self, Config, Problem, Problems};
use crate::delivery::{self, Reason, Wake};
use crate::health::{Health, Meters, Pulse};
use crate::intake::{self, SystemClock};
use crate::page;
use crate::preset::Presets;
use crate::remote::{self, Carrier};
use crate::status::facts;
use crate::store::{self, Store};

/// Whose end the daemon hears of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Intake,
    Delivery,
}

impl Part {
    pub fn name(self) -> &'static str {
        match self {
            Part::Intake => "intake",
            Part::Delivery => "delivery",
        }
    }
}

/// Delivery that found no room for what it has to record starts anew after this.
const FULL_AGAIN: Duration = Duration::from_secs(5);

pub struct Parts {
    intake: intake::Control,
    delivery: Arc<Wake>,
    config: Arc<RwLock<Arc<Config>>>,
    health: Arc<Health>,
    page: Option<page::Page>,
    teller: Option<Beside>,
    keeper: Option<Beside>,
}

impl Parts {
    pub fn start(
        config: &Arc<Config>,
        store: &Store,
        events: &Sender<Event>,
    ) -> Result<Parts, Error> {
        let health = Arc::new(Health::new());
        let shared = Arc::new(RwLock::new(config.clone()));
        let intake = intake::Control::new().map_err(io_error)?;
        let delivery = Arc::new(Wake::new());
        let stored = delivery.clone();
        intake.on_taken(Box::new(move || stored.wake(Reason::Stored)));
        start_intake(site(config, store)?, &intake, events)?;
        start_delivery(&shared, store, &delivery, events)?;
        watch(&health, &intake, &delivery);
        let daemon = facts::Daemon {
            pid: std::process::id(),
            since: now(),
        };
        let sources = page::Sources {
            config: shared.clone(),
            health: health.clone(),
            daemon,
            tz: TimeZone::system(),
        };
        // Without a page the work goes on: it is said, and `status` tells the same.
        let page = page::start(sources).unwrap_or_else(|error| {
            tracing::error!(%error, "there is no status page");
            None
        });
        health.set_ready(true);
        let teller = tell::start(tell::Sources {
            config: shared.clone(),
            store: store.clone(),
            health: health.clone(),
            daemon,
            tz: TimeZone::system(),
        });
        let teller = teller.map_err(io_error)?;
        let (reading, damaged) = (intake.clone(), events.clone());
        let keeper = keep::start(keep::Sources {
            config: shared.clone(),
            store: store.clone(),
            busy: Box::new(move || reading.look().reading.is_some()),
            // The daemon that is gone waits for nobody.
            damaged: Box::new(move |why| drop(damaged.send(Event::Damaged(why)))),
        });
        let keeper = keeper.map_err(io_error)?;
        Ok(Parts {
            intake,
            delivery,
            config: shared,
            health,
            page,
            teller: Some(teller),
            keeper: Some(keeper),
        })
    }

    pub fn page(&self) -> Option<SocketAddr> {
        self.page.as_ref().map(page::Page::address)
    }

    /// How many ends have to be waited for after `stop`.
    pub fn count(&self) -> usize {
        2
    }

    pub fn wake(&self) {
        self.intake.wake();
        self.delivery.wake(Reason::Command);
    }

    /// Tells systemd that we live, if we do.
    pub fn beat(&self) {
        if self.health.still().is_empty() {
            systemd::beat();
        }
    }

    pub fn reconfigure(
        &mut self,
        config: &Arc<Config>,
        _events: &Sender<Event>,
    ) -> Result<(), Error> {
        let presets = presets(config)?;
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = config.clone();
        self.intake.reconfigure(config.clone(), presets);
        let settings = delivery::Settings::new(&config.api, &config.folders);
        self.delivery.wake(Reason::Reload(Box::new(settings)));
        Ok(())
    }

    pub fn stop(&mut self) {
        self.intake.stop();
        self.delivery.wake(Reason::Stop);
        self.page = None;
        self.teller = None;
        self.keeper = None;
    }
}

/// Tells the page, the watchdog and the heartbeat whether the loops take steps while they have work.
fn watch(health: &Health, intake: &intake::Control, delivery: &Arc<Wake>) {
    let control = intake.clone();
    health.watch("intake", move || match control.look().reading {
        Some(reading) => Pulse::Works(reading.batches),
        None => Pulse::Rests,
    });
    let wake = delivery.clone();
    health.watch("delivery", move || {
        match wake.pulse.sleeps_until.load(Relaxed) {
            0 => Pulse::Works(wake.pulse.turns.load(Relaxed)),
            _ => Pulse::Rests,
        }
    });
    let (control, wake) = (intake.clone(), delivery.clone());
    health.count_by(move || Meters {
        calls: wake.pulse.calls.load(Relaxed),
        delivered: wake.pulse.acknowledged.load(Relaxed),
        parked: wake.pulse.parked.load(Relaxed),
        watch_overflows: control.look().overflows,
    });
}

fn start_intake(
    site: intake::Site,
    control: &intake::Control,
    events: &Sender<Event>,
) -> Result<(), Error> {
    let (control, events) = (control.clone(), events.clone());
    spawn(Part::Intake, move || {
        let result = intake::run(site, &control).map_err(intake_failed);
        // The daemon that is gone waits for nobody.
        let _ = events.send(Event::Ended(Part::Intake, result));
    })
}

fn start_delivery(
    config: &Arc<RwLock<Arc<Config>>>,
    store: &Store,
    wake: &Arc<Wake>,
    events: &Sender<Event>,
) -> Result<(), Error> {
    let carrier = carrier(&current(config))?;
    let (config, store, wake, events) =
        (config.clone(), store.clone(), wake.clone(), events.clone());
    spawn(Part::Delivery, move || {
        let mut told = false;
        let result = loop {
            let config = current(&config);
            let settings = delivery::Settings::new(&config.api, &config.folders);
            let (store, carrier) = (store.clone(), carrier.clone());
            let clock = Arc::new(delivery::SystemClock);
            let end = delivery::End::Never;
            match delivery::run(store, settings, carrier, clock, wake.clone(), end) {
                // What was in the air counts as unknown, as after a crash.
                Err(store::Error::Full) if wake.rests(FULL_AGAIN) => {
                    if !told {
                        tracing::warn!(
                            "the disk is full: what the remote answers cannot be recorded, so nothing is sent; it is tried again every few seconds"
                        );
                    }
                    told = true;
                }
                result => break result,
            }
        };
        let _ = events.send(Event::Ended(
            Part::Delivery,
            result.map(drop).map_err(Error::Store),
        ));
    })
}

/// The way to the remote; credentials are read when they are first needed, and anew when refused.
pub fn carrier(config: &Config) -> Result<Arc<dyn Carrier>, Error> {
    Ok(Arc::new(http(config)?))
}

/// The same, with downloads.
pub fn http(config: &Config) -> Result<remote::Http, Error> {
    let api = config.api.clone();
    let source = move || match credentials::read(&api, &Surroundings::of_process()) {
        Ok((found, _)) => Ok(remote::Credentials {
            app_id: found.app_id,
            app_token: found.app_token,
        }),
        // Beside a link that is refused, these words say why.
        Err(Absent::None { .. }) => {
            Err("none set: `tillsync login` asks for them and stores them".to_owned())
        }
        Err(absent) => Err(absent.to_string()),
    };
    http_from(config, Box::new(source))
}

/// The way to the remote with credentials from elsewhere.
pub fn carrier_from(
    config: &Config,
    source: remote::CredentialsSource,
) -> Result<Arc<dyn Carrier>, Error> {
    Ok(Arc::new(http_from(config, source)?))
}

fn http_from(config: &Config, source: remote::CredentialsSource) -> Result<remote::Http, Error> {
    let api = &config.api;
    let way = remote::Way {
        url: api.url.clone(),
        timeout: api.timeout,
        proxy: api.proxy.clone(),
        ca_file: api.ca_file.clone(),
    };
    let http = remote::Http::new(&way, source)
        .map_err(|text| Problems(vec![Problem::error(None, text)]))?;
    Ok(http)
}

fn spawn(part: Part, work: impl FnOnce() + Send + 'static) -> Result<(), Error> {
    let thread = thread::Builder::new().name(part.name().into()).spawn(work);
    thread.map(drop).map_err(io_error)
}

/// What intake works with, under this configuration.
pub fn site(config: &Arc<Config>, store: &Store) -> Result<intake::Site, Error> {
    let zone = TimeZone::system();
    let zone = zone.iana_name().unwrap_or("UTC");
    let site = intake::Site::new(
        config.clone(),
        presets(config)?,
        store.clone(),
        Arc::new(SystemClock),
        zone,
    );
    site.map_err(intake_failed)
}

/// The built-in formats and the user's own.
pub fn presets(config: &Config) -> Result<Arc<Presets>, Error> {
    let users = config::user_presets(&config.presets_dir)?;
    let presets = Presets::load(&users).map_err(|faults| {
        Problems(
            faults
                .into_iter()
                .map(|fault| Problem::error(None, fault))
                .collect(),
        )
    })?;
    Ok(Arc::new(presets))
}

pub fn intake_failed(error: intake::Error) -> Error {
    match error {
        intake::Error::Internal(text) => Error::Internal(text),
        other => Error::Io(other.to_string()),
    }
}
