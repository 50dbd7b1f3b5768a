//! `alert test`: every outlet of `[alert]` is tried, and what came of it is said.

use super::args::{Alert, AlertWhat};
use super::{Failure, Shell, Status, now};
use crate::config::{Problem, Problems};
use crate::daemon::alert::{self, HostOutlets};

pub fn run(args: &Alert, shell: &mut Shell<'_>) -> Result<Status, Failure> {
    let AlertWhat::Test = args.what;
    let config = shell.load_config()?;
    let results = alert::test(&config, &mut HostOutlets::new(&config), now());
    if results.is_empty() {
        let text = "nobody is told: `[alert]` sets no `command`, no `webhook` and no `heartbeat`";
        return Err(Problems(vec![Problem::error(None, text)]).into());
    }
    let mut failed = Vec::new();
    for (outlet, result) in results {
        match result {
            Ok(()) => shell.say(&format!("{outlet}: taken"))?,
            Err(reason) => failed.push(format!("{outlet}: {reason}")),
        }
    }
    match failed.is_empty() {
        true => Ok(Status::Done),
        // A real alert would be kept, and tried again.
        false => Err(Failure::Io(format!(
            "{}\nNothing was kept: look at it, and type `tillsync alert test` again.",
            failed.join("; ")
        ))),
    }
}
