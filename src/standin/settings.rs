//! How the stand-in behaves where the published documents leave room, or where a plan decides.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The credentials that a stand-in takes unless it is told others.
pub const APP_ID: &str = "app-id";
pub const APP_TOKEN: &str = "app-token";

/// The largest body of a request, in bytes (API.md, Calls: 10 MB).
pub const BODY_BYTES_MAX: usize = 10_485_760;

/// The most orders in one import (API.md, Calls).
pub const IMPORT_ORDERS_MAX: usize = 2_000;

/// The most items in one order (API.md, Calls).
pub const ORDER_ITEMS_MAX: usize = 500;

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// All of them open the same project.
    pub credentials: Vec<Credentials>,
    pub limit: Limit,
    pub headers: Headers,
    /// `Retry-After` as a date instead of seconds.
    pub retry_after_as_date: bool,
    /// From a job's arrival to its beginning, when no other one is before it.
    pub job_delay_ms: i64,
    /// What a job takes at least.
    pub job_base_ms: i64,
    /// What a thousand records of a job take on top.
    pub job_ms_per_thousand: i64,
    /// Jobs and exports are done when they are asked for, whatever the three above say.
    pub instant: bool,
    pub export_ms: i64,
    /// Exports head their columns with titles and write money with a point, as the document's
    /// example does against its own text (SURPRISES.md, 37).
    pub export_titles: bool,
    /// Where the URLs of exports and reports begin; the server sets its own address.
    pub base_url: String,
    /// Where the addresses of finished exports begin instead: the real API's lie on hosts of their own
    /// (SURPRISES.md, 37). Absent: at `base_url`.
    pub download_url: Option<String>,
    /// Bulk jobs offer a report of every record they carried.
    pub reports: bool,
    /// Defined metadata by resource: `customer`, `product`, `order`, `order_item`.
    pub metadata: BTreeMap<String, MetadataSchema>,
    /// A given address takes the place of the whole old one; else its parts are merged. The
    /// documents don't say which, so a client has to live with both.
    pub address_replaces: bool,
    /// What lies in the bin keeps its `source_id` taken (SURPRISES.md, 40: not said).
    pub bin_keeps_source_id: bool,
    /// `PUT /v1/customers/{id}/consents` exists.
    pub consents: bool,
    /// The failed orders of an import are an object, as the document draws them (API.md, Jobs).
    pub import_failed_as_object: bool,
    /// How many bytes of bodies the log keeps; the oldest go first. Absent: all.
    pub log_body_bytes_max: Option<usize>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            credentials: vec![Credentials {
                app_id: APP_ID.to_owned(),
                app_token: APP_TOKEN.to_owned(),
            }],
            limit: Limit::default(),
            headers: Headers::Normal,
            retry_after_as_date: false,
            job_delay_ms: 100,
            job_base_ms: 200,
            job_ms_per_thousand: 100,
            instant: false,
            export_ms: 500,
            export_titles: false,
            base_url: "http://127.0.0.1".to_owned(),
            download_url: None,
            reports: true,
            metadata: BTreeMap::new(),
            address_replaces: false,
            bin_keeps_source_id: false,
            consents: true,
            import_failed_as_object: false,
            log_body_bytes_max: None,
        }
    }
}

impl Settings {
    /// No limit worth the name, and jobs that are done at once: what measures only the client.
    pub fn instant() -> Self {
        Self {
            limit: Limit {
                calls: 1_000_000_000,
                bulk_calls: Some(1_000_000_000),
                ..Limit::default()
            },
            instant: true,
            ..Self::default()
        }
    }
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Credentials {
    pub app_id: String,
    pub app_token: String,
}

/// A plan's limits (API.md, Limits).
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limit {
    /// In each period.
    pub calls: u64,
    /// Of the bulk budget, in each period; absent: as many as `calls`.
    pub bulk_calls: Option<u64>,
    pub period: Period,
    /// In a billing cycle; absent: not limited.
    pub cycle_calls: Option<u64>,
    /// When the cycle ends; what was counted then starts anew, a cycle being 30 days.
    pub cycle_ends_ms: Option<i64>,
}

impl Default for Limit {
    fn default() -> Self {
        Self {
            calls: 2_000,
            bulk_calls: None,
            period: Period::Minute,
            cycle_calls: None,
            cycle_ends_ms: None,
        }
    }
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Period {
    Minute,
    Hour,
}

impl Period {
    pub(super) fn ms(self) -> i64 {
        match self {
            Self::Minute => 60_000,
            Self::Hour => 3_600_000,
        }
    }
}

/// What the limit's headers say.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Headers {
    Normal,
    /// There are none, not even on a 429.
    None,
    /// Numbers that no limit can mean.
    Absurd,
}

/// What a project defines of one resource's metadata (SURPRISES.md, 27).
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct MetadataSchema {
    pub allow_defined_only: bool,
    /// By key: `{"type": "number", "array": false, "optional": true, …}`, as the API shows them.
    pub properties: serde_json::Map<String, Value>,
}
