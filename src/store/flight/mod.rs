//! What delivery reads and writes: what waits, flights and their ends, jobs, the log of requests,
//! link and budget between two starts, parked records.
//!
//! Knows nothing of the API's JSON: bodies are built by whoever asks, from the content that is read in
//! the transaction that commits the flight. Times are UTC milliseconds.

mod candidate;
mod commit;
mod job;
mod park;
mod queue;
mod recover;
mod settle;
mod state;

pub use candidate::{Candidate, Delete, Named};
pub use commit::{
    Begun, Choice, Committed, Launch, NewRequest, Single, TookOff, begin_request, commit_body,
    commit_singles,
};
pub use job::{Carried, JobRow, accepted, ask_again, attempts, items, open_jobs};
pub use park::{Discarded, Selection, discard, product_missing, retry};
pub use queue::{is_empty, queues};
pub use recover::{recover, shift, spent};
pub use settle::{
    Doubt, Ended, Fate, ItemFate, conclude, conclude_named, conclude_request, split, unknown_over,
};
pub use state::{
    Rebind, Standing, Witness, demand_rebind, project, save, set_project, standing, witnesses,
};

use std::collections::HashSet;

/// Channels of a flight, as they stand in the store.
pub mod channel {
    pub const SINGLE: &str = "single";
    pub const BULK: &str = "bulk";
    pub const IMPORT: &str = "import";
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
}
