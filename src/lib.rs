//! tillsync: CSV exports dropped into folders → a store with a change log → the Voucherify REST API.
//!
//! This file is the map. The store carries the work, two loops move it, and everything that decides
//! is pure. Arrows go one way: `main → cli → daemon → {intake, delivery, page} → {store, folder,
//! remote} → known`.

#![forbid(unsafe_code)]

// Commands.
pub mod cli;

// Known: pure; no clock, file, socket, SQL or log.
pub mod config;
pub mod health;
pub mod kind;
pub mod mapping;
pub mod preset;
pub mod record;
pub mod reject;
pub mod standin;
pub mod table;
pub mod todo;

// Done: thin, one outside world each.
pub mod store;

// What people and machines see.
pub mod status;

// Moved.
pub mod daemon;
pub mod page;
