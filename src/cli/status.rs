//! `status` and `todo`: what stands how, and what needs a person.

use super::args::{Format, Listed, Shown};
use super::render::{Cell, Listing};
use super::{Failure, Shell, Status, now, open_store, output_failed};
use crate::daemon::lock;
use crate::status::{self, facts};

const TODO: &[&str] = &["since", "kind", "text", "why", "command"];

pub fn status(args: Shown, shell: &mut Shell<'_>) -> Result<Status, Failure> {
    let status = collect(shell)?;
    match args.format {
        Some(Format::Json) => {
            let json = serde_json::to_string_pretty(&status)
                .map_err(|error| Failure::Internal(error.to_string()))?;
            shell.say(&json)?;
        }
        _ => {
            let colour = shell.out_is_terminal;
            let text = status::render_text(&status, &shell.zone.clone(), colour);
            shell
                .out
                .write_all(text.as_bytes())
                .map_err(output_failed)?;
        }
    }
    Ok(Status::Done)
}

pub fn todo(args: Listed, shell: &mut Shell<'_>) -> Result<Status, Failure> {
    let mut status = collect(shell)?;
    if let Some(limit) = args.limit {
        status.todo.truncate(limit);
    }
    let ended = if status.todo.is_empty() {
        Status::Done
    } else {
        Status::Attention
    };
    match shell.format(args.format) {
        Format::Table => {
            let text = status::render_todo(&status, &shell.zone.clone(), shell.out_is_terminal);
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
