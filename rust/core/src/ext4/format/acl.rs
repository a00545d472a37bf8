//! POSIX ACLs: the form that getxattr shows (version 2) and the one that ext4 stores (version 1).
//! Source: kernel, include/uapi/linux/posix_acl_xattr.h and fs/ext4/acl.h.

use std::mem::offset_of;

use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::error::{Error, Result, quote};
use crate::faults::Fault;

/// Attributes that hold ACLs.
pub const NAMES: [&[u8]; 2] = [b"system.posix_acl_access", b"system.posix_acl_default"];

/// What both forms start with.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Header {
    a_version: U32,
}

/// An entry in version 2. In version 1 only entries that name somebody have an id.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Entry {
    e_tag: U16,
    e_perm: U16,
    e_id: U32,
}

const HEADER_LEN: usize = size_of::<Header>();
const ENTRY_LEN: usize = size_of::<Entry>();
/// Length of an entry of version 1 without an id.
const SHORT_ENTRY_LEN: usize = offset_of!(Entry, e_id);
const _: () = assert!(HEADER_LEN == 4 && ENTRY_LEN == 8 && SHORT_ENTRY_LEN == 4);

const XATTR_VERSION: u32 = 2;
const EXT4_VERSION: u32 = 1;
/// Tags whose entry names somebody: ACL_USER and ACL_GROUP.
const NAMED: [u16; 2] = [0x02, 0x08];
/// Tags that name nobody: user object, group object, mask, other.
const UNNAMED: [u16; 4] = [0x01, 0x04, 0x10, 0x20];

/// Refuses what is not an ACL of version 2; returns whether it has entries: one without means no ACL.
pub fn check(full_name: &[u8], value: &[u8]) -> Result<bool> {
    let invalid = |why: String| {
        let name = quote(full_name);
        Error::invalid_entry(format!("xattr {name} is no POSIX ACL of version {XATTR_VERSION}: {why}"))
            .fault(Fault::B5Malformed)
    };
    if value.is_empty() {
        return Ok(false);
    }
    let Ok((header, entries)) = Header::ref_from_prefix(value) else {
        return Err(invalid(format!("it has {} bytes, at least {HEADER_LEN} are needed", value.len())));
    };
    if header.a_version != XATTR_VERSION {
        return Err(invalid(format!("its version is {}", header.a_version)));
    }
    let Ok(entries) = <[Entry]>::ref_from_bytes(entries) else {
        return Err(invalid(format!(
            "its length of {} bytes is not {HEADER_LEN} + {ENTRY_LEN} n",
            value.len()
        )));
    };
    for entry in entries {
        let tag = entry.e_tag.get();
        if !NAMED.contains(&tag) && !UNNAMED.contains(&tag) {
            return Err(invalid(format!("it has an entry with tag {tag:#x}")));
        }
    }
    Ok(!entries.is_empty())
}

/// The stored form of an ACL that was checked.
pub fn to_ext4(value: &[u8]) -> Vec<u8> {
    let mut stored = Header { a_version: U32::new(EXT4_VERSION) }.as_bytes().to_vec();
    let entries = value.get(HEADER_LEN..).and_then(|entries| <[Entry]>::ref_from_bytes(entries).ok());
    for entry in entries.unwrap_or_default() {
        let len = if NAMED.contains(&entry.e_tag.get()) { ENTRY_LEN } else { SHORT_ENTRY_LEN };
        stored.extend_from_slice(entry.as_bytes().get(..len).unwrap_or_default());
    }
    stored
}
