//! `pause` and `resume`: delivery, or one folder's intake, stands until somebody says so or a time is over.

use super::args;
use super::{Failure, Shell, Status, now, open_for_writing, wake};
use crate::config::Config;
use crate::status::words;
use crate::store::meta::Pause;
use crate::todo;

pub fn pause(args: &args::Pause, shell: &mut Shell<'_>) -> Result<Status, Failure> {
    let config = shell.load_config()?;
    let folder = args.folder.as_deref();
    known(&config, folder)?;
    let length = args
        .period
        .map(|period| i64::try_from(period.as_millis()).unwrap_or(i64::MAX));
    let pause = length.map_or(Pause::Open, |length| {
        Pause::Until(now().saturating_add(length))
    });
    open_for_writing(&config)?.pause(folder, pause)?;
    wake(&config);
    let what = folder.map_or("delivery stands".to_owned(), |name| {
        format!("the intake of folder {name} stands")
    });
    let end = match pause {
        Pause::Until(until) => format!("until {}", words::full(until, &shell.zone)),
        Pause::Open => format!("until `{}`", todo::resume(folder)),
    };
    shell.say(&format!("{what} {end}"))?;
    Ok(Status::Done)
}

pub fn resume(args: &args::Resume, shell: &mut Shell<'_>) -> Result<Status, Failure> {
    let config = shell.load_config()?;
    let folder = args.folder.as_deref();
    known(&config, folder)?;
    open_for_writing(&config)?.resume(folder)?;
    wake(&config);
    let what = folder.map_or("delivery goes on".to_owned(), |name| {
        format!("the intake of folder {name} goes on")
    });
    shell.say(&what)?;
    Ok(Status::Done)
}

fn known(config: &Config, folder: Option<&str>) -> Result<(), Failure> {
    match folder {
        Some(name) if config.folder(name).is_none() => {
            let names: Vec<&str> = config.folders.iter().map(|f| f.name.as_str()).collect();
            Err(Failure::Usage(format!(
                "no folder is named `{name}`\nThere are: {}.",
                names.join(", ")
            )))
        }
        _ => Ok(()),
    }
}
