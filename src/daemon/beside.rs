//! A thread beside the daemon's loops that works now and then, and sleeps in between.

use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

/// How long its end waits for what is under way: an outlet that does not answer, or a disk that is
/// slow, must not delay the daemon's own end.
const END_WITHIN: Duration = Duration::from_millis(500);

/// Ends with this value.
pub struct Beside {
    stop: Option<Sender<()>>,
    /// Disconnected when the thread has ended.
    ended: Receiver<()>,
}

/// What the thread sleeps by.
pub struct Rest(Receiver<()>);

impl Beside {
    /// `work` ends once it is told so where it sleeps.
    pub fn start(name: &str, work: impl FnOnce(&Rest) + Send + 'static) -> std::io::Result<Beside> {
        let (stop, stopped) = mpsc::channel();
        let (alive, ended) = mpsc::channel();
        std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                let _alive: Sender<()> = alive;
                work(&Rest(stopped));
            })?;
        Ok(Beside {
            stop: Some(stop),
            ended,
        })
    }
}

impl Rest {
    /// `false`: it is over.
    pub fn sleeps(&self, wait: Duration) -> bool {
        matches!(self.0.recv_timeout(wait), Err(RecvTimeoutError::Timeout))
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        drop(self.stop.take());
        let _ = self.ended.recv_timeout(END_WITHIN);
    }
}
