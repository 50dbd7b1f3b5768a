//! `demo`: the main job with no account and no configuration. A stand-in of the remote API on loopback,
//! sample exports of all four kinds, the daemon, the status page; in a temporary folder that is gone after.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::args::Demo;
use super::{Failure, Shell, Status, open_store};
use crate::config::{self, Config};
use crate::daemon;
use crate::kind::Kind;
use crate::standin::server::{self, Handle, Options};
use crate::standin::settings::{APP_ID, APP_TOKEN};
use crate::store;

/// What is dropped: kind, file name, content.
const SAMPLES: [(Kind, &str, &str); 4] = [
    (
        Kind::Products,
        "products.csv",
        include_str!("../../demo/products.csv"),
    ),
    (Kind::Skus, "skus.csv", include_str!("../../demo/skus.csv")),
    (
        Kind::Customers,
        "customers.csv",
        include_str!("../../demo/customers.csv"),
    ),
    (
        Kind::Orders,
        "orders.csv",
        include_str!("../../demo/orders.csv"),
    ),
];

/// How long `--once` waits for everything to be delivered.
const ONCE_WITHIN: Duration = Duration::from_secs(60);

/// Between two looks at how far it is.
const LOOK_EVERY: Duration = Duration::from_millis(50);

pub fn run(args: &Demo, shell: &mut Shell<'_>) -> Result<Status, Failure> {
    let dir = tempfile::Builder::new()
        .prefix("tillsync-demo-")
        .tempdir()
        .map_err(|e| failed("the temporary folder", &e))?;
    let standin = TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| server::start(listener, Options::default()))
        .map_err(|e| failed("the stand-in's address", &e))?;
    let config = configure(dir.path(), &standin, shell)?;
    shell.say(&format!("stand-in of the remote API   {}", standin.url()))?;
    shell.say(&format!(
        "its credentials              app id `{APP_ID}`, app token `{APP_TOKEN}`"
    ))?;
    shell.say(&format!(
        "drop folders                 {}/{{customers,products,skus,orders}}",
        dir.path().display()
    ))?;
    let running = daemon::start(config.clone())?;
    if let Some(address) = running.page() {
        shell.say(&format!("status page                  http://{address}/"))?;
    }
    shell.say("")?;
    for (kind, name, content) in SAMPLES {
        drop_in(&dir.path().join(kind.name()), name, content).map_err(|e| failed(name, &e))?;
        shell.say(&format!(
            "dropped    {}/{name} ({} rows)",
            kind.name(),
            content.lines().count() - 1
        ))?;
    }
    flush(shell);
    let ended = follow(&config, &running, args.once, shell);
    running.stop()?;
    ended?;
    let differences = differences(&standin);
    for difference in &differences {
        shell.note(&format!("error: {difference}"));
    }
    if !args.once {
        return Ok(Status::Done);
    }
    if differences.is_empty() {
        shell.say("\nThe stand-in holds what was dropped.")?;
        Ok(Status::Done)
    } else {
        Err(Failure::Internal(
            "the stand-in does not hold what was dropped".to_owned(),
        ))
    }
}

/// The configuration is written and read like anybody's.
fn configure(dir: &Path, standin: &Handle, shell: &Shell<'_>) -> Result<Config, Failure> {
    let root = dir.display();
    let page = TcpListener::bind("127.0.0.1:8787").map_or("127.0.0.1:0", |_| "127.0.0.1:8787");
    let mut text = format!(
        "store = \"demo\"\nstate_dir = \"{root}/state\"\n\n[api]\nurl = \"{}\"\napp_id_file = \"{root}/app-id\"\napp_token_file = \"{root}/app-token\"\n\n[local]\nlisten = \"{page}\"\n",
        standin.url()
    );
    for kind in Kind::ALL {
        fs::create_dir_all(dir.join(kind.name())).map_err(|e| failed("the drop folders", &e))?;
        text += &format!(
            "\n[[folder]]\npath = \"{root}/{kind}\"\nkind = \"{kind}\"\nsettle = \"1s\"\nnote = \"sample {kind} of the demo\"\n"
        );
    }
    fs::create_dir_all(dir.join("state")).map_err(|e| failed("the state directory", &e))?;
    for (name, secret) in [("app-id", APP_ID), ("app-token", APP_TOKEN)] {
        let file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(dir.join(name));
        file.and_then(|mut file| std::io::Write::write_all(&mut file, secret.as_bytes()))
            .map_err(|e| failed(name, &e))?;
    }
    let file = dir.join("tillsync.toml");
    fs::write(&file, text).map_err(|e| failed("the configuration", &e))?;
    Ok(config::load(Some(&file), &shell.environment)?)
}

/// Renamed in, as well-behaved systems do.
fn drop_in(folder: &Path, name: &str, content: &str) -> std::io::Result<()> {
    let part: PathBuf = folder.join(format!(".{name}.part"));
    fs::write(&part, content)?;
    fs::rename(part, folder.join(name))
}

/// Says what happens, until all is delivered (`once`) or somebody ends it.
fn follow(
    config: &Config,
    running: &daemon::Running,
    once: bool,
    shell: &mut Shell<'_>,
) -> Result<(), Failure> {
    let begun = Instant::now();
    let mut told = Told::default();
    loop {
        if let Some(connection) = open_store(config)? {
            told.look(&connection, shell)?;
        }
        flush(shell);
        if told.all_delivered && once {
            return Ok(());
        }
        if once && begun.elapsed() > ONCE_WITHIN {
            return Err(Failure::Internal(format!(
                "not delivered within {} s",
                ONCE_WITHIN.as_secs()
            )));
        }
        if running.ended_within(LOOK_EVERY) {
            return Ok(());
        }
    }
}

/// What was said already.
#[derive(Default)]
struct Told {
    files: usize,
    requests: i64,
    all_delivered: bool,
}

impl Told {
    fn look(
        &mut self,
        connection: &store::Connection,
        shell: &mut Shell<'_>,
    ) -> Result<(), Failure> {
        let mut stored = Vec::new();
        store::files(connection, &store::Filter::default(), &mut |file| {
            if file.state == store::FileState::Stored {
                stored.push(file);
            }
            true
        })?;
        stored.reverse();
        for file in stored.iter().skip(self.files) {
            shell.say(&format!(
                "stored     {}: {} new, {} changed, {} unchanged, {} rejected",
                file.name, file.new, file.changed, file.unchanged, file.rejected
            ))?;
        }
        self.files = stored.len().max(self.files);
        let mut answered = Vec::new();
        store::requests(
            connection,
            &store::Filter {
                limit: Some(200),
                ..Default::default()
            },
            &mut |request| {
                let fresh = request.id > self.requests;
                if fresh && request.status.is_some() {
                    answered.push(request);
                }
                fresh
            },
        )?;
        for request in answered.iter().rev() {
            let records = if request.records == 1 {
                "1 record".to_owned()
            } else {
                format!("{} records", request.records)
            };
            shell.say(&format!(
                "sent       {} {} → {} ({records})",
                request.method,
                request.path,
                request.status.unwrap_or(0)
            ))?;
            self.requests = request.id;
        }
        let counts = store::counts(connection)?;
        let delivered = self.files == SAMPLES.len() && counts.pending.total() == 0;
        if delivered && !self.all_delivered {
            shell.say("delivered  nothing is pending")?;
        }
        self.all_delivered |= delivered;
        Ok(())
    }
}

fn flush(shell: &mut Shell<'_>) {
    // Whoever reads it has gone: the next line says so.
    let _ = shell.out.flush();
}

/// What the samples say and the stand-in does not, read by a plain CSV reader and by nothing of the
/// daemon's.
fn differences(standin: &Handle) -> Vec<String> {
    let remote = standin.remote();
    let mut found = Vec::new();
    for (kind, name, content) in SAMPLES {
        let delimiter = if content
            .lines()
            .next()
            .is_some_and(|header| header.contains(';'))
        {
            b';'
        } else {
            b','
        };
        let mut reader = csv::ReaderBuilder::new()
            .delimiter(delimiter)
            .from_reader(content.as_bytes());
        let header = reader.headers().cloned().unwrap_or_default();
        for (row, cells) in reader.records().enumerate() {
            let Ok(cells) = cells else { continue };
            let held = remote.object(kind.name(), &cells[0]);
            for (column, cell) in header.iter().zip(cells.iter()).skip(1) {
                let there = held
                    .as_ref()
                    .is_some_and(|object| holds(object, column, cell));
                if !there {
                    found.push(format!(
                        "{name}: line {}: the remote does not hold this row's `{column}`",
                        row + 2
                    ));
                }
            }
        }
    }
    found
}

/// Whether the remote's object says of a column what the cell says.
fn holds(object: &Value, column: &str, cell: &str) -> bool {
    if cell.is_empty()
        || column.starts_with("item.")
        || column == "customer.source_id"
        || column == "product"
    {
        return true;
    }
    let value = column
        .split('.')
        .try_fold(object, |value, part| value.get(part));
    match value {
        Some(Value::String(text)) => text == cell,
        Some(Value::Number(number)) => number.as_i64() == cell.replace(['.', ','], "").parse().ok(),
        Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).eq(cell.split(',')),
        _ => false,
    }
}

fn failed(what: &str, error: &std::io::Error) -> Failure {
    Failure::Io(format!("{what}: {}", config::why(error)))
}
