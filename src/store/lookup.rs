//! Customers by e-mail, SKUs and products by code, for mappings that ask; SKUs by product, for deletions.
//!
//! An index that only some stores need: it is filled when it is first needed, and kept from then on.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};

use rusqlite::{Connection, params};

use super::edit::{self, Shapes};
use super::flight::{broken_off, product_of_gone};
use super::{Result, Store, meta};
use crate::kind::Kind;
use crate::mapping::Lookup;
use crate::record::Content;

/// Keys that a look-up gives at most: more than one is already a conflict.
const FOUND_MAX: i64 = 2;

/// Codes whose keys are remembered while a file is read, at most: about two megabytes.
const CODES_MAX: usize = 16_384;

const IS_STORED: &str =
    "SELECT count(*) FROM record WHERE kind = ?1 AND source_id = ?2 AND gone = 0";
/// Deleted or not.
const IS_KNOWN: &str = "SELECT count(*) FROM record WHERE kind = ?1 AND source_id = ?2";

fn hash(text: &str) -> u64 {
    xxhash_rust::xxh3::xxh3_64(text.as_bytes())
}

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
    let text = content.text(field(kind)?)?;
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
    skus_of: bool,
}

impl Active {
    pub fn of(self, kind: Kind) -> bool {
        match kind {
            Kind::Customers => self.customers,
            Kind::Skus => self.skus || self.skus_of,
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
        skus_of: are_skus_of(c)?,
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
    if kind == Kind::Skus
        && let Some(product) = new.get("product")
        && old.get("product") != Some(product)
        && are_skus_of(c)?
        && let Some(product) = new.text("product")
    {
        put(c, OF_PRODUCT, &product, id)?;
    }
    let (old, new) = (value(kind, old), value(kind, new));
    if old == new || !is_active(c, kind)? {
        return Ok(());
    }
    if let Some(old) = old {
        c.prepare_cached("DELETE FROM lookup WHERE kind = ?1 AND value = ?2 AND id = ?3")?
            .execute(params![kind.code(), old, id])?;
    }
    if let Some(new) = new {
        put(c, kind.code(), &new, id)?;
    }
    Ok(())
}

fn put(c: &Connection, kind: i64, value: &str, id: i64) -> Result<()> {
    c.prepare_cached("INSERT OR IGNORE INTO lookup (kind, value, id) VALUES (?1, ?2, ?3)")?
        .execute(params![kind, value, id])?;
    Ok(())
}

/// In place of a kind: SKUs by the products that they stand under, or ever stood under since this is kept.
const OF_PRODUCT: i64 = 100;

fn are_skus_of(c: &Connection) -> Result<bool> {
    Ok(meta::integer(c, "lookup.skus-of-product")?.is_some())
}

/// Ids of the SKUs that may stand under a product, here or at the remote: each has to be asked. The index
/// is built when the first product is deleted, and kept from then on.
pub(super) fn skus_of(c: &Connection, product: &str) -> Result<Vec<i64>> {
    if !are_skus_of(c)? {
        fill_skus_of(c)?;
    }
    let mut statement =
        c.prepare_cached("SELECT id FROM lookup WHERE kind = ?1 AND value = ?2 ORDER BY id")?;
    let rows = statement.query_map(params![OF_PRODUCT, product], |row| row.get(0))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn fill_skus_of(c: &Connection) -> Result<()> {
    let mut shapes = Shapes::default();
    let mut statement = c.prepare(
        "SELECT d.id, d.shape, d.vals, r.gone, r.seq, r.acked_seq FROM record r
           JOIN document d ON d.id = r.id WHERE r.kind = ?1 ORDER BY r.source_id",
    )?;
    let mut waits =
        c.prepare("SELECT EXISTS(SELECT 1 FROM pending WHERE kind = ?1 AND part = 0 AND id = ?2)")?;
    let mut rows = statement.query([Kind::Skus.code()])?;
    while let Some(row) = rows.next()? {
        let (id, seq, acked_seq) = (row.get(0)?, row.get(4)?, row.get::<_, Option<i64>>(5)?);
        let gone: bool = row.get(3)?;
        if !gone {
            let content = shapes.content_of(c, row, 1)?;
            if let Some(product) = content.text("product") {
                put(c, OF_PRODUCT, &product, id)?;
            }
        }
        // The remote may still have it where it stood before.
        let before = match (
            gone,
            waits.query_row(params![Kind::Skus.code(), id], |r| r.get(0))?,
        ) {
            (_, false) => None,
            (true, true) => product_of_gone(c, id, seq, acked_seq)?,
            (false, true) => broken_off(c, Kind::Skus, id, seq, acked_seq.unwrap_or(0))?
                .and_then(|(_, product)| product),
        };
        if let Some(product) = before {
            put(c, OF_PRODUCT, &product, id)?;
        }
    }
    meta::set(c, "lookup.skus-of-product", &1)
}

impl Store {
    /// Builds the index of a kind (customers by e-mail, SKUs and products by code) if it is not there,
    /// and keeps it from then on. Before a file is read that may ask; without it a look-up scans all records.
    pub fn prepare_lookup(&self, kind: Kind) -> Result<()> {
        if is_active(&self.reader()?, kind)? {
            return Ok(());
        }
        self.write_alone(move |c| {
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
        let content = shapes.content_of(c, row, 2)?;
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
    made: RefCell<Made>,
}

/// Customers that the orders of the file have made: what an order finds must not hang on how much of the
/// file the writer has committed by then. The newest of them; the others are committed long since.
#[derive(Default)]
struct Made {
    now: Generation,
    before: Generation,
}

#[derive(Default)]
struct Generation {
    keys: HashSet<u64>,
    /// An e-mail's hash → keys.
    by_email: HashMap<u64, Vec<String>>,
}

/// Customers of one generation; more than the writer ever has before it.
const MADE_MAX: usize = 65_536;

impl Made {
    fn generations(&self) -> [&Generation; 2] {
        [&self.before, &self.now]
    }

    fn knows(&self, key: u64) -> bool {
        (self.generations().iter()).any(|of| of.keys.contains(&key))
    }

    fn add(&mut self, key: u64, email: u64, name: &str) {
        if self.now.keys.len() >= MADE_MAX {
            self.before = std::mem::take(&mut self.now);
        }
        self.now.keys.insert(key);
        let of_email = self.now.by_email.entry(email).or_default();
        of_email.push(name.to_owned());
    }
}

impl StoreLookup {
    pub fn new(reader: Connection) -> StoreLookup {
        StoreLookup {
            reader,
            error: RefCell::new(None),
            codes: RefCell::default(),
            active: Cell::default(),
            made: RefCell::default(),
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

    /// An order of the file makes this customer, if it is not known.
    pub fn note_made(&self, key: &str, email: &str) {
        let (mark, email) = (hash(key), hash(&normal(Kind::Customers, email)));
        if self.made.borrow().knows(mark) || self.count(IS_KNOWN, Kind::Customers, key) {
            return;
        }
        self.made.borrow_mut().add(mark, email, key);
    }

    /// Whether there is such a record, and not a deleted one.
    pub fn is_stored(&self, kind: Kind, key: &str) -> bool {
        self.count(IS_STORED, kind, key)
    }

    fn count(&self, sql: &str, kind: Kind, key: &str) -> bool {
        let known = (self.reader).prepare_cached(sql).and_then(|mut statement| {
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

    fn order_customer(&self, order: &str) -> Result<Option<String>> {
        let Some(stored) = edit::stored(&self.reader, Kind::Orders, order)? else {
            return Ok(None);
        };
        let content = Shapes::default().content(&self.reader, stored.id)?;
        Ok(content.text("customer.source_id"))
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
        let mut keys = self.keys(Kind::Customers, email);
        let made = self.made.borrow();
        if !made.now.keys.is_empty() {
            let email = hash(&normal(Kind::Customers, email));
            let generations = made.generations();
            let of_email = generations.iter().filter_map(|of| of.by_email.get(&email));
            for key in of_email.flatten() {
                if !keys.contains(key) {
                    keys.push(key.clone());
                }
            }
            keys.truncate(FOUND_MAX as usize);
        }
        keys
    }

    fn customer_of_order(&self, key: &str) -> Option<String> {
        self.order_customer(key).unwrap_or_else(|error| {
            self.note(Err(error));
            None
        })
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
