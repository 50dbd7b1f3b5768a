//! What arrived, whole: each request with its time and body, what was answered, and whether the
//! answer left.

use std::collections::VecDeque;
use std::sync::Arc;

use serde_json::{Value, json};

use super::{
    Delivery, Object, Reply, Request, imports,
    route::{Call, decoded},
};

/// One request that arrived.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// From 1.
    pub seq: u64,
    pub at_ms: i64,
    pub method: String,
    /// Path and query, as they came.
    pub target: String,
    /// As they came, but for the token's value.
    pub headers: Vec<(String, String)>,
    pub body_bytes: usize,
    /// Absent when the log keeps no more (`Settings::log_body_bytes_max`).
    pub body: Option<Arc<[u8]>>,
    /// Of the answer; 0 if none was made.
    pub status: u16,
    /// The answer's error key, if it has one.
    pub key: Option<String>,
    /// The job that the request began.
    pub async_action_id: Option<String>,
    /// The client can have got the whole answer.
    pub answer_left: bool,
}

/// One record that a request carried.
#[derive(Clone, Debug, PartialEq)]
pub struct Carried {
    /// `customers`, `products`, `skus`, `orders`.
    pub kind: &'static str,
    /// As the request names it: a PUT or DELETE may name it by the API's own id.
    pub source_id: Option<String>,
    /// What the request says of it; `null` where it is deleted or erased.
    pub content: Value,
}

impl Arrival {
    /// The body as JSON, where it is.
    pub fn json(&self) -> Option<Value> {
        self.body
            .as_deref()
            .and_then(|body| serde_json::from_slice(body).ok())
    }

    /// The path without its query.
    pub fn path(&self) -> &str {
        self.target
            .split_once('?')
            .map_or(&self.target, |(path, _)| path)
    }

    /// The records that it carried to the remote, in order; none for a call that only reads.
    pub fn records(&self) -> Vec<Carried> {
        let parts: Vec<String> = self.path().split('/').skip(1).map(decoded).collect();
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        let one = |kind, source_id: Option<&str>, content| {
            vec![Carried {
                kind,
                source_id: source_id.map(str::to_owned),
                content,
            }]
        };
        let body = || self.json().unwrap_or(Value::Null);
        match (self.method.as_str(), parts.as_slice()) {
            ("POST", ["v1", kind @ ("customers" | "products" | "orders")]) => {
                let body = body();
                let key = body["source_id"].as_str().map(str::to_owned);
                one(word(kind), key.as_deref(), body)
            }
            ("POST", ["v1", kind @ ("customers" | "products"), "bulk", "async"])
            | ("POST", ["v1", kind @ "orders", "import"]) => list(word(kind), body()),
            ("POST", ["v1", kind @ ("customers" | "products"), "metadata", "async"]) => {
                let body = body();
                let content = json!({"metadata": body["metadata"]});
                strings(&body["source_ids"])
                    .flat_map(|key| one(word(kind), Some(key), content.clone()))
                    .collect()
            }
            (
                "POST",
                [
                    "v1",
                    kind @ ("customers" | "products" | "skus"),
                    "importCSV",
                ],
            ) => self.rows(word(kind)),
            ("POST", ["v1", "customers", key, "permanent-deletion"])
            | ("DELETE", ["v1", "customers", key]) => one("customers", Some(key), Value::Null),
            ("DELETE", ["v1", "products", key]) => one("products", Some(key), Value::Null),
            ("DELETE", ["v1", "products", _, "skus", key]) => one("skus", Some(key), Value::Null),
            ("PUT", ["v1", "customers", key, "consents"]) => {
                one("customers", Some(key), json!({"consents": body()}))
            }
            ("PUT", ["v1", kind @ ("customers" | "products" | "orders"), key]) => {
                one(word(kind), Some(key), body())
            }
            ("POST", ["v1", "products", _, "skus"]) => {
                let body = body();
                let key = body["source_id"].as_str().map(str::to_owned);
                one("skus", key.as_deref(), body)
            }
            ("PUT", ["v1", "products", _, "skus", key]) => one("skus", Some(key), body()),
            _ => Vec::new(),
        }
    }

    fn rows(&self, kind: &'static str) -> Vec<Carried> {
        let content_type = self
            .headers
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case("content-type"))
            .map_or("", |(_, value)| value.as_str());
        let rows = self
            .body
            .as_deref()
            .and_then(|body| imports::rows(content_type, body).ok())
            .unwrap_or_default();
        rows.into_iter()
            .map(|row| Carried {
                kind,
                source_id: row.get("source_id").map(str::to_owned),
                content: row.into_json(),
            })
            .collect()
    }

    /// For a test in another process: one line of JSON.
    pub(super) fn line(&self) -> Value {
        let headers: Object = self
            .headers
            .iter()
            .map(|(name, value)| (name.to_ascii_lowercase(), Value::from(value.as_str())))
            .collect();
        let body = self.json().or_else(|| {
            let body = self.body.as_deref().filter(|body| !body.is_empty())?;
            Some(Value::from(String::from_utf8_lossy(body).into_owned()))
        });
        let records: Vec<Value> = self
            .records()
            .into_iter()
            .map(|record| json!({"kind": record.kind, "source_id": record.source_id, "content": record.content}))
            .collect();
        json!({
            "seq": self.seq,
            "at_ms": self.at_ms,
            "method": self.method,
            "path": self.path(),
            "query": self.target.split_once('?').map(|(_, query)| query),
            "headers": headers,
            "body_bytes": self.body_bytes,
            "body_hash": self.body.as_deref().map(|body| blake3::hash(body).to_hex().to_string()),
            "body": body,
            "records": records,
            "status": self.status,
            "key": self.key,
            "async_action_id": self.async_action_id,
            "answer_left": self.answer_left,
        })
    }
}

fn word(kind: &str) -> &'static str {
    match kind {
        "products" => "products",
        "skus" => "skus",
        "orders" => "orders",
        _ => "customers",
    }
}

fn list(kind: &'static str, body: Value) -> Vec<Carried> {
    let Value::Array(items) = body else {
        return Vec::new();
    };
    items
        .into_iter()
        .map(|content| Carried {
            kind,
            source_id: content["source_id"].as_str().map(str::to_owned),
            content,
        })
        .collect()
}

fn strings(list: &Value) -> impl Iterator<Item = &str> {
    list.as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
}

/// All that arrived, bounded by the bytes of bodies that are kept.
pub(super) struct Log {
    arrivals: Vec<Arrival>,
    bytes_max: usize,
    bytes: usize,
    /// The places of the entries that still have a body, oldest first.
    whole: VecDeque<usize>,
}

impl Log {
    pub(super) fn new(bytes_max: Option<usize>) -> Self {
        Self {
            arrivals: Vec::new(),
            bytes_max: bytes_max.unwrap_or(usize::MAX),
            bytes: 0,
            whole: VecDeque::new(),
        }
    }

    pub(super) fn arrivals(&self) -> &[Arrival] {
        &self.arrivals
    }

    pub(super) fn arrived(&mut self, request: &Request, call: &Call, now_ms: i64) -> u64 {
        let headers = request.headers.iter().map(|(name, value)| {
            let secret = name.eq_ignore_ascii_case("x-app-token")
                || name.eq_ignore_ascii_case("authorization");
            (
                name.clone(),
                if secret {
                    "present".to_owned()
                } else {
                    value.clone()
                },
            )
        });
        let seq = self.arrivals.len() as u64 + 1;
        self.arrivals.push(Arrival {
            seq,
            at_ms: now_ms,
            method: request.method.clone(),
            target: request.target.clone(),
            headers: headers.collect(),
            body_bytes: call.body.len(),
            body: Some(call.body.clone()),
            status: 0,
            key: None,
            async_action_id: None,
            answer_left: false,
        });
        self.bytes += call.body.len();
        if !call.body.is_empty() {
            self.whole.push_back(self.arrivals.len() - 1);
        }
        while self.bytes > self.bytes_max
            && let Some(oldest) = self.whole.pop_front()
        {
            let entry = &mut self.arrivals[oldest];
            self.bytes -= entry.body_bytes;
            entry.body = None;
        }
        seq
    }

    pub(super) fn answered(&mut self, seq: u64, reply: &Reply, delivery: Delivery) {
        let entry = &mut self.arrivals[seq as usize - 1];
        entry.status = reply.status;
        // What a test asks of an answer stands in its first bytes; lists and exports aren't parsed.
        if reply.body.len() < 2_000 {
            let body = reply.body_json();
            entry.key = body["key"].as_str().map(str::to_owned);
            entry.async_action_id = body["async_action_id"].as_str().map(str::to_owned);
        }
        entry.answer_left = matches!(
            delivery,
            Delivery::Whole | Delivery::After(_) | Delivery::Trickle(_)
        );
    }

    pub(super) fn did_not_leave(&mut self, seq: u64) {
        self.arrivals[seq as usize - 1].answer_left = false;
    }
}
