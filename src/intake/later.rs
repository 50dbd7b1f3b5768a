//! The same key again in a file: the later row wins (INTERFACE.md, Keys and parents), also where the
//! earlier one was rejected and comes back mended when the later one is long stored.
//!
//! Knows formats of which each row is one record; where rows belong together, a key that stands twice
//! is one group. Looked up in the original itself: the store keeps changes, not what a row repeated.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{Read, Seek};

use super::original::STEPS_MAX;
use super::read::{Circumstances, Kept, Refusal, each_rows, reading_as_before};
use super::returned::{self, KeyCells, Original, Returned};
use crate::mapping::{Lookup, Reading};
use crate::record::{Act, Batch, Content};
use crate::table::Member;

/// Mended rows for which later ones are looked for, at most: some twenty megabytes.
const ROWS_MAX: usize = 100_000;

/// What later rows of its file said of a mended row's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// That it is deleted.
    Gone,
    /// These fields.
    Fields(HashSet<String>),
}

/// By the line in the file that came back.
pub type Later = HashMap<u64, Said>;

/// A mended row: its line, and that of its original row.
struct Mended {
    line: u64,
    was: u64,
}

/// Looks for later rows of the keys of a rejects file that came back.
pub fn later<R: Read + Seek>(
    file: &mut R,
    member: &Member,
    reading: &Reading,
    returned: &Returned,
    circumstances: &Circumstances<'_>,
    original: &dyn Fn(i64) -> Option<Original>,
) -> Result<Later, Refusal> {
    let mut later = Later::new();
    let Some((whole, kept, rejected)) = returned.stored_whole() else {
        return Ok(later);
    };
    let mut mended: HashMap<String, Vec<Mended>> = HashMap::new();
    let mut count = 0;
    each_rows(file, member, |rows| {
        for row in rows.iter().filter(|row| row.fault().is_none()) {
            if let (Some(key), Some(was)) = (reading.key(&row), returned.line_of(row)) {
                count += 1;
                let line = row.line();
                let of_key = mended.entry(key.into_owned()).or_default();
                of_key.push(Mended { line, was });
            }
        }
        Ok::<(), Refusal>(())
    })?;
    if mended.is_empty() || count > ROWS_MAX {
        return Ok(later);
    }
    let mut before = look(
        whole,
        kept,
        rejected,
        &mut mended,
        circumstances,
        &mut later,
    )?;
    for _ in 0..STEPS_MAX {
        // What came back may have come back before.
        let Some((id, of)) = before.take() else { break };
        let Some(mut found) = original(id).filter(|found| found.is_stored) else {
            break;
        };
        let rejected = found.keys.remove(&of).unwrap_or_default();
        let kept = found.kept.iter().find(|kept| kept.member == of);
        let (Some(whole), Some(kept)) = (&found.file, kept) else {
            break;
        };
        before = look(
            whole,
            kept,
            &rejected,
            &mut mended,
            circumstances,
            &mut later,
        )?;
    }
    Ok(later)
}

/// Notes what the rows of one original say later. If it is a rejects file itself: which original it is
/// of, and `mended` then counts in that one's lines.
fn look(
    mut whole: &File,
    kept: &Kept,
    rejected: &HashMap<u64, KeyCells>,
    mended: &mut HashMap<String, Vec<Mended>>,
    circumstances: &Circumstances<'_>,
    later: &mut Later,
) -> Result<Option<(i64, String)>, Refusal> {
    let mut reading = reading_as_before(kept, circumstances)?;
    let member = kept.table();
    let is_returned = returned::own_header(&member.header).is_some();
    let mut of = None;
    let mut lines: HashMap<u64, u64> = HashMap::new();
    let (mut batch, mut rejects) = (Batch::default(), Vec::new());
    each_rows(&mut whole, &member, |rows| {
        for row in rows.iter().filter(|row| row.fault().is_none()) {
            if is_returned && let Some((id, member, line)) = Returned::origin(&member.header, row) {
                of.get_or_insert((id, member));
                lines.insert(row.line(), line);
            }
            let Some(key) = reading.key(&row) else {
                continue;
            };
            let Some(of_key) = mended.get(key.as_ref()) else {
                continue;
            };
            if rejected.contains_key(&row.line()) || of_key.iter().all(|m| m.was >= row.line()) {
                continue;
            }
            reading.map(row, &Nobody, &mut batch, &mut rejects);
            for said in said(&batch) {
                for mended in of_key.iter().filter(|mended| mended.was < row.line()) {
                    note(later, mended.line, &said);
                }
            }
            batch.clear();
            rejects.clear();
        }
        Ok::<(), Refusal>(())
    })?;
    for of_key in mended.values_mut() {
        of_key.retain_mut(|mended| match lines.get(&mended.was) {
            Some(line) => {
                mended.was = *line;
                true
            }
            None => false,
        });
    }
    Ok(of)
}

fn said(batch: &Batch) -> Vec<Said> {
    let of_row = |row: &crate::record::BatchRow| match row.act {
        Act::Delete => Some(Said::Gone),
        _ => {
            let content = batch.content(row)?;
            Some(Said::Fields(
                content.iter().map(|(field, _)| field.to_owned()).collect(),
            ))
        }
    };
    batch.rows.iter().filter_map(of_row).collect()
}

fn note(later: &mut Later, line: u64, said: &Said) {
    match (later.get_mut(&line), said) {
        (Some(Said::Gone), _) => {}
        (Some(Said::Fields(fields)), Said::Fields(more)) => fields.extend(more.iter().cloned()),
        _ => {
            later.insert(line, said.clone());
        }
    }
}

/// Rows that are one record each ask nobody.
struct Nobody;

impl Lookup for Nobody {
    fn customers_by_email(&self, _: &str) -> Vec<String> {
        Vec::new()
    }

    fn skus_by_code(&self, _: &str) -> Vec<String> {
        Vec::new()
    }
}

/// Takes from the batch's rows, from `first` on, what later rows said already. `is_stored`: whether a
/// record is there; one that is not has been deleted since, and is not made anew by half a row. How many
/// rows say nothing any more, and are gone.
pub fn give_way(
    batch: &mut Batch,
    first: usize,
    said: &Said,
    is_stored: &mut dyn FnMut(&Batch, &crate::record::BatchRow) -> bool,
) -> u64 {
    let mut left_out = 0;
    for mut row in batch.rows.split_off(first) {
        let content = match (said, row.act) {
            (Said::Fields(fields), Act::Upsert) if is_stored(batch, &row) => {
                let mut content = (batch.content(&row))
                    .expect("a row that was just mapped is a list of its shape");
                fields.iter().for_each(|field| {
                    content.remove(field);
                });
                content
            }
            _ => Content::default(),
        };
        if content.iter().next().is_none() {
            left_out += 1;
            continue;
        }
        batch.replace(&mut row, &content);
        batch.rows.push(row);
    }
    left_out
}
