//! One field of one row: its text, prepared and read into JSON.

use std::borrow::Cow;

use super::flat::Refused;
use super::notation::{Wrong, boolean, date, list, number, text, zone};
use super::plan::{Cells, Common, FieldPlan, Prep, Read, Unclear};
use crate::kind::ORDER_STATUSES;
use crate::preset::shape::has_shape;
use crate::preset::spec::Lines;
use crate::record::push_json_str;
use crate::reject::Code;

/// What a row says of a field.
#[derive(Debug)]
pub(super) enum Said<'a> {
    Text(Cow<'a, str>),
    Blank,
    /// Something that neither sets nor clears it: a mask, digits that a spreadsheet rounded.
    Untouched,
}

/// What was put out for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Put {
    Value,
    Blank,
    Untouched,
}

impl FieldPlan {
    /// The header of the column at fault.
    pub fn at_fault<C: Cells + ?Sized>(
        &self,
        wrong: &Wrong,
        row: &C,
        common: &Common,
    ) -> Option<&str> {
        let of = |column: usize| {
            let found = self.headers.iter().find(|(known, _)| *known == column);
            found.map(|(_, header)| header.as_str())
        };
        let column = wrong.column.or_else(|| {
            let several = !self.headers.is_empty();
            several.then(|| self.source.told_by(row, common)).flatten()
        });
        column.and_then(of).or(self.header.as_deref())
    }

    /// Why its row is refused.
    pub fn refused<C: Cells + ?Sized>(&self, wrong: Wrong, row: &C, common: &Common) -> Refused {
        Refused::new(self.at_fault(&wrong, row, common), wrong)
    }

    /// What the row says, before it is read.
    pub fn said<'a, C: Cells + ?Sized>(
        &'a self,
        row: &'a C,
        common: &Common,
    ) -> Result<Said<'a>, Wrong> {
        let text = self.source.text(row, common, self.raw).map_err(unclear)?;
        if text::is_blank(&text) {
            return Ok(Said::Blank);
        }
        match &self.prep {
            None => Ok(Said::Text(text)),
            Some(prep) => prep.apply(text, common),
        }
    }

    /// Appends what the row says of the field as JSON; nothing if it says nothing.
    pub fn put<C: Cells + ?Sized>(
        &self,
        row: &C,
        common: &Common,
        out: &mut String,
    ) -> Result<Put, Wrong> {
        self.put_from(row, row, common, out)
    }

    /// The same, where what is added to an amount stands in a row of its own.
    pub fn put_from<C: Cells + ?Sized>(
        &self,
        row: &C,
        own: &C,
        common: &Common,
        out: &mut String,
    ) -> Result<Put, Wrong> {
        let start = out.len();
        let put = match self.said(row, common)? {
            Said::Blank => return Ok(Put::Blank),
            Said::Untouched => return Ok(Put::Untouched),
            Said::Text(text) => self.read.push(&text, row, out),
        };
        match put {
            Ok(true) => {
                if self.plus.is_some() || self.positive {
                    self.finish_amount(own, common, out, start)?;
                }
                if self.zero_is_blank && &out[start..] == "0" {
                    out.truncate(start);
                    return Ok(Put::Blank);
                }
                Ok(Put::Value)
            }
            Ok(false) => {
                out.truncate(start);
                Ok(Put::Blank)
            }
            Err(_) if self.lenient => {
                out.truncate(start);
                Ok(Put::Untouched)
            }
            Err(wrong) => Err(wrong),
        }
    }

    /// What is added to an amount, and its sign.
    fn finish_amount<C: Cells + ?Sized>(
        &self,
        row: &C,
        common: &Common,
        out: &mut String,
        start: usize,
    ) -> Result<(), Wrong> {
        let Ok(mut amount) = out[start..].parse::<i64>() else {
            // A number in its own units: only its sign can be taken off.
            if self.positive && out[start..].starts_with('-') {
                out.remove(start);
            }
            return Ok(());
        };
        if let (Some(plus), Read::Money(rule)) = (&self.plus, &self.read) {
            let of_plus = |wrong: Wrong| match plus.told_by(row, common) {
                Some(column) => wrong.at(column),
                None => wrong,
            };
            let text = plus.text(row, common, false).map_err(unclear)?;
            if !text::is_blank(&text) {
                let more = number::money(&text, *rule).map_err(of_plus)?;
                amount = amount.checked_add(more).ok_or_else(overflow)?;
            }
        }
        if self.positive {
            amount = amount.checked_abs().ok_or_else(overflow)?;
        }
        out.truncate(start);
        push_int(out, amount);
        Ok(())
    }
}

pub(super) fn no_product() -> Wrong {
    Wrong::new(
        Code::MissingKey,
        "no product; a SKU cannot be stored without the one that it belongs to",
    )
}

pub(super) fn overflow() -> Wrong {
    Wrong::new(Code::Number, "a number too large for the API")
}

pub(super) fn unclear(unclear: Unclear) -> Wrong {
    match unclear {
        Unclear::Differ => Wrong::new(
            Code::Conflict,
            "two columns of this name say different things; leave one of them blank, or ignore one",
        ),
        Unclear::NoJson => list::no_json("JSON"),
        Unclear::Day(wrong) => wrong,
    }
}

pub(super) fn push_int(out: &mut String, value: i64) {
    use std::fmt::Write;
    write!(out, "{value}").expect("a string takes all that is written");
}

impl Prep {
    fn apply<'a>(&'a self, text: Cow<'a, str>, common: &Common) -> Result<Said<'a>, Wrong> {
        if self.masks && common.is_mask(&text) {
            return Ok(Said::Untouched);
        }
        let mut text = text;
        if self.trim {
            text = sliced(text, |t| {
                t.trim_matches(crate::preset::header::is_invisible)
            });
        }
        if self.apostrophe {
            text = sliced(text, |t| text::without_apostrophe(t, common.apostrophe));
        }
        if let Some(path) = &self.path {
            let value = list::json(&text).ok_or_else(|| unclear(Unclear::NoJson))?;
            text = Cow::Owned(list::text_at(&value, path));
        }
        if let Some(between) = &self.take_first {
            text = Cow::Owned(
                list::texts(&text, between)?
                    .into_iter()
                    .next()
                    .unwrap_or_default(),
            );
        }
        if let Some(lines) = self.lines {
            text = lines_of(&text, lines);
        }
        for prefix in &self.strip {
            text = sliced(text, |t| t.strip_prefix(prefix.as_str()).unwrap_or(t));
        }
        let is_word = |words: &[String]| words.iter().any(|w| w.eq_ignore_ascii_case(text.trim()));
        if text::is_blank(&text) || is_word(&self.blanks) {
            return Ok(Said::Blank);
        }
        let has_one_of = |shapes: &[String]| shapes.iter().any(|s| has_shape(text.trim(), s));
        if !self.only.is_empty() && !has_one_of(&self.only) || has_one_of(&self.except) {
            return Ok(Said::Blank);
        }
        if self.code && number::is_scientific(&text) {
            return Ok(Said::Untouched);
        }
        if !self.words.is_empty() || self.otherwise.is_some() {
            let lower = text.trim().to_lowercase();
            let meant = self.words.iter().find(|(word, _)| *word == lower);
            match meant
                .map(|(_, meaning)| meaning)
                .or(self.otherwise.as_ref())
            {
                Some(meaning) => text = Cow::Borrowed(meaning),
                None => return Ok(Said::Text(text)),
            }
            if text.is_empty() {
                return Ok(Said::Blank);
            }
        }
        if self.lower {
            text = Cow::Owned(text.to_lowercase());
        }
        if self.salesforce {
            text = Cow::Owned(text::salesforce_id(&text).into_owned());
        }
        Ok(Said::Text(text))
    }
}

/// A part of a text, without a copy where it is borrowed.
fn sliced<'a>(text: Cow<'a, str>, part: impl Fn(&str) -> &str) -> Cow<'a, str> {
    match text {
        Cow::Borrowed(text) => {
            let kept = part(text);
            let start = kept.as_ptr() as usize - text.as_ptr() as usize;
            Cow::Borrowed(&text[start..start + kept.len()])
        }
        Cow::Owned(text) => {
            let kept = part(&text);
            if kept.len() == text.len() {
                Cow::Owned(text)
            } else {
                Cow::Owned(kept.to_owned())
            }
        }
    }
}

/// The first line of a street, or the others joined (FORMATS.md, rule 6).
fn lines_of(text: &str, lines: Lines) -> Cow<'static, str> {
    let mut parts = text
        .split(['\r', '\n'])
        .map(str::trim)
        .filter(|l| !l.is_empty());
    Cow::Owned(match lines {
        Lines::First => parts.next().unwrap_or_default().to_owned(),
        Lines::Rest => parts.skip(1).collect::<Vec<_>>().join(", "),
    })
}

impl Read {
    /// Appends a text as JSON. `false`: it says that there is none.
    pub fn push<C: Cells + ?Sized>(
        &self,
        text: &str,
        row: &C,
        out: &mut String,
    ) -> Result<bool, Wrong> {
        match self {
            Read::Text => push_json_str(out, text),
            Read::Reference(prefix) => {
                let key = text::key(text);
                push_json_str(out, &format!("{prefix}{key}"));
            }
            Read::Money(rule) => push_int(out, number::money(text, *rule)?),
            Read::Integer(decimal) => push_int(out, number::integer(text, *decimal)?),
            Read::Number(decimal) => number::push_number(out, text, *decimal, true)?,
            Read::Boolean(words) => {
                let yes = boolean::boolean(text, words)?;
                out.push_str(if yes { "true" } else { "false" });
            }
            Read::Date(rule) => return date::push_date(out, text, rule),
            Read::Datetime(rule, local, named_in) => {
                let named = named_in.map_or("", |column| row.cell(column)).trim();
                if named.is_empty() {
                    return date::push_datetime(out, text, rule, local);
                }
                let zone = zone::named(named).ok_or_else(|| {
                    let wrong = Wrong::new(Code::Date, "a time zone that nobody knows");
                    named_in.map_or(wrong.clone(), |column| wrong.at(column))
                })?;
                return date::push_datetime(out, text, rule, &zone);
            }
            Read::Status => push_status(out, text)?,
            Read::List(between, item) => push_list(out, text, between, item, row)?,
            Read::Loose if matches!(text.trim(), "true" | "false") => out.push_str(text.trim()),
            Read::ListIf(between, true) => push_list(out, text, between, &Read::Text, row)?,
            Read::ListIf(_, false) => push_json_str(out, text),
            Read::ListOrText | Read::Loose => match list::json(text) {
                Some(list @ serde_json::Value::Array(_)) => out.push_str(&list.to_string()),
                _ => push_json_str(out, text),
            },
            Read::Json => match list::json(text) {
                Some(value) => out.push_str(&value.to_string()),
                None if list::is_meant_as_json(text) => return Err(unclear(Unclear::NoJson)),
                None => push_json_str(out, text),
            },
            Read::Object => match list::json(text) {
                Some(value) => out.push_str(&value.to_string()),
                None => return Err(list::no_json("an object; write it as {\"name\":\"value\"}")),
            },
            Read::Fixed(json) => out.push_str(json),
        }
        Ok(true)
    }
}

fn push_status(out: &mut String, text: &str) -> Result<(), Wrong> {
    let status = ORDER_STATUSES
        .iter()
        .find(|status| status.eq_ignore_ascii_case(text.trim()))
        .ok_or_else(|| {
            Wrong::new(
                Code::Status,
                "not an order's status; there are CREATED, PAID, CANCELED and FULFILLED",
            )
        })?;
    push_json_str(out, status);
    Ok(())
}

fn push_list<C: Cells + ?Sized>(
    out: &mut String,
    text: &str,
    between: &str,
    item: &Read,
    row: &C,
) -> Result<(), Wrong> {
    out.push('[');
    let mut first = true;
    for part in list::texts(text, between)? {
        let start = out.len();
        if !first {
            out.push(',');
        }
        if item.push(&part, row, out)? {
            first = false;
        } else {
            out.truncate(start);
        }
    }
    out.push(']');
    Ok(())
}
