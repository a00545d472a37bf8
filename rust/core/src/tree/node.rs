//! One inode in memory: few bytes for what each has, a place apart for what few have.

use crate::units::{BlockNumber, Time};

/// Type bits of a mode. Source: POSIX, sys/stat.h, with the values that Linux has.
pub const TYPE_MASK: u16 = 0xF000;

/// What a node is, with the type bits of its mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum FileType {
    Fifo = 0x1000,
    CharacterDevice = 0x2000,
    Directory = 0x4000,
    BlockDevice = 0x6000,
    Regular = 0x8000,
    Symlink = 0xA000,
}

impl FileType {
    pub const fn bits(self) -> u16 {
        self as u16
    }

    pub const fn is_device(self) -> bool {
        matches!(self, Self::CharacterDevice | Self::BlockDevice)
    }

    /// Of a mode's type bits; anything that is not in the list is a regular file.
    const fn of(mode: u16) -> Self {
        match mode & TYPE_MASK {
            0x1000 => Self::Fifo,
            0x2000 => Self::CharacterDevice,
            0x4000 => Self::Directory,
            0x6000 => Self::BlockDevice,
            0xA000 => Self::Symlink,
            _ => Self::Regular,
        }
    }
}

/// State of a node that is not in its mode.
pub mod flag {
    /// The number is in use.
    pub const USED: u8 = 1;
    /// Its data (a file's, a directory's, a symlink's target) is in the storage, from block `data` on.
    pub const STORED: u8 = 2;
    /// Its data is kept in the tree (a regular file's).
    pub const INLINE: u8 = 4;
    /// A whiteout made it, not an entry of its own.
    pub const WHITEOUT: u8 = 8;
    /// An opaque marker was seen for it.
    pub const OPAQUE: u8 = 16;
    /// It was there before any entry, and cannot be replaced.
    pub const FIXED: u8 = 32;
    /// One of its times does not fit a `PackedTime`: `Tree::odd_times` has all three.
    pub const ODD_TIMES: u8 = 64;
}

/// One inode. 36 bytes, since a layer can have millions: `Tree` stores shared and rarely used fields separately.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C, packed(4))]
pub struct Node {
    pub size: u64,
    pub(super) mtime: PackedTime,
    pub links: u32,
    /// First block of data, or 1 + place of the numbers of a device (0 for device 0:0), or the place of the text of a
    /// symlink or of inline data.
    pub data: u32,
    /// Place in `Tree::owners`.
    pub(super) owner: u32,
    /// 1 + place in `Tree::rare`, 0 for none.
    pub(super) rare: u32,
    pub mode: u16,
    pub flags: u8,
}

const _: () = assert!(size_of::<Node>() <= 36);

impl Node {
    pub fn new(mode: u16, links: u32, flags: u8) -> Self {
        Self { mode, links, flags, ..Self::default() }
    }

    pub fn file_type(&self) -> FileType {
        FileType::of(self.mode)
    }

    pub fn is_dir(&self) -> bool {
        self.mode & TYPE_MASK == FileType::Directory.bits()
    }

    pub fn is_symlink(&self) -> bool {
        self.mode & TYPE_MASK == FileType::Symlink.bits()
    }

    pub fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// First block of data that is stored.
    pub fn start(&self) -> BlockNumber {
        BlockNumber::new(self.data)
    }
}

/// Owner of a node; a layer has few distinct owners.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Owner {
    pub uid: u32,
    pub gid: u32,
}

/// Times of a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// Also the creation time.
    pub mtime: Time,
    pub atime: Time,
    pub ctime: Time,
}

/// What most nodes do not have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct RareFields {
    pub atime: PackedTime,
    pub ctime: PackedTime,
    /// 0 for none.
    pub xattr_block: BlockNumber,
    /// 1 + place in `Tree::xattr_sets`, 0 for none.
    pub xattrs: u32,
}

const _: () = assert!(size_of::<RareFields>() <= 24);

/// A time from 1697 to 2242 in 8 bytes: 30 bits of nanoseconds, 34 of seconds in two's complement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct PackedTime {
    // Halves, so that nodes need not be aligned to more than 4 bytes.
    low: u32,
    high: u32,
}

const SECONDS_BITS: u32 = 34;

impl PackedTime {
    pub fn new(time: Time) -> Option<Self> {
        let unused = i64::BITS - SECONDS_BITS;
        if time.seconds << unused >> unused != time.seconds {
            return None;
        }
        let bits = u64::from(time.nanoseconds) << SECONDS_BITS | (time.seconds as u64) << unused >> unused;
        Some(Self { low: bits as u32, high: (bits >> 32) as u32 })
    }

    pub fn get(self) -> Time {
        let bits = u64::from(self.high) << 32 | u64::from(self.low);
        let unused = i64::BITS - SECONDS_BITS;
        Time { seconds: (bits << unused) as i64 >> unused, nanoseconds: (bits >> SECONDS_BITS) as u32 }
    }
}

#[cfg(test)]
mod tests {
    use super::PackedTime;
    use crate::units::Time;

    #[test]
    fn times_are_unpacked_as_they_were() {
        for seconds in [0, 1, -1, (1 << 33) - 1, -(1 << 33)] {
            for nanoseconds in [0, 1, 999_999_999] {
                let time = Time { seconds, nanoseconds };
                assert_eq!(PackedTime::new(time).map(PackedTime::get), Some(time));
            }
        }
        for seconds in [1 << 33, -(1 << 33) - 1, i64::MAX, i64::MIN] {
            assert_eq!(PackedTime::new(Time { seconds, nanoseconds: 0 }), None);
        }
    }
}
