//! What the presets' language cannot say: rows that only other rows of the file explain.
//!
//! `WooParents`: a variation names its product by SKU code or `id:44`, while products are known by
//! their ID. `MagentoVariations`: a configurable product lists in one packed cell which other rows
//! are its SKUs, and with which options. Both need a table of the whole file before the first row,
//! and a table is code, not a mapping of columns.

use std::collections::HashMap;
use std::sync::Arc;

use super::Lookup;
use super::group::set_text;
use super::notation::{Wrong, text};
use super::plan::{Cells, RecordPlan, SpecialPlan, any_holds};
use crate::kind::Kind;
use crate::preset::spec::Special;
use crate::record::Content;
use crate::reject::Code;

/// What the look-over learnt of other rows.
#[derive(Clone, Debug)]
pub(super) struct References {
    plan: Arc<SpecialPlan>,
    /// Woo: a product's code → its ID.
    parents: HashMap<String, String>,
    /// Magento: a SKU → its product and options.
    variations: HashMap<String, Variation>,
}

#[derive(Clone, Debug)]
struct Variation {
    product: String,
    options: Vec<(String, String)>,
}

impl References {
    pub fn new(plan: &Arc<SpecialPlan>) -> References {
        References {
            plan: plan.clone(),
            parents: HashMap::new(),
            variations: HashMap::new(),
        }
    }

    pub fn observe<C: Cells + ?Sized>(&mut self, row: &C) {
        let key = text::key(row.cell(self.plan.key));
        let cell = self.plan.column.map_or("", |column| row.cell(column));
        if key.is_empty() || text::is_blank(cell) || !any_holds(&self.plan.parents, row) {
            return;
        }
        match self.plan.special {
            Special::WooParents => {
                let code = text::key(cell).into_owned();
                self.parents.insert(code, key.into_owned());
            }
            Special::MagentoVariations => self.observe_variations(&key, cell),
        }
    }

    /// `sku=A-S,size=S|sku=A-M,size=M`
    fn observe_variations(&mut self, product: &str, cell: &str) {
        for variation in cell.split('|') {
            let pairs = variation.split(',').filter_map(|pair| pair.split_once('='));
            let mut sku = None;
            let mut options = Vec::new();
            for (name, value) in pairs.map(|(name, value)| (name.trim(), value.trim())) {
                match name {
                    "sku" => sku = Some(text::key(value).into_owned()),
                    "" => {}
                    _ if value.is_empty() => {}
                    name => options.push((name.to_owned(), value.to_owned())),
                }
            }
            if let Some(sku) = sku {
                let product = product.to_owned();
                self.variations.insert(sku, Variation { product, options });
            }
        }
    }

    /// Adds what the rows of the whole table say, of which these are a part.
    pub fn extend(&mut self, whole: References) {
        for (code, product) in whole.parents {
            self.parents.entry(code).or_insert(product);
        }
        for (sku, variation) in whole.variations {
            self.variations.entry(sku).or_insert(variation);
        }
    }

    /// Completes a record by what other rows say. `Ok(false)`: the row makes no record of this kind.
    pub fn complete<C: Cells + ?Sized>(
        &self,
        record: &RecordPlan,
        row: &C,
        lookup: &dyn Lookup,
        content: &mut Content,
    ) -> Result<bool, Wrong> {
        match self.plan.special {
            Special::WooParents if record.kind == Kind::Skus => {
                self.name_parent(row, lookup, content)
            }
            Special::WooParents => Ok(true),
            Special::MagentoVariations => {
                let key = text::key(row.cell(self.plan.key));
                match (self.variations.get(key.as_ref()), record.kind) {
                    (None, kind) => Ok(kind == Kind::Products),
                    (Some(_), Kind::Products) => Ok(false),
                    (Some(variation), _) => {
                        self.set_product(&variation.product, content);
                        for (name, value) in &variation.options {
                            set_text(content, &format!("attributes.{name}"), value);
                        }
                        Ok(true)
                    }
                }
            }
        }
    }

    fn name_parent<C: Cells + ?Sized>(
        &self,
        row: &C,
        lookup: &dyn Lookup,
        content: &mut Content,
    ) -> Result<bool, Wrong> {
        let named = text::key(self.plan.parent.map_or("", |column| row.cell(column)));
        let id = named
            .get(..3)
            .filter(|head| head.eq_ignore_ascii_case("id:"));
        let product = match id {
            Some(_) => Some(named[3..].trim()),
            None => self.parents.get(named.as_ref()).map(String::as_str),
        };
        if let Some(product) = product {
            self.set_product(product, content);
            return Ok(true);
        }
        // A product of an earlier file: the store has its key, prefix and all.
        let stored = match named.is_empty() {
            true => Vec::new(),
            false => lookup.products_by_code(&named),
        };
        match &stored[..] {
            [product] => {
                set_text(content, "product", product);
                Ok(true)
            }
            [] => Err(Wrong::new(
                Code::UnknownParent,
                "its product is neither in this file nor stored; export the product too",
            )),
            _ => Err(Wrong::new(
                Code::Conflict,
                "several stored products have the code that this variation names; write its \
                 product as `id:` and the product's ID",
            )),
        }
    }

    fn set_product(&self, product: &str, content: &mut Content) {
        set_text(
            content,
            "product",
            &format!("{}{product}", self.plan.product_prefix),
        );
    }

    /// The file's own header of the column that names a parent.
    pub fn column(&self) -> Option<&str> {
        self.plan.header.as_deref()
    }
}
