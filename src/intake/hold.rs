//! What a person should see before a file is taken in, found out by looking it over before its first
//! row is stored (INTERFACE.md, Held).

use std::collections::HashSet;
use std::fs::File;
use std::path::Path;

use crate::store::Connection;

use super::read::{self, Circumstances, Refusal, Sink, Table, Tally};
use super::{Error, Result, Site};
use crate::config::{self, Missing};
use crate::kind::Kind;
use crate::mapping::notation::date;
use crate::record::{Batch, BatchRow};
use crate::reject::Reject;
use crate::store::Missing as Lacks;
use crate::store::{
    self, Compared, Comparer, FileRow, HOW_TO_ACCEPT, IntakeSession, Outcome, StoreLookup,
};

/// `max_change` is about habits; a folder with fewer records has none yet.
const CHANGE_COUNTED_FROM: u64 = 100;

/// When an order was made.
const CREATED_AT: &str = "metadata.created_at";

/// Headers that a folder is known to send, at most.
const HEADERS_MAX: usize = 64;

/// Whether a file may be taken in.
pub enum Hold {
    Pass,
    /// `number` is what `accept` lets pass: so many records, and no more.
    Held {
        code: String,
        reason: String,
        number: u64,
    },
}

/// What is looked at, and with what.
pub struct LookOver<'a> {
    /// Gives connections that look.
    pub reader: &'a dyn Fn() -> Result<Connection>,
    pub scratch_dir: &'a Path,
    pub file: &'a File,
    pub mtime_ns: i64,
    pub circumstances: &'a Circumstances<'a>,
}

/// Who notes the keys of a full list, and tells what it lacks.
pub trait Keys {
    fn present(&mut self, kind: Kind, keys: &[&str]) -> store::Result<()>;
    fn missing(&mut self) -> store::Result<Lacks>;
}

impl Keys for IntakeSession {
    fn present(&mut self, kind: Kind, keys: &[&str]) -> store::Result<()> {
        IntakeSession::present(self, kind, keys)
    }

    fn missing(&mut self) -> store::Result<Lacks> {
        self.missing_count()
    }
}

/// One thing to be seen.
#[derive(Debug)]
pub struct Concern {
    code: &'static str,
    number: u64,
    pub text: String,
}

/// The folder's files say what is there, and what is not.
pub fn is_full_list(folder: &config::Folder) -> bool {
    folder.missing == Missing::Delete && folder.kind != Kind::Orders
}

/// Whether this file does: not what came back mended, and not a part of an export.
pub fn is_full(folder: &config::Folder, tables: &[Table]) -> bool {
    let is_whole = |table: &Table| table.returned.is_none() && !table.is_split;
    is_full_list(folder) && tables.iter().all(is_whole)
}

/// What a person has let pass passes, for the number that was shown.
pub fn decide(concerns: &[Concern], row: &FileRow) -> Hold {
    if concerns.is_empty() {
        return Hold::Pass;
    }
    let codes: Vec<&str> = concerns.iter().map(|concern| concern.code).collect();
    let number = concerns.iter().map(|concern| concern.number).sum();
    if let (Some(accepted), Some(held)) = (row.accepted, &row.held_code) {
        let seen: HashSet<&str> = held.split('+').collect();
        if codes.iter().all(|code| seen.contains(code)) && number <= accepted {
            return Hold::Pass;
        }
    }
    Hold::Held {
        code: codes.join("+"),
        reason: format!(
            "{}; nothing was changed{HOW_TO_ACCEPT}{}",
            said(concerns),
            row.id
        ),
        number,
    }
}

/// All of it in one line.
pub fn said(concerns: &[Concern]) -> String {
    let texts: Vec<&str> = concerns
        .iter()
        .map(|concern| concern.text.as_str())
        .collect();
    texts.join("; ")
}

impl LookOver<'_> {
    pub fn look(
        &self,
        tables: &[Table],
        keys: &mut dyn Keys,
        between: &mut dyn FnMut() -> Result<()>,
    ) -> Result<Vec<Concern>> {
        let folder = self.circumstances.folder;
        let is_returned = tables.iter().any(|table| table.returned.is_some());
        let mut concerns = Vec::new();
        if !is_returned {
            concerns.extend(self.missing_columns(tables)?);
        }
        if is_full_list(folder) && tables.iter().any(|table| table.is_split) {
            concerns.push(Concern {
                code: "parts",
                number: 0,
                text: format!(
                    "exports of this format ({}) come in parts, so none is a full list, and this folder has `missing = \"delete\"`; set it to \"keep\". Accepted, it is taken in without deleting anything",
                    tables[0].preset
                ),
            });
        }
        let wants = Wants {
            present: is_full(folder, tables),
            changes: folder.max_change_percent < 100.0,
            ages: folder.kind == Kind::Orders && !folder.history,
        };
        if wants.present || wants.changes || wants.ages {
            let found = self.count(&wants, tables, keys, between)?;
            concerns.extend(self.judge(&wants, &found, keys)?);
        }
        Ok(concerns)
    }

    fn missing_columns(&self, tables: &[Table]) -> Result<Option<Concern>> {
        if self.circumstances.folder.name == config::BY_HAND {
            return Ok(None);
        }
        let reader = (self.reader)()?;
        let folder = self.circumstances.folder;
        let Some(before) = store::folder_columns(&reader, &folder.name)? else {
            return Ok(None);
        };
        let now = mapped_columns(tables);
        let fields: HashSet<&str> = now.iter().filter_map(|column| field_of(column)).collect();
        let missing: Vec<&String> = (before.iter())
            .filter(|column| field_of(column).is_some_and(|field| !fields.contains(field)))
            .collect();
        if missing.is_empty() || known_headers(&reader, folder)?.contains(&header_mark(&now)) {
            return Ok(None);
        }
        let list = |columns: &mut dyn Iterator<Item = &String>| {
            columns.map(String::as_str).collect::<Vec<_>>().join(", ")
        };
        Ok(Some(Concern {
            code: "columns",
            number: 0,
            text: format!(
                "it has no column any more for: {}. The last good file had: {}. This one has: {}",
                list(&mut missing.into_iter()),
                list(&mut before.iter()),
                list(&mut now.iter()),
            ),
        }))
    }

    fn count(
        &self,
        wants: &Wants,
        tables: &[Table],
        keys: &mut dyn Keys,
        between: &mut dyn FnMut() -> Result<()>,
    ) -> Result<Found> {
        let mut file = self.file;
        let comparer = match wants.changes {
            true => Some(Comparer::new((self.reader)()?, self.scratch_dir)?),
            false => None,
        };
        let mut counting = Counting {
            kind: self.circumstances.folder.kind,
            today: self.circumstances.today,
            keys: wants.present.then_some(keys),
            between,
            comparer,
            ages: wants.ages.then(|| self.oldest_live_ms()),
            found: Found::default(),
        };
        // Each is read by a reading of its own: notices are counted by the one that stores.
        for table in tables {
            if wants.keys_only() && table.reading.row_hash_seed().is_some() {
                counting.read_keys(&mut file, table)?;
            } else if !wants.ages_only() || counting.may_be_old(&self.reader, file, table)? {
                counting.read((self.reader)()?, file, &mut table.afresh())?;
            }
        }
        Ok(counting.found)
    }

    /// An order that is older is no sale of these days.
    fn oldest_live_ms(&self) -> i64 {
        let live = i64::try_from(self.circumstances.folder.live.as_millis()).unwrap_or(i64::MAX);
        (self.mtime_ns / 1_000_000).saturating_sub(live)
    }

    fn judge(&self, wants: &Wants, found: &Found, keys: &mut dyn Keys) -> Result<Vec<Concern>> {
        let folder = self.circumstances.folder;
        let mut concerns = Vec::new();
        if wants.present {
            let lacks = keys.missing()?;
            concerns.extend(self.judge_missing(found, lacks.missing, lacks.brought));
        }
        if wants.changes {
            let brought = store::brought(&(self.reader)()?, &folder.name)?;
            let allowed = part(brought, folder.max_change_percent);
            if brought >= CHANGE_COUNTED_FROM && found.changed > allowed {
                concerns.push(Concern {
                    code: "changes",
                    number: found.changed,
                    text: format!(
                        "it would change {} of the {brought} records that this folder's files brought, more than `max_change` ({} %) allows",
                        found.changed, folder.max_change_percent
                    ),
                });
            }
        }
        if found.old > 0 {
            concerns.push(Concern {
                code: "orders",
                number: found.old,
                text: format!(
                    "{} older than `live` allows, so customers would be told of old sales; set `history = true` in a folder of its own for those",
                    match found.old {
                        1 => "1 of its orders is".to_owned(),
                        n => format!("{n} of its orders are"),
                    }
                ),
            });
        }
        Ok(concerns)
    }

    fn judge_missing(&self, found: &Found, missing: u64, brought: u64) -> Option<Concern> {
        let percent = self.circumstances.folder.max_delete_percent;
        let allowed = part(brought, percent);
        let (code, why) = match &found.cut {
            Some(cut) => ("cut", format!("cannot be read from line {} on", cut.line)),
            None if found.rows == 0 => ("empty", "has no rows".to_owned()),
            None if missing > allowed => (
                "deletes",
                format!("lacks more than `max_delete` ({percent} %) allows"),
            ),
            None => return None,
        };
        Some(Concern {
            code,
            number: missing,
            text: format!(
                "this full list {why}: it would delete {missing} of the {brought} records that this folder's files brought"
            ),
        })
    }
}

/// So many of them, rounded up: one may always go.
fn part(of: u64, percent: f64) -> u64 {
    (of as f64 * percent / 100.0).ceil() as u64
}

struct Wants {
    present: bool,
    changes: bool,
    ages: bool,
}

impl Wants {
    fn keys_only(&self) -> bool {
        !self.changes && !self.ages
    }

    fn ages_only(&self) -> bool {
        !self.changes && !self.present
    }
}

#[derive(Default)]
struct Found {
    rows: u64,
    cut: Option<read::Cut>,
    /// Records that would change.
    changed: u64,
    /// Orders that are too old.
    old: u64,
}

/// Counts what a file would do.
struct Counting<'a> {
    kind: Kind,
    today: jiff::civil::Date,
    /// Of a full list.
    keys: Option<&'a mut dyn Keys>,
    between: &'a mut dyn FnMut() -> Result<()>,
    comparer: Option<Comparer>,
    ages: Option<i64>,
    found: Found,
}

impl Counting<'_> {
    /// Where only the keys count, rows need no reading.
    fn read_keys(&mut self, file: &mut &File, table: &Table) -> Result<()> {
        let cut = read::each_rows(file, &table.member, |rows| {
            (self.between)()?;
            self.found.rows += rows.len() as u64;
            self.name_keys(&table.reading, rows)
        })?;
        self.found.cut = self.found.cut.take().or(cut);
        Ok(())
    }

    fn name_keys(
        &mut self,
        reading: &crate::mapping::Reading,
        rows: &crate::table::Rows,
    ) -> Result<()> {
        let rows: Vec<_> = rows.iter().collect();
        let keys: Vec<_> = rows.iter().filter_map(|row| reading.key(row)).collect();
        let keys: Vec<&str> = keys.iter().map(AsRef::as_ref).collect();
        self.note(self.kind, &keys)
    }

    fn note(&mut self, kind: Kind, keys: &[&str]) -> Result<()> {
        match &mut self.keys {
            Some(noted) => Ok(noted.present(kind, keys)?),
            None => Ok(()),
        }
    }

    /// Rejected rows whose key can be read count as present.
    fn note_all(&mut self, batch: &Batch, rejects: &[Reject]) -> Result<()> {
        if self.keys.is_none() {
            return Ok(());
        }
        for kind in Kind::ALL {
            let of_kind = batch.rows.iter().filter(|row| row.kind == kind);
            let rejected = rejects.iter().flat_map(|reject| &reject.records);
            let keys: Vec<&str> = (of_kind.map(|row| batch.key(row)))
                .chain(
                    rejected
                        .filter(|(of, _)| *of == kind)
                        .map(|(_, key)| key.as_str()),
                )
                .collect();
            if !keys.is_empty() {
                self.note(kind, &keys)?;
            }
        }
        Ok(())
    }

    /// Whether any order is too old, by its day alone. Hardly ever: then nothing else of the orders needs
    /// reading, and nobody is asked for their customers. Of those that are, some may be rejected.
    fn may_be_old(
        &mut self,
        reader: &dyn Fn() -> Result<Connection>,
        file: &File,
        table: &Table,
    ) -> Result<bool> {
        let Some(mut dated) = table.afresh_for(&[CREATED_AT]) else {
            return Ok(false);
        };
        self.read(reader()?, file, &mut dated)?;
        Ok(std::mem::take(&mut self.found.old) > 0)
    }

    fn read(&mut self, reader: Connection, mut file: &File, table: &mut Table) -> Result<()> {
        let again = file;
        let lookup = StoreLookup::new(reader);
        let mut tally = Tally::default();
        read::read_table(&mut file, again, table, &lookup, None, self, &mut tally)?;
        lookup.take_error().map_or(Ok(()), Err)?;
        self.found.rows += tally.rows;
        self.found.cut = self.found.cut.take().or(tally.cut);
        Ok(())
    }
}

impl Sink for Counting<'_> {
    type Error = Error;

    fn take(&mut self, _member: &str, batch: &mut Batch, rejects: &mut Vec<Reject>) -> Result<()> {
        (self.between)()?;
        self.note_all(batch, rejects)?;
        if let Some(comparer) = &mut self.comparer {
            let outcomes = comparer.compare(batch)?;
            let changes = |compared: &&Compared| {
                compared.counts && matches!(compared.outcome, Outcome::Changed(_))
            };
            self.found.changed += outcomes.iter().filter(changes).count() as u64;
        }
        if let Some(oldest_ms) = self.ages {
            let is_old = |row: &&BatchRow| {
                row.kind == Kind::Orders
                    && created_at_ms(batch, row, self.today).is_some_and(|at| at < oldest_ms)
            };
            self.found.old += batch.rows.iter().filter(is_old).count() as u64;
        }
        batch.clear();
        rejects.clear();
        Ok(())
    }
}

/// When an order was made, by its `metadata.created_at`: a day, or a moment.
fn created_at_ms(batch: &Batch, row: &BatchRow, today: jiff::civil::Date) -> Option<i64> {
    let at = batch.shapes[row.shape].position(CREATED_AT)?;
    let values: Vec<&serde_json::value::RawValue> = serde_json::from_str(batch.values(row)).ok()?;
    let text: String = serde_json::from_str(values.get(at)?.get()).ok()?;
    if let Ok(moment) = text.parse::<jiff::Timestamp>() {
        return Some(moment.as_millisecond());
    }
    // A day is over at its end, somewhere on earth. In a plain file it stands in whatever notation.
    let day = date::latest_day(&text, today)?;
    let midnight = day.to_zoned_datetime(jiff::tz::TimeZone::UTC).ok()?;
    Some(midnight.timestamp().as_millisecond() + 36 * 3_600_000)
}

/// `header → field` of each column that the file maps, sorted.
fn mapped_columns(tables: &[Table]) -> Vec<String> {
    let mut columns: Vec<String> = (tables.iter())
        .flat_map(|table| table.reading.columns())
        .filter_map(|column| Some(format!("{} → {}", column.header, column.field?)))
        .collect();
    columns.sort();
    columns.dedup();
    columns
}

fn field_of(column: &str) -> Option<&str> {
    column.rsplit_once(" → ").map(|(_, field)| field)
}

fn headers_name(folder: &config::Folder) -> String {
    format!("headers.{}", folder.name)
}

/// Stands for a list of columns.
fn header_mark(columns: &[String]) -> String {
    blake3::hash(columns.join("\n").as_bytes()).to_hex()[..16].to_owned()
}

fn known_headers(reader: &Connection, folder: &config::Folder) -> Result<Vec<String>> {
    let json = store::meta::text(reader, &headers_name(folder))?;
    Ok(json
        .and_then(|json| serde_json::from_str(&json).ok())
        .unwrap_or_default())
}

/// A file was taken in: its columns are what the next one is measured by, and its header is known
/// from then on.
pub fn remember_columns(site: &Site, folder: &config::Folder, tables: &[Table]) -> Result<()> {
    if folder.name == config::BY_HAND {
        return Ok(());
    }
    let columns = mapped_columns(tables);
    if site.store.folder_columns(&folder.name)?.as_ref() != Some(&columns) {
        site.store.set_folder_columns(&folder.name, &columns)?;
    }
    let mut known = known_headers(&site.store.reader()?, folder)?;
    let mark = header_mark(&columns);
    if !known.contains(&mark) {
        known.push(mark);
        let too_many = known.len().saturating_sub(HEADERS_MAX);
        known.drain(..too_many);
        let json = serde_json::to_string(&known).expect("texts are always JSON");
        site.store.set_text(&headers_name(folder), &json)?;
    }
    Ok(())
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Error {
        match refusal {
            Refusal::Unreadable(reason) => Error::Unreadable(reason),
            Refusal::Io(error) => Error::waits_for_file(&error),
        }
    }
}
