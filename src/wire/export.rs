//! Exports: everything of one kind as CSV, made by the remote in the background.
//!
//! The document's schema of the request lacks products and SKUs; its text has them
//! (openapi/SURPRISES, 33).

use super::answer::{Response, text};
use crate::kind::Kind;
use crate::record::push_json_str;

/// Where an export stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExportState {
    Open,
    /// Where the CSV lies: whoever fetches it sends credentials only to the remote itself.
    Done {
        url: String,
    },
    Failed,
}

/// An export, by the answer to its order or to a question for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Export {
    pub id: String,
    pub state: ExportState,
}

/// `POST /v1/exports`
pub fn export(kind: Kind, fields: &[&str]) -> String {
    let object = match kind {
        Kind::Customers => "customer",
        Kind::Products => "product",
        Kind::Skus => "sku",
        Kind::Orders => "order",
    };
    let mut out = String::from("{\"exported_object\":");
    push_json_str(&mut out, object);
    out.push_str(",\"parameters\":{\"fields\":[");
    for (n, field) in fields.iter().enumerate() {
        if n > 0 {
            out.push(',');
        }
        push_json_str(&mut out, field);
    }
    out.push_str("]}}");
    out
}

impl Response {
    /// `None`: no answer that the API would give of an export.
    pub fn export(&self) -> Option<Export> {
        let body = self.object()?;
        let id = text(&body, "id").filter(|id| !id.is_empty())?;
        let state = match text(&body, "status")?.as_str() {
            "SCHEDULED" | "IN_PROGRESS" => ExportState::Open,
            "DONE" => ExportState::Done {
                url: text(body.get("result")?, "url")?,
            },
            "ERROR" => ExportState::Failed,
            _ => return None,
        };
        Some(Export { id, state })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(body: &str, expected: Option<ExportState>) {
        let response = Response {
            status: 200,
            body: body.as_bytes().to_vec(),
            ..Response::default()
        };
        assert_eq!(response.export().map(|export| export.state), expected);
    }

    #[test]
    fn an_export_in_all_its_states() {
        check(
            r#"{"id":"exp_1","status":"SCHEDULED","result":null}"#,
            Some(ExportState::Open),
        );
        check(
            r#"{"id":"exp_1","status":"IN_PROGRESS"}"#,
            Some(ExportState::Open),
        );
        check(
            r#"{"id":"exp_1","status":"ERROR"}"#,
            Some(ExportState::Failed),
        );
        check(
            r#"{"id":"exp_1","status":"DONE","result":{"url":"https://h/x"}}"#,
            Some(ExportState::Done {
                url: "https://h/x".into(),
            }),
        );
        check(r#"{"id":"exp_1","status":"DONE","result":null}"#, None);
        check(r#"{"id":"exp_1","status":"ODD"}"#, None);
        check("<html>", None);
    }

    #[test]
    fn an_order_names_the_fields() {
        assert_eq!(
            export(Kind::Skus, &["source_id", "sku"]),
            r#"{"exported_object":"sku","parameters":{"fields":["source_id","sku"]}}"#
        );
    }
}
