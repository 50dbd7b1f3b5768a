//! placeholder
use super::args::Check;
use super::{Failure, Shell, Status};
pub fn run(_args: &Check, shell: &mut Shell<'_>) -> Result<Status, Failure> {
    shell.load_config()?;
    Ok(Status::Done)
}
