//! The tree of hashes while it grows, in little memory whatever the length of the data.
//!
//! Hash blocks that nothing was put into are those of zeros, and are not stored. Of the others, those of each level
//! that were not touched for longest are folded into their parent once there are many: their digest is all
//! that stays in memory, and their bytes go to a spill where the tree itself is wanted. A digest that comes late to a
//! folded block brings it back from the spill. Without one, blocks whose leaves may change are pinned.

use std::collections::BTreeMap;

use crate::error::{Error, ErrorKind, Result};
use crate::sink::Sink;
use crate::verity::Parameters;
use crate::verity::hasher::Hasher;

/// Bytes of hash blocks that each level keeps in memory: the leaves of 1 GiB in blocks of 4096 and sha256.
const RESIDENT_LEN: usize = 8 << 20;
/// The finished tree is written in pieces of about this many bytes.
const PIECE_LEN: usize = 256 << 10;
/// More than there can be: 2^64 bytes in the smallest blocks.
const MAX_DATA_BLOCKS: u64 = 1 << 55;

/// A place for hash blocks that do not stay in memory; what was never written reads as zeros.
pub trait Spill: Send {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> Result<()>;
    fn read_at(&mut self, offset: u64, bytes: &mut [u8]) -> Result<()>;
}

/// The root, and how much lies under it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root {
    pub hash: Vec<u8>,
    pub data_blocks: u64,
    pub tree_size: u64,
}

pub struct Tree {
    parameters: Parameters,
    hasher: Hasher,
    resident_blocks: usize,
    levels: Vec<Level>,
    spill: Option<Box<dyn Spill>>,
}

#[derive(Default)]
struct Level {
    /// The digest of a block of zeros, or of a hash block full of such digests, below.
    zero: Vec<u8>,
    /// The hash block that is full of it.
    zeros: Vec<u8>,
    resident: BTreeMap<u64, Vec<u8>>,
    /// Blocks that stay in memory, as leaves of theirs may change.
    pinned: BTreeMap<u64, Vec<u8>>,
    /// Blocks below this one were folded if they are neither resident nor pinned.
    folded: u64,
}

impl Tree {
    pub fn new(parameters: &Parameters, spill: Option<Box<dyn Spill>>) -> Self {
        let hasher = Hasher::new(parameters);
        let mut zero = hasher.one(&vec![0; parameters.data_block_len()]);
        let mut levels = Vec::new();
        let mut covered = 1u64;
        while covered < MAX_DATA_BLOCKS {
            let zeros = zero.repeat(parameters.per_hash_block() as usize);
            let above = hasher.one(&zeros);
            levels.push(Level { zero, zeros, ..Level::default() });
            zero = above;
            covered = covered.saturating_mul(parameters.per_hash_block());
        }
        let resident_blocks = RESIDENT_LEN / parameters.hash_block_len();
        Self { parameters: parameters.clone(), hasher, resident_blocks, levels, spill }
    }

    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    pub fn hasher(&self) -> &Hasher {
        &self.hasher
    }

    /// The digest of a data block of zeros.
    pub fn zero(&self) -> &[u8] {
        self.levels.first().map_or(&[], |level| level.zero.as_slice())
    }

    /// Says that the digest of a data block may be put in again at any time.
    pub fn pin(&mut self, leaf: u64) -> Result<()> {
        let mut index = leaf;
        for level in 0..self.levels.len() {
            index /= self.parameters.per_hash_block();
            self.block(level, index)?;
            if let Some(level) = self.levels.get_mut(level)
                && let Some(block) = level.resident.remove(&index)
            {
                level.pinned.insert(index, block);
            }
        }
        Ok(())
    }

    /// Puts digests of data blocks in, from a block on.
    pub fn put(&mut self, first: u64, digests: &[u8]) -> Result<()> {
        self.put_into(0, first, digests)?;
        self.fold_some(0)
    }

    fn put_into(&mut self, level: usize, first: u64, digests: &[u8]) -> Result<()> {
        let (len, per_block) = (self.hasher.digest_len(), self.parameters.per_hash_block());
        let (mut at, mut rest) = (first, digests);
        while !rest.is_empty() {
            let slot = (at % per_block) as usize * len;
            let room = self.parameters.hash_block_len() - slot;
            let (head, tail) = rest.split_at_checked(room).unwrap_or((rest, b""));
            let block = self.block(level, at / per_block)?;
            if let Some(place) = block.get_mut(slot..slot + head.len()) {
                place.copy_from_slice(head);
            }
            at += (head.len() / len) as u64;
            rest = tail;
        }
        Ok(())
    }

    /// A block in memory, to be changed.
    fn block(&mut self, level: usize, index: u64) -> Result<&mut Vec<u8>> {
        let address = self.address(level, index);
        let Self { levels, spill, .. } = self;
        let Some(level) = levels.get_mut(level) else { return Err(no_level()) };
        let Level { zeros, resident, pinned, folded, .. } = level;
        if let Some(block) = pinned.get_mut(&index) {
            return Ok(block);
        }
        if index < *folded && !resident.contains_key(&index) {
            let spill = spill.as_mut().ok_or_else(changed_late)?;
            resident.insert(index, unspilled(spill.as_mut(), address, zeros)?);
        }
        Ok(resident.entry(index).or_insert_with(|| zeros.clone()))
    }

    /// Folds half of a level's blocks once there are too many, and so on up.
    fn fold_some(&mut self, level: usize) -> Result<()> {
        let per_block = self.parameters.per_hash_block();
        let below = level.checked_sub(1).and_then(|below| self.levels.get(below)).map(|below| below.folded);
        let Some(this) = self.levels.get_mut(level) else { return Ok(()) };
        let count = this.resident.len();
        if count <= self.resident_blocks {
            return Ok(());
        }
        let mut folding = Vec::new();
        // The last one is being filled, and a block whose children are not folded yet will change.
        let most = count.min(count / 2 + 1);
        for &index in this.resident.keys().take(most) {
            if below.is_none_or(|folded| (index + 1) * per_block <= folded) {
                folding.push(index);
            }
        }
        for index in folding {
            self.fold(level, index)?;
        }
        self.fold_some(level + 1)
    }

    fn fold(&mut self, level: usize, index: u64) -> Result<()> {
        let address = self.address(level, index);
        let Some(this) = self.levels.get_mut(level) else { return Ok(()) };
        let Some(block) = this.resident.remove(&index) else { return Ok(()) };
        this.folded = this.folded.max(index + 1);
        if let Some(spill) = &mut self.spill {
            spill.write_at(address, &block)?;
        }
        let digest = self.digest(level, &block);
        self.put_into(level + 1, index, &digest)
    }

    fn digest(&self, level: usize, block: &[u8]) -> Vec<u8> {
        let above = self.levels.get(level + 1);
        match (self.levels.get(level), above) {
            (Some(this), Some(above)) if this.zeros == block => above.zero.clone(),
            _ => self.hasher.one(block),
        }
    }

    /// Where a hash block is in the spill: blocks in the order in which they are complete, those below first.
    fn address(&self, level: usize, index: u64) -> u64 {
        let per_block = self.parameters.per_hash_block();
        let mut before = 0u64;
        let mut below = index + 1;
        for _ in 0..level {
            below = below.saturating_mul(per_block);
            before = before.saturating_add(below);
        }
        let mut above = index;
        while above > 0 {
            before = before.saturating_add(above);
            above /= per_block;
        }
        before.saturating_mul(u64::from(self.parameters.hash_block_size))
    }

    /// Ends the tree over this many data blocks, one at least.
    pub fn finish(&mut self, data_blocks: u64) -> Result<Root> {
        let counts = self.parameters.level_blocks(data_blocks);
        let mut below = data_blocks;
        for (level, &count) in counts.iter().enumerate() {
            self.end_level(level, below, count)?;
            below = count;
        }
        let tree_size = self.parameters.tree_size(data_blocks);
        let top = counts.len().checked_sub(1);
        let hash = match top {
            Some(top) => {
                let block = self.block(top, 0)?.clone();
                self.hasher.one(&block)
            }
            None => {
                let len = self.hasher.digest_len();
                self.block(0, 0)?.get(..len).unwrap_or_default().to_vec()
            }
        };
        Ok(Root { hash, data_blocks, tree_size })
    }

    /// Pads the last block of a level with zeros, and puts the digests of all that are in memory into the next one.
    fn end_level(&mut self, level: usize, below: u64, count: u64) -> Result<()> {
        let used =
            (below - (count - 1) * self.parameters.per_hash_block()) as usize * self.hasher.digest_len();
        if let Some(padding) = self.block(level, count - 1)?.get_mut(used..) {
            padding.fill(0);
        }
        if count == 1 {
            return Ok(());
        }
        let Some(this) = self.levels.get_mut(level) else { return Err(no_level()) };
        let mut blocks = std::mem::take(&mut this.resident);
        blocks.append(&mut std::mem::take(&mut this.pinned));
        for (&index, block) in &blocks {
            let digest = self.digest(level, block);
            self.put_into(level + 1, index, &digest)?;
        }
        if let Some(this) = self.levels.get_mut(level) {
            this.resident = blocks;
        }
        Ok(())
    }

    /// Writes a finished tree, top first.
    pub fn write(&mut self, data_blocks: u64, sink: &mut dyn Sink, offset: u64) -> Result<()> {
        let mut at = offset;
        let mut piece = Vec::with_capacity(PIECE_LEN);
        for (level, count) in self.parameters.level_blocks(data_blocks).into_iter().enumerate().rev() {
            for index in 0..count {
                self.append_block(level, index, &mut piece)?;
                if piece.len() >= PIECE_LEN {
                    sink.write_at(at, &piece)?;
                    at += piece.len() as u64;
                    piece.clear();
                }
            }
        }
        if piece.is_empty() { Ok(()) } else { sink.write_at(at, &piece) }
    }

    fn append_block(&mut self, level: usize, index: u64, to: &mut Vec<u8>) -> Result<()> {
        let address = self.address(level, index);
        let Self { levels, spill, .. } = self;
        let Some(level) = levels.get(level) else { return Err(no_level()) };
        match (level.resident.get(&index).or_else(|| level.pinned.get(&index)), spill) {
            (Some(block), _) => to.extend_from_slice(block),
            (None, Some(spill)) if index < level.folded => {
                to.extend_from_slice(&unspilled(spill.as_mut(), address, &level.zeros)?);
            }
            _ => to.extend_from_slice(&level.zeros),
        }
        Ok(())
    }
}

/// A folded block; one that was never written is of zeros only, which no block of digests is.
fn unspilled(spill: &mut dyn Spill, address: u64, zeros: &[u8]) -> Result<Vec<u8>> {
    let mut block = vec![0; zeros.len()];
    spill.read_at(address, &mut block)?;
    Ok(if crate::sink::is_zero(&block) { zeros.to_vec() } else { block })
}

fn changed_late() -> Error {
    Error::new(ErrorKind::InvalidArgument, "dm-verity: a block changed after its digest was given away")
}

fn no_level() -> Error {
    Error::new(ErrorKind::InvalidArgument, "dm-verity: there is no such level")
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use sha2::{Digest, Sha256};

    use super::{Spill, Tree};
    use crate::error::Result;
    use crate::verity::Parameters;

    #[derive(Clone, Default)]
    struct Memory(Arc<Mutex<Vec<u8>>>);

    impl Spill for Memory {
        fn write_at(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
            let mut all = self.0.lock().unwrap();
            let (start, end) = (offset as usize, offset as usize + bytes.len());
            let len = all.len().max(end);
            all.resize(len, 0);
            all[start..end].copy_from_slice(bytes);
            Ok(())
        }

        fn read_at(&mut self, offset: u64, bytes: &mut [u8]) -> Result<()> {
            let all = self.0.lock().unwrap();
            for (at, byte) in bytes.iter_mut().enumerate() {
                *byte = all.get(offset as usize + at).copied().unwrap_or(0);
            }
            Ok(())
        }
    }

    fn parameters() -> Parameters {
        Parameters::new("sha256", 512, 512, &[5; 3]).unwrap() // 16 digests to a hash block: many levels of little
    }

    fn hash(block: &[u8]) -> Vec<u8> {
        Sha256::new().chain_update([5; 3]).chain_update(block).finalize().to_vec()
    }

    fn leaf(number: u64) -> Vec<u8> {
        if number.is_multiple_of(5) || (300..900).contains(&number) {
            hash(&[0; 512])
        } else {
            hash(&number.to_le_bytes())
        }
    }

    /// The same without any of this module's cleverness.
    fn simple(leaves: Vec<Vec<u8>>) -> (Vec<u8>, Vec<u8>) {
        let (mut tree, mut level) = (Vec::new(), leaves);
        while level.len() > 1 {
            let mut bytes = level.concat();
            bytes.resize(bytes.len().next_multiple_of(512), 0);
            level = bytes.chunks(512).map(hash).collect();
            tree.splice(0..0, bytes);
        }
        (level.concat(), tree)
    }

    fn grown(count: u64, resident: usize, spill: Option<Box<dyn Spill>>, late: &[u64]) -> Tree {
        let mut tree = Tree::new(&parameters(), spill);
        tree.resident_blocks = resident;
        for &number in late {
            tree.pin(number).unwrap();
        }
        for number in (0..count).filter(|number| !late.contains(number)) {
            if !(300..900).contains(&number) {
                tree.put(number, &leaf(number)).unwrap();
            }
        }
        for &number in late {
            tree.put(number, &leaf(number)).unwrap();
        }
        tree
    }

    #[test]
    fn roots_and_trees_are_those_of_the_definition() {
        for count in [1, 2, 15, 16, 17, 255, 256, 257, 4095, 4096, 4097, 10_000] {
            let (root, expected) = simple((0..count).map(leaf).collect());
            let late: Vec<u64> = [0, 1, 40, 299, 4000].into_iter().filter(|&at| at < count).collect();
            for (resident, spills) in [(1 << 20, false), (2, true), (7, true), (3, false)] {
                let spill = spills.then(|| Box::new(Memory::default()) as Box<dyn Spill>);
                let mut tree = grown(count, resident, spill, &late);
                let found = tree.finish(count).unwrap();
                assert_eq!(found.hash, root, "{count} {resident}");
                assert_eq!(found.tree_size, expected.len() as u64);
                if spills || resident > 100 {
                    let mut written = Vec::new();
                    tree.write(count, &mut written, 0).unwrap();
                    assert!(written == expected, "{count} {resident}");
                }
            }
        }
    }

    #[test]
    fn a_change_after_folding_needs_the_spill() {
        let (root, _) = simple((0..5000).map(leaf).collect());
        let mut tree = grown(5000, 2, Some(Box::new(Memory::default())), &[]);
        tree.put(7, &leaf(8)).unwrap();
        tree.put(7, &leaf(7)).unwrap();
        assert_eq!(tree.finish(5000).unwrap().hash, root);
        let mut tree = grown(5000, 2, None, &[]);
        assert!(tree.put(7, &leaf(7)).is_err());
    }

    #[test]
    fn addresses_are_all_different_and_without_gaps() {
        let tree = Tree::new(&parameters(), None);
        let mut found: Vec<u64> = (0..3)
            .flat_map(|level| (0..16u64.pow(2 - level)).map(move |index| (level as usize, index)))
            .map(|(level, index)| tree.address(level, index) / 512)
            .collect();
        found.sort_unstable();
        assert_eq!(found, (0..273).collect::<Vec<_>>());
    }

    #[test]
    fn memory_does_not_grow_with_the_data() {
        let mut tree = Tree::new(&Parameters::new("sha256", 4096, 4096, &[]).unwrap(), None);
        tree.resident_blocks = 16;
        let digests = vec![1; 32 * 128 * 16];
        for piece in 0..150 {
            tree.put(piece * 128 * 16, &digests).unwrap();
        }
        assert!(tree.levels.iter().map(|level| level.resident.len()).sum::<usize>() < 60);
    }
}
