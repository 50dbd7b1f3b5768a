//! The dry run: what files would do, told without doing it. The same reading as intake's; the store
//! is only looked at, and need not be there.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use crate::store::Connection;

use super::hold::{self, Keys};
use super::original::Originals;
use super::read::{self, Circumstances, Sink, Tally};
use super::returned::Returned;
use super::{Error, Result};
use crate::budget::Budget;
use crate::config;
use crate::folder::claim::Claimed;
use crate::kind::Kind;
use crate::mapping::ColumnUse;
use crate::plan::{Forecast, Forecaster, Shared, Weight, shared, stands_in_an_address, weight};
use crate::record::{Act, Batch, BatchRow, CLEARED, Content};
use crate::reject::Reject;
use crate::store::{Compared, Comparer, Freed, Outcome, Present, Store, StoreLookup};

/// Changes, samples and rejects that are listed of one file at most; counts count all.
pub const LISTED_MAX: usize = 1_000;
/// Records that are shown whole.
const SAMPLES_MAX: usize = 3;

/// What one file would do.
#[derive(Clone, Debug, Default)]
pub struct PlannedFile {
    pub file: PathBuf,
    pub folder: String,
    pub kind: Option<Kind>,
    /// Why it cannot be read at all; then nothing else is known.
    pub unreadable: Option<String>,
    pub tables: Vec<PlannedTable>,
    pub rows: u64,
    /// Records; one that stands several times counts once.
    pub new: u64,
    pub changed: u64,
    pub unchanged: u64,
    pub deleted: u64,
    /// Rows.
    pub rejected: u64,
    pub skipped: u64,
    /// Why it would be held.
    pub held: Option<String>,
    pub changes: Vec<FieldChange>,
    pub samples: Vec<Sample>,
    pub rejects: Vec<(String, Reject)>,
    pub notices: Vec<String>,
    /// What delivery would have to send.
    pub to_send: Vec<ToSend>,
}

/// A record that delivery would have to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ToSend {
    pub kind: Kind,
    pub what: Sent,
    /// Its consents are to be told, by a call of their own.
    pub consents: bool,
    /// In bodies of many.
    pub weight: Weight,
    /// Of a new SKU: bytes of its row in a CSV upload, if that carries it.
    pub row_bytes: Option<usize>,
}

/// Bytes of a SKU's row in a CSV upload, if that carries it whole.
pub type RowBytes<'a> = &'a dyn Fn(&str, &Content) -> Option<usize>;

/// What would be sent for a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    New,
    Changed,
    /// An order that is changed by the API's own word for it.
    ChangedById,
    Deleted,
    /// Deleted, and made again: a SKU of another product than before, or a record that came back.
    Remade,
    /// Nothing: it is deleted before it was ever sent.
    Unmade,
    /// Nothing of the record itself.
    Nothing,
}

#[derive(Clone, Debug)]
pub struct PlannedTable {
    /// Of a zip; else empty.
    pub member: String,
    pub preset: String,
    pub why: String,
    pub why_not_next: Option<String>,
    /// `UTF-8, semicolon, header on line 3`.
    pub dialect: String,
    pub columns: Vec<ColumnUse>,
}

/// `from` and `to` are JSON; `None`: absent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldChange {
    pub kind: Kind,
    pub key: String,
    pub field: String,
    pub from: Option<String>,
    pub to: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    pub kind: Kind,
    pub key: String,
    /// Field and JSON.
    pub fields: Vec<(String, String)>,
}

/// Says what files would do, as if they were dropped in this order; each with the settings that it
/// would be read with. `reader` opens a connection that looks (`Store::look`); where it gives none,
/// there is no store yet: an empty one, in a folder of its own that goes with this call, stands for it.
pub fn dry_run(
    files: &[(PathBuf, config::Folder)],
    circumstances: &dyn Fn(&config::Folder) -> CircumstancesOf,
    reader: &dyn Fn() -> crate::store::Result<Option<Connection>>,
    scratch_dir: &Path,
    row_bytes: RowBytes<'_>,
) -> Result<Vec<PlannedFile>> {
    let first = reader()?;
    let nowhere = match first {
        Some(_) => None,
        None => Some(EmptyStore::new()?),
    };
    let look = || match &nowhere {
        None => Ok(reader()?.ok_or(crate::folder::Error::Gone)?),
        Some(empty) => Ok::<Connection, Error>(empty.store.reader()?),
    };
    let scratch_dir = nowhere
        .as_ref()
        .map_or(scratch_dir, |empty| empty.dir.path());
    let mut comparing = Comparing {
        comparer: Comparer::new(look()?, scratch_dir)?,
        seen: HashSet::new(),
        unchanged: HashSet::new(),
        sent_at: HashMap::new(),
        planned: PlannedFile::default(),
        row_bytes,
    };
    let mut planned = Vec::with_capacity(files.len());
    for (path, folder) in files {
        comparing.planned = PlannedFile {
            file: path.clone(),
            folder: folder.name.clone(),
            kind: Some(folder.kind),
            ..PlannedFile::default()
        };
        comparing.seen.clear();
        comparing.unchanged.clear();
        comparing.sent_at.clear();
        let told = plan_one(
            path,
            &circumstances(folder),
            folder,
            &look,
            scratch_dir,
            &mut comparing,
        );
        match told {
            Ok(()) => {}
            Err(Error::Unreadable(reason)) => comparing.planned.unreadable = Some(reason),
            Err(error) => return Err(error),
        }
        planned.push(std::mem::take(&mut comparing.planned));
    }
    Ok(planned)
}

/// Owned, so that each file can have its own.
pub struct CircumstancesOf {
    pub presets: std::sync::Arc<crate::preset::Presets>,
    pub types: crate::mapping::MetadataTypes,
    pub host_zone: String,
    pub today: jiff::civil::Date,
}

fn plan_one(
    path: &Path,
    of: &CircumstancesOf,
    folder: &config::Folder,
    look: &dyn Fn() -> Result<Connection>,
    scratch_dir: &Path,
    comparing: &mut Comparing<'_>,
) -> Result<()> {
    let reader = look()?;
    let claimed = Claimed::by_hand(path).map_err(|error| {
        Error::Waits(format!(
            "{}: {}",
            path.display(),
            crate::folder::io_text(&error)
        ))
    })?;
    let circumstances = Circumstances {
        folder,
        presets: &of.presets,
        types: &of.types,
        host_zone: &of.host_zone,
        today: of.today,
    };
    let originals = Originals {
        reader: &reader,
        settings: &|name| (folder.name == name).then_some(folder),
        circumstances: &circumstances,
    };
    let original = |id| originals.find(id);
    let mut file = &claimed.file;
    let mut tables = read::prepare(&mut file, &circumstances, &original, read::LookOver::First)
        .map_err(Error::from)?;
    let mended = tables.iter().filter_map(|table| table.returned.as_deref());
    comparing.planned.notices.extend(mended.map(mends));
    comparing.planned.tables = (tables.iter())
        .map(|table| PlannedTable {
            member: table.member.name.clone(),
            preset: table.preset.clone(),
            why: table.why.clone(),
            why_not_next: table.why_not_next.clone(),
            dialect: table.member.dialect.to_string(),
            columns: table.reading.columns(),
        })
        .collect();
    look_over(
        &claimed,
        &tables,
        &circumstances,
        look,
        scratch_dir,
        comparing,
    )?;
    let lookup = StoreLookup::new(look()?);
    let mut tally = Tally::default();
    for table in &mut tables {
        read::read_table(
            &mut file,
            &claimed.file,
            table,
            &lookup,
            None,
            comparing,
            &mut tally,
        )?;
        comparing.planned.notices.extend(table.reading.notices());
    }
    lookup.take_error().map_or(Ok(()), Err)?;
    (comparing.planned.rows, comparing.planned.skipped) = (tally.rows, tally.skipped);
    let along = comparing.comparer.end_file()?;
    comparing.planned.notices.extend(match along {
        0 => None,
        1 => Some("1 SKU would be deleted with its product".to_owned()),
        n => Some(format!("{n} SKUs would be deleted with their products")),
    });
    Ok(())
}

/// Which file's rows come back.
fn mends(returned: &Returned) -> String {
    match returned.of() {
        Some((id, name)) => format!(
            "these are rejected rows of file {id} (`{name}`): they are read as that file was, and are no \
             full list"
        ),
        None => {
            "these are rejected rows of a file that is not known here: they are read as any other \
                 file, and are no full list"
                .to_owned()
        }
    }
}

/// Whether it would be held, and what a full list would delete.
fn look_over(
    claimed: &Claimed,
    tables: &[read::Table],
    circumstances: &Circumstances<'_>,
    look: &dyn Fn() -> Result<Connection>,
    scratch_dir: &Path,
    comparing: &mut Comparing<'_>,
) -> Result<()> {
    let mut list = FullList {
        present: Present::new(scratch_dir)?,
        reader: look()?,
        folder: circumstances.folder.name.clone(),
    };
    let look_over = hold::LookOver {
        reader: look,
        scratch_dir,
        file: &claimed.file,
        mtime_ns: claimed.stat.mtime_ns,
        circumstances,
    };
    let concerns = look_over.look(tables, &mut list, &mut || Ok(()))?;
    comparing.planned.held = (!concerns.is_empty()).then(|| hold::said(&concerns));
    if hold::is_full(circumstances.folder, tables) {
        comparing.planned.deleted += list.missing()?.missing;
        list.present.each_missing(|kind, key| {
            let what = match comparing.comparer.missed(kind, key)?.sent {
                true => Sent::Deleted,
                false => Sent::Unmade,
            };
            comparing.planned.to_send.push(ToSend {
                kind,
                what,
                consents: false,
                weight: weight(kind, key, &Content::default()),
                row_bytes: None,
            });
            Ok(())
        })?;
    }
    Ok(())
}

/// A full list's keys beside the store.
struct FullList {
    present: Present,
    reader: Connection,
    folder: String,
}

impl Keys for FullList {
    fn present(&mut self, kind: Kind, keys: &[&str]) -> crate::store::Result<()> {
        self.present.add(kind, keys)
    }

    fn missing(&mut self) -> crate::store::Result<crate::store::Missing> {
        self.present.compare_folder(&self.reader, &self.folder)
    }
}

/// Compares batches with the store, and notes what they would do.
struct Comparing<'a> {
    row_bytes: RowBytes<'a>,
    comparer: Comparer,
    /// Keys of this file: a record counts once a file, by the first that it does to it.
    seen: HashSet<u64>,
    /// Of those, or others, that stand in the file as they were.
    unchanged: HashSet<u64>,
    /// Where in `to_send` a record of this file stands: it goes once, after all of the file's rows.
    sent_at: HashMap<u64, usize>,
    planned: PlannedFile,
}

impl Sink for Comparing<'_> {
    type Error = Error;

    fn take(&mut self, member: &str, batch: &mut Batch, rejects: &mut Vec<Reject>) -> Result<()> {
        let compared = self.comparer.compare(batch)?;
        for (row, compared) in batch.rows.iter().zip(compared) {
            let key = batch.key(row);
            let content = compared.content.as_ref();
            let to_send = ToSend {
                kind: row.kind,
                what: sent(row.kind, key, &compared),
                consents: tells_consents(batch, row, &compared),
                weight: Weight {
                    change: shared_change(row.kind, &compared),
                    ..weight(row.kind, key, content.unwrap_or(&Content::default()))
                },
                row_bytes: content
                    .filter(|_| row.kind == Kind::Skus && !compared.remote.sent)
                    .and_then(|content| (self.row_bytes)(key, content)),
            };
            if is_sent(to_send.what) {
                self.free(row.kind, key)?;
            }
            self.note(row.kind, key, to_send, compared);
            if self.planned.samples.len() < SAMPLES_MAX && row.act == Act::Upsert {
                let content = batch.content(row).unwrap_or_default();
                self.planned.samples.push(Sample {
                    kind: row.kind,
                    key: key.to_owned(),
                    fields: (content.iter())
                        .map(|(field, json)| (field.to_owned(), json.to_owned()))
                        .collect(),
                });
            }
        }
        let mut last = None;
        for reject in rejects.drain(..) {
            self.planned.rejected += u64::from(last.replace(reject.line) != Some(reject.line));
            if self.planned.rejects.len() < LISTED_MAX {
                self.planned.rejects.push((member.to_owned(), reject));
            }
        }
        batch.clear();
        Ok(())
    }
}

fn is_sent(what: Sent) -> bool {
    match what {
        Sent::New | Sent::Changed | Sent::ChangedById | Sent::Remade => true,
        Sent::Deleted | Sent::Unmade | Sent::Nothing => false,
    }
}

impl Comparing<'_> {
    /// What waits for this record goes with it, unless the file says something of it, too.
    fn free(&mut self, kind: Kind, key: &str) -> Result<()> {
        for freed in self.comparer.freed(kind, key)? {
            let Freed {
                kind, key, content, ..
            } = &freed;
            let Entry::Vacant(place) = self.sent_at.entry(mark(*kind, key)) else {
                continue;
            };
            place.insert(self.planned.to_send.len());
            let what = match kind {
                Kind::Orders if freed.id && stands_in_an_address(key) => Sent::ChangedById,
                Kind::Orders => Sent::Changed,
                _ => Sent::New,
            };
            self.planned.to_send.push(ToSend {
                kind: *kind,
                what,
                consents: false,
                weight: weight(*kind, key, content),
                row_bytes: (self.row_bytes)(key, content).filter(|_| *kind == Kind::Skus),
            });
        }
        Ok(())
    }

    fn note(&mut self, kind: Kind, key: &str, to_send: ToSend, compared: Compared) {
        // A customer that an orders file brings along does not count.
        let is_own = kind == Kind::Orders || self.planned.kind != Some(Kind::Orders);
        let mark = mark(kind, key);
        // As intake counts: by the first that is done to it; that nothing was, is another count.
        let once = match compared.outcome {
            Outcome::Unchanged => {
                is_own && !self.seen.contains(&mark) && self.unchanged.insert(mark)
            }
            _ => is_own && self.seen.insert(mark),
        };
        let once = u64::from(once);
        match compared.outcome {
            Outcome::New => self.planned.new += once,
            Outcome::Unchanged => {
                self.planned.unchanged += once;
                return;
            }
            Outcome::Deleted => self.planned.deleted += once,
            Outcome::Changed(patch) => {
                self.planned.changed += once;
                for (field, (from, to)) in patch.fields {
                    if self.planned.changes.len() < LISTED_MAX {
                        self.planned.changes.push(FieldChange {
                            kind,
                            key: key.to_owned(),
                            field,
                            from,
                            to,
                        });
                    }
                }
            }
        }
        match self.sent_at.get(&mark) {
            Some(&place) => {
                let before = &mut self.planned.to_send[place];
                before.then(to_send);
            }
            None => {
                self.sent_at.insert(mark, self.planned.to_send.len());
                self.planned.to_send.push(to_send);
            }
        }
    }
}

fn mark(kind: Kind, key: &str) -> u64 {
    xxhash_rust::xxh3::xxh3_64(format!("{} {key}", kind.code()).as_bytes())
}

impl ToSend {
    /// A later row of the same file says this of it.
    fn then(&mut self, later: ToSend) {
        let what = match (self.what, later.what) {
            (before, Sent::Nothing) => before,
            (_, Sent::Unmade) => Sent::Unmade,
            (Sent::Deleted | Sent::Remade, Sent::New) => Sent::Remade,
            (_, Sent::Deleted) => Sent::Deleted,
            (Sent::Nothing | Sent::Unmade, later) => later,
            (before, _) => before,
        };
        *self = ToSend {
            what,
            consents: !matches!(what, Sent::Deleted | Sent::Unmade)
                && (self.consents || later.consents),
            row_bytes: later.row_bytes.filter(|_| what == Sent::New),
            // What two rows change together is not looked into.
            weight: Weight {
                change: None,
                ..later.weight
            },
            ..later
        };
    }
}

/// The change of metadata that is all that would be told of a record.
fn shared_change(kind: Kind, compared: &Compared) -> Option<Shared> {
    match &compared.outcome {
        Outcome::Changed(patch)
            if matches!(kind, Kind::Customers | Kind::Products) && compared.remote.acked =>
        {
            let fields = patch.fields.iter();
            shared(fields.map(|(field, (_, to))| (field.as_str(), to.as_deref())))
        }
        _ => None,
    }
}

/// What delivery would send of a record by this row.
fn sent(kind: Kind, key: &str, compared: &Compared) -> Sent {
    match &compared.outcome {
        Outcome::New | Outcome::Changed(_) if compared.waits => Sent::Nothing,
        Outcome::Unchanged => Sent::Nothing,
        Outcome::New => Sent::New,
        Outcome::Deleted if compared.remote.sent => Sent::Deleted,
        Outcome::Deleted => Sent::Unmade,
        Outcome::Changed(patch) => {
            let is_consent = |field: &String| field.starts_with("consent.");
            let moved = kind == Kind::Skus
                && (patch.fields.get("product")).is_some_and(|(from, _)| from.is_some());
            match compared.remote.sent {
                _ if patch.fields.keys().all(is_consent) => Sent::Nothing,
                true if moved => Sent::Remade,
                false if kind == Kind::Skus => Sent::New,
                _ if kind == Kind::Orders && compared.remote.id && stands_in_an_address(key) => {
                    Sent::ChangedById
                }
                _ => Sent::Changed,
            }
        }
    }
}

/// Whether a row says something new of its customer's consents.
fn tells_consents(batch: &Batch, row: &BatchRow, compared: &Compared) -> bool {
    let is_consent = |field: &str| field.starts_with("consent.");
    if row.kind != Kind::Customers || row.act != Act::Upsert {
        return false;
    }
    match &compared.outcome {
        Outcome::Changed(patch) => {
            let set = |(field, (_, to)): (&String, &(Option<String>, Option<String>))| {
                is_consent(field) && to.is_some()
            };
            patch.fields.iter().any(set)
        }
        Outcome::New => {
            let fields = batch.shapes[row.shape].fields();
            fields.iter().any(|field| is_consent(field))
                && batch.content(row).is_some_and(|content| {
                    (content.iter()).any(|(field, json)| is_consent(field) && json != CLEARED)
                })
        }
        Outcome::Unchanged | Outcome::Deleted => false,
    }
}

impl PlannedFile {
    /// What delivery would take for it, by the rules that delivery itself keeps.
    pub fn forecast(
        &self,
        mode: config::Bulk,
        history: bool,
        (budget, now): (&Budget, i64),
    ) -> Forecast {
        let mut forecaster = Forecaster::new(mode);
        for record in &self.to_send {
            match record.what {
                Sent::Deleted => forecaster.delete(record.kind),
                Sent::Remade => forecaster.remake(record.kind, record.weight),
                Sent::ChangedById if !history => forecaster.known_order(),
                Sent::New if record.kind == Kind::Skus => forecaster.new_sku(record.row_bytes),
                Sent::New | Sent::Changed | Sent::ChangedById => {
                    forecaster.upsert(record.kind, record.weight, history)
                }
                Sent::Unmade | Sent::Nothing => {}
            }
            if record.consents {
                forecaster.consents();
            }
        }
        forecaster.finish(budget, now)
    }
}

/// Stands for the store where there is none yet.
struct EmptyStore {
    store: Store,
    dir: tempfile::TempDir,
}

impl EmptyStore {
    fn new() -> Result<EmptyStore> {
        let dir = tempfile::tempdir()?;
        let store = Store::open(dir.path())?;
        Ok(EmptyStore { store, dir })
    }
}
