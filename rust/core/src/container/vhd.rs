//! The footer that makes a raw image a fixed VHD: 512 bytes after it, big endian.
//! Source: Virtual Hard Disk Image Format Specification; values as hcsshim writes them (B21: no geometry, no creator).

use std::mem::offset_of;

use uuid::Uuid;
use zerocopy::big_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::error::{Error, Result};

pub const FOOTER_LEN: usize = 512;
/// Version 5 UUIDs of images are made in this name space, itself the version 5 UUID of the URL below.
const NAMESPACE_URL: &str = "https://layerdisk.dev/vhd-unique-id";

const COOKIE: [u8; 8] = *b"conectix";
/// A bit of `features` that is always set.
const RESERVED_FEATURE: u32 = 2;
const VERSION_1_0: u32 = 0x0001_0000;
/// `data_offset` of a fixed disk: none.
const NO_DATA_OFFSET: u64 = u64::MAX;
const CREATOR_VERSION: u32 = 0x000A_0000;
const TYPE_FIXED: u32 = 2;

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Footer {
    pub cookie: [u8; 8],
    pub features: U32,
    pub file_format_version: U32,
    pub data_offset: U64,
    /// Seconds since 2000-01-01 00:00 UTC.
    pub timestamp: U32,
    pub creator_application: [u8; 4],
    pub creator_version: U32,
    pub creator_host_os: [u8; 4],
    pub original_size: U64,
    pub current_size: U64,
    pub cylinders: U16,
    pub heads: u8,
    pub sectors_per_track: u8,
    pub disk_type: U32,
    pub checksum: U32,
    pub unique_id: [u8; 16],
    pub saved_state: u8,
    reserved: [u8; 427],
}

const _: () = {
    assert!(size_of::<Footer>() == FOOTER_LEN);
    assert!(offset_of!(Footer, data_offset) == 16 && offset_of!(Footer, original_size) == 40);
    assert!(offset_of!(Footer, cylinders) == 56 && offset_of!(Footer, checksum) == 64);
    assert!(offset_of!(Footer, unique_id) == 68 && offset_of!(Footer, saved_state) == 84);
};

impl Footer {
    /// Of a fixed disk of `size` bytes.
    pub fn fixed(size: u64, unique_id: [u8; 16]) -> Self {
        let mut footer: Self = zerocopy::FromZeros::new_zeroed();
        footer.cookie = COOKIE;
        footer.features = U32::new(RESERVED_FEATURE);
        footer.file_format_version = U32::new(VERSION_1_0);
        footer.data_offset = U64::new(NO_DATA_OFFSET);
        footer.creator_version = U32::new(CREATOR_VERSION);
        footer.original_size = U64::new(size);
        footer.current_size = U64::new(size);
        footer.disk_type = U32::new(TYPE_FIXED);
        footer.unique_id = unique_id;
        footer.checksum = U32::new(footer.sum());
        footer
    }

    /// Reads the last 512 bytes of an image.
    pub fn read(end: &[u8]) -> Result<Self> {
        match Self::read_from_bytes(end) {
            Ok(footer) if footer.cookie == COOKIE => Ok(footer),
            _ => Err(Error::invalid_argument("the image does not end with a VHD footer")),
        }
    }

    /// The complement of the sum of the bytes, those of the checksum left out.
    pub fn sum(&self) -> u32 {
        let add = |bytes: &[u8]| bytes.iter().fold(0u32, |sum, &byte| sum.wrapping_add(u32::from(byte)));
        !add(self.as_bytes()).wrapping_sub(add(self.checksum.as_bytes()))
    }
}

/// The footer of an image of `size` bytes.
pub fn footer(size: u64, unique_id: [u8; 16]) -> [u8; FOOTER_LEN] {
    zerocopy::transmute!(Footer::fixed(size, unique_id))
}

/// A unique id that is the same for the same content.
pub fn unique_id(content: &str) -> [u8; 16] {
    let namespace = Uuid::new_v5(&Uuid::NAMESPACE_URL, NAMESPACE_URL.as_bytes());
    Uuid::new_v5(&namespace, content.as_bytes()).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::{FOOTER_LEN, Footer, footer};

    #[test]
    fn a_footer_is_read_as_it_was_written() {
        let mut bytes = footer(4096, [7; 16]);
        let read = Footer::read(&bytes).unwrap();
        assert_eq!(
            (read.current_size.get(), read.unique_id, read.checksum.get()),
            (4096, [7; 16], read.sum())
        );
        bytes[FOOTER_LEN - 1] = 1;
        let read = Footer::read(&bytes).unwrap();
        assert_eq!(read.sum(), read.checksum.get() - 1);
        assert!(Footer::read(&bytes[1..]).is_err());
        bytes[0] = 0;
        assert!(Footer::read(&bytes).is_err());
    }
}
