//! tillsync: CSV exports dropped into folders → a store with a change log → the Voucherify REST API.
//!
//! This file is the map. The store carries the work, two loops move it, and everything that decides
//! is pure. Arrows go one way: `main → cli → daemon → {intake, delivery, page} → {store, folder,
//! remote} → known`.

#![forbid(unsafe_code)]

// Asked and shown.
pub mod cli;
pub mod config;

// Known: pure; no clock, file, socket, SQL or log.
pub mod audit;
pub mod budget;
pub mod health;
pub mod kind;
pub mod mapping;
pub mod plan;
pub mod preset;
pub mod record;
pub mod reject;
pub mod table;
pub mod todo;
pub mod verdict;
pub mod wire;

// Done: thin, one outside world each.
pub mod folder;
pub mod remote;
pub mod store;

// What people and machines see.
pub mod page;
pub mod status;

// Moved.
pub mod daemon;
pub mod delivery;
pub mod intake;

// A stand-in of the remote, for tests and trials. Knows nothing of the rest.
pub mod standin;

// All of it on simulated time, and the faults that this has to find.
#[cfg(test)]
mod plant;
#[cfg(test)]
#[path = "../tests/sim/mod.rs"]
mod sim;
