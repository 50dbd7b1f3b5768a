//! What the remote holds: four tables of objects, each found by `id` or by `source_id`, and the
//! one rule by which new content meets old.
//!
//! An object's content is kept as compact JSON and parsed when it is needed: a project of 100,000
//! customers then takes tens of megabytes instead of hundreds.

use std::collections::HashMap;

use serde_json::Value;

use super::{Object, random::Random};

/// A kind of object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    Customer,
    Product,
    Sku,
    Order,
}

impl What {
    pub(super) fn of_plural(word: &str) -> Option<Self> {
        [Self::Customer, Self::Product, Self::Sku, Self::Order]
            .into_iter()
            .find(|what| what.plural() == word)
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Customer => "customer",
            Self::Product => "product",
            Self::Sku => "sku",
            Self::Order => "order",
        }
    }

    pub(super) fn plural(self) -> &'static str {
        match self {
            Self::Customer => "customers",
            Self::Product => "products",
            Self::Sku => "skus",
            Self::Order => "orders",
        }
    }

    fn prefix(self) -> &'static str {
        match self {
            Self::Customer => "cust_",
            Self::Product => "prod_",
            Self::Sku => "sku_",
            Self::Order => "ord_",
        }
    }
}

pub(super) struct Row {
    pub(super) id: Box<str>,
    pub(super) source_id: Option<Box<str>>,
    content: Box<str>,
    pub(super) created_ms: i64,
    pub(super) updated_ms: Option<i64>,
    /// A SKU's product, an order's customer: their places.
    pub(super) parent: Option<usize>,
    pub(super) consents: Object,
    live: bool,
}

impl Row {
    /// What the client calls it: `source_id`, else `id`.
    pub(super) fn key(&self) -> &str {
        self.source_id.as_deref().unwrap_or(&self.id)
    }

    pub(super) fn content(&self) -> Object {
        serde_json::from_str(&self.content).expect("written by this module")
    }
}

pub(super) struct Table {
    what: What,
    rows: Vec<Row>,
    by_id: HashMap<Box<str>, usize>,
    by_source_id: HashMap<Box<str>, usize>,
}

impl Table {
    pub(super) fn new(what: What) -> Self {
        Self {
            what,
            rows: Vec::new(),
            by_id: HashMap::new(),
            by_source_id: HashMap::new(),
        }
    }

    /// By `id`, else by `source_id`: both share one place in a path (SURPRISES.md, 38).
    pub(super) fn find(&self, key: &str) -> Option<usize> {
        self.by_id
            .get(key)
            .or_else(|| self.by_source_id.get(key))
            .copied()
    }

    pub(super) fn by_source_id(&self, source_id: &str) -> Option<usize> {
        self.by_source_id.get(source_id).copied()
    }

    pub(super) fn by_id(&self, id: &str) -> Option<usize> {
        self.by_id.get(id).copied()
    }

    pub(super) fn row(&self, place: usize) -> &Row {
        &self.rows[place]
    }

    pub(super) fn row_mut(&mut self, place: usize) -> &mut Row {
        &mut self.rows[place]
    }

    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// The places of what is there, oldest first.
    pub(super) fn live(&self) -> impl DoubleEndedIterator<Item = usize> + '_ {
        (0..self.rows.len()).filter(|place| self.rows[*place].live)
    }

    pub(super) fn create(
        &mut self,
        source_id: Option<&str>,
        content: &Object,
        now_ms: i64,
        random: &mut Random,
    ) -> usize {
        let place = self.rows.len();
        let id: Box<str> = random.id(self.what.prefix(), 24).into();
        let source_id: Option<Box<str>> = source_id.map(Into::into);
        self.by_id.insert(id.clone(), place);
        if let Some(key) = &source_id {
            self.by_source_id.insert(key.clone(), place);
        }
        self.rows.push(Row {
            id,
            source_id,
            content: text(content),
            created_ms: now_ms,
            updated_ms: None,
            parent: None,
            consents: Object::new(),
            live: true,
        });
        place
    }

    pub(super) fn rewrite(&mut self, place: usize, content: &Object, now_ms: i64) {
        let row = &mut self.rows[place];
        row.content = text(content);
        row.updated_ms = Some(now_ms);
    }

    pub(super) fn remove(&mut self, place: usize) {
        let row = &mut self.rows[place];
        row.live = false;
        row.content = "{}".into();
        row.consents = Object::new();
        self.by_id.remove(&row.id);
        if let Some(key) = &row.source_id
            && self.by_source_id.get(key) == Some(&place)
        {
            self.by_source_id.remove(key);
        }
    }
}

fn text(content: &Object) -> Box<str> {
    serde_json::to_string(content)
        .expect("an object of strings as keys can be written")
        .into()
}

/// What new content is without anything to lay it over: the rule of [`merge`], in place.
pub(super) fn fresh(content: &mut Object) {
    content.retain(|name, value| {
        match (name.as_str(), &mut *value) {
            ("metadata", Value::Object(parts)) => parts.retain(|_, value| !value.is_null()),
            ("address", Value::Object(parts)) => parts.retain(|_, value| value != ""),
            _ => {}
        }
        !is_clear(value)
    });
}

/// New content over old: what is left out stays, metadata is merged key by key, and what API.md
/// calls clearing (`""`, `null`, `[]`, `{}`) takes a field away.
pub(super) fn merge(old: &mut Object, new: Object, address_replaces: bool) {
    for (name, value) in new {
        match (name.as_str(), value) {
            ("metadata", Value::Object(new)) => {
                merge_parts(old, &name, new, |value| value.is_null())
            }
            ("address", Value::Object(new)) => {
                if address_replaces {
                    old.shift_remove(&name);
                }
                merge_parts(old, &name, new, |value| value == "");
            }
            (_, value) if is_clear(&value) => {
                old.shift_remove(&name);
            }
            (_, value) => {
                old.insert(name, value);
            }
        }
    }
}

fn merge_parts(old: &mut Object, name: &str, new: Object, clears: impl Fn(&Value) -> bool) {
    let mut parts = match old.get_mut(name) {
        Some(Value::Object(parts)) => std::mem::take(parts),
        _ => Object::new(),
    };
    for (key, value) in new {
        if clears(&value) {
            parts.shift_remove(&key);
        } else {
            parts.insert(key, value);
        }
    }
    if parts.is_empty() {
        old.shift_remove(name);
    } else {
        old.insert(name.to_owned(), Value::Object(parts));
    }
}

fn is_clear(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(parts) => parts.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(old: Value, new: Value, expected: Value) {
        let mut merged = old.as_object().unwrap().clone();
        merge(&mut merged, new.as_object().unwrap().clone(), false);
        assert_eq!(Value::Object(merged), expected);
    }

    #[test]
    fn fresh_content_is_what_comes_of_it_over_nothing() {
        for content in [
            json!({"name": "", "email": "a@b.c", "price": 0, "attributes": [], "image_url": "x"}),
            json!({"address": null, "metadata": {"a": null}, "items": [{"a": 1}]}),
            json!({"address": {"city": "", "country": "IT"}, "metadata": {"a": "", "b": null, "c": {}}}),
            json!({"address": {"city": ""}, "attributes": {"a": null}}),
        ] {
            let Value::Object(mut content) = content else {
                unreachable!("each is an object");
            };
            let mut merged = Object::new();
            merge(&mut merged, content.clone(), false);
            fresh(&mut content);
            assert_eq!(content, merged);
        }
    }

    #[test]
    fn what_is_left_out_stays() {
        check(
            json!({"name": "Ann", "email": "a@b.c"}),
            json!({"name": "Bea"}),
            json!({"name": "Bea", "email": "a@b.c"}),
        );
        check(json!({"price": 1}), json!({}), json!({"price": 1}));
    }

    #[test]
    fn metadata_is_merged_by_key_and_null_removes() {
        check(
            json!({"metadata": {"a": 1, "b": 2}}),
            json!({"metadata": {"b": null, "c": [3]}}),
            json!({"metadata": {"a": 1, "c": [3]}}),
        );
        check(
            json!({"metadata": {"a": 1}}),
            json!({"metadata": {}}),
            json!({"metadata": {"a": 1}}),
        );
        check(
            json!({"metadata": {"a": 1}}),
            json!({"metadata": {"a": null}}),
            json!({}),
        );
        check(
            json!({"metadata": {"a": {"x": 1}}}),
            json!({"metadata": {"a": {"y": 1}}}),
            json!({"metadata": {"a": {"y": 1}}}),
        );
    }

    #[test]
    fn clearing_takes_a_field_away() {
        check(json!({"name": "Ann"}), json!({"name": ""}), json!({}));
        check(
            json!({"address": {"city": "Rome"}}),
            json!({"address": null}),
            json!({}),
        );
        check(
            json!({"attributes": ["a"]}),
            json!({"attributes": []}),
            json!({}),
        );
        check(
            json!({"attributes": {"a": "b"}}),
            json!({"attributes": {}}),
            json!({}),
        );
    }

    #[test]
    fn an_address_is_merged_unless_told_otherwise() {
        let old = json!({"address": {"city": "Rome", "country": "IT"}});
        check(
            old.clone(),
            json!({"address": {"city": "Pisa"}}),
            json!({"address": {"city": "Pisa", "country": "IT"}}),
        );
        check(
            old.clone(),
            json!({"address": {"city": ""}}),
            json!({"address": {"country": "IT"}}),
        );
        let mut merged = old.as_object().unwrap().clone();
        merge(
            &mut merged,
            json!({"address": {"city": "Pisa"}})
                .as_object()
                .unwrap()
                .clone(),
            true,
        );
        assert_eq!(Value::Object(merged), json!({"address": {"city": "Pisa"}}));
    }
}
