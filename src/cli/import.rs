//! `import`: takes a file in by hand, by the same path as the daemon; the file stays where it is.

use std::path::Path;
use std::sync::Arc;

use super::args::{Import, Settings};
use super::{Failure, Shell, Status, open_for_writing, wake};
use crate::config::problem::visible;
use crate::config::{self, Config, Folder};
use crate::daemon::{self, parts};
use crate::intake;
use crate::preset::Presets;
use crate::status::words;
use crate::store::{FileRow, FileState};

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
        shell.say(&outcome(&row))?;
        if row.state != FileState::Stored || row.rejected > 0 {
            ended = Status::Attention;
        }
    }
    wake(&config);
    Ok(ended)
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
            text
        }
        FileState::Held => format!(
            "{name}: held as file {}: {reason}\n  `tillsync accept {}`, then the same import again, takes it in.",
            row.id, row.id
        ),
        state => format!("{name}: {}: {reason}", state.name()),
    }
}
