//! JSON bodies from a record's content, valid by the contract.
//!
//! Values stand in a document as JSON texts already, so that a body is put together, not serialised.
//! `null` is sent inside `metadata` and SKU attributes alone (openapi/SURPRISES, 2). How a field is
//! cleared is `kind`'s rule.

use crate::kind::{Clearing, Kind};
use crate::record::{CLEARED, Content, Item, push_json_str};

/// What an order may name: decided at the moment of sending, by what the store holds then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrderNames {
    Customer,
    /// The customer is deleted, forgotten or parked here (API.md; DESIGN, Orders and customers).
    Nobody,
}

/// `POST /v1/customers`, and an item of the bulk call.
pub fn customer(key: &str, content: &Content) -> String {
    let mut body = Object::with_key(key);
    for field in ["name", "email", "phone", "birthdate", "description"] {
        body.field(Kind::Customers, content, field, field);
    }
    body.family(Kind::Customers, content, "address", ADDRESS);
    body.metadata(content);
    body.finish()
}

const ADDRESS: &[&str] = &[
    "line_1",
    "line_2",
    "city",
    "state",
    "postal_code",
    "country",
];

/// `POST /v1/products`, and an item of the bulk call.
pub fn product(key: &str, content: &Content) -> String {
    let mut body = Object::with_key(key);
    for field in ["name", "price", "image_url", "attributes"] {
        body.field(Kind::Products, content, field, field);
    }
    body.metadata(content);
    body.finish()
}

/// `POST /v1/products/{product}/skus`; the product is in the path alone.
pub fn sku(key: &str, content: &Content) -> String {
    let mut body = Object::with_key(key);
    for field in ["sku", "price", "currency", "image_url"] {
        body.field(Kind::Skus, content, field, field);
    }
    body.open_family(content, "attributes.", "attributes", true);
    body.metadata(content);
    body.finish()
}

/// `POST /v1/orders`, `PUT /v1/orders/{id}` and an order of the import.
/// The customer is named by its key alone, so that an order carries no older content of it.
pub fn order(key: &str, content: &Content, names: OrderNames) -> String {
    let mut body = Object::with_key(key);
    for field in ["status", "amount", "discount_amount"] {
        body.field(Kind::Orders, content, field, field);
    }
    if let Some(items) = content.get("items").filter(|items| *items != CLEARED) {
        // The mapping writes this field; what it cannot read back is left out, as a damaged value.
        if let Ok(items) = serde_json::from_str::<Vec<Item>>(items) {
            body.name("items");
            body.items(&items);
        }
    }
    if let (OrderNames::Customer, Some(customer)) = (names, content.get("customer.source_id"))
        && customer != CLEARED
    {
        body.name("customer");
        body.out.push_str("{\"source_id\":");
        body.out.push_str(customer);
        body.out.push('}');
    }
    body.metadata(content);
    body.finish()
}

/// A record of a kind that goes by bulk.
pub fn bulk_item(kind: Kind, key: &str, content: &Content) -> String {
    match kind {
        Kind::Products => product(key, content),
        Kind::Customers => customer(key, content),
        Kind::Skus => sku(key, content),
        Kind::Orders => order(key, content, OrderNames::Customer),
    }
}

/// `PUT /v1/customers/{id}/consents`: consent → given or not.
pub fn consents(content: &Content) -> String {
    let mut out = String::from("{");
    for (id, value) in consent_fields(content) {
        if out.len() > 1 {
            out.push(',');
        }
        push_json_str(&mut out, id);
        out.push(':');
        out.push_str(value);
    }
    out.push('}');
    out
}

pub fn has_consents(content: &Content) -> bool {
    consent_fields(content).next().is_some()
}

fn consent_fields(content: &Content) -> impl Iterator<Item = (&str, &str)> {
    content
        .iter()
        .filter_map(|(field, value)| Some((field.strip_prefix("consent.")?, value)))
        .filter(|(_, value)| matches!(*value, "true" | "false"))
}

/// `POST /v1/customers/metadata/async`: one metadata, an object, for many. `keys`: JSON strings with
/// commas between.
pub fn metadata_call(keys: &str, metadata: &str) -> String {
    format!("{{\"source_ids\":[{keys}],\"metadata\":{metadata}}}")
}

/// Bytes of such a body beside its keys.
pub fn metadata_frame_bytes(metadata: &str) -> usize {
    metadata.len() + metadata_call("", "").len()
}

/// A key as it stands there.
pub fn metadata_key(key: &str) -> String {
    let mut out = String::with_capacity(key.len() + 2);
    push_json_str(&mut out, key);
    out
}

/// A JSON object on its way.
struct Object {
    out: String,
}

impl Object {
    fn with_key(key: &str) -> Object {
        let mut body = Object {
            out: String::with_capacity(256),
        };
        body.out.push('{');
        body.name("source_id");
        push_json_str(&mut body.out, key);
        body
    }

    fn name(&mut self, name: &str) {
        if !self.out.ends_with('{') {
            self.out.push(',');
        }
        push_json_str(&mut self.out, name);
        self.out.push(':');
    }

    /// A field of the plain format, if the document holds it and the API can be told.
    fn field(&mut self, kind: Kind, content: &Content, field: &str, name: &str) {
        let Some(value) = content.get(field) else {
            return;
        };
        let value = if value == CLEARED {
            match kind.field(field).map(|(_, clearing)| clearing) {
                Some(Clearing::EmptyText) => "\"\"",
                Some(Clearing::Empty) => "[]",
                // Not told; the mapping keeps what is stored.
                Some(Clearing::Never | Clearing::Null) | None => return,
            }
        } else {
            value
        };
        self.name(name);
        self.out.push_str(value);
    }

    /// The fields `family.member` as one object, left out if there is none.
    fn family(&mut self, kind: Kind, content: &Content, family: &str, members: &[&str]) {
        let mut inner = Object {
            out: String::from("{"),
        };
        for member in members {
            inner.field(kind, content, &format!("{family}.{member}"), member);
        }
        if inner.out.len() > 1 {
            self.name(family);
            self.out.push_str(&inner.finish());
        }
    }

    fn metadata(&mut self, content: &Content) {
        self.open_family(content, "metadata.", "metadata", false);
    }

    /// All fields that begin with `prefix`; a cleared one is `null`. With `emptied`, an object of
    /// nothing but cleared ones is `{}`, which empties it (API.md, Basics).
    fn open_family(&mut self, content: &Content, prefix: &str, name: &str, emptied: bool) {
        let members = || {
            content
                .iter()
                .filter_map(|(field, value)| Some((field.strip_prefix(prefix)?, value)))
        };
        if members().next().is_none() {
            return;
        }
        self.name(name);
        self.out.push('{');
        if !(emptied && members().all(|(_, value)| value == CLEARED)) {
            for (member, value) in members() {
                self.name(member);
                self.out
                    .push_str(if value == CLEARED { "null" } else { value });
            }
        }
        self.out.push('}');
    }

    fn items(&mut self, items: &[Item]) {
        self.out.push('[');
        for (n, item) in items.iter().enumerate() {
            if n > 0 {
                self.out.push(',');
            }
            self.item(item);
        }
        self.out.push(']');
    }

    fn item(&mut self, item: &Item) {
        self.out.push('{');
        self.name("object");
        // Required, though no declared property (openapi/SURPRISES, 1).
        self.out.push_str("\"order_item\"");
        let sku = item.kind.as_deref() == Some("sku");
        if let Some(key) = &item.source_id {
            self.name("source_id");
            push_json_str(&mut self.out, key);
            self.name("related_object");
            self.out
                .push_str(if sku { "\"sku\"" } else { "\"product\"" });
        }
        let numbers = [
            ("quantity", item.quantity),
            ("price", item.price),
            ("amount", item.amount),
            ("discount_amount", item.discount_amount),
        ];
        for (name, number) in numbers {
            if let Some(number) = number {
                self.name(name);
                self.out.push_str(&number.to_string());
            }
        }
        if let Some(name) = &item.name {
            let (family, member) = if sku {
                ("sku", "sku")
            } else {
                ("product", "name")
            };
            self.name(family);
            self.out.push('{');
            self.name(member);
            push_json_str(&mut self.out, name);
            self.out.push('}');
        }
        if !item.metadata.is_empty() {
            self.name("metadata");
            let metadata = serde_json::to_string(&item.metadata);
            self.out
                .push_str(&metadata.expect("a map of JSON values is JSON"));
        }
        self.out.push('}');
    }

    fn finish(mut self) -> String {
        self.out.push('}');
        self.out
    }
}

#[cfg(test)]
mod tests;
