//! The names of all directories: one list, and one hash table to find them in.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};

use hashbrown::HashTable;

use crate::error::{Error, Result};
use crate::units::InodeNumber;

/// Longest name in bytes. Source: Linux, NAME_MAX.
pub const MAX_NAME_LEN: usize = 255;

/// A directory entry. No child means that it was taken away.
#[derive(Clone, Copy)]
pub(super) struct Name {
    pub parent: InodeNumber,
    pub child: InodeNumber,
    /// Where its bytes start in `NameList::bytes`; they end where those of the next name start.
    start: u32,
}

#[derive(Default)]
pub(super) struct NameList {
    list: Vec<Name>,
    bytes: Vec<u8>,
}

impl NameList {
    pub fn get(&self, position: u32) -> Option<&Name> {
        self.list.get(position as usize)
    }

    pub fn bytes_of(&self, position: u32) -> &[u8] {
        let start_of =
            |position: usize| self.list.get(position).map_or(self.bytes.len(), |name| name.start as usize);
        self.bytes.get(start_of(position as usize)..start_of(position as usize + 1)).unwrap_or_default()
    }

    pub fn live(&self) -> impl Iterator<Item = (u32, &Name)> {
        (0..).zip(&self.list).filter(|(_, name)| !name.child.is_none())
    }

    fn matches(&self, position: u32, parent: InodeNumber, bytes: &[u8]) -> bool {
        self.get(position).is_some_and(|name| name.parent == parent) && self.bytes_of(position) == bytes
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "positions come from the index, which holds none but this list's"
    )]
    fn child_mut(&mut self, position: u32) -> &mut InodeNumber {
        &mut self.list[position as usize].child
    }
}

/// Where a name is in the index, there or not.
#[derive(Clone, Copy)]
pub struct NameHash(u32);

impl NameHash {
    /// The index takes its tags from the upper bits and its places from the lower ones.
    fn spread(self) -> u64 {
        u64::from(self.0) << 32 | u64::from(self.0)
    }
}

/// A name's place in the list, with its hash: so that the index can grow, and others be told apart, without it.
#[derive(Clone, Copy)]
struct IndexEntry {
    position: u32,
    hash: NameHash,
}

#[derive(Default)]
pub(super) struct Names {
    list: NameList,
    index: HashTable<IndexEntry>,
    /// Positions by directory. Built when a directory is taken away for the first time, which few layers do, and kept
    /// up from then on.
    by_parent: Option<HashMap<InodeNumber, Vec<u32>>>,
    hasher: RandomState, // keeps crafted names from colliding; nothing of it shows in the image
}

impl Names {
    pub fn list(&self) -> &NameList {
        &self.list
    }

    pub fn hash(&self, parent: InodeNumber, name: &[u8]) -> NameHash {
        let mut hasher = self.hasher.build_hasher();
        let mut key = [0; 4 + MAX_NAME_LEN];
        let (number, rest) = key.split_at_mut(4);
        number.copy_from_slice(&parent.get().to_le_bytes());
        match rest.get_mut(..name.len()) {
            // One write is faster than two.
            Some(slot) => {
                slot.copy_from_slice(name);
                hasher.write(key.get(..4 + name.len()).unwrap_or_default());
            }
            None => hasher.write(name), // no name is so long
        }
        NameHash(hasher.finish() as u32)
    }

    pub fn child(&self, hash: NameHash, parent: InodeNumber, name: &[u8]) -> Option<InodeNumber> {
        self.list.get(self.position(hash, parent, name)?).map(|name| name.child)
    }

    /// Gives a name to a node, in place of the node that has it.
    pub fn insert(
        &mut self,
        hash: NameHash,
        parent: InodeNumber,
        name: &[u8],
        child: InodeNumber,
    ) -> Result<()> {
        if let Some(position) = self.position(hash, parent, name) {
            *self.list.child_mut(position) = child;
            return Ok(());
        }
        let too_many = |_| Error::disk_size("the names of the layer need more than 4 GiB");
        let start = u32::try_from(self.list.bytes.len()).map_err(too_many)?;
        let position = u32::try_from(self.list.list.len()).map_err(too_many)?;
        self.list.bytes.extend_from_slice(name);
        self.list.list.push(Name { parent, child, start });
        if let Some(by_parent) = &mut self.by_parent {
            by_parent.entry(parent).or_default().push(position);
        }
        self.index.insert_unique(hash.spread(), IndexEntry { position, hash }, |entry| entry.hash.spread());
        Ok(())
    }

    pub fn remove(&mut self, parent: InodeNumber, name: &[u8]) {
        let hash = self.hash(parent, name);
        let Self { index, list, .. } = self;
        let found = index.find_entry(hash.spread(), |entry| list.matches(entry.position, parent, name));
        if let Ok(found) = found {
            let (IndexEntry { position, .. }, _) = found.remove();
            *list.child_mut(position) = InodeNumber::NONE;
        }
    }

    /// Takes all entries out of a directory; returns what they pointed to.
    pub fn take_children(&mut self, parent: InodeNumber) -> Vec<InodeNumber> {
        let mut by_parent = self.by_parent.take().unwrap_or_else(|| {
            let mut by_parent = HashMap::<_, Vec<u32>>::new();
            for (position, name) in self.list.live() {
                by_parent.entry(name.parent).or_default().push(position);
            }
            by_parent
        });
        let taken = by_parent.remove(&parent).unwrap_or_default();
        self.by_parent = Some(by_parent);
        let mut children = Vec::with_capacity(taken.len());
        for position in taken {
            let name = self.list.get(position).copied().filter(|name| !name.child.is_none());
            let Some(name) = name else { continue };
            let bytes = self.list.bytes_of(position).to_vec();
            self.remove(parent, &bytes);
            children.push(name.child);
        }
        children
    }

    /// Directory and name of each entry whose name is meant.
    pub fn matching(&self, is_meant: impl Fn(&[u8]) -> bool) -> Vec<(InodeNumber, Vec<u8>)> {
        self.list
            .live()
            .map(|(position, name)| (name.parent, self.list.bytes_of(position)))
            .filter(|(_, bytes)| is_meant(bytes))
            .map(|(parent, bytes)| (parent, bytes.to_vec()))
            .collect()
    }

    /// Forgets how names are found: from now on only the list has them.
    pub fn close_index(&mut self) {
        self.index = HashTable::new();
        self.by_parent = None;
    }

    fn position(&self, hash: NameHash, parent: InodeNumber, name: &[u8]) -> Option<u32> {
        let is_meant =
            |entry: &IndexEntry| entry.hash.0 == hash.0 && self.list.matches(entry.position, parent, name);
        self.index.find(hash.spread(), is_meant).map(|entry| entry.position)
    }
}
