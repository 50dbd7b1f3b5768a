//! A spec in words, for `presets NAME`.

use super::PresetField;
use super::spec::{Items, Origin, Record, Spec, When};

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

fn words(from: &Origin) -> String {
    let list =
        |parts: &[Origin], between: &str| parts.iter().map(words).collect::<Vec<_>>().join(between);
    match from {
        Origin::Nothing => String::new(),
        Origin::Column(names) => names.join(" or "),
        Origin::First(parts) => list(parts, ", else "),
        Origin::Join(parts, _) => list(parts, " + "),
        Origin::Value(value) => format!("always \u{201c}{value}\u{201d}"),
        Origin::Cases(cases, _) => {
            let mut columns: Vec<String> =
                cases.iter().flat_map(|case| columns(&case.when)).collect();
            columns.dedup();
            format!("told by {}", columns.join(", "))
        }
        Origin::Only(from, when) => {
            let columns: Vec<String> = when.iter().flat_map(columns).collect();
            format!("{} (by {})", words(from), columns.join(", "))
        }
        Origin::Between(from, ..) => format!("{} while it lasts", words(from)),
        Origin::Path(from, path) => format!("{} at {path}", words(from)),
        Origin::Numbered(name) => name.clone(),
    }
}

fn columns(when: &When) -> Vec<String> {
    when.all
        .iter()
        .filter_map(|(names, _)| names.first().cloned())
        .collect()
}
