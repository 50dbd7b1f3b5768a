use super::*;

fn content(pairs: &[(&str, &str)]) -> Content {
    let mut content = Content::default();
    for (field, json) in pairs {
        content.set(field, (*json).to_owned());
    }
    content
}

#[track_caller]
fn check(kind: Kind, pairs: &[(&str, &str)], expected: &str) {
    let body = bulk_item(kind, "K", &content(pairs));
    assert_eq!(body, expected);
    serde_json::from_str::<serde_json::Value>(&body).expect("a body is JSON");
}

#[test]
fn a_record_of_nothing_but_its_key() {
    for kind in Kind::ALL {
        check(kind, &[], r#"{"source_id":"K"}"#);
    }
}

#[test]
fn address_and_metadata_are_nested() {
    check(
        Kind::Customers,
        &[
            ("name", r#""Ann""#),
            ("address.city", r#""Paris""#),
            ("address.line_1", r#""1 rue""#),
            ("metadata.vip", "3"),
            ("metadata.a.b", "[1]"),
            ("consent.news", "true"),
        ],
        r#"{"source_id":"K","name":"Ann","address":{"line_1":"1 rue","city":"Paris"},"metadata":{"a.b":[1],"vip":3}}"#,
    );
}

#[test]
fn each_field_is_cleared_as_the_api_can_be_told() {
    check(
        Kind::Customers,
        &[
            ("name", CLEARED),
            ("birthdate", CLEARED),
            ("address.city", CLEARED),
            ("metadata.vip", CLEARED),
        ],
        r#"{"source_id":"K","name":"","address":{"city":""},"metadata":{"vip":null}}"#,
    );
    check(
        Kind::Products,
        &[("price", CLEARED), ("attributes", CLEARED)],
        r#"{"source_id":"K","attributes":[]}"#,
    );
    check(
        Kind::Skus,
        &[("attributes.size", CLEARED)],
        r#"{"source_id":"K","attributes":{}}"#,
    );
    check(
        Kind::Skus,
        &[("attributes.size", CLEARED), ("attributes.hue", r#""red""#)],
        r#"{"source_id":"K","attributes":{"hue":"red","size":null}}"#,
    );
}

#[test]
fn a_sku_does_not_name_its_product_in_the_body() {
    check(
        Kind::Skus,
        &[
            ("product", r#""P1""#),
            ("price", "1250"),
            ("currency", r#""EUR""#),
        ],
        r#"{"source_id":"K","price":1250,"currency":"EUR"}"#,
    );
}

#[test]
fn an_order_names_its_customer_by_key_alone() {
    let pairs = [
        ("customer.source_id", r#""C1""#),
        ("customer.name", r#""Ann""#),
        ("status", r#""PAID""#),
        ("amount", "2500"),
        (
            "items",
            r#"[{"source_id":"P1","kind":"product","quantity":2,"price":1250,"name":"Tea"},{"source_id":"S1","kind":"sku","name":"Tea 100 g","metadata":{"line":1}}]"#,
        ),
    ];
    check(
        Kind::Orders,
        &pairs,
        r#"{"source_id":"K","status":"PAID","amount":2500,"items":[{"object":"order_item","source_id":"P1","related_object":"product","quantity":2,"price":1250,"product":{"name":"Tea"}},{"object":"order_item","source_id":"S1","related_object":"sku","sku":{"sku":"Tea 100 g"},"metadata":{"line":1}}],"customer":{"source_id":"C1"}}"#,
    );
    let without = order("K", &content(&pairs[..3]), OrderNames::Nobody);
    assert_eq!(without, r#"{"source_id":"K","status":"PAID"}"#);
}

#[test]
fn consents_are_a_map_of_booleans() {
    let content = content(&[
        ("consent.news", "true"),
        ("consent.sms", "false"),
        ("name", "\"A\""),
    ]);
    assert_eq!(consents(&content), r#"{"news":true,"sms":false}"#);
    assert!(has_consents(&content));
}

#[test]
fn keys_are_escaped() {
    assert_eq!(
        customer("a\"\n", &Content::default()),
        r#"{"source_id":"a\"\n"}"#
    );
}
