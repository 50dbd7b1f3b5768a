//! What delivery would take: calls by endpoint, and how long.

use std::collections::{BTreeMap, VecDeque};

use crate::budget::{Budget, Room};
use crate::config::Bulk;
use crate::kind::Kind;
use crate::record::Content;
use crate::wire::{
    BODY_BYTES_MAX, Endpoint, Limits, PathKey, Purse, bulk_item, metadata_frame_bytes,
    metadata_key, segment, sku_row,
};

use super::cut::{Cut, Taken};
use super::shared::{Due, Search, metadata_change};
use super::{
    Channel, SINGLES_IN_AIR_MAX, SINGLES_MAX, bulk_endpoint, channel, metadata_endpoint,
    skus_by_csv,
};

/// Bytes of a new SKU's row in the CSV upload; `None`: its columns cannot carry all of it.
pub fn sku_row_bytes(key: &str, content: &Content) -> Option<usize> {
    sku_row(key, content).map(|row| row.len())
}

/// What a record weighs in a body of many, and its key in a call that carries one change for many.
pub fn weight(kind: Kind, key: &str, content: &Content) -> Weight {
    Weight {
        bytes: bulk_item(kind, key, content).len(),
        key_bytes: metadata_key(key).len(),
        change: None,
    }
}

/// Bytes of one record in bodies of either sort.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weight {
    pub bytes: usize,
    pub key_bytes: usize,
    /// The change of metadata that is all that the remote has to be told.
    pub change: Option<Shared>,
}

/// A change of metadata, which others may share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Shared {
    /// Tells it from others.
    hash: u64,
    bytes: u32,
    frame_bytes: u32,
}

/// Of fields that changed, each with what it becomes.
pub fn shared<'a>(fields: impl Iterator<Item = (&'a str, Option<&'a str>)>) -> Option<Shared> {
    let change = metadata_change(fields)?;
    Some(Shared {
        hash: xxhash_rust::xxh3::xxh3_64(change.as_bytes()),
        bytes: change.len() as u32,
        frame_bytes: metadata_frame_bytes(&change) as u32,
    })
}

/// Whether a key can stand in a call's address, so that an order of it can be changed by PUT.
pub fn stands_in_an_address(key: &str) -> bool {
    matches!(segment(key), PathKey::Segment(_))
}

/// A call's way there and back, for an estimate.
const CALL_MS: i64 = 150;

/// Questions for a job and for an export, where the remote is quick; they count in our share, too.
const POLLS: u64 = 2;
const EXPORT_POLLS: u64 = 3;

/// Periods of the limit that are walked through call by call, and calls at most.
const PERIODS_WALKED: u64 = 3;
const WALKED_MAX: u64 = 4_000;

/// Counts records in the order of delivery into calls, by the rules that delivery keeps.
pub struct Forecaster {
    mode: Bulk,
    /// Customers and products that may go in bodies of many, in the order of delivery.
    many: BTreeMap<Kind, Vec<Weight>>,
    bodies: BTreeMap<Kind, Bodies>,
    singles: BTreeMap<Endpoint, u64>,
}

/// Bodies of one kind as they would be cut.
struct Bodies {
    channel: Channel,
    cut: Cut,
    /// Records in each that is full.
    full: Vec<usize>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forecast {
    /// `POST /v1/customers/bulk/async` → calls. Those that write or order something, without polling. What
    /// delivery then takes, if nothing else is pending and the remote refuses nothing; but a bound where
    /// bodies of many are cut by bytes (records of unlike size in another order), where records are deleted
    /// and made again within the file, and by one export where it is known already which SKUs are there.
    pub by: BTreeMap<String, u64>,
    pub total: u64,
    /// About; at the present budget, with the tills and the link as they are: how long the remote takes for a
    /// job, and what others use of the limit meanwhile, is not known; with `period = "auto"` delivery keeps to
    /// the hour as long as it has not seen the remote give back by the minute, and this does not foretell it. `None`: our share allows no call.
    pub duration_ms: Option<i64>,
}

impl Forecaster {
    pub fn new(mode: Bulk) -> Forecaster {
        Forecaster {
            mode,
            many: BTreeMap::new(),
            bodies: BTreeMap::new(),
            singles: BTreeMap::new(),
        }
    }

    /// A record that would be made or changed. `history`: an order of a history folder.
    pub fn upsert(&mut self, kind: Kind, weight: Weight, history: bool) {
        match kind {
            Kind::Orders if history => self.in_body(kind, Channel::Import, weight.bytes),
            Kind::Customers | Kind::Products => self.many.entry(kind).or_default().push(weight),
            Kind::Skus | Kind::Orders => self.single(single_endpoint(kind)),
        }
    }

    fn in_body(&mut self, kind: Kind, channel: Channel, bytes: usize) {
        let bodies = self.bodies.entry(kind).or_insert_with(|| Bodies {
            channel,
            cut: Cut::new(channel, BODY_BYTES_MAX),
            full: Vec::new(),
        });
        match bodies.cut.take(bytes) {
            // One that fits into no body is parked without a call.
            Taken::Yes | Taken::TooLarge => {}
            Taken::Full => {
                bodies.full.push(bodies.cut.records());
                bodies.cut = Cut::new(channel, BODY_BYTES_MAX);
                bodies.cut.take(bytes);
            }
        }
    }

    /// A new SKU: as `upsert`, but that many go by CSV. `row_bytes`: of its row (`wire::sku_row`), if
    /// the columns carry it.
    pub fn new_sku(&mut self, row_bytes: Option<usize>) {
        match row_bytes {
            Some(bytes) => self.in_body(Kind::Skus, Channel::Csv, bytes),
            None => self.single(Endpoint::Sku),
        }
    }

    /// A call of its own: an order that is known goes by `OrderUpdate`, a deletion, consents.
    pub fn single(&mut self, endpoint: Endpoint) {
        *self.singles.entry(endpoint).or_default() += 1;
    }

    /// A record that would be deleted; an order cannot be.
    pub fn delete(&mut self, kind: Kind) {
        match kind {
            Kind::Products => self.single(Endpoint::ProductDelete),
            Kind::Skus => self.single(Endpoint::SkuDelete),
            Kind::Customers => self.single(Endpoint::CustomerDelete),
            Kind::Orders => {}
        }
    }

    /// A record that is deleted first and then made again: alone, as its deletion is done. With bodies for
    /// all, those whose deletions are done together share one, and how many do is not foretold: at the least
    /// one body.
    pub fn remake(&mut self, kind: Kind, weight: Weight) {
        self.delete(kind);
        match (self.mode, kind) {
            (Bulk::Always, Kind::Customers | Kind::Products) => self.upsert(kind, weight, false),
            _ => self.single(single_endpoint(kind)),
        }
    }

    /// What a customer said of consents.
    pub fn consents(&mut self) {
        self.single(Endpoint::Consents);
    }

    /// A changed order that the remote has.
    pub fn known_order(&mut self) {
        self.single(Endpoint::OrderUpdate);
    }

    /// `budget`: as it is now, for the time it takes.
    pub fn finish(self, budget: &Budget, now: i64) -> Forecast {
        let mut forecast = Forecast::default();
        let (mut bulk, mut api, mut exports) = (0, 0, 0);
        for (kind, due) in self.many {
            let calls = many(kind, due, self.mode);
            let endpoint = bulk_endpoint(kind).expect("it has a call for many");
            forecast.add(endpoint, calls.whole);
            forecast.add(metadata_endpoint(kind).expect("it has one"), calls.shared);
            forecast.add(single_endpoint(kind), calls.singles);
            bulk += calls.whole + calls.shared;
            api += calls.singles;
        }
        for (kind, bodies) in self.bodies {
            let (of_many, singles) = bodies.calls(self.mode);
            let endpoint = bulk_endpoint(kind).expect("only kinds with a call for many are cut");
            forecast.add(endpoint, of_many);
            forecast.add(single_endpoint(kind), singles);
            if kind == Kind::Skus && of_many > 0 {
                // Which of them the remote has is asked for first.
                forecast.add(Endpoint::ExportNew, 1);
                api += 1;
                exports += 1;
            }
            bulk += of_many;
            api += singles;
        }
        for (endpoint, calls) in self.singles {
            forecast.add(endpoint, calls);
            api += calls;
        }
        let calls = Calls {
            bulk,
            // With the questions for jobs and exports.
            api: api + bulk * POLLS + exports * EXPORT_POLLS,
        };
        forecast.duration_ms = duration_ms(budget, calls, now);
        forecast
    }
}

impl Bodies {
    /// Calls for many, and single calls for what is left.
    fn calls(&self, mode: Bulk) -> (u64, u64) {
        let records = self.full.iter().sum::<usize>() + self.cut.records();
        if self.channel == Channel::Csv && !skus_by_csv(records, mode) {
            return (0, records as u64);
        }
        let last = u64::from(self.cut.records() > 0);
        (self.full.len() as u64 + last, 0)
    }
}

/// Calls that carry customers or products.
#[derive(Clone, Copy, Debug, Default)]
struct Many {
    whole: u64,
    shared: u64,
    singles: u64,
}

/// Step by step as delivery takes them: few singly, else a body of those that share a change where that is
/// cheaper, else a body of whole records.
fn many(kind: Kind, mut due: Vec<Weight>, mode: Bulk) -> Many {
    let mut calls = Many::default();
    while !due.is_empty() {
        if channel(kind, due.len().min(SINGLES_MAX + 1), mode, false) == Channel::Single {
            calls.singles = due.len() as u64;
            return calls;
        }
        let mut search = Search::new(BODY_BYTES_MAX);
        for weight in &due {
            let seen = Due {
                bytes: weight.bytes,
                key_bytes: weight.key_bytes,
                change: weight.change.map(|change| (change, change.bytes as usize)),
            };
            if !search.see(seen) {
                break;
            }
        }
        let change = search.finish();
        let mut cut = match change {
            Some(change) => {
                Cut::new(Channel::Metadata, BODY_BYTES_MAX).beside(change.frame_bytes as usize)
            }
            None => Cut::new(Channel::Bulk, BODY_BYTES_MAX),
        };
        let mut is_full = false;
        due.retain(|weight| {
            if is_full || (change.is_some() && weight.change != change) {
                return true;
            }
            let taken = match change {
                Some(_) => cut.take(weight.key_bytes),
                None => cut.take(weight.bytes),
            };
            is_full = taken == Taken::Full;
            is_full
        });
        let count = match change {
            Some(_) => &mut calls.shared,
            None => &mut calls.whole,
        };
        // Those that fit into no body are parked without a call.
        *count += u64::from(cut.records() > 0);
    }
    calls
}

impl Forecast {
    fn add(&mut self, endpoint: Endpoint, calls: u64) {
        if calls > 0 {
            *self.by.entry(endpoint.label()).or_default() += calls;
            self.total += calls;
        }
    }
}

/// The call that carries one new record.
pub fn single_endpoint(kind: Kind) -> Endpoint {
    match kind {
        Kind::Products => Endpoint::Product,
        Kind::Skus => Endpoint::Sku,
        Kind::Customers => Endpoint::Customer,
        Kind::Orders => Endpoint::OrderNew,
    }
}

/// Calls of either budget.
#[derive(Clone, Copy, Debug)]
struct Calls {
    bulk: u64,
    api: u64,
}

/// The calls as the budget lets them go, with the tills at rest and a remote that answers in `CALL_MS`.
/// Past the first periods each takes as long as the others.
fn duration_ms(budget: &Budget, calls: Calls, now: i64) -> Option<i64> {
    let mut budget = budget.clone();
    let (mut left, mut at, mut id) = (calls, now, -1);
    let mut air: VecDeque<(i64, Purse, i64)> = VecDeque::new();
    let walked_max = match budget.allowed(Purse::Api) {
        Some(allowed) => (PERIODS_WALKED * allowed).clamp(64, WALKED_MAX),
        None => WALKED_MAX,
    };
    let mut walked = 0;
    while left.bulk + left.api > 0 && walked < walked_max {
        let purse = if left.bulk > 0 {
            Purse::Bulk
        } else {
            Purse::Api
        };
        let wakes = match budget.room(purse, at) {
            Room::Now(_) if air.len() < SINGLES_IN_AIR_MAX => {
                budget.spend(id, purse, at);
                air.push_back((at + CALL_MS, purse, id));
                match purse {
                    Purse::Bulk => left.bulk -= 1,
                    Purse::Api => left.api -= 1,
                }
                (id, walked) = (id - 1, walked + 1);
                continue;
            }
            Room::Now(_) | Room::AfterAnswer => None,
            Room::At(then) => Some(then),
            Room::Never => return None,
        };
        let answer = air.front().map(|(then, ..)| *then);
        match (answer, wakes) {
            (Some(then), wakes) if wakes.is_none_or(|wakes| then <= wakes) => {
                at = at.max(then);
                answered(&mut budget, &mut air, at);
            }
            (_, Some(then)) => at = at.max(then),
            // Nothing is to be waited for: not told how long.
            (_, None) => return None,
        }
    }
    if let Some((last, ..)) = air.back() {
        at = at.max(*last);
    }
    let rest = left.bulk + left.api;
    let flying = (rest as i64 * CALL_MS) / SINGLES_IN_AIR_MAX as i64;
    let waits = match budget.allowed(Purse::Api) {
        Some(allowed) => rest.div_ceil(allowed.max(1)) as i64 * budget.period_ms(Purse::Api),
        None => 0,
    };
    Some(at - now + flying.max(waits))
}

/// The oldest answer comes, with the headers of a remote that nobody else calls.
fn answered(budget: &mut Budget, air: &mut VecDeque<(i64, Purse, i64)>, at: i64) {
    let Some((_, purse, id)) = air.pop_front() else {
        return;
    };
    let limit = budget.account(purse).limit;
    let limits = limit.map(|limit| Limits {
        limit: Some(limit),
        remaining: Some(limit.saturating_sub(budget.used_by_estimate(purse, at))),
        ..Limits::default()
    });
    budget.answered(id, purse, limits.as_ref(), at);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::{Kept, Part};
    use crate::config::Period;

    fn forecast(mode: Bulk, records: &[(Kind, usize, usize, bool)]) -> Forecast {
        let part = Part {
            share: 0.5,
            stores: 1,
            period: Period::Minute,
        };
        let mut forecaster = Forecaster::new(mode);
        for &(kind, count, bytes, history) in records {
            for _ in 0..count {
                let weight = Weight {
                    bytes,
                    key_bytes: 8,
                    change: None,
                };
                forecaster.upsert(kind, weight, history);
            }
        }
        forecaster.finish(&Budget::new(part, Kept::default(), &[], 0), 0)
    }

    #[track_caller]
    fn check(mode: Bulk, records: &[(Kind, usize, usize, bool)], expected: &[(&str, u64)]) {
        let found = forecast(mode, records);
        let by: Vec<(&str, u64)> = found.by.iter().map(|(k, n)| (k.as_str(), *n)).collect();
        assert_eq!(by, expected);
    }

    #[test]
    fn few_go_by_singles_and_many_by_bulk() {
        let few = [("POST /v1/customers", 10)];
        check(Bulk::Auto, &[(Kind::Customers, 10, 300, false)], &few);
        let many = [("POST /v1/customers/bulk/async", 1)];
        check(Bulk::Auto, &[(Kind::Customers, 1_000, 300, false)], &many);
        check(Bulk::Always, &[(Kind::Customers, 1, 300, false)], &many);
        let never = [("POST /v1/products", 50)];
        check(Bulk::Never, &[(Kind::Products, 50, 300, false)], &never);
    }

    #[test]
    fn bodies_are_cut_by_bytes_and_a_small_rest_goes_by_singles() {
        check(
            Bulk::Auto,
            &[(Kind::Products, 25, 1_000_000, false)],
            &[
                ("POST /v1/products", 5),
                ("POST /v1/products/bulk/async", 2),
            ],
        );
        check(
            Bulk::Auto,
            &[(Kind::Orders, 10_000, 400, true)],
            &[("POST /v1/orders/import", 5)],
        );
    }

    #[test]
    fn skus_and_live_orders_go_one_by_one() {
        check(
            Bulk::Auto,
            &[(Kind::Skus, 30, 200, false), (Kind::Orders, 20, 400, false)],
            &[("POST /v1/orders", 20), ("POST /v1/products/{id}/skus", 30)],
        );
    }

    #[track_caller]
    fn skus(mode: Bulk, count: usize, expected: &[(&str, u64)]) {
        let part = Part {
            share: 0.5,
            stores: 1,
            period: Period::Minute,
        };
        let mut forecaster = Forecaster::new(mode);
        (0..count).for_each(|_| forecaster.new_sku(Some(100)));
        forecaster.new_sku(None);
        let found = forecaster.finish(&Budget::new(part, Kept::default(), &[], 0), 0);
        let by: Vec<(&str, u64)> = found.by.iter().map(|(k, n)| (k.as_str(), *n)).collect();
        assert_eq!(by, expected);
    }

    #[test]
    fn many_new_skus_go_by_csv() {
        let one = ("POST /v1/products/{id}/skus", 1);
        skus(Bulk::Auto, 20, &[("POST /v1/products/{id}/skus", 21)]);
        skus(
            Bulk::Auto,
            21,
            &[("POST /v1/exports", 1), one, ("POST /v1/skus/importCSV", 1)],
        );
        skus(
            Bulk::Auto,
            150_000,
            &[("POST /v1/exports", 1), one, ("POST /v1/skus/importCSV", 2)],
        );
        skus(Bulk::Never, 51, &[("POST /v1/products/{id}/skus", 52)]);
    }
}
