//! `status` and `todo`: what stands how, and what needs a person.

use serde_json::Value;

use super::args::{Format, Listed, Shown};
use super::render::{Cell, Listing};
use super::{Failure, Shell, Status, now, open_store, output_failed};
use crate::daemon::lock;
use crate::status::{self, facts};

const FACTS: &[&str] = &["name", "value"];
const TODO: &[&str] = &["since", "kind", "text", "why", "command"];

pub fn status(args: Shown, shell: &mut Shell<'_>) -> Result<Status, Failure> {
    let status = collect(shell)?;
    match args.format {
        Some(Format::Json) => {
            let json = serde_json::to_string_pretty(&status)
                .map_err(|error| Failure::Internal(error.to_string()))?;
            shell.say(&json)?;
        }
        Some(Format::Csv) => {
            let json = serde_json::to_value(&status)
                .map_err(|error| Failure::Internal(error.to_string()))?;
            let mut listing = Listing::new(FACTS);
            flatten(String::new(), &json, &mut listing);
            shell.show(&listing, Some(Format::Csv))?;
        }
        Some(Format::Table) | None => {
            let colour = shell.coloured;
            let text = status::render_text(&status, &shell.zone.clone(), colour);
            shell
                .out
                .write_all(text.as_bytes())
                .map_err(output_failed)?;
        }
    }
    Ok(Status::Done)
}

/// A row each value of the JSON form, under its path: `folders.0.name`.
fn flatten(path: String, value: &Value, rows: &mut Listing) {
    let below = |name: &str| match path.as_str() {
        "" => name.to_owned(),
        path => format!("{path}.{name}"),
    };
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                flatten(below(name), value, rows);
            }
        }
        Value::Array(items) => {
            for (index, value) in items.iter().enumerate() {
                flatten(below(&index.to_string()), value, rows);
            }
        }
        Value::Null => rows.push(vec![path.into(), Cell::Null]),
        Value::String(text) => rows.push(vec![path.into(), text.as_str().into()]),
        other => rows.push(vec![path.into(), other.to_string().into()]),
    }
}

pub fn todo(args: Listed, shell: &mut Shell<'_>) -> Result<Status, Failure> {
    let mut status = collect(shell)?;
    let ended = if status.todo.is_empty() {
        Status::Done
    } else {
        Status::Attention
    };
    if let Some(limit) = args.limit {
        status.todo.truncate(limit);
    }
    match shell.format(args.format) {
        Format::Table => {
            let text = status::render_todo(&status, &shell.zone.clone(), shell.coloured);
            shell
                .out
                .write_all(text.as_bytes())
                .map_err(output_failed)?;
        }
        format => {
            let mut listing = Listing::new(TODO);
            for todo in &status.todo {
                listing.push(vec![
                    todo.since.map_or(Cell::Null, Cell::Time),
                    todo.kind.into(),
                    todo.text.clone().into(),
                    todo.why.clone().into(),
                    todo.command.clone().into(),
                ]);
            }
            shell.show(&listing, Some(format))?;
        }
    }
    Ok(ended)
}

fn collect(shell: &Shell<'_>) -> Result<status::Status, Failure> {
    let config = shell.load_config()?;
    let connection = open_store(&config)?;
    let daemon = lock::holder(&config.state_dir).map(|holder| facts::Daemon {
        pid: holder.pid,
        since: holder.since,
    });
    Ok(status::collect(
        &config,
        connection.as_ref(),
        daemon,
        now(),
        &shell.zone,
    )?)
}
