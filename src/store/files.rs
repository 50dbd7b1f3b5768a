//! The files that were seen, in the order of arrival, and where each stands in its life.
//!
//! Knows names and states; what a file changes in records is `intake`'s.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::meta::{self, Secret};
use super::{Error, Result, Store};
use crate::kind::Kind;
use crate::reject::Reject;

/// Rejects, and bytes of their cells, that one transaction lets go of at most.
const DROPPED_ROWS_MAX: i64 = 4_096;
const DROPPED_BYTES_MAX: i64 = 4 << 20;

/// Where a file stands (INTERFACE.md, What machines read).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FileState {
    /// Claimed, nothing read.
    Waiting,
    /// Rows of it may be stored; nothing of it is sent.
    Reading,
    /// A person should see it first; it has changed nothing.
    Held,
    Stored,
    Unreadable,
    Discarded,
    Reverted,
}

impl FileState {
    pub const ALL: [FileState; 7] = [
        FileState::Waiting,
        FileState::Reading,
        FileState::Held,
        FileState::Stored,
        FileState::Unreadable,
        FileState::Discarded,
        FileState::Reverted,
    ];

    pub fn name(self) -> &'static str {
        match self {
            FileState::Waiting => "waiting",
            FileState::Reading => "reading",
            FileState::Held => "held",
            FileState::Stored => "stored",
            FileState::Unreadable => "unreadable",
            FileState::Discarded => "discarded",
            FileState::Reverted => "reverted",
        }
    }

    pub fn from_name(name: &str) -> Option<FileState> {
        FileState::ALL.into_iter().find(|s| s.name() == name)
    }
}

/// A file as it was found, before a byte of it is read.
#[derive(Clone, Debug)]
pub struct Arrival {
    pub folder: String,
    pub kind: Kind,
    /// The name's own bytes.
    pub name: Vec<u8>,
    /// The name for people: control characters and what is no UTF-8 are escaped.
    pub shown: String,
    pub device: u64,
    pub inode: u64,
    /// Bytes.
    pub size: u64,
    pub mtime_ns: i64,
    /// By `tillsync import`: it stays where it is.
    pub by_hand: bool,
}

/// A row of `files`. Times are UTC milliseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileRow {
    pub id: i64,
    pub folder: String,
    pub name: String,
    pub raw_name: Vec<u8>,
    pub device: u64,
    pub inode: u64,
    pub size: u64,
    pub mtime_ns: i64,
    pub by_hand: bool,
    pub state: FileState,
    pub reason: Option<String>,
    pub kind: Kind,
    pub preset: Option<String>,
    /// JSON, as it was given to `begin_intake`.
    pub reading: Option<String>,
    /// Rows; `rejected` and `skipped` count rows too, the other four count records.
    pub rows: u64,
    pub new: u64,
    pub changed: u64,
    pub unchanged: u64,
    pub deleted: u64,
    pub rejected: u64,
    pub skipped: u64,
    pub notices: Vec<String>,
    /// blake3 of its bytes, once stored.
    pub hash: Option<[u8; 32]>,
    /// How often the process died while reading it.
    pub crashes: u32,
    pub seen: i64,
    pub stored: Option<i64>,
    /// In `rejects/`, once written.
    pub rejects_names: Vec<String>,
    /// In `archive/` or `rejects/`.
    pub archive_name: Option<String>,
    pub archived: Option<i64>,
    /// Why it is or was held, as a word for code, and how many records that concerned.
    pub held_code: Option<String>,
    pub held_number: Option<u64>,
    /// The number that a person let pass by `accept`.
    pub accepted: Option<u64>,
}

/// A row that was not stored, as the store keeps it until the rejects file stands on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredReject {
    /// Of a zip; else empty.
    pub member: String,
    pub line: u64,
    pub column: Option<String>,
    /// `reject::Code::name`.
    pub code: String,
    pub reason: String,
    /// Empty once the rejects file was written.
    pub cells: Vec<String>,
}

/// Follows the reason of a held file, before its number.
pub const HOW_TO_ACCEPT: &str = ". If that is right: tillsync accept ";

impl Store {
    /// Commits the file's arrival number; its state is `waiting`.
    pub fn arrive(&self, arrival: &Arrival, now: i64) -> Result<i64> {
        let arrival = arrival.clone();
        self.write(move |c| {
            let folder = folder_id(c, &arrival.folder)?;
            c.prepare_cached(
                "INSERT INTO file (folder, name, raw_name, device, inode, size, mtime, by_hand, state, kind, seen)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 'waiting', ?9, ?10)",
            )?
            .execute(params![
                folder,
                arrival.shown,
                arrival.name,
                arrival.device as i64,
                arrival.inode as i64,
                arrival.size as i64,
                arrival.mtime_ns,
                arrival.by_hand,
                arrival.kind.code(),
                now
            ])?;
            Ok(c.last_insert_rowid())
        })
    }

    /// Files whose life is not over, in the order of arrival: waiting, reading, held, or decided and
    /// not yet moved away. For recovery after a start.
    pub fn open_files(&self) -> Result<Vec<FileRow>> {
        let c = self.reader()?;
        let sql = format!("{FILE_SQL} WHERE f.archived IS NULL ORDER BY f.id");
        let mut statement = c.prepare(&sql)?;
        let mut rows = statement.query([])?;
        let mut files = Vec::new();
        while let Some(row) = rows.next()? {
            files.push(file_row(row)?);
        }
        Ok(files)
    }

    pub fn file(&self, id: i64) -> Result<Option<FileRow>> {
        file(&self.reader()?, id)
    }

    /// A person should see it first. `code` is a word that code branches on, `number` how many
    /// records it concerns: what `accept` then lets pass. What it had changed must be taken back before.
    pub fn hold(&self, id: i64, code: &str, reason: &str, number: u64) -> Result<()> {
        let (code, reason) = (code.to_owned(), reason.to_owned());
        self.write(move |c| {
            c.execute(
                "UPDATE file SET state = 'held', held_code = ?2, reason = ?3, held_number = ?4 WHERE id = ?1",
                params![id, code, reason, number as i64],
            )?;
            Ok(())
        })
    }

    /// Lets a held file in after all, for the number that was shown. `false`: it is not held.
    pub fn accept(&self, id: i64) -> Result<bool> {
        self.write(move |c| {
            let changed = c.execute(
                "UPDATE file SET state = 'waiting', reason = NULL, accepted = coalesce(held_number, 0)
                 WHERE id = ?1 AND state = 'held'",
                [id],
            )?;
            Ok(changed == 1)
        })
    }

    /// Puts a held file away; its reason then tells no more how to accept it. `false`: it is not held.
    pub fn discard_file(&self, id: i64) -> Result<bool> {
        self.write(move |c| {
            let changed = c.execute(
                "UPDATE file SET state = 'discarded', reason = CASE instr(reason, ?2)
                   WHEN 0 THEN reason ELSE substr(reason, 1, instr(reason, ?2) - 1) END
                 WHERE id = ?1 AND state = 'held'",
                params![id, HOW_TO_ACCEPT],
            )?;
            Ok(changed == 1)
        })
    }

    /// No table at all, over the limits, or of another kind; what it had changed must be taken back before.
    pub fn unreadable(&self, id: i64, reason: &str, now: i64) -> Result<()> {
        let reason = reason.to_owned();
        self.write(move |c| {
            c.execute(
                "UPDATE file SET state = 'unreadable', reason = ?2, stored = ?3 WHERE id = ?1",
                params![id, reason, now],
            )?;
            Ok(())
        })
    }

    /// The process died while it read this file: how often now. Asked once a start for each file
    /// that is found `reading`.
    pub fn crashed(&self, id: i64) -> Result<u32> {
        self.write(move |c| {
            Ok(c.query_row(
                "UPDATE file SET crashes = crashes + 1 WHERE id = ?1 RETURNING crashes",
                [id],
                |row| row.get(0),
            )?)
        })
    }

    /// It was moved away (or deleted, or left and remembered): its life is over. `rejects_names` are
    /// kept if none are given.
    pub fn archived(
        &self,
        id: i64,
        archive_name: Option<&str>,
        rejects_names: &[String],
        now: i64,
    ) -> Result<()> {
        let archive_name = archive_name.map(str::to_owned);
        let names = (!rejects_names.is_empty()).then(|| to_json(rejects_names));
        self.write(move |c| {
            c.execute(
                "UPDATE file SET archive_name = coalesce(?2, archive_name),
                   rejects_names = coalesce(?3, rejects_names), archived = ?4 WHERE id = ?1",
                params![id, archive_name, names, now],
            )?;
            Ok(())
        })
    }

    /// The rejected rows of a file, in the order of member and line; `each` gets one after another.
    pub fn each_reject(&self, id: i64, each: impl FnMut(StoredReject)) -> Result<()> {
        each_reject(&self.reader()?, id, each)
    }

    /// All at once; for files with few of them.
    pub fn rejects_of(&self, id: i64) -> Result<Vec<StoredReject>> {
        let mut rejects = Vec::new();
        self.each_reject(id, |reject| rejects.push(reject))?;
        Ok(rejects)
    }

    /// The rejects files stand on disk under these names; the cells are dropped here.
    pub fn rejects_written(&self, id: i64, names: &[String]) -> Result<()> {
        let names = to_json(names);
        self.write(move |c| {
            c.execute(
                "UPDATE file SET rejects_names = ?2 WHERE id = ?1",
                params![id, names],
            )?;
            Ok(())
        })?;
        self.drop_reject_cells(id)
    }

    /// Drops the cells of a file's rejects, a part in each transaction: freed pages are overwritten, and
    /// those of one transaction stay in memory to its end. Can be repeated from wherever it was cut off.
    pub fn drop_reject_cells(&self, id: i64) -> Result<()> {
        let mut behind = Some((String::new(), -1i64, -1i64));
        while let Some((member, line, n)) = behind {
            behind = self.write(move |c| {
                let mut bytes = 0;
                let mut last = None;
                let mut find = c.prepare_cached(
                    "SELECT member, line, n, length(CAST(cells AS BLOB)) FROM reject
                     WHERE file = ?1 AND (member, line, n) > (?2, ?3, ?4) ORDER BY member, line, n LIMIT ?5",
                )?;
                let mut rows = find.query(params![id, member, line, n, DROPPED_ROWS_MAX])?;
                while let Some(row) = rows.next()?
                    && bytes < DROPPED_BYTES_MAX
                {
                    bytes += row.get::<_, Option<i64>>(3)?.unwrap_or(0);
                    last = Some((row.get::<_, String>(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?));
                }
                if let Some((to_member, to_line, to_n)) = &last {
                    c.prepare_cached(
                        "UPDATE reject SET cells = NULL WHERE file = ?1 AND cells IS NOT NULL
                         AND (member, line, n) > (?2, ?3, ?4) AND (member, line, n) <= (?5, ?6, ?7)",
                    )?
                    .execute(params![id, member, line, n, to_member, to_line, to_n])?;
                }
                Ok(last)
            })?;
        }
        Ok(())
    }

    /// The file of this folder whose rejects file has this name, newest first: what a mended one is read by.
    pub fn file_by_rejects_name(&self, name: &str) -> Result<Option<FileRow>> {
        let c = self.reader()?;
        let sql = format!(
            "{FILE_SQL} WHERE EXISTS (SELECT 1 FROM json_each(f.rejects_names) WHERE value = ?1)
             ORDER BY f.id DESC LIMIT 1"
        );
        let mut statement = c.prepare(&sql)?;
        let mut rows = statement.query([name])?;
        rows.next()?.map(file_row).transpose()
    }

    /// The newest file of a folder with this shown name that was read: whose reading its rejects are
    /// read by (`_file`).
    pub fn file_by_name(&self, folder: &str, name: &str) -> Result<Option<FileRow>> {
        let c = self.reader()?;
        let sql = format!(
            "{FILE_SQL} WHERE d.name = ?1 AND f.name = ?2 AND f.reading IS NOT NULL
             ORDER BY f.id DESC LIMIT 1"
        );
        let mut statement = c.prepare(&sql)?;
        let mut rows = statement.query([folder, name])?;
        rows.next()?.map(file_row).transpose()
    }

    /// With `after = "leave"`: whether these bytes were taken in before from this folder.
    pub fn taken_before(&self, folder: &str, hash: &[u8; 32]) -> Result<Option<i64>> {
        let c = self.reader()?;
        let found = c
            .query_row(
                "SELECT f.id FROM file f JOIN folder d ON d.id = f.folder
                 WHERE d.name = ?1 AND f.hash = ?2 AND f.state = 'stored' ORDER BY f.id DESC LIMIT 1",
                params![folder, hash.as_slice()],
                |row| row.get(0),
            )
            .optional()?;
        Ok(found)
    }

    /// The columns that the folder's last good file had mapped; `None`: there was none.
    pub fn folder_columns(&self, folder: &str) -> Result<Option<Vec<String>>> {
        folder_columns(&self.reader()?, folder)
    }

    pub fn set_folder_columns(&self, folder: &str, columns: &[String]) -> Result<()> {
        let (folder, columns) = (folder.to_owned(), to_json(columns));
        self.write(move |c| {
            let id = folder_id(c, &folder)?;
            c.execute(
                "UPDATE folder SET columns = ?2 WHERE id = ?1",
                params![id, columns],
            )?;
            Ok(())
        })
    }
}

/// `Store::folder_columns`, on any connection.
pub fn folder_columns(c: &Connection, folder: &str) -> Result<Option<Vec<String>>> {
    let columns: Option<Option<String>> = c
        .query_row(
            "SELECT columns FROM folder WHERE name = ?1",
            [folder],
            |row| row.get(0),
        )
        .optional()?;
    Ok(columns.flatten().map(|json| from_json(Some(&json))))
}

/// The rejected rows of a file, as `Store::each_reject` gives them.
pub fn each_reject(c: &Connection, id: i64, mut each: impl FnMut(StoredReject)) -> Result<()> {
    let mut statement = c.prepare(
    "SELECT member, line, column, code, reason, cells FROM reject WHERE file = ?1 ORDER BY member, line, n",
)?;
    let mut rows = statement.query([id])?;
    while let Some(row) = rows.next()? {
        let cells: Option<String> = row.get(5)?;
        each(StoredReject {
            member: row.get(0)?,
            line: row.get::<_, i64>(1)? as u64,
            column: row.get(2)?,
            code: row.get(3)?,
            reason: row.get(4)?,
            cells: from_json(cells.as_deref()),
        });
    }
    Ok(())
}

/// One row of `files`, on any connection.
pub fn file(c: &Connection, id: i64) -> Result<Option<FileRow>> {
    let sql = format!("{FILE_SQL} WHERE f.id = ?1");
    let mut statement = c.prepare_cached(&sql)?;
    let mut rows = statement.query([id])?;
    rows.next()?.map(file_row).transpose()
}

pub(super) const FILE_SQL: &str = "SELECT f.id, d.name, f.name, f.raw_name, f.device, f.inode, f.size, f.mtime,
   f.by_hand, f.state, f.reason, f.kind, f.preset, f.reading, f.rows, f.new, f.changed, f.unchanged,
   f.deleted, f.rejected, f.skipped, f.notices, f.hash, f.crashes, f.seen, f.stored, f.rejects_names,
   f.archive_name, f.archived, f.held_code, f.held_number, f.accepted
 FROM file f JOIN folder d ON d.id = f.folder";

pub(super) fn file_row(row: &Row<'_>) -> Result<FileRow> {
    let number = |i: usize| -> rusqlite::Result<u64> { Ok(row.get::<_, i64>(i)? as u64) };
    let state: String = row.get(9)?;
    let hash: Option<Vec<u8>> = row.get(22)?;
    let list = |i: usize| -> rusqlite::Result<Vec<String>> {
        Ok(from_json(row.get::<_, Option<String>>(i)?.as_deref()))
    };
    Ok(FileRow {
        id: row.get(0)?,
        folder: row.get(1)?,
        name: row.get(2)?,
        raw_name: row.get(3)?,
        device: number(4)?,
        inode: number(5)?,
        size: number(6)?,
        mtime_ns: row.get(7)?,
        by_hand: row.get(8)?,
        state: FileState::from_name(&state).ok_or_else(|| damaged("a file's state"))?,
        reason: row.get(10)?,
        kind: kind(row.get(11)?)?,
        preset: row.get(12)?,
        reading: row.get(13)?,
        rows: number(14)?,
        new: number(15)?,
        changed: number(16)?,
        unchanged: number(17)?,
        deleted: number(18)?,
        rejected: number(19)?,
        skipped: number(20)?,
        notices: list(21)?,
        hash: hash.and_then(|h| h.try_into().ok()),
        crashes: row.get(23)?,
        seen: row.get(24)?,
        stored: row.get(25)?,
        rejects_names: list(26)?,
        archive_name: row.get(27)?,
        archived: row.get(28)?,
        held_code: row.get(29)?,
        held_number: row.get::<_, Option<i64>>(30)?.map(|n| n as u64),
        accepted: row.get::<_, Option<i64>>(31)?.map(|n| n as u64),
    })
}

/// The number of a folder, given at its first use.
pub(super) fn folder_id(c: &Connection, name: &str) -> Result<i64> {
    let known = c
        .prepare_cached("SELECT id FROM folder WHERE name = ?1")?
        .query_row([name], |row| row.get(0))
        .optional()?;
    if let Some(id) = known {
        return Ok(id);
    }
    c.execute("INSERT INTO folder (name) VALUES (?1)", [name])?;
    Ok(c.last_insert_rowid())
}

pub(super) const KEY_HASH_BYTES: usize = 16;

/// Writes rejects of one member; gives back how many rows they are (several may stand for one line).
pub(super) fn put_rejects(
    c: &Connection,
    file: i64,
    member: &str,
    rejects: &[Reject],
    last: &mut (u64, i64),
) -> Result<u64> {
    let mut insert = c.prepare_cached(
        "INSERT OR REPLACE INTO reject (file, member, line, n, column, code, reason, cells, keys)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    )?;
    // Most batches bring none.
    if rejects.is_empty() {
        return Ok(0);
    }
    let secret = meta::secret(c)?;
    let mut rows = 0;
    for reject in rejects {
        *last = if last.0 == reject.line {
            (reject.line, last.1 + 1)
        } else {
            rows += 1;
            (reject.line, 0)
        };
        insert.execute(params![
            file,
            member,
            reject.line as i64,
            last.1,
            reject.column,
            reject.code.name(),
            reject.reason,
            to_json(&reject.cells),
            key_hashes(&secret, reject)
        ])?;
    }
    Ok(rows)
}

/// Of the keys that could be read of a rejected row: it is found by them, and no key is kept that `forget`
/// would have to look for.
fn key_hashes(secret: &Secret, reject: &Reject) -> Option<Vec<u8>> {
    let hashes = (reject.records.iter()).flat_map(|(_, key)| key_hash(secret, key));
    Some(hashes.collect::<Vec<u8>>()).filter(|hashes| !hashes.is_empty())
}

pub(super) fn key_hash(secret: &Secret, key: &str) -> [u8; KEY_HASH_BYTES] {
    let mut hasher = blake3::Hasher::new_keyed(secret);
    hasher.update(b"reject\0");
    hasher.update(key.as_bytes());
    let hash = *hasher.finalize().as_bytes();
    hash.first_chunk().copied().expect("a hash is longer")
}

pub(super) fn kind(code: i64) -> Result<Kind> {
    Kind::from_code(code).ok_or_else(|| damaged("a kind"))
}

pub(super) fn damaged(what: &str) -> Error {
    Error::Broken(format!("{what} in it is none that tillsync writes"))
}

pub(super) fn to_json(list: &[String]) -> String {
    serde_json::to_string(list).expect("texts are always JSON")
}

pub(super) fn from_json(json: Option<&str>) -> Vec<String> {
    json.and_then(|json| serde_json::from_str(json).ok())
        .unwrap_or_default()
}
