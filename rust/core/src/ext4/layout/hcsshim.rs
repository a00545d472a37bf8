//! hcsshim's layout. Source: hcsshim v0.13 and later, ext4/tar2ext4.

use super::{
    Backups, BlockUnit, DirectoryForm, GroupChoice, Layout, LinksBeyond, ReservedDescriptors, Tables,
    UnusedInodeBits, XattrPlacing,
};
use crate::ext4::format::checksum::Checksums;
use crate::ext4::format::features::Features;
use crate::ext4::format::{group_descriptor, inode};

impl Layout {
    /// No journal, no checksums, no UUID, no times; all that is not data at its end.
    pub const HCSSHIM: Self = Self {
        name: "hcsshim",
        features: Features::all(&[
            Features::EXT_ATTR,
            Features::SPARSE_SUPER2,
            Features::FILETYPE,
            Features::EXTENTS,
            Features::FLEX_BG,
            Features::LARGE_FILE,
            Features::HUGE_FILE,
            Features::EXTRA_ISIZE,
            Features::READONLY,
        ]),
        uuid: [0; 16],
        checksums: Checksums::None,
        extra_isize: inode::EXTRA_ISIZE,
        descriptor_len: group_descriptor::LEN,
        log_groups_per_flex: 31, // all groups are one flexible group
        reserved_descriptors: ReservedDescriptors::ForMaximumSize,
        backups: Backups::None,
        tables: Tables::AfterData,
        group_choice: GroupChoice::Fewest,
        unused_inode_bits: UnusedInodeBits::Clear,
        block_unit: BlockUnit::Blocks,
        directories: DirectoryForm::ClosedByEmptyEntries,
        xattr_placing: XattrPlacing::FirstFit,
        max_file_size: 1 << 37,
        max_inline_size: 136, // 60 bytes of i_block, and 76 as the value of system.data
        max_short_target_len: 59, // i_block less a NUL
        max_links: inode::MAX_LINKS,
        links_beyond: LinksBeyond::One,
    };
}
