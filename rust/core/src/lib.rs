//! Container image layers as ext4 disks: tar in, ext4 (and a VHD footer) out. Knows nothing of Python.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

pub mod container;
pub mod convert;
pub mod error;
pub mod ext4;
pub mod faults;
pub mod layer;
pub mod options;
pub mod pipeline;
pub mod sink;
pub mod stream;
pub mod tar;
pub mod tree;
pub mod units;
pub mod verity;
