//! Whose store: what was acknowledged by one project is never sent to another without a person's word.
//!
//! A project is known by its address and app id. Another app id is the same project if two of our
//! acknowledged records are found there by the API's own ids.

use std::collections::HashSet;

use super::{Cargo, Loop};
use crate::budget::Room;
use crate::kind::Kind;
use crate::store::Result;
use crate::store::flight::{self, Witness};
use crate::verdict::{LinkNews, object_name, of_probe};
use crate::wire::{Answer, Call, Endpoint, PathKey, Purse, segment};

/// What the loop has found out.
#[derive(Default)]
pub(super) struct Identity {
    /// This one is the store's.
    sure: Option<String>,
    /// Keys of records that another app id holds, too.
    seen: HashSet<String>,
}

const FOREIGN: &str = "the credentials are another project's than the one that acknowledged this \
store's records; nothing is sent until `tillsync rebind`, or until the former credentials are back";

impl Loop {
    /// Whether the credentials are the store's project's. Asks for witnesses where that is in doubt.
    pub(super) fn is_ours(&mut self, now: i64) -> Result<bool> {
        // Without credentials the call itself says so.
        let Some(project) = self.carrier.project() else {
            return Ok(true);
        };
        if self.identity.sure.as_ref() == Some(&project) {
            return Ok(true);
        }
        let known = flight::project(&self.reader)?;
        let (witnesses, any) = flight::witnesses(&self.reader)?;
        if known.as_ref() == Some(&project) || !any {
            return self.adopt(project).map(|()| true);
        }
        // Records from before the project was noted: the first one is theirs.
        if known.is_none() {
            return self.adopt(project).map(|()| true);
        }
        let asked = self.identity.seen.len();
        if witnesses.len() == 2 && asked == 2 {
            return self.adopt(project).map(|()| true);
        }
        if witnesses.len() < 2 {
            self.foreign(now)?;
            return Ok(false);
        }
        let next = witnesses
            .into_iter()
            .find(|w| !self.identity.seen.contains(&w.key));
        if let Some(witness) = next
            && self.air.is_empty()
            && matches!(self.budget.room(Purse::Api, now), Room::Now(_))
        {
            self.ask(witness, now)?;
        }
        Ok(false)
    }

    fn adopt(&mut self, project: String) -> Result<()> {
        self.identity = Identity {
            sure: Some(project.clone()),
            ..Identity::default()
        };
        self.store.write(move |c| flight::set_project(c, &project))
    }

    fn foreign(&mut self, now: i64) -> Result<()> {
        tracing::warn!("{FOREIGN}");
        self.identity = Identity::default();
        self.store.write(move |c| {
            let rebind = flight::Rebind {
                at: now,
                message: FOREIGN.to_owned(),
                of_project: true,
            };
            flight::demand_rebind(c, &rebind)
        })
    }

    /// Whether the demand for `rebind` still stands: it falls when the former credentials are back.
    pub(super) fn stands(&mut self, rebind: &flight::Rebind) -> Result<bool> {
        if !rebind.of_project {
            return Ok(true);
        }
        self.carrier.reread();
        let project = self.carrier.project();
        if project.is_none() || project != flight::project(&self.reader)? {
            return Ok(true);
        }
        self.adopt(project.unwrap_or_default()).map(|()| false)
    }

    fn ask(&mut self, witness: Witness, now: i64) -> Result<()> {
        let endpoint = match witness.kind {
            Kind::Customers => Endpoint::CustomerRead,
            Kind::Products | Kind::Skus => Endpoint::ProductRead,
            Kind::Orders => Endpoint::OrderRead,
        };
        let PathKey::Segment(id) = segment(&witness.remote_id) else {
            return self.foreign(now);
        };
        let request = self.note(None, endpoint, now)?;
        let cargo = Cargo::Witness(witness);
        self.fly(Call::new(endpoint, &[&id], None), (request, now), cargo);
        Ok(())
    }

    pub(super) fn witness_heard(
        &mut self,
        witness: &Witness,
        (request, left): (i64, i64),
        answer: &Answer,
    ) -> Result<()> {
        let made = match answer {
            Answer::Got(response) if response.status == 200 => {
                response.made(object_name(witness.kind))
            }
            _ => None,
        };
        let missing = matches!(answer, Answer::Got(r) if r.status == 404 && r.fault().is_some());
        let ours = made.is_some_and(|made| {
            made.id == witness.remote_id && made.source_id.as_ref() == Some(&witness.key)
        });
        let (link, word) = match (ours, missing) {
            (true, _) => (LinkNews::Fine, "same project"),
            (_, true) => (LinkNews::Fine, "another project"),
            _ => (of_probe(answer, self.now()), "unknown"),
        };
        let after = self.after(request, left, answer, word, &link, None);
        let now = after.now;
        self.store.write(move |c| after.store(c))?;
        if ours {
            self.identity.seen.insert(witness.key.clone());
        } else if missing {
            self.foreign(now)?;
        }
        Ok(())
    }
}
