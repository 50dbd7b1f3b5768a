//! What a project defines of its metadata, and what it refuses for that (API.md, Calls).

use serde_json::{Map, Value, json};

use super::{
    Object, Remote, Reply,
    refusal::Refusal,
    settings::MetadataSchema,
    shape::{is_date, moment},
    stamp,
};

/// The most defined keys of an object (API.md, Calls).
const KEYS_MAX: usize = 100;

/// The resources that have a schema in every project.
const RESOURCES: [&str; 4] = ["customer", "product", "order", "order_item"];

impl Remote {
    pub(super) fn list_schemas(&self) -> Reply {
        let schemas: Vec<Value> = self
            .settings
            .metadata
            .keys()
            .map(|resource| self.schema_view(resource))
            .collect();
        Reply::json(
            200,
            &json!({"object": "list", "data_ref": "schemas", "total": schemas.len(), "schemas": schemas}),
        )
    }

    pub(super) fn get_schema(&self, resource: &str) -> Result<Reply, Refusal> {
        let known = RESOURCES.contains(&resource) || self.settings.metadata.contains_key(resource);
        if !known {
            return Err(Refusal::not_found("metadata_schema", resource));
        }
        Ok(Reply::json(200, &self.schema_view(resource)))
    }

    fn schema_view(&self, resource: &str) -> Value {
        let schema = self.settings.metadata.get(resource);
        json!({
            "id": format!("ms_{resource}"),
            "related_object": resource,
            "properties": schema.map_or_else(Map::new, |schema| schema.properties.clone()),
            "allow_defined_only": schema.is_some_and(|schema| schema.allow_defined_only),
            "created_at": stamp(0),
            "updated_at": null,
            "object": "metadata_schema",
        })
    }

    /// Refuses metadata that its definitions forbid. `fresh`: the object is only now made, so that
    /// what is required has to be there.
    pub(super) fn check_metadata(
        &self,
        resource: &str,
        content: &Object,
        fresh: bool,
    ) -> Result<(), Refusal> {
        let Some(schema) = self.settings.metadata.get(resource) else {
            return Ok(());
        };
        let none = Object::new();
        let metadata = content
            .get("metadata")
            .and_then(Value::as_object)
            .unwrap_or(&none);
        let mut wrong: Vec<String> = metadata
            .iter()
            .filter_map(|(key, value)| fault(schema, key, value))
            .collect();
        if fresh {
            wrong.extend(schema.properties.iter().filter_map(|(key, definition)| {
                let needed = definition["optional"] == false && definition["deleted"] != true;
                let lacks = metadata.get(key).is_none_or(Value::is_null);
                (needed && lacks).then(|| format!("metadata.{key}: property is required"))
            }));
        }
        if metadata.len() > KEYS_MAX {
            wrong.push(format!("metadata: more than {KEYS_MAX} properties"));
        }
        match wrong.is_empty() {
            true => Ok(()),
            false => Err(Refusal::payload(wrong.join(", "))),
        }
    }

    /// What a defined key makes of a cell of a CSV import.
    pub(super) fn typed_cell(&self, resource: &str, key: &str, cell: &str) -> Value {
        let definition = self
            .settings
            .metadata
            .get(resource)
            .and_then(|schema| schema.properties.get(key));
        let Some(definition) = definition else {
            return Value::from(cell);
        };
        let one = |cell: &str| match definition["type"].as_str() {
            Some("number") => serde_json::from_str::<serde_json::Number>(cell)
                .map_or_else(|_| Value::from(cell), Value::Number),
            Some("boolean") => match cell.to_ascii_lowercase().as_str() {
                "true" => Value::Bool(true),
                "false" => Value::Bool(false),
                _ => Value::from(cell),
            },
            _ => Value::from(cell),
        };
        match definition["array"] == true {
            true => cell.split(',').map(one).collect(),
            false => one(cell),
        }
    }
}

fn fault(schema: &MetadataSchema, key: &str, value: &Value) -> Option<String> {
    let definition = schema
        .properties
        .get(key)
        .filter(|definition| definition["deleted"] != true);
    let Some(definition) = definition else {
        return schema
            .allow_defined_only
            .then(|| format!("metadata.{key}: property is not allowed"));
    };
    if value.is_null() {
        let needed = definition["optional"] == false;
        return needed.then(|| format!("metadata.{key}: property is required"));
    }
    let values = match (definition["array"] == true, value) {
        (true, Value::Array(values)) => values.as_slice(),
        (true, _) => return Some(format!("metadata.{key}: must be an array")),
        (false, _) => std::slice::from_ref(value),
    };
    values
        .iter()
        .find_map(|value| unfit(definition, value))
        .map(|why| format!("metadata.{key}: {why}"))
}

fn unfit(definition: &Value, value: &Value) -> Option<String> {
    let kind = definition["type"].as_str().unwrap_or("string");
    let text = value.as_str();
    let fits = match kind {
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "date" => text.is_some_and(is_date),
        "datetime" => text.is_some_and(|text| moment(text).is_some()),
        "object" => value.is_object(),
        // A point is `latitude,longitude` in a text, as the dashboard writes it.
        "geopoint" => text.is_some_and(|text| {
            text.split_once(',').is_some_and(|(lat, lon)| {
                lat.trim().parse::<f64>().is_ok() && lon.trim().parse::<f64>().is_ok()
            })
        }),
        _ => value.is_string(),
    };
    if !fits {
        return Some(format!("must be a {kind}"));
    }
    if let Some(allowed) = definition["eq"].as_array()
        && !allowed.is_empty()
        && !allowed.contains(value)
    {
        return Some("must be equal to one of the allowed values".into());
    }
    let number = |name: &str| definition[name].as_f64();
    let length = text.map(|text| text.chars().count() as f64);
    let outside = match value.as_f64() {
        Some(value) => {
            number("lt").is_some_and(|most| value >= most)
                || number("lte").is_some_and(|most| value > most)
                || number("gt").is_some_and(|least| value <= least)
                || number("gte").is_some_and(|least| value < least)
        }
        None => length.is_some_and(|length| {
            number("maxLength").is_some_and(|most| length > most)
                || number("minLength").is_some_and(|least| length < least)
                || number("exactLength").is_some_and(|exact| length != exact)
        }),
    };
    outside.then(|| "is out of its bounds".into())
}
