//! A layout: every decision in which the ways to lay out an image differ, as one value that the structures and
//! `finish` ask. A decision that only one layout takes so far is an enum of one variant: where another is added, the
//! compiler lists the places that have to know it.

pub mod groups;
mod hcsshim;

use crate::ext4::format::checksum::Checksums;
use crate::ext4::format::features::Features;

/// The decisions of one layout.
#[derive(Clone, Debug)]
pub struct Layout {
    /// Its name, which is a part of what a unique id is derived from.
    pub name: &'static str,
    /// Of every image; inline data and dir_nlink come on top where an image needs them.
    pub features: Features,
    pub uuid: [u8; 16],
    pub checksums: Checksums,
    /// Size of the fields after the first 128 bytes of an inode that are in use, in bytes.
    pub extra_isize: u16,
    /// Size of a group descriptor in bytes.
    pub descriptor_len: usize,
    /// s_log_groups_per_flex
    pub log_groups_per_flex: u8,
    pub reserved_descriptors: ReservedDescriptors,
    pub backups: Backups,
    pub tables: Tables,
    pub group_choice: GroupChoice,
    pub unused_inode_bits: UnusedInodeBits,
    pub block_unit: BlockUnit,
    pub directories: DirectoryForm,
    pub xattr_placing: XattrPlacing,
    /// Largest regular file in bytes.
    pub max_file_size: u64,
    /// Largest regular file that goes into its inode, if that is asked for, in bytes.
    pub max_inline_size: u64,
    /// Longest symlink target in the inode, in bytes.
    pub max_short_target_len: usize,
    /// Most links of an inode.
    pub max_links: u32,
    /// What an inode says of a directory with more links (B23).
    pub links_beyond: LinksBeyond,
}

/// How many blocks after the superblock are kept for group descriptors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReservedDescriptors {
    /// Those of a disk of the maximum size; what is not used is free.
    ForMaximumSize,
}

/// Copies of superblock and descriptors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backups {
    None,
}

/// Where inode tables and bitmaps are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tables {
    /// After the data: the tables of all groups, then for each group its two bitmaps.
    AfterData,
}

/// How many groups there are, and inodes in each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupChoice {
    /// The fewest groups that will do, and of those the fewest inodes.
    Fewest,
}

/// Bits of an inode bitmap after the last inode of the group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnusedInodeBits {
    /// 0, where e2fsck wants 1 (B0).
    Clear,
}

/// What i_blocks counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockUnit {
    /// Blocks of the file system, by the flag huge_file of each inode.
    Blocks,
}

/// How directories are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DirectoryForm {
    /// Linear; each block ends with an empty entry that takes the rest, of 12 bytes at least.
    ClosedByEmptyEntries,
}

/// Where the xattrs of an inode go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum XattrPlacing {
    /// In the order of their full names into the inode while there is room, else into one block.
    FirstFit,
}

/// A directory that has more links than an inode can count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinksBeyond {
    /// It has 1, and the image the feature dir_nlink.
    One,
}

impl Layout {
    /// All layouts.
    pub const ALL: &[&Self] = &[&Self::HCSSHIM];
}

impl Default for Layout {
    fn default() -> Self {
        Self::HCSSHIM
    }
}
