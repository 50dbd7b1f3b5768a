//! The judge of requests, judged: it takes every good body of `tests/judge/good` and no bad one.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

fn cases(folder: &str) -> Vec<(String, Value)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/judge")
        .join(folder);
    fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            let text = fs::read_to_string(&path).unwrap();
            (
                path.display().to_string(),
                serde_json::from_str(&text).unwrap(),
            )
        })
        .collect()
}

fn verdict(case: &Value) -> Result<(), String> {
    let (method, path) = (
        case["method"].as_str().unwrap(),
        case["path"].as_str().unwrap(),
    );
    crate::judge::judge_request(method, path, None, Some(&case["body"]))
}

#[test]
fn every_good_body_passes() {
    let cases = cases("good");
    assert!(cases.len() > 15);
    for (name, case) in cases {
        assert_eq!(verdict(&case), Ok(()), "{name}");
    }
}

#[test]
fn no_bad_body_passes() {
    let cases = cases("bad");
    assert!(cases.len() > 20);
    for (name, case) in cases {
        assert!(verdict(&case).is_err(), "{name}");
    }
}

#[track_caller]
fn refuses(line: Value, expected: &str) {
    assert_eq!(crate::judge::judge(&line), Err(expected.to_owned()));
}

fn line(method: &str, target: &str, body: Value) -> Value {
    let (path, query) = target
        .split_once('?')
        .map_or((target, None), |(path, query)| (path, Some(query)));
    json!({"method": method, "path": path, "query": query, "body": body,
        "body_bytes": if body.is_null() { 0 } else { body.to_string().len() },
        "headers": {"x-app-id": "a", "x-app-token": "present", "content-type": "application/json"}})
}

#[test]
fn what_the_schema_lets_pass_is_seen() {
    refuses(
        line(
            "POST",
            "/v1/customers",
            json!({"source_id": "C1", "nmae": "Ann"}),
        ),
        "POST /v1/customers: : no field is called \"nmae\"",
    );
    refuses(
        line(
            "POST",
            "/v1/orders",
            json!({"source_id": "O1", "customer": {"sourceid": "C1"}}),
        ),
        "POST /v1/orders: .customer: no field is called \"sourceid\"",
    );
    refuses(
        line(
            "POST",
            "/v1/products",
            json!({"source_id": "P1", "price": 12.0}),
        ),
        "POST /v1/products: .price: 12.0 is not written as an integer",
    );
    refuses(
        line("POST", "/v1/customers", json!({"name": "Ann"})),
        "POST /v1/customers: a record without its source_id",
    );
    refuses(
        line(
            "POST",
            "/v1/customers/bulk/async",
            json!([{"source_id": "C1"}, {"source_id": "C1"}]),
        ),
        "POST /v1/customers/bulk/async: a record stands twice in one body",
    );
    refuses(
        line(
            "POST",
            "/v1/orders/import",
            json!(vec![json!({"source_id": "O1"}); 2001]),
        ),
        "POST /v1/orders/import: 2001 orders",
    );
}

#[test]
fn paths_queries_and_heads_are_judged() {
    for target in [
        "/v1/customers?limit=100&created_at%5Bafter%5D=2026-01-01T00:00:00Z",
        "/v1/products/a%2Fb",
        "/v1/exports/exp_1?token=t",
        "/v1/async-actions/aa_1",
    ] {
        assert_eq!(
            crate::judge::judge(&line("GET", target, Value::Null)),
            Ok(()),
            "{target}"
        );
    }
    assert_eq!(
        crate::judge::judge(&line("DELETE", "/v1/products/P1?force=true", Value::Null)),
        Ok(())
    );
    assert_eq!(
        crate::judge::judge(&line(
            "PUT",
            "/v1/customers/C1/consents",
            json!({"newsletter": true})
        )),
        Ok(())
    );
    refuses(
        line("GET", "/v1/customer", Value::Null),
        "GET /v1/customer: no such call",
    );
    refuses(
        line("GET", "/v1/customers?limt=100", Value::Null),
        "GET /v1/customers: no such parameter: limt",
    );
    refuses(
        line("DELETE", "/v1/orders/O1", Value::Null),
        "DELETE /v1/orders/O1: no such call",
    );
    refuses(
        line("POST", "/v1/customers/C1/permanent-deletion", json!({})),
        "POST /v1/customers/C1/permanent-deletion: a body where none is due",
    );
    assert!(crate::judge::judge(&line("GET", "/v1/customers?limit=101", Value::Null)).is_err());
    let mut bare = line("GET", "/v1/customers", Value::Null);
    bare["headers"] = json!({"x-app-id": "a"});
    refuses(bare, "GET /v1/customers: no header x-app-token");
}
