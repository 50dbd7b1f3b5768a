//! What goes wrong, and when: a list of faults, each for the calls that it matches, once, some
//! times, always or by chance, within a window of time or at any; records that are refused; jobs
//! that end badly.
//!
//! The list is a superset of the answer scripts under `tests/samples/traps/api`: the same JSON can
//! be set as it stands.

use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value, json};

use super::{
    Reply,
    limits::http_date,
    random::{Random, place},
    refusal::Refusal,
    route::Call,
    tables::What,
};

/// All that goes wrong. What the JSON of a script says beside it (`trap`, `store`, `right`, …) is
/// for whoever runs the script.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Faults {
    /// The first one that matches a call is what happens to it.
    #[serde(alias = "answers")]
    pub faults: Vec<Fault>,
    pub refuse: Vec<Refuse>,
    pub jobs: JobFaults,
}

/// One thing that goes wrong with calls.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Fault {
    /// `POST /v1/customers/bulk/async`, `/v1/orders*`, `DELETE`, or `the body names C2`; absent:
    /// any call.
    #[serde(rename = "match")]
    pub matching: Option<String>,
    /// How many calls it meets; absent: one, but any number for `always`, `chance` and windows.
    pub count: Option<u32>,
    pub always: bool,
    /// The probability with which it meets a call that matches.
    pub chance: Option<f64>,
    /// Within this window only; in milliseconds since 1970.
    pub from_ms: Option<i64>,
    pub until_ms: Option<i64>,
    /// Within so many milliseconds from when it was set.
    pub for_ms: Option<i64>,
    /// An answer of its own. Absent, with neither `body` nor `headers`: the remote's.
    pub status: Option<u16>,
    pub headers: Map<String, Value>,
    /// JSON, or text if it is a string; absent: the API's usual error for the status.
    pub body: Option<Value>,
    /// The remote takes the request in although the answer is another.
    pub apply: bool,
    pub then: Then,
}

/// What becomes of the answer. In JSON: `"slow 500"`, `"cut 10"`, `"trickle 5"`, `"late 20000"`,
/// `"early 100"`, `"reset"`, `"hang"`, or the sentences of the scripts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Then {
    #[default]
    Answer,
    /// It comes after so many milliseconds.
    Slow(i64),
    /// One byte in so many milliseconds.
    Trickle(i64),
    /// It breaks off after so many bytes of its body.
    Cut(usize),
    /// The connection is reset without any.
    Reset,
    /// The connection is reset when so many bytes of the request's body have been read.
    Early(usize),
    /// Nothing comes, the connection stays open.
    Hang,
    /// Nothing comes, and the remote takes the request in only so many milliseconds later.
    Late(i64),
}

impl Then {
    pub(super) fn brings_an_answer(self) -> bool {
        matches!(self, Self::Slow(_) | Self::Trickle(_) | Self::Cut(_))
    }

    fn read(text: &str) -> Option<Self> {
        let text = text.to_ascii_lowercase();
        if text.contains("close the connection") {
            return Some(Self::Reset);
        }
        if text.contains("never answer") {
            return Some(Self::Hang);
        }
        let (word, number) = text.split_once(' ').unwrap_or((&text, ""));
        let ms = number.trim().parse::<i64>().ok();
        let bytes = number.trim().parse::<usize>().ok();
        match word {
            "answer" => Some(Self::Answer),
            "reset" => Some(Self::Reset),
            "hang" => Some(Self::Hang),
            "slow" => ms.map(Self::Slow),
            "trickle" => ms.map(Self::Trickle),
            "late" => ms.map(Self::Late),
            "cut" => bytes.map(Self::Cut),
            "early" => bytes.map(Self::Early),
            _ => None,
        }
    }
}

impl<'de> Deserialize<'de> for Then {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        Self::read(&text).ok_or_else(|| serde::de::Error::custom(format!("no such end: `{text}`")))
    }
}

/// Records that the remote refuses, singly and within jobs.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Refuse {
    /// `customers`, `products`, `skus` or `orders`; absent: all.
    pub kind: Option<String>,
    /// All that are given have to hold.
    pub source_id: Option<String>,
    pub prefix: Option<String>,
    pub contains: Option<String>,
    /// This part of all `source_id`s, always the same ones.
    pub share: Option<f64>,
    /// With this probability at each attempt.
    pub chance: Option<f64>,
    /// How often; absent: always.
    pub times: Option<u32>,
    pub status: u16,
    pub key: String,
    pub message: String,
    pub details: String,
    /// A bulk body that carries it is refused whole instead of the record alone.
    pub whole: bool,
}

impl Default for Refuse {
    fn default() -> Self {
        Self {
            kind: None,
            source_id: None,
            prefix: None,
            contains: None,
            share: None,
            chance: None,
            times: None,
            status: 400,
            key: "invalid_payload".into(),
            message: "Invalid payload".into(),
            details: "refused by the stand-in".into(),
            whole: false,
        }
    }
}

/// How jobs end badly; each a probability from 0 to 1.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JobFaults {
    /// Of each record of a job: it fails with one of `keys`.
    pub partial: f64,
    /// Absent: `internal_error`.
    pub keys: Vec<String>,
    /// Of each job: it never ends, and none of its records is taken in.
    pub hang: f64,
    /// Jobs behind one that hangs wait for ever, too.
    pub hang_blocks: bool,
    /// Of each job: it ends as `FAILED`, and none of its records is taken in.
    pub fail: f64,
    /// Of each job: nobody knows it (404), though its records are taken in.
    pub forget: f64,
    /// Of each job: what failed is counted but not named.
    pub silent: f64,
    /// Failed records of an import stand there with `source_id: null` (SURPRISES.md, 23).
    pub null_ids: bool,
    /// Of each export: it ends as `ERROR`.
    pub export_error: f64,
}

/// A fault that met a call.
pub(super) struct Strike {
    status: Option<u16>,
    headers: Map<String, Value>,
    body: Option<Value>,
    pub(super) apply: bool,
    pub(super) then: Then,
}

impl Strike {
    /// The fault's own answer, if it has one.
    pub(super) fn reply(&self, now_ms: i64) -> Option<Reply> {
        if self.status.is_none() && self.body.is_none() && self.headers.is_empty() {
            return None;
        }
        let status = self.status.unwrap_or(200);
        let mut headers: Vec<(String, String)> = self
            .headers
            .iter()
            .map(|(name, value)| {
                let text = value
                    .as_str()
                    .map_or_else(|| value.to_string(), str::to_owned);
                (name.clone(), in_time(text, now_ms))
            })
            .collect();
        let (kind, body) = match &self.body {
            Some(Value::String(text)) => ("text/plain", text.clone()),
            Some(json) => ("application/json", json.to_string()),
            None => ("application/json", usual(status).to_string()),
        };
        let named = headers
            .iter()
            .any(|(name, _)| name.eq_ignore_ascii_case("content-type"));
        if !named && !body.is_empty() {
            headers.push(("Content-Type".into(), kind.into()));
        }
        Some(Reply {
            status,
            headers,
            body: body.into_bytes(),
        })
    }
}

/// `{now + 120 s, as IMF-fixdate, …}` in a header: that time, as a date or in Unix seconds.
fn in_time(text: String, now_ms: i64) -> String {
    let Some(rest) = text.strip_prefix("{now + ") else {
        return text;
    };
    let seconds: i64 = rest
        .split(' ')
        .next()
        .and_then(|number| number.parse().ok())
        .unwrap_or(0);
    let then_ms = now_ms + seconds * 1000;
    if rest.contains("IMF-fixdate") {
        http_date(then_ms)
    } else {
        then_ms.div_euclid(1000).to_string()
    }
}

fn usual(status: u16) -> Value {
    let (key, message) = match status {
        401 => ("unauthorized", "Unauthorized"),
        402 => ("payment_required", "The plan is exhausted"),
        403 => ("missing_required_permission", "Missing permission"),
        423 => ("resource_locked", "Resource is locked"),
        429 => (
            "too_many_requests",
            "Too many requests hit the API too quickly",
        ),
        500 => ("internal_error", "Internal error"),
        503 => ("service_unavailable", "Service unavailable"),
        _ => ("error", "Error"),
    };
    json!({"code": status, "key": key, "message": message, "details": "", "request_id": "v-0fau1t"})
}

impl Fault {
    /// An answer of this status, with the API's usual body.
    pub fn status(status: u16) -> Self {
        Self {
            status: Some(status),
            ..Self::default()
        }
    }

    /// The connection is reset and the remote has not taken the request in.
    pub fn reset_before() -> Self {
        Self {
            then: Then::Reset,
            ..Self::default()
        }
    }

    /// The remote takes the request in, and the connection is reset before its answer.
    pub fn reset_after() -> Self {
        Self {
            apply: true,
            ..Self::reset_before()
        }
    }

    /// A page where JSON is due.
    pub fn html(status: u16) -> Self {
        let mut headers = Map::new();
        headers.insert("Content-Type".into(), "text/html".into());
        Self {
            status: Some(status),
            headers,
            body: Some("<!DOCTYPE html><html><body>Please accept our terms</body></html>".into()),
            ..Self::default()
        }
    }

    /// Over the limit, whatever the limit is.
    pub fn limited(seconds: u64) -> Self {
        let mut headers = Map::new();
        headers.insert("Retry-After".into(), seconds.to_string().into());
        headers.insert("X-Rate-Limit-Type".into(), "api_calls".into());
        Self {
            status: Some(429),
            headers,
            ..Self::default()
        }
    }

    pub fn then(self, then: Then) -> Self {
        Self { then, ..self }
    }

    pub fn matching(self, calls: &str) -> Self {
        Self {
            matching: Some(calls.to_owned()),
            ..self
        }
    }

    pub fn chance(self, probability: f64) -> Self {
        Self {
            chance: Some(probability),
            ..self
        }
    }

    pub fn times(self, count: u32) -> Self {
        Self {
            count: Some(count),
            ..self
        }
    }

    pub fn always(self) -> Self {
        Self {
            always: true,
            ..self
        }
    }

    /// From the first to before the second, in milliseconds since 1970.
    pub fn between(self, from_ms: i64, until_ms: i64) -> Self {
        Self {
            from_ms: Some(from_ms),
            until_ms: Some(until_ms),
            ..self
        }
    }

    fn is_once(&self) -> bool {
        let unbounded = self.always
            || self.chance.is_some()
            || self.from_ms.is_some()
            || self.until_ms.is_some();
        !unbounded
    }

    fn spend(&mut self) {
        if let Some(count) = &mut self.count {
            *count -= 1;
        }
    }

    fn fits(&self, call: &Call, now_ms: i64) -> bool {
        let spent = self.count == Some(0);
        let in_time = self.from_ms.is_none_or(|from| now_ms >= from)
            && self.until_ms.is_none_or(|until| now_ms < until);
        !spent
            && in_time
            && self
                .matching
                .as_deref()
                .is_none_or(|rule| matches(rule, call))
    }
}

fn matches(rule: &str, call: &Call) -> bool {
    if let Some(key) = rule.strip_prefix("the body names ") {
        let quoted = Value::from(key).to_string();
        return memchr::memmem::find(call.body, quoted.as_bytes()).is_some()
            || call.parts.iter().any(|part| part == key);
    }
    let (method, path) = match rule.split_once(' ') {
        Some((method, path)) => (Some(method), Some(path)),
        None if rule.starts_with('/') => (None, Some(rule)),
        None => (Some(rule), None),
    };
    method.is_none_or(|method| method == call.method)
        && path.is_none_or(|path| match path.strip_suffix('*') {
            Some(start) => call.path.starts_with(start),
            None => call.path == path,
        })
}

impl Faults {
    /// Faults from a list alone.
    pub fn of(faults: Vec<Fault>) -> Self {
        let mut all = Self {
            faults,
            ..Self::default()
        };
        all.anchor(0);
        all
    }

    pub(super) fn anchor(&mut self, now_ms: i64) {
        for fault in &mut self.faults {
            if let Some(ms) = fault.for_ms.take() {
                fault.from_ms = Some(now_ms);
                fault.until_ms = Some(now_ms + ms);
            }
            if fault.count.is_none() && fault.is_once() {
                fault.count = Some(1);
            }
        }
    }

    /// What goes wrong with this call, if anything.
    pub(super) fn strike(
        &mut self,
        call: &Call,
        now_ms: i64,
        random: &mut Random,
    ) -> Option<Strike> {
        let fault = self.faults.iter_mut().find(|fault| {
            fault.fits(call, now_ms) && fault.chance.is_none_or(|chance| random.chance(chance))
        })?;
        fault.spend();
        Some(Strike {
            status: fault.status,
            headers: fault.headers.clone(),
            body: fault.body.clone(),
            apply: fault.apply,
            then: fault.then,
        })
    }

    /// What ends this call before its body is read, if anything does.
    pub(super) fn early(&mut self, call: &Call, now_ms: i64, random: &mut Random) -> Option<usize> {
        for fault in self
            .faults
            .iter_mut()
            .filter(|fault| fault.fits(call, now_ms))
        {
            match (fault.then, fault.chance) {
                // The call is this one's, once it is there.
                (then, None) if !matches!(then, Then::Early(_)) => return None,
                (Then::Early(bytes), chance)
                    if chance.is_none_or(|chance| random.chance(chance)) =>
                {
                    fault.spend();
                    return Some(bytes);
                }
                _ => {}
            }
        }
        None
    }

    /// Whether a record is refused; `whole` asks for the rules by which its whole body is.
    pub(super) fn refuses(
        &mut self,
        what: What,
        source_id: &str,
        whole: bool,
        random: &mut Random,
    ) -> Option<Refusal> {
        let rule = self.refuse.iter_mut().find(|rule| {
            let fits = rule.times != Some(0)
                && (!whole || rule.whole)
                && rule
                    .kind
                    .as_deref()
                    .is_none_or(|kind| kind == what.plural())
                && rule.source_id.as_deref().is_none_or(|key| key == source_id)
                && rule
                    .prefix
                    .as_deref()
                    .is_none_or(|start| source_id.starts_with(start))
                && rule
                    .contains
                    .as_deref()
                    .is_none_or(|part| source_id.contains(part))
                && rule.share.is_none_or(|share| place(source_id) < share);
            fits && rule.chance.is_none_or(|chance| random.chance(chance))
        })?;
        if let Some(times) = &mut rule.times {
            *times -= 1;
        }
        Some(Refusal::new(
            rule.status,
            rule.key.clone(),
            rule.message.clone(),
            rule.details.clone(),
        ))
    }
}
