//! One change of metadata that many records share: a call that carries it once, with their keys, where
//! bodies that carry each record whole would take more calls.

use std::collections::HashMap;
use std::hash::Hash;

use crate::record::{CLEARED, push_json_str};

/// After so many records of which few share anything the search ends.
const LOOK_MAX: usize = 1_000;

/// What the remote has to be told of fields that changed, each with its newest JSON, as an object's JSON.
/// `None`: another field than metadata changed, or a field went without a word that clears it.
pub fn metadata_change<'a>(
    fields: impl Iterator<Item = (&'a str, Option<&'a str>)>,
) -> Option<String> {
    let mut told: Vec<(&str, &str)> = Vec::new();
    for (field, to) in fields {
        told.push((field.strip_prefix("metadata.")?, to?));
    }
    told.sort_unstable();
    let mut out = String::from("{");
    for (name, to) in &told {
        if out.len() > 1 {
            out.push(',');
        }
        push_json_str(&mut out, name);
        out.push(':');
        out.push_str(if *to == CLEARED { "null" } else { to });
    }
    out.push('}');
    (!told.is_empty()).then_some(out)
}

/// The search for a change that so many of the records which are due share that telling it once takes
/// fewer calls. `C` stands for a change.
#[derive(Debug)]
pub struct Search<C> {
    bytes_max: usize,
    seen: HashMap<C, Sum>,
    all: Sum,
    chosen: Option<C>,
    /// Too few share anything.
    in_vain: bool,
}

/// A record that is due.
#[derive(Clone, Copy, Debug)]
pub struct Due<C> {
    /// Of the record in a body of many, and of its key in a call that carries a change.
    pub bytes: usize,
    pub key_bytes: usize,
    /// If it differs from what was acknowledged in metadata alone; and how much that weighs.
    pub change: Option<(C, usize)>,
}

/// Records, and what they weigh in bodies of either sort.
#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    records: usize,
    bytes: usize,
    keys: usize,
    change: usize,
}

impl Sum {
    fn add(&mut self, bytes: usize, keys: usize) {
        self.records += 1;
        self.bytes += bytes + 1;
        self.keys += keys + 1;
    }
}

impl<C: Clone + Eq + Hash> Search<C> {
    pub fn new(bytes_max: usize) -> Search<C> {
        Search {
            bytes_max,
            seen: HashMap::new(),
            all: Sum::default(),
            chosen: None,
            in_vain: false,
        }
    }

    /// The next in the order of delivery. `false`: enough was seen.
    pub fn see(&mut self, due: Due<C>) -> bool {
        let Due {
            bytes, key_bytes, ..
        } = due;
        self.all.add(bytes, key_bytes);
        if let Some((change, weight)) = due.change
            && (self.chosen.as_ref()).is_none_or(|chosen| *chosen == change)
        {
            let sum = self.seen.entry(change).or_default();
            sum.add(bytes, key_bytes);
            sum.change = weight;
        }
        let all = self.all;
        if self.chosen.is_none()
            && (all.records.is_multiple_of(LOOK_MAX) || all.bytes > self.bytes_max)
        {
            let most = self.seen.iter().max_by_key(|(_, sum)| sum.records);
            match most {
                Some((change, sum)) if sum.records * 2 >= all.records => {
                    if all.bytes > self.bytes_max {
                        self.chosen = Some(change.clone());
                    }
                }
                _ => {
                    self.in_vain = true;
                    return false;
                }
            }
        }
        // Sure already, however many follow.
        let sure = self
            .chosen
            .as_ref()
            .and_then(|change| self.seen.get(change));
        sure.is_none_or(|sum| sum.bytes <= 3 * self.bytes_max || sum.keys >= self.bytes_max / 2)
    }

    /// `None`: whole records are no dearer.
    pub fn finish(mut self) -> Option<C> {
        let chosen = self.chosen.take().filter(|_| !self.in_vain)?;
        let sum = self.seen.remove(&chosen)?;
        let bodies = |bytes: usize| bytes.div_ceil(self.bytes_max.max(1));
        let apart = bodies(sum.keys + sum.change) + bodies(self.all.bytes - sum.bytes);
        (apart < bodies(self.all.bytes)).then_some(chosen)
    }
}
