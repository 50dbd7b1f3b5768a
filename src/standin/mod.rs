//! A faithful stand-in of the remote API, in memory: for `demo`, `standin`, and every test that
//! needs a remote.
//!
//! It knows what Voucherify's published documents say (API.md, `tests/openapi/contract.json`) and
//! nothing of tillsync: no other module of this crate is used here, so that an error in what
//! tillsync believes of the API can't hide behind the same error in its judge.
//!
//! [`Remote`] is a pure state machine: the time is an argument, chance comes from its seed, and a
//! request yields an [`Answer`] that says both what is sent back and what happens to it on the way
//! ([`Delivery`]). [`server`] puts real sockets around it, and `control` lets a test in another
//! process set faults and read what arrived.

mod catalogue;
mod control;
mod customers;
mod exports;
mod faults;
mod imports;
mod jobs;
mod limits;
mod lists;
mod log;
mod metadata;
mod orders;
mod outcome;
mod random;
mod refusal;
mod route;
pub mod server;
pub mod settings;
mod shape;
mod tables;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use serde_json::{Map, Value};

pub use faults::{Fault, Faults, JobFaults, Refuse, Then};
pub use log::{Arrival, Carried};
pub use server::{Handle, Options, run, serve, start};
pub use settings::{Credentials, Headers, Limit, Period, Settings};

use faults::Strike;
use jobs::Jobs;
use limits::{Limits, too_many};
use log::Log;
use random::Random;
use refusal::Refusal;
use route::Call;
use tables::{Table, What};

/// A JSON object, in the order of its keys as they came.
pub(crate) type Object = Map<String, Value>;

/// One request as it stood on the wire.
#[derive(Clone, Debug)]
pub struct Request {
    /// In upper case.
    pub method: String,
    /// Path and query, encoded as they came: `/v1/customers?limit=1`.
    pub target: String,
    /// Names in any case.
    pub headers: Vec<(String, String)>,
    pub body: Arc<[u8]>,
}

impl Request {
    /// A request with the stand-in's own credentials and a JSON body (none when empty).
    pub fn json(method: &str, target: &str, body: &str) -> Self {
        let mut headers = vec![
            ("X-App-Id".to_owned(), settings::APP_ID.to_owned()),
            ("X-App-Token".to_owned(), settings::APP_TOKEN.to_owned()),
        ];
        if !body.is_empty() {
            headers.push(("Content-Type".to_owned(), "application/json".to_owned()));
        }
        Self {
            method: method.to_owned(),
            target: target.to_owned(),
            headers,
            body: body.as_bytes().into(),
        }
    }

    /// The first header of this name, whatever its case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }
}

/// What is sent back. `Content-Length` and `Date` are the server's to add.
#[derive(Clone, Debug, Default)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Reply {
    pub(crate) fn json(status: u16, body: &Value) -> Self {
        Self::text(status, "application/json; charset=utf-8", body.to_string())
    }

    pub(crate) fn text(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            headers: vec![("Content-Type".to_owned(), content_type.to_owned())],
            body: body.into(),
        }
    }

    pub(crate) fn empty(status: u16) -> Self {
        Self {
            status,
            ..Self::default()
        }
    }

    /// The first header of this name, whatever its case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// The body as JSON, `null` where it is none.
    pub fn body_json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }
}

/// What becomes of a reply on its way to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// It arrives at once.
    Whole,
    /// It arrives after so many milliseconds.
    After(i64),
    /// Head and so many bytes of the body arrive, then the connection is closed.
    Cut(usize),
    /// One byte of it in so many milliseconds.
    Trickle(i64),
    /// No byte arrives, and the connection is reset.
    Reset,
    /// No byte arrives, and the connection stays open.
    Hang,
}

/// What the stand-in does with a request.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The number of its entry in the log of requests.
    pub seq: u64,
    pub reply: Reply,
    pub delivery: Delivery,
}

impl Answer {
    /// The reply, if a client that waits `timeout_ms` gets it whole.
    pub fn arrives(&self, timeout_ms: i64) -> Option<&Reply> {
        match self.delivery {
            Delivery::Whole => Some(&self.reply),
            Delivery::After(ms) if ms <= timeout_ms => Some(&self.reply),
            Delivery::Trickle(ms)
                if ms.saturating_mul(self.reply.body.len() as i64) <= timeout_ms =>
            {
                Some(&self.reply)
            }
            _ => None,
        }
    }
}

/// The remote: one project with all it holds.
pub struct Remote {
    settings: Settings,
    random: Random,
    customers: Table,
    products: Table,
    skus: Table,
    orders: Table,
    bin: Vec<catalogue::Binned>,
    jobs: Jobs,
    exports: Vec<exports::Export>,
    limits: Limits,
    faults: Faults,
    /// Requests that a fault makes the remote take in only later, by when.
    late: Vec<(i64, Request)>,
    log: Log,
}

impl Remote {
    /// An empty project. The same seed and the same requests at the same times give the same answers.
    pub fn new(seed: u64, settings: Settings) -> Self {
        Self {
            random: Random::new(seed),
            customers: Table::new(What::Customer),
            products: Table::new(What::Product),
            skus: Table::new(What::Sku),
            orders: Table::new(What::Order),
            bin: Vec::new(),
            jobs: Jobs::default(),
            exports: Vec::new(),
            limits: Limits::default(),
            faults: Faults::default(),
            late: Vec::new(),
            log: Log::new(settings.log_body_bytes_max),
            settings,
        }
    }

    /// Takes one request in, at a time in milliseconds since 1970 that never goes back, and says
    /// what is answered.
    pub fn answer(&mut self, request: &Request, now_ms: i64) -> Answer {
        self.advance(now_ms);
        let call = Call::of(request);
        let seq = self.log.arrived(request, &call, now_ms);
        let (reply, delivery) = match self.faults.strike(&call, now_ms, &mut self.random) {
            None => (self.take(&call, now_ms), Delivery::Whole),
            Some(strike) => self.suffer(strike, request, &call, now_ms),
        };
        self.log.answered(seq, &reply, delivery);
        Answer {
            seq,
            reply,
            delivery,
        }
    }

    /// Lets the time pass: jobs and exports that are due are done, requests that were delayed are
    /// taken in. [`Remote::answer`] does so by itself.
    pub fn advance(&mut self, now_ms: i64) {
        loop {
            let late = self.late.iter().map(|(due, _)| *due).min();
            let job = self.jobs.next_due();
            let Some(due) = [late, job].into_iter().flatten().min() else {
                break;
            };
            if due > now_ms {
                break;
            }
            if late == Some(due) {
                let place = self.late.iter().position(|(at, _)| *at == due);
                let (_, request) = self
                    .late
                    .remove(place.expect("the earliest stands in the list"));
                let call = Call::of(&request);
                self.take(&call, due);
            } else {
                self.work_off(Vec::new(), due);
            }
        }
        self.finish_exports(now_ms);
    }

    /// Whether a fault ends this request, of which only the head is there, before it is read whole:
    /// after how many bytes of its body. Such a request is logged without body and answer.
    pub fn breaks_early(&mut self, head: &Request, now_ms: i64) -> Option<usize> {
        let call = Call::of(head);
        let bytes = self.faults.early(&call, now_ms, &mut self.random)?;
        self.log.arrived(head, &call, now_ms);
        Some(bytes)
    }

    /// The tills' own calls: they count against the same limit. Returns how many were refused.
    pub fn consume(&mut self, calls: u64, now_ms: i64) -> u64 {
        self.limits.consume(&self.settings, calls, now_ms)
    }

    /// Replaces all faults; windows given as `for_ms` begin now.
    pub fn set_faults(&mut self, mut faults: Faults, now_ms: i64) {
        faults.anchor(now_ms);
        self.faults = faults;
    }

    /// Forgets all that is held, logged, counted and set to go wrong; the settings stay.
    pub fn reset(&mut self) {
        let seed = self.random.next();
        *self = Self::new(seed, self.settings.clone());
    }

    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Changes take effect with the next request.
    pub fn settings_mut(&mut self) -> &mut Settings {
        &mut self.settings
    }

    /// All requests that arrived, in the order of their arrival.
    pub fn arrivals(&self) -> &[Arrival] {
        self.log.arrivals()
    }

    /// Notes that an answer could not be written to the client after all.
    pub fn did_not_leave(&mut self, seq: u64) {
        self.log.did_not_leave(seq);
    }

    /// All that is held of one of `customers`, `products`, `skus`, `orders`: whole objects by
    /// `source_id` (by `id` where there is none), oldest first. `None` for another word.
    pub fn state(&self, kind: &str) -> Option<Object> {
        let what = What::of_plural(kind)?;
        let table = self.table(what);
        let mut all = Object::new();
        for row in table.live() {
            let key = table.row(row).key().to_owned();
            all.insert(key, self.whole(what, row));
        }
        Some(all)
    }

    /// One object as [`Remote::state`] shows it, by `source_id` or `id`.
    pub fn object(&self, kind: &str, key: &str) -> Option<Value> {
        let what = What::of_plural(kind)?;
        let row = self.table(what).find(key)?;
        Some(self.whole(what, row))
    }

    /// How many objects of a kind are held; 0 for a word that is no kind.
    pub fn count(&self, kind: &str) -> usize {
        What::of_plural(kind).map_or(0, |what| self.table(what).len())
    }

    /// The remote without network and faults: credentials, limits, then the rules of the call.
    fn take(&mut self, call: &Call, now_ms: i64) -> Reply {
        if !self.admits(call) {
            return self.refused(Refusal::unauthorized());
        }
        let (mut reply, next_ms) = match self.limits.spend(&self.settings, call.is_bulk(), now_ms) {
            Ok(()) => (self.act(call, now_ms), now_ms),
            Err(over) => (too_many(&self.settings, &over, now_ms), over.until_ms),
        };
        self.limits
            .headers(&self.settings, call.is_bulk(), next_ms, &mut reply.headers);
        reply
    }

    fn act(&mut self, call: &Call, now_ms: i64) -> Reply {
        match self.dispatch(call, now_ms) {
            Ok(reply) => reply,
            Err(refusal) => self.refused(refusal),
        }
    }

    fn suffer(
        &mut self,
        strike: Strike,
        request: &Request,
        call: &Call,
        now_ms: i64,
    ) -> (Reply, Delivery) {
        if let Then::Late(ms) = strike.then {
            self.late.push((now_ms + ms, request.clone()));
            return (Reply::default(), Delivery::Hang);
        }
        let own = strike.reply(now_ms);
        // What has an answer of its own is kept from the remote, unless it says otherwise; slow,
        // trickling and cut answers without one are the remote's.
        let applied = strike.apply || (own.is_none() && strike.then.brings_an_answer());
        let real = applied.then(|| self.take(call, now_ms));
        let reply = own.or(real).unwrap_or_default();
        let delivery = match strike.then {
            Then::Answer => Delivery::Whole,
            // Over a socket it meets the request before it is read whole.
            Then::Early(_) => Delivery::Reset,
            Then::Slow(ms) => Delivery::After(ms),
            Then::Trickle(ms) => Delivery::Trickle(ms),
            Then::Cut(bytes) => Delivery::Cut(bytes),
            Then::Reset => Delivery::Reset,
            Then::Hang | Then::Late(_) => Delivery::Hang,
        };
        (reply, delivery)
    }

    fn admits(&self, call: &Call) -> bool {
        let (id, token) = (call.header("x-app-id"), call.header("x-app-token"));
        self.settings.credentials.iter().any(|known| {
            Some(known.app_id.as_str()) == id && Some(known.app_token.as_str()) == token
        })
    }

    fn refused(&mut self, refusal: Refusal) -> Reply {
        let request_id = self.random.id("v-", 18);
        refusal.reply(&request_id)
    }

    fn table(&self, what: What) -> &Table {
        match what {
            What::Customer => &self.customers,
            What::Product => &self.products,
            What::Sku => &self.skus,
            What::Order => &self.orders,
        }
    }

    fn table_mut(&mut self, what: What) -> &mut Table {
        match what {
            What::Customer => &mut self.customers,
            What::Product => &mut self.products,
            What::Sku => &mut self.skus,
            What::Order => &mut self.orders,
        }
    }

    /// An object as an answer shows it, and what only a test asks for.
    fn whole(&self, what: What, row: usize) -> Value {
        let mut view = match what {
            What::Customer => self.customer_view(row),
            What::Product => self.product_view(row),
            What::Sku => self.sku_view(row),
            What::Order => self.order_view(row),
        };
        self.add_hidden(what, row, &mut view);
        Value::Object(view)
    }

    fn add_hidden(&self, what: What, row: usize, view: &mut Object) {
        let row = self.table(what).row(row);
        let parent = |table: &Table, place: Option<usize>| {
            place.map_or(Value::Null, |place| Value::from(table.row(place).key()))
        };
        match what {
            What::Customer => {
                view.insert("consents".into(), Value::Object(row.consents.clone()));
            }
            What::Sku => {
                view.insert("product_key".into(), parent(&self.products, row.parent));
            }
            What::Order => {
                view.insert("customer_key".into(), parent(&self.customers, row.parent));
            }
            What::Product => {}
        }
    }
}

/// A time as answers write it: `2026-08-26T10:02:00.000Z`.
pub(crate) fn stamp(ms: i64) -> String {
    let time = jiff::Timestamp::from_millisecond(ms).unwrap_or(jiff::Timestamp::MAX);
    format!("{time:.3}")
}
