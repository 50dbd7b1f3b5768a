//! Once a minute: a point of the page's history, alerts, the heartbeat, systemd's STATUS line, and the
//! room that is kept for a full disk. Alerts that are to come sooner than that are looked for more often.
//!
//! On a thread of its own, so that an outlet that does not answer holds up nothing; it sleeps
//! between its looks. A look that fails (a full disk, a busy store) is left out: the next one sees
//! the same.

use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

use jiff::tz::TimeZone;

use super::alert::{self, HostOutlets, Memory, Outlets};
use super::beside::Beside;
use super::{current, systemd};
use crate::config::{self, Config};
use crate::health::Health;
use crate::page;
use crate::status::Status;
use crate::status::collect::{self, wall_clock};
use crate::status::facts::Daemon;
use crate::store::{self, Store};

/// No faster than folders are listed again: an idle daemon wakes up once a minute.
const EVERY: Duration = Duration::from_secs(60);

/// Nor faster than that, whatever `[alert]` asks for.
const EVERY_MIN: Duration = Duration::from_secs(1);

/// Between two looks: what lasts as long as `[alert]` says is not to begin and end unseen between them.
fn every(alert: &config::Alert) -> Duration {
    let set = !alert.command.is_empty() || alert.webhook.is_some();
    match set {
        true => (alert.after.min(alert.away_after)).clamp(EVERY_MIN, EVERY),
        false => EVERY,
    }
}

/// What it looks at.
pub struct Sources {
    pub config: Arc<RwLock<Arc<Config>>>,
    pub store: Store,
    pub health: Arc<Health>,
    pub daemon: Daemon,
    pub tz: TimeZone,
}

pub fn start(sources: Sources) -> std::io::Result<Beside> {
    Beside::start("tell", move |rest| {
        let mut heard = Heard::default();
        loop {
            let config = current(&sources.config);
            let mut outlets = HostOutlets::new(&config);
            if let Err(error) = look(&sources, &config, &mut outlets, &mut heard) {
                tracing::debug!(%error, "a look was left out");
            }
            if !rest.sleeps(every(&config.alert)) {
                return;
            }
        }
    })
}

/// What is remembered between two looks, and may be forgotten.
#[derive(Default)]
struct Heard {
    beat_failed: bool,
    /// The last time that what is done once a minute was done.
    minute: Option<Instant>,
}

impl Heard {
    fn is_a_minute_over(&mut self) -> bool {
        let over = self.minute.is_none_or(|minute| minute.elapsed() >= EVERY);
        if over {
            self.minute = Some(Instant::now());
        }
        over
    }
}

fn look(
    sources: &Sources,
    config: &Config,
    outlets: &mut impl Outlets,
    heard: &mut Heard,
) -> store::Result<()> {
    let now = wall_clock();
    let minutely = heard.is_a_minute_over();
    if minutely {
        sources.store.ballast().keep();
        let names: Vec<String> = config.folders.iter().map(|f| f.name.clone()).collect();
        sources.store.write(move |c| {
            store::status::know_folders(c, &names, now)?;
            store::status::take_sample(c, now)
        })?;
    }
    let reader = sources.store.reader()?;
    let status = collect::collect(
        config,
        Some(&reader),
        Some(sources.daemon),
        now,
        &sources.tz,
    )?;
    drop(reader);
    systemd::status(&format!(
        "{}. {}",
        status.headline.text, status.headline.detail
    ));
    tell(sources, config, &status, outlets)?;
    if minutely {
        beat(sources, config, &status, outlets, heard);
    }
    Ok(())
}

fn tell(
    sources: &Sources,
    config: &Config,
    status: &Status,
    outlets: &mut impl Outlets,
) -> store::Result<()> {
    let before = sources.store.text(alert::MEMORY)?;
    let mut memory = Memory::from_json(before.as_deref());
    alert::tell(
        &config.alert,
        &config.store,
        &status.todo,
        &mut memory,
        outlets,
        status.now,
    );
    let after = memory.to_json();
    if before.as_deref() != Some(&after) {
        sources.store.set_text(alert::MEMORY, &after)?;
    }
    Ok(())
}

fn beat(
    sources: &Sources,
    config: &Config,
    status: &Status,
    outlets: &mut impl Outlets,
    heard: &mut Heard,
) {
    let Some(url) = &config.alert.heartbeat else {
        return;
    };
    if !page::health_faults(status, &sources.health).is_empty() {
        return;
    }
    match outlets.post(url, &alert::heartbeat(status)) {
        Ok(()) => heard.beat_failed = false,
        // Offline is normal: said once.
        Err(reason) if !heard.beat_failed => {
            heard.beat_failed = true;
            tracing::info!(reason, "the heartbeat is not heard");
        }
        Err(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Folder;
    use crate::health::Pulse;
    use crate::kind::Kind;

    #[derive(Default)]
    struct Ear {
        alerts: Vec<String>,
        beats: usize,
    }

    impl Outlets for Ear {
        fn run(&mut self, _: &[String], json: &str) -> Result<(), String> {
            let alert: alert::Alert = serde_json::from_str(json).unwrap();
            self.alerts.push(format!("{} {}", alert.event, alert.kind));
            Ok(())
        }

        fn post(&mut self, _: &str, _: &str) -> Result<(), String> {
            self.beats += 1;
            Ok(())
        }
    }

    #[test]
    fn a_folder_that_is_gone_is_told_over_restarts_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("drop");
        let mut config = Config::with_defaults("s", dir.path());
        config.folders = vec![Folder::with_defaults("drop", &path, Kind::Orders)];
        config.alert.after = Duration::ZERO;
        config.alert.command = vec!["tell-it".to_owned()];
        config.alert.heartbeat = Some("http://127.0.0.1:1/".to_owned());
        config.retention.min_free = 0;
        let sources = Sources {
            config: Arc::new(RwLock::new(Arc::new(config.clone()))),
            store: Store::open(dir.path()).unwrap(),
            health: Arc::default(),
            daemon: Daemon {
                pid: 1,
                since: wall_clock(),
            },
            tz: TimeZone::UTC,
        };
        let mut ear = Ear::default();
        let once = |ear: &mut Ear| look(&sources, &config, ear, &mut Heard::default()).unwrap();
        once(&mut ear);
        once(&mut ear);
        assert_eq!(ear.alerts, ["begin folder"]);
        assert_eq!(ear.beats, 2);
        std::fs::create_dir(&path).unwrap();
        sources.health.watch("intake", || Pulse::Works(1));
        once(&mut ear);
        assert_eq!(ear.alerts, ["begin folder", "end folder"]);
        let samples = store::status::samples(&sources.store.reader().unwrap(), 0).unwrap();
        assert_eq!(samples.len(), 1);
        // Looks within a minute tell, and beat once.
        std::fs::remove_dir(&path).unwrap();
        let (mut heard, beats) = (Heard::default(), ear.beats);
        for _ in 0..3 {
            look(&sources, &config, &mut ear, &mut heard).unwrap();
        }
        assert_eq!(ear.alerts.last().unwrap(), "begin folder");
        assert_eq!(ear.beats, beats + 1);
    }

    #[test]
    fn alerts_that_are_to_come_sooner_than_in_a_minute_are_looked_for_more_often() {
        #[track_caller]
        fn check(after: u64, away_after: u64, expected: u64) {
            let mut alert = Config::with_defaults("s", Path::new("/")).alert;
            alert.after = Duration::from_secs(after);
            alert.away_after = Duration::from_secs(away_after);
            assert_eq!(every(&alert), EVERY, "nobody is told");
            alert.command = vec!["tell-it".to_owned()];
            assert_eq!(every(&alert), Duration::from_secs(expected));
        }
        check(600, 14_400, 60);
        check(10, 14_400, 10);
        check(600, 5, 5);
        check(0, 14_400, 1);
    }
}
