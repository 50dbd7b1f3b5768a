//! The row-hash short cut: which rows of a batch need no reading, since their record's last full row
//! had the same bytes and was read the same way.

use std::borrow::Cow;
use std::collections::HashSet;

use xxhash_rust::xxh3::{xxh3_64, xxh3_128_with_secret};

use crate::mapping::Reading;
use crate::record::RowHash;
use crate::store::{self, KnownRows};
use crate::table::{Member, Row, Rows};

/// Keys that this file changed, at most: half a megabyte. Above, nothing more is spared.
const SENT_MAX: usize = 65_536;

/// Bytes of the key that xxh3 mixes in.
const SECRET_BYTES: usize = 192;

/// What is known of the rows of one table.
pub struct Known {
    rows: KnownRows,
    store_secret: store::meta::Secret,
    secret: [u8; SECRET_BYTES],
    /// Keys of rows of this file that were not unchanged: what the store knows of them may not be
    /// committed yet, so a later row of the same key is read the long way.
    sent: HashSet<u64>,
    is_over: bool,
    /// Of the batch that was looked at last: each row's hash and key's hash.
    hashes: Vec<Option<(RowHash, u64)>>,
    spared: Vec<bool>,
    /// Spared, and counted as unchanged.
    counted: Vec<bool>,
    /// Records that were told unchanged, and of which another row of the same batch is read.
    taken_back: u64,
}

impl Known {
    /// `seed` is all that decides what a row means; `secret` the store's own.
    pub fn new(
        rows: KnownRows,
        secret: &store::meta::Secret,
        seed: &[u8],
        member: &Member,
    ) -> Known {
        Known {
            rows,
            store_secret: *secret,
            secret: row_secret(secret, seed, member),
            sent: HashSet::new(),
            is_over: false,
            hashes: Vec::new(),
            spared: Vec::new(),
            counted: Vec::new(),
            taken_back: 0,
        }
    }

    /// From now on this decides what a row means.
    pub fn reseed(&mut self, seed: &[u8], member: &Member) {
        self.secret = row_secret(&self.store_secret, seed, member);
    }

    /// Looks all rows of a batch up.
    pub fn look(&mut self, reading: &Reading, rows: &Rows) -> store::Result<()> {
        self.hashes.clear();
        self.spared.clear();
        self.spared.resize(rows.len(), false);
        self.counted.clear();
        self.counted.resize(rows.len(), false);
        let rows: Vec<Row<'_>> = rows.iter().collect();
        let mut keys: Vec<(usize, Cow<'_, str>, RowHash)> = Vec::with_capacity(rows.len());
        for (n, row) in rows.iter().enumerate() {
            // A faulty row is read the long way, as is one below a blank line: it could be a footer.
            let is_plain = row.fault().is_none() && !row.after_blank_line();
            let key = is_plain.then(|| reading.key(row)).flatten();
            let hashes = key.as_ref().map(|key| {
                let hash = xxh3_128_with_secret(row.raw(), &self.secret).to_le_bytes();
                (hash, xxh3_64(key.as_bytes()))
            });
            if let (Some(key), Some((hash, short))) = (key, hashes)
                && !self.is_over
                && !self.sent.contains(&short)
            {
                keys.push((n, key, hash));
            }
            self.hashes.push(hashes);
        }
        if keys.is_empty() {
            return Ok(());
        }
        let asked: Vec<(&str, RowHash)> = (keys.iter())
            .map(|(_, key, hash)| (key.as_ref(), *hash))
            .collect();
        let mut unchanged = Vec::new();
        self.rows.unchanged(&asked, &mut unchanged)?;
        for (asked, ((n, ..), unchanged)) in keys.iter().zip(unchanged).enumerate() {
            self.spared[*n] = unchanged;
            self.counted[*n] = unchanged && !self.rows.is_ours(asked);
        }
        self.respect_order();
        Ok(())
    }

    /// Whether the n-th row of the batch needs no reading.
    pub fn is_spared(&self, n: usize) -> bool {
        self.spared[n]
    }

    pub fn hash(&self, n: usize) -> Option<RowHash> {
        self.hashes[n].map(|(hash, _)| hash)
    }

    /// The n-th row was read the long way.
    pub fn note_sent(&mut self, n: usize) {
        if self.is_over {
            return;
        }
        if self.sent.len() >= SENT_MAX {
            self.is_over = true;
            self.sent = HashSet::new();
        } else if let Some((_, short)) = self.hashes[n] {
            self.sent.insert(short);
        }
    }

    /// Records that were spared so far.
    pub fn spared(&self) -> u64 {
        self.rows.spared() - self.taken_back
    }

    /// Within a batch, too, a row after one of the same key that is read is read as well.
    fn respect_order(&mut self) {
        if self.spared.iter().all(|spared| *spared) {
            return;
        }
        let mut read: HashSet<u64> = HashSet::new();
        let mut taken_back: HashSet<u64> = HashSet::new();
        for (n, hashes) in self.hashes.iter().enumerate() {
            let Some((_, short)) = hashes else { continue };
            let spared = &mut self.spared[n];
            if !*spared {
                read.insert(*short);
            } else if read.contains(short) {
                *spared = false;
                if self.counted[n] {
                    taken_back.insert(*short);
                }
            }
        }
        self.taken_back += taken_back.len() as u64;
    }
}

fn row_secret(secret: &store::meta::Secret, seed: &[u8], member: &Member) -> [u8; SECRET_BYTES] {
    let mut hasher = blake3::Hasher::new_keyed(secret);
    let dialect = serde_json::to_vec(&member.dialect).expect("names and numbers are always JSON");
    for part in [seed, member.name.as_bytes(), &dialect] {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    let mut row_secret = [0; SECRET_BYTES];
    hasher.finalize_xof().fill(&mut row_secret);
    row_secret
}
