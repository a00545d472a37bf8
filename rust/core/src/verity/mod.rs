//! dm-verity: a tree of hashes over the blocks of a device. Sees bytes and a length only.
//! Source: Linux, Documentation/admin-guide/device-mapper/verity.rst; cryptsetup, docs/on-disk-format (hash type 1).

pub mod build;
pub mod check;
pub mod device;
pub mod hasher;
pub mod leaves;
pub mod superblock;
pub mod tree;

use crate::error::{Error, Result};

/// Limits of a block's size in bytes. Source: cryptsetup, VERITY_BLOCK_SIZE_OK.
pub const MIN_BLOCK_SIZE: u32 = 512;
pub const MAX_BLOCK_SIZE: u32 = 512 * 1024;
/// Limit of the salt in bytes: its field in the superblock.
pub const MAX_SALT_LEN: usize = 256;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    Sha256,
    Sha512,
}

impl Algorithm {
    pub fn from_name(name: &str) -> Result<Self> {
        match name {
            "sha256" => Ok(Self::Sha256),
            "sha512" => Ok(Self::Sha512),
            _ => Err(Error::invalid_argument(format!(
                "the hash algorithm is {name:?}: it must be \"sha256\" or \"sha512\""
            ))),
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    /// Bytes of a digest, which are also those of its place in a hash block: both lengths are powers of two.
    pub fn digest_len(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }
}

/// What the hashes of a device depend on, apart from its data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameters {
    pub algorithm: Algorithm,
    pub data_block_size: u32,
    pub hash_block_size: u32,
    pub salt: Vec<u8>,
    /// hcsshim's tree of one data block has a level that dm-verity does not know (B20).
    pub level_for_one_block: bool,
}

impl Parameters {
    pub fn new(algorithm: &str, data_block_size: u64, hash_block_size: u64, salt: &[u8]) -> Result<Self> {
        if salt.len() > MAX_SALT_LEN {
            return Err(Error::invalid_argument(format!(
                "the salt has {} bytes: it must have 0 to {MAX_SALT_LEN}",
                salt.len()
            )));
        }
        Ok(Self {
            algorithm: Algorithm::from_name(algorithm)?,
            data_block_size: block_size("data", data_block_size)?,
            hash_block_size: block_size("hash", hash_block_size)?,
            salt: salt.to_vec(),
            level_for_one_block: false,
        })
    }

    pub fn data_block_len(&self) -> usize {
        self.data_block_size as usize
    }

    pub fn hash_block_len(&self) -> usize {
        self.hash_block_size as usize
    }

    /// Digests in a hash block: 8 at least.
    pub fn per_hash_block(&self) -> u64 {
        (self.hash_block_len() / self.algorithm.digest_len()) as u64
    }

    /// Hash blocks of each level, from the one over the data up to the top; none for a single data block.
    pub fn level_blocks(&self, data_blocks: u64) -> Vec<u64> {
        let mut levels = Vec::new();
        let mut below = data_blocks;
        while below > 1 || (levels.is_empty() && self.level_for_one_block) {
            below = below.div_ceil(self.per_hash_block());
            levels.push(below);
        }
        levels
    }

    /// Bytes of all levels.
    pub fn tree_size(&self, data_blocks: u64) -> u64 {
        self.level_blocks(data_blocks).iter().sum::<u64>() * u64::from(self.hash_block_size)
    }
}

fn block_size(kind: &str, size: u64) -> Result<u32> {
    match u32::try_from(size) {
        Ok(size) if size.is_power_of_two() && (MIN_BLOCK_SIZE..=MAX_BLOCK_SIZE).contains(&size) => Ok(size),
        _ => Err(Error::invalid_argument(format!(
            "the {kind} block size is {size}: it must be a power of two, {MIN_BLOCK_SIZE} to {MAX_BLOCK_SIZE}"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::Parameters;

    #[test]
    fn levels_end_with_one_block() {
        let parameters = Parameters::new("sha256", 4096, 4096, &[]).unwrap();
        for (data_blocks, levels) in [
            (1, vec![]),
            (2, vec![1]),
            (128, vec![1]),
            (129, vec![2, 1]),
            (16_384, vec![128, 1]),
            (16_385, vec![129, 2, 1]),
        ] {
            assert_eq!(parameters.level_blocks(data_blocks), levels, "{data_blocks}");
        }
        let theirs = Parameters { level_for_one_block: true, ..parameters };
        assert_eq!(theirs.level_blocks(1), [1]);
        assert_eq!(theirs.level_blocks(129), [2, 1]);
    }

    #[test]
    fn what_no_device_can_have_is_refused() {
        for (algorithm, data, hash, salt, words) in [
            ("md5", 4096, 4096, 0, "\"sha256\" or \"sha512\""),
            ("sha256", 256, 4096, 0, "the data block size is 256: it must be a power of two, 512 to 524288"),
            ("sha256", 4096, 3000, 0, "the hash block size is 3000"),
            ("sha256", 1 << 20, 4096, 0, "the data block size is 1048576"),
            ("sha512", 512, 512, 257, "the salt has 257 bytes: it must have 0 to 256"),
        ] {
            let error = Parameters::new(algorithm, data, hash, &vec![0; salt]).unwrap_err();
            assert!(error.message.contains(words), "{}", error.message);
        }
    }
}
