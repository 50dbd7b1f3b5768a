//! An order's items, sums and customer.

use super::Lookup;
use super::flat::Refused;
use super::group::{Fault, Head, Held, Made};
use super::notation::{Wrong, number, text};
use super::plan::{
    Cells, CustomerPlan, FieldPlan, ItemCellsPlan, ItemsPlan, Plan, RecordPlan, RefundPlan, Source,
    any_holds,
};
use super::read::{Put, overflow, push_int, unclear};
use crate::config::DecimalSign;
use crate::kind::{Kind, ORDER_ITEMS_MAX};
use crate::record::{Act, Content, Item, push_json_str};
use crate::reject::Code;

/// What one line of an order says, before sums are made.
#[derive(Debug, Default)]
struct LineItem {
    item: Item,
    code: Option<String>,
    /// What was paid for it, discounts off.
    net: Option<i64>,
    /// What part of the amount was left out, in thousandths of a hundredth; for lines without `net`.
    percent: Option<i64>,
}

impl LineItem {
    /// What was paid, as the line says it or by its discount's part.
    fn paid(&self) -> Result<Option<i64>, ()> {
        let (None, Some(percent)) = (self.net, self.percent) else {
            return Ok(self.net);
        };
        let amount = self.item.amount.unwrap_or(0);
        let off = i128::from(amount) * i128::from(percent);
        let off = rounded(off, 100 * 1000).ok_or(())?;
        amount.checked_sub(off).map(Some).ok_or(())
    }
}

/// Adds to an order's content its items, sums and the customer's key; and to `out` what it says of
/// its customer.
#[allow(clippy::too_many_arguments)] // One step of `group::record`, cut out for its length.
pub(super) fn complete(
    record: &RecordPlan,
    plan: &Plan,
    rows: &[Held],
    key: &str,
    lookup: &dyn Lookup,
    content: &mut Content,
    out: &mut Vec<Made>,
    faults: &mut Vec<Fault>,
) {
    if let Some(items) = &record.items {
        put_items(items, plan, rows, key, lookup, content, faults);
    }
    if let Some(customer) = &record.customer {
        match made_customer(customer, plan, rows, key, lookup) {
            Ok(Some(made)) => {
                let mut json = String::new();
                push_json_str(&mut json, &made.key);
                content.set("customer.source_id", json);
                out.push(made);
            }
            Ok(None) => {}
            Err(refused) => faults.push(Fault { row: 0, refused }),
        }
    }
}

fn put_items(
    plan_items: &ItemsPlan,
    plan: &Plan,
    rows: &[Held],
    key: &str,
    lookup: &dyn Lookup,
    content: &mut Content,
    faults: &mut Vec<Fault>,
) {
    let mut lines: Vec<LineItem> = Vec::new();
    let mut refunded: Option<i64> = None;
    let (mut voids, mut sold) = (0, 0);
    for (i, row) in rows.iter().enumerate() {
        let mut fault = |refused| faults.push(Fault { row: i, refused });
        if let Some(refund) = &plan_items.refund
            && any_holds(&refund.when, row)
        {
            match given_back(refund, plan, row, refunded) {
                Ok(sum) => refunded = sum,
                Err(wrong) => fault(Refused::new(refund.header.as_deref(), wrong)),
            }
            continue;
        }
        if !plan_items.void.is_empty() && any_holds(&plan_items.void, row) {
            voids += 1;
            continue;
        }
        sold += 1;
        match items_of_row(plan_items, plan, row, lookup) {
            Ok(found) => lines.extend(found),
            Err(refused) => fault(refused),
        }
    }
    if lines.len() > ORDER_ITEMS_MAX {
        let wrong = Wrong::new(
            Code::TooLong,
            format!("an order with more than {ORDER_ITEMS_MAX} items, which the API does not take"),
        );
        faults.push(Fault {
            row: rows.len() - 1,
            refused: Refused::new(None, wrong),
        });
        return;
    }
    if !faults.is_empty() {
        return;
    }
    if sold == 0 && refunded.is_some() {
        refund_alone(key, refunded, lookup, content, faults);
        return;
    }
    let sums = put_sums(plan_items, &lines, content);
    let Ok(amount) = sums else {
        faults.push(Fault {
            row: 0,
            refused: Refused::new(None, overflow()),
        });
        return;
    };
    let goods = if lines.is_empty() {
        int_of(content, "amount").unwrap_or(0)
    } else {
        amount
    };
    let whole = goods.saturating_sub(int_of(content, "discount_amount").unwrap_or(0));
    if let Some(refunded) = refunded {
        put_refunded(content, refunded);
        if refunded > 0 && refunded >= whole {
            content.set("status", r#""CANCELED""#.to_owned());
        }
    }
    if voids > 0 && sold == 0 {
        content.set("status", r#""CANCELED""#.to_owned());
    }
    let items: Vec<Item> = lines.into_iter().map(|line| line.item).collect();
    if !items.is_empty() {
        let json = serde_json::to_string(&items).expect("items are always JSON");
        content.set("items", json);
    }
}

/// `sum` and what this row gives back, if it says so.
fn given_back(
    refund: &RefundPlan,
    plan: &Plan,
    row: &Held,
    sum: Option<i64>,
) -> Result<Option<i64>, Wrong> {
    let text = refund
        .amount
        .text(row, &plan.common, false)
        .map_err(unclear)?;
    if text::is_blank(&text) {
        return Ok(sum);
    }
    let cents = number::money(&text, refund.rule)?.saturating_abs();
    (sum.unwrap_or(0).checked_add(cents))
        .map(Some)
        .ok_or_else(overflow)
}

/// A refund whose sale stands in another file: only what it adds is said, and only of a known order.
fn refund_alone(
    key: &str,
    refunded: Option<i64>,
    lookup: &dyn Lookup,
    content: &mut Content,
    faults: &mut Vec<Fault>,
) {
    if !lookup.knows_order(key) {
        let wrong = Wrong::new(
            Code::UnknownParent,
            "a refund of an order that is neither in this file nor stored",
        );
        faults.push(Fault {
            row: 0,
            refused: Refused::new(None, wrong),
        });
        return;
    }
    *content = Content::default();
    put_refunded(content, refunded.unwrap_or(0));
}

fn put_refunded(content: &mut Content, cents: i64) {
    let mut json = String::new();
    let text = format!("{}.{:02}", cents / 100, cents % 100);
    let exact = number::push_number(&mut json, &text, Some(DecimalSign::Point), false);
    debug_assert!(exact.is_ok());
    content.set("metadata.refunded", json);
}

fn int_of(content: &Content, field: &str) -> Option<i64> {
    content.get(field)?.parse().ok()
}

/// The sum of the items' amounts, set where the preset says so. `Err`: too large.
fn put_sums(items: &ItemsPlan, lines: &[LineItem], content: &mut Content) -> Result<i64, ()> {
    let mut amount = 0i64;
    let mut discount = 0i64;
    for line in lines {
        let of_line = line.item.amount.unwrap_or(0);
        amount = amount.checked_add(of_line).ok_or(())?;
        if let Some(net) = line.paid()? {
            discount = discount
                .checked_add(of_line)
                .ok_or(())?
                .checked_sub(net)
                .ok_or(())?;
        }
    }
    let mut set = |field: &str, value: i64| {
        let mut json = String::new();
        push_int(&mut json, value);
        content.set(field, json);
    };
    if items.sum {
        set("amount", amount);
    }
    if items.discount_from_net {
        set("discount_amount", discount.max(0));
    }
    Ok(amount)
}

fn items_of_row(
    items: &ItemsPlan,
    plan: &Plan,
    row: &Held,
    lookup: &dyn Lookup,
) -> Result<Vec<LineItem>, Refused> {
    let mut lines = Vec::new();
    let mut take = |cells: &dyn Cells| -> Result<(), Refused> {
        if any_holds(&items.when, cells) {
            lines.extend(line_item(items, plan, cells, lookup)?);
        }
        Ok(())
    };
    // Places that are told beside each other tell the same items: the first one that does counts.
    let mut told = false;
    for place in &items.cells {
        if told {
            break;
        }
        match place {
            ItemCellsPlan::Rows => take(row)?,
            ItemCellsPlan::Packed {
                columns,
                headers,
                between,
                fields,
                pair,
                names,
            } => {
                for (&column, header) in columns.iter().zip(headers) {
                    // Whatever is at fault in the cell, the file knows it by this one.
                    let of_cell = |refused: Refused| Refused::new(Some(header), refused.wrong);
                    let cell = row.cell(column);
                    let parts = match between {
                        Some(between) => unpack_items(cell, between, fields, pair),
                        None => vec![cell],
                    };
                    for part in parts.into_iter().filter(|part| !text::is_blank(part)) {
                        told = true;
                        let values = unpack(part, fields, pair, names);
                        if values.iter().all(|value| text::is_blank(value)) {
                            return Err(Refused::new(Some(header), no_item(fields, pair)));
                        }
                        take(&values).map_err(of_cell)?;
                    }
                }
            }
            ItemCellsPlan::Numbered {
                items: of_items,
                names,
            } => {
                for columns in of_items {
                    let cell = |column: &Option<(usize, String)>| match column {
                        Some((column, _)) => row.cell(*column).to_owned(),
                        None => String::new(),
                    };
                    let cells: Vec<String> = columns.iter().map(cell).collect();
                    told |= cells.iter().any(|cell| !text::is_blank(cell));
                    take(&cells).map_err(|refused| {
                        let at = names
                            .iter()
                            .position(|n| refused.column.as_ref() == Some(n));
                        let header = at.and_then(|at| columns[at].as_ref());
                        Refused::new(header.map(|(_, header)| header.as_str()), refused.wrong)
                    })?;
                }
            }
        }
    }
    Ok(lines)
}

/// A cell of items in which none can be read.
fn no_item(fields: &str, pair: &str) -> Wrong {
    let reason =
        format!("no item can be read in this; it is written as name{pair}…{fields}quantity{pair}…");
    Wrong::new(Code::Encoding, reason)
}

/// `name:Lamp|quantity:1;name:Nut; bolt|quantity:2` → its two items. All begin with the same name: a
/// part that does not belongs to the item before it, whose name of goods holds a `;`.
fn unpack_items<'a>(cell: &'a str, between: &str, fields: &str, pair: &str) -> Vec<&'a str> {
    let begins_with = |part: &'a str| -> Option<&'a str> {
        let first = part.split(fields).next()?;
        let (name, _) = first.split_once(pair)?;
        is_word(name.trim()).then(|| name.trim())
    };
    let begin = begins_with(cell);
    let mut items: Vec<&str> = Vec::new();
    let mut start = 0;
    let mut at = 0;
    for part in cell.split(between) {
        let is_begin = begin.is_none() || text::is_blank(part) || begins_with(part) == begin;
        if at > 0 && is_begin {
            items.push(&cell[start..at - between.len()]);
            start = at;
        }
        at += part.len() + between.len();
    }
    items.push(&cell[start..]);
    items
}

/// `name:LED TV|quantity:1` → the values of these names. A part without a name's sign belongs to
/// the value before it: names of goods may hold a `|`.
fn unpack(part: &str, fields: &str, pair: &str, names: &[String]) -> Vec<String> {
    let mut values = vec![String::new(); names.len()];
    let mut current: Option<usize> = None;
    for field in part.split(fields) {
        let named = field
            .split_once(pair)
            .map(|(name, value)| (name.trim(), value));
        match named {
            Some((name, value)) if is_word(name) => {
                current = names
                    .iter()
                    .position(|known| known.eq_ignore_ascii_case(name));
                if let Some(at) = current {
                    values[at] = value.to_owned();
                }
            }
            _ => {
                if let Some(at) = current {
                    values[at].push_str(fields);
                    values[at].push_str(field);
                }
            }
        }
    }
    values
}

fn is_word(name: &str) -> bool {
    !name.is_empty()
        && name
            .chars()
            .all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | ' '))
}

/// One line's item; `None`: the row holds none.
fn line_item<C: Cells + ?Sized>(
    items: &ItemsPlan,
    plan: &Plan,
    row: &C,
    lookup: &dyn Lookup,
) -> Result<Option<LineItem>, Refused> {
    let mut line = LineItem::default();
    let mut thousandths: Option<i64> = None;
    let mut quantity_field: Option<&FieldPlan> = None;
    let mut any = false;
    for field in &items.fields {
        let mut json = String::new();
        let refuse = |wrong| field.refused(wrong, row, &plan.common);
        if field.put(row, &plan.common, &mut json).map_err(refuse)? != Put::Value {
            continue;
        }
        if !matches!(field.source, Source::Value(_) | Source::Cases(..)) {
            any = true;
        }
        let item = &mut line.item;
        match field.name.as_str() {
            "source_id" => {
                let text = text_of(&json);
                let key = text::key(&text);
                item.source_id = Some(format!("{}{key}", items.product_prefix));
            }
            "code" => line.code = Some(text::key(&text_of(&json)).into_owned()),
            "kind" => item.kind = Some(kind_word(&text_of(&json)).map_err(refuse)?),
            "name" => item.name = Some(text_of(&json)),
            "quantity" => {
                let exact = number::thousandths(&json, Some(DecimalSign::Point));
                thousandths = Some(exact.map_err(refuse)?);
                quantity_field = Some(field);
            }
            "price" => item.price = Some(amount(&json, plan, true).map_err(refuse)?),
            "amount" => item.amount = Some(amount(&json, plan, false).map_err(refuse)?),
            "discount_amount" => {
                item.discount_amount = Some(amount(&json, plan, false).map_err(refuse)?);
            }
            "net" => line.net = Some(amount(&json, plan, false).map_err(refuse)?),
            "discount_percent" => {
                let exact = number::thousandths(&json, Some(DecimalSign::Point));
                line.percent = Some(exact.map_err(refuse)?);
            }
            name => {
                if let Some(key) = name.strip_prefix("metadata.") {
                    let value = serde_json::from_str(&json).map_err(|_| refuse(overflow()))?;
                    item.metadata.insert(key.to_owned(), value);
                }
            }
        }
    }
    if !any {
        return Ok(None);
    }
    let refuse = |wrong| match quantity_field {
        Some(field) => field.refused(wrong, row, &plan.common),
        None => Refused::new(None, wrong),
    };
    if !put_quantity(&mut line.item, thousandths, plan.strict).map_err(refuse)? {
        return Ok(None);
    }
    name_goods(&mut line, items, lookup);
    Ok(Some(line))
}

fn text_of(json: &str) -> String {
    serde_json::from_str::<String>(json).unwrap_or_else(|_| json.to_owned())
}

fn amount(json: &str, plan: &Plan, price: bool) -> Result<i64, Wrong> {
    let cents: i64 = json.parse().map_err(|_| overflow())?;
    if price && cents < 0 && !plan.strict {
        return Err(Wrong::new(Code::Number, "a price below zero"));
    }
    Ok(cents)
}

fn kind_word(text: &str) -> Result<String, Wrong> {
    let word = text.trim().to_lowercase();
    match word.as_str() {
        "product" | "sku" => Ok(word),
        _ => Err(Wrong::new(
            Code::Status,
            "an item is of a `product` or of a `sku`, nothing else",
        )),
    }
}

/// Quantity, price and amount, each from the others where the preset's rules say so (R8, R15).
/// `false`: the line counts for nothing.
fn put_quantity(item: &mut Item, thousandths: Option<i64>, strict: bool) -> Result<bool, Wrong> {
    let whole = thousandths.filter(|t| t % 1000 == 0).map(|t| t / 1000);
    if strict {
        if thousandths.is_some() && whole.is_none() {
            return Err(Wrong::new(
                Code::Number,
                "a quantity with decimals; the API takes whole numbers only",
            ));
        }
        item.quantity = whole;
        return Ok(true);
    }
    if thousandths == Some(0) {
        return Ok(false);
    }
    let count = thousandths.unwrap_or(1000);
    if item.amount.is_none()
        && let Some(price) = item.price
    {
        let product = i128::from(price) * i128::from(count);
        item.amount = Some(rounded(product, 1000).ok_or_else(overflow)?);
    }
    match (thousandths, whole) {
        (Some(fraction), None) => {
            item.quantity = Some(1);
            item.price = item.amount;
            let sign = if fraction < 0 { "-" } else { "" };
            let (whole, rest) = (
                fraction.unsigned_abs() / 1000,
                fraction.unsigned_abs() % 1000,
            );
            let text = format!("{sign}{whole}.{rest:03}");
            let value = serde_json::from_str(text.trim_end_matches('0'));
            let value = value.expect("digits and a decimal point are a number");
            item.metadata.insert("quantity".to_owned(), value);
        }
        _ => {
            item.quantity = whole;
            if item.price.is_none()
                && let Some(amount) = item.amount
            {
                item.price = rounded(i128::from(amount) * 1000, i128::from(count));
            }
        }
    }
    Ok(true)
}

/// Half away from zero.
fn rounded(value: i128, by: i128) -> Option<i64> {
    let half = by.abs() / 2;
    let up = if (value < 0) == (by < 0) { half } else { -half };
    i64::try_from((value + if by < 0 { -up } else { up }) / by).ok()
}

/// What the item is of: the id that the catalogue uses, or a SKU by its code (R15).
fn name_goods(line: &mut LineItem, items: &ItemsPlan, lookup: &dyn Lookup) {
    if line.item.source_id.is_none()
        && let Some(code) = line.code.as_deref().filter(|code| !code.is_empty())
    {
        let known = lookup.skus_by_code(code);
        line.item.source_id = Some(match &known[..] {
            [key] => key.clone(),
            _ => format!("{}{code}", items.product_prefix),
        });
        line.item.kind = Some("sku".to_owned());
    }
    match line.item.source_id {
        Some(_) => {
            line.item.kind.get_or_insert_with(|| "product".to_owned());
        }
        None => line.item.kind = None,
    }
}

/// What the rows say of the order's customer, and by which key it is known.
fn made_customer(
    customer: &CustomerPlan,
    plan: &Plan,
    rows: &[Held],
    order: &str,
    lookup: &dyn Lookup,
) -> Result<Option<Made>, Refused> {
    let head = Head::new(rows);
    let read = |field: &FieldPlan| -> Result<Option<String>, Refused> {
        let mut json = String::new();
        let put = field
            .put(&head, &plan.common, &mut json)
            .map_err(|wrong| field.refused(wrong, &head, &plan.common))?;
        Ok((put == Put::Value).then_some(json))
    };
    let id = customer.id.as_ref().map(read).transpose()?.flatten();
    let email = customer.email.as_ref().map(read).transpose()?.flatten();
    let Some(key) = customer_key(customer, id.as_deref(), email.as_deref(), order, lookup)? else {
        return Ok(None);
    };
    let mut content = Content::default();
    for field in &customer.fields {
        if let Some(json) = read(field)? {
            content.set(&field.name, json);
        }
    }
    if let Some(email) = email {
        content.set("email", email);
    }
    Ok(Some(Made {
        kind: Kind::Customers,
        row: 0,
        key,
        key_column: None,
        content,
        act: Act::CreateOnly,
    }))
}

fn customer_key(
    customer: &CustomerPlan,
    id: Option<&str>,
    email: Option<&str>,
    order: &str,
    lookup: &dyn Lookup,
) -> Result<Option<String>, Refused> {
    let of = |json: Option<&str>| json.map(text_of).map(|text| text::key(&text).into_owned());
    if !customer.key_email
        && let Some(id) = of(id).filter(|id| !id.is_empty())
    {
        return Ok(Some(format!("{}{id}", customer.prefix)));
    }
    if customer.key_id {
        return Ok(None);
    }
    let Some(email) = of(email).filter(|email| !email.is_empty()) else {
        return Ok(None);
    };
    let known = lookup.customers_by_email(&email);
    match &known[..] {
        [] => Ok(Some(email.to_lowercase())),
        [key] => Ok(Some(key.clone())),
        several => {
            // The same rows again change nothing: an order that is stored keeps its customer.
            let own = lookup.customer_of_order(order);
            if let Some(own) = own.filter(|own| several.contains(own)) {
                return Ok(Some(own));
            }
            let header = customer.email.as_ref().and_then(|f| f.header.as_deref());
            let wrong = Wrong::new(
                Code::Conflict,
                "several stored customers have this e-mail address; give the order a customer's id, \
                 or set `customer_key = \"id\"` for the folder",
            );
            Err(Refused::new(header, wrong))
        }
    }
}
