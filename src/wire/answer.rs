//! What an answer says, read leniently: the three shapes of errors, made objects, jobs and their
//! reports (openapi/SURPRISES, 20 to 24). Nothing here decides anything.

use serde_json::Value;

/// Levels of nesting that an answer may have; the API's own stay under ten.
const DEPTH_MAX: usize = 64;

/// What came of a call.
#[derive(Clone, Debug)]
pub enum Answer {
    Got(Response),
    None(NoAnswer),
    /// Nothing was sent: there are no credentials, or none that can be; why, without a secret.
    NoCredentials(String),
}

/// No answer, or none to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoAnswer {
    /// A byte of the request may have left: the outcome is unknown. `false`: surely nothing happened.
    pub left: bool,
    /// For people: no URL, no key.
    pub why: String,
}

#[derive(Clone, Default)]
pub struct Response {
    pub status: u16,
    pub limits: Limits,
    /// The media type without parameters, in lower case; empty: none.
    pub media: String,
    pub body: Vec<u8>,
}

/// Shows nothing of the body: it can hold personal data and echo secrets.
impl std::fmt::Debug for Response {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({} bytes)", self.status, self.body.len())
    }
}

/// The headers that speak of limits, and the remote's clock (API.md, Limits).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    pub limit: Option<u64>,
    pub remaining: Option<u64>,
    /// Unix seconds.
    pub retry: Option<i64>,
    /// As it stands: seconds, or an HTTP date.
    pub retry_after: Option<String>,
    pub kind: Option<String>,
    /// The `Date` header, UTC milliseconds.
    pub date: Option<i64>,
}

impl Limits {
    /// How long the headers ask to wait, in milliseconds; the longest of what they say. Times are the
    /// remote's and compared with its own `Date`, where it told one (RELIABILITY, Time).
    pub fn wait_ms(&self, now: i64) -> Option<i64> {
        let there = self.date.unwrap_or(now);
        let after = self
            .retry_after
            .as_deref()
            .and_then(|text| retry_after_ms(text.trim(), there));
        // A few servers write 0 for "nothing to wait for".
        let retry = self
            .retry
            .filter(|at| *at > 0)
            .map(|at| at.saturating_mul(1000).saturating_sub(there).max(0));
        after.max(retry)
    }
}

/// Digits are seconds and never reach the date parser; a past date is now.
fn retry_after_ms(text: &str, there: i64) -> Option<i64> {
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        return Some(text.parse::<i64>().unwrap_or(i64::MAX).saturating_mul(1000));
    }
    http_date_ms(text).map(|at| at.saturating_sub(there).max(0))
}

/// An IMF-fixdate (`Wed, 26 Aug 2026 10:02:00 GMT`) as UTC milliseconds.
pub fn http_date_ms(text: &str) -> Option<i64> {
    let stamp = jiff::fmt::rfc2822::DateTimeParser::new()
        .relaxed_weekday(true)
        .parse_timestamp(text)
        .ok()?;
    Some(stamp.as_millisecond())
}

/// An error, in whichever of its shapes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fault {
    /// Empty where there is none.
    pub key: String,
    /// The remote's own words: for `parked` alone, never for a log.
    pub message: String,
    pub request_id: Option<String>,
}

/// What an upsert or a read answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Made {
    pub id: String,
    pub source_id: Option<String>,
    /// A SKU's product, by the API's own id.
    pub product_id: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobState {
    Open,
    Done,
    Failed,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    pub state: JobState,
    /// As the remote writes it: `IN_PROGRESS`.
    pub status: String,
    pub ty: Option<String>,
    /// `operation_status`, where it is told and known.
    pub success: Option<bool>,
    pub done: Option<u64>,
    pub failed: Option<u64>,
    pub faults: Vec<ItemFault>,
    pub request_id: Option<String>,
}

/// One item's error in a job's report.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ItemFault {
    /// `None`: the report does not tell whose it is.
    pub source_id: Option<String>,
    /// Empty: the report gives a reason alone (imports).
    pub key: String,
    pub message: String,
}

/// A job in the list of jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListedJob {
    pub open: bool,
    /// UTC milliseconds, by the remote's clock.
    pub made: Option<i64>,
}

impl Response {
    /// The body as the JSON object that the API answers with.
    pub fn object(&self) -> Option<Value> {
        if depth(&self.body) > DEPTH_MAX {
            return None;
        }
        let value: Value = serde_json::from_slice(&self.body).ok()?;
        value.is_object().then_some(value)
    }

    /// An error of the API's own: nothing that a proxy would write.
    pub fn fault(&self) -> Option<Fault> {
        let body = self.object()?;
        let key = text(&body, "key").or_else(|| text(&body, "error"));
        let message = text(&body, "message");
        let coded = body.get("code").is_some() || body.get("statusCode").is_some();
        if !coded || (key.is_none() && message.is_none()) {
            return None;
        }
        let details = text(&body, "details").filter(|details| !details.is_empty());
        let message = match (message, details) {
            (Some(message), Some(details)) => format!("{message}: {details}"),
            (message, details) => message.or(details).unwrap_or_default(),
        };
        Some(Fault {
            key: key.unwrap_or_default(),
            message,
            request_id: text(&body, "request_id"),
        })
    }

    /// The object that an upsert answers: it has an id and says what it is.
    pub fn made(&self, object: &str) -> Option<Made> {
        let body = self.object()?;
        if text(&body, "object").is_some_and(|found| found != object) {
            return None;
        }
        Some(Made {
            id: text(&body, "id").filter(|id| !id.is_empty())?,
            source_id: text(&body, "source_id"),
            product_id: text(&body, "product_id"),
        })
    }

    /// What bulk, metadata and import calls answer.
    pub fn async_action_id(&self) -> Option<String> {
        text(&self.object()?, "async_action_id").filter(|id| !id.is_empty())
    }

    /// Any JSON object.
    pub fn is_object(&self) -> bool {
        self.object().is_some()
    }

    /// A list, of anything.
    pub fn is_list(&self) -> bool {
        self.object()
            .is_some_and(|body| text(&body, "object").as_deref() == Some("list"))
    }

    /// The rows of a list: under the name that `data_ref` gives, else under the first that fits.
    pub fn rows(&self) -> Option<Vec<Value>> {
        let body = self.object()?;
        let named = text(&body, "data_ref").and_then(|name| body.get(&name).cloned());
        let rows = named.filter(Value::is_array).or_else(|| {
            let object = body.as_object()?;
            object.values().find(|value| value.is_array()).cloned()
        })?;
        rows.as_array().cloned()
    }

    /// Of jobs, by `GET /v1/async-actions`; `None`: not its answer.
    pub fn jobs(&self) -> Option<Vec<ListedJob>> {
        if self.status != 200 || !self.is_list() {
            return None;
        }
        let rows = self.rows()?;
        let listed = |row: &Value| ListedJob {
            // A state that nobody knows is none that ended.
            open: !matches!(row["status"].as_str(), Some("DONE" | "FAILED")),
            made: row["created_at"]
                .as_str()
                .and_then(|text| text.parse::<jiff::Timestamp>().ok())
                .map(jiff::Timestamp::as_millisecond),
        };
        Some(rows.iter().map(listed).collect())
    }

    /// A job, by `GET /v1/async-actions/{id}`.
    pub fn job(&self) -> Option<Job> {
        let body = self.object()?;
        let status = text(&body, "status")?;
        let state = match status.as_str() {
            "ENQUEUED" | "IN_PROGRESS" => JobState::Open,
            "DONE" => JobState::Done,
            "FAILED" => JobState::Failed,
            _ => return None,
        };
        let result = body.get("result").unwrap_or(&Value::Null);
        let mut faults = item_faults(result.get("errors"));
        faults.extend(item_faults(result.get("failed")));
        Some(Job {
            state,
            status,
            ty: text(&body, "type"),
            success: match text(&body, "operation_status").as_deref() {
                Some("SUCCESS") => Some(true),
                Some("FAILED") => Some(false),
                _ => None,
            },
            done: number(result, "done_count"),
            failed: number(result, "failed_count"),
            faults,
            request_id: text(&body, "request_id"),
        })
    }
}

pub(super) fn text(value: &Value, name: &str) -> Option<String> {
    value.get(name)?.as_str().map(str::to_owned)
}

fn number(value: &Value, name: &str) -> Option<u64> {
    value.get(name)?.as_u64()
}

/// A list of faults, one fault, or a map of key to reason: the document draws `failed` of
/// `ORDERS.IMPORT` as an object and shows an array in its example (API.md, Jobs).
fn item_faults(value: Option<&Value>) -> Vec<ItemFault> {
    match value {
        Some(Value::Array(items)) => items.iter().map(item_fault).collect(),
        Some(one @ Value::Object(map)) => {
            if map.is_empty() {
                Vec::new()
            } else if ["source_id", "reason", "message", "key"]
                .iter()
                .any(|name| map.contains_key(*name))
            {
                vec![item_fault(one)]
            } else {
                let named = |(key, value): (&String, &Value)| ItemFault {
                    source_id: Some(key.clone()),
                    ..item_fault(value)
                };
                map.iter().map(named).collect()
            }
        }
        _ => Vec::new(),
    }
}

fn item_fault(value: &Value) -> ItemFault {
    if let Some(reason) = value.as_str() {
        return ItemFault {
            message: reason.to_owned(),
            ..ItemFault::default()
        };
    }
    let message = ["message", "reason"]
        .iter()
        .find_map(|name| text(value, name))
        .unwrap_or_default();
    let details = text(value, "details").filter(|details| !details.is_empty());
    ItemFault {
        source_id: text(value, "source_id"),
        key: text(value, "key").unwrap_or_default(),
        message: match details {
            Some(details) if message.is_empty() => details,
            Some(details) => format!("{message}: {details}"),
            None => message,
        },
    }
}

/// The deepest nesting, by brackets outside of strings.
fn depth(json: &[u8]) -> usize {
    let (mut depth, mut deepest, mut in_string, mut escaped) = (0_usize, 0, false, false);
    for &byte in json {
        if in_string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'{' | b'[' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(body: &str) -> Response {
        Response {
            status: 200,
            body: body.as_bytes().to_vec(),
            ..Response::default()
        }
    }

    #[track_caller]
    fn fault(body: &str, expected: Option<(&str, &str)>) {
        let found = response(body).fault();
        let found = found.as_ref().map(|f| (f.key.as_str(), f.message.as_str()));
        assert_eq!(found, expected);
    }

    #[test]
    fn errors_in_their_three_shapes() {
        fault(
            r#"{"code":400,"key":"invalid_customer","message":"Invalid","details":"x"}"#,
            Some(("invalid_customer", "Invalid: x")),
        );
        fault(
            r#"{"statusCode":413,"error":"query_too_large","message":"Big"}"#,
            Some(("query_too_large", "Big")),
        );
        fault(r#"{"code":"429","message":"Slow"}"#, Some(("", "Slow")));
        fault("<html>no</html>", None);
        fault(r#"{"error":"proxy"}"#, None);
        fault("", None);
        fault(&"[".repeat(100_000), None);
    }

    #[track_caller]
    fn wait(limits: Limits, expected_ms: Option<i64>) {
        assert_eq!(limits.wait_ms(1_000_000_000_000), expected_ms);
    }

    #[test]
    fn waits_in_all_their_forms() {
        let after = |text: &str| Limits {
            retry_after: Some(text.into()),
            date: http_date_ms("Wed, 26 Aug 2026 10:00:00 GMT"),
            ..Limits::default()
        };
        wait(after("120"), Some(120_000));
        wait(after("Wed, 26 Aug 2026 10:02:00 GMT"), Some(120_000));
        wait(after("Wed, 26 Aug 2026 09:00:00 GMT"), Some(0));
        wait(after("soon"), None);
        wait(after("99999999999999999999"), Some(i64::MAX));
        wait(Limits::default(), None);
        let retry = |at| Limits {
            retry: Some(at),
            ..Limits::default()
        };
        wait(retry(1_000_000_030), Some(30_000));
        wait(retry(999), Some(0));
        wait(retry(0), None);
    }

    #[track_caller]
    fn job(body: &str, state: JobState, counts: (Option<u64>, Option<u64>), keys: &[(&str, &str)]) {
        let job = response(body).job().expect("a job");
        assert_eq!((job.state, (job.done, job.failed)), (state, counts));
        let faults: Vec<_> = job
            .faults
            .iter()
            .map(|f| (f.source_id.as_deref().unwrap_or("-"), f.key.as_str()))
            .collect();
        assert_eq!(faults, keys);
    }

    #[test]
    fn reports_of_jobs_in_both_shapes() {
        job(
            r#"{"status":"DONE","result":{"done_count":2,"failed_count":1,"errors":[{"source_id":"C2","key":"invalid_payload","message":"m","details":"d"}]}}"#,
            JobState::Done,
            (Some(2), Some(1)),
            &[("C2", "invalid_payload")],
        );
        job(
            r#"{"status":"DONE","result":{"failed_count":1,"failed":[{"source_id":null,"reason":"no"}]}}"#,
            JobState::Done,
            (None, Some(1)),
            &[("-", "")],
        );
        job(
            r#"{"status":"DONE","result":{"failed":{"source_id":"O1","reason":"no"}}}"#,
            JobState::Done,
            (None, None),
            &[("O1", "")],
        );
        job(
            r#"{"status":"FAILED","result":{"failed":{"O1":"no"}}}"#,
            JobState::Failed,
            (None, None),
            &[("O1", "")],
        );
        job(
            r#"{"status":"IN_PROGRESS","result":null}"#,
            JobState::Open,
            (None, None),
            &[],
        );
        assert_eq!(response(r#"{"status":"ODD"}"#).job(), None);
    }

    #[test]
    fn an_upsert_answers_the_object_itself() {
        let made = response(r#"{"object":"customer","id":"cust_1","source_id":"C1"}"#);
        assert_eq!(
            made.made("customer").unwrap().source_id.as_deref(),
            Some("C1")
        );
        assert_eq!(made.made("order"), None);
        assert_eq!(response("{}").made("customer"), None);
    }
}
