//! What a column or a constant can become: a kind's fields, metadata with a type, and the few words
//! that are none of these.

use crate::kind::{self, Kind};

use super::problem::nearest;

/// Types that a metadata target may name, each also with `[]` for a list.
pub const TYPES: [&str; 5] = ["string", "number", "boolean", "date", "datetime"];

/// What is wrong with a target, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    pub message: String,
    pub hint: String,
}

fn wrong(message: impl Into<String>, hint: impl Into<String>) -> Wrong {
    Wrong {
        message: message.into(),
        hint: hint.into(),
    }
}

/// The right side of `[folder.columns]`. "" (ignored) is fine.
pub fn check_column(kind: Kind, target: &str) -> Result<(), Wrong> {
    match target {
        "" | "source_id" | "deleted" => Ok(()),
        _ => check_field(kind, target),
    }
}

/// The left side of `[folder.constants]`.
pub fn check_constant(kind: Kind, target: &str) -> Result<(), Wrong> {
    match target {
        "source_id" => Err(wrong(
            "would give every record the same key",
            "`key_prefix` goes before the key that the file has",
        )),
        "deleted" => Err(wrong("would delete every record", "take it out")),
        _ => check_field(kind, target),
    }
}

fn check_field(kind: Kind, target: &str) -> Result<(), Wrong> {
    if let Some(rest) = target.strip_prefix("metadata.") {
        return check_metadata(rest);
    }
    let item = kind == Kind::Orders && kind::ITEM.iter().any(|field| field.name == target);
    // `items` is what an order's item columns become together; no column holds it.
    if item || (target != "items" && kind.field(target).is_some()) {
        return Ok(());
    }
    if let Some((field, ty)) = target.rsplit_once(':')
        && (kind.field(field).is_some() || field == "source_id")
        && is_type(ty)
    {
        return Err(wrong(
            "gives a type to a field that has its own",
            format!("write `{field}`; types are for metadata"),
        ));
    }
    let items: &[kind::Field] = if kind == Kind::Orders {
        kind::ITEM
    } else {
        &[]
    };
    let known = kind
        .fields()
        .iter()
        .chain(items)
        .map(|field| field.name)
        .filter(|name| *name != "items")
        .chain(["source_id", "deleted"]);
    let hint = match nearest(target, known) {
        _ if kind == Kind::Orders && target == "items" => {
            "an item's columns are `item.source_id`, `item.quantity` and so on".to_owned()
        }
        Some(near) => format!("did you mean `{near}`?"),
        None => match kind {
            Kind::Skus => "write a field, `attributes.<name>`, or `metadata.<key>`".to_owned(),
            Kind::Customers => "write a field, `consent.<name>`, or `metadata.<key>`".to_owned(),
            Kind::Products | Kind::Orders => "write a field, or `metadata.<key>`".to_owned(),
        },
    };
    Err(wrong(format!("is no field of {kind}"), hint))
}

fn check_metadata(rest: &str) -> Result<(), Wrong> {
    let (key, ty) = match rest.rsplit_once(':') {
        Some((key, ty)) => (key, Some(ty)),
        None => (rest, None),
    };
    if key.trim().is_empty() {
        return Err(wrong(
            "names no metadata key",
            "write it like `metadata.vip_level`",
        ));
    }
    let Some(ty) = ty.filter(|ty| !is_type(ty)) else {
        return Ok(());
    };
    let hint = match nearest(ty.trim_end_matches("[]"), TYPES) {
        Some(near) => format!("did you mean `:{near}`?"),
        None => format!("write one of {}, or with `[]` for a list", TYPES.join(", ")),
    };
    Err(wrong("has a type that is not known", hint))
}

fn is_type(ty: &str) -> bool {
    TYPES.contains(&ty.strip_suffix("[]").unwrap_or(ty))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(kind: Kind, target: &str, hint: Option<&str>) {
        let wrong = check_column(kind, target).err();
        assert_eq!(wrong.as_ref().map(|w| w.hint.as_str()), hint, "{wrong:?}");
    }

    #[test]
    fn fields_of_the_kind_are_targets() {
        for target in [
            "",
            "source_id",
            "deleted",
            "email",
            "address.city",
            "consent.newsletter",
            "metadata.vip",
            "metadata.a b",
            "metadata.x:number",
            "metadata.x:date[]",
            "metadata.a:b:string",
        ] {
            check(Kind::Customers, target, None);
        }
        check(Kind::Skus, "attributes.size", None);
        check(Kind::Orders, "item.quantity", None);
        check(Kind::Orders, "customer.email", None);
    }

    #[test]
    fn what_is_no_field_gets_the_nearest() {
        check(Kind::Customers, "emial", Some("did you mean `email`?"));
        check(
            Kind::Customers,
            "item.quantity",
            Some("write a field, `consent.<name>`, or `metadata.<key>`"),
        );
        check(
            Kind::Products,
            "consent.x",
            Some("write a field, or `metadata.<key>`"),
        );
        check(
            Kind::Orders,
            "items",
            Some("an item's columns are `item.source_id`, `item.quantity` and so on"),
        );
        check(
            Kind::Customers,
            "metadata.x:nubmer",
            Some("did you mean `:number`?"),
        );
        check(
            Kind::Customers,
            "metadata.",
            Some("write it like `metadata.vip_level`"),
        );
        check(
            Kind::Customers,
            "metadata.:string",
            Some("write it like `metadata.vip_level`"),
        );
        check(
            Kind::Customers,
            "email:string",
            Some("write `email`; types are for metadata"),
        );
    }

    #[test]
    fn a_constant_is_never_a_key() {
        assert!(check_constant(Kind::Customers, "metadata.store").is_ok());
        assert!(check_constant(Kind::Orders, "status").is_ok());
        assert!(check_constant(Kind::Customers, "source_id").is_err());
        assert!(check_constant(Kind::Customers, "deleted").is_err());
        assert!(check_constant(Kind::Customers, "").is_err());
    }
}
