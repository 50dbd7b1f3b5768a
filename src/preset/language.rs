//! Reads a preset's TOML (README.md beside this file describes the language).
//!
//! All problems at once, each with file, line, column and the nearest key that exists.

use std::borrow::Cow;

use serde_spanned::Spanned;
use toml::de::{DeTable, DeValue};

use super::header::Likeness;
use super::spec::{
    Apostrophe, Case, DateStyle, Field, Footer, Grouping, ItemCells, Items, Key, Lines, Manner,
    MetadataAs, MoneyStyle, Names, Origin, Record, Refund, Signature, Spec, Special, Type, When,
};
use crate::config::{DateOrder, DecimalSign};
use crate::kind::Kind;

type Table<'i> = DeTable<'i>;
type Value<'i> = Spanned<DeValue<'i>>;

/// A preset as its text says; `file` is named in the errors.
pub fn read(file: &str, text: &str) -> Result<Spec, Vec<String>> {
    let (table, errors) = DeTable::parse_recoverable(text);
    let mut reader = Reader {
        file,
        text,
        errors: Vec::new(),
    };
    for error in errors {
        let at = error.span().map_or(0, |span| span.start);
        reader.error(at, error.message().to_owned());
    }
    let spec = reader.spec(table.get_ref());
    if reader.errors.is_empty() {
        Ok(spec)
    } else {
        Err(reader.errors)
    }
}

const TOP: &[&str] = &[
    "title",
    "kind",
    "like",
    "headers",
    "others",
    "split",
    "recognise",
    "zone_in_header",
    "decimal",
    "dates",
    "timezone",
    "money",
    "apostrophe",
    "true",
    "false",
    "masks",
    "metadata_blanks",
    "tell_unknown",
    "blanks",
    "trim",
    "metadata_dot",
    "metadata_as",
    "metadata_lists",
    "footer",
    "skip",
    "ignore",
    "secret",
    "families",
    "group",
    "key",
    "fields",
    "when",
    "items",
    "record",
    "special",
    "notes",
    "header_if_none",
];
const RECOGNISE: &[&str] = &[
    "all",
    "any",
    "none",
    "no_dotted",
    "starts",
    "first",
    "columns_max",
    "zones",
    "key_cell",
];
const GROUP: &[&str] = &["by", "fill_down", "adjacent", "one_reject", "begin"];
const RECORD: &[&str] = &["kind", "when", "per", "key", "fields", "items"];
const KEY: &[&str] = &[
    "lower",
    "shapes",
    "missing",
    "strip",
    "salesforce",
    "last",
    "no_scientific",
];
const FROM: &[&str] = &[
    "column", "first", "join", "with", "value", "cases", "else", "when", "between", "json",
    "numbered",
];
const FIELD: &[&str] = &[
    "type",
    "split",
    "take_first",
    "path",
    "strip",
    "words",
    "otherwise",
    "lines",
    "unix",
    "zone",
    "only",
    "except",
    "carry",
    "last",
    "sum",
    "positive",
    "plus",
    "zero_is_blank",
    "names",
    "default_values",
    "packed",
    "code",
    "blanks",
    "lower",
    "salesforce",
    "lenient",
];
const ITEMS: &[&str] = &[
    "cells",
    "when",
    "fields",
    "sum",
    "discount_from_net",
    "refund",
    "void",
];
const CELLS: &[&str] = &["columns", "between", "fields", "pair", "numbered"];
const REFUND: &[&str] = &["when", "amount"];
const CASE: &[&str] = &["when", "then"];

struct Reader<'a> {
    file: &'a str,
    text: &'a str,
    errors: Vec<String>,
}

/// A table whose keys are looked up, and whose unknown keys are errors.
struct Keys<'t, 'i> {
    table: &'t Table<'i>,
}

impl<'t, 'i> Keys<'t, 'i> {
    fn get(&self, name: &str) -> Option<&'t Value<'i>> {
        self.table
            .iter()
            .find(|(key, _)| key.get_ref() == name)
            .map(|(_, value)| value)
    }
}

impl Reader<'_> {
    fn error(&mut self, at: usize, message: String) {
        let before = &self.text[..at.min(self.text.len())];
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
        self.errors
            .push(format!("{}:{line}:{column}: {message}", self.file));
    }

    /// Checks a table's keys against those that there are.
    fn keys<'t, 'i>(&mut self, table: &'t Table<'i>, known: &[&[&str]]) -> Keys<'t, 'i> {
        let all: Vec<&str> = known.iter().flat_map(|part| part.iter().copied()).collect();
        for (key, _) in table.iter() {
            let name: &str = key.get_ref();
            if all.contains(&name) {
                continue;
            }
            let hint =
                nearest(name, &all).map_or(String::new(), |n| format!("; did you mean `{n}`?"));
            self.error(key.span().start, format!("unknown key `{name}`{hint}"));
        }
        Keys { table }
    }

    fn table<'t, 'i>(&mut self, value: &'t Value<'i>, what: &str) -> Option<&'t Table<'i>> {
        match value.get_ref() {
            DeValue::Table(table) => Some(table),
            _ => {
                self.error(value.span().start, format!("`{what}` has to be a table"));
                None
            }
        }
    }

    fn text_at(&mut self, keys: &Keys<'_, '_>, name: &str) -> Option<String> {
        let value = keys.get(name)?;
        self.text_of(value, name)
    }

    fn text_of(&mut self, value: &Value<'_>, name: &str) -> Option<String> {
        match value.get_ref() {
            DeValue::String(text) => Some(text.clone().into_owned()),
            _ => {
                self.error(
                    value.span().start,
                    format!("`{name}` has to be a text in quotes"),
                );
                None
            }
        }
    }

    fn flag(&mut self, keys: &Keys<'_, '_>, name: &str) -> bool {
        let Some(value) = keys.get(name) else {
            return false;
        };
        match value.get_ref() {
            DeValue::Boolean(flag) => *flag,
            _ => {
                self.error(
                    value.span().start,
                    format!("`{name}` has to be true or false"),
                );
                false
            }
        }
    }

    fn number(&mut self, keys: &Keys<'_, '_>, name: &str) -> Option<usize> {
        let value = keys.get(name)?;
        let number = match value.get_ref() {
            DeValue::Integer(number) => number.as_str().parse().ok(),
            _ => None,
        };
        if number.is_none() {
            self.error(
                value.span().start,
                format!("`{name}` has to be a whole number"),
            );
        }
        number
    }

    /// A text, or a list of texts.
    fn texts(&mut self, keys: &Keys<'_, '_>, name: &str) -> Vec<String> {
        keys.get(name)
            .map_or_else(Vec::new, |value| self.texts_of(value, name))
    }

    /// A list of texts or of lists of texts.
    fn lists(&mut self, keys: &Keys<'_, '_>, name: &str) -> Vec<Names> {
        match keys.get(name).map(|value| (value, value.get_ref())) {
            Some((_, DeValue::Array(items))) => {
                items.iter().map(|item| self.texts_of(item, name)).collect()
            }
            Some((value, _)) => vec![self.texts_of(value, name)],
            None => Vec::new(),
        }
    }

    fn texts_of(&mut self, value: &Value<'_>, name: &str) -> Vec<String> {
        match value.get_ref() {
            DeValue::String(text) => vec![text.clone().into_owned()],
            DeValue::Array(items) => items
                .iter()
                .filter_map(|item| self.text_of(item, name))
                .collect(),
            _ => {
                self.error(
                    value.span().start,
                    format!("`{name}` has to be a text in quotes, or a list of them"),
                );
                Vec::new()
            }
        }
    }

    /// One of some words.
    fn word<T: Copy>(&mut self, keys: &Keys<'_, '_>, name: &str, words: &[(&str, T)]) -> Option<T> {
        let value = keys.get(name)?;
        let text = self.text_of(value, name)?;
        if let Some((_, meaning)) = words.iter().find(|(word, _)| *word == text) {
            return Some(*meaning);
        }
        let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        self.error(
            value.span().start,
            format!("`{name}` is one of {}", known.join(", ")),
        );
        None
    }

    fn list<'t, 'i>(&mut self, value: &'t Value<'i>, name: &str) -> Vec<&'t Value<'i>> {
        match value.get_ref() {
            DeValue::Array(items) => items.iter().collect(),
            DeValue::Table(_) => vec![value],
            _ => {
                self.error(
                    value.span().start,
                    format!("`{name}` has to be a table or a list of tables"),
                );
                Vec::new()
            }
        }
    }

    fn spec(&mut self, table: &Table<'_>) -> Spec {
        let keys = self.keys(table, &[TOP]);
        let manner = self
            .word(
                &keys,
                "like",
                &[
                    ("plain", Manner::Plain),
                    ("connector", Manner::Connector),
                    ("shop", Manner::Shop),
                ],
            )
            .unwrap_or(Manner::Connector);
        let shop = manner == Manner::Shop;
        let mut spec = Spec {
            title: self.text_at(&keys, "title").unwrap_or_default(),
            manner,
            likeness: self
                .word(
                    &keys,
                    "headers",
                    &[("spelled", Likeness::Spelled), ("folded", Likeness::Folded)],
                )
                .unwrap_or(if shop {
                    Likeness::Spelled
                } else {
                    Likeness::Folded
                }),
            unknown_are_metadata: self
                .word(&keys, "others", &[("metadata", true), ("ignore", false)])
                .unwrap_or(!shop),
            apostrophe: self
                .word(
                    &keys,
                    "apostrophe",
                    &[
                        ("keep", Apostrophe::Kept),
                        ("formula", Apostrophe::BeforeFormula),
                        ("digit", Apostrophe::BeforeDigit),
                    ],
                )
                .unwrap_or(if shop {
                    Apostrophe::BeforeDigit
                } else {
                    Apostrophe::Kept
                }),
            footer: self
                .word(
                    &keys,
                    "footer",
                    &[
                        ("none", Footer::None),
                        ("sum", Footer::Sum),
                        ("after-blank-line", Footer::AfterBlankLine),
                    ],
                )
                .unwrap_or(if shop { Footer::Sum } else { Footer::None }),
            ..Spec::default()
        };
        self.notation(&keys, &mut spec);
        self.rows(&keys, &mut spec);
        spec.signature = keys
            .get("recognise")
            .and_then(|value| self.table(value, "recognise"))
            .map(|table| self.signature(table))
            .unwrap_or_default();
        self.records(&keys, &mut spec, table);
        spec
    }

    fn notation(&mut self, keys: &Keys<'_, '_>, spec: &mut Spec) {
        spec.split = self.flag(keys, "split");
        spec.zone_in_header = self.flag(keys, "zone_in_header");
        spec.decimal = self.word(
            keys,
            "decimal",
            &[(".", DecimalSign::Point), (",", DecimalSign::Comma)],
        );
        spec.dates = self.word(
            keys,
            "dates",
            &[
                ("iso", DateStyle::Iso),
                ("day-first", DateStyle::Order(DateOrder::DayFirst)),
                ("month-first", DateStyle::Order(DateOrder::MonthFirst)),
            ],
        );
        spec.zone = self.text_at(keys, "timezone");
        let money = [
            ("units", MoneyStyle::Units),
            ("cents", MoneyStyle::Cents),
            ("cents-unless-decimal", MoneyStyle::CentsUnlessDecimal),
        ];
        spec.money = self.word(keys, "money", &money).unwrap_or_default();
        spec.true_words = self.texts(keys, "true");
        spec.false_words = self.texts(keys, "false");
        spec.masks = self.texts(keys, "masks");
        spec.metadata_blanks = self.texts(keys, "metadata_blanks");
        spec.tell_unknown = self.flag(keys, "tell_unknown");
        spec.blanks = self.texts(keys, "blanks");
        spec.trim = self.flag(keys, "trim");
        spec.metadata_dot = self.text_at(keys, "metadata_dot");
        let metadata = [
            ("text", MetadataAs::Text),
            ("lists", MetadataAs::Lists),
            ("lists-and-booleans", MetadataAs::ListsAndBooleans),
        ];
        spec.metadata_as = self
            .word(keys, "metadata_as", &metadata)
            .unwrap_or_default();
        spec.metadata_lists = self.pairs(keys, "metadata_lists");
    }

    fn rows(&mut self, keys: &Keys<'_, '_>, spec: &mut Spec) {
        spec.skip = self.whens(keys, "skip");
        spec.ignore = self.texts(keys, "ignore");
        spec.secret = self.texts(keys, "secret");
        spec.notes = self.texts(keys, "notes");
        let header = self.texts(keys, "header_if_none");
        spec.header_if_none = (!header.is_empty()).then_some(header);
        spec.special = self.word(
            keys,
            "special",
            &[
                ("woo-parents", Special::WooParents),
                ("magento-variations", Special::MagentoVariations),
            ],
        );
        spec.families = self.pairs(keys, "families");
        if let Some(table) = keys.get("group").and_then(|v| self.table(v, "group")) {
            let group = self.keys(table, &[GROUP]);
            spec.group = Some(Grouping {
                by: self.texts(&group, "by"),
                fill_down: self.flag(&group, "fill_down"),
                adjacent: self.flag(&group, "adjacent"),
                one_reject: self.flag(&group, "one_reject"),
                begin: self.whens(&group, "begin"),
            });
        }
    }

    /// A table of texts.
    fn pairs(&mut self, keys: &Keys<'_, '_>, name: &str) -> Vec<(String, String)> {
        let Some(table) = keys.get(name).and_then(|value| self.table(value, name)) else {
            return Vec::new();
        };
        let mut pairs = Vec::new();
        for (key, value) in in_order(table) {
            if let Some(text) = self.text_of(value, key.get_ref()) {
                pairs.push((key.get_ref().clone().into_owned(), text));
            }
        }
        pairs
    }

    fn signature(&mut self, table: &Table<'_>) -> Signature {
        let keys = self.keys(table, &[RECOGNISE]);
        Signature {
            all: self.lists(&keys, "all"),
            any: self.texts(&keys, "any"),
            none: self.lists(&keys, "none"),
            no_dotted: self.flag(&keys, "no_dotted"),
            starts: self.text_at(&keys, "starts"),
            first: self.text_at(&keys, "first"),
            columns_max: self.number(&keys, "columns_max"),
            zones: self.flag(&keys, "zones"),
            key_cell: self.text_at(&keys, "key_cell"),
        }
    }

    /// Either `[[record]]`s, or one record at the top: `kind`, `key`, `[fields]`.
    fn records(&mut self, keys: &Keys<'_, '_>, spec: &mut Spec, table: &Table<'_>) {
        let grouped = spec.group.is_some();
        match keys.get("record") {
            Some(records) => {
                for value in self.list(records, "record") {
                    if let Some(table) = self.table(value, "record") {
                        let keys = self.keys(table, &[RECORD]);
                        let at = value.span().start;
                        spec.records.extend(self.record(&keys, table, grouped, at));
                    }
                }
            }
            None => spec.records.extend(self.record(keys, table, grouped, 0)),
        }
    }

    fn record(
        &mut self,
        keys: &Keys<'_, '_>,
        table: &Table<'_>,
        grouped: bool,
        at: usize,
    ) -> Option<Record> {
        let kinds: Vec<(&str, Kind)> = Kind::ALL.map(|kind| (kind.name(), kind)).to_vec();
        if keys.get("kind").is_none() {
            self.error(
                at,
                "`kind` is missing: customers, products, skus or orders".to_owned(),
            );
        }
        let kind = self.word(keys, "kind", &kinds)?;
        let per_row = self
            .word(keys, "per", &[("row", true), ("group", false)])
            .unwrap_or(!grouped);
        let key = match keys.get("key") {
            Some(value) => self.key(value),
            None => {
                self.error(
                    at,
                    "`key` is missing: the column that becomes `source_id`".to_owned(),
                );
                Key::default()
            }
        };
        let _ = table;
        let fields = match keys.get("fields").and_then(|v| self.table(v, "fields")) {
            Some(fields) => self.fields(fields, Some(kind)),
            None => Vec::new(),
        };
        let items = keys
            .get("items")
            .and_then(|v| self.table(v, "items"))
            .map(|table| self.items(table));
        Some(Record {
            kind,
            when: self.whens(keys, "when"),
            per_row,
            key,
            fields,
            items,
        })
    }

    fn key(&mut self, value: &Value<'_>) -> Key {
        let DeValue::Table(table) = value.get_ref() else {
            return Key {
                from: self.origin(value, "key"),
                ..Key::default()
            };
        };
        let keys = self.keys(table, &[FROM, KEY]);
        Key {
            from: self.origin_table(table, value.span().start),
            lower: self.flag(&keys, "lower"),
            shapes: self.texts(&keys, "shapes"),
            missing: self.texts(&keys, "missing"),
            strip: self.texts(&keys, "strip"),
            salesforce: self.flag(&keys, "salesforce"),
            last: self.flag(&keys, "last"),
            no_scientific: self.flag(&keys, "no_scientific"),
        }
    }

    fn fields(&mut self, table: &Table<'_>, kind: Option<Kind>) -> Vec<(String, Field)> {
        // All presets stay in memory as long as the daemon runs, and a field is large.
        let mut fields = Vec::with_capacity(table.len());
        for (target, value) in in_order(table) {
            let name: &str = target.get_ref();
            let known = match kind {
                Some(kind) => is_target(kind, name),
                None => is_item_target(name),
            };
            if !known {
                let all: Vec<&str> = match kind {
                    Some(kind) => kind
                        .fields()
                        .iter()
                        .map(|f| f.name)
                        .chain(["deleted"])
                        .collect(),
                    None => ITEM_TARGETS.to_vec(),
                };
                let hint =
                    nearest(name, &all).map_or(String::new(), |n| format!("; did you mean `{n}`?"));
                let what = kind.map_or("an item".to_owned(), |kind| kind.to_string());
                self.error(
                    target.span().start,
                    format!("`{name}` is no field of {what}{hint}"),
                );
            }
            let field = self.field(value, name);
            fields.push((name.to_owned(), field));
        }
        fields
    }

    fn field(&mut self, value: &Value<'_>, name: &str) -> Field {
        let DeValue::Table(table) = value.get_ref() else {
            return Field {
                from: self.origin(value, name),
                ..Field::default()
            };
        };
        let keys = self.keys(table, &[FROM, FIELD]);
        let types = [
            ("text", Type::Text),
            ("money", Type::Money),
            ("integer", Type::Integer),
            ("number", Type::Number),
            ("boolean", Type::Boolean),
            ("date", Type::Date),
            ("datetime", Type::Datetime),
            ("list", Type::List),
            ("list-or-text", Type::ListOrText),
            ("loose", Type::Loose),
            ("json", Type::Json),
        ];
        let zone = self.texts(&keys, "zone");
        Field {
            from: self.origin_table(table, value.span().start),
            ty: self.word(&keys, "type", &types),
            split: self.text_at(&keys, "split"),
            take_first: self.flag(&keys, "take_first"),
            path: self.text_at(&keys, "path"),
            strip: self.texts(&keys, "strip"),
            words: self.words(&keys),
            otherwise: self.text_at(&keys, "otherwise"),
            lines: self.word(
                &keys,
                "lines",
                &[("first", Lines::First), ("rest", Lines::Rest)],
            ),
            unix: self.flag(&keys, "unix"),
            zone: (!zone.is_empty()).then_some(zone),
            only: self.texts(&keys, "only"),
            except: self.texts(&keys, "except"),
            carry: self.flag(&keys, "carry"),
            last: self.flag(&keys, "last"),
            sum: self.flag(&keys, "sum"),
            positive: self.flag(&keys, "positive"),
            plus: keys.get("plus").map(|value| self.origin(value, "plus")),
            zero_is_blank: self.flag(&keys, "zero_is_blank"),
            names: keys.get("names").map(|value| self.origin(value, "names")),
            default_values: self.texts(&keys, "default_values"),
            packed: self.flag(&keys, "packed"),
            code: self.flag(&keys, "code"),
            blanks: self.texts(&keys, "blanks"),
            lower: self.flag(&keys, "lower"),
            salesforce: self.flag(&keys, "salesforce"),
            lenient: self.flag(&keys, "lenient"),
            list_if: None,
        }
    }

    /// `words = { "PAID" = ["processing", "wc-processing"] }`: what it means ← what cells say.
    fn words(&mut self, keys: &Keys<'_, '_>) -> Vec<(String, String)> {
        let Some(table) = keys.get("words").and_then(|v| self.table(v, "words")) else {
            return Vec::new();
        };
        let mut words = Vec::new();
        for (meaning, value) in in_order(table) {
            for word in self.texts_of(value, meaning.get_ref()) {
                words.push((word, meaning.get_ref().clone().into_owned()));
            }
        }
        words
    }

    /// A column's name, a list of its spellings, or a table.
    fn origin(&mut self, value: &Value<'_>, name: &str) -> Origin {
        match value.get_ref() {
            DeValue::String(text) => column(text),
            DeValue::Array(_) => Origin::Column(self.texts_of(value, name)),
            DeValue::Table(table) => {
                self.keys(table, &[FROM]);
                self.origin_table(table, value.span().start)
            }
            _ => {
                self.error(
                    value.span().start,
                    format!(
                        "`{name}` has to be a column's name, a list of its spellings, or a table"
                    ),
                );
                Origin::Nothing
            }
        }
    }

    fn origin_table(&mut self, table: &Table<'_>, at: usize) -> Origin {
        let keys = Keys { table };
        let mut from = if let Some(value) = keys.get("column") {
            self.origin(value, "column")
        } else if let Some(value) = keys.get("first") {
            Origin::First(self.parts(value, "first"))
        } else if let Some(value) = keys.get("join") {
            let between = self
                .text_at(&keys, "with")
                .unwrap_or_else(|| " ".to_owned());
            Origin::Join(self.parts(value, "join"), between)
        } else if let Some(value) = self.text_at(&keys, "value") {
            Origin::Value(value)
        } else if let Some(value) = self.text_at(&keys, "numbered") {
            Origin::Numbered(value)
        } else if let Some(value) = keys.get("cases") {
            let cases = self
                .list(value, "cases")
                .into_iter()
                .filter_map(|case| self.case(case))
                .collect();
            Origin::Cases(cases, self.text_at(&keys, "else"))
        } else {
            self.error(
                at,
                "where it comes from is missing: `column`, `first`, `join`, `cases`, `numbered` or `value`"
                    .to_owned(),
            );
            Origin::Nothing
        };
        if let Some(path) = self.text_at(&keys, "json") {
            from = Origin::Path(Box::new(from), path);
        }
        if keys.get("when").is_some() {
            from = Origin::Only(Box::new(from), self.whens(&keys, "when"));
        }
        if let Some(value) = keys.get("between") {
            let ends = match value.get_ref() {
                DeValue::Array(items) if items.len() == 2 => items
                    .iter()
                    .map(|item| self.texts_of(item, "between"))
                    .collect::<Vec<Names>>(),
                _ => Vec::new(),
            };
            match <[Names; 2]>::try_from(ends) {
                Ok([begin, end]) => from = Origin::Between(Box::new(from), begin, end),
                Err(_) => self.error(
                    value.span().start,
                    "`between` has to be a list of two columns: first day and last day".to_owned(),
                ),
            }
        }
        from
    }

    fn parts(&mut self, value: &Value<'_>, name: &str) -> Vec<Origin> {
        match value.get_ref() {
            DeValue::Array(items) => items.iter().map(|item| self.origin(item, name)).collect(),
            _ => vec![self.origin(value, name)],
        }
    }

    fn case(&mut self, value: &Value<'_>) -> Option<Case> {
        let table = self.table(value, "cases")?;
        let keys = self.keys(table, &[CASE]);
        let when = keys
            .get("when")
            .and_then(|value| self.table(value, "when"))
            .map(|table| self.when(table))
            .unwrap_or_default();
        Some(Case {
            when,
            then: self.text_at(&keys, "then").unwrap_or_default(),
        })
    }

    fn whens(&mut self, keys: &Keys<'_, '_>, name: &str) -> Vec<When> {
        let Some(value) = keys.get(name) else {
            return Vec::new();
        };
        self.list(value, name)
            .into_iter()
            .filter_map(|item| {
                let table = self.table(item, name)?;
                Some(self.when(table))
            })
            .collect()
    }

    /// `{ "Column" = "word", "A|B" = ["x", "y"] }`; `|` stands between spellings of one column.
    fn when(&mut self, table: &Table<'_>) -> When {
        When {
            all: in_order(table)
                .into_iter()
                .map(|(column, value)| {
                    let names = column
                        .get_ref()
                        .split('|')
                        .map(|n| n.trim().to_owned())
                        .collect();
                    (names, self.texts_of(value, column.get_ref()))
                })
                .collect(),
        }
    }

    fn items(&mut self, table: &Table<'_>) -> Items {
        let keys = self.keys(table, &[ITEMS]);
        let fields = match keys.get("fields").and_then(|v| self.table(v, "fields")) {
            Some(fields) => self.fields(fields, None),
            None => Vec::new(),
        };
        let refund = keys
            .get("refund")
            .and_then(|v| self.table(v, "refund"))
            .map(|table| {
                let refund = self.keys(table, &[REFUND]);
                Refund {
                    when: self.whens(&refund, "when"),
                    amount: refund
                        .get("amount")
                        .map_or(Origin::Nothing, |value| self.origin(value, "amount")),
                }
            });
        Items {
            cells: self.item_cells(&keys),
            when: self.whens(&keys, "when"),
            fields,
            sum: self.flag(&keys, "sum"),
            discount_from_net: self.flag(&keys, "discount_from_net"),
            refund,
            void: self.whens(&keys, "void"),
        }
    }

    fn item_cells(&mut self, keys: &Keys<'_, '_>) -> Vec<ItemCells> {
        let Some(value) = keys.get("cells") else {
            return Vec::new();
        };
        self.list(value, "cells")
            .into_iter()
            .filter_map(|value| {
                let table = self.table(value, "cells")?;
                let cells = self.keys(table, &[CELLS]);
                if let Some(pattern) = self.text_at(&cells, "numbered") {
                    return Some(ItemCells::Numbered(pattern));
                }
                Some(ItemCells::Packed {
                    columns: self.texts(&cells, "columns"),
                    between: self.text_at(&cells, "between"),
                    fields: self
                        .text_at(&cells, "fields")
                        .unwrap_or_else(|| "|".to_owned()),
                    pair: self
                        .text_at(&cells, "pair")
                        .unwrap_or_else(|| ":".to_owned()),
                })
            })
            .collect()
    }
}

fn column(text: &str) -> Origin {
    Origin::Column(vec![text.to_owned()])
}

/// As the file has them: a table's own order is the alphabet's.
fn in_order<'t, 'i>(table: &'t Table<'i>) -> Vec<(&'t Spanned<Cow<'i, str>>, &'t Value<'i>)> {
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    entries
}

const ITEM_TARGETS: &[&str] = &[
    "source_id",
    "kind",
    "quantity",
    "price",
    "amount",
    "discount_amount",
    "name",
    "code",
    "net",
    "discount_percent",
];

fn is_item_target(name: &str) -> bool {
    ITEM_TARGETS.contains(&name)
        || name
            .strip_prefix("metadata.")
            .is_some_and(|key| !key.is_empty())
}

fn is_target(kind: Kind, name: &str) -> bool {
    name == "deleted" || kind.field(name).is_some()
}

/// The known key that is likest, if any is like enough.
fn nearest<'n>(name: &str, known: &[&'n str]) -> Option<&'n str> {
    known
        .iter()
        .map(|known| (strsim::jaro_winkler(name, known), *known))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_problems_are_named_with_their_places() {
        let text = "kind = \"customers\"\nkei = \"x\"\n\n[fields]\nemial = \"E-Mail\"\nphone = 3\n";
        let errors = read("my.toml", text).unwrap_err();
        assert_eq!(
            errors,
            [
                "my.toml:2:1: unknown key `kei`; did you mean `key`?",
                "my.toml:1:1: `key` is missing: the column that becomes `source_id`",
                "my.toml:5:1: `emial` is no field of customers; did you mean `email`?",
                "my.toml:6:9: `phone` has to be a column's name, a list of its spellings, or a table",
            ]
        );
    }

    #[test]
    fn a_broken_file_is_an_error_with_its_place() {
        let errors = read("my.toml", "kind = \"customers\nkey = 1\n").unwrap_err();
        assert!(errors[0].starts_with("my.toml:1:"), "{errors:?}");
    }
}
