//! `forget`: erases records for good, at the remote, in the store, in archived files and rejects.
//!
//! First their keys are kept away and they are sent no more; then the remote erases them, and only
//! then the store forgets how. Broken off anywhere, the same command again goes on. Names no key in
//! what it says but those that were typed.

use std::io::Read;
use std::path::Path;
use std::time::{Duration, Instant};

use super::args::Forget;
use super::{Failure, Shell, Status, open_for_writing, wake};
use crate::config::{Config, why};
use crate::daemon::online::{self, Erasing};
use crate::daemon::{lock, parts};
use crate::intake::forget::{Whom, erase};
use crate::kind::Kind;
use crate::store::{Forgetting, Person, Store};

/// So long the end of open requests is awaited, where a daemon or `sync` brings it about.
const OPEN_MAX: Duration = Duration::from_secs(120);
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Bytes of a file of keys.
const KEYS_BYTES_MAX: u64 = 64 << 20;

pub fn run(args: &Forget, shell: &mut Shell<'_>) -> Result<Status, Failure> {
    let config = shell.load_config()?;
    let keys = keys(args, shell)?;
    if args.lift {
        return lift(&config, args.kind, &keys, shell);
    }
    let many = counted(keys.len() as u64, "key");
    shell.say(&format!(
        "{}, {many}: erased here, in archived files and rejects, and at the remote; rows of these keys in later files are skipped",
        args.kind
    ))?;
    if !shell.confirm("Forget them for good?", args.consent)? {
        shell.say("nothing was done")?;
        return Ok(Status::Done);
    }
    let store = open_for_writing(&config)?;
    let mut done = Done::default();
    let mut whom = Whom::default();
    let mut open = Vec::new();
    for key in &keys {
        if !forget(&config, &store, args.kind, key, &mut whom, &mut done)? {
            open.push(key);
        }
    }
    if !open.is_empty() && lock::holder(&config.state_dir).is_some() {
        shell.note("a request that carries them is not answered yet; its end is awaited");
        let begun = Instant::now();
        while !open.is_empty() && begun.elapsed() < OPEN_MAX {
            std::thread::sleep(LOOK_EVERY);
            let mut still = Vec::new();
            for key in open {
                if !forget(&config, &store, args.kind, key, &mut whom, &mut done)? {
                    still.push(key);
                }
            }
            open = still;
        }
    }
    done.in_air = open.len() as u64;
    files(&config, &store, &whom, &mut done)?;
    let cut = store.cut_off_log().unwrap_or(false);
    wake(&config);
    if !cut {
        shell.note("The store's log of writes is in use; the daemon cuts it off when it is idle.");
    }
    done.tell(shell)
}

fn keys(args: &Forget, shell: &mut Shell<'_>) -> Result<Vec<String>, Failure> {
    if let Some(key) = &args.key {
        return Ok(vec![shell.key(key)?]);
    }
    let path = args.keys.as_deref().unwrap_or(Path::new("-"));
    let failed = |error: std::io::Error| {
        Failure::Io(format!(
            "{}: {}",
            crate::folder::shown(path.as_os_str()),
            why(&error)
        ))
    };
    let mut text = String::new();
    if path == Path::new("-") {
        let mut input = (&mut *shell.input).take(KEYS_BYTES_MAX);
        input.read_to_string(&mut text).map_err(failed)?;
    } else {
        let mut file = std::fs::File::open(path)
            .map_err(failed)?
            .take(KEYS_BYTES_MAX);
        file.read_to_string(&mut text).map_err(failed)?;
    }
    let mut keys: Vec<String> = text
        .trim_start_matches('\u{FEFF}')
        .lines()
        .map(str::trim)
        .filter(|key| !key.is_empty())
        .map(str::to_owned)
        .collect();
    keys.sort();
    keys.dedup();
    match keys.is_empty() {
        true => Err(Failure::Usage("there is no key in it".to_owned())),
        false => Ok(keys),
    }
}

fn lift(
    config: &Config,
    kind: Kind,
    keys: &[String],
    shell: &mut Shell<'_>,
) -> Result<Status, Failure> {
    let store = open_for_writing(config)?;
    let mut lifted = 0;
    for key in keys {
        lifted += u64::from(store.lift(kind, key)?);
    }
    let many = counted(lifted, "key");
    shell.say(&format!("{many} may come again with later files"))?;
    Ok(Status::Done)
}

/// What became of them.
#[derive(Default)]
struct Done {
    erased: u64,
    unknown: u64,
    in_air: u64,
    later: u64,
    later_reason: Option<String>,
    refused: Vec<String>,
    credentials: Option<String>,
    rows: u64,
    files: u64,
    left: Vec<String>,
}

/// `false`: a request that carries it is open; nothing was done.
fn forget(
    config: &Config,
    store: &Store,
    kind: Kind,
    key: &str,
    whom: &mut Whom,
    done: &mut Done,
) -> Result<bool, Failure> {
    let Forgetting::Marked(person) = store.begin_forgetting(kind, key)? else {
        return Ok(false);
    };
    whom.keys.push(key.to_owned());
    let is_stored = person.is_some();
    let person: Person = person.unwrap_or_default();
    whom.texts.extend(person.texts.iter().cloned());
    // A remote that refuses us, or is away, is not asked again for each key.
    if done.credentials.is_some() || done.later > 0 {
        done.later += 1;
        return Ok(true);
    }
    match online::erase(config, kind, key, &person)? {
        Erasing::Done => {}
        Erasing::Impossible { reason } => done.refused.push(reason),
        Erasing::Refused { code } => done.refused.push(format!("the API refused it ({code})")),
        Erasing::Later { reason } => {
            done.later += 1;
            done.later_reason = Some(reason);
            return Ok(true);
        }
        Erasing::Credentials { reason } => {
            done.later += 1;
            done.credentials = Some(reason);
            return Ok(true);
        }
    }
    store.forget(kind, key)?;
    match is_stored {
        true => done.erased += 1,
        false => done.unknown += 1,
    }
    Ok(true)
}

fn files(config: &Config, store: &Store, whom: &Whom, done: &mut Done) -> Result<(), Failure> {
    if whom.keys.is_empty() {
        return Ok(());
    }
    let presets = parts::presets(config)?;
    for folder in &config.folders {
        let erased = erase(folder, &presets, whom);
        done.rows += erased.rows;
        done.files += erased.replaced.len() as u64;
        for file in &erased.replaced {
            store.replaced(file.before, file.inode, file.size)?;
        }
        done.left.extend(erased.left);
    }
    Ok(())
}

impl Done {
    fn tell(self, shell: &mut Shell<'_>) -> Result<Status, Failure> {
        shell.say(&format!(
            "{} erased, {} not stored here; {} taken out of {}",
            counted(self.erased, "record"),
            self.unknown,
            counted(self.rows, "row"),
            counted(self.files, "file")
        ))?;
        for left in &self.left {
            shell.note(&format!("not rewritten: {left}"));
        }
        for reason in &self.refused {
            shell.note(&format!("left at the remote: {reason}"));
        }
        let again = "Their keys are kept away, and they are sent no more; run the same command again to end it.";
        if let Some(reason) = self.credentials {
            return Err(Failure::Refused(format!(
                "{} left at the remote and in the store: {reason}\n{again}",
                counted(self.later, "record")
            )));
        }
        if self.later > 0 {
            return Err(Failure::Away(format!(
                "{} left at the remote and in the store: {}\n{again}",
                counted(self.later, "record"),
                self.later_reason.unwrap_or_default()
            )));
        }
        if self.in_air > 0 {
            return Err(Failure::Busy(format!(
                "{} not forgotten: a request that carries it is not answered yet\nRun the same command again in a while.",
                counted(self.in_air, "record")
            )));
        }
        Ok(match self.left.is_empty() && self.refused.is_empty() {
            true => Status::Done,
            false => Status::Attention,
        })
    }
}

fn counted(n: u64, what: &str) -> String {
    match n {
        1 => format!("1 {what}"),
        n => format!("{n} {what}s"),
    }
}
