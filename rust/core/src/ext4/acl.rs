//! POSIX ACLs: the form that getxattr shows (version 2) into the one that ext4 stores (version 1).
//! Source: kernel, include/uapi/linux/posix_acl_xattr.h and fs/ext4/acl.h.

use crate::error::{Error, Result, quote};
use crate::faults::Fault;

const XATTR_VERSION: u32 = 2;
const EXT4_VERSION: u32 = 1;
/// Tags whose entry names somebody: ACL_USER and ACL_GROUP.
const NAMED: [u16; 2] = [0x02, 0x08];
/// Tags that name nobody: user object, group object, mask, other.
const UNNAMED: [u16; 4] = [0x01, 0x04, 0x10, 0x20];

/// The stored form of the ACL, or `None` for one with no entries, which means no ACL.
pub fn to_ext4(full_name: &[u8], value: &[u8]) -> Result<Option<Vec<u8>>> {
    let invalid = |why: String| {
        Error::invalid_entry(format!(
            "xattr {} is no POSIX ACL of version {XATTR_VERSION}: {why}",
            quote(full_name)
        ))
        .fault(Fault::B5Malformed)
    };
    if value.is_empty() {
        return Ok(None);
    }
    let Some((version, entries)) = value.split_first_chunk::<4>() else {
        return Err(invalid(format!("it has {} bytes, at least 4 are needed", value.len())));
    };
    let version = u32::from_le_bytes(*version);
    if version != XATTR_VERSION {
        return Err(invalid(format!("its version is {version}")));
    }
    if entries.is_empty() {
        return Ok(None);
    }
    let mut stored = EXT4_VERSION.to_le_bytes().to_vec();
    let (entries, rest) = entries.as_chunks::<8>();
    if !rest.is_empty() {
        return Err(invalid(format!("its length of {} bytes is not 4 + 8 n", value.len())));
    }
    for [t0, t1, p0, p1, id @ ..] in entries {
        stored.extend([t0, t1, p0, p1]);
        let tag = u16::from_le_bytes([*t0, *t1]);
        if NAMED.contains(&tag) {
            stored.extend(id);
        } else if !UNNAMED.contains(&tag) {
            return Err(invalid(format!("it has an entry with tag {tag:#x}")));
        }
    }
    Ok(Some(stored))
}
