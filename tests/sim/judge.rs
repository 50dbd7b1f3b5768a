//! The promises, checked from what the remote saw and what the store holds.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::fs;

use serde_json::Value;

use super::Breach;
use super::model::{Label, Model, Place};
use super::world::{FOLDERS, World};
use crate::kind::Kind;
use crate::record::{CLEARED, Content};
use crate::standin::Arrival;

/// Other content does not follow an unanswered call before so long; a call's way takes some of it.
const QUIET_MS: i64 = 29_900;

const MINUTE_MS: i64 = 60_000;

/// A request's last word on a record.
struct Sent {
    /// The place of its content in the record's history: no later one stands before it.
    place: usize,
    label: Label,
    at: i64,
    answered: bool,
}

/// A job that carries a record.
struct Carried {
    label: Label,
    from: i64,
    until: i64,
}

#[derive(Default)]
pub struct Judge {
    /// Arrivals that were judged.
    seen: usize,
    sent: HashMap<Place, Sent>,
    jobs: HashMap<Place, Vec<Carried>>,
    /// When our calls came, of each purse.
    calls: [VecDeque<i64>; 2],
    /// Our calls in a minute at most.
    calls_max: usize,
    /// Jobs that hang are let go.
    pub released: bool,
    pub trace: u64,
}

impl Judge {
    pub fn new(calls_max: usize) -> Judge {
        Judge {
            calls_max,
            ..Judge::default()
        }
    }

    /// Promises 3 and 8 for each request that arrived since.
    pub fn requests(&mut self, world: &World, model: &Model) -> Result<(), Breach> {
        let remote = world.remote.lock().unwrap();
        let arrivals = remote.arrivals();
        while let Some(arrival) = arrivals.get(self.seen) {
            self.seen += 1;
            self.note(arrival);
            if std::env::var_os("TILLSYNC_TRACE").is_some() {
                tell(world, arrival);
            }
            self.limits(arrival)?;
            let until = arrival
                .async_action_id
                .as_deref()
                .and_then(|id| remote.job_ends_ms(id));
            self.order(arrival, until, model)?;
        }
        Ok(())
    }

    /// The same seed twice has the same trace.
    fn note(&mut self, arrival: &Arrival) {
        let line = format!("{} {} {}", arrival.at_ms, arrival.method, arrival.target);
        let mut bytes = line.into_bytes();
        bytes.extend(arrival.body.as_deref().unwrap_or_default());
        self.trace = self.trace.rotate_left(7) ^ xxhash_rust::xxh3::xxh3_64(&bytes);
    }

    fn limits(&mut self, arrival: &Arrival) -> Result<(), Breach> {
        if arrival.status == 429 && arrival.key.as_deref() != Some("planted") {
            return Err(Breach::new(
                8,
                format!("a 429 at {}: {}", arrival.at_ms, arrival.target),
            ));
        }
        let bulk = is_of_many(arrival);
        let calls = &mut self.calls[usize::from(bulk)];
        calls.push_back(arrival.at_ms);
        while calls[0] <= arrival.at_ms - MINUTE_MS {
            calls.pop_front();
        }
        if calls.len() > self.calls_max {
            return Err(Breach::new(
                8,
                format!(
                    "{} calls in a minute, {} are ours",
                    calls.len(),
                    self.calls_max
                ),
            ));
        }
        Ok(())
    }

    fn order(
        &mut self,
        arrival: &Arrival,
        job_until: Option<i64>,
        model: &Model,
    ) -> Result<(), Breach> {
        // It says a part of a record, and no version.
        if arrival.path().ends_with("/importCSV") || arrival.path().ends_with("/metadata/async") {
            return Ok(());
        }
        let of_many = is_of_many(arrival);
        for record in arrival.records() {
            let (Some(kind), Some(key)) = (Kind::from_name(record.kind), record.source_id) else {
                continue;
            };
            let place = (kind, key);
            let label = said(&record.content);
            self.position(&place, &label, arrival, model)?;
            self.overtakes(&place, &label, arrival, of_many)?;
            if let Some(until) = job_until {
                self.jobs.entry(place).or_default().push(Carried {
                    label,
                    from: arrival.at_ms,
                    until,
                });
            }
        }
        Ok(())
    }

    fn position(
        &mut self,
        place: &Place,
        label: &Label,
        arrival: &Arrival,
        model: &Model,
    ) -> Result<(), Breach> {
        let history = match model.records.get(place) {
            Some(record) => record.history.as_slice(),
            None => &[],
        };
        let before = self.sent.get(place);
        let from = before.map_or(0, |sent| sent.place);
        let Some(found) = history[from.min(history.len())..]
            .iter()
            .position(|l| l == label)
        else {
            return Err(Breach::new(
                3,
                format!(
                    "{place:?}: {label:?} is sent, not stored after {:?}; it was {history:?}",
                    before.map(|sent| (&sent.label, sent.place))
                ),
            ));
        };
        if let Some(before) = before
            && before.label != *label
            && !before.answered
            && arrival.at_ms - before.at < QUIET_MS
        {
            let waited = arrival.at_ms - before.at;
            return Err(Breach::new(
                3,
                format!(
                    "{place:?}: {label:?} follows the unanswered {:?} after {waited} ms",
                    before.label
                ),
            ));
        }
        // A refused call left nothing behind that a call after it could be older than.
        if !is_of_many(arrival) && (400..500).contains(&arrival.status) {
            return Ok(());
        }
        let answered = is_of_many(arrival) || is_answered(arrival);
        let sent = Sent {
            place: from + found,
            label: label.clone(),
            at: arrival.at_ms,
            answered,
        };
        self.sent.insert(place.clone(), sent);
        Ok(())
    }

    /// A single call does not wait for jobs: it must not pass one that carries other content.
    fn overtakes(
        &mut self,
        place: &Place,
        label: &Label,
        arrival: &Arrival,
        of_many: bool,
    ) -> Result<(), Breach> {
        let Some(jobs) = self.jobs.get_mut(place).filter(|_| !of_many) else {
            return Ok(());
        };
        let released = self.released;
        jobs.retain(|job| job.until > arrival.at_ms && !(released && job.until == i64::MAX));
        let passed = jobs
            .iter()
            .find(|job| job.label != *label && job.from < arrival.at_ms);
        match passed {
            None => Ok(()),
            Some(job) => Err(Breach::new(
                3,
                format!(
                    "{place:?}: {label:?} by a single call overtakes {:?} in a job",
                    job.label
                ),
            )),
        }
    }

    /// Calls that write, so far.
    pub fn writes(&self, world: &World) -> usize {
        let remote = world.remote.lock().unwrap();
        let writes = remote.arrivals().iter().filter(|a| a.method != "GET");
        writes.count()
    }
}

fn tell(world: &World, arrival: &Arrival) {
    let since = arrival.at_ms - (world.now() - world.elapsed_ms());
    let left = if arrival.answer_left {
        ""
    } else {
        ", no answer left"
    };
    let body = String::from_utf8_lossy(arrival.body.as_deref().unwrap_or_default());
    eprintln!(
        "{:>10.3} {} {} -> {} {}{left} {body:.300}",
        since as f64 / 1000.0,
        arrival.method,
        arrival.target,
        arrival.status,
        arrival.key.as_deref().unwrap_or_default(),
    );
}

fn is_of_many(arrival: &Arrival) -> bool {
    let path = arrival.path();
    arrival.method == "POST"
        && (path.ends_with("/async")
            || path.ends_with("/importCSV")
            || path.ends_with("/orders/import"))
}

fn is_answered(arrival: &Arrival) -> bool {
    let html = arrival.status == 200
        && arrival.key.is_none()
        && matches!(arrival.json(), Some(Value::Null));
    arrival.answer_left && arrival.status < 500 && arrival.status != 408 && !html
}

fn said(content: &Value) -> Label {
    match (&content["metadata"]["v"], content) {
        (_, Value::Null) => Label::Gone,
        (Value::String(version), _) => Label::Version(version.clone()),
        _ => Label::Bare,
    }
}

/// Fields by which store and remote are compared, with where the remote shows them.
fn compared(kind: Kind) -> &'static [(&'static str, &'static str)] {
    match kind {
        Kind::Customers => &[
            ("name", "/name"),
            ("email", "/email"),
            ("metadata.v", "/metadata/v"),
        ],
        Kind::Products => &[
            ("name", "/name"),
            ("price", "/price"),
            ("metadata.v", "/metadata/v"),
        ],
        Kind::Skus => &[
            ("product", "/product_key"),
            ("sku", "/sku"),
            ("metadata.v", "/metadata/v"),
        ],
        Kind::Orders => &[("status", "/status"), ("metadata.v", "/metadata/v")],
    }
}

/// Promise 1: what the files said is stored, and nothing else.
pub fn store(world: &World, model: &Model) -> Result<(), Breach> {
    let stored = stored(world);
    let mut places: HashSet<&Place> = stored.keys().collect();
    places.extend(model.records.keys());
    for place in places {
        let said = model.records.get(place).and_then(|r| r.state.as_ref());
        let held = stored.get(place);
        if said.is_some() != held.is_some() {
            return Err(Breach::new(
                1,
                format!("{place:?} is stored as {held:?}, the files say {said:?}"),
            ));
        }
        let (Some(said), Some(held)) = (said, held) else {
            continue;
        };
        for (field, _) in compared(place.0) {
            let (said, held) = (said.get(field).map(String::as_str), held.get(field));
            let held = held.filter(|json| *json != CLEARED);
            if said != held {
                return Err(Breach::new(
                    1,
                    format!("{place:?}: {field} is stored as {held:?}, the files say {said:?}"),
                ));
            }
        }
    }
    Ok(())
}

/// The records that are not deleted.
fn stored(world: &World) -> BTreeMap<Place, Content> {
    let mut statement = world
        .reader
        .prepare_cached(
            "SELECT r.kind, r.source_id, s.fields, d.vals FROM record r
             JOIN document d ON d.id = r.id JOIN shape s ON s.id = d.shape WHERE NOT r.gone",
        )
        .unwrap();
    let rows = statement.query_map([], |row| {
        let fields: String = row.get(2)?;
        let fields: Vec<String> = serde_json::from_str(&fields).unwrap();
        let values: String = row.get(3)?;
        let shape = crate::record::Shape::new(fields);
        let content = Content::decode(shape.fields(), &values).unwrap();
        let kind: i64 = row.get(0)?;
        let kind = Kind::ALL.into_iter().find(|k| k.code() == kind).unwrap();
        Ok(((kind, row.get(1)?), content))
    });
    rows.unwrap().map(Result::unwrap).collect()
}

/// Promise 2: the remote holds what the store holds, and nothing else. `but`: records that are parked.
pub fn remote(world: &World, model: &Model, but: &HashSet<Place>) -> Result<(), Breach> {
    let remote = world.remote.lock().unwrap();
    let breach = |text| Err(Breach::new(2, text));
    for (place, record) in &model.records {
        if but.contains(place) {
            continue;
        }
        let object = remote.object(place.0.name(), &place.1);
        let (Some(state), Some(object)) = (&record.state, &object) else {
            if record.state.is_some() != object.is_some() {
                return breach(format!(
                    "{place:?}: the remote holds {object:?}, stored is {:?}",
                    record.state
                ));
            }
            continue;
        };
        for (field, at) in compared(place.0) {
            let said: Value = state
                .get(field)
                .map_or(Value::Null, |json| serde_json::from_str(json).unwrap());
            let held = object.pointer(at).cloned().unwrap_or(Value::Null);
            let held = if held == "" { Value::Null } else { held };
            if said != held {
                return breach(format!(
                    "{place:?}: {field} is {held} at the remote, stored is {said}"
                ));
            }
        }
        if let Some(customer) = state.get("customer.source_id") {
            let customer: String = serde_json::from_str(customer).unwrap();
            let named = object["customer_key"].as_str();
            let of = &model.records[&(Kind::Customers, customer.clone())];
            let always_there = !of.history.contains(&Label::Gone);
            if always_there && named != Some(&customer) {
                return breach(format!("{place:?} is {named:?}'s, stored is {customer}"));
            }
        }
    }
    for kind in Kind::ALL {
        for key in remote.state(kind.name()).unwrap().keys() {
            if !model.is_there(kind, key) && !but.contains(&(kind, key.clone())) {
                return breach(format!("{kind} {key} is at the remote, and not stored"));
            }
        }
    }
    Ok(())
}

/// Promise 1: the bytes of each dropped file stand whole in exactly one place.
pub fn files(world: &World, dropped: &[&[u8]]) -> Result<(), Breach> {
    let mut found: HashMap<Vec<u8>, i64> = HashMap::new();
    for place in FOLDERS {
        let folder = world.folder(place);
        for own in ["", "archive", "rejects"] {
            let Ok(entries) = fs::read_dir(folder.join(own)) else {
                continue;
            };
            for entry in entries {
                let path = entry.unwrap().path();
                let name = path.file_name().unwrap().to_string_lossy().into_owned();
                if path.is_file() && !name.ends_with(".rejects.csv") {
                    *found.entry(fs::read(path).unwrap()).or_default() += 1;
                }
            }
        }
    }
    for bytes in dropped {
        *found.entry(bytes.to_vec()).or_default() -= 1;
    }
    match found.iter().find(|(_, n)| **n != 0) {
        None => Ok(()),
        Some((bytes, n)) => Err(Breach::new(
            1,
            format!(
                "a file stands {n} times more than it was dropped: {}",
                String::from_utf8_lossy(bytes)
            ),
        )),
    }
}
