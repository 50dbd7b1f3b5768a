//! Lists in a cell: JSON, or texts between commas; and JSON in a cell.

use std::borrow::Cow;

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
/// templates). `None`: neither. A number of more digits than a number keeps is a text of them.
pub fn json(cell: &str) -> Option<Value> {
    let cell = cell.trim();
    if !cell.starts_with(['{', '[']) {
        return None;
    }
    let parse = |json: &str| serde_json::from_str(&all_digits(json)).ok();
    parse(cell).or_else(|| parse(&double_quoted(cell)?))
}

/// JSON with the numbers that no number holds to the last digit in quotes: ids of thirty digits.
fn all_digits(json: &str) -> Cow<'_, str> {
    let is_long = |run: &[u8]| run.len() >= DIGITS_KEPT;
    if !json.as_bytes().split(|b| !is_numeral(*b)).any(is_long) {
        return Cow::Borrowed(json);
    }
    let mut out = String::with_capacity(json.len() + 8);
    let (mut within, mut escaped) = (false, false);
    let mut rest = json;
    while let Some(c) = rest.chars().next() {
        let length = if within {
            (within, escaped) = (c != '"' || escaped, c == '\\' && !escaped);
            c.len_utf8()
        } else {
            let end = rest.bytes().position(|b| !is_numeral(b));
            let numeral = &rest[..end.unwrap_or(rest.len())];
            within = c == '"';
            if numeral.len() >= DIGITS_KEPT && !keeps_digits(numeral) {
                out.push_str(&format!("\"{numeral}\""));
                rest = &rest[numeral.len()..];
                continue;
            }
            numeral.len().max(c.len_utf8())
        };
        out.push_str(&rest[..length]);
        rest = &rest[length..];
    }
    Cow::Owned(out)
}

/// Any numeral of fewer characters comes back as it went in.
const DIGITS_KEPT: usize = 16;

fn is_numeral(byte: u8) -> bool {
    byte.is_ascii_digit() || matches!(byte, b'+' | b'-' | b'.' | b'e' | b'E')
}

/// Whether a number holds all that its text says. What is no number is left to the parser.
fn keeps_digits(numeral: &str) -> bool {
    if numeral.parse::<i64>().is_ok() || numeral.parse::<u64>().is_ok() {
        return true;
    }
    let Ok(number) = numeral.parse::<f64>() else {
        return true;
    };
    let plain = |text: &str| match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text.to_owned(),
    };
    plain(&number.to_string()) == plain(numeral)
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
    fn no_digit_of_a_number_in_json_is_lost() {
        for (cell, expected) in [
            (
                "[123456789012345678901234]",
                r#"["123456789012345678901234"]"#,
            ),
            (
                "[-123456789012345678901.5,7]",
                r#"["-123456789012345678901.5",7]"#,
            ),
            ("[0.10000000000000000555]", r#"["0.10000000000000000555"]"#),
            (
                "[18446744073709551615,-9223372036854775808]",
                "[18446744073709551615,-9223372036854775808]",
            ),
            ("[1234567890.1234500]", "[1234567890.12345]"),
            (
                r#"{"a\":1":"12345678901234567890123","b":[12.5]}"#,
                r#"{"a\":1":"12345678901234567890123","b":[12.5]}"#,
            ),
            (
                "{'id':12345678901234567890123}",
                r#"{"id":"12345678901234567890123"}"#,
            ),
        ] {
            assert_eq!(json(cell).unwrap().to_string(), expected, "{cell}");
        }
        assert_eq!(json("[1234567890123456e]"), None);
        assert_eq!(json("[--12345678901234567890]"), None);
    }

    #[test]
    fn a_path_leads_into_json() {
        let value = json(r#"{"user_id":["u1"],"address":{"city":"X"}}"#).unwrap();
        assert_eq!(at_path(&value, "user_id.0").unwrap(), "u1");
        assert_eq!(at_path(&value, "address.city").unwrap(), "X");
        assert_eq!(at_path(&value, "address.zip"), None);
    }
}
