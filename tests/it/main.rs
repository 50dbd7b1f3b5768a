//! tillsync from outside: the real binary, real files, real sockets, real signals, and a stand-in of
//! the remote API in another process. Nothing here knows tillsync's inside.

mod audit;
mod bad;
mod contract;
mod crash;
mod disk;
mod errors;
mod forecast;
mod host;
mod inject;
#[path = "../support/contract.rs"]
mod judge;
mod letter;
mod limits;
#[path = "../support/listening.rs"]
mod listening;
mod mount;
mod people;
mod readme;
mod secrets;
mod shop;
mod standin;
mod straight;
mod tidy;
mod way;
