//! Reads the arguments and returns a status; what happens in between is `cli`'s.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(tillsync::cli::run(std::env::args_os()))
}
