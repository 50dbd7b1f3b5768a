//! The project's limits: calls in a period, bulk calls in a budget of their own, calls in a billing
//! cycle (API.md, Limits). The tills draw on the same ones.

use serde_json::json;

use super::{
    Reply,
    settings::{Headers, Settings},
};

/// How long a billing cycle is.
const CYCLE_MS: i64 = 30 * 24 * 3_600_000;

/// What was used, each in the period that began at `begun_ms`.
#[derive(Debug, Default)]
pub(super) struct Limits {
    calls: Window,
    bulk: Window,
    cycle_used: u64,
    cycle_ends_ms: Option<i64>,
    /// Calls of the tills that were refused, over all time.
    pub(super) tills_refused: u64,
    /// Calls of the client that were refused, over all time.
    pub(super) refused: u64,
}

/// A limit that is used up, and until when.
pub(super) struct Over {
    kind: &'static str,
    pub(super) until_ms: i64,
}

#[derive(Debug, Default)]
struct Window {
    begun_ms: i64,
    used: u64,
}

impl Window {
    /// Periods begin on the full minute or hour, for all budgets.
    fn turn(&mut self, period_ms: i64, now_ms: i64) {
        let begun_ms = now_ms - now_ms.rem_euclid(period_ms);
        if begun_ms > self.begun_ms || self.begun_ms > now_ms {
            *self = Self { begun_ms, used: 0 };
        }
    }
}

impl Limits {
    /// Counts one call, or says why not.
    pub(super) fn spend(
        &mut self,
        settings: &Settings,
        bulk: bool,
        now_ms: i64,
    ) -> Result<(), Over> {
        self.turn(settings, now_ms);
        let limit = &settings.limit;
        let cycle_over = limit
            .cycle_calls
            .is_some_and(|most| self.cycle_used >= most);
        let (window, most, kind) = if bulk {
            (&mut self.bulk, bulk_calls(settings), "bulk_api_calls")
        } else {
            (&mut self.calls, limit.calls, "api_calls")
        };
        if cycle_over {
            self.refused += 1;
            let until = self.cycle_ends_ms.unwrap_or(now_ms);
            return Err(Over {
                kind: "api_calls_cycle",
                until_ms: until,
            });
        }
        if window.used >= most {
            self.refused += 1;
            let until = window.begun_ms + limit.period.ms();
            return Err(Over {
                kind,
                until_ms: until,
            });
        }
        window.used += 1;
        self.cycle_used += 1;
        Ok(())
    }

    pub(super) fn consume(&mut self, settings: &Settings, calls: u64, now_ms: i64) -> u64 {
        self.turn(settings, now_ms);
        let most = settings.limit.calls.saturating_sub(self.calls.used);
        let cycle = settings
            .limit
            .cycle_calls
            .map_or(u64::MAX, |most| most.saturating_sub(self.cycle_used));
        let taken = calls.min(most).min(cycle);
        self.calls.used += taken;
        self.cycle_used += taken;
        self.tills_refused += calls - taken;
        calls - taken
    }

    /// The headers of each answer (API.md, Limits); `next_ms` is when the next call may be made.
    pub(super) fn headers(
        &self,
        settings: &Settings,
        bulk: bool,
        next_ms: i64,
        headers: &mut Vec<(String, String)>,
    ) {
        let (window, most) = if bulk {
            (&self.bulk, bulk_calls(settings))
        } else {
            (&self.calls, settings.limit.calls)
        };
        let values = match settings.headers {
            Headers::None => return,
            Headers::Normal => [
                most.to_string(),
                most.saturating_sub(window.used).to_string(),
                whole_seconds(next_ms).to_string(),
            ],
            Headers::Absurd => ["-1".into(), "99999999999999999999".into(), "soon".into()],
        };
        let names = [
            "X-Rate-Limit-Limit",
            "X-Rate-Limit-Remaining",
            "X-Rate-Limit-Retry",
        ];
        headers.extend(names.into_iter().map(str::to_owned).zip(values));
    }

    fn turn(&mut self, settings: &Settings, now_ms: i64) {
        let period_ms = settings.limit.period.ms();
        self.calls.turn(period_ms, now_ms);
        self.bulk.turn(period_ms, now_ms);
        let mut ends = self
            .cycle_ends_ms
            .or(settings.limit.cycle_ends_ms)
            .unwrap_or(now_ms + CYCLE_MS);
        while ends <= now_ms {
            ends += CYCLE_MS;
            self.cycle_used = 0;
        }
        self.cycle_ends_ms = Some(ends);
    }
}

fn bulk_calls(settings: &Settings) -> u64 {
    settings.limit.bulk_calls.unwrap_or(settings.limit.calls)
}

/// What is answered to a call over its limit.
pub(super) fn too_many(settings: &Settings, over: &Over, now_ms: i64) -> Reply {
    let Over { kind, until_ms } = *over;
    let mut reply = Reply::json(
        429,
        // A string, as the document has it for bulk calls; `key` and `details` may lack
        // (SURPRISES.md, 20).
        &match kind {
            "bulk_api_calls" => {
                json!({"code": "429", "message": "Too many requests hit the API too quickly"})
            }
            _ => {
                json!({"code": 429, "key": "too_many_requests", "message": "Too many requests hit the API too quickly", "details": ""})
            }
        },
    );
    if settings.headers != Headers::None {
        let wait_s = whole_seconds((until_ms - now_ms).max(0));
        let retry_after = if settings.retry_after_as_date {
            http_date(now_ms + wait_s * 1000)
        } else {
            wait_s.to_string()
        };
        reply.headers.push(("Retry-After".into(), retry_after));
        reply
            .headers
            .push(("X-Rate-Limit-Type".into(), kind.into()));
    }
    reply
}

/// Rounded up: a second too early is a refusal more.
fn whole_seconds(ms: i64) -> i64 {
    ms.saturating_add(999).div_euclid(1000)
}

/// `Wed, 26 Aug 2026 10:02:00 GMT`.
pub(super) fn http_date(ms: i64) -> String {
    let time = jiff::Timestamp::from_millisecond(ms).unwrap_or(jiff::Timestamp::MAX);
    time.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}
