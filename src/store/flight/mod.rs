//! What delivery reads and writes: what waits, flights and their ends, jobs, the log of requests,
//! link and budget between two starts, parked records.
//!
//! Knows nothing of the API's JSON: bodies are built by whoever asks, from the content that is read in
//! the transaction that commits the flight. Times are UTC milliseconds.

mod candidate;
mod commit;
mod job;
pub(in crate::store) mod park;
mod queue;
mod recover;
mod settle;
mod shared;
mod state;

pub use candidate::{Candidate, Delete, Named};
pub(in crate::store) use candidate::{broken_off, parent, product_of_gone};
pub use commit::{
    Begun, Choice, Committed, Launch, NewRequest, Single, TookOff, begin_request, commit_body,
    commit_singles,
};
pub use job::{Carried, JobRow, accepted, ask_again, attempts, items, open_jobs};
pub use park::{Discarded, Selection, discard, product_missing, retry};
pub use queue::{is_empty, queues};
pub use recover::{recover, shift, spent};
pub use settle::{
    Doubt, Ended, Fate, ItemFate, conclude, conclude_named, conclude_request, line_worked_off,
    split, unknown_over,
};
pub use shared::shared_change;
pub use state::{
    Rebind, Standing, Witness, clock, demand_rebind, project, save, set_clock, set_project,
    standing, witnesses,
};

use std::collections::HashSet;
use std::sync::Arc;

/// After so long a body whose outcome nobody knows has been worked off, if it ever came to the remote.
pub const WORKED_OFF_MS: i64 = 86_400_000;

/// `source_id`s that the remote has, by their hashes.
#[derive(Clone, Debug, Default)]
pub struct Keys(HashSet<u64>);

impl Keys {
    pub fn insert(&mut self, key: &str) {
        self.0.insert(xxhash_rust::xxh3::xxh3_64(key.as_bytes()));
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// May say yes of one that is not there, once in very many.
    pub fn contains(&self, key: &str) -> bool {
        self.0.contains(&xxhash_rust::xxh3::xxh3_64(key.as_bytes()))
    }
}

/// Channels of a flight, as they stand in the store.
pub mod channel {
    pub const SINGLE: &str = "single";
    pub const BULK: &str = "bulk";
    pub const IMPORT: &str = "import";
    pub const CSV: &str = "csv";
    pub const DELETE: &str = "delete";
    pub const CONSENT: &str = "consent";
    pub const METADATA: &str = "metadata";
}

/// What a look at the queue needs to know of its surroundings.
#[derive(Clone, Debug, Default)]
pub struct Look {
    pub now: i64,
    /// Folders whose orders are history.
    pub history: HashSet<String>,
    /// SKUs that the remote has, where that is known.
    pub skus: Option<Arc<Keys>>,
}
