//! What the remote exported, compared with what is stored here, record by record, field by field.
//!
//! Pure: both sides come as iterators in the order of their keys, so that memory is that of two
//! records. Where they come from, and what is done about a difference, is known elsewhere. Only what
//! an export can show is compared, and only what is stored here: a field that no file ever brought is
//! nobody's drift.

mod sheet;
mod value;

use std::cmp::Ordering;

use crate::record::{CLEARED, Content};

pub use sheet::{Sheet, fields};

/// Where a stored record stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The remote acknowledged it before the export began.
    Told,
    /// It is pending, or was told while the export was made: the export may show what was before.
    OnItsWay,
    /// The remote refused it.
    Parked,
    /// Deleted here, and the remote was told, or never heard of it.
    Gone,
}

/// A stored record.
#[derive(Clone, Debug)]
pub struct Local {
    /// The store's number for it, and for its newest change.
    pub id: i64,
    pub seq: i64,
    pub key: String,
    pub standing: Standing,
    pub content: Content,
}

/// A row of the export.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remote {
    /// Its `source_id`; empty: it was made elsewhere, without one.
    pub key: String,
    /// The API's own id.
    pub id: String,
    /// As the export's columns stand.
    pub cells: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drift {
    /// Stored here, absent there.
    Missing,
    Differs,
    /// There, and not stored here; also what was deleted here and is there (again).
    Unknown,
}

impl Drift {
    pub const ALL: [Drift; 3] = [Drift::Missing, Drift::Differs, Drift::Unknown];

    pub fn name(self) -> &'static str {
        match self {
            Drift::Missing => "missing",
            Drift::Differs => "differs",
            Drift::Unknown => "unknown",
        }
    }
}

/// One line of the listing: a differing field, or a whole record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub drift: Drift,
    /// `None`: not stored here.
    pub id: Option<i64>,
    /// Empty: it has no `source_id`; then `remote` is the API's own id.
    pub key: String,
    pub field: Option<String>,
    /// JSON, as it is stored; `None`: cleared.
    pub local: Option<String>,
    /// As the export shows it.
    pub remote: Option<String>,
    pub parked: bool,
}

/// What was seen of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    Drift(Finding),
    /// It is there as it is stored here, as far as an export can show.
    Equal(Equal),
}

/// A record that is there as it is stored here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Equal {
    pub id: i64,
    pub seq: i64,
    /// The API's own id.
    pub remote_id: String,
}

/// Records of a kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub equal: u64,
    pub missing: u64,
    pub differs: u64,
    pub unknown: u64,
    /// Not compared: pending, or just told.
    pub on_their_way: u64,
    /// Of those missing and differing: parked here, so that queueing would not help them.
    pub parked: u64,
}

/// Walks both sides; `each` hears of every difference, and of what is equal. Both in the order of keys, bytewise; where the
/// export names a key twice, its last row counts.
pub fn compare<E>(
    sheet: &Sheet,
    locals: impl Iterator<Item = Result<Local, E>>,
    remotes: impl Iterator<Item = Result<Remote, E>>,
    each: &mut dyn FnMut(Seen) -> Result<(), E>,
) -> Result<Counts, E> {
    let mut counts = Counts::default();
    let (mut locals, mut remotes) = (locals.peekable(), remotes.peekable());
    loop {
        let order = match (locals.peek(), remotes.peek()) {
            (None, None) => return Ok(counts),
            (Some(Ok(local)), Some(Ok(remote))) => local.key.cmp(&remote.key),
            // An error is taken from its side below.
            (Some(Err(_)), _) | (Some(_), None) => Ordering::Less,
            (_, Some(_)) => Ordering::Greater,
        };
        match order {
            Ordering::Less => {
                if let Some(local) = locals.next().transpose()? {
                    absent(&local, &mut counts, each)?;
                }
            }
            Ordering::Greater => {
                if let Some(remote) = remotes.next().transpose()? {
                    counts.unknown += 1;
                    each(Seen::Drift(unknown(remote, None)))?;
                }
            }
            Ordering::Equal => {
                let (Some(local), Some(mut remote)) =
                    (locals.next().transpose()?, remotes.next().transpose()?)
                else {
                    continue;
                };
                while let Some(Ok(next)) = remotes.peek()
                    && next.key == local.key
                {
                    if let Some(next) = remotes.next().transpose()? {
                        remote = next;
                    }
                }
                both(sheet, &local, remote, &mut counts, each)?;
            }
        }
    }
}

fn absent<E>(
    local: &Local,
    counts: &mut Counts,
    each: &mut dyn FnMut(Seen) -> Result<(), E>,
) -> Result<(), E> {
    let parked = match local.standing {
        Standing::OnItsWay => {
            counts.on_their_way += 1;
            return Ok(());
        }
        Standing::Gone => {
            counts.equal += 1;
            return Ok(());
        }
        Standing::Told => false,
        Standing::Parked => true,
    };
    counts.missing += 1;
    counts.parked += u64::from(parked);
    each(Seen::Drift(Finding {
        drift: Drift::Missing,
        id: Some(local.id),
        key: local.key.clone(),
        field: None,
        local: None,
        remote: None,
        parked,
    }))
}

fn unknown(remote: Remote, id: Option<i64>) -> Finding {
    let nameless = remote.key.is_empty();
    Finding {
        drift: Drift::Unknown,
        id,
        key: remote.key,
        field: nameless.then(|| "id".to_owned()),
        local: None,
        remote: nameless.then_some(remote.id),
        parked: false,
    }
}

fn both<E>(
    sheet: &Sheet,
    local: &Local,
    remote: Remote,
    counts: &mut Counts,
    each: &mut dyn FnMut(Seen) -> Result<(), E>,
) -> Result<(), E> {
    let parked = match local.standing {
        Standing::OnItsWay => {
            counts.on_their_way += 1;
            return Ok(());
        }
        Standing::Gone => {
            counts.unknown += 1;
            return each(Seen::Drift(unknown(remote, Some(local.id))));
        }
        Standing::Told => false,
        Standing::Parked => true,
    };
    let mut differs = false;
    for (field, json) in local.content.iter() {
        let Some(cell) = sheet.differing(field, json, &remote.cells) else {
            continue;
        };
        differs = true;
        each(Seen::Drift(Finding {
            drift: Drift::Differs,
            id: Some(local.id),
            key: local.key.clone(),
            field: Some(field.to_owned()),
            local: (json != CLEARED).then(|| json.to_owned()),
            remote: Some(cell.to_owned()),
            parked,
        }))?;
    }
    counts.differs += u64::from(differs);
    counts.equal += u64::from(!differs);
    counts.parked += u64::from(differs && parked);
    if differs {
        return Ok(());
    }
    each(Seen::Equal(Equal {
        id: local.id,
        seq: local.seq,
        remote_id: remote.id,
    }))
}

#[cfg(test)]
mod tests;
