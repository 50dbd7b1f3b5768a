//! Clock, wake-ups, signals, systemd: starts the two loops and the page, and ends them in time.
//!
//! Knows none of the loops' rules. `sync` is the same work with an end.

pub mod alert;
pub mod lock;
pub mod logging;
pub mod systemd;
