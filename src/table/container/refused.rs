//! What is no table, told by its first bytes, and what to say of it.

pub(super) fn spreadsheet_reason(what: &str) -> String {
    format!(
        "the file is {what}, not a CSV file; tillsync stored nothing of it. Open it, save the sheet as \
         \"CSV UTF-8\", and drop that"
    )
}

/// Why a file that begins like this is no table; `None`: nothing speaks against it.
pub(in crate::table) fn no_table(head: &[u8]) -> Option<String> {
    const ARCHIVES: [(&[u8], &str); 9] = [
        (b"7z\xBC\xAF\x27\x1C", "a 7z archive"),
        (b"Rar!\x1A\x07", "a rar archive"),
        (b"\xFD7zXZ\0", "an xz archive"),
        (b"\x28\xB5\x2F\xFD", "a zstd archive"),
        (b"\x04\x22\x4D\x18", "an lz4 archive"),
        (b"\x1F\x9D", "a compress (.Z) archive"),
        (b"\x1F\x8B", "a gzip within the file"),
        (b"PK\x03\x04", "a zip within the file"),
        (b"MSCF\0\0\0\0", "a cabinet archive"),
    ];
    const OTHERS: [(&[u8], &str); 12] = [
        (b"%PDF-", "a PDF"),
        (b"\x89PNG", "a picture"),
        (b"\xFF\xD8\xFF", "a picture"),
        (b"GIF8", "a picture"),
        (b"SQLite format 3\0", "a database"),
        (b"PAR1", "a Parquet file"),
        (b"Obj\x01", "an Avro file"),
        (b"\x7FELF", "a program"),
        (b"MZ\x90\0", "a program"),
        (b"{\\rtf", "a text document (RTF)"),
        (b"\xFF\xFE\0\0", "text in UTF-32"),
        (b"\0\0\xFE\xFF", "text in UTF-32"),
    ];
    let tar = head.get(257..262) == Some(b"ustar");
    let bzip = head.starts_with(b"BZh") && head.get(4..10) == Some(b"1AY&SY");
    let archive = ARCHIVES
        .iter()
        .find(|(magic, _)| head.starts_with(magic))
        .map(|(_, what)| *what)
        .or(tar.then_some("a tar archive"))
        .or(bzip.then_some("a bzip2 archive"));
    if let Some(what) = archive {
        return Some(format!(
            "the file is {what}; tillsync unpacks gzip and zip alone, and stored nothing of it. Drop \
             the CSV file that is in it"
        ));
    }
    if head.starts_with(b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1") {
        return Some(spreadsheet_reason("a spreadsheet in Excel's old format"));
    }
    OTHERS
        .iter()
        .find(|(magic, _)| head.starts_with(magic))
        .map(|(_, what)| no_csv(what))
}

/// Why text that begins like this is no table.
pub(in crate::table) fn no_table_text(head: &str) -> Option<String> {
    let text = head.trim_start();
    let lower: String = text.chars().take(64).collect::<String>().to_lowercase();
    let after = |open: char| text.strip_prefix(open).map(str::trim_start);
    let object = after('{').is_some_and(|rest| rest.starts_with(['"', '}']));
    let array = after('[').is_some_and(|rest| rest.starts_with(['{', '[', ']', '"']));
    if lower.starts_with("<!doctype html") || lower.starts_with("<html") {
        Some(no_csv("a web page (HTML)"))
    } else if lower.starts_with("<?xml") {
        Some(no_csv("XML"))
    } else if object || array {
        Some(no_csv("JSON"))
    } else {
        None
    }
}

fn no_csv(what: &str) -> String {
    format!(
        "the file is {what}, not a CSV file; tillsync stored nothing of it. Export it as CSV and drop \
         that"
    )
}
