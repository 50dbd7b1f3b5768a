//! The API's bodies from records, its answers, job reports and the three shapes of its errors.
//!
//! Pure: what a call looks like and what an answer says. When to call, how often, and what an answer
//! means for a record or the link is known elsewhere (`plan`, `verdict`).

mod answer;
mod body;
mod csv;
mod export;
mod path;
mod schemas;

pub use answer::{
    Answer, Fault, ItemFault, Job, JobState, Limits, ListedJob, Made, NoAnswer, Response,
    http_date_ms,
};
pub use body::{
    OrderNames, bulk_item, consents, customer, has_consents, metadata_call, metadata_frame_bytes,
    metadata_key, order, product, sku,
};
pub use csv::{KeyColumn, NotKeys, SKUS_CSV_FRAME_BYTES, sku_row, skus_csv};
pub use export::{Export, ExportState, export};
pub use path::{PathKey, segment};
pub use schemas::metadata_types;

/// Bytes that a bulk, metadata or import body may have (API.md, Calls: 10 MB = 10,485,760 bytes).
pub const BODY_BYTES_MAX: usize = 10_485_760;

/// Orders that one import may have (API.md, Calls).
pub const IMPORT_ORDERS_MAX: usize = 2_000;

/// Bytes of a JSON answer after decoding; more is no answer of the API's.
pub const ANSWER_BYTES_MAX: usize = 16 << 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    Get,
    Post,
    Put,
    Delete,
}

impl Method {
    pub fn name(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Delete => "DELETE",
        }
    }
}

/// Which of the API's budgets a call is counted in (API.md, Limits).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purse {
    Api,
    Bulk,
}

impl Purse {
    pub fn name(self) -> &'static str {
        match self {
            Purse::Api => "api",
            Purse::Bulk => "bulk",
        }
    }

    pub fn from_name(name: &str) -> Option<Purse> {
        [Purse::Api, Purse::Bulk]
            .into_iter()
            .find(|p| p.name() == name)
    }
}

/// The calls that delivery knows. The one table of methods, path templates and budgets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Endpoint {
    Customer,
    CustomersBulk,
    CustomersMetadata,
    ProductsMetadata,
    CustomerDelete,
    CustomerErase,
    CustomerRead,
    CustomerActivity,
    Consents,
    ProductRead,
    SkuRead,
    OrderRead,
    Product,
    ProductsBulk,
    ProductDelete,
    Sku,
    SkusCsv,
    SkuDelete,
    OrderNew,
    OrderUpdate,
    OrdersImport,
    Job,
    Jobs,
    Probe,
    BinList,
    BinDelete,
    MetadataSchemas,
    ExportNew,
    ExportRead,
    /// Where the answer to `ExportRead` says; noted in the log of requests, sent by a way of its own.
    ExportFile,
}

impl Endpoint {
    /// Method, path template (what the log of requests shows: never a key), budget.
    pub fn describe(self) -> (Method, &'static str, Purse) {
        use Method::*;
        match self {
            Endpoint::Customer => (Post, "/v1/customers", Purse::Api),
            Endpoint::CustomersBulk => (Post, "/v1/customers/bulk/async", Purse::Bulk),
            Endpoint::CustomersMetadata => (Post, "/v1/customers/metadata/async", Purse::Bulk),
            Endpoint::ProductsMetadata => (Post, "/v1/products/metadata/async", Purse::Bulk),
            Endpoint::CustomerDelete => (Delete, "/v1/customers/{id}", Purse::Api),
            Endpoint::CustomerErase => (Post, "/v1/customers/{id}/permanent-deletion", Purse::Api),
            Endpoint::CustomerRead => (Get, "/v1/customers/{id}", Purse::Api),
            Endpoint::CustomerActivity => (Get, "/v1/customers/{id}/activity", Purse::Api),
            Endpoint::SkuRead => (Get, "/v1/skus/{id}", Purse::Api),
            Endpoint::ProductRead => (Get, "/v1/products/{id}", Purse::Api),
            Endpoint::OrderRead => (Get, "/v1/orders/{id}", Purse::Api),
            Endpoint::Consents => (Put, "/v1/customers/{id}/consents", Purse::Api),
            Endpoint::Product => (Post, "/v1/products", Purse::Api),
            Endpoint::ProductsBulk => (Post, "/v1/products/bulk/async", Purse::Bulk),
            Endpoint::ProductDelete => (Delete, "/v1/products/{id}", Purse::Api),
            Endpoint::Sku => (Post, "/v1/products/{id}/skus", Purse::Api),
            Endpoint::SkusCsv => (Post, "/v1/skus/importCSV", Purse::Bulk),
            Endpoint::SkuDelete => (Delete, "/v1/products/{id}/skus/{id}", Purse::Api),
            Endpoint::OrderNew => (Post, "/v1/orders", Purse::Api),
            Endpoint::OrderUpdate => (Put, "/v1/orders/{id}", Purse::Api),
            Endpoint::OrdersImport => (Post, "/v1/orders/import", Purse::Bulk),
            Endpoint::Job => (Get, "/v1/async-actions/{id}", Purse::Api),
            Endpoint::Jobs => (Get, "/v1/async-actions", Purse::Api),
            // The cheapest call that needs credentials and answers with the API's own JSON.
            Endpoint::Probe => (Get, "/v1/customers", Purse::Api),
            Endpoint::BinList => (Get, "/v1/trash-bin", Purse::Api),
            Endpoint::BinDelete => (Delete, "/v1/trash-bin/{id}", Purse::Api),
            Endpoint::MetadataSchemas => (Get, "/v1/metadata-schemas", Purse::Api),
            Endpoint::ExportNew => (Post, "/v1/exports", Purse::Api),
            Endpoint::ExportRead => (Get, "/v1/exports/{id}", Purse::Api),
            Endpoint::ExportFile => (Get, "/v1/exports/{id}?token", Purse::Api),
        }
    }

    pub fn method(self) -> Method {
        self.describe().0
    }

    pub fn template(self) -> &'static str {
        self.describe().1
    }

    pub fn purse(self) -> Purse {
        self.describe().2
    }

    /// The media type of its body.
    pub fn media(self) -> &'static str {
        match self {
            Endpoint::SkusCsv => csv::MEDIA,
            _ => "application/json",
        }
    }

    /// As `plan` shows it: `POST /v1/customers`.
    pub fn label(self) -> String {
        format!("{} {}", self.method().name(), self.template())
    }
}

/// A request, ready to be sent.
#[derive(Clone)]
pub struct Call {
    pub endpoint: Endpoint,
    /// Encoded, from `/v1` on, with its query. Holds keys: never log it.
    pub path: String,
    /// Of the endpoint's media type.
    pub body: Option<Vec<u8>>,
}

impl Call {
    /// `keys` fill the template's `{id}`s, already encoded by `segment`.
    pub fn new(endpoint: Endpoint, keys: &[&str], body: Option<Vec<u8>>) -> Call {
        let mut path = String::new();
        let mut keys = keys.iter();
        for (n, part) in endpoint.template().split("{id}").enumerate() {
            if n > 0 {
                path.push_str(keys.next().expect("a key for each place of the template"));
            }
            path.push_str(part);
        }
        Call {
            endpoint,
            path,
            body,
        }
    }

    pub fn query(mut self, query: &str) -> Call {
        self.path.push('?');
        self.path.push_str(query);
        self
    }
}

/// Shows no key and no content.
impl std::fmt::Debug for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let bytes = self.body.as_ref().map_or(0, Vec::len);
        write!(f, "{} ({bytes} bytes)", self.endpoint.label())
    }
}
