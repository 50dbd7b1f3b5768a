//! Commands: what each asks and shows. One file a command, one for rendering.
//!
//! Knows the terminal; no SQL, no HTTP. A command does its work through the modules below, writes
//! to a `Shell`, and says how it ended; one place turns that into an exit status.

mod accept;
mod alert;
pub mod args;
mod audit;
mod backup;
mod check;
mod completions;
mod demo;
mod forget;
mod import;
mod init;
mod listings;
mod login;
mod man;
mod owner;
mod parked;
mod pause;
mod plan;
mod presets;
mod rebind;
pub mod render;
mod revert;
mod run;
mod standin;
mod status;
mod sync;
mod trace;

use std::ffi::OsString;
use std::io::{BufRead, IsTerminal, Read, Write};
use std::path::PathBuf;

use clap::Parser;

use crate::config::{self, Config, Environment, Problems};
use crate::daemon;
use crate::store::{self, Store};
use args::{Cli, Command, Consent, Format};

/// How a command that did its work ended. Of several, the highest counts (INTERFACE, exit status).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    Done,
    /// Rows were rejected, a file held or unreadable, records parked, drift found.
    Attention,
    /// The remote could not be reached, and something is still pending.
    Away,
    /// The remote refused the credentials.
    Refused,
    /// What `check` found and has shown already.
    Misconfigured,
}

impl Status {
    pub fn code(self) -> u8 {
        match self {
            Status::Done => 0,
            Status::Attention => 65,
            Status::Away => 69,
            Status::Refused => 77,
            Status::Misconfigured => 78,
        }
    }
}

/// Why a command did not do its work. The text is for people, without `error:` before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// A defect of ours.
    Internal(String),
    Usage(String),
    /// The input cannot be used: no such record, no such file.
    Data(String),
    Away(String),
    Io(String),
    /// Try again later: another tillsync is at work.
    Busy(String),
    Refused(String),
    Configuration(Problems),
    /// Whoever read our output has gone (`tillsync files | head`): nothing to tell.
    OutputClosed,
}

impl Failure {
    pub fn code(&self) -> u8 {
        match self {
            Failure::OutputClosed => 0,
            Failure::Internal(_) => 1,
            Failure::Usage(_) => 2,
            Failure::Data(_) => 65,
            Failure::Away(_) => 69,
            Failure::Io(_) => 74,
            Failure::Busy(_) => 75,
            Failure::Refused(_) => 77,
            Failure::Configuration(_) => 78,
        }
    }

    /// A problem of the configuration that only the outside shows.
    pub fn configuration(problem: config::Problem) -> Failure {
        Failure::Configuration(Problems(vec![problem]))
    }

    /// What is printed to standard error; empty for nothing.
    pub fn render(&self, styled: bool) -> String {
        let text = match self {
            Failure::OutputClosed => return String::new(),
            Failure::Configuration(problems) => return problems.render(styled),
            Failure::Internal(text) => {
                let advice = "This is a defect of tillsync: nothing that you did should lead here.";
                return config::Problem::error(None, text)
                    .advice(advice)
                    .render(styled);
            }
            Failure::Usage(text)
            | Failure::Data(text)
            | Failure::Away(text)
            | Failure::Io(text)
            | Failure::Busy(text)
            | Failure::Refused(text) => text,
        };
        // The first line says what is wrong, the others what to do.
        match text.split_once('\n') {
            Some((first, rest)) => config::Problem::error(None, first)
                .advice(rest)
                .render(styled),
            None => config::Problem::error(None, text).render(styled),
        }
    }
}

impl From<Problems> for Failure {
    fn from(problems: Problems) -> Failure {
        Failure::Configuration(problems)
    }
}

/// The one place that says what a store's error means for a command.
impl From<store::Error> for Failure {
    fn from(error: store::Error) -> Failure {
        let text = error.to_string();
        match error {
            store::Error::Newer { .. } => {
                Failure::configuration(config::Problem::error(None, &text))
            }
            store::Error::Damaged(_) => Failure::Io(format!(
                "{text}\nStart (or restart) tillsync: it looks at all of it, and keeps it aside if it cannot be used. Then put a backup in its place with `tillsync restore`."
            )),
            store::Error::Full
            | store::Error::Broken(_)
            | store::Error::Unwritten(_)
            | store::Error::Aside { .. }
            | store::Error::Open { .. } => Failure::Io(text),
            store::Error::Busy => Failure::Busy(text),
            store::Error::Statement(_) => Failure::Internal(text),
        }
    }
}

/// UTC milliseconds: commands read the clock here.
fn now() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

/// For commands that only look; `None`: nothing has been stored yet.
fn open_store(config: &Config) -> Result<Option<store::Connection>, Failure> {
    Ok(Store::look(&config.state_dir)?)
}

/// For commands that change something, beside a running daemon or not.
fn open_for_writing(config: &Config) -> Result<Store, Failure> {
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    Ok(Store::open(&config.state_dir)?)
}

/// Tells a running daemon that something changed; it watches this file.
fn wake(config: &Config) {
    // Without it the daemon finds out at its next rescan.
    let _ = std::fs::write(config.state_dir.join(daemon::WAKE), b"");
}

/// Of writing to standard output. Other input and output says what failed, as `Failure::Io`.
pub fn output_failed(error: std::io::Error) -> Failure {
    match error.kind() {
        std::io::ErrorKind::BrokenPipe => Failure::OutputClosed,
        _ => Failure::Io(format!("standard output: {}", config::why(&error))),
    }
}

/// What surrounds a command: where it writes, what it may ask, what was typed for all commands.
pub struct Shell<'s> {
    pub out: &'s mut dyn Write,
    pub err: &'s mut dyn Write,
    pub input: &'s mut dyn BufRead,
    /// Whether a person reads standard output.
    pub out_is_terminal: bool,
    pub err_is_terminal: bool,
    /// Whether problems are shown in colours.
    /// Of standard error; `coloured`: of standard output. Not for a `NO_COLOR` or a dumb terminal.
    pub styled: bool,
    pub coloured: bool,
    /// Whether a person can be asked.
    pub input_is_terminal: bool,
    /// Columns of the terminal.
    pub width: Option<u16>,
    /// In which tables show times.
    pub zone: jiff::tz::TimeZone,
    /// `--config`
    pub config: Option<PathBuf>,
    pub environment: Environment,
    /// Read while this process was still root.
    pub loaded: Option<Config>,
}

impl Shell<'_> {
    /// The configuration, or all that is wrong with it.
    pub fn load_config(&self) -> Result<Config, Failure> {
        match &self.loaded {
            Some(config) => Ok(config.clone()),
            None => Ok(config::load(self.config.as_deref(), &self.environment)?),
        }
    }

    /// A line to standard output, at once.
    pub fn say(&mut self, line: &str) -> Result<(), Failure> {
        writeln!(self.out, "{line}")
            .and_then(|()| self.out.flush())
            .map_err(output_failed)
    }

    /// A line beside the output: progress, notices.
    pub fn note(&mut self, line: &str) {
        // Nobody can be told that nobody can be told.
        let _ = writeln!(self.err, "{line}");
    }

    /// An error or a warning that does not end the command.
    pub fn problem(&mut self, problem: &config::Problem) -> Result<(), Failure> {
        // So that both streams stay in order on a terminal.
        self.out.flush().map_err(output_failed)?;
        let _ = write!(self.err, "{}", problem.render(self.styled));
        Ok(())
    }

    pub fn format(&self, asked: Option<Format>) -> Format {
        asked.unwrap_or(if self.out_is_terminal {
            Format::Table
        } else {
            Format::Csv
        })
    }

    pub fn show(
        &mut self,
        listing: &render::Listing,
        asked: Option<Format>,
    ) -> Result<(), Failure> {
        let format = self.format(asked);
        let screen = render::Screen {
            width: self.width.filter(|_| self.out_is_terminal),
            zone: self.zone.clone(),
        };
        listing
            .write(format, &screen, self.out)
            .map_err(output_failed)
    }

    /// For what cannot be undone: `shown` was printed before. `Ok(false)`: the person said no.
    pub fn confirm(&mut self, question: &str, consent: Consent) -> Result<bool, Failure> {
        if consent.yes {
            return Ok(true);
        }
        if !self.input_is_terminal {
            return Err(Failure::Usage(
                "this cannot be undone, and nobody can be asked here: nothing was done\nAdd --yes to do it.".to_owned(),
            ));
        }
        write!(self.err, "{question} [y/N] ")
            .and_then(|()| self.err.flush())
            .map_err(output_failed)?;
        let mut answer = String::new();
        self.input
            .read_line(&mut answer)
            .map_err(|error| Failure::Io(format!("standard input: {}", config::why(&error))))?;
        Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
    }

    /// A KEY as typed; `-` is the first line of standard input.
    pub fn key(&mut self, typed: &str) -> Result<String, Failure> {
        if typed != "-" {
            return Ok(typed.to_owned());
        }
        let mut text = String::new();
        let mut limited = (&mut *self.input).take(KEY_BYTES_MAX);
        limited
            .read_to_string(&mut text)
            .map_err(|error| Failure::Io(format!("standard input: {}", config::why(&error))))?;
        match text
            .lines()
            .next()
            .map(str::trim)
            .filter(|key| !key.is_empty())
        {
            Some(key) => Ok(key.to_owned()),
            None => Err(Failure::Usage("standard input held no key".to_owned())),
        }
    }
}

/// A key longer than a cell may be is none.
const KEY_BYTES_MAX: u64 = 1 << 20;

/// Runs what was typed, with the process's own streams; the exit status.
pub fn run(args: impl IntoIterator<Item = OsString>) -> u8 {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are asked for, and no error; a closed pipe is nobody's.
            let _ = error.print();
            return u8::try_from(error.exit_code()).unwrap_or(2);
        }
    };
    // Nothing is locked for long: other threads log to the same streams.
    let mut out = std::io::BufWriter::new(std::io::stdout());
    let mut err = std::io::stderr();
    let mut input = std::io::BufReader::new(std::io::stdin());
    let styled = anstream::AutoStream::choice(&err) != anstream::ColorChoice::Never;
    let mut shell = Shell {
        out_is_terminal: std::io::stdout().is_terminal(),
        err_is_terminal: err.is_terminal(),
        styled,
        coloured: anstream::AutoStream::choice(&std::io::stdout()) != anstream::ColorChoice::Never,
        input_is_terminal: std::io::stdin().is_terminal(),
        width: render::terminal_width(),
        zone: jiff::tz::TimeZone::system(),
        config: cli.config,
        environment: Environment::of_process(),
        loaded: None,
        out: &mut out,
        err: &mut err,
        input: &mut input,
    };
    let ended = as_owner(cli.command, &mut shell);
    let flushed = shell.out.flush().map_err(output_failed);
    let ended = ended.and_then(|status| flushed.map(|()| status));
    conclude(ended, &mut err, styled)
}

/// The one place that prints a failure, and turns an ending into a status.
fn conclude(ended: Result<Status, Failure>, err: &mut dyn Write, styled: bool) -> u8 {
    match ended {
        Ok(status) => status.code(),
        Err(failure) => {
            let _ = write!(err, "{}", failure.render(styled));
            failure.code()
        }
    }
}

/// Root leaves nothing of its own in the state of another user.
fn as_owner(command: Command, shell: &mut Shell<'_>) -> Result<Status, Failure> {
    if !rustix::process::geteuid().is_root() {
        return dispatch(command, shell);
    }
    if !owner::needs_root(&command) {
        let config = shell.load_config()?;
        owner::become_owner(&config)?;
        shell.loaded = Some(config);
        if !rustix::process::geteuid().is_root() {
            return dispatch(command, shell);
        }
    }
    let ended = dispatch(command, shell);
    // Without a configuration nothing was made.
    if let Ok(config) = shell.load_config() {
        owner::give_back(&config.state_dir);
    }
    ended
}

fn dispatch(command: Command, shell: &mut Shell<'_>) -> Result<Status, Failure> {
    match command {
        Command::Init(args) => init::run(&args, shell),
        Command::Check(args) => check::run(&args, shell),
        Command::Completions(args) => completions::run(&args, shell),
        Command::Man => man::run(shell),
        Command::Files(args) => listings::files(args, shell),
        Command::Rejects(args) => listings::rejects(args, shell),
        Command::Changes(args) => listings::changes(args, shell),
        Command::Pending(args) => listings::pending(args, shell),
        Command::Parked(args) => listings::parked(args, shell),
        Command::Requests(args) => listings::requests(args, shell),
        Command::Find(args) => listings::find(args, shell),
        Command::Standin(args) => standin::run(&args),
        Command::Backup(args) => backup::backup(&args, shell),
        Command::Restore(args) => backup::restore(&args, shell),
        Command::Run => run::run(shell),
        Command::Status(args) => status::status(args, shell),
        Command::Todo(args) => status::todo(args, shell),
        Command::Plan(args) => plan::run(&args, shell),
        Command::Import(args) => import::run(&args, shell),
        Command::Sync(args) => sync::run(&args, shell),
        Command::Retry(args) => parked::retry(&args, shell),
        Command::Discard(args) => parked::discard(&args, shell),
        Command::Revert(args) => revert::run(&args, shell),
        Command::Presets(args) => presets::run(&args, shell),
        Command::Accept(args) => accept::run(&args, shell),
        Command::Alert(args) => alert::run(&args, shell),
        Command::Pause(args) => pause::pause(&args, shell),
        Command::Resume(args) => pause::resume(&args, shell),
        Command::Trace(args) => trace::run(args, shell),
        Command::Demo(args) => demo::run(&args, shell),
        Command::Audit(args) => audit::run(&args, shell),
        Command::Forget(args) => forget::run(&args, shell),
        Command::Rebind(args) => rebind::run(&args, shell),
        Command::Login(args) => login::run(&args, shell),
    }
}

#[cfg(test)]
mod tests;
