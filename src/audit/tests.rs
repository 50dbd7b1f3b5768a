use std::convert::Infallible;

use super::*;
use crate::kind::Kind;
use crate::record::CLEARED;

const ORDERS: [&str; 5] = ["source_id", "id", "status", "amount", "discount_amount"];

fn local(key: &str, standing: Standing, fields: &[(&str, &str)]) -> Local {
    let mut content = Content::default();
    for (field, json) in fields {
        content.set(field, (*json).to_owned());
    }
    Local {
        id: 1,
        seq: 1,
        key: key.to_owned(),
        standing,
        content,
    }
}

fn remote(cells: &[&str]) -> Remote {
    Remote {
        key: cells[0].to_owned(),
        id: cells[1].to_owned(),
        cells: cells.iter().map(|c| (*c).to_owned()).collect(),
    }
}

/// Findings as `drift key field`.
fn found(sheet: &mut Sheet, locals: Vec<Local>, rows: &[&[&str]]) -> (Vec<String>, Counts) {
    for row in rows {
        sheet.see(row).unwrap();
    }
    let mut said = Vec::new();
    let remotes: Vec<Remote> = rows.iter().map(|row| remote(row)).collect();
    let counts = compare(
        sheet,
        locals.into_iter().map(Ok::<_, Infallible>),
        remotes.into_iter().map(Ok),
        &mut |seen| {
            let Seen::Drift(f) = seen else { return Ok(()) };
            let field = f.field.unwrap_or_default();
            said.push(format!("{} {} {field}", f.drift.name(), f.key));
            Ok(())
        },
    );
    (said, counts.unwrap())
}

#[track_caller]
fn differs(kind: Kind, header: &[&str], field: (&str, &str), row: &[&str], expected: bool) {
    let mut sheet = Sheet::new(kind, header).unwrap();
    let locals = vec![local(row[0], Standing::Told, &[field])];
    let (said, _) = found(&mut sheet, locals, &[row]);
    assert_eq!(!said.is_empty(), expected, "{field:?} {row:?}: {said:?}");
}

#[test]
fn each_side_alone_and_both_in_the_order_of_keys() {
    let mut sheet = Sheet::new(Kind::Orders, &ORDERS).unwrap();
    let paid = [("status", r#""PAID""#)];
    let locals = vec![
        local("a", Standing::Told, &paid),
        local("b", Standing::Told, &paid),
        local("c", Standing::OnItsWay, &paid),
        local("d", Standing::Gone, &[]),
        local("e", Standing::Parked, &paid),
        local("f", Standing::Gone, &[]),
        local("h", Standing::Told, &paid),
    ];
    let rows: &[&[&str]] = &[
        &["", "ord_1", "PAID", "", ""],
        &["b", "ord_2", "CREATED", "", ""],
        &["d", "ord_3", "PAID", "", ""],
        &["g", "ord_4", "PAID", "", ""],
        &["h", "ord_5", "CREATED", "", ""],
        &["h", "ord_6", "PAID", "", ""],
    ];
    let (said, counts) = found(&mut sheet, locals, rows);
    let expected = [
        "unknown  id",
        "missing a ",
        "differs b status",
        "unknown d ",
        "missing e ",
        "unknown g ",
    ];
    assert_eq!(said, expected);
    let expected = Counts {
        equal: 2,
        missing: 2,
        differs: 1,
        unknown: 3,
        on_their_way: 1,
        parked: 1,
    };
    assert_eq!(counts, expected);
}

#[test]
fn money_is_minor_units_unless_its_column_shows_a_point() {
    let row = |amount| ["o", "ord_1", "PAID", amount, ""];
    let check = |json, cell, expected| {
        differs(
            Kind::Orders,
            &ORDERS,
            ("amount", json),
            &row(cell),
            expected,
        );
    };
    check("1299", "1299", false);
    check("1299", "12.99", false);
    check("1299", "12", true);
    check("1200", "12.00", false);
    check("1299", "", true);
    check(CLEARED, "", false);
    let mut sheet = Sheet::new(Kind::Orders, &ORDERS).unwrap();
    let locals = vec![
        local("a", Standing::Told, &[("amount", "1250")]),
        local("b", Standing::Told, &[("amount", "1200")]),
    ];
    let rows: &[&[&str]] = &[
        &["a", "ord_1", "PAID", "12.50", "7"],
        &["b", "ord_2", "PAID", "12", "7"],
    ];
    assert_eq!(found(&mut sheet, locals, rows).0, [""; 0]);
}

#[test]
fn values_in_all_their_spellings() {
    let header = [&ORDERS[..], &["metadata.vip", "metadata.n"]].concat();
    let check = |field, cells: [&str; 2], expected| {
        let row = [&["o", "ord_1", "PAID", "", ""][..], &cells].concat();
        differs(Kind::Orders, &header, field, &row, expected);
    };
    check(("metadata.vip", r#""gold""#), ["gold", ""], false);
    check(("metadata.vip", r#""gold""#), ["Gold", ""], true);
    check(("metadata.vip", CLEARED), ["", ""], false);
    check(("metadata.vip", CLEARED), ["x", ""], true);
    check(("metadata.n", "1.50"), ["", "1.5"], false);
    check(("metadata.n", r#""1.50""#), ["", "1.5"], true);
    check(("metadata.n", "true"), ["", "TRUE"], false);
    check(("metadata.n", r#"["a","b"]"#), ["", "a,b"], false);
    check(
        ("metadata.n", r#""2026-01-31""#),
        ["", "2026-01-31T00:00:00.000Z"],
        false,
    );
    // No export shows these.
    check(("metadata.undefined", r#""x""#), ["", ""], false);
    check(("items", "[]"), ["", ""], false);
    check(("customer.source_id", r#""c""#), ["", ""], false);
}

#[test]
fn titles_are_the_same_names_and_other_columns_are_refused() {
    let titles = [
        "Source ID",
        "ID",
        "Name",
        "Price",
        "Image URL",
        "Attributes",
    ];
    let row = |list| ["p", "prod_1", "Tea", "12.99", "", list];
    let check = |field, list, expected| {
        differs(Kind::Products, &titles, field, &row(list), expected);
    };
    check(("price", "1299"), "", false);
    check(("attributes", r#"["size","colour"]"#), "size,colour", false);
    check(
        ("attributes", r#"["size","colour"]"#),
        r#"["size","colour"]"#,
        false,
    );
    check(("attributes", r#"["size"]"#), "size,colour", true);
    check(("attributes", CLEARED), "", false);
    for header in [
        &[
            "source_id",
            "id",
            "price",
            "name",
            "image_url",
            "attributes",
        ][..],
        &["source_id", "id", "name"],
        &[
            "source_id",
            "id",
            "name",
            "price",
            "image_url",
            "attributes",
            "more",
        ],
    ] {
        assert!(Sheet::new(Kind::Products, header).is_err(), "{header:?}");
    }
    let mut sheet = Sheet::new(Kind::Products, &titles).unwrap();
    assert!(sheet.see(&["p", "prod_1"]).is_err());
}

#[test]
fn titles_of_metadata_that_fit_two_keys_say_nothing() {
    let header = [
        "Source ID",
        "ID",
        "Status",
        "Amount",
        "Discount Amount",
        "Metadata.loyalty Card",
        "Metadata.loyaltyCard",
    ];
    let row = ["o", "ord_1", "PAID", "", "", "x", "y"];
    differs(
        Kind::Orders,
        &header,
        ("metadata.loyalty_card", r#""z""#),
        &row,
        false,
    );
    differs(
        Kind::Orders,
        &header[..6],
        ("metadata.loyalty_card", r#""z""#),
        &row[..6],
        true,
    );
    differs(
        Kind::Orders,
        &header[..6],
        ("metadata.loyalty_card", r#""x""#),
        &row[..6],
        false,
    );
}
