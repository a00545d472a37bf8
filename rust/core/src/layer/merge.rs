//! An entry meets what has its name: nodes made, reused, replaced and taken away.

use crate::error::{Error, Result, quote};
use crate::ext4::format::features::Features;
use crate::ext4::format::xattr::SYSTEM_DATA;
use crate::ext4::hcsshim;
use crate::ext4::storage::{Storage, inode_xattrs_as_hcsshim, xattrs_as_hcsshim};
use crate::faults::{Fault, Faults};
use crate::layer::attributes::{Attributes, OPAQUE, OPAQUE_VALUE};
use crate::sink::Sink;
use crate::tree::{FileType, MAX_NAME_LEN, NameHash, Node, Times, Tree, Xattrs, flag};
use crate::units::{InodeNumber, Time};

/// From this many on, directories are held against the disk's size as they are made.
const MANY_DIRECTORIES: u32 = 1 << 16;

/// The layer as far as it is merged: what entries meant, and where their data is.
pub struct Merge<S> {
    pub tree: Tree,
    pub storage: Storage<S>,
    pub faults: Faults,
    /// Directories there are, of at least a block each.
    directories: u32,
}

impl<S: Sink> Merge<S> {
    pub fn new(tree: Tree, storage: Storage<S>, faults: Faults) -> Self {
        let directories = tree.nodes().iter().filter(|node| node.is_dir()).count() as u32;
        Self { tree, storage, faults, directories }
    }

    /// Creates a node, or makes what has the name into it.
    pub fn create(
        &mut self,
        parent: InodeNumber,
        name: &[u8],
        mut attributes: Attributes,
    ) -> Result<InodeNumber> {
        let hash = self.tree.hash(parent, name);
        let existing = self.find(hash, parent, name)?;
        if let Some(number) = self.resolve_existing(parent, name, existing, &mut attributes)? {
            let old = self.surviving_xattrs(number, &attributes)?;
            self.set_attributes(number, &attributes, old)?;
            return Ok(number);
        }
        let is_dir = attributes.is_dir();
        let number = self.tree.add(Node::new(0, u32::from(is_dir), 0))?;
        if is_dir {
            self.directories += 1;
            self.check_capacity()?;
        }
        self.set_attributes(number, &attributes, Xattrs::new())?;
        if existing.is_some()
            && let Some(old) = self.tree.child_hashed(hash, parent, name)
        {
            self.tree.node_mut(old).links -= 1;
        }
        self.tree.insert_hashed(hash, parent, name, number)?;
        self.tree.node_mut(number).links += 1;
        if is_dir {
            self.tree.node_mut(parent).links += 1;
        }
        Ok(number)
    }

    /// Whether a link in place of what has the name is refused, as hcsshim does: before the target is looked for.
    pub fn check_link(&self, parent: InodeNumber, name: &[u8]) -> Result<Option<InodeNumber>> {
        let existing = self.find(self.tree.hash(parent, name), parent, name)?;
        if self.faults.reproduces(Fault::B9ReplacingLink)
            && existing.is_some_and(|old| self.tree.node(old).is_dir() || self.tree.node(old).links < 2)
        {
            return Err(Error::invalid_entry(
                "a link cannot take the place of a directory or of a file's last name",
            ));
        }
        Ok(existing)
    }

    /// A hard link to a node, which the entry calls `target`, in place of the existing one.
    pub fn link(
        &mut self,
        parent: InodeNumber,
        name: &[u8],
        existing: Option<InodeNumber>,
        node: InodeNumber,
        target: &[u8],
    ) -> Result<()> {
        if self.tree.node(node).is_dir() {
            return Err(Error::invalid_entry(format!("the link's target {} is a directory", quote(target))));
        }
        if existing == Some(node) {
            if self.tree.node(node).links < 2 {
                self.faults.found(Fault::B9LinkToItself);
            }
            return Ok(());
        }
        let max_links = self.storage.layout().max_links;
        if self.tree.node(node).links >= max_links {
            return Err(Error::disk_size(format!(
                "the link's target {} has {max_links} links, which is the maximum",
                quote(target)
            )));
        }
        match existing {
            Some(old) if !self.tree.node(old).is_dir() && self.tree.node(old).links >= 2 => {
                self.tree.node_mut(old).links -= 1;
            }
            Some(old) => {
                self.faults.found(Fault::B9ReplacingLink);
                self.remove(parent, name, old)?;
                if !self.tree.node(node).has(flag::USED) {
                    return Err(Error::invalid_entry(format!(
                        "the link replaces the directory that its target {} is in",
                        quote(target)
                    )));
                }
            }
            None => {}
        }
        self.tree.node_mut(node).links += 1;
        self.tree.insert_hashed(self.tree.hash(parent, name), parent, name, node)
    }

    /// An overlayfs whiteout: a character device 0:0.
    pub fn whiteout(&mut self, parent: InodeNumber, name: &[u8]) -> Result<()> {
        if !self.faults.reproduces(Fault::B9WhiteoutOfFile) {
            match self.find(self.tree.hash(parent, name), parent, name)? {
                Some(old) if self.tree.node(old).is_dir() => {
                    // Only the lower layers' contents go, so that those of this layer stay.
                    self.faults.found(Fault::B9WhiteoutOfDirectory);
                    return self.make_opaque(old);
                }
                Some(old) if !self.tree.node(old).has(flag::WHITEOUT) => {
                    self.faults.found(Fault::B9WhiteoutOfFile);
                    return Ok(());
                }
                _ => {}
            }
        }
        let attributes = Attributes { mode: FileType::CharacterDevice.bits(), ..Attributes::default() };
        let number = self.create(parent, name, attributes)?;
        self.tree.node_mut(number).flags |= flag::WHITEOUT;
        Ok(())
    }

    /// Marks a directory as opaque; its other attributes stay.
    pub fn make_opaque(&mut self, directory: InodeNumber) -> Result<()> {
        let attributes = self.marked(directory)?;
        if self.copies_wrongly(directory) {
            self.faults.found(Fault::N3Marker);
        }
        let old = self.surviving_xattrs(directory, &attributes)?;
        self.set_attributes(directory, &attributes, old)
    }

    /// B10, reproduced: what is not a directory is created once more, with one attribute more.
    pub fn mark_file(&mut self, number: InodeNumber, parent: InodeNumber, name: &[u8]) -> Result<()> {
        let mut attributes = self.marked(number)?;
        let node = self.tree.node(number);
        if node.has(flag::STORED) || !node.is_symlink() && node.size > 0 {
            return Err(Error::invalid_entry("an opaque marker in a file or long symlink"));
        }
        if node.is_symlink() {
            attributes.target = self.tree.text_of(node).to_vec();
        }
        self.create(parent, name, attributes).map(|_| ())
    }

    /// A directory that no entry has made: its attributes are those of the one above (B13).
    pub fn make_parent(&mut self, above: InodeNumber, name: &[u8], opaque: bool) -> Result<InodeNumber> {
        if self.copies_wrongly(above) {
            self.faults.found(Fault::N3Parent);
        }
        self.create(above, name, Attributes { opaque, ..self.attributes_of(above) })
    }

    /// Removes everything that has, or is below, a name that is meant.
    pub fn remove_named(&mut self, is_meant: impl Fn(&[u8]) -> bool) -> Result<()> {
        for (parent, name) in self.tree.names_matching(is_meant) {
            if let Some(number) = self.tree.child(parent, &name) {
                self.remove(parent, &name, number)?;
            }
        }
        Ok(())
    }

    /// Removes a name and everything reachable only through it.
    pub fn remove(&mut self, parent: InodeNumber, name: &[u8], number: InodeNumber) -> Result<()> {
        if self.tree.node(number).has(flag::FIXED) {
            return Err(Error::invalid_entry("the root directory and lost+found cannot be replaced"));
        }
        self.tree.remove_name(parent, name);
        if self.tree.node(number).is_dir() {
            self.tree.node_mut(parent).links -= 1;
        }
        let mut unnamed = vec![number];
        while let Some(number) = unnamed.pop() {
            let node = self.tree.node_mut(number);
            node.links -= 1;
            if node.is_dir() {
                self.directories -= 1;
                unnamed.extend(self.tree.take_children(number));
            } else if node.links > 0 {
                continue;
            }
            self.storage.free(&mut self.tree, &self.faults, number);
            self.tree.forget(number);
        }
        Ok(())
    }
}

/// What a name has become.
impl<S: Sink> Merge<S> {
    /// What has a name that an entry is to get. The root has an empty name.
    fn find(&self, hash: NameHash, parent: InodeNumber, name: &[u8]) -> Result<Option<InodeNumber>> {
        if name.is_empty() {
            return Ok(Some(self.tree.root()));
        }
        self.check_name(name)?;
        if !self.tree.node(parent).is_dir() {
            return Err(Error::invalid_entry("the path leads through a file"));
        }
        Ok(self.tree.child_hashed(hash, parent, name))
    }

    fn check_name(&self, name: &[u8]) -> Result<()> {
        if name.len() > MAX_NAME_LEN {
            return Err(Error::invalid_entry(format!(
                "the name {} has {} bytes, at most {MAX_NAME_LEN} are allowed",
                quote(name),
                name.len()
            )));
        }
        if name.contains(&0) && !self.faults.reproduces(Fault::N11) {
            let message = format!("the name {} holds a NUL byte", quote(name));
            return Err(Error::invalid_entry(message).fault(Fault::N11));
        }
        Ok(())
    }

    /// Refuses what cannot fit in the end before it takes memory: a few bytes of a path are a directory of at least a
    /// block. Below that, the final check suffices, as in hcsshim, where something else may be wrong before.
    fn check_capacity(&self) -> Result<()> {
        if self.directories < MANY_DIRECTORIES {
            return Ok(());
        }
        self.storage.check_capacity(self.directories, self.tree.highest())
    }

    /// Decides what becomes of the node that has the name: reused (returned), left as it is, or taken away.
    fn resolve_existing(
        &mut self,
        parent: InodeNumber,
        name: &[u8],
        existing: Option<InodeNumber>,
        attributes: &mut Attributes,
    ) -> Result<Option<InodeNumber>> {
        let Some(old) = existing else {
            return self.check_links(parent, attributes).map(|()| None);
        };
        let node = self.tree.node(old);
        match (node.is_dir(), attributes.is_dir()) {
            (true, true) => Ok(Some(old)),
            (false, false) if node.links >= 2 => Ok(None),
            (false, false) => self.reuse_file(old).map(|()| Some(old)),
            (was_dir, _) if self.faults.reproduces(Fault::B9ChangedType) => {
                Err(Error::invalid_entry(if was_dir {
                    "a directory cannot be replaced with a file"
                } else {
                    "a file cannot be replaced with a directory"
                }))
            }
            (was_dir, _) => {
                self.faults.found(Fault::B9ChangedType);
                // The lower layers' directory of this name is gone; this one must not show through to it.
                attributes.opaque |= !was_dir && self.tree.node(old).has(flag::WHITEOUT);
                self.remove(parent, name, old)?;
                self.check_links(parent, attributes).map(|()| None)
            }
        }
    }

    /// B23: more subdirectories than i_links_count can count.
    fn check_links(&mut self, parent: InodeNumber, attributes: &Attributes) -> Result<()> {
        let max_links = self.storage.layout().max_links;
        if !attributes.is_dir() || self.tree.node(parent).links < max_links {
            return Ok(());
        }
        if self.faults.reproduces(Fault::B23) {
            return Err(Error::disk_size(format!(
                "the directory above has {max_links} links, which is the maximum"
            )));
        }
        self.storage.require(Features::DIR_NLINK);
        self.faults.found(Fault::B23);
        Ok(())
    }

    /// Prepares a file that has one name for being replaced.
    fn reuse_file(&mut self, number: InodeNumber) -> Result<()> {
        if !self.tree.node(number).has(flag::STORED) {
            return Ok(());
        }
        if self.faults.reproduces(Fault::B9ReplacedData) {
            return Err(Error::invalid_entry("a file with data blocks cannot be replaced"));
        }
        self.faults.found(Fault::B9ReplacedData);
        self.storage.free_data(&mut self.tree, &self.faults, number);
        Ok(())
    }
}

/// What a node becomes.
impl<S: Sink> Merge<S> {
    /// Gives a node, new or used before, its attributes, and opens it if it is a file with data. A used node keeps its
    /// number, links and xattr block. `old`: xattrs that live on where the entry does not give them.
    fn set_attributes(&mut self, number: InodeNumber, attributes: &Attributes, old: Xattrs) -> Result<()> {
        let mut xattrs = attributes.xattrs.clone();
        if attributes.opaque {
            xattrs.insert(OPAQUE.to_vec(), OPAQUE_VALUE.to_vec());
        }
        for (name, value) in old {
            xattrs.entry(name).or_insert(value);
        }
        let size = if attributes.is_symlink() {
            attributes.target.len() as u64
        } else if attributes.is_regular() {
            self.check_file_size(attributes.size)?
        } else {
            0
        };
        let inline = attributes.is_regular() && self.storage.is_inline(size);
        let node = self.tree.node_mut(number);
        node.mode = match attributes {
            _ if attributes.is_symlink() => attributes.mode | 0o777,
            _ if attributes.is_regular() => attributes.mode | FileType::Regular.bits(),
            _ => attributes.mode,
        };
        node.size = size;
        node.data = 0;
        node.flags = flag::USED
            | node.flags & (flag::OPAQUE | flag::FIXED)
            | if inline { flag::INLINE } else { 0 }
            | if attributes.opaque { flag::OPAQUE } else { 0 };
        self.tree.set_times(number, attributes.times);
        self.tree.set_owner(number, attributes.owner);
        if attributes.is_device() {
            self.tree.set_device(number, attributes.device)?;
        }
        let Self { tree, storage, faults, .. } = self;
        storage.store_xattrs(tree, faults, number, &xattrs)?;
        if attributes.is_symlink() {
            storage.store_target(tree, faults, number, &attributes.target)
        } else {
            storage.open(tree, number)
        }
    }

    fn check_file_size(&self, size: u64) -> Result<u64> {
        let max = self.storage.layout().max_file_size;
        if size > max {
            return Err(Error::disk_size(format!("the file has {size} bytes, at most {max} are allowed")));
        }
        Ok(size)
    }

    /// The xattrs of a used node that live on in it: none but an opaque marker's, which is not an entry; reproducing
    /// B8, those in the inode.
    fn surviving_xattrs(&mut self, number: InodeNumber, attributes: &Attributes) -> Result<Xattrs> {
        let old =
            inode_xattrs_as_hcsshim(&self.tree, number, &self.faults).ok_or_else(hcsshim::xattrs::crash)?;
        if self.faults.reproduces(Fault::B8KeptXattrs) {
            return Ok(old);
        }
        let mut surviving = Xattrs::new();
        if self.tree.node(number).has(flag::OPAQUE) {
            if !old.contains_key(OPAQUE) && !attributes.give(OPAQUE) {
                self.faults.found(Fault::B8LostMarker);
            }
            surviving.insert(OPAQUE.to_vec(), OPAQUE_VALUE.to_vec());
        }
        let is_lost = |name: &&Vec<u8>| !attributes.give(name) && !surviving.contains_key(*name);
        let lost: Vec<_> = old.keys().filter(is_lost).collect();
        if lost.iter().any(|name| *name != SYSTEM_DATA) {
            self.faults.found(Fault::B8KeptXattrs);
        } else if !lost.is_empty() {
            self.faults.found(Fault::B19KeptData);
        }
        Ok(surviving)
    }

    /// A node's attributes with those of an opaque marker.
    fn marked(&mut self, number: InodeNumber) -> Result<Attributes> {
        Ok(Attributes { xattrs: self.xattrs_for_marker(number)?, opaque: true, ..self.attributes_of(number) })
    }

    /// The xattrs that a node keeps when it is marked.
    fn xattrs_for_marker(&mut self, number: InodeNumber) -> Result<Xattrs> {
        let as_hcsshim = xattrs_as_hcsshim(&self.tree, number, &self.faults);
        if self.faults.reproduces(Fault::B6) {
            let mut xattrs = as_hcsshim.ok_or_else(hcsshim::xattrs::crash)?;
            xattrs.remove(SYSTEM_DATA);
            return Ok(xattrs);
        }
        let xattrs = self.tree.xattrs(number);
        match as_hcsshim {
            None => self.faults.found(Fault::N1),
            Some(read) if read.len() != xattrs.len() => self.faults.found(Fault::B6),
            Some(_) => {}
        }
        Ok(xattrs)
    }

    /// A node's attributes without its xattrs, for a copy of it.
    fn attributes_of(&self, number: InodeNumber) -> Attributes {
        let node = self.tree.node(number);
        let is_device = node.file_type().is_device();
        Attributes {
            mode: node.mode,
            owner: self.tree.owner(node),
            times: self.copied(self.tree.times(number)),
            device: if is_device { self.tree.device(node) } else { Default::default() },
            ..Attributes::default()
        }
    }

    /// Times taken over from another inode.
    fn copied(&self, times: Times) -> Times {
        if !self.faults.reproduces(Fault::N3Parent) {
            return times;
        }
        let Times { mtime, atime, ctime } = times;
        let [mtime, atime, ctime] = [mtime, atime, ctime].map(hcsshim::times::copy);
        Times { mtime, atime, ctime }
    }

    /// Whether hcsshim changes one of the node's times when it copies them.
    fn copies_wrongly(&self, number: InodeNumber) -> bool {
        let Times { mtime, atime, ctime } = self.tree.times(number);
        [mtime, atime, ctime].into_iter().any(|time: Time| !hcsshim::times::survives_copy(time))
    }
}
