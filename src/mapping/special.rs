//! What the presets' language cannot say: rows that only other rows of the file explain.
//!
//! `WooParents`: a variation names its product by SKU code or `id:44`, while products are known by
//! their ID. `MagentoVariations`: a configurable product lists in one packed cell which other rows
//! are its SKUs, and with which options. Both need a table of the whole file before the first row,
//! and a table is code, not a mapping of columns.

use std::collections::HashMap;

use super::notation::text;
use super::plan::{Cells, Plan};
use crate::preset::spec::Special;

/// What the look-over learnt of other rows.
#[derive(Debug, Default)]
pub(super) struct References {
    special: Option<Special>,
    columns: Columns,
    /// Woo: a product's code → its ID.
    pub parents: HashMap<String, String>,
    /// Magento: a SKU → its product and options.
    pub variations: HashMap<String, (String, Vec<(String, String)>)>,
}

#[derive(Clone, Debug, Default)]
struct Columns {
    key: usize,
    code: usize,
    variations: usize,
}

impl References {
    /// `None`: the plan needs none.
    pub fn new(_plan: &Plan) -> Option<References> {
        None
    }

    pub fn observe<C: Cells + ?Sized>(&mut self, row: &C) {
        let key = text::key(row.cell(self.columns.key));
        match self.special {
            Some(Special::WooParents) => {
                let code = text::key(row.cell(self.columns.code));
                if !code.is_empty() && !key.is_empty() {
                    self.parents.insert(code.into_owned(), key.into_owned());
                }
            }
            Some(Special::MagentoVariations) => {
                let _ = row.cell(self.columns.variations);
            }
            None => {}
        }
    }
}
