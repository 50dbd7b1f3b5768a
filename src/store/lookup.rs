//! Customers by e-mail, SKUs and products by code, for mappings that ask.
//!
//! An index that only orders and references need: it is filled when it is first needed, and kept from
//! then on.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;

use rusqlite::{Connection, params};

use super::edit::Shapes;
use super::{Result, Store, meta};
use crate::kind::Kind;
use crate::mapping::Lookup;
use crate::record::Content;

/// Keys that a look-up gives at most: more than one is already a conflict.
const FOUND_MAX: i64 = 2;

/// Codes whose keys are remembered while a file is read, at most: about two megabytes.
const CODES_MAX: usize = 16_384;

/// The field by which a kind's records are looked up.
fn field(kind: Kind) -> Option<&'static str> {
    match kind {
        Kind::Customers => Some("email"),
        Kind::Skus => Some("sku"),
        // Where shops have a code beside the key, it is kept as metadata.
        Kind::Products => Some("metadata.sku"),
        Kind::Orders => None,
    }
}

/// What of a document is looked up: its text, an e-mail without regard to case.
fn value(kind: Kind, content: &Content) -> Option<String> {
    let json = content.get(field(kind)?)?;
    let text: String = serde_json::from_str(json).ok()?;
    (!text.is_empty()).then(|| normal(kind, &text))
}

fn normal(kind: Kind, text: &str) -> String {
    match kind {
        Kind::Customers => text.trim().to_lowercase(),
        _ => text.to_owned(),
    }
}

/// The kinds whose index is kept.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Active {
    customers: bool,
    skus: bool,
    products: bool,
}

impl Active {
    pub fn of(self, kind: Kind) -> bool {
        match kind {
            Kind::Customers => self.customers,
            Kind::Skus => self.skus,
            Kind::Products => self.products,
            Kind::Orders => false,
        }
    }
}

pub(super) fn active(c: &Connection) -> Result<Active> {
    Ok(Active {
        customers: is_active(c, Kind::Customers)?,
        skus: is_active(c, Kind::Skus)?,
        products: is_active(c, Kind::Products)?,
    })
}

fn is_active(c: &Connection, kind: Kind) -> Result<bool> {
    Ok(meta::integer(c, &format!("lookup.{kind}"))?.is_some())
}

/// A document changed: what is looked up by it changes with it.
pub(super) fn changed(
    c: &Connection,
    kind: Kind,
    id: i64,
    old: &Content,
    new: &Content,
) -> Result<()> {
    let (old, new) = (value(kind, old), value(kind, new));
    if old == new || !is_active(c, kind)? {
        return Ok(());
    }
    if let Some(old) = old {
        c.prepare_cached("DELETE FROM lookup WHERE kind = ?1 AND value = ?2 AND id = ?3")?
            .execute(params![kind.code(), old, id])?;
    }
    if let Some(new) = new {
        c.prepare_cached("INSERT OR IGNORE INTO lookup (kind, value, id) VALUES (?1, ?2, ?3)")?
            .execute(params![kind.code(), new, id])?;
    }
    Ok(())
}

impl Store {
    /// Builds the index of a kind (customers by e-mail, SKUs and products by code) if it is not there,
    /// and keeps it from then on. Before a file is read that may ask; without it a look-up scans all records.
    pub fn prepare_lookup(&self, kind: Kind) -> Result<()> {
        if is_active(&self.reader()?, kind)? {
            return Ok(());
        }
        self.write(move |c| {
            let mut insert =
                c.prepare("INSERT OR IGNORE INTO lookup (kind, value, id) VALUES (?1, ?2, ?3)")?;
            each_value(c, kind, |id, _, value| {
                insert.execute(params![kind.code(), value, id])?;
                Ok(true)
            })?;
            meta::set(c, &format!("lookup.{kind}"), &1)
        })
    }
}

/// Each record of a kind that has something to be looked up by, in the order of arrival.
fn each_value(
    c: &Connection,
    kind: Kind,
    mut each: impl FnMut(i64, String, String) -> Result<bool>,
) -> Result<()> {
    let mut shapes = Shapes::default();
    let mut statement =
        c.prepare("SELECT id, source_id, shape, vals FROM document WHERE kind = ?1 ORDER BY id")?;
    let mut rows = statement.query([kind.code()])?;
    while let Some(row) = rows.next()? {
        let fields = shapes.fields(c, row.get(2)?)?;
        let vals = row.get_ref(3)?.as_str().map_err(rusqlite::Error::from)?;
        let content = Content::decode(&fields, vals);
        let content = content.ok_or_else(|| super::files::damaged("a document"))?;
        if let Some(value) = value(kind, &content)
            && !each(row.get(0)?, row.get(1)?, value)?
        {
            break;
        }
    }
    Ok(())
}

/// Answers a mapping's questions on a reading connection of its own, each as the store stands just then,
/// or many of them as it stood at the first (`snapshot`). What cannot be read is told as unknown and
/// kept: `take_error` at the end of the file.
pub struct StoreLookup {
    reader: Connection,
    error: RefCell<Option<super::Error>>,
    /// What codes led to. A file that asks for codes brings none; an e-mail is asked for anew each
    /// time, since an order may have created its customer.
    codes: RefCell<HashMap<(Kind, String), Vec<String>>>,
    /// Kinds whose index is there: it stays.
    active: Cell<Active>,
}

impl StoreLookup {
    pub fn new(reader: Connection) -> StoreLookup {
        StoreLookup {
            reader,
            error: RefCell::new(None),
            codes: RefCell::default(),
            active: Cell::default(),
        }
    }

    /// The first error that a look-up met: what was mapped since is worth nothing.
    pub fn take_error(&self) -> Option<super::Error> {
        self.error.borrow_mut().take()
    }

    /// Until it is dropped all answers come from one state of the store: a read transaction for each
    /// question costs more than its answer. To be dropped before a batch is handed to the writer, which
    /// cannot begin the WAL anew while somebody reads.
    pub fn snapshot(&self) -> Snapshot<'_> {
        self.note((self.reader.execute_batch("BEGIN")).map_err(Into::into));
        Snapshot(self)
    }

    /// Whether there is such a record, and not a deleted one.
    pub fn is_stored(&self, kind: Kind, key: &str) -> bool {
        let known = (self.reader)
            .prepare_cached(
                "SELECT count(*) FROM record WHERE kind = ?1 AND source_id = ?2 AND gone = 0",
            )
            .and_then(|mut statement| {
                statement.query_row(params![kind.code(), key], |row| row.get::<_, i64>(0))
            });
        match known {
            Ok(known) => known > 0,
            Err(error) => {
                self.note(Err(error.into()));
                false
            }
        }
    }

    fn note(&self, result: Result<()>) {
        if let Err(error) = result {
            self.error.borrow_mut().get_or_insert(error);
        }
    }

    fn keys_of_code(&self, kind: Kind, code: &str) -> Vec<String> {
        let asked = (kind, code.to_owned());
        if let Some(known) = self.codes.borrow().get(&asked) {
            return known.clone();
        }
        let keys = self.keys(kind, code);
        let mut codes = self.codes.borrow_mut();
        if codes.len() >= CODES_MAX {
            codes.clear();
        }
        codes.insert(asked, keys.clone());
        keys
    }

    fn is_active(&self, kind: Kind) -> Result<bool> {
        if !self.active.get().of(kind) {
            self.active.set(active(&self.reader)?);
        }
        Ok(self.active.get().of(kind))
    }

    fn keys(&self, kind: Kind, text: &str) -> Vec<String> {
        self.find(kind, &normal(kind, text))
            .unwrap_or_else(|error| {
                self.note(Err(error));
                Vec::new()
            })
    }

    fn find(&self, kind: Kind, wanted: &str) -> Result<Vec<String>> {
        let c = &self.reader;
        let mut keys = Vec::new();
        if !self.is_active(kind)? {
            each_value(c, kind, |_, key, value| {
                if value == wanted {
                    keys.push(key);
                }
                Ok(keys.len() < FOUND_MAX as usize)
            })?;
            return Ok(keys);
        }
        let mut statement = c.prepare_cached(
            "SELECT d.source_id FROM lookup l JOIN document d ON d.id = l.id
             WHERE l.kind = ?1 AND l.value = ?2 LIMIT ?3",
        )?;
        let mut rows = statement.query(params![kind.code(), wanted, FOUND_MAX])?;
        while let Some(row) = rows.next()? {
            keys.push(row.get(0)?);
        }
        Ok(keys)
    }
}

/// One state of the store for many questions.
pub struct Snapshot<'a>(&'a StoreLookup);

impl Drop for Snapshot<'_> {
    fn drop(&mut self) {
        if !self.0.reader.is_autocommit() {
            (self.0).note((self.0.reader.execute_batch("COMMIT")).map_err(Into::into));
        }
    }
}

impl Lookup for StoreLookup {
    fn customers_by_email(&self, email: &str) -> Vec<String> {
        self.keys(Kind::Customers, email)
    }

    fn skus_by_code(&self, code: &str) -> Vec<String> {
        self.keys_of_code(Kind::Skus, code)
    }

    fn products_by_code(&self, code: &str) -> Vec<String> {
        self.keys_of_code(Kind::Products, code)
    }

    fn knows_order(&self, key: &str) -> bool {
        self.is_stored(Kind::Orders, key)
    }
}
