//! Sparse files: a map says where the stored fragments belong; the rest is holes.

use super::header::Header;
use super::map::{Fragment, Map};
use crate::error::{Error, Result};

/// What comes next in a sparse file.
pub enum Piece {
    Hole(u64),
    /// At most so many bytes from the stored data.
    Fragment(u64),
}

/// The position in a sparse file.
pub struct Sparse {
    fragments: std::vec::IntoIter<(u64, u64)>,
    /// Offset and length of what is left of the fragment that is next.
    current: Option<(u64, u64)>,
    position: u64,
    size: u64,
}

impl Sparse {
    pub fn new(map: Map, header: &Header) -> Result<Self> {
        if header.is_header_only() {
            return Err(Error::invalid_tar("an entry without data has a sparse map"));
        }
        let size = u64::try_from(header.size).map_err(|_| {
            Error::invalid_tar(format!("the sparse file's size is {}, less than 0", header.size))
        })?;
        let mut end = 0;
        let mut fragments = Vec::with_capacity(map.len());
        for Fragment { offset, length } in map {
            let (Ok(start), Ok(bytes)) = (u64::try_from(offset), u64::try_from(length)) else {
                return Err(bad_fragment(offset, length, header.size));
            };
            if start < end || start + bytes > size {
                return Err(bad_fragment(offset, length, header.size));
            }
            end = start + bytes;
            if bytes > 0 {
                fragments.push((start, bytes));
            }
        }
        let mut fragments = fragments.into_iter();
        Ok(Self { current: fragments.next(), fragments, position: 0, size })
    }

    /// The next piece, given how much stored data is left.
    pub fn next(&mut self, stored: u64) -> Result<Option<Piece>> {
        let (offset, length) = self.current.unwrap_or((self.size, 0));
        if self.position < offset {
            let hole = offset - self.position;
            self.position = offset;
            return Ok(Some(Piece::Hole(hole)));
        }
        match (length, stored) {
            (0, 0) => Ok(None),
            (0, _) => Err(Error::invalid_tar(format!(
                "the sparse file has {stored} bytes of data that its map does not name"
            ))),
            (_, 0) => Err(Error::invalid_tar(format!(
                "the sparse file's map names data that is not there, at byte {offset}"
            ))),
            _ => Ok(Some(Piece::Fragment(length))),
        }
    }

    /// So many bytes of the fragment were taken.
    pub fn advance(&mut self, taken: u64) {
        self.position += taken;
        self.current = match self.current {
            Some((offset, length)) if length > taken => Some((offset + taken, length - taken)),
            _ => self.fragments.next(),
        };
    }
}

fn bad_fragment(offset: i64, length: i64, size: i64) -> Error {
    Error::invalid_tar(format!(
        "the sparse map has {length} bytes at byte {offset}: out of order, or outside of the file's {size} bytes"
    ))
}
