//! A time as the pair of 32-bit fields that an inode holds: low = seconds, high = nanoseconds << 2 | epoch.
//! Kept as one 64-bit value, low in the low half. Source: kernel, Documentation/filesystems/ext4/inodes.rst.

/// Seconds that ext4 can hold: 1901-12-13 to 2446-05-10.
pub const MIN_SECONDS: i64 = -(1 << 31);
pub const MAX_SECONDS: i64 = (1 << 34) - (1 << 31) - 1;

/// Go's zero time, 0001-01-01, which hcsshim takes for "no time".
const GO_ZERO_SECONDS: i64 = -62_135_596_800;

/// What hcsshim writes below `MIN_SECONDS`.
const HCSSHIM_TOO_EARLY: u64 = 0x8000_0000;

/// An encoded time, as it stands in the inode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timestamp(pub u64);

impl Timestamp {
    pub fn low(self) -> u32 {
        self.0 as u32
    }

    pub fn high(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// The form that the kernel reads back as it was meant.
    pub fn exact(seconds: i64, nanoseconds: u32) -> Self {
        if is_unset(seconds, nanoseconds) {
            return Self::default();
        }
        let clamped = seconds.clamp(MIN_SECONDS, MAX_SECONDS);
        let nanoseconds = if clamped == seconds { u64::from(nanoseconds) } else { 0 };
        let epoch = ((clamped + (1 << 31)) >> 32) as u64 & 3;
        Self(u64::from(clamped as u32) | (nanoseconds << 2 | epoch) << 32)
    }

    /// The form that hcsshim writes: sign and bit 31 leak into the epoch bits (B3, B4, B4b).
    pub fn hcsshim(seconds: i64, nanoseconds: u32) -> Self {
        if is_unset(seconds, nanoseconds) {
            Self::default()
        } else if seconds < MIN_SECONDS {
            Self(HCSSHIM_TOO_EARLY)
        } else if seconds > MAX_SECONDS {
            Self(MAX_SECONDS as u64)
        } else {
            Self(seconds as u64 | u64::from(nanoseconds) << 34)
        }
    }

    /// What hcsshim makes of a time when it copies it from one inode to another (N3).
    pub fn hcsshim_copy(self) -> Self {
        if self.0 == 0 {
            return self;
        }
        let mut seconds = (self.0 & 0x3_FFFF_FFFF) as i64;
        if (0x8000_0000..0x1_0000_0000).contains(&seconds) {
            seconds -= 1 << 32;
        }
        let nanoseconds = self.0 >> 34;
        let carry = (nanoseconds / 1_000_000_000) as i64;
        Self::hcsshim(seconds + carry, (nanoseconds % 1_000_000_000) as u32)
    }

    /// Whether so many seconds were too many or too few.
    pub fn is_clamped(self, seconds: i64) -> bool {
        self.0 != 0 && !(MIN_SECONDS..=MAX_SECONDS).contains(&seconds)
    }

    /// Whether hcsshim keeps the time when it copies it: all but those with bit 31 of the seconds set.
    pub fn survives_hcsshim_copy(self) -> bool {
        self.low() >> 31 == 0
    }
}

fn is_unset(seconds: i64, nanoseconds: u32) -> bool {
    seconds == GO_ZERO_SECONDS && nanoseconds == 0
}

#[cfg(test)]
mod tests {
    use super::Timestamp;

    #[test]
    fn exact_and_hcsshim_forms() {
        let cases: [(i64, u32, u64, u64); 7] = [
            (0, 0, 0, 0),
            (1, 5, 1 | 20 << 32, 1 | 20 << 32),
            (-1, 7, 0xFFFF_FFFF | 28 << 32, u64::MAX),
            (1 << 31, 1, 0x8000_0000 | 5 << 32, 0x8000_0000 | 4 << 32),
            (1 << 32, 0, 1 << 32, 1 << 32),
            (i64::MIN, 9, 0x8000_0000, 0x8000_0000),
            (i64::MAX, 9, 0x3_7FFF_FFFF, 0x3_7FFF_FFFF),
        ];
        for (seconds, nanoseconds, exact, hcsshim) in cases {
            assert_eq!(Timestamp::exact(seconds, nanoseconds).0, exact, "{seconds}");
            assert_eq!(Timestamp::hcsshim(seconds, nanoseconds).0, hcsshim, "{seconds}");
        }
    }

    #[test]
    fn copies_of_hcsshim_drift() {
        assert_eq!(Timestamp::hcsshim(-1, 0).hcsshim_copy().0, 0x3_7FFF_FFFF);
        assert_eq!(Timestamp(0x8000_0000).hcsshim_copy().0, 0xFFFF_FFFF_8000_0000);
        assert_eq!(Timestamp(0x5_0000_0001).hcsshim_copy().0, 0x5_0000_0001);
    }
}
