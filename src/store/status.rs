//! What `status`, page and metrics look up: counts, what needs a person, and the page's history.
//!
//! Readers only, but for `take_sample` and `know_folders`, which the daemon has written once a
//! while. Times are UTC milliseconds.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::Result;
use super::meta;
use crate::kind::Kind;

/// Files, groups and jobs that are named at most; the rest is counted.
const NAMED_MAX: i64 = 50;

/// Between two points of the page's picture.
pub const SAMPLE_EVERY_MS: i64 = 5 * 60_000;

/// How long points are kept; the page shows two days.
const SAMPLES_KEPT_MS: i64 = 14 * 24 * 3_600_000;

/// A file that could not be read, or of which rows were rejected, is spoken of so long at most.
const SPOKEN_OF_MS: i64 = 30 * 24 * 3_600_000;

/// And only of so many of the newest files: years of them need not be walked through for it.
const SPOKEN_OF_FILES: i64 = 2_000;

/// Numbers of records of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KindCounts {
    pub stored: u64,
    /// Of these: the remote has acknowledged what is stored.
    pub confirmed: u64,
    pub pending: u64,
    pub in_flight: u64,
    pub parked: u64,
}

/// What has to be counted record by record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// By `Kind::ALL`.
    pub kinds: [KindCounts; 4],
    pub oldest_pending: Option<i64>,
    /// The oldest one that could be sent now.
    pub oldest_due: Option<i64>,
}

/// All that is looked up of tables, of one moment. 0.3 s for a million records and twenty thousand
/// files, so the page keeps it a while.
#[derive(Clone, Debug, Default)]
pub struct Look {
    pub tally: Tally,
    pub files: FileTally,
    pub held: Vec<NamedFile>,
    pub reading: Vec<NamedFile>,
    pub unreadable: Vec<NamedFile>,
    /// With the codes of their rejects.
    pub rejecting: Vec<(NamedFile, Vec<(String, u64)>)>,
    pub newest: Vec<NamedFile>,
    pub came: Vec<(String, i64)>,
    pub parked: Vec<ParkedGroup>,
    pub jobs: Vec<OpenJob>,
    pub last_delivered: Option<i64>,
    pub last_request: Option<i64>,
    pub last_failed: Option<FailedRequest>,
    pub ever: (u64, u64, u64),
    /// Requests since `cycle_begun`.
    pub cycle_used: u64,
}

/// KiB of pages that a look keeps. It passes over each once; with SQLite's 2 MiB an idle daemon that
/// looks once a minute is so much larger for ever.
const CACHE_KIB: i64 = -256;

/// `cycle_begun`: from when on the plan's calls count.
pub fn look(c: &Connection, now: i64, cycle_begun: Option<i64>) -> Result<Look> {
    c.pragma_update(None, "cache_size", CACHE_KIB)?;
    let rejecting = rejecting(c, now)?.into_iter();
    let with_codes = |file: NamedFile| -> Result<_> {
        let codes = reject_codes(c, file.id)?;
        Ok((file, codes))
    };
    Ok(Look {
        tally: tally(c, now)?,
        files: files(c)?,
        held: held(c)?,
        reading: reading(c)?,
        unreadable: unreadable(c, now)?,
        rejecting: rejecting.map(with_codes).collect::<Result<_>>()?,
        newest: newest(c)?,
        came: came(c)?,
        parked: parked(c)?,
        jobs: jobs(c)?,
        last_delivered: last_delivered(c)?,
        last_request: last_request(c)?,
        last_failed: last_failed(c)?,
        ever: ever(c)?,
        cycle_used: match cycle_begun {
            Some(from) => requests_since(c, from)?,
            None => 0,
        },
    })
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileTally {
    pub waiting: u64,
    pub reading: u64,
    pub held: u64,
    pub stored: u64,
    pub unreadable: u64,
    pub rejected_rows: u64,
    pub oldest_waiting: Option<i64>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NamedFile {
    pub id: i64,
    pub folder: String,
    pub name: String,
    pub reason: Option<String>,
    pub state: String,
    pub preset: Option<String>,
    pub seen: i64,
    pub stored: Option<i64>,
    pub rows: u64,
    pub new: u64,
    pub changed: u64,
    pub unchanged: u64,
    pub deleted: u64,
    pub rejected: u64,
    pub skipped: u64,
    pub rejects_names: Vec<String>,
    pub archive_name: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParkedGroup {
    pub kind: Kind,
    pub code: String,
    pub count: u64,
    pub since: i64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenJob {
    pub remote_id: String,
    pub kind: Kind,
    pub since: i64,
    pub records: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedRequest {
    pub at: i64,
    pub method: String,
    pub path: String,
    pub status: Option<u16>,
    pub verdict: Option<String>,
    pub request_id: Option<String>,
}

/// A row of `sample`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    pub at: i64,
    pub stored: u64,
    pub pending: u64,
    pub parked: u64,
    pub delivered: u64,
    pub calls: u64,
}

fn tally(c: &Connection, now: i64) -> Result<Tally> {
    let mut tally = Tally::default();
    let mut stored = c.prepare_cached(
        "SELECT kind, count(*), count(*) FILTER (WHERE acked = fingerprint)
         FROM record WHERE gone = 0 GROUP BY kind",
    )?;
    let mut rows = stored.query([])?;
    while let Some(row) = rows.next()? {
        let kind = row.get(0)?;
        of(
            &mut tally,
            kind,
            |counts, n| counts.stored += n,
            row.get(1)?,
        );
        of(
            &mut tally,
            kind,
            |counts, n| counts.confirmed += n,
            row.get(2)?,
        );
    }
    let mut parked = c.prepare_cached("SELECT kind, count(DISTINCT id) FROM parked WHERE NOT EXISTS
           (SELECT 1 FROM pending WHERE pending.kind = parked.kind AND pending.part = parked.part AND pending.id = parked.id)
         GROUP BY kind")?;
    let mut rows = parked.query([])?;
    while let Some(row) = rows.next()? {
        of(
            &mut tally,
            row.get(0)?,
            |counts, n| counts.parked += n,
            row.get(1)?,
        );
    }
    pending(c, now, &mut tally)?;
    Ok(tally)
}

fn pending(c: &Connection, now: i64, tally: &mut Tally) -> Result<()> {
    // A record whose consents wait beside it is one record.
    let mut pending = c.prepare_cached(
        "SELECT kind,
                count(*) FILTER (WHERE part = 0 OR NOT EXISTS
                  (SELECT 1 FROM pending AS own WHERE own.kind = pending.kind AND own.part = 0 AND own.id = pending.id)),
                count(flight),
                min(since),
                min(max(since, next_try)) FILTER (WHERE flight IS NULL AND next_try <= ?1 AND file NOT IN
                  (SELECT id FROM file WHERE state = 'reading' AND archived IS NULL))
         FROM pending GROUP BY kind",
    )?;
    let mut rows = pending.query([now])?;
    while let Some(row) = rows.next()? {
        let kind = row.get(0)?;
        of(tally, kind, |counts, n| counts.pending += n, row.get(1)?);
        of(tally, kind, |counts, n| counts.in_flight += n, row.get(2)?);
        let earlier = |a: Option<i64>, b: Option<i64>| a.into_iter().chain(b).min();
        tally.oldest_pending = earlier(tally.oldest_pending, row.get(3)?);
        tally.oldest_due = earlier(tally.oldest_due, row.get(4)?);
    }
    Ok(())
}

fn of(tally: &mut Tally, kind: i64, add: impl Fn(&mut KindCounts, u64), n: i64) {
    let Some(kind) = Kind::from_code(kind) else {
        return;
    };
    let place = Kind::ALL.iter().position(|k| *k == kind);
    add(
        &mut tally.kinds[place.expect("ALL names every kind")],
        count(n),
    );
}

fn files(c: &Connection) -> Result<FileTally> {
    let mut tally = FileTally::default();
    let mut statement = c.prepare_cached(
        "SELECT state, count(*), sum(rejected), min(seen) FROM file GROUP BY state",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let n = count(row.get(1)?);
        tally.rejected_rows += count(row.get(2)?);
        match row.get::<_, String>(0)?.as_str() {
            "waiting" => {
                tally.waiting = n;
                tally.oldest_waiting = row.get(3)?;
            }
            "reading" => tally.reading = n,
            "held" => tally.held = n,
            "stored" => tally.stored = n,
            "unreadable" => tally.unreadable = n,
            _ => {}
        }
    }
    Ok(tally)
}

const NAMED: &str = "file.id, folder.name, file.name, reason, state, preset, seen, stored, rows, new, changed, unchanged, deleted, rejected, skipped, rejects_names, archive_name";

fn named(row: &Row<'_>) -> rusqlite::Result<NamedFile> {
    let names: Option<String> = row.get(15)?;
    Ok(NamedFile {
        id: row.get(0)?,
        folder: row.get(1)?,
        name: row.get(2)?,
        reason: row.get(3)?,
        state: row.get(4)?,
        preset: row.get(5)?,
        seen: row.get(6)?,
        stored: row.get(7)?,
        rows: count(row.get(8)?),
        new: count(row.get(9)?),
        changed: count(row.get(10)?),
        unchanged: count(row.get(11)?),
        deleted: count(row.get(12)?),
        rejected: count(row.get(13)?),
        skipped: count(row.get(14)?),
        rejects_names: names
            .and_then(|json| serde_json::from_str(&json).ok())
            .unwrap_or_default(),
        archive_name: row.get(16)?,
    })
}

fn named_files(c: &Connection, rest: &str, args: impl rusqlite::Params) -> Result<Vec<NamedFile>> {
    // `rest` is one of the texts of this file.
    let text = format!("SELECT {NAMED} FROM file JOIN folder ON folder.id = file.folder {rest}");
    let mut statement = c.prepare_cached(&text)?;
    let rows = statement.query_map(args, named)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// Held, oldest first.
fn held(c: &Connection) -> Result<Vec<NamedFile>> {
    named_files(
        c,
        "WHERE state = 'held' AND archived IS NULL ORDER BY file.id LIMIT ?1",
        [NAMED_MAX],
    )
}

fn reading(c: &Connection) -> Result<Vec<NamedFile>> {
    named_files(
        c,
        "WHERE state = 'reading' AND archived IS NULL ORDER BY file.id LIMIT ?1",
        [NAMED_MAX],
    )
}

/// Not readable, newest first, of folders of which no later file with a row was taken.
fn unreadable(c: &Connection, now: i64) -> Result<Vec<NamedFile>> {
    named_files(
        c,
        "WHERE file.id > (SELECT max(id) FROM file) - ?3 AND state = 'unreadable' AND seen > ?1 AND NOT EXISTS
           (SELECT 1 FROM file AS later WHERE later.folder = file.folder AND later.id > file.id
              AND later.state = 'stored' AND later.rows > 0)
         ORDER BY file.id DESC LIMIT ?2",
        [now - SPOKEN_OF_MS, NAMED_MAX, SPOKEN_OF_FILES],
    )
}

/// Rows of them were rejected, newest first.
fn rejecting(c: &Connection, now: i64) -> Result<Vec<NamedFile>> {
    named_files(
        c,
        "WHERE file.id > (SELECT max(id) FROM file) - ?3 AND state = 'stored' AND rejected > 0 AND seen > ?1 ORDER BY file.id DESC LIMIT ?2",
        [now - SPOKEN_OF_MS, NAMED_MAX, SPOKEN_OF_FILES],
    )
}

/// Each folder's newest.
fn newest(c: &Connection) -> Result<Vec<NamedFile>> {
    named_files(
        c,
        "WHERE file.id IN (SELECT (SELECT id FROM file WHERE file.folder = folder.id ORDER BY id DESC LIMIT 1) FROM folder)",
        [],
    )
}

/// The newest of one folder, for the page.
pub fn file(c: &Connection, id: i64) -> Result<Option<NamedFile>> {
    Ok(named_files(c, "WHERE file.id = ?1", [id])?.pop())
}

/// By folder: when the last file with a row came. A held one came, unless it was held for being empty.
fn came(c: &Connection) -> Result<Vec<(String, i64)>> {
    let mut statement = c.prepare_cached(
        "SELECT name, (SELECT seen FROM file WHERE file.folder = folder.id
            AND ((state IN ('stored', 'reverted') AND rows > 0)
              OR (state IN ('held', 'discarded') AND coalesce(held_code, '') <> 'empty'))
            ORDER BY id DESC LIMIT 1) AS came
         FROM folder WHERE came IS NOT NULL ORDER BY id",
    )?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// Codes of a file's rejects with their number, most first.
fn reject_codes(c: &Connection, file: i64) -> Result<Vec<(String, u64)>> {
    let mut statement = c.prepare_cached(
        "SELECT code, count(*) FROM reject WHERE file = ?1 GROUP BY code ORDER BY 2 DESC, 1",
    )?;
    let rows = statement.query_map([file], |row| Ok((row.get(0)?, count(row.get(1)?))))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// Parked records by kind and code, most first. Other content of one that is in the queue already
/// takes it out of here.
fn parked(c: &Connection) -> Result<Vec<ParkedGroup>> {
    let mut statement = c.prepare_cached(
        "SELECT kind, code, count(DISTINCT id), min(since) FROM parked WHERE NOT EXISTS
           (SELECT 1 FROM pending WHERE pending.kind = parked.kind AND pending.part = parked.part AND pending.id = parked.id)
         GROUP BY kind, code ORDER BY 3 DESC, 2 LIMIT ?1",
    )?;
    let mut rows = statement.query([NAMED_MAX])?;
    let mut groups = Vec::new();
    while let Some(row) = rows.next()? {
        let Some(kind) = Kind::from_code(row.get(0)?) else {
            continue;
        };
        groups.push(ParkedGroup {
            kind,
            code: row.get(1)?,
            count: count(row.get(2)?),
            since: row.get(3)?,
        });
    }
    Ok(groups)
}

/// The remote's jobs that have not ended, oldest first.
fn jobs(c: &Connection) -> Result<Vec<OpenJob>> {
    let mut statement = c.prepare_cached(
        "SELECT job.remote_id, flight.kind, job.since,
                (SELECT count(*) FROM flight_item WHERE flight_item.flight = flight.id)
         FROM flight JOIN job ON job.flight = flight.id
         WHERE flight.state <> 'done' ORDER BY job.since LIMIT ?1",
    )?;
    let mut rows = statement.query([NAMED_MAX])?;
    let mut jobs = Vec::new();
    while let Some(row) = rows.next()? {
        let Some(kind) = Kind::from_code(row.get(1)?) else {
            continue;
        };
        jobs.push(OpenJob {
            remote_id: row.get(0)?,
            kind,
            since: row.get(2)?,
            records: count(row.get(3)?),
        });
    }
    Ok(jobs)
}

/// When a flight was last acknowledged, in part at least.
fn last_delivered(c: &Connection) -> Result<Option<i64>> {
    let mut statement = c.prepare_cached(
        "SELECT ended FROM flight WHERE ended IS NOT NULL AND EXISTS
           (SELECT 1 FROM flight_item WHERE flight_item.flight = flight.id AND outcome = 'acknowledged')
         ORDER BY id DESC LIMIT 1",
    )?;
    Ok(statement.query_row([], |row| row.get(0)).optional()?)
}

/// The newest request that got an answer of refusal, or none.
fn last_failed(c: &Connection) -> Result<Option<FailedRequest>> {
    let mut statement = c.prepare_cached(
        "SELECT at, method, path, status, verdict, request_id FROM request
         WHERE (status >= 300 AND coalesce(verdict, '') <> 'absent') OR (status IS NULL AND duration_ms IS NOT NULL)
         ORDER BY id DESC LIMIT 1",
    )?;
    let found = statement.query_row([], |row| {
        Ok(FailedRequest {
            at: row.get(0)?,
            method: row.get(1)?,
            path: row.get(2)?,
            status: row.get(3)?,
            verdict: row.get(4)?,
            request_id: row.get(5)?,
        })
    });
    Ok(found.optional()?)
}

fn last_request(c: &Connection) -> Result<Option<i64>> {
    Ok(c.prepare_cached("SELECT max(at) FROM request")?
        .query_row([], |row| row.get(0))?)
}

/// Requests since `from`.
fn requests_since(c: &Connection, from: i64) -> Result<u64> {
    Ok(count(
        c.prepare_cached("SELECT count(*) FROM request WHERE at >= ?1")?
            .query_row([from], |row| row.get(0))?,
    ))
}

/// Requests since `from` that one of the remote's two budgets pays for.
pub fn calls_since(c: &Connection, budget: &str, from: i64) -> Result<u64> {
    let mut statement =
        c.prepare_cached("SELECT count(*) FROM request WHERE at > ?1 AND budget = ?2")?;
    Ok(count(
        statement.query_row(params![from, budget], |row| row.get(0))?,
    ))
}

/// Numbers that only grow: requests, files, changes (creations included).
fn ever(c: &Connection) -> Result<(u64, u64, u64)> {
    let mut statement = c.prepare_cached(
        "SELECT coalesce((SELECT max(id) FROM request), 0),
                coalesce((SELECT max(id) FROM file), 0),
                max(coalesce((SELECT max(seq) FROM change), 0), coalesce((SELECT max(id) FROM document), 0))",
    )?;
    Ok(statement.query_row([], |row| {
        Ok((count(row.get(0)?), count(row.get(1)?), count(row.get(2)?)))
    })?)
}

pub fn samples(c: &Connection, from: i64) -> Result<Vec<Sample>> {
    let mut statement = c.prepare_cached(
        "SELECT at, stored, pending, parked, delivered, calls FROM sample WHERE at >= ?1 ORDER BY at",
    )?;
    let rows = statement.query_map([from], |row| {
        Ok(Sample {
            at: row.get(0)?,
            stored: count(row.get(1)?),
            pending: count(row.get(2)?),
            parked: count(row.get(3)?),
            delivered: count(row.get(4)?),
            calls: count(row.get(5)?),
        })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// Writes a point of the page's history if the last one is old enough; in the caller's transaction.
/// The daemon calls it at each rescan. A clock that was set back begins anew.
pub fn take_sample(c: &Connection, now: i64) -> Result<bool> {
    let last: Option<i64> = c
        .prepare_cached("SELECT max(at) FROM sample WHERE at <= ?1")?
        .query_row([now], |row| row.get(0))?;
    if last.is_some_and(|last| now - last < SAMPLE_EVERY_MS) {
        return Ok(false);
    }
    let from = last.unwrap_or(0).max(now - 24 * 3_600_000);
    let tally = tally(c, now)?;
    let total = |get: fn(&KindCounts) -> u64| tally.kinds.iter().map(get).sum::<u64>() as i64;
    let delivered: i64 = c
        .prepare_cached(
            "SELECT count(*) FROM flight JOIN flight_item ON flight_item.flight = flight.id
             WHERE flight.id >= (SELECT coalesce(min(flight), 0) FROM request WHERE at >= ?2)
               AND ended > ?1 AND outcome = 'acknowledged'",
        )?
        // A job that ended now may have left long ago; a day is enough to look back.
        .query_row([from, now - 24 * 3_600_000], |row| row.get(0))?;
    c.prepare_cached(
        "INSERT OR REPLACE INTO sample (at, stored, pending, parked, delivered, calls) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?
    .execute(params![
        now,
        total(|k| k.stored),
        total(|k| k.pending),
        total(|k| k.parked),
        delivered,
        requests_since(c, from + 1)? as i64,
    ])?;
    // Points from the future are of a clock that was wrong.
    c.prepare_cached("DELETE FROM sample WHERE at < ?1 OR at > ?2")?
        .execute([now - SAMPLES_KEPT_MS, now])?;
    Ok(true)
}

/// Notes when each folder was first looked at; what is expected of it counts from then. Called by the
/// daemon with the folders of its configuration, in a transaction of the writer.
pub fn know_folders(c: &Connection, folders: &[String], now: i64) -> Result<()> {
    for folder in folders {
        let name = known(folder);
        if meta::integer(c, &name)?.is_none() {
            meta::set(c, &name, &now)?;
        }
    }
    Ok(())
}

/// See `know_folders`.
pub fn known_since(c: &Connection, folder: &str) -> Result<Option<i64>> {
    meta::integer(c, &known(folder))
}

fn known(folder: &str) -> String {
    format!("known.{folder}")
}

/// Changes when another connection has committed; only ever compared with itself.
pub fn data_version(c: &Connection) -> Result<i64> {
    Ok(c.query_row("PRAGMA data_version", [], |row| row.get(0))?)
}

/// Counts in the database are never negative.
fn count(n: i64) -> u64 {
    u64::try_from(n).unwrap_or(0)
}

#[cfg(test)]
pub(crate) mod tests;
