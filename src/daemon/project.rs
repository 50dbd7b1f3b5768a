//! Whose store it is, for commands and at the start: the project of the present credentials beside the
//! one that acknowledged the store's records, and a store that came from a backup.
//!
//! While it runs, delivery itself keeps watch (`delivery::identity`).

use super::{now, parts};
use crate::config::Config;
use crate::store::flight::{self, Rebind};
use crate::store::{self, Store, backup};

/// Under this name the store keeps its project.
pub const PROJECT: &str = "project";

/// Under this name `status` finds why nothing is sent.
pub const REBIND: &str = "rebind";

/// Why nothing may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strange {
    OtherProject,
    Restored,
}

const RESTORED: &str = "the store was restored from a backup, and what was sent since is not known; nothing is sent until `tillsync rebind`";

/// The project that the present credentials open; `Err`: why there are none, in words.
pub fn present(config: &Config) -> Result<String, String> {
    let carrier = parts::carrier(config).map_err(|error| error.to_string())?;
    carrier.project().ok_or_else(|| {
        "no credentials are set, or they cannot be read: `tillsync check` says why".to_owned()
    })
}

/// What stands between this store and this project. `None`: nothing.
pub fn strange(store: &Store, project: &str) -> Result<Option<Strange>, store::Error> {
    if store.integer(backup::COPIED)?.is_some() {
        return Ok(Some(Strange::Restored));
    }
    let bound = flight::project(&store.reader()?)?;
    Ok(bound
        .filter(|bound| bound != project)
        .map(|_| Strange::OtherProject))
}

/// At a start: from a store that came from a backup nothing is sent before `rebind`.
pub fn hold_restored(store: &Store) -> Result<(), store::Error> {
    if store.integer(backup::COPIED)?.is_none() {
        return Ok(());
    }
    let rebind = Rebind {
        at: now(),
        message: RESTORED.to_owned(),
        of_project: false,
    };
    store.write(move |c| flight::demand_rebind(c, &rebind))
}
