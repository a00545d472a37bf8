//! The decisions in which the ways to write an image differ, as one value that the writer asks.

use crate::ext4::timestamp::Timestamp;

/// Fault codes (B2, N7, ...) are those of docs/format.md.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Write or refuse exactly as hcsshim does, its faults included.
    pub reproduce: bool,
    /// B2: entries of an xattr block in the order by which the kernel searches them.
    pub kernel_xattr_order: bool,
    /// N7: `system.posix_acl_accessX` is an attribute X below the ACL's index.
    pub acl_suffixes: bool,
    /// B1: extent leaves as hcsshim lays them out.
    pub faulty_extent_index: bool,
    /// N2, B22: group count and inode table size modulo 2^32.
    pub wrapping_geometry: bool,
}

impl Rules {
    /// hcsshim's layout with the right data where hcsshim writes wrong data or refuses.
    pub const HCSSHIM: Self = Self {
        reproduce: false,
        kernel_xattr_order: true,
        acl_suffixes: false,
        faulty_extent_index: false,
        wrapping_geometry: false,
    };

    /// hcsshim's very bytes.
    pub const HCSSHIM_DEFECTS: Self = Self {
        reproduce: true,
        kernel_xattr_order: false,
        acl_suffixes: true,
        faulty_extent_index: true,
        wrapping_geometry: true,
    };

    pub fn timestamp(&self, seconds: i64, nanoseconds: u32) -> Timestamp {
        if self.reproduce {
            Timestamp::hcsshim(seconds, nanoseconds)
        } else {
            Timestamp::exact(seconds, nanoseconds)
        }
    }

    /// A time taken over from another inode.
    pub fn copied(&self, time: Timestamp) -> Timestamp {
        if self.reproduce { time.hcsshim_copy() } else { time }
    }
}
