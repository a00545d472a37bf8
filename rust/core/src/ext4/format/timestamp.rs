//! A time as the pair of 32-bit fields that an inode holds: low = seconds, high = nanoseconds << 2 | epoch.
//! Source: kernel, Documentation/filesystems/ext4/inodes.rst.

use crate::units::Time;

/// Seconds that ext4 can hold: 1901-12-13 to 2446-05-10.
pub const MIN_SECONDS: i64 = -(1 << 31);
pub const MAX_SECONDS: i64 = (1 << 34) - (1 << 31) - 1;

/// An encoded time, as it stands in the inode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timestamp {
    pub low: u32,
    pub high: u32,
}

impl Timestamp {
    /// The form that the kernel reads back as it was meant; the nearest there is for what ext4 cannot hold.
    pub fn new(time: Time) -> Self {
        let seconds = time.seconds.clamp(MIN_SECONDS, MAX_SECONDS);
        let nanoseconds = if seconds == time.seconds { time.nanoseconds } else { 0 };
        let epoch = ((seconds - MIN_SECONDS) >> 32) as u32 & 3;
        Self { low: seconds as u32, high: nanoseconds << 2 | epoch }
    }

    /// Both fields as one number.
    pub const fn from_bits(bits: u64) -> Self {
        Self { low: bits as u32, high: (bits >> 32) as u32 }
    }

    pub const fn bits(self) -> u64 {
        self.low as u64 | (self.high as u64) << 32
    }
}

/// Whether the time is too early or too late for ext4, so that another one is stored.
pub fn is_clamped(time: Time) -> bool {
    !(MIN_SECONDS..=MAX_SECONDS).contains(&time.seconds)
}

#[cfg(test)]
mod tests {
    use super::{Timestamp, is_clamped};
    use crate::units::Time;

    #[test]
    fn times_are_what_the_kernel_reads() {
        let cases: [(i64, u32, u64, bool); 7] = [
            (0, 0, 0, false),
            (1, 5, 1 | 20 << 32, false),
            (-1, 7, 0xFFFF_FFFF | 28 << 32, false),
            (1 << 31, 1, 0x8000_0000 | 5 << 32, false),
            (1 << 32, 0, 1 << 32, false),
            (i64::MIN, 9, 0x8000_0000, true),
            (i64::MAX, 9, 0x3_7FFF_FFFF, true),
        ];
        for (seconds, nanoseconds, bits, clamped) in cases {
            let time = Time { seconds, nanoseconds };
            assert_eq!(Timestamp::new(time).bits(), bits, "{seconds}");
            assert_eq!(Timestamp::from_bits(bits), Timestamp::new(time));
            assert_eq!(is_clamped(time), clamped);
        }
    }
}
