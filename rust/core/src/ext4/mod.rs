//! The ext4 image, from first to last block:
//!
//! ```text
//! 0            superblock at byte 1024
//! 1..G         group descriptors, room for those of a disk of the maximum size
//! ..           for each entry in tar order: its xattr block, its data, the index of its extents
//! ..           directories, depth first
//! T            inode tables of all groups
//! M            per group: block bitmap, inode bitmap
//! ..N          zeros up to the first block of the last group, where that lies behind
//! ```
//!
//! Features: ext_attr, sparse_super2 | filetype, extents, flex_bg, [inline_data] | large_file, huge_file,
//! extra_isize, read-only, [dir_nlink]. No journal, no checksums, no UUID, no times.

pub mod acl;
pub mod bitmap;
pub mod close;
pub mod directory;
pub mod extent;
pub mod group_descriptor;
pub mod inode;
pub mod layout;
mod place;
pub mod superblock;
pub mod timestamp;
pub mod tree;
pub mod writer;
pub mod xattr;
pub mod xattr_order;
