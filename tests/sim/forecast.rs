//! What `plan` foretells of a file is what delivery then takes: random files of all kinds over a random
//! store, with a random part of the budget spent, first planned and then dropped.
//!
//! `TILLSYNC_SEEDS=1000 cargo test --lib sim::forecast` runs so many; `TILLSYNC_SEED=7` that one alone.

use std::collections::{BTreeMap, BTreeSet};

use super::chance::Chance;
use super::seeds;
use super::world::{Place, World, presets};
use crate::budget::{Budget, Part};
use crate::config::{Bulk, Period};
use crate::delivery::Clock;
use crate::delivery::tests::world::simulated;
use crate::intake::plan::{CircumstancesOf, PlannedFile, dry_run};
use crate::kind::Kind;
use crate::plan::Forecast;
use crate::standin::{self, Limit};
use crate::store::{self, Store, flight};
use crate::wire::Endpoint;

const SEEDS: u64 = 8;

const fn place(name: &'static str, kind: Kind) -> Place {
    Place {
        name,
        kind,
        clears: false,
    }
}

const PLACES: &[Place] = &[
    place("customers", Kind::Customers),
    place("products", Kind::Products),
    place("skus", Kind::Skus),
    place("orders", Kind::Orders),
    place("history", Kind::Orders),
];

const CUSTOMERS: &str = "source_id,name,metadata.tier,metadata.note,News,deleted\n";
const PRODUCTS: &str = "source_id,name,metadata.tier,metadata.note,deleted\n";

struct Run {
    chance: Chance,
    world: World,
    bulk: Bulk,
    files: u64,
    version: u64,
    /// Products that a file brought, and that none deleted since.
    products: BTreeSet<u64>,
    /// Records of some ten thousand bytes.
    large: bool,
}

impl Run {
    fn new(seed: u64) -> Run {
        let mut chance = Chance(seed);
        let bulk = *chance.pick(&[Bulk::Auto, Bulk::Auto, Bulk::Always, Bulk::Never]);
        let settings = standin::Settings {
            limit: Limit {
                calls: *chance.pick(&[100, 2_000]),
                ..Limit::default()
            },
            job_base_ms: *chance.pick(&[0, 200, 3_000]),
            ..standin::Settings::default()
        };
        let period = *chance.pick(&[Period::Auto, Period::Minute]);
        let world = World::with(seed, PLACES, settings, |config| {
            config.api.bulk = bulk;
            config.api.period = period;
            for folder in &mut config.folders {
                folder.max_delete_percent = 100.0;
                match folder.name.as_str() {
                    "customers" => folder.columns = vec![("News".into(), "consent.news".into())],
                    "history" => folder.history = true,
                    _ => {}
                }
            }
        });
        Run {
            large: chance.one_in(6),
            chance,
            world: world.unwrap(),
            bulk,
            files: 0,
            version: 0,
            products: BTreeSet::new(),
        }
    }

    async fn pass(&mut self, ms: u64) {
        self.world.pass(ms, &mut |_| Ok(())).await.unwrap();
    }

    /// Until nothing waits.
    async fn drained(&mut self) {
        let waits = "SELECT (SELECT count(*) FROM pending)
             + (SELECT count(*) FROM flight WHERE state IN ('open', 'job'))
             + (SELECT count(*) FROM file WHERE archived IS NULL)";
        for _ in 0..100_000 {
            self.pass(1_000).await;
            if self.world.count("SELECT count(*) FROM file") == self.files as i64
                && self.world.count(waits) == 0
            {
                return;
            }
        }
        panic!("still waiting");
    }

    async fn file(&mut self) {
        let place = self.chance.pick(PLACES);
        let text = match place.name {
            "customers" | "products" if self.chance.one_in(3) => self.shared(place.kind),
            "customers" => self.customers(),
            "products" => self.products(),
            "skus" => self.skus(),
            _ => self.orders(),
        };
        self.files += 1;
        let name = format!("{}.csv", self.files);
        // Sometimes at once, while what the last file took still counts.
        let ms = *self.chance.pick(&[0, 20_000, 200_000]);
        self.pass(ms).await;
        let (planned, mut foretold) = self.planned(place, &text);
        let began = self.world.now();
        let last = "SELECT coalesce(max(id), 0) FROM request";
        let before = self.world.count(last);
        self.world.put(place, &name, text.as_bytes(), true);
        self.drained().await;
        let taken = self.taken(before);
        // Which SKUs the remote has may be known from a file before: one call less.
        let export = Endpoint::ExportNew.label();
        if !taken.contains_key(&export) {
            foretold.total -= foretold.by.remove(&export).unwrap_or(0);
        }
        let shown: String = text.chars().take(600).collect();
        assert_eq!(
            foretold.by, taken,
            "{}: {:?}\n{shown}",
            place.name, self.bulk
        );
        assert_eq!(foretold.total, taken.values().sum::<u64>());
        // Where the period is to be found out, a share that was used up may be kept for an hour.
        if !taken.is_empty() && self.world.config.api.period == Period::Minute {
            self.time(foretold.duration_ms.unwrap(), began, before);
        }
        let (new, changed, deleted): (i64, i64, i64) = (self.world.reader)
            .query_row(
                "SELECT new, changed, deleted FROM file ORDER BY id DESC LIMIT 1",
                [],
                |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
            )
            .unwrap();
        let counted = (planned.new, planned.changed, planned.deleted);
        assert_eq!(
            counted,
            (new as u64, changed as u64, deleted as u64),
            "{shown}"
        );
    }

    fn planned(&self, place: &Place, text: &str) -> (PlannedFile, Forecast) {
        let config = &self.world.config;
        let path = self.world.dir.path().join("planned.csv");
        std::fs::write(&path, text).unwrap();
        let folder = config
            .folders
            .iter()
            .find(|f| f.name == place.name)
            .unwrap();
        let types = store::meta::metadata_types(&self.world.reader).unwrap();
        let of = |_: &_| CircumstancesOf {
            presets: presets(),
            types: types.clone().map(|(types, _)| types).unwrap_or_default(),
            host_zone: "UTC".into(),
            today: jiff::civil::date(2026, 11, 25),
        };
        let files = [(path, folder.clone())];
        let reader = || Store::look(&config.state_dir);
        let scratch = &config.state_dir;
        let row_bytes = &crate::plan::sku_row_bytes;
        let planned = dry_run(&files, &of, &reader, scratch, row_bytes)
            .unwrap()
            .remove(0);
        assert_eq!((&planned.unreadable, &planned.held), (&None, &None));
        let now = self.world.clock.wall();
        let kept = flight::standing(&self.world.reader, now).unwrap().budget;
        let spent = flight::spent(&self.world.reader, now).unwrap();
        let budget = Budget::new(Part::of(&config.api), kept, &spent, now);
        let forecast = planned.forecast(self.bulk, folder.history, (&budget, now));
        (planned, forecast)
    }

    /// Calls that write, since a request.
    fn taken(&self, before: i64) -> BTreeMap<String, u64> {
        let mut statement = (self.world.reader)
            .prepare_cached(
                "SELECT method || ' ' || path, count(*) FROM request
                 WHERE id > ?1 AND method <> 'GET' GROUP BY 1",
            )
            .unwrap();
        let rows = statement.query_map([before], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?)));
        let rows = rows.unwrap().map(|row| row.unwrap());
        rows.map(|(call, n)| (call, n as u64)).collect()
    }

    /// How long it took from when it was planned to the last answer.
    fn time(&self, foretold: i64, began: i64, before: i64) {
        let sql = format!("SELECT max(at + duration_ms) FROM request WHERE id > {before}");
        let taken = self.world.count(&sql) - began;
        // A minute may turn a moment sooner or later, and a job may take one.
        let about = |a: i64, b: i64| a <= b + b / 4 + 65_000;
        assert!(
            about(foretold, taken) && about(taken, foretold),
            "{foretold} ms are foretold, {taken} were taken"
        );
    }

    /// Numbers of records, few or many.
    fn numbers(&mut self, pool: u64) -> Vec<u64> {
        let most = *self.chance.pick(&[3, 12, 30, pool]);
        let mut numbers: Vec<u64> = (0..1 + self.chance.below(most))
            .map(|_| self.chance.below(pool))
            .collect();
        numbers.sort_unstable();
        numbers.dedup();
        numbers
    }

    fn note(&self) -> String {
        match self.large {
            true => "x".repeat(40_000),
            false => String::new(),
        }
    }

    fn customers(&mut self) -> String {
        self.version += 1;
        let mut text = String::from(CUSTOMERS);
        let note = self.note();
        for n in self.numbers(400) {
            let name = self.chance.below(3);
            let news = *self.chance.pick(&["", "", "yes", "no"]);
            let deleted = if self.chance.one_in(9) { "yes" } else { "" };
            text += &format!(
                "c{n},N{name},t{},{note},{news},{deleted}\n",
                self.version % 3
            );
            // The same key once more; how many that are made again share a body is not foretold.
            if self.chance.one_in(20) && (deleted.is_empty() || self.bulk != Bulk::Always) {
                text += &format!("c{n},M{name},,,,\n");
            }
        }
        text
    }

    /// One change of metadata for all that there are.
    fn shared(&mut self, kind: Kind) -> String {
        self.version += 1;
        let mut text = match kind {
            Kind::Customers => String::from(CUSTOMERS),
            _ => String::from(PRODUCTS),
        };
        let blank = if kind == Kind::Customers { "," } else { "" };
        let sql = format!(
            "SELECT source_id FROM record WHERE NOT gone AND kind = {}",
            kind.code()
        );
        let mut statement = self.world.reader.prepare(&sql).unwrap();
        let keys = statement
            .query_map([], |row| row.get::<_, String>(0))
            .unwrap();
        for key in keys {
            text += &format!("{},,t{},,{blank}\n", key.unwrap(), self.version);
        }
        text
    }

    fn products(&mut self) -> String {
        let mut text = String::from(PRODUCTS);
        let note = self.note();
        for n in self.numbers(300) {
            let deleted = self.chance.one_in(6);
            match deleted {
                true => self.products.remove(&n),
                false => self.products.insert(n),
            };
            let (name, deleted) = (self.chance.below(3), if deleted { "yes" } else { "" });
            text += &format!("p{n},N{name},,{note},{deleted}\n");
        }
        text
    }

    fn skus(&mut self) -> String {
        let mut text = String::from("source_id,product,sku,currency,deleted\n");
        // Some name a product that nobody knows; a CSV that holds one is another matter.
        let numbers = self.numbers(120);
        let products: Vec<u64> = self.products.iter().copied().collect();
        for n in &numbers {
            let product = match products.is_empty() || (numbers.len() < 9 && self.chance.one_in(9))
            {
                true if numbers.len() >= 9 => break,
                true => self.chance.below(320),
                false => match self.chance.one_in(9) {
                    true => *self.chance.pick(&products),
                    false => products[(*n as usize) % products.len().min(5)],
                },
            };
            let currency = if self.chance.one_in(6) { "EUR" } else { "" };
            let deleted = if self.chance.one_in(9) { "yes" } else { "" };
            let code = self.chance.below(3);
            text += &format!("s{n},p{product},x{code},{currency},{deleted}\n");
        }
        text
    }

    fn orders(&mut self) -> String {
        let mut text = String::from("source_id,status,amount,customer.source_id\n");
        for n in self.numbers(200) {
            let customer = self.chance.below(500);
            let status = *self.chance.pick(&["PAID", "FULFILLED"]);
            text += &format!("o{n},{status},{}.00,c{customer}\n", self.chance.below(3));
        }
        text
    }
}

async fn run(seed: u64) {
    let mut run = Run::new(seed);
    for _ in 0..12 {
        run.file().await;
    }
}

#[test]
fn what_is_foretold_is_what_delivery_takes() {
    for seed in seeds(SEEDS) {
        let found = std::panic::catch_unwind(|| simulated(run(seed)));
        assert!(
            found.is_ok(),
            "repeat with: TILLSYNC_SEED={seed} cargo test --lib sim::forecast"
        );
    }
}
