//! `standin`: the stand-in of the remote API alone, in memory, for trying and testing.

use super::args::Standin;
use super::{Failure, Status};
use crate::config;
use crate::standin::server::{self, Options};

pub fn run(args: &Standin) -> Result<Status, Failure> {
    server::run(args.listen, Options::default())
        .map_err(|error| Failure::Io(format!("{}: {}", args.listen, config::why(&error))))?;
    Ok(Status::Done)
}
