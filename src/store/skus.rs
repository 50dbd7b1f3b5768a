//! Deleting a product deletes its SKUs: the remote lets them go with it, and so does the store.
//!
//! Whatever deleted the product deletes them, under the same file and line. Which SKUs a product has is
//! found by a walk over all of them, a part in each transaction: products are seldom deleted, and an index
//! for that alone would cost every SKU that is stored.

use std::collections::HashMap;

use rusqlite::{Connection, params};

use super::edit::{self, Shapes, Source, Target};
use super::{Result, Store};
use crate::kind::Kind;

/// SKUs that one transaction deletes.
const DELETED_MAX: usize = 4_096;

/// SKUs that are read in one go.
const READ_MAX: usize = 65_536;

/// Products of which it is remembered whether they were deleted.
const PRODUCTS_MAX: usize = 4_096;

/// In the line of a change by a file: no row said so, a SKU went with the product of that line. Above all
/// lines, so that a file that is read again after a crash lets none of its rows bring the SKU back.
pub(super) const ALONG: i64 = 1 << 62;

/// What deleted the products.
#[derive(Clone, Copy, Debug)]
pub(super) enum By {
    /// A file's rows, or that a full list lacks them.
    File { file: i64, first_seq: i64 },
    /// That this file was reverted.
    Revert { file: i64 },
    /// A command, by a change with this number or a later one.
    Command { first_seq: i64 },
}

impl By {
    /// Under which file and line the product was deleted; `None`: it stands, or something else deleted it.
    fn deleted(self, c: &Connection, product: &str) -> Result<Option<Source>> {
        let (by, first_seq) = match self {
            By::File { file, first_seq } => (file, first_seq),
            By::Revert { .. } => (0, 0),
            By::Command { first_seq } => (0, first_seq),
        };
        let stored = edit::stored(c, Kind::Products, product)?;
        let Some(stored) = stored.filter(|p| p.gone && p.file == by && p.seq >= first_seq) else {
            return Ok(None);
        };
        let line = edit::newest_line(c, &stored)?;
        let (is_by, line) = match self {
            By::Revert { file } => (line == -file, line),
            By::File { .. } => (true, line | ALONG),
            By::Command { .. } => (true, line),
        };
        let source = Source {
            file: by,
            line,
            ..Source::command(0)
        };
        Ok(is_by.then_some(source))
    }
}

impl Store {
    /// Deletes the SKUs of the products that were deleted so. Can be taken up after a crash. Returns how many.
    pub(super) fn delete_skus_along(&self, by: By, now: i64) -> Result<u64> {
        let reader = self.reader()?;
        let mut deleted = 0;
        let mut after = Some(String::new());
        while let Some(behind) = after {
            let of = &mut |product: &str| Ok(by.deleted(&reader, product)?.is_some());
            let found = of_products(&reader, &behind, of)?;
            if !found.keys.is_empty() {
                deleted += self.write_alone(move |c| delete(c, by, &found.keys, now))?;
            }
            after = found.next;
        }
        Ok(deleted)
    }
}

/// The same within a transaction.
pub(super) fn delete_along(c: &Connection, by: By, now: i64) -> Result<u64> {
    let mut deleted = 0;
    let mut after = Some(String::new());
    while let Some(behind) = after {
        let (some, next) = delete_some(c, by, &behind, now)?;
        deleted += some;
        after = next;
    }
    Ok(deleted)
}

/// A part of them, those behind a key; and behind which key the next part begins.
pub(super) fn delete_some(
    c: &Connection,
    by: By,
    after: &str,
    now: i64,
) -> Result<(u64, Option<String>)> {
    let of = &mut |product: &str| Ok(by.deleted(c, product)?.is_some());
    let found = of_products(c, after, of)?;
    Ok((delete(c, by, &found.keys, now)?, found.next))
}

/// SKUs that stand here and whose product is one of those, one after another.
pub(super) fn each_of(
    c: &Connection,
    is_product: &mut dyn FnMut(&str) -> bool,
    each: &mut dyn FnMut(String),
) -> Result<()> {
    let mut after = Some(String::new());
    while let Some(behind) = after {
        let found = of_products(c, &behind, &mut |product| Ok(is_product(product)))?;
        found.keys.into_iter().for_each(&mut *each);
        after = found.next;
    }
    Ok(())
}

/// How many SKUs stand here whose product is one of those, without these SKUs.
pub(super) fn count_of(
    c: &Connection,
    is_product: &mut dyn FnMut(&str) -> bool,
    but: &mut dyn FnMut(&str) -> bool,
) -> Result<u64> {
    let mut count = 0;
    each_of(c, is_product, &mut |sku| count += u64::from(!but(&sku)))?;
    Ok(count)
}

/// SKUs that were found in a part of all, and behind which the next part begins.
struct Found {
    keys: Vec<String>,
    next: Option<String>,
}

/// The next SKUs, in the order of their keys, that stand here and whose product is one of those.
fn of_products(
    c: &Connection,
    after: &str,
    is_of: &mut dyn FnMut(&str) -> Result<bool>,
) -> Result<Found> {
    let mut statement = c.prepare_cached(
        "SELECT r.source_id, d.shape, d.vals FROM record r CROSS JOIN document d ON d.id = r.id
         WHERE r.kind = ?1 AND r.source_id > ?2 AND r.gone = 0 ORDER BY r.source_id LIMIT ?3",
    )?;
    let mut rows = statement.query(params![Kind::Skus.code(), after, READ_MAX as i64])?;
    let mut shapes = Shapes::default();
    let mut known: HashMap<String, bool> = HashMap::new();
    let mut found = Found {
        keys: Vec::new(),
        next: None,
    };
    let mut read = 0;
    while let Some(row) = rows.next()? {
        read += 1;
        let content = shapes.content_of(c, row, 1)?;
        let is_found = match content.text("product") {
            None => false,
            Some(product) => match known.get(&product) {
                Some(&is) => is,
                None => {
                    if known.len() == PRODUCTS_MAX {
                        known.clear();
                    }
                    let is = is_of(&product)?;
                    known.insert(product, is);
                    is
                }
            },
        };
        if is_found {
            found.keys.push(row.get(0)?);
        }
        if found.keys.len() == DELETED_MAX || read == READ_MAX {
            found.next = Some(row.get(0)?);
            break;
        }
    }
    Ok(found)
}

/// Those that still are as they were found.
fn delete(c: &Connection, by: By, keys: &[String], now: i64) -> Result<u64> {
    let mut shapes = Shapes::default();
    let mut seq = edit::next_seq(c)?;
    let mut deleted = 0;
    for key in keys {
        let kind = Kind::Skus;
        let Some(stored) = edit::stored(c, kind, key)?.filter(|stored| !stored.gone) else {
            continue;
        };
        let old = shapes.content(c, stored.id)?;
        let source = match old.text("product") {
            Some(product) => by.deleted(c, &product)?,
            None => None,
        };
        let Some(source) = source else { continue };
        let source = Source { now, ..source };
        let target = Target {
            kind,
            key,
            stored: &stored,
        };
        edit::change(c, &mut shapes, target, &old, None, source, seq)?;
        seq += 1;
        deleted += 1;
    }
    Ok(deleted)
}

/// How many SKUs a file has deleted with their products.
pub(super) fn deleted_by(c: &Connection, file: i64, first_seq: i64) -> Result<u64> {
    let count: i64 = c
        .prepare_cached("SELECT count(*) FROM change WHERE seq >= ?2 AND file = ?1 AND line >= ?3")?
        .query_row([file, first_seq, ALONG], |row| row.get(0))?;
    Ok(count as u64)
}
