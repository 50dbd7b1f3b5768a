use serde_json::{Value, json};

use super::*;

#[test]
fn creating_again_is_an_update() {
    let mut bench = Bench::new();
    let first = bench.ok(
        "POST",
        "/v1/customers",
        json!({"source_id": "C1", "name": "Ann", "metadata": {"a": 1, "b": 2}}),
    );
    let again = bench.ok(
        "POST",
        "/v1/customers",
        json!({"source_id": "C1", "email": "a@b.c", "metadata": {"b": null}}),
    );
    assert_eq!(first["id"], again["id"]);
    assert_eq!(
        only(&again, &["name", "email", "metadata"]),
        json!({"name": "Ann", "email": "a@b.c", "metadata": {"a": 1}})
    );
    assert_eq!(bench.remote.count("customers"), 1);
}

#[test]
fn a_key_is_set_only_when_the_object_is_made() {
    let mut bench = Bench::new();
    bench.ok("POST", "/v1/customers", json!({"source_id": "C1"}));
    bench.ok(
        "PUT",
        "/v1/customers/C1",
        json!({"source_id": "C2", "name": "Ann"}),
    );
    assert_eq!(bench.held("customers", "C1")["name"], "Ann");
    assert_eq!(bench.held("customers", "C2"), Value::Null);
}

#[test]
fn an_object_without_a_key_is_new_each_time() {
    let mut bench = Bench::new();
    for body in [json!({}), json!({}), json!({"source_id": ""})] {
        bench.ok("POST", "/v1/customers", body);
    }
    bench.ok("POST", "/v1/orders", json!({"source_id": null}));
    bench.ok("POST", "/v1/orders", json!({"source_id": null}));
    assert_eq!(
        (
            bench.remote.count("customers"),
            bench.remote.count("orders")
        ),
        (3, 2)
    );
}

#[test]
fn an_unknown_object_is_not_found() {
    let mut bench = Bench::new();
    for (method, target) in [
        ("GET", "/v1/customers/no"),
        ("PUT", "/v1/customers/no"),
        ("DELETE", "/v1/customers/no"),
        ("POST", "/v1/customers/no/permanent-deletion"),
        ("PUT", "/v1/customers/no/consents"),
        ("PUT", "/v1/products/no"),
        ("DELETE", "/v1/products/no"),
        ("POST", "/v1/products/no/skus"),
        ("GET", "/v1/skus/no"),
        ("PUT", "/v1/orders/no"),
        ("GET", "/v1/async-actions/no"),
        ("GET", "/v1/metadata-schemas/sku"),
        ("GET", "/v1/exports/no"),
        ("GET", "/v1/nothing"),
    ] {
        bench.refused(method, target, json!({}), 404, "not_found");
    }
    bench.refused(
        "DELETE",
        "/v1/orders/no",
        Value::Null,
        405,
        "method_not_allowed",
    );
}

#[test]
fn keys_with_slash_blank_and_accent_are_found_by_their_path() {
    let mut bench = Bench::new();
    bench.ok("POST", "/v1/customers", json!({"source_id": "a/b ü"}));
    let found = bench.ok("GET", "/v1/customers/a%2Fb%20%C3%BC", Value::Null);
    assert_eq!(found["source_id"], "a/b ü");
}

#[test]
fn a_body_of_the_wrong_form_is_refused() {
    let mut bench = Bench::new();
    bench.refused("POST", "/v1/customers", json!([]), 400, "invalid_payload");
    bench.refused(
        "POST",
        "/v1/customers",
        json!({"birthdate": "1.2.1990"}),
        400,
        "invalid_customer",
    );
    bench.refused(
        "POST",
        "/v1/customers/bulk/async",
        json!({}),
        400,
        "invalid_payload",
    );
    bench.refused(
        "POST",
        "/v1/customers/bulk/async",
        json!([{"name": "Ann"}]),
        400,
        "missing_source_id",
    );
    bench.refused(
        "POST",
        "/v1/customers/bulk/async",
        json!([{"source_id": "C1"}, {"source_id": "C2", "email": null}]),
        400,
        "invalid_payload",
    );
    bench.refused(
        "POST",
        "/v1/customers/metadata/async",
        json!({"source_ids": ["C1"]}),
        400,
        "missing_metadata",
    );
    bench.refused(
        "POST",
        "/v1/orders/import",
        json!(vec![json!({}); 2001]),
        400,
        "invalid_payload",
    );
    bench.refused(
        "GET",
        "/v1/customers?limit=101",
        Value::Null,
        400,
        "invalid_query_params",
    );
    bench.refused(
        "GET",
        "/v1/customers?page=100",
        Value::Null,
        400,
        "invalid_query_params",
    );
    assert_eq!(bench.remote.count("customers"), 0);
}

#[test]
fn a_body_over_ten_megabytes_is_too_large() {
    let mut bench = Bench::new();
    let answer = bench.send(
        "POST",
        "/v1/customers/bulk/async",
        json!([{"source_id": "C1", "name": "x".repeat(10_485_760)}]),
    );
    assert_eq!(answer.reply.status, 413);
    assert_eq!(answer.reply.body_json()["statusCode"], 413);
}

#[test]
fn only_plain_json_is_taken() {
    let mut bench = Bench::new();
    let mut zipped = Request::json("POST", "/v1/customers", "{}");
    zipped
        .headers
        .push(("Content-Encoding".into(), "gzip".into()));
    assert_eq!(bench.remote.answer(&zipped, 0).reply.status, 415);
    let mut text = Request::json("POST", "/v1/customers", "");
    text.body = b"{}".as_slice().into();
    assert_eq!(bench.remote.answer(&text, 0).reply.status, 415);
}

#[test]
fn without_the_right_credentials_nothing_is_answered() {
    let mut bench = Bench::new();
    let mut request = Request::json("GET", "/v1/customers", "");
    request.headers[1].1 = "another".into();
    let answer = bench.remote.answer(&request, 0);
    assert_eq!(
        (
            answer.reply.status,
            answer.reply.body_json()["key"].as_str()
        ),
        (401, Some("unauthorized"))
    );
    assert!(!format!("{:?}", bench.remote.arrivals()).contains("another"));
}

#[test]
fn erasing_answers_with_its_misspelt_kind() {
    let mut bench = Bench::new();
    bench.ok(
        "POST",
        "/v1/orders",
        json!({"source_id": "O1", "customer": {"source_id": "C1"}}),
    );
    let answer = bench.ok("POST", "/v1/customers/C1/permanent-deletion", Value::Null);
    assert_eq!(
        (&answer["object"], &answer["data_json"]["orders"]),
        (&json!("pernament_deletion"), &json!(1))
    );
    assert_eq!(bench.held("customers", "C1"), Value::Null);
    assert_eq!(bench.held("orders", "O1")["customer_id"], Value::Null);
}

#[test]
fn consents_are_kept_with_their_customer() {
    let mut bench = Bench::new();
    bench.ok("POST", "/v1/customers", json!({"source_id": "C1"}));
    bench.ok(
        "PUT",
        "/v1/customers/C1/consents",
        json!({"news": true, "sms": false}),
    );
    bench.ok("PUT", "/v1/customers/C1/consents", json!({"news": false}));
    assert_eq!(
        bench.held("customers", "C1")["consents"],
        json!({"news": false, "sms": false})
    );
    bench.remote.settings_mut().consents = false;
    assert_eq!(
        bench
            .send("PUT", "/v1/customers/C1/consents", json!({}))
            .reply
            .status,
        404
    );
}

#[test]
fn a_sku_belongs_to_one_product_and_has_its_attributes() {
    let mut bench = Bench::new();
    for key in ["P1", "P2"] {
        bench.ok(
            "POST",
            "/v1/products",
            json!({"source_id": key, "attributes": ["size"]}),
        );
    }
    bench.ok(
        "POST",
        "/v1/products/P1/skus",
        json!({"source_id": "S1", "attributes": {"size": "L"}}),
    );
    bench.refused(
        "POST",
        "/v1/products/P1/skus",
        json!({"source_id": "S2", "attributes": {"colour": "red"}}),
        400,
        "invalid_sku",
    );
    bench.refused(
        "POST",
        "/v1/products/P2/skus",
        json!({"source_id": "S1"}),
        409,
        "duplicate_resource_key",
    );
    bench.refused(
        "PUT",
        "/v1/products/P2/skus/S1",
        json!({"price": 1}),
        404,
        "not_found",
    );
    assert_eq!(bench.held("skus", "S1")["product_key"], "P1");
    assert_eq!(
        bench.ok("GET", "/v1/products/P1/skus", Value::Null)["total"],
        1
    );
}

#[test]
fn deleting_a_product_takes_its_skus_and_fills_the_bin() {
    let mut bench = Bench::new();
    bench.remote.settings_mut().bin_keeps_source_id = true;
    bench.ok(
        "POST",
        "/v1/products",
        json!({"source_id": "P1", "name": "Tea"}),
    );
    bench.ok("POST", "/v1/products/P1/skus", json!({"source_id": "S1"}));
    bench.ok("DELETE", "/v1/products/P1", Value::Null);
    assert_eq!(
        (bench.remote.count("products"), bench.remote.count("skus")),
        (0, 0)
    );
    let bin = bench.ok("GET", "/v1/trash-bin", Value::Null);
    assert_eq!(
        (&bin["total"], &bin["data"][0]["resource_name"]),
        (&json!(2), &json!("Tea"))
    );
    bench.refused(
        "POST",
        "/v1/products",
        json!({"source_id": "P1"}),
        409,
        "duplicate_found",
    );
    let entry = format!("/v1/trash-bin/{}", bin["data"][0]["id"].as_str().unwrap());
    bench.ok("DELETE", &entry, Value::Null);
    bench.ok("POST", "/v1/products", json!({"source_id": "P1"}));
    bench.ok("DELETE", "/v1/products/P1?force=true", Value::Null);
    assert_eq!(bench.ok("GET", "/v1/trash-bin", Value::Null)["total"], 1);
}

#[test]
fn an_order_brings_its_customer_and_stores_its_products() {
    let mut bench = Bench::new();
    let order = json!({"source_id": "O1", "status": "PAID", "amount": 2500, "discount_amount": 500,
        "customer": {"source_id": "C1", "name": "Ann"},
        "items": [{"object": "order_item", "source_id": "P1", "related_object": "product", "quantity": 2,
            "product": {"override": true, "name": "Tea", "price": 1250}}]});
    let view = bench.ok("POST", "/v1/orders", order);
    assert_eq!(view["total_amount"], 2000);
    assert_eq!(
        view["items"][0]["product_id"],
        bench.held("products", "P1")["id"]
    );
    assert_eq!(bench.held("orders", "O1")["customer_key"], "C1");
    assert_eq!(
        only(&bench.held("products", "P1"), &["name", "price"]),
        json!({"name": "Tea", "price": 1250})
    );
    bench.ok("PUT", "/v1/orders/O1", json!({"status": "FULFILLED"}));
    assert_eq!(
        only(
            &bench.held("orders", "O1"),
            &["status", "amount", "customer_key"]
        ),
        json!({"status": "FULFILLED", "amount": 2500, "customer_key": "C1"})
    );
}

#[test]
fn a_customer_that_an_order_only_names_is_not_touched() {
    let mut bench = Bench::new();
    bench.ok(
        "POST",
        "/v1/customers",
        json!({"source_id": "C1", "name": "Ann"}),
    );
    bench.ok(
        "POST",
        "/v1/orders",
        json!({"source_id": "O1", "customer": {"source_id": "C1"}}),
    );
    bench.ok(
        "POST",
        "/v1/orders",
        json!({"source_id": "O2", "customer": {"source_id": "C2"}}),
    );
    let known = bench.held("customers", "C1");
    assert_eq!(
        (&known["name"], &known["updated_at"]),
        (&json!("Ann"), &Value::Null)
    );
    assert_eq!(bench.remote.count("customers"), 2);
    bench.refused(
        "POST",
        "/v1/orders",
        json!({"source_id": "O3", "customer": {"id": "cust_no"}}),
        404,
        "not_found",
    );
}

#[test]
fn defined_metadata_has_its_type() {
    let settings: Settings =
        serde_json::from_value(json!({"metadata": {"customer": {"properties": {
            "points": {"type": "number", "array": false, "optional": true},
            "tags": {"type": "string", "array": true, "optional": true, "eq": ["a", "b"]},
            "since": {"type": "date", "array": false, "optional": true},
            "store": {"type": "string", "array": false, "optional": false},
        }}}}))
        .unwrap();
    let mut bench = Bench::with(settings);
    let mut post = |metadata: Value, status: u16| {
        let answer = bench.send(
            "POST",
            "/v1/customers",
            json!({"source_id": "C1", "metadata": metadata}),
        );
        assert_eq!(answer.reply.status, status, "{}", answer.reply.body_json());
    };
    post(json!({"points": 1}), 400);
    post(json!({"points": "1", "store": "x"}), 400);
    post(json!({"points": 1, "store": "x", "other": [1]}), 200);
    post(json!({"tags": "a"}), 400);
    post(json!({"tags": ["a", "c"]}), 400);
    post(json!({"tags": ["a", "b"], "since": "2026-02-01"}), 200);
    post(json!({"since": "01.02.2026"}), 400);
    post(json!({"points": null}), 200);
    post(json!({"store": null}), 400);
    bench
        .remote
        .settings_mut()
        .metadata
        .get_mut("customer")
        .unwrap()
        .allow_defined_only = true;
    bench.refused(
        "PUT",
        "/v1/customers/C1",
        json!({"metadata": {"unknown": 1}}),
        400,
        "invalid_payload",
    );
    let schema = bench.ok("GET", "/v1/metadata-schemas/customer", Value::Null);
    assert_eq!(schema["properties"]["points"]["type"], "number");
}

#[test]
fn the_cursor_of_customers_is_a_time() {
    let mut bench = Bench::new();
    for number in 0..25 {
        bench.ok(
            "POST",
            "/v1/customers",
            json!({"source_id": format!("C{number:02}")}),
        );
    }
    let mut seen = Vec::new();
    let mut after = String::new();
    loop {
        let page = bench.ok(
            "GET",
            &format!("/v1/customers?limit=10{after}"),
            Value::Null,
        );
        let rows = page["customers"].as_array().unwrap();
        seen.extend(
            rows.iter()
                .map(|row| row["source_id"].as_str().unwrap().to_owned()),
        );
        if page["has_more"] == false {
            break;
        }
        after = format!(
            "&starting_after={}",
            rows.last().unwrap()["created_at"].as_str().unwrap()
        );
    }
    seen.reverse();
    assert_eq!(
        seen,
        (0..25)
            .map(|number| format!("C{number:02}"))
            .collect::<Vec<_>>()
    );
    let found = bench.ok(
        "GET",
        "/v1/customers?order=source_id&limit=1&page=3",
        Value::Null,
    );
    assert_eq!(
        (&found["customers"][0]["source_id"], &found["total"]),
        (&json!("C02"), &json!(25))
    );
}

#[test]
fn an_export_holds_what_was_there_when_it_was_done() {
    let settings = json!({"metadata": {"customer": {"properties": {"tier": {"type": "string"}}}}});
    let mut bench = Bench::with(serde_json::from_value(settings).unwrap());
    bench.ok("POST", "/v1/customers", json!({"source_id": "C,1", "address": {"city": "Rome"}, "metadata": {"tier": "gold", "other": "x"}}));
    let fields = json!(["source_id", "address_city", "metadata"]);
    let export = bench.ok(
        "POST",
        "/v1/exports",
        json!({"exported_object": "customer", "parameters": {"fields": fields}}),
    );
    assert_eq!(
        (&export["status"], &export["result"]),
        (&json!("SCHEDULED"), &Value::Null)
    );
    let target = format!("/v1/exports/{}", export["id"].as_str().unwrap());
    assert_eq!(
        bench.ok("GET", &target, Value::Null)["status"],
        "IN_PROGRESS"
    );
    bench.now_ms += 1_000;
    let done = bench.ok("GET", &target, Value::Null);
    bench.ok("DELETE", "/v1/customers/C,1", Value::Null);
    let url = done["result"]["url"]
        .as_str()
        .unwrap()
        .strip_prefix("http://127.0.0.1")
        .unwrap();
    let file = bench.send("GET", url, Value::Null).reply;
    assert_eq!(
        String::from_utf8(file.body).unwrap(),
        "source_id,address_city,metadata.tier\n\"C,1\",Rome,gold\n"
    );
    assert_eq!(
        bench
            .send("GET", &format!("{target}?token=wrong"), Value::Null)
            .reply
            .status,
        401
    );
    bench.refused(
        "POST",
        "/v1/exports",
        json!({"exported_object": "customer", "parameters": {"fields": ["shoe_size"]}}),
        400,
        "invalid_export_fields",
    );
    bench.refused(
        "POST",
        "/v1/exports",
        json!({"exported_object": "customers"}),
        400,
        "invalid_payload",
    );
}

#[test]
fn the_log_tells_what_each_request_carried() {
    let mut bench = Bench::new();
    bench.ok("POST", "/v1/customers", json!({"source_id": "C1"}));
    bench.ok("PUT", "/v1/customers/C1", json!({"name": "Ann"}));
    bench.ok(
        "POST",
        "/v1/customers/bulk/async",
        json!([{"source_id": "C2"}, {"source_id": "C3"}]),
    );
    bench.ok(
        "POST",
        "/v1/customers/metadata/async",
        json!({"source_ids": ["C1", "C2"], "metadata": {"a": 1}}),
    );
    bench.ok("DELETE", "/v1/customers/C1", Value::Null);
    bench.ok("GET", "/v1/customers", Value::Null);
    bench.upload("/v1/products/importCSV", "name,source_id\nTea,P1\n");
    let carried: Vec<Vec<_>> = bench
        .remote
        .arrivals()
        .iter()
        .map(|arrival| {
            arrival
                .records()
                .into_iter()
                .map(|one| (one.kind, one.source_id.unwrap(), one.content))
                .collect()
        })
        .collect();
    let one = |kind, key: &str, content| (kind, key.to_owned(), content);
    assert_eq!(
        carried[0],
        [one("customers", "C1", json!({"source_id": "C1"}))]
    );
    assert_eq!(carried[1], [one("customers", "C1", json!({"name": "Ann"}))]);
    assert_eq!(carried[2].len(), 2);
    assert_eq!(
        carried[3][1],
        one("customers", "C2", json!({"metadata": {"a": 1}}))
    );
    assert_eq!(carried[4], [one("customers", "C1", Value::Null)]);
    assert_eq!(carried[5], []);
    assert_eq!(
        carried[6],
        [one(
            "products",
            "P1",
            json!({"name": "Tea", "source_id": "P1"})
        )]
    );
    assert!(bench.remote.arrivals()[2].async_action_id.is_some());
}

#[test]
fn a_bounded_log_forgets_the_oldest_bodies_alone() {
    let mut bench = Bench::with(Settings {
        log_body_bytes_max: Some(50),
        ..Settings::default()
    });
    for key in ["C1", "C2", "C3"] {
        bench.ok("POST", "/v1/customers", json!({"source_id": key}));
    }
    let kept: Vec<bool> = bench
        .remote
        .arrivals()
        .iter()
        .map(|arrival| arrival.body.is_some())
        .collect();
    assert_eq!(kept, [false, true, true]);
}
