//! Erasing a record for good: what is stored of it, what others say of it, and that it stays away.
//!
//! Of a forgotten key a keyed hash is left (`tombstone`): rows that bring it again are dropped, orders
//! lose the name of their customer. What stands in files is not known here.

use rusqlite::{Connection, OptionalExtension, params};

use super::edit::{self, Shapes, Stored};
use super::meta::Secret;
use super::{Result, Store, lookup, meta, tally};
use crate::kind::Kind;
use crate::record::{Batch, Content, Patch};

/// What an order says of its customer begins so.
const CUSTOMER: &str = "customer.";
const CUSTOMER_KEY: &str = "customer.source_id";

/// What has to be known of a record to erase it elsewhere, too.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Person {
    /// The API's own id, where an answer told it.
    pub remote_id: Option<String>,
    /// A SKU's product.
    pub product: Option<String>,
    /// Texts by which a file's row is known as theirs: e-mail, phone.
    pub texts: Vec<String>,
}

/// How a forgetting begins.
#[derive(Clone, PartialEq, Eq)]
pub enum Begun {
    /// A request that carries the record is not answered yet: nothing was done.
    InAir,
    /// It is not sent any more, and its key stays away. `None`: it is not stored.
    Marked(Option<Person>),
}

impl Store {
    /// Keeps the key away, and the record from being sent.
    pub fn begin_forgetting(&self, kind: Kind, key: &str) -> Result<Begun> {
        let key = key.to_owned();
        self.write(move |c| begin(c, kind, &key))
    }

    /// Erases what is stored of the record, in free pages and the log of writes, too.
    pub fn forget(&self, kind: Kind, key: &str) -> Result<()> {
        let key = key.to_owned();
        self.write(move |c| erase(c, kind, &key))
    }

    /// Whether it was kept away until now.
    pub fn lift(&self, kind: Kind, key: &str) -> Result<bool> {
        let key = key.to_owned();
        self.write(move |c| {
            let hash = hash(&meta::secret(c)?, kind, &key);
            let gone = c.execute(
                "DELETE FROM tombstone WHERE kind = ?1 AND (hash = ?2 OR of = ?2)",
                params![kind.code(), hash],
            )?;
            Ok(gone > 0)
        })
    }

    /// An archived file was replaced by one without their rows: it is still the same file.
    pub fn replaced(&self, before: (u64, u64), inode: u64, size: u64) -> Result<()> {
        self.write(move |c| {
            c.execute(
                "UPDATE file SET inode = ?3, size = ?4
                 WHERE device = ?1 AND inode = ?2 AND archived IS NOT NULL",
                params![before.0 as i64, before.1 as i64, inode as i64, size as i64],
            )?;
            Ok(())
        })
    }

    /// Writes the log of writes back and cuts it off, so that no older page is left in it. `false`:
    /// another process reads just now; the daemon does it when it is idle.
    pub fn cut_off_log(&self) -> Result<bool> {
        let connection = Connection::open(self.path())?;
        super::configure(&connection, true)?;
        let busy: i64 =
            connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
        Ok(busy == 0)
    }
}

fn hash(secret: &Secret, kind: Kind, key: &str) -> Vec<u8> {
    let mut hasher = blake3::Hasher::new_keyed(secret);
    hasher.update(b"tombstone\0");
    hasher.update(kind.name().as_bytes());
    hasher.update(b"\0");
    hasher.update(key.as_bytes());
    hasher.finalize().as_bytes()[..16].to_vec()
}

fn text(content: &Content, field: &str) -> Option<String> {
    serde_json::from_str(content.get(field)?).ok()
}

fn begin(c: &Connection, kind: Kind, key: &str) -> Result<Begun> {
    let stored = edit::stored(c, kind, key)?;
    let mut person = None;
    if let Some(stored) = &stored {
        let in_air: bool = c.query_row(
            "SELECT EXISTS(SELECT 1 FROM flight_item i JOIN flight f ON f.id = i.flight
               WHERE i.id = ?1 AND f.state <> 'done')",
            [stored.id],
            |row| row.get(0),
        )?;
        if in_air {
            return Ok(Begun::InAir);
        }
        for table in ["pending", "parked", "waiting"] {
            c.execute(
                &format!("DELETE FROM {table} WHERE kind = ?1 AND id = ?2"),
                params![kind.code(), stored.id],
            )?;
        }
        person = Some(look(c, kind, stored)?);
    }
    let secret = meta::secret(c)?;
    let of = hash(&secret, kind, key);
    let put = |key: &str| -> Result<()> {
        c.execute(
            "INSERT OR IGNORE INTO tombstone (kind, hash, of) VALUES (?1, ?2, ?3)",
            params![kind.code(), hash(&secret, kind, key), of],
        )?;
        Ok(())
    };
    put(key)?;
    if kind == Kind::Customers {
        // Orders that name nobody but an e-mail would make a customer of it.
        for text in person.iter().flat_map(|person| &person.texts) {
            put(&text.to_lowercase())?;
        }
    }
    Ok(Begun::Marked(person))
}

fn look(c: &Connection, kind: Kind, stored: &Stored) -> Result<Person> {
    let remote_id = c.query_row(
        "SELECT remote_id FROM document WHERE id = ?1",
        [stored.id],
        |row| row.get(0),
    )?;
    let mut shapes = Shapes::default();
    let mut contents = vec![shapes.content(c, stored.id)?];
    let mut statement = c.prepare_cached("SELECT patch FROM change WHERE record = ?1")?;
    let mut rows = statement.query([stored.id])?;
    while let Some(row) = rows.next()? {
        // What it was before stands in older files.
        let patch = row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?;
        if let Some(patch) = Patch::from_json(patch) {
            let mut before = Content::default();
            patch.revert(&mut before);
            contents.push(before);
        }
    }
    let mut texts = Vec::new();
    if kind == Kind::Customers {
        for content in &contents {
            texts.extend(["email", "phone"].iter().filter_map(|f| text(content, f)));
        }
        texts.sort();
        texts.dedup();
    }
    Ok(Person {
        remote_id,
        product: contents.iter().find_map(|content| text(content, "product")),
        texts,
    })
}

fn erase(c: &Connection, kind: Kind, key: &str) -> Result<()> {
    let mut shapes = Shapes::default();
    if let Some(stored) = edit::stored(c, kind, key)? {
        let old = shapes.content(c, stored.id)?;
        lookup::changed(c, kind, stored.id, &old, &Content::default())?;
        tally::changed(c, kind, -i64::from(!stored.gone))?;
        for (table, column) in [
            ("change", "record"),
            ("consent", "id"),
            ("flight_item", "id"),
            ("document", "id"),
        ] {
            // The log of changes is not sorted by record; this is a rare walk over all of it.
            c.execute(
                &format!("DELETE FROM {table} WHERE {column} = ?1"),
                [stored.id],
            )?;
        }
        for table in ["pending", "parked", "waiting"] {
            c.execute(
                &format!("DELETE FROM {table} WHERE kind = ?1 AND id = ?2"),
                params![kind.code(), stored.id],
            )?;
        }
        c.execute(
            "DELETE FROM record WHERE kind = ?1 AND source_id = ?2",
            params![kind.code(), key],
        )?;
    }
    c.execute(
        "DELETE FROM waiting WHERE parent_kind = ?1 AND parent = ?2",
        params![kind.code(), key],
    )?;
    // Rows that are still to be written into a rejects file.
    c.execute(
        "DELETE FROM reject WHERE cells IS NOT NULL
           AND EXISTS (SELECT 1 FROM json_each(reject.cells) WHERE trim(value) = ?1)",
        [key],
    )?;
    if kind == Kind::Customers {
        unname_in_orders(c, &mut shapes, key)?;
    }
    Ok(())
}

/// Orders no longer say whose they are. The remote unties them by itself, so nothing is sent.
fn unname_in_orders(c: &Connection, shapes: &mut Shapes, key: &str) -> Result<()> {
    let json = serde_json::Value::from(key).to_string();
    let orders: Vec<(i64, String)> = c
        .prepare("SELECT id, source_id FROM document WHERE kind = ?1 AND instr(vals, ?2) > 0")?
        .query_map(params![Kind::Orders.code(), json], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?
        .collect::<rusqlite::Result<_>>()?;
    for (id, order) in orders {
        let old = shapes.content(c, id)?;
        if text(&old, CUSTOMER_KEY).as_deref() != Some(key) {
            continue;
        }
        let new = unnamed(&old);
        edit::put_content(c, shapes, Kind::Orders, id, &old, &new)?;
        let print = edit::parts(&new).record;
        c.execute(
            "UPDATE record SET acked = CASE WHEN acked = fingerprint THEN ?3 ELSE acked END, fingerprint = ?3
             WHERE kind = ?1 AND source_id = ?2 AND NOT gone",
            params![Kind::Orders.code(), order, print],
        )?;
    }
    let changes: Vec<(i64, String)> = c
        .prepare(
            "SELECT ch.seq, ch.patch FROM change ch JOIN document d ON d.id = ch.record
             WHERE d.kind = ?1 AND instr(ch.patch, ?2) > 0",
        )?
        .query_map(params![Kind::Orders.code(), json], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?
        .collect::<rusqlite::Result<_>>()?;
    for (seq, patch) in changes {
        let mut patch =
            Patch::from_json(&patch).ok_or_else(|| super::files::damaged("a change's patch"))?;
        patch.fields.retain(|field, _| !field.starts_with(CUSTOMER));
        c.execute(
            "UPDATE change SET patch = ?2 WHERE seq = ?1",
            params![seq, patch.to_json()],
        )?;
    }
    Ok(())
}

fn unnamed(order: &Content) -> Content {
    let mut new = order.clone();
    let fields: Vec<String> = order
        .iter()
        .filter(|(field, _)| field.starts_with(CUSTOMER))
        .map(|(field, _)| field.to_owned())
        .collect();
    for field in fields {
        new.remove(&field);
    }
    new
}

/// Takes the rows of forgotten keys out of a batch, and forgotten customers out of its orders. How
/// many rows went; customers that orders bring along do not count.
pub(super) fn filter(c: &Connection, batch: &mut Batch, of: Kind) -> Result<u64> {
    let any: bool = c
        .prepare_cached("SELECT EXISTS(SELECT 1 FROM tombstone)")?
        .query_row([], |row| row.get(0))?;
    if !any {
        return Ok(0);
    }
    let secret = meta::secret(c)?;
    let mut statement =
        c.prepare_cached("SELECT 1 FROM tombstone WHERE kind = ?1 AND hash = ?2")?;
    let mut is_forgotten = |kind: Kind, key: &str| -> Result<bool> {
        let hash = hash(&secret, kind, key);
        let found: Option<i64> = statement
            .query_row(params![kind.code(), hash], |row| row.get(0))
            .optional()?;
        Ok(found.is_some())
    };
    let mut skipped = 0;
    let mut kept = Vec::with_capacity(batch.rows.len());
    for mut row in std::mem::take(&mut batch.rows) {
        if is_forgotten(row.kind, batch.key(&row))? {
            skipped += u64::from(row.kind == of || of != Kind::Orders);
            continue;
        }
        if row.kind == Kind::Orders {
            let order = super::apply::decode(batch, &row)?;
            let customer = text(&order, CUSTOMER_KEY);
            if let Some(customer) = customer
                && is_forgotten(Kind::Customers, &customer)?
            {
                let order = unnamed(&order);
                let (shape, values) = order.encode();
                let start = batch.text.len();
                batch.text.push_str(&values);
                row.values = start..batch.text.len();
                row.shape = batch.shapes.len();
                row.fingerprint = edit::parts(&order).record;
                batch.shapes.push(shape.into());
            }
        }
        kept.push(row);
    }
    batch.rows = kept;
    Ok(skipped)
}
