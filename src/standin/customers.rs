//! Customers: upserts, deletion, erasure, consents, activity.

use serde_json::{Value, json};

use super::{
    Object, Remote, Reply,
    refusal::Refusal,
    route::Call,
    shape, stamp,
    tables::{What, fresh, merge},
};

impl Remote {
    pub(super) fn post_customer(&mut self, call: &Call, now: i64) -> Result<Reply, Refusal> {
        let row = self.upsert_customer(call.object(shape::customer)?, now)?;
        Ok(Reply::json(200, &self.customer_view(row).into()))
    }

    pub(super) fn put_customer(
        &mut self,
        key: &str,
        call: &Call,
        now: i64,
    ) -> Result<Reply, Refusal> {
        let mut content = call.object(shape::customer)?;
        let row = self.find(What::Customer, key)?;
        keyless(&mut content);
        self.refuse_row(What::Customer, row)?;
        self.check_metadata("customer", &content, false)?;
        self.write(What::Customer, row, content, now);
        Ok(Reply::json(200, &self.customer_view(row).into()))
    }

    /// Creates or updates, by `id` or `source_id`. One without either is always new
    /// (SURPRISES.md, 11).
    pub(super) fn upsert_customer(
        &mut self,
        mut content: Object,
        now: i64,
    ) -> Result<usize, Refusal> {
        let (id, source_id) = keyless(&mut content);
        let known = self.known(What::Customer, id.as_deref(), source_id.as_deref())?;
        self.refuse_key(What::Customer, source_id.as_deref())?;
        self.check_metadata("customer", &content, known.is_none())?;
        Ok(match known {
            Some(row) => {
                self.write(What::Customer, row, content, now);
                row
            }
            None => self.create(What::Customer, source_id.as_deref(), content, now),
        })
    }

    pub(super) fn delete_customer(&mut self, key: &str) -> Result<Reply, Refusal> {
        let row = self.find(What::Customer, key)?;
        self.refuse_row(What::Customer, row)?;
        self.customers.remove(row);
        Ok(Reply::empty(204))
    }

    pub(super) fn erase(&mut self, key: &str, now: i64) -> Result<Reply, Refusal> {
        let row = self.find(What::Customer, key)?;
        self.refuse_row(What::Customer, row)?;
        let id = self.customers.row(row).id.to_string();
        let orders: Vec<usize> = self
            .orders
            .live()
            .filter(|place| self.orders.row(*place).parent == Some(row))
            .collect();
        for order in &orders {
            self.orders.row_mut(*order).parent = None;
        }
        self.customers.remove(row);
        let answer = json!({
            "id": self.random.id("del_", 24),
            "created_at": stamp(now),
            "related_object_id": id,
            "related_object": "customer",
            "status": "DONE",
            "data_json": {"events": 0, "customer_events": 0, "daily_events": 0, "segments": 0,
                          "orders": orders.len(), "order_events": 0, "customer": 1},
            // So it is written there (SURPRISES.md, 28).
            "object": "pernament_deletion",
        });
        Ok(Reply::json(200, &answer))
    }

    pub(super) fn put_consents(&mut self, key: &str, call: &Call) -> Result<Reply, Refusal> {
        let row = self.find(What::Customer, key)?;
        self.refuse_row(What::Customer, row)?;
        let consents = match shape::json(call.body)? {
            Value::Object(consents) if consents.values().all(Value::is_boolean) => consents,
            _ => return Err(Refusal::payload("Consents should be an object of booleans")),
        };
        self.customers.row_mut(row).consents.extend(consents);
        Ok(Reply::empty(204))
    }

    pub(super) fn activity(&self, key: &str, call: &Call) -> Result<Reply, Refusal> {
        let page = super::lists::Page::of(call, 1)?;
        let place = self.find(What::Customer, key)?;
        let row = self.customers.row(place);
        let customer = json!({"id": row.id, "source_id": row.source_id, "object": "customer"});
        let event = |kind: &str, ms: i64| {
            json!({"id": format!("ev_{}_{ms}", row.id), "type": kind, "created_at": stamp(ms),
                   "category": "ACTION", "data": {"customer": customer}})
        };
        let mut events = vec![event("customer.created", row.created_ms)];
        events.extend(row.updated_ms.map(|ms| event("customer.updated", ms)));
        events.reverse();
        let (events, more) = page.cut(events);
        Ok(Reply::json(
            200,
            &json!({"object": "list", "data_ref": "data", "data": events, "has_more": more}),
        ))
    }

    pub(super) fn customer_view(&self, place: usize) -> Object {
        let row = self.customers.row(place);
        let mut view = Object::new();
        view.insert("id".into(), Value::from(&*row.id));
        if let Some(source_id) = &row.source_id {
            view.insert("source_id".into(), Value::from(&**source_id));
        }
        view.insert("address".into(), Value::Null);
        view.insert("metadata".into(), Value::Object(Object::new()));
        view.extend(row.content());
        view.insert("summary".into(), summary());
        view.insert(
            "loyalty".into(),
            json!({"points": 0, "referred_customers": 0, "campaigns": {}}),
        );
        view.insert("referrals".into(), json!({"total": 0, "campaigns": []}));
        view.insert("created_at".into(), Value::from(stamp(row.created_ms)));
        // A customer's schema has no null here (SURPRISES.md, 19).
        if let Some(ms) = row.updated_ms {
            view.insert("updated_at".into(), Value::from(stamp(ms)));
        }
        view.insert("object".into(), Value::from("customer"));
        view
    }

    // What all four kinds share.

    /// The object that `id` or `source_id` names, if it is there.
    pub(super) fn known(
        &self,
        what: What,
        id: Option<&str>,
        source_id: Option<&str>,
    ) -> Result<Option<usize>, Refusal> {
        let table = self.table(what);
        let by_id = id.and_then(|id| table.by_id(id));
        let by_source_id = source_id.and_then(|key| table.by_source_id(key));
        match (by_id, by_source_id) {
            (Some(one), Some(other)) if one != other => Err(Refusal::duplicate(
                "duplicate_found",
                format!("Another {} has this source_id", what.name()),
            )),
            (one, other) => Ok(one.or(other)),
        }
    }

    pub(super) fn create(
        &mut self,
        what: What,
        source_id: Option<&str>,
        mut content: Object,
        now: i64,
    ) -> usize {
        fresh(&mut content);
        let Self {
            random,
            customers,
            products,
            skus,
            orders,
            ..
        } = self;
        let table = match what {
            What::Customer => customers,
            What::Product => products,
            What::Sku => skus,
            What::Order => orders,
        };
        table.create(source_id, &content, now, random)
    }

    /// New content over old.
    pub(super) fn write(&mut self, what: What, row: usize, content: Object, now: i64) {
        let address_replaces = self.settings.address_replaces;
        let table = self.table_mut(what);
        let mut merged = table.row(row).content();
        merge(&mut merged, content, address_replaces);
        table.rewrite(row, &merged, now);
    }

    /// Whether a fault refuses this record.
    pub(super) fn refuse_key(
        &mut self,
        what: What,
        source_id: Option<&str>,
    ) -> Result<(), Refusal> {
        let Some(key) = source_id else {
            return Ok(());
        };
        let refusal = self.faults.refuses(what, key, false, &mut self.random);
        refusal.map_or(Ok(()), Err)
    }

    pub(super) fn refuse_row(&mut self, what: What, row: usize) -> Result<(), Refusal> {
        let key = self.table(what).row(row).source_id.clone();
        self.refuse_key(what, key.as_deref())
    }
}

/// Takes `id` and `source_id` out of a body; an empty one is none.
pub(super) fn keyless(content: &mut Object) -> (Option<String>, Option<String>) {
    let mut take = |name| match content.shift_remove(name) {
        Some(Value::String(text)) if !text.is_empty() => Some(text),
        _ => None,
    };
    (take("id"), take("source_id"))
}

fn summary() -> Value {
    json!({
        "redemptions": {
            "total_redeemed": 0, "total_failed": 0, "total_succeeded": 0, "total_rolled_back": 0,
            "total_rollback_failed": 0, "total_rollback_succeeded": 0,
            "gift": {"redeemed_amount": 0, "amount_to_go": 0},
            "loyalty_card": {"redeemed_points": 0, "points_to_go": 0},
        },
        "orders": {"total_amount": 0, "total_count": 0, "average_amount": 0, "last_order_amount": 0},
    })
}
