//! A record's content: fields and values, their canonical JSON, fingerprint, merge and difference.
//!
//! Pure, and blind to where content came from and where it goes. A document's values are JSON texts
//! in the order of a `Shape` (a sorted list of field names), so that names stand once a shape and not
//! once a record. `null` in that list means: absent.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use serde_json::value::RawValue;

use crate::kind::Kind;

/// The value of a field that was cleared (`blank = "clear"`). It stays in the document until the
/// field is set again, so that every body says it and a lost answer does no harm.
pub const CLEARED: &str = r#"{"$cleared":true}"#;

/// The first 16 bytes of a blake3 hash over the present fields' names and values.
pub type Fingerprint = [u8; 16];

/// The fingerprint of a record that is deleted here: what the remote acknowledges by a DELETE.
pub const GONE: Fingerprint = [0xFF; 16];

/// A keyed hash of a file's raw row and of all that decides what it means.
pub type RowHash = [u8; 16];

/// What a change did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    Created,
    Updated,
    Deleted,
    Erased,
}

impl Op {
    pub fn name(self) -> &'static str {
        match self {
            Op::Created => "created",
            Op::Updated => "updated",
            Op::Deleted => "deleted",
            Op::Erased => "erased",
        }
    }

    /// The number under which it stands in the store. Never changes.
    pub fn code(self) -> i64 {
        self as i64 + 1
    }

    pub fn from_code(code: i64) -> Option<Op> {
        [Op::Created, Op::Updated, Op::Deleted, Op::Erased]
            .into_iter()
            .find(|op| op.code() == code)
    }
}

/// A sorted list of field names without doubles.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Shape {
    fields: Vec<String>,
}

impl Shape {
    pub fn new(mut fields: Vec<String>) -> Shape {
        fields.sort();
        fields.dedup();
        Shape { fields }
    }

    pub fn fields(&self) -> &[String] {
        &self.fields
    }

    pub fn position(&self, field: &str) -> Option<usize> {
        self.fields.binary_search_by(|f| f.as_str().cmp(field)).ok()
    }
}

/// A record's content the slow way: field → JSON text. For records that changed, for people, for bodies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Content {
    fields: BTreeMap<String, String>,
}

impl Content {
    /// From a shape's fields and their values (a JSON list; `null` is absent).
    /// `None` if `values` is no list of that length: a damaged store.
    pub fn decode(fields: &[String], values: &str) -> Option<Content> {
        let values: Vec<&RawValue> = serde_json::from_str(values).ok()?;
        if values.len() != fields.len() {
            return None;
        }
        let fields = fields.iter().zip(values);
        Some(Content {
            fields: fields
                .filter(|(_, v)| v.get() != "null")
                .map(|(f, v)| (f.clone(), v.get().to_owned()))
                .collect(),
        })
    }

    /// The shape of exactly the present fields, and their values.
    pub fn encode(&self) -> (Shape, String) {
        let mut values = String::from("[");
        for value in self.fields.values() {
            if values.len() > 1 {
                values.push(',');
            }
            values.push_str(value);
        }
        values.push(']');
        (
            Shape {
                fields: self.fields.keys().cloned().collect(),
            },
            values,
        )
    }

    pub fn get(&self, field: &str) -> Option<&str> {
        self.fields.get(field).map(String::as_str)
    }

    /// What a field says, if it is a text.
    pub fn text(&self, field: &str) -> Option<String> {
        serde_json::from_str(self.get(field)?).ok()
    }

    /// `json` has to be compact, canonical JSON other than `null`.
    pub fn set(&mut self, field: &str, json: String) {
        debug_assert_ne!(json, "null");
        self.fields.insert(field.to_owned(), json);
    }

    pub fn remove(&mut self, field: &str) -> Option<String> {
        self.fields.remove(field)
    }

    /// In the order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields.iter().map(|(f, v)| (f.as_str(), v.as_str()))
    }

    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    pub fn fingerprint(&self) -> Fingerprint {
        let mut hasher = FingerprintHasher::default();
        for (field, value) in self.iter() {
            hasher.field(field, value);
        }
        hasher.finish()
    }

    /// What a row says, laid over what is stored: a field that the row doesn't name stays; one that
    /// it clears becomes a marker, if it was there.
    pub fn merge(&mut self, row: &Content) {
        for (field, value) in row.iter() {
            if value == CLEARED && self.get(field).is_none() {
                continue;
            }
            self.set(field, value.to_owned());
        }
    }

    /// Field by field, from `self` to `new`, in the order of the names.
    pub fn diff(&self, new: &Content) -> Patch {
        let mut patch = Patch::default();
        for (field, from) in self.iter() {
            let to = new.get(field);
            if to != Some(from) {
                patch.fields.insert(
                    field.to_owned(),
                    (Some(from.to_owned()), to.map(str::to_owned)),
                );
            }
        }
        for (field, to) in new.iter() {
            if self.get(field).is_none() {
                patch
                    .fields
                    .insert(field.to_owned(), (None, Some(to.to_owned())));
            }
        }
        patch
    }
}

/// A difference: field → (from, to), each a JSON text or absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Patch {
    pub fields: BTreeMap<String, (Option<String>, Option<String>)>,
}

impl Patch {
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// `{"name":["Ann","Anne"],"phone":[null,"1"]}`
    pub fn to_json(&self) -> String {
        let mut out = String::from("{");
        for (field, (from, to)) in &self.fields {
            if out.len() > 1 {
                out.push(',');
            }
            push_json_str(&mut out, field);
            out.push_str(":[");
            out.push_str(from.as_deref().unwrap_or("null"));
            out.push(',');
            out.push_str(to.as_deref().unwrap_or("null"));
            out.push(']');
        }
        out.push('}');
        out
    }

    /// `None`: not the JSON that `to_json` writes.
    pub fn from_json(json: &str) -> Option<Patch> {
        let raw: BTreeMap<String, (&RawValue, &RawValue)> = serde_json::from_str(json).ok()?;
        let side = |v: &RawValue| (v.get() != "null").then(|| v.get().to_owned());
        Some(Patch {
            fields: raw
                .into_iter()
                .map(|(f, (a, b))| (f, (side(a), side(b))))
                .collect(),
        })
    }

    /// Makes `new` out of `old`.
    pub fn apply(&self, content: &mut Content) {
        for (field, (_, to)) in &self.fields {
            match to {
                Some(to) => content.set(field, to.clone()),
                None => {
                    content.remove(field);
                }
            }
        }
    }

    /// Makes `old` out of `new` again.
    pub fn revert(&self, content: &mut Content) {
        for (field, (from, _)) in &self.fields {
            match from {
                Some(from) => content.set(field, from.clone()),
                None => {
                    content.remove(field);
                }
            }
        }
    }
}

/// Hashes present fields in the order of their names.
#[derive(Default)]
pub struct FingerprintHasher {
    hasher: blake3::Hasher,
    buffer: Vec<u8>,
}

impl FingerprintHasher {
    pub fn field(&mut self, name: &str, json: &str) {
        // Gathered first: blake3 costs less for one update of 300 bytes than for thirty of ten.
        self.buffer
            .extend_from_slice(&(name.len() as u32).to_le_bytes());
        self.buffer.extend_from_slice(name.as_bytes());
        self.buffer
            .extend_from_slice(&(json.len() as u32).to_le_bytes());
        self.buffer.extend_from_slice(json.as_bytes());
    }

    /// The fingerprint, and ready for the next record.
    pub fn finish(&mut self) -> Fingerprint {
        self.hasher.reset();
        self.hasher.update(&self.buffer);
        self.buffer.clear();
        self.hasher.finalize().as_bytes()[..16]
            .try_into()
            .expect("a blake3 hash has 32 bytes")
    }
}

/// Records of one file on their way to the store, in the file's order. Texts stand in one arena, and
/// the whole is handed back to be filled again.
#[derive(Debug, Default)]
pub struct Batch {
    /// Keys and values.
    pub text: String,
    pub rows: Vec<BatchRow>,
    /// Shapes that `BatchRow::shape` counts in.
    pub shapes: Vec<Arc<Shape>>,
}

#[derive(Clone, Debug)]
pub struct BatchRow {
    pub kind: Kind,
    /// Where its (first) row begins.
    pub line: u64,
    /// In `Batch::text`.
    pub key: Range<usize>,
    /// In `Batch::text`: a JSON list in the shape's order.
    pub values: Range<usize>,
    /// In `Batch::shapes`.
    pub shape: usize,
    pub fingerprint: Fingerprint,
    /// `None`: the row's reading depends on more than the row (a group, an order's customer).
    pub row_hash: Option<RowHash>,
    pub act: Act,
}

/// What a row wants done with its record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Created, or merged into what is stored.
    Upsert,
    /// Created if unknown; left alone if stored (an order's word on its customer).
    CreateOnly,
    Delete,
}

impl Batch {
    pub fn clear(&mut self) {
        self.text.clear();
        self.rows.clear();
        self.shapes.clear();
    }

    pub fn key(&self, row: &BatchRow) -> &str {
        &self.text[row.key.clone()]
    }

    pub fn values(&self, row: &BatchRow) -> &str {
        &self.text[row.values.clone()]
    }

    /// `None`: its values are no list of its shape.
    pub fn content(&self, row: &BatchRow) -> Option<Content> {
        Content::decode(self.shapes[row.shape].fields(), self.values(row))
    }

    /// From now on the row says this instead; what it said stays in the arena.
    pub fn replace(&mut self, row: &mut BatchRow, content: &Content) {
        let (shape, values) = content.encode();
        let start = self.text.len();
        self.text.push_str(&values);
        row.values = start..self.text.len();
        row.fingerprint = content.fingerprint();
        row.row_hash = None;
        row.shape = self.shapes.len();
        self.shapes.push(Arc::new(shape));
    }
}

/// One item of an order, as it stands in the field `items` (a JSON list of these).
/// Money is the API's integer, the amount times 100.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Item {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_id: Option<String>,
    /// `product` or `sku`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantity: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub discount_amount: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, serde_json::Value>,
}

/// Appends `text` as a JSON string, as serde_json writes it.
pub fn push_json_str(out: &mut String, text: &str) {
    // Nearly every cell needs no escape; serde_json is asked only for those that do.
    // Without a way out of the loop the compiler looks at many bytes at once.
    let plain = text.bytes().fold(true, |plain, b| {
        plain & (b >= 0x20) & (b != b'"') & (b != b'\\')
    });
    if plain {
        out.push('"');
        out.push_str(text);
        out.push('"');
    } else {
        out.push_str(&serde_json::to_string(text).expect("a string is always JSON"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(pairs: &[(&str, &str)]) -> Content {
        let mut content = Content::default();
        for (field, json) in pairs {
            content.set(field, (*json).to_owned());
        }
        content
    }

    #[test]
    fn a_difference_makes_the_new_out_of_the_old_and_back() {
        let old = content(&[("name", r#""Ann""#), ("phone", r#""1""#)]);
        let new = content(&[("name", r#""Anne""#), ("email", r#""a@b""#)]);
        let patch = Patch::from_json(&old.diff(&new).to_json()).unwrap();
        let mut there = old.clone();
        patch.apply(&mut there);
        assert_eq!(there, new);
        patch.revert(&mut there);
        assert_eq!(there, old);
    }

    #[test]
    fn a_fingerprint_does_not_depend_on_the_shape() {
        let wide = Content::decode(&["a".into(), "b".into()], r#"[null,"x"]"#).unwrap();
        let narrow = Content::decode(&["b".into()], r#"["x"]"#).unwrap();
        assert_eq!(wide.fingerprint(), narrow.fingerprint());
        assert_ne!(
            wide.fingerprint(),
            content(&[("a", r#""x""#)]).fingerprint()
        );
    }

    #[test]
    fn clearing_a_field_that_was_never_there_leaves_it_absent() {
        let mut stored = content(&[("name", r#""Ann""#)]);
        stored.merge(&content(&[("name", CLEARED), ("phone", CLEARED)]));
        assert_eq!(stored, content(&[("name", CLEARED)]));
    }
}
