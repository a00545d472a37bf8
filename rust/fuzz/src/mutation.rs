//! Mutations that leave a tar a tar: bytes changed at random would hardly ever pass a header's checksum, and
//! one byte more or less would shift all headers behind it.

use std::ops::Range;

use layerdisk_core::tar::BLOCK_LEN;
use libfuzzer_sys::fuzzer_mutate;

const CHECKSUM: Range<usize> = 148..156;
/// Fields of a header that may matter; the last ones are those of the old GNU sparse map.
const FIELDS: [Range<usize>; 16] = [
    0..100,   // name
    100..108, // mode
    108..116, // uid
    116..124, // gid
    124..136, // size
    136..148, // mtime
    156..157, // typeflag
    157..257, // linkname
    257..265, // magic and version
    329..337, // devmajor
    337..345, // devminor
    345..500, // prefix
    345..369, // GNU's atime and ctime
    386..482, // sparse map
    482..483, // isextended
    483..495, // realsize
];
/// Most blocks that are copied or taken out at once: one entry with its extended header, or a few of them.
const MOST_BLOCKS: usize = 8;

/// Mutates `data[..size]`, a tar behind `options_len` other bytes; returns the new size.
pub fn mutate(data: &mut [u8], size: usize, max_size: usize, seed: u32, options_len: usize) -> usize {
    let mut random = Random(seed);
    let blocks = size.saturating_sub(options_len) / BLOCK_LEN;
    let new_size = match random.below(16) {
        _ if blocks == 0 || size > max_size => fuzzer_mutate(data, size, max_size),
        0 => fuzzer_mutate(data, size, max_size),
        1 => {
            fuzzer_mutate(&mut data[..options_len], options_len, options_len);
            size
        }
        2..5 => options_len + move_blocks(&mut data[options_len..max_size], size - options_len, &mut random),
        _ => {
            let at = options_len + random.below(blocks) * BLOCK_LEN;
            mutate_field(&mut data[at..at + BLOCK_LEN], &mut random);
            size
        }
    };
    if random.below(16) > 0
        && let Some(tar) = data.get_mut(options_len..new_size)
    {
        tar.chunks_exact_mut(BLOCK_LEN).filter(|block| is_header(block)).for_each(fix_checksum);
    }
    new_size
}

/// Copies whole blocks to another place, with or without what is there, or takes them out; returns the new size.
fn move_blocks(tar: &mut [u8], size: usize, random: &mut Random) -> usize {
    let blocks = size / BLOCK_LEN;
    let first = random.below(blocks);
    let count = 1 + random.below(MOST_BLOCKS.min(blocks - first));
    let from = first * BLOCK_LEN..(first + count) * BLOCK_LEN;
    let to = random.below(blocks) * BLOCK_LEN;
    match random.below(3) {
        0 => {
            tar.copy_within(from.end..size, from.start);
            size - from.len()
        }
        1 if size + from.len() <= tar.len() => {
            let copied = tar[from].to_vec();
            tar.copy_within(to..size, to + copied.len());
            tar[to..to + copied.len()].copy_from_slice(&copied);
            size + copied.len()
        }
        _ => {
            tar.copy_within(from.start..from.end.min(from.start + size - to), to);
            size
        }
    }
}

/// Mutates a field of a header, or of another block a value of an extended header's records, or all of it.
/// What it was in length it stays.
fn mutate_field(block: &mut [u8], random: &mut Random) {
    let fields = if is_header(block) { FIELDS.to_vec() } else { values(block) };
    let field = match fields.len() {
        0 => 0..block.len(),
        count => fields[random.below(count)].clone(),
    };
    let length = field.len();
    fuzzer_mutate(&mut block[field], length, length);
}

/// What is between each `=` and the line feed behind it.
fn values(block: &[u8]) -> Vec<Range<usize>> {
    let mut values = Vec::new();
    let mut start = None;
    for (at, byte) in block.iter().enumerate() {
        match (byte, start) {
            (b'=', None) => start = Some(at + 1),
            (b'\n', Some(from)) => {
                values.push(from..at);
                start = None;
            }
            _ => {}
        }
    }
    values.retain(|value| !value.is_empty());
    values
}

/// Whether the block has the magic, or a checksum as all writers end it. Other data rarely looks like it.
fn is_header(block: &[u8]) -> bool {
    block[257..262] == *b"ustar" || block[154..156] == *b"\0 "
}

fn fix_checksum(block: &mut [u8]) {
    block[CHECKSUM].fill(b' ');
    let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
    block[CHECKSUM].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

/// The same numbers from the same seed, as libFuzzer wants it.
struct Random(u32);

impl Random {
    /// From 0 up to the limit, which is not 0 itself.
    fn below(&mut self, limit: usize) -> usize {
        // Numerical Recipes' generator.
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (self.0 >> 8) as usize % limit
    }
}
