//! `accept`: takes a held file in after all, for the number that was shown and not for more.

use super::args::FileId;
use super::{Failure, Shell, Status, open_for_writing, wake};

pub fn run(args: &FileId, shell: &mut Shell<'_>) -> Result<Status, Failure> {
    let config = shell.load_config()?;
    let store = open_for_writing(&config)?;
    if !store.accept(args.id)? {
        return Err(Failure::Data(format!(
            "file {} is not held: nothing was done\n`tillsync files` lists the files with their state.",
            args.id
        )));
    }
    if store.file(args.id)?.is_some_and(|file| file.by_hand) {
        let taken = super::import::again(args.id, config, &store, shell)?;
        return match taken {
            Some(status) => Ok(status),
            None => {
                shell.say(&format!(
                    "file {} is taken in when the same file is imported again",
                    args.id
                ))?;
                Ok(Status::Done)
            }
        };
    }
    wake(&config);
    shell.say(&format!("file {} will be taken in", args.id))?;
    Ok(Status::Done)
}
