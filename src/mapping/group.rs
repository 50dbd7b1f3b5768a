//! The long way: rows are held until their group is whole, then become records together or are
//! rejected together.
//!
//! A group whose rows stand together goes out when the next begins; one whose rows stand apart (the
//! look-over knows which) waits for the table's end.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use super::evidence::Apart;
use super::flat::{Refused, is_deleted, push_nulls, put_absent, shape_index};
use super::notation::{Wrong, list, text};
use super::order;
use super::plan::{
    Cells, FieldPlan, OverGroup, RecordPlan, Source, Spread, SpreadSource, any_holds,
};
use super::read::{Put, no_product, overflow, push_int, unclear};
use super::special::References;
use super::{Counts, Lookup, Reading};
use crate::kind::{Kind, ORDER_ITEMS_MAX};
use crate::preset::spec::Footer;
use crate::record::{Act, Batch, BatchRow, Content, GONE, Shape, push_json_str};
use crate::reject::{Code, Reject};
use crate::table::Row;

/// Rows that a group may have at most, beyond an order's items: refund and empty lines, images.
const GROUP_ROWS_MAX: usize = 4 * ORDER_ITEMS_MAX;

/// Bytes of rows that wait for others, at most. Exports whose rows stand together need a few kilobytes.
const HELD_BYTES_MAX: usize = 12 << 20;

/// Text of the records that one call of `finish` puts out, about.
const FINISH_BYTES: usize = 1 << 20;

/// What stands between the rows of a table.
#[derive(Debug, Default)]
pub(super) struct State {
    /// By their keys.
    open: HashMap<String, Group>,
    /// At the table's end: those that are left, the first one last.
    left: Vec<Group>,
    /// Of the rows in `open` and `tail`.
    held_bytes: usize,
    /// The group of the row before.
    current: Option<String>,
    pub apart: Apart,
    pub references: Option<References>,
    /// Rows that may be the footer, until a full row follows.
    tail: Vec<Held>,
    /// A SKU's hash → its product's (R14).
    parents: HashMap<u64, u64>,
    hasher: RandomState,
}

impl State {
    /// What the look-over said, and no row yet.
    pub fn afresh(&self) -> State {
        State {
            apart: self.apart.clone(),
            references: self.references.clone(),
            ..State::default()
        }
    }
}

#[derive(Debug)]
struct Group {
    /// Line of its first row.
    line: u64,
    rows: Vec<Held>,
    /// Rows from here on came after another group.
    apart_from: Option<usize>,
    /// Too many rows: the further ones are rejected as they come.
    over: bool,
}

/// A row that waits for others.
#[derive(Debug)]
pub(super) struct Held {
    line: u64,
    text: String,
    ends: Vec<u32>,
    fault: Option<Box<Reject>>,
}

impl Held {
    fn new(row: &Row<'_>, fault: Option<Reject>) -> Held {
        let cells = row.cells_count();
        let mut held = Held {
            line: row.line(),
            text: String::new(),
            ends: Vec::with_capacity(cells),
            fault: fault.map(Box::new),
        };
        for column in 0..cells {
            held.text.push_str(row.cell(column));
            held.ends.push(held.text.len() as u32);
        }
        held
    }

    fn is_blank(&self) -> bool {
        text::is_blank(&self.text)
    }

    /// What it takes in memory.
    fn bytes(&self) -> usize {
        size_of::<Held>() + self.text.capacity() + self.ends.capacity() * size_of::<u32>()
    }

    fn cells(&self) -> Vec<String> {
        (0..self.ends.len())
            .map(|c| self.cell(c).to_owned())
            .collect()
    }

    fn reject(&self, column: Option<String>, wrong: Wrong, records: Vec<(Kind, String)>) -> Reject {
        Reject {
            line: self.line,
            column,
            code: wrong.code,
            reason: wrong.reason,
            cells: self.cells(),
            records,
        }
    }
}

impl Cells for Held {
    fn cell(&self, column: usize) -> &str {
        let Some(&end) = self.ends.get(column) else {
            return "";
        };
        let start = if column == 0 {
            0
        } else {
            self.ends[column - 1]
        };
        &self.text[start as usize..end as usize]
    }
}

/// A group seen as one row: of each column the first cell that is not blank.
pub(super) struct Head<'a>(&'a [Held]);

impl<'a> Head<'a> {
    pub fn new(rows: &'a [Held]) -> Head<'a> {
        Head(rows)
    }
}

impl Cells for Head<'_> {
    fn cell(&self, column: usize) -> &str {
        self.0
            .iter()
            .map(|row| row.cell(column))
            .find(|cell| !text::is_blank(cell))
            .unwrap_or("")
    }
}

/// A row's fault within a group.
#[derive(Debug)]
pub(super) struct Fault {
    pub row: usize,
    pub refused: Refused,
}

/// A record on its way into the batch.
#[derive(Debug)]
pub(super) struct Made {
    pub kind: Kind,
    pub row: usize,
    pub key: String,
    pub key_column: Option<String>,
    pub content: Content,
    pub act: Act,
}

impl Reading {
    pub(super) fn map_grouped(
        &mut self,
        row: &Row<'_>,
        lookup: &dyn Lookup,
        batch: &mut Batch,
        rejects: &mut Vec<Reject>,
    ) -> Counts {
        let mut counts = Counts::default();
        if self.plan.footer == Footer::AfterBlankLine {
            if self.holds_as_footer(row) {
                return counts;
            }
            for held in std::mem::take(&mut self.groups.tail) {
                self.groups.held_bytes -= held.bytes();
                // A full row follows, so these were no footer.
                if held.is_blank() {
                    counts.skipped += 1;
                    continue;
                }
                match held.fault {
                    Some(fault) => rejects.push(*fault),
                    None => counts += self.put_row(held, lookup, batch, rejects),
                }
            }
        }
        if self.is_no_record(row) {
            counts.skipped += 1;
            return counts;
        }
        let fault = row.fault().is_some().then(|| self.reject_fault(row));
        counts += self.put_row(Held::new(row, fault), lookup, batch, rejects);
        counts
    }

    /// From a blank line on (a spreadsheet makes it a row of nothing), lines of one cell wait: they are
    /// the footer unless a full row follows.
    fn holds_as_footer(&mut self, row: &Row<'_>) -> bool {
        let filled = (0..self.header.len().max(row.cells_count()))
            .filter(|&c| !text::is_blank(row.cell(c)))
            .count();
        let begun = !self.groups.tail.is_empty() || row.after_blank_line() || filled == 0;
        if !begun || filled > 1 {
            return false;
        }
        let fault = row.fault().is_some().then(|| self.reject_fault(row));
        let held = Held::new(row, fault);
        self.groups.held_bytes += held.bytes();
        self.groups.tail.push(held);
        true
    }

    fn put_row(
        &mut self,
        held: Held,
        lookup: &dyn Lookup,
        batch: &mut Batch,
        rejects: &mut Vec<Reject>,
    ) -> Counts {
        let Some(group) = &self.plan.group else {
            return match held.fault {
                Some(fault) => {
                    rejects.push(*fault);
                    Counts::default()
                }
                None => self.emit(vec![held], lookup, batch, rejects),
            };
        };
        let key = group.key(&held).into_owned();
        let fill_down = group.fill_down || !group.begin.is_empty();
        if key.is_empty() {
            // A row at fault too: its record is whole or not at all.
            if fill_down && let Some(key) = self.groups.current.clone() {
                self.push(&key, held, rejects);
                return Counts::default();
            }
            if let Some(fault) = held.fault {
                rejects.push(*fault);
                return Counts::default();
            }
            // No group of its own: it is judged alone.
            return self.emit(vec![held], lookup, batch, rejects);
        }
        let mut counts = Counts::default();
        if self.groups.current.as_deref() != Some(&key) {
            counts += self.close_current(lookup, batch, rejects);
            self.groups.current = Some(key.clone());
            match self.groups.open.get_mut(&key) {
                Some(group) => {
                    group.apart_from.get_or_insert(group.rows.len());
                }
                None => {
                    let group = Group {
                        line: held.line,
                        rows: Vec::new(),
                        apart_from: None,
                        over: false,
                    };
                    self.groups.open.insert(key.clone(), group);
                }
            }
        }
        self.push(&key, held, rejects);
        counts
    }

    fn push(&mut self, key: &str, held: Held, rejects: &mut Vec<Reject>) {
        let Some(group) = self.groups.open.get_mut(key) else {
            return;
        };
        let over = |held: &Held| {
            let reason = "more rows of one record than can belong to one";
            held.reject(None, Wrong::new(Code::TooLong, reason), Vec::new())
        };
        if group.over {
            rejects.push(over(&held));
            return;
        }
        self.groups.held_bytes += held.bytes();
        group.rows.push(held);
        if group.rows.len() > GROUP_ROWS_MAX {
            group.over = true;
            for held in std::mem::take(&mut group.rows) {
                self.groups.held_bytes -= held.bytes();
                rejects.push(over(&held));
            }
        }
    }

    /// Puts the current group out, unless more of it comes later.
    fn close_current(
        &mut self,
        lookup: &dyn Lookup,
        batch: &mut Batch,
        rejects: &mut Vec<Reject>,
    ) -> Counts {
        let Some(key) = self.groups.current.take() else {
            return Counts::default();
        };
        if self.groups.apart.contains(&key) {
            return Counts::default();
        }
        match self.groups.open.remove(&key) {
            Some(group) => {
                self.groups.held_bytes -= group.rows.iter().map(Held::bytes).sum::<usize>();
                self.put_group(group, lookup, batch, rejects)
            }
            None => Counts::default(),
        }
    }

    /// Why the table cannot be read any further, if more of its rows wait for others than memory allows.
    pub fn refusal(&self) -> Option<String> {
        (self.groups.held_bytes > HELD_BYTES_MAX).then(|| {
            "rows that belong to one record stand far apart, and too many of them; sort the file by \
             the column that says which rows belong together, and drop it again"
                .to_owned()
        })
    }

    pub(super) fn finish_groups(
        &mut self,
        lookup: &dyn Lookup,
        batch: &mut Batch,
        rejects: &mut Vec<Reject>,
    ) -> Option<Counts> {
        let groups = &mut self.groups;
        let footer = std::mem::take(&mut groups.tail);
        let mut counts = Counts {
            skipped: footer.len() as u64,
        };
        groups.current = None;
        groups.held_bytes = 0;
        groups
            .left
            .extend(groups.open.drain().map(|(_, group)| group));
        groups
            .left
            .sort_unstable_by_key(|group| Reverse(group.line));
        if footer.is_empty() && groups.left.is_empty() {
            return None;
        }
        while let Some(group) = self.groups.left.pop() {
            counts += self.put_group(group, lookup, batch, rejects);
            if batch.text.len() >= FINISH_BYTES {
                break;
            }
        }
        Some(counts)
    }

    fn put_group(
        &mut self,
        group: Group,
        lookup: &dyn Lookup,
        batch: &mut Batch,
        rejects: &mut Vec<Reject>,
    ) -> Counts {
        let adjacent = self.plan.group.as_ref().is_some_and(|g| g.adjacent);
        if let (true, Some(from)) = (adjacent, group.apart_from) {
            let records = self.records_of_each(&group.rows);
            for ((i, held), records) in group.rows.into_iter().enumerate().zip(records) {
                let wrong = if i >= from {
                    Wrong::new(
                        Code::Conflict,
                        "rows of this record stand apart; put all its rows together",
                    )
                } else {
                    group_wrong()
                };
                let column = self.plan.records[0].key.header.clone();
                rejects.push(held.reject(column, wrong, records));
            }
            return Counts::default();
        }
        if group.rows.is_empty() {
            return Counts::default();
        }
        self.emit(group.rows, lookup, batch, rejects)
    }

    /// Makes the records of some rows that belong together, all or none.
    fn emit(
        &mut self,
        rows: Vec<Held>,
        lookup: &dyn Lookup,
        batch: &mut Batch,
        rejects: &mut Vec<Reject>,
    ) -> Counts {
        let mut faults: Vec<Fault> = Vec::new();
        let mut made: Vec<Made> = Vec::new();
        let sound = rows.iter().all(|row| row.fault.is_none());
        if sound {
            for index in 0..self.plan.records.len() {
                self.make(index, &rows, lookup, &mut made, &mut faults);
            }
        }
        if !sound || !faults.is_empty() {
            return self.reject_all(rows, faults, rejects);
        }
        let used = |row: &Held| {
            self.plan
                .records
                .iter()
                .any(|record| any_holds(&record.when, row))
        };
        let skipped = rows.iter().filter(|row| !used(row)).count() as u64;
        for made in made {
            if let Some(wrong) = self.second_parent(&made) {
                let records = vec![(made.kind, made.key.clone())];
                rejects.push(rows[made.row].reject(made.key_column.clone(), wrong, records));
                continue;
            }
            append(batch, &rows[made.row], made);
        }
        Counts { skipped }
    }

    /// One SKU under two products: the second is refused (R14).
    fn second_parent(&mut self, made: &Made) -> Option<Wrong> {
        if !self.plan.one_parent || made.kind != Kind::Skus {
            return None;
        }
        let hash = |text: &str| self.groups.hasher.hash_one(text);
        let product = hash(made.content.get("product").unwrap_or_default());
        let known = *self
            .groups
            .parents
            .entry(hash(&made.key))
            .or_insert(product);
        (known != product).then(|| {
            Wrong::new(
                Code::Conflict,
                "this SKU already stands under another product of the file",
            )
        })
    }

    fn reject_all(
        &mut self,
        rows: Vec<Held>,
        faults: Vec<Fault>,
        rejects: &mut Vec<Reject>,
    ) -> Counts {
        let mut counts = Counts::default();
        let records = self.records_of_each(&rows);
        let mut of_row: BTreeMap<usize, Refused> = BTreeMap::new();
        for fault in faults {
            of_row.entry(fault.row).or_insert(fault.refused);
        }
        // A group without a key is no record, and one reject tells it; of any other all rows come back.
        let keyless = |refused: &Refused| refused.wrong.code == Code::MissingKey;
        let one_reject = self.plan.group.as_ref().is_some_and(|g| g.one_reject)
            && rows.iter().all(|row| row.fault.is_none())
            && of_row.values().all(keyless);
        for ((i, held), records) in rows.into_iter().enumerate().zip(records) {
            if let Some(fault) = held.fault {
                rejects.push(Reject { records, ..*fault });
            } else if let Some(refused) = of_row.remove(&i) {
                rejects.push(held.reject(refused.column, refused.wrong, records));
            } else if one_reject {
                counts.skipped += 1;
            } else {
                rejects.push(held.reject(None, group_wrong(), records));
            }
        }
        counts
    }

    /// Of each row of a group the records that it is about: the group's, and its own.
    fn records_of_each(&self, rows: &[Held]) -> Vec<Vec<(Kind, String)>> {
        let group = Head(rows);
        rows.iter()
            .map(|row| self.records_of(row, &group))
            .collect()
    }

    fn make(
        &mut self,
        index: usize,
        rows: &[Held],
        lookup: &dyn Lookup,
        made: &mut Vec<Made>,
        faults: &mut Vec<Fault>,
    ) {
        let record = &self.plan.records[index];
        let makes = |row: &Held| any_holds(&record.when, row);
        if record.per_row && self.plan.group.is_some() {
            let of_rows: Vec<usize> = (0..rows.len()).filter(|&row| makes(&rows[row])).collect();
            for row in of_rows {
                let one = self.record(index, rows, Some(row), lookup);
                sort_out(one, made, faults);
            }
        } else if rows.iter().any(makes) {
            let one = self.record(index, rows, None, lookup);
            sort_out(one, made, faults);
        }
    }

    /// One record, of a row with its group behind it, or of the group as a whole.
    fn record(
        &mut self,
        index: usize,
        rows: &[Held],
        row: Option<usize>,
        lookup: &dyn Lookup,
    ) -> Result<Vec<Made>, Vec<Fault>> {
        let Reading {
            plan,
            tally,
            groups,
            ..
        } = self;
        let plan = &*plan;
        let record = &plan.records[index];
        let mut faults = Vec::new();
        let scope = Scope { rows, row };
        let (key_row, key) = match scope.key(record, &plan.common) {
            Ok(found) => found,
            Err(fault) => return Err(vec![fault]),
        };
        let mut content = Content::default();
        for field in &record.fields {
            match scope.field(field, plan) {
                Ok((put, json)) => {
                    let mut json = json;
                    if put == Put::Value || put_absent(field, plan.clears, put, &mut json, tally) {
                        content.set(&field.name, json);
                    }
                }
                Err(fault) => faults.push(fault),
            }
        }
        for spread in &record.spreads {
            if let Err(wrong) = scope.spread(spread, plan, &mut content) {
                let refused = Refused::new(spread.header.as_deref(), wrong);
                faults.push(Fault {
                    row: key_row,
                    refused,
                });
            }
        }
        let deleted = match is_deleted(record.deleted.as_ref(), &Head(scope.own()), &plan.common) {
            Ok(deleted) => deleted,
            Err(refused) => {
                faults.push(Fault {
                    row: key_row,
                    refused,
                });
                false
            }
        };
        if deleted && faults.is_empty() {
            return Ok(vec![Made {
                kind: record.kind,
                row: key_row,
                key,
                key_column: record.key.header.clone(),
                content: Content::default(),
                act: Act::Delete,
            }]);
        }
        if let Some(references) = &groups.references {
            match references.complete(record, &Head(scope.own()), lookup, &mut content) {
                Ok(true) => {}
                Ok(false) => return Ok(Vec::new()),
                Err(wrong) => faults.push(Fault {
                    row: key_row,
                    refused: Refused::new(references.column(), wrong),
                }),
            }
        }
        let mut out = Vec::new();
        if record.kind == Kind::Orders {
            order::complete(
                record,
                plan,
                scope.own(),
                &key,
                lookup,
                &mut content,
                &mut out,
                &mut faults,
            );
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        out.push(Made {
            kind: record.kind,
            row: key_row,
            key,
            key_column: record.key.header.clone(),
            content,
            act: Act::Upsert,
        });
        Ok(out)
    }
}

fn sort_out(result: Result<Vec<Made>, Vec<Fault>>, made: &mut Vec<Made>, faults: &mut Vec<Fault>) {
    match result {
        Ok(some) => made.extend(some),
        Err(some) => faults.extend(some),
    }
}

fn group_wrong() -> Wrong {
    Wrong::new(
        Code::Group,
        "another row of the same record was rejected; mend that one and send all of them",
    )
}

/// The rows that a record is made of.
struct Scope<'a> {
    rows: &'a [Held],
    /// `None`: all of them.
    row: Option<usize>,
}

impl<'a> Scope<'a> {
    fn own(&self) -> &'a [Held] {
        match self.row {
            Some(row) => &self.rows[row..=row],
            None => self.rows,
        }
    }

    fn first(&self) -> usize {
        self.row.unwrap_or(0)
    }

    fn key(
        &self,
        record: &RecordPlan,
        common: &super::plan::Common,
    ) -> Result<(usize, String), Fault> {
        let mut first = None;
        let mut order: Vec<(usize, &Held)> = self.own().iter().enumerate().collect();
        if record.key.last {
            order.reverse();
        }
        for (i, row) in order {
            match record.key.key(row, common) {
                Ok(key) => return Ok((self.first() + i, key.into_owned())),
                // Told at the first row, whichever way they are looked through.
                Err(refused) if refused.wrong.code == Code::MissingKey => {
                    let row = self.first() + i;
                    if first.as_ref().is_none_or(|fault: &Fault| row < fault.row) {
                        first = Some(Fault { row, refused });
                    }
                }
                Err(refused) => {
                    return Err(Fault {
                        row: self.first() + i,
                        refused,
                    });
                }
            }
        }
        Err(first.expect("a group has rows"))
    }

    /// What the rows say of a field, as JSON.
    fn field(&self, field: &FieldPlan, plan: &super::plan::Plan) -> Result<(Put, String), Fault> {
        let mut json = String::new();
        let fault = |row: usize, wrong: Wrong| Fault {
            row,
            refused: field.refused(wrong, &self.rows[row], &plan.common),
        };
        if has_cases(&field.source) {
            let head = Head(self.own());
            let put = field.put(&head, &plan.common, &mut json);
            return put.map(|put| (put, json)).map_err(|wrong| Fault {
                row: self.first(),
                refused: field.refused(wrong, &head, &plan.common),
            });
        }
        if field.over_group == OverGroup::Sum {
            return self.sum(field, plan);
        }
        let own = self.own();
        let first = self.first();
        let carried = self
            .row
            .filter(|_| field.carry)
            .map_or(&own[..0], |_| self.rows);
        let mut order: Vec<(usize, &Held)> = own
            .iter()
            .enumerate()
            .map(|(i, row)| (first + i, row))
            .collect();
        if field.over_group == OverGroup::Last {
            order.reverse();
        }
        order.extend(carried.iter().enumerate());
        let mut result = Put::Blank;
        for (i, row) in order {
            let start = json.len();
            let own = self.row.map_or(row, |row| &self.rows[row]);
            let put = field
                .put_from(row, own, &plan.common, &mut json)
                .map_err(|wrong| {
                    // What is added to another row's amount stands in this one.
                    let of_plus = |column: usize| {
                        let mut plus = field.plus.iter().flat_map(Source::columns);
                        plus.any(|known| known == column)
                    };
                    let added = wrong.column.is_some_and(of_plus);
                    fault(if added { first } else { i }, wrong)
                })?;
            match put {
                Put::Value if start == 0 => {
                    result = Put::Value;
                    if !plan.strict || self.row.is_some() {
                        return Ok((Put::Value, json));
                    }
                }
                Put::Value => {
                    if json[..start] != json[start..] {
                        return Err(fault(
                            i,
                            Wrong::new(
                                Code::Conflict,
                                "rows of one record say different things here",
                            ),
                        ));
                    }
                    json.truncate(start);
                }
                Put::Untouched if result == Put::Blank => result = Put::Untouched,
                Put::Blank | Put::Untouched => {}
            }
        }
        if field.required && result == Put::Blank {
            return Err(fault(first, no_product()));
        }
        Ok((result, json))
    }

    fn sum(&self, field: &FieldPlan, plan: &super::plan::Plan) -> Result<(Put, String), Fault> {
        let mut total = 0i64;
        let mut any = false;
        for (i, row) in self.own().iter().enumerate() {
            let mut json = String::new();
            let fault = |wrong| Fault {
                row: self.first() + i,
                refused: field.refused(wrong, row, &plan.common),
            };
            if field.put(row, &plan.common, &mut json).map_err(fault)? != Put::Value {
                continue;
            }
            let amount: i64 = json.parse().map_err(|_| fault(overflow()))?;
            total = total.checked_add(amount).ok_or_else(|| fault(overflow()))?;
            any = true;
        }
        let mut json = String::new();
        if any {
            push_int(&mut json, total);
        }
        Ok((if any { Put::Value } else { Put::Blank }, json))
    }

    /// Options' names stand on a group's first row alone.
    fn option_name(&self, column: usize) -> &str {
        let rows = self.own().iter().chain(self.rows);
        rows.map(|row| row.cell(column).trim())
            .find(|name| !name.is_empty())
            .unwrap_or("")
    }

    fn spread(
        &self,
        spread: &Spread,
        plan: &super::plan::Plan,
        content: &mut Content,
    ) -> Result<(), Wrong> {
        let own = Head(self.own());
        match &spread.source {
            SpreadSource::Options {
                names,
                values,
                defaults,
            } => {
                for (&name, &value) in names.iter().zip(values) {
                    let (name, value) = (self.option_name(name), own.cell(value).trim());
                    if value.is_empty() || is_default(value, defaults) {
                        continue;
                    }
                    if name.is_empty() {
                        return Err(Wrong::new(
                            Code::Conflict,
                            "an option's value without the option's name; fill in the name, or blank both",
                        ));
                    }
                    let value = text::without_apostrophe(value, plan.common.apostrophe);
                    set_text(content, &format!("{}{name}", spread.prefix), value);
                }
            }
            SpreadSource::Names {
                names,
                values,
                defaults,
            } => {
                let counts = |value: usize| {
                    let cells = self.rows.iter().map(|row| row.cell(value).trim());
                    cells
                        .filter(|cell| !cell.is_empty())
                        .any(|cell| !is_default(cell, defaults))
                };
                let list: Vec<&str> = names
                    .iter()
                    .zip(values)
                    .filter(|(_, value)| counts(**value))
                    .map(|(name, _)| self.option_name(*name))
                    .filter(|name| !name.is_empty())
                    .collect();
                if !list.is_empty() {
                    let json = serde_json::to_string(&list).expect("texts are always JSON");
                    content.set(&spread.prefix, json);
                }
            }
            SpreadSource::Packed(source) => {
                let cell = (source.text(&own, &plan.common, false)).map_err(unclear)?;
                let Some(pairs) = packed_pairs(&cell) else {
                    return Err(list::no_json(
                        "names and values; write it as Color=Red,Size=M",
                    ));
                };
                for (name, value) in pairs {
                    set_text(content, &format!("{}{name}", spread.prefix), &value);
                }
            }
            SpreadSource::Json {
                source,
                path,
                taken,
            } => {
                let cell = (source.text(&own, &plan.common, false)).map_err(unclear)?;
                if text::is_blank(&cell) || plan.common.is_mask(&cell) {
                    return Ok(());
                }
                let value = list::json(&cell).ok_or_else(no_object)?;
                let value = match path {
                    Some(path) => list::at_path(&value, path).cloned().unwrap_or_default(),
                    None => value,
                };
                let fields = match value {
                    serde_json::Value::Object(fields) => fields,
                    serde_json::Value::Null => return Ok(()),
                    _ => return Err(no_object()),
                };
                for (name, value) in fields {
                    if value.is_null() || taken.contains(&name) || name.trim().is_empty() {
                        continue;
                    }
                    let key = crate::preset::header::metadata_key(&name);
                    content.set(&format!("{}{key}", spread.prefix), value.to_string());
                }
            }
        }
        Ok(())
    }
}

fn no_object() -> Wrong {
    list::no_json("names and values in JSON; write it as {\"color\":\"blue\"}")
}

fn is_default(value: &str, defaults: &[String]) -> bool {
    defaults.contains(&value.to_lowercase())
}

pub(super) fn set_text(content: &mut Content, field: &str, value: &str) {
    let mut json = String::new();
    push_json_str(&mut json, value);
    content.set(field, json);
}

/// `[S]Color=Red,[S]Size=M` → its pairs. A part without a sign belongs to the value before it. `None`:
/// there is none before it.
pub(super) fn packed_pairs(cell: &str) -> Option<Vec<(&str, String)>> {
    let mut pairs: Vec<(&str, String)> = Vec::new();
    for part in cell.split(',') {
        match (part.split_once('='), pairs.last_mut()) {
            (Some((name, value)), _) if !name.trim().is_empty() => {
                let name = name.trim();
                let name = match name.strip_prefix('[') {
                    Some(rest) => rest.split_once(']').map_or(name, |(_, name)| name.trim()),
                    None => name,
                };
                pairs.push((name, value.trim().to_owned()));
            }
            (_, Some((_, value))) => {
                value.push(',');
                value.push_str(part.trim_end());
            }
            (_, None) if text::is_blank(part) => {}
            (_, None) => return None,
        }
    }
    pairs.retain(|(name, value)| !name.is_empty() && !value.is_empty());
    Some(pairs)
}

fn has_cases(source: &Source) -> bool {
    matches!(source, Source::Cases(..))
}

/// Puts a record behind what the batch holds.
fn append(batch: &mut Batch, row: &Held, made: Made) {
    let key_start = batch.text.len();
    batch.text.push_str(&made.key);
    let key = key_start..batch.text.len();
    let (shape, values, fingerprint) = if made.act == Act::Delete {
        let shape = Arc::new(Shape::new(Vec::new()));
        (shape, push_nulls(&mut batch.text, 0), GONE)
    } else {
        let (shape, values) = made.content.encode();
        let start = batch.text.len();
        batch.text.push_str(&values);
        (
            Arc::new(shape),
            start..batch.text.len(),
            made.content.fingerprint(),
        )
    };
    let shape = shape_index(batch, &shape);
    batch.rows.push(BatchRow {
        kind: made.kind,
        line: row.line,
        key,
        values,
        shape,
        fingerprint,
        row_hash: None,
        act: made.act,
    });
}
