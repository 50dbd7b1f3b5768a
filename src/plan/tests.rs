use super::*;
use crate::budget::{Account, Kept, Part};
use crate::config::Period;
use crate::verdict::LinkNews;

fn budget(limit: Option<u64>, spent: u64) -> Budget {
    let part = Part {
        share: 0.5,
        stores: 1,
        period: Period::Minute,
    };
    let account = Account {
        limit,
        ..Account::default()
    };
    let kept = Kept {
        api: account.clone(),
        bulk: Account {
            limit,
            ..Account::default()
        },
        answered: true,
    };
    let spent: Vec<_> = (0..spent as i64).map(|id| (id, Purse::Api, 0)).collect();
    Budget::new(part, kept, &spent, 0)
}

fn queue(kind: Kind, upserts: usize) -> Queue {
    Queue {
        kind,
        upserts,
        singles: 0,
        imports: 0,
        csv: 0,
        bodies: Vec::new(),
        bound: false,
        jobs_open: 0,
        held: 0,
        line: false,
        next: None,
    }
}

struct Case {
    link: Link,
    budget: Budget,
    queues: Vec<Queue>,
    jobs: Vec<OpenJob>,
    paused_until: Option<i64>,
    in_air: usize,
    body_in_air: bool,
    bulk: Bulk,
    listing: Listing,
}

fn case(queues: Vec<Queue>) -> Case {
    Case {
        link: Link::default(),
        budget: budget(None, 0),
        queues,
        jobs: Vec::new(),
        paused_until: None,
        in_air: 0,
        body_in_air: false,
        bulk: Bulk::Auto,
        listing: Listing::Step(0),
    }
}

#[track_caller]
fn check(case: &Case, expected: Next) {
    let look = Outlook {
        link: &case.link,
        budget: &case.budget,
        paused_until: case.paused_until,
        queues: &case.queues,
        jobs: &case.jobs,
        in_air: case.in_air,
        body_in_air: case.body_in_air,
        bulk: case.bulk,
        schemas: None,
        listing: case.listing,
        line: Some(2_000),
    };
    assert_eq!(next(&look, 1_000), expected);
}

fn singles(kind: Kind, most: usize) -> Next {
    Next::Singles {
        kind,
        most,
        upserts: true,
        spare: false,
    }
}

fn body(kind: Kind, channel: Channel, body: Option<i64>) -> Next {
    Next::Body {
        kind,
        channel,
        body,
    }
}

#[test]
fn nothing_to_do_is_idle_or_asleep() {
    check(&case(vec![]), Next::Idle);
    let mut later = queue(Kind::Customers, 0);
    later.next = Some(5_000);
    check(&case(vec![later]), Next::SleepUntil(5_000));
}

#[test]
fn the_first_kind_that_can_go_goes() {
    check(
        &case(vec![
            queue(Kind::Products, 0),
            queue(Kind::Skus, 3),
            queue(Kind::Customers, 5),
        ]),
        singles(Kind::Skus, 3),
    );
    check(
        &case(vec![queue(Kind::Products, 2), queue(Kind::Skus, 3)]),
        singles(Kind::Products, 2),
    );
}

#[test]
fn from_eleven_on_customers_and_products_go_by_bulk() {
    for kind in [Kind::Customers, Kind::Products] {
        check(&case(vec![queue(kind, 10)]), singles(kind, 8));
        check(
            &case(vec![queue(kind, 11)]),
            body(kind, Channel::Bulk, None),
        );
        let mut never = case(vec![queue(kind, 11)]);
        never.bulk = Bulk::Never;
        check(&never, singles(kind, 8));
        let mut always = case(vec![queue(kind, 1)]);
        always.bulk = Bulk::Always;
        check(&always, body(kind, Channel::Bulk, None));
    }
    check(&case(vec![queue(Kind::Skus, 11)]), singles(Kind::Skus, 8));
    check(
        &case(vec![queue(Kind::Orders, 11)]),
        singles(Kind::Orders, 8),
    );
}

#[test]
fn a_kind_whose_bulk_body_may_still_be_worked_off_goes_by_bulk_alone() {
    let mut bound = queue(Kind::Customers, 1);
    bound.bound = true;
    let mut case = case(vec![bound]);
    case.bulk = Bulk::Never;
    check(&case, body(Kind::Customers, Channel::Bulk, None));
}

#[test]
fn one_body_is_built_at_a_time_and_others_need_not_wait_for_it() {
    let mut case = case(vec![queue(Kind::Products, 50), queue(Kind::Skus, 1)]);
    case.body_in_air = true;
    case.in_air = 1;
    check(&case, singles(Kind::Skus, 1));
    case.in_air = 8;
    check(&case, Next::Idle);
}

#[test]
fn halves_of_a_refused_body_go_first() {
    let mut halves = queue(Kind::Customers, 50);
    halves.bodies = vec![(14, 20), (15, 20)];
    check(
        &case(vec![halves]),
        body(Kind::Customers, Channel::Bulk, Some(14)),
    );
}

#[test]
fn history_is_imported_one_body_at_a_time() {
    let mut history = queue(Kind::Orders, 2);
    history.imports = 3_000;
    let mut case = case(vec![history]);
    check(&case, body(Kind::Orders, Channel::Import, None));
    case.queues[0].jobs_open = 1;
    check(&case, singles(Kind::Orders, 2));
}

#[test]
fn a_body_waits_for_those_whose_parents_are_about_to_come() {
    let mut history = queue(Kind::Orders, 0);
    history.imports = 30;
    history.held = 1;
    let mut case = case(vec![history]);
    check(&case, body(Kind::Orders, Channel::Import, None));
    case.in_air = 1;
    check(&case, Next::Idle);
    case.in_air = 0;
    case.jobs = vec![OpenJob {
        flight: 1,
        next_poll: 3_000,
        asked: false,
    }];
    check(&case, Next::SleepUntil(3_000));
    // It takes long.
    case.jobs[0].next_poll = 50_000;
    check(&case, body(Kind::Orders, Channel::Import, None));
}

#[test]
fn deletions_go_singly_while_many_go_by_bulk() {
    let mut queue = queue(Kind::Customers, 50);
    queue.singles = 3;
    queue.jobs_open = JOBS_OPEN_MAX;
    check(
        &case(vec![queue]),
        Next::Singles {
            kind: Kind::Customers,
            most: 3,
            upserts: false,
            spare: false,
        },
    );
}

#[test]
fn a_job_is_asked_for_when_its_time_has_come() {
    let mut case = case(vec![queue(Kind::Customers, 1)]);
    case.jobs = vec![
        OpenJob {
            flight: 1,
            next_poll: 900,
            asked: true,
        },
        OpenJob {
            flight: 2,
            next_poll: 900,
            asked: false,
        },
        OpenJob {
            flight: 3,
            next_poll: 9_000,
            asked: false,
        },
    ];
    check(&case, Next::Poll { flight: 2 });
    case.jobs.remove(1);
    check(&case, singles(Kind::Customers, 1));
    case.queues.clear();
    check(&case, Next::SleepUntil(9_000));
}

#[test]
fn anything_but_up_sends_nothing_but_a_probe() {
    let mut case = case(vec![queue(Kind::Customers, 5)]);
    let away = LinkNews::Away { reason: "x".into() };
    case.link.learn(&away, true, 0.999_999, 500);
    check(&case, Next::SleepUntil(case.link.next_probe().unwrap()));
    case.link.probe_now(900);
    check(&case, Next::Probe);
    case.in_air = 1;
    check(&case, Next::Idle);
    // After a failure one call at a time, until one went well.
    case.link.learn(&LinkNews::Fine, false, 0.5, 900);
    case.in_air = 0;
    check(&case, singles(Kind::Customers, 1));
    case.in_air = 1;
    check(&case, Next::Idle);
}

#[test]
fn a_spent_budget_and_a_pause_are_waited_for() {
    let mut case = case(vec![queue(Kind::Customers, 5)]);
    case.budget = budget(Some(100), 50);
    check(&case, Next::SleepUntil(60_100));
    case.budget = budget(Some(100), 48);
    check(&case, singles(Kind::Customers, 2));
    case.paused_until = Some(7_000);
    check(&case, Next::SleepUntil(7_000));
    case.paused_until = Some(i64::MAX);
    check(&case, Next::Idle);
}

#[test]
fn many_new_skus_go_by_csv_once_the_remote_is_known_not_to_have_them() {
    let mut skus = queue(Kind::Skus, 2);
    skus.csv = SKUS_SINGLE_MAX;
    let mut case = case(vec![skus]);
    check(&case, singles(Kind::Skus, 8));
    case.queues[0].csv += 1;
    check(&case, Next::Listing);
    // Others need not wait for it.
    let others = Next::Singles {
        kind: Kind::Skus,
        most: 2,
        upserts: true,
        spare: true,
    };
    case.listing = Listing::InAir;
    check(&case, others);
    case.listing = Listing::Step(5_000);
    check(&case, others);
    case.queues[0].upserts = 0;
    check(&case, Next::SleepUntil(5_000));
    case.listing = Listing::Known;
    check(&case, body(Kind::Skus, Channel::Csv, None));
    case.listing = Listing::Unusable;
    check(&case, singles(Kind::Skus, 8));
    (case.listing, case.bulk) = (Listing::Step(0), Bulk::Never);
    check(&case, singles(Kind::Skus, 8));
}

#[test]
fn the_line_of_jobs_is_asked_for_where_a_deletion_waits_for_it() {
    let mut case = case(vec![queue(Kind::Customers, 0)]);
    check(&case, Next::Idle);
    case.queues[0].line = true;
    check(&case, Next::SleepUntil(2_000));
    let look = Outlook {
        link: &case.link,
        budget: &case.budget,
        paused_until: None,
        queues: &case.queues,
        jobs: &[],
        in_air: 0,
        body_in_air: false,
        bulk: Bulk::Auto,
        schemas: None,
        listing: Listing::Step(0),
        line: Some(2_000),
    };
    assert_eq!(next(&look, 2_000), Next::Line);
}
