//! `import`: takes a file in by hand, by the same path as the daemon; the file stays where it is.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::args::{Import, Settings};
use super::{Failure, Shell, Status, open_for_writing, wake};
use crate::config::problem::visible;
use crate::config::{self, Config, Folder};
use crate::daemon::{self, parts};
use crate::intake;
use crate::kind::Kind;
use crate::preset::Presets;
use crate::status::words;
use crate::store::{FileRow, FileState, Store};

/// How a file that is held was given, for `accept` to take it in. In the store's small facts, by the
/// file's number.
#[derive(Serialize, Deserialize)]
struct Given {
    path: PathBuf,
    folder: Option<String>,
    kind: Option<String>,
    preset: String,
}

pub fn run(args: &Import, shell: &mut Shell<'_>) -> Result<Status, Failure> {
    let config = Arc::new(shell.load_config()?);
    // It may be the first thing that is done with a configuration, before any daemon.
    daemon::make_state(&config.state_dir).map_err(Failure::Io)?;
    let store = open_for_writing(&config)?;
    let site = parts::site(&config, &store)?;
    let control = intake::Control::new().map_err(|error| Failure::Io(error.to_string()))?;
    known_preset(&site.presets, &args.settings)?;
    let mut ended = Status::Done;
    for path in &args.files {
        let folder = settings(&config, &args.settings, path)?;
        let row =
            intake::import::import(&site, &folder, path, &control).map_err(parts::intake_failed)?;
        if row.state == FileState::Held {
            remember(&store, row.id, path, &args.settings)?;
        }
        shell.say(&outcome(&row))?;
        if row.state != FileState::Stored || row.rejected > 0 {
            ended = Status::Attention;
        }
    }
    wake(&config);
    Ok(ended)
}

fn remember(store: &Store, id: i64, path: &Path, settings: &Settings) -> Result<(), Failure> {
    let given = Given {
        path: std::path::absolute(path).unwrap_or_else(|_| path.to_owned()),
        folder: settings.folder.clone(),
        kind: settings.kind.map(|kind| kind.name().to_owned()),
        preset: settings.preset.clone(),
    };
    // A path that is no text is not remembered: the same import again takes it in.
    if let Ok(json) = serde_json::to_string(&given) {
        store.set_text(&memory(id), &json)?;
    }
    Ok(())
}

/// It is put away: `accept` will not ask.
pub fn forget(store: &Store, id: i64) -> Result<(), Failure> {
    Ok(store.clear(&memory(id))?)
}

fn memory(id: i64) -> String {
    format!("import_{id}")
}

/// After `accept`: what was held is taken in by the same import again. `None`: it is not known any more
/// how it was given.
pub fn again(
    id: i64,
    config: Config,
    store: &Store,
    shell: &mut Shell<'_>,
) -> Result<Option<Status>, Failure> {
    let known = store.text(&memory(id))?;
    let Some(given) = known.and_then(|json| serde_json::from_str::<Given>(&json).ok()) else {
        return Ok(None);
    };
    let asked = Settings {
        folder: given.folder,
        kind: given.kind.as_deref().and_then(Kind::from_name),
        preset: given.preset,
    };
    let config = Arc::new(config);
    let site = parts::site(&config, store)?;
    let control = intake::Control::new().map_err(|error| Failure::Io(error.to_string()))?;
    let folder = settings(&config, &asked, &given.path)?;
    let row = intake::import::import(&site, &folder, &given.path, &control)
        .map_err(parts::intake_failed)?;
    match row.state {
        FileState::Held => remember(store, row.id, &given.path, &asked)?,
        _ => forget(store, id)?,
    }
    shell.say(&outcome(&row))?;
    wake(&config);
    Ok(Some(
        match row.state == FileState::Stored && row.rejected == 0 {
            true => Status::Done,
            false => Status::Attention,
        },
    ))
}

/// Whether the source format that was typed exists.
pub fn known_preset(presets: &Presets, asked: &Settings) -> Result<(), Failure> {
    let name = asked.preset.as_str();
    if name == "auto" || presets.get(name).is_some() {
        return Ok(());
    }
    Err(super::presets::unknown(presets, name))
}

/// With which settings a file given by hand is read: a folder's by name, those of a kind, or those of the
/// folder that holds the file.
pub fn settings(config: &Config, asked: &Settings, path: &Path) -> Result<Folder, Failure> {
    if let Some(name) = &asked.folder {
        let known = || {
            config
                .folders
                .iter()
                .map(|folder| folder.name.as_str())
                .collect::<Vec<_>>()
                .join(", ")
        };
        return config.folder(name).cloned().ok_or_else(|| {
            Failure::Usage(format!(
                "no folder is named `{name}`\nThere are: {}.",
                known()
            ))
        });
    }
    if let Some(kind) = asked.kind {
        let here = path
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        let mut folder = Folder::with_defaults(config::BY_HAND, here, kind);
        folder.preset = asked.preset.clone();
        return Ok(folder);
    }
    let within = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let holds = |folder: &&Folder| within.starts_with(&folder.path);
    config.folders.iter().find(holds).cloned().ok_or_else(|| {
        Failure::Usage(format!(
            "{}: no folder of the configuration holds this file\nSay with which settings it is read: --folder NAME, or --kind KIND [--preset NAME].",
            visible(&path.to_string_lossy())
        ))
    })
}

fn outcome(row: &FileRow) -> String {
    let name = visible(&row.name);
    let reason = row.reason.as_deref().unwrap_or_default();
    match row.state {
        FileState::Stored => {
            let mut text = format!(
                "{name}: stored as file {}: {} new, {} changed, {} unchanged",
                row.id, row.new, row.changed, row.unchanged
            );
            if row.deleted > 0 {
                text += &format!(", {} deleted", words::number(row.deleted));
            }
            for (n, what) in [(row.skipped, "skipped"), (row.rejected, "rejected")] {
                if n > 0 {
                    text += &format!(", {} {what}", words::count(n, "row", "rows"));
                }
            }
            if row.rejected > 0 {
                text += &format!("\n  `tillsync rejects --file {}` says why.", row.id);
            }
            for notice in &row.notices {
                text += &format!("\n  note: {}", visible(notice));
            }
            text
        }
        FileState::Held => format!(
            "{name}: held as file {}: {reason}\n  `tillsync accept {}` takes it in, if it is still there as it was.",
            row.id, row.id
        ),
        state => format!("{name}: {}: {reason}", state.name()),
    }
}
