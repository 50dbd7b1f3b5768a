//! Row + preset + folder settings → record, or reject with line, column, code and reason.
//!
//! Pure; the store is unknown here. Where a reading depends on what is stored (an order's customer by
//! e-mail), it asks a `Lookup` that it is given.
//!
//! A `Reading` is compiled once a table into a `Plan` of columns' numbers. Rows that are one record
//! each take the short way (`flat`): values go straight into the batch's text. All others (orders,
//! groups of rows, records of two kinds in one row) take the long way (`group`).

mod compile;
mod evidence;
mod flat;
mod group;
pub mod notation;
mod order;
mod plan;
mod read;
mod special;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::BTreeMap;

use jiff::civil::Date;

use crate::config::Folder;
use crate::preset::Preset;
use crate::preset::spec::{DateStyle, Footer, Special};
use crate::record::{Batch, FingerprintHasher};
use crate::reject::{Code, Reject};
use crate::table::{Fault, Row};
use evidence::{Doubt, DoubtKind, Groups, LookOver};
use plan::{Cells, Plan, Read, RecordPlan};

/// Types of the project's own metadata: resource (`customer`, `product`, `order`, `order_item`) → key → type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MetadataTypes {
    pub resources: BTreeMap<String, BTreeMap<String, MetadataType>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetadataType {
    pub item: ItemType,
    pub list: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ItemType {
    String,
    Number,
    Boolean,
    Date,
    Datetime,
    Object,
}

/// What a mapping may ask of the store while it reads.
pub trait Lookup {
    /// Keys of stored customers with this e-mail, compared without case; at most two are needed.
    fn customers_by_email(&self, email: &str) -> Vec<String>;
    /// Keys of stored SKUs with this code (their field `sku`).
    fn skus_by_code(&self, code: &str) -> Vec<String>;
    /// Keys of stored products with this code (their `metadata.sku`); at most two are needed.
    fn products_by_code(&self, _code: &str) -> Vec<String> {
        Vec::new()
    }
    /// The customer of a stored order.
    fn customer_of_order(&self, _key: &str) -> Option<String> {
        None
    }
    /// Whether an order of this key is stored (a refund of an unknown one is rejected).
    fn knows_order(&self, _key: &str) -> bool {
        false
    }
}

/// Where and when a table is read.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The host's IANA zone, for folders that set none.
    pub host_zone: &'a str,
    /// For two-digit years and prices with an end.
    pub today: Date,
}

/// How one table is read: compiled once from header, preset and settings.
pub struct Reading {
    header: Vec<String>,
    plan: Plan,
    doubts: Vec<Doubt>,
    columns: Vec<ColumnUse>,
    notices: Vec<String>,
    preset: String,
    zone: String,
    seed: Vec<u8>,
    tally: Tally,
    groups: group::State,
    hasher: FingerprintHasher,
}

/// Counted cells that a person is told of, by the file's header.
#[derive(Debug, Default)]
struct Tally {
    /// Blank cells of fields that no request clears.
    uncleared: BTreeMap<String, u64>,
    /// Cells that left their field untouched.
    untouched: BTreeMap<String, u64>,
    /// Cells under no header.
    nameless: u64,
    /// Keys that look as if a spreadsheet had rounded them, and were taken as they stand.
    rounded_keys: u64,
}

/// What all rows of a table say about a doubtful notation: the order of day and month of a column,
/// the decimal sign of the money columns, and so on.
pub struct Evidence(LookOver);

/// What was decided for a table; enough to read its rejects file as the table itself was read.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Decided {
    pub preset: String,
    pub zone: String,
    /// Header → what its column's cells said.
    pub notation: BTreeMap<String, Notation>,
}

/// What was decided of one column.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Notation {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decimal: Option<char>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub day_first: Option<bool>,
    /// Of a column that could be cents.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub units: Option<bool>,
    /// Of a column that could be a list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub list: Option<bool>,
}

/// What a column becomes, for `plan` and `presets`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnUse {
    pub header: String,
    /// `None`: ignored.
    pub field: Option<String>,
    pub note: Option<String>,
}

/// Counted beside what a call of `map` puts into the batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Rows that the preset knows to be no records.
    pub skipped: u64,
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Counts) {
        self.skipped += other.skipped;
    }
}

impl Cells for Row<'_> {
    fn cell(&self, column: usize) -> &str {
        Row::cell(*self, column)
    }
}

impl Reading {
    /// `Err`: why this table cannot be read at all (no key column, …).
    pub fn compile(
        header: &[String],
        preset: &Preset,
        folder: &Folder,
        types: &MetadataTypes,
        place: &Place<'_>,
    ) -> Result<Reading, String> {
        let compiled = compile::compile(header, preset, folder, types, place)?;
        let seed = seed(header, preset, folder, types, &compiled.zone);
        let groups = group::State::default();
        Ok(Reading {
            header: header.to_vec(),
            plan: compiled.plan,
            doubts: compiled.doubts,
            columns: compiled.columns,
            notices: compiled.notices,
            preset: preset.name.clone(),
            zone: compiled.zone,
            seed,
            tally: Tally::default(),
            groups,
            hasher: FingerprintHasher::default(),
        })
    }

    pub fn columns(&self) -> Vec<ColumnUse> {
        self.columns.clone()
    }

    /// What a person may want to know: columns that became metadata by themselves, and the nearest
    /// known name; after `finish`, what blank or damaged cells left as it was.
    pub fn notices(&self) -> Vec<String> {
        let mut notices = self.notices.clone();
        for doubt in &self.doubts {
            if doubt.kind == DoubtKind::Cents {
                let read = if doubt.settled.units {
                    "units"
                } else {
                    "cents"
                };
                notices.push(format!("column `{}` is read as {read}", doubt.header));
            }
        }
        for (header, count) in &self.tally.uncleared {
            notices.push(format!(
                "{count} blank cells of `{header}` cannot be cleared at the remote; what is stored was kept"
            ));
        }
        if self.tally.nameless > 0 {
            notices.push(format!(
                "{} cells stand in a column without a header and were left out; give the column a name \
                 to have them stored",
                self.tally.nameless
            ));
        }
        if self.tally.rounded_keys > 0 {
            notices.push(format!(
                "{} keys look as if a spreadsheet had rounded them (4.00638E+12); they were taken as \
                 they stand",
                self.tally.rounded_keys
            ));
        }
        for (header, count) in &self.tally.untouched {
            notices.push(format!(
                "{count} cells of `{header}` could not be read (masked, or digits that a spreadsheet \
                 has rounded); what is stored was kept"
            ));
        }
        notices
    }

    /// Whether rows are explained by others, wherever they stand in the table.
    pub fn has_references(&self) -> bool {
        self.plan.special.is_some()
    }

    /// What the rows of the table say that these are rejects of. After `decide`.
    pub fn refer_to(&mut self, whole: Evidence) {
        match (&mut self.groups.references, whole.0.references) {
            (Some(own), Some(whole)) => own.extend(whole),
            (own @ None, whole) => *own = whole,
            (Some(_), None) => {}
        }
    }

    /// The same reading before its first row: nothing counted, no group begun. After `decide`.
    pub fn afresh(&self) -> Reading {
        Reading {
            header: self.header.clone(),
            plan: self.plan.clone(),
            doubts: self.doubts.clone(),
            columns: self.columns.clone(),
            notices: self.notices.clone(),
            preset: self.preset.clone(),
            zone: self.zone.clone(),
            seed: self.seed.clone(),
            tally: Tally::default(),
            groups: self.groups.afresh(),
            hasher: FingerprintHasher::default(),
        }
    }

    /// As `afresh`, for these fields alone: each record that the whole reading gives is given with them,
    /// and so are some that the whole reading would reject. It never asks the store. `None`: no record
    /// of this table has any of them.
    pub fn afresh_for(&self, fields: &[&str]) -> Option<Reading> {
        let mut reading = self.afresh();
        for record in &mut reading.plan.records {
            record.keep_only(fields);
        }
        let gives = |record: &RecordPlan| !(record.fields.is_empty() && record.spreads.is_empty());
        reading.plan.records.iter().any(gives).then_some(reading)
    }

    /// One more thing that a person may want to know.
    pub fn tell(&mut self, notice: String) {
        self.notices.push(notice);
    }

    /// `Some`: these rows have to be looked over before the first is mapped.
    pub fn evidence(&self) -> Option<Evidence> {
        let groups = self.plan.group.as_ref().map(Groups::new);
        let references = self.plan.special.as_ref().map(special::References::new);
        if self.doubts.is_empty() && groups.is_none() && references.is_none() {
            return None;
        }
        Some(Evidence(LookOver {
            doubts: self.doubts.clone(),
            groups,
            references,
        }))
    }

    /// Whether the look-over can wait for the first row that `is_in_doubt`: what it decides concerns
    /// cells alone, and not which rows belong together.
    pub fn can_look_later(&self) -> bool {
        self.is_flat()
    }

    /// Whether it may ask for stored products by their code.
    pub fn asks_for_products(&self) -> bool {
        (self.plan.special.as_ref()).is_some_and(|plan| plan.special == Special::WooParents)
    }

    /// Whether this row means one thing or another by what stands in other rows. Until the first such
    /// row, undecided and decided read the same.
    pub fn is_in_doubt(&self, row: Row<'_>) -> bool {
        self.doubts.iter().any(|doubt| doubt.concerns(&row))
    }

    pub fn decide(&mut self, evidence: Evidence) {
        let LookOver {
            mut doubts,
            groups,
            references,
        } = evidence.0;
        evidence::settle(&mut doubts);
        self.doubts = doubts;
        if let Some(groups) = groups {
            self.groups.apart = groups.apart;
        }
        self.groups.references = references;
        self.settle();
    }

    /// What was decided, for a later part of the same table.
    pub fn decided(&self) -> Decided {
        Decided {
            preset: self.preset.clone(),
            zone: self.zone.clone(),
            notation: evidence::decided(&self.doubts),
        }
    }

    /// Takes over what was decided for the original of a rejects file. Its zone is taken by
    /// compiling with `Place::host_zone` (or the folder's `timezone`) set to `Decided::zone`.
    pub fn impose(&mut self, decided: &Decided) {
        evidence::impose(&mut self.doubts, &decided.notation);
        self.settle();
    }

    /// Writes what was decided into the plan.
    fn settle(&mut self) {
        let doubts = &self.doubts;
        for record in &mut self.plan.records {
            for field in record.fields_mut() {
                for day in field.source.days_mut() {
                    if let Some(doubt) = day.doubt {
                        day.rule.style = doubts[doubt].settled.dates.map(DateStyle::Order);
                    }
                }
                let Some(settled) = field.doubt.map(|doubt| doubts[doubt].settled) else {
                    continue;
                };
                settle_read(&mut field.read, settled);
            }
            let items = record.items.as_mut();
            if let Some(refund) = items.and_then(|items| items.refund.as_mut())
                && let Some(doubt) = refund.doubt
            {
                refund.rule.decimal = doubts[doubt].settled.decimal;
            }
        }
    }

    /// All that decides what a row means (header, preset and version, settings, decided notation, zone,
    /// types): what the row hash is keyed with. `None`: rows have no hash, since their reading depends
    /// on more than the row.
    pub fn row_hash_seed(&self) -> Option<Vec<u8>> {
        if !self.is_flat() {
            return None;
        }
        let mut seed = self.seed.clone();
        // Two-digit years hang on the year, prices with an end on the day.
        let today = self.plan.common.today;
        let day = self.plan.uses_today.then(|| today.to_string());
        seed.extend_from_slice(format!("{} {day:?}", today.year()).as_bytes());
        for doubt in &self.doubts {
            seed.extend_from_slice(format!("{:?}", doubt.settled).as_bytes());
        }
        Some(seed)
    }

    /// Each row is one record, whatever stands in the others and in the store.
    fn is_flat(&self) -> bool {
        self.plan.group.is_none()
            && self.plan.special.is_none()
            && self.plan.footer != Footer::AfterBlankLine
            && matches!(&self.plan.records[..], [record] if record.is_flat())
    }

    /// The normalised key of a row that is one record by itself, without mapping the rest.
    pub fn key<'a>(&'a self, row: &'a Row<'a>) -> Option<Cow<'a, str>> {
        if !self.is_flat() {
            return None;
        }
        self.plan.records[0].key.key(row, &self.plan.common).ok()
    }

    /// The columns that hold keys of the table's records, or say which rows belong together.
    pub fn key_columns(&self) -> Vec<usize> {
        let keys =
            (self.plan.records.iter()).flat_map(|record| record.key.source.leading_columns());
        let groups = self.plan.group.iter().flat_map(|group| group.by.clone());
        let mut columns: Vec<usize> = keys.chain(groups).collect();
        columns.sort_unstable();
        columns.dedup();
        columns
    }

    /// Appends the row's record(s), or rejects. A group of rows is put out when its last row has passed.
    ///
    /// `BatchRow::row_hash` is left `None`: whoever knows the store's secret sets it where
    /// `row_hash_seed` is `Some`.
    pub fn map(
        &mut self,
        row: Row<'_>,
        lookup: &dyn Lookup,
        batch: &mut Batch,
        rejects: &mut Vec<Reject>,
    ) -> Counts {
        for &column in &self.plan.nameless {
            self.tally.nameless += u64::from(!notation::text::is_blank(row.cell(column)));
        }
        let from = rejects.len();
        let counts = match self.is_flat() {
            true => self.map_flat(&row, batch, rejects),
            false => self.map_grouped(&row, lookup, batch, rejects),
        };
        self.keep_secrets(&mut rejects[from..]);
        counts
    }

    /// Secrets are blank in what is written of a row: it would be stored without them anyway
    /// (FORMATS-SHOPS.md, R16).
    fn keep_secrets(&self, rejects: &mut [Reject]) {
        for reject in rejects {
            for &column in &self.plan.secret {
                if let Some(cell) = reject.cells.get_mut(column) {
                    cell.clear();
                }
            }
        }
    }

    /// Some of the groups that still stand open at the table's end; `None`: none does any more.
    pub fn finish(
        &mut self,
        lookup: &dyn Lookup,
        batch: &mut Batch,
        rejects: &mut Vec<Reject>,
    ) -> Option<Counts> {
        let from = rejects.len();
        let counts = self.finish_groups(lookup, batch, rejects);
        self.keep_secrets(&mut rejects[from..]);
        counts
    }
}

fn settle_read(read: &mut Read, settled: evidence::Settled) {
    match read {
        Read::Money(rule) => {
            rule.decimal = settled.decimal;
            if settled.units {
                rule.cents = false;
            }
        }
        Read::Integer(decimal) | Read::Number(decimal) => *decimal = settled.decimal,
        Read::Date(rule) | Read::Datetime(rule, ..) => {
            rule.style = settled.dates.map(DateStyle::Order);
        }
        Read::List(_, item) => settle_read(item, settled),
        Read::ListIf(_, list) => *list = settled.list,
        _ => {}
    }
}

impl Evidence {
    pub fn observe(&mut self, row: Row<'_>) {
        // One bad cell leaves the others in their places: what they say of their columns counts.
        let in_place = |fault: &Fault| {
            fault.column.is_some() && matches!(fault.code, Code::Encoding | Code::TooLong)
        };
        self.0.observe(&row, row.fault().is_none_or(in_place));
    }
}

/// Stable over restarts: the same header, preset, settings and types give the same bytes.
fn seed(
    header: &[String],
    preset: &Preset,
    folder: &Folder,
    types: &MetadataTypes,
    zone: &str,
) -> Vec<u8> {
    let mut hasher = blake3::Hasher::new();
    let mut add = |part: &str| {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    };
    add(env!("CARGO_PKG_VERSION"));
    add(&preset.name);
    for name in header {
        add(name);
    }
    add(&format!(
        "{:?}",
        (
            (folder.kind, folder.blank, folder.others, folder.money),
            (
                &folder.key_prefix,
                &folder.customer_prefix,
                &folder.product_prefix
            ),
            (folder.customer_key, folder.decimal, folder.dates),
            (&folder.columns, &folder.constants),
        )
    ));
    add(&format!("{types:?}"));
    add(zone);
    hasher.update(&preset.version);
    hasher.finalize().as_bytes().to_vec()
}
