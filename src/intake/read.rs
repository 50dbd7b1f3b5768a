//! One file's tables: what each of them is, and its rows as records and rejects, batch by batch.
//!
//! The one way to read a file, for intake, for its look-over, and for the dry run; what becomes of
//! the batches is the caller's.

use std::fs::File;
use std::io::{Read, Seek};
use std::sync::{Arc, mpsc};
use std::thread;

use jiff::civil::Date;

use super::known::Known;
use super::later::{self, Later};
use super::returned::{self, Original, Returned};
use crate::config;
use crate::kind::Kind;
use crate::mapping::{Decided, MetadataTypes, Place, Reading};
use crate::preset::plain::PLAIN;
use crate::preset::{ByCells, Preset, Presets, Recognised};
use crate::record::{Act, Batch, BatchRow};
use crate::reject::{Code, Reject};
use crate::store::StoreLookup;
use crate::table::{self, Dialect, Failure, Member, Rows};

/// Rows of a batch at most; the reader ends it at about 1 MiB of text as well.
pub const BATCH_ROWS_MAX: usize = 4_096;

/// All that decides how a file is read, but the file.
#[derive(Clone, Copy)]
pub struct Circumstances<'a> {
    pub folder: &'a config::Folder,
    pub presets: &'a Presets,
    pub types: &'a MetadataTypes,
    pub host_zone: &'a str,
    pub today: Date,
}

/// One table of a file, ready to be read.
pub struct Table {
    pub member: Member,
    pub reading: Reading,
    pub preset: String,
    /// Why this preset, and why not the next.
    pub why: String,
    pub why_not_next: Option<String>,
    /// Its format comes in parts: it is never a full list.
    pub is_split: bool,
    /// It is a rejects file that came back.
    pub returned: Option<Arc<Returned>>,
    /// What later rows of its original said of its rows' keys.
    pub later: Arc<Later>,
    /// See `Kept::key`.
    pub key: Option<String>,
    /// Nothing was looked over yet: most files need none, and it costs a reading of the whole file.
    pub undecided: bool,
    /// Rows of it that later rows of its original left nothing to say.
    gave_way: u64,
}

/// When all rows of a table are looked over for what one row alone does not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LookOver {
    First,
    /// At the first row that is in doubt, if there is one.
    Later,
}

/// Why a file cannot be read (any further).
#[derive(Debug)]
pub enum Refusal {
    /// For good: the reason, for the store's IT person.
    Unreadable(String),
    /// The disk or the network: it waits.
    Io(std::io::Error),
}

/// What was decided for one table, as the store keeps it in `file.reading`.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub struct Kept {
    pub member: String,
    pub dialect: Dialect,
    pub header: Vec<String>,
    pub decided: Decided,
    /// The header of the key's column, where only the ids in it told the format.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

impl Kept {
    /// The table that it was decided for.
    pub fn table(&self) -> Member {
        Member {
            name: self.member.clone(),
            dialect: self.dialect.clone(),
            header: self.header.clone(),
        }
    }
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Refusal {
        match failure {
            Failure::Unreadable { reason } => Refusal::Unreadable(reason),
            Failure::CutOff { line, reason } => {
                Refusal::Unreadable(format!("it cannot be read from line {line} on: {reason}"))
            }
            Failure::Io(error) => Refusal::Io(error),
        }
    }
}

/// Looks the file over and says how each of its tables is to be read. `original` gives what was
/// decided for the file of this number, for rejects files that come back.
pub fn prepare<R: Read + Seek>(
    file: &mut R,
    circumstances: &Circumstances<'_>,
    original: &dyn Fn(i64) -> Option<Original>,
    look_over: LookOver,
) -> Result<Vec<Table>, Refusal> {
    let folder = circumstances.folder;
    let settings = table::Settings {
        encoding: folder.encoding.clone(),
        delimiter: folder.delimiter,
        header_if_none: (circumstances.presets.get(&folder.preset))
            .and_then(Preset::header_if_none)
            .map(<[String]>::to_vec),
    };
    let is_header = |cells: &[String]| {
        let own = returned::own_header(cells);
        circumstances.presets.is_header(
            folder.kind,
            own.as_deref().unwrap_or(cells),
            &folder.columns,
        )
    };
    let members = table::survey(file, &settings, &is_header)?;
    let mut tables = Vec::with_capacity(members.len());
    for member in members {
        let name = member.name.clone();
        let table = prepare_table(file, member, circumstances, original, look_over);
        tables.push(table.map_err(|refusal| within(&name, refusal))?);
    }
    if tables.is_empty() {
        return Err(Refusal::Unreadable("there is no table in it".into()));
    }
    Ok(tables)
}

fn within(member: &str, refusal: Refusal) -> Refusal {
    match refusal {
        Refusal::Unreadable(reason) if !member.is_empty() => Refusal::Unreadable(format!(
            "{}: {reason}",
            crate::folder::shown(member.as_ref())
        )),
        other => other,
    }
}

fn prepare_table<R: Read + Seek>(
    file: &mut R,
    mut member: Member,
    circumstances: &Circumstances<'_>,
    original: &dyn Fn(i64) -> Option<Original>,
    look_over: LookOver,
) -> Result<Table, Refusal> {
    let own_header = returned::own_header(&member.header);
    member.dialect.guarded = own_header.is_some();
    let mut folder = circumstances.folder.clone();
    let returned = match &own_header {
        None => None,
        Some(_) => {
            returned::ignore_own_columns(&mut folder);
            Some(Arc::new(Returned::find(file, &member, original)?))
        }
    };
    let decided = returned.as_deref().and_then(Returned::decided);
    let header = own_header.as_ref().unwrap_or(&member.header);
    let name = decided.map_or(folder.preset.as_str(), |decided| decided.preset.as_str());
    let presets = circumstances.presets;
    let mut key = returned.as_deref().and_then(Returned::key);
    let recognised = presets.recognise(name, folder.kind, header, &folder.columns);
    let by_cells = match key {
        None => known_by_cells(file, &member, presets, name, &folder, header, &recognised)?,
        Some(_) => None,
    };
    let (preset, why, why_not_next) = match (by_cells, recognised) {
        (Some(by_cells), _) => {
            key = by_cells.key;
            (by_cells.preset, by_cells.why, None)
        }
        (
            None,
            Recognised::Taken {
                preset,
                why,
                why_not_next,
            },
        ) => (preset, why, why_not_next),
        (None, Recognised::OtherKind { reason, .. } | Recognised::Unknown { reason }) => {
            return Err(Refusal::Unreadable(reason));
        }
    };
    if let Some(key) = &key {
        only_the_key_is_known(&mut folder, key);
    }
    let place = Place {
        host_zone: decided.map_or(circumstances.host_zone, |decided| decided.zone.as_str()),
        today: circumstances.today,
    };
    if decided.is_some() {
        folder.timezone = None;
    }
    let mut reading =
        Reading::compile(&member.header, preset, &folder, circumstances.types, &place)
            .map_err(Refusal::Unreadable)?;
    let undecided = look_over == LookOver::Later && returned.is_none() && reading.can_look_later();
    if !undecided {
        look_for_evidence(file, &member, &mut reading)?;
    }
    if let Some(decided) = decided {
        reading.impose(decided);
    }
    if let Some((whole, kept)) = returned.as_deref().and_then(Returned::whole)
        && reading.has_references()
    {
        look_at_whole(whole, kept, circumstances, &mut reading)?;
    }
    if let Some(key) = &key {
        tell_untranslated(&mut reading, key);
    }
    let later = match &returned {
        Some(returned) => later::later(file, &member, &reading, returned, circumstances, original)?,
        None => Later::new(),
    };
    Ok(Table {
        later: Arc::new(later),
        key,
        preset: preset.name.clone(),
        is_split: preset.is_split(),
        why,
        why_not_next,
        member,
        reading,
        returned,
        undecided,
        gave_way: 0,
    })
}

/// Rows by whose ids a format is told, at most.
const FIRST_ROWS: usize = 64;

/// A format that the first rows tell, where the header tells none.
fn known_by_cells<'a, R: Read + Seek>(
    file: &mut R,
    member: &Member,
    presets: &'a Presets,
    name: &str,
    folder: &config::Folder,
    header: &[String],
    recognised: &Recognised<'_>,
) -> Result<Option<ByCells<'a>>, Refusal> {
    let is_open = match recognised {
        Recognised::Taken { preset, .. } => preset.name == PLAIN || preset.name == name,
        Recognised::Unknown { .. } => true,
        Recognised::OtherKind { .. } => false,
    };
    if !is_open || !presets.may_be_known_by_cells(name, folder.kind, header) {
        return Ok(None);
    }
    let mut rows = Rows::default();
    let mut first = Vec::new();
    // What is wrong with the file is said when it is read.
    if let Ok(mut reader) = table::Reader::new(file, member)
        && reader.read(&mut rows, FIRST_ROWS).is_ok()
    {
        first.extend(rows.iter().map(|row| row.cells()));
    }
    Ok(presets.by_cells(name, folder.kind, header, &folder.columns, &first))
}

/// Of a header in another language nothing but the key is taken by itself: which of the other columns
/// move with every export cannot be known.
fn only_the_key_is_known(folder: &mut config::Folder, key: &str) {
    let names_key = |(_, target): &(String, String)| target == "source_id";
    if !folder.columns.iter().any(names_key) {
        folder
            .columns
            .push((key.trim().to_owned(), "source_id".into()));
    }
    if folder.others == config::Others::Auto {
        folder.others = config::Others::Ignore;
    }
}

fn tell_untranslated(reading: &mut Reading, key: &str) {
    let unknown: Vec<String> = (reading.columns().into_iter())
        .filter(|column| column.field.is_none() && column.note.is_none())
        .map(|column| format!("`{}`", column.header))
        .collect();
    if !unknown.is_empty() {
        reading.tell(format!(
            "the header is in a language that this format's columns are not known in: only the key \
             (`{}`) is, by its ids; say in the folder's `columns` what the others become: {}",
            key.trim(),
            unknown.join(", ")
        ));
    }
}

/// A table read as it was before, for its keys.
pub fn reading_as_before(
    kept: &Kept,
    circumstances: &Circumstances<'_>,
) -> Result<Reading, Refusal> {
    let mut folder = circumstances.folder.clone();
    if returned::own_header(&kept.header).is_some() {
        returned::ignore_own_columns(&mut folder);
    }
    let gone = || {
        Refusal::Unreadable(format!(
            "there is no preset `{}` any more",
            kept.decided.preset
        ))
    };
    let preset = circumstances
        .presets
        .get(&kept.decided.preset)
        .ok_or_else(gone)?;
    if let Some(key) = &kept.key {
        only_the_key_is_known(&mut folder, key);
    }
    folder.timezone = None;
    let place = Place {
        host_zone: &kept.decided.zone,
        today: circumstances.today,
    };
    let mut reading = Reading::compile(&kept.header, preset, &folder, circumstances.types, &place)
        .map_err(Refusal::Unreadable)?;
    reading.impose(&kept.decided);
    Ok(reading)
}

/// What only all rows together decide: the order of day and month, the decimal sign, groups.
fn look_for_evidence<R: Read + Seek>(
    file: &mut R,
    member: &Member,
    reading: &mut Reading,
) -> Result<(), Refusal> {
    let Some(mut evidence) = reading.evidence() else {
        return Ok(());
    };
    each_rows(file, member, |rows| {
        rows.iter().for_each(|row| evidence.observe(row));
        Ok::<(), Refusal>(())
    })?;
    reading.decide(evidence);
    Ok(())
}

/// What the original's other rows say of those that were rejected: a variation is one by its product's
/// row, which was stored.
fn look_at_whole(
    mut whole: &File,
    kept: &Kept,
    circumstances: &Circumstances<'_>,
    reading: &mut Reading,
) -> Result<(), Refusal> {
    let Some(mut evidence) = reading_as_before(kept, circumstances)?.evidence() else {
        return Ok(());
    };
    each_rows(&mut whole, &kept.table(), |rows| {
        rows.iter().for_each(|row| evidence.observe(row));
        Ok::<(), Refusal>(())
    })?;
    reading.refer_to(evidence);
    Ok(())
}

impl Table {
    /// The same table before its first row.
    pub fn afresh(&self) -> Table {
        self.read_by(self.reading.afresh())
    }

    /// The same for these fields alone, without asking the store (`Reading::afresh_for`).
    pub fn afresh_for(&self, fields: &[&str]) -> Option<Table> {
        Some(self.read_by(self.reading.afresh_for(fields)?))
    }

    fn read_by(&self, reading: Reading) -> Table {
        Table {
            member: self.member.clone(),
            reading,
            preset: self.preset.clone(),
            why: self.why.clone(),
            why_not_next: self.why_not_next.clone(),
            is_split: self.is_split,
            returned: self.returned.clone(),
            later: self.later.clone(),
            key: self.key.clone(),
            undecided: self.undecided,
            gave_way: 0,
        }
    }

    /// Looks the table over if one of these rows is in doubt. `again`: the same file; it is read from its
    /// start. `true`: what decides the rows' meaning is another from here on.
    fn decide<R: Read + Seek>(&mut self, rows: &Rows, again: &mut R) -> Result<bool, Refusal> {
        if !self.undecided || !rows.iter().any(|row| self.reading.is_in_doubt(row)) {
            return Ok(false);
        }
        self.undecided = false;
        look_for_evidence(again, &self.member, &mut self.reading)?;
        Ok(true)
    }
}

/// Where a table breaks off, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    pub line: u64,
    pub reason: String,
}

/// What a reader gave.
enum Next {
    Rows,
    Cut(Cut),
    End,
}

fn next(reader: &mut table::Reader<'_>, rows: &mut Rows) -> Result<Next, Refusal> {
    match reader.read(rows, BATCH_ROWS_MAX) {
        Ok(true) => Ok(Next::Rows),
        Ok(false) => Ok(Next::End),
        Err(failure) => cut(failure).map(Next::Cut),
    }
}

fn cut(failure: Failure) -> Result<Cut, Refusal> {
    match failure {
        Failure::CutOff { line, reason } => Ok(Cut { line, reason }),
        failure => Err(failure.into()),
    }
}

/// Gives all rows of a member in batches.
pub fn each_rows<R: Read + Seek, E: From<Refusal>>(
    file: &mut R,
    member: &Member,
    mut each: impl FnMut(&Rows) -> Result<(), E>,
) -> Result<Option<Cut>, E> {
    let mut reader = match table::Reader::new(file, member) {
        Ok(reader) => reader,
        Err(failure) => return Ok(Some(cut(failure)?)),
    };
    let mut rows = Rows::default();
    loop {
        match next(&mut reader, &mut rows)? {
            Next::Rows => each(&rows)?,
            Next::Cut(cut) => return Ok(Some(cut)),
            Next::End => return Ok(None),
        }
    }
}

/// The same, while a thread of its own reads the next batch.
fn each_rows_ahead<R: Read + Seek + Send, E: From<Refusal>>(
    file: &mut R,
    member: &Member,
    mut each: impl FnMut(&Rows) -> Result<(), E>,
) -> Result<Option<Cut>, E> {
    let (give, given) = mpsc::sync_channel::<Rows>(0);
    // Two batches go round: one is read, one is worked on.
    let (give_back, empty) = mpsc::sync_channel(2);
    for _ in 0..2 {
        (give_back.send(Rows::default())).expect("there is room for two");
    }
    let read = move || -> Result<Option<Cut>, Refusal> {
        let mut reader = match table::Reader::new(file, member) {
            Ok(reader) => reader,
            Err(failure) => return cut(failure).map(Some),
        };
        // An end of either channel: nobody wants any more.
        while let Ok(mut rows) = empty.recv() {
            match next(&mut reader, &mut rows)? {
                Next::Rows if give.send(rows).is_ok() => {}
                Next::Rows | Next::End => break,
                Next::Cut(cut) => return Ok(Some(cut)),
            }
        }
        Ok(None)
    };
    thread::scope(|scope| {
        let thread = (thread::Builder::new().name("read".into()))
            .spawn_scoped(scope, read)
            .expect("the system starts a thread");
        let worked = given.into_iter().try_for_each(|rows| {
            each(&rows)?;
            // A reader that has ended needs no more.
            let _ = give_back.send(rows);
            Ok::<(), E>(())
        });
        drop(give_back);
        let read = (thread.join()).unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        worked?;
        Ok(read?)
    })
}

/// What was counted over a file's tables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Without headers.
    pub rows: u64,
    pub skipped: u64,
    /// Records that their row hash spared.
    pub spared: u64,
    /// The first table that broke off.
    pub cut: Option<Cut>,
}

/// Who gets what was read.
pub trait Sink {
    type Error: From<Refusal>;

    /// Takes what some rows became, and leaves both empty.
    fn take(
        &mut self,
        member: &str,
        batch: &mut Batch,
        rejects: &mut Vec<Reject>,
    ) -> Result<(), Self::Error>;
}

/// Reads one table from its first row to its last. `again` is the same file, for a look-over under way.
pub fn read_table<R: Read + Seek + Send, S: Sink>(
    file: &mut R,
    mut again: &File,
    table: &mut Table,
    lookup: &StoreLookup,
    mut known: Option<&mut Known>,
    sink: &mut S,
    tally: &mut Tally,
) -> Result<(), S::Error>
where
    S::Error: From<crate::store::Error>,
{
    let member = table.member.clone();
    let (mut batch, mut rejects) = (Batch::default(), Vec::new());
    let cut = each_rows_ahead(file, &member, |rows| {
        tally.rows += rows.len() as u64;
        if table.decide(rows, &mut again)?
            && let (Some(known), Some(seed)) = (&mut known, table.reading.row_hash_seed())
        {
            known.reseed(&seed, &member);
        }
        if let Some(known) = &mut known {
            known.look(&table.reading, rows)?;
        }
        let asked = lookup.snapshot();
        map_rows(
            table,
            rows,
            lookup,
            &mut known,
            &mut batch,
            &mut rejects,
            tally,
        );
        drop(asked);
        if let Some(reason) = table.reading.refusal() {
            return Err(Refusal::Unreadable(reason).into());
        }
        sink.take(&member.name, &mut batch, &mut rejects)
    })?;
    loop {
        let asked = lookup.snapshot();
        let finished = table.reading.finish(lookup, &mut batch, &mut rejects);
        drop(asked);
        let Some(counts) = finished else { break };
        tally.skipped += counts.skipped;
        sink.take(&member.name, &mut batch, &mut rejects)?;
    }
    if table.gave_way > 0 {
        table.reading.tell(format!(
            "{} mended rows were left out: later rows of the same file say of the same keys all that \
             they say, and the later row wins",
            table.gave_way
        ));
    }
    if let Some(cut) = cut {
        rejects.push(cut_reject(&cut));
        tally.cut.get_or_insert(cut);
    }
    if !batch.rows.is_empty() || !rejects.is_empty() {
        sink.take(&member.name, &mut batch, &mut rejects)?;
    }
    if let Some(known) = known {
        tally.spared += known.spared();
    }
    Ok(())
}

fn map_rows(
    table: &mut Table,
    rows: &Rows,
    lookup: &StoreLookup,
    known: &mut Option<&mut Known>,
    batch: &mut Batch,
    rejects: &mut Vec<Reject>,
    tally: &mut Tally,
) {
    for (n, row) in rows.iter().enumerate() {
        if known.as_ref().is_some_and(|known| known.is_spared(n)) {
            continue;
        }
        if let Some(returned) = &table.returned {
            match returned.judge(row, &table.reading) {
                returned::Judged::Read => {}
                returned::Judged::Nothing => {
                    tally.skipped += 1;
                    continue;
                }
                returned::Judged::Rejected(reject) => {
                    rejects.push(*reject);
                    continue;
                }
            }
        }
        let before = batch.rows.len();
        let counts = table.reading.map(row, lookup, batch, rejects);
        tally.skipped += counts.skipped;
        if let Some(known) = known {
            let hash = known.hash(n);
            for row in &mut batch.rows[before..] {
                row.row_hash = hash;
            }
            known.note_sent(n);
        }
        for row in &batch.rows[before..] {
            note_made(lookup, batch, row);
        }
        if let Some(said) = table.later.get(&row.line()) {
            let mut is_stored =
                |batch: &Batch, row: &BatchRow| lookup.is_stored(row.kind, batch.key(row));
            let left_out = later::give_way(batch, before, said, &mut is_stored);
            tally.skipped += left_out;
            table.gave_way += left_out;
        }
    }
}

/// A later order finds the customer that this one makes by its e-mail. Where the e-mail is the key itself,
/// it does so without being told.
fn note_made(lookup: &StoreLookup, batch: &Batch, row: &BatchRow) {
    if row.act != Act::CreateOnly || row.kind != Kind::Customers {
        return;
    }
    let (key, values) = (batch.key(row), batch.values(row));
    if key.contains('@') && values.to_lowercase().contains(key) {
        return;
    }
    let content = batch.content(row);
    if let Some(email) = content.and_then(|content| content.text("email")) {
        lookup.note_made(key, &email);
    }
}

/// One reject stands for all that is missing from there on.
fn cut_reject(cut: &Cut) -> Reject {
    Reject {
        line: cut.line,
        column: None,
        code: Code::Encoding,
        reason: format!(
            "from this line on the file cannot be read: {}; the rows before it are stored. Drop the file again, whole",
            cut.reason
        ),
        cells: Vec::new(),
        records: Vec::new(),
    }
}

/// What the store keeps of how the tables are read.
pub fn kept(tables: &[Table]) -> String {
    let kept: Vec<Kept> = (tables.iter())
        .map(|table| Kept {
            member: table.member.name.clone(),
            dialect: table.member.dialect.clone(),
            header: table.member.header.clone(),
            decided: table.reading.decided(),
            key: table.key.clone(),
        })
        .collect();
    serde_json::to_string(&kept).expect("names and numbers are always JSON")
}
