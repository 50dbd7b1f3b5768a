//! What the files said, last writer wins: the simple model that store and remote are held against.
//! It knows INTERFACE's rules of rows, and nothing of how tillsync keeps them.

use std::collections::BTreeMap;

use crate::kind::Kind;

/// Fields by their names, values as JSON text.
pub type Fields = BTreeMap<&'static str, String>;

pub type Place = (Kind, String);

/// One row of a file.
#[derive(Clone, Debug)]
pub struct Row {
    pub key: String,
    pub said: Said,
}

#[derive(Clone, Debug)]
pub enum Said {
    /// `None`: the cell is blank.
    Upsert(Vec<(&'static str, Option<String>)>),
    Delete,
    /// No record can be made of it.
    Bad,
}

/// What a request can say of a record: its version, or that it is gone. A record that an order alone
/// names has no version.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Label {
    Gone,
    Bare,
    Version(String),
}

#[derive(Clone, Debug, Default)]
pub struct Record {
    /// `None`: deleted, or never there.
    pub state: Option<Fields>,
    /// All that it was, in order.
    pub history: Vec<Label>,
    /// Who changed it last, and what it was before.
    writer: u64,
    before: Option<Fields>,
}

#[derive(Default)]
pub struct Model {
    pub records: BTreeMap<Place, Record>,
    commands: u64,
}

/// Numbers of writers that are no files.
const COMMANDS: u64 = 1 << 32;

impl Model {
    /// A file was stored. `clears`: a blank cell clears the field.
    pub fn apply(&mut self, file: u64, kind: Kind, rows: &[Row], clears: bool) {
        for row in rows {
            let place = (kind, row.key.clone());
            match &row.said {
                Said::Bad => {}
                Said::Delete => self.delete(&place, file),
                Said::Upsert(fields) => self.upsert(&place, fields, clears, file),
            }
        }
        if kind == Kind::Products {
            self.delete_skus(rows, file);
        }
    }

    /// SKUs go with their products, once all of the file is said.
    fn delete_skus(&mut self, rows: &[Row], file: u64) {
        let deleted = |row: &&Row| matches!(row.said, Said::Delete);
        for row in rows.iter().filter(deleted) {
            let product = self.records.get(&(Kind::Products, row.key.clone()));
            if product.is_some_and(|p| p.state.is_none() && p.writer == file) {
                for sku in self.skus_of(&row.key) {
                    self.change(&sku, None, file);
                }
            }
        }
    }

    fn skus_of(&self, product: &str) -> Vec<Place> {
        let product = serde_json::to_string(product).unwrap();
        let of_it = self.records.iter().filter(|((kind, _), record)| {
            let state = record.state.as_ref();
            *kind == Kind::Skus && state.and_then(|s| s.get("product")) == Some(&product)
        });
        of_it.map(|(place, _)| place.clone()).collect()
    }

    fn upsert(
        &mut self,
        place: &Place,
        fields: &[(&'static str, Option<String>)],
        clears: bool,
        file: u64,
    ) {
        let old = self.records.get(place).and_then(|r| r.state.clone());
        let mut new = old.clone().unwrap_or_default();
        for (field, value) in fields {
            match value {
                Some(value) => drop(new.insert(field, value.clone())),
                None if clears => drop(new.remove(field)),
                None => {}
            }
        }
        if let Some(customer) = new.get("customer.source_id") {
            let customer: String = serde_json::from_str(customer).unwrap();
            let place = (Kind::Customers, customer);
            if !self.records.contains_key(&place) {
                self.change(&place, Some(Fields::new()), file);
            }
        }
        if old.as_ref() == Some(&new) {
            return;
        }
        // A SKU that moves is deleted and made again.
        if let Some(old) = &old
            && old.get("product") != new.get("product")
        {
            self.record(place).history.push(Label::Gone);
        }
        self.change(place, Some(new), file);
    }

    fn delete(&mut self, place: &Place, file: u64) {
        if self.records.get(place).is_none_or(|r| r.state.is_none()) {
            return;
        }
        self.change(place, None, file);
    }

    /// What a file changed, and nothing else since, is as it was before it.
    pub fn revert(&mut self, file: u64) {
        self.commands += 1;
        let writer = COMMANDS + self.commands;
        let of_it: Vec<(Place, Option<Fields>)> = (self.records.iter())
            .filter(|(_, r)| r.writer == file && (r.before.is_some() || r.state.is_some()))
            .map(|(place, r)| (place.clone(), r.before.clone()))
            .collect();
        for (place, before) in of_it {
            self.change(&place, before, writer);
        }
    }

    fn record(&mut self, place: &Place) -> &mut Record {
        self.records.entry(place.clone()).or_default()
    }

    fn change(&mut self, place: &Place, new: Option<Fields>, writer: u64) {
        let record = self.record(place);
        if record.writer != writer {
            record.before = record.state.take();
            record.writer = writer;
        }
        record.history.push(label(new.as_ref()));
        record.state = new;
    }

    /// Whether a SKU went with its product.
    pub fn went_along(&self, sku: &Record) -> bool {
        let product = sku.before.as_ref().and_then(|before| before.get("product"));
        let product = product.and_then(|json| serde_json::from_str::<String>(json).ok());
        sku.state.is_none() && product.is_some_and(|p| !self.is_there(Kind::Products, &p))
    }

    pub fn is_there(&self, kind: Kind, key: &str) -> bool {
        let record = self.records.get(&(kind, key.to_owned()));
        record.is_some_and(|r| r.state.is_some())
    }
}

fn label(state: Option<&Fields>) -> Label {
    match state {
        None => Label::Gone,
        Some(fields) => match fields.get("metadata.v") {
            Some(json) => Label::Version(serde_json::from_str(json).unwrap()),
            None => Label::Bare,
        },
    }
}
