//! Source formats as data: one TOML file each (`preset/*.toml`, embedded; users add theirs), and
//! recognising which one a header is of, with the reason.
//!
//! Knows headers, nothing of rows' values.

use crate::kind::Kind;

/// All formats in their order of precedence: connectors before shops, the user's own first.
pub struct Presets {
    _list: Vec<Preset>,
}

/// One source format.
#[derive(Clone, Debug)]
pub struct Preset {
    pub name: String,
    pub kinds: Vec<Kind>,
    // The implementer adds signature, key, mapping, notation, grouping, constants, …
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
        todo!()
    }

    pub fn get(&self, _name: &str) -> Option<&Preset> {
        todo!()
    }

    pub fn iter(&self) -> impl Iterator<Item = &Preset> {
        self._list.iter()
    }

    /// Whether any preset (or the plain format) of this kind knows these cells as its header.
    pub fn is_header(&self, _kind: Kind, _cells: &[String], _columns: &[(String, String)]) -> bool {
        todo!()
    }

    /// `name`: a preset's, or `auto`. `columns` are the folder's own.
    pub fn recognise(
        &self,
        _name: &str,
        _kind: Kind,
        _header: &[String],
        _columns: &[(String, String)],
    ) -> Recognised<'_> {
        todo!()
    }
}
