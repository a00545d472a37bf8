//! The ext4 image, from first to last block:
//!
//! ```text
//! 0            superblock at byte 1024
//! 1..G         group descriptors, room for those of a disk of the maximum size
//! ..           for each entry in tar order: its xattr block, its data, the index of its extents
//! ..           directories, depth first
//! T            inode tables of all groups
//! M            per group: block bitmap, inode bitmap
//! ..N          zeros up to the first block of the last group, where that is later
//! ```
//!
//! [`storage`] writes what comes with entries and [`finish`] the rest, told how by [`layout`], in the structures of
//! [`format`]; what is only there to reproduce hcsshim is in [`hcsshim`].

pub mod finish;
pub mod format;
pub mod hcsshim;
pub mod layout;
pub mod storage;
