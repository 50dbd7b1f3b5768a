//! What an answer means: for the record or body that the call carried, and for the link.
//!
//! One function for each sort of call; API.md's table of errors stands here and nowhere else.
//! Knows no clock and no store: how long to wait, and what is stored, is decided by others.

use std::collections::HashMap;

use crate::kind::Kind;
use crate::wire::{Answer, Fault, ItemFault, Job, JobState, Purse, Response};

/// What a call wanted done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// A record made or changed; `update`: by PUT, which knows no making.
    Upsert {
        kind: Kind,
        key: String,
        update: bool,
    },
    Delete,
    Consents,
    /// A body of many, answered by the id of a job.
    Job,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub outcome: Outcome,
    pub link: LinkNews,
}

/// For what the call carried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Done. `id`: the API's own, where the answer told it.
    Acknowledged { id: Option<String> },
    /// A job was begun.
    Accepted { job: String },
    /// Repeating cannot cure it.
    Refused(Refusal),
    /// The body is too large (413).
    TooLarge(Refusal),
    /// Not done, and may go again later (423).
    Again { code: String },
    /// Done or not: nobody can say.
    Unknown { code: String },
    /// Not done, for a reason that is the link's.
    Blocked,
    /// An update of what the remote no longer has: it has to be made.
    Missing,
    /// The SKU's product is not there.
    ProductMissing(Refusal),
}

/// Why a record is parked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refusal {
    pub code: String,
    /// The remote's own words: for `parked` alone.
    pub message: String,
    pub request_id: Option<String>,
}

/// For the link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkNews {
    Fine,
    /// 429. `purse`: which budget, `None`: all. `wait_ms`: what the headers ask for.
    Limited {
        purse: Option<Purse>,
        wait_ms: Option<i64>,
    },
    Away {
        reason: String,
    },
    Refused {
        reason: String,
    },
    Exhausted {
        reason: String,
        wait_ms: Option<i64>,
        /// By a 429: no call goes before that time, whoever asks.
        limited: bool,
    },
}

impl LinkNews {
    /// The state of the link that it tells of (INTERFACE.md, Words).
    pub fn name(&self) -> &'static str {
        match self {
            LinkNews::Fine => "up",
            LinkNews::Limited { .. } => "limited",
            LinkNews::Away { .. } => "away",
            LinkNews::Refused { .. } => "refused",
            LinkNews::Exhausted { .. } => "exhausted",
        }
    }
}

impl Verdict {
    fn new(outcome: Outcome, link: LinkNews) -> Verdict {
        Verdict { outcome, link }
    }

    /// The word of the requests log.
    pub fn word(&self) -> &'static str {
        match (&self.outcome, &self.link) {
            (_, LinkNews::Limited { .. }) => "limited",
            (_, LinkNews::Refused { .. }) => "refused",
            (_, LinkNews::Exhausted { .. }) => "exhausted",
            (Outcome::Acknowledged { .. }, _) => "acknowledged",
            (Outcome::Accepted { .. }, _) => "accepted",
            (Outcome::Refused(_) | Outcome::TooLarge(_) | Outcome::ProductMissing(_), _) => {
                "parked"
            }
            (Outcome::Unknown { .. }, _) => "unknown",
            (_, LinkNews::Away { .. }) => "away",
            (Outcome::Again { .. } | Outcome::Blocked | Outcome::Missing, _) => "again",
        }
    }
}

/// Of a call that carried records. `now` is used only where the remote tells no time of its own.
pub fn of(wanted: &Wanted, answer: &Answer, now: i64) -> Verdict {
    let response = match answer {
        Answer::Got(response) => response,
        Answer::NoCredentials(why) => return Verdict::new(Outcome::Blocked, no_credentials(why)),
        Answer::None(none) => {
            let outcome = if none.left {
                Outcome::Unknown {
                    code: "no_answer".into(),
                }
            } else {
                Outcome::Blocked
            };
            return Verdict::new(outcome, away(&none.why));
        }
    };
    if let Some(verdict) = of_link(response, now) {
        return verdict;
    }
    match response.status {
        200..=299 => success(wanted, response),
        404 | 410 => missing(wanted, response),
        413 => Verdict::new(
            // Its body has no key of the API's, only the status in words (API.md, Errors).
            Outcome::TooLarge(Refusal {
                code: "query_too_large".into(),
                ..refusal(response, "query_too_large")
            }),
            LinkNews::Fine,
        ),
        423 => Verdict::new(
            Outcome::Again {
                code: "resource_locked".into(),
            },
            LinkNews::Fine,
        ),
        405 if *wanted == Wanted::Consents && response.fault().is_some() => Verdict::new(
            Outcome::Refused(refusal(response, "method_not_allowed")),
            LinkNews::Fine,
        ),
        400..=499 => match response.fault() {
            Some(_) if !matches!(response.status, 405..=407 | 415) => Verdict::new(
                Outcome::Refused(refusal(response, "refused")),
                LinkNews::Fine,
            ),
            // Our own fault or a proxy's (API.md, Errors): no record is to blame.
            _ => Verdict::new(Outcome::Blocked, foreign(response)),
        },
        _ => Verdict::new(Outcome::Blocked, foreign(response)),
    }
}

/// Answers that say the same whatever was asked.
fn of_link(response: &Response, now: i64) -> Option<Verdict> {
    let (outcome, link) = match response.status {
        401 => (Outcome::Blocked, refused(response)),
        // A firewall that dislikes one body answers so, too: that record waits longer each time.
        403 if response.fault().is_none() => (
            Outcome::Again {
                code: "forbidden".into(),
            },
            refused(response),
        ),
        403 => (Outcome::Blocked, refused(response)),
        402 => (
            Outcome::Blocked,
            LinkNews::Exhausted {
                reason: "the plan is exhausted (402)".into(),
                wait_ms: response.limits.wait_ms(now),
                limited: false,
            },
        ),
        429 => (Outcome::Blocked, limited(response, now)),
        408 | 500..=599 => (
            Outcome::Unknown {
                code: format!("http_{}", response.status),
            },
            away(&format!("the remote answered {}", response.status)),
        ),
        _ => return None,
    };
    Some(Verdict::new(outcome, link))
}

fn refused(response: &Response) -> LinkNews {
    let who = if response.fault().is_some() {
        "the remote refused the credentials"
    } else {
        "something on the way refused the call"
    };
    LinkNews::Refused {
        reason: format!("{who} ({})", response.status),
    }
}

fn limited(response: &Response, now: i64) -> LinkNews {
    let wait_ms = response.limits.wait_ms(now);
    let purse = match response.limits.kind.as_deref() {
        Some("api_calls_cycle") => {
            return LinkNews::Exhausted {
                reason: "the calls of the billing cycle are used up (429)".into(),
                wait_ms,
                limited: true,
            };
        }
        Some("bulk_api_calls") => Some(Purse::Bulk),
        Some("api_calls") => Some(Purse::Api),
        // Unknown or untold: the whole link waits.
        _ => None,
    };
    LinkNews::Limited { purse, wait_ms }
}

fn no_credentials(why: &str) -> LinkNews {
    LinkNews::Refused {
        reason: why.to_owned(),
    }
}

fn away(reason: &str) -> LinkNews {
    LinkNews::Away {
        reason: reason.to_owned(),
    }
}

/// An answer that is not the API's: a portal, a proxy, a redirect.
fn foreign(response: &Response) -> LinkNews {
    let status = response.status;
    away(&match (status, response.media.as_str()) {
        (300..=399, _) => {
            format!("the remote answered with a redirect ({status}), which is never followed")
        }
        (_, media) if media.contains("html") => {
            format!("HTML came where JSON was due ({status}): a portal or a proxy is in the way")
        }
        (200..=299, _) => format!("an answer came that is not the API's ({status})"),
        (404, _) => "the remote knows no such address (404): is `url` right?".into(),
        _ => format!("the call was refused on the way ({status})"),
    })
}

/// A success is the expected object with our key, nothing less.
fn success(wanted: &Wanted, response: &Response) -> Verdict {
    let outcome = match wanted {
        Wanted::Upsert { kind, key, .. } => response
            .made(object_name(*kind))
            .filter(|made| made.source_id.as_deref() == Some(key))
            .map(|made| Outcome::Acknowledged { id: Some(made.id) }),
        Wanted::Delete | Wanted::Consents => {
            let empty = response.status == 204 && response.body.is_empty();
            (empty || response.is_object()).then_some(Outcome::Acknowledged { id: None })
        }
        Wanted::Job => response
            .async_action_id()
            .map(|job| Outcome::Accepted { job }),
    };
    match outcome {
        Some(outcome) => Verdict::new(outcome, LinkNews::Fine),
        None => Verdict::new(
            Outcome::Unknown {
                code: "not_the_api".into(),
            },
            foreign(response),
        ),
    }
}

/// What an answer's `object` says for a kind.
pub fn object_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Products => "product",
        Kind::Skus => "sku",
        Kind::Customers => "customer",
        Kind::Orders => "order",
    }
}

fn missing(wanted: &Wanted, response: &Response) -> Verdict {
    if response.fault().is_none() {
        return Verdict::new(Outcome::Blocked, foreign(response));
    }
    let refusal = || refusal(response, "not_found");
    let outcome = match wanted {
        Wanted::Delete => Outcome::Acknowledged { id: None },
        Wanted::Upsert { update: true, .. } => Outcome::Missing,
        Wanted::Upsert {
            kind: Kind::Skus, ..
        } => Outcome::ProductMissing(refusal()),
        Wanted::Upsert {
            kind: Kind::Orders, ..
        }
        | Wanted::Consents => Outcome::Refused(refusal()),
        // Nothing can be missing for a call that makes: the address is wrong.
        Wanted::Upsert { .. } | Wanted::Job => {
            return Verdict::new(Outcome::Blocked, foreign(response));
        }
    };
    Verdict::new(outcome, LinkNews::Fine)
}

fn refusal(response: &Response, code: &str) -> Refusal {
    let Fault {
        key,
        message,
        request_id,
    } = response.fault().unwrap_or_default();
    Refusal {
        code: if key.is_empty() { code.into() } else { key },
        message,
        request_id,
    }
}

/// Of the probe: the link alone. A list of the API's is due.
pub fn of_probe(answer: &Answer, now: i64) -> LinkNews {
    match answer {
        Answer::None(none) => away(&none.why),
        Answer::NoCredentials(why) => no_credentials(why),
        Answer::Got(response) => match of_link(response, now) {
            Some(verdict) => verdict.link,
            None if response.status == 200 && response.is_list() => LinkNews::Fine,
            None => foreign(response),
        },
    }
}

/// Of a question for one object: the link alone. The object, a list, or the API's own word that there
/// is none is due.
pub fn of_read(answer: &Answer, now: i64) -> LinkNews {
    match answer {
        Answer::Got(response) if response.status == 200 && response.is_object() => LinkNews::Fine,
        Answer::Got(response) if response.status == 404 && response.fault().is_some() => {
            LinkNews::Fine
        }
        other => of_probe(other, now),
    }
}

/// Of a question for a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobNews {
    Open {
        status: String,
    },
    Ended(Job),
    /// The remote knows no such job: the outcome is unknown.
    Lost,
    /// No word of the job.
    Silent,
}

pub fn of_job(answer: &Answer, now: i64) -> (JobNews, LinkNews) {
    let response = match answer {
        Answer::None(none) => return (JobNews::Silent, away(&none.why)),
        Answer::NoCredentials(why) => return (JobNews::Silent, no_credentials(why)),
        Answer::Got(response) => response,
    };
    if let Some(verdict) = of_link(response, now) {
        return (JobNews::Silent, verdict.link);
    }
    match (response.status, response.job()) {
        (200, Some(job)) if job.state == JobState::Open => {
            (JobNews::Open { status: job.status }, LinkNews::Fine)
        }
        (200, Some(job)) => (JobNews::Ended(job), LinkNews::Fine),
        (404 | 410, _) if response.fault().is_some() => (JobNews::Lost, LinkNews::Fine),
        _ => (JobNews::Silent, foreign(response)),
    }
}

/// For one item of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ItemOutcome {
    Acknowledged,
    Refused(Refusal),
    /// The remote's own trouble: again later.
    Again {
        code: String,
    },
    /// A key that nobody knows: three more tries, then parked (API.md, Errors).
    Odd(Refusal),
    /// The report does not tell: again, in a smaller body.
    Unproven,
}

/// What a job's report says of the records that it carried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// By key, ours alone.
    pub named: HashMap<String, ItemOutcome>,
    /// For all that are not named.
    pub rest: ItemOutcome,
}

/// `ours`: is this key one of the job's? `sent`: how many there are.
pub fn of_report(job: &Job, ours: impl Fn(&str) -> bool, sent: usize) -> Report {
    let named: HashMap<String, ItemOutcome> = job
        .faults
        .iter()
        .filter_map(|fault| Some((fault.source_id.clone()?, of_item(fault, job))))
        .filter(|(key, _)| ours(key))
        .collect();
    let proven = job.state == JobState::Done && counts_prove(job, named.len() as u64, sent as u64);
    // Of one record alone, the unnamed reason is its own.
    let alone = (sent == 1 && named.is_empty() && !proven).then(|| {
        let fault = job.faults.first().cloned().unwrap_or_default();
        of_item(&fault, job)
    });
    Report {
        named,
        rest: match (proven, alone) {
            (true, _) => ItemOutcome::Acknowledged,
            (false, Some(outcome)) => outcome,
            (false, None) => ItemOutcome::Unproven,
        },
    }
}

/// Whether the counts prove that all but the named ones were done. `operation_status` lacks in
/// reports of imports, and counts may lack in others (openapi/SURPRISES, 22).
fn counts_prove(job: &Job, named: u64, sent: u64) -> bool {
    if job.failed.unwrap_or(job.faults.len() as u64) > named {
        return false;
    }
    if job.success == Some(false) && named == 0 {
        return false;
    }
    match (job.done, job.failed) {
        (Some(done), _) => done.saturating_add(named) >= sent,
        (None, Some(_)) => true,
        (None, None) => job.success == Some(true),
    }
}

fn of_item(fault: &ItemFault, job: &Job) -> ItemOutcome {
    let code = if fault.key.is_empty() {
        "job_failed"
    } else {
        &fault.key
    };
    let refusal = Refusal {
        code: code.to_owned(),
        message: fault.message.clone(),
        request_id: job.request_id.clone(),
    };
    match sort_of(&fault.key) {
        Sort::Passing => ItemOutcome::Again {
            code: code.to_owned(),
        },
        Sort::Lasting => ItemOutcome::Refused(refusal),
        Sort::Unknown => ItemOutcome::Odd(refusal),
    }
}

enum Sort {
    Passing,
    Lasting,
    Unknown,
}

/// By an item's error key (API.md, Errors, last row).
fn sort_of(key: &str) -> Sort {
    const PASSING: [&str; 8] = [
        "internal",
        "unavailable",
        "timeout",
        "timed_out",
        "locked",
        "too_many",
        "rate_limit",
        "try_again",
    ];
    const LASTING: [&str; 4] = ["invalid_", "missing_", "duplicate_", "query_too_large"];
    if PASSING.iter().any(|part| key.contains(part)) {
        Sort::Passing
    } else if LASTING.iter().any(|start| key.starts_with(start)) {
        Sort::Lasting
    } else {
        Sort::Unknown
    }
}

#[cfg(test)]
mod tests;
