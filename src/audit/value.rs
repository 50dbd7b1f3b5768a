//! A stored value and a cell of an export: do they say the same?

use rust_decimal::Decimal;
use serde_json::Value;

use crate::record::CLEARED;

/// What is stored, as an export would write it. Cleared is blank.
fn text(json: &str) -> String {
    if json == CLEARED {
        return String::new();
    }
    match serde_json::from_str(json) {
        Ok(Value::String(text)) => text,
        Ok(Value::Array(list)) => {
            let items: Vec<String> = list.iter().map(plain).collect();
            items.join(",")
        }
        Ok(Value::Null) => String::new(),
        _ => json.to_owned(),
    }
}

fn plain(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

/// Texts, days, numbers and truth values.
pub(super) fn same(json: &str, cell: &str) -> bool {
    let local = text(json);
    if local == cell {
        return true;
    }
    if json.starts_with('[') {
        return same_list(json, cell);
    }
    // Only what is stored as a number or truth value may be spelt in other ways.
    if !json.starts_with('"') {
        return local.eq_ignore_ascii_case(cell) || same_number(&local, cell);
    }
    // A day that the remote tells as a moment.
    local.len() == "2026-01-31".len()
        && cell
            .strip_prefix(&local)
            .is_some_and(|rest| matches!(rest, "T00:00:00Z" | "T00:00:00.000Z"))
}

fn same_number(a: &str, b: &str) -> bool {
    match (a.parse::<Decimal>(), b.parse::<Decimal>()) {
        (Ok(a), Ok(b)) => a == b,
        _ => false,
    }
}

/// `json` is in minor units; the cell too, unless its column is in `major` ones.
pub(super) fn same_money(json: &str, cell: &str, major: bool) -> bool {
    let local = text(json);
    let cell = cell.trim();
    let (Ok(local), Ok(remote)) = (local.parse::<Decimal>(), cell.parse::<Decimal>()) else {
        return local == cell;
    };
    let factor = if major {
        Decimal::ONE_HUNDRED
    } else {
        Decimal::ONE
    };
    remote.checked_mul(factor) == Some(local)
}

/// Lists stand in one cell, parted by commas or as JSON.
pub(super) fn same_list(json: &str, cell: &str) -> bool {
    let items = |text: &str| -> Vec<String> {
        let items = text.split(',').map(str::trim);
        items.filter(|i| !i.is_empty()).map(str::to_owned).collect()
    };
    let local = text(json);
    let remote = match serde_json::from_str::<Vec<Value>>(cell) {
        Ok(list) => list.iter().map(plain).collect::<Vec<_>>().join(","),
        Err(_) => cell.to_owned(),
    };
    items(&local) == items(&remote)
}
