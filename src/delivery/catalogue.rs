//! Which SKUs the remote has: found out by an export before any goes by CSV.
//!
//! Kept in memory alone, and only for some minutes: after a start it is found out anew. Whatever goes
//! wrong costs calls, never a record: the SKUs go singly then.

use std::sync::Arc;

use super::{Cargo, InAir, Loop};
use crate::kind::Kind;
use crate::plan::Listing;
use crate::store::Result;
use crate::store::flight::Keys;
use crate::verdict::{LinkNews, of_probe};
use crate::wire::{
    self, Answer, Call, Endpoint, ExportState, KeyColumn, NoAnswer, PathKey, segment,
};

/// What the remote has is believed so long.
const KNOWN_MS: i64 = 600_000;

/// An export that takes longer is given up.
const EXPORT_MS_MAX: i64 = 600_000;

/// Before it is tried again.
const UNUSABLE_MS: i64 = 3_600_000;

/// The first question comes after so long; then it doubles.
const POLL_MS: i64 = 500;
const POLL_MS_MAX: i64 = 10_000;

/// A catalogue of more SKUs is not held in memory.
const KEYS_MAX: usize = 1_000_000;

#[derive(Default)]
pub(super) enum Catalogue {
    #[default]
    Unasked,
    InAir,
    /// The export is being made. `since`: when it was ordered.
    Ordered {
        id: String,
        since: i64,
        polls: u32,
        next: i64,
    },
    Ready {
        address: String,
        since: i64,
    },
    /// As it was at that time.
    Known {
        keys: Arc<Keys>,
        at: i64,
    },
    Unusable {
        until: i64,
    },
}

/// The step that a call takes.
pub(super) enum Step {
    Order,
    Ask {
        id: String,
        since: i64,
        polls: u32,
    },
    /// With what came of it; `None`: nothing usable.
    Fetch {
        since: i64,
        keys: Option<Keys>,
    },
}

impl Catalogue {
    pub fn listing(&self) -> Listing {
        match self {
            Catalogue::Unasked | Catalogue::Ready { .. } => Listing::Step(i64::MIN),
            Catalogue::InAir => Listing::InAir,
            Catalogue::Ordered { next, .. } => Listing::Step(*next),
            Catalogue::Known { .. } => Listing::Known,
            Catalogue::Unusable { .. } => Listing::Unusable,
        }
    }

    pub fn keys(&self) -> Option<Arc<Keys>> {
        match self {
            Catalogue::Known { keys, .. } => Some(keys.clone()),
            _ => None,
        }
    }

    /// What is too old is forgotten.
    pub fn age(&mut self, now: i64) {
        let over = match self {
            Catalogue::Known { at, .. } => !(*at..*at + KNOWN_MS).contains(&now),
            Catalogue::Unusable { until } => !(*until - UNUSABLE_MS..*until).contains(&now),
            Catalogue::Ordered { since, .. } | Catalogue::Ready { since, .. } => {
                if !(*since..*since + EXPORT_MS_MAX).contains(&now) {
                    *self = Catalogue::unusable(now);
                }
                false
            }
            Catalogue::Unasked | Catalogue::InAir => false,
        };
        if over {
            *self = Catalogue::Unasked;
        }
    }

    pub fn unusable(now: i64) -> Catalogue {
        Catalogue::Unusable {
            until: now + UNUSABLE_MS,
        }
    }
}

impl Loop {
    pub(super) fn take_stock(&mut self, now: i64) -> Result<bool> {
        let (call, step) = match std::mem::take(&mut self.catalogue) {
            Catalogue::Unasked => {
                let body = wire::export(Kind::Skus, &["source_id"]);
                let call = Call::new(Endpoint::ExportNew, &[], Some(body.into_bytes()));
                (call, Step::Order)
            }
            Catalogue::Ordered {
                id, since, polls, ..
            } => match segment(&id) {
                PathKey::Segment(path) => (
                    Call::new(Endpoint::ExportRead, &[&path], None),
                    Step::Ask { id, since, polls },
                ),
                PathKey::Unsendable => {
                    self.catalogue = Catalogue::unusable(now);
                    return Ok(true);
                }
            },
            Catalogue::Ready { address, since } => return self.fetch(address, since, now),
            other => {
                self.catalogue = other;
                return Ok(false);
            }
        };
        let request = self.note(None, call.endpoint, now)?;
        self.catalogue = Catalogue::InAir;
        let cargo = Cargo::Catalogue(step);
        self.fly(call, (request, now), cargo);
        Ok(true)
    }

    fn fetch(&mut self, address: String, since: i64, now: i64) -> Result<bool> {
        let request = self.note(None, Endpoint::ExportFile, now)?;
        self.catalogue = Catalogue::InAir;
        self.spend(request, Endpoint::ExportFile, now);
        let carrier = self.carrier.clone();
        self.air.spawn(async move {
            let mut keys = Keys::default();
            let mut column = KeyColumn::default();
            let fetched = {
                let mut sink = |piece: &[u8]| {
                    let told = column.feed(piece, &mut |key| keys.insert(key));
                    match told.is_ok() && keys.len() <= KEYS_MAX {
                        true => Ok(()),
                        false => Err(std::io::ErrorKind::InvalidData.into()),
                    }
                };
                carrier.fetch(&address, &mut sink).await
            };
            let whole = matches!(&fetched, Ok(Answer::Got(response)) if response.status == 200)
                && column.finish(&mut |key| keys.insert(key)).is_ok();
            let keys = whole.then_some(keys);
            // It lies elsewhere, or is not what was asked for: nothing of the link's.
            let answer = fetched.unwrap_or_else(|_| {
                Answer::None(NoAnswer {
                    left: false,
                    why: "the export could not be used".into(),
                })
            });
            let cargo = Cargo::Catalogue(Step::Fetch { since, keys });
            let in_air = InAir {
                request,
                left: now,
                cargo,
            };
            (in_air, answer)
        });
        Ok(true)
    }

    pub(super) fn stock_told(
        &mut self,
        step: Step,
        (request, left): (i64, i64),
        answer: &Answer,
    ) -> Result<()> {
        let response = match answer {
            Answer::Got(response) => Some(response),
            Answer::None(_) | Answer::NoCredentials(_) => None,
        };
        let export = response
            .filter(|response| response.status == 200)
            .and_then(|response| response.export());
        let refused = response.is_some_and(|response| {
            matches!(response.status, 400 | 404 | 405 | 409 | 410 | 422)
                && response.fault().is_some()
        });
        let fetched = matches!(step, Step::Fetch { .. });
        let usable = match &step {
            Step::Fetch { keys, .. } => keys.is_some(),
            Step::Order | Step::Ask { .. } => export.is_some(),
        };
        let link = match usable || refused || fetched {
            true => LinkNews::Fine,
            false => of_probe(answer, self.now()),
        };
        let word = if usable { "told" } else { "unknown" };
        let after = self.after(request, left, answer, word, &link, None);
        let now = after.now;
        self.store.write(move |c| after.store(c))?;
        self.catalogue = match (step, export) {
            (
                Step::Fetch {
                    since,
                    keys: Some(keys),
                },
                _,
            ) => Catalogue::Known {
                keys: Arc::new(keys),
                at: since,
            },
            (Step::Fetch { keys: None, .. }, _) => Catalogue::unusable(now),
            (step, Some(export)) => {
                let (since, polls) = match step {
                    Step::Ask { since, polls, .. } => (since, polls + 1),
                    _ => (left, 0),
                };
                match export.state {
                    ExportState::Open => Catalogue::Ordered {
                        id: export.id,
                        since,
                        polls,
                        next: now + (POLL_MS << polls.min(16)).min(POLL_MS_MAX),
                    },
                    ExportState::Done { url } => Catalogue::Ready {
                        address: url,
                        since,
                    },
                    ExportState::Failed => Catalogue::unusable(now),
                }
            }
            // The link waits; then the same again.
            (Step::Ask { id, since, polls }, None) if link != LinkNews::Fine => {
                Catalogue::Ordered {
                    id,
                    since,
                    polls,
                    next: now,
                }
            }
            (Step::Order, None) if link != LinkNews::Fine => Catalogue::Unasked,
            _ => Catalogue::unusable(now),
        };
        Ok(())
    }
}
