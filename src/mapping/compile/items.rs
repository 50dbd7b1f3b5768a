//! An order's items: in rows, in packed cells, in numbered columns.

use super::source::{all_names, cells};
use super::{Compiler, Own};
use crate::mapping::plan::{
    FieldPlan, ItemCellsPlan, ItemsPlan, OverGroup, Read, RefundPlan, Source,
};
use crate::preset::header::{Header, Likeness, NUMBERED_MAX};
use crate::preset::spec::{Field, ItemCells, Items, Type};

impl Compiler<'_> {
    pub(super) fn items(
        &mut self,
        items: &Items,
        own: &[(String, Own)],
    ) -> Result<ItemsPlan, String> {
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
            self.packed = true;
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
            self.packed = false;
        }
        for (name, source, field) in compiled {
            let mut plan = if rows {
                self.item_field(&name, source, field)?
            } else {
                self.packed_item_field(&name, source, field)
            };
            if !rows {
                plan.header = items_header(items, &self.header, self.names);
                let in_cell = |column: usize| (column, virtual_names[column].clone());
                plan.headers = plan.source.columns().into_iter().map(in_cell).collect();
            } else {
                plan.headers = self.headers_of(plan.source.columns());
            }
            fields.push(plan);
        }
        let refund = items.refund.as_ref().map(|refund| {
            let source = self.source(&refund.amount, "metadata.refunded", false);
            let (read, doubt) = self.read_money(&source, false);
            let Read::Money(rule) = read else {
                unreachable!("money is read as money")
            };
            let first = source.columns().first().copied();
            RefundPlan {
                when: self.conds(&refund.when),
                header: first.map(|column| self.names[column].trim().to_owned()),
                amount: source,
                rule,
                doubt,
            }
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

    pub(super) fn item_field(
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
    pub(super) fn packed_item_field(
        &mut self,
        name: &str,
        source: Source,
        field: &Field,
    ) -> FieldPlan {
        let doubts = std::mem::take(&mut self.doubts);
        let nowhere = Source::Nothing;
        let (read, _) = self.read_type(item_type(name, field), &nowhere, field, false, None);
        self.doubts = doubts;
        self.bare_field(name, None, source, field, read, None)
    }

    pub(super) fn bare_field(
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
            headers: Vec::new(),
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

    /// A column's header, as it stands.
    fn name(&self, column: usize) -> String {
        self.names[column].trim().to_owned()
    }

    /// With the headers of these columns, if they are several: a reject names the one at fault.
    pub(super) fn headers_of(&self, columns: Vec<usize>) -> Vec<(usize, String)> {
        if columns.len() < 2 {
            return Vec::new();
        }
        let with_name = |column| (column, self.name(column));
        columns.into_iter().map(with_name).collect()
    }

    pub(super) fn item_cells(&mut self, cells: &ItemCells, names: &[String]) -> ItemCellsPlan {
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
                    headers: columns.iter().map(|&c| self.name(c)).collect(),
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
                    let of_item: Vec<Option<(usize, String)>> = names
                        .iter()
                        .map(|name| {
                            let full = pattern.replace("{n}", &n.to_string()).replace('*', name);
                            let found = self.header.find(&full, self.spec.likeness);
                            found.first().map(|&column| (column, self.name(column)))
                        })
                        .collect();
                    if of_item.iter().any(Option::is_some) {
                        for (column, _) in of_item.iter().flatten() {
                            self.uses[*column].push("items".to_owned());
                        }
                        rows.push(of_item);
                    }
                }
                ItemCellsPlan::Numbered {
                    items: rows,
                    names: names.to_vec(),
                }
            }
        }
    }
}

pub(super) fn item_type(name: &str, field: &Field) -> Type {
    field.ty.unwrap_or(match name {
        "price" | "amount" | "discount_amount" | "net" => Type::Money,
        // A whole number in the end; `order` knows what becomes of a fraction.
        "quantity" | "discount_percent" => Type::Number,
        _ => Type::Text,
    })
}

/// The names that the fields of packed items have in their cells.
pub(super) fn item_names(items: &Items) -> Vec<String> {
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

pub(super) fn items_header(items: &Items, header: &Header, names: &[String]) -> Option<String> {
    let pattern = match items.cells.first()? {
        ItemCells::Packed { columns, .. } => columns.first()?.replace("{n}", "1"),
        _ => return None,
    };
    let column = *header.find(&pattern, Likeness::Folded).first()?;
    Some(names[column].trim().to_owned())
}
