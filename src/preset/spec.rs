//! What a preset says, as data: signature, rows, records, fields, notation.
//!
//! `language` reads these from TOML, `plain` writes those of the plain format, and `mapping`
//! compiles them against a header. Nothing here knows a single file.

use crate::config::{DateOrder, DecimalSign};
use crate::kind::Kind;
use crate::preset::header::Likeness;

/// The spellings of one column, of which the first that stands in the header is taken.
pub type Names = Vec<String>;

/// Which rules hold where a preset says nothing itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Manner {
    /// INTERFACE.md alone: what is doubtful is rejected.
    #[default]
    Plain,
    /// FORMATS.md: as plain, and columns that nobody knows are metadata.
    Connector,
    /// FORMATS-SHOPS.md, R1 to R16.
    Shop,
}

/// A source format.
#[derive(Clone, Debug, Default)]
pub struct Spec {
    /// What it is, in words.
    pub title: String,
    pub manner: Manner,
    pub likeness: Likeness,
    /// What a column that nothing names becomes.
    pub unknown_are_metadata: bool,
    /// A column that becomes metadata by itself is told, with the nearest known name; the plain
    /// format always does.
    pub tell_unknown: bool,
    /// The export comes in parts: none of them is ever a full list.
    pub split: bool,
    pub signature: Signature,
    /// Header names carry the account's time zone in brackets.
    pub zone_in_header: bool,
    pub decimal: Option<DecimalSign>,
    pub dates: Option<DateStyle>,
    pub zone: Option<String>,
    pub money: MoneyStyle,
    /// A leading apostrophe that guards a cell is no part of it.
    pub apostrophe: Apostrophe,
    /// Beside `true 1 yes` and `false 0 no`.
    pub true_words: Vec<String>,
    pub false_words: Vec<String>,
    /// Cells that say nothing: they neither set nor clear a field.
    pub masks: Vec<String>,
    /// Cells that count as blank, in metadata alone.
    pub metadata_blanks: Vec<String>,
    /// Cells that count as blank wherever they are not a boolean.
    pub blanks: Vec<String>,
    /// White space around a value is no part of it.
    pub trim: bool,
    /// A dot in a header becomes this in a metadata key.
    pub metadata_dot: Option<String>,
    /// How cells of metadata that nothing types are read.
    pub metadata_as: MetadataAs,
    /// Header patterns whose columns are lists if any of their cells holds this sign.
    pub metadata_lists: Vec<(String, String)>,
    pub footer: Footer,
    /// Rows that are no records.
    pub skip: Vec<When>,
    /// Header patterns (one `*`) that are left out; a folder's `columns` can take them in.
    pub ignore: Vec<String>,
    /// Header patterns that hold secrets: left out even with `others = "metadata"`.
    pub secret: Vec<String>,
    /// Header pattern → target pattern: `user_attributes.*` → `metadata.*`.
    pub families: Vec<(String, String)>,
    pub group: Option<Grouping>,
    pub records: Vec<Record>,
    /// What the data cannot say and `mapping::special` does, by name.
    pub special: Option<Special>,
    /// The columns, where files may come without a header.
    pub header_if_none: Option<Vec<String>>,
    /// Said by `presets NAME`: quirks and limits.
    pub notes: Vec<String>,
}

/// What a header must have to be of this format.
#[derive(Clone, Debug, Default)]
pub struct Signature {
    /// All of these columns.
    pub all: Vec<Names>,
    /// And one of these, if any are named.
    pub any: Vec<String>,
    /// And none of these; of a list not all of them.
    pub none: Vec<Names>,
    /// And no column such as `address.city` or `metadata.x`, which mean the plain format.
    pub no_dotted: bool,
    /// And a header that begins so.
    pub starts: Option<String>,
    /// And this one as the first.
    pub first: Option<String>,
    /// And at most so many columns.
    pub columns_max: Option<usize>,
    /// And two headers with one and the same zone in brackets.
    pub zones: bool,
    /// Or cells of this shape in one column, where headers are in the account's language.
    pub key_cell: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DateStyle {
    /// `YYYY-MM-DD` and ISO 8601 alone.
    Iso,
    Order(DateOrder),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MoneyStyle {
    #[default]
    Units,
    Cents,
    /// Cents, but units for a column in which any cell has a decimal sign (Voucherify's exports).
    CentsUnlessDecimal,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MetadataAs {
    #[default]
    Text,
    /// JSON lists are lists.
    Lists,
    /// And `true` and `false` are booleans.
    ListsAndBooleans,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Apostrophe {
    #[default]
    Kept,
    /// Dropped before `= + - @` (FORMATS.md, rule 7).
    BeforeFormula,
    /// Dropped before those and digits (FORMATS-SHOPS.md, R11).
    BeforeDigit,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Footer {
    #[default]
    None,
    /// A sum's word in the first cell, key or name missing (FORMATS-SHOPS.md, R4).
    Sum,
    /// Origin the first blank line after which only lines of at most one cell follow (Salesforce).
    AfterBlankLine,
}

/// Several rows that are one record (or one family of records).
#[derive(Clone, Debug)]
pub struct Grouping {
    pub by: Names,
    /// A row without the key belongs to the one before it.
    pub fill_down: bool,
    /// Rows of a group that stand apart are rejected (the plain format).
    pub adjacent: bool,
    /// A group without a key is one reject, at its first row (mParticle).
    pub one_reject: bool,
    /// Rows that begin a group; all others belong to the one before (BigCommerce).
    pub begin: Vec<When>,
}

/// One kind of records that rows make.
#[derive(Clone, Debug)]
pub struct Record {
    pub kind: Kind,
    /// Rows (of a group: any row) that make one; empty: all.
    pub when: Vec<When>,
    /// One for each row, or one for a group.
    pub per_row: bool,
    pub key: Key,
    /// Target → how it is read. `deleted` is among them.
    pub fields: Vec<(String, Field)>,
    pub items: Option<Items>,
}

#[derive(Clone, Debug, Default)]
pub struct Key {
    pub from: Origin,
    pub lower: bool,
    /// Shapes of which a key must have one: `#` a digit, `@` a letter or digit, `?` any, `+` and
    /// `{n}` repeat what stands before.
    pub shapes: Vec<String>,
    /// Words that mean that there is no key.
    pub missing: Vec<String>,
    /// Taken off before.
    pub strip: Vec<String>,
    /// Salesforce's 15 characters are completed to 18.
    pub salesforce: bool,
    /// Of a group the last row that has one, not the first.
    pub last: bool,
    /// A text that a spreadsheet made of digits is no key (R12).
    pub no_scientific: bool,
}

/// Where a text comes from.
#[derive(Clone, Debug, Default)]
pub enum Origin {
    #[default]
    Nothing,
    Column(Names),
    /// The first that is not blank.
    First(Vec<Origin>),
    /// Those that are not blank, with this between them.
    Join(Vec<Origin>, String),
    Value(String),
    /// The first case that holds.
    Cases(Vec<Case>, Option<String>),
    /// Only in rows where this holds.
    Only(Box<Origin>, Vec<When>),
    /// Only if today lies between two days, of which either may be blank.
    Between(Box<Origin>, Names, Names),
    /// What stands at a path in a JSON cell: `address.city`, `user_id.0`.
    Path(Box<Origin>, String),
    /// Every column of a numbered name (`Option{n} Name`).
    Numbered(String),
}

#[derive(Clone, Debug)]
pub struct Case {
    pub when: When,
    pub then: String,
}

/// All of these columns hold one of these words: `*` is anything but blank, `` is blank, `!x` is
/// other than x; a `*` within stands for any text; case doesn't count.
#[derive(Clone, Debug, Default)]
pub struct When {
    pub all: Vec<(Names, Vec<String>)>,
}

#[derive(Clone, Debug, Default)]
pub struct Field {
    pub from: Origin,
    pub ty: Option<Type>,
    /// Of lists: what stands between (default `,`).
    pub split: Option<String>,
    /// Of a list only the first.
    pub take_first: bool,
    /// Into a JSON cell: `user_id.0`.
    pub path: Option<String>,
    /// Taken off the front.
    pub strip: Vec<String>,
    /// What a cell says → what it means; without regard to case.
    pub words: Vec<(String, String)>,
    /// What a cell means that is none of the words; absent: it is rejected (status) or kept.
    pub otherwise: Option<String>,
    pub lines: Option<Lines>,
    /// Unix seconds are a date, too.
    pub unix: bool,
    /// The column that holds the zone's name.
    pub zone: Option<Names>,
    /// Shapes that a cell must have, else it counts as blank.
    pub only: Vec<String>,
    /// Shapes of cells that count as blank here, since another field has them.
    pub except: Vec<String>,
    /// If the row has none: the first row of its group that has one.
    pub carry: bool,
    /// Of a group the last row that has one, not the first.
    pub last: bool,
    /// Of a group the sum over its rows.
    pub sum: bool,
    /// Without its sign.
    pub positive: bool,
    /// Added to it (money).
    pub plus: Option<Origin>,
    /// A zero counts as blank.
    pub zero_is_blank: bool,
    /// What these columns hold is the option's name, beside `from` as its value.
    pub names: Option<Origin>,
    /// Values of options that mean that there is none.
    pub default_values: Vec<String>,
    /// A cell of `Color=Red,Size=M`.
    pub packed: bool,
    /// Text whose digits matter: one that a spreadsheet rounded leaves the field untouched (R12).
    pub code: bool,
    /// Words that count as blank here.
    pub blanks: Vec<String>,
    pub lower: bool,
    /// Salesforce's 15 characters are completed to 18.
    pub salesforce: bool,
    /// A cell that cannot be read leaves the field untouched, with a notice, and rejects nothing.
    pub lenient: bool,
    /// A list if any cell of the column holds this sign (`Spec::metadata_lists`).
    pub list_if: Option<char>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lines {
    First,
    /// All but the first, joined by `, `.
    Rest,
}

/// How a cell is read, where that is not the field's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    Text,
    Money,
    Integer,
    /// A number in its own units, exact.
    Number,
    Boolean,
    Date,
    Datetime,
    List,
    /// A list where the cell is a JSON list, else text.
    ListOrText,
    /// As that; and `true` and `false` are booleans.
    Loose,
    /// JSON as it stands, where it is JSON, else text.
    Json,
}

/// How an order's items are found.
#[derive(Clone, Debug, Default)]
pub struct Items {
    /// All of these places; none named: `Rows`.
    pub cells: Vec<ItemCells>,
    /// Rows (or packed items) that are items; empty: those with any of the fields.
    pub when: Vec<When>,
    /// `source_id kind quantity price amount discount_amount name code net metadata.*`.
    pub fields: Vec<(String, Field)>,
    /// `amount` of the order is the sum of its items'.
    pub sum: bool,
    /// `discount_amount` of the order is what its items' `net` lacks of their amounts.
    pub discount_from_net: bool,
    /// Rows that give money back: no items; summed into `metadata.refunded`.
    pub refund: Option<Refund>,
    /// Rows that were taken back: dropped; an order of nothing else is cancelled.
    pub void: Vec<When>,
}

#[derive(Clone, Debug)]
pub struct Refund {
    pub when: Vec<When>,
    pub amount: Origin,
}

#[derive(Clone, Debug, Default)]
pub enum ItemCells {
    /// One row an item.
    #[default]
    Rows,
    /// `name:…|quantity:…` in cells; several in one with `between`.
    Packed {
        columns: Vec<String>,
        between: Option<String>,
        fields: String,
        pair: String,
    },
    /// `Product Item {n} Name`, `… SKU`: the columns' parts beyond the number are the names.
    Numbered(String),
}

/// What the language cannot say, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Special {
    /// A variation names its product by a code that another row of the file explains.
    WooParents,
    /// A configurable product names, in a packed cell, the rows that are its SKUs.
    MagentoVariations,
}
