//! Chance from a seed: the same seed, the same run. SplitMix64, which needs no more state than
//! one number; nothing here is secret.

/// A source of chance.
#[derive(Clone, Debug)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.0)
    }

    /// True with this probability.
    pub(super) fn chance(&mut self, probability: f64) -> bool {
        // Nothing is drawn for what can't happen, so that adding a fault that is off changes no run.
        probability > 0.0 && unit(self.next()) < probability
    }

    /// Below `bound`, which is above 0.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// A prefix and so many hexadecimal digits.
    pub(super) fn id(&mut self, prefix: &str, digits: usize) -> String {
        let mut id = String::with_capacity(prefix.len() + digits);
        id.push_str(prefix);
        while id.len() < prefix.len() + digits {
            let left = prefix.len() + digits - id.len();
            let more = format!("{:016x}", self.next());
            id.push_str(&more[..left.min(16)]);
        }
        id
    }
}

/// The part of all texts, from 0 to 1, in which this one stands: the same text, the same place.
pub(super) fn place(text: &str) -> f64 {
    let hash = text.bytes().fold(0xCBF2_9CE4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3)
    });
    unit(mix(hash))
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

fn unit(number: u64) -> f64 {
    (number >> 11) as f64 / (1_u64 << 53) as f64
}
