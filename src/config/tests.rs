//! What people see when a configuration is wrong, and what it becomes when it is right.

use super::*;

#[test]
fn an_empty_file_is_all_defaults() {
    let config = parse("tillsync.toml", "", "till-03").unwrap();
    assert_eq!(config.store, "till-03");
    assert_eq!(config.api.share, 0.5);
}
