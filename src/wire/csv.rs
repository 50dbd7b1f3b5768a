//! SKUs as the rows of an upload (`POST /v1/skus/importCSV`; openapi/SURPRISES, 42).
//!
//! Six columns, commas, attributes as `{'color':'blue'}`, money in units of the currency as the API's
//! own template has it. What they cannot carry whole is not put into them.

use crate::record::{CLEARED, Content};

/// Between the parts of the form. No row that holds it is carried.
const BOUNDARY: &str = "tillsync-9f2b61c4d7e84a05b3";

/// The upload's media type.
pub(super) const MEDIA: &str = "multipart/form-data; boundary=tillsync-9f2b61c4d7e84a05b3";

const HEADER: &str = "product_id,sku,source_id,price,image_url,attributes\n";

/// Bytes of an upload beside its rows; a little more than there are.
pub const SKUS_CSV_FRAME_BYTES: usize = 512;

/// A SKU's row with its line end. `None`: the columns do not carry it whole.
pub fn sku_row(key: &str, content: &Content) -> Option<String> {
    let (mut product, mut sku, mut price, mut image) = (None, None, None, None);
    let mut attributes = String::new();
    for (field, json) in content.iter() {
        if json == CLEARED {
            return None;
        }
        match field {
            "product" => product = Some(text(json)?),
            "sku" => sku = Some(text(json)?),
            "price" => price = Some(units(json)?),
            "image_url" => image = Some(text(json)?),
            _ => {
                let name = field.strip_prefix("attributes.").and_then(plain)?;
                let value = text(json)?;
                let value = plain(&value)?;
                attributes.push(if attributes.is_empty() { '{' } else { ',' });
                attributes.push_str(&format!("'{name}':'{value}'"));
            }
        }
    }
    if !attributes.is_empty() {
        attributes.push('}');
    }
    // A blank cell says nothing, and an edge of spaces may be trimmed.
    let whole = |cell: &String| !cell.is_empty() && cell.trim() == cell;
    let product = product.filter(whole)?;
    if !whole(&key.to_owned())
        || [&sku, &image]
            .into_iter()
            .flatten()
            .any(|cell| !whole(cell))
    {
        return None;
    }
    let cells = [
        product.as_str(),
        sku.as_deref().unwrap_or(""),
        key,
        price.as_deref().unwrap_or(""),
        image.as_deref().unwrap_or(""),
        &attributes,
    ];
    let mut row = String::new();
    for (n, cell) in cells.into_iter().enumerate() {
        // Quoted or not, a control character's way through an import is not described.
        if cell.contains(BOUNDARY) || cell.chars().any(char::is_control) {
            return None;
        }
        if n > 0 {
            row.push(',');
        }
        if cell.contains([',', '"']) {
            row.push('"');
            row.push_str(&cell.replace('"', "\"\""));
            row.push('"');
        } else {
            row.push_str(cell);
        }
    }
    row.push('\n');
    Some(row)
}

/// The form around some rows.
pub fn skus_csv(rows: &str) -> String {
    format!(
        "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"skus.csv\"\r\n\
         Content-Type: text/csv; charset=utf-8\r\n\r\n{HEADER}{rows}\r\n--{BOUNDARY}--\r\n"
    )
}

fn text(json: &str) -> Option<String> {
    serde_json::from_str(json).ok()
}

/// What stands between single quotes as it is.
fn plain(text: &str) -> Option<&str> {
    let odd = |c: char| matches!(c, '\'' | '"' | '\\') || c.is_control();
    (!text.is_empty() && !text.contains(odd)).then_some(text)
}

/// `1450` hundredths are `14.50`.
fn units(json: &str) -> Option<String> {
    let hundredths: u64 = json.parse().ok()?;
    Some(format!("{}.{:02}", hundredths / 100, hundredths % 100))
}

/// A row of an export of keys that is longer is none.
const ROW_BYTES_MAX: usize = 64 << 10;

/// The rows of an export of `source_id` alone, as its pieces come in.
#[derive(Debug, Default)]
pub struct KeyColumn {
    row: Vec<u8>,
    quoted: bool,
    /// The header was read, and is the one that was asked for.
    begun: bool,
}

/// It is not the export that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotKeys;

impl KeyColumn {
    /// Calls `key` for each row that ended; blank ones are no key's.
    pub fn feed(&mut self, piece: &[u8], key: &mut dyn FnMut(&str)) -> Result<(), NotKeys> {
        for &byte in piece {
            match byte {
                b'\n' if !self.quoted => self.end(key)?,
                _ if self.row.len() >= ROW_BYTES_MAX => return Err(NotKeys),
                _ => {
                    self.quoted ^= byte == b'"';
                    self.row.push(byte);
                }
            }
        }
        Ok(())
    }

    /// All pieces came.
    pub fn finish(mut self, key: &mut dyn FnMut(&str)) -> Result<(), NotKeys> {
        self.end(key)?;
        if self.begun && !self.quoted {
            Ok(())
        } else {
            Err(NotKeys)
        }
    }

    fn end(&mut self, key: &mut dyn FnMut(&str)) -> Result<(), NotKeys> {
        let row = std::mem::take(&mut self.row);
        let row = std::str::from_utf8(&row).map_err(|_| NotKeys)?;
        let row = row.strip_suffix('\r').unwrap_or(row);
        let cell = match row.strip_prefix('"').and_then(|row| row.strip_suffix('"')) {
            Some(inner) => inner.replace("\"\"", "\""),
            None if row.contains([',', '"']) => return Err(NotKeys),
            None => row.to_owned(),
        };
        if self.begun {
            if !cell.is_empty() {
                key(&cell);
            }
            return Ok(());
        }
        // Exports spell their header by the field or as a title.
        let name = cell.trim_start_matches('\u{feff}').to_ascii_lowercase();
        self.begun = matches!(name.replace(' ', "_").as_str(), "source_id");
        if self.begun { Ok(()) } else { Err(NotKeys) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(fields: &[(&str, &str)], expected: Option<&str>) {
        let mut content = Content::default();
        for (field, json) in fields {
            content.set(field, (*json).to_owned());
        }
        let expected = expected.map(|row| format!("{row}\n"));
        assert_eq!(sku_row("S1", &content), expected);
    }

    #[test]
    fn a_row_carries_a_sku_whole_or_is_none() {
        let product = ("product", "\"P1\"");
        check(&[product], Some("P1,,S1,,,"));
        check(
            &[product, ("sku", "\"Tea, \\\"fine\\\"\""), ("price", "1450")],
            Some("P1,\"Tea, \"\"fine\"\"\",S1,14.50,,"),
        );
        check(
            &[product, ("price", "5"), ("image_url", "\"https://x/y\"")],
            Some("P1,,S1,0.05,https://x/y,"),
        );
        check(
            &[
                product,
                ("attributes.color", "\"blue\""),
                ("attributes.size", "\"S\""),
            ],
            Some("P1,,S1,,,\"{'color':'blue','size':'S'}\""),
        );
        check(&[], None);
        check(&[product, ("currency", "\"EUR\"")], None);
        check(&[product, ("metadata.a", "1")], None);
        check(&[product, ("sku", CLEARED)], None);
        check(&[product, ("sku", "\" x\"")], None);
        check(&[product, ("sku", "\"a\\nb\"")], None);
        check(&[product, ("attributes.fit", "\"men's\"")], None);
        check(&[product, ("attributes.fit", "7")], None);
        check(&[product, ("price", "-5")], None);
    }

    #[test]
    fn no_row_can_end_the_form() {
        let sku = format!("\"a--{BOUNDARY}--b\"");
        check(&[("product", "\"P1\""), ("sku", &sku)], None);
        let form = skus_csv("P1,,S1,,,\n");
        assert!(form.len() - 10 < SKUS_CSV_FRAME_BYTES);
        assert!(MEDIA.ends_with(BOUNDARY));
    }

    #[track_caller]
    fn keys(csv: &str, expected: Result<&[&str], NotKeys>) {
        // Whatever the pieces are.
        for piece in [1, 3, 1_000] {
            let mut found = Vec::new();
            let mut column = KeyColumn::default();
            let told = (csv.as_bytes().chunks(piece))
                .try_for_each(|piece| column.feed(piece, &mut |key| found.push(key.to_owned())))
                .and_then(|()| column.finish(&mut |key| found.push(key.to_owned())));
            assert_eq!(
                told.map(|()| found),
                expected.map(|keys| keys.iter().map(|key| (*key).to_owned()).collect())
            );
        }
    }

    #[test]
    fn keys_of_an_export_in_pieces() {
        keys("source_id\nS1\nS2\n", Ok(&["S1", "S2"]));
        keys(
            "Source ID\r\nS1\r\n\r\n\"a,\"\"b\nc\"",
            Ok(&["S1", "a,\"b\nc"]),
        );
        keys("source_id", Ok(&[]));
        keys("", Err(NotKeys));
        keys("id\nS1\n", Err(NotKeys));
        keys("source_id\nS1,x\n", Err(NotKeys));
        keys("source_id\n\"S1", Err(NotKeys));
    }
}
