//! `completions`: what a shell has to know to complete a command line.

use clap::CommandFactory;

use super::args::{Cli, Completions};
use super::{Failure, Shell, Status, output_failed};

pub fn run(args: &Completions, shell: &mut Shell<'_>) -> Result<Status, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "tillsync", &mut script);
    shell.out.write_all(&script).map_err(output_failed)?;
    Ok(Status::Done)
}
