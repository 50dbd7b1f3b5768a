//! The stand-in over real sockets: what its answers look like by the published contract, what
//! becomes of a connection, and what a test in another process can ask of it.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tillsync::standin::{self, Handle, Options, Settings};

fn start(settings: Settings) -> Handle {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let options = Options {
        settings,
        ..Options::default()
    };
    standin::start(listener, options).unwrap()
}

fn instant() -> Handle {
    start(Settings::instant())
}

/// What came back, as it came: head and body.
struct Came {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Came {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }
}

fn connect(handle: &Handle) -> TcpStream {
    let stream = TcpStream::connect(handle.addr()).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    stream
}

fn bytes(method: &str, target: &str, body: &str) -> Vec<u8> {
    let kind = match body.is_empty() {
        true => "",
        false => "Content-Type: application/json\r\n",
    };
    format!(
        "{method} {target} HTTP/1.1\r\nHost: x\r\nX-App-Id: app-id\r\nX-App-Token: app-token\r\n{kind}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

fn receive(stream: &mut TcpStream) -> std::io::Result<Came> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte)? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("Content-Length: "))
        .map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    Ok(Came {
        status: head[9..12].parse().unwrap(),
        head,
        body,
    })
}

fn send(handle: &Handle, method: &str, target: &str, body: Value) -> std::io::Result<Came> {
    let text = match body {
        Value::Null => String::new(),
        body => body.to_string(),
    };
    let mut stream = connect(handle);
    stream.write_all(&bytes(method, target, &text))?;
    receive(&mut stream)
}

#[track_caller]
fn faults(handle: &Handle, faults: Value) {
    assert_eq!(
        send(handle, "POST", "/_standin/faults", faults)
            .unwrap()
            .status,
        204
    );
}

#[test]
fn answers_are_as_the_contract_draws_them() {
    let handle = start(Settings {
        metadata: serde_json::from_value(json!({"customer": {"properties": {"tier": {"type": "string", "array": false, "optional": true}}}})).unwrap(),
        ..Settings::instant()
    });
    let all = |method: &str, target: &str, body: Value| {
        let came = send(&handle, method, target, body).unwrap();
        let path = target.split('?').next().unwrap();
        assert_eq!(
            crate::judge::judge_answer(method, path, came.status, &came.json()),
            Ok(()),
            "{method} {target}: {}",
            came.json()
        );
        came.json()
    };
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    all(
        "POST",
        "/v1/customers",
        json!({"source_id": "C1", "name": "Ann", "address": {"city": "Rome"}, "metadata": {"tier": "gold"}}),
    );
    all(
        "PUT",
        "/v1/customers/C1",
        json!({"birthdate": "1990-02-28", "address": null}),
    );
    all("GET", "/v1/customers/C1", Value::Null);
    all("GET", "/v1/customers?limit=5", Value::Null);
    all("GET", "/v1/customers/C1/activity", Value::Null);
    all("POST", "/v1/products", json!({"source_id": "P1"}));
    all(
        "PUT",
        "/v1/products/P1",
        json!({"name": "Tea", "price": 5, "attributes": ["size"]}),
    );
    all("POST", "/v1/products/P1/skus", json!({"source_id": "S1"}));
    all(
        "PUT",
        "/v1/products/P1/skus/S1",
        json!({"sku": "Small", "attributes": {"size": "S"}}),
    );
    for target in [
        "/v1/products/P1",
        "/v1/products",
        "/v1/skus/S1",
        "/v1/products/P1/skus",
    ] {
        all("GET", target, Value::Null);
    }
    let item = json!({"object": "order_item", "source_id": "P1", "related_object": "product", "quantity": 1, "product": {"name": "Tea"}});
    all(
        "POST",
        "/v1/orders",
        json!({"source_id": "O1", "amount": 5, "customer": {"source_id": "C1"}, "items": [item]}),
    );
    all("PUT", "/v1/orders/O1", json!({"status": "PAID"}));
    all("POST", "/v1/orders", json!({}));
    all("GET", "/v1/orders/O1", Value::Null);
    all("GET", "/v1/orders", Value::Null);
    for (target, body) in [
        ("/v1/customers/bulk/async", json!([{"source_id": "C2"}])),
        (
            "/v1/customers/metadata/async",
            json!({"source_ids": ["C2"], "metadata": {"tier": 1}}),
        ),
        ("/v1/products/bulk/async", json!([{"source_id": "P2"}])),
        (
            "/v1/products/metadata/async",
            json!({"source_ids": ["P2"], "metadata": {"a": null}}),
        ),
        ("/v1/orders/import", json!([{"source_id": "O2"}])),
    ] {
        let job = text(&all("POST", target, body)["async_action_id"]);
        all("GET", &format!("/v1/async-actions/{job}"), Value::Null);
    }
    all("GET", "/v1/async-actions", Value::Null);
    all("GET", "/v1/async-actions/no", Value::Null);
    all("GET", "/v1/metadata-schemas", Value::Null);
    all("GET", "/v1/metadata-schemas/customer", Value::Null);
    for object in ["customer", "order", "product", "sku"] {
        let export = text(&all("POST", "/v1/exports", json!({"exported_object": object}))["id"]);
        let done = all("GET", &format!("/v1/exports/{export}"), Value::Null);
        assert_eq!(done["status"], "DONE");
    }
    all("GET", "/v1/exports", Value::Null);
    all("DELETE", "/v1/products/P1", Value::Null);
    all("GET", "/v1/trash-bin", Value::Null);
    all("POST", "/v1/customers/C1/permanent-deletion", Value::Null);
    all("GET", "/v1/customers/C1", Value::Null);
    all("POST", "/v1/customers", json!({"email": null}));
}

#[test]
fn requests_on_one_connection_are_answered_in_turn() {
    let handle = instant();
    let mut stream = connect(&handle);
    for number in 0..3 {
        let body = json!({"source_id": format!("C{number}")}).to_string();
        stream
            .write_all(&bytes("POST", "/v1/customers", &body))
            .unwrap();
        let came = receive(&mut stream).unwrap();
        assert_eq!(came.json()["source_id"], format!("C{number}"));
        assert!(came.head.contains("X-Rate-Limit-Limit: "), "{}", came.head);
    }
    let twice = [
        bytes("GET", "/v1/customers", ""),
        bytes("DELETE", "/v1/customers/C0", ""),
    ]
    .concat();
    stream.write_all(&twice).unwrap();
    assert_eq!(receive(&mut stream).unwrap().json()["total"], 3);
    assert_eq!(receive(&mut stream).unwrap().status, 204);
}

#[test]
fn a_body_without_its_length_is_refused() {
    let handle = instant();
    let mut stream = connect(&handle);
    stream.write_all(b"POST /v1/customers HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n").unwrap();
    assert_eq!(receive(&mut stream).unwrap().status, 411);
    let mut stream = connect(&handle);
    stream.write_all(b"nonsense\r\n\r\n").unwrap();
    assert_eq!(receive(&mut stream).unwrap().status, 400);
}

#[test]
fn a_client_that_asks_first_is_told_to_go_on() {
    let handle = instant();
    let mut stream = connect(&handle);
    stream.write_all(b"POST /v1/customers HTTP/1.1\r\nX-App-Id: app-id\r\nX-App-Token: app-token\r\nContent-Type: application/json\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n").unwrap();
    assert_eq!(receive(&mut stream).unwrap().status, 100);
    stream.write_all(b"{}").unwrap();
    assert_eq!(receive(&mut stream).unwrap().status, 200);
}

#[test]
fn a_reset_is_a_reset() {
    let handle = instant();
    faults(
        &handle,
        json!({"faults": [{"then": "reset"}, {"then": "reset", "apply": true}, {"then": "early 3"}]}),
    );
    for key in ["C1", "C2", "C3"] {
        let error = send(&handle, "POST", "/v1/customers", json!({"source_id": key}))
            .err()
            .unwrap();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{key}");
    }
    assert_eq!(
        handle
            .remote()
            .state("customers")
            .unwrap()
            .keys()
            .collect::<Vec<_>>(),
        ["C2"]
    );
    let left: Vec<bool> = handle
        .remote()
        .arrivals()
        .iter()
        .map(|arrival| arrival.answer_left)
        .collect();
    assert_eq!(left, [false, false, false]);
}

#[test]
fn a_cut_answer_ends_in_its_middle() {
    let handle = instant();
    faults(
        &handle,
        json!({"faults": [{"then": "cut 5"}, {"then": "trickle 1", "status": 503, "body": {"code": 503}}]}),
    );
    let error = send(&handle, "POST", "/v1/customers", json!({"source_id": "C1"}))
        .err()
        .unwrap();
    assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
    let came = send(&handle, "POST", "/v1/customers", json!({"source_id": "C2"})).unwrap();
    assert_eq!((came.status, came.json()), (503, json!({"code": 503})));
    assert_eq!(handle.remote().count("customers"), 1);
}

#[test]
fn a_slow_answer_is_slow_and_a_hanging_one_never_comes() {
    let handle = instant();
    faults(
        &handle,
        json!({"faults": [{"then": "slow 300"}, {"then": "hang"}]}),
    );
    let begun = Instant::now();
    assert_eq!(
        send(&handle, "POST", "/v1/customers", json!({"source_id": "C1"}))
            .unwrap()
            .status,
        200
    );
    assert!(begun.elapsed() >= Duration::from_millis(300));
    let mut stream = connect(&handle);
    stream
        .set_read_timeout(Some(Duration::from_millis(200)))
        .unwrap();
    stream
        .write_all(&bytes("GET", "/v1/customers", ""))
        .unwrap();
    let error = receive(&mut stream).err().unwrap();
    assert!(
        matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
        "{error}"
    );
    // Others are answered meanwhile.
    assert_eq!(
        send(&handle, "GET", "/v1/customers", Value::Null)
            .unwrap()
            .status,
        200
    );
}

#[test]
fn another_process_can_check_and_change_everything() {
    let handle = start(Settings::default());
    let control = |method, target, body| send(&handle, method, target, body).unwrap();
    send(
        &handle,
        "POST",
        "/v1/customers",
        json!({"source_id": "C1", "name": "Ann"}),
    )
    .unwrap();
    send(
        &handle,
        "POST",
        "/v1/products/bulk/async",
        json!([{"source_id": "P1"}]),
    )
    .unwrap();
    let requests =
        String::from_utf8(control("GET", "/_standin/requests", Value::Null).body).unwrap();
    let lines: Vec<Value> = requests
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 2);
    for line in &lines {
        assert_eq!(crate::judge::judge(line), Ok(()));
    }
    assert_eq!(
        lines[0]["records"],
        json!([{"kind": "customers", "source_id": "C1", "content": {"source_id": "C1", "name": "Ann"}}])
    );
    assert_eq!(
        (
            &lines[0]["headers"]["x-app-token"],
            &lines[0]["status"],
            &lines[0]["answer_left"]
        ),
        (&json!("present"), &json!(200), &json!(true))
    );
    let since = control("GET", "/_standin/requests?since=1", Value::Null).body;
    assert_eq!(String::from_utf8(since).unwrap().lines().count(), 1);
    assert_eq!(
        control("GET", "/_standin/state/customers", Value::Null).json()["C1"]["name"],
        "Ann"
    );
    assert_eq!(
        control("GET", "/_standin/state/people", Value::Null).status,
        404
    );

    assert_eq!(
        control("POST", "/_standin/settings", json!({"limit": {"calls": 5}})).status,
        204
    );
    assert_eq!(
        control("POST", "/_standin/consume", json!({"calls": 10})).json(),
        json!({"refused": 6})
    );
    assert_eq!(
        send(&handle, "GET", "/v1/customers", Value::Null)
            .unwrap()
            .status,
        429
    );
    let status = control("GET", "/_standin/status", Value::Null).json();
    assert_eq!(
        (
            &status["tills_refused"],
            &status["refused_calls"],
            &status["customers"]
        ),
        (&json!(6), &json!(1), &json!(1))
    );
    assert_eq!(
        control("POST", "/_standin/settings", json!({"limits": 5})).status,
        400
    );
    assert_eq!(
        control(
            "POST",
            "/_standin/faults",
            json!({"faults": [{"then": "explode"}]})
        )
        .status,
        400
    );

    assert_eq!(control("POST", "/_standin/reset", Value::Null).status, 204);
    assert_eq!(
        control("GET", "/_standin/status", Value::Null).json()["requests"],
        0
    );
    assert_eq!(
        send(&handle, "GET", "/v1/customers", Value::Null)
            .unwrap()
            .json()["total"],
        0
    );
}

#[test]
fn its_thread_ends_with_its_handle() {
    let handle = instant();
    let addr = handle.addr();
    let idle = connect(&handle);
    handle.stop().unwrap();
    assert!(TcpStream::connect(addr).is_err());
    drop(idle);
}

#[test]
fn full_bodies_are_taken_in_by_the_thousand() {
    let handle = instant();
    let mut stream = connect(&handle);
    for batch in 0..4 {
        let customers: Vec<Value> = (0..2_500)
            .map(|number| json!({"source_id": format!("C{batch}-{number}"), "name": "Ann Example", "email": "ann@example.com", "phone": "+15550100", "birthdate": "1990-02-28", "address": {"city": "Rome", "country": "IT", "line_1": "1 Via Example", "postal_code": "00100"}, "metadata": {"tier": "gold", "points": number}}))
            .collect();
        let body = Value::from(customers).to_string();
        stream
            .write_all(&bytes("POST", "/v1/customers/bulk/async", &body))
            .unwrap();
        assert_eq!(receive(&mut stream).unwrap().status, 202);
    }
    assert_eq!(handle.remote().count("customers"), 10_000);
}
