//! Extended attributes: names split into index and rest, placed in the inode or in one block of their own.
//! Source: kernel, Documentation/filesystems/ext4/attributes.rst; placing and order as hcsshim does it.

use std::collections::BTreeMap;

use crate::error::{Error, Result, quote};
use crate::ext4::xattr_order;
use crate::faults::{Fault, Faults};
use crate::units::BLOCK_LEN;

pub const MAGIC: u32 = 0xEA02_0000;
/// Bytes for entries and values behind the magic number inside an inode of 256 bytes.
pub const INLINE_LEN: usize = 100;
/// Length of the block's header, and of what follows it.
pub const BLOCK_HEADER_LEN: usize = 32;
pub const BLOCK_REGION_LEN: usize = BLOCK_LEN - BLOCK_HEADER_LEN;
/// Each area ends with four zero bytes.
const END_LEN: usize = 4;
const ENTRY_HEADER_LEN: usize = 16;
/// Longest stored name: e_name_len is one byte.
const MAX_NAME_LEN: usize = 255;
/// From this stored length on hcsshim crashes when it reads the area again (N1).
const HCSSHIM_CRASH_NAME_LEN: usize = 240;

/// The attribute that holds the tail of a small file's data.
pub const SYSTEM_DATA: &[u8] = b"system.data";
const DATA_INDEX: u8 = 7;
pub const OPAQUE: &[u8] = b"trusted.overlay.opaque";

pub type InlineArea = [u8; INLINE_LEN];
/// Full name -> value.
pub type Xattrs = BTreeMap<Vec<u8>, Vec<u8>>;

/// Prefix -> e_name_index, the first that fits counts.
const PREFIXES: [(&[u8], u8); 7] = [
    (b"system.posix_acl_access", 2),
    (b"system.posix_acl_default", 3),
    (b"system.richacl", 8),
    (b"system.", DATA_INDEX),
    (b"user.", 1),
    (b"trusted.", 4),
    (b"security.", 6),
];

/// How many of `PREFIXES` are whole names, which take no suffix.
const WHOLE_NAMES: usize = 3;

/// An attribute on its way into an area.
#[derive(Clone, Debug)]
pub struct Item<'a> {
    pub index: u8,
    pub name: &'a [u8],
    pub value: &'a [u8],
}

/// Where the attributes of one inode went. Either is `None` where it holds nothing.
pub struct Placed {
    pub inline: Option<Box<InlineArea>>,
    pub block: Option<Box<[u8]>>,
    /// hcsshim's order in the block is not the one that the kernel searches by.
    pub reordered: bool,
}

/// e_name_index and stored name. With `suffixes`, `system.posix_acl_accessX` is X of index 2, as hcsshim has it (N7).
pub fn split_name(full: &[u8], suffixes: bool) -> (u8, &[u8]) {
    for (position, (prefix, index)) in PREFIXES.iter().enumerate() {
        if let Some(rest) = full.strip_prefix(*prefix)
            && (suffixes || position >= WHOLE_NAMES || rest.is_empty())
        {
            return (*index, rest);
        }
    }
    (0, full)
}

/// Places attributes in order of their full names, inline first.
///
/// `data_len`: for a file with inline data, the length of `system.data`, which comes first.
pub fn place(xattrs: &Xattrs, data_len: Option<usize>, faults: &Faults) -> Result<Placed> {
    let zeros = [0; INLINE_LEN];
    let mut inline = Vec::new();
    let mut block = Vec::new();
    let mut inline_free = INLINE_LEN - END_LEN;
    let mut block_free = BLOCK_REGION_LEN - END_LEN;
    if let Some(value) = data_len.and_then(|len| zeros.get(..len)) {
        let item = Item { index: DATA_INDEX, name: b"data", value };
        inline_free = inline_free.saturating_sub(item.cost());
        inline.push(item);
    }
    for (full, value) in xattrs {
        let (index, name) = split_name(full, faults.reproduces(Fault::N7));
        let item = Item { index, name, value };
        let cost = item.cost();
        if cost <= inline_free {
            inline_free -= cost;
            inline.push(item);
        } else if cost <= block_free {
            block_free -= cost;
            block.push(item);
        } else {
            return Err(Error::invalid_entry(format!(
                "xattr {} needs {cost} bytes, {block_free} of {} are left in the xattr block",
                quote(full),
                BLOCK_REGION_LEN - END_LEN
            ))
            .fault(Fault::B15));
        }
    }
    let reordered = order_block(&mut block, faults);
    Ok(Placed {
        inline: (!inline.is_empty()).then(|| {
            let mut area = Box::new([0; INLINE_LEN]);
            fill(area.as_mut_slice(), &inline, 0);
            area
        }),
        block: (!block.is_empty()).then(|| block_image(&block)),
        reordered,
    })
}

/// An xattr block with a header and nothing else: what a rewritten inode leaves behind.
pub fn empty_block() -> Box<[u8]> {
    block_image(&[])
}

/// Puts the tail of a small file's data into the first entry of its area, which `place` made for it.
pub fn set_inline_data(area: &mut InlineArea, tail: &[u8]) {
    let start = INLINE_LEN - rounded(tail.len());
    if let Some(value) = area.get_mut(start..start + tail.len()) {
        value.copy_from_slice(tail);
    }
    put(area, 12, &hash(b"data", tail).to_le_bytes());
}

/// All attributes of an area by full name, entries with empty stored names too.
pub fn decode(region: &[u8], value_base: usize) -> Xattrs {
    let mut found = Xattrs::new();
    let mut at = 0;
    while let Some((n, index)) = entry_start(region, at)
        && region.get(at..at + 4).is_some_and(|start| start != [0; 4])
    {
        let Some((name, value)) = entry_at(region, at, n, value_base) else { break };
        found.insert(full_name(index, name), value.to_vec());
        at += ENTRY_HEADER_LEN + rounded(n);
    }
    found
}

/// The attributes as hcsshim reads them again: it stops at an empty stored name (B6) and crashes at others (N1: `None`).
pub fn decode_as_hcsshim(region: &[u8], value_base: usize) -> Option<Xattrs> {
    let mut found = Xattrs::new();
    let mut at = 0;
    loop {
        let (n, index) = entry_start(region, at)?;
        if n == 0 {
            return Some(found);
        }
        if n >= HCSSHIM_CRASH_NAME_LEN {
            return None;
        }
        let (name, value) = entry_at(region, at, n, value_base)?;
        found.insert(full_name(index, name), value.to_vec());
        at += ENTRY_HEADER_LEN + rounded(n);
    }
}

/// The part of an xattr block that `decode` takes, and what its value offsets count from.
pub fn block_region(block: &[u8]) -> (&[u8], usize) {
    (block.get(BLOCK_HEADER_LEN..).unwrap_or_default(), BLOCK_HEADER_LEN)
}

/// Refuses a stored name that e_name_len cannot hold (B14).
pub fn check_name(full: &[u8]) -> Result<()> {
    let (_, name) = split_name(full, false);
    if name.len() <= MAX_NAME_LEN {
        return Ok(());
    }
    let message = format!(
        "the name of xattr {} has {} bytes behind its prefix, at most {MAX_NAME_LEN} are allowed",
        quote(full),
        name.len()
    );
    Err(Error::invalid_entry(message).fault(Fault::B14))
}

impl Item<'_> {
    fn cost(&self) -> usize {
        ENTRY_HEADER_LEN + rounded(self.name.len()) + rounded(self.value.len())
    }
}

/// Sorts the items of a block; tells whether hcsshim's order is another than the kernel's.
fn order_block(items: &mut Vec<Item<'_>>, faults: &Faults) -> bool {
    let mut kernel = items.clone();
    kernel.sort_by(|a, b| (a.index, a.name.len(), a.name).cmp(&(b.index, b.name.len(), b.name)));
    xattr_order::sort_as_hcsshim(items);
    let same = items.iter().zip(&kernel).all(|(a, b)| (a.index, a.name) == (b.index, b.name));
    if !same && !faults.reproduces(Fault::B2) {
        *items = kernel;
    }
    !same
}

fn block_image(items: &[Item<'_>]) -> Box<[u8]> {
    let mut block = vec![0; BLOCK_LEN];
    put(&mut block, 0, &MAGIC.to_le_bytes());
    put(&mut block, 4, &1u32.to_le_bytes()); // h_refcount
    put(&mut block, 8, &1u32.to_le_bytes()); // h_blocks
    if let Some(region) = block.get_mut(BLOCK_HEADER_LEN..) {
        fill(region, items, BLOCK_HEADER_LEN);
    }
    block.into_boxed_slice()
}

/// Entries upwards from the start of the region, values downwards from its end.
fn fill(region: &mut [u8], items: &[Item<'_>], value_base: usize) {
    let mut entry = 0;
    let mut value = region.len();
    for item in items {
        value -= rounded(item.value.len());
        put(region, entry, &[item.name.len() as u8, item.index]);
        put(region, entry + 2, &((value + value_base) as u16).to_le_bytes());
        put(region, entry + 8, &(item.value.len() as u32).to_le_bytes());
        put(region, entry + 12, &hash(item.name, item.value).to_le_bytes());
        put(region, entry + ENTRY_HEADER_LEN, item.name);
        put(region, value, item.value);
        entry += ENTRY_HEADER_LEN + rounded(item.name.len());
    }
}

/// e_hash. Source: kernel, fs/ext4/xattr.c, ext4_xattr_hash_entry.
fn hash(name: &[u8], value: &[u8]) -> u32 {
    let named = name.iter().fold(0u32, |h, &c| h.rotate_left(5) ^ u32::from(c));
    value.chunks(4).fold(named, |h, chunk| {
        let word = chunk.iter().rev().fold(0u32, |w, &b| w << 8 | u32::from(b));
        h.rotate_left(16) ^ word
    })
}

fn entry_start(region: &[u8], at: usize) -> Option<(usize, u8)> {
    match region.get(at..)? {
        [n, index, ..] => Some((usize::from(*n), *index)),
        _ => None,
    }
}

fn entry_at(region: &[u8], at: usize, name_len: usize, value_base: usize) -> Option<(&[u8], &[u8])> {
    let header = region.get(at..at + ENTRY_HEADER_LEN)?;
    let name = region.get(at + ENTRY_HEADER_LEN..at + ENTRY_HEADER_LEN + name_len)?;
    let offset = u16::from_le_bytes(header.get(2..4)?.try_into().ok()?);
    let start = u32::from(offset.wrapping_sub(value_base as u16));
    let size = u32::from_le_bytes(header.get(8..12)?.try_into().ok()?);
    let value = region.get(start as usize..start.wrapping_add(size) as usize)?;
    Some((name, value))
}

fn full_name(index: u8, name: &[u8]) -> Vec<u8> {
    let prefix = PREFIXES.iter().find(|(_, i)| *i == index).map_or(&[] as &[u8], |(prefix, _)| prefix);
    [prefix, name].concat()
}

fn rounded(length: usize) -> usize {
    length.next_multiple_of(4)
}

fn put(target: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(place) = target.get_mut(at..at + bytes.len()) {
        place.copy_from_slice(bytes);
    }
}
