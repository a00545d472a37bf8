//! Container image layers as ext4 disks: a layer tar goes in as a stream, an ext4 image comes out, in a container if one
//! is asked for. Knows nothing of Python.
//!
//! ```text
//!  bytes of a tar ──> tar ──> layer ──> tree ────────────┐
//!                  entries   meaning   inodes and names  v
//!                              │                     ext4::finish ──> container ──> sink
//!                              └──> ext4::storage ───────^
//!                                   data as it comes
//! ```
//!
//! [`convert::convert`] is the table of contents. How an image is laid out is one value, [`ext4::layout::Layout`]; where
//! hcsshim, whose bytes the default layout reproduces, is known to err is a row of one table, [`faults::FAULTS`].
//!
//! # Example
//!
//! ```
//! use layerdisk_core::convert::convert;
//! use layerdisk_core::error::Result;
//! use layerdisk_core::options::Options;
//! use layerdisk_core::pipeline::Source;
//!
//! /// A tar in memory.
//! struct Bytes<'t>(&'t [u8]);
//!
//! impl<'t> Source for Bytes<'t> {
//!     type Chunk = &'t [u8];
//!
//!     fn read(&mut self, _spare: Option<&'t [u8]>) -> Result<Option<&'t [u8]>> {
//!         Ok(Some(std::mem::take(&mut self.0)).filter(|bytes| !bytes.is_empty()))
//!     }
//!
//!     fn poll(&mut self) -> Result<()> {
//!         Ok(()) // here a signal could end the conversion
//!     }
//! }
//!
//! let empty_layer = [0; 1024]; // a tar's end marker, and nothing before it
//! let summary = convert(&mut Bytes(&empty_layer), Vec::new(), &Options::default())?;
//! assert_eq!(summary.directories, 2); // the root and lost+found
//! assert!(summary.findings.is_empty());
//! # Ok::<(), layerdisk_core::error::Error>(())
//! ```
//!
//! # Errors
//!
//! An [`error::Error`] says of what class it is, which entry at which byte of the tar it has to do with, what was found
//! and what is allowed. A refusal that belongs to a known fault has its code. Errors of sources and sinks come back as
//! they are. After an error the sink holds part of an image, or nothing.
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
