//! Sparse files: a map says where the stored fragments belong; the rest is holes.

use super::BLOCK_LEN;
use super::header::{Block, Format, Header, field, number};
use super::pax::decimal;
use crate::error::{Error, Result, quote};

/// Blocks of an old GNU map behind the header, and bytes of a map in the data. Source: Go, archive/tar.
const MAX_EXTENSIONS: usize = 2047;
const MAX_MAP_LEN: usize = 1 << 20;
const MAX_FRAGMENTS: i64 = 1 << 62;

/// A stretch of stored data and where it belongs, in bytes; checked by `Sparse::new`.
#[derive(Clone, Copy, Debug)]
pub struct Fragment {
    pub offset: i64,
    pub length: i64,
}

pub type Map = Vec<Fragment>;

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

/// The map in an old GNU header (type `S`) and the blocks behind it.
pub fn old_gnu_map(
    header: &mut Header,
    block: &Block,
    mut next_block: impl FnMut() -> Result<Block>,
) -> Result<Map> {
    if header.format != Format::Gnu {
        return Err(Error::invalid_tar("a sparse file of type \"S\" needs a header in GNU format"));
    }
    header.size = number(block, 483, 12, "realsize")?;
    let mut map = Map::new();
    old_gnu_fragments(&mut map, block, 386, 4)?;
    let mut more = field(block, 482, 1) != [0];
    let mut extensions = 0;
    while more {
        extensions += 1;
        if extensions > MAX_EXTENSIONS {
            return Err(Error::invalid_tar(format!("the sparse map has more than {MAX_EXTENSIONS} blocks")));
        }
        let block = next_block()?;
        old_gnu_fragments(&mut map, &block, 0, 21)?;
        more = field(&block, 504, 1) != [0];
    }
    Ok(map)
}

fn old_gnu_fragments(map: &mut Map, block: &Block, at: usize, count: usize) -> Result<()> {
    for at in (at..).step_by(24).take(count) {
        if field(block, at, 1) == [0] {
            break;
        }
        let offset = number(block, at, 12, "sparse offset")?;
        map.push(Fragment { offset, length: number(block, at + 12, 12, "sparse length")? });
    }
    Ok(())
}

/// The map at the start of the data (PAX sparse format 1.0): a count and that many pairs, a line each number.
pub fn map_in_data(mut next_block: impl FnMut() -> Result<Block>) -> Result<Map> {
    let mut lines = Lines { bytes: Vec::new(), taken: 0, read: 0 };
    let count = lines.number(&mut next_block)?;
    if !(0..MAX_FRAGMENTS).contains(&count) {
        return Err(Error::invalid_tar(format!(
            "the sparse map's count is {count}, not from 0 to {}",
            MAX_FRAGMENTS - 1
        )));
    }
    let mut map = Map::new();
    for _ in 0..count {
        let offset = lines.number(&mut next_block)?;
        map.push(Fragment { offset, length: lines.number(&mut next_block)? });
    }
    Ok(map)
}

struct Lines {
    bytes: Vec<u8>,
    taken: usize,
    read: usize,
}

impl Lines {
    fn number(&mut self, next_block: &mut impl FnMut() -> Result<Block>) -> Result<i64> {
        loop {
            let rest = self.bytes.get(self.taken..).unwrap_or_default();
            if let Some(end) = rest.iter().position(|&b| b == b'\n') {
                let line = rest.get(..end).unwrap_or_default();
                let value = decimal(line).ok_or_else(|| {
                    Error::invalid_tar(format!("the sparse map has {} for a number", quote(line)))
                });
                self.taken += end + 1;
                return value;
            }
            self.read += BLOCK_LEN;
            if self.read > MAX_MAP_LEN {
                return Err(Error::invalid_tar(format!("the sparse map has more than {MAX_MAP_LEN} bytes")));
            }
            let block = next_block()?;
            self.bytes.drain(..self.taken);
            self.taken = 0;
            self.bytes.extend_from_slice(&block);
        }
    }
}

fn bad_fragment(offset: i64, length: i64, size: i64) -> Error {
    Error::invalid_tar(format!(
        "the sparse map has {length} bytes at byte {offset}: out of order, or outside of the file's {size} bytes"
    ))
}
