//! Header + preset + folder settings + metadata types → plan. Done once a table.

mod field;
mod items;
mod source;
mod unknown;

use crate::config::{self, Blank, Folder};
use crate::kind::Kind;
use crate::mapping::evidence::Doubt;
use crate::mapping::notation::{boolean, zone};
use crate::mapping::plan::{
    Common, CustomerPlan, FieldPlan, GroupPlan, KeyPlan, Plan, RecordPlan, SpecialPlan,
};
use crate::mapping::{ColumnUse, ItemType, MetadataType, MetadataTypes, Place};
use crate::preset::Preset;
use crate::preset::header::{Header, Likeness};
use crate::preset::spec::{Footer, Items, Key, Manner, Record, Spec, Special};
use crate::record::Shape;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use source::{all_names, cells, first_name};
use std::collections::BTreeMap;
use std::sync::Arc;
use unknown::nearest;

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
        nameless: Vec::new(),
        words: Arc::new(boolean::Words {
            yes: spec.true_words.iter().map(|w| w.to_lowercase()).collect(),
            no: spec.false_words.iter().map(|w| w.to_lowercase()).collect(),
        }),
        packed: false,
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
    /// Columns without a header that would be metadata if they had one.
    nameless: Vec<usize>,
    words: Arc<boolean::Words>,
    /// The header is that of packed items: it has every name that a preset gives, so which one is
    /// filled is seen in each cell.
    packed: bool,
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
            // An export of products without a column of their SKUs is one of products alone.
            if i != main && self.lacks_key(record) {
                continue;
            }
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
            secret: self.secret_columns(),
            nameless: std::mem::take(&mut self.nameless),
            uses_today: records
                .iter()
                .flat_map(|record| &record.fields)
                .any(|field| field.source.uses_today()),
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

    /// Whether none of the columns that would hold its key is there.
    fn lacks_key(&self, record: &Record) -> bool {
        let names = all_names(&record.key.from);
        let is_here = |name: &String| !self.header.find(name, self.spec.likeness).is_empty();
        !names.is_empty() && !names.iter().any(is_here)
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
        // But where headers are translated, it is the format's own under another name.
        let is_translated = self.spec.signature.key_cell.is_some()
            && self
                .source(&preset_key.from, "source_id", true)
                .is_nothing();
        let own_choice = mapped.is_some() && !is_translated;
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
