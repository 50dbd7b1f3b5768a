//! One field: how its cells are prepared and read, and what of its notation is in doubt.

use super::source::cells;
use super::{Compiler, Own, unknown_target};
use crate::config::{DecimalSign, MoneyUnit};
use crate::kind::{Clearing, FieldType, Kind};
use crate::mapping::evidence::{Doubt, DoubtKind};
use crate::mapping::notation::date::DateRule;
use crate::mapping::notation::number::MoneyRule;
use crate::mapping::plan::{FieldPlan, OverGroup, Prep, Read, Source};
use crate::mapping::{ItemType, MetadataType};
use crate::preset::header::{self};
use crate::preset::spec::{Apostrophe, DateStyle, Field, Manner, MoneyStyle, Type};
use jiff::tz::TimeZone;

impl Compiler<'_> {
    /// A column that the folder maps itself.
    pub(super) fn own_field(&mut self, kind: Kind, own: &Own) -> Result<FieldPlan, String> {
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
    pub(super) fn field(
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

    pub(super) fn finish_field(
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
        let mut looked_at = source.columns();
        looked_at.extend(source.day_columns());
        looked_at.extend(zone_column);
        looked_at.extend(plus.iter().flat_map(Source::columns));
        Ok(FieldPlan {
            name: target.to_owned(),
            header,
            headers: self.headers_of(looked_at),
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

    pub(super) fn prep(&self, target: &str, field: &Field, read: &Read) -> Option<Box<Prep>> {
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
            except: field.except.clone(),
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
            && prep.except.is_empty()
            && prep.words.is_empty()
            && prep.otherwise.is_none()
            && !prep.code
            && !prep.lower
            && !prep.salesforce
            && !prep.apostrophe
            && !prep.masks;
        (!idle).then(|| Box::new(prep))
    }

    pub(super) fn read(
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

    pub(super) fn read_type(
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

    pub(super) fn read_metadata(
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
            ItemType::Object => (Read::Object, None),
        };
        if ty.list {
            return (Read::List(between(field), Box::new(read)), doubt);
        }
        (read, doubt)
    }

    pub(super) fn decimal(&self) -> Option<DecimalSign> {
        self.folder.decimal.or(self.spec.decimal)
    }

    pub(super) fn read_money(&mut self, source: &Source, price: bool) -> (Read, Option<usize>) {
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

    pub(super) fn decimal_doubt(&mut self, source: &Source) -> Option<usize> {
        if self.decimal().is_some() {
            return None;
        }
        self.doubt(DoubtKind::Decimal, source)
    }

    pub(super) fn date_doubt(&mut self, source: &Source) -> Option<usize> {
        if self.date_style().is_some() {
            return None;
        }
        self.doubt(DoubtKind::Dates, source)
    }

    pub(super) fn doubt(&mut self, kind: DoubtKind, source: &Source) -> Option<usize> {
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
    pub(super) fn zone_in_name(&self, source: &Source) -> Option<TimeZone> {
        let column = *source.columns().first()?;
        let (_, zone) = header::zone_suffix(&self.names[column])?;
        matches!(zone, "UTC" | "GMT").then_some(TimeZone::UTC)
    }

    pub(super) fn date_style(&self) -> Option<DateStyle> {
        match self.folder.dates {
            Some(order) => Some(DateStyle::Order(order)),
            None => self.spec.dates,
        }
    }

    pub(super) fn date_rule(&self, past: bool, unix: bool) -> DateRule {
        let shop = self.spec.manner == Manner::Shop;
        DateRule {
            style: self.date_style(),
            is_set: self.date_style().is_some(),
            today: self.today,
            past,
            zeros_are_blank: shop,
            earlier: shop,
            unix,
        }
    }
}

pub(super) fn between(field: &Field) -> String {
    field.split.clone().unwrap_or_else(|| ",".to_owned())
}
