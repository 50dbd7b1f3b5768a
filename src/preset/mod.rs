//! Source formats as data: one TOML file each (`preset/*.toml`, embedded; users add theirs), and
//! recognising which one a header is of, with the reason.
//!
//! Knows headers; of rows' values only what ids look like, where a header in another language says
//! nothing (`cells`).

mod cells;
mod describe;
mod embedded;
pub mod header;
mod language;
pub mod plain;
mod recognise;
pub mod shape;
pub mod spec;

pub use cells::ByCells;
use header::Header;
use spec::Spec;

use crate::kind::Kind;
use plain::PLAIN;

/// All formats in their order of precedence: connectors before shops, the user's own first.
pub struct Presets {
    list: Vec<Preset>,
}

/// One source format.
#[derive(Clone, Debug)]
pub struct Preset {
    pub name: String,
    /// The first is the one of the folder that its files belong in.
    pub kinds: Vec<Kind>,
    /// Of its text: what is read by another version may mean something else.
    pub version: [u8; 16],
    /// From `presets_dir`, not built in.
    pub own: bool,
    /// `None`: the plain format, which each kind has.
    spec: Option<Box<Spec>>,
    /// The signature's columns in the form that names are compared in.
    forms: Vec<Vec<String>>,
}

/// A line of `presets NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PresetField {
    pub kind: Kind,
    /// `source_id`, `address.city`, `item.price`, …
    pub field: String,
    /// Where it comes from, in words.
    pub from: String,
}

impl Preset {
    fn plain() -> Preset {
        Preset {
            name: PLAIN.to_owned(),
            kinds: Kind::ALL.to_vec(),
            version: *b"plain format 1\0\0",
            own: false,
            spec: None,
            forms: Vec::new(),
        }
    }

    fn new(name: &str, text: &str, spec: Spec, own: bool) -> Preset {
        let mut kinds: Vec<Kind> = Vec::new();
        for record in &spec.records {
            if !kinds.contains(&record.kind) {
                kinds.push(record.kind);
            }
        }
        let version = blake3::hash(text.as_bytes()).as_bytes()[..16]
            .try_into()
            .expect("a blake3 hash has 32 bytes");
        Preset {
            name: name.to_owned(),
            kinds,
            version,
            own,
            forms: spec
                .signature
                .all
                .iter()
                .map(|names| names.iter().map(|name| spec.likeness.form(name)).collect())
                .collect(),
            spec: Some(Box::new(spec)),
        }
    }

    /// What it is, in words.
    pub fn title(&self) -> &str {
        self.spec
            .as_ref()
            .map_or("the API's own field names as columns", |spec| &spec.title)
    }

    /// The export comes in parts: `missing = "delete"` is refused (INTERFACE.md, Presets).
    pub fn is_split(&self) -> bool {
        self.spec.as_ref().is_some_and(|spec| spec.split)
    }

    /// Kinds that its files fill, the folder's own first.
    pub fn fills(&self) -> Vec<Kind> {
        let Some(spec) = &self.spec else {
            return self.kinds.clone();
        };
        let mut kinds: Vec<Kind> = Vec::new();
        for record in &spec.records {
            if !kinds.contains(&record.kind) {
                kinds.push(record.kind);
            }
        }
        kinds
    }

    /// The columns, where its files may come without a header (`table::Settings::header_if_none`).
    pub fn header_if_none(&self) -> Option<&[String]> {
        self.spec.as_ref()?.header_if_none.as_deref()
    }

    /// Quirks and limits, in words.
    pub fn notes(&self) -> &[String] {
        self.spec.as_ref().map_or(&[], |spec| &spec.notes)
    }

    /// What becomes of which column, for `presets NAME`.
    pub fn fields(&self) -> Vec<PresetField> {
        match &self.spec {
            Some(spec) => describe::fields(spec),
            None => Kind::ALL
                .into_iter()
                .flat_map(|kind| describe::fields(&plain::spec(kind, &plain::full_header(kind))))
                .collect(),
        }
    }

    /// What it says of a header's rows, in a folder of this kind.
    pub fn spec(&self, kind: Kind, header: &Header) -> std::borrow::Cow<'_, Spec> {
        match &self.spec {
            Some(spec) => std::borrow::Cow::Borrowed(spec),
            None => std::borrow::Cow::Owned(plain::spec(kind, header)),
        }
    }
}

/// Which preset a header is of, and why.
#[derive(Clone, Debug)]
pub enum Recognised<'a> {
    Taken {
        preset: &'a Preset,
        why: String,
        why_not_next: Option<String>,
    },
    /// The header is that of a format of another kind: the file is unreadable, with this reason.
    OtherKind { preset: &'a Preset, reason: String },
    /// No key column in any reading: no table that we know.
    Unknown { reason: String },
}

impl Presets {
    /// The embedded ones, and the user's (name and text of each file in `presets_dir`).
    /// Errors as the configuration's: file, line, column, nearest key; all of them.
    pub fn load(users: &[(String, String)]) -> Result<Presets, Vec<String>> {
        let mut list: Vec<Preset> = Vec::new();
        let mut errors = Vec::new();
        let embedded = embedded::ALL
            .iter()
            .map(|(name, text)| (*name, *text, false));
        let users = users
            .iter()
            .map(|(name, text)| (name.as_str(), text.as_str(), true));
        for (file, text, own) in users.chain(embedded) {
            let name = file.strip_suffix(".toml").unwrap_or(file);
            // The user's own takes the place of a built-in one of its name.
            if list.iter().any(|known| known.name == name) {
                continue;
            }
            match language::read(file, text) {
                Ok(spec) => list.push(Preset::new(name, text, spec, own)),
                Err(some) => errors.extend(some),
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        list.push(Preset::plain());
        Ok(Presets { list })
    }

    /// Of two of one name the user's.
    pub fn get(&self, name: &str) -> Option<&Preset> {
        self.list.iter().find(|preset| preset.name == name)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Preset> {
        self.list.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn a_preset_of_the_users_own_is_recognised_before_those_built_in() {
        let text = "kind = \"customers\"\nrecognise = { all = [\"klaviyo_id\", \"Email\"] }\nkey = \"Email\"\n";
        let presets = Presets::load(&[("mine.toml".into(), text.into())]).unwrap();
        let names = header(&["Email", "Klaviyo ID"]);
        match presets.recognise("auto", Kind::Customers, &names, &[]) {
            Recognised::Taken {
                preset,
                why,
                why_not_next,
            } => {
                assert_eq!(preset.name, "mine");
                assert_eq!(why, "it has the columns `klaviyo_id`, `Email`");
                assert!(why_not_next.unwrap().contains("klaviyo"));
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_file_of_hashes_alone_is_refused_with_what_to_export_instead() {
        let presets = Presets::load(&[]).unwrap();
        match presets.recognise("auto", Kind::Customers, &header(&["email"]), &[]) {
            Recognised::Unknown { reason } => assert!(reason.contains("Segment"), "{reason}"),
            other => panic!("{other:?}"),
        }
    }

    /// A line a header: kind, preset, and the columns of its signature alone.
    #[test]
    fn each_format_is_known_by_its_signature_alone() {
        let presets = Presets::load(&[]).unwrap();
        for line in include_str!("../../tests/samples/signatures.txt").lines() {
            let (of, columns) = line.split_once(": ").unwrap();
            let (kind, name) = of.split_once(' ').unwrap();
            let kind = Kind::from_name(kind).unwrap();
            let names = header(&columns.split(';').collect::<Vec<_>>());
            match presets.recognise("auto", kind, &names, &[]) {
                Recognised::Taken { preset, .. } => assert_eq!(preset.name, name, "{line}"),
                other => panic!("{line}: {other:?}"),
            }
        }
    }

    #[test]
    fn a_preset_of_a_built_in_ones_name_takes_its_place() {
        let text = "title = \"ours\"\nkind = \"customers\"\nkey = \"Email\"\n";
        let presets = Presets::load(&[("klaviyo.toml".into(), text.into())]).unwrap();
        assert_eq!(presets.get("klaviyo").unwrap().title(), "ours");
        assert_eq!(presets.iter().filter(|p| p.name == "klaviyo").count(), 1);
    }

    #[test]
    fn what_is_wrong_in_the_users_files_is_told_all_at_once() {
        let users = [
            (
                "a.toml".to_owned(),
                "kind = \"customer\"\nkey = \"x\"\n".to_owned(),
            ),
            (
                "b.toml".to_owned(),
                "kind = \"skus\"\nkey = \"x\"\nfooter = \"som\"\n".to_owned(),
            ),
        ];
        let errors = Presets::load(&users).err().unwrap();
        assert_eq!(
            errors,
            [
                "a.toml:1:8: `kind` is one of products, skus, customers, orders",
                "b.toml:3:10: `footer` is one of none, sum, after-blank-line",
            ]
        );
    }

    #[test]
    fn every_preset_says_what_it_is_and_what_becomes_of_its_columns() {
        let presets = Presets::load(&[]).unwrap();
        for preset in presets.iter() {
            assert!(!preset.title().is_empty(), "{}", preset.name);
            let fields = preset.fields();
            assert!(
                fields.iter().any(|f| f.field == "source_id"),
                "{}",
                preset.name
            );
            assert!(
                fields.iter().all(|f| !f.from.is_empty()),
                "{}: {fields:?}",
                preset.name
            );
        }
    }
}
