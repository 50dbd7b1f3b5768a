//! The store as its users see it: files in, listings out.

mod full;
mod listings;
mod model;
mod sessions;
mod skus;

use std::collections::BTreeMap;
use std::sync::Arc;

use super::*;
use crate::kind::Kind;
use crate::record::{Act, Batch, BatchRow, Content, RowHash, Shape};

/// A store in a directory of its own, which goes with it.
pub(super) struct Tried {
    pub store: Store,
    pub dir: tempfile::TempDir,
    files: i64,
}

pub(super) fn tried() -> Tried {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    Tried {
        store,
        dir,
        files: 0,
    }
}

impl Tried {
    pub fn arrive(&mut self, folder: &str, kind: Kind) -> i64 {
        self.files += 1;
        let arrival = Arrival {
            folder: folder.into(),
            kind,
            name: format!("f{}.csv", self.files).into_bytes(),
            shown: format!("f{}.csv", self.files),
            device: 1,
            inode: self.files as u64,
            size: 10,
            mtime_ns: 1,
            by_hand: false,
        };
        self.store.arrive(&arrival, self.files).unwrap()
    }

    pub fn begin(&self, file: i64) -> Result<IntakeSession> {
        self.store.begin_intake(Begin {
            file,
            preset: "plain".into(),
            reading: "{}".into(),
            now: file,
        })
    }

    /// A whole file of customers.
    pub fn take_in(&mut self, rows: &[Row<'_>]) -> (i64, Counts) {
        self.take_in_of("customers", Kind::Customers, rows)
    }

    pub fn take_in_of(&mut self, folder: &str, kind: Kind, rows: &[Row<'_>]) -> (i64, Counts) {
        let file = self.arrive(folder, kind);
        let mut session = self.begin(file).unwrap();
        session.apply(batch(kind, rows, 2), vec![], "", 1).unwrap();
        (file, session.finish(end(rows.len() as u64)).unwrap())
    }

    /// What is stored of a record; `None`: unknown or gone.
    pub fn content(&self, kind: Kind, key: &str) -> Option<Content> {
        let trace = trace(&self.store.reader().unwrap(), kind, key).unwrap()?;
        (!trace.gone).then_some(trace.content)
    }

    pub fn pending(&self) -> Vec<String> {
        let mut keys = Vec::new();
        super::pending(
            &self.store.reader().unwrap(),
            &Filter::default(),
            &mut |p| {
                keys.push(if p.consents { p.key + "+" } else { p.key });
                true
            },
        )
        .unwrap();
        keys.sort();
        keys
    }

    /// As if delivery had sent all that waits, and the remote had acknowledged it.
    pub fn acknowledge_all(&self) {
        let keys = self.pending();
        for key in keys {
            self.acknowledge(key.trim_end_matches('+'));
        }
    }

    pub fn acknowledge(&self, key: &str) {
        let key = key.to_owned();
        self.store
            .write(move |c| {
                carried(c, &key)?;
                let id = format!("(SELECT id FROM document WHERE source_id = '{key}')");
                c.execute_batch(&format!(
                    "UPDATE record SET acked = fingerprint WHERE source_id = '{key}';
                     UPDATE consent SET acked = fingerprint WHERE id = {id};
                     DELETE FROM pending WHERE id = {id}"
                ))?;
                Ok(())
            })
            .unwrap();
    }

    /// As if the remote had refused the record as it is.
    pub fn park(&self, key: &str) {
        let key = key.to_owned();
        self.store
            .write(move |c| {
                carried(c, &key)?;
                c.execute_batch(&format!(
                    "INSERT OR REPLACE INTO parked (kind, part, id, since, fingerprint, code)
                       SELECT kind, 0, id, 1, fingerprint, 'invalid_customer' FROM record WHERE source_id = '{key}';
                     DELETE FROM pending WHERE part = 0 AND id = (SELECT id FROM document WHERE source_id = '{key}')"
                ))?;
                Ok(())
            })
            .unwrap();
    }
}

/// A flight that carried the record and is over.
fn carried(c: &Connection, key: &str) -> Result<()> {
    c.execute_batch(&format!(
        "INSERT INTO flight (kind, channel, state, started, ended) VALUES (3, 'single', 'done', 1, 2);
         INSERT INTO flight_item (flight, id, seq, fingerprint, outcome)
           SELECT last_insert_rowid(), id, seq, fingerprint, 'acknowledged' FROM record WHERE source_id = '{key}'"
    ))?;
    Ok(())
}

pub(super) fn end(rows: u64) -> Finish {
    Finish {
        rows,
        skipped: 0,
        unchanged: 0,
        hash: [7; 32],
        notices: vec![],
        after_leave: false,
        delete_missing: false,
        now: 5,
    }
}

/// A row of a file: a key and its fields' JSON.
#[derive(Clone, Debug)]
pub(super) struct Row<'a> {
    pub key: &'a str,
    pub fields: Vec<(&'a str, &'a str)>,
    pub act: Act,
}

pub(super) fn row<'a>(key: &'a str, fields: &[(&'a str, &'a str)]) -> Row<'a> {
    Row {
        key,
        fields: fields.to_vec(),
        act: Act::Upsert,
    }
}

pub(super) fn gone(key: &str) -> Row<'_> {
    Row {
        key,
        fields: vec![],
        act: Act::Delete,
    }
}

pub(super) fn hash_of(row: &Row<'_>) -> RowHash {
    xxhash_rust::xxh3::xxh3_128(format!("{row:?}").as_bytes()).to_le_bytes()
}

pub(super) fn batch(kind: Kind, rows: &[Row<'_>], first_line: u64) -> Batch {
    let mut batch = Batch::default();
    for (row, line) in rows.iter().zip(first_line..) {
        // Every row in a shape of its own, with one absent field: as a blank cell stands there.
        let mut fields: BTreeMap<&str, &str> = row.fields.iter().copied().collect();
        fields.entry("description").or_insert("null");
        let shape = Shape::new(fields.keys().map(|f| (*f).to_owned()).collect());
        let values = fields.values().copied().collect::<Vec<_>>().join(",");
        let values = format!("[{values}]");
        let content = Content::decode(shape.fields(), &values).unwrap();
        let key = batch.text.len()..batch.text.len() + row.key.len();
        batch.text.push_str(row.key);
        let at = batch.text.len()..batch.text.len() + values.len();
        batch.text.push_str(&values);
        batch.shapes.push(Arc::new(shape));
        batch.rows.push(BatchRow {
            kind,
            line,
            key,
            values: at,
            shape: batch.shapes.len() - 1,
            fingerprint: content.fingerprint(),
            row_hash: Some(hash_of(row)),
            act: row.act,
        });
    }
    batch
}

pub(super) fn content(fields: &[(&str, &str)]) -> Content {
    let mut content = Content::default();
    for (field, json) in fields {
        content.set(field, (*json).to_owned());
    }
    content
}
