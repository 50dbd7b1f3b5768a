//! The steps of an export: it is ordered, asked for until it is made, and fetched where it lies.
//!
//! Knows which call comes next and what its answer means for the next step; sends nothing, and keeps
//! nothing but the step. What is in the file is known to whoever wanted it.

use crate::kind::Kind;
use crate::remote::NotFetched;
use crate::wire::{self, Answer, Call, Endpoint, ExportState, PathKey, segment};

/// The first question comes after so long; each wait is two and a half of the one before, up to the
/// second: an audit may ask but six times.
const POLL_MS: i64 = 500;
const POLL_MS_MAX: i64 = 12_000;

/// An export of some kind, as far as it has come.
pub struct Walk {
    kind: Kind,
    fields: &'static [&'static str],
    stage: Stage,
    polls: u32,
    /// The next call goes not before then, UTC milliseconds.
    next: i64,
}

enum Stage {
    Unasked,
    Ordered(Order),
    Ready {
        order: Order,
        address: String,
        /// It was refused without credentials.
        again: bool,
    },
}

/// An export that was ordered; kept in the store by whoever cannot await it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Order {
    pub id: String,
    /// When, UTC milliseconds: what was told to the remote after that may not be in it.
    pub at: i64,
}

/// What comes next.
pub enum Errand {
    WaitUntil(i64),
    /// To be answered to `told`.
    Call(Call),
    /// To be answered to `not_fetched`, if it fails.
    Fetch {
        address: String,
        again: bool,
    },
    /// The export's id is none that an address could hold.
    Nowhere,
}

/// What an answer meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    On,
    /// The remote could not make it.
    Failed,
    /// It was no answer of an export; the step is still to be taken.
    Nothing,
}

impl Walk {
    pub fn new(kind: Kind, fields: &'static [&'static str]) -> Walk {
        Walk {
            kind,
            fields,
            stage: Stage::Unasked,
            polls: 0,
            next: i64::MIN,
        }
    }

    /// Takes up an order of before.
    pub fn resumed(kind: Kind, fields: &'static [&'static str], order: Order) -> Walk {
        Walk {
            stage: Stage::Ordered(order),
            ..Walk::new(kind, fields)
        }
    }

    /// `None`: it was not ordered yet.
    pub fn order(&self) -> Option<&Order> {
        match &self.stage {
            Stage::Unasked => None,
            Stage::Ordered(order) | Stage::Ready { order, .. } => Some(order),
        }
    }

    /// When the next call may go.
    pub fn due(&self) -> i64 {
        self.next
    }

    pub fn errand(&self, now: i64) -> Errand {
        match &self.stage {
            _ if self.next > now => Errand::WaitUntil(self.next),
            Stage::Unasked => {
                let body = wire::export(self.kind, self.fields).into_bytes();
                Errand::Call(Call::new(Endpoint::ExportNew, &[], Some(body)))
            }
            Stage::Ordered(order) => match segment(&order.id) {
                PathKey::Segment(id) => Errand::Call(Call::new(Endpoint::ExportRead, &[&id], None)),
                PathKey::Unsendable => Errand::Nowhere,
            },
            Stage::Ready { address, again, .. } => Errand::Fetch {
                address: address.clone(),
                again: *again,
            },
        }
    }

    /// `left`: when the call went.
    pub fn told(&mut self, answer: &Answer, left: i64, now: i64) -> Told {
        let export = match answer {
            Answer::Got(response) if response.status == 200 => response.export(),
            _ => None,
        };
        let Some(export) = export else {
            return Told::Nothing;
        };
        let order = match self.order() {
            Some(order) => order.clone(),
            None => Order {
                id: export.id,
                at: left,
            },
        };
        match export.state {
            ExportState::Failed => return Told::Failed,
            ExportState::Open => {
                let wait_ms = POLL_MS as f64 * 2.5_f64.powi(self.polls.min(16) as i32);
                self.next = now + (wait_ms as i64).min(POLL_MS_MAX);
                self.polls += 1;
                self.stage = Stage::Ordered(order);
            }
            ExportState::Done { url } => {
                self.next = i64::MIN;
                self.stage = Stage::Ready {
                    order,
                    address: url,
                    again: false,
                };
            }
        }
        Told::On
    }

    /// Whether it may be fetched once more.
    pub fn not_fetched(&mut self, why: &NotFetched) -> bool {
        match (&mut self.stage, why) {
            (Stage::Ready { again, .. }, NotFetched::Bare { may: true, .. }) if !*again => {
                *again = true;
                true
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Response;

    fn answer(status: &str) -> Answer {
        let url = match status {
            "DONE" => r#"{"url":"https://h/x"}"#,
            _ => "null",
        };
        Answer::Got(Response {
            status: 200,
            body: format!(r#"{{"id":"exp_1","status":"{status}","result":{url}}}"#).into_bytes(),
            ..Response::default()
        })
    }

    fn next(walk: &Walk, now: i64) -> String {
        match walk.errand(now) {
            Errand::WaitUntil(then) => format!("wait {then}"),
            Errand::Call(call) => format!("{} {}", call.endpoint.method().name(), call.path),
            Errand::Fetch { address, again } => format!("fetch {address} {again}"),
            Errand::Nowhere => "nowhere".to_owned(),
        }
    }

    #[test]
    fn it_is_ordered_asked_for_ever_more_rarely_and_fetched() {
        let mut walk = Walk::new(Kind::Skus, &["source_id"]);
        assert_eq!(next(&walk, 0), "POST /v1/exports");
        assert_eq!(
            walk.told(&Answer::NoCredentials(String::new()), 0, 5),
            Told::Nothing
        );
        assert_eq!(next(&walk, 5), "POST /v1/exports");
        assert_eq!(walk.told(&answer("SCHEDULED"), 7, 10), Told::On);
        assert_eq!(walk.order().unwrap().at, 7);
        let mut waits = Vec::new();
        let mut now = 10;
        for _ in 0..7 {
            assert_eq!(next(&walk, now), format!("wait {}", walk.due()));
            waits.push(walk.due() - now);
            now = walk.due();
            assert_eq!(next(&walk, now), "GET /v1/exports/exp_1");
            walk.told(&answer("IN_PROGRESS"), now, now);
        }
        assert_eq!(waits, [500, 1_250, 3_125, 7_812, 12_000, 12_000, 12_000]);
        walk.told(&answer("DONE"), now, now);
        assert_eq!(next(&walk, now), "fetch https://h/x false");
        let refused = |may| NotFetched::Bare { status: 401, may };
        assert!(!walk.not_fetched(&refused(false)));
        assert!(walk.not_fetched(&refused(true)));
        assert_eq!(next(&walk, now), "fetch https://h/x true");
        assert!(!walk.not_fetched(&refused(true)), "only once");
        assert_eq!(walk.told(&answer("ERROR"), 0, 0), Told::Failed);
    }

    #[test]
    fn an_order_of_before_is_taken_up() {
        let order = |id: &str| Order {
            id: id.to_owned(),
            at: 3,
        };
        let walk = Walk::resumed(Kind::Orders, &["id"], order("exp_9"));
        assert_eq!(next(&walk, 0), "GET /v1/exports/exp_9");
        assert_eq!(walk.order(), Some(&order("exp_9")));
        let walk = Walk::resumed(Kind::Orders, &["id"], order(".."));
        assert_eq!(next(&walk, 0), "nowhere");
    }
}
