//! The short way: one row, one record, values straight into the batch's text. And what both ways
//! share: rows that are no records, faults, keys.

use std::borrow::Cow;
use std::sync::Arc;

use super::notation::{Wrong, number, text};
use super::plan::{Cells, Common, FieldPlan, KeyPlan, Plan, RecordPlan, Unclear, any_holds};
use super::read::{Put, no_product};
use super::{Counts, Reading, Tally};
use crate::kind::Kind;
use crate::preset::shape::has_shape;
use crate::preset::spec::Footer;
use crate::record::{Act, Batch, BatchRow, CLEARED, FingerprintHasher, GONE, Shape};
use crate::reject::{Code, Reject};
use crate::table::Row;

/// A sum's word in a footer's first cell (FORMATS-SHOPS.md, R4).
const SUM_WORDS: &[&str] = &[
    "summe",
    "gesamt",
    "gesamtsumme",
    "total",
    "totals",
    "grand total",
    "sum",
    "razem",
    "suma",
    "totale",
    "totaal",
    "итого",
];

/// `2`, `1.234`
fn is_count(cell: &str) -> bool {
    let signs = |c: char| c.is_ascii_digit() || matches!(c, '.' | ',' | ' ' | '\'' | '\u{a0}');
    cell.chars().any(|c| c.is_ascii_digit()) && cell.chars().all(signs)
}

/// Why a row is no record, with the column at fault.
#[derive(Debug)]
pub(super) struct Refused {
    pub column: Option<String>,
    pub wrong: Wrong,
}

impl Refused {
    pub fn new(column: Option<&str>, wrong: Wrong) -> Refused {
        Refused {
            column: column.map(str::to_owned),
            wrong,
        }
    }
}

impl Reading {
    pub(super) fn map_flat(
        &mut self,
        row: &Row<'_>,
        batch: &mut Batch,
        rejects: &mut Vec<Reject>,
    ) -> Counts {
        if self.is_no_record(row) {
            return Counts { skipped: 1 };
        }
        if row.fault().is_some() {
            rejects.push(self.reject_fault(row));
            return Counts::default();
        }
        let record = &self.plan.records[0];
        if !any_holds(&record.when, row) {
            return Counts { skipped: 1 };
        }
        let start = (batch.text.len(), batch.rows.len());
        let mapped = put_flat(
            record,
            &self.plan,
            row,
            row.line(),
            batch,
            &mut self.hasher,
            &mut self.tally,
        );
        if let Err(refused) = mapped {
            batch.text.truncate(start.0);
            batch.rows.truncate(start.1);
            rejects.push(Reject {
                line: row.line(),
                column: refused.column,
                code: refused.wrong.code,
                reason: refused.wrong.reason,
                cells: row.cells(),
                records: self.records_of(row, row),
            });
        }
        Counts::default()
    }

    /// Rows that the preset knows to be none: skipped and counted.
    pub(super) fn is_no_record(&self, row: &Row<'_>) -> bool {
        let plan = &self.plan;
        if plan.skip.is_empty() && plan.footer != Footer::Sum && !plan.skips_empty {
            return false;
        }
        let width = self.header.len();
        if plan.skips_empty && (0..width).all(|column| text::is_blank(row.cell(column))) {
            return row
                .fault()
                .is_none_or(|fault| fault.code == Code::ColumnCount);
        }
        if plan.footer == Footer::Sum && self.is_sum(row) {
            return true;
        }
        row.fault().is_none() && plan.skip.iter().any(|cond| cond.holds(row))
    }

    fn is_sum(&self, row: &Row<'_>) -> bool {
        let is_word = |column: usize| {
            let word = row.cell(column).trim().trim_end_matches(':').to_lowercase();
            SUM_WORDS.contains(&word.as_str())
        };
        // Where the key is not the first column, the word may stand in its place.
        let mut keys = (self.plan.records.iter()).flat_map(|record| record.key.source.columns());
        if !is_word(0) && !keys.any(is_word) {
            return false;
        }
        let blank = |&column: &usize| text::is_blank(row.cell(column));
        let keyless = self
            .plan
            .records
            .iter()
            .all(|record| record.key.source.columns().iter().all(blank));
        if keyless {
            return true;
        }
        if self.plan.telling.is_empty() {
            let filled = (0..self.header.len())
                .filter(|column| !blank(column))
                .count();
            return filled <= 2.max(self.header.len() / 3);
        }
        // Under the names stands how many there are.
        let tells_nothing = |column: &usize| blank(column) || is_count(row.cell(*column));
        self.plan.telling.iter().all(tells_nothing)
    }

    pub(super) fn reject_fault(&self, row: &Row<'_>) -> Reject {
        let fault = row.fault().expect("asked only of rows with a fault");
        Reject {
            line: row.line(),
            column: fault
                .column
                .and_then(|column| self.header.get(column))
                .map(|name| name.trim().to_owned()),
            code: fault.code,
            reason: fault.reason.clone(),
            cells: row.cells(),
            records: self.records_of(row, row),
        }
    }

    /// The records that a row is about, by itself or as one of its group, as far as their keys can
    /// be read.
    pub(super) fn records_of<C, G>(&self, row: &C, group: &G) -> Vec<(Kind, String)>
    where
        C: Cells + ?Sized,
        G: Cells + ?Sized,
    {
        let common = &self.plan.common;
        let mut records = Vec::new();
        for record in &self.plan.records {
            let key = if record.per_row {
                let makes = any_holds(&record.when, row);
                makes.then(|| record.key.key(row, common).ok()).flatten()
            } else {
                record.key.key(group, common).ok()
            };
            records.extend(key.map(|key| (record.kind, key.into_owned())));
        }
        records
    }
}

/// One row's record, behind what the batch holds. On an error the batch has to be cut back.
fn put_flat<C: Cells + ?Sized>(
    record: &RecordPlan,
    plan: &Plan,
    row: &C,
    line: u64,
    batch: &mut Batch,
    hasher: &mut FingerprintHasher,
    tally: &mut Tally,
) -> Result<(), Refused> {
    let key_start = batch.text.len();
    let key = record.key.key(row, &plan.common)?;
    batch.text.push_str(&key);
    if key.contains("E+") && number::is_scientific(&key) {
        tally.rounded_keys += 1;
    }
    let key = key_start..batch.text.len();
    if is_deleted(record.deleted.as_ref(), row, &plan.common)? {
        let values = push_nulls(&mut batch.text, record.fields.len());
        let shape = shape_index(batch, &record.shape);
        batch.rows.push(BatchRow {
            kind: record.kind,
            line,
            key,
            values,
            shape,
            fingerprint: GONE,
            row_hash: None,
            act: Act::Delete,
        });
        return Ok(());
    }
    let start = batch.text.len();
    batch.text.push('[');
    for (i, field) in record.fields.iter().enumerate() {
        if i > 0 {
            batch.text.push(',');
        }
        put_value(field, plan, row, &mut batch.text, hasher, tally).map_err(|wrong| {
            // What was hashed of a row that is refused must not run into the next.
            hasher.finish();
            field.refused(wrong, row, &plan.common)
        })?;
    }
    batch.text.push(']');
    let values = start..batch.text.len();
    let shape = shape_index(batch, &record.shape);
    batch.rows.push(BatchRow {
        kind: record.kind,
        line,
        key,
        values,
        shape,
        fingerprint: hasher.finish(),
        row_hash: None,
        act: Act::Upsert,
    });
    Ok(())
}

fn put_value<C: Cells + ?Sized>(
    field: &FieldPlan,
    plan: &Plan,
    row: &C,
    out: &mut String,
    hasher: &mut FingerprintHasher,
    tally: &mut Tally,
) -> Result<(), Wrong> {
    let start = out.len();
    let put = field.put(row, &plan.common, out)?;
    if field.required && put == Put::Blank {
        return Err(no_product());
    }
    if put != Put::Value && !put_absent(field, plan.clears, put, out, tally) {
        out.push_str("null");
        return Ok(());
    }
    hasher.field(&field.name, &out[start..]);
    Ok(())
}

/// What a field that a row does not set becomes. `false`: nothing.
pub(super) fn put_absent(
    field: &FieldPlan,
    clears: bool,
    put: Put,
    out: &mut String,
    tally: &mut Tally,
) -> bool {
    let header = || field.header.as_deref().unwrap_or(&field.name).to_owned();
    match put {
        Put::Blank if clears && field.clearable => {
            out.push_str(CLEARED);
            return true;
        }
        Put::Blank if clears => *tally.uncleared.entry(header()).or_default() += 1,
        Put::Untouched => *tally.untouched.entry(header()).or_default() += 1,
        _ => {}
    }
    false
}

/// Only a word that says so deletes; a blank cell does not.
pub(super) fn is_deleted<C: Cells + ?Sized>(
    deleted: Option<&FieldPlan>,
    row: &C,
    common: &Common,
) -> Result<bool, Refused> {
    let Some(field) = deleted else {
        return Ok(false);
    };
    let mut json = String::new();
    let put = field
        .put(row, common, &mut json)
        .map_err(|wrong| field.refused(wrong, row, common))?;
    Ok(put == Put::Value && json == "true")
}

pub(super) fn push_nulls(out: &mut String, count: usize) -> std::ops::Range<usize> {
    let start = out.len();
    out.push('[');
    for i in 0..count {
        out.push_str(if i > 0 { ",null" } else { "null" });
    }
    out.push(']');
    start..out.len()
}

pub(super) fn shape_index(batch: &mut Batch, shape: &Arc<Shape>) -> usize {
    let known = batch
        .shapes
        .iter()
        .rposition(|known| Arc::ptr_eq(known, shape) || known == shape);
    known.unwrap_or_else(|| {
        batch.shapes.push(shape.clone());
        batch.shapes.len() - 1
    })
}

impl KeyPlan {
    /// The key as it is compared and stored, prefix and all.
    pub fn key<'a, C: Cells + ?Sized>(
        &'a self,
        row: &'a C,
        common: &Common,
    ) -> Result<Cow<'a, str>, Refused> {
        let refuse = |code, reason: &str| {
            Err(Refused::new(
                self.header.as_deref(),
                Wrong::new(code, reason),
            ))
        };
        let text = match self.source.text(row, common, false) {
            Ok(text) => text,
            Err(Unclear::Differ) => {
                return refuse(
                    Code::Conflict,
                    "two columns of this name say different keys; leave one of them blank",
                );
            }
            Err(Unclear::NoJson) => {
                return refuse(
                    Code::MissingKey,
                    "no key: the cell that holds it cannot be read as JSON (is a quote or a bracket \
                     missing?)",
                );
            }
            Err(Unclear::Day(wrong)) => return Err(Refused::new(self.header.as_deref(), wrong)),
        };
        let key = match text {
            Cow::Borrowed(text) => text::key(text),
            Cow::Owned(text) => Cow::Owned(text::key(&text).into_owned()),
        };
        if key.is_empty() || common.is_mask(&key) || self.is_missing(&key) {
            return refuse(
                Code::MissingKey,
                "no key; the record cannot be told from others",
            );
        }
        let key = match key {
            Cow::Borrowed(key) => {
                let bare = text::without_apostrophe(key, common.apostrophe);
                Cow::Borrowed(bare)
            }
            Cow::Owned(key) => {
                Cow::Owned(text::without_apostrophe(&key, common.apostrophe).to_owned())
            }
        };
        if self.no_scientific && number::is_scientific(&key) {
            return refuse(
                Code::BadKey,
                "a key that a spreadsheet has rounded: its digits are gone; export it again and do \
                 not open it in a spreadsheet",
            );
        }
        if !self.shapes.is_empty() && !self.shapes.iter().any(|shape| has_shape(&key, shape)) {
            return refuse(
                Code::BadKey,
                "not the shape of this system's keys; was the file saved by a spreadsheet?",
            );
        }
        Ok(self.finished(key))
    }

    fn is_missing(&self, key: &str) -> bool {
        !self.missing.is_empty() && self.missing.contains(&key.to_lowercase())
    }

    fn finished<'a>(&self, key: Cow<'a, str>) -> Cow<'a, str> {
        let plain =
            self.strip.is_empty() && !self.salesforce && !self.lower && self.prefix.is_empty();
        if plain {
            return key;
        }
        let mut bare: &str = &key;
        for prefix in &self.strip {
            bare = bare.strip_prefix(prefix.as_str()).unwrap_or(bare);
        }
        let mut out = if self.salesforce {
            text::salesforce_id(bare).into_owned()
        } else {
            bare.to_owned()
        };
        if self.lower {
            out = out.to_lowercase();
        }
        Cow::Owned(format!("{}{out}", self.prefix))
    }
}
