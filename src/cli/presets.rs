//! `presets`: the source formats, one's columns, or which one a file would be taken for and why.

use std::path::Path;

use super::args::{Format, Presets};
use super::plan::look;
use super::render::Listing;
use super::{Failure, Shell, Status};
use crate::config::problem::visible;
use crate::config::{Config, Folder};
use crate::daemon::parts;
use crate::intake::plan::PlannedFile;
use crate::kind::Kind;
use crate::preset;

const LIST: &[&str] = &["name", "kinds", "title", "own"];
const FIELDS: &[&str] = &["kind", "field", "from"];
const FOR: &[&str] = &["file", "kind", "preset", "why", "why_not_next"];

pub fn run(args: &Presets, shell: &mut Shell<'_>) -> Result<Status, Failure> {
    let config = shell
        .load_config()
        .unwrap_or_else(|_| Config::with_defaults("", Path::new("/var/lib/tillsync")));
    if let Some(path) = &args.file {
        return which(&config, path, args, shell);
    }
    let presets = parts::presets(&config)?;
    match &args.name {
        None => list(&presets, args, shell),
        Some(name) => match presets.get(name) {
            Some(preset) => one(preset, args, shell),
            None => Err(unknown(&presets, name)),
        },
    }
}

/// That no source format has this name, and which one may be meant.
pub fn unknown(presets: &preset::Presets, name: &str) -> Failure {
    let nearest =
        crate::config::problem::nearest(name, presets.iter().map(|preset| preset.name.as_str()));
    let hint = nearest.map_or("`tillsync presets` lists them.".to_owned(), |name| {
        format!("Did you mean `{name}`?")
    });
    Failure::Usage(format!(
        "there is no source format `{}`\n{hint}",
        visible(name)
    ))
}

fn list(
    presets: &preset::Presets,
    args: &Presets,
    shell: &mut Shell<'_>,
) -> Result<Status, Failure> {
    let mut listing = Listing::new(LIST);
    for preset in presets.iter().take(args.listed.limit.unwrap_or(usize::MAX)) {
        let kinds: Vec<&str> = preset.fills().into_iter().map(Kind::name).collect();
        let own = if preset.own { "yours" } else { "built in" };
        listing.push(vec![
            preset.name.clone().into(),
            kinds.join(", ").into(),
            preset.title().into(),
            own.into(),
        ]);
    }
    shell.show(&listing, args.listed.format)?;
    Ok(Status::Done)
}

fn one(preset: &preset::Preset, args: &Presets, shell: &mut Shell<'_>) -> Result<Status, Failure> {
    let mut listing = Listing::new(FIELDS);
    for field in preset.fields() {
        listing.push(vec![
            field.kind.name().into(),
            field.field.into(),
            field.from.into(),
        ]);
    }
    if shell.format(args.listed.format) == Format::Table {
        shell.say(&format!("{}: {}", preset.name, preset.title()))?;
        for note in preset.notes() {
            shell.say(&format!("  {note}"))?;
        }
        if preset.is_split() {
            shell.say(
                "  Exports of it come in parts: a folder with `missing = \"delete\"` refuses it.",
            )?;
        }
    }
    shell.show(&listing, args.listed.format)?;
    Ok(Status::Done)
}

fn which(
    config: &Config,
    path: &Path,
    args: &Presets,
    shell: &mut Shell<'_>,
) -> Result<Status, Failure> {
    let config = std::sync::Arc::new(config.clone());
    let kinds = args.kind.map_or(Kind::ALL.to_vec(), |kind| vec![kind]);
    let mut listing = Listing::new(FOR);
    let mut refusals = Vec::new();
    for kind in kinds {
        let folder =
            Folder::with_defaults(kind.name(), path.parent().unwrap_or(Path::new(".")), kind);
        for file in look(&config, &[(path.to_owned(), folder)])? {
            match &file.unreadable {
                Some(reason) => refusals.push(format!("{kind}: {reason}")),
                None => fits(kind, &file, &mut listing),
            }
        }
    }
    if listing.is_empty() {
        return Err(Failure::Data(format!(
            "{}: no source format fits\n{}",
            visible(&path.to_string_lossy()),
            refusals.join("\n")
        )));
    }
    shell.show(&listing, args.listed.format)?;
    Ok(Status::Done)
}

fn fits(kind: Kind, file: &PlannedFile, listing: &mut Listing) {
    for table in &file.tables {
        listing.push(vec![
            file.file.display().to_string().into(),
            kind.name().into(),
            table.preset.clone().into(),
            table.why.clone().into(),
            table.why_not_next.clone().into(),
        ]);
    }
}
