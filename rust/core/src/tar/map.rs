//! The map of a sparse file, in the forms in which archives have it outside of records: old GNU's blocks, and lines
//! at the start of the data.

use super::block::{BLOCK_LEN, Block, Format, HeaderBlock, SparseBlock, SparseField, decimal, number};
use super::header::Header;
use crate::error::{Error, Result, quote};

/// Blocks of an old GNU map after the header, and bytes of a map in the data. Source: Go, archive/tar.
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

/// The map in an old GNU header (type `S`) and the blocks after it. The header's size becomes the real one.
pub fn old_gnu(
    header: &mut Header,
    block: &Block,
    mut next_block: impl FnMut() -> Result<Block>,
) -> Result<Map> {
    if header.format != Format::Gnu {
        return Err(Error::invalid_tar("a sparse file of type \"S\" needs a header in GNU format"));
    }
    let gnu = HeaderBlock::of(block).gnu();
    header.size = number(&gnu.real_size, "realsize")?;
    let mut map = Map::new();
    add_fields(&mut map, &gnu.sparse)?;
    let mut more = gnu.is_extended != 0;
    let mut extensions = 0;
    while more {
        extensions += 1;
        if extensions > MAX_EXTENSIONS {
            return Err(Error::invalid_tar(format!("the sparse map has more than {MAX_EXTENSIONS} blocks")));
        }
        let block = next_block()?;
        let block = SparseBlock::of(&block);
        add_fields(&mut map, &block.sparse)?;
        more = block.is_extended != 0;
    }
    Ok(map)
}

fn add_fields(map: &mut Map, fields: &[SparseField]) -> Result<()> {
    for field in fields {
        if field.offset.first() == Some(&0) {
            break;
        }
        let offset = number(&field.offset, "sparse offset")?;
        map.push(Fragment { offset, length: number(&field.length, "sparse length")? });
    }
    Ok(())
}

/// The map at the start of the data (PAX sparse format 1.0): a count and that many pairs, a line each number.
pub fn in_data(mut next_block: impl FnMut() -> Result<Block>) -> Result<Map> {
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
        let mut searched = 0; // of what is not taken yet
        loop {
            let rest = self.bytes.get(self.taken..).unwrap_or_default();
            let found = rest.get(searched..).unwrap_or_default().iter().position(|&b| b == b'\n');
            if let Some(end) = found.map(|end| searched + end) {
                let line = rest.get(..end).unwrap_or_default();
                let value = decimal(line).ok_or_else(|| {
                    Error::invalid_tar(format!("the sparse map has {} for a number", quote(line)))
                });
                self.taken += end + 1;
                return value;
            }
            searched = rest.len();
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
