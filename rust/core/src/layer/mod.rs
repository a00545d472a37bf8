//! What a layer means: each entry of a tar becomes nodes, names and data.

mod attributes;
mod merge;
mod name;
mod paths;

use std::borrow::Cow;

use crate::error::{Error, ErrorKind, Result, quote};
use crate::ext4::storage::Storage;
use crate::faults::{Fault, Faults};
use crate::sink::Sink;
use crate::stream::Input;
use crate::tar::{Data, Entry, Reader};
use crate::tree::{FileType, Tree, flag};
use crate::units::InodeNumber;
use merge::Merge;
use name::{EntryName, Whiteout, components, is_aufs, is_aufs_file};
use paths::MAX_PATH_LEN;

pub use attributes::Attributes;

/// How entries are taken.
#[derive(Clone, Copy, Debug, Default)]
pub struct LayerOptions {
    /// Names that start with `.wh.` are whiteouts.
    pub convert_whiteout: bool,
    /// `\` in names and link targets is `/`.
    pub convert_backslash: bool,
}

/// Puts entries into a tree and a storage, in the order of the tar.
pub struct LayerWriter<S> {
    merge: Merge<S>,
    options: LayerOptions,
    has_aufs: bool,
    /// The raw path before the last entry's name, and the directory that it led to, by nothing but directories.
    last: Option<(Vec<u8>, InodeNumber)>,
}

impl<S: Sink> LayerWriter<S> {
    pub fn new(tree: Tree, storage: Storage<S>, faults: Faults, options: LayerOptions) -> Self {
        Self { merge: Merge::new(tree, storage, faults), options, has_aufs: false, last: None }
    }

    pub fn faults(&mut self) -> &mut Faults {
        &mut self.merge.faults
    }

    /// The whole layer.
    pub fn finish(mut self) -> Result<(Tree, Storage<S>, Faults)> {
        if self.has_aufs {
            self.merge.remove_named(is_aufs_file)?;
        }
        let Merge { tree, storage, faults, .. } = self.merge;
        Ok((tree, storage, faults))
    }

    /// Adds an entry with its data.
    pub fn add(&mut self, entry: &Entry, reader: &mut Reader<impl Input>) -> Result<()> {
        let kind = self.kind(entry)?;
        let Some(kind) = kind else { return Ok(()) };
        let raw = self.slashed(&entry.name);
        let name = EntryName::new(&raw);
        let Some((parent, last)) = self.place(&name)? else { return Ok(()) };
        if entry.typeflag == b'1' {
            return self.add_link(parent, last, &self.slashed(&entry.linkname));
        }
        self.create(parent, last, entry, kind)?;
        if kind == FileType::Directory.bits() {
            return Ok(()); // a GNU dump directory has data: the list of its files
        }
        let Merge { tree, storage, faults, .. } = &mut self.merge;
        while let Some(data) = reader.data()? {
            match data {
                Data::Bytes(bytes) => storage.write(bytes)?,
                Data::Zeros(length) => storage.write_zeros(length)?,
            }
        }
        storage.finish_file(tree, faults)
    }

    /// The type bits of an entry, 0 where its type flag gives none; `None` for one that is to be left out.
    fn kind(&mut self, entry: &Entry) -> Result<Option<u16>> {
        let faults = &mut self.merge.faults;
        let kind = match entry.typeflag {
            b'0' | b'1' | b'7' | b'S' => FileType::Regular.bits(),
            b'2' => FileType::Symlink.bits(),
            b'3' => FileType::CharacterDevice.bits(),
            b'4' => FileType::BlockDevice.bits(),
            b'5' => FileType::Directory.bits(),
            b'6' => FileType::Fifo.bits(),
            b'g' if entry.global_unstable && faults.reproduces(Fault::N4) => {
                let message = "hcsshim names the file that it makes of a global header at random: one of its records is malformed";
                return Err(Error::not_reproducible(message).fault(Fault::N4));
            }
            b'g' if !faults.reproduces(Fault::B7GlobalHeader) => {
                faults.found(Fault::B7GlobalHeader);
                return Ok(None);
            }
            b'V' if !faults.reproduces(Fault::B7VolumeLabel) => {
                faults.found(Fault::B7VolumeLabel);
                return Ok(None);
            }
            b'D' if !faults.reproduces(Fault::B7DumpDirectory) => {
                faults.found(Fault::B7DumpDirectory);
                FileType::Directory.bits()
            }
            other => {
                faults.found_with(Fault::B7UnknownType, quote(&[other]));
                0
            }
        };
        Ok(Some(kind))
    }

    /// The directory and name of an entry; `None` for a whiteout, which is then done.
    fn place<'n>(&mut self, name: &EntryName<'n>) -> Result<Option<(InodeNumber, &'n [u8])>> {
        let is_plain = name.is_plain(self.options.convert_whiteout);
        if is_plain
            && name.raw.len() <= MAX_PATH_LEN
            && let Some((path, parent)) = &self.last
            && path == name.directory
            && self.merge.tree.node(*parent).has(flag::USED)
        {
            return Ok(Some((*parent, name.file)));
        }
        let parts = name.parts();
        let is_aufs = is_aufs(&parts);
        if self.options.convert_whiteout && !is_aufs && name.is_whiteout_directory() {
            self.merge.faults.found_with(Fault::N16, quote(name.raw));
        }
        if self.options.convert_whiteout && self.add_whiteout(name, &parts, is_aufs)? {
            return Ok(None);
        }
        let walked = self.merge.make_parents(&parts)?;
        if walked.is_plain && is_plain && !is_aufs {
            self.last = Some((name.directory.to_vec(), walked.directory));
        }
        Ok(Some((walked.directory, parts.last().copied().unwrap_or_default())))
    }

    /// Whiteouts and opaque markers; `false` for an ordinary entry.
    fn add_whiteout(&mut self, name: &EntryName<'_>, parts: &[&[u8]], is_aufs: bool) -> Result<bool> {
        if is_aufs && !self.merge.faults.reproduces(Fault::B18) {
            self.merge.faults.found(Fault::B18);
            self.has_aufs = true; // kept until the end, since links may lead to them
            return Ok(false);
        }
        match name.whiteout() {
            None => return Ok(false),
            Some(Whiteout::Opaque) => self.add_opaque_marker(name, parts)?,
            Some(Whiteout::Of(hidden)) => {
                let parent = self.merge.make_parents(parts)?.directory;
                if !matches!(hidden, b"" | b"." | b"..") {
                    self.merge.whiteout(parent, hidden)?;
                } else if self.merge.faults.reproduces(Fault::B9WhiteoutOfDirectory) {
                    // hcsshim takes the name as a path, which mostly leads to a directory.
                    let path = [name.directory, hidden].concat();
                    let parts = components(&path);
                    let parent = self.merge.directory_above(&parts)?;
                    self.merge.whiteout(parent, parts.last().copied().unwrap_or_default())?;
                } else {
                    return Err(Error::invalid_entry("the whiteout names no file"));
                }
            }
        }
        Ok(true)
    }

    fn add_opaque_marker(&mut self, name: &EntryName<'_>, parts: &[&[u8]]) -> Result<()> {
        let walked = self.merge.make_parents(parts);
        let directory = match self.merge.faults.reproduces(Fault::B10) {
            true => walked,
            false => walked.map_err(opaque_refusal),
        }?
        .directory;
        if directory == self.merge.tree.root() {
            self.merge.faults.found(Fault::N15);
        }
        if self.merge.tree.node(directory).is_dir() {
            return self.merge.make_opaque(directory);
        }
        let parts = components(name.directory);
        let parent = self.merge.directory_above(&parts)?;
        self.merge.mark_file(directory, parent, parts.last().copied().unwrap_or_default())
    }

    fn add_link(&mut self, parent: InodeNumber, name: &[u8], target: &[u8]) -> Result<()> {
        let existing = self.merge.check_link(parent, name)?;
        let node = self.merge.find_path(&components(target))?.ok_or_else(|| {
            Error::invalid_entry(format!("the link's target {} is not in the layer", quote(target)))
        })?;
        self.merge.link(parent, name, existing, node, target)
    }

    fn create(&mut self, parent: InodeNumber, name: &[u8], entry: &Entry, kind: u16) -> Result<()> {
        let is_symlink = kind == FileType::Symlink.bits();
        let target = if is_symlink { self.slashed(&entry.linkname).into_owned() } else { Vec::new() };
        let attributes = Attributes::of_entry(entry, kind, target, &mut self.merge.faults)?;
        self.merge.create(parent, name, attributes).map(|_| ())
    }

    fn slashed<'n>(&self, name: &'n [u8]) -> Cow<'n, [u8]> {
        if self.options.convert_backslash && name.contains(&b'\\') {
            Cow::Owned(name.iter().map(|&b| if b == b'\\' { b'/' } else { b }).collect())
        } else {
            Cow::Borrowed(name)
        }
    }
}

/// B10: hcsshim takes an opaque marker in a file.
fn opaque_refusal(error: Error) -> Error {
    if matches!(error.kind, ErrorKind::InvalidEntry) { error.fault(Fault::B10) } else { error }
}
