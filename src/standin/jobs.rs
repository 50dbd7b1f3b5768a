//! Jobs: what bulk calls and imports begin, worked off one after another in the order of their
//! arrival (API.md, Jobs). Imports of orders stand in a line of their own.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::{
    Object, Remote, Reply, imports,
    lists::{Page, time},
    outcome::{Failed, Outcome, bulk_result, import_result},
    refusal::Refusal,
    route::Call,
    settings::IMPORT_ORDERS_MAX,
    shape, stamp,
    tables::What,
};

/// How long a report can be had.
pub(super) const REPORT_MS: i64 = 24 * 3_600_000;

/// What is asked of a job.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Task {
    Bulk(What),
    Metadata(What),
    Csv(What),
    Orders,
}

impl Task {
    fn name(self) -> String {
        let (what, verb) = match self {
            Self::Bulk(what) => (what, "BULK_UPDATE"),
            Self::Metadata(what) => (what, "METADATA_UPDATE"),
            Self::Csv(what) => (what, "IMPORT_CSV"),
            Self::Orders => (What::Order, "IMPORT"),
        };
        format!("{}.{verb}", what.plural().to_ascii_uppercase())
    }

    pub(super) fn is_import(self) -> bool {
        matches!(self, Self::Csv(_) | Self::Orders)
    }

    /// Which line it waits in.
    fn line(self) -> usize {
        usize::from(self == Self::Orders)
    }
}

struct Job {
    id: String,
    task: Task,
    body: Arc<[u8]>,
    content_type: String,
    request_id: String,
    token: String,
    created_ms: i64,
    starts_ms: i64,
    ends_ms: i64,
    fails: bool,
    forgotten: bool,
    silent: bool,
    result: Option<Value>,
    report: Option<String>,
}

/// When a job that hangs ends.
const NEVER_MS: i64 = i64::MAX;

#[derive(Default)]
pub(super) struct Jobs {
    all: Vec<Job>,
    by_id: HashMap<String, usize>,
    waiting: BTreeSet<(i64, usize)>,
    /// When each line is free again.
    free_ms: [i64; 2],
}

impl Jobs {
    pub(super) fn next_due(&self) -> Option<i64> {
        self.waiting
            .first()
            .map(|(due, _)| *due)
            .filter(|due| *due < NEVER_MS)
    }
}

impl Remote {
    pub(super) fn post_bulk(
        &mut self,
        kind: &str,
        call: &Call,
        now: i64,
    ) -> Result<Reply, Refusal> {
        let (what, check) = of_kind(kind);
        let items = items(call.body)?;
        let mut read = Vec::new();
        for (index, item) in items.iter().enumerate() {
            let at = format!("[{index}]");
            let content = check(shape::json(item.get().as_bytes())?, &at)?;
            let Some(key) = content.get("source_id").and_then(Value::as_str) else {
                return Err(Refusal::new(
                    400,
                    "missing_source_id",
                    "Missing source_id",
                    format!("Property {at}.source_id is required"),
                ));
            };
            if let Some(refusal) = self.faults.refuses(what, key, true, &mut self.random) {
                return Err(refusal);
            }
            if self.settings.instant {
                read.push(content);
            }
        }
        let id = self.enqueue(Task::Bulk(what), call, items.len(), now);
        Ok(self.begin(id, read, 202, now))
    }

    pub(super) fn post_metadata(
        &mut self,
        kind: &str,
        call: &Call,
        now: i64,
    ) -> Result<Reply, Refusal> {
        let (what, _) = of_kind(kind);
        let (keys, _) = one_for_many(call.body)?;
        let id = self.enqueue(Task::Metadata(what), call, keys.len(), now);
        Ok(self.begin(id, Vec::new(), 202, now))
    }

    pub(super) fn post_csv(&mut self, kind: &str, call: &Call, now: i64) -> Result<Reply, Refusal> {
        let rows = imports::rows(call.header("content-type").unwrap_or_default(), call.body)?;
        // Only customers' answers 202 (SURPRISES.md, 18).
        let (what, status) = match kind {
            "customers" => (What::Customer, 202),
            "products" => (What::Product, 200),
            _ => (What::Sku, 200),
        };
        let id = self.enqueue(Task::Csv(what), call, rows.len(), now);
        Ok(self.begin(id, Vec::new(), status, now))
    }

    pub(super) fn post_import(&mut self, call: &Call, now: i64) -> Result<Reply, Refusal> {
        let items = items(call.body)?;
        if items.len() > IMPORT_ORDERS_MAX {
            return Err(Refusal::payload(format!(
                "Body cannot hold more than {IMPORT_ORDERS_MAX} orders"
            )));
        }
        for (index, item) in items.iter().enumerate() {
            let order = shape::order(shape::json(item.get().as_bytes())?, &format!("[{index}]"))?;
            if let Some(key) = order.get("source_id").and_then(Value::as_str)
                && let Some(refusal) = self
                    .faults
                    .refuses(What::Order, key, true, &mut self.random)
            {
                return Err(refusal);
            }
        }
        let id = self.enqueue(Task::Orders, call, items.len(), now);
        Ok(self.begin(id, Vec::new(), 200, now))
    }

    fn enqueue(&mut self, task: Task, call: &Call, records: usize, now: i64) -> String {
        let faults = self.faults.jobs.clone();
        let hangs = self.random.chance(faults.hang);
        let settings = &self.settings;
        let free_ms = self.jobs.free_ms[task.line()];
        let (starts_ms, took_ms) = match settings.instant {
            true => (now.max(free_ms), 0),
            false => (
                free_ms.max(now.saturating_add(settings.job_delay_ms)),
                settings.job_base_ms + settings.job_ms_per_thousand * records as i64 / 1000,
            ),
        };
        let ends_ms = if hangs {
            NEVER_MS
        } else {
            starts_ms.saturating_add(took_ms)
        };
        if !hangs || faults.hang_blocks {
            self.jobs.free_ms[task.line()] = ends_ms;
        }
        let id = self.random.id("aa_", 18);
        let place = self.jobs.all.len();
        self.jobs.by_id.insert(id.clone(), place);
        self.jobs.waiting.insert((ends_ms, place));
        self.jobs.all.push(Job {
            id: id.clone(),
            task,
            body: call.body.clone(),
            content_type: call.header("content-type").unwrap_or_default().to_owned(),
            request_id: self.random.id("v-", 18),
            token: self.random.id("", 32),
            created_ms: now,
            starts_ms,
            ends_ms,
            fails: self.random.chance(faults.fail),
            forgotten: self.random.chance(faults.forget),
            silent: self.random.chance(faults.silent),
            result: None,
            report: None,
        });
        id
    }

    /// Answers with the job, which is done first if it is due at once.
    fn begin(&mut self, id: String, read: Vec<Object>, status: u16, now: i64) -> Reply {
        if self.jobs.next_due().is_some_and(|due| due <= now) {
            self.work_off(read, now);
        }
        Reply::json(status, &json!({"async_action_id": id}))
    }

    /// Does the job that is due first; `read` are the records of its body, unless it has to be read
    /// again.
    pub(super) fn work_off(&mut self, read: Vec<Object>, now: i64) {
        let Some((_, place)) = self.jobs.waiting.pop_first() else {
            return;
        };
        let job = &mut self.jobs.all[place];
        let (task, body) = (job.task, std::mem::take(&mut job.body));
        let content_type = std::mem::take(&mut job.content_type);
        if job.fails {
            return;
        }
        let outcome = match task {
            Task::Bulk(what) => self.bulk(what, read, &body, now),
            Task::Metadata(what) => self.metadata(what, &body, now),
            Task::Csv(what) => self.import_csv(what, &content_type, &body, now),
            Task::Orders => self.import_orders(&body, now),
        };
        let null_ids = self.faults.jobs.null_ids;
        let as_object = self.settings.import_failed_as_object;
        let with_report = self.settings.reports && !task.is_import();
        let job = &mut self.jobs.all[place];
        let url = with_report.then(|| {
            format!(
                "{}/reports/{}.csv?token={}",
                self.settings.base_url, job.id, job.token
            )
        });
        job.result = Some(if task.is_import() {
            import_result(task, &outcome, null_ids, as_object, job.silent)
        } else {
            bulk_result(&outcome, url, now, job.silent)
        });
        job.report = with_report.then_some(outcome.report);
    }

    fn bulk(&mut self, what: What, read: Vec<Object>, body: &[u8], now: i64) -> Outcome {
        let mut outcome = Outcome::begun();
        if !read.is_empty() {
            for content in read {
                self.settle(what, content, now, &mut outcome);
            }
            return outcome;
        }
        let (_, check) = of_kind(what.plural());
        for item in items(body).unwrap_or_default() {
            let content = shape::json(item.get().as_bytes()).and_then(|item| check(item, ""));
            let Ok(content) = content else { continue };
            self.settle(what, content, now, &mut outcome);
        }
        outcome
    }

    fn metadata(&mut self, what: What, body: &[u8], now: i64) -> Outcome {
        let mut outcome = Outcome::begun();
        let (keys, metadata) = one_for_many(body).unwrap_or_default();
        for key in keys {
            let content = json!({"source_id": key, "metadata": metadata});
            let Value::Object(content) = content else {
                continue;
            };
            self.settle(what, content, now, &mut outcome);
        }
        outcome
    }

    /// One record of a bulk job.
    fn settle(&mut self, what: What, content: Object, now: i64, outcome: &mut Outcome) {
        let source_id = content
            .get("source_id")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned();
        let found = self.table(what).by_source_id(&source_id).is_some();
        let written = self.partial_failure().and_then(|()| match what {
            What::Product => self.upsert_product(content, now),
            _ => self.upsert_customer(content, now),
        });
        outcome.note(&source_id, found, written.is_ok());
        match written {
            Ok(_) => outcome.done += 1,
            Err(refusal) => outcome.failed.push(Failed {
                source_id: Some(source_id),
                row: None,
                refusal,
            }),
        }
    }

    fn import_csv(&mut self, what: What, content_type: &str, body: &[u8], now: i64) -> Outcome {
        let mut outcome = Outcome::default();
        let rows = imports::rows(content_type, body).unwrap_or_default();
        for (index, row) in rows.into_iter().enumerate() {
            let source_id = row.get("source_id").unwrap_or_default().to_owned();
            let written = self.partial_failure().and_then(|()| match what {
                What::Customer => self.import_customer(&row, now),
                What::Product => self.import_product(&row, now),
                _ => self.import_sku(&row, now),
            });
            match written {
                Ok(()) => outcome.done += 1,
                Err(refusal) => outcome.failed.push(Failed {
                    // Products' entries have their row alone (SURPRISES.md, 23).
                    source_id: (what != What::Product).then_some(source_id),
                    row: Some(index + 1),
                    refusal,
                }),
            }
        }
        outcome
    }

    fn import_orders(&mut self, body: &[u8], now: i64) -> Outcome {
        let mut outcome = Outcome::default();
        for item in items(body).unwrap_or_default() {
            let order = shape::json(item.get().as_bytes()).and_then(|item| shape::order(item, ""));
            let Ok(mut order) = order else { continue };
            // The import's time is stamped, whatever is said (SURPRISES.md, 15).
            order.shift_remove("created_at");
            let source_id = order
                .get("source_id")
                .and_then(Value::as_str)
                .map(str::to_owned);
            let written = self
                .partial_failure()
                .and_then(|()| self.upsert_order(order, now));
            match written {
                Ok(_) => outcome.done += 1,
                Err(refusal) => outcome.failed.push(Failed {
                    source_id,
                    row: None,
                    refusal,
                }),
            }
        }
        outcome
    }

    fn partial_failure(&mut self) -> Result<(), Refusal> {
        if !self.random.chance(self.faults.jobs.partial) {
            return Ok(());
        }
        let keys = &self.faults.jobs.keys;
        let key = match keys.len() {
            0 => "internal_error".to_owned(),
            many => keys[self.random.below(many as u64) as usize].clone(),
        };
        Err(Refusal::new(500, key, "Refused by the stand-in", ""))
    }

    /// When a job is worked off, in milliseconds since 1970: known from its arrival on. `None`: nobody
    /// knows the job; `i64::MAX`: it hangs.
    pub fn job_ends_ms(&self, id: &str) -> Option<i64> {
        let place = self.jobs.by_id.get(id)?;
        Some(self.jobs.all[*place].ends_ms)
    }

    pub(super) fn get_job(&self, id: &str, now: i64) -> Result<Reply, Refusal> {
        let place = self.jobs.by_id.get(id);
        let job = place
            .map(|place| &self.jobs.all[*place])
            .filter(|job| !job.forgotten);
        let job = job.ok_or_else(|| Refusal::not_found("async_action", id))?;
        let mut view = job.view(now);
        if let Some(result) = &job.result {
            view["result"] = result.clone();
        }
        Ok(Reply::json(200, &view))
    }

    pub(super) fn list_jobs(&self, call: &Call, now: i64) -> Result<Reply, Refusal> {
        let page = Page::of(call, 1)?;
        let before = time(call, "end_date")?;
        let jobs: Vec<&Job> = self
            .jobs
            .all
            .iter()
            .rev()
            .filter(|job| !job.forgotten && before.is_none_or(|before| job.created_ms < before))
            .collect();
        let (jobs, more) = page.cut(jobs);
        let jobs: Vec<Value> = jobs.into_iter().map(|job| job.view(now)).collect();
        Ok(Reply::json(
            200,
            &json!({"object": "list", "data_ref": "async_actions", "async_actions": jobs, "has_more": more}),
        ))
    }

    pub(super) fn report(&self, name: &str, call: &Call, now: i64) -> Result<Reply, Refusal> {
        let id = name.strip_suffix(".csv").unwrap_or(name);
        let job = self.jobs.by_id.get(id).map(|place| &self.jobs.all[*place]);
        let job = job.filter(|job| call.query("token") == Some(&job.token));
        let job = job.filter(|job| now < job.ends_ms.saturating_add(REPORT_MS));
        match job.and_then(|job| job.report.as_ref()) {
            Some(report) => Ok(Reply::text(200, "text/csv", report.as_str())),
            None => Err(Refusal::not_found("report", id)),
        }
    }
}

impl Job {
    fn view(&self, now: i64) -> Value {
        let done = now >= self.ends_ms;
        let status = match (done, self.fails) {
            (true, true) => "FAILED",
            (true, false) => "DONE",
            _ if now >= self.starts_ms => "IN_PROGRESS",
            _ => "ENQUEUED",
        };
        let progress = match (now - self.starts_ms, self.ends_ms) {
            _ if done => 100,
            (past, _) if past <= 0 => 0,
            (_, NEVER_MS) => 40,
            (past, ends) => past * 100 / (ends - self.starts_ms).max(1),
        };
        let mut view = json!({
            "id": self.id,
            "type": self.task.name(),
            "status": status,
            "created_at": stamp(self.created_ms),
            "updated_at": stamp(now.min(self.ends_ms).max(self.created_ms)),
            "request_id": self.request_id,
            "progress": progress,
            "object": "async_action",
        });
        if done {
            view["processing_time"] = Value::from(self.ends_ms - self.starts_ms);
        }
        // Imports lack it (SURPRISES.md, 22).
        if !self.task.is_import() {
            view["operation_status"] = Value::from(match status {
                "DONE" => "SUCCESS",
                "FAILED" => "FAILED",
                _ => "UNKNOWN",
            });
        }
        view
    }
}

type Check = fn(Value, &str) -> Result<Object, Refusal>;

fn of_kind(kind: &str) -> (What, Check) {
    match kind {
        "products" => (What::Product, shape::product),
        _ => (What::Customer, shape::customer),
    }
}

/// A body's items, each still as text: a body of 10 MB is not turned into a tree at once.
fn items(body: &[u8]) -> Result<Vec<&RawValue>, Refusal> {
    serde_json::from_slice(body).map_err(|error| match error.is_data() {
        true => Refusal::payload("Body should be an array"),
        false => Refusal::payload(format!("Body is not valid JSON: {error}")),
    })
}

fn one_for_many(body: &[u8]) -> Result<(Vec<String>, Object), Refusal> {
    let mut body = shape::json(body)?;
    let keys = match body["source_ids"].take() {
        Value::Array(keys) => keys,
        Value::Null => return Err(missing("source_ids")),
        _ => return Err(Refusal::payload("Property .source_ids should be an array")),
    };
    let metadata = match body["metadata"].take() {
        Value::Object(metadata) => metadata,
        Value::Null => return Err(missing("metadata")),
        _ => return Err(Refusal::payload("Property .metadata should be an object")),
    };
    let keys = keys.into_iter().map(|key| match key {
        Value::String(key) => Ok(key),
        _ => Err(Refusal::payload(
            "Property .source_ids should be an array of strings",
        )),
    });
    Ok((keys.collect::<Result<_, _>>()?, metadata))
}

fn missing(name: &str) -> Refusal {
    Refusal::new(
        400,
        format!("missing_{name}"),
        "Missing property",
        format!("Property .{name} is required"),
    )
}
