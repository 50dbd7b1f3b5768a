//! The thread that owns the writing connection.
//!
//! Two kinds of work come to it, through one queue and so in order. *Requests* are small: those that
//! wait together share a transaction (ten small writes cost one fsync), each but the first in a savepoint,
//! so that one that fails takes nothing of the others with it; their callers wait for the commit. One that
//! changes many records asks for a transaction of its own. *Batches*
//! of a file that is being read go into one long transaction, which is committed when it has rows
//! enough, when a request comes, or when nothing comes for a moment; nobody waits for it. When it is
//! lost (a full disk), the session that its batches came from is told, and begins its file again.
//!
//! To whoever changes this: a failed statement may have rolled back the whole transaction
//! (`is_autocommit` tells), not only its savepoint; then everything in it is lost.

use std::path::Path;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::Connection;

use super::ballast::Ballast;
use super::checkpoint::{Checkpointer, PAGES_BEGIN, PAGES_MAX, checkpoint};
use super::{BUSY_TIMEOUT, Error, Result, dir_of};

/// Messages that may wait before a caller blocks.
const WAITING_MAX: usize = 64;

/// Requests that share one transaction at most.
const SHARED_MAX: usize = 32;

/// Rows of batches in one transaction. A whole file in one costs 30 to 40 % more, and its WAL would
/// have no bound.
const ROWS_IN_TRANSACTION: usize = 32_768;

/// Bytes of their text in one transaction, so that also wide rows leave the WAL within its bound.
const BYTES_IN_TRANSACTION: usize = 8 << 20;

/// How long batches wait for more of them before they are committed: other processes wait too.
const PAUSE: Duration = Duration::from_millis(20);

/// After so long without work the WAL is written back and cut off, once.
const IDLE: Duration = Duration::from_secs(1);

/// Does the work, and gives back what tells the caller once the transaction's fate is known.
struct Request {
    run: Run,
    /// Never behind another one in a transaction.
    alone: bool,
}
type Run = Box<dyn FnOnce(std::result::Result<(&Connection, Place), &Error>) -> Reply + Send>;
type Reply = Box<dyn FnOnce(std::result::Result<(), &Error>) + Send>;

enum Message {
    Request(Request),
    Batch(Batch),
}

/// Where in its transaction a request stands.
#[derive(Clone, Copy)]
enum Place {
    /// What undoes it undoes the whole transaction.
    First,
    /// In a savepoint, for which SQLite keeps the old content of each page that it changes, in memory.
    Behind,
}

type Work = Box<dyn FnOnce(&Connection) -> Result<Volume> + Send>;

/// How much a batch brings into the transaction.
#[derive(Clone, Copy, Default)]
pub struct Volume {
    pub rows: usize,
    pub bytes: usize,
}

struct Batch {
    work: Work,
    fate: Arc<Fate>,
}

/// What became of the batches of one session: nothing known, or the error by which they were lost.
#[derive(Default)]
pub struct Fate {
    lost: Mutex<Option<Error>>,
}

impl Fate {
    /// The error by which some of the batches were lost, if any were.
    pub fn check(&self) -> Result<()> {
        let lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        lost.as_ref().map_or(Ok(()), |error| Err(error.again()))
    }

    fn lose(&self, error: &Error) {
        let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        lost.get_or_insert_with(|| error.again());
    }
}

pub struct Writer {
    messages: Option<SyncSender<Message>>,
    thread: Option<JoinHandle<()>>,
    ballast: Arc<Ballast>,
}

impl Writer {
    /// `connection` is one on the database at this path.
    pub fn start(connection: Connection, database: &Path) -> Writer {
        let (messages, waiting) = mpsc::sync_channel(WAITING_MAX);
        let checkpointer = Checkpointer::start(database);
        let ballast = Arc::new(Ballast::of(dir_of(database)));
        let room = Arc::clone(&ballast);
        #[cfg(test)]
        let plant = crate::plant::get();
        let thread = std::thread::Builder::new()
            .name("store".into())
            .spawn(move || {
                #[cfg(test)]
                crate::plant::set(plant);
                Turns::new(&connection, checkpointer, room).run(&waiting);
            })
            .expect("the system starts a thread");
        Writer {
            messages: Some(messages),
            thread: Some(thread),
            ballast,
        }
    }

    pub fn ballast(&self) -> &Ballast {
        &self.ballast
    }

    /// See `Store::write`, and for `alone` `Store::write_alone`.
    pub fn call<T: Send + 'static>(
        &self,
        alone: bool,
        work: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        // The channel carries no `T`: one for each type that is asked for makes the program 300 KB larger.
        let (tell, told) = mpsc::sync_channel::<()>(1);
        let answer = Arc::new(Mutex::new(None));
        let given = Arc::clone(&answer);
        let run: Run = Box::new(move |connection| {
            let result = match connection {
                Ok((connection, place)) => undoable(connection, place, work),
                Err(error) => Err(error.again()),
            };
            Box::new(move |committed| {
                let result = match committed {
                    Ok(()) => result,
                    Err(error) => result.and(Err(error.again())),
                };
                *given.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
                // A caller that is gone wants no answer.
                let _ = tell.send(());
            })
        });
        #[cfg(test)]
        crate::plant::point();
        self.send(Message::Request(Request { run, alone }))?;
        told.recv().map_err(|_| ended())?;
        let result = answer.lock().unwrap_or_else(PoisonError::into_inner).take();
        let result = result.expect("it is told of once it is there");
        let result = result.map_err(|error| error.settled(self.ballast.dir()));
        if matches!(result, Err(Error::Full)) {
            // A quota is not foretold; the next request finds room.
            self.ballast.let_go();
        }
        #[cfg(test)]
        crate::plant::point();
        result
    }

    /// Hands over a batch's work and returns at once, but for a full queue. Work that was begun
    /// stands in the same transaction as the next request's, at the latest.
    pub fn batch(
        &self,
        fate: Arc<Fate>,
        work: impl FnOnce(&Connection) -> Result<Volume> + Send + 'static,
    ) -> Result<()> {
        #[cfg(test)]
        crate::plant::point();
        let work = Box::new(work);
        self.send(Message::Batch(Batch { work, fate }))
    }

    fn send(&self, message: Message) -> Result<()> {
        let messages = self.messages.as_ref().expect("only drop takes the sender");
        messages.send(message).map_err(|_| ended())
    }
}

fn ended() -> Error {
    Error::Broken("the store's writer has ended".into())
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.messages = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Error {
    /// The same for another caller of a transaction that failed.
    fn again(&self) -> Error {
        match self {
            Error::Full => Error::Full,
            Error::Busy => Error::Busy,
            Error::Statement(reason) => Error::Statement(reason.clone()),
            Error::Unwritten(reason) => Error::Unwritten(reason.clone()),
            Error::Broken(reason) => Error::Broken(reason.clone()),
            Error::Damaged(reason) => Error::Damaged(reason.clone()),
            other => Error::Broken(other.to_string()),
        }
    }
}

/// The writing thread's state.
struct Turns<'a> {
    connection: &'a Connection,
    checkpointer: Checkpointer,
    ballast: Arc<Ballast>,
    /// Pages in the WAL after the last commit, and those that the largest commit added of late.
    wal_pages: i64,
    wal_grows: i64,
    /// Whose batches stand in the open transaction, and how much they are.
    open: Vec<Arc<Fate>>,
    volume: Volume,
    /// After a COMMIT that failed by the disk nothing that this process sees is sure any more.
    broken: Option<Error>,
    /// Whether a commit waits until it is on the disk.
    synchronous: bool,
    /// Something was committed since the WAL was last cut off.
    wal_grew: bool,
}

impl<'a> Turns<'a> {
    fn new(
        connection: &'a Connection,
        checkpointer: Checkpointer,
        ballast: Arc<Ballast>,
    ) -> Turns<'a> {
        Turns {
            connection,
            checkpointer,
            ballast,
            wal_pages: 0,
            wal_grows: 0,
            open: Vec::new(),
            volume: Volume::default(),
            broken: None,
            synchronous: true,
            wal_grew: false,
        }
    }

    fn run(mut self, waiting: &Receiver<Message>) {
        let mut next = None;
        loop {
            let message = match next.take() {
                Some(message) => Ok(message),
                None => self.wait(waiting),
            };
            match message {
                Ok(Message::Batch(batch)) => self.batch(batch),
                Ok(Message::Request(request)) => next = self.requests(request, waiting),
                Err(RecvTimeoutError::Timeout) if self.open.is_empty() => self.checkpoint(),
                Err(RecvTimeoutError::Timeout) => self.commit_batches(),
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        self.commit_batches();
        self.checkpoint();
    }

    fn wait(&self, waiting: &Receiver<Message>) -> std::result::Result<Message, RecvTimeoutError> {
        if !self.open.is_empty() {
            waiting.recv_timeout(PAUSE)
        } else if self.wal_grew {
            waiting.recv_timeout(IDLE)
        } else {
            waiting.recv().map_err(|_| RecvTimeoutError::Disconnected)
        }
    }

    fn batch(&mut self, batch: Batch) {
        if batch.fate.check().is_err() {
            // What stood before it in its file is lost: stored rows are always the file's first ones.
            return;
        }
        if self.open.is_empty() && self.ballast.is_reached() {
            // The room that is left is for what the remote answers.
            return batch.fate.lose(&Error::Full);
        }
        if !self.open.iter().any(|fate| Arc::ptr_eq(fate, &batch.fate)) {
            self.open.push(batch.fate);
        }
        let connection = self.connection;
        match self.begin(false).and_then(|()| (batch.work)(connection)) {
            Ok(Volume { rows, bytes }) => {
                self.volume.rows += rows;
                self.volume.bytes += bytes;
                if self.volume.rows >= ROWS_IN_TRANSACTION
                    || self.volume.bytes >= BYTES_IN_TRANSACTION
                {
                    self.commit_batches();
                }
            }
            Err(error) => self.lose(&error.settled(self.ballast.dir())),
        }
    }

    fn commit_batches(&mut self) {
        if self.open.is_empty() {
            return;
        }
        match self.commit() {
            Ok(()) => self.open.clear(),
            Err(error) => self.lose(&error),
        }
    }

    /// Commits the batches that are open, then runs this request and those that wait behind it. Gives
    /// back the message that it took from the queue and that is not its own.
    fn requests(&mut self, first: Request, waiting: &Receiver<Message>) -> Option<Message> {
        self.commit_batches();
        self.ballast.make_room();
        let begun = self.begin(true);
        let mut replies = Vec::new();
        let alone = first.alone;
        let mut next = Some(Message::Request(first));
        while let Some(Message::Request(request)) = next.take() {
            let place = match replies.is_empty() {
                true => Place::First,
                false => Place::Behind,
            };
            let run = request.run;
            replies.push(run(begun.as_ref().map(|&()| (self.connection, place))));
            let is_undone = self.connection.is_autocommit();
            if alone || begun.is_err() || is_undone || replies.len() == SHARED_MAX {
                break;
            }
            next = waiting.try_recv().ok();
            // Neither a batch nor what asks for a transaction of its own belongs here.
            if !matches!(&next, Some(Message::Request(request)) if !request.alone) {
                break;
            }
        }
        let fate = begun.and_then(|()| self.commit());
        if let Err(error) = &fate {
            self.lose(error);
        }
        for reply in replies {
            reply(fate.as_ref().map(|&()| ()));
        }
        next
    }

    /// `synchronous`: what is committed is on the disk before anybody hears of it. Batches need not be:
    /// a file counts as stored by the request that ends it, whose commit takes them along to the disk; cut
    /// off before, it is read again.
    fn begin(&mut self, synchronous: bool) -> Result<()> {
        if let Some(error) = &self.broken {
            return Err(error.again());
        }
        if self.connection.is_autocommit() {
            if self.synchronous != synchronous {
                let level = if synchronous { "FULL" } else { "NORMAL" };
                self.connection.pragma_update(None, "synchronous", level)?;
                self.synchronous = synchronous;
            }
            self.connection.execute_batch("BEGIN IMMEDIATE")?;
        }
        Ok(())
    }

    fn commit(&mut self) -> Result<()> {
        if self.connection.is_autocommit() {
            // SQLite rolls back by itself only where it has no room or memory left.
            return Err(Error::Full);
        }
        self.volume = Volume::default();
        self.wal_grew = true;
        self.connection.execute_batch("COMMIT").map_err(|error| {
            let error = Error::from(error).settled(self.ballast.dir());
            if matches!(error, Error::Broken(_) | Error::Damaged(_)) {
                self.broken = Some(error.again());
            }
            error
        })?;
        self.bound_wal();
        Ok(())
    }

    /// The WAL is written back beside our work, and begins anew before it is too long. What was committed
    /// stays committed if that fails; a disk that fails is told at the next request.
    fn bound_wal(&mut self) {
        let length = checkpoint(self.connection, "NOOP").and_then(|length| {
            // A WAL that began anew is shorter, and all of it is new.
            let added = length.pages
                - if length.pages < self.wal_pages {
                    0
                } else {
                    self.wal_pages
                };
            self.wal_pages = length.pages;
            self.wal_grows = added.max(self.wal_grows / 2);
            self.checkpointer.check()?;
            if length.pages + self.wal_grows > PAGES_MAX {
                self.checkpointer.write_all_back()
            } else {
                Ok(length)
            }
        });
        match length.map_err(|error| error.settled(self.ballast.dir())) {
            Ok(length) if length.pages - length.written_back >= PAGES_BEGIN => {
                self.checkpointer.nudge()
            }
            Err(error @ (Error::Broken(_) | Error::Damaged(_))) => self.broken = Some(error),
            Ok(_) | Err(_) => {}
        }
    }

    /// The open transaction is lost, and with it the batches of these sessions.
    fn lose(&mut self, error: &Error) {
        if !self.connection.is_autocommit() {
            let _ = self.connection.execute_batch("ROLLBACK");
        }
        self.volume = Volume::default();
        for fate in self.open.drain(..) {
            fate.lose(error);
        }
    }

    /// Writes the WAL back and cuts it off, if no reader is in the way; one that is does no harm:
    /// what was committed stays in the WAL, and the next time takes it along.
    fn checkpoint(&mut self) {
        self.wal_grew = false;
        if self.broken.is_some() {
            return;
        }
        let _ = self.connection.busy_timeout(Duration::ZERO);
        let _ = self
            .connection
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        let _ = self.connection.busy_timeout(BUSY_TIMEOUT);
    }
}

/// Does the work, or nothing of it.
fn undoable<T>(
    connection: &Connection,
    place: Place,
    work: impl FnOnce(&Connection) -> Result<T>,
) -> Result<T> {
    if connection.is_autocommit() {
        return Err(Error::Full);
    }
    if let Place::Behind = place {
        connection.execute_batch("SAVEPOINT request")?;
    }
    let result = work(connection);
    let end = match (place, &result) {
        (Place::First, Ok(_)) => return result,
        (Place::First, Err(_)) => "ROLLBACK",
        (Place::Behind, Ok(_)) => "RELEASE request",
        (Place::Behind, Err(_)) => "ROLLBACK TO request; RELEASE request",
    };
    // A full disk may have rolled the whole transaction back already.
    if !connection.is_autocommit() {
        connection.execute_batch(end)?;
    }
    result
}
