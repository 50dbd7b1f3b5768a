//! The plain format of each kind, as a spec: the API's own field names as columns (INTERFACE.md, The
//! plain format). Drawn from the table of kinds, so that a new field is one entry there.

use super::header::{Header, Likeness};
use super::spec::{Field, Grouping, Items, Key, Manner, Origin, Record, Spec, Type};
use crate::kind::{ITEM, Kind};

/// The name under which it is listed and asked for.
pub const PLAIN: &str = "plain";

/// Other spellings of a plain column, tried after its own name.
fn other_spellings(kind: Kind, field: &str) -> &'static [&'static str] {
    match (kind, field) {
        (Kind::Customers, "address.line_1") => &["line_1"],
        (Kind::Customers, "address.line_2") => &["line_2"],
        (Kind::Customers, "address.city") => &["city"],
        (Kind::Customers, "address.state") => &["state"],
        (Kind::Customers, "address.postal_code") => &["postal_code"],
        (Kind::Customers, "address.country") => &["country"],
        (Kind::Skus, "product") => &["product_id", "product.source_id"],
        _ => &[],
    }
}

fn column(name: &str, others: &[&str]) -> Field {
    let names = std::iter::once(name).chain(others.iter().copied());
    Field {
        from: Origin::Column(names.map(str::to_owned).collect()),
        ..Field::default()
    }
}

/// The plain format of a kind, as this header uses it: an order's rows form groups only where there
/// are columns of items.
pub fn spec(kind: Kind, header: &Header) -> Spec {
    let mut fields: Vec<(String, Field)> = kind
        .fields()
        .iter()
        .filter(|field| field.name != "items")
        .map(|field| {
            let others = other_spellings(kind, field.name);
            (field.name.to_owned(), column(field.name, others))
        })
        .collect();
    if kind != Kind::Orders {
        fields.push(("deleted".to_owned(), column("deleted", &[])));
    }
    if kind == Kind::Skus {
        fields.push(("attributes.*".to_owned(), column("attributes", &[])));
    }
    let has_items = kind == Kind::Orders
        && ITEM
            .iter()
            .any(|f| !header.find(f.name, Likeness::Folded).is_empty());
    let items = has_items.then(|| Items {
        fields: ITEM
            .iter()
            .map(|f| (f.name["item.".len()..].to_owned(), column(f.name, &[])))
            .collect(),
        ..Items::default()
    });
    let mut families = vec![("metadata.*".to_owned(), "metadata.*".to_owned())];
    if kind == Kind::Customers {
        families.push(("consent.*".to_owned(), "consent.*".to_owned()));
    }
    if kind == Kind::Skus {
        families.push(("attributes.*".to_owned(), "attributes.*".to_owned()));
    }
    if kind == Kind::Orders {
        let created = Field {
            ty: Some(Type::Text),
            ..column("created_at", &["date"])
        };
        fields.push(("metadata.created_at".to_owned(), created));
    }
    let by = vec!["source_id".to_owned()];
    Spec {
        title: "the API's own field names as columns".to_owned(),
        manner: Manner::Plain,
        likeness: Likeness::Folded,
        unknown_are_metadata: true,
        families,
        group: has_items.then(|| Grouping {
            by: by.clone(),
            fill_down: false,
            adjacent: true,
            one_reject: false,
            begin: Vec::new(),
        }),
        records: vec![Record {
            kind,
            when: Vec::new(),
            per_row: !has_items,
            key: Key {
                from: Origin::Column(by),
                ..Key::default()
            },
            fields,
            items,
        }],
        ..Spec::default()
    }
}

/// Columns that only the plain format has: `address.line_1`, `metadata.x`, `customer.source_id`.
pub fn is_dotted(name: &str) -> bool {
    let name = name.trim().to_ascii_lowercase();
    name.split_once('.').is_some_and(|(family, rest)| {
        let families = [
            "address",
            "metadata",
            "customer",
            "item",
            "attributes",
            "consent",
        ];
        families.contains(&family) && !rest.is_empty()
    })
}

/// Another kind whose plain format the header is for certain, while it has nothing of this kind's
/// but the key.
pub fn only_of_other_kind(kind: Kind, header: &Header) -> Option<Kind> {
    let known = |kind: Kind| {
        let fields = kind.fields().iter();
        let items = ITEM.iter().filter(|_| kind == Kind::Orders);
        fields
            .chain(items)
            .filter(|field| header.find(field.name, Likeness::Folded).len() == 1)
            .count()
    };
    if header.find("source_id", Likeness::Folded).is_empty() || known(kind) > 0 {
        return None;
    }
    Kind::ALL
        .into_iter()
        .filter(|other| known(*other) >= 2)
        .max_by_key(|other| known(*other))
}

/// All columns that the plain format of a kind has.
pub fn full_header(kind: Kind) -> Header {
    let items = ITEM.iter().filter(|_| kind == Kind::Orders);
    let names = kind
        .fields()
        .iter()
        .chain(items)
        .map(|field| field.name.to_owned());
    Header::new(&names.collect::<Vec<_>>())
}
