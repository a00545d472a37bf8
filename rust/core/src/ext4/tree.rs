//! The file system in memory: inodes and names, as few bytes for each as the image needs.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};

use hashbrown::HashTable;

use crate::error::{Error, Result};
use crate::ext4::directory::{FileType, MAX_NAME_LEN};
use crate::ext4::inode;
use crate::ext4::timestamp::Timestamp;
use crate::ext4::xattr::{self, InlineArea, Xattrs};
use crate::units::{BlockNumber, InodeNumber};

/// State of a node that is not in its mode.
pub mod flag {
    /// The number is in use.
    pub const USED: u8 = 1;
    /// It has data blocks, described by extents.
    pub const EXTENTS: u8 = 2;
    /// Its data is in the inode (a regular file).
    pub const INLINE: u8 = 4;
    /// A whiteout made it, not an entry of its own.
    pub const WHITEOUT: u8 = 8;
    /// An opaque marker was seen for it.
    pub const OPAQUE: u8 = 16;
}

/// One inode. 36 bytes, since a layer can have millions: `Tree` keeps what many share and what few have.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C, packed(4))]
pub struct Node {
    pub size: u64,
    /// Also the creation time.
    pub mtime: Timestamp,
    pub links: u32,
    /// First data block, device number, or place in `Tree::text` of a short symlink's target or inline data.
    pub data: u32,
    /// Place in `Tree::owners`.
    pub(super) owner: u32,
    /// 1 + place in `Tree::extras`, 0 for none.
    pub(super) extra: u32,
    pub mode: u16,
    pub flags: u8,
}

const _: () = assert!(size_of::<Node>() <= 36);

/// Whose a node is: of few kinds in a layer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Owner {
    pub uid: u32,
    pub gid: u32,
}

/// What most nodes do not have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extra {
    pub atime: Timestamp,
    pub ctime: Timestamp,
    pub xattr_block: BlockNumber,
    /// 1 + place in `Tree::inline_xattrs`, 0 for none.
    pub(super) inline_xattrs: u32,
}

impl Node {
    pub fn kind(&self) -> u16 {
        self.mode & inode::TYPE_MASK
    }

    pub fn is_dir(&self) -> bool {
        self.kind() == inode::TYPE_DIRECTORY
    }

    pub fn is_symlink(&self) -> bool {
        self.kind() == inode::TYPE_SYMLINK
    }

    pub fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    pub fn file_type(&self) -> FileType {
        match self.kind() {
            inode::TYPE_DIRECTORY => FileType::Directory,
            inode::TYPE_SYMLINK => FileType::Symlink,
            inode::TYPE_CHARACTER => FileType::CharacterDevice,
            inode::TYPE_BLOCK => FileType::BlockDevice,
            inode::TYPE_FIFO => FileType::Fifo,
            _ => FileType::Regular,
        }
    }
}

/// A directory entry. A child of 0 means that it was taken away.
#[derive(Clone, Copy)]
struct Name {
    parent: InodeNumber,
    child: InodeNumber,
    /// Where its bytes start in `Names::bytes`; they end where those of the next name start.
    at: u32,
}

#[derive(Default)]
struct Names {
    list: Vec<Name>,
    bytes: Vec<u8>,
}

impl Names {
    fn get(&self, at: u32) -> Option<&Name> {
        self.list.get(at as usize)
    }

    fn bytes_of(&self, at: u32) -> &[u8] {
        let start_of = |at: usize| self.list.get(at).map_or(self.bytes.len(), |name| name.at as usize);
        self.bytes.get(start_of(at as usize)..start_of(at as usize + 1)).unwrap_or_default()
    }

    fn is(&self, at: u32, parent: InodeNumber, bytes: &[u8]) -> bool {
        self.get(at).is_some_and(|name| name.parent == parent) && self.bytes_of(at) == bytes
    }

    fn live(&self) -> impl Iterator<Item = (u32, &Name)> {
        (0..).zip(&self.list).filter(|(_, name)| name.child.0 != 0)
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

/// A name's place in `Names`, with its hash: so that the index can grow, and others be told apart, without it.
#[derive(Clone, Copy)]
struct Indexed {
    at: u32,
    hash: NameHash,
}

pub struct Tree {
    nodes: Vec<Node>,
    owners: Vec<Owner>,
    owner_index: HashMap<Owner, u32>,
    extras: Vec<Extra>,
    names: Names,
    index: HashTable<Indexed>,
    by_parent: Option<HashMap<InodeNumber, Vec<u32>>>,
    hasher: RandomState, // keeps crafted names from colliding; nothing of it shows in the image
    inline_xattrs: Vec<InlineArea>,
    text: Vec<u8>,
    /// Targets of symlinks that have data blocks, by which later paths may lead.
    pub long_targets: HashMap<InodeNumber, Vec<u8>>,
    /// What is in the xattr blocks of nodes that may have to be read again.
    pub block_xattrs: HashMap<InodeNumber, Box<[u8]>>,
}

impl Tree {
    /// Root and lost+found.
    pub fn new() -> Self {
        let mut tree = Self {
            nodes: vec![Node::default(); InodeNumber::LOST_AND_FOUND.0 as usize],
            owners: vec![Owner::default()],
            owner_index: HashMap::from([(Owner::default(), 0)]),
            extras: Vec::new(),
            names: Names::default(),
            index: HashTable::new(),
            by_parent: None,
            hasher: RandomState::new(),
            inline_xattrs: Vec::new(),
            text: Vec::new(),
            long_targets: HashMap::new(),
            block_xattrs: HashMap::new(),
        };
        for (number, permissions, links) in
            [(InodeNumber::ROOT, 0o755, 3), (InodeNumber::LOST_AND_FOUND, 0o700, 2)]
        {
            let mode = inode::TYPE_DIRECTORY | permissions;
            *tree.node_mut(number) = Node { mode, links, flags: flag::USED, ..Node::default() };
        }
        // Cannot fail: the first name.
        let _ = tree.insert_name(InodeNumber::ROOT, b"lost+found", InodeNumber::LOST_AND_FOUND);
        tree
    }

    /// Highest number in use.
    pub fn len(&self) -> u32 {
        self.nodes.len() as u32
    }

    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Numbers only come from `add` and from names, so they are always in the list.
    #[allow(clippy::indexing_slicing)]
    pub fn node(&self, number: InodeNumber) -> &Node {
        &self.nodes[number.0 as usize - 1]
    }

    #[allow(clippy::indexing_slicing)]
    pub fn node_mut(&mut self, number: InodeNumber) -> &mut Node {
        &mut self.nodes[number.0 as usize - 1]
    }

    pub fn add(&mut self, node: Node) -> Result<InodeNumber> {
        self.nodes.push(node);
        u32::try_from(self.nodes.len())
            .map(InodeNumber)
            .map_err(|_| Error::disk_size("the layer has more entries than inode numbers"))
    }

    pub fn child(&self, parent: InodeNumber, name: &[u8]) -> Option<InodeNumber> {
        self.child_at(self.hash(parent, name), parent, name)
    }

    /// The same for a name whose hash is known.
    pub fn child_at(&self, hash: NameHash, parent: InodeNumber, name: &[u8]) -> Option<InodeNumber> {
        let found = self.index.find(hash.spread(), |indexed| self.is(indexed, hash, parent, name))?;
        self.names.get(found.at).map(|name| name.child)
    }

    /// Gives a name to a node, in place of the node that has it. Link counts are the caller's.
    pub fn insert_name(&mut self, parent: InodeNumber, name: &[u8], child: InodeNumber) -> Result<()> {
        self.insert_at(self.hash(parent, name), parent, name, child)
    }

    /// The same for a name whose hash is known.
    pub fn insert_at(
        &mut self,
        hash: NameHash,
        parent: InodeNumber,
        name: &[u8],
        child: InodeNumber,
    ) -> Result<()> {
        let found = self.index.find(hash.spread(), |indexed| self.is(indexed, hash, parent, name));
        if let Some(&Indexed { at, .. }) = found {
            if let Some(entry) = self.names.list.get_mut(at as usize) {
                entry.child = child;
            }
            return Ok(());
        }
        let too_many = |_| Error::disk_size("the names of the layer need more than 4 GiB");
        let at = u32::try_from(self.names.bytes.len()).map_err(too_many)?;
        let position = u32::try_from(self.names.list.len()).map_err(too_many)?;
        self.names.bytes.extend_from_slice(name);
        self.names.list.push(Name { parent, child, at });
        if let Some(by_parent) = &mut self.by_parent {
            by_parent.entry(parent).or_default().push(position);
        }
        let indexed = Indexed { at: position, hash };
        self.index.insert_unique(hash.spread(), indexed, |indexed| indexed.hash.spread());
        Ok(())
    }

    pub fn remove_name(&mut self, parent: InodeNumber, name: &[u8]) {
        let hash = self.hash(parent, name);
        let Self { index, names, .. } = self;
        let entry = index.find_entry(hash.spread(), |&Indexed { at, .. }| names.is(at, parent, name));
        if let Ok(entry) = entry {
            let (Indexed { at, .. }, _) = entry.remove();
            if let Some(name) = names.list.get_mut(at as usize) {
                name.child = InodeNumber(0);
            }
        }
    }

    /// Forgets how names are found: from now on only `children` gives them.
    pub fn close_index(&mut self) {
        self.index = HashTable::new();
        self.by_parent = None;
    }

    /// Every directory's entries: sorted by number, then name.
    pub fn children(&self) -> Children<'_> {
        Children::new(&self.names, self.nodes.len())
    }

    /// Takes all entries out of a directory; returns what they pointed to.
    pub fn take_children(&mut self, parent: InodeNumber) -> Vec<InodeNumber> {
        // Built when a directory is taken away for the first time, which few layers do, and kept up from then on.
        let mut by_parent = self.by_parent.take().unwrap_or_else(|| {
            let mut by_parent = HashMap::<_, Vec<u32>>::new();
            for (at, name) in self.names.live() {
                by_parent.entry(name.parent).or_default().push(at);
            }
            by_parent
        });
        let taken = by_parent.remove(&parent).unwrap_or_default();
        self.by_parent = Some(by_parent);
        let mut children = Vec::with_capacity(taken.len());
        for at in taken {
            let Some(name) = self.names.get(at).copied().filter(|name| name.child.0 != 0) else { continue };
            let bytes = self.names.bytes_of(at).to_vec();
            self.remove_name(parent, &bytes);
            children.push(name.child);
        }
        children
    }

    /// Directory and name of each entry of whose name this is true.
    pub fn names_that(&self, is_meant: impl Fn(&[u8]) -> bool) -> Vec<(InodeNumber, Vec<u8>)> {
        self.names
            .live()
            .map(|(at, name)| (name.parent, self.names.bytes_of(at)))
            .filter(|(_, bytes)| is_meant(bytes))
            .map(|(parent, bytes)| (parent, bytes.to_vec()))
            .collect()
    }

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

    pub fn extra(&self, node: &Node) -> Extra {
        let place = (node.extra as usize).checked_sub(1);
        place.and_then(|place| self.extras.get(place)).copied().unwrap_or_default()
    }

    pub fn set_extra(&mut self, number: InodeNumber, extra: Extra) {
        let place = (self.node(number).extra as usize).checked_sub(1);
        match place.and_then(|place| self.extras.get_mut(place)) {
            Some(place) => *place = extra,
            None if extra == Extra::default() => {}
            None => {
                self.extras.push(extra);
                self.node_mut(number).extra = self.extras.len() as u32;
            }
        }
    }

    pub fn inline_xattrs(&self, node: &Node) -> Option<&InlineArea> {
        self.inline_xattrs.get((self.extra(node).inline_xattrs as usize).checked_sub(1)?)
    }

    /// Puts an area in place of the node's former one.
    pub fn set_inline_xattrs(&mut self, number: InodeNumber, area: Option<Box<InlineArea>>) {
        let mut extra = self.extra(self.node(number));
        let used = (extra.inline_xattrs as usize).checked_sub(1);
        match (area, used.and_then(|used| self.inline_xattrs.get_mut(used))) {
            (None, _) => extra.inline_xattrs = 0,
            (Some(area), Some(place)) => *place = *area,
            (Some(area), None) => {
                self.inline_xattrs.push(*area);
                extra.inline_xattrs = self.inline_xattrs.len() as u32;
            }
        }
        self.set_extra(number, extra);
    }

    /// All attributes that the image holds for a node whose xattr block, if it has one, was kept.
    pub fn xattrs(&self, number: InodeNumber) -> Xattrs {
        let mut all = Xattrs::new();
        if let Some(block) = self.block_xattrs.get(&number) {
            let (region, base) = xattr::block_region(block);
            all.append(&mut xattr::decode(region, base));
        }
        if let Some(area) = self.inline_xattrs(self.node(number)) {
            all.append(&mut xattr::decode(area, 0));
        }
        all
    }

    /// The same as hcsshim reads them; `None` where it crashes.
    pub fn xattrs_as_hcsshim(&self, number: InodeNumber) -> Option<Xattrs> {
        let mut all = Xattrs::new();
        if let Some(block) = self.block_xattrs.get(&number) {
            let (region, base) = xattr::block_region(block);
            all.append(&mut xattr::decode_as_hcsshim(region, base)?);
        }
        all.append(&mut self.inline_xattrs_as_hcsshim(number)?);
        Some(all)
    }

    pub fn inline_xattrs_as_hcsshim(&self, number: InodeNumber) -> Option<Xattrs> {
        match self.inline_xattrs(self.node(number)) {
            Some(area) => xattr::decode_as_hcsshim(area, 0),
            None => Some(Xattrs::new()),
        }
    }

    /// Keeps text for a node; returns its place.
    pub fn add_text(&mut self, text: &[u8]) -> Result<u32> {
        let at = u32::try_from(self.text.len()).map_err(|_| {
            Error::disk_size("the short symlinks and files of the layer need more than 4 GiB")
        })?;
        self.text.extend_from_slice(text);
        Ok(at)
    }

    pub fn text_of(&self, node: &Node) -> &[u8] {
        let start = node.data as usize;
        self.text.get(start..start + node.size as usize).unwrap_or_default()
    }

    /// A symlink's target.
    pub fn target_of(&self, number: InodeNumber) -> &[u8] {
        match self.long_targets.get(&number) {
            Some(target) => target,
            None => self.text_of(self.node(number)),
        }
    }

    /// Frees a node's number and all that is kept for it.
    pub fn forget(&mut self, number: InodeNumber) {
        *self.node_mut(number) = Node::default();
        self.block_xattrs.remove(&number);
        self.long_targets.remove(&number);
    }

    fn is(&self, indexed: &Indexed, hash: NameHash, parent: InodeNumber, name: &[u8]) -> bool {
        indexed.hash.0 == hash.0 && self.names.is(indexed.at, parent, name)
    }

    pub fn hash(&self, parent: InodeNumber, name: &[u8]) -> NameHash {
        let mut hasher = self.hasher.build_hasher();
        let mut key = [0; 4 + MAX_NAME_LEN];
        let (number, rest) = key.split_at_mut(4);
        number.copy_from_slice(&parent.0.to_le_bytes());
        match rest.get_mut(..name.len()) {
            // One write is faster than two.
            Some(place) => {
                place.copy_from_slice(name);
                hasher.write(key.get(..4 + name.len()).unwrap_or_default());
            }
            None => hasher.write(name), // no name is so long
        }
        NameHash(hasher.finish() as u32)
    }
}

impl Default for Tree {
    fn default() -> Self {
        Self::new()
    }
}

/// The names grouped by directory: one array of positions, and where each directory's part of it ends.
pub struct Children<'t> {
    names: &'t Names,
    ends: Vec<u32>,
    order: Vec<u32>,
}

impl<'t> Children<'t> {
    fn new(names: &'t Names, nodes: usize) -> Self {
        // First the starts: they move on to the ends as the parts are filled.
        let mut ends = vec![0u32; nodes + 2];
        for (_, name) in names.live() {
            if let Some(count) = ends.get_mut(name.parent.0 as usize + 1) {
                *count += 1;
            }
        }
        let mut sum = 0;
        for start in &mut ends {
            sum += *start;
            *start = sum;
        }
        let mut order = vec![0; sum as usize];
        for (at, name) in names.live() {
            if let Some(next) = ends.get_mut(name.parent.0 as usize) {
                if let Some(place) = order.get_mut(*next as usize) {
                    *place = at;
                }
                *next += 1;
            }
        }
        let mut children = Self { names, ends, order };
        children.sort();
        children
    }

    pub fn of(&self, parent: InodeNumber) -> impl DoubleEndedIterator<Item = (InodeNumber, &'t [u8])> {
        let names = self.names;
        self.range(parent)
            .and_then(|range| self.order.get(range))
            .unwrap_or_default()
            .iter()
            .filter_map(|&at| Some((names.get(at)?.child, names.bytes_of(at))))
    }

    fn range(&self, parent: InodeNumber) -> Option<std::ops::Range<usize>> {
        let at = parent.0 as usize;
        Some(*self.ends.get(at.checked_sub(1)?)? as usize..*self.ends.get(at)? as usize)
    }

    fn sort(&mut self) {
        let names = self.names;
        let key = |&at: &u32| names.get(at).map(|name| (name.child, names.bytes_of(at)));
        for parent in 1..self.ends.len() as u32 {
            if let Some(entries) = self.range(InodeNumber(parent)).and_then(|range| self.order.get_mut(range))
                && !entries.is_sorted_by_key(key)
            {
                entries.sort_unstable_by(|a, b| key(a).cmp(&key(b)));
            }
        }
    }
}
