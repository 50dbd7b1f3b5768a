//! An answer is understood and settled, all in one transaction.

use std::sync::atomic::Ordering;

use crate::store::Connection;

use super::catalogue::Catalogue;
use super::launch::JOB;
use super::{Cargo, InAir, Loop};
use crate::budget::Kept;
use crate::kind::Kind;
use crate::plan::{Link, State, backoff_ms};
use crate::store::Result;
use crate::store::flight::{self, Carried, Doubt, Ended, Fate, ItemFate, JobRow, WORKED_OFF_MS};
use crate::verdict::{self, ItemOutcome, JobNews, LinkNews, Outcome, Refusal};
use crate::wire::{Answer, BODY_BYTES_MAX, Job, JobState, Purse, metadata_types};

/// The first question for a job comes after so long; then it doubles.
const POLL_MS: i64 = 500;
const POLL_MS_MAX: i64 = 60_000;

/// So young, a job that the remote does not know may only not be known everywhere there yet.
const JOB_YOUNG_MS: i64 = 15_000;

/// What the project allows in metadata is asked daily; sooner after a question in vain.
pub(super) const SCHEMAS_MS: i64 = 86_400_000;
const SCHEMAS_AGAIN_MS: i64 = 3_600_000;

/// Tries of a record that is refused for a reason that nobody knows (API.md, Errors, last row).
const ODD_MAX: u32 = 3;

/// A body of many is not cut smaller than this for a way that breaks off.
const BYTES_MIN: usize = 64 << 10;

/// What is stored together with an answer's effect.
pub(super) struct After {
    ended: Ended,
    link: Link,
    budget: Kept,
    pub(super) now: i64,
}

impl After {
    pub(super) fn store(&self, c: &Connection) -> Result<()> {
        flight::conclude_request(c, &self.ended)?;
        flight::save(c, &self.link, &self.budget)
    }
}

impl Loop {
    pub(super) fn settle(&mut self, in_air: InAir, answer: &Answer) -> Result<()> {
        let InAir {
            request,
            left,
            cargo,
        } = in_air;
        let left = self.time.wall(left);
        match cargo {
            Cargo::Single {
                flight,
                wanted,
                attempts,
                product_there,
            } => {
                let verdict = verdict::of(&wanted, answer, self.now());
                let after = self.after(
                    request,
                    left,
                    answer,
                    verdict.word(),
                    &verdict.link,
                    Some(Purse::Api),
                );
                let vanished = matches!(verdict.outcome, Outcome::ProductMissing(_));
                let odd = product_there.as_ref().map(|(_, odd)| *odd);
                let fate = self.fate(verdict.outcome, attempts, left, odd);
                self.count(&fate);
                self.store.write(move |c| {
                    after.store(c)?;
                    // The store took it for acknowledged, and the remote does not know it.
                    if let (true, Fate::Again { .. }, Some((product, _))) =
                        (vanished, &fate, &product_there)
                    {
                        flight::product_missing(c, product, after.now)?;
                    }
                    flight::conclude(c, flight, &fate, after.now)?;
                    flight::unknown_over(c, None, after.now)
                })
            }
            Cargo::Body {
                kind,
                flight,
                bytes,
                records,
                attempts,
            } => {
                self.bodies_in_air -= 1;
                let size = (bytes, records);
                self.body_answered(kind, flight, size, attempts, (request, left), answer)
            }
            Cargo::Poll { job } => {
                self.asked.remove(&job.flight);
                self.poll_answered(job, (request, left), answer)
            }
            Cargo::Schemas => self.schemas_told((request, left), answer),
            Cargo::Catalogue(step) => self.stock_told(step, (request, left), answer),
            Cargo::Line => self.line_told((request, left), answer),
            Cargo::Witness(witness) => self.witness_heard(&witness, (request, left), answer),
            Cargo::Probe => {
                let link = verdict::of_probe(answer, self.now());
                let word = link.name();
                let after = self.after(request, left, answer, word, &link, None);
                self.store.write(move |c| after.store(c))
            }
        }
    }

    /// Takes in what an answer says of link and limits. `carried`: the purse of a call that was more
    /// than a question.
    pub(super) fn after(
        &mut self,
        request: i64,
        left: i64,
        answer: &Answer,
        verdict: &'static str,
        news: &LinkNews,
        carried: Option<Purse>,
    ) -> After {
        let now = self.now();
        let purse = carried.unwrap_or(Purse::Api);
        let response = match answer {
            Answer::Got(response) => Some(response),
            Answer::None(_) | Answer::NoCredentials(_) => None,
        };
        self.budget
            .answered(request, purse, response.map(|r| &r.limits), now);
        match news {
            LinkNews::Limited { purse, wait_ms } => self.budget.limited(*purse, *wait_ms, now),
            _ if response.is_some() => self.budget.fine(purse),
            _ => {}
        }
        let before = self.link.state();
        let random = self.random();
        self.link.learn(news, carried.is_some(), random, now);
        self.tell(before);
        if self.link.state() == State::Refused {
            self.refused = self.link.reason().map(str::to_owned);
        }
        After {
            ended: Ended {
                request,
                status: response.map(|r| r.status),
                verdict,
                request_id: response.and_then(|r| r.fault()).and_then(|f| f.request_id),
                duration_ms: now - left,
            },
            link: self.link.clone(),
            budget: self.budget.kept(),
            now,
        }
    }

    fn backoff(&mut self, attempts: u32) -> i64 {
        let random = self.random();
        self.now() + backoff_ms(attempts, random)
    }

    /// `odd`: of a SKU whose product is acknowledged, how often the remote did not know that already.
    fn fate(&mut self, outcome: Outcome, attempts: u32, left: i64, odd: Option<u32>) -> Fate {
        #[cfg(test)]
        if crate::plant::is(crate::plant::Plant::UnknownAcknowledged)
            && matches!(outcome, Outcome::Unknown { .. })
        {
            return Fate::Acknowledged { remote_id: None };
        }
        match outcome {
            Outcome::Acknowledged { id } => Fate::Acknowledged { remote_id: id },
            Outcome::Refused(refusal) | Outcome::TooLarge(refusal) => Fate::Parked(refusal),
            Outcome::Again { code } => Fate::Again {
                code,
                next_try: self.backoff(attempts),
                odd: false,
                undone: true,
            },
            Outcome::Unknown { code } => Fate::Unknown {
                code,
                next_try: self.backoff(attempts),
                quiet: left + self.settings.quiet_ms(),
            },
            Outcome::Blocked | Outcome::Accepted { .. } => Fate::Blocked,
            Outcome::Missing => Fate::Missing,
            Outcome::ProductMissing(refusal) => match odd {
                // First at once, behind its product that goes again.
                Some(odd) if odd < ODD_MAX => Fate::Again {
                    code: refusal.code,
                    next_try: if odd > 0 { self.backoff(odd + 3) } else { 0 },
                    odd: true,
                    undone: true,
                },
                _ => Fate::ProductUnknown(Refusal {
                    code: "product_unknown".into(),
                    ..refusal
                }),
            },
        }
    }

    fn count(&self, fate: &Fate) {
        let pulse = &self.wake.pulse;
        match fate {
            Fate::Acknowledged { .. } => pulse.acknowledged.fetch_add(1, Ordering::Relaxed),
            Fate::Parked(_) | Fate::ProductUnknown(_) => {
                pulse.parked.fetch_add(1, Ordering::Relaxed)
            }
            _ => 0,
        };
    }

    fn body_answered(
        &mut self,
        kind: Kind,
        flight: i64,
        (bytes, records): (usize, usize),
        attempts: u32,
        (request, left): (i64, i64),
        answer: &Answer,
    ) -> Result<()> {
        let verdict = verdict::of(&JOB, answer, self.now());
        self.bytes_max = match (&verdict.outcome, answer) {
            // What did not come through in time may in smaller pieces.
            (Outcome::Unknown { .. }, Answer::None(_)) => (bytes / 2).max(BYTES_MIN),
            (Outcome::Accepted { .. }, _) => (self.bytes_max.saturating_mul(2)).min(BODY_BYTES_MAX),
            _ => self.bytes_max,
        };
        let word = match &verdict.outcome {
            Outcome::Refused(_) | Outcome::TooLarge(_) if records > 1 => "again",
            _ => verdict.word(),
        };
        let after = self.after(
            request,
            left,
            answer,
            word,
            &verdict.link,
            Some(Purse::Bulk),
        );
        let now = after.now;
        let end = match verdict.outcome {
            Outcome::Accepted { job } => End::Job { job },
            // An upload as a whole: its SKUs go singly, and for now so do all others.
            Outcome::Refused(refusal) | Outcome::TooLarge(refusal) if kind == Kind::Skus => {
                self.catalogue = Catalogue::unusable(now);
                End::Fate(singly(refusal.code, true))
            }
            // The same goes singly; other content must not be overtaken by it.
            Outcome::Unknown { code } if kind == Kind::Skus => End::Fate(Fate::Unknown {
                code,
                next_try: self.backoff(attempts),
                quiet: left + WORKED_OFF_MS,
            }),
            Outcome::Refused(refusal) | Outcome::TooLarge(refusal) if records > 1 => End::Split {
                code: refusal.code,
                next_try: 0,
                doubt: Doubt::Undone,
            },
            // The second time in vain: a record of it may be what breaks the way.
            Outcome::Unknown { code } if records > 1 && attempts > 0 => End::Split {
                code,
                next_try: self.backoff(attempts),
                doubt: Doubt::Unknown {
                    quiet: left + self.settings.quiet_ms(),
                },
            },
            outcome => End::Fate(self.fate(outcome, attempts, left, None)),
        };
        if let End::Fate(fate) = &end {
            self.count(fate);
        }
        self.store.write_alone(move |c| {
            after.store(c)?;
            match end {
                End::Job { job } => flight::accepted(c, flight, &job, now + POLL_MS, now),
                End::Split {
                    code,
                    next_try,
                    doubt,
                } => flight::split(c, flight, &code, next_try, doubt, now),
                End::Fate(fate) => flight::conclude(c, flight, &fate, now),
            }
        })
    }

    fn schemas_told(&mut self, (request, left): (i64, i64), answer: &Answer) -> Result<()> {
        let types = match answer {
            Answer::Got(response) => metadata_types(response),
            _ => None,
        };
        // A project without them answers so, too: that is no trouble of the link's.
        let missing = matches!(answer, Answer::Got(r) if r.status == 404 && r.fault().is_some());
        let link = match types.is_some() || missing {
            true => LinkNews::Fine,
            false => verdict::of_probe(answer, self.now()),
        };
        let word = if types.is_some() { "told" } else { "unknown" };
        let after = self.after(request, left, answer, word, &link, None);
        let now = after.now;
        self.schemas = Some(
            now + if types.is_some() {
                SCHEMAS_MS
            } else {
                SCHEMAS_AGAIN_MS
            },
        );
        self.store.write(move |c| after.store(c))?;
        match types {
            Some(types) => self.store.set_metadata_types(&types, now),
            None => Ok(()),
        }
    }

    fn poll_answered(
        &mut self,
        job: JobRow,
        (request, left): (i64, i64),
        answer: &Answer,
    ) -> Result<()> {
        let (news, link) = verdict::of_job(answer, self.now());
        // One that begins in the future began before the clock was set back.
        let is_young = (0..JOB_YOUNG_MS).contains(&(self.now() - job.since));
        let news = match news {
            JobNews::Lost if is_young => JobNews::Silent,
            news => news,
        };
        let word = match &news {
            JobNews::Open { .. } => "open",
            JobNews::Ended(_) => "ended",
            JobNews::Lost => "lost",
            JobNews::Silent => "unknown",
        };
        let after = self.after(request, left, answer, word, &link, None);
        let now = after.now;
        let next_poll = now + (POLL_MS << job.polls.saturating_add(1).min(16)).min(POLL_MS_MAX);
        match news {
            JobNews::Open { status } => self.store.write(move |c| {
                after.store(c)?;
                flight::ask_again(c, job.flight, Some(&status), next_poll)
            }),
            JobNews::Silent => self.store.write(move |c| {
                after.store(c)?;
                flight::ask_again(c, job.flight, None, next_poll)
            }),
            JobNews::Lost => {
                let attempts = flight::attempts(&self.reader, job.flight)?;
                let quiet_ms = match job.kind {
                    Kind::Skus => WORKED_OFF_MS,
                    _ => self.settings.quiet_ms(),
                };
                let fate = Fate::Unknown {
                    code: "job_lost".into(),
                    next_try: self.backoff(attempts),
                    quiet: now + quiet_ms,
                };
                self.store.write_alone(move |c| {
                    after.store(c)?;
                    flight::conclude(c, job.flight, &fate, now)
                })
            }
            JobNews::Ended(report) => self.job_ended(&job, &report, after),
        }
    }

    fn job_ended(&mut self, job: &JobRow, ended: &Job, after: After) -> Result<()> {
        let sent = job.records as usize;
        // Keys are needed where the report names some, or where the blame is one record's.
        let items = match ended.faults.is_empty() && sent != 1 {
            true => std::collections::HashMap::new(),
            false => flight::items(&self.reader, job.flight)?,
        };
        let report = verdict::of_report(ended, |key| items.contains_key(key), sent);
        let mut named = Vec::new();
        for (key, outcome) in report.named {
            let item = items[&key];
            if job.kind == Kind::Skus && outcome != ItemOutcome::Acknowledged {
                let fate = singly("csv_row_failed".into(), false);
                named.push(ItemFate { id: item.id, fate });
            } else if let Some(fate) = self.item_fate(outcome, item) {
                self.count(&fate);
                named.push(ItemFate { id: item.id, fate });
            }
        }
        let rest = match report.rest {
            // A single call says what is wrong with each.
            outcome if job.kind == Kind::Skus && outcome != ItemOutcome::Acknowledged => {
                Some(singly("csv_unproven".into(), false))
            }
            ItemOutcome::Unproven => None,
            ItemOutcome::Acknowledged => Some(Fate::Acknowledged { remote_id: None }),
            // Of one record alone.
            outcome => {
                let first = items.values().next().copied();
                first.and_then(|item| self.item_fate(outcome, item))
            }
        };
        if rest == Some(Fate::Acknowledged { remote_id: None }) {
            let done = sent.saturating_sub(named.len()) as u64;
            self.wake
                .pulse
                .acknowledged
                .fetch_add(done, Ordering::Relaxed);
        }
        let failed = ended.state == JobState::Failed;
        // Halves of what was worked off go at once: only which record it was is to be found out.
        let again = match failed {
            true => self.backoff(flight::attempts(&self.reader, job.flight)?),
            false => 0,
        };
        let (flight, kind, status) = (job.flight, job.kind, ended.status.clone());
        self.store.write_alone(move |c| {
            let now = after.now;
            after.store(c)?;
            flight::ask_again(c, flight, Some(&status), now)?;
            flight::conclude_named(c, flight, &named, now)?;
            match rest {
                Some(fate) => flight::conclude(c, flight, &fate, now)?,
                // The report does not prove it: again, in smaller bodies.
                None => {
                    let doubt = Doubt::Unproven { failed };
                    flight::split(c, flight, "unproven", again, doubt, now)?;
                }
            }
            flight::unknown_over(c, Some((kind, flight)), now)
        })
    }

    /// `None`: nothing is proven of it.
    fn item_fate(&mut self, outcome: ItemOutcome, item: Carried) -> Option<Fate> {
        Some(match outcome {
            ItemOutcome::Acknowledged => Fate::Acknowledged { remote_id: None },
            ItemOutcome::Refused(refusal) => Fate::Parked(refusal),
            ItemOutcome::Odd(refusal) if item.odd >= ODD_MAX => Fate::Parked(refusal),
            ItemOutcome::Odd(refusal) => Fate::Again {
                code: refusal.code,
                next_try: self.backoff(item.attempts + 3),
                odd: true,
                undone: false,
            },
            ItemOutcome::Again { code } => Fate::Again {
                code,
                next_try: self.backoff(item.attempts),
                odd: false,
                undone: false,
            },
            ItemOutcome::Unproven => return None,
        })
    }
}

/// What did not go by CSV goes by single calls, at once.
fn singly(code: String, undone: bool) -> Fate {
    Fate::Again {
        code,
        next_try: 0,
        odd: false,
        undone,
    }
}

/// How a body's call ended.
enum End {
    Job {
        job: String,
    },
    Split {
        code: String,
        next_try: i64,
        doubt: Doubt,
    },
    Fate(Fate),
}
