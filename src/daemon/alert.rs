//! Tells people outside: once when something needs a person, once when it is over; and a heartbeat
//! while all is healthy (INTERFACE.md, `[alert]`).
//!
//! What to say is decided purely, from the to-dos of one look and the memory of what was said
//! (`due`); the memory stands in the store, so that a restart says nothing twice. What an outlet did
//! not take is kept and summed up. An alert holds the words of a to-do, which hold no key and no cell.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::config::{self, Config};
use crate::status::Status;
use crate::status::words::{count, iso};
use crate::todo::Todo;

/// The name of the memory in the store's `meta`.
pub const MEMORY: &str = "alerts";

/// An outlet that does not take an alert within this is tried again later.
const WITHIN: Duration = Duration::from_secs(20);

/// Waits between tries at an outlet that fails: doubling from the first to the last.
const WAITS_MS: (i64, i64) = (60_000, 3_600_000);

/// Alerts that are kept for an outlet; of more, the oldest are summed up first.
const KEPT_MAX: usize = 50;

/// A heartbeat, while healthy.
pub const BEAT_EVERY_MS: i64 = 60_000;

/// What an outlet gets, as one JSON object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    pub store: String,
    /// `begin` or `end`.
    pub event: String,
    pub kind: String,
    /// ISO 8601, UTC.
    pub since: String,
    pub text: String,
    pub command: String,
    pub count: u64,
}

/// What was seen and said, by a to-do's key; and what is still to be said, by outlet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Memory {
    open: BTreeMap<String, Known>,
    command: Queue,
    webhook: Queue,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    kind: String,
    since: i64,
    text: String,
    command: String,
    count: u64,
    /// `begin` was said.
    said: bool,
}

/// What one outlet has not taken yet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Queue {
    alerts: Vec<Alert>,
    failures: u32,
    next_try: i64,
}

impl Memory {
    /// What another version wrote otherwise is as good as none: alerts are said once more.
    pub fn from_json(text: Option<&str>) -> Memory {
        text.and_then(|text| serde_json::from_str(text).ok())
            .unwrap_or_default()
    }

    /// What another memory holds is now known and queued here, too.
    pub fn take_over(&mut self, other: Memory) {
        self.open.extend(other.open);
        self.command.alerts.extend(other.command.alerts);
        self.webhook.alerts.extend(other.webhook.alerts);
    }

    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("texts and numbers have a JSON form")
    }
}

/// What the to-dos of this look make worth saying; `memory` then knows them. Pure but for `memory`.
/// `now` in UTC milliseconds. To-dos of one kind that become due together are one alert.
pub fn due(
    todos: &[Todo],
    memory: &mut Memory,
    store: &str,
    now: i64,
    after: Duration,
) -> Vec<Alert> {
    let after = i64::try_from(after.as_millis()).unwrap_or(i64::MAX);
    let gone: Vec<String> = memory
        .open
        .keys()
        .filter(|key| !todos.iter().any(|todo| todo.key() == **key))
        .cloned()
        .collect();
    let ended = gone.iter().filter_map(|key| memory.open.remove(key));
    let ended: Vec<Known> = ended.filter(|known| known.said).collect();
    let mut begun = Vec::new();
    for todo in todos {
        let known = memory.open.entry(todo.key()).or_insert_with(|| Known {
            kind: todo.kind.to_owned(),
            // A time ahead of us is of a clock that was wrong.
            since: todo.since.unwrap_or(now).min(now),
            text: String::new(),
            command: String::new(),
            count: 0,
            said: false,
        });
        known.text.clone_from(&todo.text);
        known.command.clone_from(&todo.command);
        known.count = todo.count;
        // The link's own patience is over when it becomes a to-do.
        let patience = if todo.kind == "away" { 0 } else { after };
        if !known.said && (now < known.since || now - known.since >= patience) {
            known.said = true;
            begun.push(known.clone());
        }
    }
    let mut alerts = together(store, "end", ended);
    alerts.extend(together(store, "begin", begun));
    alerts
}

/// One alert a kind.
fn together(store: &str, event: &str, all: Vec<Known>) -> Vec<Alert> {
    let mut by_kind: BTreeMap<String, Vec<Known>> = BTreeMap::new();
    for known in all {
        by_kind.entry(known.kind.clone()).or_default().push(known);
    }
    let one = |(kind, mut known): (String, Vec<Known>)| {
        known.sort_by_key(|k| k.since);
        let first = &known[0];
        let over = if event == "end" { "Over: " } else { "" };
        let more = match known.len() as u64 - 1 {
            0 => String::new(),
            n => format!("; and {} like it", count(n, "more", "more")),
        };
        Alert {
            store: store.to_owned(),
            event: event.to_owned(),
            kind,
            since: iso(first.since),
            text: format!("{over}{}{more}", first.text),
            command: first.command.clone(),
            count: known.iter().map(|k| k.count).sum(),
        }
    };
    by_kind.into_iter().map(one).collect()
}

/// The way out. A real one starts a program and speaks HTTP; a test's notes what it gets.
pub trait Outlets {
    /// One JSON object to the program's standard input. The error is for the log.
    fn run(&mut self, command: &[String], json: &str) -> Result<(), String>;
    fn post(&mut self, url: &str, json: &str) -> Result<(), String>;
}

/// Says what is due and what was kept, by every outlet that is set. Called at each look of the
/// daemon, once a minute and after changes; `memory` is written to the store by the caller if it changed.
pub fn tell(
    settings: &config::Alert,
    store: &str,
    todos: &[Todo],
    memory: &mut Memory,
    outlets: &mut impl Outlets,
    now: i64,
) {
    let new = due(todos, memory, store, now, settings.after);
    let command = &settings.command;
    let set = !command.is_empty();
    memory
        .command
        .tell(set, &new, now, |json| outlets.run(command, json), "command");
    let url = settings.webhook.as_deref().unwrap_or_default();
    memory.webhook.tell(
        !url.is_empty(),
        &new,
        now,
        |json| outlets.post(url, json),
        "webhook",
    );
}

impl Queue {
    fn tell(
        &mut self,
        is_set: bool,
        new: &[Alert],
        now: i64,
        mut send: impl FnMut(&str) -> Result<(), String>,
        name: &str,
    ) {
        if !is_set {
            *self = Queue::default();
            return;
        }
        self.alerts.extend_from_slice(new);
        if self.alerts.is_empty() {
            return;
        }
        // A wait further away than the longest one is of a clock that was wrong.
        let waits = self.next_try > now && self.next_try - now <= WAITS_MS.1;
        if waits {
            self.sum_up_if(self.alerts.len() > KEPT_MAX);
            return;
        }
        self.sum_up_if(self.failures > 0);
        while let Some(alert) = self.alerts.first() {
            let json = serde_json::to_string(alert).expect("texts and numbers have a JSON form");
            if let Err(reason) = send(&json) {
                if self.failures == 0 {
                    tracing::warn!(
                        outlet = name,
                        reason,
                        "an alert could not be delivered; it is kept, and tried again"
                    );
                }
                self.failures += 1;
                let wait = WAITS_MS.0 << (self.failures - 1).min(10);
                self.next_try = now + wait.min(WAITS_MS.1);
                return;
            }
            self.alerts.remove(0);
        }
        if self.failures > 0 {
            tracing::info!(outlet = name, "alerts are delivered again");
        }
        *self = Queue::default();
    }

    /// What was kept becomes one alert a kind: what stands now, or that it came and went.
    fn sum_up_if(&mut self, wanted: bool) {
        if !wanted {
            return;
        }
        let mut kinds: Vec<Alert> = Vec::new();
        for alert in self.alerts.drain(..) {
            match kinds.iter_mut().find(|kept| kept.kind == alert.kind) {
                None => kinds.push(alert),
                Some(kept) if kept.event == "begin" && alert.event == "begin" => {
                    kept.count += alert.count;
                    if !kept.text.contains(&alert.text) {
                        let first = kept.text.split("; and then: ").next().unwrap_or_default();
                        kept.text = format!("{first}; and then: {}", alert.text);
                    }
                }
                Some(kept) => {
                    let since = kept.since.clone().min(alert.since.clone());
                    *kept = Alert { since, ..alert };
                }
            }
        }
        self.alerts = kinds;
    }
}

/// What is posted every minute while all is healthy, so that silence is a sign.
pub fn heartbeat(status: &Status) -> String {
    let facts = &status.facts;
    serde_json::json!({
        "store": facts.store,
        "version": facts.version,
        "pending": facts.pending.total(),
        "parked": facts.parked.total(),
        "oldest_pending": facts.oldest_pending.map(iso),
    })
    .to_string()
}

/// `tillsync alert test`: every outlet that is set, with what came of it. Empty: none is set.
pub fn test(
    config: &Config,
    outlets: &mut impl Outlets,
    now: i64,
) -> Vec<(&'static str, Result<(), String>)> {
    let alert = |event: &str, text: &str| {
        let alert = Alert {
            store: config.store.clone(),
            event: event.to_owned(),
            kind: "test".to_owned(),
            since: iso(now),
            text: text.to_owned(),
            command: "tillsync status".to_owned(),
            count: 1,
        };
        serde_json::to_string(&alert).expect("texts and numbers have a JSON form")
    };
    let both = [
        alert("begin", "This is a test: nothing needs you"),
        alert("end", "Over: this was a test"),
    ];
    let settings = &config.alert;
    let mut results = Vec::new();
    if !settings.command.is_empty() {
        let result = both
            .iter()
            .try_for_each(|json| outlets.run(&settings.command, json));
        results.push(("command", result));
    }
    if let Some(url) = &settings.webhook {
        results.push((
            "webhook",
            both.iter().try_for_each(|json| outlets.post(url, json)),
        ));
    }
    if let Some(url) = &settings.heartbeat {
        let beat = serde_json::json!({
            "store": config.store,
            "version": env!("CARGO_PKG_VERSION"),
            "pending": 0,
            "parked": 0,
            "oldest_pending": null,
        });
        results.push(("heartbeat", outlets.post(url, &beat.to_string())));
    }
    results
}

/// The host's programs and network. Blocks for `WITHIN` at most; belongs on a thread of its own.
pub struct HostOutlets {
    proxy: Option<String>,
    ca_file: Option<std::path::PathBuf>,
    client: Option<(tokio::runtime::Runtime, reqwest::Client)>,
}

impl HostOutlets {
    /// By the same proxy and with the same certificates as the API. A client is made when first needed.
    pub fn new(config: &Config) -> HostOutlets {
        HostOutlets {
            proxy: config.api.proxy.clone(),
            ca_file: config.api.ca_file.clone(),
            client: None,
        }
    }

    fn client(&mut self) -> Result<&(tokio::runtime::Runtime, reqwest::Client), String> {
        if self.client.is_none() {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            let runtime = runtime.map_err(|e| e.to_string())?;
            self.client = Some((runtime, self.build()?));
        }
        Ok(self.client.as_ref().expect("it was made above"))
    }

    fn build(&self) -> Result<reqwest::Client, String> {
        // Another part of the process may have chosen it first; it is the same one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("tillsync/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(Duration::from_secs(10))
            .timeout(WITHIN)
            // The environment's proxy is not ours.
            .no_proxy();
        if let Some(proxy) = &self.proxy {
            builder = builder.proxy(
                reqwest::Proxy::all(proxy).map_err(|_| "`api.proxy` is no proxy's address")?,
            );
        }
        if let Some(path) = &self.ca_file {
            let pem = std::fs::read(path)
                .map_err(|e| format!("{}: {}", path.display(), config::why(&e)))?;
            let certificates = reqwest::Certificate::from_pem_bundle(&pem)
                .map_err(|_| format!("{}: holds no certificate", path.display()))?;
            for certificate in certificates {
                builder = builder.add_root_certificate(certificate);
            }
        }
        builder.build().map_err(|e| e.without_url().to_string())
    }
}

impl Outlets for HostOutlets {
    fn run(&mut self, command: &[String], json: &str) -> Result<(), String> {
        run(command, json, WITHIN)
    }

    /// A webhook's address can be a secret: no error names it.
    fn post(&mut self, url: &str, json: &str) -> Result<(), String> {
        let (runtime, client) = self.client()?;
        let request = client
            .post(url)
            .header("content-type", "application/json")
            .body(json.to_owned());
        let answer = runtime.block_on(async { request.send().await.map(|answer| answer.status()) });
        match answer {
            Ok(status) if status.is_success() => Ok(()),
            Ok(status) => Err(format!("it answered {}", status.as_u16())),
            Err(error) if error.is_timeout() => {
                Err(format!("no answer within {} s", WITHIN.as_secs()))
            }
            Err(error) if error.is_connect() => Err("no connection".to_owned()),
            Err(error) => Err(error.without_url().to_string()),
        }
    }
}

fn run(command: &[String], json: &str, within: Duration) -> Result<(), String> {
    let (program, arguments) = command.split_first().ok_or("no command is set")?;
    let started = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // Credentials that were given by the environment are not the program's.
        .env_remove("TILLSYNC_APP_ID")
        .env_remove("TILLSYNC_APP_TOKEN")
        .spawn();
    let mut child = started.map_err(|e| format!("{program}: {}", config::why(&e)))?;
    let mut input = child.stdin.take().expect("it was asked for");
    // An alert is smaller than a pipe: it never blocks, and who does not read it is heard by its status.
    let _ = input
        .write_all(json.as_bytes())
        .and_then(|()| input.write_all(b"\n"));
    drop(input);
    let begun = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => return Ok(()),
            Ok(Some(status)) => {
                return Err(match status.code() {
                    Some(code) => format!("{program} ended with {code}"),
                    None => format!("{program} was killed"),
                });
            }
            Ok(None) if begun.elapsed() < within => std::thread::sleep(Duration::from_millis(50)),
            Ok(None) => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!(
                    "{program} did not end within {} s",
                    within.as_secs()
                ));
            }
            Err(error) => return Err(config::why(&error)),
        }
    }
}

#[cfg(test)]
mod tests;
