//! Products and their SKUs, and the bin that deleted ones lie in.

use serde_json::{Value, json};

use super::{
    Object, Remote, Reply, customers::keyless, refusal::Refusal, route::Call, shape, stamp,
    tables::What,
};

/// A deleted product or SKU that can be had back.
pub(super) struct Binned {
    id: String,
    at_ms: i64,
    what: What,
    resource_id: String,
    source_id: Option<String>,
    name: String,
    parent_id: Option<String>,
}

impl Remote {
    pub(super) fn post_product(&mut self, call: &Call, now: i64) -> Result<Reply, Refusal> {
        let row = self.upsert_product(call.object(shape::product)?, now)?;
        Ok(Reply::json(200, &self.product_view(row).into()))
    }

    pub(super) fn upsert_product(
        &mut self,
        mut content: Object,
        now: i64,
    ) -> Result<usize, Refusal> {
        let (id, source_id) = keyless(&mut content);
        let known = self.known(What::Product, id.as_deref(), source_id.as_deref())?;
        self.refuse_key(What::Product, source_id.as_deref())?;
        self.check_metadata("product", &content, known.is_none())?;
        Ok(match known {
            Some(row) => {
                self.write(What::Product, row, content, now);
                row
            }
            None => {
                self.not_in_bin(What::Product, source_id.as_deref())?;
                self.create(What::Product, source_id.as_deref(), content, now)
            }
        })
    }

    pub(super) fn put_product(
        &mut self,
        key: &str,
        call: &Call,
        now: i64,
    ) -> Result<Reply, Refusal> {
        let mut content = call.object(shape::product)?;
        let row = self.find(What::Product, key)?;
        keyless(&mut content);
        self.refuse_row(What::Product, row)?;
        self.check_metadata("product", &content, false)?;
        self.write(What::Product, row, content, now);
        Ok(Reply::json(200, &self.product_view(row).into()))
    }

    /// With all its SKUs; into the bin unless forced.
    pub(super) fn delete_product(
        &mut self,
        key: &str,
        call: &Call,
        now: i64,
    ) -> Result<Reply, Refusal> {
        let row = self.find(What::Product, key)?;
        self.refuse_row(What::Product, row)?;
        let forced = is_forced(call)?;
        for sku in self.skus_of(row) {
            self.discard(What::Sku, sku, forced, now);
        }
        self.discard(What::Product, row, forced, now);
        Ok(Reply::empty(204))
    }

    pub(super) fn post_sku(
        &mut self,
        product: &str,
        call: &Call,
        now: i64,
    ) -> Result<Reply, Refusal> {
        let content = call.object(shape::sku)?;
        let product = self.find(What::Product, product)?;
        let row = self.upsert_sku(product, content, now)?;
        Ok(Reply::json(200, &self.sku_view(row).into()))
    }

    pub(super) fn upsert_sku(
        &mut self,
        product: usize,
        mut content: Object,
        now: i64,
    ) -> Result<usize, Refusal> {
        let (id, source_id) = keyless(&mut content);
        let known = self.known(What::Sku, id.as_deref(), source_id.as_deref())?;
        self.refuse_key(What::Sku, source_id.as_deref())?;
        self.check_sku(product, &content)?;
        match known {
            // Unique over the whole catalogue (API.md, Calls).
            Some(row) if self.skus.row(row).parent != Some(product) => Err(Refusal::duplicate(
                "duplicate_resource_key",
                "The source_id belongs to a SKU of another product".into(),
            )),
            Some(row) => {
                self.write(What::Sku, row, content, now);
                Ok(row)
            }
            None => {
                self.not_in_bin(What::Sku, source_id.as_deref())?;
                let row = self.create(What::Sku, source_id.as_deref(), content, now);
                self.skus.row_mut(row).parent = Some(product);
                Ok(row)
            }
        }
    }

    pub(super) fn put_sku(
        &mut self,
        product: &str,
        sku: &str,
        call: &Call,
        now: i64,
    ) -> Result<Reply, Refusal> {
        let mut content = call.object(shape::sku)?;
        let (product, row) = self.find_sku(product, sku)?;
        keyless(&mut content);
        self.refuse_row(What::Sku, row)?;
        self.check_sku(product, &content)?;
        self.write(What::Sku, row, content, now);
        Ok(Reply::json(200, &self.sku_view(row).into()))
    }

    pub(super) fn delete_sku(
        &mut self,
        product: &str,
        sku: &str,
        call: &Call,
        now: i64,
    ) -> Result<Reply, Refusal> {
        let (_, row) = self.find_sku(product, sku)?;
        self.refuse_row(What::Sku, row)?;
        self.discard(What::Sku, row, is_forced(call)?, now);
        Ok(Reply::empty(204))
    }

    fn find_sku(&self, product: &str, sku: &str) -> Result<(usize, usize), Refusal> {
        let product = self.find(What::Product, product)?;
        let row = self.find(What::Sku, sku)?;
        if self.skus.row(row).parent != Some(product) {
            return Err(Refusal::not_found("sku", sku));
        }
        Ok((product, row))
    }

    /// The places of a product's SKUs, oldest first.
    pub(super) fn skus_of(&self, product: usize) -> Vec<usize> {
        self.skus
            .live()
            .filter(|place| self.skus.row(*place).parent == Some(product))
            .collect()
    }

    /// Attributes have to be named in the product first (API.md, Calls).
    pub(super) fn check_sku(&self, product: usize, content: &Object) -> Result<(), Refusal> {
        let Some(Value::Object(attributes)) = content.get("attributes") else {
            return Ok(());
        };
        let content = self.products.row(product).content();
        let named = content.get("attributes").and_then(Value::as_array);
        let unnamed = attributes
            .keys()
            .find(|key| !named.is_some_and(|named| named.iter().any(|name| name == key.as_str())));
        match unnamed {
            None => Ok(()),
            Some(key) => Err(Refusal::new(
                400,
                "invalid_sku",
                "Invalid SKU",
                format!("Attribute {key} is not defined in the product"),
            )),
        }
    }

    pub(super) fn product_view(&self, place: usize) -> Object {
        let row = self.products.row(place);
        let mut view = Object::new();
        view.insert("id".into(), Value::from(&*row.id));
        view.insert("source_id".into(), json!(row.source_id));
        for name in ["name", "price", "image_url"] {
            view.insert(name.into(), Value::Null);
        }
        view.insert("attributes".into(), json!([]));
        view.insert("metadata".into(), json!({}));
        view.extend(row.content());
        view.insert("created_at".into(), Value::from(stamp(row.created_ms)));
        view.insert("updated_at".into(), json!(row.updated_ms.map(stamp)));
        view.insert("object".into(), Value::from("product"));
        view
    }

    pub(super) fn product_with_skus(&self, place: usize) -> Object {
        let mut view = self.product_view(place);
        let skus: Vec<Value> = self
            .skus_of(place)
            .into_iter()
            .map(|sku| Value::Object(self.sku_view(sku)))
            .collect();
        view.insert(
            "skus".into(),
            json!({"object": "list", "data_ref": "data", "total": skus.len(), "data": skus}),
        );
        view
    }

    pub(super) fn sku_view(&self, place: usize) -> Object {
        let row = self.skus.row(place);
        let product = row.parent.map(|product| &*self.products.row(product).id);
        let mut view = Object::new();
        view.insert("id".into(), Value::from(&*row.id));
        view.insert("source_id".into(), json!(row.source_id));
        view.insert("product_id".into(), json!(product));
        for name in ["sku", "price", "currency", "image_url"] {
            view.insert(name.into(), Value::Null);
        }
        view.insert("attributes".into(), json!({}));
        view.insert("metadata".into(), json!({}));
        view.extend(row.content());
        view.insert("created_at".into(), Value::from(stamp(row.created_ms)));
        view.insert("updated_at".into(), json!(row.updated_ms.map(stamp)));
        view.insert("object".into(), Value::from("sku"));
        view
    }

    fn discard(&mut self, what: What, place: usize, forced: bool, now: i64) {
        if !forced {
            let row = self.table(what).row(place);
            let content = row.content();
            let name = content.get("name").or_else(|| content.get("sku"));
            let parent_id = row
                .parent
                .map(|product| self.products.row(product).id.to_string());
            let entry = Binned {
                id: String::new(),
                at_ms: now,
                what,
                resource_id: row.id.to_string(),
                source_id: row.source_id.as_deref().map(str::to_owned),
                name: name.and_then(Value::as_str).unwrap_or_default().to_owned(),
                parent_id,
            };
            let id = self.random.id("tbe_", 18);
            self.bin.push(Binned { id, ..entry });
        }
        self.table_mut(what).remove(place);
    }

    fn not_in_bin(&self, what: What, source_id: Option<&str>) -> Result<(), Refusal> {
        let taken = self.settings.bin_keeps_source_id
            && source_id.is_some()
            && self
                .bin
                .iter()
                .any(|entry| entry.what == what && entry.source_id.as_deref() == source_id);
        if taken {
            return Err(Refusal::duplicate(
                "duplicate_found",
                format!("A {} in the bin has this source_id", what.name()),
            ));
        }
        Ok(())
    }

    pub(super) fn list_bin(&self, call: &Call) -> Result<Reply, Refusal> {
        let page = super::lists::Page::of(call, 1)?;
        let mut entries: Vec<&Binned> = self.bin.iter().rev().collect();
        if let Some(after) = call.query("starting_after_id") {
            let place = entries.iter().position(|entry| entry.id == after);
            entries.drain(..place.map_or(0, |place| place + 1));
        }
        let total = self.bin.len();
        let (entries, more) = page.cut(entries);
        let rows: Vec<Value> = entries
            .iter()
            .map(|entry| {
                json!({
                    "id": entry.id,
                    "created_at": stamp(entry.at_ms),
                    "deleted_by_user_id": null,
                    "resource_id": entry.resource_id,
                    "resource_type": entry.what.name(),
                    "resource_name": entry.name,
                    "resource_parent_id": entry.parent_id,
                    "object": entry.what.name(),
                })
            })
            .collect();
        let mut list = json!({"object": "list", "data_ref": "data", "data": rows, "total": total, "has_more": more});
        if let (true, Some(last)) = (more, entries.last()) {
            list["more_starting_after"] = Value::from(last.id.as_str());
        }
        Ok(Reply::json(200, &list))
    }

    pub(super) fn clear_bin(&mut self, id: &str) -> Result<Reply, Refusal> {
        let place = self.bin.iter().position(|entry| entry.id == id);
        let place = place.ok_or_else(|| Refusal::not_found("trash_bin_entry", id))?;
        self.bin.remove(place);
        Ok(Reply::empty(204))
    }
}

fn is_forced(call: &Call) -> Result<bool, Refusal> {
    match call.query("force") {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => Err(Refusal::query("Property .force should be a boolean")),
    }
}
