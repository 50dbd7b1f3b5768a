//! The one table of kinds: their names, fields, types, how a field is cleared, and what goes before what.
//!
//! Everything that has to know "which fields does a customer have" asks here. Knows nothing of any
//! single file, preset or call; `wire` turns these fields into the API's JSON.

use std::fmt;

/// One of the four kinds of records, in the order in which they are delivered: a kind never names a
/// later one (SKUs name products; orders name customers, products and SKUs).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    Products,
    Skus,
    Customers,
    Orders,
}

/// What a field holds, and so how its cell is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldType {
    /// Text as it stands.
    Text,
    /// An amount; stored as the API's integer, the amount times 100, whatever the currency (API.md, Basics).
    Money,
    /// A calendar day, `YYYY-MM-DD`.
    Date,
    /// A whole number, such as an item's quantity.
    Integer,
    /// One of the order statuses that the API knows.
    Status,
    /// A list of texts (a product's attributes).
    List,
    /// `true` or `false` (`deleted`, `consent.*`).
    Boolean,
    /// An order's items, a JSON list of objects (`record::Item`).
    Items,
}

/// How the API is told that a field is empty now (API.md, Basics).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clearing {
    /// By an empty string.
    EmptyText,
    /// By `null`: metadata, and an address as a whole.
    Null,
    /// By `[]` or `{}`.
    Empty,
    /// By no valid request: what is stored stays.
    Never,
}

/// A field of a kind's plain format.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// The column's name in the plain format, and the field's in a document.
    pub name: &'static str,
    pub ty: FieldType,
    pub clearing: Clearing,
}

const fn field(name: &'static str, ty: FieldType, clearing: Clearing) -> Field {
    Field { name, ty, clearing }
}

use Clearing::{Empty, EmptyText, Never, Null};
use FieldType::{Date, Integer, Items, List, Money, Status, Text};

const CUSTOMER: &[Field] = &[
    field("name", Text, EmptyText),
    field("email", Text, EmptyText),
    field("phone", Text, EmptyText),
    field("birthdate", Date, Never),
    field("description", Text, EmptyText),
    field("address.line_1", Text, EmptyText),
    field("address.line_2", Text, EmptyText),
    field("address.city", Text, EmptyText),
    field("address.state", Text, EmptyText),
    field("address.postal_code", Text, EmptyText),
    field("address.country", Text, EmptyText),
];

const PRODUCT: &[Field] = &[
    field("name", Text, EmptyText),
    field("price", Money, Never),
    field("image_url", Text, EmptyText),
    field("attributes", List, Empty),
];

const SKU: &[Field] = &[
    field("product", Text, Never),
    field("sku", Text, EmptyText),
    field("price", Money, Never),
    field("currency", Text, EmptyText),
    field("image_url", Text, EmptyText),
];

const ORDER: &[Field] = &[
    field("status", Status, Never),
    field("amount", Money, Never),
    field("discount_amount", Money, Never),
    field("customer.source_id", Text, Never),
    field("customer.name", Text, EmptyText),
    field("customer.email", Text, EmptyText),
    field("customer.phone", Text, EmptyText),
    field("customer.birthdate", Date, Never),
    field("customer.description", Text, EmptyText),
    field("customer.address.line_1", Text, EmptyText),
    field("customer.address.line_2", Text, EmptyText),
    field("customer.address.city", Text, EmptyText),
    field("customer.address.state", Text, EmptyText),
    field("customer.address.postal_code", Text, EmptyText),
    field("customer.address.country", Text, EmptyText),
    field("items", Items, Never),
];

/// Columns of one item of an order in the plain format; together they become the field `items`.
pub const ITEM: &[Field] = &[
    field("item.source_id", Text, Never),
    field("item.kind", Text, Never),
    field("item.quantity", Integer, Never),
    field("item.price", Money, Never),
    field("item.amount", Money, Never),
    field("item.discount_amount", Money, Never),
    field("item.name", Text, Never),
];

/// The statuses of an order that the API knows (API.md, Calls).
pub const ORDER_STATUSES: &[&str] = &["CREATED", "PAID", "CANCELED", "FULFILLED"];

/// Items that an order may have at most (API.md, Calls).
pub const ORDER_ITEMS_MAX: usize = 500;

impl Kind {
    /// In the order of delivery.
    pub const ALL: [Kind; 4] = [Kind::Products, Kind::Skus, Kind::Customers, Kind::Orders];

    /// The word of commands, configuration and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Products => "products",
            Kind::Skus => "skus",
            Kind::Customers => "customers",
            Kind::Orders => "orders",
        }
    }

    pub fn from_name(name: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// One record of it, as a word for people.
    pub fn singular(self) -> &'static str {
        match self {
            Kind::Products => "product",
            Kind::Skus => "SKU",
            Kind::Customers => "customer",
            Kind::Orders => "order",
        }
    }

    /// The number under which it stands in the store. Never changes.
    pub fn code(self) -> i64 {
        match self {
            Kind::Products => 1,
            Kind::Skus => 2,
            Kind::Customers => 3,
            Kind::Orders => 4,
        }
    }

    pub fn from_code(code: i64) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.code() == code)
    }

    /// The fields of its plain format, without `source_id`, `metadata.*` and `deleted`.
    pub fn fields(self) -> &'static [Field] {
        match self {
            Kind::Products => PRODUCT,
            Kind::Skus => SKU,
            Kind::Customers => CUSTOMER,
            Kind::Orders => ORDER,
        }
    }

    /// Type and clearing of a document's field, its open families included: `metadata.<key>` (of
    /// every kind), `attributes.<name>` (SKUs), `consent.<id>` (customers). `None`: no field of it.
    pub fn field(self, name: &str) -> Option<(FieldType, Clearing)> {
        if let Some(found) = self.fields().iter().find(|f| f.name == name) {
            return Some((found.ty, found.clearing));
        }
        let (family, rest) = name.split_once('.')?;
        match (self, family) {
            _ if rest.is_empty() => None,
            (_, "metadata") => Some((Text, Null)),
            (Kind::Skus, "attributes") => Some((Text, Null)),
            (Kind::Customers, "consent") => Some((FieldType::Boolean, Never)),
            _ => None,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
