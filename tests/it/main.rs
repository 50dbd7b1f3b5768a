//! tillsync from outside: the real binary, real files, real sockets, real signals, and a stand-in of
//! the remote API in another process. Nothing here knows tillsync's inside.

mod bad;
mod crash;
mod people;
mod secrets;
mod shop;
mod straight;
mod tidy;
