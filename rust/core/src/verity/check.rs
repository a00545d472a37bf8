//! Data and the levels of a stored tree against each other: every digest that differs is counted, level by level.

use crate::error::{Error, Result};
use crate::verity::Parameters;
use crate::verity::build::{Data, Progress, ReadAt, digests};
use crate::verity::hasher::Hasher;

/// Stored digests are compared in pieces of this many bytes.
const PIECE_LEN: u64 = 256 << 10;

/// Blocks whose digest is not the stored one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bad {
    pub count: u64,
    /// Number of the first, where there is one.
    pub first: u64,
}

#[derive(Debug)]
pub struct Checked {
    /// The digest of the top block, or of the only data block.
    pub root: Vec<u8>,
    /// Of the data blocks, then of the hash blocks of each level below the top one.
    pub levels: Vec<Bad>,
}

/// Checks data against the tree at an offset of `tree`.
pub fn check(
    data: &Data<'_>,
    parameters: &Parameters,
    data_blocks: u64,
    tree: &dyn ReadAt,
    offset: u64,
    progress: Progress<'_>,
) -> Result<Checked> {
    let hasher = Hasher::new(parameters);
    let counts = parameters.level_blocks(data_blocks);
    let hash_block_size = u64::from(parameters.hash_block_size);
    let mut levels = Vec::new();
    // Bytes of the level in question, then those of the levels above it: the top one is stored first.
    let mut above: u64 = counts.iter().sum::<u64>() * hash_block_size;
    let mut checked = *data_blocks_of(data, parameters, data_blocks)?;
    let mut root = Vec::new();
    for &count in &counts {
        above -= count * hash_block_size;
        let stored = Stored { tree, offset: offset + above };
        levels.push(checked.against(&hasher, &stored, progress)?);
        checked = Children {
            source: tree,
            start: stored.offset,
            ranges: vec![(0, count * hash_block_size)],
            block_len: parameters.hash_block_len(),
            count,
        };
    }
    if checked.count == 1 {
        let mut block = vec![0; checked.block_len];
        checked.source.read_at(checked.start, &mut block)?;
        root = hasher.one(&block);
    }
    Ok(Checked { root, levels })
}

fn data_blocks_of<'d>(
    data: &Data<'d>,
    parameters: &Parameters,
    data_blocks: u64,
) -> Result<Box<Children<'d>>> {
    let block_len = parameters.data_block_len();
    let length = data_blocks.checked_mul(block_len as u64).filter(|_| data_blocks > 0);
    let Some(length) = length else {
        return Err(Error::invalid_argument(format!(
            "dm-verity: {data_blocks} data blocks are not possible"
        )));
    };
    let ranges = data.ranges.iter().map(|&(start, end)| (start.min(length), end.min(length))).collect();
    Ok(Box::new(Children { source: data.source, start: 0, ranges, block_len, count: data_blocks }))
}

/// Blocks whose digests are stored elsewhere.
struct Children<'d> {
    source: &'d dyn ReadAt,
    /// Offset of the first one.
    start: u64,
    ranges: Vec<(u64, u64)>,
    block_len: usize,
    count: u64,
}

/// Digests, one after the other: a hash block is full of them but for its level's last one.
struct Stored<'d> {
    tree: &'d dyn ReadAt,
    offset: u64,
}

impl Children<'_> {
    fn against(&self, hasher: &Hasher, stored: &Stored<'_>, progress: Progress<'_>) -> Result<Bad> {
        let len = hasher.digest_len();
        let zero = hasher.one(&vec![0; self.block_len]);
        let zeros = zero.repeat(PIECE_LEN as usize / len);
        let mut bad = Bad::default();
        let mut next = 0;
        let source = Shifted { source: self.source, start: self.start };
        let data = Data { source: &source, length: None, ranges: self.ranges.clone() };
        let holes = |bad: &mut Bad, next: &mut u64, end: u64| -> Result<()> {
            while *next < end {
                let count = (end - *next).min((zeros.len() / len) as u64);
                let piece = zeros.get(..count as usize * len).unwrap_or_default();
                stored.compare(*next, piece, len, bad)?;
                *next += count;
            }
            Ok(())
        };
        digests(&data, hasher, self.block_len, &mut |first, digests, end| {
            holes(&mut bad, &mut next, first)?;
            stored.compare(first, digests, len, &mut bad)?;
            next = first + (digests.len() / len) as u64;
            progress(end)
        })?;
        holes(&mut bad, &mut next, self.count)?;
        Ok(bad)
    }
}

impl Stored<'_> {
    fn compare(&self, first: u64, expected: &[u8], len: usize, bad: &mut Bad) -> Result<()> {
        let mut stored = vec![0; expected.len()];
        let read = self.tree.read_at(self.offset + first * len as u64, &mut stored)?;
        if read < stored.len() {
            return Err(Error::invalid_argument("dm-verity: the file ends within the hash tree"));
        }
        if stored == expected {
            return Ok(());
        }
        for (number, (stored, expected)) in stored.chunks(len).zip(expected.chunks(len)).enumerate() {
            if stored != expected {
                if bad.count == 0 {
                    bad.first = first + number as u64;
                }
                bad.count += 1;
            }
        }
        Ok(())
    }
}

/// A part of a source from an offset on.
struct Shifted<'d> {
    source: &'d dyn ReadAt,
    start: u64,
}

impl ReadAt for Shifted<'_> {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize> {
        self.source.read_at(self.start + offset, buffer)
    }

    fn is_parallel(&self) -> bool {
        self.source.is_parallel()
    }
}

#[cfg(test)]
mod tests {
    use super::{Bad, check};
    use crate::verity::Parameters;
    use crate::verity::build::tests::Memory;
    use crate::verity::build::{Data, build};

    #[test]
    fn each_changed_block_is_found_in_its_level() {
        let mut bytes: Vec<u8> = (0..300_000u64).map(|i| (i.wrapping_mul(0x9E37_79B9) >> 24) as u8).collect();
        bytes.resize(bytes.len().next_multiple_of(512), 0);
        bytes[512 * 40..512 * 80].fill(0);
        let parameters = Parameters::new("sha256", 512, 512, &[]).unwrap();
        let data_blocks = bytes.len() as u64 / 512;
        let source = Memory { bytes: bytes.clone(), parallel: true };
        let ranges = vec![(0, 512 * 40), (512 * 80, u64::MAX)];
        let data = Data { source: &source, length: None, ranges: ranges.clone() };
        let (mut leaves, length) = build(&data, &parameters, None, &mut |_| Ok(())).unwrap();
        let root = leaves.finish(length).unwrap();
        let mut tree = Vec::new();
        leaves.write_tree(&root, &mut tree, 0).unwrap();
        let counts = parameters.level_blocks(data_blocks);
        assert_eq!(counts, [37, 3, 1]);
        let none = Bad::default();
        let one = |first| Bad { count: 1, first };
        for (in_data, in_tree, expected) in [
            (None::<usize>, None::<usize>, [none, none, none]),
            (Some(512 * 100), None, [one(100), none, none]),
            // The top block and three blocks come first: a digest that changed, and the block that it is in.
            (None, Some(512 + 32), [none, one(1), one(0)]),
            (None, Some(512 * 4 + 512 * 5 + 32 * 3), [one(83), one(5), none]),
        ] {
            let (mut changed, mut stored) = (bytes.clone(), tree.clone());
            if let Some(at) = in_data {
                changed[at] ^= 1u8;
            }
            if let Some(at) = in_tree {
                stored[at] ^= 1u8;
            }
            let source = Memory { bytes: changed, parallel: true };
            let stored = Memory { bytes: stored, parallel: false };
            let data = Data { source: &source, length: None, ranges: ranges.clone() };
            let found = check(&data, &parameters, data_blocks, &stored, 0, &mut |_| Ok(())).unwrap();
            assert_eq!(found.root, root.hash);
            assert_eq!(found.levels, expected, "{in_data:?} {in_tree:?}");
        }
    }
}
