//! Small facts of the store by name: the row hash's secret, the generation, what the project allows
//! in metadata, whether delivery is paused.
//!
//! Values are texts or integers; who needs more writes JSON. Times are UTC milliseconds.

use std::io::Read;

use rusqlite::{Connection, OptionalExtension, params};

use super::{Error, Result, Store};
use crate::mapping::{ItemType, MetadataType, MetadataTypes};

/// What keys row hashes: nobody who writes a file can make two rows of equal hash without it.
pub type Secret = [u8; 32];

const SECRET: &str = "row_hash_secret";
const GENERATION: &str = "generation";
const METADATA_TYPES: &str = "metadata_types";
const METADATA_TYPES_AT: &str = "metadata_types_at";

/// Until when a pause lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pause {
    /// Until `resume`.
    Open,
    /// UTC milliseconds.
    Until(i64),
}

pub fn text(c: &Connection, name: &str) -> Result<Option<String>> {
    Ok(
        c.prepare_cached("SELECT CAST(value AS TEXT) FROM meta WHERE name = ?1")?
            .query_row([name], |row| row.get(0))
            .optional()?,
    )
}

pub fn integer(c: &Connection, name: &str) -> Result<Option<i64>> {
    Ok(
        c.prepare_cached("SELECT CAST(value AS INTEGER) FROM meta WHERE name = ?1")?
            .query_row([name], |row| row.get(0))
            .optional()?,
    )
}

/// In the caller's transaction.
pub fn set(c: &Connection, name: &str, value: &dyn rusqlite::ToSql) -> Result<()> {
    c.prepare_cached("INSERT OR REPLACE INTO meta (name, value) VALUES (?1, ?2)")?
        .execute(params![name, value])?;
    Ok(())
}

/// In the caller's transaction.
pub fn clear(c: &Connection, name: &str) -> Result<()> {
    c.prepare_cached("DELETE FROM meta WHERE name = ?1")?
        .execute([name])?;
    Ok(())
}

/// The secret of the row hash; there from the store's creation on.
pub fn secret(c: &Connection) -> Result<Secret> {
    let bytes: Vec<u8> =
        c.query_row("SELECT value FROM meta WHERE name = ?1", [SECRET], |row| {
            row.get(0)
        })?;
    bytes
        .try_into()
        .map_err(|_| super::files::damaged("the secret of the row hash"))
}

/// Types of the project's own metadata, as last fetched, and when; `None`: never.
pub fn metadata_types(c: &Connection) -> Result<Option<(MetadataTypes, i64)>> {
    let Some(json) = text(c, METADATA_TYPES)? else {
        return Ok(None);
    };
    let at = integer(c, METADATA_TYPES_AT)?.unwrap_or(0);
    Ok(types_from_json(&json).map(|types| (types, at)))
}

/// Whether delivery stands (`folder` = None), or a folder's intake.
pub fn paused(c: &Connection, folder: Option<&str>, now: i64) -> Result<Option<Pause>> {
    Ok(match integer(c, &pause_name(folder))? {
        None => None,
        Some(0) => Some(Pause::Open),
        Some(until) if until > now => Some(Pause::Until(until)),
        Some(_) => None,
    })
}

impl Store {
    pub fn text(&self, name: &str) -> Result<Option<String>> {
        text(&self.reader()?, name)
    }

    pub fn integer(&self, name: &str) -> Result<Option<i64>> {
        integer(&self.reader()?, name)
    }

    pub fn set_text(&self, name: &str, value: &str) -> Result<()> {
        let (name, value) = (name.to_owned(), value.to_owned());
        self.write(move |c| set(c, &name, &value))
    }

    pub fn set_integer(&self, name: &str, value: i64) -> Result<()> {
        let name = name.to_owned();
        self.write(move |c| set(c, &name, &value))
    }

    pub fn clear(&self, name: &str) -> Result<()> {
        let name = name.to_owned();
        self.write(move |c| clear(c, &name))
    }

    pub fn secret(&self) -> Result<Secret> {
        secret(&self.reader()?)
    }

    /// How often this store was opened by a daemon; a restored older copy is known by a smaller one.
    pub fn generation(&self) -> Result<i64> {
        Ok(self.integer(GENERATION)?.unwrap_or(0))
    }

    /// At each start of a daemon, before its side file is written.
    pub fn raise_generation(&self) -> Result<i64> {
        self.write(|c| {
            let next = integer(c, GENERATION)?.unwrap_or(0) + 1;
            set(c, GENERATION, &next)?;
            Ok(next)
        })
    }

    pub fn set_metadata_types(&self, types: &MetadataTypes, now: i64) -> Result<()> {
        let json = types_to_json(types);
        self.write(move |c| {
            set(c, METADATA_TYPES, &json)?;
            set(c, METADATA_TYPES_AT, &now)
        })
    }

    /// `folder` = None: delivery.
    pub fn pause(&self, folder: Option<&str>, pause: Pause) -> Result<()> {
        let name = pause_name(folder);
        let until = match pause {
            Pause::Open => 0,
            Pause::Until(until) => until,
        };
        self.write(move |c| set(c, &name, &until))
    }

    pub fn resume(&self, folder: Option<&str>) -> Result<()> {
        self.clear(&pause_name(folder))
    }
}

fn pause_name(folder: Option<&str>) -> String {
    match folder {
        None => "paused".to_owned(),
        Some(folder) => format!("paused.{folder}"),
    }
}

/// At the creation of the store, in its transaction.
pub(super) fn make_secret(c: &Connection) -> Result<()> {
    let mut secret: Secret = [0; 32];
    std::fs::File::open("/dev/urandom")
        .and_then(|mut source| source.read_exact(&mut secret))
        .map_err(|e| Error::Open {
            path: "/dev/urandom".into(),
            reason: e.to_string(),
        })?;
    set(c, SECRET, &secret.as_slice())
}

/// `{"customer":{"points":"number","tags":"string[]"}}`
fn types_to_json(types: &MetadataTypes) -> String {
    let resources: serde_json::Map<_, _> = types
        .resources
        .iter()
        .map(|(resource, keys)| {
            let keys: serde_json::Map<_, _> = keys
                .iter()
                .map(|(key, ty)| {
                    let list = if ty.list { "[]" } else { "" };
                    (key.clone(), format!("{}{list}", item_name(ty.item)).into())
                })
                .collect();
            (resource.clone(), keys.into())
        })
        .collect();
    serde_json::Value::Object(resources).to_string()
}

fn types_from_json(json: &str) -> Option<MetadataTypes> {
    let read: std::collections::BTreeMap<String, std::collections::BTreeMap<String, String>> =
        serde_json::from_str(json).ok()?;
    let mut types = MetadataTypes::default();
    for (resource, keys) in read {
        let into = types.resources.entry(resource).or_default();
        for (key, name) in keys {
            let (item, list) = match name.strip_suffix("[]") {
                Some(item) => (item, true),
                None => (name.as_str(), false),
            };
            into.insert(
                key,
                MetadataType {
                    item: item_from_name(item)?,
                    list,
                },
            );
        }
    }
    Some(types)
}

const ITEM_NAMES: [(ItemType, &str); 6] = [
    (ItemType::String, "string"),
    (ItemType::Number, "number"),
    (ItemType::Boolean, "boolean"),
    (ItemType::Date, "date"),
    (ItemType::Datetime, "datetime"),
    (ItemType::Object, "object"),
];

fn item_name(item: ItemType) -> &'static str {
    let found = ITEM_NAMES.iter().find(|(ty, _)| *ty == item);
    found.expect("all types have a name").1
}

fn item_from_name(name: &str) -> Option<ItemType> {
    ITEM_NAMES
        .iter()
        .find(|(_, n)| *n == name)
        .map(|(ty, _)| *ty)
}
