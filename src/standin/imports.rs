//! CSV uploads: the part named `file` of a form, its rows, and what the API makes of them
//! (SURPRISES.md, CSV imports).

use serde_json::{Map, Value};

use super::{
    Object, Remote,
    refusal::Refusal,
    shape,
    tables::{What, fresh},
};

/// One row of a CSV import: its cells by heading, headings in lower case.
#[derive(Debug)]
pub(super) struct Row(Vec<(String, String)>);

impl Row {
    /// A cell that isn't blank, by its heading in lower case.
    pub(super) fn get(&self, heading: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(name, cell)| name.eq_ignore_ascii_case(heading) && !cell.is_empty())
            .map(|(_, cell)| cell.as_str())
    }

    pub(super) fn into_json(self) -> Value {
        let cells = self
            .0
            .into_iter()
            .map(|(name, cell)| (name, Value::from(cell)));
        Value::Object(cells.collect())
    }
}

/// The rows of an upload.
pub(super) fn rows(content_type: &str, body: &[u8]) -> Result<Vec<Row>, Refusal> {
    let file = file(content_type, body)
        .ok_or_else(|| Refusal::payload("Payload should have required property 'file'"))?;
    // Commas only.
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(file);
    let headings = reader
        .headers()
        .map_err(|_| Refusal::payload("The file is not valid CSV in UTF-8"))?
        .clone();
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|_| Refusal::payload("The file is not valid CSV in UTF-8"))?;
        let cells = headings.iter().zip(record.iter());
        rows.push(Row(cells
            .map(|(name, cell)| (name.trim().to_owned(), cell.to_owned()))
            .collect()));
    }
    Ok(rows)
}

/// The content of the form's part that is named exactly `file`.
fn file<'a>(content_type: &str, body: &'a [u8]) -> Option<&'a [u8]> {
    let (kind, rest) = content_type.split_once(';')?;
    if !kind.trim().eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    let boundary = rest
        .split(';')
        .find_map(|parameter| parameter.trim().strip_prefix("boundary="))?
        .trim_matches('"');
    let delimiter = format!("--{boundary}");
    let ends: Vec<usize> = memchr::memmem::find_iter(body, delimiter.as_bytes()).collect();
    ends.windows(2).find_map(|pair| {
        let part = &body[pair[0] + delimiter.len()..pair[1]];
        let split = memchr::memmem::find(part, b"\r\n\r\n")?;
        let head = String::from_utf8_lossy(&part[..split]);
        let named = head.lines().any(|line| {
            line.to_ascii_lowercase()
                .starts_with("content-disposition:")
                && line.contains("name=\"file\"")
        });
        let content = &part[split + 4..];
        named.then(|| content.strip_suffix(b"\r\n").unwrap_or(content))
    })
}

const CUSTOMER: [(&str, &str); 6] = [
    ("name", "name"),
    ("email", "email"),
    ("phone", "phone"),
    ("birthdate", "birthdate"),
    ("description", "description"),
    ("birthday", "birthday"),
];

const ADDRESS: [(&str, &str); 6] = [
    ("address_line_1", "line_1"),
    ("address_line_2", "line_2"),
    ("address_postal_code", "postal_code"),
    ("address_city", "city"),
    ("address_state", "state"),
    ("address_country", "country"),
];

const KEYS: [&str; 3] = ["id", "source_id", "product_id"];

impl Remote {
    /// A known customer's profile is overwritten whole (API.md, Calls).
    pub(super) fn import_customer(&mut self, row: &Row, now: i64) -> Result<(), Refusal> {
        let mut content = picked(row, &CUSTOMER);
        let address = picked(row, &ADDRESS);
        if !address.is_empty() {
            content.insert("address".into(), Value::Object(address));
        }
        let known: Vec<&str> = CUSTOMER
            .iter()
            .chain(&ADDRESS)
            .map(|(name, _)| *name)
            .collect();
        self.rest_to_metadata("customer", row, &known, &mut content);
        shape::customer(Value::Object(content.clone()), "")?;
        self.check_metadata("customer", &content, true)?;
        let source_id = row.get("source_id");
        let place = self.known(What::Customer, row.get("id"), source_id)?;
        self.refuse_key(What::Customer, source_id)?;
        match place {
            Some(place) => {
                fresh(&mut content);
                self.customers.rewrite(place, &content, now);
            }
            None => {
                self.create(What::Customer, source_id, content, now);
            }
        }
        Ok(())
    }

    /// A known product gets nothing but the name (API.md, Calls).
    pub(super) fn import_product(&mut self, row: &Row, now: i64) -> Result<(), Refusal> {
        let Some(name) = row.get("name") else {
            return Err(Refusal::payload("name: property is required"));
        };
        let source_id = row.get("source_id");
        let known = source_id.and_then(|key| self.products.by_source_id(key));
        self.refuse_key(What::Product, source_id)?;
        let mut content = Object::new();
        content.insert("name".into(), name.into());
        if let Some(place) = known {
            self.write(What::Product, place, content, now);
            return Ok(());
        }
        if let Some(cell) = row.get("price") {
            content.insert("price".into(), price(cell)?);
        }
        if let Some(cell) = row.get("attributes") {
            let names = cell
                .split(',')
                .map(|name| Value::from(name.trim()))
                .collect();
            content.insert("attributes".into(), names);
        }
        if let Some(cell) = row.get("image_url") {
            content.insert("image_url".into(), cell.into());
        }
        let standard = ["name", "price", "attributes", "image_url"];
        self.rest_to_metadata("product", row, &standard, &mut content);
        if let Some(key) = source_id {
            content.insert("source_id".into(), key.into());
        }
        self.upsert_product(content, now).map(|_| ())
    }

    /// A known SKU gets `sku` and `price` alone (API.md, Calls).
    pub(super) fn import_sku(&mut self, row: &Row, now: i64) -> Result<(), Refusal> {
        let (Some(source_id), Some(product)) = (row.get("source_id"), row.get("product_id")) else {
            return Err(Refusal::payload(
                "source_id, product_id: property is required",
            ));
        };
        let product = self.find(What::Product, product)?;
        let mut content = picked(row, &[("sku", "sku")]);
        if let Some(cell) = row.get("price") {
            content.insert("price".into(), price(cell)?);
        }
        if let Some(place) = self.skus.by_source_id(source_id) {
            self.refuse_key(What::Sku, Some(source_id))?;
            self.write(What::Sku, place, content, now);
            return Ok(());
        }
        content.extend(picked(row, &[("image_url", "image_url")]));
        if let Some(cell) = row.get("attributes") {
            content.insert("attributes".into(), Value::Object(quoted_singly(cell)?));
        }
        let standard = ["sku", "price", "attributes", "image_url"];
        self.rest_to_metadata("sku", row, &standard, &mut content);
        content.insert("source_id".into(), source_id.into());
        self.upsert_sku(product, content, now).map(|_| ())
    }

    /// Columns that are no field go to metadata; whether `Metadata_` is cut off isn't said: here
    /// it is.
    fn rest_to_metadata(&self, resource: &str, row: &Row, standard: &[&str], content: &mut Object) {
        let mut metadata = Map::new();
        for (heading, cell) in &row.0 {
            let lower = heading.to_ascii_lowercase();
            let known = standard.contains(&lower.as_str()) || KEYS.contains(&lower.as_str());
            if known || cell.is_empty() {
                continue;
            }
            let key = match lower.strip_prefix("metadata_") {
                Some(rest) => &heading[heading.len() - rest.len()..],
                None => heading,
            };
            metadata.insert(key.to_owned(), self.typed_cell(resource, key, cell));
        }
        if !metadata.is_empty() {
            content.insert("metadata".into(), Value::Object(metadata));
        }
    }
}

fn picked(row: &Row, columns: &[(&str, &str)]) -> Object {
    columns
        .iter()
        .filter_map(|(heading, name)| {
            row.get(heading)
                .map(|cell| ((*name).to_owned(), Value::from(cell)))
        })
        .collect()
}

/// In units of the currency, as the API's own templates have it: `14.5` is 1450 hundredths.
fn price(cell: &str) -> Result<Value, Refusal> {
    let (whole, rest) = cell.trim().split_once('.').unwrap_or((cell.trim(), ""));
    let hundredths = (rest.len() <= 2 && !whole.is_empty())
        .then(|| format!("{whole}{rest:0<2}").parse::<u64>().ok())
        .flatten();
    hundredths
        .map(Value::from)
        .ok_or_else(|| Refusal::payload("price: must be a number"))
}

/// `{'color':'blue'}`: no JSON (SURPRISES.md, 42).
fn quoted_singly(cell: &str) -> Result<Object, Refusal> {
    serde_json::from_str(cell)
        .or_else(|_| serde_json::from_str(&cell.replace('\'', "\"")))
        .map_err(|_| Refusal::payload("attributes: must be an object"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(body: &str, expected: Option<&str>) {
        let file = file("multipart/form-data; boundary=X", body.as_bytes());
        assert_eq!(file, expected.map(str::as_bytes));
    }

    #[test]
    fn the_part_named_file_is_the_upload() {
        check(
            "--X\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.csv\"\r\nContent-Type: text/csv\r\n\r\na,b\n1,2\n\r\n--X--\r\n",
            Some("a,b\n1,2\n"),
        );
        check(
            "--X\r\nContent-Disposition: form-data; name=\"x\"\r\n\r\nno\r\n--X\r\ncontent-disposition: form-data; name=\"file\"\r\n\r\nyes\r\n--X--\r\n",
            Some("yes"),
        );
        check(
            "--X\r\nContent-Disposition: form-data; name=\"files\"\r\n\r\nno\r\n--X--\r\n",
            None,
        );
        check("", None);
        assert_eq!(file("text/csv", b"a,b"), None);
    }

    #[test]
    fn money_is_in_units() {
        assert_eq!(price("14.5").unwrap(), 1450);
        assert_eq!(price(" 21 ").unwrap(), 2100);
        assert_eq!(price("0.05").unwrap(), 5);
        for odd in ["", "x", "1.234", "-1", "1,5", "."] {
            assert!(price(odd).is_err(), "{odd}");
        }
    }

    #[test]
    fn attributes_are_quoted_singly() {
        assert_eq!(quoted_singly("{'color':'blue'}").unwrap()["color"], "blue");
        assert!(quoted_singly("color=blue").is_err());
    }
}
