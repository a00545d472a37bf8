//! Data blocks out of writes by position: each is hashed as it passes, and again if it is written again.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::{Error, ErrorKind, Result};
use crate::sink::Sink;
use crate::verity::tree::{Root, Tree};

pub struct Leaves {
    tree: Tree,
    block_len: usize,
    digests: Vec<u8>,
    /// Blocks of which parts were written: the latest, and those that may change.
    open: BTreeMap<u64, Vec<u8>>,
    may_change: BTreeSet<u64>,
    /// Blocks below this one were hashed if they are not open.
    closed: u64,
    /// Ranges (offset, length) of which it was said that they may change since the last write.
    expected: Vec<(u64, u64)>,
}

impl Leaves {
    pub fn new(tree: Tree) -> Self {
        let block_len = tree.parameters().data_block_len();
        Self {
            tree,
            block_len,
            digests: Vec::new(),
            open: BTreeMap::new(),
            may_change: BTreeSet::new(),
            closed: 0,
            expected: Vec::new(),
        }
    }

    /// Says that a range will be written, or may be written again, after what follows it.
    pub fn may_change(&mut self, offset: u64, length: u64) {
        self.expected.push((offset, length));
    }

    fn expect_changes(&mut self) -> Result<()> {
        let block_len = self.block_len as u64;
        for (offset, length) in std::mem::take(&mut self.expected) {
            for block in offset / block_len..(offset + length).div_ceil(block_len) {
                self.may_change.insert(block);
                self.tree.pin(block)?;
            }
        }
        Ok(())
    }

    /// Takes note of bytes that are written.
    pub fn written(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        if !self.expected.is_empty() {
            self.expect_changes()?;
        }
        let block_len = self.block_len as u64;
        let into = (offset % block_len) as usize;
        let head = if into == 0 { 0 } else { (self.block_len - into).min(bytes.len()) };
        let (head, rest) = bytes.split_at_checked(head).unwrap_or((bytes, b""));
        let (whole, tail) =
            rest.split_at_checked(rest.len() - rest.len() % self.block_len).unwrap_or_default();
        let first = (offset + head.len() as u64) / block_len;
        if !head.is_empty() {
            self.part(offset / block_len, into, head)?;
        }
        if !whole.is_empty() {
            self.whole(first, whole)?;
        }
        if !tail.is_empty() {
            self.part(first + (whole.len() / self.block_len) as u64, 0, tail)?;
        }
        Ok(())
    }

    fn whole(&mut self, first: u64, blocks: &[u8]) -> Result<()> {
        let end = first + (blocks.len() / self.block_len) as u64;
        self.open.retain(|block, _| !(first..end).contains(block));
        if self.block_len > crate::units::BLOCK_LEN {
            // The rest of these blocks may be needed when a part of them is written again.
            for (block, bytes) in (first..end).zip(blocks.chunks(self.block_len)) {
                if self.may_change.contains(&block) {
                    self.open.insert(block, bytes.to_vec());
                }
            }
        }
        self.digests.clear();
        self.tree.hasher().many(blocks, self.block_len, self.tree.zero(), &mut self.digests);
        self.tree.put(first, &self.digests)?;
        self.closed = self.closed.max(end);
        Ok(())
    }

    fn part(&mut self, block: u64, at: usize, bytes: &[u8]) -> Result<()> {
        if block < self.closed && !self.open.contains_key(&block) && !self.may_change.contains(&block) {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                format!("dm-verity: a part of data block {block} changed after it was hashed"),
            ));
        }
        // A part of a later block: those before it are complete, unless they may change.
        let complete: Vec<u64> = self
            .open
            .keys()
            .copied()
            .filter(|open| *open < block && !self.may_change.contains(open))
            .collect();
        for block in complete {
            self.close(block)?;
        }
        let block_len = self.block_len;
        let buffer = self.open.entry(block).or_insert_with(|| vec![0; block_len]);
        if let Some(place) = buffer.get_mut(at..at + bytes.len()) {
            place.copy_from_slice(bytes);
        }
        Ok(())
    }

    fn close(&mut self, block: u64) -> Result<()> {
        if let Some(bytes) = self.open.remove(&block) {
            self.tree.put(block, &self.tree.hasher().one(&bytes))?;
            self.closed = self.closed.max(block + 1);
        }
        Ok(())
    }

    /// Ends the data, whose last block is filled up with zeros.
    pub fn finish(&mut self, length: u64) -> Result<Root> {
        let data_blocks = length.div_ceil(self.block_len as u64);
        if data_blocks == 0 {
            return Err(Error::invalid_argument("there is no data: dm-verity needs at least one block"));
        }
        self.expect_changes()?;
        for block in self.open.keys().copied().collect::<Vec<_>>() {
            self.close(block)?;
        }
        self.tree.finish(data_blocks)
    }

    /// Writes the tree of what was finished.
    pub fn write_tree(&mut self, root: &Root, sink: &mut dyn Sink, offset: u64) -> Result<()> {
        self.tree.write(root.data_blocks, sink, offset)
    }
}

/// A sink that has what it passes on hashed, if anybody wants that.
pub struct Hashing<'l, K> {
    pub sink: K,
    pub leaves: Option<&'l mut Leaves>,
}

impl<K: Sink> Sink for Hashing<'_, K> {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        if let Some(leaves) = &mut self.leaves {
            leaves.written(offset, bytes)?;
        }
        self.sink.write_at(offset, bytes)
    }

    fn write_buffer(&mut self, offset: u64, blocks: Vec<u8>) -> Result<Vec<u8>> {
        if let Some(leaves) = &mut self.leaves {
            leaves.written(offset, &blocks)?;
        }
        self.sink.write_buffer(offset, blocks)
    }

    fn may_change(&mut self, offset: u64, length: u64) {
        if let Some(leaves) = &mut self.leaves {
            leaves.may_change(offset, length);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Leaves;
    use crate::verity::Parameters;
    use crate::verity::tree::Tree;

    fn leaves(data_block: u64) -> Leaves {
        Leaves::new(Tree::new(&Parameters::new("sha256", data_block, 512, &[1]).unwrap(), None))
    }

    /// What is written in order and in one piece, against pieces, holes, a late start and changes.
    #[test]
    fn the_order_of_writes_does_not_matter() {
        let mut image = vec![0u8; 64 * 4096];
        for (at, byte) in image.iter_mut().enumerate() {
            *byte = if (4096 * 20..4096 * 40).contains(&at) { 0 } else { (at % 251) as u8 };
        }
        for data_block in [512, 4096, 8192, 65_536, 524_288] {
            let mut simple = leaves(data_block);
            simple.written(0, &image).unwrap();
            let expected = simple.finish(image.len() as u64).unwrap();
            let mut found = leaves(data_block);
            found.may_change(0, 3 * 4096);
            found.may_change(5 * 4096, 4096);
            found.written(3 * 4096, &image[3 * 4096..5 * 4096]).unwrap();
            found.written(5 * 4096, &[9; 4096]).unwrap();
            found.written(6 * 4096, &image[6 * 4096..20 * 4096]).unwrap();
            for block in 40..64 {
                found.written(block * 4096, &image[block as usize * 4096..][..4096]).unwrap();
            }
            found.written(5 * 4096, &image[5 * 4096..6 * 4096]).unwrap();
            found.written(4096, &image[4096..3 * 4096]).unwrap();
            found.written(0, &image[..4096]).unwrap();
            assert_eq!(found.finish(image.len() as u64).unwrap(), expected, "{data_block}");
        }
    }

    #[test]
    fn a_part_that_changes_unexpectedly_is_an_error() {
        let mut found = leaves(65_536);
        found.written(0, &[1; 4 * 65_536]).unwrap();
        assert!(found.written(4096, &[2; 4096]).is_err());
    }

    #[test]
    fn no_data_is_refused() {
        assert!(leaves(4096).finish(0).unwrap_err().message.contains("at least one block"));
    }
}
