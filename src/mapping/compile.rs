//! Header + preset + folder settings + metadata types → plan. Done once a table.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::evidence::{Doubt, DoubtKind};
use super::notation::date::DateRule;
use super::notation::number::MoneyRule;
use super::notation::{boolean, zone};
use super::plan::{
    Common, Cond, CustomerPlan, FieldPlan, GroupPlan, ItemCellsPlan, ItemsPlan, KeyPlan, OverGroup,
    Plan, Prep, Read, RecordPlan, Source, SpecialPlan, Spread, SpreadSource, Word,
};
use super::{ColumnUse, ItemType, MetadataType, MetadataTypes, Place};
use crate::config::{self, Blank, DecimalSign, Folder, MoneyUnit};
use crate::kind::{Clearing, FieldType, Kind};
use crate::preset::Preset;
use crate::preset::header::{self, Header, Likeness, NUMBERED_MAX};
use crate::preset::spec::{
    Apostrophe, DateStyle, Field, Footer, From, ItemCells, Items, Key, Manner, MetadataAs,
    MoneyStyle, Names, Record, Spec, Special, Type, When,
};
use crate::record::Shape;

/// What `compile` found, beside the plan.
pub(super) struct Compiled {
    pub plan: Plan,
    pub doubts: Vec<Doubt>,
    pub columns: Vec<ColumnUse>,
    pub notices: Vec<String>,
    pub zone: String,
}

pub(super) fn compile(
    names: &[String],
    preset: &Preset,
    folder: &Folder,
    types: &MetadataTypes,
    place: &Place<'_>,
) -> Result<Compiled, String> {
    let bare = Header::new(names);
    let spec = preset.spec(folder.kind, &bare).into_owned();
    let header = if spec.zone_in_header {
        Header::without_zones(names)
    } else {
        bare
    };
    // A zone that the format itself writes in is no setting (FORMATS-SHOPS.md, R7).
    let zone_name = spec
        .zone
        .as_deref()
        .or(folder.timezone.as_deref())
        .unwrap_or(place.host_zone);
    let zone = zone::named(zone_name)
        .ok_or_else(|| format!("the time zone `{zone_name}` is not known; set `timezone`"))?;
    let mut compiler = Compiler {
        names,
        uses: vec![Vec::new(); header.len()],
        moved: vec![false; header.len()],
        header,
        spec: &spec,
        folder,
        types,
        zone,
        today: place.today,
        doubts: Vec::new(),
        notices: Vec::new(),
        words: Arc::new(boolean::Words {
            yes: spec.true_words.iter().map(|w| w.to_lowercase()).collect(),
            no: spec.false_words.iter().map(|w| w.to_lowercase()).collect(),
        }),
    };
    let plan = compiler.plan()?;
    let columns = compiler.columns();
    Ok(Compiled {
        plan,
        doubts: compiler.doubts,
        columns,
        notices: compiler.notices,
        zone: zone_name.to_owned(),
    })
}

struct Compiler<'a> {
    /// As they stand in the file.
    names: &'a [String],
    header: Header,
    spec: &'a Spec,
    folder: &'a Folder,
    types: &'a MetadataTypes,
    zone: TimeZone,
    today: Date,
    /// What each column became.
    uses: Vec<Vec<String>>,
    /// Columns that the folder maps itself: the preset's fields have them no more.
    moved: Vec<bool>,
    doubts: Vec<Doubt>,
    notices: Vec<String>,
    words: Arc<boolean::Words>,
}

/// A folder's own mapping of a column.
struct Own {
    columns: Vec<usize>,
    target: String,
    ty: Option<MetadataType>,
}

impl Compiler<'_> {
    fn plan(&mut self) -> Result<Plan, String> {
        let own = self.own_columns()?;
        let mut records = Vec::new();
        let main = self.main_record();
        for (i, record) in self.spec.records.iter().enumerate() {
            let own: &[Own] = if i == main { &own } else { &[] };
            records.push(self.record(record, own, i == main)?);
        }
        let group = self.spec.group.as_ref().map(|group| {
            let by = match own.iter().find(|own| own.target == "source_id") {
                Some(own) if self.spec.manner == Manner::Plain => own.columns.clone(),
                _ => group
                    .by
                    .iter()
                    .flat_map(|name| self.header.find(name, self.spec.likeness))
                    .collect(),
            };
            Arc::new(GroupPlan {
                begin: self.conds(&group.begin),
                by,
                fill_down: group.fill_down,
                adjacent: group.adjacent,
                one_reject: group.one_reject,
            })
        });
        let shop = self.spec.manner == Manner::Shop;
        let telling = self.telling(&records);
        Ok(Plan {
            skip: self.conds(&self.spec.skip),
            footer: self.spec.footer,
            telling,
            common: self.common(),
            special: self
                .spec
                .special
                .map(|special| Arc::new(self.special(special, &records))),
            clears: self.folder.blank == Blank::Clear,
            skips_empty: shop || self.spec.footer == Footer::AfterBlankLine,
            strict: self.spec.manner == Manner::Plain,
            one_parent: shop,
            records,
            group,
        })
    }

    fn special(&self, special: Special, records: &[RecordPlan]) -> SpecialPlan {
        let find = |names: &[&str]| {
            let found = names
                .iter()
                .map(|name| self.header.find(name, self.spec.likeness));
            found.flatten().next()
        };
        let key = records.first().map(|record| record.key.source.columns());
        let parent = find(&["Parent", "Übergeordnetes Produkt"]);
        let column = match special {
            Special::WooParents => find(&["SKU", "Artikelnummer", "UGS"]),
            Special::MagentoVariations => find(&["configurable_variations"]),
        };
        let products = self
            .spec
            .records
            .iter()
            .find(|record| record.kind == Kind::Products);
        SpecialPlan {
            special,
            key: key
                .and_then(|columns| columns.first().copied())
                .unwrap_or(0),
            column,
            parents: products.map_or_else(Vec::new, |record| self.conds(&record.when)),
            header: parent.map(|column| self.names[column].trim().to_owned()),
            parent,
            product_prefix: self.product_prefix(),
        }
    }

    fn common(&self) -> Common {
        Common {
            blanks: self.spec.blanks.clone(),
            masks: self.spec.masks.clone(),
            apostrophe: self.spec.apostrophe,
            today: self.today,
            date_rule: self.date_rule(false, false),
        }
    }

    /// The record that the folder's own columns and the unknown ones go to.
    fn main_record(&self) -> usize {
        let of_kind = |record: &Record| record.kind == self.folder.kind;
        self.spec.records.iter().position(of_kind).unwrap_or(0)
    }

    fn own_columns(&mut self) -> Result<Vec<Own>, String> {
        let mut own = Vec::new();
        for (name, target) in &self.folder.columns {
            let columns = self.header.find(name, Likeness::Spelled);
            if columns.is_empty() {
                continue;
            }
            let (target, ty) = split_type(target)?;
            for &column in &columns {
                self.moved[column] = target != "source_id";
                if target.is_empty() {
                    self.uses[column].push(String::new());
                }
            }
            own.push(Own {
                columns,
                target,
                ty,
            });
        }
        Ok(own)
    }

    fn record(&mut self, record: &Record, own: &[Own], main: bool) -> Result<RecordPlan, String> {
        let key = self.key(record, own)?;
        let mut fields: BTreeMap<String, FieldPlan> = BTreeMap::new();
        let mut spreads = Vec::new();
        let mut item_fields: Vec<(String, Own)> = Vec::new();
        let mut deleted = None;
        for own in own {
            let target = own.target.as_str();
            if target.is_empty() || target == "source_id" {
                continue;
            }
            if let Some(item) = target.strip_prefix("item.") {
                item_fields.push((
                    item.to_owned(),
                    Own {
                        columns: own.columns.clone(),
                        target: own.target.clone(),
                        ty: own.ty,
                    },
                ));
                continue;
            }
            let field = self.own_field(record.kind, own)?;
            if target == "deleted" {
                deleted = Some(field);
            } else {
                fields.insert(target.to_owned(), field);
            }
        }
        let has_own_deleted = deleted.is_some();
        for (target, field) in &record.fields {
            if fields.contains_key(target) || (target == "deleted" && has_own_deleted) {
                continue;
            }
            let prefix = target.strip_suffix('*');
            if let Some(prefix) = prefix.or(field.names.is_some().then_some(target)) {
                spreads.extend(self.spread(prefix, field, record));
                continue;
            }
            let Some(plan) = self.field(record.kind, target, field)? else {
                continue;
            };
            if target == "deleted" {
                deleted = Some(plan);
            } else {
                fields.insert(target.clone(), plan);
            }
        }
        let items = match &record.items {
            Some(items) => Some(self.items(items, &item_fields)?),
            None if !item_fields.is_empty() => Some(self.items(&Items::default(), &item_fields)?),
            None => None,
        };
        if main {
            self.families(record.kind, &mut fields)?;
            self.unknown(record.kind, &mut fields)?;
            self.constants(record.kind, &mut fields)?;
        }
        let customer = self.customer(record.kind, &mut fields);
        let fields: Vec<FieldPlan> = fields.into_values().collect();
        let shape = Arc::new(Shape::new(fields.iter().map(|f| f.name.clone()).collect()));
        Ok(RecordPlan {
            kind: record.kind,
            when: self.conds(&record.when),
            per_row: record.per_row,
            key,
            deleted,
            fields,
            spreads,
            customer,
            items,
            shape,
        })
    }

    fn key(&mut self, record: &Record, own: &[Own]) -> Result<KeyPlan, String> {
        let mapped = own.iter().find(|own| own.target == "source_id");
        let preset_key = &record.key;
        let (source, from_email) = match mapped {
            Some(own) => {
                for &column in &own.columns {
                    self.uses[column].push("source_id".to_owned());
                }
                let folded = self.header.folded(own.columns[0]);
                let email =
                    folded.split('_').collect::<String>().contains("email") || folded == "mail";
                (cells(&own.columns), email)
            }
            None => (
                self.source(&preset_key.from, "source_id", true),
                preset_key.lower,
            ),
        };
        if source.is_nothing() {
            let wanted = first_name(&preset_key.from).unwrap_or_else(|| "source_id".to_owned());
            return Err(format!(
                "no key column: `{wanted}` is not in the header; name the column that holds the key \
                 in the folder's `columns` (\"Header\" = \"source_id\")"
            ));
        }
        let header = source
            .columns()
            .first()
            .map(|&c| self.names[c].trim().to_owned());
        // A key column of the user's choice has no shape that the preset could know.
        let own_choice = mapped.is_some();
        let default = Key::default();
        let key = if own_choice { &default } else { preset_key };
        let shop = self.spec.manner == Manner::Shop;
        Ok(KeyPlan {
            source,
            header,
            prefix: self.prefix_of(record.kind),
            lower: from_email,
            shapes: key.shapes.clone(),
            missing: key.missing.iter().map(|w| w.to_lowercase()).collect(),
            strip: key.strip.clone(),
            salesforce: key.salesforce,
            last: key.last,
            no_scientific: shop || key.no_scientific,
        })
    }

    /// `key_prefix` stands before every key that the folder brings; but a product that a folder of
    /// SKUs brings along is named as its SKUs name it.
    fn prefix_of(&self, kind: Kind) -> String {
        match (self.folder.kind, kind) {
            (Kind::Skus, Kind::Products) => self.folder.product_prefix.clone(),
            _ => self.folder.key_prefix.clone(),
        }
    }

    /// What stands before a SKU's product: the product's own prefix, where the folder brings it.
    fn product_prefix(&self) -> String {
        match self.folder.kind {
            Kind::Products => self.folder.key_prefix.clone(),
            _ => self.folder.product_prefix.clone(),
        }
    }

    /// A column that the folder maps itself.
    fn own_field(&mut self, kind: Kind, own: &Own) -> Result<FieldPlan, String> {
        let target = own.target.as_str();
        if target != "deleted" && kind.field(target).is_none() {
            return Err(unknown_target(kind, target));
        }
        for &column in &own.columns {
            self.uses[column].push(target.to_owned());
        }
        self.finish_field(kind, target, cells(&own.columns), &Field::default(), own.ty)
    }

    /// `None`: its columns are not in the header.
    fn field(
        &mut self,
        kind: Kind,
        target: &str,
        field: &Field,
    ) -> Result<Option<FieldPlan>, String> {
        let source = self.source(&field.from, target, false);
        if source.is_nothing() {
            return Ok(None);
        }
        self.finish_field(kind, target, source, field, None)
            .map(Some)
    }

    fn finish_field(
        &mut self,
        kind: Kind,
        target: &str,
        source: Source,
        field: &Field,
        ty: Option<MetadataType>,
    ) -> Result<FieldPlan, String> {
        let zone_column = field.zone.as_ref().and_then(|names| {
            self.header
                .find_any(names, self.spec.likeness)
                .first()
                .copied()
        });
        let (read, doubt) = self.read(kind, target, &source, field, ty, zone_column);
        let clearing = kind.field(target).map(|(_, clearing)| clearing);
        let header = source
            .columns()
            .first()
            .map(|&c| self.names[c].trim().to_owned());
        let plus = field
            .plus
            .as_ref()
            .map(|from| self.source(from, target, false));
        Ok(FieldPlan {
            name: target.to_owned(),
            header,
            raw: matches!(read, Read::Boolean(_)),
            prep: self.prep(target, field, &read),
            source,
            read,
            doubt,
            clearable: !matches!(clearing, None | Some(Clearing::Never)),
            required: kind == Kind::Skus && target == "product",
            lenient: field.lenient,
            over_group: if field.sum {
                OverGroup::Sum
            } else if field.last {
                OverGroup::Last
            } else {
                OverGroup::First
            },
            carry: field.carry,
            plus,
            positive: field.positive,
            zero_is_blank: field.zero_is_blank,
        })
    }

    fn prep(&self, target: &str, field: &Field, read: &Read) -> Option<Box<Prep>> {
        let metadata = target.starts_with("metadata.");
        let mut blanks = field.blanks.clone();
        if metadata {
            blanks.extend(self.spec.metadata_blanks.iter().cloned());
        }
        let guarded = self.spec.apostrophe != Apostrophe::Kept;
        let prep = Prep {
            trim: self.spec.trim,
            blanks,
            strip: field.strip.clone(),
            path: field.path.clone(),
            take_first: field
                .take_first
                .then(|| field.split.clone().unwrap_or_else(|| ",".to_owned())),
            lines: field.lines,
            only: field.only.clone(),
            words: field
                .words
                .iter()
                .map(|(word, meaning)| (word.to_lowercase(), meaning.clone()))
                .collect(),
            otherwise: field.otherwise.clone(),
            code: field.code,
            lower: field.lower,
            salesforce: field.salesforce,
            apostrophe: guarded && !matches!(read, Read::Fixed(_)),
            masks: !self.spec.masks.is_empty(),
        };
        let idle = !prep.trim
            && prep.blanks.is_empty()
            && prep.strip.is_empty()
            && prep.path.is_none()
            && prep.take_first.is_none()
            && prep.lines.is_none()
            && prep.only.is_empty()
            && prep.words.is_empty()
            && prep.otherwise.is_none()
            && !prep.code
            && !prep.lower
            && !prep.salesforce
            && !prep.apostrophe
            && !prep.masks;
        (!idle).then(|| Box::new(prep))
    }

    fn read(
        &mut self,
        kind: Kind,
        target: &str,
        source: &Source,
        field: &Field,
        ty: Option<MetadataType>,
        zone_column: Option<usize>,
    ) -> (Read, Option<usize>) {
        let of_project = target.strip_prefix("metadata.").and_then(|key| {
            let resource = match kind {
                Kind::Customers => "customer",
                Kind::Products | Kind::Skus => "product",
                Kind::Orders => "order",
            };
            self.types.resources.get(resource)?.get(key).copied()
        });
        if let Some(ty) = ty.or(of_project) {
            return self.read_metadata(ty, source, field, zone_column);
        }
        let of_kind = match target {
            "deleted" => FieldType::Boolean,
            _ => kind.field(target).map_or(FieldType::Text, |(ty, _)| ty),
        };
        let ty = field.ty.unwrap_or(match of_kind {
            FieldType::Text | FieldType::Items => Type::Text,
            FieldType::Money => Type::Money,
            FieldType::Date => Type::Date,
            FieldType::Integer => Type::Integer,
            FieldType::Status => Type::Text,
            FieldType::List => Type::List,
            FieldType::Boolean => Type::Boolean,
        });
        if of_kind == FieldType::Status {
            return (Read::Status, None);
        }
        if of_kind == FieldType::Text
            && let Some(prefix) = match target {
                "product" => Some(self.product_prefix()),
                "customer.source_id" => Some(String::new()),
                _ => None,
            }
        {
            return (Read::Reference(prefix), None);
        }
        if ty == Type::Money && target == "price" {
            return self.read_money(source, true);
        }
        let birth = target.ends_with("birthdate");
        self.read_type(ty, source, field, birth, zone_column)
    }

    fn read_type(
        &mut self,
        ty: Type,
        source: &Source,
        field: &Field,
        past: bool,
        zone_column: Option<usize>,
    ) -> (Read, Option<usize>) {
        if let Some(sign) = field.list_if {
            let doubt = self.doubt(DoubtKind::Lists(sign), source);
            return (Read::ListIf(sign.to_string(), false), doubt);
        }
        match ty {
            Type::Text => (Read::Text, None),
            Type::Money => self.read_money(source, false),
            Type::Integer => {
                let doubt = self.decimal_doubt(source);
                (Read::Integer(self.decimal()), doubt)
            }
            Type::Number => {
                let doubt = self.decimal_doubt(source);
                (Read::Number(self.decimal()), doubt)
            }
            Type::Boolean => (Read::Boolean(self.words.clone()), None),
            Type::Date => {
                let doubt = self.date_doubt(source);
                (Read::Date(self.date_rule(past, field.unix)), doubt)
            }
            Type::Datetime => {
                let doubt = self.date_doubt(source);
                let rule = self.date_rule(false, field.unix);
                let zone = self
                    .zone_in_name(source)
                    .unwrap_or_else(|| self.zone.clone());
                (Read::Datetime(rule, zone, zone_column), doubt)
            }
            Type::List => (Read::List(between(field), Box::new(Read::Text)), None),
            Type::ListOrText => (Read::ListOrText, None),
            Type::Loose => (Read::Loose, None),
            Type::Json => (Read::Json, None),
        }
    }

    fn read_metadata(
        &mut self,
        ty: MetadataType,
        source: &Source,
        field: &Field,
        zone_column: Option<usize>,
    ) -> (Read, Option<usize>) {
        let (read, doubt) = match ty.item {
            ItemType::String => (Read::Text, None),
            ItemType::Number => self.read_type(Type::Number, source, field, false, None),
            ItemType::Boolean => self.read_type(Type::Boolean, source, field, false, None),
            ItemType::Date => self.read_type(Type::Date, source, field, false, None),
            ItemType::Datetime => self.read_type(Type::Datetime, source, field, false, zone_column),
            ItemType::Object => (Read::Json, None),
        };
        if ty.list {
            return (Read::List(between(field), Box::new(read)), doubt);
        }
        (read, doubt)
    }

    fn decimal(&self) -> Option<DecimalSign> {
        self.folder.decimal.or(self.spec.decimal)
    }

    fn read_money(&mut self, source: &Source, price: bool) -> (Read, Option<usize>) {
        let style = match self.folder.money {
            Some(MoneyUnit::Units) => MoneyStyle::Units,
            Some(MoneyUnit::Cents) => MoneyStyle::Cents,
            None => self.spec.money,
        };
        let doubt = if style == MoneyStyle::CentsUnlessDecimal {
            self.doubt(DoubtKind::Cents, source)
        } else {
            self.decimal_doubt(source)
        };
        let shop = self.spec.manner == Manner::Shop;
        let rule = MoneyRule {
            decimal: self.decimal(),
            cents: style != MoneyStyle::Units,
            round: shop,
            positive: shop && price,
        };
        (Read::Money(rule), doubt)
    }

    fn decimal_doubt(&mut self, source: &Source) -> Option<usize> {
        if self.decimal().is_some() {
            return None;
        }
        self.doubt(DoubtKind::Decimal, source)
    }

    fn date_doubt(&mut self, source: &Source) -> Option<usize> {
        if self.date_style().is_some() {
            return None;
        }
        self.doubt(DoubtKind::Dates, source)
    }

    fn doubt(&mut self, kind: DoubtKind, source: &Source) -> Option<usize> {
        let columns = source.columns();
        let &first = columns.first()?;
        let header = self.names[first].trim().to_owned();
        let same = |d: &Doubt| d.kind == kind && d.columns == columns;
        if let Some(known) = self.doubts.iter().position(same) {
            return Some(known);
        }
        self.doubts.push(Doubt::new(kind, columns, header));
        Some(self.doubts.len() - 1)
    }

    /// `Created (UTC)` (R7). Other zones' abbreviations mean too many things.
    fn zone_in_name(&self, source: &Source) -> Option<TimeZone> {
        let column = *source.columns().first()?;
        let (_, zone) = header::zone_suffix(&self.names[column])?;
        matches!(zone, "UTC" | "GMT").then_some(TimeZone::UTC)
    }

    fn date_style(&self) -> Option<DateStyle> {
        match self.folder.dates {
            Some(order) => Some(DateStyle::Order(order)),
            None => self.spec.dates,
        }
    }

    fn date_rule(&self, past: bool, unix: bool) -> DateRule {
        let shop = self.spec.manner == Manner::Shop;
        DateRule {
            style: self.date_style(),
            today: self.today,
            past,
            zeros_are_blank: shop,
            earlier: shop,
            unix,
        }
    }

    /// Headers that stand for a family of fields: `metadata.x`, `user_attributes.x`, `x (metadata)`.
    fn families(
        &mut self,
        kind: Kind,
        fields: &mut BTreeMap<String, FieldPlan>,
    ) -> Result<(), String> {
        let always = [("metadata.*".to_owned(), "metadata.*".to_owned())];
        let families: Vec<_> = self.spec.families.iter().chain(&always).cloned().collect();
        for (pattern, target) in families {
            for (column, rest) in self.header.matching(&pattern) {
                if self.is_used(column) {
                    continue;
                }
                let name = if target.starts_with("metadata.") {
                    self.metadata_key(&rest)
                } else {
                    rest
                };
                let target = target.replace('*', &name);
                if kind.field(&target).is_none() || fields.contains_key(&target) {
                    continue;
                }
                let columns = self.of_one_name(column);
                self.add_columns(kind, &target, &columns, fields)?;
            }
        }
        Ok(())
    }

    /// Columns that nothing has taken.
    fn unknown(
        &mut self,
        kind: Kind,
        fields: &mut BTreeMap<String, FieldPlan>,
    ) -> Result<(), String> {
        let metadata = match self.folder.others {
            config::Others::Metadata => true,
            config::Others::Ignore => false,
            config::Others::Auto => self.spec.unknown_are_metadata,
        };
        let left_out: Vec<usize> = self
            .spec
            .ignore
            .iter()
            .chain(&self.spec.secret)
            .flat_map(|pattern| self.columns_like(pattern))
            .collect();
        for column in 0..self.header.len() {
            if self.is_used(column) || left_out.contains(&column) || !metadata {
                continue;
            }
            let key = self.metadata_key(&self.header.names()[column].clone());
            if key.is_empty() {
                continue;
            }
            let target = format!("metadata.{key}");
            let columns = self.of_one_name(column);
            if fields.contains_key(&target) {
                let name = self.names[column].trim().to_owned();
                self.notices.push(format!(
                    "column `{name}` is ignored: another column already is `{target}`"
                ));
                continue;
            }
            self.add_columns(kind, &target, &columns, fields)?;
            self.notice_unknown(column, &target, kind);
        }
        Ok(())
    }

    fn notice_unknown(&mut self, column: usize, target: &str, kind: Kind) {
        if self.spec.manner != Manner::Plain {
            return;
        }
        let name = self.names[column].trim();
        if name.to_ascii_lowercase().starts_with("metadata.") {
            return;
        }
        let known = kind
            .fields()
            .iter()
            .map(|f| f.name)
            .chain(["source_id", "deleted"]);
        let nearest = nearest(&header::folded(name), known);
        let hint = nearest.map_or(String::new(), |known| format!("; did you mean `{known}`?"));
        self.notices
            .push(format!("column `{name}` is stored as `{target}`{hint}"));
    }

    fn add_columns(
        &mut self,
        kind: Kind,
        target: &str,
        columns: &[usize],
        fields: &mut BTreeMap<String, FieldPlan>,
    ) -> Result<(), String> {
        for &column in columns {
            self.uses[column].push(target.to_owned());
        }
        let mut style = Field::default();
        if target.starts_with("metadata.") {
            style.ty = match self.spec.metadata_as {
                MetadataAs::Text => None,
                MetadataAs::Lists => Some(Type::ListOrText),
                MetadataAs::ListsAndBooleans => Some(Type::Loose),
            };
            style.list_if = self.list_sign(columns[0]);
        }
        let field = self.finish_field(kind, target, cells(columns), &style, None)?;
        fields.insert(target.to_owned(), field);
        Ok(())
    }

    /// The sign by which a column's cells may be lists.
    fn list_sign(&self, column: usize) -> Option<char> {
        self.spec
            .metadata_lists
            .iter()
            .find(|(pattern, _)| self.columns_like(pattern).contains(&column))
            .and_then(|(_, sign)| sign.chars().next())
    }

    fn constants(
        &mut self,
        kind: Kind,
        fields: &mut BTreeMap<String, FieldPlan>,
    ) -> Result<(), String> {
        for (target, value) in &self.folder.constants {
            let (target, ty) = split_type(target)?;
            if kind.field(&target).is_none() {
                return Err(unknown_target(kind, &target));
            }
            let source = Source::Value(value.clone());
            let mut field = self.finish_field(kind, &target, source, &Field::default(), ty)?;
            let mut json = String::new();
            let row: Vec<String> = Vec::new();
            field
                .read
                .push(value, &row, &mut json)
                .map_err(|wrong| format!("the constant `{target}` is {}", wrong.reason))?;
            field.read = Read::Fixed(json);
            fields.insert(target, field);
        }
        Ok(())
    }

    /// The fields `customer.*` of an order, taken out: they are the customer's, not the order's.
    fn customer(
        &mut self,
        kind: Kind,
        fields: &mut BTreeMap<String, FieldPlan>,
    ) -> Option<CustomerPlan> {
        if kind != Kind::Orders {
            return None;
        }
        let names: Vec<String> = fields
            .keys()
            .filter(|name| name.starts_with("customer."))
            .cloned()
            .collect();
        let mut customer = CustomerPlan {
            id: None,
            email: None,
            fields: Vec::new(),
            prefix: self.folder.customer_prefix.clone(),
            key_email: self.folder.customer_key == Some(config::CustomerKey::Email),
            key_id: self.folder.customer_key == Some(config::CustomerKey::Id),
        };
        for name in names {
            let mut field = fields.remove(&name)?;
            field.name = name["customer.".len()..].to_owned();
            match field.name.as_str() {
                "source_id" => customer.id = Some(field),
                "email" => customer.email = Some(field),
                _ => customer.fields.push(field),
            }
        }
        (customer.id.is_some() || customer.email.is_some()).then_some(customer)
    }

    fn items(&mut self, items: &Items, own: &[(String, Own)]) -> Result<ItemsPlan, String> {
        let virtual_names = item_names(items);
        let places: Vec<ItemCellsPlan> = items
            .cells
            .iter()
            .map(|cells| self.item_cells(cells, &virtual_names))
            .collect();
        let mut fields = Vec::new();
        for (name, own) in own {
            for &column in &own.columns {
                self.uses[column].push(own.target.clone());
            }
            fields.push(self.item_field(name, cells(&own.columns), &Field::default())?);
        }
        let rows = places.is_empty();
        let cells_plan = if rows {
            vec![ItemCellsPlan::Rows]
        } else {
            places
        };
        // Packed items have a header of their own: the names that their fields have in the cell.
        let outer = (!rows).then(|| {
            let inner = Header::new(&virtual_names);
            let outer = std::mem::replace(&mut self.header, inner);
            let moved = std::mem::replace(&mut self.moved, vec![false; virtual_names.len()]);
            let uses = std::mem::replace(&mut self.uses, vec![Vec::new(); virtual_names.len()]);
            (outer, moved, uses)
        });
        let mut compiled = Vec::new();
        for (name, field) in &items.fields {
            if fields.iter().any(|f: &FieldPlan| f.name == *name) {
                continue;
            }
            let target = format!("item.{name}");
            let source = self.source(&field.from, &target, false);
            if source.is_nothing() {
                continue;
            }
            compiled.push((name.clone(), source, field));
        }
        let when = self.conds(&items.when);
        if let Some((header, moved, uses)) = outer {
            self.header = header;
            self.moved = moved;
            self.uses = uses;
        }
        for (name, source, field) in compiled {
            let mut plan = if rows {
                self.item_field(&name, source, field)?
            } else {
                self.packed_item_field(&name, source, field)
            };
            if !rows {
                plan.header = items_header(items, &self.header, self.names);
            }
            fields.push(plan);
        }
        let refund = items.refund.as_ref().map(|refund| {
            let source = self.source(&refund.amount, "metadata.refunded", false);
            let (read, doubt) = self.read_money(&source, false);
            let Read::Money(rule) = read else {
                unreachable!("money is read as money")
            };
            (self.conds(&refund.when), source, rule, doubt)
        });
        Ok(ItemsPlan {
            cells: cells_plan,
            when,
            fields,
            sum: items.sum,
            discount_from_net: items.discount_from_net,
            refund,
            void: self.conds(&items.void),
            product_prefix: self.folder.product_prefix.clone(),
        })
    }

    fn item_field(
        &mut self,
        name: &str,
        source: Source,
        field: &Field,
    ) -> Result<FieldPlan, String> {
        let ty = item_type(name, field);
        let (read, doubt) = match name.strip_prefix("metadata.") {
            Some(key) => {
                let of_project = self
                    .types
                    .resources
                    .get("order_item")
                    .and_then(|keys| keys.get(key).copied());
                match of_project {
                    Some(ty) => self.read_metadata(ty, &source, field, None),
                    None => self.read_type(ty, &source, field, false, None),
                }
            }
            None => self.read_type(ty, &source, field, false, None),
        };
        let header = source
            .columns()
            .first()
            .map(|&c| self.names[c].trim().to_owned());
        Ok(self.bare_field(name, header, source, field, read, doubt))
    }

    /// Packed cells cannot be looked over: their notation is the preset's.
    fn packed_item_field(&mut self, name: &str, source: Source, field: &Field) -> FieldPlan {
        let doubts = std::mem::take(&mut self.doubts);
        let nowhere = Source::Nothing;
        let (read, _) = self.read_type(item_type(name, field), &nowhere, field, false, None);
        self.doubts = doubts;
        self.bare_field(name, None, source, field, read, None)
    }

    fn bare_field(
        &mut self,
        name: &str,
        header: Option<String>,
        source: Source,
        field: &Field,
        read: Read,
        doubt: Option<usize>,
    ) -> FieldPlan {
        FieldPlan {
            name: name.to_owned(),
            header,
            raw: false,
            prep: self.prep(name, field, &read),
            source,
            read,
            doubt,
            clearable: false,
            required: false,
            lenient: field.lenient,
            over_group: OverGroup::First,
            carry: false,
            plus: None,
            positive: field.positive,
            zero_is_blank: field.zero_is_blank,
        }
    }

    fn item_cells(&mut self, cells: &ItemCells, names: &[String]) -> ItemCellsPlan {
        match cells {
            ItemCells::Rows => ItemCellsPlan::Rows,
            ItemCells::Packed {
                columns,
                between,
                fields,
                pair,
            } => {
                let columns: Vec<usize> = columns
                    .iter()
                    .flat_map(|name| self.numbered(name))
                    .collect();
                for &column in &columns {
                    self.uses[column].push("items".to_owned());
                }
                ItemCellsPlan::Packed {
                    columns,
                    between: between.clone(),
                    fields: fields.clone(),
                    pair: pair.clone(),
                    names: names.to_vec(),
                }
            }
            ItemCells::Numbered(pattern) => {
                let mut rows = Vec::new();
                for n in 1..=NUMBERED_MAX {
                    let of_item: Vec<Option<usize>> = names
                        .iter()
                        .map(|name| {
                            let full = pattern.replace("{n}", &n.to_string()).replace('*', name);
                            self.header.find(&full, self.spec.likeness).first().copied()
                        })
                        .collect();
                    if of_item.iter().any(Option::is_some) {
                        for &column in of_item.iter().flatten() {
                            self.uses[column].push("items".to_owned());
                        }
                        rows.push(of_item);
                    }
                }
                ItemCellsPlan::Numbered(rows)
            }
        }
    }

    fn spread(&mut self, prefix: &str, field: &Field, record: &Record) -> Option<Spread> {
        if let Some(names) = &field.names {
            let columns_of = |from: &From| match from {
                From::Numbered(name) => self.numbered(name),
                From::Column(names) => self.header.find_any(names, self.spec.likeness),
                _ => Vec::new(),
            };
            let (names, values) = (columns_of(names), columns_of(&field.from));
            if names.is_empty() || values.is_empty() {
                return None;
            }
            for &column in names.iter().chain(&values) {
                self.uses[column].push(format!("{prefix}*"));
            }
            let defaults = field
                .default_values
                .iter()
                .map(|v| v.to_lowercase())
                .collect();
            return Some(Spread {
                prefix: prefix.to_owned(),
                source: if prefix.ends_with('.') {
                    SpreadSource::Options {
                        names,
                        values,
                        defaults,
                    }
                } else {
                    SpreadSource::Names {
                        names,
                        values,
                        defaults,
                    }
                },
            });
        }
        let source = self.source(&field.from, &format!("{prefix}*"), false);
        if source.is_nothing() {
            return None;
        }
        let source = if field.packed {
            SpreadSource::Packed(source)
        } else {
            let path = field.path.as_deref().unwrap_or("");
            SpreadSource::Json {
                taken: taken_paths(record, &source, path, self),
                source,
                path: field.path.clone().filter(|path| !path.is_empty()),
            }
        };
        Some(Spread {
            prefix: prefix.to_owned(),
            source,
        })
    }

    /// `structural`: keys and groups see columns that the folder took for something else, too.
    fn source(&mut self, from: &From, target: &str, structural: bool) -> Source {
        match from {
            From::Nothing => Source::Nothing,
            From::Value(value) => Source::Value(value.clone()),
            From::Column(names) => self.column(names, target, structural),
            From::First(parts) => {
                let mut sources: Vec<Source> = parts
                    .iter()
                    .map(|part| self.source(part, target, structural))
                    .filter(|source| !source.is_nothing())
                    .collect();
                if sources.len() == 1 {
                    sources.remove(0)
                } else {
                    Source::First(sources)
                }
            }
            From::Join(parts, between) => Source::Join(
                parts
                    .iter()
                    .flat_map(|part| match part {
                        From::Numbered(name) => {
                            self.numbered(name).into_iter().map(Source::Cell).collect()
                        }
                        part => vec![self.source(part, target, structural)],
                    })
                    .filter(|source| !source.is_nothing())
                    .collect(),
                between.clone(),
            ),
            From::Cases(cases, otherwise) => {
                let known = cases
                    .iter()
                    .flat_map(|case| &case.when.all)
                    .any(|(names, _)| self.header.has_any(names, self.spec.likeness));
                if !known {
                    return Source::Nothing;
                }
                for (names, _) in cases.iter().flat_map(|case| &case.when.all) {
                    for column in self.header.find_any(names, self.spec.likeness) {
                        self.uses[column].push(target.to_owned());
                    }
                }
                let cases = cases
                    .iter()
                    .map(|case| (self.cond(&case.when), case.then.clone()))
                    .collect();
                Source::Cases(cases, otherwise.clone())
            }
            From::Only(from, when) => {
                let source = self.source(from, target, structural);
                if source.is_nothing() {
                    return source;
                }
                Source::Only(Box::new(source), self.conds(when))
            }
            From::Between(from, begin, end) => {
                let source = self.source(from, target, structural);
                if source.is_nothing() {
                    return source;
                }
                let find = |names: &Names| {
                    self.header
                        .find_any(names, self.spec.likeness)
                        .first()
                        .copied()
                };
                Source::Between(Box::new(source), find(begin), find(end))
            }
            From::Path(from, path) => {
                let source = self.source(from, target, structural);
                if source.is_nothing() {
                    return source;
                }
                Source::Path(Box::new(source), path.clone())
            }
            From::Numbered(name) => {
                let columns = self.numbered(name);
                Source::First(columns.into_iter().map(Source::Cell).collect())
            }
        }
    }

    fn column(&mut self, names: &Names, target: &str, structural: bool) -> Source {
        let found = names
            .iter()
            .map(|name| self.header.find(name, self.spec.likeness))
            .map(|found| {
                found
                    .into_iter()
                    .filter(|&c| structural || !self.moved[c])
                    .collect::<Vec<_>>()
            })
            .find(|found| !found.is_empty());
        let Some(found) = found else {
            return Source::Nothing;
        };
        let columns: Vec<usize> = match self.names_second(names, found[0]) {
            true => vec![found[0]],
            false => self
                .of_one_name(found[0])
                .into_iter()
                .filter(|c| found.contains(c))
                .collect(),
        };
        for &column in &columns {
            self.uses[column].push(target.to_owned());
        }
        cells(&columns)
    }

    /// Whether the preset names the second column of this name too (`City (2)`): then they are two
    /// columns, and no conflict.
    fn names_second(&self, names: &Names, first: usize) -> bool {
        let second = format!("{} (2)", self.header.names()[first].trim());
        let second = header::spelled(&second);
        let spec_names = |name: &String| header::spelled(name) == second;
        names.iter().any(spec_names)
            || self
                .spec
                .records
                .iter()
                .flat_map(|record| &record.fields)
                .any(|(_, field)| all_names(&field.from).iter().any(|name| spec_names(name)))
    }

    /// This column and those whose header is spelled the same.
    fn of_one_name(&self, column: usize) -> Vec<usize> {
        let same = |&other: &usize| match self.spec.manner {
            // `Email` and `email` are two columns there (FORMATS.md, rule 1).
            Manner::Connector => {
                self.header.names()[other].trim() == self.header.names()[column].trim()
            }
            _ => self.header.spelled(other) == self.header.spelled(column),
        };
        (0..self.header.len())
            .filter(same)
            .filter(|&other| other == column || !self.is_used(other))
            .collect()
    }

    fn is_used(&self, column: usize) -> bool {
        !self.uses[column].is_empty()
    }

    /// `Option{n} Name` → its columns, in the order of the numbers; `|` stands between spellings.
    fn numbered(&self, pattern: &str) -> Vec<usize> {
        pattern
            .split('|')
            .map(|name| self.numbered_as(name.trim()))
            .find(|columns| !columns.is_empty())
            .unwrap_or_default()
    }

    fn numbered_as(&self, name: &str) -> Vec<usize> {
        const WORDS: [&str; 3] = ["one", "two", "three"];
        if !name.contains("{n}") {
            return self.header.find(name, self.spec.likeness);
        }
        let find = |n: &str| {
            let name = name.replace("{n}", n);
            self.header.find(&name, self.spec.likeness).first().copied()
        };
        let columns: Vec<usize> = (1..=NUMBERED_MAX)
            .filter_map(|n| find(&n.to_string()))
            .collect();
        if columns.is_empty() {
            return WORDS.into_iter().filter_map(find).collect();
        }
        columns
    }

    fn columns_like(&self, pattern: &str) -> Vec<usize> {
        if pattern.contains('*') {
            return self
                .header
                .matching(pattern)
                .into_iter()
                .map(|(c, _)| c)
                .collect();
        }
        let found = self.header.find(pattern, self.spec.likeness);
        let exact: Vec<usize> = found
            .iter()
            .copied()
            .filter(|&c| self.header.spelled(c) == header::spelled(pattern))
            .collect();
        if exact.is_empty() { found } else { exact }
    }

    fn metadata_key(&self, name: &str) -> String {
        let key = header::metadata_key(name);
        match &self.spec.metadata_dot {
            Some(dot) => key.replace('.', dot),
            None => key,
        }
    }

    fn conds(&self, whens: &[When]) -> Vec<Cond> {
        whens.iter().map(|when| self.cond(when)).collect()
    }

    fn cond(&self, when: &When) -> Cond {
        Cond {
            all: when
                .all
                .iter()
                .map(|(names, words)| {
                    let column = self
                        .header
                        .find_any(names, self.spec.likeness)
                        .first()
                        .copied();
                    (column, words.iter().map(|word| Word::new(word)).collect())
                })
                .collect(),
        }
    }

    /// Columns of keys and names, by which a footer is told from a record.
    fn telling(&self, records: &[RecordPlan]) -> Vec<usize> {
        let of_fields = |fields: &[FieldPlan]| -> Vec<usize> {
            fields
                .iter()
                .filter(|f| f.name == "name" || f.name == "status")
                .flat_map(|f| f.source.columns())
                .collect()
        };
        let mut columns: Vec<usize> = records
            .iter()
            .flat_map(|record| {
                let mut columns = of_fields(&record.fields);
                columns.extend(
                    record
                        .items
                        .iter()
                        .flat_map(|items| of_fields(&items.fields)),
                );
                columns
            })
            .collect();
        columns.retain(|&column| column != 0);
        columns
    }

    fn columns(&self) -> Vec<ColumnUse> {
        let secret: Vec<usize> = self
            .spec
            .secret
            .iter()
            .flat_map(|pattern| self.columns_like(pattern))
            .collect();
        let moving: Vec<usize> = self
            .spec
            .ignore
            .iter()
            .flat_map(|pattern| self.columns_like(pattern))
            .collect();
        (0..self.header.len())
            .map(|column| {
                let mut uses = self.uses[column].clone();
                uses.retain(|target| !target.is_empty());
                uses.dedup();
                let note = if !uses.is_empty() {
                    None
                } else if self.is_used(column) {
                    Some("ignored by the folder's `columns`".to_owned())
                } else if secret.contains(&column) {
                    Some("never stored".to_owned())
                } else if moving.contains(&column) {
                    Some("left out by the preset".to_owned())
                } else {
                    None
                };
                ColumnUse {
                    header: self.names[column].trim().to_owned(),
                    field: (!uses.is_empty()).then(|| uses.join(", ")),
                    note,
                }
            })
            .collect()
    }
}

fn cells(columns: &[usize]) -> Source {
    match columns {
        [one] => Source::Cell(*one),
        many => Source::Same(many.to_vec()),
    }
}

fn between(field: &Field) -> String {
    field.split.clone().unwrap_or_else(|| ",".to_owned())
}

fn item_type(name: &str, field: &Field) -> Type {
    field.ty.unwrap_or(match name {
        "price" | "amount" | "discount_amount" | "net" => Type::Money,
        // A whole number in the end; `order` knows what becomes of a fraction.
        "quantity" => Type::Number,
        _ => Type::Text,
    })
}

/// The names that the fields of packed items have in their cells.
fn item_names(items: &Items) -> Vec<String> {
    let mut names: Vec<String> = items
        .fields
        .iter()
        .flat_map(|(_, field)| all_names(&field.from))
        .chain(
            items
                .when
                .iter()
                .flat_map(|when| when.all.iter().flat_map(|(names, _)| names.clone())),
        )
        .collect();
    names.sort();
    names.dedup();
    names
}

fn items_header(items: &Items, header: &Header, names: &[String]) -> Option<String> {
    let pattern = match items.cells.first()? {
        ItemCells::Packed { columns, .. } => columns.first()?.replace("{n}", "1"),
        _ => return None,
    };
    let column = *header.find(&pattern, Likeness::Folded).first()?;
    Some(names[column].trim().to_owned())
}

fn all_names(from: &From) -> Vec<String> {
    match from {
        From::Column(names) => names.clone(),
        From::First(parts) | From::Join(parts, _) => parts.iter().flat_map(all_names).collect(),
        From::Only(from, whens) => {
            let mut names = all_names(from);
            names.extend(whens.iter().flat_map(names_of));
            names
        }
        From::Cases(cases, _) => cases.iter().flat_map(|case| names_of(&case.when)).collect(),
        From::Between(from, ..) | From::Path(from, _) => all_names(from),
        From::Nothing | From::Value(_) | From::Numbered(_) => Vec::new(),
    }
}

fn names_of(when: &When) -> Vec<String> {
    when.all
        .iter()
        .flat_map(|(names, _)| names.clone())
        .collect()
}

fn first_name(from: &From) -> Option<String> {
    all_names(from).into_iter().next()
}

/// Keys of a JSON object that fields of their own have taken.
fn taken_paths(
    record: &Record,
    source: &Source,
    prefix: &str,
    compiler: &mut Compiler<'_>,
) -> Vec<String> {
    let columns = source.columns();
    let mut taken = Vec::new();
    for (_, field) in &record.fields {
        collect_paths(
            &field.from,
            field.path.as_deref(),
            &columns,
            compiler,
            &mut taken,
        );
    }
    taken
        .into_iter()
        .filter_map(|path| {
            let rest = if prefix.is_empty() {
                Some(path.as_str())
            } else {
                path.strip_prefix(prefix)?.strip_prefix('.')
            };
            let key = rest?.split('.').next()?;
            (!key.is_empty()).then(|| key.to_owned())
        })
        .collect()
}

fn collect_paths(
    from: &From,
    path: Option<&str>,
    columns: &[usize],
    compiler: &Compiler<'_>,
    taken: &mut Vec<String>,
) {
    match from {
        From::Column(names) => {
            let found = compiler.header.find_any(names, compiler.spec.likeness);
            if let Some(path) = path
                && found.iter().any(|column| columns.contains(column))
            {
                taken.push(path.to_owned());
            }
        }
        From::Path(from, path) => collect_paths(from, Some(path), columns, compiler, taken),
        From::First(parts) | From::Join(parts, _) => {
            for part in parts {
                collect_paths(part, path, columns, compiler, taken);
            }
        }
        From::Only(from, _) | From::Between(from, ..) => {
            collect_paths(from, path, columns, compiler, taken);
        }
        _ => {}
    }
}

/// `metadata.points:number[]` → target and type.
fn split_type(target: &str) -> Result<(String, Option<MetadataType>), String> {
    let target = target.trim();
    let Some((name, ty)) = target.rsplit_once(':') else {
        return Ok((target.to_owned(), None));
    };
    if !name.starts_with("metadata.") {
        return Err(format!("`{target}`: only metadata has a type"));
    }
    let (item, list) = match ty.strip_suffix("[]") {
        Some(item) => (item, true),
        None => (ty, false),
    };
    let item = match item {
        "string" => ItemType::String,
        "number" => ItemType::Number,
        "boolean" => ItemType::Boolean,
        "date" => ItemType::Date,
        "datetime" => ItemType::Datetime,
        _ => {
            return Err(format!(
                "`{target}`: types are string, number, boolean, date and datetime, each with [] for a list"
            ));
        }
    };
    Ok((name.to_owned(), Some(MetadataType { item, list })))
}

fn unknown_target(kind: Kind, target: &str) -> String {
    let known = kind
        .fields()
        .iter()
        .map(|f| f.name)
        .chain(["source_id", "deleted"]);
    let hint =
        nearest(target, known).map_or(String::new(), |name| format!("; did you mean `{name}`?"));
    format!("`{target}` is no field of {kind}{hint}")
}

/// The known name that is likest, if any is like enough.
fn nearest<'n>(name: &str, known: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    known
        .map(|known| {
            (
                strsim::jaro_winkler(&name.to_lowercase(), &known.replace('.', "_")),
                known,
            )
        })
        .filter(|(likeness, _)| *likeness > 0.88)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, known)| known)
}
