//! A spec in words, for `presets NAME`.

use super::PresetField;
use super::spec::{From, Items, Record, Spec, When};

pub(super) fn fields(spec: &Spec) -> Vec<PresetField> {
    spec.records.iter().flat_map(of_record).collect()
}

fn of_record(record: &Record) -> Vec<PresetField> {
    let line = |field: &str, from: String| PresetField {
        kind: record.kind,
        field: field.to_owned(),
        from,
    };
    let mut lines = vec![line("source_id", words(&record.key.from))];
    lines.extend(record.fields.iter().map(|(name, field)| {
        let from = match &field.names {
            Some(names) => format!("{} named by {}", words(&field.from), words(names)),
            None => words(&field.from),
        };
        line(name, from)
    }));
    if let Some(Items { fields, .. }) = &record.items {
        lines.extend(
            fields
                .iter()
                .map(|(name, field)| line(&format!("item.{name}"), words(&field.from))),
        );
    }
    lines
}

fn words(from: &From) -> String {
    let list =
        |parts: &[From], between: &str| parts.iter().map(words).collect::<Vec<_>>().join(between);
    match from {
        From::Nothing => String::new(),
        From::Column(names) => names.join(" or "),
        From::First(parts) => list(parts, ", else "),
        From::Join(parts, _) => list(parts, " + "),
        From::Value(value) => format!("always \u{201c}{value}\u{201d}"),
        From::Cases(cases, _) => {
            let mut columns: Vec<String> =
                cases.iter().flat_map(|case| columns(&case.when)).collect();
            columns.dedup();
            format!("told by {}", columns.join(", "))
        }
        From::Only(from, when) => {
            let columns: Vec<String> = when.iter().flat_map(columns).collect();
            format!("{} (by {})", words(from), columns.join(", "))
        }
        From::Between(from, ..) => format!("{} while it lasts", words(from)),
        From::Path(from, path) => format!("{} at {path}", words(from)),
        From::Numbered(name) => name.clone(),
    }
}

fn columns(when: &When) -> Vec<String> {
    when.all
        .iter()
        .filter_map(|(names, _)| names.first().cloned())
        .collect()
}
