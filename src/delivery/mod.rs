//! The loop that delivers: look, next, note in flight, send, settle.
//!
//! It owns no work: what is to be sent, what is open and when a wait ends stands in the store and is
//! looked up again each turn. What comes next is decided by `plan`, what an answer means by `verdict`,
//! when a call may go by `budget`; here they are put together. Files are unknown here.

mod calls;
mod catalogue;
mod clock;
pub(crate) mod export;
mod identity;
mod launch;
mod line;
mod settle;
#[cfg(test)]
pub(crate) mod tests;
mod wake;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::store::Connection;
use tokio::task::JoinSet;
use tracing::{info, warn};

use crate::budget::{Budget, Part, Room};
use crate::config::{Api, Folder};
use crate::kind::Kind;
use crate::plan::{self, Link, Next, OpenJob, Outlook, PROBE_MS_MAX, State};
use crate::remote::Carrier;
use crate::store::{Result, Store, flight, meta};
use crate::verdict::Wanted;
use crate::wire::{Answer, BODY_BYTES_MAX, Purse};

pub use clock::{Clock, SystemClock};
pub use wake::{Pulse, Reason, Wake};

use catalogue::Catalogue;
use clock::Time;
use identity::Identity;

/// Other content of a record does not follow an unanswered call before so long (DESIGN, Unknown outcome).
const QUIET_MS_MIN: i64 = 30_000;

/// After `Stop`, open answers are awaited so long.
const STOP_WAIT: Duration = Duration::from_millis(3_500);

/// A turn that found something to do and could not do it sleeps so long, rather than spin.
const STUCK_MS: i64 = 1_000;

/// What the loop needs of the configuration.
#[derive(Clone, Debug)]
pub struct Settings {
    pub api: Api,
    /// Folders whose orders are history.
    pub history: HashSet<String>,
}

impl Settings {
    pub fn new(api: &Api, folders: &[Folder]) -> Settings {
        Settings {
            api: api.clone(),
            history: folders
                .iter()
                .filter(|folder| folder.history)
                .map(|folder| folder.name.clone())
                .collect(),
        }
    }

    fn quiet_ms(&self) -> i64 {
        (self.api.timeout.as_millis() as i64).max(QUIET_MS_MIN)
    }
}

/// When the loop ends by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Only by `Reason::Stop`.
    Never,
    /// When nothing is pending and intake has said `Reason::AllTaken` (`sync`); after `timeout` anyway.
    /// Without one it works on as long as there is hope: until the remote was away for ten minutes on end.
    WhenDelivered { timeout: Option<Duration> },
}

/// How long `sync` waits for a remote that is away, if no time is set.
const AWAY_MS_MAX: i64 = 10 * 60_000;

/// The longest that any call is waited for then: a used-up plan comes back within a month.
const PATIENCE_MS: i64 = 365 * 24 * 3_600_000;

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Stopped,
    /// Nothing is pending; records may be parked.
    Delivered,
    /// The remote refused the credentials.
    Refused {
        reason: String,
    },
    /// Something is pending, and the time is over, or nothing could be sent before it is.
    Pending {
        reason: Option<String>,
    },
}

/// Runs the loop on this thread until it ends. `Err`: the store cannot be used any more.
pub fn run(
    store: Store,
    settings: Settings,
    carrier: Arc<dyn Carrier>,
    clock: Arc<dyn Clock>,
    wake: Arc<Wake>,
    end: End,
) -> Result<Outcome> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("the system gives an event queue");
    runtime.block_on(deliver(store, settings, carrier, clock, wake, end))
}

/// The loop itself, for whoever has a runtime.
pub async fn deliver(
    store: Store,
    settings: Settings,
    carrier: Arc<dyn Carrier>,
    clock: Arc<dyn Clock>,
    wake: Arc<Wake>,
    end: End,
) -> Result<Outcome> {
    Loop::start(store, settings, carrier, clock, wake, end)?
        .run()
        .await
}

/// A call in the air, and what it carries.
struct InAir {
    request: i64,
    /// By the steady clock: the wall clock may be set while it is in the air.
    left: i64,
    cargo: Cargo,
}

enum Cargo {
    Single {
        flight: i64,
        wanted: Wanted,
        attempts: u32,
        /// A SKU's product, if the store takes it for acknowledged, and how often the remote did not
        /// know it.
        product_there: Option<(String, u32)>,
    },
    Body {
        kind: Kind,
        flight: i64,
        bytes: usize,
        records: usize,
        attempts: u32,
    },
    Poll {
        job: flight::JobRow,
    },
    Probe,
    /// What the project allows in metadata.
    Schemas,
    /// A question for a record by the API's own id: is this the store's project?
    Witness(flight::Witness),
    /// A step to know which SKUs the remote has.
    Catalogue(catalogue::Step),
    /// The list of jobs: is the line worked off?
    Line,
}

struct Loop {
    store: Store,
    reader: Connection,
    settings: Settings,
    carrier: Arc<dyn Carrier>,
    clock: Arc<dyn Clock>,
    time: Time,
    wake: Arc<Wake>,
    link: Link,
    budget: Budget,
    /// What a body of many may weigh at present: less on a way that breaks off.
    bytes_max: usize,
    air: JoinSet<(InAir, Answer)>,
    /// Flights whose job is being asked for.
    asked: HashSet<i64>,
    bodies_in_air: usize,
    random: u64,
    /// When it ends at the latest, and whether intake may bring more; `None`: it does not end.
    deadline: Option<i64>,
    /// Without a time that is set: since when it counts that the remote is away.
    hopes_since: Option<i64>,
    all_taken: bool,
    refused: Option<String>,
    identity: Identity,
    /// When to ask next what the project allows in metadata; `None`: that is in the air.
    schemas: Option<i64>,
    catalogue: Catalogue,
    line: line::Line,
}

impl Loop {
    fn start(
        store: Store,
        settings: Settings,
        carrier: Arc<dyn Carrier>,
        clock: Arc<dyn Clock>,
        wake: Arc<Wake>,
        end: End,
    ) -> Result<Loop> {
        let time = Time::new(&*clock);
        let now = time.now(&*clock);
        let quiet_ms = settings.quiet_ms();
        let reader = store.reader()?;
        let mut standing = flight::standing(&reader, now)?;
        let set = flight::clock(&reader)?.and_then(|mark| time.set_since(&mark, &*clock));
        if let Some(ms) = set {
            standing.link.shift(ms);
            standing.budget.shift(ms);
        }
        let mark = time.mark(&*clock);
        let (link, budget) = (standing.link.clone(), standing.budget.clone());
        store.write(move |c| {
            if let Some(ms) = set {
                flight::shift(c, ms, now)?;
                flight::save(c, &link, &budget)?;
            }
            flight::set_clock(c, &mark)?;
            flight::recover(c, now, quiet_ms, PROBE_MS_MAX)
        })?;
        let spent = flight::spent(&reader, now)?;
        let mut link = standing.link.clamped(now);
        let schemas = match meta::metadata_types(&reader)? {
            // A time in the future is a clock that was set back.
            Some((_, at)) if at <= now => at + settle::SCHEMAS_MS,
            _ => now,
        };
        let (deadline, hopes_since) = match end {
            End::Never => (None, None),
            End::WhenDelivered { timeout } => {
                link.probe_now(now);
                let ms = timeout.map(|timeout| timeout.as_millis() as i64);
                let deadline = now.saturating_add(ms.unwrap_or(PATIENCE_MS));
                (Some(deadline), ms.is_none().then_some(now))
            }
        };
        Ok(Loop {
            budget: Budget::new(Part::of(&settings.api), standing.budget, &spent, now),
            link,
            store,
            reader,
            settings,
            carrier,
            random: clock.chance(),
            time,
            clock,
            wake,
            bytes_max: BODY_BYTES_MAX,
            air: JoinSet::new(),
            asked: HashSet::new(),
            bodies_in_air: 0,
            deadline,
            hopes_since,
            all_taken: false,
            refused: None,
            identity: Identity::default(),
            schemas: Some(schemas),
            catalogue: Catalogue::default(),
            line: line::Line::default(),
        })
    }

    fn now(&self) -> i64 {
        self.time.now(&*self.clock)
    }

    /// In [0, 1).
    fn random(&mut self) -> f64 {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    async fn run(mut self) -> Result<Outcome> {
        loop {
            self.listen()?;
            if self.wake.stopped() {
                self.land().await?;
                return Ok(Outcome::Stopped);
            }
            let now = self.now();
            self.beat(now);
            if let Some(outcome) = self.ended(now)? {
                return Ok(outcome);
            }
            match self.next(now)? {
                Next::SleepUntil(until) => match self.hopeless(Some(until)) {
                    Some(outcome) => return Ok(outcome),
                    None => self.wait(Some(until)).await?,
                },
                Next::Idle => match self.hopeless(None) {
                    Some(outcome) => return Ok(outcome),
                    None => self.wait(None).await?,
                },
                next => {
                    let gone = self.is_ours(now)? && self.launch(next, now)?;
                    if !gone {
                        self.wait(Some(now + STUCK_MS)).await?;
                    }
                }
            }
        }
    }

    /// What came from outside since the last turn.
    fn listen(&mut self) -> Result<()> {
        if let Some(ms) = self.time.jump(&*self.clock) {
            info!(seconds = ms / 1000, "the clock was set; waits move with it");
            self.link.shift(ms);
            self.budget.shift(ms);
            self.deadline = self.deadline.map(|at| at.saturating_add(ms));
            self.hopes_since = self.hopes_since.map(|at| at.saturating_add(ms));
            self.schemas = self.schemas.map(|at| at.saturating_add(ms));
            let (now, link, budget) = (self.now(), self.link.clone(), self.budget.kept());
            let mark = self.time.mark(&*self.clock);
            self.store.write(move |c| {
                flight::shift(c, ms, now)?;
                flight::save(c, &link, &budget)?;
                flight::set_clock(c, &mark)
            })?;
        }
        let signals = self.wake.take();
        if let Some(settings) = signals.settings {
            self.budget.set_part(Part::of(&settings.api));
            self.carrier.reread();
            self.settings = *settings;
        }
        if signals.probe {
            self.link.probe_now(self.now());
        }
        if signals.command {
            // It may have made calls of its own.
            let now = self.now();
            self.budget.others(&flight::spent(&self.reader, now)?, now);
        }
        self.all_taken |= signals.all_taken;
        Ok(())
    }

    fn beat(&self, now: i64) {
        let pulse = &self.wake.pulse;
        pulse.turns.fetch_add(1, Ordering::Relaxed);
        pulse.last_turn.store(now, Ordering::Relaxed);
        pulse.sleeps_until.store(0, Ordering::Relaxed);
    }

    fn look(&self, now: i64) -> flight::Look {
        flight::Look {
            now,
            history: self.settings.history.clone(),
            skus: self.catalogue.keys(),
        }
    }

    fn next(&mut self, now: i64) -> Result<Next> {
        self.catalogue.age(now);
        let queues = flight::queues(&self.reader, &self.look(now))?;
        let jobs: Vec<OpenJob> = flight::open_jobs(&self.reader)?
            .iter()
            .map(|job| OpenJob {
                flight: job.flight,
                next_poll: job.next_poll,
                asked: self.asked.contains(&job.flight),
            })
            .collect();
        let standing = flight::standing(&self.reader, now)?;
        if let Some(rebind) = standing.rebind
            && self.stands(&rebind)?
        {
            if self.deadline.is_some() {
                self.refused = Some(rebind.message);
            }
            return Ok(Next::SleepUntil(now + PROBE_MS_MAX));
        }
        let outlook = Outlook {
            link: &self.link,
            budget: &self.budget,
            paused_until: standing.paused_until,
            queues: &queues,
            jobs: &jobs,
            in_air: self.air.len(),
            body_in_air: self.bodies_in_air > 0,
            bulk: self.settings.api.bulk,
            schemas: self.schemas,
            listing: self.catalogue.listing(),
            line: self.line.due(now),
        };
        Ok(plan::next(&outlook, now))
    }

    /// Whether `sync` is over.
    fn ended(&mut self, now: i64) -> Result<Option<Outcome>> {
        let Some(deadline) = self.deadline else {
            return Ok(None);
        };
        if let Some(reason) = self.refused.take().filter(|_| self.air.is_empty()) {
            return Ok(Some(Outcome::Refused { reason }));
        }
        if self.all_taken && self.air.is_empty() && flight::is_empty(&self.reader)? {
            return Ok(Some(Outcome::Delivered));
        }
        if now >= deadline || self.is_away_for_long(now) {
            return Ok(Some(self.pending()));
        }
        Ok(None)
    }

    fn is_away_for_long(&self, now: i64) -> bool {
        let Some(since) = self.hopes_since else {
            return false;
        };
        let is_away = self.link.state() == State::Away && self.air.is_empty() && self.all_taken;
        is_away && now - since.max(self.link.since()) >= AWAY_MS_MAX
    }

    /// `sync` need not wait for what cannot be in time.
    fn hopeless(&mut self, until: Option<i64>) -> Option<Outcome> {
        let deadline = self.deadline?;
        if !self.air.is_empty() {
            return None;
        }
        if let Some(reason) = self.refused.take() {
            return Some(Outcome::Refused { reason });
        }
        let late = until.is_none_or(|until| until > deadline);
        (late && self.all_taken).then(|| self.pending())
    }

    fn pending(&self) -> Outcome {
        let budget = || match (
            self.budget.allowed(Purse::Api),
            self.budget.room(Purse::Api, self.now()),
        ) {
            (Some(0), _) => Some("the share of the rate limit allows no call".to_owned()),
            (_, Room::At(_)) => {
                Some("this host's part of the rate limit is used up for now".to_owned())
            }
            _ => None,
        };
        Outcome::Pending {
            reason: self.link.reason().map(str::to_owned).or_else(budget),
        }
    }

    /// Sleeps until something happens, and settles the answers that came.
    async fn wait(&mut self, until: Option<i64>) -> Result<()> {
        let until = match (until, self.deadline) {
            (Some(until), Some(deadline)) => Some(until.min(deadline)),
            (until, deadline) => until.or(deadline),
        };
        self.wake
            .pulse
            .sleeps_until
            .store(until.unwrap_or(i64::MAX), Ordering::Relaxed);
        let sleep_ms = until.map(|until| (until - self.now()).max(1));
        let event = {
            let sleep = async {
                match sleep_ms {
                    Some(ms) => tokio::time::sleep(Duration::from_millis(ms as u64)).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                Some(landed) = self.air.join_next() => Event::Answer(Box::new(landed)),
                () = self.wake.notified() => Event::Wake,
                () = sleep => Event::Time,
            }
        };
        match event {
            Event::Answer(landed) => {
                self.landed(*landed)?;
                while let Some(landed) = self.air.try_join_next() {
                    self.landed(landed)?;
                }
            }
            Event::Wake | Event::Time => {}
        }
        Ok(())
    }

    fn landed(
        &mut self,
        landed: std::result::Result<(InAir, Answer), tokio::task::JoinError>,
    ) -> Result<()> {
        let (in_air, answer) = landed.expect("a call neither panics nor is cancelled");
        self.settle(in_air, &answer)
    }

    /// No new call; open answers are awaited for a moment, then left as unknown.
    async fn land(&mut self) -> Result<()> {
        let until = tokio::time::Instant::now() + STOP_WAIT;
        while !self.air.is_empty() {
            match tokio::time::timeout_at(until, self.air.join_next()).await {
                Ok(Some(landed)) => self.landed(landed)?,
                Ok(None) | Err(_) => break,
            }
        }
        self.air.abort_all();
        Ok(())
    }

    /// Tells the log when the link turned, once.
    fn tell(&self, before: State) {
        let after = self.link.state();
        if before == after {
            return;
        }
        match (after, self.link.reason()) {
            (State::Up, _) => info!("the remote is there again; delivery goes on"),
            (state, reason) => warn!(
                link = state.name(),
                reason = reason.unwrap_or_default(),
                "delivery waits; files are taken in as before, and the link is tried again by itself"
            ),
        }
    }
}

/// What can wake the loop.
enum Event {
    Answer(Box<std::result::Result<(InAir, Answer), tokio::task::JoinError>>),
    Wake,
    Time,
}
