//! Where a text comes from: names of columns → their numbers.

use super::Compiler;
use crate::mapping::plan::{Cond, DayPlan, Source, Spread, SpreadSource, Word};
use crate::preset::header::{self, NUMBERED_MAX};
use crate::preset::spec::{Field, Manner, Names, Origin, Record, When};

impl Compiler<'_> {
    /// `structural`: keys and groups see columns that the folder took for something else, too.
    pub(super) fn source(&mut self, from: &Origin, target: &str, structural: bool) -> Source {
        match from {
            Origin::Nothing => Source::Nothing,
            Origin::Value(value) => Source::Value(value.clone()),
            Origin::Column(names) => self.column(names, target, structural),
            Origin::First(parts) => {
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
            Origin::Join(parts, between) => Source::Join(
                parts
                    .iter()
                    .flat_map(|part| match part {
                        Origin::Numbered(name) => {
                            self.numbered(name).into_iter().map(Source::Cell).collect()
                        }
                        part => vec![self.source(part, target, structural)],
                    })
                    .filter(|source| !source.is_nothing())
                    .collect(),
                between.clone(),
            ),
            Origin::Cases(cases, otherwise) => {
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
            Origin::Only(from, when) => {
                let source = self.source(from, target, structural);
                if source.is_nothing() {
                    return source;
                }
                Source::Only(Box::new(source), self.conds(when))
            }
            Origin::Between(from, begin, end) => {
                let source = self.source(from, target, structural);
                if source.is_nothing() {
                    return source;
                }
                let (begin, end) = (self.day(begin), self.day(end));
                Source::Between(Box::new(source), begin, end)
            }
            Origin::Path(from, path) => {
                let source = self.source(from, target, structural);
                if source.is_nothing() {
                    return source;
                }
                Source::Path(Box::new(source), path.clone())
            }
            Origin::Numbered(name) => {
                let columns = self.numbered(name);
                Source::First(columns.into_iter().map(Source::Cell).collect())
            }
        }
    }

    fn day(&mut self, names: &Names) -> Option<DayPlan> {
        let column = *(self.header.find_any(names, self.spec.likeness)).first()?;
        Some(DayPlan {
            column,
            header: self.names[column].trim().to_owned(),
            rule: self.date_rule(false, false),
            doubt: self.date_doubt(&Source::Cell(column)),
        })
    }

    pub(super) fn column(&mut self, names: &Names, target: &str, structural: bool) -> Source {
        if self.packed && names.len() > 1 {
            let found = (names.iter())
                .filter_map(|name| self.header.find(name, self.spec.likeness).first().copied());
            return Source::First(found.map(Source::Cell).collect());
        }
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
    pub(super) fn names_second(&self, names: &Names, first: usize) -> bool {
        let second = format!("{} (2)", self.header.names()[first].trim());
        let second = header::spelled(&second);
        let spec_names = |name: &String| header::spelled(name) == second;
        names.iter().any(spec_names)
            || self
                .spec
                .records
                .iter()
                .flat_map(|record| &record.fields)
                .any(|(_, field)| all_names(&field.from).iter().any(spec_names))
    }

    /// This column and those whose header is spelled the same.
    pub(super) fn of_one_name(&self, column: usize) -> Vec<usize> {
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

    pub(super) fn is_used(&self, column: usize) -> bool {
        !self.uses[column].is_empty()
    }

    /// `Option{n} Name` → its columns, in the order of the numbers; `|` stands between spellings.
    pub(super) fn numbered(&self, pattern: &str) -> Vec<usize> {
        pattern
            .split('|')
            .map(|name| self.numbered_as(name.trim()))
            .find(|columns| !columns.is_empty())
            .unwrap_or_default()
    }

    pub(super) fn numbered_as(&self, name: &str) -> Vec<usize> {
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

    pub(super) fn conds(&self, whens: &[When]) -> Vec<Cond> {
        whens.iter().map(|when| self.cond(when)).collect()
    }

    pub(super) fn cond(&self, when: &When) -> Cond {
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

    pub(super) fn spread(
        &mut self,
        prefix: &str,
        field: &Field,
        record: &Record,
    ) -> Option<Spread> {
        if let Some(names) = &field.names {
            let columns_of = |from: &Origin| match from {
                Origin::Numbered(name) => self.numbered(name),
                Origin::Column(names) => self.header.find_any(names, self.spec.likeness),
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
                header: Some(self.names[values[0]].trim().to_owned()),
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
        let first = source.columns().first().copied();
        let header = first.map(|column| self.names[column].trim().to_owned());
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
            header,
            source,
        })
    }
}

pub(super) fn cells(columns: &[usize]) -> Source {
    match columns {
        [one] => Source::Cell(*one),
        many => Source::Same(many.to_vec()),
    }
}

pub(super) fn all_names(from: &Origin) -> Vec<String> {
    match from {
        Origin::Column(names) => names.clone(),
        Origin::First(parts) | Origin::Join(parts, _) => parts.iter().flat_map(all_names).collect(),
        Origin::Only(from, whens) => {
            let mut names = all_names(from);
            names.extend(whens.iter().flat_map(names_of));
            names
        }
        Origin::Cases(cases, _) => cases.iter().flat_map(|case| names_of(&case.when)).collect(),
        Origin::Between(from, ..) | Origin::Path(from, _) => all_names(from),
        Origin::Nothing | Origin::Value(_) | Origin::Numbered(_) => Vec::new(),
    }
}

pub(super) fn names_of(when: &When) -> Vec<String> {
    when.all
        .iter()
        .flat_map(|(names, _)| names.clone())
        .collect()
}

pub(super) fn first_name(from: &Origin) -> Option<String> {
    all_names(from).into_iter().next()
}

/// Keys of a JSON object that fields of their own have taken.
pub(super) fn taken_paths(
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

pub(super) fn collect_paths(
    from: &Origin,
    path: Option<&str>,
    columns: &[usize],
    compiler: &Compiler<'_>,
    taken: &mut Vec<String>,
) {
    match from {
        Origin::Column(names) => {
            let found = compiler.header.find_any(names, compiler.spec.likeness);
            if let Some(path) = path
                && found.iter().any(|column| columns.contains(column))
            {
                taken.push(path.to_owned());
            }
        }
        Origin::Path(from, path) => collect_paths(from, Some(path), columns, compiler, taken),
        Origin::First(parts) | Origin::Join(parts, _) => {
            for part in parts {
                collect_paths(part, path, columns, compiler, taken);
            }
        }
        Origin::Only(from, _) | Origin::Between(from, ..) => {
            collect_paths(from, path, columns, compiler, taken);
        }
        _ => {}
    }
}
