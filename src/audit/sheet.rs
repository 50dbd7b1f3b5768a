//! The columns of an export: which field stands where, and how money is written there.
//!
//! A column is known by its place and, to be safe, by its name, which may be spelt as a title
//! (`Address Line 1` for `address_line_1`). Where the two disagree, nothing is compared.

use super::value;
use crate::kind::{FieldType, Kind};

/// What is asked of an export: always `source_id` and `id` first, `metadata` last, which becomes a
/// column for each key that the project defines.
pub fn fields(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Customers => &[
            "source_id",
            "id",
            "name",
            "email",
            "phone",
            "birthdate",
            "description",
            "address_line_1",
            "address_line_2",
            "address_city",
            "address_state",
            "address_postal_code",
            "address_country",
            "metadata",
        ],
        Kind::Products => &[
            "source_id",
            "id",
            "name",
            "price",
            "image_url",
            "attributes",
        ],
        Kind::Skus => &["source_id", "id", "sku", "price", "currency", "image_url"],
        Kind::Orders => &[
            "source_id",
            "id",
            "status",
            "amount",
            "discount_amount",
            "metadata",
        ],
    }
}

/// Places of the two columns that say which record a row is of.
const KEY: usize = 0;
const ID: usize = 1;

const METADATA: &str = "metadata";

/// How an export of a kind is laid out.
#[derive(Clone, Debug)]
pub struct Sheet {
    kind: Kind,
    /// Names are written as they were asked for, not as titles.
    exact: bool,
    /// Keys of the metadata columns, and their places.
    metadata: Vec<(String, usize)>,
    /// Places of columns of money in which a decimal point was seen: major units.
    major: Vec<usize>,
    width: usize,
}

impl Sheet {
    /// `Err`: why it cannot be read, in words; it holds names of columns alone.
    pub fn new(kind: Kind, header: &[&str]) -> Result<Sheet, String> {
        let asked = fields(kind);
        let with_metadata = asked.last() == Some(&METADATA);
        let fixed = &asked[..asked.len() - usize::from(with_metadata)];
        if header.len() < fixed.len() {
            return Err(format!(
                "the export has {} columns, and {} were asked for",
                header.len(),
                fixed.len()
            ));
        }
        // A BOM would belong to the first name.
        let names = || {
            header
                .iter()
                .map(|name| name.trim_start_matches('\u{feff}'))
        };
        for (place, (name, asked)) in names().zip(fixed).enumerate() {
            if fold(name) != fold(asked) {
                return Err(format!(
                    "column {} of the export should be `{asked}` and is called otherwise",
                    place + 1
                ));
            }
        }
        let exact = names().zip(fixed).all(|(name, asked)| name == *asked);
        let mut metadata = Vec::new();
        for (place, name) in names().enumerate().skip(fixed.len()) {
            let prefix = name.get(..METADATA.len()).map(str::to_ascii_lowercase);
            let key = match name.get(METADATA.len()..) {
                Some(rest) if prefix.as_deref() == Some(METADATA) => rest.strip_prefix('.'),
                _ => Some(name),
            };
            match key {
                Some(_) if !with_metadata => {
                    return Err(format!(
                        "column {} of the export was not asked for",
                        place + 1
                    ));
                }
                Some(key) => metadata.push((key.to_owned(), place)),
                // All of it in one cell: nothing that can be compared by keys.
                None => {}
            }
        }
        Ok(Sheet {
            kind,
            exact,
            metadata,
            major: Vec::new(),
            width: header.len(),
        })
    }

    pub fn key<'a>(&self, cells: &[&'a str]) -> &'a str {
        cells.get(KEY).copied().unwrap_or_default()
    }

    pub fn id<'a>(&self, cells: &[&'a str]) -> &'a str {
        cells.get(ID).copied().unwrap_or_default()
    }

    /// Has to see every row before any is compared: how a column writes money is told by all of it.
    /// `Err`: the row is not of this header.
    pub fn see(&mut self, cells: &[&str]) -> Result<(), String> {
        if cells.len() != self.width {
            return Err("a row of the export has other columns than its header".to_owned());
        }
        for place in self.money() {
            if cells[place].contains('.') && !self.major.contains(&place) {
                self.major.push(place);
            }
        }
        Ok(())
    }

    fn money(&self) -> Vec<usize> {
        let asked = fields(self.kind);
        let is_money = |name: &str| {
            let field = self.kind.field(name);
            matches!(field, Some((FieldType::Money, _)))
        };
        (0..asked.len()).filter(|&n| is_money(asked[n])).collect()
    }

    /// The export's cell, if it says something else of a field than what is stored. `None`: equal,
    /// or no export can tell.
    pub(super) fn differing<'a>(
        &self,
        field: &str,
        json: &str,
        cells: &'a [String],
    ) -> Option<&'a str> {
        let place = self.place(field)?;
        let cell = cells.get(place)?.as_str();
        let ty = self.kind.field(field).map(|(ty, _)| ty)?;
        let equal = match ty {
            FieldType::Money => value::same_money(json, cell, self.major.contains(&place)),
            FieldType::List => value::same_list(json, cell),
            _ => value::same(json, cell),
        };
        (!equal).then_some(cell)
    }

    fn place(&self, field: &str) -> Option<usize> {
        if let Some(key) = field.strip_prefix("metadata.") {
            return self.metadata_place(key);
        }
        // `source_id` and `id` are no fields of a document.
        let asked = field.replacen("address.", "address_", 1);
        fields(self.kind)
            .iter()
            .position(|name| *name == asked && *name != METADATA)
    }

    fn metadata_place(&self, key: &str) -> Option<usize> {
        let exact = self.metadata.iter().find(|(name, _)| name == key);
        if exact.is_some() || self.exact {
            return exact.map(|(_, place)| *place);
        }
        let folded = fold(key);
        let mut alike = self
            .metadata
            .iter()
            .filter(|(name, _)| fold(name) == folded);
        match (alike.next(), alike.next()) {
            (Some((_, place)), None) => Some(*place),
            // Titles that cannot be told apart say nothing of either key.
            _ => None,
        }
    }
}

/// A name without what titles change: case, and what stands between words.
fn fold(name: &str) -> String {
    name.chars()
        .filter(|c| c.is_alphanumeric())
        .flat_map(char::to_lowercase)
        .collect()
}
