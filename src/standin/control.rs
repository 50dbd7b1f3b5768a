//! What a test in another process asks of the stand-in and tells it, under `/_standin/`: no part
//! of the API, without credentials, not counted, not logged.
//!
//! | call | does |
//! | --- | --- |
//! | `GET /_standin/requests[?since=N]` | the log as JSON lines, entries after number N |
//! | `GET /_standin/state/{customers,products,skus,orders}` | all objects by `source_id` |
//! | `GET /_standin/status` | counts |
//! | `POST /_standin/faults` | replaces all faults (JSON of `Faults`, or an answer script) |
//! | `POST /_standin/settings` | changes the settings that the body names |
//! | `POST /_standin/consume` | `{"calls": N}`: the tills' own calls; answers `{"refused": N}` |
//! | `POST /_standin/reset` | an empty project without faults; settings stay; log and limits begin anew |

use serde_json::{Value, json};

use super::{Remote, Reply, Settings, faults::Faults, route::decoded};

/// Where the paths of control begin.
pub(super) const PREFIX: &str = "/_standin/";

/// Answers one call of control. `target` is path and query.
pub(super) fn control(
    remote: &mut Remote,
    method: &str,
    target: &str,
    body: &[u8],
    now_ms: i64,
) -> Reply {
    remote.advance(now_ms);
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let parts: Vec<String> = path[PREFIX.len()..].split('/').map(decoded).collect();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    match (method, parts.as_slice()) {
        ("GET", ["requests"]) => {
            let since = query
                .strip_prefix("since=")
                .and_then(|number| number.parse().ok());
            requests(remote, since.unwrap_or(0))
        }
        ("GET", ["state", kind]) => match remote.state(kind) {
            Some(all) => Reply::json(200, &Value::Object(all)),
            None => wrong(404, "no such kind"),
        },
        ("GET", ["status"]) => Reply::json(200, &status(remote)),
        ("POST", ["faults"]) => match serde_json::from_slice::<Faults>(body) {
            Ok(faults) => {
                remote.set_faults(faults, now_ms);
                Reply::empty(204)
            }
            Err(error) => wrong(400, &error.to_string()),
        },
        ("POST", ["settings"]) => match changed(&remote.settings, body) {
            Ok(settings) => {
                remote.settings = settings;
                Reply::empty(204)
            }
            Err(error) => wrong(400, &error.to_string()),
        },
        ("POST", ["consume"]) => {
            let calls = serde_json::from_slice::<Value>(body)
                .ok()
                .and_then(|body| body["calls"].as_u64());
            match calls {
                Some(calls) => Reply::json(200, &json!({"refused": remote.consume(calls, now_ms)})),
                None => wrong(400, "`calls` is a number"),
            }
        }
        ("POST", ["reset"]) => {
            remote.reset();
            Reply::empty(204)
        }
        _ => wrong(404, "no such call of the stand-in"),
    }
}

fn requests(remote: &Remote, since: u64) -> Reply {
    let mut lines = String::new();
    let fresh = remote
        .arrivals()
        .iter()
        .skip(usize::try_from(since).unwrap_or(usize::MAX));
    for arrival in fresh {
        lines.push_str(&arrival.line().to_string());
        lines.push('\n');
    }
    Reply::text(200, "application/jsonl", lines)
}

fn status(remote: &Remote) -> Value {
    json!({
        "requests": remote.arrivals().len(),
        "customers": remote.count("customers"),
        "products": remote.count("products"),
        "skus": remote.count("skus"),
        "orders": remote.count("orders"),
        "refused_calls": remote.limits.refused,
        "tills_refused": remote.limits.tills_refused,
    })
}

/// The settings with what a body names put over them.
fn changed(settings: &Settings, body: &[u8]) -> serde_json::Result<Settings> {
    let mut all = serde_json::to_value(settings)?;
    lay_over(&mut all, serde_json::from_slice(body)?);
    serde_json::from_value(all)
}

fn lay_over(old: &mut Value, new: Value) {
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => {
            for (key, value) in new {
                lay_over(old.entry(key).or_insert(Value::Null), value);
            }
        }
        (old, new) => *old = new,
    }
}

fn wrong(status: u16, message: &str) -> Reply {
    Reply::json(status, &json!({"message": message}))
}
