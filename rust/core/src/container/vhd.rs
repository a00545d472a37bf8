//! The footer that makes a raw image a fixed VHD: 512 bytes behind it, big endian.
//! Source: Virtual Hard Disk Image Format Specification; values as hcsshim writes them (B21: no geometry, no creator).

use uuid::Uuid;
use zerocopy::big_endian::{U32, U64};
use zerocopy::{Immutable, IntoBytes};

pub const FOOTER_LEN: usize = 512;
/// Version 5 UUIDs of images are made in this name space, itself the version 5 UUID of the URL below.
const NAMESPACE_URL: &str = "https://layerdisk.dev/vhd-unique-id";

#[derive(IntoBytes, Immutable)]
#[repr(C)]
struct Footer {
    cookie: [u8; 8],          // 0
    features: U32,            // 8
    file_format_version: U32, // 12
    data_offset: U64,         // 16
    time_stamp: U32,          // 24
    creator_application: U32, // 28
    creator_version: U32,     // 32
    creator_host_os: U32,     // 36
    original_size: U64,       // 40
    current_size: U64,        // 48
    disk_geometry: U32,       // 56
    disk_type: U32,           // 60
    checksum: U32,            // 64
    unique_id: [u8; 16],      // 68
    saved_state: u8,          // 84
    reserved: [u8; 427],      // 85
}

const _: () = assert!(size_of::<Footer>() == FOOTER_LEN);

/// The footer of an image of `size` bytes.
pub fn footer(size: u64, unique_id: [u8; 16]) -> [u8; FOOTER_LEN] {
    let mut footer = Footer {
        cookie: *b"conectix",
        features: U32::new(2), // a bit that is always set
        file_format_version: U32::new(0x0001_0000),
        data_offset: U64::new(u64::MAX), // none: a fixed disk
        time_stamp: U32::ZERO,
        creator_application: U32::ZERO,
        creator_version: U32::new(0x000A_0000),
        creator_host_os: U32::ZERO,
        original_size: U64::new(size),
        current_size: U64::new(size),
        disk_geometry: U32::ZERO,
        disk_type: U32::new(2), // fixed
        checksum: U32::ZERO,
        unique_id,
        saved_state: 0,
        reserved: [0; 427],
    };
    let sum = footer.as_bytes().iter().fold(0u32, |sum, &byte| sum.wrapping_add(u32::from(byte)));
    footer.checksum = U32::new(!sum);
    let mut bytes = [0; FOOTER_LEN];
    bytes.copy_from_slice(footer.as_bytes());
    bytes
}

/// A unique id that is the same for the same content.
pub fn unique_id(content: &str) -> [u8; 16] {
    let namespace = Uuid::new_v5(&Uuid::NAMESPACE_URL, NAMESPACE_URL.as_bytes());
    Uuid::new_v5(&namespace, content.as_bytes()).into_bytes()
}
