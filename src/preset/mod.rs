//! Source formats as data: one TOML file each (`preset/*.toml`, embedded; users add theirs), and
//! recognising which one a header is of, with the reason.
//!
//! Knows headers, nothing of rows' values.

pub mod header;
pub mod plain;
pub mod spec;

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
    /// `None`: the plain format, which each kind has.
    spec: Option<Box<Spec>>,
}

impl Preset {
    fn plain() -> Preset {
        Preset {
            name: PLAIN.to_owned(),
            kinds: Kind::ALL.to_vec(),
            version: *b"plain format 1\0\0",
            spec: None,
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
    pub fn load(_users: &[(String, String)]) -> Result<Presets, Vec<String>> {
        Ok(Presets {
            list: vec![Preset::plain()],
        })
    }

    pub fn get(&self, name: &str) -> Option<&Preset> {
        self.list.iter().find(|preset| preset.name == name)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Preset> {
        self.list.iter()
    }

    /// Whether any preset (or the plain format) of this kind knows these cells as its header.
    pub fn is_header(&self, kind: Kind, cells: &[String], columns: &[(String, String)]) -> bool {
        matches!(
            self.recognise("auto", kind, cells, columns),
            Recognised::Taken { .. }
        )
    }

    /// `name`: a preset's, or `auto`. `columns` are the folder's own.
    pub fn recognise(
        &self,
        name: &str,
        _kind: Kind,
        header: &[String],
        columns: &[(String, String)],
    ) -> Recognised<'_> {
        let header = Header::new(header);
        let mapped = columns.iter().any(|(column, target)| {
            target == "source_id" && !header.find(column, header::Likeness::Spelled).is_empty()
        });
        let key = header.find("source_id", header::Likeness::Folded);
        let preset = self.get(if name == "auto" { PLAIN } else { name });
        match preset {
            Some(preset) if mapped || !key.is_empty() => Recognised::Taken {
                preset,
                why: "it has the column `source_id`".to_owned(),
                why_not_next: None,
            },
            _ => Recognised::Unknown {
                reason: "no column `source_id`, and no known format".to_owned(),
            },
        }
    }
}
