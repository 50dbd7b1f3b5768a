//! One change of metadata that many records share: a call that carries it once, with their keys,
//! where bodies that carry each record whole would take more calls.

use std::collections::HashMap;

use rusqlite::Connection;

use super::Look;
use super::candidate::{Candidate, Step, Walk, logged_surely};
use super::commit::goes_whole;
use crate::kind::Kind;
use crate::record::{CLEARED, GONE, Op, push_json_str};
use crate::store::Result;

/// After so many records of which few share anything the search ends.
const LOOK_MAX: usize = 1_000;

/// What the remote has to be told, as an object's JSON, if the record differs from what was
/// acknowledged in metadata alone. An outcome that is unknown leaves nothing acknowledged.
pub(super) fn metadata_change(c: &Connection, candidate: &Candidate) -> Result<Option<String>> {
    let Candidate { seq, acked_seq, .. } = *candidate;
    let known = candidate.acked.is_some_and(|acked| acked != GONE);
    let (true, Some(acked_seq)) = (known, acked_seq) else {
        return Ok(None);
    };
    let fits = matches!(candidate.kind, Kind::Customers | Kind::Products)
        && candidate.delete.is_none()
        && candidate.body.is_none()
        && candidate.attempts == 0
        && !candidate.bound
        && acked_seq < seq;
    if !fits {
        return Ok(None);
    }
    let mut fields: Vec<(String, String)> = Vec::new();
    let mut at = seq;
    while at > acked_seq {
        // Its first change has no row: it was never acknowledged as something else.
        if at == candidate.id {
            return Ok(None);
        }
        let change = logged_surely(c, at)?;
        if change.op != Some(Op::Updated) {
            return Ok(None);
        }
        for (field, (_, to)) in change.patch()?.fields {
            let (Some(name), Some(to)) = (field.strip_prefix("metadata."), to) else {
                return Ok(None);
            };
            // The newest was seen first.
            if !fields.iter().any(|(known, _)| known == name) {
                fields.push((name.to_owned(), to));
            }
        }
        at = change.prev;
    }
    if at != acked_seq || fields.is_empty() {
        return Ok(None);
    }
    fields.sort();
    let mut out = String::from("{");
    for (name, to) in &fields {
        if out.len() > 1 {
            out.push(',');
        }
        push_json_str(&mut out, name);
        out.push(':');
        out.push_str(if to == CLEARED { "null" } else { to });
    }
    out.push('}');
    Ok(Some(out))
}

/// The change that is shared by so many of the records which are due that telling it once takes fewer
/// calls; `None`: whole records are no dearer. `bytes`: of a record in a body of many.
pub fn shared_change(
    c: &Connection,
    look: &Look,
    kind: Kind,
    bytes_max: usize,
    bytes: &mut dyn FnMut(&Candidate) -> usize,
) -> Result<Option<String>> {
    let mut seen: HashMap<String, Sum> = HashMap::new();
    let mut all = Sum::default();
    let mut chosen: Option<String> = None;
    let mut walk = Walk::new(c, look)?;
    walk.each(c, kind, false, None, &mut |candidate| {
        if !goes_whole(&candidate) {
            return Ok(Step::On);
        }
        let change = metadata_change(c, &candidate)?;
        let sum = Sum {
            records: 1,
            bytes: bytes(&candidate) + 1,
            keys: candidate.key.len() + 3,
        };
        all.add(&sum);
        if let Some(change) = change
            && chosen.as_ref().is_none_or(|chosen| *chosen == change)
        {
            seen.entry(change).or_default().add(&sum);
        }
        if chosen.is_none() && (all.records % LOOK_MAX == 0 || all.bytes > bytes_max) {
            let most = seen.iter().max_by_key(|(_, sum)| sum.records);
            match most {
                Some((change, sum)) if sum.records * 2 >= all.records => {
                    if all.bytes > bytes_max {
                        chosen = Some(change.clone());
                    }
                }
                _ => {
                    seen.clear();
                    return Ok(Step::Stop);
                }
            }
        }
        // Sure already, however many follow.
        let sure = chosen.as_ref().and_then(|change| seen.get(change));
        Ok(match sure {
            Some(sum) if sum.bytes > 3 * bytes_max && sum.keys < bytes_max / 2 => Step::Stop,
            _ => Step::On,
        })
    })?;
    let Some((change, sum)) = chosen.and_then(|change| seen.remove_entry(&change)) else {
        return Ok(None);
    };
    let bodies = |bytes: usize| bytes.div_ceil(bytes_max.max(1));
    let apart = bodies(sum.keys + change.len()) + bodies(all.bytes - sum.bytes);
    Ok((apart < bodies(all.bytes)).then_some(change))
}

/// Records, and what they weigh in bodies of either sort.
#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    records: usize,
    bytes: usize,
    keys: usize,
}

impl Sum {
    fn add(&mut self, other: &Sum) {
        self.records += other.records;
        self.bytes += other.bytes;
        self.keys += other.keys;
    }
}
