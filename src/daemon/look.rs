//! What the remote holds of one record, asked by a command: its object and, of a customer, the newest
//! of its activity.
//!
//! Knows the calls and what their answers mean; shows nothing.

use serde_json::Value;

use super::online::{limited, noted_call};
use super::{Error, now, parts};
use crate::config::Config;
use crate::kind::Kind;
use crate::remote::Carrier;
use crate::verdict::{self, LinkNews};
use crate::wire::{Answer, Call, Endpoint, PathKey, Response, segment};

/// Of a customer's activity, newest first.
const EVENTS: &str = "limit=50";

/// What was found.
#[derive(Clone, Debug, PartialEq)]
pub enum Found {
    /// The object as the API shows it; of a customer also events, each as the API shows it.
    There {
        asked: Asked,
        object: Value,
        activity: Vec<Value>,
    },
    NotThere {
        asked: Asked,
    },
    /// Nobody can say now: no answer, or a limit.
    Later {
        reason: String,
    },
    /// It refused the credentials, or there are none.
    Refused {
        reason: String,
    },
}

/// The call that asked for the object, and when it was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// UTC milliseconds.
    pub at: i64,
    pub endpoint: Endpoint,
    pub status: u16,
}

/// Asks for a record by its `source_id`. No call is made where it would be more than this host's share.
pub fn look(config: &Config, kind: Kind, key: &str) -> Result<Found, Error> {
    let PathKey::Segment(id) = segment(key) else {
        return Ok(Found::Later {
            reason: "what names it cannot stand in an address".to_owned(),
        });
    };
    let endpoint = match kind {
        Kind::Customers => Endpoint::CustomerRead,
        Kind::Products => Endpoint::ProductRead,
        Kind::Skus => Endpoint::SkuRead,
        Kind::Orders => Endpoint::OrderRead,
    };
    let carrier = parts::carrier(config)?;
    let response = match ask(config, carrier.as_ref(), Call::new(endpoint, &[&id], None))? {
        Ok(response) => response,
        Err(found) => return Ok(found),
    };
    let asked = Asked {
        at: now(),
        endpoint,
        status: response.status,
    };
    let Some(object) = response.object().filter(|_| response.status == 200) else {
        return Ok(Found::NotThere { asked });
    };
    let mut activity = Vec::new();
    if kind == Kind::Customers {
        let call = Call::new(Endpoint::CustomerActivity, &[&id], None).query(EVENTS);
        match ask(config, carrier.as_ref(), call)? {
            Ok(response) => activity = response.rows().unwrap_or_default(),
            Err(found) => return Ok(found),
        }
    }
    Ok(Found::There {
        asked,
        object,
        activity,
    })
}

/// An answer of the API's own, or why there is none.
fn ask(
    config: &Config,
    carrier: &dyn Carrier,
    call: Call,
) -> Result<Result<Response, Found>, Error> {
    if let Some(reason) = limited(config)? {
        return Ok(Err(Found::Later { reason }));
    }
    let answer = noted_call(config, carrier, call)?;
    Ok(match (verdict::of_read(&answer, now()), answer) {
        (LinkNews::Refused { reason }, _) => Err(Found::Refused { reason }),
        (LinkNews::Fine, Answer::Got(response)) => Ok(response),
        (LinkNews::Away { reason } | LinkNews::Exhausted { reason, .. }, _) => {
            Err(Found::Later { reason })
        }
        (LinkNews::Limited { .. } | LinkNews::Fine, _) => Err(Found::Later {
            reason: "the project's rate limit is reached for now".to_owned(),
        }),
    })
}
