//! An audit: for each kind an export is ordered, awaited, fetched and compared with the store.
//!
//! Few calls, whatever the size. Each is noted in the log of requests before it leaves, and goes only
//! when our share of the limit has room for it, beside a running daemon or not.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::time::Duration;

use super::{Error, io_error, now, parts};
use crate::audit::{self, Counts, Seen, Sheet};
use crate::budget::{Budget, Part, Room};
use crate::config::{Config, Problem, Problems};
use crate::delivery::export::{Errand, Order, Told, Walk};
use crate::folder::scan::free_bytes;
use crate::kind::Kind;
use crate::remote::{Carrier, Http, NotFetched};
use crate::store::audit::{Scratch, locals};
use crate::store::flight::{self, Ended, NewRequest};
use crate::store::{self, Store};
use crate::wire::{Answer, Call, Endpoint, Response};

/// Calls for one kind: the order, the questions whether it is done, the download, and once more the
/// download where it wants credentials.
const CALLS_MAX: u32 = 8;

/// An export that was ordered earlier than that is not taken up.
const ORDER_MS_MAX: i64 = 3_600_000;

/// Between two looks whether an answer of another process makes room.
const LOOK_MS: i64 = 250;

/// An audit waits so long for room in our share of the limit, and no longer.
const ROOM_MS_MAX: i64 = 2 * 60_000;

/// Bytes, and rows, between two looks at what is free on the disk.
const LOOK_AT_DISK_EVERY: u64 = 4 << 20;
const LOOK_AT_DISK_ROWS: u64 = 16_384;

/// A row of an export that is longer is none.
const ROW_BYTES_MAX: usize = 16 << 20;

/// Why there is no result.
#[derive(Debug)]
pub enum Stopped {
    /// The remote could not be reached, or gave no usable answer.
    Away(String),
    /// It refused the credentials, or there are none.
    Refused(String),
    /// What it exported cannot be used.
    Unusable(String),
    /// Our share of the limit is used up for now.
    Later(String),
    Other(Error),
}

impl<E: Into<Error>> From<E> for Stopped {
    fn from(error: E) -> Stopped {
        Stopped::Other(error.into())
    }
}

/// What was found, on disk, and how many of each kind.
pub struct Audited {
    pub scratch: Scratch,
    pub counts: Vec<(Kind, Counts)>,
}

/// Compares the remote with the store. Writes nothing but the log of requests. With the kinds whose
/// export could not be used, and why, unless that is all of them: the API's own document lets exports
/// of products and SKUs be refused (openapi/SURPRISES, 33).
pub fn audit(
    config: &Config,
    store: &Store,
    kinds: &[Kind],
) -> Result<(Audited, Vec<(Kind, String)>), Stopped> {
    let (audited, mut unusable) = compare(config, store, kinds, For::Drift)?;
    match audited.counts.is_empty() && !unusable.is_empty() {
        true => Err(Stopped::Unusable(unusable.swap_remove(0).1)),
        false => Ok((audited, unusable)),
    }
}

/// The same for `rebind`, while nothing is sent: what is pending is compared, too, and what is equal is
/// kept. With the kinds whose export could not be used, and why: nothing is known of those.
pub fn for_rebind(
    config: &Config,
    store: &Store,
) -> Result<(Audited, Vec<(Kind, String)>), Stopped> {
    compare(config, store, &Kind::ALL, For::Rebind)
}

/// What a comparison is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum For {
    Drift,
    Rebind,
}

fn compare(
    config: &Config,
    store: &Store,
    kinds: &[Kind],
    what_for: For,
) -> Result<(Audited, Vec<(Kind, String)>), Stopped> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(io_error)?;
    let auditor = Auditor {
        config,
        store,
        http: parts::http(config)?,
        scratch: Scratch::new(&config.state_dir)?,
        what_for,
    };
    let (mut counts, mut unusable) = (Vec::new(), Vec::new());
    for &kind in kinds {
        match runtime.block_on(auditor.kind(kind)) {
            Ok(found) => counts.push((kind, found)),
            Err(Stopped::Unusable(why)) => unusable.push((kind, why)),
            Err(stopped) => return Err(stopped),
        }
    }
    let audited = Audited {
        scratch: auditor.scratch,
        counts,
    };
    Ok((audited, unusable))
}

struct Auditor<'a> {
    config: &'a Config,
    store: &'a Store,
    http: Http,
    scratch: Scratch,
    what_for: For,
}

/// A call that was noted.
struct Left {
    request: i64,
    at: i64,
}

impl Auditor<'_> {
    async fn kind(&self, kind: Kind) -> Result<Counts, Stopped> {
        let (mut file, since) = self.export(kind).await?;
        let sheet = self.load(kind, &mut file)?;
        drop(file);
        let reader = self.store.reader()?;
        let counts = audit::compare(
            &sheet,
            locals(
                &reader,
                kind,
                Some(since).filter(|_| self.what_for == For::Drift),
            ),
            self.scratch.remotes(),
            &mut |seen| match seen {
                Seen::Drift(finding) => self.scratch.note(kind, &finding),
                Seen::Equal(equal) if self.what_for == For::Rebind => {
                    self.scratch.note_equal(&equal)
                }
                Seen::Equal(_) => Ok(()),
            },
        )?;
        Ok(counts)
    }

    /// Orders an export, or takes up the one that an earlier audit could not await, awaits and fetches
    /// it; its file, unlinked, and when it was ordered.
    async fn export(&self, kind: Kind) -> Result<(File, i64), Stopped> {
        let name = format!("audit_export.{kind}");
        let fields = audit::fields(kind);
        let mut walk = match self.open_order(&name)? {
            Some(order) => Walk::resumed(kind, fields, order),
            None => Walk::new(kind, fields),
        };
        // The order and the two downloads are calls, too.
        let mut questions = CALLS_MAX - 3;
        loop {
            match walk.errand(now()) {
                Errand::WaitUntil(_) if questions == 0 => {
                    let json = serde_json::to_string(&walk.order());
                    let json = json.expect("plain data is always JSON");
                    self.store.set_text(&name, &json)?;
                    return Err(Stopped::Away(format!(
                        "the remote is still making the export of {kind}\nNothing was changed. The next audit within the hour takes this export up."
                    )));
                }
                Errand::WaitUntil(then) => {
                    questions -= 1;
                    let ms = (then - now()).max(1) as u64;
                    tokio::time::sleep(Duration::from_millis(ms)).await;
                }
                Errand::Call(call) => {
                    if let Err(stopped) = self.ask(kind, &mut walk, call).await {
                        // The remote may not know it any more: the next audit orders anew.
                        self.store.clear(&name)?;
                        return Err(stopped);
                    }
                }
                Errand::Nowhere => return Err(no_export(kind)),
                Errand::Fetch { address, again } => {
                    self.store.clear(&name)?;
                    let fetched = self.fetch(kind, &mut walk, &address, again).await?;
                    if let (Some(file), Some(order)) = (fetched, walk.order()) {
                        return Ok((file, order.at));
                    }
                }
            }
        }
    }

    fn open_order(&self, name: &str) -> Result<Option<Order>, Stopped> {
        let json = self.store.text(name)?.unwrap_or_default();
        let order: Option<Order> = serde_json::from_str(&json).ok();
        let now = now();
        Ok(order.filter(|order| (now - ORDER_MS_MAX..=now).contains(&order.at)))
    }

    async fn ask(&self, kind: Kind, walk: &mut Walk, call: Call) -> Result<(), Stopped> {
        let left = self.leave(call.endpoint).await?;
        let answer = self.http.send(call).await;
        self.landed(&left, &answer)?;
        match walk.told(&answer, left.at, now()) {
            Told::On => Ok(()),
            Told::Failed => Err(Stopped::Away(format!(
                "the remote could not make the export of {kind}\nNothing was changed. Try again later."
            ))),
            Told::Nothing => usable(kind, answer).and(Err(no_export(kind))),
        }
    }

    /// The export's file, unlinked, read from its start. `None`: it has to be fetched once more.
    async fn fetch(
        &self,
        kind: Kind,
        walk: &mut Walk,
        address: &str,
        again: bool,
    ) -> Result<Option<File>, Stopped> {
        let mut file =
            tempfile::tempfile_in(&self.config.state_dir).map_err(|error| self.io(&error))?;
        let left = self.leave(Endpoint::ExportFile).await?;
        let mut unlooked = LOOK_AT_DISK_EVERY;
        let fetched = {
            let mut sink = |piece: &[u8]| {
                unlooked += piece.len() as u64;
                if unlooked >= LOOK_AT_DISK_EVERY {
                    unlooked = 0;
                    self.room_on_disk(&file)?;
                }
                file.write_all(piece)
            };
            self.http.download(address, again, &mut sink).await
        };
        let answer = match fetched {
            Ok(answer) => answer,
            Err(not) => {
                self.conclude(&left, None, "unknown")?;
                if walk.not_fetched(&not) {
                    return Ok(None);
                }
                return Err(match not {
                    NotFetched::Elsewhere => Stopped::Unusable(format!(
                        "the export of {kind} lies on a host that is neither `api.url`'s nor one of the API's own for downloads: it was not called\nNothing was changed. Look whether `api.url` names the project's own cluster."
                    )),
                    NotFetched::Bare { status, .. } => Stopped::Away(format!(
                        "the export of {kind} was not given out where it lies ({status})\nNothing was changed. Try again later."
                    )),
                    NotFetched::Sink(error) => self.io(&error).into(),
                });
            }
        };
        self.landed(&left, &answer)?;
        usable(kind, answer)?;
        file.rewind().map_err(|error| self.io(&error))?;
        Ok(Some(file))
    }

    /// What the disk has to keep free stays free.
    fn room_on_disk(&self, file: &File) -> std::io::Result<()> {
        if free_bytes(file)? < self.config.retention.min_free {
            return Err(std::io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }

    fn io(&self, error: &std::io::Error) -> Error {
        let place = self.config.state_dir.display();
        Error::Io(format!("{place}: {}", crate::config::why(error)))
    }

    /// Brings the file's rows into scratch space.
    fn load(&self, kind: Kind, file: &mut File) -> Result<Sheet, Stopped> {
        let unusable = |why: String| {
            Stopped::Unusable(format!(
                "{kind} were not compared: {why}\nNothing was changed."
            ))
        };
        let broken = |_: csv::Error| unusable("the export is no CSV".to_owned());
        self.scratch.forget_remote()?;
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .from_reader(Bounded {
                inner: std::io::BufReader::new(file),
                left: ROW_BYTES_MAX,
            });
        let mut row = csv::StringRecord::new();
        if !reader.read_record(&mut row).map_err(broken)? {
            return Err(unusable("the export is empty".to_owned()));
        }
        let header: Vec<&str> = row.iter().collect();
        let mut sheet = Sheet::new(kind, &header).map_err(unusable)?;
        let mut n = 0;
        loop {
            reader.get_mut().left = ROW_BYTES_MAX;
            if !reader.read_record(&mut row).map_err(broken)? {
                break;
            }
            if n % LOOK_AT_DISK_ROWS == 0 {
                self.room_on_disk(reader.get_ref().inner.get_ref())
                    .map_err(|error| self.io(&error))?;
            }
            let cells: Vec<&str> = row.iter().collect();
            sheet.see(&cells).map_err(unusable)?;
            self.scratch
                .put(n, sheet.key(&cells), sheet.id(&cells), &cells)?;
            n += 1;
        }
        Ok(sheet)
    }

    /// Waits until our share of the limit has room, and notes the call.
    async fn leave(&self, endpoint: Endpoint) -> Result<Left, Stopped> {
        let reader = self.store.reader()?;
        loop {
            let at = now();
            let standing = flight::standing(&reader, at)?;
            let spent = flight::spent(&reader, at)?;
            let part = Part::of(&self.config.api);
            let budget = Budget::new(part, standing.budget, &spent, at);
            let wait_ms = match budget.room(endpoint.purse(), at) {
                Room::Now(0) | Room::AfterAnswer => LOOK_MS,
                Room::Now(_) => break,
                Room::At(then) if then - at > ROOM_MS_MAX => {
                    return Err(Stopped::Later(format!(
                        "tillsync's share of the remote's limit is used up for {} minutes\nNothing was changed. Try again then.",
                        (then - at).div_euclid(60_000) + 1
                    )));
                }
                Room::At(then) => (then - at).clamp(1, LOOK_MS * 4),
                Room::Never => {
                    return Err(Error::Configuration(Problems(vec![Problem::error(
                        None,
                        "`api.share` leaves less than one call of the remote's limit",
                    )]))
                    .into());
                }
            };
            tokio::time::sleep(Duration::from_millis(wait_ms as u64)).await;
        }
        let at = now();
        let request = NewRequest {
            flight: None,
            endpoint,
            records: 0,
            at,
        };
        let request = self
            .store
            .write(move |c| flight::begin_request(c, request))?;
        // A running daemon counts it, too.
        let _ = std::fs::write(self.config.state_dir.join(super::WAKE), b"");
        Ok(Left { request, at })
    }

    fn landed(&self, left: &Left, answer: &Answer) -> Result<(), Stopped> {
        match answer {
            Answer::Got(response) if response.status == 200 => {
                self.conclude(left, Some(response), "ended")
            }
            Answer::Got(response) => self.conclude(left, Some(response), "refused"),
            Answer::None(_) | Answer::NoCredentials(_) => self.conclude(left, None, "unknown"),
        }
    }

    fn conclude(
        &self,
        left: &Left,
        response: Option<&Response>,
        verdict: &'static str,
    ) -> Result<(), Stopped> {
        let ended = Ended {
            request: left.request,
            status: response.map(|r| r.status),
            verdict,
            request_id: response
                .and_then(Response::fault)
                .and_then(|f| f.request_id),
            duration_ms: (now() - left.at).max(0),
        };
        Ok(self
            .store
            .write(move |c| flight::conclude_request(c, &ended))?)
    }
}

/// Reads no more than `left`, so that a row without an end does not fill the memory.
struct Bounded<R> {
    inner: R,
    left: usize,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.left == 0 {
            return Err(std::io::ErrorKind::InvalidData.into());
        }
        let wanted = buffer.len().min(self.left);
        let read = self.inner.read(&mut buffer[..wanted])?;
        self.left -= read;
        Ok(read)
    }
}

/// An answer that goes on; its own message is not repeated: it can hold keys.
fn usable(kind: Kind, answer: Answer) -> Result<Response, Stopped> {
    let response = match answer {
        Answer::Got(response) => response,
        Answer::None(none) => return Err(away(&none.why)),
        Answer::NoCredentials(why) => return Err(Stopped::Refused(why)),
    };
    match response.status {
        200 => Ok(response),
        401 | 403 => Err(Stopped::Refused(format!(
            "the remote refused the credentials ({})\nGive new ones with `tillsync login`.",
            response.status
        ))),
        429 => Err(away("the project's limit of calls is used up (429)")),
        status => {
            let code = response.fault().map(|fault| fault.key).unwrap_or_default();
            let code = if code.is_empty() {
                String::new()
            } else {
                format!(" {}", crate::config::problem::visible(&code))
            };
            let said = format!(
                "the remote gave no export of {kind} ({status}{code})\nNothing was changed. Try again later."
            );
            Err(match status {
                400 | 404 | 405 | 409 | 410 | 422 if !code.is_empty() => Stopped::Unusable(said),
                _ => Stopped::Away(said),
            })
        }
    }
}

fn away(why: &str) -> Stopped {
    Stopped::Away(format!(
        "the remote could not be reached: {why}\nNothing was changed. Try again later."
    ))
}

fn no_export(kind: Kind) -> Stopped {
    Stopped::Away(format!(
        "what answered of the export of {kind} was not the API\nNothing was changed. Look at `api.url` and at what stands between."
    ))
}

/// Puts what is missing or differs into the queue; how many records.
pub fn repair(store: &Store, audited: &Audited) -> store::Result<u64> {
    audited.scratch.queue(store, now())
}
