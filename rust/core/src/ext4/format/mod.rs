//! The structures on disk, a file each: typed fields, read and written by one definition. They know no work and no
//! tree; what differs between layouts they are told by a [`Layout`](crate::ext4::layout::Layout).

pub mod acl;
pub mod bitmap;
pub mod capability;
pub mod checksum;
pub mod directory;
pub mod extent;
pub mod features;
pub mod group_descriptor;
pub mod inode;
pub mod superblock;
pub mod timestamp;
pub mod xattr;
