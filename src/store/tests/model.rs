//! Random operations on the real store and on a naive map: they agree after each.

use std::collections::BTreeMap;

use super::*;
use crate::record::CLEARED;

const KEYS: [&str; 7] = ["a", "b", "c", "d", "e", "f", "g"];
const FIELDS: [&str; 5] = ["consent.news", "email", "metadata.x", "name", "phone"];
const CONSENT: &str = "consent.news";

/// A small generator (xorshift): one seed is one run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

type Fields = BTreeMap<&'static str, String>;

#[derive(Clone, Debug, Default, PartialEq)]
struct Known {
    /// `None`: gone.
    now: Option<Fields>,
    /// What the remote acknowledged; the inner `None`: that it is gone.
    acked: Option<Option<Fields>>,
    refused: Option<Option<Fields>>,
    /// Acknowledged of its consents, since the remote last knew it.
    consent_acked: Option<String>,
    sent: bool,
    changed: bool,
}

/// Without the part that goes by itself.
fn alone(fields: &Option<Fields>) -> Option<Fields> {
    let mut fields = fields.clone()?;
    fields.remove(CONSENT);
    Some(fields)
}

impl Known {
    fn is_pending(&self) -> bool {
        let settled = match &self.acked {
            Some(acked) => *acked == alone(&self.now),
            None => self.now.is_none() && !self.sent,
        };
        !settled && self.refused.as_ref() != Some(&alone(&self.now))
    }

    fn consent_is_pending(&self) -> bool {
        let consent = self.now.as_ref().and_then(|fields| fields.get(CONSENT));
        consent.is_some() && consent != self.consent_acked.as_ref()
    }
}

type Map = BTreeMap<&'static str, Known>;

#[derive(Clone)]
struct Said {
    key: &'static str,
    fields: Vec<(&'static str, String)>,
    act: Act,
}

impl Said {
    fn roll(dice: &mut Dice) -> Said {
        let key = KEYS[dice.roll(KEYS.len() as u64) as usize];
        let act = match dice.roll(8) {
            0 => Act::Delete,
            1 => Act::CreateOnly,
            _ => Act::Upsert,
        };
        let mut fields = Vec::new();
        for field in FIELDS {
            match dice.roll(6) {
                n if field == CONSENT => {
                    let values = ["null", "null", "null", "true", "true", "false"];
                    fields.push((field, values[n as usize].to_owned()));
                }
                0 => fields.push((field, CLEARED.to_owned())),
                1 | 2 => fields.push((field, "null".to_owned())),
                n => fields.push((field, format!("\"{n}\""))),
            }
        }
        Said { key, fields, act }
    }

    fn row(&self) -> Row<'_> {
        Row {
            key: self.key,
            fields: self.fields.iter().map(|(f, v)| (*f, v.as_str())).collect(),
            act: self.act,
        }
    }

    fn apply(&self, map: &mut Map) {
        let known = map.get(self.key).cloned();
        let there = known.as_ref().and_then(|known| known.now.clone());
        let now = match (self.act, known.is_some(), there) {
            (Act::Delete, false, _) | (Act::CreateOnly, true, _) => return,
            (Act::Delete, true, _) => None,
            (_, _, there) => Some(self.laid_over(there.unwrap_or_default())),
        };
        let known = map.entry(self.key).or_default();
        known.changed |= known.now != now;
        if known.now.is_none() && now.is_some() && matches!(known.acked, None | Some(None)) {
            known.consent_acked = None;
        }
        known.now = now;
    }

    fn laid_over(&self, mut fields: Fields) -> Fields {
        for (field, json) in &self.fields {
            if json == "null" || json == CLEARED && !fields.contains_key(field) {
                continue;
            }
            fields.insert(field, json.clone());
        }
        fields
    }
}

fn run(seed: u64) {
    let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let mut t = tried();
    let mut map = Map::new();
    for step in 0..14 {
        match dice.roll(5) {
            0 => {
                let key = KEYS[dice.roll(KEYS.len() as u64) as usize];
                if map.get(key).is_some_and(Known::is_pending) {
                    let known = map.get_mut(key).unwrap();
                    known.sent = true;
                    if dice.roll(2) == 0 {
                        t.acknowledge(key);
                        known.acked = Some(alone(&known.now));
                        if let Some(now) = &known.now {
                            known.consent_acked = now.get(CONSENT).cloned();
                        }
                    } else {
                        t.park(key);
                        known.refused = Some(alone(&known.now));
                    }
                }
            }
            _ => file(&mut t, &mut dice, &mut map),
        }
        agree(&t, &map, &format!("seed {seed}, step {step}"));
    }
}

fn file(t: &mut Tried, dice: &mut Dice, map: &mut Map) {
    let rows: Vec<Said> = (0..1 + dice.roll(12)).map(|_| Said::roll(dice)).collect();
    let file = t.arrive("customers", Kind::Customers);
    // Some of it is read, the process dies, and it is read from its start.
    if dice.roll(3) == 0 {
        let mut session = t.begin(file).unwrap();
        let some = dice.roll(rows.len() as u64 + 1) as usize;
        apply(&mut session, dice, &rows[..some]);
        session.settle().unwrap();
        drop(session);
    }
    let mut session = t.begin(file).unwrap();
    apply(&mut session, dice, &rows);
    if dice.roll(3) == 0 {
        session.take_back(FileState::Waiting, None, 1).unwrap();
        return;
    }
    let before = map.clone();
    for row in &rows {
        row.apply(map);
    }
    let counts = session.finish(end(rows.len() as u64)).unwrap();
    let created = rows.iter().filter(|row| {
        let was_there = before.get(row.key).is_some_and(|known| known.now.is_some());
        !was_there && map.get(row.key).is_some_and(|known| known.changed)
    });
    let created: std::collections::BTreeSet<_> = created.map(|row| row.key).collect();
    assert_eq!(counts.new, created.len() as u64, "new");
    for known in map.values_mut() {
        if known.changed && known.refused.as_ref() != Some(&alone(&known.now)) {
            known.refused = None;
        }
        known.changed = false;
    }
}

fn apply(session: &mut IntakeSession, dice: &mut Dice, rows: &[Said]) {
    let mut line = 2;
    let mut rest = rows;
    while !rest.is_empty() {
        let n = (1 + dice.roll(5) as usize).min(rest.len());
        let (now, later) = rest.split_at(n);
        let now: Vec<_> = now.iter().map(Said::row).collect();
        session
            .apply(batch(Kind::Customers, &now, line), vec![], "", 1)
            .unwrap();
        line += n as u64;
        rest = later;
    }
}

#[track_caller]
fn agree(t: &Tried, map: &Map, at: &str) {
    let c = t.store.reader().unwrap();
    for (key, known) in map {
        let trace = trace(&c, Kind::Customers, key).unwrap();
        let trace = trace.unwrap_or_else(|| panic!("{at}: {key} is not stored"));
        let stored: BTreeMap<&str, String> = trace
            .content
            .iter()
            .map(|(f, v)| (f, v.to_owned()))
            .collect();
        assert_eq!(trace.gone, known.now.is_none(), "{at}: {key}");
        assert_eq!(stored, known.now.clone().unwrap_or_default(), "{at}: {key}");
        let pending = known.is_pending() || known.consent_is_pending();
        assert_eq!(trace.pending, pending, "{at}: {key} {known:?}");
        assert_eq!(
            trace.parked,
            known.refused.is_some(),
            "{at}: {key} {known:?}"
        );
        let mut folded = Content::default();
        for change in &trace.changes {
            change.fields.apply(&mut folded);
        }
        assert_eq!(folded, trace.content, "{at}: {key}");
    }
    let counted = counts(&c).unwrap();
    let there = map.values().filter(|known| known.now.is_some()).count();
    assert_eq!(counted.stored.total(), there as u64, "{at}");
    let mut waiting = Vec::new();
    for (key, known) in map {
        waiting.extend(known.is_pending().then(|| (*key).to_owned()));
        waiting.extend(known.consent_is_pending().then(|| format!("{key}+")));
    }
    assert_eq!(t.pending(), waiting, "{at}");
    let doubled: i64 = c
        .query_row(
            "SELECT count(*) FROM (SELECT 1 FROM (
               SELECT file, line FROM document UNION ALL SELECT file, line FROM change)
             WHERE file <> 0 GROUP BY file, line HAVING count(*) > 1)",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(doubled, 0, "{at}: a line made more than one change");
    let records: i64 = c
        .query_row("SELECT count(*) FROM record", [], |row| row.get(0))
        .unwrap();
    assert_eq!(records, map.len() as i64, "{at}: traces of unknown records");
}

#[test]
fn the_store_and_a_map_agree() {
    for seed in 1..=24 {
        run(seed);
    }
}

/// By hand, with as many seeds as there is time for.
#[test]
#[ignore = "takes minutes"]
fn the_store_and_a_map_agree_for_long() {
    for seed in 1000..2500 {
        run(seed);
    }
}
