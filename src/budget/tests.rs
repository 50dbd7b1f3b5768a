use super::*;

fn part(share: f64, period: Period) -> Part {
    Part {
        share,
        stores: 1,
        period,
    }
}

fn fresh(period: Period) -> Budget {
    Budget::new(part(0.5, period), Kept::default(), &[], 0)
}

fn told(limit: u64, remaining: u64) -> Limits {
    Limits {
        limit: Some(limit),
        remaining: Some(remaining),
        ..Limits::default()
    }
}

#[test]
fn the_part_of_a_limit_is_whole_calls() {
    #[track_caller]
    fn check(share: f64, stores: u32, limit: u64, expected: u64) {
        let part = Part {
            share,
            stores,
            period: Period::Auto,
        };
        assert_eq!(part.of_limit(limit), expected);
    }
    check(0.5, 1, 100, 50);
    check(0.29, 1, 100, 29);
    check(0.5, 3, 100, 16);
    check(1.0, 1, 7, 7);
    check(0.5, 60, 100, 0);
}

#[test]
fn without_headers_eight_at_once_after_the_first_answer() {
    let mut budget = fresh(Period::Auto);
    assert_eq!(budget.room(Purse::Api, 0), Room::Now(1));
    budget.spend(1, Purse::Api, 0);
    assert_eq!(budget.room(Purse::Api, 0), Room::AfterAnswer);
    budget.answered(1, Purse::Api, Some(&Limits::default()), 10);
    assert_eq!(budget.room(Purse::Api, 10), Room::Now(8));
}

#[test]
fn a_share_of_less_than_one_call_sends_nothing() {
    let mut budget = Budget::new(part(0.001, Period::Auto), Kept::default(), &[], 0);
    budget.spend(1, Purse::Api, 0);
    budget.answered(1, Purse::Api, Some(&told(100, 99)), 10);
    assert_eq!(budget.room(Purse::Api, 10), Room::Never);
}

#[test]
fn a_429_stops_the_budget_that_it_names_until_the_time_it_names() {
    let mut budget = fresh(Period::Minute);
    budget.limited(Some(Purse::Bulk), Some(120_000), 1_000);
    assert_eq!(budget.room(Purse::Bulk, 2_000), Room::At(121_000));
    assert_eq!(budget.room(Purse::Api, 2_000), Room::Now(1));
    assert_eq!(budget.room(Purse::Bulk, 121_000), Room::Now(1));
}

#[test]
fn after_the_wait_of_a_429_one_call_asks_what_remains() {
    let mut budget = fresh(Period::Auto);
    budget.spend(1, Purse::Api, 0);
    budget.answered(1, Purse::Api, Some(&told(100, 99)), 10);
    budget.spend(2, Purse::Api, 20);
    budget.answered(2, Purse::Api, Some(&Limits::default()), 30);
    budget.limited(Some(Purse::Api), Some(3_000), 30);
    assert_eq!(budget.room(Purse::Api, 3_000), Room::At(3_030));
    assert_eq!(budget.room(Purse::Api, 3_030), Room::Now(1));
    budget.spend(3, Purse::Api, 3_030);
    assert_eq!(budget.room(Purse::Api, 3_030), Room::AfterAnswer);
    budget.answered(3, Purse::Api, Some(&told(100, 97)), 3_040);
    let room = budget.room(Purse::Api, 3_040);
    assert!(matches!(room, Room::Now(free) if free > 1), "{room:?}");
}

#[test]
fn a_429_whose_time_is_past_already_is_asked_about_at_once() {
    for period in [Period::Auto, Period::Minute, Period::Hour] {
        let mut budget = fresh(period);
        budget.spend(1, Purse::Api, 0);
        budget.answered(1, Purse::Api, Some(&told(100, 99)), 10);
        budget.spend(2, Purse::Api, 20);
        budget.answered(2, Purse::Api, Some(&told(100, 98)), 30);
        budget.limited(Some(Purse::Api), Some(0), 30);
        assert_eq!(budget.room(Purse::Api, 30), Room::Now(1));
        assert_eq!(budget.room(Purse::Api, 40), Room::Now(1));
    }
}

#[test]
fn a_429_without_headers_stops_all_for_longer_each_time() {
    let mut budget = fresh(Period::Minute);
    let mut now = 0;
    for expected in [
        5_000, 10_000, 20_000, 40_000, 80_000, 160_000, 300_000, 300_000,
    ] {
        budget.limited(None, None, now);
        for purse in [Purse::Api, Purse::Bulk] {
            assert_eq!(budget.room(purse, now), Room::At(now + expected));
        }
        now += expected;
    }
    budget.fine(Purse::Api);
    budget.limited(Some(Purse::Api), None, now);
    assert_eq!(budget.room(Purse::Api, now), Room::At(now + 5_000));
}

#[test]
fn a_clock_that_was_set_back_freezes_nothing_for_longer_than_meant() {
    let mut budget = fresh(Period::Minute);
    let then = 1_000_000_000_000;
    budget.limited(None, Some(120_000), then);
    let spent: Vec<_> = (0..50).map(|id| (id, Purse::Api, then)).collect();
    let mut kept = budget.kept();
    kept.answered = true;
    kept.api.limit = Some(100);
    let now = then - 14 * 86_400_000;
    let again = Budget::new(part(0.5, Period::Minute), kept, &spent, now);
    assert_eq!(again.room(Purse::Api, now), Room::At(now + 120_000));
    assert_eq!(again.room(Purse::Api, now + 120_000), Room::Now(8));
}

#[test]
fn calls_that_another_process_made_count_once() {
    let mut budget = fresh(Period::Minute);
    budget.spend(1, Purse::Api, 0);
    budget.answered(1, Purse::Api, Some(&told(100, 99)), 10);
    let all = [
        (1, Purse::Api, 10),
        (2, Purse::Api, 15),
        (3, Purse::Api, 16),
    ];
    budget.others(&all, 20);
    budget.others(&all, 20);
    assert_eq!(budget.used(Purse::Api, 20), 3);
}

#[test]
fn spent_calls_outlive_a_restart() {
    let kept = Kept {
        answered: true,
        api: Account {
            limit: Some(100),
            ..Account::default()
        },
        ..Kept::default()
    };
    let spent: Vec<_> = (0..50).map(|id| (id, Purse::Api, id * 100)).collect();
    let budget = Budget::new(part(0.5, Period::Minute), kept, &spent, 5_000);
    assert_eq!(
        budget.room(Purse::Api, 5_000),
        Room::At(MINUTE_MS + MARGIN_MS)
    );
}

/// A remote with a fixed or sliding period, the tills beside us.
struct World {
    limit: u64,
    period_ms: i64,
    sliding: bool,
    calls: Vec<(i64, bool)>,
    refused_ours: usize,
    refused_any: usize,
}

impl World {
    fn new(limit: u64, period_ms: i64, sliding: bool) -> World {
        World {
            limit,
            period_ms,
            sliding,
            calls: Vec::new(),
            refused_ours: 0,
            refused_any: 0,
        }
    }

    fn used(&self, now: i64) -> u64 {
        let from = if self.sliding {
            now - self.period_ms
        } else {
            now - now.rem_euclid(self.period_ms) - 1
        };
        self.calls
            .iter()
            .rev()
            .take_while(|(at, _)| *at > from)
            .count() as u64
    }

    fn call(&mut self, now: i64, ours: bool) -> Option<Limits> {
        if self.used(now) >= self.limit {
            self.refused_any += 1;
            self.refused_ours += usize::from(ours);
            return None;
        }
        self.calls.push((now, ours));
        Some(told(self.limit, self.limit - self.used(now)))
    }
}

struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % n
    }
}

/// Delivery with endless work for `hours`, tills that take their part at random instants. Returns what
/// part of our share was used after the first period, calls refused, and the most in any sliding period.
fn simulate(
    seed: u64,
    limit: u64,
    period_ms: i64,
    sliding: bool,
    periods: i64,
) -> (f64, usize, u64) {
    simulate_with(seed, limit, period_ms, sliding, periods, &Events::default())
}

/// What happens under way.
#[derive(Default)]
struct Events {
    /// From that period on the limit is another; the tills take their half of it.
    limits: Vec<(i64, u64)>,
    /// The process ends and begins again after so many calls.
    restart_every: Option<i64>,
}

fn simulate_with(
    seed: u64,
    limit: u64,
    period_ms: i64,
    sliding: bool,
    periods: i64,
    events: &Events,
) -> (f64, usize, u64) {
    let limit_at = |at: i64| {
        let held = events
            .limits
            .iter()
            .rev()
            .find(|(from, _)| from * period_ms <= at);
        held.map_or(limit, |(_, limit)| *limit)
    };
    let mut random = Random(seed);
    let mut world = World::new(limit, period_ms, sliding);
    let mut budget = fresh(Period::Auto);
    let end = periods * period_ms;
    // Each period's till calls at random instants; for a sliding remote one each, evenly, with jitter.
    let mut tills: Vec<i64> = Vec::new();
    for start in (0..end).step_by(period_ms as usize) {
        let theirs = limit_at(start) / 2;
        let step = period_ms / theirs as i64;
        for n in 0..theirs as i64 {
            tills.push(if sliding {
                start + n * step
            } else {
                start + random.below(period_ms as u64) as i64
            });
        }
    }
    tills.sort_unstable();
    let mut tills = tills.into_iter().peekable();
    // In the air: id, when it reaches the remote, when its answer is here.
    let mut air: Vec<(i64, i64, i64, Option<Limits>, bool)> = Vec::new();
    let (mut now, mut id) = (
        period_ms + random.below(period_ms as u64 * 9 / 10) as i64,
        0,
    );
    let mut sent: Vec<i64> = Vec::new();
    let begun = now;
    while now < end {
        world.limit = limit_at(now);
        match budget.room(Purse::Api, now) {
            Room::Now(n) => {
                for _ in 0..n {
                    id += 1;
                    if events.restart_every.is_some_and(|every| id % every == 0) {
                        // The answers of what is in the air are lost with the process.
                        let known: Vec<_> = (budget.spent.iter())
                            .map(|s| (s.id, s.purse, s.at))
                            .collect();
                        budget = Budget::new(budget.part.clone(), budget.kept(), &known, now);
                    }
                    budget.spend(id, Purse::Api, now);
                    let arrives = now + 1 + random.below(60) as i64;
                    air.push((
                        id,
                        arrives,
                        arrives + 1 + random.below(60) as i64,
                        None,
                        false,
                    ));
                }
            }
            room => {
                let wake = match room {
                    Room::At(at) => at,
                    _ => i64::MAX,
                };
                let event = air
                    .iter()
                    .map(|c| if c.4 { c.2 } else { c.1 })
                    .chain(tills.peek().copied())
                    .chain([wake])
                    .min()
                    .unwrap();
                assert!(event < i64::MAX, "nothing would ever happen");
                now = now.max(event);
                while let Some(at) = tills.next_if(|at| *at <= now) {
                    world.call(at, false);
                }
                for call in air.iter_mut().filter(|c| !c.4 && c.1 <= now) {
                    call.3 = world.call(now, true);
                    call.4 = true;
                    sent.push(now);
                }
                for call in air.extract_if(.., |c| c.4 && c.2 <= now) {
                    match &call.3 {
                        Some(limits) => budget.answered(call.0, Purse::Api, Some(limits), now),
                        None => {
                            budget.answered(call.0, Purse::Api, None, now);
                            budget.limited(None, None, now);
                        }
                    }
                }
            }
        }
    }
    let most = (0..sent.len())
        .map(|n| {
            sent[n..]
                .iter()
                .take_while(|at| **at < sent[n] + period_ms)
                .count()
        })
        .max()
        .unwrap_or(0) as u64;
    let from = begun + period_ms;
    let used = sent.iter().filter(|at| **at >= from).count() as f64;
    let mut ours = 0.0;
    for start in (0..end).step_by(period_ms as usize) {
        let part = (start + period_ms - from.max(start)).max(0) as f64 / period_ms as f64;
        ours += (limit_at(start) / 2) as f64 * part;
    }
    (used / ours, world.refused_any, most)
}

#[test]
fn beside_random_tills_the_share_is_used_and_never_exceeded() {
    for seed in 0..4 {
        for (limit, sliding) in [(100, false), (100, true), (40, false)] {
            let (part, refused, most) = simulate(seed, limit, MINUTE_MS, sliding, 20);
            assert!(
                most <= limit / 2,
                "seed {seed} limit {limit}: {most} in a period"
            );
            assert_eq!(refused, 0, "seed {seed} limit {limit} {sliding}");
            assert!(
                part >= 0.95,
                "seed {seed} limit {limit} {sliding}: used {part}"
            );
        }
    }
}

#[test]
fn a_limit_by_the_hour_is_found_out_without_going_over_it() {
    for seed in 0..6 {
        let (part, refused, most) = simulate(seed, 100, HOUR_MS, false, 6);
        assert!(most <= 50, "seed {seed}: {most} in an hour");
        assert_eq!(refused, 0, "seed {seed}");
        assert!(part >= 0.9, "seed {seed}: used {part}");
    }
}

/// An hour beside tills that take their half at random instants.
#[track_caller]
fn hours(seeds: u64, least: f64, events: impl Fn(u64) -> Events) {
    let mut lowest = (1.0, 0);
    for seed in 0..seeds {
        let (part, refused, _) = simulate_with(seed, 100, MINUTE_MS, false, 62, &events(seed));
        assert_eq!(refused, 0, "seed {seed}");
        if part < lowest.0 {
            lowest = (part, seed);
        }
    }
    assert!(lowest.0 >= least, "seed {}: used {}", lowest.1, lowest.0);
}

fn restarts(seed: u64) -> Events {
    Events {
        restart_every: Some(500 + (seed % 500) as i64),
        ..Events::default()
    }
}

fn other_limits(seed: u64) -> Events {
    Events {
        limits: vec![
            (10 + (seed % 20) as i64, 60),
            (40 + (seed % 15) as i64, 200),
        ],
        ..Events::default()
    }
}

/// Simulated hours of each sort: `TILLSYNC_SEEDS` of them, else a few.
fn seeds() -> u64 {
    let told = std::env::var("TILLSYNC_SEEDS").ok();
    told.and_then(|n| n.parse().ok()).unwrap_or(20)
}

#[test]
fn an_hour_beside_random_tills_uses_the_share_and_causes_no_429() {
    hours(seeds(), 0.98, |_| Events::default());
}

#[test]
fn an_hour_with_restarts_uses_the_share_and_causes_no_429() {
    hours(seeds(), 0.98, restarts);
}

#[test]
fn an_hour_in_which_the_limit_changes_uses_the_share_and_causes_no_429() {
    hours(seeds(), 0.98, other_limits);
}

#[test]
fn an_hour_with_restarts_in_which_the_limit_changes_uses_the_share_and_causes_no_429() {
    hours(seeds(), 0.98, |seed| Events {
        limits: other_limits(seed).limits,
        ..restarts(seed)
    });
}

/// Hours in which a call is wanted now and then, beside tills that take their half. Returns the longest
/// that one had to wait, the most in a period as the remote counts it, and what was learnt of it.
fn now_and_then(seed: u64, every_ms: i64, period_ms: i64, sliding: bool) -> (i64, u64, Refills) {
    let (limit, mut random) = (100, Random(seed));
    let mut world = World::new(limit, period_ms, sliding);
    let mut budget = fresh(Period::Auto);
    let (mut sent, mut longest) = (Vec::new(), 0);
    let mut wanted = random.below(period_ms as u64) as i64;
    let mut till = 0;
    for id in 0..400 {
        wanted += 1 + random.below(2 * every_ms as u64) as i64;
        let mut now = wanted;
        while let Room::At(at) = budget.room(Purse::Api, now) {
            now = at;
        }
        assert!(
            matches!(budget.room(Purse::Api, now), Room::Now(_)),
            "seed {seed}"
        );
        while till < now {
            world.call(till, false);
            till += period_ms / 50;
        }
        longest = longest.max(now - wanted);
        budget.spend(id, Purse::Api, now);
        let limits = world.call(now + 20, true);
        assert!(limits.is_some(), "seed {seed}: a 429");
        sent.push(now + 20);
        budget.answered(id, Purse::Api, limits.as_ref(), now + 40);
        wanted = wanted.max(now);
    }
    let in_period = |at: &i64| {
        let from = match sliding {
            true => *at,
            false => at - at.rem_euclid(period_ms),
        };
        let period = from..from + period_ms;
        sent.iter().filter(|at| period.contains(at)).count() as u64
    };
    let most = sent.iter().map(in_period).max().unwrap();
    (longest, most, budget.account(Purse::Api).refills)
}

#[test]
fn who_calls_now_and_then_is_not_held_up_for_an_hour() {
    for seed in 0..30 {
        for every_ms in [20_000, 50_000, 120_000, 300_000, 700_000] {
            let (longest, most, _) = now_and_then(seed, every_ms, MINUTE_MS, false);
            assert!(
                longest <= 2 * MINUTE_MS,
                "seed {seed}, every {every_ms}: one waited {longest} ms"
            );
            assert!(most <= 50);
        }
    }
}

#[test]
fn who_calls_now_and_then_keeps_to_a_limit_by_the_hour() {
    for seed in 0..30 {
        for every_ms in [20_000, 50_000, 120_000, 300_000, 700_000] {
            for sliding in [false, true] {
                let (_, most, refills) = now_and_then(seed, every_ms, HOUR_MS, sliding);
                let case = format!("seed {seed}, every {every_ms}, sliding: {sliding}");
                assert!(most <= 50, "{case}: {most} in an hour");
                assert_ne!(refills, Refills::Minutely, "{case}");
            }
        }
    }
}
