//! Checksums of structures, the feature metadata_csum: CRC-32C, seeded with the file system's UUID and, for what
//! belongs to an inode, with its number and generation. Source: kernel, Documentation/filesystems/ext4/checksums.rst.

use crate::units::{BlockNumber, InodeNumber};

/// What checksums the structures of an image have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checksums {
    None,
    Crc32c {
        /// Checksum of the UUID.
        seed: u32,
    },
}

/// An inode, as far as what belongs to it depends on it.
#[derive(Clone, Copy, Debug)]
pub struct InodeId {
    pub number: InodeNumber,
    /// i_generation
    pub generation: u32,
}

impl InodeId {
    /// The first inode that has this number.
    pub const fn new(number: InodeNumber) -> Self {
        Self { number, generation: 0 }
    }
}

impl Checksums {
    /// CRC-32C of what has this UUID.
    pub const fn crc32c(uuid: [u8; 16]) -> Self {
        Self::Crc32c { seed: crc32c(!0, &uuid) }
    }

    /// Of a bitmap, or of other bytes that belong to the file system.
    pub fn of(self, bytes: &[u8]) -> Option<u32> {
        self.with_seed(|seed| crc32c(seed, bytes))
    }

    /// Of a group's descriptor, whose own checksum is 0.
    pub fn of_group(self, group: u32, descriptor: &[u8]) -> Option<u32> {
        self.with_seed(|seed| crc32c(crc32c(seed, &group.to_le_bytes()), descriptor))
    }

    /// Of an inode, or of a block of its directory or extents.
    pub fn of_inode(self, id: InodeId, bytes: &[u8]) -> Option<u32> {
        self.with_seed(|seed| {
            let seed = crc32c(seed, &id.number.get().to_le_bytes());
            crc32c(crc32c(seed, &id.generation.to_le_bytes()), bytes)
        })
    }

    /// Of the block with this number.
    pub fn of_block(self, number: BlockNumber, bytes: &[u8]) -> Option<u32> {
        self.with_seed(|seed| crc32c(crc32c(seed, &u64::from(number.get()).to_le_bytes()), bytes))
    }

    /// Of the superblock up to its checksum, which no seed goes into.
    pub fn of_superblock(self, bytes: &[u8]) -> Option<u32> {
        self.with_seed(|_| crc32c(!0, bytes))
    }

    fn with_seed(self, checksum: impl FnOnce(u32) -> u32) -> Option<u32> {
        match self {
            Self::None => None,
            Self::Crc32c { seed } => Some(checksum(seed)),
        }
    }
}

/// CRC-32C as ext4 continues it: not inverted at its end.
const fn crc32c(seed: u32, bytes: &[u8]) -> u32 {
    const POLYNOMIAL: u32 = 0x82F6_3B78; // reflected
    let mut crc = seed;
    let mut rest = bytes;
    while let [byte, others @ ..] = rest {
        crc ^= *byte as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = crc >> 1 ^ if crc & 1 == 0 { 0 } else { POLYNOMIAL };
            bit += 1;
        }
        rest = others;
    }
    crc
}

#[cfg(test)]
mod tests {
    use super::{Checksums, crc32c};

    #[test]
    fn crc_32c_of_the_check_string() {
        assert_eq!(!crc32c(!0, b"123456789"), 0xE306_9283);
        assert_eq!(Checksums::None.of(b"123"), None);
    }
}
