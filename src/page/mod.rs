//! What a browser and a monitoring system see: status page, /metrics, /healthz, /readyz.
//!
//! Readers only. Nothing here can change the store, and nothing a person typed is asked for.

mod chart;
pub mod view;

#[cfg(test)]
mod tests;
