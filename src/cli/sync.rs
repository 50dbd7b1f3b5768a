//! `sync`: the daemon's work once, with progress bars on a terminal and plain lines elsewhere.

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use tracing_subscriber::filter::LevelFilter;

use super::args::Sync;
use super::{Failure, Shell, Status};
use crate::config::problem::visible;
use crate::daemon::{self, Standing, Synced, logging};
use crate::delivery::Outcome;
use crate::status::words::{count, number};

pub fn run(args: &Sync, shell: &mut Shell<'_>) -> Result<Status, Failure> {
    let config = shell.load_config()?;
    logging::start(LevelFilter::WARN);
    for folder in config.folders.iter().filter(|f| !f.path.is_dir()) {
        shell.note(&format!(
            "folder {} ({}) is not there: nothing is taken in from it; `tillsync check` says what to do",
            visible(&folder.name),
            visible(&folder.path.to_string_lossy())
        ));
    }
    let mut progress = Bars::new(shell.err_is_terminal);
    let mut lines = Lines::default();
    let is_terminal = shell.err_is_terminal;
    let mut said: Vec<String> = Vec::new();
    let synced = daemon::sync(config, !args.no_deliver, args.timeout, &mut |standing| {
        if is_terminal {
            progress.show(standing);
        } else if let Some(line) = lines.line(standing) {
            eprintln!("{line}");
        }
    });
    progress.clear();
    let synced = synced?;
    summary(&synced, &mut said);
    for line in said {
        shell.say(&line)?;
    }
    Ok(status(&synced))
}

/// Of several, the highest of 77, 69, 65 (INTERFACE.md, Exit status).
fn status(synced: &Synced) -> Status {
    let taken = &synced.taken;
    let attention =
        taken.rejected > 0 || taken.held > 0 || taken.unreadable > 0 || synced.parked > 0;
    let intake = if attention {
        Status::Attention
    } else {
        Status::Done
    };
    let delivery = match &synced.delivered {
        Some(Outcome::Refused { .. }) => Status::Refused,
        Some(Outcome::Pending { .. } | Outcome::Stopped) if synced.pending > 0 => Status::Away,
        _ => Status::Done,
    };
    intake.max(delivery)
}

fn summary(synced: &Synced, lines: &mut Vec<String>) {
    let taken = &synced.taken;
    lines.push(format!(
        "taken in   {}, {}: {} new, {} changed, {} unchanged, {} deleted",
        count(taken.stored, "file", "files"),
        count(taken.rows, "row", "rows"),
        taken.new,
        taken.changed,
        taken.unchanged,
        taken.deleted
    ));
    let attention = [
        (
            taken.rejected,
            "row was rejected",
            "rows were rejected",
            "`tillsync rejects` says why, and the folder's rejects/ has them to be mended",
        ),
        (
            taken.held,
            "file is held",
            "files are held",
            "`tillsync todo` says what to do",
        ),
        (
            taken.unreadable,
            "file could not be read",
            "files could not be read",
            "the reason stands beside each in rejects/",
        ),
        (
            synced.parked,
            "record is parked, since the remote refused it",
            "records are parked, since the remote refused them",
            "`tillsync parked` says why",
        ),
    ];
    lines.extend(
        attention
            .iter()
            .filter(|(n, ..)| *n > 0)
            .map(|(n, one, many, todo)| format!("           {}: {todo}", count(*n, one, many))),
    );
    let are_pending = match synced.pending {
        1 => "1 record is pending".to_owned(),
        n => format!("{} records are pending", number(n)),
    };
    lines.push(match &synced.delivered {
        None => format!("delivery   left out; {are_pending}"),
        Some(Outcome::Delivered) => "delivery   nothing is pending".to_owned(),
        Some(Outcome::Refused { reason }) => refused(reason, &are_pending),
        Some(Outcome::Pending { reason }) => {
            let reason = reason
                .as_deref()
                .map_or(String::new(), |reason| format!(" ({reason})"));
            format!(
                "delivery   {are_pending}{reason}; the next `tillsync sync` or the daemon goes on"
            )
        }
        Some(Outcome::Stopped) => format!("delivery   stopped; {are_pending}"),
    });
}

/// The reason itself may say already what to type.
fn refused(reason: &str, are_pending: &str) -> String {
    let reason = match reason.strip_prefix("none set") {
        Some(rest) => format!("no credentials are set{rest}"),
        None => reason.to_owned(),
    };
    let advice = match reason.contains("`tillsync ") || reason.contains("chmod") {
        true => "",
        false => "\n           `tillsync login` stores new ones.",
    };
    format!("delivery   {reason}; {are_pending}{advice}")
}

/// Two lines on a terminal.
struct Bars {
    intake: ProgressBar,
    delivery: ProgressBar,
    all: MultiProgress,
    most: u64,
}

impl Bars {
    fn new(is_terminal: bool) -> Bars {
        let target = if is_terminal {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        let all = MultiProgress::with_draw_target(target);
        let style = |template: &str| {
            ProgressStyle::with_template(template)
                .unwrap_or_else(|_| ProgressStyle::default_spinner())
        };
        let intake = all
            .add(ProgressBar::new_spinner())
            .with_style(style("{spinner} taking in   {msg}"));
        let delivery = all
            .add(ProgressBar::new(0))
            .with_style(style("  delivering  [{bar:30}] {pos} of {len} records"));
        Bars {
            intake,
            delivery,
            all,
            most: 0,
        }
    }

    fn show(&mut self, standing: &Standing) {
        self.intake.tick();
        self.intake
            .set_message(match (&standing.board.reading, standing.all_taken) {
                (Some(reading), _) => {
                    format!("{}: {} batches", visible(&reading.name), reading.batches)
                }
                (None, true) => "done".to_owned(),
                (None, false) => "waiting for files to be complete".to_owned(),
            });
        self.most = self.most.max(standing.acknowledged + standing.pending);
        self.delivery.set_length(self.most);
        self.delivery
            .set_position(self.most - standing.pending.min(self.most));
    }

    fn clear(&self) {
        // Nothing to be done about a terminal that is gone.
        let _ = self.all.clear();
    }
}

/// A line when something changed, elsewhere.
#[derive(Default)]
struct Lines {
    last: String,
}

impl Lines {
    fn line(&mut self, standing: &Standing) -> Option<String> {
        let line = match &standing.board.reading {
            Some(reading) => format!("reading {}", visible(&reading.name)),
            None if standing.all_taken && standing.pending > 0 => "delivering".to_owned(),
            None => return None,
        };
        if line == self.last {
            return None;
        }
        self.last.clone_from(&line);
        Some(line)
    }
}
