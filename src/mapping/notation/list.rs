//! Lists in a cell: JSON, or texts between commas; and JSON in a cell.

use serde_json::Value;

use super::Wrong;
use crate::reject::Code;

/// The texts of a list cell: a JSON list, or texts between `between`, each trimmed; one that stands
/// in quotes keeps what it holds (`"Li-Ning, Ltd",Anta`). Blank ones are dropped.
///
/// `Err`: it begins as JSON does, and is no list.
pub fn texts(cell: &str, between: &str) -> Result<Vec<String>, Wrong> {
    let cell = cell.trim();
    if let Some(Value::Array(items)) = json(cell) {
        let said = items.into_iter().filter(|item| !item.is_null());
        return Ok(said.map(text_of).collect());
    }
    if is_meant_as_json(cell) {
        return Err(no_json("a list; write it as a,b or as [\"a\",\"b\"]"));
    }
    // One pair of quotes that was left around the whole cell (FORMATS.md, Intercom).
    let cell = match cell.strip_prefix('"').and_then(|c| c.strip_suffix('"')) {
        Some(inner) if !inner.contains('"') => inner,
        _ => cell,
    };
    Ok(split(cell, between)
        .into_iter()
        .filter(|item| !item.is_empty())
        .collect())
}

/// Whole in brackets or braces, or begun as a list or an object of JSON: no text between commas, which
/// may begin with a bracket (`[Issue] Upload Slow,sent`).
pub fn is_meant_as_json(cell: &str) -> bool {
    let cell = cell.trim();
    let is_in = |open: char, close: char| cell.starts_with(open) && cell.ends_with(close);
    let begins = |open: char| {
        let rest = cell.strip_prefix(open).map(str::trim_start);
        rest.is_some_and(|rest| rest.starts_with(['"', '\'', '{', '[']))
    };
    is_in('[', ']') || is_in('{', '}') || begins('[') || begins('{')
}

/// `expected`: `a list; write it as …`
pub fn no_json(expected: &str) -> Wrong {
    Wrong::new(
        Code::Encoding,
        format!("text that cannot be read as {expected} (is a quote or a bracket missing?)"),
    )
}

fn text_of(value: Value) -> String {
    match value {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

fn split(cell: &str, between: &str) -> Vec<String> {
    let mut items = Vec::new();
    let mut item = String::new();
    let mut rest = cell;
    let mut quoted = false;
    while let Some(c) = rest.chars().next() {
        if quoted && rest.starts_with("\"\"") {
            item.push('"');
            rest = &rest[2..];
        } else if c == '"' && (quoted || (item.trim().is_empty() && rest[1..].contains('"'))) {
            quoted = !quoted;
            rest = &rest[1..];
        } else if !quoted && !between.is_empty() && rest.starts_with(between) {
            items.push(std::mem::take(&mut item).trim().to_owned());
            rest = &rest[between.len()..];
        } else {
            item.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    items.push(item.trim().to_owned());
    items
}

/// JSON in a cell, or its form in single quotes (`{'color':'blue'}`; FORMATS.md, Voucherify: import
/// templates). `None`: neither.
pub fn json(cell: &str) -> Option<Value> {
    let cell = cell.trim();
    if !cell.starts_with(['{', '[']) {
        return None;
    }
    serde_json::from_str(cell)
        .ok()
        .or_else(|| serde_json::from_str(&double_quoted(cell)?).ok())
}

/// A single quote ends a text only before `,`, `:`, `}` or `]`: so `'O'Neill'` is whole.
fn double_quoted(cell: &str) -> Option<String> {
    let mut out = String::with_capacity(cell.len() + 8);
    let mut chars = cell.char_indices().peekable();
    let mut within = false;
    while let Some((at, c)) = chars.next() {
        match c {
            '\'' if !within => {
                within = true;
                out.push('"');
            }
            '\'' => {
                let behind = cell[at + 1..].trim_start();
                if behind.is_empty() || behind.starts_with([',', ':', '}', ']']) {
                    within = false;
                    out.push('"');
                } else {
                    out.push('\'');
                }
            }
            '"' if within => out.push_str("\\\""),
            '"' => return None,
            '\\' if within && matches!(chars.peek(), Some((_, '\''))) => {
                out.push('\'');
                chars.next();
            }
            c => out.push(c),
        }
    }
    (!within).then_some(out)
}

/// The text at a path; empty where nothing stands.
pub fn text_at(value: &Value, path: &str) -> String {
    match at_path(value, path) {
        None | Some(Value::Null) => String::new(),
        Some(found) => text_of(found.clone()),
    }
}

/// What stands at a path such as `address.city` or `user_id.0` in a JSON value.
pub fn at_path<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(value, |value, step| match value {
        Value::Array(items) => items.get(step.parse::<usize>().ok()?),
        Value::Object(fields) => fields.get(step),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(cell: &str, expected: &[&str]) {
        let texts = texts(cell, ",").unwrap();
        assert_eq!(texts, expected, "{cell}");
    }

    #[test]
    fn what_begins_as_json_and_is_none_is_no_list() {
        for cell in [
            r#"["a","b""#,
            r#"["a" "b"]"#,
            "[a,b]",
            "['a',b]",
            "{color:blue}",
            r#"{"a":1}"#,
            r#"[{"a":1}"#,
        ] {
            assert_eq!(texts(cell, ",").unwrap_err().code, Code::Encoding, "{cell}");
        }
    }

    #[test]
    fn lists_in_all_their_notations() {
        check("color,size, ranking", &["color", "size", "ranking"]);
        check(r#"["vip","swim"]"#, &["vip", "swim"]);
        check("['vip','swim']", &["vip", "swim"]);
        check("[]", &[]);
        check(r#"["a",null,1,""]"#, &["a", "1", ""]);
        check("[x] a,b", &["[x] a", "b"]);
        check(r#""Active""#, &["Active"]);
        check(r#""Li-Ning, Ltd",Anta"#, &["Li-Ning, Ltd", "Anta"]);
        check(
            "watched,sent,[Issue] Upload Slow",
            &["watched", "sent", "[Issue] Upload Slow"],
        );
        check(r#"27" wide,red"#, &[r#"27" wide"#, "red"]);
        check(",a,,", &["a"]);
    }

    #[test]
    fn json_in_single_quotes_keeps_apostrophes() {
        let value = json("{'color':'blue','owner':'O'Neill','ranking':1}").unwrap();
        assert_eq!(value["owner"], "O'Neill");
        assert_eq!(value["ranking"], 1);
        assert_eq!(json("not json"), None);
        assert_eq!(json("{'a':"), None);
    }

    #[test]
    fn a_path_leads_into_json() {
        let value = json(r#"{"user_id":["u1"],"address":{"city":"X"}}"#).unwrap();
        assert_eq!(at_path(&value, "user_id.0").unwrap(), "u1");
        assert_eq!(at_path(&value, "address.city").unwrap(), "X");
        assert_eq!(at_path(&value, "address.zip"), None);
    }
}
