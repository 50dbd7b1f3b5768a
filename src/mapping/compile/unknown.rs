//! Columns that no preset names: families, metadata, constants; and what became of each column.

use super::source::cells;
use super::{Compiler, split_type, unknown_target};
use crate::config::{self};
use crate::kind::Kind;
use crate::mapping::ColumnUse;
use crate::mapping::plan::{FieldPlan, Read, Source};
use crate::preset::header::{self};
use crate::preset::spec::{Field, Manner, MetadataAs, Type};
use std::collections::BTreeMap;

impl Compiler<'_> {
    /// Headers that stand for a family of fields: `metadata.x`, `user_attributes.x`, `x (metadata)`.
    pub(super) fn families(
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
    pub(super) fn unknown(
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
                self.nameless.push(column);
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

    pub(super) fn notice_unknown(&mut self, column: usize, target: &str, kind: Kind) {
        if self.spec.manner != Manner::Plain && !self.spec.tell_unknown {
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

    pub(super) fn add_columns(
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
    pub(super) fn list_sign(&self, column: usize) -> Option<char> {
        self.spec
            .metadata_lists
            .iter()
            .find(|(pattern, _)| self.columns_like(pattern).contains(&column))
            .and_then(|(_, sign)| sign.chars().next())
    }

    pub(super) fn constants(
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

    /// Columns that the preset knows to hold secrets, and nothing maps.
    pub(super) fn secret_columns(&self) -> Vec<usize> {
        let named = (self.spec.secret.iter()).flat_map(|pattern| self.columns_like(pattern));
        let unmapped = |column: &usize| self.uses[*column].iter().all(String::is_empty);
        named.filter(unmapped).collect()
    }

    pub(super) fn columns(&self) -> Vec<ColumnUse> {
        let secret = self.secret_columns();
        let moving: Vec<usize> = self
            .spec
            .ignore
            .iter()
            .flat_map(|pattern| self.columns_like(pattern))
            .collect();
        let whens = (self.spec.records.iter().flat_map(|record| &record.when))
            .chain(&self.spec.skip)
            .chain(self.spec.group.iter().flat_map(|group| &group.begin));
        let deciding: Vec<usize> = whens
            .flat_map(|when| &when.all)
            .flat_map(|(names, _)| self.header.find_any(names, self.spec.likeness))
            .collect();
        (0..self.header.len())
            .map(|column| {
                let mut uses: Vec<&str> = Vec::new();
                for target in &self.uses[column] {
                    // The options of a product, and those of its SKUs.
                    let target = match target.as_str() {
                        "attributes*" | "attributes.*" => "attributes",
                        target => target,
                    };
                    if !target.is_empty() && !uses.contains(&target) {
                        uses.push(target);
                    }
                }
                let note = if !uses.is_empty() {
                    None
                } else if self.is_used(column) {
                    Some("ignored by the folder's `columns`".to_owned())
                } else if secret.contains(&column) {
                    Some("never stored".to_owned())
                } else if moving.contains(&column) {
                    Some("left out by the preset".to_owned())
                } else if deciding.contains(&column) {
                    Some("tells what its row is".to_owned())
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

    pub(super) fn columns_like(&self, pattern: &str) -> Vec<usize> {
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

    pub(super) fn metadata_key(&self, name: &str) -> String {
        let key = header::metadata_key(name);
        match &self.spec.metadata_dot {
            Some(dot) => key.replace('.', dot),
            None => key,
        }
    }
}

/// The known name that is likest, if any is like enough.
pub(super) fn nearest<'n>(name: &str, known: impl Iterator<Item = &'n str>) -> Option<&'n str> {
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
