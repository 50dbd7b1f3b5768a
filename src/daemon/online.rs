//! Single calls that a command makes by itself, beside a daemon or without one.
//!
//! Gives plain facts, so that commands know neither the calls nor what answers mean. Each call is
//! noted in the log of requests where there is a store, like the daemon's own.

use std::sync::Arc;
use std::time::Instant;

use super::{Error, io_error, now, parts};
use crate::budget::{Budget, Part, Refills, Room};
use crate::config::credentials::Credentials;
use crate::config::{Config, Period};
use crate::kind::Kind;
use crate::remote::{self, Carrier};
use crate::store::flight::{self, Ended, NewRequest};
use crate::store::{self, Person, Store};
use crate::verdict::{self, LinkNews, Outcome, Wanted};
use crate::wire::{Answer, Call, Endpoint, PathKey, Purse, Response, segment};

/// How a try ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// The API answered, and took the credentials.
    Reached,
    /// It refused the credentials, or there are none.
    Refused { reason: String },
    /// No answer of the API's came.
    Away { reason: String },
    /// It is there, and nobody can say whether it takes the credentials: a limit is reached.
    Limited { reason: String },
}

/// What one call found out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probed {
    pub reach: Reach,
    /// The HTTP status; `None`: no answer.
    pub status: Option<u16>,
    /// Of the whole project, in a period.
    pub limit: Option<u64>,
    pub remaining: Option<u64>,
    /// Calls of the limit that this host takes: share ÷ stores.
    pub ours: Option<u64>,
    /// What the limit counts by: `minute`, `hour`, or how little is known of it.
    pub period: &'static str,
}

/// One cheap call with the credentials that are set, or with `typed` ones. No call is made while an
/// earlier answer forbids it, or where it would be more than this host's share.
pub fn probe(config: &Config, typed: Option<&Credentials>) -> Result<Probed, Error> {
    let carrier = match typed {
        None => parts::carrier(config)?,
        Some(typed) => carrier_with(config, typed)?,
    };
    let begun = now();
    let known = standing(config, begun)?;
    let period = period(config, known.as_ref());
    let part = Part::of(&config.api);
    if let Some(limited) = known.as_ref().and_then(|known| known.limited(&part, begun)) {
        return Ok(limited.with(&part, period));
    }
    let call = Call::new(Endpoint::Probe, &[], None).query("limit=1");
    let answer = noted_call(config, carrier.as_ref(), call)?;
    let news = verdict::of_probe(&answer, now());
    let response = match &answer {
        Answer::Got(response) => Some(response),
        Answer::None(_) | Answer::NoCredentials(_) => None,
    };
    let limits = response.map(|response| &response.limits);
    let probed = Probed {
        reach: reach(news, response),
        status: response.map(|response| response.status),
        limit: limits.and_then(|limits| limits.limit),
        remaining: limits.and_then(|limits| limits.remaining),
        ours: None,
        period,
    };
    Ok(probed.with(&part, period))
}

impl Probed {
    fn with(self, part: &Part, period: &'static str) -> Probed {
        Probed {
            ours: self.limit.map(|limit| part.of_limit(limit)),
            period,
            ..self
        }
    }
}

fn reach(news: LinkNews, response: Option<&Response>) -> Reach {
    match news {
        LinkNews::Fine => Reach::Reached,
        LinkNews::Refused { reason } => Reach::Refused { reason },
        LinkNews::Exhausted { reason, .. } => Reach::Limited { reason },
        LinkNews::Limited { .. } => Reach::Limited {
            reason: match response {
                Some(response) => format!(
                    "{}: the project's rate limit is reached for now",
                    response.status
                ),
                None => "the project's rate limit is reached for now".to_owned(),
            },
        },
        LinkNews::Away { reason } => Reach::Away { reason },
    }
}

/// What the store remembers of the limit, and what was spent of it.
struct Known {
    standing: flight::Standing,
    spent: Vec<(i64, Purse, i64)>,
}

impl Known {
    /// Why no call may be made now.
    fn limited(&self, part: &Part, now: i64) -> Option<Probed> {
        let kept = self.standing.budget.clone();
        let api = kept.api.clone();
        let budget = Budget::new(part.clone(), kept, &self.spent, now);
        let reason = match budget.room(Purse::Api, now) {
            Room::Now(_) | Room::AfterAnswer => return None,
            Room::At(until) => {
                let seconds = (until - now).max(0) / 1000 + 1;
                format!(
                    "this host's share of the rate limit is spent for another {seconds} s, so nothing was asked"
                )
            }
            Room::Never => {
                "`share` and `stores` leave this host no call at all, so nothing was asked"
                    .to_owned()
            }
        };
        Some(Probed {
            reach: Reach::Limited { reason },
            status: None,
            limit: api.limit,
            remaining: api.remaining,
            ours: None,
            period: "",
        })
    }
}

/// Why a command may make no call now.
pub(super) fn limited(config: &Config) -> Result<Option<String>, Error> {
    let begun = now();
    let part = Part::of(&config.api);
    let limited = standing(config, begun)?.and_then(|known| known.limited(&part, begun));
    Ok(limited.and_then(|probed| match probed.reach {
        Reach::Limited { reason } => Some(reason),
        _ => None,
    }))
}

fn standing(config: &Config, now: i64) -> Result<Option<Known>, store::Error> {
    let Some(reader) = Store::look(&config.state_dir)? else {
        return Ok(None);
    };
    Ok(Some(Known {
        standing: flight::standing(&reader, now)?,
        spent: flight::spent(&reader, now)?,
    }))
}

/// How an erasing at the remote ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Erasing {
    /// It holds the record no more.
    Done,
    /// The API knows no deletion of such a record, or its key cannot be written into an address.
    Impossible { reason: String },
    /// The API would not: its code.
    Refused { code: String },
    /// No answer, or a limit: it may be tried again.
    Later { reason: String },
    /// It refused the credentials.
    Credentials { reason: String },
}

/// Deletes a record at the remote: customers for good, also out of its bin.
pub fn erase(config: &Config, kind: Kind, key: &str, person: &Person) -> Result<Erasing, Error> {
    let Some(call) = erasing(kind, key, person) else {
        let reason = match kind {
            Kind::Orders => "the API knows no deletion of an order",
            _ => "what names it cannot stand in an address",
        };
        return Ok(Erasing::Impossible {
            reason: reason.to_owned(),
        });
    };
    if let Some(reason) = limited(config)? {
        return Ok(Erasing::Later { reason });
    }
    let carrier = parts::carrier(config)?;
    let answer = noted_call(config, carrier.as_ref(), call)?;
    let verdict = verdict::of(&Wanted::Delete, &answer, now());
    Ok(match (verdict.outcome, verdict.link) {
        (Outcome::Acknowledged { .. }, _) => Erasing::Done,
        (_, LinkNews::Refused { reason }) => Erasing::Credentials { reason },
        (_, LinkNews::Away { reason } | LinkNews::Exhausted { reason, .. }) => {
            Erasing::Later { reason }
        }
        (Outcome::Refused(refusal), LinkNews::Fine) => Erasing::Refused { code: refusal.code },
        (Outcome::Again { code }, _) => Erasing::Later { reason: code },
        (_, LinkNews::Limited { .. }) => Erasing::Later {
            reason: "the project's rate limit is reached for now".to_owned(),
        },
        (_, LinkNews::Fine) => Erasing::Later {
            reason: "the answer said nothing certain".to_owned(),
        },
    })
}

fn erasing(kind: Kind, key: &str, person: &Person) -> Option<Call> {
    let place = |key: &str| match segment(key) {
        PathKey::Segment(segment) => Some(segment),
        PathKey::Unsendable => None,
    };
    let id = place(key).or_else(|| place(person.remote_id.as_deref()?))?;
    Some(match kind {
        Kind::Customers => Call::new(Endpoint::CustomerErase, &[&id], None),
        Kind::Products => Call::new(Endpoint::ProductDelete, &[&id], None),
        Kind::Skus => {
            let product = place(person.product.as_deref()?)?;
            Call::new(Endpoint::SkuDelete, &[&product, &id], None)
        }
        Kind::Orders => return None,
    })
}

/// The limit that the remote last told, in calls a period.
pub fn last_limit(reader: &store::Connection) -> Result<Option<u64>, store::Error> {
    Ok(flight::standing(reader, now())?.budget.api.limit)
}

fn period(config: &Config, known: Option<&Known>) -> &'static str {
    match (config.api.period, known) {
        (Period::Minute, _) => "minute",
        (Period::Hour, _) => "hour",
        (Period::Auto, Some(known)) if known.standing.budget.api.refills == Refills::Minutely => {
            "minute"
        }
        (Period::Auto, _) => "minute (or hour: what comes back will tell)",
    }
}

/// The way with credentials that are not stored yet.
fn carrier_with(config: &Config, typed: &Credentials) -> Result<Arc<dyn Carrier>, Error> {
    let typed = typed.clone();
    let source = move || {
        Ok(remote::Credentials {
            app_id: typed.app_id.clone(),
            app_token: typed.app_token.clone(),
        })
    };
    parts::carrier_from(config, Box::new(source))
}

/// Sends one call and waits for its answer.
pub(super) fn noted_call(
    config: &Config,
    carrier: &dyn Carrier,
    call: Call,
) -> Result<Answer, Error> {
    // What cannot be noted is one call of many, and no reason to find out nothing.
    let store = match Store::look(&config.state_dir) {
        Ok(Some(_)) => Store::open(&config.state_dir).ok(),
        _ => None,
    };
    let endpoint = call.endpoint;
    let at = now();
    let request = store.as_ref().and_then(|store| {
        let request = NewRequest {
            flight: None,
            endpoint,
            records: 0,
            at,
        };
        store.write(move |c| flight::begin_request(c, request)).ok()
    });
    let left = Instant::now();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(io_error)?;
    let answer = runtime.block_on(carrier.send(call));
    if let (Some(store), Some(request)) = (store, request) {
        let (status, verdict) = match &answer {
            Answer::Got(response) if (200..300).contains(&response.status) => {
                (Some(response.status), "up")
            }
            // Asked and told: there is none.
            Answer::Got(response)
                if response.status == 404 && endpoint.method() == crate::wire::Method::Get =>
            {
                (Some(404), "absent")
            }
            Answer::Got(response) => (Some(response.status), "refused"),
            Answer::None(_) | Answer::NoCredentials(_) => (None, "away"),
        };
        let ended = Ended {
            request,
            status,
            verdict,
            request_id: None,
            duration_ms: left.elapsed().as_millis() as i64,
        };
        let _ = store.write(move |c| flight::conclude_request(c, &ended));
    }
    Ok(answer)
}
