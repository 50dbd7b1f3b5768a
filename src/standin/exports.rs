//! Exports: everything of one kind as CSV, made in the background (SURPRISES.md, Exports).

use serde_json::{Value, json};

use super::{
    Object, Remote, Reply,
    lists::{Page, sorted},
    refusal::Refusal,
    route::Call,
    shape::{self, moment},
    stamp,
    tables::What,
};

pub(super) struct Export {
    id: String,
    token: String,
    what: What,
    parameters: Value,
    created_ms: i64,
    done_ms: i64,
    fails: bool,
    /// Made when it is done: later changes aren't in it.
    csv: Option<String>,
}

const CUSTOMER: &[&str] = &[
    "name",
    "id",
    "description",
    "email",
    "source_id",
    "created_at",
    "address_city",
    "address_state",
    "address_line_1",
    "address_line_2",
    "address_country",
    "address_postal_code",
    "redemptions_total_redeemed",
    "redemptions_total_failed",
    "redemptions_total_succeeded",
    "redemptions_total_rolled_back",
    "redemptions_total_rollback_failed",
    "redemptions_total_rollback_succeeded",
    "orders_total_amount",
    "orders_total_count",
    "orders_average_amount",
    "orders_last_order_amount",
    "orders_last_order_date",
    "loyalty_points",
    "loyalty_referred_customers",
    "updated_at",
    "phone",
    "birthday",
    "metadata",
    "birthdate",
];
const ORDER: &[&str] = &[
    "id",
    "source_id",
    "created_at",
    "updated_at",
    "status",
    "amount",
    "discount_amount",
    "items_discount_amount",
    "total_discount_amount",
    "total_amount",
    "customer_id",
    "referrer_id",
    "metadata",
];
const PRODUCT: &[&str] = &[
    "id",
    "name",
    "price",
    "image_url",
    "source_id",
    "attributes",
    "created_at",
    "updated_at",
    "metadata",
];
const SKU: &[&str] = &[
    "id",
    "sku",
    "product_id",
    "currency",
    "price",
    "image_url",
    "source_id",
    "attributes",
    "created_at",
    "updated_at",
    "metadata",
];

/// The fields of money, and of numbers that stand for none.
const MONEY: [&str; 7] = [
    "price",
    "amount",
    "discount_amount",
    "items_discount_amount",
    "total_discount_amount",
    "total_amount",
    "orders_total_amount",
];

impl Remote {
    pub(super) fn post_export(&mut self, call: &Call, now: i64) -> Result<Reply, Refusal> {
        let mut body = shape::json(call.body)?;
        let what = match body["exported_object"].as_str() {
            Some("customer") => What::Customer,
            Some("order") => What::Order,
            Some("product") => What::Product,
            Some("sku") => What::Sku,
            _ => {
                return Err(Refusal::payload(
                    "Property .exported_object should be equal to one of the allowed values [ customer, order, product, sku ]",
                ));
            }
        };
        let mut parameters = match body["parameters"].take() {
            Value::Object(parameters) => parameters,
            Value::Null => Object::new(),
            _ => return Err(Refusal::payload("Property .parameters should be an object")),
        };
        let (allowed, usual) = fields(what);
        match parameters.get("fields") {
            None => {
                parameters.insert("fields".into(), json!(usual));
            }
            Some(Value::Array(chosen)) => {
                let unknown = chosen.iter().any(|name| {
                    !name.as_str().is_some_and(|name| {
                        allowed.contains(&name) || name.starts_with("metadata.")
                    })
                });
                if unknown {
                    return Err(Refusal::new(
                        400,
                        "invalid_export_fields",
                        "Invalid Export",
                        format!(
                            "Unsupported field used. Allowed fields: {}",
                            allowed.join(", ")
                        ),
                    ));
                }
            }
            Some(_) => {
                return Err(Refusal::payload(
                    "Property .parameters.fields should be an array",
                ));
            }
        }
        let fails = self.random.chance(self.faults.jobs.export_error);
        let took_ms = if self.settings.instant {
            0
        } else {
            self.settings.export_ms
        };
        self.exports.push(Export {
            id: self.random.id("exp_", 24),
            token: self.random.id("", 32),
            what,
            parameters: Value::Object(parameters),
            created_ms: now,
            done_ms: now + took_ms,
            fails,
            csv: None,
        });
        let made = self.exports.last().expect("just made");
        let mut view = self.export_view(made, now);
        // The first answer promises no more (the document's only status there).
        view["status"] = "SCHEDULED".into();
        view["result"] = Value::Null;
        Ok(Reply::json(200, &view))
    }

    pub(super) fn get_export(&self, id: &str, call: &Call, now: i64) -> Result<Reply, Refusal> {
        let export = self.exports.iter().find(|export| export.id == id);
        let export = export.ok_or_else(|| Refusal::not_found("export", id))?;
        // The download has the same path, and a token (SURPRISES.md, 37).
        let Some(token) = call.query("token") else {
            return Ok(Reply::json(200, &self.export_view(export, now)));
        };
        match &export.csv {
            Some(csv) if token == export.token => {
                Ok(Reply::text(200, "text/plain; charset=utf-8", csv.as_str()))
            }
            _ => Err(Refusal::unauthorized()),
        }
    }

    pub(super) fn list_exports(&self, call: &Call, now: i64) -> Result<Reply, Refusal> {
        let page = Page::of(call, 100)?;
        let total = self.exports.len();
        let (exports, _) = page.cut(self.exports.iter().rev().collect());
        let exports: Vec<Value> = exports
            .into_iter()
            .map(|export| self.export_view(export, now))
            .collect();
        Ok(Reply::json(
            200,
            &json!({"object": "list", "data_ref": "exports", "exports": exports, "total": total}),
        ))
    }

    pub(super) fn delete_export(&mut self, id: &str) -> Result<Reply, Refusal> {
        let place = self.exports.iter().position(|export| export.id == id);
        let place = place.ok_or_else(|| Refusal::not_found("export", id))?;
        self.exports.remove(place);
        Ok(Reply::empty(204))
    }

    pub(super) fn finish_exports(&mut self, now: i64) {
        for place in 0..self.exports.len() {
            let export = &self.exports[place];
            if export.csv.is_none() && !export.fails && export.done_ms <= now {
                let csv = self.export_csv(export);
                self.exports[place].csv = Some(csv);
            }
        }
    }

    fn export_view(&self, export: &Export, now: i64) -> Value {
        let base_url = self.settings.download_url.as_ref();
        let base_url = base_url.unwrap_or(&self.settings.base_url);
        let (status, result) = match (&export.csv, export.fails && export.done_ms <= now) {
            (_, true) => ("ERROR", Value::Null),
            (Some(_), _) => (
                "DONE",
                json!({"url": format!("{base_url}/v1/exports/{}?token={}", export.id, export.token)}),
            ),
            (None, _) if now > export.created_ms => ("IN_PROGRESS", Value::Null),
            (None, _) => ("SCHEDULED", Value::Null),
        };
        json!({
            "id": export.id,
            "object": "export",
            "created_at": stamp(export.created_ms),
            "status": status,
            "channel": "API",
            "exported_object": export.what.name(),
            "parameters": export.parameters,
            "result": result,
            "user_id": "user_standin",
        })
    }

    fn export_csv(&self, export: &Export) -> String {
        let resource = export.what.name();
        // Keys that the schema doesn't define look as if they were missing (SURPRISES.md, 35).
        let defined: Vec<&str> = self
            .settings
            .metadata
            .get(resource)
            .map(|schema| schema.properties.keys().map(String::as_str).collect())
            .unwrap_or_default();
        let chosen = export.parameters["fields"].as_array();
        let columns: Vec<String> = chosen
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .flat_map(|name| match name {
                "metadata" => defined
                    .iter()
                    .map(|key| format!("metadata.{key}"))
                    .collect(),
                name => vec![name.to_owned()],
            })
            .collect();
        let titles = self.settings.export_titles;
        let mut writer = csv::Writer::from_writer(Vec::new());
        let heads = columns
            .iter()
            .map(|name| if titles { title(name) } else { name.clone() });
        let written = writer.write_record(heads);
        written.expect("memory takes it");
        for place in self.exported(export) {
            let view = match export.what {
                What::Customer => self.customer_view(place),
                What::Product => self.product_view(place),
                What::Sku => self.sku_view(place),
                What::Order => self.order_view(place),
            };
            let cells = columns
                .iter()
                .map(|name| cell(&view, name, &defined, titles));
            writer.write_record(cells).expect("memory takes it");
        }
        let bytes = writer.into_inner().expect("memory takes it");
        String::from_utf8(bytes).expect("made of text")
    }

    fn exported(&self, export: &Export) -> Vec<usize> {
        let table = self.table(export.what);
        let filters = &export.parameters["filters"];
        let within = |ms: i64, name: &str| {
            let conditions = &filters[name]["conditions"];
            let bound = |word: &str| {
                let value = &conditions[word];
                let text = value.as_str().or_else(|| value[0].as_str())?;
                moment(text).or_else(|| moment(&format!("{text}T00:00:00Z")))
            };
            bound("$after").is_none_or(|after| ms > after)
                && bound("$before").is_none_or(|before| ms < before)
        };
        let mut places: Vec<usize> = table
            .live()
            .filter(|place| {
                let row = table.row(*place);
                within(row.created_ms, "created_at")
                    && within(row.updated_ms.unwrap_or(row.created_ms), "updated_at")
            })
            .collect();
        let order = export.parameters["order"].as_str().unwrap_or("created_at");
        match order.strip_prefix('-') {
            Some(field) => sorted(table, &mut places, field, true),
            None => sorted(table, &mut places, order, false),
        }
        places
    }
}

/// What can be exported of a kind, and what is if nothing is chosen.
fn fields(what: What) -> (&'static [&'static str], &'static [&'static str]) {
    match what {
        What::Customer => (CUSTOMER, &["name", "source_id"]),
        What::Order => (ORDER, &["id", "source_id", "status"]),
        What::Product => (PRODUCT, &PRODUCT[..7]),
        What::Sku => (SKU, &SKU[..9]),
    }
}

fn cell(view: &Object, name: &str, defined: &[&str], titles: bool) -> String {
    let none = Value::Null;
    let get = |name: &str| view.get(name).unwrap_or(&none);
    let value = if let Some(key) = name.strip_prefix("metadata.") {
        match defined.contains(&key) {
            true => &get("metadata")[key],
            false => &none,
        }
    } else if let Some(part) = name.strip_prefix("address_") {
        &get("address")[part]
    } else if let Some(part) = name.strip_prefix("redemptions_") {
        &get("summary")["redemptions"][part]
    } else if let Some(part) = name.strip_prefix("orders_") {
        &get("summary")["orders"][part]
    } else if let Some(part) = name.strip_prefix("loyalty_") {
        &get("loyalty")[part]
    } else {
        get(name)
    };
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(list) => list
            .iter()
            .map(|value| {
                value
                    .as_str()
                    .map_or_else(|| value.to_string(), str::to_owned)
            })
            .collect::<Vec<_>>()
            .join(","),
        Value::Number(number) if titles && MONEY.contains(&name) => {
            let cents = number.as_i64().unwrap_or(0);
            format!(
                "{}{}.{:02}",
                if cents < 0 { "-" } else { "" },
                (cents / 100).abs(),
                (cents % 100).abs()
            )
        }
        other => other.to_string(),
    }
}

/// `discount_amount` → `Discount Amount`.
fn title(name: &str) -> String {
    name.split('_')
        .map(|word| match word {
            "id" => "ID".to_owned(),
            _ => {
                let (first, rest) = word.split_at(word.len().min(1));
                first.to_ascii_uppercase() + rest
            }
        })
        .collect::<Vec<_>>()
        .join(" ")
}
