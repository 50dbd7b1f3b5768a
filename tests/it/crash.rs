//! `kill -9`, or the power cut, at random instants, seeded, over intake and delivery; then everything
//! that is promised is checked from outside, by a reader and a fold of our own.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::mount::Disk;
use crate::shop::{Running, Shop, number, wait};

/// A small generator of our own: the same seed gives the same shop, whatever crates are in use.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Dice {
        Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % n
    }
}

/// What the shop's other systems said, folded by hand: key → the version of its last good row.
type Said = BTreeMap<(&'static str, String), u64>;

struct Producer {
    dice: Dice,
    version: u64,
    said: Said,
    dropped: Vec<(&'static str, String, String)>,
    bad_rows: usize,
}

impl Producer {
    /// Writes a file of some rows, each with a version that only rises, a few of them bad.
    fn drop_file(&mut self, shop: &Shop) {
        let kind =
            ["customers", "products", "customers", "orders", "skus"][self.dice.below(5) as usize];
        let mut text = header(kind).to_owned();
        let mut keys: Vec<u64> = (0..self.dice.below(60) + 1)
            .map(|_| self.dice.below(200))
            .collect();
        keys.sort_unstable();
        keys.dedup();
        for n in keys {
            self.version += 1;
            let bad = self.dice.below(25) == 0;
            self.bad_rows += usize::from(bad);
            text += &row(kind, n, self.version, bad);
            if !bad {
                self.said.insert((kind, key(kind, n)), self.version);
            }
        }
        let name = format!("export-{}.csv", self.dropped.len());
        shop.drop_for_good(kind, &name, &text);
        self.dropped.push((kind, name, text));
    }
}

fn key(kind: &str, n: u64) -> String {
    // Every fortieth is refused by the stand-in for good.
    let poison = if n % 40 == 7 { "poison-" } else { "" };
    format!("{poison}{}-{n}", &kind[..1])
}

fn header(kind: &str) -> &'static str {
    match kind {
        "customers" => "source_id,name,birthdate,metadata.v\n",
        "products" => "source_id,name,price,metadata.v\n",
        "skus" => "source_id,product,sku,price,metadata.v\n",
        _ => "source_id,status,amount,customer.source_id,metadata.v\n",
    }
}

fn row(kind: &str, n: u64, version: u64, bad: bool) -> String {
    let key = key(kind, n);
    match kind {
        "customers" => format!(
            "{key},Name {n},{},{version}\n",
            if bad { "1990-02-31" } else { "1990-02-27" }
        ),
        "products" => format!(
            "{key},Product {n},{},{version}\n",
            if bad { "12.99abc" } else { "12.99" }
        ),
        "skus" => format!(
            "{key},p-1000,Sku {n},{},{version}\n",
            if bad { "x" } else { "3.50" }
        ),
        _ => format!(
            "{key},{},12.00,c-1000,{version}\n",
            if bad { "LOST" } else { "PAID" }
        ),
    }
}

/// What the remote does to us: some records are refused for good; in bad weather calls fail before and
/// after they took effect.
fn weather(bad: bool) -> String {
    let faults = if bad {
        json!([
            {"match": "POST", "chance": 0.05, "status": 503},
            {"match": "POST", "chance": 0.05, "then": "reset"},
            {"match": "POST", "chance": 0.05, "apply": true, "then": "reset"},
            {"chance": 0.02, "then": "slow 300"},
        ])
    } else {
        json!([])
    };
    json!({"faults": faults, "refuse": [{"prefix": "poison-", "status": 400, "key": "invalid_payload"}]}).to_string()
}

/// One shop, so many ends of its daemon by force, then peace, then the promises.
fn trial(shop: &Shop, seed: u64, ends: u64, end_by_force: impl Fn(Running)) {
    shop.standin
        .post("/_standin/settings", r#"{"limit": {"calls": 100000}}"#);
    shop.standin.post("/_standin/faults", &weather(true));
    for (kind, key) in [("customers", "c-1000"), ("products", "p-1000")] {
        let text = format!("source_id,name\n{key},Base\n");
        shop.drop_for_good(kind, "base.csv", &text);
    }
    let mut producer = Producer {
        dice: Dice::new(seed),
        version: 0,
        said: Said::new(),
        dropped: Vec::new(),
        bad_rows: 0,
    };
    for _ in 0..ends {
        let daemon = shop.daemon();
        for _ in 0..producer.dice.below(3) {
            producer.drop_file(shop);
        }
        // The instant of the end is what is tried here, not a wait for anything.
        std::thread::sleep(Duration::from_millis(producer.dice.below(400)));
        end_by_force(daemon);
    }
    shop.standin.post("/_standin/faults", &weather(false));
    producer.drop_file(shop);
    let daemon = shop.daemon();
    // What is said to be pending counts once the files are stored, and not before they were seen.
    wait("all files are moved away", || {
        let is_away = |kind: &str, name: &str| {
            let archived = shop.listing(&shop.path(kind).join("archive"));
            archived.iter().any(|n| n.ends_with(&format!("Z-{name}")))
        };
        let mut dropped = producer.dropped.iter();
        let all = dropped.all(|(kind, name, _)| is_away(kind, name));
        all.then_some(())
    });
    shop.wait_delivered();
    check_promises(seed, shop, &producer);
    check_nothing_is_sent_again(seed, shop, &producer);
    end(daemon);
}

fn end(daemon: Running) {
    daemon.signal("-TERM");
    assert_eq!(daemon.ended(), Some(0));
}

fn check_promises(seed: u64, shop: &Shop, producer: &Producer) {
    // 1: every file is whole in its archive, once, and every bad row among the rejects.
    for (kind, name, text) in &producer.dropped {
        let folder = shop.path(kind).join("archive");
        let there: Vec<String> = shop
            .listing(&folder)
            .into_iter()
            .filter(|n| n.ends_with(&format!("Z-{name}")))
            .collect();
        assert_eq!(there.len(), 1, "seed {seed}: {name} in {there:?}");
        assert_eq!(
            &fs::read_to_string(folder.join(&there[0])).unwrap(),
            text,
            "seed {seed}: {name} is whole"
        );
    }
    let rejects = shop.json(&["rejects", "--limit", "1000000"]);
    assert_eq!(
        rejects.as_array().unwrap().len(),
        producer.bad_rows,
        "seed {seed}: each bad row is one reject"
    );
    // 2: the remote holds what was said; 4: what it refuses is parked, and holds up nothing.
    let parked = shop.json(&["parked", "--limit", "1000000"]);
    let parked: Vec<&str> = parked
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|p| p["key"].as_str())
        .collect();
    for ((kind, key), version) in &producer.said {
        if key.starts_with("poison-") {
            assert!(
                parked.contains(&key.as_str()),
                "seed {seed}: {kind} {key} is parked"
            );
            continue;
        }
        let held = shop.standin.holds(kind);
        let Some(held) = held.get(key) else {
            let trace = shop.run(&["trace", kind, key]).stdout;
            let trace = String::from_utf8_lossy(&trace);
            panic!("seed {seed}: {kind} {key} is not at the remote\n{trace}");
        };
        let held = &held["metadata"]["v"];
        assert_eq!(
            held,
            &Value::from(version.to_string()),
            "seed {seed}: {kind} {key}"
        );
    }
    check_order(seed, shop);
}

/// 3: in what the stand-in saw arrive, no record's version ever falls.
fn check_order(seed: u64, shop: &Shop) {
    let mut last: BTreeMap<(String, String), u64> = BTreeMap::new();
    for request in shop.standin.requests() {
        for record in request["records"].as_array().into_iter().flatten() {
            let Some(version) = record["content"]["metadata"]["v"]
                .as_str()
                .and_then(|v| v.parse().ok())
            else {
                continue;
            };
            let text = |field: &str| record[field].as_str().unwrap_or_default().to_owned();
            let newest = last.entry((text("kind"), text("source_id"))).or_default();
            assert!(
                version >= *newest,
                "seed {seed}: {} went from {newest} back to {version}",
                text("source_id")
            );
            *newest = version;
        }
    }
}

/// 5: the last file of each kind again changes nothing that was said after it, so nothing is sent.
fn check_nothing_is_sent_again(seed: u64, shop: &Shop, producer: &Producer) {
    let Some((kind, name, text)) = producer.dropped.last() else {
        return;
    };
    let writes = || {
        shop.standin
            .requests()
            .iter()
            .filter(|r| r["method"] != "GET")
            .count()
    };
    let before = writes();
    shop.drop_in(kind, &format!("again-{name}"), text);
    wait("the file is archived again", || {
        shop.listing(&shop.path(kind).join("archive"))
            .iter()
            .any(|n| n.contains("again-"))
            .then_some(())
    });
    shop.wait_delivered();
    assert_eq!(
        writes(),
        before,
        "seed {seed}: an unchanged file sends nothing"
    );
}

/// Ends of one shop's daemon.
const ENDS: u64 = 8;

/// Shops, so that there are `ends` ends in all, or what the environment says.
fn shops(variable: &str, ends: u64) -> std::ops::RangeInclusive<u64> {
    1..=number(variable).unwrap_or(ends).div_ceil(ENDS)
}

#[test]
fn kills_at_random_instants_break_no_promise() {
    // `TILLSYNC_KILLS=200` (or any number) for the long run.
    for seed in shops("TILLSYNC_KILLS", 40) {
        trial(&Shop::new(), seed, ENDS, Running::kill);
    }
}

#[test]
fn cuts_of_the_power_at_random_instants_break_no_promise() {
    // `TILLSYNC_CUTS=200` (or any number) for the long run.
    for seed in shops("TILLSYNC_CUTS", 16) {
        let Some(disk) = Disk::new() else { return };
        let shop = Shop::new_in(&disk.mounted());
        let status = Command::new("sync").arg("-f").arg(shop.config()).status();
        assert!(status.unwrap().success());
        trial(&shop, seed, ENDS, |daemon| disk.cut(daemon));
    }
}
