//! One seed: what is dropped, what goes wrong, and when; then nothing goes wrong any more, and all
//! has to arrive.

use std::collections::{HashMap, HashSet};

use super::Breach;
use super::chance::Chance;
use super::judge::{self, Judge};
use super::model::{Label, Model, Place as Record, Row, Said};
use super::world::{FOLDERS, Place, World};
use crate::config::Bulk;
use crate::kind::Kind;
use crate::plan::SINGLES_MAX;
use crate::plant;
use crate::standin::{self, Faults, Limit};
use crate::store::flight;

/// One of these at a time.
const FAULTS: &[&str] = &[
    "{}",
    r#"{"faults":[{"chance":0.3,"then":"reset"}]}"#,
    r#"{"faults":[{"chance":0.3,"apply":true,"then":"reset"}]}"#,
    r#"{"faults":[{"chance":0.2,"then":"hang"}]}"#,
    r#"{"faults":[{"chance":0.2,"then":"late 20000"}]}"#,
    r#"{"faults":[{"chance":0.2,"then":"slow 4000"}]}"#,
    r#"{"faults":[{"chance":0.3,"apply":true,"then":"cut 10"}]}"#,
    r#"{"faults":[{"chance":0.3,"status":503,"body":""}]}"#,
    r#"{"faults":[{"chance":0.3,"apply":true,"status":502,"body":"<html>bad gateway</html>"}]}"#,
    r#"{"faults":[{"chance":0.3,"status":200,"headers":{"Content-Type":"text/html"},"body":"<html>"}]}"#,
    r#"{"faults":[{"chance":0.2,"status":429,"headers":{"Retry-After":"3"},"body":{"code":429,"key":"planted","message":"too many"}}]}"#,
    r#"{"faults":[{"chance":0.1,"status":423}]}"#,
    r#"{"faults":[{"always":true,"then":"reset"}]}"#,
    r#"{"faults":[{"for_ms":60000,"status":401}]}"#,
    r#"{"refuse":[{"chance":0.1}]}"#,
    r#"{"refuse":[{"share":0.1,"whole":true}]}"#,
    r#"{"jobs":{"partial":0.3,"keys":["internal_error","invalid_payload","odd_key"]}}"#,
    r#"{"jobs":{"partial":0.3,"silent":1.0}}"#,
    r#"{"jobs":{"fail":0.5}}"#,
    r#"{"jobs":{"hang":0.5}}"#,
    r#"{"jobs":{"forget":0.5}}"#,
    r#"{"jobs":{"partial":0.2},"faults":[{"match":"GET /v1/async-actions*","chance":0.5,"status":404}]}"#,
    r#"{"faults":[{"match":"POST /v1/customers/bulk/async","chance":0.5,"apply":true,"then":"reset"}]}"#,
];

/// How long things are left alone, in milliseconds.
const PAUSES: &[u64] = &[0, 7, 20, 300, 2_000, 5_000, 15_000, 40_000, 120_000];

/// With nothing against it any more, all has arrived within this: probes are five minutes apart at
/// most, and so are the tries of a record; some wait for others.
const DRAINED_MS: i64 = 3_600_000;

struct Dropped {
    place: &'static Place,
    name: String,
    rows: Vec<Row>,
    bytes: Vec<u8>,
    /// Renamed in, while this life lived.
    life: Option<u32>,
    applied: bool,
}

/// What was seen and judged so far.
struct Watch {
    model: Model,
    judge: Judge,
    dropped: Vec<Dropped>,
    by_name: HashMap<String, usize>,
    calm: bool,
    /// What tells whether the store changed since it was compared.
    changed: i64,
}

pub struct Run {
    chance: Chance,
    world: World,
    watch: Watch,
    version: u64,
    /// What this seed does at all.
    menu: Vec<Event>,
    full: bool,
    /// The minute, and what the tills took in it; and at most.
    tills: (i64, u64),
    tills_max: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    Drop,
    Again,
    Revert,
    Faults,
    Clock,
    Full,
    Fuse,
    Kill,
    Tills,
}

/// Without faults: one seed of so many.
pub const CALM: u64 = 5;

/// Runs one seed to its end. Gives what tells this run from others.
pub async fn run(seed: u64) -> Result<u64, Breach> {
    let mut run = Run::new(seed)?;
    if run.watch.calm {
        run.calm().await?;
    } else {
        run.live().await?;
    }
    run.end().await?;
    Ok(run.watch.judge.trace)
}

impl Watch {
    /// Looks at what happened since, and judges it.
    fn look(&mut self, world: &World) -> Result<(), Breach> {
        self.judge.requests(world, &self.model)?;
        let mut statement = world
            .reader
            .prepare_cached("SELECT name, state, rejected FROM file ORDER BY id")
            .unwrap();
        let changed = world.count(
            "SELECT coalesce((SELECT max(seq) FROM change), 0) + coalesce((SELECT max(id) FROM document), 0)
               + (SELECT sum(length(state)) FROM file) * 1000000",
        );
        if changed == self.changed {
            return Ok(());
        }
        let mut reading = false;
        let rows = statement
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .unwrap();
        let rows: Vec<(String, String, i64)> = rows.map(Result::unwrap).collect();
        for (name, state, rejected) in rows {
            match state.as_str() {
                "reading" => reading = true,
                "stored" => self.stored(world, &name, rejected as u64)?,
                "held" | "unreadable" => {
                    return Err(Breach::new(1, format!("{name} is {state}")));
                }
                _ => {}
            }
        }
        if reading {
            return Ok(());
        }
        judge::store(world, &self.model)?;
        self.changed = changed;
        Ok(())
    }

    fn stored(&mut self, world: &World, name: &str, rejected: u64) -> Result<(), Breach> {
        let index = self.by_name[name];
        if self.dropped[index].applied {
            return Ok(());
        }
        let passed = self.dropped[..index].iter().find(|earlier| {
            !earlier.applied
                && earlier.life == self.dropped[index].life
                && earlier.life == Some(world.lives)
        });
        if let Some(passed) = passed {
            return Err(Breach::new(
                1,
                format!(
                    "{name} was taken before {}, which was complete first",
                    passed.name
                ),
            ));
        }
        let file = &mut self.dropped[index];
        file.applied = true;
        let bad = file
            .rows
            .iter()
            .filter(|r| matches!(r.said, Said::Bad))
            .count() as u64;
        if bad != rejected {
            return Err(Breach::new(
                1,
                format!("{name}: {rejected} rows are rejected, {bad} are bad"),
            ));
        }
        let place = file.place;
        self.model
            .apply(index as u64 + 1, place.kind, &file.rows, place.clears);
        Ok(())
    }
}

impl Run {
    fn new(seed: u64) -> Result<Run, Breach> {
        let mut chance = Chance(seed);
        let calm = seed.is_multiple_of(CALM);
        let bulk = match calm {
            true => Bulk::Auto,
            false => *chance.pick(&[Bulk::Auto, Bulk::Auto, Bulk::Always, Bulk::Never]),
        };
        let calls = *chance.pick(&[100, 2_000]);
        let settings = standin::Settings {
            limit: Limit {
                calls,
                ..Limit::default()
            },
            job_base_ms: *chance.pick(&[0, 200, 3_000]),
            ..standin::Settings::default()
        };
        let mut menu = vec![Event::Drop; 6];
        menu.push(Event::Again);
        for event in [
            Event::Revert,
            Event::Faults,
            Event::Faults,
            Event::Clock,
            Event::Full,
            Event::Fuse,
            Event::Kill,
            Event::Tills,
        ] {
            if !calm && !chance.one_in(3) {
                menu.push(event);
            }
        }
        let world = World::new(seed, bulk, settings)?;
        let calls_max = (world.config.api.share * calls as f64) as usize;
        Ok(Run {
            chance,
            world,
            watch: Watch {
                model: Model::default(),
                judge: Judge::new(calls_max),
                dropped: Vec::new(),
                by_name: HashMap::new(),
                calm,
                changed: -1,
            },
            version: 0,
            menu,
            full: false,
            tills: (0, 0),
            tills_max: calls / 2,
        })
    }

    async fn pass(&mut self, ms: u64) -> Result<(), Breach> {
        let watch = &mut self.watch;
        self.world.pass(ms, &mut |world| watch.look(world)).await
    }

    async fn live(&mut self) -> Result<(), Breach> {
        for _ in 0..8 + self.chance.below(14) {
            let event = *self.chance.pick(&self.menu);
            self.tell(&format!("{event:?}"));
            match event {
                Event::Drop => self.drop_something(),
                Event::Again => self.drop_again(),
                Event::Revert => self.revert()?,
                Event::Faults => {
                    let faults = *self.chance.pick(FAULTS);
                    self.tell(faults);
                    self.faults(faults);
                }
                Event::Clock => {
                    let by =
                        *self
                            .chance
                            .pick(&[-86_400_000, -3_600_000, -40_000, 40_000, 86_400_000]);
                    self.world.set_clock(by);
                }
                Event::Full => {
                    self.full = !self.full;
                    let room = self.chance.below(12) as i64;
                    self.world.set_room(self.full.then_some(room));
                }
                Event::Fuse => {
                    plant::light(Some(self.chance.below(60) as u32));
                }
                Event::Kill => self.world.kill(),
                Event::Tills => {
                    let calls = 1 + self.chance.below(40);
                    self.tills(calls);
                }
            }
            let ms = *self.chance.pick(PAUSES);
            self.pass(ms).await?;
        }
        Ok(())
    }

    /// For whoever looks into a seed: `TILLSYNC_TRACE=1`.
    fn tell(&self, what: &str) {
        if std::env::var_os("TILLSYNC_TRACE").is_some() {
            let seconds = self.world.elapsed_ms() as f64 / 1000.0;
            eprintln!("{seconds:>10.3} {what}");
        }
    }

    /// Nothing goes wrong: no call too many, nothing parked, nothing for a person to do.
    async fn calm(&mut self) -> Result<(), Breach> {
        for _ in 0..3 + self.chance.below(6) {
            let before = self.watch.judge.writes(&self.world);
            let lengths: HashMap<Record, (usize, bool)> = (self.watch.model.records.iter())
                .map(|(place, r)| (place.clone(), (r.history.len(), r.state.is_some())))
                .collect();
            match self.chance.one_in(5) {
                true => self.drop_again(),
                false => self.drop_something(),
            }
            self.drained(600_000).await?;
            let writes = self.watch.judge.writes(&self.world) - before;
            let most = self.fewest(&lengths);
            if writes != most {
                let text = format!("{writes} calls that write, {most} are enough");
                return Err(Breach::new(5, text));
            }
            if self.world.count("SELECT count(*) FROM parked") > 0 {
                return Err(Breach::new(
                    4,
                    "something is parked, and nothing went wrong",
                ));
            }
            self.todo()?;
        }
        Ok(())
    }

    /// How many calls carry what changed since.
    fn fewest(&self, before: &HashMap<Record, (usize, bool)>) -> usize {
        let mut upserts: HashMap<Kind, usize> = HashMap::new();
        let mut deletes = 0;
        for (place, record) in &self.watch.model.records {
            let (len, there) = before.get(place).copied().unwrap_or_default();
            let since = &record.history[len..];
            let was = len.checked_sub(1).map(|last| &record.history[last]);
            if since.is_empty() || (!there && record.state.is_none()) {
                continue;
            }
            let gone = there
                && since.contains(&Label::Gone)
                && !(place.0 == Kind::Skus && self.watch.model.went_along(record));
            deletes += usize::from(gone);
            // What was set back to what it was needs none.
            if record.state.is_some() && (gone || record.history.last() != was) {
                *upserts.entry(place.0).or_default() += 1;
            }
        }
        let calls = upserts.into_iter().map(|(kind, n)| match kind {
            Kind::Customers | Kind::Products if n > SINGLES_MAX => 1,
            _ => n,
        });
        calls.sum::<usize>() + deletes
    }

    fn todo(&self) -> Result<(), Breach> {
        let config = &self.world.config;
        let now = crate::delivery::Clock::wall(&*self.world.clock);
        let utc = jiff::tz::TimeZone::UTC;
        let reader = Some(&self.world.reader);
        let status = crate::status::collect::collect(config, reader, None, now, &utc).unwrap();
        match status.todo.first() {
            None => Ok(()),
            Some(todo) => Err(Breach::new(
                4,
                format!("a to-do, and nothing went wrong: {todo:?}"),
            )),
        }
    }

    /// The tills take so many calls, of their half.
    fn tills(&mut self, calls: u64) {
        let now = self.world.now();
        let minute = now.div_euclid(60_000);
        if self.tills.0 != minute {
            self.tills = (minute, 0);
        }
        let calls = calls.min(self.tills_max - self.tills.1);
        self.tills.1 += calls;
        self.world.remote.lock().unwrap().consume(calls, now);
    }

    fn faults(&mut self, json: &str) {
        let faults: Faults = serde_json::from_str(json).unwrap();
        let now = self.world.now();
        self.world.remote.lock().unwrap().set_faults(faults, now);
    }

    /// A customers file that was stored is taken back.
    fn revert(&mut self) -> Result<(), Breach> {
        let stored = |(index, file): (usize, &Dropped)| {
            (file.applied && file.place.kind == Kind::Customers).then_some(index)
        };
        let files: Vec<usize> = self
            .watch
            .dropped
            .iter()
            .enumerate()
            .filter_map(stored)
            .collect();
        let busy = "SELECT count(*) FROM file WHERE state = 'reading'";
        if files.is_empty() || self.full || self.world.count(busy) > 0 {
            return Ok(());
        }
        // The last ones are the likeliest to have changed something last.
        let index = files[files.len() - 1 - self.chance.below(files.len().min(2) as u64) as usize];
        let name = self.watch.dropped[index].name.clone();
        let now = crate::delivery::Clock::wall(&*self.world.clock);
        let id: Option<i64> = (self.world.reader)
            .query_row(
                "SELECT id FROM file WHERE name = ?1 AND state = 'stored' AND archived IS NOT NULL",
                [name],
                |row| row.get(0),
            )
            .ok();
        let Some(id) = id else { return Ok(()) };
        self.watch.judge.requests(&self.world, &self.watch.model)?;
        self.world
            .command(|store| store.revert(id, false, now, |_, _, _| {}))
            .map_err(|error| Breach::new(1, format!("revert: {error}")))?;
        self.watch.model.revert(index as u64 + 1);
        judge::store(&self.world, &self.watch.model)
    }

    /// The rows of an earlier file once more.
    fn drop_again(&mut self) {
        if self.watch.dropped.is_empty() {
            return self.drop_something();
        }
        let last = self.watch.dropped.len() - 1;
        let index = last - self.chance.below(self.watch.dropped.len().min(3) as u64) as usize;
        let (place, rows) = (
            self.watch.dropped[index].place,
            self.watch.dropped[index].rows.clone(),
        );
        // Without faults a SKU's product is there, and so are an order's parents.
        if self.watch.calm && matches!(place.kind, Kind::Skus | Kind::Orders) {
            return self.drop_something();
        }
        self.put(place, rows);
    }

    fn drop_something(&mut self) {
        let place = self.chance.pick(FOLDERS);
        let rows = self.rows(place);
        self.put(place, rows);
    }

    fn put(&mut self, place: &'static Place, rows: Vec<Row>) {
        if rows.is_empty() {
            return;
        }
        let name = format!("{}-{}.csv", place.name, self.watch.dropped.len());
        let bytes = csv(place.kind, &rows);
        let renamed = self.watch.calm || !self.chance.one_in(5);
        self.world.put(place, &name, &bytes, renamed);
        let lives = renamed && self.world.is_alive();
        self.tell(&format!("{name}: {}", String::from_utf8_lossy(&bytes)));
        self.watch
            .by_name
            .insert(name.clone(), self.watch.dropped.len());
        self.watch.dropped.push(Dropped {
            place,
            name,
            rows,
            bytes,
            life: lives.then_some(self.world.lives),
            applied: false,
        });
    }

    fn rows(&mut self, place: &Place) -> Vec<Row> {
        let kind = place.kind;
        let (letter, pool, large) = match kind {
            Kind::Customers => ("c", 8, 30),
            Kind::Products => ("p", 5, 15),
            Kind::Skus => ("s", 6, 6),
            Kind::Orders => ("o", 6, 6),
        };
        let (pool, many) = match self.chance.one_in(5) {
            true => (large, 2 * large),
            false => (pool, 1 + self.chance.below(4)),
        };
        self.version += 1;
        let version = self.version;
        let mut rows = Vec::new();
        let mut keys = HashSet::new();
        for _ in 0..many {
            let key = format!("{letter}{}", self.chance.below(pool));
            // Rows of an order stand together; and without faults each key stands once.
            let once = kind == Kind::Orders || self.watch.calm;
            if !keys.insert(key.clone()) && once {
                continue;
            }
            let said = self.said(kind, &key, version);
            rows.extend(said.map(|said| Row { key, said }));
        }
        rows
    }

    fn said(&mut self, kind: Kind, key: &str, version: u64) -> Option<Said> {
        if kind != Kind::Orders && self.chance.one_in(7) {
            return Some(Said::Delete);
        }
        if kind == Kind::Products && !self.watch.calm && self.chance.one_in(12) {
            return Some(Said::Bad);
        }
        // Now and then what it was before.
        let history = self.watch.model.records.get(&(kind, key.to_owned()));
        let former = history.and_then(|r| r.history.iter().rev().nth(1)).cloned();
        let version = match former {
            Some(Label::Version(former)) if self.chance.one_in(2) => former,
            _ => format!("v{version}"),
        };
        let text = |text: String| Some(serde_json::to_string(&text).unwrap());
        let name = match self.chance.one_in(8) {
            true => None,
            false => text(format!("N{version}")),
        };
        let v = ("metadata.v", text(version.clone()));
        Some(Said::Upsert(match kind {
            Kind::Customers => {
                let email = match self.chance.one_in(2) {
                    true => None,
                    false => text(format!("{key}.{version}@example.com")),
                };
                vec![("name", name), ("email", email), v]
            }
            Kind::Products => {
                let number = version[1..].parse::<u64>().unwrap();
                vec![
                    ("name", text(format!("N{version}"))),
                    ("price", Some((100 + number).to_string())),
                    v,
                ]
            }
            Kind::Skus => {
                let product = self.parent(Kind::Products, key)?;
                vec![
                    ("product", text(product)),
                    ("sku", text(format!("{key}-{version}"))),
                    v,
                ]
            }
            Kind::Orders => {
                let customer = self.parent(Kind::Customers, key)?;
                vec![
                    ("status", text("PAID".into())),
                    ("customer.source_id", text(customer)),
                    v,
                ]
            }
        }))
    }

    /// Mostly always the same one; without faults one that is there.
    fn parent(&mut self, kind: Kind, of: &str) -> Option<String> {
        let (letter, pool) = match kind {
            Kind::Products => ("p", 5),
            _ => ("c", 9),
        };
        let own = of[1..].parse::<u64>().unwrap() % pool;
        let number = match self.chance.one_in(5) {
            true => self.chance.below(pool),
            false => own,
        };
        let key = format!("{letter}{number}");
        (!self.watch.calm || self.watch.model.is_there(kind, &key)).then_some(key)
    }

    /// Until nothing waits; a breach of promise 6 if something still does then.
    async fn drained(&mut self, within_ms: i64) -> Result<(), Breach> {
        let until = self.world.now() + within_ms;
        let mut ms = 1_000;
        loop {
            self.pass(ms).await?;
            ms = (2 * ms).min(60_000);
            let waits = "SELECT (SELECT count(*) FROM pending)
                 + (SELECT count(*) FROM flight WHERE state IN ('open', 'job'))
                 + (SELECT count(*) FROM file WHERE archived IS NULL)";
            let taken = self.watch.dropped.iter().all(|file| file.applied);
            if taken && self.world.count(waits) == 0 {
                return Ok(());
            }
            if self.world.now() > until {
                return Err(Breach::new(6, format!("still waiting: {}", self.rest())));
            }
        }
    }

    fn rest(&self) -> String {
        let sql = "SELECT 'pending ' || p.kind || ' ' || d.source_id || ' file ' || p.file || ' flight '
               || coalesce(p.flight, '-') || ' next ' || p.next_try || ' attempts ' || p.attempts || ' '
               || coalesce(p.last_error, '') || ' body ' || coalesce(p.body, '-')
               FROM pending p JOIN document d ON d.id = p.id
             UNION ALL SELECT 'flight ' || id || ' ' || channel || ' ' || state || ' quiet ' || quiet
               FROM flight WHERE state <> 'done'
             UNION ALL SELECT 'file ' || id || ' ' || name || ' ' || state FROM file WHERE archived IS NULL
             UNION ALL SELECT 'meta ' || name || ' ' || value FROM meta WHERE name IN ('link', 'budget')";
        let mut statement = self.world.reader.prepare(sql).unwrap();
        let rows = statement
            .query_map([], |row| row.get::<_, String>(0))
            .unwrap();
        let mut rest: Vec<String> = rows.map(Result::unwrap).collect();
        let untaken = self.watch.dropped.iter().filter(|file| !file.applied);
        rest.extend(untaken.map(|file| format!("not taken {}", file.name)));
        rest.push(format!("now {}", self.world.now()));
        rest.join("\n")
    }

    /// Nothing goes wrong any more.
    async fn end(&mut self) -> Result<(), Breach> {
        self.tell("nothing goes wrong any more");
        plant::light(None);
        self.full = false;
        self.world.set_room(None);
        if !self.watch.calm {
            self.let_go();
            // One that is refused for good holds up no other.
            let refused = r#"{"refuse":[{"kind":"customers","source_id":"c1"}]}"#;
            if self.chance.one_in(3) {
                self.faults_and_lost_jobs(refused);
            }
            self.drained(DRAINED_MS).await?;
            self.faults_and_lost_jobs("{}");
            for _ in 0..6 {
                if self.parked().is_ok() {
                    break;
                }
                self.world
                    .command(|store| store.write(|c| flight::retry(c, &flight::Selection::All, 1)))
                    .map_err(|error| Breach::new(6, format!("retry: {error}")))?;
                self.drained(DRAINED_MS).await?;
            }
        }
        let parked = self.parked()?;
        judge::remote(&self.world, &self.watch.model, &parked)?;
        self.same_again().await?;
        let dropped: Vec<&[u8]> = self
            .watch
            .dropped
            .iter()
            .map(|f| f.bytes.as_slice())
            .collect();
        judge::files(&self.world, &dropped)
    }

    fn let_go(&mut self) {
        self.watch.judge.released = true;
        self.faults_and_lost_jobs("{}");
    }

    /// Jobs that hang are forgotten by the remote.
    fn faults_and_lost_jobs(&mut self, json: &str) {
        let mut faults: serde_json::Value = serde_json::from_str(json).unwrap();
        let hung: Vec<serde_json::Value> = {
            let remote = self.world.remote.lock().unwrap();
            let jobs = remote
                .arrivals()
                .iter()
                .filter_map(|a| a.async_action_id.as_deref());
            jobs.filter(|id| remote.job_ends_ms(id) == Some(i64::MAX))
                .map(|id| serde_json::json!({"match": format!("GET /v1/async-actions/{id}"), "always": true, "status": 404}))
                .collect()
        };
        faults["faults"] = hung.into();
        self.faults(&faults.to_string());
    }

    /// SKUs whose product is not there, and nothing else.
    fn parked(&self) -> Result<HashSet<Record>, Breach> {
        let mut statement = (self.world.reader)
            .prepare(
                "SELECT p.kind, d.source_id, p.code FROM parked p JOIN document d ON d.id = p.id",
            )
            .unwrap();
        let rows = statement
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .unwrap();
        let rows: Vec<(i64, String, String)> = rows.map(Result::unwrap).collect();
        let mut parked = HashSet::new();
        for (kind, key, code) in rows {
            let kind = Kind::from_code(kind).unwrap();
            let place = (kind, key);
            let state = self
                .watch
                .model
                .records
                .get(&place)
                .and_then(|r| r.state.as_ref());
            let product: Option<String> = state
                .and_then(|fields| fields.get("product"))
                .and_then(|json| serde_json::from_str(json).ok());
            let orphan = product.is_some_and(|p| !self.watch.model.is_there(Kind::Products, &p));
            if code != "product_unknown" || !orphan {
                return Err(Breach::new(6, format!("{place:?} is still parked: {code}")));
            }
            parked.insert(place);
        }
        Ok(parked)
    }

    /// Promise 5: the customers as they are, twice.
    async fn same_again(&mut self) -> Result<(), Breach> {
        let before = self.watch.judge.writes(&self.world);
        for _ in 0..2 {
            let mut rows = Vec::new();
            for ((kind, key), record) in &self.watch.model.records {
                if let (Kind::Customers, Some(state)) = (kind, &record.state)
                    && state.contains_key("metadata.v")
                {
                    let fields = ["name", "email", "metadata.v"];
                    let said = fields.map(|field| (field, state.get(field).cloned()));
                    rows.push(Row {
                        key: key.clone(),
                        said: Said::Upsert(said.to_vec()),
                    });
                }
            }
            self.put(&FOLDERS[0], rows);
            self.drained(600_000).await?;
        }
        match self.watch.judge.writes(&self.world) - before {
            0 => Ok(()),
            n => Err(Breach::new(5, format!("unchanged rows caused {n} calls"))),
        }
    }
}

fn columns(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Customers => &["name", "email", "metadata.v"],
        Kind::Products => &["name", "price", "metadata.v"],
        Kind::Skus => &["product", "sku", "metadata.v"],
        Kind::Orders => &["status", "customer.source_id", "metadata.v"],
    }
}

fn csv(kind: Kind, rows: &[Row]) -> Vec<u8> {
    let columns = columns(kind);
    let deletes = kind != Kind::Orders;
    let mut text = format!(
        "source_id,{}{}\n",
        columns.join(","),
        if deletes { ",deleted" } else { "" }
    );
    for row in rows {
        text += &row.key;
        for column in columns {
            text.push(',');
            match (&row.said, *column) {
                (Said::Upsert(fields), column) => {
                    let value = fields.iter().find(|(field, _)| *field == column);
                    text += &cell(column, value.and_then(|(_, json)| json.as_deref()));
                }
                (Said::Bad, "price") => text += "abc",
                (Said::Delete, "product") => text += "p0",
                _ => {}
            }
        }
        match row.said {
            Said::Delete => text += ",yes",
            _ if deletes => text += ",",
            _ => {}
        }
        text.push('\n');
    }
    text.into_bytes()
}

fn cell(column: &str, json: Option<&str>) -> String {
    match (column, json) {
        (_, None) => String::new(),
        ("price", Some(json)) => {
            let cents: u64 = json.parse().unwrap();
            format!("{}.{:02}", cents / 100, cents % 100)
        }
        (_, Some(json)) => serde_json::from_str(json).unwrap(),
    }
}
