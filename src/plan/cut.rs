//! Cutting a body of many by bytes and by records.

use crate::wire::{BODY_BYTES_MAX, IMPORT_ORDERS_MAX, SKUS_CSV_FRAME_BYTES};

use super::Channel;

/// A body that is being filled. Counts `[`, the items, their commas, and `]`; a CSV's form and rows.
#[derive(Clone, Debug)]
pub struct Cut {
    bytes_max: usize,
    records_max: usize,
    bytes: usize,
    records: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    Yes,
    /// Not this one, nor any after it.
    Full,
    /// It fits into no body at all.
    TooLarge,
}

impl Cut {
    /// `bytes_max`: what the way carries at present, at most the API's own limit.
    pub fn new(channel: Channel, bytes_max: usize) -> Cut {
        Cut {
            bytes_max: bytes_max.min(BODY_BYTES_MAX),
            records_max: match channel {
                Channel::Import => IMPORT_ORDERS_MAX,
                Channel::Bulk | Channel::Csv | Channel::Metadata | Channel::Single => usize::MAX,
            },
            bytes: match channel {
                Channel::Csv => SKUS_CSV_FRAME_BYTES,
                Channel::Bulk | Channel::Import | Channel::Metadata | Channel::Single => 2,
            },
            records: 0,
        }
    }

    /// So many bytes stand in the body beside its items.
    pub fn beside(mut self, bytes: usize) -> Cut {
        self.bytes += bytes;
        self
    }

    pub fn records(&self) -> usize {
        self.records
    }

    pub fn take(&mut self, item_bytes: usize) -> Taken {
        if item_bytes + 2 > BODY_BYTES_MAX {
            return Taken::TooLarge;
        }
        let comma = usize::from(self.records > 0);
        let bytes = self.bytes + comma + item_bytes;
        // The first always fits: a way that carries less than one record carries none at all.
        if self.records > 0 && (bytes > self.bytes_max || self.records == self.records_max) {
            return Taken::Full;
        }
        self.bytes = bytes;
        self.records += 1;
        Taken::Yes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_never_larger_than_the_limit() {
        let mut cut = Cut::new(Channel::Bulk, BODY_BYTES_MAX);
        let mut bytes = 2;
        loop {
            match cut.take(1_000) {
                Taken::Yes => bytes += 1_000 + usize::from(cut.records() > 1),
                Taken::Full => break,
                Taken::TooLarge => panic!("a thousand bytes fit"),
            }
        }
        assert!(bytes <= BODY_BYTES_MAX && bytes + 1_001 > BODY_BYTES_MAX);
    }

    #[test]
    fn an_import_ends_at_two_thousand_orders() {
        let mut cut = Cut::new(Channel::Import, BODY_BYTES_MAX);
        assert!((0..2_000).all(|_| cut.take(10) == Taken::Yes));
        assert_eq!(cut.take(10), Taken::Full);
    }

    #[test]
    fn one_record_fits_whatever_the_way_carries() {
        let mut cut = Cut::new(Channel::Bulk, 100);
        assert_eq!(cut.take(5_000), Taken::Yes);
        assert_eq!(cut.take(1), Taken::Full);
        assert_eq!(cut.take(BODY_BYTES_MAX - 1), Taken::TooLarge);
    }
}
