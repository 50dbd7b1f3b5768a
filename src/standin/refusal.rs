//! What the API says when it refuses (API.md, Errors).

use std::borrow::Cow;

use serde_json::{Value, json};

use super::{Reply, settings::BODY_BYTES_MAX};

/// A request, or one record of a job, that is not taken.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) key: Cow<'static, str>,
    pub(super) message: Cow<'static, str>,
    pub(super) details: String,
    /// Type and id of what could not be found.
    resource: Option<(&'static str, String)>,
}

impl Refusal {
    pub(super) fn new(
        status: u16,
        key: impl Into<Cow<'static, str>>,
        message: impl Into<Cow<'static, str>>,
        details: impl Into<String>,
    ) -> Self {
        Self {
            status,
            key: key.into(),
            message: message.into(),
            details: details.into(),
            resource: None,
        }
    }

    pub(super) fn payload(details: impl Into<String>) -> Self {
        Self::new(400, "invalid_payload", "Invalid payload", details)
    }

    pub(super) fn query(details: impl Into<String>) -> Self {
        Self::new(400, "invalid_query_params", "Invalid query params", details)
    }

    pub(super) fn unauthorized() -> Self {
        Self::new(
            401,
            "unauthorized",
            "Unauthorized",
            "Provided X-App-Id and X-App-Token could not be authenticated",
        )
    }

    pub(super) fn not_found(what: &'static str, key: &str) -> Self {
        Self {
            resource: Some((what, key.to_owned())),
            ..Self::new(
                404,
                "not_found",
                "Resource not found",
                format!("Cannot find {what} with id {key}"),
            )
        }
    }

    pub(super) fn no_such_call() -> Self {
        Self::new(404, "not_found", "Resource not found", "No such path")
    }

    pub(super) fn no_such_method() -> Self {
        Self::new(
            405,
            "method_not_allowed",
            "Method not allowed",
            "This path does not know the method",
        )
    }

    pub(super) fn duplicate(key: &'static str, details: String) -> Self {
        Self::new(409, key, "Duplicate resource", details)
    }

    pub(super) fn too_large() -> Self {
        Self::new(413, "", "Request Entity Too Large", "")
    }

    pub(super) fn media_type() -> Self {
        Self::new(415, "", "Unsupported Media Type", "")
    }

    pub(super) fn reply(&self, request_id: &str) -> Reply {
        Reply::json(self.status, &self.body(request_id))
    }

    fn body(&self, request_id: &str) -> Value {
        // These two come from what stands before the API proper, and look different
        // (SURPRISES.md, 20).
        let before = match self.status {
            413 => Some(format!(
                "Payload content length greater than maximum allowed: {BODY_BYTES_MAX}"
            )),
            415 => Some("Unsupported Media Type".to_owned()),
            _ => None,
        };
        if let Some(message) = before {
            return json!({"statusCode": self.status, "error": self.message, "message": message});
        }
        let mut body = json!({
            "code": self.status,
            "key": self.key,
            "message": self.message,
            "details": self.details,
            "request_id": request_id,
        });
        if let Some((what, id)) = &self.resource {
            body["resource_id"] = Value::from(id.as_str());
            body["resource_type"] = Value::from(*what);
        }
        body
    }
}
