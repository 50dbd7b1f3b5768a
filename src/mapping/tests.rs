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
use crate::reject::Code;
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

static PRESETS: std::sync::LazyLock<Presets> =
    std::sync::LazyLock::new(|| Presets::load(&[]).unwrap());

/// A store of e-mails and codes.
#[derive(Default)]
struct Known {
    emails: Vec<(&'static str, &'static str)>,
    codes: Vec<(&'static str, &'static str)>,
    product_codes: Vec<(&'static str, &'static str)>,
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

    fn products_by_code(&self, code: &str) -> Vec<String> {
        let fits = |(known, _): &&(&str, &str)| *known == code;
        let keys = self.product_codes.iter().filter(fits);
        keys.map(|(_, key)| (*key).to_owned()).collect()
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
    let presets = &*PRESETS;
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
        while let Some(counts) = reading.finish(lookup, &mut batch, &mut read.rejects) {
            read.skipped += counts.skipped;
        }
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

// ---- the plain format

/// What a file yields, one line a record (`+` created if unknown, `-` deleted) or reject.
#[track_caller]
fn check_with(folder: &Folder, known: &Known, csv: &str, expected: &[&str]) {
    let types = MetadataTypes::default();
    let read = read_file(csv.as_bytes(), folder, &types, known, 2).unwrap();
    let mut lines: Vec<String> = read
        .records
        .iter()
        .map(|(kind, key, act, content)| {
            let mark = match act {
                Act::Upsert => "",
                Act::CreateOnly => "+",
                Act::Delete => "-",
            };
            let of = if *kind == folder.kind {
                String::new()
            } else {
                format!("{kind} ")
            };
            let fields: Vec<String> = content
                .iter()
                .map(|(field, json)| format!(" {field}={json}"))
                .collect();
            format!("{mark}{of}{key}{}", fields.concat())
        })
        .collect();
    lines.extend(read.rejects.iter().map(|reject| {
        let column = reject.column.as_deref().unwrap_or("");
        format!("{}: {} {column}", reject.line, reject.code.name())
            .trim_end()
            .to_owned()
    }));
    assert_eq!(lines, expected);
}

#[track_caller]
fn check(kind: Kind, csv: &str, expected: &[&str]) {
    check_with(&folder(kind), &Known::default(), csv, expected);
}

#[test]
fn an_undecided_column_names_the_setting() {
    let csv = "source_id,birthdate\nC1,02/01/2004\n";
    let types = MetadataTypes::default();
    let read = read_file(
        csv.as_bytes(),
        &folder(Kind::Customers),
        &types,
        &Known::default(),
        10,
    );
    let reason = &read.unwrap().rejects[0].reason;
    assert!(reason.contains("`dates"), "{reason}");
}

#[test]
fn rows_of_an_order_become_its_items() {
    check(
        Kind::Orders,
        "source_id,status,amount,item.source_id,item.quantity,item.price\n\
         O1,PAID,25.00,P1,2,5.00\nO1,,,P2,1,15\nO2,created,3,,,\n",
        &[
            r#"O1 amount=2500 items=[{"source_id":"P1","kind":"product","quantity":2,"price":500},{"source_id":"P2","kind":"product","quantity":1,"price":1500}] status="PAID""#,
            r#"O2 amount=300 status="CREATED""#,
        ],
    );
}

#[test]
fn without_item_columns_each_row_is_an_order() {
    check(
        Kind::Orders,
        "source_id,status,amount\nO1,PAID,1\nO1,FULFILLED,2\n",
        &[
            r#"O1 amount=100 status="PAID""#,
            r#"O1 amount=200 status="FULFILLED""#,
        ],
    );
}

#[test]
fn one_bad_row_rejects_its_order_alone() {
    check(
        Kind::Orders,
        "source_id,status,item.source_id,item.quantity\n\
         O1,PAID,P1,1\nO1,,P2,many\nO2,PAID,P1,1\nO3,LOST,P1,1\n",
        &[
            r#"O2 items=[{"source_id":"P1","kind":"product","quantity":1}] status="PAID""#,
            "2: group",
            "3: number item.quantity",
            "5: status status",
        ],
    );
}

#[test]
fn rows_of_an_order_that_stand_apart_reject_it() {
    check(
        Kind::Orders,
        "source_id,item.source_id\nO1,P1\nO2,P1\nO1,P2\nO3,P3\n",
        &[
            r#"O2 items=[{"source_id":"P1","kind":"product"}]"#,
            r#"O3 items=[{"source_id":"P3","kind":"product"}]"#,
            "2: group source_id",
            "4: conflict source_id",
        ],
    );
}

#[test]
fn rows_of_an_order_that_differ_reject_it() {
    check(
        Kind::Orders,
        "source_id,status,item.source_id\nO1,PAID,P1\nO1,CREATED,P2\n",
        &["2: group", "3: conflict status"],
    );
}

#[test]
fn an_order_has_no_more_items_than_the_api_takes() {
    let mut csv = String::from("source_id,item.source_id\n");
    for i in 0..501 {
        csv.push_str(&format!("O1,P{i}\n"));
    }
    let types = MetadataTypes::default();
    let read = read_file(
        csv.as_bytes(),
        &folder(Kind::Orders),
        &types,
        &Known::default(),
        99,
    );
    let read = read.unwrap();
    assert_eq!((read.records.len(), read.rejects.len()), (0, 501));
    assert_eq!(read.rejects[500].code, crate::reject::Code::TooLong);
}

#[test]
fn an_order_names_its_customer_and_creates_who_is_unknown() {
    let known = Known {
        emails: vec![
            ("ann@example.com", "C7"),
            ("two@example.com", "C8"),
            ("TWO@example.com", "C9"),
        ],
        ..Known::default()
    };
    let csv = "source_id,customer.source_id,customer.email,customer.name\n\
               O1,C1,new@example.com,Bo\nO2,,ANN@example.com,Ann\nO3,,New@Example.com,\nO4,,,Nobody\n\
               O5,,two@example.com,\n";
    check_with(
        &folder(Kind::Orders),
        &known,
        csv,
        &[
            r#"+customers C1 email="new@example.com" name="Bo""#,
            r#"O1 customer.source_id="C1""#,
            r#"+customers C7 email="ANN@example.com" name="Ann""#,
            r#"O2 customer.source_id="C7""#,
            r#"+customers new@example.com email="New@Example.com""#,
            r#"O3 customer.source_id="new@example.com""#,
            "O4",
            "6: conflict customer.email",
        ],
    );
    let by_email = Folder {
        customer_key: Some(crate::config::CustomerKey::Email),
        ..folder(Kind::Orders)
    };
    let csv = "source_id,customer.source_id,customer.email\nO1,C1,x@y\n";
    check_with(
        &by_email,
        &known,
        csv,
        &[
            r#"+customers x@y email="x@y""#,
            r#"O1 customer.source_id="x@y""#,
        ],
    );
}

#[test]
fn prefixes_stand_before_keys_and_references() {
    let prefixed = Folder {
        key_prefix: "woo-".into(),
        customer_prefix: "c-".into(),
        product_prefix: "p-".into(),
        ..folder(Kind::Orders)
    };
    check_with(
        &prefixed,
        &Known::default(),
        "source_id,customer.source_id,item.source_id\n1,2,3\n",
        &[
            "+customers c-2",
            r#"woo-1 customer.source_id="c-2" items=[{"source_id":"p-3","kind":"product"}]"#,
        ],
    );
    let skus = Folder {
        kind: Kind::Skus,
        ..prefixed
    };
    check_with(
        &skus,
        &Known::default(),
        "source_id,product,attributes.color\n1,2,red\n3,,blue\n",
        &[
            r#"woo-1 attributes.color="red" product="p-2""#,
            "3: missing_key product",
        ],
    );
}

#[test]
fn blank_cells_clear_what_can_be_cleared() {
    let clearing = Folder {
        blank: Blank::Clear,
        ..folder(Kind::Customers)
    };
    let cleared = crate::record::CLEARED;
    let expected = format!("C1 email={cleared} metadata.tier={cleared} name=\"Ann\"");
    check_with(
        &clearing,
        &Known::default(),
        "source_id,name,email,birthdate,metadata.tier\nC1,Ann,,,\n",
        &[&expected],
    );
    let csv = "source_id,birthdate\nC1,\nC2,\n";
    let types = MetadataTypes::default();
    let read = read_file(csv.as_bytes(), &clearing, &types, &Known::default(), 10).unwrap();
    assert!(
        read.notices[0].starts_with("2 blank cells of `birthdate`"),
        "{:?}",
        read.notices
    );
}

#[test]
fn columns_and_constants_of_the_folder_stand_over_the_preset() {
    let own = Folder {
        columns: vec![
            ("e-mail".into(), "email".into()),
            ("Points".into(), "metadata.points:number".into()),
            ("Tags".into(), "metadata.tags:string[]".into()),
            ("News".into(), "consent.news".into()),
            ("Notes".into(), String::new()),
        ],
        constants: vec![("metadata.store".into(), "paris".into())],
        ..folder(Kind::Customers)
    };
    check_with(
        &own,
        &Known::default(),
        "source_id,E-Mail ,Points,Tags,News,Notes,VIP level\nC1,a@b,\"1.234,5\",\"a,b\",yes,x,3\nC2,,many,,,,\n",
        &[
            r#"C1 consent.news=true email="a@b" metadata.VIP_level="3" metadata.points=1234.5 metadata.store="paris" metadata.tags=["a","b"]"#,
            "3: number Points",
        ],
    );
}

#[test]
fn a_misspelt_column_is_told_with_the_nearest_name() {
    let csv = "source_id,emial\nC1,x\n";
    let types = MetadataTypes::default();
    let read = read_file(
        csv.as_bytes(),
        &folder(Kind::Customers),
        &types,
        &Known::default(),
        10,
    );
    let notices = read.unwrap().notices;
    assert!(notices[0].contains("did you mean `email`?"), "{notices:?}");
}

#[test]
fn a_key_that_a_spreadsheet_may_have_rounded_is_taken_with_a_notice() {
    let csv = "source_id,name\n4.00638E+12,Mangled\n1E5,Hose\n";
    let types = MetadataTypes::default();
    let read = read_file(
        csv.as_bytes(),
        &folder(Kind::Products),
        &types,
        &Known::default(),
        9,
    );
    let read = read.unwrap();
    assert_eq!(read.records.len(), 2);
    assert!(
        read.notices[0].starts_with("1 keys look"),
        "{:?}",
        read.notices
    );
}

#[test]
fn a_sku_under_two_products_is_stored_under_the_first() {
    let csv = "Handle,Title,Option1 Name,Option1 Value,Variant SKU,Variant Price\n\
               a,A,Size,S,X1,1.00\nb,B,Size,S,X1,2.00\nb,,,M,X2,-2.00\nc,C,Size,S,X3,3.00\n";
    check(
        Kind::Products,
        csv,
        &[
            r#"a attributes=["Size"] name="A" price=100"#,
            r#"skus X1 attributes.Size="S" price=100 product="a" sku="X1""#,
            r#"c attributes=["Size"] name="C" price=300"#,
            r#"skus X3 attributes.Size="S" price=300 product="c" sku="X3""#,
            "3: group",
            "4: number Variant Price",
        ],
    );
    let csv = csv.replace("-2.00", "2.00");
    check(
        Kind::Products,
        &csv,
        &[
            r#"a attributes=["Size"] name="A" price=100"#,
            r#"skus X1 attributes.Size="S" price=100 product="a" sku="X1""#,
            r#"b attributes=["Size"] name="B" price=200"#,
            r#"skus X2 attributes.Size="M" price=200 product="b" sku="X2""#,
            r#"c attributes=["Size"] name="C" price=300"#,
            r#"skus X3 attributes.Size="S" price=300 product="c" sku="X3""#,
            "3: conflict Variant SKU",
        ],
    );
}

#[test]
fn variations_of_magento_are_skus_wherever_they_stand() {
    let csv = "sku,store_view_code,attribute_set_code,product_type,name,price,configurable_variations\n\
               T-S,,Default,simple,Tee S,10,\nT,,Default,configurable,Tee,,\"sku=T-S,size=S|sku=T-M,size=M\"\n\
               T-M,,Default,simple,Tee M,11.5,\nT,de,Default,configurable,Hemd,,\n";
    check(
        Kind::Products,
        csv,
        &[
            r#"skus T-S attributes.size="S" metadata.name="Tee S" price=1000 product="T" sku="T-S""#,
            r#"T metadata.product_type="configurable" name="Tee""#,
            r#"skus T-M attributes.size="M" metadata.name="Tee M" price=1150 product="T" sku="T-M""#,
        ],
    );
}

#[test]
fn a_faulty_row_below_its_records_first_one_rejects_them_all() {
    let csv = "id,order_line/product_id,order_line/product_uom_qty,order_line/price_unit\n\
               o1,Desk,1,10\n,Lamp\u{0},1,10\no2,Desk,1,10\n,Lamp,1,10,surplus\n";
    check(
        Kind::Orders,
        csv,
        &[
            "2: group",
            "3: encoding order_line/product_id",
            "4: group",
            "5: column_count",
        ],
    );
}

#[test]
fn a_variation_finds_its_product_by_code_in_the_file_or_in_the_store() {
    let csv = "ID,Type,SKU,Regular price,Parent\n1,variable,HERE,,\n2,variation,a,1,HERE\n\
               3,variation,b,1,STORED\n4,variation,c,1,id:9\n5,variation,d,1,TWICE\n6,variation,e,1,NOWHERE\n";
    let known = Known {
        product_codes: vec![("STORED", "w-7"), ("TWICE", "w-8"), ("TWICE", "w-9")],
        ..Known::default()
    };
    let mut folder = folder(Kind::Products);
    folder.key_prefix = "w-".into();
    check_with(
        &folder,
        &known,
        csv,
        &[
            r#"w-1 metadata.sku="HERE""#,
            r#"skus w-2 price=100 product="w-1" sku="a""#,
            r#"skus w-3 price=100 product="w-7" sku="b""#,
            r#"skus w-4 price=100 product="w-9" sku="c""#,
            "6: conflict Parent",
            "7: unknown_parent Parent",
        ],
    );
}

#[test]
fn items_in_one_cell_are_told_apart_by_how_they_begin() {
    check(
        Kind::Orders,
        "order_id,order_number,billing_email,line_items\n\
         1,1,,name:Nut; bolt|product_id:5|quantity:1|total:2;name:A|B|product_id:6|quantity:2|total:4\n\
         2,2,,id:7|name:X|product_id:7|quantity:1|subtotal:3|total:1;id:8|name:Y: z;y|sku:Y|quantity:1|total:1;\n",
        &[
            r#"1 amount=600 discount_amount=0 items=[{"source_id":"5","kind":"product","quantity":1,"price":200,"amount":200,"name":"Nut; bolt"},{"source_id":"6","kind":"product","quantity":2,"price":200,"amount":400,"name":"A|B"}] metadata.order_number="1""#,
            r#"2 amount=400 discount_amount=200 items=[{"source_id":"7","kind":"product","quantity":1,"price":300,"amount":300,"name":"X"},{"source_id":"Y","kind":"sku","quantity":1,"price":100,"amount":100,"name":"Y: z;y"}] metadata.order_number="2""#,
        ],
    );
}

#[test]
fn items_that_a_file_tells_twice_are_taken_once() {
    let header = "order_id,order_total,line_item_1,Product Item 1 Name,Product Item 1 id,\
                  Product Item 1 SKU,Product Item 1 Quantity,Product Item 1 Total";
    let told = "name:Lamp|product_id:13|sku:L-1|quantity:1|total:9";
    check(
        Kind::Orders,
        &format!("{header}\n1,9,{told},Lamp,13,L-1,1,9\n2,9,,Lamp,13,L-1,1,9\n"),
        &[
            r#"1 amount=900 discount_amount=0 items=[{"source_id":"13","kind":"product","quantity":1,"price":900,"amount":900,"name":"Lamp"}] metadata.total=9"#,
            r#"2 amount=900 discount_amount=0 items=[{"source_id":"13","kind":"product","quantity":1,"price":900,"amount":900,"name":"Lamp"}] metadata.total=9"#,
        ],
    );
}

#[test]
fn a_discount_in_percent_counts_where_no_net_sum_stands() {
    let header = "Order Reference,Order Lines/Product,Order Lines/Quantity,\
                  Order Lines/Unit Price,Order Lines/Discount (%)";
    check(
        Kind::Orders,
        &format!("{header}\nS1,Desk,2,10.00,12.5\n,Lamp,1,5.05,10\n"),
        &[
            r#"S1 amount=2505 discount_amount=301 items=[{"quantity":2,"price":1000,"amount":2000,"name":"Desk"},{"quantity":1,"price":505,"amount":505,"name":"Lamp"}] metadata.name="S1""#,
        ],
    );
    check(
        Kind::Orders,
        &format!("{header},Order Lines/Subtotal\nS1,Desk,2,10.00,12.5,17\n"),
        &[
            r#"S1 amount=2000 discount_amount=300 items=[{"quantity":2,"price":1000,"amount":2000,"name":"Desk"}] metadata.name="S1""#,
        ],
    );
    check(
        Kind::Orders,
        &format!("{header}\nS1,Desk,2,10.00,much\n"),
        &["2: number Order Lines/Discount (%)"],
    );
}

#[test]
fn a_fault_in_a_profile_brings_all_its_rows_back_but_a_missing_id_is_one_reject() {
    let csv = "mpid, scanned_timestamp_ms, identity_value, identity_type\n\
               1, 1, c1, customer_id\n1, 1, a\u{0}@x.com, email\n1, 1, +1, mobile_number\n\
               2, 1, b@x.com, email\n2, 1, +2, mobile_number\n";
    check(
        Kind::Customers,
        csv,
        &[
            "2: group",
            "3: encoding identity_value",
            "4: group",
            "5: missing_key identity_value",
        ],
    );
}

#[test]
fn an_address_is_the_physical_or_the_postal_one_never_a_part_of_each() {
    let header = "Customer Code,Physical Address,Physical Address,Physical City,Physical Country,\
                  Postal Address,Postal Address,Postal City,Postal Postcode,Postal Country";
    check(
        Kind::Customers,
        &format!(
            "{header}\nA,1 Rd,,Town,NZ,9 Post,Box 1,Else,999,AU\nB,,,,,9 Post,Box 1,Else,999,AU\n"
        ),
        &[
            r#"A address.city="Town" address.country="NZ" address.line_1="1 Rd""#,
            r#"B address.city="Else" address.country="AU" address.line_1="9 Post" address.line_2="Box 1" address.postal_code="999""#,
        ],
    );
}

#[test]
fn a_birthday_without_a_year_is_no_birthdate() {
    check(
        Kind::Customers,
        "Square Customer ID,Email Address,Phone Number,Birthday\n\
         A,,,0000-04-17\nB,,,04-17\nC,,,1990-04-17\nD,,,1990-02-30\n",
        &[
            r#"A metadata.birthday="0000-04-17""#,
            r#"B metadata.birthday="04-17""#,
            r#"C birthdate="1990-04-17""#,
            "5: date Birthday",
        ],
    );
}

#[test]
fn a_reject_names_the_column_that_was_read_of_several_that_could_be() {
    let woo = "ID,Type,SKU,Name,Sale price,Regular price,Date sale price starts";
    check(
        Kind::Products,
        &format!("{woo}\n1,simple,a,A,,abc,\n2,simple,b,B,abc,5,\n3,simple,c,C,4,5,2026-02-30\n"),
        &[
            "2: number Regular price",
            "3: number Sale price",
            "4: date Date sale price starts",
        ],
    );
    check(
        Kind::Products,
        "handleId,fieldType,name,price,surcharge,productOptionName1,productOptionDescription1\n\
         P1,Product,A,20,,Size,S;L\nP1,Variant,,,1,Size,S\nP1,Variant,,,abc,Size,L\n",
        &["2: group", "3: group", "4: number surcharge"],
    );
    let square =
        "Date,Time,Time Zone,Item,Qty,Gross Sales,Transaction ID,Event Type,Itemization Type";
    check(
        Kind::Orders,
        &format!(
            "{square}\n2026-13-01,10:00:00,London,x,1,1,T1,Payment,P\n\
             2026-01-01,10:00:00,Mars,x,1,1,T2,Payment,P\n"
        ),
        &["2: date Date", "3: date Time Zone"],
    );
    check(
        Kind::Orders,
        "Id,OrderNumber,EffectiveDate,StatusCode,Status\n8015e00000AbCdEAAV,1,,,Odd\n",
        &["2: status Status"],
    );
    let good = "name:a|product_id:1|quantity:1|total:1";
    let bad = "name:a|product_id:1|quantity:x|total:1";
    check(
        Kind::Orders,
        &format!(
            "order_id,order_total,line_item_1,line_item_2\n1,2,{good},{bad}\n2,2,{good},void\n"
        ),
        &["2: number line_item_2", "3: encoding line_item_2"],
    );
    let numbered = "Product Item 1 Name,Product Item 1 Quantity,Product Item 1 Total,\
                    Product Item 2 Name,Product Item 2 Quantity,Product Item 2 Total";
    check(
        Kind::Orders,
        &format!("order_id,order_total,{numbered}\n1,2,a,1,1,b,1,much\n2,2,a,many,1,,,\n"),
        &[
            "2: number Product Item 2 Total",
            "3: number Product Item 1 Quantity",
        ],
    );
}

#[test]
fn no_password_stands_among_a_rejects_cells_unless_the_folder_maps_it() {
    let csv = "Customer ID;Titles ID (Mr = 1, Ms = 2, else 0);Password *;Birthday (yyyy-mm-dd)\n\
               1;1;s3cr3t;1990-02-30\n;1;s3cr3t;\n";
    let cells = |folder: &Folder| {
        let types = MetadataTypes::default();
        let read = read_file(csv.as_bytes(), folder, &types, &Known::default(), 9).unwrap();
        let rejects = read.rejects.into_iter();
        rejects.map(|reject| reject.cells).collect::<Vec<_>>()
    };
    let plain = cells(&folder(Kind::Customers));
    assert_eq!(plain, [["1", "1", "", "1990-02-30"], ["", "1", "", ""]]);
    let own = Folder {
        columns: vec![("Password *".into(), "metadata.word".into())],
        ..folder(Kind::Customers)
    };
    assert_eq!(cells(&own)[0][2], "s3cr3t");
}

#[test]
fn products_without_columns_of_their_skus_are_read_as_products_alone() {
    check(
        Kind::Products,
        "External ID,Name,Sales Price\nt1,Chair,25.50\nt2,Desk,30\n",
        &[
            r#"t1 name="Chair" price=2550"#,
            r#"t2 name="Desk" price=3000"#,
        ],
    );
    check(
        Kind::Products,
        "Handle,Name,Sold by weight,Default price\nmug,Mug,N,5.25\n",
        &[r#"mug name="Mug" price=525"#],
    );
    let types = MetadataTypes::default();
    let skus = read_file(
        b"External ID,Name,Sales Price\nt1,Chair,25.50\n",
        &folder(Kind::Skus),
        &types,
        &Known::default(),
        9,
    );
    let reason = skus.err().unwrap();
    assert!(reason.contains("product_variant_ids/id"), "{reason}");
}

#[test]
fn a_reports_footer_is_known_also_as_a_spreadsheet_saves_it() {
    let row = |key: &str| format!("{key},Roe,ACME\n");
    let (first, second) = (row("0035e00000AbCdE"), row("0035e00000AbCdF"));
    let csv = format!(
        "Contact ID,Last Name,Account Name\n{first},,\n{second},,\n\"Grand Totals (2 records)\",,\n,,\nACME,,\n"
    );
    let types = MetadataTypes::default();
    let folder = folder(Kind::Customers);
    let read = read_file(csv.as_bytes(), &folder, &types, &Known::default(), 2).unwrap();
    assert_eq!(
        (read.records.len(), read.rejects.len(), read.skipped),
        (2, 0, 5),
        "{:?}",
        read.rejects
    );
}

#[test]
fn a_row_with_one_bad_cell_still_says_how_its_columns_are_written() {
    check(
        Kind::Customers,
        "source_id,name,birthdate\nC1,A,02/01/2004\nC2,B\u{0},31/12/1992\n",
        &[r#"C1 birthdate="2004-01-02" name="A""#, "3: encoding name"],
    );
    // Of one whose cells don't fit the header nobody knows which column they are of.
    check(
        Kind::Customers,
        "source_id,name,birthdate\nC1,A,02/01/2004\nC2,B,31/12/1992,x\n",
        &["2: date birthdate", "3: column_count"],
    );
}

#[test]
fn items_in_numbered_columns_have_the_products_id() {
    check(
        Kind::Orders,
        "order_id,order_total,Product Item 1 Name,Product Item 1 id,Product Item 1 SKU,Product Item 1 Quantity,Product Item 1 Total\n\
         1,9,Lamp,13,L-1,1,9\n",
        &[
            r#"1 amount=900 discount_amount=0 items=[{"source_id":"13","kind":"product","quantity":1,"price":900,"amount":900,"name":"Lamp"}] metadata.total=9"#,
        ],
    );
}

#[test]
fn two_columns_of_one_name_that_a_preset_knows_are_two_fields() {
    check(
        Kind::Customers,
        "Customer Code,First Name,Physical Address,Physical Address,Postal Address,Postal Address\n\
         C1,Ann,Street 1,Floor 2,P 1,P 2\nC2,Bob,,,P 1,P 2\n",
        &[
            r#"C1 address.line_1="Street 1" address.line_2="Floor 2" name="Ann""#,
            r#"C2 address.line_1="P 1" address.line_2="P 2" name="Bob""#,
        ],
    );
}

#[test]
fn a_template_tells_its_unknown_columns_as_the_plain_format_does() {
    for (kind, csv) in [
        (
            Kind::Customers,
            "Source_id,Address_City,Telefon,Emial\nC1,x,1,y\n",
        ),
        (
            Kind::Products,
            "name,source_id,price,attributes,pirce_old\nA,P1,1,,2\n",
        ),
        (Kind::Skus, "source_id,product_id,sku,Colour\nS1,P1,s,red\n"),
    ] {
        let types = MetadataTypes::default();
        let read = read_file(csv.as_bytes(), &folder(kind), &types, &Known::default(), 9).unwrap();
        assert!(read.preset.starts_with("voucherify-"), "{}", read.preset);
        let last = read.notices.last().expect("it is told");
        assert!(last.contains("is stored as `metadata."), "{last}");
    }
}

#[test]
fn a_refund_alone_is_of_a_known_order_or_none() {
    let csv = "Date,Time,Time Zone,Item,Qty,Itemization Type,Gross Sales,Discounts,Net Sales,Transaction ID,Event Type,Token\n\
               2026-07-19,09:05:00,UTC,pin,-1.0,Physical Good,-$4.00,$0.00,-$4.00,T1,Refund,X\n";
    check(Kind::Orders, csv, &["2: unknown_parent"]);
    let known = Known {
        orders: vec!["T1"],
        ..Known::default()
    };
    check_with(
        &folder(Kind::Orders),
        &known,
        csv,
        &["T1 metadata.refunded=4"],
    );
}

#[test]
fn a_deleted_row_deletes_whatever_else_it_says() {
    check(
        Kind::Products,
        "source_id,price,deleted\nP1,nonsense,YES\nP2,1,no\nP3,1,perhaps\n",
        &["-P1", "P2 price=100", "4: boolean deleted"],
    );
}

#[test]
fn a_deleted_row_deletes_in_the_apis_own_templates_too() {
    check(
        Kind::Products,
        "source_id,name,price,attributes,deleted\nP1,a,1,,yes\nP2,a,1,,no\n",
        &["-P1", "P2 name=\"a\" price=100"],
    );
    check(
        Kind::Skus,
        "source_id,product_id,sku,deleted\nS1,P1,a,1\nS2,P1,a,perhaps\n",
        &["-S1", "3: boolean deleted"],
    );
    check(
        Kind::Customers,
        "source_id,name,city,postal_code,deleted\nC1,a,b,c,true\n",
        &["-C1"],
    );
}

#[test]
fn the_projects_types_read_metadata() {
    let ty = |item, list| MetadataType { item, list };
    let keys = BTreeMap::from([
        ("points".to_owned(), ty(ItemType::Number, false)),
        ("vip".to_owned(), ty(ItemType::Boolean, false)),
        ("days".to_owned(), ty(ItemType::Date, true)),
        ("box".to_owned(), ty(ItemType::Object, false)),
    ]);
    let types = MetadataTypes {
        resources: BTreeMap::from([("customer".to_owned(), keys)]),
    };
    let csv = "source_id;points;vip;days;box\nC1;007;1;2020-01-02, 2020-01-03;{\"\"a\"\":1}\nC2;1;no;31.02.2020;\n";
    let csv = csv.replace("{\"\"a\"\":1}", "\"{\"\"a\"\":1}\"");
    let read = read_file(
        csv.as_bytes(),
        &folder(Kind::Customers),
        &types,
        &Known::default(),
        9,
    );
    let read = read.unwrap();
    let got = fields(&read.records[0].3);
    assert_eq!(
        json!(got),
        json!({"metadata.points": 7, "metadata.vip": true, "metadata.days": ["2020-01-02", "2020-01-03"], "metadata.box": {"a": 1}})
    );
    assert_eq!(read.rejects[0].column.as_deref(), Some("days"));
}

#[test]
fn a_header_of_another_kind_is_refused_in_words() {
    let types = MetadataTypes::default();
    let refused = |kind, csv: &str| {
        read_file(csv.as_bytes(), &folder(kind), &types, &Known::default(), 9).unwrap_err()
    };
    let why = refused(Kind::Customers, "name,source_id,price,attributes\na,b,1,\n");
    assert!(why.contains("voucherify-products"), "{why}");
    let why = refused(
        Kind::Products,
        "source_id,customer.source_id,item.source_id\na,b,c\n",
    );
    assert!(why.contains("orders"), "{why}");
    let why = refused(Kind::Customers, "id,what\n1,2\n");
    assert!(why.contains("source_id"), "{why}");
}

#[test]
fn batches_borders_change_nothing() {
    let types = MetadataTypes::default();
    for dir in ["traps", "connectors", "shops"] {
        for entry in std::fs::read_dir(samples(dir)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|e| e != "csv") {
                continue;
            }
            let bytes = std::fs::read(&path).unwrap();
            for kind in Kind::ALL {
                let read = |rows| read_file(&bytes, &folder(kind), &types, &Known::default(), rows);
                let (Ok(one), Ok(all)) = (read(1), read(4096)) else {
                    continue;
                };
                assert_eq!(one.records, all.records, "{}", path.display());
                assert_eq!(one.rejects, all.rejects, "{}", path.display());
                assert_eq!(one.skipped, all.skipped, "{}", path.display());
            }
        }
    }
}

/// Nobody may ask it.
struct Silent;

impl Lookup for Silent {
    fn customers_by_email(&self, _: &str) -> Vec<String> {
        panic!("a customer was asked for")
    }

    fn skus_by_code(&self, _: &str) -> Vec<String> {
        panic!("a SKU was asked for")
    }
}

/// Each order's day, by a reading of days alone.
fn days_alone(bytes: &[u8], folder: &Folder) -> Option<Vec<(String, Option<String>)>> {
    let mut file = Cursor::new(bytes);
    let known = |cells: &[String]| PRESETS.is_header(folder.kind, cells, &folder.columns);
    let member = survey(&mut file, &Settings::default(), &known)
        .ok()?
        .remove(0);
    let header = &member.header;
    let found = PRESETS.recognise(&folder.preset, folder.kind, header, &folder.columns);
    let Recognised::Taken { preset, .. } = found else {
        return None;
    };
    let place = Place {
        host_zone: "UTC",
        today: jiff::civil::date(2026, 11, 25),
    };
    let types = MetadataTypes::default();
    let mut whole = Reading::compile(header, preset, folder, &types, &place).ok()?;
    if let Some(mut evidence) = whole.evidence() {
        each_batch(&mut file, &member, 9, |rows| {
            rows.iter().for_each(|row| evidence.observe(row));
        });
        whole.decide(evidence);
    }
    let mut reading = whole.afresh_for(&["metadata.created_at"])?;
    let (mut batch, mut rejects, mut records) = (Batch::default(), Vec::new(), Vec::new());
    each_batch(&mut file, &member, 9, |rows| {
        for row in rows.iter() {
            reading.map(row, &Silent, &mut batch, &mut rejects);
        }
    });
    while (reading.finish(&Silent, &mut batch, &mut rejects)).is_some() {}
    drain(&mut batch, &mut records);
    Some(days(&records))
}

fn days(records: &[(Kind, String, Act, Content)]) -> Vec<(String, Option<String>)> {
    let orders = records.iter().filter(|(kind, ..)| *kind == Kind::Orders);
    orders
        .map(|(_, key, _, content)| {
            let day = content.get("metadata.created_at").map(str::to_owned);
            (key.clone(), day)
        })
        .collect()
}

#[test]
fn days_read_alone_are_those_of_the_orders_and_nobody_is_asked_for_them() {
    let folder = folder(Kind::Orders);
    let types = MetadataTypes::default();
    let mut tried = 0;
    for dir in ["traps", "connectors", "shops"] {
        for entry in std::fs::read_dir(samples(dir)).unwrap() {
            let path = entry.unwrap().path();
            if !path.is_file() {
                continue;
            }
            let bytes = std::fs::read(&path).unwrap();
            let Ok(whole) = read_file(&bytes, &folder, &types, &Known::default(), 9) else {
                continue;
            };
            let whole = days(&whole.records);
            match days_alone(&bytes, &folder) {
                Some(alone) => {
                    for order in whole.iter().filter(|(_, day)| day.is_some()) {
                        assert!(alone.contains(order), "{}: {order:?}", path.display());
                    }
                    tried += alone.len();
                }
                None => assert!(whole.iter().all(|(_, day)| day.is_none())),
            }
        }
    }
    assert!(tried > 20, "{tried}");
}

/// A table's header and rows, written anew.
struct Written {
    header: Vec<String>,
    /// Each row's cells, and whether a blank line stands before it.
    rows: Vec<(bool, Vec<String>)>,
}

impl Written {
    /// `None`: rows of it are at fault, or it has no header; such a table cannot be written otherwise.
    fn of(bytes: &[u8], folder: &Folder) -> Option<Written> {
        let mut file = Cursor::new(bytes);
        let known = |cells: &[String]| PRESETS.is_header(folder.kind, cells, &folder.columns);
        let [member] = &survey(&mut file, &Settings::default(), &known).ok()?[..] else {
            return None;
        };
        let mut written = Written {
            header: member.header.clone(),
            rows: Vec::new(),
        };
        let mut sound = member.dialect.header_line > 0;
        each_batch(&mut file, member, 4096, |rows| {
            for row in rows.iter() {
                sound &= row.fault().is_none();
                written.rows.push((row.after_blank_line(), row.cells()));
            }
        });
        sound.then_some(written)
    }

    fn text(&self, delimiter: u8, quotes: csv::QuoteStyle, end: &str) -> String {
        let mut text = String::new();
        let rows = self.rows.iter().map(|(blank, cells)| (*blank, cells));
        for (blank, cells) in std::iter::once((false, &self.header)).chain(rows) {
            let mut line = csv::WriterBuilder::new()
                .delimiter(delimiter)
                .quote_style(quotes)
                .terminator(csv::Terminator::Any(b'\n'))
                .from_writer(Vec::new());
            line.write_record(cells).unwrap();
            let line = String::from_utf8(line.into_inner().unwrap()).unwrap();
            text.push_str(if blank { end } else { "" });
            text.push_str(line.strip_suffix('\n').unwrap());
            text.push_str(end);
        }
        text
    }

    fn mirrored(mut self) -> Written {
        self.header.reverse();
        for (_, cells) in &mut self.rows {
            cells.resize(self.header.len(), String::new());
            cells.reverse();
        }
        self
    }
}

fn utf16(text: &str, unit: fn(u16) -> [u8; 2]) -> Vec<u8> {
    let text = format!("\u{FEFF}{text}");
    text.encode_utf16().flat_map(unit).collect()
}

#[test]
fn every_sample_reads_the_same_however_it_is_written() {
    use csv::QuoteStyle::{Always, Necessary};
    let mut tried = 0;
    for dir in ["connectors", "shops"] {
        for entry in std::fs::read_dir(samples(dir)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|e| e != "csv" && e != "txt") {
                continue;
            }
            let bytes = std::fs::read(&path).unwrap();
            for kind in Kind::ALL {
                let folder = folder(kind);
                let types = MetadataTypes::default();
                let read = |bytes: &[u8]| {
                    let read = read_file(bytes, &folder, &types, &Known::default(), 4096)?;
                    let rejects = read.rejects.iter();
                    let rejects: Vec<_> = rejects.map(|r| (r.code, r.column.clone())).collect();
                    Ok::<_, String>((read.preset, read.records, rejects, read.skipped))
                };
                let (Ok(expected), Some(table)) = (read(&bytes), Written::of(&bytes, &folder))
                else {
                    continue;
                };
                let check = |how: &str, bytes: &[u8]| {
                    let place = format!("{} as {kind:?}, {how}", path.display());
                    assert_eq!(read(bytes).as_ref(), Ok(&expected), "{place}");
                };
                let plain = table.text(b',', Necessary, "\n");
                check("as it is", plain.as_bytes());
                check("with a mark", format!("\u{FEFF}{plain}").as_bytes());
                check("quoted", table.text(b',', Always, "\r\n").as_bytes());
                check("old Mac", table.text(b',', Necessary, "\r").as_bytes());
                check("semicolons", table.text(b';', Necessary, "\r\n").as_bytes());
                check("tabs", table.text(b'\t', Necessary, "\n").as_bytes());
                check("pipes", table.text(b'|', Necessary, "\n").as_bytes());
                let tabs = table.text(b'\t', Necessary, "\r\n");
                check("UTF-16LE", &utf16(&tabs, u16::to_le_bytes));
                check("UTF-16BE", &utf16(&tabs, u16::to_be_bytes));
                let (windows, _, lost) = encoding_rs::WINDOWS_1252.encode(&plain);
                if !lost {
                    check("Windows-1252", &windows);
                }
                // Segment alone is told by its first column.
                if !expected.0.starts_with("segment") {
                    let mirrored = table.mirrored().text(b',', Necessary, "\n");
                    check("mirrored", mirrored.as_bytes());
                }
                tried += 1;
            }
        }
    }
    assert!(tried > 60, "{tried}");
}

// ---- nothing is lost without a word

/// A row that cannot be read whole: by which code it is rejected, and in which column.
#[track_caller]
fn check_refused(folder: &Folder, csv: &str, code: Code, column: &str) {
    let types = MetadataTypes::default();
    let read = read_file(csv.as_bytes(), folder, &types, &Known::default(), 9).unwrap();
    let found: Vec<_> = (read.rejects.iter())
        .map(|r| (r.code, r.column.as_deref()))
        .collect();
    assert_eq!(found, [(code, Some(column))], "{csv}\n{:?}", read.records);
}

#[test]
fn cells_that_are_meant_as_json_and_are_none_reject_their_row() {
    let refused = |kind, csv: &str, column: &str| {
        check_refused(&folder(kind), csv, Code::Encoding, column);
    };
    let sku = |cell: &str| {
        format!(
            "product_id,sku,source_id,price,attributes\nP,S,S1,1,\"{cell}\"\nP,S,S2,1,\"{{'a':'b'}}\"\n"
        )
    };
    for cell in ["{color:blue}", "{'color':'blue'", "color", "['a']", "[]"] {
        refused(Kind::Skus, &sku(cell), "attributes");
    }
    let product = |cell: &str| format!("source_id,name,price,attributes\nP,N,1,\"{cell}\"\n");
    for cell in ["['a','b'", "[a,b]", "{'a':'b'}"] {
        refused(Kind::Products, &product(cell), "attributes");
    }
    let traits = "key,external_ids,traits\nk,\"{'user_id':['u1']}\",\"{'name':'Ann'\"\n";
    refused(Kind::Customers, traits, "traits");
    let traits = "key,external_ids,traits\nk,\"{'user_id':['u1']}\",\"['Ann']\"\n";
    refused(Kind::Customers, traits, "traits");
    let ids = "key,external_ids,traits\nk,\"{user_id:[u1]}\",\"{'name':'Ann'}\"\n";
    let people = folder(Kind::Customers);
    check_refused(&people, ids, Code::MissingKey, "external_ids");
}

#[test]
fn metadata_of_a_type_is_of_it_or_rejects_its_row() {
    let ty = |item, list| MetadataType { item, list };
    let keys = BTreeMap::from([
        ("box".to_owned(), ty(ItemType::Object, false)),
        ("boxes".to_owned(), ty(ItemType::Object, true)),
        ("tags".to_owned(), ty(ItemType::String, true)),
        ("points".to_owned(), ty(ItemType::Number, true)),
    ]);
    let mut types = MetadataTypes::default();
    types.resources.insert("customer".to_owned(), keys);
    for (column, cell, code) in [
        ("box", "{a:1}", Code::Encoding),
        ("box", "oak", Code::Encoding),
        ("boxes", "[{'a':1}", Code::Encoding),
        ("boxes", "oak,elm", Code::Encoding),
        ("tags", "['a','b'", Code::Encoding),
        ("tags", "[a,b]", Code::Encoding),
        ("points", "1,x", Code::Number),
        ("points", "[1,", Code::Number),
    ] {
        let csv = format!("source_id,metadata.{column}\n1,\"{cell}\"\n");
        let folder = folder(Kind::Customers);
        let read = read_file(csv.as_bytes(), &folder, &types, &Known::default(), 9).unwrap();
        let found: Vec<_> = read.rejects.iter().map(|r| r.code).collect();
        assert_eq!(found, [code], "{csv} {:?}", read.records);
        assert_eq!(
            read.rejects[0].column.as_deref(),
            Some(&*format!("metadata.{column}"))
        );
    }
    let csv = "source_id,metadata.box,metadata.boxes,metadata.tags\n\
               1,\"{'a':1}\",\"[{'a':1},{'b':2}]\",\"[x] a,b\"\n";
    let folder = folder(Kind::Customers);
    let read = read_file(csv.as_bytes(), &folder, &types, &Known::default(), 9).unwrap();
    assert_eq!(
        json!(fields(&read.records[0].3)),
        json!({
            "metadata.box": {"a": 1},
            "metadata.boxes": [{"a": 1}, {"b": 2}],
            "metadata.tags": ["[x] a", "b"],
        })
    );
}

#[test]
fn a_consent_is_yes_or_no() {
    let mut of = folder(Kind::Customers);
    of.columns = vec![("News".into(), "consent.newsletter".into())];
    check_refused(
        &of,
        "source_id,News\n1,maybe\n2,yes\n3,\n",
        Code::Boolean,
        "News",
    );
}

#[test]
fn items_that_cannot_be_read_reject_their_order() {
    let order = |items: &str| {
        format!(
            "order_id,order_number,billing_email,status,order_total,line_items\n\
             7,7,a@b.de,completed,5.00,\"{items}\"\n"
        )
    };
    for items in [
        "Lamp x2",
        "what:Lamp|many:2",
        "name:Lamp|quantity:1|total:5.00;",
    ] {
        let read = read_file(
            order(items).as_bytes(),
            &folder(Kind::Orders),
            &MetadataTypes::default(),
            &Known::default(),
            9,
        )
        .unwrap();
        let whole = items.starts_with("name");
        assert_eq!(read.rejects.is_empty(), whole, "{items} {:?}", read.rejects);
        if !whole {
            let found = (read.rejects[0].code, read.rejects[0].column.as_deref());
            assert_eq!(found, (Code::Encoding, Some("line_items")));
        }
    }
}

#[test]
fn a_fraction_that_came_back_keeps_its_sign() {
    let csv = "order_id,order_number,billing_email,status,order_total,line_items\n\
               7,7,a@b.de,completed,5.00,name:Nuts|quantity:-0.5|total:-5.00\n";
    let read = read_file(
        csv.as_bytes(),
        &folder(Kind::Orders),
        &MetadataTypes::default(),
        &Known::default(),
        9,
    )
    .unwrap();
    let order = read.records.iter().find(|(kind, ..)| *kind == Kind::Orders);
    let items = fields(&order.unwrap().3)["items"].clone();
    assert_eq!(items[0]["metadata"]["quantity"], json!(-0.5), "{items}");
}

#[test]
fn days_of_a_price_are_read_by_their_whole_column() {
    let csv = |from: [&str; 2]| {
        format!(
            "sku,store_view_code,attribute_set_code,product_type,name,price,special_price,special_price_from_date,special_price_to_date\n\
             A,,Default,simple,A,10.00,8.00,{},\nB,,Default,simple,B,10.00,8.00,{},\n",
            from[0], from[1]
        )
    };
    let prices = |from: [&str; 2]| {
        let folder = folder(Kind::Products);
        let types = MetadataTypes::default();
        let bytes = csv(from);
        let read = read_file(bytes.as_bytes(), &folder, &types, &Known::default(), 9).unwrap();
        let records = read
            .records
            .iter()
            .map(|(_, key, _, content)| format!("{key} {}", content.get("price").unwrap_or("-")));
        let rejects = (read.rejects.iter()).map(|r| {
            format!(
                "{} {}",
                r.code.name(),
                r.reason.contains("special_price_from_date")
            )
        });
        records.chain(rejects).collect::<Vec<_>>()
    };
    // It is the 25th of November 2026.
    assert_eq!(prices(["12/01/26", "01/31/26"]), ["A 1000", "B 800"]);
    assert_eq!(prices(["12/01/26", "31/01/26"]), ["A 800", "B 800"]);
    assert_eq!(prices(["12/01/26", ""]), ["B 800", "date true"]);
    assert_eq!(prices(["soon", "2027-01-01"]), ["B 1000", "date true"]);
}

#[test]
fn a_birthday_without_its_year_is_kept_in_any_notation() {
    for (cell, field) in [
        ("1990-03-05", "birthdate"),
        ("03-05", "metadata.birthday"),
        ("March 5", "metadata.birthday"),
    ] {
        let csv = format!(
            "Square Customer ID,First Name,Email Address,Phone Number,Birthday\n1,Ann,a@b.de,,{cell}\n"
        );
        let folder = folder(Kind::Customers);
        let types = MetadataTypes::default();
        let read = read_file(csv.as_bytes(), &folder, &types, &Known::default(), 9).unwrap();
        assert_eq!(
            fields(&read.records[0].3).get(field),
            Some(&json!(cell)),
            "{cell}"
        );
    }
}

#[test]
fn days_between_dots_come_first_whatever_stands_between_slashes() {
    let csv = "source_id,birthdate\n1,01.02.1990\n2,12/31/1990\n3,31.12.1990\n";
    let mut of = folder(Kind::Customers);
    let days = |of: &Folder| {
        let types = MetadataTypes::default();
        let read = read_file(csv.as_bytes(), of, &types, &Known::default(), 9).unwrap();
        let days = (read.records.iter()).map(|r| r.3.get("birthdate").unwrap().to_owned());
        days.collect::<Vec<_>>()
    };
    assert_eq!(
        days(&of),
        [r#""1990-02-01""#, r#""1990-12-31""#, r#""1990-12-31""#]
    );
    // A setting is a setting.
    of.dates = Some(crate::config::DateOrder::MonthFirst);
    assert_eq!(days(&of), [r#""1990-01-02""#, r#""1990-12-31""#]);
}

#[test]
fn a_footer_may_count_under_the_names() {
    for footer in ["Summe;2", "Summe:;1.234", "Gesamt;"] {
        let csv = format!("Kundennr;Name\n1;Ann\n2;Bo\n{footer}\n");
        let folder = folder(Kind::Customers);
        let types = MetadataTypes::default();
        let read = read_file(csv.as_bytes(), &folder, &types, &Known::default(), 9).unwrap();
        assert_eq!((read.records.len(), read.skipped), (2, 1), "{footer}");
    }
    let csv = "Kundennr;Name\nTotal;Total SE\nSumme;Ann\n";
    let folder = folder(Kind::Customers);
    let types = MetadataTypes::default();
    let read = read_file(csv.as_bytes(), &folder, &types, &Known::default(), 9).unwrap();
    assert_eq!(read.records.len(), 2);
}

#[test]
fn a_delimiter_at_the_headers_end_is_no_column() {
    let csv = "key,external_ids,traits,\nk,\"{'user_id':['u1']}\",\"{'name':'Ann'}\",\n";
    let folder = folder(Kind::Customers);
    let types = MetadataTypes::default();
    let read = read_file(csv.as_bytes(), &folder, &types, &Known::default(), 9).unwrap();
    assert_eq!(
        (&*read.preset, read.records.len()),
        ("segment-unformatted", 1)
    );
}

#[test]
fn cells_under_no_header_are_told() {
    let csv = ",source_id,name\n0,1,Ann\n1,2,Bo\n,3,Cy\n";
    let folder = folder(Kind::Customers);
    let types = MetadataTypes::default();
    let read = read_file(csv.as_bytes(), &folder, &types, &Known::default(), 9).unwrap();
    assert_eq!(read.records.len(), 3);
    assert!(
        read.notices.iter().any(|n| n.starts_with("2 cells stand")),
        "{:?}",
        read.notices
    );
}

#[test]
fn a_value_of_an_option_without_a_name_rejects_its_row() {
    let csv = "Handle,Title,Option1 Name,Option1 Value,Variant SKU,Variant Price\n\
               lamp,Lamp,,Red,L-1,5.00\n";
    check_refused(
        &folder(Kind::Products),
        csv,
        Code::Conflict,
        "Option1 Value",
    );
}

#[test]
fn a_part_without_a_sign_belongs_to_the_value_before_it() {
    use super::group::packed_pairs;
    let pairs = |cell| {
        packed_pairs(cell).map(|p| {
            p.into_iter()
                .map(|(n, v)| format!("{n}:{v}"))
                .collect::<Vec<_>>()
        })
    };
    assert_eq!(
        pairs("[S]Color=Red, dark,[S]Size=M"),
        Some(vec!["Color:Red, dark".into(), "Size:M".into()])
    );
    assert_eq!(pairs("Red"), None);
    assert_eq!(pairs(""), Some(vec![]));
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
