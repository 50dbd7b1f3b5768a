use serde_json::{Value, json};

use super::*;

#[test]
fn a_bulk_job_upserts_and_reports_what_it_found() {
    let mut bench = Bench::new();
    bench.ok(
        "POST",
        "/v1/customers",
        json!({"source_id": "C1", "name": "Ann", "email": "a@b.c"}),
    );
    let job = bench.job(
        "/v1/customers/bulk/async",
        json!([{"source_id": "C1", "name": "Bea"}, {"source_id": "C2"}]),
    );
    assert_eq!(
        only(&job, &["type", "status", "operation_status"]),
        json!({"type": "CUSTOMERS.BULK_UPDATE", "status": "DONE", "operation_status": "SUCCESS"})
    );
    assert_eq!(
        only(&job["result"], &["done_count", "failed_count", "errors"]),
        json!({"done_count": 2, "failed_count": 0, "errors": []})
    );
    assert_eq!(
        only(&bench.held("customers", "C1"), &["name", "email"]),
        json!({"name": "Bea", "email": "a@b.c"})
    );
    let url = job["result"]["reports"][0]
        .as_str()
        .unwrap()
        .strip_prefix("http://127.0.0.1")
        .unwrap()
        .to_owned();
    let report = bench.send("GET", &url, Value::Null).reply.body;
    assert_eq!(
        String::from_utf8(report).unwrap(),
        "source_id,found,updated\n\"C1\",true,true\n\"C2\",false,true\n"
    );
}

#[test]
fn jobs_are_done_one_after_another_in_order() {
    let mut bench = Bench::new();
    let mut ids = Vec::new();
    for name in ["First", "Second", "Third"] {
        let body = json!([{"source_id": "C1", "name": name}]);
        let answer = bench.ok("POST", "/v1/customers/bulk/async", body);
        ids.push(answer["async_action_id"].as_str().unwrap().to_owned());
    }
    let status = |bench: &mut Bench, id: &str| {
        bench.ok("GET", &format!("/v1/async-actions/{id}"), Value::Null)["status"].clone()
    };
    assert_eq!(status(&mut bench, &ids[0]), "ENQUEUED");
    bench.now_ms += 150;
    assert_eq!(status(&mut bench, &ids[0]), "IN_PROGRESS");
    assert_eq!(bench.held("customers", "C1"), Value::Null);
    bench.now_ms += 200;
    assert_eq!(status(&mut bench, &ids[0]), "DONE");
    assert_eq!(status(&mut bench, &ids[2]), "ENQUEUED");
    assert_eq!(bench.held("customers", "C1")["name"], "First");
    // A single call doesn't wait, and is overwritten by the jobs that were there before it.
    bench.ok("PUT", "/v1/customers/C1", json!({"name": "Single"}));
    bench.now_ms += 10_000;
    assert_eq!(status(&mut bench, &ids[2]), "DONE");
    assert_eq!(bench.held("customers", "C1")["name"], "Third");
}

#[test]
fn an_instant_job_is_done_when_it_is_answered() {
    let mut bench = Bench::with(Settings::instant());
    let id = bench.ok(
        "POST",
        "/v1/products/bulk/async",
        json!([{"source_id": "P1", "price": 5}]),
    )["async_action_id"]
        .clone();
    assert_eq!(bench.held("products", "P1")["price"], 5);
    let job = bench.ok(
        "GET",
        &format!("/v1/async-actions/{}", id.as_str().unwrap()),
        Value::Null,
    );
    assert_eq!(job["status"], "DONE");
}

#[test]
fn a_refused_record_fails_its_item_alone() {
    let mut bench = Bench::new();
    let faults = json!({"refuse": [{"source_id": "C2", "key": "invalid_customer", "message": "Invalid customer", "details": "no"}]});
    bench
        .remote
        .set_faults(serde_json::from_value(faults).unwrap(), 0);
    let job = bench.job(
        "/v1/customers/bulk/async",
        json!([{"source_id": "C1"}, {"source_id": "C2"}, {"source_id": "C3"}]),
    );
    assert_eq!(job["status"], "DONE");
    assert_eq!(
        job["result"]["errors"],
        json!([{"source_id": "C2", "key": "invalid_customer", "message": "Invalid customer", "details": "no"}])
    );
    assert_eq!(
        only(&job["result"], &["done_count", "failed_count"]),
        json!({"done_count": 2, "failed_count": 1})
    );
    assert_eq!(bench.remote.count("customers"), 2);
}

#[test]
fn metadata_of_the_wrong_type_fails_its_item_alone() {
    let settings =
        json!({"metadata": {"customer": {"properties": {"points": {"type": "number"}}}}});
    let mut bench = Bench::with(serde_json::from_value(settings).unwrap());
    let job = bench.job(
        "/v1/customers/bulk/async",
        json!([{"source_id": "C1", "metadata": {"points": "many"}}, {"source_id": "C2"}]),
    );
    assert_eq!(
        job["result"]["errors"][0]["details"],
        "metadata.points: must be a number"
    );
    assert_eq!(bench.remote.count("customers"), 1);
}

#[test]
fn one_metadata_for_many_is_merged_into_each() {
    let mut bench = Bench::new();
    bench.ok(
        "POST",
        "/v1/customers",
        json!({"source_id": "C1", "metadata": {"a": 1}}),
    );
    bench.job(
        "/v1/customers/metadata/async",
        json!({"source_ids": ["C1", "C2"], "metadata": {"b": 2}}),
    );
    assert_eq!(
        bench.held("customers", "C1")["metadata"],
        json!({"a": 1, "b": 2})
    );
    assert_eq!(bench.held("customers", "C2")["metadata"], json!({"b": 2}));
}

#[test]
fn customers_by_csv_are_overwritten_whole() {
    let mut bench = Bench::new();
    bench.ok(
        "POST",
        "/v1/customers",
        json!({"source_id": "C1", "name": "Ann", "phone": "1", "metadata": {"a": "b"}}),
    );
    let job = bench.upload(
        "/v1/customers/importCSV",
        "Name,Source_id,Address_City,Metadata_tier\nBea,C1,Rome,gold\nCy,C2,,\n",
    );
    assert_eq!(
        (&job["type"], &job["result"]["done_count"]),
        (&json!("CUSTOMERS.IMPORT_CSV"), &json!(2))
    );
    assert_eq!(
        only(
            &bench.held("customers", "C1"),
            &["name", "phone", "address", "metadata"]
        ),
        json!({"name": "Bea", "phone": null, "address": {"city": "Rome"}, "metadata": {"tier": "gold"}})
    );
}

#[test]
fn known_products_and_skus_get_little_from_csv() {
    let mut bench = Bench::new();
    bench.ok(
        "POST",
        "/v1/products",
        json!({"source_id": "P1", "name": "Tea", "price": 100, "attributes": ["color"]}),
    );
    bench.upload(
        "/v1/products/importCSV",
        "name,source_id,price\nGreen tea,P1,2\nCup,P2,3.00\n",
    );
    assert_eq!(
        only(&bench.held("products", "P1"), &["name", "price"]),
        json!({"name": "Green tea", "price": 100})
    );
    assert_eq!(bench.held("products", "P2")["price"], 300);
    let job = bench.upload("/v1/skus/importCSV", "product_id,sku,source_id,price,attributes,image_url\nP1,Small,S1,50.5,{'color':'blue'},http://x\nP9,None,S2,1,,\n");
    assert_eq!(
        bench.held("skus", "S1")["attributes"],
        json!({"color": "blue"})
    );
    assert_eq!(job["result"]["failed"][0]["row"], 2);
    bench.upload(
        "/v1/skus/importCSV",
        "product_id,sku,source_id,price,image_url\nP1,Tiny,S1,0.6,http://y\n",
    );
    assert_eq!(
        only(&bench.held("skus", "S1"), &["sku", "price", "image_url"]),
        json!({"sku": "Tiny", "price": 60, "image_url": "http://x"})
    );
    let answer = bench.send("POST", "/v1/products/importCSV", json!({}));
    assert_eq!(
        answer.reply.body_json()["details"],
        "Payload should have required property 'file'"
    );
}

#[test]
fn imported_orders_bear_the_imports_time() {
    let mut bench = Bench::new();
    let job = bench.job("/v1/orders/import", json!([{"source_id": "O1", "created_at": "2020-01-01T00:00:00Z"}, {"source_id": "O2", "customer": {"id": "cust_no"}}]));
    assert!(
        bench.held("orders", "O1")["created_at"]
            .as_str()
            .unwrap()
            .starts_with("2027-")
    );
    assert_eq!(
        job["result"]["failed"],
        json!([{"source_id": "O2", "reason": "Cannot find customer with id cust_no"}])
    );
    assert_eq!(job.get("operation_status"), None);
    bench.remote.settings_mut().import_failed_as_object = true;
    let faults = json!({"jobs": {"partial": 1.0, "null_ids": true}});
    bench
        .remote
        .set_faults(serde_json::from_value(faults).unwrap(), 0);
    let job = bench.job("/v1/orders/import", json!([{"source_id": "O3"}]));
    assert_eq!(
        job["result"]["failed"],
        json!({"source_id": null, "reason": "Refused by the stand-in"})
    );
}

#[test]
fn imports_of_orders_do_not_wait_for_bulk_jobs() {
    let mut bench = Bench::new();
    let faults = json!({"jobs": {"hang": 1.0, "hang_blocks": true}});
    bench
        .remote
        .set_faults(serde_json::from_value(faults).unwrap(), 0);
    bench.ok(
        "POST",
        "/v1/customers/bulk/async",
        json!([{"source_id": "C1"}]),
    );
    bench.remote.set_faults(Faults::default(), 0);
    assert_eq!(
        bench.job("/v1/orders/import", json!([{"source_id": "O1"}]))["status"],
        "DONE"
    );
    let stuck = bench.ok(
        "POST",
        "/v1/customers/bulk/async",
        json!([{"source_id": "C2"}]),
    )["async_action_id"]
        .clone();
    bench.now_ms += 86_400_000;
    let stuck = bench.ok(
        "GET",
        &format!("/v1/async-actions/{}", stuck.as_str().unwrap()),
        Value::Null,
    );
    assert_eq!(stuck["status"], "ENQUEUED");
}

#[test]
fn jobs_can_end_badly() {
    let mut bench = Bench::new();
    let mut under = |faults: Value| {
        bench
            .remote
            .set_faults(serde_json::from_value(json!({"jobs": faults})).unwrap(), 0);
        let id = bench.ok(
            "POST",
            "/v1/customers/bulk/async",
            json!([{"source_id": "C1"}]),
        )["async_action_id"]
            .clone();
        bench.now_ms += 86_400_000;
        bench
            .send(
                "GET",
                &format!("/v1/async-actions/{}", id.as_str().unwrap()),
                Value::Null,
            )
            .reply
    };
    assert_eq!(
        under(json!({"hang": 1.0})).body_json()["status"],
        "IN_PROGRESS"
    );
    assert_eq!(under(json!({"fail": 1.0})).body_json()["status"], "FAILED");
    let silent = under(json!({"partial": 1.0, "silent": 1.0})).body_json();
    assert_eq!(
        only(&silent["result"], &["done_count", "failed_count", "errors"]),
        json!({"done_count": 0, "failed_count": 1, "errors": []})
    );
    let partial = under(json!({"partial": 1.0, "keys": ["resource_locked"]})).body_json();
    assert_eq!(partial["result"]["errors"][0]["key"], "resource_locked");
    assert_eq!(under(json!({"forget": 1.0})).status, 404);
    assert_eq!(bench.remote.count("customers"), 1);
}

#[test]
fn the_list_of_jobs_has_the_newest_first() {
    let mut bench = Bench::new();
    for number in 0..12 {
        bench.ok(
            "POST",
            "/v1/customers/bulk/async",
            json!([{"source_id": format!("C{number}")}]),
        );
    }
    let list = bench.ok("GET", "/v1/async-actions?limit=5", Value::Null);
    let jobs = list["async_actions"].as_array().unwrap();
    assert_eq!((jobs.len(), &list["has_more"]), (5, &json!(true)));
    let before = jobs[4]["created_at"].as_str().unwrap();
    let rest = bench.ok(
        "GET",
        &format!("/v1/async-actions?limit=100&end_date={before}"),
        Value::Null,
    );
    assert_eq!(rest["async_actions"].as_array().unwrap().len(), 7);
    bench.refused(
        "GET",
        "/v1/async-actions?end_date=yesterday",
        Value::Null,
        400,
        "invalid_query_params",
    );
}
