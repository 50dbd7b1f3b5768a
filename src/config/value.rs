//! One TOML value → what its key's type makes of it, or the fault with its place in the file.
//!
//! Says what to write instead; never repeats what was written, since that may be a secret.

use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;

use serde_spanned::Spanned;
use toml::de::DeValue;

use super::keys::{Type, Zero};
use super::problem::nearest;
use super::url::Url;
use super::{Expect, units};

type Span = Range<usize>;

/// A checked value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Text(String),
    Texts(Vec<String>),
    Flag(bool),
    Number(f64),
    Count(u64),
    Duration(Duration),
    Byte(u8),
    Listen(Option<SocketAddr>),
    Expect(Expect),
    /// In the file's order.
    Pairs(Vec<Pair>),
}

/// `"E-Mail" = "email"`, with the places of both sides.
#[derive(Clone, Debug, PartialEq)]
pub struct Pair {
    pub left: String,
    pub right: String,
    pub left_span: Span,
    pub right_span: Span,
}

/// What is wrong with a value, and what to write instead.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    pub span: Span,
    pub message: String,
    pub hint: String,
}

fn fault(span: Span, message: impl Into<String>, hint: impl Into<String>) -> Fault {
    Fault {
        span,
        message: message.into(),
        hint: hint.into(),
    }
}

/// What can be read, and all that is wrong: a list or a table may have sound parts beside faulty ones.
pub fn read(ty: Type, value: &Spanned<DeValue<'_>>) -> (Option<Value>, Vec<Fault>) {
    if ty == Type::Pairs {
        return pairs(value);
    }
    match read_whole(ty, value) {
        Ok(value) => (Some(value), Vec::new()),
        Err(faults) => (None, faults),
    }
}

fn read_whole(ty: Type, value: &Spanned<DeValue<'_>>) -> Result<Value, Vec<Fault>> {
    let span = value.span();
    match ty {
        Type::Patterns => patterns(value),
        Type::Words => texts(value)
            .map(|found| Value::Texts(found.into_iter().map(|(text, _)| text).collect())),
        Type::Flag => match value.get_ref() {
            DeValue::Boolean(flag) => Ok(Value::Flag(*flag)),
            other => Err(vec![unlike(other, span, "true or false, without quotes")]),
        },
        Type::Share => share(value).map_err(|fault| vec![fault]),
        Type::Count { min, max } => count(value, min, max).map_err(|fault| vec![fault]),
        _ => match value.get_ref() {
            DeValue::String(text) => from_text(ty, text, span).map_err(|fault| vec![fault]),
            other => Err(vec![unlike(other, span, wanted(ty))]),
        },
    }
}

/// Of another TOML type than the key's.
fn unlike(found: &DeValue<'_>, span: Span, wanted: &str) -> Fault {
    let found = match found {
        DeValue::String(_) => "text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    };
    fault(
        span,
        format!("cannot be {found}"),
        format!("write {wanted}"),
    )
}

/// An example, for whoever wrote something else.
fn wanted(ty: Type) -> &'static str {
    match ty {
        Type::Duration { .. } => {
            "a duration in quotes, with its unit: \"10s\", \"5m\", \"26h\" or \"7d\""
        }
        Type::Size => "a size in quotes, with its unit: \"200MB\" or \"1GB\"",
        Type::Percent => "a percentage in quotes: \"5%\"",
        Type::Expect => "a time in quotes: \"26h\" or \"Mon-Sat 06:30\"",
        Type::Listen => "address and port in quotes: \"127.0.0.1:8787\", or \"\" for none",
        _ => "text in quotes",
    }
}

fn from_text(ty: Type, text: &str, span: Span) -> Result<Value, Fault> {
    let wrong = |message: &str| fault(span.clone(), message, format!("write {}", wanted(ty)));
    match ty {
        Type::Text => match text.chars().any(char::is_control) {
            false => Ok(Value::Text(text.to_owned())),
            true => Err(fault(span, "holds a control character", "take it out")),
        },
        Type::Path => path(text, span),
        Type::SecretFile => match text.starts_with('/') {
            true => path(text, span),
            false => Err(fault(
                span,
                "is not an absolute path",
                "the name of a file that holds the secret, from `/` on; never the secret itself",
            )),
        },
        Type::Url => match Url::parse(text) {
            Ok(_) => Ok(Value::Text(text.to_owned())),
            Err(hint) => Err(fault(span, "is not an address", hint)),
        },
        Type::Duration { zero } => match units::duration(text) {
            Some(duration) if duration.is_zero() && zero == Zero::Refused => {
                Err(fault(span, "cannot be zero", "write something longer"))
            }
            Some(duration) => Ok(Value::Duration(duration)),
            None => Err(wrong("is not a duration")),
        },
        Type::Size => units::size(text)
            .map(Value::Count)
            .ok_or_else(|| wrong("is not a size")),
        Type::Percent => match units::percent(text) {
            Some(percent) => Ok(Value::Number(percent)),
            None => Err(fault(
                span,
                "is not a percentage",
                "write \"0%\" to \"100%\"",
            )),
        },
        Type::Choice(choices) => choice(text, choices, span),
        Type::Listen => listen(text, span),
        Type::Marker => marker(text, span),
        Type::Encoding => encoding(text, span),
        Type::Delimiter => match units::delimiter(text) {
            Some(byte) => Ok(Value::Byte(byte)),
            None => Err(fault(
                span,
                "is not a delimiter",
                "write one sign such as \",\", \";\" or \"|\", or \"tab\"",
            )),
        },
        Type::Zone => zone(text, span),
        Type::Expect => units::expect(text)
            .map(Value::Expect)
            .ok_or_else(|| wrong("says no time at which files are due")),
        Type::Flag
        | Type::Share
        | Type::Count { .. }
        | Type::Patterns
        | Type::Words
        | Type::Pairs => Err(wrong("cannot be text")),
    }
}

fn path(text: &str, span: Span) -> Result<Value, Fault> {
    if text.trim().is_empty() {
        return Err(fault(
            span,
            "is empty",
            "write a path such as \"/srv/drop/customers\"",
        ));
    }
    if text.chars().any(char::is_control) {
        return Err(fault(span, "holds a control character", "take it out"));
    }
    Ok(Value::Text(text.to_owned()))
}

fn choice(text: &str, choices: &[&str], span: Span) -> Result<Value, Fault> {
    if choices.contains(&text) {
        return Ok(Value::Text(text.to_owned()));
    }
    let quoted: Vec<String> = choices
        .iter()
        .map(|choice| format!("\"{choice}\""))
        .collect();
    let hint = match nearest(text, choices.iter().copied()) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None => format!("write one of {}", quoted.join(", ")),
    };
    Err(fault(span, "has a value that is not known", hint))
}

fn listen(text: &str, span: Span) -> Result<Value, Fault> {
    if text.is_empty() {
        return Ok(Value::Listen(None));
    }
    let text = match text.strip_prefix("localhost:") {
        Some(port) => format!("127.0.0.1:{port}"),
        None => text.to_owned(),
    };
    match text.parse() {
        Ok(address) => Ok(Value::Listen(Some(address))),
        Err(_) => Err(fault(
            span,
            "is not an address to listen on",
            format!("write {}", wanted(Type::Listen)),
        )),
    }
}

fn marker(text: &str, span: Span) -> Result<Value, Fault> {
    let hint = "write it like \"{name}.ok\"";
    if !text.contains("{name}") {
        return Err(fault(
            span,
            "does not say `{name}`, the file's own name",
            hint,
        ));
    }
    if text == "{name}" {
        return Err(fault(
            span,
            "names the file itself, not a marker beside it",
            hint,
        ));
    }
    if text.contains('/') || text.chars().any(char::is_control) {
        return Err(fault(span, "is not a file name", hint));
    }
    Ok(Value::Text(text.to_owned()))
}

fn encoding(text: &str, span: Span) -> Result<Value, Fault> {
    match encoding_rs::Encoding::for_label_no_replacement(text.as_bytes()) {
        Some(_) => Ok(Value::Text(text.trim().to_owned())),
        None => Err(fault(
            span,
            "is not a known encoding",
            "write one such as \"utf-8\", \"windows-1252\", \"iso-8859-15\" or \"utf-16le\"",
        )),
    }
}

fn zone(text: &str, span: Span) -> Result<Value, Fault> {
    let zones = jiff::tz::TimeZoneDatabase::bundled();
    if zones.get(text).is_ok() {
        return Ok(Value::Text(text.to_owned()));
    }
    let names: Vec<String> = zones
        .available()
        .map(|name| name.as_str().to_owned())
        .collect();
    let hint = match nearest(text, names.iter().map(String::as_str)) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None => "write a zone such as \"Europe/Paris\" or \"UTC\"".to_owned(),
    };
    Err(fault(span, "is not a known time zone", hint))
}

fn share(value: &Spanned<DeValue<'_>>) -> Result<Value, Fault> {
    let number = match value.get_ref() {
        DeValue::Float(number) => number.as_str().replace('_', "").parse().ok(),
        DeValue::Integer(number) => u64::from_str_radix(number.as_str(), number.radix())
            .ok()
            .map(|n| n as f64),
        other => return Err(unlike(other, value.span(), "a number without quotes: 0.5")),
    };
    match number.filter(|share: &f64| *share > 0.0 && *share <= 1.0) {
        Some(share) => Ok(Value::Number(share)),
        None => Err(fault(
            value.span(),
            "is out of range",
            "write a number above 0, up to 1",
        )),
    }
}

fn count(value: &Spanned<DeValue<'_>>, min: u64, max: u64) -> Result<Value, Fault> {
    let number = match value.get_ref() {
        DeValue::Integer(number) => {
            u64::from_str_radix(&number.as_str().replace('_', ""), number.radix()).ok()
        }
        other => return Err(unlike(other, value.span(), "a whole number without quotes")),
    };
    match number.filter(|number| (min..=max).contains(number)) {
        Some(number) => Ok(Value::Count(number)),
        None if max > u64::from(u32::MAX) => Err(fault(
            value.span(),
            "is out of range",
            format!("write a whole number of {min} or more"),
        )),
        None => Err(fault(
            value.span(),
            "is out of range",
            format!("write a whole number from {min} to {max}"),
        )),
    }
}

fn texts(value: &Spanned<DeValue<'_>>) -> Result<Vec<(String, Span)>, Vec<Fault>> {
    let DeValue::Array(list) = value.get_ref() else {
        return Err(vec![unlike(
            value.get_ref(),
            value.span(),
            "a list: [\"…\", \"…\"]",
        )]);
    };
    let mut found = Vec::new();
    let mut faults = Vec::new();
    for entry in list.iter() {
        match entry.get_ref() {
            DeValue::String(text) if text.contains('\0') => {
                faults.push(fault(
                    entry.span(),
                    "holds a control character",
                    "take it out",
                ));
            }
            DeValue::String(text) => found.push((text.clone().into_owned(), entry.span())),
            other => faults.push(unlike(other, entry.span(), "text in quotes")),
        }
    }
    if faults.is_empty() {
        Ok(found)
    } else {
        Err(faults)
    }
}

fn patterns(value: &Spanned<DeValue<'_>>) -> Result<Value, Vec<Fault>> {
    let found = texts(value)?;
    if found.is_empty() {
        return Err(vec![fault(
            value.span(),
            "would take in no file at all",
            "write a pattern such as [\"*.csv\"]",
        )]);
    }
    let faults: Vec<Fault> = found
        .iter()
        .filter(|(text, _)| text.is_empty() || text.contains('/'))
        .map(|(_, span)| {
            fault(
                span.clone(),
                "is not a pattern for file names",
                "write it like \"*.csv\", without `/`",
            )
        })
        .collect();
    if !faults.is_empty() {
        return Err(faults);
    }
    Ok(Value::Texts(
        found.into_iter().map(|(text, _)| text).collect(),
    ))
}

fn pairs(value: &Spanned<DeValue<'_>>) -> (Option<Value>, Vec<Fault>) {
    let DeValue::Table(table) = value.get_ref() else {
        let fault = unlike(
            value.get_ref(),
            value.span(),
            "a table: \"E-Mail\" = \"email\"",
        );
        return (None, vec![fault]);
    };
    let mut found = Vec::new();
    let mut faults = Vec::new();
    for (left, right) in table.iter() {
        let text = match right.get_ref() {
            DeValue::String(text) => text.clone().into_owned(),
            DeValue::Integer(number) if number.radix() == 10 => number.as_str().to_owned(),
            DeValue::Boolean(flag) => flag.to_string(),
            DeValue::Table(_) => {
                faults.push(fault(
                    left.span(),
                    "is read as a table here, because of the dot in it",
                    "put the whole left side in quotes: \"metadata.store\" = …",
                ));
                continue;
            }
            other => {
                faults.push(unlike(other, right.span(), "text in quotes"));
                continue;
            }
        };
        found.push(Pair {
            left: left.get_ref().clone().into_owned(),
            right: text,
            left_span: left.span(),
            right_span: right.span(),
        });
    }
    found.sort_by_key(|pair| pair.left_span.start);
    (Some(Value::Pairs(found)), faults)
}
