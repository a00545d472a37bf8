//! The superblock: 512 bytes at the start of the hash device, or before the tree, in a hash block of its own.
//! Source: cryptsetup, lib/verity/verity.c (struct verity_sb).

use uuid::Uuid;
use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::error::{Error, Result};
use crate::verity::{MAX_SALT_LEN, Parameters};

pub const LEN: usize = 512;
pub const SIGNATURE: [u8; 8] = *b"verity\0\0";
const VERSION: u32 = 1;
/// Salt before the block; 0, Chrome OS's, has it after.
const HASH_TYPE: u32 = 1;
/// Version 5 UUIDs of devices are made in this name space, itself the version 5 UUID of the URL below.
const NAMESPACE_URL: &str = "https://layerdisk.dev/verity-uuid";

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Superblock {
    signature: [u8; 8],
    version: U32,
    hash_type: U32,
    uuid: [u8; 16],
    algorithm: [u8; 32],
    data_block_size: U32,
    hash_block_size: U32,
    data_blocks: U64,
    salt_size: U16,
    padding: [u8; 6],
    salt: [u8; MAX_SALT_LEN],
    reserved: [u8; 168],
}

const _: () = {
    use std::mem::offset_of;
    assert!(size_of::<Superblock>() == LEN);
    assert!(offset_of!(Superblock, uuid) == 16);
    assert!(offset_of!(Superblock, algorithm) == 32);
    assert!(offset_of!(Superblock, data_block_size) == 64);
    assert!(offset_of!(Superblock, data_blocks) == 72);
    assert!(offset_of!(Superblock, salt_size) == 80);
    assert!(offset_of!(Superblock, salt) == 88);
    assert!(offset_of!(Superblock, reserved) == 344);
};

/// What a superblock says.
#[derive(Debug, PartialEq, Eq)]
pub struct Described {
    pub parameters: Parameters,
    pub data_blocks: u64,
    pub uuid: [u8; 16],
}

impl Superblock {
    pub fn new(parameters: &Parameters, data_blocks: u64, uuid: [u8; 16]) -> Self {
        let mut superblock = Self {
            signature: SIGNATURE,
            version: U32::new(VERSION),
            hash_type: U32::new(HASH_TYPE),
            uuid,
            algorithm: [0; 32],
            data_block_size: U32::new(parameters.data_block_size),
            hash_block_size: U32::new(parameters.hash_block_size),
            data_blocks: U64::new(data_blocks),
            salt_size: U16::new(parameters.salt.len() as u16), // MAX_SALT_LEN at most
            padding: [0; 6],
            salt: [0; MAX_SALT_LEN],
            reserved: [0; 168],
        };
        let name = parameters.algorithm.name().as_bytes();
        superblock.algorithm.iter_mut().zip(name).for_each(|(place, byte)| *place = *byte);
        superblock.salt.iter_mut().zip(&parameters.salt).for_each(|(place, byte)| *place = *byte);
        superblock
    }

    /// Reads one; refuses what no writer of this version may have written.
    pub fn read(start: &[u8]) -> Result<Described> {
        let Ok((superblock, _)) = Self::ref_from_prefix(start) else {
            return Err(wrong(format!("it has {} bytes, not {LEN}", start.len())));
        };
        if superblock.signature != SIGNATURE {
            return Err(wrong("the signature is not \"verity\" and two zero bytes"));
        }
        for (name, found, allowed) in
            [("version", superblock.version, VERSION), ("hash type", superblock.hash_type, HASH_TYPE)]
        {
            if found != allowed {
                return Err(wrong(format!("the {name} is {found}: it must be {allowed}")));
            }
        }
        let name = superblock.algorithm.iter().position(|&byte| byte == 0).unwrap_or(32);
        let (name, rest) = superblock.algorithm.split_at_checked(name).unwrap_or_default();
        let salt_len = usize::from(superblock.salt_size.get());
        let Some((salt, after)) = superblock.salt.split_at_checked(salt_len) else {
            return Err(wrong(format!("the salt size is {salt_len}: it must be 0 to {MAX_SALT_LEN}")));
        };
        let free = [rest, after, superblock.padding.as_slice(), superblock.reserved.as_slice()];
        if free.iter().any(|bytes| bytes.iter().any(|&byte| byte != 0)) {
            return Err(wrong("bytes that must be zero are not"));
        }
        let parameters = Parameters::new(
            &String::from_utf8_lossy(name),
            superblock.data_block_size.get().into(),
            superblock.hash_block_size.get().into(),
            salt,
        )
        .map_err(|error| wrong(error.message))?;
        Ok(Described { parameters, data_blocks: superblock.data_blocks.get(), uuid: superblock.uuid })
    }
}

fn wrong(what: impl AsRef<str>) -> Error {
    Error::invalid_argument(format!("dm-verity superblock: {}", what.as_ref()))
}

/// A UUID that is the same for the same content.
pub fn uuid(parameters: &Parameters, data_blocks: u64, root: &[u8]) -> [u8; 16] {
    let namespace = Uuid::new_v5(&Uuid::NAMESPACE_URL, NAMESPACE_URL.as_bytes());
    let content = format!(
        "{} data={} hash={} blocks={data_blocks} salt={} root={}",
        parameters.algorithm.name(),
        parameters.data_block_size,
        parameters.hash_block_size,
        hex(&parameters.salt),
        hex(root),
    );
    Uuid::new_v5(&namespace, content.as_bytes()).into_bytes()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use zerocopy::IntoBytes;

    use super::{Described, Superblock};
    use crate::verity::Parameters;

    #[test]
    fn what_is_written_is_read() {
        for (algorithm, salt) in [("sha256", vec![]), ("sha512", vec![7; 256]), ("sha256", vec![0; 32])] {
            let parameters = Parameters::new(algorithm, 512, 524_288, &salt).unwrap();
            let written = Superblock::new(&parameters, 1 << 40, [9; 16]);
            let read = Superblock::read(written.as_bytes()).unwrap();
            assert_eq!(read, Described { parameters, data_blocks: 1 << 40, uuid: [9; 16] });
        }
    }

    /// All bits but those whose every value has a meaning: UUID, number of blocks, the salt itself.
    #[test]
    fn every_other_flipped_bit_is_refused_or_changes_what_is_read() {
        let parameters = Parameters::new("sha256", 4096, 4096, &[1; 32]).unwrap();
        let good = Superblock::new(&parameters, 1000, [3; 16]);
        let before = Superblock::read(good.as_bytes()).unwrap();
        for bit in 0..8 * 512 {
            let mut bytes = good.as_bytes().to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            match Superblock::read(&bytes) {
                Ok(read) => {
                    assert!(matches!(bit / 8, 16..32 | 72..82 | 88..120), "bit {bit} does not matter");
                    assert_ne!(read, before);
                }
                Err(error) => assert!(error.message.starts_with("dm-verity superblock: ")),
            }
        }
    }
}
