use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(tillsync::cli::run(std::env::args_os()))
}
