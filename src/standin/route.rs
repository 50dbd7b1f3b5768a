//! Which call a request is: its path in decoded parts, its query, its body; and the table of calls.

use std::sync::Arc;

use super::{Object, Remote, Reply, Request, refusal::Refusal, shape, tables::What};

/// A request, read.
pub(super) struct Call<'a> {
    pub(super) method: &'a str,
    /// As it came, without the query.
    pub(super) path: &'a str,
    /// Percent-decoded; a `source_id` with a slash is one part.
    pub(super) parts: Vec<String>,
    pub(super) query: Vec<(String, String)>,
    pub(super) body: &'a Arc<[u8]>,
    request: &'a Request,
}

impl<'a> Call<'a> {
    pub(super) fn of(request: &'a Request) -> Self {
        let (path, query) = request
            .target
            .split_once('?')
            .unwrap_or((&request.target, ""));
        Self {
            method: &request.method,
            path,
            parts: path.split('/').skip(1).map(decoded).collect(),
            query: query
                .split('&')
                .filter(|pair| !pair.is_empty())
                .map(|pair| {
                    let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
                    (
                        decoded(&key.replace('+', " ")),
                        decoded(&value.replace('+', " ")),
                    )
                })
                .collect(),
            body: &request.body,
            request,
        }
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.request.header(name)
    }

    pub(super) fn query(&self, name: &str) -> Option<&str> {
        self.query
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// Counted in the budget of bulk calls (API.md, Limits).
    pub(super) fn is_bulk(&self) -> bool {
        self.method == "POST"
            && (self.path.ends_with("/async")
                || self.path.ends_with("/importCSV")
                || self.path == "/v1/orders/import")
    }

    /// A single object's body.
    pub(super) fn object(
        &self,
        check: fn(serde_json::Value, &str) -> Result<Object, Refusal>,
    ) -> Result<Object, Refusal> {
        check(shape::json(self.body)?, "")
    }

    fn is_json(&self) -> bool {
        self.header("content-type")
            .is_some_and(|kind| kind.to_ascii_lowercase().starts_with("application/json"))
    }
}

impl Remote {
    /// The table of calls (API.md, Calls).
    pub(super) fn dispatch(&mut self, call: &Call, now: i64) -> Result<Reply, Refusal> {
        self.presentable(call)?;
        let parts: Vec<&str> = call.parts.iter().map(String::as_str).collect();
        match (call.method, parts.as_slice()) {
            ("POST", ["v1", "customers"]) => self.post_customer(call, now),
            ("GET", ["v1", "customers"]) => self.list_customers(call),
            ("POST", ["v1", kind @ ("customers" | "products"), "bulk", "async"]) => {
                self.post_bulk(kind, call, now)
            }
            ("POST", ["v1", kind @ ("customers" | "products"), "metadata", "async"]) => {
                self.post_metadata(kind, call, now)
            }
            (
                "POST",
                [
                    "v1",
                    kind @ ("customers" | "products" | "skus"),
                    "importCSV",
                ],
            ) => self.post_csv(kind, call, now),
            ("POST", ["v1", "customers", key, "permanent-deletion"]) => self.erase(key, now),
            ("GET", ["v1", "customers", key, "activity"]) => self.activity(key, call),
            ("PUT", ["v1", "customers", key, "consents"]) if self.settings.consents => {
                self.put_consents(key, call)
            }
            ("GET", ["v1", "customers", key]) => self.get(What::Customer, key),
            ("PUT", ["v1", "customers", key]) => self.put_customer(key, call, now),
            ("DELETE", ["v1", "customers", key]) => self.delete_customer(key),

            ("POST", ["v1", "products"]) => self.post_product(call, now),
            ("GET", ["v1", "products"]) => self.list_products(call),
            ("GET", ["v1", "products", product, "skus"]) => self.list_skus(product, call),
            ("POST", ["v1", "products", product, "skus"]) => self.post_sku(product, call, now),
            ("PUT", ["v1", "products", product, "skus", sku]) => {
                self.put_sku(product, sku, call, now)
            }
            ("DELETE", ["v1", "products", product, "skus", sku]) => {
                self.delete_sku(product, sku, call, now)
            }
            ("GET", ["v1", "products", key]) => self.get(What::Product, key),
            ("PUT", ["v1", "products", key]) => self.put_product(key, call, now),
            ("DELETE", ["v1", "products", key]) => self.delete_product(key, call, now),
            ("GET", ["v1", "skus", key]) => self.get(What::Sku, key),
            ("GET", ["v1", "trash-bin"]) => self.list_bin(call),
            ("DELETE", ["v1", "trash-bin", entry]) => self.clear_bin(entry),

            ("POST", ["v1", "orders"]) => self.post_order(call, now),
            ("POST", ["v1", "orders", "import"]) => self.post_import(call, now),
            ("GET", ["v1", "orders"]) => self.list_orders(call),
            ("GET", ["v1", "orders", key]) => self.get(What::Order, key),
            ("PUT", ["v1", "orders", key]) => self.put_order(key, call, now),

            ("GET", ["v1", "async-actions"]) => self.list_jobs(call, now),
            ("GET", ["v1", "async-actions", id]) => self.get_job(id, now),
            ("GET", ["reports", id]) => self.report(id, call, now),
            ("GET", ["v1", "metadata-schemas"]) => Ok(self.list_schemas()),
            ("GET", ["v1", "metadata-schemas", resource]) => self.get_schema(resource),
            ("POST", ["v1", "exports"]) => self.post_export(call, now),
            ("GET", ["v1", "exports"]) => self.list_exports(call, now),
            ("GET", ["v1", "exports", id]) => self.get_export(id, call, now),
            ("DELETE", ["v1", "exports", id]) => self.delete_export(id),
            (_, parts) => Err(unknown(parts)),
        }
    }

    fn presentable(&self, call: &Call) -> Result<(), Refusal> {
        if call.body.len() > super::settings::BODY_BYTES_MAX {
            return Err(Refusal::too_large());
        }
        if call
            .header("content-encoding")
            .is_some_and(|coding| coding != "identity")
        {
            return Err(Refusal::media_type());
        }
        let wants_json = matches!(call.method, "POST" | "PUT")
            && !call.path.ends_with("/importCSV")
            && !call.path.ends_with("/permanent-deletion");
        if wants_json && !call.is_json() {
            return Err(Refusal::media_type());
        }
        Ok(())
    }

    fn get(&self, what: What, key: &str) -> Result<Reply, Refusal> {
        let row = self.find(what, key)?;
        let view = match what {
            What::Customer => self.customer_view(row),
            What::Product => self.product_with_skus(row),
            What::Sku => self.sku_view(row),
            What::Order => self.order_view(row),
        };
        Ok(Reply::json(200, &view.into()))
    }

    /// The place of an object that has to be there.
    pub(super) fn find(&self, what: What, key: &str) -> Result<usize, Refusal> {
        self.table(what)
            .find(key)
            .ok_or_else(|| Refusal::not_found(what.name(), key))
    }
}

fn unknown(parts: &[&str]) -> Refusal {
    let known = matches!(
        parts,
        [
            "v1",
            "customers"
                | "products"
                | "orders"
                | "skus"
                | "async-actions"
                | "exports"
                | "metadata-schemas"
                | "trash-bin"
        ] | [
            "v1",
            "customers"
                | "products"
                | "orders"
                | "skus"
                | "async-actions"
                | "exports"
                | "metadata-schemas",
            _
        ] | ["v1", "products", _, "skus"]
            | ["v1", "products", _, "skus", _]
    );
    if known {
        Refusal::no_such_method()
    } else {
        Refusal::no_such_call()
    }
}

/// Percent-decoded; what is no valid encoding stays as it stands.
pub(super) fn decoded(text: &str) -> String {
    if !text.contains('%') {
        return text.to_owned();
    }
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let pair = bytes.get(at + 1..at + 3);
        let byte = (bytes[at] == b'%')
            .then(|| pair.and_then(|pair| std::str::from_utf8(pair).ok()))
            .flatten()
            .and_then(|pair| u8::from_str_radix(pair, 16).ok());
        out.push(byte.unwrap_or(bytes[at]));
        at += if byte.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_with_slash_and_blank_is_one_part() {
        let request = Request::json(
            "GET",
            "/v1/customers/judge%201%2Fc1?limit=5&created_at%5Bafter%5D=a%20b+c",
            "",
        );
        let call = Call::of(&request);
        assert_eq!(call.parts, ["v1", "customers", "judge 1/c1"]);
        assert_eq!(call.query("created_at[after]"), Some("a b c"));
        assert_eq!(call.path, "/v1/customers/judge%201%2Fc1");
    }

    #[test]
    fn what_is_no_encoding_stays() {
        for (text, expected) in [
            ("100%", "100%"),
            ("%zz", "%zz"),
            ("%2", "%2"),
            ("%C3%A9", "é"),
            ("%2E%2E", ".."),
        ] {
            assert_eq!(decoded(text), expected);
        }
    }
}
