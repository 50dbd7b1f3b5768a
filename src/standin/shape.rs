//! What a request's body may look like: the fields that the API knows, each with its type. A field
//! that it doesn't know is dropped without a word (SURPRISES.md, 12).

use serde_json::Value;

use super::{Object, refusal::Refusal, settings::ORDER_ITEMS_MAX};

#[derive(Clone, Copy)]
enum Shape {
    Text,
    /// `YYYY-MM-DD`.
    Date,
    /// ISO 8601 with its zone.
    DateTime,
    /// Digits without a point, also where money is meant.
    Integer,
    Number,
    Truth,
    Texts,
    AnyObject,
    Of(&'static [Field]),
    ListOf(&'static [Field]),
    OneOf(&'static [&'static str]),
}

struct Field {
    name: &'static str,
    shape: Shape,
    nullable: bool,
}

const fn field(name: &'static str, shape: Shape) -> Field {
    Field {
        name,
        shape,
        nullable: false,
    }
}

const fn nullable(name: &'static str, shape: Shape) -> Field {
    Field {
        name,
        shape,
        nullable: true,
    }
}

const ADDRESS: &[Field] = &[
    field("city", Shape::Text),
    field("state", Shape::Text),
    field("line_1", Shape::Text),
    field("line_2", Shape::Text),
    field("country", Shape::Text),
    field("postal_code", Shape::Text),
];

const CUSTOMER: &[Field] = &[
    field("id", Shape::Text),
    field("source_id", Shape::Text),
    field("name", Shape::Text),
    field("description", Shape::Text),
    field("email", Shape::Text),
    field("phone", Shape::Text),
    field("birthday", Shape::Date),
    field("birthdate", Shape::Date),
    nullable("address", Shape::Of(ADDRESS)),
    field("metadata", Shape::AnyObject),
];

const PRODUCT: &[Field] = &[
    field("id", Shape::Text),
    field("source_id", Shape::Text),
    field("name", Shape::Text),
    field("price", Shape::Integer),
    field("attributes", Shape::Texts),
    field("image_url", Shape::Text),
    field("metadata", Shape::AnyObject),
];

const SKU: &[Field] = &[
    field("id", Shape::Text),
    field("source_id", Shape::Text),
    field("sku", Shape::Text),
    field("price", Shape::Integer),
    field("currency", Shape::Text),
    field("attributes", Shape::AnyObject),
    field("image_url", Shape::Text),
    field("metadata", Shape::AnyObject),
];

const ITEM_PRODUCT: &[Field] = &[
    field("id", Shape::Text),
    field("source_id", Shape::Text),
    field("override", Shape::Truth),
    field("name", Shape::Text),
    field("metadata", Shape::AnyObject),
    field("price", Shape::Number),
];

const ITEM_SKU: &[Field] = &[
    field("id", Shape::Text),
    field("source_id", Shape::Text),
    field("override", Shape::Truth),
    field("sku", Shape::Text),
    field("price", Shape::Number),
    field("metadata", Shape::AnyObject),
];

const ITEM: &[Field] = &[
    field("object", Shape::OneOf(&["order_item"])),
    field("sku_id", Shape::Text),
    field("product_id", Shape::Text),
    field("related_object", Shape::OneOf(&["product", "sku"])),
    field("source_id", Shape::Text),
    field("quantity", Shape::Integer),
    field("discount_quantity", Shape::Integer),
    field("initial_quantity", Shape::Integer),
    field("amount", Shape::Integer),
    field("discount_amount", Shape::Integer),
    field("initial_amount", Shape::Integer),
    field("price", Shape::Integer),
    field("product", Shape::Of(ITEM_PRODUCT)),
    field("sku", Shape::Of(ITEM_SKU)),
    field("metadata", Shape::AnyObject),
];

const ORDER: &[Field] = &[
    field("id", Shape::Text),
    nullable("source_id", Shape::Text),
    field(
        "status",
        Shape::OneOf(&["CREATED", "PAID", "CANCELED", "FULFILLED"]),
    ),
    field("amount", Shape::Integer),
    field("initial_amount", Shape::Integer),
    field("discount_amount", Shape::Integer),
    field("created_at", Shape::DateTime),
    field("items", Shape::ListOf(ITEM)),
    field("metadata", Shape::AnyObject),
    nullable("referrer_id", Shape::Text),
    field("customer", Shape::Of(CUSTOMER)),
    field("referrer", Shape::Of(CUSTOMER)),
];

/// A customer's known fields.
pub(super) fn customer(body: Value, at: &str) -> Result<Object, Refusal> {
    known(body, CUSTOMER, at)
}

/// A product's known fields.
pub(super) fn product(body: Value, at: &str) -> Result<Object, Refusal> {
    known(body, PRODUCT, at)
}

/// A SKU's known fields.
pub(super) fn sku(body: Value, at: &str) -> Result<Object, Refusal> {
    known(body, SKU, at)
}

/// An order's known fields, with what the text adds to the schema: every item names its kind, is
/// one of at most 500, and counts from 1.
pub(super) fn order(body: Value, at: &str) -> Result<Object, Refusal> {
    let order = known(body, ORDER, at)?;
    let Some(Value::Array(items)) = order.get("items") else {
        return Ok(order);
    };
    if items.len() > ORDER_ITEMS_MAX {
        return Err(Refusal::new(
            400,
            "invalid_order",
            "Invalid order",
            format!("Property {at}.items cannot hold more than {ORDER_ITEMS_MAX} items"),
        ));
    }
    for (index, item) in items.iter().enumerate() {
        if item.get("object").is_none() {
            return Err(Refusal::payload(format!(
                "Property {at}.items[{index}].object is required"
            )));
        }
        if item["initial_quantity"]
            .as_i64()
            .is_some_and(|quantity| quantity < 1)
        {
            return Err(Refusal::payload(format!(
                "Property {at}.items[{index}].initial_quantity cannot be lower than 1"
            )));
        }
    }
    Ok(order)
}

/// The body as JSON.
pub(super) fn json(body: &[u8]) -> Result<Value, Refusal> {
    serde_json::from_slice(body)
        .map_err(|error| Refusal::payload(format!("Body is not valid JSON: {error}")))
}

fn known(mut body: Value, fields: &'static [Field], at: &str) -> Result<Object, Refusal> {
    let Value::Object(given) = &mut body else {
        return Err(wrong(at, "an object"));
    };
    check(given, fields, at)?;
    Ok(std::mem::take(given))
}

/// In place: a bulk body holds tens of thousands of objects.
fn check(given: &mut Object, fields: &'static [Field], at: &str) -> Result<(), Refusal> {
    given.retain(|name, _| fields.iter().any(|field| field.name == name));
    for (name, value) in given.iter_mut() {
        let field = fields.iter().find(|field| field.name == name);
        let field = field.expect("the others are gone");
        if !(value.is_null() && field.nullable) {
            fit(value, field.shape, &format_args!("{at}.{name}"))?;
        }
    }
    Ok(())
}

fn fit(value: &mut Value, shape: Shape, at: &std::fmt::Arguments<'_>) -> Result<(), Refusal> {
    let (fits, expected) = match (shape, &mut *value) {
        (Shape::Text, value) => (value.is_string(), "a string"),
        (Shape::Date, value) => (value.as_str().is_some_and(is_date), "a date, YYYY-MM-DD"),
        (Shape::DateTime, value) => (
            value.as_str().is_some_and(|text| moment(text).is_some()),
            "an ISO-8601 date and time",
        ),
        (Shape::Integer, value) => (value.is_i64() || value.is_u64(), "an integer"),
        (Shape::Number, value) => (value.is_number(), "a number"),
        (Shape::Truth, value) => (value.is_boolean(), "a boolean"),
        (Shape::AnyObject, value) => (value.is_object(), "an object"),
        (Shape::Texts, value) => {
            let list = value.as_array();
            let fits = list.is_some_and(|list| list.iter().all(Value::is_string));
            (fits, "an array of strings")
        }
        (Shape::OneOf(words), value) => {
            if value.as_str().is_some_and(|word| words.contains(&word)) {
                return Ok(());
            }
            return Err(Refusal::payload(format!(
                "Property {at} should be equal to one of the allowed values [ {} ]",
                words.join(", ")
            )));
        }
        (Shape::Of(fields), Value::Object(parts)) => return check(parts, fields, &at.to_string()),
        (Shape::Of(_), _) => (false, "an object"),
        (Shape::ListOf(fields), Value::Array(list)) => return check_all(list, fields, at),
        (Shape::ListOf(_), _) => (false, "an array"),
    };
    match (fits, shape) {
        (true, _) => Ok(()),
        // A date that can't be is the customer's fault, not the form's.
        (false, Shape::Date) => Err(Refusal::new(
            400,
            "invalid_customer",
            "Invalid customer",
            format!("Property {at} should be {expected}"),
        )),
        (false, _) => Err(wrong(&at.to_string(), expected)),
    }
}

fn check_all(
    list: &mut [Value],
    fields: &'static [Field],
    at: &std::fmt::Arguments<'_>,
) -> Result<(), Refusal> {
    for (index, value) in list.iter_mut().enumerate() {
        let at = format!("{at}[{index}]");
        match value {
            Value::Object(parts) => check(parts, fields, &at)?,
            _ => return Err(wrong(&at, "an object")),
        }
    }
    Ok(())
}

fn wrong(at: &str, expected: &str) -> Refusal {
    let at = if at.is_empty() { "." } else { at };
    Refusal::payload(format!("Property {at} should be {expected}"))
}

/// Exactly `YYYY-MM-DD`, and a day that there is.
pub(super) fn is_date(text: &str) -> bool {
    text.len() == 10
        && text.bytes().enumerate().all(|(index, byte)| match index {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        })
        && text.parse::<jiff::civil::Date>().is_ok()
}

/// Milliseconds since 1970 of a date and time with its zone.
pub(super) fn moment(text: &str) -> Option<i64> {
    let zoned = text.contains(['T', 't', ' ']);
    zoned
        .then(|| text.parse::<jiff::Timestamp>().ok())
        .flatten()
        .map(jiff::Timestamp::as_millisecond)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    type Check = fn(Value, &str) -> Result<Object, Refusal>;

    #[track_caller]
    fn takes(check: Check, body: Value) {
        assert_eq!(
            check(body.clone(), "")
                .map(Value::Object)
                .map_err(|r| r.details),
            Ok(body)
        );
    }

    #[track_caller]
    fn refuses(check: Check, body: Value, key: &str, details: &str) {
        let refusal = check(body, "").unwrap_err();
        assert_eq!((&*refusal.key, &*refusal.details), (key, details));
    }

    #[test]
    fn a_customer_has_its_types() {
        takes(
            customer,
            json!({"source_id": "C1", "birthdate": "2024-02-29", "address": null, "metadata": {"a": [1, null]}}),
        );
        takes(customer, json!({}));
        refuses(
            customer,
            json!([]),
            "invalid_payload",
            "Property . should be an object",
        );
        refuses(
            customer,
            json!({"source_id": 1}),
            "invalid_payload",
            "Property .source_id should be a string",
        );
        refuses(
            customer,
            json!({"email": null}),
            "invalid_payload",
            "Property .email should be a string",
        );
        refuses(
            customer,
            json!({"metadata": []}),
            "invalid_payload",
            "Property .metadata should be an object",
        );
        refuses(
            customer,
            json!({"address": "Rome"}),
            "invalid_payload",
            "Property .address should be an object",
        );
        refuses(
            customer,
            json!({"address": {"postal_code": 1}}),
            "invalid_payload",
            "Property .address.postal_code should be a string",
        );
    }

    #[test]
    fn a_birth_date_that_can_not_be_is_the_customers_fault() {
        for date in [
            "2023-02-29",
            "29.02.2024",
            "",
            "2024-2-9",
            "2024-02-29T00:00:00Z",
            "+024-02-29",
        ] {
            refuses(
                customer,
                json!({"birthdate": date}),
                "invalid_customer",
                "Property .birthdate should be a date, YYYY-MM-DD",
            );
        }
    }

    #[test]
    fn money_is_an_integer() {
        takes(product, json!({"price": 1299, "attributes": ["a"]}));
        refuses(
            product,
            json!({"price": 12.99}),
            "invalid_payload",
            "Property .price should be an integer",
        );
        refuses(
            product,
            json!({"price": 12.0}),
            "invalid_payload",
            "Property .price should be an integer",
        );
        refuses(
            product,
            json!({"price": "1299"}),
            "invalid_payload",
            "Property .price should be an integer",
        );
        refuses(
            product,
            json!({"attributes": "a,b"}),
            "invalid_payload",
            "Property .attributes should be an array of strings",
        );
        refuses(
            sku,
            json!({"attributes": ["a"]}),
            "invalid_payload",
            "Property .attributes should be an object",
        );
    }

    #[test]
    fn an_order_names_the_kind_of_each_item() {
        let item = json!({"object": "order_item", "source_id": "P1", "related_object": "product", "product": {"override": true, "price": 12.5}});
        takes(order, json!({"source_id": null, "items": [item]}));
        refuses(
            order,
            json!({"items": [{"source_id": "P1"}]}),
            "invalid_payload",
            "Property .items[0].object is required",
        );
        refuses(
            order,
            json!({"items": [{"object": "order_item", "quantity": 1.5}]}),
            "invalid_payload",
            "Property .items[0].quantity should be an integer",
        );
        refuses(
            order,
            json!({"items": [{"object": "order_item", "initial_quantity": 0}]}),
            "invalid_payload",
            "Property .items[0].initial_quantity cannot be lower than 1",
        );
        refuses(
            order,
            json!({"status": "paid"}),
            "invalid_payload",
            "Property .status should be equal to one of the allowed values [ CREATED, PAID, CANCELED, FULFILLED ]",
        );
        refuses(
            order,
            json!({"created_at": "2026-08-26T10:02:00"}),
            "invalid_payload",
            "Property .created_at should be an ISO-8601 date and time",
        );
        refuses(
            order,
            json!({"items": vec![json!({"object": "order_item"}); 501]}),
            "invalid_order",
            "Property .items cannot hold more than 500 items",
        );
    }

    #[test]
    fn an_unknown_field_is_dropped_without_a_word() {
        let taken = customer(json!({"nmae": "Ann", "phone": "1"}), "").unwrap();
        assert_eq!(Value::Object(taken), json!({"phone": "1"}));
    }
}
