//! `plan`: what files would do, before anything is stored or sent. What a newcomer sets a folder up with.

use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Map, Value, json};

use super::args::{Format, Plan};
use super::import::{known_preset, settings};
use super::render::{Cell, Listing};
use super::{Failure, Shell, Status, open_store};
use crate::budget::{Budget, Part};
use crate::config::problem::visible;
use crate::config::{BY_HAND, Config, Folder};
use crate::daemon::parts;
use crate::intake::plan::{CircumstancesOf, PlannedFile, dry_run};
use crate::kind::Kind;
use crate::mapping::MetadataTypes;
use crate::plan::Forecast;
use crate::status::words;
use crate::store::flight;
use crate::store::{self, Store};

/// Changed fields that are told to a person; JSON has them all.
const CHANGES_SHOWN: usize = 20;

/// Rejected rows that are told to a person.
const REJECTS_SHOWN: usize = 10;

pub fn run(args: &Plan, shell: &mut Shell<'_>) -> Result<Status, Failure> {
    let config = Arc::new(shell.load_config()?);
    let presets = parts::presets(&config)?;
    known_preset(&presets, &args.settings)?;
    let mut files: Vec<(PathBuf, Folder)> = Vec::new();
    for path in &args.files {
        files.push((path.clone(), settings(&config, &args.settings, path)?));
    }
    let planned = look(&config, &files)?;
    let forecasts = forecasts(&config, &files, &planned)?;
    match shell.format(args.listed.format) {
        Format::Json => {
            let all: Vec<Value> = planned
                .iter()
                .zip(&forecasts)
                .map(|(file, forecast)| as_json(file, forecast))
                .collect();
            let text = serde_json::to_string_pretty(&all)
                .map_err(|error| Failure::Internal(error.to_string()))?;
            shell.say(&text)?;
        }
        Format::Csv => shell.show(&as_listing(&planned), Some(Format::Csv))?,
        Format::Table => {
            for (file, forecast) in planned.iter().zip(&forecasts) {
                tell(file, forecast, shell)?;
            }
        }
    }
    let fine =
        |file: &PlannedFile| file.unreadable.is_none() && file.held.is_none() && file.rejected == 0;
    Ok(if planned.iter().all(fine) {
        Status::Done
    } else {
        Status::Attention
    })
}

pub fn look(
    config: &Arc<Config>,
    files: &[(PathBuf, Folder)],
) -> Result<Vec<PlannedFile>, Failure> {
    let presets = parts::presets(config)?;
    let types = match open_store(config)? {
        Some(connection) => store::meta::metadata_types(&connection)?.map(|(types, _)| types),
        None => None,
    };
    let types: MetadataTypes = types.unwrap_or_default();
    let system = TimeZone::system();
    let zone = system.iana_name().unwrap_or("UTC").to_owned();
    let today = Timestamp::now().to_zoned_datetime(system).date();
    let circumstances = |_: &Folder| CircumstancesOf {
        presets: presets.clone(),
        types: types.clone(),
        host_zone: zone.clone(),
        today,
    };
    let scratch = if config.state_dir.is_dir() {
        config.state_dir.clone()
    } else {
        std::env::temp_dir()
    };
    let planned = dry_run(
        files,
        &circumstances,
        &|| Store::look(&config.state_dir),
        &scratch,
        &crate::plan::sku_row_bytes,
    );
    Ok(planned.map_err(parts::intake_failed)?)
}

fn as_json(file: &PlannedFile, forecast: &Forecast) -> Value {
    let by: Map<String, Value> = forecast
        .by
        .iter()
        .map(|(call, n)| (call.clone(), Value::from(*n)))
        .collect();
    let change = |change: &crate::intake::plan::FieldChange| json!({"kind": change.kind.name(), "key": change.key, "field": change.field, "from": parsed(change.from.as_deref()), "to": parsed(change.to.as_deref())});
    let held = file.held.clone().or_else(|| file.unreadable.clone());
    json!({
        "file": file.file.display().to_string(),
        "kind": file.kind.map(crate::kind::Kind::name),
        "preset": file.tables.first().map(|table| table.preset.clone()),
        "rows": file.rows,
        "new": file.new,
        "changed": file.changed,
        "unchanged": file.unchanged,
        "rejected": file.rejected,
        "skipped": file.skipped,
        "deleted": file.deleted,
        "held": held,
        "calls": {"total": forecast.total, "by": by},
        "changes": file.changes.iter().map(change).collect::<Vec<_>>(),
    })
}

fn parsed(value: Option<&str>) -> Value {
    value
        .and_then(|json| serde_json::from_str(json).ok())
        .unwrap_or(Value::Null)
}

const COLUMNS: &[&str] = &[
    "file",
    "kind",
    "preset",
    "rows",
    "new",
    "changed",
    "unchanged",
    "rejected",
    "skipped",
    "deleted",
    "held",
];

fn as_listing(planned: &[PlannedFile]) -> Listing {
    let mut listing = Listing::new(COLUMNS);
    for file in planned {
        let count = |n: u64| Cell::Integer(i64::try_from(n).unwrap_or(i64::MAX));
        let mut row = vec![
            file.file.display().to_string().into(),
            file.kind.map(crate::kind::Kind::name).into(),
            file.tables.first().map(|table| table.preset.clone()).into(),
        ];
        row.extend(
            [
                file.rows,
                file.new,
                file.changed,
                file.unchanged,
                file.rejected,
                file.skipped,
                file.deleted,
            ]
            .map(count),
        );
        row.push(file.held.clone().or_else(|| file.unreadable.clone()).into());
        listing.push(row);
    }
    listing
}

fn tell(file: &PlannedFile, forecast: &Forecast, shell: &mut Shell<'_>) -> Result<(), Failure> {
    let name = visible(&file.file.to_string_lossy());
    if let Some(reason) = &file.unreadable {
        shell.say(&format!("{name}: cannot be read: {reason}"))?;
        return tell_which(file, &name, shell);
    }
    shell.say(&match file.folder.as_str() {
        BY_HAND => format!("{name}, read by hand"),
        folder => format!("{name}, read as folder `{folder}`"),
    })?;
    for table in &file.tables {
        tell_table(table, shell)?;
    }
    shell.say(&format!(
        "\n{}: {} new, {} changed, {} unchanged, {} deleted; {} rejected, {} skipped",
        words::count(file.rows, "row", "rows"),
        file.new,
        file.changed,
        file.unchanged,
        file.deleted,
        file.rejected,
        file.skipped
    ))?;
    if let Some(reason) = &file.held {
        shell.say(&format!("It would be held: {reason}"))?;
    }
    tell_calls(forecast, shell)?;
    for notice in &file.notices {
        shell.say(&format!("note: {}", visible(notice)))?;
    }
    for (n, sample) in file.samples.iter().enumerate() {
        shell.say(&format!(
            "\nrecord {} of this file: {} {}",
            n + 1,
            sample.kind.singular(),
            visible(&sample.key)
        ))?;
        for (field, value) in &sample.fields {
            shell.say(&format!("  {} = {}", visible(field), visible(value)))?;
        }
    }
    tell_rest(
        "changed fields",
        &file.changes,
        CHANGES_SHOWN,
        shell,
        |change| {
            let side = |value: &Option<String>| value.as_deref().map_or("nothing".into(), visible);
            format!(
                "{} {}: {}: {} → {}",
                change.kind.singular(),
                visible(&change.key),
                visible(&change.field),
                side(&change.from),
                side(&change.to)
            )
        },
    )?;
    tell_rest(
        "rejected rows",
        &file.rejects,
        REJECTS_SHOWN,
        shell,
        |(member, reject)| {
            let member = if member.is_empty() {
                String::new()
            } else {
                format!("{} ", visible(member))
            };
            let column = reject.column.as_deref().map_or(String::new(), |column| {
                format!(", column `{}`", visible(column))
            });
            format!(
                "{member}line {}{column}: {} ({})",
                reject.line,
                reject.reason,
                reject.code.name()
            )
        },
    )?;
    tell_next(file, shell)?;
    shell.say("")
}

/// What to type for a file that is none of the kind that it was read as.
fn tell_which(file: &PlannedFile, name: &str, shell: &mut Shell<'_>) -> Result<(), Failure> {
    let kind = file.kind.map_or("customers", Kind::name);
    if file.folder == BY_HAND {
        shell.say(&format!(
            "next: `tillsync presets --for {name}` says which formats it could be of, and of which \
             kinds; `tillsync presets` lists all. It was read as {kind}."
        ))?;
    }
    shell.say("")
}

/// For a file that was read by hand: the folder that takes in such files by itself.
fn tell_next(file: &PlannedFile, shell: &mut Shell<'_>) -> Result<(), Failure> {
    let (BY_HAND, Some(kind), Some(table)) = (file.folder.as_str(), file.kind, file.tables.first())
    else {
        return Ok(());
    };
    let ignores =
        |column: &crate::mapping::ColumnUse| column.field.is_none() && column.note.is_none();
    let mut said = format!(
        "\nnext: a folder that takes in such files by itself; in the configuration\n  \
         [[folder]]\n  path   = \"/srv/drop/{kind}\"\n  kind   = \"{kind}\"\n  preset = \"{}\"",
        table.preset
    );
    if table.columns.iter().any(ignores) {
        said.push_str(
            "\n  others = \"metadata\"   # only if the columns that are ignored above without a \
             reason are to be kept\n  [folder.columns]       # or name those that you want\n  \
             \"Their header\" = \"metadata.name\"",
        );
    }
    shell.say(&said)
}

fn tell_calls(forecast: &Forecast, shell: &mut Shell<'_>) -> Result<(), Failure> {
    if forecast.total == 0 {
        return shell.say("Delivery would take no call.");
    }
    let time = match forecast.duration_ms {
        Some(ms) => words::span(ms),
        None => "for ever: our share of the limit allows no call".to_owned(),
    };
    shell.say(&format!(
        "Delivery would take {}, about {time}:",
        words::count(forecast.total, "call", "calls")
    ))?;
    for (call, n) in &forecast.by {
        shell.say(&format!("  {n:>6}  {call}"))?;
    }
    Ok(())
}

/// What delivery would take for each file, by the rules that delivery itself keeps.
fn forecasts(
    config: &Config,
    files: &[(PathBuf, Folder)],
    planned: &[PlannedFile],
) -> Result<Vec<Forecast>, Failure> {
    let now = super::now();
    let (kept, spent) = match open_store(config)? {
        Some(connection) => (
            flight::standing(&connection, now)?.budget,
            flight::spent(&connection, now)?,
        ),
        None => Default::default(),
    };
    let budget = Budget::new(Part::of(&config.api), kept, &spent, now);
    let both = files.iter().zip(planned);
    let forecast = |((_, folder), file): (&(PathBuf, Folder), &PlannedFile)| {
        file.forecast(config.api.bulk, folder.history, (&budget, now))
    };
    Ok(both.map(forecast).collect())
}

fn tell_table(
    table: &crate::intake::plan::PlannedTable,
    shell: &mut Shell<'_>,
) -> Result<(), Failure> {
    if !table.member.is_empty() {
        shell.say(&format!("\nmember {}", visible(&table.member)))?;
    }
    shell.say(&format!("  format   {}: {}", table.preset, table.why))?;
    if let Some(why) = &table.why_not_next {
        shell.say(&format!("           {why}"))?;
    }
    shell.say(&format!("  read as  {}", table.dialect))?;
    shell.say("  columns")?;
    let width = table
        .columns
        .iter()
        .map(|column| column.header.chars().count())
        .max()
        .unwrap_or(0)
        .min(40);
    for column in &table.columns {
        let becomes = column.field.as_deref().unwrap_or("ignored");
        let note = column
            .note
            .as_deref()
            .map_or(String::new(), |note| format!("  ({note})"));
        shell.say(&format!(
            "    {:width$}  → {}{note}",
            visible(&column.header),
            visible(becomes)
        ))?;
    }
    Ok(())
}

fn tell_rest<T>(
    what: &str,
    all: &[T],
    most: usize,
    shell: &mut Shell<'_>,
    line: impl Fn(&T) -> String,
) -> Result<(), Failure> {
    if all.is_empty() {
        return Ok(());
    }
    shell.say(&format!("\n{what}"))?;
    for one in all.iter().take(most) {
        shell.say(&format!("  {}", line(one)))?;
    }
    if all.len() > most {
        shell.say(&format!(
            "  … and {} more (`--format json` has them)",
            all.len() - most
        ))?;
    }
    Ok(())
}
