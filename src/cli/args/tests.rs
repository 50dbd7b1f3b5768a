//! What is understood, and what is a usage error.

use clap::CommandFactory;

use super::*;

#[track_caller]
fn parsed(line: &str) -> Cli {
    Cli::try_parse_from(line.split(' ')).unwrap_or_else(|error| panic!("{line}: {error}"))
}

#[track_caller]
fn refused(line: &str) {
    let error = Cli::try_parse_from(line.split(' ')).expect_err(line);
    assert_eq!(error.exit_code(), 2, "{line}: {error}");
}

#[test]
fn the_definitions_agree_with_each_other() {
    Cli::command().debug_assert();
}

#[test]
fn each_documented_line_is_understood() {
    for line in [
        "tillsync run",
        "tillsync sync --no-deliver --timeout 10m",
        "tillsync demo --once",
        "tillsync standin --listen 127.0.0.1:9000",
        "tillsync init",
        "tillsync login --stdin",
        "tillsync check --online --config x.toml",
        "tillsync plan a.csv b.csv",
        "tillsync plan a.csv --folder customers --format json",
        "tillsync plan a.csv --kind skus --preset auto",
        "tillsync import a.csv --folder customers",
        "tillsync import a.csv --kind customers",
        "tillsync status --format json",
        "tillsync todo",
        "tillsync files --kind orders --since 2d --limit 5 --format csv",
        "tillsync rejects --file 3",
        "tillsync changes --kind customers --key -",
        "tillsync pending",
        "tillsync parked",
        "tillsync requests --since 2026-11-24",
        "tillsync find jane",
        "tillsync accept 4",
        "tillsync retry customers C1",
        "tillsync retry customers -",
        "tillsync retry --kind customers",
        "tillsync retry --all",
        "tillsync discard --file 4",
        "tillsync discard --all --yes",
        "tillsync pause --for 2h",
        "tillsync pause --folder customers",
        "tillsync resume",
        "tillsync revert 4 --dry-run",
        "tillsync trace orders O1 --remote",
        "tillsync audit --kind customers --repair --unknown --yes",
        "tillsync forget customers C1 --yes",
        "tillsync forget customers --keys f.txt",
        "tillsync forget customers C1 --lift",
        "tillsync rebind --yes",
        "tillsync presets",
        "tillsync presets klaviyo",
        "tillsync presets --for a.csv",
        "tillsync backup /tmp/b.db",
        "tillsync restore /tmp/b.db",
        "tillsync completions bash",
        "tillsync man",
        "tillsync --config x.toml status",
    ] {
        parsed(line);
    }
}

#[test]
fn what_means_nothing_is_a_usage_error() {
    for line in [
        "tillsync nothing",
        "tillsync plan",
        "tillsync plan a.csv --folder x --kind skus",
        "tillsync import a.csv",
        "tillsync import a.csv --preset auto",
        "tillsync retry",
        "tillsync retry customers",
        "tillsync retry customers C1 --all",
        "tillsync discard --file 1 --all",
        "tillsync forget customers",
        "tillsync forget",
        "tillsync trace people C1",
        "tillsync sync --timeout 10",
        "tillsync files --since yesterday",
        "tillsync files --format xml",
        "tillsync accept first",
        "tillsync standin --listen here",
    ] {
        refused(line);
    }
}

#[test]
fn since_is_how_long_ago_or_when() {
    let zone = jiff::tz::TimeZone::get("Europe/Paris").unwrap();
    let now = 1_000_000_000_000;
    assert_eq!(since("2h").unwrap().resolve(now, &zone), now - 7_200_000);
    assert_eq!(since("1970-01-02").unwrap().resolve(now, &zone), 82_800_000);
    assert_eq!(
        since("1970-01-02T00:00:00Z").unwrap().resolve(now, &zone),
        86_400_000
    );
    assert_eq!(
        since("1970-01-02T02:00").unwrap().resolve(now, &zone),
        90_000_000
    );
}
