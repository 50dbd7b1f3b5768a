//! What `status` says, and the page, alerts and metrics with it: the facts of one moment, what needs
//! a person, and one line that sums it up.
//!
//! `facts` are plain values, `collect` reads them from store and host, the rest is pure.

pub mod collect;
pub mod facts;
mod headline;
mod json;
mod text;
pub mod words;

use jiff::tz::TimeZone;

pub use collect::collect;
pub use facts::Facts;
pub use headline::{Headline, Tone};
pub use text::{outcome, render_text, render_todo};

use crate::todo::{Todo, todo};

/// One look at this host. Serializes as `status --format json` has it (INTERFACE.md, What machines read).
#[derive(Clone, Debug)]
pub struct Status {
    /// The moment of the look, UTC milliseconds.
    pub now: i64,
    pub facts: Facts,
    pub todo: Vec<Todo>,
    pub headline: Headline,
}

impl Status {
    /// `tz` is the host's zone: in it times are shown, and files expected where a folder names no other.
    pub fn new(facts: Facts, now: i64, tz: &TimeZone) -> Status {
        let todo = todo(&facts, now, tz);
        let headline = headline::of(&facts, &todo, now, tz);
        Status {
            now,
            facts,
            todo,
            headline,
        }
    }
}

#[cfg(test)]
pub mod example;
#[cfg(test)]
mod tests;
