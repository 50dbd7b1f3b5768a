//! Rows of the listings, newest first, one after another: nothing is gathered in memory.

use rusqlite::{Connection, Row, params};

use super::edit::{PART_CONSENTS, Shapes};
use super::files::{FILE_SQL, FileRow, KEY_HASH_BYTES, file_row, key_hash};
use super::{Result, meta};
use crate::kind::Kind;
use crate::record::{Op, Patch};

/// What a listing is narrowed to. All that is named has to fit.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    pub kind: Option<Kind>,
    pub key: Option<String>,
    /// A file's id.
    pub file: Option<i64>,
    /// UTC milliseconds.
    pub since: Option<i64>,
    /// Rows at most.
    pub limit: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectRow {
    pub file: i64,
    pub name: String,
    pub kind: Kind,
    pub member: String,
    pub line: u64,
    pub column: Option<String>,
    pub code: String,
    pub reason: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangeRow {
    pub seq: i64,
    pub kind: Kind,
    pub key: String,
    pub op: Op,
    /// `None`: made by a command.
    pub file: Option<i64>,
    pub name: Option<String>,
    pub line: Option<u64>,
    pub at: i64,
    pub fields: Patch,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingRow {
    pub kind: Kind,
    pub key: String,
    /// Of its newest change.
    pub seq: i64,
    /// Its consents alone.
    pub consents: bool,
    pub since: i64,
    pub attempts: u32,
    /// `None`: as soon as the link allows.
    pub next_try: Option<i64>,
    pub last_error: Option<String>,
    pub in_flight: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParkedRow {
    pub kind: Kind,
    pub key: String,
    pub consents: bool,
    pub since: i64,
    pub code: String,
    pub message: Option<String>,
    pub request_id: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestRow {
    pub id: i64,
    pub at: i64,
    pub method: String,
    pub path: String,
    pub records: u64,
    pub status: Option<u16>,
    pub verdict: Option<String>,
    pub request_id: Option<String>,
    pub duration_ms: Option<u64>,
}

/// Counts down the rows that a listing may give.
struct Left(u64);

impl Left {
    fn of(filter: &Filter) -> Left {
        Left(filter.limit.unwrap_or(u64::MAX))
    }

    /// Gives a row to `each`; `false`: it was the last.
    fn give<T>(&mut self, row: T, each: &mut dyn FnMut(T) -> bool) -> bool {
        if self.0 == 0 {
            return false;
        }
        self.0 -= 1;
        each(row) && self.0 > 0
    }
}

/// A record of the filter's key; an orders file also brings customers.
const OF_KEY: &str = "r.kind IN (1, 2, 3, 4) AND r.source_id = ?5 AND (?1 IS NULL OR r.kind = ?1)";

/// Files by number, newest first; of a key, those that created or changed its record. Calls `each` for one row after another until it says `false`.
pub fn files(c: &Connection, filter: &Filter, each: &mut dyn FnMut(FileRow) -> bool) -> Result<()> {
    let sql = format!(
        "{FILE_SQL} WHERE (?1 IS NULL OR f.kind = ?1) AND (?2 IS NULL OR f.id = ?2)
           AND (?3 IS NULL OR f.seen >= ?3)
           AND (?5 IS NULL OR f.id IN (
             SELECT d.file FROM record r JOIN document d ON d.id = r.id WHERE {OF_KEY}
             UNION SELECT c.file FROM record r JOIN change c ON c.record = r.id WHERE {OF_KEY}))
         ORDER BY f.id DESC LIMIT ?4"
    );
    let mut statement = c.prepare_cached(&sql)?;
    let mut rows = statement.query(params![
        filter.kind.map(Kind::code),
        filter.file,
        filter.since,
        limit(filter),
        filter.key
    ])?;
    while let Some(row) = rows.next()? {
        if !each(file_row(row)?) {
            break;
        }
    }
    Ok(())
}

/// The newest file first, its rows in their order. Of a key, those of which it could be read.
pub fn rejects(
    c: &Connection,
    filter: &Filter,
    each: &mut dyn FnMut(RejectRow) -> bool,
) -> Result<()> {
    let mut left = Left::of(filter);
    let key = match &filter.key {
        Some(key) => Some(key_hash(&meta::secret(c)?, key)),
        None => None,
    };
    // A database that the daemon has not migrated yet has no such column.
    let keys = if key.is_some() { "keys" } else { "NULL" };
    let mut of_file = c.prepare_cached(&format!(
        "SELECT member, line, column, code, reason, {keys} FROM reject WHERE file = ?1
         ORDER BY member, line, n",
    ))?;
    let mut statement = c.prepare_cached(
        "SELECT id, name, kind FROM file WHERE (?1 IS NULL OR kind = ?1) AND (?2 IS NULL OR id = ?2)
           AND (?3 IS NULL OR seen >= ?3) ORDER BY id DESC",
    )?;
    let mut files = statement.query(params![
        filter.kind.map(Kind::code),
        filter.file,
        filter.since
    ])?;
    while let Some(file) = files.next()? {
        let (id, name, kind): (i64, String, i64) = (file.get(0)?, file.get(1)?, file.get(2)?);
        let mut rows = of_file.query([id])?;
        while let Some(row) = rows.next()? {
            if let Some(key) = &key {
                let keys: Option<Vec<u8>> = row.get(5)?;
                if !keys.is_some_and(|keys| keys.chunks(KEY_HASH_BYTES).any(|k| k == key)) {
                    continue;
                }
            }
            let reject = RejectRow {
                file: id,
                name: name.clone(),
                kind: super::files::kind(kind)?,
                member: row.get(0)?,
                line: row.get::<_, i64>(1)? as u64,
                column: row.get(2)?,
                code: row.get(3)?,
                reason: row.get(4)?,
            };
            if !left.give(reject, each) {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// What waits longest stands last.
pub fn pending(
    c: &Connection,
    filter: &Filter,
    each: &mut dyn FnMut(PendingRow) -> bool,
) -> Result<()> {
    let mut left = Left::of(filter);
    // The order is found over small rows, and the rest is looked up: there may be millions.
    let mut statement = c.prepare_cached(
        "SELECT p.kind, p.part, p.id, p.since, p.flight, p.attempts, p.next_try, p.last_error,
                d.source_id, r.seq, r.file
         FROM (SELECT kind, part, id FROM pending
               WHERE (?1 IS NULL OR kind = ?1) AND (?2 IS NULL OR since >= ?2)
               ORDER BY since DESC, id DESC, part) o
         CROSS JOIN pending p ON p.kind = o.kind AND p.part = o.part AND p.id = o.id
         CROSS JOIN document d ON d.id = p.id
         CROSS JOIN record r ON r.kind = d.kind AND r.source_id = d.source_id
         WHERE (?3 IS NULL OR d.source_id = ?3) AND (?4 IS NULL OR r.file = ?4)",
    )?;
    let mut rows = statement.query(params![
        filter.kind.map(Kind::code),
        filter.since,
        filter.key,
        filter.file
    ])?;
    while let Some(row) = rows.next()? {
        let next_try: i64 = row.get(6)?;
        let pending = PendingRow {
            kind: super::files::kind(row.get(0)?)?,
            key: row.get(8)?,
            seq: row.get(9)?,
            consents: row.get::<_, i64>(1)? == PART_CONSENTS,
            since: row.get(3)?,
            attempts: row.get(5)?,
            next_try: (next_try > 0).then_some(next_try),
            last_error: row.get(7)?,
            in_flight: row.get::<_, Option<i64>>(4)?.is_some(),
        };
        if !left.give(pending, each) {
            break;
        }
    }
    Ok(())
}

pub fn parked(
    c: &Connection,
    filter: &Filter,
    each: &mut dyn FnMut(ParkedRow) -> bool,
) -> Result<()> {
    // What other content put into the queue again is parked no longer.
    let mut statement = c.prepare_cached(
        "SELECT p.kind, p.part, p.since, p.code, p.message, p.request_id, d.source_id
         FROM parked p JOIN document d ON d.id = p.id
         JOIN record r ON r.kind = d.kind AND r.source_id = d.source_id
         WHERE NOT EXISTS (
             SELECT 1 FROM pending o WHERE o.kind = p.kind AND o.part = p.part AND o.id = p.id)
           AND (?1 IS NULL OR p.kind = ?1) AND (?2 IS NULL OR d.source_id = ?2)
           AND (?3 IS NULL OR r.file = ?3) AND (?4 IS NULL OR p.since >= ?4)
         ORDER BY p.since DESC, p.id DESC, p.part LIMIT ?5",
    )?;
    let mut rows = statement.query(params![
        filter.kind.map(Kind::code),
        filter.key,
        filter.file,
        filter.since,
        limit(filter)
    ])?;
    while let Some(row) = rows.next()? {
        let parked = ParkedRow {
            kind: super::files::kind(row.get(0)?)?,
            key: row.get(6)?,
            consents: row.get::<_, i64>(1)? == PART_CONSENTS,
            since: row.get(2)?,
            code: row.get(3)?,
            message: row.get(4)?,
            request_id: row.get(5)?,
        };
        if !each(parked) {
            break;
        }
    }
    Ok(())
}

/// The log of requests; of one record with `kind` and `key`, of one file with `file`.
pub fn requests(
    c: &Connection,
    filter: &Filter,
    each: &mut dyn FnMut(RequestRow) -> bool,
) -> Result<()> {
    let mut statement = c.prepare_cached(
        "SELECT q.id, q.at, q.method, q.path, q.records, q.status, q.verdict, q.request_id, q.duration_ms
         FROM request q
         WHERE (?1 IS NULL OR EXISTS (SELECT 1 FROM flight f WHERE f.id = q.flight AND f.kind = ?1))
           AND (?2 IS NULL OR EXISTS (
             SELECT 1 FROM flight_item i JOIN document d ON d.id = i.id
             WHERE i.flight = q.flight AND d.source_id = ?2))
           AND (?3 IS NULL OR EXISTS (
             SELECT 1 FROM flight_item i JOIN document d ON d.id = i.id
             LEFT JOIN change ch ON ch.seq = i.seq
             WHERE i.flight = q.flight AND coalesce(ch.file, d.file) = ?3))
           AND (?4 IS NULL OR q.at >= ?4)
         ORDER BY q.id DESC LIMIT ?5",
    )?;
    let mut rows = statement.query(params![
        filter.kind.map(Kind::code),
        filter.key,
        filter.file,
        filter.since,
        limit(filter)
    ])?;
    while let Some(row) = rows.next()? {
        if !each(request_row(row)?) {
            break;
        }
    }
    Ok(())
}

pub(super) fn request_row(row: &Row<'_>) -> Result<RequestRow> {
    Ok(RequestRow {
        id: row.get(0)?,
        at: row.get(1)?,
        method: row.get(2)?,
        path: row.get(3)?,
        records: row.get::<_, i64>(4)? as u64,
        status: row.get(5)?,
        verdict: row.get(6)?,
        request_id: row.get(7)?,
        duration_ms: row.get::<_, Option<i64>>(8)?.map(|ms| ms as u64),
    })
}

fn limit(filter: &Filter) -> i64 {
    filter
        .limit
        .map_or(-1, |limit| i64::try_from(limit).unwrap_or(i64::MAX))
}

/// Keys of stored customers whose e-mail, phone or name holds `text`, without regard to case.
pub fn find(
    c: &Connection,
    text: &str,
    limit: Option<u64>,
    each: &mut dyn FnMut(&str) -> bool,
) -> Result<()> {
    let wanted = text.trim().to_lowercase();
    let mut left = limit.unwrap_or(u64::MAX);
    let mut shapes = Shapes::default();
    let mut statement = c.prepare_cached(
        "SELECT d.source_id, d.shape, d.vals FROM record r JOIN document d ON d.id = r.id
         WHERE r.kind = ?1 AND r.gone = 0 ORDER BY r.source_id",
    )?;
    let mut rows = statement.query([Kind::Customers.code()])?;
    while left > 0
        && let Some(row) = rows.next()?
    {
        let content = shapes.content_of(c, row, 1)?;
        let holds = ["email", "phone", "name"].iter().any(|field| {
            let json = content.get(field).unwrap_or_default();
            serde_json::from_str::<String>(json).is_ok_and(|t| t.to_lowercase().contains(&wanted))
        });
        if holds {
            left -= 1;
            if !each(row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?) {
                break;
            }
        }
    }
    Ok(())
}
