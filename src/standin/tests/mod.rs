//! The remote's rules, each from the page or the document that says it.

mod faults;
mod jobs;
mod limits;
mod rules;

use serde_json::Value;

use super::*;

/// A remote and its clock.
struct Bench {
    remote: Remote,
    now_ms: i64,
}

impl Bench {
    fn new() -> Self {
        Self::with(Settings::default())
    }

    fn with(settings: Settings) -> Self {
        Self {
            remote: Remote::new(1, settings),
            // A full hour, so that periods begin here.
            now_ms: 1_800_000_000_000,
        }
    }

    /// Sends JSON, a millisecond after the last.
    fn send(&mut self, method: &str, target: &str, body: Value) -> Answer {
        let text = match body {
            Value::Null => String::new(),
            body => body.to_string(),
        };
        self.now_ms += 1;
        self.remote
            .answer(&Request::json(method, target, &text), self.now_ms)
    }

    /// Sends JSON, and returns the body of an answer that has to have this status.
    #[track_caller]
    fn ok(&mut self, method: &str, target: &str, body: Value) -> Value {
        let answer = self.send(method, target, body);
        let body = answer.reply.body_json();
        assert!((200..300).contains(&answer.reply.status), "{body}");
        body
    }

    /// Sends JSON that has to be refused so.
    #[track_caller]
    fn refused(&mut self, method: &str, target: &str, body: Value, status: u16, key: &str) {
        let answer = self.send(method, target, body);
        let body = answer.reply.body_json();
        assert_eq!(
            (answer.reply.status, body["key"].as_str()),
            (status, Some(key)),
            "{body}"
        );
    }

    /// Uploads CSV as a form does.
    #[track_caller]
    fn upload(&mut self, target: &str, csv: &str) -> Value {
        let body = format!(
            "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"x.csv\"\r\n\r\n{csv}\r\n--b--\r\n"
        );
        let mut request = Request::json("POST", target, "");
        request.headers.push((
            "Content-Type".into(),
            "multipart/form-data; boundary=b".into(),
        ));
        request.body = body.as_bytes().into();
        self.now_ms += 1;
        let answer = self.remote.answer(&request, self.now_ms);
        assert!(answer.reply.status < 300, "{}", answer.reply.body_json());
        let id = answer.reply.body_json()["async_action_id"]
            .as_str()
            .unwrap()
            .to_owned();
        self.done(&id)
    }

    /// Sends what begins a job, and returns the job when it has ended.
    #[track_caller]
    fn job(&mut self, target: &str, body: Value) -> Value {
        let id = self.ok("POST", target, body)["async_action_id"]
            .as_str()
            .unwrap()
            .to_owned();
        self.done(&id)
    }

    #[track_caller]
    fn done(&mut self, id: &str) -> Value {
        self.now_ms += 3_600_000;
        let job = self.ok("GET", &format!("/v1/async-actions/{id}"), Value::Null);
        assert_eq!(job["progress"], 100);
        job
    }

    /// What is held of one object.
    fn held(&self, kind: &str, key: &str) -> Value {
        self.remote.object(kind, key).unwrap_or(Value::Null)
    }
}

/// The fields of an object that a test looks at.
fn only(object: &Value, names: &[&str]) -> Value {
    names
        .iter()
        .map(|name| ((*name).to_owned(), object[*name].clone()))
        .collect()
}
