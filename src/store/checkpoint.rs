//! Writes the WAL back into the database on a thread of its own, while the writer goes on.
//!
//! A checkpoint waits for the disk most of its time; on the writer's thread a first intake of a million
//! records stood still for a third of it. The writer only sees to it that the WAL stays bounded.

use std::path::Path;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use rusqlite::Connection;

use super::{BUSY_TIMEOUT, Error, Result, dir_of};

/// Pages of 16 KiB that are not written back yet before it begins.
pub const PAGES_BEGIN: i64 = 1_000;

/// Pages that the WAL may have: 40 of the 64 MiB that RELIABILITY allows it. Before the next transaction
/// could pass them, the writer waits until all is written back, and the WAL begins anew.
pub const PAGES_MAX: i64 = 2_560;

pub struct Checkpointer {
    orders: Option<SyncSender<Order>>,
    thread: Option<JoinHandle<()>>,
    /// A disk that failed under it: nothing that was written back is sure.
    failed: Arc<Mutex<Option<String>>>,
}

enum Order {
    /// What nobody reads any more.
    Some,
    /// All, so that the WAL begins anew; and say so.
    All(SyncSender<Result<Length>>),
}

/// Pages in the WAL, and those of them that are written back.
pub struct Length {
    pub pages: i64,
    pub written_back: i64,
}

impl Checkpointer {
    pub fn start(database: &Path) -> Checkpointer {
        // One order waits at most: it stands for all.
        let (orders, ordered) = mpsc::sync_channel(1);
        let failed = Arc::default();
        let (path, told) = (database.to_owned(), Arc::clone(&failed));
        let thread = std::thread::Builder::new()
            .name("checkpoint".into())
            .spawn(move || run(&path, &ordered, &told))
            .expect("the system starts a thread");
        Checkpointer {
            orders: Some(orders),
            thread: Some(thread),
            failed,
        }
    }

    /// There is enough to be written back.
    pub fn nudge(&self) {
        // Full: it is awake already.
        let _ = self.orders().try_send(Order::Some);
    }

    /// Returns once all is written back; nobody writes meanwhile. The thread does it, since two that
    /// write back at once wait for each other by sleeping.
    pub fn write_all_back(&self) -> Result<Length> {
        let (tell, told) = mpsc::sync_channel(1);
        let gone = |_| Error::Broken("the thread that writes the WAL back has ended".into());
        (self.orders().send(Order::All(tell))).map_err(|_| gone(mpsc::RecvError))?;
        told.recv().map_err(gone)?
    }

    fn orders(&self) -> &SyncSender<Order> {
        self.orders.as_ref().expect("only drop takes the sender")
    }

    pub fn check(&self) -> Result<()> {
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed
            .clone()
            .map_or(Ok(()), |reason| Err(Error::Broken(reason)))
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn run(database: &Path, ordered: &Receiver<Order>, failed: &Mutex<Option<String>>) {
    let mut connection = None;
    let dir = dir_of(database);
    while let Ok(order) = ordered.recv() {
        let (how, tell) = match order {
            Order::Some => ("PASSIVE", None),
            Order::All(tell) => ("FULL", Some(tell)),
        };
        let result = opened(&mut connection, database).and_then(|c| checkpoint(c, how));
        let result = result.map_err(|error| error.settled(dir));
        // A full disk or a busy store is met again by the writer, who says so.
        if let Err(Error::Broken(reason) | Error::Damaged(reason)) = &result {
            *failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason.clone());
        }
        if let Some(tell) = tell {
            // Whoever asked may be gone.
            let _ = tell.send(result);
        }
    }
}

fn opened<'c>(connection: &'c mut Option<Connection>, database: &Path) -> Result<&'c Connection> {
    Ok(match connection {
        Some(connection) => connection,
        None => connection.insert(open(database)?),
    })
}

fn open(database: &Path) -> Result<Connection> {
    let connection = Connection::open(database)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    // What is written back has to reach the disk before the WAL begins anew.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "mmap_size", 0)?;
    Ok(connection)
}

/// `how`: a mode of SQLite's `wal_checkpoint`; `NOOP` only measures.
pub fn checkpoint(connection: &Connection, how: &str) -> Result<Length> {
    let statement = format!("PRAGMA wal_checkpoint({how})");
    let mut statement = connection.prepare_cached(&statement)?;
    Ok(statement.query_row([], |row| {
        Ok(Length {
            pages: row.get(1)?,
            written_back: row.get(2)?,
        })
    })?)
}
