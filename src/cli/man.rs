//! `man`: the manual page, drawn from the commands' definitions and the table of settings.

use clap::CommandFactory;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use super::args::Cli;
use super::{Failure, Shell, Status, output_failed};
use crate::config::keys::{Section, Worth};

pub fn run(shell: &mut Shell<'_>) -> Result<Status, Failure> {
    let page = page().map_err(output_failed)?;
    shell.out.write_all(&page).map_err(output_failed)?;
    Ok(Status::Done)
}

fn page() -> std::io::Result<Vec<u8>> {
    let mut command = Cli::command().after_help("");
    command.build();
    let man = Man::new(command.clone()).manual("tillsync");
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    commands(&command).to_writer(&mut page)?;
    configuration().to_writer(&mut page)?;
    status().to_writer(&mut page)?;
    files().to_writer(&mut page)?;
    environment().to_writer(&mut page)?;
    man.render_version_section(&mut page)?;
    Ok(page)
}

/// Every command with its arguments on the one page: nobody looks for forty.
fn commands(command: &clap::Command) -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", ["COMMANDS"]);
    for sub in command
        .get_subcommands()
        .filter(|sub| sub.get_name() != "help")
    {
        let usage = sub.clone().render_usage().to_string();
        let usage = usage.trim_start_matches("Usage: ").to_owned();
        roff.control("SS", [sub.get_name()]);
        if let Some(about) = sub.get_about() {
            roff.text([roman(about.to_string())]);
        }
        roff.control("PP", []);
        roff.text([bold(usage)]);
        let own = |arg: &&clap::Arg| {
            !arg.is_global_set() && !matches!(arg.get_id().as_str(), "help" | "version")
        };
        for arg in sub.get_arguments().filter(own) {
            let Some(help) = arg.get_help() else {
                continue;
            };
            roff.control("TP", []);
            roff.text([bold(arg.to_string())]);
            roff.text([roman(help.to_string())]);
        }
        if let Some(after) = sub.get_after_help() {
            roff.control("PP", []);
            roff.control("nf", []);
            for line in after.to_string().lines() {
                roff.text([roman(line)]);
            }
            roff.control("fi", []);
        }
    }
    roff
}

fn configuration() -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", ["CONFIGURATION"]);
    roff.text([roman(
        "TOML: the main file, then every conf.d/*.toml beside it in the order of the names. A key that is set twice \
         is an error; [[folder]] tables add up. Durations are written 10s, 5m, 26h or 7d.",
    )]);
    for section in Section::ALL {
        let title = match section {
            Section::Top => "At the top".to_owned(),
            Section::Folder => "[[folder]]".to_owned(),
            other => format!("[{}]", other.name()),
        };
        roff.control("SS", [title.as_str()]);
        for key in section.keys() {
            roff.control("TP", []);
            let worth = match key.worth {
                Worth::Default(worth) => format!(" = {worth}"),
                Worth::Absent(example) => format!(", such as {example}"),
                Worth::Required(example) => format!(", required, such as {example}"),
            };
            roff.text([bold(key.name), roman(worth)]);
            roff.text([roman(key.doc)]);
        }
    }
    roff
}

fn pairs(title: &str, pairs: &[(&str, &str)]) -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", [title]);
    for (name, text) in pairs {
        roff.control("TP", []);
        roff.text([bold(*name)]);
        roff.text([roman(*text)]);
    }
    roff
}

fn status() -> Roff {
    pairs(
        "EXIT STATUS",
        &[
            ("0", "Done."),
            ("1", "Internal error."),
            ("2", "Usage."),
            (
                "65",
                "Some rows were rejected, a file was held or could not be read, or records were parked (sync, import, \
                 plan); something needs a person (todo); drift was found (audit).",
            ),
            (
                "69",
                "The remote could not be reached and something is still pending (sync).",
            ),
            ("74", "Input or output failed."),
            (
                "75",
                "Try again later: another tillsync is at work on this state.",
            ),
            (
                "77",
                "The remote refused the credentials (sync ends at once).",
            ),
            ("78", "Configuration."),
        ],
    )
}

fn files() -> Roff {
    pairs(
        "FILES",
        &[
            ("/etc/tillsync/tillsync.toml", "The configuration."),
            (
                "/etc/tillsync/conf.d/*.toml",
                "More of it, in the order of the names.",
            ),
            ("/etc/tillsync/presets/*.toml", "Your own source formats."),
            (
                "/etc/tillsync/app-id, /etc/tillsync/app-token",
                "The credentials, readable by the service alone.",
            ),
            ("/var/lib/tillsync/tillsync.db", "The store."),
            ("<folder>/archive/", "Files that were taken in."),
            (
                "<folder>/rejects/",
                "Rows that could not be stored, to be mended and dropped back; files that could not be read, with the reason beside.",
            ),
        ],
    )
}

fn environment() -> Roff {
    pairs(
        "ENVIRONMENT",
        &[
            (
                "TILLSYNC_CONFIG",
                "The configuration, where --config names none.",
            ),
            (
                "TILLSYNC_APP_ID, TILLSYNC_APP_TOKEN",
                "The credentials; systemd's go before them, the files after them.",
            ),
            (
                "CREDENTIALS_DIRECTORY",
                "Set by systemd: holds the credentials app-id and app-token.",
            ),
            (
                "TZ",
                "The time zone of tables, and of files' times that say none.",
            ),
        ],
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_names_every_command_setting_and_status() {
        let page = String::from_utf8(page().unwrap()).unwrap();
        for command in Cli::command().get_subcommands() {
            assert!(
                page.contains(&format!(".SS {}\n", command.get_name())),
                "{}",
                command.get_name()
            );
        }
        for key in crate::config::keys::KEYS {
            let name = key.name.replace('-', "\\-");
            assert!(page.contains(&name), "{name}");
        }
        for section in ["EXIT STATUS", "FILES", "ENVIRONMENT", "CONFIGURATION"] {
            assert!(page.contains(section), "{section}");
        }
    }
}
