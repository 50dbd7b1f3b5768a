//! Limits, tills beside us, pauses, clocks.

use super::world::{World, text};
use super::*;
use crate::config::Bulk;
use crate::kind::Kind;
use crate::standin::{Headers, Limit, Period as RemotePeriod};

/// The most calls of ours in any period, by their arrival.
fn most_in_a_period(world: &World, period_ms: i64) -> usize {
    let at: Vec<i64> = world.arrivals().iter().map(|a| a.at_ms).collect();
    (0..at.len())
        .map(|n| {
            at[n..]
                .iter()
                .take_while(|t| **t < at[n] + period_ms)
                .count()
        })
        .max()
        .unwrap_or(0)
}

fn refused(world: &World) -> usize {
    world.arrivals().iter().filter(|a| a.status == 429).count()
}

#[tokio::test(start_paused = true)]
async fn the_share_holds_over_restarts() {
    let mut world = World::new();
    world.settings.api.bulk = Bulk::Never;
    world.remote.lock().unwrap().settings_mut().limit.calls = 100;
    world.customers(200, "Ann");
    for _ in 0..8 {
        world.killed_after(37_000).await;
    }
    assert!(most_in_a_period(&world, 60_000) <= 50);
    assert_eq!(refused(&world), 0);
    assert_eq!(world.sync(3_600).await, Outcome::Delivered);
    assert!(most_in_a_period(&world, 60_000) <= 50);
}

#[tokio::test(start_paused = true)]
async fn a_limit_by_the_hour_is_kept() {
    let mut world = World::new();
    world.settings.api.bulk = Bulk::Never;
    world.remote.lock().unwrap().settings_mut().limit = Limit {
        calls: 100,
        period: RemotePeriod::Hour,
        ..Limit::default()
    };
    world.customers(120, "Ann");
    tokio::time::sleep(Duration::from_secs(1_300)).await;
    assert_eq!(world.sync(4 * 3_600).await, Outcome::Delivered);
    assert!(most_in_a_period(&world, 3_600_000) <= 50);
    assert_eq!(refused(&world), 0);
}

#[tokio::test(start_paused = true)]
async fn absurd_and_absent_headers_do_no_harm() {
    for headers in [Headers::None, Headers::Absurd] {
        let mut world = World::new();
        world.settings.api.bulk = Bulk::Never;
        world.remote.lock().unwrap().settings_mut().headers = headers;
        world.customers(60, "Ann");
        assert_eq!(world.sync(600).await, Outcome::Delivered);
        assert_eq!(world.calls().len(), 60);
    }
}

#[tokio::test(start_paused = true)]
async fn a_429_without_headers_makes_the_whole_link_wait() {
    let mut world = World::new();
    world.faults(r#"{"faults":[{"count":2,"status":429,"body":{"code":429,"message":"slow"}}]}"#);
    world.customers(1, "Ann");
    let begun = world.clock.steady();
    world.daemon(60).await;
    let at: Vec<i64> = world.arrivals().iter().map(|a| a.at_ms - begun).collect();
    assert_eq!(at.len(), 3);
    assert!(at[1] - at[0] >= 5_000 && at[2] - at[1] >= 10_000, "{at:?}");
    assert_eq!(world.pending(), 0);
}

#[tokio::test(start_paused = true)]
async fn sync_without_a_time_gives_up_once_the_remote_was_away_for_ten_minutes_on_end() {
    let mut world = World::new();
    world.faults(r#"{"faults":[{"always":true,"status":503,"body":{"code":503}}]}"#);
    world.customers(1, "Ann");
    let begun = tokio::time::Instant::now();
    let outcome = world.sync_within(None).await;
    assert!(matches!(outcome, Outcome::Pending { .. }), "{outcome:?}");
    let minutes = begun.elapsed().as_secs() / 60;
    // It is seen at a probe.
    assert!((10..=15).contains(&minutes), "{minutes}");
    // A limit is waited for.
    world.faults(r#"{"faults":[{"status":429,"headers":{"Retry-After":"1500"},"body":{"code":429,"message":"x"}}]}"#);
    assert_eq!(world.sync_within(None).await, Outcome::Delivered);
}

#[tokio::test(start_paused = true)]
async fn a_used_up_cycle_is_waited_for_and_survives_a_restart() {
    let mut world = World::new();
    world.faults(
        r#"{"faults":[{"status":429,"headers":{"Retry-After":"86400","X-Rate-Limit-Type":"api_calls_cycle"},"body":{"code":429,"message":"x"}}]}"#,
    );
    world.customers(1, "Ann");
    for _ in 0..5 {
        world.daemon(3_600).await;
    }
    assert_eq!(world.calls().len(), 1);
    assert!(matches!(world.sync(60).await, Outcome::Pending { .. }));
    assert_eq!(world.calls().len(), 1);
    world.daemon(86_400).await;
    assert_eq!(world.pending(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_was_set_back_or_ahead_freezes_nothing() {
    for jump in [-14 * 86_400_000_i64, 10 * 365 * 86_400_000] {
        let mut world = World::new();
        world.faults(r#"{"faults":[{"count":6,"then":"reset"}]}"#);
        world.customers(1, "Ann");
        world.killed_after(2_000).await;
        *world.clock.set_ms.lock().unwrap() = jump;
        world.daemon(900).await;
        assert_eq!(world.pending(), 0, "over a restart");

        let mut world = World::new();
        world.faults(r#"{"faults":[{"count":6,"then":"reset"}]}"#);
        world.customers(1, "Ann");
        let clock = world.clock.clone();
        let set = async move {
            tokio::time::sleep(Duration::from_secs(2)).await;
            *clock.set_ms.lock().unwrap() = jump;
        };
        tokio::join!(world.daemon(900), set);
        assert_eq!(world.pending(), 0, "while it ran");

        let mut world = World::new();
        world.faults(r#"{"jobs":{"forget":1}}"#);
        world.customers(50, "Ann");
        world.killed_after(450).await;
        assert_eq!(world.writes(), ["POST /v1/customers/bulk/async"]);
        world.faults("{}");
        *world.clock.set_ms.lock().unwrap() = jump;
        world.daemon(900).await;
        assert_eq!(world.pending(), 0, "with a job that was lost");
    }
}

#[tokio::test(start_paused = true)]
async fn a_pause_stops_delivery_until_it_ends() {
    let mut world = World::new();
    let until = world.clock.wall() + 3_600_000;
    world
        .store
        .pause(None, crate::store::meta::Pause::Until(until))
        .unwrap();
    world.customers(1, "Ann");
    world.daemon(3_000).await;
    assert_eq!(world.calls().len(), 0);
    world.daemon(1_000).await;
    assert_eq!(world.pending(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_way_that_breaks_off_gets_smaller_bodies() {
    let mut world = World::new();
    world.faults(
        r#"{"faults":[{"match":"POST /v1/customers/bulk/async","count":4,"then":"hang"}]}"#,
    );
    let keys: Vec<String> = (0..3_000).map(|i| format!("K{i}")).collect();
    let records: Vec<_> = keys
        .iter()
        .map(|key| (key.as_str(), vec![("description", text(&"x".repeat(500)))]))
        .collect();
    world.drop_file(Kind::Customers, &records);
    world.daemon(3_600).await;
    assert_eq!(world.pending(), 0);
    assert_eq!(world.remote.lock().unwrap().count("customers"), 3_000);
}

#[tokio::test(start_paused = true)]
async fn sync_ends_when_nothing_can_be_sent_in_time() {
    let mut world = World::new();
    world.faults(r#"{"faults":[{"always":true,"then":"reset"}]}"#);
    world.customers(1, "Ann");
    let begun = world.clock.steady();
    let Outcome::Pending { reason } = world.sync(120).await else {
        panic!("not pending");
    };
    assert!(reason.is_some());
    assert!(world.clock.steady() - begun <= 125_000);
}

#[tokio::test(start_paused = true)]
async fn another_app_id_of_the_same_project_goes_on() {
    let mut world = World::new();
    world.customers(3, "Ann");
    world.sync(60).await;
    *world.project.lock().unwrap() = "two".into();
    world.customers(3, "Bea");
    assert_eq!(world.sync(60).await, Outcome::Delivered);
    assert_eq!(world.object("customers", "C1")["name"], "Bea");
    world.judge();
}

#[tokio::test(start_paused = true)]
async fn another_project_gets_nothing_until_rebind() {
    let mut world = World::new();
    world.customers(3, "Ann");
    world.sync(60).await;
    *world.project.lock().unwrap() = "two".into();
    world.remote.lock().unwrap().reset();
    world.customers(3, "Bea");
    let Outcome::Refused { reason } = world.sync(60).await else {
        panic!("not refused");
    };
    assert!(reason.contains("tillsync rebind"));
    world.daemon(3_600).await;
    assert_eq!(world.writes(), Vec::<String>::new());
    assert_eq!(world.calls().len(), 1);
    // The former credentials are back.
    *world.project.lock().unwrap() = "one".into();
    assert_eq!(world.sync(60).await, Outcome::Delivered);
    assert_eq!(world.writes().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn what_the_project_allows_in_metadata_is_asked_daily() {
    let mut world = World::new();
    {
        let mut remote = world.remote.lock().unwrap();
        let customer = serde_json::from_str(
            r#"{"properties":{"points":{"type":"number","array":false,"optional":true}}}"#,
        );
        remote
            .settings_mut()
            .metadata
            .insert("customer".into(), customer.unwrap());
    }
    world.daemon(2 * 86_400 + 60).await;
    assert_eq!(world.calls(), ["GET /v1/metadata-schemas"; 2]);
    let reader = world.store.reader().unwrap();
    let (types, _) = crate::store::meta::metadata_types(&reader)
        .unwrap()
        .unwrap();
    assert!(types.resources["customer"].contains_key("points"));
    world.judge();
}

#[tokio::test(start_paused = true)]
async fn a_long_job_is_asked_for_less_than_once_in_ten_seconds() {
    let mut world = World::new();
    world.faults(include_str!(
        "../../../tests/samples/traps/api/job-stuck.json"
    ));
    world.customers(500, "Ann");
    world.daemon(600).await;
    let polls = world
        .calls()
        .iter()
        .filter(|c| c.contains("async-actions"))
        .count();
    assert!((10..60).contains(&polls), "{polls}");
}

#[tokio::test(start_paused = true)]
async fn the_share_holds_over_a_clock_that_is_set_and_a_restart() {
    for jump in [-86_400_000_i64, -40_000, 40_000, 86_400_000] {
        let mut world = World::new();
        world.settings.api.bulk = Bulk::Never;
        world.remote.lock().unwrap().settings_mut().limit.calls = 100;
        world.customers(30, "Ann");
        let clock = world.clock.clone();
        let set = async move {
            tokio::time::sleep(Duration::from_secs(3)).await;
            *clock.set_ms.lock().unwrap() = jump;
        };
        tokio::join!(world.killed_after(8_000), set);
        world.customers(60, "Bob");
        world.daemon(40).await;
        assert!(most_in_a_period(&world, 60_000) <= 50, "by {jump}");
        assert!(most_in_a_period(&world, 60_000) > 40, "by {jump}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_clock_set_back_while_a_call_is_in_the_air_holds_up_nothing() {
    let mut world = World::new();
    world.settings.api.bulk = Bulk::Never;
    world.faults(r#"{"faults":[{"match":"POST /v1/customers","count":1,"then":"slow 40000"}]}"#);
    world.customers(1, "Ann");
    let set_back = |world: &mut World| {
        *world.clock.set_ms.lock().unwrap() = -86_400_000;
        world.customers(1, "Bob");
    };
    world.daemon_meanwhile(300, 20, set_back).await;
    assert_eq!(world.pending(), 0);
}
