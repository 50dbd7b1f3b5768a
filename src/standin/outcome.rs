//! What a job says when it is done. Each kind of job has its own form of result (API.md, Jobs), and
//! the documents' own examples fit none of their schemas (SURPRISES.md, 22).

use serde_json::{Value, json};

use super::{
    jobs::{REPORT_MS, Task},
    refusal::Refusal,
    stamp,
    tables::What,
};

/// What became of a job's records.
#[derive(Default)]
pub(super) struct Outcome {
    pub(super) done: usize,
    pub(super) failed: Vec<Failed>,
    pub(super) report: String,
}

pub(super) struct Failed {
    pub(super) source_id: Option<String>,
    /// Of a CSV import, from 1.
    pub(super) row: Option<usize>,
    pub(super) refusal: Refusal,
}

impl Outcome {
    pub(super) fn begun() -> Self {
        Self {
            report: "source_id,found,updated\n".into(),
            ..Self::default()
        }
    }

    pub(super) fn note(&mut self, source_id: &str, found: bool, updated: bool) {
        let quoted = source_id.replace('"', "\"\"");
        self.report
            .push_str(&format!("\"{quoted}\",{found},{updated}\n"));
    }
}

pub(super) fn bulk_result(outcome: &Outcome, url: Option<String>, now: i64, silent: bool) -> Value {
    let errors: Vec<Value> = outcome
        .failed
        .iter()
        .filter(|_| !silent)
        .map(|failed| {
            json!({
                "source_id": failed.source_id,
                "key": failed.refusal.key,
                "message": failed.refusal.message,
                "details": failed.refusal.details,
            })
        })
        .collect();
    json!({
        "done_count": outcome.done,
        "failed_count": outcome.failed.len(),
        "reports": url.as_slice(),
        "reports_available_till": stamp(now.saturating_add(REPORT_MS)),
        "errors": errors,
    })
}

pub(super) fn import_result(
    task: Task,
    outcome: &Outcome,
    null_ids: bool,
    as_object: bool,
    silent: bool,
) -> Value {
    let failed: Vec<Value> = outcome
        .failed
        .iter()
        .filter(|_| !silent)
        .map(|failed| {
            let mut entry = json!({});
            match &failed.source_id {
                _ if null_ids => entry["source_id"] = Value::Null,
                Some(key) => entry["source_id"] = Value::from(key.as_str()),
                None => {}
            }
            if let Some(row) = failed.row {
                entry["row"] = Value::from(row);
            }
            entry["reason"] = Value::from(match failed.refusal.details.as_str() {
                "" => failed.refusal.message.as_ref(),
                details => details,
            });
            entry
        })
        .collect();
    let word = match task {
        Task::Orders => What::Order,
        Task::Csv(what) | Task::Bulk(what) | Task::Metadata(what) => what,
    };
    // The document draws an object where its example shows an array (API.md, Jobs).
    let failed = match task {
        Task::Orders if as_object => failed.into_iter().next_back().unwrap_or_else(|| json!({})),
        _ => Value::Array(failed),
    };
    json!({
        "message": format!("{} {}(s) imported successfully, {} failed.", outcome.done, word.name(), outcome.failed.len()),
        "failed": failed,
        "done_count": outcome.done,
        "failed_count": outcome.failed.len(),
    })
}
