//! Recognising a format by the ids in its first rows, where the header says nothing: some systems
//! write it in the account's language (FORMATS.md, Zoho CRM).

use std::collections::HashSet;

use super::header::{Header, Likeness};
use super::shape::has_shape;
use super::spec::{Origin, Spec};
use super::{Preset, Presets};
use crate::kind::Kind;

/// A format that the first rows' ids tell.
#[derive(Clone, Debug)]
pub struct ByCells<'a> {
    pub preset: &'a Preset,
    /// The header of the column that holds the key, where it is not one that the format knows: then
    /// nothing is known of the other columns either.
    pub key: Option<String>,
    pub why: String,
}

impl Presets {
    /// `rows` are the first ones below the header; `name` a preset's, or `auto`; `columns` the folder's
    /// own.
    pub fn by_cells(
        &self,
        name: &str,
        kind: Kind,
        names: &[String],
        columns: &[(String, String)],
        rows: &[Vec<String>],
    ) -> Option<ByCells<'_>> {
        let header = Header::new(names);
        let of_name = |preset: &&Preset| name == "auto" || preset.name == name;
        (self.iter())
            .filter(|preset| preset.kinds.contains(&kind))
            .filter(of_name)
            .find_map(|preset| {
                let spec = preset.spec.as_deref()?;
                let shape = spec.signature.key_cell.as_deref()?;
                let (column, key) = key_column(spec, &header, columns, rows, shape)?;
                let shown = names[column].trim();
                let why = format!("the ids in the column `{shown}` are of the shape `{shape}`");
                Some(ByCells {
                    preset,
                    key: key.then(|| names[column].clone()),
                    why,
                })
            })
    }

    /// Whether `by_cells` could know a file whose header says nothing.
    pub fn may_be_known_by_cells(&self, name: &str, kind: Kind, header: &[String]) -> bool {
        let header = Header::new(header);
        self.iter().any(|preset| {
            let Some(spec) = preset.spec.as_deref() else {
                return false;
            };
            let here = preset.kinds.contains(&kind) && spec.signature.key_cell.is_some();
            match name {
                "auto" => here && !header.has_form("source_id", Likeness::Folded),
                name => here && preset.name == name && own_key(spec, &header).is_none(),
            }
        })
    }
}

/// The column of the ids, and whether the format doesn't know its header.
fn key_column(
    spec: &Spec,
    header: &Header,
    columns: &[(String, String)],
    rows: &[Vec<String>],
    shape: &str,
) -> Option<(usize, bool)> {
    let holds_ids = |&column: &usize| ids(rows, column, shape).next().is_some();
    if let Some(own) = own_key(spec, header) {
        return holds_ids(&own).then_some((own, false));
    }
    let mapped = (columns.iter())
        .filter(|(_, target)| target == "source_id")
        .find_map(|(name, _)| header.find(name, Likeness::Spelled).first().copied());
    if let Some(mapped) = mapped {
        return holds_ids(&mapped).then_some((mapped, true));
    }
    // Owners and creators have ids, too; but theirs come again.
    let all: Vec<usize> = (0..header.len()).filter(holds_ids).collect();
    let is_distinct = |column: &&usize| {
        let mut seen = HashSet::new();
        ids(rows, **column, shape).all(|id| seen.insert(id))
    };
    let column = all.iter().find(is_distinct).or(all.first())?;
    Some((*column, true))
}

/// The format's own key column.
fn own_key(spec: &Spec, header: &Header) -> Option<usize> {
    match &spec.records.first()?.key.from {
        Origin::Column(names) => header.find_any(names, spec.likeness).first().copied(),
        _ => None,
    }
}

fn ids<'a>(
    rows: &'a [Vec<String>],
    column: usize,
    shape: &'a str,
) -> impl Iterator<Item = &'a str> {
    (rows.iter())
        .filter_map(move |row| row.get(column))
        .map(|cell| cell.trim())
        .filter(move |cell| has_shape(cell, shape))
}
