//! What is stored of a tree: a superblock, if wanted, and the levels.

use zerocopy::IntoBytes;

use crate::error::Result;
use crate::sink::{Destination, Sink};
use crate::verity::Parameters;
use crate::verity::leaves::Leaves;
use crate::verity::superblock::{self, Superblock};
use crate::verity::tree::Spill;

#[derive(Clone, Debug)]
pub struct Device {
    pub parameters: Parameters,
    pub superblock: bool,
    /// `None`: derived from the content.
    pub uuid: Option<[u8; 16]>,
}

/// Where the hashes go.
pub struct Target<'t> {
    pub sink: &'t mut dyn Sink,
    /// Of the superblock, or of the tree where there is none.
    pub offset: u64,
}

/// Where the hashes of an image go as it is made.
#[derive(Default)]
pub enum Place {
    /// After the image.
    #[default]
    After,
    /// To a device of their own.
    Own(Box<dyn Destination>),
    /// Nowhere: only the root is wanted.
    Nowhere,
}

/// That, and what helps to get them there.
#[derive(Default)]
pub struct Hashes {
    pub place: Place,
    pub spill: Option<Box<dyn Spill>>,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    pub root: Vec<u8>,
    pub data_blocks: u64,
    pub hash_offset: u64,
    /// Bytes of the levels, the superblock left out.
    pub tree_size: u64,
    /// Offset after the last hash block.
    pub end: u64,
    pub uuid: [u8; 16],
}

impl Device {
    /// Where the hashes of data of this length go when they follow it.
    pub fn offset_after(&self, length: u64) -> u64 {
        let Parameters { data_block_size, hash_block_size, .. } = self.parameters;
        length.next_multiple_of(data_block_size.max(hash_block_size).into())
    }

    /// Ends the data and stores its hashes, if they have a target.
    pub fn finish(&self, leaves: &mut Leaves, length: u64, target: Option<Target<'_>>) -> Result<Stored> {
        let root = leaves.finish(length)?;
        let hash_offset = target.as_ref().map_or(0, |target| target.offset);
        let head = if self.superblock { u64::from(self.parameters.hash_block_size) } else { 0 };
        let uuid =
            self.uuid.unwrap_or_else(|| superblock::uuid(&self.parameters, root.data_blocks, &root.hash));
        if let Some(Target { sink, offset }) = target {
            if self.superblock {
                let mut block = self.superblock(root.data_blocks, uuid);
                block.resize(self.parameters.hash_block_len(), 0);
                sink.write_at(offset, &block)?;
            }
            leaves.write_tree(&root, sink, offset + head)?;
        }
        Ok(Stored {
            end: hash_offset + head + root.tree_size,
            root: root.hash,
            data_blocks: root.data_blocks,
            hash_offset,
            tree_size: root.tree_size,
            uuid,
        })
    }

    /// Ends an image of this length, stores its hashes, and gives the length with what follows the image.
    pub fn finish_image(
        &self,
        leaves: &mut Leaves,
        length: u64,
        place: Place,
        image: &mut dyn Sink,
        sync: bool,
    ) -> Result<(Stored, u64)> {
        match place {
            Place::Nowhere => Ok((self.finish(leaves, length, None)?, length)),
            Place::After => {
                let target = Target { sink: image, offset: self.offset_after(length) };
                let stored = self.finish(leaves, length, Some(target))?;
                let end = stored.end;
                Ok((stored, end))
            }
            Place::Own(mut sink) => {
                let target = Target { sink: sink.as_mut(), offset: 0 };
                let stored = self.finish(leaves, length, Some(target))?;
                sink.finish(stored.end, sync)?;
                Ok((stored, length))
            }
        }
    }

    pub fn superblock(&self, data_blocks: u64, uuid: [u8; 16]) -> Vec<u8> {
        Superblock::new(&self.parameters, data_blocks, uuid).as_bytes().to_vec()
    }
}
