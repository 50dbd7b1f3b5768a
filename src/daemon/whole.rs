//! The database at the start: opened, and after an unclean stop looked at as a whole, beside the work.
//!
//! What is damaged is kept aside (`store::integrity`), and the process ends; files wait.

use std::path::Path;
use std::sync::mpsc::Sender;

use super::events::Event;
use super::{Error, now, project};
use crate::store::integrity::{self, Depth};
use crate::store::{self, Store};

/// Opens the store as its daemon; the lock is held. Also whether the last one ended cleanly.
pub fn open(state_dir: &Path) -> Result<(Store, bool), Error> {
    integrity::sweep(state_dir);
    let opened = (|| {
        let store = Store::open(state_dir)?;
        let clean = store.begin_work()?;
        store.raise_generation()?;
        project::hold_restored(&store)?;
        Ok((store, clean))
    })();
    opened.map_err(|error| match error {
        store::Error::Damaged(_) => put_aside(state_dir),
        other => other.into(),
    })
}

/// Looks at all of it now, and keeps it aside if it is damaged.
pub fn look(state_dir: &Path, store: &Store) -> Result<(), Error> {
    match integrity::fault(&store.reader()?, Depth::Pages)? {
        Some(_) => Err(put_aside(state_dir)),
        None => Ok(()),
    }
}

/// The same on a thread of its own; damage is an event.
pub fn look_beside(store: &Store, events: &Sender<Event>) -> std::io::Result<()> {
    let (reader, events) = (store.reader(), events.clone());
    let work = move || match reader.and_then(|reader| integrity::fault(&reader, Depth::Pages)) {
        Ok(None) => tracing::debug!("the database is whole after an unclean stop"),
        // The daemon that is gone waits for nobody.
        Ok(Some(why)) => drop(events.send(Event::Damaged(why))),
        Err(store::Error::Damaged(why)) => drop(events.send(Event::Damaged(why))),
        Err(error) => tracing::debug!(%error, "the database was not looked at as a whole"),
    };
    std::thread::Builder::new()
        .name("whole".into())
        .spawn(work)
        .map(drop)
}

/// The error that says where it is.
pub fn put_aside(state_dir: &Path) -> Error {
    let now = jiff::Timestamp::from_millisecond(now()).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    let stamp = now.strftime("%Y%m%dT%H%M%SZ").to_string();
    integrity::put_aside(state_dir, &stamp).into()
}
