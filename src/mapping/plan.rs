//! What `compile` makes of header, preset and settings: where each field's text comes from and how
//! it is read. Only columns' numbers are left of the header.

use std::borrow::Cow;
use std::sync::Arc;

use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::notation::date::{self, DateRule};
use super::notation::number::MoneyRule;
use super::notation::{Wrong, boolean, list, text};
use crate::config::DecimalSign;
use crate::kind::Kind;
use crate::preset::spec::{Apostrophe, Footer, Lines, Special};
use crate::record::Shape;

/// The cells of a row, by the header's columns.
pub(super) trait Cells {
    /// Empty beyond the row's end.
    fn cell(&self, column: usize) -> &str;
}

impl Cells for Vec<String> {
    fn cell(&self, column: usize) -> &str {
        self.get(column).map_or("", String::as_str)
    }
}

#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub records: Vec<RecordPlan>,
    pub group: Option<Arc<GroupPlan>>,
    pub skip: Vec<Cond>,
    pub footer: Footer,
    /// Columns of which one has to say something, or a sum's word makes the row a footer.
    pub telling: Vec<usize>,
    pub common: Common,
    pub special: Option<Arc<SpecialPlan>>,
    /// What a field's blank cell does.
    pub clears: bool,
    /// Doubled lines and rows of nothing are skipped, not rejected (R3).
    pub skips_empty: bool,
    /// INTERFACE.md to the letter: what differs within a group is a conflict.
    pub strict: bool,
    /// A SKU stands under one product only (R14).
    pub one_parent: bool,
    /// Some price counts only between two days.
    pub uses_today: bool,
    /// Columns without a header: nobody knows what their cells are.
    pub nameless: Vec<usize>,
    /// Columns of passwords and the like that nothing maps: they stand in no rejects file either.
    pub secret: Vec<usize>,
}

/// Where `special` finds what it needs.
#[derive(Clone, Debug)]
pub(super) struct SpecialPlan {
    pub special: Special,
    pub key: usize,
    /// A product's code (Woo), its packed variations (Magento).
    pub column: Option<usize>,
    /// Rows that are products.
    pub parents: Vec<Cond>,
    /// Where a SKU names its product.
    pub parent: Option<usize>,
    pub header: Option<String>,
    pub product_prefix: String,
}

/// What holds for all cells of a table.
#[derive(Clone, Debug)]
pub(super) struct Common {
    pub blanks: Vec<String>,
    pub masks: Vec<String>,
    pub apostrophe: Apostrophe,
    pub today: Date,
}

#[derive(Clone, Debug)]
pub(super) struct GroupPlan {
    pub by: Vec<usize>,
    pub fill_down: bool,
    pub adjacent: bool,
    pub one_reject: bool,
    /// Rows that begin a group; all others belong to the one before.
    pub begin: Vec<Cond>,
}

#[derive(Clone, Debug)]
pub(super) struct RecordPlan {
    pub kind: Kind,
    pub when: Vec<Cond>,
    pub per_row: bool,
    pub key: KeyPlan,
    pub deleted: Option<FieldPlan>,
    /// In the order of their names.
    pub fields: Vec<FieldPlan>,
    /// Fields whose names the cells bring (`attributes.*`).
    pub spreads: Vec<Spread>,
    /// Of an order: what it says of its customer, and how that one is named.
    pub customer: Option<CustomerPlan>,
    pub items: Option<ItemsPlan>,
    /// Of `fields`.
    pub shape: Arc<Shape>,
}

impl RecordPlan {
    /// Its fields are the same in every row, and nothing else is made of it.
    pub fn is_flat(&self) -> bool {
        self.spreads.is_empty() && self.customer.is_none() && self.items.is_none()
    }

    /// Reads the key, whether the record is deleted, and these fields; and whatever else the cells name.
    pub fn keep_only(&mut self, wanted: &[&str]) {
        self.fields
            .retain(|field| wanted.contains(&field.name.as_str()));
        self.customer = None;
        self.items = None;
        let names = self.fields.iter().map(|field| field.name.clone());
        self.shape = Arc::new(Shape::new(names.collect()));
    }

    pub fn fields_mut(&mut self) -> impl Iterator<Item = &mut FieldPlan> {
        let customer = self.customer.iter_mut().flat_map(|c| {
            c.id.iter_mut()
                .chain(c.email.iter_mut())
                .chain(c.fields.iter_mut())
        });
        let items = self.items.iter_mut().flat_map(|i| i.fields.iter_mut());
        let deleted = self.deleted.iter_mut();
        self.fields
            .iter_mut()
            .chain(customer)
            .chain(items)
            .chain(deleted)
    }
}

#[derive(Clone, Debug)]
pub(super) struct KeyPlan {
    pub source: Source,
    /// For rejects.
    pub header: Option<String>,
    pub prefix: String,
    pub lower: bool,
    pub shapes: Vec<String>,
    pub missing: Vec<String>,
    pub strip: Vec<String>,
    pub salesforce: bool,
    pub last: bool,
    pub no_scientific: bool,
}

#[derive(Clone, Debug)]
pub(super) struct FieldPlan {
    /// In the document.
    pub name: String,
    /// The file's own header, for rejects.
    pub header: Option<String>,
    /// Those of all columns that it looks at, where they are several.
    pub headers: Vec<(usize, String)>,
    pub source: Source,
    pub prep: Option<Box<Prep>>,
    pub read: Read,
    /// Of `Reading::doubts`, where its notation is decided by the whole table.
    pub doubt: Option<usize>,
    /// A blank cell can be told to the API (kind::Clearing).
    pub clearable: bool,
    /// A record without it is none: a SKU's product.
    pub required: bool,
    pub lenient: bool,
    /// Its blanks are words of their own (`False` of a boolean).
    pub raw: bool,
    pub over_group: OverGroup,
    /// A row that has none takes that of its group's first row that has one.
    pub carry: bool,
    pub plus: Option<Source>,
    pub positive: bool,
    pub zero_is_blank: bool,
}

/// How a field of a group's record is found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum OverGroup {
    /// The first row that has one.
    #[default]
    First,
    Last,
    Sum,
}

/// What is done to a text before it is read.
#[derive(Clone, Debug, Default)]
pub(super) struct Prep {
    pub trim: bool,
    pub blanks: Vec<String>,
    pub strip: Vec<String>,
    pub path: Option<String>,
    pub take_first: Option<String>,
    pub lines: Option<Lines>,
    pub only: Vec<String>,
    pub except: Vec<String>,
    pub words: Vec<(String, String)>,
    pub otherwise: Option<String>,
    pub code: bool,
    pub lower: bool,
    pub salesforce: bool,
    pub apostrophe: bool,
    pub masks: bool,
}

#[derive(Clone, Debug)]
pub(super) enum Read {
    Text,
    /// A reference to another record: a key, with its prefix.
    Reference(String),
    Money(MoneyRule),
    Integer(Option<DecimalSign>),
    Number(Option<DecimalSign>),
    Boolean(Arc<boolean::Words>),
    Date(DateRule),
    Datetime(DateRule, TimeZone, Option<usize>),
    Status,
    List(String, Box<Read>),
    ListOrText,
    /// As that; and `true` and `false` are booleans.
    Loose,
    /// A list if any cell of the column holds the sign, which is settled by the look-over.
    ListIf(String, bool),
    /// JSON where the cell is JSON, else text.
    Json,
    /// JSON, and nothing else: the project knows the field as an object.
    Object,
    /// JSON text of a constant.
    Fixed(String),
}

/// Fields whose names stand in cells.
#[derive(Clone, Debug)]
pub(super) struct Spread {
    /// `attributes.` or `metadata.`
    pub prefix: String,
    /// The file's own header, for rejects.
    pub header: Option<String>,
    pub source: SpreadSource,
}

#[derive(Clone, Debug)]
pub(super) enum SpreadSource {
    /// The names of options that have a value, as one list.
    Names {
        names: Vec<usize>,
        values: Vec<usize>,
        defaults: Vec<String>,
    },
    /// A JSON object, at a path; keys that fields have taken are left out.
    Json {
        source: Source,
        path: Option<String>,
        taken: Vec<String>,
    },
    /// Options' names and their values.
    Options {
        names: Vec<usize>,
        values: Vec<usize>,
        defaults: Vec<String>,
    },
    /// `Color=Red,Size=M`
    Packed(Source),
}

#[derive(Clone, Debug)]
pub(super) struct CustomerPlan {
    pub id: Option<FieldPlan>,
    pub email: Option<FieldPlan>,
    /// Fields of a customers' document, `email` among them.
    pub fields: Vec<FieldPlan>,
    pub prefix: String,
    /// Ids that mean a guest.
    pub key_email: bool,
    pub key_id: bool,
}

#[derive(Clone, Debug)]
pub(super) struct ItemsPlan {
    pub cells: Vec<ItemCellsPlan>,
    pub when: Vec<Cond>,
    pub fields: Vec<FieldPlan>,
    pub sum: bool,
    pub discount_from_net: bool,
    pub refund: Option<RefundPlan>,
    pub void: Vec<Cond>,
    pub product_prefix: String,
}

/// What rows give back.
#[derive(Clone, Debug)]
pub(super) struct RefundPlan {
    pub when: Vec<Cond>,
    pub amount: Source,
    /// For rejects.
    pub header: Option<String>,
    pub rule: MoneyRule,
    pub doubt: Option<usize>,
}

#[derive(Clone, Debug)]
pub(super) enum ItemCellsPlan {
    Rows,
    Packed {
        columns: Vec<usize>,
        /// Of these columns, for rejects.
        headers: Vec<String>,
        between: Option<String>,
        fields: String,
        pair: String,
        /// What the fields' sources count in.
        names: Vec<String>,
    },
    /// For each item the columns with their headers, in the order of the names that the fields'
    /// sources count in.
    Numbered {
        items: Vec<Vec<Option<(usize, String)>>>,
        names: Vec<String>,
    },
}

/// Where a text comes from.
#[derive(Clone, Debug)]
pub(super) enum Source {
    Nothing,
    Cell(usize),
    /// Columns of one name: equal cells, or one blank, are one.
    Same(Vec<usize>),
    First(Vec<Source>),
    Join(Vec<Source>, String),
    Value(String),
    Cases(Vec<(Cond, String)>, Option<String>),
    Only(Box<Source>, Vec<Cond>),
    Between(Box<Source>, Option<DayPlan>, Option<DayPlan>),
    /// In a JSON cell.
    Path(Box<Source>, String),
}

/// Why the cells of a row give no text.
#[derive(Debug)]
pub(super) enum Unclear {
    /// Two columns of one name say different things.
    Differ,
    /// A cell of JSON that is none.
    NoJson,
    /// One of the days between which it counts.
    Day(Wrong),
}

/// A day that decides whether a cell counts.
#[derive(Clone, Debug)]
pub(super) struct DayPlan {
    pub column: usize,
    /// For rejects.
    pub header: String,
    pub rule: DateRule,
    /// Of `Reading::doubts`.
    pub doubt: Option<usize>,
}

impl DayPlan {
    /// `None`: the cell is blank.
    fn day<C: Cells + ?Sized>(&self, row: &C, common: &Common) -> Result<Option<Date>, Unclear> {
        let cell = common.cell(row, self.column, false);
        if text::is_blank(cell) {
            return Ok(None);
        }
        date::day(cell, &self.rule).map_err(|wrong| {
            let reason = format!(
                "`{}`, which says when this counts: {}",
                self.header, wrong.reason
            );
            Unclear::Day(Wrong { reason, ..wrong }.at(self.column))
        })
    }
}

impl Source {
    /// Blank where nothing is said.
    pub fn text<'a, C: Cells + ?Sized>(
        &'a self,
        row: &'a C,
        common: &Common,
        raw: bool,
    ) -> Result<Cow<'a, str>, Unclear> {
        Ok(match self {
            Source::Nothing => Cow::Borrowed(""),
            Source::Cell(column) => Cow::Borrowed(common.cell(row, *column, raw)),
            Source::Same(columns) => Cow::Borrowed(same(row, columns, common, raw)?),
            Source::First(sources) => {
                for source in sources {
                    let text = source.text(row, common, raw)?;
                    if !text::is_blank(&text) && !common.is_mask(&text) {
                        return Ok(text);
                    }
                }
                Cow::Borrowed("")
            }
            Source::Join(sources, between) => {
                let mut out = String::new();
                for source in sources {
                    let text = source.text(row, common, raw)?;
                    let text = text::without_apostrophe(text.trim(), common.apostrophe);
                    if text::is_blank(text) || common.is_mask(text) {
                        continue;
                    }
                    if !out.is_empty() {
                        out.push_str(between);
                    }
                    out.push_str(text);
                }
                Cow::Owned(out)
            }
            Source::Value(value) => Cow::Borrowed(value),
            Source::Cases(cases, otherwise) => Cow::Borrowed(
                cases
                    .iter()
                    .find(|(cond, _)| cond.holds(row))
                    .map(|(_, then)| then)
                    .or(otherwise.as_ref())
                    .map_or("", String::as_str),
            ),
            Source::Only(source, conds) => {
                if any_holds(conds, row) {
                    source.text(row, common, raw)?
                } else {
                    Cow::Borrowed("")
                }
            }
            Source::Path(source, path) => {
                let cell = source.text(row, common, raw)?;
                if text::is_blank(&cell) || common.is_mask(&cell) {
                    return Ok(Cow::Borrowed(""));
                }
                let value = list::json(&cell).ok_or(Unclear::NoJson)?;
                Cow::Owned(list::text_at(&value, path))
            }
            Source::Between(source, from, to) => {
                let day = |plan: &Option<DayPlan>| match plan {
                    Some(plan) => plan.day(row, common),
                    None => Ok(None),
                };
                let text = source.text(row, common, raw)?;
                if text::is_blank(&text) {
                    return Ok(text);
                }
                let begun = day(from)?.is_none_or(|from| from <= common.today);
                let over = day(to)?.is_some_and(|to| to < common.today);
                if begun && !over {
                    text
                } else {
                    Cow::Borrowed("")
                }
            }
        })
    }

    /// The column that its text comes from; of several joined the first.
    pub fn told_by<C: Cells + ?Sized>(&self, row: &C, common: &Common) -> Option<usize> {
        let tells = |source: &Source| {
            let text = source.text(row, common, false);
            // What cannot be read is what is asked for.
            text.map_or(true, |text| {
                !text::is_blank(&text) && !common.is_mask(&text)
            })
        };
        match self {
            Source::Nothing | Source::Value(_) | Source::Cases(..) => None,
            Source::Cell(column) => Some(*column),
            Source::Same(columns) => {
                let filled = |column: &&usize| !text::is_blank(common.cell(row, **column, true));
                columns.iter().find(filled).or(columns.first()).copied()
            }
            Source::First(sources) | Source::Join(sources, _) => {
                let source = sources.iter().find(|source| tells(source));
                source.or(sources.first())?.told_by(row, common)
            }
            Source::Only(source, _) | Source::Between(source, ..) | Source::Path(source, _) => {
                source.told_by(row, common)
            }
        }
    }

    /// The columns of the days that it hangs on.
    pub fn day_columns(&self) -> Vec<usize> {
        match self {
            Source::Between(source, from, to) => {
                let days = from.iter().chain(to).map(|day| day.column);
                source.day_columns().into_iter().chain(days).collect()
            }
            Source::First(sources) | Source::Join(sources, _) => {
                sources.iter().flat_map(Source::day_columns).collect()
            }
            Source::Only(source, _) | Source::Path(source, _) => source.day_columns(),
            _ => Vec::new(),
        }
    }

    /// The days that it hangs on.
    pub fn days_mut(&mut self) -> Vec<&mut DayPlan> {
        match self {
            Source::Between(source, from, to) => {
                let mut days = source.days_mut();
                days.extend(from.iter_mut().chain(to.iter_mut()));
                days
            }
            Source::First(sources) | Source::Join(sources, _) => {
                sources.iter_mut().flat_map(Source::days_mut).collect()
            }
            Source::Only(source, _) | Source::Path(source, _) => source.days_mut(),
            _ => Vec::new(),
        }
    }

    /// All columns that it looks at for its text.
    pub fn columns(&self) -> Vec<usize> {
        match self {
            Source::Nothing | Source::Value(_) | Source::Cases(..) => Vec::new(),
            Source::Cell(column) => vec![*column],
            Source::Same(columns) => columns.clone(),
            Source::First(sources) | Source::Join(sources, _) => {
                sources.iter().flat_map(Source::columns).collect()
            }
            Source::Only(source, _) | Source::Between(source, ..) | Source::Path(source, _) => {
                source.columns()
            }
        }
    }

    /// The same, of several that could be taken the first alone.
    pub fn leading_columns(&self) -> Vec<usize> {
        match self {
            Source::First(sources) => sources.first().map_or(Vec::new(), Source::leading_columns),
            Source::Only(source, _) => source.leading_columns(),
            _ => self.columns(),
        }
    }

    pub fn uses_today(&self) -> bool {
        match self {
            Source::Between(..) => true,
            Source::First(sources) | Source::Join(sources, _) => {
                sources.iter().any(Source::uses_today)
            }
            Source::Only(source, _) | Source::Path(source, _) => source.uses_today(),
            _ => false,
        }
    }

    pub fn is_nothing(&self) -> bool {
        match self {
            Source::Nothing => true,
            Source::First(sources) | Source::Join(sources, _) => {
                sources.iter().all(Source::is_nothing)
            }
            Source::Only(source, _) | Source::Between(source, ..) | Source::Path(source, _) => {
                source.is_nothing()
            }
            _ => false,
        }
    }
}

fn same<'a, C: Cells + ?Sized>(
    row: &'a C,
    columns: &[usize],
    common: &Common,
    raw: bool,
) -> Result<&'a str, Unclear> {
    let mut found = "";
    for &column in columns {
        let text = common.cell(row, column, raw);
        if text::is_blank(text) {
            continue;
        }
        if text::is_blank(found) {
            found = text;
        } else if found != text {
            return Err(Unclear::Differ);
        }
    }
    Ok(found)
}

impl Common {
    /// A cell, or nothing if it is a word for nothing.
    fn cell<'a, C: Cells + ?Sized>(&self, row: &'a C, column: usize, raw: bool) -> &'a str {
        let text = row.cell(column);
        let is_word = || self.blanks.iter().any(|blank| blank == text.trim());
        if !raw && !self.blanks.is_empty() && is_word() {
            return "";
        }
        text
    }

    pub fn is_mask(&self, text: &str) -> bool {
        !self.masks.is_empty() && self.masks.iter().any(|mask| mask == text.trim())
    }
}

/// What has to hold of some columns, all of it.
#[derive(Clone, Debug)]
pub(super) struct Cond {
    pub all: Vec<(Option<usize>, Vec<Word>)>,
}

#[derive(Clone, Debug)]
pub(super) enum Word {
    Filled,
    Blank,
    Is(String),
    Not(String),
}

impl Cond {
    pub fn holds<C: Cells + ?Sized>(&self, row: &C) -> bool {
        self.all.iter().all(|(column, words)| {
            let cell = column.map_or("", |column| row.cell(column));
            let mut positive = words.iter().filter(|word| !word.is_not()).peekable();
            // `["*", "!a", "!b"]` is anything but blank, a and b.
            words
                .iter()
                .filter(|word| word.is_not())
                .all(|word| word.fits(cell))
                && (positive.peek().is_none() || positive.any(|word| word.fits(cell)))
        })
    }
}

/// No condition at all holds always.
pub(super) fn any_holds<C: Cells + ?Sized>(conds: &[Cond], row: &C) -> bool {
    conds.is_empty() || conds.iter().any(|cond| cond.holds(row))
}

impl Word {
    pub fn new(word: &str) -> Word {
        match word {
            "*" => Word::Filled,
            "" => Word::Blank,
            _ => match word.strip_prefix('!') {
                Some(rest) => Word::Not(rest.to_lowercase()),
                None => Word::Is(word.to_lowercase()),
            },
        }
    }

    fn is_not(&self) -> bool {
        matches!(self, Word::Not(_))
    }

    fn fits(&self, cell: &str) -> bool {
        match self {
            Word::Filled => !text::is_blank(cell),
            Word::Blank => text::is_blank(cell),
            Word::Is(pattern) => glob(&cell.trim().to_lowercase(), pattern),
            Word::Not(pattern) => !glob(&cell.trim().to_lowercase(), pattern),
        }
    }
}

/// `*` stands for any text.
fn glob(text: &str, pattern: &str) -> bool {
    let Some((head, tail)) = pattern.split_once('*') else {
        return text == pattern;
    };
    let Some(mut rest) = text.strip_prefix(head) else {
        return false;
    };
    let mut parts: Vec<&str> = tail.split('*').collect();
    let last = parts.pop().unwrap_or("");
    for part in parts {
        let Some(at) = rest.find(part) else {
            return false;
        };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text() {
        for (text, pattern, expected) in [
            ("simple, virtual", "simple*", true),
            ("variation, virtual", "*variation*", true),
            ("variable", "*variation*", false),
            ("", "*x", false),
            ("paid", "paid", true),
        ] {
            assert_eq!(glob(text, pattern), expected, "{text} {pattern}");
        }
    }
}
