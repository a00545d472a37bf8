//! The museum: what is only there to reproduce hcsshim, a file for each kind of fault.

pub mod extents;
pub mod geometry;
pub mod times;
pub mod xattr_order;
pub mod xattrs;
