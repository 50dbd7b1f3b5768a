//! What a batch would do, without doing it: for `plan FILE` and the look-over of `max_change`.

use std::path::Path;

use rusqlite::Connection;

use super::Result;
use crate::record::{Batch, Patch};

/// What a row would do with its record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    New,
    Unchanged,
    Changed(Patch),
    Deleted,
    /// Nothing is known of it: an unknown record that a row deletes.
    Nothing,
}

/// Compares batches with what is stored, and with what earlier batches would have made of it.
pub struct Comparer {}

impl Comparer {
    /// `scratch_dir`: where an unlinked file holds what the batches would have made.
    pub fn new(_reader: Connection, _scratch_dir: &Path) -> Result<Comparer> {
        todo!()
    }

    /// One outcome for each row of the batch, in its order.
    pub fn compare(&mut self, _batch: &Batch) -> Result<Vec<Outcome>> {
        todo!()
    }
}
