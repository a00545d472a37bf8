//! Directory data: depth first from the root, the subdirectories of each in the order of its entries.

use crate::error::Result;
use crate::ext4::format::checksum::InodeId;
use crate::ext4::format::directory::{self, Encoder};
use crate::ext4::storage::Storage;
use crate::faults::Faults;
use crate::sink::Sink;
use crate::tree::{Children, FileType, Tree};
use crate::units::InodeNumber;

/// Writes the data of all directories; returns how many there are.
pub fn write<S: Sink>(tree: &mut Tree, storage: &mut Storage<S>, faults: &mut Faults) -> Result<u32> {
    tree.close_index();
    let mut written = Vec::new();
    let children = tree.children();
    let mut encoder = Encoder::new(storage.layout());
    let mut pending = vec![(tree.root(), tree.root())];
    while let Some((number, parent)) = pending.pop() {
        let start = storage.output.block()?;
        let data = encode(&mut encoder, tree, &children, number, parent);
        storage.output.write(data)?;
        written.push((number, data.len() as u64, start));
        storage.write_extents(faults, number, start)?;
        let below = children.of(number).filter(|(child, _)| tree.node(*child).is_dir());
        pending.extend(below.rev().map(|(child, _)| (child, number)));
    }
    let directories = written.len() as u32;
    for (number, size, start) in written {
        tree.node_mut(number).size = size;
        tree.set_stored(number, start);
    }
    Ok(directories)
}

fn encode<'e>(
    encoder: &'e mut Encoder,
    tree: &Tree,
    children: &Children<'_>,
    number: InodeNumber,
    parent: InodeNumber,
) -> &'e [u8] {
    encoder.start(InodeId::new(number), parent);
    for (child, name) in children.of(number) {
        encoder.push(child, file_type(tree.node(child).file_type()), name);
    }
    encoder.finish()
}

fn file_type(of_node: FileType) -> directory::FileType {
    match of_node {
        FileType::Regular => directory::FileType::Regular,
        FileType::Directory => directory::FileType::Directory,
        FileType::CharacterDevice => directory::FileType::CharacterDevice,
        FileType::BlockDevice => directory::FileType::BlockDevice,
        FileType::Fifo => directory::FileType::Fifo,
        FileType::Symlink => directory::FileType::Symlink,
    }
}
