//! N7, B6, N1: how hcsshim splits the names of xattrs, and reads them again from an image.

use crate::error::Error;
use crate::ext4::format::xattr::{PREFIXES, entry_at, full_name};
use crate::faults::Fault;
use crate::tree::Xattrs;

/// From this stored length on hcsshim crashes when it reads a region again.
const CRASH_NAME_LEN: usize = 240;

/// e_name_index and stored name: `system.posix_acl_accessX` is X of index 2 (N7).
pub fn split_name(full: &[u8]) -> (u8, &[u8]) {
    for (prefix, index) in PREFIXES {
        if let Some(rest) = full.strip_prefix(prefix) {
            return (index, rest);
        }
    }
    (0, full)
}

/// The attributes of a region as hcsshim reads them: it stops at an empty stored name (B6), and crashes at others
/// (N1: `None`).
pub fn read(region: &[u8], value_base: usize) -> Option<Xattrs> {
    let mut found = Xattrs::new();
    let mut start = 0;
    loop {
        let name_len = usize::from(*region.get(start)?);
        if name_len == 0 {
            // There must be an index too, else hcsshim reads on beyond the region.
            return region.get(start + 1).map(|_| found);
        }
        if name_len >= CRASH_NAME_LEN {
            return None;
        }
        let (entry, next) = entry_at(region, start, value_base)?;
        found.insert(full_name(entry.index, entry.name), entry.value.into_owned());
        start = next;
    }
}

/// N1: hcsshim's process dies.
pub fn crash() -> Error {
    Error::not_reproducible(
        "hcsshim crashes when it reads the directory's xattrs again: a stored name of 240 bytes or more",
    )
    .fault(Fault::N1)
}
