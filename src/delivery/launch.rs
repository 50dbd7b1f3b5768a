//! A decided step is noted in the store, then sent.

use std::sync::atomic::Ordering;

use super::calls::{self, Carriage};
use super::{Cargo, InAir, Loop};
use crate::kind::Kind;
use crate::plan::{Channel, Cut, Next, Taken, bulk_endpoint, metadata_endpoint};
use crate::store::Result;
use crate::store::flight::{self, Candidate, NewRequest};
use crate::verdict::Wanted;
use crate::wire::{self, BODY_BYTES_MAX, Call, Endpoint, PathKey, segment};

/// A body of many that is being filled.
struct Body {
    cut: Cut,
    /// With commas between, or as rows.
    items: String,
}

impl Loop {
    /// `false`: nothing came of it.
    pub(super) fn launch(&mut self, next: Next, now: i64) -> Result<bool> {
        match next {
            Next::Probe => self.probe(now),
            Next::Schemas => self.ask_schemas(now),
            Next::Poll { flight } => self.poll(flight, now),
            Next::Singles {
                kind,
                most,
                upserts,
                spare,
            } => self.singles(kind, most, (upserts, spare), now),
            Next::Listing => self.take_stock(now),
            Next::Line => self.ask_line(now),
            Next::Body {
                kind,
                channel,
                body,
            } => self.body(kind, channel, body, now),
            Next::SleepUntil(_) | Next::Idle => Ok(false),
        }
    }

    /// Sends a call that was noted; `left`: UTC milliseconds.
    pub(super) fn fly(&mut self, call: Call, (request, left): (i64, i64), cargo: Cargo) {
        self.spend(request, call.endpoint, left);
        let in_air = InAir {
            request,
            left: self.time.steady(left),
            cargo,
        };
        let carrier = self.carrier.clone();
        self.air.spawn(async move {
            let answer = carrier.send(call).await;
            (in_air, answer)
        });
    }

    pub(super) fn spend(&mut self, request: i64, endpoint: Endpoint, now: i64) {
        self.budget.spend(request, endpoint.purse(), now);
        self.wake.pulse.calls.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn note(&self, flight: Option<i64>, endpoint: Endpoint, now: i64) -> Result<i64> {
        self.store.write(move |c| {
            let request = NewRequest {
                flight,
                endpoint,
                records: 0,
                at: now,
            };
            flight::begin_request(c, request)
        })
    }

    fn probe(&mut self, now: i64) -> Result<bool> {
        let request = self.note(None, Endpoint::Probe, now)?;
        let call = Call::new(Endpoint::Probe, &[], None).query("limit=1");
        let cargo = Cargo::Probe;
        self.fly(call, (request, now), cargo);
        Ok(true)
    }

    fn ask_schemas(&mut self, now: i64) -> Result<bool> {
        let request = self.note(None, Endpoint::MetadataSchemas, now)?;
        self.schemas = None;
        let cargo = Cargo::Schemas;
        self.fly(
            Call::new(Endpoint::MetadataSchemas, &[], None),
            (request, now),
            cargo,
        );
        Ok(true)
    }

    fn poll(&mut self, flight: i64, now: i64) -> Result<bool> {
        let jobs = flight::open_jobs(&self.reader)?;
        let Some(job) = jobs.into_iter().find(|job| job.flight == flight) else {
            return Ok(false);
        };
        let id = match segment(&job.remote_id) {
            PathKey::Segment(id) => id,
            // No id of a job; asking for it in vain shows that it is lost.
            PathKey::Unsendable => "-".into(),
        };
        let request = self.note(Some(flight), Endpoint::Job, now)?;
        self.asked.insert(flight);
        let cargo = Cargo::Poll { job };
        self.fly(
            Call::new(Endpoint::Job, &[&id], None),
            (request, now),
            cargo,
        );
        Ok(true)
    }

    fn singles(&mut self, kind: Kind, most: usize, which: (bool, bool), now: i64) -> Result<bool> {
        let look = self.look(now);
        let committed = self.store.write_alone(move |c| {
            flight::commit_singles(c, &look, kind, most, which, &mut calls::single)
        })?;
        let acted = committed.acts > 0;
        for single in committed.singles {
            let (call, wanted): Carriage = single.call;
            let odd = single.candidate.odd;
            let product_there = single
                .candidate
                .product
                .filter(|product| product.there)
                .map(|product| (product.key, odd));
            let cargo = Cargo::Single {
                flight: single.flight,
                wanted,
                attempts: single.candidate.attempts,
                product_there,
            };
            self.fly(call, (single.request, now), cargo);
        }
        Ok(acted)
    }

    fn body(&mut self, kind: Kind, channel: Channel, half: Option<i64>, now: i64) -> Result<bool> {
        let Some(endpoint) = bulk_endpoint(kind) else {
            return Ok(false);
        };
        let look = self.look(now);
        // A half goes as it is: it was cut already.
        let bytes_max = match half {
            Some(_) => BODY_BYTES_MAX,
            None => self.bytes_max,
        };
        let (took_off, endpoint, json) = self.store.write_alone(move |c| {
            let change = match (metadata_endpoint(kind), channel, half) {
                (Some(_), Channel::Bulk, None) => {
                    let mut bytes = |candidate: &Candidate| calls::item(candidate).len();
                    flight::shared_change(c, &look, kind, bytes_max, &mut bytes)?
                }
                _ => None,
            };
            let (channel, endpoint) = match (&change, metadata_endpoint(kind)) {
                (Some(_), Some(endpoint)) => (Channel::Metadata, endpoint),
                _ => (channel, endpoint),
            };
            let change = change.as_deref();
            let mut body = Body {
                cut: Cut::new(channel, bytes_max)
                    .beside(change.map_or(0, wire::metadata_frame_bytes)),
                items: String::new(),
            };
            let comma = if channel == Channel::Csv { "" } else { "," };
            let mut take = |candidate: &Candidate| {
                let item = match channel {
                    Channel::Metadata => wire::metadata_key(&candidate.key),
                    _ => calls::item(candidate),
                };
                let taken = body.cut.take(item.len());
                if taken == Taken::Yes {
                    body.items
                        .push_str(if body.items.is_empty() { "" } else { comma });
                    body.items.push_str(&item);
                }
                taken
            };
            let which = (half, change);
            let took_off =
                flight::commit_body(c, &look, (kind, channel), which, endpoint, &mut take)?;
            let json = match (channel, change) {
                (Channel::Csv, _) => wire::skus_csv(&body.items),
                (_, Some(change)) => wire::metadata_call(&body.items, change),
                _ => {
                    body.items.insert(0, '[');
                    body.items.push(']');
                    body.items
                }
            };
            Ok((took_off, endpoint, json))
        })?;
        let Some(took_off) = took_off else {
            return Ok(false);
        };
        self.bodies_in_air += 1;
        let cargo = Cargo::Body {
            kind,
            flight: took_off.begun.flight,
            bytes: json.len(),
            records: took_off.records,
            attempts: took_off.attempts,
        };
        self.fly(
            Call::new(endpoint, &[], Some(json.into_bytes())),
            (took_off.begun.request, now),
            cargo,
        );
        Ok(true)
    }
}

/// What a body of many wants.
pub(super) const JOB: Wanted = Wanted::Job;
