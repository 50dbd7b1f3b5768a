//! The sample files: each read to its end without a fault but for those that its trap is about.

use super::*;

const FAULTS: [(&str, &[&str]); 6] = [
    ("traps/mixed-utf8-cp1252.csv", &["3 encoding 1"]),
    ("traps/nul-in-cell.csv", &["2 encoding 1", "4 encoding 0"]),
    ("traps/open-quote-swallows.csv", &["2 quote 2"]),
    ("traps/ragged.csv", &["3 column_count", "4 column_count"]),
    ("traps/full-list-empty.csv", &["unreadable"]),
    (
        // Its footer.
        "connectors/salesforce-report-contacts.csv",
        &[
            "9 column_count",
            "11 column_count",
            "12 column_count",
            "13 column_count",
            "14 column_count",
            "15 column_count",
        ],
    ),
];

pub(super) fn samples() -> Vec<(String, Vec<u8>)> {
    let mut samples = Vec::new();
    for dir in ["traps", "shops", "connectors"] {
        for entry in std::fs::read_dir(format!("tests/samples/{dir}")).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if [".csv", ".txt", ".gz"]
                .iter()
                .any(|end| name.ends_with(end))
            {
                samples.push((format!("{dir}/{name}"), std::fs::read(&path).unwrap()));
            }
        }
    }
    samples.sort();
    assert!(samples.len() > 80, "samples are missing");
    samples
}

#[test]
fn samples_have_the_faults_that_they_are_about_and_no_others() {
    for (name, bytes) in samples() {
        let expected = FAULTS
            .iter()
            .find(|(of, _)| *of == name)
            .map_or(&[][..], |(_, faults)| *faults);
        assert_eq!(faults(&bytes), expected, "{name}");
    }
}

fn faults(bytes: &[u8]) -> Vec<String> {
    let mut file = Cursor::new(bytes);
    let Ok(members) = survey(&mut file, &Settings::default(), &|_| false) else {
        return vec!["unreadable".into()];
    };
    let mut faults = Vec::new();
    for member in members {
        let mut reader = Reader::new(&mut file, &member).unwrap();
        let mut rows = Rows::default();
        while reader.read(&mut rows, 4096).unwrap() {
            for row in rows.iter() {
                if let Some(fault) = row.fault() {
                    let column = fault.column.map_or(String::new(), |at| format!(" {at}"));
                    faults.push(format!("{} {}{column}", row.line(), fault.code.name()));
                }
            }
        }
    }
    faults
}
