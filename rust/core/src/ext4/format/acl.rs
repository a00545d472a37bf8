//! POSIX ACLs: the form that getxattr shows (version 2) and the one that ext4 stores (version 1).
//! Source: kernel, include/uapi/linux/posix_acl_xattr.h and fs/ext4/acl.h.

use std::mem::offset_of;

use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::error::{Error, Result, quote};
use crate::faults::Fault;

/// Attributes that hold ACLs.
pub const NAMES: [&[u8]; 2] = [b"system.posix_acl_access", DEFAULT_NAME];
/// Of a directory: what is made in it gets.
pub const DEFAULT_NAME: &[u8] = b"system.posix_acl_default";

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
/// e_tag
mod tag {
    pub const USER_OBJ: u16 = 0x01;
    pub const USER: u16 = 0x02;
    pub const GROUP_OBJ: u16 = 0x04;
    pub const GROUP: u16 = 0x08;
    pub const MASK: u16 = 0x10;
    pub const OTHER: u16 = 0x20;
}

/// Tags whose entry names somebody.
const NAMED: [u16; 2] = [tag::USER, tag::GROUP];
/// Read, write, execute.
const PERMISSIONS: u16 = 7;
/// An id that stands for nobody.
const NO_ID: u32 = u32::MAX;

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
    check_entries(entries).map_err(invalid)?;
    Ok(!entries.is_empty())
}

/// The kernel's own rules for the order of entries. Source: kernel, fs/posix_acl.c, posix_acl_valid.
fn check_entries(entries: &[Entry]) -> Result<(), String> {
    let mut expected = if entries.is_empty() { 0 } else { tag::USER_OBJ };
    let mut needs_mask = false;
    for (position, entry) in entries.iter().enumerate() {
        let (tag, perm) = (entry.e_tag.get(), entry.e_perm.get());
        expected = match (tag, expected) {
            (tag::USER_OBJ, tag::USER_OBJ) | (tag::USER, tag::USER) => tag::USER,
            (tag::GROUP_OBJ, tag::USER) | (tag::GROUP, tag::GROUP) => tag::GROUP,
            (tag::MASK, tag::GROUP) => tag::OTHER,
            (tag::OTHER, tag::OTHER) => 0,
            (tag::OTHER, tag::GROUP) if !needs_mask => 0,
            _ => return Err(format!("its entry {position} has tag {tag:#x}, which does not belong there")),
        };
        needs_mask |= NAMED.contains(&tag);
        if perm & !PERMISSIONS != 0 {
            return Err(format!(
                "its entry {position} has permissions {perm:#x}, at most {PERMISSIONS:#x} are allowed"
            ));
        }
        if NAMED.contains(&tag) && entry.e_id == NO_ID {
            return Err(format!("its entry {position} names nobody: the id is {NO_ID}"));
        }
    }
    if expected == 0 { Ok(()) } else { Err("it ends before the entry for others".into()) }
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

#[cfg(test)]
mod tests {
    use super::{check, to_ext4};

    fn acl(entries: &[(u16, u16, u32)]) -> Vec<u8> {
        let mut value = 2u32.to_le_bytes().to_vec();
        for (tag, perm, id) in entries {
            value.extend(tag.to_le_bytes());
            value.extend(perm.to_le_bytes());
            value.extend(id.to_le_bytes());
        }
        value
    }

    #[test]
    fn what_the_kernel_refuses_is_refused() {
        let (owner, group, mask, other) = ((1, 7, !0), (4, 5, !0), (0x10, 7, !0), (0x20, 0, !0));
        let (user, named_group) = ((2, 6, 1000), (8, 4, 50));
        for (entries, is_valid) in [
            (vec![owner, group, other], true),
            (vec![owner, user, user, group, named_group, mask, other], true),
            (vec![owner, group, mask, other], true),
            (vec![owner, user, group, other], false),
            (vec![owner, group], false),
            (vec![group, owner, other], false),
            (vec![owner, owner, group, other], false),
            (vec![owner, group, named_group, mask], false),
            (vec![owner, group, other, other], false),
            (vec![(1, 8, !0), group, other], false),
            (vec![owner, (2, 6, !0), group, mask, other], false),
            (vec![owner, group, (0x40, 0, 0), other], false),
        ] {
            assert_eq!(check(b"x", &acl(&entries)).is_ok(), is_valid, "{entries:?}");
        }
        assert!(!check(b"x", b"").unwrap() && !check(b"x", &acl(&[])).unwrap());
        assert!(check(b"x", b"\x02\0").is_err() && check(b"x", b"\x01\0\0\0").is_err());
        let stored = to_ext4(&acl(&[owner, user, group, mask, other]));
        assert_eq!(stored.len(), 4 + 4 + 8 + 3 * 4);
        assert_eq!(stored[..8], [1, 0, 0, 0, 1, 0, 7, 0]);
    }
}
