//! Pages of lists, and the query parameters that choose them (SURPRISES.md, Lists).

use serde_json::{Value, json};

use super::{
    Remote, Reply,
    refusal::Refusal,
    route::Call,
    shape::moment,
    tables::{Row, Table, What},
};

/// How many rows a list shows unless it is told.
const LIMIT_DEFAULT: usize = 10;
const LIMIT_MAX: usize = 100;

/// Which part of a list.
pub(super) struct Page {
    pub(super) limit: usize,
    /// From 1.
    pub(super) number: usize,
}

impl Page {
    /// `pages_max` is 99 for customers, else 100.
    pub(super) fn of(call: &Call, pages_max: usize) -> Result<Self, Refusal> {
        Ok(Self {
            limit: number(call, "limit", LIMIT_MAX)?.unwrap_or(LIMIT_DEFAULT),
            number: number(call, "page", pages_max)?.unwrap_or(1),
        })
    }

    pub(super) fn cut<T>(&self, rows: Vec<T>) -> (Vec<T>, bool) {
        let start = (self.number - 1) * self.limit;
        let more = rows.len() > start + self.limit;
        (
            rows.into_iter().skip(start).take(self.limit).collect(),
            more,
        )
    }
}

fn number(call: &Call, name: &str, most: usize) -> Result<Option<usize>, Refusal> {
    let Some(text) = call.query(name) else {
        return Ok(None);
    };
    match text.parse::<usize>() {
        Ok(number) if (1..=most).contains(&number) => Ok(Some(number)),
        _ => Err(Refusal::query(format!(
            "Property .{name} should be an integer from 1 to {most}"
        ))),
    }
}

/// A date-time of the query.
pub(super) fn time(call: &Call, name: &str) -> Result<Option<i64>, Refusal> {
    let Some(text) = call.query(name) else {
        return Ok(None);
    };
    moment(text).map(Some).ok_or_else(|| {
        Refusal::query(format!(
            "Property .{name} cannot be recognized as a ISO-8601 compliant date"
        ))
    })
}

/// By which field a list is ordered, and whether it descends.
pub(super) fn order<'a>(call: &'a Call, allowed: &[&str]) -> Result<(&'a str, bool), Refusal> {
    let given = call.query("order").unwrap_or("-created_at");
    let (field, descends) = match given.strip_prefix('-') {
        Some(field) => (field, true),
        None => (given, false),
    };
    if allowed.contains(&field) {
        Ok((field, descends))
    } else {
        Err(Refusal::query(
            "Property .order should be equal to one of the allowed values",
        ))
    }
}

/// The places of a table's rows in this order; equals by age.
pub(super) fn sorted(table: &Table, places: &mut [usize], field: &str, descends: bool) {
    let time = |row: &Row| match field {
        "updated_at" => row.updated_ms.unwrap_or(row.created_ms),
        _ => row.created_ms,
    };
    match field {
        "source_id" => places.sort_by(|a, b| {
            (table.row(*a).source_id.as_deref(), a).cmp(&(table.row(*b).source_id.as_deref(), b))
        }),
        _ => places.sort_by_key(|place| (time(table.row(*place)), *place)),
    }
    if descends {
        places.reverse();
    }
}

impl Remote {
    pub(super) fn list_customers(&self, call: &Call) -> Result<Reply, Refusal> {
        let page = Page::of(call, 99)?;
        let (field, descends) = order(call, &["created_at", "updated_at", "source_id"])?;
        let created = (
            time(call, "created_at[after]")?,
            time(call, "created_at[before]")?,
        );
        let updated = (
            time(call, "updated_at[after]")?,
            time(call, "updated_at[before]")?,
        );
        let cursor = time(call, "starting_after")?;
        let within = |ms: i64, (after, before): (Option<i64>, Option<i64>)| {
            after.is_none_or(|after| ms > after) && before.is_none_or(|before| ms < before)
        };
        let table = self.table(What::Customer);
        let mut places: Vec<usize> = table
            .live()
            .filter(|place| {
                let row = table.row(*place);
                let updated_ms = row.updated_ms.unwrap_or(row.created_ms);
                let at = if field == "updated_at" {
                    updated_ms
                } else {
                    row.created_ms
                };
                // The cursor is a time: records that share its millisecond are skipped, as the
                // real one may do (SURPRISES.md, 30).
                let past =
                    cursor.is_none_or(|cursor| if descends { at < cursor } else { at > cursor });
                past && within(row.created_ms, created) && within(updated_ms, updated)
            })
            .collect();
        if ["email", "name", "city"]
            .iter()
            .any(|name| call.query(name).is_some())
        {
            places.retain(|place| {
                let content = table.row(*place).content();
                let fits = |name: &str, value: &Value| {
                    call.query(name)
                        .is_none_or(|wanted| value.as_str() == Some(wanted))
                };
                let get = |name: &str| content.get(name).unwrap_or(&Value::Null);
                fits("email", get("email"))
                    && fits("name", get("name"))
                    && fits("city", &get("address")["city"])
            });
        }
        sorted(table, &mut places, field, descends);
        let total = places.len();
        let (places, more) = page.cut(places);
        let rows: Vec<Value> = places
            .into_iter()
            .map(|place| Value::Object(self.customer_view(place)))
            .collect();
        Ok(Reply::json(
            200,
            &json!({"object": "list", "data_ref": "customers", "customers": rows, "total": total, "has_more": more}),
        ))
    }

    pub(super) fn list_products(&self, call: &Call) -> Result<Reply, Refusal> {
        let places = self.products.live().collect();
        self.list(What::Product, call, places)
    }

    pub(super) fn list_orders(&self, call: &Call) -> Result<Reply, Refusal> {
        let places = self.orders.live().collect();
        self.list(What::Order, call, places)
    }

    pub(super) fn list_skus(&self, product: &str, call: &Call) -> Result<Reply, Refusal> {
        let product = self.find(What::Product, product)?;
        self.list(What::Sku, call, self.skus_of(product))
    }

    fn list(&self, what: What, call: &Call, mut places: Vec<usize>) -> Result<Reply, Refusal> {
        let page = Page::of(call, 100)?;
        let (field, descends) = order(call, &["created_at", "updated_at"])?;
        let table = self.table(what);
        // Orders have no filters at all (SURPRISES.md, 31).
        if what != What::Order {
            let (from, to) = (time(call, "start_date")?, time(call, "end_date")?);
            places.retain(|place| {
                let at = table.row(*place).created_ms;
                from.is_none_or(|from| at >= from) && to.is_none_or(|to| at <= to)
            });
        }
        sorted(table, &mut places, field, descends);
        let total = places.len();
        let (places, _) = page.cut(places);
        let rows: Vec<Value> = places
            .into_iter()
            .map(|place| {
                Value::Object(match what {
                    What::Sku => self.sku_view(place),
                    What::Order => self.order_view(place),
                    _ => self.product_view(place),
                })
            })
            .collect();
        Ok(Reply::json(
            200,
            &json!({"object": "list", "data_ref": what.plural(), what.plural(): rows, "total": total}),
        ))
    }
}
