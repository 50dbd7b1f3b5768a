//! What comes next: from pending, in flight, budget, link and the time to the next call, or the time
//! to sleep until; which call carries a record; what is held back; what a file would cost.
//!
//! Pure: knows no JSON, no HTTP and no SQL. The command `plan` and delivery decide by the same
//! functions (`channel`, `Cut`), so that what is foretold is what happens.

mod cut;
mod forecast;
mod link;
mod parents;
mod shared;

pub use cut::{Cut, Taken};
pub use forecast::{
    Forecast, Forecaster, Shared, Weight, shared, sku_row_bytes, stands_in_an_address, weight,
};
pub use link::{Link, PROBE_MS_MAX, State, backoff_ms};
pub use parents::{Parent, Parents, Readiness, readiness};
pub use shared::{Due, Search, metadata_change};

use crate::budget::{Budget, Room};
use crate::config::Bulk;
use crate::kind::Kind;
use crate::wire::{Endpoint, Purse};

/// Up to so many changed customers or products go by single calls. A bulk call costs one call and two
/// or three questions for its job, and its outcome comes a second later; singles tell at once and each
/// for its own record. From about ten on, bulk is cheaper in every respect.
pub const SINGLES_MAX: usize = 10;

/// Single calls in the air at a time.
pub const SINGLES_IN_AIR_MAX: usize = 8;

/// Jobs of one kind that may be open: the remote works them off one after another anyway.
pub const JOBS_OPEN_MAX: usize = 8;

/// Up to so many new SKUs go by single calls: before any goes by CSV the remote is asked which it has,
/// which takes five calls together with the questions for the job where the remote is quick, some ten
/// where it is not, and a download of keys. It is the number of SKUs that counts, not that of their products:
/// a key is one over the whole catalogue, so that a product's own list would not prove that none has it.
pub const SKUS_SINGLE_MAX: usize = 20;

/// A job that is asked for within this time may end soon.
const SOON_MS: i64 = 30_000;

/// How records of a kind are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Channel {
    Single,
    Bulk,
    Import,
    /// New SKUs, as rows of a CSV upload.
    Csv,
    /// One change of metadata, with the keys of those that share it.
    Metadata,
}

/// Whether new SKUs that the columns carry whole go by CSV: `due` of them wait.
pub fn skus_by_csv(due: usize, mode: Bulk) -> bool {
    mode != Bulk::Never && due > SKUS_SINGLE_MAX
}

/// What is known of which SKUs the remote has. A known one would keep by CSV what it has but for its
/// code and price (API.md, Calls), so that none goes by CSV before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listing {
    /// Nothing yet; the next step to find out may be taken from then on.
    Step(i64),
    /// A step is in the air.
    InAir,
    Known,
    /// It cannot be found out for now: all go singly.
    Unusable,
}

/// How changed records of a kind go: `due` of them wait. `bound`: an earlier bulk body of the kind has
/// an unknown outcome, and only what stands behind it in the remote's line cannot overtake it.
pub fn channel(kind: Kind, due: usize, mode: Bulk, bound: bool) -> Channel {
    match kind {
        // History goes by import, which its folder says; SKUs have no bulk call.
        Kind::Skus | Kind::Orders => Channel::Single,
        Kind::Customers | Kind::Products => match mode {
            _ if bound => Channel::Bulk,
            Bulk::Never => Channel::Single,
            Bulk::Always => Channel::Bulk,
            Bulk::Auto if due > SINGLES_MAX => Channel::Bulk,
            Bulk::Auto => Channel::Single,
        },
    }
}

/// The call that carries many of a kind.
pub fn bulk_endpoint(kind: Kind) -> Option<Endpoint> {
    match kind {
        Kind::Products => Some(Endpoint::ProductsBulk),
        Kind::Customers => Some(Endpoint::CustomersBulk),
        Kind::Orders => Some(Endpoint::OrdersImport),
        Kind::Skus => Some(Endpoint::SkusCsv),
    }
}

/// The call that carries one change of metadata for many.
pub fn metadata_endpoint(kind: Kind) -> Option<Endpoint> {
    match kind {
        Kind::Customers => Some(Endpoint::CustomersMetadata),
        Kind::Products => Some(Endpoint::ProductsMetadata),
        Kind::Skus | Kind::Orders => None,
    }
}

/// What waits of a kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queue {
    pub kind: Kind,
    /// Upserts that may go now; counted to a little over `SINGLES_MAX`.
    pub upserts: usize,
    /// Deletions, consents and others that only a single call can carry.
    pub singles: usize,
    /// Orders of history folders.
    pub imports: usize,
    /// New SKUs that the columns of a CSV carry; counted to a little over `SKUS_SINGLE_MAX`.
    pub csv: usize,
    /// Halves of a body that was refused: number, and how many records.
    pub bodies: Vec<(i64, usize)>,
    /// See `channel`.
    pub bound: bool,
    pub jobs_open: usize,
    /// So many wait for a parent on its way.
    pub held: usize,
    /// A deletion waits until the line of the remote's jobs is worked off.
    pub line: bool,
    /// When the next of those that may not go yet may.
    pub next: Option<i64>,
}

/// A job whose end is awaited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenJob {
    pub flight: i64,
    pub next_poll: i64,
    /// A question for it is in the air.
    pub asked: bool,
}

/// All that the next step is decided from.
#[derive(Clone, Debug)]
pub struct Outlook<'a> {
    pub link: &'a Link,
    pub budget: &'a Budget,
    /// Delivery is paused until then; `i64::MAX`: until `resume`.
    pub paused_until: Option<i64>,
    /// In the order of delivery.
    pub queues: &'a [Queue],
    pub jobs: &'a [OpenJob],
    /// Calls without an answer yet.
    pub in_air: usize,
    /// A body of many is in the air: one is built and sent at a time.
    pub body_in_air: bool,
    pub bulk: Bulk,
    /// When to ask next what the project allows in metadata; `None`: that is in the air.
    pub schemas: Option<i64>,
    pub listing: Listing,
    /// When to ask next whether the line of the remote's jobs is worked off; `None`: that is in the air.
    pub line: Option<i64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    Probe,
    /// What the project allows in metadata.
    Schemas,
    Poll {
        flight: i64,
    },
    /// Up to `most` single calls for records of a kind.
    /// `upserts`: made and changed records, too, or only what no body of many can carry.
    /// `spare`: new SKUs that a CSV can carry stay for it.
    Singles {
        kind: Kind,
        most: usize,
        upserts: bool,
        spare: bool,
    },
    /// The next step to know which SKUs the remote has.
    Listing,
    /// Whether the line of the remote's jobs is worked off.
    Line,
    /// One body; `body`: of the half with this number.
    Body {
        kind: Kind,
        channel: Channel,
        body: Option<i64>,
    },
    SleepUntil(i64),
    /// Nothing to do before something happens.
    Idle,
}

/// What comes next.
pub fn next(look: &Outlook<'_>, now: i64) -> Next {
    if let Some(until) = look.paused_until {
        return sleep(Some(until).filter(|until| *until < i64::MAX));
    }
    if let Some(probe) = look.link.next_probe() {
        return match look.budget.room(Purse::Api, now) {
            _ if look.in_air > 0 => Next::Idle,
            _ if probe > now => Next::SleepUntil(probe),
            Room::Now(_) => Next::Probe,
            Room::At(at) => Next::SleepUntil(at),
            Room::AfterAnswer | Room::Never => Next::Idle,
        };
    }
    // A link that has failed lately carries one call at a time until one went well.
    let air_max = if look.link.strikes() > 0 {
        1
    } else {
        SINGLES_IN_AIR_MAX
    };
    let mut wake = Wake(None);
    let free = air_max.saturating_sub(look.in_air);
    let room = look.budget.room(Purse::Api, now);
    match (free, room) {
        (0, _) | (_, Room::AfterAnswer | Room::Never) => return Next::Idle,
        (_, Room::At(at)) => wake.at(at),
        (_, Room::Now(_)) if look.schemas.is_some_and(|due| due <= now) => return Next::Schemas,
        (free, Room::Now(room)) => {
            if let Some(due) = look.schemas {
                wake.at(due);
            }
            if let Some(next) = send(look, free.min(room), now, &mut wake) {
                return next;
            }
            for job in look.jobs.iter().filter(|job| !job.asked) {
                wake.at(job.next_poll.max(now));
            }
            for queue in look.queues {
                if let Some(next) = queue.next {
                    wake.at(next.max(now));
                }
            }
        }
    }
    sleep(wake.0)
}

fn sleep(until: Option<i64>) -> Next {
    until.map_or(Next::Idle, Next::SleepUntil)
}

/// The earliest of some times.
struct Wake(Option<i64>);

impl Wake {
    fn at(&mut self, at: i64) {
        self.0 = Some(self.0.map_or(at, |known| known.min(at)));
    }
}

/// `free`: single calls that may go.
fn send(look: &Outlook<'_>, free: usize, now: i64, wake: &mut Wake) -> Option<Next> {
    let due = look
        .jobs
        .iter()
        .filter(|job| !job.asked && job.next_poll <= now)
        .min_by_key(|job| job.next_poll);
    if let Some(job) = due {
        return Some(Next::Poll { flight: job.flight });
    }
    if let Some(line) = look.line
        && look.queues.iter().any(|queue| queue.line)
    {
        match line <= now {
            true if free > 0 => return Some(Next::Line),
            true => {}
            false => wake.at(line),
        }
    }
    let body_room = match look.budget.room(Purse::Bulk, now) {
        _ if look.body_in_air => false,
        Room::Now(_) => true,
        Room::At(at) => {
            if look.queues.iter().any(|queue| wants_body(queue, look.bulk)) {
                wake.at(at);
            }
            false
        }
        Room::AfterAnswer | Room::Never => false,
    };
    look.queues
        .iter()
        .find_map(|queue| of_queue(queue, look, free, body_room, now, wake))
}

/// Whether answers are on their way that may set free what waits for parents: then one body carries what
/// two would. A job that takes long is asked for less and less often, and holds nothing back.
fn parents_come(look: &Outlook<'_>, now: i64) -> bool {
    let soon = |job: &OpenJob| job.asked || job.next_poll < now.saturating_add(SOON_MS);
    look.in_air > 0 || look.jobs.iter().any(soon)
}

fn wants_body(queue: &Queue, mode: Bulk) -> bool {
    queue.imports > 0
        || skus_by_csv(queue.csv, mode)
        || !queue.bodies.is_empty()
        || (queue.upserts > 0
            && channel(queue.kind, queue.upserts, mode, queue.bound) == Channel::Bulk)
}

fn of_queue(
    queue: &Queue,
    look: &Outlook<'_>,
    free: usize,
    body_room: bool,
    now: i64,
    wake: &mut Wake,
) -> Option<Next> {
    let (kind, mode) = (queue.kind, look.bulk);
    // The remote works off one import at a time; the others would only wait in its line.
    let jobs_max = if kind == Kind::Orders {
        1
    } else {
        JOBS_OPEN_MAX
    };
    let job_room = body_room && queue.jobs_open < jobs_max;
    let grows = queue.held > 0 && parents_come(look, now);
    let of_many = if kind == Kind::Orders {
        Channel::Import
    } else {
        Channel::Bulk
    };
    if let (true, Some(&(body, _))) = (job_room, queue.bodies.first()) {
        return Some(Next::Body {
            kind,
            channel: of_many,
            body: Some(body),
        });
    }
    if job_room && queue.imports > 0 && !grows {
        return Some(Next::Body {
            kind,
            channel: of_many,
            body: None,
        });
    }
    let mut singles = queue.singles;
    let mut upserts = false;
    let spare = skus_by_csv(queue.csv, mode) && look.listing != Listing::Unusable;
    if spare {
        match look.listing {
            Listing::Known if grows => {}
            Listing::Known if job_room => {
                return Some(Next::Body {
                    kind,
                    channel: Channel::Csv,
                    body: None,
                });
            }
            Listing::Step(at) if at <= now && free > 0 => return Some(Next::Listing),
            Listing::Step(at) if at > now => wake.at(at),
            _ => {}
        }
    } else if queue.csv > 0 {
        upserts = true;
        singles += queue.csv;
    }
    if queue.upserts > 0 {
        match channel(kind, queue.upserts, mode, queue.bound) {
            Channel::Single => {
                upserts = true;
                singles += queue.upserts;
            }
            Channel::Bulk | Channel::Import | Channel::Csv | Channel::Metadata if job_room => {
                return Some(Next::Body {
                    kind,
                    channel: of_many,
                    body: None,
                });
            }
            Channel::Bulk | Channel::Import | Channel::Csv | Channel::Metadata => {}
        }
    }
    let most = singles.min(free);
    (most > 0).then_some(Next::Singles {
        kind,
        most,
        upserts,
        spare,
    })
}

#[cfg(test)]
mod tests;
