//! Taking one file in: its batches go to the writer while the next one is parsed.
//!
//! Knows the life of a session; what a row does to a record is `apply`'s, how it is undone `undo`'s.

use std::collections::VecDeque;
use std::mem;
use std::sync::mpsc::{self, Receiver, TryRecvError};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::{Connection, OptionalExtension, params};

use super::apply::Applier;
use super::edit::{self, Source};
use super::files::{self, FileState, damaged, to_json};
use super::forget;
use super::known::OfFile;
use super::present::Present;
use super::skus::{self, By};
use super::writer::{Fate, Volume};
use super::{Error, KnownRows, Result, Store};
use crate::kind::Kind;
use crate::record::Batch;
use crate::reject::Reject;

/// Batches that may wait for the writer: parsing goes on while it writes, and memory stays bounded.
pub const AHEAD_MAX: usize = 3;

/// A file whose reading begins.
#[derive(Clone, Debug)]
pub struct Begin {
    pub file: i64,
    pub preset: String,
    /// JSON: what was decided for it; its rejects are read by it later.
    pub reading: String,
    pub now: i64,
}

/// A file that was read to its end.
#[derive(Clone, Debug)]
pub struct Finish {
    /// Rows of its tables, without headers.
    pub rows: u64,
    /// Rows that the preset knows to be no records.
    pub skipped: u64,
    /// Rows that `KnownRows` spared, and that were not handed to `apply` (`KnownRows::spared`).
    pub unchanged: u64,
    /// blake3 of its bytes.
    pub hash: [u8; 32],
    pub notices: Vec<String>,
    /// `after = "leave"`: nothing is moved, its life ends here (but for its rejects).
    pub after_leave: bool,
    /// The folder's full list: what it did not name (`present`) is deleted.
    pub delete_missing: bool,
    pub now: i64,
}

/// What a file did; the first four count records, `rejected` rows. A record counts once, by the first
/// that the file did to it; customers that an orders file brings along don't count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub new: u64,
    pub changed: u64,
    pub unchanged: u64,
    pub deleted: u64,
    pub rejected: u64,
}

/// How a full list compares with what its folder's files brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Missing {
    /// Records that it does not name.
    pub missing: u64,
    /// Records that the folder's files brought, and that are not deleted.
    pub brought: u64,
}

/// A file that is being read. Dropped without an end it stays `reading`: what was committed is found
/// unchanged when it is read again.
pub struct IntakeSession {
    store: Store,
    of: OfFile,
    applier: Arc<Mutex<Applier>>,
    fate: Arc<Fate>,
    /// Batches on their way, oldest first; each comes back empty.
    ahead: VecDeque<Receiver<Batch>>,
    present: Option<Present>,
    /// `Begin::reading`, once more was decided under way.
    decided: Option<String>,
}

impl Store {
    /// The file's state becomes `reading`, and its old rejects go: it may be read anew after a crash
    /// or an error. It then goes on as if it had not been cut off; was it read otherwise before
    /// (another preset, another `reading`), that is taken back first.
    pub fn begin_intake(&self, begin: Begin) -> Result<IntakeSession> {
        if read_otherwise(&self.reader()?, &begin)? {
            self.take_back(begin.file, FileState::Waiting, None, begin.now)?;
        }
        let applier = self.write(move |c| self::begin(c, &begin))?;
        Ok(IntakeSession {
            store: self.clone(),
            of: OfFile {
                file: applier.file,
                folder: applier.folder,
                first_seq: applier.first_seq,
            },
            applier: Arc::new(Mutex::new(applier)),
            fate: Arc::default(),
            ahead: VecDeque::new(),
            present: None,
            decided: None,
        })
    }
}

fn read_otherwise(c: &Connection, begin: &Begin) -> Result<bool> {
    Ok(c.query_row(
        "SELECT EXISTS(SELECT 1 FROM file WHERE id = ?1 AND first_seq IS NOT NULL
           AND (preset IS NOT ?2 OR reading IS NOT ?3))",
        params![begin.file, begin.preset, begin.reading],
        |row| row.get(0),
    )?)
}

fn begin(c: &Connection, begin: &Begin) -> Result<Applier> {
    let file = begin.file;
    let (folder, kind, first_seq): (i64, i64, Option<i64>) = c
        .query_row(
            "SELECT folder, kind, first_seq FROM file WHERE id = ?1",
            [file],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
        )
        .optional()?
        .ok_or_else(|| Error::Statement(format!("there is no file {file}")))?;
    let kind = files::kind(kind)?;
    c.execute("DELETE FROM reject WHERE file = ?1", [file])?;
    let counts = match first_seq {
        Some(first_seq) => counted(c, file, kind, first_seq)?,
        None => Counts::default(),
    };
    let resumed = first_seq.is_some();
    let first_seq = first_seq.map_or_else(|| edit::next_seq(c), Ok)?;
    c.execute(
        "UPDATE file SET state = 'reading', reason = NULL, preset = ?2, reading = ?3, first_seq = ?4
         WHERE id = ?1",
        params![file, begin.preset, begin.reading, first_seq],
    )?;
    let of = OfFile {
        file,
        folder,
        first_seq,
    };
    Ok(Applier::new(of, kind, counts, resumed))
}

/// What an earlier reading of this file did, before a crash cut it off: drawn from what stands there.
fn counted(c: &Connection, file: i64, kind: Kind, first_seq: i64) -> Result<Counts> {
    // Customers of an orders file are no records of it.
    let own = "(?3 <> 4 OR d.kind = 4)";
    let new: i64 = c.query_row(
        &format!("SELECT count(*) FROM document d WHERE d.id >= ?1 AND d.file = ?2 AND {own}"),
        params![first_seq, file, kind.code()],
        |row| row.get(0),
    )?;
    let mut counts = Counts {
        new: new as u64,
        ..Counts::default()
    };
    let mut statement = c.prepare(&format!(
        "SELECT op, count(*) FROM (
           SELECT ch.op AS op, min(ch.seq) FROM change ch JOIN document d ON d.id = ch.record
           WHERE ch.seq >= ?1 AND ch.file = ?2 AND ch.record < ?1 AND ch.line < ?4 AND {own}
           GROUP BY ch.record)
         GROUP BY op"
    ))?;
    // Nor are SKUs that went with their products.
    let mut rows = statement.query(params![first_seq, file, kind.code(), skus::ALONG])?;
    while let Some(row) = rows.next()? {
        use crate::record::Op;
        let n = row.get::<_, i64>(1)? as u64;
        match Op::from_code(row.get(0)?).ok_or_else(|| damaged("a change"))? {
            Op::Created => counts.new += n,
            Op::Updated => counts.changed += n,
            Op::Deleted | Op::Erased => counts.deleted += n,
        }
    }
    Ok(counts)
}

impl IntakeSession {
    /// For the row-hash short cut of this file.
    pub fn known_rows(&self, kind: Kind) -> Result<KnownRows> {
        Ok(KnownRows::of_file(self.store.reader()?, kind, self.of))
    }

    /// Hands a batch to the writer and gives an empty one back, while the writer works; at most
    /// `AHEAD_MAX` wait. An error of an earlier batch surfaces here: the session is over then, what
    /// was not committed is not there, and the file is to be begun again.
    pub fn apply(
        &mut self,
        mut batch: Batch,
        rejects: Vec<Reject>,
        member: &str,
        now: i64,
    ) -> Result<Batch> {
        self.fate.check()?;
        let (give, given) = mpsc::sync_channel(1);
        let applier = self.applier.clone();
        let member = member.to_owned();
        self.store.writer.batch(self.fate.clone(), move |c| {
            let mut applier = applier.lock().unwrap_or_else(PoisonError::into_inner);
            let volume = Volume {
                rows: batch.rows.len() + rejects.len(),
                bytes: batch.text.len() + rejects.iter().map(Reject::bytes).sum::<usize>(),
            };
            applier.member(c, &member)?;
            applier.skipped += forget::filter(c, &mut batch, applier.kind)?;
            applier.batch(c, &mut batch, now)?;
            applier.rejects(c, &member, &rejects)?;
            // A session that is gone wants no batch.
            let _ = give.send(mem::take(&mut batch));
            Ok(volume)
        })?;
        self.ahead.push_back(given);
        self.next_empty()
    }

    fn next_empty(&mut self) -> Result<Batch> {
        let Some(oldest) = self.ahead.front() else {
            return Ok(Batch::default());
        };
        let batch = if self.ahead.len() > AHEAD_MAX {
            oldest.recv().ok()
        } else {
            match oldest.try_recv() {
                Ok(batch) => Some(batch),
                Err(TryRecvError::Empty) => return Ok(Batch::default()),
                Err(TryRecvError::Disconnected) => None,
            }
        };
        self.ahead.pop_front();
        match batch {
            Some(batch) => Ok(batch),
            None => {
                // The batch went down with its transaction, whose fate is told a moment later.
                self.settle()?;
                Err(Error::Broken("the store's writer has ended".into()))
            }
        }
    }

    /// More than `Begin::reading` was decided under way; no row before it hangs on that. It is kept at
    /// the end: a file whose reading a crash cuts off begins as it did before.
    pub fn decided(&mut self, reading: String) {
        self.decided = Some(reading);
    }

    /// For a full list: keys that stand in the file, those of unchanged and rejected rows included.
    pub fn present(&mut self, kind: Kind, keys: &[&str]) -> Result<()> {
        if self.present.is_none() {
            self.present = Some(Present::new(self.store.state_dir())?);
        }
        let present = self.present.as_mut().expect("it was just made");
        present.add(kind, keys)
    }

    /// Of what the folder's files brought, how much `present` did not name. Orders are never missed.
    pub fn missing_count(&mut self) -> Result<Missing> {
        self.present(Kind::Products, &[])?;
        let present = self.present.as_mut().expect("it was just made");
        present.compare(&self.store.reader()?, self.of.folder)
    }

    /// One transaction: state `stored`, counts, hash, deletions of a full list. Before it go SKUs whose
    /// products the file deleted, in transactions of their own: nothing is sent of a file that is being read.
    pub fn finish(mut self, finish: Finish) -> Result<Counts> {
        if finish.delete_missing {
            self.settle()?;
            self.missing_count()?;
        }
        let mut present = self.present.take().filter(|_| finish.delete_missing);
        self.delete_skus_along(&mut present, finish.now)?;
        let decided = self.decided.take();
        let (applier, fate) = (self.applier.clone(), self.fate.clone());
        self.store.write_alone(move |c| {
            // What was lost before this took its place in the queue.
            fate.check()?;
            let mut applier = applier.lock().unwrap_or_else(PoisonError::into_inner);
            self::finish(c, &mut applier, present.as_ref(), decided, &finish)
        })
    }

    /// Takes `present`, if what it misses is deleted by then.
    fn delete_skus_along(&self, present: &mut Option<Present>, now: i64) -> Result<()> {
        let lock = || self.applier.lock().unwrap_or_else(PoisonError::into_inner);
        if !matches!(lock().kind, Kind::Products | Kind::Skus) {
            return Ok(());
        }
        self.settle()?;
        if let Some(present) = present.take() {
            let applier = self.applier.clone();
            self.store.write_alone(move |c| {
                let mut applier = applier.lock().unwrap_or_else(PoisonError::into_inner);
                delete_missing(c, &mut applier, &present, now)
            })?;
        }
        if lock().deleted_products {
            let OfFile {
                file, first_seq, ..
            } = self.of;
            let by = By::File { file, first_seq };
            self.store.delete_skus_along(by, now)?;
        }
        Ok(())
    }

    /// Undoes what the file changed, and gives it this state. Records that it created and that no
    /// flight carried leave no trace.
    pub fn take_back(self, state: FileState, reason: Option<String>, now: i64) -> Result<()> {
        // What is on its way is to be undone too; a batch that was lost needs no undoing.
        let _ = self.settle();
        self.store.take_back(self.of.file, state, reason, now)
    }

    /// Returns once all batches are committed or lost.
    pub(super) fn settle(&self) -> Result<()> {
        let (applier, fate) = (self.applier.clone(), self.fate.clone());
        self.store.write_alone(move |c| {
            fate.check()?;
            let mut applier = applier.lock().unwrap_or_else(PoisonError::into_inner);
            applier.flush(c)
        })?;
        self.fate.check()
    }
}

fn finish(
    c: &Connection,
    applier: &mut Applier,
    present: Option<&Present>,
    decided: Option<String>,
    finish: &Finish,
) -> Result<Counts> {
    applier.flush(c)?;
    if let Some(present) = present {
        delete_missing(c, applier, present, finish.now)?;
    }
    edit::settle_parked(c, applier.file, applier.first_seq)?;
    let mut counts = applier.counts;
    counts.unchanged += finish.unchanged;
    let mut notices = finish.notices.clone();
    if applier.deleted_products {
        notices.extend(went_along(skus::deleted_by(
            c,
            applier.file,
            applier.first_seq,
        )?));
    }
    let notices = (!notices.is_empty()).then(|| to_json(&notices));
    c.execute(
        "UPDATE file SET state = 'stored', reason = NULL, rows = ?2, new = ?3, changed = ?4,
           unchanged = ?5, deleted = ?6, rejected = ?7, skipped = ?8, notices = ?9, hash = ?10,
           stored = ?11, last_seq = ?12, archived = CASE WHEN ?13 THEN ?11 END,
           reading = coalesce(?14, reading)
         WHERE id = ?1",
        params![
            applier.file,
            finish.rows as i64,
            counts.new as i64,
            counts.changed as i64,
            counts.unchanged as i64,
            counts.deleted as i64,
            counts.rejected as i64,
            (finish.skipped + applier.skipped) as i64,
            notices,
            finish.hash.as_slice(),
            finish.now,
            edit::next_seq(c)? - 1,
            finish.after_leave && counts.rejected == 0,
            decided
        ],
    )?;
    Ok(counts)
}

fn went_along(skus: u64) -> Option<String> {
    match skus {
        0 => None,
        1 => Some("1 SKU was deleted with its product".to_owned()),
        n => Some(format!("{n} SKUs were deleted with their products")),
    }
}

fn delete_missing(
    c: &Connection,
    applier: &mut Applier,
    present: &Present,
    now: i64,
) -> Result<()> {
    let mut seq = edit::next_seq(c)?;
    let source = Source {
        file: applier.file,
        ..Source::command(now)
    };
    present.each_missing(|kind, key| {
        if let Some(stored) = edit::stored(c, kind, key)?.filter(|stored| !stored.gone) {
            applier.delete_stored(c, kind, key, &stored, source, seq)?;
            seq += 1;
        }
        Ok(())
    })
}
