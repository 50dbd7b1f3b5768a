//! `run`: the daemon.

use tracing_subscriber::filter::LevelFilter;

use super::{Failure, Shell, Status};
use crate::config;
use crate::daemon::{self, logging};

pub fn run(shell: &mut Shell<'_>) -> Result<Status, Failure> {
    let config = shell.load_config()?;
    logging::start(LevelFilter::INFO);
    let asked = shell.config.clone();
    let environment = shell.environment.clone();
    daemon::run(config, &move || {
        Some(config::load(asked.as_deref(), &environment))
    })?;
    Ok(Status::Done)
}

impl From<daemon::Error> for Failure {
    fn from(error: daemon::Error) -> Failure {
        let text = error.to_string();
        match error {
            daemon::Error::Held(_) => Failure::Busy(text),
            daemon::Error::Store(error) => error.into(),
            daemon::Error::Io(_) => Failure::Io(text),
            daemon::Error::Internal(_) => Failure::Internal(text),
            daemon::Error::Configuration(problems) => Failure::Configuration(problems),
        }
    }
}
