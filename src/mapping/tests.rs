//! Bytes of a file in, records and rejects out: through `table`, `preset` and `mapping` together.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::config::{After, Blank, Folder, Missing, Others};
use crate::kind::Kind;
use crate::preset::{Presets, Recognised};
use crate::record::{Act, Content};
use crate::table::{Reader, Rows, Settings, survey};

pub(crate) fn folder(kind: Kind) -> Folder {
    Folder {
        name: "f".into(),
        path: PathBuf::from("/f"),
        kind,
        preset: "auto".into(),
        files: vec!["*".into()],
        settle: Duration::ZERO,
        done: None,
        blank: Blank::Keep,
        others: Others::Auto,
        missing: Missing::Keep,
        max_delete_percent: 5.0,
        max_change_percent: 100.0,
        money: None,
        history: false,
        live: Duration::ZERO,
        key_prefix: String::new(),
        customer_prefix: String::new(),
        product_prefix: String::new(),
        customer_key: None,
        after: After::Archive,
        expect: None,
        note: None,
        encoding: None,
        delimiter: None,
        decimal: None,
        dates: None,
        timezone: None,
        columns: Vec::new(),
        constants: Vec::new(),
    }
}

/// A store of e-mails and codes.
#[derive(Default)]
struct Known {
    emails: Vec<(&'static str, &'static str)>,
    codes: Vec<(&'static str, &'static str)>,
    orders: Vec<&'static str>,
}

impl Lookup for Known {
    fn customers_by_email(&self, email: &str) -> Vec<String> {
        let fits = |(known, _): &&(&str, &str)| known.eq_ignore_ascii_case(email);
        self.emails
            .iter()
            .filter(fits)
            .map(|(_, key)| (*key).to_owned())
            .collect()
    }

    fn skus_by_code(&self, code: &str) -> Vec<String> {
        let fits = |(known, _): &&(&str, &str)| *known == code;
        self.codes
            .iter()
            .filter(fits)
            .map(|(_, key)| (*key).to_owned())
            .collect()
    }

    fn knows_order(&self, key: &str) -> bool {
        self.orders.contains(&key)
    }
}

/// What a file yields: each record as it was put out, in the file's order.
#[derive(Debug, Default)]
struct Read {
    preset: String,
    records: Vec<(Kind, String, Act, Content)>,
    rejects: Vec<Reject>,
    skipped: u64,
    notices: Vec<String>,
    columns: Vec<ColumnUse>,
    decided: Decided,
    /// Of every row, in the file's order.
    lines: Vec<u64>,
}

/// Reads a file as intake does. `Err`: it is no table that anyone knows.
fn read_file(
    bytes: &[u8],
    folder: &Folder,
    types: &MetadataTypes,
    lookup: &dyn Lookup,
    rows_max: usize,
) -> Result<Read, String> {
    let presets = Presets::load(&[]).unwrap();
    let settings = Settings {
        encoding: folder.encoding.clone(),
        delimiter: folder.delimiter,
        header_if_none: presets
            .get(&folder.preset)
            .and_then(|p| p.header_if_none())
            .map(<[String]>::to_vec),
    };
    let mut file = Cursor::new(bytes);
    let known = |cells: &[String]| presets.is_header(folder.kind, cells, &folder.columns);
    let members = survey(&mut file, &settings, &known).map_err(|e| format!("{e:?}"))?;
    let mut read = Read::default();
    for member in members {
        let header = &member.header;
        let found = presets.recognise(&folder.preset, folder.kind, header, &folder.columns);
        let preset = match found {
            Recognised::Taken { preset, .. } => preset,
            Recognised::OtherKind { reason, .. } | Recognised::Unknown { reason } => {
                return Err(reason);
            }
        };
        read.preset.clone_from(&preset.name);
        let place = Place {
            host_zone: "UTC",
            today: jiff::civil::date(2026, 11, 25),
        };
        let mut reading = Reading::compile(header, preset, folder, types, &place)?;
        if let Some(mut evidence) = reading.evidence() {
            each_batch(&mut file, &member, rows_max, |rows| {
                rows.iter().for_each(|row| evidence.observe(row));
            });
            reading.decide(evidence);
        }
        let mut batch = Batch::default();
        each_batch(&mut file, &member, rows_max, |rows| {
            for row in rows.iter() {
                read.lines.push(row.line());
                read.skipped += reading
                    .map(row, lookup, &mut batch, &mut read.rejects)
                    .skipped;
            }
            drain(&mut batch, &mut read.records);
        });
        read.skipped += reading
            .finish(lookup, &mut batch, &mut read.rejects)
            .skipped;
        drain(&mut batch, &mut read.records);
        read.notices.extend(reading.notices());
        read.columns = reading.columns();
        read.decided = reading.decided();
    }
    Ok(read)
}

fn each_batch(
    file: &mut Cursor<&[u8]>,
    member: &crate::table::Member,
    rows_max: usize,
    mut each: impl FnMut(&Rows),
) {
    let mut reader = Reader::new(file, member).unwrap();
    let mut rows = Rows::default();
    while reader.read(&mut rows, rows_max).unwrap() {
        each(&rows);
    }
}

fn drain(batch: &mut Batch, records: &mut Vec<(Kind, String, Act, Content)>) {
    for row in &batch.rows {
        let shape = &batch.shapes[row.shape];
        let content = Content::decode(shape.fields(), batch.values(row)).expect("a list of values");
        if row.act != Act::Delete {
            assert_eq!(row.fingerprint, content.fingerprint(), "line {}", row.line);
        }
        records.push((row.kind, batch.key(row).to_owned(), row.act, content));
    }
    batch.clear();
}

/// What a store would hold after it: kind → key → field → JSON.
fn stored(store: &mut BTreeMap<(Kind, String), Content>, read: &Read) {
    for (kind, key, act, content) in &read.records {
        let key = (*kind, key.clone());
        match act {
            Act::Upsert => store.entry(key).or_default().merge(content),
            Act::CreateOnly => {
                store.entry(key).or_insert_with(|| content.clone());
            }
            Act::Delete => {
                store.remove(&key);
            }
        }
    }
}

fn fields(content: &Content) -> BTreeMap<String, Value> {
    content
        .iter()
        .filter(|(_, json)| *json != crate::record::CLEARED)
        .map(|(field, json)| (field.to_owned(), serde_json::from_str(json).unwrap()))
        .collect()
}

fn samples(dir: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/samples")
        .join(dir)
}

// ---- traps

fn trap_folder(case: &Value) -> Folder {
    let mut folder = folder(Kind::from_name(case["kind"].as_str().unwrap()).unwrap());
    let Some(settings) = case["folder"].as_object() else {
        return folder;
    };
    for (key, value) in settings {
        match key.as_str() {
            "blank" if value == "clear" => folder.blank = Blank::Clear,
            "timezone" => folder.timezone = value.as_str().map(str::to_owned),
            "columns" => {
                for (header, target) in value.as_object().unwrap() {
                    let target = target.as_str().unwrap().to_owned();
                    folder.columns.push((header.clone(), target));
                }
            }
            // What intake decides.
            "blank" | "missing" | "max_delete" => {}
            other => panic!("a setting that this test does not know: {other}"),
        }
    }
    folder
}

/// Trap 22 speaks of a project that defines its `last_visit`.
fn trap_types(name: &str) -> MetadataTypes {
    let mut types = MetadataTypes::default();
    if name == "dst-gap" {
        let ty = MetadataType {
            item: ItemType::Datetime,
            list: false,
        };
        let keys = BTreeMap::from([("last_visit".to_owned(), ty)]);
        types.resources.insert("customer".to_owned(), keys);
    }
    types
}

fn trap_outcome_holds(
    outcome: &Value,
    kind: Kind,
    store: &BTreeMap<(Kind, String), Content>,
    rejects: &[Reject],
) -> Result<(), String> {
    let expected = outcome["stored"].as_object().unwrap();
    let partial = outcome["stored_is_partial"].as_bool().unwrap_or(false);
    for (key, wanted) in expected {
        let Some(content) = store.get(&(kind, key.clone())) else {
            return Err(format!("{key} is not stored"));
        };
        let got: BTreeMap<String, Value> = fields(content);
        let wanted: BTreeMap<String, Value> = wanted
            .as_object()
            .unwrap()
            .iter()
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect();
        if got != wanted {
            return Err(format!("{key}: {got:?}, not {wanted:?}"));
        }
    }
    if !partial && store.len() != expected.len() {
        return Err(format!("{} records, not {}", store.len(), expected.len()));
    }
    let wanted = outcome["rejects"].as_array().unwrap();
    if wanted.len() != rejects.len() {
        return Err(format!("rejects {rejects:?}, not {wanted:?}"));
    }
    for (wanted, got) in wanted.iter().zip(rejects) {
        let codes: Vec<&str> = match &wanted["code"] {
            Value::Array(codes) => codes.iter().map(|c| c.as_str().unwrap()).collect(),
            code => vec![code.as_str().unwrap()],
        };
        let column = wanted["column"].as_str();
        if wanted["line"] != got.line
            || !codes.contains(&got.code.name())
            || column.is_some_and(|column| got.column.as_deref() != Some(column))
        {
            return Err(format!("reject {got:?}, not {wanted}"));
        }
    }
    Ok(())
}

#[test]
fn every_trap_is_read_as_expected() {
    let dir = samples("traps");
    let text = std::fs::read_to_string(dir.join("expected.json")).unwrap();
    let cases: Vec<Value> = serde_json::from_str(&text).unwrap();
    let mut failures = Vec::new();
    for case in &cases {
        let name = case["case"].as_str().unwrap();
        // Whole files held or refused: intake's to judge.
        if case["outcomes"][0].get("held").is_some()
            || case["outcomes"][0].get("unreadable").is_some()
        {
            continue;
        }
        let folder = trap_folder(case);
        let mut store = BTreeMap::new();
        let mut rejects = Vec::new();
        for file in case["files"].as_array().unwrap() {
            let bytes = std::fs::read(dir.join(file.as_str().unwrap())).unwrap();
            match read_file(&bytes, &folder, &trap_types(name), &Known::default(), 4096) {
                Ok(read) => {
                    stored(&mut store, &read);
                    rejects.extend(read.rejects);
                }
                Err(reason) => failures.push(format!("{name}: {reason}")),
            }
        }
        // Only the first outcome will do here: it is the one that is best.
        let best = &case["outcomes"][0];
        if let Err(why) = trap_outcome_holds(best, folder.kind, &store, &rejects) {
            failures.push(format!("{name}: {why}"));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn an_undecided_column_names_the_setting() {
    let csv = "source_id,birthdate\nC1,02/01/2004\n";
    let read = read_file(
        csv.as_bytes(),
        &folder(Kind::Customers),
        &MetadataTypes::default(),
        &Known::default(),
        10,
    )
    .unwrap();
    assert!(
        read.rejects[0].reason.contains("`dates"),
        "{}",
        read.rejects[0].reason
    );
    let _ = json!({});
}

// ---- connectors

/// `{"address":{"city":"X"}}` → `address.city`.
fn flattened(kind: Kind, record: &Value) -> BTreeMap<String, Value> {
    let mut out = BTreeMap::new();
    for (name, value) in record.as_object().unwrap() {
        let nested = match name.as_str() {
            "address" | "metadata" | "customer" => true,
            "attributes" => kind == Kind::Skus,
            "source_id" => continue,
            _ => false,
        };
        if nested {
            for (part, value) in value.as_object().unwrap() {
                out.insert(format!("{name}.{part}"), value.clone());
            }
        } else {
            out.insert(name.clone(), value.clone());
        }
    }
    out
}

/// Ids of the remote's own: no field of a record here.
fn without_remote_ids(mut fields: BTreeMap<String, Value>) -> BTreeMap<String, Value> {
    fields.remove("customer.id");
    fields.remove("referrer");
    fields
}

fn check_connector(path: &std::path::Path) -> Result<(), String> {
    let text = std::fs::read_to_string(path).unwrap();
    let expected: Value = serde_json::from_str(&text).unwrap();
    let kind = Kind::from_name(expected["kind"].as_str().unwrap()).unwrap();
    let file = samples("connectors").join(expected["file"].as_str().unwrap());
    let bytes = std::fs::read(file).unwrap();
    let types = MetadataTypes::default();
    let read = read_file(&bytes, &folder(kind), &types, &Known::default(), 3)?;
    let mut problems = Vec::new();
    if expected["preset"] != read.preset.as_str() {
        problems.push(format!("preset {}", read.preset));
    }
    let of_kind = |act: Act| {
        read.records
            .iter()
            .filter(move |(k, _, a, _)| *k == kind && *a == act)
    };
    let got: Vec<_> = of_kind(Act::Upsert)
        .map(|(_, key, _, content)| (key.clone(), fields(content)))
        .collect();
    let wanted: Vec<_> = expected["records"]
        .as_array()
        .unwrap()
        .iter()
        .map(|record| {
            let key = record["source_id"].as_str().unwrap().to_owned();
            (key, without_remote_ids(flattened(kind, record)))
        })
        .collect();
    // Groups that stand apart come last; within one key the order counts.
    let (mut got, mut wanted) = (got, wanted);
    got.sort_by(|a, b| a.0.cmp(&b.0));
    wanted.sort_by(|a, b| a.0.cmp(&b.0));
    if got.len() != wanted.len() {
        problems.push(format!("{} records, not {}", got.len(), wanted.len()));
    }
    for (got, wanted) in got.iter().zip(&wanted) {
        if got != wanted {
            problems.push(format!("got    {got:?}\n wanted {wanted:?}"));
        }
    }
    let rejects: Vec<Value> = read
        .rejects
        .iter()
        .map(|reject| {
            let row = read
                .lines
                .iter()
                .position(|line| *line == reject.line)
                .unwrap()
                + 1;
            json!({"code": reject.code.name(), "row": row})
        })
        .collect();
    if Value::Array(rejects.clone()) != expected["rejects"] {
        problems.push(format!("rejects {rejects:?}, not {}", expected["rejects"]));
    }
    let deleted: Vec<&str> = of_kind(Act::Delete)
        .map(|(_, key, ..)| key.as_str())
        .collect();
    let none = Vec::new();
    let wanted: Vec<&Value> = expected["deletes"]
        .as_array()
        .unwrap_or(&none)
        .iter()
        .collect();
    if wanted != deleted {
        problems.push(format!("deleted {deleted:?}, not {wanted:?}"));
    }
    if problems.is_empty() {
        Ok(())
    } else {
        Err(problems.join("\n "))
    }
}

#[test]
fn every_connector_sample_is_read_as_expected() {
    let mut paths: Vec<_> = std::fs::read_dir(samples("connectors/expected"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "json"))
        .collect();
    paths.sort();
    assert!(paths.len() >= 26);
    let failures: Vec<String> = paths
        .iter()
        .filter_map(|path| {
            let why = check_connector(path).err()?;
            Some(format!("{}: {why}", path.file_name().unwrap().display()))
        })
        .collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

// ---- shops

/// `items.0.source_id` or a field.
fn has(content: &BTreeMap<String, Value>, path: &str) -> bool {
    match path
        .strip_prefix("items.")
        .and_then(|rest| rest.split_once('.'))
    {
        Some((index, name)) => {
            let index: usize = index.parse().unwrap();
            content
                .get("items")
                .and_then(|items| items[index].get(name))
                .is_some()
        }
        None => content.contains_key(path),
    }
}

/// Whether a value is what is wanted: of items only what is named.
fn fits(got: Option<&Value>, wanted: &Value, field: &str) -> bool {
    let (Some(Value::Array(got)), Value::Array(wanted), "items") = (got, wanted, field) else {
        // 20 and 20.0 are one number.
        let number = |v: &Value| v.as_f64();
        return got == Some(wanted)
            || (wanted.is_number() && got.and_then(number) == number(wanted));
    };
    got.len() == wanted.len()
        && got.iter().zip(wanted).all(|(got, wanted)| {
            wanted
                .as_object()
                .unwrap()
                .iter()
                .all(|(name, value)| got.get(name) == Some(value))
        })
}

fn check_shop(file: &str, expected: &Value) -> Result<(), String> {
    let kind = Kind::from_name(expected["kind"].as_str().unwrap()).unwrap();
    let bytes = std::fs::read(samples("shops").join(file)).unwrap();
    let types = MetadataTypes::default();
    let read = read_file(&bytes, &folder(kind), &types, &Known::default(), 2)?;
    let mut store = BTreeMap::new();
    stored(&mut store, &read);
    let mut problems = Vec::new();
    if expected["preset"] != read.preset.as_str() {
        problems.push(format!("preset {}", read.preset));
    }
    for (name, count) in expected["counts"].as_object().unwrap() {
        let kind = Kind::from_name(name).unwrap();
        let got = store.keys().filter(|(k, _)| *k == kind).count();
        if *count != got {
            let keys: Vec<_> = store.keys().filter(|(k, _)| *k == kind).collect();
            problems.push(format!("{got} {name}, not {count}: {keys:?}"));
        }
    }
    for (name, records) in expected["records"].as_object().unwrap() {
        let kind = Kind::from_name(name).unwrap();
        for (key, wanted) in records.as_object().unwrap() {
            let Some(content) = store.get(&(kind, key.clone())) else {
                problems.push(format!("no {name} {key}"));
                continue;
            };
            let got = fields(content);
            for (field, wanted) in wanted.as_object().unwrap() {
                if !fits(got.get(field), wanted, field) {
                    problems.push(format!("{key} {field}: {:?}, not {wanted}", got.get(field)));
                }
            }
            let absent = &expected["absent"][name][key];
            for field in absent.as_array().into_iter().flatten() {
                if has(&got, field.as_str().unwrap()) {
                    problems.push(format!("{key} has {field}"));
                }
            }
        }
    }
    let rejects = expected["rejects"].as_array().unwrap();
    let as_wanted = |got: &Reject, wanted: &Value| {
        let row = read
            .lines
            .iter()
            .position(|line| *line == got.line)
            .unwrap()
            + 1;
        let column = wanted.get("column").and_then(Value::as_str);
        wanted["row"] == row
            && wanted["code"] == got.code.name()
            && column.is_none_or(|column| got.column.as_deref() == Some(column))
    };
    if rejects.len() != read.rejects.len()
        || !read
            .rejects
            .iter()
            .zip(rejects)
            .all(|(got, wanted)| as_wanted(got, wanted))
    {
        problems.push(format!("rejects {:?}", read.rejects));
    }
    if let Some(skipped) = expected["skipped"].as_u64()
        && skipped != read.skipped
    {
        problems.push(format!("{} skipped, not {skipped}", read.skipped));
    }
    if problems.is_empty() {
        Ok(())
    } else {
        Err(problems.join("\n "))
    }
}

#[test]
fn every_shop_sample_is_read_as_its_readme_says() {
    let text = std::fs::read_to_string(samples("shops").join("expected.json")).unwrap();
    let expected: BTreeMap<String, Value> = serde_json::from_str(&text).unwrap();
    let files = std::fs::read_dir(samples("shops"))
        .unwrap()
        .filter(|entry| {
            let path = entry.as_ref().unwrap().path();
            path.extension().is_some_and(|e| e == "csv" || e == "txt")
        });
    assert_eq!(
        files.count(),
        expected.len(),
        "each sample has its expectation"
    );
    let failures: Vec<String> = expected
        .iter()
        .filter_map(|(file, expected)| {
            let why = check_shop(file, expected).err()?;
            Some(format!("{file}: {why}"))
        })
        .collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
