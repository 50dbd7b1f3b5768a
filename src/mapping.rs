//! Row + preset + folder settings → record, or reject with line, column, code and reason.
//!
//! Pure; the store is unknown here. Where a reading depends on what is stored (an order's customer by
//! e-mail), it asks a `Lookup` that it is given.

use std::collections::BTreeMap;

use crate::config::Folder;
use crate::preset::Preset;
use crate::record::Batch;
use crate::reject::Reject;
use crate::table::Row;

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
}

/// How one table is read: compiled once from header, preset and settings.
pub struct Reading {
    _private: (),
}

/// What all rows of a table say about a doubtful notation: the order of day and month of a column,
/// the decimal sign of the money columns, and so on.
pub struct Evidence {
    _private: (),
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

impl Reading {
    /// `Err`: why this table cannot be read at all (no key column, …).
    pub fn compile(
        _header: &[String],
        _preset: &Preset,
        _folder: &Folder,
        _types: &MetadataTypes,
        _host_zone: &str,
    ) -> Result<Reading, String> {
        todo!()
    }

    pub fn columns(&self) -> Vec<ColumnUse> {
        todo!()
    }

    /// What a person may want to know: columns that became metadata by themselves, and the nearest known name.
    pub fn notices(&self) -> Vec<String> {
        todo!()
    }

    /// `Some`: these rows have to be looked over before the first is mapped.
    pub fn evidence(&self) -> Option<Evidence> {
        todo!()
    }

    pub fn decide(&mut self, _evidence: Evidence) {
        todo!()
    }

    /// All that decides what a row means (header, preset and version, settings, decided notation, zone,
    /// types): what the row hash is keyed with. `None`: rows have no hash, since their reading depends
    /// on more than the row.
    pub fn row_hash_seed(&self) -> Option<Vec<u8>> {
        todo!()
    }

    /// The normalised key of a row that is one record by itself, without mapping the rest.
    pub fn key<'a>(&self, _row: Row<'a>) -> Option<std::borrow::Cow<'a, str>> {
        todo!()
    }

    /// Appends the row's record(s), or rejects. A group of rows is put out when its last row has passed.
    pub fn map(
        &mut self,
        _row: Row<'_>,
        _lookup: &dyn Lookup,
        _batch: &mut Batch,
        _rejects: &mut Vec<Reject>,
    ) -> Counts {
        todo!()
    }

    /// The groups that still stand open at the table's end.
    pub fn finish(
        &mut self,
        _lookup: &dyn Lookup,
        _batch: &mut Batch,
        _rejects: &mut Vec<Reject>,
    ) -> Counts {
        todo!()
    }
}

impl Evidence {
    pub fn observe(&mut self, _row: Row<'_>) {
        todo!()
    }
}
