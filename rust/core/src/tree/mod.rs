//! The layer in memory: inodes and names as they are meant, as few bytes for each as an image needs. Knows no file
//! system on disk.

mod arena;
mod children;
mod names;
mod node;

use std::collections::HashMap;

use crate::error::{Error, Result};
use crate::units::{BlockNumber, InodeNumber};
use arena::{Texts, XattrSets};
use names::Names;
use node::{PackedTime, RareFields};

pub use arena::Xattrs;
pub use children::Children;
pub use names::{MAX_NAME_LEN, NameHash};
pub use node::{FileType, Node, Owner, TYPE_MASK, Times, flag};

pub struct Tree {
    root: InodeNumber,
    nodes: Vec<Node>,
    owners: Vec<Owner>,
    owner_index: HashMap<Owner, u32>,
    rare: Vec<RareFields>,
    odd_times: HashMap<InodeNumber, Times>,
    names: Names,
    xattr_sets: XattrSets,
    texts: Texts,
    /// Targets of symlinks whose data is stored, by which later paths may lead.
    long_targets: HashMap<InodeNumber, Box<[u8]>>,
    /// Xattrs that are stored outside of the tree and may have to be read again.
    stored_xattrs: HashMap<InodeNumber, Xattrs>,
}

impl Tree {
    /// A root directory, whose number is the first one in use.
    pub fn new(root: InodeNumber) -> Self {
        let mut tree = Self {
            root,
            nodes: vec![Node::default(); root.get() as usize],
            owners: vec![Owner::default()],
            owner_index: HashMap::from([(Owner::default(), 0)]),
            rare: Vec::new(),
            odd_times: HashMap::new(),
            names: Names::default(),
            xattr_sets: XattrSets::default(),
            texts: Texts::default(),
            long_targets: HashMap::new(),
            stored_xattrs: HashMap::new(),
        };
        let mode = FileType::Directory.bits() | 0o755;
        *tree.node_mut(root) = Node { mode, links: 2, flags: flag::USED | flag::FIXED, ..Node::default() };
        tree
    }

    pub fn root(&self) -> InodeNumber {
        self.root
    }

    /// Highest number that was given.
    pub fn highest(&self) -> u32 {
        self.nodes.len() as u32
    }

    /// Every number from 1 on, in use or not.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Leaves numbers unused, so that the next node gets this one if it is beyond those that were given.
    pub fn skip_to(&mut self, next: InodeNumber) {
        let unused = (next.get() as usize).saturating_sub(1).max(self.nodes.len());
        self.nodes.resize(unused, Node::default());
    }

    pub fn add(&mut self, node: Node) -> Result<InodeNumber> {
        self.nodes.push(node);
        u32::try_from(self.nodes.len())
            .map(InodeNumber::new)
            .map_err(|_| Error::disk_size("the layer has more entries than inode numbers"))
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "numbers only come from `add` and from names: they are in the list"
    )]
    pub fn node(&self, number: InodeNumber) -> &Node {
        &self.nodes[number.get() as usize - 1]
    }

    #[expect(clippy::indexing_slicing, reason = "as for `node`")]
    pub fn node_mut(&mut self, number: InodeNumber) -> &mut Node {
        &mut self.nodes[number.get() as usize - 1]
    }

    /// Frees a node's number and all that is kept for it.
    pub fn forget(&mut self, number: InodeNumber) {
        *self.node_mut(number) = Node::default();
        self.odd_times.remove(&number);
        self.stored_xattrs.remove(&number);
        self.long_targets.remove(&number);
    }
}

/// Names.
impl Tree {
    pub fn child(&self, parent: InodeNumber, name: &[u8]) -> Option<InodeNumber> {
        self.child_hashed(self.hash(parent, name), parent, name)
    }

    /// The same for a name whose hash is known.
    pub fn child_hashed(&self, hash: NameHash, parent: InodeNumber, name: &[u8]) -> Option<InodeNumber> {
        self.names.child(hash, parent, name)
    }

    pub fn hash(&self, parent: InodeNumber, name: &[u8]) -> NameHash {
        self.names.hash(parent, name)
    }

    /// Gives a name to a node, in place of the node that has it. Link counts are the caller's.
    pub fn insert_hashed(
        &mut self,
        hash: NameHash,
        parent: InodeNumber,
        name: &[u8],
        child: InodeNumber,
    ) -> Result<()> {
        self.names.insert(hash, parent, name, child)
    }

    pub fn remove_name(&mut self, parent: InodeNumber, name: &[u8]) {
        self.names.remove(parent, name);
    }

    /// Takes all entries out of a directory; returns what they pointed to.
    pub fn take_children(&mut self, parent: InodeNumber) -> Vec<InodeNumber> {
        self.names.take_children(parent)
    }

    /// Directory and name of each entry whose name is meant.
    pub fn names_matching(&self, is_meant: impl Fn(&[u8]) -> bool) -> Vec<(InodeNumber, Vec<u8>)> {
        self.names.matching(is_meant)
    }

    /// Forgets how names are found: from now on only `children` gives them.
    pub fn close_index(&mut self) {
        self.names.close_index();
    }

    /// Every directory's entries.
    pub fn children(&self) -> Children<'_> {
        Children::new(self.names.list(), self.nodes.len())
    }
}

/// What nodes have apart.
impl Tree {
    pub fn owner(&self, node: &Node) -> Owner {
        self.owners.get(node.owner as usize).copied().unwrap_or_default()
    }

    pub fn set_owner(&mut self, number: InodeNumber, owner: Owner) {
        if self.owner(self.node(number)) == owner {
            return;
        }
        let next = self.owners.len() as u32;
        let place = *self.owner_index.entry(owner).or_insert(next);
        if place == next {
            self.owners.push(owner);
        }
        self.node_mut(number).owner = place;
    }

    pub fn times(&self, number: InodeNumber) -> Times {
        let node = self.node(number);
        if node.has(flag::ODD_TIMES) {
            return self.odd_times.get(&number).copied().unwrap_or_default();
        }
        let rare = self.rare(node);
        Times { mtime: node.mtime.get(), atime: rare.atime.get(), ctime: rare.ctime.get() }
    }

    pub fn set_times(&mut self, number: InodeNumber, times: Times) {
        let packed = [times.mtime, times.atime, times.ctime].map(PackedTime::new);
        self.node_mut(number).flags &= !flag::ODD_TIMES;
        if let [Some(mtime), Some(atime), Some(ctime)] = packed {
            self.node_mut(number).mtime = mtime;
            let rare = self.rare(self.node(number));
            self.set_rare(number, RareFields { atime, ctime, ..rare });
        } else {
            self.node_mut(number).flags |= flag::ODD_TIMES;
            self.odd_times.insert(number, times);
        }
    }

    /// The node's data is stored from this block on.
    pub fn set_stored(&mut self, number: InodeNumber, start: BlockNumber) {
        let node = self.node_mut(number);
        node.flags |= flag::STORED;
        node.data = start.get();
    }

    /// The block in which the node's further xattrs are stored.
    pub fn xattr_block(&self, node: &Node) -> Option<BlockNumber> {
        Some(self.rare(node).xattr_block).filter(|block| *block != BlockNumber::default())
    }

    pub fn set_xattr_block(&mut self, number: InodeNumber, block: BlockNumber) {
        let rare = self.rare(self.node(number));
        self.set_rare(number, RareFields { xattr_block: block, ..rare });
    }

    /// The xattrs that the tree keeps for the node, in the order of their names.
    pub fn kept_xattrs(&self, node: &Node) -> impl Iterator<Item = (&[u8], &[u8])> {
        let number = self.rare(node).xattrs.checked_sub(1);
        number.into_iter().flat_map(|number| self.xattr_sets.get(number))
    }

    pub fn keeps_xattrs(&self, node: &Node) -> bool {
        self.rare(node).xattrs != 0
    }

    pub fn set_kept_xattrs(&mut self, number: InodeNumber, attributes: &[(&[u8], &[u8])]) -> Result<()> {
        let xattrs = if attributes.is_empty() { 0 } else { 1 + self.xattr_sets.add(attributes)? };
        let rare = self.rare(self.node(number));
        self.set_rare(number, RareFields { xattrs, ..rare });
        Ok(())
    }

    /// Those of the node's xattrs that are stored elsewhere, where they were kept.
    pub fn stored_xattrs(&self, number: InodeNumber) -> Option<&Xattrs> {
        self.stored_xattrs.get(&number)
    }

    pub fn set_stored_xattrs(&mut self, number: InodeNumber, attributes: Xattrs) {
        self.stored_xattrs.insert(number, attributes);
    }

    /// All of a node's xattrs, where those that are stored elsewhere were kept.
    pub fn xattrs(&self, number: InodeNumber) -> Xattrs {
        let mut all = self.stored_xattrs(number).cloned().unwrap_or_default();
        all.extend(self.kept_xattrs(self.node(number)).map(|(name, value)| (name.to_vec(), value.to_vec())));
        all
    }

    /// Keeps the text that a node's `data` and size stand for.
    pub fn set_text(&mut self, number: InodeNumber, text: &[u8]) -> Result<()> {
        self.node_mut(number).data = self.texts.add(text)?;
        Ok(())
    }

    pub fn text_of(&self, node: &Node) -> &[u8] {
        self.texts.get(node.data, node.size)
    }

    /// Keeps the target of a symlink whose data is stored.
    pub fn set_long_target(&mut self, number: InodeNumber, target: &[u8]) {
        self.long_targets.insert(number, target.into());
    }

    pub fn forget_long_target(&mut self, number: InodeNumber) {
        self.long_targets.remove(&number);
    }

    /// A symlink's target.
    pub fn target_of(&self, number: InodeNumber) -> &[u8] {
        match self.long_targets.get(&number) {
            Some(target) => target,
            None => self.text_of(self.node(number)),
        }
    }

    /// Sets the numbers of a device. Whiteouts, of which there may be many, have 0:0.
    pub fn set_device(&mut self, number: InodeNumber, device: Device) -> Result<()> {
        self.node_mut(number).data = if device == Device::default() {
            0
        } else {
            let [a, b, c, d] = device.major.to_le_bytes();
            let [e, f, g, h] = device.minor.to_le_bytes();
            1 + self.texts.add(&[a, b, c, d, e, f, g, h])?
        };
        Ok(())
    }

    pub fn device(&self, node: &Node) -> Device {
        let numbers = node.data.checked_sub(1).map_or(&[] as &[u8], |start| self.texts.get(start, 8));
        let Ok([a, b, c, d, e, f, g, h]) = <[u8; 8]>::try_from(numbers) else { return Device::default() };
        Device { major: u32::from_le_bytes([a, b, c, d]), minor: u32::from_le_bytes([e, f, g, h]) }
    }

    fn rare(&self, node: &Node) -> RareFields {
        let place = (node.rare as usize).checked_sub(1);
        place.and_then(|place| self.rare.get(place)).copied().unwrap_or_default()
    }

    fn set_rare(&mut self, number: InodeNumber, rare: RareFields) {
        let place = (self.node(number).rare as usize).checked_sub(1);
        match place.and_then(|place| self.rare.get_mut(place)) {
            Some(slot) => *slot = rare,
            None if rare == RareFields::default() => {}
            None => {
                self.rare.push(rare);
                self.node_mut(number).rare = self.rare.len() as u32;
            }
        }
    }
}

/// Numbers of a device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Device {
    pub major: u32,
    pub minor: u32,
}
