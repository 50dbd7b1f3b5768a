//! Which SKUs the remote has: found out by an export before any goes by CSV.
//!
//! Kept in memory alone, and only for some minutes: after a start it is found out anew. Whatever goes
//! wrong costs calls, never a record: the SKUs go singly then.

use std::sync::Arc;

use super::export::{Errand, Told, Walk};
use super::{Cargo, InAir, Loop};
use crate::kind::Kind;
use crate::plan::Listing;
use crate::store::Result;
use crate::store::flight::Keys;
use crate::verdict::{LinkNews, of_probe};
use crate::wire::{Answer, Endpoint, KeyColumn, NoAnswer};

/// What the remote has is believed so long.
const KNOWN_MS: i64 = 600_000;

/// An export that takes longer is given up.
const EXPORT_MS_MAX: i64 = 600_000;

/// Before it is tried again.
const UNUSABLE_MS: i64 = 3_600_000;

/// A catalogue of more SKUs is not held in memory.
const KEYS_MAX: usize = 1_000_000;

pub(super) enum Catalogue {
    /// Not known, or being found out.
    Asking(Walk),
    InAir,
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
pub(super) struct Step {
    walk: Walk,
    fetched: Option<Fetched>,
}

enum Fetched {
    Whole(Keys),
    /// It is to be fetched once more.
    Again,
    /// Nothing usable.
    Not,
}

impl Default for Catalogue {
    fn default() -> Catalogue {
        Catalogue::Asking(Walk::new(Kind::Skus, &["source_id"]))
    }
}

impl Catalogue {
    pub fn listing(&self) -> Listing {
        match self {
            Catalogue::Asking(walk) => Listing::Step(walk.due()),
            Catalogue::InAir => Listing::InAir,
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
        let within = |from: i64, ms: i64| (from..from + ms).contains(&now);
        let next = match self {
            Catalogue::Known { at, .. } if !within(*at, KNOWN_MS) => Catalogue::default(),
            Catalogue::Unusable { until } if !within(*until - UNUSABLE_MS, UNUSABLE_MS) => {
                Catalogue::default()
            }
            Catalogue::Asking(walk)
                if (walk.order()).is_some_and(|order| !within(order.at, EXPORT_MS_MAX)) =>
            {
                Catalogue::unusable(now)
            }
            _ => return,
        };
        *self = next;
    }

    pub fn unusable(now: i64) -> Catalogue {
        Catalogue::Unusable {
            until: now + UNUSABLE_MS,
        }
    }
}

impl Loop {
    pub(super) fn take_stock(&mut self, now: i64) -> Result<bool> {
        let Catalogue::Asking(walk) = &self.catalogue else {
            return Ok(false);
        };
        let call = match walk.errand(now) {
            Errand::WaitUntil(_) => return Ok(false),
            Errand::Fetch { address, again } => return self.fetch(address, again, now),
            Errand::Call(call) => call,
            Errand::Nowhere => {
                self.catalogue = Catalogue::unusable(now);
                return Ok(true);
            }
        };
        let request = self.note(None, call.endpoint, now)?;
        if let Some(walk) = self.asking() {
            let step = Step {
                walk,
                fetched: None,
            };
            self.fly(call, (request, now), Cargo::Catalogue(step));
        }
        Ok(true)
    }

    /// Takes the walk along on a call.
    fn asking(&mut self) -> Option<Walk> {
        match std::mem::replace(&mut self.catalogue, Catalogue::InAir) {
            Catalogue::Asking(walk) => Some(walk),
            other => {
                self.catalogue = other;
                None
            }
        }
    }

    fn fetch(&mut self, address: String, again: bool, now: i64) -> Result<bool> {
        let request = self.note(None, Endpoint::ExportFile, now)?;
        let Some(mut walk) = self.asking() else {
            return Ok(false);
        };
        self.spend(request, Endpoint::ExportFile, now);
        let carrier = self.carrier.clone();
        self.air.spawn(async move {
            let mut keys = Keys::default();
            let mut column = KeyColumn::default();
            let answer = {
                let mut sink = |piece: &[u8]| {
                    let told = column.feed(piece, &mut |key| keys.insert(key));
                    match told.is_ok() && keys.len() <= KEYS_MAX {
                        true => Ok(()),
                        false => Err(std::io::ErrorKind::InvalidData.into()),
                    }
                };
                carrier.fetch(&address, again, &mut sink).await
            };
            let whole = matches!(&answer, Ok(Answer::Got(response)) if response.status == 200)
                && column.finish(&mut |key| keys.insert(key)).is_ok();
            let fetched = match &answer {
                _ if whole => Fetched::Whole(keys),
                Err(why) if walk.not_fetched(why) => Fetched::Again,
                _ => Fetched::Not,
            };
            // It lies elsewhere, or is not what was asked for: nothing of the link's.
            let answer = answer.unwrap_or_else(|_| {
                Answer::None(NoAnswer {
                    left: false,
                    why: "the export could not be used".into(),
                })
            });
            let fetched = Some(fetched);
            let in_air = InAir {
                request,
                left: now,
                cargo: Cargo::Catalogue(Step { walk, fetched }),
            };
            (in_air, answer)
        });
        Ok(true)
    }

    pub(super) fn stock_told(
        &mut self,
        Step { mut walk, fetched }: Step,
        (request, left): (i64, i64),
        answer: &Answer,
    ) -> Result<()> {
        let told = match &fetched {
            None => walk.told(answer, left, self.now()),
            Some(Fetched::Whole(_) | Fetched::Again) => Told::On,
            Some(Fetched::Not) => Told::Nothing,
        };
        let refused = matches!(answer, Answer::Got(response)
            if matches!(response.status, 400 | 404 | 405 | 409 | 410 | 422) && response.fault().is_some());
        let link = match told != Told::Nothing || refused || fetched.is_some() {
            true => LinkNews::Fine,
            false => of_probe(answer, self.now()),
        };
        let word = match (told, &fetched) {
            (Told::Nothing, _) | (_, Some(Fetched::Again)) => "unknown",
            _ => "told",
        };
        let after = self.after(request, left, answer, word, &link, None);
        let now = after.now;
        self.store.write(move |c| after.store(c))?;
        let since = walk.order().map_or(now, |order| order.at);
        self.catalogue = match (told, fetched) {
            (Told::On, Some(Fetched::Whole(keys))) => Catalogue::Known {
                keys: Arc::new(keys),
                at: since,
            },
            (Told::On, _) => Catalogue::Asking(walk),
            // The link waits; then the same again.
            (Told::Nothing, None) if link != LinkNews::Fine => Catalogue::Asking(walk),
            _ => Catalogue::unusable(now),
        };
        Ok(())
    }
}
