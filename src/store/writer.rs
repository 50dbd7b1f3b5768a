//! The thread that owns the writing connection.
//!
//! Requests that are waiting when one is taken up share its transaction, so that ten small writes
//! cost one fsync; each has a savepoint, so that one that fails takes nothing of the others with it.

use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread::JoinHandle;

use rusqlite::Connection;

use super::{Error, Result};

/// Requests that may wait before a caller blocks.
const WAITING_MAX: usize = 64;

/// Requests that share one transaction at most.
const SHARED_MAX: usize = 32;

/// Does the work, and gives back what tells the caller once the transaction's fate is known.
type Request = Box<dyn FnOnce(&Connection) -> Reply + Send>;
type Reply = Box<dyn FnOnce(std::result::Result<(), &Error>) + Send>;

pub struct Writer {
    requests: Option<SyncSender<Request>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub fn start(connection: Connection) -> Writer {
        let (requests, waiting) = mpsc::sync_channel(WAITING_MAX);
        let thread = std::thread::Builder::new()
            .name("store".into())
            .spawn(move || run(&connection, &waiting))
            .expect("the system starts a thread");
        Writer {
            requests: Some(requests),
            thread: Some(thread),
        }
    }

    /// See `Store::write`.
    pub fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (tell, told) = mpsc::sync_channel(1);
        let request: Request = Box::new(move |connection| {
            let result = savepoint(connection, work);
            Box::new(move |committed| {
                let result = match committed {
                    Ok(()) => result,
                    Err(error) => result.and(Err(error.again())),
                };
                // A caller that is gone wants no answer.
                let _ = tell.send(result);
            })
        });
        let requests = self.requests.as_ref().expect("only drop takes the sender");
        requests
            .send(request)
            .map_err(|_| Error::Broken("the store's writer has ended".into()))?;
        told.recv()
            .map_err(|_| Error::Broken("the store's writer has ended".into()))?
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.requests = None;
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
            other => Error::Broken(other.to_string()),
        }
    }
}

fn run(connection: &Connection, waiting: &Receiver<Request>) {
    while let Ok(first) = waiting.recv() {
        let begun = connection
            .execute_batch("BEGIN IMMEDIATE")
            .map_err(Error::from);
        let mut replies = vec![first(connection)];
        while begun.is_ok() && replies.len() < SHARED_MAX {
            let Ok(next) = waiting.try_recv() else { break };
            replies.push(next(connection));
        }
        let fate = begun.and_then(|()| commit(connection));
        for reply in replies {
            reply(fate.as_ref().map(|&()| ()));
        }
    }
    // Nothing to be done about a checkpoint that fails at the end: the WAL keeps what was committed.
    let _ = connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)");
}

fn commit(connection: &Connection) -> Result<()> {
    connection.execute_batch("COMMIT").map_err(|error| {
        let _ = connection.execute_batch("ROLLBACK");
        error.into()
    })
}

fn savepoint<T>(connection: &Connection, work: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
    if connection.is_autocommit() {
        return Err(Error::Busy);
    }
    connection.execute_batch("SAVEPOINT request")?;
    let result = work(connection);
    let end = if result.is_ok() {
        "RELEASE request"
    } else {
        "ROLLBACK TO request; RELEASE request"
    };
    // A full disk may have rolled the whole transaction back already.
    if !connection.is_autocommit() {
        connection.execute_batch(end)?;
    }
    result
}
