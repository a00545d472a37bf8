//! File capabilities, the value of security.capability. Source: kernel, include/uapi/linux/capability.h.

use std::mem::offset_of;

use zerocopy::little_endian::U32;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::error::{Error, Result};
use crate::faults::Fault;

pub const NAME: &[u8] = b"security.capability";

/// The longest form; older ones end earlier.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Capabilities {
    magic_etc: U32,
    /// Permitted and inheritable, the lower halves.
    low: [U32; 2],
    /// From revision 2 on.
    high: [U32; 2],
    /// From revision 3 on.
    rootid: U32,
}

/// Revision, and length of its form in bytes.
const REVISIONS: [(u32, usize); 3] = [
    (0x0100_0000, offset_of!(Capabilities, high)),
    (0x0200_0000, offset_of!(Capabilities, rootid)),
    (0x0300_0000, size_of::<Capabilities>()),
];
const _: () = assert!(REVISIONS[0].1 == 12 && REVISIONS[1].1 == 20 && REVISIONS[2].1 == 24);

/// The one flag of magic_etc.
const FLAG_EFFECTIVE: u32 = 1;

/// Refuses what the kernel takes for no capabilities (N13).
pub fn check(value: &[u8]) -> Result<()> {
    let magic = U32::ref_from_prefix(value).map_or(0, |(magic, _)| magic.get());
    let is_known =
        |(revision, len): &(u32, usize)| magic & !FLAG_EFFECTIVE == *revision && value.len() == *len;
    if REVISIONS.iter().any(is_known) {
        return Ok(());
    }
    Err(Error::invalid_entry(format!(
        "xattr \"security.capability\" has {} bytes and revision {magic:#010x}: \
         it must be 12 bytes of revision 1, 20 of revision 2 or 24 of revision 3",
        value.len()
    ))
    .fault(Fault::N13))
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn each_revision_has_its_length() {
        for (magic, len, is_valid) in [
            (0x0100_0000u32, 12, true),
            (0x0200_0001, 20, true),
            (0x0300_0000, 24, true),
            (0x0200_0000, 24, false),
            (0x0200_0002, 20, false),
            (0x0400_0000, 24, false),
            (0, 0, false),
        ] {
            let mut value = magic.to_le_bytes().to_vec();
            value.resize(len, 0);
            assert_eq!(check(&value).is_ok(), is_valid, "{magic:#x} {len}");
        }
    }
}
