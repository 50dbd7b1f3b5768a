//! What a project defines of its metadata (openapi/SURPRISES, 26 and 27).

use std::collections::BTreeMap;

use serde_json::Value;

use super::Response;
use crate::mapping::{ItemType, MetadataType, MetadataTypes};

/// From `GET /v1/metadata-schemas`; `None`: not its answer. Definitions that are deleted, or of a type
/// that no cell can hold, are left out.
pub fn metadata_types(response: &Response) -> Option<MetadataTypes> {
    if response.status != 200 || !response.is_list() {
        return None;
    }
    let mut types = MetadataTypes::default();
    for schema in response.rows()? {
        let Some(resource) = schema["related_object"].as_str() else {
            continue;
        };
        let Some(properties) = schema["properties"].as_object() else {
            continue;
        };
        let keys: BTreeMap<String, MetadataType> = properties
            .iter()
            .filter(|(_, definition)| definition["deleted"] != true)
            .filter_map(|(key, definition)| Some((key.clone(), metadata_type(definition)?)))
            .collect();
        types.resources.insert(resource.to_owned(), keys);
    }
    Some(types)
}

fn metadata_type(definition: &Value) -> Option<MetadataType> {
    let item = match definition["type"].as_str()? {
        "string" | "image_url" => ItemType::String,
        "number" => ItemType::Number,
        "boolean" => ItemType::Boolean,
        "date" => ItemType::Date,
        "datetime" => ItemType::Datetime,
        "object" => ItemType::Object,
        _ => return None,
    };
    Some(MetadataType {
        item,
        list: definition["array"] == true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn definitions_become_types() {
        let response = Response {
            status: 200,
            body: br#"{"object":"list","data_ref":"schemas","schemas":[{"related_object":"customer","properties":{
                "points":{"type":"number","array":false},"tags":{"type":"string","array":true},
                "old":{"type":"date","deleted":true},"place":{"type":"geopoint"}}}]}"#
                .to_vec(),
            ..Response::default()
        };
        let types = metadata_types(&response).unwrap();
        let customer = &types.resources["customer"];
        assert_eq!(customer.len(), 2);
        assert_eq!(customer["points"].item, ItemType::Number);
        assert!(customer["tags"].list);
        assert_eq!(metadata_types(&Response::default()), None);
    }
}
