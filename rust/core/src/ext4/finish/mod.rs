//! What follows the last entry: directories, inode tables, bitmaps, and at last the descriptors and block 0.

mod directories;
mod groups;
mod inode_table;

use crate::error::Result;
use crate::ext4::format::superblock::{self, Superblock};
use crate::ext4::layout::Backups;
use crate::ext4::storage::Storage;
use crate::faults::Faults;
use crate::sink::Sink;
use crate::tree::{Tree, flag};
use crate::units::{BLOCK_LEN, BLOCK_SIZE};

/// A finished image.
pub struct Image {
    /// Its length in bytes.
    pub size: u64,
    pub blocks: u32,
    /// Inodes in use: the root, lost+found, and what entries made.
    pub inodes: u32,
    pub directories: u32,
}

/// Writes all that is not data, and the image is whole.
pub fn finish<S: Sink>(mut tree: Tree, mut storage: Storage<S>, faults: &mut Faults) -> Result<Image> {
    let directories = directories::write(&mut tree, &mut storage, faults)?;
    let tables = inode_table::write(&tree, &mut storage, faults)?;
    let groups = groups::write(&tree, &mut storage, &tables)?;
    storage.output.zeros(u64::from(tables.blocks.wrapping_sub(tables.end)) * BLOCK_SIZE)?;
    let size = storage.output.position();
    write_descriptors(&mut storage, groups.descriptors)?;
    write_superblock(&mut storage, &groups.counts)?;
    storage.output.finish()?;
    let inodes = tree.nodes().iter().filter(|node| node.has(flag::USED)).count() as u32;
    Ok(Image { size, blocks: tables.blocks, inodes, directories })
}

fn write_descriptors<S: Sink>(storage: &mut Storage<S>, mut descriptors: Vec<u8>) -> Result<()> {
    descriptors.resize(descriptors.len().next_multiple_of(BLOCK_LEN), 0);
    storage.output.rewrite(BLOCK_SIZE, &descriptors)
}

fn write_superblock<S: Sink>(storage: &mut Storage<S>, counts: &superblock::Counts) -> Result<()> {
    match storage.layout().backups {
        Backups::None => {}
    }
    let block = Superblock::new(storage.layout(), counts).in_block_0();
    storage.output.rewrite(0, &block)
}
