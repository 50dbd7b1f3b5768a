//! When the next call may go: our share of the project's rate limit, from headers and from what was spent.
//!
//! Pure: `now` is an argument and always milliseconds of one clock. Two bounds hold for each call
//! (INTERFACE, promise 8): in any sliding period our calls ≤ share ÷ stores × limit, and what remains
//! never falls below what the tills have not used of theirs. A call counts from when it left until one
//! period after its answer came: it reached the remote somewhere in between.

use std::collections::{HashSet, VecDeque};

use crate::config::{Api, Period};
use crate::wire::{Limits, Purse};

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 3_600_000;

/// Added to each period: the remote's clock ticks otherwise than ours.
const MARGIN_MS: i64 = 100;

/// Calls in the air at most while no limit was ever told (INTERFACE, promise 8).
pub const IN_AIR_MAX: usize = 8;

/// The first wait after a 429 that names no time, and the longest.
const LIMITED_MS: i64 = 5_000;
const LIMITED_MS_MAX: i64 = 300_000;

/// Our part of the limit.
#[derive(Clone, Debug)]
pub struct Part {
    pub share: f64,
    pub stores: u32,
    pub period: Period,
}

impl Part {
    pub fn of(api: &Api) -> Part {
        Part {
            share: api.share,
            stores: api.stores,
            period: api.period,
        }
    }

    /// Calls in a period that are ours of a limit.
    pub fn of_limit(&self, limit: u64) -> u64 {
        // The tiny addition undoes what 0.29 × 100 loses in binary.
        (self.share * limit as f64 / f64::from(self.stores.max(1)) + 1e-9).floor() as u64
    }
}

/// What is known of one of the API's budgets. Kept in the store.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Account {
    /// Calls in a period; `None`: never told.
    pub limit: Option<u64>,
    pub remaining: Option<u64>,
    /// When `remaining` was told.
    pub seen: i64,
    /// Whether a limit counts by the minute, as far as it was seen to come back.
    pub refills: Refills,
    /// When the last refill was seen.
    pub refilled: i64,
    /// Of a host that calls now and then: since when its calls are counted, and the earliest that what
    /// it had spent came back, the last time that it did.
    #[serde(default)]
    pub counted_from: i64,
    #[serde(default)]
    pub back_from: Option<i64>,
    /// A 429's wait.
    pub wait: Option<Wait>,
    /// 429s in a row.
    pub strikes: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Refills {
    /// Nothing came back yet: an hour has to be assumed, and one call is kept back to see.
    #[default]
    Unseen,
    /// It came back once, which can have been the turn of an hour.
    Once,
    /// Twice within the hour: a minute.
    Minutely,
}

/// A wait that survives a restart and a clock that jumped: it never lasts longer than it was meant to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Wait {
    pub from: i64,
    pub ms: i64,
}

impl Wait {
    pub fn until(self) -> i64 {
        self.from.saturating_add(self.ms)
    }

    /// As it is believed at `now`: one that began in the future begins anew.
    pub fn clamped(self, now: i64) -> Wait {
        Wait {
            from: self.from.min(now),
            ..self
        }
    }
}

/// A call that was made: since when it is in the air, or when its answer came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Spent {
    id: i64,
    purse: Purse,
    at: i64,
}

/// The calls that still count. Of thousands an hour the few that matter are found without a look at
/// the rest.
#[derive(Clone, Debug, Default)]
struct Calls {
    air: Vec<Spent>,
    /// Those that were answered or given up, oldest answer first.
    past: VecDeque<Spent>,
}

impl Calls {
    fn end(&mut self, spent: Spent) {
        let later = self.past.iter().rev().take_while(|s| s.at > spent.at);
        let index = self.past.len() - later.count();
        self.past.insert(index, spent);
    }

    /// When a call left that is answered now; `None`: it is not known.
    fn answered(&mut self, id: i64, now: i64) -> Option<i64> {
        let spent = match self.air.iter().position(|s| s.id == id) {
            Some(index) => self.air.swap_remove(index),
            // It left in an earlier life, and counted as answered then.
            None => {
                let index = self.past.iter().rposition(|s| s.id == id)?;
                self.past.remove(index)?
            }
        };
        self.end(Spent { at: now, ..spent });
        Some(spent.at)
    }

    fn forget_until(&mut self, oldest: i64) {
        let old = self.past.partition_point(|s| s.at <= oldest);
        self.past.drain(..old);
    }

    fn in_air(&self, purse: Purse) -> u64 {
        self.air.iter().filter(|s| counts(s, purse)).count() as u64
    }

    /// When calls of this budget were answered, later than `since`; newest first.
    fn answered_since(&self, purse: Purse, since: i64) -> impl Iterator<Item = i64> {
        let newest_first = self.past.iter().rev().take_while(move |s| s.at > since);
        newest_first.filter(move |s| counts(s, purse)).map(|s| s.at)
    }

    /// Calls of this budget that are in the air, or were answered later than `since`.
    fn count_since(&self, purse: Purse, since: i64) -> u64 {
        self.in_air(purse) + self.answered_since(purse, since).count() as u64
    }

    fn iter(&self) -> impl Iterator<Item = &Spent> {
        self.past.iter().chain(&self.air)
    }
}

/// What an answer said remained, and when it came.
#[derive(Clone, Copy, Debug)]
struct Told {
    at: i64,
    purse: Purse,
    remaining: u64,
}

/// What was told before a call left.
#[derive(Clone, Copy, Debug)]
struct Before {
    newest: Option<Told>,
    /// Calls that count in this hour's limit, if it is one, and when the first of them was answered.
    counted: u64,
    oldest: i64,
}

impl Before {
    fn of(told: &VecDeque<Told>, account: &Account, purse: Purse, left: i64, now: i64) -> Before {
        // The remote saw a call up to half a minute before its answer was here.
        let since = account.counted_from.max(now - HOUR_MS + MINUTE_MS);
        let mine = || {
            let newest_first = told.iter().rev();
            newest_first.filter(|told| told.purse == purse && told.at <= left)
        };
        let counted = || mine().take_while(|told| told.at > since);
        Before {
            newest: mine().next().copied(),
            counted: counted().count() as u64,
            oldest: counted().last().map_or(now, |told| told.at),
        }
    }
}

/// Answers that are remembered to compare a later one with: more than are ever in the air.
const TOLD_MAX: usize = 4 * IN_AIR_MAX;

/// Whether a call may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// So many may go now.
    Now(usize),
    At(i64),
    /// Only after an answer to what is in the air.
    AfterAnswer,
    /// Our share of the limit is less than one call.
    Never,
}

#[derive(Clone, Debug)]
pub struct Budget {
    part: Part,
    api: Account,
    bulk: Account,
    spent: Calls,
    told: VecDeque<Told>,
    /// Whether any answer ever came: before, a single call goes to see the headers.
    answered: bool,
}

/// What is kept in the store.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct Kept {
    pub api: Account,
    pub bulk: Account,
    pub answered: bool,
}

impl Kept {
    /// The wall clock was set: all times move with it.
    pub fn shift(&mut self, ms: i64) {
        for account in [&mut self.api, &mut self.bulk] {
            account.shift(ms);
        }
    }
}

impl Account {
    fn shift(&mut self, ms: i64) {
        self.seen = self.seen.saturating_add(ms);
        self.refilled = self.refilled.saturating_add(ms);
        self.counted_from = self.counted_from.saturating_add(ms);
        self.back_from = self.back_from.map(|from| from.saturating_add(ms));
        if let Some(wait) = &mut self.wait {
            wait.from = wait.from.saturating_add(ms);
        }
    }
}

impl Budget {
    /// `spent`: id, budget and time (when the answer came, else when it left) of the last hour's calls.
    pub fn new(part: Part, kept: Kept, spent: &[(i64, Purse, i64)], now: i64) -> Budget {
        let clamp = |mut account: Account| {
            account.wait = account.wait.map(|wait| wait.clamped(now));
            account.seen = account.seen.min(now);
            account.refilled = account.refilled.min(now);
            account.counted_from = account.counted_from.min(now);
            account
        };
        let (api, bulk) = (clamp(kept.api), clamp(kept.bulk));
        let told = [(Purse::Api, &api), (Purse::Bulk, &bulk)]
            .into_iter()
            .filter_map(|(purse, account)| {
                Some(Told {
                    at: account.seen,
                    purse,
                    remaining: account.remaining?,
                })
            })
            .collect();
        let mut budget = Budget {
            part,
            api,
            bulk,
            told,
            answered: kept.answered,
            spent: Calls::default(),
        };
        budget.others(spent, now);
        budget
    }

    pub fn kept(&self) -> Kept {
        Kept {
            api: self.api.clone(),
            bulk: self.bulk.clone(),
            answered: self.answered,
        }
    }

    pub fn set_part(&mut self, part: Part) {
        self.part = part;
    }

    pub fn account(&self, purse: Purse) -> &Account {
        match purse {
            Purse::Api => &self.api,
            Purse::Bulk => &self.bulk,
        }
    }

    fn account_mut(&mut self, purse: Purse) -> &mut Account {
        match purse {
            Purse::Api => &mut self.api,
            Purse::Bulk => &mut self.bulk,
        }
    }

    /// The wall clock was set while the process ran: all times move with it.
    pub fn shift(&mut self, ms: i64) {
        self.api.shift(ms);
        self.bulk.shift(ms);
        for spent in self.spent.air.iter_mut().chain(&mut self.spent.past) {
            spent.at = spent.at.saturating_add(ms);
        }
        for told in &mut self.told {
            told.at = told.at.saturating_add(ms);
        }
    }

    /// A call of this budget leaves. `id`: the request's.
    pub fn spend(&mut self, id: i64, purse: Purse, now: i64) {
        self.spent.air.push(Spent { id, purse, at: now });
    }

    /// Calls that others on this host made, as `new` takes them (`audit` beside the daemon): those
    /// that are not known yet count from now on.
    pub fn others(&mut self, spent: &[(i64, Purse, i64)], now: i64) {
        let known: HashSet<i64> = self.spent.iter().map(|spent| spent.id).collect();
        for &(id, purse, at) in spent {
            if !known.contains(&id) {
                // A time in the future is a clock that was set back: counted as just spent.
                let at = at.min(now);
                self.spent.end(Spent { id, purse, at });
            }
        }
    }

    /// Its answer came, or it was given up. `limits`: what its headers said.
    pub fn answered(&mut self, id: i64, purse: Purse, limits: Option<&Limits>, now: i64) {
        let left = self.spent.answered(id, now).unwrap_or(now);
        let oldest = now - self.period_ms(Purse::Api).max(self.period_ms(Purse::Bulk)) - MARGIN_MS;
        self.spent.forget_until(oldest);
        let Some(limits) = limits else { return };
        self.answered = true;
        // The answers that were here when this call left: what they said came first for sure.
        let before = Before::of(&self.told, self.account(purse), purse, left, now);
        self.account_mut(purse).learn(limits, before, left, now);
        if let Some(remaining) = limits.remaining {
            self.told.push_back(Told {
                at: now,
                purse,
                remaining,
            });
            if self.told.len() > TOLD_MAX {
                self.told.pop_front();
            }
        }
    }

    /// A 429. `wait_ms`: what its headers ask for.
    pub fn limited(&mut self, purse: Option<Purse>, wait_ms: Option<i64>, now: i64) {
        let purses = match purse {
            Some(purse) => vec![purse],
            None => vec![Purse::Api, Purse::Bulk],
        };
        for purse in purses {
            let account = self.account_mut(purse);
            let grown = LIMITED_MS << account.strikes.min(6);
            // Headers that ask for nothing, again and again, are not believed.
            let ms = match wait_ms {
                Some(ms) if account.strikes == 0 => ms,
                Some(ms) => ms.max(if ms == 0 { grown } else { 0 }),
                None => grown.min(LIMITED_MS_MAX),
            };
            account.strikes += 1;
            account.wait = Some(Wait { from: now, ms });
            account.remaining = account.remaining.map(|_| 0);
            if wait_ms.is_some_and(|ms| ms > MINUTE_MS + MARGIN_MS) {
                account.refills = Refills::Unseen;
            }
        }
    }

    /// An answer that was no 429.
    pub fn fine(&mut self, purse: Purse) {
        self.account_mut(purse).strikes = 0;
    }

    /// Until when a 429 stops calls of this budget.
    pub fn limited_until(&self, purse: Purse, now: i64) -> Option<i64> {
        let wait = self.account(purse).wait?;
        Some(wait.until()).filter(|until| *until > now)
    }

    pub fn in_air(&self) -> usize {
        self.spent.air.len()
    }

    /// Calls of this budget in the last period.
    pub fn used(&self, purse: Purse, now: i64) -> u64 {
        self.used_in(purse, self.window_ms(purse), now)
    }

    fn used_in(&self, purse: Purse, window_ms: i64, now: i64) -> u64 {
        self.spent.count_since(purse, now - window_ms)
    }

    /// The period that is assumed, in milliseconds.
    pub fn period_ms(&self, purse: Purse) -> i64 {
        match (self.part.period, self.account(purse).refills) {
            (Period::Hour, _) | (Period::Auto, Refills::Unseen) => HOUR_MS,
            (Period::Minute, _) | (Period::Auto, _) => MINUTE_MS,
        }
    }

    /// Calls of this budget in the last period by which an estimate goes: a minute, unless an hour is set
    /// or the remote once asked for a longer wait. Whether it is one shows only once it is used up.
    pub fn used_by_estimate(&self, purse: Purse, now: i64) -> u64 {
        let long = |wait: Wait| wait.ms > MINUTE_MS + MARGIN_MS;
        let ms =
            match self.part.period == Period::Hour || self.account(purse).wait.is_some_and(long) {
                true => HOUR_MS,
                false => MINUTE_MS,
            };
        self.used_in(purse, ms, now)
    }

    fn window_ms(&self, purse: Purse) -> i64 {
        self.period_ms(purse) + MARGIN_MS
    }

    /// Our calls in a period; `None`: no limit was told.
    pub fn allowed(&self, purse: Purse) -> Option<u64> {
        Some(self.part.of_limit(self.account(purse).limit?))
    }

    /// How many calls of this budget may go. A bulk call is counted with the others, too: whether the
    /// remote counts it there is not said.
    pub fn room(&self, purse: Purse, now: i64) -> Room {
        let api = self.room_of(Purse::Api, now);
        match purse {
            Purse::Api => api,
            Purse::Bulk => api.and(self.room_of(Purse::Bulk, now)),
        }
    }

    fn room_of(&self, purse: Purse, now: i64) -> Room {
        if let Some(until) = self.limited_until(purse, now) {
            return Room::At(until);
        }
        let in_air = self.in_air();
        let Some(allowed) = self.allowed(purse) else {
            // Until the first answer one call goes alone, for its headers.
            let at_most = if self.answered { IN_AIR_MAX } else { 1 };
            return match at_most.saturating_sub(in_air) {
                0 => Room::AfterAnswer,
                free => Room::Now(free),
            };
        };
        if allowed == 0 {
            return Room::Never;
        }
        self.room_of_share(purse, allowed, now)
            .and(self.room_beside_tills(purse, allowed, now))
            .and(match IN_AIR_MAX.saturating_sub(in_air) {
                0 => Room::AfterAnswer,
                free => Room::Now(free),
            })
    }

    /// The sliding bound.
    fn room_of_share(&self, purse: Purse, allowed: u64, now: i64) -> Room {
        let window_ms = self.window_ms(purse);
        let room = self.free_in(purse, allowed, window_ms, now);
        if self.part.period != Period::Auto {
            return room;
        }
        let account = self.account(purse);
        let since = match account.refills {
            Refills::Minutely => return room,
            // What was spent before the turn of an hour does not count in the new one; the call that saw
            // it does.
            Refills::Once => account.refilled - 1,
            Refills::Unseen => now - window_ms,
        };
        let spent_since = self.spent.count_since(purse, since);
        let kept_back = if spent_since + 1 < allowed || (allowed == 1 && spent_since == 0) {
            Room::Now(allowed.saturating_sub(spent_since + 1).max(1) as usize)
        } else if spent_since < allowed {
            // The one that was kept back goes in the next minute, to see whether anything came back.
            self.quiet_for(purse, MINUTE_MS + MARGIN_MS, now)
        } else {
            self.free_in(purse, allowed, HOUR_MS + MARGIN_MS, now)
        };
        room.and(kept_back)
    }

    /// Now, if the last call's answer lies so long ago.
    fn quiet_for(&self, purse: Purse, ms: i64, now: i64) -> Room {
        if self.spent.in_air(purse) > 0 {
            return Room::AfterAnswer;
        }
        match self.spent.answered_since(purse, i64::MIN).next() {
            Some(last) if last + ms > now => Room::At(last + ms),
            _ => Room::Now(1),
        }
    }

    fn free_in(&self, purse: Purse, allowed: u64, window_ms: i64, now: i64) -> Room {
        let used = self.used_in(purse, window_ms, now);
        if used < allowed {
            return Room::Now((allowed - used) as usize);
        }
        // So many of the oldest have to pass that one less than allowed is left.
        let left = (allowed - 1).checked_sub(self.spent.in_air(purse));
        let mut newest_first = self.spent.answered_since(purse, now - window_ms);
        match left.and_then(|left| newest_first.nth(left as usize)) {
            Some(at) => Room::At(at + window_ms),
            None => Room::AfterAnswer,
        }
    }

    /// What remains has to stay at or above what the others have not yet used of theirs.
    fn room_beside_tills(&self, purse: Purse, allowed: u64, now: i64) -> Room {
        let account = self.account(purse);
        let (Some(limit), Some(remaining)) = (account.limit, account.remaining) else {
            return Room::Now(usize::MAX);
        };
        let window_ms = self.window_ms(purse);
        if account.seen + window_ms <= now || account.is_to_ask(now) {
            // Old news: one call goes to hear more.
            return match self.in_air() {
                0 => Room::Now(1),
                _ => Room::AfterAnswer,
            };
        }
        let sent_since = self.spent.count_since(purse, account.seen);
        // Ours that were counted when `remaining` was told; some have passed out of the period since.
        let counted: Vec<i64> = (self.spent)
            .answered_since(purse, account.seen - window_ms)
            .filter(|at| *at <= account.seen)
            .collect();
        let back = counted.iter().filter(|at| *at + window_ms <= now).count() as u64;
        let theirs = limit - allowed.min(limit);
        let used_by_them = limit
            .saturating_sub(remaining)
            .saturating_sub(counted.len() as u64);
        let unused_by_them = theirs.saturating_sub(used_by_them);
        let left = remaining.saturating_add(back).min(limit);
        match left.saturating_sub(sent_since + unused_by_them) {
            0 => {
                let next = counted
                    .iter()
                    .map(|at| at + window_ms)
                    .filter(|at| *at > now);
                Room::At(next.min().unwrap_or(account.seen + window_ms))
            }
            free => Room::Now(free as usize),
        }
    }
}

/// Bulk calls count in both: in the bulk budget, and, to be safe, among all calls.
fn counts(spent: &Spent, purse: Purse) -> bool {
    purse == Purse::Api || spent.purse == Purse::Bulk
}

impl Room {
    /// The narrower of two.
    pub fn and(self, other: Room) -> Room {
        use Room::*;
        match (self, other) {
            (Never, _) | (_, Never) => Never,
            (At(a), At(b)) => At(a.max(b)),
            (At(a), _) | (_, At(a)) => At(a),
            (AfterAnswer, _) | (_, AfterAnswer) => AfterAnswer,
            (Now(a), Now(b)) => Now(a.min(b)),
        }
    }
}

impl Account {
    /// The last thing heard was a 429, and its wait is over.
    fn is_to_ask(&self, now: i64) -> bool {
        // Its own headers were seen with it: a wait that names no time later than that is over at once.
        let over = |wait: Wait| wait.until() >= self.seen && wait.until() <= now;
        self.wait.is_some_and(over)
    }

    fn learn(&mut self, limits: &Limits, before: Before, left: i64, now: i64) {
        if let Some(limit) = limits.limit {
            if self.limit.is_some_and(|known| known != limit) {
                self.refills = Refills::Unseen;
                self.remaining = None;
                (self.counted_from, self.back_from) = (now, None);
            }
            self.limit = Some(limit);
        }
        let Some(remaining) = limits.remaining else {
            return;
        };
        if let (Some(newest), Some(limit)) = (before.newest, self.limit) {
            // The call itself took one. A good part has to be back: a limit by the hour may trickle
            // back call by call.
            let back = (remaining + 1).saturating_sub(newest.remaining);
            let used = limit.saturating_sub(newest.remaining);
            // What came back in a longer time says nothing about a minute.
            if back >= 2.max(used.div_ceil(4)) && now - newest.at <= 2 * MINUTE_MS {
                self.refill_seen(now);
            } else if limit.saturating_sub(remaining) < before.counted {
                self.back_now_and_then(before.oldest, now);
            }
        }
        // Answers overtake each other: without a rise that is sure, the lower figure is the newer one.
        // What a 429 meant is over once a call that left after its wait is told more.
        let newest = before.newest;
        let risen =
            newest.is_none_or(|before| remaining > before.remaining) || self.is_to_ask(left);
        self.remaining = match self.remaining {
            Some(known) if !risen => Some(known.min(remaining)),
            _ => Some(remaining),
        };
        self.seen = now;
    }

    fn refill_seen(&mut self, now: i64) {
        self.refills = match self.refills {
            Refills::Unseen => Refills::Once,
            // Two turns of an hour never lie so close.
            Refills::Once
                if now - self.refilled < HOUR_MS * 5 / 6 && now - self.refilled > MINUTE_MS / 2 =>
            {
                Refills::Minutely
            }
            known => known,
        };
        self.refilled = now;
    }

    /// Less is used than our own calls of this hour whose answers are here: some came back between `from`
    /// and `now`. Once in an hour that is its turn; not twice.
    fn back_now_and_then(&mut self, from: i64, now: i64) {
        let last = self.back_from.replace(from);
        if last.is_some_and(|last| now - last < HOUR_MS * 5 / 6) {
            (self.refills, self.refilled) = (Refills::Minutely, now);
        }
        self.counted_from = now;
    }
}

#[cfg(test)]
mod tests;
