//! B3, B4, N3: times whose sign and bit 31 leak into the epoch bits, and drift when they are copied.

use crate::ext4::format::timestamp::{MAX_SECONDS, MIN_SECONDS, Timestamp};
use crate::units::Time;

/// Go's zero time, 0001-01-01, which hcsshim takes for "no time".
const GO_ZERO: Time = Time { seconds: -62_135_596_800, nanoseconds: 0 };

/// What hcsshim writes for a time before `MIN_SECONDS`.
const TOO_EARLY: u64 = 0x8000_0000;

/// The time of an entry, or of one that has none: 1970.
pub fn or_unset(time: Option<Time>) -> Time {
    time.filter(|time| *time != GO_ZERO).unwrap_or_default()
}

/// The form that hcsshim writes.
pub fn encode(time: Time) -> Timestamp {
    Timestamp::from_bits(if time.seconds < MIN_SECONDS {
        TOO_EARLY
    } else if time.seconds > MAX_SECONDS {
        MAX_SECONDS as u64
    } else {
        time.seconds as u64 | u64::from(time.nanoseconds) << 34
    })
}

/// What hcsshim makes of a time when it copies it from one inode to another (N3).
pub fn copy(time: Time) -> Time {
    let bits = encode(time).bits();
    let mut seconds = (bits & 0x3_FFFF_FFFF) as i64;
    if (0x8000_0000..0x1_0000_0000).contains(&seconds) {
        seconds -= 1 << 32;
    }
    let nanoseconds = bits >> 34;
    let carry = (nanoseconds / 1_000_000_000) as i64;
    or_unset(Some(Time { seconds: seconds + carry, nanoseconds: (nanoseconds % 1_000_000_000) as u32 }))
}

/// Whether hcsshim keeps the time when it copies it: all except those with bit 31 of the seconds set.
pub fn survives_copy(time: Time) -> bool {
    Timestamp::new(time).low >> 31 == 0
}

#[cfg(test)]
mod tests {
    use super::{copy, encode, or_unset};
    use crate::units::Time;

    fn at(seconds: i64) -> Time {
        Time { seconds, nanoseconds: 0 }
    }

    #[test]
    fn hcsshim_has_forms_of_its_own() {
        for (seconds, nanoseconds, bits) in [
            (0, 0, 0),
            (1, 5, 1 | 20 << 32),
            (-1, 7, u64::MAX),
            (1 << 31, 1, 0x8000_0000 | 4 << 32),
            (1 << 32, 0, 1 << 32),
            (i64::MIN, 9, 0x8000_0000),
            (i64::MAX, 9, 0x3_7FFF_FFFF),
        ] {
            assert_eq!(encode(Time { seconds, nanoseconds }).bits(), bits, "{seconds}");
        }
        assert_eq!(or_unset(Some(at(-62_135_596_800))), at(0));
        assert_eq!(or_unset(None), at(0));
    }

    #[test]
    fn copies_drift() {
        assert_eq!(encode(copy(at(-1))).bits(), 0x3_7FFF_FFFF);
        assert_eq!(encode(copy(at(i64::MIN))).bits(), 0xFFFF_FFFF_8000_0000);
        assert_eq!(copy(at(5)), at(5));
    }
}
