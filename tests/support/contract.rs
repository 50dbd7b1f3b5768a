//! Judges requests, and the stand-in's answers, by the published contract
//! (`tests/openapi/contract.json`), with a JSON Schema validator that is not ours.
//!
//! The document is mended where it contradicts itself, with the same reasons as
//! `tests/judge/derive.mjs`. It knows nothing of tillsync and nothing of the stand-in but the shape
//! of a line of its log.

#![allow(
    dead_code,
    reason = "each test binary that includes this file uses a part of it"
)]

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex};

use serde_json::{Map, Value, json};

/// In bytes (API.md, Calls).
const BODY_BYTES_MAX: u64 = 10_485_760;
const IMPORT_ORDERS_MAX: usize = 2_000;
const ORDER_ITEMS_MAX: usize = 500;

/// Judges one line of the stand-in's log of requests: credentials, media type, length, query, body,
/// the names of all fields, and what the document says in its text alone.
pub fn judge(line: &Value) -> Result<(), String> {
    let method = line["method"].as_str().ok_or("no method")?;
    let path = line["path"].as_str().ok_or("no path")?;
    let complain = |what: String| Err(format!("{method} {path}: {what}"));
    for name in ["x-app-id", "x-app-token"] {
        if line["headers"][name].is_null() {
            return complain(format!("no header {name}"));
        }
    }
    let length = line["body_bytes"].as_u64().unwrap_or(0);
    if length > BODY_BYTES_MAX {
        return complain(format!("a body of {length} bytes"));
    }
    let media = line["headers"]["content-type"].as_str().unwrap_or("");
    let body = (length > 0).then(|| &line["body"]);
    if let Some(Value::String(text)) = body {
        let form = media.starts_with("multipart/form-data") && text.contains("name=\"file\"");
        return match form && path.ends_with("/importCSV") {
            true => Ok(()),
            false => complain(format!("a body that is no JSON, as {media}")),
        };
    }
    if body.is_some() && !media.starts_with("application/json") {
        return complain(format!("JSON as {media:?}"));
    }
    if body.is_some_and(Value::is_null) {
        return complain("the log has lost the body".into());
    }
    judge_request(method, path, line["query"].as_str(), body).or_else(complain)
}

/// Judges a request by its parts; `path` is encoded and without its query.
pub fn judge_request(
    method: &str,
    path: &str,
    query: Option<&str>,
    body: Option<&Value>,
) -> Result<(), String> {
    // Reports stand at an address of the remote's own choice, as does an export's result.
    if method == "GET" && path.starts_with("/reports/") {
        return Ok(());
    }
    if method == "PUT" && path.ends_with("/consents") {
        return consents(body);
    }
    let call = CONTRACT.call(method, path).ok_or("no such call")?;
    let token_of_a_result = path.starts_with("/v1/exports/");
    for (name, value) in pairs(query) {
        if !(token_of_a_result && name == "token") {
            call.parameter(&name, &value)?;
        }
    }
    let Some(schema) = &call.request else {
        return match body {
            None => Ok(()),
            Some(_) => Err("a body where none is due".into()),
        };
    };
    let body = body.ok_or("no body")?;
    valid(&call.key("request"), schema, body)?;
    closed(schema, body, "")?;
    by_the_text(method, path, body)
}

/// Judges an answer of the stand-in, if the document knows its status.
pub fn judge_answer(method: &str, path: &str, status: u16, body: &Value) -> Result<(), String> {
    let call = CONTRACT.call(method, path).ok_or("no such call")?;
    let wanted = &call.operation["responses"][status.to_string()];
    if wanted.is_null() {
        return match status {
            // Not documented with most calls, and known all the same (API.md, Errors).
            400.. => Ok(()),
            _ => Err(format!("status {status} is not documented")),
        };
    }
    match &wanted["content"]["application/json"]["schema"] {
        Value::Null => Ok(()),
        schema => valid(&call.key(&status.to_string()), schema, body),
    }
}

fn consents(body: Option<&Value>) -> Result<(), String> {
    match body {
        Some(Value::Object(all)) if all.values().all(Value::is_boolean) => Ok(()),
        _ => Err("consents are an object of booleans".into()),
    }
}

/// What the schema does not catch (SURPRISES.md, 11 to 13), and no client should send.
fn by_the_text(method: &str, path: &str, body: &Value) -> Result<(), String> {
    let keyed = |record: &Value| match record["source_id"].as_str() {
        Some("") | None => Err("a record without its source_id".to_owned()),
        Some(_) => Ok(()),
    };
    let sized = |order: &Value| match order["items"].as_array() {
        Some(items) if items.len() > ORDER_ITEMS_MAX => Err(format!("{} items", items.len())),
        _ => Ok(()),
    };
    match (method, path) {
        ("POST", "/v1/customers" | "/v1/products") => keyed(body),
        ("POST", "/v1/orders") => keyed(body).and_then(|()| sized(body)),
        ("PUT", _) if path.starts_with("/v1/orders/") => sized(body),
        ("POST", "/v1/orders/import") => {
            let orders = body.as_array().map_or(&[][..], Vec::as_slice);
            if orders.len() > IMPORT_ORDERS_MAX {
                return Err(format!("{} orders", orders.len()));
            }
            orders
                .iter()
                .try_for_each(|order| keyed(order).and_then(|()| sized(order)))
        }
        ("POST", _) if path.ends_with("/bulk/async") => {
            let all = body.as_array().into_iter().flatten();
            let mut keys: Vec<&str> = all
                .filter_map(|record| record["source_id"].as_str())
                .collect();
            if keys.contains(&"") {
                return Err("a record without its source_id".into());
            }
            keys.sort_unstable();
            match keys.windows(2).any(|pair| pair[0] == pair[1]) {
                true => Err("a record stands twice in one body".into()),
                false => Ok(()),
            }
        }
        ("POST", _) if path.ends_with("/skus") => keyed(body),
        _ => Ok(()),
    }
}

struct Contract {
    schemas: Value,
    calls: Vec<Call>,
}

struct Call {
    method: String,
    template: String,
    operation: Value,
    request: Option<Value>,
}

static CONTRACT: LazyLock<Contract> = LazyLock::new(Contract::read);

/// Compiled once each: most of a test's requests are of few calls.
static VALIDATORS: LazyLock<Mutex<HashMap<String, Arc<jsonschema::Validator>>>> =
    LazyLock::new(Mutex::default);

impl Contract {
    fn read() -> Self {
        let text = include_str!("../openapi/contract.json");
        let mut document: Value = serde_json::from_str(text).expect("the contract is JSON");
        mend(&mut document);
        let parameters = document["components"]["parameters"].clone();
        let paths = document["paths"]
            .as_object()
            .expect("the contract has paths");
        let mut calls = Vec::new();
        for (template, item) in paths {
            let calls_of_path = item.as_object().expect("a path has calls").iter();
            // Beside its calls a path has parameters of its own, which stand in the path.
            for (method, operation) in calls_of_path.filter(|(_, call)| call.is_object()) {
                let mut operation = plain(operation);
                for parameter in operation["parameters"].as_array_mut().into_iter().flatten() {
                    if let Some(name) = parameter["$ref"]
                        .as_str()
                        .and_then(|path| path.rsplit('/').next())
                    {
                        *parameter = plain(&parameters[name]);
                    }
                }
                let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
                let form = !operation["requestBody"]["content"]["multipart/form-data"].is_null();
                calls.push(Call {
                    method: method.to_ascii_uppercase(),
                    template: template.clone(),
                    request: (!schema.is_null() && !form).then(|| schema.clone()),
                    operation,
                });
            }
        }
        // `/v1/customers/importCSV` before `/v1/customers/{customerId}`.
        calls.sort_by_key(|call| call.template.matches('{').count());
        Self {
            schemas: plain(&document["components"]["schemas"]),
            calls,
        }
    }

    fn call(&self, method: &str, path: &str) -> Option<&Call> {
        let parts: Vec<&str> = path.split('/').collect();
        self.calls.iter().find(|call| {
            let template: Vec<&str> = call.template.split('/').collect();
            call.method == method
                && template.len() == parts.len()
                && template.iter().zip(&parts).all(|(wanted, part)| {
                    (wanted.starts_with('{') && !part.is_empty()) || wanted == part
                })
        })
    }

    fn named(&self, schema: &Value) -> Option<&Value> {
        let name = schema["$ref"].as_str()?.rsplit('/').next()?;
        Some(&self.schemas[name])
    }
}

impl Call {
    fn key(&self, of: &str) -> String {
        format!("{} {} {of}", self.method, self.template)
    }

    fn parameter(&self, name: &str, value: &str) -> Result<(), String> {
        let all = self.operation["parameters"]
            .as_array()
            .into_iter()
            .flatten();
        let parameter = all
            .filter(|parameter| parameter["in"] == "query")
            .find(|parameter| {
                let own = parameter["name"].as_str().unwrap_or_default();
                name == own
                    || name
                        .strip_prefix(own)
                        .is_some_and(|rest| rest.starts_with('['))
            });
        let parameter = parameter.ok_or_else(|| format!("no such parameter: {name}"))?;
        if parameter["name"] != name {
            // A part of an object that is spread over the query.
            return Ok(());
        }
        let value = serde_json::from_str(value)
            .ok()
            .filter(|value: &Value| value.is_number() || value.is_boolean())
            .unwrap_or_else(|| Value::from(value));
        valid(&self.key(name), &parameter["schema"], &value)
            .map_err(|error| format!("parameter {name}: {error}"))
    }
}

/// The corrections of `tests/judge/derive.mjs`, which has the reason of each.
fn mend(document: &mut Value) {
    let paths = document["paths"]
        .as_object_mut()
        .expect("the contract has paths");
    paths.remove("/v1/exports/{export_Id}");
    let schemas = &mut document["components"]["schemas"];
    for name in ["product", "sku"] {
        let exported = json!({"type": "object", "required": ["exported_object"],
            "properties": {"exported_object": {"type": "string", "enum": [name]}}});
        let answer = json!({"allOf": [{"$ref": "#/components/schemas/ExportBase"}, exported]});
        for place in [
            "ExportsGetResponseBody",
            "ExportsCreateResponseBody",
            "Export",
        ] {
            let kinds = schemas
                .get_mut(place)
                .and_then(|schema| schema.get_mut("oneOf"));
            if let Some(Value::Array(kinds)) = kinds {
                kinds.push(answer.clone());
            }
        }
        let request = json!({"type": "object", "required": ["exported_object"], "properties": {
            "exported_object": {"type": "string", "enum": [name]},
            "parameters": {"type": "object", "properties": {"order": {"type": "string"},
                "fields": {"type": "array", "items": {"type": "string"}}, "filters": {"type": "object"}}}}});
        let kinds = schemas["ExportsCreateRequestBody"]["oneOf"].as_array_mut();
        kinds.expect("exports have kinds").push(request);
    }
    for schema in schemas
        .as_object_mut()
        .expect("schemas have names")
        .values_mut()
    {
        any_result(schema);
        let parts = schema.get_mut("allOf").and_then(Value::as_array_mut);
        for part in parts.into_iter().flatten() {
            any_result(part);
        }
    }
    let list = schemas["MetadataSchemasListResponseBody"]["required"].as_array_mut();
    for name in list.expect("it requires some") {
        if *name == "data" {
            *name = "schemas".into();
        }
    }
    schemas["OrderItem"]["properties"]["object"] =
        json!({"type": "string", "enum": ["order_item"]});
}

fn any_result(schema: &mut Value) {
    let result = schema
        .pointer_mut("/properties/result")
        .and_then(Value::as_object_mut);
    if let Some(result) = result
        && let Some(kinds) = result.remove("oneOf")
    {
        result.insert("anyOf".into(), kinds);
    }
}

/// OpenAPI 3.0 as JSON Schema: `nullable`, and where references point.
fn plain(schema: &Value) -> Value {
    let parts = match schema {
        Value::Array(list) => return list.iter().map(plain).collect(),
        Value::Object(parts) => parts,
        other => return other.clone(),
    };
    let mut out: Map<String, Value> = parts
        .iter()
        .filter(|(name, value)| {
            *name != "discriminator" && !(*name == "nullable" && value.is_boolean())
        })
        .map(|(name, value)| match name.as_str() {
            "example" | "examples" | "enum" | "default" => (name.clone(), value.clone()),
            "$ref" => {
                let path = value.as_str().unwrap_or_default();
                (
                    name.clone(),
                    path.replace("#/components/schemas/", "#/$defs/").into(),
                )
            }
            _ => (name.clone(), plain(value)),
        })
        .collect();
    if parts.get("nullable") != Some(&Value::Bool(true)) {
        return Value::Object(out);
    }
    if let Some(Value::String(kind)) = out.get("type") {
        let kind = kind.clone();
        out.insert("type".into(), json!([kind, "null"]));
        if let Some(Value::Array(words)) = out.get_mut("enum")
            && !words.contains(&Value::Null)
        {
            words.push(Value::Null);
        }
        return Value::Object(out);
    }
    json!({"anyOf": [out, {"type": "null"}]})
}

fn valid(key: &str, schema: &Value, value: &Value) -> Result<(), String> {
    let validator = {
        let mut all = VALIDATORS.lock().expect("no test panics while it compiles");
        match all.get(key) {
            Some(validator) => validator.clone(),
            None => {
                let mut whole = schema.clone();
                whole["$defs"] = CONTRACT.schemas.clone();
                let validator = jsonschema::options()
                    .with_draft(jsonschema::Draft::Draft202012)
                    .should_validate_formats(true)
                    .build(&whole)
                    .expect("the contract's schemas compile");
                let validator = Arc::new(validator);
                all.insert(key.to_owned(), validator.clone());
                validator
            }
        }
    };
    let errors: Vec<String> = validator
        .iter_errors(value)
        .take(3)
        .map(|error| format!("{} at `{}`", error.masked(), error.instance_path()))
        .collect();
    match errors.is_empty() {
        true => Ok(()),
        false => Err(errors.join("; ")),
    }
}

/// Every field has to be one that the schema names, and every integer to be written as one.
fn closed(schema: &Value, value: &Value, at: &str) -> Result<(), String> {
    let mut names = HashMap::new();
    let mut items = Vec::new();
    let mut integer = false;
    gather(schema, &mut names, &mut items, &mut integer);
    match value {
        Value::Number(number) if integer && number.is_f64() => {
            Err(format!("{at}: {number} is not written as an integer"))
        }
        Value::Array(list) => list.iter().enumerate().try_for_each(|(index, value)| {
            items
                .iter()
                .try_for_each(|schema| closed(schema, value, &format!("{at}[{index}]")))
        }),
        Value::Object(fields) if !names.is_empty() => {
            fields
                .iter()
                .try_for_each(|(name, value)| match names.get(name.as_str()) {
                    None => Err(format!("{at}: no field is called {name:?}")),
                    Some(_) if name == "metadata" => Ok(()),
                    Some(schemas) => any_of(schemas, value, &format!("{at}.{name}")),
                })
        }
        _ => Ok(()),
    }
}

/// A field that several branches describe has to fit one of them.
fn any_of(schemas: &[&Value], value: &Value, at: &str) -> Result<(), String> {
    let mut verdicts = schemas.iter().map(|schema| closed(schema, value, at));
    let first = verdicts.next().unwrap_or(Ok(()));
    match verdicts.any(|verdict| verdict.is_ok()) {
        true => Ok(()),
        false => first,
    }
}

/// What a schema with all its parts says of fields and items.
fn gather<'a>(
    schema: &'a Value,
    names: &mut HashMap<&'a str, Vec<&'a Value>>,
    items: &mut Vec<&'a Value>,
    integer: &mut bool,
) {
    if let Some(schema) = CONTRACT.named(schema) {
        return gather(schema, names, items, integer);
    }
    for kind in ["allOf", "oneOf", "anyOf"] {
        for part in schema[kind].as_array().into_iter().flatten() {
            gather(part, names, items, integer);
        }
    }
    for (name, part) in schema["properties"].as_object().into_iter().flatten() {
        names.entry(name).or_default().push(part);
    }
    if !schema["items"].is_null() {
        items.push(&schema["items"]);
    }
    *integer |= schema["type"] == "integer" || schema["type"][0] == "integer";
}

fn pairs(query: Option<&str>) -> Vec<(String, String)> {
    let pairs = query
        .unwrap_or_default()
        .split('&')
        .filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decoded(name), decoded(value))
        })
        .collect()
}

fn decoded(text: &str) -> String {
    let mut bytes = text.bytes();
    let mut out = Vec::new();
    while let Some(byte) = bytes.next() {
        let mut hex = || char::from(bytes.next()?).to_digit(16);
        out.push(match byte {
            b'+' => b' ',
            b'%' => match (hex(), hex()) {
                (Some(high), Some(low)) => (high * 16 + low) as u8,
                _ => b'%',
            },
            other => other,
        });
    }
    String::from_utf8_lossy(&out).into_owned()
}
