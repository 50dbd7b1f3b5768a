//! What a simulation does to the code from inside: faults planted on purpose, which it has to find,
//! and a fuse that kills the simulated process at a commit. Compiled into tests alone.
//!
//! Both belong to a thread, so that simulations beside each other keep to themselves; the store's
//! writer takes over what its maker's thread has.

use std::cell::Cell;

/// A fault at one of the decisions on which a promise rests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plant {
    /// A second attempt carries what the record was before its newest change.
    OlderBody,
    /// An unknown outcome counts as an acknowledgement.
    UnknownAcknowledged,
    /// A flight leaves the acknowledged fingerprint in place, so that content which equals it is
    /// skipped although other content is under way.
    EqualSkipped,
    /// A record that a job carries goes by a single call, too.
    SingleOvertakes,
    /// A start forgets the flights that were open.
    FlightForgotten,
    /// A change that no row made leaves the row's hash in place.
    RowHashKept,
}

/// What a kill unwinds with: no panic, and no message.
pub struct Killed;

thread_local! {
    static PLANT: Cell<Option<Plant>> = const { Cell::new(None) };
    static FUSE: Cell<Option<u32>> = const { Cell::new(None) };
}

pub fn set(plant: Option<Plant>) {
    PLANT.set(plant);
}

pub fn get() -> Option<Plant> {
    PLANT.get()
}

pub fn is(plant: Plant) -> bool {
    PLANT.get() == Some(plant)
}

/// The process dies at the place after so many others; `None`: it lives. Gives back what was left.
pub fn light(points: Option<u32>) -> Option<u32> {
    FUSE.replace(points)
}

/// A place at which a kill can strike: before and after each commit, and before each fsync.
pub fn point() {
    match FUSE.get() {
        Some(0) => {
            FUSE.set(None);
            std::panic::resume_unwind(Box::new(Killed));
        }
        Some(left) => FUSE.set(Some(left - 1)),
        None => {}
    }
}
