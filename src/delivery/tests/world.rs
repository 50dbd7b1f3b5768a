//! A host and its remote in one process on simulated time: the real store, the real loop, the
//! stand-in behind a carrier that loses, delays and hangs as the stand-in says.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;

use crate::config::{Api, Bulk, Period};
use crate::delivery::{Clock, End, Outcome, Reason, Settings, Wake, deliver};
use crate::kind::Kind;
use crate::record::{Act, Batch, BatchRow, CLEARED, Content, Shape};
use crate::remote::{Carrier, Fetching, NotFetched, Sending, Sink};
use crate::standin::{self, Arrival, Delivery, Faults, Remote, Request};
use crate::store::{self, Begin, Finish, Store};
use crate::wire::{Answer, Call, Endpoint, Limits, NoAnswer, Response, http_date_ms};

#[path = "../../../tests/support/contract.rs"]
mod contract;

/// The simulated present begins here; on a full hour.
const BEGIN_MS: i64 = 1_787_738_400_000;

/// Runs to its end on a runtime of its own, whose time is simulated.
pub fn simulated<T>(does: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap()
        .block_on(does)
}

pub struct SimClock {
    begin_ms: i64,
    start: tokio::time::Instant,
    /// How far the wall clock was set.
    pub set_ms: Mutex<i64>,
}

impl Clock for SimClock {
    fn wall(&self) -> i64 {
        self.steady() + *self.set_ms.lock().unwrap()
    }

    fn steady(&self) -> i64 {
        self.begin_ms + self.start.elapsed().as_millis() as i64
    }

    fn boot(&self) -> String {
        "one".to_owned()
    }

    fn chance(&self) -> u64 {
        self.steady() as u64
    }
}

pub struct SimCarrier {
    pub remote: Arc<Mutex<Remote>>,
    clock: Arc<SimClock>,
    timeout_ms: i64,
    token: Arc<Mutex<String>>,
    project: Arc<Mutex<String>>,
}

impl SimClock {
    /// From this moment on, on the runtime's paused time.
    pub fn new(begin_ms: i64) -> SimClock {
        SimClock {
            begin_ms,
            start: tokio::time::Instant::now(),
            set_ms: Mutex::new(0),
        }
    }
}

impl SimCarrier {
    /// To a project that takes the stand-in's own credentials.
    pub fn new(remote: Arc<Mutex<Remote>>, clock: Arc<SimClock>, timeout_ms: i64) -> SimCarrier {
        SimCarrier {
            remote,
            clock,
            timeout_ms,
            token: Arc::new(Mutex::new(standin::settings::APP_TOKEN.to_owned())),
            project: Arc::new(Mutex::new("one".to_owned())),
        }
    }

    async fn call(&self, call: Call) -> Answer {
        let lost = |why: &str| {
            Answer::None(NoAnswer {
                left: true,
                why: why.into(),
            })
        };
        let mut request = Request::json(
            call.endpoint.method().name(),
            &call.path,
            std::str::from_utf8(call.body.as_deref().unwrap_or_default()).unwrap(),
        );
        request.headers[1].1 = self.token.lock().unwrap().clone();
        if let Some(media) = request.headers.get_mut(2) {
            media.1 = call.endpoint.media().to_owned();
        }
        // There and back again.
        tokio::time::sleep(Duration::from_millis(5)).await;
        let now = self.clock.steady();
        let answer = {
            let mut remote = self.remote.lock().unwrap();
            if remote.breaks_early(&request, now).is_some() {
                return lost("reset");
            }
            remote.answer(&request, now)
        };
        if let Some(reply) = answer.arrives(self.timeout_ms) {
            let ms = match answer.delivery {
                Delivery::After(ms) => ms,
                Delivery::Trickle(ms) => ms * reply.body.len() as i64,
                _ => 5,
            };
            tokio::time::sleep(Duration::from_millis(ms as u64)).await;
            return Answer::Got(response(reply, self.clock.steady()));
        }
        match answer.delivery {
            Delivery::Reset | Delivery::Cut(_) => lost("reset"),
            _ => {
                tokio::time::sleep(Duration::from_millis(self.timeout_ms as u64)).await;
                lost("no answer within the time set")
            }
        }
    }
}

fn response(reply: &standin::Reply, now: i64) -> Response {
    let number = |name: &str| reply.header(name).and_then(|v| v.parse().ok());
    Response {
        status: reply.status,
        limits: Limits {
            limit: number("x-rate-limit-limit"),
            remaining: number("x-rate-limit-remaining"),
            retry: reply
                .header("x-rate-limit-retry")
                .and_then(|v| v.parse().ok()),
            retry_after: reply.header("retry-after").map(str::to_owned),
            kind: reply.header("x-rate-limit-type").map(str::to_owned),
            date: Some(reply.header("date").and_then(http_date_ms).unwrap_or(now)),
        },
        media: reply
            .header("content-type")
            .and_then(|v| v.split(';').next())
            .unwrap_or("")
            .to_ascii_lowercase(),
        body: reply.body.clone(),
    }
}

impl Carrier for SimCarrier {
    fn send(&self, call: Call) -> Sending<'_> {
        Box::pin(self.call(call))
    }

    fn fetch<'a>(&'a self, address: &'a str, _again: bool, sink: Sink<'a>) -> Fetching<'a> {
        let path = &address[address.find("/v1").unwrap()..];
        Box::pin(async move {
            let call = Call {
                endpoint: Endpoint::ExportFile,
                path: path.to_owned(),
                body: None,
            };
            let mut answer = self.call(call).await;
            if let Answer::Got(response) = &mut answer
                && response.status == 200
            {
                for piece in std::mem::take(&mut response.body).chunks(1_000) {
                    sink(piece).map_err(NotFetched::Sink)?;
                }
            }
            Ok(answer)
        })
    }

    fn project(&self) -> Option<String> {
        Some(self.project.lock().unwrap().clone())
    }

    fn reread(&self) {}
}

pub struct World {
    pub store: Store,
    pub remote: Arc<Mutex<Remote>>,
    pub clock: Arc<SimClock>,
    pub settings: Settings,
    pub wake: Arc<Wake>,
    pub token: Arc<Mutex<String>>,
    /// What the credentials say that the project is.
    pub project: Arc<Mutex<String>>,
    files: u64,
    _dir: tempfile::TempDir,
}

impl World {
    pub fn new() -> World {
        // In memory where there is such a place: simulated weeks are thousands of commits.
        let dir = tempfile::tempdir_in("/dev/shm")
            .or_else(|_| tempfile::tempdir())
            .unwrap();
        let settings = standin::Settings {
            limit: standin::Limit {
                calls: 2_000,
                ..standin::Limit::default()
            },
            ..standin::Settings::default()
        };
        let store = Store::open(dir.path()).unwrap();
        // Asked just now, so that tests count the calls that they cause.
        store
            .set_metadata_types(&crate::mapping::MetadataTypes::default(), BEGIN_MS)
            .unwrap();
        World {
            store,
            remote: Arc::new(Mutex::new(Remote::new(7, settings))),
            clock: Arc::new(SimClock::new(BEGIN_MS)),
            settings: Settings {
                api: api(),
                history: HashSet::from(["history".to_owned()]),
            },
            wake: Arc::new(Wake::new()),
            token: Arc::new(Mutex::new("app-token".to_owned())),
            project: Arc::new(Mutex::new("one".to_owned())),
            files: 0,
            _dir: dir,
        }
    }

    /// Faults in the JSON of a trap script or of the stand-in's control.
    pub fn faults(&self, json: &str) {
        let faults: Faults = serde_json::from_str(json).unwrap();
        let now = self.clock.steady();
        self.remote.lock().unwrap().set_faults(faults, now);
    }

    pub fn carrier(&self) -> Arc<SimCarrier> {
        Arc::new(SimCarrier {
            remote: self.remote.clone(),
            clock: self.clock.clone(),
            timeout_ms: self.settings.api.timeout.as_millis() as i64,
            token: self.token.clone(),
            project: self.project.clone(),
        })
    }

    /// `sync`: until nothing is pending, or the time is over.
    pub async fn sync(&mut self, timeout_s: u64) -> Outcome {
        self.sync_within(Some(Duration::from_secs(timeout_s))).await
    }

    pub async fn sync_within(&mut self, timeout: Option<Duration>) -> Outcome {
        self.wake = Arc::new(Wake::new());
        self.wake.wake(Reason::AllTaken);
        deliver(
            self.store.clone(),
            self.settings.clone(),
            self.carrier(),
            self.clock.clone(),
            self.wake.clone(),
            End::WhenDelivered { timeout },
        )
        .await
        .unwrap()
    }

    /// The daemon's loop for so long, then SIGTERM.
    pub async fn daemon(&mut self, for_s: u64) {
        self.daemon_meanwhile(for_s, for_s, |_| {}).await;
    }

    /// The same; after `then_s` this happens.
    pub async fn daemon_meanwhile(
        &mut self,
        for_s: u64,
        then_s: u64,
        then: impl FnOnce(&mut World),
    ) {
        self.wake = Arc::new(Wake::new());
        let running = deliver(
            self.store.clone(),
            self.settings.clone(),
            self.carrier(),
            self.clock.clone(),
            self.wake.clone(),
            End::Never,
        );
        let wake = self.wake.clone();
        let stop = async move {
            tokio::time::sleep(Duration::from_secs(then_s)).await;
            then(self);
            tokio::time::sleep(Duration::from_secs(for_s - then_s)).await;
            wake.wake(Reason::Stop);
        };
        let (outcome, ()) = tokio::join!(running, stop);
        assert_eq!(outcome.unwrap(), Outcome::Stopped);
    }

    /// The daemon's loop for so long, then the power is cut: nothing is told to it.
    pub async fn killed_after(&mut self, ms: u64) {
        self.wake = Arc::new(Wake::new());
        let running = deliver(
            self.store.clone(),
            self.settings.clone(),
            self.carrier(),
            self.clock.clone(),
            self.wake.clone(),
            End::Never,
        );
        let _ = tokio::time::timeout(Duration::from_millis(ms), running).await;
    }

    /// A file of records: `"C1"`, fields as `("name", "\"Ann\"")`.
    pub fn drop_file(&mut self, kind: Kind, records: &[(&str, Vec<(&str, String)>)]) {
        self.drop_into(kind.name(), kind, records, Act::Upsert);
    }

    pub fn delete(&mut self, kind: Kind, keys: &[&str]) {
        let records: Vec<_> = keys.iter().map(|key| (*key, Vec::new())).collect();
        self.drop_into(kind.name(), kind, &records, Act::Delete);
    }

    pub fn drop_into(
        &mut self,
        folder: &str,
        kind: Kind,
        records: &[(&str, Vec<(&str, String)>)],
        act: Act,
    ) {
        self.files += 1;
        let now = self.clock.wall();
        let file = self
            .store
            .arrive(
                &store::Arrival {
                    folder: folder.into(),
                    kind,
                    name: b"f.csv".to_vec(),
                    shown: "f.csv".into(),
                    device: 1,
                    inode: self.files,
                    size: 1,
                    mtime_ns: 1,
                    by_hand: false,
                },
                now,
            )
            .unwrap();
        let mut session = self
            .store
            .begin_intake(Begin {
                file,
                preset: "plain".into(),
                reading: "{}".into(),
                now,
            })
            .unwrap();
        let mut batch = Batch::default();
        for (line, (key, fields)) in records.iter().enumerate() {
            push(&mut batch, kind, key, fields, line as u64 + 2, act);
        }
        session.apply(batch, Vec::new(), "", now).unwrap();
        session
            .finish(Finish {
                rows: records.len() as u64,
                skipped: 0,
                unchanged: 0,
                hash: [0; 32],
                notices: Vec::new(),
                after_leave: false,
                delete_missing: false,
                now,
            })
            .unwrap();
        self.wake.wake(Reason::Stored);
    }

    /// Customers `C1` to `Cn` with a name each.
    pub fn customers(&mut self, n: usize, name: &str) {
        let keys: Vec<String> = (1..=n).map(|i| format!("C{i}")).collect();
        let records: Vec<_> = keys
            .iter()
            .map(|key| (key.as_str(), vec![("name", text(name))]))
            .collect();
        self.drop_file(Kind::Customers, &records);
    }

    pub fn count(&self, sql: &str) -> i64 {
        let reader = self.store.reader().unwrap();
        reader.query_row(sql, [], |row| row.get(0)).unwrap()
    }

    pub fn pending(&self) -> i64 {
        self.count("SELECT count(*) FROM pending")
    }

    /// Key and code of each.
    pub fn parked(&self) -> Vec<(String, String)> {
        let reader = self.store.reader().unwrap();
        let mut rows = Vec::new();
        store::parked(&reader, &store::Filter::default(), &mut |row| {
            rows.push((row.key, row.code));
            true
        })
        .unwrap();
        rows.sort();
        rows
    }

    /// What arrived at the remote since the call with this number, as `POST /v1/customers`.
    pub fn calls(&self) -> Vec<String> {
        let remote = self.remote.lock().unwrap();
        remote
            .arrivals()
            .iter()
            .map(|a| format!("{} {}", a.method, a.path()))
            .collect()
    }

    /// Calls that write.
    pub fn writes(&self) -> Vec<String> {
        let mut calls = self.calls();
        calls.retain(|call| !call.starts_with("GET "));
        calls
    }

    pub fn arrivals(&self) -> Vec<Arrival> {
        self.remote.lock().unwrap().arrivals().to_vec()
    }

    pub fn object(&self, kind: &str, key: &str) -> Value {
        let remote = self.remote.lock().unwrap();
        remote.object(kind, key).unwrap_or(Value::Null)
    }

    /// Every request that arrived is valid by the published contract.
    #[track_caller]
    pub fn judge(&self) {
        for arrival in self.arrivals() {
            let (path, query) = match arrival.target.split_once('?') {
                Some((path, query)) => (path, Some(query)),
                None => (arrival.target.as_str(), None),
            };
            if arrival.path().ends_with("/importCSV") {
                continue;
            }
            let body = arrival.json();
            contract::judge_request(&arrival.method, path, query, body.as_ref())
                .unwrap_or_else(|complaint| panic!("{complaint}"));
        }
    }
}

pub fn text(text: &str) -> String {
    serde_json::to_string(text).unwrap()
}

fn push(batch: &mut Batch, kind: Kind, key: &str, fields: &[(&str, String)], line: u64, act: Act) {
    let mut content = Content::default();
    for (field, json) in fields {
        content.set(
            field,
            if json == "CLEARED" {
                CLEARED.into()
            } else {
                json.clone()
            },
        );
    }
    let (shape, values) = content.encode();
    let key_start = batch.text.len();
    batch.text.push_str(key);
    let values_start = batch.text.len();
    batch.text.push_str(&values);
    let shape: Arc<Shape> = Arc::new(shape);
    let shape = match batch.shapes.iter().position(|known| *known == shape) {
        Some(place) => place,
        None => {
            batch.shapes.push(shape);
            batch.shapes.len() - 1
        }
    };
    batch.rows.push(BatchRow {
        kind,
        line,
        key: key_start..values_start,
        values: values_start..batch.text.len(),
        shape,
        fingerprint: content.fingerprint(),
        row_hash: None,
        act,
    });
}

pub fn api() -> Api {
    Api {
        url: "http://127.0.0.1:1".into(),
        app_id_file: None,
        app_token_file: None,
        share: 0.5,
        stores: 1,
        period: Period::Auto,
        cycle_calls: None,
        cycle_day: 1,
        bulk: Bulk::Auto,
        timeout: Duration::from_secs(30),
        proxy: None,
        ca_file: None,
    }
}

impl World {
    /// What is pending, and why.
    pub fn rest(&self) -> String {
        let reader = self.store.reader().unwrap();
        let mut statement = reader
            .prepare(
                "SELECT p.kind || ' ' || p.part || ' ' || d.source_id || ' file ' || p.file || ' flight ' || coalesce(p.flight, '-')
                   || ' next ' || p.next_try || ' ' || coalesce(p.last_error, '') || ' body ' || coalesce(p.body, '-')
                   || ' gone ' || r.gone || ' seq ' || r.seq || ' id ' || r.id || ' acked ' || coalesce(r.acked_seq, '-')
                 FROM pending p JOIN document d ON d.id = p.id
                   JOIN record r ON r.kind = d.kind AND r.source_id = d.source_id",
            )
            .unwrap();
        let rows = statement
            .query_map([], |row| row.get::<_, String>(0))
            .unwrap();
        rows.map(|row| row.unwrap() + "\n").collect()
    }

    /// All that arrived and what the store holds of a record, for a failed test.
    pub fn story(&self, key: &str) -> String {
        let mut story = String::new();
        for a in self.arrivals() {
            let body = a
                .body
                .as_deref()
                .map(|b| String::from_utf8_lossy(b).into_owned());
            let body = body.unwrap_or_default();
            if body.contains(key) || a.target.contains(key) || a.method == "DELETE" {
                let body: String = body.chars().take(160).collect();
                story += &format!(
                    "{} {} {} -> {} left {} {:?} {body}\n",
                    a.at_ms - BEGIN_MS,
                    a.method,
                    a.target,
                    a.status,
                    a.answer_left,
                    a.key
                );
            }
        }
        story
    }
}
