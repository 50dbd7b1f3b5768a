//! One change of metadata that many records share: a call that carries it once, with their keys,
//! where bodies that carry each record whole would take more calls.

use rusqlite::Connection;

use super::Look;
use super::candidate::{Candidate, Step, Walk, logged_surely};
use super::commit::goes_whole;
use crate::kind::Kind;
use crate::plan::{Due, Search, metadata_change};
use crate::record::{GONE, Op};
use crate::store::Result;
use crate::wire::metadata_key;

/// What the remote has to be told, as an object's JSON, if the record differs from what was
/// acknowledged in metadata alone. An outcome that is unknown leaves nothing acknowledged.
pub(super) fn metadata_change_of(c: &Connection, candidate: &Candidate) -> Result<Option<String>> {
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
    let mut fields: Vec<(String, Option<String>)> = Vec::new();
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
            // The newest was seen first.
            if !fields.iter().any(|(known, _)| *known == field) {
                fields.push((field, to));
            }
        }
        at = change.prev;
    }
    if at != acked_seq {
        return Ok(None);
    }
    Ok(metadata_change(
        (fields.iter()).map(|(field, to)| (field.as_str(), to.as_deref())),
    ))
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
    let mut search = Search::new(bytes_max);
    let mut walk = Walk::new(c, look)?;
    walk.each(c, kind, false, None, &mut |candidate| {
        if !goes_whole(&candidate) {
            return Ok(Step::On);
        }
        let change = metadata_change_of(c, &candidate)?;
        let due = Due {
            bytes: bytes(&candidate),
            key_bytes: metadata_key(&candidate.key).len(),
            change: change.map(|change| {
                let weight = change.len();
                (change, weight)
            }),
        };
        Ok(match search.see(due) {
            true => Step::On,
            false => Step::Stop,
        })
    })?;
    Ok(search.finish())
}
