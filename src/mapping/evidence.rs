//! What has to be known of a whole table before its first row is read: the decimal sign of a column,
//! its order of day and month, which groups' rows stand apart, what other rows explain.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use super::notation::{date, number, text};
use super::plan::{Cells, GroupPlan, any_holds};
use super::special::References;
use crate::config::{DateOrder, DecimalSign};

/// What a doubt is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DoubtKind {
    Decimal,
    Dates,
    /// Cents, unless a cell has a decimal sign.
    Cents,
    /// Text, unless a cell holds a list's sign.
    Lists(char),
}

/// A column whose notation no setting fixes, and what its cells said so far.
#[derive(Clone, Debug)]
pub(super) struct Doubt {
    pub kind: DoubtKind,
    pub columns: Vec<usize>,
    pub header: String,
    votes: Votes,
    pub settled: Settled,
}

#[derive(Clone, Copy, Debug, Default)]
struct Votes {
    /// Decimal point; day first; cents without a decimal sign.
    first: bool,
    /// Decimal comma; month first; a decimal sign.
    second: bool,
    /// Any cell at all.
    seen: bool,
}

/// What was decided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Settled {
    pub decimal: Option<DecimalSign>,
    pub dates: Option<DateOrder>,
    pub units: bool,
    pub list: bool,
}

impl Doubt {
    pub fn new(kind: DoubtKind, columns: Vec<usize>, header: String) -> Doubt {
        Doubt {
            kind,
            columns,
            header,
            votes: Votes::default(),
            settled: Settled::default(),
        }
    }

    fn observe<C: Cells + ?Sized>(&mut self, row: &C) {
        for &column in &self.columns {
            let cell = row.cell(column);
            if cell.is_empty() {
                continue;
            }
            let votes = &mut self.votes;
            votes.seen = true;
            match self.kind {
                DoubtKind::Decimal => match number::hint(cell) {
                    number::Hint::Certain(DecimalSign::Point) => votes.first = true,
                    number::Hint::Certain(DecimalSign::Comma) => votes.second = true,
                    _ => {}
                },
                DoubtKind::Cents => match number::hint(cell) {
                    number::Hint::Certain(DecimalSign::Point) => {
                        votes.first = true;
                        self.settled.units = true;
                    }
                    number::Hint::Certain(DecimalSign::Comma) => {
                        votes.second = true;
                        self.settled.units = true;
                    }
                    _ => {}
                },
                DoubtKind::Lists(sign) => self.settled.list |= cell.contains(sign),
                DoubtKind::Dates => match date::hint(cell) {
                    date::Hint::Certain(DateOrder::DayFirst) => votes.first = true,
                    date::Hint::Certain(DateOrder::MonthFirst) => votes.second = true,
                    _ => {}
                },
            }
        }
    }

    /// Whether a row cannot be read before this is settled. `false`: its cells mean the same whatever
    /// the others say.
    pub fn concerns<C: Cells + ?Sized>(&self, row: &C) -> bool {
        self.columns.iter().any(|&column| {
            let cell = row.cell(column);
            match self.kind {
                DoubtKind::Decimal => !cell.bytes().all(|byte| byte.is_ascii_digit()),
                DoubtKind::Dates => date::hangs_on_order(cell),
                DoubtKind::Cents | DoubtKind::Lists(_) => !cell.is_empty(),
            }
        })
    }

    fn settle(&mut self) {
        match (self.votes.first, self.votes.second) {
            (true, false) => {
                self.settled.decimal = Some(DecimalSign::Point);
                self.settled.dates = Some(DateOrder::DayFirst);
            }
            (false, true) => {
                self.settled.decimal = Some(DecimalSign::Comma);
                self.settled.dates = Some(DateOrder::MonthFirst);
            }
            // Nothing said, or one cell against the other: what is doubtful is rejected.
            _ => {}
        }
        match self.kind {
            DoubtKind::Dates => self.settled.decimal = None,
            DoubtKind::Lists(_) => {}
            DoubtKind::Decimal | DoubtKind::Cents => self.settled.dates = None,
        }
    }
}

/// Settles each column by its own cells; a column of amounts that says nothing by the file's others.
pub(super) fn settle(doubts: &mut [Doubt]) {
    let of_numbers = |d: &&Doubt| matches!(d.kind, DoubtKind::Decimal | DoubtKind::Cents);
    let file = Votes {
        first: doubts.iter().filter(of_numbers).any(|d| d.votes.first),
        second: doubts.iter().filter(of_numbers).any(|d| d.votes.second),
        seen: true,
    };
    for doubt in doubts {
        let silent = !doubt.votes.first && !doubt.votes.second;
        if silent && of_numbers(&&*doubt) {
            doubt.votes = file;
        }
        doubt.settle();
    }
}

/// The look-over of one table. Fed by `Evidence::observe` in `mapping`.
#[derive(Debug)]
pub(super) struct LookOver {
    pub doubts: Vec<Doubt>,
    pub groups: Option<Groups>,
    pub references: Option<References>,
}

impl LookOver {
    pub fn observe<C: Cells + ?Sized>(&mut self, row: &C, sound: bool) {
        if let Some(groups) = &mut self.groups {
            groups.observe(row);
        }
        // A row at fault says nothing: its cells may stand in each other's place.
        if !sound {
            return;
        }
        for doubt in &mut self.doubts {
            doubt.observe(row);
        }
        if let Some(references) = &mut self.references {
            references.observe(row);
        }
    }
}

/// Which groups come again after another one has begun. Of those the rows are kept together to the
/// table's end; all others go out as soon as the next begins.
///
/// A filter of fixed size rather than the keys: it may take a group for one that comes again (which
/// costs memory, not correctness), never the other way round.
#[derive(Debug)]
pub(super) struct Groups {
    plan: Arc<GroupPlan>,
    hasher: RandomState,
    current: Option<u64>,
    closed: Bits,
    pub apart: Apart,
}

/// The keys' hashes of groups whose rows stand apart.
#[derive(Clone, Debug, Default)]
pub(super) struct Apart {
    hasher: Option<RandomState>,
    hashes: std::collections::HashSet<u64>,
}

impl Apart {
    pub fn contains(&self, key: &str) -> bool {
        let hash = |hasher: &RandomState| hasher.hash_one(key);
        !self.hashes.is_empty()
            && self
                .hasher
                .as_ref()
                .is_some_and(|h| self.hashes.contains(&hash(h)))
    }
}

impl Groups {
    pub fn new(group: &Arc<GroupPlan>) -> Groups {
        let hasher = RandomState::new();
        Groups {
            plan: group.clone(),
            current: None,
            closed: Bits::default(),
            apart: Apart {
                hasher: Some(hasher.clone()),
                hashes: Default::default(),
            },
            hasher,
        }
    }

    fn observe<C: Cells + ?Sized>(&mut self, row: &C) {
        let key = self.plan.key(row);
        if key.is_empty() {
            return;
        }
        let hash = self.hasher.hash_one(key.as_ref());
        if self.current == Some(hash) {
            return;
        }
        if let Some(current) = self.current.replace(hash) {
            self.closed.insert(current);
        }
        if self.closed.contains(hash) {
            self.apart.hashes.insert(hash);
        }
    }
}

impl GroupPlan {
    /// What a row's group is called; empty: the row does not say.
    pub fn key<'a, C: Cells + ?Sized>(&self, row: &'a C) -> Cow<'a, str> {
        if !any_holds(&self.begin, row) {
            return Cow::Borrowed("");
        }
        self.by
            .iter()
            .map(|&column| text::key(row.cell(column)))
            .find(|key| !key.is_empty())
            .unwrap_or_default()
    }
}

/// A Bloom filter of 2 MiB: at a million groups one in 4,000 is held without need.
#[derive(Debug, Default)]
struct Bits {
    words: Vec<u64>,
}

const FILTER_BITS: u64 = 1 << 24;

impl Bits {
    fn places(hash: u64) -> [u64; 4] {
        let (a, b) = (hash & 0xFFFF_FFFF, hash >> 32 | 1);
        [0, 1, 2, 3].map(|i| (a + i * b) % FILTER_BITS)
    }

    fn insert(&mut self, hash: u64) {
        if self.words.is_empty() {
            self.words = vec![0; (FILTER_BITS / 64) as usize];
        }
        for place in Bits::places(hash) {
            self.words[(place / 64) as usize] |= 1 << (place % 64);
        }
    }

    fn contains(&self, hash: u64) -> bool {
        !self.words.is_empty()
            && Bits::places(hash)
                .iter()
                .all(|place| self.words[(place / 64) as usize] & (1 << (place % 64)) != 0)
    }
}

/// What was decided of each column, by its header: enough to read a part of the table the same way.
/// What no sound cell told is not decided.
pub(super) fn decided(doubts: &[Doubt]) -> BTreeMap<String, super::Notation> {
    let mut decided: BTreeMap<String, super::Notation> = BTreeMap::new();
    for doubt in doubts {
        let notation = decided.entry(doubt.header.clone()).or_default();
        let (settled, seen) = (doubt.settled, doubt.votes.seen);
        let decimal = settled.decimal.map(|sign| match sign {
            DecimalSign::Point => '.',
            DecimalSign::Comma => ',',
        });
        notation.decimal = notation.decimal.or(decimal);
        let day_first = settled.dates.map(|order| order == DateOrder::DayFirst);
        notation.day_first = notation.day_first.or(day_first);
        let units = (doubt.kind == DoubtKind::Cents && seen).then_some(settled.units);
        notation.units = notation.units.or(units);
        let list = (matches!(doubt.kind, DoubtKind::Lists(_)) && seen).then_some(settled.list);
        notation.list = notation.list.or(list);
    }
    decided
}

/// The other way round. Where nothing was decided, these rows' own cells have to: all that could
/// tell may have been among the rejected rows.
pub(super) fn impose(doubts: &mut [Doubt], decided: &BTreeMap<String, super::Notation>) {
    for doubt in doubts {
        let Some(notation) = decided.get(&doubt.header) else {
            continue;
        };
        let settled = &mut doubt.settled;
        match doubt.kind {
            DoubtKind::Lists(_) => settled.list = notation.list.unwrap_or(settled.list),
            DoubtKind::Dates => {
                if let Some(day_first) = notation.day_first {
                    settled.dates = Some(match day_first {
                        true => DateOrder::DayFirst,
                        false => DateOrder::MonthFirst,
                    });
                }
            }
            DoubtKind::Decimal | DoubtKind::Cents => {
                settled.units = notation.units.unwrap_or(settled.units);
                if let Some(sign) = notation.decimal {
                    settled.decimal = Some(match sign {
                        ',' => DecimalSign::Comma,
                        _ => DecimalSign::Point,
                    });
                }
            }
        }
        doubt.votes.seen = true;
    }
}
