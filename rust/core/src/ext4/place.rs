//! Entries into the tree: paths found, parents made, names given, nodes reused, replaced and taken away.

use std::borrow::Cow;

use crate::error::{Error, Result, quote};
use crate::ext4::directory::MAX_NAME_LEN;
use crate::ext4::inode;
use crate::ext4::timestamp::Timestamp;
use crate::ext4::tree::{NameHash, Node, flag};
use crate::ext4::writer::{Attributes, Writer, crash};
use crate::ext4::xattr::{self, Xattrs};
use crate::faults::{Fault, Faults};
use crate::path::components;
use crate::sink::Sink;
use crate::units::{BLOCK_SIZE, BlockNumber, InodeNumber};

/// Most links of an inode. Source: kernel, EXT4_LINK_MAX.
pub const MAX_LINKS: u32 = 65000;
/// Symlinks followed in one path. Source: containerd, continuity/fs/path.go.
const MAX_SYMLINKS: u32 = 255;
/// From so many on they are held against the disk's size at once.
const MANY_DIRECTORIES: u32 = 1 << 16;

impl<S: Sink> Writer<S> {
    /// Makes the directories above an entry that are not there yet; returns the last of them.
    /// In hcsshim's own way that may be a file: what is put into it is then refused.
    pub fn make_parents(&mut self, parts: &[&[u8]]) -> Result<InodeNumber> {
        let above = parts.split_last().map_or(parts, |(_, above)| above);
        let made_before = self.tree.len();
        let parent = self.walk(above, true)?.ok_or_else(|| missing(parts))?;
        let made = self.tree.len() - made_before;
        if made > 0 {
            let plural = if made == 1 { "y" } else { "ies" };
            self.faults.found_with(Fault::B13, format_args!("{made} parent director{plural}"));
        }
        Ok(parent)
    }

    /// Creates a node, or makes what has the name into it.
    pub fn create(
        &mut self,
        parent: InodeNumber,
        name: &[u8],
        mut attributes: Attributes,
    ) -> Result<InodeNumber> {
        let hash = self.tree.hash(parent, name);
        let existing = self.find_child(hash, parent, name)?;
        if let Some(number) = self.make_room(parent, name, existing, &mut attributes)? {
            self.set_attributes(number, &attributes, true)?;
            return Ok(number);
        }
        let is_dir = attributes.is_dir();
        let number = self.tree.add(Node { links: u32::from(is_dir), ..Node::default() })?;
        if is_dir {
            self.directories += 1;
            self.check_room()?;
        }
        self.set_attributes(number, &attributes, false)?;
        if existing.is_some()
            && let Some(old) = self.tree.child_at(hash, parent, name)
        {
            self.tree.node_mut(old).links -= 1;
        }
        self.tree.insert_at(hash, parent, name, number)?;
        self.tree.node_mut(number).links += 1;
        if is_dir {
            self.tree.node_mut(parent).links += 1;
        }
        Ok(number)
    }

    /// A hard link to what another entry made.
    pub fn link(&mut self, parent: InodeNumber, name: &[u8], target: &[u8]) -> Result<()> {
        let hash = self.tree.hash(parent, name);
        let existing = self.find_child(hash, parent, name)?;
        if self.faults.reproduces(Fault::B9ReplacingLink)
            && existing.is_some_and(|old| self.tree.node(old).is_dir() || self.tree.node(old).links < 2)
        {
            return Err(Error::invalid_entry(
                "a link cannot take the place of a directory or of a file's last name",
            ));
        }
        let parts = components(target);
        let node = self.find(&parts)?.ok_or_else(|| {
            Error::invalid_entry(format!("the link's target {} is not in the layer", quote(target)))
        })?;
        if self.tree.node(node).is_dir() {
            return Err(Error::invalid_entry(format!("the link's target {} is a directory", quote(target))));
        }
        if existing == Some(node) {
            if self.tree.node(node).links < 2 {
                self.faults.found(Fault::B9LinkToItself);
            }
            return Ok(());
        }
        if self.tree.node(node).links >= MAX_LINKS {
            return Err(Error::disk_size(format!(
                "the link's target {} has {MAX_LINKS} links, the most possible",
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
        self.tree.insert_at(hash, parent, name, node)
    }

    /// An overlayfs whiteout: a character device 0:0.
    pub fn whiteout(&mut self, parent: InodeNumber, name: &[u8]) -> Result<()> {
        if !self.faults.reproduces(Fault::B9WhiteoutOfFile) {
            match self.find_child(self.tree.hash(parent, name), parent, name)? {
                Some(old) if self.tree.node(old).is_dir() => {
                    // Only the lower layers' contents go, so that those of this layer stay.
                    self.faults.found(Fault::B9WhiteoutOfDirectory);
                    return self.make_opaque(old, &[]);
                }
                Some(old) if !self.tree.node(old).has(flag::WHITEOUT) => {
                    self.faults.found(Fault::B9WhiteoutOfFile);
                    return Ok(());
                }
                _ => {}
            }
        }
        let attributes = Attributes { mode: inode::TYPE_CHARACTER, ..Attributes::default() };
        let number = self.create(parent, name, attributes)?;
        self.tree.node_mut(number).flags |= flag::WHITEOUT;
        Ok(())
    }

    /// The directory and name that a whiteout without a name of its own (`.wh.`, `.wh..`, `.wh...`) leads hcsshim to.
    pub fn locate(&mut self, parts: &[&[u8]]) -> Result<InodeNumber> {
        let above = parts.split_last().map_or(parts, |(_, above)| above);
        self.walk(above, false)?.ok_or_else(|| missing(parts))
    }

    /// Marks a directory as opaque; its other attributes stay. `parts` is the path to it.
    pub fn make_opaque(&mut self, directory: InodeNumber, parts: &[&[u8]]) -> Result<()> {
        let mut attributes = self.attributes_of(directory);
        attributes.xattrs = self.xattrs_for_marker(directory)?;
        attributes.opaque = true;
        if !self.tree.node(directory).is_dir() {
            return self.mark_file(directory, parts, attributes);
        }
        if self.copies_wrongly(directory) {
            self.faults.found(Fault::N3Marker);
        }
        self.set_attributes(directory, &attributes, true)
    }

    /// The attributes that a directory keeps when it is marked.
    fn xattrs_for_marker(&mut self, directory: InodeNumber) -> Result<Xattrs> {
        let as_hcsshim = self.tree.xattrs_as_hcsshim(directory);
        if self.faults.reproduces(Fault::B6) {
            let mut xattrs = as_hcsshim.ok_or_else(crash)?;
            xattrs.remove(xattr::SYSTEM_DATA);
            return Ok(xattrs);
        }
        let xattrs = self.tree.xattrs(directory);
        match as_hcsshim {
            None => self.faults.found(Fault::N1),
            Some(read) if read != xattrs => self.faults.found(Fault::B6),
            Some(_) => {}
        }
        Ok(xattrs)
    }

    /// B10, reproduced: what is no directory is created once more, with one attribute more.
    fn mark_file(&mut self, number: InodeNumber, parts: &[&[u8]], mut attributes: Attributes) -> Result<()> {
        let node = self.tree.node(number);
        if node.has(flag::EXTENTS) || !node.is_symlink() && node.size > 0 {
            return Err(Error::invalid_entry("an opaque marker in a file or long symlink"));
        }
        if node.is_symlink() {
            attributes.target = self.tree.text_of(node).to_vec();
        }
        let name = parts.last().copied().unwrap_or_default();
        let parent = self.locate(parts)?;
        self.create(parent, name, attributes).map(|_| ())
    }

    /// Takes away all that has, or is below, a name of which this is true.
    pub fn remove_named(&mut self, is_meant: impl Fn(&[u8]) -> bool) -> Result<()> {
        for (parent, name) in self.tree.names_that(is_meant) {
            if let Some(number) = self.tree.child(parent, &name) {
                self.remove(parent, &name, number)?;
            }
        }
        Ok(())
    }

    /// Refuses what cannot fit in the end before it takes memory: a few bytes of a path are a directory of at least
    /// a block. With fewer of them the end will tell, as in hcsshim, where something else may be wrong before.
    fn check_room(&self) -> Result<()> {
        if self.directories < MANY_DIRECTORIES {
            return Ok(());
        }
        let directories = u64::from(self.directories) * BLOCK_SIZE;
        self.output.check_room(directories + u64::from(self.tree.len()) * inode::LEN as u64)
    }

    fn find(&mut self, parts: &[&[u8]]) -> Result<Option<InodeNumber>> {
        let Some((name, above)) = parts.split_last() else { return Ok(Some(InodeNumber::ROOT)) };
        Ok(self.walk(above, false)?.and_then(|parent| self.tree.child(parent, name)))
    }

    /// What has a name that an entry is to get. The root has an empty name.
    fn find_child(&self, hash: NameHash, parent: InodeNumber, name: &[u8]) -> Result<Option<InodeNumber>> {
        if name.is_empty() {
            return Ok(Some(InodeNumber::ROOT));
        }
        check_name(name, &self.faults)?;
        if !self.tree.node(parent).is_dir() {
            return Err(Error::invalid_entry("the path leads through a file"));
        }
        Ok(self.tree.child_at(hash, parent, name))
    }

    /// Follows a path from the root; with `make`, makes what is missing.
    fn walk(&mut self, parts: &[&[u8]], make: bool) -> Result<Option<InodeNumber>> {
        let mut directory = InodeNumber::ROOT;
        for &part in parts {
            let child = self.tree.child(directory, part);
            if !self.faults.reproduces(Fault::B11)
                && let Some(node) = child.map(|child| self.tree.node(child))
                && !node.is_dir()
            {
                return self.walk_resolving(parts, make);
            }
            directory = match child {
                Some(child) => child,
                None if make => self.make_parent(directory, part, false)?,
                None => return Ok(None),
            };
        }
        Ok(Some(directory))
    }

    /// A walk on which there is something else than a directory: symlinks are followed inside the root (B11).
    fn walk_resolving(&mut self, parts: &[&[u8]], make: bool) -> Result<Option<InodeNumber>> {
        self.resolved += 1;
        let mut rest: Vec<Cow<'_, [u8]>> = parts.iter().rev().map(|part| Cow::Borrowed(*part)).collect();
        let mut above = Vec::new();
        let mut directory = InodeNumber::ROOT;
        let mut followed = 0;
        while let Some(part) = rest.pop() {
            if matches!(&*part, b"" | b".") {
                continue;
            }
            if *part == *b".." {
                directory = above.pop().unwrap_or(InodeNumber::ROOT);
                continue;
            }
            let child = self.tree.child(directory, &part);
            let Some(child) = child else {
                if !make {
                    return Ok(None);
                }
                above.push(directory);
                directory = self.make_parent(directory, &part, false)?;
                continue;
            };
            let node = self.tree.node(child);
            if node.is_dir() {
                above.push(directory);
                directory = child;
            } else if node.is_symlink() {
                followed += 1;
                if followed > MAX_SYMLINKS {
                    return Err(Error::invalid_entry(format!(
                        "the path leads through more than {MAX_SYMLINKS} symlinks"
                    )));
                }
                let target = self.tree.target_of(child).to_vec();
                self.faults.found(Fault::B11);
                if target.first() == Some(&b'/') {
                    directory = InodeNumber::ROOT;
                    above.clear();
                }
                rest.extend(target.split(|&b| b == b'/').rev().map(|part| Cow::Owned(part.to_vec())));
            } else if node.has(flag::WHITEOUT) && make {
                self.faults.found(Fault::B9PathThroughWhiteout);
                self.remove(directory, &part, child)?;
                above.push(directory);
                directory = self.make_parent(directory, &part, true)?;
            } else {
                return Err(Error::invalid_entry(format!(
                    "the path leads through {}, which is a file",
                    quote(&part)
                )));
            }
        }
        Ok(Some(directory))
    }

    /// A directory that no entry has made: its attributes are those of the one above (B13).
    fn make_parent(&mut self, above: InodeNumber, name: &[u8], opaque: bool) -> Result<InodeNumber> {
        if self.copies_wrongly(above) {
            self.faults.found(Fault::N3Parent);
        }
        self.create(above, name, Attributes { opaque, ..self.attributes_of(above) })
    }

    /// Decides what becomes of the node that has the name: reused (returned), left behind, or taken away.
    fn make_room(
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
        if !attributes.is_dir() || self.tree.node(parent).links < MAX_LINKS {
            return Ok(());
        }
        if self.faults.reproduces(Fault::B23) {
            return Err(Error::disk_size(format!(
                "the directory above has {MAX_LINKS} links, the most possible"
            )));
        }
        self.dir_nlink = true;
        self.faults.found(Fault::B23);
        Ok(())
    }

    /// Prepares a file with one name for its next life.
    fn reuse_file(&mut self, number: InodeNumber) -> Result<()> {
        if !self.tree.node(number).has(flag::EXTENTS) {
            return Ok(());
        }
        if self.faults.reproduces(Fault::B9ReplacedData) {
            return Err(Error::invalid_entry("a file with data blocks cannot be replaced"));
        }
        self.faults.found(Fault::B9ReplacedData);
        self.free_data(number);
        Ok(())
    }

    /// Takes a name away, and all that only it leads to.
    fn remove(&mut self, parent: InodeNumber, name: &[u8], number: InodeNumber) -> Result<()> {
        if number == InodeNumber::ROOT || number == InodeNumber::LOST_AND_FOUND {
            return Err(Error::invalid_entry("the root directory and lost+found cannot be replaced"));
        }
        self.removals += 1;
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
            self.release(number);
        }
        Ok(())
    }

    fn release(&mut self, number: InodeNumber) {
        self.free_data(number);
        let xattr_block = self.tree.extra(self.tree.node(number)).xattr_block;
        if xattr_block != BlockNumber(0) {
            self.freed.push((xattr_block, 1));
        }
        self.tree.forget(number);
    }

    fn free_data(&mut self, number: InodeNumber) {
        let node = self.tree.node_mut(number);
        if node.has(flag::EXTENTS) {
            let run = Self::run_of(node);
            node.flags &= !flag::EXTENTS;
            self.tree.long_targets.remove(&number);
            self.freed.push((run.start, run.blocks + run.leaves(&self.faults)));
        }
    }

    /// A node's attributes without its xattrs, for a copy of it.
    fn attributes_of(&self, number: InodeNumber) -> Attributes {
        let node = self.tree.node(number);
        let (owner, extra) = (self.tree.owner(node), self.tree.extra(node));
        let is_device = matches!(node.kind(), inode::TYPE_CHARACTER | inode::TYPE_BLOCK);
        Attributes {
            mode: node.mode,
            uid: owner.uid,
            gid: owner.gid,
            atime: self.copied(extra.atime),
            ctime: self.copied(extra.ctime),
            mtime: self.copied(node.mtime),
            device: if is_device { node.data } else { 0 },
            ..Attributes::default()
        }
    }

    /// A time taken over from another inode.
    fn copied(&self, time: Timestamp) -> Timestamp {
        if self.faults.reproduces(Fault::N3Parent) { time.hcsshim_copy() } else { time }
    }

    /// Whether hcsshim changes one of the node's times when it copies them.
    fn copies_wrongly(&self, number: InodeNumber) -> bool {
        let node = self.tree.node(number);
        let extra = self.tree.extra(node);
        [extra.atime, extra.ctime, node.mtime].iter().any(|time| !time.survives_hcsshim_copy())
    }
}

fn check_name(name: &[u8], faults: &Faults) -> Result<()> {
    if name.len() > MAX_NAME_LEN {
        let message =
            format!("the name {} has {} bytes, at most {MAX_NAME_LEN} are allowed", quote(name), name.len());
        return Err(Error::invalid_entry(message));
    }
    if name.contains(&0) && !faults.reproduces(Fault::N11) {
        return Err(
            Error::invalid_entry(format!("the name {} holds a NUL byte", quote(name))).fault(Fault::N11)
        );
    }
    Ok(())
}

fn missing(parts: &[&[u8]]) -> Error {
    Error::invalid_entry(format!("the path {} is not in the layer", quote(&parts.join(&b'/'))))
}
